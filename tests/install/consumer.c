#include <qdsim/qdsim.h>
#include <stdio.h>

int main(void) {
  qds_context *context = NULL;
  if (qds_context_create(NULL, &context) != QDS_OK)
    return fprintf(stderr, "%s\n", qds_last_error()->message), 1;
  printf("qdsim %s on %s\n", qds_version(), qds_context_device(context));
  qds_context_destroy(context);
  return 0;
}

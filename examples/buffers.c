/* More data than memory: twelve vectors of 2 MiB under a limit of 8 MiB.
 *
 *   buffers [DEVICE]        cpu (default), cuda, sim or auto */
#include <stdio.h>
#include <stdlib.h>

#include "qdsim/qdsim.h"

enum { VECTORS = 12, NUMBERS = 1 << 18 };

static void check(qds_status status) {
  if (status == QDS_OK) return;
  fprintf(stderr, "%s: %s\n", qds_status_name(status), qds_last_error()->message);
  exit(1);
}

int main(int count, char **arguments) {
  qds_context *ctx;
  qds_context_options options = QDS_CONTEXT_OPTIONS_INIT;
  options.device = count > 1 ? arguments[1] : "cpu";
  options.memory_limit = 8 << 20;
  check(qds_context_create(&options, &ctx));
  qds_memory_options memory = QDS_MEMORY_OPTIONS_INIT;
  memory.pinned_limit = 4 << 20;
  check(qds_memory_configure(ctx, &memory));

  qds_buffer *vectors[VECTORS], *sum;
  double *numbers, *total;
  for (int v = 0; v < VECTORS; v++) {
    check(qds_buffer_create(ctx, NUMBERS * sizeof(double), QDS_MEM_ADAPTIVE, "vector", &vectors[v]));
    check(qds_buffer_acquire(vectors[v], QDS_PLACE_HOST, QDS_ACCESS_DISCARD, NULL, (void **)&numbers));
    for (int i = 0; i < NUMBERS; i++) numbers[i] = v + i;
    check(qds_buffer_release(vectors[v], NULL));
  }

  check(qds_buffer_create(ctx, NUMBERS * sizeof(double), QDS_MEM_CPU_ONLY, "sum", &sum));
  check(qds_buffer_fill(sum, 0, NULL));
  check(qds_buffer_acquire(sum, QDS_PLACE_HOST, QDS_ACCESS_WRITE, NULL, (void **)&total));
  for (int v = 0; v < VECTORS; v++) {
    check(qds_buffer_acquire(vectors[v], QDS_PLACE_HOST, QDS_ACCESS_READ, NULL, (void **)&numbers));
    for (int i = 0; i < NUMBERS; i++) total[i] += numbers[i];
    check(qds_buffer_release(vectors[v], NULL));
  }
  printf("sum: %g ... %g\n", total[0], total[NUMBERS - 1]);
  check(qds_buffer_release(sum, NULL));

  qds_memory_statistics s;
  qds_memory_get_statistics(ctx, &s);
  for (int place = 0; place < QDS_PLACES; place++)
    if (s.places[place].peak_bytes)
      printf("%s: at most %zu MiB\n", qds_place_name((qds_place)place), s.places[place].peak_bytes >> 20);
  printf("moved out of the way: %s, came back: %s\n", s.spills ? "yes" : "no", s.returns ? "yes" : "no");

  for (int v = 0; v < VECTORS; v++) check(qds_buffer_destroy(vectors[v]));
  check(qds_buffer_destroy(sum));
  qds_context_destroy(ctx);
  return 0;
}

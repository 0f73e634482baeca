#include "mem/system_allocator.h"

#include <stdlib.h>

/* A block's header takes a whole alignment unit before it. */
static qds_status system_allocate(qds_allocator *self, size_t bytes, const char *tag, const char *file,
                                  int line, void **out) {
  void *memory = NULL;
  *out = NULL;
  const int refused =
      bytes > PTRDIFF_MAX - QDS_ALIGNMENT || posix_memalign(&memory, QDS_ALIGNMENT, bytes + QDS_ALIGNMENT);
  if (refused)
    return qds_raise(QDS_ERROR_MEMORY, file, line, 0, "out of memory: the system refused %zu bytes for %s",
                     bytes, tag);
  *out = (char *)memory + QDS_ALIGNMENT;
  ((qds_block_header *)*out)[-1] = (qds_block_header){self, bytes};
  return QDS_OK;
}

static void system_release(qds_allocator *self, void *block) {
  (void)self;
  free((char *)block - QDS_ALIGNMENT);
}

qds_allocator *qds_system_allocator(void) {
  static const qds_allocator system = {system_allocate, system_release};
  return (qds_allocator *)&system; /* nobody writes to an allocator through its interface */
}

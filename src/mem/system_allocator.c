#include "mem/system_allocator.h"

#include <stdlib.h>

/* A block's header takes a whole unit before it: blocks are few, and most live as long as their pool. */
enum { UNIT = QDS_HEADED_ALIGNMENT };

static qds_status system_allocate(qds_allocator *self, size_t bytes, const char *tag, const char *file,
                                  int line, void **out) {
  void *memory = NULL;
  *out = NULL;
  const int refused = bytes > PTRDIFF_MAX - UNIT || posix_memalign(&memory, UNIT, bytes + UNIT);
  if (refused)
    return qds_raise(QDS_ERROR_MEMORY, file, line, 0, "out of memory: the system refused %zu bytes for %s",
                     bytes, tag);
  *out = (char *)memory + UNIT;
  *qds_header_of(*out) = (qds_block_header){self, bytes};
  return QDS_OK;
}

static void system_release(qds_allocator *self, void *block) {
  (void)self;
  free((char *)block - UNIT);
}

static size_t system_bytes_of(const qds_allocator *self, const void *block) {
  (void)self;
  return qds_header_of(block)->bytes;
}

qds_allocator *qds_system_allocator(void) {
  static const qds_allocator system = {system_allocate, system_release, NULL, system_bytes_of, NULL};
  return (qds_allocator *)&system; /* nobody writes to an allocator through its interface */
}

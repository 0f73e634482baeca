#include "base/allocator.h"

#include <string.h>

qds_status qds_refuse_overflow(size_t count, size_t size, const char *tag, const char *file, int line,
                               void **out) {
  *out = NULL;
  return qds_raise(QDS_ERROR_MEMORY, file, line, 0,
                   "%s: %zu elements of %zu bytes overflow the address range", tag, count, size);
}

qds_status qds_allocate_zero(qds_allocator *allocator, size_t count, size_t size, const char *tag,
                             const char *file, int line, void **out) {
  QDS_TRY(qds_allocate(allocator, count, size, tag, file, line, out));
  memset(*out, 0, count * size);
  return QDS_OK;
}

qds_status qds_reallocate(qds_allocator *allocator, size_t count, size_t size, const char *tag,
                          const char *file, int line, void **block) {
  void *fresh;
  QDS_TRY(qds_allocate(allocator, count, size, tag, file, line, &fresh));
  if (*block) {
    const size_t old = qds_bytes_of(*block);
    memcpy(fresh, *block, old < count * size ? old : count * size);
    qds_release(*block);
  }
  *block = fresh;
  return QDS_OK;
}

qds_status qds_duplicate(qds_allocator *allocator, const char *text, const char *tag, const char *file,
                         int line, char **out) {
  const size_t bytes = strlen(text) + 1;
  QDS_TRY(qds_allocate(allocator, bytes, 1, tag, file, line, (void **)out));
  memcpy(*out, text, bytes);
  return QDS_OK;
}

void qds_release(void *block) {
  if (!block) return;
  if (qds_has_header(block)) {
    qds_allocator *owner = qds_header_of(block)->owner;
    owner->release(owner, block);
  } else {
    qds_slab_header *slab = qds_slab_of(block);
    slab->owner->release_small(slab, block);
  }
}

size_t qds_bytes_of(const void *block) {
  const qds_allocator *owner =
      qds_has_header(block) ? qds_header_of(block)->owner : qds_slab_of(block)->owner;
  return owner->bytes_of(owner, block);
}

/* The interface through which every layer takes memory.
 *
 * base only declares it; mem/heap.c is the implementation that counts, limits and reports. A block remembers
 * its allocator, so releasing needs no context. */
#ifndef QDS_BASE_ALLOCATOR_H
#define QDS_BASE_ALLOCATOR_H

#include <stddef.h>
#include <stdint.h>

#include "base/check.h"

/* Bytes: a cache line, and the widest vector register. Blocks of fewer than QDS_ALIGNED_BYTES whose size is
 * no multiple of it are aligned to half as much: a type that needs more has a size that is such a multiple.
 */
enum { QDS_ALIGNMENT = 64, QDS_LEAST_ALIGNMENT = 32, QDS_ALIGNED_BYTES = 1024 };

typedef struct qds_allocator qds_allocator;
struct qds_allocator {
  /* A block of `bytes` (0 is allowed), aligned as said above, contents undefined. `tag` and `file` are string
   * literals and are kept by address. Thread-safe. Fails with QDS_ERROR_MEMORY or QDS_ERROR_BUDGET;
   * *out is NULL then. */
  qds_status (*allocate)(qds_allocator *self, size_t bytes, const char *tag, const char *file, int line,
                         void **out);
  /* Takes back a block of this allocator. Thread-safe. */
  void (*release)(qds_allocator *self, void *block);
};

/* Stands directly before every block. */
typedef struct {
  qds_allocator *owner;
  size_t bytes;
} qds_block_header;

/* Raises the error of a product that overflows; *out becomes NULL. */
qds_status qds_refuse_overflow(size_t count, size_t size, const char *tag, const char *file, int line,
                               void **out);
/* What a block of `bytes` is aligned to at least. */
static inline size_t qds_alignment_of(size_t bytes) {
  return bytes % QDS_ALIGNMENT == 0 || bytes >= QDS_ALIGNED_BYTES ? QDS_ALIGNMENT : QDS_LEAST_ALIGNMENT;
}

/* `count` elements of `size` bytes; an overflowing product is QDS_ERROR_MEMORY. Inlined, because for a
 * constant size nothing is left of it but the call. */
static inline qds_status qds_allocate(qds_allocator *allocator, size_t count, size_t size, const char *tag,
                                      const char *file, int line, void **out) {
  size_t bytes;
  if (__builtin_mul_overflow(count, size, &bytes))
    return qds_refuse_overflow(count, size, tag, file, line, out);
  return allocator->allocate(allocator, bytes, tag, file, line, out);
}
/* As qds_allocate, filled with zero bytes. */
qds_status qds_allocate_zero(qds_allocator *allocator, size_t count, size_t size, const char *tag,
                             const char *file, int line, void **out);
/* Grows or shrinks *block (NULL: allocates) keeping its contents; on failure *block is untouched. */
qds_status qds_reallocate(qds_allocator *allocator, size_t count, size_t size, const char *tag,
                          const char *file, int line, void **block);
/* A copy of a string. */
qds_status qds_duplicate(qds_allocator *allocator, const char *text, const char *tag, const char *file,
                         int line, char **out);
/* Releases a block of any allocator; NULL is allowed. */
void qds_release(void *block);

/* `out` is the address of a typed pointer: double *x; QDS_TRY(QDS_NEW(a, n, "psi", &x)); */
#define QDS_NEW(allocator, count, tag, out)                                                                  \
  qds_allocate((allocator), (size_t)(count), sizeof **(out), (tag), __FILE__, __LINE__, (void **)(out))
#define QDS_NEW_ZERO(allocator, count, tag, out)                                                             \
  qds_allocate_zero((allocator), (size_t)(count), sizeof **(out), (tag), __FILE__, __LINE__, (void **)(out))
#define QDS_RESIZE(allocator, count, tag, inout)                                                             \
  qds_reallocate((allocator), (size_t)(count), sizeof **(inout), (tag), __FILE__, __LINE__, (void **)(inout))
#define QDS_STRDUP(allocator, text, tag, out)                                                                \
  qds_duplicate((allocator), (text), (tag), __FILE__, __LINE__, (out))

/* QDS_AUTO_RELEASE double *x = NULL; is released at the end of its scope. */
__attribute__((unused)) static inline void qds_auto_release(void *pointer) {
  qds_release(*(void **)pointer);
}
#define QDS_AUTO_RELEASE __attribute__((cleanup(qds_auto_release)))

#endif

/* The interface through which every layer takes memory.
 *
 * base only declares it; mem/heap.c is the implementation that counts, limits and reports. A block remembers
 * its allocator, so releasing needs no context. */
#ifndef QDS_BASE_ALLOCATOR_H
#define QDS_BASE_ALLOCATOR_H

#include <stddef.h>
#include <stdint.h>

#include "base/check.h"

/* Bytes: what every block is aligned to, a cache line and the widest vector register. */
enum { QDS_ALIGNMENT = 64 };

typedef struct qds_allocator qds_allocator;
typedef struct {
  qds_allocator *owner;
} qds_slab_header;

struct qds_allocator {
  /* A block of `bytes` (0 is allowed), contents undefined. `tag` and `file` are string literals and are kept
   * by address. Thread-safe. Fails with QDS_ERROR_MEMORY or QDS_ERROR_BUDGET; *out is NULL then. */
  qds_status (*allocate)(qds_allocator *self, size_t bytes, const char *tag, const char *file, int line,
                         void **out);
  /* Take back a block of this allocator: one with a header, one from a slab. Thread-safe. */
  void (*release)(qds_allocator *self, void *block);
  void (*release_small)(qds_slab_header *slab, void *block); /* NULL: it has no slabs */
  /* How many bytes a block of this allocator was asked with. */
  size_t (*bytes_of)(const qds_allocator *self, const void *block);
  void *observer; /* of a trace that watches the allocator (mem/trace.h); NULL: none does */
};

/* --- whose a block is ----------------------------------------------------------------------------------
 *
 * The address tells. A block at a multiple of QDS_HEADED_ALIGNMENT has a header directly before it. Any other
 * lies in a slab: memory of QDS_SLAB_BYTES, aligned to as much, with one header for all its blocks. So a
 * small block is given back without reading what stands at it, which often no cache of the processor holds.
 */

enum { QDS_HEADED_ALIGNMENT = 1024, QDS_SLAB_BYTES = 1 << 17, QDS_SLAB_COLOURS = 32 };

typedef struct {
  qds_allocator *owner;
  size_t bytes;
} qds_block_header;

static inline int qds_has_header(const void *block) {
  return (uintptr_t)block % QDS_HEADED_ALIGNMENT == 0;
}

static inline qds_block_header *qds_header_of(const void *block) {
  return (qds_block_header *)block - 1;
}

/* A slab's header lies in one of QDS_SLAB_COLOURS lines, so that headers do not all fall on the same few sets
 * of the processor's caches. */
static inline qds_slab_header *qds_slab_of(const void *block) {
  const uintptr_t begin = (uintptr_t)block & ~(uintptr_t)(QDS_SLAB_BYTES - 1);
  return (qds_slab_header *)(begin + begin / QDS_SLAB_BYTES % QDS_SLAB_COLOURS * QDS_ALIGNMENT);
}

/* --- what callers use ------------------------------------------------------------------------------------
 */

/* Raises the error of a product that overflows; *out becomes NULL. */
qds_status qds_refuse_overflow(size_t count, size_t size, const char *tag, const char *file, int line,
                               void **out);
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
/* How many bytes a block of any allocator was asked with. */
size_t qds_bytes_of(const void *block);

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

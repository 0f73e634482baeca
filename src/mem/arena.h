/* An arena: many small blocks that are given back together, down to a mark or all at once.
 *
 * Memory comes from an allocator in chunks and stays with the arena until it is destroyed, so that work which
 * repeats allocates nothing after its first round. Blocks are aligned to QDS_ALIGNMENT and must not be passed
 * to qds_release. An arena is used by one thread at a time. Under the address sanitizer, what was given back
 * must not be touched. */
#ifndef QDS_MEM_ARENA_H
#define QDS_MEM_ARENA_H

#include "base/allocator.h"

typedef struct qds_arena qds_arena;
typedef struct qds_arena_chunk qds_arena_chunk;

/* A position in an arena: everything allocated later lies behind it. */
typedef struct {
  qds_arena_chunk *chunk;
  size_t used;
} qds_arena_position;

/* `chunk_bytes`: the least that is taken from the allocator at once; a larger block gets a chunk of its own.
 * `tag` is a string literal. */
qds_status qds_arena_create(qds_allocator *allocator, size_t chunk_bytes, const char *tag, qds_arena **out);
void qds_arena_destroy(qds_arena *arena);
QDS_AUTO_DEFINE(qds_arena)

/* `count` elements of `size` bytes, contents undefined; 0 bytes are allowed. Errors: as the allocator's. */
qds_status qds_arena_allocate(qds_arena *arena, size_t count, size_t size, void **out);
/* double *x; QDS_TRY(QDS_ARENA_NEW(arena, n, &x)); */
#define QDS_ARENA_NEW(arena, count, out)                                                                     \
  qds_arena_allocate((arena), (size_t)(count), sizeof **(out), (void **)(out))

qds_arena_position qds_arena_mark(const qds_arena *arena);
/* Gives back every block allocated since the mark was taken. A mark dies with the reset to an earlier one. */
void qds_arena_reset_to(qds_arena *arena, qds_arena_position mark);

/* Bytes that the live blocks take, each rounded up to the alignment. */
size_t qds_arena_used(const qds_arena *arena);

#endif

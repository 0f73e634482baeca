/* The records of a best-fit pool: address ranges, used or free, and the segments that they tile. Records
 * only; the ranges themselves are never touched. Used by one thread at a time.
 *
 * Each range knows its neighbours in its segment. Free ranges stand in a search tree ordered by size and then
 * by address, used ones in a tree ordered by address. Both are treaps (Seidel, Aragon, "Randomized search
 * trees", Algorithmica 16, 1996): search trees by key that are heaps by a random priority, so that their
 * depth is O(log n) whatever the order of insertion.
 *
 * A free range may have an owner, a number that the pool chooses: only ranges of one owner are joined, and
 * each request names the owner whose ranges serve it. Pools that need no owners use 0. */
#ifndef QDS_MEM_RANGE_MAP_H
#define QDS_MEM_RANGE_MAP_H

#include "base/allocator.h"

typedef struct qds_range qds_range;
struct qds_range {
  uintptr_t begin;
  size_t bytes;
  qds_range *before, *after; /* neighbours in the segment; NULL at its ends */
  qds_range *child[2];       /* in the tree it stands in; child[0] also links spare records */
  uint32_t priority;
  uint32_t owner; /* of a free range; see below */
  uint8_t used;
  size_t purged; /* of a free range: how many of its bytes, at least, have no memory behind them */
  uintptr_t bare_begin, bare_end; /* between these addresses they lie, when there are any */
  void *note;                     /* what the pool knows of a used range */
};

typedef struct qds_range_slab qds_range_slab;

typedef struct {
  qds_range *free_root, *used_root;
  qds_range *spare;
  size_t spares;
  qds_range_slab *slabs; /* all records, for the end */
  uint64_t random;       /* of the priorities */
  size_t used_bytes, free_bytes, idle_bytes, purged_bytes;
  size_t used_ranges, free_ranges, segments;
} qds_range_map;

/* The most records that taking one block out of a new segment needs. */
enum { QDS_RANGES_PER_BLOCK = 3 };

/* Records come in slabs: made apart from the map, so that a pool can do it without its lock. */
qds_status qds_range_slab_create(qds_allocator *allocator, qds_range_slab **out);
void qds_range_map_feed(qds_range_map *map, qds_range_slab *slab);
void qds_range_map_destroy(qds_range_map *map);
/* A chain of `count` spare records, which there are, kept for later; and put back. */
qds_range *qds_range_map_hold(qds_range_map *map, int count);
void qds_range_map_put_back(qds_range_map *map, qds_range *chain);

/* The segment becomes one free range. Takes a spare record. */
qds_range *qds_range_map_add_segment(qds_range_map *map, uintptr_t begin, size_t bytes);
/* No memory lies behind a free range any more, or yet. */
void qds_range_map_note_purged(qds_range_map *map, qds_range *range);
/* Forgets a segment: `range` is its only range, and free. */
void qds_range_map_remove_segment(qds_range_map *map, qds_range *range);
static inline int qds_range_is_segment(const qds_range *range) {
  return !range->before && !range->after;
}

/* The smallest free range that holds `bytes` at a multiple of `alignment`, the lowest address among equals,
 * or NULL; for an alignment above `unit`, where many ranges may be large enough and few aligned, perhaps a
 * larger one. All sizes and addresses are multiples of `unit`. */
qds_range *qds_range_map_find(const qds_range_map *map, uint32_t owner, size_t bytes, size_t alignment,
                              size_t unit);
/* Cuts a used range of `bytes` at the first multiple of `alignment` out of a free range that holds it. Takes
 * up to two spare records. */
qds_range *qds_range_map_take(qds_range_map *map, qds_range *range, size_t bytes, size_t alignment);
/* As qds_range_map_take for `bytes` from an address on, which the range holds. */
qds_range *qds_range_map_take_at(qds_range_map *map, qds_range *range, uintptr_t begin, size_t bytes);
/* How many bytes, at most, must get memory behind them when a block is taken so. */
size_t qds_range_fresh_bytes(const qds_range *range, size_t bytes, size_t alignment);
/* The used range that begins at the address, or NULL. */
qds_range *qds_range_map_used(const qds_range_map *map, uintptr_t begin);
/* Makes a used range free and joins it with free neighbours of the same owner; `purged` of its
 * bytes have no memory behind them. */
void qds_range_map_give_back(qds_range_map *map, qds_range *range, uint32_t owner, size_t purged);
/* Gives a free range to another owner and joins it with what that one has beside it; returns the joined
 * range. */
qds_range *qds_range_map_assign(qds_range_map *map, qds_range *range, uint32_t owner);
/* The smallest and the largest free range of an owner, or NULL. */
qds_range *qds_range_map_smallest(const qds_range_map *map, uint32_t owner);
qds_range *qds_range_map_largest(const qds_range_map *map, uint32_t owner);

/* The first free range of an owner that follows (bytes, begin) in the order of size and address, or NULL. */
qds_range *qds_range_map_next(const qds_range_map *map, uint32_t owner, size_t bytes, uintptr_t begin);

/* The last range of a tree in its order; the free range before one that is or was free; NULL: none. */
qds_range *qds_range_last(qds_range *root);
qds_range *qds_range_previous_free(const qds_range_map *map, const qds_range *range);
/* Calls `visit` for every range of a tree, in its order. */
void qds_range_visit(qds_range *root, void (*visit)(void *user, qds_range *range), void *user);
/* Compares trees, neighbours and counters. Errors: INTERNAL, which names the fault. */
qds_status qds_range_map_check(const qds_range_map *map, size_t unit);

#endif

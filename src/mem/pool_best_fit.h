/* A pool for large blocks: coalescing best fit over ranges that a provider gives.
 *
 * Structure. What the provider gives at once is a segment. A segment is cut into ranges, used or free, each
 * known by a record that lies apart from it, so that the pool serves memory which the host cannot touch. A
 * free range never stands next to a free range of the same segment: they are joined when a block comes back.
 * A block is taken from the smallest free range that holds it, the lowest address among equals; allocation
 * and release take O(log n) steps for n ranges.
 *
 * Concurrency. One lock guards the records. The provider is never called with the lock held, so a thread that
 * waits for the system does not make the others wait; what it asks for counts as reserved meanwhile, so that
 * threads cannot pass the limit together. Every function is thread-safe unless it says otherwise. */
#ifndef QDS_MEM_POOL_BEST_FIT_H
#define QDS_MEM_POOL_BEST_FIT_H

#include "mem/provider.h"

typedef struct qds_best_fit qds_best_fit;

typedef struct {
  size_t struct_size;
  const char *name;         /* for messages, a string literal: "device pool" */
  qds_provider provider;    /* stays the caller's and outlives the pool */
  qds_allocator *allocator; /* of the host, for the records; outlives the pool */
  size_t unit;              /* of sizes and addresses: a power of two from 64 to the provider's alignment */
  size_t segment_bytes;     /* the least that is taken from the provider at once */
  size_t limit;             /* bytes that may be taken from the provider at once, 0: none */
  /* Before the pool reserves more than this times the most bytes that were ever used at once, it gives back
   * what is free and of no use for the block: segments that are wholly free, then the pages of other free
   * ranges where the provider can purge. At least 1; 0: it never does, except at the limit. */
  double reserve_ratio;
  /* After a release, idle segments beyond this or what is in use, whichever is more, go back; 0: none do. */
  size_t idle_bytes;
} qds_best_fit_options;

#define QDS_BEST_FIT_OPTIONS_INIT                                                                            \
  { sizeof(qds_best_fit_options), "pool", {0, 0}, 0, 256, 0, 0, 0, 0 }

typedef struct {
  size_t used_bytes, peak_used_bytes; /* of blocks, rounded up to the unit */
  /* Taken from the provider and not purged. Ranges of a provider that can purge have no memory behind them
   * before they are first used. */
  size_t reserved_bytes, peak_reserved_bytes;
  size_t free_bytes, largest_free_bytes;
  size_t idle_bytes;   /* of segments that are wholly free: what trim can give back */
  size_t purged_bytes; /* free bytes without memory behind them */
  size_t used_blocks, free_ranges, segments;
  uint64_t total_blocks, growths, trims; /* ever: blocks, segments taken and given back */
  double fragmentation;                  /* 1 - largest free range / free bytes; 0 when nothing is free */
} qds_best_fit_statistics;

/* Errors: ARGUMENT (an option, named), UNSUPPORTED (the provider's table), MEMORY. */
qds_status qds_best_fit_create(const qds_best_fit_options *options, qds_best_fit **out);
/* Gives all segments back, also those with used blocks. Not thread-safe. NULL is allowed. */
void qds_best_fit_destroy(qds_best_fit *pool);
QDS_AUTO_DEFINE(qds_best_fit)

/* A block of `bytes` (0: one unit), aligned to `alignment` (a power of two, or 0: the unit). When no free
 * range holds it, the pool grows; when the limit or the provider refuses, idle segments are given back and
 * the provider is asked once more. Errors: ARGUMENT, BUDGET (the pool's limit), MEMORY, those of the
 * provider. */
qds_status qds_best_fit_allocate(qds_best_fit *pool, size_t bytes, size_t alignment, void **out);
/* As qds_best_fit_allocate from what is free already: *out is NULL when no free range holds the block. */
qds_status qds_best_fit_try(qds_best_fit *pool, size_t bytes, size_t alignment, void **out);
/* Errors: ARGUMENT when `block` is not the begin of a used block; NULL is allowed. */
qds_status qds_best_fit_release(qds_best_fit *pool, void *block);
/* The size of a used block, rounded up to the unit; 0 when `block` is none. */
size_t qds_best_fit_bytes(qds_best_fit *pool, const void *block);

/* Gives idle segments back until at most `keep` bytes are idle, the smallest first, and lets the system have
 * the pages of every other free range where the provider can. Returns how many bytes went. */
size_t qds_best_fit_trim(qds_best_fit *pool, size_t keep);

void qds_best_fit_read(qds_best_fit *pool, qds_best_fit_statistics *out);
/* Calls `visit` for every used block, in no order, with the lock held: it must not call the pool. */
void qds_best_fit_visit(qds_best_fit *pool, void (*visit)(void *user, void *block, size_t bytes), void *user);
/* For tests: compares all records with each other and with the counters. Errors: INTERNAL, which names the
 * fault. */
qds_status qds_best_fit_check(qds_best_fit *pool);

#endif

/* The accounting heap: aligned blocks with tags, peaks, a budget, leak reports and injected failures.
 *
 * Structure. Blocks up to QDS_CLASS_BLOCK_MOST bytes come from size classes with a cache per thread, larger
 * ones from best-fit pools of host memory: one for blocks below a MiB and one for those above, so that a
 * small block never keeps a large range from being whole; the slabs of the size classes have a pool of their
 * own for the same reason. Tag and source line of every block are known: those of a small one from the word
 * that its slab keeps for it, those of a larger one from the record before it. The leak report walks the
 * pools.
 *
 * Concurrency. Small blocks are taken, counted and given back without a lock or an atomic read-modify-write
 * (pool_classes.h, account.h); large ones take one lock of O(log n) steps. With a limit each block also takes
 * two atomic read-modify-writes (budget.h).
 *
 * What is given back stays with the heap, at most as much as is in use or QDS_HEAP_IDLE_BYTES, whichever is
 * more; the rest goes back to the system. The pool of large blocks holds at most 1.15 times the most that it
 * ever lent at once: beyond that, free memory goes back before fresh memory is taken. */
#ifndef QDS_MEM_HEAP_H
#define QDS_MEM_HEAP_H

#include "base/allocator.h"
#include "mem/pool_best_fit.h"
#include "qdsim/context.h"

typedef struct qds_heap qds_heap;

enum { QDS_HEAP_IDLE_BYTES = 512 << 20 };

/* What a heap knows of its blocks. */
typedef enum {
  QDS_HEAP_PLAIN,      /* nothing: all counts are 0 and no leak is found */
  QDS_HEAP_STATISTICS, /* bytes and blocks by tag */
  QDS_HEAP_TRACKING    /* and the source line of every block */
} qds_heap_detail;

/* One leaked block at destruction. */
typedef void (*qds_leak_fn)(void *user, const char *tag, size_t bytes, const char *file, int line);

/* limit: bytes, 0 for none. The heap's own records live outside the account. */
qds_status qds_heap_create(size_t limit, qds_heap **out); /* tracking */
qds_status qds_heap_create_with(size_t limit, qds_heap_detail detail, qds_heap **out);
/* Reports every live block through `leak` (may be NULL), then frees them all and the heap. No other thread
 * uses the heap, and none that has used it may be ending meanwhile. */
void qds_heap_destroy(qds_heap *heap, qds_leak_fn leak, void *user);

qds_allocator *qds_heap_allocator(qds_heap *heap);
/* The counts are exact when no other thread is at work; the total's peak may be wrong by 64 KiB for each
 * thread but the first (it is exact when there is a limit), a tag's by as much for each tag that such a
 * thread uses. */
void qds_heap_total(qds_heap *heap, qds_memory_row *total);
int qds_heap_tag(qds_heap *heap, size_t index, qds_memory_row *row);
/* The n-th request from now on fails; 0: none does. Returns how many requests were still to come before the
 * failure that was asked for last; 0 when it has happened. */
uint64_t qds_heap_fail(qds_heap *heap, uint64_t n);
/* Counts memory of the host that others took, under the tag and the limit, as if it were a block of the heap:
 * page-locked memory. Thread-safe. Errors: those of an allocation. */
qds_status qds_heap_hold(qds_heap *heap, size_t bytes, const char *tag, const char *file, int line);
void qds_heap_let_go(qds_heap *heap, size_t bytes, const char *tag);
/* Whether the limit leaves room for `bytes` more just now. */
int qds_heap_has_room(const qds_heap *heap, size_t bytes);
/* Fails with QDS_ERROR_BUDGET when `bytes` more would pass the limit, or what the machine has free: called
 * with the whole need of a computation before it starts, so that the refusal comes first and names
 * the sum. */
qds_status qds_heap_reserve_check(qds_heap *heap, size_t bytes, const char *purpose);

/* Gives the system back what no block needs. Caches of other threads keep what they have. Returns how many
 * bytes went. */
size_t qds_heap_trim(qds_heap *heap);

typedef enum { QDS_HEAP_SLABS, QDS_HEAP_MEDIUM, QDS_HEAP_LARGE, QDS_HEAP_POOLS } qds_heap_pool;
/* The figures of one of the heap's pools: reserved against used, fragmentation. */
void qds_heap_read_pool(qds_heap *heap, qds_heap_pool pool, qds_best_fit_statistics *out);
/* For tests, at rest: the invariants of all pools. Errors: INTERNAL, which names the fault. */
qds_status qds_heap_check(qds_heap *heap);

#endif

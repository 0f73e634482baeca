/* The accounting heap: aligned blocks with tags, peaks, a budget, leak reports and injected failures. */
#ifndef QDS_MEM_HEAP_H
#define QDS_MEM_HEAP_H

#include "base/allocator.h"
#include "qdsim/context.h"

typedef struct qds_heap qds_heap;

/* One leaked block at destruction. */
typedef void (*qds_leak_fn)(void *user, const char *tag, size_t bytes, const char *file, int line);

/* limit: bytes, 0 for none. The heap's own record lives outside the account. */
qds_status qds_heap_create(size_t limit, qds_heap **out);
/* Reports every live block through `leak` (may be NULL), then frees them all and the heap. */
void qds_heap_destroy(qds_heap *heap, qds_leak_fn leak, void *user);

qds_allocator *qds_heap_allocator(qds_heap *heap);
void qds_heap_total(qds_heap *heap, qds_memory_row *total);
int qds_heap_tag(qds_heap *heap, size_t index, qds_memory_row *row);
void qds_heap_fail(qds_heap *heap, uint64_t n);
/* Fails with QDS_ERROR_BUDGET when `bytes` more would pass the limit, or what the machine has free: called
 * with the whole need of a computation before it starts, so that the refusal comes first and names
 * the sum. */
qds_status qds_heap_reserve_check(qds_heap *heap, size_t bytes, const char *purpose);

#endif

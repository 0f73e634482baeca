/* An allocator in front of the heap that puts into files what does not fit into the memory budget.
 *
 * Large blocks beyond the budget, of which a part is left to small ones, become file regions
 * (provider_file.h), whose mapped pages a pager keeps within what the heap leaves of the budget. Small
 * blocks, and blocks that fit, come from the heap; where no file can be made, all that is left. So the
 * budget bounds the heap's blocks exactly, and these plus the mapped pages as closely as the pager can
 * follow. What is in files does not count in the heap's account, but for the record of each block: so leaks
 * and injected failures are the heap's business in both cases. */
#ifndef QDS_MEM_OVERFLOW_H
#define QDS_MEM_OVERFLOW_H

#include "mem/heap.h"

typedef struct qds_overflow qds_overflow;

enum { QDS_OVERFLOW_MOST_TAGS = 8 };

/* `limit` is the heap's. `folder`: where the files go; it is looked at when the first is needed. */
qds_status qds_overflow_create(qds_heap *heap, size_t limit, const char *folder, qds_overflow **out);
/* Before the heap. Gives back the files of blocks that are still held. NULL is allowed. */
void qds_overflow_destroy(qds_overflow *overflow);
qds_allocator *qds_overflow_allocator(qds_overflow *overflow);

/* As qds_heap_reserve_check, for `bytes` of which files may take what the budget does not hold, *file_bytes.
 * With `often_used` (NULL-terminated, literals) it is also the plan for what follows: when all of it fits,
 * all goes to memory as long as it keeps to the plan or near it; else only large blocks with one of these
 * tags do, as long as they fit: those that the computation touches most. NULL: a check alone. Errors: BUDGET
 * (the limit is below what cannot be in files; the scratch folder cannot be used, or has no room: named). */
qds_status qds_overflow_reserve_check(qds_overflow *overflow, size_t bytes, const char *purpose,
                                      const char *const *often_used, size_t *file_bytes);

void qds_overflow_usage(qds_overflow *overflow, qds_memory_files *out);

#endif

/* Host memory bound to one NUMA node, with the kernel's word for it. */
#ifndef QDS_MEM_PROVIDER_NUMA_H
#define QDS_MEM_PROVIDER_NUMA_H

#include "mem/provider_host.h"

typedef struct {
  size_t pages;     /* in the range, of QDS_PAGE_BYTES */
  size_t placed;    /* on the node that was asked for */
  size_t astray;    /* on another one */
  size_t untouched; /* nowhere yet */
} qds_numa_placement;

/* Memory of the node with this number of the operating system. Each range is bound, its first page is
 * touched, and the kernel is asked whether binding and page are on the node: an allocation whose answer
 * differs fails with QDS_ERROR_MEMORY. When the node is full, touching a page of a range ends in the kernel's
 * out-of-memory handling. Close with qds_provider_close. Errors: ARGUMENT (no such node, with those there
 * are), UNSUPPORTED (the kernel neither binds nor tells), MEMORY. */
qds_status qds_provider_numa_open(qds_allocator *allocator, int node, qds_host_pages pages,
                                  qds_provider *out);

/* Asks the kernel where the pages of a range lie. Errors: MEMORY when a page lies on another node, and `out`
 * tells how many; UNSUPPORTED when the kernel does not tell. `out` may be NULL. */
qds_status qds_numa_verify(const void *range, size_t bytes, int node, qds_numa_placement *out);

#endif

/* An accelerator: one opened device of a back end (qds_device is the quantum-dot device). */
#ifndef QDS_MEM_ACCELERATOR_H
#define QDS_MEM_ACCELERATOR_H

#include "base/allocator.h"
#include "mem/backend.h"
#include "mem/heap.h"

typedef struct qds_stream_pool qds_stream_pool;
typedef struct qds_staging qds_staging;
typedef struct qds_trace qds_trace;

typedef struct qds_accelerator {
  const qds_backend *backend; /* its operations are called through qds_backend_of */
  void *state;
  char *here; /* a page that begins with 1, or, in a process that fork made, with 0 */
  int index;
  qds_accelerator_properties properties;
  qds_allocator *allocator; /* of the host, for bookkeeping */
  qds_heap *heap;           /* whose limit page-locked memory counts under; NULL: none */
  qds_stream_pool *pool;    /* of the device's memory; what qds_stream_allocate takes from */
  qds_staging *staging;     /* page-locked memory for copies of pageable memory and files */
  qds_leak_fn leak;         /* told of blocks of the pool that are held at the end; may be NULL */
  void *leak_user;
  /* Asked when the pool has no room for `bytes`, which `lack` and the last error say: QDS_OK when something
   * was moved out of the way, so that another try is worth while. May be NULL. */
  qds_status (*reclaim)(void *user, size_t bytes, qds_status lack);
  void *reclaim_user;
  qds_trace *trace; /* told of every block but those of the host's heap; NULL: none */
} qds_accelerator;

/* What the library gives to its plugins. */
const qds_host_api *qds_backend_host(void);
/* Refuses a table that this library cannot use, with the reason. */
qds_status qds_backend_check(const qds_backend *backend);

/* Opens device `index` of a back end. `limit`: bytes of device memory that may be held at once, 0: what there
 * is. Errors: UNSUPPORTED, MEMORY, those of the back end. */
qds_status qds_accelerator_create(const qds_backend *backend, int index, size_t limit,
                                  qds_allocator *allocator, qds_accelerator **out);
/* Everything taken from it has been given back before. NULL is allowed. */
void qds_accelerator_destroy(qds_accelerator *accelerator);
QDS_AUTO_DEFINE(qds_accelerator)

/* What takes the place of a back end where its device cannot be used. */
extern const qds_backend qds_orphan_backend;
/* The operations: in a process that fork made, those that refuse work and give nothing back. */
static inline const qds_backend *qds_backend_of(const qds_accelerator *accelerator) {
  return *accelerator->here ? accelerator->backend : &qds_orphan_backend;
}

/* Memory straight from the back end, for pools, pinned staging and tests. */
qds_status qds_accelerator_allocate(qds_accelerator *accelerator, qds_memory_kind kind, size_t bytes,
                                    void **out);
void qds_accelerator_release(qds_accelerator *accelerator, qds_memory_kind kind, void *block);
/* Counts memory outside the device's pool under the limit of where it lies: page-locked and mapped memory
 * under the host's, managed memory under the device's. Errors: BUDGET, MEMORY. */
qds_status qds_accelerator_hold(qds_accelerator *accelerator, qds_memory_kind kind, size_t bytes,
                                const char *tag);
void qds_accelerator_let_go(qds_accelerator *accelerator, qds_memory_kind kind, size_t bytes,
                            const char *tag);
qds_status qds_accelerator_memory(qds_accelerator *accelerator, size_t *free_bytes, size_t *total_bytes);
/* For tests: the n-th such operation from now fails; 0 switches it off. UNSUPPORTED on real devices. */
qds_status qds_accelerator_inject(qds_accelerator *accelerator, qds_injection what, uint64_t n);

#endif

#include "mem/accelerator.h"

#include <sys/mman.h>

#include "mem/pool_stream.h"
#include "mem/staging.h"

static const qds_host_api host_api = {QDS_BACKEND_ABI, sizeof(qds_host_api), qds_raise};

/* Slots that every back end fills. */
#define REQUIRED_SLOTS(X)                                                                                    \
  X(name)                                                                                                    \
  X(probe)                                                                                                   \
  X(open)                                                                                                    \
  X(close)                                                                                                   \
  X(allocate)                                                                                                \
  X(release)                                                                                                 \
  X(memory)                                                                                                  \
  X(copy)                                                                                                    \
  X(fill)                                                                                                    \
  X(stream_create)                                                                                           \
  X(stream_destroy)                                                                                          \
  X(stream_synchronise)                                                                                      \
  X(stream_idle)                                                                                             \
  X(event_create)                                                                                            \
  X(event_destroy)                                                                                           \
  X(event_record)                                                                                            \
  X(event_wait)                                                                                              \
  X(event_synchronise)                                                                                       \
  X(event_done)                                                                                              \
  X(event_seconds)                                                                                           \
  X(host_function)

static qds_status check_slots(const qds_backend *backend) {
#define CHECK_SLOT(slot)                                                                                     \
  if (!backend->slot) QDS_FAIL(QDS_ERROR_UNSUPPORTED, "its table lacks " #slot);
  REQUIRED_SLOTS(CHECK_SLOT)
#undef CHECK_SLOT
  if (!backend->launch == !backend->run)
    QDS_FAIL(QDS_ERROR_UNSUPPORTED, "it must either launch kernels of its own or run the library's");
  const int graphs =
      !!backend->capture_begin + !!backend->capture_end + !!backend->graph_launch + !!backend->graph_destroy;
  if (graphs != 0 && graphs != 4)
    QDS_FAIL(QDS_ERROR_UNSUPPORTED, "its table has some of the operations of graphs and lacks others");
  const int pieces = !!backend->piece_create + !!backend->piece_destroy + !!backend->addresses_reserve +
                     !!backend->addresses_release + !!backend->piece_map + !!backend->piece_unmap;
  if (pieces != 0 && pieces != 6)
    QDS_FAIL(QDS_ERROR_UNSUPPORTED,
             "its table has some of the operations of memory in pieces and lacks others");
  return QDS_OK;
}

qds_status qds_backend_check(const qds_backend *backend) {
  if (!backend) QDS_FAIL(QDS_ERROR_UNSUPPORTED, "it offers no table");
  if (backend->abi != QDS_BACKEND_ABI)
    QDS_FAIL(QDS_ERROR_UNSUPPORTED, "made for interface %u; this library has %d", backend->abi,
             QDS_BACKEND_ABI);
  if (backend->size < sizeof *backend)
    QDS_FAIL(QDS_ERROR_UNSUPPORTED, "its table has %zu bytes; this library needs %zu", backend->size,
             sizeof *backend);
  return check_slots(backend);
}

const qds_host_api *qds_backend_host(void) {
  return &host_api;
}

/* The kernel clears the page for processes that fork makes (from Linux 4.14 on; before, these are not told
 * apart). */
static qds_status mark_process(qds_accelerator *accelerator) {
  void *page = mmap(NULL, 1, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (page == MAP_FAILED) QDS_FAIL(QDS_ERROR_MEMORY, "out of memory: no room for the mark of a device");
  (void)madvise(page, 1, MADV_WIPEONFORK);
  accelerator->here = page;
  *accelerator->here = 1;
  return QDS_OK;
}

qds_status qds_accelerator_create(const qds_backend *backend, int index, size_t limit,
                                  qds_allocator *allocator, qds_accelerator **out) {
  *out = NULL;
  QDS_TRY(qds_backend_check(backend));
  char why[512] = "";
  const int count = backend->probe(&host_api, why, sizeof why);
  if (count == 0) QDS_FAIL(QDS_ERROR_UNSUPPORTED, "no device \"%s\": %s", backend->name, why);
  if (index < 0 || index >= count)
    QDS_FAIL(QDS_ERROR_UNSUPPORTED, "no device \"%s:%d\"; this machine has %d, numbered from 0",
             backend->name, index, count);
  QDS_AUTO(qds_accelerator) *accelerator = NULL;
  QDS_TRY(QDS_NEW_ZERO(allocator, 1, "accelerator", &accelerator));
  *accelerator = (qds_accelerator){.backend = backend, .index = index, .allocator = allocator};
  QDS_TRY(mark_process(accelerator));
  QDS_TRY(backend->open(&host_api, index, &accelerator->state, &accelerator->properties));
  QDS_TRY(qds_stream_pool_create(accelerator, limit, &accelerator->pool));
  QDS_TRY(qds_staging_create(accelerator, &accelerator->staging));
  *out = accelerator;
  accelerator = NULL;
  return QDS_OK;
}

void qds_accelerator_destroy(qds_accelerator *accelerator) {
  if (!accelerator) return;
  qds_staging_destroy(accelerator->staging);
  qds_stream_pool_destroy(accelerator->pool, accelerator->leak, accelerator->leak_user);
  if (accelerator->state) qds_backend_of(accelerator)->close(accelerator->state);
  if (accelerator->here) munmap(accelerator->here, 1);
  qds_release(accelerator);
}

qds_status qds_accelerator_allocate(qds_accelerator *accelerator, qds_memory_kind kind, size_t bytes,
                                    void **out) {
  *out = NULL;
  return qds_backend_of(accelerator)->allocate(accelerator->state, kind, bytes, out);
}

void qds_accelerator_release(qds_accelerator *accelerator, qds_memory_kind kind, void *block) {
  if (block) qds_backend_of(accelerator)->release(accelerator->state, kind, block);
}

qds_status qds_accelerator_hold(qds_accelerator *accelerator, qds_memory_kind kind, size_t bytes,
                                const char *tag) {
  if (kind == QDS_MEMORY_MANAGED) return qds_stream_pool_hold(accelerator->pool, bytes, tag);
  return accelerator->heap ? qds_heap_hold(accelerator->heap, bytes, tag, __FILE__, __LINE__) : QDS_OK;
}

void qds_accelerator_let_go(qds_accelerator *accelerator, qds_memory_kind kind, size_t bytes,
                            const char *tag) {
  if (kind == QDS_MEMORY_MANAGED)
    qds_stream_pool_let_go(accelerator->pool, bytes);
  else if (accelerator->heap)
    qds_heap_let_go(accelerator->heap, bytes, tag);
}

qds_status qds_accelerator_memory(qds_accelerator *accelerator, size_t *free_bytes, size_t *total_bytes) {
  return qds_backend_of(accelerator)->memory(accelerator->state, free_bytes, total_bytes);
}

qds_status qds_accelerator_inject(qds_accelerator *accelerator, qds_injection what, uint64_t n) {
  if (!accelerator->backend->inject)
    QDS_FAIL(QDS_ERROR_UNSUPPORTED, "the device \"%s\" injects no failures", accelerator->backend->name);
  return qds_backend_of(accelerator)->inject(accelerator->state, what, n);
}

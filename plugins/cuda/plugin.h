/* What the parts of the CUDA plugin share. */
#ifndef QDS_PLUGINS_CUDA_PLUGIN_H
#define QDS_PLUGINS_CUDA_PLUGIN_H

#include <pthread.h>
#include <stddef.h>

#include <cuda_runtime.h>

#include "mem/backend.h"
#include "mem/kernel.h"

typedef struct qds_cublas qds_cublas;
typedef struct qds_cuda_driver qds_cuda_driver;

/* An opened device. Slots that return nothing keep their first error here, for the next synchronisation. */
typedef struct {
  const qds_host_api *host;
  int index;
  int kept_error; /* a cudaError_t; atomic */
  const char *kept_call;
  pthread_mutex_t lock;    /* of cublas */
  qds_cublas *cublas;      /* NULL until a product is wanted */
  qds_cuda_driver *driver; /* functions for memory in pieces; NULL until addresses are reserved */
} qds_cuda;

/* Raises a failed call of the run-time library: "cudaMemcpyAsync(...)" is cut at the parenthesis. */
qds_status qds_cuda_fail(const qds_cuda *device, cudaError_t error, const char *call, const char *file,
                         int line);
/* For calls that must not fail and cannot be reported where they stand. */
void qds_cuda_keep(qds_cuda *device, cudaError_t error, const char *call);

#define CUDA_CHECK(device, error, call)                                                                      \
  do {                                                                                                       \
    const cudaError_t cuda_error = (error);                                                                  \
    if (cuda_error != cudaSuccess) return qds_cuda_fail((device), cuda_error, (call), __FILE__, __LINE__);   \
  } while (0)
#define CUDA_TRY(device, call) CUDA_CHECK((device), (call), #call)
#define CUDA_KEEP(device, call) qds_cuda_keep((device), (call), #call)

#define CUDA_RAISE(device, status, ...) (device)->host->raise((status), __FILE__, __LINE__, 0, __VA_ARGS__)

/* Makes the device current in this thread for a scope, and then the one that was: other users of CUDA in the
 * process (CuPy, PyTorch) keep theirs. */
class qds_cuda_scope {
public:
  explicit qds_cuda_scope(const qds_cuda *device) : previous_(device->index) {
    error = cudaGetDevice(&previous_);
    if (error == cudaSuccess && previous_ != device->index) error = cudaSetDevice(device->index);
    changed_ = error == cudaSuccess && previous_ != device->index;
  }
  ~qds_cuda_scope() {
    if (changed_) (void)cudaSetDevice(previous_);
  }
  qds_cuda_scope(const qds_cuda_scope &) = delete;
  qds_cuda_scope &operator=(const qds_cuda_scope &) = delete;
  cudaError_t error;

private:
  int previous_;
  bool changed_ = false;
};

/* Opens every slot: `state` as the device, current until the slot returns. */
#define CUDA_ENTER(device, state)                                                                            \
  qds_cuda *device = (qds_cuda *)(state);                                                                    \
  qds_cuda_scope scope(device);                                                                              \
  CUDA_CHECK(device, scope.error, "cudaSetDevice")
#define CUDA_ENTER_KEEPING(device, state)                                                                    \
  qds_cuda *device = (qds_cuda *)(state);                                                                    \
  qds_cuda_scope scope(device);                                                                              \
  qds_cuda_keep(device, scope.error, "cudaSetDevice")

/* Enqueues a matrix product through cuBLAS (la/matrix_product.h). */
qds_status qds_cuda_product(qds_cuda *device, cudaStream_t stream, const void *arguments);
/* Lets go of what cuBLAS holds for a stream, or of everything. */
void qds_cuda_product_forget(qds_cuda *device, cudaStream_t stream);
void qds_cuda_product_end(qds_cuda *device);

/* The slots; backend.h says what each does. */
int qds_cuda_probe(const qds_host_api *host, char *why, size_t why_bytes);
qds_status qds_cuda_open(const qds_host_api *host, int index, void **state,
                         qds_accelerator_properties *properties);
void qds_cuda_close(void *state);

qds_status qds_cuda_allocate(void *state, qds_memory_kind kind, size_t bytes, void **out);
void qds_cuda_release(void *state, qds_memory_kind kind, void *block);
qds_status qds_cuda_memory(void *state, size_t *free_bytes, size_t *total_bytes);
qds_status qds_cuda_copy(void *state, void *stream, void *to, const void *from, size_t bytes);
qds_status qds_cuda_fill(void *state, void *stream, void *to, int byte, size_t bytes);

qds_status qds_cuda_stream_create(void *state, void **stream);
void qds_cuda_stream_destroy(void *state, void *stream);
qds_status qds_cuda_stream_synchronise(void *state, void *stream);
qds_status qds_cuda_stream_idle(void *state, void *stream, int *idle);
qds_status qds_cuda_event_create(void *state, void **event);
void qds_cuda_event_destroy(void *state, void *event);
qds_status qds_cuda_event_record(void *state, void *event, void *stream);
qds_status qds_cuda_event_wait(void *state, void *event, void *stream);
qds_status qds_cuda_event_synchronise(void *state, void *event);
qds_status qds_cuda_event_done(void *state, void *event, int *done);
qds_status qds_cuda_event_seconds(void *state, void *start, void *end, double *seconds);
qds_status qds_cuda_host_function(void *state, void *stream, void (*function)(void *), void *data);

qds_status qds_cuda_launch(void *state, void *stream, int kernel, const void *arguments, size_t bytes);

qds_status qds_cuda_capture_begin(void *state, void *stream);
qds_status qds_cuda_capture_end(void *state, void *stream, void **graph);
qds_status qds_cuda_graph_launch(void *state, void *graph, void *stream);
void qds_cuda_graph_destroy(void *state, void *graph);

qds_status qds_cuda_piece_create(void *state, size_t bytes, void **piece);
void qds_cuda_piece_destroy(void *state, void *piece);
qds_status qds_cuda_addresses_reserve(void *state, size_t bytes, void **begin);
void qds_cuda_addresses_release(void *state, void *begin, size_t bytes);
qds_status qds_cuda_piece_map(void *state, void *begin, void *piece, size_t bytes);
void qds_cuda_piece_unmap(void *state, void *begin, size_t bytes);

#endif

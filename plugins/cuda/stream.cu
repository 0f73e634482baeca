/* Streams, events, host functions and graphs of the CUDA plugin. */
#include "plugin.h"

/* --- streams -------------------------------------------------------------------------------------------- */

qds_status qds_cuda_stream_create(void *state, void **stream) {
  cudaStream_t made = NULL;
  *stream = NULL;
  CUDA_ENTER(device, state);
  CUDA_TRY(device, cudaStreamCreateWithFlags(&made, cudaStreamNonBlocking));
  *stream = made;
  return QDS_OK;
}

void qds_cuda_stream_destroy(void *state, void *stream) {
  CUDA_ENTER_KEEPING(device, state);
  CUDA_KEEP(device, cudaStreamSynchronize((cudaStream_t)stream));
  qds_cuda_product_forget(device, (cudaStream_t)stream);
  CUDA_KEEP(device, cudaStreamDestroy((cudaStream_t)stream));
}

qds_status qds_cuda_stream_synchronise(void *state, void *stream) {
  CUDA_ENTER(device, state);
  CUDA_TRY(device, cudaStreamSynchronize((cudaStream_t)stream));
  const cudaError_t kept =
      (cudaError_t)__atomic_exchange_n(&device->kept_error, (int)cudaSuccess, __ATOMIC_ACQ_REL);
  if (kept == cudaSuccess) return QDS_OK;
  const char *call = __atomic_load_n(&device->kept_call, __ATOMIC_ACQUIRE);
  return qds_cuda_fail(device, kept, call ? call : "a release", __FILE__, __LINE__);
}

qds_status qds_cuda_stream_idle(void *state, void *stream, int *idle) {
  CUDA_ENTER(device, state);
  const cudaError_t answer = cudaStreamQuery((cudaStream_t)stream);
  *idle = answer == cudaSuccess;
  if (answer == cudaErrorNotReady)
    (void)cudaGetLastError(); /* an answer, no error */
  else
    CUDA_CHECK(device, answer, "cudaStreamQuery");
  return QDS_OK;
}

qds_status qds_cuda_host_function(void *state, void *stream, void (*function)(void *), void *data) {
  CUDA_ENTER(device, state);
  CUDA_TRY(device, cudaLaunchHostFunc((cudaStream_t)stream, function, data));
  return QDS_OK;
}

/* --- events --------------------------------------------------------------------------------------------- */

qds_status qds_cuda_event_create(void *state, void **event) {
  cudaEvent_t made = NULL;
  *event = NULL;
  CUDA_ENTER(device, state);
  CUDA_TRY(device, cudaEventCreate(&made));
  *event = made;
  return QDS_OK;
}

void qds_cuda_event_destroy(void *state, void *event) {
  CUDA_ENTER_KEEPING(device, state);
  CUDA_KEEP(device, cudaEventDestroy((cudaEvent_t)event));
}

qds_status qds_cuda_event_record(void *state, void *event, void *stream) {
  CUDA_ENTER(device, state);
  CUDA_TRY(device, cudaEventRecord((cudaEvent_t)event, (cudaStream_t)stream));
  return QDS_OK;
}

qds_status qds_cuda_event_wait(void *state, void *event, void *stream) {
  CUDA_ENTER(device, state);
  CUDA_TRY(device, cudaStreamWaitEvent((cudaStream_t)stream, (cudaEvent_t)event, 0));
  return QDS_OK;
}

qds_status qds_cuda_event_synchronise(void *state, void *event) {
  CUDA_ENTER(device, state);
  CUDA_TRY(device, cudaEventSynchronize((cudaEvent_t)event));
  return QDS_OK;
}

qds_status qds_cuda_event_done(void *state, void *event, int *done) {
  CUDA_ENTER(device, state);
  const cudaError_t answer = cudaEventQuery((cudaEvent_t)event);
  *done = answer == cudaSuccess;
  if (answer == cudaErrorNotReady)
    (void)cudaGetLastError();
  else
    CUDA_CHECK(device, answer, "cudaEventQuery");
  return QDS_OK;
}

qds_status qds_cuda_event_seconds(void *state, void *start, void *end, double *seconds) {
  float milliseconds = 0;
  CUDA_ENTER(device, state);
  CUDA_TRY(device, cudaEventSynchronize((cudaEvent_t)end));
  CUDA_TRY(device, cudaEventElapsedTime(&milliseconds, (cudaEvent_t)start, (cudaEvent_t)end));
  *seconds = 1e-3 * milliseconds;
  return QDS_OK;
}

/* --- graphs --------------------------------------------------------------------------------------------- */

/* Relaxed: what others do meanwhile is no part of the graph and cannot spoil it, and the device pool may
 * serve other streams from the same thread, which asks for events: the stricter modes forbid that. */
qds_status qds_cuda_capture_begin(void *state, void *stream) {
  CUDA_ENTER(device, state);
  CUDA_TRY(device, cudaStreamBeginCapture((cudaStream_t)stream, cudaStreamCaptureModeRelaxed));
  return QDS_OK;
}

qds_status qds_cuda_capture_end(void *state, void *stream, void **graph) {
  cudaGraph_t drawn = NULL;
  cudaGraphExec_t made = NULL;
  *graph = NULL;
  CUDA_ENTER(device, state);
  CUDA_TRY(device, cudaStreamEndCapture((cudaStream_t)stream, &drawn));
  const cudaError_t error = cudaGraphInstantiate(&made, drawn, 0);
  CUDA_KEEP(device, cudaGraphDestroy(drawn));
  CUDA_CHECK(device, error, "cudaGraphInstantiate");
  *graph = made;
  return QDS_OK;
}

qds_status qds_cuda_graph_launch(void *state, void *graph, void *stream) {
  CUDA_ENTER(device, state);
  CUDA_TRY(device, cudaGraphLaunch((cudaGraphExec_t)graph, (cudaStream_t)stream));
  return QDS_OK;
}

void qds_cuda_graph_destroy(void *state, void *graph) {
  CUDA_ENTER_KEEPING(device, state);
  CUDA_KEEP(device, cudaGraphExecDestroy((cudaGraphExec_t)graph));
}

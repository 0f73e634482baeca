/* Matrix products through cuBLAS: one handle per stream, since a handle's workspace belongs to one product at
 * a time. */
#include "la/matrix_product.h"

#include <stdlib.h>

#include "cublas.h"

/* What cuBLAS takes for itself on Hopper. Given by us, products can be captured in graphs. */
enum { WORKSPACE_BYTES = 32 << 20 };

typedef struct stream_handle {
  cudaStream_t stream;
  cublas_handle handle;
  void *workspace;
  struct stream_handle *next;
} stream_handle;

struct qds_cublas {
  qds_cublas_functions functions;
  stream_handle *handles;
};

static qds_status fail(const qds_cuda *device, int status, const char *call) {
  const qds_cublas_functions *f = &device->cublas->functions;
  return device->host->raise(status == CUBLAS_ALLOC_FAILED ? QDS_ERROR_MEMORY : QDS_ERROR_INTERNAL, __FILE__,
                             __LINE__, status, "cuda:%d: %s: %s (%s)", device->index, call,
                             f->status_text(status), f->path);
}

static qds_status load(qds_cuda *device) {
  char tried[2048];
  if (device->cublas) return QDS_OK;
  qds_cublas *made = (qds_cublas *)calloc(1, sizeof *made);
  if (!made) return CUDA_RAISE(device, QDS_ERROR_MEMORY, "out of memory: %zu bytes for cuBLAS", sizeof *made);
  if (!qds_cublas_load(&made->functions, tried, sizeof tried)) {
    free(made);
    return CUDA_RAISE(device, QDS_ERROR_UNSUPPORTED,
                      "matrix products on cuda need cuBLAS, which is not found; install libcublas of CUDA %d "
                      "or set QDSIM_CUBLAS to its path (tried: %s)",
                      CUDART_VERSION / 1000, tried);
  }
  device->cublas = made;
  return QDS_OK;
}

static void release(qds_cuda *device, stream_handle *h) {
  if (h->handle) (void)device->cublas->functions.destroy(h->handle);
  if (h->workspace) CUDA_KEEP(device, cudaFree(h->workspace));
  free(h);
}

/* cuBLAS forgets the workspace when it gets another stream. */
static qds_status prepare(qds_cuda *device, cudaStream_t stream, stream_handle *h) {
  const qds_cublas_functions *f = &device->cublas->functions;
  cudaStreamCaptureStatus capture = cudaStreamCaptureStatusNone;
  CUDA_TRY(device, cudaStreamIsCapturing(stream, &capture));
  if (capture != cudaStreamCaptureStatusNone)
    return CUDA_RAISE(device, QDS_ERROR_INTERNAL,
                      "cuda:%d: the first matrix product of a stream cannot be part of a graph",
                      device->index);
  h->stream = stream;
  int status = f->create(&h->handle);
  if (status != CUBLAS_SUCCESS) return fail(device, status, "cublasCreate");
  CUDA_TRY(device, cudaMalloc(&h->workspace, WORKSPACE_BYTES));
  status = f->set_stream(h->handle, stream);
  if (status != CUBLAS_SUCCESS) return fail(device, status, "cublasSetStream");
  status = f->set_workspace(h->handle, h->workspace, WORKSPACE_BYTES);
  return status == CUBLAS_SUCCESS ? QDS_OK : fail(device, status, "cublasSetWorkspace");
}

static qds_status find_handle(qds_cuda *device, cudaStream_t stream, cublas_handle *out) {
  const qds_status loaded = load(device);
  if (loaded != QDS_OK) return loaded;
  qds_cublas *cublas = device->cublas;
  for (stream_handle *h = cublas->handles; h; h = h->next)
    if (h->stream == stream) {
      *out = h->handle;
      return QDS_OK;
    }
  stream_handle *made = (stream_handle *)calloc(1, sizeof *made);
  if (!made) return CUDA_RAISE(device, QDS_ERROR_MEMORY, "out of memory: %zu bytes for cuBLAS", sizeof *made);
  const qds_status status = prepare(device, stream, made);
  if (status != QDS_OK) {
    release(device, made);
    return status;
  }
  made->next = cublas->handles;
  cublas->handles = made;
  *out = made->handle;
  return QDS_OK;
}

qds_status qds_cuda_product(qds_cuda *device, cudaStream_t stream, const void *arguments) {
  const qds_matrix_product_arguments *p = (const qds_matrix_product_arguments *)arguments;
  static const float one = 1, zero = 0;
  static const double double_one = 1, double_zero = 0;
  const bool wide = p->precision == QDS_FLOAT64;
  const cudaDataType type = wide ? CUDA_R_64F : CUDA_R_32F;
  const int compute = wide ? CUBLAS_64F : p->precision == QDS_TF32 ? CUBLAS_TF32 : CUBLAS_32F;
  cublas_handle handle = NULL;
  pthread_mutex_lock(&device->lock);
  const qds_status found = find_handle(device, stream, &handle);
  pthread_mutex_unlock(&device->lock);
  if (found != QDS_OK) return found;
  const int status = device->cublas->functions.gemm(
      handle, p->transpose_a ? CUBLAS_T : CUBLAS_N, p->transpose_b ? CUBLAS_T : CUBLAS_N, p->m, p->n, p->k,
      wide ? (const void *)&double_one : &one, p->a, type, p->lda, p->stride_a, p->b, type, p->ldb,
      p->stride_b, wide ? (const void *)&double_zero : &zero, p->c, type, p->ldc, p->stride_c, p->batches,
      compute, CUBLAS_DEFAULT_ALGORITHM);
  return status == CUBLAS_SUCCESS ? QDS_OK : fail(device, status, "cublasGemmStridedBatchedEx");
}

void qds_cuda_product_forget(qds_cuda *device, cudaStream_t stream) {
  pthread_mutex_lock(&device->lock);
  stream_handle **link = device->cublas ? &device->cublas->handles : NULL;
  while (link && *link && (*link)->stream != stream) link = &(*link)->next;
  stream_handle *found = link ? *link : NULL;
  if (found) *link = found->next;
  pthread_mutex_unlock(&device->lock);
  if (found) release(device, found);
}

void qds_cuda_product_end(qds_cuda *device) {
  while (device->cublas && device->cublas->handles)
    qds_cuda_product_forget(device, device->cublas->handles->stream);
  free(device->cublas);
}

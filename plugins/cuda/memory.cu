/* Memory of the CUDA plugin. */
#include "plugin.h"

static const char *const kind_names[QDS_MEMORY_KINDS] = {"device", "pinned host", "mapped host", "managed"};

static qds_status no_room(const qds_cuda *device, qds_memory_kind kind, size_t bytes) {
  size_t free_bytes = 0, total_bytes = 0;
  CUDA_TRY(device, cudaMemGetInfo(&free_bytes, &total_bytes));
  return device->host->raise(
      QDS_ERROR_MEMORY, __FILE__, __LINE__, cudaErrorMemoryAllocation,
      "cuda:%d: no room for %zu bytes of %s memory; the device has %zu bytes free of %zu", device->index,
      bytes, kind_names[kind], free_bytes, total_bytes);
}

/* Managed memory beyond what is free would be moved to and fro for every access. */
static cudaError_t allocate_managed(size_t bytes, void **out) {
  size_t free_bytes = 0, total_bytes = 0;
  const cudaError_t error = cudaMemGetInfo(&free_bytes, &total_bytes);
  if (error != cudaSuccess) return error;
  return bytes > free_bytes ? cudaErrorMemoryAllocation : cudaMallocManaged(out, bytes, cudaMemAttachGlobal);
}

static cudaError_t allocate(qds_memory_kind kind, size_t bytes, void **out) {
  switch (kind) {
  case QDS_MEMORY_DEVICE:
    return cudaMalloc(out, bytes);
  case QDS_MEMORY_PINNED:
    return cudaHostAlloc(out, bytes, cudaHostAllocPortable);
  /* With one address space for host and device the addresses are the same. */
  case QDS_MEMORY_MAPPED:
    return cudaHostAlloc(out, bytes, cudaHostAllocPortable | cudaHostAllocMapped);
  default:
    return allocate_managed(bytes, out);
  }
}

qds_status qds_cuda_allocate(void *state, qds_memory_kind kind, size_t bytes, void **out) {
  *out = NULL;
  CUDA_ENTER(device, state);
  const cudaError_t error = allocate(kind, bytes, out);
  if (error == cudaSuccess) return QDS_OK;
  *out = NULL;
  if (error != cudaErrorMemoryAllocation)
    return qds_cuda_fail(device, error, kind_names[kind], __FILE__, __LINE__);
  (void)cudaGetLastError();
  return no_room(device, kind, bytes);
}

void qds_cuda_release(void *state, qds_memory_kind kind, void *block) {
  CUDA_ENTER_KEEPING(device, state);
  if (kind == QDS_MEMORY_PINNED || kind == QDS_MEMORY_MAPPED)
    CUDA_KEEP(device, cudaFreeHost(block));
  else
    CUDA_KEEP(device, cudaFree(block));
}

qds_status qds_cuda_memory(void *state, size_t *free_bytes, size_t *total_bytes) {
  CUDA_ENTER(device, state);
  CUDA_TRY(device, cudaMemGetInfo(free_bytes, total_bytes));
  return QDS_OK;
}

qds_status qds_cuda_copy(void *state, void *stream, void *to, const void *from, size_t bytes) {
  CUDA_ENTER(device, state);
  CUDA_TRY(device, cudaMemcpyAsync(to, from, bytes, cudaMemcpyDefault, (cudaStream_t)stream));
  return QDS_OK;
}

qds_status qds_cuda_fill(void *state, void *stream, void *to, int byte, size_t bytes) {
  CUDA_ENTER(device, state);
  CUDA_TRY(device, cudaMemsetAsync(to, byte, bytes, (cudaStream_t)stream));
  return QDS_OK;
}

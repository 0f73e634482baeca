/* Loops over a trace of allocations natively, for each allocator with an interface in C or C++: cuMemAlloc,
 * cuMemAllocAsync, PyTorch's caching allocator (where compiled with -DWITH_TORCH against its headers), and
 * any library that offers a pair of functions with a stream. bench_device_pool.py compiles and drives it. */
#include <cuda.h>

#include "qdsim/device_pool.h"

#include <chrono>
#include <cstdint>
#include <vector>

#ifdef WITH_TORCH
#include <c10/cuda/CUDACachingAllocator.h>
#endif

namespace {

double now() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

struct Operation {
  int32_t allocate, block;
  uint64_t bytes;
};

using Allocate = void *(*)(size_t bytes, int device, CUstream stream);
using Release = void (*)(void *block, size_t bytes, int device, CUstream stream);

void *driver_allocate(size_t bytes, int, CUstream) {
  CUdeviceptr block = 0;
  return cuMemAlloc(&block, bytes) == CUDA_SUCCESS ? reinterpret_cast<void *>(block) : nullptr;
}
void driver_release(void *block, size_t, int, CUstream) {
  cuMemFree(reinterpret_cast<CUdeviceptr>(block));
}

void *ordered_allocate(size_t bytes, int, CUstream stream) {
  CUdeviceptr block = 0;
  return cuMemAllocAsync(&block, bytes, stream) == CUDA_SUCCESS ? reinterpret_cast<void *>(block) : nullptr;
}
void ordered_release(void *block, size_t, int, CUstream stream) {
  cuMemFreeAsync(reinterpret_cast<CUdeviceptr>(block), stream);
}

#ifdef WITH_TORCH
void *torch_allocate(size_t bytes, int, CUstream stream) {
  try {
    return c10::cuda::CUDACachingAllocator::raw_alloc_with_stream(bytes, stream);
  } catch (...) {
    return nullptr;
  }
}
void torch_release(void *block, size_t, int, CUstream) {
  c10::cuda::CUDACachingAllocator::raw_delete(block);
}
#endif

} // namespace

extern "C" {

struct Pair {
  Allocate allocate;
  Release release;
};

/* Which: 0 cuMemAlloc, 1 cuMemAllocAsync, 2 PyTorch. Returns 0 where it is not compiled in. */
int pool_pair(int which, Pair *out) {
  if (which == 0) *out = {driver_allocate, driver_release};
  if (which == 1) *out = {ordered_allocate, ordered_release};
#ifdef WITH_TORCH
  if (which == 2) *out = {torch_allocate, torch_release};
  return which >= 0 && which <= 2;
#else
  return which >= 0 && which <= 1;
#endif
}

/* A context on the first GPU, made by qdsim's own function. */
int pool_context(qds_status (*create)(const qds_context_options *, qds_context **), qds_context **out) {
  qds_context_options options = QDS_CONTEXT_OPTIONS_INIT;
  options.device = "cuda";
  return create(&options, out);
}

int pool_has_torch() {
#ifdef WITH_TORCH
  return 1;
#else
  return 0;
#endif
}

/* Runs the trace until its end or until `limit_s` seconds have passed, then gives everything back. Returns
 * the seconds of the operations that were done; `failed` counts the requests that were refused. */
double pool_trace(const Pair *pair, int device, CUstream stream, const Operation *operations, int64_t count,
                  int64_t blocks, double limit_s, int64_t *done, int64_t *failed) {
  std::vector<void *> held(static_cast<size_t>(blocks), nullptr);
  std::vector<uint64_t> bytes(static_cast<size_t>(blocks), 0);
  *failed = 0;
  const double began = now();
  int64_t i = 0;
  for (; i < count; i++) {
    const Operation &o = operations[i];
    const size_t block = static_cast<size_t>(o.block);
    if (o.allocate) {
      held[block] = pair->allocate(o.bytes, device, stream);
      bytes[block] = o.bytes;
      *failed += !held[block];
    } else if (held[block]) {
      pair->release(held[block], bytes[block], device, stream);
      held[block] = nullptr;
    }
    if (i % 64 == 63 && now() - began > limit_s) {
      i++;
      break;
    }
  }
  const double seconds = now() - began;
  *done = i;
  for (size_t b = 0; b < held.size(); b++)
    if (held[b]) pair->release(held[b], bytes[b], device, stream);
  cuCtxSynchronize();
  return seconds;
}

/* On each of the streams in turn `kernels` times: take a block, fill 8 bytes of it, give it back. Returns the
 * seconds until everything is enqueued, and in `finished` until it is done. */
double pool_streams(const Pair *pair, int device, const CUstream *streams, int stream_count, int kernels,
                    uint64_t bytes, double *finished) {
  cuCtxSynchronize();
  const double began = now();
  for (int k = 0; k < kernels; k++)
    for (int s = 0; s < stream_count; s++) {
      void *block = pair->allocate(bytes, device, streams[s]);
      if (!block) return -1;
      cuMemsetD8Async(reinterpret_cast<CUdeviceptr>(block), 1, 8, streams[s]);
      pair->release(block, bytes, device, streams[s]);
    }
  const double enqueued = now() - began;
  for (int s = 0; s < stream_count; s++) cuStreamSynchronize(streams[s]);
  *finished = now() - began;
  return enqueued;
}
}

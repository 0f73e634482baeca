/* What a src/LAYER/NAME_cuda.cu needs to give a kernel its CUDA launcher; nothing else is to be registered.
 *
 *   __global__ void double_all(qds_double_all a) { ... }
 *   QDS_CUDA_LAUNCHER(DOUBLE_ALL, qds_double_all) {
 *     double_all<<<qds_cuda_blocks(a->count, 256), 256, 0, stream>>>(*a);
 *     return cudaGetLastError();
 *   }
 *
 * A launcher enqueues and returns; it may be called from several threads, for several devices, and while the
 * stream is captured. */
#ifndef QDS_MEM_KERNEL_CUDA_H
#define QDS_MEM_KERNEL_CUDA_H

#include <stdint.h>

#include <cuda_runtime.h>

#include "mem/kernel.h"

/* Defines the launcher of kernel QDS_KERNEL_`name`, whose arguments `a` point to a `type`. */
#define QDS_CUDA_LAUNCHER(name, type)                                                                        \
  static cudaError_t launch_##name(const type *a, cudaStream_t stream);                                      \
  extern "C" cudaError_t qds_cuda_##name(const void *arguments, cudaStream_t stream) {                       \
    return launch_##name((const type *)arguments, stream);                                                   \
  }                                                                                                          \
  static cudaError_t launch_##name(const type *a, cudaStream_t stream)

/* Blocks of `threads` threads that hold `count` threads at least; never 0, which CUDA refuses. */
static inline unsigned qds_cuda_blocks(int64_t count, int threads) {
  return count < 1 ? 1u : (unsigned)((count + threads - 1) / threads);
}

#endif

/* Sums over many threads on CUDA, in an order that is always the same: each block of threads sums what its
 * threads found, and one block sums the blocks. */
#ifndef QDS_LA_REDUCE_CUDA_H
#define QDS_LA_REDUCE_CUDA_H

#include "la/launch_cuda.h"

struct qds_add {
  __device__ double operator()(double a, double b) const { return a + b; }
};
struct qds_larger {
  __device__ double operator()(double a, double b) const { return a > b || a != a ? a : b; } /* NaN stays */
};

/* The numbers of a block's QDS_THREADS threads become one, valid in thread 0. */
template <typename Operation>
static __device__ inline double qds_reduce_block(double own, Operation operation) {
  __shared__ double shared[QDS_THREADS / QDS_WARP];
  for (int step = QDS_WARP / 2; step > 0; step /= 2)
    own = operation(own, __shfl_down_sync(0xffffffffu, own, step));
  __syncthreads();
  if (threadIdx.x % QDS_WARP == 0) shared[threadIdx.x / QDS_WARP] = own;
  __syncthreads();
  double total = shared[0];
  if (threadIdx.x == 0)
    for (int warp = 1; warp < QDS_THREADS / QDS_WARP; warp++) total = operation(total, shared[warp]);
  return total;
}

/* total[i] = that of partial[i * groups + group] over the groups, one block for each i. 0 changes neither a
 * sum nor the largest of magnitudes. */
template <typename Operation>
static __global__ void __launch_bounds__(QDS_THREADS)
    qds_reduce_groups(const double *partial, int groups, double *total, Operation operation) {
  double own = 0;
  for (int group = threadIdx.x; group < groups; group += QDS_THREADS)
    own = operation(own, partial[(int64_t)blockIdx.x * groups + group]);
  own = qds_reduce_block(own, operation);
  if (threadIdx.x == 0) total[blockIdx.x] = own;
}

#endif

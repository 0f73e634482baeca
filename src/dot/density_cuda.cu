/* The kernel that predicts a density on CUDA. */
#include "dot/density_kernels.h"
#include "la/reduce_cuda.h"
#include "mem/kernel_cuda.h"

namespace {

__global__ void __launch_bounds__(QDS_THREADS)
    predict(const __grid_constant__ qds_predict_density_arguments a) {
  qds_occupation sum = {0, 0};
  for (int64_t node = (int64_t)blockIdx.x * QDS_THREADS + threadIdx.x; node < a.nodes;
       node += (int64_t)gridDim.x * QDS_THREADS)
    qds_predict_density_at(&a, node, &sum);
  const double number = qds_reduce_block(sum.number, qds_add()),
               slope = qds_reduce_block(sum.slope, qds_add());
  if (threadIdx.x != 0) return;
  a.partial[blockIdx.x] = number;
  a.partial[a.groups + blockIdx.x] = slope;
}

} // namespace

QDS_CUDA_LAUNCHER(PREDICT_DENSITY, qds_predict_density_arguments) {
  predict<<<a->groups, QDS_THREADS, 0, stream>>>(*a);
  qds_reduce_groups<<<2, QDS_THREADS, 0, stream>>>(a->partial, a->groups, a->sums, qds_add());
  return cudaGetLastError();
}

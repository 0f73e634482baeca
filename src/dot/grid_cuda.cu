/* The kernels between nodes and unknowns on CUDA. */
#include "dot/grid_kernels.h"
#include "la/reduce_cuda.h"
#include "mem/kernel_cuda.h"

namespace {

__global__ void __launch_bounds__(QDS_THREADS)
    fold(const __grid_constant__ qds_grid_fold_arguments a, const qds_layout l) {
  const qds_place p = qds_place_of(l);
  if (p.i < p.end) qds_grid_fold_at(&a, p.i, p.j, p.k);
}

__global__ void __launch_bounds__(QDS_THREADS)
    unfold(const __grid_constant__ qds_grid_unfold_arguments a, const qds_layout l) {
  const qds_place p = qds_place_of(l);
  if (p.i < p.end) qds_grid_unfold_at(&a, p.i, p.j, p.k);
}

__global__ void __launch_bounds__(QDS_THREADS) largest(const qds_grid_largest_arguments a) {
  double most = 0;
  for (int64_t i = (int64_t)blockIdx.x * QDS_THREADS + threadIdx.x; i < a.count;
       i += (int64_t)gridDim.x * QDS_THREADS)
    most = qds_larger()(most, fabs(a.numbers[i]));
  most = qds_reduce_block(most, qds_larger());
  if (threadIdx.x == 0) a.partial[blockIdx.x] = most;
}

} // namespace

QDS_CUDA_LAUNCHER(GRID_FOLD, qds_grid_fold_arguments) {
  const qds_grid_axis_view *axis = a->grid.axis;
  const qds_layout l = qds_layout_of(axis[0].n, axis[1].n, axis[2].n, 1);
  fold<<<l.blocks, l.threads, 0, stream>>>(*a, l);
  return cudaGetLastError();
}

QDS_CUDA_LAUNCHER(GRID_UNFOLD, qds_grid_unfold_arguments) {
  const qds_grid_axis_view *axis = a->grid.axis;
  const qds_layout l = qds_layout_of(axis[0].nodes, axis[1].nodes, axis[2].nodes, 1);
  unfold<<<l.blocks, l.threads, 0, stream>>>(*a, l);
  return cudaGetLastError();
}

QDS_CUDA_LAUNCHER(GRID_LARGEST, qds_grid_largest_arguments) {
  largest<<<a->groups, QDS_THREADS, 0, stream>>>(*a);
  qds_reduce_groups<<<1, QDS_THREADS, 0, stream>>>(a->partial, a->groups, a->largest, qds_larger());
  return cudaGetLastError();
}

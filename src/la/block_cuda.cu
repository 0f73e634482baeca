/* Residuals and random numbers of blocks on CUDA. */
#include "la/block_cuda.h"

namespace {

/* Each block goes through its rows of every gridDim.y-th column. */
__global__ void __launch_bounds__(QDS_THREADS) residual_partial(qds_residual_arguments k) {
  const int64_t step = 2 * (int64_t)gridDim.x * QDS_THREADS;
  for (int column = blockIdx.y; column < k.x.columns; column += gridDim.y) {
    const double value = k.eigenvalues[column], *x = k.x.data + column * k.x.stride;
    double *w = k.w.data + column * k.w.stride;
    double sum = 0;
    for (int64_t i = 2 * ((int64_t)blockIdx.x * QDS_THREADS + threadIdx.x); i < k.rows; i += step) {
      const double2 from = qds_load_pair(x, i, k.rows);
      double2 to = qds_load_pair(w, i, k.rows);
      to.x -= value * from.x, to.y -= value * from.y;
      sum += to.x * to.x + to.y * to.y;
      qds_store_pair(w, i, k.rows, to.x, to.y);
    }
    const double total = qds_reduce_block(sum, qds_add());
    if (threadIdx.x == 0) k.partial[(int64_t)column * gridDim.x + blockIdx.x] = total;
  }
}

__global__ void __launch_bounds__(QDS_THREADS) fill_normal(qds_fill_normal_arguments k) {
  const int column = blockIdx.y;
  for (int64_t i = (int64_t)blockIdx.x * QDS_THREADS + threadIdx.x; i < k.rows;
       i += (int64_t)gridDim.x * QDS_THREADS)
    qds_fill_normal_at(&k, column, i);
}

} // namespace

QDS_CUDA_LAUNCHER(RESIDUAL, qds_residual_arguments) {
  const int m = a->x.columns;
  int resident;
  const cudaError_t error = qds_resident_blocks(residual_partial, &resident);
  if (error != cudaSuccess) return error;
  /* A column after the other, as far as its rows are work for all blocks: memory gives the more the fewer
   * columns are under way. */
  const int groups = qds_smaller(qds_smaller(qds_cuda_blocks(a->rows, 2 * QDS_THREADS), resident), a->groups),
            together = qds_smaller(resident / groups, m);
  residual_partial<<<dim3(groups, together), QDS_THREADS, 0, stream>>>(*a);
  qds_reduce_groups<<<m, QDS_THREADS, 0, stream>>>(a->partial, groups, a->squares, qds_add());
  return cudaGetLastError();
}

QDS_CUDA_LAUNCHER(FILL_NORMAL, qds_fill_normal_arguments) {
  int resident;
  const cudaError_t error = qds_resident_blocks(fill_normal, &resident);
  if (error != cudaSuccess) return error;
  const int64_t wanted = (a->rows + QDS_THREADS - 1) / QDS_THREADS;
  fill_normal<<<dim3(qds_smaller(wanted, resident), a->to.columns), QDS_THREADS, 0, stream>>>(*a);
  return cudaGetLastError();
}

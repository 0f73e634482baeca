/* Residuals and random numbers of blocks on CUDA. */
#include "la/block_cuda.h"

namespace {

/* Two neighbouring rows of a column; those past the last row hold 0. Columns start at multiples of 64 bytes
 * and `row` is even. */
__device__ inline double2 load_pair(const double *column, int64_t row, int64_t rows) {
  if (row + 1 < rows) return *reinterpret_cast<const double2 *>(column + row);
  return make_double2(row < rows ? column[row] : 0, 0);
}

__global__ void __launch_bounds__(QDS_THREADS) residual_partial(qds_residual_arguments k) {
  const int column = blockIdx.y;
  const double value = k.eigenvalues[column], *x = k.x.data + column * k.x.stride;
  double *w = k.w.data + column * k.w.stride;
  double sum = 0;
  const int64_t step = 2 * (int64_t)gridDim.x * QDS_THREADS;
  for (int64_t i = 2 * ((int64_t)blockIdx.x * QDS_THREADS + threadIdx.x); i < k.rows; i += step) {
    const double2 from = load_pair(x, i, k.rows);
    double2 to = load_pair(w, i, k.rows);
    to.x -= value * from.x, to.y -= value * from.y;
    sum += to.x * to.x + to.y * to.y;
    if (i + 1 < k.rows)
      *reinterpret_cast<double2 *>(w + i) = to;
    else
      w[i] = to.x;
  }
  const double total = qds_reduce_block(sum, qds_add());
  if (threadIdx.x == 0) k.partial[(int64_t)column * gridDim.x + blockIdx.x] = total;
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
  const int groups = qds_smaller((resident + m - 1) / m, a->groups);
  residual_partial<<<dim3(groups, m), QDS_THREADS, 0, stream>>>(*a);
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

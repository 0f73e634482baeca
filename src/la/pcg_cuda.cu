/* The kernels of conjugate gradients on CUDA. */
#include "la/pcg_kernels.h"
#include "la/reduce_cuda.h"
#include "mem/kernel_cuda.h"

namespace {

__device__ inline int64_t first_row() {
  return (int64_t)blockIdx.x * QDS_THREADS + threadIdx.x;
}
__device__ inline int64_t step_of_rows() {
  return (int64_t)gridDim.x * QDS_THREADS;
}

__device__ inline void keep_sum(const qds_pcg_sum &sum, double own) {
  own = qds_reduce_block(own, qds_add());
  if (threadIdx.x == 0) sum.partial[blockIdx.x] = own;
}

__global__ void __launch_bounds__(QDS_THREADS) dot(const qds_pcg_dot_arguments k) {
  double sum = 0;
#pragma unroll 2
  for (int64_t i = first_row(); i < k.rows; i += step_of_rows()) sum += k.a[i] * k.b[i];
  keep_sum(k.sum, sum);
}

__global__ void __launch_bounds__(QDS_THREADS) subtract(const qds_pcg_subtract_arguments k) {
  double sum = 0;
#pragma unroll 2
  for (int64_t i = first_row(); i < k.rows; i += step_of_rows()) {
    const double r = k.b[i] - k.q[i];
    k.r[i] = r;
    sum += r * r;
  }
  keep_sum(k.sum, sum);
}

__global__ void __launch_bounds__(QDS_THREADS) advance(const qds_pcg_advance_arguments k) {
  const double alpha = *k.rz / *k.curvature;
  double sum = 0;
#pragma unroll 2
  for (int64_t i = first_row(); i < k.rows; i += step_of_rows()) {
    const double r = k.r[i] - alpha * k.q[i];
    k.x[i] += alpha * k.p[i];
    k.r[i] = r;
    sum += r * r;
  }
  keep_sum(k.sum, sum);
}

/* One row of blocks for each term. */
__global__ void __launch_bounds__(QDS_THREADS) rank_one_dots(const qds_pcg_rank_one_arguments k) {
  const double *u = k.u[blockIdx.y];
  double sum = 0;
#pragma unroll 2
  for (int64_t i = first_row(); i < k.rows; i += step_of_rows()) sum += u[i] * k.x[i];
  sum = qds_reduce_block(sum, qds_add());
  if (threadIdx.x == 0) k.partial[blockIdx.y * k.groups + blockIdx.x] = sum;
}

__global__ void __launch_bounds__(QDS_THREADS) rank_one_add(const qds_pcg_rank_one_arguments k) {
  const double first = k.factor[0] * k.dots[0], second = k.terms > 1 ? k.factor[1] * k.dots[1] : 0;
#pragma unroll 2
  for (int64_t i = first_row(); i < k.rows; i += step_of_rows())
    k.y[i] += k.terms > 1 ? first * k.u[0][i] + second * k.u[1][i] : first * k.u[0][i];
}

__global__ void __launch_bounds__(QDS_THREADS) turn(const qds_pcg_turn_arguments k) {
  const double beta = k.rz_before ? *k.rz / *k.rz_before : 0;
#pragma unroll 2
  for (int64_t i = first_row(); i < k.rows; i += step_of_rows())
    k.p[i] = k.rz_before ? k.z[i] + beta * k.p[i] : k.z[i];
}

cudaError_t finish(const qds_pcg_sum &sum, cudaStream_t stream) {
  const cudaError_t error = cudaGetLastError();
  if (error != cudaSuccess) return error;
  qds_reduce_groups<<<1, QDS_THREADS, 0, stream>>>(sum.partial, sum.groups, sum.total, qds_add());
  return cudaGetLastError();
}

} // namespace

QDS_CUDA_LAUNCHER(PCG_DOT, qds_pcg_dot_arguments) {
  dot<<<a->sum.groups, QDS_THREADS, 0, stream>>>(*a);
  return finish(a->sum, stream);
}

QDS_CUDA_LAUNCHER(PCG_SUBTRACT, qds_pcg_subtract_arguments) {
  subtract<<<a->sum.groups, QDS_THREADS, 0, stream>>>(*a);
  return finish(a->sum, stream);
}

QDS_CUDA_LAUNCHER(PCG_ADVANCE, qds_pcg_advance_arguments) {
  advance<<<a->sum.groups, QDS_THREADS, 0, stream>>>(*a);
  return finish(a->sum, stream);
}

QDS_CUDA_LAUNCHER(PCG_RANK_ONE, qds_pcg_rank_one_arguments) {
  rank_one_dots<<<dim3(a->groups, a->terms), QDS_THREADS, 0, stream>>>(*a);
  qds_reduce_groups<<<a->terms, QDS_THREADS, 0, stream>>>(a->partial, a->groups, a->dots, qds_add());
  rank_one_add<<<a->groups, QDS_THREADS, 0, stream>>>(*a);
  return cudaGetLastError();
}

QDS_CUDA_LAUNCHER(PCG_TURN, qds_pcg_turn_arguments) {
  constexpr int64_t most = 1056 * 8; /* some for each multiprocessor; each thread goes on from row to row */
  const int64_t wanted = qds_cuda_blocks(a->rows, QDS_THREADS);
  const unsigned blocks = (unsigned)(wanted > most ? most : wanted);
  turn<<<blocks, QDS_THREADS, 0, stream>>>(*a);
  return cudaGetLastError();
}

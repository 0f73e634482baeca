/* Means across axes on CUDA: two passes over the function, each of which reads it along the last axis. */
#include "la/axis_means.h"
#include "mem/kernel_cuda.h"

namespace {

constexpr int WARP = 32, THREADS = 256, LINES = THREADS / WARP;

__device__ inline double warp_sum(double x) {
  for (int distance = WARP / 2; distance > 0; distance /= 2) x += __shfl_xor_sync(0xffffffffu, x, distance);
  return x;
}

/* A warp sums a line of the last axis. */
__global__ void __launch_bounds__(THREADS) sum_last(const __grid_constant__ qds_axis_means_arguments a) {
  const int64_t line = (int64_t)blockIdx.x * LINES + threadIdx.x / WARP;
  const int lane = threadIdx.x % WARP;
  if (line >= (int64_t)a.n[0] * a.n[1]) return;
  const int i = (int)(line / a.n[1]), j = (int)(line % a.n[1]);
  double sum = 0;
  for (int k = lane; k < a.n[2]; k += WARP)
    sum += qds_axis_means_weight(&a, 2, k) * qds_axis_means_value(&a, i, j, k);
  sum = warp_sum(sum);
  if (lane == 0) a.along_last[line] = sum;
}

__global__ void __launch_bounds__(THREADS) sum_middle(const __grid_constant__ qds_axis_means_arguments a) {
  const int64_t at = (int64_t)blockIdx.x * THREADS + threadIdx.x;
  if (at >= (int64_t)a.n[0] * a.n[2]) return;
  const int i = (int)(at / a.n[2]), k = (int)(at % a.n[2]);
  double sum = 0;
  for (int j = 0; j < a.n[1]; j++) sum += qds_axis_means_weight(&a, 1, j) * qds_axis_means_value(&a, i, j, k);
  a.along_middle[at] = sum;
}

/* mean[0]: a warp sums a line of the sums over k. */
__global__ void __launch_bounds__(THREADS) finish_first(const __grid_constant__ qds_axis_means_arguments a) {
  const int i = blockIdx.x * LINES + threadIdx.x / WARP, lane = threadIdx.x % WARP;
  if (i >= a.n[0]) return;
  double sum = 0;
  for (int j = lane; j < a.n[1]; j += WARP)
    sum += qds_axis_means_weight(&a, 1, j) * a.along_last[(int64_t)i * a.n[1] + j];
  sum = warp_sum(sum);
  if (lane == 0) a.mean[0][i] = sum;
}

/* mean[1] or mean[2]: a thread sums over the first axis. */
__global__ void __launch_bounds__(THREADS)
    finish_other(const __grid_constant__ qds_axis_means_arguments a, int axis) {
  const int at = blockIdx.x * THREADS + threadIdx.x, count = a.n[axis];
  const double *sums = axis == 1 ? a.along_last : a.along_middle;
  if (at >= count) return;
  double sum = 0;
  for (int i = 0; i < a.n[0]; i++) sum += qds_axis_means_weight(&a, 0, i) * sums[(int64_t)i * count + at];
  a.mean[axis][at] = sum;
}

} // namespace

QDS_CUDA_LAUNCHER(AXIS_MEANS, qds_axis_means_arguments) {
  const int *n = a->n;
  if (a->mean[0] || a->mean[1])
    sum_last<<<qds_cuda_blocks((int64_t)n[0] * n[1], LINES), THREADS, 0, stream>>>(*a);
  if (a->mean[2]) sum_middle<<<qds_cuda_blocks((int64_t)n[0] * n[2], THREADS), THREADS, 0, stream>>>(*a);
  if (a->mean[0]) finish_first<<<qds_cuda_blocks(n[0], LINES), THREADS, 0, stream>>>(*a);
  for (int axis = 1; axis < 3; axis++)
    if (a->mean[axis]) finish_other<<<qds_cuda_blocks(n[axis], THREADS), THREADS, 0, stream>>>(*a, axis);
  return cudaGetLastError();
}

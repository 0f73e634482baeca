/* Sums over runs on CUDA: a warp takes a line of nodes, run after run. */
#include "la/run_sums.h"
#include "mem/kernel_cuda.h"

namespace {

constexpr int WARP = 32, THREADS = 256, LINES = THREADS / WARP;
constexpr unsigned ALL = 0xffffffffu;

__device__ inline double warp_sum(double x) {
  for (int distance = WARP / 2; distance > 0; distance /= 2) x += __shfl_xor_sync(ALL, x, distance);
  return x;
}

__device__ inline double warp_peak(double x) {
  for (int distance = WARP / 2; distance > 0; distance /= 2) x = fmax(x, __shfl_xor_sync(ALL, x, distance));
  return x;
}

__global__ void __launch_bounds__(THREADS) run_sums(const __grid_constant__ qds_run_sums_arguments a) {
  const int64_t line = (int64_t)blockIdx.x * LINES + threadIdx.x / WARP;
  const int lane = threadIdx.x % WARP;
  if (line >= (int64_t)a.axis[0].nodes * a.axis[1].nodes) return;
  const qds_run_line l = qds_run_line_of(&a, line);
  double peak = 0;
  int node = 0;
  for (int64_t r = a.start[line]; r < a.start[line + 1]; r++) {
    const int end = a.run[r].end;
    double sum = 0;
    for (int k = node + lane; l.at >= 0 && k < end; k += WARP) {
      double value;
      sum += qds_run_term(&a, &l, k, &value);
      peak = fmax(peak, value);
    }
    sum = warp_sum(sum);
    if (lane == 0) a.sum[r] = l.at < 0 ? 0 : l.share * sum;
    node = end;
  }
  peak = warp_peak(peak);
  if (lane == 0) a.peak[line] = peak;
}

} // namespace

QDS_CUDA_LAUNCHER(RUN_SUMS, qds_run_sums_arguments) {
  const int64_t lines = (int64_t)a->axis[0].nodes * a->axis[1].nodes;
  run_sums<<<qds_cuda_blocks(lines, LINES), THREADS, 0, stream>>>(*a);
  return cudaGetLastError();
}

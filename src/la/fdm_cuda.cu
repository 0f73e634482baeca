/* The kernels of fast diagonalisation on CUDA. Per unknown in single precision folding reads 8 bytes for
 * the peak and 8 more and writes 4, the division reads and writes 4, unfolding reads 4 and writes 8. */
#include "la/fdm_kernels.h"
#include "mem/kernel_cuda.h"

namespace {

constexpr int WARP = 32, THREADS = 256, PEAK_BLOCKS = 2048;

/* Threads along the last axis, and lines of the second axis that share a block. */
dim3 block_for(int last) {
  int across = WARP;
  while (across < THREADS && across < last) across *= 2;
  return dim3(across, THREADS / across);
}

dim3 grid_for(const dim3 &block, int first, int second, int last) {
  return dim3(qds_cuda_blocks(last, block.x), qds_cuda_blocks(second, block.y), first);
}

struct place {
  int i, j, k;
};

__device__ inline place own_place() {
  return {(int)blockIdx.z, (int)(blockIdx.y * blockDim.y + threadIdx.y),
          (int)(blockIdx.x * blockDim.x + threadIdx.x)};
}

template <bool SINGLE>
__global__ void __launch_bounds__(THREADS) fold(const __grid_constant__ qds_fdm_fold_arguments a) {
  const place p = own_place();
  const double scale = a.peak ? qds_fdm_power(*a.peak, -1) : 1;
  if (p.j < a.shape.even[1] && p.k < a.shape.even[2]) qds_fdm_fold_at(&a, SINGLE, scale, p.i, p.j, p.k);
}

template <bool SINGLE>
__global__ void __launch_bounds__(THREADS) unfold(const __grid_constant__ qds_fdm_unfold_arguments a) {
  const place p = own_place();
  const double factor = a.factor * (a.peak ? qds_fdm_power(*a.peak, 1) : 1);
  if (p.j < a.shape.even[1] && p.k < a.shape.even[2]) qds_fdm_unfold_at(&a, SINGLE, factor, p.i, p.j, p.k);
}

/* Four neighbours at once; a row has a multiple of four numbers, unless it is a single one. */
template <typename REAL, typename FOUR>
__global__ void __launch_bounds__(THREADS) divide(const __grid_constant__ qds_fdm_divide_arguments a) {
  const place p = own_place();
  const int k = 4 * p.k;
  if (p.j >= a.shape.n[1] || k >= a.shape.row) return;
  const REAL base = (REAL)a.gap + ((const REAL *)a.offset[0])[p.i] + ((const REAL *)a.offset[1])[p.j];
  const REAL *along = (const REAL *)a.offset[2] + k;
  REAL *numbers = (REAL *)a.numbers + p.i * a.shape.plane + p.j * a.shape.row + k;
  if (a.shape.row == 1) {
    *numbers /= base + *along;
    return;
  }
  FOUR four = *reinterpret_cast<FOUR *>(numbers);
  const FOUR offset = *reinterpret_cast<const FOUR *>(along);
  four.x /= base + offset.x;
  four.y /= base + offset.y;
  four.z /= base + offset.z;
  four.w /= base + offset.w;
  *reinterpret_cast<FOUR *>(numbers) = four;
}

struct alignas(16) four_doubles {
  double x, y, z, w;
};

/* Magnitudes order as the integers of their bits, and NaN comes last. */
__device__ inline unsigned long long magnitude(double x) {
  return (unsigned long long)__double_as_longlong(x) & 0x7fffffffffffffffull;
}

__global__ void __launch_bounds__(THREADS) peak(const qds_fdm_peak_arguments a) {
  const double2 *pairs = reinterpret_cast<const double2 *>(a.x); /* columns start at multiples of 256 bytes */
  const int64_t step = (int64_t)gridDim.x * THREADS, first = (int64_t)blockIdx.x * THREADS + threadIdx.x;
  unsigned long long most = 0;
#pragma unroll 4
  for (int64_t i = first; i < a.rows / 2; i += step) {
    const double2 pair = __ldg(pairs + i);
    most = max(most, max(magnitude(pair.x), magnitude(pair.y)));
  }
  if (first == 0 && a.rows % 2) most = max(most, magnitude(a.x[a.rows - 1]));
  for (int distance = WARP / 2; distance > 0; distance /= 2)
    most = max(most, __shfl_xor_sync(0xffffffffu, most, distance));
  if (threadIdx.x % WARP == 0) atomicMax(reinterpret_cast<unsigned long long *>(a.peak), most);
}

} // namespace

QDS_CUDA_LAUNCHER(FDM_FOLD, qds_fdm_fold_arguments) {
  const int *even = a->shape.even;
  const dim3 block = block_for(even[2]), grid = grid_for(block, even[0], even[1], even[2]);
  if (a->single)
    fold<true><<<grid, block, 0, stream>>>(*a);
  else
    fold<false><<<grid, block, 0, stream>>>(*a);
  return cudaGetLastError();
}

QDS_CUDA_LAUNCHER(FDM_UNFOLD, qds_fdm_unfold_arguments) {
  const int *even = a->shape.even;
  const dim3 block = block_for(even[2]), grid = grid_for(block, even[0], even[1], even[2]);
  if (a->single)
    unfold<true><<<grid, block, 0, stream>>>(*a);
  else
    unfold<false><<<grid, block, 0, stream>>>(*a);
  return cudaGetLastError();
}

QDS_CUDA_LAUNCHER(FDM_DIVIDE, qds_fdm_divide_arguments) {
  const int *n = a->shape.n, fours = (int)((a->shape.row + 3) / 4);
  const dim3 block = block_for(fours), grid = grid_for(block, n[0], n[1], fours);
  if (a->single)
    divide<float, float4><<<grid, block, 0, stream>>>(*a);
  else
    divide<double, four_doubles><<<grid, block, 0, stream>>>(*a);
  return cudaGetLastError();
}

QDS_CUDA_LAUNCHER(FDM_PEAK, qds_fdm_peak_arguments) {
  const unsigned wanted = qds_cuda_blocks(a->rows / 2, THREADS);
  const unsigned blocks = wanted < PEAK_BLOCKS ? wanted : PEAK_BLOCKS;
  peak<<<blocks, THREADS, 0, stream>>>(*a);
  return cudaGetLastError();
}

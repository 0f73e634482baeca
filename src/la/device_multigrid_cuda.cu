/* The kernels of multigrid on CUDA. */
#include "la/device_multigrid_kernels.h"
#include "la/launch_cuda.h"
#include "mem/kernel_cuda.h"

namespace {

/* Levels with fewer nodes want many threads, larger ones few reads of the coefficients. */
constexpr int64_t FEWEST_SHARED_COLUMNS_NODES = 1 << 20;

/* Blocks that share a multiprocessor; fewer leave more registers. */
constexpr int blocks_together(bool tiled, int columns) {
  return columns == 4 ? 2 : tiled || columns == 2 ? 3 : 4;
}

template <bool TILED, qds_level_pass PASS, int COLUMNS>
__global__ void __launch_bounds__(QDS_THREADS, blocks_together(TILED, COLUMNS))
    pass_march(const __grid_constant__ qds_level_pass_arguments a, const qds_layout l, int first) {
  const qds_place p = qds_place_of(l);
  if (p.i < p.end)
    qds_level_march(&a, TILED, PASS, COLUMNS, first + blockIdx.y * COLUMNS, p.i, p.end, p.j, p.k);
}

template <bool TILED, qds_level_pass PASS>
cudaError_t launch_pass(const qds_level_pass_arguments &a, cudaStream_t stream) {
  const qds_level_axis_view *axis = a.level.axis;
  const qds_layout l = qds_layout_of(axis[0].n, axis[1].n, axis[2].n, a.planes);
  const int64_t nodes = (int64_t)axis[0].n * axis[1].n * axis[2].n;
  int first = 0;
  for (; nodes >= FEWEST_SHARED_COLUMNS_NODES && first + 4 <= a.columns; first += 4)
    pass_march<TILED, PASS, 4><<<l.blocks, l.threads, 0, stream>>>(a, l, first);
  for (; nodes >= FEWEST_SHARED_COLUMNS_NODES && first + 2 <= a.columns; first += 2)
    pass_march<TILED, PASS, 2><<<l.blocks, l.threads, 0, stream>>>(a, l, first);
  if (first < a.columns)
    pass_march<TILED, PASS, 1><<<dim3(l.blocks, a.columns - first), l.threads, 0, stream>>>(a, l, first);
  return cudaGetLastError();
}

template <bool TILED> cudaError_t launch_pass_of(const qds_level_pass_arguments &a, cudaStream_t stream) {
  switch (a.pass) {
  case QDS_LEVEL_ENTER:
    return launch_pass<TILED, QDS_LEVEL_ENTER>(a, stream);
  case QDS_LEVEL_SMOOTH:
    return launch_pass<TILED, QDS_LEVEL_SMOOTH>(a, stream);
  case QDS_LEVEL_DEFECT:
    return launch_pass<TILED, QDS_LEVEL_DEFECT>(a, stream);
  case QDS_LEVEL_RESIDUAL:
    return launch_pass<TILED, QDS_LEVEL_RESIDUAL>(a, stream);
  case QDS_LEVEL_ADD:
    return launch_pass<TILED, QDS_LEVEL_ADD>(a, stream);
  default:
    return launch_pass<TILED, QDS_LEVEL_LEAVE>(a, stream);
  }
}

/* One column per row of blocks. */
__global__ void __launch_bounds__(QDS_THREADS)
    restrict_defect(const __grid_constant__ qds_level_restrict_arguments a, const qds_layout l) {
  const qds_place p = qds_place_of(l);
  if (p.i < p.end) qds_level_restrict_march(&a, blockIdx.y, p.i, p.end, p.j, p.k);
}

__global__ void __launch_bounds__(QDS_THREADS)
    correct(const __grid_constant__ qds_level_correct_arguments a, const qds_layout l) {
  const qds_place p = qds_place_of(l);
  if (p.i < p.end) qds_level_correct_march(&a, blockIdx.y, p.i, p.end, p.j, p.k);
}

__global__ void __launch_bounds__(QDS_THREADS)
    prolong(const __grid_constant__ qds_level_prolong_arguments a, const qds_layout l) {
  const qds_place p = qds_place_of(l);
  if (p.i < p.end) qds_level_prolong_node(&a, blockIdx.y, p.i, p.j, p.k);
}

template <bool TILED>
__global__ void __launch_bounds__(QDS_THREADS)
    apply(const __grid_constant__ qds_level_apply_arguments a, const qds_layout l) {
  const qds_place p = qds_place_of(l);
  if (p.i < p.end) qds_level_apply_node(&a, TILED, p.i, p.j, p.k);
}

template <bool TILED>
__global__ void __launch_bounds__(QDS_THREADS)
    coarsen(const __grid_constant__ qds_level_coarsen_arguments a, const qds_layout l) {
  const qds_place p = qds_place_of(l);
  if (p.i < p.end) qds_level_coarsen_entry(&a, TILED, p.i, p.j, p.k);
}

/* A block per column, a warp per row; y may be x, so a block keeps its right-hand side. */
__global__ void __launch_bounds__(1024) invert(const __grid_constant__ qds_level_invert_arguments a) {
  __shared__ float right[QDS_MULTIGRID_COARSEST_ROWS];
  const int column = blockIdx.x, lane = threadIdx.x % QDS_WARP;
  for (int row = threadIdx.x; row < a.rows; row += blockDim.x)
    right[row] = qds_level_invert_right(&a, column, row);
  __syncthreads();
  for (int row = threadIdx.x / QDS_WARP; row < a.rows; row += blockDim.x / QDS_WARP) {
    float sum = 0;
    for (int i = lane; i < a.rows; i += QDS_WARP) sum += a.inverse[row * a.rows + i] * right[i];
    for (int half = QDS_WARP / 2; half > 0; half /= 2) sum += __shfl_down_sync(0xffffffffu, sum, half);
    if (lane == 0) qds_level_invert_store(&a, column, row, sum);
  }
}

/* The threads' numbers become one, in an order that is always the same. */
template <typename OPERATION> __device__ double reduce(double *shared, double own, OPERATION operation) {
  shared[threadIdx.x] = own;
  for (int half = QDS_THREADS / 2; half > 0; half /= 2) {
    __syncthreads();
    if (threadIdx.x < half) shared[threadIdx.x] = operation(shared[threadIdx.x], shared[threadIdx.x + half]);
  }
  __syncthreads();
  return shared[0];
}

template <bool TILED>
__global__ void __launch_bounds__(QDS_THREADS) sum(const __grid_constant__ qds_level_sum_arguments a) {
  __shared__ double shared[QDS_THREADS];
  const int which = blockIdx.y;
  const int64_t count = qds_level_sum_count(&a, which);
  double total = 0;
  for (int64_t at = (int64_t)blockIdx.x * QDS_THREADS + threadIdx.x; at < count;
       at += (int64_t)gridDim.x * QDS_THREADS)
    total += qds_level_sum_entry(&a, TILED, which, at);
  total = reduce(shared, total, [](double x, double y) { return x + y; });
  if (threadIdx.x == 0) a.partial[which * a.groups + blockIdx.x] = total;
}

template <bool TILED>
__global__ void __launch_bounds__(QDS_THREADS)
    extremes(const __grid_constant__ qds_level_extremes_arguments a) {
  __shared__ double shared[QDS_THREADS];
  const int64_t rows = (int64_t)a.level.axis[0].n * a.level.axis[1].n * a.level.axis[2].n;
  double lowest = 1e308, largest = 1;
  for (int64_t row = (int64_t)blockIdx.x * QDS_THREADS + threadIdx.x; row < rows;
       row += (int64_t)gridDim.x * QDS_THREADS)
    qds_level_extremes_node(&a, TILED, row, &lowest, &largest);
  lowest = reduce(shared, lowest, [](double x, double y) { return fmin(x, y); });
  __syncthreads();
  largest = reduce(shared, largest, [](double x, double y) { return fmax(x, y); });
  if (threadIdx.x == 0) {
    a.partial[2 * blockIdx.x] = lowest;
    a.partial[2 * blockIdx.x + 1] = largest;
  }
}

qds_layout layout_of(const qds_level_view &level, int planes) {
  return qds_layout_of(level.axis[0].n, level.axis[1].n, level.axis[2].n, planes);
}

} // namespace

QDS_CUDA_LAUNCHER(LEVEL_PASS, qds_level_pass_arguments) {
  return a->level.tiled ? launch_pass_of<true>(*a, stream) : launch_pass_of<false>(*a, stream);
}

QDS_CUDA_LAUNCHER(LEVEL_RESTRICT, qds_level_restrict_arguments) {
  const qds_layout l = layout_of(a->coarse, a->planes);
  restrict_defect<<<dim3(l.blocks, a->columns), l.threads, 0, stream>>>(*a, l);
  return cudaGetLastError();
}

QDS_CUDA_LAUNCHER(LEVEL_CORRECT, qds_level_correct_arguments) {
  const qds_layout l = qds_layout_of(a->n[0], a->n[1], a->n[2], a->planes);
  correct<<<dim3(l.blocks, a->columns), l.threads, 0, stream>>>(*a, l);
  return cudaGetLastError();
}

QDS_CUDA_LAUNCHER(LEVEL_INVERT, qds_level_invert_arguments) {
  invert<<<a->columns, 1024, 0, stream>>>(*a);
  return cudaGetLastError();
}

QDS_CUDA_LAUNCHER(LEVEL_APPLY, qds_level_apply_arguments) {
  const qds_layout l = layout_of(a->level, 1);
  if (a->level.tiled)
    apply<true><<<l.blocks, l.threads, 0, stream>>>(*a, l);
  else
    apply<false><<<l.blocks, l.threads, 0, stream>>>(*a, l);
  return cudaGetLastError();
}

QDS_CUDA_LAUNCHER(LEVEL_PROLONG, qds_level_prolong_arguments) {
  const qds_layout l = layout_of(a->fine, 1);
  prolong<<<dim3(l.blocks, a->to.columns), l.threads, 0, stream>>>(*a, l);
  return cudaGetLastError();
}

QDS_CUDA_LAUNCHER(LEVEL_COARSEN, qds_level_coarsen_arguments) {
  const qds_layout l = qds_layout_of(a->size[0], a->size[1], a->size[2], 1);
  if (a->fine.tiled)
    coarsen<true><<<l.blocks, l.threads, 0, stream>>>(*a, l);
  else
    coarsen<false><<<l.blocks, l.threads, 0, stream>>>(*a, l);
  return cudaGetLastError();
}

QDS_CUDA_LAUNCHER(LEVEL_SUM, qds_level_sum_arguments) {
  if (a->level.tiled)
    sum<true><<<dim3(a->groups, 4), QDS_THREADS, 0, stream>>>(*a);
  else
    sum<false><<<dim3(a->groups, 4), QDS_THREADS, 0, stream>>>(*a);
  return cudaGetLastError();
}

QDS_CUDA_LAUNCHER(LEVEL_EXTREMES, qds_level_extremes_arguments) {
  if (a->level.tiled)
    extremes<true><<<a->groups, QDS_THREADS, 0, stream>>>(*a);
  else
    extremes<false><<<a->groups, QDS_THREADS, 0, stream>>>(*a);
  return cudaGetLastError();
}

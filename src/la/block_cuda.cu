/* The kernels of block algebra on CUDA. Gram matrices and combinations go through the double-precision matrix
 * units (mma.m8n8k4, from compute capability 8.0 on), so that arithmetic hides behind the one pass over memory
 * for every number of columns that an eigensolver uses. */
#include "la/block_kernels.h"
#include "mem/kernel_cuda.h"

namespace {

constexpr int WARP = 32, WARPS = 8, THREADS = WARP * WARPS;
/* Columns, and rows, of one product of the matrix unit. */
constexpr int TILE = 8, DEPTH = 4;
/* Between rows of coefficients in shared memory, so that the four rows of a product lie in different banks. */
constexpr int PADDING = 4;

/* d (8 x 8) += a (8 x 4) b (4 x 8). Lane l holds a[l / 4][l % 4], b[l % 4][l / 4] and d[l / 4][2 (l % 4) + {0, 1}]
 * (PTX ISA, "Matrix fragments for mma.m8n8k4 with .f64"). */
__device__ inline void multiply(double (&d)[2], double a, double b) {
  asm("mma.sync.aligned.m8n8k4.row.col.f64.f64.f64.f64 {%0, %1}, {%2}, {%3}, {%0, %1};"
      : "+d"(d[0]), "+d"(d[1])
      : "d"(a), "d"(b));
}

/* Column `index` of the ranges side by side; NULL past the last. */
template <int N>
__device__ inline double *column_of(const qds_columns (&ranges)[N], int index) {
#pragma unroll
  for (int i = 0; i < N; i++) {
    if (index < ranges[i].columns) return ranges[i].data + index * ranges[i].stride;
    index -= ranges[i].columns;
  }
  return nullptr;
}

/* Two neighbouring rows of a column; those past the last row, and columns that are none, hold 0. Columns start
 * at multiples of 64 bytes and `row` is even. */
__device__ inline double2 load_pair(const double *column, int64_t row, int64_t rows) {
  if (!column || row >= rows) return make_double2(0, 0);
  if (row + 1 < rows) return *reinterpret_cast<const double2 *>(column + row);
  return make_double2(column[row], 0);
}

/* --- Gram matrices ------------------------------------------------------------------------------------------ */

/* One group of rows of a piece of at most GA x GB tiles of 8 x 8 products. Lane l of a warp takes rows
 * 2 (l % 4) and 2 (l % 4) + 1 of eight, of column l / 4 of each tile: which rows share a product does not
 * matter as long as both sides agree. */
template <int GA, int GB>
__global__ void __launch_bounds__(THREADS) gram_partial(qds_gram_arguments k) {
  const int lane = threadIdx.x % WARP, warp = threadIdx.x / WARP;
  const int first_a = blockIdx.y * GA * TILE, first_b = blockIdx.z * GB * TILE;
  const double *a[GA], *b[GB];
#pragma unroll
  for (int i = 0; i < GA; i++) a[i] = column_of(k.a, first_a + i * TILE + lane / DEPTH);
#pragma unroll
  for (int j = 0; j < GB; j++) b[j] = column_of(k.b, first_b + j * TILE + lane / DEPTH);
  double sum[GA][GB][2] = {};
  const int64_t per_group = ((k.rows + k.groups - 1) / k.groups + 15) / 16 * 16;
  const int64_t first = per_group * blockIdx.x, last = min(first + per_group, k.rows);
  for (int64_t row = first + warp * 8 + 2 * (lane % DEPTH); row - 2 * (lane % DEPTH) < last; row += WARPS * 8) {
    double2 left[GA], right[GB];
#pragma unroll
    for (int i = 0; i < GA; i++) left[i] = load_pair(a[i], row, last);
#pragma unroll
    for (int j = 0; j < GB; j++) right[j] = load_pair(b[j], row, last);
#pragma unroll
    for (int i = 0; i < GA; i++)
#pragma unroll
      for (int j = 0; j < GB; j++) {
        multiply(sum[i][j], left[i].x, right[j].x);
        multiply(sum[i][j], left[i].y, right[j].y);
      }
  }
  /* The warps' sums, in order of the warps. */
  __shared__ double shared[GA * GB * TILE * TILE];
  for (int turn = 0; turn < WARPS; turn++) {
    if (turn == warp) {
#pragma unroll
      for (int i = 0; i < GA; i++)
#pragma unroll
        for (int j = 0; j < GB; j++)
#pragma unroll
          for (int d = 0; d < 2; d++) {
            double *at = &shared[((i * GB + j) * TILE + lane / DEPTH) * TILE + 2 * (lane % DEPTH) + d];
            *at = turn ? *at + sum[i][j][d] : sum[i][j][d];
          }
    }
    __syncthreads();
  }
  for (int s = threadIdx.x; s < GA * GB * TILE * TILE; s += THREADS) {
    const int tile = s / (TILE * TILE), i = first_a + tile / GB * TILE + s / TILE % TILE,
              j = first_b + tile % GB * TILE + s % TILE;
    if (i < k.left && j < k.right)
      k.partial[((int64_t)blockIdx.x * k.right + j) * k.left + i] = shared[s];
  }
}

/* sum[i] = the sum of partial[group][i] over the groups, one block of threads for each i. */
__global__ void sum_groups(const double *partial, int groups, int size, double *sum) {
  __shared__ double shared[THREADS];
  double own = 0;
  for (int group = threadIdx.x; group < groups; group += THREADS) own += partial[(int64_t)group * size + blockIdx.x];
  shared[threadIdx.x] = own;
  for (int half = THREADS / 2; half > 0; half /= 2) {
    __syncthreads();
    if (threadIdx.x < half) shared[threadIdx.x] += shared[threadIdx.x + half];
  }
  if (threadIdx.x == 0) sum[blockIdx.x] = shared[0];
}

int tiles(int columns, int per_block) {
  return (columns + per_block * TILE - 1) / (per_block * TILE);
}

template <int GA, int GB>
void launch_gram(const qds_gram_arguments &k, cudaStream_t stream) {
  const dim3 grid(k.groups, tiles(k.left, GA), tiles(k.right, GB));
  gram_partial<GA, GB><<<grid, THREADS, 0, stream>>>(k);
}

/* --- combinations -------------------------------------------------------------------------------------------- */

/* A warp takes sixteen rows: with the rows in the place of the products' rows, lane l loads rows 2 (l / 4) and
 * 2 (l / 4) + 1 of column l % 4 of every four inputs. All inputs of its rows are read before an output is
 * written. The coefficients wait in shared memory, padded with zeros to whole tiles. */
template <int OUTPUTS>
__global__ void __launch_bounds__(THREADS) combine_rows(qds_combine_arguments k) {
  extern __shared__ double coefficients[];
  const int lane = threadIdx.x % WARP, warp = threadIdx.x / WARP;
  constexpr int stride = OUTPUTS * TILE + PADDING;
  const int inputs = (k.inputs + DEPTH - 1) / DEPTH * DEPTH;
  for (int i = threadIdx.x; i < inputs * stride; i += THREADS) {
    const int row = i / stride, column = i % stride;
    coefficients[i] =
        row < k.inputs && column < k.outputs ? k.coefficients[(int64_t)column * k.inputs + row] : 0;
  }
  __syncthreads();
  const int64_t step = (int64_t)gridDim.x * WARPS * 16;
  for (int64_t base = ((int64_t)blockIdx.x * WARPS + warp) * 16; base < k.rows; base += step) {
    const int64_t row = base + 2 * (lane / DEPTH);
    double sum[OUTPUTS][2][2] = {};
    for (int input = 0; input < inputs; input += DEPTH) {
      const double2 value = load_pair(column_of(k.from, input + lane % DEPTH), row, k.rows);
      const double *c = coefficients + (input + lane % DEPTH) * stride + lane / DEPTH;
#pragma unroll
      for (int o = 0; o < OUTPUTS; o++) {
        multiply(sum[o][0], value.x, c[o * TILE]);
        multiply(sum[o][1], value.y, c[o * TILE]);
      }
    }
#pragma unroll
    for (int o = 0; o < OUTPUTS; o++)
#pragma unroll
      for (int d = 0; d < 2; d++) {
        double *to = column_of(k.to, o * TILE + 2 * (lane % DEPTH) + d);
        if (!to || row >= k.rows) continue;
        double2 value = make_double2(sum[o][0][d], sum[o][1][d]);
        if (k.add) {
          const double2 old = load_pair(to, row, k.rows);
          value.x += old.x, value.y += old.y;
        }
        if (row + 1 < k.rows)
          *reinterpret_cast<double2 *>(to + row) = value;
        else
          to[row] = value.x;
      }
  }
}

int multiprocessors() {
  int device = 0, count = 0;
  cudaGetDevice(&device);
  cudaDeviceGetAttribute(&count, cudaDevAttrMultiProcessorCount, device);
  return count > 0 ? count : 1;
}

template <int OUTPUTS>
cudaError_t launch_combine(const qds_combine_arguments &k, cudaStream_t stream) {
  const size_t shared =
      sizeof(double) * (size_t)((k.inputs + DEPTH - 1) / DEPTH * DEPTH) * (OUTPUTS * TILE + PADDING);
  const cudaError_t error = cudaFuncSetAttribute(combine_rows<OUTPUTS>,
                                                 cudaFuncAttributeMaxDynamicSharedMemorySize, (int)shared);
  if (error != cudaSuccess) return error;
  const int64_t wanted = (k.rows + WARPS * 16 - 1) / (WARPS * 16), most = 8 * multiprocessors();
  combine_rows<OUTPUTS><<<(int)(wanted < most ? wanted : most), THREADS, shared, stream>>>(k);
  return cudaGetLastError();
}

/* --- residuals and random numbers ---------------------------------------------------------------------------- */

__global__ void __launch_bounds__(THREADS) residual_partial(qds_residual_arguments k) {
  const int column = blockIdx.y;
  const double value = k.eigenvalues[column], *x = k.x.data + column * k.x.stride;
  double *w = k.w.data + column * k.w.stride;
  double sum = 0;
  const int64_t step = 2 * (int64_t)gridDim.x * THREADS;
  for (int64_t i = 2 * ((int64_t)blockIdx.x * THREADS + threadIdx.x); i < k.rows; i += step) {
    const double2 from = load_pair(x, i, k.rows);
    double2 to = load_pair(w, i, k.rows);
    to.x -= value * from.x, to.y -= value * from.y;
    sum += to.x * to.x + to.y * to.y;
    if (i + 1 < k.rows)
      *reinterpret_cast<double2 *>(w + i) = to;
    else
      w[i] = to.x;
  }
  __shared__ double shared[THREADS];
  shared[threadIdx.x] = sum;
  for (int half = THREADS / 2; half > 0; half /= 2) {
    __syncthreads();
    if (threadIdx.x < half) shared[threadIdx.x] += shared[threadIdx.x + half];
  }
  if (threadIdx.x == 0) k.partial[(int64_t)blockIdx.x * k.x.columns + column] = shared[0];
}

__global__ void __launch_bounds__(THREADS) fill_normal(qds_fill_normal_arguments k) {
  const int column = blockIdx.y;
  for (int64_t i = (int64_t)blockIdx.x * THREADS + threadIdx.x; i < k.rows; i += (int64_t)gridDim.x * THREADS)
    qds_fill_normal_at(&k, column, i);
}

} // namespace

QDS_CUDA_LAUNCHER(GRAM, qds_gram_arguments) {
  const qds_gram_arguments &k = *a;
  const bool narrow = k.left <= TILE, thin = k.right <= 2 * TILE;
  if (narrow && thin)
    launch_gram<1, 2>(k, stream);
  else if (narrow)
    launch_gram<1, 4>(k, stream);
  else if (thin)
    launch_gram<2, 2>(k, stream);
  else
    launch_gram<3, 4>(k, stream);
  const int size = k.left * k.right;
  sum_groups<<<size, THREADS, 0, stream>>>(k.partial, k.groups, size, k.products);
  return cudaGetLastError();
}

QDS_CUDA_LAUNCHER(COMBINE, qds_combine_arguments) {
  const qds_combine_arguments &k = *a;
  if (k.outputs <= TILE) return launch_combine<1>(k, stream);
  if (k.outputs <= 2 * TILE) return launch_combine<2>(k, stream);
  if (k.outputs <= 4 * TILE) return launch_combine<4>(k, stream);
  if (k.outputs <= 8 * TILE) return launch_combine<8>(k, stream);
  return launch_combine<16>(k, stream);
}

QDS_CUDA_LAUNCHER(RESIDUAL, qds_residual_arguments) {
  const qds_residual_arguments &k = *a;
  const int m = k.x.columns;
  residual_partial<<<dim3(k.groups, m), THREADS, 0, stream>>>(k);
  sum_groups<<<m, THREADS, 0, stream>>>(k.partial, k.groups, m, k.squares);
  return cudaGetLastError();
}

QDS_CUDA_LAUNCHER(FILL_NORMAL, qds_fill_normal_arguments) {
  const qds_fill_normal_arguments &k = *a;
  const int64_t wanted = (k.rows + THREADS - 1) / THREADS, most = 16 * multiprocessors();
  fill_normal<<<dim3((int)(wanted < most ? wanted : most), k.to.columns), THREADS, 0, stream>>>(k);
  return cudaGetLastError();
}

/* The kernels of block algebra on CUDA. Gram matrices and combinations go through the double-precision matrix
 * units (mma.m8n8k4, from compute capability 8.0 on), so that arithmetic hides behind the one pass over
 * memory for every number of columns that an eigensolver uses. */
#include "la/block_kernels.h"
#include "mem/kernel_cuda.h"

namespace {

constexpr int WARP = 32, WARPS = 8, THREADS = WARP * WARPS;
/* Columns, and rows, of one product of the matrix unit. */
constexpr int TILE = 8, DEPTH = 4;
/* Between rows of coefficients in shared memory, so that the four rows of a product lie in different banks.
 */
constexpr int PADDING = 4;

/* d (8 x 8) += a (8 x 4) b (4 x 8). Lane l holds a[l / 4][l % 4], b[l % 4][l / 4] and d[l / 4][2 (l % 4) +
 * {0, 1}] (PTX ISA, "Matrix fragments for mma.m8n8k4 with .f64"). */
__device__ inline void multiply(double (&d)[2], double a, double b) {
  asm("mma.sync.aligned.m8n8k4.row.col.f64.f64.f64.f64 {%0, %1}, {%2}, {%3}, {%0, %1};"
      : "+d"(d[0]), "+d"(d[1])
      : "d"(a), "d"(b));
}

/* Column `index` of the ranges side by side; NULL past the last. */
template <int N> __device__ inline double *column_of(const qds_columns (&ranges)[N], int index) {
#pragma unroll
  for (int i = 0; i < N; i++) {
    if (index < ranges[i].columns) return ranges[i].data + index * ranges[i].stride;
    index -= ranges[i].columns;
  }
  return nullptr;
}

/* The same, and the last column past the last: what is computed from it is left out, and loads need no
 * test. */
template <int N>
__device__ inline const double *column_or_last(const qds_columns (&ranges)[N], int index, int count) {
  return column_of(ranges, index < count ? index : count - 1);
}

/* Two neighbouring rows of a column; those past the last row hold 0 unless all rows of the call are `inside`.
 * Columns start at multiples of 64 bytes and `row` is even. */
template <bool INSIDE> __device__ inline double2 load_pair(const double *column, int64_t row, int64_t rows) {
  if (INSIDE || row + 1 < rows) return *reinterpret_cast<const double2 *>(column + row);
  return make_double2(row < rows ? column[row] : 0, 0);
}

/* Blocks of a kernel that run at the same time: with as many, none waits for another to end. */
template <typename Kernel> cudaError_t resident_blocks(Kernel kernel, size_t shared, int *count) {
  int device = 0, multiprocessors = 0, each = 0;
  cudaError_t error = cudaGetDevice(&device);
  if (error == cudaSuccess)
    error = cudaDeviceGetAttribute(&multiprocessors, cudaDevAttrMultiProcessorCount, device);
  if (error == cudaSuccess)
    error = cudaOccupancyMaxActiveBlocksPerMultiprocessor(&each, kernel, THREADS, shared);
  *count = multiprocessors * each > 0 ? multiprocessors * each : 1;
  return error;
}

int smaller(int64_t a, int64_t b) {
  return (int)(a < b ? a : b);
}

/* The sum of a number of each thread, valid in thread 0. */
__device__ inline double sum_of_block(double own) {
  __shared__ double shared[WARPS];
  for (int step = WARP / 2; step > 0; step /= 2) own += __shfl_down_sync(0xffffffffu, own, step);
  __syncthreads();
  if (threadIdx.x % WARP == 0) shared[threadIdx.x / WARP] = own;
  __syncthreads();
  double sum = 0;
  if (threadIdx.x == 0)
    for (int w = 0; w < WARPS; w++) sum += shared[w];
  return sum;
}

/* sum[i] = the sum of partial[group][i] over the groups, one block of threads for each i. */
__global__ void __launch_bounds__(THREADS)
    sum_groups(const double *partial, int groups, int size, double *sum) {
  double own = 0;
  for (int group = threadIdx.x; group < groups; group += THREADS)
    own += partial[(int64_t)group * size + blockIdx.x];
  const double total = sum_of_block(own);
  if (threadIdx.x == 0) sum[blockIdx.x] = total;
}

/* --- Gram matrices
 * ------------------------------------------------------------------------------------------ */

/* A few columns: each thread keeps all products of its rows. */
template <int LEFT, int RIGHT> __global__ void __launch_bounds__(THREADS) gram_few(qds_gram_arguments k) {
  const double *a[LEFT], *b[RIGHT];
#pragma unroll
  for (int i = 0; i < LEFT; i++) a[i] = column_or_last(k.a, i, k.left);
#pragma unroll
  for (int j = 0; j < RIGHT; j++) b[j] = column_or_last(k.b, j, k.right);
  double sum[LEFT][RIGHT] = {};
  const int64_t step = (int64_t)gridDim.x * THREADS;
#pragma unroll 2
  for (int64_t row = (int64_t)blockIdx.x * THREADS + threadIdx.x; row < k.rows; row += step) {
    double left[LEFT], right[RIGHT];
#pragma unroll
    for (int i = 0; i < LEFT; i++) left[i] = a[i][row];
#pragma unroll
    for (int j = 0; j < RIGHT; j++) right[j] = b[j][row];
#pragma unroll
    for (int i = 0; i < LEFT; i++)
#pragma unroll
      for (int j = 0; j < RIGHT; j++) sum[i][j] += left[i] * right[j];
  }
#pragma unroll
  for (int i = 0; i < LEFT; i++)
#pragma unroll
    for (int j = 0; j < RIGHT; j++) {
      if (i >= k.left || j >= k.right) continue;
      const double total = sum_of_block(sum[i][j]);
      if (threadIdx.x == 0) k.partial[((int64_t)blockIdx.x * k.right + j) * k.left + i] = total;
    }
}

/* The products of 8 * UNROLL rows from `row` on. Lane l takes rows 2 (l % 4) and 2 (l % 4) + 1 of eight, of
 * column l / 4 of each tile: which rows share a product does not matter as long as both sides agree. */
template <bool INSIDE, int GA, int GB, int UNROLL>
__device__ inline void multiply_tiles(const double *const (&a)[GA], const double *const (&b)[GB], int64_t row,
                                      int64_t rows, double (&sum)[GA][GB][2]) {
  double2 left[UNROLL][GA], right[UNROLL][GB];
#pragma unroll
  for (int u = 0; u < UNROLL; u++) {
#pragma unroll
    for (int i = 0; i < GA; i++) left[u][i] = load_pair<INSIDE>(a[i], row + 8 * u, rows);
#pragma unroll
    for (int j = 0; j < GB; j++) right[u][j] = load_pair<INSIDE>(b[j], row + 8 * u, rows);
  }
#pragma unroll
  for (int u = 0; u < UNROLL; u++)
#pragma unroll
    for (int i = 0; i < GA; i++)
#pragma unroll
      for (int j = 0; j < GB; j++) {
        multiply(sum[i][j], left[u][i].x, right[u][j].x);
        multiply(sum[i][j], left[u][i].y, right[u][j].y);
      }
}

/* One group of rows of a piece of at most GA x GB tiles of 8 x 8 products; the pieces of a group run side by
 * side, so that the second level of cache serves what they share. */
template <int GA, int GB, int UNROLL>
__global__ void __launch_bounds__(THREADS) gram_tiles(qds_gram_arguments k, int pieces_of_right) {
  const int lane = threadIdx.x % WARP, warp = threadIdx.x / WARP;
  const int first_a = blockIdx.x / pieces_of_right * GA * TILE,
            first_b = blockIdx.x % pieces_of_right * GB * TILE;
  const double *a[GA], *b[GB];
#pragma unroll
  for (int i = 0; i < GA; i++) a[i] = column_or_last(k.a, first_a + i * TILE + lane / DEPTH, k.left);
#pragma unroll
  for (int j = 0; j < GB; j++) b[j] = column_or_last(k.b, first_b + j * TILE + lane / DEPTH, k.right);
  double sum[GA][GB][2] = {};
  constexpr int at_once = 8 * UNROLL;
  const int64_t step = (int64_t)gridDim.y * WARPS * at_once, own = 2 * (lane % DEPTH);
  int64_t row = ((int64_t)blockIdx.y * WARPS + warp) * at_once;
  for (; row + at_once <= k.rows; row += step)
    multiply_tiles<true, GA, GB, UNROLL>(a, b, row + own, k.rows, sum);
  if (row < k.rows) multiply_tiles<false, GA, GB, UNROLL>(a, b, row + own, k.rows, sum);
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
    if (i < k.left && j < k.right) k.partial[((int64_t)blockIdx.y * k.right + j) * k.left + i] = shared[s];
  }
}

/* The groups' sums, in order. */
cudaError_t finish_gram(const qds_gram_arguments &k, int groups, cudaStream_t stream) {
  const cudaError_t error = cudaGetLastError();
  if (error != cudaSuccess) return error;
  const int size = k.left * k.right;
  sum_groups<<<size, THREADS, 0, stream>>>(k.partial, groups, size, k.products);
  return cudaGetLastError();
}

template <int LEFT, int RIGHT> cudaError_t launch_few(const qds_gram_arguments &k, cudaStream_t stream) {
  int resident;
  const cudaError_t error = resident_blocks(gram_few<LEFT, RIGHT>, 0, &resident);
  if (error != cudaSuccess) return error;
  const int groups = smaller(resident, k.groups);
  gram_few<LEFT, RIGHT><<<groups, THREADS, 0, stream>>>(k);
  return finish_gram(k, groups, stream);
}

int tiles(int columns, int per_block) {
  return (columns + per_block * TILE - 1) / (per_block * TILE);
}

template <int GA, int GB, int UNROLL>
cudaError_t launch_tiles(const qds_gram_arguments &k, cudaStream_t stream) {
  int resident;
  const cudaError_t error = resident_blocks(gram_tiles<GA, GB, UNROLL>, 0, &resident);
  if (error != cudaSuccess) return error;
  const int pieces_of_right = tiles(k.right, GB), pieces = tiles(k.left, GA) * pieces_of_right,
            each = (resident + pieces - 1) / pieces, groups = smaller(each, k.groups);
  gram_tiles<GA, GB, UNROLL><<<dim3(pieces, groups), THREADS, 0, stream>>>(k, pieces_of_right);
  return finish_gram(k, groups, stream);
}

/* --- combinations
 * -------------------------------------------------------------------------------------------- */

__device__ inline void store_pair(double *column, int64_t row, int64_t rows, int add, double2 value) {
  if (add) {
    const double2 old = load_pair<false>(column, row, rows);
    value.x += old.x, value.y += old.y;
  }
  if (row + 1 < rows)
    *reinterpret_cast<double2 *>(column + row) = value;
  else
    column[row] = value.x;
}

/* A few columns: each thread combines two rows by itself, with the coefficients in shared memory. */
template <int INPUTS, int OUTPUTS>
__global__ void __launch_bounds__(THREADS) combine_few(qds_combine_arguments k) {
  __shared__ double coefficients[OUTPUTS * INPUTS];
  const double *from[INPUTS];
  double *to[OUTPUTS];
  for (int i = threadIdx.x; i < OUTPUTS * INPUTS; i += THREADS) {
    const int output = i / INPUTS, input = i % INPUTS;
    coefficients[i] = output < k.outputs && input < k.inputs ? k.coefficients[output * k.inputs + input] : 0;
  }
#pragma unroll
  for (int i = 0; i < INPUTS; i++) from[i] = column_or_last(k.from, i, k.inputs);
#pragma unroll
  for (int o = 0; o < OUTPUTS; o++) to[o] = column_of(k.to, o);
  __syncthreads();
  const int64_t step = 2 * (int64_t)gridDim.x * THREADS;
  for (int64_t row = 2 * ((int64_t)blockIdx.x * THREADS + threadIdx.x); row < k.rows; row += step) {
    double2 value[INPUTS];
#pragma unroll
    for (int i = 0; i < INPUTS; i++) value[i] = load_pair<false>(from[i], row, k.rows);
#pragma unroll
    for (int o = 0; o < OUTPUTS; o++) {
      if (!to[o]) continue;
      double2 sum = make_double2(0, 0);
#pragma unroll
      for (int i = 0; i < INPUTS; i++) {
        const double c = coefficients[o * INPUTS + i];
        sum.x += c * value[i].x, sum.y += c * value[i].y;
      }
      store_pair(to[o], row, k.rows, k.add, sum);
    }
  }
}

/* What the two times eight rows of a warp become: with the rows in the place of the products' rows, lane l
 * loads rows 2 (l / 4) and 2 (l / 4) + 1 of column l % 4 of every four inputs, several at once. */
template <int OUTPUTS>
__device__ inline void combine_tile(const qds_combine_arguments &k, const double *coefficients, int inputs,
                                    int64_t row, double (&sum)[OUTPUTS][2][2]) {
  constexpr int stride = OUTPUTS * TILE + PADDING, AT_ONCE = 4;
  const int lane = threadIdx.x % WARP;
  for (int first = 0; first < inputs; first += AT_ONCE * DEPTH) {
    double2 value[AT_ONCE];
#pragma unroll
    for (int s = 0; s < AT_ONCE; s++)
      value[s] =
          load_pair<false>(column_or_last(k.from, first + s * DEPTH + lane % DEPTH, k.inputs), row, k.rows);
#pragma unroll
    for (int s = 0; s < AT_ONCE; s++) {
      if (first + s * DEPTH >= inputs) break;
      const double *c = coefficients + (first + s * DEPTH + lane % DEPTH) * stride + lane / DEPTH;
#pragma unroll
      for (int o = 0; o < OUTPUTS; o++) {
        multiply(sum[o][0], value[s].x, c[o * TILE]);
        multiply(sum[o][1], value[s].y, c[o * TILE]);
      }
    }
  }
}

/* A warp takes sixteen rows and reads all inputs of them before it writes an output. The coefficients wait in
 * shared memory, padded with zeros to whole tiles. */
template <int OUTPUTS> __global__ void __launch_bounds__(THREADS) combine_tiles(qds_combine_arguments k) {
  extern __shared__ double coefficients[];
  constexpr int stride = OUTPUTS * TILE + PADDING;
  const int lane = threadIdx.x % WARP, warp = threadIdx.x / WARP;
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
    combine_tile<OUTPUTS>(k, coefficients, inputs, row, sum);
#pragma unroll
    for (int o = 0; o < OUTPUTS; o++)
#pragma unroll
      for (int d = 0; d < 2; d++) {
        double *to = column_of(k.to, o * TILE + 2 * (lane % DEPTH) + d);
        if (to && row < k.rows) store_pair(to, row, k.rows, k.add, make_double2(sum[o][0][d], sum[o][1][d]));
      }
  }
}

template <int INPUTS, int OUTPUTS>
cudaError_t launch_combine_few(const qds_combine_arguments &k, cudaStream_t stream) {
  int resident;
  const cudaError_t error = resident_blocks(combine_few<INPUTS, OUTPUTS>, 0, &resident);
  if (error != cudaSuccess) return error;
  const int64_t wanted = (k.rows + 2 * THREADS - 1) / (2 * THREADS);
  combine_few<INPUTS, OUTPUTS><<<smaller(wanted, resident), THREADS, 0, stream>>>(k);
  return cudaGetLastError();
}

template <int OUTPUTS> cudaError_t launch_combine_tiles(const qds_combine_arguments &k, cudaStream_t stream) {
  const size_t shared =
      sizeof(double) * (size_t)((k.inputs + DEPTH - 1) / DEPTH * DEPTH) * (OUTPUTS * TILE + PADDING);
  int resident;
  cudaError_t error =
      cudaFuncSetAttribute(combine_tiles<OUTPUTS>, cudaFuncAttributeMaxDynamicSharedMemorySize, (int)shared);
  if (error == cudaSuccess) error = resident_blocks(combine_tiles<OUTPUTS>, shared, &resident);
  if (error != cudaSuccess) return error;
  const int64_t wanted = (k.rows + WARPS * 16 - 1) / (WARPS * 16);
  combine_tiles<OUTPUTS><<<smaller(wanted, resident), THREADS, shared, stream>>>(k);
  return cudaGetLastError();
}

/* --- residuals and random numbers
 * ---------------------------------------------------------------------------- */

__global__ void __launch_bounds__(THREADS) residual_partial(qds_residual_arguments k) {
  const int column = blockIdx.y;
  const double value = k.eigenvalues[column], *x = k.x.data + column * k.x.stride;
  double *w = k.w.data + column * k.w.stride;
  double sum = 0;
  const int64_t step = 2 * (int64_t)gridDim.x * THREADS;
  for (int64_t i = 2 * ((int64_t)blockIdx.x * THREADS + threadIdx.x); i < k.rows; i += step) {
    const double2 from = load_pair<false>(x, i, k.rows);
    double2 to = load_pair<false>(w, i, k.rows);
    to.x -= value * from.x, to.y -= value * from.y;
    sum += to.x * to.x + to.y * to.y;
    if (i + 1 < k.rows)
      *reinterpret_cast<double2 *>(w + i) = to;
    else
      w[i] = to.x;
  }
  const double total = sum_of_block(sum);
  if (threadIdx.x == 0) k.partial[(int64_t)blockIdx.x * k.x.columns + column] = total;
}

__global__ void __launch_bounds__(THREADS) fill_normal(qds_fill_normal_arguments k) {
  const int column = blockIdx.y;
  for (int64_t i = (int64_t)blockIdx.x * THREADS + threadIdx.x; i < k.rows; i += (int64_t)gridDim.x * THREADS)
    qds_fill_normal_at(&k, column, i);
}

} // namespace

QDS_CUDA_LAUNCHER(GRAM, qds_gram_arguments) {
  if (a->left <= 2 && a->right <= 3) return launch_few<2, 3>(*a, stream);
  if (a->left <= 4 && a->right <= 6) return launch_few<4, 6>(*a, stream);
  if (a->left <= 6 && a->right <= 9) return launch_few<6, 9>(*a, stream);
  if (a->left <= TILE && a->right <= 2 * TILE) return launch_tiles<1, 2, 4>(*a, stream);
  if (a->left <= 2 * TILE && a->right <= 2 * TILE) return launch_tiles<2, 2, 2>(*a, stream);
  if (a->left <= 2 * TILE && a->right <= 3 * TILE) return launch_tiles<2, 3, 2>(*a, stream);
  if (a->left <= 3 * TILE && a->right <= 5 * TILE) return launch_tiles<3, 5, 1>(*a, stream);
  return launch_tiles<4, 6, 1>(*a, stream);
}

QDS_CUDA_LAUNCHER(COMBINE, qds_combine_arguments) {
  if (a->inputs <= 3 && a->outputs <= 2) return launch_combine_few<3, 2>(*a, stream);
  if (a->inputs <= 6 && a->outputs <= 4) return launch_combine_few<6, 4>(*a, stream);
  if (a->inputs <= 9 && a->outputs <= 6) return launch_combine_few<9, 6>(*a, stream);
  if (a->inputs <= 15 && a->outputs <= 10) return launch_combine_few<15, 10>(*a, stream);
  if (a->outputs <= 2 * TILE) return launch_combine_tiles<2>(*a, stream);
  if (a->outputs <= 4 * TILE) return launch_combine_tiles<4>(*a, stream);
  if (a->outputs <= 8 * TILE) return launch_combine_tiles<8>(*a, stream);
  return launch_combine_tiles<16>(*a, stream);
}

QDS_CUDA_LAUNCHER(RESIDUAL, qds_residual_arguments) {
  const int m = a->x.columns;
  int resident;
  const cudaError_t error = resident_blocks(residual_partial, 0, &resident);
  if (error != cudaSuccess) return error;
  const int groups = smaller((resident + m - 1) / m, a->groups);
  residual_partial<<<dim3(groups, m), THREADS, 0, stream>>>(*a);
  sum_groups<<<m, THREADS, 0, stream>>>(a->partial, groups, m, a->squares);
  return cudaGetLastError();
}

QDS_CUDA_LAUNCHER(FILL_NORMAL, qds_fill_normal_arguments) {
  int resident;
  const cudaError_t error = resident_blocks(fill_normal, 0, &resident);
  if (error != cudaSuccess) return error;
  const int64_t wanted = (a->rows + THREADS - 1) / THREADS;
  fill_normal<<<dim3(smaller(wanted, resident), a->to.columns), THREADS, 0, stream>>>(*a);
  return cudaGetLastError();
}

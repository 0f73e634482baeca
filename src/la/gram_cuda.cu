/* Gram matrices on CUDA.
 *
 * From seven columns on, through the double-precision matrix units, so that arithmetic hides behind the one
 * pass over memory; the matrix of 60 columns against 90 wants 0.19 ns per row of an H200's units and 0.23 ns
 * of its memory, and is limited by both. So some warps only load there, where the device has barriers and
 * copies for that. `bench_block cuda` measures the passes against a copy. */
#include <limits.h>
#include <utility>

#include "la/ring_cuda.h"

namespace {

/* --- a few columns -----------------------------------------------------------------------------------------
 */

/* The same as qds_column_of, and the last column past the last: what is computed from it is left out, and
 * loads need no test. */
template <int N>
__device__ inline const double *column_or_last(const qds_columns (&ranges)[N], int index, int count) {
  return qds_column_of(ranges, index < count ? index : count - 1);
}

/* Each thread keeps all products of its rows. */
template <int LEFT, int RIGHT> __global__ void __launch_bounds__(QDS_THREADS) gram_few(qds_gram_arguments k) {
  const double *a[LEFT], *b[RIGHT];
#pragma unroll
  for (int i = 0; i < LEFT; i++) a[i] = column_or_last(k.a, i, k.left);
#pragma unroll
  for (int j = 0; j < RIGHT; j++) b[j] = column_or_last(k.b, j, k.right);
  double sum[LEFT][RIGHT] = {};
  const int64_t step = (int64_t)gridDim.x * QDS_THREADS;
#pragma unroll 2
  for (int64_t row = (int64_t)blockIdx.x * QDS_THREADS + threadIdx.x; row < k.rows; row += step) {
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
      const double total = qds_reduce_block(sum[i][j], qds_add());
      if (threadIdx.x == 0) k.partial[(int64_t)(j * k.left + i) * gridDim.x + blockIdx.x] = total;
    }
}

/* --- any number of columns ---------------------------------------------------------------------------------
 */

/* At most so many columns of each side go through one launch, half of them where shared memory is small;
 * wider sides take several, each of which reads its columns anew. They are limited by arithmetic then. */
constexpr int MOST_LEFT = 96, MOST_RIGHT = 160, MOST_STAGED = MOST_LEFT + MOST_RIGHT;
constexpr int STAGES = 4, FEWEST_SHIFT = 4, MOST_SHIFT = 9;
/* Between columns of a stage beyond their rows: the 16 lanes that read 8 bytes at once, of four columns, hit
 * different banks. */
constexpr int PADDING = 4;

constexpr qds_stage_shape stage_shape(int shift) {
  return {shift, (1 << shift) + PADDING};
}

/* One side of the products: its columns, and how far the products of neighbouring ones are apart. */
struct side {
  const qds_columns *ranges;
  int count, step;
};

const double *column_of(const side &side, int index) {
  const qds_columns *range = side.ranges;
  for (; index >= range->columns; range++) index -= range->columns;
  return range->data + index * range->stride;
}

/* The columns of a launch, each staged once, also when it stands on both sides: left column i is staged
 * column i, right column j is staged column right[j]. Their product is number at + i left_step +
 * j right_step. */
struct staged_columns {
  const double *column[MOST_STAGED];
  unsigned char right[MOST_RIGHT];
  int columns, left, right_count; /* `columns` are staged */
  int64_t at, left_step, right_step;
};

staged_columns stage_columns(const side &a, int first_left, int left, const side &b, int first_right,
                             int right) {
  staged_columns s = {};
  s.at = (int64_t)first_left * a.step + (int64_t)first_right * b.step;
  s.left_step = a.step;
  s.right_step = b.step;
  s.left = qds_smaller(a.count - first_left, left);
  s.right_count = qds_smaller(b.count - first_right, right);
  for (s.columns = 0; s.columns < s.left; s.columns++)
    s.column[s.columns] = column_of(a, first_left + s.columns);
  for (int j = 0; j < s.right_count; j++) {
    const double *column = column_of(b, first_right + j);
    int at = 0;
    while (at < s.columns && s.column[at] != column) at++;
    if (at == s.columns) s.column[s.columns++] = column;
    s.right[j] = (unsigned char)at;
  }
  return s;
}

/* How the work on a stage is divided: a warp computes a piece of the products from one of `slices` parts of
 * the rows. Pieces from `wanted` on, which make them a power of two, are empty. */
struct division {
  qds_stage_shape shape;
  int pieces, wanted, pieces_of_right, slices;
};

/* A warp's own work: LEFT times 16 left and RIGHT times 8 right columns, of which this lane takes the numbers
 * that start at the given bytes of a stage, in the first row of the warp's slice. Past the last column, the
 * last one again: its products are left out. */
template <int LEFT, int RIGHT> struct share { int piece, slice, left_at[2 * LEFT], right_at[RIGHT]; };

template <int LEFT, int RIGHT>
__device__ inline share<LEFT, RIGHT> share_of_warp(const staged_columns &s, const division &d,
                                                   int rows_between_slices) {
  const int lane = threadIdx.x % QDS_WARP, warp = threadIdx.x / QDS_WARP;
  share<LEFT, RIGHT> own;
  own.piece = warp % d.pieces;
  own.slice = warp / d.pieces;
  const int left = own.piece / d.pieces_of_right * QDS_PRODUCT_ROWS * LEFT + lane / 4,
            right = own.piece % d.pieces_of_right * QDS_PRODUCT_COLUMNS * RIGHT + lane / 4;
  const auto start_of = [&](int column) {
    return (int)sizeof(double) * (column * d.shape.stride + own.slice * rows_between_slices + lane % 4);
  };
#pragma unroll
  for (int i = 0; i < 2 * LEFT; i++) own.left_at[i] = start_of(min(left + 8 * i, s.left - 1));
#pragma unroll
  for (int j = 0; j < RIGHT; j++)
    own.right_at[j] = start_of(s.right[min(right + QDS_PRODUCT_COLUMNS * j, s.right_count - 1)]);
  return own;
}

/* The products of eight rows at every `step`-th of the next `rows` rows of a slice. */
template <int LEFT, int RIGHT>
__device__ inline void multiply_slice(const double *stage, int rows, int step, const share<LEFT, RIGHT> &own,
                                      double (&sum)[LEFT][RIGHT][4]) {
  const char *from = reinterpret_cast<const char *>(stage);
  const auto number = [&](int at, int row) {
    return *reinterpret_cast<const double *>(from + at + (int)sizeof(double) * row);
  };
#pragma unroll 2
  for (int row = 0; row < rows; row += step, from += sizeof(double) * step) {
    double left[LEFT][4], right[RIGHT][2];
#pragma unroll
    for (int i = 0; i < LEFT; i++)
#pragma unroll
      for (int n = 0; n < 4; n++) left[i][n] = number(own.left_at[2 * i + n % 2], n / 2 * 4);
#pragma unroll
    for (int j = 0; j < RIGHT; j++)
#pragma unroll
      for (int n = 0; n < 2; n++) right[j][n] = number(own.right_at[j], n * 4);
#pragma unroll
    for (int i = 0; i < LEFT; i++)
#pragma unroll
      for (int j = 0; j < RIGHT; j++) qds_multiply(sum[i][j], left[i], right[j]);
  }
}

/* The sums of a piece over its slices, one after the other, in shared memory (columns of 16 LEFT); then those
 * of all pieces to `partial`. */
template <int LEFT, int RIGHT>
__device__ inline void store_partial(const qds_gram_arguments &k, const staged_columns &s, const division &d,
                                     double *shared, const share<LEFT, RIGHT> &own,
                                     const double (&sum)[LEFT][RIGHT][4]) {
  constexpr int rows = 16 * LEFT, columns = QDS_PRODUCT_COLUMNS * RIGHT, size = rows * columns;
  const int lane = threadIdx.x % 32;
  for (int turn = 0; turn < d.slices; turn++) {
    __syncthreads();
    if (turn != own.slice) continue;
#pragma unroll
    for (int i = 0; i < LEFT; i++)
#pragma unroll
      for (int j = 0; j < RIGHT; j++)
#pragma unroll
        for (int n = 0; n < 4; n++) {
          double *at = shared + own.piece * size + (j * QDS_PRODUCT_COLUMNS + 2 * (lane % 4) + n % 2) * rows +
                       16 * i + lane / 4 + n / 2 * 8;
          *at = turn ? *at + sum[i][j][n] : sum[i][j][n];
        }
  }
  __syncthreads();
  for (int at = threadIdx.x; at < d.pieces * size; at += blockDim.x) {
    const int p = at / size, i = p / d.pieces_of_right * rows + at % rows,
              j = p % d.pieces_of_right * columns + at % size / rows;
    if (i < s.left && j < s.right_count)
      k.partial[(s.at + i * s.left_step + j * s.right_step) * gridDim.x + blockIdx.x] = shared[at];
  }
}

template <int LEFT, int RIGHT, int TOGETHER>
__global__ void __launch_bounds__(QDS_THREADS, TOGETHER)
    gram(const __grid_constant__ qds_gram_arguments k, const __grid_constant__ staged_columns s,
         const division d) {
  extern __shared__ double2 shared_pairs[];
  double *shared = reinterpret_cast<double *>(shared_pairs);
  const int size = s.columns * d.shape.stride, rows = 1 << d.shape.shift,
            rows_of_slice = max(rows / d.slices, QDS_PRODUCT_DEPTH);
  const share<LEFT, RIGHT> own = share_of_warp<LEFT, RIGHT>(s, d, rows_of_slice);
  double sum[LEFT][RIGHT][4] = {};
  const int64_t step = (int64_t)gridDim.x * rows;
  const auto column_at = [&](int c) { return s.column[c]; };
  int64_t row = (int64_t)blockIdx.x * rows, coming = row;
#pragma unroll
  for (int stage = 0; stage < STAGES - 1; stage++, coming += step) {
    if (coming < k.rows) qds_stage_load(shared + stage * size, d.shape, s.columns, coming, k.rows, column_at);
    qds_copies_commit();
  }
  for (int stage = 0; row < k.rows;
       row += step, coming += step, stage = stage + 1 == STAGES ? 0 : stage + 1) {
    qds_copies_wait<STAGES - 2>();
    __syncthreads();
    const auto load_coming = [&] {
      if (coming < k.rows)
        qds_stage_load(shared + (stage == 0 ? STAGES - 1 : stage - 1) * size, d.shape, s.columns, coming,
                       k.rows, column_at);
      qds_copies_commit();
    };
    /* Alone on its multiprocessor, a block keeps the matrix units busy only when its warps do not all ask for
     * columns at the same time. */
    const bool loads_first = TOGETHER > 1 || threadIdx.x < QDS_THREADS / 2;
    if (loads_first) load_coming();
    if (own.slice * rows_of_slice < rows && own.piece < d.wanted)
      multiply_slice(shared + stage * size, rows_of_slice, QDS_PRODUCT_DEPTH, own, sum);
    if (!loads_first) load_coming();
  }
  store_partial(k, s, d, shared, own, sum);
}

/* --- many columns ------------------------------------------------------------------------------------------
 */

/* Of [w Aw]^T [x p w] arithmetic takes about as long as memory from 25 to 32 vectors on, and neither may wait
 * for the other: LOADERS more warps only load. With fewer vectors all warps may as well load, and with more,
 * their pieces leave no registers for more warps. Copies of 512 bytes, a column of 64 rows, arrive at the
 * full rate of the memory, those of 256 at half of it. */
constexpr int LOADERS = 4, RING_STAGES = 3, RING_THREADS = QDS_THREADS + QDS_WARP * LOADERS;
constexpr qds_stage_shape RING_SHAPE = stage_shape(6);
static_assert(RING_STAGES <= QDS_RING_MOST_STAGES);

/* Asks for the rows from `row` on of the columns that are left to warp `loader`: every LOADERS-th one. Rows
 * past the last become 0. Columns start at multiples of 256 bytes, and `row` is even. */
[[maybe_unused]] __device__ inline void load_ring_stage(double *stage, uint64_t *full,
                                                        const staged_columns &s, int loader, int64_t row,
                                                        int64_t rows) {
  const int height = 1 << RING_SHAPE.shift;
  const unsigned bytes = sizeof(double) * height;
  if (row + height <= rows) {
    qds_barrier_arrive_with(full, bytes * ((s.columns - loader + LOADERS - 1) / LOADERS), [&] {
#pragma unroll 4
      for (int c = loader; c < s.columns; c += LOADERS)
        qds_copy_bulk(stage + c * RING_SHAPE.stride, s.column[c] + row, bytes, full);
    });
  } else {
    for (int c = loader; c < s.columns; c += LOADERS)
      for (int i = threadIdx.x % QDS_WARP; i < height; i += QDS_WARP)
        stage[c * RING_SHAPE.stride + i] = row + i < rows ? s.column[c][row + i] : 0;
    qds_barrier_arrive(full);
  }
}

template <int LEFT, int RIGHT>
__global__ void __launch_bounds__(RING_THREADS)
    gram_ring(const __grid_constant__ qds_gram_arguments k, const __grid_constant__ staged_columns s,
              const division d) {
#if __CUDA_ARCH__ >= 900
  extern __shared__ double2 shared_pairs[];
  __shared__ qds_ring ring;
  double *shared = reinterpret_cast<double *>(shared_pairs);
  /* Slices alternate every eight rows: that takes fewer registers than parts of the rows. */
  const share<LEFT, RIGHT> own = share_of_warp<LEFT, RIGHT>(s, d, QDS_PRODUCT_DEPTH);
  const int size = s.columns * RING_SHAPE.stride, rows = 1 << RING_SHAPE.shift,
            loader = (int)(threadIdx.x / QDS_WARP) - QDS_WARPS;
  const int64_t first = (int64_t)blockIdx.x * rows, step = (int64_t)gridDim.x * rows;
  double sum[LEFT][RIGHT][4] = {};
  qds_ring_place at;
  qds_ring_start(ring, RING_STAGES, LOADERS);
  if (loader >= 0) {
    for (int64_t row = first; row < k.rows; row += step, at.advance(RING_STAGES)) {
      qds_barrier_wait(&ring.empty[at.stage], at.round ^ 1);
      load_ring_stage(shared + at.stage * size, &ring.full[at.stage], s, loader, row, k.rows);
    }
  } else {
    for (int64_t row = first; row < k.rows; row += step, at.advance(RING_STAGES)) {
      qds_barrier_wait(&ring.full[at.stage], at.round);
      multiply_slice(shared + at.stage * size, rows - own.slice * QDS_PRODUCT_DEPTH,
                     QDS_PRODUCT_DEPTH * d.slices, own, sum);
      qds_barrier_arrive(&ring.empty[at.stage]);
    }
  }
  store_partial(k, s, d, shared, own, sum);
#endif
}

/* --- launching ---------------------------------------------------------------------------------------------
 */

/* Blocks that share a multiprocessor. */
constexpr int SMALL_TOGETHER = 2, LARGE_TOGETHER = 1;

size_t stage_bytes(int stages, int columns, qds_stage_shape shape) {
  return sizeof(double) * stages * columns * shape.stride;
}

/* As many rows as fit `budget` bytes. */
qds_stage_shape largest_stage(int columns, size_t budget) {
  int shift = FEWEST_SHIFT;
  while (shift < MOST_SHIFT && stage_bytes(STAGES, columns, stage_shape(shift + 1)) <= budget) shift++;
  return stage_shape(shift);
}

/* Units that hold so many columns. */
int count_of(int columns, int unit) {
  return (columns + unit - 1) / unit;
}

/* Pieces of LEFT times 16 by RIGHT times 8 products. */
template <int LEFT, int RIGHT> int wanted_pieces(int left, int right) {
  return count_of(left, QDS_PRODUCT_ROWS * LEFT) * count_of(right, QDS_PRODUCT_COLUMNS * RIGHT);
}

int power_of_two_from(int count) {
  int power = 1;
  while (power < count) power *= 2;
  return power;
}

/* Some columns of each side, and how many blocks share the work on them. */
struct part {
  const qds_gram_arguments &k;
  staged_columns s;
  const qds_shared_limits &limits;
  int groups;
  cudaStream_t stream;
};

/* How a block works, and its bytes of shared memory. */
template <int LEFT, int RIGHT>
division divide(const staged_columns &s, int stages, qds_stage_shape shape, size_t *shared) {
  division d = {};
  d.shape = shape;
  d.pieces_of_right = count_of(s.right_count, QDS_PRODUCT_COLUMNS * RIGHT);
  d.wanted = wanted_pieces<LEFT, RIGHT>(s.left, s.right_count);
  d.pieces = power_of_two_from(d.wanted);
  d.slices = QDS_WARPS / d.pieces;
  const size_t staged = stage_bytes(stages, s.columns, shape),
               sums = sizeof(double) * d.pieces * QDS_PRODUCT_ROWS * LEFT * QDS_PRODUCT_COLUMNS * RIGHT;
  *shared = staged > sums ? staged : sums;
  return d;
}

template <int LEFT, int RIGHT, int TOGETHER> cudaError_t launch_gram(const part &p) {
  const auto kernel = gram<LEFT, RIGHT, TOGETHER>;
  size_t shared;
  const division d = divide<LEFT, RIGHT>(
      p.s, STAGES, largest_stage(p.s.columns, qds_shared_room(p.limits, TOGETHER)), &shared);
  const cudaError_t error = qds_allow_shared(kernel, p.limits);
  if (error != cudaSuccess) return error;
  kernel<<<p.groups, QDS_THREADS, shared, p.stream>>>(p.k, p.s, d);
  return cudaGetLastError();
}

/* With the ring, where the device has what it is made of, and room for the columns. */
template <int LEFT, int RIGHT> cudaError_t launch_large(const part &p) {
  const auto kernel = gram_ring<LEFT, RIGHT>;
  size_t shared;
  const division d = divide<LEFT, RIGHT>(p.s, RING_STAGES, RING_SHAPE, &shared);
  if (p.limits.major < 9 || !qds_block_fits(kernel, p.limits, RING_THREADS, shared))
    return launch_gram<LEFT, RIGHT, LARGE_TOGETHER>(p);
  kernel<<<p.groups, RING_THREADS, shared, p.stream>>>(p.k, p.s, d);
  return cudaGetLastError();
}

/* What a block's products take for each eight rows: first the time of the warp that has the most, then the
 * energy, which limits large matrices where the device must slow down to save it. A great deal when its warps
 * are too few. */
template <int LEFT, int RIGHT> int cost_of(int left, int right) {
  const int wanted = wanted_pieces<LEFT, RIGHT>(left, right), pieces = power_of_two_from(wanted);
  return pieces > QDS_WARPS ? INT_MAX : (pieces * QDS_WARPS + wanted) * LEFT * RIGHT;
}

int least_cost(int left, int right) {
  const int small = cost_of<1, 3>(left, right), large = cost_of<2, 6>(left, right),
            other = cost_of<3, 5>(left, right);
  return small <= large && small <= other ? small : large <= other ? large : other;
}

bool is_small(const staged_columns &s) {
  return cost_of<1, 3>(s.left, s.right_count) == least_cost(s.left, s.right_count);
}

cudaError_t launch_cheapest(const part &p) {
  if (is_small(p.s)) return launch_gram<1, 3, SMALL_TOGETHER>(p);
  if (cost_of<3, 5>(p.s.left, p.s.right_count) < cost_of<2, 6>(p.s.left, p.s.right_count))
    return launch_gram<3, 5, LARGE_TOGETHER>(p);
  return launch_large<2, 6>(p);
}

cudaError_t finish(const qds_gram_arguments &k, int groups, cudaStream_t stream) {
  const cudaError_t error = cudaGetLastError();
  if (error != cudaSuccess) return error;
  qds_reduce_groups<<<k.left * k.right, QDS_THREADS, 0, stream>>>(k.partial, groups, k.products, qds_add());
  return cudaGetLastError();
}

template <int LEFT, int RIGHT> cudaError_t launch_few(const qds_gram_arguments &k, cudaStream_t stream) {
  int resident;
  const cudaError_t error = qds_resident_blocks(gram_few<LEFT, RIGHT>, &resident);
  if (error != cudaSuccess) return error;
  const int groups = qds_smaller(resident, k.groups);
  gram_few<LEFT, RIGHT><<<groups, QDS_THREADS, 0, stream>>>(k);
  return finish(k, groups, stream);
}

cudaError_t launch_staged(const qds_gram_arguments &k, cudaStream_t stream) {
  qds_shared_limits limits;
  cudaError_t error = qds_shared_limits_of(&limits);
  if (error != cudaSuccess) return error;
  const size_t room = qds_shared_room(limits, LARGE_TOGETHER);
  const int parts = stage_bytes(STAGES, MOST_STAGED, stage_shape(FEWEST_SHIFT)) <= room ? 1 : 2,
            left = MOST_LEFT / parts, right = MOST_RIGHT / parts;
  side a = {k.a, k.left, 1}, b = {k.b, k.right, k.left};
  if (k.right <= left && least_cost(k.right, k.left) < least_cost(k.left, k.right)) std::swap(a, b);
  const int together = is_small(stage_columns(a, 0, left, b, 0, right)) ? SMALL_TOGETHER : LARGE_TOGETHER,
            groups = qds_smaller(limits.multiprocessors * together, k.groups);
  for (int i = 0; i < a.count && error == cudaSuccess; i += left)
    for (int j = 0; j < b.count && error == cudaSuccess; j += right)
      error = launch_cheapest({k, stage_columns(a, i, left, b, j, right), limits, groups, stream});
  return error == cudaSuccess ? finish(k, groups, stream) : error;
}

} // namespace

QDS_CUDA_LAUNCHER(GRAM, qds_gram_arguments) {
  if (a->left <= 2 && a->right <= 3) return launch_few<2, 3>(*a, stream);
  if (a->left <= 4 && a->right <= 6) return launch_few<4, 6>(*a, stream);
  if (a->left <= 6 && a->right <= 9) return launch_few<6, 9>(*a, stream);
  return launch_staged(*a, stream);
}

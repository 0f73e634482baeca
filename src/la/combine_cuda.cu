/* Combinations of columns on CUDA.
 *
 * From eleven outputs on, through the double-precision matrix units, so that arithmetic hides behind the one
 * pass over memory. From 33 on it takes about as long, and an H200 slows down for want of power when both are
 * busy: there columns go through a ring of stages in long pieces, where the device has barriers and copies
 * for that. `bench_block cuda` measures the passes against a copy. */
#include "la/ring_cuda.h"

namespace {

/* --- a few columns -----------------------------------------------------------------------------------------
 */

/* Each thread combines two rows by itself, with the coefficients in shared memory. */
template <int INPUTS, int OUTPUTS>
__global__ void __launch_bounds__(QDS_THREADS) combine_few(qds_combine_arguments k) {
  __shared__ double coefficients[OUTPUTS * INPUTS];
  const double *from[INPUTS];
  double *to[OUTPUTS];
  for (int i = threadIdx.x; i < OUTPUTS * INPUTS; i += QDS_THREADS) {
    const int output = i / INPUTS, input = i % INPUTS;
    coefficients[i] = output < k.outputs && input < k.inputs ? k.coefficients[output * k.inputs + input] : 0;
  }
  /* Past the last input, the last one again, which counts 0. */
#pragma unroll
  for (int i = 0; i < INPUTS; i++) from[i] = qds_column_of(k.from, min(i, k.inputs - 1));
#pragma unroll
  for (int o = 0; o < OUTPUTS; o++) to[o] = qds_column_of(k.to, o);
  __syncthreads();
  const int64_t step = 2 * (int64_t)gridDim.x * QDS_THREADS;
  for (int64_t row = 2 * ((int64_t)blockIdx.x * QDS_THREADS + threadIdx.x); row < k.rows; row += step) {
    double2 value[INPUTS];
#pragma unroll
    for (int i = 0; i < INPUTS; i++) value[i] = qds_load_pair(from[i], row, k.rows);
#pragma unroll
    for (int o = 0; o < OUTPUTS; o++) {
      if (!to[o]) continue;
      double2 sum = k.add ? qds_load_pair(to[o], row, k.rows) : make_double2(0, 0);
#pragma unroll
      for (int i = 0; i < INPUTS; i++) {
        const double c = coefficients[o * INPUTS + i];
        sum.x += c * value[i].x, sum.y += c * value[i].y;
      }
      qds_store_pair(to[o], row, k.rows, sum.x, sum.y);
    }
  }
}

/* --- any number of columns ---------------------------------------------------------------------------------
 */

constexpr int STAGES = 3;
/* Rows of a stage: a product of each warp. */
constexpr int STAGE_SHIFT = 7;
static_assert(1 << STAGE_SHIFT == QDS_WARPS * QDS_PRODUCT_ROWS, "a product of each warp");
/* Between columns of a stage beyond their rows: the eight lanes that read 16 bytes at once, of four columns,
 * hit different banks. */
constexpr int PADDING = 4;

/* A stage holds some rows of `inputs` columns, a multiple of the products' depth, with the last input again
 * past the last; all inputs of the same rows go through `chunks` stages one after the other. */
struct chunking {
  qds_stage_shape shape;
  int inputs, chunks;
};

struct column_pointers {
  const double *from[QDS_COMBINE_MOST_INPUTS];
};

/* Where the stages stand. */
struct place {
  int64_t row;
  int chunk;
};

__device__ inline void advance(place &p, const chunking &c, int64_t step) {
  if (++p.chunk < c.chunks) return;
  p.chunk = 0;
  p.row += step;
}

/* PARTS times sixteen rows of a stage times the coefficients of eight inputs: lane l has rows 2 (l / 4) and
 * 2 (l / 4) + 1 of two inputs, `low` and `high`. */
template <int PARTS, int OUTPUTS>
__device__ inline void multiply_inputs(const double *low, const double *high, const double2 *coefficients,
                                       double (&sum)[PARTS][OUTPUTS][4]) {
  double rows[PARTS][4];
#pragma unroll
  for (int p = 0; p < PARTS; p++) {
    const double2 two[] = {*reinterpret_cast<const double2 *>(low + p * QDS_PRODUCT_ROWS),
                           *reinterpret_cast<const double2 *>(high + p * QDS_PRODUCT_ROWS)};
    rows[p][0] = two[0].x, rows[p][1] = two[0].y, rows[p][2] = two[1].x, rows[p][3] = two[1].y;
  }
#pragma unroll
  for (int o = 0; o < OUTPUTS; o++) {
    const double2 c = coefficients[32 * o];
    const double two[2] = {c.x, c.y};
#pragma unroll
    for (int p = 0; p < PARTS; p++) qds_multiply(sum[p][o], rows[p], two);
  }
}

/* Sixteen rows of a stage, with column l % 4 of every four for lane l. The coefficients are in the order in
 * which lanes want them. */
template <int OUTPUTS>
__device__ inline void multiply_stage(const double *stage, int stride, const double2 *coefficients,
                                      int inputs, double (&sum)[1][OUTPUTS][4]) {
  const int lane = threadIdx.x % 32;
  stage += lane % 4 * stride + 2 * (lane / 4);
  coefficients += lane;
#pragma unroll 2
  for (int i = 0; i < inputs; i += QDS_PRODUCT_DEPTH) {
    multiply_inputs(stage, stage + 4 * stride, coefficients, sum);
    stage += QDS_PRODUCT_DEPTH * stride;
    coefficients += 32 * OUTPUTS;
  }
}

/* To the outputs from `first` on, or added to what they hold: that is read only now, since sums that do not
 * start at 0 cost the loops before a tenth of their speed. */
template <int OUTPUTS>
__device__ inline void store_sums(const qds_combine_arguments &k, double *const *to, int first, int64_t row,
                                  double (&sum)[OUTPUTS][4]) {
  const auto for_each_output = [&](auto act) {
#pragma unroll
    for (int o = 0; o < OUTPUTS; o++)
#pragma unroll
      for (int n = 0; n < 2; n++) {
        const int output = first + o * QDS_PRODUCT_COLUMNS + 2 * (threadIdx.x % 4) + n;
        if (output < k.outputs) act(to[output], sum[o][n], sum[o][n + 2]);
      }
  };
  if (k.add)
    for_each_output([&](const double *column, double &one, double &two) {
      const double2 there = qds_load_pair(column, row, k.rows);
      one += there.x, two += there.y;
    });
  for_each_output(
      [&](double *column, double one, double two) { qds_store_pair(column, row, k.rows, one, two); });
}

/* Inputs, a multiple of the products' depth. */
__host__ __device__ constexpr int padded(int inputs) {
  return (inputs + QDS_PRODUCT_DEPTH - 1) / QDS_PRODUCT_DEPTH * QDS_PRODUCT_DEPTH;
}

/* Coefficients in shared memory, padded with zeros to whole products: for every eight inputs and eight
 * outputs the two numbers of each lane; and the outputs' columns. */
template <int OUTPUTS>
__device__ inline void stage_coefficients(const qds_combine_arguments &k, int inputs, double *coefficients,
                                          double **to) {
  for (int at = threadIdx.x; at < inputs * OUTPUTS * QDS_PRODUCT_COLUMNS; at += QDS_THREADS) {
    const int lane = at / 2 % 32, product = at / 64,
              input = product / OUTPUTS * QDS_PRODUCT_DEPTH + at % 2 * 4 + lane % 4,
              output = product % OUTPUTS * QDS_PRODUCT_COLUMNS + lane / 4;
    coefficients[at] =
        input < k.inputs && output < k.outputs ? k.coefficients[(int64_t)output * k.inputs + input] : 0;
  }
  for (int output = threadIdx.x; output < k.outputs; output += QDS_THREADS)
    to[output] = qds_column_of(k.to, output);
}

/* Each warp combines sixteen rows of a stage to all outputs. A stage is read whole before an output of its
 * rows is written, by this block alone: columns may be both. */
template <int OUTPUTS, int TOGETHER>
__global__ void __launch_bounds__(QDS_THREADS, TOGETHER)
    combine(const __grid_constant__ qds_combine_arguments k, const __grid_constant__ column_pointers columns,
            const chunking c) {
  extern __shared__ double2 shared_pairs[];
  __shared__ double *to[OUTPUTS * QDS_PRODUCT_COLUMNS];
  const int size = c.inputs * c.shape.stride, rows = 1 << STAGE_SHIFT, warp = threadIdx.x / 32;
  double *stages = reinterpret_cast<double *>(shared_pairs), *coefficients = stages + STAGES * size;
  const int64_t step = (int64_t)gridDim.x * rows;
  place now = {(int64_t)blockIdx.x * rows, 0}, coming = now;
  const auto load = [&](int stage) {
    if (coming.row < k.rows)
      qds_stage_load(stages + stage * size, c.shape, c.inputs, coming.row, k.rows,
                     [&](int i) { return columns.from[min(coming.chunk * c.inputs + i, k.inputs - 1)]; });
    qds_copies_commit();
    advance(coming, c, step);
  };
  for (int stage = 0; stage < STAGES - 1; stage++) load(stage);
  stage_coefficients<OUTPUTS>(k, c.inputs * c.chunks, coefficients, to);
  __syncthreads();
  for (int stage = 0; now.row < k.rows;) {
    double sum[1][OUTPUTS][4] = {};
    const int64_t row = now.row + warp * QDS_PRODUCT_ROWS + 2 * (threadIdx.x % 32 / 4);
    for (int chunk = 0; chunk < c.chunks; chunk++) {
      qds_copies_wait<STAGES - 2>();
      __syncthreads();
      /* With much to compute, the warps do not all ask for columns at the same time, so that the matrix units
       * stay busy. */
      const bool loads_first = OUTPUTS < 6 || warp < QDS_WARPS / 2;
      if (loads_first) load(stage == 0 ? STAGES - 1 : stage - 1);
      multiply_stage<OUTPUTS>(
          stages + stage * size + warp * QDS_PRODUCT_ROWS, c.shape.stride,
          reinterpret_cast<const double2 *>(coefficients + chunk * c.inputs * OUTPUTS * QDS_PRODUCT_COLUMNS),
          c.inputs, sum);
      if (!loads_first) load(stage == 0 ? STAGES - 1 : stage - 1);
      stage = stage + 1 == STAGES ? 0 : stage + 1;
    }
    store_sums(k, to, 0, row, sum[0]);
    now.row += step;
  }
}

/* --- many columns ------------------------------------------------------------------------------------------
 */

/* Memory gives the more the longer the pieces are in which a column is read: here 256 rows, 2 KiB. The inputs
 * go through a ring of stages of eight columns, which the warps ask for in turns. Each warp combines
 * RING_PARTS times sixteen rows of a stage to half of the outputs, so that what it reads of either serves
 * four products. */
constexpr int RING_PARTS = 4, RING_OUTPUTS = 8, WARP_OUTPUTS = RING_OUTPUTS / 2, RING_ROWS = 256,
              RING_STRIDE = RING_ROWS + PADDING, RING_STAGE = QDS_PRODUCT_DEPTH * RING_STRIDE,
              LEAST_RING_STAGES = 6;
static_assert(QDS_WARPS / 2 * RING_PARTS * QDS_PRODUCT_ROWS == RING_ROWS, "two warps on the same rows");
/* A stage is asked for anew when so many have been computed with since: then all warps are done with it. */
[[maybe_unused]] constexpr int RING_REST = 3;

/* What is asked for next: eight inputs from `input` on, by warp `turn`. */
struct coming_stage {
  int64_t row;
  int input = 0, turn = 0;
  qds_ring_place at;
};

/* Of an odd number of rows one more is read; columns have room for it. */
[[maybe_unused]] __device__ inline void ask_for_stage(const qds_combine_arguments &k,
                                                      const column_pointers &columns, qds_ring &ring,
                                                      int stages, double *shared, coming_stage &c) {
  if (c.row >= k.rows) return;
  if (c.turn == threadIdx.x / QDS_WARP) {
    const int count = min(QDS_PRODUCT_DEPTH, k.inputs - c.input),
              rows = (int)min((int64_t)RING_ROWS, (k.rows - c.row + 1) / 2 * 2);
    const unsigned bytes = sizeof(double) * rows;
    uint64_t *full = &ring.full[c.at.stage];
    double *stage = shared + c.at.stage * RING_STAGE;
    qds_barrier_wait(&ring.empty[c.at.stage], c.at.round ^ 1);
    qds_barrier_arrive_with(full, bytes * count, [&] {
      for (int i = 0; i < count; i++)
        qds_copy_bulk(stage + i * RING_STRIDE, columns.from[c.input + i] + c.row, bytes, full);
    });
  }
  c.at.advance(stages);
  c.turn = (c.turn + 1) % QDS_WARPS;
  c.input += QDS_PRODUCT_DEPTH;
  if (c.input < k.inputs) return;
  c.input = 0;
  c.row += (int64_t)gridDim.x * RING_ROWS;
}

/* `inputs` are left, in a stage of eight: past the last one the last again, which counts 0. */
[[maybe_unused]] __device__ inline void multiply_ring_stage(const double *stage, int inputs,
                                                            const double2 *coefficients,
                                                            double (&sum)[RING_PARTS][WARP_OUTPUTS][4]) {
  const int lane = threadIdx.x % QDS_WARP, low = min(lane % 4, inputs - 1),
            high = min(4 + lane % 4, inputs - 1);
  stage += 2 * (lane / 4);
  multiply_inputs(stage + low * RING_STRIDE, stage + high * RING_STRIDE, coefficients + lane, sum);
}

/* Before a warp writes an output, all inputs of all the block's rows have arrived: columns may be both. */
__global__ void __launch_bounds__(QDS_THREADS, 1)
    combine_ring(const __grid_constant__ qds_combine_arguments k,
                 const __grid_constant__ column_pointers columns, int stages) {
#if __CUDA_ARCH__ >= 900
  extern __shared__ double2 shared_pairs[];
  __shared__ double *to[RING_OUTPUTS * QDS_PRODUCT_COLUMNS];
  __shared__ qds_ring ring;
  double *shared = reinterpret_cast<double *>(shared_pairs), *coefficients = shared + stages * RING_STAGE;
  const int warp = threadIdx.x / QDS_WARP, own_rows = warp % 4 * RING_PARTS * QDS_PRODUCT_ROWS,
            own_outputs = warp / 4 * WARP_OUTPUTS;
  const int64_t step = (int64_t)gridDim.x * RING_ROWS;
  const double2 *own_coefficients = reinterpret_cast<const double2 *>(coefficients) + QDS_WARP * own_outputs;
  coming_stage coming = {(int64_t)blockIdx.x * RING_ROWS};
  qds_ring_start(ring, stages, 1);
  for (int stage = 0; stage < stages - RING_REST; stage++)
    ask_for_stage(k, columns, ring, stages, shared, coming);
  stage_coefficients<RING_OUTPUTS>(k, padded(k.inputs), coefficients, to);
  __syncthreads();
  qds_ring_place at;
  for (int64_t first = (int64_t)blockIdx.x * RING_ROWS; first < k.rows; first += step) {
    const int64_t row = first + own_rows + 2 * (threadIdx.x % QDS_WARP / 4);
    double sum[RING_PARTS][WARP_OUTPUTS][4] = {};
    for (int input = 0; input < k.inputs; input += QDS_PRODUCT_DEPTH) {
      qds_barrier_wait(&ring.full[at.stage], at.round);
      multiply_ring_stage(shared + at.stage * RING_STAGE + own_rows, k.inputs - input,
                          own_coefficients + QDS_WARP * RING_OUTPUTS * (input / QDS_PRODUCT_DEPTH), sum);
      qds_barrier_arrive(&ring.empty[at.stage]);
      at.advance(stages);
      ask_for_stage(k, columns, ring, stages, shared, coming);
    }
#pragma unroll
    for (int p = 0; p < RING_PARTS; p++)
      store_sums(k, to, own_outputs * QDS_PRODUCT_COLUMNS, row + p * QDS_PRODUCT_ROWS, sum[p]);
  }
#endif
}

/* --- launching ---------------------------------------------------------------------------------------------
 */

/* As few chunks as fit `budget` bytes beside the coefficients. */
template <int OUTPUTS> size_t divide(int inputs, int64_t budget, chunking *c) {
  c->shape = {STAGE_SHIFT, (1 << STAGE_SHIFT) + PADDING};
  for (c->chunks = 1;; c->chunks++) {
    c->inputs = padded((inputs + c->chunks - 1) / c->chunks);
    const size_t bytes = sizeof(double) * (size_t)c->inputs *
                         (STAGES * c->shape.stride + c->chunks * OUTPUTS * QDS_PRODUCT_COLUMNS);
    if ((int64_t)bytes <= budget || c->inputs <= QDS_PRODUCT_DEPTH) return bytes;
  }
}

column_pointers columns_of(const qds_combine_arguments &k) {
  column_pointers columns;
  for (int i = 0; i < k.inputs; i++) columns.from[i] = qds_column_of(k.from, i);
  return columns;
}

/* One wave of blocks, or fewer where there are fewer rows. */
int blocks_of(const qds_combine_arguments &k, const qds_shared_limits &limits, int together) {
  return qds_smaller(qds_cuda_blocks(k.rows, 1 << STAGE_SHIFT), limits.multiprocessors * together);
}

template <int OUTPUTS, int TOGETHER>
cudaError_t launch(const qds_combine_arguments &k, const qds_shared_limits &limits, cudaStream_t stream) {
  chunking c;
  const int fixed = (int)sizeof(double *) * OUTPUTS * QDS_PRODUCT_COLUMNS;
  const size_t shared = divide<OUTPUTS>(k.inputs, qds_shared_room(limits, TOGETHER) - fixed, &c);
  const auto kernel = combine<OUTPUTS, TOGETHER>;
  const cudaError_t error = qds_allow_shared(kernel, limits);
  if (error != cudaSuccess) return error;
  kernel<<<blocks_of(k, limits, TOGETHER), QDS_THREADS, shared, stream>>>(k, columns_of(k), c);
  return cudaGetLastError();
}

/* With the ring, where the device has what it is made of and room for it, and every block so many pieces that
 * they do not wait long for the one that has the most. */
cudaError_t launch_large(const qds_combine_arguments &k, const qds_shared_limits &limits,
                         cudaStream_t stream) {
  constexpr int LEAST_PIECES = 4;
  constexpr size_t stage = sizeof(double) * RING_STAGE;
  const size_t coefficients = sizeof(double) * padded(k.inputs) * RING_OUTPUTS * QDS_PRODUCT_COLUMNS,
               declared = sizeof(double *) * RING_OUTPUTS * QDS_PRODUCT_COLUMNS + sizeof(qds_ring),
               room = qds_shared_room(limits, 1);
  const auto launch_small = launch<RING_OUTPUTS, 2>;
  if (limits.major < 9 || k.rows < (int64_t)LEAST_PIECES * limits.multiprocessors * RING_ROWS ||
      room < declared + coefficients + LEAST_RING_STAGES * stage)
    return launch_small(k, limits, stream);
  const int stages = qds_smaller((room - declared - coefficients) / stage, QDS_RING_MOST_STAGES);
  const size_t shared = coefficients + stages * stage;
  if (!qds_block_fits(combine_ring, limits, QDS_THREADS, shared)) return launch_small(k, limits, stream);
  combine_ring<<<limits.multiprocessors, QDS_THREADS, shared, stream>>>(k, columns_of(k), stages);
  return cudaGetLastError();
}

cudaError_t launch_staged(const qds_combine_arguments &k, cudaStream_t stream) {
  qds_shared_limits limits;
  const cudaError_t error = qds_shared_limits_of(&limits);
  if (error != cudaSuccess) return error;
  const int products = (k.outputs + QDS_PRODUCT_COLUMNS - 1) / QDS_PRODUCT_COLUMNS;
  if (products <= 1) return launch<1, 4>(k, limits, stream);
  if (products <= 2) return launch<2, 2>(k, limits, stream);
  if (products <= 3) return launch<3, 2>(k, limits, stream);
  if (products <= 4) return launch<4, 2>(k, limits, stream);
  if (products <= RING_OUTPUTS) return launch_large(k, limits, stream);
  if (products <= 12) return launch<12, 1>(k, limits, stream);
  return launch<16, 1>(k, limits, stream);
}

template <int INPUTS, int OUTPUTS>
cudaError_t launch_few(const qds_combine_arguments &k, cudaStream_t stream) {
  int resident;
  const cudaError_t error = qds_resident_blocks(combine_few<INPUTS, OUTPUTS>, &resident);
  if (error != cudaSuccess) return error;
  const int64_t wanted = qds_cuda_blocks(k.rows, 2 * QDS_THREADS);
  combine_few<INPUTS, OUTPUTS><<<qds_smaller(wanted, resident), QDS_THREADS, 0, stream>>>(k);
  return cudaGetLastError();
}

} // namespace

QDS_CUDA_LAUNCHER(COMBINE, qds_combine_arguments) {
  if (a->inputs >= 1) {
    if (a->inputs <= 3 && a->outputs <= 2) return launch_few<3, 2>(*a, stream);
    if (a->inputs <= 6 && a->outputs <= 4) return launch_few<6, 4>(*a, stream);
    if (a->inputs <= 9 && a->outputs <= 6) return launch_few<9, 6>(*a, stream);
    if (a->inputs <= 15 && a->outputs <= 10) return launch_few<15, 10>(*a, stream);
  }
  return launch_staged(*a, stream);
}

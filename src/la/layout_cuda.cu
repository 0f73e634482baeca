/* Layouts on CUDA: tiles of records and fields go through shared memory, and both sides are accessed 16 bytes
 * at a time by neighbouring threads. */
#include "la/layout_kernels.h"
#include "mem/kernel_cuda.h"

namespace {

constexpr int THREADS = 256, TILE = 4096; /* numbers, at most */
/* Records of so few fields make tiles that are one piece of memory. Wider ones are cut into tiles of PART
 * records and PART fields; PITCH separates their rows in shared memory, so that columns lie in different
 * banks. */
constexpr int NARROW = 32, PART = 64, PITCH = PART + 1;
constexpr int SLOTS = PART * PITCH;

struct shape {
  int64_t tiles, columns;       /* of tiles, beside each other */
  int records, fields, pitch;   /* of a full tile */
  bool narrow, aligned_records; /* rows of a wide tile start at multiples of 16 bytes */
};

template <typename T> struct vector_of;
template <> struct vector_of<float> { using type = float4; };
template <> struct vector_of<double> { using type = double2; };
template <typename T> constexpr int WIDTH = 16 / (int)sizeof(T);

/* One number of padding after every 128 bytes: strides by powers of two meet different banks. */
template <typename T> __device__ inline int place(int slot) {
  return slot + slot / (128 / (int)sizeof(T));
}

/* Moves `count` numbers, WIDTH at most, between neighbouring places in memory and slots `step` apart. */
template <typename T, bool STORE>
__device__ inline void move(T *memory, T *shared, int slot, int step, int count, bool aligned) {
  using vector = typename vector_of<T>::type;
  constexpr int W = WIDTH<T>;
  if (aligned && count >= W) {
    alignas(16) T numbers[W];
    if (!STORE) *reinterpret_cast<vector *>(numbers) = *reinterpret_cast<const vector *>(memory);
#pragma unroll
    for (int i = 0; i < W; i++) {
      if (STORE)
        numbers[i] = shared[place<T>(slot + i * step)];
      else
        shared[place<T>(slot + i * step)] = numbers[i];
    }
    if (STORE) *reinterpret_cast<vector *>(memory) = *reinterpret_cast<const vector *>(numbers);
    return;
  }
  for (int i = 0; i < count && i < W; i++) {
    if (STORE)
      memory[i] = shared[place<T>(slot + i * step)];
    else
      shared[place<T>(slot + i * step)] = memory[i];
  }
}

/* The side of the records. A narrow tile is one row of records * fields numbers. */
template <typename T, bool STORE>
__device__ inline void move_records(T *memory, int64_t fields_of_record, const shape &s, int records,
                                    int fields, T *shared) {
  constexpr int W = WIDTH<T>;
  const int rows = s.narrow ? 1 : records, length = s.narrow ? records * fields : fields;
  const int pieces = (length + W - 1) / W;
#pragma unroll 4
  for (int q = threadIdx.x; q < rows * pieces; q += THREADS) {
    const int row = q / pieces, start = q % pieces * W;
    move<T, STORE>(memory + row * fields_of_record + start, shared, row * s.pitch + start, 1, length - start,
                   s.aligned_records);
  }
}

/* The side of the arrays: a row for each field. */
template <typename T, bool STORE>
__device__ inline void move_arrays(T *memory, int64_t stride, const shape &s, int records, int fields,
                                   T *shared) {
  constexpr int W = WIDTH<T>;
  const int pieces = (records + W - 1) / W;
#pragma unroll 4
  for (int q = threadIdx.x; q < fields * pieces; q += THREADS) {
    const int field = q / pieces, start = q % pieces * W;
    move<T, STORE>(memory + field * stride + start, shared, start * s.pitch + field, s.pitch, records - start,
                   true);
  }
}

template <typename T, bool TO_RECORDS>
__global__ void __launch_bounds__(THREADS) change_layout(qds_layout_arguments a, shape s) {
  __shared__ T shared[SLOTS + SLOTS / (128 / (int)sizeof(T)) + 1];
  for (int64_t tile = blockIdx.x; tile < s.tiles; tile += gridDim.x) {
    const int64_t first = tile / s.columns * s.records, field = tile % s.columns * s.fields;
    const int records = (int)min((int64_t)s.records, a.layout.count - first);
    const int fields = (int)min((int64_t)s.fields, a.layout.fields - field);
    T *of_records = (T *)a.records + first * a.layout.fields + field;
    T *of_arrays = (T *)a.arrays + field * a.layout.stride + first;
    __syncthreads(); /* the tile before has been read */
    if (TO_RECORDS)
      move_arrays<T, false>(of_arrays, a.layout.stride, s, records, fields, shared);
    else
      move_records<T, false>(of_records, a.layout.fields, s, records, fields, shared);
    __syncthreads();
    if (TO_RECORDS)
      move_records<T, true>(of_records, a.layout.fields, s, records, fields, shared);
    else
      move_arrays<T, true>(of_arrays, a.layout.stride, s, records, fields, shared);
  }
}

/* Tiles begin at multiples of 16 bytes: their records are a multiple of 32, their fields of PART. */
shape shape_of(const qds_layout &layout) {
  shape s;
  s.narrow = layout.fields <= NARROW;
  s.records = s.narrow ? TILE / (int)layout.fields / 32 * 32 : PART;
  s.fields = s.narrow ? (int)layout.fields : PART;
  s.pitch = s.narrow ? s.fields : PITCH;
  s.aligned_records = s.narrow || layout.fields * layout.bytes % 16 == 0;
  s.columns = (layout.fields + s.fields - 1) / s.fields;
  s.tiles = s.columns * ((layout.count + s.records - 1) / s.records);
  return s;
}

template <typename T> void change(const qds_layout_arguments &a, cudaStream_t stream) {
  constexpr int64_t MOST_BLOCKS = 1 << 30;
  const shape s = shape_of(a.layout);
  const unsigned blocks = (unsigned)(s.tiles < MOST_BLOCKS ? s.tiles : MOST_BLOCKS);
  if (a.to_records)
    change_layout<T, true><<<blocks, THREADS, 0, stream>>>(a, s);
  else
    change_layout<T, false><<<blocks, THREADS, 0, stream>>>(a, s);
}

} // namespace

QDS_CUDA_LAUNCHER(LAYOUT, qds_layout_arguments) {
  if (a->layout.bytes == sizeof(float))
    change<float>(*a, stream);
  else
    change<double>(*a, stream);
  return cudaGetLastError();
}

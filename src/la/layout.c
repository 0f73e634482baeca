/* Layouts: checks, and the kernel on the CPU. */
#include "base/vectorise.h"
#include "la/layout_kernels.h"

/* A tile of records and fields stays in the first-level cache. Of few fields it takes many records. */
enum { TILE_FIELDS = 64, TILE_NUMBERS = 1024 };
/* Waking a team costs more than moving fewer numbers. */
enum { FEWEST_SHARED_NUMBERS = 1 << 15 };

typedef struct {
  int64_t first, records; /* records of the tile */
  int64_t field, fields;  /* fields of the tile */
} tile;

static int64_t smaller(int64_t a, int64_t b) {
  return a < b ? a : b;
}

/* Moves the numbers of a tile. With `WIDTH` fields known beforehand the compiler turns the strided accesses
 * into shuffles of whole vectors. */
#define MOVE(WIDTH)                                                                                          \
  for (int64_t f = t->field; f < t->field + t->fields; f++)                                                  \
    for (int64_t i = t->first; i < t->first + t->records; i++) {                                             \
      if (to_records)                                                                                        \
        records[i * (WIDTH) + f] = arrays[f * stride + i];                                                   \
      else                                                                                                   \
        arrays[f * stride + i] = records[i * (WIDTH) + f];                                                   \
    }

#define DEFINE_MOVE(type)                                                                                    \
  static inline __attribute__((always_inline)) void move_way_##type(                                         \
      type *restrict records, type *restrict arrays, int64_t width, int64_t stride, const tile *t,           \
      int to_records) {                                                                                      \
    switch (width) {                                                                                         \
    case 2:                                                                                                  \
      MOVE(2) break;                                                                                         \
    case 3:                                                                                                  \
      MOVE(3) break;                                                                                         \
    case 4:                                                                                                  \
      MOVE(4) break;                                                                                         \
    default:                                                                                                 \
      MOVE(width)                                                                                            \
    }                                                                                                        \
  }                                                                                                          \
  QDS_VECTORISE static void move_##type(const qds_layout_arguments *k, const tile *t) {                      \
    if (k->to_records)                                                                                       \
      move_way_##type(k->records, k->arrays, k->layout.fields, k->layout.stride, t, 1);                      \
    else                                                                                                     \
      move_way_##type(k->records, k->arrays, k->layout.fields, k->layout.stride, t, 0);                      \
  }
DEFINE_MOVE(float)
DEFINE_MOVE(double)

static void run(const void *arguments, int threads) {
  const qds_layout_arguments *k = arguments;
  const int64_t count = k->layout.count, fields = k->layout.fields;
  const int64_t width = smaller(fields, TILE_FIELDS), height = TILE_NUMBERS / width;
  const int64_t columns = (fields + width - 1) / width, rows = (count + height - 1) / height;
#pragma omp parallel for num_threads(threads) schedule(static) if (count > FEWEST_SHARED_NUMBERS / fields)
  for (int64_t index = 0; index < rows * columns; index++) {
    const int64_t first = index / columns * height, field = index % columns * width;
    const tile t = {first, smaller(height, count - first), field, smaller(width, fields - field)};
    if (k->layout.bytes == sizeof(float))
      move_float(k, &t);
    else
      move_double(k, &t);
  }
}

const qds_kernel qds_layout_kernel = {QDS_KERNEL_LAYOUT, "layout", sizeof(qds_layout_arguments), run};

/* --- the face ---------------------------------------------------------------------------------------------
 */

qds_status qds_layout_make(int bytes, int64_t count, int64_t fields, qds_layout *out) {
  enum { LINE = 64 };
  int64_t stride, numbers, total;
  *out = (qds_layout){0};
  QDS_REQUIRE(bytes == 4 || bytes == 8, "a layout of numbers of %d bytes; 4 and 8 are allowed", bytes);
  QDS_REQUIRE(count >= 0 && fields >= 1, "a layout of %lld records of %lld numbers; 0 and 1 at least",
              (long long)count, (long long)fields);
  const int64_t line = LINE / bytes;
  if (__builtin_add_overflow(count, line - 1, &stride) ||
      __builtin_mul_overflow(stride / line * line, fields, &numbers) ||
      __builtin_mul_overflow(numbers, bytes, &total))
    QDS_FAIL(QDS_ERROR_MEMORY, "out of memory: %lld records of %lld numbers", (long long)count,
             (long long)fields);
  *out = (qds_layout){count, fields, stride / line * line, bytes};
  return QDS_OK;
}

static qds_status check(const qds_layout *l, const void *records, const void *arrays) {
  QDS_REQUIRE((l->bytes == 4 || l->bytes == 8) && l->count >= 0 && l->fields >= 1 && l->stride >= l->count,
              "no layout: %lld records of %lld numbers of %d bytes, stride %lld", (long long)l->count,
              (long long)l->fields, l->bytes, (long long)l->stride);
  QDS_REQUIRE(l->stride * l->bytes % QDS_LAYOUT_ALIGNMENT == 0 || l->fields == 1,
              "arrays of a layout %lld numbers of %d bytes apart; a multiple of %d bytes is needed",
              (long long)l->stride, l->bytes, QDS_LAYOUT_ALIGNMENT);
  const uintptr_t r = (uintptr_t)records, a = (uintptr_t)arrays;
  QDS_REQUIRE(r % QDS_LAYOUT_ALIGNMENT == 0 && a % QDS_LAYOUT_ALIGNMENT == 0,
              "records at %p and arrays at %p; both must be aligned to %d bytes", records, arrays,
              QDS_LAYOUT_ALIGNMENT);
  const size_t arrays_end =
      ((size_t)(l->fields - 1) * (size_t)l->stride + (size_t)l->count) * (size_t)l->bytes;
  QDS_REQUIRE(l->count == 0 || r + qds_layout_record_bytes(l) <= a || a + arrays_end <= r,
              "records at %p and arrays at %p overlap; a layout is not changed in place", records, arrays);
  return QDS_OK;
}

static qds_status convert(qds_stream *stream, const qds_layout *layout, void *records, void *arrays,
                          int to_records) {
  QDS_TRY(check(layout, records, arrays));
  if (layout->count == 0) return QDS_OK;
  const qds_layout_arguments k = {records, arrays, *layout, to_records};
  return qds_stream_launch(stream, &qds_layout_kernel, &k);
}

qds_status qds_layout_to_arrays(qds_stream *stream, const qds_layout *layout, const void *records,
                                void *arrays) {
  return convert(stream, layout, (void *)(uintptr_t)records, arrays, 0);
}

qds_status qds_layout_to_records(qds_stream *stream, const qds_layout *layout, const void *arrays,
                                 void *records) {
  return convert(stream, layout, records, (void *)(uintptr_t)arrays, 1);
}

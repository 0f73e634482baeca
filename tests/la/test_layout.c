#include "support.h"

#include "base/philox.h"
#include "la/layout.h"

enum { SEED = 58 };

static const int64_t counts[] = {0, 1, 2, 3, 31, 32, 33, 63, 64, 65, 127, 1000, 1025, 4099, 20011};
static const int64_t widths[] = {1, 2, 3, 4, 5, 7, 8, 16, 31, 32, 33, 34, 63, 64, 65, 100, 129, 200};
enum { COUNTS = sizeof counts / sizeof *counts, WIDTHS = sizeof widths / sizeof *widths };

/* Numbers of either size, on the host and in memory of the stream's place. */
typedef struct {
  unsigned char *host;
  void *place;
  size_t bytes;
} memory;

static memory take(qds_context *ctx, size_t bytes) {
  memory m = {NULL, NULL, bytes};
  assert_ok(QDS_NEW(qds_context_allocator(ctx), bytes + 1, "test", &m.host));
  assert_ok(qds_stream_allocate(qds_context_stream(ctx), bytes + 1, 1, "test", __FILE__, __LINE__, &m.place));
  return m;
}

static void give_back(qds_context *ctx, memory *m) {
  qds_stream_release(qds_context_stream(ctx), m->place);
  qds_release(m->host);
}

static void send(qds_context *ctx, const memory *m) {
  assert_ok(qds_stream_copy(qds_context_stream(ctx), m->place, m->host, m->bytes));
}

static void fetch(qds_context *ctx, const memory *m) {
  assert_ok(qds_stream_fetch(qds_context_stream(ctx), m->host, m->place, m->bytes));
}

/* Every bit pattern, also those that are no numbers. */
static void fill(memory *m, uint64_t stream) {
  uint32_t block[4] = {0};
  for (size_t i = 0; i < m->bytes; i++) {
    const uint32_t counter[4] = {(uint32_t)(i / 16), (uint32_t)stream, 0, 0}, key[2] = {SEED, 0};
    if (i % 16 == 0) qds_philox4x32(counter, key, block);
    m->host[i] = ((unsigned char *)block)[i % 16];
  }
}

/* What the definition says, number by number; what lies between count and stride is 0x5a. */
static void check_arrays(const qds_layout *l, const unsigned char *records, const unsigned char *arrays) {
  const size_t bytes = (size_t)l->bytes;
  for (int64_t f = 0; f < l->fields; f++)
    for (int64_t i = 0; i < l->stride; i++) {
      const unsigned char *got = arrays + (size_t)(f * l->stride + i) * bytes;
      if (i < l->count ? memcmp(got, records + (size_t)(i * l->fields + f) * bytes, bytes)
                       : (got[0] != 0x5a || got[bytes - 1] != 0x5a))
        fail_msg("%lld records of %lld numbers of %d bytes: number %lld of record %lld is wrong",
                 (long long)l->count, (long long)l->fields, l->bytes, (long long)f, (long long)i);
    }
}

static void there_and_back(qds_context *ctx, int bytes, int64_t count, int64_t fields) {
  qds_layout layout;
  qds_stream *stream = qds_context_stream(ctx);
  assert_ok(qds_layout_make(bytes, count, fields, &layout));
  assert_int_equal(layout.stride * bytes % 64, 0);
  assert_true(layout.stride >= count && layout.stride < count + 64 / bytes);
  memory records = take(ctx, qds_layout_record_bytes(&layout)),
         arrays = take(ctx, qds_layout_array_bytes(&layout)),
         back = take(ctx, qds_layout_record_bytes(&layout));
  fill(&records, (uint64_t)(count * 1000 + fields));
  send(ctx, &records);
  assert_ok(qds_stream_fill(stream, arrays.place, 0x5a, arrays.bytes));
  assert_ok(qds_stream_fill(stream, back.place, 0x33, back.bytes));
  assert_ok(qds_layout_to_arrays(stream, &layout, records.place, arrays.place));
  assert_ok(qds_layout_to_records(stream, &layout, arrays.place, back.place));
  fetch(ctx, &arrays);
  fetch(ctx, &back);
  check_arrays(&layout, records.host, arrays.host);
  assert_memory_equal(back.host, records.host, records.bytes);
  give_back(ctx, &records);
  give_back(ctx, &arrays);
  give_back(ctx, &back);
}

/* Faults 58 and 69: there was no way back, one type only, and the layout did not change. */
static void faults_58_and_69_layouts_change_and_change_back(qds_context *ctx) {
  for (int bytes = 4; bytes <= 8; bytes += 4)
    for (int c = 0; c < COUNTS; c++)
      for (int w = 0; w < WIDTHS; w++)
        if (counts[c] * widths[w] <= 500000) there_and_back(ctx, bytes, counts[c], widths[w]);
}

/* Fault 58: the whole was copied once more, in small pieces through pageable memory. */
static void fault_58_nothing_is_allocated_or_copied(qds_context *ctx) {
  qds_layout layout;
  qds_memory_row before, after;
  assert_ok(qds_layout_make(8, 5000, 6, &layout));
  memory records = take(ctx, qds_layout_record_bytes(&layout)),
         arrays = take(ctx, qds_layout_array_bytes(&layout));
  fill(&records, 1);
  send(ctx, &records);
  qds_context_memory(ctx, &before);
  assert_ok(qds_layout_to_arrays(qds_context_stream(ctx), &layout, records.place, arrays.place));
  qds_context_memory(ctx, &after);
  assert_int_equal(before.total_blocks, after.total_blocks);
  fetch(ctx, &arrays);
  give_back(ctx, &records);
  give_back(ctx, &arrays);
}

/* In parts of 1024 and of 37 * 4 records, so that records and arrays start inside the whole. */
static void parts_make_the_whole(qds_context *ctx) {
  const int64_t parts[] = {1024, 148};
  for (int p = 0; p < 2; p++) {
    qds_layout whole;
    qds_stream *stream = qds_context_stream(ctx);
    assert_ok(qds_layout_make(4, 5001, 6, &whole));
    memory records = take(ctx, qds_layout_record_bytes(&whole)),
           arrays = take(ctx, qds_layout_array_bytes(&whole)),
           back = take(ctx, qds_layout_record_bytes(&whole));
    fill(&records, 2);
    send(ctx, &records);
    assert_ok(qds_stream_fill(stream, arrays.place, 0x5a, arrays.bytes));
    for (int64_t first = 0; first < whole.count; first += parts[p]) {
      qds_layout part = whole;
      part.count = whole.count - first < parts[p] ? whole.count - first : parts[p];
      const float *from = (float *)records.place + first * whole.fields;
      float *to = (float *)arrays.place + first, *again = (float *)back.place + first * whole.fields;
      assert_ok(qds_layout_to_arrays(stream, &part, from, to));
      assert_ok(qds_layout_to_records(stream, &part, to, again));
    }
    fetch(ctx, &arrays);
    fetch(ctx, &back);
    check_arrays(&whole, records.host, arrays.host);
    assert_memory_equal(back.host, records.host, records.bytes);
    give_back(ctx, &records);
    give_back(ctx, &arrays);
    give_back(ctx, &back);
  }
}

static void misuse_is_refused(qds_context *ctx) {
  qds_layout l;
  qds_stream *stream = qds_context_stream(ctx);
  assert_fails(qds_layout_make(2, 1, 1, &l), QDS_ERROR_ARGUMENT, "2 bytes; 4 and 8");
  assert_fails(qds_layout_make(4, -1, 1, &l), QDS_ERROR_ARGUMENT, "-1 records");
  assert_fails(qds_layout_make(4, 1, 0, &l), QDS_ERROR_ARGUMENT, "1 records of 0");
  assert_fails(qds_layout_make(8, INT64_MAX - 3, 1, &l), QDS_ERROR_MEMORY, "records");
  assert_fails(qds_layout_make(8, (int64_t)1 << 40, (int64_t)1 << 30, &l), QDS_ERROR_MEMORY, "records");
  assert_ok(qds_layout_make(8, 100, 3, &l));
  memory m = take(ctx, 4 * qds_layout_array_bytes(&l));
  memset(m.host, 0, m.bytes);
  send(ctx, &m);
  char *start = m.place, *second = start + qds_layout_array_bytes(&l);
  assert_fails(qds_layout_to_arrays(stream, &l, start, start), QDS_ERROR_ARGUMENT, "overlap");
  assert_fails(qds_layout_to_records(stream, &l, start, start + 160), QDS_ERROR_ARGUMENT, "overlap");
  assert_fails(qds_layout_to_arrays(stream, &l, start + 8, second), QDS_ERROR_ARGUMENT, "aligned to 16");
  assert_fails(qds_layout_to_arrays(stream, &l, start, second + 4), QDS_ERROR_ARGUMENT, "aligned to 16");
  qds_layout bad = l;
  bad.stride = 99;
  assert_fails(qds_layout_to_arrays(stream, &bad, start, second), QDS_ERROR_ARGUMENT, "stride 99");
  bad.stride = 101;
  assert_fails(qds_layout_to_arrays(stream, &bad, start, second), QDS_ERROR_ARGUMENT, "multiple of 16");
  assert_ok(qds_layout_to_arrays(stream, &l, start, second));
  assert_ok(qds_stream_synchronise(stream));
  give_back(ctx, &m);
}

#define ON_EACH_DEVICE(name)                                                                                 \
  static void run_##name(void **state) {                                                                     \
    (void)state;                                                                                             \
    with_context_on_each(2, name);                                                                           \
  }
#define TESTS(X)                                                                                             \
  X(faults_58_and_69_layouts_change_and_change_back)                                                         \
  X(fault_58_nothing_is_allocated_or_copied)                                                                 \
  X(parts_make_the_whole)                                                                                    \
  X(misuse_is_refused)
TESTS(ON_EACH_DEVICE)

int main(void) {
#define ROW(name) {#name, run_##name, NULL, NULL, NULL},
  const struct CMUnitTest tests[] = {TESTS(ROW)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}

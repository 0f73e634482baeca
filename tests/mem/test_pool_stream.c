/* The stream-ordered pool on the devices that there are; the simulated one permutes what no event orders. Its
 * stress tests are in test_pool_stream_stress.c. */
#include "stream_pools.h"

/* --- one stream ----------------------------------------------------------------------------------------- */

static void check_same_stream(qds_context *ctx) {
  qds_stream *stream = open_stream(ctx);
  const size_t sizes[] = {0, 1, 256, 257, 5000, MIB - 1, MIB, MIB + 1, 5 * MIB};
  for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
    void *first = take(stream, sizes[i]);
    assert_ok(qds_stream_fill(stream, first, 1, sizes[i]));
    qds_stream_release(stream, first);
    const qds_stream_pool_statistics before = statistics_of(ctx);
    void *second = take(stream, sizes[i]);
    if (i < 5) assert_ptr_equal(first, second); /* later ones are joined with what lies before them */
    assert_int_equal(statistics_of(ctx).growths, before.growths);
    qds_stream_release(stream, second);
    check(ctx);
  }
  assert_int_equal(statistics_of(ctx).waits, 0);
  assert_int_equal(statistics_of(ctx).blocks, 0);
  assert_int_equal(statistics_of(ctx).peak_used_bytes, 5 * MIB);
  qds_stream_destroy(stream);
}

static void test_same_stream(void **state) {
  (void)state;
  on_devices(0, check_same_stream);
}

/* A freed pair of neighbours serves what neither holds alone. */
static void check_coalescing(qds_context *ctx) {
  qds_stream *stream = open_stream(ctx);
  char *a = take(stream, 3 * MIB), *b = take(stream, 3 * MIB), *c = take(stream, 3 * MIB);
  assert_true(b == a + 3 * MIB && c == b + 3 * MIB);
  qds_stream_release(stream, a);
  qds_stream_release(stream, b);
  assert_ptr_equal(take(stream, 6 * MIB), a);
  qds_stream_release(stream, a);
  qds_stream_release(stream, c);
  check(ctx);
  qds_stream_destroy(stream);
}

static void test_coalescing(void **state) {
  (void)state;
  on_devices(0, check_coalescing);
}

static void check_misuse(qds_context *ctx) {
  qds_stream *stream = open_stream(ctx);
  char *large = take(stream, 2 * MIB), *small = take(stream, 100);
  assert_fails(qds_stream_pool_release(pool_of(ctx), stream, large + 256), QDS_ERROR_ARGUMENT,
               "no block begins at");
  qds_stream_release(stream, large);
  qds_stream_release(stream, small);
  assert_fails(qds_stream_pool_release(pool_of(ctx), stream, large), QDS_ERROR_ARGUMENT, "released before");
  assert_fails(qds_stream_pool_release(pool_of(ctx), stream, small), QDS_ERROR_ARGUMENT, "released before");
  check(ctx);
  qds_stream_destroy(stream);
}

static void test_misuse(void **state) {
  (void)state;
  on_devices(0, check_misuse);
}

/* --- several streams ------------------------------------------------------------------------------------ */

enum { FILLERS = 8192 };
typedef struct {
  void *blocks[FILLERS];
  int count;
} fillers;

/* Takes everything that is left under the limit, the largest pieces first. */
static void fill_up(qds_stream *stream, fillers *f) {
  f->count = 0;
  for (size_t bytes = 8 * MIB; bytes >= 256; bytes /= 2)
    while (f->count < FILLERS && qds_stream_allocate(stream, bytes, 1, "filler", __FILE__, __LINE__,
                                                     &f->blocks[f->count]) == QDS_OK)
      f->count++;
  assert_true(f->count < FILLERS);
}

/* The host runs ahead of both streams. Without the wait that the pool puts into stream B, this happens:
 *
 *      host                        stream A                    stream B
 *      x = allocate(A)
 *      fill(A, x, 1)                                                              enqueued, not yet run
 *      copy(A, kept, x)
 *      release(A, x)
 *      y = allocate(B): y == x
 *      fill(B, y, 2)                                           x[] = 2            B runs first
 *                                  x[] = 1
 *                                  kept[] = x[]                                   or between these two: kept
 * is 2 fetch(B, y)                                             reads 1
 *
 * There is no other memory for y: everything else is taken. */
static void use_after_free(qds_context *ctx, size_t bytes) {
  qds_stream *a = open_stream(ctx), *b = open_stream(ctx);
  unsigned char *kept = take(a, bytes), *x = take(a, bytes), *back = malloc(bytes);
  static fillers rest;
  fill_up(a, &rest);
  for (int round = 0; round < 50; round++) {
    assert_ok(qds_stream_fill(a, x, 1, bytes));
    assert_ok(qds_stream_copy(a, kept, x, bytes));
    qds_stream_release(a, x);
    unsigned char *y = take(b, bytes);
    assert_ptr_equal(x, y);
    assert_ok(qds_stream_fill(b, y, 2, bytes));
    assert_ok(qds_stream_fetch(b, back, y, bytes));
    for (size_t i = 0; i < bytes; i++) assert_int_equal(back[i], 2);
    assert_ok(qds_stream_fetch(a, back, kept, bytes));
    for (size_t i = 0; i < bytes; i++) assert_int_equal(back[i], 1);
    qds_stream_release(b, y);
    x = take(a, bytes);
    check(ctx);
  }
  assert_true(statistics_of(ctx).waits > 0);
  qds_stream_release(a, x);
  qds_stream_release(a, kept);
  for (int i = 0; i < rest.count; i++) qds_stream_release(a, rest.blocks[i]);
  qds_stream_destroy(a);
  qds_stream_destroy(b);
  free(back);
}

static void check_use_after_free(qds_context *ctx) {
  use_after_free(ctx, 4000);
  use_after_free(ctx, 2 * MIB);
}

static void test_use_after_free(void **state) {
  (void)state;
  on_devices(16 * MIB, check_use_after_free);
}

/* What a destroyed stream gave back serves others, and its record serves the next stream. */
static void check_forgotten_streams(qds_context *ctx) {
  for (int i = 0; i < 50; i++) {
    qds_stream *stream = open_stream(ctx);
    void *small = take(stream, 1000), *large = take(stream, 3 * MIB);
    assert_ok(qds_stream_fill(stream, large, 1, 3 * MIB));
    qds_stream_release(stream, small);
    qds_stream_release(stream, large);
    qds_stream_destroy(stream);
    check(ctx);
  }
  assert_true(pool_of(ctx)->lane_count <= 3);
  assert_true(statistics_of(ctx).growths <= 2);
}

static void test_forgotten_streams(void **state) {
  (void)state;
  on_devices(0, check_forgotten_streams);
}

/* While a stream is captured no event may be recorded on it, so what it gave back must have one before. */
static void check_capture(qds_context *ctx) {
  qds_stream *a = open_stream(ctx), *b = open_stream(ctx);
  if (!qds_stream_can_capture(a)) fail_msg("this device has no graphs");
  void *x = take(a, 4000), *kept = take(a, 4000);
  static fillers rest;
  fill_up(a, &rest);
  qds_stream_release(a, x);
  assert_ok(qds_graph_begin(a));
  assert_ok(qds_stream_fill(a, kept, 3, 4000));
  assert_ptr_equal(take(b, 4000), x);
  QDS_AUTO(qds_graph) *graph = NULL;
  assert_ok(qds_graph_end(a, &graph));
  assert_ok(qds_graph_launch(graph, a));
  assert_ok(qds_stream_synchronise(a));
  qds_stream_release(b, x);
  qds_stream_release(a, kept);
  for (int i = 0; i < rest.count; i++) qds_stream_release(a, rest.blocks[i]);
  qds_stream_destroy(a);
  qds_stream_destroy(b);
}

static void test_capture(void **state) {
  (void)state;
  on_devices(16 * MIB, check_capture);
}

/* --- limits and failures -------------------------------------------------------------------------------- */

static void check_limit(qds_context *ctx) {
  qds_stream *a = open_stream(ctx), *b = open_stream(ctx);
  void *block, *first = take(a, 20 * MIB);
  assert_fails(qds_stream_allocate(a, 20 * MIB, 1, "second", __FILE__, __LINE__, &block), QDS_ERROR_BUDGET,
               "20 MiB for second; 20 MiB are in use");
  assert_null(block);
  assert_fails(qds_stream_allocate(a, 40 * MIB, 1, "huge", __FILE__, __LINE__, &block), QDS_ERROR_BUDGET,
               "the limit is 32 MiB");
  assert_fails(qds_stream_allocate(a, SIZE_MAX / 2, 1, "endless", __FILE__, __LINE__, &block),
               QDS_ERROR_MEMORY, "address range");
  check(ctx);
  /* Small pieces in several segments, in use by another stream's work: the limit leaves room only after they
   * are back. */
  qds_stream_release(a, first);
  void *small[24];
  for (int i = 0; i < 24; i++) {
    small[i] = take(a, MIB);
    assert_ok(qds_stream_fill(a, small[i], i, MIB));
  }
  for (int i = 0; i < 24; i++) qds_stream_release(a, small[i]);
  block = take(b, 30 * MIB);
  assert_ok(qds_stream_fill(b, block, 1, 30 * MIB));
  qds_stream_release(b, block);
  assert_ok(qds_stream_pool_trim(pool_of(ctx)));
  assert_int_equal(statistics_of(ctx).reserved_bytes, 0);
  assert_true(statistics_of(ctx).peak_reserved_bytes <= 32 * MIB);
  check(ctx);
  qds_stream_destroy(a);
  qds_stream_destroy(b);
}

static void test_limit(void **state) {
  (void)state;
  on_devices(32 * MIB, check_limit);
}

static qds_status use_pool(qds_context *ctx, void *data) {
  (void)data;
  QDS_AUTO(qds_stream) *a = NULL;
  QDS_AUTO(qds_stream) *b = NULL;
  void *blocks[6] = {0};
  const size_t sizes[6] = {100, 3 * MIB, 70000, 20 * MIB, MIB, 40 * MIB};
  qds_status status = QDS_OK;
  QDS_TRY(qds_stream_pool_trim(pool_of(ctx)));
  QDS_TRY(qds_stream_create(qds_context_accelerator(ctx), qds_context_allocator(ctx), 1, &a));
  QDS_TRY(qds_stream_create(qds_context_accelerator(ctx), qds_context_allocator(ctx), 1, &b));
  for (int i = 0; i < 6 && status == QDS_OK; i++)
    status = qds_stream_allocate(i % 2 ? a : b, sizes[i], 1, "test", __FILE__, __LINE__, &blocks[i]);
  for (int i = 0; i < 6; i++) qds_stream_release(i % 2 ? a : b, blocks[i]);
  return status;
}

/* Failures of the device; then of the host, for the pool's own records, where each must leave the pool whole.
 */
static void check_failures(qds_context *ctx) {
  assert_true(fail_each_allocation(ctx, use_pool, NULL) >= 2);
  assert_ok(qds_stream_pool_trim(pool_of(ctx)));
  assert_true(fail_each_on_device(ctx, QDS_INJECT_ALLOCATION, 6, use_pool, NULL) >= 1);
  check(ctx);
  assert_int_equal(statistics_of(ctx).blocks, 0);
}

static void check_host_failures(qds_context *ctx) {
  for (uint64_t n = 1;; n++) {
    qds_heap_fail(pool_of(ctx)->records, n);
    const qds_status status = use_pool(ctx, NULL);
    qds_heap_fail(pool_of(ctx)->records, 0);
    check(ctx);
    assert_int_equal(statistics_of(ctx).blocks, 0);
    if (status == QDS_OK) break;
    assert_int_equal(status, QDS_ERROR_MEMORY);
    assert_true(n < 50);
  }
}

static void test_failures(void **state) {
  (void)state;
  on_devices(0, check_host_failures);
  if (!getenv("QDSIM_TEST_DEVICE") || !strcmp(getenv("QDSIM_TEST_DEVICE"), "sim"))
    with_context_on("sim", 1, check_failures);
}

/* A device with less memory than the limit: refused with the sums, and used to the last segment. */
static void check_small_device(qds_context *ctx) {
  qds_stream *stream = open_stream(ctx);
  void *block, *first = take(stream, 20 * MIB);
  assert_fails(qds_stream_allocate(stream, 20 * MIB, 1, "second", __FILE__, __LINE__, &block),
               QDS_ERROR_MEMORY, "out of device memory: 20 MiB for second; 20 MiB are in use");
  qds_stream_release(stream, first);
  qds_stream_release(stream, take(stream, 30 * MIB));
  check(ctx);
  qds_stream_destroy(stream);
}

static void test_small_device(void **state) {
  (void)state;
  setenv("QDSIM_SIM_MEMORY", "32MiB", 1);
  with_context_on("sim", 1, check_small_device);
  unsetenv("QDSIM_SIM_MEMORY");
}

/* --- reports -------------------------------------------------------------------------------------------- */

typedef struct {
  int count;
  char text[200];
} heard;

static void listen(void *user, qds_log_level level, const char *text) {
  heard *h = user;
  if (level != QDS_LOG_ERROR) return;
  h->count++;
  snprintf(h->text, sizeof h->text, "%s", text);
}

static void test_leak_report(void **state) {
  (void)state;
  heard h = {0};
  qds_context *ctx;
  qds_memory_row row;
  qds_context_options options = QDS_CONTEXT_OPTIONS_INIT;
  options.device = "sim";
  options.log = listen;
  options.user = &h;
  assert_ok(qds_context_create(&options, &ctx));
  qds_stream *stream = open_stream(ctx);
  void *block;
  assert_ok(qds_stream_allocate(stream, 1234, 1, "lost", "somewhere.c", 17, &block));
  qds_stream_release(stream, take(stream, 100));
  assert_true(qds_stream_pool_tag(pool_of(ctx), 0, &row));
  assert_string_equal(row.tag, "lost");
  assert_true(row.current_bytes == 1234 && row.current_blocks == 1);
  assert_true(qds_stream_pool_tag(pool_of(ctx), 1, &row));
  assert_true(row.current_bytes == 0 && row.peak_bytes == 100 && row.total_blocks == 1);
  assert_false(qds_stream_pool_tag(pool_of(ctx), 2, &row));
  qds_stream_destroy(stream);
  qds_context_destroy(ctx);
  assert_int_equal(h.count, 1);
  assert_string_equal(h.text, "leak: 1234 bytes of \"lost\" from somewhere.c:17");
}

static void test_two_contexts(void **state) {
  (void)state;
  qds_context *one, *two;
  qds_context_options options = QDS_CONTEXT_OPTIONS_INIT;
  options.device = "sim";
  assert_ok(qds_context_create(&options, &one));
  assert_ok(qds_context_create(&options, &two));
  qds_stream *stream_one = open_stream(one), *stream_two = open_stream(two);
  void *block = take(stream_one, 5 * MIB);
  assert_int_equal(statistics_of(two).reserved_bytes, 0);
  assert_fails(qds_stream_pool_release(pool_of(two), stream_two, block), QDS_ERROR_ARGUMENT,
               "no block begins at");
  qds_stream_destroy(stream_two);
  qds_context_destroy(two);
  assert_ok(qds_stream_fill(stream_one, block, 1, 5 * MIB));
  qds_stream_release(stream_one, block);
  qds_stream_destroy(stream_one);
  qds_context_destroy(one);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_same_stream),
      cmocka_unit_test(test_coalescing),
      cmocka_unit_test(test_misuse),
      cmocka_unit_test(test_use_after_free),
      cmocka_unit_test(test_forgotten_streams),
      cmocka_unit_test(test_capture),
      cmocka_unit_test(test_limit),
      cmocka_unit_test(test_failures),
      cmocka_unit_test(test_small_device),
      cmocka_unit_test(test_leak_report),
      cmocka_unit_test(test_two_contexts),
  };
  return cmocka_run_group_tests_name("pool_stream", tests, NULL, NULL);
}

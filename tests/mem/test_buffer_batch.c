/* Buffers that leave the device together, and large ones that go to pageable memory and to files in pieces:
 * contents, how often a thread waits, and copies that fail. */
#include "buffers.h"

#include "mem/staging.h"

enum { COUNT = 24 };
#define MIB ((size_t)1 << 20)

static size_t staged_bytes(qds_context *ctx) {
  qds_staging_statistics s;
  qds_staging_read(qds_context_accelerator(ctx)->staging, &s);
  return s.staged_bytes;
}

static int valid_at(qds_buffer *b, qds_place place) {
  qds_buffer_info info;
  qds_buffer_get_info(b, &info);
  return info.valid[place];
}

static void limit_pinned(qds_context *ctx, size_t bytes) {
  qds_memory_options options = QDS_MEMORY_OPTIONS_INIT;
  options.pinned_limit = bytes;
  assert_ok(qds_memory_configure(ctx, &options));
}

/* Buffers whose contents lie on the device only. */
static void make_on_device(qds_context *ctx, size_t bytes, qds_buffer **b, int count) {
  for (int i = 0; i < count; i++) {
    void *p;
    assert_ok(qds_buffer_create(ctx, bytes, QDS_MEM_ADAPTIVE, "batch", &b[i]));
    buffer_put(b[i], bytes, (uint64_t)i + 1);
    for (int use = 0; use < 3; use++) {
      assert_ok(qds_buffer_acquire(b[i], QDS_PLACE_DEVICE, QDS_ACCESS_WRITE, NULL, &p));
      assert_ok(qds_buffer_release(b[i], NULL));
    }
    assert_true(valid_at(b[i], QDS_PLACE_DEVICE));
    assert_false(valid_at(b[i], QDS_PLACE_PINNED) || valid_at(b[i], QDS_PLACE_HOST));
  }
}

static void check_and_destroy(qds_buffer **b, int count, size_t bytes) {
  for (int i = 0; i < count; i++) {
    buffer_check(b[i], bytes, (uint64_t)i + 1);
    assert_ok(qds_buffer_destroy(b[i]));
  }
}

/* --- together ------------------------------------------------------------------------------------------- */

static void wait_once(qds_context *ctx) {
  if (!has_device(ctx)) return;
  const size_t bytes = 100000;
  qds_buffer *b[COUNT];
  size_t freed;
  limit_pinned(ctx, 1 << 30);
  make_on_device(ctx, bytes, b, COUNT);
  const qds_memory_statistics before = statistics_of(ctx);
  assert_ok(qds_memory_spill(ctx, QDS_PLACE_DEVICE, 10 * bytes, &freed));
  qds_memory_statistics after = statistics_of(ctx);
  assert_int_equal(freed, 10 * bytes);
  assert_int_equal(after.spills - before.spills, 10);
  assert_int_equal(after.spilled_bytes - before.spilled_bytes, 10 * bytes);
  assert_int_equal(after.spill_waits - before.spill_waits, 1);
  assert_int_equal(after.moves[QDS_PLACE_DEVICE][QDS_PLACE_PINNED] -
                       before.moves[QDS_PLACE_DEVICE][QDS_PLACE_PINNED],
                   10 * bytes);
  for (int i = 0; i < COUNT; i++) { /* the oldest went, and nothing else */
    assert_int_equal(valid_at(b[i], QDS_PLACE_DEVICE), i >= 10);
    assert_int_equal(valid_at(b[i], QDS_PLACE_PINNED), i < 10);
  }
  check_and_destroy(b, COUNT, bytes);
}

static void test_buffers_that_leave_together_are_waited_for_once(void **state) {
  (void)state;
  with_limits(0, 0, 0, wait_once);
}

/* Page-locked memory for three: the others go one by one, further down. */
static void beyond_pinned(qds_context *ctx) {
  if (!has_device(ctx)) return;
  const size_t bytes = 100000;
  qds_buffer *b[COUNT];
  size_t freed;
  limit_pinned(ctx, 3 * bytes);
  make_on_device(ctx, bytes, b, COUNT);
  const qds_memory_statistics before = statistics_of(ctx);
  assert_ok(qds_memory_spill(ctx, QDS_PLACE_DEVICE, SIZE_MAX, &freed));
  assert_int_equal(freed, COUNT * bytes);
  int pinned = 0;
  for (int i = 0; i < COUNT; i++) {
    assert_false(valid_at(b[i], QDS_PLACE_DEVICE));
    pinned += valid_at(b[i], QDS_PLACE_PINNED);
  }
  assert_int_equal(pinned, 3);
  assert_true(statistics_of(ctx).places[QDS_PLACE_PINNED].peak_bytes <= 3 * bytes);
  assert_true(statistics_of(ctx).spills - before.spills >= COUNT);
  check_and_destroy(b, COUNT, bytes);
}

static void test_what_page_locked_memory_cannot_hold_goes_further(void **state) {
  (void)state;
  with_limits(0, 0, 0, beyond_pinned);
}

/* Whichever copy fails: every buffer is moved or stays, and nothing is lost. */
static void any_copy_fails(qds_context *ctx) {
  const size_t bytes = 50000;
  qds_accelerator *a = qds_context_accelerator(ctx);
  qds_buffer *b[COUNT];
  limit_pinned(ctx, 1 << 30);
  for (uint64_t n = 1; n <= 12; n++) {
    size_t freed;
    make_on_device(ctx, bytes, b, COUNT);
    assert_ok(qds_accelerator_inject(a, QDS_INJECT_COPY, n));
    assert_ok(qds_memory_spill(ctx, QDS_PLACE_DEVICE, 10 * bytes, &freed));
    assert_ok(qds_accelerator_inject(a, QDS_INJECT_COPY, 0));
    assert_true(freed >= 10 * bytes);
    int gone = 0;
    for (int i = 0; i < COUNT; i++) gone += !valid_at(b[i], QDS_PLACE_DEVICE);
    assert_int_equal(gone, freed / bytes);
    check_and_destroy(b, COUNT, bytes);
  }
}

static void test_a_failing_copy_loses_nothing(void **state) {
  (void)state;
  with_context_on("sim", 1, any_copy_fails);
}

/* Work on the buffers' streams that is still under way when they leave. */
static void under_way(qds_context *ctx) {
  if (!has_device(ctx)) return;
  const size_t bytes = 100000;
  qds_buffer *b[COUNT];
  qds_stream *streams[3];
  size_t freed;
  limit_pinned(ctx, 1 << 30);
  for (int i = 0; i < 3; i++) assert_ok(qds_context_stream_create(ctx, &streams[i]));
  make_on_device(ctx, bytes, b, COUNT);
  for (int i = 0; i < COUNT; i++) {
    void *p;
    assert_ok(qds_buffer_acquire(b[i], QDS_PLACE_DEVICE, QDS_ACCESS_DISCARD, streams[i % 3], &p));
    assert_ok(qds_stream_fill(streams[i % 3], p, 0, bytes));
    assert_ok(qds_stream_fill(streams[i % 3], p, i + 1, bytes));
    assert_ok(qds_buffer_release(b[i], streams[i % 3]));
  }
  assert_ok(qds_memory_spill(ctx, QDS_PLACE_DEVICE, SIZE_MAX, &freed));
  assert_int_equal(freed, COUNT * bytes);
  for (int i = 0; i < COUNT; i++) {
    unsigned char *p;
    assert_ok(qds_buffer_acquire(b[i], QDS_PLACE_HOST, QDS_ACCESS_READ, NULL, (void **)&p));
    for (size_t k = 0; k < bytes; k++)
      if (p[k] != i + 1) fail_msg("buffer %d, byte %zu is %d", i, k, p[k]);
    assert_ok(qds_buffer_release(b[i], NULL));
    assert_ok(qds_buffer_destroy(b[i]));
  }
  for (int i = 0; i < 3; i++) qds_context_stream_destroy(streams[i]);
}

static void test_work_under_way_is_done_first(void **state) {
  (void)state;
  with_limits(0, 0, 0, under_way);
}

/* --- in pieces ------------------------------------------------------------------------------------------ */

/* Without page-locked memory of its own a large buffer goes to pageable memory, and from there to a file and
 * back, through the pieces that all share. */
static void large_ones(qds_context *ctx) {
  if (!has_device(ctx)) return;
  const size_t bytes = 17 * MIB + 3;
  qds_buffer *b[2];
  void *p;
  limit_pinned(ctx, 1);
  make_on_device(ctx, bytes, b, 2);
  size_t before = staged_bytes(ctx);
  buffer_check(b[0], bytes, 1);
  assert_true(valid_at(b[0], QDS_PLACE_HOST));
  assert_int_equal(staged_bytes(ctx) - before, bytes);
  assert_ok(qds_buffer_acquire(b[1], QDS_PLACE_DEVICE, QDS_ACCESS_WRITE, NULL, &p));
  assert_ok(qds_buffer_release(b[1], NULL));
  before = staged_bytes(ctx);
  assert_ok(qds_buffer_spill(b[1], QDS_PLACE_FILE));
  assert_ok(qds_buffer_acquire(b[1], QDS_PLACE_DEVICE, QDS_ACCESS_READ, NULL, &p));
  assert_ok(qds_buffer_release(b[1], NULL));
  assert_int_equal(staged_bytes(ctx) - before, 2 * bytes);
  check_and_destroy(b, 2, bytes);
}

static void test_large_buffers_go_in_pieces(void **state) {
  (void)state;
  with_limits(0, 0, 0, large_ones);
}

/* The same when nothing more can be page-locked, and when a piece fails on its way to the file or back. */
static void without_pieces(qds_context *ctx) {
  const size_t bytes = 9 * MIB;
  qds_accelerator *a = qds_context_accelerator(ctx);
  qds_buffer *b[1];
  void *p;
  limit_pinned(ctx, 1);
  make_on_device(ctx, bytes, b, 1);
  assert_ok(qds_accelerator_inject(a, QDS_INJECT_ALLOCATION, 1));
  assert_ok(qds_buffer_spill(b[0], QDS_PLACE_FILE));
  assert_ok(qds_accelerator_inject(a, QDS_INJECT_ALLOCATION, 0));
  assert_ok(qds_buffer_acquire(b[0], QDS_PLACE_DEVICE, QDS_ACCESS_WRITE, NULL, &p));
  assert_ok(qds_buffer_release(b[0], NULL));
  for (uint64_t n = 1; n <= 2; n++) {
    assert_ok(qds_accelerator_inject(a, QDS_INJECT_COPY, n));
    assert_fails(qds_buffer_spill(b[0], QDS_PLACE_FILE), QDS_ERROR_INTERNAL, "injected");
    assert_true(valid_at(b[0], QDS_PLACE_DEVICE) && !valid_at(b[0], QDS_PLACE_FILE));
  }
  assert_ok(qds_buffer_spill(b[0], QDS_PLACE_FILE));
  for (uint64_t n = 1; n <= 2; n++) {
    assert_ok(qds_accelerator_inject(a, QDS_INJECT_COPY, n));
    assert_fails(qds_buffer_acquire(b[0], QDS_PLACE_DEVICE, QDS_ACCESS_READ, NULL, &p), QDS_ERROR_INTERNAL,
                 "injected");
    assert_true(valid_at(b[0], QDS_PLACE_FILE) && !valid_at(b[0], QDS_PLACE_DEVICE));
  }
  check_and_destroy(b, 1, bytes);
}

static void test_pieces_may_be_missing_or_fail(void **state) {
  (void)state;
  with_context_on("sim", 1, without_pieces);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_buffers_that_leave_together_are_waited_for_once),
      cmocka_unit_test(test_what_page_locked_memory_cannot_hold_goes_further),
      cmocka_unit_test(test_a_failing_copy_loses_nothing),
      cmocka_unit_test(test_work_under_way_is_done_first),
      cmocka_unit_test(test_large_buffers_go_in_pieces),
      cmocka_unit_test(test_pieces_may_be_missing_or_fail),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}

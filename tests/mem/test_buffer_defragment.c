/* Moving buffers together on the device. */
#include "buffers.h"

#include "mem/pool_stream.h"

/* Ten blocks of 3/4 units fill the eight that the device may give nearly. */
enum { COUNT = 10 };

static size_t block_bytes(void) {
  return buffers_unit / 4 * 3;
}

/* Contents that lie on the device only. */
static qds_buffer *device_buffer(qds_context *ctx, size_t bytes, uint64_t seed) {
  qds_buffer *b, *source;
  assert_ok(qds_buffer_create(ctx, bytes, QDS_MEM_GPU_ONLY, "scattered", &b));
  assert_ok(qds_buffer_create(ctx, bytes, QDS_MEM_CPU_ONLY, "source", &source));
  buffer_put(source, bytes, seed);
  assert_ok(qds_buffer_copy(b, source, NULL));
  assert_ok(qds_buffer_destroy(source));
  return b;
}

static void check(qds_context *ctx, qds_buffer *b, size_t bytes, uint64_t seed) {
  qds_buffer *back;
  assert_ok(qds_buffer_create(ctx, bytes, QDS_MEM_CPU_ONLY, "back", &back));
  assert_ok(qds_buffer_copy(back, b, NULL));
  buffer_check(back, bytes, seed);
  assert_ok(qds_buffer_destroy(back));
}

static int on_device(qds_buffer *b) {
  qds_buffer_info info;
  qds_buffer_get_info(b, &info);
  return info.valid[QDS_PLACE_DEVICE];
}

static void scatter(qds_context *ctx, qds_buffer *b[COUNT]) {
  for (int i = 0; i < COUNT; i++) b[i] = device_buffer(ctx, block_bytes(), (uint64_t)i);
  for (int i = 0; i < COUNT; i += 2) {
    assert_ok(qds_buffer_destroy(b[i]));
    b[i] = NULL;
  }
}

static void check_and_destroy(qds_context *ctx, qds_buffer *b[COUNT]) {
  for (int i = 0; i < COUNT; i++) {
    if (!b[i]) continue;
    check(ctx, b[i], block_bytes(), (uint64_t)i);
    assert_ok(qds_buffer_destroy(b[i]));
  }
}

static qds_stream_pool_statistics pool_of(qds_context *ctx) {
  qds_stream_pool_statistics s;
  qds_stream_pool_statistics_read(qds_context_accelerator(ctx)->pool, &s);
  return s;
}

/* Every other block is free; the room of four together is wanted. */
static void holes_become_one(qds_context *ctx) {
  qds_buffer *b[COUNT];
  qds_defragment_report report;
  void *held;
  if (!has_device(ctx)) {
    assert_fails(qds_memory_defragment(ctx, 1, &report), QDS_ERROR_UNSUPPORTED, "there is no device");
    return;
  }
  scatter(ctx, b);
  /* One that is acquired keeps its address. */
  assert_ok(qds_buffer_acquire(b[1], QDS_PLACE_DEVICE, QDS_ACCESS_READ, NULL, &held));
  assert_ok(qds_memory_defragment(ctx, 3 * buffers_unit, &report));
  assert_int_equal(report.before.used_bytes, report.after.used_bytes);
  print_message("  %zu moved; largest free range %zu before, %zu after\n", report.moved_buffers,
                report.before.largest_free_bytes, report.after.largest_free_bytes);
  assert_true(report.after.largest_free_bytes >= 3 * buffers_unit);
  if (*pool_of(ctx).whole) { /* this device cannot put its memory behind other addresses */
    assert_true(report.before.largest_free_bytes < 3 * buffers_unit && report.moved_buffers > 0);
    assert_true(report.after.fragmentation < report.before.fragmentation);
  }
  assert_ok(qds_stream_pool_check(qds_context_accelerator(ctx)->pool));
  for (int i = 1; i < COUNT; i += 2) assert_true(on_device(b[i]));
  void *again;
  assert_ok(qds_buffer_acquire(b[1], QDS_PLACE_DEVICE, QDS_ACCESS_READ, NULL, &again));
  assert_ptr_equal(held, again);
  assert_ok(qds_buffer_release(b[1], NULL));
  assert_ok(qds_buffer_release(b[1], NULL));
  const size_t grown = pool_of(ctx).growths;
  qds_buffer *large = device_buffer(ctx, 3 * buffers_unit, 99);
  assert_int_equal(pool_of(ctx).growths, grown);
  check(ctx, large, 3 * buffers_unit, 99);
  assert_ok(qds_buffer_destroy(large));
  check_and_destroy(ctx, b);
}

static void test_holes_become_one(void **state) {
  (void)state;
  with_limits(0, 0, 8, holes_become_one);
}

/* More than all holes together: the buffers leave for the host, and come back. */
static void buffers_leave(qds_context *ctx) {
  qds_buffer *b[COUNT];
  qds_defragment_report report;
  if (!has_device(ctx)) return;
  scatter(ctx, b);
  assert_ok(qds_memory_defragment(ctx, 6 * buffers_unit, &report));
  assert_true(report.moved_buffers >= 3);
  assert_true(report.after.used_bytes < report.before.used_bytes);
  int left = 0;
  for (int i = 1; i < COUNT; i += 2) left += !on_device(b[i]);
  assert_true(left >= 3);
  check_and_destroy(ctx, b);
}

static void test_buffers_leave(void **state) {
  (void)state;
  with_limits(0, 0, 8, buffers_leave);
}

/* What is held leaves no room: an error, and everything is as it was. */
static void held_memory_stays(qds_context *ctx) {
  qds_buffer *b[COUNT];
  qds_defragment_report report;
  void *p;
  if (!has_device(ctx)) return;
  scatter(ctx, b);
  for (int i = 1; i < COUNT; i += 2)
    assert_ok(qds_buffer_acquire(b[i], QDS_PLACE_DEVICE, QDS_ACCESS_READ, NULL, &p));
  assert_fails(qds_memory_defragment(ctx, 6 * buffers_unit, &report), QDS_ERROR_BUDGET, "budget exceeded");
  assert_int_equal(report.moved_buffers, 0);
  assert_int_equal(report.after.used_bytes, report.before.used_bytes);
  for (int i = 1; i < COUNT; i += 2) assert_ok(qds_buffer_release(b[i], NULL));
  check_and_destroy(ctx, b);
}

static void test_held_memory_stays(void **state) {
  (void)state;
  with_limits(0, 0, 8, held_memory_stays);
}

static int find_pool(qds_context *ctx, const char *name, qds_memory_pool_row *row) {
  for (size_t i = 0; qds_memory_pool(ctx, i, row); i++)
    if (!strcmp(row->name, name)) return 1;
  return 0;
}

static void pools_are_told(qds_context *ctx) {
  static const char *const names[] = {"device", "pinned"};
  qds_memory_pool_row row;
  qds_buffer *b = has_device(ctx) ? device_buffer(ctx, 1 << 20, 1) : NULL;
  if (b) assert_ok(qds_buffer_spill(b, QDS_PLACE_PINNED));
  if (b) assert_ok(qds_buffer_prefetch(b, QDS_PLACE_DEVICE, NULL));
  for (size_t i = 0; i < 2; i++) {
    assert_int_equal(find_pool(ctx, names[i], &row), has_device(ctx));
    if (!b) continue;
    assert_true(row.used_bytes >= 1 << 20 && row.peak_used_bytes >= row.used_bytes);
    assert_true(row.reserved_bytes >= row.used_bytes && row.peak_reserved_bytes >= row.reserved_bytes);
  }
  assert_ok(qds_buffer_destroy(b));
}

static void test_pools_are_told(void **state) {
  (void)state;
  with_limits(0, 0, 0, pools_are_told);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_holes_become_one),
      cmocka_unit_test(test_buffers_leave),
      cmocka_unit_test(test_held_memory_stays),
      cmocka_unit_test(test_pools_are_told),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}

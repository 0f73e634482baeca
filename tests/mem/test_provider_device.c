/* Providers of device memory, and a pool of page-locked memory over one, on the devices that there are. */
#include "support.h"

#include "mem/pool_best_fit.h"
#include "mem/provider_device.h"
#include "mem/stream.h"

#define MIB ((size_t)1 << 20)

static void on_devices(void (*body)(qds_context *ctx)) {
  const char *skipped;
  for (const char *const *device = test_devices(&skipped); *device; device++)
    if (strcmp(*device, "cpu") != 0) with_context_on(*device, 1, body);
}

/* Bytes from the host to the memory and back. */
static void check_copies(qds_context *ctx, void *memory, size_t bytes) {
  qds_stream *stream = qds_context_stream(ctx);
  unsigned char *there = malloc(bytes), *back = calloc(bytes, 1);
  for (size_t i = 0; i < bytes; i++) there[i] = (unsigned char)(i * 7 + i / 256);
  assert_ok(qds_stream_copy(stream, memory, there, bytes));
  assert_ok(qds_stream_fetch(stream, back, memory, bytes));
  assert_memory_equal(there, back, bytes);
  free(there);
  free(back);
}

static void check_kinds(qds_context *ctx) {
  static const char *const names[QDS_MEMORY_KINDS] = {"device", "pinned", "mapped", "managed"};
  for (int kind = 0; kind < QDS_MEMORY_KINDS; kind++) {
    const qds_provider provider = qds_provider_device(qds_context_accelerator(ctx), (qds_memory_kind)kind);
    size_t bytes;
    void *range;
    assert_ok(qds_provider_check(&provider));
    assert_string_equal(provider.table->name, names[kind]);
    assert_ok(qds_provider_round(&provider, 3 * MIB - 5, &bytes));
    assert_int_equal(bytes, 4 * MIB);
    assert_ok(provider.table->allocate(provider.state, bytes, &range));
    assert_int_equal((uintptr_t)range % provider.table->alignment, 0);
    check_copies(ctx, range, 100000);
    if (kind != QDS_MEMORY_DEVICE) memset(range, 1, bytes); /* the host may touch it */
    provider.table->release(provider.state, range, bytes);
  }
}

static void test_kinds(void **state) {
  (void)state;
  on_devices(check_kinds);
}

static void check_managed(qds_context *ctx) {
  qds_accelerator *accelerator = qds_context_accelerator(ctx);
  const qds_provider provider = qds_provider_device(accelerator, QDS_MEMORY_MANAGED);
  size_t free_bytes, total_bytes;
  void *range;
  assert_ok(qds_accelerator_memory(accelerator, &free_bytes, &total_bytes));
  assert_fails(provider.table->allocate(provider.state, free_bytes + 2 * MIB, &range), QDS_ERROR_MEMORY,
               "of managed memory, of which the device");
  assert_null(range);
}

static void test_managed_is_never_more_than_is_free(void **state) {
  (void)state;
  on_devices(check_managed);
}

static qds_status create_pinned_pool(qds_context *ctx, qds_best_fit **out) {
  qds_best_fit_options options = QDS_BEST_FIT_OPTIONS_INIT;
  options.name = "pinned pool";
  options.provider = qds_provider_device(qds_context_accelerator(ctx), QDS_MEMORY_PINNED);
  options.allocator = qds_context_allocator(ctx);
  options.segment_bytes = 16 * MIB;
  options.limit = 64 * MIB;
  return qds_best_fit_create(&options, out);
}

static qds_status use_pinned_pool(qds_context *ctx, void *data) {
  (void)data;
  QDS_AUTO(qds_best_fit) *pool = NULL;
  void *block;
  QDS_TRY(create_pinned_pool(ctx, &pool));
  QDS_TRY(qds_best_fit_allocate(pool, 100000, 0, &block));
  return qds_best_fit_release(pool, block);
}

static void check_pinned_pool(qds_context *ctx) {
  qds_best_fit *pool;
  void *first, *second, *more;
  assert_ok(create_pinned_pool(ctx, &pool));
  assert_ok(qds_best_fit_allocate(pool, 100000, 0, &first));
  assert_ok(qds_best_fit_allocate(pool, 5 * MIB, 0, &second));
  check_copies(ctx, first, 100000);
  check_copies(ctx, second, 5 * MIB);
  assert_fails(qds_best_fit_allocate(pool, 60 * MIB, 0, &more), QDS_ERROR_BUDGET, "pinned pool");
  assert_ok(qds_best_fit_release(pool, first));
  assert_ok(qds_best_fit_release(pool, second));
  assert_ok(qds_best_fit_check(pool));
  qds_best_fit_destroy(pool);
  assert_true(fail_each_allocation(ctx, use_pinned_pool, NULL) >= 1);
  if (qds_context_accelerator(ctx)->backend->inject)
    assert_true(fail_each_on_device(ctx, QDS_INJECT_ALLOCATION, 3, use_pinned_pool, NULL) <= 3);
}

static void test_pinned_pool(void **state) {
  (void)state;
  on_devices(check_pinned_pool);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_kinds),
      cmocka_unit_test(test_managed_is_never_more_than_is_free),
      cmocka_unit_test(test_pinned_pool),
  };
  return cmocka_run_group_tests_name("provider_device", tests, NULL, NULL);
}

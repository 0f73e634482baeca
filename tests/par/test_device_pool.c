/* The device pool as other libraries see it: the C functions of CuPy and PyTorch, on the streams of a device.
 */
#include "support.h"

#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include "qdsim/device_pool.h"

enum { MIB = 1 << 20 };

static void on_devices(void (*body)(qds_context *ctx)) {
  const char *skipped;
  for (const char *const *device = test_devices(&skipped); *device; device++)
    if (strcmp(*device, "cpu") != 0) with_context_on(*device, 1, body);
}

static qds_device_pool *open_pool(qds_context *ctx) {
  qds_device_pool *pool;
  assert_ok(qds_device_pool_create(ctx, qds_context_native_stream(ctx), "another library", &pool));
  return pool;
}

static void check_cupy(qds_context *ctx) {
  qds_device_pool *pool = open_pool(ctx);
  qds_device_pool_statistics s;
  const int index = qds_context_accelerator(ctx)->index;
  void *block = qds_device_pool_malloc(pool, 5 * MIB, index);
  assert_non_null(block);
  qds_device_pool_read(pool, &s);
  assert_true(s.used_bytes == 5 * MIB && s.reserved_bytes >= 5 * MIB);
  qds_device_pool_free(pool, block, index);
  assert_ptr_equal(qds_device_pool_malloc(pool, 5 * MIB, index), block);
  qds_device_pool_free(pool, block, index);
  assert_ok(qds_device_pool_trim(pool));
  qds_device_pool_read(pool, &s);
  assert_true(s.used_bytes == 0 && s.reserved_bytes == 0 && s.peak_used_bytes == 5 * MIB);
  qds_device_pool_destroy(pool);
}

static void test_cupy(void **state) {
  (void)state;
  on_devices(check_cupy);
}

/* The exception that it throws instead of returning NULL ends a program of C. */
static void assert_torch_malloc_throws(int index, void *stream) {
  int ended;
  const pid_t child = fork();
  assert_true(child >= 0);
  if (child == 0) {
    (void)!freopen("/dev/null", "w", stderr);
    (void)!qds_torch_malloc(MIB, index, stream);
    _exit(0);
  }
  assert_int_equal(waitpid(child, &ended, 0), child);
  assert_true(WIFSIGNALED(ended) && WTERMSIG(ended) == SIGABRT);
}

static void check_pytorch(qds_context *ctx) {
  qds_device_pool *pool = open_pool(ctx), *other = open_pool(ctx);
  const int index = qds_context_accelerator(ctx)->index;
  void *stream = qds_context_native_stream(ctx);
  assert_torch_malloc_throws(index, stream);
  assert_ok(qds_device_pool_install(pool));
  assert_ok(qds_device_pool_install(pool));
  assert_fails(qds_device_pool_install(other), QDS_ERROR_ARGUMENT, "another device pool is installed");
  void *block = qds_torch_malloc(MIB, index, stream);
  assert_non_null(block);
  qds_torch_free(block, MIB, index, stream);
  qds_device_pool_destroy(other);
  assert_non_null(block = qds_torch_malloc(MIB, index, stream));
  qds_torch_free(block, MIB, index, stream);
  qds_device_pool_destroy(pool);
  assert_torch_malloc_throws(index, stream);
}

static void test_pytorch(void **state) {
  (void)state;
  on_devices(check_pytorch);
}

/* Two streams of another library, of which one ends. */
static void check_streams(qds_context *ctx) {
  qds_device_pool *pool = open_pool(ctx);
  qds_stream *one, *two;
  void *block, *again;
  assert_ok(qds_stream_create(qds_context_accelerator(ctx), qds_context_allocator(ctx), 1, &one));
  assert_ok(qds_stream_create(qds_context_accelerator(ctx), qds_context_allocator(ctx), 1, &two));
  assert_ok(qds_device_pool_allocate(pool, 3 * MIB, one->native, &block));
  assert_ok(qds_device_pool_release(pool, block, one->native));
  assert_ok(qds_device_pool_release(pool, NULL, one->native));
  assert_fails(qds_device_pool_release(pool, block, two->native), QDS_ERROR_ARGUMENT, "no block begins at");
  qds_device_pool_forget_stream(pool, one->native);
  qds_stream_destroy(one);
  assert_ok(qds_device_pool_allocate(pool, 3 * MIB, two->native, &again));
  assert_ok(qds_device_pool_release(pool, again, two->native));
  qds_stream_destroy(two);
  qds_device_pool_destroy(pool);
}

static void test_streams(void **state) {
  (void)state;
  on_devices(check_streams);
}

/* NULL names the default stream: what it gave back is waited for as any other stream's. */
static void check_default_stream(qds_context *ctx) {
  qds_device_pool *pool = open_pool(ctx);
  qds_stream standard = qds_stream_wrap(qds_context_accelerator(ctx), NULL);
  qds_device_pool_statistics s;
  unsigned char bytes[64] = {0};
  void *block;
  assert_ok(qds_device_pool_allocate(pool, 3 * MIB, NULL, &block));
  assert_ok(qds_stream_fill(&standard, block, 7, sizeof bytes));
  assert_ok(qds_stream_fetch(&standard, bytes, block, sizeof bytes));
  for (size_t i = 0; i < sizeof bytes; i++) assert_int_equal(bytes[i], 7);
  assert_ok(qds_device_pool_release(pool, block, NULL));
  assert_ok(qds_device_pool_trim(pool));
  qds_device_pool_read(pool, &s);
  assert_true(s.used_bytes == 0 && s.reserved_bytes == 0);
  qds_device_pool_destroy(pool);
}

static void test_default_stream(void **state) {
  (void)state;
  on_devices(check_default_stream);
}

typedef struct {
  int errors;
  char text[300];
} heard;

static void listen(void *user, qds_log_level level, const char *text) {
  heard *h = user;
  if (level != QDS_LOG_ERROR) return;
  h->errors++;
  snprintf(h->text, sizeof h->text, "%s", text);
}

static void test_refusals(void **state) {
  (void)state;
  heard h = {0};
  qds_context *ctx;
  qds_context_options options = QDS_CONTEXT_OPTIONS_INIT;
  options.device = "sim";
  options.device_memory_limit = 8 * MIB;
  options.log = listen;
  options.user = &h;
  assert_ok(qds_context_create(&options, &ctx));
  qds_device_pool *pool = open_pool(ctx);
  assert_null(qds_device_pool_malloc(pool, 9 * MIB, 0));
  assert_non_null(strstr(h.text, "9 MiB for another library"));
  assert_null(qds_device_pool_malloc(pool, 1, 3));
  assert_non_null(strstr(h.text, "asks for memory of device 3"));
  qds_device_pool_free(pool, &h, 0);
  assert_non_null(strstr(h.text, "no block begins at"));
  assert_int_equal(h.errors, 3);
  qds_device_pool_destroy(pool);
  qds_context_destroy(ctx);
  assert_ok(qds_context_create(NULL, &ctx));
  assert_fails(qds_device_pool_create(ctx, NULL, "x", &pool), QDS_ERROR_UNSUPPORTED, "uses the CPU");
  assert_null(pool);
  qds_context_destroy(ctx);
}

/* Within little slack idle memory goes back to the device before more is taken; without a bound it stays. */
static size_t held_with(double slack) {
  qds_context *ctx;
  qds_context_options options = QDS_CONTEXT_OPTIONS_INIT;
  qds_device_pool_statistics s;
  void *block;
  options.device = "sim";
  options.device_pool_slack = slack;
  assert_ok(qds_context_create(&options, &ctx));
  qds_device_pool *pool = open_pool(ctx);
  void *stream = qds_context_native_stream(ctx);
  for (size_t mib = 100; mib <= 400; mib += 100) {
    assert_ok(qds_device_pool_allocate(pool, mib * MIB, stream, &block));
    assert_ok(qds_device_pool_release(pool, block, stream));
  }
  qds_device_pool_read(pool, &s);
  qds_device_pool_destroy(pool);
  qds_context_destroy(ctx);
  return s.reserved_bytes / MIB;
}

static void test_slack(void **state) {
  (void)state;
  qds_context *ctx;
  qds_context_options options = QDS_CONTEXT_OPTIONS_INIT;
  assert_true(held_with(0) <= 460);
  assert_true(held_with(1.15) <= 460);
  assert_true(held_with(3) > 460 && held_with(3) <= 1200);
  assert_true(held_with(INFINITY) >= 1000);
  options.device_pool_slack = 0.9;
  assert_fails(qds_context_create(&options, &ctx), QDS_ERROR_ARGUMENT, "slack 0.9");
  options.device_pool_slack = NAN;
  assert_fails(qds_context_create(&options, &ctx), QDS_ERROR_ARGUMENT, "1 or more");
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_cupy),     cmocka_unit_test(test_pytorch), cmocka_unit_test(test_streams),
      cmocka_unit_test(test_refusals), cmocka_unit_test(test_slack),   cmocka_unit_test(test_default_stream),
  };
  return cmocka_run_group_tests_name("device_pool", tests, NULL, NULL);
}

/* What the tests of buffers share: contexts on every device of this machine, and patterns of bytes. */
#ifndef QDS_TESTS_MEM_BUFFERS_H
#define QDS_TESTS_MEM_BUFFERS_H

#include "support.h"

#include "qdsim/memory.h"

static inline qds_context *limited_context(const char *device, size_t memory_limit,
                                           size_t device_memory_limit, int *leaks) {
  qds_context *ctx = NULL;
  qds_context_options options = QDS_CONTEXT_OPTIONS_INIT;
  options.device = device;
  options.threads = 1;
  options.log = support_log;
  options.user = leaks;
  options.memory_limit = memory_limit;
  options.device_memory_limit = device_memory_limit;
  assert_ok(qds_context_create(&options, &ctx));
  return ctx;
}

static inline int has_device(const qds_context *ctx) {
  return qds_context_accelerator(ctx) != NULL;
}

/* The least memory that a device gives at once, 2 MiB or more: limits on it are multiples. */
static inline size_t device_unit(const char *device) {
  for (size_t unit = (size_t)2 << 20;; unit *= 2) {
    int leaks = 0;
    void *p;
    qds_context *ctx = limited_context(device, 0, unit, &leaks);
    int fits = !has_device(ctx);
    if (!fits) {
      fits = QDS_STREAM_NEW(qds_context_stream(ctx), 1, "probe", (char **)&p) == QDS_OK;
      qds_stream_release(qds_context_stream(ctx), p);
    }
    qds_context_destroy(ctx);
    if (fits) return unit;
    assert_true(unit < (size_t)1 << 30);
  }
}

/* Of the device that the test runs on. */
static size_t buffers_unit;

/* Runs `body` in a context of its own on each device of this machine, with limits (0: none), and fails the
 * test when it leaks. The limit of the host is in bytes and units, that of the device in units. */
static inline void with_limits(size_t bytes, size_t host_units, size_t device_units,
                               void (*body)(qds_context *ctx)) {
  const char *skipped;
  for (const char *const *device = test_devices(&skipped); *device; device++) {
    print_message("  on %s\n", *device);
    int leaks = 0;
    buffers_unit = host_units || device_units ? device_unit(*device) : 0;
    qds_context *ctx =
        limited_context(*device, bytes + host_units * buffers_unit, device_units * buffers_unit, &leaks);
    body(ctx);
    qds_context_destroy(ctx);
    assert_int_equal(leaks, 0);
  }
  if (*skipped) print_message("  skipped: %s\n", skipped);
}

static inline uint64_t pattern_word(uint64_t seed, size_t index) {
  uint64_t x = seed * 0x9e3779b97f4a7c15u + index * 0xbf58476d1ce4e5b9u;
  x ^= x >> 29;
  return x * 0x94d049bb133111ebu;
}

static inline void pattern_put(void *memory, size_t bytes, uint64_t seed) {
  unsigned char *at = memory;
  for (size_t i = 0; i < bytes; i++) at[i] = (unsigned char)(pattern_word(seed, i / 8) >> (8 * (i % 8)));
}

static inline void pattern_check(const void *memory, size_t bytes, uint64_t seed) {
  const unsigned char *at = memory;
  for (size_t i = 0; i < bytes; i++)
    if (at[i] != (unsigned char)(pattern_word(seed, i / 8) >> (8 * (i % 8))))
      fail_msg("byte %zu of %zu is %d, expected pattern %llu", i, bytes, at[i], (unsigned long long)seed);
}

static inline qds_buffer_info info_of(qds_buffer *b) {
  qds_buffer_info info;
  qds_buffer_get_info(b, &info);
  return info;
}

static inline qds_memory_statistics statistics_of(qds_context *ctx) {
  qds_memory_statistics s;
  qds_memory_get_statistics(ctx, &s);
  return s;
}

static inline void buffer_put(qds_buffer *b, size_t bytes, uint64_t seed) {
  void *p = NULL;
  assert_ok(qds_buffer_acquire(b, QDS_PLACE_HOST, QDS_ACCESS_DISCARD, NULL, &p));
  pattern_put(p, bytes, seed);
  assert_ok(qds_buffer_release(b, NULL));
}

static inline void buffer_check(qds_buffer *b, size_t bytes, uint64_t seed) {
  void *p = NULL;
  assert_ok(qds_buffer_acquire(b, QDS_PLACE_HOST, QDS_ACCESS_READ, NULL, &p));
  pattern_check(p, bytes, seed);
  assert_ok(qds_buffer_release(b, NULL));
}

static inline void buffer_use(qds_buffer *b, qds_place place, qds_access access) {
  void *p;
  assert_ok(qds_buffer_acquire(b, place, access, NULL, &p));
  assert_ok(qds_buffer_release(b, NULL));
}

/* A test that runs a function in a context without limits on each device. */
#define BUFFER_TEST(name)                                                                                    \
  static void test_##name(void **state) {                                                                    \
    (void)state;                                                                                             \
    with_limits(0, 0, 0, name);                                                                              \
  }

#endif

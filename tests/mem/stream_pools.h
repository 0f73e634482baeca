/* What the tests of the stream-ordered pool share: the pool of a context on every device but the host. */
#ifndef QDS_TESTS_MEM_STREAM_POOLS_H
#define QDS_TESTS_MEM_STREAM_POOLS_H

#include "support.h"

#include "mem/pool_stream_parts.h"

enum { MIB = 1 << 20 };

static inline qds_stream_pool *pool_of(qds_context *ctx) {
  return qds_context_accelerator(ctx)->pool;
}

static inline qds_stream *open_stream(qds_context *ctx) {
  qds_stream *stream;
  assert_ok(qds_stream_create(qds_context_accelerator(ctx), qds_context_allocator(ctx), 1, &stream));
  return stream;
}

static inline qds_stream_pool_statistics statistics_of(qds_context *ctx) {
  qds_stream_pool_statistics s;
  qds_stream_pool_statistics_read(pool_of(ctx), &s);
  return s;
}

static inline void *take(qds_stream *stream, size_t bytes) {
  void *block;
  assert_ok(qds_stream_allocate(stream, bytes, 1, "test", __FILE__, __LINE__, &block));
  assert_true((uintptr_t)block % 256 == 0);
  return block;
}

static inline void check(qds_context *ctx) {
  assert_ok(qds_stream_pool_check(pool_of(ctx)));
}

/* Runs `body` on every device but the host, with a limit of device memory. */
static inline void on_devices(size_t limit, void (*body)(qds_context *ctx)) {
  const char *skipped;
  for (const char *const *device = test_devices(&skipped); *device; device++) {
    if (!strcmp(*device, "cpu")) continue;
    int leaks = 0;
    qds_context *ctx = NULL;
    qds_context_options options = QDS_CONTEXT_OPTIONS_INIT;
    options.device = *device;
    options.threads = 1;
    options.device_memory_limit = limit;
    options.log = support_log;
    options.user = &leaks;
    assert_ok(qds_context_create(&options, &ctx));
    body(ctx);
    qds_context_destroy(ctx);
    assert_int_equal(leaks, 0);
  }
}

#endif

/* What the tests of streams share: a stream of each device, and numbers. */
#ifndef QDS_TESTS_MEM_STREAMS_H
#define QDS_TESTS_MEM_STREAMS_H

#include "support.h"

#include "la/block_kernels.h"
#include "mem/stream.h"

enum { NUMBERS = 1000 };

static qds_allocator *host;

/* One context on each device, with its accelerator (NULL: the host). */
static inline void on_each(void (*body)(qds_context *ctx)) {
  with_context_on_each(2, body);
}

static inline qds_stream *open_stream(qds_context *ctx) {
  qds_stream *stream;
  host = qds_context_allocator(ctx);
  assert_ok(qds_stream_create(qds_context_accelerator(ctx), host, 2, &stream));
  return stream;
}

static inline qds_event *make_event(qds_context *ctx) {
  qds_event *event;
  assert_ok(qds_event_create(qds_context_accelerator(ctx), qds_context_allocator(ctx), &event));
  return event;
}

static inline double *numbers_from(double first) {
  double *numbers;
  assert_ok(QDS_NEW(host, NUMBERS, "test", &numbers));
  for (int i = 0; i < NUMBERS; i++) numbers[i] = first + i;
  return numbers;
}

static inline void assert_numbers_from(const double *numbers, double first) {
  for (int i = 0; i < NUMBERS; i++)
    if (numbers[i] != first + i) fail_msg("number %d is %g, not %g", i, numbers[i], first + i);
}

static inline qds_fill_normal_arguments normal_numbers(double *to, uint64_t seed, double scale, int add) {
  return (qds_fill_normal_arguments){
      .to = {to, NUMBERS, 1}, .rows = NUMBERS, .seed = seed, .stream = 7, .scale = scale, .add = add};
}

#define ON_EACH(name)                                                                                        \
  static void test_##name(void **state) {                                                                    \
    (void)state;                                                                                             \
    on_each(check_##name);                                                                                   \
  }

#endif

/* Tests of what works on blocks of a stream. */
#ifndef QDS_TESTS_DEVICE_SUPPORT_H
#define QDS_TESTS_DEVICE_SUPPORT_H

#include "support.h"

/* Defines test_NAME, which runs NAME(ctx, stream) on every device in a context of two threads. */
#define DEVICE_TEST(name)                                                                                    \
  static void name##_on_context(qds_context *ctx) {                                                          \
    name(ctx, qds_context_stream(ctx));                                                                      \
  }                                                                                                          \
  static void test_##name(void **state) {                                                                    \
    (void)state;                                                                                             \
    with_context_on_each(2, name##_on_context);                                                              \
  }

#endif

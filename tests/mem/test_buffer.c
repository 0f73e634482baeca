/* Buffers: brackets, strategies, references and their errors, on every device of this machine. */
#include "buffers.h"

static void strategies_hold_contents(qds_context *ctx) {
  for (int s = 0; s < QDS_MEM_STRATEGIES; s++) {
    qds_buffer *b = NULL;
    if (s == QDS_MEM_GPU_ONLY) continue;
    assert_ok(qds_buffer_create(ctx, 1000, (qds_mem_strategy)s, "contents", &b));
    buffer_put(b, 1000, 7);
    buffer_check(b, 1000, 7);
    assert_ok(qds_buffer_destroy(b));
  }
}

static void test_strategies_hold_contents(void **state) {
  (void)state;
  on_each_device(0, 0, strategies_hold_contents);
}

static void spilled_contents_return(qds_context *ctx) {
  qds_buffer *b[8];
  for (int i = 0; i < 8; i++) {
    assert_ok(qds_buffer_create(ctx, 300000, QDS_MEM_ADAPTIVE, "spilled", &b[i]));
    buffer_put(b[i], 300000, (uint64_t)i);
  }
  for (int round = 0; round < 3; round++)
    for (int i = 0; i < 8; i++) buffer_check(b[i], 300000, (uint64_t)i);
  for (int i = 0; i < 8; i++) assert_ok(qds_buffer_destroy(b[i]));
}

static void test_spilled_contents_return(void **state) {
  (void)state;
  on_each_device(1 << 20, 0, spilled_contents_return);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_strategies_hold_contents),
      cmocka_unit_test(test_spilled_contents_return),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}

/* Anderson's acceleration. */
#include "la/anderson.h"

#include "support.h"

enum { N = 30 };

/* x = b + A x with A symmetric, its `distinct` eigenvalues between -0.5 and 0.95. */
static void image(int distinct, const double *x, double *g) {
  for (int i = 0; i < N; i++) {
    const double rate = -0.5 + 1.45 * (i % distinct) / (distinct - 1);
    g[i] = rate * x[i] + (1 + i);
  }
}

/* One step of the acceleration, on the context's device. */
static void next(qds_context *ctx, qds_anderson *a, const double *x, double *g) {
  const qds_block host_x = {(double *)(uintptr_t)x, N, N, 1, NULL};
  qds_block host_g = {g, N, N, 1, NULL}, there_x, there_g;
  assert_ok(qds_block_create_on(ctx, qds_context_stream(ctx), N, 1, "test", &there_x));
  assert_ok(qds_block_create_on(ctx, qds_context_stream(ctx), N, 1, "test", &there_g));
  assert_ok(qds_block_copy(&host_x, &there_x));
  assert_ok(qds_block_copy(&host_g, &there_g));
  assert_ok(qds_anderson_next(a, &there_x, &there_g));
  assert_ok(qds_block_copy(&there_g, &host_g));
  qds_block_clear(&there_x);
  qds_block_clear(&there_g);
}

static double error(int distinct, int depth, int iterations, qds_context *ctx) {
  QDS_AUTO(qds_anderson) *a = NULL;
  double x[N] = {0}, g[N], most = 0;
  assert_ok(qds_anderson_create(ctx, qds_context_stream(ctx), N, depth, &a));
  for (int k = 0; k < iterations; k++) {
    image(distinct, x, g);
    next(ctx, a, x, g);
    memcpy(x, g, sizeof x);
  }
  image(distinct, x, g);
  for (int i = 0; i < N; i++) most = fmax(most, fabs(g[i] - x[i]));
  return most;
}

/* A linear iteration with k rates ends after k + 1 steps, as GMRES does. */
static void ends_with_the_rates(qds_context *ctx) {
  assert_true(error(4, 5, 4, ctx) > 1e-3);
  assert_true(error(4, 5, 5, ctx) < 1e-10);
}

static void keeps_converging(qds_context *ctx) {
  const double plain = 30 * pow(0.95, 60), left = error(N, 6, 60, ctx);
  print_message("residual %.1e; plain steps leave %.1e\n", left, plain);
  assert_true(left < 1e-3 * plain);
}

/* At the fixed point steps vanish: nothing is divided by zero. */
static void stands_still(qds_context *ctx) {
  QDS_AUTO(qds_anderson) *a = NULL;
  double x[N] = {1, 2, 3}, g[N];
  assert_ok(qds_anderson_create(ctx, qds_context_stream(ctx), N, 3, &a));
  for (int k = 0; k < 5; k++) {
    memcpy(g, x, sizeof x);
    next(ctx, a, x, g);
    assert_memory_equal(g, x, sizeof x);
  }
}

static void forgets(qds_context *ctx) {
  QDS_AUTO(qds_anderson) *a = NULL;
  double x[N] = {0}, g[N], plain[N];
  assert_ok(qds_anderson_create(ctx, qds_context_stream(ctx), N, 3, &a));
  for (int k = 0; k < 3; k++) {
    image(3, x, g);
    next(ctx, a, x, g);
    memcpy(x, g, sizeof x);
  }
  qds_anderson_reset(a);
  image(3, x, g);
  memcpy(plain, g, sizeof g);
  next(ctx, a, x, g);
  assert_memory_equal(g, plain, sizeof g);
}

static qds_status create(qds_context *ctx, void *data) {
  QDS_AUTO(qds_anderson) *a = NULL;
  (void)data;
  return qds_anderson_create(ctx, qds_context_stream(ctx), N, 3, &a);
}

static void out_of_memory(qds_context *ctx) {
  assert_true(fail_each_allocation(ctx, create, NULL) >= 1);
}

#define TEST_IN_CONTEXT(name)                                                                                \
  static void test_##name(void **state) {                                                                    \
    (void)state;                                                                                             \
    with_context(1, name);                                                                                   \
  }
TEST_IN_CONTEXT(ends_with_the_rates)
TEST_IN_CONTEXT(keeps_converging)
TEST_IN_CONTEXT(stands_still)
TEST_IN_CONTEXT(forgets)
TEST_IN_CONTEXT(out_of_memory)

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_ends_with_the_rates), cmocka_unit_test(test_keeps_converging),
      cmocka_unit_test(test_stands_still),        cmocka_unit_test(test_forgets),
      cmocka_unit_test(test_out_of_memory),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}

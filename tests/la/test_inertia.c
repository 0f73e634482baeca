/* Counts of levels below a value against dense eigenvalues. */
#include "tensor_support.h"

#include "la/blas.h"
#include "la/inertia.h"

static int64_t count(qds_context *ctx, const qds_tensor_operator *t, double value, double *uncertainty) {
  int64_t below;
  assert_ok(qds_inertia_count(ctx, t, value, &below, uncertainty));
  assert_true(*uncertainty > 0);
  return below;
}

/* Just below and just above every level, all orders, ends and gradings. */
static void counts_are_those_of_the_dense_matrix(qds_context *ctx) {
  for (uint64_t seed = 1; seed <= 120; seed++) {
    axis_plan plan[3];
    int by_element[3];
    plan_random(seed, 1, 90, plan, by_element);
    tensor_problem p = problem_make(ctx, plan, by_element);
    problem_fill_random(&p, seed, 10, 200);
    const int64_t rows = p.t->rows;
    double *matrix = reference_matrix(p.t), *levels = calloc((size_t)rows, sizeof *levels), uncertainty;
    assert_ok(qds_symmetric_eigen(ctx, (int)rows, matrix, levels));
    const double size = fmax(fabs(levels[0]), fabs(levels[rows - 1]));
    for (int64_t i = 0; i < rows; i++)
      for (int side = -1; side <= 1; side += 2) {
        double step = 1e-12 * size; /* of the dense values' rounding and more */
        int64_t found = count(ctx, p.t, levels[i] + side * step, &uncertainty);
        while (uncertainty > 0.5 * step) {
          step *= 2;
          found = count(ctx, p.t, levels[i] + side * step, &uncertainty);
        }
        int64_t below = 0;
        while (below < rows && levels[below] < levels[i] + side * step) below++;
        assert_true(step < 1e-8 * size);
        int near = 0; /* another level within the rounding of this value */
        for (int64_t k = 0; k < rows; k++) near |= fabs(levels[k] - levels[i] - side * step) < 0.9 * step;
        if (!near && found != below)
          fail_msg("seed %d: %d levels below level %d %+.2g, counted %d", (int)seed, (int)below, (int)i,
                   side * step, (int)found);
      }
    assert_int_equal(count(ctx, p.t, levels[0] - 1, &uncertainty), 0);
    assert_int_equal(count(ctx, p.t, levels[rows - 1] + 1, &uncertainty), rows);
    free(levels);
    free(matrix);
    problem_clear(&p);
  }
}

/* The levels of a ring come in pairs: (2 pi k / length)^2. */
static void pairs_on_a_long_ring_are_counted(qds_context *ctx) {
  for (int order = 1; order <= 4; order++) {
    const axis_plan plan[3] = {
        {0}, {0}, {order, 20000 / order, {QDS_PERIODIC, QDS_PERIODIC}, 2 * acos(-1), 1}};
    tensor_problem p = problem_make(ctx, plan, (const int[3]){1, 1, 1});
    double uncertainty;
    for (int k = 1; k < 30; k++) {
      assert_int_equal(count(ctx, p.t, k * k - 0.3, &uncertainty), 2 * k - 1);
      assert_true(uncertainty < 0.1);
      assert_int_equal(count(ctx, p.t, k * k + 0.3, &uncertainty), 2 * k + 1);
      assert_true(uncertainty < 0.1);
    }
    problem_clear(&p);
  }
}

/* The value may hit a diagonal entry: the first pivot vanishes. */
static void vanishing_pivot_is_survived(qds_context *ctx) {
  const axis_plan plan[3] = {{0}, {0}, {1, 10, {QDS_DIRICHLET, QDS_DIRICHLET}, 10, 1}};
  tensor_problem p = problem_make(ctx, plan, (const int[3]){1, 1, 1});
  double uncertainty; /* levels 2 - 2 cos(k pi / 10), k = 1 to 9: the fifth is 2, the diagonal */
  assert_int_equal(count(ctx, p.t, 2 - 1e-12, &uncertainty), 4);
  assert_int_equal(count(ctx, p.t, 2 + 1e-12, &uncertainty), 5);
  const int64_t at_level = count(ctx, p.t, 2, &uncertainty);
  assert_true(at_level == 4 || at_level == 5);
  problem_clear(&p);

  /* On a ring five of ten levels lie below 2. What the small pivot spoils, the uncertainty owns up to. */
  const axis_plan ring[3] = {{0}, {0}, {1, 10, {QDS_PERIODIC, QDS_PERIODIC}, 10, 1}};
  p = problem_make(ctx, ring, (const int[3]){1, 1, 1});
  const int64_t below = count(ctx, p.t, 2, &uncertainty);
  assert_true(isfinite(uncertainty));
  if (uncertainty < 0.6) assert_int_equal(below, 5);
  assert_int_equal(count(ctx, p.t, 2 + 1e-4, &uncertainty), 5);
  assert_true(uncertainty < 0.1);
  problem_clear(&p);
}

static void what_cannot_be_counted_is_refused(qds_context *ctx) {
  const axis_plan line[3] = {{0}, {0}, {2, 10, {QDS_DIRICHLET, QDS_DIRICHLET}, 10, 1}},
                  area[3] = {{0}, line[2], line[2]};
  tensor_problem p = problem_make(ctx, line, (const int[3]){1, 1, 1}),
                 q = problem_make(ctx, area, (const int[3]){1, 1, 1});
  int64_t below;
  double uncertainty;
  assert_true(qds_inertia_applies(p.t) && !qds_inertia_applies(q.t));
  assert_fails(qds_inertia_count(ctx, q.t, 1, &below, &uncertainty), QDS_ERROR_ARGUMENT, "one-dimensional");
  assert_fails(qds_inertia_count(ctx, p.t, NAN, &below, &uncertainty), QDS_ERROR_NUMERIC, "below nan");
  p.t->v[3] = INFINITY;
  assert_fails(qds_inertia_count(ctx, p.t, 1, &below, &uncertainty), QDS_ERROR_NUMERIC, "infinite");
  problem_clear(&p);
  problem_clear(&q);
}

static qds_status count_ring(qds_context *ctx, void *data) {
  int64_t below;
  double uncertainty;
  return qds_inertia_count(ctx, data, 1, &below, &uncertainty);
}

static void memory_runs_out(qds_context *ctx) {
  const axis_plan plan[3] = {{0}, {0}, {2, 10, {QDS_PERIODIC, QDS_PERIODIC}, 10, 1}};
  tensor_problem p = problem_make(ctx, plan, (const int[3]){1, 1, 1});
  assert_int_equal(fail_each_allocation(ctx, count_ring, p.t), 3);
  problem_clear(&p);
}

#define TEST_IN_CONTEXT(name)                                                                                \
  static void test_##name(void **state) {                                                                    \
    (void)state;                                                                                             \
    with_context(1, name);                                                                                   \
  }
TEST_IN_CONTEXT(counts_are_those_of_the_dense_matrix)
TEST_IN_CONTEXT(pairs_on_a_long_ring_are_counted)
TEST_IN_CONTEXT(vanishing_pivot_is_survived)
TEST_IN_CONTEXT(what_cannot_be_counted_is_refused)
TEST_IN_CONTEXT(memory_runs_out)

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_counts_are_those_of_the_dense_matrix),
      cmocka_unit_test(test_pairs_on_a_long_ring_are_counted),
      cmocka_unit_test(test_vanishing_pivot_is_survived),
      cmocka_unit_test(test_what_cannot_be_counted_is_refused),
      cmocka_unit_test(test_memory_runs_out),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}

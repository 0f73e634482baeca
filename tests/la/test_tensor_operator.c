/* The matrix-free operator against its dense matrix from the definition; symmetry; orders of convergence. */
#include "tensor_support.h"

#include "la/blas.h"

/* y = A x for every unit vector, two at a time. */
static double *applied_matrix(qds_context *ctx, qds_tensor_operator *t) {
  const qds_operator a = qds_tensor_operator_apply(t);
  double *matrix = calloc((size_t)(t->rows * t->rows), sizeof *matrix);
  qds_block x = {0}, y = {0};
  assert_int_equal(a.rows, t->rows);
  assert_ok(qds_block_create(ctx, t->rows, 2, "test", &x));
  assert_ok(qds_block_create(ctx, t->rows, 2, "test", &y));
  for (int64_t j = 0; j < t->rows; j += 2) {
    memset(x.data, 0, sizeof(double) * (size_t)(2 * x.stride));
    x.data[j] = 1;
    if (j + 1 < t->rows) qds_block_column(&x, 1)[j + 1] = 1;
    assert_ok(a.apply(a.self, ctx, &x, &y));
    for (int64_t c = 0; c < 2 && j + c < t->rows; c++)
      memcpy(matrix + (j + c) * t->rows, qds_block_column(&y, (int)c), sizeof(double) * (size_t)t->rows);
  }
  qds_block_clear(&x);
  qds_block_clear(&y);
  return matrix;
}

static void agrees_with_the_definition(qds_context *ctx) {
  for (int dimensions = 1; dimensions <= 3; dimensions++)
    for (uint64_t seed = 1; seed <= 40; seed++) {
      axis_plan plan[3];
      int by_element[3];
      plan_random(1000 * (uint64_t)dimensions + seed, dimensions,
                  dimensions == 1   ? 60
                  : dimensions == 2 ? 14
                                    : 6,
                  plan, by_element);
      tensor_problem p = problem_make(ctx, plan, by_element);
      problem_fill_random(&p, seed, 10, 5);
      double *expected = reference_matrix(p.t), *matrix = applied_matrix(ctx, p.t), largest = 0;
      for (int64_t i = 0; i < p.t->rows * p.t->rows; i++) largest = fmax(largest, fabs(expected[i]));
      for (int64_t i = 0; i < p.t->rows * p.t->rows; i++)
        if (!(fabs(matrix[i] - expected[i]) <= 1e-13 * largest))
          fail_msg("%dD, seed %d: entry %d, %d of %d rows is %.17g, not %.17g", dimensions, (int)seed,
                   (int)(i % p.t->rows), (int)(i / p.t->rows), (int)p.t->rows, matrix[i], expected[i]);
      free(expected);
      free(matrix);
      problem_clear(&p);
    }
}

static void coefficients_are_found_where_the_header_says(qds_context *ctx) {
  const axis_plan plan[3] = {{1, 3, {QDS_NEUMANN, QDS_NEUMANN}, 1, 1},
                             {2, 2, {QDS_DIRICHLET, QDS_DIRICHLET}, 1, 1},
                             {1, 4, {QDS_PERIODIC, QDS_PERIODIC}, 1, 1}};
  tensor_problem p = problem_make(ctx, plan, (const int[3]){0, 1, 0});
  const qds_tensor_operator *t = p.t;
  assert_int_equal(t->rows, 4 * 3 * 4);
  assert_int_equal(qds_tensor_operator_coefficients(t, 0), 3 * 3 * 4);
  assert_int_equal(qds_tensor_operator_coefficients(t, 1), 2);
  assert_int_equal(qds_tensor_operator_coefficients(t, 2), 4 * 3 * 4);
  for (int a = 0; a < 3; a++)
    for (int64_t i = 0; i < qds_tensor_operator_coefficients(t, a); i++) t->c[a][i] = (double)i;
  assert_close(qds_tensor_operator_coefficient(t, 0, 2, -1, 1, 3), (2 * 3 + 1) * 4 + 3, 0);
  assert_close(qds_tensor_operator_coefficient(t, 1, 1, 3, -1, 2), 1, 0);
  assert_close(qds_tensor_operator_coefficient(t, 2, 3, 2, 1, -1), (2 * 3 + 1) * 4 + 3, 0);
  problem_clear(&p);
}

static double dot(const double *a, const double *b, int64_t n) {
  double sum = 0;
  for (int64_t i = 0; i < n; i++) sum += a[i] * b[i];
  return sum;
}

/* Grids large enough for several threads. */
static tensor_problem large_problem(qds_context *ctx, uint64_t seed) {
  axis_plan plan[3];
  int by_element[3];
  plan_random(seed, 3, 24, plan, by_element);
  for (int a = 0; a < 3; a++) plan[a].elements = 19 / plan[a].order + 1;
  tensor_problem p = problem_make(ctx, plan, by_element);
  problem_fill_random(&p, seed, 10, 5);
  assert_true(p.t->rows > 4096);
  return p;
}

static void large_operators_are_symmetric(qds_context *ctx) {
  for (uint64_t seed = 1; seed <= 12; seed++) {
    tensor_problem p = large_problem(ctx, seed);
    const qds_operator a = qds_tensor_operator_apply(p.t);
    qds_block x = {0}, y = {0};
    assert_ok(qds_block_create(ctx, p.t->rows, 2, "test", &x));
    assert_ok(qds_block_create(ctx, p.t->rows, 2, "test", &y));
    qds_block_fill_random(ctx, &x, seed);
    assert_ok(a.apply(a.self, ctx, &x, &y));
    const double *x1 = qds_block_column(&x, 1), *y1 = qds_block_column(&y, 1);
    const double size = sqrt(dot(x.data, x.data, p.t->rows) * dot(y1, y1, p.t->rows));
    assert_close(dot(x.data, y1, p.t->rows), dot(y.data, x1, p.t->rows), 1e-13 * size);
    qds_block_clear(&x);
    qds_block_clear(&y);
    problem_clear(&p);
  }
}

static qds_block from_one_thread;

static void apply_large(qds_context *ctx, qds_block *y) {
  tensor_problem p = large_problem(ctx, 7);
  const qds_operator a = qds_tensor_operator_apply(p.t);
  qds_block x = {0};
  assert_ok(qds_block_create(ctx, p.t->rows, 3, "test", &x));
  assert_ok(qds_block_create(ctx, p.t->rows, 3, "test", y));
  qds_block_fill_random(ctx, &x, 1);
  assert_ok(a.apply(a.self, ctx, &x, y));
  qds_block_clear(&x);
  problem_clear(&p);
}

static void apply_on_one(qds_context *ctx) {
  qds_block y;
  apply_large(ctx, &y);
  from_one_thread = y;
  from_one_thread.data = malloc(sizeof(double) * (size_t)(3 * y.stride));
  memcpy(from_one_thread.data, y.data, sizeof(double) * (size_t)(3 * y.stride));
  qds_block_clear(&y);
}

static void apply_on_several(qds_context *ctx) {
  qds_block y;
  apply_large(ctx, &y);
  for (int j = 0; j < 3; j++)
    assert_memory_equal(qds_block_column(&y, j), qds_block_column(&from_one_thread, j),
                        sizeof(double) * (size_t)y.rows);
  qds_block_clear(&y);
  free(from_one_thread.data);
}

static void test_threads_change_nothing(void **state) {
  (void)state;
  with_context(1, apply_on_one);
  with_context(3, apply_on_several);
}

/* The error of level `level` of the harmonic oscillator -u'' + x^2 u, whose levels are 1, 3, 5 ... times the
 * number of dimensions. */
static double oscillator_error(qds_context *ctx, int dimensions, int order, int64_t elements, int level) {
  axis_plan plan[3] = {{0}};
  for (int a = 3 - dimensions; a < 3; a++)
    plan[a] = (axis_plan){order, elements, {QDS_DIRICHLET, QDS_DIRICHLET}, 12, 1};
  tensor_problem p = problem_make(ctx, plan, (const int[3]){0, 0, 0});
  for (int64_t i = 0; i < p.t->rows; i++) {
    int64_t rest = i;
    for (int a = 2; a >= 3 - dimensions; a--) {
      const double x = p.axis[a]->coordinates_nm[rest % p.t->n[a] + p.axis[a]->first] - 6;
      p.t->v[i] += x * x;
      rest /= p.t->n[a];
    }
  }
  double *matrix = applied_matrix(ctx, p.t), *values = calloc((size_t)p.t->rows, sizeof *values);
  assert_ok(qds_symmetric_eigen(ctx, (int)p.t->rows, matrix, values));
  const double error = values[level] - (dimensions + 2 * level);
  free(matrix);
  free(values);
  problem_clear(&p);
  return error;
}

static void levels_converge_at_twice_the_order(qds_context *ctx) {
  static const int64_t elements[] = {0, 60, 24, 20, 16};
  for (int order = 1; order <= 4; order++)
    for (int level = 0; level <= 2; level += 2) {
      const double coarse = oscillator_error(ctx, 1, order, elements[order], level),
                   fine = oscillator_error(ctx, 1, order, 2 * elements[order], level);
      print_message("order %d, level %d: errors %.2e, %.2e, rate %.2f\n", order, level, coarse, fine,
                    log2(fabs(coarse / fine)));
      assert_true(fabs(coarse) > 1e-9 && fabs(fine) < 0.05);
      assert_close(log2(fabs(coarse / fine)), 2 * order, 0.35);
    }
  const double coarse = oscillator_error(ctx, 2, 2, 9, 0), fine = oscillator_error(ctx, 2, 2, 18, 0);
  assert_true(log2(fabs(coarse / fine)) > 3.4);
}

/* Levels k^2 of a ring and a box with free ends, from the whole operator: the ends are right. */
static void ends_do_what_their_names_say(qds_context *ctx) {
  static const struct {
    qds_boundary ends[2];
    double levels[5]; /* square roots of the levels, in units of pi / length */
  } kinds[] = {{{QDS_DIRICHLET, QDS_DIRICHLET}, {1, 2, 3, 4, 5}},
               {{QDS_NEUMANN, QDS_NEUMANN}, {0, 1, 2, 3, 4}},
               {{QDS_NEUMANN, QDS_DIRICHLET}, {0.5, 1.5, 2.5, 3.5, 4.5}},
               {{QDS_DIRICHLET, QDS_NEUMANN}, {0.5, 1.5, 2.5, 3.5, 4.5}},
               {{QDS_PERIODIC, QDS_PERIODIC}, {0, 2, 2, 4, 4}}};
  for (int kind = 0; kind < 5; kind++) {
    const axis_plan plan[3] = {
        {0}, {0}, {4, 16, {kinds[kind].ends[0], kinds[kind].ends[1]}, acos(-1), kind % 2 ? 1 : 2}};
    tensor_problem p = problem_make(ctx, plan, (const int[3]){1, 1, 1});
    double *matrix = applied_matrix(ctx, p.t), values[65];
    assert_ok(qds_symmetric_eigen(ctx, (int)p.t->rows, matrix, values));
    for (int i = 0; i < 5; i++) assert_close(values[i], pow(kinds[kind].levels[i], 2), 1e-5);
    free(matrix);
    problem_clear(&p);
  }
}

static void too_many_unknowns_are_refused(qds_context *ctx) {
  const qds_axis huge = {.order = 1, .unknowns = (int64_t)1 << 30};
  const qds_axis *const axes[3] = {&huge, &huge, &huge};
  qds_tensor_operator *t = (void *)1;
  assert_fails(qds_tensor_operator_create(ctx, axes, (const int[3]){0, 0, 0}, &t), QDS_ERROR_INPUT, "2^63");
  assert_null(t);
}

static qds_status create_and_apply(qds_context *ctx, void *data) {
  QDS_AUTO(qds_tensor_operator) *t = NULL;
  const tensor_problem *p = data;
  return qds_tensor_operator_create(ctx, (const qds_axis *const[3]){p->axis[0], p->axis[1], p->axis[2]},
                                    (const int[3]){0, 0, 0}, &t);
}

static void memory_runs_out(qds_context *ctx) {
  const axis_plan plan[3] = {{0}, {2, 4, {QDS_NEUMANN, QDS_NEUMANN}, 1, 1}, {1, 5, {QDS_DIRICHLET, 0}, 1, 1}};
  tensor_problem p = problem_make(ctx, plan, (const int[3]){0, 0, 0});
  assert_true(fail_each_allocation(ctx, create_and_apply, &p) >= 8);
  problem_clear(&p);
}

#define TEST_IN_CONTEXT(name)                                                                                \
  static void test_##name(void **state) {                                                                    \
    (void)state;                                                                                             \
    with_context(2, name);                                                                                   \
  }
TEST_IN_CONTEXT(agrees_with_the_definition)
TEST_IN_CONTEXT(coefficients_are_found_where_the_header_says)
TEST_IN_CONTEXT(large_operators_are_symmetric)
TEST_IN_CONTEXT(levels_converge_at_twice_the_order)
TEST_IN_CONTEXT(ends_do_what_their_names_say)
TEST_IN_CONTEXT(too_many_unknowns_are_refused)
TEST_IN_CONTEXT(memory_runs_out)

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_agrees_with_the_definition),
      cmocka_unit_test(test_coefficients_are_found_where_the_header_says),
      cmocka_unit_test(test_large_operators_are_symmetric),
      cmocka_unit_test(test_threads_change_nothing),
      cmocka_unit_test(test_levels_converge_at_twice_the_order),
      cmocka_unit_test(test_ends_do_what_their_names_say),
      cmocka_unit_test(test_too_many_unknowns_are_refused),
      cmocka_unit_test(test_memory_runs_out),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}

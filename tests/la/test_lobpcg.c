/* LOBPCG against dense diagonalisation, and where it must give up with a reason. */
#include "support.h"

#include "base/philox.h"
#include "la/blas.h"
#include "la/lobpcg.h"

enum { MOST_ROWS = 240, MOST_VECTORS = 32 };

/* A = Q diag(values) Q^T and, as preconditioner, Q diag(inverse) Q^T. */
typedef struct {
  int n;
  double q[MOST_ROWS * MOST_ROWS], values[MOST_ROWS], inverse[MOST_ROWS];
  int poison; /* applications until one of the operator returns NaN; 0: never */
} dense;

static void spectral_product(const dense *d, const double *values, const qds_block *x, qds_block *y) {
  const int n = d->n;
  for (int c = 0; c < x->columns; c++) {
    double result[MOST_ROWS] = {0};
    for (int k = 0; k < n; k++) {
      double along = 0;
      for (int i = 0; i < n; i++) along += d->q[k * n + i] * qds_block_column(x, c)[i];
      for (int i = 0; i < n; i++) result[i] += values[k] * along * d->q[k * n + i];
    }
    memcpy(qds_block_column(y, c), result, sizeof(double) * (size_t)n);
  }
}

static qds_status apply_dense(void *self, qds_context *ctx, const qds_block *x, qds_block *y) {
  dense *d = self;
  (void)ctx;
  spectral_product(d, d->values, x, y);
  if (d->poison && --d->poison == 0) y->data[d->n / 2] = NAN;
  return QDS_OK;
}

static qds_status apply_inverse(void *self, qds_context *ctx, const qds_block *x, qds_block *y) {
  const dense *d = self;
  (void)ctx;
  spectral_product(d, d->inverse, x, y);
  return QDS_OK;
}

static qds_status apply_nan(void *self, qds_context *ctx, const qds_block *x, qds_block *y) {
  (void)self;
  (void)ctx;
  (void)x;
  y->data[0] = NAN;
  return QDS_OK;
}

static qds_operator dense_operator(dense *d) {
  return (qds_operator){d, d->n, "dense matrix", apply_dense};
}

static qds_operator dense_inverse(dense *d) {
  return (qds_operator){d, d->n, "dense inverse", apply_inverse};
}

/* Eigenpairs of a random symmetric matrix; their values may be replaced afterwards. The inverse is that of
 * the matrix with each value above its lowest off by up to a factor of 2. */
static void random_dense(qds_context *ctx, int n, uint64_t seed, dense *d) {
  d->n = n;
  d->poison = 0;
  for (int j = 0; j < n; j++)
    for (int i = 0; i <= j; i++)
      d->q[i * n + j] = d->q[j * n + i] = qds_random_normal(seed, 1, (uint64_t)(j * n + i));
  assert_ok(qds_symmetric_eigen(ctx, n, d->q, d->values));
}

static void set_inverse(dense *d, uint64_t seed) {
  for (int i = 0; i < d->n; i++)
    d->inverse[i] = (1 + qds_random_uniform(seed, 2, (uint64_t)i)) /
                    (d->values[i] - d->values[0] + 0.1 * fabs(d->values[0]));
}

typedef struct {
  qds_block x;
  double values[MOST_VECTORS], residuals[MOST_VECTORS];
  qds_lobpcg_statistics statistics;
} solution;

static qds_status solve(qds_context *ctx, const qds_lobpcg_options *options, int vectors, uint64_t stream,
                        solution *s) {
  QDS_TRY(qds_block_create(ctx, options->operator_->rows, vectors, "test", &s->x));
  qds_block_fill_random(ctx, &s->x, stream);
  return qds_lobpcg(ctx, options, &s->x, s->values, s->residuals, &s->statistics);
}

/* The values are the lowest, the vectors orthonormal, the residuals what they are said to be. */
static void check_solution(qds_context *ctx, const qds_lobpcg_options *o, const double *expected,
                           solution *s) {
  const int m = s->x.columns;
  double gram[MOST_VECTORS * MOST_VECTORS];
  qds_block image = {0};
  assert_ok(qds_block_create(ctx, s->x.rows, m, "test", &image));
  assert_ok(o->operator_->apply(o->operator_->self, ctx, &s->x, &image));
  assert_ok(qds_block_gram(ctx, &s->x, &s->x, gram));
  for (int j = 0; j < m; j++) {
    double square = 0;
    for (int i = 0; i < m; i++) assert_close(gram[j * m + i], i == j ? 1 : 0, 1e-12);
    for (int64_t i = 0; i < s->x.rows; i++)
      square += pow(qds_block_column(&image, j)[i] - s->values[j] * qds_block_column(&s->x, j)[i], 2);
    assert_close(s->residuals[j], sqrt(square), 1e-12 * fabs(expected[m]) + 1e-3 * sqrt(square));
    assert_true(j == 0 || s->values[j - 1] <= s->values[j]);
    if (j >= o->wanted) continue;
    assert_true(s->residuals[j] <= o->tolerance + o->relative_tolerance * (s->values[j] - o->floor));
    assert_close(s->values[j], expected[j], s->residuals[j] + 1e-12 * fabs(expected[m]));
  }
  qds_block_clear(&image);
}

static dense matrix;

static void random_matrices_agree_with_dense(qds_context *ctx) {
  for (uint64_t seed = 1; seed <= 12; seed++) {
    const int n = 40 + (int)(200 * qds_random_uniform(seed, 9, 0)),
              wanted = 1 + (int)(6 * qds_random_uniform(seed, 9, 1)), preconditioned = seed % 2 == 0;
    random_dense(ctx, n, seed, &matrix);
    set_inverse(&matrix, seed);
    const qds_operator a = dense_operator(&matrix), b = dense_inverse(&matrix);
    const qds_lobpcg_options options = {.operator_ = &a,
                                        .preconditioner = preconditioned ? &b : NULL,
                                        .wanted = wanted,
                                        .tolerance = 1e-8,
                                        .floor = matrix.values[0],
                                        .max_iterations = 500,
                                        .phase = "test"};
    solution s;
    print_message("seed %d: %d rows, %d states\n", (int)seed, n, wanted);
    assert_ok(solve(ctx, &options, wanted + 3, seed, &s));
    check_solution(ctx, &options, matrix.values, &s);
    assert_true(s.statistics.iterations < (preconditioned ? 40 : 300));
    assert_int_equal(s.statistics.preconditioner_applications > 0, preconditioned);
    qds_block_clear(&s.x);
  }
}

/* A spectrum of which the lowest levels are given and the rest is 10, 11, 12 ... */
static void set_lowest(const double *low, int count) {
  for (int i = 0; i < matrix.n; i++) matrix.values[i] = i < count ? low[i] : 10 + i - count;
  set_inverse(&matrix, 77);
}

static void degenerate_and_clustered_levels_are_all_found(qds_context *ctx) {
  static const double low[][6] = {{1, 1, 1, 2, 2, 3},
                                  {-1, -1 + 1e-12, -1 + 1e-9, -1 + 1e-6, 0, 0},
                                  {1, 2, 2, 2, 2, 2},
                                  {1, 1, 1, 1, 1, 1},
                                  {1e-9, 1, 1, 1.000001, 5, 5}};
  random_dense(ctx, 120, 5, &matrix);
  for (int spectrum = 0; spectrum < 5; spectrum++)
    for (int wanted = 1; wanted <= 6; wanted++) { /* some of these cut a level in two */
      set_lowest(low[spectrum], 6);
      const qds_operator a = dense_operator(&matrix), b = dense_inverse(&matrix);
      const qds_lobpcg_options options = {.operator_ = &a,
                                          .preconditioner = wanted % 2 ? &b : NULL,
                                          .wanted = wanted,
                                          .relative_tolerance = 1e-9,
                                          .floor = -10,
                                          .max_iterations = 1000,
                                          .phase = "test"};
      solution s;
      assert_ok(solve(ctx, &options, wanted + 2, 3, &s));
      check_solution(ctx, &options, matrix.values, &s);
      qds_block_clear(&s.x);
    }
}

/* When there are a third as many vectors as rows or more, the search directions soon hold nothing but
 * rounding, which shows when they are asked for nearly all digits. */
static void few_rows_for_many_vectors(qds_context *ctx) {
  for (int n = 1; n <= 24; n++)
    for (int m = n > 4 ? n / 3 : 1; m <= n; m += n > 12 ? 3 : 1) {
      random_dense(ctx, n, (uint64_t)(100 * n + m), &matrix);
      const qds_operator a = dense_operator(&matrix);
      const qds_lobpcg_options options = {
          .operator_ = &a, .wanted = m, .tolerance = 2e-13, .max_iterations = 200, .phase = "test"};
      solution s;
      matrix.values[n] = matrix.values[n - 1];
      assert_ok(solve(ctx, &options, m, 1, &s));
      check_solution(ctx, &options, matrix.values, &s);
      qds_block_clear(&s.x);
    }
}

static void deflated_levels_stay_away(qds_context *ctx) {
  static const double low[] = {1, 1, 2, 2, 2, 3};
  random_dense(ctx, 90, 8, &matrix);
  set_lowest(low, 6);
  const qds_operator a = dense_operator(&matrix), b = dense_inverse(&matrix);
  const qds_block found = {matrix.q, 90, 90, 3, NULL}; /* both of level 1, one of level 2 */
  const qds_lobpcg_options options = {.operator_ = &a,
                                      .preconditioner = &b,
                                      .deflate = &found,
                                      .wanted = 3,
                                      .tolerance = 1e-10,
                                      .max_iterations = 300,
                                      .phase = "test"};
  double overlap[3 * MOST_VECTORS];
  solution s;
  assert_ok(solve(ctx, &options, 5, 3, &s));
  check_solution(ctx, &options, matrix.values + 3, &s);
  assert_ok(qds_block_gram(ctx, &found, &s.x, overlap));
  for (int i = 0; i < 3 * 5; i++) assert_close(overlap[i], 0, 1e-13);
  qds_block_clear(&s.x);
}

/* Start vectors that span less than they should are completed at random. */
static void poor_start_vectors_are_replaced(qds_context *ctx) {
  random_dense(ctx, 60, 21, &matrix);
  set_inverse(&matrix, 21);
  const qds_operator a = dense_operator(&matrix), b = dense_inverse(&matrix);
  const qds_lobpcg_options options = {.operator_ = &a,
                                      .preconditioner = &b,
                                      .wanted = 4,
                                      .tolerance = 1e-9,
                                      .max_iterations = 300,
                                      .phase = "test"};
  for (int kind = 0; kind < 4; kind++) {
    solution s;
    assert_ok(qds_block_create(ctx, 60, 6, "test", &s.x));
    qds_block_fill_random(ctx, &s.x, 1);
    for (int j = 0; j < 6; j++)
      for (int i = 0; i < 60; i++) {
        double *u = qds_block_column(&s.x, j) + i;
        if (kind == 0) *u = 0;                                     /* nothing at all */
        if (kind == 1 && j > 1) *u = qds_block_column(&s.x, 0)[i]; /* copies */
        if (kind == 2 && j > 0) *u = s.x.data[i] + 1e-6 * *u;      /* nearly copies */
        if (kind == 3) *u *= pow(1e-40, j);                        /* of every length */
      }
    assert_ok(qds_lobpcg(ctx, &options, &s.x, s.values, s.residuals, &s.statistics));
    check_solution(ctx, &options, matrix.values, &s);
    qds_block_clear(&s.x);
  }
}

static qds_status attempt(qds_context *ctx, const qds_lobpcg_options *options, int vectors) {
  solution s = {0};
  const qds_status status = solve(ctx, options, vectors, 1, &s);
  qds_block_clear(&s.x);
  return status;
}

static void what_cannot_work_is_an_error(qds_context *ctx) {
  random_dense(ctx, 80, 33, &matrix);
  const qds_operator a = dense_operator(&matrix), nan_operator = {NULL, 80, "bad inverse", apply_nan};
  qds_lobpcg_options options = {
      .operator_ = &a, .wanted = 3, .tolerance = 1e-8, .max_iterations = 5, .phase = "levels"};
  assert_fails(attempt(ctx, &options, 4), QDS_ERROR_CONVERGENCE, "levels: not converged after 5 iterations");
  assert_fails(attempt(ctx, &options, 4), QDS_ERROR_CONVERGENCE, "wanted 1.00e-08");
  assert_fails(attempt(ctx, &options, 2), QDS_ERROR_ARGUMENT, "3 wanted of 2 vectors");
  assert_fails(attempt(ctx, &options, 81), QDS_ERROR_ARGUMENT, "81 vectors");
  options.max_iterations = 400;
  options.tolerance = 0;
  assert_fails(attempt(ctx, &options, 4), QDS_ERROR_CONVERGENCE, "tolerance");
  options.tolerance = 1e-8;
  for (int application = 1; application <= 4; application++) {
    matrix.poison = application;
    assert_fails(attempt(ctx, &options, 4), QDS_ERROR_NUMERIC, "dense matrix");
  }
  matrix.poison = 0;
  options.preconditioner = &nan_operator;
  assert_fails(attempt(ctx, &options, 4), QDS_ERROR_NUMERIC, "bad inverse");
}

static int stop_after_three(void *self, const double *eigenvalues, const double *residuals) {
  assert_true(isfinite(eigenvalues[0]) && residuals[0] > 0);
  return ++*(int *)self == 3;
}

static void caller_may_stop(qds_context *ctx) {
  int asked = 0;
  random_dense(ctx, 80, 34, &matrix);
  const qds_operator a = dense_operator(&matrix);
  const qds_lobpcg_options options = {.operator_ = &a,
                                      .wanted = 3,
                                      .tolerance = 1e-10,
                                      .max_iterations = 300,
                                      .phase = "test",
                                      .stop = stop_after_three,
                                      .stop_self = &asked};
  solution s;
  assert_ok(solve(ctx, &options, 4, 1, &s));
  assert_int_equal(asked, 3);
  assert_int_equal(s.statistics.iterations, 2);
  assert_true(s.residuals[0] > 1e-10);
  qds_block_clear(&s.x);
}

static int refuse(void *user, const char *phase, double fraction, const char *detail) {
  assert_string_equal(phase, "long work");
  assert_true(fraction >= 0 && fraction <= 1 && strstr(detail, "residual"));
  ++*(int *)user;
  return 1;
}

static void test_progress_interrupts(void **state) {
  (void)state;
  int calls = 0;
  qds_context *ctx = NULL;
  qds_context_options with_progress = QDS_CONTEXT_OPTIONS_INIT;
  with_progress.threads = 1;
  with_progress.progress = refuse;
  with_progress.user = &calls;
  assert_ok(qds_context_create(&with_progress, &ctx));
  random_dense(ctx, 80, 35, &matrix);
  const qds_operator a = dense_operator(&matrix);
  const qds_lobpcg_options options = {
      .operator_ = &a, .wanted = 2, .tolerance = 1e-9, .max_iterations = 300, .phase = "long work"};
  qds_memory_row before, after;
  qds_context_memory(ctx, &before);
  assert_int_equal(attempt(ctx, &options, 4), QDS_ERROR_INTERRUPTED);
  assert_int_equal(calls, 1);
  qds_context_memory(ctx, &after);
  assert_int_equal(before.current_bytes, after.current_bytes);
  qds_context_destroy(ctx);
}

static qds_status attempt_for_memory(qds_context *ctx, void *data) {
  return attempt(ctx, data, 4);
}

static void memory_runs_out(qds_context *ctx) {
  random_dense(ctx, 20, 36, &matrix);
  set_inverse(&matrix, 36);
  const qds_operator a = dense_operator(&matrix), b = dense_inverse(&matrix);
  const qds_block found = {matrix.q, 20, 20, 1, NULL};
  qds_lobpcg_options options = {.operator_ = &a,
                                .preconditioner = &b,
                                .deflate = &found,
                                .wanted = 2,
                                .tolerance = 1e-3,
                                .max_iterations = 300,
                                .phase = "test"};
  assert_ok(attempt(ctx, &options, 4)); /* loads BLAS, which the context keeps */
  assert_true(fail_each_allocation(ctx, attempt_for_memory, &options) > 30);
}

/* A long tridiagonal matrix, so that the passes over the vectors run in parallel. */
enum { LONG_ROWS = 20011, LONG_VECTORS = 5 };

static qds_status apply_long(void *self, qds_context *ctx, const qds_block *x, qds_block *y) {
  (void)self;
  (void)ctx;
  for (int c = 0; c < x->columns; c++) {
    const double *u = qds_block_column(x, c);
    for (int64_t i = 0; i < LONG_ROWS; i++)
      qds_block_column(y, c)[i] =
          (1 + 0.01 * (double)i) * u[i] + 0.3 * ((i > 0 ? u[i - 1] : 0) + (i < LONG_ROWS - 1 ? u[i + 1] : 0));
  }
  return QDS_OK;
}

static qds_status divide_long(void *self, qds_context *ctx, const qds_block *x, qds_block *y) {
  (void)self;
  (void)ctx;
  for (int c = 0; c < x->columns; c++)
    for (int64_t i = 0; i < LONG_ROWS; i++)
      qds_block_column(y, c)[i] = qds_block_column(x, c)[i] / (1 + 0.01 * (double)i);
  return QDS_OK;
}

static double one_thread[LONG_ROWS * LONG_VECTORS], one_thread_values[LONG_VECTORS];

static void solve_long(qds_context *ctx, solution *s) {
  const qds_operator a = {NULL, LONG_ROWS, "long", apply_long}, b = {NULL, LONG_ROWS, "divide", divide_long};
  const qds_lobpcg_options options = {.operator_ = &a,
                                      .preconditioner = &b,
                                      .wanted = 3,
                                      .tolerance = 1e-5,
                                      .max_iterations = 300,
                                      .phase = "test"};
  assert_ok(solve(ctx, &options, LONG_VECTORS, 1, s));
}

static void solve_long_on_one(qds_context *ctx) {
  solution s;
  solve_long(ctx, &s);
  for (int j = 0; j < LONG_VECTORS; j++)
    memcpy(one_thread + j * LONG_ROWS, qds_block_column(&s.x, j), sizeof(double) * LONG_ROWS);
  memcpy(one_thread_values, s.values, sizeof one_thread_values);
  qds_block_clear(&s.x);
}

static void solve_long_on_several(qds_context *ctx) {
  solution s;
  solve_long(ctx, &s);
  assert_memory_equal(s.values, one_thread_values, sizeof one_thread_values);
  for (int j = 0; j < LONG_VECTORS; j++)
    assert_memory_equal(qds_block_column(&s.x, j), one_thread + j * LONG_ROWS, sizeof(double) * LONG_ROWS);
  qds_block_clear(&s.x);
}

static void test_threads_change_nothing(void **state) {
  (void)state;
  with_context(1, solve_long_on_one);
  with_context(3, solve_long_on_several);
}

#define TEST_IN_CONTEXT(name)                                                                                \
  static void test_##name(void **state) {                                                                    \
    (void)state;                                                                                             \
    with_context(1, name);                                                                                   \
  }
TEST_IN_CONTEXT(random_matrices_agree_with_dense)
TEST_IN_CONTEXT(degenerate_and_clustered_levels_are_all_found)
TEST_IN_CONTEXT(few_rows_for_many_vectors)
TEST_IN_CONTEXT(deflated_levels_stay_away)
TEST_IN_CONTEXT(poor_start_vectors_are_replaced)
TEST_IN_CONTEXT(what_cannot_work_is_an_error)
TEST_IN_CONTEXT(caller_may_stop)
TEST_IN_CONTEXT(memory_runs_out)

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_random_matrices_agree_with_dense),
      cmocka_unit_test(test_degenerate_and_clustered_levels_are_all_found),
      cmocka_unit_test(test_few_rows_for_many_vectors),
      cmocka_unit_test(test_deflated_levels_stay_away),
      cmocka_unit_test(test_poor_start_vectors_are_replaced),
      cmocka_unit_test(test_what_cannot_work_is_an_error),
      cmocka_unit_test(test_caller_may_stop),
      cmocka_unit_test(test_progress_interrupts),
      cmocka_unit_test(test_memory_runs_out),
      cmocka_unit_test(test_threads_change_nothing),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}

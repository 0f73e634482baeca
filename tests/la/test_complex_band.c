#include "support.h"

#include <float.h>

#include "base/philox.h"
#include "la/blas.h"
#include "la/complex_nearest.h"

/* A random complex symmetric band matrix with eigenvalues all over a disc. */
static qds_complex_band *random_band(qds_context *ctx, int rows, int width, uint64_t seed) {
  qds_complex_band *a;
  assert_ok(qds_complex_band_create(ctx, rows, width, &a));
  uint64_t index = 0;
  for (int i = 0; i < rows; i++)
    for (int j = i; j < rows && j <= i + width; j++) {
      const double re = qds_random_normal(seed, 0, index), im = qds_random_normal(seed, 1, index++);
      *qds_complex_band_at(a, i, j) = *qds_complex_band_at(a, j, i) = re + I * im;
    }
  return a;
}

/* All eigenvalues by dense LAPACK, nearest to `target` first. */
static double complex *all_eigenvalues(qds_context *ctx, const qds_complex_band *a, double complex target) {
  const int n = a->rows;
  double complex *dense = calloc((size_t)(n * n), sizeof *dense),
                 *vectors = calloc((size_t)(n * n), sizeof *dense);
  double complex *values = calloc((size_t)n, sizeof *values);
  for (int i = 0; i < n; i++)
    for (int j = i - a->width; j <= i + a->width; j++)
      if (j >= 0 && j < n) dense[i + j * n] = *qds_complex_band_at(a, i, j);
  assert_ok(qds_complex_eigen(ctx, n, dense, values, vectors));
  for (int i = 1; i < n; i++)
    for (int k = i; k > 0 && cabs(values[k] - target) < cabs(values[k - 1] - target); k--) {
      const double complex swap = values[k];
      values[k] = values[k - 1];
      values[k - 1] = swap;
    }
  free(dense);
  free(vectors);
  return values;
}

static void check_solve(qds_context *ctx) {
  for (int width = 1; width <= 4; width++) {
    const int rows = 57;
    const double complex shift = 0.3 - 0.2 * I;
    QDS_AUTO(qds_complex_band) *a = random_band(ctx, rows, width, 11 + (uint64_t)width);
    QDS_AUTO(qds_complex_band_factor) *factor = NULL;
    double complex x[57], y[57], b[57];
    for (int i = 0; i < rows; i++) x[i] = b[i] = qds_random_normal(3, 0, (uint64_t)i) + I * i / rows;
    assert_ok(qds_complex_band_factor_create(ctx, a, &factor));
    assert_ok(qds_complex_band_factorise(factor, shift));
    assert_ok(qds_complex_band_solve(factor, x));
    qds_complex_band_apply(a, x, y);
    for (int i = 0; i < rows; i++) assert_close(cabs(y[i] - shift * x[i] - b[i]), 0, 1e-11);
  }
}

static void test_solves_with_a_shifted_band(void **state) {
  (void)state;
  with_context(1, check_solve);
}

static void check_exact_shift(qds_context *ctx) {
  QDS_AUTO(qds_complex_band) *a = NULL;
  QDS_AUTO(qds_complex_band_factor) *factor = NULL;
  double complex x[3] = {1, 1, 1}, work[3];
  qds_complex_pair pair;
  assert_ok(qds_complex_band_create(ctx, 3, 1, &a));
  for (int i = 0; i < 3; i++) *qds_complex_band_at(a, i, i) = i + I;
  assert_ok(qds_complex_band_factor_create(ctx, a, &factor));
  assert_ok(qds_complex_inverse_iteration(factor, a, 1 + I, 1, x, work, &pair));
  assert_close(cabs(pair.value - 1 - I), 0, 1e-15);
  assert_close(cabs(x[1]), 1, 1e-15);
}

static void test_inverse_iteration_with_an_eigenvalue_as_shift(void **state) {
  (void)state;
  with_context(1, check_exact_shift);
}

enum { ROWS = 150, NEAREST = 12 };

static void check_nearest(qds_context *ctx) {
  for (uint64_t seed = 1; seed <= 4; seed++) {
    const int width = (int)seed;
    const double complex target = 0.5 - 0.25 * I;
    QDS_AUTO(qds_complex_band) *a = random_band(ctx, ROWS, width, seed);
    double complex *exact = all_eigenvalues(ctx, a, target), *x = calloc(ROWS * NEAREST, sizeof *x);
    qds_complex_pair pair[NEAREST];
    int64_t steps = 0;
    assert_ok(qds_complex_nearest(ctx, a, target, NEAREST, pair, x, &steps));
    for (int i = 0; i < NEAREST; i++) {
      if (!(cabs(pair[i].value - exact[i]) < 1e-11)) print_error("seed %d\n", (int)seed);
      assert_close(cabs(pair[i].value - exact[i]), 0, 1e-11);
      assert_close(pair[i].residual, 0, 1e-12);
      for (int j = 0; j < NEAREST; j++) { /* orthonormal by the bilinear form */
        double complex product = i == j ? -1 : 0;
        for (int k = 0; k < ROWS; k++) product += x[i * ROWS + k] * x[j * ROWS + k];
        assert_close(cabs(product), 0, 1e-9);
      }
    }
    assert_in_range(steps, NEAREST, ROWS + 2 * NEAREST);
    free(exact);
    free(x);
  }
}

static void test_finds_the_nearest_eigenpairs(void **state) {
  (void)state;
  with_context(1, check_nearest);
}

/* Every eigenvalue of a small matrix: the basis fills the whole space. */
static void check_all(qds_context *ctx) {
  enum { SMALL = 9 };
  QDS_AUTO(qds_complex_band) *a = random_band(ctx, SMALL, 2, 5);
  double complex *exact = all_eigenvalues(ctx, a, 0), x[SMALL * SMALL];
  qds_complex_pair pair[SMALL];
  int64_t steps = 0;
  assert_ok(qds_complex_nearest(ctx, a, 0, SMALL, pair, x, &steps));
  for (int i = 0; i < SMALL; i++) assert_close(cabs(pair[i].value - exact[i]), 0, 1e-11);
  assert_fails(qds_complex_nearest(ctx, a, 0, SMALL + 1, pair, x, &steps), QDS_ERROR_ARGUMENT,
               "10 eigenvalues");
  free(exact);
}

static void test_finds_all_eigenpairs_of_a_small_matrix(void **state) {
  (void)state;
  with_context(1, check_all);
}

/* A diagonal matrix has the unit vectors as invariant subspaces, each of one dimension. */
static void check_invariant(qds_context *ctx) {
  enum { SMALL = 40 };
  QDS_AUTO(qds_complex_band) *a = NULL;
  double complex x[5 * SMALL];
  qds_complex_pair pair[5];
  int64_t steps = 0;
  assert_ok(qds_complex_band_create(ctx, SMALL, 1, &a));
  for (int i = 0; i < SMALL; i++) *qds_complex_band_at(a, i, i) = i % 4; /* few different values */
  assert_ok(qds_complex_nearest(ctx, a, -0.1 + 0.1 * I, 5, pair, x, &steps));
  for (int i = 0; i < 5; i++) assert_close(cabs(pair[i].value), 0, 1e-13);
}

static void test_goes_on_past_an_invariant_subspace(void **state) {
  (void)state;
  with_context(1, check_invariant);
}

static void check_count(qds_context *ctx) {
  for (uint64_t seed = 1; seed <= 4; seed++) {
    const double complex centre = -0.4 + 0.3 * I;
    QDS_AUTO(qds_complex_band) *a = random_band(ctx, ROWS, (int)seed, seed);
    double complex *exact = all_eigenvalues(ctx, a, centre);
    for (int inside = 0; inside < 60; inside += 7) {
      const double radius = inside ? (cabs(exact[inside - 1] - centre) + cabs(exact[inside] - centre)) / 2
                                   : cabs(exact[0] - centre) / 2;
      int64_t count;
      assert_ok(qds_complex_band_count(ctx, a, centre, radius, &count));
      assert_int_equal(count, inside);
    }
    free(exact);
  }
}

static void test_counts_eigenvalues_in_a_circle(void **state) {
  (void)state;
  with_context(1, check_count);
}

static void check_refusals(qds_context *ctx) {
  QDS_AUTO(qds_complex_band) *a = random_band(ctx, 6, 1, 1);
  QDS_AUTO(qds_complex_band_factor) *factor = NULL, *other = NULL;
  int64_t count;
  assert_ok(qds_complex_band_factor_create(ctx, a, &factor));
  assert_fails(qds_complex_band_factorise(factor, NAN), QDS_ERROR_NUMERIC, "not a number");
  double complex *exact = all_eigenvalues(ctx, a, 0);
  assert_fails(qds_complex_band_count(ctx, a, exact[2] - 0.125, 0.125, &count), QDS_ERROR_NUMERIC,
               "lies on the circle");
  free(exact);
  *qds_complex_band_at(a, 2, 2) = INFINITY;
  assert_ok(qds_complex_band_factor_create(ctx, a, &other));
  assert_fails(qds_complex_band_factorise(other, 0), QDS_ERROR_NUMERIC, "infinite");
}

static void test_refuses_what_is_no_number(void **state) {
  (void)state;
  with_context(1, check_refusals);
}

static qds_status nearest_of(qds_context *ctx, void *data) {
  double complex x[3 * 60];
  qds_complex_pair pair[3];
  int64_t steps = 0, count;
  const qds_complex_band *a = data;
  QDS_TRY(qds_complex_nearest(ctx, a, 0.1, 3, pair, x, &steps));
  return qds_complex_band_count(ctx, a, 0.1, 0.2, &count);
}

static void check_out_of_memory(qds_context *ctx) {
  QDS_AUTO(qds_complex_band) *a = random_band(ctx, 60, 2, 1);
  const qds_blas *blas;
  assert_ok(qds_blas_get(ctx, &blas));
  assert_true(fail_each_allocation(ctx, nearest_of, a) > 10);
}

static void test_survives_each_failed_allocation(void **state) {
  (void)state;
  with_context(1, check_out_of_memory);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_solves_with_a_shifted_band),
      cmocka_unit_test(test_inverse_iteration_with_an_eigenvalue_as_shift),
      cmocka_unit_test(test_finds_the_nearest_eigenpairs),
      cmocka_unit_test(test_finds_all_eigenpairs_of_a_small_matrix),
      cmocka_unit_test(test_goes_on_past_an_invariant_subspace),
      cmocka_unit_test(test_counts_eigenvalues_in_a_circle),
      cmocka_unit_test(test_refuses_what_is_no_number),
      cmocka_unit_test(test_survives_each_failed_allocation),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}

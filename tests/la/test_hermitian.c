/* Hermitian spectra: levels counted once, true degeneracies kept, none missed. */
#include "tensor_support.h"

#include "la/blas.h"
#include "la/hermitian.h"
#include "la/magnetic_operator.h"

/* --- picking states out of pairs
 * ------------------------------------------------------------------------------------- */

enum { ROWS = 60, MOST = 16 };

static void times_i(const qds_block *x, int from, qds_block *y, int to) {
  const int64_t half = x->rows / 2;
  for (int64_t i = 0; i < half; i++) {
    qds_block_column(y, to)[i] = -qds_block_column(x, from)[half + i];
    qds_block_column(y, to)[half + i] = qds_block_column(x, from)[i];
  }
}

/* The complex Gram matrix of columns i and j. */
static void complex_dot(const qds_block *x, int i, int j, double *re, double *im) {
  const double *a = qds_block_column(x, i), *b = qds_block_column(x, j);
  const int64_t half = x->rows / 2;
  *re = *im = 0;
  for (int64_t k = 0; k < half; k++) {
    *re += a[k] * b[k] + a[half + k] * b[half + k];
    *im += a[k] * b[half + k] - a[half + k] * b[k];
  }
}

static void assert_orthonormal(const qds_block *x, int step, int count) {
  for (int i = 0; i < count; i++)
    for (int j = 0; j < count; j++) {
      double re, im;
      complex_dot(x, step * i, step * j, &re, &im);
      assert_close(re, i == j, 1e-12);
      assert_close(im, 0, 1e-12);
    }
}

static void orthonormalise(qds_context *ctx, qds_block *x, int first, int count) {
  for (int j = first; j < first + count; j++) {
    double *to = qds_block_column(x, j);
    for (int pass = 0; pass < 2; pass++)
      for (int i = 0; i < j; i++) {
        const double *q = qds_block_column(x, i), overlap = qds_vector_dot(ctx, x->rows, q, to);
        for (int64_t k = 0; k < x->rows; k++) to[k] -= overlap * q[k];
      }
    const double length = sqrt(qds_vector_dot(ctx, x->rows, to, to));
    for (int64_t k = 0; k < x->rows; k++) to[k] /= length;
  }
}

/* Real vectors of levels of the given multiplicities, each the pairs (x, i x) of its states mixed
 * at random. */
static void make_levels(qds_context *ctx, const int *multiplicities, uint64_t seed, qds_block *x) {
  qds_block pairs;
  assert_ok(qds_block_create(ctx, ROWS, 2 * MOST, "test", &pairs));
  assert_ok(qds_block_create(ctx, ROWS, 2 * MOST, "test", x));
  qds_block_fill_random(ctx, &pairs, seed);
  qds_block_fill_random(ctx, x, seed + 1000);
  int first = 0;
  for (int level = 0; multiplicities[level]; level++) {
    const int count = 2 * multiplicities[level];
    for (int j = first; j < first + count; j += 2) {
      orthonormalise(ctx, &pairs, j, 1);
      times_i(&pairs, j, &pairs, j + 1);
    }
    qds_block own = qds_block_part(&pairs, first, count), mixed = qds_block_part(x, first, count);
    double mix[4 * MOST * MOST];
    for (int i = 0; i < count * count; i++)
      mix[i] = problem_random(seed, 50 + (uint64_t)level, (uint64_t)i) - 0.5;
    memset(mixed.data, 0, sizeof(double) * (size_t)(mixed.stride * count));
    assert_ok(qds_block_add_product(ctx, &own, mix, &mixed));
    orthonormalise(ctx, x, first, count);
    first += count;
  }
  qds_block_clear(&pairs);
}

/* The part of vector j that lies in the span of columns first .. first + count - 1 of a real orthonormal
 * block. */
static double part_within(qds_context *ctx, const qds_block *x, int first, int count, const double *vector) {
  double sum = 0;
  for (int i = first; i < first + count; i++)
    sum += pow(qds_vector_dot(ctx, x->rows, qds_block_column(x, i), vector), 2);
  return sum;
}

static void check_pick(qds_context *ctx, const int *multiplicities, int states, uint64_t seed) {
  qds_block x, picked;
  double levels[2 * MOST], picked_levels[MOST];
  make_levels(ctx, multiplicities, seed, &x);
  int level_of[2 * MOST] = {0}, first_of[2 * MOST] = {0}, count_of[2 * MOST] = {0}, all = 0;
  for (int level = 0; multiplicities[level]; level++) {
    first_of[level] = all;
    count_of[level] = 2 * multiplicities[level];
    for (int i = 0; i < count_of[level]; i++) level_of[all] = level, levels[all++] = level;
  }
  const qds_block wanted = qds_block_part(&x, 0, 2 * states);
  assert_ok(qds_hermitian_pick(ctx, &wanted, levels, states, &picked, picked_levels));
  assert_orthonormal(&picked, 2, states);
  for (int j = 0; j < states; j++) {
    const int level = level_of[2 * j]; /* state j belongs where the pair 2 j, 2 j + 1 of real vectors does */
    assert_close(picked_levels[j], level, 0);
    assert_close(part_within(ctx, &x, first_of[level], count_of[level], qds_block_column(&picked, 2 * j)), 1,
                 1e-11);
  }
  qds_block_clear(&x);
  qds_block_clear(&picked);
}

static void check_picks(qds_context *ctx) {
  const int plain[] = {1, 1, 1, 1, 0}, doubles[] = {2, 1, 2, 1, 2, 0}, large[] = {6, 3, 4, 1, 0},
            one[] = {15, 0};
  for (uint64_t seed = 1; seed <= 20; seed++) {
    print_message("seed %d\n", (int)seed);
    check_pick(ctx, plain, 4, seed);
    check_pick(ctx, doubles, 8, seed);
    check_pick(ctx, doubles, 7, seed); /* the last level is cut in two */
    check_pick(ctx, doubles, 4, seed);
    check_pick(ctx, large, 14, seed);
    check_pick(ctx, large, 11, seed);
    for (int states = 1; states <= 15; states += 7) check_pick(ctx, one, states, seed);
  }
}

static void every_state_is_picked_once(void **state) {
  (void)state;
  with_context(1, check_picks);
}

static void check_wrong_number(qds_context *ctx) {
  qds_block x, picked;
  const double levels[3] = {0, 0, 0};
  double picked_levels[2];
  assert_ok(qds_block_create(ctx, ROWS, 3, "test", &x));
  assert_fails(qds_hermitian_pick(ctx, &x, levels, 2, &picked, picked_levels), QDS_ERROR_ARGUMENT,
               "2 states wanted of 3 vectors");
  qds_block_clear(&x);
}

static void wrong_number_is_refused(void **state) {
  (void)state;
  with_context(1, check_wrong_number);
}

/* --- spectra
 *
 * ---------------------------------------------------------------------------------------------------------
 */

/* Two or three axes in a random potential, with a field; `twins`: two halves along the first axis that do not
 * meet and see the same potential and a field along that axis, so that every level is double. */
static tensor_problem problem_of(qds_context *ctx, uint64_t seed, int order, int64_t elements, int twins,
                                 qds_vector_potential *potential) {
  const qds_boundary closed[2] = {QDS_DIRICHLET, QDS_DIRICHLET}, open[2] = {QDS_NEUMANN, QDS_NEUMANN};
  axis_plan plan[3] = {{1, twins ? 3 : 0, {open[0], open[1]}, 3, 1},
                       {order, elements, {closed[0], closed[1]}, 3, 1},
                       {order, elements, {closed[0], closed[1]}, 2, 2}};
  tensor_problem p = problem_make(ctx, plan, (const int[3]){0, 0, 0});
  const int64_t half = p.t->rows / 2, plane = p.t->n[1] * p.t->n[2];
  for (int64_t i = 0; i < p.t->rows; i++) {
    const int64_t same = twins && i >= half ? p.t->rows - plane * (i / plane + 1) + i % plane : i;
    p.t->v[i] = 20 * problem_random(seed, 1, (uint64_t)same);
  }
  if (twins)
    for (int64_t i = 0; i < plane; i++) p.t->c[0][plane + i] = 0;
  *potential = (qds_vector_potential){.origin_nm = {0, 1.5, 1}};
  potential->slope[1][2] = -6, potential->slope[2][1] = 6;
  return p;
}

/* Every level of the real form, ascending, from its dense matrix. */
static double *all_levels(qds_context *ctx, qds_magnetic_operator *m) {
  const qds_operator a = qds_magnetic_operator_apply(m);
  const int64_t n = a.rows;
  double *matrix = calloc((size_t)(n * n), sizeof *matrix), *levels = calloc((size_t)n, sizeof *levels),
         *unit = calloc((size_t)n, sizeof *unit);
  for (int64_t j = 0; j < n; j++) {
    const qds_block x = {unit, n, n, 1, NULL};
    qds_block y = {matrix + j * n, n, n, 1, NULL};
    unit[j] = 1;
    assert_ok(a.apply(a.self, ctx, &x, &y));
    unit[j] = 0;
  }
  assert_ok(qds_symmetric_eigen(ctx, (int)n, matrix, levels));
  free(matrix), free(unit);
  return levels;
}

static void check_spectrum_with(qds_context *ctx, uint64_t seed, int order, int64_t elements, int twins,
                                int states, qds_preconditioner preconditioner) {
  qds_vector_potential potential;
  tensor_problem p = problem_of(ctx, seed, order, elements, twins, &potential);
  qds_magnetic_operator *m;
  assert_ok(qds_magnetic_operator_create(ctx, p.t, &potential, &m));
  double *expected = all_levels(ctx, m), energies[MOST], residuals[MOST];
  const qds_spectrum_target target = {qds_magnetic_operator_apply(m), qds_magnetic_operator_on_stream};
  const qds_spectrum_options options = {.target = &target,
                                        .states = states,
                                        .preconditioner = preconditioner,
                                        .relative_tolerance = 1e-8,
                                        .max_iterations = 400};
  qds_spectrum_statistics statistics;
  qds_block x;
  const int fallbacks = qds_context_fallbacks(ctx);
  assert_ok(qds_hermitian_spectrum(ctx, qds_magnetic_operator_real(m), &options, &x, energies, residuals,
                                   &statistics));
  print_message("seed %d, %lld unknowns, %d iterations, levels %.9g ... %.9g\n", (int)seed,
                (long long)p.t->rows, statistics.finest.iterations, energies[0], energies[states - 1]);
  /* What is diagonalised as a whole stays on the CPU. */
  const int whole = statistics.finest.iterations == 0;
  assert_string_equal(statistics.device, whole ? "cpu" : qds_context_device(ctx));
  assert_int_equal(qds_context_fallbacks(ctx), fallbacks + (whole && qds_context_accelerator(ctx)));
  assert_int_equal(x.columns, states);
  assert_orthonormal(&x, 1, states);
  for (int j = 0; j < states; j++) {
    assert_close(energies[j], expected[2 * j], 1e-10 * fabs(expected[2 * j]));
    assert_true(residuals[j] <= 1e-7 * energies[j]);
    if (twins) assert_close(energies[j], energies[j ^ 1], 1e-10 * energies[j]);
  }
  qds_block_clear(&x);
  free(expected);
  qds_magnetic_operator_destroy(m);
  problem_clear(&p);
}

static void check_spectrum_of(qds_context *ctx, uint64_t seed, int order, int64_t elements, int twins,
                              int states) {
  check_spectrum_with(ctx, seed, order, elements, twins, states, QDS_PRECONDITION_MULTIGRID);
}

static void check_spectra(qds_context *ctx) {
  for (uint64_t seed = 1; seed <= 3; seed++) {
    check_spectrum_of(ctx, seed, 1, 10, 0, 5); /* dense */
    check_spectrum_of(ctx, seed, 1, 26, 0, 5);
    check_spectrum_of(ctx, seed, 4, 6, 0, 6);
    check_spectrum_of(ctx, seed, 2, 5, 1, 6);
    check_spectrum_of(ctx, seed, 2, 6, 1, 4);
    check_spectrum_with(ctx, seed, 1, 26, 0, 4, QDS_PRECONDITION_FAST_DIAGONALISATION);
  }
}

static void spectrum_is_that_of_the_dense_matrix(void **state) {
  (void)state;
  with_context(1, check_spectra);
}

/* Start vectors that live in one of two separate halves: a plain solver finds every level there, once instead
 * of twice. The check finds the others. The tolerance ends the solve before rounding has carried the other
 * half into it. */
static void check_missed(qds_context *ctx) {
  enum { STATES = 4 };
  qds_vector_potential potential;
  tensor_problem p = problem_of(ctx, 4, 2, 6, 1, &potential);
  const int64_t rows = p.t->rows;
  qds_magnetic_operator *m;
  qds_block start, x;
  assert_ok(qds_magnetic_operator_create(ctx, p.t, &potential, &m));
  assert_ok(qds_block_create(ctx, 2 * rows, 2 * STATES + 2, "test", &start));
  qds_block_fill_random(ctx, &start, 7);
  for (int j = 0; j < start.columns; j++)
    for (int part = 0; part < 2; part++)
      memset(qds_block_column(&start, j) + part * rows + rows / 2, 0, sizeof(double) * (size_t)(rows / 2));
  double *expected = all_levels(ctx, m), energies[STATES], residuals[STATES];
  const qds_spectrum_target target = {qds_magnetic_operator_apply(m), qds_magnetic_operator_on_stream};
  const qds_spectrum_options options = {.target = &target,
                                        .states = STATES,
                                        .relative_tolerance = 1e-6,
                                        .max_iterations = 400,
                                        .start = &start};
  qds_spectrum_statistics statistics;
  assert_ok(qds_hermitian_spectrum(ctx, qds_magnetic_operator_real(m), &options, &x, energies, residuals,
                                   &statistics));
  print_message("%d levels found by the check\n", statistics.found_by_verification);
  assert_true(statistics.found_by_verification > 0);
  assert_orthonormal(&x, 1, STATES);
  for (int j = 0; j < STATES; j++) assert_close(energies[j], expected[2 * j], 1e-10 * fabs(expected[2 * j]));
  qds_block_clear(&x);
  qds_block_clear(&start);
  free(expected);
  qds_magnetic_operator_destroy(m);
  problem_clear(&p);
}

static void check_finds_what_the_solver_missed(void **state) {
  (void)state;
  with_context(1, check_missed);
}

static qds_status solve_and_clear(qds_context *ctx, void *data) {
  qds_magnetic_operator *m = data;
  const qds_spectrum_target target = {qds_magnetic_operator_apply(m), qds_magnetic_operator_on_stream};
  const qds_spectrum_options options = {
      .target = &target, .states = 1, .relative_tolerance = 1e-2, .max_iterations = 400};
  qds_spectrum_statistics statistics;
  qds_block x;
  double energy, residual;
  const qds_status status = qds_hermitian_spectrum(ctx, qds_magnetic_operator_real(m), &options, &x, &energy,
                                                   &residual, &statistics);
  if (status != QDS_OK) assert_null(x.data);
  qds_block_clear(&x);
  return status;
}

static void check_memory(qds_context *ctx) {
  qds_vector_potential potential;
  tensor_problem p = problem_of(ctx, 1, 1, 16, 0, &potential);
  qds_magnetic_operator *m;
  assert_ok(qds_magnetic_operator_create(ctx, p.t, &potential, &m));
  assert_ok(solve_and_clear(ctx, m)); /* loads BLAS */
  qds_memory_row before, after;
  qds_context_memory(ctx, &before);
  for (uint64_t n = 1, failed = 1; failed; n += n < 50 ? 1 : 41) { /* iterations allocate again and again */
    qds_context_fail_allocation(ctx, n);
    const qds_status status = solve_and_clear(ctx, m);
    qds_context_fail_allocation(ctx, 0);
    qds_context_memory(ctx, &after);
    assert_int_equal(after.current_bytes, before.current_bytes);
    failed = status != QDS_OK;
    if (failed) assert_int_equal(status, QDS_ERROR_MEMORY);
  }
  qds_magnetic_operator_destroy(m);
  problem_clear(&p);
}

static void memory_runs_out(void **state) {
  (void)state;
  with_context(1, check_memory);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(every_state_is_picked_once),
      cmocka_unit_test(wrong_number_is_refused),
      cmocka_unit_test(spectrum_is_that_of_the_dense_matrix),
      cmocka_unit_test(check_finds_what_the_solver_missed),
      cmocka_unit_test(memory_runs_out),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}

/* The magnetic operator against its dense matrix, and that no gauge matters to it. */
#include "tensor_support.h"

#include "la/magnetic_operator.h"

enum { CASES = 12 };

/* A random grid without periodic ends, random coefficients, and a random field in all directions. `first`: of
 * order 1. */
static tensor_problem random_problem_of(qds_context *ctx, uint64_t seed, int first, int most,
                                        qds_vector_potential *potential) {
  axis_plan plan[3];
  int by_element[3];
  plan_random(seed, seed % 2 ? 3 : 2, most, plan, by_element);
  for (int a = 0; a < 3; a++) {
    if (plan[a].boundary[0] == QDS_PERIODIC) plan[a].boundary[0] = plan[a].boundary[1] = QDS_DIRICHLET;
    if (first) plan[a].order = 1;
  }
  tensor_problem p = problem_make(ctx, plan, by_element);
  problem_fill_random(&p, seed, 5, 3);
  for (int a = 0; a < 3; a++) {
    potential->origin_nm[a] = problem_random(seed, 30, (uint64_t)a);
    for (int b = 0; b < 3; b++)
      potential->slope[a][b] = a == b ? 0 : 4 * problem_random(seed, 31 + (uint64_t)a, (uint64_t)b) - 2;
  }
  return p;
}

static tensor_problem random_problem(qds_context *ctx, uint64_t seed, qds_vector_potential *potential) {
  return random_problem_of(ctx, seed, 0, 8, potential);
}

static void unknown_position(const qds_tensor_operator *t, int64_t index, double r[3]) {
  const int64_t u[3] = {index / (t->n[1] * t->n[2]), index / t->n[2] % t->n[1], index % t->n[2]};
  for (int a = 0; a < 3; a++)
    r[a] = t->axis[a]->coordinates_nm[u[a] + (t->axis[a]->boundary[0] == QDS_DIRICHLET)];
}

/* The integral of alpha_a along the line from one unknown to another, by the midpoint rule, which
 * is exact. */
static double phase_between(const qds_vector_potential *p, int a, const double from[3], const double to[3]) {
  double alpha = 0;
  for (int b = 0; b < 3; b++) alpha += p->slope[a][b] * ((from[b] + to[b]) / 2 - p->origin_nm[b]);
  return alpha * (to[a] - from[a]);
}

/* [[A, -B], [B, A]], column-major, from the field-free matrix of each axis, entry by entry. */
static double *dense_matrix(const qds_tensor_operator *t, const qds_vector_potential *p) {
  const int64_t n = t->rows;
  double *matrix = calloc((size_t)(4 * n * n), sizeof *matrix);
  for (int64_t i = 0; i < n; i++) matrix[i * 2 * n + i] = matrix[(i + n) * 2 * n + i + n] = t->v[i];
  for (int a = 0; a < 3; a++) {
    if (t->axis[a]->elements == 0) continue;
    double *real_ = calloc((size_t)(n * n), sizeof *real_);
    reference_add_axis(t, a, real_);
    for (int64_t row = 0; row < n; row++)
      for (int64_t column = 0; column < n; column++) {
        double from[3], to[3];
        if (real_[column * n + row] == 0) continue;
        unknown_position(t, column, from);
        unknown_position(t, row, to);
        const double theta = phase_between(p, a, from, to), entry = real_[column * n + row];
        matrix[column * 2 * n + row] += entry * cos(theta);
        matrix[(column + n) * 2 * n + row + n] += entry * cos(theta);
        matrix[column * 2 * n + row + n] += entry * sin(theta);
        matrix[(column + n) * 2 * n + row] -= entry * sin(theta);
      }
    free(real_);
  }
  return matrix;
}

static double largest(const qds_block *x) {
  double value = 0;
  for (int j = 0; j < x->columns; j++)
    for (int64_t i = 0; i < x->rows; i++) value = fmax(value, fabs(qds_block_column(x, j)[i]));
  return value;
}

static void assert_same(const qds_block *x, const qds_block *y, double tolerance) {
  for (int j = 0; j < x->columns; j++)
    for (int64_t i = 0; i < x->rows; i++)
      assert_close(qds_block_column(x, j)[i], qds_block_column(y, j)[i], tolerance);
}

static void apply(qds_context *ctx, qds_magnetic_operator *m, const qds_block *x, qds_block *y) {
  const qds_operator a = qds_magnetic_operator_apply(m);
  assert_int_equal(a.rows, x->rows);
  assert_ok(a.apply(a.self, ctx, x, y));
}

static void check_matrix(qds_context *ctx) {
  for (uint64_t seed = 1; seed <= CASES; seed++) {
    qds_vector_potential potential;
    tensor_problem p = random_problem(ctx, seed, &potential);
    const int64_t n = 2 * p.t->rows;
    print_message("seed %d: %lld unknowns\n", (int)seed, (long long)p.t->rows);
    qds_magnetic_operator *m;
    qds_block x, y, expected;
    assert_ok(qds_magnetic_operator_create(ctx, p.t, &potential, &m));
    assert_ok(qds_block_create(ctx, n, 3, "test", &x));
    assert_ok(qds_block_create(ctx, n, 3, "test", &y));
    assert_ok(qds_block_create(ctx, n, 3, "test", &expected));
    qds_block_fill_random(ctx, &x, seed);
    apply(ctx, m, &x, &y);
    double *matrix = dense_matrix(p.t, &potential);
    for (int j = 0; j < 3; j++)
      for (int64_t row = 0; row < n; row++) {
        double sum = 0;
        for (int64_t column = 0; column < n; column++)
          sum += matrix[column * n + row] * qds_block_column(&x, j)[column];
        qds_block_column(&expected, j)[row] = sum;
      }
    assert_same(&y, &expected, 1e-12 * largest(&expected));
    free(matrix);
    qds_block_clear(&x), qds_block_clear(&y), qds_block_clear(&expected);
    qds_magnetic_operator_destroy(m);
    problem_clear(&p);
  }
}

static void matrix_has_peierls_phases(void **state) {
  (void)state;
  with_context(1, check_matrix);
  with_context(3, check_matrix);
}

/* <x, H y> = <H x, y> as complex numbers: the real form is symmetric and commutes with i. */
static void check_hermitian(qds_context *ctx) {
  for (uint64_t seed = 1; seed <= CASES; seed++) {
    qds_vector_potential potential;
    tensor_problem p = random_problem(ctx, seed, &potential);
    const int64_t rows = p.t->rows;
    qds_magnetic_operator *m;
    qds_block x, y;
    assert_ok(qds_magnetic_operator_create(ctx, p.t, &potential, &m));
    assert_ok(qds_block_create(ctx, 2 * rows, 3, "test", &x));
    assert_ok(qds_block_create(ctx, 2 * rows, 3, "test", &y));
    qds_block_fill_random(ctx, &x, seed);
    for (int64_t i = 0; i < rows; i++) { /* the third column is i times the second */
      qds_block_column(&x, 2)[i] = -qds_block_column(&x, 1)[rows + i];
      qds_block_column(&x, 2)[rows + i] = qds_block_column(&x, 1)[i];
    }
    apply(ctx, m, &x, &y);
    const double size = largest(&y) * (double)rows;
    for (int j = 1; j < 3; j++)
      assert_close(qds_vector_dot(ctx, 2 * rows, qds_block_column(&x, 0), qds_block_column(&y, j)),
                   qds_vector_dot(ctx, 2 * rows, qds_block_column(&y, 0), qds_block_column(&x, j)),
                   1e-13 * size);
    for (int64_t i = 0; i < rows; i++) {
      assert_close(qds_block_column(&y, 2)[i], -qds_block_column(&y, 1)[rows + i], 1e-13 * size);
      assert_close(qds_block_column(&y, 2)[rows + i], qds_block_column(&y, 1)[i], 1e-13 * size);
    }
    qds_block_clear(&x), qds_block_clear(&y);
    qds_magnetic_operator_destroy(m);
    problem_clear(&p);
  }
}

static void operator_is_hermitian(void **state) {
  (void)state;
  with_context(1, check_hermitian);
}

/* H' e^(i chi) x = e^(i chi) H x at every order, to rounding, though the phases are large. */
static void check_gauge(qds_context *ctx) {
  for (uint64_t seed = 1; seed <= CASES; seed++) {
    qds_vector_potential potential, other;
    tensor_problem p = random_problem(ctx, seed, &potential);
    other = potential;
    for (int a = 0; a < 3; a++)
      for (int b = a + 1; b < 3; b++) {
        const double change = 6 * problem_random(seed, 40 + (uint64_t)a, (uint64_t)b) - 3;
        other.slope[a][b] += change;
        other.slope[b][a] += change;
      }
    qds_magnetic_operator *m, *m_other;
    qds_block x, y, y_other;
    assert_ok(qds_magnetic_operator_create(ctx, p.t, &potential, &m));
    assert_ok(qds_magnetic_operator_create(ctx, p.t, &other, &m_other));
    assert_ok(qds_block_create(ctx, 2 * p.t->rows, 2, "test", &x));
    assert_ok(qds_block_create(ctx, 2 * p.t->rows, 2, "test", &y));
    assert_ok(qds_block_create(ctx, 2 * p.t->rows, 2, "test", &y_other));
    qds_block_fill_random(ctx, &x, seed);
    apply(ctx, m, &x, &y);
    assert_ok(qds_magnetic_change_gauge(ctx, p.t, &potential, &other, &x));
    assert_ok(qds_magnetic_change_gauge(ctx, p.t, &potential, &other, &y));
    apply(ctx, m_other, &x, &y_other);
    assert_same(&y_other, &y, 1e-12 * largest(&y));
    qds_block_clear(&x), qds_block_clear(&y), qds_block_clear(&y_other);
    qds_magnetic_operator_destroy(m), qds_magnetic_operator_destroy(m_other);
    problem_clear(&p);
  }
}

static void gauge_only_turns_phases(void **state) {
  (void)state;
  with_context(2, check_gauge);
}

/* --- on a stream ---------------------------------------------------------------------------------------- */

/* Pairs of unknowns anywhere, some several times. */
static void add_couplings(qds_context *ctx, tensor_problem *p, uint64_t seed) {
  enum { COUNT = 20 };
  qds_coupling list[COUNT];
  for (uint64_t i = 0; i < COUNT; i++) {
    const int64_t a = (int64_t)(problem_random(seed, 50, i) * (double)p->t->rows),
                  b = (int64_t)(problem_random(seed, 51, i) * (double)p->t->rows);
    list[i] = (qds_coupling){a, a == b || i % 5 == 0 ? -1 : b, 1, problem_random(seed, 52, i), 2};
  }
  assert_ok(qds_couplings_create(ctx, p->t->rows, COUNT, list, &p->t->couplings));
}

/* The same numbers on the host and on the stream. */
typedef struct {
  qds_block host, there;
} twin;

static twin twin_make(qds_context *ctx, qds_stream *stream, int64_t rows, int columns, uint64_t seed) {
  twin t;
  assert_ok(qds_block_create(ctx, rows, columns, "test", &t.host));
  assert_ok(qds_block_create_on(ctx, stream, rows, columns, "test", &t.there));
  assert_ok(qds_block_fill_random(ctx, &t.host, seed));
  assert_ok(qds_block_copy(&t.host, &t.there));
  return t;
}

static void expect_twins(qds_context *ctx, twin *t, double tolerance) {
  assert_ok(qds_block_to_host(ctx, "test", &t->there));
  assert_same(&t->there, &t->host, tolerance);
  qds_block_clear(&t->host);
  qds_block_clear(&t->there);
}

static void expect_same_on_stream(qds_context *ctx, qds_stream *stream, const tensor_problem *p,
                                  const qds_vector_potential *potential, int columns, uint64_t seed) {
  QDS_AUTO(qds_magnetic_operator) *m = NULL;
  qds_vector_potential other = *potential;
  const int64_t rows = 2 * p->t->rows;
  qds_operator a;
  assert_ok(qds_magnetic_operator_create(ctx, p->t, potential, &m));
  assert_ok(qds_magnetic_operator_on_stream(m, ctx, stream, &a));
  assert_int_equal(a.rows, rows);
  twin x = twin_make(ctx, stream, rows, columns, seed), y = twin_make(ctx, stream, rows, columns, seed + 99);
  apply(ctx, m, &x.host, &y.host);
  assert_ok(a.apply(a.self, ctx, &x.there, &y.there));
  const double size = largest(&y.host);
  expect_twins(ctx, &y, 2e-14 * size);
  other.slope[0][2] += 3, other.slope[2][0] += 3, other.slope[1][2] -= 5, other.slope[2][1] -= 5;
  assert_ok(qds_magnetic_change_gauge(ctx, p->t, potential, &other, &x.host));
  assert_ok(qds_magnetic_change_gauge(ctx, p->t, potential, &other, &x.there));
  expect_twins(ctx, &x, 1e-13);
}

static void check_stream(qds_context *ctx) {
  for (uint64_t seed = 1; seed <= 4 * CASES; seed++) {
    qds_vector_potential potential;
    tensor_problem p = random_problem_of(ctx, seed, seed % 4 < 2, seed % 2 ? 14 : 40, &potential);
    if (seed % 3 == 0) add_couplings(ctx, &p, seed);
    if (seed % 5 == 0) memset(potential.slope[seed % 3], 0, sizeof potential.slope[0]);
    print_message("seed %d: %lld unknowns\n", (int)seed, (long long)p.t->rows);
    expect_same_on_stream(ctx, qds_context_stream(ctx), &p, &potential, (int)(seed % 6), seed);
    problem_clear(&p);
  }
}

static void stream_agrees_with_the_host(void **state) {
  (void)state;
  with_context(2, check_stream);
}

/* More planes than one thread goes through. */
static void check_march(qds_context *ctx) {
  const axis_plan plan[3] = {{1, 150, {QDS_DIRICHLET, QDS_NEUMANN}, 3, 3},
                             {1, 3, {QDS_NEUMANN, QDS_NEUMANN}, 1, 1},
                             {1, 70, {QDS_NEUMANN, QDS_DIRICHLET}, 2, 1}};
  const qds_vector_potential potential = {{{0, 1, -2}, {3, 0, 0.5}, {0.25, -1, 0}}, {0.3, -0.2, 0.1}};
  tensor_problem p = problem_make(ctx, plan, (const int[3]){0, 0, 0});
  problem_fill_random(&p, 6, 10, 3);
  for (int columns = 1; columns <= 5; columns++)
    expect_same_on_stream(ctx, qds_context_stream(ctx), &p, &potential, columns, 6);
  problem_clear(&p);
}

static void long_marches_agree(void **state) {
  (void)state;
  with_context(2, check_march);
}

/* Without a field each part sees the tensor operator. */
static void check_field_free(qds_context *ctx) {
  for (uint64_t seed = 1; seed <= CASES; seed++) {
    qds_vector_potential potential;
    tensor_problem p = random_problem(ctx, seed, &potential);
    const int64_t rows = p.t->rows;
    memset(potential.slope, 0, sizeof potential.slope);
    qds_magnetic_operator *m;
    qds_block x, y, expected;
    assert_ok(qds_magnetic_operator_create(ctx, p.t, &potential, &m));
    assert_ok(qds_block_create(ctx, 2 * rows, 1, "test", &x));
    assert_ok(qds_block_create(ctx, 2 * rows, 1, "test", &y));
    assert_ok(qds_block_create(ctx, 2 * rows, 1, "test", &expected));
    qds_block_fill_random(ctx, &x, seed);
    apply(ctx, m, &x, &y);
    const qds_operator a = qds_tensor_operator_apply(p.t);
    for (int part = 0; part < 2; part++) {
      const qds_block from = {x.data + part * rows, rows, rows, 1, NULL};
      qds_block to = {expected.data + part * rows, rows, rows, 1, NULL};
      assert_ok(a.apply(a.self, ctx, &from, &to));
    }
    assert_same(&y, &expected, 1e-13 * largest(&expected));
    assert_memory_equal(qds_magnetic_operator_real(m)->v, p.t->v, sizeof(double) * (size_t)rows);
    qds_block_clear(&x), qds_block_clear(&y), qds_block_clear(&expected);
    qds_magnetic_operator_destroy(m);
    problem_clear(&p);
  }
}

static void no_field_is_the_tensor_operator(void **state) {
  (void)state;
  with_context(1, check_field_free);
}

/* The real form holds c alpha^2 in v. */
static void check_diamagnetic(qds_context *ctx) {
  const axis_plan plan[3] = {{1, 4, {QDS_DIRICHLET, QDS_NEUMANN}, 2, 1},
                             {2, 3, {QDS_DIRICHLET, QDS_DIRICHLET}, 2, 3},
                             {3, 2, {QDS_NEUMANN, QDS_NEUMANN}, 2, 1}};
  tensor_problem p = problem_make(ctx, plan, (const int[3]){1, 0, 0});
  const double c[3] = {1, 2, 3};
  for (int a = 0; a < 3; a++)
    for (int64_t i = 0; i < qds_tensor_operator_coefficients(p.t, a); i++) p.t->c[a][i] = c[a];
  const qds_vector_potential potential = {{{0, 1, -2}, {3, 0, 0.5}, {0, -1, 0}}, {0.3, -0.2, 0.1}};
  qds_magnetic_operator *m;
  assert_ok(qds_magnetic_operator_create(ctx, p.t, &potential, &m));
  for (int64_t i = 0; i < p.t->rows; i++) {
    double r[3];
    unknown_position(p.t, i, r);
    const double x = r[0] - 0.3, y = r[1] + 0.2, z = r[2] - 0.1;
    assert_close(qds_magnetic_operator_real(m)->v[i],
                 pow(y - 2 * z, 2) + 2 * pow(3 * x + 0.5 * z, 2) + 3 * pow(-y, 2), 1e-12);
  }
  qds_magnetic_operator_destroy(m);
  problem_clear(&p);
}

static void real_form_has_the_diamagnetic_term(void **state) {
  (void)state;
  with_context(1, check_diamagnetic);
}

static const axis_plan small[3] = {{1, 0, {QDS_NEUMANN, QDS_NEUMANN}, 1, 1},
                                   {1, 5, {QDS_DIRICHLET, QDS_DIRICHLET}, 1, 1},
                                   {1, 5, {QDS_DIRICHLET, QDS_DIRICHLET}, 1, 1}};

/* On the host and on the context's stream. */
static qds_status apply_once(qds_context *ctx, qds_magnetic_operator *m, qds_stream *stream) {
  __attribute__((cleanup(qds_block_clear))) qds_block x = {0}, y = {0};
  qds_operator a = qds_magnetic_operator_apply(m);
  if (stream) QDS_TRY(qds_magnetic_operator_on_stream(m, ctx, stream, &a));
  QDS_TRY(qds_block_create_on(ctx, stream, a.rows, 1, "test", &x));
  QDS_TRY(qds_block_create_on(ctx, stream, a.rows, 1, "test", &y));
  QDS_TRY(qds_block_fill_random(ctx, &x, 1));
  return a.apply(a.self, ctx, &x, &y);
}

static qds_status create_and_apply(qds_context *ctx, void *data) {
  const qds_vector_potential potential = {.slope = {{0, 0, 0}, {0, 0, -1}, {0, 1, 0}}};
  QDS_AUTO(qds_magnetic_operator) *m = NULL;
  QDS_TRY(qds_magnetic_operator_create(ctx, data, &potential, &m));
  QDS_TRY(apply_once(ctx, m, NULL));
  return apply_once(ctx, m, qds_context_stream(ctx));
}

static void check_memory(qds_context *ctx) {
  tensor_problem p = problem_make(ctx, small, (const int[3]){1, 1, 1});
  assert_true(fail_each_allocation(ctx, create_and_apply, p.t) >= 20);
  problem_clear(&p);
}

static void memory_runs_out(void **state) {
  (void)state;
  with_context(1, check_memory);
}

static void check_periodic(qds_context *ctx) {
  axis_plan plan[3] = {small[0], small[1], small[2]};
  plan[1].boundary[0] = plan[1].boundary[1] = QDS_PERIODIC;
  tensor_problem p = problem_make(ctx, plan, (const int[3]){1, 1, 1});
  const qds_vector_potential potential = {.slope = {{0, 0, 0}, {0, 0, -1}, {0, 1, 0}}};
  qds_magnetic_operator *m;
  assert_fails(qds_magnetic_operator_create(ctx, p.t, &potential, &m), QDS_ERROR_ARGUMENT, "periodic");
  problem_clear(&p);
}

static void periodic_ends_are_refused(void **state) {
  (void)state;
  with_context(1, check_periodic);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(matrix_has_peierls_phases),
      cmocka_unit_test(operator_is_hermitian),
      cmocka_unit_test(gauge_only_turns_phases),
      cmocka_unit_test(stream_agrees_with_the_host),
      cmocka_unit_test(long_marches_agree),
      cmocka_unit_test(no_field_is_the_tensor_operator),
      cmocka_unit_test(real_form_has_the_diamagnetic_term),
      cmocka_unit_test(memory_runs_out),
      cmocka_unit_test(periodic_ends_are_refused),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}

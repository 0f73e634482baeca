/* Conjugate gradients on the seven-point form of -div(c grad u) on a Dirichlet box, alone and preconditioned
 * by fast diagonalisation. On a device the operators, which are the host's, are reached by copies. */
#include "support.h"

#include "base/philox.h"
#include "la/fdm.h"
#include "la/pcg.h"

enum { NX = 17, NY = 14, NZ = 15, ROWS = NX * NY * NZ };
static const int64_t sizes[3] = {NX, NY, NZ};

typedef struct {
  double contrast; /* c is 1 in one half of the box and this in the other */
  double shift;    /* subtracted from the diagonal */
  int poisoned;    /* applications until one returns NaN; 0: never */
} box;

static double coefficient(const box *self, int64_t i) {
  return 2 * i < NX ? 1 : self->contrast;
}

/* The flux through the face between planes i - 1 and i takes the harmonic mean. */
static double face(const box *self, int64_t i) {
  const double a = coefficient(self, i > 0 ? i - 1 : 0), b = coefficient(self, i < NX ? i : NX - 1);
  return 2 * a * b / (a + b);
}

static qds_status apply_box(void *self, qds_context *ctx, const qds_block *x, qds_block *y) {
  box *b = self;
  (void)ctx;
  for (int64_t i = 0; i < NX; i++)
    for (int64_t j = 0; j < NY; j++)
      for (int64_t k = 0; k < NZ; k++) {
        const int64_t r = (i * NY + j) * NZ + k;
        const double *u = x->data + r, c = coefficient(b, i), low = face(b, i), high = face(b, i + 1);
        double sum = (low + high + 4 * c - b->shift) * u[0];
        if (i > 0) sum -= low * u[-NY * NZ];
        if (i < NX - 1) sum -= high * u[NY * NZ];
        if (j > 0) sum -= c * u[-NZ];
        if (j < NY - 1) sum -= c * u[NZ];
        if (k > 0) sum -= c * u[-1];
        if (k < NZ - 1) sum -= c * u[1];
        y->data[r] = sum;
      }
  if (b->poisoned && --b->poisoned == 0) y->data[ROWS / 2] = NAN;
  return QDS_OK;
}

static qds_operator box_operator(box *self) {
  return (qds_operator){self, ROWS, "box", apply_box};
}

static qds_status create_inverse(qds_context *ctx, qds_precision precision, qds_fdm **out) {
  double matrix[3][NX * NX] = {{0}};
  for (int a = 0; a < 3; a++)
    for (int64_t i = 0; i < sizes[a]; i++) {
      matrix[a][i * sizes[a] + i] = 2;
      if (i > 0) matrix[a][i * sizes[a] + i - 1] = matrix[a][(i - 1) * sizes[a] + i] = -1;
    }
  return qds_fdm_create(ctx, sizes, (const double *const[3]){matrix[0], matrix[1], matrix[2]}, 0, precision,
                        out);
}

static void fill_random(double *x) {
  for (uint64_t i = 0; i < ROWS; i++) x[i] = qds_random_normal(20261120, 7, i);
}

static double relative_residual(qds_context *ctx, qds_operator a, const double *b, const double *x) {
  static double copy[ROWS], image[ROWS];
  double residual = 0, size = 0;
  memcpy(copy, x, sizeof copy);
  const qds_block from = {copy, ROWS, ROWS, 1, NULL};
  qds_block to = {image, ROWS, ROWS, 1, NULL};
  assert_ok(a.apply(a.self, ctx, &from, &to));
  for (int i = 0; i < ROWS; i++) {
    residual += (b[i] - image[i]) * (b[i] - image[i]);
    size += b[i] * b[i];
  }
  return sqrt(residual / size);
}

static double b[ROWS], x[ROWS];

static qds_status apply_through_host(void *self, qds_context *ctx, const qds_block *from, qds_block *to) {
  const qds_operator *on_host = self;
  __attribute__((cleanup(qds_block_clear))) qds_block input = {0}, output = {0};
  QDS_TRY(qds_block_create(ctx, ROWS, 1, "test", &input));
  QDS_TRY(qds_block_create(ctx, ROWS, 1, "test", &output));
  QDS_TRY(qds_block_copy(from, &input));
  QDS_TRY(on_host->apply(on_host->self, ctx, &input, &output));
  return qds_block_copy(&output, to);
}

/* qds_pcg from b to x, in memory of the context's device. */
static qds_status solve_on_device(qds_context *ctx, const qds_pcg_options *options,
                                  qds_pcg_statistics *statistics) {
  const qds_block host_b = {b, ROWS, ROWS, 1, NULL};
  qds_block host_x = {x, ROWS, ROWS, 1, NULL};
  if (!qds_context_accelerator(ctx)) return qds_pcg(ctx, options, &host_b, &host_x, statistics);
  *statistics = (qds_pcg_statistics){0}; /* a copy may fail before it */
  qds_operator a = *options->operator_, m = options->preconditioner ? *options->preconditioner : a;
  const qds_operator device_a = {&a, a.rows, a.name, apply_through_host},
                     device_m = {&m, m.rows, m.name, apply_through_host};
  qds_pcg_options moved = *options;
  moved.operator_ = &device_a;
  if (options->preconditioner) moved.preconditioner = &device_m;
  __attribute__((cleanup(qds_block_clear))) qds_block device_b = {0}, device_x = {0};
  QDS_TRY(qds_block_create_on(ctx, qds_context_stream(ctx), ROWS, 1, "test", &device_b));
  QDS_TRY(qds_block_create_on(ctx, qds_context_stream(ctx), ROWS, 1, "test", &device_x));
  QDS_TRY(qds_block_copy(&host_b, &device_b));
  QDS_TRY(qds_block_copy(&host_x, &device_x));
  QDS_TRY(qds_pcg(ctx, &moved, &device_b, &device_x, statistics));
  const qds_status status = qds_block_copy(&device_x, &host_x);
  if (status != QDS_OK) *statistics = (qds_pcg_statistics){0};
  return status;
}

static int solve(qds_context *ctx, box *problem, const qds_operator *preconditioner, double tolerance) {
  const qds_operator a = box_operator(problem);
  const qds_pcg_options options = {.operator_ = &a,
                                   .preconditioner = preconditioner,
                                   .relative_tolerance = tolerance,
                                   .max_iterations = 500,
                                   .phase = "test"};
  qds_pcg_statistics statistics;
  assert_ok(solve_on_device(ctx, &options, &statistics));
  assert_close(statistics.relative_residual, relative_residual(ctx, a, b, x), 0.01 * tolerance);
  assert_true(statistics.relative_residual <= tolerance);
  return statistics.iterations;
}

static void laplacian_needs_no_preconditioner(qds_context *ctx) {
  box laplacian = {1, 0, 0};
  fill_random(b);
  memset(x, 0, sizeof x);
  const int iterations = solve(ctx, &laplacian, NULL, 1e-10);
  assert_true(iterations > 20 && iterations < 100);
  assert_int_equal(solve(ctx, &laplacian, NULL, 1e-10), 0); /* x is the solution now */
  for (int i = 0; i < ROWS; i++) x[i] *= 1 + 1e-6;
  assert_true(solve(ctx, &laplacian, NULL, 1e-10) < iterations); /* a good start helps */
}

static void exact_preconditioner_takes_one_iteration(qds_context *ctx) {
  QDS_AUTO(qds_fdm) *exact = NULL, *single = NULL;
  box laplacian = {1, 0, 0};
  assert_ok(create_inverse(ctx, QDS_FLOAT64, &exact));
  assert_ok(create_inverse(ctx, QDS_FLOAT32, &single));
  const qds_operator in_double = qds_fdm_operator(exact), in_single = qds_fdm_operator(single);
  fill_random(b);
  memset(x, 0, sizeof x);
  assert_int_equal(solve(ctx, &laplacian, &in_double, 1e-10), 1);
  memset(x, 0, sizeof x);
  assert_true(solve(ctx, &laplacian, &in_single, 1e-10) <= 2);
}

static void contrast_costs_iterations(qds_context *ctx) {
  QDS_AUTO(qds_fdm) *single = NULL;
  box halves = {10, 0, 0};
  assert_ok(create_inverse(ctx, QDS_FLOAT32, &single));
  const qds_operator inverse = qds_fdm_operator(single);
  fill_random(b);
  fill_random(x);
  const int preconditioned = solve(ctx, &halves, &inverse, 1e-10);
  assert_true(preconditioned > 2 && preconditioned < 60);
  memset(x, 0, sizeof x);
  assert_true(solve(ctx, &halves, NULL, 1e-10) > preconditioned);
}

static qds_status attempt(qds_context *ctx, box *problem, const qds_operator *preconditioner,
                          double tolerance, int max_iterations) {
  const qds_operator a = box_operator(problem);
  const qds_pcg_options options = {.operator_ = &a,
                                   .preconditioner = preconditioner,
                                   .relative_tolerance = tolerance,
                                   .max_iterations = max_iterations,
                                   .phase = "potential"};
  qds_pcg_statistics statistics = {7, 7};
  const qds_status status = solve_on_device(ctx, &options, &statistics);
  assert_true(status == QDS_OK || (statistics.iterations == 0 && statistics.relative_residual == 0));
  return status;
}

static void what_cannot_work_is_an_error(qds_context *ctx) {
  box laplacian = {1, 0, 0}, indefinite = {1, 4, 0}, breaking = {1, 0, 5};
  const qds_operator not_positive = box_operator(&indefinite);
  fill_random(b);
  memset(x, 0, sizeof x);
  assert_fails(attempt(ctx, &indefinite, NULL, 1e-8, 500), QDS_ERROR_NUMERIC, "operator box is not positive");
  assert_fails(attempt(ctx, &breaking, NULL, 1e-8, 500), QDS_ERROR_NUMERIC, "p . A p = nan");
  memset(x, 0, sizeof x);
  breaking.poisoned = 1;
  assert_fails(attempt(ctx, &breaking, NULL, 1e-8, 500), QDS_ERROR_NUMERIC, "operator box holds NaN");
  assert_fails(attempt(ctx, &laplacian, &not_positive, 1e-8, 500), QDS_ERROR_NUMERIC,
               "preconditioner box is not positive");
  memset(x, 0, sizeof x);
  assert_fails(attempt(ctx, &laplacian, NULL, 1e-8, 3), QDS_ERROR_CONVERGENCE, "after 3 iterations");
  assert_fails(attempt(ctx, &laplacian, NULL, 1e-19, 5000), QDS_ERROR_CONVERGENCE, "rounding errors");
  assert_fails(attempt(ctx, &laplacian, NULL, 0, 500), QDS_ERROR_ARGUMENT, "tolerance 0");
  qds_operator short_one = not_positive;
  short_one.rows--;
  assert_fails(attempt(ctx, &laplacian, &short_one, 1e-8, 500), QDS_ERROR_ARGUMENT, "3569");
  b[5] = NAN;
  assert_fails(attempt(ctx, &laplacian, NULL, 1e-8, 500), QDS_ERROR_NUMERIC, "right-hand side is nan");
}

/* With the operator's norm a residual that rounding has stopped is accepted, and said; no other is. */
static void what_rounding_leaves_is_accepted(qds_context *ctx) {
  box laplacian = {1, 0, 0};
  const qds_operator a = box_operator(&laplacian);
  qds_pcg_options options = {
      .operator_ = &a, .relative_tolerance = 1e-19, .max_iterations = 5000, .phase = "potential", .norm = 12};
  qds_pcg_statistics statistics;
  fill_random(b);
  memset(x, 0, sizeof x);
  assert_ok(solve_on_device(ctx, &options, &statistics));
  assert_true(statistics.relative_residual > 1e-19 && statistics.relative_residual < 1e-14);
  assert_close(relative_residual(ctx, a, b, x), statistics.relative_residual, 1e-16);
  memset(x, 0, sizeof x);
  options.norm = 1e-6;
  assert_fails(solve_on_device(ctx, &options, &statistics), QDS_ERROR_CONVERGENCE, "rounding errors");
}

static void zero_gives_zero(qds_context *ctx) {
  box laplacian = {1, 0, 0};
  memset(b, 0, sizeof b);
  fill_random(x);
  assert_ok(attempt(ctx, &laplacian, NULL, 1e-8, 500));
  for (int i = 0; i < ROWS; i++) assert_true(x[i] == 0);
}

static void interruption_stops(qds_context *ctx) {
  box laplacian = {1, 0, 0};
  fill_random(b);
  memset(x, 0, sizeof x);
  qds_context_interrupt(ctx);
  assert_fails(attempt(ctx, &laplacian, NULL, 1e-8, 500), QDS_ERROR_INTERRUPTED, "potential");
  qds_context_resume(ctx);
  assert_ok(attempt(ctx, &laplacian, NULL, 1e-8, 500));
}

static double one_thread[ROWS];

static void solve_on_one(qds_context *ctx) {
  box laplacian = {3, 0, 0};
  fill_random(b);
  memset(x, 0, sizeof x);
  solve(ctx, &laplacian, NULL, 1e-10);
  memcpy(one_thread, x, sizeof x);
}

static void solve_on_several(qds_context *ctx) {
  box laplacian = {3, 0, 0};
  memset(x, 0, sizeof x);
  solve(ctx, &laplacian, NULL, 1e-10);
  assert_memory_equal(x, one_thread, sizeof x);
}

static void test_threads_change_nothing(void **state) {
  (void)state;
  with_context(1, solve_on_one);
  with_context(4, solve_on_several);
}

static qds_status create_and_solve(qds_context *ctx, void *data) {
  QDS_AUTO(qds_fdm) *single = NULL;
  QDS_TRY(create_inverse(ctx, QDS_FLOAT32, &single));
  const qds_operator inverse = qds_fdm_operator(single);
  memset(x, 0, sizeof x);
  return attempt(ctx, data, &inverse, 1e-8, 500);
}

static void memory_runs_out(qds_context *ctx) {
  box halves = {10, 0, 0};
  fill_random(b);
  assert_ok(create_and_solve(ctx, &halves)); /* loads BLAS, which the context keeps */
  assert_true(fail_each_allocation(ctx, create_and_solve, &halves) > 20);
}

/* Whatever the simulated device refuses ends the solve with its message, and leaves nothing behind. */
static void device_fails(qds_context *ctx) {
  box halves = {10, 0, 0};
  fill_random(b);
  assert_ok(create_and_solve(ctx, &halves));
  if (!qds_context_accelerator(ctx) || strncmp(qds_context_device(ctx), "sim", 3) != 0) return;
  assert_true(fail_each_on_device(ctx, QDS_INJECT_LAUNCH, 20, create_and_solve, &halves) == 20);
  assert_true(fail_each_on_device(ctx, QDS_INJECT_COPY, 20, create_and_solve, &halves) == 20);
}

static void places_must_agree(qds_context *ctx) {
  box laplacian = {1, 0, 0};
  const qds_operator a = box_operator(&laplacian);
  const qds_pcg_options options = {.operator_ = &a,
                                   .preconditioner = NULL,
                                   .relative_tolerance = 1e-8,
                                   .max_iterations = 500,
                                   .phase = "test"};
  qds_pcg_statistics statistics;
  qds_block right = {b, ROWS, ROWS, 1, qds_context_stream(ctx)}, left = {x, ROWS, ROWS, 1, NULL};
  assert_fails(qds_pcg(ctx, &options, &right, &left, &statistics), QDS_ERROR_ARGUMENT, "different places");
  right = (qds_block){b, ROWS - 1, ROWS, 1, NULL};
  assert_fails(qds_pcg(ctx, &options, &right, &left, &statistics), QDS_ERROR_ARGUMENT,
               "right-hand side is 3569 x 1");
}

#define TEST_IN_CONTEXT(name)                                                                                \
  static void test_##name(void **state) {                                                                    \
    (void)state;                                                                                             \
    with_context(2, name);                                                                                   \
  }
TEST_IN_CONTEXT(laplacian_needs_no_preconditioner)
TEST_IN_CONTEXT(exact_preconditioner_takes_one_iteration)
TEST_IN_CONTEXT(contrast_costs_iterations)
TEST_IN_CONTEXT(what_cannot_work_is_an_error)
TEST_IN_CONTEXT(what_rounding_leaves_is_accepted)
TEST_IN_CONTEXT(zero_gives_zero)
TEST_IN_CONTEXT(interruption_stops)
TEST_IN_CONTEXT(memory_runs_out)
TEST_IN_CONTEXT(device_fails)
TEST_IN_CONTEXT(places_must_agree)

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_laplacian_needs_no_preconditioner),
      cmocka_unit_test(test_exact_preconditioner_takes_one_iteration),
      cmocka_unit_test(test_contrast_costs_iterations),
      cmocka_unit_test(test_what_cannot_work_is_an_error),
      cmocka_unit_test(test_what_rounding_leaves_is_accepted),
      cmocka_unit_test(test_zero_gives_zero),
      cmocka_unit_test(test_interruption_stops),
      cmocka_unit_test(test_threads_change_nothing),
      cmocka_unit_test(test_memory_runs_out),
      cmocka_unit_test(test_device_fails),
      cmocka_unit_test(test_places_must_agree),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}

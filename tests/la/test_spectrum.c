/* All levels with their multiplicities on separable problems, whose levels are sums of those of their axes;
 * and what happens to a level that a plain solver misses. */
#include "tensor_support.h"

#include "la/blas.h"
#include "la/multigrid.h"
#include "la/spectrum.h"

enum { MOST_STATES = 150 };

/* --- separable problems ------------------------------------------------------------------------------- */

/* Wells along one axis: a few Gaussians on a parabola; `kind` chooses them. */
static double axis_potential(uint64_t kind, double x, double length) {
  const double middle = 0.5 * length;
  double v = 30 * problem_random(kind, 20, 0) * pow((x - middle) / middle, 2);
  for (uint64_t w = 0; w < 3; w++) {
    const double centre = length * problem_random(kind, 21, w),
                 width = length * (0.05 + 0.2 * problem_random(kind, 22, w));
    v -= 60 * problem_random(kind, 23, w) * exp(-pow((x - centre) / width, 2));
  }
  return v;
}

/* The levels of axis a alone, ascending; the caller frees them. */
static double *axis_levels(qds_context *ctx, const tensor_problem *p, int a, const double *v) {
  const int64_t n = p->t->n[a];
  double *levels = calloc((size_t)n, sizeof *levels), *matrix = calloc((size_t)(n * n), sizeof *matrix);
  if (p->axis[a]->elements > 0) {
    qds_axis_matrix(p->axis[a], p->t->c[a], v, matrix);
    assert_ok(qds_symmetric_eigen(ctx, (int)n, matrix, levels));
  }
  free(matrix);
  return levels;
}

static int ascending(const void *a, const void *b) {
  const double x = *(const double *)a, y = *(const double *)b;
  return (x > y) - (x < y);
}

/* Fills a problem, whose coefficients are all by element, with the potentials `kind` of each axis, and
 * returns its levels, ascending; the caller frees them. */
static double *fill_separable(qds_context *ctx, tensor_problem *p, const uint64_t kind[3], double contrast) {
  const qds_tensor_operator *t = p->t;
  double *part[3], *levels[3], *sums = calloc((size_t)t->rows, sizeof *sums);
  for (int a = 0; a < 3; a++) {
    const qds_axis *axis = p->axis[a];
    part[a] = calloc((size_t)t->n[a], sizeof(double));
    for (int64_t i = 0; i < t->n[a] && axis->elements > 0; i++)
      part[a][i] = axis_potential(kind[a], axis->coordinates_nm[i + axis->first],
                                  axis->coordinates_nm[axis->nodes - 1]);
    for (int64_t e = 0; e < axis->elements; e++) t->c[a][e] = 2 * e < axis->elements ? 1 : contrast;
    levels[a] = axis_levels(ctx, p, a, part[a]);
  }
  for (int64_t row = 0; row < t->rows; row++) {
    const int64_t i = row / (t->n[1] * t->n[2]), j = row / t->n[2] % t->n[1], k = row % t->n[2];
    t->v[row] = part[0][i] + part[1][j] + part[2][k];
    sums[row] = levels[0][i] + levels[1][j] + levels[2][k];
  }
  qsort(sums, (size_t)t->rows, sizeof *sums, ascending);
  for (int a = 0; a < 3; a++) {
    free(part[a]);
    free(levels[a]);
  }
  return sums;
}

static double lowest_potential(const qds_tensor_operator *t) {
  double low = t->v[0];
  for (int64_t i = 1; i < t->rows; i++) low = fmin(low, t->v[i]);
  return low;
}

typedef struct {
  qds_block x;
  double values[MOST_STATES], residuals[MOST_STATES];
  qds_spectrum_statistics statistics;
} spectrum;

static qds_spectrum_options options_for(const tensor_problem *p, int states) {
  return (qds_spectrum_options){
      .states = states, .relative_tolerance = 1e-8, .floor = lowest_potential(p->t), .max_iterations = 300};
}

/* The levels are the lowest, each as often as it must be, with orthonormal vectors and true residuals. */
static void check_spectrum(qds_context *ctx, const tensor_problem *p, const qds_spectrum_options *o,
                           const double *expected, const spectrum *s, const char *what) {
  const qds_operator a = qds_tensor_operator_apply(p->t);
  static double gram[MOST_STATES * MOST_STATES];
  qds_block image = {0};
  assert_int_equal(s->x.columns, o->states);
  assert_ok(qds_block_create(ctx, p->t->rows, o->states, "test", &image));
  assert_ok(a.apply(a.self, ctx, &s->x, &image));
  assert_ok(qds_block_gram(ctx, &s->x, &s->x, gram));
  for (int j = 0; j < o->states; j++) {
    double square = 0;
    for (int i = 0; i < o->states; i++) assert_close(gram[j * o->states + i], i == j, 1e-11);
    for (int64_t i = 0; i < p->t->rows; i++)
      square += pow(qds_block_column(&image, j)[i] - s->values[j] * qds_block_column(&s->x, j)[i], 2);
    const double scale = expected[j] - o->floor;
    assert_close(s->residuals[j], sqrt(square), 1e-10 * scale + 0.01 * sqrt(square));
    assert_true(s->residuals[j] <= o->tolerance + 1.0001 * o->relative_tolerance * scale);
    if (!(fabs(s->values[j] - expected[j]) <= 1e-8 * scale))
      fail_msg("%s: level %d of %d is %.12g, found %.12g (check: %s)", what, j, o->states, expected[j],
               s->values[j], s->statistics.verification);
  }
  qds_block_clear(&image);
}

static void random_separable_levels_are_all_found(qds_context *ctx) {
  static const int most[] = {0, 600, 44, 15}, seeds[] = {0, 8, 24, 12};
  for (int dimensions = 1; dimensions <= 3; dimensions++)
    for (uint64_t seed = 1; seed <= (uint64_t)seeds[dimensions]; seed++) {
      axis_plan plan[3];
      int by_element[3];
      char what[64];
      plan_random(500 * (uint64_t)dimensions + seed, dimensions, most[dimensions], plan, by_element);
      for (int a = 3 - dimensions; a < 3; a++) plan[a].elements = most[dimensions] / plan[a].order;
      uint64_t kind[3] = {seed, seed + 100, seed + 200};
      if (seed % 2) { /* equal axes: levels with multiplicities */
        plan[1] = plan[dimensions > 1 ? 2 : 1];
        kind[1] = kind[2];
        if (dimensions == 3) plan[0] = plan[2], kind[0] = kind[2];
      }
      tensor_problem p = problem_make(ctx, plan, (const int[3]){1, 1, 1});
      double *expected = fill_separable(ctx, &p, kind, seed % 3 ? 1 : 10);
      const qds_spectrum_options options = options_for(&p, 1 + (int)(seed * 7 % 10));
      spectrum s;
      snprintf(what, sizeof what, "%dD, seed %d, %d rows", dimensions, (int)seed, (int)p.t->rows);
      assert_ok(qds_spectrum(ctx, p.t, &options, &s.x, s.values, s.residuals, &s.statistics));
      check_spectrum(ctx, &p, &options, expected, &s, what);
      print_message("%s: %d states, %d iterations, %d found by the check\n", what, options.states,
                    s.statistics.finest.iterations, s.statistics.found_by_verification);
      assert_true(s.statistics.finest.iterations < 60);
      if (dimensions == 1 && p.t->rows > 400) assert_non_null(strstr(s.statistics.verification, "inertia"));
      qds_block_clear(&s.x);
      free(expected);
      problem_clear(&p);
    }
}

/* --- exact levels ------------------------------------------------------------------------------------- */

static tensor_problem square(qds_context *ctx, int order, int64_t elements, double length) {
  const axis_plan side = {order, elements, {QDS_DIRICHLET, QDS_DIRICHLET}, length, 1};
  const axis_plan plan[3] = {{0}, side, side};
  return problem_make(ctx, plan, (const int[3]){1, 1, 1});
}

static void box_and_oscillator_have_their_levels(qds_context *ctx) {
  static const double box[] = {2, 5, 5, 8, 10, 10, 13, 13}, oscillator[] = {2, 4, 4, 6, 6, 6, 8, 8, 8, 8};
  tensor_problem p = square(ctx, 4, 8, acos(-1));
  qds_spectrum_options options = options_for(&p, 8);
  spectrum s;
  assert_ok(qds_spectrum(ctx, p.t, &options, &s.x, s.values, s.residuals, &s.statistics));
  for (int j = 0; j < 8; j++) assert_close(s.values[j], box[j], 1e-5);
  qds_block_clear(&s.x);
  problem_clear(&p);

  p = square(ctx, 4, 12, 12);
  for (int64_t row = 0; row < p.t->rows; row++)
    p.t->v[row] = pow(p.axis[1]->coordinates_nm[row / p.t->n[2] + 1] - 6, 2) +
                  pow(p.axis[2]->coordinates_nm[row % p.t->n[2] + 1] - 6, 2);
  for (int states = 1; states <= 10; states++) { /* some of these cut a level in two */
    options = options_for(&p, states);
    assert_ok(qds_spectrum(ctx, p.t, &options, &s.x, s.values, s.residuals, &s.statistics));
    for (int j = 0; j < states; j++) assert_close(s.values[j], oscillator[j], 1e-3);
    qds_block_clear(&s.x);
  }
  problem_clear(&p);
}

/* The other preconditioner finds the same levels; it is exact on a separable operator. */
static void fast_diagonalisation_finds_the_same_levels(qds_context *ctx) {
  const axis_plan plan[3] = {{1, 12, {QDS_DIRICHLET, QDS_DIRICHLET}, 1, 3},
                             {2, 6, {QDS_PERIODIC, QDS_PERIODIC}, 1, 1},
                             {4, 4, {QDS_NEUMANN, QDS_DIRICHLET}, 1, 1}};
  tensor_problem p = problem_make(ctx, plan, (const int[3]){1, 1, 1});
  double *expected = fill_separable(ctx, &p, (const uint64_t[3]){1, 2, 3}, 5);
  qds_spectrum_options options = options_for(&p, 6);
  spectrum s;
  options.preconditioner = QDS_PRECONDITION_FAST_DIAGONALISATION;
  assert_ok(qds_spectrum(ctx, p.t, &options, &s.x, s.values, s.residuals, &s.statistics));
  check_spectrum(ctx, &p, &options, expected, &s, "fast diagonalisation");
  assert_string_equal(s.statistics.preconditioner, "fast diagonalisation");
  assert_true(s.statistics.finest.iterations < 15);
  qds_block_clear(&s.x);
  options.precision = QDS_FLOAT64;
  assert_ok(qds_spectrum(ctx, p.t, &options, &s.x, s.values, s.residuals, &s.statistics));
  check_spectrum(ctx, &p, &options, expected, &s, "fast diagonalisation in float64");
  assert_string_equal(s.statistics.preconditioner, "fast diagonalisation in float64");
  qds_block_clear(&s.x);
  free(expected);
  problem_clear(&p);
}

/* More vectors than a device combines at once. */
static void many_states_are_found(qds_context *ctx) {
  tensor_problem p = square(ctx, 1, 46, 5);
  double *expected = fill_separable(ctx, &p, (const uint64_t[3]){0, 7, 8}, 3);
  const qds_spectrum_options options = options_for(&p, MOST_STATES);
  spectrum s;
  assert_ok(qds_spectrum(ctx, p.t, &options, &s.x, s.values, s.residuals, &s.statistics));
  check_spectrum(ctx, &p, &options, expected, &s, "many states");
  assert_string_equal(s.statistics.device, qds_context_device(ctx));
  assert_int_equal(qds_context_fallbacks(ctx), 0);
  qds_block_clear(&s.x);
  free(expected);
  problem_clear(&p);
}

static void small_operators_are_diagonalised(qds_context *ctx) {
  tensor_problem p = square(ctx, 1, 4, 4);
  qds_spectrum_options options = options_for(&p, 9);
  spectrum s;
  assert_ok(qds_spectrum(ctx, p.t, &options, &s.x, s.values, s.residuals, &s.statistics));
  /* on four steps of 1 each axis has the levels 2 - sqrt 2, 2, 2 + sqrt 2 */
  const double r = sqrt(2), levels[] = {4 - 2 * r, 4 - r, 4 - r, 4, 4, 4, 4 + r, 4 + r, 4 + 2 * r};
  for (int j = 0; j < 9; j++) assert_close(s.values[j], levels[j], 1e-13);
  assert_non_null(strstr(s.statistics.verification, "complete"));
  assert_int_equal(s.x.columns, 9);
  qds_block_clear(&s.x);
  options.states = 10;
  assert_fails(qds_spectrum(ctx, p.t, &options, &s.x, s.values, s.residuals, &s.statistics),
               QDS_ERROR_ARGUMENT, "10 states wanted of 9 unknowns");
  assert_null(s.x.data);
  problem_clear(&p);
}

/* --- levels that a plain solver misses ---------------------------------------------------------------- */

/* The function sin(i pi x / L) sin(j pi y / L) on a square, added to u with a factor. */
static void add_wave(const tensor_problem *p, int i, int j, double factor, double *u) {
  const double scale = acos(-1) / p->axis[2]->coordinates_nm[p->axis[2]->nodes - 1];
  for (int64_t row = 0; row < p->t->rows; row++)
    u[row] += factor * sin(i * scale * p->axis[1]->coordinates_nm[row / p->t->n[2] + 1]) *
              sin(j * scale * p->axis[2]->coordinates_nm[row % p->t->n[2] + 1]);
}

/* LOBPCG with the same preconditioner and tolerance as qds_spectrum, and no check. */
static void solve_without_check(qds_context *ctx, const tensor_problem *p, const qds_spectrum_options *o,
                                spectrum *s) {
  QDS_AUTO(qds_multigrid) *multigrid = NULL;
  qds_lobpcg_statistics statistics;
  assert_ok(qds_multigrid_create(ctx, NULL, p->t, &multigrid));
  const qds_operator a = qds_tensor_operator_apply(p->t), b = qds_multigrid_cycle(multigrid, 0);
  const qds_lobpcg_options options = {.operator_ = &a,
                                      .preconditioner = &b,
                                      .wanted = o->states,
                                      .relative_tolerance = o->relative_tolerance,
                                      .floor = o->floor,
                                      .max_iterations = o->max_iterations,
                                      .phase = "test"};
  assert_ok(qds_block_create(ctx, p->t->rows, o->start->columns, "test", &s->x));
  for (int j = 0; j < o->start->columns; j++)
    memcpy(qds_block_column(&s->x, j), qds_block_column(o->start, j), sizeof(double) * (size_t)p->t->rows);
  assert_ok(qds_lobpcg(ctx, &options, &s->x, s->values, s->residuals, &statistics));
  assert_true(statistics.iterations > 0);
}

/* Start vectors that are even under the exchange of x and y never see the odd one of a degenerate pair. */
static void one_of_a_pair_is_missed_and_found_by_the_check(qds_context *ctx) {
  static const double levels[] = {2, 5, 8}, all[] = {2, 5, 5};
  tensor_problem p = square(ctx, 1, 64, acos(-1));
  qds_block start = {0};
  qds_spectrum_options options = options_for(&p, 3);
  spectrum s;
  assert_ok(qds_block_create(ctx, p.t->rows, 3, "test", &start));
  memset(start.data, 0, sizeof(double) * (size_t)(3 * start.stride));
  for (int j = 0; j < 3; j++) {
    double *u = qds_block_column(&start, j);
    static const int waves[3][2] = {{1, 1}, {1, 2}, {2, 2}};
    add_wave(&p, waves[j][0], waves[j][1], 1, u);
    add_wave(&p, waves[j][1], waves[j][0], 1, u);
    add_wave(&p, 3 + j, 3 + j, 0.01, u);
  }
  options.start = &start;
  options.relative_tolerance = 1e-6;
  solve_without_check(ctx, &p, &options, &s);
  for (int j = 0; j < 3; j++) {
    assert_close(s.values[j], levels[j], 0.02);
    assert_true(s.residuals[j] < 1e-6 * s.values[j]);
  }
  qds_block_clear(&s.x);
  assert_ok(qds_spectrum(ctx, p.t, &options, &s.x, s.values, s.residuals, &s.statistics));
  for (int j = 0; j < 3; j++) assert_close(s.values[j], all[j], 0.02);
  assert_int_equal(s.statistics.found_by_verification, 1);
  assert_non_null(strstr(s.statistics.verification, "second search"));
  qds_block_clear(&s.x);
  qds_block_clear(&start);
  problem_clear(&p);
}

/* Large enough for the check to save vectors on its coarse grids, as many as the finest grid does without. */
static void given_vectors_on_a_large_grid(qds_context *ctx) {
  tensor_problem p = square(ctx, 1, 300, acos(-1));
  qds_spectrum_options options = options_for(&p, 3);
  spectrum first, second;
  assert_ok(qds_spectrum(ctx, p.t, &options, &first.x, first.values, first.residuals, &first.statistics));
  options.start = &first.x;
  assert_ok(qds_spectrum(ctx, p.t, &options, &second.x, second.values, second.residuals, &second.statistics));
  for (int j = 0; j < 3; j++) assert_close(second.values[j], first.values[j], 1e-6);
  assert_true(second.statistics.finest.iterations < first.statistics.finest.iterations);
  qds_block_clear(&first.x);
  qds_block_clear(&second.x);
  problem_clear(&p);
}

/* In one dimension the count says how many odd levels the even start vectors have missed. */
static void odd_levels_are_missed_and_found_by_the_count(qds_context *ctx) {
  const axis_plan plan[3] = {{0}, {0}, {2, 300, {QDS_DIRICHLET, QDS_DIRICHLET}, acos(-1), 1}};
  tensor_problem p = problem_make(ctx, plan, (const int[3]){1, 1, 1});
  qds_block start = {0};
  qds_spectrum_options options = options_for(&p, 3);
  spectrum s;
  assert_ok(qds_block_create(ctx, p.t->rows, 3, "test", &start));
  for (int j = 0; j < 3; j++)
    for (int64_t i = 0; i < p.t->rows; i++) {
      const double x = p.axis[2]->coordinates_nm[i + 1];
      qds_block_column(&start, j)[i] =
          (sin((2 * j + 1) * x) + 0.003 * sin((2 * j + 7) * x)) / p.axis[2]->scale[i];
    }
  options.start = &start;
  options.relative_tolerance = 1e-4; /* soon: rounding is not even, and grows */
  solve_without_check(ctx, &p, &options, &s);
  for (int j = 0; j < 3; j++) assert_close(s.values[j], pow(2 * j + 1, 2), 1e-3);
  qds_block_clear(&s.x);
  assert_ok(qds_spectrum(ctx, p.t, &options, &s.x, s.values, s.residuals, &s.statistics));
  for (int j = 0; j < 3; j++) assert_close(s.values[j], pow(j + 1, 2), 1e-3);
  assert_in_range(s.statistics.found_by_verification, 1, 2);
  assert_non_null(strstr(s.statistics.verification, "inertia count"));
  qds_block_clear(&s.x);
  qds_block_clear(&start);
  problem_clear(&p);
}

/* --- errors ------------------------------------------------------------------------------------------- */

static qds_status attempt(qds_context *ctx, const tensor_problem *p, const qds_spectrum_options *options) {
  spectrum s;
  const qds_status status = qds_spectrum(ctx, p->t, options, &s.x, s.values, s.residuals, &s.statistics);
  if (status != QDS_OK) assert_null(s.x.data);
  qds_block_clear(&s.x);
  return status;
}

static void what_cannot_work_is_an_error(qds_context *ctx) {
  tensor_problem p = square(ctx, 2, 20, 1);
  qds_spectrum_options options = options_for(&p, 5);
  qds_block start = {0};
  options.max_iterations = 1;
  assert_fails(attempt(ctx, &p, &options), QDS_ERROR_CONVERGENCE, "not converged after 1 iterations");
  options.max_iterations = 300;
  assert_ok(qds_block_create(ctx, p.t->rows, 4, "test", &start));
  qds_block_fill_random(ctx, &start, 1);
  options.start = &start;
  assert_fails(attempt(ctx, &p, &options), QDS_ERROR_ARGUMENT, "4 start vectors of 1521 rows for 5 states");
  options.start = NULL;
  qds_context_interrupt(ctx);
  assert_fails(attempt(ctx, &p, &options), QDS_ERROR_INTERRUPTED, "");
  qds_context_resume(ctx);
  p.t->v[700] = NAN;
  assert_int_equal(attempt(ctx, &p, &options), QDS_ERROR_NUMERIC);
  p.t->v[700] = INFINITY;
  assert_int_equal(attempt(ctx, &p, &options), QDS_ERROR_NUMERIC);
  qds_block_clear(&start);
  problem_clear(&p);
}

typedef struct {
  tensor_problem *p;
  qds_spectrum_options options;
} memory_case;

static qds_status attempt_for_memory(qds_context *ctx, void *data) {
  const memory_case *c = data;
  return attempt(ctx, c->p, &c->options);
}

static void memory_runs_out(qds_context *ctx) {
  tensor_problem p = square(ctx, 1, 22, 1);
  memory_case c = {&p, options_for(&p, 1)};
  c.options.relative_tolerance = 1e-2;
  assert_ok(attempt_for_memory(ctx, &c)); /* loads BLAS, which the context keeps */
  assert_true(fail_each_allocation(ctx, attempt_for_memory, &c) > 100);
  c.options.preconditioner = QDS_PRECONDITION_FAST_DIAGONALISATION;
  assert_true(fail_each_allocation(ctx, attempt_for_memory, &c) > 100);
  problem_clear(&p);
}

/* What is announced before a solve is what it takes. */
static void announced_memory_is_enough(qds_context *ctx) {
  const axis_plan side = {1, 41, {QDS_DIRICHLET, QDS_DIRICHLET}, 1, 1};
  const axis_plan plan[3] = {side, side, side};
  tensor_problem p = problem_make(ctx, plan, (const int[3]){1, 1, 1});
  const qds_spectrum_options options = options_for(&p, 4);
  qds_memory_row before, after;
  qds_context_memory(ctx, &before);
  assert_ok(attempt(ctx, &p, &options));
  qds_context_memory(ctx, &after);
  const double taken = (double)(after.peak_bytes - before.current_bytes),
               announced = (double)qds_spectrum_bytes(p.t->rows, 1, 4, 3);
  print_message("announced %.1f MB, taken %.1f MB\n", announced / 1e6, taken / 1e6);
  assert_true(taken < 1.25 * announced && taken > 0.4 * announced);
  assert_true(qds_spectrum_seconds(p.t->rows, 4, 1) > qds_spectrum_seconds(p.t->rows, 4, 2));
  problem_clear(&p);
}

static double one_thread[MOST_STATES];
static double *one_thread_states;

static void solve_for_threads(qds_context *ctx, spectrum *s) {
  axis_plan plan[3] = {{1, 20, {QDS_DIRICHLET, QDS_NEUMANN}, 1, 1},
                       {2, 11, {QDS_DIRICHLET, QDS_DIRICHLET}, 1, 3},
                       {1, 24, {QDS_PERIODIC, QDS_PERIODIC}, 1, 1}};
  tensor_problem p = problem_make(ctx, plan, (const int[3]){1, 0, 1});
  problem_fill_random(&p, 3, 3, 10);
  const qds_spectrum_options options = options_for(&p, 4);
  assert_ok(qds_spectrum(ctx, p.t, &options, &s->x, s->values, s->residuals, &s->statistics));
  problem_clear(&p);
}

static void solve_on_one(qds_context *ctx) {
  spectrum s;
  solve_for_threads(ctx, &s);
  memcpy(one_thread, s.values, sizeof one_thread);
  one_thread_states = malloc(sizeof(double) * (size_t)s.x.rows);
  memcpy(one_thread_states, qds_block_column(&s.x, 3), sizeof(double) * (size_t)s.x.rows);
  qds_block_clear(&s.x);
}

static void solve_on_several(qds_context *ctx) {
  spectrum s;
  solve_for_threads(ctx, &s);
  assert_memory_equal(s.values, one_thread, sizeof(double) * 4);
  assert_memory_equal(qds_block_column(&s.x, 3), one_thread_states, sizeof(double) * (size_t)s.x.rows);
  qds_block_clear(&s.x);
  free(one_thread_states);
}

static void test_threads_change_nothing(void **state) {
  (void)state;
  with_context(1, solve_on_one);
  with_context(3, solve_on_several);
}

/* States that are left where they were found are those that come to the host otherwise. */
static void states_stay_when_asked(qds_context *ctx) {
  const axis_plan side = {1, 20, {QDS_DIRICHLET, QDS_DIRICHLET}, 1, 1};
  const axis_plan plan[3] = {side, side, side};
  tensor_problem p = problem_make(ctx, plan, (const int[3]){1, 1, 1});
  spectrum home, left;
  qds_block copy = {0};
  problem_fill_random(&p, 7, 3, 10);
  qds_spectrum_options options = options_for(&p, 2);
  assert_ok(qds_spectrum(ctx, p.t, &options, &home.x, home.values, home.residuals, &home.statistics));
  options.leave_states = 1;
  assert_ok(qds_spectrum(ctx, p.t, &options, &left.x, left.values, left.residuals, &left.statistics));
  assert_null(home.x.stream);
  assert_ptr_equal(left.x.stream, qds_context_accelerator(ctx) ? qds_context_stream(ctx) : NULL);
  assert_int_equal(left.x.columns, 2);
  assert_ok(qds_block_create(ctx, p.t->rows, 2, "test", &copy));
  assert_ok(qds_block_copy(&left.x, &copy));
  assert_memory_equal(left.values, home.values, sizeof(double) * 2);
  for (int j = 0; j < 2; j++)
    assert_memory_equal(qds_block_column(&copy, j), qds_block_column(&home.x, j),
                        sizeof(double) * (size_t)p.t->rows);
  qds_block_clear(&copy);
  qds_block_clear(&left.x);
  qds_block_clear(&home.x);
  problem_clear(&p);
}

static void test_states_stay_when_asked(void **state) {
  (void)state;
  with_context_on_each(2, states_stay_when_asked);
}

#define TEST_IN_CONTEXT(name)                                                                                \
  static void test_##name(void **state) {                                                                    \
    (void)state;                                                                                             \
    with_context(1, name);                                                                                   \
  }
TEST_IN_CONTEXT(random_separable_levels_are_all_found)
TEST_IN_CONTEXT(box_and_oscillator_have_their_levels)
TEST_IN_CONTEXT(fast_diagonalisation_finds_the_same_levels)
TEST_IN_CONTEXT(many_states_are_found)
TEST_IN_CONTEXT(small_operators_are_diagonalised)
TEST_IN_CONTEXT(one_of_a_pair_is_missed_and_found_by_the_check)
TEST_IN_CONTEXT(given_vectors_on_a_large_grid)
TEST_IN_CONTEXT(odd_levels_are_missed_and_found_by_the_count)
TEST_IN_CONTEXT(what_cannot_work_is_an_error)
TEST_IN_CONTEXT(memory_runs_out)
/* Of the host: a device counts its memory itself. */
static void test_announced_memory_is_enough(void **state) {
  (void)state;
  with_context_on("cpu", 3, announced_memory_is_enough);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_random_separable_levels_are_all_found),
      cmocka_unit_test(test_box_and_oscillator_have_their_levels),
      cmocka_unit_test(test_fast_diagonalisation_finds_the_same_levels),
      cmocka_unit_test(test_many_states_are_found),
      cmocka_unit_test(test_small_operators_are_diagonalised),
      cmocka_unit_test(test_one_of_a_pair_is_missed_and_found_by_the_check),
      cmocka_unit_test(test_given_vectors_on_a_large_grid),
      cmocka_unit_test(test_odd_levels_are_missed_and_found_by_the_count),
      cmocka_unit_test(test_what_cannot_work_is_an_error),
      cmocka_unit_test(test_memory_runs_out),
      cmocka_unit_test(test_announced_memory_is_enough),
      cmocka_unit_test(test_threads_change_nothing),
      cmocka_unit_test(test_states_stay_when_asked),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}

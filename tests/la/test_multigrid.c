/* The V-cycle as a preconditioner: symmetric, positive definite, and good on every grid; its transfers and
 * shift. */
#include "tensor_support.h"

#include "la/blas.h"
#include "la/multigrid_internal.h"
#include "la/pcg.h"

/* A - shift for conjugate gradients. */
typedef struct {
  qds_operator a;
  double shift;
} shifted;

static qds_status apply_shifted(void *self, qds_context *ctx, const qds_block *x, qds_block *y) {
  const shifted *s = self;
  QDS_TRY(s->a.apply(s->a.self, ctx, x, y));
  for (int64_t i = 0; i < x->rows; i++) y->data[i] -= s->shift * x->data[i];
  return QDS_OK;
}

/* Iterations of conjugate gradients, preconditioned by the cycle, to a residual of 1e-8. */
static int solve_iterations(qds_context *ctx, const tensor_problem *p, qds_multigrid *multigrid,
                            double shift) {
  shifted s = {qds_tensor_operator_apply(p->t), shift};
  const qds_operator a = {&s, p->t->rows, "shifted", apply_shifted}, b = qds_multigrid_cycle(multigrid, 0);
  const qds_pcg_options options = {.operator_ = &a,
                                   .preconditioner = &b,
                                   .relative_tolerance = 1e-8,
                                   .max_iterations = 200,
                                   .phase = "test"};
  qds_pcg_statistics statistics;
  qds_block right = {0}, x = {0};
  assert_ok(qds_block_create(ctx, p->t->rows, 1, "test", &right));
  assert_ok(qds_block_create(ctx, p->t->rows, 1, "test", &x));
  qds_block_fill_random(ctx, &right, 5);
  memset(x.data, 0, sizeof(double) * (size_t)x.stride);
  assert_ok(qds_pcg(ctx, &options, &right, &x, &statistics));
  qds_block_clear(&right);
  qds_block_clear(&x);
  return statistics.iterations;
}

/* c is `contrast` inside a box in the middle, 1 outside; v is `potential` in the last axis's larger half. */
static void set_box(tensor_problem *p, double contrast, double potential) {
  const qds_tensor_operator *t = p->t;
  for (int a = 0; a < 3; a++) {
    const int64_t elements = p->axis[a]->elements;
    int64_t shape[3] = {t->n[0], t->n[1], t->n[2]};
    shape[a] = elements;
    for (int64_t i = 0; i < qds_tensor_operator_coefficients(t, a); i++) {
      const int64_t at[3] = {i / (shape[1] * shape[2]), i / shape[2] % shape[1], i % shape[2]};
      int inside = 1;
      for (int b = 0; b < 3; b++)
        inside &= shape[b] == 1 || (3 * at[b] >= shape[b] && 3 * at[b] < 2 * shape[b]);
      t->c[a][i] = inside ? contrast : 1;
    }
  }
  for (int64_t row = 0; row < t->rows; row++) t->v[row] = 2 * (row % t->n[2]) > t->n[2] ? potential : 0;
}

#define D QDS_DIRICHLET
#define N QDS_NEUMANN
#define P QDS_PERIODIC

static void conjugate_gradients_converge_in_few_iterations(qds_context *ctx) {
  static const struct {
    const char *name;
    axis_plan plan[3];
    double contrast, potential;
    int most;
  } cases[] = {
      {"1D", {{0}, {0}, {1, 1000, {D, D}, 1, 1}}, 1, 0, 7},
      {"2D", {{0}, {1, 64, {D, D}, 1, 1}, {1, 64, {D, D}, 1, 1}}, 1, 0, 8},
      {"3D", {{1, 24, {D, D}, 1, 1}, {1, 24, {D, D}, 1, 1}, {1, 24, {D, D}, 1, 1}}, 1, 0, 9},
      {"2D, jump", {{0}, {1, 64, {D, D}, 1, 1}, {1, 64, {D, D}, 1, 1}}, 10, 0, 12},
      {"3D, jump", {{1, 24, {D, D}, 1, 1}, {1, 24, {D, D}, 1, 1}, {1, 24, {D, D}, 1, 1}}, 10, 0, 13},
      {"3D, jump down", {{1, 24, {D, D}, 1, 1}, {1, 24, {D, D}, 1, 1}, {1, 24, {D, D}, 1, 1}}, 0.1, 0, 13},
      {"2D, graded", {{0}, {1, 64, {D, D}, 1, 2}, {1, 64, {D, D}, 1, 3}}, 1, 0, 14},
      {"3D, graded, jump", {{1, 24, {D, D}, 1, 2}, {1, 24, {D, D}, 1, 1}, {1, 24, {D, D}, 1, 2}}, 10, 0, 15},
      {"anisotropic", {{0}, {1, 64, {D, D}, 10, 1}, {1, 64, {D, D}, 1, 1}}, 1, 0, 9},
      {"very anisotropic", {{1, 20, {D, D}, 99, 1}, {1, 24, {D, D}, 7, 1}, {1, 32, {D, D}, 1, 1}}, 1, 0, 9},
      {"free ends", {{0}, {1, 64, {N, N}, 1, 1}, {1, 63, {N, D}, 1, 1}}, 1, 0, 10},
      {"periodic", {{0}, {1, 64, {P, P}, 1, 1}, {1, 61, {P, P}, 1, 1}}, 1, 0, 9},
      {"potential step", {{0}, {1, 64, {D, D}, 1, 1}, {1, 64, {D, D}, 1, 1}}, 1, 5000, 10},
      {"order 2", {{0}, {2, 32, {D, D}, 1, 1}, {2, 32, {D, D}, 1, 1}}, 1, 0, 11},
      {"order 3", {{0}, {3, 21, {D, D}, 1, 1}, {3, 21, {D, D}, 1, 1}}, 1, 0, 14},
      {"order 4", {{0}, {4, 16, {D, D}, 1, 1}, {4, 16, {D, D}, 1, 1}}, 1, 0, 14},
      {"order 2 in 1D", {{0}, {0}, {2, 500, {D, D}, 1, 1}}, 1, 0, 9},
      {"order 4 in 3D", {{4, 5, {D, D}, 1, 1}, {4, 6, {P, P}, 1, 1}, {4, 5, {D, N}, 1, 1}}, 3, 0, 22},
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    QDS_AUTO(qds_multigrid) *multigrid = NULL;
    tensor_problem p = problem_make(ctx, cases[i].plan, (const int[3]){0, 0, 0});
    double used;
    set_box(&p, cases[i].contrast, cases[i].potential);
    assert_ok(qds_multigrid_create(ctx, NULL, p.t, &multigrid));
    assert_ok(qds_multigrid_set_shift(multigrid, ctx, -1, &used));
    const int iterations = solve_iterations(ctx, &p, multigrid, used);
    print_message("%s: %d levels, shift %.3g, %d iterations\n", cases[i].name,
                  qds_multigrid_levels(multigrid), used, iterations);
    assert_true(used <= -1 && used > -3);
    assert_true(iterations <= cases[i].most);
    problem_clear(&p);
  }
}

static void odd_sizes_work_as_well(qds_context *ctx) {
  for (int64_t elements = 18; elements <= 40; elements++) {
    static const qds_boundary ends[3][2] = {
        {0, 0}, {QDS_NEUMANN, QDS_DIRICHLET}, {QDS_PERIODIC, QDS_PERIODIC}};
    const qds_boundary *one = ends[elements % 3], *other = ends[elements / 3 % 3];
    const axis_plan plan[3] = {
        {0}, {1, elements, {one[0], one[1]}, 1, 1}, {1, 57 - elements, {other[0], other[1]}, 1, 1}};
    QDS_AUTO(qds_multigrid) *multigrid = NULL;
    tensor_problem p = problem_make(ctx, plan, (const int[3]){1, 1, 1});
    double used;
    assert_ok(qds_multigrid_create(ctx, NULL, p.t, &multigrid));
    assert_true(qds_multigrid_levels(multigrid) >= 2);
    assert_ok(qds_multigrid_set_shift(multigrid, ctx, -1, &used));
    assert_true(solve_iterations(ctx, &p, multigrid, used) <= 12);
    problem_clear(&p);
  }
}

/* A grid of one level is inverted exactly, down to a single unknown. */
static void tiny_grids_are_inverted(qds_context *ctx) {
  for (int64_t elements = 2; elements <= 12; elements += 5) {
    const axis_plan side = {1, elements, {QDS_DIRICHLET, QDS_DIRICHLET}, 1, 1};
    const axis_plan plan[3] = {{0}, side, side};
    QDS_AUTO(qds_multigrid) *multigrid = NULL;
    tensor_problem p = problem_make(ctx, plan, (const int[3]){1, 1, 1});
    double used;
    assert_ok(qds_multigrid_create(ctx, NULL, p.t, &multigrid));
    assert_int_equal(qds_multigrid_levels(multigrid), 1);
    assert_int_equal(qds_multigrid_rows(multigrid, 0), (elements - 1) * (elements - 1));
    assert_ok(qds_multigrid_set_shift(multigrid, ctx, -1, &used));
    assert_true(solve_iterations(ctx, &p, multigrid, used) <= 3);
    problem_clear(&p);
  }
}

/* --- symmetric and positive definite ------------------------------------------------------------------ */

/* The cycle as a dense matrix, whose lowest eigenvalue is returned; *asymmetry is relative to the largest. */
static double lowest_of_cycle(qds_context *ctx, qds_multigrid *multigrid, double *asymmetry) {
  const qds_operator b = qds_multigrid_cycle(multigrid, 0);
  const int64_t n = b.rows;
  double *matrix = calloc((size_t)(n * n), sizeof *matrix), *values = calloc((size_t)n, sizeof *values),
         difference = 0;
  for (int64_t j = 0; j < n; j++) {
    const qds_block x = {matrix + j * n, n, n, 1, NULL};
    qds_block y = x;
    x.data[j] = 1;
    assert_ok(b.apply(b.self, ctx, &x, &y)); /* in place */
  }
  for (int64_t j = 0; j < n; j++)
    for (int64_t i = 0; i < j; i++) {
      difference = fmax(difference, fabs(matrix[j * n + i] - matrix[i * n + j]));
      matrix[j * n + i] = matrix[i * n + j] = 0.5 * (matrix[j * n + i] + matrix[i * n + j]);
    }
  assert_ok(qds_symmetric_eigen(ctx, (int)n, matrix, values));
  const double lowest = values[0] / values[n - 1];
  *asymmetry = difference / values[n - 1];
  free(matrix);
  free(values);
  return lowest;
}

/* On random grids of all kinds, also where coefficients and potentials vary wildly from node to node, and
 * with a shift that lies above the lowest level of the operator itself. */
static void cycle_is_symmetric_positive_definite(qds_context *ctx) {
  for (uint64_t seed = 1; seed <= 12; seed++) {
    axis_plan plan[3];
    int by_element[3];
    QDS_AUTO(qds_multigrid) *multigrid = NULL;
    plan_random(seed, seed % 2 ? 2 : 3, seed % 2 ? 20 : 8, plan, by_element);
    for (int a = seed % 2 ? 1 : 0; a < 3; a++) plan[a].elements = (seed % 2 ? 18 : 7) / plan[a].order + 1;
    tensor_problem p = problem_make(ctx, plan, by_element);
    problem_fill_random(&p, seed, seed % 3 ? 3 : 100, seed % 4 ? 50 : 2000);
    double used, asymmetry;
    assert_ok(qds_multigrid_create(ctx, NULL, p.t, &multigrid));
    assert_true(qds_multigrid_levels(multigrid) >= 2);
    for (int shifted_down = 0; shifted_down < 2; shifted_down++) {
      assert_ok(qds_multigrid_set_shift(multigrid, ctx, shifted_down ? -1e4 : INFINITY, &used));
      const double lowest = lowest_of_cycle(ctx, multigrid, &asymmetry);
      if (!(lowest > 0 && asymmetry < 1e-5))
        fail_msg("seed %d: %d rows, %d levels, shift %g: lowest %.3g of the largest, asymmetry %.3g",
                 (int)seed, (int)p.t->rows, qds_multigrid_levels(multigrid), used, lowest, asymmetry);
    }
    problem_clear(&p);
  }
}

/* --- the shift ---------------------------------------------------------------------------------------- */

static void shift_is_the_wanted_one_or_less(qds_context *ctx) {
  const axis_plan side = {1, 40, {QDS_DIRICHLET, QDS_DIRICHLET}, acos(-1), 1};
  const axis_plan plan[3] = {{0}, side, side};
  tensor_problem p = problem_make(ctx, plan, (const int[3]){1, 1, 1}); /* levels 2, 5, 5, 8 */
  qds_multigrid *multigrid = NULL;
  double used;
  assert_ok(qds_multigrid_create(ctx, NULL, p.t, &multigrid));
  for (double wanted = -1e6; wanted < -1; wanted /= 10) {
    assert_ok(qds_multigrid_set_shift(multigrid, ctx, wanted, &used));
    assert_true(used == wanted);
  }
  assert_ok(qds_multigrid_set_shift(multigrid, ctx, 1.5, &used));
  assert_true(used == 1.5);
  assert_true(solve_iterations(ctx, &p, multigrid, used) <= 10);
  for (double wanted = 2; wanted < 1e6; wanted *= 10) {
    assert_ok(qds_multigrid_set_shift(multigrid, ctx, wanted, &used));
    assert_true(used > 1.5 && used < 2);
  }
  assert_ok(qds_multigrid_set_shift(multigrid, ctx, INFINITY, &used));
  assert_true(used > 1.5 && used < 2);
  qds_multigrid_destroy(multigrid);
  problem_clear(&p);
}

/* --- levels and transfers ----------------------------------------------------------------------------- */

/* With free or periodic ends interpolation keeps constants; on straight lines between Dirichlet ends it is
 * exact. */
static void prolongation_interpolates(qds_context *ctx) {
  for (uint64_t seed = 1; seed <= 12; seed++) {
    const int64_t elements = 20 + (int64_t)seed;
    const axis_plan plan[3] = {{1, 5, {QDS_NEUMANN, QDS_NEUMANN}, 1, 1},
                               {1, elements, {QDS_PERIODIC, QDS_PERIODIC}, 2, 3},
                               {2, elements, {QDS_NEUMANN, QDS_NEUMANN}, 3, 2}};
    QDS_AUTO(qds_multigrid) *multigrid = NULL;
    tensor_problem p = problem_make(ctx, plan, (const int[3]){1, 1, 1});
    assert_ok(qds_multigrid_create(ctx, NULL, p.t, &multigrid));
    for (int l = qds_multigrid_levels(multigrid) - 1; l > 0; l--) {
      const qds_level *level[2] = {&multigrid->level[l - 1], &multigrid->level[l]};
      qds_block vector[3] = {{0}};
      for (int i = 0; i < 3; i++)
        assert_ok(qds_block_create(ctx, level[i == 1]->rows, 1, "test", &vector[i]));
      for (int i = 0; i < 2; i++) /* fine 0, coarse 1: the function 1 + 2 z, scaled by the root of the mass */
        for (int64_t row = 0; row < level[i]->rows; row++) {
          const int64_t k = row % level[i]->n[2], j = row / level[i]->n[2] % level[i]->n[1],
                        h = row / level[i]->n[2] / level[i]->n[1];
          const double mass =
              level[i]->axis[0].mass[h] * level[i]->axis[1].mass[j] * level[i]->axis[2].mass[k];
          vector[i].data[row] = sqrt(mass) * (1 + 2 * level[i]->axis[2].x[k]);
        }
      assert_ok(qds_multigrid_prolong(multigrid, ctx, l, &vector[1], &vector[2]));
      for (int64_t row = 0; row < level[0]->rows; row++)
        assert_close(vector[2].data[row], vector[0].data[row], 2e-6 * fabs(vector[0].data[row]));
      for (int i = 0; i < 3; i++) qds_block_clear(&vector[i]);
    }
    problem_clear(&p);
  }
}

/* The lists from which a coarse unknown gathers are the adjoint of the interpolation with respect to the
 * masses: coarse mass * gather weight = fine mass * weight. */
static void restriction_is_the_adjoint_of_prolongation(qds_context *ctx) {
  for (uint64_t seed = 1; seed <= 12; seed++) {
    axis_plan plan[3];
    int by_element[3];
    QDS_AUTO(qds_multigrid) *multigrid = NULL;
    plan_random(seed, 2, 40, plan, by_element);
    plan[1].elements = 30 / plan[1].order + (int64_t)(seed % 3);
    plan[2].elements = 37 / plan[2].order;
    tensor_problem p = problem_make(ctx, plan, by_element);
    for (int a = 1; a < 3; a++) /* no axis is too weak to be coarsened */
      for (int64_t e = 0; e < qds_tensor_operator_coefficients(p.t, a); e++)
        p.t->c[a][e] = pow(p.axis[a]->coordinates_nm[p.axis[a]->nodes - 1] / (double)p.axis[a]->nodes, 2);
    assert_ok(qds_multigrid_create(ctx, NULL, p.t, &multigrid));
    assert_true(qds_multigrid_levels(multigrid) >= 2 && !multigrid->level[0].transfer[2].identity);
    for (int l = 0; l < qds_multigrid_levels(multigrid) - 1; l++)
      for (int a = 0; a < 3; a++) {
        const qds_transfer *t = &multigrid->level[l].transfer[a];
        const double *fine = multigrid->level[l].axis[a].mass, *coarse = multigrid->level[l + 1].axis[a].mass;
        double *dense = calloc((size_t)(t->fine * t->coarse), sizeof *dense);
        int64_t entries = 0;
        for (int64_t i = 0; i < t->fine; i++)
          for (int s = 0; s < 2; s++) {
            assert_in_range(t->at[s][i], 0, t->coarse - 1);
            dense[i * t->coarse + t->at[s][i]] += t->weight[s][i] * fine[i];
            entries += t->weight[s][i] != 0;
          }
        assert_int_equal(t->gather_start[0], 0);
        assert_int_equal(t->gather_start[t->coarse], entries);
        for (int64_t big = 0; big < t->coarse; big++) {
          double sum = 0;
          for (int64_t g = t->gather_start[big]; g < t->gather_start[big + 1]; g++) {
            double *entry = dense + t->gather_at[g] * t->coarse + big;
            assert_close(t->gather_weight[g] * coarse[big], *entry, 1e-6 * coarse[big]);
            sum += t->gather_weight[g];
            *entry = 0;
          }
          assert_close(sum, 1, 1e-6);
        }
        for (int64_t i = 0; i < t->fine * t->coarse; i++) assert_true(dense[i] == 0);
        free(dense);
      }
    problem_clear(&p);
  }
}

/* The lowest level of the operator on each grid, from the dense matrix of the level. */
static double lowest_of_level(qds_context *ctx, qds_multigrid *multigrid, int level) {
  const qds_operator a = qds_multigrid_level_operator(multigrid, level);
  const int64_t n = a.rows;
  double *matrix = calloc((size_t)(n * n), sizeof *matrix), *values = calloc((size_t)n, sizeof *values),
         *unit = calloc((size_t)n, sizeof *unit);
  for (int64_t j = 0; j < n; j++) {
    const qds_block x = {unit, n, n, 1, NULL};
    qds_block y = {matrix + j * n, n, n, 1, NULL};
    unit[j] = 1;
    assert_ok(a.apply(a.self, ctx, &x, &y));
    unit[j] = 0;
  }
  for (int64_t j = 0; j < n; j++)
    for (int64_t i = 0; i < n; i++)
      assert_close(matrix[j * n + i], matrix[i * n + j], 1e-12 * fabs(matrix[j * n + j]));
  assert_ok(qds_symmetric_eigen(ctx, (int)n, matrix, values));
  const double lowest = values[0];
  free(matrix);
  free(values);
  free(unit);
  return lowest;
}

static void levels_are_the_same_problem_on_coarser_grids(qds_context *ctx) {
  const axis_plan plan[3] = {{0},
                             {2, 11, {QDS_DIRICHLET, QDS_NEUMANN}, acos(-1), 1},
                             {1, 25, {QDS_DIRICHLET, QDS_DIRICHLET}, acos(-1), 2}};
  tensor_problem p = problem_make(ctx, plan, (const int[3]){0, 1, 0}); /* the lowest level is 1/4 + 1 */
  qds_multigrid *multigrid = NULL;
  for (int64_t i = 0; i < p.t->rows; i++) p.t->v[i] = 3;
  assert_ok(qds_multigrid_create(ctx, NULL, p.t, &multigrid));
  assert_int_equal(qds_multigrid_rows(multigrid, 0), p.t->rows);
  assert_true(qds_multigrid_levels(multigrid) == 2);
  for (int l = 0; l < qds_multigrid_levels(multigrid); l++) {
    assert_close(lowest_of_level(ctx, multigrid, l), 4.25, 0.006 * pow(4, l));
    if (l > 0) assert_true(qds_multigrid_rows(multigrid, l) < qds_multigrid_rows(multigrid, l - 1));
  }
  qds_multigrid_destroy(multigrid);
  problem_clear(&p);
}

/* --- errors, memory, threads -------------------------------------------------------------------------- */

static void bad_numbers_are_refused(qds_context *ctx) {
  const double bad[] = {NAN, INFINITY, 1e300};
  for (int i = 0; i < 6; i++) {
    const axis_plan side = {1, i < 3 ? 30 : 8, {QDS_DIRICHLET, QDS_DIRICHLET}, 1, 1};
    const axis_plan plan[3] = {{0}, side, side};
    tensor_problem p = problem_make(ctx, plan, (const int[3]){1, 1, 1});
    qds_multigrid *multigrid = (void *)1;
    p.t->v[p.t->rows / 2] = bad[i % 3];
    assert_fails(qds_multigrid_create(ctx, NULL, p.t, &multigrid), QDS_ERROR_NUMERIC, "multigrid: ");
    assert_null(multigrid);
    problem_clear(&p);
  }
}

static qds_status create_and_cycle(qds_context *ctx, void *data) {
  const tensor_problem *p = data;
  QDS_AUTO(qds_multigrid) *multigrid = NULL;
  __attribute__((cleanup(qds_block_clear))) qds_block x = {0};
  QDS_TRY(qds_multigrid_create(ctx, NULL, p->t, &multigrid));
  const qds_operator b = qds_multigrid_cycle(multigrid, 0);
  QDS_TRY(qds_block_create(ctx, p->t->rows, 2, "test", &x));
  qds_block_fill_random(ctx, &x, 1);
  return b.apply(b.self, ctx, &x, &x);
}

static void memory_runs_out(qds_context *ctx) {
  const axis_plan plan[3] = {{1, 6, {QDS_NEUMANN, QDS_NEUMANN}, 1, 1},
                             {2, 6, {QDS_PERIODIC, QDS_PERIODIC}, 1, 1},
                             {1, 15, {QDS_DIRICHLET, QDS_DIRICHLET}, 1, 1}};
  tensor_problem p = problem_make(ctx, plan, (const int[3]){0, 1, 0});
  assert_ok(create_and_cycle(ctx, &p)); /* loads BLAS, which the context keeps */
  assert_true(fail_each_allocation(ctx, create_and_cycle, &p) > 60);
  problem_clear(&p);
}

enum { SMALL_CASE, LARGE_CASE, THREAD_CASES };
static qds_block from_one_thread[THREAD_CASES];

/* A grid whose vectors go one to a thread, and one on whose vectors all threads work together. */
static qds_block cycle_of_case(qds_context *ctx, int which) {
  const int64_t elements = which == LARGE_CASE ? 66 : 17;
  const axis_plan plan[3] = {{1, elements, {QDS_DIRICHLET, QDS_NEUMANN}, 1, 1},
                             {1, elements, {QDS_PERIODIC, QDS_PERIODIC}, 1, 1},
                             {1, elements, {QDS_DIRICHLET, QDS_DIRICHLET}, 1, 1}};
  QDS_AUTO(qds_multigrid) *multigrid = NULL;
  tensor_problem p = problem_make(ctx, plan, (const int[3]){1, 1, 1});
  qds_block x = {0};
  assert_ok(qds_multigrid_create(ctx, NULL, p.t, &multigrid));
  const qds_operator b = qds_multigrid_cycle(multigrid, 0);
  assert_ok(qds_block_create(ctx, p.t->rows, which == LARGE_CASE ? 1 : 4, "test", &x));
  qds_block_fill_random(ctx, &x, 1);
  assert_ok(b.apply(b.self, ctx, &x, &x));
  problem_clear(&p);
  return x;
}

static void cycle_on_one(qds_context *ctx) {
  for (int which = 0; which < THREAD_CASES; which++) {
    qds_block x = cycle_of_case(ctx, which);
    from_one_thread[which] = x;
    from_one_thread[which].data = malloc(sizeof(double) * (size_t)(x.columns * x.stride));
    memcpy(from_one_thread[which].data, x.data, sizeof(double) * (size_t)(x.columns * x.stride));
    qds_block_clear(&x);
  }
}

static void cycle_on_several(qds_context *ctx) {
  for (int which = 0; which < THREAD_CASES; which++) {
    qds_block x = cycle_of_case(ctx, which);
    for (int j = 0; j < x.columns; j++)
      assert_memory_equal(qds_block_column(&x, j), qds_block_column(&from_one_thread[which], j),
                          sizeof(double) * (size_t)x.rows);
    qds_block_clear(&x);
    free(from_one_thread[which].data);
  }
}

static void test_threads_change_nothing(void **state) {
  (void)state;
  with_context(1, cycle_on_one);
  with_context(3, cycle_on_several);
}

/* A vector of any length goes through single precision unharmed; zero stays zero. */
static void length_does_not_matter(qds_context *ctx) {
  const axis_plan side = {1, 30, {QDS_DIRICHLET, QDS_DIRICHLET}, 1, 1};
  const axis_plan plan[3] = {{0}, side, side};
  QDS_AUTO(qds_multigrid) *multigrid = NULL;
  tensor_problem p = problem_make(ctx, plan, (const int[3]){1, 1, 1});
  assert_ok(qds_multigrid_create(ctx, NULL, p.t, &multigrid));
  const qds_operator b = qds_multigrid_cycle(multigrid, 0);
  const double lengths[3] = {1, 1e-100, 1e100};
  qds_block x = {0}, y = {0};
  assert_ok(qds_block_create(ctx, p.t->rows, 4, "test", &x));
  assert_ok(qds_block_create(ctx, p.t->rows, 4, "test", &y));
  qds_block_fill_random(ctx, &x, 1);
  for (int64_t i = 0; i < x.rows; i++) {
    for (int j = 1; j < 3; j++) qds_block_column(&x, j)[i] = lengths[j] * x.data[i];
    qds_block_column(&x, 3)[i] = 0;
  }
  assert_ok(b.apply(b.self, ctx, &x, &y));
  for (int64_t i = 0; i < x.rows; i++) {
    for (int j = 1; j < 3; j++)
      assert_close(qds_block_column(&y, j)[i] / lengths[j], y.data[i], 1e-4 * fabs(y.data[i]) + 1e-9);
    assert_true(qds_block_column(&y, 3)[i] == 0);
  }
  qds_block_clear(&x);
  qds_block_clear(&y);
  problem_clear(&p);
}

#define TEST_IN_CONTEXT(name)                                                                                \
  static void test_##name(void **state) {                                                                    \
    (void)state;                                                                                             \
    with_context(1, name);                                                                                   \
  }
TEST_IN_CONTEXT(conjugate_gradients_converge_in_few_iterations)
TEST_IN_CONTEXT(odd_sizes_work_as_well)
TEST_IN_CONTEXT(tiny_grids_are_inverted)
TEST_IN_CONTEXT(cycle_is_symmetric_positive_definite)
TEST_IN_CONTEXT(shift_is_the_wanted_one_or_less)
TEST_IN_CONTEXT(prolongation_interpolates)
TEST_IN_CONTEXT(restriction_is_the_adjoint_of_prolongation)
TEST_IN_CONTEXT(levels_are_the_same_problem_on_coarser_grids)
TEST_IN_CONTEXT(length_does_not_matter)
TEST_IN_CONTEXT(bad_numbers_are_refused)
TEST_IN_CONTEXT(memory_runs_out)

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_conjugate_gradients_converge_in_few_iterations),
      cmocka_unit_test(test_odd_sizes_work_as_well),
      cmocka_unit_test(test_tiny_grids_are_inverted),
      cmocka_unit_test(test_cycle_is_symmetric_positive_definite),
      cmocka_unit_test(test_shift_is_the_wanted_one_or_less),
      cmocka_unit_test(test_prolongation_interpolates),
      cmocka_unit_test(test_restriction_is_the_adjoint_of_prolongation),
      cmocka_unit_test(test_levels_are_the_same_problem_on_coarser_grids),
      cmocka_unit_test(test_length_does_not_matter),
      cmocka_unit_test(test_bad_numbers_are_refused),
      cmocka_unit_test(test_memory_runs_out),
      cmocka_unit_test(test_threads_change_nothing),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}

/* What every solution must satisfy, whatever the device: its equation, orthonormality, the virial theorem,
 * and the symmetries of the Schroedinger equation. */
#include "exact_support.h"

#include "base/philox.h"

static const uint64_t seed = 20261120;

/* ---- the residual, computed from psi with an own discretisation ---- */

enum { MOST_NODES = 64, MODES = 4 };

/* Legendre's polynomial of degree p. */
static double legendre(int p, double x) {
  double before = 1, now = x;
  if (p == 0) return 1;
  for (int k = 1; k < p; k++) {
    const double next = ((2 * k + 1) * x * now - k * before) / (k + 1);
    before = now;
    now = next;
  }
  return now;
}

/* One axis: matrix[i][j] = sum over the elements of the integral of l_i' l_j', from the coordinates of the
 * nodes, whose Gauss-Lobatto weights are 2 / (p (p + 1) P_p(x)^2). */
typedef struct {
  int nodes, order, periodic, fixed[2];
  const double *weight;
  double matrix[MOST_NODES][MOST_NODES];
} own_axis;

static double slope_of(int count, const double *x, int a, double at) {
  double slope = 0;
  for (int skip = 0; skip < count; skip++) {
    if (skip == a) continue;
    double product = 1 / (x[a] - x[skip]);
    for (int b = 0; b < count; b++)
      if (b != a && b != skip) product *= (at - x[b]) / (x[a] - x[b]);
    slope += product;
  }
  return slope;
}

static void make_axis(const qds_result *r, int axis, int order, own_axis *own) {
  const double *x = qds_result_coordinates_nm(r, axis);
  own->nodes = (int)qds_result_nodes(r)[axis];
  own->order = order;
  own->weight = qds_result_weights_nm(r, axis);
  memset(own->matrix, 0, sizeof own->matrix);
  for (int e = 0; e < own->nodes - 1; e += order)
    for (int q = 0; q <= order; q++) {
      const double length = x[e + order] - x[e], local = 2 * (x[e + q] - x[e]) / length - 1,
                   weight = length / (order * (order + 1) * pow(legendre(order, local), 2));
      for (int a = 0; a <= order; a++)
        for (int b = 0; b <= order; b++)
          own->matrix[e + a][e + b] +=
              weight * slope_of(order + 1, x + e, a, x[e + q]) * slope_of(order + 1, x + e, b, x[e + q]);
    }
}

/* A device on the grid and boundaries of one random trial. */
typedef struct {
  int dimension, order;
  int boundary[3][2]; /* numbers of qds_boundary */
  double mass[3];
  double amplitude[MODES], wave[MODES][3], phase[MODES];
} trial;

static const char *const axis_names[] = {"x", "y", "z"};
static const char *const boundary_names[] = {
    [QDS_DIRICHLET] = "dirichlet", [QDS_NEUMANN] = "neumann", [QDS_PERIODIC] = "periodic"};
static const double length = 8;

static double random_between(uint64_t stream, uint64_t index, double low, double high) {
  return low + (high - low) * qds_random_uniform(seed, stream, index);
}

static trial random_trial(uint64_t number) {
  trial t = {.dimension = 1 + (int)(number % 3), .order = 1 + (int)(number / 3 % 4)};
  for (int a = 0; a < 3; a++) {
    const int choice = (int)random_between(number, (uint64_t)a, 0, 5);
    static const int ends[5][2] = {{QDS_DIRICHLET, QDS_DIRICHLET},
                                   {QDS_NEUMANN, QDS_DIRICHLET},
                                   {QDS_DIRICHLET, QDS_NEUMANN},
                                   {QDS_NEUMANN, QDS_NEUMANN},
                                   {QDS_PERIODIC, QDS_PERIODIC}};
    memcpy(t.boundary[a], ends[choice], sizeof ends[choice]);
    t.mass[a] = random_between(number, 10 + (uint64_t)a, 0.05, 0.5);
  }
  for (int m = 0; m < MODES; m++) {
    t.amplitude[m] = random_between(number, 20 + (uint64_t)m, -0.2, 0.2);
    t.phase[m] = random_between(number, 30 + (uint64_t)m, 0, 6);
    for (int a = 0; a < 3; a++) /* whole periods, so that periodic axes are smooth */
      t.wave[m][a] = 2 * M_PI / length * (int)random_between(number, 40 + (uint64_t)(3 * m + a), -2.99, 2.99);
  }
  return t;
}

static double potential_of(const trial *t, const double *x) {
  double sum = 0.1;
  for (int m = 0; m < MODES; m++) {
    double angle = t->phase[m];
    for (int a = 0; a < t->dimension; a++) angle += t->wave[m][a] * x[a];
    sum += t->amplitude[m] * cos(angle);
  }
  return sum;
}

static void describe(const trial *t, char *text) {
  char *at = text;
  at += sprintf(
      at, "{materials: {m: {mass: [%.17g, %.17g, %.17g], band_edge_eV: 0.1}}, background: m, states: 5,",
      t->mass[0], t->mass[1], t->mass[2]);
  at += sprintf(at, " potential: [");
  for (int m = 0; m < MODES; m++) {
    at += sprintf(at, "{formula_eV: \"A*cos(p");
    for (int a = 0; a < t->dimension; a++) at += sprintf(at, " + (%.17g)*%s", t->wave[m][a], axis_names[a]);
    at += sprintf(at, ")\", parameters: {A: %.17g, p: %.17g}}, ", t->amplitude[m], t->phase[m]);
  }
  at += sprintf(at, "], grid: {order: %d", t->order);
  for (int a = 0; a < t->dimension; a++)
    at +=
        sprintf(at, ", %s: {from_nm: 0, to_nm: %g, nodes: %d, refine: [{from_nm: 2, to_nm: 4, factor: 1.5}]}",
                axis_names[a], length,
                (t->dimension == 1   ? 60
                 : t->dimension == 2 ? 24
                                     : 12) /
                        t->order * t->order +
                    1);
  at += sprintf(at, ", boundary: {");
  for (int a = 0; a < t->dimension; a++)
    at += sprintf(at, "%s%s: [%s, %s]", a ? ", " : "", axis_names[a], boundary_names[t->boundary[a][0]],
                  boundary_names[t->boundary[a][1]]);
  at += sprintf(at, "}}}");
  assert_true(at - text < DEVICE_TEXT);
}

/* Adds what the axis's matrix does to psi at one node, c / weight included; both ends of a periodic axis
 * count. */
static double along(const own_axis *own, const double *line, int64_t stride, int at, double c) {
  double sum = 0, weight = own->weight[at];
  for (int j = 0; j < own->nodes; j++) sum += own->matrix[at][j] * line[j * stride];
  if (own->periodic && (at == 0 || at == own->nodes - 1)) {
    const int twin = own->nodes - 1 - at;
    weight += own->weight[twin];
    for (int j = 0; j < own->nodes; j++) sum += own->matrix[twin][j] * line[j * stride];
  }
  return c * sum / weight;
}

/* ||H psi - E psi||, each distinct node once; psi at Dirichlet ends must be 0. */
static double own_residual(const trial *t, const qds_result *r, own_axis *own, int state) {
  const int64_t *nodes = qds_result_nodes(r);
  const double *psi = qds_result_psi(r, state), energy = qds_result_energies_eV(r)[state];
  double square = 0;
  for (int64_t index = 0; index < nodes[0] * nodes[1] * nodes[2]; index++) {
    int64_t stride[3] = {1, 1, 1}, rest = index;
    int at[3] = {0}, fixed = 0;
    double weight = 1, x[3] = {0};
    for (int a = t->dimension - 1; a >= 0; a--) {
      at[a] = (int)(rest % nodes[a]);
      rest /= nodes[a];
      for (int b = a + 1; b < t->dimension; b++) stride[a] *= nodes[b];
      fixed |= (at[a] == 0 && own[a].fixed[0]) || (at[a] == nodes[a] - 1 && own[a].fixed[1]);
      weight *= own[a].weight[at[a]];
      x[a] = qds_result_coordinates_nm(r, a)[at[a]];
    }
    assert_close(qds_result_band_edge_eV(r)[index], potential_of(t, x), 1e-12);
    if (fixed) {
      assert_true(psi[index] == 0);
      continue;
    }
    double value = (potential_of(t, x) - energy) * psi[index];
    for (int a = 0; a < t->dimension; a++)
      value +=
          along(&own[a], psi + index - at[a] * stride[a], stride[a], at[a], hbar2_over_2m0() / t->mass[a]);
    square += weight * value * value;
  }
  return sqrt(square);
}

static void assert_orthonormal(const qds_result *r) {
  const int64_t *nodes = qds_result_nodes(r);
  for (int i = 0; i < qds_result_states(r); i++)
    for (int j = 0; j <= i; j++) {
      const double *p = qds_result_psi(r, i), *q = qds_result_psi(r, j);
      double sum = 0;
      for (int64_t index = 0; index < nodes[0] * nodes[1] * nodes[2]; index++) {
        int64_t rest = index;
        double weight = 1;
        for (int a = qds_result_dimension(r) - 1; a >= 0; a--) {
          weight *= qds_result_weights_nm(r, a)[rest % nodes[a]];
          rest /= nodes[a];
        }
        sum += weight * p[index] * q[index];
      }
      assert_close(sum, i == j, 1e-10);
    }
}

static void random_problems(qds_context *ctx) {
  for (uint64_t number = 0; number < 36; number++) {
    const trial t = random_trial(number);
    char text[DEVICE_TEXT];
    static own_axis own[3];
    describe(&t, text);
    QDS_AUTO(qds_result) *r = solve_text(ctx, text);
    for (int a = 0; a < t.dimension; a++) {
      make_axis(r, a, t.order, &own[a]);
      own[a].periodic = t.boundary[a][0] == QDS_PERIODIC;
      for (int end = 0; end < 2; end++) own[a].fixed[end] = t.boundary[a][end] == QDS_DIRICHLET;
    }
    assert_orthonormal(r);
    for (int s = 0; s < qds_result_states(r); s++) {
      const double reported = qds_result_residuals_eV(r)[s], height = qds_result_energies_eV(r)[s] + 1;
      const double residual = own_residual(&t, r, own, s);
      if (!(residual <= 2e-8 * height && fabs(residual - reported) <= 1e-3 * residual + 1e-10))
        fail_msg("seed %llu, problem %llu (%dD, order %d), state %d: residual %g, reported %g\n%s",
                 (unsigned long long)seed, (unsigned long long)number, t.dimension, t.order, s, residual,
                 reported, text);
      if (s > 0) assert_true(qds_result_energies_eV(r)[s] >= qds_result_energies_eV(r)[s - 1] - 1e-9);
    }
  }
}

static void test_random_problems(void **state) {
  (void)state;
  print_message("seed %llu\n", (unsigned long long)seed);
  with_context(1, random_problems);
}

/* ---- the virial theorem: 2 <T> = q <V> for a potential of degree q ---- */

static void assert_virial(qds_context *ctx, const char *text, double degree, double tolerance) {
  QDS_AUTO(qds_result) *r = solve_text(ctx, text);
  const int64_t *nodes = qds_result_nodes(r);
  for (int s = 0; s < qds_result_states(r); s++) {
    double potential = 0;
    for (int64_t index = 0; index < nodes[0] * nodes[1] * nodes[2]; index++) {
      int64_t rest = index;
      double weight = 1;
      for (int a = qds_result_dimension(r) - 1; a >= 0; a--) {
        weight *= qds_result_weights_nm(r, a)[rest % nodes[a]];
        rest /= nodes[a];
      }
      potential += weight * pow(qds_result_psi(r, s)[index], 2) * qds_result_band_edge_eV(r)[index];
    }
    const double energy = qds_result_energies_eV(r)[s];
    assert_close(2 * (energy - potential), degree * potential, tolerance * energy);
  }
}

static void virial(qds_context *ctx) {
  static const char *const grids[] = {
      "x: {from_nm: -12, to_nm: 12, nodes: 161}",
      "x: {from_nm: -11, to_nm: 11, nodes: 97}, y: {from_nm: -11, to_nm: 11, nodes: 97}",
      ("x: {from_nm: -8, to_nm: 8, nodes: 37}, y: {from_nm: -8, to_nm: 8, nodes: 37},"
       " z: {from_nm: -8, to_nm: 8, nodes: 37}")};
  static const double tolerance[] = {1e-6, 1e-4, 1e-3};
  static const char *const sums[] = {"x^%d", "x^%d + 2*y^%d", "x^%d + 2*y^%d + z^%d"};
  for (int dimension = 1; dimension <= 3; dimension++)
    for (int degree = 2; degree <= 4; degree += 2) {
      char formula[128], text[DEVICE_TEXT];
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
      snprintf(formula, sizeof formula, sums[dimension - 1], degree, degree, degree);
#pragma GCC diagnostic pop
      snprintf(text, sizeof text,
               "{materials: {m: {mass: 0.2, band_edge_eV: 0}}, background: m, states: 3,"
               " potential: [{formula_eV: \"%g*(%s)\"}], grid: {order: 4, %s}}",
               degree == 2 ? 0.01 : 0.0005, formula, grids[dimension - 1]);
      assert_virial(ctx, text, degree, tolerance[dimension - 1]);
    }
}

static void test_virial(void **state) {
  (void)state;
  with_context(1, virial);
}

/* ---- symmetries ---- */

/* A lens-like dot on a layer with unequal axes, every length times `scale`, then moved, all
 * energies shifted. */
static void dot_levels(qds_context *ctx, double scale, double move, double shift, const char *extra,
                       double *energy) {
  levels(ctx, 4, energy,
         "{materials: {dot: {mass: [0.03, 0.05, 0.04], band_edge_eV: %.17g},"
         " out: {mass: 0.067, band_edge_eV: %.17g}}, background: out, states: 4, regions:"
         " [{shape: ellipsoid, center_nm: [%.17g, %.17g, %.17g], radii_nm: [%.17g, %.17g, %.17g], material: "
         "dot}],"
         " grid: {x: {from_nm: %.17g, to_nm: %.17g, nodes: 31}, y: {from_nm: %.17g, to_nm: %.17g, nodes: 25},"
         " z: {from_nm: %.17g, to_nm: %.17g, nodes: 21}}%s}",
         shift, shift + 0.6 / (scale * scale), move + 0.5 * scale, move, move - 0.3 * scale, 6 * scale,
         5 * scale, 3 * scale, move - 10 * scale, move + 10 * scale, move - 9 * scale, move + 9 * scale,
         move - 7 * scale, move + 7 * scale, extra);
}

static void symmetries(qds_context *ctx) {
  double plain[4], other[4];
  dot_levels(ctx, 1, 0, 0, "", plain);
  dot_levels(ctx, 1, 0, 3.25, "", other);
  for (int s = 0; s < 4; s++) assert_close(other[s] - 3.25, plain[s], 1e-9);
  dot_levels(ctx, 1, 0, 0, ", potential: [{formula_eV: \"-1.5\"}]", other);
  for (int s = 0; s < 4; s++) assert_close(other[s] + 1.5, plain[s], 1e-9);
  dot_levels(ctx, 1.7, 0, 0, "", other);
  for (int s = 0; s < 4; s++) assert_close(other[s] * 1.7 * 1.7, plain[s], 1e-9);
  dot_levels(ctx, 1, 137, 0, "", other);
  for (int s = 0; s < 4; s++) assert_close(other[s], plain[s], 1e-9);
}

static void test_symmetries(void **state) {
  (void)state;
  with_context(1, symmetries);
}

/* A scalene triangle, mirrored: regions, refinement and boundaries with it. */
static void mirrored(qds_context *ctx) {
  double plain[4], other[4];
  for (int order = 1; order <= 2; order++)
    for (int sign = 1; sign >= -1; sign -= 2)
      levels(ctx, 4, sign > 0 ? plain : other,
             "{materials: {dot: {mass: 0.03, band_edge_eV: 0}, out: {mass: 0.067, band_edge_eV: 0.5}},"
             " background: out, states: 4,"
             " regions: [{shape: polygon, points_nm: [[%d, -3], [%d, -1], [%d, 4]], material: dot}],"
             " grid: {order: %d, x: {from_nm: %d, to_nm: %d, nodes: 61, refine: [{from_nm: %d, to_nm: %d, "
             "factor: 2}]},"
             " y: {from_nm: -9, to_nm: 8, nodes: 51}, boundary: {x: [%s, %s]}}}",
             -6 * sign, 5 * sign, 2 * sign, order, sign > 0 ? -8 : -12, sign > 0 ? 12 : 8, sign > 0 ? -6 : 0,
             sign > 0 ? 0 : 6, sign > 0 ? "neumann" : "dirichlet", sign > 0 ? "dirichlet" : "neumann");
  for (int s = 0; s < 4; s++) assert_close(other[s], plain[s], 1e-8);
}

static void test_mirrored(void **state) {
  (void)state;
  with_context(1, mirrored);
}

/* ---- boundaries ---- */

/* Free levels of an axis of 10 nm: Dirichlet (n pi / L)^2, n >= 1; Neumann the same, n >= 0; periodic (2 pi n
 * / L)^2, n = 0 and twice each n >= 1; one Neumann end ((n + 1/2) pi / L)^2. */
static void free_axis(qds_context *ctx) {
  static const struct {
    const char *ends;
    double n[5];
  } cases[] = {{"[dirichlet, dirichlet]", {1, 2, 3, 4, 5}},
               {"neumann", {0, 1, 2, 3, 4}},
               {"periodic", {0, 2, 2, 4, 4}},
               {"[neumann, dirichlet]", {0.5, 1.5, 2.5, 3.5, 4.5}},
               {"[dirichlet, neumann]", {0.5, 1.5, 2.5, 3.5, 4.5}}};
  const double unit = hbar2_over_2m0() / 0.1 * pow(M_PI / 10, 2);
  for (size_t c = 0; c < sizeof cases / sizeof *cases; c++)
    for (int nodes = 81; nodes <= 641; nodes += 560) { /* dense and iterative */
      double e[5];
      levels(ctx, 5, e,
             "{materials: {m: {mass: 0.1, band_edge_eV: -0.5}}, background: m, states: 5,"
             " boundary: {x: %s}, grid: {order: 4, x: {from_nm: -3, to_nm: 7, nodes: %d}}}",
             cases[c].ends, nodes);
      for (int s = 0; s < 5; s++) assert_close(e[s], -0.5 + unit * pow(cases[c].n[s], 2), 1e-8);
    }
}

/* A cube with periodic ends: Bloch waves of k = 0, 1 + 6 + 12 levels. */
static void periodic_cube(qds_context *ctx) {
  const double unit = hbar2_over_2m0() / 0.1 * pow(2 * M_PI / 10, 2);
  double e[19];
  levels(ctx, 19, e,
         "{materials: {m: {mass: 0.1, band_edge_eV: 0}}, background: m, states: 19,"
         " boundary: {x: periodic, y: periodic, z: periodic}, grid: {order: 4, x: {from_nm: 0, to_nm: 10, "
         "nodes: 21},"
         " y: {from_nm: 0, to_nm: 10, nodes: 21}, z: {from_nm: 0, to_nm: 10, nodes: 21}}}");
  for (int s = 0; s < 19; s++) assert_close(e[s], unit * (s == 0 ? 0 : s < 7 ? 1 : 2), 1e-5);
  for (int s = 1; s < 19; s++)
    if (s != 7) assert_close(e[s], e[s == 1 ? 1 : s - 1], 1e-9);
}

/* A layer across the seam of a periodic axis is the same layer in the middle. */
static void periodic_seam(qds_context *ctx) {
  static const char *const regions[] = {
      "{shape: layer, axis: x, from_nm: -3.03, to_nm: 3.03, material: well}",
      "{shape: layer, axis: x, from_nm: -11, to_nm: -6.97, material: well},"
      "{shape: layer, axis: x, from_nm: 6.97, to_nm: 11, material: well}"};
  double e[2][3];
  for (int order = 1; order <= 2; order++) {
    for (int c = 0; c < 2; c++)
      levels(
          ctx, 3, e[c],
          "{materials: {well: {mass: 0.03, band_edge_eV: 0}, out: {mass: 0.067, band_edge_eV: 0.5}},"
          " background: out, states: 3, regions: [%s], boundary: {x: periodic, y: neumann}, grid: {order: %d,"
          " x: {from_nm: -10, to_nm: 10, nodes: 81}, y: {from_nm: 0, to_nm: 6, nodes: 9}}}",
          regions[c], order);
    for (int s = 0; s < 3; s++) assert_close(e[0][s], e[1][s], 1e-9);
  }
}

static void test_free_axis(void **state) {
  (void)state;
  with_context(1, free_axis);
}
static void test_periodic_cube(void **state) {
  (void)state;
  with_context(1, periodic_cube);
}
static void test_periodic_seam(void **state) {
  (void)state;
  with_context(1, periodic_seam);
}

/* ---- grids ---- */

/* Refined and uniform grids agree to their accuracy. */
static void refined_grids(qds_context *ctx) {
  static const char *const refine[] = {
      "", ", refine: [{from_nm: -6, to_nm: 6, factor: 3}]",
      ", refine: [{from_nm: -8, to_nm: 0, factor: 2}, {from_nm: 2, to_nm: 5, factor: 4}]"};
  double e[3][4];
  for (int c = 0; c < 3; c++)
    levels(ctx, 4, e[c],
           "{materials: {m: {mass: 0.2, band_edge_eV: 0}}, background: m, states: 4,"
           " potential: [{formula_eV: \"0.01*(x^2 + 1.5*y^2) + 0.2*exp(-x^2-y^2)\"}], grid: {order: 3,"
           " x: {from_nm: -12, to_nm: 12, nodes: 121%s}, y: {from_nm: -12, to_nm: 12, nodes: 121%s}}}",
           refine[c], refine[c]);
  for (int s = 0; s < 4; s++) {
    assert_close(e[1][s], e[0][s], 1e-6);
    assert_close(e[2][s], e[0][s], 1e-6);
  }
}

static void test_refined_grids(void **state) {
  (void)state;
  with_context(1, refined_grids);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_random_problems), cmocka_unit_test(test_virial),
      cmocka_unit_test(test_symmetries),      cmocka_unit_test(test_mirrored),
      cmocka_unit_test(test_free_axis),       cmocka_unit_test(test_periodic_cube),
      cmocka_unit_test(test_periodic_seam),   cmocka_unit_test(test_refined_grids),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}

/* Levels of boxes and smooth potentials with closed forms: the energy converges with the power 2p of the
 * spacing, p the order of the elements. */
#include "exact_support.h"

enum { GRIDS = 3 };

/* A cube of 10 nm between infinite walls: E = c (pi / L)^2 (nx^2 + ny^2 + nz^2). */
static void cube(qds_context *ctx) {
  static const int elements[4][GRIDS] = {{12, 18, 26}, {6, 9, 13}, {4, 6, 8}, {2, 4, 6}};
  static const double sums[] = {3, 6, 6, 6, 9}, largest_error[4] = {1e-2, 2e-3, 5e-4, 5e-4};
  const double unit = hbar2_over_2m0() / 0.026 * pow(M_PI / 10, 2);
  double exact[5];
  for (int s = 0; s < 5; s++) exact[s] = unit * sums[s];
  assert_close(unit, 0.1446270, 5e-8);
  for (int order = 1; order <= 4; order++) {
    double error[GRIDS];
    int intervals[GRIDS];
    for (int g = 0; g < GRIDS; g++) {
      double e[5];
      intervals[g] = order * elements[order - 1][g];
      const int n = intervals[g] + 1;
      levels(
          ctx, 5, e,
          "{materials: {dot: {mass: 0.026, band_edge_eV: 0}}, background: dot, states: 5,"
          " grid: {order: %d, x: {from_nm: 0, to_nm: 10, nodes: %d}, y: {from_nm: 0, to_nm: 10, nodes: %d},"
          " z: {from_nm: -5, to_nm: 5, nodes: %d}}}",
          order, n, n, n);
      error[g] = distance_of(5, e, exact);
    }
    assert_converges("cube", GRIDS, intervals, error, 2 * order - 0.25, largest_error[order - 1]);
  }
}

static void test_cube(void **state) {
  (void)state;
  with_context(1, cube);
}

/* A cuboid of 10 x 10 x 5 nm, graded grid of order 4: nothing but rounding and 2p-th order is left. */
static void cuboid(qds_context *ctx) {
  static const int sums[][3] = {{1, 1, 1}, {2, 1, 1}, {1, 2, 1}, {2, 2, 1}};
  const double unit = hbar2_over_2m0() / 0.026 * pow(M_PI / 10, 2);
  double e[4];
  levels(ctx, 4, e,
         "{materials: {dot: {mass: 0.026, band_edge_eV: 0.25}}, background: dot, states: 4, grid: {order: 4,"
         " x: {from_nm: 0, to_nm: 10, nodes: 33, refine: [{from_nm: 2, to_nm: 5, factor: 2}]},"
         " y: {from_nm: 0, to_nm: 10, nodes: 33}, z: {from_nm: 0, to_nm: 5, nodes: 17}}}");
  for (int s = 0; s < 4; s++)
    assert_close(
        e[s], 0.25 + unit * (sums[s][0] * sums[s][0] + sums[s][1] * sums[s][1] + 4 * sums[s][2] * sums[s][2]),
        2e-7);
}

static void test_cuboid(void **state) {
  (void)state;
  with_context(1, cuboid);
}

/* The square [-1, 1]^2 with hbar^2 / 2m = 1: E = pi^2 / 4 (n^2 + m^2). */
static void unit_square(qds_context *ctx) {
  static const double sums[] = {2, 5, 5, 8, 10, 10};
  static const int elements[4][GRIDS] = {{40, 80, 160}, {10, 20, 40}, {5, 10, 20}, {4, 8, 12}};
  static const double largest_error[4] = {2e-2, 2e-4, 2e-6, 1e-7};
  double exact[6];
  for (int s = 0; s < 6; s++) exact[s] = M_PI * M_PI / 4 * sums[s];
  for (int order = 1; order <= 4; order++) {
    double error[GRIDS];
    int intervals[GRIDS];
    for (int g = 0; g < GRIDS; g++) {
      double e[6];
      intervals[g] = order * elements[order - 1][g];
      levels(
          ctx, 6, e,
          "{materials: {unit: {mass: %.17g, band_edge_eV: 0}}, background: unit, states: 6, grid: {order: %d,"
          " x: {from_nm: -1, to_nm: 1, nodes: %d}, y: {from_nm: -1, to_nm: 1, nodes: %d}}}",
          hbar2_over_2m0(), order, intervals[g] + 1, intervals[g] + 1);
      error[g] = distance_of(6, e, exact);
    }
    assert_converges("unit square", GRIDS, intervals, error, 2 * order - 0.2, largest_error[order - 1]);
  }
}

static void test_unit_square(void **state) {
  (void)state;
  with_context(1, unit_square);
}

/* An elliptic harmonic dot, hbar omega 4.6 and 6.1 meV, m = 0.067. */
static void elliptic_dot(qds_context *ctx) {
  static const int elements[4][GRIDS] = {{50, 75, 110}, {28, 38, 52}, {24, 30, 38}, {14, 17, 21}};
  static const double exact[] = {5.35e-3, 9.95e-3, 11.45e-3, 14.55e-3};
  static const double largest_error[4] = {3e-5, 2e-6, 2e-7, 3e-8};
  const double c = hbar2_over_2m0() / 0.067; /* m omega^2 / 2 = (hbar omega)^2 / (4 c) */
  for (int order = 1; order <= 4; order++) {
    double error[GRIDS];
    int intervals[GRIDS];
    for (int g = 0; g < GRIDS; g++) {
      double e[4];
      intervals[g] = order * elements[order - 1][g];
      levels(
          ctx, 4, e,
          "{materials: {dot: {mass: 0.067, band_edge_eV: 0}}, background: dot, states: 4,"
          " potential: [{formula_eV: \"a*x^2 + b*y^2\", parameters: {a: %.17g, b: %.17g}}], grid: {order: %d,"
          " x: {from_nm: -80, to_nm: 80, nodes: %d}, y: {from_nm: -80, to_nm: 80, nodes: %d}}}",
          pow(4.6e-3, 2) / (4 * c), pow(6.1e-3, 2) / (4 * c), order, intervals[g] + 1, intervals[g] + 1);
      error[g] = distance_of(4, e, exact);
    }
    assert_converges("elliptic dot", GRIDS, intervals, error, 2 * order - 0.25, largest_error[order - 1]);
  }
}

static void test_elliptic_dot(void **state) {
  (void)state;
  with_context(1, elliptic_dot);
}

/* The Airy function of -z, z >= 0, by its power series (Abramowitz, Stegun, 10.4.2). */
static double airy_of_minus(double z, const void *unused) {
  (void)unused;
  long double f = 1, g = -z, sum_f = 1, sum_g = g;
  for (int k = 1; k < 120; k++) {
    const long double cube = -(long double)z * z * z;
    f *= cube / ((3.0L * k - 1) * (3.0L * k));
    g *= cube / ((3.0L * k) * (3.0L * k + 1));
    sum_f += f, sum_g += g;
  }
  return (double)(0.355028053887817239260063186004183L * sum_f -
                  0.258819403792806798405183560189204L * sum_g);
}

/* A triangular well: wall at 0, field 5 meV/nm; the levels are zeros of the Airy function. */
static void triangular_well(qds_context *ctx) {
  static const int elements[4][GRIDS] = {{160, 320, 640}, {60, 90, 120}, {30, 40, 52}, {20, 26, 33}};
  static const double known[] = {0.056640512, 0.099030331, 0.133735232, 0.164407598};
  static const double largest_error[4] = {3e-5, 5e-6, 1e-6, 1e-7};
  const double field = 5e-3, c = hbar2_over_2m0() / 0.067, unit = cbrt(c * field * field);
  double exact[4];
  first_roots(airy_of_minus, NULL, 1, 8, 0.1, 4, exact);
  for (int s = 0; s < 4; s++) {
    exact[s] *= unit;
    assert_close(exact[s], known[s], 6e-10);
  }
  for (int order = 1; order <= 4; order++) {
    double error[GRIDS];
    int intervals[GRIDS];
    for (int g = 0; g < GRIDS; g++) {
      double e[4];
      intervals[g] = order * elements[order - 1][g];
      levels(ctx, 4, e,
             "{materials: {GaAs: {mass: 0.067, band_edge_eV: 0}}, background: GaAs, states: 4,"
             " potential: [{formula_eV: \"0.005*x\"}], grid: {order: %d, x: {from_nm: 0, to_nm: 90, nodes: "
             "%d}}}",
             order, intervals[g] + 1);
      error[g] = distance_of(4, e, exact);
    }
    assert_converges("triangular well", GRIDS, intervals, error, 2 * order - 0.5, largest_error[order - 1]);
  }
}

static void test_triangular_well(void **state) {
  (void)state;
  with_context(1, triangular_well);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_cube),
      cmocka_unit_test(test_cuboid),
      cmocka_unit_test(test_unit_square),
      cmocka_unit_test(test_elliptic_dot),
      cmocka_unit_test(test_triangular_well),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}

/* Hard walls that cut the grid: the levels are zeros of Bessel functions, E = c (zero / R)^2. The walls have
 * order 2, up to how each grid happens to lie. */
#include "exact_support.h"

enum { GRIDS = 5, MOST_LEVELS = 9 };

/* j_l(x) by upward recurrence, stable for x > l; times x, which moves no zero. */
static double spherical_bessel(double x, const void *degree) {
  double before = sin(x), now = sin(x) / x - cos(x);
  const int l = *(const int *)degree;
  if (l == 0) return before;
  for (int i = 1; i < l; i++) {
    const double next = (2 * i + 1) / x * now - before;
    before = now;
    now = next;
  }
  return now;
}

static double bessel(double x, const void *degree) {
  return jn(*(const int *)degree, x);
}

/* E = c (zero number `index` of the function / R)^2 */
static double level(equation function, int degree, int index, double c, double radius) {
  double zero[2];
  first_roots(function, &degree, degree + 0.5, 20, 0.01, index, zero);
  return c * pow(zero[index - 1] / radius, 2);
}

/* Solves on all grids; the format takes the nodes per axis `dimension` times, z with half the intervals if
 * wanted. */
static void assert_walls(qds_context *ctx, const char *what, int count, const double *exact,
                         const int *intervals, int half_z, double order, double largest_error,
                         const char *format) {
  double error[GRIDS];
  for (int g = 0; g < GRIDS; g++) {
    double e[MOST_LEVELS];
    char text[DEVICE_TEXT];
    const int n = intervals[g] + 1, z = half_z ? intervals[g] / 2 + 1 : n;
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
    snprintf(text, sizeof text, format, n, n, z);
#pragma GCC diagnostic pop
    levels(ctx, count, e, "%s", text);
    error[g] = distance_of(count, e, exact);
  }
  assert_converges(what, GRIDS, intervals, error, order, largest_error);
}

/* A sphere of 5 nm, m = 0.112: shells 1s, 2p, 3d, 2s. */
static void sphere(qds_context *ctx) {
  static const double known[] = {0.13429649, 0.27473684, 0.45199263};
  static const int intervals[GRIDS] = {18, 22, 26, 31, 37};
  const double c = hbar2_over_2m0() / 0.112;
  double exact[9];
  for (int s = 0; s < 9; s++) {
    const int l = s == 0 ? 0 : s < 4 ? 1 : 2;
    exact[s] = level(spherical_bessel, l, 1, c, 5);
    assert_close(exact[s], known[l], 6e-9);
  }
  assert_close(level(spherical_bessel, 0, 2, c, 5), 0.53718595, 6e-9);
  assert_close(level(spherical_bessel, 3, 1, c, 5), 0.66444991, 6e-9);
  assert_close(level(spherical_bessel, 1, 2, c, 5), 0.81206389, 6e-9);
  assert_walls(
      ctx, "sphere", 9, exact, intervals, 0, 1.5, 1e-2,
      "{materials: {CdSe: {mass: 0.112, band_edge_eV: 0}}, background: hard_wall, states: 9,"
      " regions: [{shape: ellipsoid, center_nm: [0.1, 0.2, 0.3], radii_nm: [5, 5, 5], material: CdSe}],"
      " grid: {x: {from_nm: -5.5, to_nm: 5.5, nodes: %d}, y: {from_nm: -5.5, to_nm: 5.5, nodes: %d},"
      " z: {from_nm: -5.5, to_nm: 5.5, nodes: %d}}}");
}

static void test_sphere(void **state) {
  (void)state;
  with_context(1, sphere);
}

/* A quantum corral of radius 40 nm, m = 0.026, with its degenerate pairs. */
static void corral(qds_context *ctx) {
  static const double known[] = {5.296595e-3,  13.446646e-3, 13.446646e-3, 24.155485e-3, 24.155485e-3,
                                 27.907443e-3, 37.281468e-3, 37.281468e-3, 45.077269e-3};
  static const int degree[] = {0, 1, 1, 2, 2, 0, 3, 3, 1}, index[] = {1, 1, 1, 1, 1, 2, 1, 1, 2};
  static const int intervals[GRIDS] = {40, 54, 72, 98, 130};
  double exact[9];
  for (int s = 0; s < 9; s++) {
    exact[s] = level(bessel, degree[s], index[s], hbar2_over_2m0() / 0.026, 40);
    assert_close(exact[s], known[s], 6e-10);
  }
  assert_walls(ctx, "corral", 9, exact, intervals, 0, 1.5, 2e-4,
               "{materials: {dot: {mass: 0.026, band_edge_eV: 0}}, background: hard_wall, states: 9,"
               " regions: [{shape: ellipsoid, center_nm: [0.3, 0.7], radii_nm: [40, 40], material: dot}],"
               " grid: {x: {from_nm: -43, to_nm: 43, nodes: %d}, y: {from_nm: -43, to_nm: 43, nodes: %d}}}");
}

static void test_corral(void **state) {
  (void)state;
  with_context(1, corral);
}

/* A half ball of 5 nm, m = 0.067: of the ball's states those odd in z, l + m odd. Degree l has l of
 * them. */
static void hemisphere(qds_context *ctx) {
  static const double known[] = {0.45926158, 0.75556977, 1.11072224, 1.35747993, 1.52295362};
  static const int intervals[GRIDS] = {20, 24, 28, 34, 42};
  const double c = hbar2_over_2m0() / 0.067;
  double exact[7];
  for (int s = 0; s < 7; s++) {
    const int l = s == 6 ? 1 : s < 1 ? 1 : s < 3 ? 2 : 3;
    exact[s] = level(spherical_bessel, l, s == 6 ? 2 : 1, c, 5);
    assert_close(exact[s], known[s == 6 ? 3 : l - 1], 6e-9);
  }
  assert_close(level(spherical_bessel, 4, 1, c, 5), known[4], 6e-9);
  assert_walls(ctx, "half ball", 7, exact, intervals, 1, 1.5, 3e-2,
               "{materials: {dot: {mass: 0.067, band_edge_eV: 0}}, background: hard_wall, states: 7, regions:"
               " [{shape: dome, base_center_nm: [0.1, 0.2, 0.3], radius_nm: 5, height_nm: 5, material: dot}],"
               " grid: {x: {from_nm: -5.5, to_nm: 5.5, nodes: %d}, y: {from_nm: -5.5, to_nm: 5.5, nodes: %d},"
               " z: {from_nm: 0, to_nm: 5.5, nodes: %d}}}");
}

static void test_hemisphere(void **state) {
  (void)state;
  with_context(1, hemisphere);
}

/* A wall keeps its height over the carrier's energies wherever their zero is: states lie outside of it, and
 * move with the band edge and with a constant potential. */
static void zero_of_energy(qds_context *ctx) {
  static const char *const devices[] = {
      "{materials: {m: {mass: 0.067, band_edge_eV: %g}}, background: m, states: 4, carrier: %s,"
      " potential: [{formula_eV: '%g'}], regions: [{shape: layer, axis: x, from_nm: 10, to_nm: 14, material:"
      " hard_wall}], grid: {x: {from_nm: 0, to_nm: 60, nodes: 31}}}",
      "{materials: {m: {mass: 0.067, band_edge_eV: %g}}, background: m, states: 2, carrier: %s,"
      " potential: [{formula_eV: '%g'}], regions: [{shape: ellipsoid, center_nm: [0, 0], radii_nm: [20, 20],"
      " material: hard_wall}], grid: {x: {from_nm: -60, to_nm: 60, nodes: 41}, y: {from_nm: -60, to_nm: 60,"
      " nodes: 41}}}",
      "{materials: {m: {mass: 0.1, band_edge_eV: %g}}, background: m, states: 2, carrier: %s,"
      " potential: [{formula_eV: '%g'}], regions: [{shape: box, min_nm: [-13, -30, 4], max_nm: [-1, 42, 16],"
      " material: hard_wall}], grid: {x: {from_nm: -22, to_nm: 8, nodes: 5}, y: {from_nm: 0, to_nm: 50, "
      "nodes:"
      " 11}, z: {from_nm: -14, to_nm: 21, nodes: 11}, boundary: {x: neumann}}}"};
  static const double edges[] = {0, 0.3, 5, -7}, added[] = {0, 2, -0.4};
  static const int count[] = {4, 2, 2};
  for (size_t device = 0; device < 3; device++)
    for (int hole = 0; hole < 2; hole++) {
      const double sign = hole ? -1 : 1;
      double expected[MOST_LEVELS], e[MOST_LEVELS];
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
      levels(ctx, count[device], expected, devices[device], 0.0, hole ? "heavy_hole" : "electron", 0.0);
      for (size_t i = 0; i < 4; i++)
        for (size_t j = 0; j < 3; j++) {
          levels(ctx, count[device], e, devices[device], edges[i], hole ? "heavy_hole" : "electron",
                 added[j]);
          for (int s = 0; s < count[device]; s++) {
            assert_true(sign * expected[s] > 0);
            assert_close(e[s] - edges[i] - added[j], expected[s], 1e-8);
          }
        }
#pragma GCC diagnostic pop
    }
}

static void test_zero_of_energy(void **state) {
  (void)state;
  with_context(1, zero_of_energy);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_sphere),
      cmocka_unit_test(test_corral),
      cmocka_unit_test(test_hemisphere),
      cmocka_unit_test(test_zero_of_energy),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}

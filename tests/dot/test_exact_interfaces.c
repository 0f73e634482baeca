/* Finite wells with curved interfaces that cut the elements: order 2 up to how each grid happens to lie. */
#include "exact_support.h"

enum { GRIDS = 5 };

/* A round well: radius, depth, masses inside and outside, degree of the angular part. */
typedef struct {
  double radius, depth, mass_in, mass_out;
  int degree;
} round_well;

/* Value and slope of r^-1-scaled spherical Bessel functions: j_0 and j_1 inside. */
static void inside_3d(int degree, double x, double *value, double *slope) {
  const double j0 = sin(x) / x, j1 = (sin(x) / x - cos(x)) / x;
  *value = degree ? j1 : j0;
  *slope = degree ? j0 - 2 / x * j1 : -j1;
}

/* exp(-x) / x and exp(-x) (1 / x + 1 / x^2) outside, less the factor exp(-x). */
static void outside_3d(int degree, double x, double *value, double *slope) {
  *value = degree ? 1 / x + 1 / (x * x) : 1 / x;
  *slope = degree ? -(1 / x + 2 / (x * x) + 2 / (x * x * x)) : -(1 / x + 1 / (x * x));
}

/* The condition at the surface, psi and psi' / m continuous, without a pole. */
static double mismatch(const round_well *w, double k, double kappa, const double in[2], const double out[2]) {
  return in[1] * k / w->mass_in * out[0] - out[1] * kappa / w->mass_out * in[0];
}

static double sphere_mismatch(double energy, const void *parameters) {
  const round_well *w = parameters;
  const double c = hbar2_over_2m0(), k = sqrt(energy * w->mass_in / c),
               kappa = sqrt((w->depth - energy) * w->mass_out / c);
  double in[2], out[2];
  inside_3d(w->degree, k * w->radius, &in[0], &in[1]);
  outside_3d(w->degree, kappa * w->radius, &out[0], &out[1]);
  return mismatch(w, k, kappa, in, out);
}

/* The modified Bessel function K_m(x) = integral over t > 0 of exp(-x cosh t) cosh(m t), times exp(x); the
 * trapezoidal rule converges exponentially. */
static double bessel_k(int m, double x) {
  const double step = 1.0 / 64;
  double sum = 0.5;
  for (int i = 1; i * step < 12; i++) sum += exp(-x * (cosh(i * step) - 1)) * cosh(m * i * step);
  return sum * step;
}

static double disk_mismatch(double energy, const void *parameters) {
  const round_well *w = parameters;
  const int m = w->degree;
  const double c = hbar2_over_2m0(), k = sqrt(energy * w->mass_in / c),
               kappa = sqrt((w->depth - energy) * w->mass_out / c), x = k * w->radius, y = kappa * w->radius;
  const double in[2] = {jn(m, x), m ? jn(m - 1, x) - m / x * jn(m, x) : -j1(x)},
               out[2] = {bessel_k(m, y), -bessel_k(m ? m - 1 : 1, y) - m / y * bessel_k(m, y)};
  return mismatch(w, k, kappa, in, out);
}

static double exact_level(equation f, round_well w, int degree, int index) {
  double root[2] = {NAN, NAN};
  w.degree = degree;
  first_roots(f, &w, 1e-6, w.depth, w.depth / 2003, index, root);
  return root[index - 1];
}

/* Four lowest levels of a sphere: l = 0 and three times l = 1. */
static void assert_sphere(qds_context *ctx, const char *what, const round_well *w, double order,
                          double largest_error) {
  static const int intervals[GRIDS] = {24, 29, 35, 42, 50};
  double exact[4], error[GRIDS];
  for (int s = 0; s < 4; s++) exact[s] = exact_level(sphere_mismatch, *w, s > 0, 1);
  for (int g = 0; g < GRIDS; g++) {
    double e[4];
    const int n = intervals[g] + 1;
    levels(
        ctx, 4, e,
        "{materials: {well: {mass: %g, band_edge_eV: 0}, barrier: {mass: %g, band_edge_eV: %g}},"
        " background: barrier, states: 4,"
        " regions: [{shape: ellipsoid, center_nm: [0.11, 0.23, 0.37], radii_nm: [5, 5, 5], material: well}],"
        " grid: {x: {from_nm: -18, to_nm: 18, nodes: %d, refine: [{from_nm: -6, to_nm: 6, factor: 3}]},"
        " y: {from_nm: -18, to_nm: 18, nodes: %d, refine: [{from_nm: -6, to_nm: 6, factor: 3}]},"
        " z: {from_nm: -18, to_nm: 18, nodes: %d, refine: [{from_nm: -6, to_nm: 6, factor: 3}]}}}",
        w->mass_in, w->mass_out, w->depth, n, n, n);
    error[g] = distance_of(4, e, exact);
  }
  assert_converges(what, GRIDS, intervals, error, order, largest_error);
}

/* 5 nm, 0.26 eV, m = 0.067 in 0.0919. */
static void sphere(qds_context *ctx) {
  const round_well w = {5, 0.26, 0.067, 0.0919, 0};
  assert_close(exact_level(sphere_mismatch, w, 0, 1), 0.116442108, 6e-10);
  assert_close(exact_level(sphere_mismatch, w, 1, 1), 0.227125140, 6e-10);
  assert_sphere(ctx, "sphere", &w, 1.5, 5e-4);
}

static void test_sphere(void **state) {
  (void)state;
  with_context(1, sphere);
}

/* The same with the masses and offset of InAs in GaAs: a strong jump of the mass. */
static void sphere_of_high_contrast(qds_context *ctx) {
  const round_well w = {5, 0.7, 0.023, 0.067, 0};
  assert_sphere(ctx, "sphere of high contrast", &w, 1.6, 2e-3);
}

static void test_sphere_of_high_contrast(void **state) {
  (void)state;
  with_context(1, sphere_of_high_contrast);
}

/* A disk of 10 nm, 0.1 eV, one mass. */
static void disk(qds_context *ctx) {
  static const int degree[] = {0, 1, 1, 2, 2, 0}, index[] = {1, 1, 1, 1, 1, 2};
  static const double known[] = {0.021107145, 0.052210161, 0.052210161,
                                 0.089769391, 0.089769391, 0.096628498};
  static const int intervals[GRIDS] = {60, 80, 108, 144, 192};
  const round_well w = {10, 0.1, 0.067, 0.067, 0};
  double exact[6], error[GRIDS];
  for (int s = 0; s < 6; s++) {
    exact[s] = exact_level(disk_mismatch, w, degree[s], index[s]);
    assert_close(exact[s], known[s], 6e-10);
  }
  for (int g = 0; g < GRIDS; g++) {
    double e[6];
    levels(ctx, 6, e,
           "{materials: {well: {mass: 0.067, band_edge_eV: 0}, barrier: {mass: 0.067, band_edge_eV: 0.1}},"
           " background: barrier, states: 6,"
           " regions: [{shape: ellipsoid, center_nm: [0.3, 0.7], radii_nm: [10, 10], material: well}],"
           " grid: {x: {from_nm: -60, to_nm: 60, nodes: %d, refine: [{from_nm: -12, to_nm: 12, factor: 3}]},"
           " y: {from_nm: -60, to_nm: 60, nodes: %d, refine: [{from_nm: -12, to_nm: 12, factor: 3}]}}}",
           intervals[g] + 1, intervals[g] + 1);
    error[g] = distance_of(5, e, exact); /* the sixth, at 97 % of the depth, feels the box */
    assert_close(e[5], exact[5], 1e-3);
  }
  assert_converges("disk", GRIDS, intervals, error, 1.7, 5e-5);
}

static void test_disk(void **state) {
  (void)state;
  with_context(1, disk);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_sphere),
      cmocka_unit_test(test_sphere_of_high_contrast),
      cmocka_unit_test(test_disk),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}

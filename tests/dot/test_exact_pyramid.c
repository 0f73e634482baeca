/* The pyramid of Hwang, Lin, Wang, Wang, J. Comput. Phys. 196 (2004) 208, with constant masses. There
 * is no closed form: grids of several spacings, uniform and refined, must lead to one limit. */
#include "exact_support.h"

enum { GRIDS = 4 };

/* Ground level and the pair above it. The spacing is a fraction of 3.1 nm, so that the base and the facets
 * lie alike among the nodes of every uniform grid and the error is a smooth function of it. */
static void pyramid(qds_context *ctx, int intervals, const char *refine, double *energy) {
  const int n = intervals + 1;
  levels(
      ctx, 3, energy,
      "{materials: {InAs: {mass: 0.0239, band_edge_eV: 0.0}, GaAs: {mass: 0.0665, band_edge_eV: 0.77}},"
      " background: GaAs, states: 3, regions:"
      " [{shape: pyramid, base_center_nm: [0, 0, -3.1], base_nm: [12.4, 12.4], height_nm: 6.2, material: "
      "InAs}],"
      " grid: {x: {from_nm: -12.4, to_nm: 12.4, nodes: %d%s}, y: {from_nm: -12.4, to_nm: 12.4, nodes: %d%s},"
      " z: {from_nm: -9.3, to_nm: 9.3, nodes: %d%s}}}",
      n, refine, n, refine, intervals * 3 / 4 + 1, refine);
}

/* The limit of e = limit + a h + b h^2 from three grids. */
static double extrapolated(const int *intervals, const double *e) {
  double limit = 0;
  for (int i = 0; i < 3; i++) {
    double weight = 1;
    for (int j = 0; j < 3; j++)
      if (j != i) weight *= (double)intervals[i] / (intervals[i] - intervals[j]);
    limit += weight * e[i];
  }
  return limit;
}

static void one_limit(qds_context *ctx) {
  static const int intervals[GRIDS] = {24, 32, 48, 64};
  double e[3][GRIDS], fine[3], refined[3];
  for (int g = 0; g < GRIDS; g++) {
    double level[3];
    pyramid(ctx, intervals[g], "", level);
    for (int s = 0; s < 3; s++) e[s][g] = level[s];
    assert_close(level[2], level[1], 1e-6); /* the symmetry of the square */
  }
  pyramid(ctx, 64, ", refine: [{from_nm: -6.2, to_nm: 6.2, factor: 2}]", refined);
  for (int s = 0; s < 3; s++) {
    fine[s] = extrapolated(intervals + 1, e[s] + 1);
    assert_close(extrapolated(intervals, e[s]), fine[s], 1e-3);
    assert_true(e[s][0] > e[s][1] && e[s][1] > e[s][2] && e[s][2] > e[s][3] && e[s][3] > refined[s]);
    assert_close(refined[s], fine[s], 2e-3);
  }
  /* 0.394186 and 0.639240 eV were computed elsewhere with bilinear elements at 0.3875 nm, our second finest
   * spacing; their limit is ours up to the errors of that spacing. */
  assert_close(fine[0], 0.394186, 5e-3);
  assert_close(fine[1], 0.639240, 3e-3);
  assert_close(fine[0], 0.3922, 1e-3);
}

static void test_one_limit(void **state) {
  (void)state;
  with_context(1, one_limit);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_one_limit)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}

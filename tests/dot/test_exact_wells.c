/* Wells in one dimension whose levels are roots of transcendental equations. The interfaces lie on element
 * ends, where the order 2p is kept. */
#include "exact_support.h"

enum { GRIDS = 3, MOST_LAYERS = 3 };

/* Layers between two barriers that reach to infinity; energies in eV, widths in nm. */
typedef struct {
  int layers;
  double width[MOST_LAYERS], edge[MOST_LAYERS], mass[MOST_LAYERS];
  double barrier_edge, barrier_mass;
} layered;

/* The mismatch at the far barrier of the solution that decays in the near one: (psi, psi' / m) is carried
 * through the layers by cos and sin, or cosh and sinh below a band edge (BenDaniel, Duke). Zero at the
 * levels, no pole. */
static double mismatch(double energy, const void *parameters) {
  const layered *l = parameters;
  const double c = hbar2_over_2m0(),
               decay = sqrt((l->barrier_edge - energy) * l->barrier_mass / c) / l->barrier_mass;
  double psi = 1, flux = decay;
  for (int i = 0; i < l->layers; i++) {
    const double m = l->mass[i], square = (energy - l->edge[i]) * m / c, k = sqrt(fabs(square)),
                 angle = k * l->width[i], even = square > 0 ? cos(angle) : cosh(angle),
                 odd = square > 0 ? sin(angle) : sinh(angle);
    const double next = even * psi + odd * m / k * flux;
    flux = (square > 0 ? -1 : 1) * odd * k / m * psi + even * flux;
    psi = next;
  }
  return flux + decay * psi;
}

static void exact_levels(const layered *l, int count, double *energy) {
  first_roots(mismatch, l, 1e-7, l->barrier_edge, l->barrier_edge / 20011, count, energy);
}

/* Checks the roots against numbers computed elsewhere, and the orders 1 to 4 on three grids each. The well's
 * layers stand in `regions`, with interfaces at even coordinates; reach: half the length of the grid. */
static void assert_levels(qds_context *ctx, const char *what, const layered *l, const char *regions,
                          int reach, int count, const double *known, double known_to) {
  static const double elements_per_nm[4] = {4, 1, 1, 0.5}, largest_error[4] = {1e-5, 2e-7, 5e-9, 2e-9};
  double exact[4];
  exact_levels(l, count, exact);
  for (int s = 0; s < count; s++) assert_close(exact[s], known[s], known_to);
  for (int order = 1; order <= 4; order++) {
    double error[GRIDS];
    int intervals[GRIDS];
    for (int g = 0; g < GRIDS; g++) {
      double e[4];
      const int refined = order == 4 ? g + 1 : 1 << g;
      intervals[g] = order * (int)(2 * reach * elements_per_nm[order - 1] * refined);
      levels(
          ctx, count, e,
          "{materials: {well: {mass: %.17g, band_edge_eV: 0}, barrier: {mass: %.17g, band_edge_eV: %.17g}},"
          " background: barrier, regions: [%s], states: %d, grid: {order: %d,"
          " x: {from_nm: -%d, to_nm: %d, nodes: %d}}}",
          l->mass[0], l->barrier_mass, l->barrier_edge, regions, count, order, reach, reach,
          intervals[g] + 1);
      error[g] = distance_of(count, e, exact);
    }
    assert_converges(what, GRIDS, intervals, error, 2 * order - 0.5, largest_error[order - 1]);
  }
}

/* 20 nm, 100 meV, one mass. */
static void finite_well(qds_context *ctx) {
  static const double known[] = {0.009092442, 0.035604055, 0.075937436};
  const layered well = {1, {20}, {0}, {0.067}, 0.1, 0.067};
  assert_levels(ctx, "finite well", &well, "{shape: layer, axis: x, from_nm: -10, to_nm: 10, material: well}",
                100, 3, known, 6e-10);
}

static void test_finite_well(void **state) {
  (void)state;
  with_context(1, finite_well);
}

/* GaAs in Al0.2Ga0.8As, 10 nm, offset 0.67 x 1.247 eV x 0.2. */
static const double al20_offset = 0.67 * 1.247 * 0.2;

static void harrison_well(qds_context *ctx) {
  static const double known[] = {0.029438831, 0.109757196};
  const layered well = {1, {10}, {0}, {0.067}, al20_offset, 0.067};
  assert_levels(ctx, "Harrison's well", &well,
                "{shape: layer, axis: x, from_nm: -4, to_nm: 6, material: well}", 60, 2, known, 1e-9);
}

static void test_harrison_well(void **state) {
  (void)state;
  with_context(1, harrison_well);
}

/* Two wells of 6 nm with a barrier between. */
static layered double_well(double between, double barrier_mass) {
  return (layered){3,           {6, between, 6}, {0, al20_offset, 0}, {0.067, barrier_mass, 0.067},
                   al20_offset, barrier_mass};
}

static void double_wells(qds_context *ctx) {
  static const char *near = "{shape: layer, axis: x, from_nm: -8, to_nm: -2, material: well},"
                            "{shape: layer, axis: x, from_nm: 2, to_nm: 8, material: well}",
                    *far = "{shape: layer, axis: x, from_nm: -10, to_nm: -4, material: well},"
                           "{shape: layer, axis: x, from_nm: 4, to_nm: 10, material: well}";
  static const double one_mass[] = {0.051433972, 0.062551056}, two_masses[] = {0.049136115, 0.057715029};
  const layered with_one_mass = double_well(4, 0.067), with_two_masses = double_well(4, 0.0836),
                weak = double_well(8, 0.067);
  assert_levels(ctx, "double well", &with_one_mass, near, 60, 2, one_mass, 6e-10);
  assert_levels(ctx, "double well with two masses", &with_two_masses, near, 60, 2, two_masses, 6e-10);
  double exact[2];
  exact_levels(&weak, 2, exact);
  assert_close(exact[1] - exact[0], 1.907314e-3, 6e-10);
  assert_levels(ctx, "weakly coupled wells", &weak, far, 60, 2, exact, 0);
}

static void test_double_wells(void **state) {
  (void)state;
  with_context(1, double_wells);
}

/* An interface anywhere inside an element: elements of higher order lose their advantage. */
static void interface_inside_element(qds_context *ctx) {
  const layered well = {1, {10}, {0}, {0.067}, 0.26, 0.0919};
  static const int first_elements[4] = {240, 120, 80, 60};
  double exact[2];
  exact_levels(&well, 2, exact);
  for (int order = 1; order <= 4; order++) {
    double error[5];
    int intervals[5];
    for (int g = 0; g < 5; g++) {
      double e[2];
      intervals[g] = order * (first_elements[order - 1] * (8 + 5 * g) / 8);
      levels(
          ctx, 2, e,
          "{materials: {well: {mass: 0.067, band_edge_eV: 0}, barrier: {mass: 0.0919, band_edge_eV: 0.26}},"
          " background: barrier, regions: [{shape: layer, axis: x, from_nm: -4.87, to_nm: 5.13, material: "
          "well}],"
          " states: 2, grid: {order: %d, x: {from_nm: -40, to_nm: 40, nodes: %d}}}",
          order, intervals[g] + 1);
      error[g] = distance_of(2, e, exact);
    }
    assert_converges("interface inside an element", 5, intervals, error, order == 1 ? 1.5 : 1,
                     order == 1 ? 3e-5 : 1e-4);
  }
}

static void test_interface_inside_element(void **state) {
  (void)state;
  with_context(1, interface_inside_element);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_finite_well),
      cmocka_unit_test(test_harrison_well),
      cmocka_unit_test(test_double_wells),
      cmocka_unit_test(test_interface_inside_element),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}

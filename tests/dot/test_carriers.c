/* Levels of carriers in materials of the database, and the ways to give a potential: formulas, .npy files,
 * arrays. */
#include "exact_support.h"

#include "base/npy.h"
#include "folder.h"
#include "qdsim/material.h"

/* Level n = 1, 2 ... of a box of 10 nm along x in 1D. */
static double box_level(double mass, int n) {
  return hbar2_over_2m0() / mass * pow(n * M_PI / 10, 2);
}

static qds_material_band band_of(qds_context *ctx, const char *name, double temperature,
                                 qds_carrier carrier) {
  qds_material material;
  qds_material_band band;
  assert_ok(qds_material_find(ctx, name, temperature, &material));
  assert_ok(qds_material_band_of(ctx, &material, carrier, &band));
  return band;
}

/* Each carrier in a box of one material, at two temperatures: electrons go up from the band edge,
 * holes down. */
static void carriers_in_boxes(qds_context *ctx) {
  static const char *const words[] = {"electron", "heavy_hole", "light_hole"}, *const names[] = {
                                                                                   "GaAs", "InAs",
                                                                                   "In0.53Ga0.47As",
                                                                                   "Al0.3Ga0.7As"};
  for (int carrier = QDS_ELECTRON; carrier <= QDS_LIGHT_HOLE; carrier++)
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
      for (int temperature = 4; temperature <= 300; temperature += 296) {
        const qds_material_band band = band_of(ctx, names[i], temperature, (qds_carrier)carrier);
        double e[3];
        levels(ctx, 3, e,
               "{background: %s, carrier: %s, temperature_K: %d, states: 3,"
               " grid: {order: 4, x: {from_nm: 0, to_nm: 10, nodes: 81}}}",
               names[i], words[carrier], temperature);
        for (int s = 0; s < 3; s++)
          assert_close(
              e[s], band.band_edge_eV + (carrier == QDS_ELECTRON ? 1 : -1) * box_level(band.mass[0], s + 1),
              1e-8);
      }
}

static void test_carriers_in_boxes(void **state) {
  (void)state;
  with_context(1, carriers_in_boxes);
}

/* Heavy holes are lighter in the plane: a cube splits the level that it has thrice for one mass. */
static void anisotropic_mass(qds_context *ctx) {
  const qds_material_band band = band_of(ctx, "GaAs", 300, QDS_HEAVY_HOLE);
  assert_true(band.mass[2] > band.mass[0]);
  double e[4];
  levels(ctx, 4, e,
         "{background: GaAs, carrier: heavy_hole, states: 4, grid: {order: 4, x: {from_nm: 0, to_nm: 10, "
         "nodes: 25},"
         " y: {from_nm: 0, to_nm: 10, nodes: 25}, z: {from_nm: 0, to_nm: 10, nodes: 25}}}");
  const double x = box_level(band.mass[0], 1), z = box_level(band.mass[2], 1), top = band.band_edge_eV;
  assert_close(e[0], top - 2 * x - z, 1e-7);
  assert_close(e[1], top - 2 * x - 4 * z, 1e-7);
  assert_close(e[2], fmax(top - 5 * x - z, top - 2 * x - 9 * z), 1e-6);
  assert_true(e[0] > e[1] && e[1] > e[2] && e[2] >= e[3]);
}

static void test_anisotropic_mass(void **state) {
  (void)state;
  with_context(1, anisotropic_mass);
}

/* InAs in GaAs binds electrons below and holes above the band edges of GaAs; cold levels lie higher by
 * Varshni. */
static void dot_levels(qds_context *ctx, const char *carrier, int temperature, double *energy) {
  levels(ctx, 2, energy,
         "{background: GaAs, carrier: %s, temperature_K: %d, states: 2,"
         " regions: [{shape: ellipsoid, center_nm: [0, 0], radii_nm: [7, 5], material: InAs}],"
         " grid: {x: {from_nm: -15, to_nm: 15, nodes: 41}, y: {from_nm: -15, to_nm: 15, nodes: 41}}}",
         carrier, temperature);
}

static void dots_bind(qds_context *ctx) {
  double cold[2], warm[2], hole[2];
  dot_levels(ctx, "electron", 4, cold);
  dot_levels(ctx, "electron", 300, warm);
  dot_levels(ctx, "heavy_hole", 300, hole);
  const double in = band_of(ctx, "InAs", 300, QDS_ELECTRON).band_edge_eV,
               out = band_of(ctx, "GaAs", 300, QDS_ELECTRON).band_edge_eV,
               hole_in = band_of(ctx, "InAs", 300, QDS_HEAVY_HOLE).band_edge_eV,
               hole_out = band_of(ctx, "GaAs", 300, QDS_HEAVY_HOLE).band_edge_eV;
  assert_true(in < warm[0] && warm[0] < warm[1] && warm[1] < out);
  assert_true(hole_out < hole[1] && hole[1] < hole[0] && hole[0] < hole_in);
  const double gap_change = band_of(ctx, "InAs", 4, QDS_ELECTRON).band_edge_eV - in;
  assert_true(gap_change > 0.03);
  assert_close(cold[0] - warm[0], gap_change, 0.01);
}

static void test_dots_bind(void **state) {
  (void)state;
  with_context(1, dots_bind);
}

/* ---- the same potential as formula, .npy file and array ---- */

enum { NX = 21, NY = 33 };

static double formula(double x, double y) {
  return 0.3 * x * x + 0.1 * sin(y) + 0.02 * x * y;
}

static void fill(double *potential) {
  for (int i = 0; i < NX; i++)
    for (int j = 0; j < NY; j++) potential[i * NY + j] = formula(-2 + 0.2 * i, -3 + 0.1875 * j);
}

static const char *test_folder;

static void potentials_agree(qds_context *ctx) {
  static const char format[] =
      "{background: {mass: 0.4, band_edge_eV: 0.0}, states: 4, potential: [%s],"
      " grid: {x: {from_nm: -2, to_nm: 2, nodes: 21}, y: {from_nm: -3, to_nm: 3, nodes: 33}},"
      " boundary: {y: [neumann, dirichlet]}}";
  static double potential[NX * NY];
  const int64_t shape[2] = {NX, NY};
  char term[600];
  double e[4];
  fill(potential);
  levels(ctx, 4, e, format,
         "{formula_eV: \"0.3*x^2 + a*sin(y)\", parameters: {a: 0.1}}, {formula_eV: \"0.02*x*y\"}");
  assert_ok(qds_npy_write(qds_context_allocator(ctx), in_folder(test_folder, "v.npy"), 2, shape, potential));
  snprintf(term, sizeof term, "{array_eV: %s}", in_folder(test_folder, "v.npy"));
  double from_file[4];
  levels(ctx, 4, from_file, format, term);
  qds_array_device arrays = QDS_ARRAY_DEVICE_INIT;
  arrays.dimension = 2;
  arrays.nodes[0] = NX, arrays.nodes[1] = NY;
  arrays.spacing_nm[0] = 0.2, arrays.spacing_nm[1] = 0.1875;
  arrays.potential_eV = potential;
  arrays.mass = 0.4;
  arrays.states = 4;
  arrays.boundary[0][0] = arrays.boundary[0][1] = arrays.boundary[1][1] = QDS_DIRICHLET;
  arrays.boundary[1][0] = QDS_NEUMANN;
  QDS_AUTO(qds_device) *device = NULL;
  QDS_AUTO(qds_result) *result = NULL;
  assert_ok(qds_device_from_arrays(ctx, &arrays, &device));
  assert_ok(qds_device_solve(device, &result));
  for (int s = 0; s < 4; s++) {
    assert_close(from_file[s], e[s], 1e-11);
    assert_close(qds_result_energies_eV(result)[s], e[s], 1e-11);
  }
}

static void test_potentials_agree(void **state) {
  test_folder = *state;
  with_context(1, potentials_agree);
}

/* A map of equal masses is the mass; a map of two masses with the step midway between nodes is the two
 * materials. */
static void mass_maps(qds_context *ctx) {
  enum { N = 101 };
  double potential[N], mass[N], e[3];
  for (int i = 0; i < N; i++) {
    const int inside = i > 35 && i < 66;
    potential[i] = inside ? 0 : 0.3;
    mass[i] = inside ? 0.05 : 0.1;
  }
  levels(ctx, 3, e,
         "{background: {mass: 0.1, band_edge_eV: 0.3}, states: 3, grid: {x: {from_nm: 0, to_nm: 20, nodes: "
         "101}},"
         " regions: [{shape: layer, axis: x, from_nm: 7.1, to_nm: 13.1, material: {mass: 0.05, band_edge_eV: "
         "0}}]}");
  qds_array_device arrays = QDS_ARRAY_DEVICE_INIT;
  arrays.dimension = 1;
  arrays.nodes[0] = N;
  arrays.spacing_nm[0] = 0.2;
  arrays.potential_eV = potential;
  arrays.mass_map = mass;
  arrays.states = 3;
  QDS_AUTO(qds_device) *device = NULL;
  QDS_AUTO(qds_result) *result = NULL;
  assert_ok(qds_device_from_arrays(ctx, &arrays, &device));
  assert_ok(qds_device_solve(device, &result));
  for (int s = 0; s < 3; s++) assert_close(qds_result_energies_eV(result)[s], e[s], 1e-10);
}

static void test_mass_maps(void **state) {
  (void)state;
  with_context(1, mass_maps);
}

static void refused_arrays(qds_context *ctx) {
  double potential[9] = {0}, mass[9] = {1, 1, 1, 1, -1, 1, 1, 1, 1}, descending[3] = {0, 2, 1};
  const qds_array_device good = {.struct_size = sizeof good,
                                 .dimension = 2,
                                 .nodes = {3, 3},
                                 .spacing_nm = {1, 1},
                                 .potential_eV = potential,
                                 .mass = 1,
                                 .states = 1};
  qds_device *device = NULL;
  qds_array_device bad = good;
  bad.mass_map = mass;
  assert_fails(qds_device_from_arrays(ctx, &bad, &device), QDS_ERROR_INPUT, "number 4");
  bad = good, bad.mass = 0;
  assert_fails(qds_device_from_arrays(ctx, &bad, &device), QDS_ERROR_ARGUMENT, "mass 0");
  bad = good, bad.coordinates_nm[1] = descending;
  assert_fails(qds_device_from_arrays(ctx, &bad, &device), QDS_ERROR_INPUT, "ascend");
  bad = good, bad.spacing_nm[0] = -1;
  assert_fails(qds_device_from_arrays(ctx, &bad, &device), QDS_ERROR_ARGUMENT, "-1");
  bad = good, bad.states = 2;
  assert_fails(qds_device_from_arrays(ctx, &bad, &device), QDS_ERROR_INPUT, "1 unknowns");
  bad = good, bad.order = 3;
  assert_fails(qds_device_from_arrays(ctx, &bad, &device), QDS_ERROR_INPUT, "order");
  bad = good, bad.nodes[0] = 0;
  assert_fails(qds_device_from_arrays(ctx, &bad, &device), QDS_ERROR_INPUT, "nodes");
  bad = good, bad.nodes[0] = -7;
  assert_int_not_equal(qds_device_from_arrays(ctx, &bad, &device), QDS_OK);
  bad = good, bad.dimension = 4;
  assert_fails(qds_device_from_arrays(ctx, &bad, &device), QDS_ERROR_ARGUMENT, "dimension 4");
  bad = good, bad.potential_eV = NULL;
  assert_fails(qds_device_from_arrays(ctx, &bad, &device), QDS_ERROR_ARGUMENT, "potential");
  potential[7] = NAN;
  assert_fails(qds_device_from_arrays(ctx, &good, &device), QDS_ERROR_INPUT, "number 7");
  assert_null(device);
}

static void test_refused_arrays(void **state) {
  (void)state;
  with_context(1, refused_arrays);
}

/* ---- probabilities, and threads ---- */

static qds_result *lens(int threads, qds_context **ctx) {
  qds_context_options options = QDS_CONTEXT_OPTIONS_INIT;
  options.threads = threads;
  assert_ok(qds_context_create(&options, ctx));
  return solve_text(
      *ctx, "{background: GaAs, states: 4, temperature_K: 4.2, regions:"
            " [{shape: layer, axis: z, from_nm: -0.6, to_nm: 0, material: InAs},"
            " {shape: dome, base_center_nm: [0, 0, 0], radius_nm: 9, height_nm: 5, material: InAs}],"
            " grid: {x: {from_nm: -15, to_nm: 15, nodes: 33}, y: {from_nm: -15, to_nm: 15, nodes: 31},"
            " z: {from_nm: -9, to_nm: 13, nodes: 29}}}");
}

static void test_threads_agree(void **state) {
  (void)state;
  qds_context *one, *two;
  qds_result *a = lens(1, &one), *b = lens(2, &two);
  for (int s = 0; s < 4; s++) {
    const double inside = qds_result_probability(a, s, 1);
    assert_string_equal(qds_result_material_name(a, 1), "InAs");
    assert_close(qds_result_energies_eV(a)[s], qds_result_energies_eV(b)[s], 1e-12);
    assert_close(inside, qds_result_probability(b, s, 1), 1e-6);
    assert_close(inside + qds_result_probability(a, s, 0), 1, 1e-9);
    assert_true(inside > 0.3 && inside < 1);
  }
  assert_close(qds_result_position_nm(a, 0)[0], 0, 1e-6);
  assert_close(qds_result_position_nm(a, 0)[1], 0, 1e-6);
  assert_true(qds_result_position_nm(a, 0)[2] > 0 && qds_result_position_nm(a, 0)[2] < 5);
  qds_result_destroy(a);
  qds_result_destroy(b);
  qds_context_destroy(one);
  qds_context_destroy(two);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_carriers_in_boxes),
      cmocka_unit_test(test_anisotropic_mass),
      cmocka_unit_test(test_dots_bind),
      cmocka_unit_test_setup_teardown(test_potentials_agree, folder_setup, folder_teardown),
      cmocka_unit_test(test_mass_maps),
      cmocka_unit_test(test_refused_arrays),
      cmocka_unit_test(test_threads_agree),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}

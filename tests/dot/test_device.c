/* Reading devices: what is refused and how, defaults, the effective configuration, assignments; and memory
 * that runs out anywhere between reading a device and writing its result. */
#include "exact_support.h"

#include "base/npy.h"
#include "folder.h"

/* ---- bad input ---- */

/* A good device, one key to a line. */
static const char good[] = "name: good\n"                                                         /* 1 */
                           "dimension: 2\n"                                                       /* 2 */
                           "materials:\n"                                                         /* 3 */
                           "  well: {mass: [0.03, 0.04], band_edge_eV: 0.0}\n"                    /* 4 */
                           "  out: {mass: 0.067, band_edge_eV: 0.5, permittivity: 12.9}\n"        /* 5 */
                           "background: out\n"                                                    /* 6 */
                           "regions:\n"                                                           /* 7 */
                           "  - {shape: box, min_nm: [-3, -2], max_nm: [3, 2], material: well}\n" /* 8 */
                           "potential:\n"                                                         /* 9 */
                           "  - {formula_eV: \"k*x^2\", parameters: {k: 1e-3}}\n"                 /* 10 */
                           "grid:\n"                                                              /* 11 */
                           "  x: {from_nm: -6, to_nm: 6, nodes: 21}\n"                            /* 12 */
                           "  y: {from_nm: -5, to_nm: 5, nodes: 17}\n"                            /* 13 */
                           "  order: 2\n"                                                         /* 14 */
                           "boundary: {x: periodic}\n"                                            /* 15 */
                           "states: 3\n"                                                          /* 16 */
                           "output: {fields: [density], plot: no}\n";                             /* 17 */

/* `good` with its only `old` replaced. */
static void replace(const char *old, const char *new, char *text) {
  const char *at = strstr(good, old);
  if (!at || strstr(at + 1, old)) fail_msg("the good device must hold \"%s\" once", old);
  sprintf(text, "%.*s%s%s", (int)(at - good), good, new, at + strlen(old));
}

typedef struct {
  const char *old, *new;
  int line;
  const char *says[2];
} mistake;

static const mistake mistakes[] = {
    {"states:", "state:", 16, {"\"state\"", "states"}},
    {"min_nm: [-3, -2]", "min: [-3, -2]", 8, {"\"min\"", "min_nm"}},
    {"parameters:", "parameter:", 10, {"\"parameter\"", "parameters"}},
    {"plot: no", "plots: no", 17, {"\"plots\"", "plot"}},
    {"material: well", "material: wall", 8, {"\"wall\"", "\"well\""}},
    {"material: well", "material: InGas", 8, {"\"InGas\"", "InGaAs"}},
    {"material: well", "material: {alloy: InGas, x: 0.5}", 8, {"InGas", "InGaAs"}},
    {"material: well", "material: {alloy: InGaAs, x: 1.5}", 8, {"1.5", ""}},
    {"material: well", "material: {alloy: InGaAs}", 8, {"x", ""}},
    {"material: well", "material: {mass: 0.05}", 8, {"band_edge_eV", ""}},
    {", material: well", "", 8, {"material", ""}},
    {"background: out\n", "", 1, {"background", ""}},
    {"background: out", "background: hard_wall", 11, {"order: 1", "hard walls"}},
    {"shape: box", "shape: bax", 8, {"\"bax\"", "\"box\""}},
    {"shape: box, ", "", 8, {"shape", ""}},
    {"shape: box", "shape: pyramid", 8, {"min_nm", "base_center_nm"}},
    {"box, min_nm: [-3, -2], max_nm: [3, 2]",
     "cone, radius_nm: 2, height_nm: 3, base_center_nm: [0, 0]",
     8,
     {"cone", ""}},
    {", max_nm: [3, 2]", "", 8, {"max_nm", ""}},
    {"max_nm: [3, 2]", "max_nm: [-4, 2]", 8, {"max_nm", ""}},
    {"max_nm: [3, 2]", "max_nm: [3, 2, 1]", 8, {"max_nm", ""}},
    {"min_nm: [-3, -2], max_nm: [3, 2]",
     "min_nm: [7, -2], max_nm: [9, 2]",
     8,
     {"outside the grid", "x = 7 nm"}},
    {"from_nm: -6, to_nm: 6", "from_nm: 6, to_nm: -6", 12, {"from_nm", "below"}},
    {"from_nm: -6, ", "", 12, {"from_nm", ""}},
    {"from_nm: -6", "from_nm: .nan", 12, {"from_nm", ""}},
    {"nodes: 21", "nodes: 20", 12, {"20 nodes", "21"}},
    {"nodes: 21", "nodes: 2", 12, {"2 nodes", "3"}},
    {"nodes: 21", "nodes: 2.5", 12, {"2.5", ""}},
    {"nodes: 21", "nodes: 21, refine: [{from_nm: 3, to_nm: 1, factor: 2}]", 12, {"refinement", "below"}},
    {"nodes: 21", "nodes: 21, refine: [{from_nm: 1, to_nm: 3, factor: -2}]", 12, {"factor", "-2"}},
    {"nodes: 21", "nodes: 21, refine: [{from_nm: 1, to_nm: 3}]", 12, {"factor", ""}},
    {"order: 2", "order: 5", 14, {"order", "5"}},
    {"x: periodic", "x: [periodic, dirichlet]", 15, {"periodic", "both ends"}},
    {"x: periodic", "x: open", 15, {"\"open\"", "dirichlet"}},
    {"x: periodic", "z: periodic", 15, {"\"z\"", ""}},
    {"x: periodic", "x: [neumann]", 15, {"list of two", ""}},
    {"mass: 0.067", "mass: 0", 5, {"mass", ""}},
    {"mass: [0.03, 0.04]", "mass: [0.03, -0.04]", 4, {"-0.04", ""}},
    {"mass: [0.03, 0.04]", "mass: [0.03]", 4, {"mass", ""}},
    {"permittivity: 12.9", "permittivity: -1", 5, {"permittivity", ""}},
    {"band_edge_eV: 0.5", "band_edge_eV: 1e9", 5, {"band_edge_eV", "hard_wall"}},
    {"states: 3", "states: 301", 16, {"301", "300"}},
    {"states: 3", "states: 0", 16, {"states", ""}},
    {"states: 3", "states: many", 16, {"many", ""}},
    {"states: 3", "tolerance_eV: -1e-8", 16, {"tolerance_eV", ""}},
    {"states: 3", "temperature_K: -4", 16, {"temperature_K", "0"}},
    {"states: 3", "carrier: positron", 16, {"positron", "electron"}},
    {"states: 3", "magnetic_field: {tesla: [0, 0, 5]}", 16, {"magnetic_field", ""}},
    {"k*x^2", "k*x^", 10, {"k*x^", ""}},
    {"k*x^2", "j*x^2", 10, {"j", ""}},
    {"k*x^2", "k*z^2", 10, {"z", ""}},
    {"{k: 1e-3}", "{k: many}", 10, {"many", ""}},
    {"{formula_eV: \"k*x^2\", parameters: {k: 1e-3}}", "{array_eV: missing.npy}", 10, {"missing.npy", ""}},
    {"{formula_eV: \"k*x^2\", parameters: {k: 1e-3}}", "{}", 10, {"formula_eV", "array_eV"}},
    {"fields: [density]", "fields: [densty]", 17, {"\"densty\"", "\"density\""}},
    {"fields: [density]", "fields: density", 17, {"list", ""}},
    {"dimension: 2", "dimension: 3", 11, {"axis z is missing", ""}},
    {"dimension: 2", "dimension: 1", 13, {"axis y", ""}},
    {"dimension: 2", "name: again", 2, {"name", ""}},
    {"states: 3", "states: [3", 17, {"", ""}},
};

static void refusals(qds_context *ctx) {
  char text[DEVICE_TEXT], place[64];
  QDS_AUTO(qds_device) *accepted = NULL;
  assert_ok(qds_device_parse(ctx, "dot.yaml", good, NULL, &accepted));
  for (size_t i = 0; i < sizeof mistakes / sizeof *mistakes; i++) {
    const mistake *m = &mistakes[i];
    qds_device *device = NULL;
    replace(m->old, m->new, text);
    snprintf(place, sizeof place, "dot.yaml:%d: ", m->line);
    const qds_status status = qds_device_parse(ctx, "dot.yaml", text, NULL, &device);
    const char *message = status ? qds_last_error()->message : "";
    if (status != QDS_ERROR_INPUT || device || strncmp(message, place, strlen(place)) ||
        !strstr(message, m->says[0]) || !strstr(message, m->says[1]))
      fail_msg("\"%s\" for \"%s\": %s, \"%s\"; INPUT at \"%s\" with \"%s\" and \"%s\" is wanted", m->new,
               m->old, qds_status_name(status), message, place, m->says[0], m->says[1]);
  }
}

static void test_refusals(void **state) {
  (void)state;
  with_context(1, refusals);
}

/* What only the solve can find: values of the potential, and walls that leave no room. */
static void refused_by_solve(qds_context *ctx) {
  static const mistake cases[] = {
      {"k*x^2", "1/x", 10, {"infinite", "x = 0 nm, y = -5 nm"}},
      {"k*x^2", "sqrt(y)", 10, {"not a number", "x = -6 nm, y = -5 nm"}},
      {"k*x^2", "exp(1000*y)", 10, {"infinite", "y = 1.25 nm"}},
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    char text[DEVICE_TEXT];
    QDS_AUTO(qds_device) *device = NULL;
    qds_result *result = NULL;
    replace(cases[i].old, cases[i].new, text);
    assert_ok(qds_device_parse(ctx, "dot.yaml", text, NULL, &device));
    assert_fails(qds_device_solve(device, &result), QDS_ERROR_INPUT, "dot.yaml:10: potential[0]");
    assert_non_null(strstr(qds_last_error()->message, cases[i].says[0]));
    assert_non_null(strstr(qds_last_error()->message, cases[i].says[1]));
    assert_null(result);
  }
  QDS_AUTO(qds_device) *narrow = NULL;
  qds_result *result = NULL;
  assert_ok(
      qds_device_parse(ctx, "dot.yaml",
                       "{materials: {well: {mass: 0.1, band_edge_eV: 0}}, background: hard_wall, states: 4,"
                       " regions: [{shape: box, min_nm: [1], max_nm: [3.5], material: well}],"
                       " grid: {x: {from_nm: 0, to_nm: 10, nodes: 11}}}",
                       NULL, &narrow));
  assert_fails(qds_device_solve(narrow, &result), QDS_ERROR_INPUT, "more nodes");
  assert_null(result);
}

static void test_refused_by_solve(void **state) {
  (void)state;
  with_context(1, refused_by_solve);
}

static void not_devices(qds_context *ctx) {
  static const char *const texts[] = {
      "", "# nothing\n", "[1, 2]", "text", "a: &a [*a]", "\t: {", "grid: 3\nbackground: GaAs"};
  for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
    qds_device *device = NULL;
    assert_fails(qds_device_parse(ctx, "dot.yaml", texts[i], NULL, &device), QDS_ERROR_INPUT, "dot.yaml");
    assert_null(device);
  }
  qds_device *device = NULL;
  assert_fails(qds_device_read(ctx, "/nowhere/dot.yaml", NULL, &device), QDS_ERROR_FILE, "/nowhere/dot.yaml");
  assert_fails(qds_device_read(ctx, "/tmp", NULL, &device), QDS_ERROR_FILE, "/tmp");
  assert_int_equal(qds_device_read(NULL, "x", NULL, &device), QDS_ERROR_ARGUMENT);
  assert_int_equal(qds_device_parse(ctx, "x", NULL, NULL, &device), QDS_ERROR_ARGUMENT);
  assert_null(device);
}

static void test_not_devices(void **state) {
  (void)state;
  with_context(1, not_devices);
}

/* ---- defaults, configuration, assignments ---- */

static void defaults(qds_context *ctx) {
  QDS_AUTO(qds_device) *device = NULL;
  qds_device_cost cost;
  assert_ok(qds_device_parse(ctx, "some/folder/tiny.dot.yaml",
                             "{background: GaAs, grid: {x: {from_nm: 0, to_nm: 9, nodes: 10}}}", NULL,
                             &device));
  assert_ok(qds_device_estimate(device, &cost));
  assert_int_equal(cost.dimension, 1);
  assert_int_equal(cost.order, 1);
  assert_int_equal(cost.states, 6);
  assert_int_equal(cost.unknowns, 8);
  assert_int_equal(cost.nodes[0], 10);
  assert_int_equal(cost.nodes[1], 1);
  assert_true(cost.memory_bytes > 0 && cost.seconds > 0);
  assert_string_equal(qds_device_name(device), "tiny.dot");
  assert_true(qds_device_wants_plot(device));
  const char *configuration = qds_device_configuration(device);
  static const char *const wanted[] = {
      "dimension: 1", "temperature_K: 300",  "carrier: electron", "order: 1",  "x: dirichlet",
      "states: 6",    "max_iterations: 200", "fields:",           "plot: true"};
  for (size_t i = 0; i < sizeof wanted / sizeof *wanted; i++)
    if (!strstr(configuration, wanted[i])) fail_msg("no \"%s\" in\n%s", wanted[i], configuration);
  QDS_AUTO(qds_device) *few = NULL; /* fewer unknowns than the default number of states */
  assert_ok(qds_device_parse(ctx, "x", "{background: GaAs, grid: {x: {from_nm: 0, to_nm: 9, nodes: 6}}}",
                             NULL, &few));
  assert_ok(qds_device_estimate(few, &cost));
  assert_int_equal(cost.states, 4);
  assert_non_null(strstr(qds_device_configuration(few), "states: 4"));
}

static void test_defaults(void **state) {
  (void)state;
  with_context(1, defaults);
}

/* A map that gives some of its keys gets the others. */
static void defaults_in_maps(qds_context *ctx) {
  static const char *const texts[] = {
      "{background: GaAs, grid: {x: {from_nm: 0, to_nm: 9, nodes: 10}, y: {from_nm: 0, to_nm: 9, nodes: 10}, "
      "boundary: {y: neumann}}, solver: {preconditioner: fast_diagonalisation}, output: {plot: false}}",
      "{background: GaAs, grid: {x: {from_nm: 0, to_nm: 9, nodes: 10}, y: {from_nm: 0, to_nm: 9, nodes: "
      "10}}, "
      "boundary: {y: neumann}, solver: {preconditioner: fast_diagonalisation}, output: {plot: false}}"};
  static const char *const wanted[] = {"boundary: {y: neumann, x: dirichlet}", "precision: float32",
                                       "max_iterations: 200", "fields: [psi, band_edge, material]"};
  for (size_t t = 0; t < sizeof texts / sizeof *texts; t++) {
    QDS_AUTO(qds_device) *device = NULL, *again = NULL;
    assert_ok(qds_device_parse(ctx, "dot.yaml", texts[t], NULL, &device));
    const char *configuration = qds_device_configuration(device);
    for (size_t i = 0; i < sizeof wanted / sizeof *wanted; i++)
      if (!strstr(configuration, wanted[i])) fail_msg("no \"%s\" in\n%s", wanted[i], configuration);
    assert_ok(qds_device_parse(ctx, "dot.yaml", configuration, NULL, &again));
    assert_string_equal(qds_device_configuration(again), configuration);
  }
}

static void test_defaults_in_maps(void **state) {
  (void)state;
  with_context(1, defaults_in_maps);
}

/* The configuration is a device file that gives the same device and the same configuration. */
static void configuration_reads_back(qds_context *ctx) {
  static const char *const assignments[] = {"grid.x.nodes=31", "regions.0.max_nm=[2.5, 2]",
                                            "carrier=electron", "materials.well.band_edge_eV=-0.125", NULL};
  QDS_AUTO(qds_device) *first = NULL, *second = NULL;
  QDS_AUTO(qds_result) *a = NULL, *b = NULL;
  assert_ok(qds_device_parse(ctx, "dot.yaml", good, assignments, &first));
  assert_ok(qds_device_parse(ctx, "dot.yaml", qds_device_configuration(first), NULL, &second));
  assert_string_equal(qds_device_configuration(first), qds_device_configuration(second));
  assert_non_null(strstr(qds_device_configuration(first), "nodes: 31"));
  assert_ok(qds_device_solve(first, &a));
  assert_ok(qds_device_solve(second, &b));
  assert_int_equal(qds_result_states(a), 3);
  assert_int_equal(qds_result_nodes(a)[0], 31);
  for (int s = 0; s < 3; s++) assert_close(qds_result_energies_eV(a)[s], qds_result_energies_eV(b)[s], 1e-14);
  assert_close(qds_result_reference_eV(a), 0.5, 0);
  assert_string_equal(qds_result_material_name(a, 0), "out");
  assert_string_equal(qds_result_material_name(a, 1), "well");
  assert_null(qds_result_material_name(a, 2));
  assert_null(qds_result_psi(a, 3));
  assert_null(qds_result_coordinates_nm(a, 2));
}

static void test_configuration_reads_back(void **state) {
  (void)state;
  with_context(1, configuration_reads_back);
}

static void assignments(qds_context *ctx) {
  static const struct {
    const char *assignment, *says;
    qds_status status;
  } bad[] = {{"grid.x.nodes=32", "--set grid.x.nodes", QDS_ERROR_INPUT},
             {"grid.x.node=31", "\"node\"", QDS_ERROR_INPUT},
             {"regions.3.material=well", "regions.3", QDS_ERROR_INPUT},
             {"regions.0.material=wel", "\"well\"", QDS_ERROR_INPUT},
             {"states=none", "--set states", QDS_ERROR_INPUT},
             {"states", "states", QDS_ERROR_ARGUMENT},
             {"states=[1", "states", QDS_ERROR_INPUT}};
  for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
    const char *const list[] = {bad[i].assignment, NULL};
    qds_device *device = NULL;
    assert_fails(qds_device_parse(ctx, "dot.yaml", good, list, &device), bad[i].status, bad[i].says);
    assert_null(device);
  }
}

static void test_assignments(void **state) {
  (void)state;
  with_context(1, assignments);
}

/* ---- running out of memory ---- */

static const char tiny_dense[] =
    "{background: GaAs, states: 2, regions: [{shape: layer, axis: x, from_nm: -3, to_nm: 3, material: InAs}],"
    " potential: [{formula_eV: \"k*x^2\", parameters: {k: 1e-4}}], grid: {x: {from_nm: -9, to_nm: 9, nodes: "
    "19}}}";
static const char tiny_iterative[] =
    "{materials: {well: {mass: 0.03, band_edge_eV: 0}}, background: {mass: 0.067, band_edge_eV: 0.5}, "
    "states: 2,"
    " regions: [{shape: ellipsoid, center_nm: [0, 0], radii_nm: [5, 4], material: well},"
    " {shape: box, min_nm: [-9, -9], max_nm: [9, -7], material: hard_wall}], boundary: {x: periodic},"
    " grid: {x: {from_nm: -9, to_nm: 9, nodes: 25}, y: {from_nm: -9, to_nm: 9, nodes: 25}},"
    " output: {fields: [psi, density, band_edge, material]}}";

typedef struct {
  const char *text, *folder;
} errand;

/* Reads, estimates, solves, writes: every fallible function of the public header. */
static qds_status whole_errand(qds_context *ctx, void *data) {
  const errand *e = data;
  QDS_AUTO(qds_device) *device = NULL;
  QDS_AUTO(qds_result) *result = NULL;
  qds_device_cost cost;
  char *json = NULL, *json_with_memory = NULL, *path = NULL, *expected = NULL;
  qds_status status = qds_device_parse(ctx, "tiny.yaml", e->text, NULL, &device);
  if (status == QDS_OK) status = qds_device_estimate(device, &cost);
  if (status == QDS_OK) status = qds_device_result_path(device, e->folder, ".png", &expected);
  if (status == QDS_OK) status = qds_device_solve(device, &result);
  if (status == QDS_OK) status = qds_result_json(result, 0, &json);
  if (status == QDS_OK) status = qds_result_json_with_memory(result, 0, &json_with_memory);
  if (status == QDS_OK) status = qds_result_path(result, e->folder, ".png", &path);
  if (status == QDS_OK) assert_string_equal(path, expected);
  if (status == QDS_OK) status = qds_result_write(result, e->folder);
  if (status != QDS_OK && device == NULL) assert_null(result);
  qds_text_destroy(json);
  qds_text_destroy(json_with_memory);
  qds_text_destroy(path);
  qds_text_destroy(expected);
  return status;
}

static const char *test_folder;

static void memory_runs_out(qds_context *ctx) {
  errand dense = {tiny_dense, test_folder}, iterative = {tiny_iterative, test_folder};
  assert_ok(
      whole_errand(ctx, &dense)); /* the first use of a context loads the materials and BLAS, which stay */
  assert_true(fail_each_allocation(ctx, whole_errand, &dense) > 50);
  assert_true(fail_each_allocation(ctx, whole_errand, &iterative) > 100);
  assert_true(folder_entries(test_folder) ==
              2); /* the two files of the runs that succeeded, no temporary ones */
}

static void test_memory_runs_out(void **state) {
  test_folder = *state;
  with_context(1, memory_runs_out);
}

static qds_status array_errand(qds_context *ctx, void *data) {
  QDS_AUTO(qds_device) *device = NULL;
  QDS_AUTO(qds_result) *result = NULL;
  qds_status status = qds_device_from_arrays(ctx, data, &device);
  return status == QDS_OK ? qds_device_solve(device, &result) : status;
}

static void memory_runs_out_with_arrays(qds_context *ctx) {
  double potential[21 * 5], mass[21 * 5];
  for (int i = 0; i < 21 * 5; i++) potential[i] = 0.01 * i, mass[i] = 0.05 + 0.001 * i;
  qds_array_device arrays = QDS_ARRAY_DEVICE_INIT;
  arrays.dimension = 2;
  arrays.nodes[0] = 21, arrays.nodes[1] = 5;
  arrays.spacing_nm[0] = arrays.spacing_nm[1] = 1;
  arrays.potential_eV = potential;
  arrays.mass_map = mass;
  arrays.states = 3;
  assert_ok(array_errand(ctx, &arrays)); /* BLAS stays loaded */
  assert_true(fail_each_allocation(ctx, array_errand, &arrays) > 20);
}

static void test_memory_runs_out_with_arrays(void **state) {
  (void)state;
  with_context(1, memory_runs_out_with_arrays);
}

static void budget(qds_context *ctx) {
  (void)ctx;
  qds_context_options options = QDS_CONTEXT_OPTIONS_INIT;
  qds_context *small = NULL;
  qds_device *device = NULL;
  qds_result *result = NULL;
  options.threads = 1;
  options.memory_limit = 8 << 20;
  assert_ok(qds_context_create(&options, &small));
  assert_ok(qds_device_parse(small, "dot.yaml",
                             "{background: GaAs, grid: {x: {from_nm: 0, to_nm: 9, nodes: 401},"
                             " y: {from_nm: 0, to_nm: 9, nodes: 401}}}",
                             NULL, &device));
  assert_fails(qds_device_solve(device, &result), QDS_ERROR_BUDGET, "the solve");
  assert_null(result);
  qds_device_destroy(device);
  assert_fails(qds_device_parse(small, "dot.yaml",
                                "{background: GaAs, grid: {x: {from_nm: 0, to_nm: 9, nodes: 1000001}}}", NULL,
                                &device),
               QDS_ERROR_BUDGET, "an axis of the grid");
  assert_null(device);
  qds_context_destroy(small);
}

static void test_budget(void **state) {
  (void)state;
  with_context(1, budget);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_refusals),
      cmocka_unit_test(test_refused_by_solve),
      cmocka_unit_test(test_not_devices),
      cmocka_unit_test(test_defaults),
      cmocka_unit_test(test_defaults_in_maps),
      cmocka_unit_test(test_configuration_reads_back),
      cmocka_unit_test(test_assignments),
      cmocka_unit_test_setup_teardown(test_memory_runs_out, folder_setup, folder_teardown),
      cmocka_unit_test(test_memory_runs_out_with_arrays),
      cmocka_unit_test(test_budget),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}

/* Open devices in one dimension: resonances against Siegert energies found another way. */
#include "exact_support.h"

#include <complex.h>

/* --- reading results --- */

enum { MOST_STATES = 8 };
typedef struct {
  int count;
  double complex energy[MOST_STATES]; /* E - i width / 2 */
} states;

static states states_of(const qds_result *result) {
  states s = {.count = qds_result_states(result)};
  assert_in_range(s.count, 1, MOST_STATES);
  assert_non_null(qds_result_widths_eV(result));
  for (int i = 0; i < s.count; i++) {
    s.energy[i] = qds_result_energies_eV(result)[i] - 0.5 * I * qds_result_widths_eV(result)[i];
    assert_true(qds_result_residuals_eV(result)[i] < 1e-10);
  }
  return s;
}

__attribute__((format(printf, 2, 3))) static states solve_open(qds_context *ctx, const char *format, ...) {
  char text[DEVICE_TEXT];
  va_list arguments;
  va_start(arguments, format);
  assert_in_range(vsnprintf(text, sizeof text, format, arguments), 1, sizeof text - 1);
  va_end(arguments);
  QDS_AUTO(qds_result) *result = solve_text(ctx, text);
  return states_of(result);
}

#define assert_energy(actual, expected, tolerance)                                                           \
  do {                                                                                                       \
    const double complex energy_actual = (actual), energy_expected = (expected);                             \
    if (!(cabs(energy_actual - energy_expected) <= (tolerance)))                                             \
      fail_msg("%.14g %+.14gi differs from %.14g %+.14gi by %.3g", creal(energy_actual),                     \
               cimag(energy_actual), creal(energy_expected), cimag(energy_expected),                         \
               cabs(energy_actual - energy_expected));                                                       \
  } while (0)

/* --- the double barrier --- */

#define BARRIERS                                                                                             \
  "materials: {contact: {mass: 0.067, band_edge_eV: 0.0}, barrier: {mass: 0.067, band_edge_eV: 0.3}}\n"      \
  "background: contact\n"                                                                                    \
  "regions:\n"                                                                                               \
  "  - {shape: layer, axis: x, from_nm: -5.5, to_nm: -2.5, material: barrier}\n"                             \
  "  - {shape: layer, axis: x, from_nm: 2.5, to_nm: 5.5, material: barrier}\n"
#define GRID(half, nodes) "grid: {x: {from_nm: -" #half ", to_nm: " #half ", nodes: " #nodes "}, order: 4}\n"
#define SCALING "open: {faces: [x-, x+], method: complex_scaling, from_nm: 8}\n"

/* 30-digit transfer matrix. */
static const double complex t16a[2] = {0.0885015279 - 0.00235330792 * I, 0.3164394388 - 0.0306592079 * I};

static void check_example(qds_context *ctx) {
  qds_device *device = NULL;
  assert_ok(qds_device_read(ctx, "examples/double_barrier.yaml", NULL, &device));
  QDS_AUTO(qds_result) *result = NULL;
  assert_ok(qds_device_solve(device, &result));
  qds_device_destroy(device);
  const states s = states_of(result);
  assert_int_equal(s.count, 2);
  for (int i = 0; i < 2; i++) {
    assert_energy(s.energy[i], t16a[i], 1e-9);
    assert_close(qds_result_lifetimes_s(result)[i] * qds_result_widths_eV(result)[i] / 6.582119569509066e-16,
                 1, 1e-12);
    assert_in_range(qds_result_sensitivities_eV(result)[i] * 1e15, 1, 1000000);
  }
}

static void test_the_double_barrier(void **state) {
  (void)state;
  with_context(1, check_example);
}

/* The device of the documentation. */
static void check_documentation(qds_context *ctx) {
  static char text[65536];
  FILE *file = fopen("docs/open-systems.md", "r");
  assert_non_null(file);
  text[fread(text, 1, sizeof text - 1, file)] = 0;
  fclose(file);
  char *begin = strstr(text, "```yaml\n"), *end = begin ? strstr(begin + 8, "```") : NULL;
  assert_non_null(end);
  *end = 0;
  QDS_AUTO(qds_result) *result = solve_text(ctx, begin + 8);
  const states s = states_of(result);
  for (int i = 0; i < 2; i++) assert_energy(s.energy[i], t16a[i], 1e-9);
}

static void test_the_device_of_the_documentation(void **state) {
  (void)state;
  with_context(1, check_documentation);
}

static void check_parameters(qds_context *ctx) {
  static const double angles[] = {40, 50, 60};
  for (int i = 0; i < 3; i++) {
    const states s = solve_open(
        ctx, BARRIERS GRID(40, 641) "states: 2\nopen: {from_nm: 7, angle_degrees: %g}\n", angles[i]);
    for (int k = 0; k < 2; k++) assert_energy(s.energy[k], t16a[k], 1e-9);
  }
  const states longer = solve_open(ctx, BARRIERS GRID(60, 961) SCALING "states: 2\n");
  for (int k = 0; k < 2; k++) assert_energy(longer.energy[k], t16a[k], 1e-10);
}

static void test_energies_do_not_depend_on_angle_or_grid_end(void **state) {
  (void)state;
  with_context(1, check_parameters);
}

/* --- Siegert energies of layers by transfer matrices --- */

enum { LAYERS = 5 };
/* Layers 0 and LAYERS - 1 are the contacts. */
typedef struct {
  double length[LAYERS], edge[LAYERS], mass[LAYERS];
} stack;

/* Zero at energies whose waves run out at both ends: psi and psi'/m are carried through the layers. */
static double complex outgoing_mismatch(const stack *s, double complex energy) {
  double complex q[LAYERS];
  for (int i = 0; i < LAYERS; i++) q[i] = csqrt((energy - s->edge[i]) * s->mass[i] / hbar2_over_2m0());
  double complex psi = 1, slope = -I * q[0] / s->mass[0];
  for (int i = 1; i < LAYERS - 1; i++) {
    const double complex phase = q[i] * s->length[i], before = psi, scale = q[i] / s->mass[i];
    psi = before * ccos(phase) + slope * csin(phase) / scale;
    slope = slope * ccos(phase) - before * scale * csin(phase);
  }
  return slope - I * q[LAYERS - 1] / s->mass[LAYERS - 1] * psi;
}

/* The root next to a start, by the secant method. */
static double complex siegert_energy(const stack *s, double complex start) {
  double complex a = start, b = start * (1 + 1e-4), fa = outgoing_mismatch(s, a),
                 fb = outgoing_mismatch(s, b);
  for (int i = 0; i < 60 && cabs(b - a) > 1e-15 && fb != fa; i++) {
    const double complex next = b - fb * (b - a) / (fb - fa);
    a = b, fa = fb, b = next, fb = outgoing_mismatch(s, b);
  }
  assert_true(cabs(b - a) < 1e-12);
  return b;
}

static void check_transfer_matrix(qds_context *ctx) {
  const stack s = {{0, 3, 5, 3, 0}, {0, 0.3, 0, 0.3, 0}, {0.067, 0.067, 0.067, 0.067, 0.067}};
  const states found =
      solve_open(ctx, BARRIERS GRID(40, 1281) "states: 3\nopen: {from_nm: 7, angle_degrees: 60}\n");
  for (int k = 0; k < 2; k++) assert_energy(siegert_energy(&s, t16a[k] * 1.01), t16a[k], 1e-10);
  for (int k = 0; k < 3; k++)
    assert_energy(found.energy[k], siegert_energy(&s, found.energy[k] * 1.001), 1e-10);
}

static void test_a_transfer_matrix_finds_the_same(void **state) {
  (void)state;
  with_context(1, check_transfer_matrix);
}

/* Asymmetric structures under bias, with a mass of its own in every layer. */
static void check_random_stacks(qds_context *ctx) {
  for (uint64_t seed = 1; seed <= 6; seed++) {
    const uint64_t r = seed * 0x9e3779b97f4a7c15u;
    const double a = (double)(r >> 40 & 255) / 255, b = (double)(r >> 48 & 255) / 255,
                 c = (double)(r >> 56) / 255;
    const stack s = {{0, 2 + (double)(seed % 3), 6, 3, 0},
                     {0, 0.2 + 0.2 * a, -0.05 * b, 0.25 + 0.1 * c, -0.1 * b},
                     {0.067, 0.08 + 0.02 * a, 0.05 + 0.03 * b, 0.09, 0.067 + 0.02 * c}};
    const double x1 = -6, x2 = x1 + s.length[1], x3 = x2 + s.length[2], x4 = x3 + s.length[3];
    const states found = solve_open(
        ctx,
        "materials: {l: {mass: %.17g, band_edge_eV: %.17g}, b1: {mass: %.17g, band_edge_eV: %.17g}, w: "
        "{mass: "
        "%.17g, band_edge_eV: %.17g}, b2: {mass: %.17g, band_edge_eV: %.17g}, r: {mass: %.17g, band_edge_eV: "
        "%.17g}}\nbackground: l\nregions:\n"
        "  - {shape: layer, axis: x, from_nm: %g, to_nm: %g, material: b1}\n"
        "  - {shape: layer, axis: x, from_nm: %g, to_nm: %g, material: w}\n"
        "  - {shape: layer, axis: x, from_nm: %g, to_nm: %g, material: b2}\n"
        "  - {shape: layer, axis: x, from_nm: %g, to_nm: 60, material: r}\n" GRID(
            60, 961) "open: {from_nm: 10, near_eV: 0.1, angle_degrees: 50}\nstates: 1\n",
        s.mass[0], s.edge[0], s.mass[1], s.edge[1], s.mass[2], s.edge[2], s.mass[3], s.edge[3], s.mass[4],
        s.edge[4], x1, x2, x2, x3, x3, x4, x4);
    const double complex exact = siegert_energy(&s, found.energy[0] + 1e-4);
    if (cabs(exact - found.energy[0]) > 1e-10) print_error("seed %d\n", (int)seed);
    assert_energy(found.energy[0], exact, 1e-10);
    assert_true(-cimag(found.energy[0]) > 1e-6);
  }
}

static void test_random_stacks_against_transfer_matrices(void **state) {
  (void)state;
  with_context(1, check_random_stacks);
}

/* --- smooth potentials, in units where hbar^2 / 2m is 1/2 eV nm^2 --- */

static void check_smooth_barriers(qds_context *ctx) {
  static const double complex t14[] = {-0.2979596379, 0.6209709511 - 5.82666e-5 * I,
                                       1.3271970727 - 0.0154473188 * I, 1.7845828690 - 0.1737507096 * I};
  const states s = solve_open(ctx,
                              "materials: {m: {mass: %.17g, band_edge_eV: 0}}\nbackground: m\n"
                              "potential: [{formula_eV: \"(x^2/2 - 0.8)*exp(-0.1*x^2)\"}]\n" GRID(
                                  36, 1153) "open: {from_nm: 21}\nstates: 4\n",
                              2 * hbar2_over_2m0());
  for (int i = 0; i < 4; i++) assert_energy(s.energy[i], t14[i], 2e-10);
}

static void test_resonances_of_a_smooth_well(void **state) {
  (void)state;
  with_context(1, check_smooth_barriers);
}

/* One end is closed. */
static void check_half_line(qds_context *ctx) {
  const states s = solve_open(ctx,
                              "materials: {m: {mass: %.17g, band_edge_eV: 0}}\nbackground: m\n"
                              "potential: [{formula_eV: \"7.5*x^2*exp(-x)\"}]\n"
                              "grid: {x: {from_nm: 0, to_nm: 60, nodes: 961}, order: 4}\n"
                              "open: {faces: [x+], from_nm: 40, near_eV: 3.5}\nstates: 1\n",
                              2 * hbar2_over_2m0());
  assert_energy(s.energy[0], 3.4263903 - 0.0127745 * I, 1e-7);
}

static void test_a_resonance_with_one_open_end(void **state) {
  (void)state;
  with_context(1, check_half_line);
}

/* --- bound states --- */

#define WELL                                                                                                 \
  "materials: {well: {mass: 0.067, band_edge_eV: 0}, barrier: {mass: 0.067, band_edge_eV: 0.1}}\n"           \
  "background: barrier\nregions: [{shape: layer, axis: x, from_nm: -10, to_nm: 10, material: well}]\n"       \
  "states: 3\n"

static void check_bound(qds_context *ctx) {
  static const double t7[] = {9.092442e-3, 35.604055e-3, 75.937436e-3};
  QDS_AUTO(qds_result) *result =
      solve_text(ctx, WELL GRID(120, 1921) "open: {from_nm: 12, angle_degrees: 30}\n");
  QDS_AUTO(qds_result) *closed = solve_text(ctx, WELL GRID(120, 1921) "tolerance_eV: 1.0e-11\n");
  char *json = NULL;
  for (int i = 0; i < 3; i++) {
    assert_close(qds_result_energies_eV(result)[i], t7[i], 1e-9);
    assert_close(qds_result_energies_eV(result)[i], qds_result_energies_eV(closed)[i], 1e-9);
    assert_close(qds_result_widths_eV(result)[i], 0, 1e-12);
    assert_true(isinf(qds_result_lifetimes_s(result)[i]));
  }
  assert_ok(qds_result_json(result, 0, &json));
  assert_non_null(strstr(json, "\"lifetime_s\": null"));
  qds_text_destroy(json);
  assert_ok(qds_result_json(closed, 0, &json));
  assert_null(strstr(json, "lifetime_s"));
  qds_text_destroy(json);
  assert_null(qds_result_widths_eV(closed));
  assert_null(qds_result_lifetimes_s(closed));
  assert_null(qds_result_sensitivities_eV(closed));
}

static void test_bound_states_have_no_width(void **state) {
  (void)state;
  with_context(1, check_bound);
}

/* --- holes see the negative of the band edge --- */

static void check_holes(qds_context *ctx) {
  const states s = solve_open(
      ctx,
      "carrier: heavy_hole\nmaterials: {contact: {mass: 0.067, band_edge_eV: 0.0}, barrier: {mass: 0.067, "
      "band_edge_eV: -0.3}}\nbackground: contact\nregions:\n"
      "  - {shape: layer, axis: x, from_nm: -5.5, to_nm: -2.5, material: barrier}\n"
      "  - {shape: layer, axis: x, from_nm: 2.5, to_nm: 5.5, material: barrier}\n" GRID(
          40, 641) "open: {from_nm: 8, near_eV: -0.3}\nstates: 1\n");
  assert_energy(s.energy[0], -creal(t16a[1]) + I * cimag(t16a[1]), 1e-9);
}

static void test_resonances_of_holes(void **state) {
  (void)state;
  with_context(1, check_holes);
}

/* --- wave functions --- */

static void check_wave_functions(qds_context *ctx) {
  QDS_AUTO(qds_result) *result = solve_text(ctx, BARRIERS GRID(40, 641) SCALING "states: 2\n");
  const double *x = qds_result_coordinates_nm(result, 0), *w = qds_result_weights_nm(result, 0);
  const double complex turned = cexp(0.25 * I * M_PI);
  assert_true(qds_result_is_complex(result));
  for (int s = 0; s < 2; s++) {
    const double *psi = qds_result_psi_complex(result, s);
    double complex norm = 0;
    double total = 0;
    for (int64_t i = 0; i < qds_result_nodes(result)[0]; i++) {
      const double complex value = psi[2 * i] + I * psi[2 * i + 1];
      const double outside = fabs(x[i]) - 8;
      norm += value * value * w[i] * (fabs(outside) < 1e-9 ? (1 + turned) / 2 : outside > 0 ? turned : 1);
    }
    assert_energy(norm, 1, 1e-10);
    for (int m = 0; qds_result_material_name(result, m); m++) total += qds_result_probability(result, s, m);
    assert_close(total, 1, 1e-12);
    assert_close(qds_result_position_nm(result, s)[0], 0, 1e-8);
  }
}

static void test_wave_functions_are_normalised_without_a_conjugate(void **state) {
  (void)state;
  with_context(1, check_wave_functions);
}

/* --- absorbing potentials --- */

/* -i eta everywhere moves every energy by -i eta. */
static void check_constant_absorber(qds_context *ctx) {
  static const char harmonic[] =
      "materials: {m: {mass: 0.067, band_edge_eV: 0}}\nbackground: m\nstates: 5\n"
      "potential: [{formula_eV: \"1e-4*x^2\"}]\ntolerance_eV: 1.0e-11\n" GRID(40, 161);
  static const char *const absorbers[] = {
      "open: {faces: [x+], method: absorbing_potential, width_nm: 80, strength_meV: 7, power: 0, "
      "stable_within_eV: 1}\n",
      "open: {method: absorbing_potential, width_nm: 40, strength_meV: 7, power: 0, stable_within_eV: 1}\n"};
  double closed[5];
  levels(ctx, 5, closed, "%s", harmonic);
  for (int k = 0; k < 2; k++) {
    const states s = solve_open(ctx, "%s%s", harmonic, absorbers[k]);
    for (int i = 0; i < 5; i++) assert_energy(s.energy[i], closed[i] - 7e-3 * I, 1e-11);
  }
}

static void test_a_constant_absorber_moves_every_energy(void **state) {
  (void)state;
  with_context(1, check_constant_absorber);
}

static void check_absorber(qds_context *ctx) {
  QDS_AUTO(qds_result) *result =
      solve_text(ctx, BARRIERS GRID(120, 1921) "states: 2\nopen: {method: absorbing_potential, width_nm: "
                                               "110, strength_meV: 250, power: 3}\n");
  const states s = states_of(result);
  for (int k = 0; k < 2; k++) {
    assert_energy(s.energy[k], t16a[k], 5e-5);
    assert_energy(s.energy[k], t16a[k], 10 * qds_result_sensitivities_eV(result)[k]);
  }
}

static void test_a_good_absorber_agrees_with_complex_scaling(void **state) {
  (void)state;
  with_context(1, check_absorber);
}

static void check_presets(qds_context *ctx) {
  static const struct {
    const char *name, *width, *strength;
  } presets[] = {{"pn_junction", "width_nm: 12", "strength_meV: 5"},
                 {"quantum_well", "width_nm: 20", "strength_meV: 20"},
                 {"quantum_dot", "width_nm: 8", "strength_meV: 1"},
                 {"generic", "width_nm: 16", "strength_meV: 10"}};
  for (int i = 0; i < 4; i++) {
    char text[DEVICE_TEXT];
    qds_device *device = NULL;
    QDS_AUTO(qds_result) *result = NULL;
    snprintf(text, sizeof text, BARRIERS GRID(40, 641) "states: 2\nopen: {preset: %s}\n", presets[i].name);
    assert_ok(qds_device_parse(ctx, "dot.yaml", text, NULL, &device));
    const char *configuration = qds_device_configuration(device);
    assert_non_null(strstr(configuration, presets[i].width));
    assert_non_null(strstr(configuration, presets[i].strength));
    assert_non_null(strstr(configuration, "method: absorbing_potential"));
    assert_ok(qds_device_solve(device, &result));
    qds_device_destroy(device);
    /* Weak absorbers: the energies are right, the widths, which differ from state to state, are theirs. */
    const states s = states_of(result);
    for (int k = 0; k < 2; k++) assert_close(creal(s.energy[k]), creal(t16a[k]), 2e-3);
    assert_true(cimag(s.energy[1]) < 2 * cimag(s.energy[0]) && cimag(s.energy[0]) < 0);
  }
}

static void test_presets(void **state) {
  (void)state;
  with_context(1, check_presets);
}

/* --- bad input --- */

static void refused(qds_context *ctx, const char *open, const char *message) {
  char text[DEVICE_TEXT];
  qds_device *device = NULL;
  qds_result *result = NULL;
  snprintf(text, sizeof text, BARRIERS GRID(40, 641) "states: 2\nopen: %s\n", open);
  qds_status status = qds_device_parse(ctx, "dot.yaml", text, NULL, &device);
  if (status == QDS_OK) status = qds_device_solve(device, &result);
  qds_device_destroy(device);
  assert_fails(status, QDS_ERROR_INPUT, message);
  assert_non_null(strstr(qds_last_error()->message, "dot.yaml:"));
}

static void check_bad_input(qds_context *ctx) {
  refused(ctx, "[x-]", "map");
  refused(ctx, "{from_nm: 8, colour: 3}", "unknown key");
  refused(ctx, "{faces: [x-, y+], from_nm: 8}", "y+");
  refused(ctx, "{faces: [x-, x-], from_nm: 8}", "named twice");
  refused(ctx, "{faces: [], from_nm: 8}", "a list of open faces");
  refused(ctx, "{method: scaling, from_nm: 8}", "complex_scaling");
  refused(ctx, "{method: complex_scaling}", "from_nm");
  refused(ctx, "{from_nm: 8, angle_degrees: 90}", "from 1 to 80");
  refused(ctx, "{from_nm: 8, width_nm: 3}", "width_nm belongs to method: absorbing_potential");
  refused(ctx, "{from_nm: 8, preset: generic}", "from_nm belongs to method: complex_scaling");
  refused(ctx, "{preset: quantum_dots}", "did you mean \"quantum_dot\"");
  refused(ctx, "{method: absorbing_potential, width_nm: 20}", "strength_meV");
  refused(ctx, "{method: absorbing_potential, width_nm: 50, strength_meV: 5}", "at most 40 nm");
  refused(ctx, "{method: absorbing_potential, width_nm: 20, strength_meV: -5}", "strength_meV");
  refused(ctx, "{method: absorbing_potential, width_nm: 20, strength_meV: 5, power: 11}", "from 0");
  refused(ctx, "{from_nm: 8, stable_within_eV: 0}", "stable_within_eV");
  refused(ctx, "{from_nm: 5}", "from_nm to at least 6");
  refused(ctx, "{from_nm: 50}", "no element");
  refused(ctx, "{from_nm: 40}", "no element");
  refused(ctx, "{from_nm: -8}", "varies");
}

static void test_refuses_bad_input(void **state) {
  (void)state;
  with_context(1, check_bad_input);
}

static void check_unsolvable(qds_context *ctx) {
  qds_device *device = NULL;
  qds_result *result = NULL;
  assert_fails(qds_device_parse(
                   ctx, "dot.yaml",
                   "materials: {m: {mass: 1, band_edge_eV: 0}}\nbackground: m\nopen: {from_nm: 3}\n"
                   "grid: {x: {from_nm: -9, to_nm: 9, nodes: 19}, y: {from_nm: 0, to_nm: 9, nodes: 10}}\n",
                   NULL, &device),
               QDS_ERROR_INPUT, "dot.yaml:3: open: open devices are solved in one dimension; this one has 2");
  assert_fails(
      qds_device_parse(ctx, "dot.yaml",
                       "materials: {m: {mass: 1, band_edge_eV: 0}}\nbackground: m\nopen: {from_nm: 3}\n"
                       "grid: {x: {from_nm: -9, to_nm: 9, nodes: 19}, boundary: {x: periodic}}\n",
                       NULL, &device),
      QDS_ERROR_INPUT, "periodic");
  /* The potential varies to the end, and a coarse grid has no state that the angle leaves alone. */
  assert_ok(qds_device_parse(
      ctx, "dot.yaml",
      "materials: {m: {mass: 1, band_edge_eV: 0}}\nbackground: m\nopen: {from_nm: 3}\n"
      "potential: [{formula_eV: \"0.01*x\"}]\ngrid: {x: {from_nm: -9, to_nm: 9, nodes: 19}}\n",
      NULL, &device));
  assert_fails(qds_device_solve(device, &result), QDS_ERROR_INPUT, "use method: absorbing_potential");
  qds_device_destroy(device);
  assert_ok(qds_device_parse(
      ctx, "dot.yaml", BARRIERS SCALING "grid: {x: {from_nm: -40, to_nm: 40, nodes: 161}}\n", NULL, &device));
  assert_fails(qds_device_solve(device, &result), QDS_ERROR_CONVERGENCE, "stay within 2e-08 eV");
  qds_device_destroy(device);
  assert_null(result);
}

static void test_refuses_what_cannot_be_solved(void **state) {
  (void)state;
  with_context(1, check_unsolvable);
}

/* Order 1 needs a fine grid, and says how far the angle moves its energies. */
static void check_low_order(qds_context *ctx) {
  const states s = solve_open(ctx, BARRIERS "grid: {x: {from_nm: -40, to_nm: 40, nodes: 1601}}\nstates: 1\n"
                                            "open: {from_nm: 8, stable_within_eV: 1.0e-4}\n");
  assert_energy(s.energy[0], t16a[0], 2e-4);
}

static void test_a_low_order_within_what_it_can_do(void **state) {
  (void)state;
  with_context(1, check_low_order);
}

/* --- failing allocations --- */

static qds_status solve_once(qds_context *ctx, void *data) {
  qds_device *device = NULL;
  qds_result *result = NULL;
  qds_status status = qds_device_parse(ctx, "dot.yaml", data, NULL, &device);
  if (status == QDS_OK) status = qds_device_solve(device, &result);
  qds_device_destroy(device);
  qds_result_destroy(result);
  return status;
}

static void check_out_of_memory(qds_context *ctx) {
  char scaling[] = BARRIERS "grid: {x: {from_nm: -20, to_nm: 20, nodes: 161}, order: 4}\nstates: 1\n"
                            "open: {from_nm: 8, stable_within_eV: 1.0e-3}\n";
  char absorbing[] =
      BARRIERS "grid: {x: {from_nm: -20, to_nm: 20, nodes: 81}}\nstates: 1\nopen: {preset: generic}\n";
  assert_ok(solve_once(ctx, scaling));
  assert_true(fail_each_allocation(ctx, solve_once, scaling) > 50);
  assert_true(fail_each_allocation(ctx, solve_once, absorbing) > 50);
}

static void test_survives_each_failed_allocation(void **state) {
  (void)state;
  with_context(1, check_out_of_memory);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_the_double_barrier),
      cmocka_unit_test(test_the_device_of_the_documentation),
      cmocka_unit_test(test_energies_do_not_depend_on_angle_or_grid_end),
      cmocka_unit_test(test_a_transfer_matrix_finds_the_same),
      cmocka_unit_test(test_random_stacks_against_transfer_matrices),
      cmocka_unit_test(test_resonances_of_a_smooth_well),
      cmocka_unit_test(test_a_resonance_with_one_open_end),
      cmocka_unit_test(test_bound_states_have_no_width),
      cmocka_unit_test(test_resonances_of_holes),
      cmocka_unit_test(test_wave_functions_are_normalised_without_a_conjugate),
      cmocka_unit_test(test_a_constant_absorber_moves_every_energy),
      cmocka_unit_test(test_a_good_absorber_agrees_with_complex_scaling),
      cmocka_unit_test(test_presets),
      cmocka_unit_test(test_refuses_bad_input),
      cmocka_unit_test(test_refuses_what_cannot_be_solved),
      cmocka_unit_test(test_a_low_order_within_what_it_can_do),
      cmocka_unit_test(test_survives_each_failed_allocation),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}

/* Electrostatics of devices, alone and self-consistent with their electrons. */
#include <math.h>

#include "base/units.h"
#include "qdsim/dot.h"
#include "support.h"
#include "wire.h"

static void parse_and_solve(qds_context *ctx, const char *text, const char *const *assignments,
                            qds_result **out) {
  qds_device *device = NULL;
  assert_ok(qds_device_parse(ctx, "test.yaml", text, assignments, &device));
  assert_ok(qds_device_solve(device, out));
  qds_device_destroy(device);
}

/* Sum of an array on the nodes with their weights. */
static double integral(const qds_result *r, const double *values) {
  const int64_t *nodes = qds_result_nodes(r);
  double sum = 0;
  for (int64_t i = 0; i < nodes[0] * nodes[1] * nodes[2]; i++) {
    double weight = 1;
    int64_t rest = i;
    for (int a = qds_result_dimension(r) - 1; a >= 0; a--) {
      weight *= qds_result_weights_nm(r, a)[rest % nodes[a]];
      rest /= nodes[a];
    }
    sum += weight * values[i];
  }
  return sum;
}

static double total_density(const qds_result *r) {
  return integral(r, qds_result_electron_density_cm3(r));
}

static const char *const well =
    "dimension: 1\n"
    "temperature_K: 300\n"
    "materials: {well: {mass: 0.067, band_edge_eV: 0.0, permittivity: 12.9}}\n"
    "background: well\n"
    "doping: [{donors_cm3: 5.0e17}]\n"
    "grid: {x: {from_nm: 0, to_nm: 20, nodes: 161}, order: 4}\n"
    "electrostatics: {contacts: [{face: x-, potential_V: 0.0}, {face: x+, potential_V: 0.0}]}\n"
    "self_consistent: {electrons: neutral, tolerance_V: 1.0e-10, max_iterations: 40}\n"
    "states: 4\n";

/* The reference is a collocation with Chebyshev polynomials that agrees to all digits with 40 and
 * 60 points. */
static void reference_at_300_kelvin(qds_context *ctx) {
  const double levels[] = {-15.2030444, 24.6223854, 94.6092993},
               electrons[] = {0.745113456, 0.236076799, 0.018389470};
  qds_result *r = NULL;
  parse_and_solve(ctx, well, NULL, &r);
  for (int s = 0; s < 3; s++) {
    assert_close(1e3 * (qds_result_energies_eV(r)[s] - qds_result_fermi_level_eV(r)), levels[s], 1e-7);
    assert_close(1e-12 * qds_result_occupations(r)[s], electrons[s], 1e-9);
  }
  assert_close(1e3 * qds_result_potential_V(r)[80], -10.093206565, 2e-9);
  assert_close(qds_result_band_edge_eV(r)[80], -qds_result_potential_V(r)[80], 1e-15); /* of an electron */
  assert_close(total_density(r) / (5e17 * 20), 1, 1e-10);
  qds_result_destroy(r);
}

/* The same well from fewer nodes and from order 1 tends to it with order 2p. */
static double middle_mV(qds_context *ctx, const char *nodes, const char *order) {
  const char *const assignments[] = {nodes, order, NULL};
  qds_result *r = NULL;
  parse_and_solve(ctx, well, assignments, &r);
  const double value = 1e3 * qds_result_potential_V(r)[qds_result_nodes(r)[0] / 2];
  qds_result_destroy(r);
  return value;
}

static void converges(qds_context *ctx) {
  const double exact = -10.093206565;
  const double coarse = middle_mV(ctx, "grid.x.nodes=41", "grid.order=1") - exact,
               fine = middle_mV(ctx, "grid.x.nodes=81", "grid.order=1") - exact;
  assert_close(log2(coarse / fine), 2, 0.05);
  const double coarse_2 = middle_mV(ctx, "grid.x.nodes=17", "grid.order=2") - exact,
               fine_2 = middle_mV(ctx, "grid.x.nodes=33", "grid.order=2") - exact;
  assert_close(log2(coarse_2 / fine_2), 4, 0.25);
}

/* Cold: neutral, levels independent of the grid, occupied up to the Fermi level. */
static void cold(qds_context *ctx) {
  static const char *const temperatures[] = {"temperature_K=77", "temperature_K=4.2", "temperature_K=0.1"};
  for (int t = 0; t < 3; t++) {
    const char *const fine[] = {temperatures[t], NULL}, *const coarse[] = {temperatures[t], "grid.x.nodes=81",
                                                                           NULL};
    qds_result *a = NULL, *b = NULL;
    parse_and_solve(ctx, well, fine, &a);
    parse_and_solve(ctx, well, coarse, &b);
    assert_close(total_density(a) / 1e19, 1, 1e-8);
    for (int s = 0; s < 3; s++) {
      const double level = qds_result_energies_eV(a)[s] - qds_result_fermi_level_eV(a);
      assert_close(level, qds_result_energies_eV(b)[s] - qds_result_fermi_level_eV(b), 1e-9);
    }
    /* 1e12 electrons per cm^2 stand 35.73 meV deep in the lowest subband, and the second lies above. */
    if (t == 2) {
      const double depth = qds_result_fermi_level_eV(a) - qds_result_energies_eV(a)[0];
      assert_close(depth, 1e-2 * 2 * acos(-1) * QDS_HBAR2_OVER_2M0 / 0.067, 1e-12);
      assert_close(qds_result_occupations(a)[0], 1e12, 1e3);
      assert_true(qds_result_occupations(a)[1] < 1e-100);
    }
    qds_result_destroy(a);
    qds_result_destroy(b);
  }
}

/* The three ways to say how many electrons there are agree. */
static void same_electrons_said_differently(qds_context *ctx) {
  char total[64], level[96];
  qds_result *neutral = NULL, *given = NULL, *fermi = NULL;
  parse_and_solve(ctx, well, NULL, &neutral);
  snprintf(total, sizeof total, "self_consistent.electrons={total_cm2: 1.0e12}");
  snprintf(level, sizeof level, "self_consistent.electrons={fermi_level_eV: %.17g}",
           qds_result_fermi_level_eV(neutral));
  parse_and_solve(ctx, well, (const char *const[]){total, NULL}, &given);
  parse_and_solve(ctx, well, (const char *const[]){level, NULL}, &fermi);
  assert_close(qds_result_energies_eV(given)[0], qds_result_energies_eV(neutral)[0], 1e-12);
  assert_close(qds_result_energies_eV(fermi)[0], qds_result_energies_eV(neutral)[0], 1e-10);
  assert_close(total_density(fermi) / 1e19, 1, 1e-7);
  qds_result_destroy(neutral);
  qds_result_destroy(given);
  qds_result_destroy(fermi);
}

/* Contacts on potential V lower every level and the band edge by V; the electrons stay as they are. */
static void raised_contacts(qds_context *ctx) {
  const char *const raised[] = {"electrostatics.contacts.0.potential_V=0.75",
                                "electrostatics.contacts.1.potential_V=0.75", NULL};
  qds_result *a = NULL, *b = NULL;
  parse_and_solve(ctx, well, NULL, &a);
  parse_and_solve(ctx, well, raised, &b);
  for (int s = 0; s < 4; s++)
    assert_close(qds_result_energies_eV(b)[s], qds_result_energies_eV(a)[s] - 0.75, 1e-10);
  assert_close(qds_result_fermi_level_eV(b), qds_result_fermi_level_eV(a) - 0.75, 1e-10);
  qds_result_destroy(a);
  qds_result_destroy(b);
}

/* In the plane a state moves with its own mass: 1/m by the probability in each material, and the geometric
 * mean of the two directions. */
static void mass_in_the_plane(qds_context *ctx) {
  const char *const barrier[] = {
      "materials.barrier={mass: [0.067, 0.3, 0.1], band_edge_eV: 0.02, permittivity: 12.9}",
      "materials.well.mass=[0.067, 0.2, 0.05]",
      "regions=[{shape: layer, axis: x, from_nm: 13, to_nm: 20, material: barrier}]", NULL};
  qds_result *r = NULL;
  parse_and_solve(ctx, well, barrier, &r);
  const double inside = qds_result_probability(r, 0, 0), outside = qds_result_probability(r, 0, 1);
  const double mass = 1 / sqrt((inside / 0.2 + outside / 0.3) * (inside / 0.05 + outside / 0.1));
  const double kT = QDS_BOLTZMANN * 300, depth = qds_result_fermi_level_eV(r) - qds_result_energies_eV(r)[0];
  const double expected = 1e14 * mass * kT / (2 * acos(-1) * QDS_HBAR2_OVER_2M0) * log1p(exp(depth / kT));
  assert_true(inside > 0.5 && outside > 0.1);
  assert_close(qds_result_occupations(r)[0] / expected, 1, 1e-12);
  assert_close(total_density(r) / 1e19, 1, 1e-10);
  qds_result_destroy(r);
}

static const char *const wire = WIRE_DEVICE "states: 3\n";

static double json_number(qds_context *ctx, const qds_result *r, const char *key) {
  char *text = NULL, wanted[64];
  (void)ctx;
  assert_ok(qds_result_json(r, 0, &text));
  snprintf(wanted, sizeof wanted, "\"%s\": ", key);
  const char *at = strstr(text, wanted);
  assert_non_null(at);
  const double value = strtod(at + strlen(wanted), NULL);
  qds_text_destroy(text);
  return value;
}

static void wire_is_neutral(qds_context *ctx) {
  qds_result *r = NULL;
  parse_and_solve(ctx, wire, NULL, &r);
  const double donors = 1e18 * 40 * 4; /* per cm^3 nm^2 */
  assert_close(total_density(r) / donors, 1, 1e-10);
  assert_close(json_number(ctx, r, "electrons_cm1") / (donors * 1e-14), 1, 1e-10);
  assert_close(json_number(ctx, r, "charge_cm1") / (donors * 1e-14), 0,
               1e-8); /* of the gate: no field ends on it */
  const double *energy = qds_result_energies_eV(r), level = qds_result_fermi_level_eV(r);
  assert_true(energy[0] < level && energy[1] > energy[0]);
  assert_true(qds_result_occupations(r)[0] > qds_result_occupations(r)[1]);
  qds_result_destroy(r);
}

/* One grounded end holds no charge when all is neutral, so that it may as well be free: then the mean of the
 * potential is chosen, and the levels above the Fermi level stay. */
static void no_contact(qds_context *ctx) {
  const char *const one[] = {"electrostatics.contacts=[{face: x-, potential_V: 0}]", NULL},
                    *const none[] = {"electrostatics.contacts=[]", NULL};
  qds_result *a = NULL, *b = NULL;
  parse_and_solve(ctx, well, one, &a);
  parse_and_solve(ctx, well, none, &b);
  for (int s = 0; s < 3; s++)
    assert_close(qds_result_energies_eV(b)[s] - qds_result_fermi_level_eV(b),
                 qds_result_energies_eV(a)[s] - qds_result_fermi_level_eV(a), 1e-10);
  assert_close(integral(b, qds_result_potential_V(b)), 0, 1e-10);
  qds_result_destroy(a);
  qds_result_destroy(b);
}

/* Two electrons in a dot beside a gate, without dopants: the potential that they make is negative, their
 * charge ends on the gate, and the lowest state holds both. */
static const char *const dot =
    "dimension: 3\n"
    "temperature_K: 4.2\n"
    "materials: {a: {mass: 0.067, band_edge_eV: 0.0, permittivity: 12.9}}\n"
    "background: a\n"
    "grid: {x: {from_nm: 0, to_nm: 24, nodes: 15}, y: {from_nm: 0, to_nm: 22, nodes: 15}, z: {from_nm: 0, "
    "to_nm: 20, nodes: 15}}\n"
    "electrostatics: {contacts: [{face: z-, potential_V: 0}]}\n"
    "self_consistent: {electrons: {total: 2}, tolerance_V: 1.0e-7}\n"
    "states: 4\n";

static void dot_of_two_electrons(qds_context *ctx) {
  qds_result *r = NULL;
  parse_and_solve(ctx, dot, NULL, &r);
  assert_close(total_density(r) * 1e-21, 2, 1e-9);
  assert_close(qds_result_occupations(r)[0], 2, 1e-6);
  assert_close(json_number(ctx, r, "charge"), 2, 1e-8);
  for (int64_t i = 0; i < 15 * 15 * 15; i++) assert_true(qds_result_potential_V(r)[i] <= 0);
  qds_result_destroy(r);
}

/* A level holds two electrons: where `states` asks to see fewer than hold them, more are computed. */
static void more_electrons_than_the_states_to_see_hold(qds_context *ctx) {
  static const char *const totals[] = {"self_consistent.electrons={total: 8}",
                                       "self_consistent.electrons={total: 9}"};
  for (int t = 0; t < 2; t++) {
    const char *const all[] = {totals[t], "states=12", NULL}, *const few[] = {totals[t], "states=2", NULL};
    qds_result *a = NULL, *b = NULL;
    parse_and_solve(ctx, dot, all, &a);
    parse_and_solve(ctx, dot, few, &b);
    assert_int_equal(qds_result_states(b), 2);
    assert_close(total_density(b) * 1e-21, 8 + t, 1e-9);
    assert_close(qds_result_fermi_level_eV(b), qds_result_fermi_level_eV(a), 1e-6);
    for (int s = 0; s < 2; s++) {
      assert_close(qds_result_energies_eV(b)[s], qds_result_energies_eV(a)[s], 1e-6);
      assert_close(qds_result_occupations(b)[s], 2, 1e-9);
    }
    qds_result_destroy(a);
    qds_result_destroy(b);
  }
}

static void more_electrons_than_the_grid_holds(qds_context *ctx) {
  static const char *const totals[] = {"self_consistent.electrons={total: 1000}",
                                       "self_consistent.electrons={total: 1e300}"};
  for (int t = 0; t < 2; t++) {
    qds_device *device = NULL;
    qds_result *r = NULL;
    assert_ok(qds_device_parse(ctx, "test.yaml", dot, (const char *const[]){totals[t], NULL}, &device));
    assert_fails(qds_device_solve(device, &r), QDS_ERROR_INPUT,
                 t == 0 ? "test.yaml: self_consistent: electrons: 1000 electrons need at least 501 states"
                        : "but only 400 can be computed on this grid");
    qds_device_destroy(device);
  }
}

/* Electrostatics alone: contacts tilt the band, dopants bend it, both with the electron's sign. */
static void potential_without_electrons(qds_context *ctx) {
  static const char *const text =
      "materials: {a: {mass: 0.067, band_edge_eV: 0.1, permittivity: 10}}\n"
      "background: a\n"
      "doping: [{acceptors_cm3: 1.0e17}, {donors_cm3: 3.0e17, acceptors_cm3: 1.0e17}]\n"
      "grid: {x: {from_nm: 0, to_nm: 20, nodes: 41}}\n"
      "electrostatics: {contacts: [{face: x-, potential_V: 0}, {face: x+, potential_V: 0.5}]}\n"
      "states: 1\n";
  qds_result *r = NULL;
  parse_and_solve(ctx, text, NULL, &r);
  const double bend = 1e17 * 1e-21 / (2 * 10 * QDS_VACUUM_PERMITTIVITY);
  for (int i = 0; i < 41; i++) {
    const double x = 0.5 * i, expected = 0.5 * x / 20 + bend * x * (20 - x);
    assert_close(qds_result_potential_V(r)[i], expected, 1e-12);
    assert_close(qds_result_band_edge_eV(r)[i], 0.1 - expected, 1e-12);
  }
  assert_null(qds_result_occupations(r));
  assert_null(qds_result_electron_density_cm3(r));
  assert_true(isnan(qds_result_fermi_level_eV(r)));
  assert_true(qds_result_position_nm(r, 0)[0] > 12); /* drawn to the positive contact */
  qds_result_destroy(r);
}

/* A hole is drawn to the negative contact. */
static void potential_for_holes(qds_context *ctx) {
  static const char *const text =
      "carrier: heavy_hole\nbackground: GaAs\ngrid: {x: {from_nm: 0, to_nm: 20, nodes: 41}}\n"
      "electrostatics: {contacts: [{face: x-, potential_V: 0}, {face: x+, potential_V: 0.5}]}\nstates: 1\n";
  qds_result *r = NULL;
  parse_and_solve(ctx, text, NULL, &r);
  assert_true(qds_result_position_nm(r, 0)[0] < 8);
  qds_result_destroy(r);
}

static void does_not_converge(qds_context *ctx) {
  qds_device *device = NULL;
  qds_result *r = NULL;
  const char *const few[] = {"self_consistent.max_iterations=2", NULL};
  assert_ok(qds_device_parse(ctx, "test.yaml", well, few, &device));
  assert_fails(
      qds_device_solve(device, &r), QDS_ERROR_CONVERGENCE,
      "after 2 iterations the potential still changes by 3.1e-04 V, tolerance_V is 1.0e-10; the last "
      "changes: 9.8e-03, 3.1e-04 V");
  assert_null(r);
  qds_device_destroy(device);
}

static void too_few_states_on_the_grid(qds_context *ctx) {
  qds_device *device = NULL;
  qds_result *r = NULL;
  const char *const few[] = {"grid.order=1", "grid.x.nodes=6", "temperature_K=2000", NULL};
  assert_ok(qds_device_parse(ctx, "test.yaml", well, few, &device));
  assert_fails(qds_device_solve(device, &r), QDS_ERROR_INPUT, "the highest of 4 states still holds");
  qds_device_destroy(device);
}

/* What a device file may get wrong, by assignment to a good one, and what the message must say. */
static void bad_input(qds_context *ctx) {
  static const char *const cases[][2] = {
      {"electrostatics.contacts.0.face=x", "x-"},
      {"electrostatics.contacts.0.face=y-", "y-"},
      {"electrostatics.contacts.0.face=x+", "two contacts"},
      {"electrostatics.contacts.0.potential_V=1e9", "are allowed"},
      {"electrostatics.contacts.0.voltage=1", "voltage"},
      {"electrostatics.contacts=3", "a list of contacts"},
      {"boundary={x: periodic}", "axis x is periodic"},
      {"doping.0.donors_cm3=-1e17", "acceptors have a key of their own"},
      {"doping.0.donors=1e17", "donors"},
      {"doping.0={}", "donors_cm3 or acceptors_cm3 is missing"},
      {"doping.0={donors_cm3: 1e17, shape: layer, axis: x, from_nm: 50, to_nm: 60}",
       "the doping lies outside"},
      {"materials.well={mass: 0.067, band_edge_eV: 0}", "\"well\" has no permittivity"},
      {"materials.well.mass=[0.067]", "masses along x, y and z"},
      {"materials.well.permittivity=-3", "permittivity"},
      {"self_consistent.electrons=neutrl", "neutral"},
      {"self_consistent.electrons={total_cm1: 1e12}", "total_cm2"},
      {"self_consistent.electrons={total_cm2: -1e12}", "total_cm2"},
      {"self_consistent.tolerance_V=0", "tolerance_V"},
      {"self_consistent.max_iterations=0", "max_iterations"},
      {"self_consistent={}", "electrons"},
      {"self_consistent=7", "self_consistent"},
      {"electrostatics=3", "electrostatics"},
      {"doping=5", "a list is wanted"},
      {"doping.0=5", "doping is a map"},
      {"electrostatics.contacts.0=x-", "a contact is a map"},
      {"temperature_K=0", "above 0 K"},
      {"carrier=heavy_hole", "only electrons"},
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    qds_device *device = NULL;
    const char *const assignment[] = {cases[i][0], NULL};
    assert_fails(qds_device_parse(ctx, "test.yaml", well, assignment, &device), QDS_ERROR_INPUT, cases[i][1]);
  }
}

static void bad_combinations(qds_context *ctx) {
  qds_device *device = NULL;
  qds_result *r = NULL;
  static const char *const start = "background: GaAs\ngrid: {x: {from_nm: 0, to_nm: 9, nodes: 19}}\n";
  char text[512];
  snprintf(text, sizeof text, "%sdoping: [{donors_cm3: 1e17}]\n", start);
  assert_fails(qds_device_parse(ctx, "test.yaml", text, NULL, &device), QDS_ERROR_INPUT,
               "electrostatics is missing");
  snprintf(text, sizeof text, "%selectrostatics: {}\nself_consistent: {electrons: {total_cm2: 1e11}}\n",
           start);
  assert_fails(qds_device_parse(ctx, "test.yaml", text, NULL, &device), QDS_ERROR_INPUT,
               "without a contact the device must be neutral");
  snprintf(
      text, sizeof text,
      "%selectrostatics: {}\nregions: [{shape: layer, axis: x, from_nm: 0, to_nm: 1, material: hard_wall}]\n",
      start);
  assert_fails(qds_device_parse(ctx, "test.yaml", text, NULL, &device), QDS_ERROR_INPUT,
               "hard_wall has no permittivity");
  snprintf(text, sizeof text, "%selectrostatics: {}\ndoping: [{donors_cm3: 1e17}]\n", start);
  assert_ok(qds_device_parse(ctx, "test.yaml", text, NULL, &device));
  assert_fails(qds_device_solve(device, &r), QDS_ERROR_INPUT, "no face is a contact");
  qds_device_destroy(device);
  snprintf(text, sizeof text, "%selectrostatics: {}\nself_consistent: {electrons: neutral}\n", start);
  assert_ok(qds_device_parse(ctx, "test.yaml", text, NULL, &device));
  assert_fails(qds_device_solve(device, &r), QDS_ERROR_INPUT, "needs more donors than acceptors");
  qds_device_destroy(device);
}

/* The field may go with the potential of contacts, not with electrons that act back. */
static void magnetic_field(qds_context *ctx) {
  const char *const field[] = {"magnetic_field={tesla: [0, 0, 5]}", NULL};
  qds_device *device = NULL;
  assert_fails(qds_device_parse(ctx, "test.yaml", wire, field, &device), QDS_ERROR_INPUT,
               "self_consistent: a magnetic field cannot be combined");
}

/* Reports come at most ten times a second: on this grid several fall into the iteration. */
static int interrupt(void *user, const char *phase, double fraction, const char *detail) {
  (void)user;
  (void)fraction;
  (void)detail;
  return strcmp(phase, "hamiltonian") != 0;
}

static void test_interruption(void **state) {
  (void)state;
  qds_context *ctx = NULL;
  qds_context_options options = QDS_CONTEXT_OPTIONS_INIT;
  qds_device *device = NULL;
  qds_result *r = NULL;
  options.threads = 1;
  options.progress = interrupt;
  assert_ok(qds_context_create(&options, &ctx));
  const char *const fine[] = {"grid.x.nodes=201", "grid.y.nodes=181", NULL};
  assert_ok(qds_device_parse(ctx, "test.yaml", wire, fine, &device));
  assert_int_equal(qds_device_solve(device, &r), QDS_ERROR_INTERRUPTED);
  assert_null(r);
  qds_device_destroy(device);
  qds_context_destroy(ctx);
}

/* Every device in docs/electrostatics.md runs. */
static void documentation(qds_context *ctx) {
  static const char fence[] = "```yaml\n";
  FILE *file = fopen("docs/electrostatics.md", "r");
  char text[32768];
  int devices = 0;
  assert_non_null(file);
  text[fread(text, 1, sizeof text - 1, file)] = 0;
  fclose(file);
  for (char *start = strstr(text, fence); start; devices++) {
    start += sizeof fence - 1;
    char *end = strstr(start, "```\n");
    qds_result *r = NULL;
    assert_non_null(end);
    *end = 0;
    parse_and_solve(ctx, start, NULL, &r);
    assert_non_null(qds_result_potential_V(r));
    qds_result_destroy(r);
    start = strstr(end + 1, fence);
  }
  assert_int_equal(devices, 3);
}

static qds_status solve_tiny(qds_context *ctx, void *text) {
  qds_device *device = NULL;
  qds_result *r = NULL;
  char *json = NULL;
  qds_status status = qds_device_parse(ctx, "test.yaml", text, NULL, &device);
  if (status == QDS_OK) status = qds_device_solve(device, &r);
  if (status == QDS_OK) status = qds_result_json(r, 0, &json);
  qds_text_destroy(json);
  qds_result_destroy(r);
  qds_device_destroy(device);
  return status;
}

static void out_of_memory(qds_context *ctx) {
  char text[] = "materials: {a: {mass: 1, band_edge_eV: 0, permittivity: 9}, b: {mass: 2, band_edge_eV: 0, "
                "permittivity: 9}}\nbackground: a\n"
                "regions: [{shape: layer, axis: x, from_nm: 3, to_nm: 4, material: b}]\n"
                "doping: [{donors_cm3: 1e18, shape: layer, axis: x, from_nm: 1, to_nm: 4}]\n"
                "grid: {x: {from_nm: 0, to_nm: 9, nodes: 10}}\n"
                "electrostatics: {contacts: [{face: x-, potential_V: 0.1}]}\n"
                "self_consistent: {electrons: neutral, tolerance_V: 1e-3}\nstates: 2\ntemperature_K: 77\n";
  assert_ok(solve_tiny(ctx, text)); /* loads the BLAS library */
  assert_true(fail_each_allocation(ctx, solve_tiny, text) > 100);
}

#define TEST_IN_CONTEXT(name)                                                                                \
  static void test_##name(void **state) {                                                                    \
    (void)state;                                                                                             \
    with_context(1, name);                                                                                   \
  }
TEST_IN_CONTEXT(reference_at_300_kelvin)
TEST_IN_CONTEXT(converges)
TEST_IN_CONTEXT(cold)
TEST_IN_CONTEXT(same_electrons_said_differently)
TEST_IN_CONTEXT(raised_contacts)
TEST_IN_CONTEXT(mass_in_the_plane)
TEST_IN_CONTEXT(wire_is_neutral)
TEST_IN_CONTEXT(no_contact)
TEST_IN_CONTEXT(dot_of_two_electrons)
TEST_IN_CONTEXT(more_electrons_than_the_states_to_see_hold)
TEST_IN_CONTEXT(more_electrons_than_the_grid_holds)
TEST_IN_CONTEXT(potential_without_electrons)
TEST_IN_CONTEXT(potential_for_holes)
TEST_IN_CONTEXT(does_not_converge)
TEST_IN_CONTEXT(too_few_states_on_the_grid)
TEST_IN_CONTEXT(bad_input)
TEST_IN_CONTEXT(bad_combinations)
TEST_IN_CONTEXT(magnetic_field)
TEST_IN_CONTEXT(documentation)
TEST_IN_CONTEXT(out_of_memory)

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_reference_at_300_kelvin),
      cmocka_unit_test(test_converges),
      cmocka_unit_test(test_cold),
      cmocka_unit_test(test_same_electrons_said_differently),
      cmocka_unit_test(test_raised_contacts),
      cmocka_unit_test(test_mass_in_the_plane),
      cmocka_unit_test(test_wire_is_neutral),
      cmocka_unit_test(test_no_contact),
      cmocka_unit_test(test_dot_of_two_electrons),
      cmocka_unit_test(test_more_electrons_than_the_states_to_see_hold),
      cmocka_unit_test(test_more_electrons_than_the_grid_holds),
      cmocka_unit_test(test_potential_without_electrons),
      cmocka_unit_test(test_potential_for_holes),
      cmocka_unit_test(test_does_not_converge),
      cmocka_unit_test(test_too_few_states_on_the_grid),
      cmocka_unit_test(test_bad_input),
      cmocka_unit_test(test_bad_combinations),
      cmocka_unit_test(test_magnetic_field),
      cmocka_unit_test(test_interruption),
      cmocka_unit_test(test_documentation),
      cmocka_unit_test(test_out_of_memory),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}

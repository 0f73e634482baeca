/* Where potential and density are found: on each device as on the CPU, and what is said of it. */
#include "dot/result.h"
#include "dot/self_consistent.h"
#include "mem/pool_stream.h"
#include "support.h"

#define MATERIALS                                                                                            \
  "temperature_K: 77\nbackground: b\n"                                                                       \
  "materials: {a: {mass: 0.067, band_edge_eV: 0, permittivity: 12.9}, b: {mass: 0.09, band_edge_eV: 0.25, "  \
  "permittivity: 11}}\n"

/* Dense and iterative solves of the states, all dimensions, contacts or none, a periodic axis, elements of
 * order 1 and more, electrons and holes. */
static const char *const devices[] = {
    MATERIALS "regions: [{shape: layer, axis: x, from_nm: -5, to_nm: 5, material: a}]\n"
              "doping: [{donors_cm3: 1e18, shape: layer, axis: x, from_nm: 8, to_nm: 11}]\n"
              "grid: {order: 2, x: {from_nm: -15, to_nm: 15, nodes: 601}}\n"
              "electrostatics: {contacts: [{face: x-, potential_V: 0.1}]}\n"
              "self_consistent: {electrons: neutral, tolerance_V: 1e-11}\nstates: 2\n",
    MATERIALS "regions: [{shape: box, min_nm: [-9, -5], max_nm: [9, 5], material: a}]\n"
              "doping: [{donors_cm3: 1e18, shape: box, min_nm: [-15, 6], max_nm: [15, 9]}]\n"
              "boundary: {x: periodic}\n"
              "grid: {x: {from_nm: -15, to_nm: 15, nodes: 31}, y: {from_nm: -12, to_nm: 12, nodes: 29}}\n"
              "electrostatics: {contacts: []}\n"
              "self_consistent: {electrons: neutral, tolerance_V: 1e-11}\nstates: 3\n",
    MATERIALS "regions: [{shape: ellipsoid, center_nm: [0, 0, 0], radii_nm: [6, 6, 4], material: a}]\n"
              "grid: {x: {from_nm: -10, to_nm: 10, nodes: 15}, y: {from_nm: -10, to_nm: 10, nodes: 15}, "
              "z: {from_nm: -8, to_nm: 10, nodes: 13}}\n"
              "electrostatics: {contacts: [{face: z+, potential_V: -0.1}]}\n"
              "self_consistent: {electrons: {fermi_level_eV: 0.3}, tolerance_V: 1e-11}\nstates: 3\n",
    MATERIALS "carrier: heavy_hole\n"
              "doping: [{acceptors_cm3: 1e18, shape: box, min_nm: [-15, 6], max_nm: [15, 9]}]\n"
              "grid: {order: 3, x: {from_nm: -15, to_nm: 15, nodes: 31}, y: {from_nm: -12, to_nm: 12, "
              "nodes: 28}}\n"
              "electrostatics: {contacts: [{face: y-, potential_V: 0.2}]}\nstates: 2\n",
};
enum { DEVICES = sizeof devices / sizeof *devices };

static qds_result *solve(qds_context *ctx, const char *text) {
  qds_device *device = NULL;
  qds_result *r = NULL;
  assert_ok(qds_device_parse(ctx, "test.yaml", text, NULL, &device));
  assert_ok(qds_device_solve(device, &r));
  qds_device_destroy(device);
  return r;
}

static void expect_close(const char *what, int64_t count, const double *found, const double *expected,
                         double tolerance) {
  double size = 0;
  for (int64_t i = 0; i < count; i++) size = fmax(size, fabs(expected[i]));
  for (int64_t i = 0; i < count; i++)
    if (!(fabs(found[i] - expected[i]) <= tolerance * size))
      fail_msg("%s %lld: %.15g, on the CPU %.15g", what, (long long)i, found[i], expected[i]);
}

/* What the CPU finds. */
static qds_result *expected[DEVICES];
static qds_context *cpu;

static int solve_on_cpu(void **state) {
  (void)state;
  qds_context_options options = QDS_CONTEXT_OPTIONS_INIT;
  options.device = "cpu";
  options.threads = 2;
  options.seed = 1;
  assert_ok(qds_context_create(&options, &cpu));
  for (int i = 0; i < DEVICES; i++) expected[i] = solve(cpu, devices[i]);
  return 0;
}

static int forget(void **state) {
  (void)state;
  for (int i = 0; i < DEVICES; i++) qds_result_destroy(expected[i]);
  qds_context_destroy(cpu);
  return 0;
}

static void same_results(qds_context *ctx) {
  for (int i = 0; i < DEVICES; i++) {
    qds_result *r = solve(ctx, devices[i]);
    const qds_result_electrostatics *e = &r->electrostatics, *want = &expected[i]->electrostatics;
    const int64_t nodes = qds_result_node_count(r);
    for (int s = 0; s < r->states; s++) assert_close(r->energies_eV[s], expected[i]->energies_eV[s], 1e-10);
    expect_close("potential", nodes, e->potential_V, want->potential_V, 1e-9);
    assert_int_equal(e->iterations, want->iterations);
    if (want->electron_density_cm3) {
      assert_true(e->electrons > 0);
      assert_close(e->fermi_level_eV, want->fermi_level_eV, 1e-9);
      expect_close("density", nodes, e->electron_density_cm3, want->electron_density_cm3, 1e-8);
      expect_close("occupation", r->states, e->occupation, want->occupation, 1e-8);
    }
    for (int face = 0; face < 6; face++) /* which may be next to nothing */
      assert_close(e->contact_charge[face / 2][face % 2], want->contact_charge[face / 2][face % 2],
                   1e-9 * (fabs(want->dopants) + want->electrons));
    assert_string_equal(qds_result_electrostatics_device(r), qds_context_device(ctx));
    assert_string_equal(qds_result_electrostatics_device_reason(r), qds_context_device_reason(ctx));
    qds_result_destroy(r);
  }
  assert_int_equal(qds_context_fallbacks(ctx), 0);
}

/* Without room on the device the CPU finds the same, and the result says so. */
static void no_room(qds_context *ctx) {
  if (!qds_context_accelerator(ctx)) return;
  qds_context_options options = QDS_CONTEXT_OPTIONS_INIT;
  qds_context *small = NULL;
  options.device = qds_context_device(ctx);
  options.threads = 2;
  options.seed = 1;
  options.device_memory_limit = 1 << 20;
  assert_ok(qds_context_create(&options, &small));
  qds_result *r = solve(small, devices[2]);
  assert_string_equal(qds_result_electrostatics_device(r), "cpu");
  assert_non_null(strstr(qds_result_electrostatics_device_reason(r), "are needed"));
  expect_close("potential", qds_result_node_count(r), r->electrostatics.potential_V,
               expected[2]->electrostatics.potential_V, 1e-9);
  assert_true(qds_context_fallbacks(small) > 0);
  qds_result_destroy(r);
  qds_context_destroy(small);
}

/* What is announced of a device's memory is enough, and not far above what is taken. */
static void announced_memory_is_enough(qds_context *ctx) {
  static const char *const texts[] = {
      MATERIALS "regions: [{shape: ellipsoid, center_nm: [0, 0, 0], radii_nm: [6, 6, 4], material: a}]\n"
                "doping: [{donors_cm3: 1e18, shape: box, min_nm: [-10, -10, 6], max_nm: [10, 10, 8]}]\n"
                "grid: {x: {from_nm: -10, to_nm: 10, nodes: 31}, y: {from_nm: -10, to_nm: 10, nodes: 31}, "
                "z: {from_nm: -8, to_nm: 10, nodes: 31}}\n"
                "electrostatics: {contacts: [{face: z+, potential_V: -0.1}]}\nstates: 4\n",
      "self_consistent: {electrons: {total: 2}, tolerance_V: 1e-3}\n"};
  if (!qds_context_accelerator(ctx)) return;
  for (int iterates = 0; iterates < 2; iterates++) {
    char text[2048];
    qds_stream_pool_statistics pool;
    qds_device *device = NULL;
    snprintf(text, sizeof text, "%s%s", texts[0], iterates ? texts[1] : "");
    assert_ok(qds_device_parse(ctx, "test.yaml", text, NULL, &device));
    const int64_t n[3] = {device->axis[0]->unknowns, device->axis[1]->unknowns, device->axis[2]->unknowns};
    const size_t states = qds_spectrum_device_bytes(n, 1, 4, QDS_PRECONDITION_MULTIGRID, QDS_FLOAT32),
                 own = qds_electrostatics_device_bytes(device),
                 announced = iterates       ? own + states
                             : own > states ? own
                                            : states;
    qds_device_destroy(device);
    qds_result_destroy(solve(ctx, text));
    qds_stream_pool_statistics_read(qds_context_accelerator(ctx)->pool, &pool);
    print_message("announced %.1f MB, taken %.1f MB\n", 1e-6 * (double)announced,
                  1e-6 * (double)pool.peak_used_bytes);
    assert_true(pool.peak_used_bytes <= announced);
    assert_true((double)pool.peak_used_bytes >= 0.5 * (double)announced);
    assert_int_equal(pool.used_bytes, 0);
  }
}

static qds_status solve_and_forget(qds_context *ctx, void *text) {
  qds_device *device = NULL;
  qds_result *r = NULL;
  qds_status status = qds_device_parse(ctx, "test.yaml", text, NULL, &device);
  if (status == QDS_OK) status = qds_device_solve(device, &r);
  qds_result_destroy(r);
  qds_device_destroy(device);
  return status;
}

/* Whatever the simulated device refuses on the way is an error with its message. */
static void device_fails(qds_context *ctx) {
  char text[] = MATERIALS "regions: [{shape: layer, axis: x, from_nm: 3, to_nm: 6, material: a}]\n"
                          "doping: [{donors_cm3: 1e18, shape: layer, axis: x, from_nm: 1, to_nm: 4}]\n"
                          "grid: {x: {from_nm: 0, to_nm: 9, nodes: 10}}\n"
                          "electrostatics: {contacts: [{face: x-, potential_V: 0.1}]}\n"
                          "self_consistent: {electrons: neutral, tolerance_V: 1e-3}\nstates: 2\n";
  if (strncmp(qds_context_device(ctx), "sim", 3) != 0) return;
  assert_ok(solve_and_forget(ctx, text));
  assert_int_equal(fail_each_on_device(ctx, QDS_INJECT_LAUNCH, 150, solve_and_forget, text), 150);
  assert_int_equal(fail_each_on_device(ctx, QDS_INJECT_COPY, 150, solve_and_forget, text), 150);
}

#define TEST_IN_CONTEXT(name)                                                                                \
  static void test_##name(void **state) {                                                                    \
    (void)state;                                                                                             \
    with_context(2, name);                                                                                   \
  }
TEST_IN_CONTEXT(same_results)
TEST_IN_CONTEXT(no_room)
TEST_IN_CONTEXT(announced_memory_is_enough)
TEST_IN_CONTEXT(device_fails)

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_same_results),
      cmocka_unit_test(test_no_room),
      cmocka_unit_test(test_announced_memory_is_enough),
      cmocka_unit_test(test_device_fails),
  };
  return cmocka_run_group_tests(tests, solve_on_cpu, forget);
}

/* Devices in a magnetic field against exact levels, in every gauge. */
#include "support.h"

#include "base/units.h"
#include "qdsim/dot.h"

static const double hbar_omega = 4e-3, mass = 0.067;

static double kinetic(void) {
  return QDS_HBAR2_OVER_2M0 / mass;
}

/* hbar e / m, eV per T. */
static double cyclotron(void) {
  return 2 * kinetic() * QDS_E_OVER_HBAR;
}

/* k of V = k r^2 / 2 in eV/nm^2: (hbar omega)^2 m / hbar^2. */
static double stiffness(void) {
  return hbar_omega * hbar_omega / (2 * kinetic());
}

/* --- solving and looking
 * ------------------------------------------------------------------------------------------ */

typedef struct {
  const char *grid, *potential, *more; /* YAML lines */
  double tesla[3];
  const char *gauge;
  int states;
} plan;

static qds_status try_solve(qds_context *ctx, const plan *p, qds_result **out) {
  char text[2000];
  qds_device *device;
  *out = NULL;
  snprintf(text, sizeof text,
           "materials:\n  M: {mass: %.17g, band_edge_eV: 0}\nbackground: M\npotential:\n"
           "  - {formula_eV: \"%s\", parameters: {k: %.17g}}\n"
           "magnetic_field: {tesla: [%.17g, %.17g, %.17g], gauge: %s}\ngrid: %s\nstates: %d\n%s",
           mass, p->potential, stiffness(), p->tesla[0], p->tesla[1], p->tesla[2],
           p->gauge ? p->gauge : "symmetric", p->grid, p->states, p->more ? p->more : "");
  QDS_TRY(qds_device_parse(ctx, "field.yaml", text, NULL, &device));
  const qds_status status = qds_device_solve(device, out);
  qds_device_destroy(device);
  return status;
}

static qds_result *solve(qds_context *ctx, const plan *p) {
  qds_result *result;
  assert_ok(try_solve(ctx, p, &result));
  return result;
}

static int64_t node_count(const qds_result *r) {
  const int64_t *n = qds_result_nodes(r);
  return n[0] * n[1] * n[2];
}

static double density(const qds_result *r, int state, int64_t node) {
  const double *psi = qds_result_psi_complex(r, state);
  return psi[2 * node] * psi[2 * node] + psi[2 * node + 1] * psi[2 * node + 1];
}

static int compare(const void *a, const void *b) {
  const double x = *(const double *)a, y = *(const double *)b;
  return (x > y) - (x < y);
}

/* Fock's levels (2n + |l| + 1) hbar Omega + l hbar omega_c / 2, ascending. */
static void fock_levels(double tesla, double *levels, int count) {
  enum { MOST = 12 };
  double all[MOST * (2 * MOST + 1)];
  const double half = cyclotron() * tesla / 2, omega = sqrt(hbar_omega * hbar_omega + half * half);
  int found = 0;
  for (int n = 0; n < MOST; n++)
    for (int l = -MOST; l <= MOST; l++) all[found++] = (2 * n + abs(l) + 1) * omega + l * half;
  qsort(all, (size_t)found, sizeof *all, compare);
  memcpy(levels, all, sizeof(double) * (size_t)count);
}

static const char parabola[] = "0.5*k*(x^2+y^2)";
static const char fine[] =
    "{x: {from_nm: -120, to_nm: 120, nodes: 121}, y: {from_nm: -120, to_nm: 120, nodes: 121}, "
    "order: 4}";
static const char coarse[] =
    "{x: {from_nm: -70, to_nm: 80, nodes: 31}, y: {from_nm: -75, to_nm: 70, nodes: 29}}";

/* --- exact levels
 * ------------------------------------------------------------------------------------------------- */

static void check_fock_darwin(qds_context *ctx) {
  enum { STATES = 6 };
  const double fields[] = {0, 1, 5};
  for (int f = 0; f < 3; f++) {
    double exact[STATES];
    qds_result *r = solve(ctx, &(plan){fine, parabola, NULL, {0, 0, fields[f]}, NULL, STATES});
    fock_levels(fields[f], exact, STATES);
    for (int i = 0; i < STATES; i++) {
      print_message("%g T: %.9f meV, exact %.9f\n", fields[f], 1e3 * qds_result_energies_eV(r)[i],
                    1e3 * exact[i]);
      assert_close(qds_result_energies_eV(r)[i], exact[i], 1e-9);
    }
    assert_int_equal(qds_result_is_complex(r), f > 0);
    assert_int_equal(qds_result_psi(r, 0) != NULL, f == 0);
    assert_int_equal(qds_result_psi_complex(r, 0) != NULL, f > 0);
    assert_null(qds_result_psi_complex(r, STATES));
    qds_result_destroy(r);
  }
}

static void fock_darwin_levels(void **state) {
  (void)state;
  with_context(1, check_fock_darwin);
}

/* Without walls nearby every level is hbar omega_c (n + 1/2), as degenerate as the box is large. */
static void check_landau(qds_context *ctx) {
  const char grid[] =
      "{x: {from_nm: 0, to_nm: 170, nodes: 73}, y: {from_nm: 0, to_nm: 170, nodes: 73}, order: 4}";
  qds_result *r = solve(ctx, &(plan){grid, "0", "tolerance_eV: 1.0e-9", {0, 0, 5}, "landau_x", 2});
  for (int i = 0; i < 2; i++) assert_close(qds_result_energies_eV(r)[i], cyclotron() * 5 / 2, 1e-8);
  qds_result_destroy(r);
}

static void landau_levels(void **state) {
  (void)state;
  with_context(1, check_landau);
}

/* A field along z leaves the motion along z alone. */
static void check_along_z(qds_context *ctx) {
  const char grid[] = "{x: {from_nm: -90, to_nm: 90, nodes: 33}, y: {from_nm: -90, to_nm: 90, nodes: 33}, "
                      "z: {from_nm: 0, to_nm: 20, nodes: 9}, order: 4}";
  double exact[4];
  fock_levels(3, exact, 4);
  qds_result *r = solve(ctx, &(plan){grid, parabola, NULL, {0, 0, 3}, "landau_y", 4});
  for (int i = 0; i < 4; i++)
    assert_close(qds_result_energies_eV(r)[i], exact[i] + kinetic() * pow(3.14159265358979 / 20, 2), 2e-6);
  qds_result_destroy(r);
}

static void field_along_z_in_3d(void **state) {
  (void)state;
  with_context(1, check_along_z);
}

/* In a round dot only the field's strength counts: Fock's ground level and an oscillator's along
 * the field. */
static void check_tilted(qds_context *ctx) {
  const char grid[] = "{x: {from_nm: -90, to_nm: 90, nodes: 37}, y: {from_nm: -90, to_nm: 90, nodes: 37}, "
                      "z: {from_nm: -90, to_nm: 90, nodes: 37}, order: 4}";
  const double directions[3][3] = {{1, 2, 2}, {3, 0, 0}, {-2, 1, -2}};
  const char *gauges[3] = {"symmetric", "landau_x", "landau_y"};
  double exact[2];
  fock_levels(3, exact, 2);
  for (int d = 0; d < 3; d++) {
    plan p = {grid, "0.5*k*(x^2+y^2+z^2)", NULL, {0, 0, 0}, gauges[d], 2};
    memcpy(p.tesla, directions[d], sizeof p.tesla);
    qds_result *r = solve(ctx, &p);
    for (int i = 0; i < 2; i++) assert_close(qds_result_energies_eV(r)[i], exact[i] + hbar_omega / 2, 1e-6);
    qds_result_destroy(r);
  }
}

static void tilted_field_in_3d(void **state) {
  (void)state;
  with_context(1, check_tilted);
}

/* A disc of radius R with hard walls: the lowest level E of l = 0 makes M(1/2 - E / hbar omega_c, 1, R^2 / 2
 * l_B^2) vanish, M Kummer's function; here by its series and bisection. */
static double kummer(double a, double x) {
  double term = 1, sum = 1;
  for (int n = 0; n < 200; n++) {
    term *= (a + n) / ((n + 1.0) * (n + 1.0)) * x;
    sum += term;
  }
  return sum;
}

static double disc_level(double radius_nm, double tesla) {
  const double x = radius_nm * radius_nm * QDS_E_OVER_HBAR * tesla / 2, omega = cyclotron() * tesla;
  double low = omega / 2, high = omega / 2 + kinetic() * pow(2.41 / radius_nm, 2) + omega;
  for (int i = 0; i < 100; i++) {
    const double middle = 0.5 * (low + high);
    if (kummer(0.5 - middle / omega, x) > 0)
      low = middle;
    else
      high = middle;
  }
  return low;
}

static void check_disc(qds_context *ctx) {
  const double exact = disc_level(40, 4);
  const char walls[] =
      "regions:\n  - {shape: difference, of: [{shape: box, min_nm: [-60, -60], max_nm: [60, 60]}, "
      "{shape: ellipsoid, center_nm: [0, 0], radii_nm: [40, 40]}], material: hard_wall}\n";
  const char *grids[2] = {
      "{x: {from_nm: -42, to_nm: 42, nodes: 57}, y: {from_nm: -42, to_nm: 42, nodes: 57}}",
      "{x: {from_nm: -42, to_nm: 42, nodes: 113}, y: {from_nm: -42, to_nm: 42, nodes: 113}}"};
  double error[2];
  for (int g = 0; g < 2; g++) {
    qds_result *r = solve(ctx, &(plan){grids[g], "0", walls, {0, 0, 4}, NULL, 2});
    error[g] = fabs(qds_result_energies_eV(r)[0] / exact - 1);
    print_message("disc: %.9f meV, exact %.9f\n", 1e3 * qds_result_energies_eV(r)[0], 1e3 * exact);
    qds_result_destroy(r);
  }
  assert_true(error[1] < 5e-4);
  assert_true(error[1] < 0.4 * error[0]);
}

static void hard_walls_in_a_field(void **state) {
  (void)state;
  with_context(1, check_disc);
}

/* --- symmetries
 * --------------------------------------------------------------------------------------------------- */

/* To rounding, on a coarse grid of order 1: energies, densities and moments; psi differs by a phase, e^(i
 * chi). */
static void check_gauges(qds_context *ctx) {
  const char *gauges[3] = {"symmetric", "landau_x", "landau_y"};
  const plan base = {
      coarse, "0.5*k*(x^2+2*y^2)+0.002*sin(x/9)*y/50", "tolerance_eV: 1.0e-13", {0, 0, 5}, "symmetric", 5};
  qds_result *r[3];
  for (int g = 0; g < 3; g++) {
    plan p = base;
    p.gauge = gauges[g];
    r[g] = solve(ctx, &p);
  }
  const int64_t *n = qds_result_nodes(r[0]);
  for (int g = 1; g < 3; g++)
    for (int s = 0; s < 5; s++) {
      assert_close(qds_result_energies_eV(r[g])[s], qds_result_energies_eV(r[0])[s], 1e-12);
      assert_close(qds_result_spread_nm(r[g], s)[0], qds_result_spread_nm(r[0], s)[0], 1e-7);
      const double *psi = qds_result_psi_complex(r[g], s), *other = qds_result_psi_complex(r[0], s);
      double re = 0, im = 0, total = 0; /* of sum conj(psi_symmetric) e^(-i chi) psi_landau, of modulus 1 */
      for (int64_t i = 0; i < node_count(r[0]); i++) {
        assert_close(density(r[g], s, i), density(r[0], s, i), 1e-9);
        const double x = qds_result_coordinates_nm(r[0], 0)[i / n[1]] - 5,
                     y = qds_result_coordinates_nm(r[0], 1)[i % n[1]] + 2.5,
                     weight =
                         qds_result_weights_nm(r[0], 0)[i / n[1]] * qds_result_weights_nm(r[0], 1)[i % n[1]];
        /* A' - A = grad f with f = -+ B x y / 2; an electron's phase is -e f / hbar. */
        const double chi = (g == 1 ? 1 : -1) * QDS_E_OVER_HBAR * 5 * x * y / 2;
        const double a = other[2 * i] * psi[2 * i] + other[2 * i + 1] * psi[2 * i + 1],
                     b = other[2 * i] * psi[2 * i + 1] - other[2 * i + 1] * psi[2 * i];
        re += weight * (a * cos(chi) + b * sin(chi));
        im += weight * (b * cos(chi) - a * sin(chi));
        total += weight * density(r[g], s, i);
      }
      assert_close(total, 1, 1e-12);
      assert_close(hypot(re, im), 1, 1e-9);
    }
  for (int g = 0; g < 3; g++) qds_result_destroy(r[g]);
}

static void gauges_agree(void **state) {
  (void)state;
  with_context(1, check_gauges);
}

/* Energies, densities and where they were found, on the CPU and on the device under test, which is the CPU
 * too when none is named. */
enum { SAME_STATES = 4 };
static double energies_of_cpu[2][SAME_STATES], spreads_of_cpu[2][SAME_STATES];

static void compare_with_cpu(qds_context *ctx, int is_reference) {
  const plan plans[2] = {
      {coarse,
       "0.5*k*(x^2+2*y^2)+0.002*sin(x/9)*y/50",
       "tolerance_eV: 1.0e-12",
       {0, 0, 5},
       "landau_x",
       SAME_STATES},
      {"{x: {from_nm: -60, to_nm: 60, nodes: 17}, y: {from_nm: -60, to_nm: 60, nodes: 16}, z: {from_nm: -50, "
       "to_nm: 50, nodes: 15}}",
       "0.5*k*(x^2+2*y^2+1.3*z^2)",
       "tolerance_eV: 1.0e-12",
       {1, -2, 3},
       "landau_y",
       SAME_STATES}};
  for (int i = 0; i < 2; i++) {
    qds_result *r = solve(ctx, &plans[i]);
    assert_string_equal(qds_result_device(r), qds_context_device(ctx));
    for (int s = 0; s < SAME_STATES; s++) {
      const double energy = qds_result_energies_eV(r)[s], spread = qds_result_spread_nm(r, s)[1];
      if (is_reference) {
        energies_of_cpu[i][s] = energy;
        spreads_of_cpu[i][s] = spread;
      }
      assert_close(energy, energies_of_cpu[i][s], 1e-10);
      assert_close(spread, spreads_of_cpu[i][s], 1e-6);
    }
    qds_result_destroy(r);
  }
  assert_int_equal(qds_context_fallbacks(ctx), 0);
}

static void on_the_cpu(qds_context *ctx) {
  compare_with_cpu(ctx, 1);
}

static void on_the_device(qds_context *ctx) {
  compare_with_cpu(ctx, 0);
}

static void device_agrees_with_the_cpu(void **state) {
  (void)state;
  with_context_on("cpu", 1, on_the_cpu);
  with_context(1, on_the_device);
}

/* The other way round the field gives the same energies and conjugate wave functions. */
static void check_reversal(qds_context *ctx) {
  plan p = {coarse, "0.5*k*(x^2+2*y^2)+0.002*sin(x/9)*y/50", NULL, {0, 0, 4}, NULL, 4};
  qds_result *r = solve(ctx, &p);
  p.tesla[2] = -4;
  qds_result *other = solve(ctx, &p);
  for (int s = 0; s < 4; s++) {
    assert_close(qds_result_energies_eV(other)[s], qds_result_energies_eV(r)[s], 1e-11);
    const double *psi = qds_result_psi_complex(r, s), *conjugate = qds_result_psi_complex(other, s);
    double overlap_re = 0, overlap_im = 0,
           norm = 0; /* sum psi * other: of modulus 1 when other = conj(psi) */
    for (int64_t i = 0; i < node_count(r); i++) {
      overlap_re += psi[2 * i] * conjugate[2 * i] - psi[2 * i + 1] * conjugate[2 * i + 1];
      overlap_im += psi[2 * i] * conjugate[2 * i + 1] + psi[2 * i + 1] * conjugate[2 * i];
      norm += density(r, s, i);
    }
    assert_close(hypot(overlap_re, overlap_im) / norm, 1, 1e-6);
  }
  qds_result_destroy(r);
  qds_result_destroy(other);
}

static void reversed_field(void **state) {
  (void)state;
  with_context(1, check_reversal);
}

/* <L_z> / hbar of a state on a uniform grid, from differences between neighbours. */
static double angular_momentum(const qds_result *r, int state) {
  const int64_t *n = qds_result_nodes(r);
  const double *psi = qds_result_psi_complex(r, state), *x = qds_result_coordinates_nm(r, 0),
               *y = qds_result_coordinates_nm(r, 1);
  double sum = 0, norm = 0;
  for (int64_t i = 1; i < n[0] - 1; i++)
    for (int64_t j = 1; j < n[1] - 1; j++) {
      const double *here = psi + 2 * (i * n[1] + j), *right = here + 2 * n[1], *left = here - 2 * n[1],
                   *up = here + 2, *down = here - 2;
      /* Im conj(psi) (x d_y - y d_x) psi */
      const double slope_re = x[i] * (up[0] - down[0]) / (y[j + 1] - y[j - 1]) -
                              y[j] * (right[0] - left[0]) / (x[i + 1] - x[i - 1]),
                   slope_im = x[i] * (up[1] - down[1]) / (y[j + 1] - y[j - 1]) -
                              y[j] * (right[1] - left[1]) / (x[i + 1] - x[i - 1]);
      sum += here[0] * slope_im - here[1] * slope_re;
      norm += here[0] * here[0] + here[1] * here[1];
    }
  return sum / norm;
}

/* An electron lowers its energy by turning with l < 0, its moment along the field; a hole does
 * the reverse. */
static void check_sense(qds_context *ctx) {
  const char grid[] =
      "{x: {from_nm: -100, to_nm: 100, nodes: 101}, y: {from_nm: -100, to_nm: 100, nodes: 101}}";
  plan p = {grid, parabola, NULL, {0, 0, 5}, NULL, 3};
  qds_result *r = solve(ctx, &p);
  for (int s = 0; s < 3; s++) assert_close(angular_momentum(r, s), -s, 0.02);
  qds_result_destroy(r);
  p.potential = "-0.5*k*(x^2+y^2)";
  p.more = "carrier: heavy_hole\n";
  r = solve(ctx, &p);
  for (int s = 0; s < 3; s++) {
    assert_close(angular_momentum(r, s), s, 0.02);
    if (s) assert_true(qds_result_energies_eV(r)[s] < qds_result_energies_eV(r)[s - 1]);
  }
  qds_result_destroy(r);
}

static void sense_of_rotation(void **state) {
  (void)state;
  with_context(1, check_sense);
}

/* A field too weak to matter gives the real solver's levels, degenerate ones included. */
static void check_weak(qds_context *ctx) {
  plan p = {fine, parabola, NULL, {0, 0, 0}, NULL, 6};
  qds_result *r = solve(ctx, &p);
  p.tesla[2] = 1e-9;
  qds_result *weak = solve(ctx, &p);
  assert_true(qds_result_is_complex(weak) && !qds_result_is_complex(r));
  for (int s = 0; s < 6; s++)
    assert_close(qds_result_energies_eV(weak)[s], qds_result_energies_eV(r)[s], 1e-11);
  qds_result_destroy(r);
  qds_result_destroy(weak);
}

static void weak_field_is_no_field(void **state) {
  (void)state;
  with_context(1, check_weak);
}

/* --- input
 * -------------------------------------------------------------------------------------------------------- */

static void expect_refusal(qds_context *ctx, const char *grid, const char *field, const char *message) {
  char text[600];
  qds_device *device;
  snprintf(text, sizeof text,
           "materials:\n  M: {mass: 1, band_edge_eV: 0}\nbackground: M\ngrid: %s\nmagnetic_field: %s\n", grid,
           field);
  assert_fails(qds_device_parse(ctx, "field.yaml", text, NULL, &device), QDS_ERROR_INPUT, message);
  assert_non_null(strstr(qds_last_error()->message, "field.yaml:5: magnetic_field"));
}

static void check_input(qds_context *ctx) {
  const char flat[] = "{x: {from_nm: 0, to_nm: 9, nodes: 10}, y: {from_nm: 0, to_nm: 9, nodes: 10}}";
  expect_refusal(ctx, flat, "5", "map");
  expect_refusal(ctx, flat, "{gauge: symmetric}", "tesla");
  expect_refusal(ctx, flat, "{tesla: [0, 0, 1], gage: symmetric}", "gauge");
  expect_refusal(ctx, flat, "{tesla: [0, 0, 1], gauge: landau}", "landau_x");
  expect_refusal(ctx, flat, "{tesla: [0, 1]}", "3");
  expect_refusal(ctx, flat, "{tesla: [0, 0, 1e9]}", "1e+09 T along z");
  expect_refusal(ctx, flat, "{tesla: [0, 1, 2]}", "write [0, 0, 2]");
  expect_refusal(ctx, "{x: {from_nm: 0, to_nm: 9, nodes: 10}}", "{tesla: [0, 0, 1]}", "1 dimension");
  expect_refusal(
      ctx,
      "{x: {from_nm: 0, to_nm: 9, nodes: 10}, y: {from_nm: 0, to_nm: 9, nodes: 10}, boundary: {y: periodic}}",
      "{tesla: [0, 0, 1]}", "axis y are periodic");
}

static void bad_input_is_refused(void **state) {
  (void)state;
  with_context(1, check_input);
}

/* Poisson's equation goes with a field, filling the states does not. */
static void check_self_consistent(qds_context *ctx) {
  const char flat[] = "materials:\n  M: {mass: 0.1, band_edge_eV: 0, permittivity: 10}\nbackground: M\n"
                      "grid: {x: {from_nm: 0, to_nm: 20, nodes: 11}, y: {from_nm: 0, to_nm: 20, nodes: 11}}\n"
                      "magnetic_field: {tesla: [0, 0, %d]}\n"
                      "electrostatics: {contacts: [{face: x-, potential_V: 0}]}\nself_consistent: "
                      "{electrons: {total_cm1: 1.0e6}}\n";
  char text[800];
  qds_device *device;
  snprintf(text, sizeof text, flat, 1);
  assert_fails(qds_device_parse(ctx, "field.yaml", text, NULL, &device), QDS_ERROR_INPUT,
               "a magnetic field cannot be combined");
  snprintf(text, sizeof text, flat, 0);
  assert_ok(qds_device_parse(ctx, "field.yaml", text, NULL, &device));
  qds_device_destroy(device);
}

static void self_consistent_is_refused(void **state) {
  (void)state;
  with_context(1, check_self_consistent);
}

/* The configuration in force names the gauge and how many iterations the solver may take. */
static void check_configuration(qds_context *ctx) {
  qds_device *device;
  assert_ok(
      qds_device_parse(ctx, "field.yaml",
                       "materials:\n  M: {mass: 1, band_edge_eV: 0}\nbackground: M\n"
                       "grid: {x: {from_nm: 0, to_nm: 9, nodes: 10}, y: {from_nm: 0, to_nm: 9, nodes: 10}}\n"
                       "magnetic_field: {tesla: [0, 0, 1]}\n",
                       NULL, &device));
  assert_non_null(strstr(qds_device_configuration(device), "gauge: symmetric"));
  assert_non_null(strstr(qds_device_configuration(device), "max_iterations: 1000"));
  qds_device_destroy(device);
}

static void configuration_names_the_gauge(void **state) {
  (void)state;
  with_context(1, check_configuration);
}

static qds_status solve_and_destroy(qds_context *ctx, void *data) {
  qds_result *r;
  const qds_status status = try_solve(ctx, data, &r);
  if (status != QDS_OK) assert_null(r);
  qds_result_destroy(r);
  return status;
}

static void check_memory(qds_context *ctx) {
  const char grid[] = "{x: {from_nm: -40, to_nm: 40, nodes: 13}, y: {from_nm: -40, to_nm: 40, nodes: 13}}";
  plan p = {grid, parabola, NULL, {0, 0, 5}, "landau_x", 2};
  assert_ok(solve_and_destroy(ctx, &p)); /* loads BLAS */
  fail_each_allocation(ctx, solve_and_destroy, &p);
}

static void memory_runs_out(void **state) {
  (void)state;
  with_context(1, check_memory);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(fock_darwin_levels),
      cmocka_unit_test(landau_levels),
      cmocka_unit_test(field_along_z_in_3d),
      cmocka_unit_test(tilted_field_in_3d),
      cmocka_unit_test(hard_walls_in_a_field),
      cmocka_unit_test(gauges_agree),
      cmocka_unit_test(device_agrees_with_the_cpu),
      cmocka_unit_test(reversed_field),
      cmocka_unit_test(sense_of_rotation),
      cmocka_unit_test(weak_field_is_no_field),
      cmocka_unit_test(bad_input_is_refused),
      cmocka_unit_test(self_consistent_is_refused),
      cmocka_unit_test(configuration_names_the_gauge),
      cmocka_unit_test(memory_runs_out),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}

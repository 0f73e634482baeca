/* Poisson's equation on a device's grid. */
#include "dot/poisson.h"

#include "base/units.h"
#include "support.h"

static const double pi = 3.14159265358979323846;

/* A device of material "a" with region lines, on a grid of n nodes per axis from -10 to 10 nm. */
static qds_device *device_of(qds_context *ctx, int dimension, int order, int64_t n, const char *more) {
  static const char *const names = "xyz";
  char text[2048], *end = text;
  qds_device *device = NULL;
  end += sprintf(end,
                 "materials: {a: {mass: 1, band_edge_eV: 0}, b: {mass: 1, band_edge_eV: 0}}\n"
                 "background: a\nstates: 1\ngrid:\n  order: %d\n",
                 order);
  for (int a = 0; a < dimension; a++)
    end += sprintf(end, "  %c: {from_nm: -10, to_nm: 10, nodes: %lld}\n", names[a], (long long)n);
  sprintf(end, "%s\n", more);
  assert_ok(qds_device_parse(ctx, "test.yaml", text, NULL, &device));
  return device;
}

/* Of the context's device; NULL: the CPU. */
static qds_stream *place(qds_context *ctx) {
  return qds_context_accelerator(ctx) ? qds_context_stream(ctx) : NULL;
}

static void solve(const qds_device *device, const double *permittivity, const qds_contacts *contacts,
                  const double *charge, double *potential) {
  QDS_AUTO(qds_poisson) *p = NULL;
  assert_ok(qds_poisson_create(device, permittivity, contacts, place(device->ctx), &p));
  assert_ok(qds_poisson_solve(p, charge, potential, NULL));
}

/* User coordinates of a node. */
static void position(const qds_device *d, int64_t node, double *x) {
  for (int a = 2; a >= 3 - d->dimension; a--) {
    x[a - (3 - d->dimension)] = d->axis[a]->coordinates_nm[node % d->axis[a]->nodes];
    node /= d->axis[a]->nodes;
  }
}

static double weight(const qds_device *d, int64_t node) {
  double product = 1;
  for (int a = 2; a >= 0; a--) {
    product *= d->axis[a]->weights_nm[node % d->axis[a]->nodes];
    node /= d->axis[a]->nodes;
  }
  return product;
}

static double *numbers(const qds_device *d) {
  double *array = calloc((size_t)qds_device_nodes(d), sizeof *array);
  assert_non_null(array);
  return array;
}

/* Between two plates the potential is linear and each holds eps V / distance, in any dimension and order. */
static void plate_capacitor(qds_context *ctx) {
  const qds_contacts plates = {.is_contact = {{1, 1}}, .potential_V = {{-0.25, 1.25}}};
  for (int dimension = 1; dimension <= 3; dimension++)
    for (int order = 1; order <= 4; order++) {
      qds_device *d = device_of(ctx, dimension, order, dimension == 1 ? 97 : 13, "");
      double *charge = numbers(d), *potential = numbers(d), x[3];
      const double permittivity = 12.9;
      QDS_AUTO(qds_poisson) *p = NULL;
      assert_ok(qds_poisson_create(d, &permittivity, &plates, place(ctx), &p));
      assert_ok(qds_poisson_solve(p, charge, potential, NULL));
      for (int64_t i = 0; i < qds_device_nodes(d); i++) {
        position(d, i, x);
        assert_close(potential[i], -0.25 + 1.5 * (x[0] + 10) / 20, 1e-12);
      }
      const double area = pow(20, dimension - 1),
                   expected = QDS_VACUUM_PERMITTIVITY * permittivity * 1.5 / 20 * area;
      assert_close(qds_poisson_contact_charge(p, charge, potential, 0, 1), expected, 1e-11 * area);
      assert_close(qds_poisson_contact_charge(p, charge, potential, 0, 0), -expected, 1e-11 * area);
      free(charge);
      free(potential);
      qds_device_destroy(d);
    }
}

/* Two dielectrics in series: kinked where they meet, also inside a cell (order 1). */
static void dielectric_step(qds_context *ctx) {
  const qds_contacts plates = {.is_contact = {{1, 1}}, .potential_V = {{0, 1}}};
  const double permittivity[2] = {12.9, 3.9}, where[] = {2.0, 2.3, -4.0};
  const int orders[] = {1, 1, 4};
  for (int dimension = 1; dimension <= 2; dimension++)
    for (int c = 0; c < 3; c++) {
      char region[128];
      sprintf(region, "regions: [{shape: layer, axis: x, from_nm: %g, to_nm: 10, material: b}]", where[c]);
      qds_device *d = device_of(ctx, dimension, orders[c], 41, region);
      double *charge = numbers(d), *potential = numbers(d), x[3];
      solve(d, permittivity, &plates, charge, potential);
      const double left = where[c] + 10, right = 10 - where[c];
      const double flux = 1 / (left / permittivity[0] + right / permittivity[1]);
      for (int64_t i = 0; i < qds_device_nodes(d); i++) {
        position(d, i, x);
        const double expected = x[0] <= where[c] ? flux * (x[0] + 10) / permittivity[0]
                                                 : 1 - flux * (10 - x[0]) / permittivity[1];
        assert_close(potential[i], expected, 1e-12);
      }
      free(charge);
      free(potential);
      qds_device_destroy(d);
    }
}

/* Positive charge between grounded plates makes the middle positive: rho L^2 / (8 eps). */
static void charge_between_plates(qds_context *ctx) {
  const qds_contacts plates = {.is_contact = {{1, 1}}};
  const double permittivity = 10, rho = 1e-3;
  qds_device *d = device_of(ctx, 1, 1, 41, "");
  double *charge = numbers(d), *potential = numbers(d);
  for (int i = 0; i < 41; i++) charge[i] = rho;
  solve(d, &permittivity, &plates, charge, potential);
  assert_close(potential[20], rho * 400 / (8 * permittivity * QDS_VACUUM_PERMITTIVITY), 1e-12);
  free(charge);
  free(potential);
  qds_device_destroy(d);
}

/* On fine lines rounding keeps residuals above a fixed tolerance, and the potential is as exact as the
 * operator, whose rounding counts with the square of the nodes. The parabola is else exact at the nodes. */
static void fine_lines(qds_context *ctx) {
  static const int64_t counts[] = {4001, 16001, 40001};
  const double permittivity = 12.9, rho = 1e-4, eps = permittivity * QDS_VACUUM_PERMITTIVITY;
  for (int c = 0; c < 3; c++)
    for (int both = 0; both < 2; both++) {
      const qds_contacts contacts = {.is_contact = {{1, both}}};
      qds_device *d = device_of(ctx, 1, 1, counts[c], "");
      double *charge = numbers(d), *potential = numbers(d), x[3], error = 0, largest = 0;
      for (int64_t i = 0; i < counts[c]; i++) charge[i] = rho;
      solve(d, &permittivity, &contacts, charge, potential);
      for (int64_t i = 0; i < counts[c]; i++) {
        position(d, i, x);
        const double from = x[0] + 10, exact = rho / (2 * eps) * from * ((both ? 20 : 40) - from);
        largest = fmax(largest, exact);
        error = fmax(error, fabs(potential[i] - exact));
      }
      assert_true(error <= 4e-17 * largest * pow((double)counts[c], 2));
      free(charge);
      free(potential);
      qds_device_destroy(d);
    }
}

/* sin(pi (x + 10) / 20) cos(pi (y + 10) / 20): zero on the contacts of x, no field through the ends of y,
 * though the wave functions have walls there. The error at the ends of elements. */
static double wave_error(qds_context *ctx, int dimension, int order, int64_t elements) {
  const qds_contacts contacts = {.is_contact = {{1, 1}}};
  const double permittivity = 7, k = pi / 20;
  qds_device *d = device_of(ctx, dimension, order, order * elements + 1, "");
  double *charge = numbers(d), *potential = numbers(d), x[3] = {0, -10, 0}, error = 0;
  for (int pass = 0; pass < 2; pass++) {
    for (int64_t i = 0; i < qds_device_nodes(d); i++) {
      position(d, i, x);
      const double exact = sin(k * (x[0] + 10)) * cos(k * (x[1] + 10));
      charge[i] = dimension * k * k * permittivity * QDS_VACUUM_PERMITTIVITY * exact;
      const int64_t n2 = d->axis[2]->nodes;
      if (pass == 1 && i / n2 % order == 0 && i % n2 % order == 0)
        error = fmax(error, fabs(potential[i] - exact));
    }
    if (pass == 0) solve(d, &permittivity, &contacts, charge, potential);
  }
  free(charge);
  free(potential);
  qds_device_destroy(d);
  return error;
}

static void converges_with_order_2p(qds_context *ctx) {
  static const int64_t elements[5] = {0, 24, 6, 6, 4};
  for (int dimension = 1; dimension <= 2; dimension++)
    for (int order = 1; order <= 4; order++) {
      const double coarse = wave_error(ctx, dimension, order, elements[order]),
                   fine = wave_error(ctx, dimension, order, 2 * elements[order]);
      assert_close(log2(coarse / fine), 2 * order, 0.15);
    }
}

/* A dielectric disk (ball): the flux r (1 - r^2 / 64)^2 / c ends inside the grid, so that every face lies on
 * 0 V, and crosses the surface at radius 5. The error of the potential in the mean and at worst. */
static void round_error(qds_context *ctx, int dimension, int64_t n, double *mean, double *worst) {
  const double permittivity[2] = {12.9, 3.9}, end = 8, radius = 5.03;
  const qds_contacts contacts = {.is_contact = {{1, 1}, {1, 1}, {dimension == 3, dimension == 3}}};
  qds_device *d = device_of(
      ctx, dimension, 1, n,
      dimension == 2 ? "regions: [{shape: ellipsoid, center_nm: [0, 0], radii_nm: [5.03, 5.03], material: b}]"
                     : "regions: [{shape: ellipsoid, center_nm: [0, 0, 0], radii_nm: [5.03, 5.03, 5.03], "
                       "material: b}]");
  double *charge = numbers(d), *potential = numbers(d), x[3] = {0, 0, 0}, square = 0, volume = 0;
  for (int64_t i = 0; i < qds_device_nodes(d); i++) {
    position(d, i, x);
    const double r2 = x[0] * x[0] + x[1] * x[1] + x[2] * x[2], rest = 1 - r2 / (end * end);
    if (rest > 0) charge[i] = 1e-2 * (dimension * rest * rest - 4 * r2 / (end * end) * rest);
  }
  solve(d, permittivity, &contacts, charge, potential);
  *worst = 0;
  for (int64_t i = 0; i < qds_device_nodes(d); i++) {
    position(d, i, x);
    const double r = sqrt(x[0] * x[0] + x[1] * x[1] + x[2] * x[2]);
    const double at = pow(fmax(1 - r * r / (end * end), 0), 3),
                 surface = pow(1 - radius * radius / (end * end), 3), scale = 1e-2 * end * end / 6;
    const double outer = scale / (QDS_VACUUM_PERMITTIVITY * permittivity[0]),
                 inner = scale / (QDS_VACUUM_PERMITTIVITY * permittivity[1]);
    const double exact = r > radius ? outer * at : outer * surface + inner * (at - surface);
    *worst = fmax(*worst, fabs(potential[i] - exact));
    square += weight(d, i) * pow(potential[i] - exact, 2);
    volume += weight(d, i);
  }
  *mean = sqrt(square / volume);
  free(charge);
  free(potential);
  qds_device_destroy(d);
}

static void converges_at_curved_surfaces(qds_context *ctx) {
  for (int dimension = 2; dimension <= 3; dimension++) {
    const int64_t n = dimension == 2 ? 31 : 17;
    double mean[2], worst[2];
    round_error(ctx, dimension, n, &mean[0], &worst[0]);
    round_error(ctx, dimension, dimension == 2 ? 4 * n : 2 * n + 1, &mean[1], &worst[1]);
    const double steps = dimension == 2 ? 2 : 1;
    print_message("%dD: order %.2f in the mean, %.2f at worst (error %.1e V)\n", dimension,
                  log2(mean[0] / mean[1]) / steps, log2(worst[0] / worst[1]) / steps, worst[1]);
    assert_true(log2(mean[0] / mean[1]) / steps >= 0.9);
    assert_true(log2(worst[0] / worst[1]) / steps >= 0.9);
  }
}

/* The charges on the contacts cancel the charge between them. */
static void gauss_law(qds_context *ctx) {
  const qds_contacts contacts = {.is_contact = {{1, 0}, {0, 1}}, .potential_V = {{0.3, 0}, {0, -0.2}}};
  const double permittivity[2] = {12.9, 1};
  for (int order = 1; order <= 4; order++) {
    qds_device *d = device_of(
        ctx, 2, order, 25, "regions: [{shape: ellipsoid, center_nm: [1, 2], radii_nm: [3, 4], material: b}]");
    double *charge = numbers(d), *potential = numbers(d), x[3], total = 0;
    QDS_AUTO(qds_poisson) *p = NULL;
    for (int64_t i = 0; i < qds_device_nodes(d); i++) {
      position(d, i, x);
      charge[i] = hypot(x[0] - 2, x[1] + 1) < 5 ? 1e-3 : 0;
      total += weight(d, i) * charge[i];
    }
    assert_ok(qds_poisson_create(d, permittivity, &contacts, place(ctx), &p));
    assert_ok(qds_poisson_solve(p, charge, potential, NULL));
    const double sum = qds_poisson_contact_charge(p, charge, potential, 0, 0) +
                       qds_poisson_contact_charge(p, charge, potential, 1, 1);
    assert_close(sum, -total, 1e-11);
    assert_true(total > 0.05);
    free(charge);
    free(potential);
    qds_device_destroy(d);
  }
}

/* With no contact a neutral charge gives a potential of zero mean. */
static void no_contact(qds_context *ctx) {
  const qds_contacts none = {0};
  const double permittivity = 7, k = pi / 20;
  for (int periodic = 0; periodic < 2; periodic++) {
    qds_device *d = device_of(ctx, 2, 2, 65, periodic ? "boundary: {x: periodic}" : "");
    double *charge = numbers(d), *potential = numbers(d), x[3], mean = 0;
    const double wave = periodic ? 2 * k : k;
    for (int64_t i = 0; i < qds_device_nodes(d); i++) {
      position(d, i, x);
      charge[i] = cos(wave * (x[0] + 10)) * cos(k * (x[1] + 10));
    }
    solve(d, &permittivity, &none, charge, potential);
    for (int64_t i = 0; i < qds_device_nodes(d); i++) {
      mean += weight(d, i) * potential[i];
      assert_close(potential[i] * (wave * wave + k * k) * permittivity * QDS_VACUUM_PERMITTIVITY, charge[i],
                   1e-5);
    }
    assert_close(mean, 0, 1e-9);
    free(charge);
    free(potential);
    qds_device_destroy(d);
  }
}

static void refuses_charge_without_contact(qds_context *ctx) {
  const qds_contacts none = {0};
  const double permittivity = 7;
  qds_device *d = device_of(ctx, 1, 1, 21, "");
  double *charge = numbers(d), *potential = numbers(d);
  QDS_AUTO(qds_poisson) *p = NULL;
  charge[10] = 1e-3;
  assert_ok(qds_poisson_create(d, &permittivity, &none, place(ctx), &p));
  assert_true(qds_poisson_is_closed(p));
  assert_fails(qds_poisson_solve(p, charge, potential, NULL), QDS_ERROR_INPUT,
               "its charge adds up to 0.001 e per nm^2; add a contact");
  free(charge);
  free(potential);
  qds_device_destroy(d);
}

/* Nothing charged, nothing applied. */
static void nothing(qds_context *ctx) {
  const qds_contacts grounded = {.is_contact = {{1, 0}}}, none = {0};
  const double permittivity = 1;
  qds_device *d = device_of(ctx, 3, 1, 9, "");
  double *charge = numbers(d), *potential = numbers(d);
  solve(d, &permittivity, &grounded, charge, potential);
  solve(d, &permittivity, &none, charge, potential);
  for (int64_t i = 0; i < qds_device_nodes(d); i++) assert_true(potential[i] == 0);
  free(charge);
  free(potential);
  qds_device_destroy(d);
}

static qds_status tiny(qds_context *ctx, void *data) {
  const qds_contacts contacts = {.is_contact = {{1, 0}}, .potential_V = {{1, 0}}};
  const double permittivity = 7;
  const qds_device *d = data;
  double charge[25], potential[25];
  QDS_AUTO(qds_poisson) *p = NULL;
  (void)ctx;
  for (int i = 0; i < 25; i++) charge[i] = 1e-4;
  QDS_TRY(qds_poisson_create(d, &permittivity, &contacts, place(ctx), &p));
  return qds_poisson_solve(p, charge, potential, NULL);
}

/* --- Newton's method ------------------------------------------------------------------------------------ */

/* The steps of Newton's method at order and place, and what they leave. */
typedef struct {
  const qds_device *device;
  qds_contacts contacts;
  int conserved;
  double *charge, *slope, *potential; /* nodes */
  double *step;
  double descent, there;
} newton;

static qds_status block_of(qds_context *ctx, qds_stream *stream, const double *from, int64_t nodes,
                           qds_block *out) {
  const qds_block host = {(double *)(uintptr_t)from, nodes, nodes, 1, NULL};
  QDS_TRY(qds_block_create_on(ctx, stream, nodes, 1, "test", out));
  return qds_block_copy(&host, out);
}

/* Corrects twice with another slope in between, then without; the last step comes home. */
static qds_status correct(qds_context *ctx, qds_stream *stream, newton *n) {
  const double permittivity[2] = {12.9, 3.9};
  const int64_t nodes = qds_device_nodes(n->device);
  __attribute__((cleanup(qds_block_clear))) qds_block charge = {0}, slope = {0}, potential = {0}, step = {0};
  QDS_AUTO(qds_poisson) *p = NULL;
  QDS_TRY(qds_poisson_create(n->device, permittivity, &n->contacts, stream, &p));
  QDS_TRY(block_of(ctx, stream, n->charge, nodes, &charge));
  QDS_TRY(block_of(ctx, stream, n->slope, nodes, &slope));
  QDS_TRY(block_of(ctx, stream, n->potential, nodes, &potential));
  QDS_TRY(block_of(ctx, stream, n->potential, nodes, &step));
  const qds_poisson_charge with = {&charge, &slope, n->conserved, 1e-12},
                           other = {&charge, &charge, 0, 1e-12}, without = {&charge, NULL, 0, 1e-12};
  int iterations = 0;
  double unused;
  QDS_TRY(qds_poisson_correct(p, &without, &potential, &step, &unused, NULL));
  QDS_TRY(qds_poisson_correct(p, &other, &potential, &step, &unused, NULL));
  QDS_TRY(qds_poisson_correct(p, &with, &potential, &step, &n->descent, &iterations));
  QDS_TRY(qds_poisson_descent(p, &charge, &potential, &step, &n->there));
  qds_block home = {n->step, nodes, nodes, 1, NULL};
  QDS_TRY(qds_block_copy(&step, &home));
  return iterations > 0 && iterations < 60 ? QDS_OK : QDS_ERROR_CONVERGENCE;
}

static newton newton_of(qds_context *ctx, int dimension, int order, int contacts, int periodic) {
  newton n = {.device = device_of(ctx, dimension, order, dimension == 3 ? 13 : 37,
                                  periodic ? "boundary: {x: periodic}"
                                           : "regions: [{shape: layer, axis: x, from_nm: 1, to_nm: 10, "
                                             "material: b}]"),
              .conserved = !contacts};
  if (contacts) n.contacts = (qds_contacts){.is_contact = {{!periodic, 0}, {0, dimension > 1}}};
  if (contacts && periodic) n.contacts.is_contact[1][0] = 1;
  double **const arrays[] = {&n.charge, &n.slope, &n.potential, &n.step};
  for (int i = 0; i < 4; i++) *arrays[i] = numbers(n.device);
  for (int64_t i = 0; i < qds_device_nodes(n.device); i++) {
    double x[3] = {0, 0, 0};
    position(n.device, i, x);
    n.slope[i] = 1e-3 * exp(-0.1 * (x[0] * x[0] + x[1] * x[1] + x[2] * x[2]));
    n.charge[i] = 1e-4 * (1 + cos(pi * x[0] / 10));
    n.potential[i] = periodic ? 0.01 * cos(pi * x[0] / 10) : 0.01 * x[0];
  }
  return n;
}

static void newton_clear(newton *n) {
  double *const arrays[] = {n->charge, n->slope, n->potential, n->step};
  for (int i = 0; i < 4; i++) free(arrays[i]);
  qds_device_destroy((qds_device *)(uintptr_t)n->device);
}

/* On the context's device as on the CPU, in every dimension, order and kind of boundary; the descent that is
 * left along the step is that at its start. */
static void steps_are_the_cpus(qds_context *ctx) {
  for (int dimension = 1; dimension <= 3; dimension++)
    for (int order = 1; order <= 4; order += dimension == 3 ? 2 : 1)
      for (int kind = 0; kind < 4; kind++) {
        const int contacts = kind % 2, periodic = kind / 2;
        if (dimension == 1 && contacts && periodic) continue;
        newton n = newton_of(ctx, dimension, order, contacts, periodic);
        double *expected = numbers(n.device), size = 0;
        assert_ok(correct(ctx, NULL, &n));
        memcpy(expected, n.step, sizeof(double) * (size_t)qds_device_nodes(n.device));
        const double descent = n.descent;
        assert_true(descent > 0);
        assert_close(n.there, descent, 1e-9 * descent);
        assert_ok(correct(ctx, place(ctx), &n));
        assert_close(n.descent, descent, 1e-9 * descent);
        for (int64_t i = 0; i < qds_device_nodes(n.device); i++) size = fmax(size, fabs(expected[i]));
        for (int64_t i = 0; i < qds_device_nodes(n.device); i++)
          assert_close(n.step[i], expected[i], 1e-9 * size);
        free(expected);
        newton_clear(&n);
      }
}

static qds_status correct_somewhere(qds_context *ctx, void *data) {
  return correct(ctx, place(ctx), data);
}

static void what_fails_leaves_nothing(qds_context *ctx) {
  newton n = newton_of(ctx, 2, 1, 0, 0);
  assert_ok(correct_somewhere(ctx, &n));
  assert_true(fail_each_allocation(ctx, correct_somewhere, &n) > 40);
  if (strncmp(qds_context_device(ctx), "sim", 3) == 0) {
    assert_int_equal(fail_each_on_device(ctx, QDS_INJECT_LAUNCH, 40, correct_somewhere, &n), 40);
    assert_int_equal(fail_each_on_device(ctx, QDS_INJECT_COPY, 40, correct_somewhere, &n), 40);
    assert_true(fail_each_on_device(ctx, QDS_INJECT_ALLOCATION, 3, correct_somewhere, &n) >= 0);
  }
  newton_clear(&n);
}

static void out_of_memory(qds_context *ctx) {
  qds_device *d = device_of(ctx, 2, 1, 5, "");
  assert_ok(tiny(ctx, d)); /* loads the BLAS library */
  assert_true(fail_each_allocation(ctx, tiny, d) > 20);
  qds_device_destroy(d);
}

#define TEST_IN_CONTEXT(name)                                                                                \
  static void test_##name(void **state) {                                                                    \
    (void)state;                                                                                             \
    with_context(2, name);                                                                                   \
  }
TEST_IN_CONTEXT(plate_capacitor)
TEST_IN_CONTEXT(dielectric_step)
TEST_IN_CONTEXT(charge_between_plates)
TEST_IN_CONTEXT(fine_lines)
TEST_IN_CONTEXT(converges_with_order_2p)
TEST_IN_CONTEXT(converges_at_curved_surfaces)
TEST_IN_CONTEXT(gauss_law)
TEST_IN_CONTEXT(no_contact)
TEST_IN_CONTEXT(refuses_charge_without_contact)
TEST_IN_CONTEXT(nothing)
TEST_IN_CONTEXT(steps_are_the_cpus)
TEST_IN_CONTEXT(what_fails_leaves_nothing)
TEST_IN_CONTEXT(out_of_memory)

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_plate_capacitor),
      cmocka_unit_test(test_dielectric_step),
      cmocka_unit_test(test_charge_between_plates),
      cmocka_unit_test(test_fine_lines),
      cmocka_unit_test(test_converges_with_order_2p),
      cmocka_unit_test(test_converges_at_curved_surfaces),
      cmocka_unit_test(test_gauss_law),
      cmocka_unit_test(test_no_contact),
      cmocka_unit_test(test_refuses_charge_without_contact),
      cmocka_unit_test(test_nothing),
      cmocka_unit_test(test_steps_are_the_cpus),
      cmocka_unit_test(test_what_fails_leaves_nothing),
      cmocka_unit_test(test_out_of_memory),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}

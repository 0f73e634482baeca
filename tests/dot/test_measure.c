/* What is measured on states where they lie, and the wave functions that come home on demand, against the
 * sums over all nodes written out. */
#include "exact_support.h"

#include "base/philox.h"
#include "dot/maps.h"
#include "dot/measure.h"
#include "la/tensor_operator.h"
#include "qdsim/memory.h"

enum { STATES = 3, SEED = 20261130 };

static const char grid_3d[] =
    "x: {from_nm: -3, to_nm: 4, nodes: 15}, y: {from_nm: -2, to_nm: 4, nodes: 12,"
    " refine: [{from_nm: 0, to_nm: 1, factor: 2}]}, z: {from_nm: -3, to_nm: 3, nodes: 13}";
static const char regions_3d[] =
    "[{shape: layer, axis: z, from_nm: 0.1, to_nm: 1.3, material: b}, {shape: dome,"
    " base_center_nm: [0, 1, 0.1], radius_nm: 2.5, height_nm: 2, material: a}]";
static const char *const grids[] = {
    "x: {from_nm: -3, to_nm: 4, nodes: 60}",
    "x: {from_nm: -3, to_nm: 4, nodes: 21}, y: {from_nm: -2, to_nm: 4, nodes: 18}",
    grid_3d,
};
static const char *const regions[] = {
    "[{shape: layer, axis: x, from_nm: -1.2, to_nm: 2.1, material: a}]",
    "[{shape: ellipsoid, center_nm: [0, 1], radii_nm: [2, 2.5], material: a}]",
    regions_3d,
};
static const char *const ends[] = {"dirichlet", "neumann", "periodic"};

static void read_device(qds_context *ctx, int dimension, int end, qds_device **out) {
  char text[DEVICE_TEXT];
  static const char *const names[] = {"x", "y", "z"};
  size_t used = (size_t)snprintf(
      text, sizeof text,
      "{materials: {a: {mass: 0.1, band_edge_eV: 0}, b: {mass: 0.2, band_edge_eV: 0.1}, out: {mass: 0.1,"
      " band_edge_eV: 0.3}}, background: out, states: 3, grid: {%s}, regions: %s, boundary: {",
      grids[dimension - 1], regions[dimension - 1]);
  for (int a = 0; a < dimension; a++)
    used += (size_t)snprintf(text + used, sizeof text - used, "%s: %s, ", names[a], ends[(end + a) % 3]);
  snprintf(text + used, sizeof text - used, "}}");
  assert_ok(qds_device_parse(ctx, "dot.yaml", text, NULL, out));
}

/* psi on the nodes as the definition has it, its phase not turned. */
static void unscale(const qds_tensor_operator *t, const double *u, int parts, double *psi) {
  for (int64_t i = 0, node = 0; i < t->axis[0]->nodes; i++)
    for (int64_t j = 0; j < t->axis[1]->nodes; j++)
      for (int64_t k = 0; k < t->axis[2]->nodes; k++, node++) {
        const int64_t at[3] = {i, j, k};
        int64_t row = 0;
        double scale = 1;
        for (int a = 0; a < 3 && row >= 0; a++) {
          const int64_t unknown = qds_axis_unknown(t->axis[a], at[a]);
          row = unknown < 0 ? -1 : row * t->n[a] + unknown;
          if (row >= 0) scale *= t->axis[a]->scale[unknown];
        }
        for (int part = 0; part < parts; part++)
          psi[node * parts + part] = row < 0 ? 0 : u[part * t->rows + row] * scale;
      }
}

typedef struct {
  double position[3], spread[3], probability[3];
  double re, im, square; /* psi where |psi| is largest */
} expectation;

static expectation expect(const qds_device *d, const qds_runs *volumes, int parts, const double *psi) {
  expectation e = {.square = -1};
  const int64_t n1 = d->axis[1]->nodes, n2 = d->axis[2]->nodes;
  for (int pass = 0; pass < 2; pass++)
    for (int64_t node = 0; node < qds_device_nodes(d); node++) {
      const int64_t at[3] = {node / (n1 * n2), node / n2 % n1, node % n2};
      const double re = psi[node * parts], im = parts == 2 ? psi[node * parts + 1] : 0,
                   square = re * re + im * im;
      double weight = square;
      for (int a = 0; a < 3; a++) weight *= d->axis[a]->weights_nm[at[a]];
      for (int user = 0; user < d->dimension; user++) {
        const int a = qds_device_axis(d, user);
        const double x = d->axis[a]->coordinates_nm[at[a]];
        if (pass == 0)
          e.position[user] += weight * x;
        else
          e.spread[user] += weight * pow(x - e.position[user], 2);
      }
      if (pass == 1) continue;
      const double *fraction =
          volumes->table + d->materials * (int64_t)qds_runs_row(volumes, node / n2, at[2]);
      for (int m = 0; m < d->materials; m++) e.probability[m] += weight * fraction[m];
      if (square <= e.square) continue;
      e.re = re;
      e.im = im;
      e.square = square;
    }
  for (int user = 0; user < d->dimension; user++) e.spread[user] = sqrt(e.spread[user]);
  return e;
}

/* Smooth vectors of length 1 with some noise. */
static void fill(const qds_tensor_operator *t, int parts, qds_block *x) {
  for (int s = 0; s < x->columns; s++) {
    double sum = 0, *u = qds_block_column(x, s);
    for (int64_t i = 0; i < x->rows; i++) {
      u[i] = sin(1.0 + (double)(i % t->n[2]) * (s + 1) / 7) +
             0.3 * qds_random_uniform(SEED, (uint64_t)(parts * 10 + s), (uint64_t)i);
      sum += u[i] * u[i];
    }
    for (int64_t i = 0; i < x->rows; i++) u[i] *= (s % 2 ? -1 : 1) / sqrt(sum);
  }
}

static void compare_numbers(const qds_device *d, const expectation *e, const qds_moments *moments,
                            const double *probability, const qds_phase *phase, int parts) {
  for (int user = 0; user < d->dimension; user++) {
    assert_close(moments->position_nm[user], e->position[user], 1e-12);
    assert_close(moments->spread_nm[user], e->spread[user], 1e-12);
  }
  for (int m = 0; m < d->materials; m++) assert_close(probability[m], e->probability[m], 1e-13);
  assert_close(phase->re, e->re / sqrt(e->square), 1e-14);
  assert_close(phase->im, parts == 2 ? -e->im / sqrt(e->square) : 0, 1e-14);
}

/* Comes home, turned so that the largest value is positive, and stays. */
static void compare_psi(const qds_device *d, const qds_phase *phase, int parts, const double *expected,
                        const double *psi) {
  for (int64_t node = 0; node < qds_device_nodes(d); node++) {
    const double re = expected[node * parts], im = parts == 2 ? expected[node * parts + 1] : 0;
    assert_close(psi[node * parts], phase->re * re - phase->im * im, 1e-14);
    if (parts == 2) assert_close(psi[node * parts + 1], phase->im * re + phase->re * im, 1e-14);
  }
}

static void check(qds_context *ctx, int dimension, int end, int parts) {
  QDS_AUTO(qds_device) *d = NULL;
  QDS_AUTO(qds_maps) *maps = NULL;
  QDS_AUTO(qds_tensor_operator) *t = NULL;
  QDS_AUTO(qds_waves) *waves = NULL;
  qds_moments moments[STATES];
  double probability[STATES * 3], *expected[STATES];
  expectation e[STATES];
  qds_phase phases[STATES];
  qds_block host, x;
  read_device(ctx, dimension, end, &d);
  if (parts == 2) d->tesla[2] = 1; /* makes psi complex; nothing is solved */
  const qds_axis *const axis[3] = {d->axis[0], d->axis[1], d->axis[2]};
  assert_ok(qds_maps_create(d, &maps));
  assert_ok(qds_tensor_operator_create_bare(ctx, axis, (const int[3]){1, 1, 1}, &t));
  assert_ok(qds_block_create(ctx, parts * t->rows, STATES, "test", &host));
  fill(t, parts, &host);
  assert_ok(qds_block_create_on(ctx, qds_context_accelerator(ctx) ? qds_context_stream(ctx) : NULL,
                                parts * t->rows, STATES, "test", &x));
  assert_ok(qds_block_copy(&host, &x));
  assert_ok(qds_measure(d, t, qds_maps_volumes(maps), &x, STATES, moments, probability, phases));
  for (int s = 0; s < STATES; s++) {
    expected[s] = malloc(sizeof(double) * (size_t)(qds_device_nodes(d) * parts));
    unscale(t, qds_block_column(&host, s), parts, expected[s]);
    e[s] = expect(d, qds_maps_volumes(maps), parts, expected[s]);
    compare_numbers(d, &e[s], &moments[s], probability + d->materials * s, &phases[s], parts);
  }
  assert_ok(qds_waves_create(ctx, t, parts, STATES, phases, &x, &waves));
  assert_null(x.data);
  for (int s = STATES - 1; s >= 0; s--) {
    const double *psi, *again;
    assert_ok(qds_waves_psi(waves, s, &psi));
    compare_psi(d, &phases[s], parts, expected[s], psi);
    assert_ok(qds_waves_psi(waves, s, &again));
    assert_ptr_equal(psi, again);
  }
  for (int s = 0; s < STATES; s++) free(expected[s]);
  qds_block_clear(&host);
}

static void states_are_measured_where_they_lie(qds_context *ctx) {
  for (int dimension = 1; dimension <= 3; dimension++)
    for (int end = 0; end < 3; end++)
      for (int parts = 1; parts <= 2; parts++) check(ctx, dimension, end, parts);
}
static void test_states_are_measured_where_they_lie(void **state) {
  (void)state;
  with_context_on_each(2, states_are_measured_where_they_lie);
}

static const char dot[] =
    "{background: {mass: 0.1, band_edge_eV: 0.4}, states: 2, regions: [{shape: box, min_nm: [-2, -2, -2],"
    " max_nm: [2, 2, 2], material: {mass: 0.05, band_edge_eV: 0}}], grid: {x: {from_nm: -4, to_nm: 4, nodes:"
    " 14}, y: {from_nm: -4, to_nm: 4, nodes: 13}, z: {from_nm: -4, to_nm: 4, nodes: 12}}}";

static size_t device_bytes(qds_context *ctx) {
  qds_memory_pool_row row;
  size_t bytes = 0;
  for (size_t i = 0; qds_memory_pool(ctx, i, &row); i++)
    if (row.place == QDS_PLACE_DEVICE) bytes += row.used_bytes;
  return bytes;
}

/* A result keeps its states on the device until the last has come home. */
static void states_come_home_on_demand(qds_context *ctx) {
  QDS_AUTO(qds_result) *result = solve_text(ctx, dot);
  const int on_device = qds_context_accelerator(ctx) != NULL;
  const size_t states = sizeof(double) * 2 * 12 * 11 * 10, there = device_bytes(ctx);
  assert_true(there >= (on_device ? states : 0));
  const double *first = qds_result_psi(result, 1);
  assert_non_null(first);
  assert_int_equal(device_bytes(ctx), there);
  const double *other = qds_result_psi(result, 0);
  assert_ptr_equal(first, other + 14 * 13 * 12);
  assert_ptr_equal(first, qds_result_psi(result, 1));
  if (on_device) assert_true(device_bytes(ctx) <= there - states);
  assert_null(qds_result_psi(result, 2));
  assert_null(qds_result_psi_complex(result, 0));
}
static void test_states_come_home_on_demand(void **state) {
  (void)state;
  with_context_on_each(2, states_come_home_on_demand);
}

/* What cannot come home now may later. */
static void without_memory_there_is_no_psi(qds_context *ctx) {
  QDS_AUTO(qds_result) *result = solve_text(ctx, dot);
  qds_context_fail_allocation(ctx, 1);
  assert_null(qds_result_psi(result, 0));
  assert_int_equal(qds_last_error()->status, QDS_ERROR_MEMORY);
  qds_context_fail_allocation(ctx, 1);
  assert_null(qds_result_band_edge_eV(result));
  qds_context_fail_allocation(ctx, 1);
  assert_null(qds_result_materials(result));
  qds_context_fail_allocation(ctx, 0);
  assert_non_null(qds_result_psi(result, 0));
  assert_close(qds_result_band_edge_eV(result)[0], 0.4, 1e-15);
  assert_int_equal(qds_result_materials(result)[0], 0);
}
static void test_without_memory_there_is_no_psi(void **state) {
  (void)state;
  with_context_on_each(2, without_memory_there_is_no_psi);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_states_are_measured_where_they_lie),
      cmocka_unit_test(test_states_come_home_on_demand),
      cmocka_unit_test(test_without_memory_there_is_no_psi),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}

/* The kinetic operator of media with interfaces in any direction, as a matrix. */
#include "exact_support.h"

#include "base/philox.h"
#include "dot/coefficient.h"
#include "dot/hamiltonian.h"
#include "la/device_operator.h"
#include "la/magnetic_operator.h"

static const uint64_t seed = 20261120;

/* Shapes whose surfaces meet the boxes obliquely, two at once, in thin layers, and at the ends of
 * the grid. */
static const char *const devices[] = {
    "grid: {x: {from_nm: -5, to_nm: 5, nodes: 12}, y: {from_nm: -5, to_nm: 5, nodes: 13}}, regions:"
    " [{shape: polygon, points_nm: [[-4, -3], [4.5, -1], [1, 6]], material: a},"
    " {shape: ellipsoid, center_nm: [-3, 0], radii_nm: [3, 2], material: b}]",
    "grid: {x: {from_nm: -5, to_nm: 5, nodes: 8}, y: {from_nm: -5, to_nm: 5, nodes: 7}, z: {from_nm: -4, "
    "to_nm: 4,"
    " nodes: 9}}, regions: [{shape: layer, axis: z, from_nm: 0.9, to_nm: 1.1, material: b},"
    " {shape: pyramid, base_center_nm: [0.3, 0, -3], base_nm: [8, 6], height_nm: 5, material: a}]",
    "grid: {order: 2, x: {from_nm: -5, to_nm: 5, nodes: 9, refine: [{from_nm: 0, to_nm: 3, factor: 2}]},"
    " y: {from_nm: -5, to_nm: 5, nodes: 7}, z: {from_nm: -4, to_nm: 4, nodes: 7}}, regions: [{shape: "
    "ellipsoid,"
    " center_nm: [0.3, 0.4, 0.1], radii_nm: [5, 3, 2], rotate: {axis: x, degrees: 30, center_nm: [0, 0, 0]},"
    " material: a}, {shape: box, min_nm: [-9, -9, -9], max_nm: [-3.4, 9, 9], material: b}]",
};
static const char *const boundaries[] = {"neumann", "periodic", "dirichlet"};

static void read_device(qds_context *ctx, int device, int boundary, qds_device **out) {
  char text[DEVICE_TEXT];
  const char *end = boundaries[boundary];
  snprintf(text, sizeof text,
           "{materials: {a: {mass: [0.02, 0.03, 0.05], band_edge_eV: 0}, b: {mass: 0.3, band_edge_eV: 0},"
           " out: {mass: [0.1, 0.07, 0.2], band_edge_eV: 0}}, background: out, states: 1,"
           " boundary: {x: %s, y: %s%s%s}, %s}",
           end, end, device ? ", z: " : "", device ? end : "", devices[device]);
  assert_ok(qds_device_parse(ctx, "dot.yaml", text, NULL, out));
}

/* The operator of a device with its arrays. */
static qds_tensor_operator *filled(qds_context *ctx, const qds_device *owner) {
  QDS_AUTO(qds_maps) *maps = NULL;
  qds_tensor_operator *t = NULL;
  assert_ok(qds_maps_create(owner, &maps));
  assert_ok(qds_hamiltonian_create(owner, maps, &t));
  assert_ok(qds_tensor_operator_fill(ctx, t));
  return t;
}

static qds_tensor_operator *kinetic(qds_context *ctx, int device, int boundary, qds_device **owner) {
  read_device(ctx, device, boundary, owner);
  return filled(ctx, *owner);
}

static void apply(qds_context *ctx, qds_tensor_operator *t, const qds_block *x, qds_block *y) {
  const qds_operator a = qds_tensor_operator_apply(t);
  assert_ok(a.apply(a.self, ctx, x, y));
}

static double product(const qds_block *x, int i, const qds_block *y, int j) {
  double sum = 0;
  for (int64_t k = 0; k < x->rows; k++) sum += qds_block_column(x, i)[k] * qds_block_column(y, j)[k];
  return sum;
}

/* Symmetric; positive on random vectors, rough ones among them; zero on constants where nothing is fixed. */
static void forms(qds_context *ctx) {
  enum { VECTORS = 8 };
  for (int device = 0; device < 3; device++)
    for (int boundary = 0; boundary < 3; boundary++) {
      QDS_AUTO(qds_device) *owner = NULL;
      QDS_AUTO(qds_tensor_operator) *t = kinetic(ctx, device, boundary, &owner);
      __attribute__((cleanup(qds_block_clear))) qds_block x = {0}, y = {0};
      assert_ok(qds_block_create(ctx, t->rows, VECTORS, "test", &x));
      assert_ok(qds_block_create(ctx, t->rows, VECTORS, "test", &y));
      assert_true(t->couplings.rows > 0);
      qds_block_fill_random(ctx, &x, seed + (uint64_t)(3 * device + boundary));
      for (int64_t r = 0; r < t->rows; r++) {
        const int64_t u[3] = {r / (t->n[1] * t->n[2]), r / t->n[2] % t->n[1], r % t->n[2]};
        double weight = 1;
        for (int a = 0; a < 3; a++) weight *= t->axis[a]->mass[u[a]];
        qds_block_column(&x, 0)[r] = sqrt(weight); /* psi = 1 */
        qds_block_column(&x, 1)[r] =
            (u[0] + u[1] + u[2]) % 2 ? sqrt(weight) : -sqrt(weight); /* the roughest */
      }
      apply(ctx, t, &x, &y);
      for (int i = 0; i < VECTORS; i++) {
        const double energy = product(&x, i, &y, i);
        if (boundary < 2 && i == 0) {
          for (int64_t r = 0; r < t->rows; r++) assert_close(y.data[r], 0, 1e-11);
        } else if (!(energy > 0)) {
          fail_msg("seed %llu, device %d, %s: vector %d has the kinetic energy %g", (unsigned long long)seed,
                   device, boundaries[boundary], i, energy);
        }
        for (int j = 0; j < i; j++)
          assert_close(product(&x, i, &y, j), product(&x, j, &y, i), 1e-10 * sqrt((double)t->rows));
      }
    }
}

static void test_forms(void **state) {
  (void)state;
  with_context(2, forms);
}

static void assert_same(const qds_block *x, const qds_block *y) {
  for (int j = 0; j < x->columns; j++)
    for (int64_t i = 0; i < x->rows; i++)
      assert_close(qds_block_column(x, j)[i], qds_block_column(y, j)[i], 1e-10);
}

/* In a magnetic field the couplings carry phases: the operator is Hermitian, another gauge turns its vectors
 * and nothing else, and without a field it is the real one. */
static void field(qds_context *ctx) {
  const qds_vector_potential symmetric = {{{0, -0.02, 0.01}, {0.02, 0, -0.03}, {-0.01, 0.03, 0}}, {1, 2, 3}},
                             landau = {{{0, 0, 0.02}, {0.04, 0, -0.06}, {0, 0, 0}}, {1, 2, 3}}, none = {0};
  for (int device = 0; device < 3; device++) {
    QDS_AUTO(qds_device) *owner = NULL;
    QDS_AUTO(qds_tensor_operator) *t = kinetic(ctx, device, 2, &owner);
    QDS_AUTO(qds_magnetic_operator) *a = NULL, *b = NULL, *zero = NULL;
    __attribute__((cleanup(qds_block_clear))) qds_block x = {0}, y = {0}, turned = {0};
    assert_ok(qds_magnetic_operator_create(ctx, t, &symmetric, &a));
    assert_ok(qds_magnetic_operator_create(ctx, t, &landau, &b));
    assert_ok(qds_magnetic_operator_create(ctx, t, &none, &zero));
    assert_ok(qds_block_create(ctx, 2 * t->rows, 2, "test", &x));
    assert_ok(qds_block_create(ctx, 2 * t->rows, 2, "test", &y));
    assert_ok(qds_block_create(ctx, 2 * t->rows, 2, "test", &turned));
    qds_block_fill_random(ctx, &x, seed);
    qds_operator apply_field = qds_magnetic_operator_apply(a);
    assert_ok(apply_field.apply(apply_field.self, ctx, &x, &y));
    assert_close(product(&x, 0, &y, 1), product(&x, 1, &y, 0), 1e-10 * sqrt((double)t->rows));
    assert_ok(qds_magnetic_change_gauge(ctx, t, &symmetric, &landau, &x));
    assert_ok(qds_magnetic_change_gauge(ctx, t, &symmetric, &landau, &y));
    apply_field = qds_magnetic_operator_apply(b);
    assert_ok(apply_field.apply(apply_field.self, ctx, &x, &turned));
    assert_same(&turned, &y);
    apply_field = qds_magnetic_operator_apply(zero);
    assert_ok(apply_field.apply(apply_field.self, ctx, &x, &y));
    for (int part = 0; part < 4; part++) { /* real and imaginary parts of both vectors */
      const int64_t offset = part % 2 * t->rows;
      const qds_block real = {qds_block_column(&x, part / 2) + offset, t->rows, t->rows, 1, NULL};
      qds_block image = {qds_block_column(&turned, part / 2) + offset, t->rows, t->rows, 1, NULL};
      apply(ctx, t, &real, &image);
    }
    assert_same(&turned, &y);
  }
}

static void test_field(void **state) {
  (void)state;
  with_context(2, field);
}

/* Layers across an axis need no coupling, wherever they lie. */
static void layers_do_not_couple(qds_context *ctx) {
  QDS_AUTO(qds_device) *owner = NULL;
  assert_ok(qds_device_parse(
      ctx, "dot.yaml",
      "{background: {mass: 0.1, band_edge_eV: 0}, states: 1, regions: [{shape: layer, axis: y,"
      " from_nm: -1.3, to_nm: 2.1, material: {mass: 0.02, band_edge_eV: 0}}], grid:"
      " {x: {from_nm: -4, to_nm: 4, nodes: 9}, y: {from_nm: -4, to_nm: 4, nodes: 9}}}",
      NULL, &owner));
  QDS_AUTO(qds_tensor_operator) *t = filled(ctx, owner);
  assert_int_equal(t->couplings.rows, 0);
  /* between y = -2 and -1 nm: 0.3 nm of mass 0.02 in 1 nm, one after the other */
  assert_close(qds_tensor_operator_coefficient(t, 2, 2, 0, 3, 0), hbar2_over_2m0() / (0.7 * 0.1 + 0.3 * 0.02),
               1e-12);
  /* around y = -1 nm along x: 0.8 nm of mass 0.02 in 1 nm, side by side */
  assert_close(qds_tensor_operator_coefficient(t, 1, 3, 0, 0, 2), hbar2_over_2m0() * (0.2 / 0.1 + 0.8 / 0.02),
               1e-12);
}

static void test_layers_do_not_couple(void **state) {
  (void)state;
  with_context(1, layers_do_not_couple);
}

/* A device takes lines for what it would take arrays for, to the last bit. */
static void compare_lines(qds_context *ctx, const qds_device *owner) {
  enum { VECTORS = 2 };
  qds_stream *stream = qds_context_stream(ctx);
  QDS_AUTO(qds_maps) *maps = NULL;
  QDS_AUTO(qds_tensor_operator) *lines = NULL, *arrays = filled(ctx, owner);
  QDS_AUTO(qds_device_operator) *of_lines = NULL, *of_arrays = NULL;
  qds_block x, y[2], home[2];
  assert_ok(qds_maps_create(owner, &maps));
  assert_ok(qds_hamiltonian_create(owner, maps, &lines));
  assert_null(lines->v);
  for (int which = 0; which < 4; which++) {
    double range[2][2];
    assert_ok(qds_tensor_operator_range(ctx, lines, which, &range[0][0], &range[0][1]));
    assert_ok(qds_tensor_operator_range(ctx, arrays, which, &range[1][0], &range[1][1]));
    assert_memory_equal(range[0], range[1], sizeof range[0]);
  }
  assert_ok(qds_device_operator_create(ctx, stream, lines, &of_lines));
  assert_ok(qds_device_operator_create(ctx, stream, arrays, &of_arrays));
  assert_ok(qds_block_create_on(ctx, stream, arrays->rows, VECTORS, "test", &x));
  assert_ok(qds_block_fill_random(ctx, &x, 1));
  for (int i = 0; i < 2; i++) {
    const qds_operator a = qds_device_operator_apply(i ? of_arrays : of_lines);
    assert_ok(qds_block_create_on(ctx, stream, arrays->rows, VECTORS, "test", &y[i]));
    assert_ok(qds_block_create(ctx, arrays->rows, VECTORS, "test", &home[i]));
    assert_ok(a.apply(a.self, ctx, &x, &y[i]));
    assert_ok(qds_block_copy(&y[i], &home[i]));
  }
  for (int j = 0; j < VECTORS; j++)
    assert_memory_equal(qds_block_column(&home[0], j), qds_block_column(&home[1], j),
                        sizeof(double) * (size_t)arrays->rows);
  qds_block_clear(&x);
  for (int i = 0; i < 2; i++) {
    qds_block_clear(&y[i]);
    qds_block_clear(&home[i]);
  }
}

static void lines_stand_for_arrays(qds_context *ctx) {
  for (int device = 0; device < 3; device++)
    for (int boundary = 0; boundary < 3; boundary++) {
      QDS_AUTO(qds_device) *owner = NULL;
      read_device(ctx, device, boundary, &owner);
      compare_lines(ctx, owner);
    }
}

static void test_lines_stand_for_arrays(void **state) {
  (void)state;
  with_context_on_each(2, lines_stand_for_arrays);
}

/* The operator's potential is what its lines were folded from: the materials' band edges, averaged at the
 * nodes; the two ends of a periodic axis are one. */
static void potential_is_the_band_edge(qds_context *ctx) {
  for (int boundary = 0; boundary < 3; boundary++) {
    QDS_AUTO(qds_device) *owner = NULL;
    QDS_AUTO(qds_maps) *maps = NULL;
    QDS_AUTO(qds_tensor_operator) *t = NULL;
    QDS_AUTO_RELEASE double *folded = NULL;
    double *edge;
    read_device(ctx, 2, boundary, &owner);
    for (int m = 0; m < owner->materials; m++) owner->material[m].band_edge_eV = 0.3 * m - 0.2;
    assert_ok(qds_maps_create(owner, &maps));
    assert_ok(qds_hamiltonian_create(owner, maps, &t));
    assert_ok(qds_tensor_operator_fill(ctx, t));
    assert_ok(qds_maps_band_edge(maps, &edge));
    assert_ok(QDS_NEW(qds_context_allocator(ctx), t->rows, "test", &folded));
    qds_fold_nodes(ctx, t, -1, edge, folded);
    for (int64_t i = 0; i < t->rows; i++) assert_close(t->v[i], folded[i], 1e-15);
  }
}

static void test_potential_is_the_band_edge(void **state) {
  (void)state;
  with_context(2, potential_is_the_band_edge);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_forms),
      cmocka_unit_test(test_field),
      cmocka_unit_test(test_layers_do_not_couple),
      cmocka_unit_test(test_lines_stand_for_arrays),
      cmocka_unit_test(test_potential_is_the_band_edge),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}

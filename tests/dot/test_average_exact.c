/* Averages that are exact to rounding: flat faces, one dimension, oblique planes. */
#include "medium_support.h"

/* ---- flat faces: exact ---- */

/* Regions that are boxes, for a reference that cuts space at every face of every region. */
typedef struct {
  double low[3], high[3];
  int material;
} flat_region;

static int flat_material(const flat_region *flat, size_t count, const double p[3]) {
  int material = 0;
  for (size_t i = 0; i < count; i++) {
    int inside = 1;
    for (int a = 0; a < 3; a++) inside = inside && p[a] > flat[i].low[a] && p[a] < flat[i].high[a];
    if (inside) material = flat[i].material;
  }
  return material;
}

static int ascending(const void *a, const void *b) {
  const double x = *(const double *)a, y = *(const double *)b;
  return (x > y) - (x < y);
}

static int flat_cuts(const flat_region *flat, size_t count, int a, double low, double high, double *cuts) {
  int n = 0;
  cuts[n++] = low;
  cuts[n++] = high;
  for (size_t i = 0; i < count; i++) {
    if (flat[i].low[a] > low && flat[i].low[a] < high) cuts[n++] = flat[i].low[a];
    if (flat[i].high[a] > low && flat[i].high[a] < high) cuts[n++] = flat[i].high[a];
  }
  qsort(cuts, (size_t)n, sizeof *cuts, ascending);
  return n;
}

/* The mean over a box; along < 0: arithmetic. */
static double flat_average(const flat_region *flat, size_t count, const double low[3], const double high[3],
                           const double *values, int along) {
  const int axis = along < 0 ? 2 : along, u = (axis + 1) % 3, v = (axis + 2) % 3;
  double cuts[3][2 * MOST_REGIONS + 2], sum = 0, p[3];
  int n[3];
  for (int a = 0; a < 3; a++) n[a] = flat_cuts(flat, count, a, low[a], high[a], cuts[a]);
  for (int i = 0; i + 1 < n[u]; i++)
    for (int j = 0; j + 1 < n[v]; j++) {
      double line = 0;
      p[u] = 0.5 * (cuts[u][i] + cuts[u][i + 1]);
      p[v] = 0.5 * (cuts[v][j] + cuts[v][j + 1]);
      for (int k = 0; k + 1 < n[axis]; k++) {
        p[axis] = 0.5 * (cuts[axis][k] + cuts[axis][k + 1]);
        const double value = values[flat_material(flat, count, p)], part = cuts[axis][k + 1] - cuts[axis][k];
        line += part / (high[axis] - low[axis]) * (along < 0 ? value : 1 / value);
      }
      sum += (cuts[u][i + 1] - cuts[u][i]) * (cuts[v][j + 1] - cuts[v][j]) * (along < 0 ? line : 1 / line);
    }
  return sum / ((high[u] - low[u]) * (high[v] - low[v]));
}

static void random_flat_region(uint64_t stream, uint64_t index, int dimension, flat_region *flat) {
  flat->material = 1 + (int)random_between(stream, 100 * index, 0, 3);
  for (uint64_t a = 0; a < 3; a++) {
    const double from = random_between(stream, 100 * index + 2 * a + 1, -12, 9);
    const int absent = (int)a < 3 - dimension;
    flat->low[a] = absent ? -(double)INFINITY : from;
    flat->high[a] =
        absent ? (double)INFINITY : from + random_between(stream, 100 * index + 2 * a + 2, 0.1, 8);
  }
}

/* A box, or a layer with infinite sides, or a box turned by a quarter, as YAML. */
static void add_flat_region(qds_context *ctx, owned_medium *medium, uint64_t kind, flat_region *flat) {
  const int d = medium->dimension, first = 3 - d;
  char low[128] = "", high[128] = "";
  if (kind % 3 == 0) {
    const int axis = first + (int)(kind / 3) % d;
    for (int a = first; a < 3; a++)
      if (a != axis) {
        flat->low[a] = -(double)INFINITY;
        flat->high[a] = (double)INFINITY;
      }
    medium_add(ctx, medium, flat->material, "{shape: layer, axis: %c, from_nm: %.17g, to_nm: %.17g}",
               "xyz"[axis - first], flat -> low[axis], flat -> high[axis]);
    return;
  }
  for (int a = first; a < 3; a++) {
    snprintf(low + strlen(low), sizeof low - strlen(low), "%s%.17g", a > first ? ", " : "", flat->low[a]);
    snprintf(high + strlen(high), sizeof high - strlen(high), "%s%.17g", a > first ? ", " : "",
             flat->high[a]);
  }
  if (kind % 3 == 2 && d == 2) { /* a quarter turn about 0: (x, y) -> (-y, x) */
    const flat_region plain = *flat;
    flat->low[1] = -plain.high[2];
    flat->high[1] = -plain.low[2];
    flat->low[2] = plain.low[1];
    flat->high[2] = plain.high[1];
  }
  medium_add(ctx, medium, flat->material, "{shape: box, min_nm: [%s], max_nm: [%s]%s}", low, high,
             kind % 3 == 2 && d == 2 ? ", rotate: {degrees: 90, center_nm: [0, 0]}" : "");
}

static void flat_body(qds_context *ctx) {
  static const double values[4] = {1.0, 15.0, 0.3, 4.0};
  static const int boxes_per_axis[4] = {0, 40, 20, 12};
  static test_grid grid;
  QDS_AUTO_RELEASE double *out = NULL;
  assert_ok(QDS_NEW(qds_context_allocator(ctx), 12 * 12 * 12, "test", &out));
  printf("seed %llu\n", (unsigned long long)seed);
  for (uint64_t trial = 0; trial < 60; trial++) {
    const int dimension = 1 + (int)(trial % 3);
    const size_t count = 1 + trial % 5;
    owned_medium medium;
    flat_region flat[MOST_REGIONS];
    medium_start(&medium, dimension, 4);
    for (uint64_t i = 0; i < count; i++) {
      random_flat_region(trial, i, dimension, &flat[i]);
      add_flat_region(ctx, &medium, trial + i, &flat[i]);
    }
    grid_make(&grid, dimension, boxes_per_axis[dimension], 1000 + trial, 0.3);
    for (int along = 2 - dimension; along < 3; along++) {
      const int harmonic = along >= 3 - dimension;
      assert_ok(qds_average_box_grid(ctx, &medium.medium, dimension, grid.intervals, along, values,
                                     harmonic ? QDS_AVERAGE_ALONG : QDS_AVERAGE_ARITHMETIC, out));
      for (int64_t box = 0; box < grid.boxes; box++) {
        double low[3], high[3];
        box_corners(&grid, box, low, high);
        assert_near(out[box], flat_average(flat, count, low, high, values, harmonic ? along : -1), 1e-12);
      }
    }
    medium_clear(&medium);
  }
}
static void flat_faces_are_exact(void **state) {
  (void)state, with_context(2, flat_body);
}

/* ---- one dimension: exact for every shape ---- */

static int in_intervals(double x) { /* the medium of the test below, by hand */
  int material = 0;
  if (x > -7.3 && x < 5.9) material = 1;                            /* ellipsoid */
  if ((x > -9.1 && x < -6.7) || (x > 1.3 && x < 2.2)) material = 2; /* union */
  if ((x > -3 && x < -2.45) || (x > -1.35 && x < 0)) material = 3;  /* difference */
  if (x > 7.01 && x < 7.02) material = 1;                           /* intersection */
  return material;
}

static void line_body(qds_context *ctx) {
  static const double values[4] = {0.1, 10, 2, 0.7};
  static const double ends[] = {-9.1, -7.3, -6.7, -3, -2.45, -1.35, 0, 1.3, 2.2, 5.9, 7.01, 7.02};
  static test_grid grid;
  double out[MOST_BOXES], series[MOST_BOXES];
  owned_medium medium;
  medium_start(&medium, 1, 4);
  medium_add(ctx, &medium, 1, "{shape: ellipsoid, center_nm: [-0.7], radii_nm: [6.6]}");
  medium_add(ctx, &medium, 2,
             "{shape: union, of: [{shape: box, min_nm: [-9.1], max_nm: [-6.7]},"
             " {shape: layer, axis: x, from_nm: 1.3, to_nm: 2.2}]}");
  medium_add(ctx, &medium, 3,
             "{shape: difference, of: [{shape: box, min_nm: [-3], max_nm: [0]},"
             " {shape: ellipsoid, center_nm: [-1.9], radii_nm: [0.55]}]}");
  medium_add(ctx, &medium, 1,
             "{shape: intersection, of: [{shape: box, min_nm: [3], max_nm: [7.02]},"
             " {shape: box, min_nm: [7.01], max_nm: [8]}]}");
  for (int n = 1; n <= MOST_BOXES; n++) {
    grid_make(&grid, 1, n, (uint64_t)n, 0.3);
    assert_ok(
        qds_average_box_grid(ctx, &medium.medium, 1, grid.intervals, 0, values, QDS_AVERAGE_ARITHMETIC, out));
    assert_ok(
        qds_average_box_grid(ctx, &medium.medium, 1, grid.intervals, 2, values, QDS_AVERAGE_ALONG, series));
    for (int i = 0; i < n; i++) {
      const double low = grid.bounds[2][i], high = grid.bounds[2][i + 1];
      double sum = 0, inverse = 0, from = low;
      for (size_t k = 0; k <= sizeof ends / sizeof *ends; k++) {
        const double to = k < sizeof ends / sizeof *ends ? fmin(fmax(ends[k], low), high) : high;
        const double value = values[in_intervals(0.5 * (from + to))];
        sum += (to - from) * value;
        inverse += (to - from) / value;
        from = to;
      }
      assert_near(out[i], sum / (high - low), 1e-12);
      assert_near(series[i], (high - low) / inverse, 1e-12);
    }
  }
  medium_clear(&medium);
}
static void one_dimension_is_exact(void **state) {
  (void)state, with_context(1, line_body);
}

/* ---- oblique planes ---- */

/* The part of the box low .. high where n.x < 0, none of n zero: inclusion and exclusion of the corners. */
static double part_below_plane(const double n[3], const double low[3], const double high[3]) {
  double offset = 0, step[3], sum = 0;
  for (int a = 0; a < 3; a++) {
    offset -= n[a] * (n[a] > 0 ? low[a] : high[a]);
    step[a] = fabs(n[a]) * (high[a] - low[a]);
  }
  for (int corner = 0; corner < 8; corner++) {
    double d = offset, sign = 1;
    for (int a = 0; a < 3; a++)
      if (corner >> a & 1) {
        d -= step[a];
        sign = -sign;
      }
    sum += sign * pow(fmax(d, 0), 3);
  }
  return sum / (6 * step[0] * step[1] * step[2]);
}

static void plane_body(qds_context *ctx) {
  static const double values[2] = {0, 1};
  static test_grid grid;
  double out[216];
  printf("seed %llu\n", (unsigned long long)seed);
  for (uint64_t trial = 0; trial < 20; trial++) {
    const double first = random_between(4000, trial, 0, 360), second = random_between(4001, trial, 0, 360);
    const double alpha = first * acos(-1) / 180, beta = second * acos(-1) / 180;
    const double n[3] = {sin(alpha) * sin(beta), -sin(alpha) * cos(beta), cos(alpha)};
    owned_medium medium;
    medium_start(&medium, 3, 2);
    medium_add(ctx, &medium, 1,
               "{shape: union, of: [{shape: layer, axis: z, from_nm: -100, to_nm: 0,"
               " rotate: {axis: x, degrees: %.17g, center_nm: [0, 0, 0]}},"
               " {shape: box, min_nm: [99, 99, 99], max_nm: [100, 100, 100]}],"
               " rotate: {axis: z, degrees: %.17g, center_nm: [0, 0, 0]}}",
               first, second);
    grid_make(&grid, 3, 6, 5000 + trial, 0.3);
    assert_ok(
        qds_average_box_grid(ctx, &medium.medium, 3, grid.intervals, 0, values, QDS_AVERAGE_ARITHMETIC, out));
    for (int64_t box = 0; box < grid.boxes; box++) {
      double low[3], high[3];
      box_corners(&grid, box, low, high);
      assert_near(out[box], part_below_plane(n, low, high), 1e-9);
    }
    medium_clear(&medium);
  }
}
static void oblique_planes_are_exact(void **state) {
  (void)state, with_context(1, plane_body);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(flat_faces_are_exact),
      cmocka_unit_test(one_dimension_is_exact),
      cmocka_unit_test(oblique_planes_are_exact),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}

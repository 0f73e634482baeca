/* Averages over boxes: convergence for curved surfaces, fractions, threads, and the refusal of bad
 * arguments. */
#include "medium_support.h"

/* ---- curved surfaces ---- */

typedef struct {
  int dimension;
  const char *text;
  double volume, tolerance; /* the second on 48 boxes along each axis */
} curved_shape;

static const curved_shape curved_shapes[] = {
    {2, "{shape: ellipsoid, center_nm: [0.1, 0.2], radii_nm: [7.1, 7.1]}", 7.1 * 7.1 * 3.141592653589793,
     1e-9},
    {2, "{shape: polygon, points_nm: [[-7, -6], [8, -5], [1, 7]]}", 93.5, 1e-4},
    {3, "{shape: ellipsoid, center_nm: [0.1, 0.2, 0], radii_nm: [7, 7, 7]}", 4 * 343 * 3.141592653589793 / 3,
     1e-9},
    {3, "{shape: dome, base_center_nm: [0, 0, -1], radius_nm: 8, height_nm: 5}",
     2 * 320 * 3.141592653589793 / 3, 1e-6},
    {3, "{shape: lens, base_center_nm: [0, 0, -1], radius_nm: 8, height_nm: 4}",
     3.141592653589793 * 4 * (3 * 64 + 16) / 6, 1e-9},
    {3, "{shape: pyramid, base_center_nm: [0, 0, -3.1], base_nm: [12.4, 12.4], height_nm: 6.2}",
     12.4 * 12.4 * 6.2 / 3, 3e-5},
    {3, "{shape: cone, base_center_nm: [0, 0, -3.1], radius_nm: 7, height_nm: 8}",
     49 * 8 * 3.141592653589793 / 3, 1e-6},
    {3,
     "{shape: box, min_nm: [-5, -4, -3], max_nm: [5, 4, 3], rotate: {axis: y, degrees: 33, center_nm: [0, 0, "
     "0]}}",
     480, 3e-5},
};

static double volume_error(qds_context *ctx, const curved_shape *shape, int boxes) {
  static const double values[2] = {0, 1};
  static test_grid grid;
  double volume = 0;
  owned_medium medium;
  QDS_AUTO_RELEASE double *out = NULL;
  grid_make(&grid, shape->dimension, boxes, 5, 0.2);
  assert_ok(QDS_NEW(qds_context_allocator(ctx), grid.boxes, "test", &out));
  medium_start(&medium, shape->dimension, 2);
  medium_add(ctx, &medium, 1, "%s", shape->text);
  assert_ok(qds_average_box_grid(ctx, &medium.medium, shape->dimension, grid.intervals, 0, values,
                                 QDS_AVERAGE_ARITHMETIC, out));
  for (int64_t box = 0; box < grid.boxes; box++) {
    assert_true(out[box] >= 0 && out[box] <= 1 + 1e-14);
    volume += out[box] * box_volume(&grid, box);
  }
  medium_clear(&medium);
  return fabs(volume / shape->volume - 1);
}

static void volume_body(qds_context *ctx) {
  printf("seed %llu\n", (unsigned long long)seed);
  for (size_t i = 0; i < sizeof curved_shapes / sizeof *curved_shapes; i++) {
    const double coarse = volume_error(ctx, &curved_shapes[i], 10),
                 fine = volume_error(ctx, &curved_shapes[i], 48);
    printf("%.60s: %.1e, %.1e\n", curved_shapes[i].text, coarse, fine);
    assert_true(coarse < 5e-3);
    assert_true(fine < curved_shapes[i].tolerance);
  }
}
static void volumes_converge(void **state) {
  (void)state, with_context(2, volume_body);
}

/* Brute force: points^3 samples of one box. */
static double sampled_average(const qds_medium *medium, const double low[3], const double high[3],
                              const double *values, int along, int points) {
  const int axis = along < 0 ? 2 : along, u = (axis + 1) % 3, v = (axis + 2) % 3;
  double sum = 0, p[3];
  for (int i = 0; i < points; i++)
    for (int j = 0; j < points; j++) {
      double line = 0;
      p[u] = low[u] + (i + 0.5) / points * (high[u] - low[u]);
      p[v] = low[v] + (j + 0.5) / points * (high[v] - low[v]);
      for (int k = 0; k < points; k++) {
        p[axis] = low[axis] + (k + 0.5) / points * (high[axis] - low[axis]);
        const double value = values[qds_medium_at(medium, p)];
        line += (along < 0 ? value : 1 / value) / points;
      }
      sum += (along < 0 ? line : 1 / line) / points / points;
    }
  return sum;
}

/* Every box of a coarse grid: the uniform ones hold one material at every sample, the others come near the
 * samples' average; and the grid agrees with each of its boxes alone, which no block of boxes can have
 * filled. */
static void sampled_body(qds_context *ctx) {
  static const double values[4] = {1.0, 5.0, 0.5, 3.0};
  static test_grid grid;
  QDS_AUTO_RELEASE double *out = NULL;
  assert_ok(QDS_NEW(qds_context_allocator(ctx), 10 * 10 * 10, "test", &out));
  printf("seed %llu\n", (unsigned long long)seed);
  for (uint64_t trial = 0; trial < 8; trial++) {
    const int along = (int)(trial % 4) - 1;
    owned_medium medium;
    double error = 0, worst = 0;
    int cut = 0;
    random_medium(ctx, trial, &medium);
    grid_make(&grid, 3, 10, 3000 + trial, 0.3);
    const qds_average_kind kind = along < 0 ? QDS_AVERAGE_ARITHMETIC : QDS_AVERAGE_ALONG;
    assert_ok(qds_average_box_grid(ctx, &medium.medium, 3, grid.intervals, along, values, kind, out));
    for (int64_t box = 0; box < grid.boxes; box++) {
      double low[3], high[3], bounds[3][2], alone;
      qds_intervals one[3];
      box_corners(&grid, box, low, high);
      for (int a = 0; a < 3; a++) {
        bounds[a][0] = low[a];
        bounds[a][1] = high[a];
        one[a] = (qds_intervals){1, bounds[a]};
      }
      assert_ok(qds_average_box_grid(ctx, &medium.medium, 3, one, along, values, kind, &alone));
      assert_near(out[box], alone, 1e-12);
      const double sampled = sampled_average(&medium.medium, low, high, values, along, 16);
      if (out[box] == values[0] || out[box] == values[1] || out[box] == values[2] || out[box] == values[3]) {
        assert_near(sampled, out[box], 0.05);
      } else {
        worst = fmax(worst, fabs(sampled - out[box]));
        error += sampled - out[box];
        cut++;
      }
    }
    assert_true(cut > 30);
    printf("%d boxes cut: mean difference %.4f, worst %.3f\n", cut, error / cut, worst);
    assert_near(error / cut, 0, 0.015);
    assert_true(worst < 0.15);
    medium_clear(&medium);
  }
}
static void random_media_agree_with_samples(void **state) {
  (void)state, with_context(2, sampled_body);
}

/* ---- many surfaces on one line ---- */

static void superlattice_body(qds_context *ctx) {
  static const double values[3] = {1, 2, 4};
  static test_grid grid;
  double out;
  owned_medium medium;
  medium_start(&medium, 2, 3);
  for (int i = 0; i < 9; i++)
    medium_add(ctx, &medium, 1 + i % 2,
               "{shape: layer, axis: y, from_nm: %g, to_nm: %g, rotate: {degrees: 20, center_nm: [0, 0]}}",
               -8 + 2.0 * i, -7 + 2.0 * i - 0.07 * i);
  grid_make(&grid, 2, 1, 0, 0);
  const int points = 400;
  for (int axis = 0; axis < 3; axis++) { /* 0: arithmetic */
    const qds_average_kind kind = axis ? QDS_AVERAGE_ALONG : QDS_AVERAGE_ARITHMETIC;
    double sum = 0, p[2];
    assert_ok(qds_average_box_grid(ctx, &medium.medium, 2, grid.intervals, axis, values, kind, &out));
    for (int i = 0; i < points; i++) {
      const int along = axis == 1 ? 0 : 1;
      double line = 0;
      p[1 - along] = -10 + 20 * (i + 0.5) / points;
      for (int k = 0; k < points; k++) {
        p[along] = -10 + 20 * (k + 0.5) / points;
        const double value = values[qds_medium_at(&medium.medium, p)];
        line += (axis ? 1 / value : value) / points;
      }
      sum += (axis ? 1 / line : line) / points;
    }
    assert_near(out, sum, 5e-4);
  }
  medium_clear(&medium);
}
static void many_surfaces_on_a_line_are_found(void **state) {
  (void)state, with_context(1, superlattice_body);
}

/* ---- fractions, threads ---- */

enum { BIG = 40, STATES = 2 };

typedef struct {
  double *average[4]; /* arithmetic, then along 0, 1, 2 */
  double sums[STATES * 4];
} everything;

static void compute_everything(qds_context *ctx, everything *all) {
  static const double values[4] = {1.0, 5.0, 0.5, 3.0};
  static test_grid grid;
  static double vectors[STATES][BIG * BIG * BIG];
  owned_medium medium;
  random_medium(ctx, 3, &medium);
  grid_make(&grid, 3, BIG, 7, 0.3);
  const double *rows[STATES] = {vectors[0], vectors[1]};
  for (int s = 0; s < STATES; s++)
    for (int64_t box = 0; box < grid.boxes; box++)
      vectors[s][box] = s == 0 ? sqrt(box_volume(&grid, box)) : random_between(8, (uint64_t)box, -1, 1);
  for (int i = 0; i < 4; i++) {
    assert_ok(QDS_NEW(qds_context_allocator(ctx), grid.boxes, "test", &all->average[i]));
    assert_ok(qds_average_box_grid(ctx, &medium.medium, 3, grid.intervals, i - 1, values,
                                   i ? QDS_AVERAGE_ALONG : QDS_AVERAGE_ARITHMETIC, all->average[i]));
  }
  assert_ok(qds_volume_fractions(ctx, &medium.medium, 3, grid.intervals, STATES, rows, all->sums));

  QDS_AUTO_RELEASE double *part = NULL;
  assert_ok(QDS_NEW(qds_context_allocator(ctx), grid.boxes, "test", &part));
  for (int m = 0; m < 4; m++) {
    double indicator[4] = {0}, expected[STATES] = {0};
    indicator[m] = 1;
    assert_ok(qds_average_box_grid(ctx, &medium.medium, 3, grid.intervals, 0, indicator,
                                   QDS_AVERAGE_ARITHMETIC, part));
    for (int s = 0; s < STATES; s++) {
      for (int64_t box = 0; box < grid.boxes; box++)
        expected[s] += part[box] * vectors[s][box] * vectors[s][box];
      assert_near(all->sums[s * 4 + m], expected[s], 1e-9);
    }
  }
  medium_clear(&medium);
}

static void compare_body(qds_context *many) {
  everything all, serial;
  qds_context *one = NULL;
  qds_context_options options = QDS_CONTEXT_OPTIONS_INIT;
  options.threads = 1;
  assert_ok(qds_context_create(&options, &one));
  compute_everything(many, &all);
  compute_everything(one, &serial);
  for (int i = 0; i < 4; i++)
    assert_memory_equal(all.average[i], serial.average[i], BIG * BIG * BIG * sizeof(double));
  assert_memory_equal(all.sums, serial.sums, sizeof all.sums);
  assert_near(serial.sums[0] + serial.sums[1] + serial.sums[2] + serial.sums[3], 8000, 1e-8);
  for (int i = 0; i < 4; i++) {
    qds_release(all.average[i]);
    qds_release(serial.average[i]);
  }
  qds_context_destroy(one);
}
static void threads_change_nothing(void **state) {
  (void)state, with_context(4, compare_body);
}

/* ---- bad arguments, lack of memory ---- */

static void refusal_body(qds_context *ctx) {
  static test_grid grid;
  double values[2] = {1, -1}, out[64];
  owned_medium medium;
  medium_start(&medium, 2, 2);
  medium_add(ctx, &medium, 1, "{shape: box, min_nm: [0, 0], max_nm: [1, 1]}");
  grid_make(&grid, 2, 4, 0, 0);
#define AVERAGE(dimension, along, kind)                                                                      \
  qds_average_box_grid(ctx, &medium.medium, dimension, grid.intervals, along, values, kind, out)
  assert_fails(AVERAGE(4, 1, QDS_AVERAGE_ARITHMETIC), QDS_ERROR_ARGUMENT, "dimension");
  assert_fails(AVERAGE(1, 2, QDS_AVERAGE_ARITHMETIC), QDS_ERROR_ARGUMENT, "axis 1 is absent in 1D");
  assert_fails(AVERAGE(2, 0, QDS_AVERAGE_ALONG), QDS_ERROR_ARGUMENT, "no internal axis 0");
  assert_fails(AVERAGE(2, 1, QDS_AVERAGE_ALONG), QDS_ERROR_ARGUMENT,
               "value -1 of material 1 is not positive");
  values[1] = (double)NAN;
  assert_fails(AVERAGE(2, 1, QDS_AVERAGE_ARITHMETIC), QDS_ERROR_ARGUMENT, "not finite");
  values[1] = 1;
  grid.bounds[2][2] = grid.bounds[2][1];
  assert_fails(AVERAGE(2, 1, QDS_AVERAGE_ARITHMETIC), QDS_ERROR_ARGUMENT,
               "bounds 1 and 2 of axis 2 do not ascend");
  grid_make(&grid, 2, 4, 0, 0);
  medium.regions[0].material = 2;
  assert_fails(AVERAGE(2, 1, QDS_AVERAGE_ARITHMETIC), QDS_ERROR_ARGUMENT, "material 2 of region 0");
  medium.medium.background = -1;
  assert_fails(AVERAGE(2, 1, QDS_AVERAGE_ARITHMETIC), QDS_ERROR_ARGUMENT, "background material -1");
  medium_clear(&medium);
}
static void bad_arguments_are_refused(void **state) {
  (void)state, with_context(1, refusal_body);
}

static qds_status average_all(qds_context *ctx, void *data) {
  static const double values[4] = {1, 2, 3, 4};
  const owned_medium *medium = data;
  static test_grid grid;
  double out[64], sums[4];
  const double *vectors[1] = {out};
  grid_make(&grid, 3, 4, 0, 0);
  QDS_TRY(qds_average_box_grid(ctx, &medium->medium, 3, grid.intervals, 1, values, QDS_AVERAGE_ALONG, out));
  return qds_volume_fractions(ctx, &medium->medium, 3, grid.intervals, 1, vectors, sums);
}

static void memory_body(qds_context *ctx) {
  owned_medium medium;
  random_medium(ctx, 1, &medium);
  assert_true(fail_each_allocation(ctx, average_all, &medium) >= 5);
  medium_clear(&medium);
}
static void averages_survive_lack_of_memory(void **state) {
  (void)state, with_context(2, memory_body);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(volumes_converge),
      cmocka_unit_test(random_media_agree_with_samples),
      cmocka_unit_test(many_surfaces_on_a_line_are_found),
      cmocka_unit_test(threads_change_nothing),
      cmocka_unit_test(bad_arguments_are_refused),
      cmocka_unit_test(averages_survive_lack_of_memory),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}

/* Runs of materials along the lines of a grid, against each box alone. */
#include "medium_support.h"

#include "dot/medium_runs.h"

/* Layers and boxes beside curved shapes: blocks of boxes that flat faces cut alike, and faces on the bounds
 * of boxes. */
static void flat_medium(qds_context *ctx, int dimension, owned_medium *medium) {
  medium_start(medium, dimension, 4);
  if (dimension == 1) {
    medium_add(ctx, medium, 1, "{shape: layer, axis: x, from_nm: -3.3, to_nm: 4}");
    medium_add(ctx, medium, 2, "{shape: layer, axis: x, from_nm: 0.1, to_nm: 0.2}");
    return;
  }
  medium_add(ctx, medium, 1, "{shape: layer, axis: y, from_nm: -2.1, to_nm: -1.9}");
  if (dimension == 2) {
    medium_add(ctx, medium, 3, "{shape: box, min_nm: [-5.3, -20], max_nm: [-4.9, 20]}");
    medium_add(ctx, medium, 2, "{shape: ellipsoid, center_nm: [1, 2], radii_nm: [6, 3]}");
    return;
  }
  medium_add(ctx, medium, 2, "{shape: layer, axis: z, from_nm: 0, to_nm: 2.7}");
  medium_add(ctx, medium, 3, "{shape: box, min_nm: [-5.3, -4, -3], max_nm: [4.9, 20, 3.1]}");
  medium_add(ctx, medium, 1, "{shape: dome, base_center_nm: [1, 0, 3.1], radius_nm: 6, height_nm: 4}");
}

/* The parts of a box that the materials fill, and the material in its middle, from the box alone. */
static void alone(qds_context *ctx, const owned_medium *medium, const test_grid *grid, int64_t box,
                  double *fraction, int *middle) {
  double low[3], high[3], bounds[3][2], indicator[4] = {0}, centre[3];
  qds_intervals one[3];
  const int absent = 3 - medium->dimension;
  box_corners(grid, box, low, high);
  for (int a = 0; a < 3; a++) {
    bounds[a][0] = low[a];
    bounds[a][1] = high[a];
    centre[a] = 0.5 * (low[a] + high[a]);
    one[a] = (qds_intervals){1, a < absent ? NULL : bounds[a]};
  }
  for (int m = 0; m < 4; m++) {
    indicator[m] = 1;
    assert_ok(qds_average_box_grid(ctx, &medium->medium, medium->dimension, one, 2, indicator,
                                   QDS_AVERAGE_ARITHMETIC, &fraction[m]));
    indicator[m] = 0;
  }
  *middle = qds_medium_at(&medium->medium, centre + absent);
}

/* The runs of a line cover it without gaps, and no two neighbours are the same material. */
static void check_line(const qds_runs *runs, int64_t line) {
  int64_t end = 0;
  for (int64_t r = runs->start[line]; r < runs->start[line + 1]; r++) {
    assert_true(runs->run[r].end > end);
    assert_in_range(runs->run[r].row, 0, runs->rows - 1);
    if (r > runs->start[line]) assert_int_not_equal(runs->run[r].row, runs->run[r - 1].row);
    end = runs->run[r].end;
  }
  assert_int_equal(end, runs->length);
}

static void check_medium(qds_context *ctx, const owned_medium *medium, const test_grid *grid) {
  const int64_t length = grid->intervals[2].count;
  qds_runs fractions, middles;
  assert_ok(qds_medium_fractions(ctx, &medium->medium, medium->dimension, grid->intervals, &fractions));
  assert_ok(qds_medium_middles(ctx, &medium->medium, medium->dimension, grid->intervals, &middles));
  assert_int_equal(fractions.lines * fractions.length, grid->boxes);
  for (int64_t line = 0; line < fractions.lines; line++) {
    check_line(&fractions, line);
    check_line(&middles, line);
    for (int64_t k = 0; k < length; k++) {
      double expected[4];
      int middle;
      alone(ctx, medium, grid, line * length + k, expected, &middle);
      const double *found = fractions.table + 4 * (int64_t)qds_runs_row(&fractions, line, k);
      for (int m = 0; m < 4; m++) assert_near(found[m], expected[m], 1e-13);
      assert_int_equal(qds_runs_row(&middles, line, k), middle);
    }
  }
  qds_runs_clear(&fractions);
  qds_runs_clear(&middles);
}

static void boxes_are_as_alone(qds_context *ctx) {
  test_grid grid;
  owned_medium medium;
  for (int dimension = 1; dimension <= 3; dimension++)
    for (uint64_t jitter = 0; jitter < 2; jitter++) {
      flat_medium(ctx, dimension, &medium);
      grid_make(&grid, dimension, 20, 3 + jitter, 0.3 * (double)jitter);
      check_medium(ctx, &medium, &grid);
      medium_clear(&medium);
    }
  for (uint64_t trial = 0; trial < 4; trial++) {
    random_medium(ctx, trial, &medium);
    grid_make(&grid, 3, 19, trial, 0.3);
    check_medium(ctx, &medium, &grid);
    medium_clear(&medium);
  }
}
static void test_boxes_are_as_alone(void **state) {
  (void)state, with_context(2, boxes_are_as_alone);
}

/* Layers cost one row of the table, however many boxes they cut. */
static void layers_take_few_rows(qds_context *ctx) {
  test_grid grid;
  owned_medium medium;
  qds_runs runs;
  medium_start(&medium, 3, 2);
  medium_add(ctx, &medium, 1, "{shape: layer, axis: z, from_nm: -1.3, to_nm: 2.2}");
  grid_make(&grid, 3, 40, 0, 0);
  assert_ok(qds_medium_fractions(ctx, &medium.medium, 3, grid.intervals, &runs));
  assert_int_equal(runs.start[runs.lines], 5 * runs.lines);
  assert_true(runs.rows < 2 + 2 * 5 * 5 + 1); /* two for each bundle of 8 x 8 lines */
  qds_runs_clear(&runs);
  medium_clear(&medium);
}
static void test_layers_take_few_rows(void **state) {
  (void)state, with_context(1, layers_take_few_rows);
}

/* What stands for each box, box after box. */
static double *expand(qds_context *ctx, uint64_t trial) {
  static test_grid grid;
  owned_medium medium;
  qds_runs runs;
  random_medium(ctx, trial, &medium);
  grid_make(&grid, 3, 41, trial, 0.3);
  assert_ok(qds_medium_fractions(ctx, &medium.medium, 3, grid.intervals, &runs));
  double *all = malloc(sizeof *all * (size_t)grid.boxes * 4);
  for (int64_t box = 0; box < grid.boxes; box++)
    memcpy(all + 4 * box, runs.table + 4 * (int64_t)qds_runs_row(&runs, box / 41, box % 41), sizeof *all * 4);
  qds_runs_clear(&runs);
  medium_clear(&medium);
  return all;
}

static double *from_one;
static void on_one(qds_context *ctx) {
  from_one = expand(ctx, 2);
}
static void on_several(qds_context *ctx) {
  double *found = expand(ctx, 2);
  assert_memory_equal(found, from_one, sizeof *found * 4 * 41 * 41 * 41);
  free(found);
  free(from_one);
}
static void test_threads_change_nothing(void **state) {
  (void)state;
  with_context(1, on_one);
  with_context(4, on_several);
}

static void copies_and_sums_of_lines(qds_context *ctx) {
  int64_t start[] = {0, 3};
  qds_run run[] = {{4, 1}, {5, 0}, {9, 2}};
  const qds_runs runs = {.lines = 1, .length = 9, .start = start, .run = run, .rows = 3};
  const double value[] = {10, 20, 30}, whole[] = {20, 20, 20, 20, 10, 30, 30, 30, 30};
  (void)ctx;
  for (int64_t first = 0; first < 9; first++)
    for (int64_t last = first + 1; last <= 9; last++) {
      double copy[9] = {0}, sum[9] = {0};
      qds_runs_copy(&runs, 0, first, last, value, copy);
      sum[0] = 1;
      qds_runs_add(&runs, 0, first, last, 0.5, value, sum);
      for (int64_t k = first; k < last; k++) {
        assert_true(copy[k - first] == whole[k]);
        assert_true(sum[k - first] == (k == first) + 0.5 * whole[k]);
      }
      for (int64_t k = last - first; k < 9; k++) assert_true(copy[k] == 0 && sum[k] == 0);
    }
}
static void test_copies_and_sums_of_lines(void **state) {
  (void)state, with_context(1, copies_and_sums_of_lines);
}

static qds_status make_runs(qds_context *ctx, void *data) {
  static test_grid grid;
  const owned_medium *medium = data;
  qds_runs fractions, middles;
  grid_make(&grid, 3, 16, 0, 0);
  QDS_TRY(qds_medium_fractions(ctx, &medium->medium, 3, grid.intervals, &fractions));
  const qds_status status = qds_medium_middles(ctx, &medium->medium, 3, grid.intervals, &middles);
  qds_runs_clear(&fractions);
  qds_runs_clear(&middles);
  return status;
}

static void memory_runs_out(qds_context *ctx) {
  owned_medium medium;
  random_medium(ctx, 1, &medium);
  assert_true(fail_each_allocation(ctx, make_runs, &medium) >= 20);
  medium_clear(&medium);
}
static void test_memory_runs_out(void **state) {
  (void)state, with_context(2, memory_runs_out);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_boxes_are_as_alone),     cmocka_unit_test(test_layers_take_few_rows),
      cmocka_unit_test(test_threads_change_nothing), cmocka_unit_test(test_copies_and_sums_of_lines),
      cmocka_unit_test(test_memory_runs_out),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}

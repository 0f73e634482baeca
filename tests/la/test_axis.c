/* Axes: nodes, weights, masses and stiffness from the definition of Gauss-Lobatto elements; grading;
 * refusals. */
#include "tensor_support.h"

static const qds_boundary dirichlet[2] = {QDS_DIRICHLET, QDS_DIRICHLET},
                          periodic[2] = {QDS_PERIODIC, QDS_PERIODIC};

static qds_axis *make(qds_context *ctx, double from, double to, int64_t nodes, int order,
                      const qds_refinement *refinements, size_t count, const qds_boundary boundary[2]) {
  qds_axis *axis;
  assert_ok(qds_axis_create(qds_context_allocator(ctx), from, to, nodes, order, refinements, count, boundary,
                            &axis));
  return axis;
}

static void nodes_are_gauss_lobatto_points(qds_context *ctx) {
  for (int order = 1; order <= 4; order++) {
    const reference_element element = reference_make(order);
    qds_axis *axis = make(ctx, -3, 7, 5 * order + 1, order, NULL, 0, dirichlet);
    assert_int_equal(axis->elements, 5);
    for (int64_t i = 0; i < axis->nodes; i++) {
      const int64_t e = i == axis->nodes - 1 ? 4 : i / order;
      assert_close(axis->coordinates_nm[i], -3 + 2 * (double)e + 1 + element.points[i - e * order], 1e-13);
    }
    assert_true(axis->coordinates_nm[0] == -3 && axis->coordinates_nm[axis->nodes - 1] == 7);
    qds_axis_destroy(axis);
  }
}

/* Exact to degree 2 order - 1 on a graded axis, element by element. */
static void weights_integrate_polynomials(qds_context *ctx) {
  const qds_refinement refinement = {0.2, 0.5, 4};
  for (int order = 1; order <= 4; order++) {
    qds_axis *axis = make(ctx, 0, 1, 4 * order + 1, order, &refinement, 1, dirichlet);
    for (int degree = 0; degree <= 2 * order; degree++) {
      double sum = 0;
      for (int64_t i = 0; i < axis->nodes; i++)
        sum += axis->weights_nm[i] * pow(axis->coordinates_nm[i], degree);
      if (degree < 2 * order)
        assert_close(sum, 1.0 / (degree + 1), 1e-14);
      else
        assert_true(fabs(sum - 1.0 / (degree + 1)) > 1e-11);
    }
    qds_axis_destroy(axis);
  }
}

static void dual_intervals_tile_the_axis(qds_context *ctx) {
  const qds_refinement refinement = {-1, 2, 3};
  for (int order = 1; order <= 4; order++) {
    qds_axis *axis = make(ctx, -4, 5, 8 * order + 1, order, &refinement, 1, dirichlet);
    assert_true(axis->dual_nm[0] == -4 && axis->dual_nm[axis->nodes] == 5);
    for (int64_t i = 0; i < axis->nodes; i++) {
      assert_close(axis->dual_nm[i + 1] - axis->dual_nm[i], axis->weights_nm[i], 1e-13);
      assert_true(axis->dual_nm[i] <= axis->coordinates_nm[i] &&
                  axis->coordinates_nm[i] <= axis->dual_nm[i + 1]);
    }
    qds_axis_destroy(axis);
  }
}

/* Element lengths far inside and far outside a refinement have the ratio asked for, and never jump. */
static void grading_is_smooth_and_as_dense_as_asked(qds_context *ctx) {
  static const double factors[] = {0.25, 2, 5, 40};
  for (int f = 0; f < 4; f++)
    for (int order = 1; order <= 4; order += 3) {
      const qds_refinement refinement = {-10, 15, factors[f]};
      qds_axis *axis = make(ctx, -60, 80, 2000 * order + 1, order, &refinement, 1, dirichlet);
      double inside = 0, outside = 0, last = 0;
      for (int64_t e = 0; e < axis->elements; e++) {
        const double *x = axis->coordinates_nm + e * order, length = x[order] - x[0];
        assert_true(length > 0);
        if (last > 0) assert_true(fmax(length / last, last / length) < 1.4);
        if (x[0] <= 2.5 && x[order] > 2.5) inside = length;
        if (x[0] <= 65 && x[order] > 65) outside = length;
        last = length;
      }
      assert_close(outside / inside / factors[f], 1, 0.01);
      qds_axis_destroy(axis);
    }
}

static void overlapping_refinements_multiply(qds_context *ctx) {
  const qds_refinement both[2] = {{-20, 20, 2}, {-20, 20, 3}}, product = {-20, 20, 6};
  qds_axis *two = make(ctx, -60, 60, 301, 1, both, 2, dirichlet),
           *one = make(ctx, -60, 60, 301, 1, &product, 1, dirichlet);
  /* the steps differ where they are smoothed, the middle does not */
  const double *a = two->coordinates_nm + 150, *b = one->coordinates_nm + 150;
  assert_close((a[1] - a[0]) / (b[1] - b[0]), 1, 0.05);
  qds_axis_destroy(two);
  qds_axis_destroy(one);
}

static void boundaries_decide_the_unknowns(qds_context *ctx) {
  static const qds_boundary kinds[3] = {QDS_DIRICHLET, QDS_NEUMANN, QDS_PERIODIC};
  for (int order = 1; order <= 4; order++)
    for (int left = 0; left < 3; left++)
      for (int right = 0; right < 3; right++) {
        const qds_boundary boundary[2] = {kinds[left], kinds[right]};
        if ((left == 2) != (right == 2)) continue;
        qds_axis *axis = make(ctx, 0, 4, 4 * order + 1, order, NULL, 0, boundary);
        assert_int_equal(axis->unknowns, axis->nodes - (left == 0) - (right != 1));
        assert_int_equal(axis->first, left == 0);
        double mass[17];
        reference_mass(axis, mass);
        for (int64_t i = 0; i < axis->nodes; i++)
          assert_int_equal(qds_axis_unknown(axis, i), reference_unknown(axis, i));
        for (int64_t u = 0; u < axis->unknowns; u++) {
          assert_close(axis->mass[u], mass[u], 1e-14);
          assert_close(axis->scale[u] * axis->scale[u] * mass[u], 1, 1e-14);
        }
        qds_axis_destroy(axis);
      }
}

static void ends_of_a_periodic_axis_share_a_mass(qds_context *ctx) {
  qds_axis *axis = make(ctx, 0, 3, 7, 2, NULL, 0, periodic);
  double total = 0;
  assert_close(axis->mass[0], axis->weights_nm[0] + axis->weights_nm[6], 1e-15);
  for (int64_t u = 0; u < axis->unknowns; u++) total += axis->mass[u];
  assert_close(total, 3, 1e-14);
  qds_axis_destroy(axis);
}

static void dense_matrix_is_the_definition(qds_context *ctx) {
  for (uint64_t seed = 1; seed <= 30; seed++) {
    axis_plan plan[3];
    int by_element[3];
    plan_random(seed, 1, 20, plan, by_element);
    by_element[2] = 1;
    tensor_problem p = problem_make(ctx, plan, by_element);
    problem_fill_random(&p, seed, 10, 1);
    double *expected = reference_matrix(p.t),
           *matrix = calloc((size_t)(p.t->rows * p.t->rows), sizeof *matrix);
    qds_axis_matrix(p.axis[2], p.t->c[2], p.t->v, matrix);
    for (int64_t i = 0; i < p.t->rows * p.t->rows; i++)
      assert_close(matrix[i], expected[i], 1e-12 * fabs(expected[0]) + 1e-12);
    free(expected);
    free(matrix);
    problem_clear(&p);
  }
}

static void point_axis_is_neutral(qds_context *ctx) {
  qds_axis *axis;
  assert_ok(qds_axis_create_point(qds_context_allocator(ctx), &axis));
  assert_int_equal(axis->nodes, 1);
  assert_int_equal(axis->unknowns, 1);
  assert_int_equal(axis->elements, 0);
  assert_int_equal(qds_axis_unknown(axis, 0), 0);
  assert_true(axis->mass[0] == 1 && axis->scale[0] == 1 && axis->weights_nm[0] == 1);
  qds_axis_destroy(axis);
}

static void coordinates_come_back(qds_context *ctx) {
  const qds_refinement refinement = {1, 2, 5};
  for (int order = 1; order <= 4; order++) {
    qds_axis *axis = make(ctx, 0, 6, 7 * order + 1, order, &refinement, 1, periodic), *again;
    axis->coordinates_nm[1] += order > 1 ? 1e-11 : 0; /* as read from a file */
    assert_ok(qds_axis_from_coordinates(qds_context_allocator(ctx), axis->coordinates_nm, axis->nodes, order,
                                        periodic, &again));
    for (int64_t i = 0; i < axis->nodes; i++) {
      assert_close(again->coordinates_nm[i], axis->coordinates_nm[i], 1.1e-11);
      assert_close(again->weights_nm[i], axis->weights_nm[i], 1e-14);
    }
    qds_axis_destroy(axis);
    qds_axis_destroy(again);
  }
}

static qds_status create(qds_context *ctx, double from, double to, int64_t nodes, int order,
                         qds_refinement refinement, size_t count, const qds_boundary boundary[2]) {
  qds_axis *axis = (void *)1;
  const qds_status status = qds_axis_create(qds_context_allocator(ctx), from, to, nodes, order, &refinement,
                                            count, boundary, &axis);
  if (status != QDS_OK) assert_null(axis);
  qds_axis_destroy(axis);
  return status;
}

static void bad_input_is_refused(qds_context *ctx) {
  const qds_refinement none = {0, 0, 0}, reversed = {5, 2, 3}, empty = {1, 2, 0}, negative = {1, 2, -3},
                       huge = {1, 2, 1e6}, not_a_number = {1, NAN, 3};
  const qds_boundary half[2] = {QDS_PERIODIC, QDS_DIRICHLET}, other_half[2] = {QDS_NEUMANN, QDS_PERIODIC};
  assert_fails(create(ctx, 0, 1, 11, 0, none, 0, dirichlet), QDS_ERROR_INPUT, "order 0: 1 to 4 are allowed");
  assert_fails(create(ctx, 0, 1, 11, 5, none, 0, dirichlet), QDS_ERROR_INPUT, "order 5");
  assert_fails(create(ctx, 0, 1, 12, 2, none, 0, dirichlet), QDS_ERROR_INPUT, "the nearest that do: 13");
  assert_fails(create(ctx, 0, 1, 12, 3, none, 0, dirichlet), QDS_ERROR_INPUT, "the nearest that do: 13");
  assert_fails(create(ctx, 0, 1, 11, 3, none, 0, dirichlet), QDS_ERROR_INPUT, "the nearest that do: 10");
  assert_fails(create(ctx, 0, 1, 2, 4, none, 0, dirichlet), QDS_ERROR_INPUT, "the nearest that do: 5");
  assert_fails(create(ctx, 0, 1, -7, 1, none, 0, dirichlet), QDS_ERROR_INPUT, "the nearest that do: 2");
  assert_fails(create(ctx, 0, 1, INT64_MAX, 3, none, 0, dirichlet), QDS_ERROR_INPUT,
               "9223372036854775807 nodes");
  assert_fails(create(ctx, 0, 1, INT64_MIN, 3, none, 0, dirichlet), QDS_ERROR_INPUT,
               "the nearest that do: 4");
  assert_fails(create(ctx, 0, 1, 2, 1, none, 0, dirichlet), QDS_ERROR_INPUT, "use at least 3");
  assert_fails(create(ctx, 0, 1, 3, 1, none, 0, periodic), QDS_ERROR_INPUT, "needs at least 4");
  assert_fails(create(ctx, 0, 1, 11, 1, none, 0, half), QDS_ERROR_INPUT, "periodic at both ends or at none");
  assert_fails(create(ctx, 0, 1, 11, 1, none, 0, other_half), QDS_ERROR_INPUT, "periodic at both ends");
  assert_fails(create(ctx, 1, 1, 11, 1, none, 0, dirichlet), QDS_ERROR_INPUT, "must lie below");
  assert_fails(create(ctx, 2, 1, 11, 1, none, 0, dirichlet), QDS_ERROR_INPUT, "from 2 nm to 1 nm");
  assert_fails(create(ctx, 0, NAN, 11, 1, none, 0, dirichlet), QDS_ERROR_INPUT, "must lie below");
  assert_fails(create(ctx, 0, INFINITY, 11, 1, none, 0, dirichlet), QDS_ERROR_INPUT, "must lie below");
  assert_fails(create(ctx, 0, 9, 11, 1, reversed, 1, dirichlet), QDS_ERROR_INPUT,
               "refinement from 5 nm to 2 nm");
  assert_fails(create(ctx, 0, 9, 11, 1, not_a_number, 1, dirichlet), QDS_ERROR_INPUT, "refinement from 1 nm");
  assert_fails(create(ctx, 0, 9, 11, 1, empty, 1, dirichlet), QDS_ERROR_INPUT, "refinement factor 0");
  assert_fails(create(ctx, 0, 9, 11, 1, negative, 1, dirichlet), QDS_ERROR_INPUT, "refinement factor -3");
  assert_fails(create(ctx, 0, 9, 11, 1, huge, 1, dirichlet), QDS_ERROR_INPUT, "refinement factor 1e+06");
}

static void bad_coordinates_are_refused(qds_context *ctx) {
  qds_allocator *allocator = qds_context_allocator(ctx);
  const double same[] = {0, 1, 1, 2}, back[] = {0, 2, 1, 3}, nan[] = {0, 1, NAN, 3},
               infinite[] = {0, 1, 2, INFINITY}, uneven[] = {0, 1, 2, 3, 5}, thirds[] = {0, 1, 2, 3};
  qds_axis *axis = (void *)1;
  assert_fails(qds_axis_from_coordinates(allocator, same, 4, 1, dirichlet, &axis), QDS_ERROR_INPUT,
               "number 1 is 1, number 2 is 1");
  assert_null(axis);
  assert_fails(qds_axis_from_coordinates(allocator, back, 4, 1, dirichlet, &axis), QDS_ERROR_INPUT, "ascend");
  assert_fails(qds_axis_from_coordinates(allocator, nan, 4, 1, dirichlet, &axis), QDS_ERROR_INPUT, "nan");
  assert_fails(qds_axis_from_coordinates(allocator, infinite, 4, 1, dirichlet, &axis), QDS_ERROR_INPUT,
               "inf");
  assert_fails(qds_axis_from_coordinates(allocator, uneven, 5, 2, dirichlet, &axis), QDS_ERROR_INPUT,
               "coordinate 3 is 3; elements of order 2 have their Gauss-Lobatto point at 3.5");
  assert_fails(qds_axis_from_coordinates(allocator, thirds, 4, 3, dirichlet, &axis), QDS_ERROR_INPUT,
               "give order 1");
  assert_fails(qds_axis_from_coordinates(allocator, thirds, 4, 2, dirichlet, &axis), QDS_ERROR_INPUT, "fit");
}

static qds_status create_both(qds_context *ctx, void *data) {
  const qds_refinement refinement = {0.2, 0.4, 3};
  QDS_AUTO(qds_axis) *axis = NULL, *again = NULL, *point = NULL;
  (void)data;
  QDS_TRY(qds_axis_create(qds_context_allocator(ctx), 0, 1, 9, 2, &refinement, 1, periodic, &axis));
  QDS_TRY(
      qds_axis_from_coordinates(qds_context_allocator(ctx), axis->coordinates_nm, 9, 2, dirichlet, &again));
  return qds_axis_create_point(qds_context_allocator(ctx), &point);
}

static void memory_runs_out(qds_context *ctx) {
  assert_true(fail_each_allocation(ctx, create_both, NULL) > 20);
}

#define TEST_IN_CONTEXT(name)                                                                                \
  static void test_##name(void **state) {                                                                    \
    (void)state;                                                                                             \
    with_context(1, name);                                                                                   \
  }
TEST_IN_CONTEXT(nodes_are_gauss_lobatto_points)
TEST_IN_CONTEXT(weights_integrate_polynomials)
TEST_IN_CONTEXT(dual_intervals_tile_the_axis)
TEST_IN_CONTEXT(grading_is_smooth_and_as_dense_as_asked)
TEST_IN_CONTEXT(overlapping_refinements_multiply)
TEST_IN_CONTEXT(boundaries_decide_the_unknowns)
TEST_IN_CONTEXT(ends_of_a_periodic_axis_share_a_mass)
TEST_IN_CONTEXT(dense_matrix_is_the_definition)
TEST_IN_CONTEXT(point_axis_is_neutral)
TEST_IN_CONTEXT(coordinates_come_back)
TEST_IN_CONTEXT(bad_input_is_refused)
TEST_IN_CONTEXT(bad_coordinates_are_refused)
TEST_IN_CONTEXT(memory_runs_out)

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_nodes_are_gauss_lobatto_points),
      cmocka_unit_test(test_weights_integrate_polynomials),
      cmocka_unit_test(test_dual_intervals_tile_the_axis),
      cmocka_unit_test(test_grading_is_smooth_and_as_dense_as_asked),
      cmocka_unit_test(test_overlapping_refinements_multiply),
      cmocka_unit_test(test_boundaries_decide_the_unknowns),
      cmocka_unit_test(test_ends_of_a_periodic_axis_share_a_mass),
      cmocka_unit_test(test_dense_matrix_is_the_definition),
      cmocka_unit_test(test_point_axis_is_neutral),
      cmocka_unit_test(test_coordinates_come_back),
      cmocka_unit_test(test_bad_input_is_refused),
      cmocka_unit_test(test_bad_coordinates_are_refused),
      cmocka_unit_test(test_memory_runs_out),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}

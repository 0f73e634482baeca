/* Random tensor grids and operators, and their dense matrices assembled from the definition: for the tests of
 * what works on tensor grids. */
#ifndef QDS_TESTS_TENSOR_SUPPORT_H
#define QDS_TESTS_TENSOR_SUPPORT_H

#include "support.h"

#include "base/philox.h"
#include "la/tensor_operator.h"

enum { REFERENCE_MOST = 5 };

/* The Gauss-Lobatto element on [-1, 1] from its definition: the points are the ends and the zeros of the
 * derivative of Legendre's polynomial; Lagrange's polynomials are multiplied out and integrated exactly. */
typedef struct {
  double points[REFERENCE_MOST], weights[REFERENCE_MOST], stiffness[REFERENCE_MOST][REFERENCE_MOST];
} reference_element;

static inline double legendre_slope(int order, double x) {
  double p0 = 1, p1 = x, d0 = 0, d1 = 1;
  for (int k = 2; k <= order; k++) {
    const double p = ((2 * k - 1) * x * p1 - (k - 1) * p0) / k, d = d0 + (2 * k - 1) * p1;
    p0 = p1, p1 = p, d0 = d1, d1 = d;
  }
  return d1;
}

static inline void reference_points(int order, double *points) {
  int count = 0;
  points[count++] = -1;
  const int steps = 1001; /* odd: no step ends at 0, where a zero may lie */
  for (int s = 0; s < steps; s++) {
    double low = -1 + 2.0 * s / steps, high = -1 + 2.0 * (s + 1) / steps;
    if (legendre_slope(order, low) * legendre_slope(order, high) > 0) continue;
    for (int halving = 0; halving < 60; halving++) {
      const double middle = 0.5 * (low + high);
      if (legendre_slope(order, low) * legendre_slope(order, middle) <= 0)
        high = middle;
      else
        low = middle;
    }
    points[count++] = 0.5 * (low + high);
  }
  points[count++] = 1;
  assert_int_equal(count, order + 1);
}

static inline double power_integral(int power) {
  return power % 2 ? 0 : 2.0 / (power + 1);
}

static inline reference_element reference_make(int order) {
  reference_element element = {{0}, {0}, {{0}}};
  double lagrange[REFERENCE_MOST][REFERENCE_MOST] = {{0}}; /* coefficient of each power of x */
  reference_points(order, element.points);
  for (int a = 0; a <= order; a++) {
    lagrange[a][0] = 1;
    for (int b = 0; b <= order; b++) {
      if (b == a) continue;
      const double scale = 1 / (element.points[a] - element.points[b]);
      for (int power = order; power >= 0; power--)
        lagrange[a][power] =
            scale * ((power > 0 ? lagrange[a][power - 1] : 0) - element.points[b] * lagrange[a][power]);
    }
  }
  for (int a = 0; a <= order; a++) {
    for (int p = 0; p <= order; p++) element.weights[a] += lagrange[a][p] * power_integral(p);
    for (int b = 0; b <= order; b++)
      for (int p = 1; p <= order; p++)
        for (int q = 1; q <= order; q++)
          element.stiffness[a][b] += p * q * lagrange[a][p] * lagrange[b][q] * power_integral(p + q - 2);
  }
  return element;
}

static inline int64_t reference_unknown(const qds_axis *axis, int64_t node) {
  if (axis->elements == 0) return 0;
  if (axis->boundary[0] == QDS_PERIODIC) return node == axis->nodes - 1 ? 0 : node;
  if (axis->boundary[0] == QDS_DIRICHLET) node--;
  const int64_t last = axis->nodes - (axis->boundary[0] == QDS_DIRICHLET);
  return node < 0 || (axis->boundary[1] == QDS_DIRICHLET && node == last - 1) ? -1 : node;
}

/* The masses of an axis's unknowns. */
static inline void reference_mass(const qds_axis *axis, double *mass) {
  for (int64_t u = 0; u < axis->unknowns; u++) mass[u] = axis->elements == 0;
  if (axis->elements == 0) return;
  const reference_element element = reference_make(axis->order);
  for (int64_t e = 0; e < axis->elements; e++) {
    const double *x = axis->coordinates_nm + e * axis->order;
    for (int a = 0; a <= axis->order; a++) {
      const int64_t u = reference_unknown(axis, e * axis->order + a);
      if (u >= 0) mass[u] += element.weights[a] * (x[axis->order] - x[0]) / 2;
    }
  }
}

/* Adds the part of one axis to the dense rows x rows matrix. */
static inline void reference_add_axis(const qds_tensor_operator *t, int a, double *matrix) {
  const qds_axis *axis = t->axis[a];
  const reference_element element = reference_make(axis->order);
  double *mass = calloc((size_t)axis->unknowns, sizeof *mass);
  reference_mass(axis, mass);
  int64_t across[3] = {t->n[0], t->n[1], t->n[2]}, shape[3] = {t->n[0], t->n[1], t->n[2]}, at[3];
  across[a] = 1;
  shape[a] = axis->elements;
  for (at[0] = 0; at[0] < across[0]; at[0]++)
    for (at[1] = 0; at[1] < across[1]; at[1]++)
      for (at[2] = 0; at[2] < across[2]; at[2]++)
        for (int64_t e = 0; e < axis->elements; e++) {
          int64_t where[3] = {at[0], at[1], at[2]}, index[2];
          where[a] = e;
          const double c =
              t->c[a][t->by_element[a] ? e : (where[0] * shape[1] + where[1]) * shape[2] + where[2]];
          const double *x = axis->coordinates_nm + e * axis->order;
          for (int i = 0; i <= axis->order; i++)
            for (int j = 0; j <= axis->order; j++) {
              const int64_t u[2] = {reference_unknown(axis, e * axis->order + i),
                                    reference_unknown(axis, e * axis->order + j)};
              if (u[0] < 0 || u[1] < 0) continue;
              for (int side = 0; side < 2; side++) {
                where[a] = u[side];
                index[side] = (where[0] * t->n[1] + where[1]) * t->n[2] + where[2];
              }
              matrix[index[1] * t->rows + index[0]] +=
                  c * element.stiffness[i][j] * 2 / (x[axis->order] - x[0]) / sqrt(mass[u[0]] * mass[u[1]]);
            }
        }
  free(mass);
}

/* The operator's dense matrix; the caller frees it. */
static inline double *reference_matrix(const qds_tensor_operator *t) {
  double *matrix = calloc((size_t)(t->rows * t->rows), sizeof *matrix);
  for (int64_t i = 0; i < t->rows; i++) matrix[i * t->rows + i] = t->v[i];
  for (int a = 0; a < 3; a++)
    if (t->axis[a]->elements > 0) reference_add_axis(t, a, matrix);
  return matrix;
}

/* --- problems ----------------------------------------------------------------------------------------- */

/* What an axis is to be; elements 0: a point. Between 0 and length_nm, refined by `grading` around
 * its third. */
typedef struct {
  int order;
  int64_t elements;
  qds_boundary boundary[2];
  double length_nm, grading; /* grading 0 or 1: uniform */
} axis_plan;

typedef struct {
  qds_axis *axis[3];
  qds_tensor_operator *t;
} tensor_problem;

static inline void axis_make(qds_context *ctx, const axis_plan *plan, qds_axis **out) {
  qds_allocator *allocator = qds_context_allocator(ctx);
  if (plan->elements == 0) {
    assert_ok(qds_axis_create_point(allocator, out));
    return;
  }
  const double length = plan->length_nm;
  const qds_refinement refinement = {0.2 * length, 0.5 * length, plan->grading};
  assert_ok(qds_axis_create(allocator, 0, length, plan->order * plan->elements + 1, plan->order, &refinement,
                            plan->grading > 0 && plan->grading != 1, plan->boundary, out));
}

/* A problem with c = 1 and v = 0. */
static inline tensor_problem problem_make(qds_context *ctx, const axis_plan plan[3],
                                          const int by_element[3]) {
  tensor_problem p = {{NULL}, NULL};
  for (int a = 0; a < 3; a++) axis_make(ctx, &plan[a], &p.axis[a]);
  assert_ok(qds_tensor_operator_create(ctx, (const qds_axis *const[3]){p.axis[0], p.axis[1], p.axis[2]},
                                       by_element, &p.t));
  for (int a = 0; a < 3; a++)
    for (int64_t i = 0; i < qds_tensor_operator_coefficients(p.t, a); i++) p.t->c[a][i] = 1;
  return p;
}

static inline void problem_clear(tensor_problem *p) {
  qds_tensor_operator_destroy(p->t);
  for (int a = 0; a < 3; a++) qds_axis_destroy(p->axis[a]);
}

static inline double problem_random(uint64_t seed, uint64_t stream, uint64_t index) {
  return qds_random_uniform(seed, stream, index);
}

/* Coefficients from 1 to `contrast` and potentials from -depth to depth. */
static inline void problem_fill_random(tensor_problem *p, uint64_t seed, double contrast, double depth) {
  for (int a = 0; a < 3; a++)
    for (int64_t i = 0; i < qds_tensor_operator_coefficients(p->t, a); i++)
      p->t->c[a][i] = pow(contrast, problem_random(seed, 10 + (uint64_t)a, (uint64_t)i));
  for (int64_t i = 0; i < p->t->rows; i++)
    p->t->v[i] = depth * (2 * problem_random(seed, 13, (uint64_t)i) - 1);
}

/* A random grid of `dimensions` axes with up to about `most` unknowns along each. */
static inline void plan_random(uint64_t seed, int dimensions, int most, axis_plan plan[3],
                               int by_element[3]) {
  static const qds_boundary ends[5][2] = {{QDS_DIRICHLET, QDS_DIRICHLET},
                                          {QDS_NEUMANN, QDS_DIRICHLET},
                                          {QDS_DIRICHLET, QDS_NEUMANN},
                                          {QDS_NEUMANN, QDS_NEUMANN},
                                          {QDS_PERIODIC, QDS_PERIODIC}};
  for (uint64_t a = 0; a < 3; a++) {
    const int order = 1 + (int)(4 * problem_random(seed, a, 0)), kind = (int)(5 * problem_random(seed, a, 1));
    plan[a] = (axis_plan){order,
                          3 + (int64_t)(problem_random(seed, a, 2) * (most - 3) / order),
                          {ends[kind][0], ends[kind][1]},
                          1 + 2 * problem_random(seed, a, 3),
                          problem_random(seed, a, 4) < 0.5 ? 1 : 3};
    by_element[a] = problem_random(seed, a, 5) < 0.5;
    if ((int)a < 3 - dimensions) plan[a].elements = 0;
  }
}

#endif

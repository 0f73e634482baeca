#include "la/axis.h"

#include <math.h>
#include <string.h>

enum { MAX_ORDER = 4, GRADING_SAMPLES = 16 };
/* A vector of more could not be counted in BLAS's 32-bit integers. */
enum { MAX_NODES = 2000000000 };

/* Gauss-Lobatto points on [-1, 1] and their weights (Abramowitz, Stegun, 25.4.32). */
static void gauss_lobatto(int order, double *points, double *weights) {
  const double a = sqrt(1.0 / 5), b = sqrt(3.0 / 7);
  const double point_table[MAX_ORDER][MAX_ORDER + 1] = {
      {-1, 1}, {-1, 0, 1}, {-1, -a, a, 1}, {-1, -b, 0, b, 1}};
  const double weight_table[MAX_ORDER][MAX_ORDER + 1] = {{1, 1},
                                                         {1.0 / 3, 4.0 / 3, 1.0 / 3},
                                                         {1.0 / 6, 5.0 / 6, 5.0 / 6, 1.0 / 6},
                                                         {0.1, 49.0 / 90, 32.0 / 45, 49.0 / 90, 0.1}};
  memcpy(points, point_table[order - 1], sizeof(double) * (size_t)(order + 1));
  memcpy(weights, weight_table[order - 1], sizeof(double) * (size_t)(order + 1));
}

/* derivative[q * (order + 1) + a]: the slope of the a-th Lagrange polynomial at point q. */
static void lagrange_slopes(int order, const double *points, double *derivative) {
  const int count = order + 1;
  for (int q = 0; q < count; q++) {
    double diagonal = 0;
    for (int a = 0; a < count; a++) {
      if (a == q) continue;
      double slope = 1 / (points[a] - points[q]);
      for (int b = 0; b < count; b++)
        if (b != a && b != q) slope *= (points[q] - points[b]) / (points[a] - points[b]);
      derivative[q * count + a] = slope;
      diagonal += 1 / (points[q] - points[a]);
    }
    derivative[q * count + q] = diagonal;
  }
}

/* Integral of l_a' l_b' over [-1, 1]; the quadrature is exact for it. */
static void reference_stiffness(int order, double *stiffness) {
  const int count = order + 1;
  double points[MAX_ORDER + 1], weights[MAX_ORDER + 1], slope[(MAX_ORDER + 1) * (MAX_ORDER + 1)];
  gauss_lobatto(order, points, weights);
  lagrange_slopes(order, points, slope);
  for (int a = 0; a < count; a++)
    for (int b = 0; b < count; b++) {
      double sum = 0;
      for (int q = 0; q < count; q++) sum += weights[q] * slope[q * count + a] * slope[q * count + b];
      stiffness[a * count + b] = sum;
    }
}

static qds_status allocate(qds_allocator *allocator, int64_t nodes, int order, const qds_boundary boundary[2],
                           qds_axis **out) {
  QDS_AUTO(qds_axis) *axis = NULL;
  QDS_TRY(QDS_NEW_ZERO(allocator, 1, "axis", &axis));
  axis->order = order;
  axis->nodes = nodes;
  axis->elements = (nodes - 1) / order;
  axis->boundary[0] = boundary[0];
  axis->boundary[1] = boundary[1];
  axis->first = boundary[0] == QDS_DIRICHLET;
  axis->unknowns = nodes - axis->first - (boundary[1] != QDS_NEUMANN);
  QDS_TRY(QDS_NEW(allocator, nodes, "axis", &axis->coordinates_nm));
  QDS_TRY(QDS_NEW_ZERO(allocator, nodes, "axis", &axis->weights_nm));
  QDS_TRY(QDS_NEW(allocator, nodes + 1, "axis", &axis->dual_nm));
  QDS_TRY(QDS_NEW_ZERO(allocator, axis->unknowns, "axis", &axis->mass));
  QDS_TRY(QDS_NEW(allocator, axis->unknowns, "axis", &axis->scale));
  QDS_TRY(QDS_NEW(allocator, axis->elements * (order + 1) * (order + 1), "axis", &axis->stiffness));
  *out = axis;
  axis = NULL;
  return QDS_OK;
}

static void set_weights(qds_axis *axis) {
  const int count = axis->order + 1;
  double points[MAX_ORDER + 1], weights[MAX_ORDER + 1];
  gauss_lobatto(axis->order, points, weights);
  for (int64_t e = 0; e < axis->elements; e++) {
    const double *x = axis->coordinates_nm + e * axis->order;
    for (int a = 0; a < count; a++)
      axis->weights_nm[e * axis->order + a] += weights[a] * (x[axis->order] - x[0]) / 2;
  }
  axis->dual_nm[0] = axis->coordinates_nm[0];
  for (int64_t i = 0; i < axis->nodes; i++) axis->dual_nm[i + 1] = axis->dual_nm[i] + axis->weights_nm[i];
  axis->dual_nm[axis->nodes] = axis->coordinates_nm[axis->nodes - 1];
  for (int64_t i = 0; i < axis->nodes; i++) {
    const int64_t unknown = qds_axis_unknown(axis, i);
    if (unknown >= 0) axis->mass[unknown] += axis->weights_nm[i];
  }
  for (int64_t u = 0; u < axis->unknowns; u++) axis->scale[u] = 1 / sqrt(axis->mass[u]);
}

static void set_stiffness(qds_axis *axis) {
  const int count = axis->order + 1;
  double reference[(MAX_ORDER + 1) * (MAX_ORDER + 1)];
  reference_stiffness(axis->order, reference);
  for (int64_t e = 0; e < axis->elements; e++) {
    const double *x = axis->coordinates_nm + e * axis->order;
    for (int ab = 0; ab < count * count; ab++)
      axis->stiffness[e * count * count + ab] = reference[ab] * 2 / (x[axis->order] - x[0]);
  }
}

static qds_status check_shape(int64_t nodes, int order, const qds_boundary boundary[2]) {
  if (order < 1 || order > MAX_ORDER) QDS_FAIL(QDS_ERROR_INPUT, "order %d: 1 to 4 are allowed", order);
  if (nodes > MAX_NODES)
    QDS_FAIL(QDS_ERROR_INPUT, "%lld nodes on an axis: up to %d are allowed", (long long)nodes, MAX_NODES);
  if (nodes < order + 1 || (nodes - 1) % order != 0) {
    const int64_t nearest = nodes < order + 1 ? order + 1 : (nodes - 1 + order / 2) / order * order + 1;
    QDS_FAIL(
        QDS_ERROR_INPUT,
        "%lld nodes do not fit elements of order %d (nodes = %d x elements + 1); the nearest that do: %lld",
        (long long)nodes, order, order, (long long)nearest);
  }
  if ((boundary[0] == QDS_PERIODIC) != (boundary[1] == QDS_PERIODIC))
    QDS_FAIL(QDS_ERROR_INPUT, "an axis is periodic at both ends or at none");
  const int64_t unknowns = nodes - (boundary[0] == QDS_DIRICHLET) - (boundary[1] != QDS_NEUMANN);
  if (unknowns < 1)
    QDS_FAIL(QDS_ERROR_INPUT, "%lld nodes leave no unknown between these boundaries; use at least 3",
             (long long)nodes);
  if (boundary[0] == QDS_PERIODIC && nodes < 4)
    QDS_FAIL(QDS_ERROR_INPUT, "%lld nodes: a periodic axis needs at least 4", (long long)nodes);
  return QDS_OK;
}

/* The density of elements at x, relative to the unrefined axis; each step is smoothed over 15 % of its
 * length. */
static double density(double x, const qds_refinement *refinements, size_t count) {
  double product = 1;
  for (size_t r = 0; r < count; r++) {
    const double from = refinements[r].from_nm, to = refinements[r].to_nm, width = 0.15 * (to - from);
    const double inside = 0.5 * (tanh((x - from) / width) - tanh((x - to) / width));
    product *= 1 + (refinements[r].factor - 1) * inside;
  }
  return product;
}

/* Element ends at equal steps of the integrated density: tabulated by Simpson's rule, inverted linearly. */
static qds_status grade(qds_allocator *allocator, qds_axis *axis, double from_nm, double to_nm,
                        const qds_refinement *refinements, size_t count) {
  const int64_t samples = GRADING_SAMPLES * (axis->elements < 256 ? 256 : axis->elements);
  const double step = (to_nm - from_nm) / (double)samples;
  QDS_AUTO_RELEASE double *integral = NULL;
  QDS_TRY(QDS_NEW(allocator, samples + 1, "axis", &integral));
  integral[0] = 0;
  for (int64_t i = 0; i < samples; i++) {
    const double x = from_nm + (double)i * step;
    integral[i + 1] =
        integral[i] + step / 6 *
                          (density(x, refinements, count) + 4 * density(x + step / 2, refinements, count) +
                           density(x + step, refinements, count));
  }
  int64_t i = 0;
  for (int64_t e = 0; e <= axis->elements; e++) {
    const double target = integral[samples] * (double)e / (double)axis->elements;
    while (i < samples - 1 && integral[i + 1] < target) i++;
    const double fraction = (target - integral[i]) / (integral[i + 1] - integral[i]);
    axis->coordinates_nm[e * axis->order] = from_nm + ((double)i + fraction) * step;
  }
  return QDS_OK;
}

static void place_inner_nodes(qds_axis *axis) {
  double points[MAX_ORDER + 1], weights[MAX_ORDER + 1];
  gauss_lobatto(axis->order, points, weights);
  for (int64_t e = 0; e < axis->elements; e++) {
    double *x = axis->coordinates_nm + e * axis->order;
    for (int a = 1; a < axis->order; a++) x[a] = x[0] + (x[axis->order] - x[0]) * (points[a] + 1) / 2;
  }
}

static qds_status check_limits(double from_nm, double to_nm, const qds_refinement *refinements,
                               size_t count) {
  if (!(isfinite(from_nm) && isfinite(to_nm) && from_nm < to_nm))
    QDS_FAIL(QDS_ERROR_INPUT, "from %g nm to %g nm: the first limit must lie below the second", from_nm,
             to_nm);
  for (size_t r = 0; r < count; r++) {
    if (!(refinements[r].from_nm < refinements[r].to_nm))
      QDS_FAIL(QDS_ERROR_INPUT, "refinement from %g nm to %g nm: the first limit must lie below the second",
               refinements[r].from_nm, refinements[r].to_nm);
    if (!(refinements[r].factor > 0 && refinements[r].factor <= 1000))
      QDS_FAIL(QDS_ERROR_INPUT, "refinement factor %g: above 0 and up to 1000 are allowed",
               refinements[r].factor);
  }
  return QDS_OK;
}

qds_status qds_axis_create(qds_allocator *allocator, double from_nm, double to_nm, int64_t nodes, int order,
                           const qds_refinement *refinements, size_t count, const qds_boundary boundary[2],
                           qds_axis **out) {
  QDS_AUTO(qds_axis) *axis = NULL;
  *out = NULL;
  QDS_TRY(check_shape(nodes, order, boundary));
  QDS_TRY(check_limits(from_nm, to_nm, refinements, count));
  QDS_TRY(allocate(allocator, nodes, order, boundary, &axis));
  if (count > 0)
    QDS_TRY(grade(allocator, axis, from_nm, to_nm, refinements, count));
  else
    for (int64_t e = 0; e <= axis->elements; e++)
      axis->coordinates_nm[e * order] = from_nm + (to_nm - from_nm) * (double)e / (double)axis->elements;
  axis->coordinates_nm[0] = from_nm;
  axis->coordinates_nm[nodes - 1] = to_nm;
  place_inner_nodes(axis);
  set_weights(axis);
  set_stiffness(axis);
  *out = axis;
  axis = NULL;
  return QDS_OK;
}

qds_status qds_axis_from_coordinates(qds_allocator *allocator, const double *coordinates_nm, int64_t nodes,
                                     int order, const qds_boundary boundary[2], qds_axis **out) {
  QDS_AUTO(qds_axis) *axis = NULL;
  *out = NULL;
  QDS_TRY(check_shape(nodes, order, boundary));
  for (int64_t i = 1; i < nodes; i++)
    if (!(coordinates_nm[i - 1] < coordinates_nm[i]) || !isfinite(coordinates_nm[i] - coordinates_nm[i - 1]))
      QDS_FAIL(QDS_ERROR_INPUT, "coordinates must ascend: number %lld is %g, number %lld is %g",
               (long long)i - 1, coordinates_nm[i - 1], (long long)i, coordinates_nm[i]);
  QDS_TRY(allocate(allocator, nodes, order, boundary, &axis));
  memcpy(axis->coordinates_nm, coordinates_nm, sizeof(double) * (size_t)nodes);
  place_inner_nodes(axis);
  for (int64_t i = 0; i < nodes; i++) {
    const int64_t end = i - i % order + (i == nodes - 1 ? 0 : order);
    const double length = fabs(coordinates_nm[end] - coordinates_nm[end - order]);
    if (fabs(axis->coordinates_nm[i] - coordinates_nm[i]) > 1e-9 * length)
      QDS_FAIL(QDS_ERROR_INPUT,
               "coordinate %lld is %.12g; elements of order %d have their Gauss-Lobatto point at %.12g; give "
               "order 1, or "
               "the coordinates of such elements",
               (long long)i, coordinates_nm[i], order, axis->coordinates_nm[i]);
  }
  set_weights(axis);
  set_stiffness(axis);
  *out = axis;
  axis = NULL;
  return QDS_OK;
}

qds_status qds_axis_create_point(qds_allocator *allocator, qds_axis **out) {
  const qds_boundary free_ends[2] = {QDS_NEUMANN, QDS_NEUMANN};
  *out = NULL;
  QDS_TRY(allocate(allocator, 1, 1, free_ends, out));
  qds_axis *axis = *out;
  axis->coordinates_nm[0] = 0;
  axis->weights_nm[0] = axis->mass[0] = axis->scale[0] = 1;
  axis->dual_nm[0] = -0.5;
  axis->dual_nm[1] = 0.5;
  return QDS_OK;
}

void qds_axis_destroy(qds_axis *axis) {
  if (!axis) return;
  qds_release(axis->coordinates_nm);
  qds_release(axis->weights_nm);
  qds_release(axis->dual_nm);
  qds_release(axis->mass);
  qds_release(axis->scale);
  qds_release(axis->stiffness);
  qds_release(axis);
}

void qds_axis_matrix(const qds_axis *axis, const double *c, const double *v, double *matrix) {
  const int64_t n = axis->unknowns;
  const int count = axis->order + 1;
  memset(matrix, 0, sizeof(double) * (size_t)(n * n));
  for (int64_t i = 0; i < n; i++) matrix[i * n + i] = v[i];
  for (int64_t e = 0; e < axis->elements; e++)
    for (int a = 0; a < count; a++)
      for (int b = 0; b < count; b++) {
        const int64_t i = qds_axis_unknown(axis, e * axis->order + a),
                      j = qds_axis_unknown(axis, e * axis->order + b);
        if (i >= 0 && j >= 0)
          matrix[j * n + i] +=
              c[e] * axis->stiffness[(e * count + a) * count + b] * axis->scale[i] * axis->scale[j];
      }
}

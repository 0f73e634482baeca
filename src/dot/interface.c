#include "dot/interface.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "dot/coefficient.h"
#include "dot/medium_runs.h"

/* What a box is along an axis. */
typedef enum { AROUND_NODE, BETWEEN_NODES, ELEMENT } extent;

/* A box that a surface cuts, and its coefficient. */
typedef struct {
  int64_t box;
  double value;
} cut_value;

typedef struct {
  qds_allocator *allocator;
  cut_value *list;
  int64_t count, room;
  qds_status status;
} cut_list;

/* One component of the layers' coefficients, for all boxes of a grid. */
typedef struct {
  const qds_device *device;
  const qds_tensor_operator *t;
  const double *const *values; /* per axis and material */
  const qds_runs *volumes;     /* of the nodes */
  const double *trace;         /* of their rows: the mean of the sum of the coefficients over the axes */
  extent extents[3];
  int64_t count[3];
  int i, j;
  cut_list *found; /* those that are not 0, where i and j differ */
} component;

/* The traces at the nodes that a box reaches over, and how often each counts. */
enum { MOST_NODES = 5 };
typedef struct {
  int nodes[3];
  double trace[MOST_NODES][MOST_NODES][MOST_NODES], weight[MOST_NODES][MOST_NODES][MOST_NODES];
} neighbourhood;

/* The normals of an interface come from the change of the trace across its box. A change below this part of
 * the materials' difference is none: a thin layer in the middle of a box. */
static const double least_change = 0.1;
/* Couplings below this part of the coefficient are rounding. */
static const double least_coupling = 1e-12;

/* The nodes that a box reaches over along an axis, and where it begins. */
static int nodes_along(const component *c, int axis, int64_t index, int64_t *first) {
  const int order = c->t->axis[axis]->order;
  *first = c->extents[axis] == ELEMENT         ? index * order
           : c->extents[axis] == BETWEEN_NODES ? index
                                               : index - 1;
  return c->extents[axis] == ELEMENT ? order + 1 : c->extents[axis] == BETWEEN_NODES ? 2 : 3;
}

/* A node moved into the grid: round a periodic axis, to the nearest end on the others. */
static int64_t node_inside(const qds_axis *axis, int64_t node) {
  if (node >= 0 && node < axis->nodes) return node;
  if (axis->boundary[0] == QDS_PERIODIC) return node < 0 ? node + axis->nodes - 1 : node - axis->nodes + 1;
  return node < 0 ? 0 : axis->nodes - 1;
}

/* Around a node the node itself counts twice. */
static void look_around(const component *c, const int64_t index[3], neighbourhood *n) {
  int64_t first[3] = {0}, at[3];
  const int64_t n1 = c->t->axis[1]->nodes;
  for (int a = 0; a < 3; a++)
    n->nodes[a] = c->t->axis[a]->elements > 0 ? nodes_along(c, a, index[a], &first[a]) : 1;
  for (int i = 0; i < n->nodes[0]; i++)
    for (int j = 0; j < n->nodes[1]; j++)
      for (int k = 0; k < n->nodes[2]; k++) {
        const int offset[3] = {i, j, k};
        double weight = 1;
        for (int a = 0; a < 3; a++) {
          at[a] = node_inside(c->t->axis[a], first[a] + offset[a]);
          if (c->extents[a] == AROUND_NODE && offset[a] == 1) weight *= 2;
        }
        n->weight[i][j][k] = weight;
        n->trace[i][j][k] = c->trace[qds_runs_row(c->volumes, at[0] * n1 + at[1], at[2])];
      }
}

/* The change of the trace from end to end of the box along `axis`, its mean over the nodes across. */
static double change_along(const neighbourhood *n, int axis) {
  int step[3] = {1, 1, 1};
  double sum = 0, weights = 0;
  step[axis] = n->nodes[axis] - 1;
  for (int i = 0; i < n->nodes[0]; i += step[0])
    for (int j = 0; j < n->nodes[1]; j += step[1])
      for (int k = 0; k < n->nodes[2]; k += step[2]) {
        const int offset[3] = {i, j, k};
        const double weight = n->weight[i][j][k], value = n->trace[i][j][k];
        sum += offset[axis] > 0 ? weight * value : -weight * value;
        weights += weight;
      }
  return 2 * sum / weights;
}

/* The distance between the first and the last node of a box along an axis. */
static double reach(const component *c, const int64_t index[3], int axis) {
  const qds_axis *x = c->t->axis[axis];
  const int periodic = x->boundary[0] == QDS_PERIODIC;
  int64_t first;
  const int64_t last = nodes_along(c, axis, index[axis], &first) - 1 + first, end = x->nodes - 1;
  double beyond = 0;
  if (first < 0 && periodic) beyond += x->coordinates_nm[end] - x->coordinates_nm[end - 1];
  if (last > end && periodic) beyond += x->coordinates_nm[1] - x->coordinates_nm[0];
  return x->coordinates_nm[last > end ? end : last] - x->coordinates_nm[first < 0 ? 0 : first] + beyond;
}

/* The direction in which the trace changes across a box, of length 1 or 0, and the largest change along an
 * axis. */
static double direction_of(const component *c, const int64_t index[3], double n[3]) {
  neighbourhood around;
  double largest = 0, square = 0;
  look_around(c, index, &around);
  for (int a = 0; a < 3; a++) {
    n[a] = 0;
    if (c->t->axis[a]->elements == 0) continue;
    const double change = change_along(&around, a);
    largest = fmax(largest, fabs(change));
    n[a] = change / reach(c, index, a);
    square += n[a] * n[a];
  }
  for (int a = 0; a < 3 && square > 0; a++) n[a] /= sqrt(square);
  return largest;
}

/* Whether such a change is that of a surface with a normal, and not of a thin layer inside the box. */
static int is_surface(const component *c, const double *fraction, double change) {
  double low = INFINITY, high = -INFINITY;
  for (int m = 0; m < c->device->materials; m++) {
    if (fraction[m] <= 0) continue;
    const double trace = c->values[0][m] + c->values[1][m] + c->values[2][m];
    low = fmin(low, trace);
    high = fmax(high, trace);
  }
  return change > least_change * (high - low);
}

/* c_ij of the header. */
static double layered(const component *c, const double *fraction, const double n[3]) {
  const double *ci = c->values[c->i], *cj = c->values[c->j];
  double mean = 0, inverse = 0, i = 0, j = 0, ij = 0;
  for (int m = 0; m < c->device->materials; m++) {
    double q = 0;
    for (int a = 0; a < 3; a++) q += n[a] * n[a] * c->values[a][m];
    const double part = fraction[m] / q;
    mean += fraction[m] * ci[m];
    inverse += part;
    i += part * ci[m];
    j += part * cj[m];
    ij += part * ci[m] * cj[m];
  }
  return (c->i == c->j ? mean : 0) - n[c->i] * n[c->j] * (ij - i * j / inverse);
}

/* Nothing couples along two axes that the normal is perpendicular to one of. */
static double value_of_cut(const component *c, const int64_t index[3], qds_cut *box) {
  double n[3];
  const double change = direction_of(c, index, n);
  if (c->i != c->j && n[c->i] * n[c->j] == 0) return 0;
  const double *fraction = qds_cut_fractions(box);
  if (is_surface(c, fraction, change)) return layered(c, fraction, n);
  return c->i == c->j ? qds_cut_along(box, c->i, c->values[c->i]) : 0;
}

static int cut(void *self, const int64_t index[3], qds_cut *box, double *value) {
  *value = value_of_cut(self, index, box);
  return -1;
}

static qds_status append(cut_list *found, cut_value value) {
  if (found->count == found->room) {
    found->room = found->room ? 2 * found->room : 1024;
    QDS_TRY(QDS_RESIZE(found->allocator, found->room, "hamiltonian", &found->list));
  }
  found->list[found->count++] = value;
  return QDS_OK;
}

/* Uniform boxes couple nothing across. */
static void uniform_pair(void *self, const int64_t first[3], const int64_t count[3], int material) {
  (void)self, (void)first, (void)count, (void)material;
}

static void cut_pair(void *self, const int64_t index[3], qds_cut *box) {
  const component *c = self;
  const cut_value value = {(index[0] * c->count[1] + index[1]) * c->count[2] + index[2],
                           value_of_cut(c, index, box)};
  if (fabs(value.value) <= least_coupling * c->values[c->i][0]) return;
#pragma omp critical(qds_interface_cut)
  if (c->found->status == QDS_OK) c->found->status = append(c->found, value);
}

/* The boxes that c->extents describe; *ends is what they may refer to. */
static qds_status box_intervals(component *c, qds_intervals intervals[3], double **ends) {
  for (int a = 0; a < 3; a++) {
    const qds_axis *axis = c->t->axis[a];
    intervals[a] = qds_node_intervals(axis);
    if (c->extents[a] == BETWEEN_NODES) intervals[a] = (qds_intervals){axis->nodes - 1, axis->coordinates_nm};
    if (c->extents[a] == ELEMENT) {
      QDS_TRY(QDS_NEW(qds_context_allocator(c->device->ctx), axis->elements + 1, "hamiltonian", ends));
      for (int64_t e = 0; e <= axis->elements; e++) (*ends)[e] = axis->coordinates_nm[e * axis->order];
      intervals[a] = (qds_intervals){axis->elements, *ends};
    }
    c->count[a] = intervals[a].count;
  }
  return QDS_OK;
}

static qds_status fill_axis(component *c, qds_tensor_operator *t, int axis) {
  const qds_device *d = c->device;
  QDS_AUTO_RELEASE double *ends = NULL;
  qds_intervals intervals[3];
  qds_runs runs;
  for (int a = 0; a < 3; a++) c->extents[a] = a == axis ? ELEMENT : AROUND_NODE;
  c->i = c->j = axis;
  QDS_TRY(box_intervals(c, intervals, &ends));
  const qds_box_numbers numbers = {1, c->values[axis], cut, c};
  QDS_TRY(qds_medium_runs(d->ctx, &d->medium, d->dimension, intervals, &numbers, &runs));
  const qds_status status = qds_fold_runs(d->ctx, t, axis, NULL, NULL, &runs);
  qds_runs_clear(&runs);
  return status;
}

typedef struct {
  qds_coupling *list;
  int64_t count, room;
} coupling_list;

/* value (psi_p - psi_q)^2 of two nodes; psi is 0 at those that are no unknowns. */
static qds_status couple(qds_context *ctx, const qds_tensor_operator *t, const int64_t p[3],
                         const int64_t q[3], double value, coupling_list *couplings) {
  int64_t at[2] = {0, 0};
  double scale[2] = {1, 1};
  for (int end = 0; end < 2; end++)
    for (int a = 0; a < 3 && at[end] >= 0; a++) {
      const int64_t u = qds_axis_unknown(t->axis[a], end ? q[a] : p[a]);
      at[end] = u < 0 ? -1 : at[end] * t->n[a] + u;
      if (u >= 0) scale[end] *= t->axis[a]->scale[u];
    }
  if (at[0] < 0 && at[1] < 0) return QDS_OK;
  if (couplings->count == couplings->room) {
    couplings->room = couplings->room ? 2 * couplings->room : 1024;
    QDS_TRY(QDS_RESIZE(qds_context_allocator(ctx), couplings->room, "hamiltonian", &couplings->list));
  }
  const int from = at[0] < 0;
  couplings->list[couplings->count++] = (qds_coupling){.a = at[from],
                                                       .b = at[!from],
                                                       .aa = value * scale[from] * scale[from],
                                                       .ab = -value * scale[0] * scale[1],
                                                       .bb = value * scale[!from] * scale[!from]};
  return QDS_OK;
}

/* Nothing is coupled through a wall. */
static int touches_wall(const qds_device *d, const qds_tensor_operator *t, const int64_t corner[4][3]) {
  for (int c = 0; c < 4; c++) {
    double p[3] = {0};
    for (int user = 0; user < d->dimension; user++) {
      const int a = qds_device_axis(d, user);
      p[user] = t->axis[a]->coordinates_nm[corner[c][a]];
    }
    if (d->material[qds_medium_at(&d->medium, p)].hard_wall) return 1;
  }
  return 0;
}

/* The integral of 2 c_ab (d_a psi) (d_b psi) over a cell, with the mean slopes of its four corners: half of
 * c_ab times the length across, times the difference of the squares of the two diagonals' differences. */
static qds_status couple_cell(const component *c, const int64_t cell[3], double value,
                              coupling_list *couplings) {
  const int third = 3 - c->i - c->j;
  int64_t corner[4][3];
  for (int k = 0; k < 4; k++) {
    memcpy(corner[k], cell, sizeof corner[k]);
    corner[k][c->i] += k & 1;
    corner[k][c->j] += k >> 1;
  }
  if (touches_wall(c->device, c->t, corner)) return QDS_OK;
  const double strength = 0.5 * value * c->t->axis[third]->weights_nm[cell[third]];
  QDS_TRY(couple(c->device->ctx, c->t, corner[0], corner[3], strength, couplings));
  return couple(c->device->ctx, c->t, corner[1], corner[2], -strength, couplings);
}

static int by_box(const void *a, const void *b) {
  const cut_value *x = a, *y = b;
  return x->box < y->box ? -1 : x->box > y->box;
}

/* The threads find the boxes in any order; couplings are made in that of the grid, so that sums over them do
 * not depend on the threads. */
static qds_status couple_found(const component *c, coupling_list *couplings) {
  const int64_t *n = c->count;
  QDS_TRY(c->found->status);
  if (c->found->count > 0) qsort(c->found->list, (size_t)c->found->count, sizeof *c->found->list, by_box);
  for (int64_t f = 0; f < c->found->count; f++) {
    const int64_t box = c->found->list[f].box, cell[3] = {box / (n[1] * n[2]), box / n[2] % n[1], box % n[2]};
    QDS_TRY(couple_cell(c, cell, c->found->list[f].value, couplings));
  }
  return QDS_OK;
}

static qds_status collect_pair(component *c, int i, int j, coupling_list *couplings) {
  const qds_device *d = c->device;
  const qds_box_visitor visitor = {c, uniform_pair, cut_pair};
  cut_list found = {.allocator = qds_context_allocator(d->ctx)};
  qds_intervals intervals[3];
  double *ends = NULL;
  for (int a = 0; a < 3; a++) c->extents[a] = a == i || a == j ? BETWEEN_NODES : AROUND_NODE;
  c->i = i;
  c->j = j;
  c->found = &found;
  QDS_TRY(box_intervals(c, intervals, &ends));
  qds_status status = qds_visit_boxes(d->ctx, &d->medium, d->dimension, intervals, &visitor);
  if (status == QDS_OK) status = couple_found(c, couplings);
  qds_release(found.list);
  c->found = NULL;
  return status;
}

/* Of the rows of the volumes' table. */
static qds_status mean_traces(const qds_device *d, const qds_runs *volumes, const double *const values[3],
                              double **out) {
  QDS_TRY(QDS_NEW_ZERO(qds_context_allocator(d->ctx), volumes->rows, "hamiltonian", out));
  for (int64_t row = 0; row < volumes->rows; row++)
    for (int m = 0; m < d->materials; m++)
      (*out)[row] += volumes->table[row * d->materials + m] * (values[0][m] + values[1][m] + values[2][m]);
  return QDS_OK;
}

static qds_status fill(component *c, qds_tensor_operator *t, coupling_list *couplings) {
  const int first = 3 - c->device->dimension;
  for (int a = first; a < 3; a++)
    if (!t->by_element[a]) QDS_TRY(fill_axis(c, t, a));
  for (int i = first; i < 3; i++)
    for (int j = i + 1; j < 3; j++) QDS_TRY(collect_pair(c, i, j, couplings));
  return qds_couplings_create(c->device->ctx, t->rows, couplings->count, couplings->list, &t->couplings);
}

qds_status qds_interface_coefficients(const qds_device *d, const qds_runs *volumes,
                                      const double *const values[3], qds_tensor_operator *t) {
  QDS_AUTO_RELEASE double *trace = NULL;
  coupling_list couplings = {0};
  QDS_TRY(mean_traces(d, volumes, values, &trace));
  component c = {.device = d, .t = t, .values = values, .volumes = volumes, .trace = trace};
  const qds_status status = fill(&c, t, &couplings);
  qds_release(couplings.list);
  return status;
}

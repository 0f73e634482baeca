/* The kernels of the tensor operator: their arguments and the work on one node, for the CPU
 * (device_operator_cpu.c) and for CUDA (device_operator_cuda.cu). Every pointer lies in memory of the
 * stream's place. */
#ifndef QDS_LA_DEVICE_OPERATOR_KERNELS_H
#define QDS_LA_DEVICE_OPERATOR_KERNELS_H

#include "la/block_kernels.h"
#include "la/tiled_view.h"

/* An unknown belongs to the element below it (side 0) and to the one above it (side 1), or to one only (side
 * 0 where order > 1, inside an element). weight[(side * (order + 1) + b) * n + i] is the scaled stiffness of
 * unknown i with node b of that element, 0 where there is no element or no unknown. */
typedef struct {
  int order, periodic, first, elements, n; /* elements 0: the axis is a point */
  const double *weight;
  qds_tiled_view c;
} qds_tensor_axis_view;

typedef struct {
  qds_tensor_axis_view axis[3];
  qds_tiled_view v;
} qds_tensor_view;

/* y = A x, or a part of it: the columns from the first of both. */
typedef struct {
  qds_tensor_view t;
  qds_columns x, y;
  int planes; /* of the first axis, that one thread works through at order 1 */
} qds_tensor_apply_arguments;

/* y += C x for couplings (coupling.h). */
typedef struct {
  qds_columns x, y;
  int64_t rows;
  const int64_t *row, *start, *column;
  const double *diagonal, *value;
} qds_couplings_add_arguments;

extern const qds_kernel qds_tensor_apply_kernel, qds_couplings_add_kernel;

enum { QDS_TENSOR_MOST_COLUMNS = 4 };

/* --- order 1: a thread goes through planes of the first axis ------------------------------------------- */

QDS_PORTABLE_INLINE int qds_tensor_low_element(const qds_tensor_axis_view *a, int i) {
  const int e = i + a->first - 1;
  return e >= 0 ? e : a->periodic ? a->elements - 1 : 0;
}

QDS_PORTABLE_INLINE int qds_tensor_high_element(const qds_tensor_axis_view *a, int i) {
  const int e = i + a->first;
  return e < a->elements ? e : a->elements - 1;
}

/* The unknown at i, which may lie up to two beyond an end; behind an end that is not periodic, where all
 * weights are 0, any other. */
QDS_PORTABLE_INLINE int qds_tensor_wrap(const qds_tensor_axis_view *a, int i) {
  if (i < 0) return a->periodic ? i + a->n : 0;
  if (i >= a->n) return a->periodic ? (i - a->n) % a->n : a->n - 1;
  return i;
}

/* What does not change along the first axis. */
typedef struct {
  int j, k, low_j, high_j, low_k, high_k;       /* elements */
  int64_t before_j, after_j, before_k, after_k; /* neighbours: distances */
  double wj[4], wk[4];
} qds_tensor_track;

QDS_PORTABLE_INLINE void qds_tensor_weights(const qds_tensor_axis_view *a, int i, double w[4]) {
  for (int b = 0; b < 4; b++) w[b] = QDS_READ(a->weight + b * a->n + i);
}

QDS_PORTABLE_INLINE void qds_tensor_track_start(const qds_tensor_view *t, int j, int k, qds_tensor_track *s) {
  const qds_tensor_axis_view *a1 = &t->axis[1], *a2 = &t->axis[2];
  s->j = j;
  s->k = k;
  if (a1->elements > 0) {
    s->low_j = qds_tensor_low_element(a1, j);
    s->high_j = qds_tensor_high_element(a1, j);
    s->before_j = (int64_t)(qds_tensor_wrap(a1, j - 1) - j) * a2->n;
    s->after_j = (int64_t)(qds_tensor_wrap(a1, j + 1) - j) * a2->n;
    qds_tensor_weights(a1, j, s->wj);
  }
  if (a2->elements > 0) {
    s->low_k = qds_tensor_low_element(a2, k);
    s->high_k = qds_tensor_high_element(a2, k);
    s->before_k = qds_tensor_wrap(a2, k - 1) - k;
    s->after_k = qds_tensor_wrap(a2, k + 1) - k;
    qds_tensor_weights(a2, k, s->wk);
  }
}

/* The row of the operator at a node: the diagonal, and what the neighbours below and above count along each
 * axis. `c_low` is the first axis's coefficient of the element below, and becomes that of the element above.
 */
typedef struct {
  double diagonal, below[3], above[3];
} qds_tensor_row;

QDS_PORTABLE_INLINE void qds_tensor_row_axis(double c_low, double c_high, const double w[4], int axis,
                                             qds_tensor_row *row) {
  row->diagonal += c_low * w[1] + c_high * w[2];
  row->below[axis] = c_low * w[0];
  row->above[axis] = c_high * w[3];
}

QDS_PORTABLE_INLINE void qds_tensor_row_at(const qds_tensor_view *t, const qds_tensor_track *s, int i,
                                           double *c_low, qds_tensor_row *row) {
  row->diagonal = qds_tiled_at(&t->v, i, s->j, s->k);
  if (t->axis[2].elements > 0)
    qds_tensor_row_axis(qds_tiled_at(&t->axis[2].c, i, s->j, s->low_k),
                        qds_tiled_at(&t->axis[2].c, i, s->j, s->high_k), s->wk, 2, row);
  if (t->axis[1].elements > 0)
    qds_tensor_row_axis(qds_tiled_at(&t->axis[1].c, i, s->low_j, s->k),
                        qds_tiled_at(&t->axis[1].c, i, s->high_j, s->k), s->wj, 1, row);
  if (t->axis[0].elements > 0) {
    double w[4];
    qds_tensor_weights(&t->axis[0], i, w);
    const double c_high = qds_tiled_at(&t->axis[0].c, qds_tensor_high_element(&t->axis[0], i), s->j, s->k);
    qds_tensor_row_axis(*c_low, c_high, w, 0, row);
    *c_low = c_high;
  }
}

/* The nodes (i, j, k) for i from `begin` to end - 1, in `columns` columns from `first` on. Each number is
 * asked for two planes before it is the middle one. */
QDS_PORTABLE_INLINE void qds_tensor_march(const qds_tensor_apply_arguments *a, int columns, int first,
                                          int begin, int end, int j, int k) {
  const qds_tensor_view *t = &a->t;
  const qds_tensor_axis_view *a0 = &t->axis[0];
  const int64_t plane = (int64_t)t->axis[1].n * t->axis[2].n, at = (int64_t)j * t->axis[2].n + k;
  const double *x = a->x.data + first * a->x.stride + at;
  double *y = a->y.data + first * a->y.stride + at;
  const int has[3] = {a0->elements > 0, t->axis[1].elements > 0, t->axis[2].elements > 0};
  qds_tensor_track s = {0};
  qds_tensor_row row = {0};
  qds_tensor_track_start(t, j, k, &s);
  double below[QDS_TENSOR_MOST_COLUMNS], own[QDS_TENSOR_MOST_COLUMNS], above[QDS_TENSOR_MOST_COLUMNS],
      next[QDS_TENSOR_MOST_COLUMNS], c_low = 0;
  if (has[0]) c_low = qds_tiled_at(&a0->c, qds_tensor_low_element(a0, begin), j, k);
  QDS_UNROLL
  for (int c = 0; c < columns; c++) {
    below[c] = has[0] ? QDS_READ(x + c * a->x.stride + qds_tensor_wrap(a0, begin - 1) * plane) : 0;
    own[c] = QDS_READ(x + c * a->x.stride + begin * plane);
    above[c] = has[0] ? QDS_READ(x + c * a->x.stride + qds_tensor_wrap(a0, begin + 1) * plane) : 0;
    next[c] = 0;
  }
  for (int i = begin; i < end; i++) {
    const double *here = x + i * plane;
    double sum[QDS_TENSOR_MOST_COLUMNS];
    if (i + 1 < end) {
      const int64_t ahead = qds_tensor_wrap(a0, i + 2) * plane;
      QDS_UNROLL
      for (int c = 0; c < columns; c++) next[c] = QDS_READ(x + c * a->x.stride + ahead);
    }
    qds_tensor_row_at(t, &s, i, &c_low, &row);
    QDS_UNROLL
    for (int c = 0; c < columns; c++) {
      const double *u = here + c * a->x.stride;
      sum[c] = row.diagonal * own[c];
      if (has[2]) sum[c] += row.below[2] * QDS_READ(u + s.before_k) + row.above[2] * QDS_READ(u + s.after_k);
      if (has[1]) sum[c] += row.below[1] * QDS_READ(u + s.before_j) + row.above[1] * QDS_READ(u + s.after_j);
      if (has[0]) sum[c] += row.below[0] * below[c] + row.above[0] * above[c];
    }
    QDS_UNROLL
    for (int c = 0; c < columns; c++) {
      y[c * a->y.stride + i * plane] = sum[c];
      below[c] = own[c];
      own[c] = above[c];
      above[c] = next[c];
    }
  }
}

/* --- orders 1 to 4, mixed: node by node ----------------------------------------------------------------- */

/* The part of one axis at the node `at`, of the column x. */
QDS_PORTABLE_INLINE double qds_tensor_axis_sum(const qds_tensor_view *t, int axis, const int at[3],
                                               const double *x, int64_t stride) {
  const qds_tensor_axis_view *a = &t->axis[axis];
  const int count = a->order + 1, node = at[axis] + a->first, inside = node % a->order != 0;
  double total = 0;
  for (int side = 0; side < (inside ? 1 : 2); side++) {
    int e = node / a->order - (inside ? 0 : 1 - side);
    if (e < 0 && a->periodic) e = a->elements - 1;
    if (e < 0 || e >= a->elements) continue;
    double sum = 0;
    for (int b = 0; b < count; b++) {
      int u = e * a->order + b - a->first;
      if (u < 0 || u >= a->n) u = u == a->n && a->periodic ? 0 : at[axis];
      sum += QDS_READ(a->weight + (side * count + b) * a->n + at[axis]) *
             QDS_READ(x + (int64_t)(u - at[axis]) * stride);
    }
    total += qds_tiled_at(&a->c, axis == 0 ? e : at[0], axis == 1 ? e : at[1], axis == 2 ? e : at[2]) * sum;
  }
  return total;
}

QDS_PORTABLE_INLINE void qds_tensor_node(const qds_tensor_apply_arguments *a, int i, int j, int k) {
  const qds_tensor_view *t = &a->t;
  const int at[3] = {i, j, k};
  const int64_t n1 = t->axis[1].n, n2 = t->axis[2].n, stride[3] = {n1 * n2, n2, 1},
                row = (i * n1 + j) * n2 + k;
  const double v = qds_tiled_at(&t->v, i, j, k);
  for (int c = 0; c < a->x.columns; c++) {
    const double *x = a->x.data + c * a->x.stride + row;
    double sum = v * QDS_READ(x);
    for (int axis = 0; axis < 3; axis++)
      if (t->axis[axis].elements > 0) sum += qds_tensor_axis_sum(t, axis, at, x, stride[axis]);
    a->y.data[c * a->y.stride + row] = sum;
  }
}

QDS_PORTABLE_INLINE int qds_tensor_is_order_1(const qds_tensor_view *t) {
  for (int a = 0; a < 3; a++)
    if (t->axis[a].elements > 0 && t->axis[a].order != 1) return 0;
  return 1;
}

QDS_PORTABLE_INLINE void qds_couplings_row(const qds_couplings_add_arguments *a, int64_t i) {
  for (int c = 0; c < a->x.columns; c++) {
    const double *from = a->x.data + c * a->x.stride;
    double sum = a->diagonal[i] * from[a->row[i]];
    for (int64_t e = a->start[i]; e < a->start[i + 1]; e++) sum += a->value[e] * from[a->column[e]];
    a->y.data[c * a->y.stride + a->row[i]] += sum;
  }
}

#endif

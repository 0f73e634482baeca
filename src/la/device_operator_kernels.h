/* The kernels of the tensor operator: their arguments and the work on one node, for the CPU
 * (device_operator_cpu.c) and for CUDA (device_operator_cuda.cu). Every pointer lies in memory of the
 * stream's place. */
#ifndef QDS_LA_DEVICE_OPERATOR_KERNELS_H
#define QDS_LA_DEVICE_OPERATOR_KERNELS_H

#include "la/block_kernels.h"
#include "la/tiled_view.h"

/* An unknown belongs to the element below it (side 0) and to the one above it (side 1), or to one only (side
 * 0 where order > 1, inside an element). weight[(2 i + side) * (order + 1) + b] is the scaled stiffness of
 * unknown i with node b of that element, 0 where there is no element or no unknown. */
typedef struct {
  int order, periodic, first, elements, n; /* elements 0: the axis is a point, or has no coefficients */
  const double *weight;
  qds_tiled_view c;
} qds_tensor_axis_view;

/* Rows of the order-1 form (tensor_rows.h): the potential, then below and above along each axis. */
enum { QDS_ROW_V, QDS_ROW_C, QDS_ROW_NUMBERS = 7, QDS_ROW_CODES = 8 };
typedef struct {
  const uint32_t *row;   /* n0 x n1 x tiles */
  const uint32_t *seven; /* QDS_ROW_CODES each */
  const double *numbers[QDS_ROW_NUMBERS];
  int tiles;
} qds_tensor_rows_view;

typedef struct {
  qds_tensor_axis_view axis[3];
  qds_tiled_view v;
  qds_tensor_rows_view rows;
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

/* Columns that share the coefficients of a march; with more, its registers are too few (`bench_device_la`).
 */
enum { QDS_TENSOR_MOST_COLUMNS = 2 };
/* Planes before it is the middle one that a march asks for a number to come closer. */
enum { QDS_PLANES_AHEAD = 6 };

/* --- order 1: a thread goes through planes of the first axis ------------------------------------------- */

/* No row has this number. */
#define QDS_ROW_NONE UINT32_MAX

QDS_PORTABLE_INLINE void qds_tensor_row_numbers(const qds_tensor_rows_view *rows, uint32_t row, int k,
                                                double number[QDS_ROW_NUMBERS]) {
  const uint32_t *seven = rows->seven + (int64_t)row * QDS_ROW_CODES;
  QDS_UNROLL
  for (int s = 0; s < QDS_ROW_NUMBERS; s++)
    number[s] = qds_tiled_number(rows->numbers[s], QDS_READ(seven + s), k);
}

/* The unknown at i, which may lie up to two beyond an end; behind an end that is not periodic, where all
 * weights are 0, any other. */
QDS_PORTABLE_INLINE int qds_tensor_wrap(const qds_tensor_axis_view *a, int i) {
  if (i < 0) return a->periodic ? i + a->n : 0;
  if (i < a->n) return i;
  if (!a->periodic) return a->n - 1;
  i -= a->n;
  return i < a->n ? i : 0;
}

/* What a row has that does not change with the weights of the first axis: what the node itself counts by the
 * potential and the other axes, its neighbours below and above along these, and the first axis's
 * coefficients.
 */
typedef struct {
  double own, below[2], above[2], low, high;
} qds_tensor_row;

QDS_PORTABLE_INLINE void qds_tensor_row_start(const qds_tensor_view *t, uint32_t which, int j, int k,
                                              qds_tensor_row *row) {
  double number[QDS_ROW_NUMBERS];
  qds_tensor_row_numbers(&t->rows, which, k, number);
  row->own = number[QDS_ROW_V];
  row->low = number[QDS_ROW_C];
  row->high = number[QDS_ROW_C + 1];
  QDS_UNROLL
  for (int a = 0; a < 2; a++) {
    const double *weight = t->axis[1 + a].weight + 4 * (a == 0 ? j : k);
    double w[4];
    qds_read_doubles(weight, w);
    qds_read_doubles(weight + 2, w + 2);
    const double low = number[QDS_ROW_C + 2 + 2 * a], high = number[QDS_ROW_C + 3 + 2 * a];
    row->own += low * w[1] + high * w[2];
    row->below[a] = low * w[0];
    row->above[a] = high * w[3];
  }
}

/* The nodes (i, j, k) for i from `begin` to end - 1, in `columns` columns from `first` on. Each number is
 * asked for two planes before it is the middle one, and to come closer some planes before that, each row one
 * plane before. */
QDS_PORTABLE_INLINE void qds_tensor_march(const qds_tensor_apply_arguments *a, int columns, int first,
                                          int begin, int end, int j, int k) {
  const qds_tensor_view *t = &a->t;
  const qds_tensor_axis_view *a0 = &t->axis[0], *a1 = &t->axis[1], *a2 = &t->axis[2];
  const int plane = a1->n * a2->n, at = j * a2->n + k, tiles = a1->n * t->rows.tiles;
  const int before_j = (qds_tensor_wrap(a1, j - 1) - j) * a2->n,
            after_j = (qds_tensor_wrap(a1, j + 1) - j) * a2->n, before_k = qds_tensor_wrap(a2, k - 1) - k,
            after_k = qds_tensor_wrap(a2, k + 1) - k;
  const int64_t xs = a->x.stride, ys = a->y.stride;
  const double *x = a->x.data + first * xs + at, *here = x + (int64_t)begin * plane,
               *weight = a0->weight + 4 * begin;
  double *y = a->y.data + first * ys + (int64_t)begin * plane + at;
  const uint32_t *rows = t->rows.row + (int64_t)begin * tiles + (j * t->rows.tiles + k / QDS_TILE);
  uint32_t which = QDS_ROW_NONE, coming = QDS_READ(rows);
  qds_tensor_row row = {0};
  double below[QDS_TENSOR_MOST_COLUMNS], own[QDS_TENSOR_MOST_COLUMNS], above[QDS_TENSOR_MOST_COLUMNS],
      next[QDS_TENSOR_MOST_COLUMNS] = {0};
  QDS_UNROLL
  for (int c = 0; c < columns; c++) {
    below[c] = QDS_READ(x + (int64_t)qds_tensor_wrap(a0, begin - 1) * plane + c * xs);
    own[c] = QDS_READ(here + c * xs);
    above[c] = QDS_READ(x + (int64_t)qds_tensor_wrap(a0, begin + 1) * plane + c * xs);
  }
  for (int i = begin; i < end; i++) {
    double sum[QDS_TENSOR_MOST_COLUMNS], w[4];
    const uint32_t found = coming;
    if (i + QDS_PLANES_AHEAD < end) {
      QDS_UNROLL
      for (int c = 0; c < columns; c++) QDS_PREFETCH(here + QDS_PLANES_AHEAD * (int64_t)plane + c * xs);
    }
    if (i + 1 < end) {
      const double *ahead =
          i + 2 < a0->n ? here + 2 * plane : x + (int64_t)qds_tensor_wrap(a0, i + 2) * plane;
      rows += tiles;
      coming = QDS_READ(rows);
      QDS_UNROLL
      for (int c = 0; c < columns; c++) next[c] = QDS_READ(ahead + c * xs);
    }
    if (found != which) qds_tensor_row_start(t, which = found, j, k, &row);
    qds_read_doubles(weight, w);
    qds_read_doubles(weight + 2, w + 2);
    weight += 4;
    const double diagonal = row.own + row.low * w[1] + row.high * w[2], low = row.low * w[0],
                 high = row.high * w[3];
    QDS_UNROLL
    for (int c = 0; c < columns; c++) {
      const double *u = here + c * xs;
      sum[c] = diagonal * own[c] + row.below[1] * QDS_READ(u + before_k) +
               row.above[1] * QDS_READ(u + after_k) + row.below[0] * QDS_READ(u + before_j) +
               row.above[0] * QDS_READ(u + after_j) + low * below[c] + high * above[c];
    }
    QDS_UNROLL
    for (int c = 0; c < columns; c++) {
      y[c * ys] = sum[c];
      below[c] = own[c];
      own[c] = above[c];
      above[c] = next[c];
    }
    here += plane;
    y += plane;
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
      sum += QDS_READ(a->weight + (int64_t)(2 * at[axis] + side) * count + b) *
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

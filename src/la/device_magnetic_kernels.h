/* The kernels of the magnetic operator: their arguments and the work on one node, for the CPU
 * (device_magnetic_cpu.c) and for CUDA (device_magnetic_cuda.cu). Every pointer lies in memory of the
 * stream's place.
 *
 * A complex vector is a column of twice the form's rows, real parts first; where the form's rows are odd in
 * number its imaginary parts begin at an odd multiple of 8 bytes, so numbers are read one by one. */
#ifndef QDS_LA_DEVICE_MAGNETIC_KERNELS_H
#define QDS_LA_DEVICE_MAGNETIC_KERNELS_H

#include <math.h>

#include "la/device_operator_kernels.h"

/* Pairs (re, im) for each unknown of an axis and each of another one. NULL: all are 1. */
typedef struct {
  const double *pair;
  int64_t own, other; /* how many pairs the next unknown of each is apart */
} qds_phase_view;

/* The phases of axis a as products over the other axes, the earlier first. `linked`, at order 1 alone: not
 * those of G_a but of the links conj(G_a(u)) G_a(u + 1). */
typedef struct {
  qds_tensor_view t;
  qds_phase_view phase[3][2];
  int linked;
  int64_t rows; /* of the form */
  qds_columns x, y;
  int planes; /* of the first axis, that one thread works through at order 1 */
} qds_magnetic_apply_arguments;

/* y += C x for couplings with their phases: value holds pairs. */
typedef struct {
  qds_couplings_add_arguments couplings;
  int64_t rows; /* of the form */
} qds_magnetic_couplings_arguments;

/* Multiplies complex vectors by e^(i chi), chi = sum over the axes a of slope[a] place_a place_(a+1). */
typedef struct {
  qds_columns x;
  int64_t rows; /* of the form */
  int n[3];
  const double *place[3];
  double slope[3];
} qds_magnetic_turn_arguments;

extern const qds_kernel qds_magnetic_apply_kernel, qds_magnetic_couplings_kernel, qds_magnetic_turn_kernel;

/* Complex columns that one thread works on together. */
enum { QDS_MAGNETIC_MOST_COLUMNS = 2 };

typedef struct {
  double re, im;
} qds_complex;

QDS_PORTABLE_INLINE qds_complex qds_complex_product(qds_complex a, qds_complex b) {
  const qds_complex c = {a.re * b.re - a.im * b.im, a.re * b.im + a.im * b.re};
  return c;
}

/* sum += conj(a) b */
QDS_PORTABLE_INLINE void qds_complex_add_turned_back(qds_complex *sum, qds_complex a, qds_complex b) {
  sum->re += a.re * b.re + a.im * b.im;
  sum->im += a.re * b.im - a.im * b.re;
}

QDS_PORTABLE_INLINE qds_complex qds_phase_at(const qds_phase_view *p, int own, int other) {
  double two[2] = {1, 0};
  if (p->pair) qds_read_doubles(p->pair + 2 * (own * p->own + other * p->other), two);
  const qds_complex phase = {two[0], two[1]};
  return phase;
}

/* A number of column c and its imaginary companion. */
QDS_PORTABLE_INLINE qds_complex qds_magnetic_read(const double *x, int64_t rows) {
  const qds_complex number = {QDS_READ(x), QDS_READ(x + rows)};
  return number;
}

/* --- order 1: a thread goes through planes of the first axis ------------------------------------------- */

/* A link with the weight of the entry that it turns. */
typedef struct {
  qds_complex below, above;
} qds_magnetic_links;

/* Of axis 1 or 2 at unknown `own`, its phase by axis `which` only. Below the first unknown the weight is 0,
 * and any link does. */
QDS_PORTABLE_INLINE qds_magnetic_links qds_magnetic_links_of(const qds_phase_view *p, int own, int other) {
  const qds_complex below = qds_phase_at(p, own > 0 ? own - 1 : 0, other);
  const qds_magnetic_links links = {{below.re, -below.im}, qds_phase_at(p, own, other)};
  return links;
}

QDS_PORTABLE_INLINE qds_complex qds_magnetic_weighted(double weight, qds_complex a, qds_complex b) {
  const qds_complex wa = {weight * a.re, weight * a.im};
  return qds_complex_product(wa, b);
}

/* What `sum` gains from a neighbour. */
QDS_PORTABLE_INLINE void qds_magnetic_add(qds_complex *sum, qds_complex link, qds_complex x) {
  sum->re += link.re * x.re - link.im * x.im;
  sum->im += link.re * x.im + link.im * x.re;
}

/* The nodes (i, j, k) for i from `begin` to end - 1, in `columns` complex columns from `first` on. Numbers
 * are asked for two planes before they are the middle ones, as in qds_tensor_march. */
QDS_PORTABLE_INLINE void qds_magnetic_march(const qds_magnetic_apply_arguments *a, int columns, int first,
                                            int begin, int end, int j, int k) {
  const qds_tensor_view *t = &a->t;
  const qds_tensor_axis_view *a0 = &t->axis[0], *a1 = &t->axis[1], *a2 = &t->axis[2];
  const int plane = a1->n * a2->n, at = j * a2->n + k, tiles = a1->n * t->rows.tiles;
  const int before_j = (qds_tensor_wrap(a1, j - 1) - j) * a2->n,
            after_j = (qds_tensor_wrap(a1, j + 1) - j) * a2->n, before_k = qds_tensor_wrap(a2, k - 1) - k,
            after_k = qds_tensor_wrap(a2, k + 1) - k;
  const int64_t xs = a->x.stride, ys = a->y.stride, rows = a->rows;
  const double *x = a->x.data + first * xs + at, *here = x + (int64_t)begin * plane,
               *weight = a0->weight + 4 * begin;
  double *y = a->y.data + first * ys + (int64_t)begin * plane + at;
  const uint32_t *places = t->rows.row + (int64_t)begin * tiles + (j * t->rows.tiles + k / QDS_TILE);
  uint32_t which = QDS_ROW_NONE;
  qds_tensor_row row = {0};
  qds_complex below[QDS_MAGNETIC_MOST_COLUMNS], own[QDS_MAGNETIC_MOST_COLUMNS],
      above[QDS_MAGNETIC_MOST_COLUMNS];
  QDS_UNROLL
  for (int c = 0; c < columns; c++) {
    below[c] = qds_magnetic_read(x + (int64_t)qds_tensor_wrap(a0, begin - 1) * plane + c * xs, rows);
    own[c] = qds_magnetic_read(here + c * xs, rows);
    above[c] = qds_magnetic_read(x + (int64_t)qds_tensor_wrap(a0, begin + 1) * plane + c * xs, rows);
  }
  /* What does not change along the first axis. */
  const qds_magnetic_links j_by_k = qds_magnetic_links_of(&a->phase[1][1], j, k),
                           k_by_j = qds_magnetic_links_of(&a->phase[2][1], k, j);
  const int last = begin > 0 ? begin - 1 : 0;
  qds_complex up =
      qds_complex_product(qds_phase_at(&a->phase[0][0], last, j), qds_phase_at(&a->phase[0][1], last, k));
  for (int i = begin; i < end; i++) {
    double w[4];
    qds_complex next[QDS_MAGNETIC_MOST_COLUMNS] = {{0}};
    if (i + 1 < end) {
      const double *ahead = x + (int64_t)qds_tensor_wrap(a0, i + 2) * plane;
      QDS_UNROLL
      for (int c = 0; c < columns; c++) next[c] = qds_magnetic_read(ahead + c * xs, rows);
    }
    const uint32_t found = QDS_READ(places);
    places += tiles;
    if (found != which) qds_tensor_row_start(t, which = found, j, k, &row);
    qds_read_doubles(weight, w);
    qds_read_doubles(weight + 2, w + 2);
    weight += 4;
    const double diagonal = row.own + row.low * w[1] + row.high * w[2], low = row.low * w[0],
                 high = row.high * w[3];
    const qds_complex down = {low * up.re, -low * up.im};
    up = qds_complex_product(qds_phase_at(&a->phase[0][0], i, j), qds_phase_at(&a->phase[0][1], i, k));
    const qds_complex high_up = {high * up.re, high * up.im};
    const qds_magnetic_links j_by_i = qds_magnetic_links_of(&a->phase[1][0], j, i),
                             k_by_i = qds_magnetic_links_of(&a->phase[2][0], k, i);
    const qds_complex left_j = qds_magnetic_weighted(row.below[0], j_by_i.below, j_by_k.below),
                      right_j = qds_magnetic_weighted(row.above[0], j_by_i.above, j_by_k.above),
                      left_k = qds_magnetic_weighted(row.below[1], k_by_i.below, k_by_j.below),
                      right_k = qds_magnetic_weighted(row.above[1], k_by_i.above, k_by_j.above);
    QDS_UNROLL
    for (int c = 0; c < columns; c++) {
      const double *u = here + c * xs;
      qds_complex sum = {diagonal * own[c].re, diagonal * own[c].im};
      qds_magnetic_add(&sum, left_k, qds_magnetic_read(u + before_k, rows));
      qds_magnetic_add(&sum, right_k, qds_magnetic_read(u + after_k, rows));
      qds_magnetic_add(&sum, left_j, qds_magnetic_read(u + before_j, rows));
      qds_magnetic_add(&sum, right_j, qds_magnetic_read(u + after_j, rows));
      qds_magnetic_add(&sum, down, below[c]);
      qds_magnetic_add(&sum, high_up, above[c]);
      y[c * ys] = sum.re;
      y[c * ys + rows] = sum.im;
      below[c] = own[c];
      own[c] = above[c];
      above[c] = next[c];
    }
    here += plane;
    y += plane;
  }
}

/* --- orders 1 to 4, mixed: node by node ----------------------------------------------------------------- */

/* G_a at unknown `own` of axis a, where the other axes are at the unknowns of the node `at`. */
QDS_PORTABLE_INLINE qds_complex qds_magnetic_phase(const qds_magnetic_apply_arguments *a, int axis, int own,
                                                   const int at[3]) {
  return qds_complex_product(qds_phase_at(&a->phase[axis][0], own, at[axis == 0 ? 1 : 0]),
                             qds_phase_at(&a->phase[axis][1], own, at[axis == 2 ? 1 : 2]));
}

/* sum += the part of one axis at the node `at`, in the columns x. */
QDS_PORTABLE_INLINE void qds_magnetic_add_axis(const qds_magnetic_apply_arguments *a, int columns, int axis,
                                               const int at[3], const double *x, int64_t step,
                                               qds_complex *sum) {
  const qds_tensor_axis_view *t = &a->t.axis[axis];
  const int count = t->order + 1, node = at[axis] + t->first, inside = node % t->order != 0;
  qds_complex total[QDS_MAGNETIC_MOST_COLUMNS] = {{0}};
  for (int side = 0; side < (inside ? 1 : 2); side++) {
    const int e = node / t->order - (inside ? 0 : 1 - side);
    if (e < 0 || e >= t->elements) continue;
    const double c = qds_tiled_at(&t->c, axis == 0 ? e : at[0], axis == 1 ? e : at[1], axis == 2 ? e : at[2]);
    for (int b = 0; b < count; b++) {
      const int u = e * t->order + b - t->first;
      if (u < 0 || u >= t->n) continue;
      const double weight = c * QDS_READ(t->weight + (int64_t)(2 * at[axis] + side) * count + b);
      const qds_complex g = qds_magnetic_phase(a, axis, u, at), entry = {weight * g.re, weight * g.im};
      QDS_UNROLL
      for (int v = 0; v < columns; v++)
        qds_magnetic_add(&total[v], entry,
                         qds_magnetic_read(x + v * a->x.stride + (u - at[axis]) * step, a->rows));
    }
  }
  const qds_complex own = qds_magnetic_phase(a, axis, at[axis], at);
  QDS_UNROLL
  for (int v = 0; v < columns; v++) qds_complex_add_turned_back(&sum[v], own, total[v]);
}

QDS_PORTABLE_INLINE void qds_magnetic_node(const qds_magnetic_apply_arguments *a, int columns, int first,
                                           int i, int j, int k) {
  const qds_tensor_view *t = &a->t;
  const int at[3] = {i, j, k};
  const int64_t n1 = t->axis[1].n, n2 = t->axis[2].n, step[3] = {n1 * n2, n2, 1}, row = (i * n1 + j) * n2 + k;
  const double v = qds_tiled_at(&t->v, i, j, k), *x = a->x.data + first * a->x.stride + row;
  double *y = a->y.data + first * a->y.stride + row;
  qds_complex sum[QDS_MAGNETIC_MOST_COLUMNS];
  QDS_UNROLL
  for (int c = 0; c < columns; c++) {
    const qds_complex own = qds_magnetic_read(x + c * a->x.stride, a->rows);
    sum[c].re = v * own.re;
    sum[c].im = v * own.im;
  }
  for (int axis = 0; axis < 3; axis++)
    if (t->axis[axis].elements > 0) qds_magnetic_add_axis(a, columns, axis, at, x, step[axis], sum);
  QDS_UNROLL
  for (int c = 0; c < columns; c++) {
    y[c * a->y.stride] = sum[c].re;
    y[c * a->y.stride + a->rows] = sum[c].im;
  }
}

/* --- couplings ------------------------------------------------------------------------------------------ */

QDS_PORTABLE_INLINE void qds_magnetic_couplings_row(const qds_magnetic_couplings_arguments *a, int64_t i) {
  const qds_couplings_add_arguments *k = &a->couplings;
  const int64_t row = k->row[i];
  for (int c = 0; c < k->x.columns; c++) {
    const double *from = k->x.data + c * k->x.stride;
    double *to = k->y.data + c * k->y.stride + row;
    qds_complex sum = {k->diagonal[i] * from[row], k->diagonal[i] * from[row + a->rows]};
    for (int64_t e = k->start[i]; e < k->start[i + 1]; e++) {
      const qds_complex entry = {k->value[2 * e], k->value[2 * e + 1]};
      qds_magnetic_add(&sum, entry, qds_magnetic_read(from + k->column[e], a->rows));
    }
    to[0] += sum.re;
    to[a->rows] += sum.im;
  }
}

/* --- turning -------------------------------------------------------------------------------------------- */

QDS_PORTABLE_INLINE void qds_magnetic_turn_node(const qds_magnetic_turn_arguments *a, int64_t row) {
  const double r0 = a->place[0][row / a->n[2] / a->n[1]], r1 = a->place[1][row / a->n[2] % a->n[1]],
               r2 = a->place[2][row % a->n[2]],
               chi = a->slope[0] * r0 * r1 + a->slope[1] * r1 * r2 + a->slope[2] * r2 * r0;
  const qds_complex turn = {cos(chi), sin(chi)};
  for (int c = 0; c < a->x.columns; c++) {
    double *number = a->x.data + c * a->x.stride + row;
    const qds_complex old = {number[0], number[a->rows]}, turned = qds_complex_product(turn, old);
    number[0] = turned.re;
    number[a->rows] = turned.im;
  }
}

#endif

/* The kernels of multigrid on a stream: their arguments and the work on one node, for the CPU
 * (device_multigrid_cpu.c) and for CUDA (device_multigrid_cuda.cu). Every pointer lies in memory of the
 * stream's place. */
#ifndef QDS_LA_DEVICE_MULTIGRID_KERNELS_H
#define QDS_LA_DEVICE_MULTIGRID_KERNELS_H

#include "la/device_multigrid_view.h"

/* The passes over a level whose operator A has the diagonal D; A' is A scaled by 1 / D. */
typedef enum {
  QDS_LEVEL_ENTER,    /* out = from / D, `from` taken from scaled unknowns to values psi */
  QDS_LEVEL_SMOOTH,   /* out = p u - q A' u */
  QDS_LEVEL_DEFECT,   /* out = D b - A u */
  QDS_LEVEL_RESIDUAL, /* out = b - A' u; out may be b */
  QDS_LEVEL_ADD,      /* out = add + p u - q A' u */
  QDS_LEVEL_LEAVE     /* the same to scaled unknowns, in `to` */
} qds_level_pass;

typedef struct {
  qds_level_view level;
  qds_level_pass pass;
  int columns, planes; /* planes of the first axis that one thread works through */
  float p, q;
  qds_level_columns u, b, add, out;
  qds_columns from, to;
} qds_level_pass_arguments;

/* b of the coarse level = the transposed interpolation of r, divided by the coarse diagonal unless that is
 * the coarsest level. */
typedef struct {
  qds_level_view coarse;
  qds_transfer_view transfer[3];
  int divide, columns, planes, fine_n[3];
  qds_level_columns r, b;
} qds_level_restrict_arguments;

/* out = x + the interpolation of the coarse x. */
typedef struct {
  qds_transfer_view transfer[3];
  int columns, n[3], coarse_n[3], planes;
  qds_level_columns coarse, x, out;
} qds_level_correct_arguments;

/* x = inverse b on the coarsest level; to scaled unknowns in `to` when that has data. */
typedef struct {
  qds_level_view level;
  const float *inverse; /* rows x rows */
  int rows, columns;
  qds_level_columns b, x;
  qds_columns from, to; /* from.data NULL: b is in b */
} qds_level_invert_arguments;

/* y = A x on scaled unknowns, without shift. */
typedef struct {
  qds_level_view level;
  qds_columns x, y;
} qds_level_apply_arguments;

/* Interpolation of scaled unknowns. */
typedef struct {
  qds_level_view fine, coarse;
  qds_transfer_view transfer[3];
  qds_columns from, to;
} qds_level_prolong_arguments;

/* out[at] for each edge of axis `own` of the coarse level, or each unknown (own 3): the coefficient of the
 * fine one, in series along its own axis and mass-weighted means across it. */
typedef struct {
  qds_level_view fine;
  qds_transfer_view transfer[3];
  int own, size[3]; /* of out */
  int alone;        /* the coefficient does not vary across its axis */
  float *out;
} qds_level_coarsen_arguments;

/* Sums over groups of numbers: of the coefficient of each axis over its edges, and of the potential. */
typedef struct {
  qds_level_view level;
  int size[4][3]; /* of the arrays; 0 where there is none */
  int groups;
  double *partial; /* 4 x groups */
} qds_level_sum_arguments;

/* Over groups of nodes, with couplings what the diagonal exceeds the potential by: the least v + part *
 * couplings, and the largest 1 + couplings / (v + couplings - shift). */
typedef struct {
  qds_level_view level;
  double part, shift;
  int groups;
  double *partial; /* groups x 2 */
} qds_level_extremes_arguments;

extern const qds_kernel qds_level_pass_kernel, qds_level_restrict_kernel, qds_level_correct_kernel,
    qds_level_invert_kernel, qds_level_apply_kernel, qds_level_prolong_kernel, qds_level_coarsen_kernel,
    qds_level_sum_kernel, qds_level_extremes_kernel;

enum { QDS_LEVEL_MOST_COLUMNS = 4 };

/* --- passes with the level's operator ------------------------------------------------------------------- */

/* What a pass that reads u makes of a node, from (A - shift) u there; b and add: where the node's numbers
 * are. */
QDS_PORTABLE_INLINE float qds_level_pass_number(const qds_level_pass_arguments *a, qds_level_pass pass,
                                                float own, float image, float diagonal, float inverse,
                                                const float *b, const float *add) {
  if (pass == QDS_LEVEL_DEFECT) return diagonal * *b - image;
  if (pass == QDS_LEVEL_RESIDUAL) return *b - image * inverse;
  const float smoothed = a->p * own - a->q * (image * inverse);
  return pass == QDS_LEVEL_SMOOTH ? smoothed : smoothed + QDS_READ(add);
}

/* Asks for what a pass reads of a column at a node to come closer. */
QDS_PORTABLE_INLINE void qds_level_prefetch(qds_level_pass pass, const double *from, const float *u,
                                            const float *b, const float *add) {
  if (pass == QDS_LEVEL_ENTER) {
    QDS_PREFETCH(from);
    return;
  }
  QDS_PREFETCH(u);
  if (pass == QDS_LEVEL_DEFECT || pass == QDS_LEVEL_RESIDUAL) QDS_PREFETCH(b);
  if (pass == QDS_LEVEL_ADD || pass == QDS_LEVEL_LEAVE) QDS_PREFETCH(add);
}

/* The nodes (i, j, k) for i from `begin` to end - 1, in `columns` columns from `first` on. */
QDS_PORTABLE_INLINE void qds_level_march(const qds_level_pass_arguments *a, int tiled, qds_level_pass pass,
                                         int columns, int first, int begin, int end, int j, int k) {
  const qds_level_view *level = &a->level;
  const qds_level_axis_view *a0 = &level->axis[0];
  const int plane = level->axis[1].n * level->axis[2].n;
  const int entering = pass == QDS_LEVEL_ENTER, leaving = pass == QDS_LEVEL_LEAVE;
  const int64_t at = (int64_t)begin * plane + (j * level->axis[2].n + k);
  /* Between scaled unknowns and psi. */
  const double line_scale =
      entering || leaving ? qds_level_root(level, entering, 1, j) * qds_level_root(level, entering, 2, k) : 1;
  const double *from = a->from.data + first * a->from.stride + at;
  double *to = a->to.data + first * a->to.stride + at;
  const float *u = a->u.data + first * a->u.stride + at, *b = a->b.data + first * a->b.stride + at,
              *add = a->add.data + first * a->add.stride + at, *factors = a0->factor + 2 * begin;
  float *store = a->out.data + first * a->out.stride + at;
  qds_level_track s = {0};
  qds_level_row row = {0};
  float below[QDS_LEVEL_MOST_COLUMNS] = {0}, own[QDS_LEVEL_MOST_COLUMNS] = {0},
        above[QDS_LEVEL_MOST_COLUMNS] = {0}, next[QDS_LEVEL_MOST_COLUMNS] = {0};
  qds_level_track_start(level, tiled, j, k, &s);
  qds_level_row_start(level, tiled, begin, j, k, &row);
  int there_below, there_above, there;
  const int64_t down = qds_level_plane_away(a0, begin, -1, plane, &there_below),
                up = qds_level_plane_away(a0, begin, 1, plane, &there_above);
  QDS_UNROLL
  for (int c = 0; !entering && c < columns; c++) {
    const float *column = u + c * a->u.stride;
    if (there_below) below[c] = QDS_READ(column + down);
    own[c] = QDS_READ(column);
    if (there_above) above[c] = QDS_READ(column + up);
  }
  for (int i = begin; i < end; i++) {
    float out[QDS_LEVEL_MOST_COLUMNS], factor[2];
    if (i + QDS_PLANES_AHEAD < end) {
      const int64_t closer = QDS_PLANES_AHEAD * (int64_t)plane;
      QDS_UNROLL
      for (int c = 0; c < columns; c++)
        qds_level_prefetch(pass, from + closer + c * a->from.stride, u + closer + c * a->u.stride,
                           b + closer + c * a->b.stride, add + closer + c * a->add.stride);
    }
    if (!entering && i + 1 < end) {
      const float *ahead = u + qds_level_plane_away(a0, i, 2, plane, &there);
      QDS_UNROLL
      for (int c = 0; c < columns; c++) next[c] = there ? QDS_READ(ahead + c * a->u.stride) : 0;
    }
    qds_level_row_at(level, tiled, &s, i, &row);
    qds_read_floats(factors, factor);
    factors += 2;
    const float low = factor[0] * row.low, high = factor[1] * row.high,
                diagonal = row.potential + row.sum + low + high, inverse = qds_level_reciprocal(diagonal);
    const double scale = entering || leaving ? line_scale * qds_level_root(level, entering, 0, i) : 1;
    QDS_UNROLL
    for (int c = 0; c < columns; c++) {
      if (entering) {
        out[c] = (float)(from[c * a->from.stride] * scale) * inverse;
        continue;
      }
      const float image =
          qds_level_image(&s, &row, u + c * a->u.stride, own[c], below[c], above[c], low, high);
      out[c] = qds_level_pass_number(a, pass, own[c], image, diagonal, inverse, b + c * a->b.stride,
                                     add + c * a->add.stride);
    }
    QDS_UNROLL
    for (int c = 0; c < columns; c++) {
      if (leaving)
        to[c * a->to.stride] = out[c] * scale;
      else
        store[c * a->out.stride] = out[c];
      below[c] = own[c];
      own[c] = above[c];
      above[c] = next[c];
    }
    from += plane, to += plane, u += plane, b += plane, add += plane, store += plane;
  }
}

/* --- between levels ------------------------------------------------------------------------------------- */

/* The fine lines, and the nodes on them, that a coarse line (j, k) takes from a plane: up to three each, with
 * weight 0 where there are fewer. `fits`: there are not more, as at the end of an axis with an odd number of
 * edges. */
enum { QDS_RESTRICT_TAPS = 3 };
typedef struct {
  int fits, line[QDS_RESTRICT_TAPS], node[QDS_RESTRICT_TAPS];
  float line_weight[QDS_RESTRICT_TAPS], node_weight[QDS_RESTRICT_TAPS];
} qds_level_restrict_track;

/* The gather list of coarse unknown i; returns whether it fits. */
QDS_PORTABLE_INLINE int qds_level_restrict_taps(const qds_transfer_view *t, int i, int at[QDS_RESTRICT_TAPS],
                                                float weight[QDS_RESTRICT_TAPS]) {
  const int first = QDS_READ(t->gather_start + i), count = QDS_READ(t->gather_start + i + 1) - first;
  QDS_UNROLL
  for (int g = 0; g < QDS_RESTRICT_TAPS; g++) {
    const int entry = first + (g < count ? g : 0);
    at[g] = QDS_READ(t->gather_at + entry);
    weight[g] = g < count ? QDS_READ(t->gather_weight + entry) : 0;
  }
  return count <= QDS_RESTRICT_TAPS;
}

/* Any number of lines and nodes, from a plane. */
QDS_PORTABLE_INLINE float qds_level_restrict_lists(const qds_level_restrict_arguments *a, const float *plane,
                                                   int j, int k) {
  const qds_transfer_view *t1 = &a->transfer[1], *t2 = &a->transfer[2];
  float total = 0;
  for (int g1 = t1->gather_start[j]; g1 < t1->gather_start[j + 1]; g1++) {
    const float *line = plane + t1->gather_at[g1] * a->fine_n[2];
    float sum = 0;
    for (int g2 = t2->gather_start[k]; g2 < t2->gather_start[k + 1]; g2++)
      sum += t2->gather_weight[g2] * line[t2->gather_at[g2]];
    total += t1->gather_weight[g1] * sum;
  }
  return total;
}

QDS_PORTABLE_INLINE float qds_level_restrict_plane(const qds_level_restrict_track *s, const float *plane) {
  float total = 0;
  QDS_UNROLL
  for (int g1 = 0; g1 < QDS_RESTRICT_TAPS; g1++) {
    float sum = 0;
    QDS_UNROLL
    for (int g2 = 0; g2 < QDS_RESTRICT_TAPS; g2++)
      sum += s->node_weight[g2] * QDS_READ(plane + (s->line[g1] + s->node[g2]));
    total += s->line_weight[g1] * sum;
  }
  return total;
}

/* The coarse nodes (i, j, k) for i from `begin` to end - 1. The last fine plane of one is often the first of
 * the next. */
QDS_PORTABLE_INLINE void qds_level_restrict_march(const qds_level_restrict_arguments *a, int column,
                                                  int begin, int end, int j, int k) {
  const qds_transfer_view *t0 = &a->transfer[0];
  const int64_t n1 = a->coarse.axis[1].n, n2 = a->coarse.axis[2].n;
  const float *r = a->r.data + column * a->r.stride;
  const int plane_nodes = a->fine_n[1] * a->fine_n[2];
  qds_level_restrict_track s;
  const int lines_fit = qds_level_restrict_taps(&a->transfer[1], j, s.line, s.line_weight);
  s.fits = qds_level_restrict_taps(&a->transfer[2], k, s.node, s.node_weight) && lines_fit;
  QDS_UNROLL
  for (int g = 0; g < QDS_RESTRICT_TAPS; g++) s.line[g] *= a->fine_n[2];
  int known = -1;
  float part = 0;
  for (int i = begin; i < end; i++) {
    float total = 0;
    for (int g0 = QDS_READ(t0->gather_start + i); g0 < QDS_READ(t0->gather_start + i + 1); g0++) {
      const int plane = QDS_READ(t0->gather_at + g0);
      if (plane != known) {
        const float *from = r + (int64_t)plane * plane_nodes;
        part = s.fits ? qds_level_restrict_plane(&s, from) : qds_level_restrict_lists(a, from, j, k);
        known = plane;
      }
      total += QDS_READ(t0->gather_weight + g0) * part;
    }
    if (a->divide) total /= qds_level_diagonal(&a->coarse, 0, i, j, k);
    a->b.data[column * a->b.stride + (i * n1 + j) * n2 + k] = total;
  }
}

/* What a line (j, k) takes from a coarse plane: four numbers. */
typedef struct {
  int at[4];
  float weight[4];
} qds_level_correct_track;

QDS_PORTABLE_INLINE float qds_level_correct_plane(const qds_level_correct_track *s, const float *plane) {
  float sum = 0;
  QDS_UNROLL
  for (int p = 0; p < 4; p++) sum += s->weight[p] * QDS_READ(plane + s->at[p]);
  return sum;
}

/* The nodes (i, j, k) for i from `begin` to end - 1, which share their coarse planes. */
QDS_PORTABLE_INLINE void qds_level_correct_march(const qds_level_correct_arguments *a, int column, int begin,
                                                 int end, int j, int k) {
  const qds_transfer_view *t = a->transfer;
  const int plane = a->n[1] * a->n[2], coarse_plane = a->coarse_n[1] * a->coarse_n[2];
  const float *coarse = a->coarse.data + column * a->coarse.stride;
  const float *x = a->x.data + column * a->x.stride + (j * a->n[2] + k);
  float *out = a->out.data + column * a->out.stride + (j * a->n[2] + k);
  qds_level_correct_track s;
  QDS_UNROLL
  for (int p = 0; p < 4; p++) {
    s.at[p] = QDS_READ(t[1].at[p / 2] + j) * a->coarse_n[2] + QDS_READ(t[2].at[p % 2] + k);
    s.weight[p] = QDS_READ(t[1].weight[p / 2] + j) * QDS_READ(t[2].weight[p % 2] + k);
  }
  int known[2] = {-1, -1};
  float part[2] = {0, 0};
  for (int i = begin; i < end; i++) {
    const float own = QDS_READ(x + (int64_t)i * plane);
    float sum = own;
    const int first = QDS_READ(t[0].at[0] + i), second = QDS_READ(t[0].at[1] + i);
    const float first_weight = QDS_READ(t[0].weight[0] + i), second_weight = QDS_READ(t[0].weight[1] + i);
    if (first_weight != 0) {
      if (first != known[0])
        part[0] =
            first == known[1] ? part[1] : qds_level_correct_plane(&s, coarse + (int64_t)first * coarse_plane);
      known[0] = first;
      sum += first_weight * part[0];
    }
    if (second_weight != 0) {
      if (second != known[1]) part[1] = qds_level_correct_plane(&s, coarse + (int64_t)second * coarse_plane);
      known[1] = second;
      sum += second_weight * part[1];
    }
    out[(int64_t)i * plane] = sum;
  }
}

QDS_PORTABLE_INLINE void qds_level_prolong_node(const qds_level_prolong_arguments *a, int column, int i,
                                                int j, int k) {
  const qds_transfer_view *t = a->transfer;
  const double *from = a->from.data + column * a->from.stride;
  const int fine[3] = {i, j, k};
  double sum = 0;
  for (int s = 0; s < 8; s++) {
    const int side[3] = {s / 4, s / 2 % 2, s % 2};
    double weight = 1;
    int64_t place = 0;
    for (int b = 0; b < 3; b++) {
      const int at = t[b].at[side[b]][fine[b]];
      weight *= t[b].weight[side[b]][fine[b]] * a->coarse.axis[b].inverse_root[at];
      place = place * a->coarse.axis[b].n + at;
    }
    if (weight != 0) sum += weight * from[place];
  }
  const int64_t to = ((int64_t)i * a->fine.axis[1].n + j) * a->fine.axis[2].n + k;
  a->to.data[column * a->to.stride + to] = sum * qds_level_scale(&a->fine, 0, i) *
                                           qds_level_scale(&a->fine, 1, j) * qds_level_scale(&a->fine, 2, k);
}

/* --- the coarsest level --------------------------------------------------------------------------------- */

/* The right-hand side's entry `row`. */
QDS_PORTABLE_INLINE float qds_level_invert_right(const qds_level_invert_arguments *a, int column, int row) {
  if (!a->from.data) return a->b.data[column * a->b.stride + row];
  return (float)(a->from.data[column * a->from.stride + row] / qds_level_row_scale(&a->level, row));
}

QDS_PORTABLE_INLINE void qds_level_invert_store(const qds_level_invert_arguments *a, int column, int row,
                                                float sum) {
  if (a->to.data)
    a->to.data[column * a->to.stride + row] = sum * qds_level_row_scale(&a->level, row);
  else
    a->x.data[column * a->x.stride + row] = sum;
}

/* --- the operator on scaled unknowns -------------------------------------------------------------------- */

QDS_PORTABLE_INLINE void qds_level_apply_node(const qds_level_apply_arguments *a, int tiled, int i, int j,
                                              int k) {
  const qds_level_view *level = &a->level;
  const int at[3] = {i, j, k};
  const int64_t n1 = level->axis[1].n, n2 = level->axis[2].n, stride[3] = {n1 * n2, n2, 1},
                place = (i * n1 + j) * n2 + k;
  double diagonal = qds_level_potential(level, tiled, i, j, k), factor[6];
  int64_t away[6];
  QDS_UNROLL
  for (int s = 0; s < 6; s++) {
    const qds_level_axis_view *axis = &level->axis[s / 2];
    const int own = at[s / 2], e = qds_level_edge_of(axis, own, s % 2),
              next = qds_level_neighbour(axis, own, s % 2);
    factor[s] = 0;
    away[s] = 0;
    if (e < 0) continue;
    const double weight =
        (double)axis->inverse_mass[own] * qds_level_edge_beside(level, tiled, s / 2, e, i, j, k);
    diagonal += weight;
    if (next < 0) continue;
    factor[s] = weight * (axis->root[own] * axis->inverse_root[next]);
    away[s] = (next - own) * stride[s / 2];
  }
  for (int c = 0; c < a->x.columns; c++) {
    const double *x = a->x.data + c * a->x.stride + place;
    double sum = diagonal * *x;
    QDS_UNROLL
    for (int s = 0; s < 6; s++) sum -= factor[s] * x[away[s]];
    a->y.data[c * a->y.stride + place] = sum;
  }
}

/* --- coarser coefficients and what is known of all of them ---------------------------------------------- */

/* The fine entries that make one coarse entry along an axis: those of a gather list, or a group in series. */
typedef struct {
  int first, last;
  const int *at; /* NULL: first to last - 1 themselves */
  const float *weight;
} qds_level_group;

QDS_PORTABLE_INLINE qds_level_group qds_level_group_of(const qds_level_coarsen_arguments *a, int axis,
                                                       int i) {
  const qds_transfer_view *t = &a->transfer[axis];
  qds_level_group g = {i, i + 1, 0, 0};
  if (axis == a->own) {
    if (!t->merges) return g;
    g.first = 2 * i;
    g.last = i + 1 == t->coarse_edges ? t->fine_edges : 2 * i + 2;
  } else if (!a->alone) {
    g.first = t->gather_start[i];
    g.last = t->gather_start[i + 1];
    g.at = t->gather_at;
    g.weight = t->gather_weight;
  }
  return g;
}

/* Conductances in series, or a weighted mean. */
QDS_PORTABLE_INLINE void qds_level_group_add(const qds_level_group *g, int entry, double value, double *sum) {
  *sum += g->at ? g->weight[entry] * value : 1 / value;
}
QDS_PORTABLE_INLINE double qds_level_group_end(const qds_level_group *g, double sum) {
  return g->at ? sum : 1 / sum;
}

/* One coefficient over length, or potential: along the first axis first, as the axes come one after the other
 * on the host. */
QDS_PORTABLE_INLINE void qds_level_coarsen_entry(const qds_level_coarsen_arguments *a, int tiled, int i,
                                                 int j, int k) {
  const qds_level_group g0 = qds_level_group_of(a, 0, i), g1 = qds_level_group_of(a, 1, j),
                        g2 = qds_level_group_of(a, 2, k);
  double outer = 0;
  for (int e2 = g2.first; e2 < g2.last; e2++) {
    double middle = 0;
    for (int e1 = g1.first; e1 < g1.last; e1++) {
      double inner = 0;
      for (int e0 = g0.first; e0 < g0.last; e0++) {
        const int at[3] = {g0.at ? g0.at[e0] : e0, g1.at ? g1.at[e1] : e1, g2.at ? g2.at[e2] : e2};
        const double value = a->own == 3 ? qds_level_potential(&a->fine, tiled, at[0], at[1], at[2])
                                         : qds_level_edge(&a->fine, tiled, a->own, at[0], at[1], at[2]);
        qds_level_group_add(&g0, e0, value, &inner);
      }
      qds_level_group_add(&g1, e1, qds_level_group_end(&g0, inner), &middle);
    }
    qds_level_group_add(&g2, e2, qds_level_group_end(&g1, middle), &outer);
  }
  a->out[((int64_t)i * a->size[1] + j) * a->size[2] + k] = (float)qds_level_group_end(&g2, outer);
}

/* Entry `index` of array `which`: a coefficient, or the potential. */
QDS_PORTABLE_INLINE double qds_level_sum_entry(const qds_level_sum_arguments *a, int tiled, int which,
                                               int64_t index) {
  const int n1 = a->size[which][1], n2 = a->size[which][2];
  const int at[3] = {(int)(index / n2 / n1), (int)(index / n2 % n1), (int)(index % n2)};
  if (which == 3) return qds_level_potential(&a->level, tiled, at[0], at[1], at[2]);
  return qds_level_edge(&a->level, tiled, which, at[0], at[1], at[2]) /
         (double)a->level.axis[which].inverse_length[at[which]];
}

QDS_PORTABLE_INLINE int64_t qds_level_sum_count(const qds_level_sum_arguments *a, int which) {
  return (int64_t)a->size[which][0] * a->size[which][1] * a->size[which][2];
}

QDS_PORTABLE_INLINE void qds_level_extremes_node(const qds_level_extremes_arguments *a, int tiled,
                                                 int64_t row, double *lowest, double *largest) {
  const qds_level_view *level = &a->level;
  const int n1 = level->axis[1].n, n2 = level->axis[2].n;
  const int i = (int)(row / n2 / n1), j = (int)(row / n2 % n1), k = (int)(row % n2);
  const double v = qds_level_potential(level, tiled, i, j, k),
               couplings = qds_level_couplings(level, tiled, i, j, k), low = v + a->part * couplings,
               ratio = 1 + couplings / (v + couplings - a->shift);
  if (low < *lowest) *lowest = low;
  if (ratio > *largest) *largest = ratio;
}

#endif

/* A level of multigrid as its kernels see it: on values psi, as qds_level describes it. */
#ifndef QDS_LA_DEVICE_MULTIGRID_VIEW_H
#define QDS_LA_DEVICE_MULTIGRID_VIEW_H

#include "la/block_kernels.h"
#include "la/tiled_view.h"

/* The coarsest level is inverted by a dense matrix of at most so many rows. */
enum { QDS_MULTIGRID_COARSEST_ROWS = 300 };

/* The coefficient over length of each edge is either an array of its own, or, on a tiled level, derived from
 * the tensor operator's: edge e has the coefficient of element e / order. */
typedef struct {
  int n, first, edges, periodic, order; /* edges 0: a point */
  const float *inverse_mass;            /* n */
  const float *inverse_length;          /* edges */
  const double *root, *inverse_root;    /* n */
  qds_tiled_view c;
  const float *edge;
  int64_t stride[3]; /* of edge */
} qds_level_axis_view;

typedef struct {
  qds_level_axis_view axis[3];
  int tiled;
  qds_tiled_view tiled_v;
  const float *v;
  float shift;
} qds_level_view;

/* Interpolation along one axis, as qds_transfer has it. `merges`: pairs of edges, and a last group of three
 * when their number is odd, become one. */
typedef struct {
  int merges, fine_edges, coarse_edges;
  const int *at[2], *gather_start, *gather_at;
  const float *weight[2], *gather_weight;
} qds_transfer_view;

/* Neighbouring vectors of a level. */
typedef struct {
  float *data;
  int64_t stride;
} qds_level_columns;

/* --- numbers of a node ---------------------------------------------------------------------------------- */

/* The edge below (side 0) or above (side 1) an unknown; -1: none. */
QDS_PORTABLE_INLINE int qds_level_edge_of(const qds_level_axis_view *a, int i, int side) {
  const int e = i + a->first - 1 + side;
  if (a->edges == 0) return -1;
  if (e < 0) return a->periodic ? e + a->edges : -1;
  return e < a->edges ? e : a->periodic ? e - a->edges : -1;
}

/* The unknown beside one; -1: none. */
QDS_PORTABLE_INLINE int qds_level_neighbour(const qds_level_axis_view *a, int i, int side) {
  const int next = i - 1 + 2 * side;
  if (next < 0) return a->periodic ? next + a->n : -1;
  return next < a->n ? next : a->periodic ? next - a->n : -1;
}

/* Coefficient over length of edge (i, j, k) of an axis, which counts edges along it. */
QDS_PORTABLE_INLINE float qds_level_edge(const qds_level_view *level, int tiled, int axis, int i, int j,
                                         int k) {
  const qds_level_axis_view *a = &level->axis[axis];
  if (!tiled) return QDS_READ(a->edge + i * a->stride[0] + j * a->stride[1] + k * a->stride[2]);
  const int e = axis == 0 ? i : axis == 1 ? j : k, element = a->order == 1 ? e : e / a->order;
  return (
      float)(qds_tiled_at(&a->c, axis == 0 ? element : i, axis == 1 ? element : j, axis == 2 ? element : k) *
             (double)QDS_READ(a->inverse_length + e));
}

/* The same for edge e beside the node (i, j, k). */
QDS_PORTABLE_INLINE float qds_level_edge_beside(const qds_level_view *level, int tiled, int axis, int e,
                                                int i, int j, int k) {
  return qds_level_edge(level, tiled, axis, axis == 0 ? e : i, axis == 1 ? e : j, axis == 2 ? e : k);
}

QDS_PORTABLE_INLINE float qds_level_potential(const qds_level_view *level, int tiled, int i, int j, int k) {
  if (tiled) return (float)qds_tiled_at(&level->tiled_v, i, j, k);
  return QDS_READ(level->v + ((int64_t)i * level->axis[1].n + j) * level->axis[2].n + k);
}

/* Between a scaled unknown and psi. */
QDS_PORTABLE_INLINE double qds_level_scale(const qds_level_view *level, int axis, int i) {
  return QDS_READ(level->axis[axis].root + i);
}

QDS_PORTABLE_INLINE double qds_level_row_scale(const qds_level_view *level, int64_t row) {
  const int n1 = level->axis[1].n, n2 = level->axis[2].n;
  return qds_level_scale(level, 0, (int)(row / n2 / n1)) * qds_level_scale(level, 1, (int)(row / n2 % n1)) *
         qds_level_scale(level, 2, (int)(row % n2));
}

/* What the diagonal exceeds the potential by. */
QDS_PORTABLE_INLINE float qds_level_couplings(const qds_level_view *level, int tiled, int i, int j, int k) {
  const int at[3] = {i, j, k};
  float sum = 0;
  QDS_UNROLL
  for (int s = 0; s < 6; s++) {
    const qds_level_axis_view *a = &level->axis[s / 2];
    const int e = qds_level_edge_of(a, at[s / 2], s % 2);
    if (e >= 0)
      sum += QDS_READ(a->inverse_mass + at[s / 2]) * qds_level_edge_beside(level, tiled, s / 2, e, i, j, k);
  }
  return sum;
}

QDS_PORTABLE_INLINE float qds_level_diagonal(const qds_level_view *level, int tiled, int i, int j, int k) {
  return qds_level_potential(level, tiled, i, j, k) - level->shift +
         qds_level_couplings(level, tiled, i, j, k);
}

/* --- rows of the operator along the first axis ---------------------------------------------------------- */

/* What does not change along the first axis: for each side of the last two axes (below j, above j, below k,
 * above k) the edge, its part of 1 / mass (0: no edge) and the distance to the neighbour. */
#define QDS_LEVEL_NOBODY INT64_MIN
typedef struct {
  int j, k, edge[4];
  float share[4];
  int64_t away[4];
} qds_level_track;

QDS_PORTABLE_INLINE void qds_level_track_start(const qds_level_view *level, int j, int k,
                                               qds_level_track *s) {
  s->j = j;
  s->k = k;
  QDS_UNROLL
  for (int side = 0; side < 4; side++) {
    const qds_level_axis_view *a = &level->axis[1 + side / 2];
    const int own = side < 2 ? j : k, e = qds_level_edge_of(a, own, side % 2),
              next = qds_level_neighbour(a, own, side % 2);
    s->edge[side] = e < 0 ? 0 : e;
    s->share[side] = e < 0 ? 0 : QDS_READ(a->inverse_mass + own);
    s->away[side] =
        e < 0 || next < 0 ? QDS_LEVEL_NOBODY : (int64_t)(next - own) * (side < 2 ? level->axis[2].n : 1);
  }
}

/* weight: below and above along the last two axes as in a track, then along the first. */
typedef struct {
  float potential, couplings, weight[6]; /* potential less the shift */
} qds_level_row;

/* Coefficient over length of the edge below plane i. */
QDS_PORTABLE_INLINE float qds_level_low_edge(const qds_level_view *level, int tiled, int i, int j, int k) {
  const int e = qds_level_edge_of(&level->axis[0], i, 0);
  return e < 0 ? 0 : qds_level_edge(level, tiled, 0, e, j, k);
}

/* `edge`: of the edge below plane i, and then of the one above. */
QDS_PORTABLE_INLINE void qds_level_row_at(const qds_level_view *level, int tiled, const qds_level_track *s,
                                          int i, float *edge, qds_level_row *row) {
  row->potential = qds_level_potential(level, tiled, i, s->j, s->k) - level->shift;
  row->couplings = 0;
  QDS_UNROLL
  for (int side = 0; side < 4; side++) {
    if (level->axis[1 + side / 2].edges > 0)
      row->weight[side] =
          s->share[side] * qds_level_edge_beside(level, tiled, 1 + side / 2, s->edge[side], i, s->j, s->k);
    row->couplings += row->weight[side];
  }
  const qds_level_axis_view *a0 = &level->axis[0];
  if (a0->edges == 0) return;
  const int e = qds_level_edge_of(a0, i, 1);
  const float share = QDS_READ(a0->inverse_mass + i);
  row->weight[4] = share * *edge;
  *edge = e < 0 ? 0 : qds_level_edge(level, tiled, 0, e, s->j, s->k);
  row->weight[5] = share * *edge;
  row->couplings += row->weight[4] + row->weight[5];
}

/* Entry of plane i, which may lie up to two beyond an end, where it is 0 unless the axis is periodic. */
QDS_PORTABLE_INLINE float qds_level_plane(const qds_level_axis_view *a, const float *column, int i,
                                          int64_t plane) {
  if (i < 0 || i >= a->n) {
    if (!a->periodic) return 0;
    i = i < 0 ? i + a->n : (i - a->n) % a->n;
  }
  return QDS_READ(column + i * plane);
}

/* (A - shift) u at a node; the differences are taken first, so that constants cancel exactly. */
QDS_PORTABLE_INLINE float qds_level_image(const qds_level_view *level, const qds_level_track *s,
                                          const qds_level_row *row, const float *u, float own, float below,
                                          float above) {
  float sum = row->potential * own;
  QDS_UNROLL
  for (int side = 0; side < 4; side++)
    if (level->axis[1 + side / 2].edges > 0)
      sum +=
          row->weight[side] * (own - (s->away[side] != QDS_LEVEL_NOBODY ? QDS_READ(u + s->away[side]) : 0));
  if (level->axis[0].edges > 0) sum += row->weight[4] * (own - below) + row->weight[5] * (own - above);
  return sum;
}

#endif

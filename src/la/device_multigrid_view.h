/* A level of multigrid as its kernels see it: on values psi, as qds_level describes it. */
#ifndef QDS_LA_DEVICE_MULTIGRID_VIEW_H
#define QDS_LA_DEVICE_MULTIGRID_VIEW_H

#include "la/device_operator_kernels.h"

/* The coarsest level is inverted by a dense matrix of at most so many rows. */
enum { QDS_MULTIGRID_COARSEST_ROWS = 300 };

/* The coefficient over length of each edge is either an array of its own, or, on a tiled level, derived from
 * the tensor operator's: edge e has the coefficient of element e / order. Over the mass, what that is times
 * factor[2 i + side] counts for the edge below (side 0) or above (side 1) unknown i, 0 where there is none.
 */
typedef struct {
  int n, first, edges, periodic, order; /* edges 0: a point */
  const float *factor;                  /* n x 2 */
  const float *inverse_mass;            /* n */
  const float *inverse_length;          /* edges */
  const double *root, *inverse_root;    /* n */
  qds_tiled_view c;
  const float *edge;
  int stride[3]; /* of edge */
} qds_level_axis_view;

typedef struct {
  qds_level_axis_view axis[3];
  int tiled;
  qds_tiled_view tiled_v;
  qds_tensor_rows_view rows;
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
  if (!tiled)
    return QDS_READ(a->edge + (int64_t)i * a->stride[0] + (int64_t)j * a->stride[1] + k * a->stride[2]);
  const int e = axis == 0 ? i : axis == 1 ? j : k, element = a->order == 1 ? e : e / a->order;
  return (float)qds_tiled_at(&a->c, axis == 0 ? element : i, axis == 1 ? element : j,
                             axis == 2 ? element : k) *
         QDS_READ(a->inverse_length + e);
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

QDS_PORTABLE_INLINE double qds_level_root(const qds_level_view *level, int inverse, int axis, int i) {
  return QDS_READ((inverse ? level->axis[axis].inverse_root : level->axis[axis].root) + i);
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
 * above k) the distance to the neighbour, 1 or 0 as there is one, the factor of the edge, and where that lies
 * on plane 0. */
typedef struct {
  int j, k, away[4], edge[4];
  float there[4], factor[4];
} qds_level_track;

QDS_PORTABLE_INLINE void qds_level_track_start(const qds_level_view *level, int tiled, int j, int k,
                                               qds_level_track *s) {
  s->j = j;
  s->k = k;
  QDS_UNROLL
  for (int side = 0; side < 4; side++) {
    const qds_level_axis_view *a = &level->axis[1 + side / 2];
    const int own = side < 2 ? j : k, e = qds_level_edge_of(a, own, side % 2),
              next = qds_level_neighbour(a, own, side % 2);
    s->there[side] = e >= 0 && next >= 0;
    s->away[side] = e >= 0 && next >= 0 ? (next - own) * (side < 2 ? level->axis[2].n : 1) : 0;
    s->factor[side] = QDS_READ(a->factor + 2 * own + side % 2);
    if (tiled) continue;
    s->edge[side] = e < 0 ? -1 : (side < 2 ? e : j) * a->stride[1] + (side < 2 ? k : e) * a->stride[2];
  }
}

/* A row: potential less the shift; what the neighbours of a track count, and their sum; and the coefficients
 * over length (tiled: coefficients) below and above along the first axis. `which`: of rows, on a tiled level.
 */
typedef struct {
  const uint32_t *place;
  uint32_t which, coming; /* that of the next plane is asked for ahead */
  float potential, weight[4], sum, low, high;
} qds_level_row;

/* For plane `begin`, the first that is asked for. */
QDS_PORTABLE_INLINE void qds_level_row_start(const qds_level_view *level, int tiled, int begin, int j, int k,
                                             qds_level_row *row) {
  const int e = qds_level_edge_of(&level->axis[0], begin, 0);
  row->which = QDS_ROW_NONE;
  if (tiled) {
    const int tiles = level->rows.tiles;
    row->place = level->rows.row + (int64_t)begin * (level->axis[1].n * tiles) + (j * tiles + k / QDS_TILE);
    row->coming = QDS_READ(row->place);
  }
  row->high = tiled || e < 0 ? 0 : qds_level_edge(level, 0, 0, e, j, k);
}

QDS_PORTABLE_INLINE void qds_level_row_tiled(const qds_level_view *level, const qds_level_track *s,
                                             uint32_t which, qds_level_row *row) {
  double number[QDS_ROW_NUMBERS];
  qds_tensor_row_numbers(&level->rows, which, s->k, number);
  row->which = which;
  row->potential = (float)number[QDS_ROW_V] - level->shift;
  row->low = (float)number[QDS_ROW_C];
  row->high = (float)number[QDS_ROW_C + 1];
  row->sum = 0;
  QDS_UNROLL
  for (int side = 0; side < 4; side++) {
    row->weight[side] = s->factor[side] * (float)number[QDS_ROW_C + 2 + side];
    row->sum += row->weight[side];
  }
}

/* The row of plane i, which follows the last one asked for. */
QDS_PORTABLE_INLINE void qds_level_row_at(const qds_level_view *level, int tiled, const qds_level_track *s,
                                          int i, qds_level_row *row) {
  if (tiled) {
    const uint32_t found = row->coming;
    if (i + 1 < level->axis[0].n) row->coming = QDS_READ(row->place += level->axis[1].n * level->rows.tiles);
    if (found != row->which) qds_level_row_tiled(level, s, found, row);
    return;
  }
  row->potential = qds_level_potential(level, 0, i, s->j, s->k) - level->shift;
  row->sum = 0;
  QDS_UNROLL
  for (int side = 0; side < 4; side++) {
    const qds_level_axis_view *a = &level->axis[1 + side / 2];
    row->weight[side] = s->edge[side] < 0 || a->edges == 0
                            ? 0
                            : s->factor[side] * QDS_READ(a->edge + (int64_t)i * a->stride[0] + s->edge[side]);
    row->sum += row->weight[side];
  }
  const int e = qds_level_edge_of(&level->axis[0], i, 1);
  row->low = row->high;
  row->high = e < 0 ? 0 : qds_level_edge(level, 0, 0, e, s->j, s->k);
}

/* How far what is `away` planes from plane i stands from it; *there is 0 beyond an end that is not periodic,
 * where all numbers count as 0. */
QDS_PORTABLE_INLINE int64_t qds_level_plane_away(const qds_level_axis_view *a, int i, int away, int plane,
                                                 int *there) {
  *there = 1;
  if (i + away >= 0 && i + away < a->n) return away * plane;
  *there = a->periodic;
  const int beyond = i + away < 0 ? i + away + a->n : i + away - a->n;
  return (int64_t)((beyond < a->n ? beyond : 0) - i) * plane;
}

/* (A - shift) u at a node, where the neighbours along the first axis are `below` and `above` and count low
 * and high; the differences are taken first, so that constants cancel exactly. */
QDS_PORTABLE_INLINE float qds_level_image(const qds_level_track *s, const qds_level_row *row, const float *u,
                                          float own, float below, float above, float low, float high) {
  float sum = row->potential * own + low * (own - below) + high * (own - above);
  QDS_UNROLL
  for (int side = 0; side < 4; side++)
    sum += row->weight[side] * (own - s->there[side] * QDS_READ(u + s->away[side]));
  return sum;
}

QDS_PORTABLE_INLINE float qds_level_reciprocal(float x) {
#ifdef __CUDA_ARCH__
  return __fdividef(1, x);
#else
  return 1 / x;
#endif
}

#endif

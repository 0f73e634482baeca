/* The kernels between arrays on the nodes of a grid and vectors of its unknowns: their arguments and the work
 * on one place, for the CPU (grid_cpu.c) and for CUDA (grid_cuda.cu). Every pointer lies in memory of the
 * stream's place. */
#ifndef QDS_DOT_GRID_KERNELS_H
#define QDS_DOT_GRID_KERNELS_H

#include <stdint.h>

#include "base/portable.h"
#include "mem/kernel.h"

typedef struct {
  int nodes, n, first, periodic; /* n unknowns, number 0 at node `first` */
  double end_share[2];           /* of a periodic axis: what its two ends count in their mean */
  const double *root;            /* n: square root of the mass */
  const double *weight;          /* nodes */
} qds_grid_axis_view;

/* Index (i * n[1] + j) * n[2] + k, of nodes and of unknowns. */
typedef struct {
  qds_grid_axis_view axis[3];
} qds_grid_view;

/* to = add + factor * what `from`, on the nodes, is at the unknowns: the mean of the two ends of a periodic
 * axis, by their intervals, or with `pick` the value at the first. `scaled`: times the root of the mass. The
 * lines of `to` begin `line` numbers apart. */
typedef struct {
  qds_grid_view grid;
  const double *from;
  int pick, scaled;
  double factor;
  const double *add; /* unknowns; NULL: 0 */
  double *to;
  int64_t line;
} qds_grid_fold_arguments;

/* to, on the nodes, = `from` over the root of the mass, or the square of that; 0 where a node is no unknown.
 */
typedef struct {
  qds_grid_view grid;
  const double *from;
  int squared;
  double *to;
} qds_grid_unfold_arguments;

/* The largest magnitude of some numbers; NaN if one is NaN. */
typedef struct {
  int64_t count;
  const double *numbers;
  int groups;
  double *partial, *largest; /* groups, 1 */
} qds_grid_largest_arguments;

extern const qds_kernel qds_grid_fold_kernel, qds_grid_unfold_kernel, qds_grid_largest_kernel;

/* The nodes along an axis that an unknown is made of, and their shares. */
typedef struct {
  int count, node[2];
  double share[2];
} qds_grid_ends;

QDS_PORTABLE_INLINE qds_grid_ends qds_grid_ends_of(const qds_grid_axis_view *axis, int pick, int unknown) {
  const qds_grid_ends one = {1, {unknown + axis->first, 0}, {1, 0}},
                      two = {2, {0, axis->nodes - 1}, {axis->end_share[0], axis->end_share[1]}};
  return !pick && axis->periodic && unknown == 0 ? two : one;
}

/* The unknown at a node, or -1. */
QDS_PORTABLE_INLINE int qds_grid_unknown(const qds_grid_axis_view *axis, int node) {
  if (axis->periodic && node == axis->nodes - 1) return 0;
  const int unknown = node - axis->first;
  return unknown >= 0 && unknown < axis->n ? unknown : -1;
}

QDS_PORTABLE_INLINE double qds_grid_root(const qds_grid_view *g, int i, int j, int k) {
  return QDS_READ(g->axis[0].root + i) * QDS_READ(g->axis[1].root + j) * QDS_READ(g->axis[2].root + k);
}

/* The volume of a node. */
QDS_PORTABLE_INLINE double qds_grid_weight(const qds_grid_view *g, int i, int j, int k) {
  return QDS_READ(g->axis[0].weight + i) * QDS_READ(g->axis[1].weight + j) * QDS_READ(g->axis[2].weight + k);
}

QDS_PORTABLE_INLINE void qds_grid_fold_at(const qds_grid_fold_arguments *a, int i, int j, int k) {
  const qds_grid_axis_view *axis = a->grid.axis;
  const qds_grid_ends e0 = qds_grid_ends_of(&axis[0], a->pick, i),
                      e1 = qds_grid_ends_of(&axis[1], a->pick, j),
                      e2 = qds_grid_ends_of(&axis[2], a->pick, k);
  double sum = 0;
  for (int s0 = 0; s0 < e0.count; s0++)
    for (int s1 = 0; s1 < e1.count; s1++)
      for (int s2 = 0; s2 < e2.count; s2++)
        sum += e0.share[s0] * e1.share[s1] * e2.share[s2] *
               a->from[((int64_t)e0.node[s0] * axis[1].nodes + e1.node[s1]) * axis[2].nodes + e2.node[s2]];
  const int64_t line = (int64_t)i * axis[1].n + j;
  const double scale = a->scaled ? a->factor * qds_grid_root(&a->grid, i, j, k) : a->factor;
  a->to[line * a->line + k] = (a->add ? a->add[line * axis[2].n + k] : 0) + scale * sum;
}

/* The node (i, j, k). */
QDS_PORTABLE_INLINE void qds_grid_unfold_at(const qds_grid_unfold_arguments *a, int i, int j, int k) {
  const qds_grid_axis_view *axis = a->grid.axis;
  const int u0 = qds_grid_unknown(&axis[0], i), u1 = qds_grid_unknown(&axis[1], j),
            u2 = qds_grid_unknown(&axis[2], k);
  double value = 0;
  if (u0 >= 0 && u1 >= 0 && u2 >= 0)
    value = a->from[((int64_t)u0 * axis[1].n + u1) * axis[2].n + u2] / qds_grid_root(&a->grid, u0, u1, u2);
  a->to[((int64_t)i * axis[1].nodes + j) * axis[2].nodes + k] = a->squared ? value * value : value;
}

#endif

/* Of vectors on a grid whose nodes form runs: the sum of the squares over each run and the largest value of
 * each line, in one pass and in stream order. */
#ifndef QDS_LA_RUN_SUMS_H
#define QDS_LA_RUN_SUMS_H

#include "la/block_kernels.h"

/* The entries of a line from the end of the run before to `end` - 1. */
typedef struct {
  int32_t end, row;
} qds_run;

/* An axis: runs go over its nodes, vectors over its unknowns (axis.h). */
typedef struct {
  int nodes, n, first, periodic;
  const double
      *share; /* nodes: the part of its unknown's mass that belongs to a node; 1 but at periodic ends */
  const double *scale; /* unknowns: 1 / sqrt(mass) */
} qds_run_axis;

/* Per run of the lines of nodes: the sum over its nodes of the shares along the three axes times the squares
 * of the vectors, 0 at Dirichlet ends. Per line: the largest sum of the squares of the vectors times the
 * scales. Every pointer lies in memory of the stream's place. */
typedef struct {
  qds_columns vectors;
  qds_run_axis axis[3];
  const int64_t *start; /* as in qds_runs */
  const qds_run *run;
  double *sum;  /* runs */
  double *peak; /* lines */
} qds_run_sums_arguments;

extern const qds_kernel qds_run_sums_kernel;

/* As qds_axis_unknown. */
QDS_PORTABLE_INLINE int qds_run_unknown(const qds_run_axis *axis, int node) {
  if (axis->periodic && node == axis->nodes - 1) return 0;
  const int unknown = node - axis->first;
  return unknown >= 0 && unknown < axis->n ? unknown : -1;
}

/* A line of nodes: where its unknowns begin, -1 when it has none, and what holds for the whole line. */
typedef struct {
  int64_t at;
  double share, scale;
} qds_run_line;

QDS_PORTABLE_INLINE qds_run_line qds_run_line_of(const qds_run_sums_arguments *a, int64_t line) {
  const int node[2] = {(int)(line / a->axis[1].nodes), (int)(line % a->axis[1].nodes)};
  const int i = qds_run_unknown(&a->axis[0], node[0]), j = qds_run_unknown(&a->axis[1], node[1]);
  qds_run_line l = {-1, 0, 0};
  if (i < 0 || j < 0) return l;
  l.at = ((int64_t)i * a->axis[1].n + j) * a->axis[2].n;
  l.share = a->axis[0].share[node[0]] * a->axis[1].share[node[1]];
  l.scale = a->axis[0].scale[i] * a->axis[1].scale[j];
  return l;
}

/* One node of a line: what it adds to its run, and its value. */
QDS_PORTABLE_INLINE double qds_run_term(const qds_run_sums_arguments *a, const qds_run_line *l, int node,
                                        double *value) {
  const int k = qds_run_unknown(&a->axis[2], node);
  double squares = 0;
  *value = 0;
  if (k < 0) return 0;
  for (int c = 0; c < a->vectors.columns; c++) {
    const double u = QDS_READ(a->vectors.data + c * a->vectors.stride + l->at + k),
                 psi = u * l->scale * QDS_READ(a->axis[2].scale + k);
    squares += u * u;
    *value += psi * psi;
  }
  return QDS_READ(a->axis[2].share + node) * squares;
}

#endif

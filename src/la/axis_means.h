/* Weighted sums of a function on a grid over all axes but one, in stream order: what remains of it along each
 * axis. Every pointer lies in memory of the stream's place. */
#ifndef QDS_LA_AXIS_MEANS_H
#define QDS_LA_AXIS_MEANS_H

#include "la/block_kernels.h"
#include "la/tiled_view.h"

typedef enum { QDS_MEANS_OF_NUMBERS, QDS_MEANS_OF_TILES, QDS_MEANS_OF_SQUARES } qds_means_source;

/* mean[0][i] = sum over j, k of weight[1][j] weight[2][k] f(i, j, k), and so on. */
typedef struct {
  qds_means_source source;
  const double *numbers; /* index (i * n[1] + j) * n[2] + k */
  qds_tiled_view tiles;
  qds_columns vectors; /* f is the sum of the squares of their numbers */
  int n[3];
  const double *weight[3]; /* NULL: 1 */
  double *along_last;      /* n[0] * n[1], for the sums over k */
  double *along_middle;    /* n[0] * n[2], for the sums over j */
  double *mean[3];         /* NULL: not wanted */
} qds_axis_means_arguments;

extern const qds_kernel qds_axis_means_kernel;

QDS_PORTABLE_INLINE double qds_axis_means_weight(const qds_axis_means_arguments *a, int axis, int i) {
  return a->weight[axis] ? QDS_READ(a->weight[axis] + i) : 1;
}

QDS_PORTABLE_INLINE double qds_axis_means_value(const qds_axis_means_arguments *a, int i, int j, int k) {
  const int64_t at = ((int64_t)i * a->n[1] + j) * a->n[2] + k;
  if (a->source == QDS_MEANS_OF_NUMBERS) return QDS_READ(a->numbers + at);
  if (a->source == QDS_MEANS_OF_TILES) return qds_tiled_at(&a->tiles, i, j, k);
  double sum = 0;
  for (int c = 0; c < a->vectors.columns; c++) {
    const double x = QDS_READ(a->vectors.data + c * a->vectors.stride + at);
    sum += x * x;
  }
  return sum;
}

#endif

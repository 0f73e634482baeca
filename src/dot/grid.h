/* Arrays on all nodes of a grid and vectors of its unknowns, both in memory of a stream's place, and the way
 * between them. */
#ifndef QDS_DOT_GRID_H
#define QDS_DOT_GRID_H

#include "dot/grid_kernels.h"
#include "la/axis.h"
#include "la/block.h"

typedef struct {
  qds_stream *stream;
  qds_grid_view view; /* for kernels of the stream */
  double *numbers;
} qds_grid;

/* stream: of the host or of a device; of the axes nothing is kept. Errors: MEMORY, BUDGET, those of the
 * device. */
qds_status qds_grid_create(qds_context *ctx, qds_stream *stream, const qds_axis *const axis[3],
                           qds_grid *out);
void qds_grid_clear(qds_grid *grid); /* safe on a zeroed one */

int64_t qds_grid_nodes(const qds_grid *grid);
int64_t qds_grid_unknowns(const qds_grid *grid);

/* How an array on the nodes becomes one on the unknowns (qds_grid_fold_arguments); {.factor = 1} is the
 * plain mean. line 0: lines follow each other. */
typedef struct {
  int pick, scaled;
  double factor;
  const double *add;
  int64_t line;
} qds_folding;
qds_status qds_grid_fold(const qds_grid *grid, qds_folding how, const double *from, double *to);

/* The values psi, or their squares, at all nodes from scaled unknowns. */
qds_status qds_grid_unfold(const qds_grid *grid, int squared, const double *from, double *to);

/* The largest magnitude in a block of one column on the grid's stream. */
qds_status qds_grid_largest(const qds_grid *grid, const qds_block *numbers, double *largest);

#endif

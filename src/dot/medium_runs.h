/* What fills the boxes of a grid, as runs along its lines (la/runs.h). */
#ifndef QDS_DOT_MEDIUM_RUNS_H
#define QDS_DOT_MEDIUM_RUNS_H

#include "dot/average.h"
#include "la/runs.h"

/* The numbers that stand for a box. Row m of the table is that of a box that material m fills alone. */
typedef struct {
  int width;
  const double *uniform; /* materials x width */
  /* Writes those of a box that a surface cuts, and returns -1, or names the material whose row is theirs.
   * Called by several threads. */
  int (*cut)(void *self, const int64_t index[3], qds_cut *cut, double *row);
  void *self;
} qds_box_numbers;

/* Does not depend on the thread count, but for the order of the table's rows. Errors: ARGUMENT, MEMORY. */
qds_status qds_medium_runs(qds_context *ctx, const qds_medium *medium, int dimension,
                           const qds_intervals intervals[3], const qds_box_numbers *numbers, qds_runs *out);
/* The parts of each box that the materials fill: as many numbers as materials. */
qds_status qds_medium_fractions(qds_context *ctx, const qds_medium *medium, int dimension,
                                const qds_intervals intervals[3], qds_runs *out);
/* The material in the middle of each box is the number of its row; the table is empty. */
qds_status qds_medium_middles(qds_context *ctx, const qds_medium *medium, int dimension,
                              const qds_intervals intervals[3], qds_runs *out);

#endif

/* The levels of multigrid on a stream.
 *
 * The mathematics is the host's. The finest level has no coefficients of its own: they are derived from the
 * tensor operator's as they are needed. With the right-hand side divided by the diagonal D, the smoother
 * needs the diagonal at the node itself only, and two Chebyshev steps from zero are one pass: p b - q (A / D)
 * b. */
#ifndef QDS_LA_DEVICE_MULTIGRID_H
#define QDS_LA_DEVICE_MULTIGRID_H

#include "la/device_multigrid_kernels.h"
#include "la/multigrid_internal.h"

/* What a level's cycle works with. b: the right-hand side, then the residual, both divided by the diagonal;
 * y: the defect, then the corrected x. The finest level of a cycle has x in the memory of its result. */
typedef enum { QDS_LEVEL_B, QDS_LEVEL_Y, QDS_LEVEL_X, QDS_LEVEL_VECTORS } qds_level_vector;

typedef struct {
  qds_level_view view;
  qds_transfer_view transfer[3]; /* from the next coarser level */
  void *axes, *transfers;        /* the numbers along the axes */
  float *edge[3], *v;
  float *vector[QDS_LEVEL_VECTORS]; /* `batch` columns each */
  int64_t stride;
  int batch;
  float rate;
} qds_device_level;

/* A cycle from level `finest` downwards on some columns. */
typedef struct {
  const qds_multigrid *mg;
  const struct qds_device_levels *d;
  int finest, columns;
  qds_columns from, to;
} qds_device_cycle;

/* A cycle that was run before, and its graph once it was captured. */
enum { QDS_DEVICE_GRAPHS = 16 };
typedef struct {
  qds_device_cycle cycle;
  qds_graph *graph; /* NULL: seen once */
  uint64_t used;    /* the number of its last run; 0: an empty place */
} qds_device_graph;

struct qds_device_levels {
  qds_stream *stream;
  qds_device_level level[QDS_MULTIGRID_MAX_LEVELS];
  float *inverse;    /* of the coarsest level */
  double *partial;   /* sums over groups of nodes */
  int fewest_planes; /* that a march goes through; more than 1 only to test marches on small grids */
  qds_device_graph graph[QDS_DEVICE_GRAPHS];
  uint64_t cycles; /* run so far */
};

/* What a cycle does on a level, in order; the first on its finest level only, the last three after the
 * coarser levels. `bytes`: of the numbers that must move for a node and column, coefficients not counted. */
enum { QDS_DEVICE_STEPS = 7 };
typedef struct {
  const char *name;
  qds_status (*run)(const qds_device_cycle *cycle, int level);
  double bytes;
} qds_device_step;
extern const qds_device_step qds_device_steps[QDS_DEVICE_STEPS];

/* The cycle of as many columns from `first` on as go together. */
qds_device_cycle qds_device_cycle_of(const qds_multigrid *multigrid, int finest, const qds_block *x,
                                     const qds_block *y, int first);
/* As in qds_multigrid_place. */
qds_status qds_device_multigrid_cycle(void *self, qds_context *ctx, const qds_block *x, qds_block *y);
/* Uploads what a level's kernels need along its axes, and along those of its transfers. */
qds_status qds_device_level_upload_axes(qds_context *ctx, qds_stream *stream, const qds_level *host,
                                        qds_device_level *level);
qds_status qds_device_level_upload_transfers(qds_context *ctx, qds_stream *stream, const qds_level *host,
                                             qds_device_level *level);

/* Enqueues a cycle, launch by launch. */
qds_status qds_device_cycle_enqueue(const qds_device_cycle *w);
/* The same, through a graph when the cycle was run before. */
qds_status qds_device_cycle_run(qds_device_levels *d, const qds_device_cycle *w);
/* Before anything changes that a cycle's launches carry: shifts, vectors. */
void qds_device_graphs_clear(qds_device_levels *d);

#endif

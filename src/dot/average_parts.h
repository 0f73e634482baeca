/* What the average_*.c files share: the walk over the boxes of a grid, and the cutting of one box. */
#ifndef QDS_DOT_AVERAGE_PARTS_H
#define QDS_DOT_AVERAGE_PARTS_H

#include "dot/average.h"

typedef struct {
  const qds_medium *medium;
  int absent; /* 3 - dimension: the shapes' coordinates start there */
  qds_intervals axis[3];
} qds_box_grid;

/* Some part of space: a material, and over it the regions whose surfaces may pass through it, the last laid
 * down first. The entries behind the list are free for the lists of smaller parts. */
typedef struct {
  int base;
  size_t count;
  int *regions;
} qds_candidates;

/* What one thread works with. */
typedef struct {
  const qds_box_grid *grid;
  int *regions;     /* the lists of candidates */
  double *cuts[3];  /* the bounds of the pieces of a box */
  size_t room[3];   /* for so many bounds */
  size_t pieces[3]; /* so many pieces in the box at hand */
  double *line;     /* per material: its length on a line */
  double *fraction; /* per material: its part of a box */
} qds_walker;

/* A block of boxes: from first to first + count - 1 along each axis. */
typedef struct {
  int64_t first[3], count[3];
} qds_box_range;

/* Receives every box of the grid once, from several threads at once. `tile` numbers the part of the grid, so
 * that sums can be added up in an order that does not depend on the threads. */
typedef struct {
  void *self;
  void (*uniform)(void *self, int64_t tile, const qds_box_range *range, int material);
  void (*cut)(void *self, int64_t tile, qds_walker *walker, const qds_candidates *candidates,
              const qds_box_range *box);
} qds_box_sink;

static inline int64_t qds_box_index(const qds_box_grid *grid, int64_t i, int64_t j, int64_t k) {
  return (i * grid->axis[1].count + j) * grid->axis[2].count + k;
}

/* The corners of a block of boxes. */
static inline void qds_box_corners(const qds_box_grid *grid, const qds_box_range *range, double low[3],
                                   double high[3]) {
  for (int a = 0; a < 3; a++) {
    low[a] = grid->axis[a].bounds_nm[range->first[a]];
    high[a] = grid->axis[a].bounds_nm[range->first[a] + range->count[a]];
  }
}

/* How many tiles a walk has. */
int64_t qds_box_tiles(const qds_box_grid *grid);
qds_status qds_walk_boxes(qds_context *ctx, const qds_box_grid *grid, const qds_box_sink *sink);

/* The candidates among `outer` for a smaller box. */
qds_candidates qds_candidates_within(const qds_box_grid *grid, const qds_candidates *outer,
                                     const double low[3], const double high[3]);

/* How often the search for surfaces cuts a line, at a surface or in the middle, before it takes the material
 * in the middle of the rest. */
enum { QDS_LINE_DEPTH = 10 };

/* Fills walker->fraction for a box. */
void qds_cut_box(qds_walker *walker, const qds_candidates *candidates, const double low[3],
                 const double high[3]);
/* 1 / mean(1 / value) along lines parallel to `along`, averaged over the lines. */
double qds_cut_box_along(qds_walker *walker, const qds_candidates *candidates, const double low[3],
                         const double high[3], int along, const double *values);

#endif

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
  double *faces[3]; /* room for the flat faces in a box and its two ends */
  size_t room[3];
  double *breaks; /* room for the faces of one shape */
  size_t breaks_room;
  double *line;     /* per material: its length on a line */
  double *fraction; /* per material: its part of a box */
  double *alike;    /* the same of a block of boxes that are cut alike */
} qds_walker;

/* A block of boxes: from first to first + count - 1 along each axis. */
typedef struct {
  int64_t first[3], count[3];
} qds_box_range;

/* Receives every box of the grid once, from several threads at once. The boxes of a range that is cut are cut
 * alike, so that the first stands for all. `tile` numbers the bundle of lines, which one thread works on, so
 * that sums can be added up in an order that does not depend on the threads. */
typedef struct {
  void *self;
  void (*uniform)(void *self, int64_t tile, const qds_box_range *range, int material);
  void (*cut)(void *self, int64_t tile, qds_walker *walker, const qds_candidates *candidates,
              const qds_box_range *range);
  void (*done)(void *self, int64_t tile); /* NULL, or told after the last box of a tile, by its thread */
} qds_box_sink;

struct qds_cut {
  qds_walker *walker;
  const qds_candidates *candidates;
  double low[3], high[3]; /* of the first of the boxes that are cut alike */
  int known;              /* walker->alike holds its fractions */
};

static inline int64_t qds_box_index(const qds_box_grid *grid, int64_t i, int64_t j, int64_t k) {
  return (i * grid->axis[1].count + j) * grid->axis[2].count + k;
}

/* Checks the grid's intervals and the medium. */
qds_status qds_box_grid_make(const qds_medium *medium, int dimension, const qds_intervals intervals[3],
                             qds_box_grid *out);

/* The corners of a block of boxes. */
static inline void qds_box_corners(const qds_box_grid *grid, const qds_box_range *range, double low[3],
                                   double high[3]) {
  for (int a = 0; a < 3; a++) {
    low[a] = grid->axis[a].bounds_nm[range->first[a]];
    high[a] = grid->axis[a].bounds_nm[range->first[a] + range->count[a]];
  }
}

/* The corners of the first box of a block. */
static inline void qds_first_box_corners(const qds_box_grid *grid, const qds_box_range *range, double low[3],
                                         double high[3]) {
  const qds_box_range first = {{range->first[0], range->first[1], range->first[2]}, {1, 1, 1}};
  qds_box_corners(grid, &first, low, high);
}

/* How many tiles a walk has, and the lines of one. */
int64_t qds_box_tiles(const qds_box_grid *grid);
qds_box_range qds_box_tile(const qds_box_grid *grid, int64_t tile);
qds_status qds_walk_boxes(qds_context *ctx, const qds_box_grid *grid, const qds_box_sink *sink);

/* The candidates among `outer` for a smaller box. */
qds_candidates qds_candidates_within(const qds_box_grid *grid, const qds_candidates *outer,
                                     const double low[3], const double high[3]);

/* Ascending coordinates that bound the pieces of an interval: count + 1 of them. */
typedef struct {
  double *nm;
  size_t room, count;
} qds_cuts;

void qds_cuts_start(qds_cuts *cuts, double *nm, size_t room, double low, double high);
/* Cuts once more at `nm`, unless that is no inner point or there is no more room. */
void qds_cuts_add(qds_cuts *cuts, double nm);

/* Between two coordinates along an axis, cut at the flat faces of the candidates. */
qds_cuts qds_flat_pieces(qds_walker *walker, const qds_candidates *candidates, int axis, double low,
                         double high);

/* A line parallel to an axis through a point, and what is to be found on it (either may be NULL). */
typedef struct {
  qds_walker *walker;
  int axis;
  double point[3];
  double *lengths;   /* per material: what is found is added */
  qds_cuts *changes; /* cut wherever the material changes */
  int material;      /* the latest found, -1 at the start */
} qds_line;

/* Follows the line through the material between two coordinates; several segments of a line come in ascending
 * order. */
void qds_line_follow(qds_line *line, const qds_candidates *candidates, double from, double to);

/* How often the search for surfaces cuts a line, at a surface or in the middle, before it takes the material
 * in the middle of the rest. */
enum { QDS_LINE_DEPTH = 10 };

/* The box is averaged along lines parallel to `along`, -1: the axis that suits it best. Fills
 * walker->fraction; with values, returns 1 / mean(1 / value) along each line averaged over the lines,
 * else 0. */
double qds_cut_box(qds_walker *walker, const qds_candidates *candidates, const double low[3],
                   const double high[3], int along, const double *values);

#endif

/* Averages of a piecewise-constant medium over the boxes of a rectilinear grid.
 *
 * The medium is an ordered list of shapes, each of one material; later ones win. Internal axes are 0, 1, 2
 * with the last contiguous; the dimensions that a device lacks come first, with one interval: in 2D the
 * user's x is axis 1.
 *
 * Boxes are cut at the flat faces of the shapes; a piece that a surface still cuts is filled with lines
 * (Gauss points across), and along each line the changes of material are found to rounding. So averages are
 * exact to rounding where surfaces are planes perpendicular to the axes, exact in 1D, and converge for curved
 * surfaces. What no surface cuts costs next to nothing: ranges of the level functions prove whole blocks of
 * boxes uniform. */
#ifndef QDS_DOT_AVERAGE_H
#define QDS_DOT_AVERAGE_H

#include "dot/shape.h"

typedef struct {
  const qds_shape *shape;
  int material;
} qds_medium_region;

/* Materials are numbered from 0 to materials - 1. Borrows its regions and shapes. */
typedef struct {
  int materials, background;
  size_t count;
  const qds_medium_region *regions;
} qds_medium;

/* The material at a point, in nm; a surface belongs to its shape. */
int qds_medium_at(const qds_medium *medium, const double *p);

/* `count` boxes along an axis with count + 1 ascending bounds; for the absent dimensions count is 1 and the
 * bounds are not looked at. */
typedef struct {
  int64_t count;
  const double *bounds_nm;
} qds_intervals;

typedef enum {
  QDS_AVERAGE_ARITHMETIC, /* the mean over the box: band edges */
  QDS_AVERAGE_ALONG /* 1 / mean(1 / value) along each line parallel to an axis, then the mean over the lines:
                       inverse masses and permittivities, in series along the flow and in parallel
                     * across it */
} qds_average_kind;

/* out: one average per box, index (i * n1 + j) * n2 + k. values: one per material, for ALONG positive.
 * `along`: the internal axis of ALONG, one that the device has. Parallel; the result does not depend on the
 * thread count. Errors: ARGUMENT, MEMORY. */
qds_status qds_average_box_grid(qds_context *ctx, const qds_medium *medium, int dimension,
                                const qds_intervals intervals[3], int along, const double *values,
                                qds_average_kind kind, double *out);

/* A box that a surface cuts, during a visit. */
typedef struct qds_cut qds_cut;
/* The parts of it that the materials fill. */
const double *qds_cut_fractions(qds_cut *cut);
/* QDS_AVERAGE_ALONG of it. */
double qds_cut_along(const qds_cut *cut, int along, const double *values);

/* Receives each box of a grid once, from several threads at once: blocks of one material, and single boxes
 * that a surface cuts. */
typedef struct {
  void *self;
  void (*uniform)(void *self, const int64_t first[3], const int64_t count[3], int material);
  void (*cut)(void *self, const int64_t index[3], qds_cut *cut);
} qds_box_visitor;
/* Errors: ARGUMENT, MEMORY. */
qds_status qds_visit_boxes(qds_context *ctx, const qds_medium *medium, int dimension,
                           const qds_intervals intervals[3], const qds_box_visitor *visitor);

/* sums[s * materials + m] = sum over the boxes of vectors[s][box]^2 times the fraction of the box that
 * material m fills: the probability per material of `count` states, given by the square roots of the
 * probability per box. Parallel; the result does not depend on the thread count. Errors: ARGUMENT, MEMORY. */
qds_status qds_volume_fractions(qds_context *ctx, const qds_medium *medium, int dimension,
                                const qds_intervals intervals[3], size_t count, const double *const *vectors,
                                double *sums);

#endif

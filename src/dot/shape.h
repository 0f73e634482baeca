/* Shapes as level functions: negative inside, positive outside, and 1-Lipschitz, so that |level(p)| > r
 * proves that no surface passes within r of p. */
#ifndef QDS_DOT_SHAPE_H
#define QDS_DOT_SHAPE_H

#include "base/yaml.h"
#include "par/context.h"

typedef struct qds_shape qds_shape;

/* Reads the shape of a region: the keys of the map that describe it, by its `shape` word: box, layer,
 * ellipsoid, cylinder, cone, truncated_cone, pyramid, truncated_pyramid, lens, dome, polygon, prism, union,
 * difference, intersection; any may carry `rotate: {axis: z, degrees: 30, center_nm: [..]}`. docs/shapes.md
 * has them all. `dimension`: 1 to 3. The region's other keys are not looked at: see qds_shape_check_keys.
 * Errors: INPUT through the node, MEMORY. */
qds_status qds_shape_read(qds_context *ctx, const qds_yaml_node *region, int dimension, qds_shape **out);
void qds_shape_destroy(qds_shape *shape);
QDS_AUTO_DEFINE(qds_shape)

/* The keys of a shape, `shape` and `rotate` among them, NULL-terminated; NULL for a word that is no shape. */
const char *const *qds_shape_keys(const char *shape_word);
/* Fails unless every key of the region is one of its shape's or in the NULL-terminated list `others`
 * ("material"). To be called before qds_shape_read, so that a misspelt key is not reported as a
 * missing one. */
qds_status qds_shape_check_keys(const qds_yaml_node *region, const char *const *others);

/* nm; p has `dimension` coordinates. */
double qds_shape_level(const qds_shape *shape, const double *p);

/* Bounds on the level over the axis-aligned box centre - half .. centre + half (sides may be 0): the box lies
 * outside when low > 0 and inside when high < 0. Much tighter than the Lipschitz bound: along a line parallel
 * to an axis they are exact for box, layer, ellipsoid, lens and dome. */
typedef struct {
  double low, high;
} qds_range;
qds_range qds_shape_range(const qds_shape *shape, const double *centre, const double *half);

/* A box that holds the shape, nm: the first `dimension` entries are set; infinite sides allowed. */
void qds_shape_bounds(const qds_shape *shape, double low[3], double high[3]);
/* Coordinates along `axis` where the shape has faces perpendicular to it (box sides, base and top planes; in
 * 1D all its surfaces): averages split there and are exact for aligned shapes. Returns how many, writes at
 * most `room`. */
size_t qds_shape_breaks(const qds_shape *shape, int axis, double *breaks_nm, size_t room);

#endif

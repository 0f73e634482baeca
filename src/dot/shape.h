/* Shapes as level functions: negative inside, positive outside, and 1-Lipschitz, so that |level(p)| > r proves that
 * no surface passes within r of p. */
#ifndef QDS_DOT_SHAPE_H
#define QDS_DOT_SHAPE_H

#include "base/yaml.h"
#include "par/context.h"

typedef struct qds_shape qds_shape;

/* Reads the shape of a region: the keys of the map that describe it, by its `shape` word: box, layer, ellipsoid,
 * cylinder, cone, truncated_cone, pyramid, truncated_pyramid, lens, dome, polygon, prism, union, difference; any may
 * carry `rotate: {axis: z, degrees: 30, center_nm: [..]}`. `dimension`: 1 to 3. Errors: INPUT through the node. */
qds_status qds_shape_read(qds_context *ctx, const qds_yaml_node *region, int dimension, qds_shape **out);
void qds_shape_destroy(qds_shape *shape);
QDS_AUTO_DEFINE(qds_shape)

/* The keys that shapes use, NULL-terminated, so that the reader of regions can check for unknown ones. */
const char *const *qds_shape_keys(const char *shape_word);

/* nm; p has `dimension` coordinates. */
double qds_shape_level(const qds_shape *shape, const double *p);
/* The box that holds the shape, nm; infinite sides allowed. */
void qds_shape_bounds(const qds_shape *shape, double low[3], double high[3]);
/* Coordinates along `axis` where the shape has faces perpendicular to it (box sides, base and top planes): averages
 * split there and are exact for aligned shapes. Returns how many, writes at most `room`. */
size_t qds_shape_breaks(const qds_shape *shape, int axis, double *breaks_nm, size_t room);

#endif

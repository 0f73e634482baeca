/* The solids: the range of each level function over a box, its bounds and its flat faces. */
#include "dot/shape_parts.h"

static const double infinity = (double)INFINITY;

/* The range of the length of a vector whose components have these absolute values. */
QDS_INLINE_RANGE length_range(int count, const qds_range *components) {
  double low = 0, high = 0;
  for (int i = 0; i < count; i++) {
    low += components[i].low * components[i].low;
    high += components[i].high * components[i].high;
  }
  return (qds_range){sqrt(low), sqrt(high)};
}

/* ---- box and layer: the largest signed distance to a side's plane ---- */

QDS_INLINE_RANGE box_range(const qds_shape *shape, const double *centre, const double *half) {
  qds_range range = {-infinity, -infinity};
  for (int a = 0; a < shape->dimension; a++) {
    range = qds_range_max(range, qds_range_around(shape->box.low[a] - centre[a], half[a]));
    range = qds_range_max(range, qds_range_around(centre[a] - shape->box.high[a], half[a]));
  }
  return range;
}

static void box_bounds(const qds_shape *shape, double *low, double *high) {
  for (int a = 0; a < shape->dimension; a++) {
    low[a] = shape->box.low[a];
    high[a] = shape->box.high[a];
  }
}

static void box_breaks(const qds_shape *shape, int axis, qds_breaks *breaks) {
  if (isfinite(shape->box.low[axis])) qds_breaks_add(breaks, shape->box.low[axis]);
  if (isfinite(shape->box.high[axis])) qds_breaks_add(breaks, shape->box.high[axis]);
}

QDS_DEFINE_LEVEL(box)
const qds_solid qds_solid_box = {box_range, box_level, box_bounds, box_breaks};

/* ---- ellipsoid ---- */

/* The larger of (|p/r| - 1) min(r) and |p| - max(r): both have slope 1 at most, the second is negative
 * wherever the first is not positive and so moves no surface, and far away it is the tighter of the two. */
QDS_INLINE_RANGE radii_level(int dimension, const qds_range *offset, const double *radii) {
  double smallest = radii[0], largest = radii[0];
  qds_range scaled[3];
  for (int a = 0; a < dimension; a++) {
    smallest = qds_smaller(smallest, radii[a]);
    largest = qds_larger(largest, radii[a]);
    scaled[a] = (qds_range){offset[a].low / radii[a], offset[a].high / radii[a]};
  }
  const qds_range s = length_range(dimension, scaled), d = length_range(dimension, offset);
  return qds_range_max((qds_range){(s.low - 1) * smallest, (s.high - 1) * smallest},
                       (qds_range){d.low - largest, d.high - largest});
}

QDS_INLINE_RANGE ellipsoid_range(const qds_shape *shape, const double *centre, const double *half) {
  qds_range offset[3];
  for (int a = 0; a < shape->dimension; a++)
    offset[a] = qds_range_abs(qds_range_around(centre[a] - shape->ellipsoid.center[a], half[a]));
  return radii_level(shape->dimension, offset, shape->ellipsoid.radii);
}

static void ellipsoid_bounds(const qds_shape *shape, double *low, double *high) {
  for (int a = 0; a < shape->dimension; a++) {
    low[a] = shape->ellipsoid.center[a] - shape->ellipsoid.radii[a];
    high[a] = shape->ellipsoid.center[a] + shape->ellipsoid.radii[a];
  }
}

static void ellipsoid_breaks(const qds_shape *shape, int axis, qds_breaks *breaks) {
  if (shape->dimension > 1) return;
  qds_breaks_add(breaks, shape->ellipsoid.center[axis] - shape->ellipsoid.radii[axis]);
  qds_breaks_add(breaks, shape->ellipsoid.center[axis] + shape->ellipsoid.radii[axis]);
}

QDS_DEFINE_LEVEL(ellipsoid)
const qds_solid qds_solid_ellipsoid = {ellipsoid_range, ellipsoid_level, ellipsoid_bounds, ellipsoid_breaks};

/* ---- solids that stand on a base ---- */

/* The signed distance to the base and top planes; u: height above the base. */
QDS_INLINE_RANGE slab_level(qds_range u, double height) {
  return qds_range_max(qds_range_negative(u), (qds_range){u.low - height, u.high - height});
}

/* The signed distance to a wall that leans from half width `base` at height 0 to `top` at `height`:
 * (height (w - base) + (base - top) u) / sqrt(height^2 + (base - top)^2). */
QDS_INLINE_RANGE wall_level(qds_range w, qds_range u, double base, double top, double height) {
  const double lean = base - top, length = sqrt(height * height + lean * lean);
  const qds_range rise = lean >= 0 ? u : (qds_range){u.high, u.low};
  return (qds_range){(height * (w.low - base) + lean * rise.low) / length,
                     (height * (w.high - base) + lean * rise.high) / length};
}

/* ---- cylinder, cone, truncated cone ---- */

QDS_INLINE_RANGE cone_range(const qds_shape *shape, const double *centre, const double *half) {
  const int axis = shape->cone.axis;
  qds_range across[2], u = {0, 0};
  int count = 0;
  for (int a = 0; a < 3; a++) {
    const qds_range offset = qds_range_around(centre[a] - shape->cone.base[a], half[a]);
    if (a == axis)
      u = offset;
    else
      across[count++] = qds_range_abs(offset);
  }
  const qds_range wall =
      wall_level(length_range(2, across), u, shape->cone.radius, shape->cone.top_radius, shape->cone.height);
  return qds_range_max(wall, slab_level(u, shape->cone.height));
}

static void cone_bounds(const qds_shape *shape, double *low, double *high) {
  const double radius = fmax(shape->cone.radius, shape->cone.top_radius);
  for (int a = 0; a < 3; a++) {
    low[a] = shape->cone.base[a] - (a == shape->cone.axis ? 0 : radius);
    high[a] = shape->cone.base[a] + (a == shape->cone.axis ? shape->cone.height : radius);
  }
}

static void cone_breaks(const qds_shape *shape, int axis, qds_breaks *breaks) {
  if (axis != shape->cone.axis) return;
  qds_breaks_add(breaks, shape->cone.base[axis]);
  if (shape->cone.top_radius > 0) qds_breaks_add(breaks, shape->cone.base[axis] + shape->cone.height);
}

QDS_DEFINE_LEVEL(cone)
const qds_solid qds_solid_cone = {cone_range, cone_level, cone_bounds, cone_breaks};

/* ---- pyramid, truncated pyramid ---- */

QDS_INLINE_RANGE pyramid_range(const qds_shape *shape, const double *centre, const double *half) {
  const qds_range u = qds_range_around(centre[2] - shape->pyramid.base[2], half[2]);
  qds_range range = slab_level(u, shape->pyramid.height);
  for (int a = 0; a < 2; a++) {
    const qds_range w = qds_range_abs(qds_range_around(centre[a] - shape->pyramid.base[a], half[a]));
    range = qds_range_max(range, wall_level(w, u, shape->pyramid.half_base[a], shape->pyramid.half_top[a],
                                            shape->pyramid.height));
  }
  return range;
}

static void pyramid_bounds(const qds_shape *shape, double *low, double *high) {
  for (int a = 0; a < 2; a++) {
    const double width = fmax(shape->pyramid.half_base[a], shape->pyramid.half_top[a]);
    low[a] = shape->pyramid.base[a] - width;
    high[a] = shape->pyramid.base[a] + width;
  }
  low[2] = shape->pyramid.base[2];
  high[2] = shape->pyramid.base[2] + shape->pyramid.height;
}

static void pyramid_breaks(const qds_shape *shape, int axis, qds_breaks *breaks) {
  const double *base = shape->pyramid.half_base, *top = shape->pyramid.half_top;
  if (axis == 2) {
    qds_breaks_add(breaks, shape->pyramid.base[2]);
    if (top[0] > 0 && top[1] > 0) qds_breaks_add(breaks, shape->pyramid.base[2] + shape->pyramid.height);
  } else if (base[axis] == top[axis]) {
    qds_breaks_add(breaks, shape->pyramid.base[axis] - base[axis]);
    qds_breaks_add(breaks, shape->pyramid.base[axis] + base[axis]);
  }
}

QDS_DEFINE_LEVEL(pyramid)
const qds_solid qds_solid_pyramid = {pyramid_range, pyramid_level, pyramid_bounds, pyramid_breaks};

/* ---- lens: the part above the base of a ball of radius (radius^2 + height^2) / (2 height) ---- */

static double lens_curvature_radius(const qds_shape *shape) {
  const double a = shape->lens.radius, h = shape->lens.height;
  return (a * a + h * h) / (2 * h);
}

QDS_INLINE_RANGE lens_range(const qds_shape *shape, const double *centre, const double *half) {
  const double ball = lens_curvature_radius(shape);
  const qds_range u = qds_range_around(centre[2] - shape->lens.base[2], half[2]);
  const double sink = ball - shape->lens.height; /* the ball's centre lies so far below the base */
  const qds_range offset[3] = {qds_range_abs(qds_range_around(centre[0] - shape->lens.base[0], half[0])),
                               qds_range_abs(qds_range_around(centre[1] - shape->lens.base[1], half[1])),
                               qds_range_abs((qds_range){u.low + sink, u.high + sink})};
  const qds_range distance = length_range(3, offset);
  return qds_range_max((qds_range){distance.low - ball, distance.high - ball}, qds_range_negative(u));
}

static void lens_bounds(const qds_shape *shape, double *low, double *high) {
  const int overhangs = shape->lens.height > shape->lens.radius;
  const double radius = overhangs ? lens_curvature_radius(shape) : shape->lens.radius;
  for (int a = 0; a < 3; a++) {
    low[a] = shape->lens.base[a] - (a == 2 ? 0 : radius);
    high[a] = shape->lens.base[a] + (a == 2 ? shape->lens.height : radius);
  }
}

static void lens_breaks(const qds_shape *shape, int axis, qds_breaks *breaks) {
  if (axis == 2) qds_breaks_add(breaks, shape->lens.base[2]);
}

QDS_DEFINE_LEVEL(lens)
const qds_solid qds_solid_lens = {lens_range, lens_level, lens_bounds, lens_breaks};

/* ---- dome: the upper half of an ellipsoid ---- */

QDS_INLINE_RANGE dome_range(const qds_shape *shape, const double *centre, const double *half) {
  qds_range offset[3];
  for (int a = 0; a < 3; a++)
    offset[a] = qds_range_abs(qds_range_around(centre[a] - shape->dome.base[a], half[a]));
  const qds_range below = qds_range_around(shape->dome.base[2] - centre[2], half[2]);
  return qds_range_max(radii_level(3, offset, shape->dome.radii), below);
}

static void dome_bounds(const qds_shape *shape, double *low, double *high) {
  for (int a = 0; a < 3; a++) {
    low[a] = shape->dome.base[a] - (a == 2 ? 0 : shape->dome.radii[a]);
    high[a] = shape->dome.base[a] + shape->dome.radii[a];
  }
}

static void dome_breaks(const qds_shape *shape, int axis, qds_breaks *breaks) {
  if (axis == 2) qds_breaks_add(breaks, shape->dome.base[2]);
}

QDS_DEFINE_LEVEL(dome)
const qds_solid qds_solid_dome = {dome_range, dome_level, dome_bounds, dome_breaks};

/* ---- polygon and prism ---- */

/* The two axes of the polygon's plane. */
static void plane_axes(const qds_shape *shape, int plane[2]) {
  plane[0] = shape->prism.axis == 0 ? 1 : 0;
  plane[1] = shape->prism.axis == 1 || shape->prism.axis == 0 ? 2 : 1;
}

/* Whether the edge from p to p + d passes through the inside of the rectangle |x| < half[0], |y| < half[1]:
 * no side and no line along the edge separates the two. */
static int edge_crosses(const double p[2], const double d[2], const double half[2]) {
  for (int a = 0; a < 2; a++)
    if (qds_smaller(p[a], p[a] + d[a]) >= half[a] || qds_larger(p[a], p[a] + d[a]) <= -half[a]) return 0;
  return fabs(p[0] * d[1] - p[1] * d[0]) < half[0] * fabs(d[1]) + half[1] * fabs(d[0]);
}

/* The signed distance to the boundary, by its slope of 1; where no edge crosses the rectangle the sign is
 * certain. */
QDS_INLINE_RANGE polygon_range(const qds_shape *shape, const double centre[2], const double half[2]) {
  double nearest = infinity; /* squared */
  int inside = 0, crossed = 0;
  for (size_t i = 0; i < shape->point_count; i++) {
    const double *from = shape->points[i], *to = shape->points[i + 1 == shape->point_count ? 0 : i + 1];
    const double p[2] = {from[0] - centre[0], from[1] - centre[1]}, d[2] = {to[0] - from[0], to[1] - from[1]};
    const double along =
        qds_smaller(1, qds_larger(0, -(p[0] * d[0] + p[1] * d[1]) / (d[0] * d[0] + d[1] * d[1])));
    const double foot[2] = {p[0] + along * d[0], p[1] + along * d[1]};
    nearest = qds_smaller(nearest, foot[0] * foot[0] + foot[1] * foot[1]);
    /* The ray to the right of the centre meets the edge (crossing number rule). */
    if ((p[1] > 0) != (p[1] + d[1] > 0) && p[0] - p[1] * d[0] / d[1] > 0) inside = !inside;
    crossed = crossed || edge_crosses(p, d, half);
  }
  const double level = inside ? -sqrt(nearest) : sqrt(nearest);
  qds_range range = qds_range_around(level, sqrt(half[0] * half[0] + half[1] * half[1]));
  if (!crossed && inside) range.high = qds_smaller(range.high, 0);
  if (!crossed && !inside) range.low = qds_larger(range.low, 0);
  return range;
}

QDS_INLINE_RANGE prism_range(const qds_shape *shape, const double *centre, const double *half) {
  int plane[2];
  plane_axes(shape, plane);
  const double plane_centre[2] = {centre[plane[0]], centre[plane[1]]};
  const double plane_half[2] = {half[plane[0]], half[plane[1]]};
  const qds_range range = polygon_range(shape, plane_centre, plane_half);
  const int axis = shape->prism.axis;
  if (axis < 0) return range;
  const qds_range u = qds_range_around(centre[axis] - shape->prism.from, half[axis]);
  return qds_range_max(range, slab_level(u, shape->prism.to - shape->prism.from));
}

static void prism_bounds(const qds_shape *shape, double *low, double *high) {
  int plane[2];
  plane_axes(shape, plane);
  for (int a = 0; a < 2; a++) {
    low[plane[a]] = high[plane[a]] = shape->points[0][a];
    for (size_t i = 1; i < shape->point_count; i++) {
      low[plane[a]] = fmin(low[plane[a]], shape->points[i][a]);
      high[plane[a]] = fmax(high[plane[a]], shape->points[i][a]);
    }
  }
  if (shape->prism.axis < 0) return;
  low[shape->prism.axis] = shape->prism.from;
  high[shape->prism.axis] = shape->prism.to;
}

static void prism_breaks(const qds_shape *shape, int axis, qds_breaks *breaks) {
  if (axis == shape->prism.axis) {
    qds_breaks_add(breaks, shape->prism.from);
    qds_breaks_add(breaks, shape->prism.to);
    return;
  }
  int plane[2];
  plane_axes(shape, plane);
  const int a = plane[1] == axis;
  for (size_t i = 0; i < shape->point_count; i++) {
    const double *from = shape->points[i], *to = shape->points[i + 1 == shape->point_count ? 0 : i + 1];
    if (from[a] == to[a]) qds_breaks_add(breaks, from[a]);
  }
}

QDS_DEFINE_LEVEL(prism)
const qds_solid qds_solid_prism = {prism_range, prism_level, prism_bounds, prism_breaks};

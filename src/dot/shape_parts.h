/* What a shape is made of; shared by the shape_*.c files only.
 *
 * Each kind of shape defines its level once, as a range over a box; the level at a point is the range over a
 * box without size. A new shape needs a qds_solid in shape_solid.c and a row in the table of shape_read.c. */
#ifndef QDS_DOT_SHAPE_PARTS_H
#define QDS_DOT_SHAPE_PARTS_H

#include <math.h>

#include "dot/shape.h"

/* Collects coordinates: counts all, keeps the first `room`. */
typedef struct {
  double *nm;
  size_t room, count;
} qds_breaks;

static inline void qds_breaks_add(qds_breaks *breaks, double nm) {
  if (breaks->count < breaks->room) breaks->nm[breaks->count] = nm;
  breaks->count++;
}

/* The operations of one kind of shape; their contracts are those of shape.h. */
typedef struct {
  qds_range (*range)(const qds_shape *shape, const double *centre, const double *half);
  double (*level)(const qds_shape *shape, const double *p);
  void (*bounds)(const qds_shape *shape, double *low, double *high);
  void (*breaks)(const qds_shape *shape, int axis, qds_breaks *breaks);
} qds_solid;

struct qds_shape {
  const qds_solid *solid;
  int dimension;
  union {
    struct {
      double low[3], high[3];
    } box; /* layers too: infinite sides */
    struct {
      double center[3], radii[3];
    } ellipsoid;
    struct {
      double base[3], radius, top_radius, height;
      int axis;
    } cone; /* cylinder, cone, truncated cone */
    struct {
      double base[3], half_base[2], half_top[2], height;
    } pyramid;
    struct {
      double base[3], radius, height;
    } lens;
    struct {
      double base[3], radii[3];
    } dome;
    struct {
      double from, to;
      int axis;
    } prism; /* polygons too: axis -1 */
    struct {
      double center[3], matrix[3][3];
    } rotation;
  };
  double (*points)[2]; /* of a polygon or prism, in the plane's two axes in the order x, y, z */
  size_t point_count;
  qds_shape **parts; /* of union, intersection, difference (the first less the others) and rotation (one) */
  size_t part_count;
};

extern const qds_solid qds_solid_box, qds_solid_ellipsoid, qds_solid_cone, qds_solid_pyramid, qds_solid_lens,
    qds_solid_dome, qds_solid_prism; /* shape_solid.c */
extern const qds_solid qds_solid_union, qds_solid_intersection, qds_solid_difference,
    qds_solid_rotation; /* shape.c */

/* Sets the matrix of a right-handed rotation about `axis` (of a 2D shape: 2, the normal of the plane). */
void qds_shape_set_rotation(qds_shape *rotation, int axis, double degrees);

/* Of a range NAME_range that is inlined, its level at a point: what a box without size leaves of it. */
#define QDS_INLINE_RANGE static inline __attribute__((always_inline)) qds_range
#define QDS_DEFINE_LEVEL(name)                                                                               \
  static double name##_level(const qds_shape *shape, const double *p) {                                      \
    const double no_size[3] = {0, 0, 0};                                                                     \
    return name##_range(shape, p, no_size).low;                                                              \
  }

/* Of numbers that are not NaN: fmin and fmax, which look for it, are calls. */
static inline double qds_smaller(double a, double b) {
  return a < b ? a : b;
}
static inline double qds_larger(double a, double b) {
  return a > b ? a : b;
}

/* Ranges of sums, products, absolute values, maxima. */
static inline qds_range qds_range_around(double centre, double half) {
  return (qds_range){centre - half, centre + half};
}
static inline qds_range qds_range_abs(qds_range r) {
  if (r.low >= 0) return r;
  if (r.high <= 0) return (qds_range){-r.high, -r.low};
  return (qds_range){0, qds_larger(-r.low, r.high)};
}
static inline qds_range qds_range_max(qds_range a, qds_range b) {
  return (qds_range){qds_larger(a.low, b.low), qds_larger(a.high, b.high)};
}
static inline qds_range qds_range_min(qds_range a, qds_range b) {
  return (qds_range){qds_smaller(a.low, b.low), qds_smaller(a.high, b.high)};
}
static inline qds_range qds_range_negative(qds_range r) {
  return (qds_range){-r.high, -r.low};
}

#endif

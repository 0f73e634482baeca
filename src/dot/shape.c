/* Shapes as a whole: dispatch to the kinds, and the kinds that are made of other shapes. */
#include "dot/shape_parts.h"

void qds_shape_destroy(qds_shape *shape) {
  if (!shape) return;
  for (size_t i = 0; i < shape->part_count; i++) qds_shape_destroy(shape->parts[i]);
  qds_release(shape->parts);
  qds_release(shape->points);
  qds_release(shape);
}

double qds_shape_level(const qds_shape *shape, const double *p) {
  return shape->solid->level(shape, p);
}

qds_range qds_shape_range(const qds_shape *shape, const double *centre, const double *half) {
  return shape->solid->range(shape, centre, half);
}

void qds_shape_bounds(const qds_shape *shape, double low[3], double high[3]) {
  shape->solid->bounds(shape, low, high);
}

size_t qds_shape_breaks(const qds_shape *shape, int axis, double *breaks_nm, size_t room) {
  qds_breaks breaks = {breaks_nm, room, 0};
  shape->solid->breaks(shape, axis, &breaks);
  return breaks.count;
}

/* ---- union, intersection, difference ---- */

static void parts_breaks(const qds_shape *shape, int axis, qds_breaks *breaks) {
  for (size_t i = 0; i < shape->part_count; i++)
    shape->parts[i]->solid->breaks(shape->parts[i], axis, breaks);
}

static qds_range union_range(const qds_shape *shape, const double *centre, const double *half) {
  qds_range range = qds_shape_range(shape->parts[0], centre, half);
  for (size_t i = 1; i < shape->part_count; i++)
    range = qds_range_min(range, qds_shape_range(shape->parts[i], centre, half));
  return range;
}

static void union_bounds(const qds_shape *shape, double *low, double *high) {
  qds_shape_bounds(shape->parts[0], low, high);
  for (size_t i = 1; i < shape->part_count; i++) {
    double part_low[3], part_high[3];
    qds_shape_bounds(shape->parts[i], part_low, part_high);
    for (int a = 0; a < shape->dimension; a++) {
      low[a] = fmin(low[a], part_low[a]);
      high[a] = fmax(high[a], part_high[a]);
    }
  }
}

QDS_DEFINE_LEVEL(union)
const qds_solid qds_solid_union = {union_range, union_level, union_bounds, parts_breaks};

static qds_range intersection_range(const qds_shape *shape, const double *centre, const double *half) {
  qds_range range = qds_shape_range(shape->parts[0], centre, half);
  for (size_t i = 1; i < shape->part_count; i++)
    range = qds_range_max(range, qds_shape_range(shape->parts[i], centre, half));
  return range;
}

static void intersection_bounds(const qds_shape *shape, double *low, double *high) {
  qds_shape_bounds(shape->parts[0], low, high);
  for (size_t i = 1; i < shape->part_count; i++) {
    double part_low[3], part_high[3];
    qds_shape_bounds(shape->parts[i], part_low, part_high);
    for (int a = 0; a < shape->dimension; a++) {
      low[a] = fmax(low[a], part_low[a]);
      high[a] = fmin(high[a], part_high[a]);
    }
  }
}

QDS_DEFINE_LEVEL(intersection)
const qds_solid qds_solid_intersection = {intersection_range, intersection_level, intersection_bounds,
                                          parts_breaks};

static qds_range difference_range(const qds_shape *shape, const double *centre, const double *half) {
  qds_range range = qds_shape_range(shape->parts[0], centre, half);
  for (size_t i = 1; i < shape->part_count; i++)
    range = qds_range_max(range, qds_range_negative(qds_shape_range(shape->parts[i], centre, half)));
  return range;
}

static void difference_bounds(const qds_shape *shape, double *low, double *high) {
  qds_shape_bounds(shape->parts[0], low, high);
}

QDS_DEFINE_LEVEL(difference)
const qds_solid qds_solid_difference = {difference_range, difference_level, difference_bounds, parts_breaks};

/* ---- rotation: a point of the turned shape is center + matrix (point of the shape - center) ---- */

void qds_shape_set_rotation(qds_shape *rotation, int axis, double degrees) {
  static const double quarter_cosine[4] = {1, 0, -1, 0};
  static const double pi = 3.14159265358979323846;
  /* Quarter turns are exact, so that turned boxes keep faces perpendicular to the axes. */
  const double turn = fmod(fmod(degrees, 360) + 360, 360);
  const int quarter = fmod(turn, 90) == 0 ? (int)(turn / 90) % 4 : -1;
  const double c = quarter >= 0 ? quarter_cosine[quarter] : cos(turn * pi / 180);
  const double s = quarter >= 0 ? quarter_cosine[(quarter + 3) % 4] : sin(turn * pi / 180);
  const int u = (axis + 1) % 3, v = (axis + 2) % 3;
  double(*matrix)[3] = rotation->rotation.matrix;
  for (int i = 0; i < 3; i++)
    for (int j = 0; j < 3; j++) matrix[i][j] = i == axis && j == axis;
  matrix[u][u] = matrix[v][v] = c;
  matrix[v][u] = s;
  matrix[u][v] = -s;
}

static qds_range rotation_range(const qds_shape *shape, const double *centre, const double *half) {
  const double *about = shape->rotation.center;
  double turned_centre[3], turned_half[3];
  for (int i = 0; i < shape->dimension; i++) {
    turned_centre[i] = about[i];
    turned_half[i] = 0;
    for (int j = 0; j < shape->dimension; j++) {
      turned_centre[i] += shape->rotation.matrix[j][i] * (centre[j] - about[j]);
      turned_half[i] += fabs(shape->rotation.matrix[j][i]) * half[j];
    }
  }
  return qds_shape_range(shape->parts[0], turned_centre, turned_half);
}

static void rotation_bounds(const qds_shape *shape, double *low, double *high) {
  const double *about = shape->rotation.center;
  double part_low[3], part_high[3];
  qds_shape_bounds(shape->parts[0], part_low, part_high);
  for (int i = 0; i < shape->dimension; i++) {
    low[i] = high[i] = about[i];
    for (int j = 0; j < shape->dimension; j++) {
      const double m = shape->rotation.matrix[i][j];
      if (m == 0) continue; /* an infinite side times 0 is no side */
      low[i] += m * ((m > 0 ? part_low : part_high)[j] - about[j]);
      high[i] += m * ((m > 0 ? part_high : part_low)[j] - about[j]);
    }
  }
}

static void rotation_breaks(const qds_shape *shape, int axis, qds_breaks *breaks) {
  const double *about = shape->rotation.center;
  for (int j = 0; j < shape->dimension; j++) {
    const double m = shape->rotation.matrix[axis][j];
    if (fabs(m) != 1) continue;
    const size_t first = breaks->count;
    shape->parts[0]->solid->breaks(shape->parts[0], j, breaks);
    for (size_t i = first; i < breaks->count && i < breaks->room; i++)
      breaks->nm[i] = about[axis] + m * (breaks->nm[i] - about[j]);
  }
}

QDS_DEFINE_LEVEL(rotation)
const qds_solid qds_solid_rotation = {rotation_range, rotation_level, rotation_bounds, rotation_breaks};

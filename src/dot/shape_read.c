/* Reading shapes from YAML, and refusing those that make no sense. */
#include "dot/shape_parts.h"

#include <string.h>

/* Shapes within these limits cannot overflow or lose all digits in a level function. */
static const double longest_nm = 1e9, shortest_nm = 1e-6;
enum { MOST_POINTS = 10000, DEEPEST_NESTING = 16 };

typedef struct {
  qds_allocator *allocator;
  int dimension, depth;
} reader;

typedef struct {
  const char *word;
  int dimensions[3];      /* whether it exists in 1D, 2D, 3D */
  const char *substitute; /* what a device of another dimension takes instead */
  const qds_solid *solid;
  qds_status (*read)(const reader *r, const qds_yaml_node *node, qds_shape *shape);
  const char *keys[8];
} shape_row;

/* ---- numbers ---- */

static qds_status check_coordinates(const qds_yaml_node *node, size_t count, const double *nm) {
  for (size_t i = 0; i < count; i++)
    if (fabs(nm[i]) > longest_nm)
      QDS_YAML_FAIL(node, "coordinate %g nm lies beyond +-%g nm", nm[i], longest_nm);
  return QDS_OK;
}

static qds_status check_lengths(const qds_yaml_node *node, size_t count, const double *nm) {
  for (size_t i = 0; i < count; i++)
    if (!(nm[i] >= shortest_nm && nm[i] <= longest_nm))
      QDS_YAML_FAIL(node, "a length must be positive, from %g to %g nm; got %g", shortest_nm, longest_nm,
                    nm[i]);
  return QDS_OK;
}

/* A length of the top of a solid, which may shrink to nothing. */
static qds_status check_top_lengths(const qds_yaml_node *node, size_t count, const double *nm) {
  for (size_t i = 0; i < count; i++)
    if (!(nm[i] == 0 || (nm[i] >= shortest_nm && nm[i] <= longest_nm)))
      QDS_YAML_FAIL(node, "a length of the top must be 0 or from %g to %g nm; got %g", shortest_nm,
                    longest_nm, nm[i]);
  return QDS_OK;
}

typedef qds_status (*number_check)(const qds_yaml_node *node, size_t count, const double *nm);

static qds_status read_number(const qds_yaml_node *map, const char *key, number_check check, double *out) {
  const qds_yaml_node *node = NULL;
  QDS_TRY(qds_yaml_require(map, key, &node));
  QDS_TRY(qds_yaml_double(node, out));
  return check(node, 1, out);
}

static qds_status read_numbers(const qds_yaml_node *map, const char *key, number_check check, int count,
                               double *out) {
  const qds_yaml_node *node = NULL;
  QDS_TRY(qds_yaml_require(map, key, &node));
  QDS_TRY(qds_yaml_doubles(node, (size_t)count, out));
  return check(node, (size_t)count, out);
}

static qds_status read_axis(const qds_yaml_node *map, int dimension, int *out) {
  static const char *const words[3][4] = {{"x"}, {"x", "y"}, {"x", "y", "z"}};
  const qds_yaml_node *node = NULL;
  QDS_TRY(qds_yaml_require(map, "axis", &node));
  return qds_yaml_choice(node, words[dimension - 1], out);
}

static qds_status read_axis_or_z(const qds_yaml_node *map, int *out) {
  *out = 2;
  return qds_yaml_find(map, "axis") ? read_axis(map, 3, out) : QDS_OK;
}

static qds_status read_limits(const qds_yaml_node *map, double *from, double *to) {
  QDS_TRY(read_number(map, "from_nm", check_coordinates, from));
  QDS_TRY(read_number(map, "to_nm", check_coordinates, to));
  if (!(*from < *to))
    QDS_YAML_FAIL(qds_yaml_find(map, "from_nm"), "from_nm must be below to_nm; got from_nm = %g, to_nm = %g",
                  *from, *to);
  return QDS_OK;
}

/* ---- solids ---- */

static qds_status read_box(const reader *r, const qds_yaml_node *node, qds_shape *shape) {
  double *low = shape->box.low, *high = shape->box.high;
  QDS_TRY(read_numbers(node, "min_nm", check_coordinates, r->dimension, low));
  QDS_TRY(read_numbers(node, "max_nm", check_coordinates, r->dimension, high));
  for (int a = 0; a < r->dimension; a++)
    if (!(low[a] < high[a]))
      QDS_YAML_FAIL(qds_yaml_find(node, "min_nm"), "min_nm must be below max_nm along %c; got min %g, max %g",
                    "xyz"[a], low[a], high[a]);
  return QDS_OK;
}

static qds_status read_layer(const reader *r, const qds_yaml_node *node, qds_shape *shape) {
  int axis = 0;
  QDS_TRY(read_axis(node, r->dimension, &axis));
  for (int a = 0; a < r->dimension; a++) {
    shape->box.low[a] = -(double)INFINITY;
    shape->box.high[a] = (double)INFINITY;
  }
  return read_limits(node, &shape->box.low[axis], &shape->box.high[axis]);
}

static qds_status read_ellipsoid(const reader *r, const qds_yaml_node *node, qds_shape *shape) {
  QDS_TRY(read_numbers(node, "center_nm", check_coordinates, r->dimension, shape->ellipsoid.center));
  return read_numbers(node, "radii_nm", check_lengths, r->dimension, shape->ellipsoid.radii);
}

static qds_status read_cone(const reader *r, const qds_yaml_node *node, qds_shape *shape) {
  (void)r;
  shape->cone.axis = 2;
  QDS_TRY(read_numbers(node, "base_center_nm", check_coordinates, 3, shape->cone.base));
  QDS_TRY(read_number(node, "radius_nm", check_lengths, &shape->cone.radius));
  return read_number(node, "height_nm", check_lengths, &shape->cone.height);
}

static qds_status read_truncated_cone(const reader *r, const qds_yaml_node *node, qds_shape *shape) {
  QDS_TRY(read_cone(r, node, shape));
  return read_number(node, "top_radius_nm", check_top_lengths, &shape->cone.top_radius);
}

static qds_status read_cylinder(const reader *r, const qds_yaml_node *node, qds_shape *shape) {
  QDS_TRY(read_cone(r, node, shape));
  shape->cone.top_radius = shape->cone.radius;
  return read_axis_or_z(node, &shape->cone.axis);
}

static qds_status read_pyramid(const reader *r, const qds_yaml_node *node, qds_shape *shape) {
  (void)r;
  QDS_TRY(read_numbers(node, "base_center_nm", check_coordinates, 3, shape->pyramid.base));
  QDS_TRY(read_numbers(node, "base_nm", check_lengths, 2, shape->pyramid.half_base));
  for (int a = 0; a < 2; a++) shape->pyramid.half_base[a] /= 2;
  return read_number(node, "height_nm", check_lengths, &shape->pyramid.height);
}

static qds_status read_truncated_pyramid(const reader *r, const qds_yaml_node *node, qds_shape *shape) {
  QDS_TRY(read_pyramid(r, node, shape));
  QDS_TRY(read_numbers(node, "top_nm", check_top_lengths, 2, shape->pyramid.half_top));
  for (int a = 0; a < 2; a++) shape->pyramid.half_top[a] /= 2;
  return QDS_OK;
}

static qds_status read_lens(const reader *r, const qds_yaml_node *node, qds_shape *shape) {
  (void)r;
  QDS_TRY(read_numbers(node, "base_center_nm", check_coordinates, 3, shape->lens.base));
  QDS_TRY(read_number(node, "radius_nm", check_lengths, &shape->lens.radius));
  return read_number(node, "height_nm", check_lengths, &shape->lens.height);
}

static qds_status read_dome(const reader *r, const qds_yaml_node *node, qds_shape *shape) {
  (void)r;
  double *radii = shape->dome.radii;
  const qds_yaml_node *radius = NULL;
  QDS_TRY(read_numbers(node, "base_center_nm", check_coordinates, 3, shape->dome.base));
  QDS_TRY(qds_yaml_require(node, "radius_nm", &radius));
  if (qds_yaml_node_kind(radius) == QDS_YAML_LIST) {
    QDS_TRY(read_numbers(node, "radius_nm", check_lengths, 2, radii));
  } else {
    QDS_TRY(read_number(node, "radius_nm", check_lengths, radii));
    radii[1] = radii[0];
  }
  return read_number(node, "height_nm", check_lengths, &radii[2]);
}

/* ---- polygon and prism ---- */

/* Twice the signed area of the triangle a b c. */
static double turn(const double a[2], const double b[2], const double c[2]) {
  return (b[0] - a[0]) * (c[1] - a[1]) - (b[1] - a[1]) * (c[0] - a[0]);
}

static int lies_between(const double a[2], const double b[2], const double p[2]) {
  return fmin(a[0], b[0]) <= p[0] && p[0] <= fmax(a[0], b[0]) && fmin(a[1], b[1]) <= p[1] &&
         p[1] <= fmax(a[1], b[1]);
}

/* Whether the edges a b and c d have a point in common. */
static int edges_meet(const double a[2], const double b[2], const double c[2], const double d[2]) {
  const double c_side = turn(a, b, c), d_side = turn(a, b, d), a_side = turn(c, d, a), b_side = turn(c, d, b);
  if (((c_side > 0 && d_side < 0) || (c_side < 0 && d_side > 0)) &&
      ((a_side > 0 && b_side < 0) || (a_side < 0 && b_side > 0)))
    return 1;
  return (c_side == 0 && lies_between(a, b, c)) || (d_side == 0 && lies_between(a, b, d)) ||
         (a_side == 0 && lies_between(c, d, a)) || (b_side == 0 && lies_between(c, d, b));
}

/* Neighbouring edges share a corner; they may neither vanish nor fold back on each other. */
static qds_status check_corners(const qds_yaml_node *node, size_t n, const double (*p)[2]) {
  for (size_t i = 0; i < n; i++) {
    const size_t next = (i + 1) % n, after = (i + 2) % n;
    const double d[2] = {p[next][0] - p[i][0], p[next][1] - p[i][1]};
    if (hypot(d[0], d[1]) < shortest_nm)
      QDS_YAML_FAIL(node, "points %zu and %zu coincide; the polygon closes by itself", i, next);
    const double onward = d[0] * (p[after][0] - p[next][0]) + d[1] * (p[after][1] - p[next][1]);
    if (turn(p[i], p[next], p[after]) == 0 && onward < 0)
      QDS_YAML_FAIL(node, "the polygon folds back on itself at point %zu (%g, %g)", next, p[next][0],
                    p[next][1]);
  }
  return QDS_OK;
}

/* Edges that are no neighbours may not meet at all. */
static qds_status check_edges(const qds_yaml_node *node, size_t n, const double (*p)[2]) {
  for (size_t i = 0; i < n; i++)
    for (size_t j = i + 2; j < n && (j + 1) % n != i; j++)
      if (edges_meet(p[i], p[i + 1], p[j], p[(j + 1) % n]))
        QDS_YAML_FAIL(node, "the polygon intersects itself: edge %zu-%zu meets edge %zu-%zu", i, i + 1, j,
                      (j + 1) % n);
  return QDS_OK;
}

static qds_status read_polygon(const reader *r, const qds_yaml_node *node, qds_shape *shape) {
  const qds_yaml_node *list = NULL;
  shape->prism.axis = -1;
  QDS_TRY(qds_yaml_require(node, "points_nm", &list));
  const size_t count = qds_yaml_count(list);
  if (qds_yaml_node_kind(list) != QDS_YAML_LIST || count < 3)
    QDS_YAML_FAIL(list, "a polygon needs a list of at least 3 points, [[x, y], ...]");
  if (count > MOST_POINTS)
    QDS_YAML_FAIL(list, "a polygon may have at most %d points; got %zu", MOST_POINTS, count);
  QDS_TRY(QDS_NEW(r->allocator, count, "shape", &shape->points));
  shape->point_count = count;
  for (size_t i = 0; i < count; i++) {
    const qds_yaml_node *point = qds_yaml_item(list, i);
    QDS_TRY(qds_yaml_doubles(point, 2, shape->points[i]));
    QDS_TRY(check_coordinates(point, 2, shape->points[i]));
  }
  QDS_TRY(check_corners(list, count, (const double(*)[2])shape->points));
  return check_edges(list, count, (const double(*)[2])shape->points);
}

static qds_status read_prism(const reader *r, const qds_yaml_node *node, qds_shape *shape) {
  QDS_TRY(read_polygon(r, node, shape));
  QDS_TRY(read_limits(node, &shape->prism.from, &shape->prism.to));
  return read_axis_or_z(node, &shape->prism.axis);
}

/* ---- shapes made of shapes ---- */

static qds_status read_nested(const reader *r, const qds_yaml_node *node, qds_shape **out);

static qds_status read_parts(const reader *r, const qds_yaml_node *node, qds_shape *shape) {
  static const char *const none[] = {NULL};
  const qds_yaml_node *list = NULL;
  QDS_TRY(qds_yaml_require(node, "of", &list));
  const size_t count = qds_yaml_count(list);
  if (qds_yaml_node_kind(list) != QDS_YAML_LIST || count < 2)
    QDS_YAML_FAIL(list, "needs a list of at least 2 shapes, [{shape: ...}, {shape: ...}]");
  QDS_TRY(QDS_NEW_ZERO(r->allocator, count, "shape", &shape->parts));
  for (size_t i = 0; i < count; i++) {
    const qds_yaml_node *part = qds_yaml_item(list, i);
    QDS_TRY(qds_shape_check_keys(part, none));
    QDS_TRY(read_nested(r, part, &shape->parts[i]));
    shape->part_count++;
  }
  return QDS_OK;
}

static qds_status read_intersection(const reader *r, const qds_yaml_node *node, qds_shape *shape) {
  QDS_TRY(read_parts(r, node, shape));
  double low[3], high[3];
  qds_solid_intersection.bounds(shape, low, high);
  for (int a = 0; a < r->dimension; a++)
    if (!(low[a] < high[a]))
      QDS_YAML_FAIL(qds_yaml_find(node, "of"), "these shapes have nothing in common along %c", "xyz"[a]);
  return QDS_OK;
}

static qds_status read_rotation(const reader *r, const qds_yaml_node *node, qds_shape *rotation) {
  static const char *const keys[] = {"axis", "degrees", "center_nm", NULL};
  const qds_yaml_node *degrees_node = NULL;
  double degrees = 0;
  int axis = 2;
  if (r->dimension == 1) QDS_YAML_FAIL(node, "a shape in 1D cannot turn; remove rotate");
  QDS_TRY(qds_yaml_check_keys(node, keys));
  if (r->dimension == 3)
    QDS_TRY(read_axis(node, 3, &axis));
  else if (qds_yaml_find(node, "axis"))
    QDS_YAML_FAIL(qds_yaml_find(node, "axis"), "a shape in 2D turns in its plane; remove axis");
  QDS_TRY(qds_yaml_require(node, "degrees", &degrees_node));
  QDS_TRY(qds_yaml_double(degrees_node, &degrees));
  qds_shape_set_rotation(rotation, axis, degrees);
  return read_numbers(node, "center_nm", check_coordinates, r->dimension, rotation->rotation.center);
}

/* ---- the table ---- */

static const shape_row shape_rows[] = {
    {"box", {1, 1, 1}, "", &qds_solid_box, read_box, {"shape", "min_nm", "max_nm", "rotate"}},
    {"layer", {1, 1, 1}, "", &qds_solid_box, read_layer, {"shape", "axis", "from_nm", "to_nm", "rotate"}},
    {"ellipsoid",
     {1, 1, 1},
     "",
     &qds_solid_ellipsoid,
     read_ellipsoid,
     {"shape", "center_nm", "radii_nm", "rotate"}},
    {"cylinder",
     {0, 0, 1},
     "in 2D a disc is an ellipsoid with two radii, in 1D use layer",
     &qds_solid_cone,
     read_cylinder,
     {"shape", "base_center_nm", "radius_nm", "height_nm", "axis", "rotate"}},
    {"cone",
     {0, 0, 1},
     "in 2D use polygon, in 1D layer",
     &qds_solid_cone,
     read_cone,
     {"shape", "base_center_nm", "radius_nm", "height_nm", "rotate"}},
    {"truncated_cone",
     {0, 0, 1},
     "in 2D use polygon, in 1D layer",
     &qds_solid_cone,
     read_truncated_cone,
     {"shape", "base_center_nm", "radius_nm", "top_radius_nm", "height_nm", "rotate"}},
    {"pyramid",
     {0, 0, 1},
     "in 2D use polygon, in 1D layer",
     &qds_solid_pyramid,
     read_pyramid,
     {"shape", "base_center_nm", "base_nm", "height_nm", "rotate"}},
    {"truncated_pyramid",
     {0, 0, 1},
     "in 2D use polygon, in 1D layer",
     &qds_solid_pyramid,
     read_truncated_pyramid,
     {"shape", "base_center_nm", "base_nm", "top_nm", "height_nm", "rotate"}},
    {"lens",
     {0, 0, 1},
     "in 2D use the intersection of an ellipsoid and a box, in 1D layer",
     &qds_solid_lens,
     read_lens,
     {"shape", "base_center_nm", "radius_nm", "height_nm", "rotate"}},
    {"dome",
     {0, 0, 1},
     "in 2D use the intersection of an ellipsoid and a box, in 1D layer",
     &qds_solid_dome,
     read_dome,
     {"shape", "base_center_nm", "radius_nm", "height_nm", "rotate"}},
    {"polygon",
     {0, 1, 0},
     "in 3D use prism, in 1D layer",
     &qds_solid_prism,
     read_polygon,
     {"shape", "points_nm", "rotate"}},
    {"prism",
     {0, 0, 1},
     "in 2D use polygon, in 1D layer",
     &qds_solid_prism,
     read_prism,
     {"shape", "points_nm", "from_nm", "to_nm", "axis", "rotate"}},
    {"union", {1, 1, 1}, "", &qds_solid_union, read_parts, {"shape", "of", "rotate"}},
    {"difference", {1, 1, 1}, "", &qds_solid_difference, read_parts, {"shape", "of", "rotate"}},
    {"intersection", {1, 1, 1}, "", &qds_solid_intersection, read_intersection, {"shape", "of", "rotate"}},
};
enum { ROWS = sizeof shape_rows / sizeof *shape_rows };

static qds_status find_row(const qds_yaml_node *region, const shape_row **out) {
  const char *words[ROWS + 1] = {NULL};
  const qds_yaml_node *word = NULL;
  int index = 0;
  for (int i = 0; i < ROWS; i++) words[i] = shape_rows[i].word;
  if (qds_yaml_node_kind(region) != QDS_YAML_MAP)
    QDS_YAML_FAIL(region, "a shape is a map such as {shape: box, min_nm: [...], max_nm: [...]}");
  QDS_TRY(qds_yaml_require(region, "shape", &word));
  QDS_TRY(qds_yaml_choice(word, words, &index));
  *out = &shape_rows[index];
  return QDS_OK;
}

const char *const *qds_shape_keys(const char *shape_word) {
  for (int i = 0; i < ROWS; i++)
    if (strcmp(shape_rows[i].word, shape_word) == 0) return shape_rows[i].keys;
  return NULL;
}

qds_status qds_shape_check_keys(const qds_yaml_node *region, const char *const *others) {
  enum { MOST_KEYS = 32 };
  const char *allowed[MOST_KEYS + 1] = {NULL};
  const shape_row *row = NULL;
  size_t count = 0;
  QDS_TRY(find_row(region, &row));
  for (const char *const *key = row->keys; *key; key++) allowed[count++] = *key;
  for (const char *const *key = others; *key; key++) {
    QDS_REQUIRE(count < MOST_KEYS, "qds_shape_check_keys takes at most %d keys in all", MOST_KEYS);
    allowed[count++] = *key;
  }
  return qds_yaml_check_keys(region, allowed);
}

static qds_status create(const reader *r, const qds_solid *solid, qds_shape **out) {
  QDS_TRY(QDS_NEW_ZERO(r->allocator, 1, "shape", out));
  (*out)->solid = solid;
  (*out)->dimension = r->dimension;
  return QDS_OK;
}

static qds_status read_unturned(const reader *r, const qds_yaml_node *node, qds_shape **out) {
  QDS_AUTO(qds_shape) *shape = NULL;
  const shape_row *row = NULL;
  QDS_TRY(find_row(node, &row));
  if (!row->dimensions[r->dimension - 1])
    QDS_YAML_FAIL(qds_yaml_find(node, "shape"), "there is no %s in %dD; %s", row->word, r->dimension,
                  row->substitute);
  QDS_TRY(create(r, row->solid, &shape));
  QDS_TRY(row->read(r, node, shape));
  *out = shape;
  shape = NULL;
  return QDS_OK;
}

static qds_status read_nested(const reader *outer, const qds_yaml_node *node, qds_shape **out) {
  const reader r = {outer->allocator, outer->dimension, outer->depth + 1};
  if (r.depth > DEEPEST_NESTING) QDS_YAML_FAIL(node, "shapes may be nested at most %d deep", DEEPEST_NESTING);
  const qds_yaml_node *rotate = qds_yaml_find(node, "rotate");
  if (!rotate) return read_unturned(&r, node, out);

  QDS_AUTO(qds_shape) *rotation = NULL;
  QDS_TRY(create(&r, &qds_solid_rotation, &rotation));
  QDS_TRY(QDS_NEW_ZERO(r.allocator, 1, "shape", &rotation->parts));
  QDS_TRY(read_unturned(&r, node, &rotation->parts[0]));
  rotation->part_count = 1;
  QDS_TRY(read_rotation(&r, rotate, rotation));
  *out = rotation;
  rotation = NULL;
  return QDS_OK;
}

qds_status qds_shape_read(qds_context *ctx, const qds_yaml_node *region, int dimension, qds_shape **out) {
  *out = NULL;
  QDS_REQUIRE(dimension >= 1 && dimension <= 3, "dimension must be 1, 2 or 3; got %d", dimension);
  const reader outermost = {qds_context_allocator(ctx), dimension, 0};
  return read_nested(&outermost, region, out);
}

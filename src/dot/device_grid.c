/* Reading the grid: axes, order, refinement and boundaries. */
#include "dot/device.h"

#include <stdio.h>
#include <string.h>

enum { MOST_REFINEMENTS = 32 };
static const int64_t most_nodes = (int64_t)1 << 31;
static const double longest_nm = 1e9, shortest_nm = 1e-6;

static const char *const axis_names[] = {"x", "y", "z", NULL};
static const char *const boundary_words[] = {"dirichlet", "neumann", "periodic", NULL};

int qds_device_axis_fits(double from_nm, double to_nm, char why[QDS_AXIS_TEXT]) {
  *why = 0;
  if (from_nm >= -longest_nm && to_nm <= longest_nm && to_nm - from_nm >= shortest_nm) return 1;
  snprintf(why, QDS_AXIS_TEXT,
           "an axis from %g to %g nm: its ends must lie within %g nm of 0, and at least %g nm apart", from_nm,
           to_nm, longest_nm, shortest_nm);
  return 0;
}

static qds_status read_refinements(const qds_yaml_node *node, qds_refinement *out, size_t *count) {
  static const char *const keys[] = {"from_nm", "to_nm", "factor", NULL};
  *count = 0;
  if (!node) return QDS_OK;
  if (qds_yaml_node_kind(node) != QDS_YAML_LIST)
    QDS_YAML_FAIL(node, "a list is wanted: [{from_nm: -5, to_nm: 5, factor: 3}]");
  if (qds_yaml_count(node) > MOST_REFINEMENTS)
    QDS_YAML_FAIL(node, "%zu refinements; at most %d are allowed", qds_yaml_count(node), MOST_REFINEMENTS);
  for (size_t i = 0; i < qds_yaml_count(node); i++) {
    const qds_yaml_node *item = qds_yaml_item(node, i), *part;
    QDS_TRY(qds_yaml_check_keys(item, keys));
    QDS_TRY(qds_yaml_require(item, "from_nm", &part));
    QDS_TRY(qds_yaml_double(part, &out[i].from_nm));
    QDS_TRY(qds_yaml_require(item, "to_nm", &part));
    QDS_TRY(qds_yaml_double(part, &out[i].to_nm));
    QDS_TRY(qds_yaml_require(item, "factor", &part));
    QDS_TRY(qds_yaml_positive(part, &out[i].factor));
  }
  *count = qds_yaml_count(node);
  return QDS_OK;
}

static qds_status read_end(const qds_yaml_node *node, qds_boundary *out) {
  int choice;
  QDS_TRY(qds_yaml_choice(node, boundary_words, &choice));
  *out = (qds_boundary)choice;
  return QDS_OK;
}

/* One word for both ends of an axis, or a list of two. */
static qds_status read_boundary(const qds_yaml_node *map, const char *axis, qds_boundary out[2]) {
  out[0] = out[1] = QDS_DIRICHLET;
  const qds_yaml_node *node = map ? qds_yaml_find(map, axis) : NULL;
  if (!node) return QDS_OK;
  if (qds_yaml_node_kind(node) != QDS_YAML_LIST) {
    QDS_TRY(read_end(node, &out[0]));
    out[1] = out[0];
    return QDS_OK;
  }
  if (qds_yaml_count(node) != 2)
    QDS_YAML_FAIL(node, "one word, or a list of two for the low and the high end, is wanted; got %zu",
                  qds_yaml_count(node));
  QDS_TRY(read_end(qds_yaml_item(node, 0), &out[0]));
  QDS_TRY(read_end(qds_yaml_item(node, 1), &out[1]));
  if ((out[0] == QDS_PERIODIC) != (out[1] == QDS_PERIODIC))
    QDS_YAML_FAIL(node, "an axis is periodic at both ends or at none");
  return QDS_OK;
}

/* The boundary map may stand in the grid or at the top of the file. */
static qds_status find_boundaries(const qds_device *d, const qds_yaml_node *root, const qds_yaml_node *grid,
                                  const qds_yaml_node **out) {
  const char *keys[4] = {NULL};
  const qds_yaml_node *inside = qds_yaml_find(grid, "boundary"), *outside = qds_yaml_find(root, "boundary");
  if (inside && outside) QDS_YAML_FAIL(outside, "the boundary is given twice, here and in the grid");
  *out = inside ? inside : outside;
  for (int a = 0; a < d->dimension; a++) keys[a] = axis_names[a];
  return *out ? qds_yaml_check_keys(*out, keys) : QDS_OK;
}

static qds_status read_axis(qds_device *d, const qds_yaml_node *node, int order,
                            const qds_boundary boundary[2], qds_axis **out) {
  static const char *const keys[] = {"from_nm", "to_nm", "nodes", "refine", NULL};
  const qds_yaml_node *from, *to, *nodes_node;
  double from_nm, to_nm;
  char why[QDS_AXIS_TEXT];
  int64_t nodes;
  qds_refinement refinements[MOST_REFINEMENTS];
  size_t count;
  QDS_TRY(qds_yaml_check_keys(node, keys));
  QDS_TRY(qds_yaml_require(node, "from_nm", &from));
  QDS_TRY(qds_yaml_require(node, "to_nm", &to));
  QDS_TRY(qds_yaml_require(node, "nodes", &nodes_node));
  QDS_TRY(qds_yaml_double(from, &from_nm));
  QDS_TRY(qds_yaml_double(to, &to_nm));
  QDS_TRY(qds_yaml_int64(nodes_node, 2, most_nodes, &nodes));
  if (!(from_nm < to_nm)) QDS_YAML_FAIL(from, "from_nm: %g must lie below to_nm: %g", from_nm, to_nm);
  if (!qds_device_axis_fits(from_nm, to_nm, why)) QDS_YAML_FAIL(from, "%s", why);
  QDS_TRY(read_refinements(qds_yaml_find(node, "refine"), refinements, &count));
  size_t file_bytes;
  QDS_TRY(qds_context_plan(d->ctx, qds_axis_bytes(nodes, order), "an axis of the grid", NULL, &file_bytes));
  const qds_status status = qds_axis_create(qds_context_allocator(d->ctx), from_nm, to_nm, nodes, order,
                                            refinements, count, boundary, out);
  if (status == QDS_ERROR_INPUT) QDS_YAML_FAIL(nodes_node, "%s", qds_last_error()->message);
  return status;
}

/* The dimension is given, or follows from the axes of the grid. */
static qds_status read_dimension(qds_device *d, const qds_yaml_node *root, const qds_yaml_node *grid) {
  static const char *const keys[] = {"x", "y", "z", "order", "boundary", NULL};
  const qds_yaml_node *node = qds_yaml_find(root, "dimension");
  int64_t dimension = 0;
  QDS_TRY(qds_yaml_check_keys(grid, keys));
  while (dimension < 3 && qds_yaml_find(grid, axis_names[dimension])) dimension++;
  const int64_t axes = dimension;
  if (node) QDS_TRY(qds_yaml_int64(node, 1, 3, &dimension));
  for (int a = 0; a < 3; a++) {
    const qds_yaml_node *axis = qds_yaml_find(grid, axis_names[a]);
    if (axes == 0 && axis) QDS_YAML_FAIL(grid, "axis x is missing: axes are named from x on");
    if (a < dimension && !axis)
      QDS_YAML_FAIL(grid, "axis %s is missing: a device in %lld dimensions needs %s", axis_names[a],
                    (long long)(node ? dimension : axes),
                    dimension == 1   ? "x"
                    : dimension == 2 ? "x and y"
                                     : "x, y and z");
    if (a >= dimension && axis)
      QDS_YAML_FAIL(axis, "axis %s does not belong to a device in %lld dimensions", axis_names[a],
                    (long long)dimension);
  }
  if (dimension == 0) QDS_YAML_FAIL(grid, "axis x is missing");
  d->dimension = (int)dimension;
  return QDS_OK;
}

qds_status qds_device_read_grid(qds_device *d, const qds_yaml_node *root) {
  const qds_yaml_node *grid, *boundaries = NULL, *order_node;
  int64_t order = 1, nodes = 1;
  QDS_TRY(qds_yaml_require(root, "grid", &grid));
  QDS_TRY(read_dimension(d, root, grid));
  QDS_TRY(find_boundaries(d, root, grid, &boundaries));
  order_node = qds_yaml_find(grid, "order");
  if (order_node) QDS_TRY(qds_yaml_int64(order_node, 1, 4, &order));
  for (int a = 0; a < 3; a++) {
    const int internal = (a + 3 - d->dimension) % 3;
    qds_boundary boundary[2];
    if (a >= d->dimension) {
      QDS_TRY(qds_axis_create_point(qds_context_allocator(d->ctx), &d->axis[internal]));
      continue;
    }
    QDS_TRY(read_boundary(boundaries, axis_names[a], boundary));
    QDS_TRY(read_axis(d, qds_yaml_find(grid, axis_names[a]), (int)order, boundary, &d->axis[internal]));
    if (__builtin_mul_overflow(nodes, d->axis[internal]->nodes, &nodes) || nodes > INT64_MAX / 4096)
      QDS_YAML_FAIL(grid, "the grid has more nodes than any machine can hold");
  }
  return QDS_OK;
}

/* Reading materials and regions: names of the file and of the database, alloys, inline materials,
 * hard walls. */
#include "base/text.h"
#include "dot/device.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

enum { MOST_MATERIALS = 250 };
static const char hard_wall[] = "hard_wall";
static const qds_device_material no_material = {.mass = {1, 1, 1}, .permittivity = NAN};

static qds_status add_material(qds_device *d, const char *name, int *out) {
  qds_allocator *allocator = qds_context_allocator(d->ctx);
  if (d->materials == MOST_MATERIALS) QDS_FAIL(QDS_ERROR_INPUT, "more than %d materials", MOST_MATERIALS);
  QDS_TRY(QDS_RESIZE(allocator, d->materials + 1, "device", &d->material));
  qds_device_material *material = &d->material[d->materials];
  *material = no_material;
  QDS_TRY(QDS_STRDUP(allocator, name, "device", &material->name));
  *out = d->materials++;
  return QDS_OK;
}

static int find_added(const qds_device *d, const char *name) {
  for (int i = 0; i < d->materials; i++)
    if (!strcmp(d->material[i].name, name)) return i;
  return -1;
}

/* One mass for all directions, or one per axis of the device. */
static qds_status read_mass(const qds_device *d, const qds_yaml_node *node, double mass[3]) {
  const size_t dimension = (size_t)d->dimension;
  if (qds_yaml_node_kind(node) != QDS_YAML_LIST) {
    QDS_TRY(qds_yaml_positive(node, &mass[0]));
    mass[1] = mass[2] = mass[0];
  } else {
    mass[0] = mass[1] = mass[2] = NAN;
    QDS_TRY(qds_yaml_doubles(node, qds_yaml_count(node) == 3 ? 3 : dimension, mass));
  }
  for (size_t a = 0; a < dimension; a++)
    if (!(mass[a] >= 1e-4 && mass[a] <= 1e4))
      QDS_YAML_FAIL(node, "mass %g: from 0.0001 to 10000 electron masses are allowed", mass[a]);
  return QDS_OK;
}

static qds_status read_own(const qds_device *d, const qds_yaml_node *node, qds_device_material *material) {
  static const char *const keys[] = {"mass", "band_edge_eV", "permittivity", NULL};
  const qds_yaml_node *mass, *edge, *permittivity = qds_yaml_find(node, "permittivity");
  QDS_TRY(qds_yaml_check_keys(node, keys));
  QDS_TRY(qds_yaml_require(node, "mass", &mass));
  QDS_TRY(qds_yaml_require(node, "band_edge_eV", &edge));
  QDS_TRY(read_mass(d, mass, material->mass));
  QDS_TRY(qds_yaml_double(edge, &material->band_edge_eV));
  if (fabs(material->band_edge_eV) > 1000)
    QDS_YAML_FAIL(
        edge,
        "band edge %g eV: from -1000 to 1000 are allowed; for walls that nothing enters use the material "
        "hard_wall",
        material->band_edge_eV);
  return permittivity ? qds_yaml_positive(permittivity, &material->permittivity) : QDS_OK;
}

static qds_status take_band(const qds_device *d, const qds_yaml_node *node, const qds_material *found,
                            qds_device_material *material) {
  qds_material_band band;
  const qds_status status = qds_material_band_of(d->ctx, found, d->carrier, &band);
  if (status == QDS_ERROR_INPUT) QDS_YAML_FAIL(node, "%s", qds_last_error()->message);
  QDS_TRY(status);
  material->band_edge_eV = band.band_edge_eV;
  memcpy(material->mass, band.mass, sizeof band.mass);
  material->permittivity = found->permittivity;
  return QDS_OK;
}

static qds_status read_alloy(const qds_device *d, const qds_yaml_node *node, qds_device_material *material) {
  static const char *const keys[] = {"alloy", "x", NULL};
  const qds_yaml_node *alloy_node, *x_node;
  const char *alloy;
  double x;
  qds_material found;
  QDS_TRY(qds_yaml_check_keys(node, keys));
  QDS_TRY(qds_yaml_require(node, "alloy", &alloy_node));
  QDS_TRY(qds_yaml_require(node, "x", &x_node));
  QDS_TRY(qds_yaml_string(alloy_node, &alloy));
  QDS_TRY(qds_yaml_double(x_node, &x));
  const qds_status status = qds_material_alloy(d->ctx, alloy, x, d->temperature_K, &found);
  if (status == QDS_ERROR_INPUT) QDS_YAML_FAIL(node, "%s", qds_last_error()->message);
  QDS_TRY(status);
  return take_band(d, node, &found, material);
}

static qds_status read_description(const qds_device *d, const qds_yaml_node *node,
                                   qds_device_material *material) {
  return qds_yaml_find(node, "alloy") ? read_alloy(d, node, material) : read_own(d, node, material);
}

/* Says which name of the file is nearest, or repeats what the database says. */
static qds_status refuse_name(const qds_yaml_node *root, const qds_yaml_node *node, const char *name,
                              const char *reason) {
  const char *known[MOST_MATERIALS + 2] = {hard_wall};
  const qds_yaml_node *own = qds_yaml_find(root, "materials");
  for (size_t i = 0; own && i < qds_yaml_count(own) && i < MOST_MATERIALS; i++)
    known[i + 1] = qds_yaml_key(own, i);
  const char *nearest = qds_nearest(name, known);
  if (nearest) QDS_YAML_FAIL(node, "no material \"%s\"; did you mean \"%s\"?", name, nearest);
  QDS_YAML_FAIL(node, "%s", reason);
}

static qds_status find_named(qds_device *d, const qds_yaml_node *root, const qds_yaml_node *node,
                             const char *name, int *out) {
  *out = find_added(d, name);
  if (*out >= 0) return QDS_OK;
  const qds_yaml_node *own = qds_yaml_find(root, "materials"),
                      *described = own ? qds_yaml_find(own, name) : NULL;
  qds_device_material material = no_material;
  if (!strcmp(name, hard_wall)) {
    material.hard_wall = 1;
  } else if (described) {
    QDS_TRY(read_description(d, described, &material));
  } else {
    qds_material found;
    const qds_status status = qds_material_find(d->ctx, name, d->temperature_K, &found);
    if (status == QDS_ERROR_INPUT) {
      char reason[512];
      snprintf(reason, sizeof reason, "%s", qds_last_error()->message);
      return refuse_name(root, node, name, reason);
    }
    QDS_TRY(status);
    QDS_TRY(take_band(d, node, &found, &material));
  }
  QDS_TRY(add_material(d, name, out));
  material.name = d->material[*out].name;
  d->material[*out] = material;
  return QDS_OK;
}

qds_status qds_device_find_material(qds_device *d, const qds_yaml_node *root, const qds_yaml_node *node,
                                    int *out) {
  if (qds_yaml_node_kind(node) == QDS_YAML_SCALAR) {
    const char *name;
    QDS_TRY(qds_yaml_string(node, &name));
    return find_named(d, root, node, name, out);
  }
  qds_device_material material = no_material;
  QDS_TRY(read_description(d, node, &material));
  char name[64];
  const qds_yaml_node *alloy = qds_yaml_find(node, "alloy");
  if (alloy)
    snprintf(name, sizeof name, "%s x=%s", qds_yaml_text(alloy), qds_yaml_text(qds_yaml_find(node, "x")));
  else
    snprintf(name, sizeof name, "material %d", d->materials + 1);
  *out = find_added(d, name);
  if (*out >= 0) return QDS_OK;
  QDS_TRY(add_material(d, name, out));
  material.name = d->material[*out].name;
  d->material[*out] = material;
  return QDS_OK;
}

qds_status qds_device_check_inside(const qds_device *d, const qds_yaml_node *node, const char *what,
                                   const qds_shape *shape) {
  static const char *const names[] = {"x", "y", "z"};
  double low[3], high[3];
  qds_shape_bounds(shape, low, high);
  for (int a = 0; a < d->dimension; a++) {
    const qds_axis *axis = d->axis[qds_device_axis(d, a)];
    const double from = axis->coordinates_nm[0], to = axis->coordinates_nm[axis->nodes - 1];
    if (high[a] <= from || low[a] >= to)
      QDS_YAML_FAIL(node,
                    "%s lies outside the grid: it reaches from %s = %g nm to %g nm, the grid from %g nm to "
                    "%g nm",
                    what, names[a], low[a], high[a], from, to);
  }
  return QDS_OK;
}

/* The keys of the region's shape, and `material`. */
static qds_status check_region_keys(const qds_yaml_node *node) {
  enum { MOST_KEYS = 32 };
  const char *keys[MOST_KEYS];
  const qds_yaml_node *word = qds_yaml_find(node, "shape");
  const char *text = word ? qds_yaml_text(word) : NULL;
  const char *const *shape_keys = text ? qds_shape_keys(text) : NULL;
  if (!shape_keys) return QDS_OK; /* the reader of shapes says what is wrong */
  size_t count = 0;
  while (shape_keys[count] && count < MOST_KEYS - 2) keys[count] = shape_keys[count], count++;
  keys[count++] = "material";
  keys[count] = NULL;
  return qds_yaml_check_keys(node, keys);
}

static qds_status read_region(qds_device *d, const qds_yaml_node *root, const qds_yaml_node *node) {
  const qds_yaml_node *material;
  const size_t at = d->medium.count;
  if (qds_yaml_node_kind(node) != QDS_YAML_MAP)
    QDS_YAML_FAIL(
        node, "a region is a map such as {shape: box, min_nm: [0, 0, 0], max_nm: [5, 5, 5], material: InAs}");
  QDS_TRY(check_region_keys(node));
  QDS_TRY(qds_shape_read(d->ctx, node, d->dimension, &d->shape[at]));
  d->medium.count++;
  QDS_TRY(qds_yaml_require(node, "material", &material));
  d->region[at].shape = d->shape[at];
  QDS_TRY(qds_device_find_material(d, root, material, &d->region[at].material));
  return qds_device_check_inside(d, node, "the region", d->shape[at]);
}

/* Hard walls take the numbers of the first other material, which then stand for the cells that a
 * wall cuts. */
static qds_status complete_hard_walls(qds_device *d, const qds_yaml_node *root) {
  int wall = -1, other = -1;
  for (int i = 0; i < d->materials; i++) {
    if (d->material[i].hard_wall) wall = i;
    if (!d->material[i].hard_wall && other < 0) other = i;
  }
  if (wall < 0) return QDS_OK;
  if (other < 0)
    QDS_YAML_FAIL(qds_yaml_find(root, "background"), "the whole device is hard_wall: no room for a carrier");
  if (d->axis[2]->order > 1)
    QDS_YAML_FAIL(qds_yaml_find(root, "grid"),
                  "hard walls need order: 1; give the walls by the grid's ends to use a higher order");
  d->material[wall].band_edge_eV = d->material[other].band_edge_eV;
  memcpy(d->material[wall].mass, d->material[other].mass, sizeof d->material[wall].mass);
  return QDS_OK;
}

qds_status qds_device_read_materials(qds_device *d, const qds_yaml_node *root) {
  const qds_yaml_node *background, *regions = qds_yaml_find(root, "regions"),
                                   *own = qds_yaml_find(root, "materials");
  if (own && qds_yaml_node_kind(own) != QDS_YAML_MAP)
    QDS_YAML_FAIL(own, "a map of names is wanted: {well: {mass: 0.067, band_edge_eV: 0.0}}");
  for (size_t i = 0; own && i < qds_yaml_count(own); i++) {
    qds_device_material unused = no_material;
    if (!strcmp(qds_yaml_key(own, i), hard_wall))
      QDS_YAML_FAIL(
          qds_yaml_item(own, i),
          "the name hard_wall is taken: it stands for walls that nothing enters; choose another name");
    QDS_TRY(read_description(d, qds_yaml_item(own, i), &unused));
  }
  QDS_TRY(qds_yaml_require(root, "background", &background));
  QDS_TRY(qds_device_find_material(d, root, background, &d->medium.background));
  if (regions && qds_yaml_node_kind(regions) != QDS_YAML_LIST && qds_yaml_node_kind(regions) != QDS_YAML_NULL)
    QDS_YAML_FAIL(regions, "a list of regions is wanted");
  const size_t count = regions ? qds_yaml_count(regions) : 0;
  QDS_TRY(QDS_NEW_ZERO(qds_context_allocator(d->ctx), count, "device", &d->shape));
  QDS_TRY(QDS_NEW_ZERO(qds_context_allocator(d->ctx), count, "device", &d->region));
  for (size_t i = 0; i < count; i++) QDS_TRY(read_region(d, root, qds_yaml_item(regions, i)));
  d->medium.regions = d->region;
  d->medium.materials = d->materials;
  return complete_hard_walls(d, root);
}

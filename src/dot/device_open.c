/* Reading how the ends of a device are open. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/text.h"
#include "dot/device.h"

static const char *const keys[] = {"faces",    "method",       "from_nm", "angle_degrees", "preset",
                                   "width_nm", "strength_meV", "power",   "near_eV",       "stable_within_eV",
                                   NULL};
static const char *const scaling_keys[] = {"from_nm", "angle_degrees", NULL};
static const char *const absorber_keys[] = {"preset", "width_nm", "strength_meV", "power", NULL};
static const char *const method_words[] = {"complex_scaling", "absorbing_potential", NULL};
static const char *const face_words[] = {"x-", "x+", NULL};
/* Physics that an open device cannot be combined with. */
static const char *const rival_keys[] = {"magnetic_field", "electrostatics", "self_consistent", "doping",
                                         NULL};

/* Absorbers by the kind of device: strength, and width as a part of the grid's length. */
static const char *const preset_words[] = {"pn_junction",  "quantum_well", "quantum_dot", "generic",
                                           "conservative", "minimal",      NULL};
static const struct {
  double strength_eV, width_ratio;
} presets[] = {{5e-3, 0.15}, {20e-3, 0.25}, {1e-3, 0.1}, {10e-3, 0.2}, {1e-3, 0.05}, {2e-3, 0.1}};

static qds_status read_faces(qds_device *d, const qds_yaml_node *node) {
  d->open.face[0] = d->open.face[1] = !node;
  if (!node) return QDS_OK;
  if (qds_yaml_node_kind(node) != QDS_YAML_LIST || qds_yaml_count(node) == 0)
    QDS_YAML_FAIL(node, "a list of open faces is wanted: [x-, x+], [x-] or [x+]");
  for (size_t i = 0; i < qds_yaml_count(node); i++) {
    int face;
    QDS_TRY(qds_yaml_choice(qds_yaml_item(node, i), face_words, &face));
    if (d->open.face[face]) QDS_YAML_FAIL(node, "the face %s is named twice", face_words[face]);
    d->open.face[face] = 1;
  }
  return QDS_OK;
}

/* Keys of the method that was not chosen are refused, never ignored. */
static qds_status refuse_keys(const qds_yaml_node *open, const char *const *list, int owner) {
  for (int i = 0; list[i]; i++) {
    const qds_yaml_node *node = qds_yaml_find(open, list[i]);
    if (node)
      QDS_YAML_FAIL(node, "%s belongs to method: %s, the method here is %s", list[i], method_words[owner],
                    method_words[!owner]);
  }
  return QDS_OK;
}

static qds_status read_scaling(qds_device *d, const qds_yaml_node *open) {
  const qds_yaml_node *node;
  QDS_TRY(refuse_keys(open, absorber_keys, 1));
  QDS_TRY(qds_yaml_require(open, "from_nm", &node));
  QDS_TRY(qds_yaml_double(node, &d->open.from_nm));
  d->open.angle_degrees = 45;
  node = qds_yaml_find(open, "angle_degrees");
  if (node) QDS_TRY(qds_yaml_double(node, &d->open.angle_degrees));
  if (node && !(d->open.angle_degrees >= 1 && d->open.angle_degrees <= 80))
    QDS_YAML_FAIL(node,
                  "%g degrees: from 1 to 80 are allowed; resonances with |Im E| < Re E tan(2 x angle) show",
                  d->open.angle_degrees);
  return QDS_OK;
}

/* The lengths of the absorbers must find room in the grid. */
static qds_status check_width(const qds_device *d, const qds_yaml_node *node) {
  const qds_axis *axis = d->axis[2];
  const double length = axis->coordinates_nm[axis->nodes - 1] - axis->coordinates_nm[0];
  const int faces = d->open.face[0] + d->open.face[1];
  if (faces * d->open.width_nm > length * (1 + 1e-12))
    QDS_YAML_FAIL(node, "%d absorber%s of %g nm do not fit into a grid of %g nm; at most %g nm are allowed",
                  faces, faces > 1 ? "s" : "", d->open.width_nm, length, length / faces);
  return QDS_OK;
}

static qds_status read_absorber(qds_device *d, const qds_yaml_node *open) {
  const qds_yaml_node *preset = qds_yaml_find(open, "preset"), *width = qds_yaml_find(open, "width_nm"),
                      *strength = qds_yaml_find(open, "strength_meV"), *power = qds_yaml_find(open, "power");
  const qds_axis *axis = d->axis[2];
  int choice;
  QDS_TRY(refuse_keys(open, scaling_keys, 0));
  if (preset) {
    QDS_TRY(qds_yaml_choice(preset, preset_words, &choice));
    d->open.strength_eV = presets[choice].strength_eV;
    d->open.width_nm =
        presets[choice].width_ratio * (axis->coordinates_nm[axis->nodes - 1] - axis->coordinates_nm[0]);
  } else {
    QDS_TRY(qds_yaml_require(open, "width_nm", &width));
    QDS_TRY(qds_yaml_require(open, "strength_meV", &strength));
  }
  if (width) QDS_TRY(qds_yaml_positive(width, &d->open.width_nm));
  if (strength) {
    QDS_TRY(qds_yaml_positive(strength, &d->open.strength_eV));
    d->open.strength_eV *= 1e-3;
  }
  d->open.power = 2;
  if (power) QDS_TRY(qds_yaml_double(power, &d->open.power));
  if (power && !(d->open.power >= 0 && d->open.power <= 10))
    QDS_YAML_FAIL(power, "the power %g of the absorber: from 0 (constant) to 10 are allowed", d->open.power);
  return check_width(d, width ? width : open);
}

static qds_status check_device(const qds_device *d, const qds_yaml_node *root, const qds_yaml_node *open) {
  if (d->dimension > 1)
    QDS_YAML_FAIL(open, "open devices are solved in one dimension; this one has %d", d->dimension);
  for (int i = 0; rival_keys[i]; i++)
    if (qds_yaml_find(root, rival_keys[i]))
      QDS_YAML_FAIL(open, "an open device with %s cannot be solved; leave one of them out", rival_keys[i]);
  if (d->axis[2]->boundary[0] == QDS_PERIODIC)
    QDS_YAML_FAIL(open, "a periodic axis has no open faces; set its boundary to dirichlet");
  return QDS_OK;
}

qds_status qds_device_read_open(qds_device *d, const qds_yaml_node *root) {
  const qds_yaml_node *open = qds_yaml_find(root, "open"), *node;
  if (!open) return QDS_OK;
  QDS_TRY(qds_yaml_check_keys(open, keys));
  QDS_TRY(check_device(d, root, open));
  QDS_TRY(qds_format(qds_context_allocator(d->ctx), &d->open.place, "%s:%d: open", d->input,
                     qds_yaml_line(open)));
  QDS_TRY(read_faces(d, qds_yaml_find(open, "faces")));
  int method = qds_yaml_find(open, "preset") ? 1 : 0;
  if ((node = qds_yaml_find(open, "method"))) QDS_TRY(qds_yaml_choice(node, method_words, &method));
  d->open.method = method ? QDS_OPEN_ABSORBING_POTENTIAL : QDS_OPEN_COMPLEX_SCALING;
  QDS_TRY(method ? read_absorber(d, open) : read_scaling(d, open));
  if ((node = qds_yaml_find(open, "near_eV"))) {
    QDS_TRY(qds_yaml_double(node, &d->open.near_eV));
    d->open.aimed = 1;
  }
  if ((node = qds_yaml_find(open, "stable_within_eV")))
    QDS_TRY(qds_yaml_positive(node, &d->open.stable_within_eV));
  return QDS_OK;
}

/* Sets a number of the map unless it stands there. */
static qds_status fill_number(qds_yaml *yaml, const char *key, double value) {
  char number[QDS_DOUBLE_TEXT];
  qds_double_text(value, number);
  return qds_device_fill(yaml, qds_yaml_find(qds_yaml_root(yaml), "open"), "open", key, number);
}

qds_status qds_device_fill_open(const qds_device *d, qds_yaml *yaml) {
  const qds_yaml_node *open = qds_yaml_find(qds_yaml_root(yaml), "open");
  if (!open) return QDS_OK;
  QDS_TRY(qds_device_fill(yaml, open, "open", "faces", "[x-, x+]"));
  QDS_TRY(qds_device_fill(yaml, open, "open", "method",
                          method_words[d->open.method == QDS_OPEN_ABSORBING_POTENTIAL]));
  if (d->open.method == QDS_OPEN_COMPLEX_SCALING)
    return fill_number(yaml, "angle_degrees", d->open.angle_degrees);
  QDS_TRY(fill_number(yaml, "width_nm", d->open.width_nm));
  QDS_TRY(fill_number(yaml, "strength_meV", 1e3 * d->open.strength_eV));
  return fill_number(yaml, "power", d->open.power);
}

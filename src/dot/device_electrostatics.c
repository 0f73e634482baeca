/* Reading contacts, doping and self-consistency, and the charge of the dopants on the grid. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/text.h"
#include "dot/coefficient.h"
#include "dot/device.h"

enum { MOST_DOPINGS = 1000, MOST_CONTACTS = 6, MOST_KEYS = 32, MOST_PASSES = 1000 };
static const double default_tolerance_V = 1e-7, most_volts = 1e4, most_per_cm3 = 1e23, cm3_per_nm3 = 1e-21;
static const char *const face_words[] = {"x-", "x+", "y-", "y+", "z-", "z+", NULL};

static qds_status read_contact(qds_device *d, const qds_yaml_node *node) {
  static const char *const keys[] = {"face", "potential_V", NULL};
  const qds_yaml_node *face_node, *potential;
  const char *faces[MOST_CONTACTS + 1] = {NULL};
  qds_contacts *contacts = &d->electrostatics.contacts;
  int face;
  double volts;
  if (qds_yaml_node_kind(node) != QDS_YAML_MAP)
    QDS_YAML_FAIL(node, "a contact is a map: {face: x-, potential_V: 0.0}");
  QDS_TRY(qds_yaml_check_keys(node, keys));
  QDS_TRY(qds_yaml_require(node, "face", &face_node));
  QDS_TRY(qds_yaml_require(node, "potential_V", &potential));
  memcpy(faces, face_words, sizeof *faces * 2 * (size_t)d->dimension);
  QDS_TRY(qds_yaml_choice(face_node, faces, &face));
  QDS_TRY(qds_yaml_double(potential, &volts));
  if (fabs(volts) > most_volts)
    QDS_YAML_FAIL(potential, "%g V: from %g to %g are allowed", volts, -most_volts, most_volts);
  if (contacts->is_contact[face / 2][face % 2])
    QDS_YAML_FAIL(face_node, "face %s has two contacts", faces[face]);
  if (d->axis[qds_device_axis(d, face / 2)]->boundary[0] == QDS_PERIODIC)
    QDS_YAML_FAIL(face_node, "axis %c is periodic: it has no face for a contact", faces[face][0]);
  contacts->is_contact[face / 2][face % 2] = 1;
  contacts->potential_V[face / 2][face % 2] = volts;
  return QDS_OK;
}

static qds_status read_contacts(qds_device *d, const qds_yaml_node *node) {
  static const char *const keys[] = {"contacts", NULL};
  QDS_TRY(qds_yaml_check_keys(node, keys));
  const qds_yaml_node *list = qds_yaml_find(node, "contacts");
  if (!list || qds_yaml_node_kind(list) == QDS_YAML_NULL) return QDS_OK;
  if (qds_yaml_node_kind(list) != QDS_YAML_LIST)
    QDS_YAML_FAIL(list, "a list of contacts is wanted: [{face: x-, potential_V: 0.0}]");
  for (size_t i = 0; i < qds_yaml_count(list); i++) QDS_TRY(read_contact(d, qds_yaml_item(list, i)));
  return QDS_OK;
}

/* Every material needs a permittivity, and a wall that carriers cannot enter has none. */
static qds_status check_materials(const qds_device *d, const qds_yaml_node *node) {
  for (int m = 0; m < d->materials; m++) {
    const qds_device_material *material = &d->material[m];
    if (material->hard_wall)
      QDS_YAML_FAIL(node,
                    "hard_wall has no permittivity; let the grid end at the wall, or give a material with a "
                    "high band edge");
    if (!isfinite(material->permittivity))
      QDS_YAML_FAIL(node, "material \"%s\" has no permittivity, which Poisson's equation needs",
                    material->name);
  }
  return QDS_OK;
}

static qds_status read_density(const qds_yaml_node *node, double sign, double *charge_nm3) {
  double per_cm3;
  if (!node) return QDS_OK;
  QDS_TRY(qds_yaml_double(node, &per_cm3));
  if (!(per_cm3 >= 0 && per_cm3 <= most_per_cm3))
    QDS_YAML_FAIL(node, "%g per cm^3: from 0 to %g are allowed; acceptors have a key of their own", per_cm3,
                  most_per_cm3);
  *charge_nm3 += sign * per_cm3 * cm3_per_nm3;
  return QDS_OK;
}

/* Without a shape the keys are those of the dopants only. */
static qds_status check_doping_keys(const qds_yaml_node *node) {
  static const char *const keys[] = {"donors_cm3", "acceptors_cm3", "shape", NULL};
  if (qds_yaml_node_kind(node) != QDS_YAML_MAP)
    QDS_YAML_FAIL(node, "doping is a map: {donors_cm3: 1e18}, or with a shape like a region");
  return qds_yaml_find(node, "shape") ? qds_shape_check_keys(node, keys) : qds_yaml_check_keys(node, keys);
}

static qds_status read_doping(qds_device *d, const qds_yaml_node *node) {
  const qds_yaml_node *donors = qds_yaml_find(node, "donors_cm3"),
                      *acceptors = qds_yaml_find(node, "acceptors_cm3");
  qds_doping *doping = &d->electrostatics.doping[d->electrostatics.dopings];
  QDS_TRY(check_doping_keys(node));
  if (!donors && !acceptors) QDS_YAML_FAIL(node, "donors_cm3 or acceptors_cm3 is missing");
  QDS_TRY(read_density(donors, 1, &doping->charge_nm3));
  QDS_TRY(read_density(acceptors, -1, &doping->charge_nm3));
  if (!qds_yaml_find(node, "shape")) {
    d->electrostatics.dopings++;
    return QDS_OK;
  }
  QDS_TRY(qds_shape_read(d->ctx, node, d->dimension, &doping->shape));
  d->electrostatics.dopings++;
  return qds_device_check_inside(d, node, "the doping", doping->shape);
}

static qds_status read_dopings(qds_device *d, const qds_yaml_node *list) {
  if (qds_yaml_node_kind(list) == QDS_YAML_NULL) return QDS_OK;
  if (qds_yaml_node_kind(list) != QDS_YAML_LIST)
    QDS_YAML_FAIL(list, "a list is wanted: [{donors_cm3: 1e18, shape: layer, ...}]");
  const size_t count = qds_yaml_count(list);
  if (count > MOST_DOPINGS) QDS_YAML_FAIL(list, "%zu entries; at most %d are allowed", count, MOST_DOPINGS);
  QDS_TRY(QDS_NEW_ZERO(qds_context_allocator(d->ctx), count, "device", &d->electrostatics.doping));
  for (size_t i = 0; i < count; i++) QDS_TRY(read_doping(d, qds_yaml_item(list, i)));
  return QDS_OK;
}

/* The word for a total number of electrons, by dimension, and 1/cm to 1/nm for it. */
static const char *const total_keys[] = {NULL, "total_cm2", "total_cm1", "total"};
static const double total_units[] = {0, 1e-14, 1e-7, 1};

static qds_status read_electrons(qds_device *d, const qds_yaml_node *node) {
  qds_electrostatics *e = &d->electrostatics;
  const char *total_key = total_keys[d->dimension];
  if (qds_yaml_node_kind(node) == QDS_YAML_SCALAR) {
    static const char *const words[] = {"neutral", NULL};
    int word;
    e->electrons = QDS_ELECTRONS_NEUTRAL;
    return qds_yaml_choice(node, words, &word);
  }
  const char *const keys[] = {total_key, "fermi_level_eV", NULL};
  if (qds_yaml_node_kind(node) != QDS_YAML_MAP || qds_yaml_count(node) != 1)
    QDS_YAML_FAIL(node, "neutral, {%s: ...} or {fermi_level_eV: ...} is wanted", total_key);
  QDS_TRY(qds_yaml_check_keys(node, keys));
  const qds_yaml_node *total = qds_yaml_find(node, total_key);
  if (total) {
    e->electrons = QDS_ELECTRONS_TOTAL;
    QDS_TRY(qds_yaml_positive(total, &e->total));
    e->total *= total_units[d->dimension];
    return QDS_OK;
  }
  e->electrons = QDS_ELECTRONS_FERMI;
  return qds_yaml_double(qds_yaml_find(node, "fermi_level_eV"), &e->fermi_level_eV);
}

/* Spin and the motion along the axes that the device lacks make each state a band of electrons. */
static qds_status check_self_consistent(const qds_device *d, const qds_yaml_node *node) {
  if (d->carrier != QDS_ELECTRON) QDS_YAML_FAIL(node, "only electrons can be self-consistent, no holes");
  if (qds_device_has_magnetic_field(d))
    QDS_YAML_FAIL(node, "a magnetic field cannot be combined with self-consistent electrons; leave one out");
  if (!(d->temperature_K > 0))
    QDS_YAML_FAIL(node, "a temperature above 0 K is needed; temperature_K: 0.1 is as cold as it matters");
  for (int m = 0; m < d->materials; m++)
    for (int a = d->dimension; a < 3; a++)
      if (!isfinite(d->material[m].mass[a]))
        QDS_YAML_FAIL(node,
                      "material \"%s\": the density of states needs the masses along x, y and z; give one "
                      "for all, or three",
                      d->material[m].name);
  return QDS_OK;
}

static qds_status check_closed(const qds_device *d, const qds_yaml_node *node) {
  const qds_electrostatics *e = &d->electrostatics;
  int contacts = 0;
  for (int face = 0; face < MOST_CONTACTS; face++) contacts += e->contacts.is_contact[face / 2][face % 2];
  if (contacts == 0 && e->electrons != QDS_ELECTRONS_NEUTRAL)
    QDS_YAML_FAIL(node, "without a contact the device must be neutral: say neutral, or add a contact");
  return QDS_OK;
}

static qds_status read_self_consistent(qds_device *d, const qds_yaml_node *node) {
  static const char *const keys[] = {"electrons", "tolerance_V", "max_iterations", NULL};
  qds_electrostatics *e = &d->electrostatics;
  const qds_yaml_node *electrons, *tolerance = qds_yaml_find(node, "tolerance_V"),
                                  *iterations = qds_yaml_find(node, "max_iterations");
  int64_t passes = 50;
  e->self_consistent = 1;
  e->tolerance_V = default_tolerance_V;
  QDS_TRY(qds_yaml_check_keys(node, keys));
  QDS_TRY(check_self_consistent(d, node));
  QDS_TRY(qds_yaml_require(node, "electrons", &electrons));
  QDS_TRY(read_electrons(d, electrons));
  QDS_TRY(check_closed(d, electrons));
  if (tolerance) QDS_TRY(qds_yaml_positive(tolerance, &e->tolerance_V));
  if (iterations) QDS_TRY(qds_yaml_int64(iterations, 1, MOST_PASSES, &passes));
  e->max_iterations = (int)passes;
  return QDS_OK;
}

qds_status qds_device_read_electrostatics(qds_device *d, const qds_yaml_node *root) {
  const qds_yaml_node *node = qds_yaml_find(root, "electrostatics"),
                      *loop = qds_yaml_find(root, "self_consistent"), *doping = qds_yaml_find(root, "doping");
  if (!node && (loop || doping))
    QDS_YAML_FAIL(loop ? loop : doping,
                  "the key electrostatics is missing, which says where the contacts are: electrostatics: "
                  "{contacts: [{face: x-, potential_V: 0.0}]}");
  if (!node) return QDS_OK;
  d->electrostatics.wanted = 1;
  QDS_TRY(read_contacts(d, node));
  QDS_TRY(check_materials(d, node));
  if (doping) QDS_TRY(read_dopings(d, doping));
  return loop ? read_self_consistent(d, loop) : QDS_OK;
}

/* One entry's charge on all nodes. */
static qds_status average_doping(const qds_device *d, const qds_doping *doping, double *charge) {
  const qds_medium_region region = {doping->shape, 1};
  const qds_medium medium = {.materials = 2, .count = 1, .regions = &region};
  const double values[2] = {0, doping->charge_nm3};
  qds_intervals intervals[3];
  for (int a = 0; a < 3; a++) intervals[a] = qds_node_intervals(d->axis[a]);
  return qds_average_box_grid(d->ctx, &medium, d->dimension, intervals, 2, values, QDS_AVERAGE_ARITHMETIC,
                              charge);
}

qds_status qds_device_doping(const qds_device *d, double *charge) {
  const int64_t nodes = qds_device_nodes(d);
  QDS_AUTO_RELEASE double *part = NULL;
  QDS_TRY(QDS_NEW(qds_context_allocator(d->ctx), nodes, "poisson", &part));
  memset(charge, 0, sizeof(double) * (size_t)nodes);
  for (size_t i = 0; i < d->electrostatics.dopings; i++) {
    const qds_doping *doping = &d->electrostatics.doping[i];
    if (doping->shape) QDS_TRY(average_doping(d, doping, part));
    for (int64_t node = 0; node < nodes; node++)
      charge[node] += doping->shape ? part[node] : doping->charge_nm3;
  }
  return QDS_OK;
}

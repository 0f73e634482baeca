/* Reading a device file as a whole. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/text.h"
#include "dot/device.h"

static const char *const top_keys[] = {"name",      "dimension",      "temperature_K",  "carrier",
                                       "materials", "background",     "regions",        "potential",
                                       "grid",      "boundary",       "states",         "tolerance_eV",
                                       "output",    "solver",         "electrostatics", "self_consistent",
                                       "doping",    "magnetic_field", "open",           NULL};

static const char *const carrier_words[] = {"electron", "heavy_hole", "light_hole", NULL};
static const char *const field_words[] = {"psi", "density", "band_edge", "material", NULL};

static qds_status check_top(const qds_yaml_node *root) {
  if (qds_yaml_node_kind(root) != QDS_YAML_MAP)
    QDS_YAML_FAIL(root, "a device is a map of keys such as name, materials, grid");
  return qds_yaml_check_keys(root, top_keys);
}

/* The name of the file without folder and suffix, for the result's files. */
static qds_status set_names(qds_device *d, const char *path) {
  qds_allocator *allocator = qds_context_allocator(d->ctx);
  const char *slash = strrchr(path, '/'), *base = slash ? slash + 1 : path, *dot = strrchr(base, '.');
  const int length = dot && dot > base ? (int)(dot - base) : (int)strlen(base);
  QDS_TRY(QDS_STRDUP(allocator, path, "device", &d->input));
  QDS_TRY(qds_format(allocator, &d->stem, "%.*s", length, base));
  return qds_format(allocator, &d->folder, "%.*s", (int)(base - path), path);
}

/* The name goes to the terminal, which control characters, C1 ones (U+0080 to U+009F) included, would drive.
 */
static qds_status read_name(const qds_yaml_node *node, const char **name) {
  QDS_TRY(qds_yaml_string(node, name));
  for (const char *at = *name; *at;) {
    const uint32_t character = qds_utf8_next(&at);
    if (character < ' ' || (character >= 0x7f && character < 0xa0))
      QDS_YAML_FAIL(node,
                    "the control character U+%04X stands in the name; use letters, digits and signs only",
                    (unsigned)character);
  }
  return QDS_OK;
}

static qds_status read_scalars(qds_device *d, const qds_yaml_node *root) {
  const qds_yaml_node *node;
  const char *name = d->stem;
  int carrier = QDS_ELECTRON;
  if ((node = qds_yaml_find(root, "name"))) QDS_TRY(read_name(node, &name));
  QDS_TRY(QDS_STRDUP(qds_context_allocator(d->ctx), name, "device", &d->name));
  d->temperature_K = 300;
  if ((node = qds_yaml_find(root, "temperature_K"))) {
    QDS_TRY(qds_yaml_double(node, &d->temperature_K));
    if (d->temperature_K < 0 || d->temperature_K > 2000)
      QDS_YAML_FAIL(node, "%g K: from 0 to 2000 are allowed", d->temperature_K);
  }
  if ((node = qds_yaml_find(root, "carrier"))) QDS_TRY(qds_yaml_choice(node, carrier_words, &carrier));
  d->carrier = (qds_carrier)carrier;
  if ((node = qds_yaml_find(root, "tolerance_eV"))) QDS_TRY(qds_yaml_positive(node, &d->tolerance_eV));
  return QDS_OK;
}

static qds_status read_states(qds_device *d, const qds_yaml_node *root) {
  enum { MOST_STATES = 10000 };
  const qds_yaml_node *node = qds_yaml_find(root, "states");
  int64_t states = 6;
  const int64_t unknowns = qds_device_unknowns(d);
  if (node) QDS_TRY(qds_yaml_int64(node, 1, MOST_STATES, &states));
  if (states > unknowns) {
    if (node)
      QDS_YAML_FAIL(node, "%lld states are wanted, the grid has %lld unknowns", (long long)states,
                    (long long)unknowns);
    states = unknowns;
  }
  d->states = (int)states;
  return QDS_OK;
}

static qds_status read_solver(qds_device *d, const qds_yaml_node *root) {
  static const char *const keys[] = {"preconditioner", "precision", "max_iterations", NULL};
  static const char *const words[] = {"multigrid", "fast_diagonalisation", NULL};
  static const char *const precisions[] = {
      [QDS_FLOAT32] = "float32", [QDS_FLOAT64] = "float64", [QDS_TF32] = "tf32", NULL};
  const qds_yaml_node *solver = qds_yaml_find(root, "solver"), *node;
  int choice = QDS_PRECONDITION_MULTIGRID, precision = QDS_FLOAT32;
  int64_t iterations = d->max_iterations;
  if (!solver) return QDS_OK;
  QDS_TRY(qds_yaml_check_keys(solver, keys));
  if ((node = qds_yaml_find(solver, "preconditioner"))) QDS_TRY(qds_yaml_choice(node, words, &choice));
  if ((node = qds_yaml_find(solver, "precision"))) {
    QDS_TRY(qds_yaml_choice(node, precisions, &precision));
    if (choice != QDS_PRECONDITION_FAST_DIAGONALISATION)
      QDS_YAML_FAIL(node, "multigrid has one precision; this key goes with preconditioner: "
                          "fast_diagonalisation");
  }
  if ((node = qds_yaml_find(solver, "max_iterations"))) QDS_TRY(qds_yaml_int64(node, 1, 100000, &iterations));
  d->preconditioner = (qds_preconditioner)choice;
  d->precision = (qds_precision)precision;
  d->max_iterations = (int)iterations;
  return QDS_OK;
}

static qds_status read_output(qds_device *d, const qds_yaml_node *root) {
  static const char *const keys[] = {"fields", "plot", NULL};
  const qds_yaml_node *output = qds_yaml_find(root, "output"), *fields, *plot;
  d->fields = QDS_FIELD_PSI | QDS_FIELD_BAND_EDGE | QDS_FIELD_MATERIAL;
  d->plot = 1;
  if (!output) return QDS_OK;
  QDS_TRY(qds_yaml_check_keys(output, keys));
  if ((plot = qds_yaml_find(output, "plot"))) QDS_TRY(qds_yaml_bool(plot, &d->plot));
  if (!(fields = qds_yaml_find(output, "fields"))) return QDS_OK;
  if (qds_yaml_node_kind(fields) != QDS_YAML_LIST)
    QDS_YAML_FAIL(fields, "a list of psi, density, band_edge, material is wanted");
  d->fields = 0;
  for (size_t i = 0; i < qds_yaml_count(fields); i++) {
    int field;
    QDS_TRY(qds_yaml_choice(qds_yaml_item(fields, i), field_words, &field));
    d->fields |= 1u << field;
  }
  return QDS_OK;
}

qds_status qds_device_fill(qds_yaml *yaml, const qds_yaml_node *map, const char *path, const char *key,
                           const char *value) {
  char assignment[128];
  if (map && qds_yaml_find(map, key)) return QDS_OK;
  snprintf(assignment, sizeof assignment, "%s%s%s=%s", path, *path ? "." : "", key, value);
  return qds_yaml_set(yaml, assignment);
}

static qds_status fill_scalars(const qds_device *d, qds_yaml *yaml) {
  const qds_yaml_node *root = qds_yaml_root(yaml);
  char number[16];
  snprintf(number, sizeof number, "%d", d->dimension);
  QDS_TRY(qds_device_fill(yaml, root, "", "dimension", number));
  QDS_TRY(qds_device_fill(yaml, root, "", "temperature_K", "300"));
  QDS_TRY(qds_device_fill(yaml, root, "", "carrier", "electron"));
  snprintf(number, sizeof number, "%d", d->states);
  return qds_device_fill(yaml, root, "", "states", number);
}

static qds_status fill_grid(const qds_device *d, qds_yaml *yaml) {
  static const char *const axes[] = {"x", "y", "z"};
  const qds_yaml_node *root = qds_yaml_root(yaml), *grid = qds_yaml_find(root, "grid"),
                      *outside = qds_yaml_find(root, "boundary");
  QDS_TRY(qds_device_fill(yaml, grid, "grid", "order", "1"));
  for (int a = 0; a < d->dimension; a++)
    QDS_TRY(qds_device_fill(yaml, outside ? outside : qds_yaml_find(grid, "boundary"),
                            outside ? "boundary" : "grid.boundary", axes[a], "dirichlet"));
  return QDS_OK;
}

static qds_status fill_solver(const qds_device *d, qds_yaml *yaml) {
  const qds_yaml_node *solver = qds_yaml_find(qds_yaml_root(yaml), "solver");
  char number[16];
  QDS_TRY(qds_device_fill(yaml, solver, "solver", "preconditioner", "multigrid"));
  if (d->preconditioner == QDS_PRECONDITION_FAST_DIAGONALISATION)
    QDS_TRY(qds_device_fill(yaml, solver, "solver", "precision", "float32"));
  snprintf(number, sizeof number, "%d", d->max_iterations);
  return qds_device_fill(yaml, solver, "solver", "max_iterations", number);
}

static qds_status fill_output(qds_yaml *yaml) {
  const qds_yaml_node *output = qds_yaml_find(qds_yaml_root(yaml), "output");
  QDS_TRY(qds_device_fill(yaml, output, "output", "fields", "[psi, band_edge, material]"));
  return qds_device_fill(yaml, output, "output", "plot", "true");
}

static qds_status fill_self_consistent(const qds_device *d, qds_yaml *yaml) {
  const qds_yaml_node *node = qds_yaml_find(qds_yaml_root(yaml), "self_consistent");
  char number[32];
  if (!node) return QDS_OK;
  snprintf(number, sizeof number, "%g", d->electrostatics.tolerance_V);
  QDS_TRY(qds_device_fill(yaml, node, "self_consistent", "tolerance_V", number));
  snprintf(number, sizeof number, "%d", d->electrostatics.max_iterations);
  return qds_device_fill(yaml, node, "self_consistent", "max_iterations", number);
}

/* Puts the defaults in force into the document, so that its text is the effective configuration. */
static qds_status fill_defaults(const qds_device *d, qds_yaml *yaml) {
  const qds_yaml_node *field = qds_yaml_find(qds_yaml_root(yaml), "magnetic_field");
  QDS_TRY(fill_scalars(d, yaml));
  QDS_TRY(fill_grid(d, yaml));
  QDS_TRY(fill_solver(d, yaml));
  QDS_TRY(fill_output(yaml));
  QDS_TRY(qds_device_fill_open(d, yaml));
  QDS_TRY(fill_self_consistent(d, yaml));
  return field ? qds_device_fill(yaml, field, "magnetic_field", "gauge", "symmetric") : QDS_OK;
}

static qds_status apply_assignments(qds_yaml *yaml, const char *const *assignments) {
  for (size_t i = 0; assignments && assignments[i]; i++) QDS_TRY(qds_yaml_set(yaml, assignments[i]));
  return QDS_OK;
}

static qds_status read_tree(qds_context *ctx, qds_yaml *yaml, const char *path,
                            const char *const *assignments, qds_device **out) {
  QDS_AUTO(qds_device) *d = NULL;
  QDS_TRY(qds_device_new(ctx, &d));
  QDS_TRY(set_names(d, path));
  QDS_TRY(apply_assignments(yaml, assignments));
  const qds_yaml_node *root = qds_yaml_root(yaml);
  QDS_TRY(check_top(root));
  QDS_TRY(read_scalars(d, root));
  QDS_TRY(qds_device_read_grid(d, root));
  QDS_TRY(qds_device_read_materials(d, root));
  QDS_TRY(qds_device_read_potential(d, root));
  QDS_TRY(qds_device_read_magnetic_field(d, root));
  QDS_TRY(qds_device_read_open(d, root));
  QDS_TRY(qds_device_read_electrostatics(d, root));
  QDS_TRY(read_states(d, root));
  QDS_TRY(read_output(d, root));
  QDS_TRY(read_solver(d, root));
  QDS_TRY(fill_defaults(d, yaml));
  QDS_TRY(qds_yaml_write(yaml, &d->configuration));
  *out = d;
  d = NULL;
  return QDS_OK;
}

qds_status qds_device_read(qds_context *ctx, const char *path, const char *const *assignments,
                           qds_device **out) {
  QDS_AUTO(qds_yaml) *yaml = NULL;
  QDS_REQUIRE(ctx && path && out, "qds_device_read: a NULL argument");
  *out = NULL;
  QDS_TRY(qds_yaml_read(qds_context_allocator(ctx), path, &yaml));
  return read_tree(ctx, yaml, path, assignments, out);
}

qds_status qds_device_parse(qds_context *ctx, const char *name, const char *text,
                            const char *const *assignments, qds_device **out) {
  QDS_AUTO(qds_yaml) *yaml = NULL;
  QDS_REQUIRE(ctx && name && text && out, "qds_device_parse: a NULL argument");
  *out = NULL;
  QDS_TRY(qds_yaml_parse(qds_context_allocator(ctx), name, text, strlen(text), &yaml));
  return read_tree(ctx, yaml, name, assignments, out);
}

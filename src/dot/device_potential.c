/* Potential terms: formulas in x, y, z, and arrays of one number per node. */
#include "dot/device.h"

#include <math.h>
#include <omp.h>
#include <stdio.h>
#include <string.h>

#include "base/formula.h"
#include "base/npy.h"
#include "base/text.h"

enum { MOST_TERMS = 1000, MOST_PARAMETERS = 100 };

static const char *const variable_names[4][4] = {
    {NULL}, {"x", NULL}, {"x", "y", NULL}, {"x", "y", "z", NULL}};

static qds_status read_parameters(const qds_device *d, const qds_yaml_node *map, qds_potential_term *term) {
  qds_allocator *allocator = qds_context_allocator(d->ctx);
  const size_t count = map ? qds_yaml_count(map) : 0;
  if (map && qds_yaml_node_kind(map) != QDS_YAML_MAP)
    QDS_YAML_FAIL(map, "a map of names and numbers is wanted: {k: 3.5e-4}");
  if (count > MOST_PARAMETERS)
    QDS_YAML_FAIL(map, "%zu parameters; at most %d are allowed", count, MOST_PARAMETERS);
  QDS_TRY(QDS_NEW_ZERO(allocator, count + 1, "device", &term->names));
  QDS_TRY(QDS_NEW(allocator, count + 1, "device", &term->values));
  for (size_t i = 0; i < count; i++) {
    QDS_TRY(QDS_STRDUP(allocator, qds_yaml_key(map, i), "device", &term->names[i]));
    QDS_TRY(qds_yaml_double(qds_yaml_item(map, i), &term->values[i]));
  }
  return QDS_OK;
}

static qds_status create_formula(const qds_device *d, const qds_potential_term *term, qds_formula **out) {
  return qds_formula_create(qds_context_allocator(d->ctx), term->formula, variable_names[d->dimension],
                            (const char *const *)term->names, term->values, out);
}

static qds_status read_formula(const qds_device *d, const qds_yaml_node *map, const qds_yaml_node *node,
                               qds_potential_term *term) {
  static const char *const keys[] = {"formula_eV", "parameters", NULL};
  const char *text;
  QDS_AUTO(qds_formula) *formula = NULL;
  QDS_TRY(qds_yaml_check_keys(map, keys));
  QDS_TRY(qds_yaml_string(node, &text));
  QDS_TRY(QDS_STRDUP(qds_context_allocator(d->ctx), text, "device", &term->formula));
  QDS_TRY(read_parameters(d, qds_yaml_find(map, "parameters"), term));
  const qds_status status = create_formula(d, term, &formula);
  if (status == QDS_ERROR_INPUT) QDS_YAML_FAIL(node, "%s", qds_last_error()->message);
  return status;
}

static qds_status check_array_shape(const qds_device *d, const qds_yaml_node *node, const qds_npy *array) {
  int fits = array->dimensions == d->dimension;
  char wanted[96] = "", got[192] = "";
  for (int a = 0; a < d->dimension; a++) {
    const int64_t nodes = d->axis[qds_device_axis(d, a)]->nodes;
    fits = fits && array->shape[a] == nodes;
    snprintf(wanted + strlen(wanted), sizeof wanted - strlen(wanted), "%s%lld", a ? " x " : "",
             (long long)nodes);
  }
  for (int a = 0; a < array->dimensions; a++)
    snprintf(got + strlen(got), sizeof got - strlen(got), "%s%lld", a ? " x " : "",
             (long long)array->shape[a]);
  if (array->dimensions == 0)
    QDS_YAML_FAIL(node, "the array is a single number, the grid's nodes (ends included) are %s", wanted);
  if (!fits)
    QDS_YAML_FAIL(node, "the array has shape %s, the grid's nodes (ends included) are %s", got, wanted);
  return QDS_OK;
}

static qds_status read_array(const qds_device *d, const qds_yaml_node *map, const qds_yaml_node *node,
                             qds_potential_term *term) {
  static const char *const keys[] = {"array_eV", NULL};
  const char *name;
  QDS_AUTO_RELEASE char *path = NULL;
  qds_npy array = {0};
  QDS_TRY(qds_yaml_check_keys(map, keys));
  QDS_TRY(qds_yaml_string(node, &name));
  const char *folder = name[0] == '/' ? "" : d->folder;
  QDS_TRY(qds_format(qds_context_allocator(d->ctx), &path, "%s%s", folder, name));
  const qds_status read = qds_npy_read(qds_context_allocator(d->ctx), path, &array);
  if (read == QDS_ERROR_INPUT || read == QDS_ERROR_FILE) QDS_YAML_FAIL(node, "%s", qds_last_error()->message);
  QDS_TRY(read);
  const qds_status status = check_array_shape(d, node, &array);
  if (status != QDS_OK) {
    qds_npy_clear(&array);
    return status;
  }
  term->array = array.values;
  return QDS_OK;
}

static qds_status read_term(qds_device *d, const qds_yaml_node *node, size_t index) {
  qds_potential_term *term = &d->term[index];
  const qds_yaml_node *formula = qds_yaml_find(node, "formula_eV"), *array = qds_yaml_find(node, "array_eV");
  d->terms++;
  if (!formula == !array)
    QDS_YAML_FAIL(
        node, "a term is either {formula_eV: \"0.5*k*x^2\", parameters: {k: 1e-3}} or {array_eV: file.npy}");
  QDS_TRY(qds_format(qds_context_allocator(d->ctx), &term->place, "%s:%d: potential[%zu]", d->input,
                     qds_yaml_line(node), index));
  return formula ? read_formula(d, node, formula, term) : read_array(d, node, array, term);
}

qds_status qds_device_read_potential(qds_device *d, const qds_yaml_node *root) {
  const qds_yaml_node *list = qds_yaml_find(root, "potential");
  if (!list || qds_yaml_node_kind(list) == QDS_YAML_NULL) return QDS_OK;
  if (qds_yaml_node_kind(list) != QDS_YAML_LIST)
    QDS_YAML_FAIL(list, "a list of terms is wanted: [{formula_eV: \"0.5*k*x^2\", parameters: {k: 1e-3}}]");
  const size_t count = qds_yaml_count(list);
  if (count > MOST_TERMS) QDS_YAML_FAIL(list, "%zu terms; at most %d are allowed", count, MOST_TERMS);
  QDS_TRY(QDS_NEW_ZERO(qds_context_allocator(d->ctx), count, "device", &d->term));
  for (size_t i = 0; i < count; i++) QDS_TRY(read_term(d, qds_yaml_item(list, i), i));
  return QDS_OK;
}

/* "x = 1 nm, y = 2 nm" */
static void describe_node(const qds_device *d, int64_t index, size_t room, char *out) {
  static const char *const names[] = {"x", "y", "z"};
  double position[3];
  out[0] = 0;
  for (int a = d->dimension - 1; a >= 0; a--) {
    const qds_axis *axis = d->axis[qds_device_axis(d, a)];
    position[a] = axis->coordinates_nm[index % axis->nodes];
    index /= axis->nodes;
  }
  for (int a = 0; a < d->dimension; a++)
    snprintf(out + strlen(out), room - strlen(out), "%s%s = %g nm", a ? ", " : "", names[a], position[a]);
}

/* The first value of a term that is no finite number: its node, or -1. */
typedef struct {
  int64_t node;
  double value;
} bad_value;

static qds_status refuse_value(const qds_device *d, const qds_potential_term *term, const bad_value *bad) {
  char where[128];
  describe_node(d, bad->node, sizeof where, where);
  QDS_FAIL(QDS_ERROR_INPUT, "%s: %s%s%s is %s at %s", term->place, term->formula ? "\"" : "the array",
           term->formula ? term->formula : "", term->formula ? "\"" : "",
           isnan(bad->value) ? "not a number" : "infinite", where);
}

/* Adds one term along the lines of one thread, or only looks at it when potential is NULL; stops at a bad
 * value. */
static qds_status add_lines(const qds_device *d, const qds_potential_term *term, qds_formula *formula,
                            int64_t first, int64_t last, double *row, double *potential, bad_value *bad) {
  const qds_axis *x = d->axis[0], *y = d->axis[1], *z = d->axis[2];
  double arguments[3];
  const int lead = d->dimension - 1;
  for (int64_t line = first; line < last && bad->node < 0; line++) {
    const double at[2] = {x->coordinates_nm[line / y->nodes], y->coordinates_nm[line % y->nodes]};
    for (int a = 0; a < lead; a++) arguments[a] = at[a + 2 - lead];
    const double *values = row;
    if (term->formula)
      QDS_TRY(qds_formula_evaluate_row(formula, arguments, lead, (size_t)z->nodes, z->coordinates_nm, row));
    else
      values = term->array + line * z->nodes;
    for (int64_t k = 0; k < z->nodes; k++) {
      if (potential) potential[line * z->nodes + k] += values[k];
      if (!isfinite(values[k]) && bad->node < 0) *bad = (bad_value){line * z->nodes + k, values[k]};
    }
  }
  return QDS_OK;
}

static qds_status add_term(const qds_device *d, const qds_potential_term *term, double *potential) {
  qds_allocator *allocator = qds_context_allocator(d->ctx);
  const int threads = qds_context_threads(d->ctx);
  const int64_t lines = d->axis[0]->nodes * d->axis[1]->nodes, nodes = d->axis[2]->nodes;
  QDS_AUTO_RELEASE double *rows = NULL;
  QDS_AUTO_RELEASE bad_value *bad = NULL;
  QDS_AUTO_RELEASE qds_status *status = NULL;
  QDS_TRY(QDS_NEW(allocator, threads * nodes, "device", &rows));
  QDS_TRY(QDS_NEW(allocator, threads, "device", &bad));
  QDS_TRY(QDS_NEW_ZERO(allocator, threads, "device", &status));
  for (int t = 0; t < threads; t++) bad[t].node = -1;
#pragma omp parallel for num_threads(threads) schedule(static, 1)
  for (int t = 0; t < threads; t++) {
    qds_formula *formula = NULL; /* a parser serves one thread */
    if (term->formula) status[t] = create_formula(d, term, &formula);
    if (status[t] == QDS_OK)
      status[t] = add_lines(d, term, formula, lines * t / threads, lines * (t + 1) / threads,
                            rows + t * nodes, potential, &bad[t]);
    qds_formula_destroy(formula);
  }
  for (int t = 0; t < threads; t++) {
    if (status[t] == QDS_ERROR_MEMORY)
      QDS_FAIL(QDS_ERROR_MEMORY, "out of memory: no room to evaluate %s", term->place);
    if (status[t] != QDS_OK) QDS_FAIL(status[t], "%s: the formula cannot be evaluated", term->place);
    if (bad[t].node >= 0) return refuse_value(d, term, &bad[t]);
  }
  return QDS_OK;
}

qds_status qds_device_add_potential(const qds_device *d, double *potential_eV) {
  for (size_t i = 0; i < d->terms; i++) QDS_TRY(add_term(d, &d->term[i], potential_eV));
  return QDS_OK;
}

qds_status qds_device_check(const qds_device *device) {
  QDS_REQUIRE(device, "qds_device_check: a NULL argument");
  return qds_device_add_potential(device, NULL);
}

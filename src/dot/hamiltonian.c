#include "dot/hamiltonian.h"

#include <float.h>
#include <math.h>
#include <string.h>

#include "base/units.h"
#include "dot/coefficient.h"
#include "dot/hard_wall.h"
#include "dot/interface.h"
#include "la/tiled_view.h"

/* Residuals relative to the energy above the lowest potential, when the file gives no tolerance. */
static const double default_tolerance = 1e-8;
static const double rounding_units = 16;

/* Sign of the carrier's energy on the electron's scale. */
static double carrier_sign(const qds_device *d) {
  return d->carrier == QDS_ELECTRON ? 1 : -1;
}

/* The kinetic coefficient hbar^2/(2 m) of each material along internal axis a. */
static void kinetic_values(const qds_device *d, int a, double *values) {
  for (int m = 0; m < d->materials; m++)
    values[m] = QDS_HBAR2_OVER_2M0 / d->material[m].mass[a - (3 - d->dimension)];
}

/* The kinetic coefficient does not vary across axis a when every material has the same, and no map or wall
 * says otherwise. */
static int is_uniform(const qds_device *d, int a) {
  const int user = a - (3 - d->dimension);
  if (user < 0) return 1;
  if (d->mass_map) return 0;
  for (int m = 0; m < d->materials; m++)
    if (d->material[m].mass[user] != d->material[0].mass[user] || d->material[m].hard_wall) return 0;
  return 1;
}

/* From a mass per node: inside an element the mean mass of its nodes along the axis, at each line
 * of nodes. */
static void map_kinetic(const qds_device *d, qds_tensor_operator *t, int a) {
  int64_t size[3] = {t->n[0], t->n[1], t->n[2]};
  const qds_axis *axis = t->axis[a];
  size[a] = axis->elements;
  for (int64_t index = 0; index < size[0] * size[1] * size[2]; index++) {
    const int64_t part[3] = {index / (size[1] * size[2]), index / size[2] % size[1], index % size[2]};
    int64_t at = 0, stride = 1;
    for (int b = 0; b < 3; b++)
      at = at * t->axis[b]->nodes + (b == a ? part[a] * axis->order : part[b] + t->axis[b]->first);
    for (int b = a + 1; b < 3; b++) stride *= t->axis[b]->nodes;
    double mass = 0;
    for (int node = 0; node <= axis->order; node++) mass += d->mass_map[at + node * stride];
    t->c[a][index] = QDS_HBAR2_OVER_2M0 * (axis->order + 1) / mass;
  }
}

static void uniform_kinetic(const qds_device *d, qds_tensor_operator *t, int a) {
  const int user = a - (3 - d->dimension);
  for (int64_t e = 0; e < t->axis[a]->elements; e++)
    t->c[a][e] = QDS_HBAR2_OVER_2M0 / d->material[0].mass[user];
}

static qds_status create_kinetic(const qds_device *d, const qds_maps *maps, qds_tensor_operator *t) {
  const int first = 3 - d->dimension;
  int varies = 0;
  for (int a = first; a < 3; a++) {
    if (d->mass_map || t->by_element[a]) QDS_TRY(qds_tensor_operator_allocate(d->ctx, t, a));
    if (d->mass_map) map_kinetic(d, t, a);
    if (!d->mass_map && t->by_element[a]) uniform_kinetic(d, t, a);
    varies |= !d->mass_map && !t->by_element[a];
  }
  if (!varies) return QDS_OK;
  QDS_AUTO_RELEASE double *storage = NULL;
  QDS_TRY(QDS_NEW_ZERO(qds_context_allocator(d->ctx), 3 * d->materials, "hamiltonian", &storage));
  const double *const values[3] = {storage, storage + d->materials, storage + 2 * d->materials};
  for (int a = first; a < 3; a++) kinetic_values(d, a, storage + a * d->materials);
  return qds_interface_coefficients(d, qds_maps_volumes(maps), values, t);
}

/* Of materials and terms, on all nodes. */
static qds_status add_terms(const qds_device *d, qds_maps *maps, qds_tensor_operator *t) {
  double *potential;
  QDS_TRY(qds_maps_band_edge(maps, &potential));
  QDS_TRY(qds_device_add_potential(d, potential));
  QDS_TRY(QDS_NEW(qds_context_allocator(d->ctx), t->rows, "operator", &t->v));
  qds_fold_nodes(d->ctx, t, -1, potential, t->v);
  if (carrier_sign(d) > 0) return QDS_OK;
#pragma omp parallel for num_threads(qds_context_threads(d->ctx)) schedule(static)
  for (int64_t i = 0; i < t->rows; i++) t->v[i] = -t->v[i];
  return QDS_OK;
}

static qds_status create_potential(const qds_device *d, qds_maps *maps, qds_tensor_operator *t) {
  if (d->terms > 0) return add_terms(d, maps, t);
  return qds_fold_runs(d->ctx, t, -1, qds_maps_volumes(maps), qds_maps_row_energies(maps), NULL);
}

static int has_walls(const qds_device *d) {
  for (int m = 0; m < d->materials; m++)
    if (d->material[m].hard_wall) return 1;
  return 0;
}

qds_status qds_hamiltonian_create(const qds_device *d, qds_maps *maps, qds_tensor_operator **out) {
  QDS_AUTO(qds_tensor_operator) *t = NULL;
  *out = NULL;
  const qds_axis *axis[3] = {d->axis[0], d->axis[1], d->axis[2]};
  const int by_element[3] = {is_uniform(d, 0), is_uniform(d, 1), is_uniform(d, 2)};
  QDS_TRY(qds_tensor_operator_create_bare(d->ctx, axis, by_element, &t));
  QDS_TRY(create_potential(d, maps, t));
  QDS_TRY(create_kinetic(d, maps, t));
  if (has_walls(d)) {
    QDS_TRY(qds_tensor_operator_fill(d->ctx, t));
    QDS_TRY(qds_hard_wall_apply(d, t));
  }
  *out = t;
  t = NULL;
  return QDS_OK;
}

/* What rounding leaves in a residual: some units in the last place of the operator's largest eigenvalue.
 * `highest`: of the potential's magnitude. */
static qds_status rounding_floor(qds_context *ctx, const qds_tensor_operator *t, double highest,
                                 double *floor) {
  double norm;
  QDS_TRY(qds_tensor_operator_norm(ctx, t, &norm));
  *floor = rounding_units * DBL_EPSILON * (norm + highest);
  return QDS_OK;
}

qds_status qds_hamiltonian_options(const qds_device *d, const qds_tensor_operator *t, int states,
                                   qds_spectrum_options *out) {
  double low, high;
  QDS_TRY(qds_tensor_operator_range(d->ctx, t, 3, &low, &high));
  *out = (qds_spectrum_options){.states = states,
                                .preconditioner = d->preconditioner,
                                .precision = d->precision,
                                .tolerance = d->tolerance_eV,
                                .relative_tolerance = d->tolerance_eV > 0 ? 0 : default_tolerance,
                                .floor = low,
                                .max_iterations = d->max_iterations};
  if (d->tolerance_eV > 0) return QDS_OK;
  return rounding_floor(d->ctx, t, fmax(fabs(low), fabs(high)), &out->tolerance);
}

size_t qds_hamiltonian_bytes(const qds_device *d, int as_lines) {
  const double unknowns = (double)qds_device_unknowns(d), nodes = (double)qds_device_nodes(d);
  const double per_surface_unknown = 60, codes_per_tile = 6 * sizeof(uint32_t);
  double numbers = as_lines && d->terms == 0 ? 0 : nodes + unknowns; /* the band edge, v */
  int varies = 0;
  for (int a = 3 - d->dimension; a < 3; a++)
    if (!is_uniform(d, a)) numbers += as_lines && !d->mass_map ? 0 : unknowns, varies = 1;
  if (varies) numbers += per_surface_unknown * pow(unknowns, 1 - 1.0 / d->dimension); /* couplings, runs */
  const double codes = as_lines ? unknowns / QDS_TILE * codes_per_tile : 0;
  return (size_t)(numbers * sizeof(double) + codes);
}

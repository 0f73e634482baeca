#include "dot/density.h"

#include <math.h>
#include <string.h>

#include "base/units.h"

/* Sums over nodes run over a fixed number of parts, so that they do not depend on the thread count. */
enum { PARTS = 64, MAX_STEPS = 200, MAX_DOUBLINGS = 60 };

double qds_free_mass(const qds_device *d, const double *probability) {
  double product = 1;
  if (d->dimension == 3) return 1;
  for (int a = d->dimension; a < 3; a++) {
    double inverse = 0, sum = 0;
    for (int m = 0; m < d->materials; m++) {
      inverse += probability[m] / d->material[m].mass[a];
      sum += probability[m];
    }
    product *= sum / inverse;
  }
  return d->dimension == 1 ? sqrt(product) : product;
}

/* |psi|^2 on all nodes from one scaled vector. */
static void square_vector(const qds_device *d, const qds_tensor_operator *t, const double *u,
                          double *square) {
  const int64_t n0 = t->axis[0]->nodes, n1 = t->axis[1]->nodes, n2 = t->axis[2]->nodes;
#pragma omp parallel for num_threads(qds_context_threads(d->ctx)) schedule(static)
  for (int64_t line = 0; line < n0 * n1; line++) {
    const int64_t i = qds_axis_unknown(t->axis[0], line / n1), j = qds_axis_unknown(t->axis[1], line % n1);
    double *to = square + line * n2;
    memset(to, 0, sizeof(double) * (size_t)n2);
    if (i < 0 || j < 0) continue;
    for (int64_t node = 0; node < n2; node++) {
      const int64_t k = qds_axis_unknown(t->axis[2], node);
      if (k < 0) continue;
      const double value = u[(i * t->n[1] + j) * t->n[2] + k];
      to[node] = value * value / (t->axis[0]->mass[i] * t->axis[1]->mass[j] * t->axis[2]->mass[k]);
    }
  }
}

/* The volume of a node. */
static double weight_of(const qds_device *d, int64_t node) {
  const int64_t n1 = d->axis[1]->nodes, n2 = d->axis[2]->nodes;
  return d->axis[0]->weights_nm[node / (n1 * n2)] * d->axis[1]->weights_nm[node / n2 % n1] *
         d->axis[2]->weights_nm[node % n2];
}

/* Whether the masses of the free axes differ between materials. */
static int masses_differ(const qds_device *d) {
  for (int m = 1; m < d->materials; m++)
    for (int a = d->dimension; a < 3; a++)
      if (d->material[m].mass[a] != d->material[0].mass[a]) return 1;
  return 0;
}

static qds_status find_masses(qds_subbands *s) {
  const qds_device *d = s->device;
  const int64_t nodes = qds_device_nodes(d);
  QDS_AUTO_RELEASE double *root = NULL, *probability = NULL;
  qds_intervals intervals[3];
  for (int a = 0; a < 3; a++) intervals[a] = (qds_intervals){d->axis[a]->nodes, d->axis[a]->dual_nm};
  QDS_TRY(QDS_NEW(qds_context_allocator(d->ctx), nodes, "density", &root));
  QDS_TRY(QDS_NEW_ZERO(qds_context_allocator(d->ctx), d->materials, "density", &probability));
  probability[0] = 1;
  for (int state = 0; state < s->states; state++) {
    const double *vector = root;
    if (masses_differ(d)) {
      for (int64_t i = 0; i < nodes; i++) root[i] = sqrt(s->square[state * nodes + i] * weight_of(d, i));
      QDS_TRY(qds_volume_fractions(d->ctx, &d->medium, d->dimension, intervals, 1, &vector, probability));
    }
    s->mass[state] = qds_free_mass(d, probability);
  }
  return QDS_OK;
}

qds_status qds_subbands_create(const qds_device *d, const qds_tensor_operator *t, const qds_block *x,
                               const double *energies_eV, qds_subbands **out) {
  qds_allocator *allocator = qds_context_allocator(d->ctx);
  const int64_t nodes = qds_device_nodes(d);
  QDS_AUTO(qds_subbands) *s = NULL;
  *out = NULL;
  QDS_TRY(QDS_NEW_ZERO(allocator, 1, "density", &s));
  s->device = d;
  s->states = x->columns;
  s->kT_eV = QDS_BOLTZMANN * d->temperature_K;
  if (d->dimension == 2) QDS_TRY(qds_fermi_table_create(allocator, &s->table));
  QDS_TRY(QDS_NEW(allocator, s->states, "density", &s->energies_eV));
  QDS_TRY(QDS_NEW(allocator, s->states, "density", &s->mass));
  QDS_TRY(QDS_NEW(allocator, s->states * nodes, "density", &s->square));
  memcpy(s->energies_eV, energies_eV, sizeof(double) * (size_t)s->states);
  for (int i = 0; i < s->states; i++) square_vector(d, t, qds_block_column(x, i), s->square + i * nodes);
  QDS_TRY(find_masses(s));
  *out = s;
  s = NULL;
  return QDS_OK;
}

void qds_subbands_destroy(qds_subbands *s) {
  if (!s) return;
  qds_fermi_table_destroy(s->table);
  qds_release(s->energies_eV);
  qds_release(s->mass);
  qds_release(s->square);
  qds_release(s);
}

double qds_state_electrons(const qds_subbands *s, int state, double fermi_level_eV) {
  return qds_occupy(s->table, s->device->dimension, fermi_level_eV - s->energies_eV[state], s->mass[state],
                    s->kT_eV)
      .number;
}

/* Density and slope at one node, for a potential that has risen by shift_V. */
static qds_occupation density_at(const qds_subbands *s, int64_t nodes, int64_t node, double energy_eV) {
  qds_occupation sum = {0, 0};
  for (int i = 0; i < s->states; i++) {
    const double square = s->square[i * nodes + node];
    if (square == 0) continue;
    const qds_occupation o =
        qds_occupy(s->table, s->device->dimension, energy_eV - s->energies_eV[i], s->mass[i], s->kT_eV);
    sum.number += square * o.number;
    sum.slope += square * o.slope;
  }
  return sum;
}

/* Without a shift each state's occupation is one number. */
static qds_occupation unshifted_total(const qds_subbands *s, double fermi_level_eV) {
  qds_occupation sum = {0, 0};
  for (int i = 0; i < s->states; i++) {
    const qds_occupation o =
        qds_occupy(s->table, s->device->dimension, fermi_level_eV - s->energies_eV[i], s->mass[i], s->kT_eV);
    sum.number += o.number;
    sum.slope += o.slope;
  }
  return sum;
}

qds_occupation qds_predict_density(const qds_subbands *s, const double *shift_V, double fermi_level_eV,
                                   double *density, double *slope) {
  const int64_t nodes = qds_device_nodes(s->device);
  qds_occupation part[PARTS], sum = {0, 0};
  if (!shift_V && !density && !slope) return unshifted_total(s, fermi_level_eV);
#pragma omp parallel for num_threads(qds_context_threads(s->device->ctx)) schedule(static)
  for (int p = 0; p < PARTS; p++) {
    part[p] = (qds_occupation){0, 0};
    for (int64_t node = nodes * p / PARTS; node < nodes * (p + 1) / PARTS; node++) {
      const double weight = weight_of(s->device, node);
      const qds_occupation here = density_at(s, nodes, node, fermi_level_eV + (shift_V ? shift_V[node] : 0));
      if (density) density[node] = here.number;
      if (slope) slope[node] = here.slope;
      part[p].number += weight * here.number;
      part[p].slope += weight * here.slope;
    }
  }
  for (int p = 0; p < PARTS; p++) {
    sum.number += part[p].number;
    sum.slope += part[p].slope;
  }
  return sum;
}

/* Two levels between which the wanted one lies, by doubling steps from the guess. */
static qds_status bracket(const qds_subbands *s, const double *shift_V, double total, double guess,
                          double *low, double *high) {
  double step = s->kT_eV;
  *low = *high = guess;
  for (int i = 0; i < MAX_DOUBLINGS; i++, step *= 2) {
    const double number = qds_predict_density(s, shift_V, guess, NULL, NULL).number;
    if (!isfinite(number)) break;
    if (number < total) *low = guess;
    if (number >= total) *high = guess;
    if (*low < *high) return QDS_OK;
    guess += number < total ? step : -step;
  }
  QDS_FAIL(QDS_ERROR_NUMERIC, "no Fermi level gives %g electrons in %d states", total, s->states);
}

qds_status qds_find_fermi_level(const qds_subbands *s, const double *shift_V, double total,
                                double *fermi_level_eV) {
  double low, high, level = *fermi_level_eV;
  QDS_TRY(bracket(s, shift_V, total, level, &low, &high));
  if (level < low || level > high) level = 0.5 * (low + high);
  for (int i = 0; i < MAX_STEPS; i++) {
    const qds_occupation now = qds_predict_density(s, shift_V, level, NULL, NULL);
    const double error = now.number - total;
    if (fabs(error) <= 4e-16 * total) break;
    if (error < 0)
      low = level;
    else
      high = level;
    double next = level - error / now.slope;
    if (!(next > low && next < high)) next = 0.5 * (low + high);
    if (fabs(next - level) <= 2e-16 * fmax(fabs(level), s->kT_eV) || next <= low || next >= high) break;
    level = next;
  }
  *fermi_level_eV = level;
  return QDS_OK;
}

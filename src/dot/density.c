#include "dot/density.h"

#include <math.h>
#include <string.h>

#include "base/units.h"
#include "dot/density_kernels.h"

/* Sums over nodes run over a fixed number of groups, so that they do not depend on the thread count. */
enum { HOST_GROUPS = 64, DEVICE_GROUPS = 1056, MAX_STEPS = 200, MAX_DOUBLINGS = 60 };

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

/* |psi|^2 on all nodes, column by column; vectors of another place go through one column here. */
static qds_status square_vectors(qds_subbands *s, const qds_block *x) {
  __attribute__((cleanup(qds_block_clear))) qds_block here = {0};
  const int moves = x->stream != s->square.stream;
  if (moves) QDS_TRY(qds_block_create_on(s->device->ctx, s->square.stream, x->rows, 1, "density", &here));
  for (int i = 0; i < s->states; i++) {
    const qds_block column = qds_block_part(x, i, 1);
    if (moves) QDS_TRY(qds_block_copy(&column, &here));
    QDS_TRY(qds_grid_unfold(s->grid, 1, moves ? here.data : column.data, qds_block_column(&s->square, i)));
  }
  return QDS_OK;
}

/* The square root of the volume of each node times its numbers'. */
static void weigh(const qds_device *d, double *numbers) {
  const int64_t n1 = d->axis[1]->nodes, n2 = d->axis[2]->nodes;
  for (int64_t node = 0; node < qds_device_nodes(d); node++)
    numbers[node] = sqrt(numbers[node] * d->axis[0]->weights_nm[node / (n1 * n2)] *
                         d->axis[1]->weights_nm[node / n2 % n1] * d->axis[2]->weights_nm[node % n2]);
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
  const int differ = masses_differ(d);
  __attribute__((cleanup(qds_block_clear))) qds_block root = {0};
  QDS_AUTO_RELEASE double *probability = NULL;
  qds_intervals intervals[3];
  for (int a = 0; a < 3; a++) intervals[a] = (qds_intervals){d->axis[a]->nodes, d->axis[a]->dual_nm};
  if (differ) QDS_TRY(qds_block_create(d->ctx, qds_device_nodes(d), 1, "density", &root));
  QDS_TRY(QDS_NEW_ZERO(qds_context_allocator(d->ctx), d->materials, "density", &probability));
  probability[0] = 1;
  for (int state = 0; state < s->states; state++) {
    if (differ) {
      const qds_block square = qds_block_part(&s->square, state, 1);
      const double *vector = root.data;
      QDS_TRY(qds_block_copy(&square, &root));
      weigh(d, root.data);
      QDS_TRY(qds_volume_fractions(d->ctx, &d->medium, d->dimension, intervals, 1, &vector, probability));
    }
    s->mass[state] = qds_free_mass(d, probability);
  }
  return QDS_OK;
}

/* What the kernels need of the states, to their place. */
static qds_status send_numbers(qds_subbands *s) {
  qds_stream *stream = s->grid->stream;
  const size_t states = (size_t)s->states, bytes = sizeof(double) * states;
  s->groups = qds_stream_on_host(stream) ? HOST_GROUPS : DEVICE_GROUPS;
  QDS_TRY(QDS_STREAM_NEW(stream, 2 * states + 2 * ((size_t)s->groups + 1), "density", &s->numbers));
  s->sums = s->numbers + 2 * states;
  QDS_TRY(qds_stream_copy(stream, s->numbers, s->energies_eV, bytes));
  QDS_TRY(qds_stream_copy(stream, s->numbers + states, s->mass, bytes));
  if (!s->table) return QDS_OK;
  QDS_TRY(QDS_STREAM_NEW(stream, 1, "density", &s->table_there));
  return qds_stream_copy(stream, s->table_there, s->table, sizeof *s->table);
}

qds_status qds_subbands_create(const qds_device *d, const qds_grid *grid, qds_stream *stream,
                               const qds_block *x, const double *energies_eV, qds_subbands **out) {
  qds_allocator *allocator = qds_context_allocator(d->ctx);
  QDS_AUTO(qds_subbands) *s = NULL;
  *out = NULL;
  QDS_TRY(QDS_NEW_ZERO(allocator, 1, "density", &s));
  s->device = d;
  s->grid = grid;
  s->states = x->columns;
  s->kT_eV = QDS_BOLTZMANN * d->temperature_K;
  if (d->dimension == 2) QDS_TRY(qds_fermi_table_create(allocator, &s->table));
  QDS_TRY(QDS_NEW(allocator, s->states, "density", &s->energies_eV));
  QDS_TRY(QDS_NEW(allocator, s->states, "density", &s->mass));
  QDS_TRY(qds_block_create_on(d->ctx, stream, qds_device_nodes(d), s->states, "density", &s->square));
  memcpy(s->energies_eV, energies_eV, sizeof(double) * (size_t)s->states);
  QDS_TRY(square_vectors(s, x));
  QDS_TRY(find_masses(s));
  QDS_TRY(send_numbers(s));
  *out = s;
  s = NULL;
  return QDS_OK;
}

void qds_subbands_destroy(qds_subbands *s) {
  if (!s) return;
  qds_fermi_table_destroy(s->table);
  qds_release(s->energies_eV);
  qds_release(s->mass);
  qds_block_clear(&s->square);
  qds_stream_release(s->grid->stream, s->numbers);
  qds_stream_release(s->grid->stream, s->table_there);
  qds_release(s);
}

double qds_most_in_state(int dimension) {
  return dimension == 3 ? 2 : INFINITY;
}

double qds_state_electrons(const qds_subbands *s, int state, double fermi_level_eV) {
  return qds_occupy(s->table, s->device->dimension, fermi_level_eV - s->energies_eV[state], s->mass[state],
                    s->kT_eV)
      .number;
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

qds_status qds_predict_density(const qds_subbands *s, const qds_block *shift_V, double fermi_level_eV,
                               qds_block *density, qds_block *slope, qds_occupation *total) {
  double sums[2];
  if (!shift_V && !density && !slope) {
    *total = unshifted_total(s, fermi_level_eV);
    return QDS_OK;
  }
  const qds_predict_density_arguments k = {.grid = s->grid->view,
                                           .nodes = qds_grid_nodes(s->grid),
                                           .states = s->states,
                                           .dimension = s->device->dimension,
                                           .square = s->square.data,
                                           .stride = s->square.stride,
                                           .energy_eV = s->numbers,
                                           .mass = s->numbers + s->states,
                                           .table = s->table_there,
                                           .kT_eV = s->kT_eV,
                                           .fermi_level_eV = fermi_level_eV,
                                           .shift_V = shift_V ? shift_V->data : NULL,
                                           .density = density ? density->data : NULL,
                                           .slope = slope ? slope->data : NULL,
                                           .groups = s->groups,
                                           .partial = s->sums + 2,
                                           .sums = s->sums};
  QDS_TRY(qds_stream_launch(s->grid->stream, &qds_predict_density_kernel, &k));
  QDS_TRY(qds_stream_fetch(s->grid->stream, sums, s->sums, sizeof sums));
  *total = (qds_occupation){sums[0], sums[1]};
  return QDS_OK;
}

/* Two levels between which the wanted one lies, by doubling steps from the guess. */
static qds_status bracket(const qds_subbands *s, const qds_block *shift_V, double total, double guess,
                          double *low, double *high) {
  double step = s->kT_eV;
  *low = *high = guess;
  for (int i = 0; i < MAX_DOUBLINGS; i++, step *= 2) {
    qds_occupation found;
    QDS_TRY(qds_predict_density(s, shift_V, guess, NULL, NULL, &found));
    if (!isfinite(found.number)) break;
    if (found.number < total) *low = guess;
    if (found.number >= total) *high = guess;
    if (*low < *high) return QDS_OK;
    guess += found.number < total ? step : -step;
  }
  QDS_FAIL(QDS_ERROR_NUMERIC, "no Fermi level gives %g electrons in %d states", total, s->states);
}

qds_status qds_find_fermi_level(const qds_subbands *s, const qds_block *shift_V, double total,
                                double *fermi_level_eV) {
  double low, high, level = *fermi_level_eV;
  QDS_TRY(bracket(s, shift_V, total, level, &low, &high));
  if (level < low || level > high) level = 0.5 * (low + high);
  for (int i = 0; i < MAX_STEPS; i++) {
    qds_occupation now;
    QDS_TRY(qds_predict_density(s, shift_V, level, NULL, NULL, &now));
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

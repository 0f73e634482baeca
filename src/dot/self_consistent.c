#include "dot/self_consistent.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/text.h"
#include "base/units.h"
#include "dot/density.h"
#include "dot/hamiltonian.h"
#include "dot/poisson.h"
#include "la/anderson.h"
#include "la/spectrum.h"

enum { MAX_NEWTON_STEPS = 60, MAX_HALVINGS = 40, HISTORY_IN_MESSAGE = 8 };
/* The highest state computed must hold less than this part of the electrons. */
static const double most_in_highest = 1e-9;
/* Newton's method ends at this part of the change since the states were found, which is to fall anyway. */
static const double newton_part = 1e-3;
static const double linear_tolerance = 1e-6;

/* Blocks of one column on the nodes lie where potential and density are found, on the CPU or on a device. */
typedef struct {
  const qds_device *d;
  qds_context *ctx;
  qds_tensor_operator *t;
  qds_stream host, *stream; /* of the device; NULL: the CPU */
  qds_grid grid;            /* of the operator's unknowns */
  qds_poisson *poisson;
  qds_subbands *subbands;
  qds_block vectors; /* the states in hand, with which the next search begins */
  int states;
  int64_t nodes;
  qds_block own; /* unknowns: the operator's diagonal without the potential */
  qds_block doping, potential, found, trial, shift, density, slope, charge, step;
  double total; /* electrons wanted, unless the Fermi level is given */
  double dopants, fermi_level_eV, electrons, size_V;
  double start_s, states_s, poisson_s, density_s;
} loop;

static void loop_clear(loop *l) {
  qds_block *const blocks[] = {&l->own,     &l->doping, &l->potential, &l->found, &l->trial,  &l->shift,
                               &l->density, &l->slope,  &l->charge,    &l->step,  &l->vectors};
  for (size_t i = 0; i < sizeof blocks / sizeof *blocks; i++) qds_block_clear(blocks[i]);
  qds_poisson_destroy(l->poisson);
  qds_subbands_destroy(l->subbands);
  qds_grid_clear(&l->grid);
}

/* A block that borrows an array of the host. */
static qds_block on_host(double *array, int64_t rows) {
  return (qds_block){array, rows, rows, 1, NULL};
}

/* Sum over the nodes with their volumes: per nm^2 in 1D, per nm in 2D. */
static double integral(const qds_device *d, const double *values) {
  const int64_t n1 = d->axis[1]->nodes, n2 = d->axis[2]->nodes;
  double sum = 0;
  for (int64_t i = 0; i < qds_device_nodes(d); i++)
    sum += d->axis[0]->weights_nm[i / (n1 * n2)] * d->axis[1]->weights_nm[i / n2 % n1] *
           d->axis[2]->weights_nm[i % n2] * values[i];
  return sum;
}

static qds_status set_doping(loop *l) {
  __attribute__((cleanup(qds_block_clear))) qds_block doping = {0};
  QDS_TRY(qds_block_create(l->ctx, l->nodes, 1, "self-consistency", &doping));
  QDS_TRY(qds_device_doping(l->d, doping.data));
  l->dopants = integral(l->d, doping.data);
  return qds_block_copy(&doping, &l->doping);
}

static qds_status create_blocks(loop *l) {
  const int iterates = l->d->electrostatics.self_consistent;
  qds_block *const blocks[] = {&l->potential, &l->doping, &l->charge,  &l->found, &l->trial,
                               &l->shift,     &l->slope,  &l->density, &l->step};
  const int needed = iterates ? (int)(sizeof blocks / sizeof *blocks) : 2;
  for (int i = 0; i < needed; i++) {
    QDS_TRY(qds_block_create_on(l->ctx, l->stream, l->nodes, 1, "self-consistency", blocks[i]));
    QDS_TRY(qds_stream_fill(l->grid.stream, blocks[i]->data, 0, sizeof(double) * (size_t)l->nodes));
  }
  const qds_block own = on_host(l->t->v, l->t->rows);
  QDS_TRY(qds_block_create_on(l->ctx, l->stream, l->t->rows, 1, "self-consistency", &l->own));
  return qds_block_copy(&own, &l->own);
}

static qds_status loop_create(const qds_device *d, qds_tensor_operator *t, qds_stream *stream, loop *l) {
  qds_allocator *allocator = qds_context_allocator(d->ctx);
  QDS_AUTO_RELEASE double *permittivity = NULL;
  *l = (loop){.d = d,
              .ctx = d->ctx,
              .t = t,
              .stream = stream,
              .states = d->states,
              .nodes = qds_device_nodes(d),
              .start_s = qds_seconds()};
  QDS_TRY(qds_stream_open(NULL, allocator, qds_context_threads(d->ctx), &l->host));
  QDS_TRY(qds_grid_create(d->ctx, stream ? stream : &l->host, t->axis, &l->grid));
  QDS_TRY(create_blocks(l));
  QDS_TRY(set_doping(l));
  QDS_TRY(QDS_NEW(allocator, d->materials, "self-consistency", &permittivity));
  for (int m = 0; m < d->materials; m++) permittivity[m] = d->material[m].permittivity;
  return qds_poisson_create(d, permittivity, &d->electrostatics.contacts, stream, &l->poisson);
}

/* Puts the energy of an electron, -phi, on the operator's diagonal; a hole's is the negative. */
static qds_status set_potential(loop *l) {
  const qds_folding how = {.factor = l->d->carrier == QDS_ELECTRON ? -1 : 1, .add = l->own.data};
  if (!l->stream) return qds_grid_fold(&l->grid, how, l->potential.data, l->t->v);
  __attribute__((cleanup(qds_block_clear))) qds_block diagonal = {0};
  qds_block home = on_host(l->t->v, l->t->rows);
  QDS_TRY(qds_block_create_on(l->ctx, l->stream, l->t->rows, 1, "self-consistency", &diagonal));
  QDS_TRY(qds_grid_fold(&l->grid, how, l->potential.data, diagonal.data));
  return qds_block_copy(&diagonal, &home);
}

/* to = a + part b. */
static qds_status add(loop *l, const qds_block *a, double part, const qds_block *b, const qds_block *to) {
  const qds_block *const from[QDS_COMBINE_FROM] = {a, b}, *const into[QDS_COMBINE_TO] = {to};
  return qds_blocks_combine(l->ctx, from, (const double[]){1, part}, into);
}

static qds_status largest(const loop *l, const qds_block *block, double *most) {
  return qds_grid_largest(&l->grid, block, most);
}

static qds_status set_total(loop *l) {
  const qds_electrostatics *e = &l->d->electrostatics;
  l->fermi_level_eV = e->fermi_level_eV;
  if (e->electrons == QDS_ELECTRONS_TOTAL) l->total = e->total;
  if (e->electrons != QDS_ELECTRONS_NEUTRAL) return QDS_OK;
  l->total = l->dopants;
  if (!(l->total > 0))
    QDS_FAIL(
        QDS_ERROR_INPUT,
        "%s: self_consistent: electrons: neutral needs more donors than acceptors, but the dopants' charge "
        "adds up to %.3g e; give donors, or another number of electrons",
        l->d->input, l->total);
  return QDS_OK;
}

/* States in the potential in hand. An error of the states enters the density: their tolerance follows what is
 * asked of the potential, as far as the solver's arithmetic allows. */
static qds_status solve_states(loop *l) {
  __attribute__((cleanup(qds_block_clear))) qds_block x = {0};
  QDS_AUTO_RELEASE double *energies = NULL, *residuals = NULL;
  qds_spectrum_statistics statistics;
  qds_allocator *allocator = qds_context_allocator(l->ctx);
  qds_spectrum_options options;
  QDS_TRY(qds_hamiltonian_options(l->d, l->t, l->states, &options));
  const double wanted = 0.1 * l->d->electrostatics.tolerance_V / fmax(l->size_V, 1e-3);
  if (!(l->d->tolerance_eV > 0))
    options.relative_tolerance = fmin(fmax(wanted, 1e-10), options.relative_tolerance);
  QDS_TRY(QDS_NEW(allocator, l->states, "self-consistency", &energies));
  QDS_TRY(QDS_NEW(allocator, l->states, "self-consistency", &residuals));
  qds_subbands_destroy(l->subbands);
  l->subbands = NULL;
  options.leave_states = l->stream != NULL;
  if (l->vectors.columns >= l->states) options.start = &l->vectors;
  const double start = qds_seconds();
  QDS_TRY(qds_spectrum(l->ctx, l->t, &options, &x, energies, residuals, &statistics));
  l->states_s += qds_seconds() - start;
  qds_block_clear(&l->vectors);
  l->vectors = x;
  x = (qds_block){0};
  return qds_subbands_create(l->d, &l->grid, l->stream, &l->vectors, energies, &l->subbands);
}

/* The largest number of states worth computing on a grid. */
static int64_t most_states(const qds_tensor_operator *t) {
  const int64_t few = 400, part = t->rows / 6;
  return t->rows <= few ? t->rows : part > few ? part : few;
}

static int more_states(int64_t states, int64_t most) {
  const int64_t more = states + states / 2 + 2;
  return (int)(more < most ? more : most);
}

/* Without a number of states that can hold the electrons there is no Fermi level. */
static qds_status make_room(loop *l, int64_t most) {
  const double full = floor(l->total / qds_most_in_state(l->d->dimension));
  if (l->states > full) return QDS_OK;
  if (full >= (double)most)
    QDS_FAIL(QDS_ERROR_INPUT,
             "%s: self_consistent: electrons: %g electrons need at least %.6g states, but only %lld "
             "can be computed on this grid; use more nodes, or fewer electrons",
             l->d->input, l->total, full + 1, (long long)most);
  l->states = more_states((int64_t)full, most);
  return QDS_OK;
}

/* As many states as the electrons need. */
static qds_status find_states(loop *l) {
  const int64_t most = most_states(l->t);
  QDS_TRY(make_room(l, most));
  for (;;) {
    QDS_TRY(solve_states(l));
    if (l->total > 0) QDS_TRY(qds_find_fermi_level(l->subbands, NULL, l->total, &l->fermi_level_eV));
    qds_occupation held;
    QDS_TRY(qds_predict_density(l->subbands, NULL, l->fermi_level_eV, NULL, NULL, &held));
    const double all = held.number,
                 highest = qds_state_electrons(l->subbands, l->states - 1, l->fermi_level_eV);
    if (highest <= most_in_highest * all || all < 1e-300) return QDS_OK;
    if (l->states >= most)
      QDS_FAIL(QDS_ERROR_INPUT,
               "%s: the highest of %d states still holds %.1e of the electrons: the grid has too few states "
               "for them; use more nodes, or a lower temperature",
               l->d->input, l->states, highest / all);
    l->states = more_states(l->states, most);
    qds_log(l->ctx, QDS_LOG_DEBUG,
            "self-consistency: the highest state holds %.1e of the electrons; %d states now", highest / all,
            l->states);
  }
}

/* Density, its slope and the charge that the states in hand predict in a potential. */
static qds_status find_charge(loop *l, const qds_block *potential) {
  const double start = qds_seconds();
  qds_occupation held;
  QDS_TRY(add(l, potential, -1, &l->found, &l->shift));
  if (l->total > 0) QDS_TRY(qds_find_fermi_level(l->subbands, &l->shift, l->total, &l->fermi_level_eV));
  QDS_TRY(qds_predict_density(l->subbands, &l->shift, l->fermi_level_eV, &l->density, &l->slope, &held));
  l->electrons = held.number;
  l->density_s += qds_seconds() - start;
  return add(l, &l->doping, -1, &l->density, &l->charge);
}

/* How the descent goes on where a part of the step leads to. */
static qds_status descent_at_trial(loop *l, double *there) {
  const double start = qds_seconds();
  QDS_TRY(qds_poisson_descent(l->poisson, &l->charge, &l->trial, &l->step, there));
  l->poisson_s += qds_seconds() - start;
  return QDS_OK;
}

/* Goes along a step of Newton's method, as far as leaves the energy functional, which is convex, falling or
 * little beyond its minimum on the line; a step within kT is safe. *change: the largest change of the
 * potential. */
static qds_status take_step(loop *l, double descent, double *change) {
  const double safe = QDS_BOLTZMANN * l->d->temperature_K;
  double part = 1, size;
  QDS_TRY(largest(l, &l->step, &size));
  for (int halving = 0; halving < MAX_HALVINGS; halving++, part /= 2) {
    double there = 0;
    QDS_TRY(add(l, &l->potential, part, &l->step, &l->trial));
    QDS_TRY(find_charge(l, &l->trial));
    if (part * size > safe) QDS_TRY(descent_at_trial(l, &there));
    if (there < -0.5 * descent) continue;
    const qds_block passed = l->potential;
    l->potential = l->trial;
    l->trial = passed;
    *change = part * size;
    return QDS_OK;
  }
  QDS_FAIL(QDS_ERROR_CONVERGENCE, "self-consistency: no step improves the potential; is the charge finite?");
}

static qds_status find_step(loop *l, double *descent) {
  const qds_poisson_charge charge = {&l->charge, &l->slope, l->total > 0, linear_tolerance};
  const double start = qds_seconds();
  QDS_TRY(qds_poisson_correct(l->poisson, &charge, &l->potential, &l->step, descent, NULL));
  l->poisson_s += qds_seconds() - start;
  return QDS_OK;
}

/* The potential that agrees with the density predicted from the states in hand. */
static qds_status correct_potential(loop *l) {
  double change = INFINITY, descent, since;
  QDS_TRY(find_charge(l, &l->potential));
  for (int step = 0; step < MAX_NEWTON_STEPS; step++) {
    QDS_TRY(find_step(l, &descent));
    QDS_TRY(take_step(l, descent, &change));
    QDS_TRY(largest(l, &l->shift, &since));
    if (change <= fmax(0.1 * l->d->electrostatics.tolerance_V, newton_part * since)) return QDS_OK;
  }
  QDS_FAIL(QDS_ERROR_CONVERGENCE,
           "self-consistency: Newton's method for Poisson's equation still changes the potential by %.1e V "
           "after %d steps",
           change, MAX_NEWTON_STEPS);
}

static qds_status refuse_history(const loop *l, const qds_result_electrostatics *e) {
  QDS_AUTO_RELEASE char *list = NULL;
  qds_text text = {.allocator = qds_context_allocator(l->ctx)};
  const int first = e->iterations > HISTORY_IN_MESSAGE ? e->iterations - HISTORY_IN_MESSAGE : 0;
  for (int i = first; i < e->iterations; i++) {
    char number[32];
    snprintf(number, sizeof number, "%s%.1e", i > first ? ", " : "", e->history_V[i]);
    qds_text_add(&text, number);
  }
  list = text.bytes;
  QDS_TRY(text.status);
  QDS_FAIL(
      QDS_ERROR_CONVERGENCE,
      "self-consistency: after %d iterations the potential still changes by %.1e V, tolerance_V is %.1e; "
      "the last changes: %s V; allow more max_iterations, a larger tolerance_V, or set a higher "
      "temperature",
      e->iterations, e->history_V[e->iterations - 1], l->d->electrostatics.tolerance_V, list);
}

static qds_status report(const loop *l, const qds_result_electrostatics *e) {
  const double change = e->history_V[e->iterations - 1], first = e->history_V[0],
               tolerance = l->d->electrostatics.tolerance_V;
  const double way = log(fmax(first / tolerance, 1.1));
  return qds_progress(l->ctx, "self-consistency", fmin(fmax(log(first / fmax(change, 1e-300)) / way, 0), 1),
                      "iteration %d, potential changes by %.1e V", e->iterations, change);
}

/* The iteration is accelerated: the predictor overrates how levels that lie apart screen, which would make
 * its steps too short. A change that grows again starts the acceleration anew. */
static qds_status iterate(loop *l, qds_result_electrostatics *e) {
  const qds_electrostatics *wanted = &l->d->electrostatics;
  QDS_AUTO(qds_anderson) *anderson = NULL;
  double before = INFINITY;
  QDS_TRY(qds_anderson_create(l->ctx, l->stream, l->nodes, QDS_SELF_CONSISTENT_DEPTH, &anderson));
  QDS_TRY(QDS_NEW_ZERO(qds_context_allocator(l->ctx), wanted->max_iterations, "result", &e->history_V));
  while (e->iterations < wanted->max_iterations) {
    double change;
    QDS_TRY(qds_block_copy(&l->potential, &l->found));
    QDS_TRY(set_potential(l));
    QDS_TRY(find_states(l));
    QDS_TRY(correct_potential(l));
    QDS_TRY(largest(l, &l->potential, &l->size_V));
    QDS_TRY(largest(l, &l->shift, &change));
    e->history_V[e->iterations++] = change;
    qds_log(l->ctx, QDS_LOG_DEBUG, "self-consistency: iteration %d, change %.3e V, Fermi level %.12g eV",
            e->iterations, change, l->fermi_level_eV);
    QDS_TRY(report(l, e));
    if (change < wanted->tolerance_V) return QDS_OK;
    if (change > 2 * before) qds_anderson_reset(anderson);
    before = change;
    QDS_TRY(qds_anderson_next(anderson, &l->found, &l->potential));
  }
  return refuse_history(l, e);
}

/* An array of the result from a block. */
static qds_status bring_home(loop *l, const qds_block *from, double **out) {
  QDS_TRY(QDS_NEW(qds_context_allocator(l->ctx), l->nodes, "result", out));
  qds_block home = on_host(*out, l->nodes);
  return qds_block_copy(from, &home);
}

/* Takes potential, density and balance over into the result. */
static qds_status keep(loop *l, qds_result *r) {
  qds_result_electrostatics *e = &r->electrostatics;
  double *band_edge_eV;
  QDS_AUTO_RELEASE double *charge = NULL;
  e->contacts = l->d->electrostatics.contacts;
  e->dopants = l->dopants;
  e->electrons = l->electrons;
  e->density_states = l->subbands ? l->states : 0;
  e->fermi_level_eV = l->subbands ? l->fermi_level_eV : NAN;
  e->states_s = l->states_s;
  e->poisson_s = l->poisson_s;
  e->density_s = l->density_s;
  e->other_s = qds_seconds() - l->start_s - l->states_s - l->poisson_s - l->density_s;
  QDS_TRY(bring_home(l, l->subbands ? &l->charge : &l->doping, &charge));
  QDS_TRY(bring_home(l, &l->potential, &e->potential_V));
  for (int face = 0; face < 6; face++)
    if (e->contacts.is_contact[face / 2][face % 2])
      e->contact_charge[face / 2][face % 2] =
          qds_poisson_contact_charge(l->poisson, charge, e->potential_V, face / 2, face % 2);
  QDS_TRY(qds_maps_band_edge(r->maps, &band_edge_eV));
  for (int64_t i = 0; i < l->nodes; i++) band_edge_eV[i] -= e->potential_V[i];
  if (!l->subbands) return QDS_OK;
  QDS_TRY(bring_home(l, &l->density, &e->electron_density_cm3));
  for (int64_t i = 0; i < l->nodes; i++) e->electron_density_cm3[i] *= QDS_PER_CM3;
  return QDS_OK;
}

/* The potential of a charge that does not change, to where the loop has it: the dopants', or with
 * self-consistency the contacts' alone. */
static qds_status solve_fixed(loop *l) {
  QDS_AUTO_RELEASE double *charge = NULL, *potential = NULL;
  qds_allocator *allocator = qds_context_allocator(l->ctx);
  const double start = qds_seconds();
  QDS_TRY(QDS_NEW_ZERO(allocator, l->nodes, "self-consistency", &charge));
  QDS_TRY(QDS_NEW(allocator, l->nodes, "self-consistency", &potential));
  if (!l->d->electrostatics.self_consistent) {
    qds_block home = on_host(charge, l->nodes);
    QDS_TRY(qds_block_copy(&l->doping, &home));
  }
  QDS_TRY(qds_poisson_solve(l->poisson, charge, potential, NULL));
  const qds_block found = on_host(potential, l->nodes);
  QDS_TRY(qds_block_copy(&found, &l->potential));
  l->poisson_s += qds_seconds() - start;
  return QDS_OK;
}

/* Where potential and density are found, decided before the work begins; the stream of that device, or NULL
 * for the CPU. */
static qds_status choose_place(const qds_device *d, qds_result_electrostatics *e, qds_stream **stream) {
  char obstacle[256];
  *stream = NULL;
  snprintf(e->device, sizeof e->device, "%s", qds_context_device(d->ctx));
  snprintf(e->device_reason, sizeof e->device_reason, "%s", qds_context_device_reason(d->ctx));
  if (!qds_context_accelerator(d->ctx)) return QDS_OK;
  QDS_TRY(qds_electrostatics_obstacle(d, obstacle, sizeof obstacle));
  if (!*obstacle) {
    *stream = qds_context_stream(d->ctx);
    return QDS_OK;
  }
  qds_context_fall_back(d->ctx, obstacle);
  snprintf(e->device_reason, sizeof e->device_reason, "%s: %s", e->device, obstacle);
  snprintf(e->device, sizeof e->device, "cpu");
  return QDS_OK;
}

qds_status qds_electrostatics_solve(const qds_device *d, qds_tensor_operator *t, qds_result *r) {
  loop l __attribute__((cleanup(loop_clear))) = {0};
  qds_stream *stream;
  QDS_TRY(choose_place(d, &r->electrostatics, &stream));
  QDS_TRY(loop_create(d, t, stream, &l));
  QDS_TRY(qds_progress(d->ctx, "poisson", 0, "%lld nodes", (long long)l.nodes));
  if (d->electrostatics.self_consistent) QDS_TRY(set_total(&l));
  QDS_TRY(solve_fixed(&l));
  if (d->electrostatics.self_consistent) QDS_TRY(iterate(&l, &r->electrostatics));
  QDS_TRY(set_potential(&l));
  return keep(&l, r);
}

qds_status qds_electrostatics_occupy(const qds_device *d, qds_result *r) {
  qds_result_electrostatics *e = &r->electrostatics;
  QDS_AUTO(qds_fermi_table) *table = NULL;
  QDS_TRY(qds_fermi_table_create(qds_context_allocator(d->ctx), &table));
  QDS_TRY(QDS_NEW(qds_context_allocator(d->ctx), r->states, "result", &e->occupation));
  for (int s = 0; s < r->states; s++)
    e->occupation[s] =
        qds_occupy(table, d->dimension, e->fermi_level_eV - r->energies_eV[s],
                   qds_free_mass(d, r->probability + s * r->materials), QDS_BOLTZMANN * d->temperature_K)
            .number *
        qds_per_cm(d->dimension);
  return QDS_OK;
}

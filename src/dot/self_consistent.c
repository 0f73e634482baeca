#include "dot/self_consistent.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/text.h"
#include "base/units.h"
#include "dot/coefficient.h"
#include "dot/density.h"
#include "dot/hamiltonian.h"
#include "dot/poisson.h"
#include "la/anderson.h"
#include "la/spectrum.h"

enum { MAX_NEWTON_STEPS = 60, MAX_HALVINGS = 40, DEPTH = 6, HISTORY_IN_MESSAGE = 8 };
/* The highest state computed must hold less than this part of the electrons. */
static const double most_in_highest = 1e-9;
/* Newton's method ends at this part of the change since the states were found, which is to fall anyway. */
static const double newton_part = 1e-3;
static const double linear_tolerance = 1e-6;

typedef struct {
  const qds_device *d;
  qds_context *ctx;
  qds_tensor_operator *t;
  qds_poisson *poisson;
  qds_subbands *subbands;
  qds_block vectors; /* the states in hand, with which the next search begins */
  int states;
  int64_t nodes;
  double *own; /* rows: the operator's diagonal without the potential */
  double *doping, *potential, *found, *trial, *shift, *density, *slope, *charge, *step; /* nodes */
  double total; /* electrons wanted, unless the Fermi level is given */
  double fermi_level_eV, electrons, size_V;
} loop;

static void loop_clear(loop *l) {
  double *arrays[] = {l->own,   l->doping,  l->potential, l->found,  l->trial,
                      l->shift, l->density, l->slope,     l->charge, l->step};
  for (size_t i = 0; i < sizeof arrays / sizeof *arrays; i++) qds_release(arrays[i]);
  qds_poisson_destroy(l->poisson);
  qds_subbands_destroy(l->subbands);
  qds_block_clear(&l->vectors);
}

static qds_status loop_create(const qds_device *d, qds_tensor_operator *t, loop *l) {
  qds_allocator *allocator = qds_context_allocator(d->ctx);
  QDS_AUTO_RELEASE double *permittivity = NULL;
  *l = (loop){.d = d, .ctx = d->ctx, .t = t, .states = d->states, .nodes = qds_device_nodes(d)};
  double **arrays[] = {&l->doping,  &l->potential, &l->found,  &l->trial, &l->shift,
                       &l->density, &l->slope,     &l->charge, &l->step};
  for (size_t i = 0; i < sizeof arrays / sizeof *arrays; i++)
    QDS_TRY(QDS_NEW_ZERO(allocator, l->nodes, "self-consistency", arrays[i]));
  QDS_TRY(QDS_NEW(allocator, t->rows, "self-consistency", &l->own));
  QDS_TRY(QDS_NEW(allocator, d->materials, "self-consistency", &permittivity));
  for (int m = 0; m < d->materials; m++) permittivity[m] = d->material[m].permittivity;
  memcpy(l->own, t->v, sizeof(double) * (size_t)t->rows);
  QDS_TRY(qds_device_doping(d, l->doping));
  return qds_poisson_create(d, permittivity, &d->electrostatics.contacts, &l->poisson);
}

/* Puts the energy of an electron, -phi, on the operator's diagonal; a hole's is the negative. */
static void set_potential(loop *l) {
  const double sign = l->d->carrier == QDS_ELECTRON ? -1 : 1;
  qds_fold_nodes(l->d->ctx, l->t, -1, l->potential, l->t->v);
  for (int64_t i = 0; i < l->t->rows; i++) l->t->v[i] = l->own[i] + sign * l->t->v[i];
}

static double largest(int64_t count, const double *values) {
  double most = 0;
  for (int64_t i = 0; i < count; i++) most = fmax(most, fabs(values[i]));
  return most;
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

static qds_status set_total(loop *l) {
  const qds_electrostatics *e = &l->d->electrostatics;
  l->fermi_level_eV = e->fermi_level_eV;
  if (e->electrons == QDS_ELECTRONS_TOTAL) l->total = e->total;
  if (e->electrons != QDS_ELECTRONS_NEUTRAL) return QDS_OK;
  l->total = integral(l->d, l->doping);
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
  if (l->vectors.columns >= l->states) options.start = &l->vectors;
  QDS_TRY(qds_spectrum(l->ctx, l->t, &options, &x, energies, residuals, &statistics));
  qds_block_clear(&l->vectors);
  l->vectors = x;
  x = (qds_block){0};
  return qds_subbands_create(l->d, l->t, &l->vectors, energies, &l->subbands);
}

/* The largest number of states worth computing on a grid. */
static int64_t most_states(const qds_tensor_operator *t) {
  const int64_t few = 400, part = t->rows / 6;
  return t->rows <= few ? t->rows : part > few ? part : few;
}

/* As many states as the electrons need. */
static qds_status find_states(loop *l) {
  const int64_t most = most_states(l->t);
  for (;;) {
    QDS_TRY(solve_states(l));
    if (l->total > 0) QDS_TRY(qds_find_fermi_level(l->subbands, NULL, l->total, &l->fermi_level_eV));
    const double all = qds_predict_density(l->subbands, NULL, l->fermi_level_eV, NULL, NULL).number,
                 highest = qds_state_electrons(l->subbands, l->states - 1, l->fermi_level_eV);
    if (highest <= most_in_highest * all || all < 1e-300) return QDS_OK;
    if (l->states >= most)
      QDS_FAIL(QDS_ERROR_INPUT,
               "%s: the highest of %d states still holds %.1e of the electrons: the grid has too few states "
               "for them; use more nodes, or a lower temperature",
               l->d->input, l->states, highest / all);
    const int64_t more = l->states + l->states / 2 + 2;
    l->states = (int)(more < most ? more : most);
    qds_log(l->ctx, QDS_LOG_DEBUG,
            "self-consistency: the highest state holds %.1e of the electrons; %d states now", highest / all,
            l->states);
  }
}

/* Density, its slope and the charge that the states in hand predict in a potential. */
static qds_status find_charge(loop *l, const double *potential) {
  for (int64_t i = 0; i < l->nodes; i++) l->shift[i] = potential[i] - l->found[i];
  if (l->total > 0) QDS_TRY(qds_find_fermi_level(l->subbands, l->shift, l->total, &l->fermi_level_eV));
  l->electrons = qds_predict_density(l->subbands, l->shift, l->fermi_level_eV, l->density, l->slope).number;
  for (int64_t i = 0; i < l->nodes; i++) l->charge[i] = l->doping[i] - l->density[i];
  return QDS_OK;
}

/* Goes along a step of Newton's method, as far as leaves the energy functional, which is convex, falling or
 * little beyond its minimum on the line; a step within kT is safe. *change: the largest change of the
 * potential. */
static qds_status take_step(loop *l, double descent, double *change) {
  const double size = largest(l->nodes, l->step), safe = QDS_BOLTZMANN * l->d->temperature_K;
  double part = 1;
  for (int halving = 0; halving < MAX_HALVINGS; halving++, part /= 2) {
    double there = 0;
    for (int64_t i = 0; i < l->nodes; i++) l->trial[i] = l->potential[i] + part * l->step[i];
    QDS_TRY(find_charge(l, l->trial));
    if (part * size > safe) QDS_TRY(qds_poisson_descent(l->poisson, l->charge, l->trial, l->step, &there));
    if (there < -0.5 * descent) continue;
    double *passed = l->potential;
    l->potential = l->trial;
    l->trial = passed;
    *change = part * size;
    return QDS_OK;
  }
  QDS_FAIL(QDS_ERROR_CONVERGENCE, "self-consistency: no step improves the potential; is the charge finite?");
}

/* The potential that agrees with the density predicted from the states in hand. */
static qds_status correct_potential(loop *l) {
  double change = INFINITY, descent;
  QDS_TRY(find_charge(l, l->potential));
  for (int step = 0; step < MAX_NEWTON_STEPS; step++) {
    const qds_poisson_charge charge = {l->charge, l->slope, l->total > 0, linear_tolerance};
    QDS_TRY(qds_poisson_correct(l->poisson, &charge, l->potential, l->step, &descent));
    QDS_TRY(take_step(l, descent, &change));
    const double since = largest(l->nodes, l->shift);
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
  QDS_TRY(qds_anderson_create(l->ctx, l->nodes, DEPTH, &anderson));
  QDS_TRY(QDS_NEW_ZERO(qds_context_allocator(l->ctx), wanted->max_iterations, "result", &e->history_V));
  while (e->iterations < wanted->max_iterations) {
    memcpy(l->found, l->potential, sizeof(double) * (size_t)l->nodes);
    set_potential(l);
    QDS_TRY(find_states(l));
    QDS_TRY(correct_potential(l));
    l->size_V = largest(l->nodes, l->potential);
    const double change = largest(l->nodes, l->shift);
    e->history_V[e->iterations++] = change;
    qds_log(l->ctx, QDS_LOG_DEBUG, "self-consistency: iteration %d, change %.3e V, Fermi level %.12g eV",
            e->iterations, change, l->fermi_level_eV);
    QDS_TRY(report(l, e));
    if (change < wanted->tolerance_V) return QDS_OK;
    if (change > 2 * before) qds_anderson_reset(anderson);
    before = change;
    qds_anderson_next(anderson, l->found, l->potential);
  }
  return refuse_history(l, e);
}

/* Takes potential, density and balance over into the result. */
static void keep(loop *l, double *band_edge_eV, qds_result *r) {
  qds_result_electrostatics *e = &r->electrostatics;
  e->contacts = l->d->electrostatics.contacts;
  e->dopants = integral(l->d, l->doping);
  e->electrons = l->electrons;
  e->density_states = l->subbands ? l->states : 0;
  e->fermi_level_eV = l->subbands ? l->fermi_level_eV : NAN;
  for (int face = 0; face < 6; face++)
    if (e->contacts.is_contact[face / 2][face % 2])
      e->contact_charge[face / 2][face % 2] =
          qds_poisson_contact_charge(l->poisson, l->charge, l->potential, face / 2, face % 2);
  for (int64_t i = 0; i < l->nodes; i++) band_edge_eV[i] -= l->potential[i];
  e->potential_V = l->potential;
  l->potential = NULL;
  if (!l->subbands) return;
  for (int64_t i = 0; i < l->nodes; i++) l->density[i] *= QDS_PER_CM3;
  e->electron_density_cm3 = l->density;
  l->density = NULL;
}

qds_status qds_electrostatics_solve(const qds_device *d, qds_tensor_operator *t, qds_result *r) {
  loop l __attribute__((cleanup(loop_clear))) = {0};
  double *band_edge_eV;
  QDS_TRY(loop_create(d, t, &l));
  QDS_TRY(qds_progress(d->ctx, "poisson", 0, "%lld nodes", (long long)l.nodes));
  if (d->electrostatics.self_consistent) {
    QDS_TRY(set_total(&l));
    QDS_TRY(qds_poisson_solve(l.poisson, l.charge, l.potential)); /* the contacts alone */
    QDS_TRY(iterate(&l, &r->electrostatics));
  } else {
    memcpy(l.charge, l.doping, sizeof(double) * (size_t)l.nodes);
    QDS_TRY(qds_poisson_solve(l.poisson, l.charge, l.potential));
  }
  set_potential(&l);
  QDS_TRY(qds_maps_band_edge(r->maps, &band_edge_eV));
  keep(&l, band_edge_eV, r);
  return QDS_OK;
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

size_t qds_electrostatics_bytes(const qds_device *d) {
  const double arrays = 30 + 2 * DEPTH, solver = 4; /* nodes; Poisson's operator and multigrid among them */
  if (!d->electrostatics.wanted) return 0;
  const double states = d->electrostatics.self_consistent ? 2.5 * d->states : 0;
  return (size_t)((double)qds_device_nodes(d) * sizeof(double) * (arrays + solver + states));
}

/* Solving a device: Hamiltonian, lowest states, and what is measured on them. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "dot/device.h"
#include "dot/hamiltonian.h"
#include "dot/magnetic.h"
#include "dot/open_states.h"
#include "dot/result.h"
#include "dot/self_consistent.h"
#include "la/fdm.h"

static qds_status copy_text(qds_context *ctx, const char *from, char **to) {
  return QDS_STRDUP(qds_context_allocator(ctx), from, "result", to);
}

/* Names, axes and materials of the device, so that the result can do without it. */
static qds_status describe(const qds_device *d, qds_result *r) {
  qds_allocator *allocator = qds_context_allocator(d->ctx);
  r->dimension = d->dimension;
  r->states = d->states;
  r->parts = qds_device_parts(d);
  r->fields = d->fields;
  r->unknowns = qds_device_unknowns(d);
  r->reference_eV = d->material[d->medium.background].band_edge_eV;
  QDS_TRY(copy_text(d->ctx, d->name, &r->name));
  QDS_TRY(copy_text(d->ctx, d->stem, &r->stem));
  QDS_TRY(copy_text(d->ctx, d->input, &r->input));
  QDS_TRY(copy_text(d->ctx, d->configuration, &r->configuration));
  for (int user = 0; user < 3; user++) {
    r->nodes[user] = 1;
    if (user >= d->dimension) continue;
    const qds_axis *axis = d->axis[qds_device_axis(d, user)];
    const size_t bytes = sizeof(double) * (size_t)axis->nodes;
    r->nodes[user] = axis->nodes;
    QDS_TRY(QDS_NEW(allocator, axis->nodes, "result", &r->coordinates_nm[user]));
    QDS_TRY(QDS_NEW(allocator, axis->nodes, "result", &r->weights_nm[user]));
    memcpy(r->coordinates_nm[user], axis->coordinates_nm, bytes);
    memcpy(r->weights_nm[user], axis->weights_nm, bytes);
  }
  QDS_TRY(QDS_NEW_ZERO(allocator, d->materials, "result", &r->material_name));
  r->materials = d->materials;
  for (int m = 0; m < d->materials; m++)
    QDS_TRY(copy_text(d->ctx, d->material[m].name, &r->material_name[m]));
  QDS_TRY(QDS_NEW_ZERO(allocator, r->states, "result", &r->energies_eV));
  QDS_TRY(QDS_NEW_ZERO(allocator, r->states, "result", &r->residuals_eV));
  return QDS_NEW_ZERO(allocator, r->states, "result", &r->moments);
}

/* Position, spread and probability per material of each state, and the states themselves, which stay where
 * they are. */
static qds_status measure(const qds_device *d, const qds_tensor_operator *t, qds_block *x, qds_result *r) {
  const double start = qds_seconds();
  QDS_AUTO_RELEASE qds_phase *phases = NULL;
  QDS_TRY(QDS_NEW(qds_context_allocator(d->ctx), r->states, "result", &phases));
  QDS_TRY(QDS_NEW(qds_context_allocator(d->ctx), r->states * d->materials, "result", &r->probability));
  QDS_TRY(qds_measure(d, t, qds_maps_volumes(r->maps), x, r->states, r->moments, r->probability, phases));
  QDS_TRY(qds_waves_create(d->ctx, t, r->parts, r->states, phases, x, &r->waves));
  r->statistics.measure_s = qds_seconds() - start;
  return QDS_OK;
}

static void keep_statistics(const qds_spectrum_statistics *s, qds_result *r) {
  r->statistics =
      (qds_result_statistics){.iterations = s->finest.iterations,
                              .operator_applications = s->finest.operator_applications,
                              .preconditioner_applications = s->finest.preconditioner_applications,
                              .solve_s = s->solve_s,
                              .verify_s = s->verify_s,
                              .setup_s = s->setup_s,
                              .operator_s = s->finest.operator_s,
                              .preconditioner_s = s->finest.preconditioner_s,
                              .algebra_s = s->finest.algebra_s,
                              .preconditioner = s->preconditioner,
                              .verification = s->verification,
                              .levels_found_by_verification = s->found_by_verification};
}

/* `obstacle`: why the context's device did not solve it; "": it did, or the context is on the CPU. */
static void keep_place(const qds_context *ctx, const char *obstacle, qds_result *r) {
  const char *device = qds_context_device(ctx);
  if (!*obstacle) {
    snprintf(r->device, sizeof r->device, "%s", device);
    snprintf(r->device_reason, sizeof r->device_reason, "%s", qds_context_device_reason(ctx));
    return;
  }
  snprintf(r->device, sizeof r->device, "cpu");
  snprintf(r->device_reason, sizeof r->device_reason, "%s: %s", device, obstacle);
}

static qds_status solve_open(const qds_device *d, qds_tensor_operator *t, qds_result *r, qds_block *x) {
  const char *obstacle = qds_context_accelerator(d->ctx) ? "it has no kernels for open systems" : "";
  if (*obstacle) qds_context_fall_back(d->ctx, obstacle);
  keep_place(d->ctx, obstacle, r);
  return qds_open_states(d, t, r, x);
}

static qds_status solve_closed(const qds_device *d, qds_tensor_operator *t, qds_result *r, qds_block *x) {
  qds_spectrum_statistics statistics;
  qds_spectrum_options options;
  const double start = qds_seconds();
  QDS_TRY(qds_hamiltonian_options(d, t, d->states, &options));
  const double chosen = qds_seconds() - start;
  options.leave_states = r->parts == 1;
  if (r->parts == 2)
    QDS_TRY(qds_magnetic_spectrum(d, t, &options, x, r->energies_eV, r->residuals_eV, &statistics));
  else
    QDS_TRY(qds_spectrum(d->ctx, t, &options, x, r->energies_eV, r->residuals_eV, &statistics));
  keep_statistics(&statistics, r);
  r->statistics.setup_s += chosen;
  keep_place(d->ctx, statistics.fallback, r);
  return QDS_OK;
}

/* Energies near the largest double have residuals beyond it. */
static qds_status check_finite(const qds_result *r) {
  for (int s = 0; s < r->states; s++)
    if (!isfinite(r->energies_eV[s]) || !isfinite(r->residuals_eV[s]))
      QDS_FAIL(
          QDS_ERROR_NUMERIC,
          "state %d has the energy %g eV with the residual %g eV; look for extreme numbers among masses, "
          "band edges, potential and grid",
          s, r->energies_eV[s], r->residuals_eV[s]);
  return QDS_OK;
}

static qds_status solve(const qds_device *d, qds_tensor_operator *t, qds_result *r) {
  __attribute__((cleanup(qds_block_clear))) qds_block x = {0};
  QDS_TRY(d->open.method == QDS_CLOSED ? solve_closed(d, t, r, &x) : solve_open(d, t, r, &x));
  QDS_TRY(check_finite(r));
  for (int s = 0; s < r->states && d->carrier != QDS_ELECTRON; s++) r->energies_eV[s] = -r->energies_eV[s];
  return measure(d, t, &x, r);
}

/* Below this, waking a second thread costs more than it saves; on a busy machine, where it has to wait for a
 * core at each of some hundred meetings, a hundred times more. */
enum { FEWEST_SHARED_UNKNOWNS = 20000 };

/* Of the memory of a solve, what is passed over most for each byte. */
static const char *const often_used[] = {"multigrid vectors", NULL};

qds_status qds_device_reserve(const qds_device *d, size_t *file_bytes) {
  qds_device_cost cost;
  QDS_REQUIRE(d && file_bytes, "qds_device_reserve: a NULL argument");
  QDS_TRY(qds_device_estimate(d, &cost));
  return qds_context_plan(d->ctx, cost.memory_bytes, "the solve", often_used, file_bytes);
}

/* Who solves such a device asks the operator for lines, or fills it; all others look into its arrays. */
static int takes_lines(const qds_device *d) {
  return d->open.method == QDS_CLOSED && qds_device_parts(d) == 1 && !d->electrostatics.wanted;
}

static qds_status solve_device(qds_device *d, qds_result **out) {
  const double start = qds_seconds();
  size_t file_bytes;
  QDS_TRY(qds_device_reserve(d, &file_bytes));
  QDS_AUTO(qds_result) *r = NULL;
  QDS_AUTO(qds_tensor_operator) *t = NULL;
  QDS_TRY(QDS_NEW_ZERO(qds_context_allocator(d->ctx), 1, "result", &r));
  r->ctx = d->ctx;
  r->threads = qds_context_threads(d->ctx);
  QDS_TRY(describe(d, r));
  QDS_TRY(qds_progress(d->ctx, "hamiltonian", 0, "%lld unknowns", (long long)r->unknowns));
  QDS_TRY(qds_maps_create(d, &r->maps));
  QDS_TRY(qds_hamiltonian_create(d, r->maps, &t));
  if (!takes_lines(d)) QDS_TRY(qds_tensor_operator_fill(d->ctx, t));
  if (d->electrostatics.wanted) QDS_TRY(qds_electrostatics_solve(d, t, r));
  const double built = qds_seconds() - start;
  QDS_TRY(solve(d, t, r));
  if (d->electrostatics.self_consistent) QDS_TRY(qds_electrostatics_occupy(d, r));
  r->statistics.setup_s += built;
  r->statistics.total_s = qds_seconds() - start;
  *out = r;
  r = NULL;
  return QDS_OK;
}

qds_status qds_device_solve(qds_device *d, qds_result **out) {
  QDS_REQUIRE(d && out, "qds_device_solve: a NULL argument");
  *out = NULL;
  const int all = qds_context_threads(d->ctx);
  qds_context_forget_fall_back(d->ctx);
  if (qds_device_unknowns(d) < FEWEST_SHARED_UNKNOWNS) qds_context_use_threads(d->ctx, 1);
  const qds_status status = solve_device(d, out);
  qds_context_use_threads(d->ctx, all);
  return status;
}

/* The host's memory for the eigenvectors and what finds them; *on_device: none of it, a device has them. */
static qds_status search_bytes(const qds_device *d, size_t *bytes, int *on_device) {
  const int parts = qds_device_parts(d);
  const int64_t unknowns = qds_device_unknowns(d);
  const int64_t n[3] = {d->axis[0]->unknowns, d->axis[1]->unknowns, d->axis[2]->unknowns};
  char why[256];
  QDS_TRY(qds_spectrum_obstacle(
      d->ctx, qds_spectrum_device_bytes(n, parts, parts * d->states, d->preconditioner, d->precision), why,
      sizeof why));
  *on_device = !*why && d->open.method == QDS_CLOSED;
  *bytes = d->open.method != QDS_CLOSED ? qds_open_bytes(d)
           : *on_device                 ? 0
                        : qds_spectrum_bytes(unknowns, parts, parts * d->states, d->dimension);
  if (parts > 1 && d->open.method == QDS_CLOSED) *bytes += qds_magnetic_operator_bytes(unknowns, *on_device);
  return QDS_OK;
}

/* The states as they were found, unless a device has them, and the arrays that the fields to write are made
 * from. */
static size_t result_bytes(const qds_device *d, int on_device) {
  const size_t nodes = (size_t)qds_device_nodes(d), states = (size_t)d->states,
               parts = (size_t)qds_device_parts(d), unknowns = (size_t)qds_device_unknowns(d);
  size_t numbers = on_device ? 0 : parts * unknowns * states;
  if (d->fields & (QDS_FIELD_PSI | QDS_FIELD_DENSITY)) numbers += nodes * (parts * states + 1);
  if (d->fields & QDS_FIELD_BAND_EDGE) numbers += nodes;
  return numbers * sizeof(double) + (d->fields & QDS_FIELD_MATERIAL ? nodes : 0);
}

qds_status qds_device_estimate(const qds_device *d, qds_device_cost *out) {
  QDS_REQUIRE(d && out, "qds_device_estimate: a NULL argument");
  const int64_t unknowns = qds_device_unknowns(d);
  *out = (qds_device_cost){
      .dimension = d->dimension, .order = d->axis[2]->order, .states = d->states, .unknowns = unknowns};
  for (int user = 0; user < 3; user++)
    out->nodes[user] = user < d->dimension ? d->axis[qds_device_axis(d, user)]->nodes : 1;
  /* Complex vectors are twice as long, and the solver holds each with i times it. */
  const int parts = qds_device_parts(d), open = d->open.method != QDS_CLOSED;
  int on_device;
  size_t search, electrostatics;
  QDS_TRY(search_bytes(d, &search, &on_device));
  QDS_TRY(qds_electrostatics_bytes(d, &electrostatics));
  const size_t solve = search + electrostatics + qds_hamiltonian_bytes(d, on_device && takes_lines(d)),
               result = result_bytes(d, on_device && parts == 1) + electrostatics;
  out->memory_bytes = solve > result ? solve : result;
  out->seconds = open
                     ? qds_open_seconds(d)
                     : qds_spectrum_seconds(parts * unknowns, parts * d->states, qds_context_threads(d->ctx));
  return QDS_OK;
}

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

static qds_status map_materials(const qds_device *d, qds_result *r) {
  qds_intervals cells[3];
  int64_t count = 1;
  for (int a = 0; a < 3; a++) {
    const qds_axis *axis = d->axis[a];
    cells[a] = (qds_intervals){axis->nodes > 1 ? axis->nodes - 1 : 1,
                               axis->nodes > 1 ? axis->coordinates_nm : axis->dual_nm};
    count *= cells[a].count;
  }
  QDS_TRY(QDS_NEW(qds_context_allocator(d->ctx), count, "result", &r->material));
  return qds_medium_map(d->ctx, &d->medium, d->dimension, cells, r->material);
}

/* psi on all nodes, `step` numbers apart, from one scaled vector: u / sqrt(mass), 0 at Dirichlet ends. */
static void unscale(const qds_tensor_operator *t, int threads, const double *u, int step, double *psi) {
  const int64_t n0 = t->axis[0]->nodes, n1 = t->axis[1]->nodes, n2 = t->axis[2]->nodes;
#pragma omp parallel for num_threads(threads) schedule(static)
  for (int64_t line = 0; line < n0 * n1; line++) {
    const int64_t i = qds_axis_unknown(t->axis[0], line / n1), j = qds_axis_unknown(t->axis[1], line % n1);
    double *to = psi + line * n2 * step;
    for (int64_t node = 0; node < n2; node++) to[node * step] = 0;
    if (i < 0 || j < 0) continue;
    const double *from = u + (i * t->n[1] + j) * t->n[2], scale = t->axis[0]->scale[i] * t->axis[1]->scale[j];
    for (int64_t node = 0; node < n2; node++) {
      const int64_t k = qds_axis_unknown(t->axis[2], node);
      if (k >= 0) to[node * step] = from[k] * scale * t->axis[2]->scale[k];
    }
  }
}

/* |psi|^2 at a node; psi has `parts` numbers a node: one, or real and imaginary part. */
static double square(const double *psi, int parts, int64_t node) {
  const double re = psi[node * parts], im = parts == 2 ? psi[node * parts + 1] : 0;
  return re * re + im * im;
}

/* Turns the phase, or sign, so that the largest value is positive. */
static void turn(int64_t nodes, int parts, int threads, double *psi) {
  int64_t at = 0;
#pragma omp parallel num_threads(threads)
  {
    int64_t mine = 0;
#pragma omp for schedule(static)
    for (int64_t i = 0; i < nodes; i++)
      if (square(psi, parts, i) > square(psi, parts, mine)) mine = i;
#pragma omp critical(qds_largest_value)
    {
      const double difference = square(psi, parts, mine) - square(psi, parts, at);
      if (difference > 0 || (difference == 0 && mine < at)) at = mine;
    }
  }
  const double modulus = sqrt(square(psi, parts, at));
  if (psi[at * parts] == modulus) return;
  const double c = psi[at * parts] / modulus, s = parts == 2 ? -psi[at * parts + 1] / modulus : 0;
#pragma omp parallel for num_threads(threads) schedule(static)
  for (int64_t i = 0; i < nodes; i++) {
    double *value = psi + i * parts;
    const double re = value[0];
    value[0] = c * re - (parts == 2 ? s * value[1] : 0);
    if (parts == 2) value[1] = s * re + c * value[1];
  }
}

/* The square root of the probability at each node: |psi| sqrt(weight). */
static void weigh(const qds_device *d, const double *psi, int parts, double *root) {
  const qds_axis *x = d->axis[0], *y = d->axis[1], *z = d->axis[2];
#pragma omp parallel for num_threads(qds_context_threads(d->ctx)) schedule(static)
  for (int64_t line = 0; line < x->nodes * y->nodes; line++) {
    const double weight = x->weights_nm[line / y->nodes] * y->weights_nm[line % y->nodes];
    for (int64_t k = 0; k < z->nodes; k++)
      root[line * z->nodes + k] = sqrt(square(psi, parts, line * z->nodes + k) * weight * z->weights_nm[k]);
  }
}

/* The bilinear form, which normalises states of open devices, is no probability. */
static void normalise(int64_t nodes, double *root) {
  double sum = 0;
  for (int64_t i = 0; i < nodes; i++) sum += root[i] * root[i];
  for (int64_t i = 0; i < nodes; i++) root[i] /= sqrt(sum);
}

/* Mean position and spread from the probability at each plane of nodes along an axis. */
static void moments_along(const qds_axis *axis, const double *marginal, double *position, double *spread) {
  double mean = 0, square = 0;
  for (int64_t i = 0; i < axis->nodes; i++) mean += marginal[i] * axis->coordinates_nm[i];
  for (int64_t i = 0; i < axis->nodes; i++) square += marginal[i] * pow(axis->coordinates_nm[i] - mean, 2);
  *position = mean;
  *spread = sqrt(square);
}

/* The probability at each plane of nodes along each axis, one axis after the other. The planes of the first
 * axis are cut into groups, which are summed in order, so that the threads change nothing. */
static qds_status add_marginals(const qds_device *d, const double *root, double *marginal) {
  enum { MOST_GROUPS = 64 };
  const int64_t n0 = d->axis[0]->nodes, n1 = d->axis[1]->nodes, n2 = d->axis[2]->nodes, lines = n0 * n1,
                groups = lines < MOST_GROUPS ? lines : MOST_GROUPS, size = n0 + n1 + n2;
  QDS_AUTO_RELEASE double *parts = NULL;
  QDS_TRY(QDS_NEW_ZERO(qds_context_allocator(d->ctx), groups * size, "result", &parts));
#pragma omp parallel for num_threads(qds_context_threads(d->ctx)) schedule(static)
  for (int64_t group = 0; group < groups; group++) {
    double *part = parts + group * size;
    for (int64_t line = lines * group / groups; line < lines * (group + 1) / groups; line++) {
      double sum = 0;
      for (int64_t k = 0; k < n2; k++) {
        const double probability = root[line * n2 + k] * root[line * n2 + k];
        part[n0 + n1 + k] += probability;
        sum += probability;
      }
      part[line / n1] += sum;
      part[n0 + line % n1] += sum;
    }
  }
  for (int64_t group = 0; group < groups; group++)
    for (int64_t i = 0; i < size; i++) marginal[i] += parts[group * size + i];
  return QDS_OK;
}

static qds_status measure_moments(const qds_device *d, const double *root, qds_moments *moments) {
  const int64_t n0 = d->axis[0]->nodes, n1 = d->axis[1]->nodes, n2 = d->axis[2]->nodes;
  QDS_AUTO_RELEASE double *marginal = NULL;
  QDS_TRY(QDS_NEW_ZERO(qds_context_allocator(d->ctx), n0 + n1 + n2, "result", &marginal));
  QDS_TRY(add_marginals(d, root, marginal));
  const double *along[3] = {marginal, marginal + n0, marginal + n0 + n1};
  for (int user = 0; user < d->dimension; user++) {
    const int a = qds_device_axis(d, user);
    moments_along(d->axis[a], along[a], &moments->position_nm[user], &moments->spread_nm[user]);
  }
  return QDS_OK;
}

/* Wave functions on all nodes, and position, spread and probability per material of each state. */
static qds_status measure(const qds_device *d, const qds_tensor_operator *t, const qds_block *x,
                          qds_result *r) {
  qds_allocator *allocator = qds_context_allocator(d->ctx);
  const int64_t nodes = qds_device_nodes(d);
  const int threads = qds_context_threads(d->ctx);
  QDS_AUTO_RELEASE double *root = NULL;
  qds_intervals intervals[3];
  for (int a = 0; a < 3; a++) intervals[a] = (qds_intervals){d->axis[a]->nodes, d->axis[a]->dual_nm};
  QDS_TRY(QDS_NEW(allocator, nodes, "result", &root));
  QDS_TRY(QDS_NEW(allocator, r->states * d->materials, "result", &r->probability));
  QDS_TRY(QDS_NEW(allocator, r->states * nodes * r->parts, "result", &r->psi));
  for (int s = 0; s < r->states; s++) {
    double *psi = r->psi + s * nodes * r->parts;
    for (int part = 0; part < r->parts; part++)
      unscale(t, threads, qds_block_column(x, s) + part * t->rows, r->parts, psi + part);
    if (d->open.method == QDS_CLOSED) turn(nodes, r->parts, threads, psi);
    weigh(d, psi, r->parts, root);
    if (d->open.method != QDS_CLOSED) normalise(nodes, root);
    QDS_TRY(measure_moments(d, root, &r->moments[s]));
    const double *vector = root;
    QDS_TRY(qds_volume_fractions(d->ctx, &d->medium, d->dimension, intervals, 1, &vector,
                                 r->probability + s * d->materials));
    QDS_TRY(qds_progress(d->ctx, "measure", (s + 1.0) / r->states, "state %d of %d", s + 1, r->states));
  }
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
  const qds_spectrum_options options = qds_hamiltonian_options(d, t, d->states);
  if (r->parts == 2)
    QDS_TRY(qds_magnetic_spectrum(d, t, &options, x, r->energies_eV, r->residuals_eV, &statistics));
  else
    QDS_TRY(qds_spectrum(d->ctx, t, &options, x, r->energies_eV, r->residuals_eV, &statistics));
  keep_statistics(&statistics, r);
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
  QDS_TRY(qds_hamiltonian_create(d, &r->band_edge_eV, &t));
  QDS_TRY(map_materials(d, r));
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
  if (qds_device_unknowns(d) < FEWEST_SHARED_UNKNOWNS) qds_context_use_threads(d->ctx, 1);
  const qds_status status = solve_device(d, out);
  qds_context_use_threads(d->ctx, all);
  return status;
}

/* Of the host's memory: on a device only the states come to the host. */
static qds_status host_solve_bytes(const qds_device *d, size_t *bytes) {
  const int parts = qds_device_parts(d);
  const int64_t unknowns = qds_device_unknowns(d);
  const int64_t n[3] = {d->axis[0]->unknowns, d->axis[1]->unknowns, d->axis[2]->unknowns};
  char why[256];
  QDS_TRY(qds_spectrum_obstacle(
      d->ctx, qds_spectrum_device_bytes(n, parts, parts * d->states, d->preconditioner, d->precision), why,
      sizeof why));
  const int on_device = d->open.method == QDS_CLOSED && !*why;
  *bytes = d->open.method != QDS_CLOSED ? qds_open_bytes(d)
           : on_device                  ? sizeof(double) * (size_t)(parts * unknowns) * (size_t)d->states
                       : qds_spectrum_bytes(unknowns, parts, parts * d->states, d->dimension);
  if (parts > 1 && d->open.method == QDS_CLOSED) *bytes += qds_magnetic_operator_bytes(unknowns, on_device);
  return QDS_OK;
}

qds_status qds_device_estimate(const qds_device *d, qds_device_cost *out) {
  QDS_REQUIRE(d && out, "qds_device_estimate: a NULL argument");
  const int64_t unknowns = qds_device_unknowns(d), nodes = qds_device_nodes(d);
  *out = (qds_device_cost){
      .dimension = d->dimension, .order = d->axis[2]->order, .states = d->states, .unknowns = unknowns};
  for (int user = 0; user < 3; user++)
    out->nodes[user] = user < d->dimension ? d->axis[qds_device_axis(d, user)]->nodes : 1;
  /* Complex vectors are twice as long, and the solver holds each with i times it. */
  const int parts = qds_device_parts(d), open = d->open.method != QDS_CLOSED;
  size_t solve_bytes;
  QDS_TRY(host_solve_bytes(d, &solve_bytes));
  const size_t result_bytes =
      sizeof(double) * ((size_t)nodes + (size_t)(parts * unknowns + nodes) * (size_t)(parts * d->states));
  out->memory_bytes = qds_hamiltonian_bytes(d) + qds_electrostatics_bytes(d) + (size_t)nodes +
                      (solve_bytes > result_bytes ? solve_bytes : result_bytes);
  out->seconds = open
                     ? qds_open_seconds(d)
                     : qds_spectrum_seconds(parts * unknowns, parts * d->states, qds_context_threads(d->ctx));
  return QDS_OK;
}

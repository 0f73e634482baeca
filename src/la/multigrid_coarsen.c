#include <string.h>

#include "la/multigrid_internal.h"

/* An axis is coarsened when its coupling is at least this part of the strongest: point smoothing needs no
 * more. */
static const double strong_coupling = 0.3;
enum { FEWEST_UNKNOWNS = 4 };
/* Fewer numbers are not worth a second thread. */
enum { SHARED = 16384 };

void qds_level_coefficients_clear(qds_level_coefficients *coefficients) {
  for (int a = 0; a < 3; a++) qds_release(coefficients->c[a]);
  qds_release(coefficients->v);
  memset(coefficients, 0, sizeof *coefficients);
}

static void transfer_clear(qds_transfer *t) {
  for (int s = 0; s < 2; s++) {
    qds_release(t->at[s]);
    qds_release(t->weight[s]);
  }
  qds_release(t->gather_start);
  qds_release(t->gather_at);
  qds_release(t->gather_weight);
}

void qds_level_clear(qds_level *level) {
  for (int a = 0; a < 3; a++) {
    qds_release(level->axis[a].x);
    qds_release(level->axis[a].mass);
    qds_release(level->edge[a]);
    qds_release(level->inverse_mass[a]);
    qds_release(level->root[a]);
    qds_release(level->inverse_root[a]);
    transfer_clear(&level->transfer[a]);
  }
  qds_release(level->v);
  qds_release(level->inverse_diagonal);
}

static int64_t edges_of(const qds_level_axis *axis) {
  return axis->nodes - 1;
}

static int64_t unknown_of(const qds_level_axis *axis, int64_t node) {
  if (axis->periodic && node == axis->nodes - 1) return 0;
  const int64_t unknown = node - axis->first;
  return unknown >= 0 && unknown < axis->unknowns ? unknown : -1;
}

/* Sizes around axis a of an array with `along` entries along it. */
static void around(const int64_t n[3], int a, int64_t *before, int64_t *after) {
  *before = *after = 1;
  for (int b = 0; b < a; b++) *before *= n[b];
  for (int b = a + 1; b < 3; b++) *after *= n[b];
}

static void set_sizes(qds_level *level) {
  level->rows = 1;
  for (int a = 0; a < 3; a++) level->rows *= level->n[a] = level->axis[a].unknowns;
}

static int64_t coefficient_count(const qds_level *level, int a) {
  if (edges_of(&level->axis[a]) == 0) return 0;
  return level->by_element[a] ? edges_of(&level->axis[a])
                              : level->rows / level->n[a] * edges_of(&level->axis[a]);
}

qds_status qds_level_axes_from_operator(qds_context *ctx, const qds_tensor_operator *fine, qds_level *level) {
  qds_allocator *allocator = qds_context_allocator(ctx);
  for (int a = 0; a < 3; a++) {
    const qds_axis *axis = fine->axis[a];
    qds_level_axis *to = &level->axis[a];
    *to = (qds_level_axis){axis->nodes, axis->unknowns, axis->first, axis->boundary[0] == QDS_PERIODIC, NULL,
                           NULL};
    QDS_TRY(QDS_NEW(allocator, axis->nodes, "multigrid", &to->x));
    QDS_TRY(QDS_NEW(allocator, axis->unknowns, "multigrid", &to->mass));
    memcpy(to->x, axis->coordinates_nm, sizeof(double) * (size_t)axis->nodes);
    memcpy(to->mass, axis->mass, sizeof(double) * (size_t)axis->unknowns);
    level->by_element[a] = fine->by_element[a];
  }
  set_sizes(level);
  return QDS_OK;
}

static void copy(int threads, int64_t count, const double *from, double *to) {
#pragma omp parallel for num_threads(threads) schedule(static) if (count > SHARED)
  for (int64_t i = 0; i < count; i++) to[i] = from[i];
}

qds_status qds_level_from_operator(qds_context *ctx, const qds_tensor_operator *fine, qds_level *level,
                                   qds_level_coefficients *out) {
  qds_allocator *allocator = qds_context_allocator(ctx);
  QDS_TRY(qds_level_axes_from_operator(ctx, fine, level));
  const int threads = qds_context_threads(ctx);
  QDS_TRY(QDS_NEW(allocator, level->rows, "multigrid", &out->v));
  copy(threads, level->rows, fine->v, out->v);
  for (int a = 0; a < 3; a++) {
    if (!fine->c[a]) continue;
    /* Each element has `order` edges between its nodes, all with the element's coefficient. */
    const int64_t edges = edges_of(&level->axis[a]), elements = fine->axis[a]->elements,
                  order = fine->axis[a]->order;
    int64_t before, after;
    around(level->n, a, &before, &after);
    if (level->by_element[a]) before = after = 1;
    QDS_TRY(QDS_NEW(allocator, coefficient_count(level, a), "multigrid", &out->c[a]));
#pragma omp parallel for num_threads(threads) schedule(static) if (before * edges * after > SHARED)
    for (int64_t at = 0; at < before * edges; at++)
      memcpy(out->c[a] + at * after, fine->c[a] + (at / edges * elements + at % edges / order) * after,
             sizeof(double) * (size_t)after);
  }
  return QDS_OK;
}

static qds_status check_finite(int threads, int64_t count, const float *numbers, const char *what) {
  int64_t bad = count;
#pragma omp parallel for num_threads(threads) schedule(static) reduction(min : bad) if (count > SHARED)
  for (int64_t i = 0; i < count; i++)
    if (!isfinite(numbers[i])) bad = i < bad ? i : bad;
  if (bad == count) return QDS_OK;
  QDS_FAIL(QDS_ERROR_NUMERIC,
           "multigrid: %s number %lld is %g: not finite, or too large for single precision", what,
           (long long)bad, numbers[bad]);
}

static qds_status assemble_axis(qds_context *ctx, qds_level *level, int a, const double *c) {
  const qds_level_axis *axis = &level->axis[a];
  const int64_t edges = edges_of(axis), count = coefficient_count(level, a);
  const int threads = qds_context_threads(ctx);
  int64_t before, after;
  around(level->n, a, &before, &after);
  if (level->by_element[a]) after = 1;
  QDS_TRY(QDS_NEW(qds_context_allocator(ctx), count, "multigrid", &level->edge[a]));
#pragma omp parallel for num_threads(threads) schedule(static) if (count > SHARED)
  for (int64_t at = 0; at < count / after; at++) {
    const double length = axis->x[at % edges + 1] - axis->x[at % edges];
    for (int64_t k = 0; k < after; k++) level->edge[a][at * after + k] = (float)(c[at * after + k] / length);
  }
  return check_finite(threads, count, level->edge[a], "coefficient");
}

qds_status qds_level_round_masses(qds_context *ctx, qds_level *level, int a, int is_point) {
  qds_allocator *allocator = qds_context_allocator(ctx);
  const int64_t n = level->n[a];
  QDS_TRY(QDS_NEW_ZERO(allocator, n, "multigrid", &level->inverse_mass[a]));
  QDS_TRY(QDS_NEW(allocator, n, "multigrid", &level->root[a]));
  QDS_TRY(QDS_NEW(allocator, n, "multigrid", &level->inverse_root[a]));
  for (int64_t i = 0; i < n; i++) {
    const float inverse = (float)(1 / level->axis[a].mass[i]);
    level->axis[a].mass[i] = 1 / (double)inverse;
    if (!is_point) level->inverse_mass[a][i] = inverse;
    level->root[a][i] = sqrt(level->axis[a].mass[i]);
    level->inverse_root[a][i] = 1 / level->root[a][i];
  }
  return QDS_OK;
}

qds_status qds_level_set_potential(qds_context *ctx, qds_level *level, const double *v) {
  const int threads = qds_context_threads(ctx);
#pragma omp parallel for num_threads(threads) schedule(static) if (level->rows > SHARED)
  for (int64_t i = 0; i < level->rows; i++) level->v[i] = (float)v[i];
  return check_finite(threads, level->rows, level->v, "potential");
}

qds_status qds_level_assemble(qds_context *ctx, qds_level *level,
                              const qds_level_coefficients *coefficients) {
  qds_allocator *allocator = qds_context_allocator(ctx);
  QDS_TRY(QDS_NEW(allocator, level->rows, "multigrid", &level->v));
  QDS_TRY(qds_level_set_potential(ctx, level, coefficients->v));
  for (int a = 0; a < 3; a++) {
    QDS_TRY(qds_level_round_masses(ctx, level, a, !coefficients->c[a]));
    if (coefficients->c[a]) QDS_TRY(assemble_axis(ctx, level, a, coefficients->c[a]));
  }
  return QDS_OK;
}

double qds_level_coupling(const qds_level *level, int a, double mean) {
  const qds_level_axis *axis = &level->axis[a];
  if (edges_of(axis) == 0 || axis->unknowns <= FEWEST_UNKNOWNS) return 0;
  const double density = (double)edges_of(axis) / (axis->x[axis->nodes - 1] - axis->x[0]);
  return mean * density * density;
}

/* Summed in groups, one after the other, so that the threads change nothing. */
static double mean_of(int threads, int64_t count, const double *c) {
  enum { GROUPS = 64 };
  double part[GROUPS] = {0}, sum = 0;
#pragma omp parallel for num_threads(threads) schedule(static) if (count > SHARED)
  for (int group = 0; group < GROUPS; group++)
    for (int64_t i = count * group / GROUPS; i < count * (group + 1) / GROUPS; i++) part[group] += c[i];
  for (int group = 0; group < GROUPS; group++) sum += part[group];
  return count > 0 ? sum / (double)count : 0;
}

/* The first fine edge of coarse edge E: pairs, and a last group of three when their number is odd. */
static int64_t group_start(const qds_level_axis *fine, int64_t coarse_edge, int64_t coarse_edges) {
  return coarse_edge == coarse_edges ? edges_of(fine) : 2 * coarse_edge;
}

static qds_status coarse_axis(qds_allocator *allocator, const qds_level_axis *fine, int coarsen,
                              qds_level_axis *coarse) {
  const int64_t edges = coarsen ? edges_of(fine) / 2 : edges_of(fine);
  *coarse = (qds_level_axis){
      edges + 1, fine->unknowns - (edges_of(fine) - edges), fine->first, fine->periodic, NULL, NULL};
  QDS_TRY(QDS_NEW(allocator, coarse->nodes, "multigrid", &coarse->x));
  QDS_TRY(QDS_NEW_ZERO(allocator, coarse->unknowns, "multigrid", &coarse->mass));
  for (int64_t e = 0; e <= edges; e++) coarse->x[e] = fine->x[coarsen ? group_start(fine, e, edges) : e];
  return QDS_OK;
}

/* Plain linear interpolation: which coarse nodes a fine node lies between, and their weights. */
static void interpolate(const qds_level_axis *fine, const qds_level_axis *coarse, int coarsen, int64_t node,
                        int64_t at[2], double weight[2]) {
  int64_t e = coarsen ? node / 2 : node;
  if (coarse->nodes > 1 && e > coarse->nodes - 2) e = coarse->nodes - 2;
  const double t = coarse->nodes > 1 ? (fine->x[node] - coarse->x[e]) / (coarse->x[e + 1] - coarse->x[e]) : 0;
  at[0] = unknown_of(coarse, e);
  at[1] = coarse->nodes > 1 ? unknown_of(coarse, e + 1) : -1;
  weight[0] = 1 - t;
  weight[1] = t;
  for (int s = 0; s < 2; s++)
    if (at[s] < 0 || weight[s] == 0) at[s] = 0, weight[s] = 0;
}

static qds_status gather_lists(qds_allocator *allocator, const qds_level_axis *fine,
                               const qds_level_axis *coarse, qds_transfer *t) {
  QDS_TRY(QDS_NEW_ZERO(allocator, t->coarse + 2, "multigrid", &t->gather_start));
  QDS_TRY(QDS_NEW(allocator, 2 * t->fine, "multigrid", &t->gather_at));
  QDS_TRY(QDS_NEW(allocator, 2 * t->fine, "multigrid", &t->gather_weight));
  for (int pass = 0; pass < 2; pass++) {
    for (int64_t i = 0; i < t->fine; i++)
      for (int s = 0; s < 2; s++) {
        if (t->weight[s][i] == 0) continue;
        /* First pass: count two places on; second: fill, moving the start one place on to its final value. */
        const int64_t big = t->at[s][i], place = t->gather_start[big + 2 - pass]++;
        if (pass == 0) continue;
        t->gather_at[place] = i;
        t->gather_weight[place] = (float)(t->weight[s][i] * fine->mass[i] / coarse->mass[big]);
      }
    for (int64_t i = 0; pass == 0 && i < t->coarse; i++) t->gather_start[i + 2] += t->gather_start[i + 1];
  }
  return QDS_OK;
}

/* The interpolation, and the masses of the coarse axis: its transpose applied to the fine ones. */
static qds_status make_transfer(qds_allocator *allocator, const qds_level_axis *fine, qds_level_axis *coarse,
                                int coarsen, qds_transfer *t) {
  t->identity = !coarsen;
  t->fine = fine->unknowns;
  t->coarse = coarse->unknowns;
  for (int s = 0; s < 2; s++) {
    QDS_TRY(QDS_NEW(allocator, t->fine, "multigrid", &t->at[s]));
    QDS_TRY(QDS_NEW(allocator, t->fine, "multigrid", &t->weight[s]));
  }
  for (int64_t i = 0; i < t->fine; i++) {
    int64_t at[2];
    double weight[2];
    interpolate(fine, coarse, coarsen, i + fine->first, at, weight);
    for (int s = 0; s < 2; s++) {
      coarse->mass[at[s]] += weight[s] * fine->mass[i];
      t->at[s][i] = at[s];
      t->weight[s][i] = (float)weight[s];
    }
  }
  return gather_lists(allocator, fine, coarse, t);
}

/* Mass-weighted means over the fine unknowns of axis a: out has t->coarse entries along it. */
static void restrict_mean(int threads, const qds_transfer *t, int64_t before, int64_t after, const double *in,
                          double *out) {
#pragma omp parallel for num_threads(threads) schedule(static) if (before * t->coarse * after > SHARED)
  for (int64_t at = 0; at < before * t->coarse; at++) {
    const int64_t o = at / t->coarse, big = at % t->coarse;
    double *to = out + at * after;
    memset(to, 0, sizeof(double) * (size_t)after);
    for (int64_t g = t->gather_start[big]; g < t->gather_start[big + 1]; g++) {
      const double share = t->gather_weight[g], *from = in + (o * t->fine + t->gather_at[g]) * after;
      for (int64_t k = 0; k < after; k++) to[k] += share * from[k];
    }
  }
}

/* Coefficients in series along axis a: length over the sum of length / c. */
static void merge_edges(int threads, const qds_level_axis *fine, const qds_level_axis *coarse, int64_t before,
                        int64_t after, const double *in, double *out) {
  const int64_t fine_edges = edges_of(fine), edges = edges_of(coarse);
#pragma omp parallel for num_threads(threads) schedule(static) if (before * edges * after > SHARED)
  for (int64_t at = 0; at < before * edges; at++) {
    const int64_t o = at / edges, e = at % edges;
    for (int64_t k = 0; k < after; k++) {
      double resistance = 0;
      for (int64_t f = 2 * e; f < group_start(fine, e + 1, edges); f++)
        resistance += (fine->x[f + 1] - fine->x[f]) / in[(o * fine_edges + f) * after + k];
      out[at * after + k] = (coarse->x[e + 1] - coarse->x[e]) / resistance;
    }
  }
}

/* Coarsens the array of one coefficient (axis `own` >= 0 along which it counts edges, or -1 for v) along
 * every axis. */
static qds_status coarsen_array(qds_context *ctx, const qds_level *fine, const qds_level *coarse, int own,
                                const double *in, double **out) {
  qds_allocator *allocator = qds_context_allocator(ctx);
  const int threads = qds_context_threads(ctx);
  int64_t size[3];
  const int alone = own >= 0 && fine->by_element[own];
  for (int a = 0; a < 3; a++) size[a] = a == own ? edges_of(&fine->axis[a]) : alone ? 1 : fine->n[a];
  QDS_AUTO_RELEASE double *current = NULL;
  QDS_TRY(QDS_NEW(allocator, size[0] * size[1] * size[2], "multigrid", &current));
  copy(threads, size[0] * size[1] * size[2], in, current);
  for (int a = 0; a < 3; a++) {
    const qds_transfer *t = &fine->transfer[a];
    if (t->identity || (alone && a != own)) continue;
    int64_t before, after;
    around(size, a, &before, &after);
    size[a] = a == own ? edges_of(&coarse->axis[a]) : t->coarse;
    double *next = NULL;
    QDS_TRY(QDS_NEW(allocator, size[0] * size[1] * size[2], "multigrid", &next));
    if (a == own)
      merge_edges(threads, &fine->axis[a], &coarse->axis[a], before, after, current, next);
    else
      restrict_mean(threads, t, before, after, current, next);
    qds_release(current);
    current = next;
  }
  *out = current;
  current = NULL;
  return QDS_OK;
}

qds_status qds_level_coarsen_potential(qds_context *ctx, const qds_level *fine, const qds_level *coarse,
                                       const double *v, double **coarse_v) {
  return coarsen_array(ctx, fine, coarse, -1, v, coarse_v);
}

qds_status qds_level_coarsen_axes(qds_context *ctx, qds_level *fine, const double coupling[3],
                                  qds_level *coarse, int *coarsened) {
  qds_allocator *allocator = qds_context_allocator(ctx);
  double strongest = 0;
  for (int a = 0; a < 3; a++)
    if (coupling[a] > strongest) strongest = coupling[a];
  *coarsened = strongest > 0;
  if (!*coarsened) return QDS_OK;
  for (int a = 0; a < 3; a++) {
    const int coarsen = coupling[a] > strong_coupling * strongest;
    coarse->by_element[a] = fine->by_element[a];
    QDS_TRY(coarse_axis(allocator, &fine->axis[a], coarsen, &coarse->axis[a]));
    QDS_TRY(make_transfer(allocator, &fine->axis[a], &coarse->axis[a], coarsen, &fine->transfer[a]));
  }
  set_sizes(coarse);
  return QDS_OK;
}

qds_status qds_level_coarsen(qds_context *ctx, qds_level *fine, const qds_level_coefficients *coefficients,
                             qds_level *coarse, qds_level_coefficients *out, int *coarsened) {
  const int threads = qds_context_threads(ctx);
  double coupling[3];
  for (int a = 0; a < 3; a++)
    coupling[a] = qds_level_coupling(
        fine, a, mean_of(threads, coefficients->c[a] ? coefficient_count(fine, a) : 0, coefficients->c[a]));
  QDS_TRY(qds_level_coarsen_axes(ctx, fine, coupling, coarse, coarsened));
  if (!*coarsened) return QDS_OK;
  QDS_TRY(qds_level_coarsen_potential(ctx, fine, coarse, coefficients->v, &out->v));
  for (int a = 0; a < 3; a++)
    if (coefficients->c[a]) QDS_TRY(coarsen_array(ctx, fine, coarse, a, coefficients->c[a], &out->c[a]));
  return QDS_OK;
}

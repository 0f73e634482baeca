#include "dot/coefficient.h"

#include <string.h>

static qds_status element_bounds(const qds_device *d, const qds_axis *axis, double **out) {
  QDS_TRY(QDS_NEW(qds_context_allocator(d->ctx), axis->elements + 1, "coefficients", out));
  for (int64_t e = 0; e <= axis->elements; e++) (*out)[e] = axis->coordinates_nm[e * axis->order];
  return QDS_OK;
}

/* The entries of an axis that one of the folded array is made of, and their shares: one, or at a periodic
 * end two. */
typedef struct {
  int count;
  int64_t at[2];
  double share[2];
} fold;

static fold fold_at(const qds_axis *axis, int whole, int64_t entry) {
  if (whole) return (fold){1, {entry}, {1}};
  const int64_t node = entry + axis->first;
  if (entry > 0 || axis->boundary[0] != QDS_PERIODIC)
    return (fold){1, {node}, {axis->weights_nm[node] / axis->mass[entry]}};
  const int64_t end = axis->nodes - 1;
  return (fold){2, {0, end}, {axis->weights_nm[0] / axis->mass[0], axis->weights_nm[end] / axis->mass[0]}};
}

/* The entries of an axis that one of the folded array takes whole and in place, less `*inner` at the start
 * that are made of several. */
static int64_t first_whole(const qds_axis *axis, int whole, int64_t *inner) {
  *inner = !whole && axis->boundary[0] == QDS_PERIODIC ? 1 : 0;
  return whole ? 0 : axis->first;
}

/* to[k] += share * from[folded k] along a line. */
static void add_line(const qds_axis *axis, int whole, int64_t entries, double share,
                     const double *restrict from, double *restrict to) {
  int64_t inner;
  const int64_t first = first_whole(axis, whole, &inner);
  for (int64_t k = 0; k < inner; k++) {
    const fold f = fold_at(axis, whole, k);
    for (int e = 0; e < f.count; e++) to[k] += share * f.share[e] * from[f.at[e]];
  }
  if (whole)
    for (int64_t k = 0; k < entries; k++) to[k] += share * from[k];
  else
    for (int64_t k = inner; k < entries; k++)
      to[k] += share * (axis->weights_nm[k + first] / axis->mass[k]) * from[k + first];
}

/* The shape of an array on the nodes and of the folded one. */
static void shapes(const qds_tensor_operator *t, int along, int64_t in[3], int64_t out[3]) {
  for (int a = 0; a < 3; a++) {
    in[a] = a == along ? t->axis[a]->elements : t->axis[a]->nodes;
    out[a] = a == along ? t->axis[a]->elements : t->n[a];
  }
}

void qds_fold_nodes(qds_context *ctx, const qds_tensor_operator *t, int along, const double *from,
                    double *to) {
  int64_t in[3], out[3];
  shapes(t, along, in, out);
#pragma omp parallel for num_threads(qds_context_threads(ctx)) schedule(static)
  for (int64_t line = 0; line < out[0] * out[1]; line++) {
    const fold i = fold_at(t->axis[0], along == 0, line / out[1]),
               j = fold_at(t->axis[1], along == 1, line % out[1]);
    double *target = to + line * out[2];
    memset(target, 0, sizeof *target * (size_t)out[2]);
    for (int e = 0; e < i.count * j.count; e++)
      add_line(t->axis[2], along == 2, out[2], i.share[e / j.count] * j.share[e % j.count],
               from + (i.at[e / j.count] * in[1] + j.at[e % j.count]) * in[2], target);
  }
}

/* ---- folded runs ---- */

typedef struct {
  const qds_tensor_operator *t;
  int along;
  const qds_runs *runs;
  const double *value;
  qds_runs owned;
} folded_runs;

/* As add_line; a node that is an unknown of its own has its whole weight. */
static void add_run_line(const folded_runs *f, int64_t line, int64_t entries, double share, double *to) {
  const qds_axis *axis = f->t->axis[2];
  const int whole = f->along == 2;
  int64_t inner;
  const int64_t first = first_whole(axis, whole, &inner);
  for (int64_t k = 0; k < inner; k++) {
    const fold ends = fold_at(axis, whole, k);
    for (int e = 0; e < ends.count; e++)
      to[k] += share * ends.share[e] * f->value[qds_runs_row(f->runs, line, ends.at[e])];
  }
  if (entries > inner)
    qds_runs_add(f->runs, line, first + inner, first + entries, share, f->value, to + inner);
}

static const double *folded_line(const void *self, int64_t line, double *scratch) {
  const folded_runs *f = self;
  const qds_tensor_operator *t = f->t;
  int64_t in[3], out[3];
  shapes(t, f->along, in, out);
  const fold i = fold_at(t->axis[0], f->along == 0, line / out[1]),
             j = fold_at(t->axis[1], f->along == 1, line % out[1]);
  memset(scratch, 0, sizeof *scratch * (size_t)out[2]);
  for (int e = 0; e < i.count * j.count; e++)
    add_run_line(f, i.at[e / j.count] * in[1] + j.at[e % j.count], out[2],
                 i.share[e / j.count] * j.share[e % j.count], scratch);
  return scratch;
}

/* Of lines that are made of one line each; others are not looked into. */
static int folded_repeats(const void *self, int64_t line) {
  const folded_runs *f = self;
  int64_t in[3], out[3], from[2];
  shapes(f->t, f->along, in, out);
  for (int side = 0; side < 2; side++) {
    const fold i = fold_at(f->t->axis[0], f->along == 0, (line - side) / out[1]),
               j = fold_at(f->t->axis[1], f->along == 1, (line - side) % out[1]);
    if (i.count > 1 || j.count > 1) return 0;
    from[side] = i.at[0] * in[1] + j.at[0];
  }
  return qds_runs_same(f->runs, from[0], from[1], f->value);
}

static void folded_destroy(void *self) {
  folded_runs *f = self;
  qds_runs_clear(&f->owned);
  qds_release(f);
}

qds_status qds_fold_runs(qds_context *ctx, qds_tensor_operator *t, int along, const qds_runs *runs,
                         const double *value, qds_runs *owned) {
  folded_runs *f = NULL;
  QDS_TRY(QDS_NEW_ZERO(qds_context_allocator(ctx), 1, "hamiltonian", &f));
  *f = (folded_runs){.t = t, .along = along, .runs = runs, .value = value};
  if (owned) {
    f->owned = *owned;
    f->runs = &f->owned;
    f->value = f->owned.table;
    *owned = (qds_runs){0};
  }
  t->lines[along < 0 ? 3 : along] = (qds_lines){folded_line, folded_repeats, f, folded_destroy};
  return QDS_OK;
}

qds_status qds_average_coefficients(const qds_device *d, const double *values, qds_tensor_operator *t,
                                    int a) {
  QDS_AUTO_RELEASE double *bounds = NULL, *on_nodes = NULL;
  QDS_TRY(element_bounds(d, t->axis[a], &bounds));
  qds_intervals intervals[3];
  int periodic = 0;
  int64_t count = t->axis[a]->elements;
  for (int b = 0; b < 3; b++) {
    const qds_axis *axis = t->axis[b];
    intervals[b] = (qds_intervals){axis->unknowns, axis->dual_nm + axis->first};
    if (b == a) {
      intervals[b] = (qds_intervals){axis->elements, bounds};
    } else if (axis->boundary[0] == QDS_PERIODIC) {
      intervals[b] = qds_node_intervals(axis);
      periodic = 1;
    }
    if (b != a) count *= axis->nodes;
  }
  if (!periodic)
    return qds_average_box_grid(d->ctx, &d->medium, d->dimension, intervals, a, values, QDS_AVERAGE_ALONG,
                                t->c[a]);
  for (int b = 0; b < 3; b++)
    if (b != a) intervals[b] = qds_node_intervals(t->axis[b]);
  QDS_TRY(QDS_NEW(qds_context_allocator(d->ctx), count, "coefficients", &on_nodes));
  QDS_TRY(qds_average_box_grid(d->ctx, &d->medium, d->dimension, intervals, a, values, QDS_AVERAGE_ALONG,
                               on_nodes));
  qds_fold_nodes(d->ctx, t, a, on_nodes, t->c[a]);
  return QDS_OK;
}

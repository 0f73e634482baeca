#include "la/device_multigrid.h"

#include <string.h>

/* Groups of nodes whose sums and extremes are fetched. */
enum { GROUPS = 512 };
/* Columns that are worked on together, with vectors of so many rows in all. */
enum { MOST_BATCH = 8, BATCH_ROWS = 1 << 28 };

/* --- levels --------------------------------------------------------------------------------------------- */

static int edges_of(const qds_level_axis *axis) {
  return (int)(axis->nodes - 1);
}

/* The shape of array `which`: the coefficients of an axis over its edges, or the potential (3). */
static void shape_of(const qds_level *host, const qds_device_level *level, int which, int size[3]) {
  const int none = which < 3 && level->view.axis[which].edges == 0,
            alone = which < 3 && host->by_element[which];
  for (int a = 0; a < 3; a++)
    size[a] = none ? 0 : a == which ? edges_of(&host->axis[a]) : alone ? 1 : (int)host->n[a];
}

/* The view less what is uploaded. has[a]: the axis has coefficients. */
static void start_view(const qds_level *host, const int has[3], qds_level_view *view) {
  for (int a = 0; a < 3; a++) {
    const qds_level_axis *axis = &host->axis[a];
    view->axis[a] = (qds_level_axis_view){.n = (int)axis->unknowns,
                                          .first = (int)axis->first,
                                          .edges = has[a] ? edges_of(axis) : 0,
                                          .periodic = axis->periodic,
                                          .order = 1};
  }
}

static qds_status start_level(qds_context *ctx, qds_stream *stream, const int has[3], qds_level *host,
                              qds_device_level *level) {
  for (int a = 0; a < 3; a++) QDS_TRY(qds_level_round_masses(ctx, host, a, !has[a]));
  start_view(host, has, &level->view);
  return qds_device_level_upload_axes(ctx, stream, host, level);
}

/* The means of the coefficients. */
static qds_status coefficient_means(qds_context *ctx, const qds_device_levels *d, const qds_level *host,
                                    const qds_device_level *level, double mean[3]) {
  QDS_AUTO_RELEASE double *sums = NULL;
  qds_level_sum_arguments k = {.level = level->view, .groups = GROUPS, .partial = d->partial};
  for (int which = 0; which < 4; which++) shape_of(host, level, which, k.size[which]);
  QDS_TRY(QDS_NEW(qds_context_allocator(ctx), 4 * GROUPS, "multigrid", &sums));
  QDS_TRY(qds_stream_launch(d->stream, &qds_level_sum_kernel, &k));
  QDS_TRY(qds_stream_fetch(d->stream, sums, d->partial, sizeof *sums * 4 * GROUPS));
  for (int which = 0; which < 4; which++) {
    double sum = 0;
    for (int g = 0; g < GROUPS; g++) sum += sums[which * GROUPS + g];
    const int64_t count = qds_level_sum_count(&k, which);
    if (!isfinite(sum))
      QDS_FAIL(QDS_ERROR_NUMERIC, "multigrid: a %s is not finite, or too large for single precision",
               which < 3 ? "coefficient" : "potential");
    if (which < 3) mean[which] = count > 0 ? sum / (double)count : 0;
  }
  return QDS_OK;
}

/* How array `which` of the level below `fine` comes from that of `fine`. */
static qds_level_coarsen_arguments coarsening_of(const qds_level *host_fine, const qds_device_level *fine,
                                                 const qds_level *host, const qds_device_level *level,
                                                 int which) {
  qds_level_coarsen_arguments k = {
      .fine = fine->view, .own = which, .alone = which < 3 && host->by_element[which]};
  for (int a = 0; a < 3; a++) {
    k.transfer[a] = fine->transfer[a];
    k.transfer[a].merges = !host_fine->transfer[a].identity;
    k.transfer[a].fine_edges = edges_of(&host_fine->axis[a]);
    k.transfer[a].coarse_edges = edges_of(&host->axis[a]);
  }
  shape_of(host, level, which, k.size);
  return k;
}

/* The coefficients of the level below `fine`. */
static qds_status coarsen_coefficients(const qds_device_levels *d, const qds_level *host_fine,
                                       const qds_device_level *fine, const qds_level *host,
                                       qds_device_level *level) {
  for (int which = 0; which < 4; which++) {
    qds_level_coarsen_arguments k = coarsening_of(host_fine, fine, host, level, which);
    const int64_t count = (int64_t)k.size[0] * k.size[1] * k.size[2];
    if (count == 0) continue;
    QDS_TRY(QDS_STREAM_NEW(d->stream, count, "multigrid", &k.out));
    if (which == 3) {
      level->view.v = level->v = k.out;
    } else {
      qds_level_axis_view *axis = &level->view.axis[which];
      axis->edge = level->edge[which] = k.out;
      axis->stride[0] = k.size[1] * k.size[2];
      axis->stride[1] = k.size[2];
      axis->stride[2] = 1;
      for (int b = 0; k.alone && b < 3; b++) axis->stride[b] = b == which;
    }
    QDS_TRY(qds_stream_launch(d->stream, &qds_level_coarsen_kernel, &k));
  }
  return QDS_OK;
}

static qds_status create_finest(qds_context *ctx, const qds_tensor_operator *fine, qds_multigrid *mg) {
  qds_device_level *level = &mg->device->level[0];
  const qds_tensor_view t = qds_device_operator_view(mg->fine);
  int has[3];
  for (int a = 0; a < 3; a++) has[a] = t.axis[a].elements > 0;
  QDS_TRY(qds_level_axes_from_operator(ctx, fine, &mg->level[0]));
  level->view.tiled = 1;
  QDS_TRY(start_level(ctx, mg->device->stream, has, &mg->level[0], level));
  level->view.tiled_v = t.v;
  level->view.rows = t.rows;
  for (int a = 0; a < 3; a++) {
    level->view.axis[a].order = t.axis[a].order;
    level->view.axis[a].c = t.axis[a].c;
  }
  return QDS_OK;
}

static qds_status create_levels(qds_context *ctx, qds_multigrid *mg) {
  qds_device_levels *d = mg->device;
  for (mg->levels = 1;; mg->levels++) {
    qds_level *host = &mg->level[mg->levels - 1];
    qds_device_level *level = &d->level[mg->levels - 1];
    double coupling[3], mean[3] = {0};
    int coarsened = 0, has[3];
    QDS_TRY(coefficient_means(ctx, d, host, level, mean));
    if (host->rows <= QDS_MULTIGRID_COARSEST_ROWS || mg->levels == QDS_MULTIGRID_MAX_LEVELS) return QDS_OK;
    for (int a = 0; a < 3; a++) {
      coupling[a] = qds_level_coupling(host, a, mean[a]);
      has[a] = level->view.axis[a].edges > 0;
    }
    QDS_TRY(qds_level_coarsen_axes(ctx, host, coupling, host + 1, &coarsened));
    if (!coarsened) return QDS_OK;
    QDS_TRY(qds_device_level_upload_transfers(ctx, d->stream, host, level));
    QDS_TRY(start_level(ctx, d->stream, has, host + 1, level + 1));
    QDS_TRY(coarsen_coefficients(d, host, level, host + 1, level + 1));
  }
}

static int batch_of(int64_t rows) {
  const int64_t fit = BATCH_ROWS / rows;
  return fit < 1 ? 1 : fit > MOST_BATCH ? MOST_BATCH : (int)fit;
}

/* Of vectors and coefficients of the levels, of which the finest has no x and no coefficients of its own, the
 * coarsest level's inverse, and the sums. */
size_t qds_multigrid_bytes_on_stream(const int64_t n[3]) {
  int64_t size[3] = {n[0], n[1], n[2]};
  double numbers = (double)QDS_MULTIGRID_COARSEST_ROWS * QDS_MULTIGRID_COARSEST_ROWS +
                   2.0 * 2 * GROUPS * QDS_MULTIGRID_MAX_LEVELS;
  for (int level = 0;; level++) {
    const int64_t rows = size[0] * size[1] * size[2];
    const int vectors = level > 0 ? QDS_LEVEL_VECTORS : QDS_LEVEL_VECTORS - 1,
              coefficients = level > 0 ? 4 : 0;
    numbers += (double)rows * (vectors * batch_of(rows) + coefficients);
    if (rows <= QDS_MULTIGRID_COARSEST_ROWS) return (size_t)(numbers * sizeof(float));
    for (int a = 0; a < 3; a++) size[a] = (size[a] + 1) / 2;
  }
}

static qds_status create_vectors(qds_multigrid *mg) {
  qds_device_levels *d = mg->device;
  for (int l = 0; l < mg->levels; l++) {
    qds_device_level *level = &d->level[l];
    const int64_t rows = mg->level[l].rows;
    level->batch = batch_of(rows);
    level->stride = (rows + QDS_TILE - 1) / QDS_TILE * QDS_TILE;
    for (int v = 0; v < QDS_LEVEL_VECTORS; v++) {
      const int needed = (v != QDS_LEVEL_X || l > 0) && (v != QDS_LEVEL_Y || l < mg->levels - 1);
      if (needed)
        QDS_TRY(QDS_STREAM_NEW(d->stream, level->stride * level->batch, "multigrid", &level->vector[v]));
    }
  }
  const int64_t rows = mg->level[mg->levels - 1].rows;
  return QDS_STREAM_NEW(d->stream, rows * rows, "multigrid", &d->inverse);
}

/* --- shifts --------------------------------------------------------------------------------------------- */

/* Of the levels from `finest` on, less the coarsest: the largest shift with diagonal - shift >= part *
 * couplings everywhere, and the bound 1 + couplings / (diagonal - shift) of the spectrum of the Jacobi-scaled
 * operator. */
static qds_status find_extremes(qds_context *ctx, const qds_multigrid *mg, int finest, double shift,
                                double *lowest, double *largest) {
  const qds_device_levels *d = mg->device;
  const int count = mg->levels - 1 - finest;
  if (count <= 0) return QDS_OK;
  QDS_AUTO_RELEASE double *found = NULL;
  QDS_TRY(QDS_NEW(qds_context_allocator(ctx), (size_t)count * 2 * GROUPS, "multigrid", &found));
  for (int l = 0; l < count; l++) {
    const qds_level_extremes_arguments k = {d->level[finest + l].view, 1 - qds_least_dominance, shift, GROUPS,
                                            d->partial + l * 2 * GROUPS};
    QDS_TRY(qds_stream_launch(d->stream, &qds_level_extremes_kernel, &k));
  }
  QDS_TRY(qds_stream_fetch(d->stream, found, d->partial, sizeof *found * 2 * GROUPS * (size_t)count));
  for (int l = 0; l < count; l++) {
    lowest[finest + l] = INFINITY;
    largest[finest + l] = 1;
    for (int g = 0; g < GROUPS; g++) {
      lowest[finest + l] = fmin(lowest[finest + l], found[(l * GROUPS + g) * 2]);
      largest[finest + l] = fmax(largest[finest + l], found[(l * GROUPS + g) * 2 + 1]);
    }
  }
  return QDS_OK;
}

static qds_status shift_levels(qds_context *ctx, qds_multigrid *mg, int finest, double shift) {
  qds_device_levels *d = mg->device;
  double lowest[QDS_MULTIGRID_MAX_LEVELS], largest[QDS_MULTIGRID_MAX_LEVELS];
  const size_t rows = (size_t)mg->level[mg->levels - 1].rows;
  qds_device_graphs_clear(d);
  QDS_TRY(find_extremes(ctx, mg, finest, shift, lowest, largest));
  for (int l = finest; l < mg->levels - 1; l++) {
    mg->level[l].shift = shift;
    d->level[l].view.shift = (float)shift;
    d->level[l].rate = (float)(1 / largest[l]);
  }
  return qds_stream_copy(d->stream, d->inverse, mg->coarse_inverse, sizeof(float) * rows * rows);
}

/* --- the place ------------------------------------------------------------------------------------------ */

static qds_status find_bounds(qds_context *ctx, qds_multigrid *mg) {
  double lowest[QDS_MULTIGRID_MAX_LEVELS], largest[QDS_MULTIGRID_MAX_LEVELS];
  QDS_TRY(find_extremes(ctx, mg, 0, -INFINITY, lowest, largest));
  for (int l = 0; l < mg->levels - 1; l++) mg->level[l].bound = lowest[l];
  return QDS_OK;
}

static qds_status create(qds_context *ctx, const qds_tensor_operator *fine, qds_multigrid *mg) {
  QDS_TRY(QDS_NEW_ZERO(qds_context_allocator(ctx), 1, "multigrid", &mg->device));
  mg->device->stream = qds_device_operator_stream(mg->fine);
  mg->device->fewest_planes = 1;
  QDS_TRY(QDS_STREAM_NEW(mg->device->stream, 2 * GROUPS * QDS_MULTIGRID_MAX_LEVELS, "multigrid",
                         &mg->device->partial));
  QDS_TRY(create_finest(ctx, fine, mg));
  QDS_TRY(create_levels(ctx, mg));
  QDS_TRY(create_vectors(mg));
  return find_bounds(ctx, mg);
}

/* The finest level has its potential from the operator. */
static qds_status renew(qds_context *ctx, const qds_tensor_operator *fine, qds_multigrid *mg) {
  const qds_device_levels *d = mg->device;
  double mean[3];
  (void)fine;
  QDS_TRY(coefficient_means(ctx, d, &mg->level[0], &d->level[0], mean));
  for (int l = 0; l < mg->levels - 1; l++) {
    qds_level_coarsen_arguments k =
        coarsening_of(&mg->level[l], &d->level[l], &mg->level[l + 1], &d->level[l + 1], 3);
    k.out = d->level[l + 1].v;
    QDS_TRY(qds_stream_launch(d->stream, &qds_level_coarsen_kernel, &k));
  }
  return find_bounds(ctx, mg);
}

static void clear(qds_multigrid *mg) {
  qds_device_levels *d = mg->device;
  if (!d) return;
  qds_device_graphs_clear(d);
  for (int l = 0; l < QDS_MULTIGRID_MAX_LEVELS; l++) {
    qds_device_level *level = &d->level[l];
    void *blocks[] = {level->axes,    level->transfers, level->v,         level->edge[0],  level->edge[1],
                      level->edge[2], level->vector[0], level->vector[1], level->vector[2]};
    for (size_t i = 0; i < sizeof blocks / sizeof *blocks; i++) qds_stream_release(d->stream, blocks[i]);
  }
  qds_stream_release(d->stream, d->inverse);
  qds_stream_release(d->stream, d->partial);
  qds_release(d);
}

static qds_columns columns_of(const qds_block *block) {
  return (qds_columns){block->data, block->stride, block->columns};
}

static qds_status apply(void *self, qds_context *ctx, const qds_block *x, qds_block *y) {
  const qds_multigrid_handle *handle = self;
  const qds_device_levels *d = handle->multigrid->device;
  const qds_level_apply_arguments k = {d->level[handle->level].view, columns_of(x), columns_of(y)};
  (void)ctx;
  return x->columns > 0 ? qds_stream_launch(d->stream, &qds_level_apply_kernel, &k) : QDS_OK;
}

static qds_status prolong(qds_context *ctx, const qds_multigrid *mg, int level, const qds_block *coarse,
                          qds_block *fine) {
  const qds_device_level *to = &mg->device->level[level - 1], *from = &mg->device->level[level];
  qds_level_prolong_arguments k = {
      .fine = to->view, .coarse = from->view, .from = columns_of(coarse), .to = columns_of(fine)};
  (void)ctx;
  memcpy(k.transfer, to->transfer, sizeof k.transfer);
  return fine->columns > 0 ? qds_stream_launch(mg->device->stream, &qds_level_prolong_kernel, &k) : QDS_OK;
}

const qds_multigrid_place qds_multigrid_on_stream = {
    create, renew, clear, shift_levels, apply, qds_device_multigrid_cycle, prolong,
};

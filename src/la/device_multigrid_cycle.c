/* The V-cycle on a stream. */
#include <string.h>

#include "la/device_multigrid.h"

/* One cycle from a level downwards on some columns. */
typedef struct {
  const qds_multigrid *mg;
  const qds_device_levels *d;
  int finest, columns;
  qds_columns from, to;
} work;

/* Vectors of a level; the finest level's x lies in the memory of the result, two numbers for one. */
static qds_level_columns vectors(const work *w, int l, qds_level_vector which) {
  const qds_device_level *level = &w->d->level[l];
  if (which == QDS_LEVEL_X && l == w->finest)
    return (qds_level_columns){(float *)(void *)w->to.data, 2 * w->to.stride};
  return (qds_level_columns){level->vector[which], level->stride};
}

/* Long marches re-read fewer planes; short ones give a device more to do at once. */
static int planes_of_march(const qds_level *level, int columns) {
  enum { MOST = 64, WANTED_WARPS = 1 << 14 };
  const int64_t warps = (level->n[2] + QDS_TILE - 1) / QDS_TILE * level->n[1] * level->n[0] *
                        ((columns + QDS_LEVEL_MOST_COLUMNS - 1) / QDS_LEVEL_MOST_COLUMNS),
                planes = warps / WANTED_WARPS;
  return planes < 1 ? 1 : planes > MOST ? MOST : (int)planes;
}

static qds_level_pass_arguments pass_over(const work *w, int l, qds_level_pass pass) {
  const float rate = w->d->level[l].rate, first = qds_first_step * rate, second = qds_second_step * rate;
  return (qds_level_pass_arguments){.level = w->d->level[l].view,
                                    .pass = pass,
                                    .columns = w->columns,
                                    .planes = planes_of_march(&w->mg->level[l], w->columns),
                                    .p = first * (1 + qds_second_memory) + second,
                                    .q = first * second,
                                    .b = vectors(w, l, QDS_LEVEL_B)};
}

static qds_status launch_pass(const work *w, const qds_level_pass_arguments *k) {
  return qds_stream_launch(w->d->stream, &qds_level_pass_kernel, k);
}

static qds_status enter(const work *w) {
  qds_level_pass_arguments k = pass_over(w, w->finest, QDS_LEVEL_ENTER);
  k.from = w->from;
  k.out = k.b;
  return launch_pass(w, &k);
}

/* Two Chebyshev steps from zero, and what they leave to the coarser level. */
static qds_status descend(const work *w, int l) {
  qds_level_pass_arguments smooth = pass_over(w, l, QDS_LEVEL_SMOOTH),
                           defect = pass_over(w, l, QDS_LEVEL_DEFECT);
  smooth.u = smooth.b;
  smooth.out = defect.u = vectors(w, l, QDS_LEVEL_X);
  defect.out = vectors(w, l, QDS_LEVEL_Y);
  QDS_TRY(launch_pass(w, &smooth));
  QDS_TRY(launch_pass(w, &defect));
  const qds_level *fine = &w->mg->level[l];
  qds_level_restrict_arguments k = {.coarse = w->d->level[l + 1].view,
                                    .divide = l + 1 < w->mg->levels - 1,
                                    .columns = w->columns,
                                    .fine_n = {(int)fine->n[0], (int)fine->n[1], (int)fine->n[2]},
                                    .r = defect.out,
                                    .b = vectors(w, l + 1, QDS_LEVEL_B)};
  memcpy(k.transfer, w->d->level[l].transfer, sizeof k.transfer);
  return qds_stream_launch(w->d->stream, &qds_level_restrict_kernel, &k);
}

/* The coarse correction, and two more Chebyshev steps. */
static qds_status ascend(const work *w, int l) {
  const qds_level *fine = &w->mg->level[l], *coarse = fine + 1;
  qds_level_pass_arguments residual = pass_over(w, l, QDS_LEVEL_RESIDUAL),
                           smooth = pass_over(w, l, QDS_LEVEL_SMOOTH);
  qds_level_correct_arguments k = {.columns = w->columns,
                                   .planes = residual.planes,
                                   .coarse = vectors(w, l + 1, QDS_LEVEL_X),
                                   .x = vectors(w, l, QDS_LEVEL_X),
                                   .out = vectors(w, l, QDS_LEVEL_Y)};
  memcpy(k.transfer, w->d->level[l].transfer, sizeof k.transfer);
  for (int a = 0; a < 3; a++) {
    k.n[a] = (int)fine->n[a];
    k.coarse_n[a] = (int)coarse->n[a];
  }
  QDS_TRY(qds_stream_launch(w->d->stream, &qds_level_correct_kernel, &k));
  residual.u = smooth.add = k.out;
  residual.out = smooth.u = residual.b;
  QDS_TRY(launch_pass(w, &residual));
  if (l == w->finest)
    smooth.to = w->to;
  else
    smooth.out = k.x;
  return launch_pass(w, &smooth);
}

static qds_status invert(const work *w) {
  const int l = w->mg->levels - 1, only = w->finest == l;
  qds_level_invert_arguments k = {.level = w->d->level[l].view,
                                  .inverse = w->d->inverse,
                                  .rows = (int)w->mg->level[l].rows,
                                  .columns = w->columns,
                                  .b = vectors(w, l, QDS_LEVEL_B),
                                  .x = vectors(w, l, QDS_LEVEL_X)};
  if (only) k.from = w->from, k.to = w->to;
  return qds_stream_launch(w->d->stream, &qds_level_invert_kernel, &k);
}

static qds_status cycle(const work *w) {
  const int coarsest = w->mg->levels - 1;
  if (w->finest < coarsest) QDS_TRY(enter(w));
  for (int l = w->finest; l < coarsest; l++) QDS_TRY(descend(w, l));
  QDS_TRY(invert(w));
  for (int l = coarsest - 1; l >= w->finest; l--) QDS_TRY(ascend(w, l));
  return QDS_OK;
}

qds_status qds_device_multigrid_cycle(void *self, qds_context *ctx, const qds_block *x, qds_block *y) {
  const qds_multigrid_handle *handle = self;
  const qds_multigrid *mg = handle->multigrid;
  const int batch = mg->device->level[handle->level].batch;
  (void)ctx;
  for (int first = 0; first < x->columns; first += batch) {
    const int columns = x->columns - first < batch ? x->columns - first : batch;
    const work w = {mg,
                    mg->device,
                    handle->level,
                    columns,
                    {x->data + first * x->stride, x->stride, columns},
                    {y->data + first * y->stride, y->stride, columns}};
    QDS_TRY(cycle(&w));
  }
  return QDS_OK;
}

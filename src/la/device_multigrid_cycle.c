/* The V-cycle on a stream. */
#include <string.h>

#include "la/device_multigrid.h"

/* Vectors of a level; the finest level's x lies in the memory of the result, two numbers for one. */
static qds_level_columns vectors(const qds_device_cycle *w, int l, qds_level_vector which) {
  const qds_device_level *level = &w->d->level[l];
  if (which == QDS_LEVEL_X && l == w->finest)
    return (qds_level_columns){(float *)(void *)w->to.data, 2 * w->to.stride};
  return (qds_level_columns){level->vector[which], level->stride};
}

/* Long marches re-read fewer planes; short ones give a device more to do at once. */
static int planes_of_march(const qds_device_cycle *w, int l) {
  enum { MOST = 64, WANTED_WARPS = 1 << 14 };
  const qds_level *level = &w->mg->level[l];
  const int columns = w->columns, fewest = w->d->fewest_planes;
  const int64_t warps = (level->n[2] + QDS_TILE - 1) / QDS_TILE * level->n[1] * level->n[0] *
                        ((columns + QDS_LEVEL_MOST_COLUMNS - 1) / QDS_LEVEL_MOST_COLUMNS),
                planes = warps / WANTED_WARPS;
  return planes < fewest ? fewest : planes > MOST ? MOST : (int)planes;
}

static qds_level_pass_arguments pass_over(const qds_device_cycle *w, int l, qds_level_pass pass) {
  const float rate = w->d->level[l].rate, first = qds_first_step * rate, second = qds_second_step * rate;
  return (qds_level_pass_arguments){.level = w->d->level[l].view,
                                    .pass = pass,
                                    .columns = w->columns,
                                    .planes = planes_of_march(w, l),
                                    .p = first * (1 + qds_second_memory) + second,
                                    .q = first * second,
                                    .b = vectors(w, l, QDS_LEVEL_B)};
}

static qds_status launch_pass(const qds_device_cycle *w, const qds_level_pass_arguments *k) {
  return qds_stream_launch(w->d->stream, &qds_level_pass_kernel, k);
}

static qds_status enter(const qds_device_cycle *w, int l) {
  qds_level_pass_arguments k = pass_over(w, l, QDS_LEVEL_ENTER);
  k.from = w->from;
  k.out = k.b;
  return launch_pass(w, &k);
}

static qds_status smooth_before(const qds_device_cycle *w, int l) {
  qds_level_pass_arguments k = pass_over(w, l, QDS_LEVEL_SMOOTH);
  k.u = k.b;
  k.out = vectors(w, l, QDS_LEVEL_X);
  return launch_pass(w, &k);
}

static qds_status find_defect(const qds_device_cycle *w, int l) {
  qds_level_pass_arguments k = pass_over(w, l, QDS_LEVEL_DEFECT);
  k.u = vectors(w, l, QDS_LEVEL_X);
  k.out = vectors(w, l, QDS_LEVEL_Y);
  return launch_pass(w, &k);
}

static qds_status restrict_defect(const qds_device_cycle *w, int l) {
  const qds_level *fine = &w->mg->level[l];
  qds_level_restrict_arguments k = {.coarse = w->d->level[l + 1].view,
                                    .divide = l + 1 < w->mg->levels - 1,
                                    .columns = w->columns,
                                    .planes = planes_of_march(w, l + 1),
                                    .fine_n = {(int)fine->n[0], (int)fine->n[1], (int)fine->n[2]},
                                    .r = vectors(w, l, QDS_LEVEL_Y),
                                    .b = vectors(w, l + 1, QDS_LEVEL_B)};
  memcpy(k.transfer, w->d->level[l].transfer, sizeof k.transfer);
  return qds_stream_launch(w->d->stream, &qds_level_restrict_kernel, &k);
}

static qds_status correct(const qds_device_cycle *w, int l) {
  const qds_level *fine = &w->mg->level[l], *coarse = fine + 1;
  qds_level_correct_arguments k = {.columns = w->columns,
                                   .planes = planes_of_march(w, l),
                                   .coarse = vectors(w, l + 1, QDS_LEVEL_X),
                                   .x = vectors(w, l, QDS_LEVEL_X),
                                   .out = vectors(w, l, QDS_LEVEL_Y)};
  memcpy(k.transfer, w->d->level[l].transfer, sizeof k.transfer);
  for (int a = 0; a < 3; a++) {
    k.n[a] = (int)fine->n[a];
    k.coarse_n[a] = (int)coarse->n[a];
  }
  return qds_stream_launch(w->d->stream, &qds_level_correct_kernel, &k);
}

static qds_status find_residual(const qds_device_cycle *w, int l) {
  qds_level_pass_arguments k = pass_over(w, l, QDS_LEVEL_RESIDUAL);
  k.u = vectors(w, l, QDS_LEVEL_Y);
  k.out = k.b;
  return launch_pass(w, &k);
}

static qds_status smooth_after(const qds_device_cycle *w, int l) {
  qds_level_pass_arguments k = pass_over(w, l, l == w->finest ? QDS_LEVEL_LEAVE : QDS_LEVEL_ADD);
  k.u = k.b;
  k.add = vectors(w, l, QDS_LEVEL_Y);
  k.out = vectors(w, l, QDS_LEVEL_X);
  k.to = w->to;
  return launch_pass(w, &k);
}

static qds_status invert(const qds_device_cycle *w, int l) {
  const int only = w->finest == l;
  qds_level_invert_arguments k = {.level = w->d->level[l].view,
                                  .inverse = w->d->inverse,
                                  .rows = (int)w->mg->level[l].rows,
                                  .columns = w->columns,
                                  .b = vectors(w, l, QDS_LEVEL_B),
                                  .x = vectors(w, l, QDS_LEVEL_X)};
  if (only) k.from = w->from, k.to = w->to;
  return qds_stream_launch(w->d->stream, &qds_level_invert_kernel, &k);
}

const qds_device_step qds_device_steps[QDS_DEVICE_STEPS] = {
    {"enter", enter, 12},
    {"smooth before", smooth_before, 8},
    {"defect", find_defect, 12},
    {"restrict", restrict_defect, 4.5},
    {"correct", correct, 8.5},
    {"residual", find_residual, 12},
    {"smooth after", smooth_after, 16},
};

static qds_status run_steps(const qds_device_cycle *w, int l, int first, int last) {
  for (int s = first; s <= last; s++) QDS_TRY(qds_device_steps[s].run(w, l));
  return QDS_OK;
}

qds_status qds_device_cycle_enqueue(const qds_device_cycle *w) {
  enum { ENTER, BEFORE = 1, RESTRICT = 3, CORRECT = 4, AFTER = 6 };
  const int coarsest = w->mg->levels - 1;
  if (w->finest < coarsest) QDS_TRY(run_steps(w, w->finest, ENTER, ENTER));
  for (int l = w->finest; l < coarsest; l++) QDS_TRY(run_steps(w, l, BEFORE, RESTRICT));
  QDS_TRY(invert(w, coarsest));
  for (int l = coarsest - 1; l >= w->finest; l--) QDS_TRY(run_steps(w, l, CORRECT, AFTER));
  return QDS_OK;
}

qds_device_cycle qds_device_cycle_of(const qds_multigrid *mg, int finest, const qds_block *x,
                                     const qds_block *y, int first) {
  const int batch = mg->device->level[finest].batch,
            columns = x->columns - first < batch ? x->columns - first : batch;
  return (qds_device_cycle){mg,
                            mg->device,
                            finest,
                            columns,
                            {qds_block_column(x, first), x->stride, columns},
                            {qds_block_column(y, first), y->stride, columns}};
}

qds_status qds_device_multigrid_cycle(void *self, qds_context *ctx, const qds_block *x, qds_block *y) {
  const qds_multigrid_handle *handle = self;
  (void)ctx;
  for (int first = 0; first < x->columns;) {
    const qds_device_cycle w = qds_device_cycle_of(handle->multigrid, handle->level, x, y, first);
    QDS_TRY(qds_device_cycle_run(handle->multigrid->device, &w));
    first += w.columns;
  }
  return QDS_OK;
}

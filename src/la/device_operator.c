#include "la/device_operator.h"

#include <limits.h>

#include "la/tensor_rows.h"

struct qds_device_operator {
  qds_stream *stream;
  int64_t rows;
  qds_tensor_rows coefficients;
  qds_tensor_view view;
  double *weight[3];
  qds_couplings_add_arguments couplings; /* rows 0: none */
};

/* The weights as qds_tensor_axis_view has them. */
static void fill_weights(const qds_tensor_operator *t, int a, double *weight) {
  const qds_axis *axis = t->axis[a];
  const int order = axis->order, count = order + 1;
  for (int64_t i = 0; i < t->n[a]; i++) {
    const int64_t node = i + axis->first;
    const int inside = node % order != 0;
    for (int side = 0; side < 2; side++) {
      int64_t e = node / order - (inside ? side : 1 - side);
      if (e < 0 && axis->boundary[0] == QDS_PERIODIC) e = axis->elements - 1;
      const int missing = inside ? side == 1 : e < 0 || e >= axis->elements, local = inside
                                                                                         ? (int)(node % order)
                                                                                     : side == 0 ? order
                                                                                                 : 0;
      for (int b = 0; b < count; b++)
        weight[(2 * i + side) * count + b] = missing ? 0 : t->element[a][(e * count + local) * count + b];
    }
  }
}

/* An axis without coefficients counts as a point, as on the host, with weights of 0. */
static qds_status create_axis(qds_context *ctx, const qds_tensor_operator *t, int a, qds_device_operator *d) {
  const qds_axis *axis = t->axis[a];
  const int has = qds_tensor_operator_has(t, a);
  const int64_t count = 2 * (axis->order + 1) * t->n[a];
  QDS_AUTO_RELEASE double *weight = NULL;
  QDS_TRY(QDS_NEW_ZERO(qds_context_allocator(ctx), count, "operator", &weight));
  if (has) fill_weights(t, a, weight);
  QDS_TRY(QDS_STREAM_NEW(d->stream, count, "operator", &d->weight[a]));
  QDS_TRY(qds_stream_copy(d->stream, d->weight[a], weight, sizeof *weight * (size_t)count));
  d->view.axis[a] = (qds_tensor_axis_view){.order = axis->order,
                                           .periodic = axis->boundary[0] == QDS_PERIODIC,
                                           .first = (int)axis->first,
                                           .elements = has ? (int)axis->elements : 0,
                                           .n = (int)t->n[a],
                                           .weight = d->weight[a]};
  if (has) d->view.axis[a].c = qds_tensor_rows_coefficient(&d->coefficients, t, a);
  return QDS_OK;
}

/* Kernels count nodes of an axis and of a plane in 32 bits. */
static qds_status check_size(const qds_tensor_operator *t) {
  for (int a = 0; a < 3; a++)
    if (t->axis[a]->nodes > INT_MAX / 8)
      QDS_FAIL(QDS_ERROR_UNSUPPORTED, "an axis of %lld nodes; a device takes at most %d",
               (long long)t->axis[a]->nodes, INT_MAX / 8);
  if (t->n[1] * t->n[2] > INT_MAX / 4)
    QDS_FAIL(QDS_ERROR_UNSUPPORTED, "a plane of %lld x %lld nodes; a device takes at most %d in all",
             (long long)t->n[1], (long long)t->n[2], INT_MAX / 4);
  return QDS_OK;
}

static qds_status upload(qds_stream *stream, size_t count, size_t size, const void *from, const void **to) {
  void *block = NULL;
  QDS_TRY(qds_stream_allocate(stream, count, size, "operator", __FILE__, __LINE__, &block));
  *to = block;
  return qds_stream_copy(stream, block, from, count * size);
}

/* They belong to the whole operator; one that lacks the coefficients of an axis goes without. */
static qds_status create_couplings(const qds_tensor_operator *t, qds_device_operator *d) {
  const qds_couplings *c = &t->couplings;
  qds_couplings_add_arguments *to = &d->couplings;
  for (int a = 0; a < 3; a++)
    if (t->axis[a]->elements > 0 && !qds_tensor_operator_has(t, a)) return QDS_OK;
  if (c->rows == 0) return QDS_OK;
  const size_t rows = (size_t)c->rows, entries = (size_t)c->start[c->rows];
  to->rows = c->rows;
  QDS_TRY(upload(d->stream, rows, sizeof *c->row, c->row, (const void **)&to->row));
  QDS_TRY(upload(d->stream, rows + 1, sizeof *c->start, c->start, (const void **)&to->start));
  QDS_TRY(upload(d->stream, entries, sizeof *c->column, c->column, (const void **)&to->column));
  QDS_TRY(upload(d->stream, rows, sizeof *c->diagonal, c->diagonal, (const void **)&to->diagonal));
  return upload(d->stream, entries, sizeof *c->value, c->value, (const void **)&to->value);
}

static qds_status create(qds_context *ctx, qds_stream *stream, const qds_tensor_operator *t,
                         int open_potential, qds_device_operator **out) {
  QDS_AUTO(qds_device_operator) *d = NULL;
  *out = NULL;
  QDS_TRY(QDS_NEW_ZERO(qds_context_allocator(ctx), 1, "operator", &d));
  d->stream = stream;
  d->rows = t->rows;
  QDS_TRY(check_size(t));
  QDS_TRY(qds_tensor_rows_create(ctx, stream, t, open_potential, &d->coefficients));
  for (int a = 0; a < 3; a++) QDS_TRY(create_axis(ctx, t, a, d));
  d->view.v = qds_tiled_grid(&d->coefficients.v, t->n[1]);
  d->view.rows = qds_tensor_rows_of(&d->coefficients);
  QDS_TRY(create_couplings(t, d));
  *out = d;
  d = NULL;
  return QDS_OK;
}

qds_status qds_device_operator_create(qds_context *ctx, qds_stream *stream, const qds_tensor_operator *t,
                                      qds_device_operator **out) {
  return create(ctx, stream, t, 0, out);
}

qds_status qds_device_operator_create_open(qds_context *ctx, qds_stream *stream, const qds_tensor_operator *t,
                                           qds_device_operator **out) {
  return create(ctx, stream, t, 1, out);
}

double *qds_device_operator_potential(const qds_device_operator *d, int64_t *line) {
  *line = d->coefficients.tiles * QDS_TILE;
  return d->coefficients.v.numbers;
}

void qds_device_operator_destroy(qds_device_operator *d) {
  if (!d) return;
  const qds_couplings_add_arguments *c = &d->couplings;
  const void *arrays[] = {c->row, c->start, c->column, c->diagonal, c->value};
  for (size_t i = 0; i < sizeof arrays / sizeof *arrays; i++)
    qds_stream_release(d->stream, (void *)(uintptr_t)arrays[i]);
  for (int a = 0; a < 3; a++) qds_stream_release(d->stream, d->weight[a]);
  qds_tensor_rows_clear(&d->coefficients);
  qds_release(d);
}

qds_tensor_view qds_device_operator_view(const qds_device_operator *d) {
  return d->view;
}

qds_couplings_add_arguments qds_device_operator_couplings(const qds_device_operator *d) {
  return d->couplings;
}

qds_stream *qds_device_operator_stream(const qds_device_operator *d) {
  return d->stream;
}

size_t qds_device_operator_bytes(const qds_device_operator *d) {
  size_t bytes = qds_tensor_rows_bytes(&d->coefficients);
  for (int a = 0; a < 3; a++)
    bytes += sizeof(double) * 2 * (size_t)(d->view.axis[a].order + 1) * (size_t)d->view.axis[a].n;
  return bytes;
}

int qds_tensor_planes_of_march(const qds_tensor_axis_view axis[3]) {
  enum { FEWEST = 8, MOST = 64, WANTED_WARPS = 1 << 14 };
  const int64_t warps = ((int64_t)axis[2].n + QDS_TILE - 1) / QDS_TILE * axis[1].n * axis[0].n;
  const int64_t planes = warps / WANTED_WARPS;
  return planes < FEWEST ? FEWEST : planes > MOST ? MOST : (int)planes;
}

static qds_status apply(void *self, qds_context *ctx, const qds_block *x, qds_block *y) {
  qds_device_operator *d = self;
  (void)ctx;
  if (x->columns == 0) return QDS_OK;
  const qds_columns from = {x->data, x->stride, x->columns}, to = {y->data, y->stride, x->columns};
  const qds_tensor_apply_arguments k = {d->view, from, to, qds_tensor_planes_of_march(d->view.axis)};
  QDS_TRY(qds_stream_launch(d->stream, &qds_tensor_apply_kernel, &k));
  if (d->couplings.rows == 0) return QDS_OK;
  qds_couplings_add_arguments c = d->couplings;
  c.x = from;
  c.y = to;
  return qds_stream_launch(d->stream, &qds_couplings_add_kernel, &c);
}

qds_operator qds_device_operator_apply(qds_device_operator *d) {
  return (qds_operator){d, d->rows, "tensor operator on a stream", apply};
}

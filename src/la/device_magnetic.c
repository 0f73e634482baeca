#include "la/device_magnetic.h"

#include "la/device_operator.h"

struct qds_device_magnetic {
  qds_stream *stream;
  qds_device_operator *form;
  qds_magnetic_apply_arguments apply;         /* less the blocks */
  qds_magnetic_couplings_arguments couplings; /* the same; 0 rows: none */
  double *pair[3][3], *entry;
};

/* conj(a) b */
static qds_complex turned_back(qds_complex a, qds_complex b) {
  qds_complex product = {0, 0};
  qds_complex_add_turned_back(&product, a, b);
  return product;
}

/* The pairs of a factor of axis a by axis b, in the host's order: links where `linked`. */
static void fill_pairs(const qds_phases *f, const int64_t n[3], int a, int b, int linked, double *pair) {
  const int64_t low = n[a < b ? a : b], high = n[a < b ? b : a], step = a < b ? high : 1;
  for (int64_t i = 0; i < low * high; i++) {
    qds_complex number = {f->re[i], f->im[i]};
    const int64_t own = a < b ? i / high : i % high;
    if (linked)
      number = own + 1 < n[a] ? turned_back(number, (qds_complex){f->re[i + step], f->im[i + step]})
                              : (qds_complex){1, 0};
    pair[2 * i] = number.re;
    pair[2 * i + 1] = number.im;
  }
}

static qds_status upload_pairs(qds_context *ctx, const qds_phases *f, const qds_tensor_operator *t, int a,
                               int b, qds_device_magnetic *d) {
  QDS_AUTO_RELEASE double *pair = NULL;
  const int64_t count = 2 * t->n[a] * t->n[b];
  QDS_TRY(QDS_NEW(qds_context_allocator(ctx), count, "operator", &pair));
  fill_pairs(f, t->n, a, b, d->apply.linked, pair);
  QDS_TRY(QDS_STREAM_NEW(d->stream, count, "operator", &d->pair[a][b]));
  d->apply.phase[a][b > (a == 0 ? 1 : 0)] =
      (qds_phase_view){d->pair[a][b], a < b ? t->n[b] : 1, a < b ? 1 : t->n[a]};
  return qds_stream_copy(d->stream, d->pair[a][b], pair, sizeof *pair * (size_t)count);
}

/* The form's couplings times their phases. */
static qds_status upload_couplings(qds_context *ctx, const qds_tensor_operator *t, const qds_phases *bond,
                                   qds_device_magnetic *d) {
  qds_couplings_add_arguments *k = &d->couplings.couplings;
  *k = qds_device_operator_couplings(d->form);
  d->couplings.rows = t->rows;
  if (k->rows == 0) return QDS_OK;
  QDS_AUTO_RELEASE double *entry = NULL;
  const int64_t entries = t->couplings.start[t->couplings.rows];
  QDS_TRY(QDS_NEW(qds_context_allocator(ctx), 2 * entries, "operator", &entry));
  for (int64_t e = 0; e < entries; e++) {
    entry[2 * e] = t->couplings.value[e] * bond->re[e];
    entry[2 * e + 1] = t->couplings.value[e] * bond->im[e];
  }
  QDS_TRY(QDS_STREAM_NEW(d->stream, 2 * entries, "operator", &d->entry));
  k->value = d->entry;
  return qds_stream_copy(d->stream, d->entry, entry, sizeof *entry * 2 * (size_t)entries);
}

qds_status qds_device_magnetic_create(qds_context *ctx, qds_stream *stream, const qds_tensor_operator *form,
                                      const qds_magnetic_phases *phases, qds_device_magnetic **out) {
  QDS_AUTO(qds_device_magnetic) *d = NULL;
  *out = NULL;
  QDS_TRY(QDS_NEW_ZERO(qds_context_allocator(ctx), 1, "operator", &d));
  d->stream = stream;
  QDS_TRY(qds_device_operator_create(ctx, stream, form, &d->form));
  d->apply.t = qds_device_operator_view(d->form);
  d->apply.linked = qds_tensor_is_order_1(&d->apply.t);
  d->apply.rows = form->rows;
  d->apply.planes = qds_tensor_planes_of_march(d->apply.t.axis);
  for (int a = 0; a < 3; a++)
    for (int b = 0; b < 3; b++)
      if (phases->factor[a][b].re) QDS_TRY(upload_pairs(ctx, &phases->factor[a][b], form, a, b, d));
  QDS_TRY(upload_couplings(ctx, form, &phases->bond, d));
  *out = d;
  d = NULL;
  return QDS_OK;
}

void qds_device_magnetic_destroy(qds_device_magnetic *d) {
  if (!d) return;
  for (int a = 0; a < 3; a++)
    for (int b = 0; b < 3; b++) qds_stream_release(d->stream, d->pair[a][b]);
  qds_stream_release(d->stream, d->entry);
  qds_device_operator_destroy(d->form);
  qds_release(d);
}

static qds_status apply(void *self, qds_context *ctx, const qds_block *x, qds_block *y) {
  const qds_device_magnetic *d = self;
  (void)ctx;
  if (x->columns == 0) return QDS_OK;
  const qds_columns from = {x->data, x->stride, x->columns}, to = {y->data, y->stride, x->columns};
  qds_magnetic_apply_arguments k = d->apply;
  k.x = from;
  k.y = to;
  QDS_TRY(qds_stream_launch(d->stream, &qds_magnetic_apply_kernel, &k));
  if (d->couplings.couplings.rows == 0) return QDS_OK;
  qds_magnetic_couplings_arguments c = d->couplings;
  c.couplings.x = from;
  c.couplings.y = to;
  return qds_stream_launch(d->stream, &qds_magnetic_couplings_kernel, &c);
}

qds_operator qds_device_magnetic_apply(qds_device_magnetic *d) {
  return (qds_operator){d, 2 * d->apply.rows, "magnetic operator on a stream", apply};
}

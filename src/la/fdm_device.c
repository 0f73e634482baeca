/* Fast diagonalisation on a stream. A vector is folded into even and odd parts along all axes while it is
 * copied into the workspace and unfolded while it is copied back; between the two it goes through matrix
 * products from one workspace to the other, of which one is the result's own memory where that is large
 * enough. */
#include <limits.h>

#include "la/fdm_internal.h"
#include "la/fdm_kernels.h"

struct qds_fdm_device {
  qds_stream *stream;
  qds_fdm_shape shape;
  void *modes[3][2];     /* of each axis and kind, columns 0 behind the last */
  void *offsets[3];      /* as the axes of a folded vector */
  void *folded, *second; /* vectors; second NULL: the result's own memory */
  double *peak;          /* NULL in double precision */
};

/* Numbers that make 16 bytes, or 32. */
enum { MULTIPLE = 4 };

static int rounded_up(int n) {
  return (n + MULTIPLE - 1) / MULTIPLE * MULTIPLE;
}

static qds_fdm_shape shape_of(const qds_fdm *fdm) {
  qds_fdm_shape s;
  for (int p = 0; p < 3; p++) {
    s.n[p] = fdm->axis[p].n;
    s.even[p] = s.odd_at[p] = fdm->axis[p].even;
    s.odd[p] = fdm->axis[p].odd;
  }
  s.row = s.n[2];
  if (s.n[2] > 1) {
    s.odd_at[2] = rounded_up(s.even[2]);
    s.row = s.odd_at[2] + rounded_up(s.odd[2]);
  }
  s.plane = s.row * s.n[1];
  return s;
}

static size_t folded_numbers(const qds_fdm_shape *s) {
  return (size_t)s->n[0] * (size_t)s->plane;
}

static int needs_second(const qds_fdm *fdm, const qds_fdm_shape *s) {
  return folded_numbers(s) * qds_precision_bytes(fdm->precision) > (size_t)fdm->rows * sizeof(double);
}

size_t qds_fdm_device_bytes(const qds_fdm *fdm) {
  const qds_fdm_shape s = shape_of(fdm);
  size_t numbers = folded_numbers(&s) * (needs_second(fdm, &s) ? 2 : 1);
  for (int p = 0; p < 3; p++) {
    const size_t order = (size_t)rounded_up(s.n[p]);
    numbers += order * order + order;
  }
  return numbers * qds_precision_bytes(fdm->precision);
}

static qds_status new_numbers(const qds_fdm *fdm, qds_stream *stream, size_t count, void **out) {
  return qds_stream_allocate(stream, count, qds_precision_bytes(fdm->precision), "fast diagonalisation",
                             __FILE__, __LINE__, out);
}

static void put(const qds_fdm *fdm, void *numbers, int64_t at, const void *from, int64_t from_at) {
  const int single = fdm->precision != QDS_FLOAT64;
  qds_fdm_store(numbers, single, at, qds_fdm_load(from, single, from_at));
}

/* A copy on the stream of `count` numbers that `staging` holds. */
static qds_status upload(const qds_fdm *fdm, qds_stream *stream, const void *staging, size_t count,
                         void **out) {
  QDS_TRY(new_numbers(fdm, stream, count, out));
  return qds_stream_copy(stream, *out, staging, count * qds_precision_bytes(fdm->precision));
}

static qds_status upload_modes(qds_context *ctx, const qds_fdm *fdm, int p, int kind, qds_fdm_device *d) {
  const int order = kind ? fdm->axis[p].odd : fdm->axis[p].even, wide = rounded_up(order);
  if (order == 0 || !fdm->axis[p].modes[kind]) return QDS_OK;
  const size_t count = (size_t)wide * (size_t)wide, bytes = qds_precision_bytes(fdm->precision);
  QDS_AUTO_RELEASE char *staging = NULL;
  QDS_TRY(QDS_NEW_ZERO(qds_context_allocator(ctx), count * bytes, "fast diagonalisation", &staging));
  for (int64_t j = 0; j < order; j++)
    for (int64_t i = 0; i < order; i++)
      put(fdm, staging, i + j * wide, fdm->axis[p].modes[kind], i + j * order);
  return upload(fdm, d->stream, staging, count, &d->modes[p][kind]);
}

static qds_status upload_offsets(qds_context *ctx, const qds_fdm *fdm, int p, qds_fdm_device *d) {
  const qds_fdm_shape *s = &d->shape;
  const size_t count = p == 2 ? (size_t)s->row : (size_t)s->n[p];
  QDS_AUTO_RELEASE char *staging = NULL;
  QDS_TRY(QDS_NEW_ZERO(qds_context_allocator(ctx), count * qds_precision_bytes(fdm->precision),
                       "fast diagonalisation", &staging));
  for (int i = 0; i < s->n[p]; i++)
    put(fdm, staging, i < s->even[p] ? i : s->odd_at[p] + i - s->even[p], fdm->axis[p].offsets, i);
  return upload(fdm, d->stream, staging, count, &d->offsets[p]);
}

void qds_fdm_device_destroy(qds_fdm_device *d) {
  if (!d) return;
  for (int p = 0; p < 3; p++) {
    for (int kind = 0; kind < 2; kind++) qds_stream_release(d->stream, d->modes[p][kind]);
    qds_stream_release(d->stream, d->offsets[p]);
  }
  qds_stream_release(d->stream, d->folded);
  qds_stream_release(d->stream, d->second);
  qds_stream_release(d->stream, d->peak);
  qds_release(d);
}

/* BLAS counts in 32-bit integers. */
static qds_status check_size(const qds_fdm_shape *s) {
  const int64_t lines = (int64_t)s->n[0] * s->n[1];
  if (lines > INT_MAX || s->plane > INT_MAX)
    QDS_FAIL(QDS_ERROR_UNSUPPORTED,
             "fast diagonalisation: %d x %d x %d unknowns; a device takes at most %d lines and %d in a plane",
             s->n[0], s->n[1], s->n[2], INT_MAX, INT_MAX);
  return QDS_OK;
}

/* Lets a library of matrix products that is not there show now, and what it sets up with its first product
 * happen before a stream is captured. */
static qds_status try_product(qds_context *ctx, const qds_fdm *fdm, const qds_fdm_device *d) {
  const qds_matrix_product_arguments k = {.precision = fdm->precision,
                                          .m = 1,
                                          .n = 1,
                                          .k = 1,
                                          .lda = 1,
                                          .ldb = 1,
                                          .ldc = 1,
                                          .batches = 1,
                                          .a = d->offsets[0],
                                          .b = d->offsets[1],
                                          .c = d->folded};
  return qds_matrix_product(ctx, d->stream, &k);
}

qds_status qds_fdm_device_create(qds_context *ctx, qds_stream *stream, const qds_fdm *fdm,
                                 qds_fdm_device **out) {
  QDS_AUTO(qds_fdm_device) *d = NULL;
  *out = NULL;
  QDS_TRY(QDS_NEW_ZERO(qds_context_allocator(ctx), 1, "fast diagonalisation", &d));
  d->stream = stream;
  d->shape = shape_of(fdm);
  QDS_TRY(check_size(&d->shape));
  for (int p = 0; p < 3; p++) {
    for (int kind = 0; kind < 2; kind++) QDS_TRY(upload_modes(ctx, fdm, p, kind, d));
    QDS_TRY(upload_offsets(ctx, fdm, p, d));
  }
  const size_t numbers = folded_numbers(&d->shape);
  QDS_TRY(new_numbers(fdm, stream, numbers, &d->folded));
  if (needs_second(fdm, &d->shape)) QDS_TRY(new_numbers(fdm, stream, numbers, &d->second));
  if (fdm->precision != QDS_FLOAT64) QDS_TRY(QDS_STREAM_NEW(stream, 1, "fast diagonalisation", &d->peak));
  QDS_TRY(try_product(ctx, fdm, d));
  *out = d;
  d = NULL;
  return QDS_OK;
}

/* The part of one kind: `from` and `to` folded vectors. The products are those of fdm_sweeps.h, but for the
 * last axis, where the columns of BLAS are the rows of the vector. */
static qds_matrix_product_arguments product_of(const qds_fdm *fdm, int p, int kind, int back,
                                               const void *from, void *to) {
  const qds_fdm_device *d = fdm->device;
  const qds_fdm_shape *s = &d->shape;
  const int order = kind ? s->odd[p] : s->even[p], wide = rounded_up(order);
  const int64_t begin = kind ? s->odd_at[p] * (p == 0 ? s->plane : p == 1 ? s->row : 1) : 0;
  const size_t bytes = qds_precision_bytes(fdm->precision);
  const void *x = (const char *)from + (size_t)begin * bytes;
  qds_matrix_product_arguments k = {
      .precision = fdm->precision, .c = (char *)to + (size_t)begin * bytes, .batches = 1};
  if (p == 2) {
    k.transpose_a = !back;
    k.m = k.k = wide;
    k.n = s->n[0] * s->n[1];
    k.a = d->modes[p][kind];
    k.lda = wide;
    k.b = x;
    k.ldb = k.ldc = (int)s->row;
    return k;
  }
  k.transpose_b = back;
  k.m = (int)(p == 0 ? s->plane : s->row);
  k.n = k.k = order;
  k.a = x;
  k.lda = k.ldc = k.m;
  k.b = d->modes[p][kind];
  k.ldb = wide;
  if (p == 1) {
    k.batches = s->n[0];
    k.stride_a = k.stride_c = s->plane;
  }
  return k;
}

/* Along one axis from *from to *to, which then change places. */
static qds_status transform(qds_context *ctx, const qds_fdm *fdm, int p, int back, void **from, void **to) {
  const qds_fdm_device *d = fdm->device;
  if (d->shape.n[p] == 1) return QDS_OK;
  for (int kind = 0; kind < (d->shape.odd[p] > 0 ? 2 : 1); kind++) {
    const qds_matrix_product_arguments k = product_of(fdm, p, kind, back, *from, *to);
    QDS_TRY(qds_matrix_product(ctx, d->stream, &k));
  }
  void *swap = *from;
  *from = *to;
  *to = swap;
  return QDS_OK;
}

static qds_status fold(const qds_fdm *fdm, const double *x) {
  const qds_fdm_device *d = fdm->device;
  if (d->peak) {
    const qds_fdm_peak_arguments k = {x, fdm->rows, d->peak};
    QDS_TRY(qds_stream_fill(d->stream, d->peak, 0, sizeof *d->peak));
    QDS_TRY(qds_stream_launch(d->stream, &qds_fdm_peak_kernel, &k));
  }
  const qds_fdm_fold_arguments k = {d->shape, d->peak != NULL, d->peak, x, d->folded};
  return qds_stream_launch(d->stream, &qds_fdm_fold_kernel, &k);
}

static qds_status apply_column(qds_context *ctx, const qds_fdm *fdm, const double *x, double *y) {
  const qds_fdm_device *d = fdm->device;
  const int single = fdm->precision != QDS_FLOAT64;
  void *from = d->folded, *to = d->second ? d->second : y;
  QDS_TRY(fold(fdm, x));
  for (int p = 2; p >= 0; p--) QDS_TRY(transform(ctx, fdm, p, 0, &from, &to));
  const qds_fdm_divide_arguments divide = {
      d->shape, single, fdm->gap, {d->offsets[0], d->offsets[1], d->offsets[2]}, from};
  QDS_TRY(qds_stream_launch(d->stream, &qds_fdm_divide_kernel, &divide));
  for (int p = 0; p < 3; p++) QDS_TRY(transform(ctx, fdm, p, 1, &from, &to));
  const qds_fdm_unfold_arguments unfold = {d->shape, single, d->peak, 1 / fdm->unit, from, y};
  return qds_stream_launch(d->stream, &qds_fdm_unfold_kernel, &unfold);
}

qds_status qds_fdm_apply_device(qds_context *ctx, const qds_fdm *fdm, const qds_block *x, qds_block *y) {
  QDS_REQUIRE(x->stream == fdm->device->stream && y->stream == x->stream,
              "fast diagonalisation: blocks of another place");
  for (int j = 0; j < x->columns; j++)
    QDS_TRY(apply_column(ctx, fdm, qds_block_column(x, j), qds_block_column(y, j)));
  return QDS_OK;
}

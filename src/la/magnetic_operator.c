#include "la/magnetic_operator.h"

#include <math.h>
#include <string.h>

#include "base/vectorise.h"
#include "la/device_magnetic.h"

struct qds_magnetic_operator {
  const qds_tensor_operator *form; /* borrowed */
  qds_tensor_operator real;        /* the form with `diamagnetic` */
  double *diamagnetic;
  qds_magnetic_phases phases;
  /* Of the host, made when it is first applied there: */
  qds_tensor_operator part[3]; /* the form with the coefficients of one axis; v in that of the last */
  qds_phases one;              /* n[2] times 1 */
  double *zeros;
  qds_block turned, image;     /* one complex vector each, as two columns */
  qds_device_magnetic *device; /* on the stream that it was applied on first, or NULL */
};

/* The mean of a coefficient over the elements that hold an unknown, with those of the other axes. */
static double mean_coefficient(const qds_tensor_operator *t, int a, const int64_t u[3]) {
  const qds_axis *axis = t->axis[a];
  const int64_t node = u[a] + axis->first;
  int64_t left = node / axis->order, right = left;
  if (node % axis->order == 0 && left > 0) left--;
  if (right == axis->elements) right--;
  return 0.5 * (qds_tensor_operator_coefficient(t, a, left, u[0], u[1], u[2]) +
                qds_tensor_operator_coefficient(t, a, right, u[0], u[1], u[2]));
}

/* v + sum_a c_a alpha_a^2 */
static void add_diamagnetic(qds_context *ctx, const qds_tensor_operator *t, const qds_vector_potential *p,
                            double *sum) {
#pragma omp parallel for num_threads(qds_context_threads(ctx)) schedule(static)
  for (int64_t index = 0; index < t->rows; index++) {
    const int64_t u[3] = {index / (t->n[1] * t->n[2]), index / t->n[2] % t->n[1], index % t->n[2]};
    sum[index] = t->v[index];
    for (int a = 0; a < 3; a++) {
      double alpha = 0;
      if (t->axis[a]->elements == 0) continue;
      for (int b = 0; b < 3; b++)
        if (b != a) alpha += p->slope[a][b] * qds_unknown_nm(t->axis[b], u[b], p->origin_nm[b]);
      sum[index] += mean_coefficient(t, a, u) * alpha * alpha;
    }
  }
}

qds_status qds_magnetic_operator_create(qds_context *ctx, const qds_tensor_operator *t,
                                        const qds_vector_potential *potential, qds_magnetic_operator **out) {
  qds_allocator *allocator = qds_context_allocator(ctx);
  QDS_AUTO(qds_magnetic_operator) *m = NULL;
  *out = NULL;
  for (int a = 0; a < 3; a++)
    QDS_REQUIRE(t->axis[a]->boundary[0] != QDS_PERIODIC,
                "a magnetic field: the vector potential is not periodic, axis %d is", a);
  QDS_TRY(QDS_NEW_ZERO(allocator, 1, "operator", &m));
  QDS_TRY(QDS_NEW(allocator, t->rows, "operator", &m->diamagnetic));
  QDS_TRY(qds_magnetic_phases_create(ctx, t, potential, &m->phases));
  m->form = t;
  m->real = *t;
  m->real.v = m->diamagnetic;
  add_diamagnetic(ctx, t, potential, m->diamagnetic);
  *out = m;
  m = NULL;
  return QDS_OK;
}

static void clear_host_work(qds_magnetic_operator *m) {
  qds_release(m->one.re);
  qds_release(m->one.im);
  qds_release(m->zeros);
  m->one = (qds_phases){0};
  m->zeros = NULL;
  qds_block_clear(&m->turned);
  qds_block_clear(&m->image);
}

void qds_magnetic_operator_destroy(qds_magnetic_operator *m) {
  if (!m) return;
  qds_device_magnetic_destroy(m->device);
  clear_host_work(m);
  qds_magnetic_phases_clear(&m->phases);
  qds_release(m->diamagnetic);
  qds_release(m);
}

static qds_status create_host_work(qds_magnetic_operator *m, qds_context *ctx) {
  const qds_tensor_operator *t = m->form;
  qds_allocator *allocator = qds_context_allocator(ctx);
  QDS_TRY(QDS_NEW_ZERO(allocator, t->rows, "operator", &m->zeros));
  QDS_TRY(QDS_NEW(allocator, t->n[2], "operator", &m->one.re));
  QDS_TRY(QDS_NEW_ZERO(allocator, t->n[2], "operator", &m->one.im));
  for (int64_t k = 0; k < t->n[2]; k++) m->one.re[k] = 1;
  for (int a = 0; a < 3; a++) {
    m->part[a] = *t;
    if (a < 2) m->part[a].v = m->zeros;
    for (int b = 0; b < 3; b++)
      if (a != b) m->part[a].c[b] = NULL;
  }
  QDS_TRY(qds_block_create(ctx, t->rows, 2, "operator", &m->turned));
  return qds_block_create(ctx, t->rows, 2, "operator", &m->image);
}

/* The factor of axis a by axis b on the line (i, j) of the last axis: an array along the line when one of the
 * axes is the last, else one number. */
static qds_phases factor_on_line(const qds_magnetic_operator *m, int a, int b, int64_t i, int64_t j) {
  const qds_phases *f = &m->phases.factor[a][b];
  if (!f->re) return m->one;
  const int64_t *n = m->real.n, at = a + b == 1 ? i * n[1] + j : (a + b == 2 ? i : j) * n[2];
  return (qds_phases){f->re + at, f->im + at};
}

/* y = G x, or, where `back`, y += G^* x, along a line with G = p q. p is one number or an array. */
__attribute__((always_inline)) static inline void turn(int64_t n, int back, int p_is_number, qds_phases p,
                                                       qds_phases q, const double *restrict x_re,
                                                       const double *restrict x_im, double *restrict y_re,
                                                       double *restrict y_im) {
  for (int64_t k = 0; k < n; k++) {
    const double p_re = p.re[p_is_number ? 0 : k], p_im = p.im[p_is_number ? 0 : k];
    const double re = p_re * q.re[k] - p_im * q.im[k], im = p_re * q.im[k] + p_im * q.re[k];
    if (back) {
      y_re[k] += re * x_re[k] + im * x_im[k];
      y_im[k] += re * x_im[k] - im * x_re[k];
    } else {
      y_re[k] = re * x_re[k] - im * x_im[k];
      y_im[k] = re * x_im[k] + im * x_re[k];
    }
  }
}

QDS_VECTORISE static void turn_line(const qds_magnetic_operator *m, int a, int back, int64_t line,
                                    const qds_block *x, qds_block *y) {
  const int64_t n = m->real.n[2], i = line / m->real.n[1], j = line % m->real.n[1];
  const qds_phases p = factor_on_line(m, a, a == 0 ? 1 : 0, i, j),
                   q = factor_on_line(m, a, a == 2 ? 1 : 2, i, j);
  const double *x_re = qds_block_column(x, 0) + line * n, *x_im = qds_block_column(x, 1) + line * n;
  double *y_re = qds_block_column(y, 0) + line * n, *y_im = qds_block_column(y, 1) + line * n;
  if (a < 2)
    turn(n, back, 1, p, q, x_re, x_im, y_re, y_im);
  else
    turn(n, back, 0, p, q, x_re, x_im, y_re, y_im);
}

/* y = G_a x, or, where `back`, y += G_a^* x, of one complex vector. */
static void turn_vector(const qds_magnetic_operator *m, qds_context *ctx, int a, int back, const qds_block *x,
                        qds_block *y) {
#pragma omp parallel for num_threads(qds_context_threads(ctx)) schedule(static) if (m->real.rows > 4096)
  for (int64_t line = 0; line < m->real.n[0] * m->real.n[1]; line++) turn_line(m, a, back, line, x, y);
}

/* y += G_a^* K_a G_a x of one complex vector. */
static qds_status add_axis(qds_magnetic_operator *m, qds_context *ctx, int a, const qds_block *x,
                           qds_block *y) {
  const qds_operator part = qds_tensor_operator_apply(&m->part[a]);
  turn_vector(m, ctx, a, 0, x, &m->turned);
  QDS_TRY(part.apply(part.self, ctx, &m->turned, &m->image));
  turn_vector(m, ctx, a, 1, &m->image, y);
  return QDS_OK;
}

/* y += the form's couplings, with their phases, of one complex vector. */
static void add_couplings(const qds_magnetic_operator *m, qds_context *ctx, const qds_block *x,
                          qds_block *y) {
  const qds_couplings *c = &m->real.couplings;
  const double *x_re = qds_block_column(x, 0), *x_im = qds_block_column(x, 1);
  double *y_re = qds_block_column(y, 0), *y_im = qds_block_column(y, 1);
#pragma omp parallel for num_threads(qds_context_threads(ctx)) schedule(static) if (c->rows > 4096)
  for (int64_t i = 0; i < c->rows; i++) {
    const int64_t row = c->row[i];
    double re = c->diagonal[i] * x_re[row], im = c->diagonal[i] * x_im[row];
    for (int64_t e = c->start[i]; e < c->start[i + 1]; e++) {
      const double a = c->value[e] * m->phases.bond.re[e], b = c->value[e] * m->phases.bond.im[e];
      re += a * x_re[c->column[e]] - b * x_im[c->column[e]];
      im += a * x_im[c->column[e]] + b * x_re[c->column[e]];
    }
    y_re[row] += re;
    y_im[row] += im;
  }
}

static qds_status apply(void *self, qds_context *ctx, const qds_block *x, qds_block *y) {
  qds_magnetic_operator *m = self;
  const int64_t rows = m->real.rows;
  if (!m->image.data) {
    const qds_status status = create_host_work(m, ctx);
    if (status != QDS_OK) clear_host_work(m);
    QDS_TRY(status);
  }
  for (int column = 0; column < x->columns; column++) {
    const qds_block from = {qds_block_column(x, column), rows, rows, 2, NULL};
    qds_block to = {qds_block_column(y, column), rows, rows, 2, NULL};
    memset(to.data, 0, sizeof(double) * 2 * (size_t)rows);
    for (int a = 0; a < 3; a++)
      if (m->part[a].c[a]) QDS_TRY(add_axis(m, ctx, a, &from, &to));
    add_couplings(m, ctx, &from, &to);
  }
  return QDS_OK;
}

qds_operator qds_magnetic_operator_apply(qds_magnetic_operator *m) {
  return (qds_operator){m, 2 * m->real.rows, "magnetic operator", apply};
}

qds_status qds_magnetic_operator_on_stream(void *self, qds_context *ctx, qds_stream *stream,
                                           qds_operator *out) {
  qds_magnetic_operator *m = self;
  if (!m->device) QDS_TRY(qds_device_magnetic_create(ctx, stream, m->form, &m->phases, &m->device));
  *out = qds_device_magnetic_apply(m->device);
  return QDS_OK;
}

qds_tensor_operator *qds_magnetic_operator_real(qds_magnetic_operator *m) {
  return &m->real;
}

size_t qds_magnetic_operator_bytes(int64_t rows, int on_stream) {
  return sizeof(double) * (on_stream ? 1 : 6) * (size_t)rows;
}

#include "la/magnetic_operator.h"

#include <math.h>
#include <string.h>

#include "base/vectorise.h"

/* Numbers of modulus 1. */
typedef struct {
  double *re, *im;
} phases;

struct qds_magnetic_operator {
  qds_tensor_operator part[3]; /* the form with the coefficients of one axis; v in that of the last */
  qds_tensor_operator real;
  /* factor[a][b]: e^(-i slope x_a x_b) for each pair of unknowns of the axes a and b, that of the later axis
   * running fastest; empty where slope[a][b] is 0. G_a is the product of its two factors. */
  phases factor[3][3];
  phases one;  /* n[2] times 1 */
  phases bond; /* e^(-i phi) of each entry of the form's couplings, phi along the straight way to it */
  double *zeros, *diamagnetic;
  qds_block turned, image; /* one complex vector each, as two columns */
};

static double from_origin(const qds_axis *axis, int64_t unknown, double origin) {
  return axis->coordinates_nm[unknown + axis->first] - origin;
}

static qds_status create_factor(qds_context *ctx, const qds_tensor_operator *t, const qds_vector_potential *p,
                                int a, int b, phases *out) {
  const int low = a < b ? a : b, high = a < b ? b : a;
  const int64_t count = t->n[low] * t->n[high];
  if (p->slope[a][b] == 0 || t->axis[a]->elements == 0) return QDS_OK;
  QDS_TRY(QDS_NEW(qds_context_allocator(ctx), count, "operator", &out->re));
  QDS_TRY(QDS_NEW(qds_context_allocator(ctx), count, "operator", &out->im));
  for (int64_t i = 0; i < t->n[low]; i++)
    for (int64_t j = 0; j < t->n[high]; j++) {
      const double theta = p->slope[a][b] * from_origin(t->axis[low], i, p->origin_nm[low]) *
                           from_origin(t->axis[high], j, p->origin_nm[high]);
      out->re[i * t->n[high] + j] = cos(theta);
      out->im[i * t->n[high] + j] = -sin(theta);
    }
  return QDS_OK;
}

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
        if (b != a) alpha += p->slope[a][b] * from_origin(t->axis[b], u[b], p->origin_nm[b]);
      sum[index] += mean_coefficient(t, a, u) * alpha * alpha;
    }
  }
}

static void place_of(const qds_tensor_operator *t, int64_t row, const double origin[3], double r[3]) {
  const int64_t u[3] = {row / (t->n[1] * t->n[2]), row / t->n[2] % t->n[1], row % t->n[2]};
  for (int a = 0; a < 3; a++) r[a] = from_origin(t->axis[a], u[a], origin[a]);
}

/* alpha is linear: its integral along a straight way is that of its value in the middle. */
static double phase_between(const qds_vector_potential *p, const double from[3], const double to[3]) {
  double phase = 0;
  for (int a = 0; a < 3; a++)
    for (int b = 0; b < 3; b++)
      if (a != b) phase += p->slope[a][b] * 0.5 * (from[b] + to[b]) * (to[a] - from[a]);
  return phase;
}

static qds_status create_bonds(qds_context *ctx, const qds_tensor_operator *t, const qds_vector_potential *p,
                               phases *out) {
  const qds_couplings *c = &t->couplings;
  if (c->rows == 0) return QDS_OK;
  QDS_TRY(QDS_NEW(qds_context_allocator(ctx), c->start[c->rows], "operator", &out->re));
  QDS_TRY(QDS_NEW(qds_context_allocator(ctx), c->start[c->rows], "operator", &out->im));
  for (int64_t i = 0; i < c->rows; i++)
    for (int64_t e = c->start[i]; e < c->start[i + 1]; e++) {
      double from[3], to[3];
      place_of(t, c->row[i], p->origin_nm, from);
      place_of(t, c->column[e], p->origin_nm, to);
      const double phase = phase_between(p, from, to);
      out->re[e] = cos(phase);
      out->im[e] = -sin(phase);
    }
  return QDS_OK;
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
  QDS_TRY(QDS_NEW_ZERO(allocator, t->rows, "operator", &m->zeros));
  QDS_TRY(QDS_NEW(allocator, t->rows, "operator", &m->diamagnetic));
  QDS_TRY(QDS_NEW(allocator, t->n[2], "operator", &m->one.re));
  QDS_TRY(QDS_NEW_ZERO(allocator, t->n[2], "operator", &m->one.im));
  for (int64_t k = 0; k < t->n[2]; k++) m->one.re[k] = 1;
  QDS_TRY(qds_block_create(ctx, t->rows, 2, "operator", &m->turned));
  QDS_TRY(qds_block_create(ctx, t->rows, 2, "operator", &m->image));
  for (int a = 0; a < 3; a++) {
    m->part[a] = *t;
    if (a < 2) m->part[a].v = m->zeros;
    for (int b = 0; b < 3; b++) {
      if (a == b) continue;
      m->part[a].c[b] = NULL;
      QDS_TRY(create_factor(ctx, t, potential, a, b, &m->factor[a][b]));
    }
  }
  QDS_TRY(create_bonds(ctx, t, potential, &m->bond));
  m->real = *t;
  m->real.v = m->diamagnetic;
  add_diamagnetic(ctx, t, potential, m->diamagnetic);
  *out = m;
  m = NULL;
  return QDS_OK;
}

void qds_magnetic_operator_destroy(qds_magnetic_operator *m) {
  if (!m) return;
  for (int a = 0; a < 3; a++)
    for (int b = 0; b < 3; b++) {
      qds_release(m->factor[a][b].re);
      qds_release(m->factor[a][b].im);
    }
  qds_release(m->one.re);
  qds_release(m->one.im);
  qds_release(m->bond.re);
  qds_release(m->bond.im);
  qds_release(m->zeros);
  qds_release(m->diamagnetic);
  qds_block_clear(&m->turned);
  qds_block_clear(&m->image);
  qds_release(m);
}

/* The factor of axis a by axis b on the line (i, j) of the last axis: an array along the line when one of the
 * axes is the last, else one number. */
static phases factor_on_line(const qds_magnetic_operator *m, int a, int b, int64_t i, int64_t j) {
  const phases *f = &m->factor[a][b];
  if (!f->re) return m->one;
  const int64_t *n = m->real.n, at = a + b == 1 ? i * n[1] + j : (a + b == 2 ? i : j) * n[2];
  return (phases){f->re + at, f->im + at};
}

/* y = G x, or, where `back`, y += G^* x, along a line with G = p q. p is one number or an array. */
__attribute__((always_inline)) static inline void turn(int64_t n, int back, int p_is_number, phases p,
                                                       phases q, const double *restrict x_re,
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
  const phases p = factor_on_line(m, a, a == 0 ? 1 : 0, i, j), q = factor_on_line(m, a, a == 2 ? 1 : 2, i, j);
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
      const double a = c->value[e] * m->bond.re[e], b = c->value[e] * m->bond.im[e];
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

qds_tensor_operator *qds_magnetic_operator_real(qds_magnetic_operator *m) {
  return &m->real;
}

void qds_magnetic_change_gauge(qds_context *ctx, const qds_tensor_operator *t,
                               const qds_vector_potential *from, const qds_vector_potential *to,
                               qds_block *x) {
#pragma omp parallel for num_threads(qds_context_threads(ctx)) schedule(static)
  for (int64_t index = 0; index < t->rows; index++) {
    const int64_t u[3] = {index / (t->n[1] * t->n[2]), index / t->n[2] % t->n[1], index % t->n[2]};
    double r[3], chi = 0;
    for (int a = 0; a < 3; a++) r[a] = from_origin(t->axis[a], u[a], from->origin_nm[a]);
    for (int a = 0; a < 3; a++)
      for (int b = 0; b < 3; b++)
        if (a != b) chi += 0.5 * (to->slope[a][b] - from->slope[a][b]) * r[a] * r[b];
    const double c = cos(chi), s = sin(chi);
    for (int j = 0; j < x->columns; j++) {
      double *re = qds_block_column(x, j) + index, *im = re + t->rows;
      const double old = *re;
      *re = c * old - s * *im;
      *im = s * old + c * *im;
    }
  }
}

size_t qds_magnetic_operator_bytes(int64_t rows) {
  return sizeof(double) * 6 * (size_t)rows;
}

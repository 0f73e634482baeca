#include "la/tensor_operator.h"

#include <string.h>

#include "base/vectorise.h"

int64_t qds_tensor_operator_coefficients(const qds_tensor_operator *t, int axis) {
  if (t->axis[axis]->elements == 0) return 0;
  if (t->by_element[axis]) return t->axis[axis]->elements;
  return t->rows / t->n[axis] * t->axis[axis]->elements;
}

static int64_t coefficient_index(const qds_tensor_operator *t, int axis, int64_t e, int64_t i, int64_t j,
                                 int64_t k) {
  if (t->by_element[axis]) return e;
  if (axis == 0) return (e * t->n[1] + j) * t->n[2] + k;
  if (axis == 1) return (i * t->axis[1]->elements + e) * t->n[2] + k;
  return (i * t->n[1] + j) * t->axis[2]->elements + e;
}

double qds_tensor_operator_coefficient(const qds_tensor_operator *t, int axis, int64_t e, int64_t i,
                                       int64_t j, int64_t k) {
  return t->c[axis][coefficient_index(t, axis, e, i, j, k)];
}

static void scale_elements(const qds_axis *axis, double *scaled) {
  const int count = axis->order + 1;
  for (int64_t e = 0; e < axis->elements; e++)
    for (int a = 0; a < count; a++)
      for (int b = 0; b < count; b++) {
        const int64_t i = qds_axis_unknown(axis, e * axis->order + a),
                      j = qds_axis_unknown(axis, e * axis->order + b);
        const int64_t at = (e * count + a) * count + b;
        scaled[at] = i < 0 || j < 0 ? 0 : axis->stiffness[at] * axis->scale[i] * axis->scale[j];
      }
}

/* At order 1 a node k of the last axis has the elements to its left and right; the four numbers are the
 * diagonal and off-diagonal entries of each, as four arrays of n[2], 0 where there is no element or no
 * neighbour. */
static void fill_line(const qds_tensor_operator *t) {
  const qds_axis *axis = t->axis[2];
  const int64_t n = t->n[2];
  memset(t->line, 0, sizeof(double) * 4 * (size_t)n);
  for (int64_t k = 0; k < n; k++) {
    const int64_t right = k + axis->first, left = right > 0 ? right - 1 : axis->elements - 1;
    const int has_left = right > 0 || axis->boundary[0] == QDS_PERIODIC, has_right = right < axis->elements;
    if (has_left) t->line[k] = t->element[2][left * 4 + 3], t->line[n + k] = t->element[2][left * 4 + 2];
    if (has_right)
      t->line[2 * n + k] = t->element[2][right * 4], t->line[3 * n + k] = t->element[2][right * 4 + 1];
  }
}

qds_status qds_tensor_operator_create_bare(qds_context *ctx, const qds_axis *const axis[3],
                                           const int by_element[3], qds_tensor_operator **out) {
  qds_allocator *allocator = qds_context_allocator(ctx);
  QDS_AUTO(qds_tensor_operator) *t = NULL;
  *out = NULL;
  QDS_TRY(QDS_NEW_ZERO(allocator, 1, "operator", &t));
  t->rows = 1;
  for (int a = 0; a < 3; a++) {
    t->axis[a] = axis[a];
    t->n[a] = axis[a]->unknowns;
    t->by_element[a] = by_element[a];
    if (__builtin_mul_overflow(t->rows, t->n[a], &t->rows))
      QDS_FAIL(QDS_ERROR_INPUT, "more unknowns than 2^63");
  }
  QDS_TRY(QDS_NEW_ZERO(allocator, t->n[2], "operator", &t->zeros));
  for (int a = 0; a < 3; a++) {
    if (axis[a]->elements == 0) continue;
    const int64_t square = (axis[a]->order + 1) * (axis[a]->order + 1);
    QDS_TRY(QDS_NEW(allocator, axis[a]->elements * square, "operator", &t->element[a]));
    scale_elements(axis[a], t->element[a]);
  }
  if (axis[2]->elements > 0 && axis[2]->order == 1) {
    QDS_TRY(QDS_NEW(allocator, 4 * t->n[2], "operator", &t->line));
    fill_line(t);
  }
  *out = t;
  t = NULL;
  return QDS_OK;
}

qds_status qds_tensor_operator_create(qds_context *ctx, const qds_axis *const axis[3],
                                      const int by_element[3], qds_tensor_operator **out) {
  QDS_AUTO(qds_tensor_operator) *t = NULL;
  *out = NULL;
  QDS_TRY(qds_tensor_operator_create_bare(ctx, axis, by_element, &t));
  QDS_TRY(qds_tensor_operator_fill(ctx, t));
  *out = t;
  t = NULL;
  return QDS_OK;
}

void qds_tensor_operator_destroy(qds_tensor_operator *t) {
  if (!t) return;
  for (int a = 0; a < 3; a++) {
    qds_release(t->c[a]);
    qds_release(t->element[a]);
  }
  for (int which = 0; which < 4; which++) qds_lines_clear(&t->lines[which]);
  qds_release(t->v);
  qds_release(t->zeros);
  qds_couplings_clear(&t->couplings);
  qds_release(t->line);
  qds_release(t);
}

/* y += c * sum_b weight[b] * line[b] over `count` lines; c varies along the line unless it is one number. */
__attribute__((always_inline)) static inline void add_lines(int64_t n, double *restrict y,
                                                            const double *restrict c, int c_is_number,
                                                            int count, const double *weight,
                                                            const double *const *line) {
  int b = 0;
  for (; b + 1 < count; b += 2) {
    const double w0 = weight[b], w1 = weight[b + 1], *restrict u0 = line[b], *restrict u1 = line[b + 1];
    if (c_is_number) {
      const double k0 = w0 * *c, k1 = w1 * *c;
      for (int64_t k = 0; k < n; k++) y[k] += k0 * u0[k] + k1 * u1[k];
    } else {
      for (int64_t k = 0; k < n; k++) y[k] += c[k] * (w0 * u0[k] + w1 * u1[k]);
    }
  }
  if (b < count) {
    const double w0 = weight[b], *restrict u0 = line[b];
    for (int64_t k = 0; k < n; k++) y[k] += c[c_is_number ? 0 : k] * w0 * u0[k];
  }
}

/* The part of axis a = 0 or 1 for the line (i, j): every element that holds the line's node. */
__attribute__((always_inline)) static inline void add_across(const qds_tensor_operator *t, int a, int64_t i,
                                                             int64_t j, const double *u, double *y) {
  const qds_axis *axis = t->axis[a];
  const int order = axis->order, count = order + 1;
  const int64_t own = a == 0 ? i : j, node = own + axis->first;
  const int64_t stride = a == 0 ? t->n[1] * t->n[2] : t->n[2];
  const double *origin = a == 0 ? u + j * t->n[2] : u + i * t->n[1] * t->n[2];
  const int periodic = axis->boundary[0] == QDS_PERIODIC;
  for (int side = node % order == 0 ? 0 : 1; side < 2; side++) {
    int64_t e = node / order - 1 + side;
    if (e < 0 && periodic) e = axis->elements - 1;
    if (e < 0 || e >= axis->elements) continue;
    const int local = node % order != 0 ? (int)(node % order) : side == 0 ? order : 0;
    const double *line[5];
    for (int b = 0; b < count; b++) {
      const int64_t unknown = qds_axis_unknown(axis, e * order + b);
      line[b] = unknown < 0 ? t->zeros : origin + unknown * stride;
    }
    add_lines(t->n[2], y, t->c[a] + coefficient_index(t, a, e, i, j, 0), t->by_element[a], count,
              t->element[a] + (e * count + local) * count, line);
  }
}

/* y = v u + the part of the last axis at order 1. */
__attribute__((always_inline)) static inline void start_line(const qds_tensor_operator *t, int64_t n,
                                                             const double *restrict v,
                                                             const double *restrict c,
                                                             const double *restrict u, double *restrict y) {
  const qds_axis *axis = t->axis[2];
  const double *restrict ll = t->line, *restrict lo = t->line + n, *restrict rr = t->line + 2 * n,
                         *restrict ro = t->line + 3 * n;
  const double *restrict right_of = c + axis->first;
  const int periodic = axis->boundary[0] == QDS_PERIODIC;
  for (int64_t k = 1; k < n - 1; k++)
    y[k] = v[k] * u[k] + right_of[k - 1] * (ll[k] * u[k] + lo[k] * u[k - 1]) +
           right_of[k] * (rr[k] * u[k] + ro[k] * u[k + 1]);
  for (int64_t k = 0; k<n; k += n> 1 ? n - 1 : 1) {
    const double before = k > 0      ? u[k - 1]
                          : periodic ? u[n - 1]
                                     : 0,
                 after = k < n - 1  ? u[k + 1]
                         : periodic ? u[0]
                                    : 0;
    const int64_t right = k + axis->first, left = right > 0 ? right - 1 : axis->elements - 1;
    const double c_right = right < axis->elements ? c[right] : 0;
    y[k] = v[k] * u[k] + c[left] * (ll[k] * u[k] + lo[k] * before) + c_right * (rr[k] * u[k] + ro[k] * after);
  }
}

/* y = v u + the part of the last axis at order 2 to 4, element by element. */
__attribute__((always_inline)) static inline void
start_line_elements(const qds_tensor_operator *t, int order, int64_t n, const double *restrict v,
                    const double *restrict c, const double *restrict u, double *restrict y) {
  const qds_axis *axis = t->axis[2];
  const int count = order + 1;
  for (int64_t k = 0; k < n; k++) y[k] = v[k] * u[k];
  for (int64_t e = 0; e < axis->elements; e++) {
    const double *restrict element = t->element[2] + e * count * count;
    const int64_t base = e * order - axis->first;
    const int inside = base >= 0 && base + order < n;
    double local[5];
    for (int b = 0; b < count; b++) {
      const int64_t unknown = inside ? base + b : qds_axis_unknown(axis, e * order + b);
      local[b] = unknown < 0 ? 0 : u[unknown];
    }
    for (int a = 0; a < count; a++) {
      double sum = 0;
      for (int b = 0; b < count; b++) sum += element[a * count + b] * local[b];
      const int64_t unknown = inside ? base + a : qds_axis_unknown(axis, e * order + a);
      if (unknown >= 0) y[unknown] += c[e] * sum;
    }
  }
}

QDS_VECTORISE static void apply_line(const qds_tensor_operator *t, int64_t i, int64_t j, const double *u,
                                     double *y) {
  const int64_t n = t->n[2], at = (i * t->n[1] + j) * n;
  const double *v = t->v + at, *c = t->c[2] ? t->c[2] + coefficient_index(t, 2, 0, i, j, 0) : NULL;
  double *line = y + at;
  if (!c)
    for (int64_t k = 0; k < n; k++) line[k] = v[k] * u[at + k];
  else
    switch (t->axis[2]->order) {
    case 1:
      start_line(t, n, v, c, u + at, line);
      break;
    case 2:
      start_line_elements(t, 2, n, v, c, u + at, line);
      break;
    case 3:
      start_line_elements(t, 3, n, v, c, u + at, line);
      break;
    default:
      start_line_elements(t, 4, n, v, c, u + at, line);
      break;
    }
  for (int a = 0; a < 2; a++)
    if (t->c[a]) add_across(t, a, i, j, u, line);
}

static int is_whole(const qds_tensor_operator *t) {
  for (int a = 0; a < 3; a++)
    if (t->axis[a]->elements > 0 && !t->c[a]) return 0;
  return 1;
}

static qds_status apply(void *self, qds_context *ctx, const qds_block *x, qds_block *y) {
  const qds_tensor_operator *t = self;
  const int64_t lines = t->n[0] * t->n[1];
  /* Coefficients of a line are read once for all columns. */
#pragma omp parallel for num_threads(qds_context_threads(ctx)) schedule(static) if (t->rows > 4096)
  for (int64_t line = 0; line < lines; line++)
    for (int column = 0; column < x->columns; column++)
      apply_line(t, line / t->n[1], line % t->n[1], qds_block_column(x, column), qds_block_column(y, column));
  if (t->couplings.rows > 0 && is_whole(t)) qds_couplings_add(ctx, &t->couplings, x, y);
  return QDS_OK;
}

qds_operator qds_tensor_operator_apply(qds_tensor_operator *t) {
  return (qds_operator){t, t->rows, "tensor operator", apply};
}

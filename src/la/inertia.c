#include "la/inertia.h"

#include <float.h>
#include <math.h>

/* The matrix A - value in the order of elimination: a band, whose column i holds the entries from the
 * diagonal down, and one last row and column that may couple to all of it. */
typedef struct {
  int64_t rows; /* of the band */
  int width;    /* entries below the diagonal */
  double *band; /* rows x (width + 1) */
  double *border, corner;
  int bordered;
  double norm; /* the largest sum of absolute values along a row */
} matrix;

static void matrix_clear(matrix *m) {
  qds_release(m->band);
  qds_release(m->border);
}

int qds_inertia_applies(const qds_tensor_operator *t) {
  return t->axis[0]->elements == 0 && t->axis[1]->elements == 0 && t->axis[2]->elements > 0;
}

/* Adds to the entry of unknowns i and j; periodic: unknown 0 is the border, the others move up by one. */
static void add(matrix *m, int64_t i, int64_t j, double value) {
  if (i < j) return; /* the other triangle */
  if (!m->bordered)
    m->band[j * (m->width + 1) + i - j] += value;
  else if (i == 0)
    m->corner += value;
  else if (j == 0)
    m->border[i - 1] += value;
  else
    m->band[(j - 1) * (m->width + 1) + i - j] += value;
}

static qds_status assemble(qds_context *ctx, const qds_tensor_operator *t, double value, matrix *m) {
  const qds_axis *axis = t->axis[2];
  const int count = axis->order + 1;
  qds_allocator *allocator = qds_context_allocator(ctx);
  QDS_AUTO_RELEASE double *sums = NULL;
  m->bordered = axis->boundary[0] == QDS_PERIODIC;
  m->width = axis->order;
  m->rows = t->rows - m->bordered;
  QDS_TRY(QDS_NEW_ZERO(allocator, t->rows, "inertia", &sums));
  QDS_TRY(QDS_NEW_ZERO(allocator, m->rows * (m->width + 1), "inertia", &m->band));
  if (m->bordered) QDS_TRY(QDS_NEW_ZERO(allocator, m->rows, "inertia", &m->border));
  for (int64_t i = 0; i < t->rows; i++) {
    add(m, i, i, t->v[i] - value);
    sums[i] = fabs(t->v[i] - value);
  }
  for (int64_t e = 0; e < axis->elements; e++)
    for (int a = 0; a < count; a++)
      for (int b = 0; b < count; b++) {
        const int64_t i = qds_axis_unknown(axis, e * axis->order + a),
                      j = qds_axis_unknown(axis, e * axis->order + b);
        if (i < 0 || j < 0) continue;
        const double entry =
            qds_tensor_operator_coefficient(t, 2, e, 0, 0, 0) * t->element[2][(e * count + a) * count + b];
        add(m, i, j, entry);
        sums[i] += fabs(entry);
      }
  for (int64_t i = 0; i < t->rows; i++) m->norm = sums[i] <= m->norm ? m->norm : sums[i]; /* NaN passes */
  if (!isfinite(m->norm))
    QDS_FAIL(QDS_ERROR_NUMERIC, "counting levels below %g: a coefficient is infinite or not a number", value);
  return QDS_OK;
}

/* What bounds the rounding of an elimination. */
typedef struct {
  double largest;        /* number subtracted within the band */
  double border_squares; /* sum of the squared rounding errors of the border's entries */
  double corner;         /* sum of the corner's rounding errors */
} rounding;

/* The part of eliminating unknown i of the band that concerns the border. */
static void eliminate_border(matrix *m, int64_t i, int last, double pivot, rounding *r) {
  const double *column = m->band + i * (m->width + 1), ratio = m->border[i] / pivot;
  for (int b = 1; b <= last; b++) {
    const double part = ratio * column[b];
    r->border_squares += pow(2 * DBL_EPSILON * (fabs(m->border[i + b]) + fabs(part)), 2);
    m->border[i + b] -= part;
  }
  r->corner += 2 * DBL_EPSILON * (fabs(m->corner) + fabs(ratio * m->border[i]));
  m->corner -= ratio * m->border[i];
}

/* Eliminates the band and then the border; returns the number of negative pivots. A pivot that vanishes is
 * moved by a rounding error of the matrix. */
static int64_t eliminate(matrix *m, rounding *r) {
  const double least = DBL_EPSILON * m->norm + DBL_MIN;
  const int64_t stride = m->width + 1;
  int64_t negative = 0;
  for (int64_t i = 0; i < m->rows; i++) {
    double *column = m->band + i * stride, pivot = column[0];
    if (fabs(pivot) < least) pivot = -least;
    negative += pivot < 0;
    const int last = (int)(m->rows - 1 - i < m->width ? m->rows - 1 - i : m->width);
    for (int b = 1; b <= last; b++) {
      const double factor = column[b] / pivot;
      r->largest = fmax(r->largest, fabs(factor * column[b]));
      for (int a = b; a <= last; a++) m->band[(i + b) * stride + a - b] -= factor * column[a];
    }
    if (m->bordered) eliminate_border(m, i, last, pivot, r);
  }
  return negative + (m->bordered && m->corner < 0);
}

/* The count is exact for a matrix that differs from the given one by at most this in norm. An entry of the
 * band takes part in up to `width` subtractions, with a rounding error of the numbers subtracted and of what
 * is left. A tridiagonal matrix only feels errors relative to its own entries, however small a pivot is
 * (Demmel, Applied Numerical Linear Algebra, 1997, sec. 5.3.4). */
static double bound_of(const matrix *m, const rounding *r) {
  const int w = m->width;
  if (w == 1 && !m->bordered) return 8 * DBL_EPSILON * m->norm;
  return (w + 4) * w * (2 * w + 1) * DBL_EPSILON * (m->norm + r->largest) + sqrt(w * r->border_squares) +
         r->corner;
}

qds_status qds_inertia_count(qds_context *ctx, const qds_tensor_operator *t, double value, int64_t *below,
                             double *uncertainty) {
  __attribute__((cleanup(matrix_clear))) matrix m = {0};
  *below = 0;
  *uncertainty = 0;
  QDS_REQUIRE(qds_inertia_applies(t), "counting levels: the operator is not one-dimensional");
  QDS_TRY(assemble(ctx, t, value, &m));
  rounding errors = {0};
  *below = eliminate(&m, &errors);
  *uncertainty = bound_of(&m, &errors);
  return QDS_OK;
}

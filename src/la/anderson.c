#include "la/anderson.h"

#include <math.h>
#include <string.h>

#include "la/block.h"

enum { MOST_DEPTH = 16 };
/* Steps whose residuals differ less than this from a combination of later ones tell nothing new. */
static const double least_pivot = 1e-12;

struct qds_anderson {
  qds_context *ctx;
  int64_t rows;
  int depth, steps; /* steps remembered */
  int started;      /* the last x and residual are known */
  double *x, *f;    /* the last x and residual */
  double *dx, *df;  /* depth x rows: their changes, the latest first */
};

qds_status qds_anderson_create(qds_context *ctx, int64_t rows, int depth, qds_anderson **out) {
  qds_allocator *allocator = qds_context_allocator(ctx);
  QDS_AUTO(qds_anderson) *a = NULL;
  *out = NULL;
  QDS_REQUIRE(depth >= 1 && depth <= MOST_DEPTH, "a depth of %d: 1 to %d are allowed", depth, MOST_DEPTH);
  QDS_TRY(QDS_NEW_ZERO(allocator, 1, "anderson", &a));
  a->ctx = ctx;
  a->rows = rows;
  a->depth = depth;
  QDS_TRY(QDS_NEW(allocator, rows, "anderson", &a->x));
  QDS_TRY(QDS_NEW(allocator, rows, "anderson", &a->f));
  QDS_TRY(QDS_NEW(allocator, rows * depth, "anderson", &a->dx));
  QDS_TRY(QDS_NEW(allocator, rows * depth, "anderson", &a->df));
  *out = a;
  a = NULL;
  return QDS_OK;
}

void qds_anderson_destroy(qds_anderson *a) {
  if (!a) return;
  qds_release(a->x);
  qds_release(a->f);
  qds_release(a->dx);
  qds_release(a->df);
  qds_release(a);
}

void qds_anderson_reset(qds_anderson *a) {
  a->steps = a->started = 0;
}

/* Least squares of f - sum gamma_i df_i by Cholesky's factorisation of the normal equations, scaled to a unit
 * diagonal, latest step first; the steps from the first small pivot on are dropped. */
static int combine(const qds_anderson *a, double *gamma) {
  const int64_t n = a->rows;
  double lower[MOST_DEPTH][MOST_DEPTH], right[MOST_DEPTH], norm[MOST_DEPTH];
  int count = 0;
  for (; count < a->steps; count++) {
    const double *df = a->df + count * n;
    norm[count] = sqrt(qds_vector_dot(a->ctx, n, df, df));
    if (!(norm[count] > 0)) break;
    double pivot = 1;
    for (int j = 0; j < count; j++) {
      double sum = qds_vector_dot(a->ctx, n, df, a->df + j * n) / (norm[count] * norm[j]);
      for (int k = 0; k < j; k++) sum -= lower[count][k] * lower[j][k];
      lower[count][j] = sum / lower[j][j];
      pivot -= lower[count][j] * lower[count][j];
    }
    if (!(pivot > least_pivot)) break;
    lower[count][count] = sqrt(pivot);
    right[count] = qds_vector_dot(a->ctx, n, df, a->f) / norm[count];
    for (int k = 0; k < count; k++) right[count] -= lower[count][k] * right[k];
    right[count] /= lower[count][count];
  }
  for (int i = count - 1; i >= 0; i--) {
    double sum = right[i];
    for (int k = i + 1; k < count; k++) sum -= lower[k][i] * gamma[k] * norm[k];
    gamma[i] = sum / lower[i][i] / norm[i];
  }
  return count;
}

/* Remembers the step from the last x and residual to these. */
static void remember(qds_anderson *a, const double *x, const double *g) {
  const int64_t n = a->rows;
  if (a->started) {
    if (a->steps < a->depth) a->steps++;
    memmove(a->dx + n, a->dx, sizeof(double) * (size_t)(n * (a->steps - 1)));
    memmove(a->df + n, a->df, sizeof(double) * (size_t)(n * (a->steps - 1)));
    for (int64_t i = 0; i < n; i++) {
      a->dx[i] = x[i] - a->x[i];
      a->df[i] = g[i] - x[i] - a->f[i];
    }
  }
  for (int64_t i = 0; i < n; i++) {
    a->x[i] = x[i];
    a->f[i] = g[i] - x[i];
  }
  a->started = 1;
}

void qds_anderson_next(qds_anderson *a, const double *x, double *g) {
  double gamma[MOST_DEPTH];
  remember(a, x, g);
  const int count = combine(a, gamma);
  for (int j = 0; j < count; j++) {
    const double *dx = a->dx + j * a->rows, *df = a->df + j * a->rows;
    for (int64_t i = 0; i < a->rows; i++) g[i] -= gamma[j] * (dx[i] + df[i]);
  }
}

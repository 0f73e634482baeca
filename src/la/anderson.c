#include "la/anderson.h"

#include <math.h>

enum { MOST_DEPTH = 16 };
/* Steps whose residuals differ less than this from a combination of later ones tell nothing new. */
static const double least_pivot = 1e-12;

struct qds_anderson {
  qds_context *ctx;
  int depth, steps; /* steps remembered */
  int latest;       /* the column of the last one; the one before is in the column before, round and round */
  int started;      /* the last x and residual are known */
  qds_block x, f;   /* the last x and residual */
  qds_block dx, df; /* depth columns: their changes */
};

qds_status qds_anderson_create(qds_context *ctx, qds_stream *stream, int64_t rows, int depth,
                               qds_anderson **out) {
  QDS_AUTO(qds_anderson) *a = NULL;
  *out = NULL;
  QDS_REQUIRE(depth >= 1 && depth <= MOST_DEPTH, "a depth of %d: 1 to %d are allowed", depth, MOST_DEPTH);
  QDS_TRY(QDS_NEW_ZERO(qds_context_allocator(ctx), 1, "anderson", &a));
  a->ctx = ctx;
  a->depth = depth;
  QDS_TRY(qds_block_create_on(ctx, stream, rows, 1, "anderson", &a->x));
  QDS_TRY(qds_block_create_on(ctx, stream, rows, 1, "anderson", &a->f));
  QDS_TRY(qds_block_create_on(ctx, stream, rows, depth, "anderson", &a->dx));
  QDS_TRY(qds_block_create_on(ctx, stream, rows, depth, "anderson", &a->df));
  *out = a;
  a = NULL;
  return QDS_OK;
}

void qds_anderson_destroy(qds_anderson *a) {
  if (!a) return;
  qds_block_clear(&a->x);
  qds_block_clear(&a->f);
  qds_block_clear(&a->dx);
  qds_block_clear(&a->df);
  qds_release(a);
}

void qds_anderson_reset(qds_anderson *a) {
  a->steps = a->started = 0;
}

/* The column of the i-th step back. */
static int column_of(const qds_anderson *a, int i) {
  return (a->latest - i + a->depth) % a->depth;
}

/* Least squares of f - sum gamma_i df_i by Cholesky's factorisation of the normal equations, scaled to a unit
 * diagonal, latest step first; the steps from the first small pivot on are dropped. gram: steps x (steps + 1)
 * products of the columns df with each other and with f. gamma: by columns, 0 for those dropped. */
static void combine(const qds_anderson *a, const double *gram, double *gamma) {
  double lower[MOST_DEPTH][MOST_DEPTH], right[MOST_DEPTH], norm[MOST_DEPTH], by_step[MOST_DEPTH];
  int count = 0, column[MOST_DEPTH];
  for (int i = 0; i < a->steps; i++) column[i] = column_of(a, i);
  for (; count < a->steps; count++) {
    const double *products = gram + column[count];
    norm[count] = sqrt(products[column[count] * a->steps]);
    if (!(norm[count] > 0)) break;
    double pivot = 1;
    for (int j = 0; j < count; j++) {
      double sum = products[column[j] * a->steps] / (norm[count] * norm[j]);
      for (int k = 0; k < j; k++) sum -= lower[count][k] * lower[j][k];
      lower[count][j] = sum / lower[j][j];
      pivot -= lower[count][j] * lower[count][j];
    }
    if (!(pivot > least_pivot)) break;
    lower[count][count] = sqrt(pivot);
    right[count] = products[a->steps * a->steps] / norm[count];
    for (int k = 0; k < count; k++) right[count] -= lower[count][k] * right[k];
    right[count] /= lower[count][count];
  }
  for (int i = 0; i < a->steps; i++) gamma[i] = 0;
  for (int i = count - 1; i >= 0; i--) {
    double sum = right[i];
    for (int k = i + 1; k < count; k++) sum -= lower[k][i] * by_step[k] * norm[k];
    gamma[column[i]] = by_step[i] = sum / lower[i][i] / norm[i];
  }
}

/* to = a - b - c; c may be NULL. */
static qds_status difference(qds_context *ctx, const qds_block *a, const qds_block *b, const qds_block *c,
                             const qds_block *to) {
  const qds_block *const from[QDS_COMBINE_FROM] = {a, b, c}, *const into[QDS_COMBINE_TO] = {to};
  return qds_blocks_combine(ctx, from, (const double[]){1, -1, -1}, into);
}

/* Remembers the step from the last x and residual to these. */
static qds_status remember(qds_anderson *a, const qds_block *x, const qds_block *g) {
  if (a->started) {
    if (a->steps < a->depth) a->steps++;
    a->latest = (a->latest + 1) % a->depth;
    const qds_block dx = qds_block_part(&a->dx, a->latest, 1), df = qds_block_part(&a->df, a->latest, 1);
    QDS_TRY(difference(a->ctx, x, &a->x, NULL, &dx));
    QDS_TRY(difference(a->ctx, g, x, &a->f, &df));
  } else {
    a->latest = a->depth - 1; /* the first step goes to column 0 */
  }
  a->started = 1;
  QDS_TRY(qds_block_copy(x, &a->x));
  return difference(a->ctx, g, x, NULL, &a->f);
}

qds_status qds_anderson_next(qds_anderson *a, const qds_block *x, qds_block *g) {
  double gram[MOST_DEPTH * (MOST_DEPTH + 1)], gamma[MOST_DEPTH];
  QDS_TRY(remember(a, x, g));
  if (a->steps == 0) return QDS_OK;
  const qds_block dx = qds_block_part(&a->dx, 0, a->steps), df = qds_block_part(&a->df, 0, a->steps);
  const qds_block *const left[QDS_GRAM_LEFT] = {&df}, *const right[QDS_GRAM_RIGHT] = {&df, &a->f};
  QDS_TRY(qds_blocks_gram(a->ctx, left, right, gram));
  combine(a, gram, gamma);
  for (int i = 0; i < a->steps; i++) gamma[i] = -gamma[i];
  QDS_TRY(qds_block_add_product(a->ctx, &dx, gamma, g));
  return qds_block_add_product(a->ctx, &df, gamma, g);
}

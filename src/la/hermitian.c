#include "la/hermitian.h"

#include <math.h>

/* x = c x */
static qds_status scale(qds_context *ctx, double c, const qds_block *x) {
  const qds_block *const from[QDS_COMBINE_FROM] = {x}, *const to[QDS_COMBINE_TO] = {x};
  return qds_blocks_combine(ctx, from, &c, to);
}

/* y = i x, of one vector: its parts change places, and the first its sign. */
static qds_status times_i(qds_context *ctx, const qds_block *x, const qds_block *y) {
  const int64_t half = x->rows / 2;
  const qds_block x_re = {x->data, half, half, 1, x->stream},
                  x_im = {x->data + half, half, half, 1, x->stream};
  qds_block y_re = {y->data, half, half, 1, y->stream}, y_im = {y->data + half, half, half, 1, y->stream};
  QDS_TRY(qds_block_copy(&x_re, &y_im));
  QDS_TRY(qds_block_copy(&x_im, &y_re));
  return scale(ctx, -1, &y_re);
}

/* x less its parts along the orthonormal columns of q, twice for the sake of rounding, and of unit length. */
static qds_status orthonormalise(qds_context *ctx, const qds_block *q, double *overlap, qds_block *x) {
  double square;
  for (int pass = 0; pass < 2; pass++) {
    QDS_TRY(qds_block_gram(ctx, q, x, overlap));
    for (int j = 0; j < q->columns; j++) overlap[j] = -overlap[j];
    QDS_TRY(qds_block_add_product(ctx, q, overlap, x));
  }
  QDS_TRY(qds_block_gram(ctx, x, x, &square));
  return scale(ctx, 1 / sqrt(square), x);
}

/* Walks upwards and takes a vector when its part outside the complex span of those taken is large enough.
 *
 * A level of d states shows as 2 d real vectors that span the space of those and of i times those. When p < d
 * of them are taken, the squared parts outside of the 2 d vectors sum to 2 (d - p) >= 2, so that one of the
 * at most 2 d - p others has at least 1 / d; parts only shrink, so that this one was not passed over. With a
 * bound of 1 / (2 states) no state is lost, and no error grows by more than the root of 2 states. Only the
 * last level may be cut, and then it has independent vectors to spare. */
qds_status qds_hermitian_pick(qds_context *ctx, const qds_block *x, const double *levels, int states,
                              qds_block *picked, double *picked_levels) {
  __attribute__((cleanup(qds_block_clear))) qds_block q = {0};
  QDS_AUTO_RELEASE double *outside = NULL, *overlap = NULL;
  qds_allocator *allocator = qds_context_allocator(ctx);
  *picked = (qds_block){0};
  QDS_REQUIRE(x->columns == 2 * states, "qds_hermitian_pick: %d states wanted of %d vectors", states,
              x->columns);
  QDS_TRY(qds_block_create_on(ctx, x->stream, x->rows, 2 * states, "eigensolver", &q));
  QDS_TRY(QDS_NEW(allocator, 2 * states, "eigensolver", &outside));
  QDS_TRY(QDS_NEW(allocator, 4 * states, "eigensolver", &overlap));
  for (int j = 0; j < x->columns; j++) outside[j] = 1;
  int taken = 0;
  for (int j = 0; j < x->columns && taken < states; j++) {
    if (outside[j] < 0.5 / states) continue;
    const qds_block earlier = qds_block_part(&q, 0, 2 * taken), pair = qds_block_part(&q, 2 * taken, 2),
                    found = qds_block_part(x, j, 1), other = qds_block_part(&pair, 1, 1);
    qds_block one = qds_block_part(&pair, 0, 1);
    QDS_TRY(qds_block_copy(&found, &one));
    QDS_TRY(orthonormalise(ctx, &earlier, overlap, &one));
    QDS_TRY(times_i(ctx, &one, &other));
    QDS_TRY(qds_block_gram(ctx, &pair, x, overlap));
    for (int i = 0; i < x->columns; i++)
      outside[i] -= overlap[2 * i] * overlap[2 * i] + overlap[2 * i + 1] * overlap[2 * i + 1];
    picked_levels[taken++] = levels[j];
  }
  if (taken < states)
    QDS_FAIL(QDS_ERROR_NUMERIC,
             "%d of %d vectors are independent as complex vectors: x and i x do not both "
             "belong to the operator's levels",
             taken, states);
  *picked = q;
  q = (qds_block){0};
  return QDS_OK;
}

/* Moves the states, which stand in every other column, to the front, and takes their residuals. */
static qds_status measure(qds_context *ctx, const qds_operator *a, int states, qds_block *x,
                          const double *eigenvalues, double *residuals) {
  __attribute__((cleanup(qds_block_clear))) qds_block image = {0};
  QDS_TRY(qds_block_create_on(ctx, x->stream, x->rows, 1, "eigensolver", &image));
  for (int j = 0; j < states; j++) {
    const qds_block found = qds_block_part(x, 2 * j, 1);
    qds_block column = qds_block_part(x, j, 1);
    if (j > 0) QDS_TRY(qds_block_copy(&found, &column));
    QDS_TRY(a->apply(a->self, ctx, &column, &image));
    QDS_TRY(qds_block_residual(ctx, &column, &eigenvalues[j], &image, &residuals[j]));
  }
  x->columns = states;
  return QDS_OK;
}

/* The states from the real eigenvectors, which go, where these were found. */
static qds_status pick_and_measure(qds_context *ctx, const qds_spectrum_options *options, qds_block *doubled,
                                   const double *values, qds_block *x, double *eigenvalues,
                                   double *residuals) {
  const qds_spectrum_target *target = options->target;
  qds_operator a = target->on_host;
  if (doubled->stream) QDS_TRY(target->on_stream(a.self, ctx, doubled->stream, &a));
  QDS_TRY(qds_hermitian_pick(ctx, doubled, values, options->states, x, eigenvalues));
  qds_block_clear(doubled);
  return measure(ctx, &a, options->states, x, eigenvalues, residuals);
}

qds_status qds_hermitian_spectrum(qds_context *ctx, qds_tensor_operator *real_,
                                  const qds_spectrum_options *options, qds_block *x, double *eigenvalues,
                                  double *residuals, qds_spectrum_statistics *statistics) {
  __attribute__((cleanup(qds_block_clear))) qds_block doubled = {0};
  QDS_AUTO_RELEASE double *values = NULL, *norms = NULL;
  qds_spectrum_options twice = *options;
  twice.states = 2 * options->states;
  twice.leave_states = 1;
  *x = (qds_block){0};
  QDS_TRY(QDS_NEW(qds_context_allocator(ctx), twice.states, "eigensolver", &values));
  QDS_TRY(QDS_NEW(qds_context_allocator(ctx), twice.states, "eigensolver", &norms));
  QDS_TRY(qds_spectrum(ctx, real_, &twice, &doubled, values, norms, statistics));
  statistics->found_by_verification = (statistics->found_by_verification + 1) / 2;
  qds_status status = pick_and_measure(ctx, options, &doubled, values, x, eigenvalues, residuals);
  if (status == QDS_OK && !options->leave_states) status = qds_block_to_host(ctx, "states", x);
  if (status != QDS_OK) qds_block_clear(x);
  return status;
}

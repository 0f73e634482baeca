#include "la/multigrid.h"

#include <math.h>
#include <string.h>

#include "la/blas.h"
#include "la/multigrid_internal.h"

/* The shift keeps this part of the distance between the first and the third level of the coarsest grid from
 * its lowest level. */
static const double least_margin = 0.05;

qds_operator qds_multigrid_level_operator(qds_multigrid *mg, int level) {
  return (qds_operator){&mg->handle[level], mg->level[level].rows, "multigrid level", mg->place->apply};
}

qds_operator qds_multigrid_cycle(qds_multigrid *mg, int level) {
  return (qds_operator){&mg->handle[level], mg->level[level].rows, "multigrid", mg->place->cycle};
}

qds_status qds_multigrid_prolong(qds_multigrid *mg, qds_context *ctx, int level, const qds_block *coarse,
                                 qds_block *fine) {
  return mg->place->prolong(ctx, mg, level, coarse, fine);
}

static qds_status create_coarsest(qds_context *ctx, qds_multigrid *mg) {
  const int64_t rows = mg->level[mg->levels - 1].rows;
  qds_allocator *allocator = qds_context_allocator(ctx);
  QDS_TRY(QDS_NEW(allocator, rows * rows, "multigrid", &mg->coarse_vectors));
  QDS_TRY(QDS_NEW(allocator, rows, "multigrid", &mg->coarse_values));
  return QDS_NEW(allocator, rows * rows, "multigrid", &mg->coarse_inverse);
}

/* Eigenpairs of the coarsest level, from its operator applied to the unit vectors. */
static qds_status diagonalise_coarsest(qds_context *ctx, qds_multigrid *mg) {
  const int64_t rows = mg->level[mg->levels - 1].rows;
  qds_stream *stream = mg->fine ? qds_device_operator_stream(mg->fine) : NULL;
  const qds_operator operator_ = qds_multigrid_level_operator(mg, mg->levels - 1);
  __attribute__((cleanup(qds_block_clear))) qds_block x = {0}, y = {0};
  QDS_TRY(qds_block_create_on(ctx, stream, rows, (int)rows, "multigrid", &x));
  QDS_TRY(qds_block_create_on(ctx, stream, rows, (int)rows, "multigrid", &y));
  qds_block matrix = {mg->coarse_vectors, rows, rows, (int)rows, NULL};
  memset(matrix.data, 0, sizeof(double) * (size_t)(rows * rows));
  for (int64_t j = 0; j < rows; j++) matrix.data[j * rows + j] = 1;
  QDS_TRY(qds_block_copy(&matrix, &x));
  QDS_TRY(operator_.apply(operator_.self, ctx, &x, &y));
  QDS_TRY(qds_block_copy(&y, &matrix));
  return qds_symmetric_eigen(ctx, (int)rows, mg->coarse_vectors, mg->coarse_values);
}

/* What the levels' coefficients decide: the coarsest level's eigenpairs, and the largest shift. */
static qds_status finish(qds_context *ctx, qds_multigrid *mg) {
  double used;
  QDS_TRY(diagonalise_coarsest(ctx, mg));
  return qds_multigrid_set_shift(mg, ctx, INFINITY, &used);
}

qds_status qds_multigrid_create(qds_context *ctx, const qds_device_operator *device,
                                const qds_tensor_operator *fine, qds_multigrid **out) {
  QDS_AUTO(qds_multigrid) *mg = NULL;
  *out = NULL;
  QDS_TRY(QDS_NEW_ZERO(qds_context_allocator(ctx), 1, "multigrid", &mg));
  mg->place = device ? &qds_multigrid_on_stream : &qds_multigrid_on_host;
  mg->fine = device;
  for (int l = 0; l < QDS_MULTIGRID_MAX_LEVELS; l++) mg->handle[l] = (qds_multigrid_handle){mg, l};
  QDS_TRY(mg->place->create(ctx, fine, mg));
  QDS_TRY(create_coarsest(ctx, mg));
  QDS_TRY(finish(ctx, mg));
  *out = mg;
  mg = NULL;
  return QDS_OK;
}

qds_status qds_multigrid_renew(qds_multigrid *mg, qds_context *ctx, const qds_tensor_operator *fine) {
  QDS_TRY(mg->place->renew(ctx, fine, mg));
  return finish(ctx, mg);
}

void qds_multigrid_destroy(qds_multigrid *mg) {
  if (!mg) return;
  mg->place->clear(mg);
  for (int l = 0; l < QDS_MULTIGRID_MAX_LEVELS; l++) qds_level_clear(&mg->level[l]);
  qds_release(mg->coarse_vectors);
  qds_release(mg->coarse_values);
  qds_release(mg->coarse_inverse);
  qds_release(mg);
}

int qds_multigrid_levels(const qds_multigrid *mg) {
  return mg->levels;
}
int64_t qds_multigrid_rows(const qds_multigrid *mg, int level) {
  return mg->level[level].rows;
}

static double mass_of(const qds_level *level, int64_t row) {
  return level->axis[0].mass[row / level->n[2] / level->n[1]] *
         level->axis[1].mass[row / level->n[2] % level->n[1]] * level->axis[2].mass[row % level->n[2]];
}

/* vectors diag(1 / (values - shift)) vectors^T, between values psi instead of scaled unknowns. */
static qds_status invert_coarsest(qds_context *ctx, qds_multigrid *mg, double shift) {
  const qds_level *level = &mg->level[mg->levels - 1];
  const int rows = (int)level->rows;
  const double one = 1, zero = 0;
  const qds_blas *blas;
  QDS_AUTO_RELEASE double *scaled = NULL, *inverse = NULL;
  QDS_TRY(qds_blas_get(ctx, &blas));
  QDS_TRY(QDS_NEW(qds_context_allocator(ctx), level->rows * level->rows, "multigrid", &scaled));
  QDS_TRY(QDS_NEW(qds_context_allocator(ctx), level->rows * level->rows, "multigrid", &inverse));
  for (int k = 0; k < rows; k++)
    for (int i = 0; i < rows; i++)
      scaled[k * rows + i] = mg->coarse_vectors[k * rows + i] / (mg->coarse_values[k] - shift);
  blas->dgemm("N", "T", &rows, &rows, &rows, &one, scaled, &rows, mg->coarse_vectors, &rows, &zero, inverse,
              &rows);
  for (int i = 0; i < rows; i++)
    for (int j = 0; j < rows; j++) {
      const double symmetric = i < j ? inverse[i * rows + j] : inverse[j * rows + i];
      mg->coarse_inverse[i * rows + j] = (float)(symmetric * sqrt(mass_of(level, j) / mass_of(level, i)));
    }
  return QDS_OK;
}

qds_status qds_multigrid_set_shift_below(qds_multigrid *mg, qds_context *ctx, int finest, double wanted,
                                         double *used) {
  double shift = wanted;
  for (int l = 0; l < mg->levels - 1; l++) shift = fmin(shift, mg->level[l].bound);
  const int64_t rows = mg->level[mg->levels - 1].rows, third = rows > 2 ? 2 : rows - 1;
  const double lowest = mg->coarse_values[0], width = mg->coarse_values[third] - lowest;
  shift = fmin(shift, lowest - least_margin * fmax(width, 1e-6 * fabs(lowest) + 1e-12));
  *used = shift;
  QDS_TRY(invert_coarsest(ctx, mg, shift));
  return mg->place->shift(ctx, mg, finest, shift);
}

qds_status qds_multigrid_set_shift(qds_multigrid *mg, qds_context *ctx, double wanted, double *used) {
  return qds_multigrid_set_shift_below(mg, ctx, 0, wanted, used);
}

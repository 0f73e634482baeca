#include "la/multigrid.h"

#include <math.h>
#include <omp.h>
#include <string.h>

#include "base/vectorise.h"
#include "la/blas.h"
#include "la/multigrid_internal.h"
#include "la/multigrid_line.h"

QDS_DEFINE_LEVEL_LINE(level_line, double, 1)

/* The coarsest level is inverted by a dense matrix of at most about this size. */
enum { COARSEST_ROWS = 300 };
/* A vector with more unknowns is worked on by all threads together: its levels no longer fit a core's own
 * cache. */
enum { SHARED_ROWS = 1 << 18 };
/* The shift leaves this part of the couplings on the diagonal, which bounds the smoother's spectrum by 1 +
 * 1/part. */
static const double least_dominance = 0.5;
/* The shift keeps this part of the distance between the first and the third level of the coarsest grid from
 * its lowest level. */
static const double least_margin = 0.05;

/* The diagonals of one line, with their couplings: what exceeds v. `zeros` has the level's rows. */
static void line_diagonal(const qds_level *level, int64_t line, const double *zeros, double *scratch,
                          double *diagonal) {
  level_line(level, 0, line / level->n[1], line % level->n[1], zeros, scratch, diagonal);
}

/* Finds the largest shift with diagonal - shift >= part * couplings everywhere, and keeps the inverse of the
 * diagonal at it. */
static qds_status level_start(qds_context *ctx, qds_level *level) {
  const int64_t n = level->n[2], lines = level->n[0] * level->n[1];
  const int threads = qds_context_threads(ctx);
  QDS_AUTO_RELEASE double *zeros = NULL, *scratch = NULL;
  QDS_TRY(QDS_NEW_ZERO(qds_context_allocator(ctx), level->rows, "multigrid", &zeros));
  QDS_TRY(QDS_NEW(qds_context_allocator(ctx), 2 * n * threads, "multigrid", &scratch));
  double bound = INFINITY;
  for (int pass = 0; pass < 2; pass++) {
#pragma omp parallel for num_threads(threads) schedule(static) reduction(min : bound) if (level->rows > 8192)
    for (int64_t line = 0; line < lines; line++) {
      double *unused = scratch + 2 * n * omp_get_thread_num(), *diagonal = unused + n;
      line_diagonal(level, line, zeros, unused, diagonal);
      for (int64_t k = 0; k < n; k++)
        if (pass == 0)
          bound = fmin(bound, diagonal[k] - least_dominance * (diagonal[k] - level->v[line * n + k]));
        else
          level->inverse_diagonal[line * n + k] = (float)(1 / (diagonal[k] - level->bound));
    }
    level->bound = level->shift = bound;
  }
  return QDS_OK;
}

/* Moves the inverse diagonal to another shift, and bounds the spectrum of the Jacobi-scaled operator by 1 +
 * couplings / (diagonal - shift). */
static void level_shift(qds_context *ctx, qds_level *level, double shift) {
  const double change = level->shift - shift, old = level->shift;
  double largest = 1;
#pragma omp parallel for num_threads(qds_context_threads(ctx)) schedule(static)                              \
    reduction(max                                                                                            \
              : largest) if (level->rows > 8192)
  for (int64_t i = 0; i < level->rows; i++) {
    const double diagonal = 1 / (double)level->inverse_diagonal[i], moved = diagonal + change;
    largest = fmax(largest, 1 + (diagonal + old - level->v[i]) / moved);
    level->inverse_diagonal[i] = (float)(1 / moved);
  }
  level->shift = shift;
  level->rate = (float)(1 / largest);
}

QDS_VECTORISE static void apply_line(const qds_level *level, int64_t line, const double *x, double *y) {
  level_line(level, 0, line / level->n[1], line % level->n[1], x, y + line * level->n[2], NULL);
}

static qds_status level_apply(void *self, qds_context *ctx, const qds_block *x, qds_block *y) {
  const qds_multigrid_handle *handle = self;
  const qds_level *level = &handle->multigrid->level[handle->level];
  const int64_t lines = level->n[0] * level->n[1];
#pragma omp parallel for num_threads(qds_context_threads(ctx)) schedule(static) if (level->rows > 8192)
  for (int64_t line = 0; line < lines; line++)
    for (int j = 0; j < x->columns; j++)
      apply_line(level, line, qds_block_column(x, j), qds_block_column(y, j));
  return QDS_OK;
}

qds_operator qds_multigrid_level_operator(qds_multigrid *mg, int level) {
  return (qds_operator){&mg->handle[level], mg->level[level].rows, "multigrid level", level_apply};
}

static qds_status create_levels(qds_context *ctx, const qds_tensor_operator *fine, qds_multigrid *mg) {
  qds_level_coefficients current = {{0}, NULL}, next = {{0}, NULL};
  qds_status status = qds_level_from_operator(ctx, fine, &mg->level[0], &current);
  mg->levels = 1;
  while (status == QDS_OK) {
    qds_level *level = &mg->level[mg->levels - 1];
    int coarsened = 0;
    status = qds_level_assemble(ctx, level, &current);
    if (status != QDS_OK || level->rows <= COARSEST_ROWS || mg->levels == QDS_MULTIGRID_MAX_LEVELS) break;
    status = qds_level_coarsen(ctx, level, &current, level + 1, &next, &coarsened);
    if (status != QDS_OK || !coarsened) break;
    mg->levels++;
    qds_level_coefficients_clear(&current);
    current = next;
    memset(&next, 0, sizeof next);
  }
  qds_level_coefficients_clear(&current);
  qds_level_coefficients_clear(&next);
  return status;
}

static qds_status create_workspace(qds_context *ctx, qds_multigrid *mg) {
  qds_allocator *allocator = qds_context_allocator(ctx);
  const int threads = qds_context_threads(ctx);
  mg->teams = mg->level[0].rows > SHARED_ROWS ? 1 : threads;
  mg->team_size = threads / mg->teams;
  for (int l = 0; l < mg->levels - 1; l++)
    QDS_TRY(QDS_NEW(allocator, mg->level[l].rows, "multigrid", &mg->level[l].inverse_diagonal));
  QDS_TRY(QDS_NEW_ZERO(allocator, mg->teams, "multigrid", &mg->workspace));
  for (int t = 0; t < mg->teams; t++) {
    QDS_TRY(QDS_NEW(allocator, 2 * mg->level[0].n[2] * mg->team_size, "multigrid", &mg->workspace[t].line));
    for (int l = 0; l < mg->levels; l++) {
      qds_level_vectors *v = &mg->workspace[t].level[l];
      float **vectors[] = {&v->b, &v->x, &v->z, &v->y, &v->r};
      const int needed = l == mg->levels - 1 ? 2 : 5; /* the coarsest level is not smoothed */
      for (int i = 0; i < needed; i++)
        QDS_TRY(QDS_NEW(allocator, mg->level[l].rows, "multigrid", vectors[i]));
    }
  }
  return QDS_OK;
}

/* Eigenpairs of the coarsest level, from its operator applied to the unit vectors. */
static qds_status diagonalise_coarsest(qds_context *ctx, qds_multigrid *mg) {
  const int64_t rows = mg->level[mg->levels - 1].rows;
  qds_allocator *allocator = qds_context_allocator(ctx);
  const qds_operator operator_ = qds_multigrid_level_operator(mg, mg->levels - 1);
  QDS_AUTO_RELEASE double *unit = NULL;
  QDS_TRY(QDS_NEW_ZERO(allocator, rows, "multigrid", &unit));
  QDS_TRY(QDS_NEW(allocator, rows * rows, "multigrid", &mg->coarse_vectors));
  QDS_TRY(QDS_NEW(allocator, rows, "multigrid", &mg->coarse_values));
  QDS_TRY(QDS_NEW(allocator, rows * rows, "multigrid", &mg->coarse_inverse));
  for (int64_t j = 0; j < rows; j++) {
    const qds_block x = {unit, rows, rows, 1, NULL};
    qds_block y = {mg->coarse_vectors + j * rows, rows, rows, 1, NULL};
    unit[j] = 1;
    QDS_TRY(operator_.apply(operator_.self, ctx, &x, &y));
    unit[j] = 0;
  }
  return qds_symmetric_eigen(ctx, (int)rows, mg->coarse_vectors, mg->coarse_values);
}

qds_status qds_multigrid_create(qds_context *ctx, qds_stream *stream, const qds_tensor_operator *fine,
                                qds_multigrid **out) {
  QDS_AUTO(qds_multigrid) *mg = NULL;
  *out = NULL;
  QDS_REQUIRE(!stream, "qds_multigrid_create: levels on a device are not made here");
  QDS_TRY(QDS_NEW_ZERO(qds_context_allocator(ctx), 1, "multigrid", &mg));
  QDS_TRY(create_levels(ctx, fine, mg));
  for (int l = 0; l < mg->levels; l++) mg->handle[l] = (qds_multigrid_handle){mg, l};
  QDS_TRY(create_workspace(ctx, mg));
  for (int l = 0; l < mg->levels - 1; l++) QDS_TRY(level_start(ctx, &mg->level[l]));
  QDS_TRY(diagonalise_coarsest(ctx, mg));
  double used;
  QDS_TRY(qds_multigrid_set_shift(mg, ctx, INFINITY, &used));
  *out = mg;
  mg = NULL;
  return QDS_OK;
}

void qds_multigrid_destroy(qds_multigrid *mg) {
  if (!mg) return;
  for (int t = 0; mg->workspace && t < mg->teams; t++) {
    qds_release(mg->workspace[t].line);
    for (int l = 0; l < mg->levels; l++) {
      const qds_level_vectors *v = &mg->workspace[t].level[l];
      float *vectors[] = {v->b, v->x, v->z, v->y, v->r};
      for (int i = 0; i < 5; i++) qds_release(vectors[i]);
    }
  }
  for (int l = 0; l < QDS_MULTIGRID_MAX_LEVELS; l++) qds_level_clear(&mg->level[l]);
  qds_release(mg->workspace);
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
  for (int l = finest; l < mg->levels - 1; l++) level_shift(ctx, &mg->level[l], shift);
  *used = shift;
  return invert_coarsest(ctx, mg, shift);
}

qds_status qds_multigrid_set_shift(qds_multigrid *mg, qds_context *ctx, double wanted, double *used) {
  return qds_multigrid_set_shift_below(mg, ctx, 0, wanted, used);
}

/* One line of scaled unknowns on the finer level. */
static void prolong_line(const qds_level *to, const qds_level *from, int64_t i, int64_t j, const double *u,
                         double *y) {
  const qds_transfer *t = to->transfer;
  const double *root = to->root[2], *inverse_root = from->inverse_root[2];
  memset(y, 0, sizeof(double) * (size_t)to->n[2]);
  for (int s = 0; s < 4; s++) {
    const int64_t big_i = t[0].at[s / 2][i], big_j = t[1].at[s % 2][j];
    const double weight = (double)t[0].weight[s / 2][i] * t[1].weight[s % 2][j] *
                          qds_level_line_scale(to, i, j) / qds_level_line_scale(from, big_i, big_j);
    if (weight == 0) continue;
    const double *part = u + (big_i * from->n[1] + big_j) * from->n[2];
    for (int side = 0; side < 2; side++)
      for (int64_t k = 0; k < to->n[2]; k++) {
        const int64_t big = t[2].at[side][k];
        y[k] += weight * t[2].weight[side][k] * root[k] * inverse_root[big] * part[big];
      }
  }
}

qds_status qds_multigrid_prolong(qds_multigrid *mg, qds_context *ctx, int level, const qds_block *coarse,
                                 qds_block *fine) {
  const qds_level *to = &mg->level[level - 1], *from = &mg->level[level];
  const int64_t lines = to->n[0] * to->n[1], n = to->n[2];
#pragma omp parallel for num_threads(qds_context_threads(ctx)) schedule(static) if (to->rows > 8192)
  for (int64_t line = 0; line < lines; line++)
    for (int c = 0; c < fine->columns; c++)
      prolong_line(to, from, line / to->n[1], line % to->n[1], qds_block_column(coarse, c),
                   qds_block_column(fine, c) + line * n);
  return QDS_OK;
}

/* The levels of multigrid on the host. */
#include <math.h>
#include <omp.h>
#include <string.h>

#include "base/vectorise.h"
#include "la/multigrid_internal.h"
#include "la/multigrid_line.h"

QDS_DEFINE_LEVEL_LINE(level_line, double, 1)

/* A vector with more unknowns is worked on by all threads together: its levels no longer fit a core's own
 * cache. */
enum { SHARED_ROWS = 1 << 18 };

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
          bound = fmin(bound, diagonal[k] - qds_least_dominance * (diagonal[k] - level->v[line * n + k]));
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

static qds_status create_levels(qds_context *ctx, const qds_tensor_operator *fine, qds_multigrid *mg) {
  qds_level_coefficients current = {{0}, NULL}, next = {{0}, NULL};
  qds_status status = qds_level_from_operator(ctx, fine, &mg->level[0], &current);
  mg->levels = 1;
  while (status == QDS_OK) {
    qds_level *level = &mg->level[mg->levels - 1];
    int coarsened = 0;
    status = qds_level_assemble(ctx, level, &current);
    if (status != QDS_OK || level->rows <= QDS_MULTIGRID_COARSEST_ROWS ||
        mg->levels == QDS_MULTIGRID_MAX_LEVELS)
      break;
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
        QDS_TRY(QDS_NEW(allocator, mg->level[l].rows, "multigrid vectors", vectors[i]));
    }
  }
  return QDS_OK;
}

static qds_status create(qds_context *ctx, const qds_tensor_operator *fine, qds_multigrid *mg) {
  QDS_TRY(create_levels(ctx, fine, mg));
  QDS_TRY(create_workspace(ctx, mg));
  for (int l = 0; l < mg->levels - 1; l++) QDS_TRY(level_start(ctx, &mg->level[l]));
  return QDS_OK;
}

static qds_status renew(qds_context *ctx, const qds_tensor_operator *fine, qds_multigrid *mg) {
  QDS_AUTO_RELEASE double *v = NULL;
  QDS_TRY(qds_level_set_potential(ctx, &mg->level[0], fine->v));
  for (int l = 0; l < mg->levels - 1; l++) {
    double *coarse = NULL;
    QDS_TRY(qds_level_coarsen_potential(ctx, &mg->level[l], &mg->level[l + 1], l > 0 ? v : fine->v, &coarse));
    qds_release(v);
    v = coarse;
    QDS_TRY(qds_level_set_potential(ctx, &mg->level[l + 1], v));
    QDS_TRY(level_start(ctx, &mg->level[l]));
  }
  return QDS_OK;
}

static void clear(qds_multigrid *mg) {
  for (int t = 0; mg->workspace && t < mg->teams; t++) {
    qds_release(mg->workspace[t].line);
    for (int l = 0; l < mg->levels; l++) {
      const qds_level_vectors *v = &mg->workspace[t].level[l];
      float *vectors[] = {v->b, v->x, v->z, v->y, v->r};
      for (int i = 0; i < 5; i++) qds_release(vectors[i]);
    }
  }
  qds_release(mg->workspace);
}

static qds_status shift_levels(qds_context *ctx, qds_multigrid *mg, int finest, double shift) {
  for (int l = finest; l < mg->levels - 1; l++) level_shift(ctx, &mg->level[l], shift);
  return QDS_OK;
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

static qds_status prolong(qds_context *ctx, const qds_multigrid *mg, int level, const qds_block *coarse,
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

const qds_multigrid_place qds_multigrid_on_host = {
    create, renew, clear, shift_levels, level_apply, qds_multigrid_host_cycle, prolong,
};

#include "la/lobpcg.h"

#include <math.h>
#include <string.h>

#include "la/lobpcg_internal.h"

enum { MAX_RESTARTS = 4, START_ATTEMPTS = 4 };
/* Random numbers for vectors that replace dependent ones. */
enum { DEPENDENT_STREAM = 1000000 };

static void state_clear(qds_lobpcg_state *s) {
  qds_block *blocks[] = {&s->p, &s->w, &s->aw};
  for (int b = 0; b < 3; b++) qds_block_clear(blocks[b]);
  qds_release(s->p_gram);
  qds_release(s->gram);
  qds_release(s->combine);
  qds_release(s->active);
}

static qds_status state_create(qds_context *ctx, qds_lobpcg_state *s) {
  qds_allocator *allocator = qds_context_allocator(ctx);
  qds_block *blocks[] = {&s->p, &s->w, &s->aw};
  for (int b = 0; b < 3; b++)
    QDS_TRY(qds_block_create_on(ctx, s->x.stream, s->x.rows, s->m, "eigensolver", blocks[b]));
  const size_t square = (size_t)s->m * (size_t)s->m;
  QDS_TRY(QDS_NEW(allocator, square, "eigensolver", &s->p_gram));
  QDS_TRY(QDS_NEW(allocator, 6 * square, "eigensolver", &s->gram));
  QDS_TRY(QDS_NEW(allocator, 6 * square, "eigensolver", &s->combine));
  return QDS_NEW(allocator, s->m, "eigensolver", &s->active);
}

static qds_status apply_operator(qds_context *ctx, qds_lobpcg_state *s, const qds_block *x, qds_block *y) {
  const double start = qds_seconds();
  QDS_TRY(s->options->operator_->apply(s->options->operator_->self, ctx, x, y));
  s->statistics->operator_applications += x->columns;
  s->statistics->operator_s += qds_seconds() - start;
  return QDS_OK;
}

/* x less its parts along q, twice for the sake of rounding. */
static qds_status deflate(qds_context *ctx, const qds_block *q, qds_block *x) {
  if (!q || x->columns == 0) return QDS_OK;
  QDS_AUTO_RELEASE double *overlap = NULL;
  const size_t size = (size_t)q->columns * (size_t)x->columns;
  QDS_TRY(QDS_NEW(qds_context_allocator(ctx), size, "eigensolver", &overlap));
  for (int pass = 0; pass < 2; pass++) {
    QDS_TRY(qds_block_gram(ctx, q, x, overlap));
    for (size_t i = 0; i < size; i++) overlap[i] = -overlap[i];
    QDS_TRY(qds_block_add_product(ctx, q, overlap, x));
  }
  return QDS_OK;
}

/* Columns that depend on the others, which a combination of `rank` columns has left out, give way to random
 * ones. */
static qds_status replace_dependent(qds_context *ctx, qds_lobpcg_state *s, int rank, int attempt) {
  qds_block fresh = qds_block_part(&s->x, rank, s->m - rank);
  return qds_block_fill_random(ctx, &fresh, DEPENDENT_STREAM + (uint64_t)attempt * (uint64_t)s->m);
}

/* The new residuals, in w. */
static qds_status residuals(qds_context *ctx, qds_lobpcg_state *s) {
  QDS_TRY(apply_operator(ctx, s, &s->x, &s->w));
  return qds_block_residual(ctx, &s->x, s->eigenvalues, &s->w, s->residuals);
}

/* The first columns of `first` and `second` (NULL: none) = combinations of [x p w]: one pass. */
static qds_status combine(qds_context *ctx, const qds_lobpcg_state *s, const qds_block *first, int count,
                          const qds_block *second, int second_count) {
  const qds_block p = qds_block_part(&s->p, 0, s->np), w = qds_block_part(&s->w, 0, s->nw),
                  to = qds_block_part(first, 0, count),
                  more = second ? qds_block_part(second, 0, second_count) : (qds_block){0};
  const qds_block *const from[QDS_COMBINE_FROM] = {&s->x, &p, &w}, *const targets[QDS_COMBINE_TO] = {&to,
                                                                                                     &more};
  return qds_blocks_combine(ctx, from, s->combine, targets);
}

static int all_finite(const double *numbers, size_t count) {
  for (size_t i = 0; i < count; i++)
    if (!isfinite(numbers[i])) return 0;
  return 1;
}

/* Rotates the columns of x to orthonormal Ritz vectors, with p emptied and the residuals in w. This starts a
 * solve, and ends it by removing the rounding that x has gathered. */
static qds_status restart(qds_context *ctx, qds_lobpcg_state *s) {
  const size_t square = (size_t)s->m * (size_t)s->m;
  QDS_AUTO_RELEASE double *projected = NULL;
  QDS_TRY(QDS_NEW(qds_context_allocator(ctx), square, "eigensolver", &projected));
  s->np = s->nw = 0;
  for (int attempt = 0; attempt < START_ATTEMPTS; attempt++) {
    int rank, separated;
    QDS_TRY(deflate(ctx, s->options->deflate, &s->x));
    QDS_TRY(apply_operator(ctx, s, &s->x, &s->w));
    QDS_TRY(qds_block_gram(ctx, &s->x, &s->x, s->gram));
    QDS_TRY(qds_block_gram(ctx, &s->x, &s->w, projected));
    if (!all_finite(s->gram, square) || !all_finite(projected, square))
      QDS_FAIL(QDS_ERROR_NUMERIC, "%s: the start vectors, or what the %s makes of them, hold NaN or infinity",
               s->options->phase, s->options->operator_->name);
    QDS_TRY(qds_lobpcg_start_ritz(ctx, s->blas, s->m, s->gram, projected, s->combine, s->eigenvalues, &rank,
                                  &separated));
    QDS_TRY(combine(ctx, s, &s->x, rank, NULL, 0));
    if (separated) return residuals(ctx, s);
    QDS_TRY(replace_dependent(ctx, s, rank, attempt));
  }
  QDS_FAIL(QDS_ERROR_NUMERIC,
           "%s: the %d vectors stay linearly dependent on each other or on those to stay orthogonal to",
           s->options->phase, s->m);
}

static double tolerance_of(const qds_lobpcg_options *o, const double *eigenvalues, int j) {
  const double above = eigenvalues[j] - o->floor;
  return o->tolerance + o->relative_tolerance * (above > 0 ? above : 0);
}

/* Of the wanted columns. */
static int worst(const qds_lobpcg_options *o, const double *eigenvalues, const double *residuals) {
  int worst_state = 0;
  for (int j = 1; j < o->wanted; j++)
    if (residuals[j] / tolerance_of(o, eigenvalues, j) >
        residuals[worst_state] / tolerance_of(o, eigenvalues, worst_state))
      worst_state = j;
  return worst_state;
}

static int worst_of(const qds_lobpcg_state *s) {
  return worst(s->options, s->eigenvalues, s->residuals);
}

/* Flags the columns that need a direction; returns how many wanted ones have not converged. */
static int mark_active(qds_lobpcg_state *s) {
  int open = 0;
  for (int j = 0; j < s->m; j++) {
    s->active[j] = s->residuals[j] > tolerance_of(s->options, s->eigenvalues, j);
    open += s->active[j] && j < s->options->wanted;
  }
  return open;
}

static qds_status check_finite(const qds_lobpcg_state *s) {
  for (int j = 0; j < s->m; j++)
    if (!isfinite(s->residuals[j]) || !isfinite(s->eigenvalues[j]))
      QDS_FAIL(QDS_ERROR_NUMERIC, "%s: the %s made state %d infinite or not a number", s->options->phase,
               s->options->operator_->name, j);
  return QDS_OK;
}

static qds_status image_of_directions(qds_context *ctx, qds_lobpcg_state *s) {
  qds_block w = qds_block_part(&s->w, 0, s->nw), aw = qds_block_part(&s->aw, 0, s->nw);
  QDS_TRY(deflate(ctx, s->options->deflate, &w));
  return apply_operator(ctx, s, &w, &aw);
}

/* Some columns at a time, so that an interruption does not wait for all. */
static qds_status precondition(qds_context *ctx, qds_lobpcg_state *s) {
  enum { COLUMNS_AT_ONCE = 8 };
  const qds_operator *preconditioner = s->options->preconditioner;
  if (!preconditioner) return QDS_OK;
  const int threads = qds_context_threads(ctx), batch = threads > COLUMNS_AT_ONCE ? threads : COLUMNS_AT_ONCE;
  const double start = qds_seconds();
  for (int first = 0; first < s->nw; first += batch) {
    qds_block w = qds_block_part(&s->w, first, s->nw - first < batch ? s->nw - first : batch);
    QDS_TRY(preconditioner->apply(preconditioner->self, ctx, &w, &w));
    QDS_TRY(qds_progress(ctx, s->options->phase, s->done, "residual %.1e eV", s->residuals[worst_of(s)]));
  }
  s->statistics->preconditioner_applications += s->nw;
  s->statistics->preconditioner_s += qds_seconds() - start;
  return QDS_OK;
}

/* w: the residuals of the active columns, moved to the front, through the preconditioner; aw: their image. */
static qds_status search_directions(qds_context *ctx, qds_lobpcg_state *s) {
  s->nw = 0;
  for (int j = 0; j < s->m; j++) {
    if (!s->active[j]) continue;
    const qds_block from = qds_block_part(&s->w, j, 1);
    qds_block to = qds_block_part(&s->w, s->nw, 1);
    if (s->nw != j) QDS_TRY(qds_block_copy(&from, &to));
    s->nw++;
  }
  QDS_TRY(precondition(ctx, s));
  return image_of_directions(ctx, s);
}

/* The products of the search directions with the whole basis. */
static qds_status project(qds_context *ctx, qds_lobpcg_state *s) {
  const qds_operator *preconditioner = s->options->preconditioner;
  const qds_block p = qds_block_part(&s->p, 0, s->np), w = qds_block_part(&s->w, 0, s->nw),
                  aw = qds_block_part(&s->aw, 0, s->nw);
  const qds_block *const left[QDS_GRAM_LEFT] = {&w, &aw}, *const right[QDS_GRAM_RIGHT] = {&s->x, &p, &w};
  QDS_TRY(qds_blocks_gram(ctx, left, right, s->gram));
  if (!all_finite(s->gram, 2 * (size_t)s->nw * (size_t)(s->m + s->np + s->nw)))
    QDS_FAIL(QDS_ERROR_NUMERIC, "%s: the %s%s%s returned NaN or infinity", s->options->phase,
             s->options->operator_->name, preconditioner ? " or its preconditioner " : "",
             preconditioner ? preconditioner->name : "");
  return QDS_OK;
}

/* One step: search directions, Rayleigh-Ritz in [x p w], new x, p and residuals. */
static qds_status iterate(qds_context *ctx, qds_lobpcg_state *s) {
  int np, reorthogonalise;
  QDS_TRY(search_directions(ctx, s));
  QDS_TRY(project(ctx, s));
  QDS_TRY(qds_lobpcg_rayleigh_ritz(ctx, s, s->active, 1, &np, &reorthogonalise));
  if (reorthogonalise) {
    QDS_TRY(combine(ctx, s, &s->w, np, NULL, 0));
    s->nw = np;
    QDS_TRY(image_of_directions(ctx, s));
    QDS_TRY(project(ctx, s));
    QDS_TRY(qds_lobpcg_rayleigh_ritz(ctx, s, s->active, 0, &np, &reorthogonalise));
  }
  QDS_TRY(combine(ctx, s, &s->x, s->m, &s->p, np));
  s->np = np;
  QDS_TRY(residuals(ctx, s));
  return check_finite(s);
}

static qds_status report(qds_context *ctx, qds_lobpcg_state *s, double first) {
  const int w = worst_of(s);
  const double target = tolerance_of(s->options, s->eigenvalues, w), now = s->residuals[w];
  const double done = first > target && now > 0 ? log(first / now) / log(first / target) : 0;
  s->done = done < 0 ? 0 : done > 1 ? 1 : done;
  return qds_progress(ctx, s->options->phase, s->done, "residual %.1e eV", now);
}

static qds_status not_converged(const qds_lobpcg_state *s) {
  const int w = worst_of(s);
  QDS_FAIL(
      QDS_ERROR_CONVERGENCE,
      "%s: not converged after %d iterations: state %d has residual %.2e, wanted %.2e; allow more "
      "iterations, loosen the tolerance, or ask for another number of states (a level may be cut in two)",
      s->options->phase, s->options->max_iterations, w, s->residuals[w],
      tolerance_of(s->options, s->eigenvalues, w));
}

static qds_status restart_checked(qds_context *ctx, qds_lobpcg_state *s) {
  QDS_TRY(restart(ctx, s));
  return check_finite(s);
}

/* Iterates until the updates claim convergence or find no new direction, then computes everything anew and
 * goes on if the claim was rounding. */
static qds_status solve(qds_context *ctx, qds_lobpcg_state *s) {
  const qds_lobpcg_options *o = s->options;
  QDS_TRY(restart_checked(ctx, s));
  const double first = s->residuals[worst_of(s)];
  for (int restarts = 0; restarts < MAX_RESTARTS && mark_active(s) > 0; restarts++) {
    while (mark_active(s) > 0) {
      QDS_TRY(report(ctx, s, first));
      if (o->stop && o->stop(o->stop_self, s->eigenvalues, s->residuals)) return restart_checked(ctx, s);
      if (s->statistics->iterations == o->max_iterations) return not_converged(s);
      QDS_TRY(iterate(ctx, s));
      s->statistics->iterations++;
      if (s->np == 0) break;
    }
    QDS_TRY(restart_checked(ctx, s));
  }
  return qds_lobpcg_accept(o, s->eigenvalues, s->residuals);
}

qds_status qds_lobpcg_accept(const qds_lobpcg_options *options, const double *eigenvalues,
                             const double *residuals) {
  int open = 0;
  for (int j = 0; j < options->wanted; j++) open += residuals[j] > tolerance_of(options, eigenvalues, j);
  if (open == 0) return QDS_OK;
  const int w = worst(options, eigenvalues, residuals);
  QDS_FAIL(QDS_ERROR_CONVERGENCE,
           "%s: the residual stays at %.2e, wanted %.2e: the tolerance lies below rounding; loosen it",
           options->phase, residuals[w], tolerance_of(options, eigenvalues, w));
}

qds_status qds_lobpcg(qds_context *ctx, const qds_lobpcg_options *options, qds_block *x, double *eigenvalues,
                      double *residuals, qds_lobpcg_statistics *statistics) {
  memset(statistics, 0, sizeof *statistics);
  const int deflated = options->deflate ? options->deflate->columns : 0;
  QDS_REQUIRE(options->wanted >= 1 && options->wanted <= x->columns, "lobpcg: %d wanted of %d vectors",
              options->wanted, x->columns);
  QDS_REQUIRE(x->columns + deflated <= x->rows, "lobpcg: %d vectors, %d deflated, for %lld unknowns",
              x->columns, deflated, (long long)x->rows);
  const double start = qds_seconds();
  __attribute__((cleanup(state_clear))) qds_lobpcg_state s = {.options = options,
                                                              .statistics = statistics,
                                                              .x = *x,
                                                              .m = x->columns,
                                                              .eigenvalues = eigenvalues,
                                                              .residuals = residuals};
  QDS_TRY(qds_blas_get(ctx, &s.blas));
  QDS_TRY(state_create(ctx, &s));
  QDS_TRY(solve(ctx, &s));
  statistics->algebra_s = qds_seconds() - start - statistics->operator_s - statistics->preconditioner_s;
  return QDS_OK;
}

#include "la/pcg.h"

#include <float.h>
#include <math.h>

/* Groups of rows that are summed one after the other; a device works on all of its at once. */
enum { HOST_GROUPS = 128, DEVICE_GROUPS = 1056, FEWEST_GROUP_ROWS = 256 };

/* Units in the last place of norm * ||x|| that a residual which rounding has stopped may have. */
static const double rounding_units = 16;

/* The sums of an iteration, which the kernels leave in the stream's place. r . z of one iteration serves the
 * next, so there are two of them, which take turns. */
enum { RZ, RZ_OTHER, CURVATURE, SQUARE, TERMS, SUMS = TERMS + QDS_PCG_MOST_TERMS };

/* z = M r and q = A p live at different times and share their storage. */
typedef struct {
  qds_context *ctx;
  const qds_pcg_options *options;
  qds_stream host, *stream;
  int64_t rows;
  int groups;
  const qds_block *b;
  qds_block *x, r, p, shared;
  double *sums, *partial; /* of the stream's place */
  double norm_b;
} solver;

static void solver_clear(solver *s) {
  qds_block_clear(&s->r);
  qds_block_clear(&s->p);
  qds_block_clear(&s->shared);
  qds_stream_release(s->stream, s->sums);
}

static qds_pcg_sum sum_to(const solver *s, int name) {
  return (qds_pcg_sum){s->groups, s->partial, s->sums + name};
}

static qds_status fetch(solver *s, double sums[SUMS]) {
  return qds_stream_fetch(s->stream, sums, s->sums, sizeof(double) * SUMS);
}

static qds_status dot(solver *s, const qds_block *a, const qds_block *b, int name) {
  const qds_pcg_dot_arguments k = {s->rows, a->data, b->data, sum_to(s, name)};
  return qds_stream_launch(s->stream, &qds_pcg_dot_kernel, &k);
}

/* The operator with its terms. */
static qds_status operate(solver *s, const qds_block *from, qds_block *to) {
  const qds_pcg_options *o = s->options;
  QDS_TRY(o->operator_->apply(o->operator_->self, s->ctx, from, to));
  if (o->terms == 0) return QDS_OK;
  qds_pcg_rank_one_arguments k = {.rows = s->rows,
                                  .terms = o->terms,
                                  .x = from->data,
                                  .y = to->data,
                                  .groups = s->groups,
                                  .partial = s->partial,
                                  .dots = s->sums + TERMS};
  for (int t = 0; t < o->terms; t++) {
    k.u[t] = o->term[t].u;
    k.factor[t] = o->term[t].factor;
  }
  return qds_stream_launch(s->stream, &qds_pcg_rank_one_kernel, &k);
}

/* r = b - A x. */
static qds_status true_residual(solver *s, double *relative) {
  double sums[SUMS];
  QDS_TRY(operate(s, s->x, &s->shared));
  const qds_pcg_subtract_arguments k = {s->rows, s->b->data, s->shared.data, s->r.data, sum_to(s, SQUARE)};
  QDS_TRY(qds_stream_launch(s->stream, &qds_pcg_subtract_kernel, &k));
  QDS_TRY(fetch(s, sums));
  *relative = sqrt(sums[SQUARE]) / s->norm_b;
  if (!isfinite(*relative))
    QDS_FAIL(QDS_ERROR_NUMERIC,
             "%s: the residual is not finite; the start vector or the operator %s holds NaN",
             s->options->phase, s->options->operator_->name);
  return QDS_OK;
}

/* One direction: beta from the preconditioned residual, alpha along p. The host sees the sums at the end. */
static qds_status step(solver *s, int first, int rz, double sums[SUMS]) {
  const qds_pcg_options *o = s->options;
  const qds_block *z = &s->r;
  if (o->preconditioner) {
    QDS_TRY(o->preconditioner->apply(o->preconditioner->self, s->ctx, &s->r, &s->shared));
    z = &s->shared;
  }
  QDS_TRY(dot(s, &s->r, z, rz));
  const int before = rz == RZ ? RZ_OTHER : RZ;
  const qds_pcg_turn_arguments turn = {s->rows, z->data, s->sums + rz, first ? NULL : s->sums + before,
                                       s->p.data};
  QDS_TRY(qds_stream_launch(s->stream, &qds_pcg_turn_kernel, &turn));
  QDS_TRY(operate(s, &s->p, &s->shared));
  QDS_TRY(dot(s, &s->p, &s->shared, CURVATURE));
  const qds_pcg_advance_arguments advance = {.rows = s->rows,
                                             .p = s->p.data,
                                             .q = s->shared.data,
                                             .rz = s->sums + rz,
                                             .curvature = s->sums + CURVATURE,
                                             .x = s->x->data,
                                             .r = s->r.data,
                                             .sum = sum_to(s, SQUARE)};
  QDS_TRY(qds_stream_launch(s->stream, &qds_pcg_advance_kernel, &advance));
  return fetch(s, sums);
}

static qds_status iterate(solver *s, int iteration, double *relative) {
  const qds_pcg_options *o = s->options;
  const int rz = iteration % 2 ? RZ_OTHER : RZ;
  double sums[SUMS];
  QDS_TRY(step(s, iteration == 0, rz, sums));
  if (!(sums[rz] > 0 && isfinite(sums[rz])))
    QDS_FAIL(QDS_ERROR_NUMERIC, "%s: the preconditioner %s is not positive definite (r . M r = %g)", o->phase,
             o->preconditioner ? o->preconditioner->name : "none", sums[rz]);
  if (!(sums[CURVATURE] > 0 && isfinite(sums[CURVATURE])))
    QDS_FAIL(QDS_ERROR_NUMERIC, "%s: the operator %s is not positive definite (p . A p = %g)", o->phase,
             o->operator_->name, sums[CURVATURE]);
  *relative = sqrt(sums[SQUARE]) / s->norm_b;
  if (!isfinite(*relative))
    QDS_FAIL(QDS_ERROR_NUMERIC, "%s: the residual of %s is no longer finite", o->phase, o->operator_->name);
  return QDS_OK;
}

/* Iterates from the true residual in r until the residual of the recurrence is small enough. */
static qds_status descend(solver *s, double relative, int *iterations) {
  const qds_pcg_options *o = s->options;
  for (int iteration = 0; relative > o->relative_tolerance; iteration++) {
    if (*iterations >= o->max_iterations)
      QDS_FAIL(QDS_ERROR_CONVERGENCE,
               "%s: relative residual %.2e after %d iterations, %.2e is asked for; allow more iterations or "
               "a larger "
               "tolerance",
               o->phase, relative, *iterations, o->relative_tolerance);
    const double done = log(relative) / log(o->relative_tolerance);
    QDS_TRY(qds_progress(s->ctx, o->phase, fmin(fmax(done, 0), 1), "residual %.1e", relative));
    QDS_TRY(iterate(s, iteration, &relative));
    ++*iterations;
  }
  return QDS_OK;
}

/* Whether a relative residual is what rounding leaves. */
static qds_status is_rounding(solver *s, double relative, int *is) {
  double sums[SUMS];
  QDS_TRY(dot(s, s->x, s->x, SQUARE));
  QDS_TRY(fetch(s, sums));
  *is = relative * s->norm_b <= rounding_units * DBL_EPSILON * s->options->norm * sqrt(sums[SQUARE]);
  return QDS_OK;
}

/* The recurrence may drift from the truth: start again from the true residual while that helps. */
static qds_status solve(solver *s, qds_pcg_statistics *statistics) {
  double relative = 0, before = INFINITY;
  int iterations = 0, done = 0;
  for (;;) {
    QDS_TRY(true_residual(s, &relative));
    if (relative <= s->options->relative_tolerance) break;
    if (relative > 0.5 * before) QDS_TRY(is_rounding(s, relative, &done));
    if (done) break;
    if (relative > 0.5 * before)
      QDS_FAIL(
          QDS_ERROR_CONVERGENCE,
          "%s: rounding errors keep the relative residual at %.2e, %.2e is asked for; a larger tolerance is "
          "needed",
          s->options->phase, relative, s->options->relative_tolerance);
    if (iterations > 0) before = relative;
    QDS_TRY(descend(s, relative, &iterations));
  }
  *statistics = (qds_pcg_statistics){iterations, relative};
  return QDS_OK;
}

static qds_status check(const qds_pcg_options *o, const qds_block *b, const qds_block *x) {
  QDS_REQUIRE(o->relative_tolerance > 0 && o->relative_tolerance < 1,
              "%s: relative tolerance %g; it must lie between 0 and 1", o->phase, o->relative_tolerance);
  QDS_REQUIRE(!o->preconditioner || o->preconditioner->rows == o->operator_->rows,
              "%s: the operator %s has %lld rows, the preconditioner %s has %lld", o->phase,
              o->operator_->name, (long long)o->operator_->rows, o->preconditioner->name,
              (long long)o->preconditioner->rows);
  QDS_REQUIRE(
      b->rows == o->operator_->rows && x->rows == b->rows && b->columns == 1 && x->columns == 1,
      "%s: the operator %s has %lld rows, the right-hand side is %lld x %d and the solution %lld x %d",
      o->phase, o->operator_->name, (long long)o->operator_->rows, (long long)b->rows, b->columns,
      (long long)x->rows, x->columns);
  QDS_REQUIRE(o->terms >= 0 && o->terms <= QDS_PCG_MOST_TERMS, "%s: %d terms beside the operator", o->phase,
              o->terms);
  QDS_REQUIRE(b->stream == x->stream, "%s: right-hand side and solution lie in different places", o->phase);
  return QDS_OK;
}

static int groups_of(const qds_stream *stream, int64_t rows) {
  const int64_t most = qds_stream_on_host(stream) ? HOST_GROUPS : DEVICE_GROUPS,
                wanted = rows / FEWEST_GROUP_ROWS + 1;
  return (int)(wanted < most ? wanted : most);
}

static qds_status create_vectors(solver *s) {
  s->groups = groups_of(s->stream, s->rows);
  QDS_TRY(QDS_STREAM_NEW(s->stream, SUMS + QDS_PCG_MOST_TERMS * s->groups, "conjugate gradients", &s->sums));
  s->partial = s->sums + SUMS;
  qds_block *const vectors[] = {&s->r, &s->p, &s->shared};
  for (int i = 0; i < 3; i++)
    QDS_TRY(qds_block_create_on(s->ctx, s->b->stream, s->rows, 1, "conjugate gradients", vectors[i]));
  return qds_stream_fill(s->stream, s->sums, 0, sizeof(double) * SUMS);
}

qds_status qds_pcg(qds_context *ctx, const qds_pcg_options *options, const qds_block *b, qds_block *x,
                   qds_pcg_statistics *statistics) {
  *statistics = (qds_pcg_statistics){0};
  QDS_TRY(check(options, b, x));
  solver s __attribute__((cleanup(solver_clear))) = {
      .ctx = ctx, .options = options, .rows = options->operator_->rows, .b = b, .x = x};
  QDS_TRY(qds_stream_open(NULL, qds_context_allocator(ctx), qds_context_threads(ctx), &s.host));
  s.stream = b->stream ? b->stream : &s.host;
  double sums[SUMS];
  QDS_TRY(create_vectors(&s));
  QDS_TRY(dot(&s, b, b, SQUARE));
  QDS_TRY(fetch(&s, sums));
  s.norm_b = sqrt(sums[SQUARE]);
  if (!isfinite(s.norm_b))
    QDS_FAIL(QDS_ERROR_NUMERIC, "%s: the norm of the right-hand side is %g", options->phase, s.norm_b);
  if (s.norm_b == 0) return qds_stream_fill(s.stream, x->data, 0, (size_t)s.rows * sizeof *x->data);
  return solve(&s, statistics);
}

#include "la/pcg.h"

#include <math.h>
#include <string.h>

/* Sums run over a fixed number of parts in order, so that they do not depend on the thread count. */
enum { PARTS = 128 };

/* z = M r and q = A p live at different times and share their storage. */
typedef struct {
  qds_context *ctx;
  const qds_pcg_options *options;
  int64_t rows;
  const double *b;
  double *x;
  qds_block r, p, shared;
  double norm_b;
} solver;

static void solver_clear(solver *s) {
  qds_block_clear(&s->r);
  qds_block_clear(&s->p);
  qds_block_clear(&s->shared);
}

static int64_t part_begin(const solver *s, int part) {
  return s->rows * part / PARTS;
}

static double total(const double *sums) {
  double sum = 0;
  for (int part = 0; part < PARTS; part++) sum += sums[part];
  return sum;
}

/* r = b - q; returns r . r. */
static double subtract_from_right_side(solver *s) {
  const double *b = s->b, *q = s->shared.data;
  double *r = s->r.data, sums[PARTS];
#pragma omp parallel for schedule(static) num_threads(qds_context_threads(s->ctx))
  for (int part = 0; part < PARTS; part++) {
    double sum = 0;
#pragma omp simd reduction(+ : sum)
    for (int64_t i = part_begin(s, part); i < part_begin(s, part + 1); i++) {
      r[i] = b[i] - q[i];
      sum += r[i] * r[i];
    }
    sums[part] = sum;
  }
  return total(sums);
}

/* x = x + alpha p, r = r - alpha q; returns r . r. */
static double advance(solver *s, double alpha) {
  const double *p = s->p.data, *q = s->shared.data;
  double *x = s->x, *r = s->r.data, sums[PARTS];
#pragma omp parallel for schedule(static) num_threads(qds_context_threads(s->ctx))
  for (int part = 0; part < PARTS; part++) {
    double sum = 0;
#pragma omp simd reduction(+ : sum)
    for (int64_t i = part_begin(s, part); i < part_begin(s, part + 1); i++) {
      x[i] += alpha * p[i];
      r[i] -= alpha * q[i];
      sum += r[i] * r[i];
    }
    sums[part] = sum;
  }
  return total(sums);
}

/* p = z + beta p; with beta = 0 the old p does not count. */
static void turn(solver *s, const double *z, double beta) {
  double *p = s->p.data;
#pragma omp parallel for schedule(static) num_threads(qds_context_threads(s->ctx))
  for (int part = 0; part < PARTS; part++) {
    const int64_t begin = part_begin(s, part), end = part_begin(s, part + 1);
    if (beta == 0)
      memcpy(p + begin, z + begin, (size_t)(end - begin) * sizeof *p);
    else
      for (int64_t i = begin; i < end; i++) p[i] = z[i] + beta * p[i];
  }
}

static qds_status operate(solver *s, const qds_operator *operator_, const qds_block *from, qds_block *to) {
  return operator_->apply(operator_->self, s->ctx, from, to);
}

/* r = b - A x, by way of p, since a caller's x need not be aligned as blocks are. */
static qds_status true_residual(solver *s, double *relative) {
  memcpy(s->p.data, s->x, (size_t)s->rows * sizeof *s->x);
  QDS_TRY(operate(s, s->options->operator_, &s->p, &s->shared));
  *relative = sqrt(subtract_from_right_side(s)) / s->norm_b;
  if (!isfinite(*relative))
    QDS_FAIL(QDS_ERROR_NUMERIC,
             "%s: the residual is not finite; the start vector or the operator %s holds NaN",
             s->options->phase, s->options->operator_->name);
  return QDS_OK;
}

/* One direction: beta from the preconditioned residual, alpha along p. */
static qds_status iterate(solver *s, int first, double *rz, double *relative) {
  const qds_pcg_options *o = s->options;
  const double *z = s->r.data;
  if (o->preconditioner) {
    QDS_TRY(operate(s, o->preconditioner, &s->r, &s->shared));
    z = s->shared.data;
  }
  const double rz_before = *rz;
  *rz = qds_vector_dot(s->ctx, s->rows, s->r.data, z);
  if (!(*rz > 0 && isfinite(*rz)))
    QDS_FAIL(QDS_ERROR_NUMERIC, "%s: the preconditioner %s is not positive definite (r . M r = %g)", o->phase,
             o->preconditioner ? o->preconditioner->name : "none", *rz);
  turn(s, z, first ? 0 : *rz / rz_before);
  QDS_TRY(operate(s, o->operator_, &s->p, &s->shared));
  const double curvature = qds_vector_dot(s->ctx, s->rows, s->p.data, s->shared.data);
  if (!(curvature > 0 && isfinite(curvature)))
    QDS_FAIL(QDS_ERROR_NUMERIC, "%s: the operator %s is not positive definite (p . A p = %g)", o->phase,
             o->operator_->name, curvature);
  *relative = sqrt(advance(s, *rz / curvature)) / s->norm_b;
  if (!isfinite(*relative))
    QDS_FAIL(QDS_ERROR_NUMERIC, "%s: the residual of %s is no longer finite", o->phase, o->operator_->name);
  return QDS_OK;
}

/* Iterates from the true residual in r until the residual of the recurrence is small enough. */
static qds_status descend(solver *s, double relative, int *iterations) {
  const qds_pcg_options *o = s->options;
  double rz = 0;
  for (int first = 1; relative > o->relative_tolerance; first = 0) {
    if (*iterations >= o->max_iterations)
      QDS_FAIL(QDS_ERROR_CONVERGENCE,
               "%s: relative residual %.2e after %d iterations, %.2e is asked for; allow more iterations or "
               "a larger "
               "tolerance",
               o->phase, relative, *iterations, o->relative_tolerance);
    const double done = log(relative) / log(o->relative_tolerance);
    QDS_TRY(qds_progress(s->ctx, o->phase, fmin(fmax(done, 0), 1), "residual %.1e", relative));
    QDS_TRY(iterate(s, first, &rz, &relative));
    ++*iterations;
  }
  return QDS_OK;
}

/* The recurrence may drift from the truth: start again from the true residual while that helps. */
static qds_status solve(solver *s, qds_pcg_statistics *statistics) {
  double relative = 0, before = INFINITY;
  int iterations = 0;
  for (;;) {
    QDS_TRY(true_residual(s, &relative));
    if (relative <= s->options->relative_tolerance) break;
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

static qds_status check(const qds_pcg_options *o) {
  QDS_REQUIRE(o->relative_tolerance > 0 && o->relative_tolerance < 1,
              "%s: relative tolerance %g; it must lie between 0 and 1", o->phase, o->relative_tolerance);
  QDS_REQUIRE(!o->preconditioner || o->preconditioner->rows == o->operator_->rows,
              "%s: the operator %s has %lld rows, the preconditioner %s has %lld", o->phase,
              o->operator_->name, (long long)o->operator_->rows, o->preconditioner->name,
              (long long)o->preconditioner->rows);
  return QDS_OK;
}

qds_status qds_pcg(qds_context *ctx, const qds_pcg_options *options, const double *b, double *x,
                   qds_pcg_statistics *statistics) {
  *statistics = (qds_pcg_statistics){0};
  QDS_TRY(check(options));
  solver s __attribute__((cleanup(solver_clear))) = {
      .ctx = ctx, .options = options, .rows = options->operator_->rows, .b = b, .x = x};
  s.norm_b = sqrt(qds_vector_dot(ctx, s.rows, b, b));
  if (!isfinite(s.norm_b))
    QDS_FAIL(QDS_ERROR_NUMERIC, "%s: the norm of the right-hand side is %g", options->phase, s.norm_b);
  if (s.norm_b == 0) {
    memset(x, 0, (size_t)s.rows * sizeof *x);
    return QDS_OK;
  }
  QDS_TRY(qds_block_create(ctx, s.rows, 1, "conjugate gradients", &s.r));
  QDS_TRY(qds_block_create(ctx, s.rows, 1, "conjugate gradients", &s.p));
  QDS_TRY(qds_block_create(ctx, s.rows, 1, "conjugate gradients", &s.shared));
  return solve(&s, statistics);
}

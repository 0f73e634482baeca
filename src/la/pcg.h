/* Preconditioned conjugate gradients (Hestenes, Stiefel 1952) for symmetric positive definite operators, on
 * blocks of the host or of a device. */
#ifndef QDS_LA_PCG_H
#define QDS_LA_PCG_H

#include "la/block.h"
#include "la/pcg_kernels.h"

/* factor u u^T; u has the rows and the place of the right-hand side. */
typedef struct {
  const double *u;
  double factor;
} qds_pcg_term;

typedef struct {
  const qds_operator *operator_;
  const qds_operator *preconditioner; /* NULL: none */
  double relative_tolerance;          /* of ||b - A x|| / ||b|| */
  int max_iterations;
  const char *phase;
  /* Of the operator, or 0. A residual that rounding keeps above the tolerance is accepted where it is no more
   * than rounding this norm times ||x|| makes it: x then solves an operator that differs from this one by
   * rounding. With 0 such a residual is an error. */
  double norm;
  /* What is solved for is the operator plus these. */
  qds_pcg_term term[QDS_PCG_MOST_TERMS];
  int terms;
} qds_pcg_options;

typedef struct {
  int iterations;
  double relative_residual; /* computed anew from x */
} qds_pcg_statistics;

/* One right-hand side: b and x have one column and lie in the same place, where operator and preconditioner
 * work; x holds the start on entry. The host waits for a device once an iteration, for three sums. Nothing
 * depends on the thread count. Errors: CONVERGENCE, NUMERIC (operator not positive definite or NaN),
 * INTERRUPTED, MEMORY, BUDGET, those of the device. */
qds_status qds_pcg(qds_context *ctx, const qds_pcg_options *options, const qds_block *b, qds_block *x,
                   qds_pcg_statistics *statistics);

#endif

/* Preconditioned conjugate gradients (Hestenes, Stiefel 1952) for symmetric positive definite operators. */
#ifndef QDS_LA_PCG_H
#define QDS_LA_PCG_H

#include "la/block.h"

typedef struct {
  const qds_operator *operator_;
  const qds_operator *preconditioner; /* NULL: none */
  double relative_tolerance;          /* of ||b - A x|| / ||b|| */
  int max_iterations;
  const char *phase;
} qds_pcg_options;

typedef struct {
  int iterations;
  double relative_residual; /* computed anew from x */
} qds_pcg_statistics;

/* One right-hand side; x holds the start on entry. Errors: CONVERGENCE, NUMERIC (operator not positive
 * definite or NaN), INTERRUPTED, MEMORY. */
qds_status qds_pcg(qds_context *ctx, const qds_pcg_options *options, const double *b, double *x,
                   qds_pcg_statistics *statistics);

#endif

/* The lowest eigenpairs of a symmetric operator by LOBPCG (Knyazev, SIAM J. Sci. Comput. 23 (2001) 517), with
 * guard vectors, soft locking, and the basis kept orthonormal through its Gram matrix (after Duersch, Shao,
 * Yang, Gu, SIAM J. Sci. Comput. 40 (2018) C655). */
#ifndef QDS_LA_LOBPCG_H
#define QDS_LA_LOBPCG_H

#include "la/block.h"

typedef struct {
  const qds_operator *operator_;
  const qds_operator *preconditioner; /* symmetric positive definite; y may be x; NULL: none */
  const qds_block *deflate;           /* orthonormal vectors to stay orthogonal to; NULL: none */
  int wanted;                         /* the first `wanted` columns must converge; the others are guards */
  /* Converged when ||A x - lambda x|| <= tolerance + relative_tolerance * (lambda - floor). */
  double tolerance, relative_tolerance, floor;
  int max_iterations;
  const char *phase; /* for progress */
  /* Asked after each iteration; a return other than 0 ends the solve as converged. May be NULL. */
  int (*stop)(void *self, const double *eigenvalues, const double *residuals);
  void *stop_self;
} qds_lobpcg_options;

typedef struct {
  int iterations;
  int64_t operator_applications, preconditioner_applications;
  double operator_s, preconditioner_s, algebra_s;
} qds_lobpcg_statistics;

/* x: start vectors (any, linearly independent), on return orthonormal eigenvectors, ascending. eigenvalues
 * and residuals (computed anew from the final vectors): x->columns each. Errors: CONVERGENCE (names the worst
 * residual and what to do), NUMERIC (NaN from an operator), INTERRUPTED, MEMORY, BUDGET. */
qds_status qds_lobpcg(qds_context *ctx, const qds_lobpcg_options *options, qds_block *x, double *eigenvalues,
                      double *residuals, qds_lobpcg_statistics *statistics);

/* Whether the wanted columns have converged, with numbers computed anew from vectors that no iteration makes
 * better. Errors: CONVERGENCE (names the worst residual; the tolerance lies below rounding). */
qds_status qds_lobpcg_accept(const qds_lobpcg_options *options, const double *eigenvalues,
                             const double *residuals);

/* Blocks of the size of x that a solve holds at its peak, x included. */
enum { QDS_LOBPCG_BLOCKS = 4 };

#endif

/* The parts of LOBPCG: the state and the small dense algebra. */
#ifndef QDS_LA_LOBPCG_INTERNAL_H
#define QDS_LA_LOBPCG_INTERNAL_H

#include "la/blas.h"
#include "la/lobpcg.h"

/* The search space is spanned by x (current vectors), p (last directions) and w (preconditioned residuals);
 * aw is the image of w. x and p are orthonormal to each other at all times. */
typedef struct {
  const qds_lobpcg_options *options;
  qds_lobpcg_statistics *statistics;
  const qds_blas *blas;
  qds_block x, p, w, aw;           /* m columns allocated in each */
  double done;                     /* progress, 0 to 1 */
  int m, np, nw;                   /* columns in use */
  double *eigenvalues, *residuals; /* m */
  double *p_gram;                  /* p^T A p, np x np */
  double *gram;                    /* [w aw]^T [x p w], 2 nw x (m + np + nw) */
  double *combine;                 /* coefficients of the new vectors, (m + np + nw) x 2 m */
  int *active;                     /* m flags: the column has not converged */
} qds_lobpcg_state;

/* The Rayleigh-Ritz step on the small matrices: from gram, eigenvalues and p_gram it computes the new
 * eigenvalues, the coefficients of the new x (m columns) and p (*new_np columns) in `combine`, and the new
 * p_gram. `active`: flags of the columns of x that get a direction. When w lies too close to the span of x
 * and p to be separated through the Gram matrix alone, *reorthogonalise is set and `combine` holds *new_np
 * columns that make w orthonormal instead. */
qds_status qds_lobpcg_rayleigh_ritz(qds_context *ctx, qds_lobpcg_state *s, const int *active,
                                    int may_reorthogonalise, int *new_np, int *reorthogonalise);

/* From gram = v^T v and projected = v^T A v (m x m, both destroyed): coefficients (m x *rank) of orthonormal
 * Ritz vectors in the span of v, and their eigenvalues, ascending. *separated: v is far from dependent, so
 * that these vectors are orthonormal to nearly all digits. */
qds_status qds_lobpcg_start_ritz(qds_context *ctx, const qds_blas *blas, int m, double *gram,
                                 double *projected, double *coefficients, double *eigenvalues, int *rank,
                                 int *separated);

#endif

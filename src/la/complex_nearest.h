/* The eigenpairs of a complex symmetric band matrix nearest to a number.
 *
 * Arnoldi's method on (A - target)^-1 (Saad, Numerical Methods for Large Eigenvalue Problems, 2011, ch. 6)
 * with a basis that grows until the wanted ones have converged, then inverse iteration on each. Vectors are
 * normalised by the bilinear form, x^T x = 1, without a conjugate, by which eigenvectors of a complex
 * symmetric matrix are orthogonal. */
#ifndef QDS_LA_COMPLEX_NEAREST_H
#define QDS_LA_COMPLEX_NEAREST_H

#include "la/complex_band.h"

typedef struct {
  double complex value;
  double residual; /* ||A x - value x|| / ||x|| */
} qds_complex_pair;

/* The `count` nearest, in the order of their distance, and their vectors, one after the other; `steps`:
 * solves done. Errors: ARGUMENT (count), NUMERIC, MEMORY, BUDGET, INTERRUPTED. */
qds_status qds_complex_nearest(qds_context *ctx, const qds_complex_band *a, double complex target, int count,
                               qds_complex_pair *pair, double complex *vectors, int64_t *steps);

/* Inverse iteration with a fixed shift: `iterations` solves from x, which becomes the eigenvector of the
 * eigenvalue nearest to the shift among those that x holds. */
qds_status qds_complex_inverse_iteration(qds_complex_band_factor *factor, const qds_complex_band *a,
                                         double complex shift, int iterations, double complex *x,
                                         double complex *work, qds_complex_pair *pair);

#endif

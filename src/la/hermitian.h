/* The lowest eigenpairs of a Hermitian operator from its real form [[A, -B], [B, A]], in which a vector holds
 * its real parts and then its imaginary parts, and every level appears twice: as x and as i x. */
#ifndef QDS_LA_HERMITIAN_H
#define QDS_LA_HERMITIAN_H

#include "la/spectrum.h"

/* As qds_spectrum for the operator options->target, which holds two vectors of `real_` in one. x receives
 * options->states columns, orthonormal as complex vectors; levels are counted once, true
 * degeneracies kept. */
qds_status qds_hermitian_spectrum(qds_context *ctx, qds_tensor_operator *real_,
                                  const qds_spectrum_options *options, qds_block *x, double *eigenvalues,
                                  double *residuals, qds_spectrum_statistics *statistics);

/* From 2 `states` real eigenvectors with their levels, ascending and orthonormal as real vectors, the first
 * `states` that are independent as complex vectors, made orthonormal as such: column 2 j of *picked (which
 * the caller clears) is number j, column 2 j + 1 is i times it. */
qds_status qds_hermitian_pick(qds_context *ctx, const qds_block *x, const double *levels, int states,
                              qds_block *picked, double *picked_levels);

#endif

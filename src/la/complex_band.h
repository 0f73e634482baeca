/* Complex symmetric band matrices (A = A^T, not Hermitian), as complex coordinates and absorbing potentials
 * make them of a one-dimensional Hamiltonian, and solves with them. */
#ifndef QDS_LA_COMPLEX_BAND_H
#define QDS_LA_COMPLEX_BAND_H

#include <complex.h>

#include "par/context.h"

typedef struct {
  int rows, width;       /* entries on either side of the diagonal */
  double complex *entry; /* rows x (2 width + 1): row i holds the columns i - width to i + width */
} qds_complex_band;

/* All entries are 0. */
qds_status qds_complex_band_create(qds_context *ctx, int rows, int width, qds_complex_band **out);
void qds_complex_band_destroy(qds_complex_band *matrix);
QDS_AUTO_DEFINE(qds_complex_band)

static inline double complex *qds_complex_band_at(const qds_complex_band *a, int i, int j) {
  return a->entry + (int64_t)i * (2 * a->width + 1) + j - i + a->width;
}

/* y = A x. */
void qds_complex_band_apply(const qds_complex_band *a, const double complex *x, double complex *y);
/* The largest sum of absolute values along a row. */
double qds_complex_band_norm(const qds_complex_band *a);

/* A - shift = P L U, for any number of shifts one after the other. */
typedef struct qds_complex_band_factor qds_complex_band_factor;
qds_status qds_complex_band_factor_create(qds_context *ctx, const qds_complex_band *a,
                                          qds_complex_band_factor **out);
void qds_complex_band_factor_destroy(qds_complex_band_factor *factor);
QDS_AUTO_DEFINE(qds_complex_band_factor)
/* A pivot that vanishes, because the shift is an eigenvalue, is moved by a rounding error of the matrix, as
 * inverse iteration wants it. Errors: NUMERIC (an entry or the shift is infinite or not a number). */
qds_status qds_complex_band_factorise(qds_complex_band_factor *factor, double complex shift);
/* x = (A - shift)^-1 x. */
qds_status qds_complex_band_solve(qds_complex_band_factor *factor, double complex *x);
/* det(A - shift) / |det(A - shift)|. */
double complex qds_complex_band_phase(const qds_complex_band_factor *factor);

/* How many eigenvalues lie within `radius` of `centre`: the turns of det(A - z) along the circle, by the
 * argument principle. Errors: NUMERIC (an eigenvalue lies on the circle, to rounding). */
qds_status qds_complex_band_count(qds_context *ctx, const qds_complex_band *a, double complex centre,
                                  double radius, int64_t *count);

#endif

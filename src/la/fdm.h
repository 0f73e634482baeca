/* Fast diagonalisation: the exact inverse of a separable operator
 *
 *   T = Tx (x) 1 (x) 1 + 1 (x) Ty (x) 1 + 1 (x) 1 (x) Tz - shift
 *
 * by dense transforms along each axis (Lynch, Rice, Thomas, Numer. Math. 6 (1964) 185; Deville, Fischer, Mund
 * 2002). Costs 4 n flops per unknown and axis of n unknowns; half of that on an axis that is symmetric about
 * its middle (even-odd splitting). */
#ifndef QDS_LA_FDM_H
#define QDS_LA_FDM_H

#include "la/block.h"
#include "la/matrix_product.h"

typedef struct qds_fdm qds_fdm;

/* n[a]: unknowns along axis a (1: the axis is absent); matrix[a]: dense symmetric n[a] x n[a], read only
 * (ignored for n = 1). The shift must lie below the sum of the lowest eigenvalues, else ARGUMENT names both:
 * T must be positive definite. Other errors: ARGUMENT (n outside 1 to 32764, a matrix that is not symmetric),
 * NUMERIC (a matrix with NaN or infinity), UNSUPPORTED (n[1] * n[2] beyond 2^31), MEMORY, BUDGET. */
qds_status qds_fdm_create(qds_context *ctx, const int64_t n[3], const double *const matrix[3], double shift,
                          qds_precision precision, qds_fdm **out);
/* The same for blocks of the stream; stream NULL: for blocks of host memory. Holds a vector in the working
 * precision on the stream's place, in float64 up to two. */
qds_status qds_fdm_create_on(qds_context *ctx, qds_stream *stream, const int64_t n[3],
                             const double *const matrix[3], double shift, qds_precision precision,
                             qds_fdm **out);
/* Another shift for the same axes. ARGUMENT as above: the shift in force stays. */
qds_status qds_fdm_set_shift(qds_fdm *fdm, double shift);
void qds_fdm_destroy(qds_fdm *fdm);
QDS_AUTO_DEFINE(qds_fdm)

/* The inverse as an operator on vectors with index (i*n[1]+j)*n[2]+k; y may be x. Borrows `fdm`. In single
 * precision each vector is scaled on its way, so that any magnitude is fine; a vector that is not finite
 * gives NaN throughout. */
qds_operator qds_fdm_operator(qds_fdm *fdm);
/* Eigenvalues of axis a, ascending: n[a]. */
const double *qds_fdm_eigenvalues(const qds_fdm *fdm, int axis);
/* Floating-point operations of one application to one vector. */
double qds_fdm_flops(const qds_fdm *fdm);
/* The most bytes that it holds at any time, its creation included, on any matrices; without creating it. */
size_t qds_fdm_bytes(const int64_t n[3], qds_precision precision, int threads);
/* The most bytes that it holds on the place of a stream. */
size_t qds_fdm_bytes_on_stream(const int64_t n[3], qds_precision precision);

#endif

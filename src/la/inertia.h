/* How many levels of a one-dimensional operator lie below a value, without computing any of them.
 *
 * By Sylvester's law of inertia  A - value = L D L^T  has as many negative eigenvalues as D has negative
 * entries (Parlett, The Symmetric Eigenvalue Problem, 1998, sec. 3.3). A is banded, its bandwidth the order
 * of the elements; with periodic ends the first unknown borders the band. Time and memory are proportional to
 * the number of unknowns. */
#ifndef QDS_LA_INERTIA_H
#define QDS_LA_INERTIA_H

#include "la/tensor_operator.h"

/* Whether the operator is one-dimensional: its first two axes are points. */
int qds_inertia_applies(const qds_tensor_operator *operator_);

/* `below`: how many eigenvalues lie below `value`. The count is exact unless an eigenvalue lies within
 * `uncertainty` of the value, a bound on the rounding of this elimination. Errors: ARGUMENT (not
 * one-dimensional), NUMERIC (a coefficient or the value is infinite or NaN), MEMORY, BUDGET. */
qds_status qds_inertia_count(qds_context *ctx, const qds_tensor_operator *operator_, double value,
                             int64_t *below, double *uncertainty);

#endif

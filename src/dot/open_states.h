/* Bound states and resonances of an open device. */
#ifndef QDS_DOT_OPEN_STATES_H
#define QDS_DOT_OPEN_STATES_H

#include "dot/device.h"
#include "dot/result.h"
#include "la/tensor_operator.h"

/* The states nearest to the energy aimed at (default: the lowest potential energy), ascending: energies,
 * widths, lifetimes, residuals, sensitivities and statistics of the result, and psi sqrt(weight) in the
 * columns of x, all real parts before all imaginary parts. The potential at the nodes is the result's band
 * edge.
 *
 * An eigenvalue is a state, and not one of the continuum that complex scaling turns and absorbers damp, when
 * the device determines it:
 * - complex scaling: it moves by less than open.stable_within_eV (2e-8) when the angle grows by 5 degrees;
 *   the continuum turns by 10;
 * - absorbing potential: d E / d ln(strength) is less than 0.15 |Im E|, or its density in the device is
 *   three times that outside it. With open.stable_within_eV: that derivative is smaller than this.
 *
 * Errors: INPUT (see qds_open_find_region), CONVERGENCE (fewer such states than wanted). */
qds_status qds_open_states(const qds_device *device, const qds_tensor_operator *t, qds_result *result,
                           qds_block *x);

/* Bytes at the peak, and seconds, estimated. */
size_t qds_open_bytes(const qds_device *device);
double qds_open_seconds(const qds_device *device);

#endif

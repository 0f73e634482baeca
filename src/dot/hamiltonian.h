/* The effective-mass Hamiltonian  H = -(hbar^2/2) div (1/m) grad + V  (BenDaniel, Duke, Phys. Rev. 152 (1966)
 * 683) of a device as a tensor operator.
 *
 * Band edges are averaged over the volume around a node, inverse masses as dot/interface.h says;
 * docs/discretisation.md compares the ways to do it. */
#ifndef QDS_DOT_HAMILTONIAN_H
#define QDS_DOT_HAMILTONIAN_H

#include "dot/maps.h"
#include "la/spectrum.h"
#include "la/tensor_operator.h"

/* For holes the operator holds the negative, so that its lowest states are the carrier's. Coefficients and
 * potential that only the materials make are given as lines, which read `maps`; where more makes the
 * potential, the maps receive the band edge. */
qds_status qds_hamiltonian_create(const qds_device *device, qds_maps *maps, qds_tensor_operator **out);

/* How to solve for its states: as the device says, else to a residual of 1e-8 of the height above the lowest
 * diagonal entry, below which no level lies, or to what rounding leaves. */
qds_status qds_hamiltonian_options(const qds_device *device, const qds_tensor_operator *t, int states,
                                   qds_spectrum_options *out);

/* Bytes of the operator and the potential on the host: filled, or, `as_lines`, for a device that takes lines.
 */
size_t qds_hamiltonian_bytes(const qds_device *device, int as_lines);

#endif

/* The effective-mass Hamiltonian  H = -(hbar^2/2) div (1/m) grad + V  (BenDaniel, Duke, Phys. Rev. 152 (1966)
 * 683) of a device as a tensor operator.
 *
 * Band edges are averaged over the volume around a node, inverse masses as dot/interface.h says;
 * docs/discretisation.md compares the ways to do it. */
#ifndef QDS_DOT_HAMILTONIAN_H
#define QDS_DOT_HAMILTONIAN_H

#include "dot/device.h"
#include "la/spectrum.h"
#include "la/tensor_operator.h"

/* potential_eV: at all nodes, on the electron's scale; the caller releases it. For holes the operator holds
 * the negative, so that its lowest states are the carrier's. */
qds_status qds_hamiltonian_create(const qds_device *device, double **potential_eV, qds_tensor_operator **out);

/* How to solve for its states: as the device says, else to a residual of 1e-8 of the height above the lowest
 * diagonal entry, below which no level lies, or to what rounding leaves. */
qds_spectrum_options qds_hamiltonian_options(const qds_device *device, const qds_tensor_operator *t,
                                             int states);

/* Bytes of the operator and the potential. */
size_t qds_hamiltonian_bytes(const qds_device *device);

#endif

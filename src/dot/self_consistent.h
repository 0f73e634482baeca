/* The electrostatic potential of a device, alone or self-consistent with its electrons. */
#ifndef QDS_DOT_SELF_CONSISTENT_H
#define QDS_DOT_SELF_CONSISTENT_H

#include "dot/device.h"
#include "dot/result.h"
#include "la/tensor_operator.h"

/* Finds the potential phi of a device that wants electrostatics, and adds the electron's energy in it, -phi,
 * to the operator's diagonal and to the band edge of r->maps; phi and what belongs to it go to
 * r->electrostatics.
 *
 * Without self-consistency Poisson's equation is solved once, with the dopants' charge alone. With it, states
 * and potential are found in turn by the predictor and corrector of Trellakis, Galick, Pacelli, Ravaioli (J.
 * Appl. Phys. 81 (1997) 7880): the potential solves Poisson's equation with a density that follows it as if
 * every level shifted locally, by Newton's method, and the states are then found anew; this ends when the
 * potential changes by less than the tolerance. Errors: INPUT (nothing to neutralise, charge without
 * contact), CONVERGENCE (names the changes), those of the solvers. */
qds_status qds_electrostatics_solve(const qds_device *device, qds_tensor_operator *t, qds_result *r);

/* The electrons in each state of a finished result. */
qds_status qds_electrostatics_occupy(const qds_device *device, qds_result *r);

/* Why the context's device cannot find potential and density, so that the CPU does; "" when it can. */
qds_status qds_electrostatics_obstacle(const qds_device *device, char *why, size_t size);

/* Bytes of a device's memory that potential and density take at most, beside those of the states' solve,
 * which goes on at the same time. */
size_t qds_electrostatics_device_bytes(const qds_device *device);

/* Bytes of the host's memory that the potential and the densities need at their peak, beside the states'
 * solve. */
qds_status qds_electrostatics_bytes(const qds_device *device, size_t *bytes);

/* Steps that the iteration's acceleration remembers. */
enum { QDS_SELF_CONSISTENT_DEPTH = 6 };

#endif

/* Kinetic coefficients where interfaces cut the boxes of a grid. */
#ifndef QDS_DOT_INTERFACE_H
#define QDS_DOT_INTERFACE_H

#include "dot/device.h"
#include "la/runs.h"
#include "la/tensor_operator.h"

/* Gives the lines of c[a] of the axes that vary across themselves, and the couplings of an operator.
 *
 * A box that an interface cuts is taken as layers of its materials across the interface's normal n. With c_i
 * the coefficient along axis i and q = sum_k n_k^2 c_k, the layers together have the coefficients c_ij =
 * <c_i> delta_ij - n_i n_j (<c_i c_j / q> - <c_i / q> <c_j / q> / <1 / q>),
 * <> the mean over the volume (Backus, J. Geophys. Res. 67 (1962) 4427, for one layered medium): the harmonic
 * mean along n, the arithmetic mean across it. The diagonal goes to c[i], the rest couples the corners of the
 * cells.
 *
 * volumes: the parts of the nodes' volumes that the materials fill. values[a]: the positive coefficient of
 * each material along internal axis a. */
qds_status qds_interface_coefficients(const qds_device *device, const qds_runs *volumes,
                                      const double *const values[3], qds_tensor_operator *t);

#endif

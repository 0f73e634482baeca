/* The separable operator nearest to a tensor operator for given states, inverted by fast diagonalisation.
 *
 * Each axis keeps its own stiffness with the coefficient averaged across it, and a potential v_a: the mean of
 * v over the other axes. Both means are weighted by the states' probability along the other axes (a Hartree
 * product), so that the operator is right where the states live; sum_a v_a counts the mean of v three (two)
 * times, which a constant undoes. For a separable v the inverse is exact. */
#ifndef QDS_LA_SEPARABLE_H
#define QDS_LA_SEPARABLE_H

#include "la/device_operator.h"
#include "la/fdm.h"

/* states: vectors of the operator's unknowns that say where to average. The shift is on the scale of the
 * operator's eigenvalues; the one wanted, or one below the separable operator's lowest level. `device`: the
 * operator on a stream, whose blocks the states are and the inverse works on; NULL: the host. */
qds_status qds_separable_create(qds_context *ctx, const qds_device_operator *device,
                                const qds_tensor_operator *operator_, const qds_block *states, double shift,
                                qds_precision precision, qds_fdm **out);

#endif

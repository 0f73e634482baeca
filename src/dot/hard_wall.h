/* Walls that the carrier cannot enter, inside the grid. */
#ifndef QDS_DOT_HARD_WALL_H
#define QDS_DOT_HARD_WALL_H

#include "dot/device.h"
#include "la/tensor_operator.h"

/* Cuts the walls of the medium out of an operator of order 1: nodes in a wall are uncoupled and lifted above
 * the spectrum; a node next to a wall is coupled to the value 0 at the wall, at its true distance (Gibou,
 * Fedkiw, Cheng, Kang, J. Comput. Phys. 176 (2002) 205: symmetric, second order). No wall: nothing
 * is done. */
qds_status qds_hard_wall_apply(const qds_device *device, qds_tensor_operator *operator_);

#endif

/* The magnetic operator (magnetic_operator.h) on blocks of a stream: one pass over x and y, with the phases
 * of all axes computed on the way from those of pairs of unknowns. */
#ifndef QDS_LA_DEVICE_MAGNETIC_H
#define QDS_LA_DEVICE_MAGNETIC_H

#include "la/device_magnetic_kernels.h"
#include "la/magnetic_phases.h"

typedef struct qds_device_magnetic qds_device_magnetic;

/* Takes over coefficients, potential, couplings and phases as they are; nothing of `form` and `phases` is
 * kept. Errors: those of qds_device_operator_create. */
qds_status qds_device_magnetic_create(qds_context *ctx, qds_stream *stream, const qds_tensor_operator *form,
                                      const qds_magnetic_phases *phases, qds_device_magnetic **out);
void qds_device_magnetic_destroy(qds_device_magnetic *operator_);
QDS_AUTO_DEFINE(qds_device_magnetic)

/* On blocks of the stream of twice the form's rows, in its order; borrows. */
qds_operator qds_device_magnetic_apply(qds_device_magnetic *operator_);

#endif

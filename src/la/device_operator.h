/* The tensor operator on blocks of a stream: its coefficients compressed (tiled.h) in memory of the stream's
 * place, y = A x in double precision. */
#ifndef QDS_LA_DEVICE_OPERATOR_H
#define QDS_LA_DEVICE_OPERATOR_H

#include "la/device_operator_kernels.h"
#include "la/tensor_operator.h"

typedef struct qds_device_operator qds_device_operator;

/* Takes over coefficients, potential and couplings as they are; of t nothing is kept. Errors: MEMORY, BUDGET,
 * UNSUPPORTED (an axis of 2^31 nodes, more than 2^31 different coefficients), those of the device. */
qds_status qds_device_operator_create(qds_context *ctx, qds_stream *stream, const qds_tensor_operator *t,
                                      qds_device_operator **out);
/* The same with a potential that is 0 at first, whatever t's is, and can be changed: 9 bytes more per row. */
qds_status qds_device_operator_create_open(qds_context *ctx, qds_stream *stream, const qds_tensor_operator *t,
                                           qds_device_operator **out);
void qds_device_operator_destroy(qds_device_operator *operator_);
QDS_AUTO_DEFINE(qds_device_operator)

/* The potential of such an operator, in the stream's place: line (i, j) begins at (i * n[1] + j) * *line.
 * What the stream's work writes there holds for what is enqueued after it; a multigrid of the operator has to
 * be told (qds_multigrid_renew). */
double *qds_device_operator_potential(const qds_device_operator *operator_, int64_t *line);

/* On blocks of the stream, in its order; borrows. */
qds_operator qds_device_operator_apply(qds_device_operator *operator_);
qds_stream *qds_device_operator_stream(const qds_device_operator *operator_);
/* The operator less its couplings, for kernels of the same stream; borrows. */
qds_tensor_view qds_device_operator_view(const qds_device_operator *operator_);
/* Its couplings, less the blocks; 0 rows: none. Borrows. */
qds_couplings_add_arguments qds_device_operator_couplings(const qds_device_operator *operator_);
/* How many planes of the first axis one thread of a kernel goes through: long marches re-read fewer planes,
 * short ones give a device more to do at once. */
int qds_tensor_planes_of_march(const qds_tensor_axis_view axis[3]);
/* Bytes of the stream's place. */
size_t qds_device_operator_bytes(const qds_device_operator *operator_);

#endif

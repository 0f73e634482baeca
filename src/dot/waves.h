/* The wave functions of a result: they stay scaled on the unknowns, on the device that found them, until
 * somebody asks for one; then it comes to the host, on all nodes, and stays there. */
#ifndef QDS_DOT_WAVES_H
#define QDS_DOT_WAVES_H

#include "la/block.h"
#include "la/tensor_operator.h"

typedef struct qds_waves qds_waves;

/* What turns a state's phase, or sign: psi is multiplied by re + i im. */
typedef struct {
  double re, im;
} qds_phase;

/* Takes over x, whose columns hold `parts` vectors of t each: one, or real and imaginary part. Keeps nothing
 * of t. The context outlives them. */
qds_status qds_waves_create(qds_context *ctx, const qds_tensor_operator *t, int parts, int states,
                            const qds_phase *phases, qds_block *x, qds_waves **out);
void qds_waves_destroy(qds_waves *waves);
QDS_AUTO_DEFINE(qds_waves)

/* psi of a state on all nodes, its parts next to each other, 0 at Dirichlet ends; the states follow each
 * other. From any thread. When all states are on the host, the device's memory is given back. Errors: MEMORY,
 * BUDGET, those of the device; another try is allowed. */
qds_status qds_waves_psi(qds_waves *waves, int state, const double **psi);

#endif

/* What is measured on states, where they lie: on the host or on a device. */
#ifndef QDS_DOT_MEASURE_H
#define QDS_DOT_MEASURE_H

#include "dot/device.h"
#include "dot/waves.h"
#include "la/runs.h"

typedef struct {
  double position_nm[3], spread_nm[3]; /* by user axis */
} qds_moments;

/* Of the columns of x: mean positions and spreads, the probability per material (states x materials), and the
 * phase that makes the largest value of psi positive. `fractions`: of the nodes' volumes. States of open
 * devices keep their phase, and their numbers are divided by the sum of |psi|^2. Errors: MEMORY, BUDGET,
 * those of the device, INTERRUPTED. */
qds_status qds_measure(const qds_device *d, const qds_tensor_operator *t, const qds_runs *fractions,
                       const qds_block *x, int states, qds_moments *moments, double *probability,
                       qds_phase *phases);

#endif

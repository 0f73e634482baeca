/* From a device's medium and from arrays on its nodes to the coefficients of tensor operators. */
#ifndef QDS_DOT_COEFFICIENT_H
#define QDS_DOT_COEFFICIENT_H

#include "dot/device.h"
#include "la/runs.h"
#include "la/tensor_operator.h"

/* Fills c[a] of an operator, which varies across axis a, on a grid with the nodes of the device's: in series
 * along the axis, in parallel across it. `values`: one positive number per material. */
qds_status qds_average_coefficients(const qds_device *device, const double *values, qds_tensor_operator *t,
                                    int a);

/* Copies an array on the nodes of all axes (elements along `along`, -1: none) to unknowns: Dirichlet ends
 * fall away, and the two ends of a periodic axis become their mean, weighted by their intervals. */
void qds_fold_nodes(qds_context *ctx, const qds_tensor_operator *t, int along, const double *from,
                    double *to);

/* The same of runs on the nodes, as the lines of t's coefficient along `along` (-1: of its potential); row r
 * stands for value[r]. Borrows runs and numbers for as long as t has the lines; `owned`, which may be NULL,
 * are runs with a table of one number a row, which are taken over and stand for both. */
qds_status qds_fold_runs(qds_context *ctx, qds_tensor_operator *t, int along, const qds_runs *runs,
                         const double *value, qds_runs *owned);

/* The intervals of the nodes of an axis: all of them. */
static inline qds_intervals qds_node_intervals(const qds_axis *axis) {
  return (qds_intervals){axis->nodes, axis->dual_nm};
}

#endif

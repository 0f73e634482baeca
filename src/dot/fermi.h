/* How many electrons of both spins a confined state holds at a temperature.
 *
 * Along the axes that a device lacks its electrons move freely: a state of a 1D device is a two-dimensional
 * subband, one of a 2D device a one-dimensional subband, one of a 3D device a level. */
#ifndef QDS_DOT_FERMI_H
#define QDS_DOT_FERMI_H

#include "base/allocator.h"
#include "dot/fermi_kernels.h"

/* The integral of t^(-1/2) / (1 + exp(t - eta)) over t > 0, which is Gamma(1/2) F_(-1/2)(eta), and its
 * derivative, to rounding. */
qds_occupation qds_fermi_minus_half(double eta);

/* The same from a table is qds_fermi_look_up: for densities at many nodes. */
qds_status qds_fermi_table_create(qds_allocator *allocator, qds_fermi_table **out);
void qds_fermi_table_destroy(qds_fermi_table *table);
QDS_AUTO_DEFINE(qds_fermi_table)

#endif

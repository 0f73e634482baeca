/* How many electrons of both spins a confined state holds at a temperature.
 *
 * Along the axes that a device lacks its electrons move freely: a state of a 1D device is a two-dimensional
 * subband, one of a 2D device a one-dimensional subband, one of a 3D device a level. */
#ifndef QDS_DOT_FERMI_H
#define QDS_DOT_FERMI_H

#include "base/allocator.h"

/* A number of electrons, and its derivative with respect to the Fermi level in 1/eV. */
typedef struct {
  double number, slope;
} qds_occupation;

/* The integral of t^(-1/2) / (1 + exp(t - eta)) over t > 0, which is Gamma(1/2) F_(-1/2)(eta), and its
 * derivative, to rounding. */
qds_occupation qds_fermi_minus_half(double eta);

/* The same from a table, to 1e-11 of itself: for densities at many nodes. */
typedef struct qds_fermi_table qds_fermi_table;
qds_status qds_fermi_table_create(qds_allocator *allocator, qds_fermi_table **out);
void qds_fermi_table_destroy(qds_fermi_table *table);
QDS_AUTO_DEFINE(qds_fermi_table)
qds_occupation qds_fermi_look_up(const qds_fermi_table *table, double eta);

/* table: needed in 2D, else NULL. energy_eV: the Fermi level less the state's energy; mass: of the free
 * motion, for two free axes the geometric mean; kT_eV > 0. Per nm^2 in 1D: (m kT / (pi hbar^2)) ln(1 +
 * exp(energy / kT)). Per nm in 2D: (1/pi) (2 m kT)^(1/2) / hbar times the integral above. In 3D 2 / (1 +
 * exp(-energy / kT)). */
qds_occupation qds_occupy(const qds_fermi_table *table, int dimension, double energy_eV, double mass,
                          double kT_eV);

#endif

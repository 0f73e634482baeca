/* The density of electrons in the states of a device. */
#ifndef QDS_DOT_DENSITY_H
#define QDS_DOT_DENSITY_H

#include "dot/device.h"
#include "dot/fermi.h"
#include "dot/grid.h"

/* States with what their occupation needs; the squares lie where the density is found. */
typedef struct {
  const qds_device *device;
  const qds_grid *grid; /* borrowed: of the states' operator, in whose stream's order the work is done */
  int states, groups;
  double kT_eV;
  qds_fermi_table *table; /* in 2D */
  double *energies_eV;
  double *mass;     /* states: of the free motion */
  qds_block square; /* nodes x states: |psi|^2, 1/nm^dimension */
  /* For the kernels, in one block of the stream's place: energies and masses, room for the sums, the table.
   */
  double *numbers, *sums;
  qds_fermi_table *table_there;
} qds_subbands;

/* From orthonormal scaled vectors on the grid's unknowns, in host memory or where the grid is; stream: that
 * of the squares, of the grid's place (NULL: of the host). The energies are copied. */
qds_status qds_subbands_create(const qds_device *device, const qds_grid *grid, qds_stream *stream,
                               const qds_block *x, const double *energies_eV, qds_subbands **out);
void qds_subbands_destroy(qds_subbands *subbands);
QDS_AUTO_DEFINE(qds_subbands)

/* The mass of a state's free motion, from its probability in each material: inverse masses add up by it, and
 * two free axes count by their geometric mean; 1 where no axis is free. */
double qds_free_mass(const qds_device *device, const double *probability);

/* What one state can hold at most, of both spins: in 3D it is one level, else a subband without an end. */
double qds_most_in_state(int dimension);

/* The electrons that one state holds, per nm^2 in 1D, per nm in 2D. */
double qds_state_electrons(const qds_subbands *subbands, int state, double fermi_level_eV);

/* Density in 1/nm^3 at all nodes and its derivative with respect to the potential in 1/(V nm^3) (either may
 * be NULL), predicted for a potential that has risen by shift_V (NULL: nowhere) since the states were found:
 * each level follows it locally (Trellakis, Galick, Pacelli, Ravaioli, J. Appl. Phys. 81 (1997) 7880). The
 * blocks lie with the squares. total: of all nodes. Errors: those of the device. */
qds_status qds_predict_density(const qds_subbands *subbands, const qds_block *shift_V, double fermi_level_eV,
                               qds_block *density, qds_block *slope, qds_occupation *total);

/* The Fermi level at which the electrons add up to `total` > 0, to rounding; the states can hold more than
 * these (qds_most_in_state). *fermi_level_eV holds a first guess. Errors: NUMERIC, those of the device. */
qds_status qds_find_fermi_level(const qds_subbands *subbands, const qds_block *shift_V, double total,
                                double *fermi_level_eV);

#endif

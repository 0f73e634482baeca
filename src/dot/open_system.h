/* The Hamiltonian of an open device in one dimension as a complex symmetric band matrix.
 *
 * Exterior complex scaling (Simon, Phys. Lett. A 71 (1979) 211): beyond x0 the coordinate is
 * x0 + (x - x0) e^(i angle), on which outgoing waves decay, and the eigenvalues are the Siegert energies
 * E - i width/2, exactly but for the grid and its end. An element out there has its stiffness multiplied by
 * e^(-i angle) and its mass by e^(i angle). An absorbing potential adds -i eta(x) near the open faces (Riss,
 * Meyer, J. Phys. B 26 (1993) 4503).
 *
 * The mass matrix is diagonal, and the unknowns are scaled by its square root: u = sqrt(M) psi. */
#ifndef QDS_DOT_OPEN_SYSTEM_H
#define QDS_DOT_OPEN_SYSTEM_H

#include "dot/device.h"
#include "la/complex_band.h"
#include "la/tensor_operator.h"

typedef struct {
  qds_complex_band *hamiltonian;
  double complex *mass; /* per unknown */
  double *absorber_eV;  /* eta per unknown: 0 under complex scaling */
} qds_open_system;

/* Elements first to last - 1 keep a real coordinate. */
typedef struct {
  int64_t first, last;
} qds_open_region;

/* The region where the coordinate stays real, its ends moved to the nearest ends of elements. potential_eV:
 * at the nodes. Errors: INPUT (a region outside the grid; a potential or mass that varies where the
 * coordinate is complex: says from where it does not). Without complex scaling it is the whole grid. */
qds_status qds_open_find_region(const qds_device *device, const qds_tensor_operator *t,
                                const double *potential_eV, qds_open_region *out);

qds_status qds_open_system_create(const qds_device *device, const qds_tensor_operator *t,
                                  const qds_open_region *region, double angle_degrees, qds_open_system **out);
void qds_open_system_destroy(qds_open_system *system);
QDS_AUTO_DEFINE(qds_open_system)

/* Nodes low to high hold every change of potential and mass; low > high: there is none. */
void qds_open_find_device(const qds_tensor_operator *t, const double *potential_eV, int64_t *low,
                          int64_t *high);

#endif

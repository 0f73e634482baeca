/* Poisson's equation  -div(eps grad phi) = rho  on the nodes of a device's grid, in V, nm and e.
 *
 * The same elements as the Hamiltonian's, but with boundaries of their own: a contact is a face of the grid
 * that lies on one potential; the other faces let no field through, whatever the wave functions do there;
 * periodic axes stay periodic. Charge is taken at the nodes with their quadrature weights, and the
 * permittivity is averaged in series along the field and in parallel across it (qds_average_coefficients).
 *
 * Without any contact the potential is known but for a constant, and is made zero on average. */
#ifndef QDS_DOT_POISSON_H
#define QDS_DOT_POISSON_H

#include "dot/device.h"
#include "la/block.h"

typedef struct qds_poisson qds_poisson;

/* permittivity: relative, one per material of the device, whose axes and medium are borrowed. stream: of the
 * device that solves; NULL: the CPU. */
qds_status qds_poisson_create(const qds_device *device, const double *permittivity,
                              const qds_contacts *contacts, qds_stream *stream, qds_poisson **out);
void qds_poisson_destroy(qds_poisson *poisson);
QDS_AUTO_DEFINE(qds_poisson)

/* Bytes that the equation takes of a device's memory at most; `with_slope`: also for Newton's method. */
size_t qds_poisson_device_bytes(const int64_t nodes[3], int with_slope);

/* Whether the device has no contact, so that its charge must add up to nothing. */
int qds_poisson_is_closed(const qds_poisson *poisson);

typedef struct {
  int passes, iterations; /* of the solve, of conjugate gradients in all */
} qds_poisson_work;

/* The potential in V of a charge in e/nm^3, both at all nodes and in host memory, as exact as rounding lets
 * it be. work may be NULL. Errors: INPUT (no contact and a charge that does not add up to nothing),
 * CONVERGENCE, NUMERIC, INTERRUPTED, MEMORY, BUDGET, those of the device. */
qds_status qds_poisson_solve(qds_poisson *poisson, const double *charge, double *potential_V,
                             qds_poisson_work *work);

/* One step of Newton's method for a charge that depends on the potential. Blocks hold one number per node and
 * lie where the equation is solved. */
typedef struct {
  const qds_block *charge;   /* at the potential in hand */
  const qds_block *slope;    /* -d charge / d potential >= 0, e/(V nm^3); NULL: 0 */
  int conserved;             /* a uniform shift of the potential leaves the total charge as it is */
  double relative_tolerance; /* of the linear solve */
} qds_poisson_charge;
/* step: the change of the potential at all nodes, 0 at contacts; descent: the residual times the step in eV
 * (per nm^2 in 1D, per nm in 2D), which is positive and falls to 0 where Poisson's equation holds.
 * *iterations, unless NULL, grows by those of conjugate gradients. */
qds_status qds_poisson_correct(qds_poisson *poisson, const qds_poisson_charge *charge,
                               const qds_block *potential_V, qds_block *step, double *descent,
                               int *iterations);
/* The residual at another potential with its charge, times a step: how the descent goes on along it. */
qds_status qds_poisson_descent(qds_poisson *poisson, const qds_block *charge, const qds_block *potential_V,
                               const qds_block *step, double *descent);

/* Puts the contacts' potentials on their nodes; the others are left as they are. In host memory. */
void qds_poisson_set_contacts(const qds_poisson *poisson, double *potential_V);

/* The charge on a contact in e (per nm^2 in 1D, per nm in 2D), by Gauss's law from the flux into the grid;
 * charge and potential in host memory. */
double qds_poisson_contact_charge(const qds_poisson *poisson, const double *charge, const double *potential_V,
                                  int axis, int side);

#endif

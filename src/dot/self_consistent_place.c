/* Where potential and density of a device are found, and what memory they take. */
#include "dot/poisson.h"
#include "dot/self_consistent.h"

size_t qds_electrostatics_device_bytes(const qds_device *d) {
  const int iterates = d->electrostatics.self_consistent;
  /* Doping, charge, potential and step; the iteration has six more, its acceleration two for each step and
   * two, and of each state its square and, with the guards, its vector. */
  const double blocks = iterates ? 10 + 2 * (QDS_SELF_CONSISTENT_DEPTH + 1) + 2.5 * d->states + 4 : 4;
  const int64_t n[3] = {d->axis[0]->nodes, d->axis[1]->nodes, d->axis[2]->nodes};
  return qds_poisson_device_bytes(n, iterates) +
         (size_t)(blocks * sizeof(double) * (double)qds_device_nodes(d));
}

/* What the states need there; 0 when the CPU finds them anyway, or when they come afterwards. */
static qds_status states_bytes(const qds_device *d, size_t *bytes) {
  const int64_t n[3] = {d->axis[0]->unknowns, d->axis[1]->unknowns, d->axis[2]->unknowns};
  const size_t alone = qds_spectrum_device_bytes(n, 1, d->states, d->preconditioner, d->precision);
  char why[256];
  *bytes = 0;
  if (!d->electrostatics.self_consistent) return QDS_OK;
  QDS_TRY(qds_spectrum_obstacle(d->ctx, alone, why, sizeof why));
  if (!*why) *bytes = alone;
  return QDS_OK;
}

qds_status qds_electrostatics_obstacle(const qds_device *d, char *why, size_t size) {
  size_t states;
  QDS_TRY(states_bytes(d, &states));
  return qds_spectrum_obstacle(d->ctx, qds_electrostatics_device_bytes(d) + states, why, size);
}

qds_status qds_electrostatics_bytes(const qds_device *d, size_t *bytes) {
  const int iterates = d->electrostatics.self_consistent;
  char why[256];
  *bytes = 0;
  if (!d->electrostatics.wanted) return QDS_OK;
  QDS_TRY(qds_electrostatics_obstacle(d, why, sizeof why));
  /* On a device: the coefficients with what compresses them, and the arrays that come from and go to the
   * host. On the CPU besides everything that the iteration holds, and the multigrid. What lies along an axis,
   * in both equations and all their levels, counts in one dimension alone. */
  const double along = d->dimension == 1 && iterates ? 100 : 0, on_device = 12,
               on_host = 34 + 2 * QDS_SELF_CONSISTENT_DEPTH + along,
               states = iterates && *why ? 2.5 * d->states : 0;
  *bytes = (size_t)((double)qds_device_nodes(d) * sizeof(double) * ((*why ? on_host : on_device) + states));
  return QDS_OK;
}

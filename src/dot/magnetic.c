#include "dot/magnetic.h"

#include "base/units.h"
#include "la/hermitian.h"

/* A_a = sum_b slope[a][b] x_b in T for a field B along x, y, z, curl A = B. */
static void gauge_slopes(const double B[3], qds_gauge gauge, double slope[3][3]) {
  const double symmetric[3][3] = {
      {0, -B[2] / 2, B[1] / 2}, {B[2] / 2, 0, -B[0] / 2}, {-B[1] / 2, B[0] / 2, 0}};
  const double landau_x[3][3] = {{0, -B[2], B[1]}, {0, 0, -B[0]}, {0, 0, 0}};
  const double landau_y[3][3] = {{0, 0, B[1]}, {B[2], 0, -B[0]}, {0, 0, 0}};
  const double(*chosen)[3] = gauge == QDS_GAUGE_SYMMETRIC  ? symmetric
                             : gauge == QDS_GAUGE_LANDAU_X ? landau_x
                                                           : landau_y;
  for (int a = 0; a < 3; a++)
    for (int b = 0; b < 3; b++) slope[a][b] = chosen[a][b];
}

/* q A / hbar on the internal axes, with A = 0 in the middle of the grid: electrons have q = -e, holes +e. */
static qds_vector_potential vector_potential(const qds_device *d, qds_gauge gauge) {
  const double charge = d->carrier == QDS_ELECTRON ? -1 : 1;
  qds_vector_potential p = {0};
  double slope[3][3];
  gauge_slopes(d->tesla, gauge, slope);
  for (int a = 0; a < d->dimension; a++) {
    const qds_axis *axis = d->axis[qds_device_axis(d, a)];
    p.origin_nm[qds_device_axis(d, a)] =
        (axis->coordinates_nm[0] + axis->coordinates_nm[axis->nodes - 1]) / 2;
    for (int b = 0; b < d->dimension; b++)
      p.slope[qds_device_axis(d, a)][qds_device_axis(d, b)] = charge * QDS_E_OVER_HBAR * slope[a][b];
  }
  return p;
}

/* The levels do not depend on the gauge, the work does: the symmetric one has the least diamagnetic term. So
 * it is used for the search, and its states are then turned to the gauge that is wanted. */
qds_status qds_magnetic_spectrum(const qds_device *d, qds_tensor_operator *form,
                                 const qds_spectrum_options *options, qds_block *x, double *eigenvalues,
                                 double *residuals, qds_spectrum_statistics *statistics) {
  QDS_AUTO(qds_magnetic_operator) *m = NULL;
  const qds_vector_potential symmetric = vector_potential(d, QDS_GAUGE_SYMMETRIC),
                             wanted = vector_potential(d, d->gauge);
  QDS_TRY(qds_magnetic_operator_create(d->ctx, form, &symmetric, &m));
  const qds_spectrum_target target = {qds_magnetic_operator_apply(m), qds_magnetic_operator_on_stream};
  qds_spectrum_options with_field = *options;
  with_field.target = &target;
  QDS_TRY(qds_hermitian_spectrum(d->ctx, qds_magnetic_operator_real(m), &with_field, x, eigenvalues,
                                 residuals, statistics));
  const qds_status status = qds_magnetic_change_gauge(d->ctx, form, &symmetric, &wanted, x);
  if (status != QDS_OK) qds_block_clear(x);
  return status;
}

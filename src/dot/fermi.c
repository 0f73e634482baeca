#include "dot/fermi.h"

static const double pi = 3.14159265358979323846;

/* With t = u^2 the integral is that of 1 / (1 + exp(u^2 - eta)) over all u, for which the trapezoidal rule
 * converges as exp(-2 pi d / step), d being the distance of the nearest pole, (eta + i pi)^(1/2), from the
 * real axis (Trefethen, Weideman, SIAM Rev. 56 (2014) 385). out: the integral and its first two
 * derivatives. */
static void integrate(double eta, double out[3]) {
  const double digits = 37 + fmax(-eta, 0), cut = 40; /* below 0 the integral is as small as exp(eta) */
  const double modulus = hypot(eta, pi),
               distance = eta > 0 ? pi / sqrt(2 * (modulus + eta)) : sqrt((modulus - eta) / 2);
  const double step = fmin(0.5, 2 * pi * distance / digits), end = sqrt(cut + fmax(eta, 0));
  out[0] = out[1] = out[2] = 0;
  for (int i = 0; i * step < end; i++) {
    const double u = i * step, weight = i == 0 ? step : 2 * step;
    const double full = 1 / (1 + exp(u * u - eta)), empty = 1 / (1 + exp(eta - u * u));
    out[0] += weight * full;
    out[1] += weight * full * empty;
    out[2] += weight * full * empty * (empty - full);
  }
}

qds_occupation qds_fermi_minus_half(double eta) {
  double values[3];
  if (eta > QDS_FERMI_DEGENERATE) return qds_fermi_degenerate(eta);
  integrate(eta, values);
  return (qds_occupation){values[0], values[1]};
}

qds_status qds_fermi_table_create(qds_allocator *allocator, qds_fermi_table **out) {
  const double step = 1.0 / QDS_FERMI_STEPS;
  QDS_TRY(QDS_NEW(allocator, 1, "density", out));
  for (int i = 0; i < QDS_FERMI_ENTRIES; i++) {
    double *entry = (*out)->entry[i];
    integrate(QDS_FERMI_DILUTE + i * step, entry);
    entry[1] *= step;
    entry[2] *= step * step;
  }
  return QDS_OK;
}

void qds_fermi_table_destroy(qds_fermi_table *table) {
  qds_release(table);
}

#include "dot/fermi.h"

#include <math.h>

#include "base/units.h"

static const double pi = 3.14159265358979323846;

/* From here on Sommerfeld's expansion is exact to rounding. */
static const double degenerate = 50;

/* Sommerfeld: with H = 2 eta^(1/2), the sum over k of 2 eta_D(2k) d^(2k)H/d eta^(2k), eta_D Dirichlet's eta
 * function (Blakemore, Solid-State Electron. 25 (1982) 1067). */
static qds_occupation fermi_degenerate(double eta) {
  static const double dirichlet_eta[] = {0.5,
                                         0.82246703342411322,
                                         0.94703282949724592,
                                         0.98555109129743510,
                                         0.99623300185264790,
                                         0.99903950759827157,
                                         0.99975768514385819,
                                         0.99993917034597972};
  qds_occupation sum = {0, 0};
  double term = 2 * sqrt(eta), power = 0.5;
  for (int k = 0; k < 8; k++) {
    sum.number += 2 * dirichlet_eta[k] * term;
    sum.slope += 2 * dirichlet_eta[k] * term * power / eta;
    term *= power * (power - 1) / (eta * eta);
    power -= 2;
  }
  return sum;
}

/* With t = u^2 the integral is that of 1 / (1 + exp(u^2 - eta)) over all u, for which the trapezoidal rule
 * converges as exp(-2 pi d / step), d being the distance of the nearest pole, (eta + i pi)^(1/2), from the
 * real axis (Trefethen, Weideman, SIAM Rev. 56 (2014) 385). */
qds_occupation qds_fermi_minus_half(double eta) {
  const double digits = 37 + fmax(-eta, 0), cut = 40; /* below 0 the integral is as small as exp(eta) */
  if (eta > degenerate) return fermi_degenerate(eta);
  const double modulus = hypot(eta, pi),
               distance = eta > 0 ? pi / sqrt(2 * (modulus + eta)) : sqrt((modulus - eta) / 2);
  const double step = fmin(0.5, 2 * pi * distance / digits), end = sqrt(cut + fmax(eta, 0));
  qds_occupation sum = {0, 0};
  for (int i = 0; i * step < end; i++) {
    const double u = i * step, weight = i == 0 ? step : 2 * step;
    const double f = 1 / (1 + exp(u * u - eta));
    sum.number += weight * f;
    sum.slope += weight * f / (1 + exp(eta - u * u));
  }
  return sum;
}

qds_occupation qds_occupy(int dimension, double energy_eV, double mass, double kT_eV) {
  const double eta = energy_eV / kT_eV, occupied = 1 / (1 + exp(-eta)), empty = 1 / (1 + exp(eta));
  if (dimension == 3) return (qds_occupation){2 * occupied, 2 * occupied * empty / kT_eV};
  if (dimension == 1) {
    const double states = mass / (2 * pi * QDS_HBAR2_OVER_2M0); /* per eV and nm^2 */
    const double thermal = eta > 0 ? eta + log1p(exp(-eta)) : log1p(exp(eta));
    return (qds_occupation){states * kT_eV * thermal, states * occupied};
  }
  const double wave = sqrt(mass * kT_eV / QDS_HBAR2_OVER_2M0) / pi;
  const qds_occupation f = qds_fermi_minus_half(eta);
  return (qds_occupation){wave * f.number, wave * f.slope / kT_eV};
}

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
  if (eta > degenerate) return fermi_degenerate(eta);
  integrate(eta, values);
  return (qds_occupation){values[0], values[1]};
}

/* Value and two derivatives at steps of 1/16 from `dilute` to `degenerate`, between them polynomials of
 * degree 5. */
enum { STEPS_PER_UNIT = 16, ENTRIES = 90 * STEPS_PER_UNIT + 1 };
static const double dilute = -40;

struct qds_fermi_table {
  double entry[ENTRIES][3]; /* derivatives times the step and its square */
};

qds_status qds_fermi_table_create(qds_allocator *allocator, qds_fermi_table **out) {
  const double step = 1.0 / STEPS_PER_UNIT;
  QDS_TRY(QDS_NEW(allocator, 1, "density", out));
  for (int i = 0; i < ENTRIES; i++) {
    double *entry = (*out)->entry[i];
    integrate(dilute + i * step, entry);
    entry[1] *= step;
    entry[2] *= step * step;
  }
  return QDS_OK;
}

void qds_fermi_table_destroy(qds_fermi_table *table) {
  qds_release(table);
}

qds_occupation qds_fermi_look_up(const qds_fermi_table *table, double eta) {
  if (eta < dilute) { /* exp(eta) is less than rounding */
    const double value = sqrt(pi) * exp(eta);
    return (qds_occupation){value, value};
  }
  const double place = (eta - dilute) * STEPS_PER_UNIT;
  if (place >= ENTRIES - 1) return fermi_degenerate(eta);
  const int i = (int)place;
  const double t = place - i, *a = table->entry[i], *b = table->entry[i + 1];
  /* p(t) = a0 + a1 t + a2 t^2 / 2 + c3 t^3 + c4 t^4 + c5 t^5 with value, slope and curvature of b at 1 */
  const double value = b[0] - a[0] - a[1] - 0.5 * a[2], slope = b[1] - a[1] - a[2], curvature = b[2] - a[2];
  const double c3 = 10 * value - 4 * slope + 0.5 * curvature, c4 = -15 * value + 7 * slope - curvature,
               c5 = 6 * value - 3 * slope + 0.5 * curvature;
  return (qds_occupation){a[0] + t * (a[1] + t * (0.5 * a[2] + t * (c3 + t * (c4 + t * c5)))),
                          STEPS_PER_UNIT * (a[1] + t * (a[2] + t * (3 * c3 + t * (4 * c4 + t * 5 * c5))))};
}

qds_occupation qds_occupy(const qds_fermi_table *table, int dimension, double energy_eV, double mass,
                          double kT_eV) {
  const double eta = energy_eV / kT_eV, occupied = 1 / (1 + exp(-eta)), empty = 1 / (1 + exp(eta));
  if (dimension == 3) return (qds_occupation){2 * occupied, 2 * occupied * empty / kT_eV};
  if (dimension == 1) {
    const double states = mass / (2 * pi * QDS_HBAR2_OVER_2M0); /* per eV and nm^2 */
    const double thermal = eta > 0 ? eta + log1p(exp(-eta)) : log1p(exp(eta));
    return (qds_occupation){states * kT_eV * thermal, states * occupied};
  }
  const double wave = sqrt(mass * kT_eV / QDS_HBAR2_OVER_2M0) / pi;
  const qds_occupation f = qds_fermi_look_up(table, eta);
  return (qds_occupation){wave * f.number, wave * f.slope / kT_eV};
}

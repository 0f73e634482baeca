/* What states hold, node by node, in C and in CUDA alike. */
#ifndef QDS_DOT_FERMI_KERNELS_H
#define QDS_DOT_FERMI_KERNELS_H

#ifndef __CUDACC__
#include <math.h>
#endif

#include "base/portable.h"
#include "base/units.h"

/* A number of electrons, and its derivative with respect to the Fermi level in 1/eV. */
typedef struct {
  double number, slope;
} qds_occupation;

#define QDS_FERMI_PI 3.14159265358979323846

/* From here on Sommerfeld's expansion is exact to rounding; below the other exp(eta) is. */
#define QDS_FERMI_DEGENERATE 50
#define QDS_FERMI_DILUTE (-40)

/* Of the integral of t^(-1/2) / (1 + exp(t - eta)) over t > 0: value and two derivatives, times the step and
 * its square, at steps of 1/16 from QDS_FERMI_DILUTE to QDS_FERMI_DEGENERATE, between them polynomials of
 * degree 5. To 1e-11 of itself. */
#define QDS_FERMI_STEPS 16
#define QDS_FERMI_ENTRIES (90 * QDS_FERMI_STEPS + 1)
typedef struct {
  double entry[QDS_FERMI_ENTRIES][3];
} qds_fermi_table;

/* Sommerfeld: with H = 2 eta^(1/2), the sum over k of 2 eta_D(2k) d^(2k)H/d eta^(2k), eta_D Dirichlet's eta
 * function (Blakemore, Solid-State Electron. 25 (1982) 1067). */
QDS_PORTABLE qds_occupation qds_fermi_degenerate(double eta) {
  const double dirichlet_eta[] = {0.5,
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

QDS_PORTABLE qds_occupation qds_fermi_look_up(const qds_fermi_table *table, double eta) {
  qds_occupation found = {0, 0};
  if (eta < QDS_FERMI_DILUTE) { /* exp(eta) is less than rounding */
    found.number = found.slope = sqrt(QDS_FERMI_PI) * exp(eta);
    return found;
  }
  const double place = (eta - QDS_FERMI_DILUTE) * QDS_FERMI_STEPS;
  if (!(place < QDS_FERMI_ENTRIES - 1)) return qds_fermi_degenerate(eta);
  const int i = (int)place;
  const double t = place - i, *a = table->entry[i], *b = table->entry[i + 1];
  /* p(t) = a0 + a1 t + a2 t^2 / 2 + c3 t^3 + c4 t^4 + c5 t^5 with value, slope and curvature of b at 1 */
  const double value = b[0] - a[0] - a[1] - 0.5 * a[2], slope = b[1] - a[1] - a[2], curvature = b[2] - a[2];
  const double c3 = 10 * value - 4 * slope + 0.5 * curvature, c4 = -15 * value + 7 * slope - curvature,
               c5 = 6 * value - 3 * slope + 0.5 * curvature;
  found.number = a[0] + t * (a[1] + t * (0.5 * a[2] + t * (c3 + t * (c4 + t * c5))));
  found.slope = QDS_FERMI_STEPS * (a[1] + t * (a[2] + t * (3 * c3 + t * (4 * c4 + t * 5 * c5))));
  return found;
}

/* table: needed in 2D, else NULL. energy_eV: the Fermi level less the state's energy; mass: of the free
 * motion, for two free axes the geometric mean; kT_eV > 0. Per nm^2 in 1D: (m kT / (pi hbar^2)) ln(1 +
 * exp(energy / kT)). Per nm in 2D: (1/pi) (2 m kT)^(1/2) / hbar times the integral above. In 3D 2 / (1 +
 * exp(-energy / kT)). */
QDS_PORTABLE qds_occupation qds_occupy(const qds_fermi_table *table, int dimension, double energy_eV,
                                       double mass, double kT_eV) {
  const double eta = energy_eV / kT_eV, small = exp(-fabs(eta)), more = 1 / (1 + small), less = small * more,
               occupied = eta > 0 ? more : less;
  qds_occupation held = {2 * occupied, 2 * more * less / kT_eV};
  if (dimension == 3) return held;
  if (dimension == 1) {
    const double states = mass / (2 * QDS_FERMI_PI * QDS_HBAR2_OVER_2M0); /* per eV and nm^2 */
    held.number = states * kT_eV * ((eta > 0 ? eta : 0) + log1p(small));
    held.slope = states * occupied;
    return held;
  }
  const double wave = sqrt(mass * kT_eV / QDS_HBAR2_OVER_2M0) / QDS_FERMI_PI;
  held = qds_fermi_look_up(table, eta);
  held.number *= wave;
  held.slope *= wave / kT_eV;
  return held;
}

#endif

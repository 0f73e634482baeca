/* Physical constants in the library's units: nm, eV, V, K, e, m0, s (CODATA 2018). */
#ifndef QDS_BASE_UNITS_H
#define QDS_BASE_UNITS_H

/* hbar^2 / (2 m0) in eV nm^2: hbar = 1.054571817646e-34 J s, m0 = 9.1093837015e-31 kg, e =
 * 1.602176634e-19 C. */
#define QDS_HBAR2_OVER_2M0 0.0380998211615486
/* e / hbar in 1/(T nm^2), from the same e and hbar: 1.519267447878626e15 1/(T m^2). */
#define QDS_E_OVER_HBAR 1.519267447878626e-3
/* hbar in eV s, from the same hbar and e. */
#define QDS_HBAR_EV_S 6.582119569509066e-16
/* Boltzmann's constant in eV/K (exact in the SI of 2019). */
#define QDS_BOLTZMANN 8.617333262145179e-5
/* The permittivity of vacuum in e/(V nm): 8.8541878128e-12 F/m divided by 1.602176634e-19 C and by
 * 1e9 nm/m. */
#define QDS_VACUUM_PERMITTIVITY 0.0552634935805711

#endif

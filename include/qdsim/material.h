/* The material database: semiconductors by name and composition, at a temperature.
 *
 * All band edges stand on one scale, Vurgaftman's valence band offset (InSb = 0 eV), for electrons.
 */
#ifndef QDSIM_MATERIAL_H
#define QDSIM_MATERIAL_H

#include "qdsim/context.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef enum { QDS_ELECTRON, QDS_HEAVY_HOLE, QDS_LIGHT_HOLE } qds_carrier;
typedef enum { QDS_VALLEY_GAMMA, QDS_VALLEY_X, QDS_VALLEY_L } qds_valley;

typedef struct {
  char name[64];             /* as asked for: "Al0.3Ga0.7As" */
  double temperature_K;
  double lattice_nm;         /* at the temperature; NaN where the source has none */
  double gap_eV[3];          /* Gamma, X, L gaps at the temperature, by qds_valley; NaN where unknown */
  double spin_orbit_eV;
  double valence_edge_eV;    /* top of the heavy and light hole bands (valence band offset) */
  double conduction_edge_eV; /* valence edge + lowest gap */
  qds_valley valley;         /* of the lowest gap */
  double gamma_mass;         /* electron mass at Gamma, m0 */
  double mass_longitudinal[3], mass_transverse[3]; /* by qds_valley; NaN where unknown */
  double luttinger[3];       /* gamma1..3 */
  double kane_energy_eV;     /* Ep */
  double kane_f;             /* F */
  double permittivity;       /* static, relative; NaN where unknown */
  double permittivity_infinity;
} qds_material;

/* A carrier's band edge (on the common scale) and diagonal mass tensor along x, y, z = [100], [010], [001].
 * Electrons: the lowest valley; X and L valleys take the density-of-states... see docs/materials.md. Heavy and
 * light holes: m = 1/(gamma1 -+ 2 gamma2) along [001] (z), 1/(gamma1 +- gamma2) in the plane. */
typedef struct {
  double band_edge_eV;
  double mass[3];
  qds_valley valley;
} qds_material_band;

/* `name`: a binary or element ("GaAs"), an alloy with composition ("Al0.3Ga0.7As", "In0.53Ga0.47As"), at
 * temperature_K >= 0. Errors: INPUT (unknown name: nearest one named; fractions that do not add to 1; a mass or gap
 * that the database does not have), MEMORY. */
QDS_API qds_status qds_material_find(qds_context *ctx, const char *name, double temperature_K, qds_material *out);
/* {alloy: InGaAs, x: 0.53}: `x` is the fraction of the first element named. */
QDS_API qds_status qds_material_alloy(qds_context *ctx, const char *alloy, double x, double temperature_K,
                                      qds_material *out);
QDS_API qds_status qds_material_band_of(qds_context *ctx, const qds_material *material, qds_carrier carrier,
                                        qds_material_band *out);
/* The names in the database's order, binaries and elements first, then alloys; NULL past the last. */
QDS_API const char *qds_material_name(size_t index);
/* The source of the numbers of a database entry ("Vurgaftman, Meyer, Ram-Mohan, ..."); NULL if unknown. */
QDS_API const char *qds_material_source(const char *name);

#ifdef __cplusplus
}
#endif
#endif

/* The material database: semiconductors by name and composition, at a temperature.
 *
 * All band edges stand on one scale, Vurgaftman's valence band offset (InSb = 0 eV), for electrons.
 * docs/materials.md explains every formula; data/materials.yaml holds the numbers and their sources. */
#ifndef QDSIM_MATERIAL_H
#define QDSIM_MATERIAL_H

#include "qdsim/context.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef enum { QDS_ELECTRON, QDS_HEAVY_HOLE, QDS_LIGHT_HOLE } qds_carrier;
typedef enum { QDS_VALLEY_GAMMA, QDS_VALLEY_X, QDS_VALLEY_L } qds_valley;

/* A material at a temperature. What the sources do not give is NaN. Masses are in electron masses. */
typedef struct {
  char name[64]; /* with the composition: "Al0.3Ga0.7As" */
  double temperature_K;
  double lattice_nm; /* at the temperature */
  double gap_eV[3];  /* Gamma, X, L gaps at the temperature, by qds_valley */
  double spin_orbit_eV;
  double valence_edge_eV;    /* top of the heavy and light hole bands (valence band offset) */
  double conduction_edge_eV; /* valence edge + lowest gap */
  qds_valley valley;         /* of the lowest gap */
  double gamma_mass;         /* electron mass at Gamma */
  double split_off_mass;
  double mass_longitudinal[3],
      mass_transverse[3]; /* of one ellipsoid, by qds_valley; at Gamma both are gamma_mass */
  double mass_density[3]; /* of one valley's density of states: (m_l m_t^2)^(1/3) */
  double luttinger[3];    /* gamma1..3 */
  double kane_energy_eV;  /* Ep */
  double kane_f;          /* F */
  /* a_c, a_v, b, d; the gap changes by (a_c + a_v) Tr(strain): the valence edge moves by -a_v Tr(strain). */
  double deformation_eV[4];
  double elastic_GPa[3]; /* C11, C12, C44 */
  double permittivity;   /* static, relative */
  double permittivity_infinity;
} qds_material;

/* A carrier's band edge (on the common scale) and diagonal mass tensor along x, y, z = [100], [010], [001].
 *
 * Electrons: the lowest valley. Gamma is isotropic. X is the ellipsoid along [001], m_l along z and m_t in
 * the plane, which confinement along z brings lowest; its two equals along x and y are not included. L, whose
 * ellipsoids are oblique to the axes, and an X valley of which only that is known, take the mass of one
 * valley's density of states in every direction. Holes: heavy 1/(gamma1 - 2 gamma2) along z and 1/(gamma1 +
 * gamma2) in the plane, light 1/(gamma1 + 2 gamma2) and 1/(gamma1 - gamma2). `valley` is Gamma for holes. */
typedef struct {
  double band_edge_eV;
  double mass[3];
  qds_valley valley;
} qds_material_band;

/* `name`: a binary or element ("GaAs"), or an alloy of three or four elements with its composition
 * ("Al0.3Ga0.7As", "In0.53Ga0.37Al0.10As", "In0.7Ga0.3As0.6P0.4"; the order of the elements is free), at
 * temperature_K from 0 to 1000. The first call of a context loads the database into it. Errors: INPUT
 * (unknown name: the nearest one is named; no composition; fractions that do not add to 1; a temperature at
 * which the gap is not positive), MEMORY. */
QDS_API qds_status qds_material_find(qds_context *ctx, const char *name, double temperature_K,
                                     qds_material *out);
/* {alloy: InGaAs, x: 0.53}: `x` is the fraction of the first element named of the two that mix (of In in
 * InGaAs, of As in GaAsP). */
QDS_API qds_status qds_material_alloy(qds_context *ctx, const char *alloy, double x, double temperature_K,
                                      qds_material *out);
/* INPUT: the database has no mass or band edge for this carrier. */
QDS_API qds_status qds_material_band_of(qds_context *ctx, const qds_material *material, qds_carrier carrier,
                                        qds_material_band *out);

/* The texts that the next functions return belong to the context and live as long as it. */

/* The names in the database's order, binaries and elements first, then alloys; *out is NULL past the last. */
QDS_API qds_status qds_material_name(qds_context *ctx, size_t index, const char **out);
/* Whether a name is that of an alloy in the database, in either order of its mixed elements, which needs a
 * composition. */
QDS_API qds_status qds_material_is_alloy(qds_context *ctx, const char *name, int *out);
/* The source of the numbers of a material or alloy, with or without composition ("I. Vurgaftman, ..."). INPUT
 * as qds_material_find. */
QDS_API qds_status qds_material_source(qds_context *ctx, const char *name, const char **out);
/* The name in the database that a mistyped one is likely to mean; *out is NULL when none is near. */
QDS_API qds_status qds_material_nearest(qds_context *ctx, const char *name, const char **out);
/* "Gamma", "X", "L". */
QDS_API const char *qds_valley_name(qds_valley valley);

/* Everything about a material with its bands and source, or a list of that for every material and, at x =
 * 0.5, every alloy of the database (name NULL), as JSON; what is unknown is null. Free with
 * qds_text_destroy. */
QDS_API qds_status qds_material_json(qds_context *ctx, const char *name, double temperature_K, char **out);

#ifdef __cplusplus
}
#endif
#endif

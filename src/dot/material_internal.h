/* The material database in memory, and the compositions that names stand for. */
#ifndef QDS_DOT_MATERIAL_INTERNAL_H
#define QDS_DOT_MATERIAL_INTERNAL_H

#include "base/yaml.h"
#include "par/context.h"
#include "qdsim/material.h"

/* The numbers that describe a material and that alloys interpolate: X(name, group and key in
 * data/materials.yaml, where the key is allowed: MATERIALS, ALLOYS (as a bowing) or BOTH). Those allowed only
 * for alloys follow from other numbers of a material; mass_X and mass_L density_of_states are kept for one
 * valley. */
#define QDS_MATERIAL_PARAMETERS(X)                                                                           \
  X(LATTICE, "lattice", "nm", MATERIALS)                                                                     \
  X(LATTICE_SLOPE, "lattice", "nm_per_K", MATERIALS)                                                         \
  X(GAP_GAMMA, "gap_Gamma", "eV", BOTH)                                                                      \
  X(GAP_X, "gap_X", "eV", BOTH)                                                                              \
  X(GAP_L, "gap_L", "eV", BOTH)                                                                              \
  X(SPIN_ORBIT, "spin_orbit", "eV", BOTH)                                                                    \
  X(VALENCE_OFFSET, "valence_offset", "eV", BOTH)                                                            \
  X(MASS_GAMMA, "mass", "Gamma", BOTH)                                                                       \
  X(MASS_SPLIT_OFF, "mass", "split_off", MATERIALS)                                                          \
  X(MASS_HEAVY, "mass", "heavy_hole", ALLOYS)                                                                \
  X(MASS_LIGHT, "mass", "light_hole", ALLOYS)                                                                \
  X(X_LONGITUDINAL, "mass_X", "longitudinal", MATERIALS)                                                     \
  X(X_TRANSVERSE, "mass_X", "transverse", MATERIALS)                                                         \
  X(X_DENSITY, "mass_X", "density_of_states", MATERIALS)                                                     \
  X(L_LONGITUDINAL, "mass_L", "longitudinal", MATERIALS)                                                     \
  X(L_TRANSVERSE, "mass_L", "transverse", MATERIALS)                                                         \
  X(L_DENSITY, "mass_L", "density_of_states", MATERIALS)                                                     \
  X(LUTTINGER_1, "luttinger", "gamma1", MATERIALS)                                                           \
  X(LUTTINGER_2, "luttinger", "gamma2", MATERIALS)                                                           \
  X(LUTTINGER_3, "luttinger", "gamma3", MATERIALS)                                                           \
  X(LUTTINGER_32, "luttinger", "gamma3_minus_gamma2", ALLOYS)                                                \
  X(KANE_ENERGY, "kane", "energy_eV", BOTH)                                                                  \
  X(KANE_F, "kane", "F", BOTH)                                                                               \
  X(DEFORMATION_CONDUCTION, "deformation", "conduction_eV", BOTH)                                            \
  X(DEFORMATION_VALENCE, "deformation", "valence_eV", MATERIALS)                                             \
  X(DEFORMATION_B, "deformation", "shear_b_eV", MATERIALS)                                                   \
  X(DEFORMATION_D, "deformation", "shear_d_eV", MATERIALS)                                                   \
  X(ELASTIC_C11, "elastic", "c11_GPa", MATERIALS)                                                            \
  X(ELASTIC_C12, "elastic", "c12_GPa", MATERIALS)                                                            \
  X(ELASTIC_C44, "elastic", "c44_GPa", MATERIALS)                                                            \
  X(PERMITTIVITY, "permittivity", "static", MATERIALS)                                                       \
  X(PERMITTIVITY_INFINITY, "permittivity", "infinity", MATERIALS)

typedef enum {
#define QDS_PARAMETER_ENUM(name, group, key, allowed) QDS_PARAMETER_##name,
  QDS_MATERIAL_PARAMETERS(QDS_PARAMETER_ENUM)
#undef QDS_PARAMETER_ENUM
      QDS_PARAMETER_COUNT
} qds_material_parameter;

/* One number per parameter; NaN: unknown. */
typedef struct {
  double of[QDS_PARAMETER_COUNT];
} qds_material_values;

/* The shift of a gap with the temperature: Varshni's where phonon_K is 0, else phonon_eV (1 - coth(phonon_K /
 * T)). */
typedef struct {
  double alpha_eV_per_K, beta_K, phonon_eV, phonon_K;
} qds_gap_shift;

enum { QDS_MAX_MIXED = 3, QDS_NAME_SIZE = 16 };

typedef enum { QDS_CATION, QDS_ANION, QDS_ELEMENTAL } qds_sublattice;

typedef struct {
  char symbol[3];
  qds_sublattice sublattice;
} qds_element;

/* A binary or an element; element[1] is -1 for the latter. */
typedef struct {
  const char *name;
  char *source;
  int element[2];
  qds_material_values values; /* gaps at 0 K, lattice at 300 K */
  qds_gap_shift shift[3];     /* by qds_valley */
} qds_material_entry;

/* Mixtures of material parent[0], fraction x, and parent[1]: bowing C = bowing[0] + x bowing[1]. */
typedef struct {
  const char *name;
  char *source;
  char swapped[QDS_NAME_SIZE]; /* the name with the mixed elements in the other order */
  int parent[2];
  qds_material_values bowing[2];
} qds_alloy_entry;

typedef struct qds_material_database qds_material_database;
struct qds_material_database {
  qds_yaml *yaml; /* owns the names */
  size_t elements, materials, alloys;
  qds_element *element;
  qds_material_entry *material;
  qds_alloy_entry *alloy;
  const char **spellings; /* every name and its swapped form, NULL-terminated */
};

/* The database, which the context keeps from the first call on; that call fails with MEMORY, or with INPUT if
 * the embedded file is wrong. */
qds_status qds_material_database_get(qds_context *ctx, const qds_material_database **out);
/* The same from text, for tests of the reader. */
qds_status qds_material_database_parse(qds_allocator *allocator, const char *name, const char *text,
                                       size_t bytes, qds_material_database **out);
void qds_material_database_destroy(qds_material_database *database);
QDS_AUTO_DEFINE(qds_material_database)

/* What a name stands for: the mixed elements of each sublattice, and their fractions, each > 0 and adding
 * to 1. An elemental material (Si) is a cation whose anion is number -1. */
typedef struct {
  int count[2]; /* by qds_sublattice, QDS_CATION or QDS_ANION */
  int element[2][QDS_MAX_MIXED];
  double fraction[2][QDS_MAX_MIXED];
} qds_composition;

/* Reads "GaAs", "Al0.3Ga0.7As"; the order of the elements is free. INPUT: see qds_material_find. */
qds_status qds_composition_read(const qds_material_database *database, const char *name,
                                qds_composition *out);
/* Writes the full name of the alloy ("InGaAs", 0.53): "In0.53Ga0.47As". INPUT: see qds_material_alloy. */
qds_status qds_composition_name(const qds_material_database *database, const char *alloy, double x, char *out,
                                size_t room);
/* "no material ...", with the nearest name. */
qds_status qds_material_unknown(const qds_material_database *database, const char *name);
const char *qds_material_nearest_in(const qds_material_database *database, const char *name);

/* The numbers of a composition at a temperature, and where they come from. */
qds_status qds_material_interpolate(const qds_material_database *database, const qds_composition *composition,
                                    double temperature_K, qds_material_values *out, const char **source);

#endif

#include "dot/material_internal.h"

#include <math.h>

static const char quaternary_source[] =
    "interpolated between its binaries with the bowings of its ternaries (R. L. Moon, G. A. Antypas, L. W. "
    "James, J. "
    "Electron. Mater. 3, 635 (1974)); their sources stand under their names";

/* The gap at a temperature from the gap at 0 K: the only place where a gap moves with the temperature. */
static double gap_at(double zero_eV, const qds_gap_shift *shift, double temperature_K) {
  if (temperature_K == 0) return zero_eV;
  if (shift->phonon_K > 0)
    return zero_eV + shift->phonon_eV * (1 - 1 / tanh(shift->phonon_K / temperature_K));
  return zero_eV - shift->alpha_eV_per_K * temperature_K * temperature_K / (temperature_K + shift->beta_K);
}

static qds_material_values values_at(const qds_material_entry *material, double temperature_K) {
  static const double reference_K = 300; /* of the lattice constants */
  qds_material_values v = material->values;
  v.of[QDS_PARAMETER_LATTICE] += v.of[QDS_PARAMETER_LATTICE_SLOPE] * (temperature_K - reference_K);
  v.of[QDS_PARAMETER_GAP_GAMMA] =
      gap_at(v.of[QDS_PARAMETER_GAP_GAMMA], &material->shift[QDS_VALLEY_GAMMA], temperature_K);
  v.of[QDS_PARAMETER_GAP_X] =
      gap_at(v.of[QDS_PARAMETER_GAP_X], &material->shift[QDS_VALLEY_X], temperature_K);
  v.of[QDS_PARAMETER_GAP_L] =
      gap_at(v.of[QDS_PARAMETER_GAP_L], &material->shift[QDS_VALLEY_L], temperature_K);
  return v;
}

/* Finds the binary of two elements, or the element (anion -1). */
static qds_status find_material(const qds_material_database *database, int cation, int anion, int *out) {
  *out = -1;
  for (size_t i = 0; i < database->materials; i++)
    if (database->material[i].element[0] == cation && database->material[i].element[1] == anion) {
      *out = (int)i;
      return QDS_OK;
    }
  QDS_FAIL(QDS_ERROR_INPUT, "%s%s is not in the database; `qdsim materials` lists what is",
           database->element[cation].symbol, anion < 0 ? "" : database->element[anion].symbol);
}

/* The ternary of the materials number a and b, and whether a is its second parent; NULL if there is none. */
static const qds_alloy_entry *find_alloy(const qds_material_database *database, int a, int b, int *swapped) {
  for (size_t i = 0; i < database->alloys; i++) {
    const int *parent = database->alloy[i].parent;
    *swapped = parent[0] == b && parent[1] == a;
    if (*swapped || (parent[0] == a && parent[1] == b)) return &database->alloy[i];
  }
  return NULL;
}

/* The material of the i-th element of a sublattice and the k-th of the other one. */
static qds_status material_of(const qds_material_database *database, const qds_composition *c, int sublattice,
                              int i, int k, int *out) {
  return sublattice == QDS_CATION
             ? find_material(database, c->element[QDS_CATION][i], c->element[QDS_ANION][k], out)
             : find_material(database, c->element[QDS_CATION][k], c->element[QDS_ANION][i], out);
}

/* Subtracts the bowing of the elements i and j of a sublattice, next to the k-th element of the other one. A
 * bowing that depends on the composition is taken at the point (1 + u_i - u_j) / 2 of the ternary. */
static qds_status subtract_bowing(const qds_material_database *database, const qds_composition *c,
                                  int sublattice, int i, int j, int k, qds_material_values *out,
                                  const char **source) {
  const double *u = c->fraction[sublattice];
  int a, b, swapped;
  QDS_TRY(material_of(database, c, sublattice, i, k, &a));
  QDS_TRY(material_of(database, c, sublattice, j, k, &b));
  const qds_alloy_entry *alloy = find_alloy(database, a, b, &swapped);
  if (!alloy)
    QDS_FAIL(QDS_ERROR_INPUT, "no alloy of %s and %s in the database; `qdsim materials` lists what is",
             database->material[a].name, database->material[b].name);
  const double x = (1 + (swapped ? u[j] - u[i] : u[i] - u[j])) / 2;
  const double weight = u[i] * u[j] * c->fraction[1 - sublattice][k];
  for (int p = 0; p < QDS_PARAMETER_COUNT; p++)
    out->of[p] -= weight * (alloy->bowing[0].of[p] + x * alloy->bowing[1].of[p]);
  *source = alloy->source;
  return QDS_OK;
}

/* Alloys interpolate what Vurgaftman, Meyer and Ram-Mohan give bowings for: the hole masses along [001] and
 * gamma3 - gamma2. The Luttinger parameters follow from them. */
static void luttinger_from_masses(qds_material_values *v) {
  const double heavy = 1 / v->of[QDS_PARAMETER_MASS_HEAVY], light = 1 / v->of[QDS_PARAMETER_MASS_LIGHT];
  v->of[QDS_PARAMETER_LUTTINGER_1] = (light + heavy) / 2;
  v->of[QDS_PARAMETER_LUTTINGER_2] = (light - heavy) / 4;
  v->of[QDS_PARAMETER_LUTTINGER_3] = v->of[QDS_PARAMETER_LUTTINGER_2] + v->of[QDS_PARAMETER_LUTTINGER_32];
}

/* P = sum_ik u_i v_k P_ik - sum_k v_k sum_i<j C_ijk u_i u_j - sum_i u_i sum_k<l C_ikl v_k v_l
 * with the fractions u of the cations and v of the anions, the binaries P_ik at the temperature and the
 * bowings C of the ternaries. For a ternary that is its definition of the bowing; for four elements it is the
 * form that Moon, Antypas and James, J. Electron. Mater. 3, 635 (1974), found for InGaAsP. */
qds_status qds_material_interpolate(const qds_material_database *database, const qds_composition *composition,
                                    double temperature_K, qds_material_values *out, const char **source) {
  const qds_composition *c = composition;
  *out = (qds_material_values){0};
  for (int i = 0; i < c->count[QDS_CATION]; i++)
    for (int k = 0; k < c->count[QDS_ANION]; k++) {
      int number;
      QDS_TRY(material_of(database, c, QDS_CATION, i, k, &number));
      const qds_material_values values = values_at(&database->material[number], temperature_K);
      const double weight = c->fraction[QDS_CATION][i] * c->fraction[QDS_ANION][k];
      for (int p = 0; p < QDS_PARAMETER_COUNT; p++) out->of[p] += weight * values.of[p];
      *source = database->material[number].source;
    }
  for (int sublattice = QDS_CATION; sublattice <= QDS_ANION; sublattice++)
    for (int i = 0; i < c->count[sublattice]; i++)
      for (int j = i + 1; j < c->count[sublattice]; j++)
        for (int k = 0; k < c->count[1 - sublattice]; k++)
          QDS_TRY(subtract_bowing(database, c, sublattice, i, j, k, out, source));
  if (c->count[QDS_CATION] + c->count[QDS_ANION] > 3) *source = quaternary_source;
  luttinger_from_masses(out);
  return QDS_OK;
}

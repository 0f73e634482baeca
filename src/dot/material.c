#include "dot/material_internal.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

/* Varshni's parameters are fitted below; above, the compounds themselves begin to melt. */
static const double max_temperature_K = 1000;

static qds_status check_temperature(const char *name, double temperature_K) {
  if (temperature_K >= 0 && temperature_K <= max_temperature_K) return QDS_OK;
  QDS_FAIL(QDS_ERROR_INPUT, "%.80s: the temperature %g K is not between 0 and %g K", name, temperature_K,
           max_temperature_K);
}

/* The lowest of the known gaps; Gamma before X before L when equal. */
static qds_status find_valley(qds_material *m) {
  int lowest = -1;
  for (int v = QDS_VALLEY_GAMMA; v <= QDS_VALLEY_L; v++)
    if (!isnan(m->gap_eV[v]) && (lowest < 0 || m->gap_eV[v] < m->gap_eV[lowest])) lowest = v;
  if (lowest < 0) QDS_FAIL(QDS_ERROR_INPUT, "the database has no gap for %s", m->name);
  m->valley = (qds_valley)lowest;
  if (m->gap_eV[lowest] <= 0)
    QDS_FAIL(QDS_ERROR_INPUT, "the gap of %s at %g K is %.3g eV by Varshni's formula: not a semiconductor",
             m->name, m->temperature_K, m->gap_eV[lowest]);
  m->conduction_edge_eV = m->valence_edge_eV + m->gap_eV[lowest];
  return QDS_OK;
}

/* The ellipsoid of X or L; parameters are those of its longitudinal, transverse and
 * density-of-states mass. */
static void enter_ellipsoid(const qds_material_values *v, qds_material_parameter longitudinal,
                            qds_material_parameter transverse, qds_material_parameter density,
                            qds_valley valley, qds_material *out) {
  const double l = v->of[longitudinal], t = v->of[transverse];
  out->mass_longitudinal[valley] = l;
  out->mass_transverse[valley] = t;
  out->mass_density[valley] = isnan(l) || isnan(t) ? v->of[density] : cbrt(l * t * t);
}

static void enter_values(const qds_material_values *v, qds_material *out) {
  out->lattice_nm = v->of[QDS_PARAMETER_LATTICE];
  out->spin_orbit_eV = v->of[QDS_PARAMETER_SPIN_ORBIT];
  out->valence_edge_eV = v->of[QDS_PARAMETER_VALENCE_OFFSET];
  out->gamma_mass = v->of[QDS_PARAMETER_MASS_GAMMA];
  out->split_off_mass = v->of[QDS_PARAMETER_MASS_SPLIT_OFF];
  out->kane_energy_eV = v->of[QDS_PARAMETER_KANE_ENERGY];
  out->kane_f = v->of[QDS_PARAMETER_KANE_F];
  out->permittivity = v->of[QDS_PARAMETER_PERMITTIVITY];
  out->permittivity_infinity = v->of[QDS_PARAMETER_PERMITTIVITY_INFINITY];
  memcpy(out->gap_eV, &v->of[QDS_PARAMETER_GAP_GAMMA], sizeof out->gap_eV);
  memcpy(out->luttinger, &v->of[QDS_PARAMETER_LUTTINGER_1], sizeof out->luttinger);
  memcpy(out->deformation_eV, &v->of[QDS_PARAMETER_DEFORMATION_CONDUCTION], sizeof out->deformation_eV);
  memcpy(out->elastic_GPa, &v->of[QDS_PARAMETER_ELASTIC_C11], sizeof out->elastic_GPa);
  out->mass_longitudinal[QDS_VALLEY_GAMMA] = out->mass_transverse[QDS_VALLEY_GAMMA] =
      out->mass_density[QDS_VALLEY_GAMMA] = out->gamma_mass;
  enter_ellipsoid(v, QDS_PARAMETER_X_LONGITUDINAL, QDS_PARAMETER_X_TRANSVERSE, QDS_PARAMETER_X_DENSITY,
                  QDS_VALLEY_X, out);
  enter_ellipsoid(v, QDS_PARAMETER_L_LONGITUDINAL, QDS_PARAMETER_L_TRANSVERSE, QDS_PARAMETER_L_DENSITY,
                  QDS_VALLEY_L, out);
}

static qds_status find_in(const qds_material_database *database, const char *name, double temperature_K,
                          qds_material *out) {
  qds_composition composition;
  qds_material_values values;
  const char *source;
  qds_material material = {.temperature_K = temperature_K};
  QDS_TRY(check_temperature(name, temperature_K));
  QDS_TRY(qds_composition_read(database, name, &composition));
  if (strlen(name) >= sizeof material.name)
    QDS_FAIL(QDS_ERROR_INPUT, "\"%.80s\": a material's name has at most %zu characters", name,
             sizeof material.name - 1);
  strcpy(material.name, name);
  QDS_TRY(qds_material_interpolate(database, &composition, temperature_K, &values, &source));
  enter_values(&values, &material);
  QDS_TRY(find_valley(&material));
  *out = material;
  return QDS_OK;
}

qds_status qds_material_find(qds_context *ctx, const char *name, double temperature_K, qds_material *out) {
  const qds_material_database *database;
  QDS_REQUIRE(ctx && name && out, "qds_material_find: an argument is NULL");
  *out = (qds_material){0};
  QDS_TRY(qds_material_database_get(ctx, &database));
  return find_in(database, name, temperature_K, out);
}

qds_status qds_material_alloy(qds_context *ctx, const char *alloy, double x, double temperature_K,
                              qds_material *out) {
  const qds_material_database *database;
  char name[sizeof out->name];
  QDS_REQUIRE(ctx && alloy && out, "qds_material_alloy: an argument is NULL");
  *out = (qds_material){0};
  QDS_TRY(qds_material_database_get(ctx, &database));
  QDS_TRY(qds_composition_name(database, alloy, x, name, sizeof name));
  return find_in(database, name, temperature_K, out);
}

static void electron_masses(const qds_material *m, double mass[3]) {
  const double l = m->mass_longitudinal[m->valley], t = m->mass_transverse[m->valley];
  mass[0] = mass[1] = mass[2] = m->mass_density[m->valley];
  if (m->valley != QDS_VALLEY_X || isnan(l) || isnan(t)) return;
  mass[0] = mass[1] = t;
  mass[2] = l;
}

qds_status qds_material_band_of(qds_context *ctx, const qds_material *material, qds_carrier carrier,
                                qds_material_band *out) {
  static const char *const carriers[] = {"electron", "heavy hole", "light hole"};
  QDS_REQUIRE(ctx && material && out, "qds_material_band_of: an argument is NULL");
  QDS_REQUIRE((unsigned)carrier <= QDS_LIGHT_HOLE, "qds_material_band_of: no carrier number %d",
              (int)carrier);
  qds_material_band band = {material->valence_edge_eV, {0, 0, 0}, QDS_VALLEY_GAMMA};
  const double g1 = material->luttinger[0],
               g2 = carrier == QDS_LIGHT_HOLE ? -material->luttinger[1] : material->luttinger[1];
  *out = (qds_material_band){0};
  if (carrier == QDS_ELECTRON) {
    band.band_edge_eV = material->conduction_edge_eV;
    band.valley = material->valley;
    electron_masses(material, band.mass);
  } else {
    band.mass[0] = band.mass[1] = 1 / (g1 + g2);
    band.mass[2] = 1 / (g1 - 2 * g2);
  }
  if (!isfinite(band.band_edge_eV))
    QDS_FAIL(QDS_ERROR_INPUT, "the database has no band edge for %s", material->name);
  for (int axis = 0; axis < 3; axis++)
    if (!(band.mass[axis] > 0 && isfinite(band.mass[axis])))
      QDS_FAIL(QDS_ERROR_INPUT, "the database has no %s mass for %s (%s valley)", carriers[carrier],
               material->name, qds_valley_name(band.valley));
  *out = band;
  return QDS_OK;
}

qds_status qds_material_name(qds_context *ctx, size_t index, const char **out) {
  const qds_material_database *database;
  QDS_REQUIRE(ctx && out, "qds_material_name: an argument is NULL");
  *out = NULL;
  QDS_TRY(qds_material_database_get(ctx, &database));
  if (index < database->materials)
    *out = database->material[index].name;
  else if (index - database->materials < database->alloys)
    *out = database->alloy[index - database->materials].name;
  return QDS_OK;
}

static const qds_alloy_entry *find_alloy_entry(const qds_material_database *database, const char *name) {
  for (size_t i = 0; i < database->alloys; i++)
    if (!strcmp(database->alloy[i].name, name) || !strcmp(database->alloy[i].swapped, name))
      return &database->alloy[i];
  return NULL;
}

qds_status qds_material_is_alloy(qds_context *ctx, const char *name, int *out) {
  const qds_material_database *database;
  QDS_REQUIRE(ctx && name && out, "qds_material_is_alloy: an argument is NULL");
  *out = 0;
  QDS_TRY(qds_material_database_get(ctx, &database));
  *out = find_alloy_entry(database, name) != NULL;
  return QDS_OK;
}

qds_status qds_material_source(qds_context *ctx, const char *name, const char **out) {
  const qds_material_database *database;
  qds_composition composition;
  qds_material_values values;
  QDS_REQUIRE(ctx && name && out, "qds_material_source: an argument is NULL");
  *out = NULL;
  QDS_TRY(qds_material_database_get(ctx, &database));
  const qds_alloy_entry *alloy = find_alloy_entry(database, name);
  if (alloy) {
    *out = alloy->source;
    return QDS_OK;
  }
  QDS_TRY(qds_composition_read(database, name, &composition));
  return qds_material_interpolate(database, &composition, 0, &values, out);
}

qds_status qds_material_nearest(qds_context *ctx, const char *name, const char **out) {
  const qds_material_database *database;
  QDS_REQUIRE(ctx && name && out, "qds_material_nearest: an argument is NULL");
  *out = NULL;
  QDS_TRY(qds_material_database_get(ctx, &database));
  *out = qds_material_nearest_in(database, name);
  return QDS_OK;
}

const char *qds_valley_name(qds_valley valley) {
  static const char *const names[] = {"Gamma", "X", "L"};
  return (unsigned)valley <= QDS_VALLEY_L ? names[valley] : "unknown";
}

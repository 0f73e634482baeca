#include "base/json.h"
#include "dot/material_internal.h"

#include <math.h>
#include <stdio.h>

/* A number, or null where it is unknown. */
static void write_number(qds_json *json, const char *key, double value) {
  if (isnan(value))
    qds_json_string(json, key, NULL);
  else
    qds_json_double(json, key, value);
}

static void write_numbers(qds_json *json, const char *key, int count, const char *const *names,
                          const double *values) {
  qds_json_open_map(json, key);
  for (int i = 0; i < count; i++) write_number(json, names[i], values[i]);
  qds_json_close_map(json);
}

static qds_status write_band(qds_context *ctx, qds_json *json, const char *key, const qds_material *m,
                             qds_carrier carrier) {
  qds_material_band band;
  const qds_status status = qds_material_band_of(ctx, m, carrier, &band);
  if (status == QDS_ERROR_INPUT) { /* a mass that the database does not have */
    qds_json_string(json, key, NULL);
    return QDS_OK;
  }
  QDS_TRY(status);
  qds_json_open_map(json, key);
  qds_json_double(json, "band_edge_eV", band.band_edge_eV);
  qds_json_doubles(json, "mass", 3, band.mass);
  if (carrier == QDS_ELECTRON) qds_json_string(json, "valley", qds_valley_name(band.valley));
  qds_json_close_map(json);
  return QDS_OK;
}

static qds_status write_material(qds_context *ctx, qds_json *json, const qds_material *m,
                                 const char *source) {
  static const char *const valleys[] = {"Gamma", "X", "L"}, *const gammas[] = {"gamma1", "gamma2", "gamma3"};
  static const char *const deformations[] = {"a_c", "a_v", "b", "d"}, *const stiffness[] = {"C11", "C12",
                                                                                            "C44"};
  qds_json_open_map(json, NULL);
  qds_json_string(json, "name", m->name);
  qds_json_double(json, "temperature_K", m->temperature_K);
  write_numbers(json, "gap_eV", 3, valleys, m->gap_eV);
  qds_json_string(json, "valley", qds_valley_name(m->valley));
  QDS_TRY(write_band(ctx, json, "electron", m, QDS_ELECTRON));
  QDS_TRY(write_band(ctx, json, "heavy_hole", m, QDS_HEAVY_HOLE));
  QDS_TRY(write_band(ctx, json, "light_hole", m, QDS_LIGHT_HOLE));
  write_number(json, "spin_orbit_eV", m->spin_orbit_eV);
  write_number(json, "split_off_mass", m->split_off_mass);
  write_numbers(json, "mass_longitudinal", 3, valleys, m->mass_longitudinal);
  write_numbers(json, "mass_transverse", 3, valleys, m->mass_transverse);
  write_numbers(json, "mass_density_of_states", 3, valleys, m->mass_density);
  write_numbers(json, "luttinger", 3, gammas, m->luttinger);
  write_number(json, "kane_energy_eV", m->kane_energy_eV);
  write_number(json, "kane_F", m->kane_f);
  write_numbers(json, "deformation_eV", 4, deformations, m->deformation_eV);
  write_number(json, "lattice_nm", m->lattice_nm);
  write_numbers(json, "elastic_GPa", 3, stiffness, m->elastic_GPa);
  write_number(json, "permittivity_static", m->permittivity);
  write_number(json, "permittivity_infinity", m->permittivity_infinity);
  qds_json_string(json, "source", source);
  qds_json_close_map(json);
  return QDS_OK;
}

static qds_status write_found(qds_context *ctx, qds_json *json, const char *name, double temperature_K) {
  qds_material material;
  const char *source;
  QDS_TRY(qds_material_find(ctx, name, temperature_K, &material));
  QDS_TRY(qds_material_source(ctx, name, &source));
  return write_material(ctx, json, &material, source);
}

/* Every entry; alloys at their middle, where the bowing is largest. */
static qds_status write_all(qds_context *ctx, qds_json *json, double temperature_K) {
  const qds_material_database *database;
  QDS_TRY(qds_material_database_get(ctx, &database));
  qds_json_open_list(json, NULL);
  for (size_t i = 0; i < database->materials; i++)
    QDS_TRY(write_found(ctx, json, database->material[i].name, temperature_K));
  for (size_t i = 0; i < database->alloys; i++) {
    qds_material material;
    QDS_TRY(qds_material_alloy(ctx, database->alloy[i].name, 0.5, temperature_K, &material));
    QDS_TRY(write_material(ctx, json, &material, database->alloy[i].source));
  }
  qds_json_close_list(json);
  return QDS_OK;
}

qds_status qds_material_json(qds_context *ctx, const char *name, double temperature_K, char **out) {
  QDS_AUTO(qds_json) *json = NULL;
  const char *text;
  QDS_REQUIRE(ctx && out, "qds_material_json: an argument is NULL");
  *out = NULL;
  QDS_TRY(qds_json_create(qds_context_allocator(ctx), &json));
  QDS_TRY(name ? write_found(ctx, json, name, temperature_K) : write_all(ctx, json, temperature_K));
  QDS_TRY(qds_json_text(json, &text));
  return QDS_STRDUP(qds_context_allocator(ctx), text, "text", out);
}

#include "dot/result.h"

#include <math.h>

#include "base/allocator.h"

void qds_result_destroy(qds_result *r) {
  if (!r) return;
  char *texts[] = {r->name, r->stem, r->input, r->configuration};
  for (int i = 0; i < 4; i++) qds_release(texts[i]);
  for (int a = 0; a < 3; a++) {
    qds_release(r->coordinates_nm[a]);
    qds_release(r->weights_nm[a]);
  }
  for (int m = 0; m < r->materials; m++) qds_release(r->material_name[m]);
  qds_release(r->material_name);
  qds_release(r->energies_eV);
  qds_release(r->residuals_eV);
  qds_release(r->widths_eV);
  qds_release(r->lifetimes_s);
  qds_release(r->sensitivities_eV);
  qds_release(r->moments);
  qds_release(r->probability);
  qds_waves_destroy(r->waves);
  qds_maps_destroy(r->maps);
  qds_release(r->electrostatics.potential_V);
  qds_release(r->electrostatics.electron_density_cm3);
  qds_release(r->electrostatics.occupation);
  qds_release(r->electrostatics.history_V);
  qds_release(r);
}

int qds_result_states(const qds_result *r) {
  return r->states;
}
int qds_result_dimension(const qds_result *r) {
  return r->dimension;
}
const int64_t *qds_result_nodes(const qds_result *r) {
  return r->nodes;
}
const double *qds_result_energies_eV(const qds_result *r) {
  return r->energies_eV;
}
const double *qds_result_residuals_eV(const qds_result *r) {
  return r->residuals_eV;
}
const double *qds_result_widths_eV(const qds_result *r) {
  return r->widths_eV;
}
const double *qds_result_lifetimes_s(const qds_result *r) {
  return r->lifetimes_s;
}
const double *qds_result_sensitivities_eV(const qds_result *r) {
  return r->sensitivities_eV;
}
double qds_result_reference_eV(const qds_result *r) {
  return r->reference_eV;
}
const double *qds_result_band_edge_eV(const qds_result *r) {
  double *band_edge_eV;
  return qds_maps_band_edge(r->maps, &band_edge_eV) == QDS_OK ? band_edge_eV : NULL;
}
const double *qds_result_potential_V(const qds_result *r) {
  return r->electrostatics.potential_V;
}
const double *qds_result_electron_density_cm3(const qds_result *r) {
  return r->electrostatics.electron_density_cm3;
}
const double *qds_result_occupations(const qds_result *r) {
  return r->electrostatics.occupation;
}
double qds_result_fermi_level_eV(const qds_result *r) {
  return r->electrostatics.occupation ? r->electrostatics.fermi_level_eV : (double)NAN;
}
const unsigned char *qds_result_materials(const qds_result *r) {
  const unsigned char *materials;
  return qds_maps_materials(r->maps, &materials) == QDS_OK ? materials : NULL;
}
void qds_result_get_statistics(const qds_result *r, qds_result_statistics *out) {
  *out = r->statistics;
}
const char *qds_result_device(const qds_result *r) {
  return r->device;
}
const char *qds_result_device_reason(const qds_result *r) {
  return r->device_reason;
}
const char *qds_result_electrostatics_device(const qds_result *r) {
  return r->electrostatics.potential_V ? r->electrostatics.device : NULL;
}
const char *qds_result_electrostatics_device_reason(const qds_result *r) {
  return r->electrostatics.potential_V ? r->electrostatics.device_reason : NULL;
}

static int has_axis(const qds_result *r, int axis) {
  return axis >= 0 && axis < r->dimension;
}
static int has_state(const qds_result *r, int state) {
  return state >= 0 && state < r->states;
}

const double *qds_result_coordinates_nm(const qds_result *r, int axis) {
  return has_axis(r, axis) ? r->coordinates_nm[axis] : NULL;
}

const double *qds_result_weights_nm(const qds_result *r, int axis) {
  return has_axis(r, axis) ? r->weights_nm[axis] : NULL;
}

const double *qds_result_position_nm(const qds_result *r, int state) {
  return has_state(r, state) ? r->moments[state].position_nm : NULL;
}

const double *qds_result_spread_nm(const qds_result *r, int state) {
  return has_state(r, state) ? r->moments[state].spread_nm : NULL;
}

const char *qds_result_material_name(const qds_result *r, int material) {
  return material >= 0 && material < r->materials ? r->material_name[material] : NULL;
}

double qds_result_probability(const qds_result *r, int state, int material) {
  return has_state(r, state) && material >= 0 && material < r->materials
             ? r->probability[state * r->materials + material]
             : 0;
}

int qds_result_is_complex(const qds_result *r) {
  return r->parts == 2;
}

static const double *psi_of(const qds_result *r, int state, int parts) {
  const double *psi;
  if (!has_state(r, state) || r->parts != parts) return NULL;
  return qds_waves_psi(r->waves, state, &psi) == QDS_OK ? psi : NULL;
}

const double *qds_result_psi(const qds_result *r, int state) {
  return psi_of(r, state, 1);
}

const double *qds_result_psi_complex(const qds_result *r, int state) {
  return psi_of(r, state, 2);
}

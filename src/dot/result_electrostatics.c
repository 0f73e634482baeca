/* The part of a result's JSON that tells about the potential and the electrons. */
#include <math.h>

#include "dot/result.h"

static const char *const face_names[] = {"x-", "x+", "y-", "y+", "z-", "z+"};

/* Keys carry their unit, which the dimension decides. */
static const char *const charge_keys[] = {NULL, "charge_cm2", "charge_cm1", "charge"};
static const char *const dopant_keys[] = {NULL, "dopants_cm2", "dopants_cm1", "dopants"};
static const char *const electron_keys[] = {NULL, "electrons_cm2", "electrons_cm1", "electrons"};
static const char *const occupation_keys[] = {NULL, "occupation_cm2", "occupation_cm1", "occupation"};

static void write_contacts(qds_json *json, const qds_result *r) {
  const qds_result_electrostatics *e = &r->electrostatics;
  qds_json_open_list(json, "contacts");
  for (int face = 0; face < 6; face++) {
    if (!e->contacts.is_contact[face / 2][face % 2]) continue;
    qds_json_open_map(json, NULL);
    qds_json_string(json, "face", face_names[face]);
    qds_json_double(json, "potential_V", e->contacts.potential_V[face / 2][face % 2]);
    qds_json_double(json, charge_keys[r->dimension],
                    e->contact_charge[face / 2][face % 2] * qds_per_cm(r->dimension));
    qds_json_close_map(json);
  }
  qds_json_close_list(json);
}

static void write_electrons(qds_json *json, const qds_result *r) {
  const qds_result_electrostatics *e = &r->electrostatics;
  const double unit = qds_per_cm(r->dimension);
  qds_json_double(json, "fermi_level_eV", e->fermi_level_eV);
  qds_json_double(json, electron_keys[r->dimension], e->electrons * unit);
  qds_json_doubles(json, occupation_keys[r->dimension], (size_t)r->states, e->occupation);
  qds_json_int(json, "states_in_density", e->density_states);
  qds_json_int(json, "iterations", e->iterations);
  qds_json_doubles(json, "history_V", (size_t)e->iterations, e->history_V);
}

static void write_times(qds_json *json, const qds_result_electrostatics *e) {
  qds_json_open_map(json, "time_s");
  qds_json_double(json, "poisson", e->poisson_s);
  if (e->occupation) {
    qds_json_double(json, "states", e->states_s);
    qds_json_double(json, "density", e->density_s);
    qds_json_double(json, "other", e->other_s);
  }
  qds_json_close_map(json);
}

void qds_result_write_electrostatics(qds_json *json, const qds_result *r) {
  const qds_result_electrostatics *e = &r->electrostatics;
  double low = INFINITY, high = -INFINITY;
  if (!e->potential_V) return;
  for (int64_t i = 0; i < qds_result_node_count(r); i++) {
    low = fmin(low, e->potential_V[i]);
    high = fmax(high, e->potential_V[i]);
  }
  qds_json_open_map(json, "electrostatics");
  qds_json_string(json, "device", e->device);
  qds_json_string(json, "device_reason", *e->device_reason ? e->device_reason : NULL);
  qds_json_double(json, "potential_min_V", low);
  qds_json_double(json, "potential_max_V", high);
  qds_json_double(json, dopant_keys[r->dimension], e->dopants * qds_per_cm(r->dimension));
  write_contacts(json, r);
  if (e->occupation) write_electrons(json, r);
  write_times(json, e);
  qds_json_close_map(json);
}

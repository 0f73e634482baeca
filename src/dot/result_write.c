/* Results as files: JSON for programs, VTKHDF for pictures. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/file.h"
#include "base/json.h"
#include "base/text.h"
#include "base/vtkhdf.h"
#include "dot/device.h"
#include "dot/result.h"
#include "par/memory_profile.h"
#include "par/memory_report.h"

/* The lifetime of a bound state is infinite, which JSON writes as null. */
static void write_width(qds_json *json, const qds_result *r, int s) {
  qds_json_double(json, "width_eV", r->widths_eV[s]);
  if (isfinite(r->lifetimes_s[s]))
    qds_json_double(json, "lifetime_s", r->lifetimes_s[s]);
  else
    qds_json_string(json, "lifetime_s", NULL);
  qds_json_double(json, "sensitivity_eV", r->sensitivities_eV[s]);
}

static void write_state(qds_json *json, const qds_result *r, int s) {
  qds_json_open_map(json, NULL);
  qds_json_int(json, "index", s);
  qds_json_double(json, "energy_eV", r->energies_eV[s]);
  qds_json_double(json, "residual_eV", r->residuals_eV[s]);
  if (r->widths_eV) write_width(json, r, s);
  qds_json_doubles(json, "position_nm", (size_t)r->dimension, r->moments[s].position_nm);
  qds_json_doubles(json, "spread_nm", (size_t)r->dimension, r->moments[s].spread_nm);
  qds_json_open_map(json, "probability");
  for (int m = 0; m < r->materials; m++)
    qds_json_double(json, r->material_name[m], r->probability[s * r->materials + m]);
  qds_json_close_map(json);
  qds_json_close_map(json);
}

/* What has overflowed the memory limit into files. */
static void write_files(qds_json *json, const qds_context *ctx) {
  qds_memory_files files;
  qds_context_files(ctx, &files);
  qds_json_open_map(json, "files");
  qds_json_string(json, "folder", files.folder);
  qds_json_int(json, "peak_bytes", (int64_t)files.peak_bytes);
  qds_json_int(json, "blocks", (int64_t)files.total_blocks);
  qds_json_int(json, "peak_mapped_bytes", (int64_t)files.peak_mapped_bytes);
  qds_json_close_map(json);
}

static void write_memory(qds_json *json, const qds_context *ctx) {
  qds_memory_row row;
  qds_context_memory(ctx, &row);
  qds_json_open_map(json, "memory");
  qds_json_int(json, "peak_bytes", (int64_t)row.peak_bytes);
  qds_json_open_map(json, "peak_bytes_by_tag");
  for (size_t i = 0; qds_context_memory_tag(ctx, i, &row); i++)
    qds_json_int(json, row.tag, (int64_t)row.peak_bytes);
  qds_json_close_map(json);
  write_files(json, ctx);
  qds_json_close_map(json);
}

static void write_statistics(qds_json *json, const qds_result *r) {
  const qds_result_statistics *s = &r->statistics;
  qds_json_open_map(json, "statistics");
  qds_json_string(json, "preconditioner", s->preconditioner);
  qds_json_string(json, "verification", s->verification);
  qds_json_int(json, "levels_found_by_verification", s->levels_found_by_verification);
  qds_json_int(json, "operator_applications", s->operator_applications);
  qds_json_int(json, "preconditioner_applications", s->preconditioner_applications);
  qds_json_double(json, "operator_s", s->operator_s);
  qds_json_double(json, "preconditioner_s", s->preconditioner_s);
  qds_json_double(json, "algebra_s", s->algebra_s);
  qds_json_double(json, "verify_s", s->verify_s);
  write_memory(json, r->ctx);
  qds_json_close_map(json);
}

/* The map that a result's JSON is, still open. */
static void write_result(qds_json *json, const qds_result *r, double output_s) {
  const qds_result_statistics *s = &r->statistics;
  qds_json_open_map(json, NULL);
  qds_json_string(json, "qdsim", qds_version());
  qds_json_string(json, "name", r->name);
  qds_json_string(json, "input", r->input);
  qds_json_string(json, "configuration", r->configuration);
  qds_json_open_list(json, "nodes");
  for (int a = 0; a < r->dimension; a++) qds_json_int(json, NULL, r->nodes[a]);
  qds_json_close_list(json);
  qds_json_int(json, "unknowns", r->unknowns);
  qds_json_string(json, "device", r->device);
  qds_json_string(json, "device_reason", *r->device_reason ? r->device_reason : NULL);
  qds_json_int(json, "threads", r->threads);
  qds_json_double(json, "reference_eV", r->reference_eV);
  qds_json_bool(json, "converged", 1); /* a solve that does not converge has no result */
  qds_json_int(json, "iterations", s->iterations);
  qds_json_open_list(json, "states");
  for (int i = 0; i < r->states; i++) write_state(json, r, i);
  qds_json_close_list(json);
  qds_result_write_electrostatics(json, r);
  qds_json_open_map(json, "time_s");
  qds_json_double(json, "setup", s->setup_s);
  qds_json_double(json, "solve", s->solve_s + s->verify_s);
  qds_json_double(json, "measure", s->measure_s);
  qds_json_double(json, "output", output_s);
  qds_json_double(json, "total", s->total_s + output_s);
  qds_json_close_map(json);
  qds_json_int(json, "memory_peak_bytes", (int64_t)qds_process_peak_bytes());
  write_statistics(json, r);
}

static qds_status make_json(const qds_result *r, double output_s, int with_memory, char **out) {
  QDS_AUTO(qds_json) *json = NULL;
  const char *text;
  *out = NULL;
  QDS_TRY(qds_json_create(qds_context_allocator(r->ctx), &json));
  write_result(json, r, output_s);
  if (with_memory) qds_memory_report_write(json, "memory_report", r->ctx);
  qds_json_close_map(json);
  QDS_TRY(qds_json_text(json, &text));
  return QDS_STRDUP(qds_context_allocator(r->ctx), text, "text", out);
}

qds_status qds_result_json(const qds_result *r, double output_s, char **out) {
  QDS_REQUIRE(r && out, "qds_result_json: a NULL argument");
  return make_json(r, output_s, 0, out);
}

qds_status qds_result_json_with_memory(const qds_result *r, double output_s, char **out) {
  QDS_REQUIRE(r && out, "qds_result_json_with_memory: a NULL argument");
  return make_json(r, output_s, 1, out);
}

static qds_status output_path(qds_context *ctx, const char *folder, const char *stem, const char *suffix,
                              char **out) {
  const size_t length = strlen(folder);
  return qds_format(qds_context_allocator(ctx), out, "%s%s%s%s", folder,
                    length && folder[length - 1] != '/' ? "/" : "", stem, suffix);
}

qds_status qds_result_path(const qds_result *r, const char *folder, const char *suffix, char **out) {
  QDS_REQUIRE(r && folder && suffix && out, "qds_result_path: a NULL argument");
  return output_path(r->ctx, folder, r->stem, suffix, out);
}

qds_status qds_device_result_path(const qds_device *d, const char *folder, const char *suffix, char **out) {
  QDS_REQUIRE(d && folder && suffix && out, "qds_device_result_path: a NULL argument");
  return output_path(d->ctx, folder, d->stem, suffix, out);
}

/* One field of every state: name_0, name_1, ... with a suffix. `value` stands for (psi re, psi im). */
static qds_status write_of_state(const qds_result *r, qds_vtkhdf *file, int s, const char *name,
                                 const char *suffix, double (*value)(double re, double im), double *values) {
  const int64_t nodes = qds_result_node_count(r);
  const double *psi;
  char full_name[48];
  QDS_TRY(qds_waves_psi(r->waves, s, &psi));
  snprintf(full_name, sizeof full_name, "%s_%d%s", name, s, suffix);
#pragma omp parallel for num_threads(r->threads) schedule(static)
  for (int64_t i = 0; i < nodes; i++)
    values[i] = value(psi[i * r->parts], r->parts == 2 ? psi[i * r->parts + 1] : 0);
  return qds_vtkhdf_point_field(file, full_name, values, 0);
}

static double real_part(double re, double im) {
  (void)im;
  return re;
}
static double imaginary_part(double re, double im) {
  (void)re;
  return im;
}
static double density_of(double re, double im) {
  return re * re + im * im;
}

/* A complex psi goes in two parts, and never without the density, which pictures are drawn from. */
static qds_status write_states(const qds_result *r, qds_vtkhdf *file) {
  QDS_AUTO_RELEASE double *values = NULL;
  const int psi = (r->fields & QDS_FIELD_PSI) != 0, in_parts = psi && r->parts == 2;
  QDS_TRY(QDS_NEW(qds_context_allocator(r->ctx), qds_result_node_count(r), "result", &values));
  for (int s = 0; s < r->states; s++) {
    if (psi) QDS_TRY(write_of_state(r, file, s, "psi", in_parts ? "_re" : "", real_part, values));
    if (in_parts) QDS_TRY(write_of_state(r, file, s, "psi", "_im", imaginary_part, values));
    if (in_parts || r->fields & QDS_FIELD_DENSITY)
      QDS_TRY(write_of_state(r, file, s, "density", "", density_of, values));
    QDS_TRY(qds_progress(r->ctx, "output", (s + 1.0) / r->states, "state %d of %d", s + 1, r->states));
  }
  return QDS_OK;
}

static qds_status write_maps(const qds_result *r, qds_vtkhdf *file) {
  double *band_edge_eV;
  const unsigned char *materials;
  if (r->fields & QDS_FIELD_BAND_EDGE) {
    QDS_TRY(qds_maps_band_edge(r->maps, &band_edge_eV));
    QDS_TRY(qds_vtkhdf_point_field(file, "band_edge_eV", band_edge_eV, 0));
  }
  if (r->electrostatics.potential_V)
    QDS_TRY(qds_vtkhdf_point_field(file, "potential_V", r->electrostatics.potential_V, 0));
  if (r->electrostatics.electron_density_cm3)
    QDS_TRY(qds_vtkhdf_point_field(file, "electron_density_cm3", r->electrostatics.electron_density_cm3, 0));
  if (!(r->fields & QDS_FIELD_MATERIAL)) return QDS_OK;
  QDS_TRY(qds_maps_materials(r->maps, &materials));
  return qds_vtkhdf_cell_labels(file, "material", materials);
}

/* NAME.vtkhdf, not yet committed; NULL where the device asks for no fields. */
static qds_status write_fields(const qds_result *r, const char *folder, qds_vtkhdf **out) {
  QDS_AUTO_RELEASE char *path = NULL;
  QDS_AUTO(qds_vtkhdf) *file = NULL;
  *out = NULL;
  if (!r->fields) return QDS_OK;
  QDS_TRY(qds_result_path(r, folder, ".vtkhdf", &path));
  QDS_TRY(qds_vtkhdf_create(qds_context_allocator(r->ctx), path, r->dimension, r->nodes,
                            (const double *const *)r->coordinates_nm, &file));
  QDS_TRY(qds_vtkhdf_text(file, "name", r->name));
  QDS_TRY(qds_vtkhdf_text(file, "configuration", r->configuration));
  QDS_TRY(qds_vtkhdf_doubles(file, "energies_eV", (size_t)r->states, r->energies_eV));
  QDS_TRY(write_states(r, file));
  QDS_TRY(write_maps(r, file));
  *out = file;
  file = NULL;
  return QDS_OK;
}

/* NAME.json, not yet committed. */
static qds_status write_numbers(const qds_result *r, const char *folder, double output_s,
                                qds_pending_file **out) {
  QDS_AUTO_RELEASE char *json = NULL, *path = NULL;
  QDS_AUTO(qds_pending_file) *file = NULL;
  *out = NULL;
  QDS_TRY(qds_result_path(r, folder, ".json", &path));
  QDS_TRY(qds_result_json(r, output_s, &json));
  QDS_TRY(qds_pending_create(qds_context_allocator(r->ctx), path, &file));
  QDS_TRY(qds_pending_write(file, json, strlen(json)));
  *out = file;
  file = NULL;
  return QDS_OK;
}

/* Into the file of the fields; into a file of its own, not yet committed, where there is none. The timeline
 * ends here, so that it shows what was written before. */
static qds_status write_profile(const qds_result *r, const char *folder, qds_memory_profile *profile,
                                qds_vtkhdf *fields, qds_pending_file **out) {
  QDS_AUTO_RELEASE char *path = NULL;
  qds_memory_profile_stop(profile);
  if (fields) return qds_memory_profile_put(profile, qds_vtkhdf_hdf5(fields));
  QDS_TRY(qds_result_path(r, folder, ".memory.h5", &path));
  return qds_memory_profile_prepare(profile, path, out);
}

/* The files take their names only when all are written, so that a failure leaves none. */
static qds_status write_all(const qds_result *r, const char *folder, qds_memory_profile *profile) {
  QDS_AUTO(qds_vtkhdf) *fields = NULL;
  QDS_AUTO(qds_pending_file) *numbers = NULL;
  QDS_AUTO(qds_pending_file) *timeline = NULL;
  const double start = qds_seconds();
  QDS_TRY(qds_folder_create(qds_context_allocator(r->ctx), folder));
  QDS_TRY(write_fields(r, folder, &fields));
  QDS_TRY(write_numbers(r, folder, qds_seconds() - start, &numbers));
  if (profile) QDS_TRY(write_profile(r, folder, profile, fields, &timeline));
  if (fields) QDS_TRY(qds_vtkhdf_commit(fields));
  if (timeline) QDS_TRY(qds_pending_commit(timeline));
  return qds_pending_commit(numbers);
}

/* A timeline that cannot be written must not take the results with it. */
qds_status qds_result_write_with_profile(const qds_result *r, const char *folder,
                                         qds_memory_profile *profile) {
  QDS_REQUIRE(r && folder, "qds_result_write: a NULL argument");
  const qds_status status = write_all(r, folder, profile);
  if (status != QDS_ERROR_FILE || !profile) return status;
  char reason[1024];
  snprintf(reason, sizeof reason, "%s", qds_last_error()->message);
  QDS_TRY(write_all(r, folder, NULL));
  QDS_FAIL(QDS_ERROR_FILE, "the results are written, but without the timeline of the memory: %s", reason);
}

qds_status qds_result_write(const qds_result *r, const char *folder) {
  return qds_result_write_with_profile(r, folder, NULL);
}

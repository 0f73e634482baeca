#include "qdsim/info.h"

#include <stdio.h>
#include <string.h>

#include <H5public.h>
#include <hwloc.h>
#include <muParserDLL.h>
#include <yaml.h>

#include "base/json.h"
#include "base/text.h"
#include "la/info_devices.h"
#include "la/speed.h"
#include "par/machine.h"

static const double gemm_seconds = 0.1, memory_seconds = 0.1;
static const char mpi_reason[] = "not built: this version runs as one process";

typedef struct {
  int threads;
  size_t free_bytes;
  qds_machine machine;
  const qds_blas *blas; /* NULL: none could be loaded, blas_reason says why */
  char blas_reason[1024];
  qds_gemm_speed gemm;
  qds_memory_speed memory;
  qds_info_devices devices;
  char hdf5[32], hwloc[32], muparser[64];
} report;

static qds_status read_versions(report *r) {
  unsigned major, minor, patch;
  if (H5get_libversion(&major, &minor, &patch) < 0)
    QDS_FAIL(QDS_ERROR_INTERNAL, "HDF5 does not tell its version");
  snprintf(r->hdf5, sizeof r->hdf5, "%u.%u.%u", major, minor, patch);
  /* The header's number: the library only tells the number of its interface. */
  snprintf(r->hwloc, sizeof r->hwloc, "%s", HWLOC_VERSION);
  muParserHandle_t parser = mupCreate(muBASETYPE_FLOAT);
  if (!parser) QDS_FAIL(QDS_ERROR_MEMORY, "out of memory: no room for a formula parser");
  /* "2.3.3 (Release)" with more in brackets; the number is what matters. */
  snprintf(r->muparser, sizeof r->muparser, "%s", mupGetVersion(parser));
  r->muparser[strcspn(r->muparser, " ")] = 0;
  mupRelease(parser);
  return QDS_OK;
}

static size_t largest_cache_bytes(const qds_machine *machine) {
  size_t largest = 0;
  for (int i = 0; i < QDS_CACHE_LEVELS; i++) {
    const size_t bytes = machine->cache[i].bytes * (size_t)machine->cache[i].count;
    if (bytes > largest) largest = bytes;
  }
  return largest;
}

static qds_status gather(qds_context *ctx, report *r) {
  *r = (report){.threads = qds_context_threads(ctx)};
  QDS_TRY(qds_machine_describe(&r->machine));
  QDS_TRY(read_versions(r));
  const qds_status status = qds_blas_get(ctx, &r->blas);
  if (status == QDS_ERROR_UNSUPPORTED) {
    snprintf(r->blas_reason, sizeof r->blas_reason, "%s", qds_last_error()->message);
  } else {
    QDS_TRY(status);
    QDS_TRY(qds_measure_gemm(ctx, gemm_seconds, &r->gemm));
  }
  return qds_measure_memory(ctx, memory_seconds, largest_cache_bytes(&r->machine), &r->memory);
}

static void add_bytes(qds_text *text, size_t bytes) {
  char size[QDS_BYTES_TEXT];
  qds_format_bytes(bytes, size);
  qds_text_add(text, size);
}

static void add_machine(const report *r, qds_text *text) {
  const qds_machine *m = &r->machine;
  qds_text_print(text, "  processor    %s\n", *m->processor ? m->processor : "unknown");
  qds_text_print(text, "  cores        %d with %d hardware threads in %d package%s; %d threads used\n",
                 m->cores, m->hardware_threads, m->packages, m->packages == 1 ? "" : "s", r->threads);
  qds_text_print(text, "  caches      ");
  for (int i = 0; i < QDS_CACHE_LEVELS; i++) {
    if (!m->cache[i].count) continue;
    qds_text_print(text, "%s L%d %d x ", i ? "," : "", i + 1, m->cache[i].count);
    add_bytes(text, m->cache[i].bytes);
  }
  qds_text_print(text, "\n  memory       ");
  add_bytes(text, m->memory_bytes);
  qds_text_print(text, " in %d node%s, ", m->numa_nodes, m->numa_nodes == 1 ? "" : "s");
  qds_text_print(text, "triad %.1f GB/s (3 arrays of ", 1e-9 * r->memory.bytes_per_s);
  add_bytes(text, r->memory.array_bytes);
  qds_text_print(text, ")\n");
}

static void write_text(const qds_context *ctx, const report *r, qds_text *text) {
  qds_text_print(text, "QDSim %s\n", qds_version());
  add_machine(r, text);
  qds_info_devices_text(ctx, &r->devices, text);
  qds_text_print(text, "  mpi          serial (%s)\n", mpi_reason);
  if (r->blas) {
    qds_text_print(text, "  BLAS         %s\n               %s\n", r->blas->library, r->blas->version);
    qds_text_print(text, "               core %s: dgemm %.0f GF/s, sgemm %.0f GF/s (%d thread%s, order %d)\n",
                   r->blas->core, 1e-9 * r->gemm.dgemm_flops, 1e-9 * r->gemm.sgemm_flops, r->threads,
                   r->threads == 1 ? "" : "s", r->gemm.order);
  } else {
    qds_text_print(text, "  BLAS         none: %s\n", r->blas_reason);
  }
  qds_text_print(text, "  libraries    HDF5 %s, libyaml %s, muParser %s, hwloc %s\n", r->hdf5,
                 yaml_get_version_string(), r->muparser, r->hwloc);
}

static void write_machine_json(const report *r, qds_json *json) {
  const qds_machine *m = &r->machine;
  qds_json_string(json, "processor", *m->processor ? m->processor : NULL);
  qds_json_int(json, "packages", m->packages);
  qds_json_int(json, "cores", m->cores);
  qds_json_int(json, "hardware_threads", m->hardware_threads);
  qds_json_int(json, "threads", r->threads);
  qds_json_open_list(json, "caches");
  for (int i = 0; i < QDS_CACHE_LEVELS; i++) {
    if (!m->cache[i].count) continue;
    qds_json_open_map(json, NULL);
    qds_json_int(json, "level", i + 1);
    qds_json_int(json, "bytes", (int64_t)m->cache[i].bytes);
    qds_json_int(json, "count", m->cache[i].count);
    qds_json_close_map(json);
  }
  qds_json_close_list(json);
  qds_json_open_map(json, "memory");
  qds_json_int(json, "bytes", (int64_t)m->memory_bytes);
  qds_json_int(json, "numa_nodes", m->numa_nodes);
  qds_json_double(json, "triad_bytes_per_s", r->memory.bytes_per_s);
  qds_json_int(json, "triad_array_bytes", (int64_t)r->memory.array_bytes);
  qds_json_close_map(json);
}

static void write_blas_json(const report *r, qds_json *json) {
  qds_json_open_map(json, "blas");
  qds_json_string(json, "library", r->blas ? r->blas->library : NULL);
  if (r->blas) {
    qds_json_string(json, "version", r->blas->version);
    qds_json_string(json, "core", r->blas->core);
    qds_json_double(json, "dgemm_gflops", 1e-9 * r->gemm.dgemm_flops);
    qds_json_double(json, "sgemm_gflops", 1e-9 * r->gemm.sgemm_flops);
    qds_json_int(json, "order", r->gemm.order);
  } else {
    qds_json_string(json, "reason", r->blas_reason);
  }
  qds_json_close_map(json);
}

static void write_json(const qds_context *ctx, const report *r, qds_json *json) {
  qds_json_open_map(json, NULL);
  qds_json_string(json, "qdsim", qds_version());
  write_machine_json(r, json);
  qds_info_devices_json(ctx, &r->devices, json);
  qds_json_open_map(json, "mpi");
  qds_json_bool(json, "used", 0);
  qds_json_int(json, "processes", 1);
  qds_json_string(json, "reason", mpi_reason);
  qds_json_close_map(json);
  write_blas_json(r, json);
  qds_json_open_map(json, "libraries");
  qds_json_string(json, "hdf5", r->hdf5);
  qds_json_string(json, "libyaml", yaml_get_version_string());
  qds_json_string(json, "muparser", r->muparser);
  qds_json_string(json, "hwloc", r->hwloc);
  qds_json_close_map(json);
  qds_json_close_map(json);
}

static qds_status write_report(qds_context *ctx, const report *r, int json, char **out) {
  qds_allocator *allocator = qds_context_allocator(ctx);
  if (json) {
    QDS_AUTO(qds_json) *tree = NULL;
    const char *text;
    QDS_TRY(qds_json_create(allocator, &tree));
    write_json(ctx, r, tree);
    QDS_TRY(qds_json_text(tree, &text));
    return QDS_STRDUP(allocator, text, "text", out);
  }
  qds_text text = {.allocator = allocator};
  write_text(ctx, r, &text);
  if (text.status != QDS_OK) {
    qds_release(text.bytes);
    return text.status;
  }
  *out = text.bytes;
  return QDS_OK;
}

qds_status qds_info(qds_context *ctx, int json, char **out) {
  QDS_REQUIRE(out, "qds_info: out is NULL");
  *out = NULL;
  QDS_REQUIRE(ctx, "qds_info: ctx is NULL");
  report r;
  QDS_TRY(gather(ctx, &r));
  QDS_TRY(qds_info_devices_gather(ctx, &r.devices));
  const qds_status status = write_report(ctx, &r, json, out);
  qds_release(r.devices.rows);
  return status;
}

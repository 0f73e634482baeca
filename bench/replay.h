/* What replays of a trace of the memory have in common: rounds in turn, medians, the report of an outcome. */
#ifndef QDS_BENCH_REPLAY_H
#define QDS_BENCH_REPLAY_H

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/json.h"
#include "mem/system_allocator.h"
#include "mem/trace.h"
#include "par/context.h"
#include "qdsim/dot.h"

typedef struct {
  size_t operations, peak_used, peak_reserved;
  double nanoseconds[2]; /* per operation: at first, and again on what the allocator kept */
} replay_outcome;

/* Of the blocks of a place, with the tags chosen (by tag; NULL: all). */
static inline size_t replay_peak_used(const qds_trace_log *log, qds_trace_place place, const char *chosen) {
  size_t used = 0, peak = 0;
  for (size_t i = 0; i < log->count; i++) {
    const qds_trace_event *e = &log->events[i];
    if (e->place != place || (chosen && !chosen[e->tag])) continue;
    used += e->kind == QDS_TRACE_TAKE ? e->bytes : -e->bytes;
    if (used > peak) peak = used;
  }
  return peak;
}

static inline int replay_by_value(const void *a, const void *b) {
  const double x = *(const double *)a, y = *(const double *)b;
  return (x > y) - (x < y);
}

static inline double replay_median(double *values, int count) {
  qsort(values, (size_t)count, sizeof *values, replay_by_value);
  return values[count / 2];
}

static inline void replay_report_head(const char *place) {
  fprintf(stderr, "%-17s %10s %9s %8s %10s %14s %7s\n", place, "operations", "first, ns", "then, ns",
          "used, MiB", "reserved, MiB", "ratio");
}

static inline void replay_report(qds_json *json, const char *name, const replay_outcome *o) {
  const double ratio = o->peak_used ? (double)o->peak_reserved / (double)o->peak_used : 0;
  qds_json_open_map(json, name);
  qds_json_int(json, "operations", (int64_t)o->operations);
  qds_json_double(json, "nanoseconds_per_operation", o->nanoseconds[1]);
  qds_json_double(json, "nanoseconds_per_operation_at_first", o->nanoseconds[0]);
  qds_json_int(json, "peak_used_bytes", (int64_t)o->peak_used);
  qds_json_int(json, "peak_reserved_bytes", (int64_t)o->peak_reserved);
  qds_json_double(json, "peak_reserved_over_peak_used", ratio);
  qds_json_close_map(json);
  fprintf(stderr, "%-17s %10zu %9.1f %8.1f %10.3f %14.3f %7.3f\n", name, o->operations, o->nanoseconds[0],
          o->nanoseconds[1], (double)o->peak_used / (1 << 20), (double)o->peak_reserved / (1 << 20), ratio);
}

/* The trace of a small solve on a device. */
static inline qds_status replay_record_solve(const char *device_name, const char *path) {
  static const char *const assignments[] = {"grid.x.nodes=41", "grid.y.nodes=41", "grid.z.nodes=41", NULL};
  qds_context *ctx = NULL;
  qds_device *device = NULL;
  qds_result *result = NULL;
  qds_context_options options = QDS_CONTEXT_OPTIONS_INIT;
  options.device = device_name;
  options.threads = 1;
  options.memory_trace = path;
  QDS_TRY(qds_context_create(&options, &ctx));
  qds_status status = qds_device_read(ctx, "examples/lens_dot.yaml", assignments, &device);
  if (status == QDS_OK) status = qds_device_solve(device, &result);
  qds_result_destroy(result);
  qds_device_destroy(device);
  if (status == QDS_OK) status = qds_context_end_trace(ctx);
  qds_context_destroy(ctx);
  return status;
}

/* Hands the trace at `path`, or that of a small solve where it is NULL, to `replay`, and prints the JSON. */
static inline qds_status replay_run(const char *device_name, const char *path, void *user,
                                    qds_status (*replay)(void *user, const qds_trace_log *log,
                                                         qds_json *json)) {
  QDS_AUTO(qds_json) *json = NULL;
  QDS_AUTO(qds_trace_log) *log = NULL;
  const char *text = NULL;
  char own[] = "/tmp/qdsim-replay-XXXXXX";
  qds_allocator *system = qds_system_allocator();
  QDS_TRY(qds_json_create(system, &json));
  if (path) {
    QDS_TRY(qds_trace_read(system, path, &log));
  } else {
    const int descriptor = mkstemp(own);
    QDS_REQUIRE(descriptor >= 0, "no file can be made in /tmp for the trace");
    close(descriptor);
    qds_status status = replay_record_solve(device_name, own);
    if (status == QDS_OK) status = qds_trace_read(system, own, &log);
    unlink(own);
    QDS_TRY(status);
  }
  qds_json_open_map(json, NULL);
  qds_json_int(json, "records", (int64_t)log->count);
  qds_json_int(json, "blocks", (int64_t)log->blocks);
  QDS_TRY(replay(user, log, json));
  qds_json_close_map(json);
  QDS_TRY(qds_json_text(json, &text));
  fputs(text, stdout);
  return QDS_OK;
}

#endif

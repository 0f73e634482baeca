/* Records to arrays and back, against the bandwidth of a copy of as many bytes on the same device.
 *
 *   bench_layout [DEVICE [MIB]]    auto, cpu, cuda, cuda:1; default auto, 1024 MiB (64 on the CPU)
 *
 * Every number is read once and written once; that is what the bytes count. Prints JSON; a table goes to
 * standard error. */
#include <stdio.h>
#include <stdlib.h>

#include "base/json.h"
#include "la/layout.h"
#include "par/context.h"

enum { REPEATS = 9 };

static const int64_t widths[] = {2, 3, 4, 6, 8, 16, 32, 50, 100, 128};
enum { WIDTHS = sizeof widths / sizeof *widths };

typedef enum { COPY, TO_ARRAYS, TO_RECORDS, WAYS } way;

typedef struct {
  qds_stream *stream;
  qds_layout layout;
  void *records, *arrays;
} workload;

static qds_status enqueue(const workload *w, way which) {
  if (which == COPY)
    return qds_stream_copy(w->stream, w->arrays, w->records, qds_layout_record_bytes(&w->layout));
  return which == TO_ARRAYS ? qds_layout_to_arrays(w->stream, &w->layout, w->records, w->arrays)
                            : qds_layout_to_records(w->stream, &w->layout, w->arrays, w->records);
}

static int ascending(const void *a, const void *b) {
  const double x = *(const double *)a, y = *(const double *)b;
  return x < y ? -1 : x > y;
}

/* Bytes read and written per second: the median. */
static qds_status rate(const workload *w, way which, double *out) {
  double seconds[REPEATS];
  for (int i = -2; i < REPEATS; i++) {
    QDS_TRY(qds_stream_synchronise(w->stream));
    const double began = qds_seconds();
    QDS_TRY(enqueue(w, which));
    QDS_TRY(qds_stream_synchronise(w->stream));
    if (i >= 0) seconds[i] = qds_seconds() - began;
  }
  qsort(seconds, REPEATS, sizeof *seconds, ascending);
  *out = 2 * (double)qds_layout_record_bytes(&w->layout) / seconds[REPEATS / 2];
  return QDS_OK;
}

static qds_status measure(workload *w, int bytes, int64_t fields, size_t total, qds_json *json) {
  double rates[WAYS];
  QDS_TRY(qds_layout_make(bytes, (int64_t)(total / (size_t)(bytes * fields)), fields, &w->layout));
  for (int i = COPY; i < WAYS; i++) QDS_TRY(rate(w, (way)i, &rates[i]));
  qds_json_open_map(json, NULL);
  qds_json_int(json, "number_bytes", bytes);
  qds_json_int(json, "fields", fields);
  qds_json_int(json, "records", w->layout.count);
  qds_json_double(json, "copy_GB_s", 1e-9 * rates[COPY]);
  qds_json_double(json, "to_arrays_GB_s", 1e-9 * rates[TO_ARRAYS]);
  qds_json_double(json, "to_records_GB_s", 1e-9 * rates[TO_RECORDS]);
  qds_json_double(json, "to_arrays_of_copy", rates[TO_ARRAYS] / rates[COPY]);
  qds_json_double(json, "to_records_of_copy", rates[TO_RECORDS] / rates[COPY]);
  qds_json_close_map(json);
  fprintf(
      stderr, "%d bytes x %3lld fields: copy %7.1f GB/s, to arrays %7.1f (%3.0f %%), back %7.1f (%3.0f %%)\n",
      bytes, (long long)fields, 1e-9 * rates[COPY], 1e-9 * rates[TO_ARRAYS],
      100 * rates[TO_ARRAYS] / rates[COPY], 1e-9 * rates[TO_RECORDS], 100 * rates[TO_RECORDS] / rates[COPY]);
  return QDS_OK;
}

static qds_status measure_all(workload *w, size_t total, qds_json *json) {
  QDS_TRY(qds_stream_fill(w->stream, w->records, 1, total));
  QDS_TRY(qds_stream_fill(w->stream, w->arrays, 1, total));
  for (int bytes = 4; bytes <= 8; bytes += 4)
    for (int i = 0; i < WIDTHS; i++) QDS_TRY(measure(w, bytes, widths[i], total, json));
  return QDS_OK;
}

static qds_status bench(qds_context *ctx, size_t total) {
  QDS_AUTO(qds_json) *json = NULL;
  const char *text = NULL;
  /* Room for the arrays' last lines: 64 bytes for each field. */
  const size_t room = total + 64 * (size_t)widths[WIDTHS - 1];
  workload w = {.stream = qds_context_stream(ctx)};
  QDS_TRY(qds_json_create(qds_context_allocator(ctx), &json));
  qds_json_open_map(json, NULL);
  qds_json_string(json, "device", qds_context_device(ctx));
  qds_json_int(json, "threads", qds_context_threads(ctx));
  qds_json_int(json, "bytes", (int64_t)total);
  qds_json_open_list(json, "cases");
  qds_status status = qds_stream_allocate(w.stream, room, 1, "records", __FILE__, __LINE__, &w.records);
  if (status == QDS_OK)
    status = qds_stream_allocate(w.stream, room, 1, "arrays", __FILE__, __LINE__, &w.arrays);
  if (status == QDS_OK) status = measure_all(&w, total, json);
  qds_stream_release(w.stream, w.records);
  qds_stream_release(w.stream, w.arrays);
  QDS_TRY(status);
  qds_json_close_list(json);
  qds_json_close_map(json);
  QDS_TRY(qds_json_text(json, &text));
  fputs(text, stdout);
  return QDS_OK;
}

int main(int argc, char **argv) {
  qds_context_options options = QDS_CONTEXT_OPTIONS_INIT;
  qds_context *ctx = NULL;
  options.device = argc > 1 ? argv[1] : "auto";
  qds_status status = qds_context_create(&options, &ctx);
  if (status == QDS_OK) {
    const int standard = qds_context_accelerator(ctx) ? 1024 : 64, mib = argc > 2 ? atoi(argv[2]) : standard;
    status = bench(ctx, (size_t)(mib > 0 ? mib : standard) << 20);
  }
  if (status != QDS_OK) fprintf(stderr, "%s\n", qds_last_error()->message);
  qds_context_destroy(ctx);
  return qds_status_exit(status);
}

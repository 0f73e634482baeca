/* The memory account as a table and as JSON. */
#include "base/json.h"
#include "base/text.h"
#include "mem/pool_stream.h"
#include "par/memory_report.h"
#include "qdsim/text.h"

/* --- JSON ----------------------------------------------------------------------------------------------- */

static void put_row(qds_json *json, const qds_memory_row *row) {
  qds_json_open_map(json, row->tag);
  qds_json_int(json, "current_bytes", (int64_t)row->current_bytes);
  qds_json_int(json, "peak_bytes", (int64_t)row->peak_bytes);
  qds_json_int(json, "current_blocks", (int64_t)row->current_blocks);
  qds_json_int(json, "total_blocks", (int64_t)row->total_blocks);
  qds_json_close_map(json);
}

static void put_tags(qds_json *json, qds_context *ctx) {
  const qds_accelerator *device = qds_context_accelerator(ctx);
  qds_memory_row row;
  qds_json_open_map(json, "host");
  qds_context_memory(ctx, &row);
  put_row(json, &row);
  for (size_t i = 0; qds_context_memory_tag(ctx, i, &row); i++) put_row(json, &row);
  qds_json_close_map(json);
  qds_json_open_map(json, "device");
  for (size_t i = 0; device && qds_stream_pool_tag(device->pool, i, &row); i++) put_row(json, &row);
  qds_json_close_map(json);
}

static void put_pools(qds_json *json, qds_context *ctx) {
  qds_memory_pool_row row;
  qds_json_open_map(json, "pools");
  for (size_t i = 0; qds_memory_pool(ctx, i, &row); i++) {
    qds_json_open_map(json, row.name);
    qds_json_string(json, "place", qds_place_name(row.place));
    qds_json_int(json, "used_bytes", (int64_t)row.used_bytes);
    qds_json_int(json, "peak_used_bytes", (int64_t)row.peak_used_bytes);
    qds_json_int(json, "reserved_bytes", (int64_t)row.reserved_bytes);
    qds_json_int(json, "peak_reserved_bytes", (int64_t)row.peak_reserved_bytes);
    qds_json_double(json, "fragmentation", row.fragmentation);
    qds_json_close_map(json);
  }
  qds_json_close_map(json);
}

static void put_buffers(qds_json *json, qds_context *ctx) {
  qds_memory_statistics s;
  qds_memory_get_statistics(ctx, &s);
  qds_json_open_map(json, "buffers");
  qds_json_int(json, "current", (int64_t)s.buffers);
  qds_json_int(json, "total", (int64_t)s.total_buffers);
  qds_json_int(json, "of_python", (int64_t)s.python_buffers);
  qds_json_int(json, "of_python_bytes", (int64_t)s.python_bytes);
  for (int place = 0; place < QDS_PLACES; place++) {
    const qds_memory_count *count = &s.places[place];
    if (count->total_blocks == 0) continue;
    qds_json_open_map(json, qds_place_name((qds_place)place));
    qds_json_int(json, "current_bytes", (int64_t)count->current_bytes);
    qds_json_int(json, "peak_bytes", (int64_t)count->peak_bytes);
    qds_json_close_map(json);
  }
  qds_json_int(json, "spilled_bytes", (int64_t)s.spilled_bytes);
  qds_json_close_map(json);
}

void qds_memory_report_write(qds_json *json, const char *key, qds_context *ctx) {
  qds_json_open_map(json, key);
  put_tags(json, ctx);
  put_pools(json, ctx);
  put_buffers(json, ctx);
  qds_json_int(json, "process_peak_bytes", (int64_t)qds_process_peak_bytes());
  qds_json_close_map(json);
}

/* --- the table ------------------------------------------------------------------------------------------ */

static void print_row(qds_text *text, const char *place, const qds_memory_row *row) {
  char peak[QDS_BYTES_TEXT], now[QDS_BYTES_TEXT];
  qds_format_bytes(row->peak_bytes, peak);
  qds_format_bytes(row->current_bytes, now);
  qds_text_print(text, "%-8s %-22s %12s %12s %10zu\n", place, row->tag, peak, now, row->total_blocks);
}

static void print_pool(qds_text *text, const qds_memory_pool_row *row) {
  char used[QDS_BYTES_TEXT], reserved[QDS_BYTES_TEXT];
  if (row->peak_reserved_bytes == 0) return;
  qds_format_bytes(row->peak_used_bytes, used);
  qds_format_bytes(row->peak_reserved_bytes, reserved);
  qds_text_print(text, "%-8s %-22s %12s %12s %10.2f %13.2f\n", qds_place_name(row->place), row->name, used,
                 reserved,
                 row->peak_used_bytes ? (double)row->peak_reserved_bytes / (double)row->peak_used_bytes : 0,
                 row->fragmentation);
}

static void print_tables(qds_text *text, qds_context *ctx) {
  const qds_accelerator *device = qds_context_accelerator(ctx);
  qds_memory_row row;
  qds_memory_pool_row pool;
  qds_text_print(text, "%-8s %-22s %12s %12s %10s\n", "place", "tag", "most", "now", "blocks");
  qds_context_memory(ctx, &row);
  print_row(text, "host", &row);
  for (size_t i = 0; qds_context_memory_tag(ctx, i, &row); i++) print_row(text, "host", &row);
  for (size_t i = 0; device && qds_stream_pool_tag(device->pool, i, &row); i++)
    print_row(text, "device", &row);
  qds_text_print(text, "\n%-8s %-22s %12s %12s %10s %13s\n", "place", "pool", "used", "reserved", "ratio",
                 "fragmentation");
  for (size_t i = 0; qds_memory_pool(ctx, i, &pool); i++) print_pool(text, &pool);
  char peak[QDS_BYTES_TEXT];
  qds_format_bytes(qds_process_peak_bytes(), peak);
  qds_text_print(text, "\nthe process had at most %s of memory\n", peak);
}

static qds_status report_json(qds_context *ctx, char **out) {
  QDS_AUTO(qds_json) *json = NULL;
  const char *text;
  QDS_TRY(qds_json_create(qds_context_allocator(ctx), &json));
  qds_memory_report_write(json, NULL, ctx);
  QDS_TRY(qds_json_text(json, &text));
  return QDS_STRDUP(qds_context_allocator(ctx), text, "text", out);
}

qds_status qds_memory_report(qds_context *ctx, int json, char **out) {
  QDS_REQUIRE(ctx && out, "qds_memory_report: no context, or out is NULL");
  *out = NULL;
  if (json) return report_json(ctx, out);
  qds_text text = {.allocator = qds_context_allocator(ctx)};
  print_tables(&text, ctx);
  if (text.status == QDS_OK) *out = text.bytes;
  if (text.status != QDS_OK) qds_release(text.bytes);
  return text.status;
}

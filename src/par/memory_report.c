/* The memory account as a table and as JSON. */
#include <string.h>

#include "base/json.h"
#include "base/text.h"
#include "mem/buffer.h"
#include "mem/pool_stream.h"
#include "par/memory_report.h"
#include "qdsim/text.h"

/* --- what holds memory ---------------------------------------------------------------------------------- */

/* Told of each tag at each place where it ever held something; `row->tag` lives as long as the context. */
typedef void (*row_fn)(void *user, const char *place, const qds_memory_row *row);

/* Of heap and device pool all but the buffers, which have tags of their own. */
static void visit_blocks(qds_context *ctx, row_fn visit, void *user) {
  const qds_accelerator *device = qds_context_accelerator(ctx);
  qds_memory_row row;
  for (size_t i = 0; qds_context_memory_tag(ctx, i, &row); i++)
    if (strcmp(row.tag, QDS_BUFFER_TAG) != 0) visit(user, "host", &row);
  for (size_t i = 0; device && qds_stream_pool_tag(device->pool, i, &row); i++)
    if (strcmp(row.tag, QDS_BUFFER_TAG) != 0) visit(user, "device", &row);
}

static qds_memory_row row_of(const char *tag, const qds_memory_count *count) {
  return (qds_memory_row){tag, count->current_bytes, count->peak_bytes, count->current_blocks,
                          count->total_blocks};
}

static void visit_buffers(qds_context *ctx, row_fn visit, void *user) {
  qds_memory_tag_row tag;
  for (size_t i = 0; qds_memory_tag(ctx, i, &tag); i++)
    for (int place = 0; place < QDS_PLACES; place++) {
      const qds_memory_row row = row_of(tag.tag, &tag.places[place]);
      if (row.total_blocks) visit(user, qds_place_name((qds_place)place), &row);
    }
}

/* Arrays that passed the memory limit. */
static void visit_files(qds_context *ctx, row_fn visit, void *user) {
  qds_memory_files f;
  qds_context_files(ctx, &f);
  const qds_memory_row row = {"beyond the limit", f.current_bytes, f.peak_bytes, f.current_blocks,
                              f.total_blocks};
  if (f.total_blocks) visit(user, "file", &row);
}

/* --- JSON ----------------------------------------------------------------------------------------------- */

static void put_row(qds_json *json, const qds_memory_row *row) {
  qds_json_open_map(json, row->tag);
  qds_json_int(json, "current_bytes", (int64_t)row->current_bytes);
  qds_json_int(json, "peak_bytes", (int64_t)row->peak_bytes);
  qds_json_int(json, "current_blocks", (int64_t)row->current_blocks);
  qds_json_int(json, "total_blocks", (int64_t)row->total_blocks);
  qds_json_close_map(json);
}

typedef struct {
  qds_json *json;
  const char *place; /* whose rows are wanted */
} place_rows;

static void put_row_of_place(void *user, const char *place, const qds_memory_row *row) {
  const place_rows *wanted = user;
  if (strcmp(place, wanted->place) == 0) put_row(wanted->json, row);
}

static void put_blocks(qds_json *json, qds_context *ctx) {
  qds_memory_row total;
  qds_json_open_map(json, "host");
  qds_context_memory(ctx, &total);
  put_row(json, &total);
  visit_blocks(ctx, put_row_of_place, &(place_rows){json, "host"});
  qds_json_close_map(json);
  qds_json_open_map(json, "device");
  visit_blocks(ctx, put_row_of_place, &(place_rows){json, "device"});
  qds_json_close_map(json);
  qds_json_open_map(json, "file");
  visit_files(ctx, put_row_of_place, &(place_rows){json, "file"});
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

static void put_places(qds_json *json, const char *key, const qds_memory_count places[QDS_PLACES]) {
  qds_json_open_map(json, key);
  for (int place = 0; place < QDS_PLACES; place++) {
    const qds_memory_row row = row_of(qds_place_name((qds_place)place), &places[place]);
    if (row.total_blocks) put_row(json, &row);
  }
  qds_json_close_map(json);
}

static void put_buffers(qds_json *json, qds_context *ctx) {
  qds_memory_statistics s;
  qds_memory_tag_row tag;
  qds_memory_get_statistics(ctx, &s);
  qds_json_open_map(json, "buffers");
  qds_json_int(json, "current", (int64_t)s.buffers);
  qds_json_int(json, "total", (int64_t)s.total_buffers);
  qds_json_int(json, "of_python", (int64_t)s.python_buffers);
  qds_json_int(json, "of_python_bytes", (int64_t)s.python_bytes);
  put_places(json, "places", s.places);
  qds_json_open_map(json, "tags");
  for (size_t i = 0; qds_memory_tag(ctx, i, &tag); i++) put_places(json, tag.tag, tag.places);
  qds_json_close_map(json);
  qds_json_int(json, "spilled_bytes", (int64_t)s.spilled_bytes);
  qds_json_close_map(json);
}

void qds_memory_report_write(qds_json *json, const char *key, qds_context *ctx) {
  qds_json_open_map(json, key);
  put_blocks(json, ctx);
  put_pools(json, ctx);
  put_buffers(json, ctx);
  qds_json_int(json, "process_peak_bytes", (int64_t)qds_process_peak_bytes());
  qds_json_close_map(json);
}

/* --- the table ------------------------------------------------------------------------------------------ */

static void print_row(void *user, const char *place, const qds_memory_row *row) {
  qds_text *text = user;
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
  qds_memory_row row;
  qds_memory_pool_row pool;
  qds_text_print(text, "%-8s %-22s %12s %12s %10s\n", "place", "tag", "most", "now", "blocks");
  qds_context_memory(ctx, &row);
  print_row(text, "host", &row);
  visit_blocks(ctx, print_row, text);
  visit_buffers(ctx, print_row, text);
  visit_files(ctx, print_row, text);
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

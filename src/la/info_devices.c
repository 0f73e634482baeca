#include "la/info_devices.h"

#include <stdio.h>
#include <string.h>

#include "par/plugin.h"
#include "qdsim/text.h"

/* --- gathering --------------------------------------------------------------------------------------------
 */

static qds_status add_row(qds_context *ctx, qds_info_devices *devices, qds_info_device **out) {
  QDS_TRY(QDS_RESIZE(qds_context_allocator(ctx), devices->count + 1, "report", &devices->rows));
  *out = &devices->rows[devices->count++];
  memset(*out, 0, sizeof **out);
  return QDS_OK;
}

/* Opens the back end's device, unless it is the context's own, for its properties. */
static void look(const qds_context *ctx, const qds_plugin *plugin, int index, qds_info_device *row) {
  const qds_backend *backend = plugin->backend;
  void *state;
  snprintf(row->name, sizeof row->name, "%s:%d", plugin->name, index);
  row->used = !strcmp(row->name, qds_context_device(ctx));
  if (row->used) {
    row->properties = qds_context_accelerator(ctx)->properties;
    return;
  }
  if (backend->open(qds_backend_host(), index, &state, &row->properties) == QDS_OK)
    backend->close(state);
  else
    snprintf(row->reason, sizeof row->reason, "%s", qds_last_error()->message);
}

static qds_status gather_plugin(qds_context *ctx, const qds_plugin *plugin, qds_info_devices *devices) {
  qds_info_device *row;
  for (int index = 0; index < plugin->devices; index++) {
    QDS_TRY(add_row(ctx, devices, &row));
    look(ctx, plugin, index, row);
  }
  if (plugin->devices > 0) return QDS_OK;
  QDS_TRY(add_row(ctx, devices, &row));
  snprintf(row->name, sizeof row->name, "%s", plugin->name);
  snprintf(row->reason, sizeof row->reason, "%s", plugin->reason);
  return QDS_OK;
}

qds_status qds_info_devices_gather(qds_context *ctx, qds_info_devices *out) {
  *out = (qds_info_devices){0};
  for (int i = 0; i < QDS_PLUGINS; i++) {
    qds_plugin plugin;
    qds_plugin_load(qds_plugin_name(i), &plugin);
    const qds_status status = gather_plugin(ctx, &plugin, out);
    qds_plugin_unload(&plugin);
    if (status != QDS_OK) {
      qds_release(out->rows);
      *out = (qds_info_devices){0};
      return status;
    }
  }
  return QDS_OK;
}

/* --- writing ----------------------------------------------------------------------------------------------
 */

static void add_properties(const qds_accelerator_properties *p, qds_text *text) {
  char memory[QDS_BYTES_TEXT];
  qds_format_bytes(p->memory_bytes, memory);
  qds_text_print(text, "%s, %s", p->name, memory);
  if (p->bandwidth_B_s > 0) qds_text_print(text, ", %.1f TB/s by its datasheet", 1e-12 * p->bandwidth_B_s);
  if (p->multiprocessors) qds_text_print(text, ", %d multiprocessors", p->multiprocessors);
  if (p->capability[0]) qds_text_print(text, ", capability %d.%d", p->capability[0], p->capability[1]);
  if (*p->version) qds_text_print(text, ", %s", p->version);
}

void qds_info_devices_text(const qds_context *ctx, const qds_info_devices *devices, qds_text *text) {
  qds_text_print(text, "  devices      cpu%s\n", qds_context_accelerator(ctx) ? "" : ": used");
  for (int i = 0; i < devices->count; i++) {
    const qds_info_device *row = &devices->rows[i];
    qds_text_print(text, "               %s: ", row->name);
    if (*row->reason)
      qds_text_print(text, "%s", row->reason);
    else
      add_properties(&row->properties, text);
    qds_text_print(text, "%s\n", row->used ? ": used" : "");
  }
}

static void write_properties(const qds_accelerator_properties *p, qds_json *json) {
  qds_json_string(json, "model", p->name);
  qds_json_string(json, "version", p->version);
  qds_json_int(json, "memory_bytes", (int64_t)p->memory_bytes);
  if (p->bandwidth_B_s > 0) qds_json_double(json, "datasheet_bytes_per_s", p->bandwidth_B_s);
  if (p->multiprocessors) qds_json_int(json, "multiprocessors", p->multiprocessors);
  if (!p->capability[0]) return;
  qds_json_open_list(json, "capability");
  for (int i = 0; i < 2; i++) qds_json_int(json, NULL, p->capability[i]);
  qds_json_close_list(json);
}

void qds_info_devices_json(const qds_context *ctx, const qds_info_devices *devices, qds_json *json) {
  qds_json_open_list(json, "devices");
  qds_json_open_map(json, NULL);
  qds_json_string(json, "name", "cpu");
  qds_json_bool(json, "used", !qds_context_accelerator(ctx));
  qds_json_string(json, "reason", NULL);
  qds_json_close_map(json);
  for (int i = 0; i < devices->count; i++) {
    const qds_info_device *row = &devices->rows[i];
    qds_json_open_map(json, NULL);
    qds_json_string(json, "name", row->name);
    qds_json_bool(json, "used", row->used);
    qds_json_string(json, "reason", *row->reason ? row->reason : NULL);
    if (!*row->reason) write_properties(&row->properties, json);
    qds_json_close_map(json);
  }
  qds_json_close_list(json);
}

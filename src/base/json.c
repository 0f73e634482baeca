#include "base/json.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>

#include "base/text.h"

typedef struct {
  char closing; /* '}', ']', or 0 at the top */
  int items;    /* 1 once there is one */
} level;

struct qds_json {
  qds_text text;
  level levels[QDS_JSON_MAX_DEPTH + 1];
  int depth;
  qds_status status;
  char message[256]; /* of the first error: the thread's last error may be another one by the end */
};

qds_status qds_json_create(qds_allocator *allocator, qds_json **out) {
  QDS_TRY(QDS_NEW_ZERO(allocator, 1, "json", out));
  (*out)->text.allocator = allocator;
  return QDS_OK;
}

void qds_json_destroy(qds_json *json) {
  if (!json) return;
  qds_release(json->text.bytes);
  qds_release(json);
}

__attribute__((format(printf, 3, 4))) static void fail(qds_json *json, qds_status status, const char *format,
                                                       ...) {
  va_list arguments;
  if (json->status) return;
  va_start(arguments, format);
  vsnprintf(json->message, sizeof json->message, format, arguments);
  va_end(arguments);
  json->status = status;
}

static void add(qds_json *json, const char *string) {
  if (json->status) return;
  qds_text_add(&json->text, string);
  if (json->text.status) fail(json, json->text.status, "%s", qds_last_error()->message);
}

static void add_line(qds_json *json) {
  add(json, "\n");
  for (int i = 0; i < json->depth; i++) add(json, "  ");
}

static void add_quoted(qds_json *json, const char *text) {
  add(json, "\"");
  while (*text && !json->status) {
    const char *start = text;
    const uint32_t code = qds_utf8_next(&text);
    char out[16];
    if (code == '"' || code == '\\')
      snprintf(out, sizeof out, "\\%c", (char)code);
    else if (code == '\n')
      snprintf(out, sizeof out, "\\n");
    else if (code < 0x20 || code == 0x7f)
      snprintf(out, sizeof out, "\\u%04x", code);
    else if (code == 0xfffd)
      snprintf(out, sizeof out, "\xef\xbf\xbd");
    else
      snprintf(out, sizeof out, "%.*s", (int)(text - start), start);
    add(json, out);
  }
  add(json, "\"");
}

/* What stands before a value: comma, new line, key. Returns 0 when no value may stand here. */
static int open_value(qds_json *json, const char *key) {
  level *here = &json->levels[json->depth];
  if (json->depth == 0 && here->items)
    fail(json, QDS_ERROR_ARGUMENT, "JSON: a second value at the top");
  else if ((here->closing == '}') != (key != NULL))
    fail(json, QDS_ERROR_ARGUMENT, "JSON: %s%s",
         key ? "a key outside a map: " : "a value without a key in a map", key ? key : "");
  if (json->status) return 0;
  if (here->items) add(json, ",");
  if (json->depth > 0) add_line(json);
  here->items = 1;
  if (key) {
    add_quoted(json, key);
    add(json, ": ");
  }
  return !json->status;
}

static void open_level(qds_json *json, const char *key, const char *opening, char closing) {
  if (!open_value(json, key)) return;
  if (json->depth == QDS_JSON_MAX_DEPTH) {
    fail(json, QDS_ERROR_ARGUMENT, "JSON: more than %d levels", QDS_JSON_MAX_DEPTH);
    return;
  }
  add(json, opening);
  json->levels[++json->depth] = (level){closing, 0};
}

static void close_level(qds_json *json, char closing) {
  if (json->status) return;
  const level here = json->levels[json->depth];
  if (here.closing != closing) {
    fail(json, QDS_ERROR_ARGUMENT, "JSON: \"%c\" closes what was not opened", closing);
    return;
  }
  json->depth--;
  if (here.items) add_line(json);
  add(json, (char[]){closing, '\0'});
}

void qds_json_open_map(qds_json *json, const char *key) {
  open_level(json, key, "{", '}');
}
void qds_json_close_map(qds_json *json) {
  close_level(json, '}');
}
void qds_json_open_list(qds_json *json, const char *key) {
  open_level(json, key, "[", ']');
}
void qds_json_close_list(qds_json *json) {
  close_level(json, ']');
}

void qds_json_string(qds_json *json, const char *key, const char *value) {
  if (!open_value(json, key)) return;
  if (value)
    add_quoted(json, value);
  else
    add(json, "null");
}

static void add_double(qds_json *json, const char *key, double value) {
  char text[QDS_DOUBLE_TEXT];
  if (!isfinite(value)) {
    fail(json, QDS_ERROR_NUMERIC, "%s%s%s is %s, which is no result", key ? "\"" : "", key ? key : "a number",
         key ? "\"" : "", isnan(value) ? "not a number" : "infinite");
    return;
  }
  qds_double_text(value, text);
  add(json, text);
}

void qds_json_double(qds_json *json, const char *key, double value) {
  if (open_value(json, key)) add_double(json, key, value);
}

void qds_json_int(qds_json *json, const char *key, int64_t value) {
  char text[24];
  snprintf(text, sizeof text, "%lld", (long long)value);
  if (open_value(json, key)) add(json, text);
}

void qds_json_bool(qds_json *json, const char *key, int value) {
  if (open_value(json, key)) add(json, value ? "true" : "false");
}

void qds_json_doubles(qds_json *json, const char *key, size_t count, const double *values) {
  if (!open_value(json, key)) return;
  add(json, "[");
  for (size_t i = 0; i < count && !json->status; i++) {
    if (i) add(json, ", ");
    add_double(json, key, values[i]);
  }
  add(json, "]");
}

qds_status qds_json_text(qds_json *json, const char **out) {
  *out = NULL;
  if (json->depth > 0) fail(json, QDS_ERROR_ARGUMENT, "JSON: %d levels are not closed", json->depth);
  if (json->depth == 0 && !json->levels[0].items)
    fail(json, QDS_ERROR_ARGUMENT, "JSON: no value was written");
  if (!json->status && json->text.bytes[json->text.length - 1] != '\n') add(json, "\n");
  if (json->status) QDS_FAIL(json->status, "%s", json->message);
  *out = json->text.bytes;
  return QDS_OK;
}

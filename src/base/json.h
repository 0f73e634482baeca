/* Writing JSON: an indented text that grows in memory. Numbers are written with the fewest digits that read
 * back as the same double; a NaN or infinity is QDS_ERROR_NUMERIC, since JSON has none and a result must not
 * be made up. Bytes that are not UTF-8 (in names of files) become U+FFFD, the replacement character. */
#ifndef QDS_BASE_JSON_H
#define QDS_BASE_JSON_H

#include "base/allocator.h"

typedef struct qds_json qds_json;

enum { QDS_JSON_MAX_DEPTH = 32 };

qds_status qds_json_create(qds_allocator *allocator, qds_json **out);
void qds_json_destroy(qds_json *json);
QDS_AUTO_DEFINE(qds_json)

/* `key` is NULL inside a list and at the top, and a name inside a map; anything else, a map that is not
 * closed, or more than QDS_JSON_MAX_DEPTH levels is QDS_ERROR_ARGUMENT. A first error sticks: the calls after
 * it do nothing, and qds_json_text returns it, so that writers need not check every call. */
void qds_json_open_map(qds_json *json, const char *key);
void qds_json_close_map(qds_json *json);
void qds_json_open_list(qds_json *json, const char *key);
void qds_json_close_list(qds_json *json);
void qds_json_string(qds_json *json, const char *key, const char *value); /* NULL: null */
void qds_json_double(qds_json *json, const char *key, double value);
void qds_json_int(qds_json *json, const char *key, int64_t value);
void qds_json_bool(qds_json *json, const char *key, int value);
/* A list of numbers on one line. */
void qds_json_doubles(qds_json *json, const char *key, size_t count, const double *values);

/* The finished text, ending in a newline; owned by `json`, valid until it is destroyed. */
qds_status qds_json_text(qds_json *json, const char **out);

#endif

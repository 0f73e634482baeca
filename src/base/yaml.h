/* YAML documents as trees of nodes that remember their place.
 *
 * libyaml parses (libcyaml, which sits on it, keeps no line numbers in what it has loaded, and every message
 * here names the line). JSON is read by the same path. Anchors and aliases work.
 *
 * Refused are cyclic aliases, duplicate keys, merge keys (<<), tags other than !!str, several documents, zero
 * bytes, and what passes a limit: files of 16 MiB, 100 levels, 1000000 values (aliases expanded), 1000
 * anchors, 10000 keys in a map, 200 bytes in a key.
 *
 * A scalar in quotes is text: "5" is no number, in JSON as in YAML. Messages have the form
 *   dot.yaml:14: regions[2].material: no material "InGas"; did you mean "InGaAs"? */
#ifndef QDS_BASE_YAML_H
#define QDS_BASE_YAML_H

#include "base/allocator.h"

typedef struct qds_yaml qds_yaml;
typedef struct qds_yaml_node qds_yaml_node;

typedef enum { QDS_YAML_NULL, QDS_YAML_SCALAR, QDS_YAML_LIST, QDS_YAML_MAP } qds_yaml_kind;

/* Reads a file. Errors: FILE (cannot be read, too large, a directory), INPUT (not YAML), MEMORY. */
qds_status qds_yaml_read(qds_allocator *allocator, const char *path, qds_yaml **out);
/* Parses text; `name` stands for the file in messages and is copied. */
qds_status qds_yaml_parse(qds_allocator *allocator, const char *name, const char *text, size_t bytes,
                          qds_yaml **out);
void qds_yaml_destroy(qds_yaml *yaml);
QDS_AUTO_DEFINE(qds_yaml)

/* Sets the value at a dotted path, "grid.x.nodes=201" or "regions.0.radius_nm=12"; the value is parsed as
 * YAML. Missing map keys on the way are created, list indices must exist (one past the end appends). A
 * key of the tree may contain points ("materials.Al0.3Ga0.7As.mass=0.09"); "regions[0]" means the same as
 * "regions.0". The new node's messages name "--set grid.x.nodes" instead of a line. Errors: ARGUMENT (not
 * PATH=VALUE), INPUT (the path or the value does not fit), MEMORY; the tree is unchanged then. */
qds_status qds_yaml_set(qds_yaml *yaml, const char *assignment);

/* The whole tree as YAML text, tag "text": what a user would write; for qdsim check. */
qds_status qds_yaml_write(const qds_yaml *yaml, char **out);

const qds_yaml_node *qds_yaml_root(const qds_yaml *yaml);
qds_yaml_kind qds_yaml_node_kind(const qds_yaml_node *node);
/* Scalars: the text; NULL for the others. */
const char *qds_yaml_text(const qds_yaml_node *node);
/* Lists: items; maps: pairs; 0 for the others. */
size_t qds_yaml_count(const qds_yaml_node *node);
const qds_yaml_node *qds_yaml_item(const qds_yaml_node *node, size_t index);
const char *qds_yaml_key(const qds_yaml_node *node, size_t index);
/* The value of a key, or NULL. */
const qds_yaml_node *qds_yaml_find(const qds_yaml_node *node, const char *key);
/* The key's line in the file, from 1; 0 for a node that was set. */
int qds_yaml_line(const qds_yaml_node *node);

/* Raises QDS_ERROR_INPUT with "file:line: path: " before the message. Used through QDS_YAML_FAIL. */
qds_status qds_yaml_raise(const qds_yaml_node *node, const char *file, int line, const char *format, ...)
    __attribute__((format(printf, 4, 5)));
#define QDS_YAML_FAIL(node, ...) return qds_yaml_raise((node), __FILE__, __LINE__, __VA_ARGS__)

/* Typed access; each fails with a message that says what stands there and what is allowed. */
qds_status qds_yaml_double(const qds_yaml_node *node, double *out);   /* finite */
qds_status qds_yaml_positive(const qds_yaml_node *node, double *out); /* finite and > 0 */
qds_status qds_yaml_int64(const qds_yaml_node *node, int64_t low, int64_t high, int64_t *out);
qds_status qds_yaml_bool(const qds_yaml_node *node, int *out);           /* true false yes no on off */
qds_status qds_yaml_string(const qds_yaml_node *node, const char **out); /* owned by the document */
/* A list of exactly `count` finite numbers. */
qds_status qds_yaml_doubles(const qds_yaml_node *node, size_t count, double *out);
/* One of a NULL-terminated list of words: its index. */
qds_status qds_yaml_choice(const qds_yaml_node *node, const char *const *words, int *out);
/* The node is a map, and each of its keys is in the NULL-terminated list; else names key, line
 * and nearest. */
qds_status qds_yaml_check_keys(const qds_yaml_node *node, const char *const *allowed);
/* The value of a key that must be there. */
qds_status qds_yaml_require(const qds_yaml_node *node, const char *key, const qds_yaml_node **out);

#endif

/* Settings from the command line: "grid.x.nodes=201" over a tree that was read. */
#include <string.h>

#include "base/text.h"
#include "base/yaml_tree.h"

/* One step of a dotted path: a key in a map, or an index in a list. */
typedef struct {
  const char *text;
  size_t length;
} step;

/* The first step of `path`: up to a point or bracket; "[2]" counts as a step, as messages print it. */
static step plain_step(const char *path) {
  return (step){path, strcspn(path, ".[]")};
}

/* A key of the map may itself contain points ("Al0.3Ga0.7As"): the longest key that the path starts with
 * wins. */
static step map_step(const qds_yaml_node *map, const char *path) {
  step best = plain_step(path);
  for (size_t i = 0; i < map->count; i++) {
    const char *key = map->items[i]->key;
    const size_t length = strlen(key);
    const int ends = strncmp(path, key, length) == 0 && strchr(".[", path[length]);
    if (ends && length > best.length) best = (step){path, length};
  }
  return best;
}

/* Past a step and the point or brackets that follow it; NULL when something else stands there. */
static const char *after(step s) {
  const char *end = s.text + s.length;
  if (*end == ']') end++;
  if (*end == '\0') return end;
  if (*end != '.' && *end != '[') return NULL;
  return end[1] ? end + 1 : NULL;
}

/* The number of a list step, or `count` + 1 when it is none. */
static size_t step_index(step s, size_t count) {
  char digits[24];
  int64_t index;
  if (s.length == 0 || s.length >= sizeof digits) return count + 1;
  memcpy(digits, s.text, s.length);
  digits[s.length] = '\0';
  if (!qds_parse_int64(digits, &index) || index < 0 || (uint64_t)index > count) return count + 1;
  return (size_t)index;
}

static qds_status bad_path(const char *setting) {
  QDS_FAIL(QDS_ERROR_ARGUMENT,
           "--set %s: the path is not well formed; keys and list indices are joined by points, as in "
           "regions.0.radius_nm=12",
           setting);
}

/* Where a path leaves the tree: the last node that is there, and what remains of the path after it. */
typedef struct {
  qds_yaml_node *node;
  step missing;     /* in `node`; unused when the path ends in the tree */
  const char *rest; /* after `missing` */
  size_t replaces;  /* index of the item that the new one replaces; node->count: none */
} target;

/* Follows `path` from `node` to its last step, or to the first that is missing. A key without a value is
 * missing. */
static qds_status find_target(qds_yaml_node *node, const char *path, const char *setting, target *out) {
  for (;;) {
    if (node->kind != QDS_YAML_MAP && node->kind != QDS_YAML_LIST)
      QDS_YAML_FAIL(node, "--set %s: a single value stands here, it has no \"%s\"", setting, path);
    const step s = node->kind == QDS_YAML_MAP ? map_step(node, path) : plain_step(path);
    const char *rest = after(s);
    if (s.length == 0 || !rest) return bad_path(setting);
    size_t index = 0;
    if (node->kind == QDS_YAML_LIST) {
      index = step_index(s, node->count);
      if (index > node->count)
        QDS_YAML_FAIL(node, "--set %s: \"%.*s\" is no index of this list (allowed: 0 to %zu, which appends)",
                      setting, (int)s.length, s.text, node->count);
    } else {
      while (index < node->count &&
             (strncmp(node->items[index]->key, s.text, s.length) != 0 || node->items[index]->key[s.length]))
        index++;
    }
    if (!*rest || index == node->count || node->items[index]->kind == QDS_YAML_NULL) {
      *out = (target){node, s, rest, index};
      return QDS_OK;
    }
    node = node->items[index];
    path = rest;
  }
}

static qds_status keep_key(const qds_yaml_node *parent, step s, const char **out) {
  *out = NULL;
  if (parent->kind != QDS_YAML_MAP) return QDS_OK;
  if (s.length > QDS_YAML_MAX_KEY_BYTES)
    QDS_YAML_FAIL(parent, "--set: a key is longer than %d bytes", QDS_YAML_MAX_KEY_BYTES);
  return qds_yaml_keep(parent->document, s.text, s.length, out);
}

/* Builds what is missing from the target on, not yet attached to it: maps (a list where the path goes on with
 * index 0) and at their end the value. */
static qds_status build(const target *t, const char *setting, const char *value, qds_yaml_node **out) {
  qds_yaml *yaml = t->node->document;
  qds_yaml_node *parent = t->node, *top = NULL;
  step s = t->missing;
  const char *rest = t->rest, *key;
  while (*rest) {
    qds_yaml_node *node;
    QDS_TRY(keep_key(parent, s, &key));
    QDS_TRY(qds_yaml_node_create(yaml, parent, key, 0, setting, &node));
    s = plain_step(rest);
    rest = after(s);
    if (s.length == 0 || !rest) return bad_path(setting);
    node->kind = step_index(s, 0) == 0 ? QDS_YAML_LIST : QDS_YAML_MAP;
    if (top) QDS_TRY(qds_yaml_append(parent, node));
    if (!top) top = node;
    parent = node;
  }
  qds_yaml_node *leaf;
  QDS_TRY(keep_key(parent, s, &key));
  QDS_TRY(qds_yaml_parse_node(yaml, value, strlen(value), parent, key, setting, &leaf));
  if (!leaf) { /* nothing after the = */
    QDS_TRY(qds_yaml_node_create(yaml, parent, key, 0, setting, &leaf));
    leaf->kind = QDS_YAML_NULL;
  }
  if (top) QDS_TRY(qds_yaml_append(parent, leaf));
  *out = top ? top : leaf;
  return QDS_OK;
}

qds_status qds_yaml_set(qds_yaml *yaml, const char *assignment) {
  const char *equals = strchr(assignment, '=');
  const char *setting;
  target t = {0};
  qds_yaml_node *fresh = NULL;
  if (!equals || equals == assignment)
    QDS_FAIL(QDS_ERROR_ARGUMENT, "--set %s: expected PATH=VALUE, as in grid.x.nodes=201", assignment);
  QDS_TRY(qds_yaml_keep(yaml, assignment, (size_t)(equals - assignment), &setting));
  QDS_TRY(find_target(yaml->root, setting, setting, &t));
  QDS_TRY(build(&t, setting, equals + 1, &fresh));
  fresh->index = t.replaces;
  if (t.replaces == t.node->count) return qds_yaml_append(t.node, fresh);
  t.node->items[t.replaces] = fresh;
  return QDS_OK;
}

/* Reading: libyaml's events become the tree. The events rather than libyaml's own document, because the
 * limits then stop a hostile file where it passes them: libyaml's loader reads the whole file first, in
 * quadratic time when it has many anchors. */
#include "base/yaml_tree.h"

#include <stdio.h>
#include <string.h>
#include <yaml.h>

#include "base/file.h"
#include "base/text.h"

#define AUTO_EVENT __attribute__((cleanup(yaml_event_delete))) yaml_event_t

typedef struct {
  const char *name;
  const qds_yaml_node *node;
} anchor;

typedef struct {
  yaml_parser_t parser;
  qds_yaml *yaml;
  const char *text; /* all of it */
  const char *setting;
  anchor anchors[QDS_YAML_MAX_ANCHORS];
  size_t anchor_count;
} reader;

static int line_of(yaml_mark_t mark) {
  return (int)mark.line + 1;
}

/* Of a byte of the text, which libyaml gives without a line when it cannot be a character. */
static int line_of_byte(const reader *r, size_t offset) {
  int line = 1;
  for (size_t i = 0; i < offset; i++)
    line += r->text[i] == '\n' || (r->text[i] == '\r' && r->text[i + 1] != '\n');
  return line;
}

/* A node whose line is that of the event which opens it. */
static qds_status create_node(reader *r, const yaml_event_t *event, qds_yaml_node *parent, const char *key,
                              qds_yaml_node **out) {
  const int line = r->setting ? 0 : line_of(event->start_mark);
  return qds_yaml_node_create(r->yaml, parent, key, line, r->setting, out);
}

/* libyaml's message, with its place and, for the slips that it words badly, what to do. */
static qds_status parser_failure(const reader *r) {
  const yaml_parser_t *p = &r->parser;
  char where[256] = "", context[128] = "";
  const char *hint = "";
  if (p->error == YAML_MEMORY_ERROR)
    QDS_FAIL(QDS_ERROR_MEMORY, "out of memory while parsing %s", r->yaml->name);
  const char *problem = p->problem ? p->problem : "unknown problem";
  if (r->setting)
    snprintf(where, sizeof where, "--set %s", r->setting);
  else if (p->error == YAML_READER_ERROR)
    snprintf(where, sizeof where, "%s:%d", r->yaml->name, line_of_byte(r, p->problem_offset));
  else
    snprintf(where, sizeof where, "%s:%d", r->yaml->name, line_of(p->problem_mark));
  if (p->error == YAML_READER_ERROR)
    snprintf(context, sizeof context, " (byte %zu)", p->problem_offset);
  else if (p->context && !r->setting)
    snprintf(context, sizeof context, " (%s, line %d)", p->context, line_of(p->context_mark));
  if (strstr(problem, "cannot start any token"))
    hint = "; indent with spaces, not tabs, and quote text that starts with @, ` or %";
  else if (strstr(problem, "mapping values are not allowed"))
    hint = "; is the indentation right, and text that contains \": \" quoted?";
  QDS_FAIL(QDS_ERROR_INPUT, "%s: not valid YAML: %s%s%s", where, problem, context, hint);
}

static qds_status next_event(reader *r, yaml_event_t *event) {
  if (!yaml_parser_parse(&r->parser, event)) return parser_failure(r);
  return QDS_OK;
}

static qds_status add_anchor(reader *r, const yaml_char_t *name, const qds_yaml_node *node) {
  if (!name) return QDS_OK;
  if (r->anchor_count == QDS_YAML_MAX_ANCHORS)
    QDS_YAML_FAIL(node, "more than %d anchors", QDS_YAML_MAX_ANCHORS);
  anchor *a = &r->anchors[r->anchor_count];
  QDS_TRY(qds_yaml_keep(r->yaml, (const char *)name, strlen((const char *)name), &a->name));
  a->node = node;
  r->anchor_count++;
  return QDS_OK;
}

/* Fills `copy` with the content of `original`, whose lines it keeps: that is where the text stands. */
static qds_status copy_content(const qds_yaml_node *original, qds_yaml_node *copy) {
  copy->kind = original->kind;
  copy->text = original->text;
  copy->quoted = original->quoted;
  for (size_t i = 0; i < original->count; i++) {
    const qds_yaml_node *item = original->items[i];
    qds_yaml_node *child;
    QDS_TRY(qds_yaml_node_create(copy->document, copy, item->key, item->line, item->setting, &child));
    QDS_TRY(copy_content(item, child));
    QDS_TRY(qds_yaml_append(copy, child));
  }
  return QDS_OK;
}

static qds_status read_alias(reader *r, const yaml_event_t *event, qds_yaml_node *node) {
  const char *name = (const char *)event->data.alias.anchor;
  size_t i = r->anchor_count; /* the latest of that name counts */
  while (i > 0 && strcmp(r->anchors[i - 1].name, name) != 0) i--;
  if (i == 0) QDS_YAML_FAIL(node, "no anchor \"&%s\" before the alias \"*%s\"", name, name);
  if (r->anchors[i - 1].node->open)
    QDS_YAML_FAIL(node, "the alias \"*%s\" stands inside its own anchor", name);
  return copy_content(r->anchors[i - 1].node, node);
}

static qds_status check_tag(const qds_yaml_node *node, const yaml_char_t *tag, int *is_text) {
  *is_text = tag && (strcmp((const char *)tag, "!") == 0 || strcmp((const char *)tag, YAML_STR_TAG) == 0);
  if (tag && !*is_text) QDS_YAML_FAIL(node, "the tag \"%s\" is not supported; remove it", (const char *)tag);
  return QDS_OK;
}

static qds_status read_scalar(reader *r, const yaml_event_t *event, qds_yaml_node *node) {
  const char *text = (const char *)event->data.scalar.value;
  const size_t length = event->data.scalar.length;
  int is_text;
  if (strlen(text) != length) QDS_YAML_FAIL(node, "the text contains a zero byte");
  QDS_TRY(check_tag(node, event->data.scalar.tag, &is_text));
  QDS_TRY(qds_yaml_keep(r->yaml, text, length, &node->text));
  node->quoted = is_text || event->data.scalar.style != YAML_PLAIN_SCALAR_STYLE;
  node->kind = !node->quoted && qds_yaml_is_null_word(node->text) ? QDS_YAML_NULL : QDS_YAML_SCALAR;
  return QDS_OK;
}

static qds_status read_content(reader *r, const yaml_event_t *event, qds_yaml_node *node);

static qds_status read_list(reader *r, qds_yaml_node *list) {
  list->kind = QDS_YAML_LIST;
  for (;;) {
    AUTO_EVENT event = {0};
    qds_yaml_node *item;
    QDS_TRY(next_event(r, &event));
    if (event.type == YAML_SEQUENCE_END_EVENT) return QDS_OK;
    QDS_TRY(create_node(r, &event, list, NULL, &item));
    QDS_TRY(read_content(r, &event, item));
    QDS_TRY(qds_yaml_append(list, item));
  }
}

/* Checks a key and names `item`, the node of its value, after it. */
static qds_status read_key(reader *r, const yaml_event_t *event, const qds_yaml_node *map,
                           qds_yaml_node *item) {
  if (event->type != YAML_SCALAR_EVENT) QDS_YAML_FAIL(item, "a key must be a word, not a list, map or alias");
  const char *key = (const char *)event->data.scalar.value;
  const size_t length = event->data.scalar.length;
  if (length == 0) QDS_YAML_FAIL(item, "the key is missing");
  if (length > QDS_YAML_MAX_KEY_BYTES || strlen(key) != length)
    QDS_YAML_FAIL(item, "the key is longer than %d bytes or contains a zero byte", QDS_YAML_MAX_KEY_BYTES);
  QDS_TRY(qds_yaml_keep(r->yaml, key, length, &item->key));
  if (event->data.scalar.anchor || event->data.scalar.tag)
    QDS_YAML_FAIL(item, "a key takes no anchor or tag");
  if (strcmp(key, "<<") == 0 && event->data.scalar.style == YAML_PLAIN_SCALAR_STYLE)
    QDS_YAML_FAIL(item, "merge keys (<<) are not supported; write the keys out");
  const qds_yaml_node *first = qds_yaml_find(map, key);
  if (first && first->line) QDS_YAML_FAIL(item, "the key \"%s\" stands in line %d already", key, first->line);
  if (first) QDS_YAML_FAIL(item, "the key \"%s\" stands there twice", key);
  if (map->count == QDS_YAML_MAX_KEYS) QDS_YAML_FAIL(item, "more than %d keys in one map", QDS_YAML_MAX_KEYS);
  return QDS_OK;
}

static qds_status read_map(reader *r, qds_yaml_node *map) {
  map->kind = QDS_YAML_MAP;
  for (;;) {
    AUTO_EVENT key = {0};
    AUTO_EVENT value = {0};
    qds_yaml_node *item;
    QDS_TRY(next_event(r, &key));
    if (key.type == YAML_MAPPING_END_EVENT) return QDS_OK;
    QDS_TRY(create_node(r, &key, map, "?", &item));
    QDS_TRY(read_key(r, &key, map, item));
    QDS_TRY(next_event(r, &value));
    QDS_TRY(read_content(r, &value, item));
    QDS_TRY(qds_yaml_append(map, item));
  }
}

/* Recursion is bounded by QDS_YAML_MAX_DEPTH, which qds_yaml_node_create checks. */
static qds_status read_content(reader *r, const yaml_event_t *event, qds_yaml_node *node) {
  int is_text;
  node->open = 1;
  switch (event->type) {
  case YAML_ALIAS_EVENT:
    QDS_TRY(read_alias(r, event, node));
    break;
  case YAML_SCALAR_EVENT:
    QDS_TRY(add_anchor(r, event->data.scalar.anchor, node));
    QDS_TRY(read_scalar(r, event, node));
    break;
  case YAML_SEQUENCE_START_EVENT:
    QDS_TRY(add_anchor(r, event->data.sequence_start.anchor, node));
    QDS_TRY(check_tag(node, event->data.sequence_start.tag, &is_text));
    QDS_TRY(read_list(r, node));
    break;
  case YAML_MAPPING_START_EVENT:
    QDS_TRY(add_anchor(r, event->data.mapping_start.anchor, node));
    QDS_TRY(check_tag(node, event->data.mapping_start.tag, &is_text));
    QDS_TRY(read_map(r, node));
    break;
  default:
    QDS_FAIL(QDS_ERROR_INTERNAL, "libyaml sent event %d where a value starts", (int)event->type);
  }
  node->open = 0;
  return QDS_OK;
}

/* The stream: its start, one document, its end. `*out` stays NULL when there is no document. */
static qds_status read_stream(reader *r, qds_yaml_node *parent, const char *key, qds_yaml_node **out) {
  for (;;) {
    AUTO_EVENT event = {0};
    QDS_TRY(next_event(r, &event));
    switch (event.type) {
    case YAML_STREAM_START_EVENT:
    case YAML_DOCUMENT_END_EVENT:
      break;
    case YAML_STREAM_END_EVENT:
      return QDS_OK;
    case YAML_DOCUMENT_START_EVENT:
      if (*out)
        QDS_FAIL(QDS_ERROR_INPUT, "%s:%d: a second document starts here; only one is allowed", r->yaml->name,
                 line_of(event.start_mark));
      break;
    default:
      QDS_TRY(create_node(r, &event, parent, key, out));
      QDS_TRY(read_content(r, &event, *out));
    }
  }
}

qds_status qds_yaml_parse_node(qds_yaml *yaml, const char *text, size_t bytes, qds_yaml_node *parent,
                               const char *key, const char *setting, qds_yaml_node **out) {
  QDS_AUTO_RELEASE reader *r = NULL;
  *out = NULL;
  QDS_TRY(QDS_NEW(yaml->allocator, 1, "yaml", &r));
  r->yaml = yaml;
  r->text = text;
  r->setting = setting;
  r->anchor_count = 0;
  if (!yaml_parser_initialize(&r->parser))
    QDS_FAIL(QDS_ERROR_MEMORY, "out of memory: no room for a YAML parser");
  yaml_parser_set_input_string(&r->parser, (const unsigned char *)text, bytes);
  qds_yaml_node *node = NULL;
  const qds_status status = read_stream(r, parent, key, &node);
  yaml_parser_delete(&r->parser);
  QDS_TRY(status);
  *out = node;
  return QDS_OK;
}

qds_status qds_yaml_parse(qds_allocator *allocator, const char *name, const char *text, size_t bytes,
                          qds_yaml **out) {
  QDS_AUTO(qds_yaml) *yaml = NULL;
  *out = NULL;
  if (bytes > QDS_YAML_MAX_BYTES)
    QDS_FAIL(QDS_ERROR_INPUT, "%s: %zu bytes, the limit is %d", name, bytes, QDS_YAML_MAX_BYTES);
  QDS_TRY(qds_yaml_create(allocator, name, &yaml));
  QDS_TRY(qds_yaml_parse_node(yaml, text, bytes, NULL, NULL, NULL, &yaml->root));
  if (!yaml->root)
    QDS_FAIL(QDS_ERROR_INPUT, "%s: the file is empty: it holds nothing but white space and comments", name);
  *out = yaml;
  yaml = NULL;
  return QDS_OK;
}

qds_status qds_yaml_read(qds_allocator *allocator, const char *path, qds_yaml **out) {
  QDS_AUTO_RELEASE char *text = NULL;
  size_t bytes;
  *out = NULL;
  QDS_TRY(qds_file_read(allocator, path, QDS_YAML_MAX_BYTES, &text, &bytes));
  return qds_yaml_parse(allocator, path, text, bytes, out);
}

#include "base/yaml_tree.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/text.h"

enum { PIECE_BYTES = 32 << 10, PATH_SIZE = 256, PATH_KEY_BYTES = 48 };

qds_status qds_yaml_create(qds_allocator *allocator, const char *name, qds_yaml **out) {
  QDS_AUTO(qds_yaml) *yaml = NULL;
  *out = NULL;
  QDS_TRY(QDS_NEW_ZERO(allocator, 1, "yaml", &yaml));
  yaml->allocator = allocator;
  QDS_TRY(qds_yaml_keep(yaml, name, strlen(name), &yaml->name));
  *out = yaml;
  yaml = NULL;
  return QDS_OK;
}

void qds_yaml_destroy(qds_yaml *yaml) {
  if (!yaml) return;
  while (yaml->pieces) {
    qds_yaml_piece *piece = yaml->pieces;
    yaml->pieces = piece->next;
    qds_release(piece);
  }
  qds_release(yaml);
}

static qds_status take(qds_yaml *yaml, size_t bytes, void **out) {
  const size_t rounded = (bytes + sizeof(void *) - 1) / sizeof(void *) * sizeof(void *);
  qds_yaml_piece *piece = yaml->pieces;
  if (!piece || piece->room - piece->used < rounded) {
    const size_t room = rounded > PIECE_BYTES ? rounded : PIECE_BYTES;
    char *fresh;
    QDS_TRY(QDS_NEW(yaml->allocator, sizeof *piece + room, "yaml", &fresh));
    piece = (qds_yaml_piece *)fresh;
    *piece = (qds_yaml_piece){yaml->pieces, 0, room};
    yaml->pieces = piece;
  }
  *out = (char *)(piece + 1) + piece->used;
  piece->used += rounded;
  return QDS_OK;
}

qds_status qds_yaml_keep(qds_yaml *yaml, const char *text, size_t length, const char **out) {
  void *copy;
  QDS_TRY(take(yaml, length + 1, &copy));
  memcpy(copy, text, length);
  ((char *)copy)[length] = '\0';
  *out = copy;
  return QDS_OK;
}

qds_status qds_yaml_node_create(qds_yaml *yaml, qds_yaml_node *parent, const char *key, int line,
                                const char *setting, qds_yaml_node **out) {
  void *memory;
  int depth = 0;
  for (const qds_yaml_node *up = parent; up; up = up->parent) depth++;
  if (depth > QDS_YAML_MAX_DEPTH)
    QDS_YAML_FAIL(parent, "nested deeper than the limit of %d levels", QDS_YAML_MAX_DEPTH);
  if (yaml->nodes == QDS_YAML_MAX_NODES)
    QDS_YAML_FAIL(parent, "more than %d values, aliases expanded; arrays belong into .npy files",
                  QDS_YAML_MAX_NODES);
  QDS_TRY(take(yaml, sizeof(qds_yaml_node), &memory));
  *out = memory;
  **out = (qds_yaml_node){.document = yaml, .parent = parent, .key = key, .line = line, .setting = setting};
  if (parent) (*out)->index = parent->count;
  yaml->nodes++;
  return QDS_OK;
}

qds_status qds_yaml_append(qds_yaml_node *parent, qds_yaml_node *child) {
  const size_t count = parent->count;
  if ((count & (count - 1)) == 0) {
    void *items;
    QDS_TRY(take(parent->document, (count ? 2 * count : 1) * sizeof(qds_yaml_node *), &items));
    if (count) memcpy(items, parent->items, count * sizeof(qds_yaml_node *));
    parent->items = items;
  }
  parent->items[parent->count++] = child;
  return QDS_OK;
}

int qds_yaml_is_null_word(const char *text) {
  return !*text || strcmp(text, "~") == 0 || qds_same_word(text, "null");
}

const qds_yaml_node *qds_yaml_root(const qds_yaml *yaml) {
  return yaml->root;
}

qds_yaml_kind qds_yaml_node_kind(const qds_yaml_node *node) {
  return node->kind;
}

const char *qds_yaml_text(const qds_yaml_node *node) {
  return node->kind == QDS_YAML_SCALAR ? node->text : NULL;
}

size_t qds_yaml_count(const qds_yaml_node *node) {
  return node->count;
}

const qds_yaml_node *qds_yaml_item(const qds_yaml_node *node, size_t index) {
  return index < node->count ? node->items[index] : NULL;
}

const char *qds_yaml_key(const qds_yaml_node *node, size_t index) {
  return index < node->count ? node->items[index]->key : NULL;
}

const qds_yaml_node *qds_yaml_find(const qds_yaml_node *node, const char *key) {
  if (node->kind != QDS_YAML_MAP) return NULL;
  for (size_t i = 0; i < node->count; i++)
    if (strcmp(node->items[i]->key, key) == 0) return node->items[i];
  return NULL;
}

int qds_yaml_line(const qds_yaml_node *node) {
  return node->line;
}

/* Writes the path "regions[2].radius_nm" at the end of the buffer, from the leaf up, and returns its start. A
 * path that is too long loses its beginning. */
static const char *path_of(const qds_yaml_node *node, char path[PATH_SIZE]) {
  char *start = path + PATH_SIZE - 1;
  *start = '\0';
  for (; node->parent; node = node->parent) {
    char part[PATH_KEY_BYTES + 8];
    int length;
    if (node->key)
      length =
          snprintf(part, sizeof part, "%s%.*s", node->parent->parent ? "." : "", PATH_KEY_BYTES, node->key);
    else
      length = snprintf(part, sizeof part, "[%zu]", node->index);
    if (length + 3 > start - path) return memcpy(start - 3, "...", 3);
    start -= length;
    memcpy(start, part, (size_t)length);
  }
  return start;
}

/* Texts and keys quoted from a file must not drive the terminal: control characters, C1 ones (U+0080 to
 * U+009F) included, become question marks. */
static void disarm(char *text) {
  for (; *text; text++) {
    const unsigned char c = (unsigned char)*text;
    if (c < ' ' || c == 0x7f) *text = '?';
    if (c == 0xc2 && (unsigned char)text[1] >= 0x80 && (unsigned char)text[1] < 0xa0) text[0] = text[1] = '?';
  }
}

qds_status qds_yaml_raise(const qds_yaml_node *node, const char *file, int line, const char *format, ...) {
  char message[1024], path_buffer[PATH_SIZE], place[2 * PATH_SIZE];
  const char *path = path_of(node, path_buffer);
  va_list arguments;
  va_start(arguments, format);
  vsnprintf(message, sizeof message, format, arguments);
  va_end(arguments);
  if (!node->setting)
    snprintf(place, sizeof place, "%s:%d%s%s", node->document->name, node->line, *path ? ": " : "", path);
  else if (strcmp(node->setting, path) == 0)
    snprintf(place, sizeof place, "--set %s", path);
  else
    snprintf(place, sizeof place, "--set %s: %s", node->setting, path);
  disarm(place);
  disarm(message);
  return qds_raise(QDS_ERROR_INPUT, file, line, 0, "%s: %s", place, message);
}

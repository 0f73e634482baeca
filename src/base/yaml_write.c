/* Writing a tree as the YAML that a user would write: small maps and lists in one line, the others
 * in blocks. */
#include <stdio.h>
#include <string.h>

#include "base/text.h"
#include "base/yaml_tree.h"

enum { LINE_WIDTH = 100 };

/* Characters that a plain scalar may consist of and start with, in flow as in block context. */
static int is_safe(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
         (c && strchr("_./+-()^*", c));
}

static int is_safe_start(const char *text) {
  const char c = text[0] == '-' || text[0] == '+' || text[0] == '.' ? text[1] : text[0];
  return is_safe(c) && !strchr("*-./+^", c);
}

/* Whether a text may stand without quotes; spaces inside it may, those at its ends may not. */
static int is_plain(const char *text) {
  if (!is_safe_start(text)) return 0;
  for (const char *c = text; *c; c++)
    if (!is_safe(*c) && !(*c == ' ' && c[1] && c[1] != ' ')) return 0;
  return 1;
}

/* Text that would turn into a number, a truth value or nothing if its quotes were dropped. */
static int means_more(const char *text) {
  static const char *const words[] = {"true", "false", "yes", "no", "on", "off"};
  double number;
  for (size_t i = 0; i < sizeof words / sizeof *words; i++)
    if (qds_same_word(text, words[i])) return 1;
  return qds_yaml_is_null_word(text) || qds_parse_double(text, &number);
}

/* What YAML 1.1 lets stand in a line (section 5.1), less the line breaks beyond ASCII. */
static int is_printable(uint32_t code) {
  return (code >= 0x20 && code <= 0x7e) ||
         (code >= 0xa0 && code <= 0xd7ff && code != 0x2028 && code != 0x2029) ||
         (code >= 0xe000 && code <= 0xfffd && code != 0xfeff) || code >= 0x10000;
}

static void write_quoted(const char *text, qds_text *out) {
  qds_text_add(out, "\"");
  while (*text) {
    const char *start = text;
    const uint32_t code = qds_utf8_next(&text);
    char escape[16];
    if (code == '"' || code == '\\')
      snprintf(escape, sizeof escape, "\\%c", (char)code);
    else if (code == '\n')
      snprintf(escape, sizeof escape, "\\n");
    else if (is_printable(code))
      snprintf(escape, sizeof escape, "%.*s", (int)(text - start), start);
    else
      snprintf(escape, sizeof escape, code < 0x100 ? "\\x%02X" : "\\u%04X", code);
    qds_text_add(out, escape);
  }
  qds_text_add(out, "\"");
}

static void write_scalar(const char *text, int quoted, qds_text *out) {
  if (quoted ? is_plain(text) && !means_more(text) : is_plain(text) || means_more(text))
    qds_text_add(out, text);
  else
    write_quoted(text, out);
}

/* `limit`: a length of `out` past which writing stops early, because the line is too long already. */
static void write_flow(const qds_yaml_node *node, size_t limit, qds_text *out) {
  const int is_map = node->kind == QDS_YAML_MAP;
  if (node->kind == QDS_YAML_NULL) {
    qds_text_add(out, "null");
    return;
  }
  if (node->kind == QDS_YAML_SCALAR) {
    write_scalar(node->text, node->quoted, out);
    return;
  }
  qds_text_add(out, is_map ? "{" : "[");
  for (size_t i = 0; i < node->count && out->length <= limit && !out->status; i++) {
    if (i) qds_text_add(out, ", ");
    if (is_map) {
      write_scalar(node->items[i]->key, 1, out);
      qds_text_add(out, ": ");
    }
    write_flow(node->items[i], limit, out);
  }
  qds_text_add(out, is_map ? "}" : "]");
}

/* Maps of maps and lists of maps at the top, such as materials and regions, read better one below
 * the other. */
static int wants_block(const qds_yaml_node *node) {
  int maps = 0;
  for (size_t i = 0; i < node->count; i++) maps |= node->items[i]->kind == QDS_YAML_MAP;
  return maps && !node->parent->parent;
}

/* Writes a list or map in one line if it fits between `column` and the line's width, else leaves `out` as it
 * was. */
static int fits_flow(const qds_yaml_node *node, size_t column, qds_text *out) {
  const size_t start = out->length, width = column < LINE_WIDTH ? LINE_WIDTH - column : 0;
  write_flow(node, start + width, out);
  if (out->status || out->length <= start + width) return 1;
  out->length = start;
  return 0;
}

static void write_spaces(size_t count, qds_text *out) {
  while (count-- > 0) qds_text_add(out, " ");
}

static void write_block(const qds_yaml_node *node, size_t indent, qds_text *out) {
  for (size_t i = 0; i < node->count && !out->status; i++) {
    const qds_yaml_node *item = node->items[i];
    const int in_list = node->kind == QDS_YAML_LIST;
    const size_t column = indent + (in_list ? 2 : strlen(item->key) + 2);
    if (i) write_spaces(indent, out); /* the first stands where the caller has written up to */
    if (!in_list) write_scalar(item->key, 1, out);
    qds_text_add(out, in_list ? "-" : ":");
    const size_t before = out->length;
    qds_text_add(out, " ");
    if (item->count == 0) {
      write_flow(item, SIZE_MAX, out);
    } else if (wants_block(item) || !fits_flow(item, column, out)) {
      if (!in_list) {
        out->length = before;
        qds_text_add(out, "\n");
        write_spaces(indent + 2, out);
      }
      write_block(item, indent + 2, out);
      continue;
    }
    qds_text_add(out, "\n");
  }
}

qds_status qds_yaml_write(const qds_yaml *yaml, char **out) {
  qds_text text = {.allocator = yaml->allocator};
  *out = NULL;
  if (yaml->root->count) {
    write_block(yaml->root, 0, &text);
  } else {
    write_flow(yaml->root, SIZE_MAX, &text);
    qds_text_add(&text, "\n");
  }
  if (text.status) qds_release(text.bytes);
  QDS_TRY(text.status);
  *out = text.bytes;
  return QDS_OK;
}

/* Writing a tree as the YAML that a user would write: small maps and lists in one line, the others in blocks.
 */
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

/* The code point at *text, which then stands after it. libyaml hands out valid UTF-8 only. */
static unsigned next_code(const unsigned char **text) {
  const unsigned char first = *(*text)++;
  const int more = first < 0x80 ? 0 : first < 0xe0 ? 1 : first < 0xf0 ? 2 : 3;
  unsigned code = more ? first & (0x3fu >> more) : first;
  for (int i = 0; i < more; i++) code = code << 6 | (*(*text)++ & 0x3fu);
  return code;
}

/* What YAML 1.1 lets stand in a line (section 5.1), less the line breaks beyond ASCII. */
static int is_printable(unsigned code) {
  return (code >= 0x20 && code <= 0x7e) ||
         (code >= 0xa0 && code <= 0xd7ff && code != 0x2028 && code != 0x2029) ||
         (code >= 0xe000 && code <= 0xfffd && code != 0xfeff) || code >= 0x10000;
}

static void write_quoted(const char *string, qds_text *out) {
  const unsigned char *text = (const unsigned char *)string;
  qds_text_add(out, "\"");
  while (*text) {
    const unsigned char *start = text;
    const unsigned code = next_code(&text);
    char escape[16];
    if (code == '"' || code == '\\')
      snprintf(escape, sizeof escape, "\\%c", (char)code);
    else if (code == '\n')
      snprintf(escape, sizeof escape, "\\n");
    else if (is_printable(code))
      snprintf(escape, sizeof escape, "%.*s", (int)(text - start), (const char *)start);
    else
      snprintf(escape, sizeof escape, code < 0x100 ? "\\x%02X" : "\\u%04X", code);
    qds_text_add(out, escape);
  }
  qds_text_add(out, "\"");
}

static void write_scalar(const char *text, int quoted, qds_text *out) {
  if (is_plain(text) && !(quoted && means_more(text)))
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

static void write_block(const qds_yaml_node *node, size_t indent, qds_text *out);

/* A value after "key:" or "-": in the same line when it is single or fits, else as a block below. */
static void write_value(const qds_yaml_node *node, size_t indent, qds_text *out) {
  const int single = node->kind == QDS_YAML_NULL || node->kind == QDS_YAML_SCALAR || node->count == 0;
  const size_t start = out->length;
  const size_t column = indent + (node->key ? strlen(node->key) + 2 : 2);
  const size_t limit = start + (column < LINE_WIDTH ? LINE_WIDTH - column : 0);
  if (out->status) return;
  qds_text_add(out, " ");
  write_flow(node, single ? SIZE_MAX : limit, out);
  qds_text_add(out, "\n");
  if (single || out->length <= limit || out->status) return;
  out->length = start;
  qds_text_add(out, "\n");
  write_block(node, indent + 2, out);
}

static void write_block(const qds_yaml_node *node, size_t indent, qds_text *out) {
  for (size_t i = 0; i < node->count && !out->status; i++) {
    for (size_t space = 0; space < indent; space++) qds_text_add(out, " ");
    if (node->kind == QDS_YAML_MAP) {
      write_scalar(node->items[i]->key, 1, out);
      qds_text_add(out, ":");
    } else {
      qds_text_add(out, "-");
    }
    write_value(node->items[i], indent, out);
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

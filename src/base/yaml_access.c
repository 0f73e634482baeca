/* Typed access: each function says what stands there and what is allowed. */
#include <stdio.h>
#include <string.h>

#include "base/text.h"
#include "base/yaml_tree.h"

enum { FOUND_SIZE = 96, LIST_SIZE = 640, QUOTE_BYTES = 48 };

/* What stands at a node, for messages: `"12 nm"`, `a list of 3`, `nothing`. */
static const char *found(const qds_yaml_node *node, char out[FOUND_SIZE]) {
  switch (node->kind) {
  case QDS_YAML_NULL:
    snprintf(out, FOUND_SIZE, "nothing");
    break;
  case QDS_YAML_LIST:
    snprintf(out, FOUND_SIZE, "a list of %zu", node->count);
    break;
  case QDS_YAML_MAP:
    snprintf(out, FOUND_SIZE, "a map");
    break;
  case QDS_YAML_SCALAR: {
    const int clipped = strlen(node->text) > QUOTE_BYTES;
    snprintf(out, FOUND_SIZE, "%s\"%.*s%s\"", node->quoted ? "the quoted text " : "", QUOTE_BYTES, node->text,
             clipped ? "..." : "");
  }
  }
  return out;
}

static const char *join(const char *const *words, char out[LIST_SIZE]) {
  size_t used = 0;
  out[0] = '\0';
  for (size_t i = 0; words[i]; i++) {
    const int length = snprintf(out + used, LIST_SIZE - used, "%s%s", i ? ", " : "", words[i]);
    if (length < 0 || (size_t)length >= LIST_SIZE - used) {
      memcpy(out + LIST_SIZE - 5, " ...", 5);
      break;
    }
    used += (size_t)length;
  }
  return out;
}

/* `; did you mean "GaAs"?`, or nothing. */
static const char *suggestion(const char *word, const char *const *words, char out[FOUND_SIZE]) {
  const char *nearest = qds_nearest(word, words);
  out[0] = '\0';
  if (nearest) snprintf(out, FOUND_SIZE, "; did you mean \"%s\"?", nearest);
  return out;
}

/* A scalar that is not quoted: numbers and truth values in quotes are text, in JSON as in YAML. */
static int is_plain(const qds_yaml_node *node) {
  return node->kind == QDS_YAML_SCALAR && !node->quoted;
}

/* What a slip in a number's place most likely wants. */
static const char *number_hint(const qds_yaml_node *node) {
  double value;
  if (node->kind != QDS_YAML_SCALAR) return "";
  if (node->quoted) return qds_parse_double(node->text, &value) ? "; write it without quotes" : "";
  const size_t digits = strspn(node->text, "+-.0123456789");
  const char *rest = node->text + digits;
  if (digits == 0 || *rest == '\0') return "";
  if (*rest == ',') return "; decimals are written with a point";
  const int exponent = (*rest == 'e' || *rest == 'E') && rest[1] && strchr("+-0123456789", rest[1]);
  return exponent ? "" : "; write the number alone: the key tells its unit";
}

qds_status qds_yaml_double(const qds_yaml_node *node, double *out) {
  char text[FOUND_SIZE];
  *out = 0.0;
  if (!is_plain(node) || !qds_parse_double(node->text, out))
    QDS_YAML_FAIL(node, "expected a finite number, found %s%s", found(node, text), number_hint(node));
  return QDS_OK;
}

qds_status qds_yaml_positive(const qds_yaml_node *node, double *out) {
  double value;
  *out = 0.0;
  QDS_TRY(qds_yaml_double(node, &value));
  if (value <= 0.0) QDS_YAML_FAIL(node, "expected a number greater than 0, found %s", node->text);
  *out = value;
  return QDS_OK;
}

qds_status qds_yaml_int64(const qds_yaml_node *node, int64_t low, int64_t high, int64_t *out) {
  char text[FOUND_SIZE], range[FOUND_SIZE] = "";
  int64_t value;
  *out = 0;
  if (is_plain(node) && qds_parse_int64(node->text, &value) && value >= low && value <= high) {
    *out = value;
    return QDS_OK;
  }
  if (low > INT64_MIN && high < INT64_MAX)
    snprintf(range, sizeof range, " from %lld to %lld", (long long)low, (long long)high);
  else if (low > INT64_MIN)
    snprintf(range, sizeof range, ", at least %lld", (long long)low);
  else if (high < INT64_MAX)
    snprintf(range, sizeof range, ", at most %lld", (long long)high);
  QDS_YAML_FAIL(node, "expected a whole number%s, found %s", range, found(node, text));
}

qds_status qds_yaml_bool(const qds_yaml_node *node, int *out) {
  static const char *const words[] = {"false", "no", "off", "true", "yes", "on"};
  char text[FOUND_SIZE];
  *out = 0;
  for (int i = 0; is_plain(node) && i < 6; i++) {
    if (!qds_same_word(node->text, words[i])) continue;
    *out = i >= 3;
    return QDS_OK;
  }
  QDS_YAML_FAIL(node, "expected true or false, found %s", found(node, text));
}

qds_status qds_yaml_string(const qds_yaml_node *node, const char **out) {
  char text[FOUND_SIZE];
  *out = qds_yaml_text(node);
  if (!*out) QDS_YAML_FAIL(node, "expected text, found %s", found(node, text));
  return QDS_OK;
}

qds_status qds_yaml_doubles(const qds_yaml_node *node, size_t count, double *out) {
  char text[FOUND_SIZE];
  for (size_t i = 0; i < count; i++) out[i] = 0.0;
  if (node->kind != QDS_YAML_LIST || node->count != count)
    QDS_YAML_FAIL(node, "expected a list of %zu number%s, found %s", count, count == 1 ? "" : "s",
                  found(node, text));
  for (size_t i = 0; i < count; i++) QDS_TRY(qds_yaml_double(node->items[i], &out[i]));
  return QDS_OK;
}

qds_status qds_yaml_choice(const qds_yaml_node *node, const char *const *words, int *out) {
  char text[FOUND_SIZE], near[FOUND_SIZE], list[LIST_SIZE];
  *out = 0;
  if (node->kind != QDS_YAML_SCALAR)
    QDS_YAML_FAIL(node, "expected one of the words %s; found %s", join(words, list), found(node, text));
  for (int i = 0; words[i]; i++) {
    if (strcmp(node->text, words[i]) != 0) continue;
    *out = i;
    return QDS_OK;
  }
  QDS_YAML_FAIL(node, "unknown word %s%s (allowed: %s)", found(node, text),
                suggestion(node->text, words, near), join(words, list));
}

/* What an unknown key most likely is when it is no misspelt one. */
static const char *key_hint(const char *key) {
  if (*key && key[strspn(key, "0123456789")] == '\0') return "; decimals are written with a point";
  if (strchr(key, ':')) return "; a space belongs after the colon";
  return "";
}

qds_status qds_yaml_check_keys(const qds_yaml_node *node, const char *const *allowed) {
  char text[FOUND_SIZE], near[FOUND_SIZE], list[LIST_SIZE];
  if (node->kind != QDS_YAML_MAP)
    QDS_YAML_FAIL(node, "expected a map with some of the keys %s; found %s", join(allowed, list),
                  found(node, text));
  for (size_t i = 0; i < node->count; i++) {
    const char *key = node->items[i]->key;
    size_t k = 0;
    while (allowed[k] && strcmp(allowed[k], key) != 0) k++;
    if (!allowed[k])
      QDS_YAML_FAIL(node->items[i], "unknown key \"%s\"%s%s (allowed: %s)", key, key_hint(key),
                    suggestion(key, allowed, near), join(allowed, list));
  }
  return QDS_OK;
}

qds_status qds_yaml_require(const qds_yaml_node *node, const char *key, const qds_yaml_node **out) {
  char text[FOUND_SIZE];
  *out = NULL;
  if (node->kind != QDS_YAML_MAP)
    QDS_YAML_FAIL(node, "expected a map with the key \"%s\", found %s", key, found(node, text));
  const qds_yaml_node *value = qds_yaml_find(node, key);
  if (!value) QDS_YAML_FAIL(node, "the key \"%s\" is missing", key);
  *out = value;
  return QDS_OK;
}

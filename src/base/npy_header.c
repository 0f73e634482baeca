#include "base/npy_header.h"

#include <ctype.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#define NATIVE_ORDER (__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__ ? '<' : '>')

typedef struct {
  const char *path, *at;
} cursor;

enum { DESCR = 1, FORTRAN_ORDER = 2, SHAPE = 4, ALL_KEYS = 7, MAX_WORD = 32 };

static qds_status malformed(const cursor *c, const char *expected) {
  QDS_FAIL(QDS_ERROR_INPUT, "\"%s\": malformed .npy header: %s expected before \"%.30s\"", c->path, expected,
           c->at);
}

static void skip_space(cursor *c) {
  while (isspace((unsigned char)*c->at)) c->at++;
}

/* Steps over `sign` if it comes next. */
static int take(cursor *c, char sign) {
  skip_space(c);
  if (*c->at != sign) return 0;
  c->at++;
  return 1;
}

static qds_status parse_word(cursor *c, char word[MAX_WORD]) {
  skip_space(c);
  const char quote = *c->at;
  const char *end = quote == '\'' || quote == '"' ? strchr(c->at + 1, quote) : NULL;
  if (!end || end - c->at > MAX_WORD) return malformed(c, "a short text in quotes");
  const size_t length = (size_t)(end - c->at - 1);
  memcpy(word, c->at + 1, length);
  word[length] = 0;
  c->at = end + 1;
  return QDS_OK;
}

static const char *allowed_sizes(char kind) {
  switch (kind) {
  case 'f':
    return "248";
  case 'i':
  case 'u':
    return "1248";
  case 'b':
    return "1";
  default:
    return "";
  }
}

/* '<f8': byte order, kind, bytes. */
static qds_status parse_descr(cursor *c, qds_npy_header *out) {
  char word[MAX_WORD] = "";
  skip_space(c);
  if (*c->at == '[')
    QDS_FAIL(QDS_ERROR_INPUT, "\"%s\": records are no numbers; save one field of them", c->path);
  QDS_TRY(parse_word(c, word));
  if (word[0] && word[1] == 'c')
    QDS_FAIL(QDS_ERROR_INPUT, "\"%s\": complex numbers (%s); real numbers are needed", c->path, word);
  if (strlen(word) != 3 || !strchr("<>|=", word[0]) || !strchr(allowed_sizes(word[1]), word[2]))
    QDS_FAIL(QDS_ERROR_INPUT,
             "\"%s\": elements of type \"%s\"; allowed are f2 f4 f8 i1 i2 i4 i8 u1 u2 u4 u8 b1", c->path,
             word);
  out->kind = word[1];
  out->size = word[2] - '0';
  out->swapped = (word[0] == '<' || word[0] == '>') && word[0] != NATIVE_ORDER;
  return QDS_OK;
}

static qds_status parse_truth(cursor *c, int *out) {
  skip_space(c);
  *out = strncmp(c->at, "True", 4) == 0;
  const size_t length = *out ? 4 : 5;
  if (!*out && strncmp(c->at, "False", 5) != 0) return malformed(c, "True or False");
  c->at += length;
  return QDS_OK;
}

/* (3, 4), (3,) or (). */
static qds_status parse_shape(cursor *c, qds_npy_header *out) {
  if (!take(c, '(')) return malformed(c, "a tuple");
  while (!take(c, ')')) {
    if (!isdigit((unsigned char)*c->at)) return malformed(c, "a size");
    if (out->dimensions == QDS_NPY_MAX_DIMENSIONS)
      QDS_FAIL(QDS_ERROR_INPUT, "\"%s\": more than %d dimensions", c->path, QDS_NPY_MAX_DIMENSIONS);
    char *end;
    const long long size = strtoll(c->at, &end, 10);
    const int digits = end - c->at < MAX_WORD ? (int)(end - c->at) : MAX_WORD;
    if (size == LLONG_MAX)
      QDS_FAIL(QDS_ERROR_INPUT, "\"%s\": the size %.*s is too large", c->path, digits, c->at);
    out->shape[out->dimensions++] = size;
    c->at = end;
    if (!take(c, ',') && *c->at != ')') return malformed(c, "a comma or )");
  }
  return QDS_OK;
}

/* Sizes come from a file, so their product is counted with care; a sixteenth of the range leaves room for any
 * type. */
static qds_status count_elements(const cursor *c, qds_npy_header *out) {
  int zero = 0;
  out->count = 1;
  for (int i = 0; i < out->dimensions; i++) zero |= out->shape[i] == 0;
  for (int i = 0; i < out->dimensions && !zero; i++)
    if (__builtin_mul_overflow(out->count, out->shape[i], &out->count) || out->count > INT64_MAX / 16)
      QDS_FAIL(QDS_ERROR_INPUT, "\"%s\": the shape is too large for any memory", c->path);
  if (zero) out->count = 0;
  return QDS_OK;
}

static qds_status parse_entry(cursor *c, qds_npy_header *out, int *seen) {
  char key[MAX_WORD];
  QDS_TRY(parse_word(c, key));
  if (!take(c, ':')) return malformed(c, "a colon");
  const int which = strcmp(key, "descr") == 0           ? DESCR
                    : strcmp(key, "fortran_order") == 0 ? FORTRAN_ORDER
                    : strcmp(key, "shape") == 0         ? SHAPE
                                                        : 0;
  if (!which || *seen & which)
    QDS_FAIL(QDS_ERROR_INPUT, "\"%s\": malformed .npy header: %s key \"%s\"", c->path,
             which ? "second" : "unknown", key);
  *seen |= which;
  if (which == DESCR) return parse_descr(c, out);
  return which == SHAPE ? parse_shape(c, out) : parse_truth(c, &out->fortran_order);
}

qds_status qds_npy_header_parse(const char *path, const char *text, qds_npy_header *out) {
  cursor c = {path, text};
  int seen = 0;
  memset(out, 0, sizeof *out);
  if (!take(&c, '{')) return malformed(&c, "{");
  while (!take(&c, '}')) {
    QDS_TRY(parse_entry(&c, out, &seen));
    if (!take(&c, ',') && *c.at != '}') return malformed(&c, "a comma or }");
  }
  skip_space(&c);
  if (*c.at) return malformed(&c, "the end");
  if (seen != ALL_KEYS) return malformed(&c, "the keys descr, fortran_order and shape");
  return count_elements(&c, out);
}

#include "base/text.h"

#include <errno.h>
#include <locale.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Costs of an edit in tenths. */
enum { COST_EDIT = 10, COST_CASE = 1, COST_UNIT = 5 };
/* Longer words are no slips of anything that the library knows. */
enum { MAX_WORD = 64 };

static char lower(char c) {
  return c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
}

static int minimum(int a, int b) {
  return a < b ? a : b;
}

int qds_same_word(const char *a, const char *b) {
  while (*a && lower(*a) == lower(*b)) a++, b++;
  return *a == *b;
}

/* Optimal string alignment distance: Damerau-Levenshtein without edits inside a swapped pair. */
static int distance(const char *a, size_t a_length, const char *b, size_t b_length) {
  int rows[3][MAX_WORD + 1];
  int *before = rows[0], *previous = rows[1], *current = rows[2];
  for (size_t j = 0; j <= b_length; j++) previous[j] = COST_EDIT * (int)j;
  for (size_t i = 1; i <= a_length; i++) {
    current[0] = COST_EDIT * (int)i;
    for (size_t j = 1; j <= b_length; j++) {
      const char x = a[i - 1], y = b[j - 1];
      const int change = x == y ? 0 : lower(x) == lower(y) ? COST_CASE : COST_EDIT;
      current[j] = minimum(previous[j - 1] + change, minimum(previous[j], current[j - 1]) + COST_EDIT);
      if (i > 1 && j > 1 && lower(x) == lower(b[j - 2]) && lower(a[i - 2]) == lower(y))
        current[j] = minimum(current[j], before[j - 2] + COST_EDIT);
    }
    int *const spare = before;
    before = previous;
    previous = current;
    current = spare;
  }
  return previous[b_length];
}

const char *qds_nearest(const char *word, const char *const *candidates) {
  const size_t length = strlen(word);
  if (length > MAX_WORD) return NULL;
  const char *nearest = NULL;
  int best = COST_EDIT * (int)length; /* a word without one common letter is not near */
  for (; *candidates; candidates++) {
    const size_t other = strlen(*candidates);
    if (other > MAX_WORD) continue;
    int cost = distance(word, length, *candidates, other);
    const char *unit = strrchr(*candidates, '_');
    if (unit)
      cost = minimum(cost, COST_UNIT + distance(word, length, *candidates, (size_t)(unit - *candidates)));
    /* The nine tenths leave room for differences of case and unit beside the whole edits. */
    const int edits = (int)(length > other ? length : other) / 3;
    const int cutoff = COST_EDIT * (edits < 1 ? 1 : minimum(edits, 3)) + COST_EDIT - 1;
    if (cost <= cutoff && cost < best) {
      best = cost;
      nearest = *candidates;
    }
  }
  return nearest;
}

qds_status qds_format(qds_allocator *allocator, char **out, const char *format, ...) {
  va_list arguments;
  *out = NULL;
  va_start(arguments, format);
  const int length = vsnprintf(NULL, 0, format, arguments);
  va_end(arguments);
  if (length < 0) QDS_FAIL(QDS_ERROR_INTERNAL, "printf refused the format \"%s\"", format);
  QDS_TRY(QDS_NEW(allocator, (size_t)length + 1, "text", out));
  va_start(arguments, format);
  vsnprintf(*out, (size_t)length + 1, format, arguments);
  va_end(arguments);
  return QDS_OK;
}

static const char *skip_digits(const char *p) {
  while (*p >= '0' && *p <= '9') p++;
  return p;
}

/* The end of the decimal number at the start of `text`, NULL when there is none. strtod alone would also take
 * white space, hexadecimal numbers and "nan". */
static const char *decimal_end(const char *text) {
  const char *whole = text + (*text == '+' || *text == '-');
  const char *end = skip_digits(whole);
  size_t digits = (size_t)(end - whole);
  if (*end == '.') {
    const char *fraction = end + 1;
    end = skip_digits(fraction);
    digits += (size_t)(end - fraction);
  }
  if (digits == 0) return NULL;
  if (*end == 'e' || *end == 'E') {
    const char *exponent = end + 1 + (end[1] == '+' || end[1] == '-');
    if (skip_digits(exponent) > exponent) end = skip_digits(exponent);
  }
  return end;
}

/* glibc and musl hand out the C locale without allocating. */
static locale_t c_locale(void) {
  return newlocale(LC_ALL_MASK, "C", (locale_t)0);
}

static double read_double(const char *text) {
  const locale_t c = c_locale();
  const double value = strtod_l(text, NULL, c);
  freelocale(c);
  return value;
}

int qds_parse_double(const char *text, double *out) {
  const char *end = decimal_end(text);
  *out = 0.0;
  if (!end || *end) return 0;
  const double value = read_double(text);
  if (!isfinite(value)) return 0;
  *out = value;
  return 1;
}

int qds_parse_int64(const char *text, int64_t *out) {
  const char *digits = text + (*text == '+' || *text == '-');
  const char *end = skip_digits(digits);
  *out = 0;
  if (end == digits || *end) return 0;
  errno = 0;
  const long long value = strtoll(text, NULL, 10);
  if (errno == ERANGE || value > INT64_MAX || value < INT64_MIN) return 0;
  *out = value;
  return 1;
}

int qds_parse_bytes(const char *text, size_t *out) {
  static const struct {
    const char *suffix;
    double scale;
  } units[] = {
      {"", 1},       {"B", 1},        {"K", 0x1p10},   {"KiB", 0x1p10}, {"kB", 1e3},
      {"M", 0x1p20}, {"MiB", 0x1p20}, {"MB", 1e6},     {"G", 0x1p30},   {"GiB", 0x1p30},
      {"GB", 1e9},   {"T", 0x1p40},   {"TiB", 0x1p40}, {"TB", 1e12},
  };
  const char *suffix = decimal_end(text);
  *out = 0;
  if (!suffix || *text == '-') return 0;
  const double number = read_double(text);
  while (*suffix == ' ') suffix++;
  for (size_t i = 0; i < sizeof units / sizeof *units; i++) {
    if (!qds_same_word(suffix, units[i].suffix)) continue;
    const double bytes = number * units[i].scale;
    /* 0 is a word of its own ("no limit") and must not arise by rounding. */
    if (bytes >= (double)SIZE_MAX || (bytes > 0 && bytes < 1)) return 0;
    *out = (size_t)bytes;
    return 1;
  }
  return 0;
}

void qds_format_bytes(size_t bytes, char out[QDS_BYTES_TEXT]) {
  static const char *const units[] = {"bytes", "KiB", "MiB", "GiB", "TiB"};
  double value = (double)bytes;
  int unit = 0;
  while (value >= 1024 && unit < 4) {
    value /= 1024;
    unit++;
  }
  /* In whole tenths: %.1f would write the locale's decimal sign. */
  const long tenths = lround(10 * value);
  if (tenths < 100 && tenths % 10)
    snprintf(out, QDS_BYTES_TEXT, "%ld.%ld %s", tenths / 10, tenths % 10, units[unit]);
  else
    snprintf(out, QDS_BYTES_TEXT, "%.0f %s", value, units[unit]);
}

void qds_double_text(double value, char out[QDS_DOUBLE_TEXT]) {
  const locale_t c = c_locale();
  const locale_t before = uselocale(c);
  for (int digits = 15; digits <= 17; digits++) {
    snprintf(out, QDS_DOUBLE_TEXT, "%.*g", digits, value);
    if (strtod(out, NULL) == value) break;
  }
  uselocale(before);
  freelocale(c);
}

uint32_t qds_utf8_next(const char **text) {
  const unsigned char *bytes = (const unsigned char *)*text;
  static const uint32_t smallest[] = {0, 0x80, 0x800, 0x10000}; /* that needs so many further bytes */
  const int more = bytes[0] < 0x80 ? 0 : bytes[0] < 0xe0 ? 1 : bytes[0] < 0xf0 ? 2 : 3;
  uint32_t code = more ? bytes[0] & (0x3fu >> more) : bytes[0];
  int valid = more == 0 || (bytes[0] >= 0xc0 && bytes[0] < 0xf8);
  for (int i = 1; valid && i <= more; i++) {
    valid = (bytes[i] & 0xc0) == 0x80;
    code = code << 6 | (bytes[i] & 0x3fu);
  }
  valid = valid && code >= smallest[more] && code <= 0x10ffff && (code < 0xd800 || code > 0xdfff);
  *text += valid ? 1 + more : 1;
  return valid ? code : 0xfffd;
}

void qds_text_append(qds_text *text, const char *bytes, size_t count) {
  if (text->status) return;
  if (text->room - text->length <= count) {
    const size_t need = text->length + count + 1;
    const size_t room = need > 2 * text->room ? need : 2 * text->room;
    text->status = QDS_RESIZE(text->allocator, room, "text", &text->bytes);
    if (text->status) return;
    text->room = room;
  }
  memcpy(text->bytes + text->length, bytes, count);
  text->length += count;
  text->bytes[text->length] = '\0';
}

void qds_text_add(qds_text *text, const char *string) {
  qds_text_append(text, string, strlen(string));
}

void qds_text_print(qds_text *text, const char *format, ...) {
  char *line = NULL;
  va_list arguments;
  va_start(arguments, format);
  const int length = vsnprintf(NULL, 0, format, arguments);
  va_end(arguments);
  if (text->status == QDS_OK) text->status = QDS_NEW(text->allocator, length + 1, "text", &line);
  if (!line) return;
  va_start(arguments, format);
  vsnprintf(line, (size_t)length + 1, format, arguments);
  va_end(arguments);
  qds_text_append(text, line, (size_t)length);
  qds_release(line);
}

void qds_text_destroy(char *text) {
  qds_release(text);
}

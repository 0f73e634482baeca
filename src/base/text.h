/* Words, numbers and strings, those of qdsim/text.h and more. None of it depends on the locale of the
 * process. */
#ifndef QDS_BASE_TEXT_H
#define QDS_BASE_TEXT_H

#include "base/allocator.h"
#include "qdsim/text.h"

/* Equal but for the case of ASCII letters. */
int qds_same_word(const char *a, const char *b);

/* printf into a fresh string of the allocator, tag "text". */
qds_status qds_format(qds_allocator *allocator, char **out, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* The whole of `text` as a finite decimal number or integer, with a point whatever the locale says; no white
 * space, no hexadecimal, no "inf"; returns 0 if it is none. */
int qds_parse_double(const char *text, double *out);
int qds_parse_int64(const char *text, int64_t *out);

/* The fewest significant digits (15 to 17) that read back as the same double. */
enum { QDS_DOUBLE_TEXT = 32 };
void qds_double_text(double value, char out[QDS_DOUBLE_TEXT]);

/* The code point of the UTF-8 text at *text, which then stands after it; U+FFFD for a byte that starts no
 * valid sequence (no overlong form, no surrogate), past which *text moves. Not to be called at the final zero
 * byte. */
uint32_t qds_utf8_next(const char **text);

/* A string that grows. The first failure sticks in `status`: appending goes on doing nothing, and the status
 * is asked once at the end. Start with {.allocator = a}; qds_release(text.bytes) ends it. */
typedef struct {
  qds_allocator *allocator;
  char *bytes; /* ends in a zero byte; NULL before the first append */
  size_t length, room;
  qds_status status;
} qds_text;

void qds_text_append(qds_text *text, const char *bytes, size_t count);
void qds_text_add(qds_text *text, const char *string);
void qds_text_print(qds_text *text, const char *format, ...) __attribute__((format(printf, 2, 3)));

#endif

/* Words, numbers and strings. */
#ifndef QDS_BASE_TEXT_H
#define QDS_BASE_TEXT_H

#include "base/allocator.h"

/* The word of the NULL-terminated list nearest to `word` in edit distance (insertion, deletion, substitution and
 * neighbour swap cost 1; another case costs 0.1), or NULL when none is near enough to be a likely slip. */
const char *qds_nearest(const char *word, const char *const *candidates);

/* printf into a fresh string of the allocator, tag "text". */
qds_status qds_format(qds_allocator *allocator, char **out, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* The whole of `text` as a finite double or integer, in the C locale whatever the process uses; returns 0 if it
 * is none. */
int qds_parse_double(const char *text, double *out);
int qds_parse_int64(const char *text, int64_t *out);
/* "2GiB", "500 MB", "1048576": bytes; binary and decimal suffixes, case-insensitive; 0 if it is none. */
int qds_parse_bytes(const char *text, size_t *out);

#endif

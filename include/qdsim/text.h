/* Words and sizes that users type. None of it depends on the locale of the process. */
#ifndef QDSIM_TEXT_H
#define QDSIM_TEXT_H

#include <stddef.h>

#include "qdsim/status.h"

#ifdef __cplusplus
extern "C" {
#endif

/* The word of the NULL-terminated list nearest to `word`, or NULL when none is near enough to be a likely
 * slip: a third of the letters, at least one and at most three. Insertion, deletion, substitution and
 * neighbour swap cost 1; another case costs 0.1, a unit left out ("radius" for "radius_nm") 0.5. The first of
 * equals wins. */
QDS_API const char *qds_nearest(const char *word, const char *const *candidates);

/* "2GiB", "500 MB", "1048576": bytes; binary (KiB) and decimal (kB) suffixes, a single letter (2G) is binary;
 * case-insensitive; a part of a byte is cut off; 0 if it is none or does not fit. */
QDS_API int qds_parse_bytes(const char *text, size_t *out);

/* A size for people: "512 bytes", "1.2 GiB", "34 MiB". */
enum { QDS_BYTES_TEXT = 32 };
QDS_API void qds_format_bytes(size_t bytes, char out[QDS_BYTES_TEXT]);

/* Frees a text that a function of the library handed over; NULL is allowed. */
QDS_API void qds_text_destroy(char *text);

#ifdef __cplusplus
}
#endif
#endif

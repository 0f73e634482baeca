/* An array on a grid that is read line by line along the last axis, whether it lies in memory or is made line
 * by line. */
#ifndef QDS_LA_LINES_H
#define QDS_LA_LINES_H

#include <stdint.h>

/* The numbers of a line, in `scratch` or elsewhere; called by several threads. The scratch has room for twice
 * the line and two numbers more. */
typedef const double *(*qds_line_source)(const void *self, int64_t line, double *scratch);

typedef struct {
  qds_line_source line; /* NULL: there is no array */
  /* NULL, or whether a line but the first is known to be the same as the one before, at less cost than that
   * of reading both. */
  int (*repeats)(const void *self, int64_t line);
  void *self;
  void (*destroy)(void *self);
} qds_lines;

void qds_lines_clear(qds_lines *lines); /* safe on zeroed ones */

/* Of an array in memory. */
typedef struct {
  const double *numbers;
  int64_t length;
} qds_dense_lines;
const double *qds_dense_line(const void *self, int64_t line, double *scratch);

#endif

/* A read-only array on a grid, line by line along the last axis: neighbouring entries of a line that are the
 * same form a run, and a run has the number of a row of a table. Where materials fill space, few runs make a
 * line, so that an array over 10^9 nodes takes some megabytes. */
#ifndef QDS_LA_RUNS_H
#define QDS_LA_RUNS_H

#include "la/run_sums.h"
#include "par/context.h"

typedef struct {
  int64_t lines, length;
  int64_t *start; /* lines + 1: the first run of each line */
  qds_run *run;
  int width; /* numbers in a row */
  int64_t rows;
  double *table; /* rows x width */
} qds_runs;

void qds_runs_clear(qds_runs *runs); /* safe on zeroed ones */
static inline size_t qds_runs_bytes(const qds_runs *runs) {
  return sizeof *runs->start * (size_t)(runs->lines + 1) +
         sizeof *runs->run * (size_t)runs->start[runs->lines] +
         sizeof *runs->table * (size_t)(runs->rows * runs->width);
}

/* The row of entry k of a line. */
int32_t qds_runs_row(const qds_runs *runs, int64_t line, int64_t k);
/* Whether two lines have runs of the same lengths with the same values; value: one number per row. */
int qds_runs_same(const qds_runs *runs, int64_t line, int64_t other, const double *value);
/* to[k - first] = value[row of k] for k from first to last - 1. */
void qds_runs_copy(const qds_runs *runs, int64_t line, int64_t first, int64_t last, const double *value,
                   double *to);
/* to[k - first] += share * value[row of k] for the same k. */
void qds_runs_add(const qds_runs *runs, int64_t line, int64_t first, int64_t last, double share,
                  const double *value, double *to);

#endif

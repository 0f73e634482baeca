/* Couplings between single pairs of unknowns, besides those of a tensor operator. */
#ifndef QDS_LA_COUPLING_H
#define QDS_LA_COUPLING_H

#include "la/block.h"

/* Adds aa x_a^2 + 2 ab x_a x_b + bb x_b^2 to a quadratic form; b = -1: aa x_a^2 only. */
typedef struct {
  int64_t a, b;
  double aa, ab, bb;
} qds_coupling;

/* The rows that couplings touch, in compressed form. All zero: none. */
typedef struct {
  int64_t rows;
  int64_t *row, *start, *column; /* rows, rows + 1, start[rows] */
  double *diagonal, *value;      /* rows, start[rows] */
} qds_couplings;

/* From a list, in vectors of `rows` numbers. */
qds_status qds_couplings_create(qds_context *ctx, int64_t rows, int64_t count, const qds_coupling *list,
                                qds_couplings *out);
void qds_couplings_clear(qds_couplings *couplings);
/* y += C x, all columns; the result does not depend on the threads. */
void qds_couplings_add(qds_context *ctx, const qds_couplings *couplings, const qds_block *x, qds_block *y);

#endif

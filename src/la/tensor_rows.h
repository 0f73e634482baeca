/* The rows of a tensor operator's order-1 form, compressed once more.
 *
 * What a node's row takes of coefficients and potential are seven numbers: the potential, and along each axis
 * the coefficients below and above. Over 32 nodes of a line these are seven tiles (tiled.h). Few different
 * sevens occur, so each has a number, and a kernel that goes from plane to plane reads four bytes for 32
 * nodes as long as the number stays the same. */
#ifndef QDS_LA_TENSOR_ROWS_H
#define QDS_LA_TENSOR_ROWS_H

#include "la/device_operator_kernels.h"
#include "la/tensor_operator.h"
#include "la/tiled.h"

typedef struct {
  qds_stream *stream;
  qds_tiled v, c[3]; /* as the operator has them; c of one element where they do not vary across the axis */
  qds_tiled sides;   /* two lines per line of the last axis's c: below and above each unknown */
  uint32_t *row, *sevens;
  int64_t lines, tiles, count; /* of rows: lines x tiles; of sevens */
} qds_tensor_rows;

/* open_potential: 0, whatever t's is, and can be changed (qds_tiled_create_open); every tile then has a seven
 * of its own. Errors: as qds_tiled_create. */
qds_status qds_tensor_rows_create(qds_context *ctx, qds_stream *stream, const qds_tensor_operator *t,
                                  int open_potential, qds_tensor_rows *out);
void qds_tensor_rows_clear(qds_tensor_rows *rows); /* safe on a zeroed one */
size_t qds_tensor_rows_bytes(const qds_tensor_rows *rows);
qds_tensor_rows_view qds_tensor_rows_of(const qds_tensor_rows *rows);
/* c of an axis by elements. */
qds_tiled_view qds_tensor_rows_coefficient(const qds_tensor_rows *rows, const qds_tensor_operator *t,
                                           int axis);

#endif

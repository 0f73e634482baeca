/* A read-only array of doubles on a grid, compressed without loss, in memory of a stream's place.
 *
 * Lines along the last axis are cut into tiles of 32 numbers. Coefficients and potentials of a device are
 * mostly the same number over a tile, or the same tile as in neighbouring lines, and are then held once: a
 * tile costs 4 bytes. */
#ifndef QDS_LA_TILED_H
#define QDS_LA_TILED_H

#include "la/lines.h"
#include "la/tiled_view.h"
#include "par/context.h"

typedef struct {
  qds_stream *stream;
  int64_t lines, length, tiles; /* tiles of a line */
  uint32_t *code;               /* lines x tiles */
  double *numbers;
  int64_t count; /* of the numbers */
} qds_tiled;

/* From lines x length numbers in host memory. Errors: MEMORY, BUDGET, UNSUPPORTED (more than 2^31 different
 * numbers). */
qds_status qds_tiled_create(qds_context *ctx, qds_stream *stream, int64_t lines, int64_t length,
                            const double *dense, qds_tiled *out);
/* The same line by line. `group`: line l repeats line l - group where lines->repeats says so of l / group.
 * *code, unless `code` is NULL, receives the codes on the host; the caller releases them. */
qds_status qds_tiled_create_lines(qds_context *ctx, qds_stream *stream, int64_t lines, int64_t length,
                                  const qds_lines *from, int group, qds_tiled *out, uint32_t **code);
/* One whose numbers can be changed: each tile has QDS_TILE of its own, number k of line l at l * tiles *
 * QDS_TILE
 * + k; they are 0 at first. */
qds_status qds_tiled_create_open(qds_context *ctx, qds_stream *stream, int64_t lines, int64_t length,
                                 qds_tiled *out, uint32_t **code);
void qds_tiled_clear(qds_tiled *tiled); /* safe on a zeroed one */
/* Bytes held on the stream's place. */
size_t qds_tiled_bytes(const qds_tiled *tiled);

/* Its lines as a grid of `second` lines along the second axis. */
static inline qds_tiled_view qds_tiled_grid(const qds_tiled *tiled, int64_t second) {
  return (qds_tiled_view){tiled->code, tiled->numbers, {second * tiled->tiles, tiled->tiles, 1}};
}

#endif

/* Reading a tiled array (tiled.h), in C and in CUDA alike. */
#ifndef QDS_LA_TILED_VIEW_H
#define QDS_LA_TILED_VIEW_H

#include <stdint.h>

#include "base/portable.h"

enum { QDS_TILE = 32 };

/* The code of a tile is twice the place of its first number, plus 1 when it has QDS_TILE of them and not one
 * for all. */
typedef struct {
  const uint32_t *code;
  const double *numbers;
  int64_t stride[3]; /* of the codes, along the first two axes and from tile to tile along the last */
} qds_tiled_view;

/* Number k of a line whose tile has this code. */
QDS_PORTABLE_INLINE double qds_tiled_number(const double *numbers, uint32_t code, int k) {
  return QDS_READ(numbers + ((code >> 1) + (code & 1 ? (uint32_t)k % QDS_TILE : 0)));
}

QDS_PORTABLE_INLINE double qds_tiled_at(const qds_tiled_view *t, int64_t i, int64_t j, int k) {
  const uint32_t tile = (uint32_t)k / QDS_TILE;
  return qds_tiled_number(t->numbers,
                          QDS_READ(t->code + i * t->stride[0] + j * t->stride[1] + tile * t->stride[2]), k);
}

#endif

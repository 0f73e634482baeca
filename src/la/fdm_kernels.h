/* The kernels of fast diagonalisation on a stream: their arguments and the work on one number, for the CPU
 * (fdm_device_cpu.c) and for CUDA (fdm_cuda.cu). Every pointer lies in memory of the stream's place. */
#ifndef QDS_LA_FDM_KERNELS_H
#define QDS_LA_FDM_KERNELS_H

#include <math.h>
#include <stdint.h>

#include "base/portable.h"
#include "mem/kernel.h"

/* A folded vector: along each axis first the even parts x[i] + x[n-1-i], and the middle or, on an axis
 * without symmetry, all numbers, then the odd parts x[i] - x[n-1-i]. On the last axis both kinds begin at a
 * multiple of four numbers, since matrix units load 16 bytes; the gaps hold 0. */
typedef struct {
  int n[3], even[3], odd[3];
  int odd_at[3];      /* where the odd parts begin */
  int64_t row, plane; /* distances along the second and the first axis */
} qds_fdm_shape;

/* `single`: the folded vector has float32 numbers, else float64. `peak`: of the vector that goes in, by which
 * it is scaled, since float32 has a narrow range of exponents; NULL: it is not. */
typedef struct {
  qds_fdm_shape shape;
  int single;
  const double *peak;
  const double *from; /* rows */
  void *to;           /* folded */
} qds_fdm_fold_arguments;

typedef struct {
  qds_fdm_shape shape;
  int single;
  const double *peak;
  double factor;
  const void *from; /* folded */
  double *to;       /* rows */
} qds_fdm_unfold_arguments;

/* Divides by gap + offset[0][i] + offset[1][j] + offset[2][k], each in the precision of the numbers. */
typedef struct {
  qds_fdm_shape shape;
  int single;
  double gap;
  const void *offset[3];
  void *numbers; /* folded */
} qds_fdm_divide_arguments;

/* *peak = the largest of it, which is 0 or more, and |x|; NaN counts as the largest. */
typedef struct {
  const double *x;
  int64_t rows;
  double *peak;
} qds_fdm_peak_arguments;

extern const qds_kernel qds_fdm_fold_kernel, qds_fdm_unfold_kernel, qds_fdm_divide_kernel,
    qds_fdm_peak_kernel;

/* A power of two near the peak, which is exact to multiply with; NaN when the peak is not finite. */
QDS_PORTABLE_INLINE double qds_fdm_power(double peak, int sign) {
  enum { LIMIT = 1000 }; /* both powers of two stay in range */
  int exponent = 0;
  if (peak - peak != 0) return peak - peak;
  frexp(peak, &exponent);
  exponent = exponent < -LIMIT ? -LIMIT : exponent > LIMIT ? LIMIT : exponent;
  return ldexp(1.0, sign * exponent);
}

QDS_PORTABLE_INLINE double qds_fdm_load(const void *numbers, int single, int64_t at) {
  return single ? (double)((const float *)numbers)[at] : ((const double *)numbers)[at];
}

QDS_PORTABLE_INLINE void qds_fdm_store(void *numbers, int single, int64_t at, double value) {
  if (single)
    ((float *)numbers)[at] = (float)value;
  else
    ((double *)numbers)[at] = value;
}

/* The eight corners of a node and its mirror images have a bit per axis, 4, 2, 1; fewer where an axis has no
 * mirror image of it. */
QDS_PORTABLE_INLINE int qds_fdm_mirrored(const qds_fdm_shape *s, const int at[3]) {
  return (at[0] < s->odd[0] ? 4 : 0) | (at[1] < s->odd[1] ? 2 : 0) | (at[2] < s->odd[2] ? 1 : 0);
}

QDS_PORTABLE_INLINE int64_t qds_fdm_corner(const qds_fdm_shape *s, const int at[3], int corner) {
  const int i = corner & 4 ? s->n[0] - 1 - at[0] : at[0], j = corner & 2 ? s->n[1] - 1 - at[1] : at[1],
            k = corner & 1 ? s->n[2] - 1 - at[2] : at[2];
  return ((int64_t)i * s->n[1] + j) * s->n[2] + k;
}

QDS_PORTABLE_INLINE int64_t qds_fdm_part(const qds_fdm_shape *s, const int at[3], int part) {
  return (at[0] + (part & 4 ? s->odd_at[0] : 0)) * s->plane +
         (at[1] + (part & 2 ? s->odd_at[1] : 0)) * s->row + at[2] + (part & 1 ? s->odd_at[2] : 0);
}

/* Sums and differences along each mirrored axis; there and back, but for a factor that the modes carry. */
QDS_PORTABLE_INLINE void qds_fdm_butterfly(int mirrored, double u[8]) {
  QDS_UNROLL
  for (int bit = 1; bit < 8; bit *= 2) {
    if (!(mirrored & bit)) continue;
    QDS_UNROLL
    for (int c = 0; c < 8; c++) {
      if (c & bit) continue;
      const double low = u[c], high = u[c | bit];
      u[c] = low + high;
      u[c | bit] = low - high;
    }
  }
}

/* The gaps of the row that part `part` of the line of `at` lies in. */
QDS_PORTABLE_INLINE void qds_fdm_fill_gaps(const qds_fdm_fold_arguments *a, const int at[3], int part) {
  const qds_fdm_shape *s = &a->shape;
  const int line[3] = {at[0], at[1], 0};
  const int64_t row = qds_fdm_part(s, line, part & 6);
  for (int64_t k = s->even[2]; k < s->odd_at[2]; k++) qds_fdm_store(a->to, a->single, row + k, 0);
  for (int64_t k = s->odd_at[2] + s->odd[2]; k < s->row; k++) qds_fdm_store(a->to, a->single, row + k, 0);
}

/* The node (i, j, k), which counts below even[], and its mirror images. */
QDS_PORTABLE_INLINE void qds_fdm_fold_at(const qds_fdm_fold_arguments *a, int single, double scale, int i,
                                         int j, int k) {
  const int at[3] = {i, j, k}, mirrored = qds_fdm_mirrored(&a->shape, at);
  double u[8];
  QDS_UNROLL
  for (int c = 0; c < 8; c++)
    u[c] = (c & ~mirrored) ? 0 : scale * QDS_READ(a->from + qds_fdm_corner(&a->shape, at, c));
  qds_fdm_butterfly(mirrored, u);
  QDS_UNROLL
  for (int c = 0; c < 8; c++) {
    if (c & ~mirrored) continue;
    qds_fdm_store(a->to, single, qds_fdm_part(&a->shape, at, c), u[c]);
    if (k == 0 && !(c & 1)) qds_fdm_fill_gaps(a, at, c);
  }
}

QDS_PORTABLE_INLINE void qds_fdm_unfold_at(const qds_fdm_unfold_arguments *a, int single, double factor,
                                           int i, int j, int k) {
  const int at[3] = {i, j, k}, mirrored = qds_fdm_mirrored(&a->shape, at);
  double u[8];
  QDS_UNROLL
  for (int c = 0; c < 8; c++)
    u[c] = (c & ~mirrored) ? 0 : qds_fdm_load(a->from, single, qds_fdm_part(&a->shape, at, c));
  qds_fdm_butterfly(mirrored, u);
  QDS_UNROLL
  for (int c = 0; c < 8; c++)
    if (!(c & ~mirrored)) a->to[qds_fdm_corner(&a->shape, at, c)] = factor * u[c];
}

#endif

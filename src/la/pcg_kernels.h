/* The kernels of conjugate gradients: their arguments, for the CPU (pcg_cpu.c) and for CUDA (pcg_cuda.cu).
 *
 * Every pointer lies in memory of the stream's place, the scalars too: a kernel reads what another has
 * summed, and the host need not know. A sum runs over the rows of a group and then over groups in order. */
#ifndef QDS_LA_PCG_KERNELS_H
#define QDS_LA_PCG_KERNELS_H

#include <stdint.h>

#include "mem/kernel.h"

/* Where a sum over rows goes; `groups` groups of rows, at most that many on a device. */
typedef struct {
  int groups;
  double *partial; /* groups */
  double *total;
} qds_pcg_sum;

/* The sum of a b. */
typedef struct {
  int64_t rows;
  const double *a, *b;
  qds_pcg_sum sum;
} qds_pcg_dot_arguments;

/* r = b - q, and the sum of r r. */
typedef struct {
  int64_t rows;
  const double *b, *q;
  double *r;
  qds_pcg_sum sum;
} qds_pcg_subtract_arguments;

/* x += alpha p, r -= alpha q with alpha = rz / curvature, and the sum of r r. */
typedef struct {
  int64_t rows;
  const double *p, *q, *rz, *curvature;
  double *x, *r;
  qds_pcg_sum sum;
} qds_pcg_advance_arguments;

/* y += the sum over t of factor[t] (u[t] . x) u[t]. */
enum { QDS_PCG_MOST_TERMS = 2 };
typedef struct {
  int64_t rows;
  int terms;
  const double *u[QDS_PCG_MOST_TERMS];
  double factor[QDS_PCG_MOST_TERMS];
  const double *x;
  double *y;
  int groups;
  double *partial, *dots; /* terms x groups, terms */
} qds_pcg_rank_one_arguments;

/* p = z + (rz / rz_before) p; with rz_before NULL p = z, and the old p does not count. */
typedef struct {
  int64_t rows;
  const double *z, *rz, *rz_before;
  double *p;
} qds_pcg_turn_arguments;

extern const qds_kernel qds_pcg_dot_kernel, qds_pcg_subtract_kernel, qds_pcg_advance_kernel,
    qds_pcg_rank_one_kernel, qds_pcg_turn_kernel;

#endif

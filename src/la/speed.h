/* Measured speed of this machine: matrix products and memory. The figures of qdsim info and of time
 * estimates. */
#ifndef QDS_LA_SPEED_H
#define QDS_LA_SPEED_H

#include "la/blas.h"

typedef struct {
  double dgemm_flops, sgemm_flops; /* per second, all threads of the context together */
  int order;                       /* of the square matrices that each thread multiplied */
} qds_gemm_speed;

/* Multiplies on every thread for about `seconds` in each precision. Errors: UNSUPPORTED (no BLAS), MEMORY,
 * BUDGET. */
qds_status qds_measure_gemm(qds_context *ctx, double seconds, qds_gemm_speed *out);

typedef struct {
  double bytes_per_s; /* 24 bytes per element, as STREAM counts (McCalpin 1995): what is read and written */
  size_t array_bytes; /* of each of the three arrays */
} qds_memory_speed;

/* The triad a = b + s c on all threads, the best of several passes in about `seconds`. `cache_bytes`: the
 * caches that the arrays have to exceed. Errors: MEMORY, BUDGET. */
qds_status qds_measure_memory(qds_context *ctx, double seconds, size_t cache_bytes, qds_memory_speed *out);

#endif

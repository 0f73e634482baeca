/* Products of dense matrices in stream order. On CUDA they go through cuBLAS, which is loaded when first
 * needed. */
#ifndef QDS_LA_MATRIX_PRODUCT_H
#define QDS_LA_MATRIX_PRODUCT_H

#include <stdint.h>

#include "mem/stream.h"
#include "qdsim/context.h"

/* TF32: numbers are float32, and the matrix units of a GPU round factors to 10 bits of mantissa. The CPU has
 * no such unit and works in float32. */
typedef enum { QDS_FLOAT32, QDS_FLOAT64, QDS_TF32 } qds_precision;

static inline size_t qds_precision_bytes(qds_precision precision) {
  return precision == QDS_FLOAT64 ? sizeof(double) : sizeof(float);
}

/* c = op(a) op(b), m x n with the inner dimension k, column-major: `batches` of them, whose matrices begin
 * stride_a, stride_b, stride_c numbers apart. c overlaps neither a nor b. On devices, addresses and distances
 * of a multiple of 16 bytes are the fast ones. */
typedef struct {
  qds_precision precision;
  int transpose_a, transpose_b;
  int m, n, k, lda, ldb, ldc, batches;
  int64_t stride_a, stride_b, stride_c;
  const void *a, *b;
  void *c;
  const void *blas; /* the CPU's */
} qds_matrix_product_arguments;

extern const qds_kernel qds_matrix_product_kernel;

/* Enqueues it; `blas` is filled in where the stream runs on the CPU. Errors: UNSUPPORTED (no BLAS; names what
 * was tried), those of the stream. */
qds_status qds_matrix_product(qds_context *ctx, qds_stream *stream,
                              const qds_matrix_product_arguments *product);

#endif

/* The kernels of block algebra: their arguments, for the CPU (block_cpu.c) and for CUDA (gram_cuda.cu,
 * combine_cuda.cu, block_cuda.cu).
 * Every pointer lies in memory of the stream's place. */
#ifndef QDS_LA_BLOCK_KERNELS_H
#define QDS_LA_BLOCK_KERNELS_H

#include "base/philox_numbers.h"
#include "mem/kernel.h"

/* Neighbouring columns of a block. */
typedef struct {
  double *data;
  int64_t stride;
  int columns;
} qds_columns;

enum { QDS_GRAM_LEFT = 2, QDS_GRAM_RIGHT = 3, QDS_COMBINE_FROM = 3, QDS_COMBINE_TO = 2 };

/* products = a^T b, column-major left x right, where a and b are the given columns side by side. */
typedef struct {
  qds_columns a[QDS_GRAM_LEFT], b[QDS_GRAM_RIGHT];
  int left, right; /* columns of a, of b */
  int64_t rows;
  int groups;       /* of rows, summed one after the other at the end; at most, on a device */
  double *partial;  /* groups x left x right */
  double *products; /* left x right */
  const void *blas; /* the CPU's */
} qds_gram_arguments;

/* The columns of `to` side by side = those of `from` side by side times the coefficients (inputs x outputs,
 * column-major), plus what they hold when `add`. Rows are read before they are written, so columns of `to`
 * may be columns of `from`. */
typedef struct {
  qds_columns from[QDS_COMBINE_FROM], to[QDS_COMBINE_TO];
  int inputs, outputs, add;
  int64_t rows;
  const double *coefficients;
  double *scratch;  /* the CPU's: threads x QDS_COMBINE_TILE_ROWS x outputs */
  const void *blas; /* the CPU's */
} qds_combine_arguments;
enum { QDS_COMBINE_TILE_ROWS = 512 };
/* Of one launch on a device: its coefficients wait in 160 KiB of shared memory, beside some rows. */
enum { QDS_COMBINE_MOST_INPUTS = 128, QDS_COMBINE_MOST_OUTPUTS = 128 };

/* w_j -= eigenvalue_j x_j, and the squares of the norms. */
typedef struct {
  qds_columns x, w;
  int64_t rows;
  const double *eigenvalues;
  int groups;
  double *partial; /* groups x columns */
  double *squares; /* columns */
} qds_residual_arguments;

/* Standard normal numbers times `scale`: row i of column j from index i of stream + j; added when `add`. */
typedef struct {
  qds_columns to;
  int64_t rows;
  uint64_t seed, stream;
  double scale;
  int add;
} qds_fill_normal_arguments;

QDS_PORTABLE void qds_fill_normal_at(const qds_fill_normal_arguments *k, int column, int64_t row) {
  double *to = k->to.data + column * k->to.stride + row;
  const double number = k->scale * qds_philox_normal(k->seed, k->stream + (uint64_t)column, (uint64_t)row);
  *to = k->add ? *to + number : number;
}

extern const qds_kernel qds_gram_kernel, qds_combine_kernel, qds_residual_kernel, qds_fill_normal_kernel;

#endif

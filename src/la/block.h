/* Blocks of vectors, on the host or on a device, and the operators on them. */
#ifndef QDS_LA_BLOCK_H
#define QDS_LA_BLOCK_H

#include "la/block_kernels.h"
#include "par/context.h"

/* `columns` vectors of `rows` doubles; column j starts at data + j * stride, 64-byte aligned. Tensor operator
 * and multigrid also take the parts of longer vectors (spectrum.h), which begin at any multiple of 8 bytes.
 */
typedef struct {
  double *data;
  int64_t rows, stride;
  int columns;
  qds_stream *stream; /* in whose order the block is worked on, in memory of its place; NULL: host memory */
} qds_block;

/* In host memory. */
qds_status qds_block_create(qds_context *ctx, int64_t rows, int columns, const char *tag, qds_block *out);
/* In memory of the stream's place; stream NULL: in host memory. */
qds_status qds_block_create_on(qds_context *ctx, qds_stream *stream, int64_t rows, int columns,
                               const char *tag, qds_block *out);
void qds_block_clear(qds_block *block); /* releases the data; safe on a zeroed block */
/* Columns first .. first + count - 1 of a block; borrows. */
static inline qds_block qds_block_part(const qds_block *block, int first, int count) {
  return (qds_block){block->data + first * block->stride, block->rows, block->stride, count, block->stream};
}
static inline double *qds_block_column(const qds_block *block, int j) {
  return block->data + j * block->stride;
}

/* The columns of `from`, to those of `to`, of the same shape, each in its place. From a device to the host it
 * waits until they are there. */
qds_status qds_block_copy(const qds_block *from, qds_block *to);
/* Moves a block of a stream to host memory; one that is there stays. */
qds_status qds_block_to_host(qds_context *ctx, const char *tag, qds_block *block);
/* All numbers become 0. */
qds_status qds_block_zero(qds_block *block);
/* gram = a^T b, column-major a->columns x b->columns, on the host. The sum's order does not depend on the
 * thread count. */
qds_status qds_block_gram(qds_context *ctx, const qds_block *a, const qds_block *b, double *gram);
/* y = y + x c, c column-major x->columns x y->columns, on the host. */
qds_status qds_block_add_product(qds_context *ctx, const qds_block *x, const double *c, qds_block *y);
/* Standard normal numbers of the context's seed, column j from stream `stream` + j. */
qds_status qds_block_fill_random(qds_context *ctx, qds_block *block, uint64_t stream);
/* Adds such numbers times `scale`. */
qds_status qds_block_add_random(qds_context *ctx, double scale, qds_block *block, uint64_t stream);
/* Of host memory. */
double qds_vector_dot(qds_context *ctx, int64_t rows, const double *a, const double *b);

/* --- several blocks at once. All blocks of a call lie in the same place; those with 0 columns count as
 * none. -----------------------------------------------------------------------------------------------------
 */

/* gram = [a0 a1]^T [b0 b1 b2], column-major, on the host: one pass over the blocks. */
qds_status qds_blocks_gram(qds_context *ctx, const qds_block *const a[QDS_GRAM_LEFT],
                           const qds_block *const b[QDS_GRAM_RIGHT], double *gram);
/* [to0 to1] = [from0 from1 from2] c, c on the host; columns of `to` may be columns of `from`. */
qds_status qds_blocks_combine(qds_context *ctx, const qds_block *const from[QDS_COMBINE_FROM],
                              const double *c, const qds_block *const to[QDS_COMBINE_TO]);
/* The most bytes of a device's memory that the Gram matrices and combinations of LOBPCG with so many vectors
 * take meanwhile. */
size_t qds_blocks_bytes_on_device(int64_t rows, int vectors);
/* w = w - x diag(eigenvalues), and the norms of its columns. */
qds_status qds_block_residual(qds_context *ctx, const qds_block *x, const double *eigenvalues, qds_block *w,
                              double *norms);

/* A linear operator y = A x on blocks of equal shape; x and y do not overlap unless the operator says so. */
typedef struct {
  void *self;
  int64_t rows;
  const char *name;
  qds_status (*apply)(void *self, qds_context *ctx, const qds_block *x, qds_block *y);
} qds_operator;

#endif

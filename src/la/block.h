/* Blocks of vectors and the operators on them. */
#ifndef QDS_LA_BLOCK_H
#define QDS_LA_BLOCK_H

#include "par/context.h"

/* `columns` vectors of `rows` doubles; column j starts at data + j * stride, 64-byte aligned. */
typedef struct {
  double *data;
  int64_t rows, stride;
  int columns;
} qds_block;

qds_status qds_block_create(qds_context *ctx, int64_t rows, int columns, const char *tag, qds_block *out);
void qds_block_clear(qds_block *block); /* releases the data; safe on a zeroed block */
/* Columns first .. first + count - 1 of a block; borrows. */
static inline qds_block qds_block_part(const qds_block *block, int first, int count) {
  return (qds_block){block->data + first * block->stride, block->rows, block->stride, count};
}
static inline double *qds_block_column(const qds_block *block, int j) {
  return block->data + j * block->stride;
}

/* gram = a^T b, column-major a->columns x b->columns. The sum's order does not depend on the thread count. */
qds_status qds_block_gram(qds_context *ctx, const qds_block *a, const qds_block *b, double *gram);
/* y = y + x c, c column-major x->columns x y->columns. */
qds_status qds_block_add_product(qds_context *ctx, const qds_block *x, const double *c, qds_block *y);
/* Standard normal numbers of the context's seed, column j from stream `stream` + j. */
void qds_block_fill_random(qds_context *ctx, qds_block *block, uint64_t stream);
double qds_vector_dot(qds_context *ctx, int64_t rows, const double *a, const double *b);

/* A linear operator y = A x on blocks of equal shape; x and y do not overlap unless the operator says so. */
typedef struct {
  void *self;
  int64_t rows;
  const char *name;
  qds_status (*apply)(void *self, qds_context *ctx, const qds_block *x, qds_block *y);
} qds_operator;

#endif

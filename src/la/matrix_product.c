#include "la/matrix_product.h"

#include "la/blas.h"

/* The longer side of c is cut into panels that threads share; their width does not depend on the threads, and
 * so no result does. */
enum { PANEL = 512 };

typedef struct {
  int m, n;
  int64_t a, b, c; /* where they begin, in numbers */
} panel;

static panel panel_of(const qds_matrix_product_arguments *p, int batch, int number) {
  const int by_rows = p->m >= p->n, first = number * PANEL, side = by_rows ? p->m : p->n,
            count = side - first < PANEL ? side - first : PANEL;
  panel out = {p->m, p->n, batch * p->stride_a, batch * p->stride_b, batch * p->stride_c};
  if (by_rows) {
    out.m = count;
    out.a += p->transpose_a ? (int64_t)first * p->lda : first;
    out.c += first;
  } else {
    out.n = count;
    out.b += p->transpose_b ? first : (int64_t)first * p->ldb;
    out.c += (int64_t)first * p->ldc;
  }
  return out;
}

static void multiply_double(const qds_matrix_product_arguments *p, const panel *q) {
  const qds_blas *blas = p->blas;
  const double one = 1, zero = 0;
  blas->dgemm(p->transpose_a ? "T" : "N", p->transpose_b ? "T" : "N", &q->m, &q->n, &p->k, &one,
              (const double *)p->a + q->a, &p->lda, (const double *)p->b + q->b, &p->ldb, &zero,
              (double *)p->c + q->c, &p->ldc);
}

static void multiply_single(const qds_matrix_product_arguments *p, const panel *q) {
  const qds_blas *blas = p->blas;
  const float one = 1, zero = 0;
  blas->sgemm(p->transpose_a ? "T" : "N", p->transpose_b ? "T" : "N", &q->m, &q->n, &p->k, &one,
              (const float *)p->a + q->a, &p->lda, (const float *)p->b + q->b, &p->ldb, &zero,
              (float *)p->c + q->c, &p->ldc);
}

static void product(const void *arguments, int threads) {
  const qds_matrix_product_arguments *p = arguments;
  const int panels = ((p->m >= p->n ? p->m : p->n) + PANEL - 1) / PANEL;
  const int64_t pieces = (int64_t)panels * p->batches;
#pragma omp parallel for num_threads(threads) schedule(dynamic) if (pieces > 1)
  for (int64_t piece = 0; piece < pieces; piece++) {
    const panel q = panel_of(p, (int)(piece / panels), (int)(piece % panels));
    if (p->precision == QDS_FLOAT64)
      multiply_double(p, &q);
    else
      multiply_single(p, &q);
  }
}

const qds_kernel qds_matrix_product_kernel = {QDS_KERNEL_MATRIX_PRODUCT, "matrix product",
                                              sizeof(qds_matrix_product_arguments), product};

qds_status qds_matrix_product(qds_context *ctx, qds_stream *stream,
                              const qds_matrix_product_arguments *product) {
  qds_matrix_product_arguments p = *product;
  if (p.m == 0 || p.n == 0 || p.batches == 0) return QDS_OK;
  if (!stream->accelerator || !stream->accelerator->backend->launch) {
    const qds_blas *blas = NULL;
    QDS_TRY(qds_blas_get(ctx, &blas));
    p.blas = blas;
  }
  return qds_stream_launch(stream, &qds_matrix_product_kernel, &p);
}

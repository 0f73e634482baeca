#include <math.h>
#include <omp.h>
#include <string.h>

#include "base/vectorise.h"
#include "la/lobpcg_internal.h"

/* Rows are cut into tiles whose columns stay in the second-level cache, and tiles into a number of chunks
 * that depends on the rows only, so that sums come out the same for every thread count. */
enum { TILE_ROWS = 512, MOST_CHUNKS = 64 };

typedef struct {
  int64_t first, last; /* rows */
} range;

static int64_t tiles_of(int64_t rows) {
  return (rows + TILE_ROWS - 1) / TILE_ROWS;
}

static int chunks_of(int64_t rows) {
  return (int)(tiles_of(rows) < MOST_CHUNKS ? tiles_of(rows) : MOST_CHUNKS);
}

static range chunk_rows(int64_t rows, int chunk) {
  const int64_t tiles = tiles_of(rows), chunks = chunks_of(rows);
  const int64_t first = tiles * chunk / chunks * TILE_ROWS, last = tiles * (chunk + 1) / chunks * TILE_ROWS;
  return (range){first, last < rows ? last : rows};
}

/* gram(rows r0.., at column `column`) += a^T b over one tile. */
static void tile_gram(const qds_blas *blas, const qds_block *a, int na, const qds_block *b, int nb,
                      int64_t row, int rows, double *gram, int ld) {
  if (na == 0 || nb == 0) return;
  const double one = 1;
  const int lda = (int)a->stride, ldb = (int)b->stride;
  blas->dgemm("T", "N", &na, &nb, &rows, &one, a->data + row, &lda, b->data + row, &ldb, &one, gram, &ld);
}

static void chunk_gram(const qds_lobpcg_state *s, range r, double *gram) {
  const int ld = 2 * s->nw;
  for (int64_t row = r.first; row < r.last; row += TILE_ROWS) {
    const int rows = (int)(r.last - row < TILE_ROWS ? r.last - row : TILE_ROWS);
    for (int half = 0; half < 2; half++) {
      const qds_block *a = half ? &s->aw : &s->w;
      double *at = gram + half * s->nw;
      tile_gram(s->blas, a, s->nw, &s->x, s->m, row, rows, at, ld);
      tile_gram(s->blas, a, s->nw, &s->p, s->np, row, rows, at + (size_t)ld * (size_t)s->m, ld);
      tile_gram(s->blas, a, s->nw, &s->w, s->nw, row, rows, at + (size_t)ld * (size_t)(s->m + s->np), ld);
    }
  }
}

qds_status qds_lobpcg_gram_pass(qds_context *ctx, qds_lobpcg_state *s) {
  const size_t size = (size_t)(2 * s->nw) * (size_t)(s->m + s->np + s->nw);
  const int chunks = chunks_of(s->x.rows);
  QDS_AUTO_RELEASE double *partial = NULL;
  QDS_TRY(QDS_NEW_ZERO(qds_context_allocator(ctx), size * (size_t)chunks, "eigensolver", &partial));
#pragma omp parallel for num_threads(qds_context_threads(ctx)) schedule(dynamic) if (s->x.rows > 8192)
  for (int chunk = 0; chunk < chunks; chunk++)
    chunk_gram(s, chunk_rows(s->x.rows, chunk), partial + size * (size_t)chunk);
  memset(s->gram, 0, size * sizeof(double));
  for (int chunk = 0; chunk < chunks; chunk++)
    for (size_t i = 0; i < size; i++) s->gram[i] += partial[size * (size_t)chunk + i];
  return QDS_OK;
}

/* out (rows x count) = [x p w] combine on one tile. */
static void tile_combine(const qds_lobpcg_state *s, int count, int64_t row, int rows, double *out) {
  const qds_block *blocks[3] = {&s->x, &s->p, &s->w};
  const int columns[3] = {s->m, s->np, s->nw}, ldc = s->m + s->np + s->nw, ldo = TILE_ROWS;
  const double one = 1;
  double beta = 0;
  for (int b = 0, offset = 0; b < 3; offset += columns[b++]) {
    if (columns[b] == 0) continue;
    const int ld = (int)blocks[b]->stride;
    s->blas->dgemm("N", "N", &rows, &count, &columns[b], &one, blocks[b]->data + row, &ld,
                   s->combine + offset, &ldc, &beta, out, &ldo);
    beta = 1;
  }
}

static void chunk_combine(const qds_lobpcg_state *s, int count, range r, double *scratch) {
  for (int64_t row = r.first; row < r.last; row += TILE_ROWS) {
    const int rows = (int)(r.last - row < TILE_ROWS ? r.last - row : TILE_ROWS);
    tile_combine(s, count, row, rows, scratch);
    for (int j = 0; j < count; j++)
      memcpy(s->target[j] + row, scratch + (size_t)j * TILE_ROWS, sizeof(double) * (size_t)rows);
  }
}

qds_status qds_lobpcg_combine_pass(qds_context *ctx, qds_lobpcg_state *s, int count) {
  const size_t size = (size_t)TILE_ROWS * (size_t)count;
  const int chunks = chunks_of(s->x.rows);
  QDS_AUTO_RELEASE double *scratch = NULL;
  QDS_TRY(
      QDS_NEW(qds_context_allocator(ctx), size * (size_t)qds_context_threads(ctx), "eigensolver", &scratch));
#pragma omp parallel for num_threads(qds_context_threads(ctx)) schedule(dynamic) if (s->x.rows > 8192)
  for (int chunk = 0; chunk < chunks; chunk++)
    chunk_combine(s, count, chunk_rows(s->x.rows, chunk), scratch + size * (size_t)omp_get_thread_num());
  return QDS_OK;
}

QDS_VECTORISE static double subtract(int64_t rows, double value, const double *restrict x,
                                     double *restrict w) {
  double sum = 0;
#pragma omp simd reduction(+ : sum)
  for (int64_t i = 0; i < rows; i++) {
    w[i] -= value * x[i];
    sum += w[i] * w[i];
  }
  return sum;
}

qds_status qds_lobpcg_residual_pass(qds_context *ctx, qds_lobpcg_state *s) {
  const int chunks = chunks_of(s->x.rows);
  QDS_AUTO_RELEASE double *squares = NULL;
  QDS_TRY(QDS_NEW_ZERO(qds_context_allocator(ctx), s->m * chunks, "eigensolver", &squares));
#pragma omp parallel for num_threads(qds_context_threads(ctx)) schedule(dynamic) if (s->x.rows > 8192)
  for (int chunk = 0; chunk < chunks; chunk++) {
    const range r = chunk_rows(s->x.rows, chunk);
    for (int j = 0; j < s->m; j++)
      squares[chunk * s->m + j] =
          subtract(r.last - r.first, s->eigenvalues[j], qds_block_column(&s->x, j) + r.first,
                   qds_block_column(&s->w, j) + r.first);
  }
  for (int j = 0; j < s->m; j++) {
    double sum = 0;
    for (int chunk = 0; chunk < chunks; chunk++) sum += squares[chunk * s->m + j];
    s->residuals[j] = sqrt(sum);
  }
  return QDS_OK;
}

#include <math.h>
#include <omp.h>
#include <string.h>

#include "la/lobpcg_internal.h"

/* Rows are cut into tiles whose columns stay in the second-level cache, and tiles into a fixed number of
 * chunks, so that sums come out the same for every thread count. */
enum { TILE_ROWS = 512, CHUNKS = 64 };

typedef struct {
  int64_t first, last; /* rows */
} range;

static range chunk_rows(int64_t rows, int chunk) {
  const int64_t tiles = (rows + TILE_ROWS - 1) / TILE_ROWS;
  const int64_t first = tiles * chunk / CHUNKS * TILE_ROWS, last = tiles * (chunk + 1) / CHUNKS * TILE_ROWS;
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
  QDS_AUTO_RELEASE double *partial = NULL;
  QDS_TRY(QDS_NEW_ZERO(qds_context_allocator(ctx), size * CHUNKS, "eigensolver", &partial));
#pragma omp parallel for num_threads(qds_context_threads(ctx)) schedule(dynamic) if (s->x.rows > 8192)
  for (int chunk = 0; chunk < CHUNKS; chunk++)
    chunk_gram(s, chunk_rows(s->x.rows, chunk), partial + size * (size_t)chunk);
  memset(s->gram, 0, size * sizeof(double));
  for (size_t chunk = 0; chunk < CHUNKS; chunk++)
    for (size_t i = 0; i < size; i++) s->gram[i] += partial[size * chunk + i];
  return QDS_OK;
}

typedef struct {
  qds_lobpcg_state *s;
  int count;
  double *const *target, *const *a_target;
  int residuals;
} combination;

/* out (rows x count) = [x p w] combine on one tile, or of their images. */
static void tile_combine(const combination *c, const qds_block *x, const qds_block *p, const qds_block *w,
                         int64_t row, int rows, double *out) {
  const qds_lobpcg_state *s = c->s;
  const qds_block *blocks[3] = {x, p, w};
  const int columns[3] = {s->m, s->np, s->nw}, ldc = s->m + s->np + s->nw, ldo = TILE_ROWS;
  const double one = 1;
  double beta = 0;
  for (int b = 0, offset = 0; b < 3; offset += columns[b++]) {
    if (columns[b] == 0) continue;
    const int ld = (int)blocks[b]->stride;
    s->blas->dgemm("N", "N", &rows, &c->count, &columns[b], &one, blocks[b]->data + row, &ld,
                   s->combine + offset, &ldc, &beta, out, &ldo);
    beta = 1;
  }
}

static void chunk_combine(const combination *c, range r, double *scratch, double *squares) {
  qds_lobpcg_state *s = c->s;
  double *fresh = scratch, *image = scratch + (size_t)TILE_ROWS * (size_t)c->count;
  for (int64_t row = r.first; row < r.last; row += TILE_ROWS) {
    const int rows = (int)(r.last - row < TILE_ROWS ? r.last - row : TILE_ROWS);
    tile_combine(c, &s->x, &s->p, &s->w, row, rows, fresh);
    tile_combine(c, &s->ax, &s->ap, &s->aw, row, rows, image);
    for (int j = 0; j < c->count; j++) {
      memcpy(c->target[j] + row, fresh + (size_t)j * TILE_ROWS, sizeof(double) * (size_t)rows);
      memcpy(c->a_target[j] + row, image + (size_t)j * TILE_ROWS, sizeof(double) * (size_t)rows);
    }
    for (int j = 0; j < c->residuals; j++) {
      const double *u = fresh + (size_t)j * TILE_ROWS, *au = image + (size_t)j * TILE_ROWS,
                   value = s->eigenvalues[j];
      double *residual = qds_block_column(&s->r, j) + row, sum = 0;
      for (int i = 0; i < rows; i++) {
        residual[i] = au[i] - value * u[i];
        sum += residual[i] * residual[i];
      }
      squares[j] += sum;
    }
  }
}

qds_status qds_lobpcg_combine_pass(qds_context *ctx, qds_lobpcg_state *s, int count, double *const *target,
                                   double *const *a_target, int residuals) {
  combination c = {s, count, target, a_target, residuals};
  qds_allocator *allocator = qds_context_allocator(ctx);
  const size_t scratch_size = 2 * (size_t)TILE_ROWS * (size_t)count;
  QDS_AUTO_RELEASE double *scratch = NULL, *squares = NULL;
  QDS_TRY(QDS_NEW(allocator, scratch_size * (size_t)qds_context_threads(ctx), "eigensolver", &scratch));
  QDS_TRY(QDS_NEW_ZERO(allocator, residuals * CHUNKS, "eigensolver", &squares));
#pragma omp parallel for num_threads(qds_context_threads(ctx)) schedule(dynamic) if (s->x.rows > 8192)
  for (int chunk = 0; chunk < CHUNKS; chunk++)
    chunk_combine(&c, chunk_rows(s->x.rows, chunk), scratch + scratch_size * (size_t)omp_get_thread_num(),
                  squares + chunk * residuals);
  for (int j = 0; j < residuals; j++) {
    double sum = 0;
    for (int chunk = 0; chunk < CHUNKS; chunk++) sum += squares[chunk * residuals + j];
    s->residuals[j] = sqrt(sum);
  }
  return QDS_OK;
}

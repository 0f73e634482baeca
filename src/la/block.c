#include "la/block.h"

#include <limits.h>
#include <string.h>

#include "base/philox.h"
#include "la/blas.h"

/* Rows are cut into tiles, so that a tile of all columns stays in the second-level cache, and tiles into
 * groups. Both depend on the number of rows only, and sums run over tiles within a group and then over groups
 * in order: that makes every result independent of the thread count. */
enum { TILE_ROWS = 1024, MAX_GROUPS = 128 };
enum { LINE_DOUBLES = QDS_ALIGNMENT / sizeof(double), PAGE_DOUBLES = 4096 / sizeof(double) };

/* The bytes of a column can be counted in a size_t. */
static const int64_t MAX_ROWS = INT64_MAX / (2 * (int64_t)sizeof(double));

static int64_t smaller(int64_t a, int64_t b) {
  return a < b ? a : b;
}
static int64_t tile_count(int64_t rows) {
  return (rows + TILE_ROWS - 1) / TILE_ROWS;
}
static int group_count(int64_t rows) {
  return (int)smaller(tile_count(rows), MAX_GROUPS);
}

/* The first tile of a group; group_count() gives one past the last. */
static int64_t group_begin(int64_t rows, int group) {
  return tile_count(rows) * group / group_count(rows);
}

static int team_size(const qds_context *ctx, int64_t pieces) {
  return (int)smaller(qds_context_threads(ctx), pieces > 0 ? pieces : 1);
}

static int tile_rows(int64_t rows, int64_t tile) {
  return (int)smaller(TILE_ROWS, rows - tile * TILE_ROWS);
}

qds_status qds_block_create(qds_context *ctx, int64_t rows, int columns, const char *tag, qds_block *out) {
  *out = (qds_block){0};
  QDS_REQUIRE(rows >= 0 && rows <= MAX_ROWS && columns >= 0,
              "qds_block_create: %lld rows and %d columns; allowed are 0 to %lld rows and at least 0 columns",
              (long long)rows, columns, (long long)MAX_ROWS);
  int64_t stride = (rows + LINE_DOUBLES - 1) / LINE_DOUBLES * LINE_DOUBLES;
  /* Columns that lie whole pages apart would compete for the same cache sets. */
  if (stride > 0 && stride % PAGE_DOUBLES == 0) stride += LINE_DOUBLES;
  double *data = NULL;
  QDS_TRY(qds_allocate(qds_context_allocator(ctx), (size_t)columns, (size_t)stride * sizeof *data, tag,
                       __FILE__, __LINE__, (void **)&data));
  *out = (qds_block){data, rows, stride, columns};
  return QDS_OK;
}

void qds_block_clear(qds_block *block) {
  qds_release(block->data);
  *block = (qds_block){0};
}

/* BLAS counts leading dimensions in 32-bit integers. */
static qds_status check_stride(const char *where, const qds_block *block) {
  if (block->stride > INT_MAX)
    QDS_FAIL(QDS_ERROR_UNSUPPORTED, "%s: vectors of %lld rows; BLAS allows at most %d", where,
             (long long)block->rows, INT_MAX);
  return QDS_OK;
}

/* sum = a^T b over the tiles of one group. */
static void gram_of_group(const qds_blas *blas, const qds_block *a, const qds_block *b, int group,
                          double *sum) {
  const int lda = (int)a->stride, ldb = (int)b->stride;
  const double one = 1, zero = 0;
  const int64_t begin = group_begin(a->rows, group), end = group_begin(a->rows, group + 1);
  for (int64_t tile = begin; tile < end; tile++) {
    const int64_t row = tile * TILE_ROWS;
    const int rows = tile_rows(a->rows, tile);
    blas->dgemm("T", "N", &a->columns, &b->columns, &rows, &one, a->data + row, &lda, b->data + row, &ldb,
                tile == begin ? &zero : &one, sum, &a->columns);
  }
}

qds_status qds_block_gram(qds_context *ctx, const qds_block *a, const qds_block *b, double *gram) {
  QDS_REQUIRE(a->rows == b->rows, "qds_block_gram: blocks of %lld and %lld rows", (long long)a->rows,
              (long long)b->rows);
  QDS_TRY(check_stride("qds_block_gram", a));
  QDS_TRY(check_stride("qds_block_gram", b));
  const qds_blas *blas = NULL;
  QDS_TRY(qds_blas_get(ctx, &blas));
  const size_t size = (size_t)a->columns * (size_t)b->columns;
  if (size == 0) return QDS_OK;
  const int groups = group_count(a->rows);
  QDS_AUTO_RELEASE double *sums = NULL;
  QDS_TRY(QDS_NEW(qds_context_allocator(ctx), (size_t)groups * size, "Gram sums", &sums));

#pragma omp parallel for schedule(dynamic) num_threads(team_size(ctx, groups))
  for (int group = 0; group < groups; group++) gram_of_group(blas, a, b, group, sums + (size_t)group * size);

  memset(gram, 0, size * sizeof *gram);
  for (int group = 0; group < groups; group++)
    for (size_t i = 0; i < size; i++) gram[i] += sums[(size_t)group * size + i];
  return QDS_OK;
}

qds_status qds_block_add_product(qds_context *ctx, const qds_block *x, const double *c, qds_block *y) {
  QDS_REQUIRE(x->rows == y->rows, "qds_block_add_product: blocks of %lld and %lld rows", (long long)x->rows,
              (long long)y->rows);
  QDS_TRY(check_stride("qds_block_add_product", x));
  QDS_TRY(check_stride("qds_block_add_product", y));
  const qds_blas *blas = NULL;
  QDS_TRY(qds_blas_get(ctx, &blas));
  if (x->columns == 0 || y->columns == 0) return QDS_OK;
  const int ldx = (int)x->stride, ldy = (int)y->stride;
  const double one = 1;
  const int64_t tiles = tile_count(y->rows);

#pragma omp parallel for schedule(static) num_threads(team_size(ctx, tiles))
  for (int64_t tile = 0; tile < tiles; tile++) {
    const int64_t row = tile * TILE_ROWS;
    const int rows = tile_rows(y->rows, tile);
    blas->dgemm("N", "N", &rows, &y->columns, &x->columns, &one, x->data + row, &ldx, c, &x->columns, &one,
                y->data + row, &ldy);
  }
  return QDS_OK;
}

void qds_block_fill_random(qds_context *ctx, qds_block *block, uint64_t stream) {
  const uint64_t seed = qds_context_seed(ctx);
  const int64_t tiles = tile_count(block->rows);
#pragma omp parallel for schedule(static) collapse(2) num_threads(team_size(ctx, tiles * block->columns))
  for (int j = 0; j < block->columns; j++)
    for (int64_t tile = 0; tile < tiles; tile++) {
      double *column = qds_block_column(block, j);
      const int64_t begin = tile * TILE_ROWS, end = begin + tile_rows(block->rows, tile);
      for (int64_t i = begin; i < end; i++)
        column[i] = qds_random_normal(seed, stream + (uint64_t)j, (uint64_t)i);
    }
}

double qds_vector_dot(qds_context *ctx, int64_t rows, const double *a, const double *b) {
  double sums[MAX_GROUPS] = {0};
  const int groups = group_count(rows);
#pragma omp parallel for schedule(static) num_threads(team_size(ctx, groups))
  for (int group = 0; group < groups; group++)
    for (int64_t tile = group_begin(rows, group); tile < group_begin(rows, group + 1); tile++) {
      const int64_t begin = tile * TILE_ROWS, end = begin + tile_rows(rows, tile);
      double sum = 0;
#pragma omp simd reduction(+ : sum)
      for (int64_t i = begin; i < end; i++) sum += a[i] * b[i];
      sums[group] += sum;
    }
  double total = 0;
  for (int group = 0; group < groups; group++) total += sums[group];
  return total;
}

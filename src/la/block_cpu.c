/* The kernels of block algebra on the CPU. */
#include <omp.h>
#include <string.h>

#include "base/vectorise.h"
#include "la/blas.h"
#include "la/block.h"

/* A tile of all columns stays in the second-level cache. */
enum { TILE_ROWS = QDS_COMBINE_TILE_ROWS };
/* Waking a team costs more than the work on fewer rows. */
enum { FEWEST_SHARED_ROWS = 8192 };
/* So many groups of dot products are summed one after the other. */
enum { DOT_GROUPS = 128 };

typedef struct {
  int64_t first, last; /* rows */
} range;

static int64_t tiles_of(int64_t rows) {
  return (rows + TILE_ROWS - 1) / TILE_ROWS;
}

static range group_rows(int64_t rows, int group, int groups) {
  const int64_t tiles = tiles_of(rows), first = tiles * group / groups * TILE_ROWS,
                last = tiles * (group + 1) / groups * TILE_ROWS;
  return (range){first, last < rows ? last : rows};
}

/* products += a^T b over one tile, for each pair of blocks. */
static void tile_gram(const qds_gram_arguments *k, int64_t row, int rows, double *products) {
  const qds_blas *blas = k->blas;
  const double one = 1;
  for (int j = 0, column = 0; j < QDS_GRAM_RIGHT; column += k->b[j++].columns)
    for (int i = 0, line = 0; i < QDS_GRAM_LEFT; line += k->a[i++].columns) {
      const int lda = (int)k->a[i].stride, ldb = (int)k->b[j].stride;
      if (k->a[i].columns == 0 || k->b[j].columns == 0) continue;
      blas->dgemm("T", "N", &k->a[i].columns, &k->b[j].columns, &rows, &one, k->a[i].data + row, &lda,
                  k->b[j].data + row, &ldb, &one, products + (size_t)column * (size_t)k->left + line,
                  &k->left);
    }
}

static void gram(const void *arguments, int threads) {
  const qds_gram_arguments *k = arguments;
  const size_t size = (size_t)k->left * (size_t)k->right;
#pragma omp parallel for num_threads(threads) schedule(dynamic) if (k->rows > FEWEST_SHARED_ROWS)
  for (int group = 0; group < k->groups; group++) {
    double *sum = k->partial + size * (size_t)group;
    const range r = group_rows(k->rows, group, k->groups);
    memset(sum, 0, size * sizeof *sum);
    for (int64_t row = r.first; row < r.last; row += TILE_ROWS)
      tile_gram(k, row, (int)(r.last - row < TILE_ROWS ? r.last - row : TILE_ROWS), sum);
  }
  memset(k->products, 0, size * sizeof *k->products);
  for (int group = 0; group < k->groups; group++)
    for (size_t i = 0; i < size; i++) k->products[i] += k->partial[size * (size_t)group + i];
}

/* out (rows x outputs) = what the tile's rows become. */
static void tile_combine(const qds_combine_arguments *k, int64_t row, int rows, double *out) {
  const qds_blas *blas = k->blas;
  const int ldo = TILE_ROWS;
  const double one = 1;
  double beta = 0;
  for (int b = 0, offset = 0; b < QDS_COMBINE_FROM; offset += k->from[b++].columns) {
    if (k->from[b].columns == 0) continue;
    const int ld = (int)k->from[b].stride;
    blas->dgemm("N", "N", &rows, &k->outputs, &k->from[b].columns, &one, k->from[b].data + row, &ld,
                k->coefficients + offset, &k->inputs, &beta, out, &ldo);
    beta = 1;
  }
  if (beta == 0) memset(out, 0, sizeof *out * (size_t)ldo * (size_t)k->outputs);
}

static void write_tile(const qds_combine_arguments *k, int64_t row, int rows, const double *out) {
  for (int b = 0; b < QDS_COMBINE_TO; b++)
    for (int j = 0; j < k->to[b].columns; j++, out += TILE_ROWS) {
      double *to = k->to[b].data + j * k->to[b].stride + row;
      if (k->add)
        for (int i = 0; i < rows; i++) to[i] += out[i];
      else
        memcpy(to, out, sizeof *to * (size_t)rows);
    }
}

static void combine(const void *arguments, int threads) {
  const qds_combine_arguments *k = arguments;
  const size_t size = (size_t)TILE_ROWS * (size_t)k->outputs;
#pragma omp parallel for num_threads(threads) schedule(dynamic) if (k->rows > FEWEST_SHARED_ROWS)
  for (int64_t tile = 0; tile < tiles_of(k->rows); tile++) {
    const int64_t row = tile * TILE_ROWS;
    const int rows = (int)(k->rows - row < TILE_ROWS ? k->rows - row : TILE_ROWS);
    double *out = k->scratch + size * (size_t)omp_get_thread_num();
    tile_combine(k, row, rows, out);
    write_tile(k, row, rows, out);
  }
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

static void residual(const void *arguments, int threads) {
  const qds_residual_arguments *k = arguments;
  const int m = k->x.columns;
#pragma omp parallel for num_threads(threads) schedule(dynamic) if (k->rows > FEWEST_SHARED_ROWS)
  for (int group = 0; group < k->groups; group++) {
    const range r = group_rows(k->rows, group, k->groups);
    for (int j = 0; j < m; j++)
      k->partial[group * m + j] =
          subtract(r.last - r.first, k->eigenvalues[j], k->x.data + j * k->x.stride + r.first,
                   k->w.data + j * k->w.stride + r.first);
  }
  for (int j = 0; j < m; j++) {
    k->squares[j] = 0;
    for (int group = 0; group < k->groups; group++) k->squares[j] += k->partial[group * m + j];
  }
}

static void fill_normal(const void *arguments, int threads) {
  const qds_fill_normal_arguments *k = arguments;
  for (int j = 0; j < k->to.columns; j++) {
#pragma omp parallel for num_threads(threads) schedule(static) if (k->rows > FEWEST_SHARED_ROWS)
    for (int64_t i = 0; i < k->rows; i++) qds_fill_normal_at(k, j, i);
  }
}

const qds_kernel qds_gram_kernel = {QDS_KERNEL_GRAM, "Gram matrix", sizeof(qds_gram_arguments), gram},
                 qds_combine_kernel = {QDS_KERNEL_COMBINE, "combination", sizeof(qds_combine_arguments),
                                       combine},
                 qds_residual_kernel = {QDS_KERNEL_RESIDUAL, "residual", sizeof(qds_residual_arguments),
                                        residual},
                 qds_fill_normal_kernel = {QDS_KERNEL_FILL_NORMAL, "normal numbers",
                                           sizeof(qds_fill_normal_arguments), fill_normal};

double qds_vector_dot(qds_context *ctx, int64_t rows, const double *a, const double *b) {
  double sums[DOT_GROUPS] = {0};
#pragma omp parallel for schedule(static) num_threads(qds_context_threads(ctx)) if (rows > FEWEST_SHARED_ROWS)
  for (int group = 0; group < DOT_GROUPS; group++) {
    const range r = group_rows(rows, group, DOT_GROUPS);
    double sum = 0;
#pragma omp simd reduction(+ : sum)
    for (int64_t i = r.first; i < r.last; i++) sum += a[i] * b[i];
    sums[group] = sum;
  }
  double total = 0;
  for (int group = 0; group < DOT_GROUPS; group++) total += sums[group];
  return total;
}

#include "la/coupling.h"

#include <string.h>

void qds_couplings_clear(qds_couplings *c) {
  qds_release(c->row);
  qds_release(c->start);
  qds_release(c->column);
  qds_release(c->diagonal);
  qds_release(c->value);
  memset(c, 0, sizeof *c);
}

/* The rows that couplings touch, as a set of bits with the number of those before each word: the place of a
 * row among them takes two reads, and the set a fifth of a byte per row. */
typedef struct {
  uint64_t *bits;
  int64_t *before, words;
} row_set;

static void row_set_release(row_set *set) {
  qds_release(set->bits);
  qds_release(set->before);
}

static int64_t place_of(const row_set *set, int64_t row) {
  const uint64_t below = set->bits[row / 64] & (((uint64_t)1 << row % 64) - 1);
  return set->before[row / 64] + __builtin_popcountll(below);
}

static qds_status collect_rows(qds_context *ctx, int64_t rows, int64_t count, const qds_coupling *list,
                               row_set *set, int64_t *touched) {
  qds_allocator *allocator = qds_context_allocator(ctx);
  set->words = rows / 64 + 1;
  QDS_TRY(QDS_NEW_ZERO(allocator, set->words, "operator", &set->bits));
  QDS_TRY(QDS_NEW(allocator, set->words, "operator", &set->before));
  for (int64_t i = 0; i < count; i++) {
    set->bits[list[i].a / 64] |= (uint64_t)1 << list[i].a % 64;
    if (list[i].b >= 0) set->bits[list[i].b / 64] |= (uint64_t)1 << list[i].b % 64;
  }
  *touched = 0;
  for (int64_t w = 0; w < set->words; w++) {
    set->before[w] = *touched;
    *touched += __builtin_popcountll(set->bits[w]);
  }
  return QDS_OK;
}

/* The rows in order, and where the entries of each start. */
static qds_status lay_out(qds_context *ctx, const row_set *set, int64_t count, const qds_coupling *list,
                          qds_couplings *out) {
  qds_allocator *allocator = qds_context_allocator(ctx);
  QDS_TRY(QDS_NEW(allocator, out->rows, "operator", &out->row));
  QDS_TRY(QDS_NEW_ZERO(allocator, out->rows + 1, "operator", &out->start));
  QDS_TRY(QDS_NEW_ZERO(allocator, out->rows, "operator", &out->diagonal));
  int64_t place = 0;
  for (int64_t w = 0; w < set->words; w++)
    for (uint64_t bits = set->bits[w]; bits; bits &= bits - 1)
      out->row[place++] = 64 * w + __builtin_ctzll(bits);
  for (int64_t i = 0; i < count; i++) {
    out->start[place_of(set, list[i].a) + 1]++;
    if (list[i].b >= 0) out->start[place_of(set, list[i].b) + 1]++;
  }
  for (int64_t r = 0; r < out->rows; r++) out->start[r + 1] += out->start[r];
  QDS_TRY(QDS_NEW_ZERO(allocator, out->start[out->rows], "operator", &out->column));
  return QDS_NEW_ZERO(allocator, out->start[out->rows], "operator", &out->value);
}

static qds_status fill(qds_context *ctx, int64_t rows, int64_t count, const qds_coupling *list,
                       qds_couplings *out) {
  __attribute__((cleanup(row_set_release))) row_set set = {0};
  QDS_AUTO_RELEASE int64_t *used = NULL;
  QDS_TRY(collect_rows(ctx, rows, count, list, &set, &out->rows));
  QDS_TRY(lay_out(ctx, &set, count, list, out));
  QDS_TRY(QDS_NEW_ZERO(qds_context_allocator(ctx), out->rows, "operator", &used));
  for (int64_t i = 0; i < count; i++) {
    const qds_coupling *c = &list[i];
    for (int end = 0; end < (c->b >= 0 ? 2 : 1); end++) {
      const int64_t at = place_of(&set, end ? c->b : c->a), entry = out->start[at] + used[at]++;
      out->diagonal[at] += end ? c->bb : c->aa;
      out->column[entry] = end ? c->a : c->b >= 0 ? c->b : c->a;
      out->value[entry] = c->b >= 0 ? c->ab : 0;
    }
  }
  return QDS_OK;
}

qds_status qds_couplings_create(qds_context *ctx, int64_t rows, int64_t count, const qds_coupling *list,
                                qds_couplings *out) {
  memset(out, 0, sizeof *out);
  if (count == 0) return QDS_OK;
  const qds_status status = fill(ctx, rows, count, list, out);
  if (status != QDS_OK) qds_couplings_clear(out);
  return status;
}

void qds_couplings_add(qds_context *ctx, const qds_couplings *c, const qds_block *x, qds_block *y) {
  for (int column = 0; column < x->columns; column++) {
    const double *from = qds_block_column(x, column);
    double *to = qds_block_column(y, column);
#pragma omp parallel for num_threads(qds_context_threads(ctx)) schedule(static) if (c->rows > 4096)
    for (int64_t i = 0; i < c->rows; i++) {
      double sum = c->diagonal[i] * from[c->row[i]];
      for (int64_t e = c->start[i]; e < c->start[i + 1]; e++) sum += c->value[e] * from[c->column[e]];
      to[c->row[i]] += sum;
    }
  }
}

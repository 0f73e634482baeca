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

/* Which of the touched rows each row is, from how many couplings hold it: place[row], -1 for
 * the untouched. */
static qds_status number_rows(qds_context *ctx, int64_t rows, int64_t count, const qds_coupling *list,
                              int64_t *place, qds_couplings *out) {
  qds_allocator *allocator = qds_context_allocator(ctx);
  memset(place, 0, sizeof *place * (size_t)rows);
  for (int64_t i = 0; i < count; i++) {
    place[list[i].a]++;
    if (list[i].b >= 0) place[list[i].b]++;
  }
  for (int64_t r = 0; r < rows; r++) out->rows += place[r] > 0;
  QDS_TRY(QDS_NEW(allocator, out->rows, "operator", &out->row));
  QDS_TRY(QDS_NEW(allocator, out->rows + 1, "operator", &out->start));
  QDS_TRY(QDS_NEW_ZERO(allocator, out->rows, "operator", &out->diagonal));
  int64_t touched = 0, entries = 0;
  for (int64_t r = 0; r < rows; r++) {
    const int64_t held = place[r];
    place[r] = -1;
    if (held == 0) continue;
    out->row[touched] = r;
    out->start[touched] = entries;
    entries += held;
    place[r] = touched++;
  }
  out->start[touched] = entries;
  QDS_TRY(QDS_NEW_ZERO(allocator, entries, "operator", &out->column));
  return QDS_NEW_ZERO(allocator, entries, "operator", &out->value);
}

static qds_status fill(qds_context *ctx, int64_t rows, int64_t count, const qds_coupling *list,
                       qds_couplings *out) {
  QDS_AUTO_RELEASE int64_t *place = NULL, *used = NULL;
  QDS_TRY(QDS_NEW(qds_context_allocator(ctx), rows, "operator", &place));
  QDS_TRY(number_rows(ctx, rows, count, list, place, out));
  QDS_TRY(QDS_NEW_ZERO(qds_context_allocator(ctx), out->rows, "operator", &used));
  for (int64_t i = 0; i < count; i++) {
    const qds_coupling *c = &list[i];
    for (int end = 0; end < (c->b >= 0 ? 2 : 1); end++) {
      const int64_t at = place[end ? c->b : c->a], entry = out->start[at] + used[at]++;
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

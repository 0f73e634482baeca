/* Targets whose vectors hold several of the tensor operator's: how those of the grids become theirs. */
#include "la/spectrum_internal.h"

/* Column j of a block of the target's vectors as a block of its parts. */
static qds_block parts_of(const qds_search *s, const qds_block *block, int j) {
  const int64_t rows = s->operator_->rows;
  return (qds_block){qds_block_column(block, j), rows, s->parts > 1 ? rows : block->stride, s->parts,
                     block->stream};
}

qds_status qds_search_lift(const qds_search *s, const qds_block *coarse, qds_block *fine) {
  for (int j = 0; j < fine->columns; j++) {
    qds_block all = parts_of(s, fine, j);
    const qds_block from = qds_block_part(coarse, j / s->parts, 1);
    qds_block part = qds_block_part(&all, j % s->parts, 1);
    QDS_TRY(qds_block_zero(&all));
    QDS_TRY(qds_multigrid_prolong(s->multigrid, s->ctx, 1, &from, &part));
  }
  return QDS_OK;
}

qds_status qds_search_join_parts(const qds_search *s, qds_block *y) {
  qds_block fine = {0};
  QDS_TRY(qds_block_create_on(s->ctx, s->stream, s->target.rows, 1, "eigensolver", &fine));
  qds_block parts = parts_of(s, &fine, 0);
  const qds_status status = qds_multigrid_prolong(s->multigrid, s->ctx, 1, y, &parts);
  qds_block_clear(y);
  *y = fine;
  return status;
}

/* Fast diagonalisation reads several numbers of a device's vectors at once: column by column, through one
 * that begins where they may. */
static qds_status precondition_aligned(const qds_search *s, const qds_block *x, qds_block *y) {
  __attribute__((cleanup(qds_block_clear))) qds_block own = {0};
  QDS_TRY(qds_block_create_on(s->ctx, x->stream, x->rows, 1, "eigensolver", &own));
  for (int j = 0; j < x->columns; j++) {
    const qds_block from = qds_block_part(x, j, 1);
    qds_block to = qds_block_part(y, j, 1);
    QDS_TRY(qds_block_copy(&from, &own));
    QDS_TRY(s->part_preconditioner.apply(s->part_preconditioner.self, s->ctx, &own, &own));
    QDS_TRY(qds_block_copy(&own, &to));
  }
  return QDS_OK;
}

static qds_status precondition(void *self, qds_context *ctx, const qds_block *x, qds_block *y) {
  const qds_search *s = self;
  const qds_operator each = s->part_preconditioner;
  for (int p = 0; p < s->parts; p++) {
    const int64_t begin = p * each.rows;
    const qds_block from = {x->data + begin, each.rows, x->stride, x->columns, x->stream};
    qds_block to = {y->data + begin, each.rows, y->stride, y->columns, y->stream};
    const int unaligned = begin * (int64_t)sizeof(double) % QDS_ALIGNMENT != 0;
    QDS_TRY(s->fdm && s->stream && unaligned ? precondition_aligned(s, &from, &to)
                                             : each.apply(each.self, ctx, &from, &to));
  }
  return QDS_OK;
}

qds_operator qds_search_precondition_parts(qds_search *s) {
  return (qds_operator){s, s->target.rows, "preconditioner of each part", precondition};
}

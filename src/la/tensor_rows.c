#include "la/tensor_rows.h"

#include <string.h>

/* The element below or above unknown i of an axis (side 0, 1) in the order-1 form, where each element has
 * `order` edges; behind an end, where it counts nothing, any other. */
static int64_t element_beside(const qds_axis *axis, int64_t i, int side) {
  const int64_t edges = axis->nodes - 1;
  int64_t e = i + axis->first - 1 + side;
  if (axis->boundary[0] == QDS_PERIODIC) e = (e + edges) % edges;
  return (e < 0 ? 0 : e < edges ? e : edges - 1) / axis->order;
}

/* --- the last axis: its coefficients below and above each unknown --------------------------------------- */

typedef struct {
  const qds_tensor_operator *t;
  qds_lines c;
} side_lines;

/* Inside a line at order 1 the elements beside its unknowns follow each other. */
static const double *side_of_line(const void *self, int64_t line, double *scratch) {
  const side_lines *from = self;
  const qds_axis *axis = from->t->axis[2];
  const int64_t n = from->t->n[2], last = axis->order == 1 && n > 2 ? n - 1 : 1;
  const double *c = from->c.line(from->c.self, line / 2, scratch + n);
  const int side = (int)(line % 2);
  if (last > 1) memcpy(scratch + 1, c + axis->first + side, sizeof *c * (size_t)(last - 1));
  scratch[0] = c[element_beside(axis, 0, side)];
  for (int64_t k = last; k < n; k++) scratch[k] = c[element_beside(axis, k, side)];
  return scratch;
}

static int sides_repeat(const void *self, int64_t pair) {
  const side_lines *from = self;
  return from->c.repeats(from->c.self, pair);
}

/* --- sevens --------------------------------------------------------------------------------------------- */

/* The codes of the operator's tiles on the host. */
typedef struct {
  const qds_tensor_operator *t;
  uint32_t *v, *c[2], *sides;
  int64_t tiles;
} codes;

static void codes_release(codes *c) {
  qds_release(c->v);
  qds_release(c->c[0]);
  qds_release(c->c[1]);
  qds_release(c->sides);
}

/* The codes of a line for each of the seven, and how far they are apart: 0 where one holds for the line. */
typedef struct {
  const uint32_t *code[QDS_ROW_NUMBERS];
  int step[QDS_ROW_NUMBERS];
} seven_lines;

/* Those of axis a = 0 or 1 on one side of the line (i, j). An axis without coefficients takes the codes of
 * the potential, which then count nothing. */
static void lines_beside(const codes *c, int a, int side, int64_t i, int64_t j, seven_lines *lines) {
  const qds_tensor_operator *t = c->t;
  const int s = QDS_ROW_C + 2 * a + side;
  lines->code[s] = lines->code[QDS_ROW_V];
  lines->step[s] = 1;
  if (!qds_tensor_operator_has(t, a)) return;
  const int64_t e = element_beside(t->axis[a], a == 0 ? i : j, side);
  lines->step[s] = !t->by_element[a];
  lines->code[s] = t->by_element[a] ? c->c[a] + e
                   : a == 0         ? c->c[0] + (e * t->n[1] + j) * c->tiles
                                    : c->c[1] + (i * t->axis[1]->elements + e) * c->tiles;
}

static seven_lines lines_of_seven(const codes *c, int64_t line) {
  const qds_tensor_operator *t = c->t;
  seven_lines lines;
  lines.code[QDS_ROW_V] = c->v + line * c->tiles;
  lines.step[QDS_ROW_V] = 1;
  for (int side = 0; side < 2; side++) {
    for (int a = 0; a < 2; a++) lines_beside(c, a, side, line / t->n[1], line % t->n[1], &lines);
    const int64_t pair = t->by_element[2] ? 0 : line;
    lines.code[QDS_ROW_C + 4 + side] =
        qds_tensor_operator_has(t, 2) ? c->sides + (2 * pair + side) * c->tiles : lines.code[QDS_ROW_V];
    lines.step[QDS_ROW_C + 4 + side] = 1;
  }
  return lines;
}

/* What one thread has numbered. */
enum { KNOWN = 4096 };
typedef struct {
  qds_allocator *allocator;
  uint32_t *sevens;
  int64_t count, room;
  uint32_t known[KNOWN]; /* at their hash: 1 + number, 0 for none */
  qds_status status;
} piece;

static qds_status number_of(piece *p, const uint32_t seven[QDS_ROW_CODES], uint32_t *number) {
  uint64_t hash = 0xcbf29ce484222325u;
  for (int s = 0; s < QDS_ROW_CODES; s++) hash = (hash ^ seven[s]) * 0x100000001b3u;
  uint32_t *known = &p->known[(hash ^ hash >> 32) % KNOWN];
  const size_t bytes = sizeof *seven * QDS_ROW_CODES;
  if (!*known || memcmp(p->sevens + (size_t)(*known - 1) * QDS_ROW_CODES, seven, bytes) != 0) {
    if (p->count == p->room) {
      p->room = p->room ? 2 * p->room : 256;
      QDS_TRY(QDS_RESIZE(p->allocator, p->room * QDS_ROW_CODES, "coefficients", &p->sevens));
    }
    memcpy(p->sevens + p->count * QDS_ROW_CODES, seven, bytes);
    *known = (uint32_t)++p->count;
  }
  *number = *known - 1;
  return QDS_OK;
}

static void number_lines(piece *p, const codes *c, int64_t first, int64_t last, uint32_t *row) {
  uint32_t seven[QDS_ROW_CODES] = {0};
  for (int64_t line = first; line < last; line++) {
    const seven_lines lines = lines_of_seven(c, line);
    for (int64_t k = 0; p->status == QDS_OK && k < c->tiles; k++) {
      for (int s = 0; s < QDS_ROW_NUMBERS; s++) seven[s] = lines.code[s][k * lines.step[s]];
      p->status = number_of(p, seven, row++);
    }
  }
}

/* Numbers on from piece to piece, and uploads. */
static qds_status upload(int pieces, const piece *p, uint32_t *row, qds_tensor_rows *out) {
  for (int i = 0; i < pieces; i++) {
    if (p[i].status != QDS_OK) QDS_FAIL(p[i].status, "no memory to number the rows of an operator");
    out->count += p[i].count;
  }
  QDS_TRY(QDS_STREAM_NEW(out->stream, out->count * QDS_ROW_CODES, "coefficients", &out->sevens));
  QDS_TRY(QDS_STREAM_NEW(out->stream, out->lines * out->tiles, "coefficients", &out->row));
  int64_t before = 0;
  for (int i = 0; i < pieces; i++) {
    const int64_t first = out->lines * i / pieces * out->tiles,
                  last = out->lines * (i + 1) / pieces * out->tiles;
    for (int64_t r = first; before > 0 && r < last; r++) row[r] += (uint32_t)before;
    QDS_TRY(qds_stream_copy(out->stream, out->sevens + before * QDS_ROW_CODES, p[i].sevens,
                            sizeof *p->sevens * (size_t)(p[i].count * QDS_ROW_CODES)));
    before += p[i].count;
  }
  return qds_stream_copy(out->stream, out->row, row, sizeof *row * (size_t)(out->lines * out->tiles));
}

static qds_status number_rows(qds_context *ctx, const codes *c, qds_tensor_rows *out) {
  qds_allocator *allocator = qds_context_allocator(ctx);
  const int pieces = out->lines < qds_context_threads(ctx) ? 1 : qds_context_threads(ctx);
  QDS_AUTO_RELEASE piece *p = NULL;
  QDS_AUTO_RELEASE uint32_t *row = NULL;
  QDS_TRY(QDS_NEW(allocator, out->lines * out->tiles, "coefficients", &row));
  QDS_TRY(QDS_NEW_ZERO(allocator, pieces, "coefficients", &p));
#pragma omp parallel for num_threads(pieces) schedule(static, 1)
  for (int i = 0; i < pieces; i++) {
    p[i].allocator = allocator;
    const int64_t first = out->lines * i / pieces;
    number_lines(&p[i], c, first, out->lines * (i + 1) / pieces, row + first * out->tiles);
  }
  const qds_status status = upload(pieces, p, row, out);
  for (int i = 0; i < pieces; i++) qds_release(p[i].sevens);
  return status;
}

/* --- together ------------------------------------------------------------------------------------------- */

static qds_status compress_potential(qds_context *ctx, const qds_tensor_operator *t, int open_potential,
                                     codes *c, qds_tensor_rows *out) {
  int64_t count, length;
  qds_dense_lines dense;
  const qds_lines lines = qds_tensor_operator_lines(t, 3, &dense, &count, &length);
  if (open_potential) return qds_tiled_create_open(ctx, out->stream, count, length, &out->v, &c->v);
  return qds_tiled_create_lines(ctx, out->stream, count, length, &lines, 1, &out->v, &c->v);
}

static qds_status compress(qds_context *ctx, const qds_tensor_operator *t, int open_potential, codes *c,
                           qds_tensor_rows *out) {
  int64_t count, length;
  qds_dense_lines dense;
  qds_lines lines = {0};
  QDS_TRY(compress_potential(ctx, t, open_potential, c, out));
  for (int a = 0; a < 3; a++) {
    if (!qds_tensor_operator_has(t, a)) continue;
    lines = qds_tensor_operator_lines(t, a, &dense, &count, &length);
    QDS_TRY(qds_tiled_create_lines(ctx, out->stream, count, length, &lines, 1, &out->c[a],
                                   a < 2 ? &c->c[a] : NULL));
  }
  if (!qds_tensor_operator_has(t, 2)) return QDS_OK;
  side_lines sides = {t, lines};
  lines = (qds_lines){.line = side_of_line, .repeats = lines.repeats ? sides_repeat : NULL, .self = &sides};
  return qds_tiled_create_lines(ctx, out->stream, 2 * count, t->n[2], &lines, 2, &out->sides, &c->sides);
}

qds_status qds_tensor_rows_create(qds_context *ctx, qds_stream *stream, const qds_tensor_operator *t,
                                  int open_potential, qds_tensor_rows *out) {
  *out = (qds_tensor_rows){
      .stream = stream, .lines = t->n[0] * t->n[1], .tiles = (t->n[2] + QDS_TILE - 1) / QDS_TILE};
  __attribute__((cleanup(codes_release))) codes c = {.t = t, .tiles = out->tiles};
  qds_status status = compress(ctx, t, open_potential, &c, out);
  if (status == QDS_OK) status = number_rows(ctx, &c, out);
  if (status != QDS_OK) qds_tensor_rows_clear(out);
  return status;
}

void qds_tensor_rows_clear(qds_tensor_rows *rows) {
  if (rows->stream) {
    qds_stream_release(rows->stream, rows->row);
    qds_stream_release(rows->stream, rows->sevens);
  }
  for (int a = 0; a < 3; a++) qds_tiled_clear(&rows->c[a]);
  qds_tiled_clear(&rows->sides);
  qds_tiled_clear(&rows->v);
  *rows = (qds_tensor_rows){0};
}

size_t qds_tensor_rows_bytes(const qds_tensor_rows *rows) {
  size_t bytes = sizeof *rows->row * (size_t)(rows->lines * rows->tiles + rows->count * QDS_ROW_CODES) +
                 qds_tiled_bytes(&rows->v) + qds_tiled_bytes(&rows->sides);
  for (int a = 0; a < 3; a++) bytes += qds_tiled_bytes(&rows->c[a]);
  return bytes;
}

qds_tensor_rows_view qds_tensor_rows_of(const qds_tensor_rows *rows) {
  qds_tensor_rows_view view = {rows->row, rows->sevens, {0}, (int)rows->tiles};
  view.numbers[QDS_ROW_V] = rows->v.numbers;
  for (int s = 0; s < 6; s++) {
    const qds_tiled *c = s / 2 == 2 ? &rows->sides : &rows->c[s / 2];
    view.numbers[QDS_ROW_C + s] = c->numbers ? c->numbers : rows->v.numbers;
  }
  return view;
}

qds_tiled_view qds_tensor_rows_coefficient(const qds_tensor_rows *rows, const qds_tensor_operator *t,
                                           int axis) {
  qds_tiled_view view = qds_tiled_grid(&rows->c[axis], axis == 1 ? t->axis[1]->elements : t->n[1]);
  for (int b = 0; t->by_element[axis] && b < 3; b++) view.stride[b] = axis == b;
  return view;
}

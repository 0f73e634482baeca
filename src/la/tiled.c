#include "la/tiled.h"

#include <string.h>

/* What one thread has compressed: the codes of its lines, in place, and their numbers. */
enum { KNOWN = 1024 };
typedef struct {
  qds_allocator *allocator;
  double *scratch; /* of a line */
  double *numbers;
  int64_t count, room;
  int64_t open;          /* where the next single number goes; a multiple of QDS_TILE: nowhere yet */
  uint32_t known[KNOWN]; /* tiles and numbers met before, at their hash: 1 + code, 0 for none */
  qds_status status;
} piece;

static const int64_t MOST_NUMBERS = (int64_t)1 << 31;

static qds_status append_tile(piece *p, const double *tile, int64_t *place) {
  if (p->count + QDS_TILE > p->room) {
    const int64_t room = p->room ? 2 * p->room : 64 * QDS_TILE;
    if (p->count >= MOST_NUMBERS) return QDS_ERROR_UNSUPPORTED;
    QDS_TRY(QDS_RESIZE(p->allocator, room, "coefficients", &p->numbers));
    p->room = room;
  }
  *place = p->count;
  memcpy(p->numbers + p->count, tile, sizeof *tile * QDS_TILE);
  p->count += QDS_TILE;
  return QDS_OK;
}

/* FNV-1a over the words. */
static uint32_t hash_of(const double *numbers, int count) {
  uint64_t hash = 0xcbf29ce484222325u;
  for (int i = 0; i < count; i++) {
    uint64_t word;
    memcpy(&word, numbers + i, sizeof word);
    hash = (hash ^ word) * 0x100000001b3u;
    hash ^= hash >> 32;
  }
  return (uint32_t)(hash ^ hash >> 20) % KNOWN;
}

/* The code of QDS_TILE numbers, or of one for all. */
static qds_status find_code(piece *p, const double *tile, int varies, uint32_t *code) {
  const int size = varies ? QDS_TILE : 1;
  uint32_t *known = &p->known[hash_of(tile, size)];
  if (*known && (int)((*known - 1) & 1) == varies &&
      !memcmp(p->numbers + ((*known - 1) >> 1), tile, sizeof *tile * (size_t)size)) {
    *code = *known - 1;
    return QDS_OK;
  }
  int64_t place = p->open;
  if (varies || p->open % QDS_TILE == 0)
    QDS_TRY(append_tile(p, tile, &place));
  else
    p->numbers[place] = *tile;
  if (!varies) p->open = place + 1;
  *code = (uint32_t)(2 * place + varies);
  *known = *code + 1;
  return QDS_OK;
}

/* One tile, its last number repeated where the line ends inside it. */
static qds_status compress_tile(piece *p, const double *numbers, int count, uint32_t *code) {
  double copy[QDS_TILE];
  const int varies = memcmp(numbers, numbers + 1, sizeof *numbers * (size_t)(count - 1)) != 0;
  if (count < QDS_TILE) {
    for (int i = 0; i < QDS_TILE; i++) copy[i] = numbers[i < count ? i : count - 1];
    numbers = copy;
  }
  return find_code(p, numbers, varies, code);
}

static int repeats(const qds_lines *from, int group, int64_t line) {
  return from->repeats && from->repeats(from->self, line / group);
}

static void compress_lines(piece *p, const qds_lines *from, int group, int64_t length, int64_t first,
                           int64_t last, uint32_t *code) {
  const int64_t tiles = (length + QDS_TILE - 1) / QDS_TILE;
  p->status = QDS_NEW(p->allocator, 2 * length + 2, "coefficients", &p->scratch);
  for (int64_t line = first; p->status == QDS_OK && line < last; line++) {
    if (line >= first + group && repeats(from, group, line)) {
      memcpy(code, code - group * tiles, sizeof *code * (size_t)tiles);
      code += tiles;
      continue;
    }
    const double *numbers = from->line(from->self, line, p->scratch);
    for (int64_t k = 0; p->status == QDS_OK && k < length; k += QDS_TILE)
      p->status = compress_tile(p, numbers + k, length - k < QDS_TILE ? (int)(length - k) : QDS_TILE, code++);
  }
  qds_release(p->scratch);
}

/* Moves the pieces' codes and numbers to where the stream has them. */
static qds_status upload(int pieces, const piece *p, qds_tiled *t, uint32_t *code) {
  int64_t before = 0;
  for (int i = 0; i < pieces; i++) {
    const int64_t first = t->lines * i / pieces * t->tiles, last = t->lines * (i + 1) / pieces * t->tiles;
    for (int64_t c = first; before > 0 && c < last; c++) code[c] += (uint32_t)(2 * before);
    QDS_TRY(qds_stream_copy(t->stream, t->numbers + before, p[i].numbers,
                            sizeof *t->numbers * (size_t)p[i].count));
    before += p[i].count;
  }
  return qds_stream_copy(t->stream, t->code, code, sizeof *code * (size_t)(t->lines * t->tiles));
}

static qds_status take_together(qds_stream *stream, int pieces, const piece *p, uint32_t *code,
                                qds_tiled *t) {
  for (int i = 0; i < pieces; i++) {
    t->count += p[i].count;
    if (p[i].status == QDS_ERROR_UNSUPPORTED || t->count > MOST_NUMBERS)
      QDS_FAIL(QDS_ERROR_UNSUPPORTED,
               "coefficients: more than 2^31 different numbers; use a coarser grid or the device cpu");
    if (p[i].status != QDS_OK)
      QDS_FAIL(p[i].status, "no memory to compress %lld lines of %lld coefficients", (long long)t->lines,
               (long long)t->length);
  }
  t->stream = stream;
  QDS_TRY(QDS_STREAM_NEW(stream, t->lines * t->tiles, "coefficients", &t->code));
  QDS_TRY(QDS_STREAM_NEW(stream, t->count, "coefficients", &t->numbers));
  return upload(pieces, p, t, code);
}

qds_status qds_tiled_create_lines(qds_context *ctx, qds_stream *stream, int64_t lines, int64_t length,
                                  const qds_lines *from, int group, qds_tiled *out, uint32_t **host_code) {
  qds_allocator *allocator = qds_context_allocator(ctx);
  const int pieces = lines < qds_context_threads(ctx) ? 1 : qds_context_threads(ctx);
  QDS_AUTO_RELEASE piece *p = NULL;
  QDS_AUTO_RELEASE uint32_t *code = NULL;
  *out = (qds_tiled){.lines = lines, .length = length, .tiles = (length + QDS_TILE - 1) / QDS_TILE};
  const int64_t tiles = out->tiles;
  QDS_TRY(QDS_NEW(allocator, lines * tiles, "coefficients", &code));
  QDS_TRY(QDS_NEW_ZERO(allocator, pieces, "coefficients", &p));
#pragma omp parallel for num_threads(pieces) schedule(static, 1)
  for (int i = 0; i < pieces; i++) {
    p[i].allocator = allocator;
    const int64_t first = lines * i / pieces;
    compress_lines(&p[i], from, group, length, first, lines * (i + 1) / pieces, code + first * tiles);
  }
  const qds_status status = take_together(stream, pieces, p, code, out);
  for (int i = 0; i < pieces; i++) qds_release(p[i].numbers);
  if (status != QDS_OK) {
    qds_tiled_clear(out);
  } else if (host_code) {
    *host_code = code;
    code = NULL;
  }
  return status;
}

qds_status qds_tiled_create(qds_context *ctx, qds_stream *stream, int64_t lines, int64_t length,
                            const double *dense, qds_tiled *out) {
  qds_dense_lines numbers = {dense, length};
  const qds_lines from = {.line = qds_dense_line, .self = &numbers};
  return qds_tiled_create_lines(ctx, stream, lines, length, &from, 1, out, NULL);
}

qds_status qds_tiled_create_open(qds_context *ctx, qds_stream *stream, int64_t lines, int64_t length,
                                 qds_tiled *out, uint32_t **host_code) {
  const int64_t tiles = (length + QDS_TILE - 1) / QDS_TILE, count = lines * tiles * QDS_TILE;
  QDS_AUTO_RELEASE uint32_t *code = NULL;
  *out = (qds_tiled){.stream = stream, .lines = lines, .length = length, .tiles = tiles, .count = count};
  if (count > MOST_NUMBERS)
    QDS_FAIL(QDS_ERROR_UNSUPPORTED,
             "a potential of %lld numbers that can be changed; a device takes at most 2^31",
             (long long)count);
  QDS_TRY(QDS_NEW(qds_context_allocator(ctx), lines * tiles, "coefficients", &code));
  for (int64_t tile = 0; tile < lines * tiles; tile++) code[tile] = (uint32_t)(2 * tile * QDS_TILE + 1);
  qds_status status = QDS_STREAM_NEW(stream, lines * tiles, "coefficients", &out->code);
  if (status == QDS_OK) status = QDS_STREAM_NEW(stream, count, "coefficients", &out->numbers);
  if (status == QDS_OK)
    status = qds_stream_copy(stream, out->code, code, sizeof *code * (size_t)(lines * tiles));
  if (status == QDS_OK)
    status = qds_stream_fill(stream, out->numbers, 0, sizeof *out->numbers * (size_t)count);
  if (status != QDS_OK) {
    qds_tiled_clear(out);
    return status;
  }
  *host_code = code;
  code = NULL;
  return QDS_OK;
}

void qds_tiled_clear(qds_tiled *t) {
  if (t->stream) {
    qds_stream_release(t->stream, t->code);
    qds_stream_release(t->stream, t->numbers);
  }
  *t = (qds_tiled){0};
}

size_t qds_tiled_bytes(const qds_tiled *t) {
  return sizeof *t->code * (size_t)(t->lines * t->tiles) + sizeof *t->numbers * (size_t)t->count;
}

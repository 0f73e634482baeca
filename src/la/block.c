#include "la/block.h"

#include <limits.h>
#include <math.h>
#include <string.h>

#include "la/blas.h"

/* Bytes at whose multiples columns start: a cache line of a host; on a device more, because warps that go
 * through columns which start differently within 256 bytes take up to a sixth longer (`bench_block cuda`,
 * shifted). */
enum { HOST_LINE = QDS_ALIGNMENT, DEVICE_LINE = 256 };
/* Sums run over the rows of a group and then over groups in order; how the rows are cut into groups depends
 * on the number of rows only, on a device also on how many groups it works on at once. That makes every
 * result independent of the thread count. */
enum { HOST_GROUPS = 64, DEVICE_GROUPS = 1056, FEWEST_GROUP_ROWS = QDS_COMBINE_TILE_ROWS };

/* Numbers that a device keeps of the groups of a Gram matrix. */
enum { MOST_DEVICE_SUMS = 1 << 23 };

/* The bytes of a column can be counted in a size_t. */
static const int64_t MAX_ROWS = INT64_MAX / (2 * (int64_t)sizeof(double));

qds_status qds_block_create_on(qds_context *ctx, qds_stream *stream, int64_t rows, int columns,
                               const char *tag, qds_block *out) {
  *out = (qds_block){0};
  QDS_REQUIRE(rows >= 0 && rows <= MAX_ROWS && columns >= 0,
              "qds_block_create: %lld rows and %d columns; allowed are 0 to %lld rows and at least 0 columns",
              (long long)rows, columns, (long long)MAX_ROWS);
  const int64_t line =
      (stream && !qds_stream_on_host(stream) ? DEVICE_LINE : HOST_LINE) / (int)sizeof(double);
  int64_t stride = (rows + line - 1) / line * line;
  /* Columns an odd number of lines apart lie in different sets of a cache, and in different channels of a
   * device's memory. */
  if (stride / line % 2 == 0 && stride > 0) stride += line;
  void *data = NULL;
  const size_t bytes = (size_t)stride * sizeof(double);
  if (stream)
    QDS_TRY(qds_stream_allocate(stream, (size_t)columns, bytes, tag, __FILE__, __LINE__, &data));
  else
    QDS_TRY(qds_allocate(qds_context_allocator(ctx), (size_t)columns, bytes, tag, __FILE__, __LINE__, &data));
  *out = (qds_block){data, rows, stride, columns, stream};
  return QDS_OK;
}

qds_status qds_block_create(qds_context *ctx, int64_t rows, int columns, const char *tag, qds_block *out) {
  return qds_block_create_on(ctx, NULL, rows, columns, tag, out);
}

void qds_block_clear(qds_block *block) {
  if (block->stream)
    qds_stream_release(block->stream, block->data);
  else
    qds_release(block->data);
  *block = (qds_block){0};
}

qds_status qds_block_copy(const qds_block *from, qds_block *to) {
  QDS_REQUIRE(from->rows == to->rows && from->columns == to->columns,
              "qds_block_copy: %lld x %d numbers to %lld x %d", (long long)from->rows, from->columns,
              (long long)to->rows, to->columns);
  const size_t bytes = sizeof(double) * (size_t)from->rows;
  qds_stream *stream = to->stream ? to->stream : from->stream;
  qds_status status = QDS_OK;
  for (int j = 0; j < from->columns && status == QDS_OK; j++)
    if (stream)
      status = qds_stream_copy(stream, qds_block_column(to, j), qds_block_column(from, j), bytes);
    else
      memmove(qds_block_column(to, j), qds_block_column(from, j), bytes);
  if (!stream || to->stream) return status;
  /* Also after a failure: columns before it may still be on their way to memory that the caller gives back.
   */
  const qds_status arrived = qds_stream_synchronise(stream);
  return status == QDS_OK ? arrived : status;
}

qds_status qds_block_to_host(qds_context *ctx, const char *tag, qds_block *block) {
  __attribute__((cleanup(qds_block_clear))) qds_block host = {0};
  if (!block->stream) return QDS_OK;
  QDS_TRY(qds_block_create(ctx, block->rows, block->columns, tag, &host));
  QDS_TRY(qds_block_copy(block, &host));
  qds_block_clear(block);
  *block = host;
  host = (qds_block){0};
  return QDS_OK;
}

qds_status qds_block_zero(qds_block *block) {
  const size_t bytes = sizeof(double) * (size_t)block->rows;
  for (int j = 0; j < block->columns; j++)
    if (block->stream)
      QDS_TRY(qds_stream_fill(block->stream, qds_block_column(block, j), 0, bytes));
    else
      memset(qds_block_column(block, j), 0, bytes);
  return QDS_OK;
}

/* The stream that work on a block of the host goes through. */
static qds_stream host_stream(qds_context *ctx) {
  return (qds_stream){NULL, NULL, qds_context_allocator(ctx), qds_context_threads(ctx)};
}

static int runs_library_kernels(const qds_stream *stream) {
  return !stream->accelerator || !stream->accelerator->backend->launch;
}

/* `most` of them, or one for every few rows. */
static int groups_for(int64_t rows, int64_t most) {
  const int64_t wanted = (rows + FEWEST_GROUP_ROWS - 1) / FEWEST_GROUP_ROWS;
  return (int)(wanted < 1 || most < 1 ? 1 : wanted < most ? wanted : most);
}

static int groups_of(const qds_stream *stream, int64_t rows) {
  return groups_for(rows, qds_stream_on_host(stream) ? HOST_GROUPS : DEVICE_GROUPS);
}

/* A device works on few groups of a large Gram matrix at once, and keeps the sums of those only. */
static int device_groups_of_gram(int64_t rows, int64_t size) {
  const int64_t fit = MOST_DEVICE_SUMS / size;
  return groups_for(rows, fit < DEVICE_GROUPS ? fit : DEVICE_GROUPS);
}

/* Describes the blocks of a side; NULL and empty ones count as none. */
static int describe(int count, const qds_block *const *blocks, qds_columns *columns) {
  int total = 0;
  for (int i = 0; i < count; i++) {
    columns[i] = (qds_columns){0};
    if (!blocks[i]) continue;
    columns[i] = (qds_columns){blocks[i]->data, blocks[i]->stride, blocks[i]->columns};
    total += blocks[i]->columns;
  }
  return total;
}

/* All blocks of a call have the rows and the place of the first. BLAS counts leading dimensions in 32-bit
 * integers. */
static qds_status check(const char *where, const qds_stream *stream, const qds_block *first, int count,
                        const qds_block *const *blocks) {
  for (int i = 0; i < count; i++) {
    const qds_block *b = blocks[i];
    if (!b || b->columns == 0) continue;
    QDS_REQUIRE(b->rows == first->rows, "%s: blocks of %lld and %lld rows", where, (long long)first->rows,
                (long long)b->rows);
    QDS_REQUIRE(b->stream == first->stream, "%s: blocks of different places", where);
    if (b->stride > INT_MAX && runs_library_kernels(stream))
      QDS_FAIL(QDS_ERROR_UNSUPPORTED, "%s: vectors of %lld rows; BLAS allows at most %d", where,
               (long long)b->rows, INT_MAX);
  }
  return QDS_OK;
}

/* Memory of the stream's place for the duration of a call. */
typedef struct {
  qds_stream *stream;
  double *data;
} scratch;

static void scratch_release(scratch *s) {
  qds_stream_release(s->stream, s->data);
}
#define AUTO_SCRATCH __attribute__((cleanup(scratch_release))) scratch

qds_status qds_blocks_gram(qds_context *ctx, const qds_block *const a[QDS_GRAM_LEFT],
                           const qds_block *const b[QDS_GRAM_RIGHT], double *gram) {
  qds_stream host = host_stream(ctx), *stream = a[0]->stream ? a[0]->stream : &host;
  QDS_TRY(check("qds_block_gram", stream, a[0], QDS_GRAM_LEFT, a));
  QDS_TRY(check("qds_block_gram", stream, a[0], QDS_GRAM_RIGHT, b));
  qds_gram_arguments k = {.rows = a[0]->rows};
  k.left = describe(QDS_GRAM_LEFT, a, k.a);
  k.right = describe(QDS_GRAM_RIGHT, b, k.b);
  const size_t size = (size_t)k.left * (size_t)k.right;
  if (size == 0) return QDS_OK;
  k.groups = qds_stream_on_host(stream) ? groups_for(k.rows, HOST_GROUPS)
                                        : device_groups_of_gram(k.rows, (int64_t)size);
  if (runs_library_kernels(stream)) {
    const qds_blas *blas;
    QDS_TRY(qds_blas_get(ctx, &blas));
    k.blas = blas;
  }
  AUTO_SCRATCH sums = {stream, NULL};
  QDS_TRY(QDS_STREAM_NEW(stream, size * ((size_t)k.groups + 1), "Gram sums", &sums.data));
  k.products = sums.data;
  k.partial = sums.data + size;
  QDS_TRY(qds_stream_launch(stream, &qds_gram_kernel, &k));
  return qds_stream_fetch(stream, gram, k.products, size * sizeof *gram);
}

qds_status qds_block_gram(qds_context *ctx, const qds_block *a, const qds_block *b, double *gram) {
  const qds_block *const left[QDS_GRAM_LEFT] = {a}, *const right[QDS_GRAM_RIGHT] = {b};
  return qds_blocks_gram(ctx, left, right, gram);
}

/* --- combinations --------------------------------------------------------------------------------------- */

/* Takes the coefficients, in the order of the launches, to memory of the place; `outputs`: of the largest. */
static qds_status place_coefficients(qds_context *ctx, qds_combine_arguments *k, int outputs, const double *c,
                                     scratch *work) {
  const size_t size = (size_t)k->inputs * (size_t)k->outputs;
  size_t tile = 0;
  if (runs_library_kernels(work->stream)) {
    const qds_blas *blas;
    QDS_TRY(qds_blas_get(ctx, &blas));
    k->blas = blas;
    tile = (size_t)QDS_COMBINE_TILE_ROWS * (size_t)outputs * (size_t)work->stream->threads;
  }
  QDS_TRY(QDS_STREAM_NEW(work->stream, size + tile, "combination", &work->data));
  k->scratch = work->data;
  k->coefficients = work->data + tile;
  return qds_stream_copy(work->stream, work->data + tile, c, size * sizeof *c);
}

static qds_status combine_at_once(qds_context *ctx, qds_stream *stream, qds_combine_arguments *k,
                                  const double *c) {
  AUTO_SCRATCH work = {stream, NULL};
  QDS_TRY(place_coefficients(ctx, k, k->outputs, c, &work));
  return qds_stream_launch(stream, &qds_combine_kernel, k);
}

/* Columns first .. first + count - 1 of some side by side, from a row on; returns how many there are. */
static int columns_from(int ranges, const qds_columns *all, int first, int count, int64_t row,
                        qds_columns *out) {
  int found = 0;
  for (int i = 0; i < ranges; first -= all[i++].columns) {
    const int skipped = first > 0 ? first : 0, left = all[i].columns - skipped, wanted = count - found;
    out[i] = (qds_columns){0};
    if (left <= 0 || wanted == 0) continue;
    out[i] = (qds_columns){all[i].data + skipped * all[i].stride + row, all[i].stride,
                           left < wanted ? left : wanted};
    found += out[i].columns;
  }
  return found;
}

/* c in the order of the launches of combine_rows. */
static void pack_coefficients(const qds_combine_arguments *k, const double *c, double *packed) {
  for (int o = 0; o < k->outputs; o += QDS_COMBINE_MOST_OUTPUTS)
    for (int i = 0; i < k->inputs; i += QDS_COMBINE_MOST_INPUTS)
      for (int column = o; column < k->outputs && column < o + QDS_COMBINE_MOST_OUTPUTS; column++)
        for (int line = i; line < k->inputs && line < i + QDS_COMBINE_MOST_INPUTS; line++)
          *packed++ = c[(size_t)column * (size_t)k->inputs + (size_t)line];
}

/* `rows` rows from `row` on, with as many inputs and outputs at a time as a launch takes: to `waiting`, or,
 * when they are added, to their place. */
static qds_status combine_rows(qds_stream *stream, const qds_combine_arguments *k, const qds_columns *waiting,
                               int64_t row, int64_t rows) {
  const double *coefficients = k->coefficients;
  for (int o = 0; o < k->outputs; o += QDS_COMBINE_MOST_OUTPUTS)
    for (int i = 0; i == 0 || i < k->inputs; i += QDS_COMBINE_MOST_INPUTS) {
      qds_combine_arguments piece = {.rows = rows,
                                     .add = k->add || i > 0,
                                     .coefficients = coefficients,
                                     .scratch = k->scratch,
                                     .blas = k->blas};
      piece.inputs = columns_from(QDS_COMBINE_FROM, k->from, i, QDS_COMBINE_MOST_INPUTS, row, piece.from);
      piece.outputs = k->add ? columns_from(QDS_COMBINE_TO, k->to, o, QDS_COMBINE_MOST_OUTPUTS, row, piece.to)
                             : columns_from(1, waiting, o, QDS_COMBINE_MOST_OUTPUTS, 0, piece.to);
      QDS_TRY(qds_stream_launch(stream, &qds_combine_kernel, &piece));
      coefficients += (size_t)piece.inputs * (size_t)piece.outputs;
    }
  return QDS_OK;
}

static qds_status copy_rows(qds_stream *stream, const qds_combine_arguments *k, const qds_columns *waiting,
                            int64_t row, int64_t rows) {
  const double *from = waiting->data;
  for (int b = 0; b < QDS_COMBINE_TO; b++)
    for (int j = 0; j < k->to[b].columns; j++, from += waiting->stride)
      QDS_TRY(qds_stream_copy(stream, k->to[b].data + j * k->to[b].stride + row, from,
                              sizeof *from * (size_t)rows));
  return QDS_OK;
}

/* Rows that wait while all outputs of them are computed, since outputs may be inputs. */
static int64_t waiting_rows(int64_t rows) {
  enum { FEWEST = 4096, PASSES = 16, MULTIPLE = 64 };
  const int64_t wanted = (rows + PASSES - 1) / PASSES;
  return wanted < FEWEST ? FEWEST : (wanted + MULTIPLE - 1) / MULTIPLE * MULTIPLE;
}

/* More columns than a device's kernel takes. */
static qds_status combine_in_pieces(qds_context *ctx, qds_stream *stream, qds_combine_arguments *k,
                                    const double *c) {
  const size_t size = (size_t)k->inputs * (size_t)k->outputs;
  const int64_t step = k->add ? k->rows : waiting_rows(k->rows);
  AUTO_SCRATCH work = {stream, NULL}, waiting = {stream, NULL};
  QDS_AUTO_RELEASE double *packed = NULL;
  QDS_TRY(QDS_NEW(qds_context_allocator(ctx), size, "combination", &packed));
  pack_coefficients(k, c, packed);
  QDS_TRY(place_coefficients(ctx, k, QDS_COMBINE_MOST_OUTPUTS, packed, &work));
  if (!k->add) QDS_TRY(QDS_STREAM_NEW(stream, step * k->outputs, "combination", &waiting.data));
  const qds_columns rows = {waiting.data, step, k->outputs};
  for (int64_t row = 0; row < k->rows; row += step) {
    const int64_t count = k->rows - row < step ? k->rows - row : step;
    QDS_TRY(combine_rows(stream, k, &rows, row, count));
    if (!k->add) QDS_TRY(copy_rows(stream, k, &rows, row, count));
  }
  return QDS_OK;
}

static int in_pieces(int inputs, int outputs) {
  return outputs > QDS_COMBINE_MOST_OUTPUTS || inputs > QDS_COMBINE_MOST_INPUTS;
}

size_t qds_blocks_bytes_on_device(int64_t rows, int vectors) {
  const int left = QDS_GRAM_LEFT * vectors, right = QDS_GRAM_RIGHT * vectors,
            inputs = QDS_COMBINE_FROM * vectors, outputs = QDS_COMBINE_TO * vectors;
  const int64_t size = (int64_t)left * right, sums = size * (device_groups_of_gram(rows, size) + 1),
                waiting = in_pieces(inputs, outputs) ? waiting_rows(rows) * outputs : 0;
  return sizeof(double) * (size_t)(sums > waiting ? sums : waiting);
}

static qds_status combine(qds_context *ctx, const qds_block *const *from, const double *c, int add,
                          const qds_block *const *to) {
  qds_stream host = host_stream(ctx), *stream = to[0]->stream ? to[0]->stream : &host;
  QDS_TRY(check("qds_block_combine", stream, from[0], QDS_COMBINE_FROM, from));
  QDS_TRY(check("qds_block_combine", stream, from[0], QDS_COMBINE_TO, to));
  qds_combine_arguments k = {.rows = to[0]->rows, .add = add};
  k.inputs = describe(QDS_COMBINE_FROM, from, k.from);
  k.outputs = describe(QDS_COMBINE_TO, to, k.to);
  if (k.outputs == 0 || (add && k.inputs == 0)) return QDS_OK;
  return !qds_stream_on_host(stream) && in_pieces(k.inputs, k.outputs) ? combine_in_pieces(ctx, stream, &k, c)
                                                                       : combine_at_once(ctx, stream, &k, c);
}

qds_status qds_blocks_combine(qds_context *ctx, const qds_block *const from[QDS_COMBINE_FROM],
                              const double *c, const qds_block *const to[QDS_COMBINE_TO]) {
  return combine(ctx, from, c, 0, to);
}

qds_status qds_block_add_product(qds_context *ctx, const qds_block *x, const double *c, qds_block *y) {
  const qds_block *const from[QDS_COMBINE_FROM] = {x}, *const to[QDS_COMBINE_TO] = {y};
  return combine(ctx, from, c, 1, to);
}

qds_status qds_block_residual(qds_context *ctx, const qds_block *x, const double *eigenvalues, qds_block *w,
                              double *norms) {
  qds_stream host = host_stream(ctx), *stream = x->stream ? x->stream : &host;
  const int m = x->columns;
  if (m == 0) return QDS_OK;
  QDS_TRY(check("qds_block_residual", stream, x, 1, &(const qds_block *){w}));
  qds_residual_arguments k = {.x = {x->data, x->stride, m},
                              .w = {w->data, w->stride, m},
                              .rows = x->rows,
                              .groups = groups_of(stream, x->rows)};
  AUTO_SCRATCH work = {stream, NULL};
  QDS_TRY(QDS_STREAM_NEW(stream, (size_t)m * ((size_t)k.groups + 2), "residual", &work.data));
  k.squares = work.data;
  k.eigenvalues = work.data + m;
  k.partial = work.data + 2 * m;
  QDS_TRY(qds_stream_copy(stream, work.data + m, eigenvalues, sizeof(double) * (size_t)m));
  QDS_TRY(qds_stream_launch(stream, &qds_residual_kernel, &k));
  QDS_TRY(qds_stream_fetch(stream, norms, k.squares, sizeof(double) * (size_t)m));
  for (int j = 0; j < m; j++) norms[j] = sqrt(norms[j]);
  return QDS_OK;
}

static qds_status random_numbers(qds_context *ctx, double scale, int add, qds_block *block,
                                 uint64_t numbers) {
  if (block->columns == 0 || block->rows == 0) return QDS_OK;
  qds_stream host = host_stream(ctx), *stream = block->stream ? block->stream : &host;
  const qds_fill_normal_arguments k = {
      {block->data, block->stride, block->columns}, block->rows, qds_context_seed(ctx), numbers, scale, add};
  return qds_stream_launch(stream, &qds_fill_normal_kernel, &k);
}

qds_status qds_block_fill_random(qds_context *ctx, qds_block *block, uint64_t stream) {
  return random_numbers(ctx, 1, 0, block, stream);
}

qds_status qds_block_add_random(qds_context *ctx, double scale, qds_block *block, uint64_t stream) {
  return random_numbers(ctx, scale, 1, block, stream);
}

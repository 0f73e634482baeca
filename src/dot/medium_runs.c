/* Runs of what fills the boxes of a grid. Each thread walks bundles of lines; it paints the rows of their
 * boxes, and reads the runs off the lines when the bundle is done. */
#include "dot/medium_runs.h"

#include <omp.h>
#include <string.h>

#include "dot/average_parts.h"

/* What one thread has collected: the runs and the new rows of its bundles, one after the other. */
typedef struct {
  int32_t *painted; /* rows of the boxes of a bundle: of a material, or from `materials` on of this bundle */
  double *row;      /* room for one */
  qds_run *run;
  double *table;
  int64_t runs, room, rows, table_room;
  int64_t bundle_rows; /* where the table stood when the bundle began */
  qds_status status;
} piece;

/* Where the runs and rows of a bundle stand in its piece. */
typedef struct {
  int piece;
  int64_t run, row, rows;
} bundle;

typedef struct {
  qds_allocator *allocator;
  const qds_box_grid *grid;
  const qds_box_numbers *numbers;
  piece *pieces;
  bundle *bundles;
  qds_runs *out; /* start[line + 1] receives the number of runs of each line */
} build;

static int64_t line_of(const qds_box_grid *grid, const qds_box_range *tile, int64_t i, int64_t j) {
  return (tile->first[0] + i) * grid->axis[1].count + tile->first[1] + j;
}

/* ---- painting ---- */

static void fill_line(int32_t *line, int64_t count, int32_t row) {
  for (int64_t k = 0; k < count; k++) line[k] = row;
}

static void paint(const build *b, piece *p, int64_t tile, const qds_box_range *range, int32_t row) {
  const qds_box_range lines = qds_box_tile(b->grid, tile);
  for (int64_t i = range->first[0] - lines.first[0]; i < range->first[0] - lines.first[0] + range->count[0];
       i++)
    for (int64_t j = range->first[1] - lines.first[1]; j < range->first[1] - lines.first[1] + range->count[1];
         j++)
      fill_line(p->painted + (i * lines.count[1] + j) * lines.count[2] + range->first[2], range->count[2],
                row);
}

static void paint_uniform(void *self, int64_t tile, const qds_box_range *range, int material) {
  const build *b = self;
  paint(b, &b->pieces[omp_get_thread_num()], tile, range, material);
}

/* The number in its bundle of the row at hand; boxes that are alike mostly follow each other. */
static qds_status row_number(const build *b, piece *p, int32_t *number) {
  const int width = b->numbers->width;
  const size_t bytes = sizeof *p->row * (size_t)width;
  if (p->rows == p->bundle_rows || memcmp(p->table + (p->rows - 1) * width, p->row, bytes) != 0) {
    if (p->rows == p->table_room) {
      p->table_room = p->table_room ? 2 * p->table_room : 256;
      QDS_TRY(QDS_RESIZE(b->allocator, p->table_room * width, "average", &p->table));
    }
    memcpy(p->table + p->rows++ * width, p->row, bytes);
  }
  *number = b->grid->medium->materials + (int32_t)(p->rows - 1 - p->bundle_rows);
  return QDS_OK;
}

static void paint_cut(void *self, int64_t tile, qds_walker *walker, const qds_candidates *candidates,
                      const qds_box_range *range) {
  const build *b = self;
  piece *p = &b->pieces[omp_get_thread_num()];
  qds_cut cut = {.walker = walker, .candidates = candidates};
  qds_first_box_corners(b->grid, range, cut.low, cut.high);
  qds_box_range box = {.count = {1, 1, 1}};
  for (int64_t i = 0; i < range->count[0]; i++)
    for (int64_t j = 0; j < range->count[1]; j++)
      for (int64_t k = 0; k < range->count[2] && p->status == QDS_OK; k++) {
        box.first[0] = range->first[0] + i;
        box.first[1] = range->first[1] + j;
        box.first[2] = range->first[2] + k;
        int32_t row = b->numbers->cut(b->numbers->self, box.first, &cut, p->row);
        if (row < 0) p->status = row_number(b, p, &row);
        paint(b, p, tile, &box, row);
      }
}

/* ---- reading off ---- */

enum { STEP = 64 };

/* Where the run that holds box k of a line ends. */
static int64_t end_of_run(const int32_t *line, int64_t k, int64_t count) {
  while (k + STEP < count && memcmp(line + k, line + k + 1, sizeof *line * STEP) == 0) k += STEP;
  while (k + 1 < count && line[k + 1] == line[k]) k++;
  return k + 1;
}

static qds_status read_line(const build *b, piece *p, const int32_t *line, int64_t count, int64_t *runs) {
  const int64_t before = p->runs;
  for (int64_t k = 0; k < count;) {
    if (p->runs == p->room) {
      p->room = p->room ? 2 * p->room : 4096;
      QDS_TRY(QDS_RESIZE(b->allocator, p->room, "average", &p->run));
    }
    const int32_t row = line[k];
    k = end_of_run(line, k, count);
    p->run[p->runs++] = (qds_run){(int32_t)k, row};
  }
  *runs = p->runs - before;
  return QDS_OK;
}

static void read_bundle(void *self, int64_t tile) {
  const build *b = self;
  const int number = omp_get_thread_num();
  piece *p = &b->pieces[number];
  const qds_box_range lines = qds_box_tile(b->grid, tile);
  b->bundles[tile] = (bundle){number, p->runs, p->bundle_rows, p->rows - p->bundle_rows};
  for (int64_t i = 0; i < lines.count[0]; i++)
    for (int64_t j = 0; j < lines.count[1] && p->status == QDS_OK; j++)
      p->status = read_line(b, p, p->painted + (i * lines.count[1] + j) * lines.count[2], lines.count[2],
                            &b->out->start[line_of(b->grid, &lines, i, j) + 1]);
  p->bundle_rows = p->rows;
}

/* ---- together ---- */

static qds_status begin(const build *b, int threads) {
  const qds_box_range lines = qds_box_tile(b->grid, 0);
  for (int t = 0; t < threads; t++) {
    QDS_TRY(QDS_NEW(b->allocator, lines.count[0] * lines.count[1] * lines.count[2], "average",
                    &b->pieces[t].painted));
    QDS_TRY(QDS_NEW(b->allocator, b->numbers->width + 1, "average", &b->pieces[t].row));
  }
  return QDS_OK;
}

/* The runs of a bundle go to their lines, with the rows' numbers in the whole table. */
static void place_bundle(const build *b, int64_t tile, int64_t first_row) {
  const int32_t materials = b->grid->medium->materials;
  const bundle *of = &b->bundles[tile];
  const qds_run *from = b->pieces[of->piece].run + of->run;
  const qds_box_range lines = qds_box_tile(b->grid, tile);
  for (int64_t i = 0; i < lines.count[0]; i++)
    for (int64_t j = 0; j < lines.count[1]; j++) {
      const int64_t line = line_of(b->grid, &lines, i, j);
      for (int64_t r = b->out->start[line]; r < b->out->start[line + 1]; r++, from++)
        b->out->run[r] =
            (qds_run){from->end, from->row < materials ? from->row : from->row + (int32_t)first_row};
    }
  const int width = b->numbers->width;
  if (width > 0 && of->rows > 0)
    memcpy(b->out->table + (materials + first_row) * width, b->pieces[of->piece].table + of->row * width,
           sizeof(double) * (size_t)(of->rows * width));
}

static qds_status put_together(qds_context *ctx, const build *b) {
  const int64_t tiles = qds_box_tiles(b->grid);
  const int materials = b->grid->medium->materials, width = b->numbers->width;
  qds_runs *out = b->out;
  QDS_AUTO_RELEASE int64_t *first_row = NULL;
  QDS_TRY(QDS_NEW(b->allocator, tiles, "average", &first_row));
  for (int64_t tile = 0, rows = 0; tile < tiles; rows += b->bundles[tile++].rows) {
    first_row[tile] = rows;
    out->rows = materials + rows + b->bundles[tile].rows;
  }
  if (out->rows > INT32_MAX)
    QDS_FAIL(QDS_ERROR_UNSUPPORTED, "surfaces cut %lld boxes of the grid in different ways; at most 2^31 do",
             (long long)out->rows);
  for (int64_t line = 0; line < out->lines; line++) out->start[line + 1] += out->start[line];
  QDS_TRY(QDS_NEW(b->allocator, out->start[out->lines], "average", &out->run));
  QDS_TRY(QDS_NEW(b->allocator, out->rows * width, "average", &out->table));
  if (width > 0) memcpy(out->table, b->numbers->uniform, sizeof(double) * (size_t)(materials * width));
#pragma omp parallel for num_threads(qds_context_threads(ctx)) schedule(static)
  for (int64_t tile = 0; tile < tiles; tile++) place_bundle(b, tile, first_row[tile]);
  return QDS_OK;
}

static void pieces_release(int threads, piece *pieces) {
  for (int t = 0; t < threads; t++) {
    qds_release(pieces[t].painted);
    qds_release(pieces[t].row);
    qds_release(pieces[t].run);
    qds_release(pieces[t].table);
  }
}

static qds_status collect(qds_context *ctx, const build *b, int threads) {
  const qds_box_sink sink = {(void *)(uintptr_t)b, paint_uniform, paint_cut, read_bundle};
  QDS_TRY(begin(b, threads));
  QDS_TRY(qds_walk_boxes(ctx, b->grid, &sink));
  for (int t = 0; t < threads; t++)
    if (b->pieces[t].status != QDS_OK)
      QDS_FAIL(b->pieces[t].status, "out of memory: no room for the materials along the lines of the grid");
  return put_together(ctx, b);
}

qds_status qds_medium_runs(qds_context *ctx, const qds_medium *medium, int dimension,
                           const qds_intervals intervals[3], const qds_box_numbers *numbers, qds_runs *out) {
  qds_allocator *allocator = qds_context_allocator(ctx);
  const int threads = qds_context_threads(ctx);
  qds_box_grid grid;
  QDS_AUTO_RELEASE piece *pieces = NULL;
  QDS_AUTO_RELEASE bundle *bundles = NULL;
  *out = (qds_runs){0};
  QDS_TRY(qds_box_grid_make(medium, dimension, intervals, &grid));
  QDS_TRY(QDS_NEW_ZERO(allocator, threads, "average", &pieces));
  QDS_TRY(QDS_NEW_ZERO(allocator, qds_box_tiles(&grid), "average", &bundles));
  *out = (qds_runs){.lines = grid.axis[0].count * grid.axis[1].count,
                    .length = grid.axis[2].count,
                    .width = numbers->width};
  qds_status status = QDS_NEW_ZERO(allocator, out->lines + 1, "average", &out->start);
  const build b = {allocator, &grid, numbers, pieces, bundles, out};
  if (status == QDS_OK) status = collect(ctx, &b, threads);
  pieces_release(threads, pieces);
  if (status != QDS_OK) qds_runs_clear(out);
  return status;
}

/* ---- fractions and middles ---- */

static int take_fractions(void *self, const int64_t index[3], qds_cut *cut, double *row) {
  (void)index;
  memcpy(row, qds_cut_fractions(cut), sizeof *row * (size_t) * (const int *)self);
  return -1;
}

qds_status qds_medium_fractions(qds_context *ctx, const qds_medium *medium, int dimension,
                                const qds_intervals intervals[3], qds_runs *out) {
  QDS_AUTO_RELEASE double *unit = NULL;
  int materials = medium->materials;
  *out = (qds_runs){0};
  QDS_TRY(QDS_NEW_ZERO(qds_context_allocator(ctx), materials * materials, "average", &unit));
  for (int m = 0; m < materials; m++) unit[m * materials + m] = 1;
  const qds_box_numbers numbers = {materials, unit, take_fractions, &materials};
  return qds_medium_runs(ctx, medium, dimension, intervals, &numbers, out);
}

static int material_in_middle(void *self, const int64_t index[3], qds_cut *cut, double *row) {
  const qds_box_grid *grid = cut->walker->grid;
  double middle[3];
  (void)self, (void)index, (void)row;
  for (int a = 0; a < 3; a++) middle[a] = 0.5 * (cut->low[a] + cut->high[a]);
  return qds_medium_at(grid->medium, middle + grid->absent);
}

qds_status qds_medium_middles(qds_context *ctx, const qds_medium *medium, int dimension,
                              const qds_intervals intervals[3], qds_runs *out) {
  const qds_box_numbers numbers = {0, NULL, material_in_middle, NULL};
  return qds_medium_runs(ctx, medium, dimension, intervals, &numbers, out);
}

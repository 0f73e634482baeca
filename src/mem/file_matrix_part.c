/* Parts of a matrix in a file that are no tiles: rectangles and strips, copied tile by tile. */
#include <string.h>

#include "mem/file_matrix.h"

enum { TILES_AHEAD = 2 };

static int64_t larger(int64_t a, int64_t b) {
  return a > b ? a : b;
}
static int64_t smaller(int64_t a, int64_t b) {
  return a < b ? a : b;
}

/* A copy of a part, to `out` or from `in`; the other is NULL. */
typedef struct {
  qds_file_matrix *matrix;
  qds_file_matrix_info info;
  const qds_file_part *part;
  size_t element;
  char *out;
  const char *in;
  int64_t first_row, first_column, across, tiles; /* the tiles that the part touches */
} copy;

/* The rows and columns of the matrix that belong to the part and to one tile. */
static qds_file_part shared_with(const copy *c, int64_t tile_row, int64_t tile_column) {
  const qds_file_part *p = c->part;
  const int64_t top = tile_row * c->info.tile_rows, left = tile_column * c->info.tile_columns;
  qds_file_part shared = {larger(p->row, top), larger(p->column, left), 0, 0};
  shared.rows = smaller(p->row + p->rows, top + c->info.tile_rows) - shared.row;
  shared.columns = smaller(p->column + p->columns, left + c->info.tile_columns) - shared.column;
  return shared;
}

/* Whether the part covers all of the tile that lies inside the matrix. */
static int covers(const copy *c, const qds_file_part *shared, int64_t tile_row, int64_t tile_column) {
  const int64_t rows = smaller(c->info.tile_rows, c->info.rows - tile_row * c->info.tile_rows);
  const int64_t columns = smaller(c->info.tile_columns, c->info.columns - tile_column * c->info.tile_columns);
  return shared->rows == rows && shared->columns == columns;
}

static qds_status copy_tile(const copy *c, int64_t tile_row, int64_t tile_column) {
  const qds_file_part shared = shared_with(c, tile_row, tile_column);
  const qds_file_use use = c->out                                      ? QDS_FILE_READ
                           : covers(c, &shared, tile_row, tile_column) ? QDS_FILE_OVERWRITE
                                                                       : QDS_FILE_UPDATE;
  void *tile;
  QDS_TRY(qds_file_matrix_acquire(c->matrix, tile_row, tile_column, use, &tile));
  const size_t row_bytes = (size_t)shared.columns * c->element;
  for (int64_t i = shared.row; i < shared.row + shared.rows; i++) {
    char *inside = (char *)tile + (size_t)((i - tile_row * c->info.tile_rows) * c->info.tile_columns +
                                           shared.column - tile_column * c->info.tile_columns) *
                                      c->element;
    const size_t outside =
        (size_t)((i - c->part->row) * c->part->columns + shared.column - c->part->column) * c->element;
    if (c->out)
      memcpy(c->out + outside, inside, row_bytes);
    else
      memcpy(inside, c->in + outside, row_bytes);
  }
  return qds_file_matrix_release(c->matrix, tile_row, tile_column);
}

static void prefetch(const copy *c, int64_t number) {
  if (number < c->tiles)
    qds_file_matrix_prefetch(c->matrix, c->first_row + number / c->across,
                             c->first_column + number % c->across);
}

static int is_inside(int64_t first, int64_t count, int64_t size) {
  return first >= 0 && count >= 0 && first <= size && count <= size - first;
}

static qds_status copy_part(copy *c) {
  const qds_file_part *p = c->part;
  qds_file_matrix_get_info(c->matrix, &c->info);
  QDS_REQUIRE(is_inside(p->row, p->rows, c->info.rows) && is_inside(p->column, p->columns, c->info.columns),
              "%lld x %lld elements from (%lld, %lld) on do not lie inside a matrix of %lld x %lld",
              (long long)p->rows, (long long)p->columns, (long long)p->row, (long long)p->column,
              (long long)c->info.rows, (long long)c->info.columns);
  if (p->rows == 0 || p->columns == 0) return QDS_OK;
  c->element = (c->info.type == QDS_FILE_COMPLEX128 ? 2 : 1) * sizeof(double);
  c->first_row = p->row / c->info.tile_rows;
  c->first_column = p->column / c->info.tile_columns;
  c->across = (p->column + p->columns - 1) / c->info.tile_columns - c->first_column + 1;
  c->tiles = c->across * ((p->row + p->rows - 1) / c->info.tile_rows - c->first_row + 1);
  for (int64_t t = 0; t < TILES_AHEAD; t++) prefetch(c, t);
  for (int64_t t = 0; t < c->tiles; t++) {
    prefetch(c, t + TILES_AHEAD);
    QDS_TRY(copy_tile(c, c->first_row + t / c->across, c->first_column + t % c->across));
  }
  return QDS_OK;
}

qds_status qds_file_matrix_read(qds_file_matrix *matrix, const qds_file_part *part, void *out) {
  QDS_REQUIRE(matrix && part && out, "qds_file_matrix_read: a NULL argument");
  return copy_part(&(copy){.matrix = matrix, .part = part, .out = out});
}

qds_status qds_file_matrix_write(qds_file_matrix *matrix, const qds_file_part *part, const void *in) {
  QDS_REQUIRE(matrix && part && in, "qds_file_matrix_write: a NULL argument");
  return copy_part(&(copy){.matrix = matrix, .part = part, .in = in});
}

static qds_file_part rows_of(const qds_file_matrix *matrix, int64_t first, int64_t count) {
  qds_file_matrix_info info;
  qds_file_matrix_get_info(matrix, &info);
  return (qds_file_part){first, 0, count, info.columns};
}

static qds_file_part columns_of(const qds_file_matrix *matrix, int64_t first, int64_t count) {
  qds_file_matrix_info info;
  qds_file_matrix_get_info(matrix, &info);
  return (qds_file_part){0, first, info.rows, count};
}

qds_status qds_file_matrix_read_rows(qds_file_matrix *matrix, int64_t first, int64_t count, void *out) {
  QDS_REQUIRE(matrix, "qds_file_matrix_read_rows: a NULL argument");
  const qds_file_part part = rows_of(matrix, first, count);
  return qds_file_matrix_read(matrix, &part, out);
}

qds_status qds_file_matrix_write_rows(qds_file_matrix *matrix, int64_t first, int64_t count, const void *in) {
  QDS_REQUIRE(matrix, "qds_file_matrix_write_rows: a NULL argument");
  const qds_file_part part = rows_of(matrix, first, count);
  return qds_file_matrix_write(matrix, &part, in);
}

qds_status qds_file_matrix_read_columns(qds_file_matrix *matrix, int64_t first, int64_t count, void *out) {
  QDS_REQUIRE(matrix, "qds_file_matrix_read_columns: a NULL argument");
  const qds_file_part part = columns_of(matrix, first, count);
  return qds_file_matrix_read(matrix, &part, out);
}

qds_status qds_file_matrix_write_columns(qds_file_matrix *matrix, int64_t first, int64_t count,
                                         const void *in) {
  QDS_REQUIRE(matrix, "qds_file_matrix_write_columns: a NULL argument");
  const qds_file_part part = columns_of(matrix, first, count);
  return qds_file_matrix_write(matrix, &part, in);
}

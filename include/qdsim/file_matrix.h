/* Matrices in files, larger than memory if need be: dense, real or complex, cut into tiles.
 *
 * The file is mapped; only the tiles in use need memory. Every tile has a checksum, so that a tile whose
 * writer was killed half way, or that the disk has changed, is an error when it is read and never data. A new
 * file grows beside its name (NAME.part-PID) and takes the name when it is committed, whole; a change of an
 * old one is made in place.
 *
 * Elements are doubles, or pairs of doubles (real and imaginary part). Parts of a matrix are handed over row
 * by row, the columns contiguous. A matrix is used by one thread at a time. A file that is open for writing
 * cannot be opened a second time; any number of readers can share one. */
#ifndef QDSIM_FILE_MATRIX_H
#define QDSIM_FILE_MATRIX_H

#include <stddef.h>
#include <stdint.h>

#include "qdsim/context.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct qds_file_matrix qds_file_matrix;

typedef enum { QDS_FILE_FLOAT64 = 1, QDS_FILE_COMPLEX128 = 2 } qds_file_type;
typedef enum { QDS_FILE_READ_ONLY, QDS_FILE_READ_WRITE } qds_file_mode;

typedef struct {
  size_t struct_size;
  qds_file_type type;
  int64_t rows, columns;           /* at least 1 */
  int64_t tile_rows, tile_columns; /* 0: chosen, for tiles of nearly 1 MiB; never more than the matrix has */
} qds_file_matrix_options;
#define QDS_FILE_MATRIX_OPTIONS_INIT                                                                         \
  { .struct_size = sizeof(qds_file_matrix_options), .type = QDS_FILE_FLOAT64 }

/* A new matrix, every element 0, with its room on the disk reserved. It stands under `path` only after
 * qds_file_matrix_commit, which replaces a file that has the name. Errors: ARGUMENT (an option, by name; more
 * bytes than a file can have), FILE (errno: no folder, no permission, a full disk), MEMORY. */
QDS_API qds_status qds_file_matrix_create(qds_context *ctx, const char *path,
                                          const qds_file_matrix_options *options, qds_file_matrix **out);
/* An existing matrix. Errors: FILE (the file and the field of its header that is wrong: kind of file,
 * version, byte order, checksum, type, shape, tiles, size; or in use), MEMORY. */
QDS_API qds_status qds_file_matrix_open(qds_context *ctx, const char *path, qds_file_mode mode,
                                        qds_file_matrix **out);
/* Returns when everything written is on the disk and, for a new matrix, stands under its name. The matrix can
 * be used, and committed, again. Errors: FILE. ARGUMENT: a tile is still acquired for writing. */
QDS_API qds_status qds_file_matrix_commit(qds_file_matrix *matrix);
/* Closes the file. A new matrix that was never committed is removed. NULL is allowed. */
QDS_API void qds_file_matrix_destroy(qds_file_matrix *matrix);

typedef struct {
  qds_file_type type;
  int64_t rows, columns, tile_rows, tile_columns;
  int64_t tiles_down, tiles_across;
  uint64_t file_bytes;
  int interrupted; /* whoever wrote last ended without commit: tiles may be torn, or of different age */
} qds_file_matrix_info;
QDS_API void qds_file_matrix_get_info(const qds_file_matrix *matrix, qds_file_matrix_info *out);

/* Tiles that stay mapped when no one has acquired them, in bytes; 64 MiB at first. Older ones leave the
 * process, and are checked again when they come back. */
QDS_API void qds_file_matrix_set_resident(qds_file_matrix *matrix, size_t bytes);

typedef enum {
  QDS_FILE_READ,     /* the tile is checked and must not be written */
  QDS_FILE_UPDATE,   /* the tile is checked and may be written */
  QDS_FILE_OVERWRITE /* the tile is not checked and must be written, all of it */
} qds_file_use;

/* The tile of the matrix that begins at row tile_row * tile_rows and column tile_column * tile_columns, with
 * tile_columns elements from row to row. At the lower and the right edge of the matrix it has room for whole
 * tiles; what lies outside the matrix must stay 0. Errors: FILE (the tile is torn or damaged, and what to
 * do; or the disk does not give it, from Linux 5.14 on), ARGUMENT (no such tile; it is acquired already, one
 * of both for writing; the file is read-only). */
QDS_API qds_status qds_file_matrix_acquire(qds_file_matrix *matrix, int64_t tile_row, int64_t tile_column,
                                           qds_file_use use, void **out);
QDS_API qds_status qds_file_matrix_release(qds_file_matrix *matrix, int64_t tile_row, int64_t tile_column);
/* Asks the disk for a tile that will be needed soon; returns at once. */
QDS_API void qds_file_matrix_prefetch(const qds_file_matrix *matrix, int64_t tile_row, int64_t tile_column);

/* A part of the matrix: `rows` x `columns` elements from (row, column) on. */
typedef struct {
  int64_t row, column, rows, columns;
} qds_file_part;
/* Copies a part out of the matrix or into it, tile by tile with read-ahead. Errors: those of acquire. */
QDS_API qds_status qds_file_matrix_read(qds_file_matrix *matrix, const qds_file_part *part, void *out);
QDS_API qds_status qds_file_matrix_write(qds_file_matrix *matrix, const qds_file_part *part, const void *in);
/* Strips: `count` whole rows or whole columns. */
QDS_API qds_status qds_file_matrix_read_rows(qds_file_matrix *matrix, int64_t first, int64_t count,
                                             void *out);
QDS_API qds_status qds_file_matrix_write_rows(qds_file_matrix *matrix, int64_t first, int64_t count,
                                              const void *in);
QDS_API qds_status qds_file_matrix_read_columns(qds_file_matrix *matrix, int64_t first, int64_t count,
                                                void *out);
QDS_API qds_status qds_file_matrix_write_columns(qds_file_matrix *matrix, int64_t first, int64_t count,
                                                 const void *in);

/* Checks every tile. FILE: names the first that is torn or damaged and says how many are. */
QDS_API qds_status qds_file_matrix_verify(qds_file_matrix *matrix);

#ifdef __cplusplus
}
#endif
#endif

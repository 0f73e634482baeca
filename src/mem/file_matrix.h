/* Matrices in files, as the layers below the context see them, and the layout of the file.
 *
 * The file is a header page, a table with one checksum per tile, and the tiles, each in whole pages. A new
 * file gets its header last, and its name after that. A change in place first marks the header as being
 * written, on the disk, and the commit takes the mark away after the tiles and the table are there. Nothing
 * else depends on the order in which pages reach the disk: a tile that does not match its entry of the table
 * is refused, whichever of the two is older. */
#ifndef QDS_MEM_FILE_MATRIX_H
#define QDS_MEM_FILE_MATRIX_H

#include "base/allocator.h"
#include "qdsim/file_matrix.h"

qds_status qds_file_matrix_create_in(qds_allocator *allocator, const char *path,
                                     const qds_file_matrix_options *options, qds_file_matrix **out);
qds_status qds_file_matrix_open_in(qds_allocator *allocator, const char *path, qds_file_mode mode,
                                   qds_file_matrix **out);
QDS_AUTO_DEFINE(qds_file_matrix)

enum {
  QDS_FILE_VERSION = 1,
  QDS_FILE_PAGE = 4096,
  QDS_FILE_BYTE_ORDER = 0x01020304,
  QDS_FILE_CLOSED = 1, /* states of the header */
  QDS_FILE_WRITING = 2
};

/* The first bytes of the file, in the byte order of the machine. One sector, so that a disk writes all of it
 * or nothing. */
typedef struct {
  char magic[8];
  uint32_t byte_order, version;
  uint32_t type, state;
  int64_t rows, columns, tile_rows, tile_columns;
  uint64_t tile_bytes; /* from tile to tile */
  uint64_t data_offset, file_bytes;
  uint64_t checksum; /* XXH3, 64 bits, of what stands before it */
} qds_file_header;

/* Fills the header of a matrix, all but state and checksum. ARGUMENT: names the option that is wrong. */
qds_status qds_file_header_make(const qds_file_matrix_options *options, qds_file_header *out);
void qds_file_header_seal(qds_file_header *header, uint32_t state);
/* Refuses a header that is damaged, or that the file of `file_bytes` bytes cannot have. */
qds_status qds_file_header_check(const qds_file_header *header, uint64_t file_bytes, const char *path);

#endif

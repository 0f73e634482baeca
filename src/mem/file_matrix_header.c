/* The header of a matrix in a file: its geometry, and whether to trust it. */
#include <string.h>

#include <xxhash.h>

#include "mem/file_matrix.h"

/* As in PNG files: a byte beyond ASCII and line ends of both kinds show what a careless copy did. */
static const char magic[8] = {'\x89', 'Q', 'D', 'S', 'F', 'M', '\r', '\n'};
enum { TILE_BYTES = 1 << 20, WIDE_BYTES = 4096 /* of a row of a tile, where the matrix has more rows */ };

static uint64_t element_bytes(uint32_t type) {
  return type == QDS_FILE_COMPLEX128 ? 2 * sizeof(double) : sizeof(double);
}

static int64_t smaller(int64_t a, int64_t b) {
  return a < b ? a : b;
}

static int64_t pieces(int64_t count, int64_t size) {
  return count / size + (count % size != 0);
}

/* Rounds up to whole pages; returns 0 when that overflows. */
static int round_up(uint64_t *bytes) {
  if (__builtin_add_overflow(*bytes, QDS_FILE_PAGE - 1, bytes)) return 0;
  *bytes -= *bytes % QDS_FILE_PAGE;
  return 1;
}

/* Sizes and offsets from shape, type and tiles; returns 0 when the file would have more than 2^63 - 1 bytes.
 */
static int lay_out(qds_file_header *h) {
  uint64_t tiles, table, data;
  const int64_t down = pieces(h->rows, h->tile_rows), across = pieces(h->columns, h->tile_columns);
  if (__builtin_mul_overflow(h->tile_rows, h->tile_columns, &h->tile_bytes) ||
      __builtin_mul_overflow(h->tile_bytes, element_bytes(h->type), &h->tile_bytes) ||
      !round_up(&h->tile_bytes) || __builtin_mul_overflow(down, across, &tiles) ||
      __builtin_mul_overflow(tiles, sizeof(uint64_t), &table) || !round_up(&table) ||
      __builtin_mul_overflow(tiles, h->tile_bytes, &data) ||
      __builtin_add_overflow(table, QDS_FILE_PAGE, &h->data_offset) ||
      __builtin_add_overflow(h->data_offset, data, &h->file_bytes))
    return 0;
  return h->file_bytes <= INT64_MAX;
}

static int64_t larger(int64_t a, int64_t b) {
  return a > b ? a : b;
}

/* As many parts of equal size as `most` needs: the last one is not left nearly empty. */
static int64_t part_of(int64_t count, int64_t most) {
  const int64_t part = smaller(count, larger(most, 1));
  return pieces(count, pieces(count, part));
}

/* What the caller leaves open makes tiles of nearly TILE_BYTES; a matrix of few rows has long ones. */
static void choose_tiles(const qds_file_matrix_options *o, qds_file_header *out) {
  const int64_t element = (int64_t)element_bytes(out->type), most = TILE_BYTES / element;
  const int64_t rows = smaller(o->rows, o->tile_rows ? o->tile_rows : TILE_BYTES / WIDE_BYTES);
  out->tile_columns =
      o->tile_columns ? smaller(o->columns, o->tile_columns) : part_of(o->columns, most / rows);
  out->tile_rows = o->tile_rows ? rows : part_of(o->rows, most / out->tile_columns);
}

qds_status qds_file_header_make(const qds_file_matrix_options *o, qds_file_header *out) {
  memset(out, 0, sizeof *out);
  QDS_REQUIRE(o->struct_size == sizeof *o,
              "qds_file_matrix_options: struct_size %zu, this library expects %zu; initialise it with "
              "QDS_FILE_MATRIX_OPTIONS_INIT",
              o->struct_size, sizeof *o);
  QDS_REQUIRE(o->type == QDS_FILE_FLOAT64 || o->type == QDS_FILE_COMPLEX128,
              "a file matrix of type %d: QDS_FILE_FLOAT64 and QDS_FILE_COMPLEX128 are allowed", (int)o->type);
  QDS_REQUIRE(o->rows >= 1 && o->columns >= 1,
              "a file matrix of %lld x %lld elements: it needs at least one row and one column",
              (long long)o->rows, (long long)o->columns);
  QDS_REQUIRE(o->tile_rows >= 0 && o->tile_columns >= 0,
              "a file matrix with tiles of %lld x %lld elements: 0 (chosen for you) and more are allowed",
              (long long)o->tile_rows, (long long)o->tile_columns);
  memcpy(out->magic, magic, sizeof magic);
  out->byte_order = QDS_FILE_BYTE_ORDER;
  out->version = QDS_FILE_VERSION;
  out->type = (uint32_t)o->type;
  out->rows = o->rows;
  out->columns = o->columns;
  choose_tiles(o, out);
  QDS_REQUIRE(lay_out(out), "a file matrix of %lld x %lld elements in tiles of %lld x %lld passes 2^63 bytes",
              (long long)o->rows, (long long)o->columns, (long long)out->tile_rows,
              (long long)out->tile_columns);
  return QDS_OK;
}

static uint64_t checksum_of(const qds_file_header *header) {
  return XXH3_64bits(header, offsetof(qds_file_header, checksum));
}

void qds_file_header_seal(qds_file_header *header, uint32_t state) {
  header->state = state;
  header->checksum = checksum_of(header);
}

#define REFUSE(...) QDS_FAIL(QDS_ERROR_FILE, __VA_ARGS__)

/* What kind of file it is, before its checksum can be known to mean anything. */
static qds_status check_kind(const qds_file_header *h, uint64_t file_bytes, const char *path) {
  if (file_bytes < QDS_FILE_PAGE || memcmp(h->magic, magic, sizeof magic) != 0)
    REFUSE("\"%s\" is no file matrix, or its writer ended before the first commit", path);
  if (h->byte_order == __builtin_bswap32(QDS_FILE_BYTE_ORDER))
    REFUSE(
        "\"%s\": header field byte_order: the file was written on a machine of the other byte order; read it "
        "there",
        path);
  if (h->byte_order != QDS_FILE_BYTE_ORDER)
    REFUSE("\"%s\": header field byte_order is 0x%08x, expected 0x%08x: the header is damaged", path,
           h->byte_order, (unsigned)QDS_FILE_BYTE_ORDER);
  if (h->version != QDS_FILE_VERSION)
    REFUSE("\"%s\": header field version is %u; this library reads version %d", path, h->version,
           QDS_FILE_VERSION);
  if (h->checksum != checksum_of(h))
    REFUSE(
        "\"%s\": header field checksum is %016llx, the header's is %016llx: the header is damaged; restore "
        "the file from a copy",
        path, (unsigned long long)h->checksum, (unsigned long long)checksum_of(h));
  return QDS_OK;
}

qds_status qds_file_header_check(const qds_file_header *h, uint64_t file_bytes, const char *path) {
  QDS_TRY(check_kind(h, file_bytes, path));
  if (h->type != QDS_FILE_FLOAT64 && h->type != QDS_FILE_COMPLEX128)
    REFUSE("\"%s\": header field type is %u; 1 (float64) and 2 (complex128) are allowed", path, h->type);
  if (h->state != QDS_FILE_CLOSED && h->state != QDS_FILE_WRITING)
    REFUSE("\"%s\": header field state is %u; 1 (closed) and 2 (being written) are allowed", path, h->state);
  const struct {
    const char *name;
    int64_t value, most;
  } sizes[] = {{"rows", h->rows, INT64_MAX},
               {"columns", h->columns, INT64_MAX},
               {"tile_rows", h->tile_rows, h->rows},
               {"tile_columns", h->tile_columns, h->columns}};
  for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
    if (sizes[i].value < 1 || sizes[i].value > sizes[i].most)
      REFUSE("\"%s\": header field %s is %lld; 1 to %lld are allowed", path, sizes[i].name,
             (long long)sizes[i].value, (long long)sizes[i].most);
  qds_file_header expected = *h;
  if (!lay_out(&expected)) REFUSE("\"%s\": the header's shape and tiles pass 2^63 bytes", path);
  const struct {
    const char *name;
    uint64_t value, expected;
  } layout[] = {{"tile_bytes", h->tile_bytes, expected.tile_bytes},
                {"data_offset", h->data_offset, expected.data_offset},
                {"file_bytes", h->file_bytes, expected.file_bytes}};
  for (size_t i = 0; i < sizeof layout / sizeof *layout; i++)
    if (layout[i].value != layout[i].expected)
      REFUSE("\"%s\": header field %s is %llu, but shape and tiles make it %llu", path, layout[i].name,
             (unsigned long long)layout[i].value, (unsigned long long)layout[i].expected);
  if (file_bytes != h->file_bytes)
    REFUSE(
        "\"%s\" has %llu bytes and its header field file_bytes says %llu: the file was %s; restore it from a "
        "copy",
        path, (unsigned long long)file_bytes, (unsigned long long)h->file_bytes,
        file_bytes < h->file_bytes ? "truncated" : "added to");
  return QDS_OK;
}

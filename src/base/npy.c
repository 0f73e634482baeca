#include "base/npy.h"

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "base/npy_header.h"

static const char magic[6] = "\x93NUMPY";
enum { MAX_HEADER = 1 << 16, CHUNK_BYTES = 1 << 20, HEADER_ALIGNMENT = 64 };

static void close_descriptor(int *descriptor) {
  if (*descriptor >= 0) close(*descriptor);
}
#define AUTO_CLOSE __attribute__((cleanup(close_descriptor)))

typedef struct {
  const char *path;
  int descriptor;
  int64_t bytes, position; /* of the file */
} source;

static void close_source(source *from) {
  close_descriptor(&from->descriptor);
}
#define AUTO_SOURCE __attribute__((cleanup(close_source))) source

static qds_status open_source(const char *path, source *out) {
  struct stat status;
  out->path = path;
  /* O_NONBLOCK: opening a pipe that nobody writes must not wait. */
  out->descriptor = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
  if (out->descriptor < 0 || fstat(out->descriptor, &status))
    QDS_FAIL_NATIVE(QDS_ERROR_FILE, errno, "cannot read \"%s\": %m", path);
  if (!S_ISREG(status.st_mode)) QDS_FAIL(QDS_ERROR_FILE, "cannot read \"%s\": it is no plain file", path);
  out->bytes = status.st_size;
  return QDS_OK;
}

static qds_status read_bytes(source *from, void *buffer, size_t bytes) {
  char *to = buffer;
  while (bytes > 0) {
    const ssize_t count = read(from->descriptor, to, bytes);
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) QDS_FAIL_NATIVE(QDS_ERROR_FILE, errno, "cannot read \"%s\": %m", from->path);
    if (count == 0) QDS_FAIL(QDS_ERROR_INPUT, "\"%s\": the file ends too early", from->path);
    to += count;
    bytes -= (size_t)count;
    from->position += count;
  }
  return QDS_OK;
}

static qds_status read_header(qds_allocator *allocator, source *from, qds_npy_header *out) {
  QDS_AUTO_RELEASE char *text = NULL;
  unsigned char start[12];
  if (from->bytes < 10)
    QDS_FAIL(QDS_ERROR_INPUT, "\"%s\" is no .npy file: it has %lld bytes", from->path,
             (long long)from->bytes);
  QDS_TRY(read_bytes(from, start, 10));
  if (memcmp(start, magic, sizeof magic) != 0)
    QDS_FAIL(QDS_ERROR_INPUT, "\"%s\" is no .npy file: it does not start with \\x93NUMPY", from->path);
  if (start[6] < 1 || start[6] > 3)
    QDS_FAIL(QDS_ERROR_INPUT, "\"%s\": .npy version %d.%d; 1, 2 and 3 are known", from->path, start[6],
             start[7]);
  /* The length has two bytes in version 1 and four later, the lowest first. */
  size_t length = start[8] | (size_t)start[9] << 8;
  if (start[6] > 1) {
    QDS_TRY(read_bytes(from, start + 10, 2));
    length |= (size_t)start[10] << 16 | (size_t)start[11] << 24;
  }
  if (length > MAX_HEADER)
    QDS_FAIL(QDS_ERROR_INPUT, "\"%s\": a header of %zu bytes; %d are allowed", from->path, length,
             MAX_HEADER);
  QDS_TRY(QDS_NEW_ZERO(allocator, length + 1, "npy", &text));
  QDS_TRY(read_bytes(from, text, length));
  if (strlen(text) != length) QDS_FAIL(QDS_ERROR_INPUT, "\"%s\": a zero byte in the header", from->path);
  return qds_npy_header_parse(from->path, text, out);
}

/* Before memory is asked for, so that a wrong header cannot ask for all of it. */
static qds_status check_size(const source *from, const qds_npy_header *header) {
  const int64_t there = from->bytes - from->position, needed = header->count * header->size;
  if (there != needed)
    QDS_FAIL(QDS_ERROR_INPUT, "\"%s\": %lld bytes of data, but shape and type need %lld; %s", from->path,
             (long long)there, (long long)needed,
             there < needed ? "the file is cut off" : "something follows the array");
  return QDS_OK;
}

/* IEEE 754 binary16: sign, five bits of exponent, ten of fraction. */
static double half_to_double(uint16_t bits) {
  const int exponent = bits >> 10 & 31, fraction = bits & 1023;
  const double magnitude = exponent == 31  ? (fraction ? NAN : INFINITY)
                           : exponent == 0 ? ldexp(fraction, -24)
                                           : ldexp(fraction + 1024, exponent - 25);
  return bits >> 15 ? -magnitude : magnitude;
}

/* Reads one element of any type through the unsigned integer of its size. */
static double element(const qds_npy_header *header, const unsigned char *bytes) {
  union {
    uint8_t u1;
    int8_t i1;
    uint16_t u2;
    int16_t i2;
    uint32_t u4;
    int32_t i4;
    uint64_t u8;
    int64_t i8;
    float f4;
    double f8;
  } value;
  memcpy(&value, bytes, (size_t)header->size);
  if (header->swapped && header->size == 2) value.u2 = __builtin_bswap16(value.u2);
  if (header->swapped && header->size == 4) value.u4 = __builtin_bswap32(value.u4);
  if (header->swapped && header->size == 8) value.u8 = __builtin_bswap64(value.u8);
  enum { FLOAT = 16, SIGNED = 32 };
  switch (header->size + (header->kind == 'f' ? FLOAT : header->kind == 'i' ? SIGNED : 0)) {
  case FLOAT + 2:
    return half_to_double(value.u2);
  case FLOAT + 4:
    return value.f4;
  case FLOAT + 8:
    return value.f8;
  case SIGNED + 1:
    return value.i1;
  case SIGNED + 2:
    return value.i2;
  case SIGNED + 4:
    return value.i4;
  case SIGNED + 8:
    return (double)value.i8;
  case 1:
    return header->kind == 'b' ? value.u1 != 0 : value.u1;
  case 2:
    return value.u2;
  case 4:
    return value.u4;
  default:
    return (double)value.u8;
  }
}

/* Where the elements of a Fortran-ordered file go in C order: an odometer whose first wheel turns fastest. */
typedef struct {
  const qds_npy_header *header;
  int64_t stride[QDS_NPY_MAX_DIMENSIONS], wheel[QDS_NPY_MAX_DIMENSIONS], target;
} odometer;

static odometer odometer_start(const qds_npy_header *header) {
  odometer o = {.header = header};
  int64_t stride = 1;
  for (int i = header->dimensions - 1; i >= 0; i--) {
    o.stride[i] = stride;
    stride *= header->shape[i];
  }
  return o;
}

static void odometer_step(odometer *o) {
  for (int i = 0; i < o->header->dimensions; i++) {
    o->target += o->stride[i];
    if (++o->wheel[i] < o->header->shape[i]) return;
    o->target -= o->stride[i] * o->wheel[i];
    o->wheel[i] = 0;
  }
}

static qds_status read_values(qds_allocator *allocator, source *from, const qds_npy_header *header,
                              double *values) {
  QDS_AUTO_RELEASE unsigned char *chunk = NULL;
  const int in_order = !header->fortran_order || header->dimensions < 2;
  if (in_order && header->kind == 'f' && header->size == 8 && !header->swapped)
    return read_bytes(from, values, (size_t)header->count * sizeof *values);
  const int64_t room = CHUNK_BYTES / header->size;
  odometer o = odometer_start(header);
  QDS_TRY(
      QDS_NEW(allocator, header->count < room ? header->count * header->size : CHUNK_BYTES, "npy", &chunk));
  for (int64_t first = 0; first < header->count; first += room) {
    const int64_t count = header->count - first < room ? header->count - first : room;
    QDS_TRY(read_bytes(from, chunk, (size_t)(count * header->size)));
    for (int64_t i = 0; i < count; i++) {
      values[in_order ? first + i : o.target] = element(header, chunk + i * header->size);
      if (!in_order) odometer_step(&o);
    }
  }
  return QDS_OK;
}

qds_status qds_npy_read(qds_allocator *allocator, const char *path, qds_npy *out) {
  QDS_AUTO_RELEASE double *values = NULL;
  AUTO_SOURCE from = {.descriptor = -1};
  qds_npy_header header;
  memset(out, 0, sizeof *out);
  QDS_TRY(open_source(path, &from));
  QDS_TRY(read_header(allocator, &from, &header));
  QDS_TRY(check_size(&from, &header));
  QDS_TRY(QDS_NEW(allocator, header.count, "npy", &values));
  QDS_TRY(read_values(allocator, &from, &header, values));
  out->dimensions = header.dimensions;
  memcpy(out->shape, header.shape, sizeof out->shape);
  out->values = values;
  values = NULL;
  return QDS_OK;
}

void qds_npy_clear(qds_npy *array) {
  qds_release(array->values);
  memset(array, 0, sizeof *array);
}

/* Magic, version, length and dictionary, padded so that the values start at a multiple of 64 bytes. */
static size_t format_header(int dimensions, const int64_t *shape, char header[512]) {
  const char *order = __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__ ? "<" : ">";
  size_t used = 10;
  used += (size_t)snprintf(header + used, 512 - used, "{'descr': '%sf8', 'fortran_order': False, 'shape': (",
                           order);
  for (int i = 0; i < dimensions; i++)
    used += (size_t)snprintf(header + used, 512 - used, i ? ", %lld" : "%lld", (long long)shape[i]);
  used += (size_t)snprintf(header + used, 512 - used, dimensions == 1 ? ",), }" : "), }");
  while ((used + 1) % HEADER_ALIGNMENT) header[used++] = ' ';
  header[used++] = '\n';
  memcpy(header, magic, sizeof magic);
  header[6] = 1;
  header[7] = 0;
  header[8] = (char)((used - 10) & 255);
  header[9] = (char)((used - 10) >> 8);
  return used;
}

static int write_bytes(int descriptor, const void *data, size_t bytes) {
  const char *from = data;
  while (bytes > 0) {
    const ssize_t count = write(descriptor, from, bytes);
    if (count < 0 && errno == EINTR) continue;
    if (count <= 0) return -1;
    from += count;
    bytes -= (size_t)count;
  }
  return 0;
}

qds_status qds_npy_write(qds_allocator *allocator, const char *path, int dimensions, const int64_t *shape,
                         const double *values) {
  QDS_AUTO(qds_pending_file) *file = NULL;
  char header[512];
  size_t bytes = sizeof *values;
  QDS_REQUIRE(dimensions >= 0 && dimensions <= QDS_NPY_MAX_DIMENSIONS, "%d dimensions; 0 to %d are allowed",
              dimensions, QDS_NPY_MAX_DIMENSIONS);
  for (int i = 0; i < dimensions; i++)
    QDS_REQUIRE(shape[i] >= 0 && !__builtin_mul_overflow(bytes, shape[i], &bytes),
                "dimension %d has %lld elements: negative or too many", i, (long long)shape[i]);
  const size_t header_bytes = format_header(dimensions, shape, header);
  QDS_TRY(qds_pending_create(allocator, path, &file));
  {
    AUTO_CLOSE int descriptor = open(qds_pending_path(file), O_WRONLY | O_CLOEXEC);
    if (descriptor < 0 || write_bytes(descriptor, header, header_bytes) ||
        write_bytes(descriptor, values, bytes))
      QDS_FAIL_NATIVE(QDS_ERROR_FILE, errno, "cannot write \"%s\": %m", path);
  }
  return qds_pending_commit(file);
}

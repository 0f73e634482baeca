/* Matrices in files: making, opening and committing them, and access to single tiles. */
#include "mem/file_matrix.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <xxhash.h>

#include "base/file.h"

static const size_t default_resident = (size_t)64 << 20;
static const int64_t no_tile = -1;

/* What the process knows of a tile. Tiles whose pages may be mapped form a queue, the oldest first. */
typedef struct {
  int64_t next; /* in the queue */
  int readers;
  unsigned char writing, checked, queued;
} tile_state;

struct qds_file_matrix {
  qds_allocator *allocator;
  char *path;
  qds_pending_file *pending; /* until the first commit of a new matrix */
  int descriptor, writable, interrupted;
  qds_file_header header; /* as it is on the disk, or will be */
  char *map;
  int64_t down, across, writers;
  tile_state *tile;
  int64_t oldest, newest, queued;
  size_t resident;
};

static uint64_t *table_of(const qds_file_matrix *m) {
  return (uint64_t *)(m->map + QDS_FILE_PAGE);
}

static char *data_of(const qds_file_matrix *m, int64_t tile) {
  return m->map + m->header.data_offset + (uint64_t)tile * m->header.tile_bytes;
}

/* --- checksums: the number of the tile is the seed, so that a tile in the wrong place is found out too; 0 in
 * the table stands for a tile that was never written --- */

static uint64_t checksum_of(const qds_file_matrix *m, int64_t tile) {
  const uint64_t sum = XXH3_64bits_withSeed(data_of(m, tile), m->header.tile_bytes, (uint64_t)tile + 1);
  return sum ? sum : 1;
}

/* Linux 5.14 and later; the headers of a build machine may be older than the kernel that runs it. */
enum { POPULATE_READ = 22, POPULATE_WRITE = 23 };

/* Has the kernel map the pages of a range now, where what goes wrong is an error; at a touch it would be a
 * signal. Older kernels refuse the request, and pages come as they are touched. */
static qds_status bring(const qds_file_matrix *m, int64_t tile, void *data, size_t bytes, int write) {
  const size_t page = (size_t)sysconf(_SC_PAGESIZE), offset = (size_t)data % page;
  int refused;
  do {
    refused = madvise((char *)data - offset, bytes + offset, write ? POPULATE_WRITE : POPULATE_READ);
  } while (refused && (errno == EINTR || errno == EAGAIN));
  if (!refused || errno == EINVAL) return QDS_OK;
  QDS_FAIL_NATIVE(QDS_ERROR_FILE, errno, "\"%s\": tile (%lld, %lld) cannot be %s: %s; restore the file",
                  m->path, (long long)(tile / m->across), (long long)(tile % m->across),
                  write ? "written" : "read",
                  errno == ENOMEM ? "there is no memory for it"
                                  : "the disk failed, or another program has shortened the file");
}

/* A tile with its entry of the table. */
static qds_status bring_tile(const qds_file_matrix *m, int64_t tile, int write) {
  QDS_TRY(bring(m, tile, &table_of(m)[tile], sizeof(uint64_t), write));
  return bring(m, tile, data_of(m, tile), m->header.tile_bytes, write);
}

static int is_zero(const char *data, size_t bytes) {
  return data[0] == 0 && memcmp(data, data + 1, bytes - 1) == 0;
}

static int is_sound(const qds_file_matrix *m, int64_t tile) {
  const uint64_t sum = table_of(m)[tile];
  return sum ? sum == checksum_of(m, tile) : is_zero(data_of(m, tile), m->header.tile_bytes);
}

static qds_status check_tile(qds_file_matrix *m, int64_t tile) {
  if (m->tile[tile].checked) return QDS_OK;
  if (!is_sound(m, tile))
    QDS_FAIL(QDS_ERROR_FILE,
             "\"%s\": tile (%lld, %lld) %s; write it anew (QDS_FILE_OVERWRITE, or all of its elements), or "
             "restore the file",
             m->path, (long long)(tile / m->across), (long long)(tile % m->across),
             m->interrupted ? "is torn: its writer ended in the middle of it"
                            : "does not match its checksum: the file was damaged after it was written");
  m->tile[tile].checked = 1;
  return QDS_OK;
}

/* --- which tiles stay mapped --- */

/* Changed pages stay in the kernel's cache, which writes them; an address inside a page stands for it. */
static void drop_tile(qds_file_matrix *m, int64_t tile) {
  const size_t page = (size_t)sysconf(_SC_PAGESIZE), offset = (size_t)data_of(m, tile) % page;
  madvise(data_of(m, tile) - offset, m->header.tile_bytes + offset, MADV_DONTNEED);
  m->tile[tile].checked = 0;
}

static void enqueue(qds_file_matrix *m, int64_t tile) {
  m->tile[tile].queued = 1;
  m->tile[tile].next = no_tile;
  if (m->queued++ == 0)
    m->oldest = tile;
  else
    m->tile[m->newest].next = tile;
  m->newest = tile;
}

static int64_t dequeue(qds_file_matrix *m) {
  const int64_t tile = m->oldest;
  m->oldest = m->tile[tile].next;
  m->tile[tile].queued = 0;
  m->queued--;
  return tile;
}

/* Acquired tiles go to the end of the queue. */
static void drop_oldest(qds_file_matrix *m) {
  for (int64_t tries = m->queued; tries > 0 && (uint64_t)m->queued * m->header.tile_bytes > m->resident;
       tries--) {
    const int64_t tile = dequeue(m);
    if (m->tile[tile].readers || m->tile[tile].writing)
      enqueue(m, tile);
    else
      drop_tile(m, tile);
  }
}

void qds_file_matrix_set_resident(qds_file_matrix *m, size_t bytes) {
  m->resident = bytes;
  drop_oldest(m);
}

/* --- the header on the disk --- */

static qds_status write_header(qds_file_matrix *m, uint32_t state) {
  qds_file_header_seal(&m->header, state);
  if (pwrite(m->descriptor, &m->header, sizeof m->header, 0) != (ssize_t)sizeof m->header ||
      fdatasync(m->descriptor))
    QDS_FAIL_NATIVE(QDS_ERROR_FILE, errno, "cannot write the header of \"%s\": %m", m->path);
  return QDS_OK;
}

/* The mark reaches the disk before the first change does. A new matrix has no header yet. */
static qds_status mark_writing(qds_file_matrix *m) {
  if (m->pending || m->header.state == QDS_FILE_WRITING) return QDS_OK;
  return write_header(m, QDS_FILE_WRITING);
}

qds_status qds_file_matrix_commit(qds_file_matrix *m) {
  QDS_REQUIRE(m, "qds_file_matrix_commit: a NULL argument");
  QDS_REQUIRE(m->writers == 0, "\"%s\": %lld tiles are still acquired for writing; release them first",
              m->path, (long long)m->writers);
  if (!m->writable || (!m->pending && m->header.state == QDS_FILE_CLOSED)) return QDS_OK;
  if (msync(m->map, m->header.file_bytes, MS_SYNC))
    QDS_FAIL_NATIVE(QDS_ERROR_FILE, errno, "cannot write \"%s\": %m", m->path);
  QDS_TRY(write_header(m, QDS_FILE_CLOSED));
  m->interrupted = 0;
  if (!m->pending) return QDS_OK;
  QDS_TRY(qds_pending_commit(m->pending));
  qds_pending_file_destroy(m->pending);
  m->pending = NULL;
  return QDS_OK;
}

/* --- making and opening --- */

static qds_status make(qds_allocator *allocator, const char *path, qds_file_matrix **out) {
  QDS_AUTO(qds_file_matrix) *m = NULL;
  QDS_TRY(QDS_NEW_ZERO(allocator, 1, "file matrix", &m));
  m->allocator = allocator;
  m->descriptor = -1;
  m->map = MAP_FAILED;
  m->resident = default_resident;
  QDS_TRY(QDS_STRDUP(allocator, path, "file matrix", &m->path));
  *out = m;
  m = NULL;
  return QDS_OK;
}

/* One writer, or any number of readers. Some network file systems know no such locks. */
static qds_status lock(qds_file_matrix *m) {
  if (flock(m->descriptor, (m->writable ? LOCK_EX : LOCK_SH) | LOCK_NB) == 0) return QDS_OK;
  if (errno == EOPNOTSUPP || errno == ENOLCK || errno == ENOSYS) return QDS_OK;
  QDS_FAIL_NATIVE(QDS_ERROR_FILE, errno, "\"%s\" is in use: %s", m->path,
                  m->writable ? "someone reads or writes it, and a writer must be alone"
                              : "someone writes it");
}

static qds_status map(qds_file_matrix *m) {
  m->down = (m->header.rows + m->header.tile_rows - 1) / m->header.tile_rows;
  m->across = (m->header.columns + m->header.tile_columns - 1) / m->header.tile_columns;
  QDS_TRY(QDS_NEW_ZERO(m->allocator, m->down * m->across, "file matrix", &m->tile));
  m->map = mmap(NULL, m->header.file_bytes, PROT_READ | (m->writable ? PROT_WRITE : 0), MAP_SHARED,
                m->descriptor, 0);
  if (m->map == MAP_FAILED)
    QDS_FAIL_NATIVE(QDS_ERROR_FILE, errno, "cannot map \"%s\" (%llu bytes): %m", m->path,
                    (unsigned long long)m->header.file_bytes);
  return QDS_OK;
}

/* The room is taken now, so that a full disk is an error here and not a signal at some later store. */
static qds_status take_room(const qds_file_matrix *m) {
  int error;
  while ((error = posix_fallocate(m->descriptor, 0, (off_t)m->header.file_bytes)) == EINTR) continue;
  errno = error;
  if (error)
    QDS_FAIL_NATIVE(QDS_ERROR_FILE, error, "cannot make \"%s\" with %llu bytes: %m", m->path,
                    (unsigned long long)m->header.file_bytes);
  return QDS_OK;
}

qds_status qds_file_matrix_create_in(qds_allocator *allocator, const char *path,
                                     const qds_file_matrix_options *options, qds_file_matrix **out) {
  QDS_REQUIRE(path && options && out, "qds_file_matrix_create: a NULL argument");
  QDS_AUTO(qds_file_matrix) *m = NULL;
  *out = NULL;
  QDS_TRY(make(allocator, path, &m));
  QDS_TRY(qds_file_header_make(options, &m->header));
  m->writable = 1;
  QDS_TRY(qds_pending_create(allocator, path, &m->pending));
  m->descriptor = open(qds_pending_path(m->pending), O_RDWR | O_CLOEXEC);
  if (m->descriptor < 0) QDS_FAIL_NATIVE(QDS_ERROR_FILE, errno, "cannot make \"%s\": %m", path);
  QDS_TRY(lock(m));
  QDS_TRY(take_room(m));
  QDS_TRY(map(m));
  *out = m;
  m = NULL;
  return QDS_OK;
}

static qds_status read_header(qds_file_matrix *m) {
  struct stat status;
  if (fstat(m->descriptor, &status))
    QDS_FAIL_NATIVE(QDS_ERROR_FILE, errno, "cannot read \"%s\": %m", m->path);
  if (!S_ISREG(status.st_mode))
    QDS_FAIL(QDS_ERROR_FILE, "cannot read \"%s\": it is a %s, not a file", m->path,
             S_ISDIR(status.st_mode) ? "folder" : "device or a pipe");
  if (pread(m->descriptor, &m->header, sizeof m->header, 0) < 0)
    QDS_FAIL_NATIVE(QDS_ERROR_FILE, errno, "cannot read \"%s\": %m", m->path);
  return qds_file_header_check(&m->header, (uint64_t)status.st_size, m->path);
}

qds_status qds_file_matrix_open_in(qds_allocator *allocator, const char *path, qds_file_mode mode,
                                   qds_file_matrix **out) {
  QDS_REQUIRE(path && out, "qds_file_matrix_open: a NULL argument");
  QDS_REQUIRE(mode == QDS_FILE_READ_ONLY || mode == QDS_FILE_READ_WRITE,
              "qds_file_matrix_open: mode %d; QDS_FILE_READ_ONLY and QDS_FILE_READ_WRITE are allowed",
              (int)mode);
  QDS_AUTO(qds_file_matrix) *m = NULL;
  *out = NULL;
  QDS_TRY(make(allocator, path, &m));
  m->writable = mode == QDS_FILE_READ_WRITE;
  /* O_NONBLOCK: opening a pipe that nobody writes must not wait. */
  m->descriptor = open(path, (m->writable ? O_RDWR : O_RDONLY) | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
  if (m->descriptor < 0) QDS_FAIL_NATIVE(QDS_ERROR_FILE, errno, "cannot open \"%s\": %m", path);
  QDS_TRY(lock(m));
  QDS_TRY(read_header(m));
  m->interrupted = m->header.state == QDS_FILE_WRITING;
  QDS_TRY(map(m));
  *out = m;
  m = NULL;
  return QDS_OK;
}

void qds_file_matrix_destroy(qds_file_matrix *m) {
  if (!m) return;
  if (m->map != MAP_FAILED) munmap(m->map, m->header.file_bytes);
  if (m->descriptor >= 0) close(m->descriptor);
  qds_pending_file_destroy(m->pending);
  qds_release(m->tile);
  qds_release(m->path);
  qds_release(m);
}

void qds_file_matrix_get_info(const qds_file_matrix *m, qds_file_matrix_info *out) {
  const qds_file_header *h = &m->header;
  *out = (qds_file_matrix_info){(qds_file_type)h->type, h->rows, h->columns, h->tile_rows,
                                h->tile_columns,        m->down, m->across,  h->file_bytes,
                                m->interrupted};
}

/* --- tiles --- */

static qds_status find_tile(const qds_file_matrix *m, int64_t tile_row, int64_t tile_column, int64_t *tile) {
  QDS_REQUIRE(m, "a file matrix that is NULL");
  QDS_REQUIRE(tile_row >= 0 && tile_row < m->down && tile_column >= 0 && tile_column < m->across,
              "\"%s\" has no tile (%lld, %lld): it has %lld x %lld", m->path, (long long)tile_row,
              (long long)tile_column, (long long)m->down, (long long)m->across);
  *tile = tile_row * m->across + tile_column;
  return QDS_OK;
}

qds_status qds_file_matrix_acquire(qds_file_matrix *m, int64_t tile_row, int64_t tile_column,
                                   qds_file_use use, void **out) {
  int64_t tile = no_tile;
  *out = NULL;
  QDS_TRY(find_tile(m, tile_row, tile_column, &tile));
  tile_state *state = &m->tile[tile];
  const int write = use != QDS_FILE_READ;
  QDS_REQUIRE(!write || m->writable, "\"%s\" was opened for reading only; open it with QDS_FILE_READ_WRITE",
              m->path);
  QDS_REQUIRE(!state->writing && !(write && state->readers),
              "\"%s\": tile (%lld, %lld) is acquired already, and a writer must be alone; release it first",
              m->path, (long long)tile_row, (long long)tile_column);
  if (write || !state->checked) QDS_TRY(bring_tile(m, tile, write));
  if (use != QDS_FILE_OVERWRITE) QDS_TRY(check_tile(m, tile));
  if (write) QDS_TRY(mark_writing(m));
  if (!state->queued) enqueue(m, tile);
  if (write)
    state->writing = 1, m->writers++;
  else
    state->readers++;
  drop_oldest(m);
  *out = data_of(m, tile);
  return QDS_OK;
}

qds_status qds_file_matrix_release(qds_file_matrix *m, int64_t tile_row, int64_t tile_column) {
  int64_t tile = no_tile;
  QDS_TRY(find_tile(m, tile_row, tile_column, &tile));
  tile_state *state = &m->tile[tile];
  QDS_REQUIRE(state->writing || state->readers, "\"%s\": tile (%lld, %lld) is not acquired", m->path,
              (long long)tile_row, (long long)tile_column);
  if (state->writing) {
    table_of(m)[tile] = checksum_of(m, tile);
    state->writing = 0;
    state->checked = 1;
    m->writers--;
  } else {
    state->readers--;
  }
  drop_oldest(m);
  return QDS_OK;
}

void qds_file_matrix_prefetch(const qds_file_matrix *m, int64_t tile_row, int64_t tile_column) {
  if (tile_row < 0 || tile_row >= m->down || tile_column < 0 || tile_column >= m->across) return;
  const int64_t tile = tile_row * m->across + tile_column;
  const off_t offset = (off_t)m->header.data_offset + tile * (off_t)m->header.tile_bytes;
  if (!m->tile[tile].queued)
    posix_fadvise(m->descriptor, offset, (off_t)m->header.tile_bytes, POSIX_FADV_WILLNEED);
}

qds_status qds_file_matrix_verify(qds_file_matrix *m) {
  QDS_REQUIRE(m, "qds_file_matrix_verify: a NULL argument");
  int64_t bad = 0, first = no_tile;
  for (int64_t tile = 0; tile < m->down * m->across; tile++) {
    if (m->tile[tile].writing) continue;
    qds_file_matrix_prefetch(m, (tile + 1) / m->across, (tile + 1) % m->across);
    QDS_TRY(bring_tile(m, tile, 0));
    const int sound = is_sound(m, tile);
    if (!sound && bad++ == 0) first = tile;
    if (!m->tile[tile].queued) drop_tile(m, tile);
  }
  if (bad)
    QDS_FAIL(QDS_ERROR_FILE, "\"%s\": %lld of %lld tiles are torn or damaged, the first is (%lld, %lld); %s",
             m->path, (long long)bad, (long long)(m->down * m->across), (long long)(first / m->across),
             (long long)(first % m->across), "write them anew or restore the file");
  return QDS_OK;
}

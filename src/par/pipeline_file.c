#include "par/pipeline_file.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct qds_pipeline_file {
  int descriptor;
  size_t chunk;
  uint64_t bytes;
  char *path;
};

static qds_status open_with(qds_allocator *allocator, const char *path, size_t chunk, int flags,
                            qds_pipeline_file **out) {
  *out = NULL;
  QDS_REQUIRE(chunk > 0, "%s: parts of 0 bytes; 1 at least is allowed", path);
  QDS_AUTO(qds_pipeline_file) *file = NULL;
  QDS_TRY(QDS_NEW_ZERO(allocator, 1, "pipeline file", &file));
  file->descriptor = -1;
  file->chunk = chunk;
  QDS_TRY(QDS_STRDUP(allocator, path, "pipeline file", &file->path));
  file->descriptor = open(path, flags | O_CLOEXEC, 0666);
  struct stat about;
  if (file->descriptor < 0 || fstat(file->descriptor, &about) != 0)
    QDS_FAIL_NATIVE(QDS_ERROR_FILE, errno, "%s: cannot be opened: %s", path, strerror(errno));
  if (!S_ISREG(about.st_mode)) QDS_FAIL(QDS_ERROR_FILE, "%s: is not a regular file", path);
  file->bytes = (uint64_t)about.st_size;
  *out = file;
  file = NULL;
  return QDS_OK;
}

qds_status qds_pipeline_file_open(qds_allocator *allocator, const char *path, size_t chunk,
                                  qds_pipeline_file **out) {
  return open_with(allocator, path, chunk, O_RDONLY, out);
}

qds_status qds_pipeline_file_create(qds_allocator *allocator, const char *path, size_t chunk,
                                    qds_pipeline_file **out) {
  return open_with(allocator, path, chunk, O_WRONLY | O_CREAT | O_TRUNC, out);
}

uint64_t qds_pipeline_file_items(const qds_pipeline_file *file) {
  return file->bytes / file->chunk + (file->bytes % file->chunk > 0);
}

qds_status qds_pipeline_file_flush(qds_pipeline_file *file) {
  if (fsync(file->descriptor) != 0)
    QDS_FAIL_NATIVE(QDS_ERROR_FILE, errno, "%s: cannot be flushed to the disk: %s", file->path,
                    strerror(errno));
  return QDS_OK;
}

void qds_pipeline_file_destroy(qds_pipeline_file *file) {
  if (!file) return;
  if (file->descriptor >= 0) close(file->descriptor);
  qds_release(file->path);
  qds_release(file);
}

qds_status qds_pipeline_read(void *pointer, qds_pipeline_item *item, qds_stream *stream) {
  const qds_pipeline_file *file = pointer;
  (void)stream;
  const uint64_t start = item->index * file->chunk;
  QDS_REQUIRE(start < file->bytes, "%s: ends before part %llu", file->path, (unsigned long long)item->index);
  const uint64_t rest = file->bytes - start;
  QDS_REQUIRE(item->bytes == file->chunk, "%s: parts of %zu bytes for items of %zu", file->path, file->chunk,
              item->bytes);
  item->bytes = rest < file->chunk ? (size_t)rest : file->chunk;
  for (size_t done = 0; done < item->bytes;) {
    const ssize_t got =
        pread(file->descriptor, (char *)item->host + done, item->bytes - done, (off_t)(start + done));
    if (got < 0 && errno == EINTR) continue;
    if (got < 0)
      QDS_FAIL_NATIVE(QDS_ERROR_FILE, errno, "%s: cannot be read at byte %llu: %s", file->path,
                      (unsigned long long)(start + done), strerror(errno));
    if (got == 0)
      QDS_FAIL(QDS_ERROR_FILE, "%s: has become shorter while it was read: ends at byte %llu of %llu",
               file->path, (unsigned long long)(start + done), (unsigned long long)file->bytes);
    done += (size_t)got;
  }
  return QDS_OK;
}

qds_status qds_pipeline_write(void *pointer, qds_pipeline_item *item, qds_stream *stream) {
  const qds_pipeline_file *file = pointer;
  (void)stream;
  const uint64_t start = item->index * file->chunk;
  for (size_t done = 0; done < item->bytes;) {
    const ssize_t put =
        pwrite(file->descriptor, (const char *)item->host + done, item->bytes - done, (off_t)(start + done));
    if (put < 0 && errno == EINTR) continue;
    if (put < 0)
      QDS_FAIL_NATIVE(QDS_ERROR_FILE, errno, "%s: cannot be written at byte %llu: %s", file->path,
                      (unsigned long long)(start + done), strerror(errno));
    done += (size_t)put;
  }
  return QDS_OK;
}

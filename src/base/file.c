#include "base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/text.h"

struct qds_pending_file {
  char *path, *temporary, *folder;
  int reserved; /* the temporary file is on the disk */
};

/* Names that are tried beside a file before giving up: leftovers of killed processes with the same number,
 * and writers of the same file in other threads. */
enum { MAX_RESERVATIONS = 100 };

static void close_descriptor(int *descriptor) {
  if (*descriptor >= 0) close(*descriptor);
}
#define AUTO_CLOSE __attribute__((cleanup(close_descriptor)))

static qds_status folder_of(qds_allocator *allocator, const char *path, char **out) {
  const char *slash = strrchr(path, '/');
  if (!slash) return QDS_STRDUP(allocator, ".", "file", out);
  const int length = slash == path ? 1 : (int)(slash - path);
  return qds_format(allocator, out, "%.*s", length, path);
}

/* Renaming over a device or a pipe would destroy it: only plain files are replaced. */
static qds_status check_replaceable(const char *path) {
  struct stat status;
  const char *slash = strrchr(path, '/');
  if (!*path || (slash && !slash[1])) QDS_FAIL(QDS_ERROR_FILE, "cannot write \"%s\": it names no file", path);
  if (stat(path, &status) == 0 && !S_ISREG(status.st_mode))
    QDS_FAIL(QDS_ERROR_FILE, "cannot write \"%s\": a %s has that name", path,
             S_ISDIR(status.st_mode) ? "folder" : "device or pipe");
  return QDS_OK;
}

static qds_status reserve(qds_allocator *allocator, qds_pending_file *file) {
  for (int attempt = 1; attempt <= MAX_RESERVATIONS; attempt++) {
    char suffix[16] = "";
    if (attempt > 1) snprintf(suffix, sizeof suffix, "-%d", attempt);
    qds_release(file->temporary);
    file->temporary = NULL;
    QDS_TRY(qds_format(allocator, &file->temporary, "%s.part-%ld%s", file->path, (long)getpid(), suffix));
    const int descriptor = open(file->temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    if (descriptor >= 0) {
      close(descriptor);
      file->reserved = 1;
      return QDS_OK;
    }
    if (errno != EEXIST)
      QDS_FAIL_NATIVE(QDS_ERROR_FILE, errno, "cannot write \"%s\" in folder \"%s\": %m", file->path,
                      file->folder);
  }
  QDS_FAIL_NATIVE(QDS_ERROR_FILE, EEXIST, "cannot write \"%s\": too many leftovers \"%s\"; remove them",
                  file->path, file->temporary);
}

qds_status qds_pending_create(qds_allocator *allocator, const char *path, qds_pending_file **out) {
  QDS_AUTO(qds_pending_file) *file = NULL;
  *out = NULL;
  QDS_TRY(check_replaceable(path));
  QDS_TRY(QDS_NEW_ZERO(allocator, 1, "file", &file));
  QDS_TRY(QDS_STRDUP(allocator, path, "file", &file->path));
  QDS_TRY(folder_of(allocator, path, &file->folder));
  QDS_TRY(reserve(allocator, file));
  *out = file;
  file = NULL;
  return QDS_OK;
}

const char *qds_pending_path(const qds_pending_file *file) {
  return file->temporary;
}

/* Some network file systems know no fsync; their answer is no loss of data. */
static int flush_descriptor(int descriptor) {
  return fsync(descriptor) == 0 || errno == EINVAL || errno == ENOSYS ? 0 : -1;
}

/* Makes the new name durable. The file is in place by now, so a folder that cannot be opened or flushed is no
 * failure of the write. */
static void flush_folder(const char *folder) {
  AUTO_CLOSE int descriptor = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (descriptor >= 0) flush_descriptor(descriptor);
}

qds_status qds_pending_commit(qds_pending_file *file) {
  QDS_REQUIRE(file->reserved, "the file \"%s\" was committed before", file->path);
  AUTO_CLOSE int descriptor = open(file->temporary, O_RDONLY | O_CLOEXEC);
  if (descriptor < 0 || flush_descriptor(descriptor) || rename(file->temporary, file->path))
    QDS_FAIL_NATIVE(QDS_ERROR_FILE, errno, "cannot finish writing \"%s\" in folder \"%s\": %m", file->path,
                    file->folder);
  file->reserved = 0;
  flush_folder(file->folder);
  return QDS_OK;
}

void qds_pending_file_destroy(qds_pending_file *file) {
  if (!file) return;
  if (file->reserved) unlink(file->temporary);
  qds_release(file->path);
  qds_release(file->temporary);
  qds_release(file->folder);
  qds_release(file);
}

static int write_all(int descriptor, const char *data, size_t bytes) {
  while (bytes > 0) {
    const ssize_t written = write(descriptor, data, bytes);
    if (written < 0 && errno == EINTR) continue;
    if (written <= 0) return -1;
    data += written;
    bytes -= (size_t)written;
  }
  return 0;
}

qds_status qds_pending_write(qds_pending_file *file, const void *data, size_t bytes) {
  AUTO_CLOSE int descriptor = open(file->temporary, O_WRONLY | O_TRUNC | O_CLOEXEC);
  if (descriptor < 0 || write_all(descriptor, data, bytes))
    QDS_FAIL_NATIVE(QDS_ERROR_FILE, errno, "cannot write \"%s\" (%zu bytes): %m", file->path, bytes);
  return QDS_OK;
}

qds_status qds_file_write(qds_allocator *allocator, const char *path, const void *data, size_t bytes) {
  QDS_AUTO(qds_pending_file) *file = NULL;
  QDS_TRY(qds_pending_create(allocator, path, &file));
  QDS_TRY(qds_pending_write(file, data, bytes));
  return qds_pending_commit(file);
}

/* Reads to the end of the file, which may be longer than its status says (as in /proc). */
static qds_status read_all(qds_allocator *allocator, const char *path, int descriptor, size_t expected,
                           size_t limit, char **out, size_t *bytes) {
  QDS_AUTO_RELEASE char *data = NULL;
  /* Room for the zero byte, and for one more, so that the end is found without growing. */
  size_t room = expected + 2, used = 0;
  QDS_TRY(QDS_NEW(allocator, room, "file", &data));
  for (;;) {
    if (used + 1 == room) {
      room *= 2;
      QDS_TRY(QDS_RESIZE(allocator, room, "file", &data));
    }
    const ssize_t count = read(descriptor, data + used, room - used - 1);
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) QDS_FAIL_NATIVE(QDS_ERROR_FILE, errno, "cannot read \"%s\": %m", path);
    if (count == 0) break;
    used += (size_t)count;
    if (used > limit)
      QDS_FAIL_NATIVE(QDS_ERROR_FILE, EFBIG, "cannot read \"%s\": it grew past %zu bytes while it was read",
                      path, limit);
  }
  data[used] = '\0';
  *out = data;
  *bytes = used;
  data = NULL;
  return QDS_OK;
}

qds_status qds_file_read(qds_allocator *allocator, const char *path, size_t limit, char **out,
                         size_t *bytes) {
  struct stat status;
  *out = NULL;
  *bytes = 0;
  /* O_NONBLOCK: opening a pipe that nobody writes must not wait. */
  AUTO_CLOSE int descriptor = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
  if (descriptor < 0 || fstat(descriptor, &status))
    QDS_FAIL_NATIVE(QDS_ERROR_FILE, errno, "cannot read \"%s\": %m", path);
  if (S_ISDIR(status.st_mode))
    QDS_FAIL_NATIVE(QDS_ERROR_FILE, EISDIR, "cannot read \"%s\": it is a folder", path);
  if (!S_ISREG(status.st_mode))
    QDS_FAIL(QDS_ERROR_FILE, "cannot read \"%s\": it is a device or a pipe, not a file", path);
  if ((uintmax_t)status.st_size > limit)
    QDS_FAIL_NATIVE(QDS_ERROR_FILE, EFBIG, "cannot read \"%s\": it has %jd bytes, the limit is %zu", path,
                    (intmax_t)status.st_size, limit);
  return read_all(allocator, path, descriptor, (size_t)status.st_size, limit, out, bytes);
}

static qds_status make_folder(const char *path) {
  struct stat status;
  if (mkdir(path, 0777) == 0) return QDS_OK;
  const int reason = errno;
  if (stat(path, &status) == 0 && S_ISDIR(status.st_mode)) return QDS_OK;
  errno = reason;
  QDS_FAIL_NATIVE(QDS_ERROR_FILE, reason, "cannot make the folder \"%s\": %s%m", path,
                  reason == EEXIST ? "a file has that name: " : "");
}

qds_status qds_folder_create(qds_allocator *allocator, const char *path) {
  QDS_AUTO_RELEASE char *part = NULL;
  if (!*path) QDS_FAIL(QDS_ERROR_FILE, "cannot make a folder without a name");
  QDS_TRY(QDS_STRDUP(allocator, path, "file", &part));
  for (char *slash = part + 1; *slash; slash++) {
    if (*slash != '/') continue;
    *slash = '\0';
    QDS_TRY(make_folder(part));
    *slash = '/';
  }
  QDS_TRY(make_folder(path));
  if (faccessat(AT_FDCWD, path, W_OK | X_OK, AT_EACCESS))
    QDS_FAIL_NATIVE(QDS_ERROR_FILE, errno, "cannot write into the folder \"%s\": %m", path);
  return QDS_OK;
}

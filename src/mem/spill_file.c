#include "mem/spill_file.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/magic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "qdsim/text.h"

int qds_open_unnamed(const char *folder, int *descriptor) {
  *descriptor = open(folder, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
  if (*descriptor >= 0) return 0;
  if (errno != EOPNOTSUPP && errno != EISDIR) return errno;
  char path[PATH_MAX];
  const int length = snprintf(path, sizeof path, "%s/qdsim-spill-XXXXXX", folder);
  if (length < 0 || (size_t)length >= sizeof path) return ENAMETOOLONG;
  *descriptor = mkostemp(path, O_CLOEXEC);
  if (*descriptor < 0) return errno;
  unlink(path);
  return 0;
}

/* Reserves the room. A file system that cannot do that gives only the length, and a full disk shows on
 * writing. */
static int reserve(int descriptor, size_t bytes) {
  if (bytes == 0) return 0;
  int error = 0;
  do error = fallocate(descriptor, 0, 0, (off_t)bytes) ? errno : 0;
  while (error == EINTR);
  if (error != EOPNOTSUPP) return error;
  return ftruncate(descriptor, (off_t)bytes) ? errno : 0;
}

static int in_memory(int descriptor) {
  struct statfs system;
  if (fstatfs(descriptor, &system)) return 0;
  return system.f_type == TMPFS_MAGIC || system.f_type == RAMFS_MAGIC;
}

qds_status qds_spill_file_open(const char *folder, size_t bytes, qds_spill_file *out) {
  *out = (qds_spill_file){-1, folder};
  if (!*folder) QDS_FAIL(QDS_ERROR_FILE, "nothing may be moved to files: the scratch folder is \"\"");
  int error = qds_open_unnamed(folder, &out->descriptor);
  if (!error && in_memory(out->descriptor)) {
    qds_spill_file_close(out);
    QDS_FAIL(QDS_ERROR_FILE, "the scratch folder \"%s\" lies in memory (tmpfs), where files save none",
             folder);
  }
  if (!error) error = reserve(out->descriptor, bytes);
  if (!error) return QDS_OK;
  qds_spill_file_close(out);
  char size[QDS_BYTES_TEXT];
  qds_format_bytes(bytes, size);
  QDS_FAIL_NATIVE(QDS_ERROR_FILE, error, "%s: no spill file of %s can be made here: %s", folder, size,
                  strerror(error));
}

void qds_spill_file_close(qds_spill_file *file) {
  if (file->descriptor >= 0) close(file->descriptor);
  file->descriptor = -1;
}

qds_status qds_spill_file_write(const qds_spill_file *file, size_t offset, const void *data, size_t bytes) {
  for (size_t done = 0; done < bytes;) {
    const ssize_t n =
        pwrite(file->descriptor, (const char *)data + done, bytes - done, (off_t)(offset + done));
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0)
      QDS_FAIL_NATIVE(QDS_ERROR_FILE, n < 0 ? errno : 0, "%s: cannot write to a spill file: %s", file->folder,
                      n < 0 ? strerror(errno) : "nothing was written");
    done += (size_t)n;
  }
  return QDS_OK;
}

qds_status qds_spill_file_read(const qds_spill_file *file, size_t offset, void *out, size_t bytes) {
  for (size_t done = 0; done < bytes;) {
    const ssize_t n = pread(file->descriptor, (char *)out + done, bytes - done, (off_t)(offset + done));
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0)
      QDS_FAIL_NATIVE(QDS_ERROR_FILE, n < 0 ? errno : 0, "%s: cannot read from a spill file: %s",
                      file->folder, n < 0 ? strerror(errno) : "it is too short");
    done += (size_t)n;
  }
  return QDS_OK;
}

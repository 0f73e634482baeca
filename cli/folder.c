#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cli.h"

enum { PROBE_BYTES = 4096 };

/* An open file in `folder` that has no name and vanishes when it is closed; -1 with errno. */
static int open_nameless(const char *folder) {
  const int file = open(folder, O_TMPFILE | O_WRONLY | O_CLOEXEC, 0600);
  if (file >= 0 || (errno != EOPNOTSUPP && errno != EISDIR)) return file;
  /* A file system without O_TMPFILE: the name is taken away at once. */
  char name[PATH_MAX];
  if (snprintf(name, sizeof name, "%s/.qdsim-XXXXXX", folder) >= (int)sizeof name) {
    errno = ENAMETOOLONG;
    return -1;
  }
  const int named = mkstemp(name);
  if (named >= 0) unlink(name);
  return named;
}

/* Writes a little, to the disk itself: a full disk and a file size limit show only then. 0 or errno. */
static int probe(const char *folder) {
  static const char zeros[PROBE_BYTES];
  const int file = open_nameless(folder);
  if (file < 0) return errno;
  int code = 0;
  const ssize_t written = write(file, zeros, sizeof zeros);
  if (written < 0)
    code = errno;
  else if (written < PROBE_BYTES)
    code = ENOSPC;
  else if (fsync(file) != 0 && errno != EINVAL)
    code = errno;
  close(file);
  return code;
}

/* Cuts the last component off; "a" becomes ".", "/" stays. Returns 0 at the top. */
static int to_parent(char *path) {
  size_t length = strlen(path);
  while (length > 1 && path[length - 1] == '/') path[--length] = 0;
  if (strcmp(path, ".") == 0 || strcmp(path, "/") == 0) return 0;
  char *slash = strrchr(path, '/');
  if (!slash)
    strcpy(path, ".");
  else
    slash[slash == path] = 0;
  return 1;
}

static int refuse(const char *folder, const char *where, int code) {
  if (strcmp(folder, where) == 0)
    fprintf(stderr, "qdsim: output folder %s: cannot be written: %s; choose another with -o\n", folder,
            strerror(code));
  else
    fprintf(stderr, "qdsim: output folder %s: cannot be made in %s: %s; choose another with -o\n", folder,
            where, strerror(code));
  return qds_status_exit(QDS_ERROR_FILE);
}

int cli_folder_check(const char *path, cli_folder *folder) {
  struct stat status;
  char *existing = folder->existing;
  folder->path = path;
  existing[0] = 0;
  if (!*path) {
    fprintf(stderr, "qdsim: the output folder has no name: -o \"\"; the working folder is .\n");
    return qds_status_exit(QDS_ERROR_FILE);
  }
  if (strlen(path) >= sizeof folder->existing) return refuse(path, path, ENAMETOOLONG);
  strcpy(existing, path);
  /* The nearest folder above that exists is where the missing ones will be made. */
  while (stat(existing, &status) != 0)
    if (errno != ENOENT || !to_parent(existing)) return refuse(path, existing, errno);
  if (!S_ISDIR(status.st_mode)) return refuse(path, existing, ENOTDIR);
  const int code = probe(existing);
  return code ? refuse(path, existing, code) : CLI_CONTINUE;
}

int cli_folder_make(const cli_folder *folder) {
  char path[PATH_MAX];
  snprintf(path, sizeof path, "%s", folder->path);
  for (char *end = path + 1;; end++) {
    const char separator = *end;
    if (separator && separator != '/') continue;
    *end = 0;
    if (mkdir(path, 0777) != 0 && errno != EEXIST) return refuse(folder->path, path, errno);
    if (!separator) return CLI_CONTINUE;
    *end = separator;
  }
}

void cli_folder_undo(const cli_folder *folder) {
  char path[PATH_MAX];
  snprintf(path, sizeof path, "%s", folder->path);
  while (strcmp(path, folder->existing) != 0 && rmdir(path) == 0 && to_parent(path)) continue;
}

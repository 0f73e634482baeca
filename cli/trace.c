#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "cli.h"

static int same_inode(const struct stat *a, const struct stat *b) {
  return a->st_dev == b->st_dev && a->st_ino == b->st_ino;
}

/* The folder that a path names an entry of; returns 0 when it is not there. */
static int find_folder(const char *path, struct stat *out) {
  char folder[PATH_MAX];
  const char *slash = strrchr(path, '/');
  const int length = slash ? (int)(slash - path) : 0;
  if (!slash) return stat(".", out) == 0;
  return snprintf(folder, sizeof folder, "%.*s/", length, path) < (int)sizeof folder &&
         stat(folder, out) == 0;
}

static const char *name_in(const char *path) {
  const char *slash = strrchr(path, '/');
  return slash ? slash + 1 : path;
}

/* Whether two paths are one file, however they are spelt; where neither is there yet, whether they would be.
 */
static int same_file(const char *a, const char *b) {
  struct stat at_a, at_b;
  const int a_there = stat(a, &at_a) == 0, b_there = stat(b, &at_b) == 0;
  if (a_there || b_there) return a_there && b_there && same_inode(&at_a, &at_b);
  return strcmp(name_in(a), name_in(b)) == 0 && find_folder(a, &at_a) && find_folder(b, &at_b) &&
         same_inode(&at_a, &at_b);
}

int cli_trace_check(const char *trace, const char *device_file) {
  struct stat status;
  if (stat(trace, &status) == 0 && S_ISDIR(status.st_mode))
    return cli_complain("run", "--memory-trace %s: this is a folder; name a file", trace);
  if (same_file(trace, device_file))
    return cli_complain("run", "--memory-trace %s: this is the device file; name another", trace);
  return CLI_CONTINUE;
}

int cli_trace_check_outputs(const char *trace, const cli_outputs *files) {
  for (int i = 0; i < CLI_OUTPUTS; i++)
    if (same_file(trace, files->paths[i]))
      return cli_complain("run", "--memory-trace %s: a file of the results has that name; choose another",
                          trace);
  return CLI_CONTINUE;
}

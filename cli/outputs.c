#include <stdio.h>
#include <sys/stat.h>

#include "cli.h"
#include "qdsim/text.h"

static const char *const suffixes[CLI_OUTPUTS] = {".json", ".vtkhdf", ".memory.h5", ".png", ".memory.png"};

static cli_file_state state_of(const char *path) {
  struct stat status;
  if (stat(path, &status) != 0) return (cli_file_state){0};
  return (cli_file_state){1, status.st_ino, status.st_mtim};
}

static int was_written(const char *path, const cli_file_state *before) {
  const cli_file_state now = state_of(path);
  return now.there &&
         (!before->there || now.inode != before->inode || now.changed.tv_sec != before->changed.tv_sec ||
          now.changed.tv_nsec != before->changed.tv_nsec);
}

qds_status cli_outputs_find(cli_outputs *files, const qds_device *device, const char *folder) {
  for (int i = 0; i < CLI_OUTPUTS; i++) {
    const qds_status status = qds_device_result_path(device, folder, suffixes[i], &files->paths[i]);
    if (status != QDS_OK) return status;
    files->before[i] = state_of(files->paths[i]);
  }
  return QDS_OK;
}

int cli_outputs_check(const cli_outputs *files, cli_output which) {
  struct stat status;
  const char *path = files->paths[which];
  if (stat(path, &status) != 0 || S_ISREG(status.st_mode)) return CLI_CONTINUE;
  fprintf(stderr, "qdsim: cannot write %s: a %s has that name; choose another folder with -o\n", path,
          S_ISDIR(status.st_mode) ? "folder" : "device or pipe");
  return qds_status_exit(QDS_ERROR_FILE);
}

void cli_outputs_clear(cli_outputs *files) {
  for (int i = 0; i < CLI_OUTPUTS; i++) qds_text_destroy(files->paths[i]);
}

void cli_outputs_print(const cli_outputs *files) {
  const char *separator = "wrote ";
  for (int i = 0; i < CLI_OUTPUTS; i++) {
    if (!was_written(files->paths[i], &files->before[i])) continue;
    printf("%s%s", separator, files->paths[i]);
    separator = ", ";
  }
  printf("\n");
}

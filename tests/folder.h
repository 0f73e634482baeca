/* A fresh folder for each test that writes files: cmocka_unit_test_setup_teardown(test, folder_setup,
 * folder_teardown) hands it over as *state. */
#ifndef QDS_TESTS_FOLDER_H
#define QDS_TESTS_FOLDER_H

#include <dirent.h>
#include <unistd.h>

#include "support.h"

static inline int folder_setup(void **state) {
  char *folder = strdup("/tmp/qdsim-test-XXXXXX");
  *state = folder;
  return folder && mkdtemp(folder) ? 0 : -1;
}

static inline int folder_teardown(void **state) {
  char command[256];
  snprintf(command, sizeof command, "rm -rf '%s'", (char *)*state);
  free(*state);
  return system(command);
}

/* FOLDER/NAME, in storage that the next call overwrites. */
static inline const char *in_folder(const char *folder, const char *name) {
  static char path[512];
  snprintf(path, sizeof path, "%s/%s", folder, name);
  return path;
}

/* How many entries the folder has. */
static inline int folder_entries(const char *folder) {
  DIR *stream = opendir(folder);
  int count = -2; /* . and .. */
  assert_non_null(stream);
  while (readdir(stream)) count++;
  closedir(stream);
  return count;
}

/* How many descriptors the process has open. */
static inline int open_descriptors(void) {
  return folder_entries("/proc/self/fd") - 1;
}

#endif

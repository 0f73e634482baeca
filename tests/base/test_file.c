#include "support.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"

/* Each test works in a fresh folder, which must be empty of leftovers at its end. */
static char folder[] = "/tmp/qdsim-test-file-XXXXXX";

static char *in_folder(const char *name, char path[512]) {
  snprintf(path, 512, "%s/%s", folder, name);
  return path;
}

static int make_test_folder(void **state) {
  (void)state;
  strcpy(folder + strlen(folder) - 6, "XXXXXX");
  return mkdtemp(folder) ? 0 : -1;
}

/* Counts the entries of the folder, "." and ".." excepted. */
static int entries(void) {
  DIR *stream = opendir(folder);
  int count = -2;
  assert_non_null(stream);
  while (readdir(stream)) count++;
  closedir(stream);
  return count;
}

static int remove_test_folder(void **state) {
  char command[600];
  (void)state;
  snprintf(command, sizeof command, "rm -rf '%s'", folder);
  return system(command);
}

static void put(const char *path, const char *text) {
  FILE *file = fopen(path, "w");
  assert_non_null(file);
  fputs(text, file);
  fclose(file);
}

static void assert_content(qds_context *ctx, const char *path, const char *expected, size_t bytes) {
  char *text;
  size_t count;
  assert_ok(qds_file_read(qds_context_allocator(ctx), path, 1 << 20, &text, &count));
  assert_int_equal(count, bytes);
  assert_memory_equal(text, expected, bytes);
  assert_int_equal(text[count], 0);
  qds_release(text);
}

static void write_and_read(qds_context *ctx) {
  qds_allocator *allocator = qds_context_allocator(ctx);
  char path[512];
  in_folder("a.json", path);
  assert_ok(qds_file_write(allocator, path, "one\0two", 7));
  assert_content(ctx, path, "one\0two", 7);
  assert_ok(qds_file_write(allocator, path, "other", 5)); /* replaces */
  assert_content(ctx, path, "other", 5);
  assert_ok(qds_file_write(allocator, path, "", 0));
  assert_content(ctx, path, "", 0);
  assert_int_equal(entries(), 1);
}

static void write_relative(qds_context *ctx) {
  char before[512];
  assert_non_null(getcwd(before, sizeof before));
  assert_int_equal(chdir(folder), 0);
  const qds_status status = qds_file_write(qds_context_allocator(ctx), "relative", "x", 1);
  assert_int_equal(chdir(before), 0);
  assert_int_equal(status, QDS_OK);
  char path[512];
  assert_content(ctx, in_folder("relative", path), "x", 1);
}

static void abandon(qds_context *ctx) {
  qds_pending_file *first, *second;
  char path[512];
  put(in_folder("a", path), "old");
  assert_ok(qds_pending_create(qds_context_allocator(ctx), path, &first));
  assert_ok(
      qds_pending_create(qds_context_allocator(ctx), path, &second)); /* a second writer of the same file */
  assert_string_not_equal(qds_pending_path(first), qds_pending_path(second));
  assert_int_equal(strncmp(qds_pending_path(first), path, strlen(path)), 0);
  put(qds_pending_path(first), "half");
  put(qds_pending_path(second), "whole");
  assert_int_equal(entries(), 3);
  qds_pending_file_destroy(first);
  assert_content(ctx, path, "old", 3);
  assert_ok(qds_pending_commit(second));
  assert_fails(qds_pending_commit(second), QDS_ERROR_ARGUMENT, "committed before");
  qds_pending_file_destroy(second);
  assert_content(ctx, path, "whole", 5);
  assert_int_equal(entries(), 1);
}

/* A limit on the size of files fails a write as a full disk does: after a part was written. */
static void fill_disk(qds_context *ctx) {
  enum { LIMIT = 1 << 16 };
  struct rlimit before;
  char path[512];
  QDS_AUTO_RELEASE char *data = NULL;
  assert_ok(QDS_NEW_ZERO(qds_context_allocator(ctx), 2 * LIMIT, "test", &data));
  put(in_folder("a", path), "old");
  getrlimit(RLIMIT_FSIZE, &before);
  void (*const handler)(int) = signal(SIGXFSZ, SIG_IGN);
  setrlimit(RLIMIT_FSIZE, &(struct rlimit){LIMIT, before.rlim_max});
  const qds_status status = qds_file_write(qds_context_allocator(ctx), path, data, 2 * LIMIT);
  setrlimit(RLIMIT_FSIZE, &before);
  signal(SIGXFSZ, handler);
  assert_int_equal(status, QDS_ERROR_FILE);
  assert_int_equal(qds_last_error()->native, EFBIG);
  assert_non_null(strstr(qds_last_error()->message, path));
  assert_int_equal(entries(), 1);
  assert_content(ctx, path, "old", 3);
}

static void refuse_targets(qds_context *ctx) {
  qds_allocator *allocator = qds_context_allocator(ctx);
  char path[512];
  assert_fails(qds_file_write(allocator, in_folder("missing/a", path), "x", 1), QDS_ERROR_FILE, "missing");
  assert_int_equal(qds_last_error()->native, ENOENT);
  assert_fails(qds_file_write(allocator, folder, "x", 1), QDS_ERROR_FILE, "a folder has that name");
  assert_fails(qds_file_write(allocator, in_folder("a/", path), "x", 1), QDS_ERROR_FILE, "names no file");
  assert_fails(qds_file_write(allocator, "", "x", 1), QDS_ERROR_FILE, "names no file");
  assert_fails(qds_file_write(allocator, "/dev/null", "x", 1), QDS_ERROR_FILE, "device");
  assert_int_equal(mkfifo(in_folder("pipe", path), 0600), 0);
  assert_fails(qds_file_write(allocator, path, "x", 1), QDS_ERROR_FILE, "device or pipe");
  put(in_folder("file", path), "");
  assert_fails(qds_file_write(allocator, in_folder("file/a", path), "x", 1), QDS_ERROR_FILE, "file/a");
  assert_int_equal(entries(), 2);
}

/* The folder goes away between create and commit. */
static void lose_folder(qds_context *ctx) {
  QDS_AUTO(qds_pending_file) *file = NULL;
  char path[512];
  assert_int_equal(mkdir(in_folder("sub", path), 0700), 0);
  assert_ok(qds_pending_create(qds_context_allocator(ctx), in_folder("sub/a", path), &file));
  assert_int_equal(unlink(qds_pending_path(file)), 0);
  assert_int_equal(rmdir(in_folder("sub", path)), 0);
  assert_fails(qds_pending_commit(file), QDS_ERROR_FILE, "No such file");
}

static void refuse_sources(qds_context *ctx) {
  qds_allocator *allocator = qds_context_allocator(ctx);
  char path[512], *text;
  size_t bytes;
  assert_fails(qds_file_read(allocator, in_folder("none", path), 10, &text, &bytes), QDS_ERROR_FILE, "none");
  assert_fails(qds_file_read(allocator, folder, 10, &text, &bytes), QDS_ERROR_FILE, "folder");
  assert_fails(qds_file_read(allocator, "/dev/zero", 10, &text, &bytes), QDS_ERROR_FILE, "device");
  assert_int_equal(mkfifo(in_folder("pipe", path), 0600), 0);
  assert_fails(qds_file_read(allocator, path, 10, &text, &bytes), QDS_ERROR_FILE, "pipe");
  put(in_folder("big", path), "0123456789");
  assert_fails(qds_file_read(allocator, path, 9, &text, &bytes), QDS_ERROR_FILE,
               "it has 10 bytes, the limit is 9");
  assert_null(text);
  assert_int_equal(bytes, 0);
  assert_ok(qds_file_read(allocator, path, 10, &text, &bytes));
  qds_release(text);
}

/* Files of /proc have a size of 0 and contents all the same. */
static void read_proc(qds_context *ctx) {
  char *text;
  size_t bytes;
  assert_ok(qds_file_read(qds_context_allocator(ctx), "/proc/self/status", 1 << 20, &text, &bytes));
  assert_non_null(strstr(text, "Pid:"));
  assert_int_equal(strlen(text), bytes);
  qds_release(text);
  assert_fails(qds_file_read(qds_context_allocator(ctx), "/proc/self/status", 100, &text, &bytes),
               QDS_ERROR_FILE, "grew past 100 bytes");
}

static void make_folders(qds_context *ctx) {
  qds_allocator *allocator = qds_context_allocator(ctx);
  char path[512];
  struct stat status;
  assert_ok(qds_folder_create(allocator, in_folder("a//b/c/", path)));
  assert_ok(qds_folder_create(allocator, path));
  assert_true(stat(path, &status) == 0 && S_ISDIR(status.st_mode));
  put(in_folder("file", path), "");
  assert_fails(qds_folder_create(allocator, path), QDS_ERROR_FILE, "a file has that name");
  assert_fails(qds_folder_create(allocator, in_folder("file/x", path)), QDS_ERROR_FILE,
               "a file has that name");
  assert_fails(qds_folder_create(allocator, ""), QDS_ERROR_FILE, "without a name");
  assert_fails(qds_folder_create(allocator, "/proc/nothing/here"), QDS_ERROR_FILE, "\"/proc/nothing\"");
}

/* Root may write everywhere, so it becomes somebody else for this test. */
static void refuse_locked_folder(qds_context *ctx) {
  enum { NOBODY = 65534 };
  const uid_t user = geteuid();
  char locked[512], path[512];
  assert_int_equal(mkdir(in_folder("locked", locked), 0755), 0);
  assert_int_equal(chmod(folder, 0755) | chmod(locked, 0555), 0);
  if (user == 0 && seteuid(NOBODY)) {
    print_message("not tested: this process may not change its user\n");
    return;
  }
  const qds_status create = qds_folder_create(qds_context_allocator(ctx), locked);
  const int told = strstr(qds_last_error()->message, "cannot write into the folder") != NULL;
  const qds_status write = qds_file_write(qds_context_allocator(ctx), in_folder("locked/a", path), "x", 1);
  const long reason = qds_last_error()->native;
  assert_int_equal(seteuid(user), 0);
  assert_int_equal(create, QDS_ERROR_FILE);
  assert_true(told);
  assert_int_equal(write, QDS_ERROR_FILE);
  assert_int_equal(reason, EACCES);
}

static qds_status use_files(qds_context *ctx, void *data) {
  QDS_AUTO_RELEASE char *text = NULL;
  char path[512];
  size_t bytes;
  (void)data;
  QDS_TRY(qds_folder_create(qds_context_allocator(ctx), in_folder("deep/er", path)));
  QDS_TRY(qds_file_write(qds_context_allocator(ctx), in_folder("a", path), "x", 1));
  return qds_file_read(qds_context_allocator(ctx), path, 10, &text, &bytes);
}

static void run_out_of_memory(qds_context *ctx) {
  assert_true(fail_each_allocation(ctx, use_files, NULL) >= 6);
  assert_int_equal(entries(), 2); /* the file and the folder, no leftovers of the failures */
}

#define CONTEXT_TEST(name, body)                                                                             \
  static void name(void **state) {                                                                           \
    (void)state;                                                                                             \
    with_context(1, body);                                                                                   \
  }
CONTEXT_TEST(files_are_written_and_read, write_and_read)
CONTEXT_TEST(a_relative_name_stands_in_the_working_folder, write_relative)
CONTEXT_TEST(an_abandoned_file_leaves_nothing, abandon)
CONTEXT_TEST(a_full_disk_leaves_nothing_and_keeps_the_old_file, fill_disk)
CONTEXT_TEST(targets_that_are_no_files_are_refused, refuse_targets)
CONTEXT_TEST(a_lost_folder_fails_the_commit, lose_folder)
CONTEXT_TEST(sources_that_are_no_files_are_refused, refuse_sources)
CONTEXT_TEST(files_longer_than_they_say_are_read, read_proc)
CONTEXT_TEST(folders_are_made_with_their_parents, make_folders)
CONTEXT_TEST(a_folder_that_cannot_be_written_is_refused, refuse_locked_folder)
CONTEXT_TEST(files_survive_running_out_of_memory, run_out_of_memory)

#define FOLDER_TEST(name) cmocka_unit_test_setup_teardown(name, make_test_folder, remove_test_folder)

int main(void) {
  const struct CMUnitTest tests[] = {
      FOLDER_TEST(files_are_written_and_read),
      FOLDER_TEST(a_relative_name_stands_in_the_working_folder),
      FOLDER_TEST(an_abandoned_file_leaves_nothing),
      FOLDER_TEST(a_full_disk_leaves_nothing_and_keeps_the_old_file),
      FOLDER_TEST(targets_that_are_no_files_are_refused),
      FOLDER_TEST(a_lost_folder_fails_the_commit),
      FOLDER_TEST(sources_that_are_no_files_are_refused),
      FOLDER_TEST(files_longer_than_they_say_are_read),
      FOLDER_TEST(folders_are_made_with_their_parents),
      FOLDER_TEST(a_folder_that_cannot_be_written_is_refused),
      FOLDER_TEST(files_survive_running_out_of_memory),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}

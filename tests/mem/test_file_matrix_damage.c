/* Matrices in files: every kind of damage, and writers that are killed. */
#include "file_matrices.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>

#include "base/philox.h"

static void poke(const char *path, off_t offset, const void *bytes, size_t count) {
  const int file = open(path, O_WRONLY);
  assert_true(file >= 0);
  assert_int_equal(pwrite(file, bytes, count, offset), count);
  close(file);
}

static void flip(const char *path, off_t offset, int bit) {
  unsigned char byte;
  const int file = open(path, O_RDWR);
  assert_true(file >= 0);
  assert_int_equal(pread(file, &byte, 1, offset), 1);
  byte ^= (unsigned char)(1 << bit);
  assert_int_equal(pwrite(file, &byte, 1, offset), 1);
  close(file);
}

TEST(every_flipped_bit_of_the_header_is_refused) {
  const char *path = make_small(ctx, folder);
  qds_file_matrix *m = NULL;
  for (size_t byte = 0; byte < sizeof(qds_file_header); byte++)
    for (int bit = 0; bit < 8; bit += 7) {
      flip(path, (off_t)byte, bit);
      assert_fails(qds_file_matrix_open(ctx, path, QDS_FILE_READ_ONLY, &m), QDS_ERROR_FILE, path);
      assert_null(m);
      flip(path, (off_t)byte, bit);
    }
  assert_ok(qds_file_matrix_open(ctx, path, QDS_FILE_READ_ONLY, &m));
  qds_file_matrix_destroy(m);
}

/* Headers whose checksum is right, as another program could write them: each field by its name. */
TEST(header_fields_are_refused_by_name) {
  const char *path = make_small(ctx, folder);
  qds_file_header good, h;
  qds_file_matrix *m = NULL;
  const int file = open(path, O_RDONLY);
  assert_int_equal(pread(file, &good, sizeof good, 0), sizeof good);
  close(file);
#define REFUSED(field, value, text)                                                                          \
  do {                                                                                                       \
    h = good;                                                                                                \
    h.field = (value);                                                                                       \
    qds_file_header_seal(&h, h.state);                                                                       \
    poke(path, 0, &h, sizeof h);                                                                             \
    assert_fails(qds_file_matrix_open(ctx, path, QDS_FILE_READ_ONLY, &m), QDS_ERROR_FILE, text);             \
    assert_non_null(strstr(qds_last_error()->message, path));                                                \
  } while (0)
  REFUSED(version, 2, "version is 2");
  REFUSED(byte_order, 0x04030201, "other byte order");
  REFUSED(byte_order, 7, "byte_order");
  REFUSED(type, 9, "type is 9");
  REFUSED(state, 0, "state is 0");
  REFUSED(rows, 0, "rows is 0");
  REFUSED(columns, -1, "columns is -1");
  REFUSED(tile_rows, 11, "tile_rows is 11; 1 to 10");
  REFUSED(tile_columns, 0, "tile_columns");
  REFUSED(tile_bytes, 8192, "tile_bytes is 8192");
  REFUSED(data_offset, 0, "data_offset");
  REFUSED(file_bytes, 1, "file_bytes");
  REFUSED(rows, 13, "file_bytes");
  h = good;
  h.rows = h.columns = INT64_MAX;
  h.tile_rows = h.tile_columns = INT64_MAX;
  qds_file_header_seal(&h, h.state);
  poke(path, 0, &h, sizeof h);
  assert_fails(qds_file_matrix_open(ctx, path, QDS_FILE_READ_ONLY, &m), QDS_ERROR_FILE, "2^63");
}

TEST(files_of_another_size_or_kind_are_refused) {
  const char *path = make_small(ctx, folder);
  qds_file_matrix *m = NULL;
  struct stat status;
  assert_int_equal(stat(path, &status), 0);
  assert_int_equal(truncate(path, status.st_size - 1), 0);
  assert_fails(qds_file_matrix_open(ctx, path, QDS_FILE_READ_ONLY, &m), QDS_ERROR_FILE, "truncated");
  assert_int_equal(truncate(path, status.st_size + 4096), 0);
  assert_fails(qds_file_matrix_open(ctx, path, QDS_FILE_READ_ONLY, &m), QDS_ERROR_FILE, "added to");
  for (off_t size = 0; size < 200; size += 50) {
    assert_int_equal(truncate(path, size), 0);
    assert_fails(qds_file_matrix_open(ctx, path, QDS_FILE_READ_ONLY, &m), QDS_ERROR_FILE, "no file matrix");
  }
  assert_fails(qds_file_matrix_open(ctx, folder, QDS_FILE_READ_ONLY, &m), QDS_ERROR_FILE, "folder");
  assert_fails(qds_file_matrix_open(ctx, "/dev/null", QDS_FILE_READ_ONLY, &m), QDS_ERROR_FILE, "device");
  assert_fails(qds_file_matrix_open(ctx, in_folder(folder, "none"), QDS_FILE_READ_ONLY, &m), QDS_ERROR_FILE,
               "No such file");
}

TEST(damaged_tiles_are_never_data) {
  const char *path = make_small(ctx, folder);
  qds_file_header header;
  double values[70];
  qds_file_part tile = {4, 3, 4, 3};
  qds_file_header_make(
      &(qds_file_matrix_options){sizeof(qds_file_matrix_options), QDS_FILE_FLOAT64, 10, 7, 4, 3}, &header);
  const off_t places[] = {QDS_FILE_PAGE + 4 * 8, /* the entry of tile (1, 1), and bytes of the tile */
                          (off_t)(header.data_offset + 4 * header.tile_bytes),
                          (off_t)(header.data_offset + 5 * header.tile_bytes - 1)};
  for (int place = 0; place < 3; place++) {
    QDS_AUTO(qds_file_matrix) *m = NULL;
    flip(path, places[place], 3);
    assert_ok(qds_file_matrix_open(ctx, path, QDS_FILE_READ_WRITE, &m));
    assert_fails(qds_file_matrix_read_rows(m, 0, 10, values), QDS_ERROR_FILE, "tile (1, 1)");
    assert_fails(qds_file_matrix_verify(m), QDS_ERROR_FILE, "1 of 9 tiles");
    /* a part of the tile would make the rest pass for data */
    assert_fails(qds_file_matrix_write_rows(m, 5, 1, values), QDS_ERROR_FILE, "tile (1, 1)");
    assert_ok(qds_file_matrix_read_rows(m, 0, 4, values));
    for (int i = 0; i < 12; i++) values[i] = 1;
    assert_ok(qds_file_matrix_write(m, &tile, values)); /* all of it heals it */
    assert_ok(qds_file_matrix_verify(m));
    assert_ok(qds_file_matrix_commit(m));
  }
}

TEST(exchanged_tiles_are_found_out) {
  const char *path = make_small(ctx, folder);
  qds_file_header header;
  char first[QDS_FILE_PAGE], second[QDS_FILE_PAGE];
  uint64_t sums[2];
  qds_file_matrix *m = NULL;
  const int file = open(path, O_RDWR);
  assert_int_equal(pread(file, &header, sizeof header, 0), sizeof header);
  const off_t data = (off_t)header.data_offset;
  assert_int_equal(pread(file, first, sizeof first, data), sizeof first);
  assert_int_equal(pread(file, second, sizeof second, data + QDS_FILE_PAGE), sizeof second);
  assert_int_equal(pread(file, sums, sizeof sums, QDS_FILE_PAGE), sizeof sums);
  close(file);
  poke(path, data, second, sizeof second);
  poke(path, data + QDS_FILE_PAGE, first, sizeof first);
  poke(path, QDS_FILE_PAGE, &(uint64_t[2]){sums[1], sums[0]}, sizeof sums);
  assert_ok(qds_file_matrix_open(ctx, path, QDS_FILE_READ_ONLY, &m));
  assert_fails(qds_file_matrix_verify(m), QDS_ERROR_FILE, "2 of 9 tiles");
  qds_file_matrix_destroy(m);
}

/* --- failures while writing --- */

TEST(uncommitted_matrix_leaves_nothing) {
  const qds_file_matrix_options options = shape(QDS_FILE_COMPLEX128, 300, 300, 0, 0);
  qds_file_matrix *m = NULL;
  assert_ok(qds_file_matrix_create(ctx, in_folder(folder, "a.qdsm"), &options, &m));
  assert_int_equal(folder_entries(folder), 1);
  assert_int_equal(access(in_folder(folder, "a.qdsm"), F_OK), -1);
  qds_file_matrix_destroy(m);
  assert_int_equal(folder_entries(folder), 0);
}

TEST(full_disk_is_an_error_at_once) {
  const qds_file_matrix_options options = shape(QDS_FILE_FLOAT64, 3000, 3000, 0, 0);
  qds_file_matrix *m = NULL;
  struct rlimit before, small;
  assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
  small = before;
  small.rlim_cur = 1 << 20;
  signal(SIGXFSZ, SIG_IGN);
  assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
  const qds_status status = qds_file_matrix_create(ctx, in_folder(folder, "a.qdsm"), &options, &m);
  assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
  assert_int_equal(status, QDS_ERROR_FILE);
  assert_null(m);
  assert_int_equal(folder_entries(folder), 0);
}

/* Without the kernel's help (before Linux 5.14) a missing page is a signal, as documented. */
static int kernel_reports_missing_pages(void) {
  enum { POPULATE_READ = 22 };
  char page[1];
  const size_t size = (size_t)sysconf(_SC_PAGESIZE);
  return madvise(page - (uintptr_t)page % size, size, POPULATE_READ) == 0;
}

TEST(a_file_that_is_shortened_meanwhile_is_an_error) {
  const char *path = make_small(ctx, folder);
  QDS_AUTO(qds_file_matrix) *m = NULL;
  struct stat status;
  double *tile, values[70];
  if (!kernel_reports_missing_pages()) skip();
  assert_ok(qds_file_matrix_open(ctx, path, QDS_FILE_READ_WRITE, &m));
  assert_ok(qds_file_matrix_acquire(m, 0, 0, QDS_FILE_READ, (void **)&tile));
  assert_int_equal(stat(path, &status), 0);
  assert_int_equal(truncate(path, status.st_size - QDS_FILE_PAGE), 0);
  assert_fails(qds_file_matrix_acquire(m, 2, 2, QDS_FILE_READ, (void **)&tile), QDS_ERROR_FILE,
               "tile (2, 2) cannot be read");
  assert_fails(qds_file_matrix_acquire(m, 2, 2, QDS_FILE_OVERWRITE, (void **)&tile), QDS_ERROR_FILE,
               "tile (2, 2) cannot be written");
  assert_fails(qds_file_matrix_read_rows(m, 0, 10, values), QDS_ERROR_FILE, "shortened");
  assert_fails(qds_file_matrix_verify(m), QDS_ERROR_FILE, "tile (2, 2)");
  assert_ok(qds_file_matrix_release(m, 0, 0));
  assert_ok(qds_file_matrix_read_rows(m, 0, 4, values)); /* what is there can be read */
  qds_file_matrix_set_resident(m, 0);
  assert_int_equal(truncate(path, QDS_FILE_PAGE), 0); /* the table goes too */
  assert_fails(qds_file_matrix_acquire(m, 1, 0, QDS_FILE_READ, (void **)&tile), QDS_ERROR_FILE, "shortened");
}

static qds_status create_commit_open(qds_context *ctx, void *data) {
  const char *path = data;
  const qds_file_matrix_options options = shape(QDS_FILE_FLOAT64, 30, 30, 7, 7);
  double row[30] = {1};
  QDS_AUTO(qds_file_matrix) *m = NULL;
  QDS_AUTO(qds_file_matrix) *opened = NULL;
  QDS_TRY(qds_file_matrix_create(ctx, path, &options, &m));
  QDS_TRY(qds_file_matrix_write_rows(m, 3, 1, row));
  QDS_TRY(qds_file_matrix_commit(m));
  qds_file_matrix_destroy(m);
  m = NULL;
  return qds_file_matrix_open(ctx, path, QDS_FILE_READ_WRITE, &opened);
}

TEST(no_allocation_may_fail_unnoticed) {
  const char *path = in_folder(folder, "a.qdsm");
  assert_true(fail_each_allocation(ctx, create_commit_open, (void *)path) >= 6);
  assert_int_equal(folder_entries(folder), 1);
}

/* --- killed writers --- */

/* Starts a child that runs `body` for ever, and kills it when it has said so through a pipe and `delay_us`
 * have passed. */
static void run_and_kill(void (*body)(const char *path, int ready), const char *path, long delay_us) {
  int ends[2], status;
  char word;
  assert_int_equal(pipe(ends), 0);
  const pid_t child = fork();
  assert_true(child >= 0);
  if (child == 0) {
    body(path, ends[1]);
    _exit(1);
  }
  close(ends[1]);
  assert_int_equal(read(ends[0], &word, 1), 1);
  close(ends[0]);
  nanosleep(&(struct timespec){0, 1000 * delay_us}, NULL);
  kill(child, SIGKILL);
  assert_int_equal(waitpid(child, &status, 0), child);
  assert_true(WIFSIGNALED(status));
}

static qds_file_matrix *open_in_child(const char *path) {
  qds_context *ctx = NULL;
  qds_file_matrix *m = NULL;
  if (qds_context_create(NULL, &ctx) != QDS_OK ||
      qds_file_matrix_open(ctx, path, QDS_FILE_READ_WRITE, &m) != QDS_OK)
    _exit(2);
  return m;
}

static void write_half_a_tile(const char *path, int ready) {
  double *tile;
  qds_file_matrix *m = open_in_child(path);
  if (qds_file_matrix_acquire(m, 1, 1, QDS_FILE_UPDATE, (void **)&tile) != QDS_OK) _exit(3);
  for (int i = 0; i < 6; i++) tile[i] = -1;
  if (write(ready, "!", 1) == 1) pause();
}

TEST(torn_write_is_reported) {
  char path[512];
  snprintf(path, sizeof path, "%s", make_small(ctx, folder));
  QDS_AUTO(qds_file_matrix) *m = NULL;
  qds_file_matrix_info info;
  double values[70];
  const qds_file_part tile = {4, 3, 4, 3};
  run_and_kill(write_half_a_tile, path, 0);
  assert_ok(qds_file_matrix_open(ctx, path, QDS_FILE_READ_WRITE, &m));
  qds_file_matrix_get_info(m, &info);
  assert_int_equal(info.interrupted, 1);
  assert_fails(qds_file_matrix_read_rows(m, 0, 10, values), QDS_ERROR_FILE, "tile (1, 1) is torn");
  assert_non_null(strstr(qds_last_error()->message, path));
  assert_non_null(strstr(qds_last_error()->message, "write it anew"));
  assert_ok(qds_file_matrix_read_rows(m, 0, 4, values)); /* the others are as they were */
  memset(values, 0, sizeof values);
  assert_ok(qds_file_matrix_write(m, &tile, values));
  assert_ok(qds_file_matrix_verify(m));
  assert_ok(qds_file_matrix_commit(m));
  qds_file_matrix_get_info(m, &info);
  assert_int_equal(info.interrupted, 0);
}

enum { SIDE = 128, TILE = 64 };

/* Fills tile after tile with one number, the next each time. */
static void rewrite_for_ever(const char *path, int ready) {
  double *tile;
  qds_file_matrix *m = open_in_child(path);
  for (int64_t round = 1;; round++) {
    const int64_t row = round / 2 % 2, column = round % 2;
    if (qds_file_matrix_acquire(m, row, column, QDS_FILE_OVERWRITE, (void **)&tile) != QDS_OK) _exit(3);
    for (int i = 0; i < TILE * TILE; i++) ((volatile double *)tile)[i] = (double)round;
    if (qds_file_matrix_release(m, row, column) != QDS_OK) _exit(4);
    if (round == 8 && write(ready, "!", 1) != 1) _exit(5);
  }
}

TEST(killed_writers_leave_whole_tiles_or_errors) {
  const qds_file_matrix_options options = shape(QDS_FILE_FLOAT64, SIDE, SIDE, TILE, TILE);
  char path[512];
  snprintf(path, sizeof path, "%s", in_folder(folder, "rounds.qdsm"));
  const uint64_t seed = (uint64_t)time(NULL);
  int torn = 0;
  for (uint64_t round = 0; round < 20; round++) {
    QDS_AUTO(qds_file_matrix) *m = NULL;
    assert_ok(qds_file_matrix_create(ctx, path, &options, &m));
    assert_ok(qds_file_matrix_commit(m));
    qds_file_matrix_destroy(m);
    m = NULL;
    run_and_kill(rewrite_for_ever, path, (long)(3000 * qds_random_uniform(seed, 1, round)));
    assert_ok(qds_file_matrix_open(ctx, path, QDS_FILE_READ_ONLY, &m));
    for (int64_t t = 0; t < 4; t++) {
      double *tile;
      const qds_status status = qds_file_matrix_acquire(m, t / 2, t % 2, QDS_FILE_READ, (void **)&tile);
      if (status != QDS_OK) {
        torn++;
        assert_int_equal(status, QDS_ERROR_FILE);
        continue;
      }
      for (int i = 1; i < TILE * TILE; i++) assert_true(tile[i] == tile[0]);
      assert_ok(qds_file_matrix_release(m, t / 2, t % 2));
    }
  }
  printf("%d torn tiles in 20 kills, seed %llu\n", torn, (unsigned long long)seed);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      IN_FOLDER(every_flipped_bit_of_the_header_is_refused),
      IN_FOLDER(header_fields_are_refused_by_name),
      IN_FOLDER(files_of_another_size_or_kind_are_refused),
      IN_FOLDER(damaged_tiles_are_never_data),
      IN_FOLDER(exchanged_tiles_are_found_out),
      IN_FOLDER(a_file_that_is_shortened_meanwhile_is_an_error),
      IN_FOLDER(uncommitted_matrix_leaves_nothing),
      IN_FOLDER(full_disk_is_an_error_at_once),
      IN_FOLDER(no_allocation_may_fail_unnoticed),
      IN_FOLDER(torn_write_is_reported),
      IN_FOLDER(killed_writers_leave_whole_tiles_or_errors),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}

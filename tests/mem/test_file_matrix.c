/* Matrices in files: contents against a model. */
#include "file_matrices.h"

#include <time.h>

#include "base/philox.h"

TEST(strips_and_tiles) {
  const char *path = make_small(ctx, folder);
  QDS_AUTO(qds_file_matrix) *m = NULL;
  qds_file_matrix_info info;
  double rows[14], columns[20], *tile;
  assert_ok(qds_file_matrix_open(ctx, path, QDS_FILE_READ_ONLY, &m));
  qds_file_matrix_get_info(m, &info);
  assert_int_equal(info.tiles_down, 3);
  assert_int_equal(info.tiles_across, 3);
  assert_int_equal(info.interrupted, 0);
  assert_ok(qds_file_matrix_read_rows(m, 5, 2, rows));
  for (int i = 0; i < 14; i++) assert_true(rows[i] == 100.0 * (5 + i / 7) + i % 7);
  assert_ok(qds_file_matrix_read_columns(m, 4, 2, columns));
  for (int i = 0; i < 20; i++) assert_true(columns[i] == 100.0 * (i / 2) + 4 + i % 2);
  assert_ok(qds_file_matrix_acquire(m, 2, 2, QDS_FILE_READ, (void **)&tile));
  assert_true(tile[0] == 806 && tile[3] == 906 && tile[1] == 0);
  assert_ok(qds_file_matrix_release(m, 2, 2));
  assert_ok(qds_file_matrix_read_rows(m, 10, 0, rows));
  assert_int_equal(folder_entries(folder), 1);
}

TEST(wrong_use_is_refused) {
  const char *path = make_small(ctx, folder);
  QDS_AUTO(qds_file_matrix) *m = NULL;
  QDS_AUTO(qds_file_matrix) *other = NULL;
  double values[70], *tile;
  assert_ok(qds_file_matrix_open(ctx, path, QDS_FILE_READ_ONLY, &m));
  assert_fails(qds_file_matrix_acquire(m, 3, 0, QDS_FILE_READ, (void **)&tile), QDS_ERROR_ARGUMENT, "3 x 3");
  assert_fails(qds_file_matrix_acquire(m, 0, 0, QDS_FILE_UPDATE, (void **)&tile), QDS_ERROR_ARGUMENT,
               "reading only");
  assert_fails(qds_file_matrix_release(m, 0, 0), QDS_ERROR_ARGUMENT, "not acquired");
  assert_fails(qds_file_matrix_read_rows(m, 8, 3, values), QDS_ERROR_ARGUMENT, "10 x 7");
  assert_fails(qds_file_matrix_read_columns(m, -1, 1, values), QDS_ERROR_ARGUMENT, "10 x 7");
  assert_fails(qds_file_matrix_read_rows(m, INT64_MAX, INT64_MAX, values), QDS_ERROR_ARGUMENT, "10 x 7");
  assert_fails(qds_file_matrix_open(ctx, path, QDS_FILE_READ_WRITE, &other), QDS_ERROR_FILE, "in use");
  assert_ok(qds_file_matrix_open(ctx, path, QDS_FILE_READ_ONLY, &other)); /* readers share */
  qds_file_matrix_destroy(other);
  other = NULL;
  qds_file_matrix_destroy(m);
  m = NULL;
  assert_ok(qds_file_matrix_open(ctx, path, QDS_FILE_READ_WRITE, &m));
  assert_fails(qds_file_matrix_open(ctx, path, QDS_FILE_READ_ONLY, &other), QDS_ERROR_FILE, "someone writes");
  assert_ok(qds_file_matrix_acquire(m, 0, 0, QDS_FILE_UPDATE, (void **)&tile));
  assert_fails(qds_file_matrix_acquire(m, 0, 0, QDS_FILE_READ, (void **)&tile), QDS_ERROR_ARGUMENT, "alone");
  assert_fails(qds_file_matrix_commit(m), QDS_ERROR_ARGUMENT, "1 tiles");
  assert_ok(qds_file_matrix_release(m, 0, 0));
  assert_ok(qds_file_matrix_commit(m));
}

TEST(options_are_checked) {
  const char *path = in_folder(folder, "never.qdsm");
  QDS_AUTO(qds_file_matrix) *m = NULL;
  const struct {
    qds_file_matrix_options options;
    const char *text;
  } wrong[] = {
      {shape(QDS_FILE_FLOAT64, 0, 5, 0, 0), "0 x 5"},
      {shape(QDS_FILE_FLOAT64, 5, -1, 0, 0), "5 x -1"},
      {shape(QDS_FILE_FLOAT64, 5, 5, -1, 0), "tiles of -1"},
      {shape((qds_file_type)3, 5, 5, 0, 0), "type 3"},
      {shape(QDS_FILE_COMPLEX128, INT64_MAX, INT64_MAX, 0, 0), "2^63"},
      {shape(QDS_FILE_FLOAT64, INT64_MAX / 8, 2, 1, 1), "2^63"},
      {shape(QDS_FILE_FLOAT64, INT64_MAX, 2, INT64_MAX, 2), "2^63"},
      {{0}, "struct_size"},
  };
  for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
    assert_fails(qds_file_matrix_create(ctx, path, &wrong[i].options, &m), QDS_ERROR_ARGUMENT, wrong[i].text);
    assert_null(m);
  }
  const qds_file_matrix_options good = shape(QDS_FILE_FLOAT64, 5, 5, 0, 0);
  assert_fails(qds_file_matrix_create(ctx, in_folder(folder, "no/folder"), &good, &m), QDS_ERROR_FILE,
               "No such file");
  assert_int_equal(folder_entries(folder), 0);
}

/* Whatever the shape, a file is hardly larger than what is in it. */
TEST(chosen_tiles_suit_the_shape) {
  static const struct {
    int64_t rows, columns, tile_rows, tile_columns; /* 0: to be chosen */
  } shapes[] = {{1000000, 1, 0, 0}, {1, 1000000, 0, 0}, {300000, 3, 0, 0}, {3, 300000, 0, 0},
                {437, 300, 0, 0},   {1000, 1000, 0, 0}, {257, 513, 0, 0},  {1500, 1200, 100, 0},
                {1500, 1200, 0, 7}, {300000, 2, 0, 1},  {8, 200000, 2, 0}, {8, 200000, 8000, 0},
                {100000, 17, 0, 0}};
  for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++)
    for (int complex_numbers = 0; complex_numbers < 2; complex_numbers++) {
      QDS_AUTO(qds_file_matrix) *m = NULL;
      qds_file_matrix_info info;
      const qds_file_matrix_options options =
          shape(complex_numbers ? QDS_FILE_COMPLEX128 : QDS_FILE_FLOAT64, shapes[i].rows, shapes[i].columns,
                shapes[i].tile_rows, shapes[i].tile_columns);
      assert_ok(qds_file_matrix_create(ctx, in_folder(folder, "shape.qdsm"), &options, &m));
      qds_file_matrix_get_info(m, &info);
      const int64_t element = complex_numbers ? 16 : 8, tile = element * info.tile_rows * info.tile_columns;
      const double data = (double)element * (double)info.rows * (double)info.columns;
      assert_true(tile <= 1 << 20);
      if (!shapes[i].tile_columns) assert_true(tile > 1 << 18 || info.tiles_down * info.tiles_across == 1);
      if (shapes[i].tile_rows)
        assert_int_equal(info.tile_rows, shapes[i].tile_rows < info.rows ? shapes[i].tile_rows : info.rows);
      if (shapes[i].tile_columns) assert_int_equal(info.tile_columns, shapes[i].tile_columns);
      if ((double)info.file_bytes > 1.05 * data + 3 * QDS_FILE_PAGE)
        fail_msg("%lld x %lld elements take %.0f bytes in a file of %llu", (long long)info.rows,
                 (long long)info.columns, data, (unsigned long long)info.file_bytes);
    }
}

static int64_t draw(uint64_t seed, uint64_t *draws, int64_t below) {
  return (int64_t)(qds_random_uniform(seed, 1, (*draws)++) * (double)below);
}

/* Random rectangles written and read back, in and out of the process, against an array. */
static void against_model(qds_context *ctx, const char *folder, uint64_t seed) {
  enum { MOST = 60 };
  static double model[MOST * MOST * 2], buffer[MOST * MOST * 2];
  uint64_t draws = 0;
#define DRAW(below) draw(seed, &draws, below)
  const qds_file_type type = DRAW(2) ? QDS_FILE_FLOAT64 : QDS_FILE_COMPLEX128;
  const int64_t rows = 1 + DRAW(MOST), columns = 1 + DRAW(MOST), numbers = type;
  const int64_t tile_rows = DRAW(20), tile_columns = DRAW(20);
  const qds_file_matrix_options options = shape(type, rows, columns, tile_rows, tile_columns);
  const char *path = in_folder(folder, "model.qdsm");
  QDS_AUTO(qds_file_matrix) *m = NULL;
  memset(model, 0, sizeof model);
  assert_ok(qds_file_matrix_create(ctx, path, &options, &m));
  for (int step = 0; step < 60; step++) {
    qds_file_part p = {.row = DRAW(rows)};
    p.column = DRAW(columns);
    p.rows = DRAW(rows - p.row + 1);
    p.columns = DRAW(columns - p.column + 1);
    const int action = (int)DRAW(8);
    if (action < 3) {
      for (int64_t i = 0; i < p.rows * p.columns * numbers; i++) buffer[i] = (double)DRAW(1 << 30);
      assert_ok(qds_file_matrix_write(m, &p, buffer));
      for (int64_t i = 0; i < p.rows; i++)
        memcpy(model + ((p.row + i) * columns + p.column) * numbers, buffer + i * p.columns * numbers,
               sizeof(double) * (size_t)(p.columns * numbers));
    } else if (action < 6) {
      assert_ok(qds_file_matrix_read(m, &p, buffer));
      for (int64_t i = 0; i < p.rows; i++)
        assert_memory_equal(model + ((p.row + i) * columns + p.column) * numbers,
                            buffer + i * p.columns * numbers, sizeof(double) * (size_t)(p.columns * numbers));
    } else if (action == 6) {
      qds_file_matrix_set_resident(m, (size_t)DRAW(100000));
    } else {
      assert_ok(qds_file_matrix_commit(m));
      qds_file_matrix_destroy(m);
      m = NULL;
      assert_ok(qds_file_matrix_open(ctx, path, QDS_FILE_READ_WRITE, &m));
    }
  }
  assert_ok(qds_file_matrix_verify(m));
#undef DRAW
}

TEST(contents_match_a_model) {
  const uint64_t first = (uint64_t)time(NULL);
  printf("seeds from %llu\n", (unsigned long long)first);
  for (uint64_t seed = first; seed < first + 40; seed++) against_model(ctx, folder, seed);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      IN_FOLDER(strips_and_tiles),       IN_FOLDER(wrong_use_is_refused),
      IN_FOLDER(options_are_checked),    IN_FOLDER(chosen_tiles_suit_the_shape),
      IN_FOLDER(contents_match_a_model),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}

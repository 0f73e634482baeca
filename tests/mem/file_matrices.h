/* What the tests of matrices in files share: a folder and a context for each, and a small matrix. */
#ifndef QDS_TESTS_MEM_FILE_MATRICES_H
#define QDS_TESTS_MEM_FILE_MATRICES_H

#include "folder.h"
#include "mem/file_matrix.h"

/* With a context of its own and a folder that must be empty of leftovers. */
#define TEST(name)                                                                                           \
  static void name(void **state);                                                                            \
  static void name##_in(qds_context *ctx, const char *folder);                                               \
  static const char *name##_folder;                                                                          \
  static void name##_body(qds_context *ctx) {                                                                \
    name##_in(ctx, name##_folder);                                                                           \
  }                                                                                                          \
  static void name(void **state) {                                                                           \
    name##_folder = *state;                                                                                  \
    const int before = open_descriptors();                                                                   \
    with_context(1, name##_body);                                                                            \
    assert_int_equal(open_descriptors(), before);                                                            \
  }                                                                                                          \
  static void name##_in(qds_context *ctx, const char *folder)

static inline qds_file_matrix_options shape(qds_file_type type, int64_t rows, int64_t columns,
                                            int64_t tile_rows, int64_t tile_columns) {
  qds_file_matrix_options options = QDS_FILE_MATRIX_OPTIONS_INIT;
  options.type = type;
  options.rows = rows;
  options.columns = columns;
  options.tile_rows = tile_rows;
  options.tile_columns = tile_columns;
  return options;
}

/* A committed matrix of 10 x 7 doubles in tiles of 4 x 3 whose element (i, j) is 100 i + j. */
static inline const char *make_small(qds_context *ctx, const char *folder) {
  const char *path = in_folder(folder, "small.qdsm");
  const qds_file_matrix_options options = shape(QDS_FILE_FLOAT64, 10, 7, 4, 3);
  QDS_AUTO(qds_file_matrix) *m = NULL;
  double values[70];
  for (int i = 0; i < 70; i++) values[i] = 100.0 * (i / 7) + i % 7;
  assert_ok(qds_file_matrix_create(ctx, path, &options, &m));
  assert_ok(qds_file_matrix_write_rows(m, 0, 10, values));
  assert_ok(qds_file_matrix_commit(m));
  return path;
}

#define IN_FOLDER(name) cmocka_unit_test_setup_teardown(name, folder_setup, folder_teardown)

#endif

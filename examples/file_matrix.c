/* A matrix of 48 MB in a file: rows are written, a column is read back. */
#include <stdio.h>

#include "qdsim/qdsim.h"

int main(void) {
  qds_context *ctx = NULL;
  qds_file_matrix *matrix = NULL;
  qds_file_matrix_options options = QDS_FILE_MATRIX_OPTIONS_INIT;
  double row[3000], column[2000];
  options.rows = 2000;
  options.columns = 3000;
  for (int j = 0; j < 3000; j++) row[j] = j;
  qds_status status = qds_context_create(NULL, &ctx);
  if (!status) status = qds_file_matrix_create(ctx, "numbers.qdsm", &options, &matrix);
  for (int i = 0; !status && i < 2000; i++) status = qds_file_matrix_write_rows(matrix, i, 1, row);
  if (!status) status = qds_file_matrix_commit(matrix); /* now it stands under its name */
  if (!status) status = qds_file_matrix_read_columns(matrix, 42, 1, column);
  puts(status ? qds_last_error()->message : "column 42 read back");
  qds_file_matrix_destroy(matrix);
  qds_context_destroy(ctx);
  return qds_status_exit(status);
}

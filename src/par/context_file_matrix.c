/* Matrices in files, for the users of a context. */
#include "mem/file_matrix.h"
#include "par/context.h"

qds_status qds_file_matrix_create(qds_context *ctx, const char *path, const qds_file_matrix_options *options,
                                  qds_file_matrix **out) {
  QDS_REQUIRE(ctx, "qds_file_matrix_create: a NULL argument");
  return qds_file_matrix_create_in(qds_context_allocator(ctx), path, options, out);
}

qds_status qds_file_matrix_open(qds_context *ctx, const char *path, qds_file_mode mode,
                                qds_file_matrix **out) {
  QDS_REQUIRE(ctx, "qds_file_matrix_open: a NULL argument");
  return qds_file_matrix_open_in(qds_context_allocator(ctx), path, mode, out);
}

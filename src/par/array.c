/* What of arrays needs the context. */
#include "mem/array.h"

#include "par/context.h"

qds_status qds_array_create_at(qds_context *ctx, const qds_array_form *form, qds_mem_strategy strategy,
                               const char *tag, const char *file, int line, qds_array **out) {
  QDS_REQUIRE(out, "qds_array_create: out is NULL");
  *out = NULL;
  QDS_REQUIRE(ctx, "qds_array_create: no context");
  return qds_array_new(qds_context_buffers(ctx), form, strategy, tag, file, line, out);
}

qds_status qds_array_import_at(qds_context *ctx, void *tensor, int versioned, const char *file, int line,
                               qds_array **out) {
  QDS_REQUIRE(out, "qds_array_import: out is NULL");
  *out = NULL;
  QDS_REQUIRE(ctx, "qds_array_import: no context");
  return qds_array_wrap(qds_context_buffers(ctx), tensor, versioned, file, line, out);
}

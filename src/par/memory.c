/* The public face of the buffers that needs the context. */
#include "par/context.h"

qds_status qds_buffer_create_at(qds_context *ctx, size_t bytes, qds_mem_strategy strategy, const char *tag,
                                const char *file, int line, qds_buffer **out) {
  QDS_REQUIRE(out, "qds_buffer_create: out is NULL");
  *out = NULL;
  QDS_REQUIRE(ctx, "qds_buffer_create: no context");
  return qds_buffer_new(qds_context_buffers(ctx), bytes, strategy, tag, file, line, out);
}

qds_status qds_context_stream_create(qds_context *ctx, qds_stream **out) {
  QDS_REQUIRE(out, "qds_context_stream_create: out is NULL");
  *out = NULL;
  QDS_REQUIRE(ctx, "qds_context_stream_create: no context");
  return qds_stream_create(qds_context_accelerator(ctx), qds_context_allocator(ctx), qds_context_threads(ctx),
                           out);
}

qds_status qds_context_stream_wait(qds_stream *stream) {
  QDS_REQUIRE(stream, "qds_context_stream_wait: no stream");
  return qds_stream_synchronise(stream);
}

void qds_context_stream_destroy(qds_stream *stream) {
  qds_stream_destroy(stream);
}

qds_status qds_memory_configure(qds_context *ctx, const qds_memory_options *options) {
  QDS_REQUIRE(ctx && options, "qds_memory_configure: no context, or no options");
  return qds_buffer_manager_configure(qds_context_buffers(ctx), options);
}

qds_status qds_memory_spill(qds_context *ctx, qds_place place, size_t bytes, size_t *freed) {
  QDS_REQUIRE(freed, "qds_memory_spill: freed is NULL");
  *freed = 0;
  QDS_REQUIRE(ctx, "qds_memory_spill: no context");
  return qds_buffer_manager_spill(qds_context_buffers(ctx), place, bytes, freed);
}

qds_status qds_memory_defragment(qds_context *ctx, size_t bytes, qds_defragment_report *report) {
  QDS_REQUIRE(ctx && report, "qds_memory_defragment: no context, or no report");
  return qds_buffer_manager_defragment(qds_context_buffers(ctx), bytes, report);
}

void qds_memory_get_statistics(qds_context *ctx, qds_memory_statistics *out) {
  qds_buffer_manager_statistics(qds_context_buffers(ctx), out);
}

int qds_memory_tag(qds_context *ctx, size_t index, qds_memory_tag_row *row) {
  return qds_buffer_manager_tag(qds_context_buffers(ctx), index, row);
}

qds_status qds_memory_buffers(qds_context *ctx, char **out) {
  QDS_REQUIRE(out, "qds_memory_buffers: out is NULL");
  *out = NULL;
  QDS_REQUIRE(ctx, "qds_memory_buffers: no context");
  return qds_buffer_manager_list(qds_context_buffers(ctx), out);
}

/* The pools of the heap come first, then those of the buffers and the device. */
static void read_heap_pool(const qds_context *ctx, qds_heap_pool pool, qds_memory_pool_row *row) {
  static const char *const names[QDS_HEAP_POOLS] = {"small", "medium", "large"};
  qds_best_fit_statistics s;
  qds_heap_read_pool(qds_context_heap(ctx), pool, &s);
  *row = qds_best_fit_row(names[pool], QDS_PLACE_HOST, &s);
}

int qds_memory_pool(qds_context *ctx, size_t index, qds_memory_pool_row *row) {
  if (index >= QDS_HEAP_POOLS)
    return qds_buffer_manager_pool(qds_context_buffers(ctx), index - QDS_HEAP_POOLS, row);
  read_heap_pool(ctx, (qds_heap_pool)index, row);
  return 1;
}

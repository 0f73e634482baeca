#include "base/json.h"
#include "mem/buffer_internal.h"

static void write_buffer(qds_json *json, const qds_buffer *b) {
  const uint64_t references = atomic_load(&b->references);
  qds_json_open_map(json, NULL);
  qds_json_string(json, "tag", b->tag->tag);
  qds_json_int(json, "bytes", (int64_t)b->bytes);
  qds_json_string(json, "strategy", qds_mem_strategy_name(b->strategy));
  qds_json_string(json, "file", b->file);
  qds_json_int(json, "line", b->line);
  qds_json_open_map(json, "references");
  qds_json_int(json, "library", qds_references_of(references, QDS_OWNER_LIBRARY));
  qds_json_int(json, "python", qds_references_of(references, QDS_OWNER_PYTHON));
  qds_json_close_map(json);
  qds_json_close_map(json);
}

/* The text grows under the lock, but in the heap, which moves no buffer out of its way. */
qds_status qds_buffer_manager_list(qds_buffer_manager *m, char **out) {
  QDS_AUTO(qds_json) *json = NULL;
  QDS_TRY(qds_json_create(m->allocator, &json));
  qds_json_open_list(json, NULL);
  pthread_mutex_lock(&m->lock);
  for (const qds_buffer *b = m->ring.older; b != &m->ring; b = b->older)
    if (!b->dead) write_buffer(json, b);
  pthread_mutex_unlock(&m->lock);
  qds_json_close_list(json);
  const char *text;
  QDS_TRY(qds_json_text(json, &text));
  return QDS_STRDUP(m->allocator, text, "text", out);
}

#include "mem/pool_stream.h"

#include <pthread.h>

#include "qdsim/text.h"

typedef struct block block;
struct block {
  block *next;
  void *memory;
  size_t bytes;
};

struct qds_stream_pool {
  qds_accelerator *accelerator;
  size_t limit;
  pthread_mutex_t lock;
  block *blocks;
  qds_stream_pool_statistics statistics;
};

qds_status qds_stream_pool_create(qds_accelerator *accelerator, size_t limit, qds_stream_pool **out) {
  *out = NULL;
  qds_stream_pool *pool = NULL;
  QDS_TRY(QDS_NEW_ZERO(accelerator->allocator, 1, "device pool", &pool));
  pool->accelerator = accelerator;
  pool->limit = limit;
  pthread_mutex_init(&pool->lock, NULL);
  *out = pool;
  return QDS_OK;
}

void qds_stream_pool_destroy(qds_stream_pool *pool) {
  if (!pool) return;
  while (pool->blocks) {
    block *b = pool->blocks;
    pool->blocks = b->next;
    qds_accelerator_release(pool->accelerator, QDS_MEMORY_DEVICE, b->memory);
    qds_release(b);
  }
  pthread_mutex_destroy(&pool->lock);
  qds_release(pool);
}

qds_status qds_stream_pool_allocate(qds_stream_pool *pool, qds_stream *stream, size_t bytes, const char *tag,
                                    const char *file, int line, void **out) {
  (void)stream;
  *out = NULL;
  if (pool->limit && pool->statistics.used_bytes + bytes > pool->limit) {
    char more[QDS_BYTES_TEXT], limit[QDS_BYTES_TEXT];
    qds_format_bytes(bytes, more);
    qds_format_bytes(pool->limit, limit);
    return qds_raise(QDS_ERROR_BUDGET, file, line, 0,
                     "device memory budget exceeded: %s more for %s pass the limit of %s", more, tag, limit);
  }
  block *b = NULL;
  QDS_TRY(QDS_NEW(pool->accelerator->allocator, 1, "device pool", &b));
  const qds_status status =
      qds_accelerator_allocate(pool->accelerator, QDS_MEMORY_DEVICE, bytes ? bytes : 1, &b->memory);
  if (status != QDS_OK) {
    qds_release(b);
    return status;
  }
  pthread_mutex_lock(&pool->lock);
  b->bytes = bytes;
  b->next = pool->blocks;
  pool->blocks = b;
  qds_stream_pool_statistics *s = &pool->statistics;
  s->used_bytes += bytes;
  s->reserved_bytes = s->used_bytes;
  if (s->used_bytes > s->peak_used_bytes) s->peak_used_bytes = s->peak_reserved_bytes = s->used_bytes;
  s->blocks++;
  s->total_blocks++;
  pthread_mutex_unlock(&pool->lock);
  *out = b->memory;
  return QDS_OK;
}

void qds_stream_pool_release(qds_stream_pool *pool, qds_stream *stream, void *memory) {
  qds_stream_synchronise(stream);
  pthread_mutex_lock(&pool->lock);
  block **at = &pool->blocks;
  while (*at && (*at)->memory != memory) at = &(*at)->next;
  block *b = *at;
  if (b) {
    *at = b->next;
    pool->statistics.used_bytes -= b->bytes;
    pool->statistics.reserved_bytes -= b->bytes;
    pool->statistics.blocks--;
  }
  pthread_mutex_unlock(&pool->lock);
  if (!b) return;
  qds_accelerator_release(pool->accelerator, QDS_MEMORY_DEVICE, b->memory);
  qds_release(b);
}

qds_status qds_stream_pool_trim(qds_stream_pool *pool) {
  (void)pool;
  return QDS_OK;
}

void qds_stream_pool_statistics_read(qds_stream_pool *pool, qds_stream_pool_statistics *out) {
  pthread_mutex_lock(&pool->lock);
  *out = pool->statistics;
  pthread_mutex_unlock(&pool->lock);
}

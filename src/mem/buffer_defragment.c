/* Making one large free range out of many small ones: buffers that nobody holds move towards lower addresses,
 * and when that is not enough, out of the device, the highest first. It runs alone. A device that can put its
 * memory behind other addresses (pool_stream_pieces.c) needs it only for what is smaller than a piece. */
#include <stdlib.h>

#include "mem/buffer_internal.h"
#include "mem/pool_stream.h"

typedef struct {
  qds_buffer_manager *manager;
  size_t bytes;
  qds_defragment_report *report;
  qds_buffer **buffers; /* with memory on the device and without a bracket, by falling address */
  size_t count;
} compaction;

static int lacks(qds_status status) {
  return status == QDS_ERROR_MEMORY || status == QDS_ERROR_BUDGET;
}

static qds_pool_shape shape(const qds_buffer_manager *m) {
  qds_stream_pool_statistics s;
  qds_stream_pool_statistics_read(m->accelerator->pool, &s);
  return (qds_pool_shape){s.used_bytes, s.reserved_bytes, s.largest_free_bytes, s.fragmentation};
}

/* Whether the pool can give a block, asked in the only way that counts. */
static qds_status probe(qds_buffer_manager *m, size_t bytes) {
  void *block = NULL;
  qds_stream *lane = qds_lane_enter(m, NULL);
  const qds_status status =
      qds_stream_pool_allocate(m->accelerator->pool, lane, bytes, QDS_BUFFER_TAG, __FILE__, __LINE__, &block);
  qds_stream_release(lane, block);
  qds_lane_leave(m, lane);
  return status;
}

static int falling(const void *a, const void *b) {
  const uintptr_t x = (uintptr_t)(*(qds_buffer *const *)a)->copies[QDS_PLACE_DEVICE].block;
  const uintptr_t y = (uintptr_t)(*(qds_buffer *const *)b)->copies[QDS_PLACE_DEVICE].block;
  return (x < y) - (x > y);
}

static int movable(const qds_buffer *b) {
  return !b->brackets && !b->dead && b->copies[QDS_PLACE_DEVICE].held;
}

static qds_status collect(compaction *c) {
  const qds_buffer *ring = &c->manager->ring;
  size_t count = 0;
  for (const qds_buffer *b = ring->newer; b != ring; b = b->newer) count += (size_t)movable(b);
  QDS_TRY(qds_buffer_record(c->manager, count * sizeof *c->buffers, (void **)&c->buffers));
  for (qds_buffer *b = ring->newer; b != ring; b = b->newer)
    if (movable(b) && c->count < count) c->buffers[c->count++] = b;
  qsort(c->buffers, c->count, sizeof *c->buffers, falling);
  return QDS_OK;
}

/* Copies to a block at a lower address, which the pool has free already; else *moved stays. */
static qds_status move_on_lane(qds_buffer_manager *m, qds_buffer *b, qds_stream *lane, int *moved) {
  qds_copy *copy = &b->copies[QDS_PLACE_DEVICE];
  const size_t held = shape(m).reserved_bytes;
  void *block = NULL;
  QDS_TRY(qds_stream_pool_allocate(m->accelerator->pool, lane, b->bytes, QDS_BUFFER_TAG, __FILE__, __LINE__,
                                   &block));
  qds_status status = QDS_OK;
  if ((uintptr_t)block < (uintptr_t)copy->block && shape(m).reserved_bytes <= held) {
    status = qds_fences_wait(copy, 1, lane);
    if (status == QDS_OK) status = qds_stream_copy(lane, block, copy->block, b->bytes);
    const qds_status waited = qds_lane_synchronise(m, lane);
    if (status == QDS_OK) status = waited;
    if (status == QDS_OK) {
      void *old = copy->block;
      copy->block = block;
      block = old;
      *moved = 1;
    }
  }
  qds_stream_release(lane, block);
  return status;
}

static qds_status move(compaction *c, qds_buffer *b, int *moved) {
  qds_buffer_manager *m = c->manager;
  qds_copy *copy = &b->copies[QDS_PLACE_DEVICE];
  *moved = 0;
  if (!qds_copy_is_whole(m, copy) || shape(m).largest_free_bytes < b->bytes) return QDS_OK;
  qds_stream *lane = qds_lane_enter(m, NULL);
  const qds_status status = move_on_lane(m, b, lane, moved);
  qds_lane_leave(m, lane);
  if (*moved) {
    qds_fences_clear(m, copy);
    c->report->moved_buffers++;
    c->report->moved_bytes += b->bytes;
  }
  return status;
}

/* One pass over the buffers; those moved last pass may make room for others in the next. */
static qds_status move_all(compaction *c, int *moved) {
  *moved = 0;
  for (size_t i = 0; i < c->count; i++) {
    int here;
    const qds_status status = move(c, c->buffers[i], &here);
    if (status != QDS_OK && !lacks(status)) return status;
    *moved |= here;
  }
  qsort(c->buffers, c->count, sizeof *c->buffers, falling);
  return QDS_OK;
}

static qds_status send_away(compaction *c, qds_buffer *b) {
  QDS_TRY(qds_buffer_vacate(b, QDS_PLACE_DEVICE));
  c->report->moved_buffers++;
  c->report->moved_bytes += b->bytes;
  return QDS_OK;
}

static qds_status compact(compaction *c) {
  qds_status status = QDS_ERROR_MEMORY;
  for (int moved = 1; moved && lacks(status);) {
    QDS_TRY(move_all(c, &moved));
    status = probe(c->manager, c->bytes);
  }
  for (size_t i = 0; lacks(status) && i < c->count; i++) {
    QDS_TRY(send_away(c, c->buffers[i]));
    status = probe(c->manager, c->bytes);
  }
  return status;
}

static qds_status run(void *data) {
  compaction *c = data;
  c->report->before = shape(c->manager);
  qds_status status = probe(c->manager, c->bytes);
  if (lacks(status)) {
    status = collect(c);
    if (status == QDS_OK) status = compact(c);
    qds_release(c->buffers);
  }
  c->report->after = shape(c->manager);
  return status;
}

qds_status qds_buffer_manager_defragment(qds_buffer_manager *m, size_t bytes, qds_defragment_report *report) {
  *report = (qds_defragment_report){0};
  if (!m->accelerator)
    QDS_FAIL(QDS_ERROR_UNSUPPORTED, "there is no device whose memory could be moved together: %s",
             m->device_reason);
  compaction c = {.manager = m, .bytes = bytes, .report = report};
  return qds_buffer_work_run(m, &(qds_buffer_work){.run = run, .data = &c, .alone = 1});
}

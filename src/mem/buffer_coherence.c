/* Which copies are valid, and how a place gets one.
 *
 * adaptive keeps the contents where they are used. Each buffer counts its uses, +1 on the device and -1 on
 * the host, within +-QDS_AFFINITY_MOST; its home is the place of its first use and changes only when the
 * count has passed QDS_AFFINITY_MOVES on the other side, so that a single look from elsewhere moves nothing
 * for good. A copy that a write makes stale keeps its memory at home and gives it back elsewhere; a write
 * away from home is followed by a copy home in the background, when there is room. */
#include "mem/buffer_internal.h"

static int pinned_fits(const qds_buffer *b) {
  qds_buffer_manager *m = b->manager;
  pthread_mutex_lock(&m->lock);
  const size_t held = m->granted[QDS_PLACE_PINNED];
  pthread_mutex_unlock(&m->lock);
  return b->bytes <= m->pinned_limit && held <= m->pinned_limit - b->bytes;
}

/* Page-locked memory serves the host as well as any other; new memory is page-locked while the limit
 * lasts. */
static qds_place host_slot(const qds_buffer *b) {
  const qds_copy *pinned = &b->copies[QDS_PLACE_PINNED], *host = &b->copies[QDS_PLACE_HOST];
  if (pinned->valid) return QDS_PLACE_PINNED;
  if (host->valid) return QDS_PLACE_HOST;
  if (pinned->held) return QDS_PLACE_PINNED;
  if (host->held || !pinned_fits(b)) return QDS_PLACE_HOST;
  return QDS_PLACE_PINNED;
}

qds_place qds_buffer_slot(const qds_buffer *b, qds_place place) {
  if (place == QDS_PLACE_FILE) return place;
  if (!b->manager->accelerator || b->strategy == QDS_MEM_CPU_ONLY) return QDS_PLACE_HOST;
  if (b->strategy == QDS_MEM_GPU_ONLY) return QDS_PLACE_DEVICE;
  if (b->strategy == QDS_MEM_UNIFIED) return QDS_PLACE_UNIFIED;
  return place == QDS_PLACE_HOST ? host_slot(b) : place;
}

qds_place qds_buffer_source(const qds_buffer *b, qds_place except) {
  static const qds_place order[] = {QDS_PLACE_DEVICE, QDS_PLACE_UNIFIED, QDS_PLACE_PINNED, QDS_PLACE_HOST,
                                    QDS_PLACE_FILE};
  for (size_t i = 0; i < sizeof order / sizeof *order; i++)
    if (order[i] != except && b->copies[order[i]].valid && b->copies[order[i]].batch == 0) return order[i];
  return QDS_PLACES;
}

/* Memory that was just taken is ready in the order of the stream that it was taken on. */
static qds_status hand_over(qds_buffer_manager *m, qds_copy *copy, qds_stream *stream) {
  qds_fence *fence = NULL;
  if (stream) QDS_TRY(qds_fence_take(m, &fence));
  qds_stream *lane = qds_lane_enter(m, stream);
  const qds_status status = stream ? qds_event_record(fence->event, lane) : qds_lane_synchronise(m, lane);
  if (fence) fence->stream = lane;
  qds_lane_leave(m, lane);
  if (status != QDS_OK)
    qds_fence_give(m, fence);
  else if (fence)
    qds_fence_put(m, copy, fence, 1);
  return status;
}

static qds_status make_ready(qds_buffer *b, qds_place slot, int fresh, qds_access access,
                             qds_stream *stream) {
  qds_copy *copy = &b->copies[slot];
  if (access != QDS_ACCESS_DISCARD && !copy->valid) {
    const qds_place from = qds_buffer_source(b, slot);
    copy->batch = 0;
    const qds_transfer all = {copy, &b->copies[from], slot, from, 0, 0, b->bytes};
    return qds_transfer_run(b->manager, &all, stream);
  }
  if (fresh && slot == QDS_PLACE_DEVICE) return hand_over(b->manager, copy, stream);
  return qds_fences_wait(copy, access != QDS_ACCESS_READ, stream);
}

static qds_status take_memory(qds_buffer *b, qds_place slot, qds_stream *stream, int make_room) {
  qds_status status = qds_copy_take(b, slot, stream);
  while (status != QDS_OK && make_room && qds_buffer_make_room(b->manager, slot, b->bytes, status))
    status = qds_copy_take(b, slot, stream);
  return status;
}

/* Work that stood on the stream before may still use device memory that was taken on it. */
static void give_up(qds_buffer *b, qds_place slot, qds_stream *stream) {
  if (slot == QDS_PLACE_DEVICE) {
    qds_stream *lane = qds_lane_enter(b->manager, stream);
    (void)qds_lane_synchronise(b->manager, lane);
    qds_lane_leave(b->manager, lane);
  }
  qds_copy_give(b, slot);
}

qds_status qds_buffer_bring(qds_buffer *b, qds_place slot, qds_access access, qds_stream *stream,
                            int make_room) {
  const int fresh = !b->copies[slot].held;
  QDS_TRY(take_memory(b, slot, stream, make_room));
  if (access != QDS_ACCESS_DISCARD) (void)qds_copy_is_whole(b->manager, &b->copies[slot]);
  const qds_status status = make_ready(b, slot, fresh, access, stream);
  if (status != QDS_OK && fresh) give_up(b, slot, stream);
  return status;
}

static void count_return(qds_buffer *b) {
  qds_buffer_manager *m = b->manager;
  pthread_mutex_lock(&m->lock);
  m->statistics.returns++;
  m->statistics.returned_bytes += b->bytes;
  pthread_mutex_unlock(&m->lock);
}

qds_status qds_buffer_fetch(qds_buffer *b, qds_place *slot, qds_access access, qds_stream *stream) {
  const int moves = access != QDS_ACCESS_DISCARD && !b->copies[*slot].valid;
  qds_status status = qds_buffer_bring(b, *slot, access, stream, *slot != QDS_PLACE_PINNED);
  if (*slot == QDS_PLACE_PINNED && (status == QDS_ERROR_MEMORY || status == QDS_ERROR_BUDGET)) {
    *slot = QDS_PLACE_HOST;
    status = qds_buffer_bring(b, *slot, access, stream, 1);
  }
  if (status != QDS_OK) return status;
  if (b->spilled && moves) count_return(b);
  if (moves || access == QDS_ACCESS_DISCARD) b->spilled = 0;
  return QDS_OK;
}

static int at_home(const qds_buffer *b, qds_place slot) {
  if (b->strategy != QDS_MEM_ADAPTIVE) return 0;
  if (b->home == QDS_PLACE_DEVICE) return slot == QDS_PLACE_DEVICE;
  return slot == QDS_PLACE_PINNED || slot == QDS_PLACE_HOST;
}

void qds_copy_touch(qds_buffer *b, qds_place slot) {
  b->copies[slot].used = atomic_fetch_add(&b->manager->clock, 1) + 1;
}

void qds_buffer_settle(qds_buffer *b, qds_place slot, qds_access access) {
  b->copies[slot].valid = 1;
  qds_copy_touch(b, slot);
  if (access == QDS_ACCESS_READ) return;
  b->copies[slot].batch = 0;
  for (int i = 0; i < QDS_PLACES; i++) {
    if (i == (int)slot) continue;
    b->copies[i].valid = 0;
    b->copies[i].used = 0;
    if (!at_home(b, (qds_place)i)) qds_copy_give(b, (qds_place)i);
  }
}

/* Copies between buffers, and filling. */
#include <string.h>

#include "mem/buffer_internal.h"

static int on_host(qds_place slot) {
  return slot == QDS_PLACE_PINNED || slot == QDS_PLACE_HOST;
}

/* What a copy writes only in part stays where it is; else adaptive memory takes it where it comes from. */
static qds_place target_slot(const qds_buffer *to, qds_place from, int whole) {
  const qds_place there = qds_buffer_source(to, QDS_PLACES);
  if (!whole && there != QDS_PLACES && there != QDS_PLACE_FILE && to->strategy == QDS_MEM_ADAPTIVE)
    return there;
  const int device = from == QDS_PLACE_DEVICE || from == QDS_PLACE_UNIFIED;
  return qds_buffer_slot(to, device ? QDS_PLACE_DEVICE : QDS_PLACE_HOST);
}

/* A copy on the same side as the target, where there is one. */
static qds_place source_slot(const qds_buffer *from, qds_place to) {
  const qds_place best = qds_buffer_source(from, QDS_PLACES);
  const qds_place other = best == QDS_PLACE_DEVICE ? qds_buffer_source(from, best) : QDS_PLACES;
  return on_host(to) && on_host(other) ? other : best;
}

typedef struct {
  qds_buffer *to, *from;
  size_t to_offset, from_offset, bytes;
  qds_stream *queue;
} part;

static qds_status copy(void *data) {
  const part *p = data;
  qds_buffer *to = p->to, *from = p->from;
  const int whole = p->bytes == to->bytes;
  const qds_access access = whole ? QDS_ACCESS_DISCARD : QDS_ACCESS_WRITE;
  QDS_TRY(qds_buffer_check_use(from, QDS_ACCESS_READ));
  QDS_TRY(qds_buffer_check_use(to, access));
  qds_place slot = target_slot(to, qds_buffer_source(from, QDS_PLACES), whole);
  QDS_TRY(qds_buffer_fetch(to, &slot, access, p->queue));
  const qds_place source = source_slot(from, slot);
  const qds_transfer t = {&to->copies[slot], &from->copies[source], slot,    source,
                          p->to_offset,      p->from_offset,        p->bytes};
  const qds_status status = qds_transfer_run(to->manager, &t, p->queue);
  /* The target may be half written; if the old contents lie elsewhere too, they are what is valid. */
  if (status != QDS_OK && qds_buffer_source(to, slot) != QDS_PLACES) to->copies[slot].valid = 0;
  if (status == QDS_OK) qds_buffer_settle(to, slot, access);
  return status;
}

static qds_status check_range(const qds_buffer *b, size_t offset, size_t bytes) {
  QDS_REQUIRE(offset <= b->bytes && bytes <= b->bytes - offset,
              "%s: %zu bytes from offset %zu on do not lie within its %zu", qds_buffer_name(b).text, bytes,
              offset, b->bytes);
  return QDS_OK;
}

qds_status qds_buffer_copy_part(qds_buffer *to, size_t to_offset, qds_buffer *from, size_t from_offset,
                                size_t bytes, qds_stream *stream) {
  QDS_REQUIRE(to && from, "qds_buffer_copy: no buffer");
  QDS_REQUIRE(to != from, "%s: copied to itself", qds_buffer_name(to).text);
  QDS_TRY(check_range(to, to_offset, bytes));
  QDS_TRY(check_range(from, from_offset, bytes));
  QDS_TRY(qds_buffer_check_stream(to, stream));
  QDS_REQUIRE(to->manager == from->manager, "%s and %s belong to different contexts",
              qds_buffer_name(to).text, qds_buffer_name(from).text);
  part p = {to, from, to_offset, from_offset, bytes, qds_buffer_queue(stream)};
  return qds_buffer_work_run(to->manager, &(qds_buffer_work){.buffers = {to, from}, .run = copy, .data = &p});
}

qds_status qds_buffer_copy(qds_buffer *to, qds_buffer *from, qds_stream *stream) {
  QDS_REQUIRE(to && from, "qds_buffer_copy: no buffer");
  QDS_REQUIRE(to->bytes == from->bytes, "%s has %zu bytes and cannot take the %zu of %s",
              qds_buffer_name(to).text, to->bytes, from->bytes, qds_buffer_name(from).text);
  return qds_buffer_copy_part(to, 0, from, 0, from->bytes, stream);
}

/* --- filling -------------------------------------------------------------------------------------------- */

static qds_status fill_queued(qds_buffer_manager *m, qds_copy *copy, int byte, size_t bytes,
                              qds_stream *queue) {
  qds_fence *fence = NULL;
  if (queue) QDS_TRY(qds_fence_take(m, &fence));
  qds_stream *lane = qds_lane_enter(m, queue);
  qds_status status = qds_stream_fill(lane, copy->block, byte, bytes);
  if (status == QDS_OK && fence) status = qds_event_record(fence->event, lane);
  if (status == QDS_OK && !fence) status = qds_lane_synchronise(m, lane);
  if (fence) fence->stream = lane;
  qds_lane_leave(m, lane);
  if (status == QDS_OK && fence)
    qds_fence_put(m, copy, fence, 1);
  else
    qds_fence_give(m, fence);
  return status;
}

typedef struct {
  qds_buffer *buffer;
  int byte;
  qds_stream *queue;
} filling;

static qds_status fill(void *data) {
  const filling *f = data;
  qds_buffer *b = f->buffer;
  QDS_TRY(qds_buffer_check_use(b, QDS_ACCESS_DISCARD));
  qds_place slot = qds_buffer_source(b, QDS_PLACES);
  if (slot == QDS_PLACES || slot == QDS_PLACE_FILE || b->strategy != QDS_MEM_ADAPTIVE)
    slot = qds_buffer_slot(b, QDS_PLACE_HOST);
  QDS_TRY(qds_buffer_fetch(b, &slot, QDS_ACCESS_DISCARD, on_host(slot) ? NULL : f->queue));
  qds_status status = QDS_OK;
  if (on_host(slot))
    memset(b->copies[slot].block, f->byte, b->bytes);
  else
    status = fill_queued(b->manager, &b->copies[slot], f->byte, b->bytes, f->queue);
  if (status != QDS_OK && qds_buffer_source(b, slot) != QDS_PLACES) b->copies[slot].valid = 0;
  if (status == QDS_OK) qds_buffer_settle(b, slot, QDS_ACCESS_DISCARD);
  return status;
}

qds_status qds_buffer_fill(qds_buffer *b, int byte, qds_stream *stream) {
  QDS_REQUIRE(b, "qds_buffer_fill: no buffer");
  QDS_TRY(qds_buffer_check_stream(b, stream));
  filling f = {b, byte, qds_buffer_queue(stream)};
  return qds_buffer_work_run(b->manager, &(qds_buffer_work){.buffers = {b}, .run = fill, .data = &f});
}

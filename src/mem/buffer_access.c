/* Brackets, prefetches and copies: what is allowed, and who waits for whom. */
#include <string.h>

#include "mem/buffer_internal.h"

static qds_status check_place(const qds_buffer *b, qds_place place) {
  if (b->strategy == QDS_MEM_CPU_ONLY && place == QDS_PLACE_DEVICE)
    QDS_FAIL(
        QDS_ERROR_UNSUPPORTED,
        "%s: cpu_only memory is not accessed on the device; create it as adaptive or unified, or copy it",
        qds_buffer_name(b).text);
  if (b->strategy == QDS_MEM_GPU_ONLY && place != QDS_PLACE_DEVICE)
    QDS_FAIL(QDS_ERROR_UNSUPPORTED,
             "%s: gpu_only memory is not accessed on the host; create it as adaptive or unified, or copy it",
             qds_buffer_name(b).text);
  return QDS_OK;
}

qds_status qds_buffer_check_stream(const qds_buffer *b, const qds_stream *stream) {
  QDS_REQUIRE(!stream || !stream->accelerator || stream->accelerator == b->manager->accelerator,
              "%s: the stream belongs to another device", qds_buffer_name(b).text);
  return QDS_OK;
}

qds_stream *qds_buffer_queue(qds_stream *stream) {
  return stream && stream->accelerator ? stream : NULL;
}

static const char *verb(qds_access access) {
  return access == QDS_ACCESS_READ ? "read" : "written";
}

/* One writer or several readers, and no reading of what was never written. */
qds_status qds_buffer_check_use(const qds_buffer *b, qds_access access) {
  const int refused = b->writers > 0 || (access != QDS_ACCESS_READ && b->readers > 0);
  QDS_REQUIRE(!refused, "%s: cannot be %s while it is acquired (readers: %d, writers: %d); release it first",
              qds_buffer_name(b).text, verb(access), b->readers, b->writers);
  QDS_REQUIRE(
      access == QDS_ACCESS_DISCARD || qds_buffer_source(b, QDS_PLACES) != QDS_PLACES,
      "%s: nothing was ever written to it; write to it first (in C: acquire it with QDS_ACCESS_DISCARD)",
      qds_buffer_name(b).text);
  return QDS_OK;
}

/* --- brackets ------------------------------------------------------------------------------------------- */

static void note_use(qds_buffer *b, qds_place place) {
  const int device = place == QDS_PLACE_DEVICE;
  if (device && b->affinity < QDS_AFFINITY_MOST) b->affinity++;
  if (!device && b->affinity > -QDS_AFFINITY_MOST) b->affinity--;
  if (b->home == QDS_PLACES) b->home = place;
  if (b->affinity >= QDS_AFFINITY_MOVES) b->home = QDS_PLACE_DEVICE;
  if (b->affinity <= -QDS_AFFINITY_MOVES) b->home = QDS_PLACE_HOST;
}

typedef struct {
  qds_buffer *buffer;
  qds_place place;
  qds_access access;
  qds_stream *stream;
  void *pointer;
} request;

static qds_status open_bracket(void *data) {
  request *r = data;
  qds_buffer *b = r->buffer;
  qds_fence *bracket = NULL;
  QDS_TRY(qds_buffer_check_use(b, r->access));
  QDS_TRY(qds_fence_take(b->manager, &bracket));
  qds_place slot = qds_buffer_slot(b, r->place);
  const qds_status status = qds_buffer_fetch(b, &slot, r->access, qds_buffer_queue(r->stream));
  if (status != QDS_OK) {
    qds_fence_give(b->manager, bracket);
    return status;
  }
  note_use(b, r->place);
  qds_buffer_settle(b, slot, r->access);
  const int writes = r->access != QDS_ACCESS_READ;
  *bracket = (qds_fence){b->brackets, bracket->event, r->stream, slot, writes};
  b->brackets = bracket;
  b->writers += writes;
  b->readers += !writes;
  r->pointer = b->copies[slot].block;
  return QDS_OK;
}

qds_status qds_buffer_acquire(qds_buffer *b, qds_place place, qds_access access, qds_stream *stream,
                              void **out) {
  QDS_REQUIRE(out, "qds_buffer_acquire: out is NULL");
  *out = NULL;
  QDS_REQUIRE(b, "qds_buffer_acquire: no buffer");
  QDS_REQUIRE(place == QDS_PLACE_HOST || place == QDS_PLACE_DEVICE,
              "%s: a buffer is acquired on the host or on the device", qds_buffer_name(b).text);
  QDS_REQUIRE(access >= QDS_ACCESS_READ && access <= QDS_ACCESS_DISCARD, "%s: no access %d",
              qds_buffer_name(b).text, (int)access);
  QDS_TRY(check_place(b, place));
  QDS_TRY(qds_buffer_check_stream(b, stream));
  request r = {b, place, access, stream, NULL};
  QDS_TRY(
      qds_buffer_work_run(b->manager, &(qds_buffer_work){.buffers = {b}, .run = open_bracket, .data = &r}));
  *out = r.pointer;
  return QDS_OK;
}

/* A copy for the next use at home. It is a help and not a promise, so a failure changes nothing. */
static void send_home(qds_buffer *b, qds_place slot) {
  qds_buffer_manager *m = b->manager;
  if (b->strategy != QDS_MEM_ADAPTIVE || !m->accelerator) return;
  const int device = slot == QDS_PLACE_DEVICE;
  if (device == (b->home == QDS_PLACE_DEVICE)) return;
  const qds_place home = qds_buffer_slot(b, b->home);
  if (qds_buffer_bring(b, home, QDS_ACCESS_READ, &m->background.stream, 0) == QDS_OK)
    qds_buffer_settle(b, home, QDS_ACCESS_READ);
}

static qds_status close_bracket(qds_buffer *b, qds_stream *stream) {
  qds_buffer_manager *m = b->manager;
  qds_fence **at = &b->brackets;
  while (*at && (*at)->stream != stream) at = &(*at)->next;
  qds_fence *bracket = *at;
  QDS_REQUIRE(bracket, "%s: released without an acquire %s", qds_buffer_name(b).text,
              b->brackets ? "on this stream; release takes the stream of the acquire" : "before");
  *at = bracket->next;
  const int writes = bracket->writes;
  const qds_place slot = bracket->slot;
  b->writers -= writes;
  b->readers -= !writes;
  qds_copy *copy = &b->copies[slot];
  qds_status status = QDS_OK;
  if (qds_buffer_queue(stream)) status = qds_event_record(bracket->event, stream);
  if (status != QDS_OK) (void)!qds_stream_synchronise(stream);
  if (qds_buffer_queue(stream) && status == QDS_OK) {
    qds_fence_put(m, copy, bracket, writes);
  } else {
    if (writes) qds_fences_clear(m, copy); /* the acquire has waited for them */
    qds_fence_give(m, bracket);
  }
  if (writes && status == QDS_OK) send_home(b, slot);
  return status;
}

qds_status qds_buffer_release(qds_buffer *b, qds_stream *stream) {
  QDS_REQUIRE(b, "qds_buffer_release: no buffer");
  qds_buffer_claim(b);
  const qds_status status = close_bracket(b, stream);
  qds_buffer_unclaim(b);
  return status;
}

/* --- prefetch ------------------------------------------------------------------------------------------- */

static qds_status prefetch(void *data) {
  const request *r = data;
  qds_buffer *b = r->buffer;
  qds_stream *queue = qds_buffer_queue(r->stream);
  QDS_TRY(qds_buffer_check_use(b, QDS_ACCESS_READ));
  qds_place slot = qds_buffer_slot(b, r->place);
  if (b->copies[slot].valid) {
    qds_copy_touch(b, slot);
    return QDS_OK;
  }
  if (!queue && b->manager->accelerator) queue = &b->manager->background.stream;
  QDS_TRY(qds_buffer_fetch(b, &slot, QDS_ACCESS_READ, queue));
  qds_buffer_settle(b, slot, QDS_ACCESS_READ);
  return QDS_OK;
}

qds_status qds_buffer_prefetch(qds_buffer *b, qds_place place, qds_stream *stream) {
  QDS_REQUIRE(b, "qds_buffer_prefetch: no buffer");
  QDS_REQUIRE(place == QDS_PLACE_HOST || place == QDS_PLACE_PINNED || place == QDS_PLACE_DEVICE,
              "%s: a buffer is prefetched to host, pinned or device; qds_buffer_spill moves it to a file",
              qds_buffer_name(b).text);
  QDS_TRY(check_place(b, place));
  QDS_TRY(qds_buffer_check_stream(b, stream));
  request r = {b, place, QDS_ACCESS_READ, stream, NULL};
  return qds_buffer_work_run(b->manager, &(qds_buffer_work){.buffers = {b}, .run = prefetch, .data = &r});
}

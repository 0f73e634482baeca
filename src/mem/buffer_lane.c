#include "mem/buffer_internal.h"

static qds_status open_lane(qds_buffer_manager *m, qds_lane *lane) {
  return qds_stream_open(m->accelerator, m->allocator, m->threads, &lane->stream);
}

qds_status qds_lanes_open(qds_buffer_manager *m) {
  pthread_mutex_init(&m->copying.lock, NULL);
  pthread_mutex_init(&m->background.lock, NULL);
  pthread_mutex_init(&m->returning.lock, NULL);
  m->batch = 1;
  QDS_TRY(open_lane(m, &m->copying));
  QDS_TRY(open_lane(m, &m->background));
  return open_lane(m, &m->returning);
}

static void close_lane(qds_lane *lane) {
  qds_stream_close(&lane->stream);
  pthread_mutex_destroy(&lane->lock);
}

void qds_lanes_close(qds_buffer_manager *m) {
  close_lane(&m->copying);
  close_lane(&m->background);
  close_lane(&m->returning);
}

/* NULL for a stream of the caller's. */
static qds_lane *lane_of(qds_buffer_manager *m, const qds_stream *stream) {
  if (!stream || stream == &m->copying.stream) return &m->copying;
  if (stream == &m->background.stream) return &m->background;
  return stream == &m->returning.stream ? &m->returning : NULL;
}

/* A lane of the host has no state to guard. */
qds_stream *qds_lane_enter(qds_buffer_manager *m, qds_stream *stream) {
  qds_lane *lane = lane_of(m, stream);
  if (!lane) return stream;
  if (m->accelerator) pthread_mutex_lock(&lane->lock);
  return &lane->stream;
}

void qds_lane_leave(qds_buffer_manager *m, qds_stream *stream) {
  qds_lane *lane = lane_of(m, stream);
  if (lane && m->accelerator) pthread_mutex_unlock(&lane->lock);
}

/* A stream reports a failure once, to whoever asks first, so the answer is kept for all copies of the batch.
 */
qds_status qds_lane_synchronise(qds_buffer_manager *m, qds_stream *stream) {
  const qds_status status = qds_stream_synchronise(stream);
  if (stream == &m->background.stream) {
    m->failures = m->failures << 1 | (uint64_t)(status != QDS_OK);
    m->batch++;
  }
  return status;
}

/* A batch that is too old to be remembered counts as failed: its copies are made again. */
int qds_copy_is_whole(qds_buffer_manager *m, qds_copy *copy) {
  if (copy->batch == 0) return 1;
  qds_stream *lane = qds_lane_enter(m, &m->background.stream);
  if (copy->batch == m->batch) (void)qds_lane_synchronise(m, lane);
  const uint64_t age = m->batch - 1 - copy->batch;
  const int whole = age < 64 && !(m->failures >> age & 1);
  qds_lane_leave(m, lane);
  copy->batch = 0;
  if (!whole) copy->valid = 0;
  return whole;
}

#include "mem/buffer_internal.h"

/* Between two blocks of memory, in the order of a stream. The fences say when it is done. */
static qds_status enqueue(const qds_transfer *t, qds_stream *stream, qds_fence *read, qds_fence *written) {
  /* Devices read pageable memory when they are called, whatever still stands in the stream. */
  QDS_TRY(qds_fences_wait(t->from, 0, t->from_slot == QDS_PLACE_HOST ? NULL : stream));
  QDS_TRY(qds_fences_wait(t->to, 1, stream));
  QDS_TRY(qds_stream_copy(stream, (char *)t->to->block + t->to_offset,
                          (const char *)t->from->block + t->from_offset, t->bytes));
  if (read) QDS_TRY(qds_event_record(read->event, stream));
  if (written) QDS_TRY(qds_event_record(written->event, stream));
  return QDS_OK;
}

/* The thread waits. Nothing of the host is needed for that, and a failed copy shows. */
static qds_status copy_now(qds_buffer_manager *m, const qds_transfer *t) {
  qds_stream *lane = qds_lane_enter(m, NULL);
  qds_status status = enqueue(t, lane, NULL, NULL);
  if (status == QDS_OK)
    status = qds_lane_synchronise(m, lane);
  else
    (void)qds_lane_synchronise(m, lane);
  qds_lane_leave(m, lane);
  if (status == QDS_OK) qds_fences_clear(m, t->to);
  return status;
}

static qds_status copy_later(qds_buffer_manager *m, const qds_transfer *t, qds_stream *stream) {
  qds_fence *read = NULL, *written = NULL;
  qds_status status = qds_fence_take(m, &read);
  if (status == QDS_OK) status = qds_fence_take(m, &written);
  if (status != QDS_OK) {
    qds_fence_give(m, read);
    return status;
  }
  qds_stream *lane = qds_lane_enter(m, stream);
  status = enqueue(t, lane, read, written);
  if (status != QDS_OK) (void)qds_lane_synchronise(m, lane); /* it may be half under way */
  read->stream = written->stream = lane;
  if (lane == &m->background.stream) t->to->batch = m->batch;
  qds_lane_leave(m, lane);
  if (status != QDS_OK) {
    qds_fence_give(m, read);
    qds_fence_give(m, written);
    return status;
  }
  qds_fence_put(m, t->from, read, 0);
  qds_fence_put(m, t->to, written, 1);
  return QDS_OK;
}

/* Between a file and memory of the host; the thread does it. */
static qds_status copy_file(qds_buffer_manager *m, const qds_transfer *t) {
  if (t->to_slot == QDS_PLACE_FILE) {
    QDS_TRY(qds_fences_wait(t->from, 0, NULL));
    return qds_spill_file_write(&t->to->file, t->to_offset, (const char *)t->from->block + t->from_offset,
                                t->bytes);
  }
  QDS_TRY(qds_fences_wait(t->to, 1, NULL));
  qds_fences_clear(m, t->to);
  return qds_spill_file_read(&t->from->file, t->from_offset, (char *)t->to->block + t->to_offset, t->bytes);
}

/* One piece between a file and the device, through the staging block. */
static qds_status stage(qds_buffer_manager *m, const qds_transfer *t, size_t done, size_t bytes,
                        qds_stream *lane) {
  void *staging = m->staging;
  if (t->to_slot == QDS_PLACE_FILE) {
    QDS_TRY(qds_stream_copy(lane, staging, (const char *)t->from->block + t->from_offset + done, bytes));
    QDS_TRY(qds_lane_synchronise(m, lane));
    return qds_spill_file_write(&t->to->file, t->to_offset + done, staging, bytes);
  }
  QDS_TRY(qds_spill_file_read(&t->from->file, t->from_offset + done, staging, bytes));
  QDS_TRY(qds_stream_copy(lane, (char *)t->to->block + t->to_offset + done, staging, bytes));
  return qds_lane_synchronise(m, lane);
}

static qds_status copy_staged(qds_buffer_manager *m, const qds_transfer *t, qds_stream *lane) {
  if (!m->staging)
    QDS_TRY(qds_accelerator_allocate(m->accelerator, QDS_MEMORY_PINNED, QDS_STAGING_BYTES, &m->staging));
  QDS_TRY(t->to_slot == QDS_PLACE_FILE ? qds_fences_wait(t->from, 0, lane) : qds_fences_wait(t->to, 1, lane));
  for (size_t done = 0; done < t->bytes; done += QDS_STAGING_BYTES) {
    const size_t left = t->bytes - done;
    QDS_TRY(stage(m, t, done, left < QDS_STAGING_BYTES ? left : QDS_STAGING_BYTES, lane));
  }
  return QDS_OK;
}

static qds_status copy_device_file(qds_buffer_manager *m, const qds_transfer *t, qds_stream *stream) {
  pthread_mutex_lock(&m->staging_lock);
  qds_stream *lane = qds_lane_enter(m, stream);
  const qds_status status = copy_staged(m, t, lane);
  if (status != QDS_OK) (void)qds_lane_synchronise(m, lane);
  qds_lane_leave(m, lane);
  pthread_mutex_unlock(&m->staging_lock);
  if (status == QDS_OK && t->to_slot == QDS_PLACE_DEVICE) qds_fences_clear(m, t->to);
  return status;
}

qds_status qds_transfer_run(qds_buffer_manager *m, const qds_transfer *t, qds_stream *stream) {
  qds_status status = QDS_OK;
  const int file = t->to_slot == QDS_PLACE_FILE || t->from_slot == QDS_PLACE_FILE;
  const int device = t->to_slot == QDS_PLACE_DEVICE || t->from_slot == QDS_PLACE_DEVICE;
  if (file && device)
    status = copy_device_file(m, t, stream);
  else if (file)
    status = copy_file(m, t);
  else
    status = stream ? copy_later(m, t, stream) : copy_now(m, t);
  if (status != QDS_OK) return status;
  pthread_mutex_lock(&m->lock);
  m->statistics.moves[t->from_slot][t->to_slot] += t->bytes;
  pthread_mutex_unlock(&m->lock);
  return QDS_OK;
}

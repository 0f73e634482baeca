#include "mem/buffer_internal.h"
#include "mem/staging.h"

/* Large contents of pageable memory go through page-locked pieces. Towards the host that makes the thread
 * wait, so a copy that it does not wait for (`later`) is left to the device. */
static qds_status copy(const qds_transfer *t, qds_stream *stream, int later) {
  char *to = (char *)t->to->block + t->to_offset;
  const char *from = (const char *)t->from->block + t->from_offset;
  if (t->from_slot == QDS_PLACE_HOST && t->to_slot == QDS_PLACE_DEVICE)
    return qds_stream_upload(stream, to, from, t->bytes);
  if (t->from_slot == QDS_PLACE_DEVICE && t->to_slot == QDS_PLACE_HOST && !later)
    return qds_stream_download(stream, to, from, t->bytes);
  return qds_stream_copy(stream, to, from, t->bytes);
}

/* Between two blocks of memory, in the order of a stream. */
static qds_status enqueue(const qds_transfer *t, qds_stream *stream, int later) {
  /* Devices read pageable memory when they are called, whatever still stands in the stream. */
  QDS_TRY(qds_fences_wait(t->from, 0, t->from_slot == QDS_PLACE_HOST ? NULL : stream));
  QDS_TRY(qds_fences_wait(t->to, 1, stream));
  return copy(t, stream, later);
}

/* The thread waits, once for all. Nothing of the host is needed for that, and a failed copy shows. */
static qds_status copy_now(qds_buffer_manager *m, const qds_transfer *transfers, int count) {
  qds_status status = QDS_OK;
  qds_stream *lane = qds_lane_enter(m, NULL);
  for (int i = 0; i < count && status == QDS_OK; i++) status = enqueue(&transfers[i], lane, 0);
  const qds_status work = qds_lane_synchronise(m, lane);
  qds_lane_leave(m, lane);
  if (status == QDS_OK) status = work;
  for (int i = 0; i < count && status == QDS_OK; i++) qds_fences_clear(m, transfers[i].to);
  return status;
}

/* The fences say when it is done. */
static qds_status enqueue_with_fences(const qds_transfer *t, qds_stream *stream, qds_fence *read,
                                      qds_fence *written) {
  QDS_TRY(enqueue(t, stream, 1));
  QDS_TRY(qds_event_record(read->event, stream));
  return qds_event_record(written->event, stream);
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
  status = enqueue_with_fences(t, lane, read, written);
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

typedef struct {
  const qds_spill_file *file;
  size_t offset;
} file_side;

static qds_status write_piece(void *user, size_t offset, void *piece, size_t bytes) {
  const file_side *side = user;
  return qds_spill_file_write(side->file, side->offset + offset, piece, bytes);
}

static qds_status read_piece(void *user, size_t offset, void *piece, size_t bytes) {
  const file_side *side = user;
  return qds_spill_file_read(side->file, side->offset + offset, piece, bytes);
}

static qds_status copy_staged(const qds_transfer *t, qds_stream *lane) {
  if (t->to_slot == QDS_PLACE_FILE) {
    file_side side = {&t->to->file, t->to_offset};
    QDS_TRY(qds_fences_wait(t->from, 0, lane));
    return qds_staging_download(lane, (const char *)t->from->block + t->from_offset, t->bytes, write_piece,
                                &side);
  }
  file_side side = {&t->from->file, t->from_offset};
  QDS_TRY(qds_fences_wait(t->to, 1, lane));
  return qds_staging_upload(lane, (char *)t->to->block + t->to_offset, t->bytes, read_piece, &side);
}

static qds_status copy_device_file(qds_buffer_manager *m, const qds_transfer *t, qds_stream *stream) {
  qds_stream *lane = qds_lane_enter(m, stream);
  qds_status status = copy_staged(t, lane);
  const qds_status work = qds_lane_synchronise(m, lane);
  qds_lane_leave(m, lane);
  if (status == QDS_OK) status = work;
  if (status == QDS_OK && t->to_slot == QDS_PLACE_DEVICE) qds_fences_clear(m, t->to);
  return status;
}

static void count_moves(qds_buffer_manager *m, const qds_transfer *transfers, int count) {
  pthread_mutex_lock(&m->lock);
  for (int i = 0; i < count; i++)
    m->statistics.moves[transfers[i].from_slot][transfers[i].to_slot] += transfers[i].bytes;
  pthread_mutex_unlock(&m->lock);
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
    status = stream ? copy_later(m, t, stream) : copy_now(m, t, 1);
  if (status == QDS_OK) count_moves(m, t, 1);
  return status;
}

qds_status qds_transfers_run(qds_buffer_manager *m, const qds_transfer *transfers, int count) {
  QDS_TRY(copy_now(m, transfers, count));
  count_moves(m, transfers, count);
  return QDS_OK;
}

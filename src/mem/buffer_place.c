#include "mem/buffer_internal.h"
#include "mem/pool_stream.h"
#include "mem/trace.h"
#include "qdsim/text.h"

static void count(qds_memory_count *c, size_t bytes) {
  c->current_bytes += bytes;
  c->current_blocks++;
  c->total_blocks++;
  if (c->current_bytes > c->peak_bytes) c->peak_bytes = c->current_bytes;
}

/* The limit of a place that has one here; the others are those of the heap and of the device pool. */
static size_t limit_of(const qds_buffer_manager *m, qds_place slot) {
  return slot == QDS_PLACE_PINNED ? m->pinned_limit : slot == QDS_PLACE_FILE ? m->file_limit : 0;
}

/* Grants the bytes before the memory is taken, so that threads cannot pass a limit together. */
static qds_status grant(const qds_buffer *b, qds_place slot) {
  qds_buffer_manager *m = b->manager;
  const size_t limit = limit_of(m, slot);
  pthread_mutex_lock(&m->lock);
  const size_t held = m->granted[slot];
  const int fits = !limit || (b->bytes <= limit && held <= limit - b->bytes);
  if (fits) m->granted[slot] += b->bytes;
  pthread_mutex_unlock(&m->lock);
  if (fits) return QDS_OK;
  char more[QDS_BYTES_TEXT], there[QDS_BYTES_TEXT], most[QDS_BYTES_TEXT];
  qds_format_bytes(b->bytes, more);
  qds_format_bytes(held, there);
  qds_format_bytes(limit, most);
  QDS_FAIL(QDS_ERROR_BUDGET,
           "memory budget exceeded: %s of %s memory for %s on top of %s pass the limit of %s", more,
           qds_place_name(slot), qds_buffer_name(b).text, there, most);
}

static void count_up(const qds_buffer *b, qds_place slot) {
  qds_buffer_manager *m = b->manager;
  pthread_mutex_lock(&m->lock);
  count(&m->statistics.places[slot], b->bytes);
  count(&b->tag->row.places[slot], b->bytes);
  pthread_mutex_unlock(&m->lock);
}

/* Before the memory goes: while it does, others may have it, who count it as theirs. */
static void count_down(const qds_buffer *b, qds_place slot) {
  qds_buffer_manager *m = b->manager;
  qds_memory_count *const counts[] = {&m->statistics.places[slot], &b->tag->row.places[slot]};
  pthread_mutex_lock(&m->lock);
  for (int i = 0; i < 2; i++) {
    counts[i]->current_bytes -= b->bytes;
    counts[i]->current_blocks--;
  }
  pthread_mutex_unlock(&m->lock);
}

static void withdraw(const qds_buffer *b, qds_place slot) {
  pthread_mutex_lock(&b->manager->lock);
  b->manager->granted[slot] -= b->bytes;
  pthread_mutex_unlock(&b->manager->lock);
}

/* From the pool of page-locked memory, counted under the host's limit. */
static qds_status take_pinned(qds_buffer_manager *m, size_t bytes, qds_copy *copy) {
  QDS_TRY(qds_accelerator_hold(m->accelerator, QDS_MEMORY_PINNED, bytes, QDS_BUFFER_TAG));
  const qds_status status = qds_best_fit_allocate(m->pinned, bytes, 0, &copy->block);
  if (status != QDS_OK) qds_accelerator_let_go(m->accelerator, QDS_MEMORY_PINNED, bytes, QDS_BUFFER_TAG);
  return status;
}

static qds_status take_of_kind(qds_buffer_manager *m, qds_memory_kind kind, size_t bytes, qds_copy *copy) {
  copy->kind = kind;
  QDS_TRY(qds_accelerator_hold(m->accelerator, kind, bytes, QDS_BUFFER_TAG));
  const qds_status status = qds_accelerator_allocate(m->accelerator, kind, bytes, &copy->block);
  if (status != QDS_OK) qds_accelerator_let_go(m->accelerator, kind, bytes, QDS_BUFFER_TAG);
  return status;
}

/* Managed memory is never more than the device has free: drivers would let it grow into the host's. Devices
 * without it get page-locked memory of the host that both sides address. */
static qds_status take_unified(qds_buffer_manager *m, size_t bytes, qds_copy *copy) {
  size_t free_bytes = 0, total = 0;
  QDS_TRY(qds_accelerator_memory(m->accelerator, &free_bytes, &total));
  if (bytes > free_bytes) {
    char more[QDS_BYTES_TEXT], there[QDS_BYTES_TEXT];
    qds_format_bytes(bytes, more);
    qds_format_bytes(free_bytes, there);
    QDS_FAIL(QDS_ERROR_MEMORY, "out of memory: %s of managed memory; the device has %s free", more, there);
  }
  const qds_status status = take_of_kind(m, QDS_MEMORY_MANAGED, bytes, copy);
  return status == QDS_ERROR_UNSUPPORTED ? take_of_kind(m, QDS_MEMORY_MAPPED, bytes, copy) : status;
}

/* An empty buffer has an address too. */
static size_t taken_bytes(const qds_buffer *b) {
  return b->bytes ? b->bytes : 1;
}

static qds_status take(qds_buffer *b, qds_place slot, qds_stream *stream, qds_copy *copy) {
  qds_buffer_manager *m = b->manager;
  const size_t bytes = taken_bytes(b);
  switch (slot) {
  case QDS_PLACE_HOST:
    return qds_allocate(m->allocator, bytes, 1, QDS_BUFFER_TAG, __FILE__, __LINE__, &copy->block);
  case QDS_PLACE_PINNED:
    return take_pinned(m, bytes, copy);
  case QDS_PLACE_UNIFIED:
    return take_unified(m, bytes, copy);
  case QDS_PLACE_DEVICE: {
    qds_stream *lane = qds_lane_enter(m, stream);
    const qds_status status = qds_stream_pool_allocate(m->accelerator->pool, lane, bytes, QDS_BUFFER_TAG,
                                                       __FILE__, __LINE__, &copy->block);
    qds_lane_leave(m, lane);
    return status;
  }
  default:
    return qds_spill_file_open(m->folder, b->bytes, &copy->file);
  }
}

static void note_taken(const qds_buffer *b, qds_place slot) {
  count_up(b, slot);
  if (slot == QDS_PLACE_PINNED || slot == QDS_PLACE_UNIFIED)
    qds_trace_take(b->manager->accelerator->trace, b->copies[slot].block, taken_bytes(b), b->tag->tag,
                   slot == QDS_PLACE_PINNED ? QDS_TRACE_PINNED : QDS_TRACE_UNIFIED);
}

qds_status qds_copy_take(qds_buffer *b, qds_place slot, qds_stream *stream) {
  qds_copy *copy = &b->copies[slot];
  if (copy->leaving) { /* it is still there */
    copy->leaving = 0;
    pthread_mutex_lock(&b->manager->lock);
    b->manager->leaving--;
    pthread_mutex_unlock(&b->manager->lock);
  }
  if (copy->held) return QDS_OK;
  (void)qds_copies_reap(b->manager, 0);
  QDS_TRY(grant(b, slot));
  const qds_status status = take(b, slot, stream, copy);
  if (status != QDS_OK) {
    withdraw(b, slot);
    return status;
  }
  note_taken(b, slot);
  copy->held = 1;
  copy->valid = 0;
  copy->batch = 0;
  return QDS_OK;
}

/* Device memory goes back in the order of a lane, which waits for the work on it; the thread does not. */
static void give_device(qds_buffer_manager *m, qds_copy *copy) {
  qds_stream *lane = qds_lane_enter(m, &m->returning.stream);
  if (qds_fences_wait(copy, 1, lane) != QDS_OK) (void)qds_fences_wait(copy, 1, NULL);
  qds_stream_release(lane, copy->block);
  qds_lane_leave(m, lane);
}

static void give_of_kind(qds_buffer_manager *m, qds_memory_kind kind, size_t bytes, const qds_copy *copy) {
  qds_trace_give(m->accelerator->trace, copy->block);
  if (kind == QDS_MEMORY_PINNED)
    (void)qds_best_fit_release(m->pinned, copy->block); /* it is one of the pool's */
  else
    qds_accelerator_release(m->accelerator, kind, copy->block);
  qds_accelerator_let_go(m->accelerator, kind, bytes, QDS_BUFFER_TAG);
}

static void give(qds_buffer *b, qds_place slot) {
  qds_buffer_manager *m = b->manager;
  qds_copy *copy = &b->copies[slot];
  count_down(b, slot);
  if (slot == QDS_PLACE_DEVICE)
    give_device(m, copy);
  else if (slot == QDS_PLACE_FILE)
    qds_spill_file_close(&copy->file);
  else if (slot == QDS_PLACE_HOST)
    qds_release(copy->block);
  else
    give_of_kind(m, slot == QDS_PLACE_PINNED ? QDS_MEMORY_PINNED : copy->kind, taken_bytes(b), copy);
  qds_fences_clear(m, copy);
  withdraw(b, slot);
  *copy = (qds_copy){0};
}

void qds_copy_give(qds_buffer *b, qds_place slot) {
  qds_copy *copy = &b->copies[slot];
  if (!copy->held || copy->leaving) return;
  copy->valid = 0;
  if (slot == QDS_PLACE_DEVICE || qds_fences_done(copy)) {
    give(b, slot);
    return;
  }
  copy->leaving = 1;
  pthread_mutex_lock(&b->manager->lock);
  b->manager->leaving++;
  pthread_mutex_unlock(&b->manager->lock);
}

static int has_leaving(const qds_buffer *b) {
  for (int i = 0; i < QDS_PLACES; i++)
    if (b->copies[i].leaving) return 1;
  return 0;
}

/* Claims the next buffer after `b` that has something to give back. Call with the lock held. */
static qds_buffer *claim_leaving(qds_buffer_manager *m, qds_buffer *b) {
  for (; b != &m->ring; b = b->older)
    if (!b->claimed && has_leaving(b)) {
      b->claimed = 1;
      return b;
    }
  return NULL;
}

static size_t reap_buffer(qds_buffer *b, int wait) {
  size_t given = 0;
  for (int i = 0; i < QDS_PLACES; i++) {
    qds_copy *copy = &b->copies[i];
    if (!copy->leaving) continue;
    if (wait) (void)qds_fences_wait(copy, 1, NULL); /* work that failed is over too */
    if (!wait && !qds_fences_done(copy)) continue;
    give(b, (qds_place)i);
    given++;
  }
  return given;
}

/* The ring may change while the lock is off, so the walk goes on from the claimed buffer, which stays. */
size_t qds_copies_reap(qds_buffer_manager *m, int wait) {
  size_t given = 0;
  pthread_mutex_lock(&m->lock);
  qds_buffer *b = m->leaving ? claim_leaving(m, m->ring.older) : NULL;
  while (b) {
    pthread_mutex_unlock(&m->lock);
    const size_t n = reap_buffer(b, wait);
    pthread_mutex_lock(&m->lock);
    given += n;
    m->leaving -= n;
    qds_buffer *next = b->older;
    b->claimed = 0;
    if (b->dead && !has_leaving(b)) qds_buffer_unlink(b);
    pthread_cond_broadcast(&m->changed);
    b = claim_leaving(m, next);
  }
  pthread_mutex_unlock(&m->lock);
  return given;
}

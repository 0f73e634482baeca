/* Making room: buffers that nobody holds go down the chain device (or unified), pinned, host, file, the least
 * recently used first. A copy whose contents lie elsewhere too is given back without copying; it does not go
 * before its turn, or what is used all the time would be fetched all the time. */
#include <stdio.h>
#include <string.h>

#include "mem/buffer_internal.h"

static int is_device_side(qds_place slot) {
  return slot == QDS_PLACE_DEVICE || slot == QDS_PLACE_UNIFIED;
}

/* The places below, in order; returns how many. Where the host is full, so is its page-locked memory. */
static int chain_below(const qds_buffer *b, qds_place from, int host_is_full, qds_place below[3]) {
  int n = 0;
  below[0] = QDS_PLACE_FILE;
  if (host_is_full) return 1;
  const int pinned = b->manager->accelerator && b->strategy != QDS_MEM_CPU_ONLY;
  if (pinned && is_device_side(from)) below[n++] = QDS_PLACE_PINNED;
  if (from != QDS_PLACE_HOST) below[n++] = QDS_PLACE_HOST;
  below[n++] = QDS_PLACE_FILE;
  return n;
}

static void note_spills(qds_buffer *const *buffers, int count) {
  qds_buffer_manager *m = buffers[0]->manager;
  pthread_mutex_lock(&m->lock);
  m->statistics.spill_waits++;
  m->statistics.spills += (size_t)count;
  for (int i = 0; i < count; i++) m->statistics.spilled_bytes += buffers[i]->bytes;
  pthread_mutex_unlock(&m->lock);
  for (int i = 0; i < count; i++) buffers[i]->spilled = 1;
}

static void count_refusal(qds_buffer_manager *m) {
  pthread_mutex_lock(&m->lock);
  m->statistics.refused_spills++;
  pthread_mutex_unlock(&m->lock);
}

/* Moves the contents of a claimed buffer out of `from`. The old copy goes only when the new one is whole. */
static qds_status move_down(qds_buffer *b, qds_place from, int host_is_full) {
  qds_place below[3];
  const int n = chain_below(b, from, host_is_full, below);
  qds_status status = QDS_OK;
  for (int i = 0; i < n; i++) {
    status = qds_buffer_bring(b, below[i], QDS_ACCESS_READ, NULL, 1);
    if (status != QDS_OK) continue;
    qds_buffer_settle(b, below[i], QDS_ACCESS_READ);
    note_spills(&b, 1);
    return QDS_OK;
  }
  count_refusal(b->manager);
  return status;
}

static qds_status vacate(qds_buffer *b, qds_place from, int host_is_full) {
  if (b->copies[from].valid && qds_buffer_source(b, from) == QDS_PLACES)
    QDS_TRY(move_down(b, from, host_is_full));
  qds_copy_give(b, from);
  return QDS_OK;
}

qds_status qds_buffer_vacate(qds_buffer *b, qds_place from) {
  return vacate(b, from, 0);
}

/* The buffer whose copy at the place is the least recently used, memory without contents before all; not one
 * that could not be moved since this search began. Call with the lock held. */
static qds_buffer *choose(qds_buffer_manager *m, qds_place place, uint64_t search) {
  qds_buffer *chosen = NULL;
  for (qds_buffer *b = m->ring.newer; b != &m->ring; b = b->newer) {
    const qds_copy *copy = &b->copies[place];
    if (b->claimed || b->dead || b->brackets || b->refused >= search) continue;
    if (!copy->held || copy->leaving) continue;
    if (!chosen || copy->used < chosen->copies[place].used) chosen = b;
  }
  return chosen;
}

typedef struct {
  qds_buffer_manager *manager;
  uint64_t number;
  size_t freed;
  int one_by_one, host_is_full;
  qds_status status; /* of the last buffer that could not be moved */
  char reason[512];
} search;

static search begin_search(qds_buffer_manager *m) {
  pthread_mutex_lock(&m->lock);
  const search s = {.manager = m, .number = ++m->search};
  pthread_mutex_unlock(&m->lock);
  return s;
}

static qds_buffer *claim_victim(const search *s, qds_place place) {
  qds_buffer_manager *m = s->manager;
  pthread_mutex_lock(&m->lock);
  qds_buffer *b = choose(m, place, s->number);
  if (b) b->claimed = 1;
  pthread_mutex_unlock(&m->lock);
  return b;
}

static void unclaim_victim(qds_buffer *b, int refused) {
  qds_buffer_manager *m = b->manager;
  pthread_mutex_lock(&m->lock);
  b->claimed = 0;
  if (refused) b->refused = m->search;
  pthread_cond_broadcast(&m->changed);
  pthread_mutex_unlock(&m->lock);
}

static void spill_alone(search *s, qds_buffer *b, qds_place place) {
  s->status = vacate(b, place, s->host_is_full);
  if (s->status == QDS_OK)
    s->freed += b->bytes;
  else
    snprintf(s->reason, sizeof s->reason, "%s cannot be moved: %s", qds_buffer_name(b).text,
             qds_last_error()->message);
  unclaim_victim(b, s->status != QDS_OK);
}

/* --- several at once ------------------------------------------------------------------------------------ */

/* Buffers that go from the device to page-locked memory together, with one wait for all their copies. Only as
 * many as that memory has room for: to make room there, others must not be claimed. */
enum { BATCH = 16 };
typedef struct {
  qds_buffer *buffers[BATCH];
  qds_transfer transfers[BATCH];
  int fresh[BATCH]; /* the page-locked memory was taken for this */
  int count;
  size_t bytes;
} batch;

/* Adds a claimed buffer whose contents lie only at the place, if there is page-locked memory for it. */
static int join(const search *s, batch *together, qds_buffer *b, qds_place place) {
  qds_copy *to = &b->copies[QDS_PLACE_PINNED], *from = &b->copies[place];
  qds_place below[3];
  if (!is_device_side(place) || chain_below(b, place, s->host_is_full, below) < 3) return 0;
  (void)qds_copy_is_whole(b->manager, to);
  if (!from->valid || from->batch || qds_buffer_source(b, place) != QDS_PLACES) return 0;
  const int i = together->count, fresh = !to->held;
  if (qds_copy_take(b, QDS_PLACE_PINNED, NULL) != QDS_OK) return 0;
  to->batch = 0;
  together->buffers[i] = b;
  together->fresh[i] = fresh;
  together->transfers[i] = (qds_transfer){to, from, QDS_PLACE_PINNED, place, 0, 0, b->bytes};
  together->bytes += b->bytes;
  together->count++;
  return 1;
}

static void leave(search *s, qds_buffer *b, qds_place place) {
  qds_buffer_settle(b, QDS_PLACE_PINNED, QDS_ACCESS_READ);
  qds_copy_give(b, place);
  s->freed += b->bytes;
}

/* When one copy fails nobody knows which, so from then on each buffer is moved on its own. */
static void move_batch(search *s, const batch *together, qds_place place) {
  if (together->count == 0) return;
  const int moved = qds_transfers_run(s->manager, together->transfers, together->count) == QDS_OK;
  if (moved)
    note_spills(together->buffers, together->count);
  else
    s->one_by_one = 1;
  for (int i = 0; i < together->count; i++) {
    qds_buffer *b = together->buffers[i];
    if (moved)
      leave(s, b, place);
    else if (together->fresh[i])
      qds_copy_give(b, QDS_PLACE_PINNED);
    unclaim_victim(b, 0);
  }
}

/* 0: nothing more can be moved out of the place. */
static int spill_some(search *s, qds_place place, size_t wanted) {
  batch together = {.count = 0};
  qds_buffer *b = NULL;
  while (together.count < BATCH && together.bytes < wanted && (b = claim_victim(s, place)) &&
         !s->one_by_one && join(s, &together, b, place))
    b = NULL;
  move_batch(s, &together, place);
  if (b) spill_alone(s, b, place);
  return together.count > 0 || b;
}

static void spill_until(search *s, qds_place place, size_t bytes) {
  while (s->freed < bytes && spill_some(s, place, bytes - s->freed)) {
  }
}

/* Host and page-locked memory share a limit: what is moved for its sake has to leave both. */
static int is_host_full(const qds_buffer_manager *m, qds_place slot, size_t bytes, qds_status status) {
  const qds_accelerator *a = m->accelerator;
  return status == QDS_ERROR_BUDGET && slot != QDS_PLACE_DEVICE && a && a->heap &&
         !qds_heap_has_room(a->heap, bytes);
}

static void spill_of_host(search *s, qds_place first, size_t bytes) {
  static const qds_place both[] = {QDS_PLACE_HOST, QDS_PLACE_PINNED};
  for (int i = 0; i < 2; i++)
    if (both[i] != first) spill_until(s, both[i], bytes);
}

int qds_buffer_make_room(qds_buffer_manager *m, qds_place slot, size_t bytes, qds_status status) {
  if (status != QDS_ERROR_MEMORY && status != QDS_ERROR_BUDGET) return 0;
  const qds_error why = *qds_last_error();
  char message[768];
  snprintf(message, sizeof message, "%s", why.message);
  if (qds_copies_reap(m, 1) > 0) return 1;
  search s = begin_search(m);
  s.host_is_full = is_host_full(m, slot, bytes, status);
  if (m->spill && slot != QDS_PLACE_FILE) spill_until(&s, slot, bytes);
  if (m->spill && s.host_is_full) spill_of_host(&s, slot, bytes);
  /* Managed memory and the device's own come from the same chips. */
  if (m->spill && is_device_side(slot))
    spill_until(&s, slot == QDS_PLACE_DEVICE ? QDS_PLACE_UNIFIED : QDS_PLACE_DEVICE, bytes);
  (void)qds_copies_reap(m, 1);
  if (s.freed > 0) return 1;
  (void)qds_raise(status, why.file, why.line, why.native, "%s%s%s", message, *s.reason ? "; " : "", s.reason);
  return 0;
}

qds_status qds_buffer_record(qds_buffer_manager *m, size_t bytes, void **out) {
  qds_status status;
  do status = qds_allocate(m->allocator, bytes, 1, "buffer records", __FILE__, __LINE__, out);
  while (status != QDS_OK && qds_buffer_make_room(m, QDS_PLACE_HOST, bytes, status));
  return status;
}

typedef struct {
  qds_buffer_manager *manager;
  qds_buffer *buffer;
  qds_place place;
  size_t bytes, freed;
  qds_status lack;
} request;

static qds_status spill_any(void *data) {
  request *r = data;
  search s = begin_search(r->manager);
  spill_until(&s, r->place, r->bytes);
  (void)qds_copies_reap(r->manager, 1);
  r->freed = s.freed;
  if (s.freed == 0 && s.status != QDS_OK) QDS_FAIL(s.status, "%s", s.reason);
  return QDS_OK;
}

qds_status qds_buffer_manager_spill(qds_buffer_manager *m, qds_place place, size_t bytes, size_t *freed) {
  *freed = 0;
  QDS_REQUIRE(place >= 0 && place < QDS_PLACE_FILE,
              "buffers are spilled from host, pinned, device or unified memory");
  request r = {.manager = m, .place = place, .bytes = bytes};
  const qds_status status = qds_buffer_work_run(m, &(qds_buffer_work){.run = spill_any, .data = &r});
  *freed = r.freed;
  return status;
}

static qds_status reclaim(void *data) {
  const request *r = data;
  return qds_buffer_make_room(r->manager, QDS_PLACE_DEVICE, r->bytes, r->lack) ? QDS_OK : r->lack;
}

qds_status qds_buffer_manager_reclaim(void *manager, size_t bytes, qds_status lack) {
  request r = {.manager = manager, .bytes = bytes, .lack = lack};
  return qds_buffer_work_run(manager, &(qds_buffer_work){.run = reclaim, .data = &r});
}

static qds_status spill_this(void *data) {
  const request *r = data;
  qds_buffer *b = r->buffer;
  QDS_REQUIRE(!b->brackets, "%s: spilled while it is acquired; release it first", qds_buffer_name(b).text);
  const int written = b->copies[r->place].valid || qds_buffer_source(b, r->place) != QDS_PLACES;
  if (written) {
    QDS_TRY(qds_buffer_bring(b, r->place, QDS_ACCESS_READ, NULL, 1));
    qds_buffer_settle(b, r->place, QDS_ACCESS_READ);
  }
  for (int i = 0; i < QDS_PLACES; i++)
    if (!written || i != (int)r->place) qds_copy_give(b, (qds_place)i);
  return QDS_OK;
}

qds_status qds_buffer_spill(qds_buffer *b, qds_place place) {
  QDS_REQUIRE(b, "qds_buffer_spill: no buffer");
  QDS_REQUIRE(place == QDS_PLACE_HOST || place == QDS_PLACE_PINNED || place == QDS_PLACE_FILE,
              "%s: a buffer is spilled to pinned, host or file", qds_buffer_name(b).text);
  const int pinned = b->manager->accelerator && b->strategy != QDS_MEM_CPU_ONLY;
  if (place == QDS_PLACE_PINNED && !pinned) place = QDS_PLACE_HOST;
  request r = {.buffer = b, .place = place};
  return qds_buffer_work_run(b->manager, &(qds_buffer_work){.buffers = {b}, .run = spill_this, .data = &r});
}

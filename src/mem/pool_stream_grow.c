#include "mem/pool_stream_parts.h"
#include "qdsim/text.h"

/* Segments grow with the pool, so that their number stays small; the largest step is a sixteenth of what is
 * held, so that little is held in vain. */
static const size_t least_segment = (size_t)16 << 20, most_segment = (size_t)1 << 30;
enum { SEGMENT_FRACTION = 16, BATCH = 32 };
static const double rounding = 0.01; /* of the slack: sizes are rounded up before they are compared */
static const size_t always_allowed = (size_t)64 << 20; /* where a part of little is too little */

/* --- giving back ---------------------------------------------------------------------------------------- */

typedef struct {
  void *begin;
  size_t bytes;
} segment;

/* Takes segments that nothing uses out of the records. Call with the lock. */
static int collect_idle(qds_stream_pool *pool, size_t wanted, segment batch[BATCH]) {
  int count = 0;
  size_t taken = 0;
  qds_range *range = qds_range_map_largest(&pool->map, POOL_COMMON);
  while (range && taken < wanted && count < BATCH) {
    qds_range *next = qds_range_previous_free(&pool->map, range);
    if (next && next->owner != POOL_COMMON) next = NULL;
    if (qds_range_is_segment(range)) {
      batch[count++] = (segment){(void *)range->begin, range->bytes};
      taken += range->bytes;
      qds_range_map_remove_segment(&pool->map, range);
    }
    range = next;
  }
  pool->statistics.trims += (size_t)count;
  return count;
}

/* Call with the lock, which is given up meanwhile. A segment counts as held until the device has it. */
static size_t release_idle(qds_stream_pool *pool, size_t wanted) {
  const qds_provider *provider = &pool->provider;
  segment batch[BATCH];
  size_t went = 0;
  for (int count; went < wanted && (count = collect_idle(pool, wanted - went, batch));) {
    size_t bytes = 0;
    pthread_mutex_unlock(&pool->lock);
    for (int i = 0; i < count; i++) {
      provider->table->release(provider->state, batch[i].begin, batch[i].bytes);
      bytes += batch[i].bytes;
    }
    pthread_mutex_lock(&pool->lock);
    pool->statistics.reserved_bytes -= bytes;
    went += bytes;
  }
  return went;
}

/* Records every event and sets all free ranges aside. Call with the lock. */
static qds_status set_aside(qds_stream_pool *pool) {
  for (pool_lane *lane = pool->lanes; lane; lane = lane->next) {
    qds_pool_flush(pool, lane);
    QDS_TRY(qds_pool_record(pool, lane));
    qds_pool_assign_all(pool, lane->owner, POOL_PENDING);
  }
  return QDS_OK;
}

/* Lanes are never taken out of the list, so it may be read without the lock from where it began. */
static qds_status wait_for_lanes(const qds_stream_pool *pool, const pool_lane *lanes) {
  const qds_accelerator *a = pool->accelerator;
  for (const pool_lane *lane = lanes; lane; lane = lane->next)
    QDS_TRY(qds_backend_of(a)->event_synchronise(a->state, lane->event));
  return QDS_OK;
}

qds_status qds_pool_trim(qds_stream_pool *pool, size_t wanted, size_t *went) {
  *went = 0;
  pthread_mutex_lock(&pool->trimming);
  pthread_mutex_lock(&pool->lock);
  qds_status status = set_aside(pool);
  const pool_lane *lanes = pool->lanes;
  pthread_mutex_unlock(&pool->lock);
  /* What was set aside stays so when the wait fails: nobody knows what still uses it. */
  if (status == QDS_OK) status = wait_for_lanes(pool, lanes);
  if (status == QDS_OK) {
    pthread_mutex_lock(&pool->lock);
    qds_pool_assign_all(pool, POOL_PENDING, POOL_COMMON);
    *went = pool->space.bytes ? qds_pieces_release(pool, wanted) : release_idle(pool, wanted);
    pthread_mutex_unlock(&pool->lock);
  }
  pthread_mutex_unlock(&pool->trimming);
  return status;
}

qds_status qds_stream_pool_trim(qds_stream_pool *pool) {
  size_t went;
  return qds_pool_trim(pool, SIZE_MAX, &went);
}

/* --- refusing ------------------------------------------------------------------------------------------- */

qds_status qds_pool_refuse(const qds_stream_pool *pool, const pool_request *r) {
  char more[QDS_BYTES_TEXT], used[QDS_BYTES_TEXT], held[QDS_BYTES_TEXT], limit[QDS_BYTES_TEXT];
  qds_format_bytes(r->bytes, more);
  qds_format_bytes(pool->statistics.used_bytes, used);
  qds_format_bytes(pool->statistics.reserved_bytes + pool->growing + pool->outside, held);
  qds_format_bytes(pool->limit, limit);
  return qds_raise(
      QDS_ERROR_BUDGET, r->file, r->line, 0,
      "device memory budget exceeded: %s for %s; %s are in use, %s are held with what lies between "
      "them, and the limit is %s; raise the limit, or use fewer nodes or states",
      more, r->tag, used, held, limit);
}

static int hold(qds_stream_pool *pool, size_t bytes) {
  pthread_mutex_lock(&pool->lock);
  const size_t held = pool->statistics.reserved_bytes + pool->growing + pool->outside;
  const int fits = !pool->limit || (bytes <= pool->limit && held <= pool->limit - bytes);
  if (fits) pool->outside += bytes;
  pthread_mutex_unlock(&pool->lock);
  return fits;
}

qds_status qds_stream_pool_hold(qds_stream_pool *pool, size_t bytes, const char *tag) {
  if (hold(pool, bytes)) return QDS_OK;
  QDS_TRY(qds_stream_pool_trim(pool));
  if (hold(pool, bytes)) return QDS_OK;
  const pool_request r = {.bytes = bytes, .tag = tag, .file = __FILE__, .line = __LINE__};
  return qds_pool_refuse(pool, &r);
}

void qds_stream_pool_let_go(qds_stream_pool *pool, size_t bytes) {
  pthread_mutex_lock(&pool->lock);
  pool->outside -= bytes;
  pthread_mutex_unlock(&pool->lock);
}

qds_status qds_pool_explain(qds_stream_pool *pool, const pool_request *r, qds_status status) {
  if (status != QDS_ERROR_MEMORY) return status;
  char more[QDS_BYTES_TEXT], used[QDS_BYTES_TEXT], held[QDS_BYTES_TEXT];
  qds_stream_pool_statistics s;
  qds_stream_pool_statistics_read(pool, &s);
  qds_format_bytes(r->bytes, more);
  qds_format_bytes(s.used_bytes, used);
  qds_format_bytes(s.reserved_bytes, held);
  return qds_raise(
      status, r->file, r->line, qds_last_error()->native,
      "out of device memory: %s for %s; %s are in use, %s are held with what lies between them; %s", more,
      r->tag, used, held, qds_last_error()->message);
}

/* --- growing -------------------------------------------------------------------------------------------- */

static size_t without(size_t bytes, size_t taken) {
  return bytes > taken ? bytes - taken : 0;
}

size_t qds_pool_room(const qds_stream_pool *pool, const pool_request *r, int beyond) {
  const size_t used = pool->statistics.used_bytes + r->size, peak = pool->statistics.peak_used_bytes;
  const size_t held = pool->statistics.reserved_bytes + pool->growing,
               own_limit = pool->limit - pool->outside;
  const double bound = (pool->slack - rounding) * (double)(used > peak ? used : peak);
  size_t allowed = bound < (double)PTRDIFF_MAX ? (size_t)bound : SIZE_MAX;
  if (allowed < always_allowed) allowed = always_allowed;
  if (beyond) allowed = SIZE_MAX;
  if (pool->limit && own_limit < allowed) allowed = own_limit;
  return without(allowed, held);
}

size_t qds_pool_step(const qds_stream_pool *pool) {
  const size_t wanted = pool->statistics.reserved_bytes / SEGMENT_FRACTION;
  if (wanted <= least_segment) return least_segment;
  if (wanted >= most_segment) return most_segment;
  return (size_t)1 << (63 - __builtin_clzll(wanted));
}

/* A part of a trim in the middle of growing, with the records that growing needs set aside. Called and left
 * with the lock. */
static qds_status trim_unlocked(qds_stream_pool *pool, size_t wanted) {
  size_t went;
  qds_range *kept = qds_range_map_hold(&pool->map, QDS_RANGES_PER_BLOCK);
  pthread_mutex_unlock(&pool->lock);
  const qds_status status = qds_pool_trim(pool, wanted, &went);
  pthread_mutex_lock(&pool->lock);
  qds_range_map_put_back(&pool->map, kept);
  return status;
}

/* Asks the device, and once more for the least after a trim. Called without the lock. */
static qds_status ask_device(qds_stream_pool *pool, size_t least, size_t *bytes, void **out) {
  const qds_provider *provider = &pool->provider;
  const qds_status status = provider->table->allocate(provider->state, *bytes, out);
  if (status != QDS_ERROR_MEMORY) return status;
  size_t went;
  QDS_TRY(qds_pool_trim(pool, SIZE_MAX, &went));
  if (!went && *bytes == least) return status;
  pthread_mutex_lock(&pool->lock);
  pool->growing -= *bytes - least;
  pthread_mutex_unlock(&pool->lock);
  *bytes = least;
  return provider->table->allocate(provider->state, least, out);
}

static void add_segment(qds_stream_pool *pool, void *begin, size_t bytes, size_t size, qds_range **out) {
  qds_stream_pool_statistics *s = &pool->statistics;
  qds_range *range = qds_range_map_add_segment(&pool->map, (uintptr_t)begin, bytes);
  *out = qds_range_map_take(&pool->map, range, size, POOL_UNIT);
  s->reserved_bytes += bytes;
  s->growths++;
  if (s->reserved_bytes > s->peak_reserved_bytes) s->peak_reserved_bytes = s->reserved_bytes;
}

qds_status qds_pool_grow(qds_stream_pool *pool, pool_lane *own, const pool_request *r, qds_range **out) {
  size_t least, bytes;
  void *begin = NULL;
  *out = NULL;
  if (pool->space.bytes) return qds_pieces_grow(pool, own, r, out);
  QDS_TRY(qds_provider_round(&pool->provider, r->size, &least));
  QDS_TRY(qds_provider_round(&pool->provider, r->size > qds_pool_step(pool) ? r->size : qds_pool_step(pool),
                             &bytes));
  if (bytes > qds_pool_room(pool, r, 0)) bytes = least;
  const size_t vain = without(bytes, qds_pool_room(pool, r, 0));
  const int refused = bytes > qds_pool_room(pool, r, 1);
  if (refused || (vain && pool->map.idle_bytes)) {
    QDS_TRY(trim_unlocked(pool, refused ? SIZE_MAX : vain));
    qds_range *range = qds_pool_find(pool, own, r->size, 0);
    if (range) {
      *out = qds_range_map_take(&pool->map, range, r->size, POOL_UNIT);
      return QDS_OK;
    }
    if (bytes > qds_pool_room(pool, r, 1)) return qds_pool_refuse(pool, r);
  }
  pool->growing += bytes;
  qds_range *kept = qds_range_map_hold(&pool->map, QDS_RANGES_PER_BLOCK);
  pthread_mutex_unlock(&pool->lock);
  const qds_status status = qds_pool_explain(pool, r, ask_device(pool, least, &bytes, &begin));
  pthread_mutex_lock(&pool->lock);
  qds_range_map_put_back(&pool->map, kept);
  pool->growing -= bytes;
  if (status == QDS_OK) add_segment(pool, begin, bytes, r->size, out);
  return status;
}

#include "mem/pool_stream.h"

#include "mem/pool_stream_parts.h"
#include "mem/provider_device.h"
#include "mem/trace.h"

static void dismantle(qds_stream_pool *pool) {
  qds_pool_destroy_lanes(pool);
  qds_range_map_destroy(&pool->map);
  qds_heap_destroy(pool->records, NULL, NULL);
  pthread_mutex_destroy(&pool->lock);
  pthread_mutex_destroy(&pool->trimming);
  qds_release(pool);
}

qds_status qds_stream_pool_create(qds_accelerator *accelerator, size_t limit, qds_stream_pool **out) {
  *out = NULL;
  qds_stream_pool *pool = NULL;
  QDS_TRY(QDS_NEW_ZERO(accelerator->allocator, 1, "device pool", &pool));
  pool->accelerator = accelerator;
  pool->provider = qds_provider_device(accelerator, QDS_MEMORY_DEVICE);
  pool->limit = limit;
  pool->slack = QDS_POOL_SLACK;
  pthread_mutex_init(&pool->trimming, NULL);
  pthread_mutex_init(&pool->lock, NULL);
  qds_status status = qds_heap_create(0, &pool->records);
  if (status == QDS_OK) status = qds_pieces_open(pool);
  if (status == QDS_OK)
    *out = pool;
  else
    dismantle(pool);
  return status;
}

qds_status qds_stream_pool_check_slack(double slack) {
  QDS_REQUIRE(slack == 0 || slack >= 1,
              "device pool: slack %g; 1 or more is allowed, infinity for no bound, 0 for %g", slack,
              QDS_POOL_SLACK);
  return QDS_OK;
}

qds_status qds_stream_pool_set_slack(qds_stream_pool *pool, double slack) {
  QDS_TRY(qds_stream_pool_check_slack(slack));
  pthread_mutex_lock(&pool->lock);
  pool->slack = slack == 0 ? QDS_POOL_SLACK : slack;
  pthread_mutex_unlock(&pool->lock);
  return QDS_OK;
}

typedef struct {
  qds_leak_fn leak;
  void *user;
} leak_report;

static void report_leak(void *user, qds_range *range) {
  const leak_report *report = user;
  const pool_block *block = range->note;
  if (block->tag && report->leak)
    report->leak(report->user, block->tag, block->bytes, block->file, block->line);
}

/* A device that is broken does not hold back the end. */
static void give_back_segments(qds_stream_pool *pool) {
  const qds_provider *provider = &pool->provider;
  while (pool->map.used_root) qds_range_map_give_back(&pool->map, pool->map.used_root, POOL_COMMON, 0);
  for (pool_lane *lane = pool->lanes; lane; lane = lane->next)
    qds_pool_assign_all(pool, lane->owner, POOL_COMMON);
  qds_pool_assign_all(pool, POOL_PENDING, POOL_COMMON);
  for (qds_range *range; (range = qds_range_map_smallest(&pool->map, POOL_COMMON));) {
    void *begin = (void *)range->begin;
    const size_t bytes = range->bytes;
    qds_range_map_remove_segment(&pool->map, range);
    provider->table->release(provider->state, begin, bytes);
  }
}

void qds_stream_pool_destroy(qds_stream_pool *pool, qds_leak_fn leak, void *user) {
  if (!pool) return;
  leak_report report = {leak, user};
  qds_range_visit(pool->map.used_root, report_leak, &report);
  (void)qds_stream_pool_trim(pool);
  if (pool->space.bytes)
    qds_pieces_close(pool);
  else
    give_back_segments(pool);
  dismantle(pool);
}

/* --- allocation ----------------------------------------------------------------------------------------- */

/* Large sizes are rounded up by at most 1/64, so that blocks leave few odd pieces behind. */
static qds_status round_up(pool_request *r) {
  if (r->bytes > PTRDIFF_MAX / 4)
    return qds_raise(QDS_ERROR_MEMORY, r->file, r->line, 0,
                     "out of device memory: %zu bytes for %s pass the address range", r->bytes, r->tag);
  if (r->bytes <= POOL_SMALL) {
    qds_pool_bin(r->bytes ? r->bytes : 1, &r->size);
    return QDS_OK;
  }
  const size_t step = (size_t)1 << (63 - __builtin_clzll(r->bytes) - 6);
  r->size = (r->bytes + step - 1) & ~(step - 1);
  return QDS_OK;
}

/* A used range without a record, from what is free or from new memory. Call with the lock. */
static qds_status take_range(qds_stream_pool *pool, pool_lane *lane, const pool_request *r, qds_range **out) {
  qds_range *range = qds_pool_find(pool, lane, r->size, qds_pool_room(pool, r, 0));
  if (!range) {
    const qds_status status = qds_pool_grow(pool, lane, r, out);
    const int lacking = status == QDS_ERROR_MEMORY || status == QDS_ERROR_BUDGET;
    if (!lacking || pool->map.spares < QDS_RANGES_PER_BLOCK) return status;
    /* What other streams still work on is better than nothing. */
    range = qds_pool_find(pool, lane, r->size, 0);
    if (!range) return status;
  }
  *out = qds_range_map_take(&pool->map, range, r->size, POOL_UNIT);
  return QDS_OK;
}

/* Call with the lock. */
static qds_status take_block(qds_stream_pool *pool, pool_lane *lane, const pool_request *r,
                             pool_block **out) {
  if (r->size <= POOL_SMALL && (*out = qds_pool_unpark(pool, lane, r->size))) return QDS_OK;
  pool_block *block = qds_pool_take_record(pool);
  const qds_status status = take_range(pool, lane, r, &block->range);
  if (status == QDS_OK) {
    block->range->note = block;
    *out = block;
  } else {
    qds_pool_put_record(pool, block);
  }
  return status;
}

/* Call with the lock. */
static void count_block(qds_stream_pool *pool, pool_block *block, const pool_request *r) {
  qds_stream_pool_statistics *s = &pool->statistics;
  block->tag = r->tag;
  block->file = r->file;
  block->line = r->line;
  block->bytes = r->bytes;
  block->row = qds_tag_table_find(&pool->tags, r->tag);
  qds_memory_row_add(&pool->tags.rows[block->row], r->bytes);
  s->blocks++;
  s->total_blocks++;
  s->used_bytes += r->bytes;
  if (s->used_bytes > s->peak_used_bytes) s->peak_used_bytes = s->used_bytes;
}

qds_status qds_stream_pool_allocate(qds_stream_pool *pool, qds_stream *stream, size_t bytes, const char *tag,
                                    const char *file, int line, void **out) {
  pool_request r = {.bytes = bytes, .tag = tag, .file = file, .line = line};
  pool_lane *lane = NULL;
  pool_block *block = NULL;
  *out = NULL;
  QDS_TRY(round_up(&r));
  QDS_TRY(qds_pool_enter_with_records(pool, stream->native, &lane));
  const qds_status status = take_block(pool, lane, &r, &block);
  if (status == QDS_OK) {
    count_block(pool, block, &r);
    *out = (void *)block->range->begin;
  }
  pthread_mutex_unlock(&pool->lock);
  if (status == QDS_OK) qds_trace_take(pool->accelerator->trace, *out, bytes, tag, QDS_TRACE_DEVICE);
  return status;
}

/* --- release -------------------------------------------------------------------------------------------- */

/* Call with the lock. lane NULL: nothing uses the block. */
static void give_back(qds_stream_pool *pool, pool_lane *lane, pool_block *block) {
  qds_memory_row_remove(&pool->tags.rows[block->row], block->bytes);
  pool->statistics.blocks--;
  pool->statistics.used_bytes -= block->bytes;
  if (lane && block->range->bytes <= POOL_SMALL) {
    qds_pool_park(pool, lane, block);
    return;
  }
  qds_range_map_give_back(&pool->map, block->range, lane ? lane->owner : POOL_COMMON, 0);
  qds_pool_put_record(pool, block);
  if (!lane) return;
  lane->dirty = 1;
  if (lane->eager == 0) return;
  lane->eager--;
  /* An event that cannot be recorded now is recorded before anybody else may have the range. */
  (void)qds_pool_record(pool, lane);
}

qds_status qds_stream_pool_release(qds_stream_pool *pool, qds_stream *stream, void *memory) {
  pool_lane *lane = NULL;
  qds_trace_give(pool->accelerator->trace, memory);
  /* Without room for the record of a new stream the host waits, so that a release never fails for that. */
  if (qds_pool_enter(pool, stream->native, &lane) != QDS_OK) {
    QDS_TRY(qds_stream_synchronise(stream));
    pthread_mutex_lock(&pool->lock);
  }
  const qds_range *range = qds_range_map_used(&pool->map, (uintptr_t)memory);
  pool_block *block = range ? range->note : NULL;
  const int held = block && block->tag;
  if (held) give_back(pool, lane, block);
  pthread_mutex_unlock(&pool->lock);
  QDS_REQUIRE(held, "device pool: no block begins at %p; was it released before?", memory);
  return QDS_OK;
}

/* --- streams -------------------------------------------------------------------------------------------- */

void qds_stream_pool_forget(qds_stream_pool *pool, void *native) {
  pthread_mutex_lock(&pool->lock);
  pool_lane *lane = qds_pool_lane(pool, native);
  if (lane) {
    qds_pool_flush(pool, lane);
    /* Where no event can be recorded nobody may have the ranges before a trim has waited. */
    if (qds_pool_record(pool, lane) != QDS_OK) qds_pool_assign_all(pool, lane->owner, POOL_PENDING);
    lane->alive = lane->dirty = 0;
    lane->native = NULL;
    pool->alive_lanes--;
  }
  pthread_mutex_unlock(&pool->lock);
}

qds_status qds_stream_pool_mark(qds_stream_pool *pool, qds_stream *stream) {
  pthread_mutex_lock(&pool->lock);
  pool_lane *lane = qds_pool_lane(pool, stream->native);
  const qds_status status = lane ? qds_pool_record(pool, lane) : QDS_OK;
  pthread_mutex_unlock(&pool->lock);
  return status;
}

/* --- looking -------------------------------------------------------------------------------------------- */

static size_t largest_free(const qds_stream_pool *pool) {
  size_t largest = 0;
  for (uint32_t owner = 0; owner < POOL_FIRST_LANE + pool->lane_count; owner++) {
    const qds_range *range = qds_range_map_largest(&pool->map, owner);
    if (range && range->bytes > largest) largest = range->bytes;
  }
  return largest;
}

static size_t least_piece(const qds_stream_pool *pool) {
  size_t bytes = 0;
  if (pool->space.bytes) return pool->space.unit;
  return qds_provider_round(&pool->provider, 1, &bytes) == QDS_OK ? bytes : 0;
}

void qds_stream_pool_statistics_read(qds_stream_pool *pool, qds_stream_pool_statistics *out) {
  pthread_mutex_lock(&pool->lock);
  *out = pool->statistics;
  out->segments = pool->space.bytes ? pool->space.pieces : pool->map.segments;
  out->free_bytes = pool->map.free_bytes - pool->space.void_bytes;
  out->largest_free_bytes = largest_free(pool);
  out->moved = pool->space.moved;
  out->least_bytes = least_piece(pool);
  out->whole = pool->space.refused;
  pthread_mutex_unlock(&pool->lock);
  if (out->free_bytes) out->fragmentation = 1 - (double)out->largest_free_bytes / (double)out->free_bytes;
}

qds_status qds_stream_pool_available(qds_stream_pool *pool, size_t *bytes) {
  size_t free_bytes, total_bytes;
  QDS_TRY(qds_accelerator_memory(pool->accelerator, &free_bytes, &total_bytes));
  pthread_mutex_lock(&pool->lock);
  const qds_stream_pool_statistics *s = &pool->statistics;
  *bytes = free_bytes + s->reserved_bytes - s->used_bytes;
  const size_t counted = s->used_bytes + pool->outside,
               allowed = pool->limit > counted ? pool->limit - counted : 0;
  if (pool->limit && allowed < *bytes) *bytes = allowed;
  pthread_mutex_unlock(&pool->lock);
  return QDS_OK;
}

int qds_stream_pool_tag(qds_stream_pool *pool, size_t index, qds_memory_row *row) {
  pthread_mutex_lock(&pool->lock);
  const int found = index < pool->tags.count;
  if (found) *row = pool->tags.rows[index];
  pthread_mutex_unlock(&pool->lock);
  return found;
}

typedef struct {
  size_t blocks, used, parked, parked_bytes, moving;
  const char *fault;
} inspection;

static void inspect(void *user, qds_range *range) {
  inspection *i = user;
  const pool_block *block = range->note;
  i->moving += !block;
  if (!block) return;
  if (block->range != range) i->fault = "a used range has the record of another";
  i->blocks += block->tag != NULL;
  i->used += block->tag ? block->bytes : 0;
  i->parked += !block->tag;
  i->parked_bytes += block->tag ? 0 : range->bytes;
  if (block->tag && block->bytes > range->bytes) i->fault = "a block is larger than its range";
}

static const char *find_fault(const qds_stream_pool *pool) {
  const qds_stream_pool_statistics *s = &pool->statistics;
  inspection i = {0};
  qds_range_visit(pool->map.used_root, inspect, &i);
  size_t binned = 0, tagged = 0;
  for (const pool_lane *lane = pool->lanes; lane; lane = lane->next)
    for (int bin = 0; bin < POOL_BINS; bin++)
      for (const pool_block *block = lane->bins[bin]; block; block = block->next) binned++;
  for (size_t row = 0; row < pool->tags.count; row++) tagged += pool->tags.rows[row].current_bytes;
  if (i.moving && !pool->space.moves) return "a used range has no record";
  if (i.fault) return i.fault;
  if (i.blocks != s->blocks || i.used != s->used_bytes || tagged != s->used_bytes)
    return "blocks are miscounted";
  if (i.parked != binned || i.parked_bytes != s->parked_bytes) return "parked blocks are miscounted";
  const size_t tiled = pool->map.used_bytes + pool->map.free_bytes - pool->space.void_bytes;
  if (!pool->space.moves && tiled > s->reserved_bytes) return "more is tiled than is held";
  if (s->used_bytes > s->peak_used_bytes || s->reserved_bytes > s->peak_reserved_bytes)
    return "a peak is lower than the present";
  if (pool->space.bytes && qds_pieces_fault(pool)) return qds_pieces_fault(pool);
  if (pool->limit && s->reserved_bytes + pool->growing + pool->outside > pool->limit)
    return "the limit is passed";
  return NULL;
}

qds_status qds_stream_pool_check(qds_stream_pool *pool) {
  pthread_mutex_lock(&pool->lock);
  const char *fault = find_fault(pool);
  const qds_status status = qds_range_map_check(&pool->map, POOL_UNIT);
  pthread_mutex_unlock(&pool->lock);
  QDS_TRY(status);
  if (fault) QDS_FAIL(QDS_ERROR_INTERNAL, "device pool: %s", fault);
  return QDS_OK;
}

#include "mem/pool_stream_parts.h"

enum { SLAB_BLOCKS = 128, EAGER_RELEASES = 16 };

struct pool_slab {
  pool_slab *next;
  pool_block blocks[SLAB_BLOCKS];
};

/* --- records -------------------------------------------------------------------------------------------- */

pool_block *qds_pool_take_record(qds_stream_pool *pool) {
  pool_block *block = pool->spare_blocks;
  pool->spare_blocks = block->next;
  return block;
}

void qds_pool_put_record(qds_stream_pool *pool, pool_block *block) {
  block->next = pool->spare_blocks;
  pool->spare_blocks = block;
}

/* The three functions below are called without the lock, which they take to hand over what they made. */
static qds_status make_blocks(qds_stream_pool *pool) {
  pool_slab *slab;
  QDS_TRY(QDS_NEW_ZERO(qds_heap_allocator(pool->records), 1, "device pool records", &slab));
  pthread_mutex_lock(&pool->lock);
  slab->next = pool->slabs;
  pool->slabs = slab;
  for (int i = SLAB_BLOCKS - 1; i >= 0; i--) qds_pool_put_record(pool, &slab->blocks[i]);
  pthread_mutex_unlock(&pool->lock);
  return QDS_OK;
}

static qds_status make_ranges(qds_stream_pool *pool) {
  qds_range_slab *slab;
  QDS_TRY(qds_range_slab_create(qds_heap_allocator(pool->records), &slab));
  pthread_mutex_lock(&pool->lock);
  qds_range_map_feed(&pool->map, slab);
  pthread_mutex_unlock(&pool->lock);
  return QDS_OK;
}

qds_status qds_pool_stock(qds_stream_pool *pool, size_t count) {
  qds_status status = QDS_OK;
  while (pool->map.spares < count && status == QDS_OK) {
    pthread_mutex_unlock(&pool->lock);
    status = make_ranges(pool);
    pthread_mutex_lock(&pool->lock);
  }
  return status;
}

/* The lane belongs to no stream yet. */
static qds_status make_lane(qds_stream_pool *pool) {
  const qds_accelerator *a = pool->accelerator;
  QDS_AUTO_RELEASE pool_lane *lane = NULL;
  QDS_TRY(QDS_NEW_ZERO(qds_heap_allocator(pool->records), 1, "device pool records", &lane));
  QDS_TRY(qds_backend_of(a)->event_create(a->state, &lane->event));
  pthread_mutex_lock(&pool->lock);
  lane->owner = POOL_FIRST_LANE + pool->lane_count++;
  lane->next = pool->lanes;
  pool->lanes = lane;
  lane = NULL;
  pthread_mutex_unlock(&pool->lock);
  return QDS_OK;
}

void qds_pool_destroy_lanes(qds_stream_pool *pool) {
  const qds_accelerator *a = pool->accelerator;
  for (pool_lane *lane = pool->lanes, *next; lane; lane = next) {
    next = lane->next;
    qds_backend_of(a)->event_destroy(a->state, lane->event);
    qds_release(lane);
  }
  for (pool_slab *slab = pool->slabs, *next; slab; slab = next) {
    next = slab->next;
    qds_release(slab);
  }
}

pool_lane *qds_pool_lane(qds_stream_pool *pool, const void *native) {
  pool_lane *lane = pool->lanes;
  while (lane && (!lane->alive || lane->native != native)) lane = lane->next;
  return lane;
}

static int is_done(const qds_stream_pool *pool, const pool_lane *lane) {
  const qds_accelerator *a = pool->accelerator;
  int done = 0;
  if (lane->dirty) return 0;
  return qds_backend_of(a)->event_done(a->state, lane->event, &done) == QDS_OK && done;
}

void qds_pool_assign_all(qds_stream_pool *pool, uint32_t from, uint32_t to) {
  for (qds_range *range; (range = qds_range_map_smallest(&pool->map, from));)
    qds_range_map_assign(&pool->map, range, to);
}

/* A lane whose stream was forgotten serves another when nothing is under way in it. */
static pool_lane *reuse_lane(qds_stream_pool *pool, void *native) {
  pool_lane *lane = pool->lanes;
  while (lane && (lane->alive || !is_done(pool, lane))) lane = lane->next;
  if (!lane) return NULL;
  qds_pool_assign_all(pool, lane->owner, POOL_COMMON);
  lane->native = native;
  lane->alive = 1;
  pool->alive_lanes++;
  return lane;
}

qds_status qds_pool_enter(qds_stream_pool *pool, void *native, pool_lane **lane) {
  for (;;) {
    pthread_mutex_lock(&pool->lock);
    *lane = qds_pool_lane(pool, native);
    if (!*lane) *lane = reuse_lane(pool, native);
    if (*lane) return QDS_OK;
    pthread_mutex_unlock(&pool->lock);
    QDS_TRY(make_lane(pool));
  }
}

qds_status qds_pool_enter_with_records(qds_stream_pool *pool, void *native, pool_lane **lane) {
  for (;;) {
    QDS_TRY(qds_pool_enter(pool, native, lane));
    const int ranges = pool->map.spares >= QDS_RANGES_PER_BLOCK, blocks = pool->spare_blocks != NULL;
    if (ranges && blocks) return QDS_OK;
    pthread_mutex_unlock(&pool->lock);
    if (!ranges) QDS_TRY(make_ranges(pool));
    if (!blocks) QDS_TRY(make_blocks(pool));
  }
}

/* --- small blocks --------------------------------------------------------------------------------------- */

/* Up to 16 units every multiple of the unit has a bin, then 16 sizes from each power of two to the next, so
 * that at most 1/16 is lost. */
size_t qds_pool_bin(size_t size, size_t *rounded) {
  const size_t last = (size - 1) / POOL_UNIT; /* the unit that the last byte lies in */
  if (last < 16) {
    *rounded = (last + 1) * POOL_UNIT;
    return last;
  }
  const int shift = 63 - __builtin_clzll(last) - 4;
  *rounded = (((last >> shift) + 1) << shift) * POOL_UNIT;
  return (size_t)shift * 16 + (last >> shift);
}

void qds_pool_park(qds_stream_pool *pool, pool_lane *lane, pool_block *block) {
  size_t size;
  pool_block **bin = &lane->bins[qds_pool_bin(block->range->bytes, &size)];
  block->tag = NULL;
  block->next = *bin;
  *bin = block;
  pool->statistics.parked_bytes += size;
  lane->dirty = 1;
}

pool_block *qds_pool_unpark(qds_stream_pool *pool, pool_lane *lane, size_t size) {
  pool_block **bin = &lane->bins[qds_pool_bin(size, &size)];
  pool_block *block = *bin;
  if (!block) return NULL;
  *bin = block->next;
  pool->statistics.parked_bytes -= size;
  return block;
}

void qds_pool_flush(qds_stream_pool *pool, pool_lane *lane) {
  for (int i = 0; i < POOL_BINS; i++)
    while (lane->bins[i]) {
      pool_block *block = lane->bins[i];
      lane->bins[i] = block->next;
      pool->statistics.parked_bytes -= block->range->bytes;
      qds_range_map_give_back(&pool->map, block->range, lane->owner, 0);
      qds_pool_put_record(pool, block);
    }
}

/* --- order between streams ------------------------------------------------------------------------------ */

qds_status qds_pool_record(qds_stream_pool *pool, pool_lane *lane) {
  const qds_accelerator *a = pool->accelerator;
  if (!lane->dirty) return QDS_OK;
  QDS_TRY(qds_backend_of(a)->event_record(a->state, lane->event, lane->native));
  lane->dirty = 0;
  return QDS_OK;
}

/* Lets the stream of `own` wait for the work that stood in the other one at its last release. The event of
 * `own` says nothing of that work, so it must be recorded anew before others rely on it. */
static qds_status follow(qds_stream_pool *pool, pool_lane *own, pool_lane *other) {
  const qds_accelerator *a = pool->accelerator;
  QDS_TRY(qds_pool_record(pool, other));
  pool->statistics.waits++;
  own->dirty = 1;
  return qds_backend_of(a)->event_wait(a->state, other->event, own->native);
}

static qds_range *find_owned(const qds_stream_pool *pool, uint32_t owner, size_t size) {
  return qds_range_map_find(&pool->map, owner, size, POOL_UNIT, POOL_UNIT);
}

/* What needs no waiting: the lane's own, what nothing uses, and what other streams are done with. */
static qds_range *find_ready(qds_stream_pool *pool, pool_lane *own, size_t size) {
  qds_range *range = find_owned(pool, own->owner, size);
  if (!range) range = find_owned(pool, POOL_COMMON, size);
  if (range) return range;
  for (pool_lane *other = pool->lanes; other; other = other->next)
    if (other != own && qds_range_map_smallest(&pool->map, other->owner) && is_done(pool, other))
      qds_pool_assign_all(pool, other->owner, POOL_COMMON);
  range = find_owned(pool, POOL_COMMON, size);
  if (range) return range;
  qds_pool_flush(pool, own);
  qds_pool_assign_all(pool, POOL_COMMON, own->owner);
  return find_owned(pool, own->owner, size);
}

void qds_pool_gather(qds_stream_pool *pool, pool_lane *own) {
  for (pool_lane *other = pool->lanes; other; other = other->next) {
    if (other == own) continue;
    qds_pool_flush(pool, other);
    if (qds_range_map_smallest(&pool->map, other->owner) && follow(pool, own, other) == QDS_OK)
      qds_pool_assign_all(pool, other->owner, own->owner);
  }
}

/* A range of another lane. Where the pool has room to grow, only of one whose work is done. */
static qds_range *find_elsewhere(qds_stream_pool *pool, pool_lane *own, size_t size, size_t room) {
  for (pool_lane *other = pool->lanes; other; other = other->next) {
    qds_range *range = other == own ? NULL : find_owned(pool, other->owner, size);
    if (!range) continue;
    other->eager = EAGER_RELEASES;
    if (size > room) {
      if (follow(pool, own, other) == QDS_OK) return range;
    } else if (qds_pool_record(pool, other) == QDS_OK && is_done(pool, other)) {
      qds_pool_assign_all(pool, other->owner, POOL_COMMON);
      return find_owned(pool, POOL_COMMON, size);
    }
  }
  return NULL;
}

qds_range *qds_pool_find(qds_stream_pool *pool, pool_lane *own, size_t size, size_t room) {
  qds_range *range = find_ready(pool, own, size);
  if (!range) range = find_elsewhere(pool, own, size, room);
  if (range || size <= room) return range;
  if (pool->map.free_bytes - pool->space.void_bytes + pool->statistics.parked_bytes < size) return NULL;
  qds_pool_gather(pool, own);
  return find_owned(pool, own->owner, size);
}

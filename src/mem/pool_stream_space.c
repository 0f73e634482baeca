/* Addresses of the pool, and the pieces of memory behind them (backend.h).
 *
 * The pool reserves many more addresses than there is memory. Free ranges without memory behind them belong
 * to VOID; their borders are borders of pieces. Pieces that move are put behind their new addresses and stay
 * behind the old ones too, which become STALE: nobody uses them, so work that was enqueued before may still
 * do so, and no host waits. When addresses run short, or memory is to go back to the device, stale ones are
 * cleared: the host waits for the work that was enqueued until then, once for many pieces. */
#include <stdio.h>
#include <string.h>

#include "mem/pool_stream_parts.h"

enum {
  ADDRESSES = 16, /* per byte of the device */
  UNITS = 4096,   /* per device */
  SWEEP = 64,     /* stale ranges that are cleared at once */
};
static const size_t least_unit = (size_t)2 << 20, most_unit = (size_t)32 << 20;

/* --- beginning and end ---------------------------------------------------------------------------------- */

static size_t unit_of(size_t memory_bytes) {
  size_t unit = least_unit;
  while (unit < most_unit && unit * UNITS < memory_bytes) unit *= 2;
  return unit;
}

static qds_status make_records(qds_stream_pool *pool) {
  pool_space *space = &pool->space;
  qds_allocator *allocator = qds_heap_allocator(pool->records);
  const size_t units = space->bytes / space->unit;
  qds_range_slab *slab;
  QDS_TRY(QDS_NEW_ZERO(allocator, units, "device pool records", &space->table));
  QDS_TRY(QDS_NEW_ZERO(allocator, units, "device pool records", &space->units));
  QDS_TRY(qds_range_slab_create(allocator, &slab));
  qds_range_map_feed(&pool->map, slab);
  qds_range *all = qds_range_map_add_segment(&pool->map, space->begin, space->bytes);
  qds_range_map_assign(&pool->map, all, POOL_VOID);
  space->void_bytes = space->bytes;
  return QDS_OK;
}

/* A limit of fewer pieces would mostly hold what nobody asked for. */
enum { FEWEST_UNITS = 8 };

/* One piece behind two addresses and back: a device that offers pieces and fails here, as some virtual
 * machines do, is used by segments. */
static qds_status try_one(const qds_accelerator *a, void *begin, size_t bytes) {
  void *piece = NULL;
  size_t mapped = 0;
  QDS_TRY(a->backend->piece_create(a->state, bytes, &piece));
  qds_status status = QDS_OK;
  for (int i = 0; i < 2 && status == QDS_OK; i++) {
    status = a->backend->piece_map(a->state, (char *)begin + mapped, piece, bytes);
    if (status == QDS_OK) mapped += bytes;
  }
  if (status == QDS_OK) status = a->backend->piece_allow(a->state, begin, mapped);
  if (mapped) a->backend->piece_unmap(a->state, begin, mapped);
  a->backend->piece_destroy(a->state, piece);
  return status;
}

static qds_status reserve(const qds_accelerator *a, size_t bytes, size_t unit, void **begin) {
  QDS_TRY(a->backend->addresses_reserve(a->state, bytes, begin));
  const qds_status status = try_one(a, *begin, unit);
  if (status != QDS_OK) a->backend->addresses_release(a->state, *begin, bytes);
  return status;
}

static void release_records(pool_space *space) {
  qds_release(space->table);
  qds_release(space->units);
  *space = (pool_space){0};
}

/* Why the device's memory is to come in segments; "" when pieces serve. */
static const char *obstacle(const qds_stream_pool *pool, size_t unit) {
  if (!pool->accelerator->backend->piece_create) return "the device offers none";
  if (pool->limit && pool->limit < FEWEST_UNITS * unit) return "the limit would be a few pieces only";
  return "";
}

qds_status qds_pieces_open(qds_stream_pool *pool) {
  const qds_accelerator *a = pool->accelerator;
  void *begin = NULL;
  const size_t unit = unit_of(a->properties.memory_bytes);
  const size_t bytes = (a->properties.memory_bytes + unit - 1) / unit * unit * ADDRESSES;
  const char *why = obstacle(pool, unit);
  if (!*why && reserve(a, bytes, unit, &begin) != QDS_OK) why = qds_last_error()->message;
  if (*why) {
    snprintf(pool->space.refused, sizeof pool->space.refused, "%s", why);
    return QDS_OK;
  }
  pool->space = (pool_space){.begin = (uintptr_t)begin, .bytes = bytes, .unit = unit};
  const qds_status made = make_records(pool);
  if (made != QDS_OK) {
    a->backend->addresses_release(a->state, begin, bytes);
    release_records(&pool->space);
  }
  return made;
}

size_t qds_space_index(const qds_stream_pool *pool, uintptr_t address) {
  return (address - pool->space.begin) / pool->space.unit;
}

/* --- behind addresses ----------------------------------------------------------------------------------- */

static void *address_of(const pool_space *space, size_t unit) {
  return (void *)(space->begin + unit * space->unit);
}

/* Several pieces, and stale addresses, are cleared in one call. */
static void unmap(const qds_stream_pool *pool, size_t unit, size_t units) {
  const qds_accelerator *a = pool->accelerator;
  if (units) a->backend->piece_unmap(a->state, address_of(&pool->space, unit), units * pool->space.unit);
}

void qds_space_list(const qds_stream_pool *pool, const qds_range *range, pool_hand *hands, size_t *count) {
  const pool_space *space = &pool->space;
  const size_t begin = qds_space_index(pool, range->begin), end = begin + range->bytes / space->unit;
  for (size_t i = begin; i < end; i += space->units[i])
    hands[(*count)++] = (pool_hand){space->table[i], space->units[i]};
}

void qds_space_forget(qds_stream_pool *pool, const qds_range *range) {
  pool_space *space = &pool->space;
  const size_t begin = qds_space_index(pool, range->begin), units = range->bytes / space->unit;
  memset(space->table + begin, 0, units * sizeof *space->table);
  memset(space->units + begin, 0, units);
}

static void enter(pool_space *space, size_t unit, const pool_hand *hand) {
  for (size_t j = 0; j < hand->units; j++) space->table[unit + j] = hand->piece;
  space->units[unit] = (uint8_t)hand->units;
}

qds_status qds_space_map(qds_stream_pool *pool, const qds_range *range, const pool_hand *hands,
                         size_t count) {
  const qds_accelerator *a = pool->accelerator;
  pool_space *space = &pool->space;
  const size_t begin = qds_space_index(pool, range->begin);
  size_t mapped = 0;
  qds_status status = QDS_OK;
  for (size_t k = 0; k < count && status == QDS_OK; k++) {
    const size_t bytes = hands[k].units * space->unit;
    status = a->backend->piece_map(a->state, address_of(space, begin + mapped), hands[k].piece, bytes);
    if (status == QDS_OK) mapped += hands[k].units;
  }
  if (status == QDS_OK)
    status = a->backend->piece_allow(a->state, address_of(space, begin), mapped * space->unit);
  if (status != QDS_OK) {
    unmap(pool, begin, mapped);
    return status;
  }
  for (size_t k = 0, i = begin; k < count; i += hands[k++].units) enter(space, i, &hands[k]);
  return QDS_OK;
}

size_t qds_space_destroy(qds_stream_pool *pool, const qds_range *range) {
  const qds_accelerator *a = pool->accelerator;
  pool_space *space = &pool->space;
  const size_t begin = qds_space_index(pool, range->begin), units = range->bytes / space->unit;
  size_t pieces = 0;
  unmap(pool, begin, units);
  for (size_t i = begin; i < begin + units; i += space->units[i], pieces++)
    a->backend->piece_destroy(a->state, space->table[i]);
  qds_space_forget(pool, range);
  return pieces;
}

void qds_space_put_back(qds_stream_pool *pool, qds_range *range, uint32_t owner) {
  if (owner == POOL_VOID || owner == POOL_STALE) pool->space.void_bytes += range->bytes;
  qds_range_map_give_back(&pool->map, range, owner, 0);
}

/* --- clearing stale addresses --------------------------------------------------------------------------- */

typedef struct {
  qds_range *ranges[SWEEP];
  int count;
} sweep;

static void claim_stale(qds_stream_pool *pool, sweep *s) {
  for (qds_range *range; s->count < SWEEP && (range = qds_range_map_largest(&pool->map, POOL_STALE));) {
    pool->space.void_bytes -= range->bytes;
    s->ranges[s->count++] = qds_range_map_take(&pool->map, range, range->bytes, 1);
  }
}

static int all_done(const qds_stream_pool *pool, const pool_lane *lanes) {
  const pool_lane *lane = lanes;
  while (lane && qds_pool_is_done(pool, lane)) lane = lane->next;
  return lane == NULL;
}

/* Clears the claimed addresses when the work that may use them is over: it was enqueued before. Returns 0
 * when it is not, which cannot be when the caller waits. Call with the lock, which is given up meanwhile. */
static qds_status clear(qds_stream_pool *pool, const sweep *s, int waits, int *cleared) {
  *cleared = 0;
  QDS_TRY(qds_pool_record_all(pool));
  const pool_lane *lanes = pool->lanes;
  if (!waits && !all_done(pool, lanes)) return QDS_OK;
  pthread_mutex_unlock(&pool->lock);
  const qds_status status = waits ? qds_pool_wait_all(pool, lanes) : QDS_OK;
  for (int i = 0; i < s->count && status == QDS_OK; i++)
    unmap(pool, qds_space_index(pool, s->ranges[i]->begin), s->ranges[i]->bytes / pool->space.unit);
  pthread_mutex_lock(&pool->lock);
  *cleared = status == QDS_OK;
  return status;
}

qds_status qds_space_sweep(qds_stream_pool *pool, int waits) {
  sweep s = {.count = 0};
  int cleared = 0;
  pthread_mutex_unlock(&pool->lock);
  pthread_mutex_lock(&pool->sweeping); /* another thread may be about to end what this one wants */
  pthread_mutex_lock(&pool->lock);
  claim_stale(pool, &s);
  pool->space.moves++;
  const qds_status status = s.count ? clear(pool, &s, waits, &cleared) : QDS_OK;
  pool->space.moves--;
  for (int i = 0; i < s.count; i++) {
    if (cleared) pool->space.stale_bytes -= s.ranges[i]->bytes;
    qds_space_put_back(pool, s.ranges[i], cleared ? POOL_VOID : POOL_STALE);
  }
  pthread_mutex_unlock(&pool->sweeping);
  return status;
}

/* --- the end, and looking ------------------------------------------------------------------------------- */

void qds_pieces_close(qds_stream_pool *pool) {
  const qds_accelerator *a = pool->accelerator;
  pool_space *space = &pool->space;
  for (const qds_range *range = qds_range_map_smallest(&pool->map, POOL_STALE); range;
       range = qds_range_map_next(&pool->map, POOL_STALE, range->bytes, range->begin))
    unmap(pool, qds_space_index(pool, range->begin), range->bytes / space->unit);
  for (size_t i = 0; i < space->bytes / space->unit; i++)
    if (space->units[i]) {
      unmap(pool, i, space->units[i]);
      a->backend->piece_destroy(a->state, space->table[i]);
    }
  a->backend->addresses_release(a->state, (void *)space->begin, space->bytes);
  release_records(space);
}

/* Of the free ranges of VOID or STALE, whose sum is added to *bytes. */
static const char *fault_in_empty(const qds_stream_pool *pool, uint32_t owner, size_t *bytes) {
  const pool_space *space = &pool->space;
  for (const qds_range *range = qds_range_map_smallest(&pool->map, owner); range;
       range = qds_range_map_next(&pool->map, owner, range->bytes, range->begin)) {
    *bytes += range->bytes;
    if ((range->begin - space->begin) % space->unit || range->bytes % space->unit)
      return "addresses without memory end inside a piece";
    for (size_t i = 0; i < range->bytes / space->unit; i++)
      if (space->table[qds_space_index(pool, range->begin) + i])
        return "a piece lies behind addresses without memory";
  }
  return NULL;
}

/* The pieces of a move that is under way are in nobody's hands but its own. */
const char *qds_pieces_fault(const qds_stream_pool *pool) {
  const pool_space *space = &pool->space;
  size_t units = 0, pieces = 0, stale = 0, empty = 0;
  const char *fault = fault_in_empty(pool, POOL_STALE, &stale);
  empty = stale;
  if (!fault) fault = fault_in_empty(pool, POOL_VOID, &empty);
  if (fault) return fault;
  if (empty != space->void_bytes || stale > space->stale_bytes)
    return "addresses without memory are miscounted";
  if (space->moves) return NULL;
  if (stale != space->stale_bytes) return "stale addresses are miscounted";
  for (size_t i = 0; i < space->bytes / space->unit; i++) {
    units += space->table[i] != NULL;
    pieces += space->units[i] != 0;
    if (space->table[i] && !space->units[i] && (i == 0 || space->table[i - 1] != space->table[i]))
      return "a piece has no beginning";
  }
  if (pieces != space->pieces || units * space->unit != pool->statistics.reserved_bytes)
    return "pieces are miscounted";
  if (pool->map.used_bytes + pool->map.free_bytes - space->void_bytes != pool->statistics.reserved_bytes)
    return "a block lies at addresses without memory";
  return NULL;
}

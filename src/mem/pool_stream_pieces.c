/* Growth of the pool on devices that give memory in pieces (backend.h).
 *
 * The pool reserves many more addresses than there is memory. Ranges without memory behind them belong to
 * VOID; their borders are borders of pieces. A block that no free range holds grows out of the free range
 * that needs the fewest pieces beside it; these are new while the pool may hold more, and else pieces of
 * other free ranges, which become VOID. So scattered free memory serves large blocks, and what is held stays
 * near to what is used.
 *
 * What a move needs is taken out of the free ranges first, so that the lock need not be held while the device
 * works. The host waits for the work that may still use pieces before they are taken from behind their
 * addresses. */
#include <stdio.h>
#include <string.h>

#include "mem/pool_stream_parts.h"

enum {
  ADDRESSES = 8, /* per byte of the device */
  UNITS = 4096,  /* per device */
  PIECES_OF_BLOCK = 8,
  MOST_UNITS = 8, /* of a piece */
  SOURCES = 64,   /* of a move */
  SPARES = 2 * (SOURCES + 2) + QDS_RANGES_PER_BLOCK,
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

/* One piece there and back: a device that offers pieces and fails here, as some virtual machines do, is used
 * by segments. */
static qds_status try_one(const qds_accelerator *a, void *begin, size_t bytes) {
  void *piece = NULL;
  QDS_TRY(qds_backend_of(a)->piece_create(a->state, bytes, &piece));
  const qds_status status = qds_backend_of(a)->piece_map(a->state, begin, piece, bytes);
  if (status == QDS_OK) qds_backend_of(a)->piece_unmap(a->state, begin, bytes);
  qds_backend_of(a)->piece_destroy(a->state, piece);
  return status;
}

static qds_status reserve(const qds_accelerator *a, size_t bytes, size_t unit, void **begin) {
  QDS_TRY(qds_backend_of(a)->addresses_reserve(a->state, bytes, begin));
  const qds_status status = try_one(a, *begin, unit);
  if (status != QDS_OK) qds_backend_of(a)->addresses_release(a->state, *begin, bytes);
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
    qds_backend_of(a)->addresses_release(a->state, begin, bytes);
    release_records(&pool->space);
  }
  return made;
}

static size_t index_of(const qds_stream_pool *pool, uintptr_t address) {
  return (address - pool->space.begin) / pool->space.unit;
}

/* Takes the piece that begins at unit `i` from behind its addresses. */
static void *unmap(qds_stream_pool *pool, size_t i, size_t *units) {
  const qds_accelerator *a = pool->accelerator;
  pool_space *space = &pool->space;
  void *piece = space->table[i];
  *units = space->units[i];
  qds_backend_of(a)->piece_unmap(a->state, (void *)(space->begin + i * space->unit), *units * space->unit);
  memset(space->table + i, 0, *units * sizeof *space->table);
  space->units[i] = 0;
  return piece;
}

static qds_status map(qds_stream_pool *pool, size_t i, void *piece, size_t units) {
  const qds_accelerator *a = pool->accelerator;
  pool_space *space = &pool->space;
  QDS_TRY(qds_backend_of(a)->piece_map(a->state, (void *)(space->begin + i * space->unit), piece,
                                       units * space->unit));
  for (size_t j = 0; j < units; j++) space->table[i + j] = piece;
  space->units[i] = (uint8_t)units;
  return QDS_OK;
}

void qds_pieces_close(qds_stream_pool *pool) {
  const qds_accelerator *a = pool->accelerator;
  for (size_t i = 0, units; i < pool->space.bytes / pool->space.unit; i++)
    if (pool->space.units[i]) qds_backend_of(a)->piece_destroy(a->state, unmap(pool, i, &units));
  qds_backend_of(a)->addresses_release(a->state, (void *)pool->space.begin, pool->space.bytes);
  release_records(&pool->space);
}

static const char *fault_in_void(const qds_stream_pool *pool) {
  const pool_space *space = &pool->space;
  size_t bytes = 0;
  for (const qds_range *range = qds_range_map_smallest(&pool->map, POOL_VOID); range;
       range = qds_range_map_next(&pool->map, POOL_VOID, range->bytes, range->begin)) {
    bytes += range->bytes;
    if ((range->begin - space->begin) % space->unit || range->bytes % space->unit)
      return "addresses without memory end inside a piece";
    for (size_t i = 0; i < range->bytes / space->unit; i++)
      if (space->table[index_of(pool, range->begin) + i])
        return "a piece lies behind addresses without memory";
  }
  return bytes == space->void_bytes ? NULL : "addresses without memory are miscounted";
}

/* The pieces of a move that is under way are in nobody's hands but its own. */
const char *qds_pieces_fault(const qds_stream_pool *pool) {
  const pool_space *space = &pool->space;
  size_t units = 0, pieces = 0;
  const char *fault = fault_in_void(pool);
  if (fault || space->moves) return fault;
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

/* --- claims --------------------------------------------------------------------------------------------- */

typedef struct {
  qds_range *base;             /* the free range that is made larger, or NULL */
  qds_range *target;           /* addresses without memory beside it */
  qds_range *sources[SOURCES]; /* whose pieces go to the target */
  int source_count;
  size_t fresh, used; /* units: of new pieces, and of the sources */
} move;

static size_t units_for(const qds_stream_pool *pool, size_t bytes) {
  return (bytes + pool->space.unit - 1) / pool->space.unit;
}

/* The first run of whole pieces inside a free range, up to the piece with which it has `wanted` units; 0:
 * there is none. */
static size_t whole_pieces(const qds_stream_pool *pool, const qds_range *range, size_t wanted,
                           uintptr_t *begin) {
  const pool_space *space = &pool->space;
  const size_t end = index_of(pool, range->begin + range->bytes);
  size_t first = index_of(pool, range->begin + space->unit - 1), units = 0;
  while (first < end && !space->units[first]) first++;
  while (units < wanted && first + units < end && first + units + space->units[first + units] <= end)
    units += space->units[first + units];
  *begin = space->begin + first * space->unit;
  return units;
}

static const qds_range *free_of(const qds_range *range, uint32_t owner) {
  return range && !range->used && range->owner == owner ? range : NULL;
}

typedef struct {
  qds_range *addresses, *base;
  size_t units;
  int above; /* the addresses lie above the base */
} place;

/* The place for a block that needs the least memory, with addresses for `spare` units more; 0 units: there is
 * none. */
static place choose_place(const qds_stream_pool *pool, const pool_lane *own, size_t size, size_t spare) {
  place best = {0};
  for (qds_range *v = qds_range_map_smallest(&pool->map, POOL_VOID); v;
       v = qds_range_map_next(&pool->map, POOL_VOID, v->bytes, v->begin)) {
    const qds_range *beside[3] = {NULL, free_of(v->before, own->owner), free_of(v->after, own->owner)};
    for (int i = 0; i < 3; i++) {
      if (i && !beside[i]) continue;
      const size_t units = units_for(pool, size - (i ? beside[i]->bytes : 0));
      if ((units + spare) * pool->space.unit <= v->bytes && (!best.units || units < best.units))
        best = (place){v, (qds_range *)beside[i], units, i != 2};
    }
  }
  return best;
}

/* The part of the addresses next to the base that the pieces of the move fill. */
static void claim_target(qds_stream_pool *pool, const place *p, move *m) {
  const size_t bytes = (m->fresh + m->used) * pool->space.unit;
  const uintptr_t begin = p->above ? p->addresses->begin : p->addresses->begin + p->addresses->bytes - bytes;
  m->target = qds_range_map_take_at(&pool->map, p->addresses, begin, bytes);
  pool->space.void_bytes -= bytes;
}

/* So that small blocks do not ask the device each time. */
static size_t some_more(const qds_stream_pool *pool, const place *p, size_t units, size_t allowed) {
  const size_t there = p->addresses->bytes / pool->space.unit;
  size_t more = units_for(pool, qds_pool_step(pool));
  if (more > allowed) more = allowed;
  if (more > there) more = there;
  return more > units ? more : units;
}

/* Small ranges first: large ones serve large blocks as they are. */
static void claim_sources(qds_stream_pool *pool, uint32_t owner, size_t wanted, move *m) {
  qds_range *range = qds_range_map_smallest(&pool->map, owner);
  while (range && m->used < wanted && m->source_count < SOURCES) {
    const size_t bytes = range->bytes;
    const uintptr_t at = range->begin;
    uintptr_t begin;
    const size_t units = whole_pieces(pool, range, wanted - m->used, &begin);
    if (units) {
      m->sources[m->source_count++] =
          qds_range_map_take_at(&pool->map, range, begin, units * pool->space.unit);
      m->used += units;
    }
    range = qds_range_map_next(&pool->map, owner, bytes, at);
  }
}

static void put_back(qds_stream_pool *pool, qds_range *range, uint32_t owner) {
  if (owner == POOL_VOID) pool->space.void_bytes += range->bytes;
  qds_range_map_give_back(&pool->map, range, owner, 0);
}

/* Ends a move: what was claimed becomes free. Call with the lock. */
static void settle(qds_stream_pool *pool, const pool_lane *own, const move *m, uint32_t target,
                   uint32_t sources) {
  if (m->target) put_back(pool, m->target, target);
  if (m->base) put_back(pool, m->base, own->owner);
  for (int i = 0; i < m->source_count; i++) put_back(pool, m->sources[i], sources);
}

/* --- moving, without the lock --------------------------------------------------------------------------- */

typedef struct {
  void *piece;
  size_t units;
} hand;

/* What the device takes for a piece hardly depends on its size, so a large block gets large ones; but a piece
 * can be moved only when all of it is free, so they are a small part of the block. */
static size_t piece_units(const qds_stream_pool *pool, size_t block, size_t wanted) {
  size_t units = 1;
  while (units < MOST_UNITS && 2 * units <= wanted && 2 * units * pool->space.unit <= block / PIECES_OF_BLOCK)
    units *= 2;
  return units;
}

static qds_status create_pieces(const qds_stream_pool *pool, size_t block, size_t wanted, hand *hands,
                                size_t *count) {
  const qds_accelerator *a = pool->accelerator;
  while (wanted) {
    hand *h = &hands[*count];
    h->units = piece_units(pool, block, wanted);
    QDS_TRY(qds_backend_of(a)->piece_create(a->state, h->units * pool->space.unit, &h->piece));
    wanted -= h->units;
    ++*count;
  }
  return QDS_OK;
}

static void take_pieces(qds_stream_pool *pool, const qds_range *range, hand *hands, size_t *count) {
  size_t i = index_of(pool, range->begin);
  const size_t end = i + range->bytes / pool->space.unit;
  while (i < end) {
    hand *h = &hands[(*count)++];
    h->piece = unmap(pool, i, &h->units);
    i += h->units;
  }
}

static qds_status place_pieces(qds_stream_pool *pool, const qds_range *range, const hand *hands,
                               size_t count) {
  const size_t begin = index_of(pool, range->begin);
  size_t i = begin, units;
  for (size_t k = 0; k < count; k++) {
    const qds_status status = map(pool, i, hands[k].piece, hands[k].units);
    if (status != QDS_OK) {
      for (size_t j = begin; j < i; j += units) unmap(pool, j, &units);
      return status;
    }
    i += hands[k].units;
  }
  return QDS_OK;
}

/* On failure the sources keep their pieces unless *emptied. `pieces`: how many there are more, or less. */
static qds_status carry_out(qds_stream_pool *pool, const pool_lane *own, const move *m, size_t block,
                            int *emptied, ptrdiff_t *pieces) {
  const qds_accelerator *a = pool->accelerator;
  QDS_AUTO_RELEASE hand *hands = NULL;
  size_t count = 0, fresh;
  *emptied = 0;
  *pieces = 0;
  QDS_TRY(QDS_NEW(qds_heap_allocator(pool->records), m->fresh + m->used, "device pool records", &hands));
  qds_status status = create_pieces(pool, block, m->fresh, hands, &count);
  fresh = count;
  if (status == QDS_OK && m->used) status = qds_backend_of(a)->event_synchronise(a->state, own->event);
  if (status == QDS_OK) {
    for (int i = 0; i < m->source_count; i++) take_pieces(pool, m->sources[i], hands, &count);
    *emptied = 1;
    status = place_pieces(pool, m->target, hands, count);
  }
  *pieces = status == QDS_OK ? (ptrdiff_t)fresh : (ptrdiff_t)(fresh - count);
  for (size_t i = 0; status != QDS_OK && i < count; i++)
    qds_backend_of(a)->piece_destroy(a->state, hands[i].piece);
  return status;
}

/* Call with the lock, which is given up meanwhile. */
static qds_status perform(qds_stream_pool *pool, const pool_lane *own, const move *m, size_t block) {
  qds_stream_pool_statistics *s = &pool->statistics;
  const size_t fresh = m->fresh * pool->space.unit;
  int emptied;
  ptrdiff_t pieces;
  qds_range *kept = qds_range_map_hold(&pool->map, QDS_RANGES_PER_BLOCK);
  pool->growing += fresh;
  pool->space.moves++;
  pthread_mutex_unlock(&pool->lock);
  const qds_status status = carry_out(pool, own, m, block, &emptied, &pieces);
  pthread_mutex_lock(&pool->lock);
  qds_range_map_put_back(&pool->map, kept);
  pool->space.moves--;
  pool->space.pieces += (size_t)pieces;
  pool->growing -= fresh;
  settle(pool, own, m, status == QDS_OK ? own->owner : POOL_VOID, emptied ? POOL_VOID : own->owner);
  if (status == QDS_OK) {
    s->reserved_bytes += fresh;
    s->growths += (size_t)pieces;
    pool->space.moved += m->used;
    if (s->reserved_bytes > s->peak_reserved_bytes) s->peak_reserved_bytes = s->reserved_bytes;
  } else if (emptied) {
    s->reserved_bytes -= m->used * pool->space.unit;
  }
  return status;
}

/* --- growing -------------------------------------------------------------------------------------------- */

/* Claims what the move takes, with new pieces as far as `allowed` units. Where the sources are too many for
 * one move, it makes a part of the way. */
static void claim(qds_stream_pool *pool, const pool_lane *own, const place *p, size_t allowed, move *m) {
  *m = (move){0};
  m->base = p->base ? qds_range_map_take(&pool->map, p->base, p->base->bytes, 1) : NULL;
  if (p->units > allowed) claim_sources(pool, own->owner, p->units - allowed, m);
  m->fresh = p->units > m->used ? p->units - m->used : 0;
  if (m->fresh > allowed && m->source_count == SOURCES) m->fresh = allowed;
  if (!m->used) m->fresh = some_more(pool, p, m->fresh, allowed);
}

/* Plans a move towards the request, with new pieces as far as `fresh` bytes allow. Call with the lock and
 * with SPARES. */
static qds_status plan(qds_stream_pool *pool, pool_lane *own, const pool_request *r, size_t fresh, move *m) {
  const size_t allowed = fresh / pool->space.unit, most = qds_pool_room(pool, r, 1) / pool->space.unit;
  place p = choose_place(pool, own, r->size, 0);
  if (!p.units || p.units > allowed) {
    qds_pool_flush(pool, own);
    qds_pool_gather(pool, own);
    qds_pool_assign_all(pool, POOL_COMMON, own->owner);
    p = choose_place(pool, own, r->size, 0);
  }
  if (p.units) claim(pool, own, &p, allowed, m);
  if (p.units && (m->fresh + m->used) * pool->space.unit > p.addresses->bytes) {
    /* The last piece is larger than what is still wanted. */
    settle(pool, own, m, POOL_VOID, own->owner);
    p = choose_place(pool, own, r->size, MOST_UNITS);
    if (p.units) claim(pool, own, &p, allowed, m);
  }
  if (!p.units) QDS_FAIL(QDS_ERROR_MEMORY, "no addresses are left for device memory");
  qds_status status = m->fresh > most ? qds_pool_refuse(pool, r) : QDS_OK;
  if (status == QDS_OK && m->used) status = qds_pool_record(pool, own); /* which the host waits for */
  if (status == QDS_OK)
    claim_target(pool, &p, m);
  else
    settle(pool, own, m, POOL_VOID, own->owner);
  return status;
}

static qds_status grow_by(qds_stream_pool *pool, pool_lane *own, const pool_request *r, size_t fresh) {
  move m = {0};
  QDS_TRY(qds_pool_stock(pool, SPARES));
  QDS_TRY(plan(pool, own, r, fresh, &m));
  return perform(pool, own, &m, r->size);
}

qds_status qds_pieces_grow(qds_stream_pool *pool, pool_lane *own, const pool_request *r, qds_range **out) {
  qds_range *range = NULL;
  *out = NULL;
  while (!range) {
    qds_status status = grow_by(pool, own, r, qds_pool_room(pool, r, 0));
    /* The device has no more: what the pool has must do. */
    if (status == QDS_ERROR_MEMORY) status = grow_by(pool, own, r, 0);
    if (status != QDS_OK) {
      pthread_mutex_unlock(&pool->lock);
      status = qds_pool_explain(pool, r, status);
      pthread_mutex_lock(&pool->lock);
      return status;
    }
    range = qds_pool_find(pool, own, r->size, 0);
  }
  *out = qds_range_map_take(&pool->map, range, r->size, POOL_UNIT);
  return QDS_OK;
}

/* --- giving back ---------------------------------------------------------------------------------------- */

/* A part of what may go; call with the lock and with SPARES. */
static size_t release_some(qds_stream_pool *pool, size_t wanted) {
  const qds_accelerator *a = pool->accelerator;
  size_t pieces = 0;
  move m = {0};
  claim_sources(pool, POOL_COMMON, units_for(pool, wanted), &m);
  pool->space.moves++;
  pthread_mutex_unlock(&pool->lock);
  for (int i = 0; i < m.source_count; i++) {
    const size_t begin = index_of(pool, m.sources[i]->begin),
                 end = begin + m.sources[i]->bytes / pool->space.unit;
    for (size_t j = begin, units; j < end; j += units, pieces++)
      qds_backend_of(a)->piece_destroy(a->state, unmap(pool, j, &units));
  }
  pthread_mutex_lock(&pool->lock);
  pool->space.moves--;
  pool->space.pieces -= pieces;
  for (int i = 0; i < m.source_count; i++) put_back(pool, m.sources[i], POOL_VOID);
  pool->statistics.reserved_bytes -= m.used * pool->space.unit;
  pool->statistics.trims += pieces;
  return m.used * pool->space.unit;
}

size_t qds_pieces_release(qds_stream_pool *pool, size_t wanted) {
  size_t went = 0;
  if (wanted > pool->space.bytes) wanted = pool->space.bytes;
  while (went < wanted && qds_pool_stock(pool, SPARES) == QDS_OK) {
    const size_t more = release_some(pool, wanted - went);
    if (!more) break;
    went += more;
  }
  return went;
}

/* Growth of the pool on devices that give memory in pieces.
 *
 * A block that no free range holds grows out of the free range that needs the fewest pieces beside it; these
 * are new while the pool may hold more, and else pieces of other free ranges, which leave stale addresses
 * behind (pool_stream_space.c). So scattered free memory serves large blocks, and what is held stays near to
 * what is used.
 *
 * What a move needs is taken out of the free ranges first, so that the lock need not be held while the device
 * works. */
#include "mem/pool_stream_parts.h"

enum {
  PIECES_OF_BLOCK = 4,
  MOST_UNITS = 8, /* of a piece */
  SOURCES = 64,   /* of a move */
  SPARES = 2 * (SOURCES + 2) + QDS_RANGES_PER_BLOCK,
};

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
  const size_t end = qds_space_index(pool, range->begin + range->bytes);
  size_t first = qds_space_index(pool, range->begin + space->unit - 1), units = 0;
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

/* Ends a move: what was claimed becomes free. Call with the lock. */
static void settle(qds_stream_pool *pool, const pool_lane *own, const move *m, uint32_t target,
                   uint32_t sources) {
  if (m->target) qds_space_put_back(pool, m->target, target);
  if (m->base) qds_space_put_back(pool, m->base, own->owner);
  for (int i = 0; i < m->source_count; i++) qds_space_put_back(pool, m->sources[i], sources);
}

/* --- moving, without the lock --------------------------------------------------------------------------- */

/* What the device takes for a piece hardly depends on its size, so a large block gets large ones; but a piece
 * can be moved only when all of it is free, so they are a small part of the block. */
static size_t piece_units(const qds_stream_pool *pool, size_t block, size_t wanted) {
  size_t units = 1;
  while (units < MOST_UNITS && 2 * units <= wanted && 2 * units * pool->space.unit <= block / PIECES_OF_BLOCK)
    units *= 2;
  return units;
}

static qds_status create_pieces(const qds_stream_pool *pool, size_t block, size_t wanted, pool_hand *hands,
                                size_t *count) {
  const qds_accelerator *a = pool->accelerator;
  while (wanted) {
    pool_hand *h = &hands[*count];
    h->units = piece_units(pool, block, wanted);
    QDS_TRY(a->backend->piece_create(a->state, h->units * pool->space.unit, &h->piece));
    wanted -= h->units;
    ++*count;
  }
  return QDS_OK;
}

/* `pieces`: how many are new. On failure everything is as it was. */
static qds_status carry_out(qds_stream_pool *pool, const move *m, size_t block, size_t *pieces) {
  const qds_accelerator *a = pool->accelerator;
  QDS_AUTO_RELEASE pool_hand *hands = NULL;
  size_t count = 0;
  *pieces = 0;
  QDS_TRY(QDS_NEW(qds_heap_allocator(pool->records), m->fresh + m->used, "device pool records", &hands));
  qds_status status = create_pieces(pool, block, m->fresh, hands, pieces);
  count = *pieces;
  for (int i = 0; i < m->source_count; i++) qds_space_list(pool, m->sources[i], hands, &count);
  if (status == QDS_OK) status = qds_space_map(pool, m->target, hands, count);
  for (size_t i = 0; status != QDS_OK && i < *pieces; i++)
    a->backend->piece_destroy(a->state, hands[i].piece);
  for (int i = 0; status == QDS_OK && i < m->source_count; i++) qds_space_forget(pool, m->sources[i]);
  return status;
}

/* Call with the lock, which is given up meanwhile. */
static qds_status perform(qds_stream_pool *pool, const pool_lane *own, const move *m, size_t block) {
  qds_stream_pool_statistics *s = &pool->statistics;
  const size_t fresh = m->fresh * pool->space.unit;
  size_t pieces;
  qds_range *kept = qds_range_map_hold(&pool->map, QDS_RANGES_PER_BLOCK);
  pool->growing += fresh;
  pool->space.moves++;
  pthread_mutex_unlock(&pool->lock);
  const qds_status status = carry_out(pool, m, block, &pieces);
  pthread_mutex_lock(&pool->lock);
  qds_range_map_put_back(&pool->map, kept);
  pool->space.moves--;
  pool->growing -= fresh;
  settle(pool, own, m, status == QDS_OK ? own->owner : POOL_VOID, status == QDS_OK ? POOL_STALE : own->owner);
  if (status != QDS_OK) return status;
  pool->space.stale_bytes += m->used * pool->space.unit;
  pool->space.pieces += pieces;
  pool->space.moved += m->used;
  s->reserved_bytes += fresh;
  s->growths += pieces;
  if (s->reserved_bytes > s->peak_reserved_bytes) s->peak_reserved_bytes = s->reserved_bytes;
  return QDS_OK;
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

/* Plans a move towards the request, with new pieces as far as `allowed` units; 0: there are no addresses for
 * it. Call with the lock and with SPARES. */
static int plan(qds_stream_pool *pool, pool_lane *own, const pool_request *r, size_t allowed, place *p,
                move *m) {
  *p = choose_place(pool, own, r->size, 0);
  if (!p->units || p->units > allowed) {
    qds_pool_flush(pool, own);
    qds_pool_gather(pool, own);
    qds_pool_assign_all(pool, POOL_COMMON, own->owner);
    *p = choose_place(pool, own, r->size, 0);
  }
  if (p->units) claim(pool, own, p, allowed, m);
  if (p->units && (m->fresh + m->used) * pool->space.unit > p->addresses->bytes) {
    /* The last piece is larger than what is still wanted. */
    settle(pool, own, m, POOL_VOID, own->owner);
    *p = choose_place(pool, own, r->size, MOST_UNITS);
    if (p->units) claim(pool, own, p, allowed, m);
  }
  return p->units > 0;
}

static qds_status grow_by(qds_stream_pool *pool, pool_lane *own, const pool_request *r, size_t fresh) {
  move m = {0};
  place p;
  QDS_TRY(qds_pool_stock(pool, SPARES));
  /* The addresses beside a free range are worth most when pieces have to move. */
  if (pool->space.stale_bytes && r->size > fresh) {
    QDS_TRY(qds_space_sweep(pool, 0));
    QDS_TRY(qds_pool_stock(pool, SPARES));
  }
  while (!plan(pool, own, r, fresh / pool->space.unit, &p, &m)) {
    if (!pool->space.stale_bytes) QDS_FAIL(QDS_ERROR_MEMORY, "no addresses are left for device memory");
    QDS_TRY(qds_space_sweep(pool, 1));
    QDS_TRY(qds_pool_stock(pool, SPARES));
  }
  if (m.fresh > qds_pool_room(pool, r, 1) / pool->space.unit) {
    settle(pool, own, &m, POOL_VOID, own->owner);
    return qds_pool_refuse(pool, r);
  }
  claim_target(pool, &p, &m);
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
  size_t pieces = 0;
  move m = {0};
  claim_sources(pool, POOL_COMMON, units_for(pool, wanted), &m);
  pool->space.moves++;
  pthread_mutex_unlock(&pool->lock);
  for (int i = 0; i < m.source_count; i++) pieces += qds_space_destroy(pool, m.sources[i]);
  pthread_mutex_lock(&pool->lock);
  pool->space.moves--;
  pool->space.pieces -= pieces;
  for (int i = 0; i < m.source_count; i++) qds_space_put_back(pool, m.sources[i], POOL_VOID);
  pool->statistics.reserved_bytes -= m.used * pool->space.unit;
  pool->statistics.trims += pieces;
  return m.used * pool->space.unit;
}

/* A piece that still lies behind stale addresses would not go. */
size_t qds_pieces_release(qds_stream_pool *pool, size_t wanted) {
  size_t went = 0;
  if (wanted > pool->space.bytes) wanted = pool->space.bytes;
  while (went < wanted && qds_pool_stock(pool, SPARES) == QDS_OK) {
    if (pool->space.stale_bytes) {
      if (qds_space_sweep(pool, 1) != QDS_OK) break;
      continue;
    }
    const size_t more = release_some(pool, wanted - went);
    if (!more) break;
    went += more;
  }
  return went;
}

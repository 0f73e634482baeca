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

#include "mem/pool_stream_parts.h"

/* Addresses per byte of the device, the least size of a piece, the greatest, and pieces per device. */
enum { ADDRESSES = 8, PIECES = 4096, SOURCES = 64, SPARES = 2 * (SOURCES + 2) + QDS_RANGES_PER_BLOCK };
static const size_t least_piece = (size_t)2 << 20, most_piece = (size_t)32 << 20;

/* --- beginning and end
 * -------------------------------------------------------------------------------------------- */

static size_t piece_size(size_t memory_bytes) {
  size_t piece = least_piece;
  while (piece < most_piece && piece * PIECES < memory_bytes) piece *= 2;
  return piece;
}

static qds_status make_records(qds_stream_pool *pool) {
  pool_space *space = &pool->space;
  qds_range_slab *slab;
  QDS_TRY(QDS_NEW_ZERO(qds_heap_allocator(pool->records), space->bytes / space->piece, "device pool records",
                       &space->table));
  QDS_TRY(qds_range_slab_create(qds_heap_allocator(pool->records), &slab));
  qds_range_map_feed(&pool->map, slab);
  qds_range *all = qds_range_map_add_segment(&pool->map, space->begin, space->bytes);
  qds_range_map_assign(&pool->map, all, POOL_VOID);
  space->void_bytes = space->bytes;
  return QDS_OK;
}

/* One piece there and back: a device that offers pieces and fails here, as some virtual machines do, is used
 * by segments. */
static qds_status try_one(const qds_accelerator *a, void *begin, size_t piece) {
  void *one = NULL;
  QDS_TRY(a->backend->piece_create(a->state, piece, &one));
  const qds_status status = a->backend->pieces_map(a->state, begin, &one, 1, piece);
  if (status == QDS_OK) a->backend->pieces_unmap(a->state, begin, 1, piece);
  a->backend->piece_destroy(a->state, one);
  return status;
}

static qds_status reserve(const qds_accelerator *a, size_t bytes, size_t piece, void **begin) {
  QDS_TRY(a->backend->addresses_reserve(a->state, bytes, begin));
  const qds_status status = try_one(a, *begin, piece);
  if (status != QDS_OK) a->backend->addresses_release(a->state, *begin, bytes);
  return status;
}

qds_status qds_pieces_open(qds_stream_pool *pool) {
  const qds_accelerator *a = pool->accelerator;
  void *begin = NULL;
  const size_t piece = piece_size(a->properties.memory_bytes);
  const size_t bytes = (a->properties.memory_bytes + piece - 1) / piece * piece * ADDRESSES;
  if (!a->backend->piece_create || reserve(a, bytes, piece, &begin) != QDS_OK) {
    snprintf(pool->space.refused, sizeof pool->space.refused, "%s",
             a->backend->piece_create ? qds_last_error()->message : "the device offers none");
    return QDS_OK;
  }
  pool->space = (pool_space){.begin = (uintptr_t)begin, .bytes = bytes, .piece = piece};
  const qds_status made = make_records(pool);
  if (made != QDS_OK) {
    a->backend->addresses_release(a->state, begin, bytes);
    pool->space.bytes = 0;
  }
  return made;
}

static void **entry(const qds_stream_pool *pool, uintptr_t address) {
  return pool->space.table + (address - pool->space.begin) / pool->space.piece;
}

void qds_pieces_close(qds_stream_pool *pool) {
  const qds_accelerator *a = pool->accelerator;
  const pool_space *space = &pool->space;
  for (size_t i = 0; i < space->bytes / space->piece; i++) {
    if (!space->table[i]) continue;
    a->backend->pieces_unmap(a->state, (void *)(space->begin + i * space->piece), 1, space->piece);
    a->backend->piece_destroy(a->state, space->table[i]);
  }
  a->backend->addresses_release(a->state, (void *)space->begin, space->bytes);
  qds_release(space->table);
}

const char *qds_pieces_fault(const qds_stream_pool *pool) {
  const pool_space *space = &pool->space;
  size_t bytes = 0, mapped = 0;
  for (const qds_range *range = qds_range_map_smallest(&pool->map, POOL_VOID); range;
       range = qds_range_map_next(&pool->map, POOL_VOID, range->bytes, range->begin)) {
    bytes += range->bytes;
    if ((range->begin - space->begin) % space->piece || range->bytes % space->piece)
      return "addresses without memory end inside a piece";
    for (size_t i = 0; i < range->bytes / space->piece; i++)
      if (entry(pool, range->begin)[i]) return "a piece lies behind addresses without memory";
  }
  /* The pieces of a move are in nobody's hands but its own. */
  for (size_t i = 0; !space->moves && i < space->bytes / space->piece; i++) mapped += space->table[i] != NULL;
  if (bytes != space->void_bytes) return "addresses without memory are miscounted";
  if (!space->moves && mapped * space->piece != pool->statistics.reserved_bytes)
    return "pieces are miscounted";
  if (!space->moves && pool->map.used_bytes + pool->map.free_bytes - bytes != pool->statistics.reserved_bytes)
    return "a block lies at addresses without memory";
  return NULL;
}

/* --- claims
 * ------------------------------------------------------------------------------------------------------- */

typedef struct {
  qds_range *base;             /* the free range that is made larger, or NULL */
  qds_range *target;           /* addresses without memory beside it */
  qds_range *sources[SOURCES]; /* whose pieces go to the target */
  int source_count;
  size_t fresh, used; /* pieces: new ones, and those of the sources */
} move;

static size_t pieces_for(const qds_stream_pool *pool, size_t bytes) {
  return (bytes + pool->space.piece - 1) / pool->space.piece;
}

/* The whole pieces inside a free range. */
static size_t whole_pieces(const qds_stream_pool *pool, const qds_range *range, uintptr_t *begin) {
  const size_t piece = pool->space.piece;
  const size_t first = (range->begin - pool->space.begin + piece - 1) / piece;
  const size_t last = (range->begin - pool->space.begin + range->bytes) / piece;
  *begin = pool->space.begin + first * piece;
  return last > first ? last - first : 0;
}

static const qds_range *free_of(const qds_range *range, uint32_t owner) {
  return range && !range->used && range->owner == owner ? range : NULL;
}

typedef struct {
  qds_range *addresses, *base;
  size_t pieces;
  int above; /* the addresses lie above the base */
} place;

/* The place for a block that needs the fewest pieces; 0 where no addresses hold it. */
static place choose_place(const qds_stream_pool *pool, const pool_lane *own, size_t size) {
  place best = {0};
  for (qds_range *v = qds_range_map_smallest(&pool->map, POOL_VOID); v;
       v = qds_range_map_next(&pool->map, POOL_VOID, v->bytes, v->begin)) {
    const qds_range *beside[3] = {NULL, free_of(v->before, own->owner), free_of(v->after, own->owner)};
    for (int i = 0; i < 3; i++) {
      if (i && !beside[i]) continue;
      const size_t pieces = pieces_for(pool, size - (i ? beside[i]->bytes : 0));
      if (pieces * pool->space.piece <= v->bytes && (!best.pieces || pieces < best.pieces))
        best = (place){v, (qds_range *)beside[i], pieces, i != 2};
    }
  }
  return best;
}

/* The part of the addresses next to the base that the pieces of the move fill. */
static void claim_target(qds_stream_pool *pool, const place *p, move *m) {
  const size_t bytes = (m->fresh + m->used) * pool->space.piece;
  const uintptr_t begin = p->above ? p->addresses->begin : p->addresses->begin + p->addresses->bytes - bytes;
  m->target = qds_range_map_take_at(&pool->map, p->addresses, begin, bytes);
  pool->space.void_bytes -= bytes;
}

/* So that small blocks do not ask the device each time. */
static size_t some_more(const qds_stream_pool *pool, const place *p, size_t pieces, size_t allowed) {
  const size_t there = p->addresses->bytes / pool->space.piece;
  size_t more = pieces_for(pool, qds_pool_step(pool));
  if (more > allowed) more = allowed;
  if (more > there) more = there;
  return more > pieces ? more : pieces;
}

/* Small ranges first: large ones serve large blocks as they are. */
static void claim_sources(qds_stream_pool *pool, uint32_t owner, size_t wanted, move *m) {
  qds_range *range = qds_range_map_smallest(&pool->map, owner);
  while (range && m->used < wanted && m->source_count < SOURCES) {
    const size_t bytes = range->bytes;
    const uintptr_t at = range->begin;
    uintptr_t begin;
    size_t count = whole_pieces(pool, range, &begin);
    if (count > wanted - m->used) count = wanted - m->used;
    if (count) {
      m->sources[m->source_count++] =
          qds_range_map_take_at(&pool->map, range, begin, count * pool->space.piece);
      m->used += count;
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

/* --- moving, without the lock
 * ------------------------------------------------------------------------------------- */

static qds_status create_pieces(const qds_stream_pool *pool, size_t count, void **pieces) {
  const qds_accelerator *a = pool->accelerator;
  for (size_t i = 0; i < count; i++) {
    const qds_status status = a->backend->piece_create(a->state, pool->space.piece, &pieces[i]);
    if (status == QDS_OK) continue;
    while (i--) a->backend->piece_destroy(a->state, pieces[i]);
    return status;
  }
  return QDS_OK;
}

/* Takes the pieces from behind the addresses of a claimed range. */
static size_t unmap(const qds_stream_pool *pool, const qds_range *range, void **pieces) {
  const qds_accelerator *a = pool->accelerator;
  const size_t count = range->bytes / pool->space.piece;
  void **table = entry(pool, range->begin);
  a->backend->pieces_unmap(a->state, (void *)range->begin, count, pool->space.piece);
  for (size_t i = 0; i < count; i++) {
    pieces[i] = table[i];
    table[i] = NULL;
  }
  return count;
}

/* On failure the sources keep their pieces unless *emptied. */
static qds_status carry_out(qds_stream_pool *pool, const pool_lane *own, const move *m, int *emptied) {
  const qds_accelerator *a = pool->accelerator;
  const size_t count = m->fresh + m->used;
  QDS_AUTO_RELEASE void **pieces = NULL;
  *emptied = 0;
  QDS_TRY(QDS_NEW(qds_heap_allocator(pool->records), count, "device pool records", &pieces));
  QDS_TRY(create_pieces(pool, m->fresh, pieces));
  qds_status status = m->used ? a->backend->event_synchronise(a->state, own->event) : QDS_OK;
  size_t have = m->fresh;
  if (status == QDS_OK) {
    for (int i = 0; i < m->source_count; i++) have += unmap(pool, m->sources[i], pieces + have);
    *emptied = 1;
    status = a->backend->pieces_map(a->state, (void *)m->target->begin, pieces, count, pool->space.piece);
  }
  for (size_t i = 0; i < have; i++) {
    if (status == QDS_OK)
      entry(pool, m->target->begin)[i] = pieces[i];
    else
      a->backend->piece_destroy(a->state, pieces[i]);
  }
  return status;
}

/* Call with the lock, which is given up meanwhile. */
static qds_status perform(qds_stream_pool *pool, const pool_lane *own, const move *m) {
  qds_stream_pool_statistics *s = &pool->statistics;
  const size_t fresh = m->fresh * pool->space.piece;
  int emptied;
  qds_range *kept = qds_range_map_hold(&pool->map, QDS_RANGES_PER_BLOCK);
  pool->growing += fresh;
  pool->space.moves++;
  pthread_mutex_unlock(&pool->lock);
  const qds_status status = carry_out(pool, own, m, &emptied);
  pthread_mutex_lock(&pool->lock);
  qds_range_map_put_back(&pool->map, kept);
  pool->space.moves--;
  pool->growing -= fresh;
  settle(pool, own, m, status == QDS_OK ? own->owner : POOL_VOID, emptied ? POOL_VOID : own->owner);
  if (status == QDS_OK) {
    s->reserved_bytes += fresh;
    s->growths += m->fresh;
    pool->space.moved += m->used;
    if (s->reserved_bytes > s->peak_reserved_bytes) s->peak_reserved_bytes = s->reserved_bytes;
  } else if (emptied) {
    s->reserved_bytes -= m->used * pool->space.piece;
  }
  return status;
}

/* --- growing
 * ------------------------------------------------------------------------------------------------------ */

/* Plans a move towards the request, with new pieces as far as `fresh` bytes allow. Where the sources are too
 * many for one move, it makes a part of the way. Call with the lock and with SPARES. */
static qds_status plan(qds_stream_pool *pool, pool_lane *own, const pool_request *r, size_t fresh, move *m) {
  const size_t allowed = fresh / pool->space.piece, most = qds_pool_room(pool, r, 1) / pool->space.piece;
  place p = choose_place(pool, own, r->size);
  if (!p.pieces || p.pieces > allowed) {
    qds_pool_flush(pool, own);
    qds_pool_gather(pool, own);
    qds_pool_assign_all(pool, POOL_COMMON, own->owner);
    p = choose_place(pool, own, r->size);
  }
  if (!p.pieces) QDS_FAIL(QDS_ERROR_MEMORY, "no addresses are left for device memory");
  m->base = p.base ? qds_range_map_take(&pool->map, p.base, p.base->bytes, 1) : NULL;
  if (p.pieces > allowed) claim_sources(pool, own->owner, p.pieces - allowed, m);
  m->fresh = p.pieces - m->used;
  if (m->fresh > allowed && m->source_count == SOURCES) m->fresh = allowed;
  if (!m->used) m->fresh = some_more(pool, &p, m->fresh, allowed);
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
  return perform(pool, own, &m);
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
    range = qds_pool_find(pool, own, r->size);
  }
  *out = qds_range_map_take(&pool->map, range, r->size, POOL_UNIT);
  return QDS_OK;
}

/* --- giving back
 * -------------------------------------------------------------------------------------------------- */

/* A part of what may go; call with the lock and with SPARES. */
static size_t release_some(qds_stream_pool *pool, size_t wanted) {
  const qds_accelerator *a = pool->accelerator;
  const size_t piece = pool->space.piece;
  move m = {0};
  claim_sources(pool, POOL_COMMON, pieces_for(pool, wanted), &m);
  pool->space.moves++;
  pthread_mutex_unlock(&pool->lock);
  for (int i = 0; i < m.source_count; i++) {
    void **table = entry(pool, m.sources[i]->begin);
    const size_t count = m.sources[i]->bytes / piece;
    a->backend->pieces_unmap(a->state, (void *)m.sources[i]->begin, count, piece);
    for (size_t j = 0; j < count; j++) {
      a->backend->piece_destroy(a->state, table[j]);
      table[j] = NULL;
    }
  }
  pthread_mutex_lock(&pool->lock);
  pool->space.moves--;
  for (int i = 0; i < m.source_count; i++) put_back(pool, m.sources[i], POOL_VOID);
  pool->statistics.reserved_bytes -= m.used * piece;
  pool->statistics.trims += m.used;
  return m.used * piece;
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

#include "mem/range_map.h"

enum { SLAB_RANGES = 64 };

struct qds_range_slab {
  qds_range_slab *next;
  qds_range ranges[SLAB_RANGES];
};

qds_status qds_range_slab_create(qds_allocator *allocator, qds_range_slab **out) {
  return QDS_NEW_ZERO(allocator, 1, "pool records", out);
}

static void put_spare(qds_range_map *map, qds_range *range) {
  *range = (qds_range){.child = {map->spare, NULL}};
  map->spare = range;
  map->spares++;
}

void qds_range_map_feed(qds_range_map *map, qds_range_slab *slab) {
  slab->next = map->slabs;
  map->slabs = slab;
  for (int i = SLAB_RANGES - 1; i >= 0; i--) put_spare(map, &slab->ranges[i]);
}

/* The random sequence is Weyl's with the finaliser of MurmurHash3. */
static qds_range *take_spare(qds_range_map *map) {
  qds_range *range = map->spare;
  map->spare = range->child[0];
  map->spares--;
  uint64_t x = map->random += 0x9e3779b97f4a7c15u;
  x = (x ^ (x >> 33)) * 0xff51afd7ed558ccdu;
  x = (x ^ (x >> 33)) * 0xc4ceb9fe1a85ec53u;
  *range = (qds_range){.priority = (uint32_t)(x >> 32)};
  return range;
}

qds_range *qds_range_map_hold(qds_range_map *map, int count) {
  qds_range *chain = NULL;
  for (int i = 0; i < count; i++) {
    qds_range *range = take_spare(map);
    range->after = chain;
    chain = range;
  }
  return chain;
}

void qds_range_map_put_back(qds_range_map *map, qds_range *chain) {
  for (qds_range *next; chain; chain = next) {
    next = chain->after;
    put_spare(map, chain);
  }
}

void qds_range_map_destroy(qds_range_map *map) {
  for (qds_range_slab *slab = map->slabs, *next; slab; slab = next) {
    next = slab->next;
    qds_release(slab);
  }
  *map = (qds_range_map){0};
}

/* --- the trees ----------------------------------------------------------------------------------------- */

/* The order of the tree that ranges of this kind stand in. */
static int precedes(const qds_range *a, const qds_range *b) {
  if (!b->used && a->owner != b->owner) return a->owner < b->owner;
  if (!b->used && a->bytes != b->bytes) return a->bytes < b->bytes;
  return a->begin < b->begin;
}

/* Walks down to where the priority of `range` belongs and splits the subtree there into what precedes and
 * what follows it. */
static void insert(qds_range **root, qds_range *range) {
  qds_range **link = root;
  while (*link && (*link)->priority >= range->priority) link = &(*link)->child[precedes(*link, range)];
  qds_range **low = &range->child[0], **high = &range->child[1];
  for (qds_range *rest = *link; rest;) {
    qds_range ***side = precedes(rest, range) ? &low : &high;
    **side = rest;
    *side = &rest->child[side == &low];
    rest = **side;
  }
  *low = *high = NULL;
  *link = range;
}

/* Merges the children of `range` in its place. */
static void erase(qds_range **root, qds_range *range) {
  qds_range **link = root;
  while (*link != range) link = &(*link)->child[precedes(*link, range)];
  qds_range *low = range->child[0], *high = range->child[1];
  while (low && high) {
    if (low->priority >= high->priority) {
      *link = low;
      link = &low->child[1];
      low = *link;
    } else {
      *link = high;
      link = &high->child[0];
      high = *link;
    }
  }
  *link = low ? low : high;
}

qds_range *qds_range_last(qds_range *root) {
  while (root && root->child[1]) root = root->child[1];
  return root;
}

/* The first free range that does not precede (owner, bytes, begin). */
static qds_range *lower_bound(const qds_range_map *map, uint32_t owner, size_t bytes, uintptr_t begin) {
  const qds_range key = {.owner = owner, .bytes = bytes, .begin = begin};
  qds_range *found = NULL;
  for (qds_range *range = map->free_root; range;) {
    const int before = precedes(range, &key);
    if (!before) found = range;
    range = range->child[before];
  }
  return found;
}

qds_range *qds_range_previous_free(const qds_range_map *map, const qds_range *range) {
  qds_range *found = NULL;
  for (qds_range *other = map->free_root; other;) {
    const int before = precedes(other, range);
    if (before) found = other;
    other = other->child[before];
  }
  return found;
}

void qds_range_visit(qds_range *root, void (*visit)(void *user, qds_range *range), void *user) {
  while (root) {
    qds_range *next = root->child[1];
    qds_range_visit(root->child[0], visit, user);
    visit(user, root);
    root = next;
  }
}

/* --- the map ------------------------------------------------------------------------------------------- */

static void count_free(qds_range_map *map, const qds_range *range, int sign) {
  const size_t bytes = sign > 0 ? range->bytes : 0 - range->bytes, one = sign > 0 ? 1 : SIZE_MAX;
  map->free_ranges += one;
  map->free_bytes += bytes;
  if (qds_range_is_segment(range)) map->idle_bytes += bytes;
  map->purged_bytes += sign > 0 ? range->purged : 0 - range->purged;
}

/* The neighbours of `range` are final when it enters or leaves. */
static void enter_free(qds_range_map *map, qds_range *range) {
  range->used = 0;
  insert(&map->free_root, range);
  count_free(map, range, 1);
}

static void leave_free(qds_range_map *map, qds_range *range) {
  erase(&map->free_root, range);
  count_free(map, range, -1);
}

qds_range *qds_range_map_add_segment(qds_range_map *map, uintptr_t begin, size_t bytes) {
  qds_range *range = take_spare(map);
  range->begin = begin;
  range->bytes = bytes;
  map->segments++;
  enter_free(map, range);
  return range;
}

/* `purged` bytes, anywhere in the range. */
static void set_purged(qds_range *range, size_t purged) {
  range->purged = purged;
  range->bare_begin = range->begin;
  range->bare_end = range->begin + range->bytes;
}

void qds_range_map_note_purged(qds_range_map *map, qds_range *range) {
  map->purged_bytes += range->bytes - range->purged;
  set_purged(range, range->bytes);
}

void qds_range_map_remove_segment(qds_range_map *map, qds_range *range) {
  leave_free(map, range);
  map->segments--;
  put_spare(map, range);
}

static uintptr_t first_multiple(uintptr_t address, size_t alignment) {
  return (address + (alignment - 1)) & ~(uintptr_t)(alignment - 1);
}

static int holds(const qds_range *range, size_t bytes, size_t alignment) {
  const size_t skipped = first_multiple(range->begin, alignment) - range->begin;
  return skipped <= range->bytes && bytes <= range->bytes - skipped;
}

static qds_range *owned(qds_range *range, uint32_t owner) {
  return range && range->owner == owner ? range : NULL;
}

qds_range *qds_range_map_find(const qds_range_map *map, uint32_t owner, size_t bytes, size_t alignment,
                              size_t unit) {
  enum { TRIES = 8 };
  qds_range *range = owned(lower_bound(map, owner, bytes, 0), owner);
  if (alignment <= unit) return range;
  for (int i = 0; range && i < TRIES; i++) {
    if (holds(range, bytes, alignment)) return range;
    range = owned(lower_bound(map, owner, range->bytes, range->begin + 1), owner);
  }
  return range ? owned(lower_bound(map, owner, bytes + (alignment - unit), 0), owner) : NULL;
}

qds_range *qds_range_map_smallest(const qds_range_map *map, uint32_t owner) {
  return owned(lower_bound(map, owner, 0, 0), owner);
}

qds_range *qds_range_map_next(const qds_range_map *map, uint32_t owner, size_t bytes, uintptr_t begin) {
  return owned(lower_bound(map, owner, bytes, begin + 1), owner);
}

qds_range *qds_range_map_largest(const qds_range_map *map, uint32_t owner) {
  const qds_range key = {.owner = owner, .bytes = SIZE_MAX};
  return owned(qds_range_previous_free(map, &key), owner);
}

static uintptr_t larger(uintptr_t a, uintptr_t b) {
  return a > b ? a : b;
}

static uintptr_t smaller(uintptr_t a, uintptr_t b) {
  return a < b ? a : b;
}

/* How many purged bytes may lie between the addresses. */
static size_t most_bare(const qds_range *range, uintptr_t begin, uintptr_t end) {
  const uintptr_t first = larger(begin, range->bare_begin), last = smaller(end, range->bare_end);
  return first < last ? smaller(range->purged, last - first) : 0;
}

size_t qds_range_fresh_bytes(const qds_range *range, size_t bytes, size_t alignment) {
  const uintptr_t begin = first_multiple(range->begin, alignment);
  return most_bare(range, begin, begin + bytes);
}

/* Of the purged bytes each part has, for certain, those that have no place in the other. */
static void divide_purged(qds_range *front, qds_range *rest, const qds_range *whole) {
  const uintptr_t end = whole->begin + whole->bytes;
  front->purged = whole->purged - most_bare(whole, rest->begin, end);
  front->bare_begin = whole->bare_begin;
  front->bare_end = smaller(whole->bare_end, rest->begin);
  rest->purged = whole->purged - most_bare(whole, whole->begin, rest->begin);
  rest->bare_begin = larger(whole->bare_begin, rest->begin);
  rest->bare_end = whole->bare_end;
}

/* A new range of the first `bytes` of `range`, which keeps the rest. Neither stands in a tree. */
static qds_range *cut_front(qds_range_map *map, qds_range *range, size_t bytes) {
  const qds_range whole = *range;
  qds_range *front = take_spare(map);
  front->begin = range->begin;
  front->bytes = bytes;
  front->owner = range->owner;
  front->before = range->before;
  front->after = range;
  if (range->before) range->before->after = front;
  range->before = front;
  range->begin += bytes;
  range->bytes -= bytes;
  divide_purged(front, range, &whole);
  return front;
}

qds_range *qds_range_map_take_at(qds_range_map *map, qds_range *range, uintptr_t begin, size_t bytes) {
  const size_t skipped = begin - range->begin;
  leave_free(map, range);
  qds_range *front = skipped ? cut_front(map, range, skipped) : NULL;
  qds_range *block = bytes < range->bytes ? cut_front(map, range, bytes) : range;
  if (front) enter_free(map, front);
  if (block != range) enter_free(map, range);
  block->used = 1;
  block->purged = 0;
  insert(&map->used_root, block);
  map->used_ranges++;
  map->used_bytes += block->bytes;
  return block;
}

qds_range *qds_range_map_take(qds_range_map *map, qds_range *range, size_t bytes, size_t alignment) {
  return qds_range_map_take_at(map, range, first_multiple(range->begin, alignment), bytes);
}

qds_range *qds_range_map_used(const qds_range_map *map, uintptr_t begin) {
  qds_range *range = map->used_root;
  while (range && range->begin != begin) range = range->child[range->begin < begin];
  return range;
}

/* Takes the free range `next` into `range`, which stands directly before it and in no tree. */
static void join(qds_range_map *map, qds_range *range, qds_range *next) {
  range->bare_begin = range->purged ? range->bare_begin : next->bare_begin;
  range->bare_end = next->purged ? next->bare_end : range->bare_end;
  range->bytes += next->bytes;
  range->purged += next->purged;
  range->after = next->after;
  if (next->after) next->after->before = range;
  put_spare(map, next);
}

/* Makes `range`, which stands in no tree, a free one of its owner. */
static qds_range *settle(qds_range_map *map, qds_range *range) {
  qds_range *before = range->before, *after = range->after;
  if (after && !after->used && after->owner == range->owner) {
    leave_free(map, after);
    join(map, range, after);
  }
  if (before && !before->used && before->owner == range->owner) {
    leave_free(map, before);
    join(map, before, range);
    range = before;
  }
  enter_free(map, range);
  return range;
}

void qds_range_map_give_back(qds_range_map *map, qds_range *range, uint32_t owner, size_t purged) {
  erase(&map->used_root, range);
  map->used_ranges--;
  map->used_bytes -= range->bytes;
  range->used = 0;
  set_purged(range, purged);
  range->note = NULL;
  range->owner = owner;
  settle(map, range);
}

qds_range *qds_range_map_assign(qds_range_map *map, qds_range *range, uint32_t owner) {
  leave_free(map, range);
  range->owner = owner;
  return settle(map, range);
}

/* --- invariants ---------------------------------------------------------------------------------------- */

typedef struct {
  const qds_range_map *map;
  size_t unit;
  const qds_range *last; /* of the tree, in its order */
  size_t bytes, ranges, idle, purged, segments;
  const char *fault;
} inspection;

static void inspect(void *user, qds_range *range) {
  inspection *i = user;
  const qds_range *after = range->after;
  if (i->last && !precedes(i->last, range)) i->fault = "a tree is out of order";
  for (int side = 0; side < 2; side++)
    if (range->child[side] && range->child[side]->priority > range->priority) i->fault = "a treap is no heap";
  if (!range->bytes || (range->begin | range->bytes) % i->unit)
    i->fault = "a range is not a multiple of the unit";
  if (after && (after->before != range || range->begin + range->bytes != after->begin))
    i->fault = "neighbours do not touch";
  if (!range->used && after && !after->used && after->owner == range->owner)
    i->fault = "two free neighbours were not joined";
  if (range->purged > most_bare(range, range->begin, range->used ? 0 : range->begin + range->bytes))
    i->fault = "more is purged than is free";
  i->last = range;
  i->ranges++;
  i->bytes += range->bytes;
  i->segments += !range->before;
  i->purged += range->purged;
  if (!range->used && qds_range_is_segment(range)) i->idle += range->bytes;
}

qds_status qds_range_map_check(const qds_range_map *map, size_t unit) {
  inspection vacant = {.map = map, .unit = unit}, used = {.map = map, .unit = unit};
  qds_range_visit(map->free_root, inspect, &vacant);
  qds_range_visit(map->used_root, inspect, &used);
  const char *fault = vacant.fault ? vacant.fault : used.fault;
  if (vacant.ranges != map->free_ranges || used.ranges != map->used_ranges) fault = "ranges are miscounted";
  if (vacant.bytes != map->free_bytes || used.bytes != map->used_bytes) fault = "bytes are miscounted";
  if (vacant.idle != map->idle_bytes || vacant.purged != map->purged_bytes)
    fault = "idle or purged bytes are miscounted";
  if (vacant.segments + used.segments != map->segments) fault = "segments are miscounted";
  if (fault) QDS_FAIL(QDS_ERROR_INTERNAL, "pool records: %s", fault);
  return QDS_OK;
}

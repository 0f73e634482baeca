#include "mem/pool_best_fit.h"

#include <pthread.h>

#include "mem/range_map.h"
#include "qdsim/text.h"

struct qds_best_fit {
  qds_best_fit_options options;
  pthread_mutex_t lock;
  qds_range_map map;
  size_t growing; /* bytes that the provider is being asked for */
  size_t peak_used, peak_reserved;
  size_t purging_bytes, purging_ranges;
  uint64_t total_blocks, growths, trims;
};

/* Segments on their way back to the provider: taken out of the records with the lock held, released without.
 */
typedef struct {
  void *begin;
  size_t bytes;
} segment;
enum { BATCH = 32 };
typedef struct {
  segment segments[BATCH];
  int count;
} segment_batch;

static int is_power_of_two(size_t n) {
  return n && !(n & (n - 1));
}

static qds_status check_options(const qds_best_fit_options *options) {
  QDS_REQUIRE(options->struct_size == sizeof *options,
              "qds_best_fit_options: struct_size %zu, this library expects %zu; initialise it with "
              "QDS_BEST_FIT_OPTIONS_INIT",
              options->struct_size, sizeof *options);
  QDS_TRY(qds_provider_check(&options->provider));
  QDS_REQUIRE(options->allocator && options->name, "qds_best_fit_options: no allocator or no name");
  const size_t most = options->provider.table->alignment;
  QDS_REQUIRE(is_power_of_two(options->unit) && options->unit >= 64 && options->unit <= most,
              "%s: a unit of %zu bytes; powers of two from 64 to the provider's alignment of %zu are allowed",
              options->name, options->unit, most);
  QDS_REQUIRE(options->reserve_ratio == 0 || options->reserve_ratio >= 1,
              "%s: a reserve ratio of %g; 0 (none) and numbers from 1 are allowed", options->name,
              options->reserve_ratio);
  return QDS_OK;
}

qds_status qds_best_fit_create(const qds_best_fit_options *options, qds_best_fit **out) {
  *out = NULL;
  QDS_TRY(check_options(options));
  QDS_TRY(QDS_NEW_ZERO(options->allocator, 1, "memory pool", out));
  (*out)->options = *options;
  pthread_mutex_init(&(*out)->lock, NULL);
  return QDS_OK;
}

/* --- giving back --------------------------------------------------------------------------------------- */

/* The address ranges that were taken from the provider or that it is being asked for. */
static size_t taken_bytes(const qds_best_fit *pool) {
  return pool->map.used_bytes + pool->map.free_bytes + pool->growing;
}

/* Whether memory comes to lie behind a range only when it is touched. */
static int is_lazy(const qds_best_fit *pool) {
  return pool->options.provider.table->purge != NULL;
}

/* What of these ranges has memory behind it, at most. */
static size_t reserved_bytes(const qds_best_fit *pool) {
  return taken_bytes(pool) - pool->map.purged_bytes - (is_lazy(pool) ? pool->growing : 0);
}

/* Takes idle segments out of the records, the smallest first, which are of least use, until at least `wanted`
 * bytes are taken, there are no more or the batch is full. Call with the lock held. */
static void collect_idle(qds_best_fit *pool, size_t wanted, segment_batch *batch) {
  size_t taken = 0;
  qds_range *range = qds_range_map_smallest(&pool->map, 0);
  while (range && taken < wanted && pool->map.idle_bytes && batch->count < BATCH) {
    qds_range *next = qds_range_map_next(&pool->map, 0, range->bytes, range->begin);
    if (qds_range_is_segment(range)) {
      batch->segments[batch->count++] = (segment){(void *)range->begin, range->bytes};
      taken += range->bytes;
      pool->trims++;
      qds_range_map_remove_segment(&pool->map, range);
    }
    range = next;
  }
}

/* Call without the lock. */
static size_t release_batch(qds_best_fit *pool, segment_batch *batch) {
  const qds_provider *provider = &pool->options.provider;
  size_t bytes = 0;
  for (int i = 0; i < batch->count; i++) {
    provider->table->release(provider->state, batch->segments[i].begin, batch->segments[i].bytes);
    bytes += batch->segments[i].bytes;
  }
  batch->count = 0;
  return bytes;
}

/* Call with the lock held, which is given up meanwhile. Returns how many bytes went. */
static size_t give_back_idle(qds_best_fit *pool, size_t wanted) {
  size_t went = 0;
  segment_batch batch = {.count = 0};
  do {
    collect_idle(pool, wanted - went, &batch);
    if (!batch.count) break;
    pthread_mutex_unlock(&pool->lock);
    went += release_batch(pool, &batch);
    pthread_mutex_lock(&pool->lock);
  } while (went < wanted);
  return went;
}

/* The next free range in descending order that may be purged: part of a segment in use, its pages still held.
 */
static qds_range *next_to_purge(const qds_best_fit *pool, const qds_range *last) {
  const qds_range_map *map = &pool->map;
  qds_range *range = last ? qds_range_previous_free(map, last) : qds_range_last(map->free_root);
  while (range && (range->purged == range->bytes || qds_range_is_segment(range)))
    range = qds_range_previous_free(map, range);
  return range;
}

/* Purges until `wanted` bytes went, the largest ranges first. A range that is being purged stands among the
 * used ones, so that the lock can be given up meanwhile; `purging` keeps it out of the figures. Call with the
 * lock held. Returns how many bytes went. */
static size_t purge(qds_best_fit *pool, size_t wanted) {
  const qds_provider *provider = &pool->options.provider;
  size_t went = 0;
  qds_range last;
  if (!provider->table->purge) return 0;
  for (qds_range *range = next_to_purge(pool, NULL); range && went < wanted;
       range = next_to_purge(pool, &last)) {
    last = *range;
    range = qds_range_map_take(&pool->map, range, last.bytes, 1);
    pool->purging_bytes += last.bytes;
    pool->purging_ranges++;
    pthread_mutex_unlock(&pool->lock);
    provider->table->purge(provider->state, (void *)last.begin, last.bytes);
    pthread_mutex_lock(&pool->lock);
    pool->purging_bytes -= last.bytes;
    pool->purging_ranges--;
    qds_range_map_give_back(&pool->map, range, 0, last.bytes);
    went += last.bytes - last.purged;
  }
  return went;
}

size_t qds_best_fit_trim(qds_best_fit *pool, size_t keep) {
  pthread_mutex_lock(&pool->lock);
  size_t went = 0;
  if (pool->map.idle_bytes > keep) went = give_back_idle(pool, pool->map.idle_bytes - keep);
  went += purge(pool, SIZE_MAX);
  pthread_mutex_unlock(&pool->lock);
  return went;
}

/* --- allocation ---------------------------------------------------------------------------------------- */

typedef struct {
  size_t bytes, alignment; /* rounded up */
  size_t least, segment;   /* what the provider must give for it, and what it is asked for */
} need;

static qds_status describe(const qds_best_fit *pool, size_t bytes, size_t alignment, need *out) {
  const qds_best_fit_options *o = &pool->options;
  QDS_REQUIRE(!alignment || is_power_of_two(alignment), "%s: an alignment of %zu bytes is no power of two",
              o->name, alignment);
  if (alignment > PTRDIFF_MAX / 4 || bytes > PTRDIFF_MAX / 4)
    QDS_FAIL(QDS_ERROR_MEMORY, "out of memory: %s: %zu bytes aligned to %zu pass the address range", o->name,
             bytes, alignment);
  out->alignment = alignment > o->unit ? alignment : o->unit;
  out->bytes = bytes ? (bytes + o->unit - 1) & ~(o->unit - 1) : o->unit;
  const size_t least = out->bytes + (out->alignment > o->provider.table->alignment ? out->alignment : 0);
  QDS_TRY(qds_provider_round(&o->provider, least, &out->least));
  return qds_provider_round(&o->provider, least > o->segment_bytes ? least : o->segment_bytes, &out->segment);
}

/* Takes the lock with enough spare records for one block; fails without it. */
static qds_status lock_with_spares(qds_best_fit *pool) {
  pthread_mutex_lock(&pool->lock);
  while (pool->map.spares < QDS_RANGES_PER_BLOCK) {
    qds_range_slab *slab;
    pthread_mutex_unlock(&pool->lock);
    QDS_TRY(qds_range_slab_create(pool->options.allocator, &slab));
    pthread_mutex_lock(&pool->lock);
    qds_range_map_feed(&pool->map, slab);
  }
  return QDS_OK;
}

/* Call with the lock and spare records. */
static void *take(qds_best_fit *pool, qds_range *range, const need *n) {
  range = qds_range_map_take(&pool->map, range, n->bytes, n->alignment);
  const size_t used = pool->map.used_bytes - pool->purging_bytes;
  if (used > pool->peak_used) pool->peak_used = used;
  if (reserved_bytes(pool) > pool->peak_reserved) pool->peak_reserved = reserved_bytes(pool);
  pool->total_blocks++;
  return (void *)range->begin;
}

/* By how much a block that needs `fresh` bytes would carry the pool beyond its ratio. */
static size_t beyond_ratio(const qds_best_fit *pool, const need *n, size_t fresh) {
  if (pool->options.reserve_ratio == 0) return 0;
  const size_t used = pool->map.used_bytes + n->bytes;
  const size_t peak = used > pool->peak_used ? used : pool->peak_used;
  const size_t allowed = (size_t)(pool->options.reserve_ratio * (double)peak);
  const size_t reserved = reserved_bytes(pool) + fresh;
  return reserved > allowed ? reserved - allowed : 0;
}

/* The bytes that must come to lie behind a block from this range, or from a new segment when there is none.
 */
static size_t fresh_bytes(const qds_best_fit *pool, const qds_range *range, const need *n) {
  if (!range) return is_lazy(pool) ? n->bytes : n->segment;
  return qds_range_fresh_bytes(range, n->bytes, n->alignment);
}

/* Gives up to `wanted` bytes of free memory back. Call with the lock held, which may be given up meanwhile.
 */
static size_t give_back(qds_best_fit *pool, size_t wanted) {
  qds_range *held = qds_range_map_hold(&pool->map, QDS_RANGES_PER_BLOCK);
  size_t went = give_back_idle(pool, wanted);
  if (went < wanted) went += purge(pool, wanted - went);
  qds_range_map_put_back(&pool->map, held);
  return went;
}

/* The free range for a block, or NULL. Before fresh memory carries the pool beyond its ratio, other memory
 * goes back; as that may be the range that was found, it is looked for anew. Call with the lock held, which
 * may be given up meanwhile. */
static qds_range *find(qds_best_fit *pool, const need *n) {
  for (;;) {
    qds_range *range = qds_range_map_find(&pool->map, 0, n->bytes, n->alignment, pool->options.unit);
    const size_t fresh = fresh_bytes(pool, range, n), beyond = fresh ? beyond_ratio(pool, n, fresh) : 0;
    if (!beyond || !give_back(pool, beyond)) return range;
  }
}

static int within_limit(const qds_best_fit *pool, size_t bytes) {
  const size_t limit = pool->options.limit;
  return !limit || (bytes <= limit && taken_bytes(pool) <= limit - bytes);
}

static qds_status refuse(const qds_best_fit *pool, size_t bytes) {
  char more[QDS_BYTES_TEXT], held[QDS_BYTES_TEXT], limit[QDS_BYTES_TEXT];
  qds_format_bytes(bytes, more);
  qds_format_bytes(taken_bytes(pool), held);
  qds_format_bytes(pool->options.limit, limit);
  QDS_FAIL(QDS_ERROR_BUDGET, "memory budget exceeded: %s: %s more on top of %s pass the limit of %s",
           pool->options.name, more, held, limit);
}

/* Reserves room for a segment under the limit. Call with the lock held, which may be given up meanwhile. */
static qds_status reserve(qds_best_fit *pool, need *n) {
  if (!within_limit(pool, n->segment)) n->segment = n->least;
  if (!within_limit(pool, n->segment)) give_back_idle(pool, SIZE_MAX);
  if (!within_limit(pool, n->segment)) return refuse(pool, n->bytes);
  pool->growing += n->segment;
  return QDS_OK;
}

/* Asks the provider, and once more for the least after everything idle was given back. Call without the lock.
 */
static qds_status ask_provider(qds_best_fit *pool, need *n, void **out) {
  const qds_provider *provider = &pool->options.provider;
  const qds_status status = provider->table->allocate(provider->state, n->segment, out);
  if (status != QDS_ERROR_MEMORY) return status;
  const size_t went = qds_best_fit_trim(pool, 0);
  if (!went && n->segment == n->least) return status;
  pthread_mutex_lock(&pool->lock);
  pool->growing -= n->segment - n->least;
  pthread_mutex_unlock(&pool->lock);
  n->segment = n->least;
  return provider->table->allocate(provider->state, n->segment, out);
}

/* Adds a segment and takes the block out of it, before another thread can; the spare records that it needs
 * are held back from the other threads meanwhile. Call with the lock held. */
static qds_status grow(qds_best_fit *pool, need *n, void **out) {
  void *begin = NULL;
  qds_range *held = qds_range_map_hold(&pool->map, QDS_RANGES_PER_BLOCK);
  qds_status status = reserve(pool, n);
  if (status == QDS_OK) {
    pthread_mutex_unlock(&pool->lock);
    status = ask_provider(pool, n, &begin);
    pthread_mutex_lock(&pool->lock);
    pool->growing -= n->segment;
  }
  qds_range_map_put_back(&pool->map, held);
  QDS_TRY(status);
  qds_range *range = qds_range_map_add_segment(&pool->map, (uintptr_t)begin, n->segment);
  if (is_lazy(pool)) qds_range_map_note_purged(&pool->map, range);
  pool->growths++;
  *out = take(pool, range, n);
  return QDS_OK;
}

static qds_status allocate(qds_best_fit *pool, size_t bytes, size_t alignment, int may_grow, void **out) {
  need n;
  *out = NULL;
  QDS_TRY(describe(pool, bytes, alignment, &n));
  QDS_TRY(lock_with_spares(pool));
  qds_range *range = find(pool, &n);
  qds_status status = QDS_OK;
  if (range)
    *out = take(pool, range, &n);
  else if (may_grow)
    status = grow(pool, &n, out);
  pthread_mutex_unlock(&pool->lock);
  return status;
}

qds_status qds_best_fit_allocate(qds_best_fit *pool, size_t bytes, size_t alignment, void **out) {
  return allocate(pool, bytes, alignment, 1, out);
}

qds_status qds_best_fit_try(qds_best_fit *pool, size_t bytes, size_t alignment, void **out) {
  return allocate(pool, bytes, alignment, 0, out);
}

/* Gives back what is idle beyond what a pool may keep. Call with the lock held. */
static void keep_idle(qds_best_fit *pool) {
  const size_t idle = pool->map.idle_bytes, used = pool->map.used_bytes, least = pool->options.idle_bytes;
  const size_t kept = used > least ? used : least;
  if (least && idle > kept) give_back_idle(pool, idle - kept);
}

qds_status qds_best_fit_release(qds_best_fit *pool, void *block) {
  if (!block) return QDS_OK;
  pthread_mutex_lock(&pool->lock);
  qds_range *range = qds_range_map_used(&pool->map, (uintptr_t)block);
  if (range) {
    qds_range_map_give_back(&pool->map, range, 0, 0);
    keep_idle(pool);
  }
  pthread_mutex_unlock(&pool->lock);
  QDS_REQUIRE(range, "%s: no block begins at %p; was it released before?", pool->options.name, block);
  return QDS_OK;
}

size_t qds_best_fit_bytes(qds_best_fit *pool, const void *block) {
  pthread_mutex_lock(&pool->lock);
  const qds_range *range = qds_range_map_used(&pool->map, (uintptr_t)block);
  const size_t bytes = range ? range->bytes : 0;
  pthread_mutex_unlock(&pool->lock);
  return bytes;
}

/* --- looking ------------------------------------------------------------------------------------------- */

void qds_best_fit_read(qds_best_fit *pool, qds_best_fit_statistics *out) {
  pthread_mutex_lock(&pool->lock);
  const qds_range_map *map = &pool->map;
  const qds_range *largest = qds_range_last(map->free_root);
  *out = (qds_best_fit_statistics){
      .used_bytes = map->used_bytes - pool->purging_bytes,
      .peak_used_bytes = pool->peak_used,
      .reserved_bytes = reserved_bytes(pool),
      .peak_reserved_bytes = pool->peak_reserved,
      .free_bytes = map->free_bytes + pool->purging_bytes,
      .largest_free_bytes = largest ? largest->bytes : 0,
      .idle_bytes = map->idle_bytes,
      .purged_bytes = map->purged_bytes,
      .used_blocks = map->used_ranges - pool->purging_ranges,
      .free_ranges = map->free_ranges + pool->purging_ranges,
      .segments = map->segments,
      .total_blocks = pool->total_blocks,
      .growths = pool->growths,
      .trims = pool->trims,
  };
  pthread_mutex_unlock(&pool->lock);
  if (out->free_bytes) out->fragmentation = 1 - (double)out->largest_free_bytes / (double)out->free_bytes;
}

typedef struct {
  void (*visit)(void *user, void *block, size_t bytes);
  void *user;
} visitor;

static void visit_block(void *user, qds_range *range) {
  const visitor *v = user;
  v->visit(v->user, (void *)range->begin, range->bytes);
}

void qds_best_fit_visit(qds_best_fit *pool, void (*visit)(void *user, void *block, size_t bytes),
                        void *user) {
  visitor v = {visit, user};
  pthread_mutex_lock(&pool->lock);
  qds_range_visit(pool->map.used_root, visit_block, &v);
  pthread_mutex_unlock(&pool->lock);
}

qds_status qds_best_fit_check(qds_best_fit *pool) {
  pthread_mutex_lock(&pool->lock);
  qds_status status = qds_range_map_check(&pool->map, pool->options.unit);
  const size_t limit = pool->options.limit, taken = taken_bytes(pool);
  const size_t used = pool->map.used_bytes - pool->purging_bytes;
  const int peaks = used <= pool->peak_used && used <= pool->peak_reserved;
  pthread_mutex_unlock(&pool->lock);
  QDS_TRY(status);
  if (!peaks) QDS_FAIL(QDS_ERROR_INTERNAL, "%s: a peak is lower than the present", pool->options.name);
  if (limit && taken > limit)
    QDS_FAIL(QDS_ERROR_INTERNAL, "%s: %zu bytes taken pass the limit of %zu", pool->options.name, taken,
             limit);
  return QDS_OK;
}

void qds_best_fit_destroy(qds_best_fit *pool) {
  if (!pool) return;
  while (pool->map.used_root) qds_range_map_give_back(&pool->map, pool->map.used_root, 0, 0);
  qds_best_fit_trim(pool, 0);
  qds_range_map_destroy(&pool->map);
  pthread_mutex_destroy(&pool->lock);
  qds_release(pool);
}

#include "mem/pool_classes.h"

/* First the compact family, then the aligned one. Up to 1 KiB every multiple of a line has a class; beyond,
 * the sizes are those of which a slab holds 49, 41, 35, 31, 25, 21, 18, 16, 12, 10, 8, 6, 5 and 4. */
enum { COMPACT_CLASSES = 16, COMPACT_MOST = 992 };
static const uint16_t strides[QDS_CLASSES] = {
    64,   128,  192,  256,  320,  384,  448,  512,  576,  640,  704,  768,  832,   896,   960,
    1024, 128,  192,  256,  320,  384,  448,  512,  576,  640,  704,  768,  832,   896,   960,
    1024, 1280, 1536, 1792, 1984, 2496, 3008, 3520, 3904, 5248, 6336, 7872, 10560, 12672, 15808};

_Static_assert(offsetof(qds_class_slab, returned) == 64 && sizeof(qds_class_slab) == 128,
               "a slab's header is not two cache lines");
_Static_assert(sizeof(qds_class_block) == QDS_LEAST_ALIGNMENT, "blocks would not be aligned");
_Static_assert(COMPACT_MOST + sizeof(qds_class_block) == 1024, "the largest compact class");

/* Stands for "no slab": it never has a free block, and nobody writes to it. So with "no cache", which is no
 * thread's. */
static const qds_class_slab none;
static const qds_class_cache nobody;

static uintptr_t begin_of(const qds_class_slab *slab) {
  return (uintptr_t)slab & ~(uintptr_t)(QDS_SLAB_BYTES - 1);
}

/* The first compact block's record begins where the lines for the slab's header end, that of the first
 * aligned block ends there. */
static qds_class_block *block_at(const qds_class_slab *slab, size_t index) {
  const size_t before = slab->class < COMPACT_CLASSES ? 0 : sizeof(qds_class_block);
  const size_t first = QDS_SLAB_HEADER_BYTES - before;
  return (qds_class_block *)(begin_of(slab) + first + index * strides[slab->class]);
}

static uint32_t used_of(const qds_class_slab *slab) {
  return slab->known ? (uint32_t)(slab->gives + 1) : slab->room;
}

/* --- slabs --------------------------------------------------------------------------------------------- */

static void make_known(qds_class_slab *slab) {
  slab->gives = (int32_t)used_of(slab) - 1;
  slab->known = 1;
}

static void list(qds_class_slab *slab) {
  qds_class_slab **head = &slab->cache->with_free[slab->class];
  slab->next = *head;
  slab->previous = NULL;
  if (*head) (*head)->previous = slab;
  *head = slab;
}

static void unlist(qds_class_slab *slab) {
  if (slab->next) slab->next->previous = slab->previous;
  *(slab->previous ? &slab->previous->next : &slab->cache->with_free[slab->class]) = slab->next;
}

static qds_status create_slab(qds_class_cache *cache, size_t class, qds_class_slab **out) {
  void *memory;
  QDS_TRY(qds_best_fit_allocate(cache->pool->source, QDS_SLAB_BYTES, QDS_SLAB_BYTES, &memory));
  qds_class_slab *slab = *out = qds_class_slab_of(memory);
  qds_forbid(memory, QDS_SLAB_BYTES);
  qds_permit(slab, sizeof *slab);
  const size_t blocks = (QDS_SLAB_BYTES - QDS_SLAB_HEADER_BYTES) / strides[class];
  *slab = (qds_class_slab){.cache = cache,
                           .known = 1,
                           .gives = -1,
                           .room = (uint16_t)blocks,
                           .class = (uint8_t) class,
                           .next_owned = cache->owned,
                           .owned_link = &cache->owned};
  if (cache->owned) cache->owned->owned_link = &slab->next_owned;
  cache->owned = slab;
  return QDS_OK;
}

/* The slab stands in no list and is not the current one. */
static void give_slab_back(qds_class_slab *slab) {
  qds_best_fit *source = slab->cache->pool->source;
  *slab->owned_link = slab->next_owned;
  if (slab->next_owned) slab->next_owned->owned_link = slab->owned_link;
  qds_forbid((void *)begin_of(slab), QDS_SLAB_BYTES);
  qds_best_fit_release(source, (void *)begin_of(slab));
}

/* Links a page of blocks that were never used, at least one, the lowest first. */
QDS_UNCHECKED static void carve(qds_class_slab *slab) {
  enum { AT_ONCE = 4096 };
  const uint32_t wanted = (uint32_t)AT_ONCE / strides[slab->class] + 1, left = slab->room - slab->carved;
  const uint32_t count = wanted < left ? wanted : left;
  for (uint32_t i = count; i-- > 0;) {
    qds_class_block *block = block_at(slab, slab->carved + i);
    block->header.owner = NULL;
    block->next = slab->free;
    slab->free = block;
  }
  slab->carved += count;
}

/* Takes a block back from its owner's thread. A slab that becomes empty goes, but for one per class, so that
 * a block that comes and goes does not take a slab with it. */
QDS_UNCHECKED static void take_back(qds_class_slab *slab, qds_class_block *block) {
  if (!slab->known) {
    make_known(slab);
    list(slab);
  }
  block->next = slab->free;
  slab->free = block;
  slab->gives--;
}

static void give_back_if_empty(qds_class_slab *slab) {
  if (slab == slab->cache->current[slab->class] || used_of(slab)) return;
  if (slab->next || slab->previous) {
    unlist(slab);
    give_slab_back(slab);
  }
}

/* --- returns from other threads ------------------------------------------------------------------------ */

QDS_UNCHECKED static void post(qds_class_cache *cache, qds_class_block *block) {
  qds_class_slab *slab = qds_class_slab_of(block);
  qds_class_block *first = atomic_load_explicit(&slab->returned, memory_order_relaxed);
  do {
    block->next = first;
    /* Acquires too: what the owner read of the slab comes before what is written to it below. */
  } while (!atomic_compare_exchange_weak_explicit(&slab->returned, &first, block, memory_order_acq_rel,
                                                  memory_order_relaxed));
  /* The slab stays until its owner finds it in the mail; whoever comes second must not touch it any more. */
  if (first) return;
  qds_class_slab *mail = atomic_load_explicit(&cache->mail, memory_order_relaxed);
  do {
    slab->next_mail = mail;
  } while (!atomic_compare_exchange_weak_explicit(&cache->mail, &mail, slab, memory_order_release,
                                                  memory_order_relaxed));
}

/* Makes the returned blocks of a slab free. */
QDS_UNCHECKED static void collect(qds_class_slab *slab) {
  qds_class_block *block = atomic_exchange_explicit(&slab->returned, NULL, memory_order_acq_rel);
  for (qds_class_block *next; block; block = next) {
    next = block->next;
    take_back(slab, block);
  }
}

static void read_mail(qds_class_cache *cache) {
  if (!atomic_load_explicit(&cache->mail, memory_order_relaxed)) return;
  qds_class_slab *slab = atomic_exchange_explicit(&cache->mail, NULL, memory_order_acquire);
  for (qds_class_slab *next; slab; slab = next) {
    next = slab->next_mail; /* before it can be posted again, or given back */
    collect(slab);
    give_back_if_empty(slab);
  }
}

/* --- allocation and release ---------------------------------------------------------------------------- */

/* Sees to it that the current slab of a class has a free block. */
static qds_status refill(qds_class_cache *cache, size_t class) {
  qds_class_slab *old = cache->current[class], *slab = cache->with_free[class];
  if (old->carved == old->room) {
    if (slab)
      unlist(slab);
    else
      QDS_TRY(create_slab(cache, class, &slab));
    if (old != &none) {
      old->known = 0;
      old->gives = 0;
    }
    cache->current[class] = slab;
  }
  if (!cache->current[class]->free) carve(cache->current[class]);
  return QDS_OK;
}

qds_status qds_class_pool_allocate(qds_class_cache *cache, size_t bytes, qds_class_block **out) {
  *out = qds_class_take(cache->pool, cache, bytes);
  if (*out) return QDS_OK;
  const size_t class = qds_class_of(cache->pool, bytes);
  read_mail(cache);
  if (!cache->current[class]->free) QDS_TRY(refill(cache, class));
  *out = qds_class_take(cache->pool, cache, bytes);
  return QDS_OK;
}

void qds_class_pool_release(qds_class_block *block) {
  qds_class_slab *slab = qds_class_slab_of(block);
  if (!qds_class_is_ours(slab->cache)) {
    post(slab->cache, block);
    return;
  }
  take_back(slab, block);
  give_back_if_empty(slab);
}

/* --- caches and threads -------------------------------------------------------------------------------- */

/* Call as the cache's owner. */
static void give_empty_slabs_back(qds_class_cache *cache) {
  read_mail(cache);
  for (qds_class_slab *slab = cache->owned, *next; slab; slab = next) {
    next = slab->next_owned;
    if (used_of(slab)) continue;
    if (slab == cache->current[slab->class])
      cache->current[slab->class] = (qds_class_slab *)&none;
    else
      unlist(slab);
    give_slab_back(slab);
  }
}

/* The destructor of the pool's thread key. Destructors of other keys may use the pool after it: then the
 * thread gets a cache again, and this runs once more. */
static void end_of_thread(void *data) {
  qds_class_cache *cache = data, *expected = cache, *no_cache = (qds_class_cache *)&nobody;
  qds_class_pool *pool = cache->pool;
  const uintptr_t thread = atomic_load_explicit(&cache->thread, memory_order_relaxed);
  atomic_compare_exchange_strong(&pool->table[qds_class_table_index(thread)], &expected, no_cache);
  give_empty_slabs_back(cache);
  atomic_store_explicit(&cache->thread, 0, memory_order_relaxed);
  pthread_mutex_lock(&pool->lock);
  cache->next_waiting = pool->waiting;
  pool->waiting = cache;
  pthread_mutex_unlock(&pool->lock);
}

/* Gives the cache a number, under which it is known from then on. */
static qds_status enter(qds_class_pool *pool, qds_class_cache *cache) {
  pthread_mutex_lock(&pool->lock);
  const size_t number = atomic_load_explicit(&pool->count, memory_order_relaxed);
  if (number < QDS_CLASS_MOST_CACHES) {
    atomic_store_explicit(&pool->caches[number], cache, memory_order_release);
    atomic_store_explicit(&pool->count, number + 1, memory_order_release);
  }
  pthread_mutex_unlock(&pool->lock);
  if (number == QDS_CLASS_MOST_CACHES)
    QDS_FAIL(QDS_ERROR_MEMORY, "out of memory: more than %d threads use one memory pool",
             QDS_CLASS_MOST_CACHES);
  return QDS_OK;
}

static qds_status create_cache(qds_class_pool *pool, qds_class_cache **out) {
  void *memory;
  *out = NULL;
  QDS_TRY(qds_allocate_zero(pool->allocator, 1, sizeof **out + pool->thread_bytes, "thread cache", __FILE__,
                            __LINE__, &memory));
  qds_class_cache *cache = memory;
  cache->pool = pool;
  for (int i = 0; i < QDS_CLASSES; i++) cache->current[i] = (qds_class_slab *)&none;
  const qds_status status = enter(pool, cache);
  if (status == QDS_OK)
    *out = cache;
  else
    qds_release(cache);
  return status;
}

/* A cache of a thread that has ended, or a new one. */
static qds_status take_cache(qds_class_pool *pool, qds_class_cache **out) {
  pthread_mutex_lock(&pool->lock);
  *out = pool->waiting;
  if (*out) pool->waiting = (*out)->next_waiting;
  pthread_mutex_unlock(&pool->lock);
  return *out ? QDS_OK : create_cache(pool, out);
}

qds_status qds_class_pool_cache(qds_class_pool *pool, qds_class_cache **out) {
  const uintptr_t thread = (uintptr_t)__builtin_thread_pointer();
  *out = qds_class_cache_here(pool);
  if (qds_class_is_ours(*out)) return QDS_OK;
  *out = NULL;
  qds_class_cache *cache = pthread_getspecific(pool->key);
  if (!cache) {
    QDS_TRY(take_cache(pool, &cache));
    atomic_store_explicit(&cache->thread, thread, memory_order_relaxed);
    const int refused = pthread_setspecific(pool->key, cache);
    if (refused) {
      end_of_thread(cache);
      QDS_FAIL_NATIVE(QDS_ERROR_MEMORY, refused, "out of memory: no room for a thread's cache");
    }
  }
  atomic_store_explicit(&pool->table[qds_class_table_index(thread)], cache, memory_order_release);
  *out = cache;
  return QDS_OK;
}

void qds_class_pool_trim(qds_class_pool *pool) {
  qds_class_cache *own = pthread_getspecific(pool->key);
  if (own) give_empty_slabs_back(own);
  pthread_mutex_lock(&pool->lock);
  for (qds_class_cache *cache = pool->waiting; cache; cache = cache->next_waiting)
    give_empty_slabs_back(cache);
  pthread_mutex_unlock(&pool->lock);
}

/* The smallest class of the right family for each size; `bytes` counts what else stands behind the block. */
static void choose_classes(uint8_t *class_of_step) {
  for (size_t step = 0; step < QDS_CLASS_LARGEST / 8; step++) {
    const size_t bytes = 8 * step, room = bytes + sizeof(qds_class_block);
    const int compact = bytes <= COMPACT_MOST && bytes % QDS_ALIGNMENT;
    size_t class = compact ? 0 : COMPACT_CLASSES;
    while (class < QDS_CLASSES - 1 && strides[class] < room) class ++;
    class_of_step[step] = (uint8_t) class;
  }
}

qds_status qds_class_pool_create(qds_best_fit *source, qds_allocator *allocator, size_t thread_bytes,
                                 qds_class_pool **out) {
  QDS_TRY(QDS_NEW_ZERO(allocator, 1, "memory pool", out));
  const int refused = pthread_key_create(&(*out)->key, end_of_thread);
  if (refused) {
    qds_release(*out);
    *out = NULL;
    QDS_FAIL_NATIVE(QDS_ERROR_MEMORY, refused,
                    "out of memory: this process has no thread key left for a memory pool");
  }
  (*out)->source = source;
  (*out)->allocator = allocator;
  (*out)->thread_bytes = thread_bytes;
  choose_classes((*out)->class_of_step);
  for (int i = 0; i < QDS_CLASS_TABLE; i++) (*out)->table[i] = (qds_class_cache *)&nobody;
  pthread_mutex_init(&(*out)->lock, NULL);
  return QDS_OK;
}

void qds_class_pool_destroy(qds_class_pool *pool) {
  if (!pool) return;
  pthread_key_delete(pool->key);
  for (size_t i = 0; i < pool->count; i++) {
    qds_class_cache *cache = pool->caches[i];
    while (cache->owned) give_slab_back(cache->owned);
    qds_release(cache);
  }
  pthread_mutex_destroy(&pool->lock);
  qds_release(pool);
}

/* --- looking ------------------------------------------------------------------------------------------- */

void *qds_class_pool_caller(qds_class_pool *pool, size_t index) {
  if (index >= atomic_load_explicit(&pool->count, memory_order_acquire)) return NULL;
  return atomic_load_explicit(&pool->caches[index], memory_order_relaxed)->caller;
}

void qds_class_pool_visit(qds_class_pool *pool, void (*visit)(void *user, qds_class_block *block),
                          void *user) {
  for (size_t number = 0; number < pool->count; number++)
    for (qds_class_slab *slab = pool->caches[number]->owned; slab; slab = slab->next_owned)
      for (uint32_t i = 0; i < slab->carved; i++) visit(user, block_at(slab, i));
}

/* The length of a list of free blocks, or SIZE_MAX when it leaves the slab or is a ring. */
QDS_UNCHECKED static size_t length(const qds_class_slab *slab, const qds_class_block *block) {
  size_t count = 0;
  for (; block; block = block->next) {
    const uintptr_t offset = (uintptr_t)block - (uintptr_t)block_at(slab, 0);
    if (offset % strides[slab->class] || offset / strides[slab->class] >= slab->carved) return SIZE_MAX;
    if (++count > slab->carved) return SIZE_MAX;
  }
  return count;
}

static int is_listed(const qds_class_slab *slab) {
  const qds_class_slab *other = slab->cache->with_free[slab->class];
  while (other && other != slab) other = other->next;
  return other != NULL;
}

static int is_in_mail(qds_class_slab *slab) {
  const qds_class_slab *other = slab->cache->mail;
  while (other && other != slab) other = other->next_mail;
  return other != NULL;
}

static const char *fault_of(qds_class_slab *slab) {
  const int current = slab->cache->current[slab->class] == slab, listed = is_listed(slab);
  const size_t free = length(slab, slab->free), returned = length(slab, slab->returned);
  if (free == SIZE_MAX || returned == SIZE_MAX) return "a free list is broken";
  const uint32_t used = used_of(slab);
  if (used + free != slab->carved || returned > used || slab->carved > slab->room)
    return "blocks are miscounted";
  if (slab->known != (current || listed) || (current && listed)) return "a slab stands in the wrong list";
  if (!slab->known && (slab->gives || free || slab->carved < slab->room))
    return "a slab with free blocks is in no list";
  if (listed && !free) return "a full slab is listed";
  if ((returned > 0) != is_in_mail(slab)) return "a slab with returned blocks is not in the mail";
  return NULL;
}

qds_status qds_class_pool_check(qds_class_pool *pool) {
  for (size_t number = 0; number < pool->count; number++)
    for (qds_class_slab *slab = pool->caches[number]->owned; slab; slab = slab->next_owned) {
      const char *fault = fault_of(slab);
      if (slab->cache != pool->caches[number]) fault = "a slab belongs to another cache";
      if (fault) QDS_FAIL(QDS_ERROR_INTERNAL, "small blocks: %s", fault);
    }
  return QDS_OK;
}

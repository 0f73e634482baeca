#include "mem/pool_classes.h"

#include <string.h>

/* Up to 1 KiB every multiple of a line has a class. Beyond, the sizes leave at most 3 % of a slab unused, and
 * are even numbers of lines: then no block of theirs stands where only one with a header may. */
static const uint16_t strides[QDS_CLASSES] = {64,   128,  192,  256,  320,  384,  448,  512,   576,   640,
                                              704,  768,  832,  896,  960,  1024, 1280, 1536,  1792,  1920,
                                              2432, 2944, 3456, 3840, 5248, 6272, 7808, 10496, 12544, 15744};

enum { MOST_ROOM = QDS_SLAB_BYTES / QDS_ALIGNMENT };

_Static_assert(offsetof(qds_class_slab, returned) == 64, "what blocks are taken with takes a line");
_Static_assert(QDS_CLASS_LARGEST / QDS_ALIGNMENT <= UINT8_MAX, "lines");

/* Stands for "no slab": it never has a free block, and nobody writes to it. So with "no cache", which is no
 * thread's. */
static const qds_class_slab none;
static const qds_class_cache nobody;

static uintptr_t begin_of(const qds_class_slab *slab) {
  return (uintptr_t)slab & ~(uintptr_t)(QDS_SLAB_BYTES - 1);
}

static uint32_t used_of(const qds_class_slab *slab) {
  return slab->usable - slab->free;
}

/* With how many free blocks a slab that was used up is listed again. To turn to another slab takes longer
 * than to take several blocks, so it must be worth while; the others do not wait for long, nor for much
 * memory. */
static uint32_t enough_free(const qds_class_slab *slab) {
  return slab->usable < 16 ? 1 : slab->usable / 8u;
}

/* --- slabs --------------------------------------------------------------------------------------------- */

static void list(qds_class_slab *slab) {
  slab->known = 1;
  slab->free_most = slab->usable - 1u;
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

/* Bytes before the first block of `room`: whatever line the header stands in, the stack and the words have
 * room behind it, and the number of lines is odd (`strides`). In front of the first block a line stays free.
 */
static size_t bytes_before(size_t room) {
  const size_t lines =
      (sizeof none + room * (sizeof none.stack[0] + sizeof none.words[0])) / QDS_ALIGNMENT + 2;
  return (QDS_SLAB_COLOURS + lines) / 2 * 2 * QDS_ALIGNMENT + QDS_ALIGNMENT;
}

static size_t room_for(size_t stride) {
  size_t room = QDS_SLAB_BYTES / stride;
  while (bytes_before(room) + room * stride > QDS_SLAB_BYTES) room--;
  return room;
}

/* Puts the numbers of all blocks on the stack, the lowest on top. */
static void fill_stack(qds_class_slab *slab) {
  for (size_t number = slab->room; number-- > 0;)
    if (!qds_has_header(slab->blocks + number * slab->stride)) slab->stack[slab->free++] = (uint16_t)number;
  slab->usable = (uint16_t)slab->free;
}

static qds_status create_slab(qds_class_cache *cache, size_t class, qds_class_slab **out) {
  void *memory;
  QDS_TRY(qds_best_fit_allocate(cache->pool->source, QDS_SLAB_BYTES, QDS_SLAB_BYTES, &memory));
  qds_class_slab *slab = *out = qds_class_slab_of(memory);
  const size_t stride = strides[class], room = cache->pool->room[class], before = bytes_before(room);
  qds_permit(memory, before - QDS_ALIGNMENT);
  qds_forbid((char *)memory + before - QDS_ALIGNMENT, QDS_SLAB_BYTES - before + QDS_ALIGNMENT);
  *slab = (qds_class_slab){.header.owner = cache->pool->owner,
                           .cache = cache,
                           .words = (uint32_t *)(slab->stack + (room + 1) / 2 * 2),
                           .blocks = (char *)memory + before,
                           .stride = (uint32_t)stride,
                           .inverse = (uint32_t)((((uint64_t)1 << 32) + stride - 1) / stride),
                           .room = (uint16_t)room,
                           .class = (uint8_t) class,
                           .next_owned = cache->owned,
                           .owned_link = &cache->owned};
  fill_stack(slab);
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

/* Takes a block back from its owner's thread. A slab that becomes empty goes, but for one per class, so that
 * a block that comes and goes does not take a slab with it. */
static void take_back(qds_class_slab *slab, const void *block) {
  slab->stack[slab->free++] = (uint16_t)qds_class_number(slab, block);
  if (!slab->known && slab->free > slab->free_most) list(slab);
}

static void give_back_if_empty(qds_class_slab *slab) {
  if (slab == slab->cache->current[slab->class] || used_of(slab)) return;
  if (slab->next || slab->previous) {
    unlist(slab);
    give_slab_back(slab);
  }
}

/* --- returns from other threads ------------------------------------------------------------------------ */

QDS_UNCHECKED static void post(qds_class_cache *cache, qds_class_return *block) {
  qds_class_slab *slab = qds_class_slab_of(block);
  qds_class_return *first = atomic_load_explicit(&slab->returned, memory_order_relaxed);
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
  qds_class_return *block = atomic_exchange_explicit(&slab->returned, NULL, memory_order_acq_rel);
  for (qds_class_return *next; block; block = next) {
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
  if (slab)
    unlist(slab);
  else
    QDS_TRY(create_slab(cache, class, &slab));
  if (old != &none) {
    old->known = 0;
    old->free_most = enough_free(old) - 1;
  }
  slab->known = 1;
  slab->free_most = slab->usable;
  cache->current[class] = slab;
  return QDS_OK;
}

qds_status qds_class_pool_allocate(qds_class_cache *cache, size_t bytes, qds_class_taken *out) {
  if (qds_class_take(cache->pool, cache, bytes, out)) return QDS_OK;
  const size_t class = qds_class_of(cache->pool, bytes);
  read_mail(cache);
  if (!cache->current[class]->free) QDS_TRY(refill(cache, class));
  (void)qds_class_take(cache->pool, cache, bytes, out);
  return QDS_OK;
}

void qds_class_pool_release(void *block) {
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

static void choose_classes(qds_class_pool *pool) {
  for (size_t class = 0; class < QDS_CLASSES; class ++)
    pool->room[class] = (uint16_t)room_for(strides[class]);
  for (size_t lines = 0, class = 0; lines <= QDS_CLASS_LARGEST / QDS_ALIGNMENT; lines++) {
    if (strides[class] < lines * QDS_ALIGNMENT) class ++;
    pool->class_of_lines[lines] = (uint8_t) class;
  }
}

qds_status qds_class_pool_create(qds_best_fit *source, qds_allocator *allocator, size_t thread_bytes,
                                 qds_allocator *owner, qds_class_pool **out) {
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
  (*out)->owner = owner;
  choose_classes(*out);
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

/* Marks which blocks of a slab are free, among them those that were returned; returns how many these are, or
 * SIZE_MAX when the stack or the list of returns names a block twice or one that does not exist. */
QDS_UNCHECKED static size_t mark_free(const qds_class_slab *slab, unsigned char *is_free) {
  size_t returned = 0;
  memset(is_free, 0, slab->room);
  for (uint32_t i = 0; i < slab->free; i++) {
    const uint32_t number = slab->stack[i];
    if (number >= slab->room || is_free[number]++) return SIZE_MAX;
  }
  for (const qds_class_return *block = slab->returned; block; block = block->next, returned++) {
    const uint32_t number = qds_class_number(slab, block);
    if (number >= slab->room || (const char *)block != slab->blocks + number * slab->stride ||
        is_free[number]++)
      return SIZE_MAX;
  }
  return returned;
}

void qds_class_pool_visit(qds_class_pool *pool, void (*visit)(void *user, size_t room, uint32_t word),
                          void *user) {
  unsigned char is_free[MOST_ROOM];
  for (size_t number = 0; number < pool->count; number++)
    for (qds_class_slab *slab = pool->caches[number]->owned; slab; slab = slab->next_owned) {
      mark_free(slab, is_free);
      for (size_t i = 0; i < slab->room; i++)
        if (!is_free[i] && !qds_has_header(slab->blocks + i * slab->stride))
          visit(user, qds_class_room(slab), slab->words[i]);
    }
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
  unsigned char is_free[MOST_ROOM];
  const int current = slab->cache->current[slab->class] == slab, listed = is_listed(slab);
  const size_t returned = mark_free(slab, is_free);
  if (returned == SIZE_MAX) return "a list of free blocks is broken";
  if (slab->free > slab->usable || returned > used_of(slab)) return "blocks are miscounted";
  if (slab->known != (current || listed) || (current && listed)) return "a slab stands in the wrong list";
  if (slab->free_most != (current ? slab->usable : listed ? slab->usable - 1u : enough_free(slab) - 1))
    return "a slab's bound is wrong";
  if (!slab->known && slab->free >= enough_free(slab)) return "a slab with free blocks is in no list";
  if (listed && !slab->free) return "a full slab is listed";
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

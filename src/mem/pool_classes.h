/* A pool for small blocks: size classes with a cache per thread.
 *
 * Structure. Memory comes in slabs of QDS_SLAB_BYTES, aligned to their size, so that the slab of a block is
 * found by clearing the low bits of its address. A slab serves one class of sizes and belongs to one cache,
 * for as long as it exists. A cache belongs to one thread at a time. It holds per class the slab that blocks
 * are taken from and a list of other slabs that have free blocks; full slabs stand in no list.
 *
 * Cache lines decide. Nothing is kept in or beside a block: the numbers of a slab's free blocks are a stack
 * at its begin, and a word for each block, whose meaning is the caller's, follows it. So a block is taken and
 * given back without touching its lines, which in a random order no cache of the processor may hold.
 *
 * Concurrency. Only the thread of a cache changes the free lists of its slabs: it takes and gives back
 * without a lock and without an atomic read-modify-write. Another thread that gives a block back pushes it on
 * the slab's list of returns, linked through the blocks (a stack that many push on and only the owner
 * empties, whole, so that the ABA problem does not arise); the one that finds the list empty also pushes the
 * slab on its cache's mail. The owner reads its mail when a free list runs out. A slab counts returned blocks
 * as used until its owner has collected them; so a slab without used blocks is in nobody's hands and can go
 * back to the source.
 *
 * A thread finds its cache in a table by its thread pointer. The table is a hint: two threads may share an
 * entry, then the loser asks pthread_getspecific; entries that nobody uses name a cache that is nobody's.
 * Caches are never freed before the pool, so that a stale entry points to a cache, if to that of another
 * thread. When a thread ends, its cache reads its mail, gives empty slabs back and waits, with the blocks
 * that are still in use, for the next thread that needs one; meanwhile blocks return to it as to any cache.
 * The lock guards the numbers of caches, and is taken when threads come and go and while waiting caches are
 * emptied.
 *
 * The structures are open for the sake of the functions inlined below; nobody else reads them. */
#ifndef QDS_MEM_POOL_CLASSES_H
#define QDS_MEM_POOL_CLASSES_H

#include <pthread.h>
#include <stdalign.h>
#include <stdatomic.h>

#include "mem/pool_best_fit.h"
#include "mem/sanitizer.h"

enum {
  QDS_CLASSES = 30,
  QDS_CLASS_LARGEST = 15744,    /* bytes from one block to the next */
  QDS_CLASS_TABLE = 256,        /* entries of the table of threads */
  QDS_CLASS_MOST_CACHES = 4096, /* threads that use a pool at one time */
};

enum { QDS_CLASS_BLOCK_MOST = QDS_CLASS_LARGEST - QDS_REDZONE_BYTES, QDS_CLASS_MOST_SLACK = 3200 };

/* A block, its word, and how many bytes it has: up to QDS_CLASS_MOST_SLACK more than were asked for. */
typedef struct {
  void *block;
  uint32_t *word;
  size_t room;
} qds_class_taken;

typedef struct qds_class_cache qds_class_cache;
typedef struct qds_class_slab qds_class_slab;
/* A block that another thread has given back. */
typedef struct qds_class_return qds_class_return;
struct qds_class_return {
  qds_class_return *next;
};

/* A block is used when it was taken and is not yet back, or back and not yet collected. */
struct qds_class_slab {
  qds_slab_header header;
  qds_class_cache *cache;
  uint32_t *words;    /* [room] */
  char *blocks;       /* the first block */
  uint32_t free;      /* blocks: stack[0..free) holds their numbers */
  uint32_t free_most; /* from so many on somebody must look when a block comes back: in a listed slab when it
                         is the last used one, in one that was used up when the slab is to be listed */
  uint32_t stride, inverse;      /* bytes from one block to the next; what to multiply by to divide by it */
  uint32_t hint_key, hint_value; /* the caller's, 0 at first */
  uint16_t room, usable;         /* blocks that there are, and those that stand where a block of a slab may */
  uint8_t class;
  uint8_t known; /* the current one, or in its cache's list of those with free blocks */
  /* Other threads write here. */
  alignas(64) _Atomic(qds_class_return *) returned;
  qds_class_slab *next_mail;
  alignas(64) qds_class_slab *next, *previous; /* in its cache's list of slabs with free blocks */
  qds_class_slab *next_owned, **owned_link;    /* all slabs of the cache */
  alignas(64) uint16_t stack[];                /* [room]; the words stand behind it */
};

struct qds_class_cache {
  atomic_uintptr_t thread;                /* its thread pointer; 0: waits for a thread */
  qds_class_slab *current[QDS_CLASSES];   /* never NULL */
  qds_class_slab *with_free[QDS_CLASSES]; /* lists of slabs other than the current one */
  qds_class_slab *owned;
  struct qds_class_pool *pool;
  qds_class_cache *next_waiting; /* of those without a thread */
  alignas(64) _Atomic(qds_class_slab *) mail;
  alignas(64) unsigned char caller[]; /* memory that the caller wanted per thread, zeroed at first */
};

typedef struct qds_class_pool {
  _Atomic(qds_class_cache *) table[QDS_CLASS_TABLE];             /* never NULL */
  uint8_t class_of_lines[QDS_CLASS_LARGEST / QDS_ALIGNMENT + 1]; /* by size, rounded up to whole lines */
  uint16_t room[QDS_CLASSES];                                    /* blocks of a slab */
  qds_best_fit *source;
  qds_allocator *owner;
  qds_allocator *allocator;
  size_t thread_bytes;
  pthread_key_t key;
  pthread_mutex_t lock;
  qds_class_cache *waiting;
  atomic_size_t count;
  _Atomic(qds_class_cache *) caches[QDS_CLASS_MOST_CACHES]; /* by number; the first `count` are there */
} qds_class_pool;

/* Slabs are taken from `source`; caches, each with `thread_bytes` for the caller, from `allocator`. Both
 * outlive the pool. `owner` is whose the blocks are, for their slabs' headers. Errors: MEMORY (also when the
 * process has no thread key left). */
qds_status qds_class_pool_create(qds_best_fit *source, qds_allocator *allocator, size_t thread_bytes,
                                 qds_allocator *owner, qds_class_pool **out);
/* All blocks are gone with it. No other thread uses the pool, and none that has used it may be ending
 * meanwhile. NULL is allowed. */
void qds_class_pool_destroy(qds_class_pool *pool);
QDS_AUTO_DEFINE(qds_class_pool)

/* The calling thread's cache, made when it has none. Errors: MEMORY. */
qds_status qds_class_pool_cache(qds_class_pool *pool, qds_class_cache **out);
/* A block of `bytes`, at most QDS_CLASS_BLOCK_MOST. Errors: those of the source. */
qds_status qds_class_pool_allocate(qds_class_cache *cache, size_t bytes, qds_class_taken *out);
/* Gives a block back in any case. Needs no memory. */
void qds_class_pool_release(void *block);

/* Gives the slabs of the calling thread and of threads that have ended back where they are empty. */
void qds_class_pool_trim(qds_class_pool *pool);

/* The caller's memory in the cache number `index`, or NULL past the last. */
void *qds_class_pool_caller(qds_class_pool *pool, size_t index);
/* Calls `visit` with the bytes that there are for every used block and its word. At rest only: no other
 * thread uses the pool. */
void qds_class_pool_visit(qds_class_pool *pool, void (*visit)(void *user, size_t room, uint32_t word),
                          void *user);
/* For tests, at rest: compares lists, counters and links. Errors: INTERNAL, which names the fault. */
qds_status qds_class_pool_check(qds_class_pool *pool);

/* --- the fast path ------------------------------------------------------------------------------------- */

static inline size_t qds_class_of(const qds_class_pool *pool, size_t bytes) {
  return pool->class_of_lines[(bytes + QDS_REDZONE_BYTES + QDS_ALIGNMENT - 1) / QDS_ALIGNMENT];
}

static inline qds_class_slab *qds_class_slab_of(const void *block) {
  return (qds_class_slab *)qds_slab_of(block);
}

/* The number of a block in its slab. The product is exact: the inverse is 2^32 over the stride, rounded up,
 * and an offset times what that adds stays below 2^32. */
static inline uint32_t qds_class_number(const qds_class_slab *slab, const void *block) {
  return (uint32_t)((uint64_t)((const char *)block - slab->blocks) * slab->inverse >> 32);
}

static inline uint32_t *qds_class_word(const qds_class_slab *slab, const void *block) {
  return &slab->words[qds_class_number(slab, block)];
}

/* Fibonacci hashing: the high bits of a product with 2^64 over the golden ratio. */
static inline size_t qds_class_table_index(uintptr_t thread) {
  return (size_t)((uint64_t)thread * 0x9e3779b97f4a7c15u >> 56);
}

static inline int qds_class_is_ours(const qds_class_cache *cache) {
  return atomic_load_explicit(&cache->thread, memory_order_relaxed) == (uintptr_t)__builtin_thread_pointer();
}

/* The cache that the table has for the calling thread: perhaps that of another. */
static inline qds_class_cache *qds_class_cache_here(const qds_class_pool *pool) {
  const size_t at = qds_class_table_index((uintptr_t)__builtin_thread_pointer());
  return atomic_load_explicit(&pool->table[at], memory_order_acquire);
}

static inline size_t qds_class_room(const qds_class_slab *slab) {
  return slab->stride - QDS_REDZONE_BYTES;
}

/* A free block; returns 0 when the current slab has none. */
static inline int qds_class_take(const qds_class_pool *pool, const qds_class_cache *cache, size_t bytes,
                                 qds_class_taken *out) {
  qds_class_slab *slab = cache->current[qds_class_of(pool, bytes)];
  const uint32_t free = slab->free;
  if (__builtin_expect(free == 0, 0)) return 0;
  const size_t number = slab->stack[free - 1];
  slab->free = free - 1;
  *out = (qds_class_taken){slab->blocks + number * slab->stride, &slab->words[number], qds_class_room(slab)};
  return 1;
}

/* Gives a block of the calling thread's cache back; returns 0 when only qds_class_pool_release can. */
static inline int qds_class_give(qds_class_slab *slab, const void *block) {
  const uint32_t free = slab->free;
  if (__builtin_expect(free >= slab->free_most, 0)) return 0;
  slab->stack[free] = (uint16_t)qds_class_number(slab, block);
  slab->free = free + 1;
  return 1;
}

#endif

/* A pool for small blocks: size classes with a cache per thread.
 *
 * Cache lines decide. A record stands directly before every block. Blocks that need no alignment to a line
 * (allocator.h) have their record at the begin of a line, which their own first bytes share: whoever takes
 * such a block and writes to it touches one line for both. Aligned blocks have their record at the end of the
 * line before. So there are two families of classes, compact and aligned.
 *
 * Structure. Memory comes in slabs of QDS_SLAB_BYTES, aligned to their size, so that the slab of a block is
 * found by clearing the low bits of its address. A slab serves one class of sizes and belongs to one cache,
 * for as long as it exists. A cache belongs to one thread at a time. It holds per class the slab that blocks
 * are taken from and a list of other slabs that have free blocks; full slabs stand in no list.
 *
 * Concurrency. Only the thread of a cache changes the free lists of its slabs: it takes and gives back
 * without a lock and without an atomic read-modify-write. Another thread that gives a block back pushes it on
 * the slab's list of returns (a stack that many push on and only the owner empties, whole, so that the ABA
 * problem does not arise); the one that finds the list empty also pushes the slab on its cache's mail. The
 * owner reads its mail when a free list runs out. A slab counts returned blocks as used until its owner has
 * collected them; so a slab without used blocks is in nobody's hands and can go back to the source.
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
  QDS_SLAB_BYTES = 1 << 16,
  QDS_SLAB_COLOURS = 32,
  QDS_SLAB_HEADER_BYTES = (QDS_SLAB_COLOURS + 2) * 64, /* before the first block */
  QDS_CLASSES = 45,
  QDS_CLASS_LARGEST = 15808,    /* bytes from one block to the next */
  QDS_CLASS_TABLE = 256,        /* entries of the table of threads */
  QDS_CLASS_MOST_CACHES = 4096, /* threads that use a pool at one time */
};

/* Stands directly before every block; the caller's. While the block is free, the pool has the place of the
 * header. */
typedef struct qds_class_block qds_class_block;
struct qds_class_block {
  const char *file;
  int line;
  uint32_t tag;
  union {
    qds_block_header header;
    qds_class_block *next;
  };
};

enum { QDS_CLASS_BLOCK_MOST = QDS_CLASS_LARGEST - (int)sizeof(qds_class_block) - QDS_REDZONE_BYTES };

typedef struct qds_class_cache qds_class_cache;
typedef struct qds_class_slab qds_class_slab;
struct qds_class_slab {
  qds_class_block *free;
  qds_class_cache *cache;
  /* How many blocks may come back before somebody must look: all used ones but the last, none while the slab
   * is not known. A block is used when it was taken and is not yet back, or back and not yet collected. */
  int32_t gives;
  uint32_t carved; /* blocks that were ever free */
  uint16_t room;   /* blocks that there are */
  uint8_t class;
  uint8_t known; /* the current one, or in its cache's list of those with free blocks; else all are used */
  qds_class_slab *next, *previous;          /* in its cache's list of slabs with free blocks */
  qds_class_slab *next_owned, **owned_link; /* all slabs of the cache */
  /* Other threads write here. */
  alignas(64) _Atomic(qds_class_block *) returned;
  qds_class_slab *next_mail;
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
  _Atomic(qds_class_cache *) table[QDS_CLASS_TABLE]; /* never NULL */
  uint8_t class_of_step[QDS_CLASS_LARGEST / 8];      /* by size in steps of 8 bytes */
  qds_best_fit *source;
  qds_allocator *allocator;
  size_t thread_bytes;
  pthread_key_t key;
  pthread_mutex_t lock;
  qds_class_cache *waiting;
  atomic_size_t count;
  _Atomic(qds_class_cache *) caches[QDS_CLASS_MOST_CACHES]; /* by number; the first `count` are there */
} qds_class_pool;

/* Slabs are taken from `source`; caches, each with `thread_bytes` for the caller, from `allocator`. Both
 * outlive the pool. Errors: MEMORY (also when the process has no thread key left). */
qds_status qds_class_pool_create(qds_best_fit *source, qds_allocator *allocator, size_t thread_bytes,
                                 qds_class_pool **out);
/* All blocks are gone with it. No other thread uses the pool, and none that has used it may be ending
 * meanwhile. NULL is allowed. */
void qds_class_pool_destroy(qds_class_pool *pool);
QDS_AUTO_DEFINE(qds_class_pool)

/* The calling thread's cache, made when it has none. Errors: MEMORY. */
qds_status qds_class_pool_cache(qds_class_pool *pool, qds_class_cache **out);
/* A block of `bytes`, at most QDS_CLASS_BLOCK_MOST; its record and header are the caller's to fill. Errors:
 * those of the source. */
qds_status qds_class_pool_allocate(qds_class_cache *cache, size_t bytes, qds_class_block **out);
/* Gives a block back in any case. Needs no memory. */
void qds_class_pool_release(qds_class_block *block);

/* Gives the slabs of the calling thread and of threads that have ended back where they are empty. */
void qds_class_pool_trim(qds_class_pool *pool);

/* The caller's memory in the cache number `index`, or NULL past the last. */
void *qds_class_pool_caller(qds_class_pool *pool, size_t index);
/* Calls `visit` for every block that was ever taken, used or free. At rest only: no other thread uses the
 * pool. */
void qds_class_pool_visit(qds_class_pool *pool, void (*visit)(void *user, qds_class_block *block),
                          void *user);
/* For tests, at rest: compares lists, counters and links. Errors: INTERNAL, which names the fault. */
qds_status qds_class_pool_check(qds_class_pool *pool);

/* --- the fast path ------------------------------------------------------------------------------------- */

static inline size_t qds_class_of(const qds_class_pool *pool, size_t bytes) {
  return pool->class_of_step[(bytes + QDS_REDZONE_BYTES + 7) / 8];
}

/* A slab's header lies in one of QDS_SLAB_COLOURS lines, so that headers do not all fall on the same few sets
 * of the processor's caches. */
static inline qds_class_slab *qds_class_slab_of(const qds_class_block *block) {
  const uintptr_t begin = (uintptr_t)block & ~(uintptr_t)(QDS_SLAB_BYTES - 1);
  return (qds_class_slab *)(begin + begin / QDS_SLAB_BYTES % QDS_SLAB_COLOURS * 64);
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

/* A free block, or NULL when the current slab has none. */
QDS_UNCHECKED static inline qds_class_block *qds_class_take(const qds_class_pool *pool,
                                                            qds_class_cache *cache, size_t bytes) {
  qds_class_slab *slab = cache->current[qds_class_of(pool, bytes)];
  qds_class_block *block = slab->free;
  if (__builtin_expect(!block, 0)) return NULL;
  slab->free = block->next;
  slab->gives++;
  __builtin_prefetch(slab->free, 1); /* its record is written next time */
  return block;
}

/* The cache that a block belongs to: perhaps that of another thread. */
static inline qds_class_cache *qds_class_owner(const qds_class_block *block) {
  return qds_class_slab_of(block)->cache;
}

/* Gives a block of the calling thread's cache back; returns 0 when only qds_class_pool_release can. */
QDS_UNCHECKED static inline int qds_class_give(qds_class_block *block) {
  qds_class_slab *slab = qds_class_slab_of(block);
  const int32_t gives = slab->gives;
  if (__builtin_expect(gives == 0, 0)) return 0;
  slab->gives = gives - 1;
  block->next = slab->free;
  slab->free = block;
  return 1;
}

#endif

#include "mem/heap.h"

#include "mem/account.h"
#include "mem/limits.h"
#include "mem/pool_classes.h"
#include "mem/provider_host.h"
#include "mem/system_allocator.h"
#include "qdsim/text.h"

/* A record stands directly before its block; that of a large block ends where the first alignment unit does.
 */
typedef qds_class_block record;
enum { LARGE_HEADER_BYTES = QDS_ALIGNMENT, LARGE_BYTES = 1 << 20 };

/* Kept out of the fast paths, which need no stack then: they end by jumping to what is slow. */
#define SLOW QDS_UNCHECKED __attribute__((noinline, cold))
/* The fast paths are compiled once for each detail. */
#define FAST QDS_UNCHECKED static inline __attribute__((always_inline))
#define UNLIKELY(condition) __builtin_expect(!!(condition), 0)

struct qds_heap {
  qds_allocator interface; /* first, so that a qds_allocator * is a qds_heap * */
  qds_class_pool *small;
  qds_best_fit *pools[QDS_HEAP_POOLS];
  size_t limit;
  qds_heap_detail detail;
  /* Smaller blocks have a fast path; 0 while a limit holds or a failure is due. */
  atomic_size_t fast_bytes;
  alignas(64) atomic_size_t taken; /* bytes granted, when there is a limit */
  atomic_size_t peak;
  pthread_mutex_t lock;
  atomic_uint_least64_t fail_in; /* 0: never */
  qds_account account;
};

static record *record_of(void *block) {
  return (record *)block - 1;
}

static qds_account_share *share_of(qds_class_cache *cache) {
  return (qds_account_share *)cache->caller;
}

/* --- admission ----------------------------------------------------------------------------------------- */

static void set_fast_path(qds_heap *heap) {
  atomic_store(&heap->fast_bytes, heap->limit || heap->fail_in ? 0 : QDS_CLASS_BLOCK_MOST + 1);
}

static qds_status inject(qds_heap *heap, size_t bytes, const char *tag, const char *file, int line) {
  if (!atomic_load(&heap->fail_in)) return QDS_OK;
  pthread_mutex_lock(&heap->lock);
  const int fails = heap->fail_in && --heap->fail_in == 0;
  if (!heap->fail_in) set_fast_path(heap);
  pthread_mutex_unlock(&heap->lock);
  if (!fails) return QDS_OK;
  return qds_raise(QDS_ERROR_MEMORY, file, line, 0, "out of memory: %zu bytes for %s (failure injected)",
                   bytes, tag);
}

static int fits(const qds_heap *heap, size_t held, size_t bytes) {
  return !heap->limit || (bytes <= heap->limit && held <= heap->limit - bytes);
}

/* Grants the bytes under the limit, so that threads cannot pass it together. */
static qds_status grant(qds_heap *heap, size_t bytes, const char *tag, const char *file, int line) {
  size_t held = atomic_load_explicit(&heap->taken, memory_order_relaxed);
  do {
    if (!fits(heap, held, bytes)) {
      char more[QDS_BYTES_TEXT], there[QDS_BYTES_TEXT], limit[QDS_BYTES_TEXT];
      qds_format_bytes(bytes, more);
      qds_format_bytes(held, there);
      qds_format_bytes(heap->limit, limit);
      return qds_raise(QDS_ERROR_BUDGET, file, line, 0,
                       "memory budget exceeded: %s for %s on top of %s pass the limit of %s; raise "
                       "--memory-limit, or use fewer nodes or states",
                       more, tag, there, limit);
    }
  } while (!atomic_compare_exchange_weak_explicit(&heap->taken, &held, held + bytes, memory_order_relaxed,
                                                  memory_order_relaxed));
  return QDS_OK;
}

static qds_status admit(qds_heap *heap, size_t bytes, const char *tag, const char *file, int line) {
  if (bytes > PTRDIFF_MAX - LARGE_HEADER_BYTES - QDS_REDZONE_BYTES)
    return qds_raise(QDS_ERROR_MEMORY, file, line, 0,
                     "out of memory: %zu bytes for %s pass the address range", bytes, tag);
  if (atomic_load_explicit(&heap->fast_bytes, memory_order_relaxed)) return QDS_OK;
  QDS_TRY(inject(heap, bytes, tag, file, line));
  return heap->limit ? grant(heap, bytes, tag, file, line) : QDS_OK;
}

static void withdraw(qds_heap *heap, size_t bytes) {
  if (heap->limit) atomic_fetch_sub_explicit(&heap->taken, bytes, memory_order_relaxed);
}

static void note_peak(qds_heap *heap) {
  const size_t taken = atomic_load_explicit(&heap->taken, memory_order_relaxed);
  size_t peak = atomic_load_explicit(&heap->peak, memory_order_relaxed);
  while (peak < taken && !atomic_compare_exchange_weak(&heap->peak, &peak, taken)) continue;
}

/* --- allocation ---------------------------------------------------------------------------------------- */

static size_t large_room(size_t bytes) {
  return LARGE_HEADER_BYTES + bytes + QDS_REDZONE_BYTES;
}

static qds_best_fit *large_pool(const qds_heap *heap, size_t bytes) {
  return heap->pools[bytes < LARGE_BYTES ? QDS_HEAP_MEDIUM : QDS_HEAP_LARGE];
}

static record *large_record(void *memory) {
  return record_of((char *)memory + LARGE_HEADER_BYTES);
}

static void *large_memory(record *r) {
  return (char *)(r + 1) - LARGE_HEADER_BYTES;
}

/* With a limit, free memory must not be kept where fresh memory would carry the whole heap beyond it. */
static void make_way(qds_heap *heap, size_t room) {
  size_t reserved = room;
  for (int i = 0; i < QDS_HEAP_POOLS; i++) {
    qds_best_fit_statistics s;
    qds_best_fit_read(heap->pools[i], &s);
    reserved += s.reserved_bytes;
  }
  if (reserved > heap->limit) qds_heap_trim(heap);
}

static qds_status take_large(qds_heap *heap, size_t bytes, record **out) {
  qds_best_fit *pool = large_pool(heap, bytes);
  const size_t room = large_room(bytes);
  void *memory = NULL;
  if (heap->limit) {
    QDS_TRY(qds_best_fit_try(pool, room, 0, &memory));
    if (!memory) make_way(heap, room);
  }
  if (!memory) QDS_TRY(qds_best_fit_allocate(pool, room, 0, &memory));
  qds_forbid(memory, room);
  *out = large_record(memory);
  return QDS_OK;
}

static qds_status take_block(qds_heap *heap, qds_class_cache *cache, size_t bytes, record **out) {
  return bytes <= QDS_CLASS_BLOCK_MOST ? qds_class_pool_allocate(cache, bytes, out)
                                       : take_large(heap, bytes, out);
}

/* What one pool lacks may lie idle in another. */
static qds_status obtain(qds_heap *heap, size_t bytes, qds_class_cache **cache, record **out) {
  QDS_TRY(qds_class_pool_cache(heap->small, cache));
  const qds_status status = take_block(heap, *cache, bytes, out);
  if (status == QDS_OK || !qds_heap_trim(heap)) return status;
  return take_block(heap, *cache, bytes, out);
}

static SLOW qds_status count_unknown(qds_heap *heap, qds_account_share *share, record *r, const char *tag,
                                     size_t bytes) {
  r->tag = qds_account_find(&heap->account, share, tag);
  if (qds_account_take(share, r->tag, bytes)) qds_account_settle(&heap->account, share, r->tag);
  return QDS_OK;
}

static SLOW qds_status settle(qds_heap *heap, qds_account_share *share, qds_account_key key) {
  qds_account_settle(&heap->account, share, key);
  return QDS_OK;
}

/* Fills the record in and counts the block; succeeds. */
FAST qds_status hand_out(qds_heap *heap, qds_heap_detail detail, qds_class_cache *cache, record *r,
                         size_t bytes, const char *tag, const char *file, int line, void **out) {
  qds_account_key key;
  r->header = (qds_block_header){&heap->interface, bytes};
  if (detail >= QDS_HEAP_TRACKING) {
    r->file = file;
    r->line = line;
  }
  qds_permit(&r->header, sizeof r->header + bytes);
  *out = r + 1;
  if (detail < QDS_HEAP_STATISTICS) return QDS_OK;
  if (UNLIKELY(!qds_account_knows(share_of(cache), tag, &key)))
    return count_unknown(heap, share_of(cache), r, tag, bytes);
  r->tag = key;
  if (UNLIKELY(qds_account_take(share_of(cache), key, bytes))) return settle(heap, share_of(cache), key);
  return QDS_OK;
}

static SLOW qds_status allocate_slowly(qds_heap *heap, size_t bytes, const char *tag, const char *file,
                                       int line, void **out) {
  qds_class_cache *cache;
  record *r;
  *out = NULL;
  QDS_TRY(admit(heap, bytes, tag, file, line));
  if (obtain(heap, bytes, &cache, &r) != QDS_OK) {
    char size[QDS_BYTES_TEXT];
    withdraw(heap, bytes);
    qds_format_bytes(bytes, size);
    return qds_raise(QDS_ERROR_MEMORY, file, line, qds_last_error()->native,
                     "out of memory: the system refused %s for %s", size, tag);
  }
  if (heap->limit) note_peak(heap);
  return hand_out(heap, heap->detail, cache, r, bytes, tag, file, line, out);
}

FAST qds_status allocate(qds_heap *heap, qds_heap_detail detail, size_t bytes, const char *tag,
                         const char *file, int line, void **out) {
  if (UNLIKELY(bytes >= atomic_load_explicit(&heap->fast_bytes, memory_order_relaxed)))
    return allocate_slowly(heap, bytes, tag, file, line, out);
  const qds_class_pool *pool = heap->small;
  qds_class_cache *cache = qds_class_cache_here(pool);
  if (UNLIKELY(!qds_class_is_ours(cache))) return allocate_slowly(heap, bytes, tag, file, line, out);
  record *r = qds_class_take(pool, cache, bytes);
  if (UNLIKELY(!r)) return allocate_slowly(heap, bytes, tag, file, line, out);
  return hand_out(heap, detail, cache, r, bytes, tag, file, line, out);
}

/* A thread that cannot have a cache gives back all the same. */
static SLOW void release_slowly(qds_heap *heap, record *r, size_t bytes, uint32_t tag) {
  qds_class_cache *cache;
  withdraw(heap, bytes);
  if (qds_class_pool_cache(heap->small, &cache) != QDS_OK) cache = NULL;
  if (heap->detail < QDS_HEAP_STATISTICS)
    ; /* nothing is counted */
  else if (!cache)
    qds_account_return(&heap->account, tag, bytes);
  else if (qds_account_give(share_of(cache), tag, bytes))
    qds_account_settle(&heap->account, share_of(cache), tag);
  if (bytes <= QDS_CLASS_BLOCK_MOST) {
    qds_class_pool_release(r);
  } else {
    qds_forbid(large_memory(r), large_room(bytes));
    qds_best_fit_release(large_pool(heap, bytes), large_memory(r));
  }
}

FAST void release(qds_heap *heap, qds_heap_detail detail, void *block) {
  record *r = record_of(block);
  const size_t bytes = r->header.bytes;
  const uint32_t tag = detail >= QDS_HEAP_STATISTICS ? r->tag : 0;
  if (bytes <= QDS_CLASS_BLOCK_MOST) qds_forbid(r, (sizeof *r + bytes + 7) & ~(size_t)7);
  if (UNLIKELY(bytes >= atomic_load_explicit(&heap->fast_bytes, memory_order_relaxed))) {
    release_slowly(heap, r, bytes, tag);
    return;
  }
  qds_class_cache *cache = qds_class_owner(r);
  if (UNLIKELY(!qds_class_is_ours(cache) || !qds_class_give(r)))
    release_slowly(heap, r, bytes, tag);
  else if (detail >= QDS_HEAP_STATISTICS && UNLIKELY(qds_account_give(share_of(cache), tag, bytes)))
    settle(heap, share_of(cache), tag);
}

#define DEFINE_INTERFACE(name, detail)                                                                       \
  QDS_UNCHECKED __attribute__((aligned(64))) static qds_status allocate_##name(                              \
      qds_allocator *self, size_t bytes, const char *tag, const char *file, int line, void **out) {          \
    return allocate((qds_heap *)self, detail, bytes, tag, file, line, out);                                  \
  }                                                                                                          \
  QDS_UNCHECKED __attribute__((aligned(64))) static void release_##name(qds_allocator *self, void *block) {  \
    release((qds_heap *)self, detail, block);                                                                \
  }
DEFINE_INTERFACE(plain, QDS_HEAP_PLAIN)
DEFINE_INTERFACE(statistics, QDS_HEAP_STATISTICS)
DEFINE_INTERFACE(tracking, QDS_HEAP_TRACKING)

static const qds_allocator interfaces[] = {[QDS_HEAP_PLAIN] = {allocate_plain, release_plain},
                                           [QDS_HEAP_STATISTICS] = {allocate_statistics, release_statistics},
                                           [QDS_HEAP_TRACKING] = {allocate_tracking, release_tracking}};

/* --- begin and end ------------------------------------------------------------------------------------- */

static qds_status create_pools(qds_heap *heap) {
  static const size_t unit[QDS_HEAP_POOLS] = {QDS_PAGE_BYTES, QDS_ALIGNMENT, QDS_PAGE_BYTES};
  static const size_t segment_bytes[QDS_HEAP_POOLS] = {4 << 20, 4 << 20, 16 << 20};
  for (int i = 0; i < QDS_HEAP_POOLS; i++) {
    qds_best_fit_options options = QDS_BEST_FIT_OPTIONS_INIT;
    options.name = "host pool";
    options.provider = qds_provider_host(QDS_PAGES_TRANSPARENT);
    options.allocator = qds_system_allocator();
    options.unit = unit[i];
    options.segment_bytes = segment_bytes[i];
    if (i == QDS_HEAP_LARGE) options.reserve_ratio = 1.15;
    options.idle_bytes = QDS_HEAP_IDLE_BYTES;
    QDS_TRY(qds_best_fit_create(&options, &heap->pools[i]));
  }
  return qds_class_pool_create(heap->pools[QDS_HEAP_SLABS], qds_system_allocator(), sizeof(qds_account_share),
                               &heap->small);
}

qds_status qds_heap_create_with(size_t limit, qds_heap_detail detail, qds_heap **out) {
  *out = NULL;
  qds_heap *heap;
  QDS_TRY(QDS_NEW_ZERO(qds_system_allocator(), 1, "memory account", &heap));
  heap->interface = interfaces[detail];
  pthread_mutex_init(&heap->lock, NULL);
  qds_account_open(&heap->account);
  heap->limit = limit;
  heap->detail = detail;
  set_fast_path(heap);
  const qds_status status = create_pools(heap);
  if (status != QDS_OK)
    qds_heap_destroy(heap, NULL, NULL);
  else
    *out = heap;
  return status;
}

qds_status qds_heap_create(size_t limit, qds_heap **out) {
  return qds_heap_create_with(limit, QDS_HEAP_TRACKING, out);
}

typedef struct {
  qds_heap *heap;
  qds_leak_fn leak;
  void *user;
} leak_report;

QDS_UNCHECKED static void report(const leak_report *to, const record *r) {
  to->leak(to->user, qds_account_name(&to->heap->account, r->tag), r->header.bytes, r->file, r->line);
}

QDS_UNCHECKED static void visit_small(void *user, qds_class_block *r) {
  const leak_report *to = user;
  if (r->header.owner == &to->heap->interface) report(to, r);
}

static void visit_large(void *user, void *memory, size_t bytes) {
  (void)bytes;
  report(user, large_record(memory));
}

void qds_heap_destroy(qds_heap *heap, qds_leak_fn leak, void *user) {
  if (!heap) return;
  leak_report to = {heap, leak, user};
  if (leak && heap->detail == QDS_HEAP_TRACKING) {
    qds_class_pool_visit(heap->small, visit_small, &to);
    qds_best_fit_visit(heap->pools[QDS_HEAP_MEDIUM], visit_large, &to);
    qds_best_fit_visit(heap->pools[QDS_HEAP_LARGE], visit_large, &to);
  }
  qds_class_pool_destroy(heap->small);
  for (int i = 0; i < QDS_HEAP_POOLS; i++) qds_best_fit_destroy(heap->pools[i]);
  qds_account_close(&heap->account);
  pthread_mutex_destroy(&heap->lock);
  qds_release(heap);
}

qds_allocator *qds_heap_allocator(qds_heap *heap) {
  return &heap->interface;
}

/* --- looking ------------------------------------------------------------------------------------------- */

static void *numbered_share(void *pool, size_t number) {
  return qds_class_pool_caller(pool, number);
}

void qds_heap_total(qds_heap *heap, qds_memory_row *total) {
  qds_account_total(&heap->account, numbered_share, heap->small, total);
  if (heap->limit) total->peak_bytes = atomic_load(&heap->peak);
}

int qds_heap_tag(qds_heap *heap, size_t index, qds_memory_row *row) {
  return qds_account_tag(&heap->account, numbered_share, heap->small, index, row);
}

void qds_heap_read_pool(qds_heap *heap, qds_heap_pool pool, qds_best_fit_statistics *out) {
  qds_best_fit_read(heap->pools[pool], out);
}

qds_status qds_heap_check(qds_heap *heap) {
  for (int i = 0; i < QDS_HEAP_POOLS; i++) QDS_TRY(qds_best_fit_check(heap->pools[i]));
  return qds_class_pool_check(heap->small);
}

void qds_heap_fail(qds_heap *heap, uint64_t n) {
  pthread_mutex_lock(&heap->lock);
  heap->fail_in = n;
  set_fast_path(heap);
  pthread_mutex_unlock(&heap->lock);
}

size_t qds_heap_trim(qds_heap *heap) {
  size_t went = 0;
  qds_class_pool_trim(heap->small);
  for (int i = 0; i < QDS_HEAP_POOLS; i++) went += qds_best_fit_trim(heap->pools[i], 0);
  return went;
}

qds_status qds_heap_reserve_check(qds_heap *heap, size_t bytes, const char *purpose) {
  char needed[QDS_BYTES_TEXT], there[QDS_BYTES_TEXT], limit[QDS_BYTES_TEXT];
  const size_t held = atomic_load(&heap->taken);
  qds_format_bytes(bytes, needed);
  if (!fits(heap, held, bytes)) {
    qds_format_bytes(held, there);
    qds_format_bytes(heap->limit, limit);
    QDS_FAIL(QDS_ERROR_BUDGET,
             "memory budget exceeded: %s needs %s on top of %s, the limit is %s; raise "
             "--memory-limit, or use fewer nodes or states",
             purpose, needed, there, limit);
  }
  size_t available = qds_available_memory();
  if (bytes > available && qds_heap_trim(heap)) available = qds_available_memory();
  if (bytes > available) {
    qds_format_bytes(available, there);
    QDS_FAIL(QDS_ERROR_BUDGET,
             "memory budget exceeded: %s needs %s, %s are free on this machine for this process; use "
             "fewer nodes or states",
             purpose, needed, there);
  }
  return QDS_OK;
}

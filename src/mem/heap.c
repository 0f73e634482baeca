#include "mem/heap.h"

#include "mem/account.h"
#include "mem/budget.h"
#include "mem/limits.h"
#include "mem/origins.h"
#include "mem/pool_classes.h"
#include "mem/provider_host.h"
#include "mem/system_allocator.h"
#include "qdsim/text.h"

/* Stands directly before a block that is too large for the size classes, at the end of a unit of its own. */
typedef struct {
  const char *file;
  int line;
  qds_account_key tag;
  qds_block_header header;
} record;
enum { LARGE_HEADER_BYTES = QDS_HEADED_ALIGNMENT, LARGE_BYTES = 1 << 20 };

/* The word of a small block: the number of its origin, and below it by how many bytes the block is larger
 * than what was asked for. */
enum { SLACK_BITS = 12 };
_Static_assert((int)QDS_CLASS_BLOCK_MOST < (int)QDS_ACCOUNT_QUANTUM, "what counts a small block");
_Static_assert(QDS_CLASS_MOST_SLACK < 1 << SLACK_BITS && SLACK_BITS + QDS_ORIGIN_BITS <= 32,
               "the word of a small block");

/* What the heap keeps per thread. */
typedef struct {
  qds_account_share share; /* first, so that the account finds it */
  qds_origin_memo memos[QDS_ORIGIN_MEMOS];
} thread_part;

/* Kept out of the fast paths, which need no stack then: they end by jumping to what is slow. */
#define SLOW QDS_UNCHECKED __attribute__((noinline, cold))
/* The fast paths are compiled once for each detail. */
#define FAST QDS_UNCHECKED static inline __attribute__((always_inline))
#define UNLIKELY(condition) __builtin_expect(!!(condition), 0)

struct qds_heap {
  qds_allocator interface; /* first, so that a qds_allocator * is a qds_heap * */
  qds_class_pool *small;
  qds_best_fit *pools[QDS_HEAP_POOLS];
  qds_heap_detail detail;
  qds_budget budget;
  qds_account account;
  qds_origins origins;
};

static record *record_of(const void *block) {
  return (record *)block - 1;
}

/* The bytes that were asked for when the block has `room`. */
static size_t bytes_in(uint32_t word, size_t room) {
  return room - word % (1 << SLACK_BITS);
}

static const qds_origin *origin_in(const qds_heap *heap, uint32_t word) {
  return &heap->origins.origins[word >> SLACK_BITS];
}

static thread_part *part_of(qds_class_cache *cache) {
  return (thread_part *)cache->caller;
}

static qds_account_share *share_of(qds_class_cache *cache) {
  return &part_of(cache)->share;
}

/* Where statistics alone are kept, the line does not matter. */
static inline qds_origin_memo *memo_of(qds_heap_detail detail, qds_class_cache *cache, const char *tag,
                                       int line) {
  return qds_origin_memo_of(part_of(cache)->memos, tag, detail < QDS_HEAP_TRACKING ? 0 : line);
}

/* The sanitizer looks at every eighth byte, and even an empty block has one that tells whether it is used. */
static size_t whole_bytes(size_t bytes) {
  return ((bytes ? bytes : 1) + 7) & ~(size_t)7;
}

static int has_limit(const qds_heap *heap) {
  return heap->budget.limit != 0;
}

/* --- allocation ---------------------------------------------------------------------------------------- */

static size_t large_room(size_t bytes) {
  return LARGE_HEADER_BYTES + bytes + QDS_REDZONE_BYTES;
}

static qds_best_fit *large_pool(const qds_heap *heap, size_t bytes) {
  return heap->pools[bytes < LARGE_BYTES ? QDS_HEAP_MEDIUM : QDS_HEAP_LARGE];
}

static void *large_memory(void *block) {
  return (char *)block - LARGE_HEADER_BYTES;
}

/* With a limit, free memory must not be kept where fresh memory would carry the whole heap beyond it. */
static void make_way(qds_heap *heap, size_t room) {
  size_t reserved = room;
  for (int i = 0; i < QDS_HEAP_POOLS; i++) {
    qds_best_fit_statistics s;
    qds_best_fit_read(heap->pools[i], &s);
    reserved += s.reserved_bytes;
  }
  if (reserved > heap->budget.limit) qds_heap_trim(heap);
}

static qds_status take_large(qds_heap *heap, size_t bytes, void **block) {
  qds_best_fit *pool = large_pool(heap, bytes);
  const size_t room = large_room(bytes);
  void *memory = NULL;
  if (has_limit(heap)) {
    QDS_TRY(qds_best_fit_try(pool, room, 0, &memory));
    if (!memory) make_way(heap, room);
  }
  if (!memory) QDS_TRY(qds_best_fit_allocate(pool, room, 0, &memory));
  qds_forbid(memory, room);
  *block = (char *)memory + LARGE_HEADER_BYTES;
  return QDS_OK;
}

/* Of a large block there is no word. */
static qds_status take_block(qds_heap *heap, qds_class_cache *cache, size_t bytes, qds_class_taken *out) {
  if (bytes <= QDS_CLASS_BLOCK_MOST) return qds_class_pool_allocate(cache, bytes, out);
  out->word = NULL;
  return take_large(heap, bytes, &out->block);
}

/* What one pool lacks may lie idle in another. */
static qds_status obtain(qds_heap *heap, size_t bytes, qds_class_cache **cache, qds_class_taken *out) {
  QDS_TRY(qds_class_pool_cache(heap->small, cache));
  const qds_status status = take_block(heap, *cache, bytes, out);
  if (status == QDS_OK || !qds_heap_trim(heap)) return status;
  return take_block(heap, *cache, bytes, out);
}

static inline int is_known(const qds_origin_memo *memo, qds_heap_detail detail, const char *tag,
                           const char *file, int line) {
  return detail < QDS_HEAP_STATISTICS ||
         (memo->tag == tag && (detail < QDS_HEAP_TRACKING || (memo->line == line && memo->file == file)));
}

/* The memo of a tag and a line, which knows them then. */
static const qds_origin_memo *known_memo(qds_heap *heap, qds_class_cache *cache, const char *tag,
                                         const char *file, int line) {
  qds_origin_memo *memo = memo_of(heap->detail, cache, tag, line);
  if (is_known(memo, heap->detail, tag, file, line)) return memo;
  const qds_account_key key = qds_account_find(&heap->account, tag);
  const uint32_t number =
      qds_origins_find(&heap->origins, key, heap->detail < QDS_HEAP_TRACKING ? NULL : file, line);
  *memo = (qds_origin_memo){tag, file, line, number << SLACK_BITS, key};
  return memo;
}

/* Whose pool it is: so the fast paths, which know the pool, need not keep the heap in a register. */
static qds_heap *owner_of(const qds_class_pool *pool) {
  return (qds_heap *)pool->owner;
}

static SLOW qds_status settle(qds_class_cache *cache, qds_account_key key) {
  qds_account_settle(&owner_of(cache->pool)->account, share_of(cache), key);
  return QDS_OK;
}

/* Writes the word of a small block whose origin the memo knows and counts it; succeeds. */
FAST qds_status hand_out(qds_heap_detail detail, qds_class_cache *cache, const qds_origin_memo *memo,
                         const qds_class_taken *taken, size_t bytes, void **out) {
  const uint32_t slack = (uint32_t)(taken->room - bytes);
  qds_permit(taken->block, bytes ? bytes : 1);
  *out = taken->block;
  *taken->word = detail < QDS_HEAP_STATISTICS ? slack : memo->number_above_slack | slack;
  if (detail >= QDS_HEAP_STATISTICS && UNLIKELY(qds_account_take(share_of(cache), memo->key, bytes)))
    return settle(cache, memo->key);
  return QDS_OK;
}

QDS_UNCHECKED static qds_status hand_out_large(qds_heap *heap, qds_class_cache *cache,
                                               const qds_origin_memo *memo, void *block, size_t bytes,
                                               const char *file, int line, void **out) {
  record *r = record_of(block);
  qds_permit(&r->header, sizeof r->header + bytes);
  *r = (record){file, line, memo->key, {&heap->interface, bytes}};
  *out = block;
  if (heap->detail >= QDS_HEAP_STATISTICS)
    qds_account_take_any(&heap->account, share_of(cache), memo->key, bytes);
  return QDS_OK;
}

static qds_status admit(qds_heap *heap, size_t bytes, const char *tag, const char *file, int line) {
  if (bytes > PTRDIFF_MAX - large_room(0))
    return qds_raise(QDS_ERROR_MEMORY, file, line, 0,
                     "out of memory: %zu bytes for %s pass the address range", bytes, tag);
  return qds_budget_admit(&heap->budget, bytes, tag, file, line);
}

static SLOW qds_status allocate_slowly(qds_heap *heap, size_t bytes, const char *tag, const char *file,
                                       int line, void **out) {
  qds_class_cache *cache;
  qds_class_taken taken;
  *out = NULL;
  QDS_TRY(admit(heap, bytes, tag, file, line));
  if (obtain(heap, bytes, &cache, &taken) != QDS_OK) {
    char size[QDS_BYTES_TEXT];
    qds_budget_withdraw(&heap->budget, bytes);
    qds_format_bytes(bytes, size);
    return qds_raise(QDS_ERROR_MEMORY, file, line, qds_last_error()->native,
                     "out of memory: the system refused %s for %s", size, tag);
  }
  qds_budget_note_peak(&heap->budget);
  const qds_origin_memo *memo = known_memo(heap, cache, tag, file, line);
  if (!taken.word) return hand_out_large(heap, cache, memo, taken.block, bytes, file, line, out);
  return hand_out(heap->detail, cache, memo, &taken, bytes, out);
}

/* As above when the memo knows tag and line, which the fast path need not keep in registers then. */
static SLOW qds_status allocate_known(qds_heap *heap, size_t bytes, const qds_origin_memo *memo, void **out) {
  return allocate_slowly(heap, bytes, memo->tag, memo->file, memo->line, out);
}

FAST qds_status allocate(qds_heap *heap, qds_heap_detail detail, size_t bytes, const char *tag,
                         const char *file, int line, void **out) {
  if (UNLIKELY(bytes >= atomic_load_explicit(&heap->budget.unasked_below, memory_order_relaxed)))
    return allocate_slowly(heap, bytes, tag, file, line, out);
  const qds_class_pool *pool = heap->small;
  qds_class_cache *cache = qds_class_cache_here(pool);
  if (UNLIKELY(!qds_class_is_ours(cache)))
    return allocate_slowly(owner_of(pool), bytes, tag, file, line, out);
  const qds_origin_memo *memo = memo_of(detail, cache, tag, line);
  if (UNLIKELY(!is_known(memo, detail, tag, file, line)))
    return allocate_slowly(owner_of(pool), bytes, tag, file, line, out);
  qds_class_taken taken;
  if (UNLIKELY(!qds_class_take(pool, cache, bytes, &taken)))
    return detail < QDS_HEAP_TRACKING ? allocate_slowly(owner_of(pool), bytes, tag, file, line, out)
                                      : allocate_known(owner_of(pool), bytes, memo, out);
  return hand_out(detail, cache, memo, &taken, bytes, out);
}

/* A thread that cannot have a cache gives back all the same. */
static void count_return(qds_heap *heap, qds_account_key tag, size_t bytes) {
  qds_class_cache *cache;
  qds_budget_withdraw(&heap->budget, bytes);
  if (heap->detail < QDS_HEAP_STATISTICS) return;
  if (qds_class_pool_cache(heap->small, &cache) != QDS_OK)
    qds_account_return(&heap->account, tag, bytes);
  else
    qds_account_give_any(&heap->account, share_of(cache), tag, bytes);
}

qds_status qds_heap_hold(qds_heap *heap, size_t bytes, const char *tag, const char *file, int line) {
  qds_class_cache *cache;
  QDS_TRY(admit(heap, bytes, tag, file, line));
  const qds_status status = qds_class_pool_cache(heap->small, &cache);
  if (status != QDS_OK) {
    qds_budget_withdraw(&heap->budget, bytes);
    return status;
  }
  qds_budget_note_peak(&heap->budget);
  const qds_account_key key = qds_account_find(&heap->account, tag);
  if (heap->detail >= QDS_HEAP_STATISTICS) qds_account_take_any(&heap->account, share_of(cache), key, bytes);
  return QDS_OK;
}

void qds_heap_let_go(qds_heap *heap, size_t bytes, const char *tag) {
  count_return(heap, qds_account_find(&heap->account, tag), bytes);
}

int qds_heap_has_room(const qds_heap *heap, size_t bytes) {
  return qds_budget_has_room(&heap->budget, bytes);
}

QDS_UNCHECKED static void release_large(qds_allocator *self, void *block) {
  qds_heap *heap = (qds_heap *)self;
  const record *r = record_of(block);
  const size_t bytes = r->header.bytes;
  count_return(heap, r->tag, bytes);
  qds_forbid(large_memory(block), large_room(bytes));
  qds_best_fit_release(large_pool(heap, bytes), large_memory(block));
}

/* The word of a small block that is given back, whose memory must not be touched any more. */
FAST uint32_t close_small(const qds_class_slab *slab, void *block) {
  const uint32_t word = *qds_class_word(slab, block);
  qds_expect_permitted(block);
  qds_forbid(block, whole_bytes(bytes_in(word, qds_class_room(slab))));
  return word;
}

FAST qds_account_key tag_in(const qds_class_slab *slab, uint32_t word) {
  return origin_in((const qds_heap *)slab->header.owner, word)->tag;
}

static SLOW void release_closed(qds_class_slab *slab, void *block, uint32_t word) {
  count_return((qds_heap *)slab->header.owner, tag_in(slab, word), bytes_in(word, qds_class_room(slab)));
  qds_class_pool_release(block);
}

/* The tag of a block that comes back, for counting. As a rule its origin is that of the slab's last one; that
 * is tested instead of looked up: the processor, which guesses the outcome, then knows where the count is
 * before it has the word, and need not hold back what is counted next. */
FAST qds_account_key expected_tag(qds_class_slab *slab, uint32_t word) {
  uint32_t tag = slab->hint_value;
  if (UNLIKELY(slab->hint_key != word >> SLACK_BITS)) {
    slab->hint_key = word >> SLACK_BITS;
    slab->hint_value = tag = tag_in(slab, word);
  }
  return tag;
}

FAST void release(qds_class_slab *slab, qds_heap_detail detail, void *block) {
  const uint32_t word = close_small(slab, block);
  if (UNLIKELY(!qds_class_is_ours(slab->cache) || !qds_class_give(slab, block))) {
    release_closed(slab, block, word);
  } else if (detail >= QDS_HEAP_STATISTICS) {
    const qds_account_key tag = expected_tag(slab, word);
    if (UNLIKELY(qds_account_give(share_of(slab->cache), tag, bytes_in(word, qds_class_room(slab)))))
      settle(slab->cache, tag);
  }
}

QDS_UNCHECKED static void release_plain(qds_slab_header *slab, void *block) {
  release((qds_class_slab *)slab, QDS_HEAP_PLAIN, block);
}

QDS_UNCHECKED static void release_counted(qds_slab_header *slab, void *block) {
  release((qds_class_slab *)slab, QDS_HEAP_STATISTICS, block);
}

QDS_UNCHECKED static void release_with_limit(qds_slab_header *slab, void *block) {
  release_closed((qds_class_slab *)slab, block, close_small((qds_class_slab *)slab, block));
}

static size_t heap_bytes_of(const qds_allocator *self, const void *block) {
  (void)self;
  if (qds_has_header(block)) return qds_header_of(block)->bytes;
  const qds_class_slab *slab = qds_class_slab_of(block);
  return bytes_in(*qds_class_word(slab, block), qds_class_room(slab));
}

#define DEFINE_ALLOCATE(name, detail)                                                                        \
  QDS_UNCHECKED __attribute__((aligned(64))) static qds_status name(                                         \
      qds_allocator *self, size_t bytes, const char *tag, const char *file, int line, void **out) {          \
    return allocate((qds_heap *)self, detail, bytes, tag, file, line, out);                                  \
  }
DEFINE_ALLOCATE(allocate_plain, QDS_HEAP_PLAIN)
DEFINE_ALLOCATE(allocate_counted, QDS_HEAP_STATISTICS)
DEFINE_ALLOCATE(allocate_tracked, QDS_HEAP_TRACKING)

static const qds_allocator interfaces[] = {
    [QDS_HEAP_PLAIN] = {allocate_plain, release_large, release_plain, heap_bytes_of, NULL},
    [QDS_HEAP_STATISTICS] = {allocate_counted, release_large, release_counted, heap_bytes_of, NULL},
    [QDS_HEAP_TRACKING] = {allocate_tracked, release_large, release_counted, heap_bytes_of, NULL}};

/* --- begin and end ------------------------------------------------------------------------------------- */

static qds_status create_pools(qds_heap *heap) {
  static const size_t unit[QDS_HEAP_POOLS] = {QDS_PAGE_BYTES, QDS_HEADED_ALIGNMENT, QDS_PAGE_BYTES};
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
  return qds_class_pool_create(heap->pools[QDS_HEAP_SLABS], qds_system_allocator(), sizeof(thread_part),
                               &heap->interface, &heap->small);
}

qds_status qds_heap_create_with(size_t limit, qds_heap_detail detail, qds_heap **out) {
  *out = NULL;
  qds_heap *heap;
  QDS_TRY(QDS_NEW_ZERO(qds_system_allocator(), 1, "memory account", &heap));
  heap->interface = interfaces[detail];
  if (limit) heap->interface.release_small = release_with_limit;
  heap->detail = detail;
  qds_budget_open(&heap->budget, limit, QDS_CLASS_BLOCK_MOST + 1);
  qds_account_open(&heap->account);
  qds_status status = qds_origins_open(&heap->origins, qds_system_allocator());
  if (status == QDS_OK) status = create_pools(heap);
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

static void visit_small(void *user, size_t room, uint32_t word) {
  const leak_report *to = user;
  const qds_origin *origin = origin_in(to->heap, word);
  to->leak(to->user, qds_account_name(&to->heap->account, origin->tag), bytes_in(word, room),
           origin->file ? origin->file : "one of too many lines to tell", origin->line);
}

QDS_UNCHECKED static void visit_large(void *user, void *memory, size_t bytes) {
  const leak_report *to = user;
  const record *r = record_of((char *)memory + LARGE_HEADER_BYTES);
  (void)bytes;
  to->leak(to->user, qds_account_name(&to->heap->account, r->tag), r->header.bytes, r->file, r->line);
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
  qds_origins_close(&heap->origins);
  qds_account_close(&heap->account);
  qds_budget_close(&heap->budget);
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
  if (has_limit(heap)) total->peak_bytes = atomic_load(&heap->budget.peak);
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

uint64_t qds_heap_fail(qds_heap *heap, uint64_t n) {
  return qds_budget_fail(&heap->budget, n);
}

size_t qds_heap_trim(qds_heap *heap) {
  size_t went = 0;
  qds_class_pool_trim(heap->small);
  for (int i = 0; i < QDS_HEAP_POOLS; i++) went += qds_best_fit_trim(heap->pools[i], 0);
  return went;
}

qds_status qds_heap_reserve_check(qds_heap *heap, size_t bytes, const char *purpose) {
  QDS_TRY(qds_budget_check(&heap->budget, bytes, purpose));
  size_t available = qds_available_memory();
  if (bytes > available && qds_heap_trim(heap)) available = qds_available_memory();
  if (bytes <= available) return QDS_OK;
  char needed[QDS_BYTES_TEXT], there[QDS_BYTES_TEXT];
  qds_format_bytes(bytes, needed);
  qds_format_bytes(available, there);
  QDS_FAIL(QDS_ERROR_BUDGET,
           "memory budget exceeded: %s needs %s, %s are free on this machine for this process; use "
           "fewer nodes or states",
           purpose, needed, there);
}

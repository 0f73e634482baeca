#include "support.h"

#include <pthread.h>
#include <stdatomic.h>

#include "base/philox.h"
#include "mem/pool_classes.h"
#include "mem/provider_host.h"

typedef struct {
  qds_best_fit *source;
  qds_class_pool *pool;
} pools;

static pools open_pools(qds_context *ctx) {
  pools p;
  qds_best_fit_options options = QDS_BEST_FIT_OPTIONS_INIT;
  options.provider = qds_provider_host(QDS_PAGES_TRANSPARENT);
  options.allocator = qds_context_allocator(ctx);
  options.segment_bytes = 1 << 20;
  assert_ok(qds_best_fit_create(&options, &p.source));
  assert_ok(qds_class_pool_create(p.source, qds_context_allocator(ctx), 64, NULL, &p.pool));
  return p;
}

static void close_pools(pools p) {
  qds_best_fit_statistics s;
  qds_class_pool_destroy(p.pool);
  qds_best_fit_read(p.source, &s);
  assert_int_equal(s.used_bytes, 0);
  qds_best_fit_destroy(p.source);
}

static size_t slabs_of(pools p) {
  qds_best_fit_statistics s;
  qds_best_fit_read(p.source, &s);
  return s.used_blocks;
}

/* A block whose word says how many bytes it has; they are written. */
static unsigned char *take(qds_class_pool *pool, size_t bytes) {
  qds_class_cache *cache;
  qds_class_taken taken;
  assert_ok(qds_class_pool_cache(pool, &cache));
  assert_ok(qds_class_pool_allocate(cache, bytes, &taken));
  assert_true(taken.room >= bytes && taken.room - bytes <= QDS_CLASS_MOST_SLACK);
  qds_permit(taken.block, bytes);
  *taken.word = (uint32_t)bytes;
  memset(taken.block, (int)(bytes % 251), bytes);
  return taken.block;
}

static int is_whole(const unsigned char *block) {
  const size_t bytes = *qds_class_word(qds_class_slab_of(block), block);
  for (size_t i = 0; i < bytes; i++)
    if (block[i] != bytes % 251) return 0;
  return 1;
}

static void give(unsigned char *block) {
  qds_class_slab *slab = qds_class_slab_of(block);
  qds_forbid(block, (*qds_class_word(slab, block) + 7) & ~(size_t)7);
  if (!qds_class_is_ours(slab->cache) || !qds_class_give(slab, block)) qds_class_pool_release(block);
}

/* Every size has a class that holds it, no class is larger than 1.4 times what it must hold, and blocks lie
 * apart. */
static void sizes_body(qds_context *ctx) {
  const pools p = open_pools(ctx);
  static unsigned char *blocks[QDS_CLASS_BLOCK_MOST + 1];
  size_t count = 0;
  for (size_t bytes = 0; bytes <= QDS_CLASS_BLOCK_MOST; bytes += bytes < 1200 ? 1 : 7) {
    blocks[count] = take(p.pool, bytes);
    assert_int_equal((uintptr_t)blocks[count++] % QDS_ALIGNMENT, 0);
    assert_false(qds_has_header(blocks[count - 1]));
  }
  assert_ok(qds_class_pool_check(p.pool));
  for (size_t i = 0; i < count; i++) assert_true(is_whole(blocks[i]));
  for (size_t i = 0; i < count; i++) give(blocks[i]);
  assert_ok(qds_class_pool_check(p.pool));
  assert_true(slabs_of(p) <= 2 * QDS_CLASSES);
  qds_class_pool_trim(p.pool);
  assert_ok(qds_class_pool_check(p.pool));
  assert_int_equal(slabs_of(p), 0);
  close_pools(p);
}

/* What was just given back is handed out next, and a slab is used up before another one is taken. */
static void reuse_body(qds_context *ctx) {
  const pools p = open_pools(ctx);
  unsigned char *first = take(p.pool, 100);
  take(p.pool, 90);
  give(first);
  assert_ptr_equal(take(p.pool, 97), first);
  unsigned char *blocks[1000];
  for (int i = 0; i < 1000; i++) blocks[i] = take(p.pool, 500);
  const size_t slabs = slabs_of(p);
  for (int round = 0; round < 20; round++) {
    for (int i = round % 3; i < 1000; i += 3) give(blocks[i]);
    for (int i = round % 3; i < 1000; i += 3) blocks[i] = take(p.pool, 500);
    assert_ok(qds_class_pool_check(p.pool));
  }
  assert_int_equal(slabs_of(p), slabs);
  close_pools(p);
}

typedef struct {
  qds_class_pool *pool;
  unsigned char **blocks;
  int count, taking;
} errand;

static void *run_errand(void *data) {
  const errand *e = data;
  for (int i = 0; i < e->count; i++)
    if (e->taking)
      e->blocks[i] = take(e->pool, 300);
    else
      give(e->blocks[i]);
  return NULL;
}

static void send(errand e) {
  pthread_t thread;
  assert_int_equal(pthread_create(&thread, NULL, run_errand, &e), 0);
  pthread_join(thread, NULL);
  assert_ok(qds_class_pool_check(e.pool));
}

/* Blocks outlive the thread that took them; the next thread goes on with what that one left. */
static void dead_threads_body(qds_context *ctx) {
  const pools p = open_pools(ctx);
  enum { COUNT = 5000 };
  static unsigned char *blocks[COUNT];
  send((errand){p.pool, blocks, COUNT, 1});
  const size_t slabs = slabs_of(p);
  for (int i = 0; i < COUNT; i++) assert_true(is_whole(blocks[i]));
  for (int i = 0; i < COUNT; i += 2) give(blocks[i]);
  assert_ok(qds_class_pool_check(p.pool));
  /* A new thread takes the dead one's cache and finds the blocks that came back meanwhile. */
  static unsigned char *more[COUNT / 2];
  send((errand){p.pool, more, COUNT / 2, 1});
  assert_int_equal(slabs_of(p), slabs);
  send((errand){p.pool, more, COUNT / 2, 0});
  for (int i = 1; i < COUNT; i += 2) give(blocks[i]);
  qds_class_pool_trim(p.pool);
  assert_ok(qds_class_pool_check(p.pool));
  assert_int_equal(slabs_of(p), 0);
  close_pools(p);
}

/* Blocks that one thread takes and another gives back are used again: memory does not grow. */
static void one_way_body(qds_context *ctx) {
  const pools p = open_pools(ctx);
  enum { COUNT = 1000, ROUNDS = 50 };
  static unsigned char *blocks[COUNT];
  size_t slabs = 0;
  for (int round = 0; round < ROUNDS; round++) {
    for (int i = 0; i < COUNT; i++) blocks[i] = take(p.pool, 300);
    if (round == 1) slabs = slabs_of(p);
    send((errand){p.pool, blocks, COUNT, 0});
  }
  assert_true(slabs_of(p) <= slabs);
  close_pools(p);
}

static qds_status a_few_blocks(qds_context *ctx, void *data) {
  (void)data;
  QDS_AUTO(qds_best_fit) *source = NULL;
  QDS_AUTO(qds_class_pool) *pool = NULL;
  qds_best_fit_options options = QDS_BEST_FIT_OPTIONS_INIT;
  options.provider = qds_provider_host(QDS_PAGES_PLAIN);
  options.allocator = qds_context_allocator(ctx);
  qds_class_cache *cache;
  qds_class_taken taken;
  QDS_TRY(qds_best_fit_create(&options, &source));
  QDS_TRY(qds_class_pool_create(source, options.allocator, 100, NULL, &pool));
  QDS_TRY(qds_class_pool_cache(pool, &cache));
  for (size_t i = 0; i < 3000; i++) QDS_TRY(qds_class_pool_allocate(cache, i, &taken));
  return QDS_OK;
}

static void memory_body(qds_context *ctx) {
  assert_true(fail_each_allocation(ctx, a_few_blocks, NULL) >= 4);
}

/* Generations of threads replace blocks in shared slots at random, then die. After each generation the lists
 * of the pool must be in order and the contents whole. */
enum { THREADS = 4, GENERATIONS = 12, ROUNDS = 4000, SLOTS = 300, SEED = 44 };
typedef struct {
  qds_class_pool *pool;
  _Atomic(unsigned char *) slots[SLOTS];
  atomic_int damaged;
} stress;
typedef struct {
  stress *shared;
  uint64_t number;
} stress_thread;

static void *stress_run(void *data) {
  const stress_thread *self = data;
  stress *s = self->shared;
  for (uint64_t i = 0; i < ROUNDS; i++) {
    const double size = qds_random_uniform(SEED, 2 * self->number, i);
    const size_t slot = (size_t)(SLOTS * qds_random_uniform(SEED, 2 * self->number + 1, i));
    unsigned char *old =
        atomic_exchange(&s->slots[slot], take(s->pool, (size_t)(QDS_CLASS_BLOCK_MOST * size * size)));
    if (!old) continue;
    s->damaged += !is_whole(old);
    give(old);
  }
  return NULL;
}

static void generations_body(qds_context *ctx) {
  const pools p = open_pools(ctx);
  static stress s;
  print_message("seed %d\n", SEED);
  s.pool = p.pool;
  for (uint64_t g = 0; g < GENERATIONS; g++) {
    pthread_t threads[THREADS];
    stress_thread selves[THREADS];
    for (uint64_t i = 0; i < THREADS; i++) {
      selves[i] = (stress_thread){&s, g * THREADS + i};
      assert_int_equal(pthread_create(&threads[i], NULL, stress_run, &selves[i]), 0);
    }
    for (int i = 0; i < THREADS; i++) pthread_join(threads[i], NULL);
    assert_ok(qds_class_pool_check(p.pool));
    assert_ok(qds_best_fit_check(p.source));
  }
  for (int i = 0; i < SLOTS; i++) give(s.slots[i]);
  assert_int_equal(s.damaged, 0);
  qds_class_pool_trim(p.pool);
  assert_int_equal(slabs_of(p), 0);
  close_pools(p);
}

#define IN_CONTEXT(name)                                                                                     \
  static void name(void **state) {                                                                           \
    (void)state;                                                                                             \
    with_context(1, name##_body);                                                                            \
  }
IN_CONTEXT(sizes)
IN_CONTEXT(reuse)
IN_CONTEXT(dead_threads)
IN_CONTEXT(one_way)
IN_CONTEXT(memory)
IN_CONTEXT(generations)

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(sizes),   cmocka_unit_test(reuse),  cmocka_unit_test(dead_threads),
      cmocka_unit_test(one_way), cmocka_unit_test(memory), cmocka_unit_test(generations),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}

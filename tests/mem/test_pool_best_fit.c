#include "support.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>

#include "base/philox.h"
#include "mem/pool_best_fit.h"

/* A provider of addresses that nobody may touch: what a device pool sees. It checks what comes back, refuses
 * the n-th request and can hold a request until told. */
enum { MOST_SEGMENTS = 4096, GRANULE = 4096 };
typedef struct {
  pthread_mutex_t lock;
  uintptr_t next;
  struct {
    uintptr_t begin;
    size_t bytes;
  } held[MOST_SEGMENTS];
  size_t count, bytes, room, purged, requests;
  atomic_int hold, holding;
  int faults;
} fake;

static qds_status fake_allocate(void *state, size_t bytes, void **out) {
  fake *f = state;
  if (atomic_load(&f->hold)) {
    atomic_store(&f->holding, 1);
    while (atomic_load(&f->hold)) sched_yield();
  }
  pthread_mutex_lock(&f->lock);
  f->requests++;
  f->faults += bytes % GRANULE != 0;
  const int refused = f->count == MOST_SEGMENTS || f->bytes + bytes > f->room;
  if (!refused) {
    f->held[f->count].begin = f->next;
    f->held[f->count++].bytes = bytes;
    f->bytes += bytes;
    *out = (void *)f->next;
    f->next += bytes; /* segments touch, and still must not be joined */
  }
  pthread_mutex_unlock(&f->lock);
  if (refused) QDS_FAIL(QDS_ERROR_MEMORY, "out of memory: the fake device is full");
  return QDS_OK;
}

static void fake_release(void *state, void *range, size_t bytes) {
  fake *f = state;
  pthread_mutex_lock(&f->lock);
  size_t i = 0;
  while (i < f->count && f->held[i].begin != (uintptr_t)range) i++;
  if (i == f->count || f->held[i].bytes != bytes) {
    f->faults++;
  } else {
    f->held[i] = f->held[--f->count];
    f->bytes -= bytes;
  }
  pthread_mutex_unlock(&f->lock);
}

static size_t fake_granularity(void *state, size_t bytes) {
  (void)state, (void)bytes;
  return GRANULE;
}

static void fake_purge(void *state, void *part, size_t bytes) {
  fake *f = state;
  (void)part;
  pthread_mutex_lock(&f->lock);
  f->purged += bytes;
  pthread_mutex_unlock(&f->lock);
}

static const qds_provider_table fake_table = {
    .abi = QDS_PROVIDER_ABI,
    .size = sizeof fake_table,
    .name = "fake",
    .alignment = 256,
    .allocate = fake_allocate,
    .release = fake_release,
    .granularity = fake_granularity,
};
static const qds_provider_table purging_table = {
    .abi = QDS_PROVIDER_ABI,
    .size = sizeof purging_table,
    .name = "fake",
    .alignment = 256,
    .allocate = fake_allocate,
    .release = fake_release,
    .granularity = fake_granularity,
    .purge = fake_purge,
};

static void fake_open(fake *f, size_t room) {
  memset(f, 0, sizeof *f);
  pthread_mutex_init(&f->lock, NULL);
  f->next = (uintptr_t)1 << 40;
  f->room = room;
}

static qds_best_fit_options options_over(fake *f, qds_context *ctx) {
  qds_best_fit_options options = QDS_BEST_FIT_OPTIONS_INIT;
  options.name = "test pool";
  options.provider = (qds_provider){&fake_table, f};
  options.allocator = qds_context_allocator(ctx);
  options.segment_bytes = 16 * GRANULE;
  return options;
}

static qds_best_fit_statistics figures(qds_best_fit *pool) {
  qds_best_fit_statistics s;
  qds_best_fit_read(pool, &s);
  assert_ok(qds_best_fit_check(pool));
  return s;
}

static void options_body(qds_context *ctx) {
  fake f;
  fake_open(&f, SIZE_MAX);
  qds_best_fit *pool = NULL;
  qds_best_fit_options o = options_over(&f, ctx);
  o.unit = 100;
  assert_fails(qds_best_fit_create(&o, &pool), QDS_ERROR_ARGUMENT, "a unit of 100 bytes");
  o.unit = 512;
  assert_fails(qds_best_fit_create(&o, &pool), QDS_ERROR_ARGUMENT, "alignment of 256");
  o = options_over(&f, ctx);
  o.reserve_ratio = 0.5;
  assert_fails(qds_best_fit_create(&o, &pool), QDS_ERROR_ARGUMENT, "ratio");
  o = options_over(&f, ctx);
  o.struct_size--;
  assert_fails(qds_best_fit_create(&o, &pool), QDS_ERROR_ARGUMENT, "struct_size");
  o = options_over(&f, ctx);
  qds_provider_table other = fake_table;
  o.provider.table = &other;
  other.abi++;
  assert_fails(qds_best_fit_create(&o, &pool), QDS_ERROR_UNSUPPORTED, "ABI 2");
  other = fake_table;
  other.size -= 8;
  assert_fails(qds_best_fit_create(&o, &pool), QDS_ERROR_UNSUPPORTED, "a table of");
  other = fake_table;
  other.release = NULL;
  assert_fails(qds_best_fit_create(&o, &pool), QDS_ERROR_ARGUMENT, "lacks");
  assert_null(pool);
}

/* The block comes from the smallest range that holds it, and neighbours that come back are one range again.
 */
static void best_fit_body(qds_context *ctx) {
  fake f;
  fake_open(&f, SIZE_MAX);
  QDS_AUTO(qds_best_fit) *pool = NULL;
  const qds_best_fit_options o = options_over(&f, ctx);
  char *a, *b, *c, *d, *e;
  assert_ok(qds_best_fit_create(&o, &pool));
  assert_ok(qds_best_fit_allocate(pool, 1000, 0, (void **)&a));
  assert_ok(qds_best_fit_allocate(pool, 300, 0, (void **)&b));
  assert_ok(qds_best_fit_allocate(pool, 2048, 0, (void **)&c));
  assert_ok(qds_best_fit_allocate(pool, 0, 0, (void **)&d));
  assert_true(b == a + 1024 && c == b + 512 && d == c + 2048);
  assert_int_equal(qds_best_fit_bytes(pool, b), 512);
  assert_int_equal(qds_best_fit_bytes(pool, b + 256), 0);
  assert_ok(qds_best_fit_release(pool, a));
  assert_ok(qds_best_fit_release(pool, c));
  assert_ok(qds_best_fit_allocate(pool, 900, 0, (void **)&e));
  assert_ptr_equal(e, a);
  assert_fails(qds_best_fit_release(pool, c), QDS_ERROR_ARGUMENT, "no block begins at");
  assert_fails(qds_best_fit_release(pool, b + 256), QDS_ERROR_ARGUMENT, "no block begins at");
  assert_ok(qds_best_fit_release(pool, NULL));
  assert_int_equal(figures(pool).free_ranges, 2);
  assert_ok(qds_best_fit_release(pool, b));
  assert_ok(qds_best_fit_release(pool, d));
  assert_ok(qds_best_fit_release(pool, e));
  const qds_best_fit_statistics s = figures(pool);
  assert_true(s.free_ranges == 1 && s.idle_bytes == 16 * GRANULE && s.fragmentation == 0);
  assert_true(s.used_bytes == 0 && s.peak_used_bytes == 1024 + 512 + 2048 + 256 && s.total_blocks == 5);
  assert_int_equal(qds_best_fit_trim(pool, 0), 16 * GRANULE);
  assert_true(figures(pool).reserved_bytes == 0 && f.count == 0);
}

static void alignment_body(qds_context *ctx) {
  fake f;
  fake_open(&f, SIZE_MAX);
  f.next += 256;
  QDS_AUTO(qds_best_fit) *pool = NULL;
  const qds_best_fit_options o = options_over(&f, ctx);
  void *block, *blocks[64];
  assert_ok(qds_best_fit_create(&o, &pool));
  for (int i = 0; i < 64; i++) {
    const size_t alignment = (size_t)1 << (i % 20);
    assert_ok(qds_best_fit_allocate(pool, (size_t)(i * 100), alignment, &blocks[i]));
    assert_int_equal((uintptr_t)blocks[i] % alignment, 0);
    assert_ok(qds_best_fit_check(pool));
  }
  for (int i = 0; i < 64; i++) assert_ok(qds_best_fit_release(pool, blocks[i]));
  assert_int_equal(figures(pool).idle_bytes, figures(pool).reserved_bytes);
  assert_fails(qds_best_fit_allocate(pool, 1, 96, &block), QDS_ERROR_ARGUMENT, "no power of two");
  assert_fails(qds_best_fit_allocate(pool, SIZE_MAX, 0, &block), QDS_ERROR_MEMORY, "address range");
  assert_fails(qds_best_fit_allocate(pool, 1, (size_t)1 << 63, &block), QDS_ERROR_MEMORY, "address range");
}

static void limit_body(qds_context *ctx) {
  fake f;
  fake_open(&f, SIZE_MAX);
  QDS_AUTO(qds_best_fit) *pool = NULL;
  qds_best_fit_options o = options_over(&f, ctx);
  o.limit = 20 * GRANULE;
  void *a, *b, *c;
  assert_ok(qds_best_fit_create(&o, &pool));
  assert_ok(qds_best_fit_allocate(pool, 10 * GRANULE, 0, &a));
  /* Six granules are left in the segment and four under the limit. */
  assert_ok(qds_best_fit_allocate(pool, 6 * GRANULE, 0, &b));
  assert_ok(qds_best_fit_allocate(pool, 4 * GRANULE, 0, &c));
  assert_fails(qds_best_fit_allocate(pool, 1, 0, &a), QDS_ERROR_BUDGET, "test pool");
  assert_null(a);
  assert_ok(qds_best_fit_release(pool, c));
  /* Too large for what is idle: that goes back, and the rest of the limit is enough. */
  assert_fails(qds_best_fit_allocate(pool, 5 * GRANULE, 0, &a), QDS_ERROR_BUDGET, "pass the limit");
  assert_int_equal(figures(pool).trims, 1);
  assert_ok(qds_best_fit_try(pool, GRANULE, 0, &c));
  assert_null(c);
  assert_ok(qds_best_fit_allocate(pool, 4 * GRANULE, 0, &c));
  assert_int_equal(figures(pool).reserved_bytes, o.limit);
}

/* The provider refuses, idle segments go back, the provider gives. */
static void retry_body(qds_context *ctx) {
  fake f;
  fake_open(&f, 100 * GRANULE);
  QDS_AUTO(qds_best_fit) *pool = NULL;
  const qds_best_fit_options o = options_over(&f, ctx);
  void *a, *b;
  assert_ok(qds_best_fit_create(&o, &pool));
  assert_ok(qds_best_fit_allocate(pool, 30 * GRANULE, 0, &a));
  assert_ok(qds_best_fit_allocate(pool, 40 * GRANULE, 0, &b));
  assert_ok(qds_best_fit_release(pool, b));
  assert_ok(qds_best_fit_allocate(pool, 70 * GRANULE, 0, &b));
  assert_true(figures(pool).trims == 1 && figures(pool).reserved_bytes == 100 * GRANULE);
  assert_fails(qds_best_fit_allocate(pool, 1, 0, &a), QDS_ERROR_MEMORY, "the fake device is full");
  /* A segment of one granule fits where one of the usual size does not. */
  f.room += GRANULE;
  assert_ok(qds_best_fit_allocate(pool, 1, 0, &a));
  assert_int_equal(figures(pool).reserved_bytes, 101 * GRANULE);
}

static void ratio_body(qds_context *ctx) {
  fake f;
  fake_open(&f, SIZE_MAX);
  QDS_AUTO(qds_best_fit) *pool = NULL;
  qds_best_fit_options o = options_over(&f, ctx);
  o.reserve_ratio = 1.25;
  void *block;
  assert_ok(qds_best_fit_create(&o, &pool));
  for (size_t granules = 16; granules <= 1024; granules += 16) {
    assert_ok(qds_best_fit_allocate(pool, granules * GRANULE, 0, &block));
    assert_ok(qds_best_fit_release(pool, block));
    assert_true((double)figures(pool).reserved_bytes <= 1.25 * (double)figures(pool).peak_used_bytes);
  }
}

/* Holes that cannot go back as a whole give their memory back all the same, so that a random trace of blocks
 * holds little more than it ever used. */
static void purge_body(qds_context *ctx) {
  enum { MOST_BLOCKS = 400, STEPS = 3000, SEED_OF_TRACE = 5 };
  static fake f;
  fake_open(&f, SIZE_MAX);
  QDS_AUTO(qds_best_fit) *pool = NULL;
  qds_best_fit_options o = options_over(&f, ctx);
  o.provider.table = &purging_table;
  o.reserve_ratio = 1.15;
  void *blocks[MOST_BLOCKS];
  size_t live = 0;
  print_message("seed %d\n", SEED_OF_TRACE);
  assert_ok(qds_best_fit_create(&o, &pool));
  for (uint64_t i = 0; i < STEPS; i++) {
    const double number = qds_random_uniform(SEED_OF_TRACE, 0, i);
    const int full = live == MOST_BLOCKS || figures(pool).used_bytes > 3600ul * GRANULE;
    if (live && (full || qds_random_uniform(SEED_OF_TRACE, 1, i) > 0.73)) {
      const size_t chosen = (size_t)((double)live * number);
      assert_ok(qds_best_fit_release(pool, blocks[chosen]));
      blocks[chosen] = blocks[--live];
    } else {
      assert_ok(qds_best_fit_allocate(pool, (size_t)(400 * GRANULE * number), 0, &blocks[live++]));
    }
    const qds_best_fit_statistics s = figures(pool);
    assert_true((double)s.reserved_bytes <= 1.15 * (double)s.peak_used_bytes);
  }
  const qds_best_fit_statistics s = figures(pool);
  assert_true((double)s.peak_reserved_bytes <= 1.15 * (double)s.peak_used_bytes);
  assert_true(f.purged > 0 && s.used_blocks == live);
}

/* The pool knows where in a free range memory was never used: what is taken beside it needs no fresh memory,
 * and nothing goes back for its sake. */
static void bare_tail_body(qds_context *ctx) {
  fake f;
  fake_open(&f, SIZE_MAX);
  QDS_AUTO(qds_best_fit) *pool = NULL;
  qds_best_fit_options o = options_over(&f, ctx);
  o.provider.table = &purging_table;
  o.reserve_ratio = 1;
  void *a, *b;
  assert_ok(qds_best_fit_create(&o, &pool));
  assert_ok(qds_best_fit_allocate(pool, 8 * GRANULE, 0, &a));
  assert_ok(qds_best_fit_release(pool, a));
  for (int i = 0; i < 3; i++) {
    assert_ok(qds_best_fit_allocate(pool, 5 * GRANULE, 0, &a));
    assert_ok(qds_best_fit_allocate(pool, 3 * GRANULE, 0, &b));
    assert_true(f.purged == 0 && figures(pool).growths == 1 && figures(pool).reserved_bytes == 8 * GRANULE);
    assert_ok(qds_best_fit_release(pool, i % 2 ? a : b));
    assert_ok(qds_best_fit_release(pool, i % 2 ? b : a));
    assert_ok(qds_best_fit_check(pool));
  }
}

static void trim_body(qds_context *ctx) {
  fake f;
  fake_open(&f, SIZE_MAX);
  QDS_AUTO(qds_best_fit) *pool = NULL;
  qds_best_fit_options o = options_over(&f, ctx);
  o.provider.table = &purging_table;
  void *a, *b, *large;
  assert_ok(qds_best_fit_create(&o, &pool));
  assert_ok(qds_best_fit_allocate(pool, GRANULE, 0, &a));
  assert_ok(qds_best_fit_allocate(pool, GRANULE, 0, &b));
  assert_ok(qds_best_fit_allocate(pool, 100 * GRANULE, 0, &large));
  assert_ok(qds_best_fit_release(pool, a));
  assert_ok(qds_best_fit_release(pool, large));
  assert_int_equal(figures(pool).purged_bytes, 14 * GRANULE); /* never used */
  assert_int_equal(qds_best_fit_trim(pool, 100 * GRANULE), GRANULE);
  assert_int_equal(f.purged, GRANULE);
  assert_int_equal(figures(pool).purged_bytes, 15 * GRANULE);
  assert_int_equal(qds_best_fit_trim(pool, 0), 100 * GRANULE);
  assert_int_equal(qds_best_fit_trim(pool, 0), 0);
  assert_ok(qds_best_fit_release(pool, b));
  assert_true(figures(pool).purged_bytes == 15 * GRANULE && figures(pool).reserved_bytes == GRANULE);
}

typedef struct {
  qds_best_fit *pool;
  void *block;
  qds_status status;
} request;

static void *ask_much(void *data) {
  request *r = data;
  r->status = qds_best_fit_allocate(r->pool, 100 * GRANULE, 0, &r->block);
  return NULL;
}

/* While one thread waits for the provider, another one is served from what is free. */
static void growth_body(qds_context *ctx) {
  fake f;
  fake_open(&f, SIZE_MAX);
  QDS_AUTO(qds_best_fit) *pool = NULL;
  const qds_best_fit_options o = options_over(&f, ctx);
  void *block;
  pthread_t thread;
  assert_ok(qds_best_fit_create(&o, &pool));
  assert_ok(qds_best_fit_allocate(pool, GRANULE, 0, &block));
  atomic_store(&f.hold, 1);
  request r = {.pool = pool};
  assert_int_equal(pthread_create(&thread, NULL, ask_much, &r), 0);
  while (!atomic_load(&f.holding)) sched_yield();
  for (int i = 0; i < 15; i++) assert_ok(qds_best_fit_allocate(pool, GRANULE, 0, &block));
  assert_int_equal(figures(pool).reserved_bytes, 116 * GRANULE);
  atomic_store(&f.hold, 0);
  pthread_join(thread, NULL);
  assert_int_equal(r.status, QDS_OK);
  assert_int_equal(figures(pool).reserved_bytes, 116 * GRANULE);
}

static qds_status a_few_blocks(qds_context *ctx, void *data) {
  QDS_AUTO(qds_best_fit) *pool = NULL;
  const qds_best_fit_options o = options_over(data, ctx);
  void *block;
  QDS_TRY(qds_best_fit_create(&o, &pool));
  for (size_t i = 1; i < 200; i++) QDS_TRY(qds_best_fit_allocate(pool, i * 100, (size_t)1 << i % 14, &block));
  return QDS_OK;
}

static void memory_body(qds_context *ctx) {
  fake f;
  fake_open(&f, SIZE_MAX);
  assert_true(fail_each_allocation(ctx, a_few_blocks, &f) > 3);
  assert_true(f.count == 0 && f.faults == 0);
}

/* Threads take and give back blocks of one pool and hand them over; no two blocks may overlap, which a table
 * of owned units tells. The invariants are checked after every operation. */
enum { THREADS = 4, ROUNDS = 1500, SLOTS = 48, SEED = 31, UNITS = 1 << 20 };
typedef struct {
  qds_best_fit *pool;
  uintptr_t base;
  _Atomic(void *) slots[SLOTS];
  atomic_uchar owned[UNITS];
  atomic_int faults, refused;
} stress;
typedef struct {
  stress *shared;
  uint64_t number;
} stress_thread;

static void own(stress *s, const void *block, size_t bytes, unsigned char owned) {
  const size_t first = ((uintptr_t)block - s->base) / 256;
  for (size_t i = first; i < first + bytes / 256; i++)
    if (i >= UNITS || atomic_exchange(&s->owned[i], owned) == owned) s->faults++;
}

static void give_back(stress *s, void *block) {
  if (!block) return;
  own(s, block, qds_best_fit_bytes(s->pool, block), 0);
  s->faults += qds_best_fit_release(s->pool, block) != QDS_OK;
}

static void *stress_run(void *data) {
  const stress_thread *self = data;
  stress *s = self->shared;
  for (uint64_t i = 0; i < ROUNDS; i++) {
    const double size = qds_random_uniform(SEED, 2 * self->number, i);
    const size_t choice = (size_t)(1e6 * qds_random_uniform(SEED, 2 * self->number + 1, i));
    void *block;
    const qds_status status = qds_best_fit_allocate(s->pool, (size_t)(300000 * size * size * size),
                                                    (size_t)1 << (choice / 64 % 14), &block);
    if (status == QDS_OK) own(s, block, qds_best_fit_bytes(s->pool, block), 1);
    s->refused += status == QDS_ERROR_BUDGET;
    s->faults += status != QDS_OK && status != QDS_ERROR_BUDGET;
    give_back(s, atomic_exchange(&s->slots[choice % SLOTS], block));
    if (choice % 97 == 0) qds_best_fit_trim(s->pool, choice % 5 * 100000);
    s->faults += qds_best_fit_check(s->pool) != QDS_OK;
  }
  return NULL;
}

static void random_stress_body(qds_context *ctx) {
  static fake f;
  static stress s;
  fake_open(&f, SIZE_MAX);
  qds_best_fit_options o = options_over(&f, ctx);
  o.provider.table = &purging_table;
  o.limit = 2 << 20;
  pthread_t threads[THREADS];
  stress_thread selves[THREADS];
  print_message("seed %d\n", SEED);
  assert_ok(qds_best_fit_create(&o, &s.pool));
  s.base = f.next;
  for (uint64_t i = 0; i < THREADS; i++) {
    selves[i] = (stress_thread){&s, i};
    assert_int_equal(pthread_create(&threads[i], NULL, stress_run, &selves[i]), 0);
  }
  for (int i = 0; i < THREADS; i++) pthread_join(threads[i], NULL);
  for (int i = 0; i < SLOTS; i++) give_back(&s, s.slots[i]);
  const qds_best_fit_statistics now = figures(s.pool);
  assert_true(now.used_blocks == 0 && now.used_bytes == 0 && now.idle_bytes == now.free_bytes);
  assert_true(now.peak_reserved_bytes <= o.limit && s.refused > 0);
  assert_true(now.total_blocks == (uint64_t)(THREADS * ROUNDS - s.refused));
  qds_best_fit_destroy(s.pool);
  assert_int_equal(s.faults, 0);
  assert_true(f.faults == 0 && f.count == 0);
}

#define IN_CONTEXT(name)                                                                                     \
  static void name(void **state) {                                                                           \
    (void)state;                                                                                             \
    with_context(1, name##_body);                                                                            \
  }
IN_CONTEXT(options)
IN_CONTEXT(best_fit)
IN_CONTEXT(alignment)
IN_CONTEXT(limit)
IN_CONTEXT(retry)
IN_CONTEXT(ratio)
IN_CONTEXT(bare_tail)
IN_CONTEXT(trim)
IN_CONTEXT(purge)
IN_CONTEXT(growth)
IN_CONTEXT(memory)
IN_CONTEXT(random_stress)

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(options),   cmocka_unit_test(best_fit), cmocka_unit_test(alignment),
      cmocka_unit_test(limit),     cmocka_unit_test(retry),    cmocka_unit_test(ratio),
      cmocka_unit_test(bare_tail), cmocka_unit_test(trim),     cmocka_unit_test(purge),
      cmocka_unit_test(growth),    cmocka_unit_test(memory),   cmocka_unit_test(random_stress),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}

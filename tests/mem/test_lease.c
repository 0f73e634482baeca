#include "support.h"

#include <pthread.h>
#include <stdatomic.h>
#include <unistd.h>

#include "mem/lease.h"

/* What the pools of these tests lend, and what happened to it. */
typedef struct {
  atomic_int users; /* at this moment; never more than one */
  int resets;
} thing;

typedef struct {
  qds_allocator *allocator;
  atomic_int calls, existing, most, destroyed, reports;
  int fail_at;        /* this call of create, from 1; 0: none */
  int fail_resets;    /* each */
  int make_none;      /* reports success and makes nothing */
  unsigned create_us; /* how long creation takes */
  char reported[256];
} workshop;

static qds_status create(void *user, void **out) {
  workshop *w = user;
  const int call = atomic_fetch_add(&w->calls, 1) + 1;
  if (w->create_us) usleep(w->create_us);
  if (call == w->fail_at) QDS_FAIL(QDS_ERROR_UNSUPPORTED, "the workshop is closed");
  if (w->make_none) return QDS_OK;
  thing *made = NULL;
  QDS_TRY(QDS_NEW_ZERO(w->allocator, 1, "thing", &made));
  const int existing = atomic_fetch_add(&w->existing, 1) + 1;
  int most = atomic_load(&w->most);
  while (existing > most && !atomic_compare_exchange_weak(&w->most, &most, existing)) continue;
  *out = made;
  return QDS_OK;
}

static void destroy(void *user, void *made) {
  workshop *w = user;
  atomic_fetch_sub(&w->existing, 1);
  atomic_fetch_add(&w->destroyed, 1);
  qds_release(made);
}

static qds_status reset(void *user, void *made) {
  workshop *w = user;
  if (w->fail_resets) QDS_FAIL(QDS_ERROR_INTERNAL, "it is worn out");
  ((thing *)made)->resets++;
  return QDS_OK;
}

static void report(void *user, const char *name, const char *file, int line) {
  workshop *w = user;
  atomic_fetch_add(&w->reports, 1);
  snprintf(w->reported, sizeof w->reported, "%s at %s:%d", name, file, line);
}

static qds_status open_pool(workshop *w, qds_context *ctx, size_t limit, qds_lease_pool **out) {
  w->allocator = qds_context_allocator(ctx);
  const qds_lease_factory factory = {"things", limit, create, destroy, reset, report, w};
  return qds_lease_pool_create(w->allocator, &factory, out);
}

static qds_lease_statistics statistics_of(qds_lease_pool *pool) {
  qds_lease_statistics statistics;
  qds_lease_statistics_read(pool, &statistics);
  return statistics;
}

/* --- one thread -------------------------------------------------------------------------------------------
 */

/* Fault 55: every acquire made a new thing, and gave it away for destruction. */
static void fault_55_a_thing_is_used_again(qds_context *ctx) {
  workshop w = {0};
  qds_lease_pool *pool = NULL;
  assert_ok(open_pool(&w, ctx, 3, &pool));
  assert_int_equal(w.calls, 0); /* made on demand */
  void *first = NULL;
  for (int i = 0; i < 5; i++) {
    QDS_AUTO(qds_lease) *lease = NULL;
    assert_ok(QDS_LEASE_TAKE(pool, 0, &lease));
    if (!first) first = qds_lease_thing(lease);
    assert_ptr_equal(qds_lease_thing(lease), first);
    assert_int_equal(((thing *)first)->resets, i);
  }
  assert_int_equal(w.calls, 1);
  assert_int_equal(w.destroyed, 0);
  const qds_lease_statistics s = statistics_of(pool);
  assert_int_equal(s.takes, 5);
  assert_int_equal(s.existing, 1);
  assert_int_equal(s.out, 0);
  assert_int_equal(s.peak_out, 1);
  qds_lease_pool_destroy(pool);
  assert_int_equal(w.existing, 0);
  assert_int_equal(w.reports, 0);
}

static void the_limit_is_an_error_that_says_who_and_where(qds_context *ctx) {
  workshop w = {0};
  QDS_AUTO(qds_lease_pool) *pool = NULL;
  assert_ok(open_pool(&w, ctx, 2, &pool));
  QDS_AUTO(qds_lease) *a = NULL;
  QDS_AUTO(qds_lease) *b = NULL;
  qds_lease *c = (qds_lease *)&w;
  char where[64];
  snprintf(where, sizeof where, "test_lease.c:%d", __LINE__ + 1);
  assert_ok(QDS_LEASE_TAKE(pool, 0, &a));
  assert_ok(QDS_LEASE_TAKE(pool, 0, &b));
  assert_fails(QDS_LEASE_TAKE(pool, 0, &c), QDS_ERROR_BUDGET, "things: all 2 are in use");
  assert_null(c);
  const double began = qds_seconds();
  assert_fails(QDS_LEASE_TAKE(pool, 0.03, &c), QDS_ERROR_BUDGET, "in 0.03");
  assert_true(qds_seconds() - began >= 0.03);
  assert_non_null(strstr(qds_last_error()->message, where));
  assert_int_equal(w.most, 2);
  assert_int_equal(statistics_of(pool).time_outs, 2);
  assert_int_equal(statistics_of(pool).waits, 1);
  qds_lease_destroy(a);
  a = NULL;
  assert_ok(QDS_LEASE_TAKE(pool, 0, &c));
  qds_lease_destroy(c);
}

/* Fault 55: a factory that returned nothing hung the caller, and slots were lost. */
static void fault_55_a_failing_factory_loses_no_slot(qds_context *ctx) {
  workshop w = {.make_none = 1};
  qds_lease_pool *pool = NULL;
  qds_lease *lease = NULL, *other = NULL;
  assert_ok(open_pool(&w, ctx, 2, &pool));
  for (int i = 0; i < 5; i++)
    assert_fails(QDS_LEASE_TAKE(pool, 0, &lease), QDS_ERROR_INTERNAL, "things: the factory");
  w.make_none = 0;
  w.fail_at = 7;
  assert_ok(QDS_LEASE_TAKE(pool, 0, &lease));
  assert_fails(QDS_LEASE_TAKE(pool, 0, &other), QDS_ERROR_UNSUPPORTED, "the workshop is closed");
  assert_ok(QDS_LEASE_TAKE(pool, 0, &other));
  assert_int_equal(statistics_of(pool).failed_creations, 6);
  assert_int_equal(statistics_of(pool).existing, 2);
  qds_lease_destroy(lease);
  qds_lease_destroy(other);
  qds_lease_pool_destroy(pool);
  assert_int_equal(w.existing, 0);
}

static void a_thing_that_cannot_be_reset_is_replaced(qds_context *ctx) {
  workshop w = {.fail_resets = 1};
  QDS_AUTO(qds_lease_pool) *pool = NULL;
  assert_ok(open_pool(&w, ctx, 1, &pool));
  for (int i = 1; i <= 3; i++) {
    QDS_AUTO(qds_lease) *lease = NULL;
    assert_ok(QDS_LEASE_TAKE(pool, 0, &lease));
    assert_int_equal(w.calls, i);
    assert_int_equal(w.destroyed, i - 1);
  }
  assert_int_equal(statistics_of(pool).failed_resets, 3);
  assert_int_equal(w.most, 1);
}

static void destruction_reports_what_is_out_and_leaves_it_usable(qds_context *ctx) {
  workshop w = {0};
  qds_lease_pool *pool = NULL;
  qds_lease *a = NULL, *b = NULL, *c = NULL;
  char where[64];
  assert_ok(open_pool(&w, ctx, 4, &pool));
  assert_ok(QDS_LEASE_TAKE(pool, 0, &a));
  assert_ok(QDS_LEASE_TAKE(pool, 0, &b));
  snprintf(where, sizeof where, "things at %s:%d", __FILE__, __LINE__ + 1);
  assert_ok(QDS_LEASE_TAKE(pool, 0, &c));
  qds_lease_destroy(a);
  qds_lease_destroy(b);
  qds_lease_pool_destroy(pool);
  assert_int_equal(w.reports, 1);
  assert_string_equal(w.reported, where);
  assert_int_equal(w.destroyed, 2);
  ((thing *)qds_lease_thing(c))->resets = 7;
  qds_lease_destroy(c); /* and with it the pool's memory, as the context finds */
  assert_int_equal(w.existing, 0);
  qds_lease_pool_destroy(NULL);
  qds_lease_destroy(NULL);
}

static void senseless_factories_are_refused(qds_context *ctx) {
  workshop w = {0};
  qds_lease_pool *pool = NULL;
  assert_fails(open_pool(&w, ctx, 0, &pool), QDS_ERROR_ARGUMENT, "things: limit 0");
  assert_fails(open_pool(&w, ctx, QDS_LEASE_LIMIT + 1, &pool), QDS_ERROR_ARGUMENT, "65537");
  const qds_lease_factory none = {.name = "things", .limit = 1};
  assert_fails(qds_lease_pool_create(w.allocator, &none, &pool), QDS_ERROR_ARGUMENT, "create");
  assert_null(pool);
}

static qds_status take_two(qds_context *ctx, void *data) {
  (void)data;
  workshop w = {0};
  QDS_AUTO(qds_lease_pool) *pool = NULL;
  QDS_AUTO(qds_lease) *a = NULL;
  QDS_AUTO(qds_lease) *b = NULL;
  QDS_TRY(open_pool(&w, ctx, 2, &pool));
  QDS_TRY(QDS_LEASE_TAKE(pool, 0, &a));
  return QDS_LEASE_TAKE(pool, 0, &b);
}

static void no_leak_when_memory_runs_out(qds_context *ctx) {
  assert_int_equal(fail_each_allocation(ctx, take_two, NULL), 4);
}

/* --- many threads -----------------------------------------------------------------------------------------
 */

enum { THREADS = 6, ROUNDS = 300 };

typedef struct {
  qds_lease_pool *pool;
  int taken, crowded, refused;
} client;

static void *take_and_return(void *data) {
  client *c = data;
  for (int i = 0; i < ROUNDS; i++) {
    QDS_AUTO(qds_lease) *lease = NULL;
    if (QDS_LEASE_TAKE(c->pool, -1, &lease) != QDS_OK) {
      c->refused++;
      break; /* so that it cannot wake the others later */
    }
    thing *mine = qds_lease_thing(lease);
    c->crowded += atomic_fetch_add(&mine->users, 1) != 0;
    if (i % 50 == 0) usleep(50);
    atomic_fetch_sub(&mine->users, 1);
    c->taken++;
  }
  return NULL;
}

static void crowd(qds_context *ctx, size_t limit, workshop *w, client clients[THREADS]) {
  pthread_t threads[THREADS];
  qds_lease_pool *pool = NULL;
  assert_ok(open_pool(w, ctx, limit, &pool));
  for (int i = 0; i < THREADS; i++) {
    clients[i] = (client){.pool = pool};
    assert_int_equal(pthread_create(&threads[i], NULL, take_and_return, &clients[i]), 0);
  }
  for (int i = 0; i < THREADS; i++) pthread_join(threads[i], NULL);
  assert_int_equal(statistics_of(pool).out, 0);
  qds_lease_pool_destroy(pool);
  assert_int_equal(w->existing, 0);
  for (int i = 0; i < THREADS; i++) assert_int_equal(clients[i].crowded, 0);
}

/* Fault 55: the limit was checked, unlocked and then passed by several threads. */
static void fault_55_threads_never_pass_the_limit(qds_context *ctx) {
  for (size_t limit = 1; limit <= 4; limit++)
    for (int fail_resets = 0; fail_resets < 2; fail_resets++) {
      workshop w = {.create_us = 200, .fail_resets = fail_resets};
      client clients[THREADS];
      if (fail_resets) w.create_us = 0;
      crowd(ctx, limit, &w, clients);
      assert_true((size_t)w.most <= limit);
      for (int i = 0; i < THREADS; i++) assert_int_equal(clients[i].taken, ROUNDS);
    }
}

static void a_failure_wakes_another_thread(qds_context *ctx) {
  workshop w = {.create_us = 5000, .fail_at = 1};
  client clients[THREADS];
  crowd(ctx, 1, &w, clients);
  int taken = 0, refused = 0;
  for (int i = 0; i < THREADS; i++) {
    taken += clients[i].taken;
    refused += clients[i].refused;
  }
  assert_int_equal(refused, 1);
  assert_int_equal(taken, (THREADS - 1) * ROUNDS);
}

static void *return_later(void *lease) {
  usleep(20000);
  qds_lease_destroy(lease);
  return NULL;
}

static void a_wait_ends_when_one_comes_back(qds_context *ctx) {
  workshop w = {0};
  QDS_AUTO(qds_lease_pool) *pool = NULL;
  assert_ok(open_pool(&w, ctx, 1, &pool));
  qds_lease *held = NULL;
  QDS_AUTO(qds_lease) *mine = NULL;
  pthread_t thread;
  assert_ok(QDS_LEASE_TAKE(pool, 0, &held));
  assert_int_equal(pthread_create(&thread, NULL, return_later, held), 0);
  assert_ok(QDS_LEASE_TAKE(pool, 60, &mine));
  pthread_join(thread, NULL);
  assert_int_equal(w.calls, 1);
  assert_true(statistics_of(pool).waited_s > 0);
}

static void *return_now(void *lease) {
  qds_lease_destroy(lease);
  return NULL;
}

/* Leases that come back while, and after, their pool is destroyed. */
static void leases_outlive_their_pool(qds_context *ctx) {
  for (int round = 0; round < 100; round++) {
    workshop w = {0};
    qds_lease_pool *pool = NULL;
    qds_lease *leases[THREADS];
    pthread_t threads[THREADS];
    assert_ok(open_pool(&w, ctx, THREADS, &pool));
    for (int i = 0; i < THREADS; i++) assert_ok(QDS_LEASE_TAKE(pool, 0, &leases[i]));
    for (int i = 0; i < THREADS; i++)
      assert_int_equal(pthread_create(&threads[i], NULL, return_now, leases[i]), 0);
    qds_lease_pool_destroy(pool);
    for (int i = 0; i < THREADS; i++) pthread_join(threads[i], NULL);
    assert_int_equal(w.existing, 0);
  }
}

#define IN_CONTEXT(name)                                                                                     \
  static void run_##name(void **state) {                                                                     \
    (void)state;                                                                                             \
    with_context(1, name);                                                                                   \
  }
#define TESTS(X)                                                                                             \
  X(fault_55_a_thing_is_used_again)                                                                          \
  X(the_limit_is_an_error_that_says_who_and_where)                                                           \
  X(fault_55_a_failing_factory_loses_no_slot)                                                                \
  X(a_thing_that_cannot_be_reset_is_replaced)                                                                \
  X(destruction_reports_what_is_out_and_leaves_it_usable)                                                    \
  X(senseless_factories_are_refused)                                                                         \
  X(no_leak_when_memory_runs_out)                                                                            \
  X(fault_55_threads_never_pass_the_limit)                                                                   \
  X(a_failure_wakes_another_thread)                                                                          \
  X(a_wait_ends_when_one_comes_back)                                                                         \
  X(leases_outlive_their_pool)
TESTS(IN_CONTEXT)

int main(void) {
#define ROW(name) {#name, run_##name, NULL, NULL, NULL},
  const struct CMUnitTest tests[] = {TESTS(ROW)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}

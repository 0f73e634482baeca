/* A pool is an array of places, as many as may exist. A place is vacant, idle (its thing waits in the pool),
 * busy (its thing is being made or reset, outside the lock) or out. Who finds neither an idle nor a vacant
 * place waits for the condition, which every change towards idle or vacant signals. */
#include "mem/lease.h"

#include <errno.h>
#include <pthread.h>
#include <time.h>

struct qds_lease {
  qds_lease_pool *pool;
  void *thing;
  const char *file; /* who has it */
  int line;
  double since_s;
  int out;
  qds_lease *next; /* in the list of idle or of vacant places */
};

struct qds_lease_pool {
  qds_lease_factory factory;
  pthread_mutex_t lock;
  pthread_cond_t changed;
  qds_lease *places, *idle, *vacant;
  qds_lease_statistics statistics;
  int closed;     /* what comes back is not kept */
  int dismantled; /* who destroys the last thing frees the pool */
};

static double now_s(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

static void put(qds_lease **list, qds_lease *place) {
  place->next = *list;
  *list = place;
}

static qds_lease *get(qds_lease **list) {
  qds_lease *place = *list;
  if (place) *list = place->next;
  return place;
}

/* --- creation and destruction -----------------------------------------------------------------------------
 */

static void free_pool(qds_lease_pool *pool) {
  pthread_cond_destroy(&pool->changed);
  pthread_mutex_destroy(&pool->lock);
  qds_release(pool->places);
  qds_release(pool);
}

static void create_locks(qds_lease_pool *pool) {
  /* With these arguments glibc's initialisers cannot fail. */
  pthread_condattr_t monotonic;
  pthread_condattr_init(&monotonic);
  pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
  pthread_cond_init(&pool->changed, &monotonic);
  pthread_condattr_destroy(&monotonic);
  pthread_mutex_init(&pool->lock, NULL);
}

qds_status qds_lease_pool_create(qds_allocator *allocator, const qds_lease_factory *factory,
                                 qds_lease_pool **out) {
  *out = NULL;
  QDS_REQUIRE(factory->name && factory->create && factory->destroy,
              "a pool of leases needs a name, and functions that create and destroy");
  QDS_REQUIRE(factory->limit >= 1 && factory->limit <= QDS_LEASE_LIMIT, "%s: limit %zu; 1 to %d are allowed",
              factory->name, factory->limit, QDS_LEASE_LIMIT);
  QDS_AUTO_RELEASE qds_lease_pool *pool = NULL;
  QDS_TRY(QDS_NEW_ZERO(allocator, 1, "leases", &pool));
  QDS_TRY(QDS_NEW_ZERO(allocator, factory->limit, "leases", &pool->places));
  pool->factory = *factory;
  pool->statistics.limit = factory->limit;
  for (size_t i = factory->limit; i-- > 0;) {
    pool->places[i].pool = pool;
    put(&pool->vacant, &pool->places[i]);
  }
  create_locks(pool);
  *out = pool;
  pool = NULL;
  return QDS_OK;
}

void qds_lease_pool_destroy(qds_lease_pool *pool) {
  if (!pool) return;
  const qds_lease_factory *factory = &pool->factory;
  pthread_mutex_lock(&pool->lock);
  pool->closed = 1;
  qds_lease *idle = pool->idle;
  pool->idle = NULL;
  for (size_t i = 0; i < factory->limit; i++)
    if (pool->places[i].out && factory->report)
      factory->report(factory->user, factory->name, pool->places[i].file, pool->places[i].line);
  pthread_mutex_unlock(&pool->lock);
  size_t destroyed = 0;
  for (qds_lease *place; (place = get(&idle)); destroyed++) factory->destroy(factory->user, place->thing);
  pthread_mutex_lock(&pool->lock);
  pool->statistics.existing -= destroyed;
  pool->dismantled = 1;
  const int last = pool->statistics.existing == 0;
  pthread_mutex_unlock(&pool->lock);
  if (last) free_pool(pool);
}

/* --- taking -----------------------------------------------------------------------------------------------
 */

static qds_status all_are_out(const qds_lease_pool *pool, double waited_s) {
  const qds_lease *longest = NULL;
  for (size_t i = 0; i < pool->factory.limit; i++) {
    const qds_lease *place = &pool->places[i];
    if (place->out && (!longest || place->since_s < longest->since_s)) longest = place;
  }
  QDS_FAIL(
      QDS_ERROR_BUDGET,
      "%s: all %zu are in use and none came back in %.3g s; the one held longest was taken at %s:%d; raise "
      "the limit, wait longer or give back earlier",
      pool->factory.name, pool->factory.limit, waited_s, longest ? longest->file : "(being made)",
      longest ? longest->line : 0);
}

static struct timespec at_time(double seconds) {
  const time_t whole = (time_t)seconds;
  return (struct timespec){whole, (long)((seconds - (double)whole) * 1e9)};
}

/* Waits, with the lock held, until a place is idle or vacant. */
static qds_status wait_for_place(qds_lease_pool *pool, double timeout_s) {
  if (pool->idle || pool->vacant) return QDS_OK;
  enum { LONGEST_S = 1 << 30 }; /* 34 years; more would overflow the clock */
  const int forever = !(timeout_s >= 0 && timeout_s < LONGEST_S);
  const double began = now_s();
  const struct timespec deadline = at_time(began + (forever ? 0 : timeout_s));
  int answer = timeout_s == 0 ? ETIMEDOUT : 0;
  pool->statistics.waits += answer == 0;
  while (answer == 0 && !pool->idle && !pool->vacant)
    answer = forever ? pthread_cond_wait(&pool->changed, &pool->lock)
                     : pthread_cond_timedwait(&pool->changed, &pool->lock, &deadline);
  const double waited_s = now_s() - began;
  pool->statistics.waited_s += waited_s;
  if (pool->idle || pool->vacant) return QDS_OK;
  pool->statistics.time_outs++;
  return all_are_out(pool, waited_s);
}

/* Makes the thing of a place that is nobody else's, with the lock released meanwhile. */
static qds_status create_thing(qds_lease_pool *pool, qds_lease *place) {
  const qds_lease_factory *factory = &pool->factory;
  pthread_mutex_unlock(&pool->lock);
  void *thing = NULL;
  qds_status status = factory->create(factory->user, &thing);
  if (status == QDS_OK && !thing)
    status = qds_raise(QDS_ERROR_INTERNAL, __FILE__, __LINE__, 0,
                       "%s: the factory reported success and made none", factory->name);
  pthread_mutex_lock(&pool->lock);
  if (status == QDS_OK) {
    place->thing = thing;
    pool->statistics.creations++;
    pool->statistics.existing++;
    return QDS_OK;
  }
  pool->statistics.failed_creations++;
  put(&pool->vacant, place);
  pthread_cond_signal(&pool->changed); /* another thread may have better luck */
  return status;
}

static qds_status take_locked(qds_lease_pool *pool, double timeout_s, qds_lease **out) {
  QDS_TRY(wait_for_place(pool, timeout_s));
  qds_lease *place = get(&pool->idle);
  if (!place) {
    place = get(&pool->vacant);
    QDS_TRY(create_thing(pool, place));
  }
  *out = place;
  return QDS_OK;
}

qds_status qds_lease_take(qds_lease_pool *pool, double timeout_s, const char *file, int line,
                          qds_lease **out) {
  *out = NULL;
  pthread_mutex_lock(&pool->lock);
  const qds_status status = take_locked(pool, timeout_s, out);
  if (status == QDS_OK) {
    qds_lease_statistics *s = &pool->statistics;
    (*out)->file = file;
    (*out)->line = line;
    (*out)->since_s = now_s();
    (*out)->out = 1;
    s->takes++;
    s->out++;
    if (s->out > s->peak_out) s->peak_out = s->out;
  }
  pthread_mutex_unlock(&pool->lock);
  return status;
}

void *qds_lease_thing(const qds_lease *lease) {
  return lease->thing;
}

/* --- giving back ------------------------------------------------------------------------------------------
 */

void qds_lease_destroy(qds_lease *lease) {
  if (!lease) return;
  qds_lease_pool *pool = lease->pool;
  const qds_lease_factory *factory = &pool->factory;
  int good = !factory->reset || factory->reset(factory->user, lease->thing) == QDS_OK;
  pthread_mutex_lock(&pool->lock);
  pool->statistics.failed_resets += !good;
  pool->statistics.out--;
  lease->out = 0;
  good = good && !pool->closed;
  if (!good) {
    pthread_mutex_unlock(&pool->lock);
    factory->destroy(factory->user, lease->thing);
    pthread_mutex_lock(&pool->lock);
    lease->thing = NULL;
    pool->statistics.existing--;
  }
  put(good ? &pool->idle : &pool->vacant, lease);
  pthread_cond_signal(&pool->changed);
  const int last = pool->dismantled && pool->statistics.existing == 0;
  pthread_mutex_unlock(&pool->lock);
  if (last) free_pool(pool);
}

void qds_lease_statistics_read(qds_lease_pool *pool, qds_lease_statistics *out) {
  pthread_mutex_lock(&pool->lock);
  *out = pool->statistics;
  pthread_mutex_unlock(&pool->lock);
}

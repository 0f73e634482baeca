/* The stream-ordered pool under random loads, by one thread and by several, on the devices that there are. */
#include "stream_pools.h"

#include <pthread.h>
#include <stdatomic.h>

#include "random_source.h"

/* --- random stress -------------------------------------------------------------------------------------- */

/* Sizes from bytes to megabytes, evenly over their logarithm. */
static size_t random_size(random_source *random) {
  return (size_t)exp2(22 * uniform(random)) + below(random, 300);
}

enum { STREAMS = 4, LIVE = 60, STEPS = 1500, PROBE = 64 };

typedef struct {
  unsigned char *block;
  size_t bytes;
  int stream;
  unsigned char value;
} live_block;

/* Every block is filled with a number of its own when it is taken; before it is given back its first and last
 * bytes go to a place of their own, which is looked at in the end. Whoever gets memory too early spoils them.
 */
static void stress(qds_context *ctx, uint64_t seed) {
  print_message("seed %llu\n", (unsigned long long)seed);
  random_source random = {seed, 0};
  qds_stream *streams[STREAMS], *probes_stream = open_stream(ctx);
  for (int i = 0; i < STREAMS; i++) streams[i] = open_stream(ctx);
  live_block live[LIVE];
  unsigned char *probes = take(probes_stream, (size_t)STEPS * 2 * PROBE), *expected = calloc(STEPS, 1);
  size_t *lengths = calloc(STEPS, sizeof *lengths);
  int count = 0, probed = 0;
  for (int step = 0; step < STEPS; step++) {
    if (count < LIVE && below(&random, 100) < 60) {
      live_block *l = &live[count];
      *l = (live_block){.bytes = random_size(&random), .stream = (int)below(&random, STREAMS)};
      l->value = (unsigned char)(1 + step % 255);
      void *block;
      const qds_status status =
          qds_stream_allocate(streams[l->stream], l->bytes, 1, "stress", __FILE__, __LINE__, &block);
      if (status != QDS_OK) assert_int_equal(status, QDS_ERROR_BUDGET);
      if (status == QDS_OK) {
        l->block = block;
        assert_ok(qds_stream_fill(streams[l->stream], block, l->value, l->bytes));
        count++;
      }
    } else if (count) {
      const int at = (int)below(&random, (size_t)count);
      const live_block l = live[at];
      live[at] = live[--count];
      const size_t length = l.bytes < PROBE ? l.bytes : PROBE;
      unsigned char *probe = probes + (size_t)probed * 2 * PROBE;
      assert_ok(qds_stream_copy(streams[l.stream], probe, l.block, length));
      assert_ok(qds_stream_copy(streams[l.stream], probe + PROBE, l.block + l.bytes - length, length));
      lengths[probed] = length;
      expected[probed++] = l.value;
      qds_stream_release(streams[l.stream], l.block);
    }
    check(ctx);
    if (step % 400 == 399) assert_ok(qds_stream_pool_trim(pool_of(ctx)));
  }
  for (int i = 0; i < STREAMS; i++) assert_ok(qds_stream_synchronise(streams[i]));
  unsigned char *back = malloc((size_t)STEPS * 2 * PROBE);
  assert_ok(qds_stream_fetch(probes_stream, back, probes, (size_t)probed * 2 * PROBE));
  for (int i = 0; i < probed; i++)
    for (size_t j = 0; j < lengths[i]; j++)
      if (back[i * 2 * PROBE + (int)j] != expected[i] || back[i * 2 * PROBE + PROBE + (int)j] != expected[i])
        fail_msg("block %d was overwritten before it was given back", i);
  while (count--) qds_stream_release(streams[live[count].stream], live[count].block);
  qds_stream_release(probes_stream, probes);
  for (int i = 0; i < STREAMS; i++) qds_stream_destroy(streams[i]);
  qds_stream_destroy(probes_stream);
  check(ctx);
  assert_int_equal(statistics_of(ctx).used_bytes, 0);
  free(back);
  free(expected);
  free(lengths);
}

static void check_stress(qds_context *ctx) {
  for (uint64_t seed = 1; seed <= 3; seed++) stress(ctx, seed);
}

static void test_stress(void **state) {
  (void)state;
  on_devices(0, check_stress);
  on_devices(24 * MIB, check_stress);
}

/* Threads with a stream each hand blocks on through a shelf: the taker makes its stream wait for the giver's,
 * looks, and gives back on its own stream. Threads end while their blocks are on the shelf. */
enum { THREADS = 4, SHELF = 16, TURNS = 150 };

typedef struct {
  unsigned char *block;
  size_t bytes;
  unsigned char value;
  qds_event *event;
} parcel;

typedef struct {
  qds_context *ctx;
  qds_allocator *allocator;
  pthread_mutex_t lock;
  parcel shelf[SHELF];
  atomic_int faults;
} exchange;

typedef struct {
  exchange *shared;
  uint64_t seed;
} worker;

static qds_status receive(exchange *e, qds_stream *stream, parcel *p) {
  unsigned char first = 0, last = 0;
  QDS_TRY(qds_stream_wait(stream, p->event));
  QDS_TRY(qds_stream_copy(stream, &first, p->block, 1));
  QDS_TRY(qds_stream_fetch(stream, &last, p->block + p->bytes - 1, 1));
  if (first != p->value || last != p->value) atomic_fetch_add(&e->faults, 1);
  QDS_TRY(qds_stream_pool_release(pool_of(e->ctx), stream, p->block));
  qds_event_destroy(p->event);
  return QDS_OK;
}

static qds_status send(exchange *e, qds_stream *stream, random_source *random, parcel *p) {
  p->bytes = random_size(random);
  p->value = (unsigned char)below(random, 256);
  QDS_TRY(qds_event_create(qds_context_accelerator(e->ctx), e->allocator, &p->event));
  QDS_TRY(qds_stream_allocate(stream, p->bytes, 1, "parcel", __FILE__, __LINE__, (void **)&p->block));
  QDS_TRY(qds_stream_fill(stream, p->block, p->value, p->bytes));
  return qds_event_record(p->event, stream);
}

static qds_status work(worker *w) {
  exchange *e = w->shared;
  random_source random = {w->seed, 0};
  QDS_AUTO(qds_stream) *stream = NULL;
  QDS_TRY(qds_stream_create(qds_context_accelerator(e->ctx), e->allocator, 1, &stream));
  for (int turn = 0; turn < TURNS; turn++) {
    parcel own = {0}, other = {0};
    QDS_TRY(send(e, stream, &random, &own));
    pthread_mutex_lock(&e->lock);
    const size_t at = below(&random, SHELF);
    other = e->shelf[at];
    e->shelf[at] = own;
    pthread_mutex_unlock(&e->lock);
    if (other.block) QDS_TRY(receive(e, stream, &other));
    QDS_TRY(qds_stream_pool_check(pool_of(e->ctx)));
    if (turn % 50 == 49) QDS_TRY(qds_stream_pool_trim(pool_of(e->ctx)));
  }
  return QDS_OK;
}

static void *run_worker(void *data) {
  worker *w = data;
  if (work(w) != QDS_OK) {
    fprintf(stderr, "seed %llu: %s\n", (unsigned long long)w->seed, qds_last_error()->message);
    atomic_fetch_add(&w->shared->faults, 1);
  }
  return NULL;
}

static void check_threads(qds_context *ctx) {
  exchange e = {.ctx = ctx, .allocator = qds_context_allocator(ctx)};
  pthread_mutex_init(&e.lock, NULL);
  pthread_t threads[THREADS];
  worker workers[2 * THREADS];
  for (int generation = 0; generation < 2; generation++) {
    for (int i = 0; i < THREADS; i++) {
      workers[i] = (worker){&e, (uint64_t)(1 + i + THREADS * generation)};
      assert_int_equal(pthread_create(&threads[i], NULL, run_worker, &workers[i]), 0);
    }
    for (int i = 0; i < THREADS; i++) pthread_join(threads[i], NULL);
  }
  qds_stream *stream = open_stream(ctx);
  for (int i = 0; i < SHELF; i++)
    if (e.shelf[i].block) assert_ok(receive(&e, stream, &e.shelf[i]));
  qds_stream_destroy(stream);
  assert_int_equal(atomic_load(&e.faults), 0);
  check(ctx);
  pthread_mutex_destroy(&e.lock);
}

static void test_threads(void **state) {
  (void)state;
  on_devices(0, check_threads);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_stress),
      cmocka_unit_test(test_threads),
  };
  return cmocka_run_group_tests_name("pool_stream_stress", tests, NULL, NULL);
}

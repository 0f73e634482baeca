#include "support.h"

#include <pthread.h>
#include <stdatomic.h>
#include <unistd.h>

#include "base/philox.h"
#include "mem/heap.h"
#include "mem/queue.h"

enum { PRODUCERS = 4, CONSUMERS = 3, EACH = 4000 };

static int setup(void **state) {
  return qds_heap_create(0, (qds_heap **)state) == QDS_OK ? 0 : -1;
}

static void count_leak(void *user, const char *tag, size_t bytes, const char *file, int line) {
  (void)tag, (void)bytes, (void)file, (void)line;
  ++*(int *)user;
}

static int teardown(void **state) {
  int leaks = 0;
  qds_heap_destroy(*state, count_leak, &leaks);
  return leaks;
}

static qds_queue *queue_for(void **state, size_t capacity) {
  qds_queue *queue = NULL;
  assert_ok(qds_queue_create(qds_heap_allocator(*state), capacity, &queue));
  return queue;
}

/* --- one thread -------------------------------------------------------------------------------------------
 */

static void capacity_is_exact(void **state) {
  const size_t capacities[] = {1, 2, 3, 4, 7, 8, 100};
  int items[101];
  for (size_t c = 0; c < sizeof capacities / sizeof *capacities; c++) {
    qds_queue *queue = queue_for(state, capacities[c]);
    assert_int_equal(qds_queue_capacity(queue), capacities[c]);
    for (int round = 0; round < 3; round++) {
      for (size_t i = 0; i < capacities[c]; i++) {
        assert_int_equal(qds_queue_count(queue), i);
        assert_int_equal(qds_queue_try_push(queue, &items[i]), QDS_QUEUE_DONE);
      }
      assert_int_equal(qds_queue_try_push(queue, &items[100]), QDS_QUEUE_NOT_YET);
      for (size_t i = 0; i < capacities[c]; i++) {
        void *item = NULL;
        assert_int_equal(qds_queue_try_pop(queue, &item), QDS_QUEUE_DONE);
        assert_ptr_equal(item, &items[i]);
      }
    }
    qds_queue_destroy(queue);
  }
}

/* Fault 56: data stored in one node and read from the next lost the first item. */
static void fault_56_the_first_item_is_not_lost(void **state) {
  int items[3];
  for (int count = 1; count <= 3; count++) {
    qds_queue *queue = queue_for(state, 8);
    void *item = NULL;
    for (int i = 0; i < count; i++) assert_int_equal(qds_queue_try_push(queue, &items[i]), QDS_QUEUE_DONE);
    for (int i = 0; i < count; i++) {
      assert_int_equal(qds_queue_try_pop(queue, &item), QDS_QUEUE_DONE);
      assert_ptr_equal(item, &items[i]);
    }
    assert_int_equal(qds_queue_try_pop(queue, &item), QDS_QUEUE_NOT_YET);
    assert_null(item);
    qds_queue_destroy(queue);
  }
}

static void count_release(void *user, void *item) {
  ++*(int *)user;
  qds_release(item);
}

/* Fault 56: the destructor leaked what was left; the heap of this test reports that. */
static void fault_56_leftovers_are_handed_back(void **state) {
  for (int closed = 0; closed < 2; closed++) {
    qds_queue *queue = queue_for(state, 5);
    int released = 0;
    for (int i = 0; i < 5; i++) {
      char *payload = NULL;
      assert_ok(QDS_NEW(qds_heap_allocator(*state), 10, "payload", &payload));
      assert_int_equal(qds_queue_try_push(queue, payload), QDS_QUEUE_DONE);
    }
    void *first = NULL;
    assert_int_equal(qds_queue_try_pop(queue, &first), QDS_QUEUE_DONE);
    qds_release(first);
    if (closed) qds_queue_close(queue);
    qds_queue_drain_and_destroy(queue, count_release, &released);
    assert_int_equal(released, 4);
  }
  qds_queue_destroy(NULL);
}

static void a_closed_queue_is_drained_and_takes_no_more(void **state) {
  qds_queue *queue = queue_for(state, 4);
  int items[2];
  void *item = NULL;
  for (int i = 0; i < 2; i++) assert_int_equal(qds_queue_try_push(queue, &items[i]), QDS_QUEUE_DONE);
  qds_queue_close(queue);
  qds_queue_close(queue);
  assert_int_equal(qds_queue_count(queue), 2);
  assert_int_equal(qds_queue_try_push(queue, &items[0]), QDS_QUEUE_CLOSED);
  assert_int_equal(qds_queue_push(queue, &items[0], -1), QDS_QUEUE_CLOSED);
  for (int i = 0; i < 2; i++) {
    assert_int_equal(qds_queue_pop(queue, -1, &item), QDS_QUEUE_DONE);
    assert_ptr_equal(item, &items[i]);
  }
  assert_int_equal(qds_queue_try_pop(queue, &item), QDS_QUEUE_CLOSED);
  assert_int_equal(qds_queue_pop(queue, -1, &item), QDS_QUEUE_CLOSED);
  assert_null(item);
  qds_queue_destroy(queue);
}

static void waiting_ends_with_the_time(void **state) {
  qds_queue *queue = queue_for(state, 1);
  int items[2];
  void *item = NULL;
  double began = qds_seconds();
  assert_int_equal(qds_queue_pop(queue, 0.02, &item), QDS_QUEUE_NOT_YET);
  assert_true(qds_seconds() - began >= 0.02);
  assert_int_equal(qds_queue_push(queue, &items[0], 0.02), QDS_QUEUE_DONE);
  began = qds_seconds();
  assert_int_equal(qds_queue_push(queue, &items[1], 0.02), QDS_QUEUE_NOT_YET);
  assert_true(qds_seconds() - began >= 0.02);
  assert_int_equal(qds_queue_pop(queue, 0, &item), QDS_QUEUE_DONE);
  assert_int_equal(qds_queue_pop(queue, 0, &item), QDS_QUEUE_NOT_YET);
  qds_queue_destroy(queue);
}

static void senseless_capacities_are_refused(void **state) {
  qds_queue *queue = (qds_queue *)state;
  assert_fails(qds_queue_create(qds_heap_allocator(*state), 0, &queue), QDS_ERROR_ARGUMENT, "1 to");
  assert_null(queue);
  assert_fails(qds_queue_create(qds_heap_allocator(*state), (size_t)QDS_QUEUE_CAPACITY + 1, &queue),
               QDS_ERROR_ARGUMENT, "16777217");
}

static qds_status create_once(qds_context *ctx, void *data) {
  (void)data;
  QDS_AUTO(qds_queue) *queue = NULL;
  return qds_queue_create(qds_context_allocator(ctx), 9, &queue);
}

static void with_every_allocation_failing(qds_context *ctx) {
  assert_int_equal(fail_each_allocation(ctx, create_once, NULL), 2);
}

static void no_leak_when_memory_runs_out(void **state) {
  (void)state;
  with_context(1, with_every_allocation_failing);
}

/* --- many threads -----------------------------------------------------------------------------------------
 */

typedef struct {
  int producer, number;
  int copy;         /* written before the push, read after the pop: for the sanitizers */
  atomic_int taken; /* by how many consumers */
} payload;

typedef struct {
  qds_queue *queue;
  payload (*items)[EACH];
  int id;
  int polite;   /* waits in the queue, or tries again and again */
  int in_order; /* of each producer */
  int popped;
} worker;

static void *produce(void *data) {
  worker *w = data;
  for (int i = 0; i < EACH; i++) {
    payload *item = &w->items[w->id][i];
    item->producer = w->id;
    item->number = item->copy = i;
    qds_queue_result result = QDS_QUEUE_NOT_YET;
    while (result == QDS_QUEUE_NOT_YET) {
      result = w->polite ? qds_queue_push(w->queue, item, -1) : qds_queue_try_push(w->queue, item);
      if (result == QDS_QUEUE_NOT_YET) usleep(1);
    }
    if (result != QDS_QUEUE_DONE) return NULL;
  }
  return NULL;
}

static void *consume(void *data) {
  worker *w = data;
  int last[PRODUCERS] = {-1, -1, -1, -1};
  w->in_order = 1;
  for (;;) {
    void *popped = NULL;
    const qds_queue_result result =
        w->polite ? qds_queue_pop(w->queue, 0.005, &popped) : qds_queue_try_pop(w->queue, &popped);
    if (result == QDS_QUEUE_CLOSED) return NULL;
    if (result == QDS_QUEUE_NOT_YET) {
      usleep(1);
      continue;
    }
    payload *item = popped;
    w->popped++;
    w->in_order &= item->number > last[item->producer] && item->copy == item->number;
    last[item->producer] = item->number;
    atomic_fetch_add(&item->taken, 1);
  }
}

static void exchange(void **state, size_t capacity, int polite) {
  QDS_AUTO_RELEASE payload(*items)[EACH] = NULL;
  QDS_AUTO(qds_queue) *queue = queue_for(state, capacity);
  pthread_t threads[PRODUCERS + CONSUMERS];
  worker workers[PRODUCERS + CONSUMERS];
  assert_ok(QDS_NEW_ZERO(qds_heap_allocator(*state), PRODUCERS, "items", &items));
  for (int i = 0; i < PRODUCERS + CONSUMERS; i++) {
    workers[i] = (worker){.queue = queue, .items = items, .id = i, .polite = polite};
    assert_int_equal(pthread_create(&threads[i], NULL, i < PRODUCERS ? produce : consume, &workers[i]), 0);
  }
  for (int i = 0; i < PRODUCERS; i++) pthread_join(threads[i], NULL);
  qds_queue_close(queue);
  int popped = 0;
  for (int i = PRODUCERS; i < PRODUCERS + CONSUMERS; i++) {
    pthread_join(threads[i], NULL);
    assert_true(workers[i].in_order);
    popped += workers[i].popped;
  }
  assert_int_equal(popped, PRODUCERS * EACH);
  for (int p = 0; p < PRODUCERS; p++)
    for (int i = 0; i < EACH; i++) assert_int_equal(atomic_load(&items[p][i].taken), 1);
}

/* Fault 56: racing heads freed items twice and lost others. */
static void fault_56_every_item_comes_out_once_and_in_order(void **state) {
  const size_t capacities[] = {1, 2, 5, 64, 20000};
  for (size_t c = 0; c < sizeof capacities / sizeof *capacities; c++)
    for (int polite = 0; polite < 2; polite++) exchange(state, capacities[c], polite);
}

typedef struct {
  qds_queue *queue;
  int accepted, popped;
} tally;

static int something;

static void *pop_each(void *data) {
  tally *t = data;
  void *item = NULL;
  for (int i = 0; i < EACH; i++) t->popped += qds_queue_try_pop(t->queue, &item) == QDS_QUEUE_DONE;
  return NULL;
}

/* Fault 56: a consumer that lost a race was told that the queue is empty. */
static void fault_56_who_loses_a_race_is_not_told_empty(void **state) {
  qds_queue *queue = queue_for(state, CONSUMERS * EACH);
  pthread_t threads[CONSUMERS];
  tally tallies[CONSUMERS];
  for (int i = 0; i < CONSUMERS * EACH; i++)
    assert_int_equal(qds_queue_try_push(queue, &something), QDS_QUEUE_DONE);
  for (int i = 0; i < CONSUMERS; i++) {
    tallies[i] = (tally){queue, 0, 0};
    assert_int_equal(pthread_create(&threads[i], NULL, pop_each, &tallies[i]), 0);
  }
  for (int i = 0; i < CONSUMERS; i++) {
    pthread_join(threads[i], NULL);
    assert_int_equal(tallies[i].popped, EACH);
  }
  qds_queue_destroy(queue);
}

/* Producers that meet a closed queue know that their item was not taken: what was accepted is what comes
 * out, however the closing falls. */
static void *push_until_closed(void *data) {
  tally *t = data;
  while (qds_queue_push(t->queue, &something, -1) == QDS_QUEUE_DONE) t->accepted++;
  return NULL;
}

static void *pop_until_closed(void *data) {
  tally *t = data;
  void *item = NULL;
  while (qds_queue_pop(t->queue, -1, &item) == QDS_QUEUE_DONE) t->popped++;
  return NULL;
}

static void what_was_accepted_comes_out_whenever_it_is_closed(void **state) {
  enum { ROUNDS = 500, THREADS = 6 };
  const uint64_t seed = 56;
  print_message("seed %llu\n", (unsigned long long)seed);
  for (uint64_t round = 0; round < ROUNDS; round++) {
    qds_queue *queue = queue_for(state, 1 + round % 7);
    pthread_t threads[THREADS];
    tally tallies[THREADS];
    for (int i = 0; i < THREADS; i++) {
      tallies[i] = (tally){queue, 0, 0};
      assert_int_equal(
          pthread_create(&threads[i], NULL, i % 2 ? push_until_closed : pop_until_closed, &tallies[i]), 0);
    }
    usleep((unsigned)(200 * qds_random_uniform(seed, 0, round)));
    qds_queue_close(queue);
    int accepted = 0, popped = 0;
    for (int i = 0; i < THREADS; i++) {
      pthread_join(threads[i], NULL);
      accepted += tallies[i].accepted;
      popped += tallies[i].popped;
    }
    assert_int_equal(accepted, popped);
    assert_int_equal(qds_queue_count(queue), 0);
    qds_queue_destroy(queue);
  }
}

/* All threads sleep in an empty, then in a full queue when it is closed. */
static void closing_wakes_everybody(void **state) {
  enum { THREADS = 5 };
  for (int full = 0; full < 2; full++) {
    qds_queue *queue = queue_for(state, 1);
    pthread_t threads[THREADS];
    tally tallies[THREADS];
    if (full) assert_int_equal(qds_queue_try_push(queue, &something), QDS_QUEUE_DONE);
    for (int i = 0; i < THREADS; i++) {
      tallies[i] = (tally){queue, 0, 0};
      assert_int_equal(
          pthread_create(&threads[i], NULL, full ? push_until_closed : pop_until_closed, &tallies[i]), 0);
    }
    usleep(20000);
    qds_queue_close(queue);
    for (int i = 0; i < THREADS; i++) {
      pthread_join(threads[i], NULL);
      assert_int_equal(tallies[i].accepted + tallies[i].popped, 0);
    }
    qds_queue_destroy(queue);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(capacity_is_exact),
      cmocka_unit_test(fault_56_the_first_item_is_not_lost),
      cmocka_unit_test(fault_56_leftovers_are_handed_back),
      cmocka_unit_test(a_closed_queue_is_drained_and_takes_no_more),
      cmocka_unit_test(waiting_ends_with_the_time),
      cmocka_unit_test(senseless_capacities_are_refused),
      cmocka_unit_test(no_leak_when_memory_runs_out),
      cmocka_unit_test(fault_56_every_item_comes_out_once_and_in_order),
      cmocka_unit_test(fault_56_who_loses_a_race_is_not_told_empty),
      cmocka_unit_test(what_was_accepted_comes_out_whenever_it_is_closed),
      cmocka_unit_test(closing_wakes_everybody),
  };
  return cmocka_run_group_tests(tests, setup, teardown);
}

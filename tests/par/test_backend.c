/* What every back end must do, on each that has a device here: memory of each kind, copies, streams, events,
 * host functions, kernels, graphs, and several threads on one device. */
#include "support.h"

#include <pthread.h>
#include <time.h>

#include "base/philox.h"
#include "la/block_kernels.h"
#include "par/plugin.h"

enum { NUMBERS = 100003, SEED = 20261120, THREADS = 4, ROUNDS = 20 };

typedef void (*suite)(qds_context *ctx, const qds_plugin *plugin, qds_accelerator *a);

static suite current;

static void run_on_each(qds_context *ctx) {
  for (int p = 0; p < QDS_PLUGINS; p++) {
    static qds_plugin plugin;
    qds_plugin_load(qds_plugin_name(p), &plugin);
    if (plugin.devices == 0) print_message("%s: no device: %s\n", plugin.name, plugin.reason);
    for (int i = 0; i < plugin.devices; i++) {
      QDS_AUTO(qds_accelerator) *a = NULL;
      assert_ok(qds_accelerator_create(plugin.backend, i, 0, qds_context_allocator(ctx), &a));
      current(ctx, &plugin, a);
    }
    qds_plugin_unload(&plugin);
  }
}

static void on_each(suite what) {
  current = what;
  with_context(2, run_on_each);
}

static void fill_random(uint64_t stream, double *x) {
  for (int i = 0; i < NUMBERS; i++) x[i] = qds_random_uniform(SEED, stream, (uint64_t)i);
}

static double *new_numbers(qds_context *ctx) {
  double *x = NULL;
  assert_ok(QDS_NEW(qds_context_allocator(ctx), NUMBERS, "test", &x));
  return x;
}

static void describes_itself(qds_context *ctx, const qds_plugin *plugin, qds_accelerator *a) {
  size_t free_bytes = 0, total_bytes = 0;
  (void)ctx;
  assert_true(*a->properties.name && *a->properties.version);
  assert_ok(qds_accelerator_memory(a, &free_bytes, &total_bytes));
  assert_true(free_bytes > 0 && free_bytes <= total_bytes);
  print_message("%s:%d: %s, %s, %.1f GB, %.0f GB/s\n", plugin->name, a->index, a->properties.name,
                a->properties.version, 1e-9 * (double)a->properties.memory_bytes,
                1e-9 * a->properties.bandwidth_B_s);
  qds_accelerator *none = NULL;
  assert_fails(qds_accelerator_create(plugin->backend, plugin->devices, 0, a->allocator, &none),
               QDS_ERROR_UNSUPPORTED, "no device");
  assert_null(none);
}

/* Through memory of one kind and back. */
static void round_trip(qds_context *ctx, qds_accelerator *a, qds_memory_kind kind) {
  QDS_AUTO(qds_stream) *stream = NULL;
  QDS_AUTO_RELEASE double *from = new_numbers(ctx);
  QDS_AUTO_RELEASE double *to = new_numbers(ctx);
  double *block = NULL, *other = NULL;
  const size_t bytes = NUMBERS * sizeof(double);
  assert_ok(qds_stream_create(a, a->allocator, 1, &stream));
  assert_ok(qds_accelerator_allocate(a, kind, bytes, (void **)&block));
  assert_ok(qds_accelerator_allocate(a, QDS_MEMORY_DEVICE, bytes, (void **)&other));
  assert_int_equal((uintptr_t)block % 256, 0);
  fill_random(1, from);
  if (kind == QDS_MEMORY_DEVICE)
    assert_ok(qds_stream_copy(stream, block, from, bytes));
  else
    memcpy(block, from, bytes);
  assert_ok(qds_stream_copy(stream, other, block, bytes));
  assert_ok(qds_stream_fill(stream, block, 0x5a, bytes));
  assert_ok(qds_stream_fetch(stream, to, other, bytes));
  assert_memory_equal(from, to, bytes);
  assert_ok(qds_stream_fetch(stream, to, block, bytes));
  for (size_t i = 0; i < bytes; i++) assert_int_equal(((unsigned char *)to)[i], 0x5a);
  qds_accelerator_release(a, kind, block);
  qds_accelerator_release(a, QDS_MEMORY_DEVICE, other);
}

static void keeps_what_is_copied(qds_context *ctx, const qds_plugin *plugin, qds_accelerator *a) {
  (void)plugin;
  for (int kind = 0; kind < QDS_MEMORY_KINDS; kind++) round_trip(ctx, a, (qds_memory_kind)kind);
}

static void refuses_too_much(qds_context *ctx, const qds_plugin *plugin, qds_accelerator *a) {
  size_t free_bytes = 0, total_bytes = 0;
  void *block = a;
  (void)plugin;
  assert_ok(qds_accelerator_memory(a, &free_bytes, &total_bytes));
  assert_fails(qds_accelerator_allocate(a, QDS_MEMORY_DEVICE, total_bytes + 1, &block), QDS_ERROR_MEMORY,
               "memory");
  assert_null(block);
  block = a;
  assert_fails(qds_accelerator_allocate(a, QDS_MEMORY_MANAGED, total_bytes + 1, &block), QDS_ERROR_MEMORY,
               "memory");
  assert_null(block);
  for (int kind = 0; kind < QDS_MEMORY_KINDS; kind++) round_trip(ctx, a, (qds_memory_kind)kind);
}

typedef struct {
  int calls, order[4];
} record;

static void note_late(void *data) {
  record *r = data;
  const struct timespec pause = {0, 20000000};
  nanosleep(&pause, NULL);
  r->order[__atomic_fetch_add(&r->calls, 1, __ATOMIC_SEQ_CST)] = 1;
}

static void note(void *data) {
  record *r = data;
  r->order[__atomic_fetch_add(&r->calls, 1, __ATOMIC_SEQ_CST)] = 2;
}

/* The second stream runs its function after that of the first, which it waits for. */
static void orders_streams(qds_context *ctx, const qds_plugin *plugin, qds_accelerator *a) {
  QDS_AUTO(qds_stream) *first = NULL;
  QDS_AUTO(qds_stream) *second = NULL;
  QDS_AUTO(qds_event) *start = NULL;
  QDS_AUTO(qds_event) *end = NULL;
  record r = {.calls = 0};
  double seconds = -1;
  int done = 0, idle = 0;
  (void)plugin;
  (void)ctx;
  assert_ok(qds_stream_create(a, a->allocator, 1, &first));
  assert_ok(qds_stream_create(a, a->allocator, 1, &second));
  assert_ok(qds_event_create(a, a->allocator, &start));
  assert_ok(qds_event_create(a, a->allocator, &end));
  assert_ok(qds_event_done(end, &done));
  assert_true(done);
  assert_ok(qds_event_record(start, first));
  assert_ok(qds_stream_host_function(first, note_late, &r));
  assert_ok(qds_event_record(end, first));
  assert_ok(qds_stream_wait(second, end));
  assert_ok(qds_stream_host_function(second, note, &r));
  assert_ok(qds_stream_synchronise(second));
  assert_int_equal(r.calls, 2);
  assert_int_equal(r.order[0], 1);
  assert_int_equal(r.order[1], 2);
  assert_ok(qds_event_synchronise(end));
  assert_ok(qds_event_done(end, &done));
  assert_true(done);
  assert_ok(qds_event_seconds(start, end, &seconds));
  assert_true(seconds >= 0.015 && seconds < 100);
  assert_ok(qds_stream_synchronise(first));
  assert_ok(qds_stream_idle(first, &idle));
  assert_true(idle);
}

static void launch_normal(qds_stream *stream, double *to, uint64_t number) {
  const qds_fill_normal_arguments k = {
      .to = {to, NUMBERS, 1}, .rows = NUMBERS, .seed = SEED, .stream = number, .scale = 1};
  assert_ok(qds_stream_launch(stream, &qds_fill_normal_kernel, &k));
}

static void runs_kernels(qds_context *ctx, const qds_plugin *plugin, qds_accelerator *a) {
  QDS_AUTO(qds_stream) *stream = NULL;
  QDS_AUTO(qds_stream) *host = NULL;
  QDS_AUTO_RELEASE double *expected = new_numbers(ctx);
  QDS_AUTO_RELEASE double *found = new_numbers(ctx);
  double *block = NULL;
  (void)plugin;
  assert_ok(qds_stream_create(NULL, a->allocator, 2, &host));
  assert_ok(qds_stream_create(a, a->allocator, 2, &stream));
  assert_ok(QDS_STREAM_NEW(stream, NUMBERS, "test", &block));
  launch_normal(host, expected, 7);
  launch_normal(stream, block, 7);
  assert_ok(qds_stream_fetch(stream, found, block, NUMBERS * sizeof(double)));
  for (int i = 0; i < NUMBERS; i++) assert_close(found[i], expected[i], 1e-13 * (1 + fabs(expected[i])));
  qds_stream_release(stream, block);
}

static void replays_graphs(qds_context *ctx, const qds_plugin *plugin, qds_accelerator *a) {
  QDS_AUTO(qds_stream) *stream = NULL;
  QDS_AUTO(qds_graph) *graph = NULL;
  QDS_AUTO_RELEASE double *expected = new_numbers(ctx);
  QDS_AUTO_RELEASE double *found = new_numbers(ctx);
  double *from = NULL, *to = NULL;
  const size_t bytes = NUMBERS * sizeof(double);
  (void)plugin;
  assert_ok(qds_stream_create(a, a->allocator, 2, &stream));
  if (!qds_stream_can_capture(stream)) {
    assert_fails(qds_graph_begin(stream), QDS_ERROR_UNSUPPORTED, "no graphs");
    return;
  }
  assert_ok(QDS_STREAM_NEW(stream, NUMBERS, "test", &from));
  assert_ok(QDS_STREAM_NEW(stream, NUMBERS, "test", &to));
  assert_ok(qds_graph_begin(stream));
  assert_ok(qds_stream_copy(stream, to, from, bytes));
  launch_normal(stream, from, 9);
  assert_ok(qds_graph_end(stream, &graph));
  fill_random(3, expected);
  assert_ok(qds_stream_copy(stream, from, expected, bytes));
  assert_ok(qds_graph_launch(graph, stream));
  assert_ok(qds_stream_fetch(stream, found, to, bytes));
  assert_memory_equal(expected, found, bytes);
  assert_ok(qds_stream_fetch(stream, expected, from, bytes));
  assert_ok(qds_graph_launch(graph, stream));
  assert_ok(qds_stream_fetch(stream, found, to, bytes));
  assert_memory_equal(expected, found, bytes);
  qds_stream_release(stream, from);
  qds_stream_release(stream, to);
}

/* cmocka's asserts belong to the main thread: the others bring their status back. */
typedef struct {
  qds_accelerator *a;
  int number;
  qds_status status;
  int wrong;
} worker;

static qds_status work(worker *w) {
  QDS_AUTO(qds_stream) *stream = NULL;
  QDS_AUTO_RELEASE double *from = NULL;
  QDS_AUTO_RELEASE double *to = NULL;
  const size_t bytes = NUMBERS * sizeof(double);
  QDS_TRY(QDS_NEW(w->a->allocator, NUMBERS, "test", &from));
  QDS_TRY(QDS_NEW(w->a->allocator, NUMBERS, "test", &to));
  QDS_TRY(qds_stream_create(w->a, w->a->allocator, 1, &stream));
  for (int i = 0; i < ROUNDS; i++) {
    double *block = NULL;
    fill_random((uint64_t)(100 * w->number + i), from);
    QDS_TRY(QDS_STREAM_NEW(stream, NUMBERS, "test", &block));
    QDS_TRY(qds_stream_copy(stream, block, from, bytes));
    QDS_TRY(qds_stream_fetch(stream, to, block, bytes));
    qds_stream_release(stream, block);
    w->wrong += memcmp(from, to, bytes) != 0;
  }
  return QDS_OK;
}

static void *start_work(void *data) {
  worker *w = data;
  w->status = work(w);
  return NULL;
}

static void serves_threads(qds_context *ctx, const qds_plugin *plugin, qds_accelerator *a) {
  pthread_t threads[THREADS];
  worker workers[THREADS];
  (void)ctx;
  (void)plugin;
  for (int t = 0; t < THREADS; t++) {
    workers[t] = (worker){a, t, QDS_OK, 0};
    assert_int_equal(pthread_create(&threads[t], NULL, start_work, &workers[t]), 0);
  }
  for (int t = 0; t < THREADS; t++) pthread_join(threads[t], NULL);
  for (int t = 0; t < THREADS; t++) {
    assert_int_equal(workers[t].status, QDS_OK);
    assert_int_equal(workers[t].wrong, 0);
  }
}

static void test_properties(void **state) {
  (void)state;
  on_each(describes_itself);
}
static void test_memory(void **state) {
  (void)state;
  on_each(keeps_what_is_copied);
}
static void test_no_room(void **state) {
  (void)state;
  on_each(refuses_too_much);
}
static void test_order(void **state) {
  (void)state;
  on_each(orders_streams);
}
static void test_kernels(void **state) {
  (void)state;
  on_each(runs_kernels);
}
static void test_graphs(void **state) {
  (void)state;
  on_each(replays_graphs);
}
static void test_threads(void **state) {
  (void)state;
  on_each(serves_threads);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_properties), cmocka_unit_test(test_memory),  cmocka_unit_test(test_no_room),
      cmocka_unit_test(test_order),      cmocka_unit_test(test_kernels), cmocka_unit_test(test_graphs),
      cmocka_unit_test(test_threads),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}

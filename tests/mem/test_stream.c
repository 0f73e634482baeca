/* The conformance suite of back ends: every case runs on every device. What only the simulated device has
 * (wrong use that it detects, failures that it injects, time that it permutes) is in test_sim.c. Graphs are
 * in test_stream_graph.c. */
#include "streams.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>

#include "base/philox.h"

/* --- copies -----------------------------------------------------------------------------------------------
 */

static void check_copies(qds_context *ctx) {
  qds_stream *stream = open_stream(ctx);
  double *numbers = numbers_from(5), *back = numbers_from(0), *x, *y;
  assert_ok(QDS_STREAM_NEW(stream, NUMBERS, "x", &x));
  assert_ok(QDS_STREAM_NEW(stream, NUMBERS, "y", &y));
  assert_ok(qds_stream_copy(stream, x, numbers, NUMBERS * sizeof *x));
  memset(numbers, 0, NUMBERS * sizeof *numbers); /* it has been read */
  assert_ok(qds_stream_copy(stream, y, x, NUMBERS * sizeof *x));
  assert_ok(qds_stream_fetch(stream, back, y, NUMBERS * sizeof *x));
  assert_numbers_from(back, 5);
  assert_ok(qds_stream_copy(stream, x + 10, y + 20, 30 * sizeof *x));
  assert_ok(qds_stream_copy(stream, NULL, NULL, 0));
  assert_ok(qds_stream_fetch(stream, back, x + 9, 32 * sizeof *x));
  assert_true(back[0] == 14 && back[1] == 25 && back[30] == 54 && back[31] == 45);
  qds_stream_release(stream, x);
  qds_stream_release(stream, y);
  qds_stream_release(stream, NULL);
  qds_stream_destroy(stream);
  qds_release(numbers);
  qds_release(back);
}

static void check_fill(qds_context *ctx) {
  qds_stream *stream = open_stream(ctx);
  unsigned char *bytes, back[100];
  assert_ok(QDS_STREAM_NEW(stream, 100, "bytes", &bytes));
  assert_ok(qds_stream_fill(stream, bytes, 0, 100));
  assert_ok(qds_stream_fill(stream, bytes + 10, 0xab, 20));
  assert_ok(qds_stream_fill(stream, bytes, 1, 0));
  assert_ok(qds_stream_fetch(stream, back, bytes, 100));
  for (int i = 0; i < 100; i++) assert_int_equal(back[i], i >= 10 && i < 30 ? 0xab : 0);
  qds_stream_release(stream, bytes);
  qds_stream_destroy(stream);
}

/* Every kind of memory takes part in copies, and all but the device's is the host's to touch. */
static void check_kinds(qds_context *ctx) {
  qds_accelerator *a = qds_context_accelerator(ctx);
  if (!a) return;
  qds_stream *stream = open_stream(ctx);
  double *numbers = numbers_from(3), *back = numbers_from(0), *device;
  assert_ok(QDS_STREAM_NEW(stream, NUMBERS, "x", &device));
  for (int kind = QDS_MEMORY_PINNED; kind < QDS_MEMORY_KINDS; kind++) {
    double *memory;
    assert_ok(qds_accelerator_allocate(a, (qds_memory_kind)kind, NUMBERS * sizeof *memory, (void **)&memory));
    assert_int_equal((uintptr_t)memory % 256, 0);
    memcpy(memory, numbers, NUMBERS * sizeof *memory);
    assert_ok(qds_stream_copy(stream, device, memory, NUMBERS * sizeof *memory));
    assert_ok(qds_stream_synchronise(stream));
    memset(memory, 0, NUMBERS * sizeof *memory);
    assert_ok(qds_stream_copy(stream, memory, device, NUMBERS * sizeof *memory));
    assert_ok(qds_stream_synchronise(stream));
    assert_numbers_from(memory, 3);
    assert_ok(qds_stream_fill(stream, device, 0, NUMBERS * sizeof *memory));
    assert_ok(qds_stream_synchronise(stream));
    qds_accelerator_release(a, (qds_memory_kind)kind, memory);
  }
  qds_stream_release(stream, device);
  qds_stream_destroy(stream);
  qds_release(numbers);
  qds_release(back);
}

/* More than there is: refused, and the device goes on. */
static void check_too_much(qds_context *ctx) {
  qds_accelerator *a = qds_context_accelerator(ctx);
  qds_stream *stream = open_stream(ctx);
  size_t free_bytes, total_bytes;
  void *memory;
  assert_int_equal(qds_stream_allocate(stream, SIZE_MAX / 2, 8, "x", __FILE__, __LINE__, &memory),
                   QDS_ERROR_MEMORY);
  assert_null(memory);
  if (a) {
    assert_ok(qds_accelerator_memory(a, &free_bytes, &total_bytes));
    assert_true(free_bytes <= total_bytes && total_bytes > 0);
    assert_int_equal(qds_accelerator_allocate(a, QDS_MEMORY_DEVICE, total_bytes + 1, &memory),
                     QDS_ERROR_MEMORY);
    assert_null(memory);
  }
  assert_ok(qds_stream_allocate(stream, 10, 8, "x", __FILE__, __LINE__, &memory));
  qds_stream_release(stream, memory);
  qds_stream_destroy(stream);
}

/* --- kernels ----------------------------------------------------------------------------------------------
 */

static void check_kernels(qds_context *ctx) {
  qds_stream *stream = open_stream(ctx);
  double *back = numbers_from(0), *x;
  assert_ok(QDS_STREAM_NEW(stream, NUMBERS, "x", &x));
  qds_fill_normal_arguments k = normal_numbers(x, 1, 1, 0);
  assert_ok(qds_stream_launch(stream, &qds_fill_normal_kernel, &k));
  k = normal_numbers(x, 2, 0.5, 1); /* the arguments of the first launch have been copied */
  assert_ok(qds_stream_launch(stream, &qds_fill_normal_kernel, &k));
  memset(&k, 0, sizeof k);
  assert_ok(qds_stream_fetch(stream, back, x, NUMBERS * sizeof *x));
  for (uint64_t i = 0; i < NUMBERS; i++)
    assert_close(back[i], qds_random_normal(1, 7, i) + 0.5 * qds_random_normal(2, 7, i), 1e-13);
  qds_stream_release(stream, x);
  qds_stream_destroy(stream);
  qds_release(back);
}

/* --- streams and events -----------------------------------------------------------------------------------
 */

/* Two streams pass a block to and fro; each event must hold back the other stream. */
static void check_events(qds_context *ctx) {
  qds_stream *streams[2] = {open_stream(ctx), open_stream(ctx)};
  qds_event *events[2] = {make_event(ctx), make_event(ctx)};
  double *numbers[2] = {numbers_from(0), numbers_from(1000)}, *x, *y;
  int done;
  assert_ok(qds_event_done(events[0], &done));
  assert_true(done); /* never recorded */
  assert_ok(qds_event_synchronise(events[0]));
  assert_ok(qds_stream_wait(streams[0], events[0]));
  assert_ok(QDS_STREAM_NEW(streams[0], NUMBERS, "x", &x));
  assert_ok(QDS_STREAM_NEW(streams[0], NUMBERS, "y", &y));
  for (int round = 0; round < 50; round++) {
    const int i = round % 2;
    assert_ok(qds_stream_copy(streams[0], x, numbers[i], NUMBERS * sizeof *x));
    assert_ok(qds_event_record(events[0], streams[0]));
    assert_ok(qds_stream_wait(streams[1], events[0]));
    assert_ok(qds_stream_copy(streams[1], y, x, NUMBERS * sizeof *x));
    assert_ok(qds_event_record(events[1], streams[1]));
    assert_ok(qds_stream_wait(streams[0], events[1]));
  }
  assert_ok(qds_event_synchronise(events[1]));
  assert_ok(qds_event_done(events[1], &done));
  assert_true(done);
  assert_ok(qds_stream_fetch(streams[1], numbers[0], y, NUMBERS * sizeof *x));
  assert_numbers_from(numbers[0], 1000);
  qds_stream_release(streams[0], x);
  qds_stream_release(streams[0], y);
  for (int i = 0; i < 2; i++) {
    qds_event_destroy(events[i]);
    qds_stream_destroy(streams[i]);
    qds_release(numbers[i]);
  }
}

static void check_event_times(qds_context *ctx) {
  qds_stream *stream = open_stream(ctx);
  qds_event *start = make_event(ctx), *end = make_event(ctx);
  double seconds;
  assert_ok(qds_event_record(start, stream));
  for (int i = 0; i < 5; i++) assert_ok(qds_event_record(end, stream));
  assert_ok(qds_event_synchronise(end));
  assert_ok(qds_event_seconds(start, end, &seconds));
  assert_true(seconds >= 0 && seconds < 60);
  assert_ok(qds_event_record(start, stream));
  qds_event_destroy(start); /* though recorded and not yet reached */
  qds_event_destroy(end);
  qds_event_destroy(NULL);
  qds_stream_destroy(stream);
  qds_stream_destroy(NULL);
}

/* Asking alone, without waiting, must come to an end. */
static void check_polling(qds_context *ctx) {
  qds_stream *stream = open_stream(ctx);
  qds_event *event = make_event(ctx);
  unsigned char *bytes;
  int done = 0, idle = 0;
  assert_ok(QDS_STREAM_NEW(stream, 100, "bytes", &bytes));
  for (int i = 0; i < 20; i++) assert_ok(qds_stream_fill(stream, bytes, i, 100));
  assert_ok(qds_event_record(event, stream));
  for (int i = 0; i < 20; i++) assert_ok(qds_stream_fill(stream, bytes, i, 100));
  while (!done) assert_ok(qds_event_done(event, &done));
  while (!idle) assert_ok(qds_stream_idle(stream, &idle));
  qds_stream_release(stream, bytes);
  qds_event_destroy(event);
  qds_stream_destroy(stream);
}

/* --- host functions ---------------------------------------------------------------------------------------
 */

typedef struct {
  atomic_int count;
  int order[8];
} diary;

typedef struct {
  diary *diary;
  int number;
} entry;

static void write_down(void *data) {
  const entry *e = data;
  const int place = atomic_fetch_add(&e->diary->count, 1);
  e->diary->order[place] = e->number;
}

static void check_host_functions(qds_context *ctx) {
  qds_stream *stream = open_stream(ctx);
  diary d = {0};
  entry entries[8];
  for (int i = 0; i < 8; i++) {
    entries[i] = (entry){&d, i};
    assert_ok(qds_stream_host_function(stream, write_down, &entries[i]));
  }
  assert_ok(qds_stream_synchronise(stream));
  assert_int_equal(atomic_load(&d.count), 8);
  for (int i = 0; i < 8; i++) assert_int_equal(d.order[i], i);
  qds_stream_destroy(stream);
}

/* Nobody calls the back end; it must go on by itself. */
static void check_progress_without_waiting(qds_context *ctx) {
  qds_stream *stream = open_stream(ctx);
  diary d = {0};
  entry e = {&d, 1};
  assert_ok(qds_stream_host_function(stream, write_down, &e));
  while (atomic_load(&d.count) == 0) continue;
  qds_stream_destroy(stream);
}

static void wait_for_gate(void *data) {
  while (!atomic_load((atomic_int *)data)) sched_yield();
}

/* What stands behind a host function waits for it, but whoever enqueues it does not: the function may wait
 * for that thread. On the host itself it runs at once. */
static void check_enqueueing_does_not_wait(qds_context *ctx) {
  if (!qds_context_accelerator(ctx)) return;
  qds_stream *streams[2] = {open_stream(ctx), open_stream(ctx)};
  atomic_int gate = 0;
  int idle = 0;
  unsigned char *bytes, back[100];
  assert_ok(QDS_STREAM_NEW(streams[0], 100, "bytes", &bytes));
  assert_ok(qds_stream_synchronise(streams[0]));
  assert_ok(qds_stream_host_function(streams[0], wait_for_gate, &gate));
  for (int i = 0; i < 100; i++) assert_ok(qds_stream_fill(streams[i % 2], bytes + i, i, 1));
  assert_ok(qds_stream_idle(streams[0], &idle));
  assert_false(idle);
  atomic_store(&gate, 1);
  assert_ok(qds_stream_synchronise(streams[1]));
  assert_ok(qds_stream_fetch(streams[0], back, bytes, 100));
  for (int i = 0; i < 100; i++) assert_int_equal(back[i], i);
  qds_stream_release(streams[0], bytes);
  for (int i = 0; i < 2; i++) qds_stream_destroy(streams[i]);
}

/* A stream finishes its work before it goes. */
static void check_destroy_waits(qds_context *ctx) {
  qds_stream *stream = open_stream(ctx);
  diary d = {0};
  entry e = {&d, 1};
  for (int i = 0; i < 5; i++) assert_ok(qds_stream_host_function(stream, write_down, &e));
  qds_stream_destroy(stream);
  assert_int_equal(atomic_load(&d.count), 5);
}

/* --- threads ----------------------------------------------------------------------------------------------
 */

enum { THREADS = 4, ROUNDS = 40 };

typedef struct {
  qds_context *ctx;
  int number, wrong;
} worker;

/* Takes memory, fills it on one stream, copies it on another, and looks at it. */
static qds_status work_once(qds_stream *streams[2], qds_event *event, int byte, int *wrong) {
  unsigned char *x = NULL, *y = NULL, back[NUMBERS];
  QDS_TRY(QDS_STREAM_NEW(streams[0], NUMBERS, "x", &x));
  QDS_TRY(QDS_STREAM_NEW(streams[1], NUMBERS, "y", &y));
  QDS_TRY(qds_stream_fill(streams[0], x, byte, NUMBERS));
  QDS_TRY(qds_event_record(event, streams[0]));
  QDS_TRY(qds_stream_wait(streams[1], event));
  QDS_TRY(qds_stream_copy(streams[1], y, x, NUMBERS));
  QDS_TRY(qds_stream_fetch(streams[1], back, y, NUMBERS));
  for (int i = 0; i < NUMBERS; i++) *wrong += back[i] != byte;
  qds_stream_release(streams[0], x);
  qds_stream_release(streams[1], y);
  return QDS_OK;
}

static void *run_worker(void *data) {
  worker *w = data;
  qds_accelerator *a = qds_context_accelerator(w->ctx);
  qds_allocator *allocator = qds_context_allocator(w->ctx);
  qds_stream *streams[2] = {NULL, NULL};
  qds_event *event = NULL;
  if (qds_stream_create(a, allocator, 1, &streams[0]) != QDS_OK) w->wrong++;
  if (qds_stream_create(a, allocator, 1, &streams[1]) != QDS_OK) w->wrong++;
  if (qds_event_create(a, allocator, &event) != QDS_OK) w->wrong++;
  for (int i = 0; i < ROUNDS && !w->wrong; i++)
    if (work_once(streams, event, (w->number * ROUNDS + i) % 256, &w->wrong) != QDS_OK) w->wrong++;
  qds_event_destroy(event);
  qds_stream_destroy(streams[0]);
  qds_stream_destroy(streams[1]);
  return NULL;
}

/* Threads with streams of their own share a device. */
static void check_threads(qds_context *ctx) {
  pthread_t threads[THREADS];
  worker workers[THREADS];
  for (int t = 0; t < THREADS; t++) {
    workers[t] = (worker){ctx, t, 0};
    assert_int_equal(pthread_create(&threads[t], NULL, run_worker, &workers[t]), 0);
  }
  for (int t = 0; t < THREADS; t++) pthread_join(threads[t], NULL);
  for (int t = 0; t < THREADS; t++) assert_int_equal(workers[t].wrong, 0);
}

/* --- out of memory ----------------------------------------------------------------------------------------
 */

/* Every front function that can fail, once. */
static qds_status use_everything(qds_context *ctx, void *data) {
  (void)data;
  qds_accelerator *a = qds_context_accelerator(ctx);
  qds_allocator *allocator = qds_context_allocator(ctx);
  QDS_AUTO(qds_stream) *stream = NULL;
  QDS_AUTO(qds_event) *start = NULL, *end = NULL;
  QDS_AUTO(qds_graph) *graph = NULL;
  double numbers[NUMBERS] = {0}, *x = NULL, seconds;
  QDS_TRY(qds_stream_create(a, allocator, 1, &stream));
  QDS_TRY(qds_event_create(a, allocator, &start));
  QDS_TRY(qds_event_create(a, allocator, &end));
  QDS_TRY(QDS_STREAM_NEW(stream, NUMBERS, "x", &x));
  const qds_fill_normal_arguments k = normal_numbers(x, 1, 1, 0);
  qds_status status = qds_event_record(start, stream);
  if (status == QDS_OK) status = qds_stream_copy(stream, x, numbers, sizeof numbers);
  if (status == QDS_OK) status = qds_stream_fill(stream, x, 0, sizeof numbers);
  if (status == QDS_OK) status = qds_stream_launch(stream, &qds_fill_normal_kernel, &k);
  if (status == QDS_OK) status = qds_event_record(end, stream);
  if (status == QDS_OK) status = qds_stream_wait(stream, end);
  if (status == QDS_OK) status = qds_event_synchronise(end);
  if (status == QDS_OK) status = qds_event_seconds(start, end, &seconds);
  if (status == QDS_OK && qds_stream_can_capture(stream)) {
    status = qds_graph_begin(stream);
    if (status == QDS_OK) status = qds_stream_launch(stream, &qds_fill_normal_kernel, &k);
    const qds_status ended = qds_graph_end(stream, &graph);
    if (status == QDS_OK) status = ended;
    if (status == QDS_OK) status = qds_graph_launch(graph, stream);
  }
  if (status == QDS_OK) status = qds_stream_fetch(stream, numbers, x, sizeof numbers);
  const qds_status last = qds_stream_synchronise(stream);
  qds_stream_release(stream, x);
  return status == QDS_OK ? last : status;
}

static void check_out_of_memory(qds_context *ctx) {
  assert_true(fail_each_allocation(ctx, use_everything, NULL) >= 4);
}

ON_EACH(copies)
ON_EACH(fill)
ON_EACH(kinds)
ON_EACH(too_much)
ON_EACH(kernels)
ON_EACH(events)
ON_EACH(event_times)
ON_EACH(polling)
ON_EACH(host_functions)
ON_EACH(progress_without_waiting)
ON_EACH(enqueueing_does_not_wait)
ON_EACH(destroy_waits)
ON_EACH(threads)
ON_EACH(out_of_memory)

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_copies),
      cmocka_unit_test(test_fill),
      cmocka_unit_test(test_kinds),
      cmocka_unit_test(test_too_much),
      cmocka_unit_test(test_kernels),
      cmocka_unit_test(test_events),
      cmocka_unit_test(test_event_times),
      cmocka_unit_test(test_polling),
      cmocka_unit_test(test_host_functions),
      cmocka_unit_test(test_progress_without_waiting),
      cmocka_unit_test(test_enqueueing_does_not_wait),
      cmocka_unit_test(test_destroy_waits),
      cmocka_unit_test(test_threads),
      cmocka_unit_test(test_out_of_memory),
  };
  return cmocka_run_group_tests_name("stream", tests, NULL, NULL);
}

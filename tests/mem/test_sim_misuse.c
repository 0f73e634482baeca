/* Wrong use that the simulated device detects, and failures that it injects. */
#include "sim_places.h"

/* --- wrong use --------------------------------------------------------------------------------------------
 */

/* What a call that returns nothing found is reported by the next synchronise, once. */
static void assert_reported(place *p, const char *text) {
  assert_fails(qds_stream_synchronise(p->stream), QDS_ERROR_INTERNAL, text);
  assert_non_null(strstr(qds_last_error()->message, "QDSIM_SIM_SEED="));
  assert_ok(qds_stream_synchronise(p->stream));
}

static int release_early(place *p) {
  unsigned char *device = take(p, QDS_MEMORY_DEVICE, SIZE);
  int idle;
  for (int i = 0; i < 20; i++) assert_ok(qds_stream_fill(p->stream, device, 1, SIZE));
  give(p, QDS_MEMORY_DEVICE, device); /* some of the seeds have let all of it run by now */
  const qds_status status = qds_stream_synchronise(p->stream);
  if (status != QDS_OK) assert_non_null(strstr(qds_last_error()->message, "that use it were under way"));
  assert_ok(qds_stream_idle(p->stream, &idle));
  assert_true(idle);
  return status != QDS_OK;
}

static void test_release_while_used(void **state) {
  (void)state;
  assert_true(with_seeds(release_early) > SEEDS / 2);
}

static void check_wrong_release(qds_context *ctx) {
  place p;
  open_place(ctx, &p);
  unsigned char *device = take(&p, QDS_MEMORY_DEVICE, SIZE), *pinned = take(&p, QDS_MEMORY_PINNED, SIZE),
                local;
  give(&p, QDS_MEMORY_PINNED, device);
  assert_reported(&p, "released as memory of another kind");
  give(&p, QDS_MEMORY_DEVICE, device + 1);
  assert_reported(&p, "is no block of this device");
  give(&p, QDS_MEMORY_DEVICE, &local);
  assert_reported(&p, "is no block of this device");
  give(&p, QDS_MEMORY_DEVICE, device);
  give(&p, QDS_MEMORY_DEVICE, device);
  assert_reported(&p, "is no block of this device: released twice");
  give(&p, QDS_MEMORY_PINNED, pinned);
  give(&p, QDS_MEMORY_PINNED, pinned);
  assert_reported(&p, "is no block of this device: released twice");
}

static void check_wrong_ranges(qds_context *ctx) {
  place p;
  open_place(ctx, &p);
  unsigned char *device = take(&p, QDS_MEMORY_DEVICE, SIZE), *pinned = take(&p, QDS_MEMORY_PINNED, SIZE),
                bytes[2 * SIZE] = {0};
  assert_fails(qds_stream_copy(p.stream, device + 1, bytes, SIZE), QDS_ERROR_INTERNAL,
               "run past the block of 64");
  assert_fails(qds_stream_copy(p.stream, bytes, device, SIZE + 1), QDS_ERROR_INTERNAL,
               "run past the block of 64");
  assert_fails(qds_stream_copy(p.stream, bytes, pinned + 10, SIZE), QDS_ERROR_INTERNAL,
               "run past the block of 64");
  assert_fails(qds_stream_fill(p.stream, device + SIZE, 1, 1), QDS_ERROR_INTERNAL,
               "run past the block of 64");
  assert_fails(qds_stream_copy(p.stream, device + 8, device, 16), QDS_ERROR_INTERNAL, "overlapping");
  give(&p, QDS_MEMORY_DEVICE, device);
  give(&p, QDS_MEMORY_PINNED, pinned);
  assert_fails(qds_stream_copy(p.stream, bytes, device, 1), QDS_ERROR_INTERNAL,
               "released or never allocated");
  assert_fails(qds_stream_fill(p.stream, device, 0, 1), QDS_ERROR_INTERNAL, "released or never allocated");
  assert_ok(qds_stream_synchronise(p.stream));
}

static void check_dead_handles(qds_context *ctx) {
  place p;
  void *event, *stream;
  int done;
  double seconds;
  open_place(ctx, &p);
  assert_ok(p.backend->stream_create(p.state, &stream));
  assert_ok(p.backend->event_create(p.state, &event));
  assert_fails(p.backend->event_seconds(p.state, event, event, &seconds), QDS_ERROR_INTERNAL,
               "not both been reached");
  assert_ok(p.backend->event_record(p.state, event, stream));
  p.backend->event_destroy(p.state, event);
  assert_fails(p.backend->event_record(p.state, event, stream), QDS_ERROR_INTERNAL, "destroyed");
  assert_fails(p.backend->event_wait(p.state, event, stream), QDS_ERROR_INTERNAL, "destroyed");
  assert_fails(p.backend->event_synchronise(p.state, event), QDS_ERROR_INTERNAL, "destroyed");
  assert_fails(p.backend->event_done(p.state, event, &done), QDS_ERROR_INTERNAL, "destroyed");
  assert_fails(p.backend->event_seconds(p.state, event, event, &seconds), QDS_ERROR_INTERNAL, "destroyed");
  p.backend->event_destroy(p.state, event);
  assert_reported(&p, "an event was destroyed twice");
  p.backend->stream_destroy(p.state, stream);
  assert_fails(p.backend->stream_synchronise(p.state, stream), QDS_ERROR_INTERNAL, "destroyed");
  assert_fails(p.backend->fill(p.state, stream, stream, 0, 1), QDS_ERROR_INTERNAL, "destroyed");
  p.backend->stream_destroy(p.state, stream);
  assert_reported(&p, "a stream was destroyed twice");
}

typedef struct {
  qds_stream *stream;
  qds_status status;
} inside;

static void synchronise_inside(void *data) {
  inside *i = data;
  i->status = qds_stream_synchronise(i->stream);
}

static void check_host_function(qds_context *ctx) {
  inside i = {qds_context_stream(ctx), QDS_OK};
  assert_ok(qds_stream_host_function(i.stream, synchronise_inside, &i));
  assert_ok(qds_stream_synchronise(i.stream));
  assert_int_equal(i.status, QDS_ERROR_INTERNAL);
}

static void check_captures(qds_context *ctx) {
  place p;
  qds_event *event;
  qds_graph *graph;
  void *memory;
  open_place(ctx, &p);
  unsigned char *device = take(&p, QDS_MEMORY_DEVICE, SIZE);
  assert_ok(qds_event_create(p.accelerator, qds_context_allocator(ctx), &event));
  assert_ok(qds_graph_begin(p.stream));
  assert_fails(qds_accelerator_allocate(p.accelerator, QDS_MEMORY_DEVICE, 1, &memory), QDS_ERROR_INTERNAL,
               "memory is allocated while a stream is captured");
  assert_fails(qds_graph_end(p.stream, &graph), QDS_ERROR_INTERNAL, "spoilt");
  assert_ok(qds_graph_begin(p.stream));
  assert_fails(qds_event_record(event, p.stream), QDS_ERROR_INTERNAL, "given an event while it is captured");
  assert_fails(qds_graph_end(p.stream, &graph), QDS_ERROR_INTERNAL, "spoilt");
  assert_fails(qds_graph_end(p.stream, &graph), QDS_ERROR_INTERNAL, "not captured");
  assert_ok(qds_graph_begin(p.stream));
  assert_ok(qds_stream_fill(p.stream, device, 3, SIZE));
  assert_ok(qds_graph_end(p.stream, &graph));
  assert_ok(qds_graph_launch(graph, p.stream));
  assert_ok(qds_stream_synchronise(p.stream));
  give(&p, QDS_MEMORY_DEVICE, device);
  assert_fails(qds_graph_launch(graph, p.stream), QDS_ERROR_INTERNAL, "released after its capture");
  qds_graph_destroy(graph);
  qds_event_destroy(event);
}

static void leave_behind(void) {
  qds_context *ctx;
  qds_context_options options = QDS_CONTEXT_OPTIONS_INIT;
  void *event;
  options.device = "sim";
  if (freopen("/dev/null", "w", stderr) == NULL || qds_context_create(&options, &ctx) != QDS_OK) _exit(1);
  qds_accelerator *a = qds_context_accelerator(ctx);
  if (a->backend->event_create(a->state, &event) != QDS_OK) _exit(1);
  qds_context_destroy(ctx);
}

static void test_nothing_left_behind(void **state) {
  (void)state;
  if (children_have_threads) assert_int_equal(signal_of(leave_behind), SIGABRT);
}

/* What belongs to one context is foreign to another. */
static void check_two_contexts(qds_context *ctx) {
  place p, q;
  qds_context *other;
  qds_context_options options = QDS_CONTEXT_OPTIONS_INIT;
  options.device = "sim";
  assert_ok(qds_context_create(&options, &other));
  open_place(ctx, &p);
  open_place(other, &q);
  unsigned char *device = take(&p, QDS_MEMORY_DEVICE, SIZE);
  give(&q, QDS_MEMORY_DEVICE, device);
  assert_ok(qds_stream_synchronise(p.stream));
  assert_reported(&q, "is no block of this device");
  qds_context_destroy(other);
  assert_ok(qds_stream_fill(p.stream, device, 0, SIZE));
  assert_ok(qds_stream_synchronise(p.stream));
  give(&p, QDS_MEMORY_DEVICE, device);
}

/* --- failures ---------------------------------------------------------------------------------------------
 */

static qds_status copy_and_launch(qds_context *ctx, void *data) {
  place p;
  unsigned char bytes[SIZE] = {0}, *x = NULL;
  (void)data;
  open_place(ctx, &p);
  QDS_TRY(QDS_STREAM_NEW(p.stream, SIZE, "x", &x));
  const overrun_arguments a = {x, 0, SIZE};
  qds_status status = qds_stream_copy(p.stream, x, bytes, SIZE);
  if (status == QDS_OK) status = qds_stream_launch(p.stream, &overrun_kernel, &a);
  if (status == QDS_OK) status = qds_stream_copy(p.stream, bytes, x, SIZE);
  const qds_status last = qds_stream_synchronise(p.stream);
  qds_stream_release(p.stream, x);
  if (status == QDS_OK && last == QDS_OK) assert_int_equal(bytes[SIZE - 1], 7);
  return status == QDS_OK ? last : status;
}

static int fail_copies(place *p) {
  assert_int_equal(fail_each_on_device(p->ctx, QDS_INJECT_COPY, 3, copy_and_launch, NULL), 2);
  assert_int_equal(fail_each_on_device(p->ctx, QDS_INJECT_LAUNCH, 2, copy_and_launch, NULL), 1);
  assert_ok(copy_and_launch(p->ctx, NULL));
  return 0;
}

/* The pool tries again, so that it survives to be refused once. */
static int refuse_pool_once(place *p) {
  assert_int_equal(fail_each_on_device(p->ctx, QDS_INJECT_ALLOCATION, 4, copy_and_launch, NULL), 0);
  return 0;
}

static void test_injection(void **state) {
  (void)state;
  with_seeds(fail_copies);
  with_seeds(refuse_pool_once);
}

static void check_injected_allocation(qds_context *ctx) {
  place p;
  void *memory;
  open_place(ctx, &p);
  assert_ok(qds_accelerator_inject(p.accelerator, QDS_INJECT_ALLOCATION, 2));
  unsigned char *device = take(&p, QDS_MEMORY_DEVICE, SIZE);
  assert_fails(qds_accelerator_allocate(p.accelerator, QDS_MEMORY_PINNED, SIZE, &memory), QDS_ERROR_MEMORY,
               "injected");
  assert_null(memory);
  give(&p, QDS_MEMORY_PINNED, take(&p, QDS_MEMORY_PINNED, SIZE));
  give(&p, QDS_MEMORY_DEVICE, device);
}

ON_SIM(wrong_release)
ON_SIM(wrong_ranges)
ON_SIM(dead_handles)
ON_SIM(host_function)
ON_SIM(captures)
ON_SIM(two_contexts)
ON_SIM(injected_allocation)

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_release_while_used),  cmocka_unit_test(test_wrong_release),
      cmocka_unit_test(test_wrong_ranges),        cmocka_unit_test(test_dead_handles),
      cmocka_unit_test(test_host_function),       cmocka_unit_test(test_captures),
      cmocka_unit_test(test_nothing_left_behind), cmocka_unit_test(test_two_contexts),
      cmocka_unit_test(test_injection),           cmocka_unit_test(test_injected_allocation),
  };
  return cmocka_run_group_tests_name("sim_misuse", tests, NULL, NULL);
}

/* What the simulated device has beyond others: memory that faults, time that is permuted, wrong use that it
 * detects, failures that it injects, memory that is limited. */
#include "support.h"

#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include "mem/stream.h"

enum { SEEDS = 24, SIZE = 64 };

/* One case: a context on the device, and what it offers. */
typedef struct {
  qds_context *ctx;
  qds_accelerator *accelerator;
  const qds_backend *backend;
  void *state;
  qds_stream *stream;
} place;

static void open_place(qds_context *ctx, place *p) {
  p->ctx = ctx;
  p->accelerator = qds_context_accelerator(ctx);
  p->backend = p->accelerator->backend;
  p->state = p->accelerator->state;
  p->stream = qds_context_stream(ctx);
}

static void on_sim(void (*body)(qds_context *ctx)) {
  with_context_on("sim", 1, body);
}

/* Runs `body` with each seed; adds what it returns. */
static int with_seeds(int (*body)(place *p)) {
  int sum = 0;
  for (int seed = 1; seed <= SEEDS; seed++) {
    qds_context_options options = QDS_CONTEXT_OPTIONS_INIT;
    qds_context *ctx;
    char text[16];
    place p;
    snprintf(text, sizeof text, "%d", seed);
    setenv("QDSIM_SIM_SEED", text, 1);
    options.device = "sim";
    options.threads = 1;
    assert_ok(qds_context_create(&options, &ctx));
    open_place(ctx, &p);
    sum += body(&p);
    qds_context_destroy(ctx);
    unsetenv("QDSIM_SIM_SEED");
  }
  return sum;
}

static unsigned char *take(place *p, qds_memory_kind kind, size_t bytes) {
  void *memory;
  assert_ok(qds_accelerator_allocate(p->accelerator, kind, bytes, &memory));
  return memory;
}

static void give(place *p, qds_memory_kind kind, void *memory) {
  qds_accelerator_release(p->accelerator, kind, memory);
}

/* --- memory that faults -----------------------------------------------------------------------------------
 */

static unsigned char *forbidden;

static void read_it(void) {
  (void)*(volatile unsigned char *)forbidden;
}
static void write_it(void) {
  *(volatile unsigned char *)forbidden = 1;
}

/* A child process cannot have threads under ThreadSanitizer. */
#ifdef QDSIM_THREAD_SANITIZER
static const int children_have_threads = 0;
#else
static const int children_have_threads = 1;
#endif

/* The signal that ends a child process that does this. */
static int signal_of(void (*deed)(void)) {
  const pid_t child = fork();
  int status;
  if (child == 0) {
    signal(SIGSEGV, SIG_DFL); /* a sanitizer's handler would turn it into an exit status */
    signal(SIGABRT, SIG_DFL);
    deed();
    _exit(0);
  }
  assert_int_equal(waitpid(child, &status, 0), child);
  return WIFSIGNALED(status) ? WTERMSIG(status) : 0;
}

static void check_host_access(qds_context *ctx) {
  place p;
  open_place(ctx, &p);
  unsigned char *device = take(&p, QDS_MEMORY_DEVICE, 10000), *pinned = take(&p, QDS_MEMORY_PINNED, 100),
                *pooled;
  assert_ok(QDS_STREAM_NEW(p.stream, 100, "pooled", &pooled));
  for (int round = 0; round < 2; round++) { /* untouched, and after an operation has touched it */
    forbidden = device;
    assert_int_equal(signal_of(read_it), SIGSEGV);
    forbidden = device + 9999;
    assert_int_equal(signal_of(write_it), SIGSEGV);
    forbidden = pooled;
    assert_int_equal(signal_of(write_it), SIGSEGV);
    forbidden = pinned;
    assert_int_equal(signal_of(write_it), 0);
    assert_ok(qds_stream_fill(p.stream, device, 0, 10000));
    assert_ok(qds_stream_synchronise(p.stream));
  }
  qds_stream_release(p.stream, pooled);
  give(&p, QDS_MEMORY_DEVICE, device);
  give(&p, QDS_MEMORY_PINNED, pinned);
}

typedef struct {
  unsigned char *memory;
  int64_t first, count;
} overrun_arguments;

static void overrun(const void *data, int threads) {
  const overrun_arguments *a = data;
  (void)threads;
  for (int64_t i = 0; i < a->count; i++) ((volatile unsigned char *)a->memory)[a->first + i] = 7;
}

/* Its number is that of no kernel: only back ends that run the library's own functions run it. */
static const qds_kernel overrun_kernel = {QDS_KERNEL_COUNT, "overrun", sizeof(overrun_arguments), overrun};

static void run_far(void) {
  qds_context *ctx;
  qds_context_options options = QDS_CONTEXT_OPTIONS_INIT;
  place p;
  options.device = "sim";
  if (qds_context_create(&options, &ctx) != QDS_OK) _exit(1);
  open_place(ctx, &p);
  const overrun_arguments a = {take(&p, QDS_MEMORY_DEVICE, 1000), 1024, 1};
  if (qds_stream_launch(p.stream, &overrun_kernel, &a) == QDS_OK) qds_stream_synchronise(p.stream);
}

/* A kernel that runs far past its block dies; one that runs a little past it is reported. */
static void check_overrun(qds_context *ctx) {
  place p;
  open_place(ctx, &p);
  if (children_have_threads) assert_int_equal(signal_of(run_far), SIGSEGV);
  const overrun_arguments a = {take(&p, QDS_MEMORY_DEVICE, 1000), 0, 1001};
  assert_ok(qds_stream_launch(p.stream, &overrun_kernel, &a));
  assert_ok(qds_stream_synchronise(p.stream));
  give(&p, QDS_MEMORY_DEVICE, a.memory);
  assert_fails(qds_stream_synchronise(p.stream), QDS_ERROR_INTERNAL,
               "1000 bytes was written to past its end");
  assert_ok(qds_stream_synchronise(p.stream));
}

/* New memory holds no number. */
static void check_fresh(qds_context *ctx) {
  place p;
  double numbers[10];
  open_place(ctx, &p);
  void *memory = take(&p, QDS_MEMORY_DEVICE, sizeof numbers);
  assert_ok(qds_stream_fetch(p.stream, numbers, memory, sizeof numbers));
  for (int i = 0; i < 10; i++) assert_true(isnan(numbers[i]));
  give(&p, QDS_MEMORY_DEVICE, memory);
}

/* --- time -------------------------------------------------------------------------------------------------
 */

typedef struct {
  int *order, *count; /* on the device */
  int64_t number;
} note_arguments;

static void note(const void *data, int threads) {
  const note_arguments *a = data;
  (void)threads;
  a->order[(*a->count)++] = (int)a->number;
}
static const qds_kernel note_kernel = {QDS_KERNEL_COUNT, "note", sizeof(note_arguments), note};

enum { STREAMS = 3, NOTES = 8 };

/* Lets streams write down in which order they run: notes of stream s are s * NOTES + 0, 1, 2 ... */
static void permuted(place *p, int order[STREAMS * NOTES]) {
  int *device = (int *)take(p, QDS_MEMORY_DEVICE, (STREAMS * NOTES + 1) * sizeof *device);
  qds_stream *streams[STREAMS];
  assert_ok(qds_stream_fill(p->stream, device, 0, (STREAMS * NOTES + 1) * sizeof *device));
  assert_ok(qds_stream_synchronise(p->stream));
  for (int s = 0; s < STREAMS; s++)
    assert_ok(qds_stream_create(p->accelerator, qds_context_allocator(p->ctx), 1, &streams[s]));
  for (int n = 0; n < NOTES; n++)
    for (int s = 0; s < STREAMS; s++) {
      const note_arguments a = {device + 1, device, s * NOTES + n};
      assert_ok(qds_stream_launch(streams[s], &note_kernel, &a));
    }
  for (int s = 0; s < STREAMS; s++) qds_stream_destroy(streams[s]);
  assert_ok(qds_stream_fetch(p->stream, order, device + 1, STREAMS * NOTES * sizeof *device));
  give(p, QDS_MEMORY_DEVICE, device);
}

static void assert_stream_order(const int *order) {
  int next[STREAMS] = {0};
  for (int i = 0; i < STREAMS * NOTES; i++) {
    const int s = order[i] / NOTES;
    assert_in_range(order[i], 0, STREAMS * NOTES - 1);
    assert_int_equal(order[i] % NOTES, next[s]++);
  }
}

static int orders[SEEDS][STREAMS * NOTES], order_count;

static int keep_order(place *p) {
  permuted(p, orders[order_count]);
  assert_stream_order(orders[order_count++]);
  return 0;
}

/* Each stream keeps its order; how they interleave depends on the seed. */
static void test_permutation(void **state) {
  (void)state;
  int different = 0;
  order_count = 0;
  with_seeds(keep_order);
  for (int i = 1; i < SEEDS; i++) different += memcmp(orders[i], orders[0], sizeof orders[0]) != 0;
  assert_true(different > SEEDS / 2);
}

/* Only silence of the caller, on a busy machine, changes what a seed gives. */
static void test_repeatable(void **state) {
  (void)state;
  int same = 0;
  setenv("QDSIM_SIM_SEED", "42", 1);
  order_count = 0;
  for (int i = 0; i < SEEDS; i++) {
    qds_context_options options = QDS_CONTEXT_OPTIONS_INIT;
    qds_context *ctx;
    place p;
    options.device = "sim";
    assert_ok(qds_context_create(&options, &ctx));
    open_place(ctx, &p);
    keep_order(&p);
    qds_context_destroy(ctx);
  }
  unsetenv("QDSIM_SIM_SEED");
  for (int i = 0; i < SEEDS; i++)
    for (int j = 0; j < i; j++) same += memcmp(orders[i], orders[j], sizeof orders[0]) == 0;
  assert_true(same >= SEEDS);
}

/* Pinned memory is read when the copy runs, so writing to it before that shows. */
static int reuse_pinned(place *p) {
  unsigned char *pinned = take(p, QDS_MEMORY_PINNED, SIZE), *device = take(p, QDS_MEMORY_DEVICE, SIZE),
                back[SIZE];
  memset(pinned, 1, SIZE);
  assert_ok(qds_stream_copy(p->stream, device, pinned, SIZE));
  memset(pinned, 2, SIZE);
  assert_ok(qds_stream_fetch(p->stream, back, device, SIZE));
  give(p, QDS_MEMORY_DEVICE, device);
  give(p, QDS_MEMORY_PINNED, pinned);
  assert_true(back[0] == 1 || back[0] == 2);
  return back[0] == 2;
}

/* A stream that does not wait for the event of another sees old contents. */
static int forget_event(place *p) {
  unsigned char *device = take(p, QDS_MEMORY_DEVICE, SIZE), back[SIZE];
  qds_stream *other;
  assert_ok(qds_stream_create(p->accelerator, qds_context_allocator(p->ctx), 1, &other));
  assert_ok(qds_stream_fill(p->stream, device, 1, SIZE));
  assert_ok(qds_stream_synchronise(p->stream));
  assert_ok(qds_stream_fill(p->stream, device, 2, SIZE));
  assert_ok(qds_stream_fetch(other, back, device, SIZE));
  qds_stream_destroy(other);
  assert_ok(qds_stream_synchronise(p->stream));
  give(p, QDS_MEMORY_DEVICE, device);
  return back[0] == 1;
}

static void test_races_show(void **state) {
  (void)state;
  const int reused = with_seeds(reuse_pinned), forgotten = with_seeds(forget_event);
  assert_true(reused > SEEDS / 2);
  assert_true(forgotten > SEEDS / 4 && forgotten < SEEDS);
}

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

/* --- the environment --------------------------------------------------------------------------------------
 */

static void check_limit(qds_context *ctx) {
  place p;
  size_t free_bytes, total_bytes;
  void *memory;
  open_place(ctx, &p);
  assert_int_equal(p.accelerator->properties.memory_bytes, 1 << 20);
  unsigned char *half = take(&p, QDS_MEMORY_DEVICE, 1 << 19), *rest = take(&p, QDS_MEMORY_MANAGED, 1 << 18);
  assert_fails(qds_accelerator_allocate(p.accelerator, QDS_MEMORY_DEVICE, (1 << 18) + 1, &memory),
               QDS_ERROR_MEMORY, "262145 bytes wanted, 262144 of 1048576 free");
  give(&p, QDS_MEMORY_PINNED, take(&p, QDS_MEMORY_PINNED, 1 << 20)); /* memory of the host */
  give(&p, QDS_MEMORY_MANAGED, rest);
  assert_ok(qds_accelerator_memory(p.accelerator, &free_bytes, &total_bytes));
  assert_true(free_bytes == 1 << 19 && total_bytes == 1 << 20);
  for (int i = 0; i < 200; i++)
    give(&p, QDS_MEMORY_DEVICE, take(&p, QDS_MEMORY_DEVICE, 1 << 19)); /* addresses recur */
  give(&p, QDS_MEMORY_DEVICE, half);
}

static void test_limit(void **state) {
  (void)state;
  setenv("QDSIM_SIM_MEMORY", "1MiB", 1);
  on_sim(check_limit);
  unsetenv("QDSIM_SIM_MEMORY");
}

static void assert_refused(const char *device, qds_status status, const char *text) {
  qds_context *ctx;
  qds_context_options options = QDS_CONTEXT_OPTIONS_INIT;
  options.device = device;
  assert_fails(qds_context_create(&options, &ctx), status, text);
  assert_null(ctx);
}

static void check_second(qds_context *ctx) {
  assert_string_equal(qds_context_device(ctx), "sim:1");
  assert_string_equal(qds_context_accelerator(ctx)->properties.name, "simulated device for tests");
}

static void test_environment(void **state) {
  (void)state;
  assert_refused("sim:1", QDS_ERROR_UNSUPPORTED, "no device \"sim:1\"; this machine has 1,");
  setenv("QDSIM_SIM_DEVICES", "2", 1);
  with_context_on("sim:1", 1, check_second);
  assert_refused("sim:2", QDS_ERROR_UNSUPPORTED, "no device \"sim:2\"; this machine has 2,");
  setenv("QDSIM_SIM_DEVICES", "0", 1);
  assert_refused("sim", QDS_ERROR_UNSUPPORTED, "QDSIM_SIM_DEVICES is 0");
  setenv("QDSIM_SIM_DEVICES", "many", 1);
  assert_refused("sim", QDS_ERROR_UNSUPPORTED, "QDSIM_SIM_DEVICES=many is no whole number");
  setenv("QDSIM_SIM_DEVICES", "17", 1);
  assert_refused("sim", QDS_ERROR_UNSUPPORTED, "QDSIM_SIM_DEVICES=17 is out of range");
  unsetenv("QDSIM_SIM_DEVICES");
  setenv("QDSIM_SIM_SEED", "-1", 1);
  assert_refused("sim", QDS_ERROR_INPUT, "QDSIM_SIM_SEED=-1");
  unsetenv("QDSIM_SIM_SEED");
  setenv("QDSIM_SIM_MEMORY", "1 GB", 1);
  assert_refused("sim", QDS_ERROR_INPUT, "QDSIM_SIM_MEMORY=1 GB");
  unsetenv("QDSIM_SIM_MEMORY");
}

/* ---------------------------------------------------------------------------------------------------------
 */

#define CASE(name)                                                                                           \
  static void test_##name(void **state) {                                                                    \
    (void)state;                                                                                             \
    on_sim(check_##name);                                                                                    \
  }
CASE(host_access)
CASE(overrun)
CASE(fresh)
CASE(wrong_release)
CASE(wrong_ranges)
CASE(dead_handles)
CASE(host_function)
CASE(captures)
CASE(two_contexts)
CASE(injected_allocation)

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_host_access),
      cmocka_unit_test(test_overrun),
      cmocka_unit_test(test_fresh),
      cmocka_unit_test(test_permutation),
      cmocka_unit_test(test_repeatable),
      cmocka_unit_test(test_races_show),
      cmocka_unit_test(test_release_while_used),
      cmocka_unit_test(test_wrong_release),
      cmocka_unit_test(test_wrong_ranges),
      cmocka_unit_test(test_dead_handles),
      cmocka_unit_test(test_host_function),
      cmocka_unit_test(test_captures),
      cmocka_unit_test(test_nothing_left_behind),
      cmocka_unit_test(test_two_contexts),
      cmocka_unit_test(test_injection),
      cmocka_unit_test(test_injected_allocation),
      cmocka_unit_test(test_limit),
      cmocka_unit_test(test_environment),
  };
  return cmocka_run_group_tests_name("sim", tests, NULL, NULL);
}

/* What the simulated device has beyond others: memory that faults, time that is permuted, memory that is
 * limited. What it detects and injects is in test_sim_misuse.c. */
#include "sim_places.h"

/* --- memory that faults -----------------------------------------------------------------------------------
 */

static unsigned char *forbidden;

static void read_it(void) {
  (void)*(volatile unsigned char *)forbidden;
}
static void write_it(void) {
  *(volatile unsigned char *)forbidden = 1;
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

ON_SIM(host_access)
ON_SIM(overrun)
ON_SIM(fresh)

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_host_access), cmocka_unit_test(test_overrun),
      cmocka_unit_test(test_fresh),       cmocka_unit_test(test_permutation),
      cmocka_unit_test(test_repeatable),  cmocka_unit_test(test_races_show),
      cmocka_unit_test(test_limit),       cmocka_unit_test(test_environment),
  };
  return cmocka_run_group_tests_name("sim", tests, NULL, NULL);
}

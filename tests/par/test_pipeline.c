#include "folder.h"

#include <stdatomic.h>
#include <time.h>

#include "base/file.h"
#include "base/philox.h"
#include "la/block_kernels.h"
#include "par/pipeline_file.h"

enum { CHUNK = 3000, SEED = 57, GROUPS = 4 }; /* numbers of an item */

static void sleep_us(double us) {
  const struct timespec time = {0, (long)(1000 * us)};
  nanosleep(&time, NULL);
}

/* What every stage of these tests knows. */
typedef struct {
  qds_context *ctx;
  qds_pipeline *pipeline;
  int stage;
  int delays; /* random ones, in every stage */
  uint64_t fail_at, cancel_at;
  uint64_t seen, out_of_order; /* items */
  uint64_t delayed;            /* calls of delay, on whatever thread */
  qds_stream *stream;          /* that the stage got */
  double *numbers;             /* on the device: eigenvalue, square, partial sums */
} worker;
enum { NEVER = 1000000 };

static void delay(void *data) {
  worker *w = data;
  const uint64_t call = __atomic_fetch_add(&w->delayed, 1, __ATOMIC_RELAXED);
  if (w->delays) sleep_us(300 * qds_random_uniform(SEED, (uint64_t)w->stage, call));
}

static qds_status attend(worker *w, const qds_pipeline_item *item, qds_stream *stream) {
  w->out_of_order += item->index != w->seen;
  w->seen++;
  if (stream && w->stream && w->stream != stream) w->out_of_order++;
  w->stream = stream;
  if (item->index == w->cancel_at) qds_pipeline_cancel(w->pipeline);
  if (item->index == w->fail_at) QDS_FAIL(QDS_ERROR_NUMERIC, "stage %d had enough", w->stage);
  return QDS_OK;
}

/* On the device the delay stands in the stream, before the work: who does not wait for it overtakes. */
static qds_status attend_late(worker *w, const qds_pipeline_item *item, qds_stream *stream) {
  QDS_TRY(attend(w, item, stream));
  if (stream) return qds_stream_host_function(stream, delay, w);
  delay(w);
  return QDS_OK;
}

/* The input is in the first half of the item's memory, twice the input in the second. */
static qds_status scale(void *user, qds_pipeline_item *item, qds_stream *stream) {
  worker *w = user;
  double *in = item->device, *out = in + CHUNK;
  QDS_TRY(attend_late(w, item, stream));
  QDS_TRY(qds_stream_copy(stream, out, in, item->bytes));
  const qds_residual_arguments k = {.x = {in, CHUNK, 1},
                                    .w = {out, CHUNK, 1},
                                    .rows = (int64_t)(item->bytes / sizeof(double)),
                                    .eigenvalues = w->numbers,
                                    .groups = GROUPS,
                                    .partial = w->numbers + 2,
                                    .squares = w->numbers + 1};
  return qds_stream_launch(stream, &qds_residual_kernel, &k);
}

static qds_status copy_in(void *user, qds_pipeline_item *item, qds_stream *stream) {
  QDS_TRY(attend_late(user, item, stream));
  return qds_stream_copy(stream, item->device, item->host, item->bytes);
}

static qds_status copy_out(void *user, qds_pipeline_item *item, qds_stream *stream) {
  QDS_TRY(attend_late(user, item, stream));
  return qds_stream_copy(stream, item->host, (double *)item->device + CHUNK, item->bytes);
}

static qds_status pass(void *user, qds_pipeline_item *item, qds_stream *stream) {
  return attend_late(user, item, stream);
}

/* --- from file to file ------------------------------------------------------------------------------------
 */

enum { READ, CHECK_IN, COPY_IN, SCALE, COPY_OUT, CHECK_OUT, WRITE, ALL };

typedef struct {
  worker workers[ALL];
  qds_stage stages[ALL];
  double *numbers;
} plant;

/* READ and WRITE work on files; the checks beside them fail, cancel and delay in their place. */
static qds_status build(qds_context *ctx, qds_pipeline_file *in, qds_pipeline_file *out, int depth, plant *p,
                        qds_pipeline **pipeline) {
  static const struct {
    const char *name;
    qds_stage_kind kind;
    qds_status (*run)(void *, qds_pipeline_item *, qds_stream *);
  } rows[ALL] = {
      {"read", QDS_STAGE_HOST, qds_pipeline_read},   {"check in", QDS_STAGE_HOST, pass},
      {"copy in", QDS_STAGE_COPY_IN, copy_in},       {"scale", QDS_STAGE_COMPUTE, scale},
      {"copy out", QDS_STAGE_COPY_OUT, copy_out},    {"check out", QDS_STAGE_HOST, pass},
      {"write", QDS_STAGE_HOST, qds_pipeline_write},
  };
  const double eigenvalue = -1; /* x + x */
  qds_stream *stream = qds_context_stream(ctx);
  QDS_TRY(QDS_STREAM_NEW(stream, 2 + GROUPS, "test", &p->numbers));
  QDS_TRY(qds_stream_copy(stream, p->numbers, &eigenvalue, sizeof eigenvalue));
  QDS_TRY(qds_stream_synchronise(stream));
  for (int i = 0; i < ALL; i++) {
    p->workers[i] =
        (worker){.ctx = ctx, .stage = i, .fail_at = NEVER, .cancel_at = NEVER, .numbers = p->numbers};
    p->stages[i] = (qds_stage){rows[i].kind, rows[i].name, rows[i].run, &p->workers[i]};
  }
  p->stages[READ].user = in;
  p->stages[WRITE].user = out;
  const qds_pipeline_options options = {.stages = p->stages,
                                        .stage_count = ALL,
                                        .item_bytes = CHUNK * sizeof(double),
                                        .device_bytes = 2 * CHUNK * sizeof(double),
                                        .depth = depth};
  QDS_TRY(qds_pipeline_create(ctx, &options, pipeline));
  for (int i = 0; i < ALL; i++) p->workers[i].pipeline = *pipeline;
  return QDS_OK;
}

static const char *folder;

typedef struct {
  int64_t count; /* of numbers */
  int depth, delays;
  worker change; /* of the stage change.stage, where a test wants one */
} job;

static double number(int64_t i) {
  return qds_random_normal(SEED, 99, (uint64_t)i);
}

static void write_input(qds_context *ctx, int64_t count) {
  QDS_AUTO_RELEASE double *x = NULL;
  assert_ok(QDS_NEW(qds_context_allocator(ctx), count + 1, "test", &x));
  for (int64_t i = 0; i < count; i++) x[i] = number(i);
  assert_ok(
      qds_file_write(qds_context_allocator(ctx), in_folder(folder, "in"), x, (size_t)count * sizeof *x));
}

static qds_status double_file(qds_context *ctx, const job *j, plant *p, qds_pipeline_statistics *statistics) {
  QDS_AUTO(qds_pipeline_file) *in = NULL;
  QDS_AUTO(qds_pipeline_file) *out = NULL;
  QDS_AUTO(qds_pending_file) *pending = NULL;
  QDS_AUTO(qds_pipeline) *pipeline = NULL;
  qds_allocator *allocator = qds_context_allocator(ctx);
  const size_t chunk = CHUNK * sizeof(double);
  QDS_TRY(qds_pipeline_file_open(allocator, in_folder(folder, "in"), chunk, &in));
  QDS_TRY(qds_pending_create(allocator, in_folder(folder, "out"), &pending));
  QDS_TRY(qds_pipeline_file_create(allocator, qds_pending_path(pending), chunk, &out));
  qds_status status = build(ctx, in, out, j->depth, p, &pipeline);
  for (int i = 0; i < ALL; i++) p->workers[i].delays = j->delays;
  if (j->change.stage > 0) {
    p->workers[j->change.stage].fail_at = j->change.fail_at;
    p->workers[j->change.stage].cancel_at = j->change.cancel_at;
  }
  if (status == QDS_OK) status = qds_pipeline_run(pipeline, qds_pipeline_file_items(in), statistics);
  qds_stream_release(qds_context_stream(ctx), p->numbers);
  QDS_TRY(status);
  QDS_TRY(qds_pipeline_file_flush(out));
  return qds_pending_commit(pending);
}

static void check_output(qds_context *ctx, int64_t count) {
  QDS_AUTO_RELEASE char *text = NULL;
  size_t bytes;
  assert_ok(
      qds_file_read(qds_context_allocator(ctx), in_folder(folder, "out"), (size_t)1 << 30, &text, &bytes));
  assert_int_equal(bytes, (size_t)count * sizeof(double));
  for (int64_t i = 0; i < count; i++) assert_true(((double *)text)[i] == 2 * number(i));
}

/* Fault 57: an item's copy waited for the computation before it, not for its own, and what did not fit the
 * pattern was dropped. */
static void fault_57_each_item_waits_for_itself_and_none_is_lost(qds_context *ctx) {
  const int64_t counts[] = {0, 1, CHUNK - 1, CHUNK, CHUNK + 1, 11 * CHUNK + 17, 40 * CHUNK};
  const int depths[] = {0, 1, 2, 5, 64};
  for (size_t c = 0; c < sizeof counts / sizeof *counts; c++) {
    write_input(ctx, counts[c]);
    for (size_t d = 0; d < sizeof depths / sizeof *depths; d++) {
      plant p = {.numbers = NULL};
      const job j = {.count = counts[c], .depth = depths[d], .delays = 1};
      assert_ok(double_file(ctx, &j, &p, NULL));
      check_output(ctx, counts[c]);
      const uint64_t items = (uint64_t)((counts[c] + CHUNK - 1) / CHUNK);
      for (int i = CHECK_IN; i <= CHECK_OUT; i++) {
        assert_int_equal(p.workers[i].seen, items);
        assert_int_equal(p.workers[i].out_of_order, 0);
      }
    }
  }
}

/* Fault 57: computation and copies shared their streams. */
static void fault_57_no_two_stages_share_a_stream(qds_context *ctx) {
  plant p = {.numbers = NULL};
  const job j = {.count = 3 * CHUNK};
  write_input(ctx, j.count);
  assert_ok(double_file(ctx, &j, &p, NULL));
  const int stages[] = {COPY_IN, SCALE, COPY_OUT};
  for (int a = 0; a < 3; a++) {
    assert_non_null(p.workers[stages[a]].stream);
    assert_ptr_not_equal(p.workers[stages[a]].stream, qds_context_stream(ctx));
    for (int b = 0; b < a; b++)
      assert_ptr_not_equal(p.workers[stages[a]].stream, p.workers[stages[b]].stream);
  }
  assert_null(p.workers[CHECK_OUT].stream);
}

static void a_failure_stops_everything_and_says_where(qds_context *ctx) {
  static const char *const names[] = {"check in", "copy in", "scale", "copy out", "check out"};
  write_input(ctx, 20 * CHUNK);
  for (int stage = CHECK_IN; stage <= CHECK_OUT; stage++) {
    plant p = {.numbers = NULL};
    char where[128];
    qds_pipeline_statistics statistics = {.items = 1};
    const job j = {.count = 20 * CHUNK,
                   .depth = 4,
                   .delays = 1,
                   .change = {.stage = stage, .fail_at = 7, .cancel_at = NEVER}};
    snprintf(where, sizeof where, "pipeline, stage \"%s\", item 7: stage %d had enough",
             names[stage - CHECK_IN], stage);
    assert_fails(double_file(ctx, &j, &p, &statistics), QDS_ERROR_NUMERIC, where);
    assert_int_equal(statistics.items, 0);
    assert_int_equal(p.workers[stage].seen, 8);
    for (int later = stage + 1; later <= CHECK_OUT; later++) assert_true(p.workers[later].seen <= 7);
    for (int i = CHECK_IN; i <= CHECK_OUT; i++) {
      assert_int_equal(p.workers[i].out_of_order, 0);
      assert_true(p.workers[i].seen <= 7 + 4);
    }
    assert_int_equal(folder_entries(folder), 1); /* no output, and nothing left beside it */
  }
}

static void a_file_that_becomes_shorter_is_an_error(qds_context *ctx) {
  QDS_AUTO(qds_pipeline_file) *in = NULL;
  QDS_AUTO(qds_pipeline) *pipeline = NULL;
  qds_pipeline_file *none = NULL;
  const size_t chunk = CHUNK * sizeof(double);
  write_input(ctx, 3 * CHUNK);
  assert_ok(qds_pipeline_file_open(qds_context_allocator(ctx), in_folder(folder, "in"), chunk, &in));
  assert_int_equal(truncate(in_folder(folder, "in"), 2 * (off_t)chunk), 0);
  const qds_stage stage = {QDS_STAGE_HOST, "read", qds_pipeline_read, in};
  const qds_pipeline_options options = {.stages = &stage, .stage_count = 1, .item_bytes = chunk};
  assert_ok(qds_pipeline_create(ctx, &options, &pipeline));
  assert_fails(qds_pipeline_run(pipeline, 3, NULL), QDS_ERROR_FILE, "has become shorter");
  assert_ok(qds_pipeline_run(pipeline, 2, NULL)); /* and may be used again */
  assert_fails(qds_pipeline_file_open(qds_context_allocator(ctx), in_folder(folder, "none"), chunk, &none),
               QDS_ERROR_FILE, "cannot be opened");
  assert_null(none);
}

static void cancelling_ends_it_from_any_stage(qds_context *ctx) {
  write_input(ctx, 20 * CHUNK);
  for (int stage = CHECK_IN; stage <= CHECK_OUT; stage++) {
    plant p = {.numbers = NULL};
    const job j = {.count = 20 * CHUNK,
                   .depth = 3,
                   .delays = 1,
                   .change = {.stage = stage, .fail_at = NEVER, .cancel_at = 5}};
    assert_fails(double_file(ctx, &j, &p, NULL), QDS_ERROR_INTERRUPTED, "cancelled after");
    assert_true(p.workers[CHECK_OUT].seen <= 6);
    assert_int_equal(folder_entries(folder), 1);
  }
}

/* --- other shapes -----------------------------------------------------------------------------------------
 */

static qds_status create_of(qds_context *ctx, const qds_stage *stages, int count, qds_pipeline **out) {
  const qds_pipeline_options options = {
      .stages = stages, .stage_count = count, .item_bytes = CHUNK * sizeof(double)};
  return qds_pipeline_create(ctx, &options, out);
}

/* The second stage keeps item 0 until the first has begun item 1; without overlap that never comes. */
static qds_status announce(void *user, qds_pipeline_item *item, qds_stream *stream) {
  (void)stream;
  atomic_store((atomic_uint_fast64_t *)user, item->index);
  return QDS_OK;
}

static qds_status wait_for_next(void *user, qds_pipeline_item *item, qds_stream *stream) {
  (void)stream;
  for (int i = 0; i < 20000 && item->index == 0; i++) {
    if (atomic_load((atomic_uint_fast64_t *)user) > 0) return QDS_OK;
    sleep_us(500);
  }
  if (item->index == 0) QDS_FAIL(QDS_ERROR_INTERNAL, "the stages do not overlap");
  return QDS_OK;
}

static void stages_overlap(qds_context *ctx) {
  atomic_uint_fast64_t reached = 0;
  const qds_stage stages[] = {{QDS_STAGE_HOST, "announce", announce, &reached},
                              {QDS_STAGE_COPY_IN, "in", NULL, NULL},
                              {QDS_STAGE_COPY_OUT, "out", NULL, NULL},
                              {QDS_STAGE_HOST, "wait", wait_for_next, &reached}};
  QDS_AUTO(qds_pipeline) *pipeline = NULL;
  assert_ok(create_of(ctx, stages, 4, &pipeline));
  assert_ok(qds_pipeline_run(pipeline, 5, NULL));
}

static qds_status sleep_2ms(void *user, qds_pipeline_item *item, qds_stream *stream) {
  (void)user, (void)item, (void)stream;
  sleep_us(2000);
  return QDS_OK;
}

static void fill_item(void *memory, uint64_t index) {
  for (int i = 0; i < CHUNK; i++) ((double *)memory)[i] = (double)index * CHUNK + i;
}

static qds_status produce(void *user, qds_pipeline_item *item, qds_stream *stream) {
  (void)user, (void)stream;
  fill_item(item->host, item->index);
  return QDS_OK;
}

static qds_status verify(void *user, qds_pipeline_item *item, qds_stream *stream) {
  (void)user, (void)stream;
  for (int i = 0; i < CHUNK; i++)
    if (((double *)item->host)[i] != (double)item->index * CHUNK + i)
      QDS_FAIL(QDS_ERROR_NUMERIC, "number %d is wrong", i);
  return QDS_OK;
}

static qds_status clear(void *user, qds_pipeline_item *item, qds_stream *stream) {
  (void)user, (void)stream;
  memset(item->host, 0, item->bytes);
  return QDS_OK;
}

/* A function of the host between the copies, and a pipeline that ends on the device. */
static void stages_stand_in_any_order(qds_context *ctx) {
  const qds_stage stages[] = {
      {QDS_STAGE_HOST, "produce", produce, NULL},   {QDS_STAGE_COPY_IN, "in", NULL, NULL},
      {QDS_STAGE_HOST, "clear", clear, NULL},       {QDS_STAGE_COPY_OUT, "out", NULL, NULL},
      {QDS_STAGE_HOST, "verify", verify, NULL},     {QDS_STAGE_COPY_IN, "in again", NULL, NULL},
      {QDS_STAGE_COPY_OUT, "out again", NULL, NULL}};
  for (int count = 1; count <= 7; count++) {
    QDS_AUTO(qds_pipeline) *pipeline = NULL;
    qds_pipeline_statistics s;
    assert_ok(create_of(ctx, stages, count, &pipeline));
    for (int again = 0; again < 2; again++) {
      assert_ok(qds_pipeline_run(pipeline, 30, &s));
      assert_int_equal(s.items, 30);
      assert_int_equal(s.stage_count, count);
    }
  }
}

static void statistics_add_up(qds_context *ctx) {
  enum { ITEMS = 12 };
  const qds_stage stages[] = {{QDS_STAGE_HOST, "a", sleep_2ms, NULL},
                              {QDS_STAGE_COPY_IN, "b", NULL, NULL},
                              {QDS_STAGE_HOST, "c", sleep_2ms, NULL}};
  QDS_AUTO(qds_pipeline) *pipeline = NULL;
  qds_pipeline_statistics s;
  assert_ok(create_of(ctx, stages, 3, &pipeline));
  assert_ok(qds_pipeline_run(pipeline, ITEMS, &s));
  assert_string_equal(s.stages[2].name, "c");
  assert_true(s.stages[0].busy_s >= ITEMS * 0.002 && s.stages[2].busy_s >= ITEMS * 0.002);
  assert_true(s.stages[1].busy_s > 0);
  assert_close(s.busy_s, s.stages[0].busy_s + s.stages[1].busy_s + s.stages[2].busy_s, 1e-12);
  assert_true(s.longest_s >= s.stages[0].busy_s && s.longest_s >= s.stages[2].busy_s);
  assert_true(s.wall_s >= s.longest_s); /* a stage works on one item at a time */
  assert_close(s.overlap, (s.busy_s - s.wall_s) / (s.busy_s - s.longest_s), 1e-12);
  assert_true(s.overlap <= 1);
}

static qds_status too_long(void *user, qds_pipeline_item *item, qds_stream *stream) {
  (void)user, (void)stream;
  item->bytes++;
  return QDS_OK;
}

static qds_status silent(void *user, qds_pipeline_item *item, qds_stream *stream) {
  (void)user, (void)item, (void)stream;
  return QDS_ERROR_CONVERGENCE;
}

static void misuse_is_refused(qds_context *ctx) {
  qds_pipeline *pipeline = NULL;
  qds_stage stages[QDS_PIPELINE_STAGES + 1] = {{QDS_STAGE_HOST, "long", too_long, NULL}};
  assert_fails(create_of(ctx, stages, 0, &pipeline), QDS_ERROR_ARGUMENT, "1 to 16");
  assert_fails(create_of(ctx, stages, QDS_PIPELINE_STAGES + 1, &pipeline), QDS_ERROR_ARGUMENT, "17 stages");
  assert_fails(create_of(ctx, stages, 2, &pipeline), QDS_ERROR_ARGUMENT, "no name");
  stages[1] = (qds_stage){QDS_STAGE_COMPUTE, "nothing", NULL, NULL};
  assert_fails(create_of(ctx, stages, 2, &pipeline), QDS_ERROR_ARGUMENT, "\"nothing\", has no function");
  const qds_pipeline_options empty = {.stages = stages, .stage_count = 1};
  assert_fails(qds_pipeline_create(ctx, &empty, &pipeline), QDS_ERROR_ARGUMENT, "0 bytes");
  assert_null(pipeline);
  assert_ok(create_of(ctx, stages, 1, &pipeline));
  assert_fails(qds_pipeline_run(pipeline, 3, NULL), QDS_ERROR_ARGUMENT, "item 0: the stage made the item");
  qds_pipeline_destroy(pipeline);
  stages[0].run = silent;
  assert_ok(create_of(ctx, stages, 1, &pipeline));
  assert_fails(qds_pipeline_run(pipeline, 3, NULL), QDS_ERROR_CONVERGENCE, "not converged");
  qds_pipeline_destroy(pipeline);
}

/* --- the user's wish to stop ------------------------------------------------------------------------------
 */

static void an_interrupted_context_stops_it(qds_context *ctx) {
  const qds_stage stage = {QDS_STAGE_HOST, "slow", sleep_2ms, NULL};
  QDS_AUTO(qds_pipeline) *pipeline = NULL;
  assert_ok(create_of(ctx, &stage, 1, &pipeline));
  qds_context_interrupt(ctx);
  assert_fails(qds_pipeline_run(pipeline, 1000000, NULL), QDS_ERROR_INTERRUPTED, "during pipeline");
  qds_context_resume(ctx);
  assert_ok(qds_pipeline_run(pipeline, 2, NULL));
}

/* --- failures of memory and of the device -----------------------------------------------------------------
 */

static qds_status double_small_file(qds_context *ctx, void *data) {
  plant p = {.numbers = NULL};
  return double_file(ctx, data, &p, NULL);
}

static void nothing_leaks_when_memory_runs_out(qds_context *ctx) {
  job j = {.count = 3 * CHUNK, .depth = 2};
  write_input(ctx, j.count);
  assert_true(fail_each_allocation(ctx, double_small_file, &j) > 20);
}

static void a_failing_device_is_an_error(qds_context *ctx) {
  job j = {.count = 3 * CHUNK, .depth = 2};
  if (strncmp(qds_context_device(ctx), "sim", 3) != 0) return;
  write_input(ctx, j.count);
  assert_true(fail_each_on_device(ctx, QDS_INJECT_COPY, 14, double_small_file, &j) >= 10);
  assert_true(fail_each_on_device(ctx, QDS_INJECT_LAUNCH, 14, double_small_file, &j) >= 3);
  fail_each_on_device(ctx, QDS_INJECT_ALLOCATION, 8, double_small_file, &j);
}

#define ON_EACH_DEVICE(name)                                                                                 \
  static void run_##name(void **state) {                                                                     \
    folder = *state;                                                                                         \
    with_context_on_each(2, name);                                                                           \
  }
#define TESTS(X)                                                                                             \
  X(fault_57_each_item_waits_for_itself_and_none_is_lost)                                                    \
  X(fault_57_no_two_stages_share_a_stream)                                                                   \
  X(a_failure_stops_everything_and_says_where)                                                               \
  X(a_file_that_becomes_shorter_is_an_error)                                                                 \
  X(cancelling_ends_it_from_any_stage)                                                                       \
  X(stages_overlap)                                                                                          \
  X(stages_stand_in_any_order)                                                                               \
  X(statistics_add_up)                                                                                       \
  X(misuse_is_refused)                                                                                       \
  X(an_interrupted_context_stops_it)                                                                         \
  X(nothing_leaks_when_memory_runs_out)                                                                      \
  X(a_failing_device_is_an_error)
TESTS(ON_EACH_DEVICE)

int main(void) {
#define ROW(name) {#name, run_##name, folder_setup, folder_teardown, NULL},
  const struct CMUnitTest tests[] = {TESTS(ROW)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}

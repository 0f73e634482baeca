/* Coherence against a model: random sequences of accesses, moves and copies, in one thread and in several
 * that push each other's buffers out of memory. Every buffer has a model beside it, an array in the test's
 * own memory; whatever the buffer went through, it must hold the same numbers.
 *
 * The seed is printed; QDSIM_TEST_SEED repeats a run. */
#include "buffers.h"

#include <pthread.h>
#include <time.h>

#include "base/philox.h"
#include "la/block_kernels.h"

enum { MOST_BUFFERS = 6, FEW_NUMBERS = 5000, MOST_NUMBERS = 100000, STREAMS = 2, THREADS = 3 };

typedef struct {
  qds_buffer *buffer;
  qds_mem_strategy strategy;
  size_t count;
  int written;
  double model[MOST_NUMBERS];
} subject;

typedef struct {
  qds_context *ctx;
  uint64_t seed, draws;
  int number, steps;
  size_t most_numbers;
  qds_stream *streams[STREAMS];
  subject subjects[MOST_BUFFERS];
} walker;

static uint64_t draw(walker *w, uint64_t below) {
  const uint32_t counter[4] = {(uint32_t)w->draws++, 0, (uint32_t)w->number, 0};
  const uint32_t key[2] = {(uint32_t)w->seed, (uint32_t)(w->seed >> 32)};
  uint32_t out[4];
  qds_philox4x32(counter, key, out);
  return out[0] % below;
}

static qds_stream *draw_stream(walker *w) {
  const uint64_t i = draw(w, STREAMS + 1);
  return i < STREAMS ? w->streams[i] : NULL;
}

static int host_allowed(const subject *s) {
  return s->strategy != QDS_MEM_GPU_ONLY;
}
static int device_allowed(const subject *s) {
  return s->strategy != QDS_MEM_CPU_ONLY;
}

/* Standard normal numbers, added or put, on a stream. */
static void launch_normal(qds_stream *stream, double *data, size_t count, uint64_t key, int add) {
  const qds_fill_normal_arguments a = {.to = {data, (int64_t)count, 1},
                                       .rows = (int64_t)count,
                                       .seed = key,
                                       .stream = 0,
                                       .scale = 1,
                                       .add = add};
  assert_ok(qds_stream_launch(stream, &qds_fill_normal_kernel, &a));
}

static void model_normal(subject *s, uint64_t key, int add) {
  const qds_fill_normal_arguments a = {.to = {s->model, (int64_t)s->count, 1},
                                       .rows = (int64_t)s->count,
                                       .seed = key,
                                       .stream = 0,
                                       .scale = 1,
                                       .add = add};
  qds_fill_normal_kernel.run(&a, 1);
  s->written = 1;
}

static void check_numbers(const walker *w, const subject *s, const double *numbers) {
  for (size_t i = 0; i < s->count; i++)
    if (!(fabs(numbers[i] - s->model[i]) < 1e-9))
      fail_msg("seed %llu, thread %d, draw %llu: number %zu of %zu is %.17g, not %.17g",
               (unsigned long long)w->seed, w->number, (unsigned long long)w->draws, i, s->count, numbers[i],
               s->model[i]);
}

static void recreate(walker *w, subject *s) {
  assert_ok(qds_buffer_destroy(s->buffer));
  s->strategy = (qds_mem_strategy)draw(w, QDS_MEM_STRATEGIES);
  if (s->strategy == QDS_MEM_GPU_ONLY && !has_device(w->ctx)) s->strategy = QDS_MEM_ADAPTIVE;
  s->count = 1 + draw(w, w->most_numbers);
  s->written = 0;
  assert_ok(qds_buffer_create(w->ctx, s->count * sizeof(double), s->strategy, "model", &s->buffer));
}

/* A kernel on the device changes the numbers. */
static void change_on_device(walker *w, subject *s) {
  if (!device_allowed(s)) return;
  qds_stream *stream = draw_stream(w);
  qds_stream *work = stream ? stream : w->streams[0];
  const int add = s->written && draw(w, 3);
  const uint64_t key = draw(w, 1000);
  void *data;
  assert_ok(qds_buffer_acquire(s->buffer, QDS_PLACE_DEVICE, add ? QDS_ACCESS_WRITE : QDS_ACCESS_DISCARD,
                               stream, &data));
  launch_normal(work, data, s->count, key, add);
  if (!stream) assert_ok(qds_stream_synchronise(work));
  assert_ok(qds_buffer_release(s->buffer, stream));
  model_normal(s, key, add);
}

static void change_on_host(walker *w, subject *s) {
  if (!host_allowed(s)) return;
  const int add = s->written && draw(w, 3);
  double *data;
  assert_ok(qds_buffer_acquire(s->buffer, QDS_PLACE_HOST, add ? QDS_ACCESS_WRITE : QDS_ACCESS_DISCARD, NULL,
                               (void **)&data));
  const double shift = (double)draw(w, 100);
  for (size_t i = 0; i < s->count; i++) {
    data[i] = add ? data[i] + shift : shift + (double)i;
    s->model[i] = add ? s->model[i] + shift : shift + (double)i;
  }
  s->written = 1;
  assert_ok(qds_buffer_release(s->buffer, NULL));
}

static void look_on_host(walker *w, subject *s) {
  if (!host_allowed(s) || !s->written) return;
  qds_stream *stream = draw_stream(w);
  double *data;
  assert_ok(qds_buffer_acquire(s->buffer, QDS_PLACE_HOST, QDS_ACCESS_READ, stream, (void **)&data));
  if (stream) assert_ok(qds_stream_synchronise(stream));
  check_numbers(w, s, data);
  assert_ok(qds_buffer_release(s->buffer, stream));
}

static void look_on_device(walker *w, subject *s) {
  if (!device_allowed(s) || !s->written) return;
  qds_stream *stream = draw_stream(w);
  static _Thread_local double numbers[MOST_NUMBERS];
  void *data;
  assert_ok(qds_buffer_acquire(s->buffer, QDS_PLACE_DEVICE, QDS_ACCESS_READ, stream, &data));
  assert_ok(qds_stream_fetch(stream ? stream : w->streams[0], numbers, data, s->count * sizeof *numbers));
  check_numbers(w, s, numbers);
  assert_ok(qds_buffer_release(s->buffer, stream));
}

/* Several readers at once, on both sides, while work of a reader is still under way. */
static void look_from_all_sides(walker *w, subject *s) {
  if (s->strategy == QDS_MEM_CPU_ONLY || s->strategy == QDS_MEM_GPU_ONLY || !s->written) return;
  static _Thread_local double numbers[2][MOST_NUMBERS];
  void *data[STREAMS], *host;
  for (int i = 0; i < STREAMS; i++) {
    assert_ok(qds_buffer_acquire(s->buffer, QDS_PLACE_DEVICE, QDS_ACCESS_READ, w->streams[i], &data[i]));
    assert_ok(qds_stream_copy(w->streams[i], numbers[i], data[i], s->count * sizeof(double)));
  }
  assert_ok(qds_buffer_acquire(s->buffer, QDS_PLACE_HOST, QDS_ACCESS_READ, NULL, &host));
  assert_fails(qds_buffer_acquire(s->buffer, QDS_PLACE_HOST, QDS_ACCESS_WRITE, NULL, &data[0]),
               QDS_ERROR_ARGUMENT, "\"model\"");
  check_numbers(w, s, host);
  for (int i = 0; i < STREAMS; i++) assert_ok(qds_buffer_release(s->buffer, w->streams[i]));
  assert_ok(qds_buffer_release(s->buffer, NULL));
  for (int i = 0; i < STREAMS; i++) {
    assert_ok(qds_stream_synchronise(w->streams[i]));
    check_numbers(w, s, numbers[i]);
  }
}

static void prefetch(walker *w, subject *s) {
  if (!s->written) return;
  static const qds_place places[] = {QDS_PLACE_HOST, QDS_PLACE_PINNED, QDS_PLACE_DEVICE};
  const qds_place place = places[draw(w, 3)];
  if (!(place == QDS_PLACE_DEVICE ? device_allowed(s) : host_allowed(s))) return;
  assert_ok(qds_buffer_prefetch(s->buffer, place, draw_stream(w)));
}

static void spill(walker *w, subject *s) {
  static const qds_place places[] = {QDS_PLACE_HOST, QDS_PLACE_PINNED, QDS_PLACE_FILE};
  assert_ok(qds_buffer_spill(s->buffer, places[draw(w, 3)]));
}

static void spill_any(walker *w, subject *s) {
  (void)s;
  size_t freed;
  assert_ok(qds_memory_spill(w->ctx, (qds_place)draw(w, QDS_PLACE_FILE), draw(w, 100000), &freed));
}

static void copy(walker *w, subject *s) {
  subject *from = &w->subjects[draw(w, MOST_BUFFERS)];
  qds_stream *stream = draw_stream(w);
  if (from == s || !from->written) return;
  if (from->count == s->count) {
    assert_ok(qds_buffer_copy(s->buffer, from->buffer, stream));
    memcpy(s->model, from->model, s->count * sizeof(double));
    s->written = 1;
    return;
  }
  assert_fails(qds_buffer_copy(s->buffer, from->buffer, stream), QDS_ERROR_ARGUMENT, "cannot take");
  const size_t most = s->count < from->count ? s->count : from->count, n = 1 + draw(w, most);
  const size_t to = draw(w, s->count - n + 1), source = draw(w, from->count - n + 1);
  if (!s->written && n < s->count) return;
  assert_ok(qds_buffer_copy_part(s->buffer, to * sizeof(double), from->buffer, source * sizeof(double),
                                 n * sizeof(double), stream));
  memcpy(s->model + to, from->model + source, n * sizeof(double));
  s->written = 1;
}

static void fill(walker *w, subject *s) {
  const int byte = (int)draw(w, 64);
  assert_ok(qds_buffer_fill(s->buffer, byte, draw_stream(w)));
  memset(s->model, byte, s->count * sizeof(double));
  s->written = 1;
}

static void *walk(void *data) {
  static void (*const actions[])(walker *, subject *) = {recreate,
                                                         change_on_device,
                                                         change_on_device,
                                                         change_on_device,
                                                         change_on_host,
                                                         change_on_host,
                                                         prefetch,
                                                         look_on_host,
                                                         look_on_device,
                                                         look_from_all_sides,
                                                         look_from_all_sides,
                                                         spill,
                                                         copy,
                                                         copy,
                                                         fill,
                                                         spill_any};
  walker *w = data;
  for (int i = 0; i < MOST_BUFFERS; i++) recreate(w, &w->subjects[i]);
  for (int step = 0; step < w->steps; step++)
    actions[draw(w, sizeof actions / sizeof *actions)](w, &w->subjects[draw(w, MOST_BUFFERS)]);
  for (int i = 0; i < MOST_BUFFERS; i++) {
    look_on_host(w, &w->subjects[i]);
    assert_ok(qds_buffer_destroy(w->subjects[i].buffer));
    w->subjects[i].buffer = NULL;
  }
  return NULL;
}

static walker *make_walker(qds_context *ctx, uint64_t seed, int number, int steps, size_t most_numbers) {
  walker *w = calloc(1, sizeof *w);
  assert_non_null(w);
  *w = (walker){.ctx = ctx, .seed = seed, .number = number, .steps = steps, .most_numbers = most_numbers};
  for (int i = 0; i < STREAMS; i++) assert_ok(qds_context_stream_create(ctx, &w->streams[i]));
  return w;
}

static void free_walker(walker *w) {
  for (int i = 0; i < STREAMS; i++) qds_context_stream_destroy(w->streams[i]);
  free(w);
}

static uint64_t test_seed(void) {
  const char *given = getenv("QDSIM_TEST_SEED");
  const uint64_t seed = given ? strtoull(given, NULL, 10) : (uint64_t)time(NULL);
  print_message("  QDSIM_TEST_SEED=%llu\n", (unsigned long long)seed);
  return seed;
}

static void run(qds_context *ctx, int count, int steps, size_t most_numbers) {
  const uint64_t seed = test_seed();
  walker *w[THREADS];
  pthread_t threads[THREADS];
  for (int i = 0; i < count; i++) w[i] = make_walker(ctx, seed, i, steps, most_numbers);
  for (int i = 1; i < count; i++) assert_int_equal(pthread_create(&threads[i], NULL, walk, w[i]), 0);
  walk(w[0]);
  for (int i = 1; i < count; i++) pthread_join(threads[i], NULL);
  for (int i = 0; i < count; i++) free_walker(w[i]);
}

static void one_thread(qds_context *ctx) {
  run(ctx, 1, 1500, FEW_NUMBERS);
}
static void several_threads(qds_context *ctx) {
  run(ctx, THREADS, 500, FEW_NUMBERS);
}

static void expect_spills(qds_context *ctx) {
  qds_memory_statistics s;
  qds_memory_get_statistics(ctx, &s);
  assert_true(s.spills > 0 && s.returns > 0 && s.places[QDS_PLACE_FILE].total_blocks > 0);
}
static void one_crowded_thread(qds_context *ctx) {
  run(ctx, 1, 400, MOST_NUMBERS);
  expect_spills(ctx);
}
static void several_crowded_threads(qds_context *ctx) {
  run(ctx, THREADS, 150, MOST_NUMBERS);
  expect_spills(ctx);
}

static void test_contents_follow_the_model(void **state) {
  (void)state;
  with_limits(0, 0, 0, one_thread);
}

/* Six buffers of 400 kB on average do not fit, so they travel all the time. Of the device's two units one is
 * for memory that host and device address. */
static void test_contents_survive_tight_budgets(void **state) {
  (void)state;
  with_limits(1800000, 0, 2, one_crowded_thread);
}

static void test_threads_follow_their_models(void **state) {
  (void)state;
  with_limits(0, 0, 0, several_threads);
}

/* Each thread holds two buffers at once at most. */
static void test_threads_survive_tight_budgets(void **state) {
  (void)state;
  with_limits(5200000, 0, 4, several_crowded_threads);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_contents_follow_the_model),
      cmocka_unit_test(test_contents_survive_tight_budgets),
      cmocka_unit_test(test_threads_follow_their_models),
      cmocka_unit_test(test_threads_survive_tight_budgets),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}

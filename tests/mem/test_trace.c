/* The trace of the memory: what is written, what is read, what is refused, what a replay shows. */
#include <signal.h>
#include <stdatomic.h>
#include <sys/resource.h>
#include <time.h>

#include "base/file.h"
#include "base/philox.h"
#include "folder.h"
#include "mem/stream.h"
#include "mem/system_allocator.h"
#include "mem/trace.h"

enum { MIB = 1 << 20 };

typedef struct {
  int errors;
  char text[400];
} diary;

static void keep_error(void *user, qds_log_level level, const char *text) {
  diary *d = user;
  if (level != QDS_LOG_ERROR) return;
  d->errors++;
  snprintf(d->text, sizeof d->text, "%s", text);
}

static qds_context *create(const char *device, const char *path, size_t limit, const char *scratch,
                           diary *d) {
  qds_context *ctx = NULL;
  qds_context_options options = QDS_CONTEXT_OPTIONS_INIT;
  options.device = device;
  options.threads = 1;
  options.memory_trace = path;
  options.memory_limit = limit;
  options.scratch = scratch;
  options.log = keep_error;
  options.user = d;
  memset(d, 0, sizeof *d);
  assert_ok(qds_context_create(&options, &ctx));
  return ctx;
}

static qds_trace_log *read_trace(const char *path) {
  qds_trace_log *log = NULL;
  assert_ok(qds_trace_read(qds_system_allocator(), path, &log));
  return log;
}

/* Takes and gives back blocks of many sizes. */
static void work(qds_allocator *allocator, uint64_t seed, int steps) {
  enum { SLOTS = 300 };
  static const char *const tags[] = {"vectors", "states", "a tag whose name is longer than a record"};
  char *slot[SLOTS] = {0};
  for (int i = 0; i < steps; i++) {
    const size_t s = (size_t)(qds_random_uniform(seed, 0, (uint64_t)i) * SLOTS);
    const double size = qds_random_uniform(seed, 1, (uint64_t)i);
    qds_release(slot[s]);
    slot[s] = NULL;
    const size_t bytes = (size_t)(i % 50 == 0 ? size * 3 * MIB : i % 7 == 0 ? size * 100000 : size * 2000);
    assert_ok(QDS_NEW(allocator, bytes, tags[i % 3], &slot[s]));
    memset(slot[s], i, bytes);
  }
  for (int s = 0; s < SLOTS; s++) qds_release(slot[s]);
}

static void what_is_written_is_read(void **state) {
  diary d;
  const char *path = in_folder(*state, "run.trace");
  qds_context *ctx = create("cpu", path, 0, NULL, &d);
  qds_memory_row row;
  char *a = NULL, *b = NULL;
  qds_context_memory(ctx, &row);
  const size_t before = row.current_bytes, blocks_before = row.total_blocks;
  assert_ok(QDS_NEW(qds_context_allocator(ctx), 1000, "first", &a));
  assert_ok(QDS_NEW(qds_context_allocator(ctx), 3 * MIB, "second, of the same length as a record.", &b));
  qds_context_memory(ctx, &row);
  assert_int_equal(row.current_bytes - before, 1000 + 3 * MIB); /* the trace adds nothing */
  qds_release(a);
  assert_ok(QDS_RESIZE(qds_context_allocator(ctx), 4 * MIB, "first", &b));
  qds_release(b);
  qds_context_memory(ctx, &row);
  assert_int_equal(row.total_blocks - blocks_before, 3);
  assert_int_equal(row.current_bytes, before);
  assert_ok(qds_context_end_trace(ctx));
  qds_trace_log *log = read_trace(path);
  const qds_trace_event *e = &log->events[log->count - 6];
  static const struct {
    int kind, bytes, nth, tag;
  } expected[] = {{QDS_TRACE_TAKE, 1000, 3, 2},    {QDS_TRACE_TAKE, 3 * MIB, 2, 1},
                  {QDS_TRACE_GIVE, 1000, 3, 2},    {QDS_TRACE_TAKE, 4 * MIB, 1, 2},
                  {QDS_TRACE_GIVE, 3 * MIB, 2, 1}, {QDS_TRACE_GIVE, 4 * MIB, 1, 2}};
  assert_string_equal(log->tags[log->tag_count - 2], "first");
  assert_string_equal(log->tags[log->tag_count - 1], "second, of the same length as a record.");
  for (int i = 0; i < 6; i++) {
    assert_int_equal(e[i].kind, expected[i].kind);
    assert_int_equal(e[i].place, QDS_TRACE_HOST);
    assert_int_equal(e[i].bytes, expected[i].bytes);
    assert_int_equal(e[i].block, log->blocks - (size_t)expected[i].nth);
    assert_int_equal(e[i].tag, log->tag_count - (size_t)expected[i].tag);
    assert_int_equal(e[i].thread, 0);
    assert_true(i == 0 || e[i].nanoseconds >= e[i - 1].nanoseconds);
  }
  qds_trace_log_destroy(log);
  qds_context_destroy(ctx);
  assert_int_equal(d.errors, 0);
  assert_int_equal(folder_entries(*state), 1);
}

static qds_status take_block(void *self, const qds_trace_event *event, void **out) {
  return qds_allocate(self, event->bytes, 1, "replay", __FILE__, __LINE__, out);
}

static void give_block(void *self, const qds_trace_event *event, void *block) {
  (void)self;
  (void)event;
  qds_release(block);
}

/* The account and every pool come to the same peaks as in the run that was traced. */
static void a_replay_has_the_peaks_of_the_run(void **state) {
  const uint64_t seed = (uint64_t)time(NULL);
  const char *path = in_folder(*state, "run.trace");
  qds_trace *trace = NULL;
  qds_heap *heaps[2] = {NULL, NULL};
  print_message("seed %llu\n", (unsigned long long)seed);
  for (int i = 0; i < 2; i++) assert_ok(qds_heap_create((size_t)1 << 40, &heaps[i]));
  assert_ok(qds_trace_create(path, &trace));
  qds_trace_watch(trace, qds_heap_allocator(heaps[0]));
  work(qds_heap_allocator(heaps[0]), seed, 20000);
  assert_ok(qds_trace_end(trace));
  qds_trace_destroy(trace);
  qds_trace_log *log = read_trace(path);
  assert_int_equal(log->count, 40000);
  assert_int_equal(log->tag_count, 3);
  const qds_trace_target target = {qds_heap_allocator(heaps[1]), take_block, give_block};
  assert_ok(qds_trace_replay(log, QDS_TRACE_HOST, &target));
  qds_memory_row rows[2];
  for (int i = 0; i < 2; i++) qds_heap_total(heaps[i], &rows[i]);
  assert_true(rows[0].peak_bytes > 3 * MIB);
  assert_int_equal(rows[0].peak_bytes, rows[1].peak_bytes);
  assert_int_equal(rows[0].total_blocks, rows[1].total_blocks);
  assert_int_equal(rows[1].current_bytes, 0);
  for (int pool = 0; pool < QDS_HEAP_POOLS; pool++) {
    qds_best_fit_statistics s[2];
    for (int i = 0; i < 2; i++) qds_heap_read_pool(heaps[i], (qds_heap_pool)pool, &s[i]);
    assert_int_equal(s[0].peak_used_bytes, s[1].peak_used_bytes);
    assert_int_equal(s[0].peak_reserved_bytes, s[1].peak_reserved_bytes);
  }
  assert_ok(qds_trace_replay(log, QDS_TRACE_DEVICE, &target)); /* nothing is there */
  qds_trace_log_destroy(log);
  for (int i = 0; i < 2; i++) qds_heap_destroy(heaps[i], NULL, NULL);
}

/* Blocks wander from thread to thread, on both sides of the limit; the reader checks that nothing is given
 * back twice, or before it is taken. */
static void threads_share_a_trace(void **state) {
  enum { THREADS = 4, STEPS = 3000, SLOTS = 64 };
  diary d;
  const char *path = in_folder(*state, "run.trace");
  qds_context *ctx = create("cpu", path, 32 * MIB, *state, &d);
  _Atomic(char *) slots[SLOTS] = {NULL};
  int wrong = 0;
#pragma omp parallel for num_threads(THREADS) reduction(+ : wrong)
  for (int thread = 0; thread < THREADS; thread++)
    for (uint64_t i = 0; i < STEPS; i++) {
      char *block = NULL;
      const double size = qds_random_uniform(7, (uint64_t)thread, 2 * i);
      const size_t s = (size_t)(qds_random_uniform(7, (uint64_t)thread, 2 * i + 1) * SLOTS);
      const size_t bytes = (size_t)(size * (i % 100 == 0 ? 4 * MIB : 5000));
      if (QDS_NEW(qds_context_allocator(ctx), bytes, "shared", &block) != QDS_OK) wrong++;
      qds_release(atomic_exchange(&slots[s], block));
    }
  for (int s = 0; s < SLOTS; s++) qds_release(slots[s]);
  assert_int_equal(wrong, 0);
  qds_context_destroy(ctx);
  assert_int_equal(d.errors, 0);
  qds_trace_log *log = read_trace(path);
  uint32_t threads = 0;
  for (size_t i = 0; i < log->count; i++)
    if (log->events[i].thread >= threads) threads = log->events[i].thread + 1;
  assert_true(log->count >= 2 * THREADS * STEPS && log->count == 2 * log->blocks);
  assert_true(threads >= 1 && threads <= THREADS);
#ifdef _OPENMP
  assert_true(threads > 1);
#endif
  qds_trace_log_destroy(log);
}

static void blocks_of_a_device_are_in_it(void **state) {
  diary d;
  const char *path = in_folder(*state, "run.trace");
  qds_context *ctx = create("sim", path, 0, NULL, &d);
  double *block = NULL;
  assert_ok(QDS_STREAM_NEW(qds_context_stream(ctx), 5000, "on the device", &block));
  qds_stream_release(qds_context_stream(ctx), block);
  qds_context_destroy(ctx);
  qds_trace_log *log = read_trace(path);
  size_t taken = 0, given = 0;
  for (size_t i = 0; i < log->count; i++) {
    const qds_trace_event *e = &log->events[i];
    if (e->place != QDS_TRACE_DEVICE || e->bytes != 40000) continue;
    assert_string_equal(log->tags[e->tag], "on the device");
    taken += e->kind == QDS_TRACE_TAKE;
    given += e->kind == QDS_TRACE_GIVE;
  }
  assert_int_equal(taken, 1);
  assert_int_equal(given, 1);
  assert_int_equal(log->count, 2 * log->blocks);
  qds_trace_log_destroy(log);
  assert_int_equal(d.errors, 0);
}

/* How often a block of a buffer with this tag was taken at the place; as often it must have gone back. */
static size_t taken_at(const qds_trace_log *log, qds_trace_place place, const char *tag, size_t bytes) {
  size_t taken = 0, given = 0;
  for (size_t i = 0; i < log->count; i++) {
    const qds_trace_event *e = &log->events[i];
    if (e->place != place || strcmp(log->tags[e->tag], tag) != 0) continue;
    assert_int_equal(e->bytes, bytes);
    taken += e->kind == QDS_TRACE_TAKE;
    given += e->kind == QDS_TRACE_GIVE;
  }
  assert_int_equal(taken, given);
  return taken;
}

static void buffers_are_in_it_wherever_they_lie(void **state) {
  diary d;
  const char *path = in_folder(*state, "run.trace");
  qds_context *ctx = create("sim", path, 0, NULL, &d);
  static const qds_mem_strategy strategies[] = {QDS_MEM_CPU_ONLY, QDS_MEM_UNIFIED, QDS_MEM_ADAPTIVE};
  static const char *const tags[] = {"on the host", "unified", "adaptive"};
  enum { BYTES = 3000000 };
  for (int i = 0; i < 3; i++) {
    qds_buffer *buffer;
    void *data;
    assert_ok(qds_buffer_create(ctx, BYTES, strategies[i], tags[i], &buffer));
    assert_ok(qds_buffer_fill(buffer, 1, NULL));
    if (i > 0) {
      assert_ok(qds_buffer_acquire(buffer, QDS_PLACE_DEVICE, QDS_ACCESS_READ, NULL, &data));
      assert_ok(qds_buffer_release(buffer, NULL));
    }
    assert_ok(qds_buffer_destroy(buffer));
  }
  qds_context_destroy(ctx);
  qds_trace_log *log = read_trace(path);
  assert_int_equal(taken_at(log, QDS_TRACE_HOST, "buffers", BYTES), 1);
  assert_int_equal(taken_at(log, QDS_TRACE_UNIFIED, "unified", BYTES), 1);
  assert_int_equal(taken_at(log, QDS_TRACE_PINNED, "adaptive", BYTES), 1);
  assert_int_equal(taken_at(log, QDS_TRACE_DEVICE, "buffers", BYTES), 1);
  qds_trace_log_destroy(log);
  assert_int_equal(d.errors, 0);
}

static void leaks_are_still_found(void **state) {
  diary d;
  const char *path = in_folder(*state, "run.trace");
  qds_context *ctx = create("cpu", path, 0, NULL, &d);
  char *small = NULL, *large = NULL;
  assert_ok(QDS_NEW(qds_context_allocator(ctx), 10, "forgotten", &small));
  assert_ok(QDS_NEW(qds_context_allocator(ctx), 2 * MIB, "forgotten", &large));
  qds_context_destroy(ctx);
  assert_int_equal(d.errors, 2);
  assert_non_null(strstr(d.text, "forgotten"));
  qds_trace_log *log = read_trace(path);
  assert_int_equal(log->count, 2 * log->blocks - 2);
  qds_trace_log_destroy(log);
}

static qds_status read_and_replay(qds_context *ctx, void *path) {
  QDS_AUTO(qds_trace_log) *log = NULL;
  QDS_TRY(qds_trace_read(qds_context_allocator(ctx), path, &log));
  return qds_trace_replay(log, QDS_TRACE_HOST,
                          &(qds_trace_target){qds_context_allocator(ctx), take_block, give_block});
}

/* Of a run that is traced, and of the reading of another trace, at the same time. */
static void every_allocation_may_fail(void **state) {
  diary d;
  char other[512];
  snprintf(other, sizeof other, "%s", in_folder(*state, "other.trace"));
  qds_context *ctx = create("cpu", other, 0, NULL, &d);
  work(qds_context_allocator(ctx), 3, 20);
  qds_context_destroy(ctx);
  const char *path = in_folder(*state, "run.trace");
  ctx = create("cpu", path, 0, NULL, &d);
  assert_true(fail_each_allocation(ctx, read_and_replay, other) > 25);
  qds_context_destroy(ctx);
  assert_int_equal(d.errors, 0);
  qds_trace_log *log = read_trace(path);
  assert_int_equal(log->count, 2 * log->blocks);
  qds_trace_log_destroy(log);
}

static void files_that_cannot_be_written_are_named(void **state) {
  diary d;
  qds_context *ctx = NULL;
  qds_context_options options = QDS_CONTEXT_OPTIONS_INIT;
  options.memory_trace = "/nowhere/at/all/run.trace";
  options.memory_limit = 32 * MIB;
  const int descriptors = open_descriptors();
  assert_fails(qds_context_create(&options, &ctx), QDS_ERROR_FILE, "/nowhere/at/all");
  assert_null(ctx);
  /* A disk that is full halfway, which a limit on the size of files stands for. */
  const struct rlimit small = {100000, RLIM_INFINITY};
  struct rlimit before;
  signal(SIGXFSZ, SIG_IGN);
  assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
  for (int told = 0; told < 2; told++) {
    ctx = create("cpu", in_folder(*state, "run.trace"), 0, NULL, &d);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
    work(qds_context_allocator(ctx), 5, 5000);
    if (told) assert_fails(qds_context_end_trace(ctx), QDS_ERROR_FILE, "File too large");
    if (told) assert_non_null(strstr(qds_last_error()->message, "run.trace"));
    qds_context_destroy(ctx);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
    assert_int_equal(d.errors, !told);
    assert_int_equal(folder_entries(*state), 0);
  }
  assert_int_equal(open_descriptors(), descriptors);
}

static void write_bytes(const char *path, const char *bytes, size_t count) {
  FILE *file = fopen(path, "w");
  assert_non_null(file);
  assert_int_equal(fwrite(bytes, 1, count, file), count);
  assert_int_equal(fclose(file), 0);
}

/* Every prefix of a trace is refused, and every record that is not in order. */
static void damaged_traces_are_refused(void **state) {
  diary d;
  const char *path = in_folder(*state, "run.trace");
  qds_allocator *system = qds_system_allocator();
  QDS_AUTO_RELEASE char *bytes = NULL;
  size_t length;
  qds_trace_log *log = NULL;
  qds_context *ctx = create("cpu", path, 0, NULL, &d);
  work(qds_context_allocator(ctx), 9, 5);
  qds_context_destroy(ctx);
  assert_ok(qds_file_read(system, path, MIB, &bytes, &length));
  const size_t header = strlen(QDS_TRACE_HEADER);
  for (size_t cut = 0; cut < length; cut += cut < header ? 50 : 1) {
    write_bytes(path, bytes, cut);
    if (qds_trace_read(system, path, &log) != QDS_ERROR_FILE)
      fail_msg("%zu of %zu bytes are read", cut, length);
    assert_null(log);
  }
  assert_fails(qds_trace_read(system, path, &log), QDS_ERROR_FILE, "unfinished");
  static const unsigned char broken[] = {0, 1, 2, 10, 18, 23}; /* kind, place, tag, block and bytes twice */
  for (size_t at = header; at < length; at += QDS_TRACE_RECORD_BYTES) {
    if (bytes[at] != QDS_TRACE_TAKE && bytes[at] != QDS_TRACE_GIVE) continue;
    for (size_t i = 0; i < sizeof broken; i++) {
      bytes[at + broken[i]] ^= 0x70;
      write_bytes(path, bytes, length);
      assert_fails(qds_trace_read(system, path, &log), QDS_ERROR_FILE, "damaged");
      bytes[at + broken[i]] ^= 0x70;
    }
  }
  bytes[19]--;
  write_bytes(path, bytes, length);
  assert_fails(qds_trace_read(system, path, &log), QDS_ERROR_FILE, "another version");
}

#define IN_FOLDER(name) cmocka_unit_test_setup_teardown(name, folder_setup, folder_teardown)

int main(void) {
  const struct CMUnitTest tests[] = {
      IN_FOLDER(what_is_written_is_read),
      IN_FOLDER(a_replay_has_the_peaks_of_the_run),
      IN_FOLDER(threads_share_a_trace),
      IN_FOLDER(blocks_of_a_device_are_in_it),
      IN_FOLDER(buffers_are_in_it_wherever_they_lie),
      IN_FOLDER(leaks_are_still_found),
      IN_FOLDER(every_allocation_may_fail),
      IN_FOLDER(files_that_cannot_be_written_are_named),
      IN_FOLDER(damaged_traces_are_refused),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}

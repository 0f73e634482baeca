#include "support.h"

#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include "folder.h"

/* Everything that a context tells its user. */
typedef struct {
  int logs, reports, answer;
  qds_log_level level;
  double fraction;
  char text[256], phase[32], detail[64];
} diary;

static void note_log(void *user, qds_log_level level, const char *text) {
  diary *d = user;
  d->logs++;
  d->level = level;
  snprintf(d->text, sizeof d->text, "%s", text);
}

static int note_progress(void *user, const char *phase, double fraction, const char *detail) {
  diary *d = user;
  d->reports++;
  d->fraction = fraction;
  snprintf(d->phase, sizeof d->phase, "%s", phase);
  snprintf(d->detail, sizeof d->detail, "%s", detail);
  return d->answer;
}

static qds_context *create(diary *d, size_t limit) {
  qds_context *ctx;
  qds_context_options options = QDS_CONTEXT_OPTIONS_INIT;
  *d = (diary){0};
  options.log = note_log;
  options.progress = note_progress;
  options.user = d;
  options.memory_limit = limit;
  assert_ok(qds_context_create(&options, &ctx));
  return ctx;
}

static void defaults(void **state) {
  (void)state;
  qds_context *ctx;
  cpu_set_t set;
  assert_int_equal(sched_getaffinity(0, sizeof set, &set), 0);
  assert_ok(qds_context_create(NULL, &ctx));
  assert_true(qds_context_threads(ctx) >= 1 && qds_context_threads(ctx) <= CPU_COUNT(&set));
  assert_string_equal(qds_context_device(ctx), "cpu");
  assert_int_equal(qds_context_seed(ctx), 0);
  qds_log(ctx, QDS_LOG_INFO, "nobody listens");
  assert_ok(qds_progress(ctx, "solve", 0.5, "nobody looks"));
  qds_context_destroy(ctx);
  qds_context_destroy(NULL);
}

/* Told once for each task, counted each time. */
static void falling_back_is_told_once(void **state) {
  (void)state;
  diary d;
  qds_context *ctx = create(&d, 0);
  qds_context_fall_back(ctx, "it has 2.1 GiB free and 9 GiB are needed");
  assert_int_equal(d.level, QDS_LOG_WARNING);
  assert_non_null(strstr(d.text, "9 GiB are needed; the CPU solves instead"));
  qds_context_fall_back(ctx, "it has 980 MiB free and 9 GiB are needed");
  assert_int_equal(d.level, QDS_LOG_DEBUG);
  qds_context_fall_back(ctx, "it has no kernels");
  assert_int_equal(d.level, QDS_LOG_WARNING);
  qds_context_fall_back(ctx, "it has no kernels");
  assert_int_equal(d.level, QDS_LOG_DEBUG);
  qds_context_forget_fall_back(ctx);
  qds_context_fall_back(ctx, "it has no kernels");
  assert_int_equal(d.level, QDS_LOG_WARNING);
  assert_int_equal(qds_context_fallbacks(ctx), 5);
  qds_context_destroy(ctx);
}

/* Where the CPU is the better place, only those hear of it who asked for another one. */
static void preferring_the_cpu_is_told_to_who_asked_for_the_device(void **state) {
  (void)state;
  for (int named = 0; named < 2; named++) {
    diary d = {0};
    qds_context *ctx;
    qds_context_options options = QDS_CONTEXT_OPTIONS_INIT;
    options.device = named ? "sim" : "auto";
    options.log = note_log;
    options.user = &d;
    assert_ok(qds_context_create(&options, &ctx));
    qds_context_prefer_cpu(ctx, "small operators are diagonalised");
    assert_int_equal(d.level, named ? QDS_LOG_WARNING : QDS_LOG_DEBUG);
    assert_non_null(strstr(d.text, "small operators are diagonalised; the CPU solves instead"));
    assert_int_equal(qds_context_fallbacks(ctx), 1);
    qds_context_destroy(ctx);
  }
}

/* What the child of fork makes of a context with work under way: 0, or where it went wrong. */
static int use_and_destroy(qds_context *ctx, void *block) {
  qds_stream *stream = qds_context_stream(ctx);
  char number = 1;
  if (qds_stream_copy(stream, &number, block, 1) != QDS_ERROR_UNSUPPORTED) return 1;
  if (!strstr(qds_last_error()->message, "made by fork")) return 2;
  if (qds_stream_synchronise(stream) != QDS_ERROR_UNSUPPORTED) return 3;
  qds_stream_release(stream, block);
  qds_context_destroy(ctx);
  return 0;
}

static void the_child_of_fork_cannot_use_the_device(void **state) {
  (void)state;
  int leaks = 0, ended;
  void *block;
  qds_context *ctx;
  qds_context_options options = QDS_CONTEXT_OPTIONS_INIT;
  options.device = "sim";
  options.threads = 1;
  options.log = support_log;
  options.user = &leaks;
  assert_ok(qds_context_create(&options, &ctx));
  qds_stream *stream = qds_context_stream(ctx);
  assert_ok(qds_stream_allocate(stream, 1, 4096, "test", __FILE__, __LINE__, &block));
  assert_ok(qds_stream_fill(stream, block, 7, 4096));
  const pid_t child = fork();
  if (child == 0) {
    alarm(20);
    _exit(use_and_destroy(ctx, block));
  }
  assert_int_equal(waitpid(child, &ended, 0), child);
  assert_int_equal(ended, 0);
  char number = 0;
  assert_ok(qds_stream_fetch(stream, &number, block, 1));
  assert_int_equal(number, 7);
  qds_stream_release(stream, block);
  qds_context_destroy(ctx);
  assert_int_equal(leaks, 0);
}

static void options_are_checked(void **state) {
  (void)state;
  qds_context *ctx;
  qds_context_options options = QDS_CONTEXT_OPTIONS_INIT;
  options.threads = 3;
  options.seed = 42;
  options.device = "auto";
  assert_ok(qds_context_create(&options, &ctx));
  assert_int_equal(qds_context_threads(ctx), 3);
  assert_int_equal(qds_context_seed(ctx), 42);
  qds_context_destroy(ctx);
  options.threads = -1;
  assert_fails(qds_context_create(&options, &ctx), QDS_ERROR_ARGUMENT, "threads -1");
  assert_null(ctx);
  options.threads = 4097;
  assert_fails(qds_context_create(&options, &ctx), QDS_ERROR_ARGUMENT, "threads 4097");
  options.threads = 1;
  options.device = "cuda:99";
  assert_fails(qds_context_create(&options, &ctx), QDS_ERROR_UNSUPPORTED, "no device \"cuda");
  const char *const unknown[] = {"", "gpu", "cuda:", "cuda:x", "cuda:-1", "cpu:1", "cud", "cuda:1x"};
  for (size_t i = 0; i < sizeof unknown / sizeof *unknown; i++) {
    options.device = unknown[i];
    assert_fails(qds_context_create(&options, &ctx), QDS_ERROR_ARGUMENT, "allowed are auto, cpu, cuda");
  }
  options.device = "cpu";
  options.struct_size = 8;
  assert_fails(qds_context_create(&options, &ctx), QDS_ERROR_ARGUMENT, "QDS_CONTEXT_OPTIONS_INIT");
  assert_fails(qds_context_create(NULL, NULL), QDS_ERROR_ARGUMENT, "out is NULL");
}

static void messages_and_leaks(void **state) {
  (void)state;
  diary d;
  char *block;
  qds_context *ctx = create(&d, 0);
  qds_log(ctx, QDS_LOG_WARNING, "%d states", 5);
  assert_true(d.logs == 1 && d.level == QDS_LOG_WARNING);
  assert_string_equal(d.text, "5 states");
  assert_ok(QDS_NEW(qds_context_allocator(ctx), 12, "psi", &block));
  qds_context_destroy(ctx);
  assert_true(d.logs == 2 && d.level == QDS_LOG_ERROR);
  assert_non_null(strstr(d.text, "leak: 12 bytes of \"psi\" from"));
  assert_non_null(strstr(d.text, "test_context.c:"));
}

/* The first report of a context comes through; the next one not before a tenth of a second has passed. */
static void progress_is_throttled(void **state) {
  (void)state;
  diary d;
  qds_context *ctx = create(&d, 0);
  const double start = qds_seconds();
  assert_ok(qds_progress(ctx, "solve", 0.25, "residual %.0e eV", 3e-5));
  assert_int_equal(d.reports, 1);
  assert_string_equal(d.phase, "solve");
  assert_string_equal(d.detail, "residual 3e-05 eV");
  assert_true(d.fraction == 0.25);
  while (d.reports < 3) assert_ok(qds_progress(ctx, "solve", 0.5, "%s", ""));
  assert_true(qds_seconds() - start >= 0.2);
  qds_context_destroy(ctx);
}

static void user_interrupts_through_progress(void **state) {
  (void)state;
  diary d;
  qds_context *ctx = create(&d, 0);
  d.answer = 1;
  assert_fails(qds_progress(ctx, "setup", 0, "%s", ""), QDS_ERROR_INTERRUPTED, "interrupted during setup");
  assert_fails(qds_progress(ctx, "solve", 0, "%s", ""), QDS_ERROR_INTERRUPTED, "interrupted during solve");
  assert_int_equal(d.reports, 1);
  qds_context_resume(ctx);
  assert_ok(qds_progress(ctx, "solve", 0, "%s", ""));
  qds_context_destroy(ctx);
}

static qds_context *signalled;
static void on_signal(int number) {
  (void)number;
  qds_context_interrupt(signalled);
}

static void *interrupt_from_a_thread(void *ctx) {
  qds_context_interrupt(ctx);
  return NULL;
}

static void interrupts_from_signals_and_threads(void **state) {
  (void)state;
  pthread_t thread;
  assert_ok(qds_context_create(NULL, &signalled));
  signal(SIGUSR1, on_signal);
  assert_ok(qds_progress(signalled, "solve", 0, "%s", ""));
  raise(SIGUSR1);
  assert_fails(qds_progress(signalled, "solve", 0, "%s", ""), QDS_ERROR_INTERRUPTED, "solve");
  qds_context_resume(signalled);
  assert_ok(qds_progress(signalled, "solve", 0, "%s", ""));
  assert_int_equal(pthread_create(&thread, NULL, interrupt_from_a_thread, signalled), 0);
  pthread_join(thread, NULL);
  assert_fails(qds_progress(signalled, "solve", 0, "%s", ""), QDS_ERROR_INTERRUPTED, "solve");
  qds_context_destroy(signalled);
}

static void two_contexts_share_nothing(void **state) {
  (void)state;
  diary d1, d2;
  qds_context *one = create(&d1, 1000), *two = create(&d2, 0);
  char *a, *b;
  qds_memory_row row;
  assert_ok(QDS_NEW(qds_context_allocator(one), 900, "a", &a));
  assert_ok(QDS_NEW(qds_context_allocator(two), 5000, "b", &b));
  assert_fails(QDS_NEW(qds_context_allocator(one), 101, "a", &(char *){NULL}), QDS_ERROR_BUDGET, "limit");
  qds_context_memory(one, &row);
  assert_int_equal(row.current_bytes, 900);
  qds_context_memory(two, &row);
  assert_int_equal(row.current_bytes, 5000);
  assert_int_equal(qds_context_memory_tag(two, 0, &row), 1);
  assert_string_equal(row.tag, "b");
  assert_int_equal(qds_context_memory_tag(two, 1, &row), 0);
  /* A block goes home by itself, whoever releases it, and needs no context. */
  qds_release(b);
  qds_release(a);
  qds_context_fail_allocation(one, 1);
  assert_ok(QDS_NEW(qds_context_allocator(two), 1, "b", &b));
  assert_fails(QDS_NEW(qds_context_allocator(one), 1, "a", &a), QDS_ERROR_MEMORY, "injected");
  qds_release(b);
  qds_context_interrupt(one);
  qds_log(one, QDS_LOG_INFO, "one");
  assert_ok(qds_progress(two, "solve", 0, "%s", ""));
  assert_fails(qds_progress(one, "solve", 0, "%s", ""), QDS_ERROR_INTERRUPTED, "solve");
  assert_true(d1.logs == 1 && d2.logs == 0 && d1.reports == 0 && d2.reports == 1);
  qds_context_destroy(one);
  assert_ok(QDS_NEW(qds_context_allocator(two), 1, "b", &b));
  qds_release(b);
  qds_context_destroy(two);
  assert_true(d1.logs == 1 && d2.logs == 0);
}

static void budget_is_checked_before_the_work(void **state) {
  (void)state;
  diary d;
  qds_context *ctx = create(&d, 1 << 20);
  assert_ok(qds_context_reserve_check(ctx, 1 << 20, "the solver"));
  assert_fails(qds_context_reserve_check(ctx, (1 << 20) + 1, "the solver"), QDS_ERROR_BUDGET,
               "the solver needs 1 MiB on top of 0 bytes, the limit is 1 MiB");
  qds_context_destroy(ctx);
}

/* What is given up while blocks are held, and what belongs to a context that cannot be created. */
static void trace_that_is_dropped_leaves_no_file(void **state) {
  qds_context *ctx;
  qds_context_options options = QDS_CONTEXT_OPTIONS_INIT;
  char *before[2], *after;
  const int descriptors = open_descriptors();
  options.memory_trace = in_folder(*state, "run.trace");
  options.device = "sim:99";
  assert_fails(qds_context_create(&options, &ctx), QDS_ERROR_UNSUPPORTED, "sim:99");
  assert_int_equal(folder_entries(*state), 0);
  options.device = "sim";
  assert_ok(qds_context_create(&options, &ctx));
  assert_ok(QDS_NEW(qds_context_allocator(ctx), 100, "small", &before[0]));
  assert_ok(QDS_NEW(qds_context_allocator(ctx), 1 << 21, "large", &before[1]));
  assert_int_equal(folder_entries(*state), 1);
  qds_context_drop_trace(ctx);
  assert_int_equal(folder_entries(*state), 0);
  assert_ok(QDS_NEW(qds_context_allocator(ctx), 100, "small", &after));
  qds_release(before[0]);
  qds_release(before[1]);
  qds_release(after);
  assert_ok(qds_context_end_trace(ctx));
  qds_context_drop_trace(ctx);
  qds_context_destroy(ctx);
  assert_int_equal(folder_entries(*state), 0);
  assert_int_equal(open_descriptors(), descriptors);
}

static int destroyed;
static void count_destroyed(void *object) {
  destroyed += *(int *)object;
}

static void slots_die_with_the_context(void **state) {
  (void)state;
  qds_context *ctx;
  int object = 5;
  destroyed = 0;
  assert_ok(qds_context_create(NULL, &ctx));
  assert_null(qds_context_get(ctx, QDS_SLOT_BLAS));
  qds_context_put(ctx, QDS_SLOT_BLAS, &object, count_destroyed);
  assert_ptr_equal(qds_context_get(ctx, QDS_SLOT_BLAS), &object);
  assert_int_equal(destroyed, 0);
  qds_context_destroy(ctx);
  assert_int_equal(destroyed, 5);
}

static void peak_covers_touched_memory(void **state) {
  (void)state;
  enum { BYTES = 64 << 20, PAGE = 4096 };
  const size_t before = qds_process_peak_bytes();
  volatile char *block = malloc(BYTES);
  assert_true(before > 0 && block);
  for (size_t i = 0; i < BYTES; i += PAGE) block[i] = 1;
  assert_true(qds_process_peak_bytes() >= BYTES && qds_process_peak_bytes() >= before);
  free((void *)block);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(defaults),
      cmocka_unit_test(falling_back_is_told_once),
      cmocka_unit_test(preferring_the_cpu_is_told_to_who_asked_for_the_device),
      cmocka_unit_test(the_child_of_fork_cannot_use_the_device),
      cmocka_unit_test(options_are_checked),
      cmocka_unit_test(messages_and_leaks),
      cmocka_unit_test(progress_is_throttled),
      cmocka_unit_test(user_interrupts_through_progress),
      cmocka_unit_test(interrupts_from_signals_and_threads),
      cmocka_unit_test(two_contexts_share_nothing),
      cmocka_unit_test(budget_is_checked_before_the_work),
      cmocka_unit_test_setup_teardown(trace_that_is_dropped_leaves_no_file, folder_setup, folder_teardown),
      cmocka_unit_test(slots_die_with_the_context),
      cmocka_unit_test(peak_covers_touched_memory),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}

/* What passes the memory limit goes to files: accounts, contents, leaks, failures. */
#include <sys/stat.h>
#include <time.h>

#include "base/philox.h"
#include "folder.h"
#include "mem/provider_file.h"
#include "par/context.h"

enum { MIB = 1 << 20 };

static int setup(void **state) {
  char *folder = strdup("/var/tmp/qdsim-test-XXXXXX");
  *state = folder;
  return folder && mkdtemp(folder) ? 0 : -1;
}

typedef struct {
  int leaks;
  char text[200];
} diary;

static void keep_leak(void *user, qds_log_level level, const char *text) {
  diary *d = user;
  (void)level;
  d->leaks++;
  snprintf(d->text, sizeof d->text, "%s", text);
}

static qds_context *create(size_t limit, const char *folder, diary *d) {
  qds_context *ctx = NULL;
  qds_context_options options = QDS_CONTEXT_OPTIONS_INIT;
  options.threads = 1;
  options.memory_limit = limit;
  options.scratch = folder;
  options.log = keep_leak;
  options.user = d;
  memset(d, 0, sizeof *d);
  assert_ok(qds_context_create(&options, &ctx));
  return ctx;
}

static void large_blocks_beyond_the_limit_go_to_files(void **state) {
  diary d;
  qds_context *ctx = create(20 * MIB, *state, &d);
  qds_allocator *allocator = qds_context_allocator(ctx);
  qds_memory_row row;
  qds_memory_files files;
  double *inside = NULL, *outside = NULL, *small = NULL;
  assert_ok(QDS_NEW(allocator, 4 * MIB / 8, "inside", &inside));
  qds_context_files(ctx, &files);
  assert_int_equal(files.current_bytes, 0);
  assert_string_equal(files.folder, *state);
  assert_ok(QDS_NEW_ZERO(allocator, 30 * MIB / 8, "outside", &outside));
  assert_ok(QDS_NEW(allocator, 1000, "small", &small));
  assert_int_equal((uintptr_t)outside % QDS_ALIGNMENT, 0);
  for (int64_t i = 0; i < 30 * MIB / 8; i++) assert_true(outside[i] == 0);
  for (int64_t i = 0; i < 30 * MIB / 8; i++) outside[i] = (double)i;
  assert_ok(QDS_RESIZE(allocator, 40 * MIB / 8, "outside", &outside));
  for (int64_t i = 0; i < 30 * MIB / 8; i++) assert_true(outside[i] == (double)i);
  qds_context_files(ctx, &files);
  assert_int_equal(files.current_bytes, 40 * MIB);
  assert_int_equal(files.peak_bytes, 70 * MIB);
  assert_int_equal(files.current_blocks, 1);
  assert_int_equal(files.total_blocks, 2);
  qds_context_memory(ctx, &row);
  assert_true(row.current_bytes >= 4 * MIB && row.current_bytes < 5 * MIB);
  assert_int_equal(folder_entries(*state), 0);
  qds_release(inside);
  qds_release(outside);
  qds_release(small);
  qds_context_files(ctx, &files);
  assert_int_equal(files.current_bytes, 0);
  qds_context_destroy(ctx);
  assert_int_equal(d.leaks, 0);
}

static void a_plan_says_what_stays_in_memory(void **state) {
  diary d;
  static const char *const often[] = {"hot", NULL};
  qds_context *ctx = create(32 * MIB, *state, &d);
  qds_allocator *allocator = qds_context_allocator(ctx);
  size_t file_bytes = 1;
  qds_memory_row row;
  char *cold = NULL, *hot = NULL;
  assert_ok(qds_context_plan(ctx, 20 * MIB, "the solver", often, &file_bytes));
  assert_int_equal(file_bytes, 0);
  assert_ok(qds_context_plan(ctx, 100 * MIB, "the solver", often, &file_bytes));
  assert_int_equal(file_bytes, 68 * MIB);
  assert_ok(QDS_NEW(allocator, 10 * MIB, "cold", &cold));
  assert_ok(QDS_NEW(allocator, 10 * MIB, "hot", &hot));
  qds_context_memory(ctx, &row);
  assert_true(row.current_bytes >= 10 * MIB && row.current_bytes < 11 * MIB);
  qds_release(cold);
  qds_release(hot);
  /* the next work fits again */
  assert_ok(qds_context_plan(ctx, 20 * MIB, "the solver", often, &file_bytes));
  assert_ok(QDS_NEW(allocator, 10 * MIB, "cold", &cold));
  qds_context_memory(ctx, &row);
  assert_true(row.current_bytes >= 10 * MIB);
  qds_release(cold);
  qds_context_destroy(ctx);
}

/* Work that takes more than its plan said: small blocks, which never go to files, still find room. */
static void large_blocks_leave_room_for_small_ones(void **state) {
  enum { LARGE = 40, SMALL = 960 };
  diary d;
  qds_context *ctx = create(32 * MIB, *state, &d);
  qds_allocator *allocator = qds_context_allocator(ctx);
  static const char *const often[] = {"hot", NULL};
  static const char *const tags[] = {"hot", "cold"};
  size_t file_bytes;
  qds_memory_row row;
  qds_memory_files files;
  char *large[LARGE] = {0}, *small[SMALL] = {0};
  assert_ok(qds_context_plan(ctx, 20 * MIB, "the solver", often, &file_bytes));
  for (int i = 0; i < LARGE; i++) assert_ok(QDS_NEW(allocator, MIB, tags[i % 2], &large[i]));
  for (int i = 0; i < SMALL; i++) assert_ok(QDS_NEW(allocator, 1 << 10, "small", &small[i]));
  qds_context_memory(ctx, &row);
  qds_context_files(ctx, &files);
  assert_true(row.current_bytes >= 30 * MIB && row.peak_bytes <= 32 * MIB);
  assert_true(files.current_bytes >= 8 * MIB && files.current_bytes <= 10 * MIB);
  for (int i = 0; i < LARGE; i++) qds_release(large[i]);
  for (int i = 0; i < SMALL; i++) qds_release(small[i]);
  qds_context_destroy(ctx);
  assert_int_equal(d.leaks, 0);
}

static void plans_that_cannot_be_kept_are_refused(void **state) {
  diary d;
  size_t bytes;
  qds_context *ctx = create(8 * MIB, *state, &d);
  assert_fails(qds_context_plan(ctx, 9 * MIB, "the solver", NULL, &bytes), QDS_ERROR_BUDGET,
               "from a limit of 16 MiB");
  qds_context_destroy(ctx);
  ctx = create(32 * MIB, "/nowhere/at/all", &d);
  assert_ok(qds_context_plan(ctx, 9 * MIB, "the solver", NULL, &bytes));
  assert_fails(qds_context_plan(ctx, 90 * MIB, "the solver", NULL, &bytes), QDS_ERROR_BUDGET,
               "/nowhere/at/all");
  char *block = NULL;
  assert_fails(QDS_NEW(qds_context_allocator(ctx), 90 * MIB, "x", &block), QDS_ERROR_FILE, "/nowhere/at/all");
  assert_null(block);
  /* what fits needs no files */
  assert_ok(QDS_NEW(qds_context_allocator(ctx), 31 * MIB, "x", &block));
  qds_release(block);
  qds_context_destroy(ctx);
  ctx = create(32 * MIB, *state, &d);
  assert_fails(qds_context_plan(ctx, (size_t)1 << 60, "the solver", NULL, &bytes), QDS_ERROR_BUDGET,
               "free for");
  qds_context_destroy(ctx);
  ctx = create(32 * MIB, "", &d);
  assert_fails(qds_context_plan(ctx, 33 * MIB, "the solver", NULL, &bytes), QDS_ERROR_BUDGET,
               "the limit is 32 MiB");
  assert_fails(QDS_NEW(qds_context_allocator(ctx), 33 * MIB, "x", &block), QDS_ERROR_BUDGET,
               "limit of 32 MiB");
  qds_context_destroy(ctx);
}

static void leaks_in_files_are_reported(void **state) {
  diary d;
  qds_context *ctx = create(16 * MIB, *state, &d);
  char *block = NULL;
  const int descriptors = open_descriptors();
  assert_ok(QDS_NEW(qds_context_allocator(ctx), 20 * MIB, "forgotten", &block));
  qds_context_destroy(ctx);
  assert_int_equal(d.leaks, 1);
  assert_non_null(strstr(d.text, "forgotten"));
  assert_non_null(strstr(d.text, "test_overflow.c"));
  assert_int_equal(open_descriptors(), descriptors);
}

static qds_status take_three(qds_context *ctx, void *data) {
  QDS_AUTO_RELEASE char *a = NULL, *b = NULL, *c = NULL;
  (void)data;
  QDS_TRY(QDS_NEW(qds_context_allocator(ctx), 20 * MIB, "a", &a));
  QDS_TRY(QDS_NEW(qds_context_allocator(ctx), MIB, "b", &b));
  return QDS_NEW(qds_context_allocator(ctx), 18 * MIB, "c", &c);
}

static void every_allocation_may_fail(void **state) {
  diary d;
  qds_context *ctx = create(16 * MIB, *state, &d);
  assert_int_equal(fail_each_allocation(ctx, take_three, NULL), 3);
  qds_memory_files files;
  qds_context_files(ctx, &files);
  assert_int_equal(files.current_bytes, 0);
  qds_context_destroy(ctx);
  assert_int_equal(d.leaks, 0);
}

/* Threads take, fill, check and give back blocks on both sides of the limit. */
static void threads_share_the_limit(void **state) {
  enum { THREADS = 4, STEPS = 60, SLOTS = 3 };
  diary d;
  qds_context *ctx = create(16 * MIB, *state, &d);
  const uint64_t seed = (uint64_t)time(NULL);
  int wrong = 0;
#pragma omp parallel for num_threads(THREADS) reduction(+ : wrong)
  for (int thread = 0; thread < THREADS; thread++) {
    uint64_t *slot[SLOTS] = {0};
    size_t count[SLOTS] = {0};
    for (uint64_t step = 0; step < STEPS; step++) {
      const uint64_t stream = 1 + (uint64_t)thread;
      const size_t s = (size_t)(qds_random_uniform(seed, stream, 2 * step) * SLOTS);
      for (size_t i = 0; i < count[s]; i++) wrong += slot[s][i] != s + i;
      qds_release(slot[s]);
      slot[s] = NULL;
      count[s] = (size_t)(qds_random_uniform(seed, stream, 2 * step + 1) * 3 * MIB / 8);
      if (QDS_NEW(qds_context_allocator(ctx), count[s], "shared", &slot[s]) != QDS_OK) wrong++, count[s] = 0;
      for (size_t i = 0; i < count[s]; i++) slot[s][i] = s + i;
    }
    for (int s = 0; s < SLOTS; s++) qds_release(slot[s]);
  }
  qds_memory_row row;
  qds_memory_files files;
  qds_context_memory(ctx, &row);
  qds_context_files(ctx, &files);
  assert_int_equal(wrong, 0);
  assert_true(row.peak_bytes <= 16 * MIB && row.current_bytes == 0);
  assert_true(files.total_blocks > 0 && files.current_blocks == 0 && files.current_bytes == 0);
  qds_context_destroy(ctx);
  assert_int_equal(d.leaks, 0);
}

#define IN_FOLDER(name) cmocka_unit_test_setup_teardown(name, setup, folder_teardown)

int main(void) {
  const struct CMUnitTest tests[] = {
      IN_FOLDER(large_blocks_beyond_the_limit_go_to_files),
      IN_FOLDER(a_plan_says_what_stays_in_memory),
      IN_FOLDER(large_blocks_leave_room_for_small_ones),
      IN_FOLDER(plans_that_cannot_be_kept_are_refused),
      IN_FOLDER(leaks_in_files_are_reported),
      IN_FOLDER(every_allocation_may_fail),
      IN_FOLDER(threads_share_the_limit),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}

/* Budgets: which buffers move down the chain device, pinned, host, file, in which order, what is counted, and
 * what happens when they cannot. */
#include "buffers.h"

#include <errno.h>
#include <signal.h>
#include <sys/resource.h>
#include <unistd.h>

static int valid_at(qds_buffer *b, qds_place place) {
  qds_buffer_info info;
  qds_buffer_get_info(b, &info);
  return info.valid[place];
}

static qds_place place_of(qds_buffer *b) {
  qds_buffer_info info;
  qds_buffer_get_info(b, &info);
  for (int i = 0; i < QDS_PLACES; i++)
    if (info.valid[i]) return (qds_place)i;
  return QDS_PLACES;
}

/* Filled with a pattern each; through the host for memory that the host may not touch. */
static void make_on(qds_context *ctx, qds_mem_strategy strategy, size_t bytes, qds_buffer **b, int count) {
  for (int i = 0; i < count; i++) {
    assert_ok(qds_buffer_create(ctx, bytes, strategy, "filled", &b[i]));
    if (strategy != QDS_MEM_GPU_ONLY) {
      buffer_put(b[i], bytes, (uint64_t)i);
      continue;
    }
    qds_buffer *source;
    assert_ok(qds_buffer_create(ctx, bytes, QDS_MEM_CPU_ONLY, "source", &source));
    buffer_put(source, bytes, (uint64_t)i);
    assert_ok(qds_buffer_copy(b[i], source, NULL));
    assert_ok(qds_buffer_destroy(source));
  }
}

static void destroy_all(qds_buffer **b, int count) {
  for (int i = 0; i < count; i++) assert_ok(qds_buffer_destroy(b[i]));
}

static void touch(qds_buffer *b, qds_place place) {
  void *p;
  assert_ok(qds_buffer_acquire(b, place, QDS_ACCESS_READ, NULL, &p));
  assert_ok(qds_buffer_release(b, NULL));
}

static void check_all(qds_context *ctx, qds_buffer **b, int count, size_t bytes) {
  qds_buffer *back;
  qds_buffer_info info;
  qds_buffer_get_info(b[0], &info);
  if (info.strategy != QDS_MEM_GPU_ONLY) {
    for (int i = 0; i < count; i++) buffer_check(b[i], bytes, (uint64_t)i);
    return;
  }
  assert_ok(qds_buffer_create(ctx, bytes, QDS_MEM_CPU_ONLY, "back", &back));
  for (int i = 0; i < count; i++) {
    assert_ok(qds_buffer_copy(back, b[i], NULL));
    buffer_check(back, bytes, (uint64_t)i);
  }
  assert_ok(qds_buffer_destroy(back));
}

/* --- the chain ------------------------------------------------------------------------------------------ */

/* Room for three: the fourth sends the least recently used away, and an acquired one stays. */
static void oldest_goes_first(qds_context *ctx) {
  qds_buffer *b[4];
  void *p;
  make_on(ctx, QDS_MEM_CPU_ONLY, 100000, b, 2);
  touch(b[0], QDS_PLACE_HOST);
  assert_ok(qds_buffer_create(ctx, 100000, QDS_MEM_CPU_ONLY, "third", &b[2]));
  buffer_put(b[2], 100000, 2);
  assert_ok(qds_buffer_create(ctx, 100000, QDS_MEM_CPU_ONLY, "fourth", &b[3]));
  buffer_put(b[3], 100000, 3);
  assert_int_equal(place_of(b[0]), QDS_PLACE_HOST);
  assert_int_equal(place_of(b[1]), QDS_PLACE_FILE);
  assert_ok(qds_buffer_acquire(b[0], QDS_PLACE_HOST, QDS_ACCESS_READ, NULL, &p));
  touch(b[2], QDS_PLACE_HOST);
  touch(b[3], QDS_PLACE_HOST);
  touch(b[1], QDS_PLACE_HOST); /* comes back; b[0] is the oldest, but held */
  assert_int_equal(place_of(b[0]), QDS_PLACE_HOST);
  assert_int_equal(place_of(b[2]), QDS_PLACE_FILE);
  const qds_memory_statistics s = statistics_of(ctx);
  assert_int_equal(s.spills, 2);
  assert_int_equal(s.spilled_bytes, 200000);
  assert_int_equal(s.returns, 1);
  assert_int_equal(s.returned_bytes, 100000);
  assert_int_equal(s.moves[QDS_PLACE_HOST][QDS_PLACE_FILE], 200000);
  assert_int_equal(s.moves[QDS_PLACE_FILE][QDS_PLACE_HOST], 100000);
  assert_int_equal(s.places[QDS_PLACE_HOST].current_bytes, 300000);
  assert_int_equal(s.places[QDS_PLACE_FILE].current_bytes, 200000); /* the copy of b[1] is still valid */
  assert_ok(qds_buffer_release(b[0], NULL));
  check_all(ctx, b, 3, 100000);
  destroy_all(b, 4);
  for (int i = 0; i < QDS_PLACES; i++) assert_int_equal(statistics_of(ctx).places[i].current_bytes, 0);
}

static void test_oldest_goes_first(void **state) {
  (void)state;
  with_limits(350000, 0, 0, oldest_goes_first);
}

/* What was only read since it came back needs no second copy to the file. */
static void unchanged_needs_no_copy(qds_context *ctx) {
  qds_buffer *b[3];
  make_on(ctx, QDS_MEM_CPU_ONLY, 100000, b, 3);
  for (int i = 0; i < 9; i++) touch(b[i % 3], QDS_PLACE_HOST);
  assert_int_equal(statistics_of(ctx).moves[QDS_PLACE_HOST][QDS_PLACE_FILE], 300000);
  destroy_all(b, 3);
}

static void test_unchanged_needs_no_copy(void **state) {
  (void)state;
  with_limits(250000, 0, 0, unchanged_needs_no_copy);
}

/* Room for 4 buffers on the device, 2 in page-locked memory and 4 on the host, and 12 buffers: each link of
 * the chain is used. */
static void chain_is_walked(qds_context *ctx) {
  enum { COUNT = 12 };
  if (!has_device(ctx)) return;
  const size_t block = buffers_unit / 2;
  qds_memory_options options = QDS_MEMORY_OPTIONS_INIT;
  options.pinned_limit = 2 * block;
  assert_ok(qds_memory_configure(ctx, &options));
  for (int s = 0; s < QDS_MEM_STRATEGIES; s++) {
    if (s == QDS_MEM_CPU_ONLY || s == QDS_MEM_UNIFIED) continue;
    qds_buffer *b[COUNT];
    make_on(ctx, (qds_mem_strategy)s, block, b, COUNT);
    for (int i = 0; i < COUNT; i++) touch(b[i], QDS_PLACE_DEVICE);
    int at[QDS_PLACES] = {0};
    for (int i = 0; i < COUNT; i++) {
      assert_int_not_equal(place_of(b[i]), QDS_PLACES);
      for (int place = 0; place < QDS_PLACES; place++) at[place] += valid_at(b[i], (qds_place)place);
    }
    assert_true(at[QDS_PLACE_DEVICE] > 0);
    assert_int_equal(at[QDS_PLACE_PINNED], 2);
    assert_true(at[QDS_PLACE_HOST] > 0);
    assert_true(at[QDS_PLACE_FILE] > 0);
    check_all(ctx, b, COUNT, block);
    for (int i = COUNT - 1; i >= 0; i--) touch(b[i], QDS_PLACE_DEVICE);
    check_all(ctx, b, COUNT, block);
    destroy_all(b, COUNT);
  }
  const qds_memory_statistics m = statistics_of(ctx);
  for (int i = 0; i < QDS_PLACES; i++) assert_int_equal(m.places[i].current_bytes, 0);
  assert_true(m.places[QDS_PLACE_PINNED].peak_bytes <= 2 * block);
  assert_true(m.places[QDS_PLACE_HOST].peak_bytes <= 4 * block + 100000);
  assert_true(m.places[QDS_PLACE_DEVICE].peak_bytes <= 4 * block);
}

static void test_chain_is_walked(void **state) {
  (void)state;
  with_limits(100000, 2, 2, chain_is_walked);
}

/* Unified memory goes to the host and comes back to one address for both. */
static void unified_spills(qds_context *ctx) {
  qds_buffer *b[4];
  size_t freed;
  make_on(ctx, QDS_MEM_UNIFIED, 100000, b, 4);
  const qds_place home = has_device(ctx) ? QDS_PLACE_UNIFIED : QDS_PLACE_HOST;
  assert_ok(qds_memory_spill(ctx, home, 250000, &freed));
  assert_int_equal(freed, 300000);
  for (int i = 0; i < 4; i++) assert_int_equal(valid_at(b[i], home), i == 3);
  check_all(ctx, b, 4, 100000);
  for (int i = 0; i < 4; i++) touch(b[i], QDS_PLACE_DEVICE);
  for (int i = 0; i < 4; i++) assert_true(valid_at(b[i], home));
  destroy_all(b, 4);
}

static void test_unified_spills(void **state) {
  (void)state;
  with_limits(0, 0, 0, unified_spills);
}

static void spill_by_hand(qds_context *ctx) {
  qds_buffer *b[1];
  size_t freed;
  make_on(ctx, QDS_MEM_ADAPTIVE, 100000, b, 1);
  assert_ok(qds_buffer_prefetch(b[0], QDS_PLACE_DEVICE, NULL));
  assert_ok(qds_buffer_spill(b[0], QDS_PLACE_PINNED));
  assert_int_equal(place_of(b[0]), has_device(ctx) ? QDS_PLACE_PINNED : QDS_PLACE_HOST);
  assert_ok(qds_buffer_spill(b[0], QDS_PLACE_HOST));
  assert_int_equal(place_of(b[0]), QDS_PLACE_HOST);
  assert_ok(qds_buffer_spill(b[0], QDS_PLACE_FILE));
  assert_int_equal(place_of(b[0]), QDS_PLACE_FILE);
  qds_memory_statistics s = statistics_of(ctx);
  for (int i = 0; i < QDS_PLACES; i++)
    assert_int_equal(s.places[i].current_bytes, i == QDS_PLACE_FILE ? 100000 : 0);
  check_all(ctx, b, 1, 100000);
  assert_ok(qds_memory_spill(ctx, QDS_PLACE_DEVICE, SIZE_MAX, &freed));
  assert_int_equal(freed, 0); /* there is nothing, and that is no error */
  assert_fails(qds_memory_spill(ctx, QDS_PLACE_FILE, 1, &freed), QDS_ERROR_ARGUMENT, "spilled from");
  destroy_all(b, 1);
}

static void test_spill_by_hand(void **state) {
  (void)state;
  with_limits(0, 0, 0, spill_by_hand);
}

/* What the library itself wants on the device comes before buffers that nobody holds. */
static void device_makes_room(qds_context *ctx) {
  if (!has_device(ctx)) return;
  enum { COUNT = 3 };
  const size_t block = buffers_unit / 4 * 3;
  qds_stream *stream = qds_context_stream(ctx);
  qds_buffer *b[COUNT];
  char *memory = NULL;
  void *p;
  make_on(ctx, QDS_MEM_GPU_ONLY, block, b, COUNT);
  assert_ok(QDS_STREAM_NEW(stream, 2 * buffers_unit - 4096, "workspace", &memory));
  for (int i = 0; i < COUNT; i++) assert_int_equal(valid_at(b[i], QDS_PLACE_DEVICE), 0);
  qds_stream_release(stream, memory);
  check_all(ctx, b, COUNT, block);
  for (int i = 0; i < COUNT - 1; i++)
    assert_ok(qds_buffer_acquire(b[i], QDS_PLACE_DEVICE, QDS_ACCESS_READ, NULL, &p));
  assert_fails(QDS_STREAM_NEW(stream, 2 * buffers_unit - 4096, "workspace", &memory), QDS_ERROR_BUDGET,
               "workspace");
  for (int i = 0; i < COUNT - 1; i++) assert_ok(qds_buffer_release(b[i], NULL));
  destroy_all(b, COUNT);
}

static void test_device_makes_room(void **state) {
  (void)state;
  with_limits(0, 0, 3, device_makes_room);
}

/* --- refusals ------------------------------------------------------------------------------------------- */

/* Nothing can be moved: the budget's own message stands, and nothing is lost. */
static void held_buffers_stay(qds_context *ctx) {
  qds_buffer *b[3];
  void *p;
  make_on(ctx, QDS_MEM_CPU_ONLY, 100000, b, 2);
  assert_ok(qds_buffer_create(ctx, 200000, QDS_MEM_CPU_ONLY, "large", &b[2]));
  assert_int_equal(place_of(b[0]), QDS_PLACE_HOST);
  assert_ok(qds_buffer_acquire(b[0], QDS_PLACE_HOST, QDS_ACCESS_READ, NULL, &p));
  assert_fails(qds_buffer_acquire(b[2], QDS_PLACE_HOST, QDS_ACCESS_DISCARD, NULL, &p), QDS_ERROR_BUDGET,
               "memory budget exceeded");
  assert_ok(qds_buffer_release(b[0], NULL));
  assert_ok(qds_buffer_acquire(b[2], QDS_PLACE_HOST, QDS_ACCESS_DISCARD, NULL, &p));
  assert_ok(qds_buffer_release(b[2], NULL));
  check_all(ctx, b, 2, 100000);
  destroy_all(b, 3);
}

static void test_held_buffers_stay(void **state) {
  (void)state;
  with_limits(250000, 0, 0, held_buffers_stay);
}

static void switched_off(qds_context *ctx) {
  qds_memory_options options = QDS_MEMORY_OPTIONS_INIT;
  qds_buffer *b[2];
  void *p;
  options.spill = 0;
  assert_ok(qds_memory_configure(ctx, &options));
  make_on(ctx, QDS_MEM_CPU_ONLY, 60000, b, 1);
  assert_ok(qds_buffer_create(ctx, 60000, QDS_MEM_CPU_ONLY, "second", &b[1]));
  assert_fails(qds_buffer_acquire(b[1], QDS_PLACE_HOST, QDS_ACCESS_DISCARD, NULL, &p), QDS_ERROR_BUDGET,
               "memory budget exceeded");
  assert_int_equal(statistics_of(ctx).places[QDS_PLACE_FILE].total_blocks, 0);
  check_all(ctx, b, 1, 60000);
  destroy_all(b, 2);
}

static void test_spilling_can_be_switched_off(void **state) {
  (void)state;
  with_limits(100000, 0, 0, switched_off);
}

/* A failing file leaves the buffer valid where it was, and the message names the folder and the reason. */
static void files_fail(qds_context *ctx, const char *folder, size_t file_limit, qds_status status,
                       const char *text) {
  qds_memory_options options = QDS_MEMORY_OPTIONS_INIT;
  qds_buffer *b[2];
  void *p;
  options.spill_folder = folder;
  options.file_limit = file_limit;
  assert_ok(qds_memory_configure(ctx, &options));
  make_on(ctx, QDS_MEM_CPU_ONLY, 60000, b, 1);
  assert_ok(qds_buffer_create(ctx, 60000, QDS_MEM_CPU_ONLY, "second", &b[1]));
  assert_fails(qds_buffer_spill(b[0], QDS_PLACE_FILE), status, text);
  assert_int_equal(place_of(b[0]), QDS_PLACE_HOST);
  assert_fails(qds_buffer_acquire(b[1], QDS_PLACE_HOST, QDS_ACCESS_DISCARD, NULL, &p), QDS_ERROR_BUDGET,
               text);
  if (!strstr(qds_last_error()->message, "\"filled\" (test_buffer_spill.c"))
    fail_msg("the message names no buffer: %s", qds_last_error()->message);
  assert_int_equal(place_of(b[0]), QDS_PLACE_HOST);
  assert_int_equal(statistics_of(ctx).places[QDS_PLACE_FILE].current_bytes, 0);
  assert_true(statistics_of(ctx).refused_spills > 0);
  check_all(ctx, b, 1, 60000);
  destroy_all(b, 2);
}

static void no_folder(qds_context *ctx) {
  files_fail(ctx, "/nowhere/at/all", 0, QDS_ERROR_FILE,
             "/nowhere/at/all: no spill file of 59 KiB can be made");
}
static void no_files(qds_context *ctx) {
  files_fail(ctx, "", 0, QDS_ERROR_FILE, "nothing may be moved to files");
}
static void folder_in_memory(qds_context *ctx) {
  if (access("/dev/shm", W_OK) == 0)
    files_fail(ctx, "/dev/shm", 0, QDS_ERROR_FILE, "\"/dev/shm\" lies in memory (tmpfs)");
}
static void unwritable_folder(qds_context *ctx) {
  files_fail(ctx, "/proc", 0, QDS_ERROR_FILE, "/proc: no spill file");
}
static void file_limit(qds_context *ctx) {
  files_fail(ctx, NULL, 59999, QDS_ERROR_BUDGET, "59 KiB of file memory");
}

static void test_folder_is_missing(void **state) {
  (void)state;
  with_limits(100000, 0, 0, no_folder);
}
static void test_files_are_forbidden(void **state) {
  (void)state;
  with_limits(100000, 0, 0, no_files);
}
static void test_folder_lies_in_memory(void **state) {
  (void)state;
  with_limits(100000, 0, 0, folder_in_memory);
}
static void test_folder_is_not_writable(void **state) {
  (void)state;
  with_limits(100000, 0, 0, unwritable_folder);
}
static void test_files_have_a_limit(void **state) {
  (void)state;
  with_limits(100000, 0, 0, file_limit);
}

/* The kernel cuts files at 50 000 bytes. */
static void file_size_limit(qds_context *ctx) {
  struct rlimit before, small;
  assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
  void (*handler)(int) = signal(SIGXFSZ, SIG_IGN);
  small = before;
  small.rlim_cur = 50000;
  assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
  files_fail(ctx, NULL, 0, QDS_ERROR_FILE, strerror(EFBIG));
  assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
  signal(SIGXFSZ, handler);
}

static void test_files_are_cut(void **state) {
  (void)state;
  with_limits(100000, 0, 0, file_size_limit);
}

/* No descriptor is left: the file cannot be opened, and nothing is lost. */
static void no_descriptors(qds_context *ctx) {
  struct rlimit before, small;
  assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
  small = before;
  small.rlim_cur = 3;
  assert_int_equal(setrlimit(RLIMIT_NOFILE, &small), 0);
  files_fail(ctx, NULL, 0, QDS_ERROR_FILE, strerror(EMFILE));
  assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
}

static void test_descriptors_run_out(void **state) {
  (void)state;
  with_limits(100000, 0, 0, no_descriptors);
}

/* --- options -------------------------------------------------------------------------------------------- */

static void options_are_checked(qds_context *ctx) {
  qds_memory_options options = QDS_MEMORY_OPTIONS_INIT;
  qds_buffer *b[1];
  options.struct_size--;
  assert_fails(qds_memory_configure(ctx, &options), QDS_ERROR_ARGUMENT, "QDS_MEMORY_OPTIONS_INIT");
  options.struct_size++;
  make_on(ctx, QDS_MEM_CPU_ONLY, 1000, b, 1);
  assert_ok(qds_memory_configure(ctx, &options));
  assert_ok(qds_buffer_spill(b[0], QDS_PLACE_FILE));
  assert_ok(qds_memory_configure(ctx, &options));
  options.spill_folder = "/nowhere";
  assert_fails(qds_memory_configure(ctx, &options), QDS_ERROR_ARGUMENT, "buffers lie in files already");
  check_all(ctx, b, 1, 1000);
  destroy_all(b, 1);
}

static void test_options_are_checked(void **state) {
  (void)state;
  with_limits(0, 0, 0, options_are_checked);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_oldest_goes_first),     cmocka_unit_test(test_unchanged_needs_no_copy),
      cmocka_unit_test(test_chain_is_walked),       cmocka_unit_test(test_unified_spills),
      cmocka_unit_test(test_spill_by_hand),         cmocka_unit_test(test_device_makes_room),
      cmocka_unit_test(test_held_buffers_stay),     cmocka_unit_test(test_spilling_can_be_switched_off),
      cmocka_unit_test(test_folder_is_missing),     cmocka_unit_test(test_files_are_forbidden),
      cmocka_unit_test(test_folder_lies_in_memory), cmocka_unit_test(test_folder_is_not_writable),
      cmocka_unit_test(test_files_have_a_limit),    cmocka_unit_test(test_files_are_cut),
      cmocka_unit_test(test_descriptors_run_out),   cmocka_unit_test(test_options_are_checked),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}

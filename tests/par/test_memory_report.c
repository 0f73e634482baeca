/* The memory account as a table, as JSON and as a timeline. */
#include "support.h"

#include <hdf5.h>
#include <time.h>
#include <unistd.h>

#include "qdsim/memory.h"
#include "qdsim/text.h"

static void pause_s(double seconds) {
  const struct timespec time = {(time_t)seconds, (long)(1e9 * (seconds - (double)(time_t)seconds))};
  nanosleep(&time, NULL);
}

static void report_names_what_holds_memory(qds_context *ctx) {
  char *text = NULL, *json = NULL;
  QDS_AUTO_RELEASE double *block = NULL;
  assert_ok(QDS_NEW(qds_context_allocator(ctx), 1 << 20, "a tag of the test", &block));
  assert_ok(qds_memory_report(ctx, 0, &text));
  assert_ok(qds_memory_report(ctx, 1, &json));
  assert_non_null(strstr(text, "a tag of the test             8 MiB        8 MiB          1"));
  assert_non_null(strstr(text, "large"));
  assert_non_null(strstr(json, "\"a tag of the test\": {\n      \"current_bytes\": 8388608,"));
  assert_non_null(strstr(json, "\"fragmentation\""));
  assert_non_null(strstr(json, "\"process_peak_bytes\""));
  qds_text_destroy(text);
  qds_text_destroy(json);
}

static void expect_row(const char *text, const char *place, const char *tag, const char *most,
                       const char *now) {
  char row[128];
  snprintf(row, sizeof row, "\n%-8s %-22s %12s %12s %10d\n", place, tag, most, now, 1);
  if (!strstr(text, row)) puts(text);
  if (!strstr(text, row)) fail_msg("there is no row%s", row);
}

/* A buffer stands under its own tag at each place where it was, and what passed the limit under files. */
static void test_report_knows_buffers_and_files(void **state) {
  (void)state;
  qds_context *ctx = NULL;
  qds_context_options options = QDS_CONTEXT_OPTIONS_INIT;
  qds_buffer *buffer = NULL;
  double *array = NULL;
  char *text = NULL, *json = NULL;
  options.device = "sim";
  options.threads = 1;
  options.memory_limit = 16 << 20;
  assert_ok(qds_context_create(&options, &ctx));
  assert_ok(qds_buffer_create(ctx, 2 << 20, QDS_MEM_ADAPTIVE, "mine", &buffer));
  assert_ok(qds_buffer_fill(buffer, 0, NULL));
  assert_ok(qds_buffer_acquire(buffer, QDS_PLACE_DEVICE, QDS_ACCESS_READ, NULL, (void **)&array));
  assert_ok(qds_buffer_release(buffer, NULL));
  assert_ok(qds_buffer_spill(buffer, QDS_PLACE_FILE));
  assert_ok(QDS_NEW(qds_context_allocator(ctx), 5 << 20, "large", &array));
  assert_ok(qds_memory_report(ctx, 0, &text));
  assert_ok(qds_memory_report(ctx, 1, &json));
  expect_row(text, "pinned", "mine", "2 MiB", "0 bytes");
  expect_row(text, "device", "mine", "2 MiB", "0 bytes");
  expect_row(text, "file", "mine", "2 MiB", "2 MiB");
  expect_row(text, "file", "beyond the limit", "40 MiB", "40 MiB");
  assert_null(strstr(text, " buffers "));
  assert_non_null(strstr(json, "\"beyond the limit\": {\n      \"current_bytes\": 41943040,"));
  assert_non_null(strstr(json, "\"mine\": {\n        \"pinned\": {"));
  qds_text_destroy(text);
  qds_text_destroy(json);
  qds_release(array);
  assert_ok(qds_buffer_destroy(buffer));
  qds_context_destroy(ctx);
}

static const double *series(const qds_memory_profile *p, const char *wanted) {
  const double *bytes;
  const char *name;
  for (size_t i = 0; (name = qds_memory_profile_series(p, i, &bytes)); i++)
    if (!strcmp(name, wanted)) return bytes;
  fail_msg("no series %s", wanted);
  return NULL;
}

static void timeline_shows_a_block_come_and_go(qds_context *ctx) {
  qds_memory_profile *p = NULL;
  QDS_AUTO_RELEASE double *block = NULL;
  const double *seconds;
  assert_ok(qds_memory_profile_start(ctx, 0.005, &p));
  assert_int_equal(qds_memory_profile_samples(p, &seconds), 0); /* not while it runs */
  pause_s(0.05);
  assert_ok(QDS_NEW(qds_context_allocator(ctx), 1000, "come/go", &block));
  pause_s(0.05);
  qds_release(block);
  block = NULL;
  qds_memory_profile_stop(p);
  qds_memory_profile_stop(p);
  const size_t samples = qds_memory_profile_samples(p, &seconds);
  const double *bytes = series(p, "host/come/go");
  assert_true(samples >= 2);
  double most = 0;
  for (size_t i = 0; i < samples; i++) {
    most = fmax(most, bytes[i]);
    if (i > 0) assert_true(seconds[i] >= seconds[i - 1]);
  }
  assert_close(bytes[0], 0, 0);
  assert_close(most, 8000, 0);
  assert_close(bytes[samples - 1], 0, 0);
  assert_true(series(p, "process/resident")[0] > 1e5);
  qds_memory_profile_destroy(p);
}

/* Buffers stand under the tag that their maker gave, at the place where they are. */
static void timeline_knows_the_tags_of_buffers(qds_context *ctx) {
  qds_memory_profile *p = NULL;
  qds_buffer *buffer = NULL;
  const double *seconds;
  assert_ok(qds_buffer_create(ctx, 5000, QDS_MEM_CPU_ONLY, "mine", &buffer));
  assert_ok(qds_buffer_fill(buffer, 0, NULL));
  assert_ok(qds_memory_profile_start(ctx, 10, &p));
  qds_memory_profile_stop(p);
  const size_t last = qds_memory_profile_samples(p, &seconds) - 1;
  assert_close(series(p, "host/mine")[last], 5000, 0);
  assert_ok(qds_buffer_spill(buffer, QDS_PLACE_FILE));
  qds_memory_profile_destroy(p);
  assert_ok(qds_memory_profile_start(ctx, 10, &p));
  qds_memory_profile_stop(p);
  assert_close(series(p, "host/mine")[0], 0, 0);
  assert_close(series(p, "files/mine")[0], 5000, 0);
  qds_memory_profile_destroy(p);
  assert_ok(qds_buffer_destroy(buffer));
}

static void contexts_join_and_leave(qds_context *ctx) {
  qds_memory_profile *p = NULL;
  qds_context *other = NULL;
  QDS_AUTO_RELEASE double *mine = NULL;
  QDS_AUTO_RELEASE double *theirs = NULL;
  const double *seconds;
  assert_ok(qds_context_create(NULL, &other));
  assert_ok(QDS_NEW(qds_context_allocator(ctx), 1000, "shared tag", &mine));
  assert_ok(QDS_NEW(qds_context_allocator(other), 500, "shared tag", &theirs));
  qds_context *const both[] = {ctx, other};
  assert_ok(qds_memory_profile_start_on(both, 2, 10, &p));
  qds_memory_profile_stop(p);
  assert_true(qds_memory_profile_samples(p, &seconds) == 2); /* at the start and at the end */
  for (int i = 0; i < 2; i++) assert_close(series(p, "host/shared tag")[i], 12000, 0);
  qds_memory_profile_destroy(p);
  assert_ok(qds_memory_profile_start(ctx, 0.005, &p));
  assert_ok(qds_memory_profile_join(p, other));
  assert_ok(qds_memory_profile_join(p, other));
  pause_s(0.05);
  qds_memory_profile_leave(p, other);
  qds_release(theirs);
  theirs = NULL;
  qds_context_destroy(other);
  pause_s(0.02);
  qds_memory_profile_stop(p);
  const size_t samples = qds_memory_profile_samples(p, &seconds);
  const double *bytes = series(p, "host/shared tag");
  double most = 0;
  for (size_t i = 0; i < samples; i++) most = fmax(most, bytes[i]);
  assert_close(bytes[0], 8000, 0);
  assert_close(most, 12000, 0);
  assert_close(bytes[samples - 1], 8000, 0);
  assert_fails(qds_memory_profile_join(p, NULL), QDS_ERROR_ARGUMENT, "no context");
  qds_memory_profile_leave(NULL, ctx);
  qds_memory_profile_destroy(p);
}

/* No byte is left out when the table of series is full. */
static void more_tags_than_series_are_added_up(qds_context *ctx) {
  enum { TAGS = 150 };
  qds_buffer *buffers[TAGS];
  qds_memory_profile *p = NULL;
  for (int i = 0; i < TAGS; i++) {
    char tag[16];
    snprintf(tag, sizeof tag, "tag %d", i);
    assert_ok(qds_buffer_create(ctx, 100, QDS_MEM_CPU_ONLY, tag, &buffers[i]));
    assert_ok(qds_buffer_fill(buffers[i], 0, NULL));
  }
  assert_ok(qds_memory_profile_start(ctx, 10, &p));
  qds_memory_profile_stop(p);
  const double *bytes;
  const char *name;
  double sum = 0;
  for (size_t i = 0; (name = qds_memory_profile_series(p, i, &bytes)); i++)
    if (!strncmp(name, "host/tag ", 9) || !strcmp(name, "host/further tags")) sum += bytes[0];
  assert_true(series(p, "host/further tags")[0] > 0);
  assert_close(sum, 100 * TAGS, 0);
  qds_memory_profile_destroy(p);
  for (int i = 0; i < TAGS; i++) assert_ok(qds_buffer_destroy(buffers[i]));
}

/* Tags, and what their datasets are called in the file. */
static const char *const odd_tags[][2] = {
    {".", "%2E"},
    {"..", "%2E%2E"},
    {"a.b", "a.b"},
    {"a/b", "a%2Fb"},
    {"a b", "a b"},
    {"a%2Fb", "a%252Fb"},
    {"%", "%25"},
    {"", "%"},
    {"/", "%2F"},
    {"_", "_"},
    {"\xff", "%FF"},
    {"\xc3\xa9", "\xc3\xa9"},
    {"\xef\xbf\xbd", "\xef\xbf\xbd"},
    {"cut \xc3", "cut %C3"},
};
enum { ODD_TAGS = sizeof odd_tags / sizeof *odd_tags };

static void assert_in_file(const char *path, const char *dataset, double expected) {
  double values[2] = {0};
  const hid_t file = H5Fopen(path, H5F_ACC_RDONLY, H5P_DEFAULT);
  const hid_t set = H5Dopen2(file, dataset, H5P_DEFAULT);
  assert_true(set >= 0);
  assert_true(H5Dread(set, H5T_NATIVE_DOUBLE, H5S_ALL, H5S_ALL, H5P_DEFAULT, values) >= 0);
  assert_close(values[1], expected, 0);
  H5Dclose(set);
  H5Fclose(file);
}

static void tags_are_exact_and_a_file_holds_them_all(qds_context *ctx) {
  char folder[] = "/tmp/qdsim_profile_XXXXXX", path[64], name[64], command[160];
  qds_memory_profile *p = NULL;
  char *blocks[ODD_TAGS];
  for (size_t i = 0; i < ODD_TAGS; i++)
    assert_ok(QDS_NEW(qds_context_allocator(ctx), 100 + i, odd_tags[i][0], &blocks[i]));
  assert_ok(qds_memory_profile_start(ctx, 10, &p));
  qds_memory_profile_stop(p);
  assert_non_null(mkdtemp(folder));
  snprintf(path, sizeof path, "%s/odd.memory.h5", folder);
  assert_ok(qds_memory_profile_write(p, path));
  for (size_t i = 0; i < ODD_TAGS; i++) {
    snprintf(name, sizeof name, "host/%s", odd_tags[i][0]);
    assert_close(series(p, name)[1], (double)(100 + i), 0);
    snprintf(name, sizeof name, "/memory_profile/host/%s", odd_tags[i][1]);
    assert_in_file(path, name, (double)(100 + i));
    qds_release(blocks[i]);
  }
  qds_memory_profile_destroy(p);
  snprintf(command, sizeof command, "rm %s && rmdir %s", path, folder);
  assert_int_equal(system(command), 0);
}

/* Two that agree in what a table of short names would keep, and those that no table can. */
static void long_tags_are_exact_too(qds_context *ctx) {
  enum { LONG = 1000, TAGS = 40 };
  qds_buffer *buffers[TAGS];
  qds_memory_profile *p = NULL;
  char tag[LONG + 1], name[LONG + 8];
  memset(tag, 'x', LONG);
  tag[LONG] = '\0';
  for (int i = 0; i < TAGS; i++) {
    snprintf(tag + LONG - 3, 4, "%03d", i);
    assert_ok(qds_buffer_create(ctx, 100, QDS_MEM_CPU_ONLY, tag, &buffers[i]));
    assert_ok(qds_buffer_fill(buffers[i], 0, NULL));
  }
  assert_ok(qds_memory_profile_start(ctx, 10, &p));
  qds_memory_profile_stop(p);
  for (int i = 0; i < 2; i++) {
    snprintf(tag + LONG - 3, 4, "%03d", i);
    snprintf(name, sizeof name, "host/%s", tag);
    assert_close(series(p, name)[0], 100, 0);
  }
  const double *bytes;
  const char *found;
  double sum = 0;
  for (size_t i = 0; (found = qds_memory_profile_series(p, i, &bytes)); i++)
    if (!strncmp(found, "host/xxx", 8) || !strcmp(found, "host/further tags")) sum += bytes[0];
  assert_close(sum, 100 * TAGS, 0);
  qds_memory_profile_destroy(p);
  for (int i = 0; i < TAGS; i++) assert_ok(qds_buffer_destroy(buffers[i]));
}

/* A profile without bounds would eat the memory that it watches. */
static void history_is_bounded(qds_context *ctx) {
  qds_memory_profile *p = NULL;
  const double *seconds;
  assert_ok(qds_memory_profile_start(ctx, 1e-6, &p));
  pause_s(1);
  qds_memory_profile_stop(p);
  const size_t samples = qds_memory_profile_samples(p, &seconds);
  assert_in_range(samples, 100, 4096);
  assert_close(seconds[0], 0, 0.5);
  assert_true(seconds[samples - 1] > 0.9);
  qds_memory_profile_destroy(p);
}

static void file_is_whole_or_not_there(qds_context *ctx) {
  char folder[] = "/tmp/qdsim_profile_XXXXXX", path[64], command[160];
  qds_memory_profile *p = NULL;
  assert_non_null(mkdtemp(folder));
  snprintf(path, sizeof path, "%s/run.memory.h5", folder);
  assert_ok(qds_memory_profile_start(ctx, 0, &p));
  assert_fails(qds_memory_profile_write(p, path), QDS_ERROR_ARGUMENT, "stop the profile first");
  qds_memory_profile_stop(p);
  assert_fails(qds_memory_profile_write(p, "/nowhere/run.memory.h5"), QDS_ERROR_FILE, "/nowhere");
  assert_ok(qds_memory_profile_write(p, path));
  assert_int_equal(access(path, R_OK), 0);
  qds_memory_profile_destroy(p);
  snprintf(command, sizeof command, "rm %s && rmdir %s", path, folder);
  assert_int_equal(system(command), 0);
}

static void wrong_intervals_are_refused(qds_context *ctx) {
  qds_memory_profile *p = NULL;
  const double wrong[] = {-1, NAN, INFINITY, 1e9};
  for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
    assert_fails(qds_memory_profile_start(ctx, wrong[i], &p), QDS_ERROR_ARGUMENT,
                 "memory profile: an interval");
    assert_null(p);
  }
  qds_memory_profile_destroy(NULL);
}

static qds_status all_calls(qds_context *ctx, void *data) {
  char *text = NULL;
  (void)data;
  for (int json = 0; json < 2; json++) {
    QDS_TRY(qds_memory_report(ctx, json, &text));
    qds_text_destroy(text);
  }
  qds_memory_profile *p = NULL;
  QDS_TRY(qds_memory_profile_start(ctx, 10, &p));
  const qds_status status = qds_memory_profile_join(p, ctx);
  qds_memory_profile_destroy(p);
  return status;
}

static void memory_runs_out(qds_context *ctx) {
  assert_true(fail_each_allocation(ctx, all_calls, NULL) > 2);
}

#define TEST_IN_CONTEXT(name)                                                                                \
  static void test_##name(void **state) {                                                                    \
    (void)state;                                                                                             \
    with_context(1, name);                                                                                   \
  }
TEST_IN_CONTEXT(report_names_what_holds_memory)
TEST_IN_CONTEXT(timeline_shows_a_block_come_and_go)
TEST_IN_CONTEXT(timeline_knows_the_tags_of_buffers)
TEST_IN_CONTEXT(contexts_join_and_leave)
TEST_IN_CONTEXT(more_tags_than_series_are_added_up)
TEST_IN_CONTEXT(tags_are_exact_and_a_file_holds_them_all)
TEST_IN_CONTEXT(long_tags_are_exact_too)
TEST_IN_CONTEXT(history_is_bounded)
TEST_IN_CONTEXT(file_is_whole_or_not_there)
TEST_IN_CONTEXT(wrong_intervals_are_refused)
TEST_IN_CONTEXT(memory_runs_out)

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_report_names_what_holds_memory),
      cmocka_unit_test(test_report_knows_buffers_and_files),
      cmocka_unit_test(test_timeline_shows_a_block_come_and_go),
      cmocka_unit_test(test_timeline_knows_the_tags_of_buffers),
      cmocka_unit_test(test_contexts_join_and_leave),
      cmocka_unit_test(test_more_tags_than_series_are_added_up),
      cmocka_unit_test(test_tags_are_exact_and_a_file_holds_them_all),
      cmocka_unit_test(test_long_tags_are_exact_too),
      cmocka_unit_test(test_history_is_bounded),
      cmocka_unit_test(test_file_is_whole_or_not_there),
      cmocka_unit_test(test_wrong_intervals_are_refused),
      cmocka_unit_test(test_memory_runs_out),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}

/* The files of a result, all of them or none, and the timeline of the memory in them. */
#include "folder.h"

#include <hdf5.h>
#include <sys/stat.h>

#include "qdsim/dot.h"
#include "qdsim/memory.h"

enum { NODES = 41, STATES = 2 };
static const char with_fields[] =
    "{background: GaAs, states: 2, grid: {x: {from_nm: -9, to_nm: 9, nodes: 41}},"
    " output: {fields: [psi, band_edge]}}";
static const char without_fields[] =
    "{background: GaAs, states: 2, grid: {x: {from_nm: -9, to_nm: 9, nodes: 41}}, output: {fields: []}}";

static const char *test_folder;

/* A device file "tiny.yaml", solved while a profile runs, which samples only when it starts and stops. */
typedef struct {
  qds_device *device;
  qds_memory_profile *profile;
  qds_result *result;
} solved;

static qds_status solve(qds_context *ctx, const char *text, solved *out) {
  *out = (solved){0};
  QDS_TRY(qds_device_parse(ctx, "tiny.yaml", text, NULL, &out->device));
  QDS_TRY(qds_memory_profile_start(ctx, 3600, &out->profile));
  return qds_device_solve(out->device, &out->result);
}

static void forget(solved *s) {
  qds_result_destroy(s->result);
  qds_memory_profile_destroy(s->profile);
  qds_device_destroy(s->device);
}

static int is_there(hid_t file, const char *group, const char *path) {
  return H5Lexists(file, group, H5P_DEFAULT) > 0 && H5Lexists(file, path, H5P_DEFAULT) > 0;
}

static void read_two(hid_t file, const char *path, double values[2]) {
  const hid_t set = H5Dopen2(file, path, H5P_DEFAULT), space = H5Dget_space(set);
  assert_int_equal(H5Sget_simple_extent_npoints(space), 2);
  assert_true(H5Dread(set, H5T_NATIVE_DOUBLE, H5S_ALL, H5S_ALL, H5P_DEFAULT, values) >= 0);
  H5Sclose(space);
  H5Dclose(set);
}

/* The first sample is of the time before the solve, the last of that after everything else was written. */
static void check_timeline(const char *name, const solved *s) {
  const double *seconds;
  double values[2];
  const hid_t file = H5Fopen(in_folder(test_folder, name), H5F_ACC_RDONLY, H5P_DEFAULT);
  assert_true(file >= 0);
  assert_int_equal(qds_memory_profile_samples(s->profile, &seconds), 2); /* 0 while it runs */
  read_two(file, "/memory_profile/time_s", values);
  assert_true(values[0] == seconds[0] && values[1] == seconds[1]);
  read_two(file, "/memory_profile/host/result", values);
  assert_true(values[0] == 0 && values[1] > 0);
  H5Fclose(file);
}

static void timeline_lies_beside_the_fields(qds_context *ctx) {
  const double psi_bytes = STATES * NODES * sizeof(double);
  double before[2], after[2];
  solved s;
  assert_ok(solve(ctx, with_fields, &s));
  assert_int_equal(qds_device_wants_fields(s.device), 1);
  /* What the result holds before the wave functions, which the writing makes. */
  qds_memory_profile *unwritten;
  assert_ok(qds_memory_profile_start(ctx, 3600, &unwritten));
  qds_memory_profile_stop(unwritten);
  assert_ok(qds_memory_profile_write(unwritten, in_folder(test_folder, "before.h5")));
  qds_memory_profile_destroy(unwritten);

  assert_ok(qds_result_write_with_profile(s.result, test_folder, s.profile));
  assert_int_equal(folder_entries(test_folder), 3);
  check_timeline("tiny.vtkhdf", &s);
  const hid_t first = H5Fopen(in_folder(test_folder, "before.h5"), H5F_ACC_RDONLY, H5P_DEFAULT);
  const hid_t file = H5Fopen(in_folder(test_folder, "tiny.vtkhdf"), H5F_ACC_RDONLY, H5P_DEFAULT);
  assert_true(is_there(file, "/VTKHDF", "/VTKHDF/PointData") && is_there(file, "/qdsim", "/qdsim/x"));
  read_two(first, "/memory_profile/host/result", before);
  read_two(file, "/memory_profile/host/result", after);
  assert_true(after[1] >= before[1] + psi_bytes);
  H5Fclose(first);
  H5Fclose(file);
  forget(&s);
}

static void timeline_has_a_file_where_there_are_no_fields(qds_context *ctx) {
  solved s;
  assert_ok(solve(ctx, without_fields, &s));
  assert_int_equal(qds_device_wants_fields(s.device), 0);
  assert_ok(qds_result_write_with_profile(s.result, test_folder, s.profile));
  assert_int_equal(folder_entries(test_folder), 2);
  assert_int_equal(access(in_folder(test_folder, "tiny.json"), R_OK), 0);
  check_timeline("tiny.memory.h5", &s);
  forget(&s);
}

static void no_timeline_where_none_is_given(qds_context *ctx) {
  solved s;
  assert_ok(solve(ctx, with_fields, &s));
  assert_ok(qds_result_write(s.result, test_folder));
  const hid_t file = H5Fopen(in_folder(test_folder, "tiny.vtkhdf"), H5F_ACC_RDONLY, H5P_DEFAULT);
  assert_true(file >= 0 && H5Lexists(file, "/memory_profile", H5P_DEFAULT) == 0);
  H5Fclose(file);
  forget(&s);
  assert_ok(solve(ctx, without_fields, &s));
  assert_ok(qds_result_write(s.result, test_folder));
  assert_int_equal(folder_entries(test_folder), 2);
  forget(&s);
}

/* Each file in turn cannot be written, because a folder has its name: without the timeline's own, the results
 * are there all the same. */
static void all_files_or_none(qds_context *ctx) {
  static const struct {
    const char *device, *folder;
    int left; /* files */
  } cases[] = {{with_fields, "tiny.json", 0},
               {with_fields, "tiny.vtkhdf", 0},
               {without_fields, "tiny.json", 0},
               {without_fields, "tiny.memory.h5", 1}};
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    solved s;
    assert_ok(solve(ctx, cases[i].device, &s));
    assert_int_equal(mkdir(in_folder(test_folder, cases[i].folder), 0777), 0);
    assert_fails(qds_result_write_with_profile(s.result, test_folder, s.profile), QDS_ERROR_FILE,
                 cases[i].folder);
    assert_int_equal(folder_entries(test_folder), 1 + cases[i].left);
    assert_int_equal(rmdir(in_folder(test_folder, cases[i].folder)), 0);
    assert_ok(qds_result_write_with_profile(s.result, test_folder, s.profile)); /* it may be stopped by now */
    assert_int_equal(folder_entries(test_folder), 2);
    for (size_t j = 0; j < sizeof cases / sizeof *cases; j++) unlink(in_folder(test_folder, cases[j].folder));
    forget(&s);
  }
}

static void interrupted_writing_leaves_nothing(qds_context *ctx) {
  solved s;
  assert_ok(solve(ctx, with_fields, &s));
  qds_context_interrupt(ctx);
  assert_fails(qds_result_write_with_profile(s.result, test_folder, s.profile), QDS_ERROR_INTERRUPTED,
               "output");
  assert_int_equal(folder_entries(test_folder), 0);
  forget(&s);
}

static qds_status solve_and_write(qds_context *ctx, void *text) {
  solved s;
  qds_status status = solve(ctx, text, &s);
  if (status == QDS_OK) status = qds_result_write_with_profile(s.result, test_folder, s.profile);
  forget(&s);
  return status;
}

static void memory_runs_out(qds_context *ctx) {
  assert_ok(solve_and_write(ctx, (void *)with_fields)); /* the materials are loaded once */
  assert_true(fail_each_allocation(ctx, solve_and_write, (void *)with_fields) > 50);
  assert_true(fail_each_allocation(ctx, solve_and_write, (void *)without_fields) > 50);
  assert_int_equal(folder_entries(test_folder), 3); /* nothing temporary */
}

#define TEST_IN_FOLDER(name)                                                                                 \
  static void test_##name(void **state) {                                                                    \
    test_folder = *state;                                                                                    \
    with_context(1, name);                                                                                   \
  }
TEST_IN_FOLDER(timeline_lies_beside_the_fields)
TEST_IN_FOLDER(timeline_has_a_file_where_there_are_no_fields)
TEST_IN_FOLDER(no_timeline_where_none_is_given)
TEST_IN_FOLDER(all_files_or_none)
TEST_IN_FOLDER(interrupted_writing_leaves_nothing)
TEST_IN_FOLDER(memory_runs_out)

#define IN_FOLDER(test) cmocka_unit_test_setup_teardown(test, folder_setup, folder_teardown)

int main(void) {
  const struct CMUnitTest tests[] = {
      IN_FOLDER(test_timeline_lies_beside_the_fields),
      IN_FOLDER(test_timeline_has_a_file_where_there_are_no_fields),
      IN_FOLDER(test_no_timeline_where_none_is_given),
      IN_FOLDER(test_all_files_or_none),
      IN_FOLDER(test_interrupted_writing_leaves_nothing),
      IN_FOLDER(test_memory_runs_out),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}

#include "folder.h"

#include <math.h>
#include <sys/stat.h>

#include "mem/limits.h"

/* Writes FOLDER/NAME, making the folders on the way. */
static void put(const char *folder, const char *name, const char *text) {
  char path[512];
  snprintf(path, sizeof path, "%s", in_folder(folder, name));
  for (char *slash = path + strlen(folder) + 1; (slash = strchr(slash, '/')); slash++) {
    *slash = 0;
    mkdir(path, 0700);
    *slash = '/';
  }
  FILE *file = fopen(path, "w");
  assert_non_null(file);
  fputs(text, file);
  fclose(file);
}

static size_t memory_of(const char *folder) {
  char membership[512];
  snprintf(membership, sizeof membership, "%s", in_folder(folder, "membership"));
  return qds_cgroup_memory(membership, folder);
}

static double cores_of(const char *folder) {
  char membership[512];
  snprintf(membership, sizeof membership, "%s", in_folder(folder, "membership"));
  return qds_cgroup_cores(membership, folder);
}

static void without_groups_there_is_no_limit(void **state) {
  assert_true(memory_of(*state) == SIZE_MAX && isinf(cores_of(*state)));
  put(*state, "membership", "0::/job\nnonsense\n:\n");
  assert_true(memory_of(*state) == SIZE_MAX && isinf(cores_of(*state)));
}

/* The tightest of the group and those above it counts, and cached files count as free. */
static void version_2(void **state) {
  put(*state, "membership", "0::/batch/job\n");
  put(*state, "batch/job/memory.max", "max\n");
  put(*state, "batch/job/memory.current", "700\n");
  put(*state, "batch/job/cpu.max", "max 100000\n");
  assert_true(memory_of(*state) == SIZE_MAX && isinf(cores_of(*state)));
  put(*state, "batch/memory.max", "100000\n");
  put(*state, "batch/memory.current", "40000\n");
  put(*state, "batch/memory.stat", "anon 29000\nfile 11000\ninactive_file 10000\nactive_file 1000\n");
  put(*state, "batch/cpu.max", "350000 100000\n");
  assert_int_equal(memory_of(*state), 70000);
  assert_close(cores_of(*state), 3.5, 1e-12);
  put(*state, "batch/job/memory.max", "50000\n");
  put(*state, "batch/job/cpu.max", "50000 100000\n");
  assert_int_equal(memory_of(*state), 49300);
  assert_close(cores_of(*state), 0.5, 1e-12);
  put(*state, "memory.max", "300\n");
  assert_int_equal(memory_of(*state), 300);
  put(*state, "memory.current", "400\n");
  assert_int_equal(memory_of(*state), 0);
}

static void version_1(void **state) {
  put(*state, "membership", "9:name=systemd:/x\n4:memory:/job\n2:cpu,cpuacct:/job\n1:cpuset:/job\n0::/\n");
  put(*state, "memory/job/memory.limit_in_bytes", "9223372036854771712\n");
  put(*state, "memory/job/memory.usage_in_bytes", "1000\n");
  put(*state, "cpu/job/cpu.cfs_quota_us", "-1\n");
  put(*state, "cpu/job/cpu.cfs_period_us", "100000\n");
  assert_true(memory_of(*state) == SIZE_MAX && isinf(cores_of(*state)));
  put(*state, "memory/job/memory.limit_in_bytes", "5000\n");
  put(*state, "memory/job/memory.stat", "total_inactive_file 200\n");
  put(*state, "cpu/job/cpu.cfs_quota_us", "200000\n");
  assert_int_equal(memory_of(*state), 4200);
  assert_close(cores_of(*state), 2, 1e-12);
}

/* In a container the path that the kernel names may not be there; its top is the container's own group. */
static void container_sees_its_own_group_at_the_top(void **state) {
  put(*state, "membership", "4:memory:/docker/0123456789abcdef\n0::/\n");
  put(*state, "memory/memory.limit_in_bytes", "5000\n");
  assert_int_equal(memory_of(*state), 5000);
}

static void this_machine(void **state) {
  (void)state;
  assert_true(qds_available_cores() >= 1 && qds_available_cores() <= sysconf(_SC_NPROCESSORS_CONF));
  assert_true(qds_available_memory() > 1 << 20);
}

#define IN_FOLDER(test) cmocka_unit_test_setup_teardown(test, folder_setup, folder_teardown)

int main(void) {
  const struct CMUnitTest tests[] = {
      IN_FOLDER(without_groups_there_is_no_limit),
      IN_FOLDER(version_2),
      IN_FOLDER(version_1),
      IN_FOLDER(container_sees_its_own_group_at_the_top),
      cmocka_unit_test(this_machine),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}

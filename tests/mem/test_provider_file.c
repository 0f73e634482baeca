/* Memory in files: contents survive when the pages go, nothing stays on the disk, and a full disk is an
 * error. */
#include <signal.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/wait.h>
#include <time.h>

#include "base/philox.h"
#include "folder.h"
#include "mem/pager.h"
#include "mem/pool_best_fit.h"
#include "mem/provider_file.h"

enum { MIB = 1 << 20 };

/* On a disk, which /tmp may not be. */
static int setup(void **state) {
  char *folder = strdup("/var/tmp/qdsim-test-XXXXXX");
  *state = folder;
  return folder && mkdtemp(folder) ? 0 : -1;
}

static size_t pages_in_cache(void *memory, size_t bytes) {
  const size_t page = (size_t)sysconf(_SC_PAGESIZE), pages = bytes / page;
  unsigned char *resident = malloc(pages);
  size_t count = 0;
  assert_int_equal(mincore(memory, bytes, resident), 0);
  for (size_t i = 0; i < pages; i++) count += resident[i] & 1;
  free(resident);
  return count;
}

static void contents_survive_every_way_out(void **state) {
  QDS_AUTO(qds_file_provider) *p = NULL;
  uint64_t *memory = NULL;
  const size_t count = 5 * MIB / sizeof *memory + 100;
  assert_ok(qds_file_provider_create(*state, &p));
  assert_ok(qds_file_provider_take(p, count * sizeof *memory, "numbers", (void **)&memory));
  for (size_t i = 0; i < count; i += 512) assert_true(memory[i] == 0);
  for (size_t i = 0; i < count; i++) memory[i] = i * i;
  assert_true(qds_file_provider_mapped(p) >= 5 * MIB);
  for (int way = 0; way < 3; way++) {
    if (way == 0) qds_file_provider_drop(p, memory, count * sizeof *memory);
    if (way == 1) assert_ok(qds_file_provider_write_back(p, memory, count * sizeof *memory));
    if (way == 2) assert_true(qds_file_provider_sweep(p, SIZE_MAX) >= count * sizeof *memory);
    assert_int_equal(qds_file_provider_mapped(p), 0);
    if (way == 1) assert_int_equal(pages_in_cache(memory, 5 * MIB), 0);
    qds_file_provider_prefetch(p, memory, MIB);
    for (size_t i = 0; i < count; i++) assert_true(memory[i] == i * i);
  }
  /* a part, from the middle of one page to the middle of another */
  qds_file_provider_drop(p, memory + 1000, 3000 * sizeof *memory);
  for (size_t i = 0; i < count; i++) assert_true(memory[i] == i * i);
  qds_file_provider_give_back(p, memory);
}

static void usage_is_exact(void **state) {
  QDS_AUTO(qds_file_provider) *p = NULL;
  void *a, *b;
  qds_file_usage usage;
  const size_t page = (size_t)sysconf(_SC_PAGESIZE);
  const int descriptors = open_descriptors();
  assert_ok(qds_file_provider_create(*state, &p));
  assert_string_equal(qds_file_provider_folder(p), *state);
  assert_true(qds_file_provider_room(p) > 0);
  assert_int_equal(qds_file_provider_sweep(p, MIB), 0);
  assert_ok(qds_file_provider_take(p, 3 * page, "a", &a));
  assert_ok(qds_file_provider_take(p, 1, "b", &b));
  assert_int_equal(folder_entries(*state), 0); /* without names */
  qds_file_provider_give_back(p, a);
  qds_file_provider_usage(p, &usage);
  assert_int_equal(usage.current_bytes, page);
  assert_int_equal(usage.peak_bytes, 4 * page);
  assert_int_equal(usage.total_bytes, 4 * page);
  assert_int_equal(usage.current_regions, 1);
  assert_int_equal(usage.total_regions, 2);
  assert_ok(qds_file_provider_take(p, 0, "nothing", &a));
  qds_file_provider_destroy(p); /* takes back what is left */
  p = NULL;
  assert_int_equal(open_descriptors(), descriptors);
}

static void bad_folders_are_refused(void **state) {
  qds_file_provider *p = NULL;
  struct statfs system;
  const char *file = in_folder(*state, "file");
  fclose(fopen(file, "w"));
  assert_fails(qds_file_provider_create(in_folder(*state, "none"), &p), QDS_ERROR_FILE, "No such file");
  assert_fails(qds_file_provider_create(in_folder(*state, "file"), &p), QDS_ERROR_FILE, "no folder");
  if (statfs("/dev/shm", &system) == 0 && system.f_type == 0x01021994)
    assert_fails(qds_file_provider_create("/dev/shm", &p), QDS_ERROR_FILE, "lies in memory");
  if (geteuid() != 0) {
    assert_int_equal(chmod(*state, 0500), 0);
    assert_fails(qds_file_provider_create(*state, &p), QDS_ERROR_FILE, "Permission denied");
    assert_int_equal(chmod(*state, 0700), 0);
  }
  assert_null(p);
}

static void full_disk_is_an_error_at_once(void **state) {
  QDS_AUTO(qds_file_provider) *p = NULL;
  void *memory;
  struct rlimit before, small;
  const int descriptors = open_descriptors();
  assert_ok(qds_file_provider_create(*state, &p));
  assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
  small = before;
  small.rlim_cur = MIB;
  signal(SIGXFSZ, SIG_IGN);
  assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
  const qds_status status = qds_file_provider_take(p, 2 * MIB, "vectors", &memory);
  assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
  assert_int_equal(status, QDS_ERROR_FILE);
  assert_non_null(strstr(qds_last_error()->message, "2 MiB of vectors"));
  assert_non_null(strstr(qds_last_error()->message, *state));
  assert_fails(qds_file_provider_take(p, SIZE_MAX, "vectors", &memory), QDS_ERROR_FILE, "vectors");
  assert_null(memory);
  assert_int_equal(open_descriptors(), descriptors);
  assert_int_equal(folder_entries(*state), 0);
}

static void killed_process_leaves_nothing(void **state) {
  int status;
  const pid_t child = fork();
  assert_true(child >= 0);
  if (child == 0) {
    qds_file_provider *p = NULL;
    char *memory;
    if (qds_file_provider_create(*state, &p) || qds_file_provider_take(p, MIB, "x", (void **)&memory))
      _exit(1);
    memset(memory, 1, MIB);
    kill(getpid(), SIGKILL);
  }
  assert_int_equal(waitpid(child, &status, 0), child);
  assert_true(WIFSIGNALED(status));
  assert_int_equal(folder_entries(*state), 0);
}

static void pool_of_files(qds_context *ctx, const char *folder) {
  QDS_AUTO(qds_file_provider) *p = NULL;
  QDS_AUTO(qds_best_fit) *pool = NULL;
  qds_file_usage usage;
  qds_best_fit_options options = QDS_BEST_FIT_OPTIONS_INIT;
  char *block[20];
  assert_ok(qds_file_provider_create(folder, &p));
  options.provider = qds_provider_files(p);
  options.allocator = qds_context_allocator(ctx);
  options.segment_bytes = MIB;
  assert_ok(qds_provider_check(&options.provider));
  assert_ok(qds_best_fit_create(&options, &pool));
  for (int i = 0; i < 20; i++) {
    assert_ok(qds_best_fit_allocate(pool, 100000, 0, (void **)&block[i]));
    memset(block[i], i, 100000);
  }
  qds_file_provider_usage(p, &usage);
  assert_true(usage.current_bytes >= 20 * 100000 && usage.current_regions <= 3);
  qds_file_provider_sweep(p, SIZE_MAX);
  for (int i = 0; i < 20; i++)
    for (int at = 0; at < 100000; at += 999) assert_int_equal(block[i][at], i);
}

static char *folder_of_pool;
static void pool_of_files_in(qds_context *ctx) {
  pool_of_files(ctx, folder_of_pool);
}
static void pools_work_on_files(void **state) {
  folder_of_pool = *state;
  with_context(1, pool_of_files_in);
}

/* Regions come and go while another thread sweeps and this one writes and reads. */
static size_t two_mebibytes(void *user) {
  (void)user;
  return 2 * MIB;
}

static void pager_bounds_the_pages_and_loses_nothing(void **state) {
  enum { REGIONS = 6, NUMBERS = 2 * MIB / 8 };
  QDS_AUTO(qds_file_provider) *p = NULL;
  qds_pager *pager = NULL;
  uint64_t *region[REGIONS] = {0}, content[REGIONS] = {0};
  size_t peak, swept;
  const uint64_t seed = (uint64_t)time(NULL);
  assert_ok(qds_file_provider_create(*state, &p));
  assert_ok(qds_pager_create(p, two_mebibytes, NULL, &pager));
  for (uint64_t step = 0; step < 150; step++) {
    const size_t r = (size_t)(qds_random_uniform(seed, 1, step) * REGIONS);
    for (size_t i = 0; region[r] && i < NUMBERS; i++) assert_true(region[r][i] == content[r] + i);
    if (region[r] && qds_random_uniform(seed, 2, step) < 0.3) {
      qds_file_provider_give_back(p, region[r]);
      region[r] = NULL;
      continue;
    }
    if (!region[r]) assert_ok(qds_file_provider_take(p, 2 * MIB, "numbers", (void **)&region[r]));
    content[r] = step << 32;
    for (size_t i = 0; i < NUMBERS; i++) region[r][i] = content[r] + i;
  }
  /* once nobody touches the pages any more, they are within bounds */
  for (int wait = 0; wait < 1000 && qds_file_provider_mapped(p) > 2 * MIB; wait++)
    nanosleep(&(struct timespec){0, 10000000}, NULL);
  assert_true(qds_file_provider_mapped(p) <= 2 * MIB);
  qds_pager_seen(pager, &peak, &swept);
  assert_true(peak > 0 && swept > 0);
  qds_pager_destroy(pager);
  for (int r = 0; r < REGIONS; r++)
    for (size_t i = 0; region[r] && i < NUMBERS; i++) assert_true(region[r][i] == content[r] + i);
}

#define IN_FOLDER(name) cmocka_unit_test_setup_teardown(name, setup, folder_teardown)

int main(void) {
  const struct CMUnitTest tests[] = {
      IN_FOLDER(contents_survive_every_way_out),
      IN_FOLDER(usage_is_exact),
      IN_FOLDER(bad_folders_are_refused),
      IN_FOLDER(full_disk_is_an_error_at_once),
      IN_FOLDER(killed_process_leaves_nothing),
      IN_FOLDER(pools_work_on_files),
      IN_FOLDER(pager_bounds_the_pages_and_loses_nothing),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}

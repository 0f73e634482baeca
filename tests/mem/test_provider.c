#include "support.h"

#include <sys/mman.h>

#include "mem/provider_numa.h"

/* The kernel's figures for the mapping that holds the address, in bytes: what is resident, and in which
 * pages. */
typedef struct {
  size_t resident, huge, explicit_huge;
} residence;

static residence residence_of(const void *address) {
  residence r = {0};
  char line[512];
  int inside = 0;
  FILE *file = fopen("/proc/self/smaps", "re");
  assert_non_null(file);
  while (fgets(line, sizeof line, file)) {
    size_t low, high, kib;
    if (sscanf(line, "%zx-%zx ", &low, &high) == 2) inside = low <= (size_t)address && (size_t)address < high;
    if (!inside) continue;
    if (sscanf(line, "Rss: %zu kB", &kib) == 1) r.resident = kib << 10;
    if (sscanf(line, "AnonHugePages: %zu kB", &kib) == 1) r.huge = kib << 10;
    if (sscanf(line, "Private_Hugetlb: %zu kB", &kib) == 1) r.explicit_huge = kib << 10;
  }
  fclose(file);
  return r;
}

static size_t number_in(const char *path, const char *format) {
  char line[256];
  size_t number = 0;
  FILE *file = fopen(path, "re");
  while (file && fgets(line, sizeof line, file))
    if (sscanf(line, format, &number) == 1) break;
  if (file) fclose(file);
  return number;
}

static int kernel_makes_huge_pages(void) {
  char line[256] = "";
  FILE *file = fopen("/sys/kernel/mm/transparent_hugepage/enabled", "re");
  if (file && !fgets(line, sizeof line, file)) line[0] = 0;
  if (file) fclose(file);
  return strstr(line, "[madvise]") || strstr(line, "[always]");
}

static void ranges_are_writable_and_return(void **state) {
  (void)state;
  static const size_t sizes[] = {1, 4096, 100000, 2 << 20, (2 << 20) + 1, 33 << 20};
  for (qds_host_pages pages = QDS_PAGES_PLAIN; pages <= QDS_PAGES_EXPLICIT; pages++) {
    const qds_provider provider = qds_provider_host(pages);
    assert_ok(qds_provider_check(&provider));
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
      size_t bytes;
      char *range;
      assert_ok(qds_provider_round(&provider, sizes[i], &bytes));
      assert_true(bytes >= sizes[i] && bytes % QDS_PAGE_BYTES == 0 &&
                  bytes - sizes[i] <= sizes[i] / 16 + 4096);
      assert_ok(provider.table->allocate(provider.state, bytes, (void **)&range));
      assert_int_equal(
          (uintptr_t)range % (bytes < QDS_HUGE_PAGE_BYTES ? QDS_PAGE_BYTES : QDS_HUGE_PAGE_BYTES), 0);
      for (size_t at = 0; at < bytes; at += QDS_PAGE_BYTES) range[at] = 1;
      provider.table->purge(provider.state, range + 1, bytes - 1);
      assert_true(range[0] == 1);
      if (pages != QDS_PAGES_EXPLICIT && bytes > QDS_PAGE_BYTES) assert_true(range[QDS_PAGE_BYTES] == 0);
      provider.table->release(provider.state, range, bytes);
      assert_int_equal(msync(range, QDS_PAGE_BYTES, MS_ASYNC), -1); /* nothing is mapped there any more */
    }
  }
  const qds_provider host = qds_provider_host(QDS_PAGES_TRANSPARENT);
  size_t bytes;
  void *range;
  assert_fails(qds_provider_round(&host, SIZE_MAX - 1, &bytes), QDS_ERROR_MEMORY, "address range");
  assert_fails(host.table->allocate(host.state, (size_t)1 << 57, &range), QDS_ERROR_MEMORY,
               "the system refused");
  assert_null(range);
}

static void large_ranges_lie_in_huge_pages(void **state) {
  (void)state;
  enum { BYTES = 16 << 20 };
  char *range;
  assert_ok(qds_map_pages(QDS_PAGES_PLAIN, BYTES, (void **)&range));
  memset(range, 1, BYTES);
  assert_int_equal(residence_of(range).huge, 0);
  qds_unmap_pages(range, BYTES);
  if (!kernel_makes_huge_pages()) skip();
  assert_ok(qds_map_pages(QDS_PAGES_TRANSPARENT, BYTES, (void **)&range));
  memset(range, 1, BYTES);
  /* The kernel may lack a free huge page here and there. */
  print_message("%zu of %d huge pages\n", residence_of(range).huge / QDS_HUGE_PAGE_BYTES,
                BYTES / QDS_HUGE_PAGE_BYTES);
  assert_true(residence_of(range).huge >= BYTES / 4);
  qds_purge_pages(range, BYTES);
  assert_int_equal(residence_of(range).resident, 0);
  qds_unmap_pages(range, BYTES);
}

static void explicit_pages_are_taken_where_there_are_some(void **state) {
  (void)state;
  enum { BYTES = 2 * QDS_HUGE_PAGE_BYTES };
  const size_t unused = number_in("/proc/meminfo", "HugePages_Free: %zu");
  char *range;
  assert_ok(qds_map_pages(QDS_PAGES_EXPLICIT, BYTES, (void **)&range));
  memset(range, 1, BYTES);
  print_message("%zu huge pages are set aside and free\n", unused);
  if (number_in("/proc/meminfo", "Hugepagesize: %zu kB") == QDS_HUGE_PAGE_BYTES >> 10)
    assert_int_equal(residence_of(range).explicit_huge, unused >= 2 ? BYTES : 0);
  qds_unmap_pages(range, BYTES);
}

/* On every node of the machine: what the provider gives lies there, as the kernel says. */
static void bound_body(qds_context *ctx) {
  enum { BYTES = 5 << 20 };
  int nodes = 0;
  for (int node = 0; node < 64; node++) {
    qds_provider provider;
    char *range;
    qds_numa_placement p;
    const qds_status status =
        qds_provider_numa_open(qds_context_allocator(ctx), node, QDS_PAGES_TRANSPARENT, &provider);
    if (status == QDS_ERROR_ARGUMENT) continue;
    if (status == QDS_ERROR_UNSUPPORTED) {
      print_message("%s\n", qds_last_error()->message);
      return;
    }
    assert_ok(status);
    assert_ok(qds_provider_check(&provider));
    assert_ok(provider.table->allocate(provider.state, BYTES, (void **)&range));
    memset(range, 1, BYTES / 2);
    assert_ok(qds_numa_verify(range, BYTES, node, &p));
    assert_true(p.pages == BYTES / QDS_PAGE_BYTES && p.astray == 0 && p.placed >= p.pages / 2);
    assert_int_equal(p.placed + p.untouched, p.pages);
    /* Another node than the one that was asked for is an error. */
    assert_fails(qds_numa_verify(range, BYTES, node + 1, &p), QDS_ERROR_MEMORY, "lie on another node");
    assert_true(p.astray >= p.pages / 2 && p.placed == 0);
    provider.table->release(provider.state, range, BYTES);
    qds_provider_close(&provider);
    nodes++;
  }
  print_message("%d NUMA nodes\n", nodes);
  assert_true(nodes > 0);
}

static void memory_is_bound_to_its_node(void **state) {
  (void)state;
  with_context(1, bound_body);
}

static qds_status open_and_close(qds_context *ctx, void *data) {
  (void)data;
  qds_provider provider;
  QDS_TRY(qds_provider_numa_open(qds_context_allocator(ctx), 0, QDS_PAGES_PLAIN, &provider));
  qds_provider_close(&provider);
  return QDS_OK;
}

static void refused_body(qds_context *ctx) {
  qds_provider provider;
  assert_fails(qds_provider_numa_open(qds_context_allocator(ctx), 1000, QDS_PAGES_PLAIN, &provider),
               QDS_ERROR_ARGUMENT, "no NUMA node 1000; this process may use 0");
  assert_null(provider.table);
  assert_fails(qds_provider_numa_open(qds_context_allocator(ctx), -1, QDS_PAGES_PLAIN, &provider),
               QDS_ERROR_ARGUMENT, "no NUMA node -1");
  qds_provider_close(&provider);
  /* A container may forbid the questions to the kernel. */
  if (open_and_close(ctx, NULL) != QDS_ERROR_UNSUPPORTED)
    assert_int_equal(fail_each_allocation(ctx, open_and_close, NULL), 1);
}

static void nodes_that_are_not_there_are_refused(void **state) {
  (void)state;
  with_context(1, refused_body);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(ranges_are_writable_and_return),
      cmocka_unit_test(large_ranges_lie_in_huge_pages),
      cmocka_unit_test(explicit_pages_are_taken_where_there_are_some),
      cmocka_unit_test(memory_is_bound_to_its_node),
      cmocka_unit_test(nodes_that_are_not_there_are_refused),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}

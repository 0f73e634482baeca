#include "mem/provider_host.h"

#include <errno.h>
#include <sys/mman.h>

#include "mem/sanitizer.h"
#include "qdsim/text.h"

static char *map(size_t bytes, int flags) {
  void *range = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | flags, -1, 0);
  return range == MAP_FAILED ? NULL : range;
}

/* Maps one huge page more than needed and cuts off what lies before and behind the aligned part. */
static char *map_aligned(size_t bytes) {
  char *range = map(bytes + QDS_HUGE_PAGE_BYTES, 0);
  if (!range) return NULL;
  const size_t before = -(uintptr_t)range & (QDS_HUGE_PAGE_BYTES - 1);
  if (before) munmap(range, before);
  munmap(range + before + bytes, QDS_HUGE_PAGE_BYTES - before);
  return range + before;
}

qds_status qds_map_pages(qds_host_pages pages, size_t bytes, void **out) {
  char *range = NULL;
  const int large = bytes >= QDS_HUGE_PAGE_BYTES;
  if (pages == QDS_PAGES_EXPLICIT && large && bytes % QDS_HUGE_PAGE_BYTES == 0)
    range = map(bytes, MAP_HUGETLB | 21 << MAP_HUGE_SHIFT);
  if (!range) {
    range = large ? map_aligned(bytes) : map(bytes, 0);
    /* Advice: a kernel without huge pages uses small ones. */
    if (range && large) madvise(range, bytes, pages == QDS_PAGES_PLAIN ? MADV_NOHUGEPAGE : MADV_HUGEPAGE);
  }
  *out = range;
  if (range) {
    qds_search_for_pointers(range, bytes);
    return QDS_OK;
  }
  char size[QDS_BYTES_TEXT];
  qds_format_bytes(bytes, size);
  QDS_FAIL_NATIVE(QDS_ERROR_MEMORY, errno, "out of memory: the system refused %s", size);
}

void qds_unmap_pages(void *range, size_t bytes) {
  qds_search_no_more(range, bytes);
  qds_permit(range, bytes);
  munmap(range, bytes);
}

void qds_purge_pages(void *part, size_t bytes) {
  const uintptr_t begin = ((uintptr_t)part + QDS_PAGE_BYTES - 1) & ~(uintptr_t)(QDS_PAGE_BYTES - 1);
  const uintptr_t end = ((uintptr_t)part + bytes) & ~(uintptr_t)(QDS_PAGE_BYTES - 1);
  if (begin < end) madvise((void *)begin, end - begin, MADV_DONTNEED);
}

static const qds_host_pages kinds[] = {QDS_PAGES_PLAIN, QDS_PAGES_TRANSPARENT, QDS_PAGES_EXPLICIT};

static qds_status host_allocate(void *state, size_t bytes, void **out) {
  return qds_map_pages(*(const qds_host_pages *)state, bytes, out);
}

static void host_release(void *state, void *range, size_t bytes) {
  (void)state;
  qds_unmap_pages(range, bytes);
}

/* Explicit pages are given for whole multiples; from 16 of them on, rounding up wastes little. */
static size_t host_granularity(void *state, size_t bytes) {
  const int whole =
      *(const qds_host_pages *)state == QDS_PAGES_EXPLICIT && bytes > 15 * (size_t)QDS_HUGE_PAGE_BYTES;
  return whole ? QDS_HUGE_PAGE_BYTES : QDS_PAGE_BYTES;
}

static void host_purge(void *state, void *part, size_t bytes) {
  (void)state;
  qds_purge_pages(part, bytes);
}

qds_provider qds_provider_host(qds_host_pages pages) {
  static const qds_provider_table table = {
      .abi = QDS_PROVIDER_ABI,
      .size = sizeof table,
      .name = "host",
      .alignment = QDS_PAGE_BYTES,
      .allocate = host_allocate,
      .release = host_release,
      .granularity = host_granularity,
      .purge = host_purge,
  };
  return (qds_provider){&table, (void *)&kinds[pages]};
}

/* Host memory: pages of the kernel, huge where they pay.
 *
 * A range of QDS_HUGE_PAGE_BYTES or more pays: its first touch is 3 to 5 times as fast and its return 10
 * times
 * (`./dev bench allocator` measures it). It begins at a multiple of the huge page and is offered to the
 * kernel for huge pages; its last, incomplete huge page consists of small ones, so that nothing is wasted. A
 * smaller range cannot hold a huge page. */
#ifndef QDS_MEM_PROVIDER_HOST_H
#define QDS_MEM_PROVIDER_HOST_H

#include "mem/provider.h"

enum { QDS_PAGE_BYTES = 4096, QDS_HUGE_PAGE_BYTES = 2 << 20 };

typedef enum {
  QDS_PAGES_PLAIN,       /* small pages for every range */
  QDS_PAGES_TRANSPARENT, /* huge pages that the kernel makes when a large range is touched */
  /* Huge pages that the administrator has set aside (vm.nr_hugepages), for ranges that are a multiple of one
   * while enough of them are free, and else as TRANSPARENT. They are never given to a child process: a
   * program that forks and writes in the child must not use them. */
  QDS_PAGES_EXPLICIT,
} qds_host_pages;

/* Needs no memory of its own. The contents of a fresh range are zero bytes; purge makes them zero again. */
qds_provider qds_provider_host(qds_host_pages pages);

/* A range of pages, for providers that bind or name it: as the table's slots. */
qds_status qds_map_pages(qds_host_pages pages, size_t bytes, void **out);
void qds_unmap_pages(void *range, size_t bytes);
void qds_purge_pages(void *part, size_t bytes);

#endif

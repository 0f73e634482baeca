/* A thread that keeps the mapped pages of file regions within bounds.
 *
 * It looks some hundred times a second how many pages of files the process has mapped and drops pages of the
 * provider's regions, in turn, when they are too many. Dropped pages stay in the kernel's cache as long as
 * the machine has room for them, so a page dropped at the wrong moment costs a fault, not a read. Between two
 * looks the pages may grow by what the threads can touch in that time; the bounds leave room for that. */
#ifndef QDS_MEM_PAGER_H
#define QDS_MEM_PAGER_H

#include "mem/provider_file.h"

typedef struct qds_pager qds_pager;

/* What the pages may fill at the moment; asked by the pager's thread. */
typedef size_t (*qds_pager_room)(void *user);

/* Begins at once. Errors: MEMORY (no thread), FILE (no /proc/self/statm). */
qds_status qds_pager_create(qds_file_provider *provider, qds_pager_room room, void *user, qds_pager **out);
/* Ends the thread. NULL is allowed. */
void qds_pager_destroy(qds_pager *pager);

/* The most bytes of mapped pages that it has seen, and how many bytes of regions it has swept. */
void qds_pager_seen(const qds_pager *pager, size_t *peak_bytes, size_t *swept_bytes);

#endif

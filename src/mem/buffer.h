/* Buffers below the context: the manager that owns them, and what a context needs of it. What concerns a
 * single buffer is public (qdsim/memory.h). */
#ifndef QDS_MEM_BUFFER_H
#define QDS_MEM_BUFFER_H

#include "mem/pool_best_fit.h"
#include "mem/stream.h"
#include "qdsim/memory.h"

QDS_AUTO_DEFINE(qds_buffer)

/* What the memory of all buffers is counted under in the heap and in the device's pool. */
#define QDS_BUFFER_TAG "buffers"

typedef struct qds_buffer_manager qds_buffer_manager;

/* accelerator NULL: no device, and `device_reason` (copied) says why. `threads`: for copies by the host.
 * `folder` (copied): where files go unless qds_memory_options names another; "": nowhere. The manager's own
 * record lies outside the account of the allocator. */
qds_status qds_buffer_manager_create(qds_allocator *allocator, qds_accelerator *accelerator, int threads,
                                     const char *device_reason, const char *folder, qds_buffer_manager **out);
/* Waits for the work on all buffers and gives their memory back. NULL is allowed. */
void qds_buffer_manager_destroy(qds_buffer_manager *manager);
QDS_AUTO_DEFINE(qds_buffer_manager)

/* Each buffer that still has references of the library. */
typedef void (*qds_buffer_leak_fn)(void *user, const char *tag, size_t bytes, const char *file, int line);
void qds_buffer_manager_leaks(qds_buffer_manager *manager, qds_buffer_leak_fn leak, void *user);
/* 0: Python owns no buffer, and the manager can be destroyed. 1: it does, or one is just being given up;
 * `last` is called, with no lock held, by whoever gives up the last of them. */
int qds_buffer_manager_retire(qds_buffer_manager *manager, void (*last)(void *user), void *user);

qds_status qds_buffer_manager_configure(qds_buffer_manager *manager, const qds_memory_options *options);
qds_status qds_buffer_new(qds_buffer_manager *manager, size_t bytes, qds_mem_strategy strategy,
                          const char *tag, const char *file, int line, qds_buffer **out);
qds_status qds_buffer_manager_spill(qds_buffer_manager *manager, qds_place place, size_t bytes,
                                    size_t *freed);
/* For qds_accelerator: `manager` is a qds_buffer_manager. */
qds_status qds_buffer_manager_reclaim(void *manager, size_t bytes, qds_status lack);
qds_status qds_buffer_manager_defragment(qds_buffer_manager *manager, size_t bytes,
                                         qds_defragment_report *report);
void qds_buffer_manager_statistics(qds_buffer_manager *manager, qds_memory_statistics *out);
/* A best-fit pool's figures as a row of the report. */
qds_memory_pool_row qds_best_fit_row(const char *name, qds_place place, const qds_best_fit_statistics *s);
int qds_buffer_manager_pool(qds_buffer_manager *manager, size_t index, qds_memory_pool_row *row);
qds_status qds_buffer_manager_list(qds_buffer_manager *manager, char **out);
int qds_buffer_manager_tag(qds_buffer_manager *manager, size_t index, qds_memory_tag_row *row);

#endif

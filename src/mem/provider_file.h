/* Memory backed by files: regions that may leave the process and come back.
 *
 * Each region is a file of its own in a scratch folder, mapped and shared, so that the kernel writes its
 * pages to the file whenever it wants their memory. The file loses its name as soon as it is open: whatever
 * ends the process, SIGKILL included, nothing stays behind. Its room on the disk is taken in full beforehand,
 * so that a full disk is an error and not a signal at some later store. All functions are thread-safe. */
#ifndef QDS_MEM_PROVIDER_FILE_H
#define QDS_MEM_PROVIDER_FILE_H

#include <stddef.h>

#include "mem/provider.h"

typedef struct qds_file_provider qds_file_provider;

/* The folder must be there, writable, and on a disk: files in memory (tmpfs) would save none. Errors: FILE
 * (names the folder), MEMORY. */
qds_status qds_file_provider_create(const char *folder, qds_file_provider **out);
/* Gives back the regions that are left. NULL is allowed. */
void qds_file_provider_destroy(qds_file_provider *provider);
QDS_AUTO_DEFINE(qds_file_provider)
const char *qds_file_provider_folder(const qds_file_provider *provider);
/* The bytes that the file system of the folder has free. */
size_t qds_file_provider_room(const qds_file_provider *provider);

/* A region of at least `bytes` bytes, all 0, at a page's start. `purpose` is for the message. Errors: FILE
 * (errno: full disk), MEMORY (no address range). */
qds_status qds_file_provider_take(qds_file_provider *provider, size_t bytes, const char *purpose, void **out);
/* `memory` is what `take` handed out. */
void qds_file_provider_give_back(qds_file_provider *provider, void *memory);

/* The same as a provider for pools: a range is a region. A full disk is MEMORY there. Borrows. */
qds_provider qds_provider_files(qds_file_provider *provider);

/* Unmaps the pages of a range of a region. What they hold stays in the kernel's cache, which writes it to the
 * file in its own time, and comes back when it is touched, by this thread or another. */
void qds_file_provider_drop(qds_file_provider *provider, void *memory, size_t bytes);
/* The same, after the pages were written to the file, and the kernel's cache loses them as well. FILE: they
 * could not be written. */
qds_status qds_file_provider_write_back(qds_file_provider *provider, void *memory, size_t bytes);
/* Begins to read a range of a region that will be needed soon; returns at once. */
void qds_file_provider_prefetch(qds_file_provider *provider, void *memory, size_t bytes);

/* Drops the next `bytes` of all regions in turn, beginning where the last sweep ended. Returns how many it
 * passed over: fewer when the regions have no more. */
size_t qds_file_provider_sweep(qds_file_provider *provider, size_t bytes);

/* The bytes of the regions that are mapped into the process just now, as the kernel counts them; takes some
 * milliseconds. 0 where the kernel does not say. */
size_t qds_file_provider_mapped(qds_file_provider *provider);

/* Bytes are those of the files. */
typedef struct {
  size_t current_bytes, peak_bytes, total_bytes;
  size_t current_regions, total_regions;
} qds_file_usage;
void qds_file_provider_usage(qds_file_provider *provider, qds_file_usage *out);

#endif

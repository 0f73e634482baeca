/* Files that are either whole or absent: written beside the final name, flushed, then renamed over it. */
#ifndef QDS_BASE_FILE_H
#define QDS_BASE_FILE_H

#include "base/allocator.h"

/* A file being written: `temporary` lies in the folder of the final name. */
typedef struct qds_pending_file qds_pending_file;

/* Reserves a temporary name beside `path` (NAME.part-PID). Errors: FILE with errno and the folder's name. */
qds_status qds_pending_create(qds_allocator *allocator, const char *path, qds_pending_file **out);
const char *qds_pending_path(const qds_pending_file *file);
/* Writes the whole content. Errors: FILE, for instance of a full disk. */
qds_status qds_pending_write(qds_pending_file *file, const void *data, size_t bytes);
/* fsync and rename; after it the file stands under its final name. */
qds_status qds_pending_commit(qds_pending_file *file);
/* Removes the temporary file unless it was committed. */
void qds_pending_file_destroy(qds_pending_file *file);
QDS_AUTO_DEFINE(qds_pending_file)

/* Writes a whole file that way; a full disk is QDS_ERROR_FILE and leaves nothing behind. */
qds_status qds_file_write(qds_allocator *allocator, const char *path, const void *data, size_t bytes);
/* Reads a whole regular file of at most `limit` bytes; the block ends in a zero byte that `bytes` does not
 * count. */
qds_status qds_file_read(qds_allocator *allocator, const char *path, size_t limit, char **out, size_t *bytes);
/* Makes a folder and its parents; one that is there is fine, one that cannot be written is QDS_ERROR_FILE. */
qds_status qds_folder_create(qds_allocator *allocator, const char *path);

#endif

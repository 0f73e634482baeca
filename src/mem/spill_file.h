/* Files that hold the contents of buffers for a while. They have no name: nobody else can open them, and the
 * kernel takes them back even when the process is killed. */
#ifndef QDS_MEM_SPILL_FILE_H
#define QDS_MEM_SPILL_FILE_H

#include <stddef.h>

#include "base/check.h"

/* Needs no memory: files are wanted when there is none. */
typedef struct {
  int descriptor;
  const char *folder; /* for messages; kept by address */
} qds_spill_file;

/* A file in `folder` that has no name, so that nothing is left of it whatever ends the process; where the
 * file system has no such files, one that loses its name at once. Returns an errno; the descriptor is the
 * caller's. */
int qds_open_unnamed(const char *folder, int *descriptor);

/* A file of `bytes` in `folder` (refused: "", and one in memory), its room on the disk reserved, so that a
 * full disk shows here. Errors: FILE. */
qds_status qds_spill_file_open(const char *folder, size_t bytes, qds_spill_file *out);
void qds_spill_file_close(qds_spill_file *file);
/* Errors: FILE. */
qds_status qds_spill_file_write(const qds_spill_file *file, size_t offset, const void *data, size_t bytes);
qds_status qds_spill_file_read(const qds_spill_file *file, size_t offset, void *out, size_t bytes);

#endif

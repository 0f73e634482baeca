/* A file driver for HDF5 that a full disk cannot crash.
 *
 * HDF5 1.10 reads freed memory when a write fails while it closes a file, and may then not let go of the file
 * at all. This driver therefore tells HDF5 that every write succeeded, drops all writes after the first that
 * failed, and keeps its errno for the caller, who asks when HDF5 is done. It serves one new file, written by
 * one thread. */
#ifndef QDS_BASE_HDF5_DISK_H
#define QDS_BASE_HDF5_DISK_H

#include <hdf5.h>

typedef struct {
  H5FD_t base; /* first, so that an H5FD_t * is a qds_hdf5_disk * */
  int descriptor;
  int error; /* errno of the first failed write, 0: none */
  haddr_t end_of_address_space, end_of_file;
} qds_hdf5_disk;

/* Empties the file `path`, which must exist, and makes it an HDF5 file. `disk` must stand still and outlive
 * the HDF5 file. Returns -1 on failure; then disk->error is the reason, or 0 where HDF5 has it. */
hid_t qds_hdf5_disk_create(qds_hdf5_disk *disk, const char *path);
/* Closes the descriptor, after H5Fclose; a failure is kept as those of writes are. */
void qds_hdf5_disk_close(qds_hdf5_disk *disk);

#endif

/* Writing one HDF5 file: groups, attributes, and datasets slab by slab.
 *
 * Every failure is QDS_ERROR_FILE with the file's name and what the disk, or else HDF5, has to say. HDF5's
 * own printing of errors is off inside these functions and untouched outside. A file is written by one
 * thread. */
#ifndef QDS_BASE_HDF5_WRITER_H
#define QDS_BASE_HDF5_WRITER_H

#include "base/check.h"
#include "base/hdf5_disk.h"

typedef struct {
  const char *name; /* for messages */
  qds_hdf5_disk disk;
  hid_t id; /* -1: closed */
} qds_hdf5_file;

/* Makes `path`, an existing file, an empty HDF5 file; `name` stands for it in messages and is kept by
 * address. */
qds_status qds_hdf5_create(qds_hdf5_file *file, const char *path, const char *name);
/* Closes the file and tells whether all of it reached the disk. */
qds_status qds_hdf5_close(qds_hdf5_file *file);
/* Closes a file, if it is open, that nobody wants any more. */
void qds_hdf5_abandon(qds_hdf5_file *file);

qds_status qds_hdf5_group(qds_hdf5_file *file, const char *path);
/* An attribute of `count` numbers at `object`. */
qds_status qds_hdf5_numbers(qds_hdf5_file *file, const char *object, const char *name, hid_t stored,
                            hid_t native, size_t count, const void *values);
/* A string attribute: ASCII of fixed length, as VTK wants its own, or UTF-8 of any length. */
typedef enum { QDS_HDF5_FIXED_ASCII, QDS_HDF5_UTF8 } qds_hdf5_encoding;
qds_status qds_hdf5_string(qds_hdf5_file *file, const char *object, const char *name,
                           qds_hdf5_encoding encoding, const char *value);

enum { QDS_HDF5_MAX_RANK = 3 };
/* A dataset under construction, the slowest direction first. */
typedef struct {
  qds_hdf5_file *file;
  const char *path;
  hid_t id, native; /* native: the type of the values handed over */
  int rank;
} qds_hdf5_dataset;

qds_status qds_hdf5_dataset_create(qds_hdf5_file *file, const char *path, hid_t stored, hid_t native,
                                   int rank, const hsize_t *sizes, qds_hdf5_dataset *out);
qds_status qds_hdf5_dataset_write(qds_hdf5_dataset *set, const hsize_t *start, const hsize_t *count,
                                  const void *values);
/* The last values may reach the file here. */
qds_status qds_hdf5_dataset_finish(qds_hdf5_dataset *set);
/* Closes an unfinished dataset at the end of its scope. */
void qds_hdf5_dataset_abandon(qds_hdf5_dataset *set);
#define QDS_HDF5_DATASET __attribute__((cleanup(qds_hdf5_dataset_abandon))) qds_hdf5_dataset

#endif

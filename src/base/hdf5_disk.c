#include "base/hdf5_disk.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

/* What the property list carries to disk_open. */
typedef struct {
  qds_hdf5_disk *disk;
} disk_info;

static void keep_error(qds_hdf5_disk *disk, int error) {
  if (!disk->error) disk->error = error;
}

static H5FD_t *disk_open(const char *name, unsigned flags, hid_t properties, haddr_t highest) {
  (void)name, (void)flags, (void)highest;
  const disk_info *info = H5Pget_driver_info(properties);
  if (!info) return NULL;
  info->disk->end_of_address_space = info->disk->end_of_file = 0;
  return &info->disk->base;
}

/* The descriptor belongs to the creator of the disk. */
static herr_t disk_close(H5FD_t *file) {
  (void)file;
  return 0;
}

static herr_t disk_query(const H5FD_t *file, unsigned long *flags) {
  (void)file;
  *flags = H5FD_FEAT_AGGREGATE_METADATA | H5FD_FEAT_ACCUMULATE_METADATA | H5FD_FEAT_DATA_SIEVE |
           H5FD_FEAT_AGGREGATE_SMALLDATA | H5FD_FEAT_DEFAULT_VFD_COMPATIBLE;
  return 0;
}

static haddr_t disk_get_eoa(const H5FD_t *file, H5FD_mem_t type) {
  (void)type;
  return ((const qds_hdf5_disk *)file)->end_of_address_space;
}

static herr_t disk_set_eoa(H5FD_t *file, H5FD_mem_t type, haddr_t address) {
  (void)type;
  ((qds_hdf5_disk *)file)->end_of_address_space = address;
  return 0;
}

static haddr_t disk_get_eof(const H5FD_t *file, H5FD_mem_t type) {
  (void)type;
  return ((const qds_hdf5_disk *)file)->end_of_file;
}

/* What was never written, or was dropped, reads as zero. */
static herr_t disk_read(H5FD_t *file, H5FD_mem_t type, hid_t properties, haddr_t address, size_t size,
                        void *buffer) {
  (void)type, (void)properties;
  const qds_hdf5_disk *disk = (const qds_hdf5_disk *)file;
  char *bytes = buffer;
  while (size > 0) {
    const ssize_t count = pread(disk->descriptor, bytes, size, (off_t)address);
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) return -1;
    if (count == 0) break;
    bytes += count;
    address += (haddr_t)count;
    size -= (size_t)count;
  }
  memset(bytes, 0, size);
  return 0;
}

static herr_t disk_write(H5FD_t *file, H5FD_mem_t type, hid_t properties, haddr_t address, size_t size,
                         const void *buffer) {
  (void)type, (void)properties;
  qds_hdf5_disk *disk = (qds_hdf5_disk *)file;
  if (address + size > disk->end_of_file) disk->end_of_file = address + size;
  for (const char *bytes = buffer; size > 0 && !disk->error;) {
    const ssize_t count = pwrite(disk->descriptor, bytes, size, (off_t)address);
    if (count < 0 && errno == EINTR) continue;
    if (count <= 0) {
      keep_error(disk, count < 0 ? errno : ENOSPC);
      break;
    }
    bytes += count;
    address += (haddr_t)count;
    size -= (size_t)count;
  }
  return 0;
}

/* HDF5 may have reserved space at the end that nothing was written to. */
static herr_t disk_truncate(H5FD_t *file, hid_t properties, hbool_t closing) {
  (void)properties, (void)closing;
  qds_hdf5_disk *disk = (qds_hdf5_disk *)file;
  if (disk->end_of_file != disk->end_of_address_space && !disk->error &&
      ftruncate(disk->descriptor, (off_t)disk->end_of_address_space))
    keep_error(disk, errno);
  disk->end_of_file = disk->end_of_address_space;
  return 0;
}

static const H5FD_class_t driver_class = {
    .name = "qdsim disk",
    .maxaddr = (haddr_t)INT64_MAX,
    .fc_degree = H5F_CLOSE_STRONG,
    .fapl_size = sizeof(disk_info),
    .open = disk_open,
    .close = disk_close,
    .query = disk_query,
    .get_eoa = disk_get_eoa,
    .set_eoa = disk_set_eoa,
    .get_eof = disk_get_eof,
    .read = disk_read,
    .write = disk_write,
    .truncate = disk_truncate,
    .fl_map = H5FD_FLMAP_DICHOTOMY,
};

/* An open file keeps its driver, so the identifiers are given back at once. */
static hid_t create_through_driver(qds_hdf5_disk *disk, const char *path) {
  const disk_info info = {disk};
  hid_t file = -1;
  const hid_t driver = H5FDregister(&driver_class), properties = H5Pcreate(H5P_FILE_ACCESS);
  if (driver >= 0 && properties >= 0 && H5Pset_driver(properties, driver, &info) >= 0 &&
      H5Pset_fclose_degree(properties, H5F_CLOSE_STRONG) >= 0)
    file = H5Fcreate(path, H5F_ACC_TRUNC, H5P_DEFAULT, properties);
  if (properties >= 0) H5Pclose(properties);
  if (driver >= 0) H5FDunregister(driver);
  return file;
}

hid_t qds_hdf5_disk_create(qds_hdf5_disk *disk, const char *path) {
  *disk = (qds_hdf5_disk){.descriptor = open(path, O_RDWR | O_TRUNC | O_CLOEXEC)};
  if (disk->descriptor < 0) {
    keep_error(disk, errno);
    return -1;
  }
  const hid_t file = create_through_driver(disk, path);
  if (file < 0) qds_hdf5_disk_close(disk);
  return file;
}

void qds_hdf5_disk_close(qds_hdf5_disk *disk) {
  if (disk->descriptor >= 0 && close(disk->descriptor)) keep_error(disk, errno);
  disk->descriptor = -1;
}

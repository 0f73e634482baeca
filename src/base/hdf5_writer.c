#include "base/hdf5_writer.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

/* HDF5 prints its errors by default; behind QUIET it does not, to the end of the scope. */
typedef struct {
  H5E_auto2_t function;
  void *data;
} error_printer;

static error_printer silence(void) {
  error_printer printer = {NULL, NULL};
  H5Eget_auto2(H5E_DEFAULT, &printer.function, &printer.data);
  H5Eset_auto2(H5E_DEFAULT, NULL, NULL);
  return printer;
}

static void unsilence(error_printer *printer) {
  H5Eset_auto2(H5E_DEFAULT, printer->function, printer->data);
}
#define QUIET __attribute__((cleanup(unsilence), unused)) error_printer quiet = silence()

static void close_identifier(hid_t *id) {
  if (*id >= 0) H5Idec_ref(*id);
}
#define AUTO_ID __attribute__((cleanup(close_identifier))) hid_t

typedef struct {
  char text[512];
} quotation;

/* The innermost entry of HDF5's error stack says what happened. */
static herr_t quote_innermost(unsigned n, const H5E_error2_t *entry, void *data) {
  quotation *quote = data;
  if (n == 0) snprintf(quote->text, sizeof quote->text, "%s (%s)", entry->desc, entry->func_name);
  return 0;
}

static qds_status fail(const qds_hdf5_file *file, const char *object) {
  quotation quote = {"no reason given"};
  errno = file->disk.error;
  if (errno) QDS_FAIL_NATIVE(QDS_ERROR_FILE, errno, "cannot write \"%s\": %m", file->name);
  H5Ewalk2(H5E_DEFAULT, H5E_WALK_UPWARD, quote_innermost, &quote);
  QDS_FAIL(QDS_ERROR_FILE, "cannot write \"%s\": %s: HDF5 says: %s", file->name, object, quote.text);
}

qds_status qds_hdf5_create(qds_hdf5_file *file, const char *path, const char *name) {
  QUIET;
  file->name = name;
  file->id = qds_hdf5_disk_create(&file->disk, path);
  return file->id < 0 ? fail(file, "the whole file") : QDS_OK;
}

qds_status qds_hdf5_close(qds_hdf5_file *file) {
  QUIET;
  const herr_t closed = H5Fclose(file->id);
  file->id = -1;
  qds_hdf5_disk_close(&file->disk);
  return closed < 0 || file->disk.error ? fail(file, "the end of the file") : QDS_OK;
}

void qds_hdf5_abandon(qds_hdf5_file *file) {
  QUIET;
  if (file->id < 0) return;
  H5Fclose(file->id);
  file->id = -1;
  qds_hdf5_disk_close(&file->disk);
}

qds_status qds_hdf5_group(qds_hdf5_file *file, const char *path) {
  QUIET;
  AUTO_ID group = H5Gcreate2(file->id, path, H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT);
  return group < 0 ? fail(file, path) : QDS_OK;
}

static qds_status put_attribute(qds_hdf5_file *file, const char *object, const char *name, hid_t stored,
                                hid_t native, hid_t space, const void *values) {
  AUTO_ID attribute =
      H5Acreate_by_name(file->id, object, name, stored, space, H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT);
  return attribute < 0 || H5Awrite(attribute, native, values) < 0 ? fail(file, name) : QDS_OK;
}

qds_status qds_hdf5_numbers(qds_hdf5_file *file, const char *object, const char *name, hid_t stored,
                            hid_t native, size_t count, const void *values) {
  QUIET;
  const hsize_t size = count;
  AUTO_ID space = H5Screate_simple(1, &size, NULL);
  return put_attribute(file, object, name, stored, native, space, values);
}

qds_status qds_hdf5_string(qds_hdf5_file *file, const char *object, const char *name,
                           qds_hdf5_encoding encoding, const char *value) {
  QUIET;
  const int fixed = encoding == QDS_HDF5_FIXED_ASCII;
  AUTO_ID type = H5Tcopy(H5T_C_S1);
  AUTO_ID space = H5Screate(H5S_SCALAR);
  if (H5Tset_size(type, fixed ? strlen(value) : H5T_VARIABLE) < 0 ||
      H5Tset_strpad(type, fixed ? H5T_STR_NULLPAD : H5T_STR_NULLTERM) < 0 ||
      H5Tset_cset(type, fixed ? H5T_CSET_ASCII : H5T_CSET_UTF8) < 0)
    return fail(file, name);
  return put_attribute(file, object, name, type, type, space,
                       fixed ? (const void *)value : (const void *)&value);
}

qds_status qds_hdf5_dataset_create(qds_hdf5_file *file, const char *path, hid_t stored, hid_t native,
                                   int rank, const hsize_t *sizes, qds_hdf5_dataset *out) {
  QUIET;
  *out = (qds_hdf5_dataset){file, path, -1, native, rank};
  AUTO_ID space = H5Screate_simple(rank, sizes, NULL);
  AUTO_ID properties = H5Pcreate(H5P_DATASET_CREATE);
  /* Without times, equal results make equal files. */
  if (H5Pset_obj_track_times(properties, 0) >= 0)
    out->id = H5Dcreate2(file->id, path, stored, space, H5P_DEFAULT, properties, H5P_DEFAULT);
  return out->id < 0 ? fail(file, path) : QDS_OK;
}

qds_status qds_hdf5_dataset_write(qds_hdf5_dataset *set, const hsize_t *start, const hsize_t *count,
                                  const void *values) {
  QUIET;
  AUTO_ID there = H5Dget_space(set->id);
  AUTO_ID here = H5Screate_simple(set->rank, count, NULL);
  if (H5Sselect_hyperslab(there, H5S_SELECT_SET, start, NULL, count, NULL) < 0 ||
      H5Dwrite(set->id, set->native, here, there, H5P_DEFAULT, values) < 0 || set->file->disk.error)
    return fail(set->file, set->path);
  return QDS_OK;
}

qds_status qds_hdf5_dataset_finish(qds_hdf5_dataset *set) {
  QUIET;
  const herr_t closed = H5Dclose(set->id);
  set->id = -1;
  return closed < 0 || set->file->disk.error ? fail(set->file, set->path) : QDS_OK;
}

void qds_hdf5_dataset_abandon(qds_hdf5_dataset *set) {
  QUIET;
  if (set->id >= 0) H5Dclose(set->id);
}

/* NumPy's .npy files, versions 1 to 3 (format: numpy.lib.format). */
#ifndef QDS_BASE_NPY_H
#define QDS_BASE_NPY_H

#include "base/allocator.h"

enum { QDS_NPY_MAX_DIMENSIONS = 8 };

typedef struct {
  int dimensions;
  int64_t shape[QDS_NPY_MAX_DIMENSIONS];
  double *values; /* C order, tag "npy" */
} qds_npy;

/* Reads real numbers of any numeric type (f2 f4 f8 i1..i8 u1..u8 b1), either byte order, C or Fortran order,
 * as doubles in C order. Errors: FILE, INPUT (not .npy, complex, object, truncated, size
 * mismatch), MEMORY. */
qds_status qds_npy_read(qds_allocator *allocator, const char *path, qds_npy *out);
void qds_npy_clear(qds_npy *array);
/* Writes doubles in C order, version 1, through qds_pending_file. */
qds_status qds_npy_write(qds_allocator *allocator, const char *path, int dimensions, const int64_t *shape,
                         const double *values);

#endif

/* The header of a .npy file: a Python dictionary with the keys descr, fortran_order and shape. */
#ifndef QDS_BASE_NPY_HEADER_H
#define QDS_BASE_NPY_HEADER_H

#include "base/npy.h"

typedef struct {
  char kind;   /* f, i, u or b */
  int size;    /* bytes per element: 1, 2, 4 or 8 */
  int swapped; /* not this machine's byte order */
  int fortran_order;
  int dimensions;
  int64_t shape[QDS_NPY_MAX_DIMENSIONS];
  int64_t count; /* elements */
} qds_npy_header;

/* Parses the dictionary. What is wrong is QDS_ERROR_INPUT; `path` stands for the file in messages. */
qds_status qds_npy_header_parse(const char *path, const char *text, qds_npy_header *out);

#endif

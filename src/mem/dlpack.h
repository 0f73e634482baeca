/* The in-memory layout of DLPack, versions 0 and 1.0 (https://dmlc.github.io/dlpack/latest/c_api.html), under
 * our own names: what libraries hand each other when they share an array. */
#ifndef QDS_MEM_DLPACK_H
#define QDS_MEM_DLPACK_H

#include <stdint.h>

enum {
  QDS_DL_CPU = 1,
  QDS_DL_CUDA = 2,
  QDS_DL_CUDA_HOST = 3, /* page-locked memory of the host */
  QDS_DL_EXTENSION = 12,
  QDS_DL_CUDA_MANAGED = 13
};

enum { QDS_DL_MAJOR = 1, QDS_DL_MINOR = 0 };

typedef struct {
  void *data; /* NULL without elements */
  struct {
    int32_t type, number;
  } device;
  int32_t axes;
  struct {
    uint8_t code, bits;
    uint16_t lanes;
  } type;
  int64_t *shape, *strides; /* strides in elements; NULL: no gaps, the last axis fastest */
  uint64_t byte_offset;
} qds_dl_tensor;

typedef struct qds_dl_managed {
  qds_dl_tensor tensor;
  void *owner;
  void (*deleter)(struct qds_dl_managed *self); /* may be NULL */
} qds_dl_managed;

/* Of another major version, only the fields up to the deleter are known. */
typedef struct qds_dl_versioned {
  struct {
    uint32_t major, minor;
  } version;
  void *owner;
  void (*deleter)(struct qds_dl_versioned *self); /* may be NULL */
  uint64_t flags;                                 /* 1: read-only, 2: a copy */
  qds_dl_tensor tensor;
} qds_dl_versioned;

#endif

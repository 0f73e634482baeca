/* The kernel of layouts: its arguments, for the CPU (layout.c) and for CUDA (layout_cuda.cu). */
#ifndef QDS_LA_LAYOUT_KERNELS_H
#define QDS_LA_LAYOUT_KERNELS_H

#include "la/layout.h"

typedef struct {
  void *records, *arrays; /* in memory of the stream's place */
  qds_layout layout;
  int to_records; /* or to arrays */
} qds_layout_arguments;

extern const qds_kernel qds_layout_kernel;

#endif

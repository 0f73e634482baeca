/* Kernels: functions of a plain argument structure that run in stream order, on the CPU and on devices alike.
 *
 * To add one: a line in QDS_KERNELS, its argument structure and its qds_kernel in a header of its layer (with
 * pointers to memory of the stream's place and numbers only), the CPU function beside the front, and the CUDA
 * launcher in the *_cuda.cu beside it. A kernel cannot fail; what can go wrong shows in its numbers. */
#ifndef QDS_MEM_KERNEL_H
#define QDS_MEM_KERNEL_H

#include <stddef.h>

#define QDS_KERNELS(X)                                                                                       \
  X(GRAM)                                                                                                    \
  X(COMBINE)                                                                                                 \
  X(RESIDUAL)                                                                                                \
  X(FILL_NORMAL)                                                                                             \
  X(MATRIX_PRODUCT)                                                                                          \
  X(FDM_FOLD)                                                                                                \
  X(FDM_UNFOLD)                                                                                              \
  X(FDM_DIVIDE)                                                                                              \
  X(AXIS_MEANS)                                                                                              \
  X(RUN_SUMS)                                                                                                \
  X(FDM_PEAK)                                                                                                \
  X(TENSOR_APPLY)                                                                                            \
  X(COUPLINGS_ADD)                                                                                           \
  X(MAGNETIC_APPLY)                                                                                          \
  X(MAGNETIC_COUPLINGS)                                                                                      \
  X(MAGNETIC_TURN)                                                                                           \
  X(LEVEL_PASS)                                                                                              \
  X(LEVEL_RESTRICT)                                                                                          \
  X(LEVEL_CORRECT)                                                                                           \
  X(LEVEL_INVERT)                                                                                            \
  X(LEVEL_APPLY)                                                                                             \
  X(LEVEL_PROLONG)                                                                                           \
  X(LEVEL_COARSEN)                                                                                           \
  X(LEVEL_SUM)                                                                                               \
  X(LEVEL_EXTREMES)                                                                                          \
  X(LAYOUT)                                                                                                  \
  X(PCG_DOT)                                                                                                 \
  X(PCG_SUBTRACT)                                                                                            \
  X(PCG_ADVANCE)                                                                                             \
  X(PCG_TURN)                                                                                                \
  X(GRID_FOLD)                                                                                               \
  X(GRID_UNFOLD)                                                                                             \
  X(PCG_RANK_ONE)                                                                                            \
  X(GRID_LARGEST)                                                                                            \
  X(PREDICT_DENSITY)

typedef enum {
#define QDS_KERNEL_ENUM(name) QDS_KERNEL_##name,
  QDS_KERNELS(QDS_KERNEL_ENUM)
#undef QDS_KERNEL_ENUM
      QDS_KERNEL_COUNT
} qds_kernel_id;

typedef struct {
  qds_kernel_id id;
  const char *name;
  size_t bytes;                                    /* of the argument structure */
  void (*run)(const void *arguments, int threads); /* on the CPU */
} qds_kernel;

#endif

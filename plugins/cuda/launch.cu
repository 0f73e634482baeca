/* The kernels of the CUDA plugin: one launcher per kernel id, defined with QDS_CUDA_LAUNCHER, but for matrix
 * products, which cuBLAS computes. */
#include "plugin.h"

/* Weak: a kernel whose launcher is not there is refused by name. */
#define DECLARE(name)                                                                                        \
  extern "C" __attribute__((weak)) cudaError_t qds_cuda_##name(const void *arguments, cudaStream_t stream);
QDS_KERNELS(DECLARE)
#undef DECLARE

typedef struct {
  const char *name;
  cudaError_t (*launch)(const void *arguments, cudaStream_t stream);
} launcher;

static const launcher launchers[QDS_KERNEL_COUNT] = {
#define ROW(name) {"kernel " #name, qds_cuda_##name},
    QDS_KERNELS(ROW)
#undef ROW
};

qds_status qds_cuda_launch(void *state, void *stream, int kernel, const void *arguments, size_t bytes) {
  (void)bytes;
  CUDA_ENTER(device, state);
  if (kernel < 0 || kernel >= QDS_KERNEL_COUNT)
    return CUDA_RAISE(device, QDS_ERROR_UNSUPPORTED,
                      "cuda: no kernel %d; plugin and library come from different builds", kernel);
  if (kernel == QDS_KERNEL_MATRIX_PRODUCT) return qds_cuda_product(device, (cudaStream_t)stream, arguments);
  const launcher *found = &launchers[kernel];
  if (!found->launch) return CUDA_RAISE(device, QDS_ERROR_UNSUPPORTED, "cuda: there is no %s", found->name);
  const cudaError_t error = found->launch(arguments, (cudaStream_t)stream);
  return error == cudaSuccess ? QDS_OK : qds_cuda_fail(device, error, found->name, __FILE__, __LINE__);
}

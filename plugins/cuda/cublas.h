/* cuBLAS as this plugin uses it: found and loaded at run time, so that what needs no matrix products runs
 * without it. The declarations are those of cuBLAS's own headers since version 11, which need not be there.
 */
#ifndef QDS_PLUGINS_CUDA_CUBLAS_H
#define QDS_PLUGINS_CUDA_CUBLAS_H

#include <limits.h>

#include "plugin.h"

typedef struct cublasContext *cublas_handle;

enum { CUBLAS_SUCCESS = 0, CUBLAS_ALLOC_FAILED = 3 };        /* cublasStatus_t */
enum { CUBLAS_N = 0, CUBLAS_T = 1 };                         /* cublasOperation_t */
enum { CUBLAS_32F = 68, CUBLAS_64F = 70, CUBLAS_TF32 = 77 }; /* cublasComputeType_t */
enum { CUBLAS_DEFAULT_ALGORITHM = -1 };                      /* cublasGemmAlgo_t */

typedef struct {
  void *library;
  char path[PATH_MAX];
  int (*create)(cublas_handle *handle);
  int (*destroy)(cublas_handle handle);
  int (*set_stream)(cublas_handle handle, cudaStream_t stream);
  int (*set_workspace)(cublas_handle handle, void *workspace, size_t bytes);
  const char *(*status_text)(int status);
  int (*gemm)(cublas_handle handle, int transpose_a, int transpose_b, int m, int n, int k, const void *alpha,
              const void *a, cudaDataType a_type, int lda, long long stride_a, const void *b,
              cudaDataType b_type, int ldb, long long stride_b, const void *beta, void *c,
              cudaDataType c_type, int ldc, long long stride_c, int batches, int compute_type, int algorithm);
} qds_cublas_functions;

/* Looks for libcublas under $QDSIM_CUBLAS, or by its name where the loader looks, in CUDA_HOME, CUDA_PATH and
 * /usr/local/cuda, and in NVIDIA's Python packages beside this plugin or in VIRTUAL_ENV. Returns 0 and says
 * in `tried` what was tried when there is none. */
int qds_cublas_load(qds_cublas_functions *functions, char *tried, size_t tried_bytes);

#endif

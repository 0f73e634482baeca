/* BLAS and LAPACK, loaded when first needed.
 *
 * OpenBLAS 0.3.21 (Debian 12) takes SSE3 kernels on Intel cores that it does not know, four times slower. The
 * core type is read when the library loads, so this front chooses it from the CPU's features first (unless
 * the user has set OPENBLAS_CORETYPE). The library runs on one thread; parallel work is cut by
 * the callers. */
#ifndef QDS_LA_BLAS_H
#define QDS_LA_BLAS_H

#include <complex.h>

#include "par/context.h"

/* Fortran symbols, 32-bit integers, all arguments by address; character lengths are not passed. */
typedef struct {
  void (*dgemm)(const char *ta, const char *tb, const int *m, const int *n, const int *k, const double *alpha,
                const double *a, const int *lda, const double *b, const int *ldb, const double *beta,
                double *c, const int *ldc);
  void (*sgemm)(const char *ta, const char *tb, const int *m, const int *n, const int *k, const float *alpha,
                const float *a, const int *lda, const float *b, const int *ldb, const float *beta, float *c,
                const int *ldc);
  void (*dsyevd)(const char *jobz, const char *uplo, const int *n, double *a, const int *lda, double *w,
                 double *work, const int *lwork, int *iwork, const int *liwork, int *info);
  void (*dpotrf)(const char *uplo, const int *n, double *a, const int *lda, int *info);
  void (*spotrf)(const char *uplo, const int *n, float *a, const int *lda, int *info);
  void (*spotrs)(const char *uplo, const int *n, const int *nrhs, const float *a, const int *lda, float *b,
                 const int *ldb, int *info);
  void (*zgemv)(const char *trans, const int *m, const int *n, const double complex *alpha,
                const double complex *a, const int *lda, const double complex *x, const int *incx,
                const double complex *beta, double complex *y, const int *incy);
  void (*zgbtrf)(const int *m, const int *n, const int *kl, const int *ku, double complex *ab,
                 const int *ldab, int *ipiv, int *info);
  void (*zgbtrs)(const char *trans, const int *n, const int *kl, const int *ku, const int *nrhs,
                 const double complex *ab, const int *ldab, const int *ipiv, double complex *b,
                 const int *ldb, int *info);
  void (*zgeev)(const char *jobvl, const char *jobvr, const int *n, double complex *a, const int *lda,
                double complex *w, double complex *vl, const int *ldvl, double complex *vr, const int *ldvr,
                double complex *work, const int *lwork, double *rwork, int *info);
  const char *library; /* the file that was loaded: "libopenblas.so.0" */
  const char *version; /* "OpenBLAS 0.3.21 ..." or "unknown" */
  const char *core;    /* the kernels in use: "SkylakeX" or "unknown" */
} qds_blas;

/* The context's BLAS. Order: $QDSIM_BLAS, libopenblas.so.0 beside libqdsim, then libopenblas.so.0,
 * libblis.so.4 with liblapack.so.3, and libblas.so.3 with liblapack.so.3 from the system. Errors: UNSUPPORTED
 * (names what was tried). */
qds_status qds_blas_get(qds_context *ctx, const qds_blas **out);

/* Eigenvalues (ascending) and eigenvectors (columns of a, in place) of a symmetric n x n matrix, column-major
 * with leading dimension n; workspace from the context. Errors: NUMERIC (NaN input or LAPACK failure),
 * MEMORY. */
qds_status qds_symmetric_eigen(qds_context *ctx, int n, double *a, double *eigenvalues);

/* Eigenvalues (in no order) and right eigenvectors (columns, of length 1) of a general complex n x n matrix,
 * column-major with leading dimension n, which is overwritten. Errors as for the symmetric one. */
qds_status qds_complex_eigen(qds_context *ctx, int n, double complex *a, double complex *eigenvalues,
                             double complex *vectors);

#endif

/* Functions of headers that the C compiler and the CUDA compiler both translate, so that a kernel's arithmetic
 * is written once. */
#ifndef QDS_BASE_PORTABLE_H
#define QDS_BASE_PORTABLE_H

#ifdef __CUDACC__
#define QDS_PORTABLE __host__ __device__ static inline
#else
#define QDS_PORTABLE __attribute__((unused)) static inline
#endif

#endif

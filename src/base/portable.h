/* Functions of headers that the C compiler and the CUDA compiler both translate, so that a kernel's
 * arithmetic is written once. */
#ifndef QDS_BASE_PORTABLE_H
#define QDS_BASE_PORTABLE_H

/* QDS_PORTABLE_INLINE: always inlined, so that constant arguments count as constants. QDS_UNROLL stands
 * before a loop whose count is then known. */
#ifdef __CUDACC__
#define QDS_PORTABLE __host__ __device__ static inline
#define QDS_PORTABLE_INLINE __host__ __device__ static __forceinline__
#define QDS_UNROLL _Pragma("unroll")
#else
#define QDS_PORTABLE __attribute__((unused)) static inline
#define QDS_PORTABLE_INLINE __attribute__((always_inline, unused)) static inline
#define QDS_UNROLL
#endif

/* The number at a place that no thread of the kernel writes. */
#ifdef __CUDA_ARCH__
#define QDS_READ(place) __ldg(place)
#else
#define QDS_READ(place) (*(place))
#endif

#endif

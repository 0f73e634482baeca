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

/* Asks for the number to be in the second level of cache when it is wanted, some hundred nanoseconds later.
 * It takes no register meanwhile, so a kernel can have more on its way than its registers hold. */
#ifdef __CUDA_ARCH__
#define QDS_PREFETCH(place) asm volatile("prefetch.global.L2 [%0];" ::"l"(place))
#else
#define QDS_PREFETCH(place) __builtin_prefetch(place)
#endif

/* Two neighbouring numbers of that kind, the first at a multiple of their size. */
QDS_PORTABLE_INLINE void qds_read_doubles(const double *place, double two[2]) {
#ifdef __CUDA_ARCH__
  const double2 both = __ldg((const double2 *)place);
  two[0] = both.x;
  two[1] = both.y;
#else
  two[0] = place[0];
  two[1] = place[1];
#endif
}
QDS_PORTABLE_INLINE void qds_read_floats(const float *place, float two[2]) {
#ifdef __CUDA_ARCH__
  const float2 both = __ldg((const float2 *)place);
  two[0] = both.x;
  two[1] = both.y;
#else
  two[0] = place[0];
  two[1] = place[1];
#endif
}

#endif

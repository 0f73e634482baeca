/* What the kernels of block algebra on CUDA share: columns staged in shared memory and products of the
 * double-precision matrix units. */
#ifndef QDS_LA_BLOCK_CUDA_H
#define QDS_LA_BLOCK_CUDA_H

#include "la/block_kernels.h"
#include "la/reduce_cuda.h"
#include "mem/kernel_cuda.h"

constexpr int QDS_WARPS = QDS_THREADS / QDS_WARP;
/* Of one product of the matrix units. */
constexpr int QDS_PRODUCT_ROWS = 16, QDS_PRODUCT_COLUMNS = 8, QDS_PRODUCT_DEPTH = 8;

/* --- the matrix units --------------------------------------------------------------------------------------
 */

/* d (16 x 8) += a (16 x 8) b (8 x 8) in double precision. With g = l / 4 and t = l % 4, lane l holds
 * a[g][t], a[g + 8][t], a[g][t + 4], a[g + 8][t + 4], b[t][g], b[t + 4][g] and d[g][2 t], d[g][2 t + 1],
 * d[g + 8][2 t], d[g + 8][2 t + 1] (PTX ISA, "Matrix fragments for mma.m16n8k8 with .f64"). On an H200 these
 * products reach 66 TFLOP/s, those of 8 x 8 x 4 half of that. */
static __device__ inline void qds_multiply(double (&d)[4], const double (&a)[4], const double (&b)[2]) {
#if __CUDA_ARCH__ >= 900
  asm("mma.sync.aligned.m16n8k8.row.col.f64.f64.f64.f64 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, "
      "{%0, %1, %2, %3};"
      : "+d"(d[0]), "+d"(d[1]), "+d"(d[2]), "+d"(d[3])
      : "d"(a[0]), "d"(a[1]), "d"(a[2]), "d"(a[3]), "d"(b[0]), "d"(b[1]));
#else
#pragma unroll
  for (int part = 0; part < 4; part++)
    asm("mma.sync.aligned.m8n8k4.row.col.f64.f64.f64.f64 {%0, %1}, {%2}, {%3}, {%0, %1};"
        : "+d"(d[part % 2 * 2]), "+d"(d[part % 2 * 2 + 1])
        : "d"(a[part]), "d"(b[part / 2]));
#endif
}

/* --- staging -----------------------------------------------------------------------------------------------
 */

/* Vectors go through shared memory in stages of `rows` rows (a power of two) of some columns, column c at
 * c * stride: while one stage is computed with, the next ones are on their way, so that enough bytes are
 * under way whatever the arithmetic takes, and every number is read from memory once. */
struct qds_stage_shape {
  int shift, stride; /* rows = 1 << shift */
};

/* Asks for 16 bytes; of the second function, for 8, or puts 0 where there is `none`. */
static __device__ inline void qds_copy_16(double *shared, const double *global) {
  asm volatile("cp.async.cg.shared.global [%0], [%1], 16;" ::"r"((unsigned)__cvta_generic_to_shared(shared)),
               "l"(global)
               : "memory");
}
static __device__ inline void qds_copy_8(double *shared, const double *global, bool none) {
  if (none)
    *shared = 0;
  else
    asm volatile("cp.async.ca.shared.global [%0], [%1], 8;" ::"r"((unsigned)__cvta_generic_to_shared(shared)),
                 "l"(global)
                 : "memory");
}

static __device__ inline void qds_copies_commit() {
  asm volatile("cp.async.commit_group;" ::: "memory");
}

/* Waits until no more than LATER of the groups of copies that this thread committed are under way. */
template <int LATER> static __device__ inline void qds_copies_wait() {
  asm volatile("cp.async.wait_group %0;" ::"n"(LATER) : "memory");
}

/* Asks for the rows from `row` on, an even number, of `columns` columns, where column_at(c) is column c; rows
 * past the last become 0. Columns start at multiples of 256 bytes. A thread has the same two rows of every
 * few columns. */
template <typename COLUMN>
static __device__ inline void qds_stage_load(double *stage, qds_stage_shape shape, int columns, int64_t row,
                                             int64_t rows, COLUMN column_at) {
  const int pairs = 1 << (shape.shift - 1), own = 2 * (threadIdx.x & (pairs - 1)),
            first = threadIdx.x >> (shape.shift - 1), step = QDS_THREADS >> (shape.shift - 1);
  double *to = stage + first * shape.stride + own;
  if (row + 2 * pairs <= rows) {
#pragma unroll 4
    for (int c = first; c < columns; c += step, to += step * shape.stride)
      qds_copy_16(to, column_at(c) + (row + own));
  } else {
    const int64_t there = rows - row - own;
    for (int c = first; c < columns; c += step, to += step * shape.stride)
      for (int i = 0; i < 2; i++) qds_copy_8(to + i, column_at(c) + (row + own + i), i >= there);
  }
}

/* --- pairs of rows -----------------------------------------------------------------------------------------
 */

/* Two neighbouring rows of a column, `row` even; those past the last hold 0. Columns start at multiples of
 * 256 bytes. */
static __device__ inline double2 qds_load_pair(const double *column, int64_t row, int64_t rows) {
  if (row + 1 < rows) return *reinterpret_cast<const double2 *>(column + row);
  return make_double2(row < rows ? column[row] : 0, 0);
}

/* What is written is not read again before all else was: it need not stay in the cache. */
static __device__ inline void qds_store_pair(double *column, int64_t row, int64_t rows, double first,
                                             double second) {
  if (row + 1 < rows)
    __stcs(reinterpret_cast<double2 *>(column + row), make_double2(first, second));
  else if (row < rows)
    column[row] = first;
}

/* --- launching ---------------------------------------------------------------------------------------------
 */

/* Column `index` of the ranges side by side; NULL past the last. */
template <int N>
static __host__ __device__ inline double *qds_column_of(const qds_columns (&ranges)[N], int index) {
#pragma unroll
  for (int i = 0; i < N; i++) {
    if (index < ranges[i].columns) return ranges[i].data + index * ranges[i].stride;
    index -= ranges[i].columns;
  }
  return nullptr;
}

/* Bytes of shared memory that a multiprocessor has, those that the system takes for each block, and the most
 * that a block may ask for; `major` is the first number of the device's compute capability. */
struct qds_shared_limits {
  int multiprocessors, all, reserved, of_block, major;
};

static inline cudaError_t qds_shared_limits_of(qds_shared_limits *l) {
  int device = 0;
  cudaError_t error = cudaGetDevice(&device);
  if (error == cudaSuccess)
    error = cudaDeviceGetAttribute(&l->multiprocessors, cudaDevAttrMultiProcessorCount, device);
  if (error == cudaSuccess)
    error = cudaDeviceGetAttribute(&l->all, cudaDevAttrMaxSharedMemoryPerMultiprocessor, device);
  if (error == cudaSuccess)
    error = cudaDeviceGetAttribute(&l->reserved, cudaDevAttrReservedSharedMemoryPerBlock, device);
  if (error == cudaSuccess)
    error = cudaDeviceGetAttribute(&l->of_block, cudaDevAttrMaxSharedMemoryPerBlockOptin, device);
  if (error == cudaSuccess)
    error = cudaDeviceGetAttribute(&l->major, cudaDevAttrComputeCapabilityMajor, device);
  return error;
}

static inline int qds_smaller(int64_t a, int64_t b) {
  return (int)(a < b ? a : b);
}

/* Bytes for each of the blocks that share a multiprocessor. */
static inline int qds_shared_room(const qds_shared_limits &limits, int together) {
  return qds_smaller(limits.all / together - limits.reserved, limits.of_block);
}

/* Allows blocks of a kernel as much dynamic shared memory as there is. The allowance is the kernel's, not the
 * launch's: threads that launch it at the same time must all allow the same. */
template <typename Kernel>
static cudaError_t qds_allow_shared(Kernel kernel, const qds_shared_limits &limits) {
  cudaFuncAttributes attributes;
  const cudaError_t error = cudaFuncGetAttributes(&attributes, kernel);
  return error != cudaSuccess ? error
                              : cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize,
                                                     limits.of_block - (int)attributes.sharedSizeBytes);
}

/* Whether a block with `shared` bytes beside those that the kernel declares fits a multiprocessor, tools that
 * take some of it for themselves considered. */
template <typename Kernel>
static bool qds_block_fits(Kernel kernel, const qds_shared_limits &limits, int threads, size_t shared) {
  int each = 0;
  cudaError_t error = qds_allow_shared(kernel, limits);
  if (error == cudaSuccess)
    error = cudaOccupancyMaxActiveBlocksPerMultiprocessor(&each, kernel, threads, shared);
  if (error != cudaSuccess) (void)cudaGetLastError();
  return each > 0;
}

/* Blocks of a kernel without dynamic shared memory that run at the same time: with as many, none waits for
 * another to end. */
template <typename Kernel> static cudaError_t qds_resident_blocks(Kernel kernel, int *count) {
  int device = 0, multiprocessors = 0, each = 0;
  cudaError_t error = cudaGetDevice(&device);
  if (error == cudaSuccess)
    error = cudaDeviceGetAttribute(&multiprocessors, cudaDevAttrMultiProcessorCount, device);
  if (error == cudaSuccess)
    error = cudaOccupancyMaxActiveBlocksPerMultiprocessor(&each, kernel, QDS_THREADS, 0);
  *count = multiprocessors * each > 0 ? multiprocessors * each : 1;
  return error;
}

#endif

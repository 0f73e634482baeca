/* Stages of shared memory that go round between warps of a block that load and warps that compute. Both the
 * barriers and the copies need compute capability 9.0. */
#ifndef QDS_LA_RING_CUDA_H
#define QDS_LA_RING_CUDA_H

#include "la/block_cuda.h"

/* Where arithmetic takes about as long as memory, neither may wait for the other: the last QDS_LOADERS warps
 * of a block load, and the other QDS_WARPS, which compute, wait for numbers only. */
constexpr int QDS_LOADERS = 2, QDS_RING_STAGES = 3, QDS_RING_THREADS = QDS_THREADS + QDS_WARP * QDS_LOADERS;

/* A stage is full once its numbers have arrived, and empty once every warp that computes is done with it. */
struct qds_ring {
  uint64_t full[QDS_RING_STAGES], empty[QDS_RING_STAGES];
};

/* Of a warp that loads, its number among them; negative of one that computes. */
static __device__ inline int qds_loader() {
  return (int)(threadIdx.x / QDS_WARP) - QDS_WARPS;
}

static __device__ inline unsigned qds_shared_address(const void *shared) {
  return (unsigned)__cvta_generic_to_shared(shared);
}

/* Copies that this thread asks for later come after what it has seen done to shared memory until now. */
static __device__ inline void qds_copies_come_after() {
  asm volatile("fence.proxy.async.shared::cta;" ::: "memory");
}

/* Once for all threads of a block. */
static __device__ inline void qds_ring_start(qds_ring &ring) {
  const auto start = [](uint64_t *barrier, int count) {
    asm volatile("mbarrier.init.shared.b64 [%0], %1;" ::"r"(qds_shared_address(barrier)), "r"(count)
                 : "memory");
  };
  if (threadIdx.x == 0) {
    for (int stage = 0; stage < QDS_RING_STAGES; stage++) {
      start(&ring.full[stage], QDS_LOADERS);
      start(&ring.empty[stage], QDS_WARPS);
    }
    qds_copies_come_after();
  }
  __syncthreads();
}

/* Waits for all threads that compute. */
static __device__ inline void qds_computing_wait() {
  asm volatile("bar.sync 1, %0;" ::"n"(QDS_THREADS) : "memory");
}

/* Where a warp is in the ring; `round` alternates between 0 and 1. */
struct qds_ring_place {
  int stage = 0;
  unsigned round = 0;
  __device__ inline void advance() {
    if (++stage < QDS_RING_STAGES) return;
    stage = 0;
    round ^= 1;
  }
};

/* Waits until all have arrived at the barrier for the given round; that before the first counts as over. */
static __device__ inline void qds_barrier_wait(uint64_t *barrier, unsigned round) {
  unsigned over;
  do
    asm volatile("{ .reg .pred over; mbarrier.try_wait.parity.shared.b64 over, [%1], %2; "
                 "selp.u32 %0, 1, 0, over; }"
                 : "=r"(over)
                 : "r"(qds_shared_address(barrier)), "r"(round)
                 : "memory");
  while (!over);
  __syncwarp();
}

/* For all that the threads of the warp have done. */
static __device__ inline void qds_barrier_arrive(uint64_t *barrier) {
  __syncwarp();
  if (threadIdx.x % QDS_WARP == 0)
    asm volatile(
        "{ .reg .b64 state; mbarrier.arrive.shared.b64 state, [%0]; }" ::"r"(qds_shared_address(barrier))
        : "memory");
}

/* The same, and for `bytes` of copies besides, which one thread of the warp asks for with `ask`. All of the
 * warp's threads take part, and the compiler knows of the one elected that it is alone: what is the same for
 * the warp stays in registers of the warp. */
template <typename ASK>
static __device__ inline void qds_barrier_arrive_with(uint64_t *barrier, unsigned bytes, ASK ask) {
  unsigned elected;
  asm volatile("{ .reg .pred one; elect.sync _|one, 0xffffffff; selp.u32 %0, 1, 0, one; }" : "=r"(elected));
  if (elected) {
    asm volatile("{ .reg .b64 state; mbarrier.arrive.expect_tx.shared.b64 state, [%0], %1; }" ::"r"(
                     qds_shared_address(barrier)),
                 "r"(bytes)
                 : "memory");
    ask();
  }
  __syncwarp();
}

/* Asks for `bytes`, whose arrival `barrier` expects; all multiples of 16. */
static __device__ inline void qds_copy_bulk(double *shared, const double *global, unsigned bytes,
                                            uint64_t *barrier) {
  asm volatile(
      "cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes [%0], [%1], %2, [%3];" ::"r"(
          qds_shared_address(shared)),
      "l"(global), "r"(bytes), "r"(qds_shared_address(barrier))
      : "memory");
}

/* Asks for the rows from `row` on of the columns that are left to warp `loader`: every QDS_LOADERS-th one;
 * column_at(c) is column c. Rows past the last become 0. Columns start at multiples of 64 bytes, and `row` is
 * even. */
template <typename COLUMN>
static __device__ inline void qds_ring_load_stage(double *stage, uint64_t *full, qds_stage_shape shape,
                                                  int loader, int columns, int64_t row, int64_t rows,
                                                  COLUMN column_at) {
  const int height = 1 << shape.shift;
  const unsigned bytes = sizeof(double) * height;
  if (row + height <= rows) {
    qds_barrier_arrive_with(full, bytes * ((columns - loader + QDS_LOADERS - 1) / QDS_LOADERS), [&] {
      qds_copies_come_after();
#pragma unroll 4
      for (int c = loader; c < columns; c += QDS_LOADERS)
        qds_copy_bulk(stage + c * shape.stride, column_at(c) + row, bytes, full);
    });
  } else {
    for (int c = loader; c < columns; c += QDS_LOADERS)
      for (int i = threadIdx.x % QDS_WARP; i < height; i += QDS_WARP)
        stage[c * shape.stride + i] = row + i < rows ? column_at(c)[row + i] : 0;
    qds_barrier_arrive(full);
  }
}

/* All that a warp that loads does: every gridDim.x-th stage height of rows, `each` of the columns in a stage
 * after the other. */
template <typename COLUMN>
static __device__ inline void qds_ring_load(qds_ring &ring, double *stages, qds_stage_shape shape,
                                            int columns, int each, int64_t rows, COLUMN column_at) {
  qds_ring_place at;
  for (int64_t row = (int64_t)blockIdx.x << shape.shift; row < rows; row += (int64_t)gridDim.x << shape.shift)
    for (int first = 0; first < columns; first += each, at.advance()) {
      qds_barrier_wait(&ring.empty[at.stage], at.round ^ 1);
      qds_ring_load_stage(stages + at.stage * each * shape.stride, &ring.full[at.stage], shape, qds_loader(),
                          min(each, columns - first), row, rows, [&](int c) { return column_at(first + c); });
    }
}

#endif

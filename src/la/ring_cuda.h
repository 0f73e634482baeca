/* Stages of shared memory that go round between copies, which fill them, and warps, which compute with them.
 * Both the barriers and the copies need compute capability 9.0. */
#ifndef QDS_LA_RING_CUDA_H
#define QDS_LA_RING_CUDA_H

#include "la/block_cuda.h"

constexpr int QDS_RING_MOST_STAGES = 12;

/* A stage is full once its numbers have arrived, and empty once every warp that computes is done with it. */
struct qds_ring {
  uint64_t full[QDS_RING_MOST_STAGES], empty[QDS_RING_MOST_STAGES];
};

static __device__ inline unsigned qds_shared_address(const void *shared) {
  return (unsigned)__cvta_generic_to_shared(shared);
}

/* Copies that this thread asks for later come after what it has seen done to shared memory until now. */
static __device__ inline void qds_copies_come_after() {
  asm volatile("fence.proxy.async.shared::cta;" ::: "memory");
}

/* Once for all threads of a block: `asking` warps ask for the numbers of a stage, QDS_WARPS compute. */
static __device__ inline void qds_ring_start(qds_ring &ring, int stages, int asking) {
  const auto start = [](uint64_t *barrier, int count) {
    asm volatile("mbarrier.init.shared.b64 [%0], %1;" ::"r"(qds_shared_address(barrier)), "r"(count)
                 : "memory");
  };
  if (threadIdx.x == 0) {
    for (int stage = 0; stage < stages; stage++) {
      start(&ring.full[stage], asking);
      start(&ring.empty[stage], QDS_WARPS);
    }
    qds_copies_come_after();
  }
  __syncthreads();
}

/* Where a warp is in a ring; `round` alternates between 0 and 1. */
struct qds_ring_place {
  int stage = 0;
  unsigned round = 0;
  __device__ inline void advance(int stages) {
    if (++stage < stages) return;
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
    qds_copies_come_after();
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

#endif

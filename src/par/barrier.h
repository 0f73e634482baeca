/* A barrier for a fixed team of threads inside a parallel region.
 *
 * A cycle of multigrid meets some fifty times, often after microseconds of work. This barrier spins for about
 * that long and then yields, so that it costs little on a quiet machine and does not starve its own late
 * members on a busy one; OpenMP's barrier spins for milliseconds. */
#ifndef QDS_PAR_BARRIER_H
#define QDS_PAR_BARRIER_H

#include <sched.h>
#include <stdatomic.h>

typedef struct {
  _Alignas(64) atomic_int arrived;
  _Alignas(64) atomic_int round;
} qds_barrier;

static inline void qds_barrier_wait(qds_barrier *barrier, int members) {
  enum { SPINS = 2000 };
  const int round = atomic_load_explicit(&barrier->round, memory_order_relaxed);
  if (atomic_fetch_add_explicit(&barrier->arrived, 1, memory_order_acq_rel) == members - 1) {
    atomic_store_explicit(&barrier->arrived, 0, memory_order_relaxed);
    atomic_store_explicit(&barrier->round, round + 1, memory_order_release);
    return;
  }
  for (int spin = 0; atomic_load_explicit(&barrier->round, memory_order_acquire) == round; spin++) {
    if (spin < SPINS) {
#if defined(__x86_64__)
      __builtin_ia32_pause();
#endif
    } else {
      sched_yield();
    }
  }
}

#endif

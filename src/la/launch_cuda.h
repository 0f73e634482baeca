/* How kernels on a grid are laid out on CUDA. */
#ifndef QDS_LA_LAUNCH_CUDA_H
#define QDS_LA_LAUNCH_CUDA_H

#include <stdint.h>

#include <cuda_runtime.h>

constexpr int QDS_WARP = 32, QDS_THREADS = 256;

/* A block covers 32 nodes of the last axis, a few lines, and some planes of the first axis, through which
 * each thread goes. Blocks are numbered along the last axis first, so that blocks that run together are
 * neighbours. */
struct qds_layout {
  int n[3], across, down, planes; /* blocks along the last axis and along the second, and planes of a block */
  unsigned blocks;
  dim3 threads;
};

struct qds_place {
  int i, end, j, k; /* planes i to end - 1; none outside the grid */
};

static inline qds_layout qds_layout_of(int n0, int n1, int n2, int planes) {
  qds_layout l = {{n0, n1, n2}, 0, 0, planes, 0, dim3()};
  int lines = QDS_THREADS / QDS_WARP;
  while (lines > 1 && lines / 2 >= n1) lines /= 2;
  l.across = (n2 + QDS_WARP - 1) / QDS_WARP;
  l.down = (n1 + lines - 1) / lines;
  l.blocks = (unsigned)((int64_t)l.across * l.down * ((n0 + planes - 1) / planes));
  l.threads = dim3(QDS_WARP, lines);
  return l;
}

static __device__ inline qds_place qds_place_of(const qds_layout &l) {
  const unsigned row = blockIdx.x / l.across;
  qds_place p = {(int)(row / l.down) * l.planes, 0, (int)((row % l.down) * blockDim.y + threadIdx.y),
                 (int)(blockIdx.x % l.across * QDS_WARP + threadIdx.x)};
  if (p.j < l.n[1] && p.k < l.n[2]) p.end = min(p.i + l.planes, l.n[0]);
  return p;
}

#endif

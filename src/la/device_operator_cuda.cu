/* The kernels of the tensor operator on CUDA. */
#include "la/device_operator_kernels.h"
#include "mem/kernel_cuda.h"

namespace {

constexpr int WARP = 32, THREADS = 256;

/* A block covers 32 nodes of the last axis and a few lines; blocks are numbered along the last axis first,
 * then along the second, then by groups of planes, so that blocks that run together are neighbours. */
struct layout {
  int across, down, planes; /* blocks along the last axis, along the second, and planes of a block */
  unsigned blocks;
  dim3 threads;
};

layout layout_of(const qds_tensor_view &t, int planes) {
  layout l;
  int lines = THREADS / WARP;
  while (lines > 1 && lines / 2 >= t.axis[1].n) lines /= 2;
  l.across = (t.axis[2].n + WARP - 1) / WARP;
  l.down = (t.axis[1].n + lines - 1) / lines;
  l.planes = planes;
  l.blocks = (unsigned)((int64_t)l.across * l.down * ((t.axis[0].n + planes - 1) / planes));
  l.threads = dim3(WARP, lines);
  return l;
}

struct place {
  int i, j, k;
};

__device__ inline place place_of(const layout &l) {
  const unsigned block = blockIdx.x, row = block / l.across;
  return {(int)(row / l.down) * l.planes, (int)((row % l.down) * blockDim.y + threadIdx.y),
          (int)(block % l.across * WARP + threadIdx.x)};
}

template <int COLUMNS>
__global__ void __launch_bounds__(THREADS, COLUMNS == 1 ? 3 : 2)
    tensor_march(const __grid_constant__ qds_tensor_apply_arguments a, const layout l, int first) {
  const place p = place_of(l);
  if (p.j < a.t.axis[1].n && p.k < a.t.axis[2].n)
    qds_tensor_march(&a, COLUMNS, first, p.i, min(p.i + l.planes, a.t.axis[0].n), p.j, p.k);
}

__global__ void __launch_bounds__(THREADS)
    tensor_node(const __grid_constant__ qds_tensor_apply_arguments a, const layout l) {
  const place p = place_of(l);
  if (p.j < a.t.axis[1].n && p.k < a.t.axis[2].n) qds_tensor_node(&a, p.i, p.j, p.k);
}

__global__ void __launch_bounds__(THREADS) couplings_add(const qds_couplings_add_arguments a) {
  const int64_t i = (int64_t)blockIdx.x * THREADS + threadIdx.x;
  if (i < a.rows) qds_couplings_row(&a, i);
}

} // namespace

QDS_CUDA_LAUNCHER(TENSOR_APPLY, qds_tensor_apply_arguments) {
  if (!qds_tensor_is_order_1(&a->t)) {
    const layout l = layout_of(a->t, 1);
    tensor_node<<<l.blocks, l.threads, 0, stream>>>(*a, l);
    return cudaGetLastError();
  }
  const layout l = layout_of(a->t, a->planes);
  for (int first = 0; first < a->x.columns; first += QDS_TENSOR_MOST_COLUMNS) switch (a->x.columns - first) {
    case 1:
      tensor_march<1><<<l.blocks, l.threads, 0, stream>>>(*a, l, first);
      break;
    case 2:
      tensor_march<2><<<l.blocks, l.threads, 0, stream>>>(*a, l, first);
      break;
    case 3:
      tensor_march<3><<<l.blocks, l.threads, 0, stream>>>(*a, l, first);
      break;
    default:
      tensor_march<QDS_TENSOR_MOST_COLUMNS><<<l.blocks, l.threads, 0, stream>>>(*a, l, first);
      break;
    }
  return cudaGetLastError();
}

QDS_CUDA_LAUNCHER(COUPLINGS_ADD, qds_couplings_add_arguments) {
  couplings_add<<<qds_cuda_blocks(a->rows, THREADS), THREADS, 0, stream>>>(*a);
  return cudaGetLastError();
}

/* The kernels of the tensor operator on CUDA. */
#include "la/device_operator_kernels.h"
#include "la/launch_cuda.h"
#include "mem/kernel_cuda.h"

namespace {

template <int COLUMNS>
__global__ void __launch_bounds__(QDS_THREADS, COLUMNS == 1 ? 3 : 2)
    tensor_march(const __grid_constant__ qds_tensor_apply_arguments a, const qds_layout l, int first) {
  const qds_place p = qds_place_of(l);
  if (p.i < p.end) qds_tensor_march(&a, COLUMNS, first, p.i, p.end, p.j, p.k);
}

__global__ void __launch_bounds__(QDS_THREADS)
    tensor_node(const __grid_constant__ qds_tensor_apply_arguments a, const qds_layout l) {
  const qds_place p = qds_place_of(l);
  if (p.i < p.end) qds_tensor_node(&a, p.i, p.j, p.k);
}

__global__ void __launch_bounds__(QDS_THREADS) couplings_add(const qds_couplings_add_arguments a) {
  const int64_t i = (int64_t)blockIdx.x * QDS_THREADS + threadIdx.x;
  if (i < a.rows) qds_couplings_row(&a, i);
}

} // namespace

QDS_CUDA_LAUNCHER(TENSOR_APPLY, qds_tensor_apply_arguments) {
  const qds_tensor_axis_view *axis = a->t.axis;
  if (!qds_tensor_is_order_1(&a->t)) {
    const qds_layout l = qds_layout_of(axis[0].n, axis[1].n, axis[2].n, 1);
    tensor_node<<<l.blocks, l.threads, 0, stream>>>(*a, l);
    return cudaGetLastError();
  }
  const qds_layout l = qds_layout_of(axis[0].n, axis[1].n, axis[2].n, a->planes);
  for (int first = 0; first < a->x.columns; first += QDS_TENSOR_MOST_COLUMNS)
    if (a->x.columns - first == 1)
      tensor_march<1><<<l.blocks, l.threads, 0, stream>>>(*a, l, first);
    else
      tensor_march<QDS_TENSOR_MOST_COLUMNS><<<l.blocks, l.threads, 0, stream>>>(*a, l, first);
  return cudaGetLastError();
}

QDS_CUDA_LAUNCHER(COUPLINGS_ADD, qds_couplings_add_arguments) {
  couplings_add<<<qds_cuda_blocks(a->rows, QDS_THREADS), QDS_THREADS, 0, stream>>>(*a);
  return cudaGetLastError();
}

/* The kernels of the magnetic operator on CUDA. */
#include "la/device_magnetic_kernels.h"
#include "la/launch_cuda.h"
#include "mem/kernel_cuda.h"

namespace {

template <int COLUMNS>
__global__ void __launch_bounds__(QDS_THREADS, 2)
    magnetic_march(const __grid_constant__ qds_magnetic_apply_arguments a, const qds_layout l, int first) {
  const qds_place p = qds_place_of(l);
  if (p.i < p.end) qds_magnetic_march(&a, COLUMNS, first, p.i, p.end, p.j, p.k);
}

template <int COLUMNS>
__global__ void __launch_bounds__(QDS_THREADS)
    magnetic_node(const __grid_constant__ qds_magnetic_apply_arguments a, const qds_layout l, int first) {
  const qds_place p = qds_place_of(l);
  if (p.i < p.end) qds_magnetic_node(&a, COLUMNS, first, p.i, p.j, p.k);
}

template <int COLUMNS>
void launch_columns(const qds_magnetic_apply_arguments &a, const qds_layout &l, int first,
                    cudaStream_t stream) {
  if (a.linked)
    magnetic_march<COLUMNS><<<l.blocks, l.threads, 0, stream>>>(a, l, first);
  else
    magnetic_node<COLUMNS><<<l.blocks, l.threads, 0, stream>>>(a, l, first);
}

__global__ void __launch_bounds__(QDS_THREADS)
    magnetic_couplings(const __grid_constant__ qds_magnetic_couplings_arguments a) {
  const int64_t i = (int64_t)blockIdx.x * QDS_THREADS + threadIdx.x;
  if (i < a.couplings.rows) qds_magnetic_couplings_row(&a, i);
}

__global__ void __launch_bounds__(QDS_THREADS)
    magnetic_turn(const __grid_constant__ qds_magnetic_turn_arguments a) {
  const int64_t row = (int64_t)blockIdx.x * QDS_THREADS + threadIdx.x;
  if (row < a.rows) qds_magnetic_turn_node(&a, row);
}

} // namespace

QDS_CUDA_LAUNCHER(MAGNETIC_APPLY, qds_magnetic_apply_arguments) {
  const qds_tensor_axis_view *axis = a->t.axis;
  const qds_layout l = qds_layout_of(axis[0].n, axis[1].n, axis[2].n, a->linked ? a->planes : 1);
  for (int first = 0; first < a->x.columns; first += QDS_MAGNETIC_MOST_COLUMNS)
    if (a->x.columns - first == 1)
      launch_columns<1>(*a, l, first, stream);
    else
      launch_columns<QDS_MAGNETIC_MOST_COLUMNS>(*a, l, first, stream);
  return cudaGetLastError();
}

QDS_CUDA_LAUNCHER(MAGNETIC_COUPLINGS, qds_magnetic_couplings_arguments) {
  magnetic_couplings<<<qds_cuda_blocks(a->couplings.rows, QDS_THREADS), QDS_THREADS, 0, stream>>>(*a);
  return cudaGetLastError();
}

QDS_CUDA_LAUNCHER(MAGNETIC_TURN, qds_magnetic_turn_arguments) {
  magnetic_turn<<<qds_cuda_blocks(a->rows, QDS_THREADS), QDS_THREADS, 0, stream>>>(*a);
  return cudaGetLastError();
}

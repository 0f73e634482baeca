/* The kernels of the tensor operator on the CPU. */
#include "la/device_operator.h"

static void march(const qds_tensor_apply_arguments *a, int begin, int j) {
  const qds_tensor_axis_view *axis = a->t.axis;
  const int end = begin + a->planes < axis[0].n ? begin + a->planes : axis[0].n;
  for (int first = 0; first < a->x.columns; first += QDS_TENSOR_MOST_COLUMNS) {
    const int left = a->x.columns - first,
              columns = left < QDS_TENSOR_MOST_COLUMNS ? left : QDS_TENSOR_MOST_COLUMNS;
    for (int k = 0; k < axis[2].n; k++) qds_tensor_march(a, columns, first, begin, end, j, k);
  }
}

static void tensor_apply(const void *arguments, int threads) {
  const qds_tensor_apply_arguments *a = arguments;
  const qds_tensor_axis_view *axis = a->t.axis;
  const int marches = qds_tensor_is_order_1(&a->t), planes = marches ? a->planes : 1;
  const int64_t lines = (int64_t)((axis[0].n + planes - 1) / planes) * axis[1].n;
#pragma omp parallel for num_threads(threads) schedule(static) if (lines * axis[2].n * planes > 4096)
  for (int64_t line = 0; line < lines; line++) {
    const int i = (int)(line / axis[1].n) * planes, j = (int)(line % axis[1].n);
    if (marches)
      march(a, i, j);
    else
      for (int k = 0; k < axis[2].n; k++) qds_tensor_node(a, i, j, k);
  }
}

static void couplings_add(const void *arguments, int threads) {
  const qds_couplings_add_arguments *a = arguments;
#pragma omp parallel for num_threads(threads) schedule(static) if (a->rows > 4096)
  for (int64_t i = 0; i < a->rows; i++) qds_couplings_row(a, i);
}

const qds_kernel qds_tensor_apply_kernel = {QDS_KERNEL_TENSOR_APPLY, "tensor operator",
                                            sizeof(qds_tensor_apply_arguments), tensor_apply};
const qds_kernel qds_couplings_add_kernel = {QDS_KERNEL_COUPLINGS_ADD, "couplings",
                                             sizeof(qds_couplings_add_arguments), couplings_add};

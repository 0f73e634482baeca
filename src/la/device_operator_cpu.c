/* The kernels of the tensor operator on the CPU. */
#include "la/device_operator.h"

static void tensor_apply(const void *arguments, int threads) {
  const qds_tensor_apply_arguments *a = arguments;
  const int n0 = a->t.axis[0].n, n1 = a->t.axis[1].n, n2 = a->t.axis[2].n;
  const int64_t lines = (int64_t)n0 * n1;
  const int march = qds_tensor_is_order_1(&a->t);
#pragma omp parallel for num_threads(threads) schedule(static) if (lines * n2 > 4096)
  for (int64_t line = 0; line < lines; line++) {
    const int i = (int)(line / n1), j = (int)(line % n1);
    for (int k = 0; k < n2; k++)
      if (march)
        for (int c = 0; c < a->x.columns; c++) qds_tensor_march(a, 1, c, i, i + 1, j, k);
      else
        qds_tensor_node(a, i, j, k);
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

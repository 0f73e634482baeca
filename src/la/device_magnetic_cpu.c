/* The kernels of the magnetic operator on the CPU. */
#include "la/device_magnetic.h"

static void work_on_line(const qds_magnetic_apply_arguments *a, int columns, int first, int begin, int end,
                         int j) {
  for (int k = 0; k < a->t.axis[2].n; k++)
    if (a->linked)
      qds_magnetic_march(a, columns, first, begin, end, j, k);
    else
      qds_magnetic_node(a, columns, first, begin, j, k);
}

static void magnetic_apply(const void *arguments, int threads) {
  const qds_magnetic_apply_arguments *a = arguments;
  const int n0 = a->t.axis[0].n, n1 = a->t.axis[1].n, planes = a->linked ? a->planes : 1;
  const int64_t lines = (int64_t)((n0 + planes - 1) / planes) * n1;
#pragma omp parallel for num_threads(threads) schedule(static) if (lines * a->t.axis[2].n * planes > 4096)
  for (int64_t line = 0; line < lines; line++) {
    const int i = (int)(line / n1) * planes, end = i + planes < n0 ? i + planes : n0, j = (int)(line % n1);
    for (int first = 0; first < a->x.columns; first += QDS_MAGNETIC_MOST_COLUMNS)
      work_on_line(a, a->x.columns - first > 1 ? 2 : 1, first, i, end, j);
  }
}

static void magnetic_couplings(const void *arguments, int threads) {
  const qds_magnetic_couplings_arguments *a = arguments;
#pragma omp parallel for num_threads(threads) schedule(static) if (a->couplings.rows > 4096)
  for (int64_t i = 0; i < a->couplings.rows; i++) qds_magnetic_couplings_row(a, i);
}

static void magnetic_turn(const void *arguments, int threads) {
  const qds_magnetic_turn_arguments *a = arguments;
#pragma omp parallel for num_threads(threads) schedule(static) if (a->rows > 4096)
  for (int64_t row = 0; row < a->rows; row++) qds_magnetic_turn_node(a, row);
}

const qds_kernel qds_magnetic_apply_kernel = {QDS_KERNEL_MAGNETIC_APPLY, "magnetic operator",
                                              sizeof(qds_magnetic_apply_arguments), magnetic_apply};
const qds_kernel qds_magnetic_couplings_kernel = {QDS_KERNEL_MAGNETIC_COUPLINGS, "couplings in a field",
                                                  sizeof(qds_magnetic_couplings_arguments),
                                                  magnetic_couplings};
const qds_kernel qds_magnetic_turn_kernel = {QDS_KERNEL_MAGNETIC_TURN, "change of gauge",
                                             sizeof(qds_magnetic_turn_arguments), magnetic_turn};

/* The kernels of fast diagonalisation on a stream, on the CPU. */
#include "la/fdm_kernels.h"

/* Lines of the folded half grid. */
static int64_t lines_of(const qds_fdm_shape *s) {
  return (int64_t)s->even[0] * s->even[1];
}

static void fold(const void *arguments, int threads) {
  const qds_fdm_fold_arguments *a = arguments;
  const qds_fdm_shape *s = &a->shape;
  const double scale = a->peak ? qds_fdm_power(*a->peak, -1) : 1;
#pragma omp parallel for num_threads(threads) schedule(static)
  for (int64_t line = 0; line < lines_of(s); line++)
    for (int k = 0; k < s->even[2]; k++)
      qds_fdm_fold_at(a, a->single, scale, (int)(line / s->even[1]), (int)(line % s->even[1]), k);
}

static void unfold(const void *arguments, int threads) {
  const qds_fdm_unfold_arguments *a = arguments;
  const qds_fdm_shape *s = &a->shape;
  const double factor = a->factor * (a->peak ? qds_fdm_power(*a->peak, 1) : 1);
#pragma omp parallel for num_threads(threads) schedule(static)
  for (int64_t line = 0; line < lines_of(s); line++)
    for (int k = 0; k < s->even[2]; k++)
      qds_fdm_unfold_at(a, a->single, factor, (int)(line / s->even[1]), (int)(line % s->even[1]), k);
}

static void divide(const void *arguments, int threads) {
  const qds_fdm_divide_arguments *a = arguments;
  const qds_fdm_shape *s = &a->shape;
#pragma omp parallel for num_threads(threads) schedule(static)
  for (int64_t line = 0; line < (int64_t)s->n[0] * s->n[1]; line++) {
    const double base = a->gap + qds_fdm_load(a->offset[0], a->single, line / s->n[1]) +
                        qds_fdm_load(a->offset[1], a->single, line % s->n[1]);
    for (int64_t k = 0; k < s->row; k++)
      qds_fdm_store(a->numbers, a->single, line * s->row + k,
                    qds_fdm_load(a->numbers, a->single, line * s->row + k) /
                        (base + qds_fdm_load(a->offset[2], a->single, k)));
  }
}

static void peak(const void *arguments, int threads) {
  const qds_fdm_peak_arguments *a = arguments;
  double most = *a->peak, poison = 0;
#pragma omp parallel for num_threads(threads) schedule(static) reduction(max : most) reduction(+ : poison)
  for (int64_t i = 0; i < a->rows; i++) {
    most = fmax(most, fabs(a->x[i]));
    poison += 0 * a->x[i];
  }
  *a->peak = most + poison;
}

const qds_kernel qds_fdm_fold_kernel = {QDS_KERNEL_FDM_FOLD, "folding", sizeof(qds_fdm_fold_arguments), fold};
const qds_kernel qds_fdm_unfold_kernel = {QDS_KERNEL_FDM_UNFOLD, "unfolding",
                                          sizeof(qds_fdm_unfold_arguments), unfold};
const qds_kernel qds_fdm_divide_kernel = {QDS_KERNEL_FDM_DIVIDE, "division by eigenvalues",
                                          sizeof(qds_fdm_divide_arguments), divide};
const qds_kernel qds_fdm_peak_kernel = {QDS_KERNEL_FDM_PEAK, "largest magnitude",
                                        sizeof(qds_fdm_peak_arguments), peak};

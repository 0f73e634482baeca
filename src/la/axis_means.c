#include "la/axis_means.h"

#include <string.h>

/* The sums over k and over j for one i. */
static void sum_plane(const qds_axis_means_arguments *a, int i) {
  double *middle = a->along_middle + (int64_t)i * a->n[2];
  memset(middle, 0, sizeof *middle * (size_t)a->n[2]);
  for (int j = 0; j < a->n[1]; j++) {
    const double weight = qds_axis_means_weight(a, 1, j);
    double sum = 0;
    for (int k = 0; k < a->n[2]; k++) {
      const double value = qds_axis_means_value(a, i, j, k);
      sum += qds_axis_means_weight(a, 2, k) * value;
      middle[k] += weight * value;
    }
    a->along_last[(int64_t)i * a->n[1] + j] = sum;
  }
}

static void axis_means(const void *arguments, int threads) {
  const qds_axis_means_arguments *a = arguments;
#pragma omp parallel for num_threads(threads) schedule(static)
  for (int i = 0; i < a->n[0]; i++) sum_plane(a, i);
  for (int axis = 0; axis < 3; axis++)
    if (a->mean[axis]) memset(a->mean[axis], 0, sizeof(double) * (size_t)a->n[axis]);
  for (int i = 0; i < a->n[0]; i++) {
    const double weight = qds_axis_means_weight(a, 0, i), *last = a->along_last + (int64_t)i * a->n[1],
                 *middle = a->along_middle + (int64_t)i * a->n[2];
    for (int j = 0; a->mean[0] && j < a->n[1]; j++) a->mean[0][i] += qds_axis_means_weight(a, 1, j) * last[j];
    for (int j = 0; a->mean[1] && j < a->n[1]; j++) a->mean[1][j] += weight * last[j];
    for (int k = 0; a->mean[2] && k < a->n[2]; k++) a->mean[2][k] += weight * middle[k];
  }
}

const qds_kernel qds_axis_means_kernel = {QDS_KERNEL_AXIS_MEANS, "means across axes",
                                          sizeof(qds_axis_means_arguments), axis_means};

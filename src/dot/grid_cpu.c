/* The kernels between nodes and unknowns on the CPU. */
#include <math.h>

#include "dot/grid_kernels.h"

/* Waking a team costs more than the work on fewer numbers. */
enum { FEWEST_SHARED = 8192 };

static void fold(const void *arguments, int threads) {
  const qds_grid_fold_arguments *a = arguments;
  const qds_grid_axis_view *axis = a->grid.axis;
  const int64_t lines = (int64_t)axis[0].n * axis[1].n;
#pragma omp parallel for num_threads(threads) schedule(static) if (lines * axis[2].n > FEWEST_SHARED)
  for (int64_t line = 0; line < lines; line++)
    for (int k = 0; k < axis[2].n; k++)
      qds_grid_fold_at(a, (int)(line / axis[1].n), (int)(line % axis[1].n), k);
}

static void unfold(const void *arguments, int threads) {
  const qds_grid_unfold_arguments *a = arguments;
  const qds_grid_axis_view *axis = a->grid.axis;
  const int64_t lines = (int64_t)axis[0].nodes * axis[1].nodes;
#pragma omp parallel for num_threads(threads) schedule(static) if (lines * axis[2].nodes > FEWEST_SHARED)
  for (int64_t line = 0; line < lines; line++)
    for (int k = 0; k < axis[2].nodes; k++)
      qds_grid_unfold_at(a, (int)(line / axis[1].nodes), (int)(line % axis[1].nodes), k);
}

static double larger(double a, double b) {
  return a > b || isnan(a) ? a : b;
}

static void largest(const void *arguments, int threads) {
  const qds_grid_largest_arguments *a = arguments;
#pragma omp parallel for num_threads(threads) schedule(static) if (a->count > FEWEST_SHARED)
  for (int group = 0; group < a->groups; group++) {
    double most = 0;
    for (int64_t i = a->count * group / a->groups; i < a->count * (group + 1) / a->groups; i++)
      most = larger(most, fabs(a->numbers[i]));
    a->partial[group] = most;
  }
  double most = 0;
  for (int group = 0; group < a->groups; group++) most = larger(most, a->partial[group]);
  *a->largest = most;
}

const qds_kernel qds_grid_fold_kernel = {QDS_KERNEL_GRID_FOLD, "nodes to unknowns",
                                         sizeof(qds_grid_fold_arguments), fold},
                 qds_grid_unfold_kernel = {QDS_KERNEL_GRID_UNFOLD, "unknowns to nodes",
                                           sizeof(qds_grid_unfold_arguments), unfold},
                 qds_grid_largest_kernel = {QDS_KERNEL_GRID_LARGEST, "largest magnitude",
                                            sizeof(qds_grid_largest_arguments), largest};

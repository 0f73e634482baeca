/* The kernel that predicts a density: its arguments and the work on one node, for the CPU (density_cpu.c) and
 * for CUDA (density_cuda.cu). Every pointer lies in memory of the stream's place. */
#ifndef QDS_DOT_DENSITY_KERNELS_H
#define QDS_DOT_DENSITY_KERNELS_H

#include "dot/fermi_kernels.h"
#include "dot/grid_kernels.h"

/* Density and slope at each node, and their sums over the volume, summed over groups of nodes first. */
typedef struct {
  qds_grid_view grid;
  int64_t nodes;
  int states, dimension;
  const double *square; /* states x nodes, `stride` apart: |psi|^2 */
  int64_t stride;
  const double *energy_eV, *mass; /* states */
  const qds_fermi_table *table;   /* in 2D */
  double kT_eV, fermi_level_eV;
  const double *shift_V;   /* nodes; NULL: 0 */
  double *density, *slope; /* nodes; NULL: not wanted */
  int groups;
  double *partial, *sums; /* 2 x groups, 2: electrons and their slope */
} qds_predict_density_arguments;

extern const qds_kernel qds_predict_density_kernel;

/* At one node; its share of the sums is added to *sum. */
QDS_PORTABLE_INLINE void qds_predict_density_at(const qds_predict_density_arguments *a, int64_t node,
                                                qds_occupation *sum) {
  const qds_grid_axis_view *axis = a->grid.axis;
  const int n2 = axis[2].nodes, n1 = axis[1].nodes, k = (int)(node % n2), j = (int)(node / n2 % n1),
            i = (int)(node / n2 / n1);
  const double level = a->fermi_level_eV + (a->shift_V ? a->shift_V[node] : 0);
  qds_occupation here = {0, 0};
  for (int s = 0; s < a->states; s++) {
    const double square = a->square[s * a->stride + node];
    if (square == 0) continue;
    const qds_occupation held =
        qds_occupy(a->table, a->dimension, level - a->energy_eV[s], a->mass[s], a->kT_eV);
    here.number += square * held.number;
    here.slope += square * held.slope;
  }
  if (a->density) a->density[node] = here.number;
  if (a->slope) a->slope[node] = here.slope;
  const double weight = qds_grid_weight(&a->grid, i, j, k);
  sum->number += weight * here.number;
  sum->slope += weight * here.slope;
}

#endif

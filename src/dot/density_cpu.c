/* The kernel that predicts a density on the CPU. */
#include "dot/density_kernels.h"

/* Waking a team costs more than the work on fewer nodes. */
enum { FEWEST_SHARED_NODES = 1024 };

static void predict(const void *arguments, int threads) {
  const qds_predict_density_arguments *a = arguments;
#pragma omp parallel for num_threads(threads) schedule(static) if (a->nodes > FEWEST_SHARED_NODES)
  for (int group = 0; group < a->groups; group++) {
    qds_occupation sum = {0, 0};
    for (int64_t node = a->nodes * group / a->groups; node < a->nodes * (group + 1) / a->groups; node++)
      qds_predict_density_at(a, node, &sum);
    a->partial[group] = sum.number;
    a->partial[a->groups + group] = sum.slope;
  }
  for (int which = 0; which < 2; which++) {
    a->sums[which] = 0;
    for (int group = 0; group < a->groups; group++) a->sums[which] += a->partial[which * a->groups + group];
  }
}

const qds_kernel qds_predict_density_kernel = {QDS_KERNEL_PREDICT_DENSITY, "density of electrons",
                                               sizeof(qds_predict_density_arguments), predict};

/* The kernels of multigrid on a stream, on the CPU. */
#include <math.h>

#include "la/device_multigrid_kernels.h"

/* Waking a team costs more than the work on fewer nodes. */
enum { FEWEST_SHARED_NODES = 8192 };

/* `work` at the nodes (i, j, k) of n0 x n1 x n2 from i = begin to end - 1 for each column. */
typedef void (*march_work)(const void *arguments, int column, int begin, int end, int j, int k);
__attribute__((always_inline)) static inline void
for_each_march(int threads, int columns, int planes, const int n[3], march_work work, const void *arguments) {
  const int64_t lines = (int64_t)((n[0] + planes - 1) / planes) * n[1];
#pragma omp parallel for num_threads(threads)                                                                \
    schedule(static) if (lines * n[2] * planes > FEWEST_SHARED_NODES)
  for (int64_t line = 0; line < lines; line++) {
    const int begin = (int)(line / n[1]) * planes, end = begin + planes < n[0] ? begin + planes : n[0];
    for (int c = 0; c < columns; c++)
      for (int k = 0; k < n[2]; k++) work(arguments, c, begin, end, (int)(line % n[1]), k);
  }
}

/* `n` of a level. */
#define NODES(level) ((const int[3]){(level)->axis[0].n, (level)->axis[1].n, (level)->axis[2].n})

static void pass_march(const void *arguments, int c, int begin, int end, int j, int k) {
  const qds_level_pass_arguments *a = arguments;
  switch (a->pass) {
  case QDS_LEVEL_ENTER:
    qds_level_march(a, a->level.tiled, QDS_LEVEL_ENTER, 1, c, begin, end, j, k);
    break;
  case QDS_LEVEL_SMOOTH:
    qds_level_march(a, a->level.tiled, QDS_LEVEL_SMOOTH, 1, c, begin, end, j, k);
    break;
  case QDS_LEVEL_DEFECT:
    qds_level_march(a, a->level.tiled, QDS_LEVEL_DEFECT, 1, c, begin, end, j, k);
    break;
  case QDS_LEVEL_RESIDUAL:
    qds_level_march(a, a->level.tiled, QDS_LEVEL_RESIDUAL, 1, c, begin, end, j, k);
    break;
  case QDS_LEVEL_ADD:
    qds_level_march(a, a->level.tiled, QDS_LEVEL_ADD, 1, c, begin, end, j, k);
    break;
  case QDS_LEVEL_LEAVE:
    qds_level_march(a, a->level.tiled, QDS_LEVEL_LEAVE, 1, c, begin, end, j, k);
    break;
  }
}

static void pass(const void *arguments, int threads) {
  const qds_level_pass_arguments *a = arguments;
  for_each_march(threads, a->columns, a->planes, NODES(&a->level), pass_march, a);
}

static void restrict_march(const void *arguments, int c, int begin, int end, int j, int k) {
  qds_level_restrict_march(arguments, c, begin, end, j, k);
}

static void restrict_defect(const void *arguments, int threads) {
  const qds_level_restrict_arguments *a = arguments;
  for_each_march(threads, a->columns, a->planes, NODES(&a->coarse), restrict_march, a);
}

static void correct_march(const void *arguments, int c, int begin, int end, int j, int k) {
  qds_level_correct_march(arguments, c, begin, end, j, k);
}

static void correct(const void *arguments, int threads) {
  const qds_level_correct_arguments *a = arguments;
  for_each_march(threads, a->columns, a->planes, a->n, correct_march, a);
}

static void invert(const void *arguments, int threads) {
  const qds_level_invert_arguments *a = arguments;
  (void)threads; /* a few hundred rows */
  for (int c = 0; c < a->columns; c++) {
    /* y may be x */
    float right[QDS_MULTIGRID_COARSEST_ROWS];
    for (int row = 0; row < a->rows; row++) right[row] = qds_level_invert_right(a, c, row);
    for (int row = 0; row < a->rows; row++) {
      float sum = 0;
      for (int i = 0; i < a->rows; i++) sum += a->inverse[(int64_t)row * a->rows + i] * right[i];
      qds_level_invert_store(a, c, row, sum);
    }
  }
}

static void apply_node(const void *arguments, int c, int i, int end, int j, int k) {
  const qds_level_apply_arguments *a = arguments;
  (void)c, (void)end;
  qds_level_apply_node(a, a->level.tiled, i, j, k);
}

static void apply(const void *arguments, int threads) {
  const qds_level_apply_arguments *a = arguments;
  for_each_march(threads, 1, 1, NODES(&a->level), apply_node, a);
}

static void prolong_node(const void *arguments, int c, int i, int end, int j, int k) {
  (void)end;
  qds_level_prolong_node(arguments, c, i, j, k);
}

static void prolong(const void *arguments, int threads) {
  const qds_level_prolong_arguments *a = arguments;
  for_each_march(threads, a->to.columns, 1, NODES(&a->fine), prolong_node, a);
}

static void coarsen_entry(const void *arguments, int c, int i, int end, int j, int k) {
  const qds_level_coarsen_arguments *a = arguments;
  (void)c, (void)end;
  qds_level_coarsen_entry(a, a->fine.tiled, i, j, k);
}

static void coarsen(const void *arguments, int threads) {
  const qds_level_coarsen_arguments *a = arguments;
  for_each_march(threads, 1, 1, a->size, coarsen_entry, a);
}

static void sum(const void *arguments, int threads) {
  const qds_level_sum_arguments *a = arguments;
  for (int which = 0; which < 4; which++) {
    const int64_t count = qds_level_sum_count(a, which);
#pragma omp parallel for num_threads(threads) schedule(static) if (count > FEWEST_SHARED_NODES)
    for (int g = 0; g < a->groups; g++) {
      double total = 0;
      for (int64_t at = count * g / a->groups; at < count * (g + 1) / a->groups; at++)
        total += qds_level_sum_entry(a, a->level.tiled, which, at);
      a->partial[which * a->groups + g] = total;
    }
  }
}

static void extremes(const void *arguments, int threads) {
  const qds_level_extremes_arguments *a = arguments;
  const int64_t rows = (int64_t)a->level.axis[0].n * a->level.axis[1].n * a->level.axis[2].n;
#pragma omp parallel for num_threads(threads) schedule(static) if (rows > FEWEST_SHARED_NODES)
  for (int g = 0; g < a->groups; g++) {
    double lowest = INFINITY, largest = 1;
    for (int64_t row = rows * g / a->groups; row < rows * (g + 1) / a->groups; row++)
      qds_level_extremes_node(a, a->level.tiled, row, &lowest, &largest);
    a->partial[2 * g] = lowest;
    a->partial[2 * g + 1] = largest;
  }
}

#define KERNEL(name, ID, text)                                                                               \
  const qds_kernel qds_level_##name##_kernel = {QDS_KERNEL_LEVEL_##ID, text,                                 \
                                                sizeof(qds_level_##name##_arguments), name}
KERNEL(pass, PASS, "multigrid pass");
const qds_kernel qds_level_restrict_kernel = {QDS_KERNEL_LEVEL_RESTRICT, "multigrid restriction",
                                              sizeof(qds_level_restrict_arguments), restrict_defect};
KERNEL(correct, CORRECT, "multigrid correction");
KERNEL(invert, INVERT, "multigrid coarsest level");
KERNEL(apply, APPLY, "multigrid level operator");
KERNEL(prolong, PROLONG, "multigrid interpolation");
KERNEL(coarsen, COARSEN, "multigrid coarsening");
KERNEL(sum, SUM, "multigrid sums");
KERNEL(extremes, EXTREMES, "multigrid extremes");

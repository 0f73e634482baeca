#include "la/run_sums.h"

#include "base/vectorise.h"

enum { LANES = 8 }; /* sums and extremes side by side */

/* Nodes whose unknowns follow each other, each with the share 1, of one vector: its squares, and the largest
 * of those times the scale. */
QDS_VECTORISE static double sum_plain(int64_t count, const double *restrict u, const double *restrict scale,
                                      double line_scale, double *peak) {
  double sum[LANES] = {0}, largest[LANES] = {0}, total = 0;
  int64_t k = 0;
  for (; k + LANES <= count; k += LANES)
    for (int l = 0; l < LANES; l++) {
      const double psi = u[k + l] * line_scale * scale[k + l], square = psi * psi;
      sum[l] += u[k + l] * u[k + l];
      largest[l] = largest[l] > square ? largest[l] : square;
    }
  for (int l = 0; k + l < count; l++) {
    const double psi = u[k + l] * line_scale * scale[k + l], square = psi * psi;
    sum[l] += u[k + l] * u[k + l];
    largest[l] = largest[l] > square ? largest[l] : square;
  }
  for (int l = 0; l < LANES; l++) {
    total += sum[l];
    if (largest[l] > *peak) *peak = largest[l];
  }
  return total;
}

static double sum_run(const qds_run_sums_arguments *a, const qds_run_line *l, int first, int end,
                      double *peak) {
  const qds_run_axis *z = &a->axis[2];
  double sum = 0, value;
  int node = first;
  for (; node < end; node++) {
    const int k = qds_run_unknown(z, node);
    if (a->vectors.columns == 1 && k >= 0 && !z->periodic) {
      const int most = z->n - k, count = end - node < most ? end - node : most;
      sum += sum_plain(count, a->vectors.data + l->at + k, z->scale + k, l->scale, peak);
      node += count - 1;
      continue;
    }
    sum += qds_run_term(a, l, node, &value);
    if (value > *peak) *peak = value;
  }
  return l->share * sum;
}

static void sum_line(const qds_run_sums_arguments *a, int64_t line) {
  const qds_run_line l = qds_run_line_of(a, line);
  double peak = 0;
  int node = 0;
  for (int64_t r = a->start[line]; r < a->start[line + 1]; r++) {
    a->sum[r] = l.at < 0 ? 0 : sum_run(a, &l, node, a->run[r].end, &peak);
    node = a->run[r].end;
  }
  a->peak[line] = peak;
}

static void run_sums(const void *arguments, int threads) {
  const qds_run_sums_arguments *a = arguments;
  const int64_t lines = (int64_t)a->axis[0].nodes * a->axis[1].nodes;
#pragma omp parallel for num_threads(threads) schedule(static)
  for (int64_t line = 0; line < lines; line++) sum_line(a, line);
}

const qds_kernel qds_run_sums_kernel = {QDS_KERNEL_RUN_SUMS, "sums over runs", sizeof(qds_run_sums_arguments),
                                        run_sums};

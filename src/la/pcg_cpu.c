/* The kernels of conjugate gradients on the CPU. */
#include <string.h>

#include "base/vectorise.h"
#include "la/pcg_kernels.h"

/* Waking a team costs more than the work on fewer rows. */
enum { FEWEST_SHARED_ROWS = 8192 };

typedef struct {
  int64_t begin, count;
} range;

static range rows_of(int64_t rows, int group, int groups) {
  const int64_t begin = rows * group / groups;
  return (range){begin, rows * (group + 1) / groups - begin};
}

static void add_up(const qds_pcg_sum *s) {
  double total = 0;
  for (int group = 0; group < s->groups; group++) total += s->partial[group];
  *s->total = total;
}

QDS_VECTORISE static double dot_rows(int64_t rows, const double *restrict a, const double *restrict b) {
  double sum = 0;
#pragma omp simd reduction(+ : sum)
  for (int64_t i = 0; i < rows; i++) sum += a[i] * b[i];
  return sum;
}

static void dot(const void *arguments, int threads) {
  const qds_pcg_dot_arguments *k = arguments;
#pragma omp parallel for num_threads(threads) schedule(static) if (k->rows > FEWEST_SHARED_ROWS)
  for (int group = 0; group < k->sum.groups; group++) {
    const range r = rows_of(k->rows, group, k->sum.groups);
    k->sum.partial[group] = dot_rows(r.count, k->a + r.begin, k->b + r.begin);
  }
  add_up(&k->sum);
}

QDS_VECTORISE static double subtract_rows(int64_t rows, const double *restrict b, const double *restrict q,
                                          double *restrict r) {
  double sum = 0;
#pragma omp simd reduction(+ : sum)
  for (int64_t i = 0; i < rows; i++) {
    r[i] = b[i] - q[i];
    sum += r[i] * r[i];
  }
  return sum;
}

static void subtract(const void *arguments, int threads) {
  const qds_pcg_subtract_arguments *k = arguments;
#pragma omp parallel for num_threads(threads) schedule(static) if (k->rows > FEWEST_SHARED_ROWS)
  for (int group = 0; group < k->sum.groups; group++) {
    const range r = rows_of(k->rows, group, k->sum.groups);
    k->sum.partial[group] = subtract_rows(r.count, k->b + r.begin, k->q + r.begin, k->r + r.begin);
  }
  add_up(&k->sum);
}

QDS_VECTORISE static double advance_rows(int64_t rows, double alpha, const double *restrict p,
                                         const double *restrict q, double *restrict x, double *restrict r) {
  double sum = 0;
#pragma omp simd reduction(+ : sum)
  for (int64_t i = 0; i < rows; i++) {
    x[i] += alpha * p[i];
    r[i] -= alpha * q[i];
    sum += r[i] * r[i];
  }
  return sum;
}

static void advance(const void *arguments, int threads) {
  const qds_pcg_advance_arguments *k = arguments;
  const double alpha = *k->rz / *k->curvature;
#pragma omp parallel for num_threads(threads) schedule(static) if (k->rows > FEWEST_SHARED_ROWS)
  for (int group = 0; group < k->sum.groups; group++) {
    const range r = rows_of(k->rows, group, k->sum.groups);
    k->sum.partial[group] =
        advance_rows(r.count, alpha, k->p + r.begin, k->q + r.begin, k->x + r.begin, k->r + r.begin);
  }
  add_up(&k->sum);
}

static void rank_one(const void *arguments, int threads) {
  const qds_pcg_rank_one_arguments *k = arguments;
  for (int t = 0; t < k->terms; t++) {
    const qds_pcg_dot_arguments product = {k->rows, k->u[t], k->x, {k->groups, k->partial, k->dots + t}};
    dot(&product, threads);
  }
#pragma omp parallel for num_threads(threads) schedule(static) if (k->rows > FEWEST_SHARED_ROWS)
  for (int group = 0; group < k->groups; group++) {
    const range r = rows_of(k->rows, group, k->groups);
    for (int t = 0; t < k->terms; t++) {
      const double part = k->factor[t] * k->dots[t], *u = k->u[t] + r.begin;
      double *y = k->y + r.begin;
      for (int64_t i = 0; i < r.count; i++) y[i] += part * u[i];
    }
  }
}

static void turn(const void *arguments, int threads) {
  enum { GROUPS = 128 };
  const qds_pcg_turn_arguments *k = arguments;
  const double beta = k->rz_before ? *k->rz / *k->rz_before : 0;
#pragma omp parallel for num_threads(threads) schedule(static) if (k->rows > FEWEST_SHARED_ROWS)
  for (int group = 0; group < GROUPS; group++) {
    const range r = rows_of(k->rows, group, GROUPS);
    const double *z = k->z + r.begin;
    double *p = k->p + r.begin;
    if (!k->rz_before)
      memcpy(p, z, (size_t)r.count * sizeof *p);
    else
      for (int64_t i = 0; i < r.count; i++) p[i] = z[i] + beta * p[i];
  }
}

const qds_kernel qds_pcg_dot_kernel = {QDS_KERNEL_PCG_DOT, "dot product", sizeof(qds_pcg_dot_arguments), dot},
                 qds_pcg_subtract_kernel = {QDS_KERNEL_PCG_SUBTRACT, "conjugate gradients: residual",
                                            sizeof(qds_pcg_subtract_arguments), subtract},
                 qds_pcg_advance_kernel = {QDS_KERNEL_PCG_ADVANCE, "conjugate gradients: step",
                                           sizeof(qds_pcg_advance_arguments), advance},
                 qds_pcg_rank_one_kernel = {QDS_KERNEL_PCG_RANK_ONE, "rank-one terms",
                                            sizeof(qds_pcg_rank_one_arguments), rank_one},
                 qds_pcg_turn_kernel = {QDS_KERNEL_PCG_TURN, "conjugate gradients: direction",
                                        sizeof(qds_pcg_turn_arguments), turn};

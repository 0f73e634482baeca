/* The CPU version of fast diagonalisation. Per unknown of a 3D vector in single precision it moves 40 bytes:
 * the peak reads 8, the first axis reads 8 and writes 4, the planes read and write 4, the first axis back
 * reads 4 and writes 8. When it cannot go plane by plane, the middle and the last axis make three such passes
 * instead of one: 56 bytes. */
#include "la/fdm_internal.h"

#include <math.h>
#include <omp.h>
#include <string.h>

#include "base/vectorise.h"

/* Which parts of the workspace are a thread's own. */
typedef struct {
  int vector, thread;
} workspace;

static int64_t smaller(int64_t a, int64_t b) {
  return a < b ? a : b;
}

static int64_t panel_count(int64_t items, int64_t width) {
  return (items + width - 1) / width;
}

#define REAL float
#define GEMM sgemm
#define NEGLIGIBLE 0x1p-60f /* the product of two numbers above it is no denormal */
#define NAMED(name) f32_##name
#define f32_magnitude fabsf
#include "la/fdm_sweeps.h"
#undef REAL
#undef GEMM
#undef NEGLIGIBLE
#undef NAMED

#define REAL double
#define GEMM dgemm
#define NEGLIGIBLE 0.0
#define NAMED(name) f64_##name
#define f64_magnitude fabs
#include "la/fdm_sweeps.h"

/* The largest magnitude, NaN when a number is not finite. In lanes, since compilers take no maximum over
 * doubles apart by themselves. */
QDS_VECTORISE static double peak_of(int64_t count, const double *x) {
  enum { LANES = 16 };
  double peaks[LANES] = {0}, poison[LANES] = {0};
  int64_t i = 0;
  for (; i + LANES <= count; i += LANES)
    for (int l = 0; l < LANES; l++) {
      const double size = fabs(x[i + l]);
      peaks[l] = size > peaks[l] ? size : peaks[l];
      poison[l] += 0 * size;
    }
  for (int l = 0; i < count; i++, l++) {
    peaks[l] = fmax(peaks[l], fabs(x[i]));
    poison[l] += 0 * x[i];
  }
  double peak = 0, poisoned = 0;
  for (int l = 0; l < LANES; l++) {
    peak = fmax(peak, peaks[l]);
    poisoned += poison[l];
  }
  return peak + poisoned;
}

static double team_peak(const qds_fdm *fdm, workspace own, const double *x) {
  const int parts = omp_get_num_threads();
  double *peaks = fdm->peaks + (parts > 1 ? 0 : own.thread);
#pragma omp for schedule(static)
  for (int p = 0; p < parts; p++) {
    const int64_t begin = fdm->rows * p / parts, end = fdm->rows * (p + 1) / parts;
    peaks[p] = peak_of(end - begin, x + begin);
  }
  double peak = 0;
  for (int p = 0; p < parts && !isnan(peak); p++)
    if (!(peaks[p] <= peak)) peak = peaks[p];
  return peak;
}

/* Single precision has a narrow range of exponents: the vector passes through it scaled to a peak of about 1,
 * by a power of two, which is exact. */
static void apply_single(const qds_fdm *fdm, workspace own, const double *x, double *y) {
  const double peak = team_peak(fdm, own, x);
  if (peak == 0 || isnan(peak)) {
#pragma omp for schedule(static)
    for (int64_t i = 0; i < fdm->rows; i++) y[i] = peak;
    return;
  }
  enum { LIMIT = 1000 }; /* both powers of two stay in range */
  int exponent = 0;
  frexp(peak, &exponent);
  if (exponent < -LIMIT) exponent = -LIMIT;
  if (exponent > LIMIT) exponent = LIMIT;
  f32_apply(fdm, own, ldexp(1, -exponent), ldexp(1, exponent) / fdm->unit, x, y);
}

static void apply_vector(const qds_fdm *fdm, workspace own, const double *x, double *y) {
  if (fdm->precision != QDS_FLOAT64)
    apply_single(fdm, own, x, y);
  else
    f64_apply(fdm, own, 1, 1 / fdm->unit, x, y);
}

/* Threads need not wait for each other when each takes vectors of its own: worth it for tiny vectors, and for
 * small ones when at least three quarters of the threads are busy to the end. */
static int one_vector_per_thread(const qds_fdm *fdm, int columns) {
  enum { TINY_VECTOR = 1 << 13 };
  const int64_t rounds = panel_count(columns, fdm->threads);
  return fdm->vectors > 1 && (fdm->rows <= TINY_VECTOR || 4 * (int64_t)columns >= 3 * rounds * fdm->threads);
}

void qds_fdm_apply_cpu(const qds_fdm *fdm, const qds_block *x, qds_block *y) {
  if (x->columns == 0) return;
  if (one_vector_per_thread(fdm, x->columns)) {
#pragma omp parallel for schedule(dynamic) num_threads((int)smaller(fdm->threads, x->columns))
    for (int j = 0; j < x->columns; j++) {
      const int thread = omp_get_thread_num();
#pragma omp parallel num_threads(1) /* a team of one, which the loops over panels belong to */
      apply_vector(fdm, (workspace){thread, thread}, qds_block_column(x, j), qds_block_column(y, j));
    }
    return;
  }
#pragma omp parallel num_threads(fdm->threads)
  for (int j = 0; j < x->columns; j++)
    apply_vector(fdm, (workspace){0, omp_get_thread_num()}, qds_block_column(x, j), qds_block_column(y, j));
}

#include "la/fdm_internal.h"

#include <math.h>
#include <omp.h>
#include <string.h>

/* The loops around the matrix products profit from wide registers as those do; the loader picks the version.
 */
#if defined(__x86_64__) && defined(__gnu_linux__) && !defined(__SANITIZE_ADDRESS__) &&                       \
    !defined(__SANITIZE_THREAD__)
#define VECTOR_CLONES __attribute__((target_clones("avx512f", "avx2", "default")))
#else
#define VECTOR_CLONES
#endif

typedef struct {
  int64_t begin, end;
} range;

typedef struct {
  int rank, size;
} member;

static int64_t smaller(int64_t a, int64_t b) {
  return a < b ? a : b;
}

static int64_t panel_count(int64_t items, int64_t width) {
  return (items + width - 1) / width;
}

static range share(member self, int64_t items) {
  return (range){items * self.rank / self.size, items * (self.rank + 1) / self.size};
}

static int thread_number(void) {
  return omp_get_thread_num();
}

static void meet(member self) {
  if (self.size > 1) {
#pragma omp barrier
  }
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

/* The largest magnitude, NaN when a number is not finite. */
VECTOR_CLONES static double peak_of(range part, const double *x) {
  double peak = 0, poison = 0;
#pragma omp simd reduction(max : peak) reduction(+ : poison)
  for (int64_t i = part.begin; i < part.end; i++) {
    const double size = fabs(x[i]);
    peak = size > peak ? size : peak;
    poison += 0 * x[i];
  }
  return peak + poison;
}

static double team_peak(const qds_fdm *fdm, member self, const double *x) {
  double *peaks = fdm->peaks + (self.size > 1 ? 0 : thread_number());
  peaks[self.rank] = peak_of(share(self, fdm->rows), x);
  meet(self);
  double peak = 0;
  for (int i = 0; i < self.size && !isnan(peak); i++)
    if (!(peaks[i] <= peak)) peak = peaks[i];
  return peak;
}

static void fill(range part, double value, double *y) {
  for (int64_t i = part.begin; i < part.end; i++) y[i] = value;
}

/* Single precision has a narrow range of exponents: the vector passes through it scaled to a peak of about 1,
 * by a power of two, which is exact. */
static void apply_single(const qds_fdm *fdm, member self, int slot, const double *x, double *y) {
  const double peak = team_peak(fdm, self, x);
  if (peak == 0 || isnan(peak)) {
    fill(share(self, fdm->rows), peak, y);
    return;
  }
  enum { LIMIT = 1000 }; /* both powers of two stay in range */
  int exponent = 0;
  frexp(peak, &exponent);
  if (exponent < -LIMIT) exponent = -LIMIT;
  if (exponent > LIMIT) exponent = LIMIT;
  f32_apply(fdm, self, slot, ldexp(1, -exponent), ldexp(1, exponent) / fdm->unit, x, y);
}

static void apply_vector(const qds_fdm *fdm, member self, int slot, const double *x, double *y) {
  if (fdm->precision == QDS_FLOAT32)
    apply_single(fdm, self, slot, x, y);
  else
    f64_apply(fdm, self, slot, 1, 1 / fdm->unit, x, y);
  meet(self); /* before the next vector takes the workspace */
}

void qds_fdm_apply_cpu(const qds_fdm *fdm, const qds_block *x, qds_block *y) {
  if (fdm->slots > 1 && x->columns >= fdm->threads) {
#pragma omp parallel for schedule(dynamic) num_threads(fdm->threads)
    for (int j = 0; j < x->columns; j++)
      apply_vector(fdm, (member){0, 1}, thread_number(), qds_block_column(x, j), qds_block_column(y, j));
    return;
  }
#pragma omp parallel num_threads(fdm->threads)
  {
    const member self = {thread_number(), omp_get_num_threads()};
    for (int j = 0; j < x->columns; j++)
      apply_vector(fdm, self, 0, qds_block_column(x, j), qds_block_column(y, j));
  }
}

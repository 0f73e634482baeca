#include "la/complex_nearest.h"

#include <float.h>
#include <math.h>
#include <string.h>

#include "base/philox.h"
#include "la/blas.h"

enum { START_STREAM = 0x6f70656e }; /* of the random numbers that only this method draws */
enum { LEAST_EXTRA = 30 };          /* vectors of the basis beyond twice those wanted */

/* Eigenvalues of (A - target)^-1 count as converged at this relative residual; inverse iteration does the
 * rest. */
static const double converged_residual = 1e-10;

typedef struct {
  qds_context *ctx;
  const qds_blas *blas;
  qds_complex_band_factor *factor;
  int rows, size, room; /* vectors in the basis besides the next; most that there is room for */
  double complex *basis;
  double complex *hessenberg; /* column-major, leading dimension room + 1 */
} arnoldi;

static double norm_of(int rows, const double complex *x) {
  double sum = 0;
  for (int i = 0; i < rows; i++) sum += creal(x[i]) * creal(x[i]) + cimag(x[i]) * cimag(x[i]);
  return sqrt(sum);
}

static double complex bilinear(int rows, const double complex *x, const double complex *y) {
  double complex sum = 0;
  for (int i = 0; i < rows; i++) sum += x[i] * y[i];
  return sum;
}

static void scale(int rows, double complex factor, double complex *x) {
  for (int i = 0; i < rows; i++) x[i] *= factor;
}

static double complex *basis_vector(const arnoldi *s, int j) {
  return s->basis + (int64_t)j * s->rows;
}

static void fill_random(const arnoldi *s, int stream, double complex *x) {
  const uint64_t seed = qds_context_seed(s->ctx);
  for (int i = 0; i < s->rows; i++)
    x[i] = qds_random_normal(seed, START_STREAM + (uint64_t)stream, 2 * (uint64_t)i) +
           I * qds_random_normal(seed, START_STREAM + (uint64_t)stream, 2 * (uint64_t)i + 1);
}

/* Makes x orthogonal to the first `count` vectors, twice (twice is enough), and adds the coefficients. */
static void orthogonalise(const arnoldi *s, int count, double complex *x, double complex *coefficients,
                          double complex *work) {
  const double complex one = 1, minus = -1, zero = 0;
  const int step = 1;
  for (int pass = 0; pass < 2; pass++) {
    s->blas->zgemv("C", &s->rows, &count, &one, s->basis, &s->rows, x, &step, &zero, work, &step);
    s->blas->zgemv("N", &s->rows, &count, &minus, s->basis, &s->rows, work, &step, &one, x, &step);
    for (int i = 0; i < count; i++) coefficients[i] += work[i];
  }
}

/* One more vector. A basis that spans an invariant subspace goes on with a random vector. */
static qds_status extend(arnoldi *s, double complex *work) {
  const int j = s->size;
  double complex *next = basis_vector(s, j + 1), *column = s->hessenberg + (int64_t)j * (s->room + 1);
  memcpy(next, basis_vector(s, j), sizeof *next * (size_t)s->rows);
  QDS_TRY(qds_complex_band_solve(s->factor, next));
  const double before = norm_of(s->rows, next);
  orthogonalise(s, j + 1, next, column, work);
  double length = norm_of(s->rows, next);
  column[j + 1] = length;
  s->size++;
  if (!isfinite(length)) QDS_FAIL(QDS_ERROR_NUMERIC, "Arnoldi's method met a number that is infinite");
  if (length <= 8 * DBL_EPSILON * before) {
    column[j + 1] = 0;
    if (s->size == s->rows) return QDS_OK;
    QDS_AUTO_RELEASE double complex *ignored = NULL;
    QDS_TRY(QDS_NEW_ZERO(qds_context_allocator(s->ctx), j + 1, "Arnoldi", &ignored));
    fill_random(s, j + 1, next);
    orthogonalise(s, j + 1, next, ignored, work);
    length = norm_of(s->rows, next);
  }
  scale(s->rows, 1 / length, next);
  return QDS_OK;
}

/* Ritz values, largest first, and the vectors of their coefficients. */
typedef struct {
  double complex *value, *vector;
  int *order;
} ritz;

static void ritz_clear(ritz *r) {
  qds_release(r->value);
  qds_release(r->vector);
  qds_release(r->order);
}

static qds_status find_ritz(const arnoldi *s, ritz *r) {
  const int m = s->size;
  qds_allocator *allocator = qds_context_allocator(s->ctx);
  QDS_AUTO_RELEASE double complex *h = NULL;
  ritz_clear(r);
  *r = (ritz){0};
  QDS_TRY(QDS_NEW(allocator, m, "Arnoldi", &r->value));
  QDS_TRY(QDS_NEW(allocator, (int64_t)m * m, "Arnoldi", &r->vector));
  QDS_TRY(QDS_NEW(allocator, m, "Arnoldi", &r->order));
  QDS_TRY(QDS_NEW(allocator, (int64_t)m * m, "Arnoldi", &h));
  for (int j = 0; j < m; j++)
    memcpy(h + (int64_t)j * m, s->hessenberg + (int64_t)j * (s->room + 1), sizeof *h * (size_t)m);
  QDS_TRY(qds_complex_eigen(s->ctx, m, h, r->value, r->vector));
  for (int i = 0; i < m; i++) {
    int at = i;
    for (; at > 0 && cabs(r->value[r->order[at - 1]]) < cabs(r->value[i]); at--)
      r->order[at] = r->order[at - 1];
    r->order[at] = i;
  }
  return QDS_OK;
}

/* Whether the `count` largest Ritz values have converged. */
static int have_converged(const arnoldi *s, const ritz *r, int count) {
  const int m = s->size;
  if (m == s->rows) return 1;
  const double next = cabs(s->hessenberg[(int64_t)(m - 1) * (s->room + 1) + m]);
  for (int i = 0; i < count; i++) {
    const int at = r->order[i];
    if (next * cabs(r->vector[(int64_t)at * m + m - 1]) > converged_residual * cabs(r->value[at])) return 0;
  }
  return 1;
}

/* Room for a basis of m vectors and the next one, keeping what is there. */
static qds_status make_room(arnoldi *s, int m) {
  qds_allocator *allocator = qds_context_allocator(s->ctx);
  QDS_AUTO_RELEASE double complex *larger = NULL;
  QDS_TRY(QDS_RESIZE(allocator, (int64_t)(m + 1) * s->rows, "Arnoldi", &s->basis));
  QDS_TRY(QDS_NEW_ZERO(allocator, (int64_t)m * (m + 1), "Arnoldi", &larger));
  for (int j = 0; j < s->size; j++)
    memcpy(larger + (int64_t)j * (m + 1), s->hessenberg + (int64_t)j * (s->room + 1),
           sizeof *larger * (size_t)(s->size + 1));
  qds_release(s->hessenberg);
  s->hessenberg = larger;
  larger = NULL;
  s->room = m;
  return QDS_OK;
}

static qds_status grow(arnoldi *s, int count, ritz *r) {
  QDS_AUTO_RELEASE double complex *work = NULL;
  QDS_TRY(QDS_NEW(qds_context_allocator(s->ctx), s->rows, "Arnoldi", &work));
  for (int m = 2 * count + LEAST_EXTRA;; m += m / 2) {
    QDS_TRY(make_room(s, m < s->rows ? m : s->rows));
    if (s->size == 0) {
      fill_random(s, 0, s->basis);
      scale(s->rows, 1 / norm_of(s->rows, s->basis), s->basis);
    }
    while (s->size < s->room) {
      QDS_TRY(qds_progress(s->ctx, "solve", (double)s->size / s->room, "%d vectors", s->size));
      QDS_TRY(extend(s, work));
    }
    QDS_TRY(find_ritz(s, r));
    if (have_converged(s, r, count)) return QDS_OK;
  }
}

qds_status qds_complex_inverse_iteration(qds_complex_band_factor *factor, const qds_complex_band *a,
                                         double complex shift, int iterations, double complex *x,
                                         double complex *work, qds_complex_pair *pair) {
  QDS_TRY(qds_complex_band_factorise(factor, shift));
  for (int i = 0; i < iterations; i++) {
    QDS_TRY(qds_complex_band_solve(factor, x));
    scale(a->rows, 1 / norm_of(a->rows, x), x);
  }
  const double complex square = bilinear(a->rows, x, x);
  if (!(cabs(square) > DBL_EPSILON))
    QDS_FAIL(QDS_ERROR_NUMERIC,
             "an eigenvector of the complex symmetric matrix near %g %+g i is orthogonal to itself: two "
             "eigenvalues have met",
             creal(shift), cimag(shift));
  scale(a->rows, 1 / csqrt(square), x);
  qds_complex_band_apply(a, x, work);
  pair->value = bilinear(a->rows, x, work);
  for (int i = 0; i < a->rows; i++) work[i] -= pair->value * x[i];
  pair->residual = norm_of(a->rows, work) / norm_of(a->rows, x);
  return QDS_OK;
}

static void combine(const arnoldi *s, const ritz *r, int which, double complex *x) {
  const double complex one = 1, zero = 0;
  const int step = 1;
  s->blas->zgemv("N", &s->rows, &s->size, &one, s->basis, &s->rows, r->vector + (int64_t)which * s->size,
                 &step, &zero, x, &step);
}

static void arnoldi_clear(arnoldi *s) {
  qds_release(s->basis);
  qds_release(s->hessenberg);
}

qds_status qds_complex_nearest(qds_context *ctx, const qds_complex_band *a, double complex target, int count,
                               qds_complex_pair *pair, double complex *vectors, int64_t *steps) {
  QDS_REQUIRE(count >= 1 && count <= a->rows, "%d eigenvalues of a matrix of order %d", count, a->rows);
  QDS_AUTO(qds_complex_band_factor) *factor = NULL;
  __attribute__((cleanup(ritz_clear))) ritz r = {0};
  __attribute__((cleanup(arnoldi_clear))) arnoldi s = {.ctx = ctx, .rows = a->rows};
  QDS_AUTO_RELEASE double complex *work = NULL;
  QDS_TRY(qds_blas_get(ctx, &s.blas));
  QDS_TRY(qds_complex_band_factor_create(ctx, a, &factor));
  QDS_TRY(qds_complex_band_factorise(factor, target));
  s.factor = factor;
  QDS_TRY(grow(&s, count, &r));
  *steps += s.size;
  QDS_TRY(QDS_NEW(qds_context_allocator(ctx), a->rows, "Arnoldi", &work));
  for (int i = 0; i < count; i++) {
    double complex *x = vectors + (int64_t)i * a->rows;
    combine(&s, &r, r.order[i], x);
    const double complex value = target + 1 / r.value[r.order[i]];
    QDS_TRY(qds_complex_inverse_iteration(factor, a, value, 2, x, work, &pair[i]));
    *steps += 2;
  }
  return QDS_OK;
}

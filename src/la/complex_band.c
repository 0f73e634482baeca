#include "la/complex_band.h"

#include <float.h>
#include <math.h>
#include <string.h>

#include "la/blas.h"

qds_status qds_complex_band_create(qds_context *ctx, int rows, int width, qds_complex_band **out) {
  QDS_AUTO(qds_complex_band) *a = NULL;
  *out = NULL;
  QDS_TRY(QDS_NEW_ZERO(qds_context_allocator(ctx), 1, "complex band", &a));
  a->rows = rows;
  a->width = width;
  QDS_TRY(
      QDS_NEW_ZERO(qds_context_allocator(ctx), (int64_t)rows * (2 * width + 1), "complex band", &a->entry));
  *out = a;
  a = NULL;
  return QDS_OK;
}

void qds_complex_band_destroy(qds_complex_band *a) {
  if (!a) return;
  qds_release(a->entry);
  qds_release(a);
}

/* The columns of row i that lie in the matrix: first to last. */
static int first_column(const qds_complex_band *a, int i) {
  return i < a->width ? 0 : i - a->width;
}
static int last_column(const qds_complex_band *a, int i) {
  return a->rows - 1 - i < a->width ? a->rows - 1 : i + a->width;
}

void qds_complex_band_apply(const qds_complex_band *a, const double complex *x, double complex *y) {
  for (int i = 0; i < a->rows; i++) {
    double complex sum = 0;
    for (int j = first_column(a, i); j <= last_column(a, i); j++) sum += *qds_complex_band_at(a, i, j) * x[j];
    y[i] = sum;
  }
}

double qds_complex_band_norm(const qds_complex_band *a) {
  double norm = 0;
  for (int i = 0; i < a->rows; i++) {
    double sum = 0;
    for (int j = first_column(a, i); j <= last_column(a, i); j++) sum += cabs(*qds_complex_band_at(a, i, j));
    norm = sum <= norm ? norm : sum; /* NaN passes */
  }
  return norm;
}

struct qds_complex_band_factor {
  const qds_complex_band *a; /* borrowed */
  const qds_blas *blas;
  double norm;
  int stride;            /* of a column: width more rows above the band, for the fill by pivoting */
  double complex *entry; /* rows x stride */
  int *pivot;
};

qds_status qds_complex_band_factor_create(qds_context *ctx, const qds_complex_band *a,
                                          qds_complex_band_factor **out) {
  QDS_AUTO(qds_complex_band_factor) *f = NULL;
  *out = NULL;
  QDS_TRY(QDS_NEW_ZERO(qds_context_allocator(ctx), 1, "complex band", &f));
  QDS_TRY(qds_blas_get(ctx, &f->blas));
  f->a = a;
  f->norm = qds_complex_band_norm(a);
  f->stride = 3 * a->width + 1;
  QDS_TRY(QDS_NEW(qds_context_allocator(ctx), (int64_t)a->rows * f->stride, "complex band", &f->entry));
  QDS_TRY(QDS_NEW(qds_context_allocator(ctx), a->rows, "complex band", &f->pivot));
  *out = f;
  f = NULL;
  return QDS_OK;
}

void qds_complex_band_factor_destroy(qds_complex_band_factor *f) {
  if (!f) return;
  qds_release(f->entry);
  qds_release(f->pivot);
  qds_release(f);
}

qds_status qds_complex_band_factorise(qds_complex_band_factor *f, double complex shift) {
  const qds_complex_band *a = f->a;
  const int diagonal = 2 * a->width;
  int info = 0;
  if (!isfinite(f->norm) || !isfinite(creal(shift)) || !isfinite(cimag(shift)))
    QDS_FAIL(QDS_ERROR_NUMERIC, "complex band matrix: an entry or the shift is infinite or not a number");
  memset(f->entry, 0, sizeof *f->entry * (size_t)a->rows * (size_t)f->stride);
  for (int i = 0; i < a->rows; i++) {
    for (int j = first_column(a, i); j <= last_column(a, i); j++)
      f->entry[(int64_t)j * f->stride + diagonal + i - j] = *qds_complex_band_at(a, i, j);
    f->entry[(int64_t)i * f->stride + diagonal] -= shift;
  }
  f->blas->zgbtrf(&a->rows, &a->rows, &a->width, &a->width, f->entry, &f->stride, f->pivot, &info);
  if (info < 0) QDS_FAIL_NATIVE(QDS_ERROR_INTERNAL, info, "LAPACK zgbtrf: argument %d refused", -info);
  for (int i = 0; i < a->rows; i++) {
    double complex *pivot = &f->entry[(int64_t)i * f->stride + diagonal];
    if (*pivot == 0) *pivot = DBL_EPSILON * f->norm + DBL_MIN;
  }
  return QDS_OK;
}

qds_status qds_complex_band_solve(qds_complex_band_factor *f, double complex *x) {
  const qds_complex_band *a = f->a;
  const int one = 1;
  int info = 0;
  f->blas->zgbtrs("N", &a->rows, &a->width, &a->width, &one, f->entry, &f->stride, f->pivot, x, &a->rows,
                  &info);
  if (info < 0) QDS_FAIL_NATIVE(QDS_ERROR_INTERNAL, info, "LAPACK zgbtrs: argument %d refused", -info);
  return QDS_OK;
}

double complex qds_complex_band_phase(const qds_complex_band_factor *f) {
  double complex phase = 1;
  for (int i = 0; i < f->a->rows; i++) {
    const double complex pivot = f->entry[(int64_t)i * f->stride + 2 * f->a->width];
    phase *= pivot / cabs(pivot);
    if (f->pivot[i] != i + 1) phase = -phase; /* LAPACK counts rows from 1 */
  }
  return phase / cabs(phase);
}

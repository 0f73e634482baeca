#include "la/fdm_internal.h"

#include <limits.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum {
  MAX_UNKNOWNS = 32764,    /* on an axis: what qds_symmetric_eigen takes */
  SMALL_PRODUCT = 1000000, /* m n k up to which OpenBLAS multiplies without packing; fastest just below */
  SMALL_WIDTH = 32,        /* narrower panels lose more than packing costs */
  LARGE_WIDTH = 384,       /* wide enough to hide the packing of the modes */
  PANEL_NUMBERS = 1 << 18, /* a panel and a matrix of modes stay in the second-level cache */
  PANELS = 16, /* at least, for the threads to share, when a panel is no narrower than SMALL_WIDTH */
  PLANE_BYTES = 1 << 20, /* largest plane that goes through two axes while in cache */
  PLANE_COUNT = 32,      /* at least, for the threads to share */
  PLANE_ROWS = 64,       /* of planes that go together, at least */
  SMALL_VECTOR = 1 << 18 /* unknowns up to which each thread may take a vector of its own */
};

static const double SYMMETRY_TOLERANCE = 1e-12;
/* Eigenvalues carry rounding errors of this size relative to the largest. */
static const double DEFINITE_TOLERANCE = 1e-14;

static int64_t smaller(int64_t a, int64_t b) {
  return a < b ? a : b;
}
static int64_t larger(int64_t a, int64_t b) {
  return a > b ? a : b;
}

/* Panels of an axis of n unknowns whose larger matrix of modes has the order `order`; `count` columns or rows
 * to cut into `panels` at least. The width must not depend on the thread count, since the results would. */
static int panel_width(int64_t order, int64_t n, int64_t count, int64_t panels) {
  int64_t width = SMALL_PRODUCT / (order * order);
  if (width < SMALL_WIDTH) width = LARGE_WIDTH;
  width = smaller(width, larger(PANEL_NUMBERS / n, 1));
  width = smaller(width, larger((count + panels - 1) / panels, SMALL_WIDTH));
  if (width > 16) width -= width % 16;
  return (int)smaller(width, count);
}

/* Where the sweeps find their axes: 3D first, middle, last; 2D first, last; 1D first; a single
 * unknown first. */
static void place_axes(const int64_t n[3], qds_fdm *fdm, int position[3]) {
  int present = 0, next = 0;
  for (int a = 0; a < 3; a++) present += n[a] > 1;
  for (int a = 0; a < 3; a++) fdm->axis[a].n = fdm->axis[a].even = 1;
  fdm->rows = n[0] * n[1] * n[2];
  for (int a = 0; a < 3; a++) {
    fdm->n[a] = n[a];
    position[a] = -1;
    if (n[a] == 1) continue;
    position[a] = present == 3 ? next : 2 * next;
    fdm->axis[position[a]].n = fdm->axis[position[a]].even = (int)n[a];
    next++;
  }
  if (present == 0) position[0] = 0;
}

/* Panels and workspace; `axis[].even` is the order of the larger matrix of modes. */
static void plan(qds_fdm *fdm) {
  const qds_fdm_axis *first = &fdm->axis[0], *middle = &fdm->axis[1], *last = &fdm->axis[2];
  const int64_t plane = (int64_t)middle->n * last->n;
  const int by_planes = middle->n > 1 && first->n >= PLANE_COUNT &&
                        (size_t)plane * qds_precision_bytes(fdm->precision) <= PLANE_BYTES;
  fdm->planes = by_planes ? (PLANE_ROWS + middle->n - 1) / middle->n : 0;
  fdm->width[0] = panel_width(first->even, first->n, plane, PANELS);
  fdm->width[1] = panel_width(middle->even, middle->n, last->n, first->n >= PLANE_COUNT ? 1 : PANELS);
  fdm->width[2] = panel_width(last->even, last->n, (int64_t)first->n * middle->n, by_planes ? 1 : PANELS);
  fdm->panel = 0;
  for (int a = 0; a < 3; a++) {
    const size_t numbers = (size_t)fdm->width[a] * (size_t)fdm->axis[a].n;
    if (numbers > fdm->panel) fdm->panel = numbers;
  }
  fdm->panel = (fdm->panel + QDS_ALIGNMENT - 1) / QDS_ALIGNMENT * QDS_ALIGNMENT;
  fdm->vectors = fdm->rows <= SMALL_VECTOR ? fdm->threads : 1;
}

static qds_status check_sizes(const int64_t n[3]) {
  for (int a = 0; a < 3; a++)
    QDS_REQUIRE(n[a] >= 1 && n[a] <= MAX_UNKNOWNS,
                "fast diagonalisation: %lld unknowns on axis %d; 1 to %d are allowed", (long long)n[a], a,
                MAX_UNKNOWNS);
  if (n[1] * n[2] > INT_MAX)
    QDS_FAIL(QDS_ERROR_UNSUPPORTED,
             "fast diagonalisation: planes of %lld x %lld unknowns; BLAS allows at most %d numbers between "
             "columns",
             (long long)n[1], (long long)n[2], INT_MAX);
  return QDS_OK;
}

/* Refuses matrices that are not symmetric or not finite; says whether reversal leaves the matrix as it is. */
static qds_status examine_matrix(int axis, int n, const double *a, int *reversible) {
  const int64_t size = (int64_t)n * n;
  double largest = 0;
  for (int64_t i = 0; i < size; i++) {
    if (!isfinite(a[i]))
      QDS_FAIL(QDS_ERROR_NUMERIC, "fast diagonalisation: the matrix of axis %d holds %g at row %d, column %d",
               axis, a[i], (int)(i % n), (int)(i / n));
    largest = fmax(largest, fabs(a[i]));
  }
  double skew = 0, change = 0;
  for (int j = 0; j < n; j++)
    for (int i = 0; i < n; i++) {
      const double value = a[i + (int64_t)j * n];
      skew = fmax(skew, fabs(value - a[j + (int64_t)i * n]));
      change = fmax(change, fabs(value - a[size - 1 - (i + (int64_t)j * n)]));
    }
  QDS_REQUIRE(
      skew <= SYMMETRY_TOLERANCE * largest,
      "fast diagonalisation: the matrix of axis %d is not symmetric; entries differ by %g, the largest is %g",
      axis, skew, largest);
  *reversible = change <= SYMMETRY_TOLERANCE * largest;
  return QDS_OK;
}

/* Entry of the matrix in the basis (e[i] + sign e[n-1-i]) / sqrt(2) for i < pairs, e[i] for the others. */
static double folded(const double *a, int n, int pairs, double sign, int i, int j) {
  const int64_t left = (int64_t)j * n, right = (int64_t)(n - 1 - j) * n;
  const int up = i, down = n - 1 - i;
  if (i < pairs && j < pairs)
    return 0.5 * ((a[up + left] + a[down + right]) + sign * (a[up + right] + a[down + left]));
  if (i < pairs) return M_SQRT1_2 * (a[up + left] + a[down + left]);
  if (j < pairs) return M_SQRT1_2 * (a[up + left] + a[up + right]);
  return a[up + left];
}

/* Numbers that only cost time, see fdm_sweeps.h. */
static void store(const qds_fdm *fdm, void *numbers, int64_t index, double value) {
  if (fdm->precision == QDS_FLOAT64)
    ((double *)numbers)[index] = value;
  else
    ((float *)numbers)[index] = fabs(value) < 0x1p-60 ? 0 : (float)value;
}

static qds_status new_numbers(qds_context *ctx, const qds_fdm *fdm, int64_t count, void **out) {
  return qds_allocate(qds_context_allocator(ctx), (size_t)count, qds_precision_bytes(fdm->precision),
                      "fast diagonalisation", __FILE__, __LINE__, out);
}

/* The modes of one kind; `spectrum` receives their eigenvalues. */
static qds_status solve_kind(qds_context *ctx, const qds_fdm *fdm, const double *matrix, int kind,
                             int keep_transposed, qds_fdm_axis *axis, double *spectrum) {
  const int order = kind ? axis->odd : axis->even;
  if (order == 0) return QDS_OK;
  const int64_t size = (int64_t)order * order;
  QDS_AUTO_RELEASE double *vectors = NULL;
  QDS_TRY(QDS_NEW(qds_context_allocator(ctx), size, "fast diagonalisation", &vectors));
  for (int j = 0; j < order; j++)
    for (int i = 0; i < order; i++)
      vectors[i + (int64_t)j * order] = folded(matrix, axis->n, axis->odd, kind ? -1 : 1, i, j);
  QDS_TRY(qds_symmetric_eigen(ctx, order, vectors, spectrum));

  QDS_TRY(new_numbers(ctx, fdm, size, &axis->modes[kind]));
  if (keep_transposed) QDS_TRY(new_numbers(ctx, fdm, size, &axis->transposed[kind]));
  for (int j = 0; j < order; j++)
    for (int i = 0; i < order; i++) {
      const double value = vectors[i + (int64_t)j * order] * (i < axis->odd ? M_SQRT1_2 : 1);
      store(fdm, axis->modes[kind], i + (int64_t)j * order, value);
      if (keep_transposed) store(fdm, axis->transposed[kind], j + (int64_t)i * order, value);
    }
  return QDS_OK;
}

static int compare(const void *a, const void *b) {
  const double x = *(const double *)a, y = *(const double *)b;
  return (x > y) - (x < y);
}

/* `position` is where the sweeps find the axis, -1 for an absent one. */
static qds_status create_axis(qds_context *ctx, qds_fdm *fdm, int a, int position, int on_host,
                              const double *matrix) {
  const size_t n = (size_t)fdm->n[a];
  QDS_TRY(QDS_NEW_ZERO(qds_context_allocator(ctx), n, "fast diagonalisation", &fdm->eigenvalues[a]));
  if (position < 0) return QDS_OK;
  qds_fdm_axis *axis = &fdm->axis[position];
  int reversible = 0;
  QDS_TRY(examine_matrix(a, axis->n, matrix, &reversible));
  axis->odd = reversible ? axis->n / 2 : 0;
  axis->even = axis->n - axis->odd;
  QDS_TRY(QDS_NEW(qds_context_allocator(ctx), n, "fast diagonalisation", &axis->spectrum));
  for (int kind = 0; kind < 2; kind++)
    QDS_TRY(solve_kind(ctx, fdm, matrix, kind, on_host && position == 2, axis,
                       axis->spectrum + (kind ? axis->even : 0)));
  memcpy(fdm->eigenvalues[a], axis->spectrum, n * sizeof(double));
  qsort(fdm->eigenvalues[a], n, sizeof(double), compare);
  return QDS_OK;
}

qds_status qds_fdm_set_shift(qds_fdm *fdm, double shift) {
  double lowest = 0, highest = 0;
  for (int a = 0; a < 3; a++) {
    lowest += fdm->eigenvalues[a][0];
    highest += fdm->eigenvalues[a][fdm->n[a] - 1];
  }
  const double largest = fmax(fabs(lowest), fabs(highest));
  QDS_REQUIRE(
      lowest - shift > DEFINITE_TOLERANCE * largest && isfinite(shift),
      "fast diagonalisation: the shift %.15g is not below the lowest eigenvalue %.15g; the operator must be "
      "positive definite: lower the shift",
      shift, lowest);
  if (fdm->unit == 0) fdm->unit = highest - shift;
  fdm->gap = (lowest - shift) / fdm->unit;
  return QDS_OK;
}

/* The divisors gap + offset + offset + offset, in units of the largest at the first shift. */
static qds_status create_divisors(qds_context *ctx, qds_fdm *fdm, double shift) {
  QDS_TRY(qds_fdm_set_shift(fdm, shift));
  for (int p = 0; p < 3; p++) {
    qds_fdm_axis *axis = &fdm->axis[p];
    QDS_TRY(new_numbers(ctx, fdm, axis->n, &axis->offsets));
    double least = 0;
    for (int i = 0; axis->spectrum && i < axis->n; i++)
      if (i == 0 || axis->spectrum[i] < least) least = axis->spectrum[i];
    for (int i = 0; i < axis->n; i++)
      store(fdm, axis->offsets, i, axis->spectrum ? (axis->spectrum[i] - least) / fdm->unit : 0);
  }
  return QDS_OK;
}

static qds_status create_workspace(qds_context *ctx, qds_fdm *fdm) {
  plan(fdm);
  QDS_TRY(new_numbers(ctx, fdm, fdm->vectors * fdm->rows, &fdm->work));
  QDS_TRY(new_numbers(ctx, fdm, 2 * fdm->threads * (int64_t)fdm->panel, &fdm->panels));
  return QDS_NEW(qds_context_allocator(ctx), fdm->threads, "fast diagonalisation", &fdm->peaks);
}

/* The modes are of no use on the host when they lie on a stream's place. */
static void release_modes(qds_fdm *fdm) {
  for (int a = 0; a < 3; a++) {
    qds_fdm_axis *axis = &fdm->axis[a];
    for (int kind = 0; kind < 2; kind++) {
      qds_release(axis->modes[kind]);
      qds_release(axis->transposed[kind]);
      axis->modes[kind] = axis->transposed[kind] = NULL;
    }
  }
}

qds_status qds_fdm_create(qds_context *ctx, const int64_t n[3], const double *const matrix[3], double shift,
                          qds_precision precision, qds_fdm **out) {
  return qds_fdm_create_on(ctx, NULL, n, matrix, shift, precision, out);
}

qds_status qds_fdm_create_on(qds_context *ctx, qds_stream *stream, const int64_t n[3],
                             const double *const matrix[3], double shift, qds_precision precision,
                             qds_fdm **out) {
  *out = NULL;
  QDS_TRY(check_sizes(n));
  QDS_AUTO(qds_fdm) *fdm = NULL;
  QDS_TRY(QDS_NEW_ZERO(qds_context_allocator(ctx), 1, "fast diagonalisation", &fdm));
  QDS_TRY(qds_blas_get(ctx, &fdm->blas));
  fdm->precision = precision;
  fdm->threads = qds_context_threads(ctx);
  int position[3];
  place_axes(n, fdm, position);
  const double point = 0;
  for (int a = 0; a < 3; a++)
    QDS_TRY(create_axis(ctx, fdm, a, position[a], !stream, n[a] == 1 ? &point : matrix[a]));
  QDS_TRY(create_divisors(ctx, fdm, shift));
  QDS_TRY(stream ? qds_fdm_device_create(ctx, stream, fdm, &fdm->device) : create_workspace(ctx, fdm));
  if (stream) release_modes(fdm);
  *out = fdm;
  fdm = NULL;
  return QDS_OK;
}

void qds_fdm_destroy(qds_fdm *fdm) {
  if (!fdm) return;
  release_modes(fdm);
  for (int a = 0; a < 3; a++) {
    qds_release(fdm->axis[a].spectrum);
    qds_release(fdm->axis[a].offsets);
    qds_release(fdm->eigenvalues[a]);
  }
  qds_fdm_device_destroy(fdm->device);
  qds_release(fdm->work);
  qds_release(fdm->panels);
  qds_release(fdm->peaks);
  qds_release(fdm);
}

static qds_status apply(void *self, qds_context *ctx, const qds_block *x, qds_block *y) {
  const qds_fdm *fdm = self;
  QDS_REQUIRE(x->rows == fdm->rows && y->rows == fdm->rows && x->columns == y->columns,
              "fast diagonalisation of %lld unknowns: blocks of %lld x %d and %lld x %d",
              (long long)fdm->rows, (long long)x->rows, x->columns, (long long)y->rows, y->columns);
  if (fdm->device) return qds_fdm_apply_device(ctx, fdm, x, y);
  QDS_REQUIRE(!x->stream && !y->stream, "fast diagonalisation of host memory: a block of a stream");
  qds_fdm_apply_cpu(fdm, x, y);
  return QDS_OK;
}

qds_operator qds_fdm_operator(qds_fdm *fdm) {
  return (qds_operator){fdm, fdm->rows, "fast diagonalisation", apply};
}

const double *qds_fdm_eigenvalues(const qds_fdm *fdm, int axis) {
  return fdm->eigenvalues[axis];
}

double qds_fdm_flops(const qds_fdm *fdm) {
  double flops = 0;
  for (int p = 0; p < 3; p++) {
    const qds_fdm_axis *axis = &fdm->axis[p];
    const double even = axis->even, odd = axis->odd;
    if (axis->n > 1) flops += 4 * (even * even + odd * odd) / axis->n * (double)fdm->rows;
  }
  return flops;
}

size_t qds_fdm_bytes(const int64_t n[3], qds_precision precision, int threads) {
  qds_fdm fdm = {.precision = precision, .threads = threads};
  int position[3];
  place_axes(n, &fdm, position);
  plan(&fdm);
  size_t panel = fdm.panel, numbers = 0, doubles = 0, scratch = 0;
  for (int p = 0; p < 3; p++) {
    const size_t order = (size_t)fdm.axis[p].n;
    numbers += (p == 2 ? 2 : 1) * order * order + order;
    doubles += 2 * order;
    /* While it is created: the modes in double precision and the workspace of LAPACK. */
    if (scratch < 3 * order * order) scratch = 3 * order * order;
    fdm.axis[p].even = (fdm.axis[p].n + 1) / 2;
  }
  plan(&fdm); /* as it would be with splitting, which the matrices decide */
  if (fdm.panel > panel) panel = fdm.panel;
  const size_t work =
      ((size_t)fdm.vectors * (size_t)fdm.rows + 2 * (size_t)threads * panel) * qds_precision_bytes(precision);
  doubles += (size_t)threads;
  return sizeof fdm + numbers * qds_precision_bytes(precision) + doubles * sizeof(double) +
         (size_t)larger((int64_t)work, (int64_t)(scratch * sizeof(double)));
}

size_t qds_fdm_bytes_on_stream(const int64_t n[3], qds_precision precision) {
  qds_fdm fdm = {.precision = precision};
  int position[3];
  place_axes(n, &fdm, position);
  const size_t plain = qds_fdm_device_bytes(&fdm);
  for (int p = 0; p < 3; p++) {
    fdm.axis[p].odd = fdm.axis[p].n / 2;
    fdm.axis[p].even = fdm.axis[p].n - fdm.axis[p].odd;
  }
  const size_t split = qds_fdm_device_bytes(&fdm);
  return plain > split ? plain : split;
}

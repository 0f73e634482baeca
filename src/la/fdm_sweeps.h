/* The sweeps of fast diagonalisation in one precision. fdm_cpu.c includes this file once per precision, with
 * REAL, GEMM, NEGLIGIBLE and NAMED(x) defined.
 *
 * A panel is a group of columns (first and middle axis) or rows (last axis) that is small enough for the
 * cache. It is folded into its even and odd part while it is loaded, and unfolded while it is stored, so that
 * the splitting costs no pass of its own; the matrix products read or write the work vector on their other
 * side. */

/* Products of denormal numbers take a hundred times as long, and tails of bound states are full of them. */
static inline REAL NAMED(cleaned)(REAL value) {
  return NAMED(magnitude)(value) < NEGLIGIBLE ? 0 : value;
}

/* panel (width x n, column-major) = the folded columns of `source`, whose index along the axis has the stride
 * `ld`. */
#define DEFINE_FOLD_COLUMNS(name, FROM)                                                                      \
  QDS_VECTORISE static void NAMED(name)(const qds_fdm_axis *axis, const FROM *source, int64_t ld, int width, \
                                        FROM scale, REAL *panel) {                                           \
    for (int i = 0; i < axis->odd; i++) {                                                                    \
      const FROM *low = source + i * ld, *high = source + (axis->n - 1 - i) * ld;                            \
      REAL *even = panel + (int64_t)i * width, *odd = panel + (int64_t)(axis->even + i) * width;             \
      for (int c = 0; c < width; c++) {                                                                      \
        const REAL a = (REAL)(low[c] * scale), b = (REAL)(high[c] * scale);                                  \
        even[c] = NAMED(cleaned)(a + b);                                                                     \
        odd[c] = NAMED(cleaned)(a - b);                                                                      \
      }                                                                                                      \
    }                                                                                                        \
    for (int i = axis->odd; i < axis->even; i++)                                                             \
      for (int c = 0; c < width; c++)                                                                        \
        panel[(int64_t)i * width + c] = NAMED(cleaned)((REAL)(source[i * ld + c] * scale));                  \
  }
DEFINE_FOLD_COLUMNS(import_columns, double)
DEFINE_FOLD_COLUMNS(fold_columns, REAL)
#undef DEFINE_FOLD_COLUMNS

/* The reverse: columns of `target` = factor * unfolded panel. */
#define DEFINE_UNFOLD_COLUMNS(name, TO)                                                                      \
  QDS_VECTORISE static void NAMED(name)(const qds_fdm_axis *axis, const REAL *panel, int width, TO factor,   \
                                        TO *target, int64_t ld) {                                            \
    for (int i = 0; i < axis->odd; i++) {                                                                    \
      TO *low = target + i * ld, *high = target + (axis->n - 1 - i) * ld;                                    \
      const REAL *even = panel + (int64_t)i * width, *odd = panel + (int64_t)(axis->even + i) * width;       \
      for (int c = 0; c < width; c++) {                                                                      \
        low[c] = factor * (TO)(even[c] + odd[c]);                                                            \
        high[c] = factor * (TO)(even[c] - odd[c]);                                                           \
      }                                                                                                      \
    }                                                                                                        \
    for (int i = axis->odd; i < axis->even; i++)                                                             \
      for (int c = 0; c < width; c++) target[i * ld + c] = factor * (TO)panel[(int64_t)i * width + c];       \
  }
DEFINE_UNFOLD_COLUMNS(export_columns, double)
DEFINE_UNFOLD_COLUMNS(unfold_columns, REAL)
#undef DEFINE_UNFOLD_COLUMNS

QDS_VECTORISE static void NAMED(fold_rows)(const qds_fdm_axis *axis, const REAL *source, int count,
                                           REAL *panel) {
  for (int r = 0; r < count; r++) {
    const REAL *row = source + (int64_t)r * axis->n;
    REAL *even = panel + (int64_t)r * axis->n, *odd = even + axis->even;
    for (int k = 0; k < axis->odd; k++) {
      const REAL a = row[k], b = row[axis->n - 1 - k];
      even[k] = NAMED(cleaned)(a + b);
      odd[k] = NAMED(cleaned)(a - b);
    }
    for (int k = axis->odd; k < axis->even; k++) even[k] = NAMED(cleaned)(row[k]);
  }
}

QDS_VECTORISE static void NAMED(unfold_rows)(const qds_fdm_axis *axis, const REAL *panel, int count,
                                             REAL *target) {
  for (int r = 0; r < count; r++) {
    const REAL *even = panel + (int64_t)r * axis->n, *odd = even + axis->even;
    REAL *row = target + (int64_t)r * axis->n;
    for (int k = 0; k < axis->odd; k++) {
      row[k] = even[k] + odd[k];
      row[axis->n - 1 - k] = even[k] - odd[k];
    }
    for (int k = axis->odd; k < axis->even; k++) row[k] = even[k];
  }
}

/* Divides rows in mode space, the first of which is number `first`, by their eigenvalues. */
QDS_VECTORISE static void NAMED(divide_rows)(const qds_fdm *fdm, int64_t first, int count, REAL *rows) {
  const int n = fdm->axis[2].n;
  const REAL *along_first = fdm->axis[0].offsets, *along_middle = fdm->axis[1].offsets;
  const REAL *along_row = fdm->axis[2].offsets;
  for (int r = 0; r < count; r++) {
    const int64_t i = (first + r) / fdm->axis[1].n, j = (first + r) % fdm->axis[1].n;
    const REAL base = (REAL)fdm->gap + along_first[i] + along_middle[j];
    REAL *row = rows + (int64_t)r * n;
    for (int k = 0; k < n; k++) row[k] /= base + along_row[k];
  }
}

static void NAMED(multiply)(const qds_fdm *fdm, const char *transpose_b, int m, int n, int k, const REAL *a,
                            int lda, const REAL *b, int ldb, REAL *c, int ldc) {
  const REAL one = 1, zero = 0;
  if (m > 0 && n > 0 && k > 0)
    fdm->blas->GEMM("N", transpose_b, &m, &n, &k, &one, a, &lda, b, &ldb, &zero, c, &ldc);
}

/* target (columns, stride ld) = folded panel times the modes. */
static void NAMED(to_modes)(const qds_fdm *fdm, const qds_fdm_axis *axis, const REAL *panel, int width,
                            REAL *target, int ld) {
  const int e = axis->even, o = axis->odd;
  NAMED(multiply)(fdm, "N", width, e, e, panel, width, axis->modes[0], e, target, ld);
  NAMED(multiply)
  (fdm, "N", width, o, o, panel + (int64_t)e * width, width, axis->modes[1], o, target + (int64_t)e * ld, ld);
}

/* folded panel = source (columns, stride ld) times the transposed modes. */
static void NAMED(from_modes)(const qds_fdm *fdm, const qds_fdm_axis *axis, const REAL *source, int ld,
                              int width, REAL *panel) {
  const int e = axis->even, o = axis->odd;
  NAMED(multiply)(fdm, "T", width, e, e, source, ld, axis->modes[0], e, panel, width);
  NAMED(multiply)
  (fdm, "T", width, o, o, source + (int64_t)e * ld, ld, axis->modes[1], o, panel + (int64_t)e * width, width);
}

/* First axis, there: a panel of work = modes^T (scale * x). */
static void NAMED(first_axis_forward)(const qds_fdm *fdm, int64_t number, double scale, const double *x,
                                      REAL *work, REAL *panel) {
  const int columns = fdm->axis[1].n * fdm->axis[2].n;
  const int64_t c = number * fdm->width[0];
  const int width = (int)smaller(fdm->width[0], columns - c);
  NAMED(import_columns)(&fdm->axis[0], x + c, columns, width, scale, panel);
  NAMED(to_modes)(fdm, &fdm->axis[0], panel, width, work + c, columns);
}

/* First axis, back: a panel of y = factor * modes work. */
static void NAMED(first_axis_backward)(const qds_fdm *fdm, int64_t number, double factor, const REAL *work,
                                       double *y, REAL *panel) {
  const int columns = fdm->axis[1].n * fdm->axis[2].n;
  const int64_t c = number * fdm->width[0];
  const int width = (int)smaller(fdm->width[0], columns - c);
  NAMED(from_modes)(fdm, &fdm->axis[0], work + c, columns, width, panel);
  NAMED(export_columns)(&fdm->axis[0], panel, width, factor, y + c, columns);
}

/* Middle axis, there or back, in place on a panel numbered through all planes. */
static void NAMED(middle_axis)(const qds_fdm *fdm, int64_t number, int back, REAL *work, REAL *panel) {
  const qds_fdm_axis *axis = &fdm->axis[1];
  const int columns = fdm->axis[2].n;
  const int64_t per_plane = panel_count(columns, fdm->width[1]);
  const int64_t c = number % per_plane * fdm->width[1];
  const int width = (int)smaller(fdm->width[1], columns - c);
  REAL *part = work + number / per_plane * axis->n * columns + c;
  if (back) {
    NAMED(from_modes)(fdm, axis, part, columns, width, panel);
    NAMED(unfold_columns)(axis, panel, width, 1, part, columns);
  } else {
    NAMED(fold_columns)(axis, part, columns, width, 1, panel);
    NAMED(to_modes)(fdm, axis, panel, width, part, columns);
  }
}

/* Last axis, there, division by the eigenvalues, and back, in place on `count` rows from `first`. */
static void NAMED(last_axis)(const qds_fdm *fdm, int64_t first, int count, REAL *work, REAL *panel,
                             REAL *modes) {
  const qds_fdm_axis *axis = &fdm->axis[2];
  const int n = axis->n, e = axis->even, o = axis->odd;
  REAL *part = work + first * n;
  if (n == 1) {
    NAMED(divide_rows)(fdm, first, count, part);
    return;
  }
  NAMED(fold_rows)(axis, part, count, panel);
  NAMED(multiply)(fdm, "N", e, count, e, axis->transposed[0], e, panel, n, modes, n);
  NAMED(multiply)(fdm, "N", o, count, o, axis->transposed[1], o, panel + e, n, modes + e, n);
  NAMED(divide_rows)(fdm, first, count, modes);
  NAMED(multiply)(fdm, "N", e, count, e, axis->modes[0], e, modes, n, panel, n);
  NAMED(multiply)(fdm, "N", o, count, o, axis->modes[1], o, modes + e, n, panel + e, n);
  NAMED(unfold_rows)(axis, panel, count, part);
}

/* Middle and last axis of some planes, so that they pass through the cache once. */
static void NAMED(planes)(const qds_fdm *fdm, int64_t number, REAL *work, REAL *panel, REAL *modes) {
  const int64_t per_plane = panel_count(fdm->axis[2].n, fdm->width[1]), rows_per_plane = fdm->axis[1].n;
  const int64_t begin = number * fdm->planes, end = smaller(begin + fdm->planes, fdm->axis[0].n);
  for (int64_t p = begin * per_plane; p < end * per_plane; p++) NAMED(middle_axis)(fdm, p, 0, work, panel);
  for (int64_t r = begin * rows_per_plane; r < end * rows_per_plane; r += fdm->width[2])
    NAMED(last_axis)(fdm, r, (int)smaller(fdm->width[2], end * rows_per_plane - r), work, panel, modes);
  for (int64_t p = begin * per_plane; p < end * per_plane; p++) NAMED(middle_axis)(fdm, p, 1, work, panel);
}

/* Middle and last axis one after the other, for few or large planes; in 2D and 1D there is no middle axis. */
static void NAMED(axis_by_axis)(const qds_fdm *fdm, REAL *work, REAL *panel, REAL *modes) {
  const int64_t planes = fdm->axis[0].n, rows = planes * fdm->axis[1].n;
  const int64_t middle = fdm->axis[1].n == 1 ? 0 : planes * panel_count(fdm->axis[2].n, fdm->width[1]);
  const int64_t last = panel_count(rows, fdm->width[2]);
#pragma omp for schedule(dynamic)
  for (int64_t p = 0; p < middle; p++) NAMED(middle_axis)(fdm, p, 0, work, panel);
#pragma omp for schedule(dynamic)
  for (int64_t p = 0; p < last; p++) {
    const int64_t first = p * fdm->width[2];
    NAMED(last_axis)(fdm, first, (int)smaller(fdm->width[2], rows - first), work, panel, modes);
  }
#pragma omp for schedule(dynamic)
  for (int64_t p = 0; p < middle; p++) NAMED(middle_axis)(fdm, p, 1, work, panel);
}

/* y = factor * inverse (scale * x), shared out among the threads of the innermost team. */
static void NAMED(apply)(const qds_fdm *fdm, workspace own, double scale, double factor, const double *x,
                         double *y) {
  REAL *work = (REAL *)fdm->work + (size_t)own.vector * (size_t)fdm->rows;
  REAL *panel = (REAL *)fdm->panels + 2 * (size_t)own.thread * fdm->panel, *modes = panel + fdm->panel;
  const int64_t panels = panel_count((int64_t)fdm->axis[1].n * fdm->axis[2].n, fdm->width[0]);
#pragma omp for schedule(dynamic)
  for (int64_t p = 0; p < panels; p++) NAMED(first_axis_forward)(fdm, p, scale, x, work, panel);
  if (fdm->planes) {
    const int64_t units = panel_count(fdm->axis[0].n, fdm->planes);
#pragma omp for schedule(dynamic)
    for (int64_t u = 0; u < units; u++) NAMED(planes)(fdm, u, work, panel, modes);
  } else {
    NAMED(axis_by_axis)(fdm, work, panel, modes);
  }
#pragma omp for schedule(dynamic)
  for (int64_t p = 0; p < panels; p++) NAMED(first_axis_backward)(fdm, p, factor, work, y, panel);
}

#include "la/separable.h"

#include <math.h>
#include <string.h>

/* The shift stays this part of the first level spacings below the lowest level of the separable operator. */
static const double margin = 0.2;

/* Probability of the states at each plane of unknowns, for each axis: density[a][n[a]], each with sum 1. */
static void marginals(const qds_tensor_operator *t, const qds_block *states, double *const density[3]) {
  double total = 0;
  for (int a = 0; a < 3; a++) memset(density[a], 0, sizeof(double) * (size_t)t->n[a]);
  for (int s = 0; s < states->columns; s++) {
    const double *u = qds_block_column(states, s);
    for (int64_t line = 0; line < t->n[0] * t->n[1]; line++) {
      double sum = 0;
      for (int64_t k = 0; k < t->n[2]; k++) {
        const double square = u[line * t->n[2] + k] * u[line * t->n[2] + k];
        density[2][k] += square;
        sum += square;
      }
      density[0][line / t->n[1]] += sum;
      density[1][line % t->n[1]] += sum;
      total += sum;
    }
  }
  for (int a = 0; a < 3; a++)
    for (int64_t i = 0; i < t->n[a]; i++) density[a][i] /= total;
}

/* mean[i] = the sum over the other axes of values weighted by their densities; the array has
 * size[] entries. */
static void mean_across(const int64_t size[3], int a, const double *values, double *const density[3],
                        double *mean) {
  memset(mean, 0, sizeof(double) * (size_t)size[a]);
  for (int64_t i = 0; i < size[0]; i++)
    for (int64_t j = 0; j < size[1]; j++) {
      const double outer = (a == 0 ? 1 : density[0][i]) * (a == 1 ? 1 : density[1][j]);
      const double *line = values + (i * size[1] + j) * size[2];
      if (a == 2) {
        for (int64_t k = 0; k < size[2]; k++) mean[k] += outer * line[k];
      } else {
        double sum = 0;
        for (int64_t k = 0; k < size[2]; k++) sum += density[2][k] * line[k];
        mean[a == 0 ? i : j] += outer * sum;
      }
    }
}

/* The matrix of axis a, and in *mean_v the mean of v over all axes. */
static qds_status axis_matrix(qds_context *ctx, const qds_tensor_operator *t, int a, double *const density[3],
                              double *mean_v, double **matrix) {
  qds_allocator *allocator = qds_context_allocator(ctx);
  const qds_axis *axis = t->axis[a];
  int64_t size[3] = {t->n[0], t->n[1], t->n[2]};
  QDS_AUTO_RELEASE double *v = NULL, *c = NULL;
  QDS_TRY(QDS_NEW(allocator, t->n[a], "fast diagonalisation", &v));
  QDS_TRY(QDS_NEW(allocator, axis->elements + 1, "fast diagonalisation", &c));
  mean_across(size, a, t->v, density, v);
  *mean_v = 0;
  for (int64_t i = 0; i < t->n[a]; i++) *mean_v += density[a][i] * v[i];
  size[a] = axis->elements;
  if (axis->elements > 0 && !t->by_element[a]) mean_across(size, a, t->c[a], density, c);
  if (axis->elements > 0 && t->by_element[a]) memcpy(c, t->c[a], sizeof(double) * (size_t)axis->elements);
  QDS_TRY(QDS_NEW(allocator, t->n[a] * t->n[a], "fast diagonalisation", matrix));
  qds_axis_matrix(axis, c, v, *matrix);
  return QDS_OK;
}

/* A point axis carries v too; it goes to the first real one instead, as part of the shift. */
static qds_status create(qds_context *ctx, const qds_tensor_operator *t, double *const density[3],
                         double *matrix[3], double shift, qds_precision precision, qds_fdm **out) {
  double mean_v = 0, spacing = INFINITY, lowest = 0, floor = 0;
  int dimensions = 0;
  for (int a = 0; a < 3; a++) {
    if (t->axis[a]->elements == 0) continue;
    QDS_TRY(axis_matrix(ctx, t, a, density, &mean_v, &matrix[a]));
    dimensions++;
  }
  /* Stiffness is positive, so the diagonals bound the spectrum from below. */
  for (int a = 0; a < 3; a++) {
    double least = INFINITY;
    for (int64_t i = 0; matrix[a] && i < t->n[a]; i++) {
      double row = 0;
      for (int64_t j = 0; j < t->n[a]; j++)
        row += i == j ? matrix[a][j * t->n[a] + i] : -fabs(matrix[a][j * t->n[a] + i]);
      least = fmin(least, row);
    }
    if (matrix[a]) floor += least;
  }
  QDS_TRY(qds_fdm_create(ctx, t->n, (const double *const *)matrix, floor - 1e-3 * fabs(floor) - 1e-6,
                         precision, out));
  for (int a = 0; a < 3; a++) {
    if (!matrix[a]) continue;
    const double *levels = qds_fdm_eigenvalues(*out, a);
    lowest += levels[0];
    if (t->n[a] > 1) spacing = fmin(spacing, levels[1] - levels[0]);
  }
  const double repeated = (dimensions - 1) * mean_v;
  return qds_fdm_set_shift(*out, fmin(shift + repeated, lowest - margin * spacing));
}

qds_status qds_separable_create(qds_context *ctx, const qds_tensor_operator *t, const qds_block *states,
                                double shift, qds_precision precision, qds_fdm **out) {
  QDS_AUTO_RELEASE double *numbers = NULL;
  double *matrix[3] = {NULL, NULL, NULL};
  *out = NULL;
  QDS_TRY(QDS_NEW(qds_context_allocator(ctx), t->n[0] + t->n[1] + t->n[2], "fast diagonalisation", &numbers));
  double *const density[3] = {numbers, numbers + t->n[0], numbers + t->n[0] + t->n[1]};
  marginals(t, states, density);
  const qds_status status = create(ctx, t, density, matrix, shift, precision, out);
  for (int a = 0; a < 3; a++) qds_release(matrix[a]);
  if (status != QDS_OK) {
    qds_fdm_destroy(*out);
    *out = NULL;
  }
  return status;
}

#include "la/separable.h"

#include <math.h>
#include <string.h>

#include "la/axis_means.h"

/* The shift stays this part of the first level spacings below the lowest level of the separable operator. */
static const double margin = 0.2;

/* Where the means are taken, and what they are weighted with. */
typedef struct {
  const qds_tensor_operator *t;
  const qds_device_operator *device; /* NULL: the host */
  qds_stream *stream;
  double *density[3];      /* on the host: probability of the states at each plane, with sum 1 */
  double *weight[3];       /* the same on the stream's place */
  double *lines, *mean[3]; /* of the kernel, on the stream's place */
} averaging;

static void averaging_clear(averaging *m) {
  for (int a = 0; a < 3; a++) {
    qds_release(m->density[a]);
    qds_stream_release(m->stream, m->weight[a]);
    qds_stream_release(m->stream, m->mean[a]);
  }
  qds_stream_release(m->stream, m->lines);
}

/* Room for the unknowns of each axis and for its elements. */
static qds_status averaging_allocate(qds_context *ctx, averaging *m) {
  int64_t size[3];
  for (int a = 0; a < 3; a++) {
    const int64_t n = m->t->n[a], elements = m->t->axis[a]->elements;
    size[a] = n > elements ? n : elements;
    QDS_TRY(QDS_NEW(qds_context_allocator(ctx), n, "fast diagonalisation", &m->density[a]));
    QDS_TRY(QDS_STREAM_NEW(m->stream, n, "fast diagonalisation", &m->weight[a]));
    QDS_TRY(QDS_STREAM_NEW(m->stream, size[a], "fast diagonalisation", &m->mean[a]));
  }
  return QDS_STREAM_NEW(m->stream, size[0] * (size[1] + size[2]), "fast diagonalisation", &m->lines);
}

/* Sums what `k` describes across the axes whose bits are set, 1 to 4, into m->mean. */
static qds_status sum_across(const averaging *m, qds_axis_means_arguments *k, unsigned axes) {
  k->along_last = m->lines;
  k->along_middle = m->lines + (int64_t)k->n[0] * k->n[1];
  for (int a = 0; a < 3; a++) k->mean[a] = axes & 1u << a ? m->mean[a] : NULL;
  return qds_stream_launch(m->stream, &qds_axis_means_kernel, k);
}

static qds_status fetch_mean(const averaging *m, int a, int64_t count, double *to) {
  return qds_stream_fetch(m->stream, to, m->mean[a], sizeof *to * (size_t)count);
}

static void set_sizes(const averaging *m, qds_axis_means_arguments *k) {
  for (int a = 0; a < 3; a++) k->n[a] = (int)m->t->n[a];
}

static qds_status find_densities(const averaging *m, const qds_block *states) {
  qds_axis_means_arguments k = {.source = QDS_MEANS_OF_SQUARES,
                                .vectors = {states->data, states->stride, states->columns}};
  set_sizes(m, &k);
  QDS_TRY(sum_across(m, &k, 7));
  for (int a = 0; a < 3; a++) {
    const int64_t n = m->t->n[a];
    double total = 0, *density = m->density[a];
    QDS_TRY(fetch_mean(m, a, n, density));
    for (int64_t i = 0; i < n; i++) total += density[i];
    for (int64_t i = 0; i < n; i++) density[i] /= total;
    QDS_TRY(qds_stream_copy(m->stream, m->weight[a], density, sizeof *density * (size_t)n));
  }
  return QDS_OK;
}

/* The means of v across the other axes, of each axis. */
static qds_status average_potential(const averaging *m, double *const v[3]) {
  qds_axis_means_arguments k = {.source = QDS_MEANS_OF_NUMBERS, .numbers = m->t->v};
  if (m->device) {
    k.source = QDS_MEANS_OF_TILES;
    k.tiles = qds_device_operator_view(m->device).v;
  }
  set_sizes(m, &k);
  for (int a = 0; a < 3; a++) k.weight[a] = m->weight[a];
  QDS_TRY(sum_across(m, &k, 7));
  for (int a = 0; a < 3; a++) QDS_TRY(fetch_mean(m, a, m->t->n[a], v[a]));
  return QDS_OK;
}

/* The means of the coefficient of axis a, one for each of its elements. */
static qds_status average_coefficient(const averaging *m, int a, double *c) {
  const int64_t elements = m->t->axis[a]->elements;
  if (m->t->by_element[a]) {
    memcpy(c, m->t->c[a], sizeof *c * (size_t)elements);
    return QDS_OK;
  }
  qds_axis_means_arguments k = {.source = QDS_MEANS_OF_NUMBERS, .numbers = m->t->c[a]};
  if (m->device) {
    k.source = QDS_MEANS_OF_TILES;
    k.tiles = qds_device_operator_view(m->device).axis[a].c;
  }
  set_sizes(m, &k);
  k.n[a] = (int)elements;
  for (int b = 0; b < 3; b++) k.weight[b] = a == b ? NULL : m->weight[b];
  QDS_TRY(sum_across(m, &k, 1u << a));
  return fetch_mean(m, a, elements, c);
}

/* The matrix of axis a, whose potential is v. */
static qds_status axis_matrix(qds_context *ctx, const averaging *m, int a, const double *v, double **matrix) {
  const qds_axis *axis = m->t->axis[a];
  QDS_AUTO_RELEASE double *c = NULL;
  QDS_TRY(QDS_NEW(qds_context_allocator(ctx), axis->elements, "fast diagonalisation", &c));
  QDS_TRY(average_coefficient(m, a, c));
  QDS_TRY(QDS_NEW(qds_context_allocator(ctx), m->t->n[a] * m->t->n[a], "fast diagonalisation", matrix));
  qds_axis_matrix(axis, c, v, *matrix);
  return QDS_OK;
}

/* The matrices of all axes that are no points, and the mean of v over the grid. */
static qds_status axis_matrices(qds_context *ctx, const averaging *m, double *matrix[3], double *mean_v) {
  const qds_tensor_operator *t = m->t;
  QDS_AUTO_RELEASE double *numbers = NULL;
  QDS_TRY(QDS_NEW(qds_context_allocator(ctx), t->n[0] + t->n[1] + t->n[2], "fast diagonalisation", &numbers));
  double *const v[3] = {numbers, numbers + t->n[0], numbers + t->n[0] + t->n[1]};
  QDS_TRY(average_potential(m, v));
  for (int a = 0; a < 3; a++) {
    if (t->axis[a]->elements == 0) continue;
    QDS_TRY(axis_matrix(ctx, m, a, v[a], &matrix[a]));
    *mean_v = 0;
    for (int64_t i = 0; i < t->n[a]; i++) *mean_v += m->density[a][i] * v[a][i];
  }
  return QDS_OK;
}

/* A point axis carries v too; it goes to the first real one instead, as part of the shift. */
static qds_status create(qds_context *ctx, const averaging *m, double *matrix[3], double shift,
                         qds_precision precision, qds_fdm **out) {
  const qds_tensor_operator *t = m->t;
  double mean_v = 0, spacing = INFINITY, lowest = 0, floor = 0;
  int dimensions = 0;
  QDS_TRY(axis_matrices(ctx, m, matrix, &mean_v));
  for (int a = 0; a < 3; a++) dimensions += matrix[a] != NULL;
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
  QDS_TRY(qds_fdm_create_on(ctx, m->device ? m->stream : NULL, t->n, (const double *const *)matrix,
                            floor - 1e-3 * fabs(floor) - 1e-6, precision, out));
  for (int a = 0; a < 3; a++) {
    if (!matrix[a]) continue;
    const double *levels = qds_fdm_eigenvalues(*out, a);
    lowest += levels[0];
    if (t->n[a] > 1) spacing = fmin(spacing, levels[1] - levels[0]);
  }
  const double repeated = (dimensions - 1) * mean_v;
  return qds_fdm_set_shift(*out, fmin(shift + repeated, lowest - margin * spacing));
}

qds_status qds_separable_create(qds_context *ctx, const qds_device_operator *device,
                                const qds_tensor_operator *t, const qds_block *states, double shift,
                                qds_precision precision, qds_fdm **out) {
  qds_stream host = {NULL, NULL, qds_context_allocator(ctx), qds_context_threads(ctx)};
  __attribute__((cleanup(averaging_clear)))
  averaging m = {.t = t, .device = device, .stream = device ? qds_device_operator_stream(device) : &host};
  double *matrix[3] = {NULL, NULL, NULL};
  *out = NULL;
  QDS_TRY(averaging_allocate(ctx, &m));
  QDS_TRY(find_densities(&m, states));
  const qds_status status = create(ctx, &m, matrix, shift, precision, out);
  for (int a = 0; a < 3; a++) qds_release(matrix[a]);
  if (status != QDS_OK) {
    qds_fdm_destroy(*out);
    *out = NULL;
  }
  return status;
}

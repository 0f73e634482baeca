/* The coefficients of a tensor operator line by line, and the arrays that are filled from such lines. */
#include <math.h>
#include <omp.h>
#include <string.h>

#include "la/tensor_operator.h"

const double *qds_dense_line(const void *self, int64_t line, double *scratch) {
  const qds_dense_lines *from = self;
  (void)scratch;
  return from->numbers + line * from->length;
}

void qds_lines_clear(qds_lines *lines) {
  if (lines->destroy) lines->destroy(lines->self);
  *lines = (qds_lines){0};
}

/* How many numbers c of an axis, or v, has, and how long its lines are. */
static int64_t size_of(const qds_tensor_operator *t, int which, int64_t *length) {
  *length = which == 2 ? t->axis[2]->elements : t->n[2];
  if (which == 3) return t->rows;
  const int64_t all = qds_tensor_operator_coefficients(t, which);
  if (t->by_element[which]) *length = which == 2 ? all : 1;
  return all;
}

qds_lines qds_tensor_operator_lines(const qds_tensor_operator *t, int which, qds_dense_lines *dense,
                                    int64_t *count, int64_t *length) {
  const double *numbers = which == 3 ? t->v : t->c[which];
  *count = size_of(t, which, length);
  if (*count > 0) *count /= *length;
  if (!numbers) return t->lines[which];
  *dense = (qds_dense_lines){numbers, *length};
  return (qds_lines){.line = qds_dense_line, .self = dense};
}

qds_status qds_tensor_operator_range(qds_context *ctx, const qds_tensor_operator *t, int which, double *low,
                                     double *high) {
  const int threads = qds_context_threads(ctx);
  int64_t count, length;
  qds_dense_lines dense;
  const qds_lines lines = qds_tensor_operator_lines(t, which, &dense, &count, &length);
  double least = (double)INFINITY, most = -(double)INFINITY;
  QDS_AUTO_RELEASE double *scratch = NULL;
  QDS_TRY(QDS_NEW(qds_context_allocator(ctx), threads * (2 * length + 2), "operator", &scratch));
#pragma omp parallel for num_threads(threads) schedule(static) reduction(min : least) reduction(max : most)
  for (int64_t line = 0; line < (lines.line ? count : 0); line++) {
    if (lines.repeats && line > 0 && lines.repeats(lines.self, line)) continue;
    const double *numbers = lines.line(lines.self, line, scratch + omp_get_thread_num() * (2 * length + 2));
    for (int64_t k = 0; k < length; k++) {
      least = numbers[k] < least ? numbers[k] : least;
      most = numbers[k] > most ? numbers[k] : most;
    }
  }
  *low = least;
  *high = most;
  return QDS_OK;
}

qds_status qds_tensor_operator_norm(qds_context *ctx, const qds_tensor_operator *t, double *norm) {
  *norm = 0;
  for (int a = 0; a < 3; a++) {
    double lowest, largest, shortest = (double)INFINITY;
    QDS_TRY(qds_tensor_operator_range(ctx, t, a, &lowest, &largest));
    for (int64_t i = 0; i < t->n[a]; i++) shortest = fmin(shortest, t->axis[a]->mass[i]);
    if (largest > 0) *norm += 4 * largest / (shortest * shortest);
  }
  return QDS_OK;
}

/* Each thread fills what it will work on, whose memory it then becomes. */
static qds_status fill(qds_context *ctx, qds_lines *lines, int64_t count, int64_t length, double *to) {
  const int threads = qds_context_threads(ctx);
  QDS_AUTO_RELEASE double *scratch = NULL;
  QDS_TRY(QDS_NEW(qds_context_allocator(ctx), threads * (2 * length + 2), "operator", &scratch));
#pragma omp parallel for num_threads(threads) schedule(static) if (count * length > 4096)
  for (int64_t line = 0; line < count; line++)
    memcpy(to + line * length,
           lines->line(lines->self, line, scratch + omp_get_thread_num() * (2 * length + 2)),
           sizeof *to * (size_t)length);
  qds_lines_clear(lines);
  return QDS_OK;
}

static void clear_potential(qds_context *ctx, qds_tensor_operator *t) {
#pragma omp parallel for num_threads(qds_context_threads(ctx)) schedule(static) if (t->rows > 4096)
  for (int64_t i = 0; i < t->rows; i++) t->v[i] = 0;
}

qds_status qds_tensor_operator_allocate(qds_context *ctx, qds_tensor_operator *t, int axis) {
  return QDS_NEW(qds_context_allocator(ctx), qds_tensor_operator_coefficients(t, axis), "operator",
                 &t->c[axis]);
}

qds_status qds_tensor_operator_fill(qds_context *ctx, qds_tensor_operator *t) {
  int64_t length;
  for (int a = 0; a < 3; a++) {
    const int64_t count = size_of(t, a, &length);
    if (count == 0 || t->c[a]) continue;
    QDS_TRY(qds_tensor_operator_allocate(ctx, t, a));
    if (t->lines[a].line) QDS_TRY(fill(ctx, &t->lines[a], count / length, length, t->c[a]));
  }
  if (t->v) return QDS_OK;
  QDS_TRY(QDS_NEW(qds_context_allocator(ctx), t->rows, "operator", &t->v));
  if (t->lines[3].line) return fill(ctx, &t->lines[3], t->rows / t->n[2], t->n[2], t->v);
  clear_potential(ctx, t);
  return QDS_OK;
}

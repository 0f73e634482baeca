#include "dot/grid.h"

#include <limits.h>
#include <math.h>

enum { HOST_GROUPS = 64, DEVICE_GROUPS = 1056 };

qds_status qds_grid_create(qds_context *ctx, qds_stream *stream, const qds_axis *const axis[3],
                           qds_grid *out) {
  QDS_AUTO_RELEASE double *host = NULL;
  int64_t count = 0;
  *out = (qds_grid){.stream = stream};
  for (int a = 0; a < 3; a++)
    if (axis[a]->nodes > INT_MAX)
      QDS_FAIL(QDS_ERROR_UNSUPPORTED, "an axis of %lld nodes; at most %d are allowed",
               (long long)axis[a]->nodes, INT_MAX);
  for (int a = 0; a < 3; a++) count += axis[a]->unknowns + axis[a]->nodes;
  QDS_TRY(QDS_NEW(qds_context_allocator(ctx), count, "grid", &host));
  QDS_TRY(QDS_STREAM_NEW(stream, count, "grid", &out->numbers));
  for (int a = 0, at = 0; a < 3; a++) {
    const qds_axis *from = axis[a];
    const int periodic = from->boundary[0] == QDS_PERIODIC;
    out->view.axis[a] = (qds_grid_axis_view){.nodes = (int)from->nodes,
                                             .n = (int)from->unknowns,
                                             .first = (int)from->first,
                                             .periodic = periodic,
                                             .root = out->numbers + at};
    for (int end = 0; periodic && end < 2; end++)
      out->view.axis[a].end_share[end] = from->weights_nm[end ? from->nodes - 1 : 0] / from->mass[0];
    for (int64_t i = 0; i < from->unknowns; i++) host[at++] = 1 / from->scale[i];
    out->view.axis[a].weight = out->numbers + at;
    for (int64_t i = 0; i < from->nodes; i++) host[at++] = from->weights_nm[i];
  }
  const qds_status status = qds_stream_copy(stream, out->numbers, host, sizeof *host * (size_t)count);
  if (status != QDS_OK) qds_grid_clear(out);
  return status;
}

void qds_grid_clear(qds_grid *g) {
  if (g->stream) qds_stream_release(g->stream, g->numbers);
  *g = (qds_grid){0};
}

int64_t qds_grid_nodes(const qds_grid *g) {
  return (int64_t)g->view.axis[0].nodes * g->view.axis[1].nodes * g->view.axis[2].nodes;
}

int64_t qds_grid_unknowns(const qds_grid *g) {
  return (int64_t)g->view.axis[0].n * g->view.axis[1].n * g->view.axis[2].n;
}

qds_status qds_grid_fold(const qds_grid *g, qds_folding how, const double *from, double *to) {
  const qds_grid_fold_arguments k = {.grid = g->view,
                                     .from = from,
                                     .pick = how.pick,
                                     .scaled = how.scaled,
                                     .factor = how.factor,
                                     .add = how.add,
                                     .to = to,
                                     .line = how.line > 0 ? how.line : g->view.axis[2].n};
  return qds_stream_launch(g->stream, &qds_grid_fold_kernel, &k);
}

qds_status qds_grid_unfold(const qds_grid *g, int squared, const double *from, double *to) {
  const qds_grid_unfold_arguments k = {g->view, from, squared, to};
  return qds_stream_launch(g->stream, &qds_grid_unfold_kernel, &k);
}

qds_status qds_grid_largest(const qds_grid *g, const qds_block *numbers, double *largest) {
  const int groups = qds_stream_on_host(g->stream) ? HOST_GROUPS : DEVICE_GROUPS;
  double *sums = NULL;
  *largest = NAN;
  QDS_TRY(QDS_STREAM_NEW(g->stream, 1 + groups, "grid", &sums));
  const qds_grid_largest_arguments k = {numbers->rows, numbers->data, groups, sums + 1, sums};
  qds_status status = qds_stream_launch(g->stream, &qds_grid_largest_kernel, &k);
  if (status == QDS_OK) status = qds_stream_fetch(g->stream, largest, sums, sizeof *largest);
  qds_stream_release(g->stream, sums);
  return status;
}

#include "dot/coefficient.h"

#include <string.h>

static qds_status element_bounds(const qds_device *d, const qds_axis *axis, double **out) {
  QDS_TRY(QDS_NEW(qds_context_allocator(d->ctx), axis->elements + 1, "coefficients", out));
  for (int64_t e = 0; e <= axis->elements; e++) (*out)[e] = axis->coordinates_nm[e * axis->order];
  return QDS_OK;
}

void qds_fold_nodes(const qds_tensor_operator *t, int along, const double *from, double *to) {
  int64_t in[3], out[3];
  for (int a = 0; a < 3; a++) {
    in[a] = a == along ? t->axis[a]->elements : t->axis[a]->nodes;
    out[a] = a == along ? t->axis[a]->elements : t->n[a];
  }
  memset(to, 0, sizeof(double) * (size_t)(out[0] * out[1] * out[2]));
  for (int64_t index = 0; index < in[0] * in[1] * in[2]; index++) {
    const int64_t node[3] = {index / (in[1] * in[2]), index / in[2] % in[1], index % in[2]};
    int64_t at = 0;
    double share = 1;
    for (int a = 0; a < 3 && at >= 0; a++) {
      const int64_t unknown = a == along ? node[a] : qds_axis_unknown(t->axis[a], node[a]);
      if (a != along && unknown >= 0) share *= t->axis[a]->weights_nm[node[a]] / t->axis[a]->mass[unknown];
      at = unknown < 0 ? -1 : at * out[a] + unknown;
    }
    if (at >= 0) to[at] += share * from[index];
  }
}

qds_status qds_average_coefficients(const qds_device *d, const double *values, qds_tensor_operator *t,
                                    int a) {
  QDS_AUTO_RELEASE double *bounds = NULL, *on_nodes = NULL;
  QDS_TRY(element_bounds(d, t->axis[a], &bounds));
  qds_intervals intervals[3];
  int periodic = 0;
  int64_t count = t->axis[a]->elements;
  for (int b = 0; b < 3; b++) {
    const qds_axis *axis = t->axis[b];
    intervals[b] = (qds_intervals){axis->unknowns, axis->dual_nm + axis->first};
    if (b == a) {
      intervals[b] = (qds_intervals){axis->elements, bounds};
    } else if (axis->boundary[0] == QDS_PERIODIC) {
      intervals[b] = qds_node_intervals(axis);
      periodic = 1;
    }
    if (b != a) count *= axis->nodes;
  }
  if (!periodic)
    return qds_average_box_grid(d->ctx, &d->medium, d->dimension, intervals, a, values, QDS_AVERAGE_ALONG,
                                t->c[a]);
  for (int b = 0; b < 3; b++)
    if (b != a) intervals[b] = qds_node_intervals(t->axis[b]);
  QDS_TRY(QDS_NEW(qds_context_allocator(d->ctx), count, "coefficients", &on_nodes));
  QDS_TRY(qds_average_box_grid(d->ctx, &d->medium, d->dimension, intervals, a, values, QDS_AVERAGE_ALONG,
                               on_nodes));
  qds_fold_nodes(t, a, on_nodes, t->c[a]);
  return QDS_OK;
}

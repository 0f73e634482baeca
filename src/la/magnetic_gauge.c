/* From one gauge to another, on the host and on a stream. */
#include <string.h>

#include "la/device_magnetic_kernels.h"
#include "la/magnetic_operator.h"

/* Where the unknowns of each axis lie, one axis after the other. */
static qds_status upload_places(qds_context *ctx, qds_stream *stream, const qds_tensor_operator *t,
                                const double origin_nm[3], double **out) {
  QDS_AUTO_RELEASE double *place = NULL;
  const int64_t count = t->n[0] + t->n[1] + t->n[2];
  QDS_TRY(QDS_NEW(qds_context_allocator(ctx), count, "gauge", &place));
  double *next = place;
  for (int a = 0; a < 3; a++)
    for (int64_t i = 0; i < t->n[a]; i++) *next++ = qds_unknown_nm(t->axis[a], i, origin_nm[a]);
  QDS_TRY(QDS_STREAM_NEW(stream, count, "gauge", out));
  return qds_stream_copy(stream, *out, place, sizeof *place * (size_t)count);
}

qds_status qds_magnetic_change_gauge(qds_context *ctx, const qds_tensor_operator *t,
                                     const qds_vector_potential *from, const qds_vector_potential *to,
                                     qds_block *x) {
  qds_stream host = {NULL, NULL, qds_context_allocator(ctx), qds_context_threads(ctx)},
             *stream = x->stream ? x->stream : &host;
  if (memcmp(from->slope, to->slope, sizeof from->slope) == 0) return QDS_OK;
  double *place = NULL;
  qds_status status = upload_places(ctx, stream, t, from->origin_nm, &place);
  qds_magnetic_turn_arguments k = {.x = {x->data, x->stride, x->columns}, .rows = t->rows};
  for (int a = 0; a < 3; a++) {
    const int b = (a + 1) % 3;
    k.n[a] = (int)t->n[a];
    k.place[a] = place + (a > 0 ? t->n[0] : 0) + (a > 1 ? t->n[1] : 0);
    k.slope[a] = 0.5 * (to->slope[a][b] - from->slope[a][b] + to->slope[b][a] - from->slope[b][a]);
  }
  if (status == QDS_OK) status = qds_stream_launch(stream, &qds_magnetic_turn_kernel, &k);
  qds_stream_release(stream, place);
  return status;
}

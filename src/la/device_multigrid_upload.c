/* What multigrid's kernels need along the axes: many short arrays, packed into one upload. */
#include <string.h>

#include "la/device_multigrid.h"

enum { PACK_ALIGNMENT = 64 };

/* Arrays one after the other, on the host first; `base` NULL: they are only counted. */
typedef struct {
  char *base, *device;
  size_t used;
} pack;

/* Room for `bytes`; where it is on the host and, through `device`, on the stream. */
static void *pack_room(pack *p, size_t bytes, const void *device) {
  void *const host = p->base ? p->base + p->used : NULL, *const there =
                                                             p->device ? p->device + p->used : NULL;
  memcpy((void *)(uintptr_t)device, &there, sizeof there);
  p->used += (bytes + PACK_ALIGNMENT - 1) / PACK_ALIGNMENT * PACK_ALIGNMENT;
  return host;
}

static void pack_copy(pack *p, const void *from, size_t bytes, const void *device) {
  void *to = pack_room(p, bytes, device);
  if (to && bytes > 0) memcpy(to, from, bytes);
}

static void pack_integers(pack *p, const int64_t *from, int64_t count, const int **device) {
  int *to = pack_room(p, sizeof *to * (size_t)count, device);
  for (int64_t i = 0; to && i < count; i++) to[i] = (int)from[i];
}

/* The factors of qds_level_axis_view: `over_length` where the coefficients are not over length yet. */
static void fill_factors(const qds_level *host, int a, const qds_level_axis_view *view, int over_length,
                         float *factor) {
  const qds_level_axis *axis = &host->axis[a];
  for (int i = 0; i < view->n; i++)
    for (int side = 0; side < 2; side++) {
      const int e = qds_level_edge_of(view, i, side);
      const float inverse_length = e < 0 || !over_length ? 1 : (float)(1 / (axis->x[e + 1] - axis->x[e]));
      factor[2 * i + side] = e < 0 ? 0 : host->inverse_mass[a][i] * inverse_length;
    }
}

static void pack_axis(pack *p, const qds_level *host, int a, int tiled, qds_level_axis_view *to) {
  const qds_level_axis *axis = &host->axis[a];
  const size_t n = (size_t)axis->unknowns;
  const int64_t edges = axis->nodes - 1;
  float *factor = pack_room(p, 2 * n * sizeof *factor, &to->factor);
  if (factor) fill_factors(host, a, to, tiled, factor);
  pack_copy(p, host->inverse_mass[a], n * sizeof(float), &to->inverse_mass);
  pack_copy(p, host->root[a], n * sizeof(double), &to->root);
  pack_copy(p, host->inverse_root[a], n * sizeof(double), &to->inverse_root);
  float *inverse_length = pack_room(p, sizeof(float) * (size_t)edges, &to->inverse_length);
  for (int64_t e = 0; inverse_length && e < edges; e++)
    inverse_length[e] = (float)(1 / (axis->x[e + 1] - axis->x[e]));
}

static void pack_transfer(pack *p, const qds_transfer *t, qds_transfer_view *to) {
  const size_t n = (size_t)t->fine;
  for (int s = 0; s < 2; s++) {
    pack_integers(p, t->at[s], t->fine, &to->at[s]);
    pack_copy(p, t->weight[s], n * sizeof(float), &to->weight[s]);
  }
  const int64_t entries = t->gather_start[t->coarse];
  pack_integers(p, t->gather_start, t->coarse + 1, &to->gather_start);
  pack_integers(p, t->gather_at, entries, &to->gather_at);
  pack_copy(p, t->gather_weight, (size_t)entries * sizeof(float), &to->gather_weight);
}

/* Packs twice: to count, and to copy. */
static qds_status upload(qds_context *ctx, qds_stream *stream,
                         void (*fill)(pack *, const qds_level *, qds_device_level *), const qds_level *host,
                         qds_device_level *level, void **out) {
  pack p = {NULL, NULL, 0};
  QDS_AUTO_RELEASE char *base = NULL;
  fill(&p, host, level);
  QDS_TRY(QDS_NEW(qds_context_allocator(ctx), p.used, "multigrid", &base));
  QDS_TRY(qds_stream_allocate(stream, p.used, 1, "multigrid", __FILE__, __LINE__, out));
  p = (pack){base, *out, 0};
  fill(&p, host, level);
  return qds_stream_copy(stream, *out, base, p.used);
}

static void fill_axes(pack *p, const qds_level *host, qds_device_level *level) {
  for (int a = 0; a < 3; a++) pack_axis(p, host, a, level->view.tiled, &level->view.axis[a]);
}

static void fill_transfers(pack *p, const qds_level *host, qds_device_level *level) {
  for (int a = 0; a < 3; a++) pack_transfer(p, &host->transfer[a], &level->transfer[a]);
}

qds_status qds_device_level_upload_axes(qds_context *ctx, qds_stream *stream, const qds_level *host,
                                        qds_device_level *level) {
  return upload(ctx, stream, fill_axes, host, level, &level->axes);
}

qds_status qds_device_level_upload_transfers(qds_context *ctx, qds_stream *stream, const qds_level *host,
                                             qds_device_level *level) {
  return upload(ctx, stream, fill_transfers, host, level, &level->transfers);
}

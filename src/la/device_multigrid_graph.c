/* Cycles as graphs: on small levels a device waits for launches longer than it works, and a solve repeats the
 * same cycle on the same vectors. The second time it comes, it is captured; from then on it is one call. */
#include <string.h>

#include "la/device_multigrid.h"

static int same(const qds_device_cycle *a, const qds_device_cycle *b) {
  return a->finest == b->finest && a->columns == b->columns && a->from.data == b->from.data &&
         a->from.stride == b->from.stride && a->to.data == b->to.data && a->to.stride == b->to.stride;
}

/* The place of a cycle: its own, or that of the one that was used longest ago. */
static qds_device_graph *place_of(qds_device_levels *d, const qds_device_cycle *w) {
  qds_device_graph *oldest = &d->graph[0];
  for (int g = 0; g < QDS_DEVICE_GRAPHS; g++) {
    if (d->graph[g].used && same(&d->graph[g].cycle, w)) return &d->graph[g];
    if (d->graph[g].used < oldest->used) oldest = &d->graph[g];
  }
  qds_graph_destroy(oldest->graph);
  *oldest = (qds_device_graph){.cycle = *w};
  return oldest;
}

/* The capture is ended also when a launch has failed, or the stream would stay in it. */
static qds_status capture(qds_stream *stream, const qds_device_cycle *w, qds_graph **out) {
  QDS_TRY(qds_graph_begin(stream));
  const qds_status enqueued = qds_device_cycle_enqueue(w), ended = qds_graph_end(stream, out);
  if (enqueued == QDS_OK) return ended;
  qds_graph_destroy(*out);
  *out = NULL;
  return enqueued;
}

qds_status qds_device_cycle_run(qds_device_levels *d, const qds_device_cycle *w) {
  if (!qds_stream_can_capture(d->stream)) return qds_device_cycle_enqueue(w);
  qds_device_graph *g = place_of(d, w);
  const int seen = g->used > 0;
  g->used = ++d->cycles;
  if (!seen) return qds_device_cycle_enqueue(w);
  if (!g->graph) QDS_TRY(capture(d->stream, w, &g->graph));
  return qds_graph_launch(g->graph, d->stream);
}

void qds_device_graphs_clear(qds_device_levels *d) {
  for (int g = 0; g < QDS_DEVICE_GRAPHS; g++) qds_graph_destroy(d->graph[g].graph);
  memset(d->graph, 0, sizeof d->graph);
}

#include "sim.h"

#include <stdlib.h>

void sim_graph_release(sim_graph *graph) {
  if (--graph->references > 0) return;
  while (graph->first) {
    sim_operation *operation = graph->first;
    graph->first = operation->next;
    sim_operation_destroy(operation);
  }
  free(graph);
}

qds_status sim_refuse_capture(sim_stream *stream, const char *what) {
  sim_device *device = stream->device;
  if (!stream->capture) return QDS_OK;
  stream->capture->broken = 1;
  SIM_FAIL(device, QDS_ERROR_INTERNAL, "a stream is %s while it is captured; the capture is spoilt", what);
}

qds_status sim_refuse_while_capturing(sim_device *device, const char *what) {
  for (sim_stream *s = device->streams; s; s = s->next)
    if (s->capture && pthread_equal(s->capturer, pthread_self())) {
      s->capture->broken = 1;
      SIM_FAIL(device, QDS_ERROR_INTERNAL, "%s while a stream is captured; the capture is spoilt", what);
    }
  return QDS_OK;
}

qds_status sim_capture_begin(void *state, void *stream_handle) {
  sim_device *device = state;
  sim_stream *stream = sim_stream_of(state, stream_handle);
  SIM_LOCK(device);
  SIM_TRY(sim_check(device, SIM_STREAM_ALIVE, &stream->life, "capture_begin"));
  SIM_TRY(sim_refuse_capture(stream, "captured again"));
  sim_graph *graph = calloc(1, sizeof *graph);
  if (!graph) SIM_FAIL(device, QDS_ERROR_MEMORY, "no room for a graph");
  graph->references = 1;
  graph->last = &graph->first;
  stream->capture = graph;
  stream->capturer = pthread_self();
  return QDS_OK;
}

qds_status sim_capture_end(void *state, void *stream_handle, void **out) {
  sim_device *device = state;
  sim_stream *stream = sim_stream_of(state, stream_handle);
  SIM_LOCK(device);
  SIM_TRY(sim_check(device, SIM_STREAM_ALIVE, &stream->life, "capture_end"));
  sim_graph *graph = stream->capture;
  if (!graph) SIM_FAIL(device, QDS_ERROR_INTERNAL, "capture_end: the stream is not captured");
  stream->capture = NULL;
  if (graph->broken) {
    sim_graph_release(graph);
    SIM_FAIL(device, QDS_ERROR_INTERNAL, "the capture was spoilt by a call that must not be made meanwhile");
  }
  graph->life = SIM_GRAPH_ALIVE;
  device->live_graphs++;
  *out = graph;
  return QDS_OK;
}

/* The operation of a launch uses what the operations of the graph use. */
static qds_status make_launch(sim_device *device, sim_graph *graph, sim_operation **out) {
  size_t uses = 0;
  for (const sim_operation *o = graph->first; o; o = o->next) uses += o->uses;
  SIM_TRY(sim_operation_create(device, SIM_GRAPH, uses, 0, out));
  for (const sim_operation *o = graph->first; o; o = o->next)
    for (size_t i = 0; i < o->uses; i++) (*out)->use[(*out)->uses++] = o->use[i];
  (*out)->graph = graph;
  graph->references++;
  return QDS_OK;
}

qds_status sim_graph_launch(void *state, void *graph_handle, void *stream_handle) {
  sim_device *device = state;
  sim_stream *stream = sim_stream_of(state, stream_handle);
  sim_graph *graph = graph_handle;
  sim_operation *launch;
  SIM_LOCK(device);
  SIM_TRY(sim_check(device, SIM_GRAPH_ALIVE, &graph->life, "graph_launch"));
  SIM_TRY(sim_check(device, SIM_STREAM_ALIVE, &stream->life, "graph_launch"));
  SIM_TRY(sim_refuse_capture(stream, "given a graph"));
  if (sim_injected(device, QDS_INJECT_LAUNCH))
    SIM_FAIL(device, QDS_ERROR_INTERNAL, "the launch of a graph failed (injected)");
  for (const sim_operation *o = graph->first; o; o = o->next)
    for (size_t i = 0; i < o->uses; i++) SIM_TRY(sim_use_check(device, &o->use[i]));
  SIM_TRY(make_launch(device, graph, &launch));
  const qds_status status = sim_enqueue(stream, launch);
  if (status != QDS_OK) sim_operation_destroy(launch);
  return status;
}

void sim_graph_destroy(void *state, void *handle) {
  sim_device *device = state;
  sim_graph *graph = handle;
  SIM_LOCK(device);
  if (sim_check(device, SIM_GRAPH_ALIVE, &graph->life, "graph_destroy") != QDS_OK) {
    sim_misuse(device, "a graph was destroyed twice, or from a host function");
    return;
  }
  graph->life = SIM_DEAD;
  device->live_graphs--;
  sim_graph_release(graph);
}

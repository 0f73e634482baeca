#include "sim.h"

#include <stdlib.h>

/* One in so many enqueued operations lets the worker run one. */
enum { EAGERNESS = 8, MOST_PENDING = 1024 };
static const size_t most_staged_bytes = (size_t)64 << 20;

qds_status sim_stream_create(void *state, void **out) {
  sim_device *device = state;
  SIM_LOCK(device);
  SIM_TRY(sim_check(device, 0, NULL, "stream_create"));
  sim_stream *stream = calloc(1, sizeof *stream);
  if (!stream) SIM_FAIL(device, QDS_ERROR_MEMORY, "no room for a stream");
  stream->life = SIM_STREAM_ALIVE;
  stream->device = device;
  stream->last = &stream->first;
  stream->next = device->streams;
  device->streams = stream;
  device->live_streams++;
  *out = stream;
  return QDS_OK;
}

static void append(sim_stream *stream, sim_operation *operation) {
  sim_device *device = stream->device;
  *stream->last = operation;
  stream->last = &operation->next;
  if (device->pending++ == 0) pthread_cond_signal(&device->work);
  device->host_functions += operation->kind == SIM_CALL;
  if (operation->kind == SIM_COPY && operation->payload) device->staged_bytes += operation->bytes;
  device->calls++;
  for (size_t i = 0; i < operation->uses; i++) sim_use_begin(device, &operation->use[i]);
}

qds_status sim_enqueue(sim_stream *stream, sim_operation *operation) {
  sim_device *device = stream->device;
  if (stream->capture) {
    sim_graph *graph = stream->capture;
    *graph->last = operation;
    graph->last = &operation->next;
    return QDS_OK;
  }
  append(stream, operation);
  if (sim_draw(device, EAGERNESS) == 0 || device->pending > MOST_PENDING ||
      device->staged_bytes > most_staged_bytes)
    sim_advance(device);
  return QDS_OK;
}

/* Waits for what stands in the stream now. */
static void drain(sim_stream *stream) {
  if (!stream->first && !stream->running) return;
  sim_ticket ticket = {0};
  sim_operation record = {.kind = SIM_RECORD, .on_stack = 1, .ticket = &ticket};
  append(stream, &record);
  sim_wait(stream->device, &ticket);
}

static void take_from_list(sim_stream *stream) {
  sim_stream **at = &stream->device->streams;
  while (*at != stream) at = &(*at)->next;
  *at = stream->next;
}

void sim_stream_destroy(void *state, void *handle) {
  sim_device *device = state;
  sim_stream *stream = handle;
  SIM_LOCK(device);
  if (sim_check(device, SIM_STREAM_ALIVE, &stream->life, "stream_destroy") != QDS_OK) {
    sim_misuse(device, "a stream was destroyed twice, or from a host function");
    return;
  }
  if (stream->capture) {
    sim_misuse(device, "a stream was destroyed while it was captured");
    sim_graph_release(stream->capture);
    stream->capture = NULL;
  }
  drain(stream);
  take_from_list(stream);
  stream->life = SIM_DEAD;
  device->live_streams--;
  sim_bury(device, stream);
}

qds_status sim_stream_synchronise(void *state, void *handle) {
  sim_device *device = state;
  sim_stream *stream = sim_stream_of(state, handle);
  SIM_LOCK(device);
  SIM_TRY(sim_check(device, SIM_STREAM_ALIVE, &stream->life, "stream_synchronise"));
  SIM_TRY(sim_refuse_capture(stream, "synchronised"));
  drain(stream);
  SIM_TRY(sim_report_misuse(device));
  if (!stream->failed) return QDS_OK;
  stream->failed = 0;
  SIM_FAIL(device, QDS_ERROR_INTERNAL, "%s", stream->failure);
}

qds_status sim_stream_idle(void *state, void *handle, int *idle) {
  sim_device *device = state;
  sim_stream *stream = sim_stream_of(state, handle);
  SIM_LOCK(device);
  SIM_TRY(sim_check(device, SIM_STREAM_ALIVE, &stream->life, "stream_idle"));
  SIM_TRY(sim_refuse_capture(stream, "asked whether it is idle"));
  sim_advance(device);
  *idle = !stream->first && !stream->running;
  return QDS_OK;
}

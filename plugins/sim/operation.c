#include "sim.h"

#include <stdlib.h>
#include <string.h>

qds_status sim_operation_create(sim_device *device, sim_kind kind, size_t uses, size_t payload,
                                sim_operation **out) {
  sim_operation *operation = calloc(1, sizeof *operation + uses * sizeof(sim_use));
  *out = operation;
  if (operation && payload) operation->payload = malloc(payload);
  if (!operation || (payload && !operation->payload)) {
    free(operation);
    *out = NULL;
    SIM_FAIL(device, QDS_ERROR_MEMORY, "no room for an operation with %zu bytes", payload);
  }
  operation->kind = kind;
  operation->use = (sim_use *)(operation + 1);
  return QDS_OK;
}

void sim_ticket_release(sim_ticket *ticket) {
  if (ticket && --ticket->references == 0) free(ticket);
}

void sim_operation_destroy(sim_operation *operation) {
  sim_ticket_release(operation->ticket);
  if (operation->graph) sim_graph_release(operation->graph);
  free(operation->payload);
  free(operation);
}

static void perform_graph(const sim_graph *graph) {
  for (const sim_operation *o = graph->first; o; o = o->next) sim_operation_perform(o);
}

void sim_operation_perform(const sim_operation *operation) {
  switch (operation->kind) {
  case SIM_COPY:
    memcpy(operation->to, operation->from, operation->bytes);
    break;
  case SIM_FILL:
    memset(operation->to, operation->byte, operation->bytes);
    break;
  case SIM_RUN:
    operation->run(operation->payload, operation->threads);
    break;
  case SIM_CALL:
    operation->call(operation->data);
    break;
  case SIM_GRAPH:
    perform_graph(operation->graph);
    break;
  case SIM_RECORD:
  case SIM_WAIT:
    break;
  }
}

/* An injected failure shows at the call or later, as with real devices; the seed decides. */
static qds_status maybe_inject(sim_stream *stream, sim_operation *operation, qds_injection what) {
  sim_device *device = stream->device;
  if (!sim_injected(device, what)) return QDS_OK;
  operation->fails = !stream->capture && sim_draw(device, 2);
  if (operation->fails) return QDS_OK;
  SIM_FAIL(device, QDS_ERROR_INTERNAL, "a %s failed (injected)", what == QDS_INJECT_COPY ? "copy" : "launch");
}

static qds_status enqueue_or_destroy(sim_stream *stream, sim_operation *operation, qds_injection what) {
  qds_status status = maybe_inject(stream, operation, what);
  if (status == QDS_OK) status = sim_enqueue(stream, operation);
  if (status != QDS_OK) sim_operation_destroy(operation);
  return status;
}

static int overlap(const char *a, const char *b, size_t bytes) {
  return (uintptr_t)a < (uintptr_t)b + bytes && (uintptr_t)b < (uintptr_t)a + bytes;
}

/* Pageable memory is read at the call, as CUDA stages it; memory that the device knows is read late. A graph
 * reads its sources at each launch. */
qds_status sim_copy(void *state, void *stream_handle, void *to, const void *from, size_t bytes) {
  sim_device *device = state;
  sim_stream *stream = sim_stream_of(state, stream_handle);
  sim_operation *copy;
  sim_use target, source;
  char *memory, *source_memory;
  SIM_LOCK(device);
  SIM_TRY(sim_check(device, SIM_STREAM_ALIVE, &stream->life, "copy"));
  SIM_TRY(sim_range(device, "copy to", to, bytes, &memory, &target));
  SIM_TRY(sim_range(device, "copy from", from, bytes, &source_memory, &source));
  if (overlap(memory, source_memory, bytes))
    SIM_FAIL(device, QDS_ERROR_INTERNAL, "copy: %zu bytes between overlapping blocks", bytes);
  const int staged = !source.id && !stream->capture;
  SIM_TRY(sim_operation_create(device, SIM_COPY, 2, staged ? bytes : 0, &copy));
  if (staged) source_memory = memcpy(copy->payload, source_memory, bytes);
  copy->to = memory;
  copy->from = source_memory;
  copy->bytes = bytes;
  copy->uses = 2;
  copy->use[0] = target;
  copy->use[1] = source;
  return enqueue_or_destroy(stream, copy, QDS_INJECT_COPY);
}

qds_status sim_fill(void *state, void *stream_handle, void *to, int byte, size_t bytes) {
  sim_device *device = state;
  sim_stream *stream = sim_stream_of(state, stream_handle);
  sim_operation *fill;
  sim_use use;
  char *memory;
  SIM_LOCK(device);
  SIM_TRY(sim_check(device, SIM_STREAM_ALIVE, &stream->life, "fill"));
  SIM_TRY(sim_range(device, "fill", to, bytes, &memory, &use));
  SIM_TRY(sim_operation_create(device, SIM_FILL, 1, 0, &fill));
  fill->to = memory;
  fill->byte = byte;
  fill->bytes = bytes;
  fill->uses = 1;
  fill->use[0] = use;
  return enqueue_or_destroy(stream, fill, QDS_INJECT_COPY);
}

qds_status sim_host_function(void *state, void *stream_handle, void (*function)(void *), void *data) {
  sim_device *device = state;
  sim_stream *stream = sim_stream_of(state, stream_handle);
  sim_operation *call;
  SIM_LOCK(device);
  SIM_TRY(sim_check(device, SIM_STREAM_ALIVE, &stream->life, "host function"));
  SIM_TRY(sim_operation_create(device, SIM_CALL, 0, 0, &call));
  call->call = function;
  call->data = data;
  return enqueue_or_destroy(stream, call, QDS_INJECT_LAUNCH);
}

/* Replaces the pointers to this device's memory among the words of the arguments by where operations find
 * it, and notes the blocks. */
static qds_status translate(sim_device *device, sim_operation *operation, size_t words) {
  for (size_t i = 0; i < words; i++) {
    char *at = (char *)operation->payload + i * sizeof(uintptr_t), *word;
    memcpy(&word, at, sizeof word);
    const sim_block *block = sim_block_find(device, word);
    if (!block || (block->address == block->memory && word == block->address + block->bytes)) continue;
    if (block->released)
      SIM_FAIL(device, QDS_ERROR_INTERNAL,
               "launch: byte %zu of the arguments points to memory that was released", i * sizeof word);
    operation->use[operation->uses++] = (sim_use){block->address, block->id};
    word += block->memory - block->address;
    memcpy(at, &word, sizeof word);
  }
  return QDS_OK;
}

qds_status sim_run(void *state, void *stream_handle, void (*function)(const void *arguments, int threads),
                   const void *arguments, size_t bytes, int threads) {
  sim_device *device = state;
  sim_stream *stream = sim_stream_of(state, stream_handle);
  const size_t words = bytes / sizeof(uintptr_t);
  sim_operation *run;
  SIM_LOCK(device);
  SIM_TRY(sim_check(device, SIM_STREAM_ALIVE, &stream->life, "launch"));
  SIM_TRY(sim_operation_create(device, SIM_RUN, words, bytes, &run));
  memcpy(run->payload, arguments, bytes);
  run->run = function;
  run->threads = threads;
  const qds_status status = translate(device, run, words);
  if (status != QDS_OK) {
    sim_operation_destroy(run);
    return status;
  }
  return enqueue_or_destroy(stream, run, QDS_INJECT_LAUNCH);
}

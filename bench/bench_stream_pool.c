/* What the device pool itself costs: its traces on a device that does nothing. Host time per operation, how
 * often the device would have been asked for memory, and the peak of what is held over the peak of what is
 * used, as JSON.
 *
 *   bench_stream_pool [allocations] */
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/philox.h"
#include "mem/pool_stream.h"
#include "par/context.h"

#define MIB ((size_t)1 << 20)

/* --- a device of addresses
 * ---------------------------------------------------------------------------------------- */

typedef struct {
  size_t calls, next;
} idle_device;

static int probe(const qds_host_api *host, char *why, size_t why_bytes) {
  (void)host, (void)why, (void)why_bytes;
  return 1;
}
static qds_status open_device(const qds_host_api *host, int index, void **state,
                              qds_accelerator_properties *properties) {
  (void)host, (void)index;
  *properties = (qds_accelerator_properties){.name = "idle", .memory_bytes = 141000 * MIB};
  *state = calloc(1, sizeof(idle_device));
  ((idle_device *)*state)->next = 1 << 30;
  return QDS_OK;
}
static void close_device(void *state) {
  free(state);
}
static qds_status allocate(void *state, qds_memory_kind kind, size_t bytes, void **out) {
  idle_device *device = state;
  (void)kind;
  *out = (void *)device->next;
  device->next += bytes + 2 * MIB;
  device->calls++;
  return QDS_OK;
}
static void release(void *state, qds_memory_kind kind, void *block) {
  (void)kind, (void)block;
  ((idle_device *)state)->calls++;
}
static qds_status memory(void *state, size_t *free_bytes, size_t *total_bytes) {
  (void)state;
  *free_bytes = *total_bytes = 141000 * MIB;
  return QDS_OK;
}
static qds_status create(void *state, void **out) {
  *out = state;
  return QDS_OK;
}
static void destroy(void *state, void *object) {
  (void)state, (void)object;
}
static qds_status synchronise(void *state, void *object) {
  (void)state, (void)object;
  return QDS_OK;
}
static qds_status ask(void *state, void *object, int *answer) {
  (void)state, (void)object;
  *answer = 1;
  return QDS_OK;
}
static qds_status order(void *state, void *event, void *stream) {
  (void)state, (void)event, (void)stream;
  return QDS_OK;
}
static qds_status copy(void *state, void *stream, void *to, const void *from, size_t bytes) {
  (void)state, (void)stream, (void)to, (void)from, (void)bytes;
  return QDS_OK;
}
static qds_status fill(void *state, void *stream, void *to, int byte, size_t bytes) {
  (void)state, (void)stream, (void)to, (void)byte, (void)bytes;
  return QDS_OK;
}
static qds_status seconds_between(void *state, void *start, void *end, double *seconds) {
  (void)state, (void)start, (void)end;
  *seconds = 0;
  return QDS_OK;
}
static qds_status call(void *state, void *stream, void (*function)(void *), void *data) {
  (void)state, (void)stream;
  function(data);
  return QDS_OK;
}
static qds_status run(void *state, void *stream, void (*function)(const void *, int), const void *arguments,
                      size_t bytes, int threads) {
  (void)state, (void)stream, (void)function, (void)arguments, (void)bytes, (void)threads;
  return QDS_OK;
}

static const qds_backend idle = {
    .abi = QDS_BACKEND_ABI,
    .size = sizeof(qds_backend),
    .name = "idle",
    .probe = probe,
    .open = open_device,
    .close = close_device,
    .allocate = allocate,
    .release = release,
    .memory = memory,
    .copy = copy,
    .fill = fill,
    .stream_create = create,
    .stream_destroy = destroy,
    .stream_synchronise = synchronise,
    .stream_idle = ask,
    .event_create = create,
    .event_destroy = destroy,
    .event_record = order,
    .event_wait = order,
    .event_synchronise = synchronise,
    .event_done = ask,
    .event_seconds = seconds_between,
    .host_function = call,
    .run = run,
};

/* --- the trace of bench_device_pool.py
 * ---------------------------------------------------------------------------- */

typedef struct {
  int allocate;
  size_t block, bytes;
} operation;

static double draw(uint64_t *index) {
  return qds_random_uniform(1, 0, (*index)++);
}

static size_t make_trace(size_t allocations, size_t max_bytes, operation *operations) {
  const size_t cap = 16000 * MIB;
  operation *live = malloc(allocations * sizeof *live);
  size_t count = 0, lives = 0, made = 0, used = 0;
  uint64_t index = 0;
  for (size_t i = 0; i < 2 * allocations; i++) {
    const size_t bytes = 1 + (size_t)(draw(&index) * (double)max_bytes);
    if (made < allocations && used + bytes < cap && (!lives || draw(&index) < 0.73)) {
      live[lives++] = operations[count++] = (operation){1, made++, bytes};
      used += bytes;
    } else if (lives) {
      const size_t at = (size_t)(draw(&index) * (double)lives);
      operations[count++] = (operation){0, live[at].block, live[at].bytes};
      used -= live[at].bytes;
      live[at] = live[--lives];
    }
  }
  free(live);
  return count;
}

static qds_status replay(qds_stream *stream, const operation *operations, size_t count, void **blocks) {
  for (size_t i = 0; i < count; i++) {
    const operation *o = &operations[i];
    if (o->allocate) {
      QDS_TRY(qds_stream_allocate(stream, o->bytes, 1, "trace", __FILE__, __LINE__, &blocks[o->block]));
    } else {
      qds_stream_release(stream, blocks[o->block]);
      blocks[o->block] = NULL;
    }
  }
  return QDS_OK;
}

static qds_status measure(qds_context *ctx, size_t allocations, size_t max_mib, int last) {
  operation *operations = malloc(2 * allocations * sizeof *operations);
  void **blocks = calloc(allocations, sizeof *blocks);
  const size_t count = make_trace(allocations, max_mib * MIB, operations);
  qds_accelerator *accelerator;
  qds_stream *stream;
  QDS_TRY(qds_accelerator_create(&idle, 0, 0, qds_context_allocator(ctx), &accelerator));
  QDS_TRY(qds_stream_create(accelerator, qds_context_allocator(ctx), 1, &stream));
  double seconds[2];
  size_t calls[2];
  for (int warm = 0; warm < 2; warm++) {
    const size_t before = ((idle_device *)accelerator->state)->calls;
    const double began = qds_seconds();
    QDS_TRY(replay(stream, operations, count, blocks));
    seconds[warm] = qds_seconds() - began;
    calls[warm] = ((idle_device *)accelerator->state)->calls - before;
    for (size_t i = 0; i < allocations; i++) {
      qds_stream_release(stream, blocks[i]);
      blocks[i] = NULL;
    }
  }
  qds_stream_pool_statistics s;
  qds_stream_pool_statistics_read(accelerator->pool, &s);
  printf(
      "  {\"max_MiB\": %zu, \"allocations\": %zu, \"operations\": %zu, \"cold_us\": %.4f, \"warm_us\": %.4f, "
      "\"device_calls\": [%zu, %zu], \"reserved_over_used\": %.4f}%s\n",
      max_mib, allocations, count, 1e6 * seconds[0] / (double)count, 1e6 * seconds[1] / (double)count,
      calls[0], calls[1], (double)s.peak_reserved_bytes / (double)s.peak_used_bytes, last ? "" : ",");
  qds_stream_destroy(stream);
  qds_accelerator_destroy(accelerator);
  free(operations);
  free(blocks);
  return QDS_OK;
}

int main(int argc, char **argv) {
  const size_t sizes[] = {1, 64, 1024, 4096}, counts[] = {1000, 10000, 100000};
  const size_t most = argc > 1 ? strtoul(argv[1], NULL, 10) : counts[2];
  qds_context *ctx;
  if (qds_context_create(NULL, &ctx) != QDS_OK) return 1;
  printf("{\"benchmark\": \"stream_pool\", \"unit\": \"us per operation\", \"rows\": [\n");
  qds_status status = QDS_OK;
  for (int i = 0; i < 4; i++)
    for (int j = 0; j < 3 && counts[j] <= most && status == QDS_OK; j++)
      status = measure(ctx, counts[j], sizes[i], i == 3 && (j == 2 || counts[j + 1] > most));
  printf("]}\n");
  if (status != QDS_OK) fprintf(stderr, "%s\n", qds_last_error()->message);
  qds_context_destroy(ctx);
  return status != QDS_OK;
}

/* What the device pool itself costs: its traces on a device that does nothing. Processor time per operation,
 * what the device was asked for, and the peak of what is held over the peak of what is used, as JSON, with
 * the slack that is set at first, with 4, and with no bound (0); then four streams that take turns.
 *
 *   bench_stream_pool [the most allocations] */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "../tests/mem/idle_device.h"
#include "base/philox.h"
#include "mem/pool_stream.h"
#include "par/context.h"

#define MIB ((size_t)1 << 20)

/* --- the trace of bench_device_pool.py ------------------------------------------------------------------ */

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

/* Of this thread, as other programs may keep the cores busy. */
static double processor_seconds(void) {
  struct timespec now;
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

static idle_counts counts_of(const qds_accelerator *accelerator) {
  return ((const idle_device *)accelerator->state)->counts;
}

static void print_counts(const char *name, const idle_counts *before, const idle_counts *after) {
  printf("\"%s\": {\"memory\": %zu, \"create\": %zu, \"map\": %zu, \"allow\": %zu, \"unmap\": %zu, "
         "\"destroy\": %zu, \"record\": %zu, \"wait\": %zu, \"ask\": %zu, \"synchronise\": %zu}",
         name, after->memory - before->memory, after->creations - before->creations,
         after->mappings - before->mappings, after->permissions - before->permissions,
         after->unmappings - before->unmappings, after->destructions - before->destructions,
         after->records - before->records, after->waits - before->waits, after->questions - before->questions,
         after->synchronisations - before->synchronisations);
}

/* --- one stream ----------------------------------------------------------------------------------------- */

typedef struct {
  const qds_backend *device;
  double slack;
  size_t max_mib, allocations;
} trace_case;

static qds_status measure_trace(qds_context *ctx, const trace_case *c, int first) {
  operation *operations = malloc(2 * c->allocations * sizeof *operations);
  void **blocks = calloc(c->allocations, sizeof *blocks);
  const size_t count = make_trace(c->allocations, c->max_mib * MIB, operations);
  qds_accelerator *accelerator;
  qds_stream *stream;
  QDS_TRY(qds_accelerator_create(c->device, 0, 0, qds_context_allocator(ctx), &accelerator));
  QDS_TRY(qds_stream_create(accelerator, qds_context_allocator(ctx), 1, &stream));
  QDS_TRY(qds_stream_pool_set_slack(accelerator->pool, c->slack));
  double seconds[2];
  idle_counts counts[3] = {counts_of(accelerator)};
  for (int warm = 0; warm < 2; warm++) {
    const double began = processor_seconds();
    QDS_TRY(replay(stream, operations, count, blocks));
    seconds[warm] = processor_seconds() - began;
    counts[warm + 1] = counts_of(accelerator);
    for (size_t i = 0; i < c->allocations; i++) {
      qds_stream_release(stream, blocks[i]);
      blocks[i] = NULL;
    }
  }
  qds_stream_pool_statistics s;
  qds_stream_pool_statistics_read(accelerator->pool, &s);
  printf(
      "%s  {\"device\": \"%s\", \"slack\": %g, \"max_MiB\": %zu, \"allocations\": %zu, \"operations\": %zu, "
      "\"cold_us\": %.4f, \"warm_us\": %.4f, \"reserved_over_used\": %.4f, \"moved\": %zu,\n   ",
      first ? "" : ",\n", c->device->name, isinf(c->slack) ? 0 : c->slack, c->max_mib, c->allocations, count,
      1e6 * seconds[0] / (double)count, 1e6 * seconds[1] / (double)count,
      (double)s.peak_reserved_bytes / (double)s.peak_used_bytes, s.moved);
  print_counts("cold", &counts[0], &counts[1]);
  printf(", ");
  print_counts("warm", &counts[1], &counts[2]);
  printf("}");
  qds_stream_destroy(stream);
  qds_accelerator_destroy(accelerator);
  free(operations);
  free(blocks);
  return QDS_OK;
}

static qds_status measure_traces(qds_context *ctx, size_t most) {
  const size_t sizes[] = {1, 64, 1024, 4096}, counts[] = {1000, 10000, 100000};
  const qds_backend *const devices[] = {&idle_pieces, &idle_segments};
  const double slacks[] = {QDS_POOL_SLACK, 4, INFINITY};
  int first = 1;
  for (int d = 0; d < 2; d++)
    for (int k = 0; k < 3; k++)
      for (int i = 0; i < 4; i++)
        for (int j = 0; j < 3 && counts[j] <= most; j++, first = 0)
          QDS_TRY(measure_trace(ctx, &(trace_case){devices[d], slacks[k], sizes[i], counts[j]}, first));
  return QDS_OK;
}

/* --- four streams --------------------------------------------------------------------------------------- */

enum { STREAMS = 4, KERNELS = 4, ROUNDS = 2000 };

static qds_status round_robin(qds_stream **streams, size_t bytes) {
  void *block;
  for (int k = 0; k < KERNELS; k++)
    for (int i = 0; i < STREAMS; i++) {
      QDS_TRY(qds_stream_allocate(streams[i], bytes, 1, "round", __FILE__, __LINE__, &block));
      qds_stream_release(streams[i], block);
    }
  return QDS_OK;
}

/* Each in turn takes a block and gives it back: what the pool asks of the driver then, it asks again and
 * again. */
static qds_status measure_streams(qds_context *ctx, size_t bytes, int first) {
  qds_accelerator *accelerator;
  qds_stream *streams[STREAMS];
  QDS_TRY(qds_accelerator_create(&idle_pieces, 0, 0, qds_context_allocator(ctx), &accelerator));
  for (int i = 0; i < STREAMS; i++)
    QDS_TRY(qds_stream_create(accelerator, qds_context_allocator(ctx), 1, &streams[i]));
  QDS_TRY(round_robin(streams, bytes));
  const idle_counts before = counts_of(accelerator);
  const double began = processor_seconds();
  for (int i = 0; i < ROUNDS; i++) QDS_TRY(round_robin(streams, bytes));
  const double seconds = processor_seconds() - began;
  const idle_counts after = counts_of(accelerator);
  printf("%s  {\"streams\": %d, \"bytes\": %zu, \"rounds\": %d, \"us\": %.4f, ", first ? "" : ",\n", STREAMS,
         bytes, ROUNDS, 1e6 * seconds / ROUNDS);
  print_counts("calls", &before, &after);
  printf("}");
  for (int i = 0; i < STREAMS; i++) qds_stream_destroy(streams[i]);
  qds_accelerator_destroy(accelerator);
  return QDS_OK;
}

int main(int argc, char **argv) {
  const size_t most = argc > 1 ? strtoul(argv[1], NULL, 10) : 100000;
  qds_context *ctx;
  if (qds_context_create(NULL, &ctx) != QDS_OK) return 1;
  printf("{\"benchmark\": \"stream_pool\", \"unit\": \"us of the processor: per operation; per round of 16 "
         "blocks\", "
         "\"traces\": [\n");
  qds_status status = measure_traces(ctx, most);
  printf("],\n\"streams\": [\n");
  if (status == QDS_OK) status = measure_streams(ctx, 8, 1);
  if (status == QDS_OK) status = measure_streams(ctx, 4 * MIB, 0);
  printf("]}\n");
  if (status != QDS_OK) fprintf(stderr, "%s\n", qds_last_error()->message);
  qds_context_destroy(ctx);
  return status != QDS_OK;
}

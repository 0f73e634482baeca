/* What the device pool itself costs: its traces on a device that does nothing. Host time per operation, how
 * often the device would have been asked for memory, and the peak of what is held over the peak of what is
 * used, as JSON.
 *
 *   bench_stream_pool [allocations] */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

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

static qds_status measure(qds_context *ctx, const qds_backend *device, size_t allocations, size_t max_mib,
                          int last) {
  operation *operations = malloc(2 * allocations * sizeof *operations);
  void **blocks = calloc(allocations, sizeof *blocks);
  const size_t count = make_trace(allocations, max_mib * MIB, operations);
  qds_accelerator *accelerator;
  qds_stream *stream;
  QDS_TRY(qds_accelerator_create(device, 0, 0, qds_context_allocator(ctx), &accelerator));
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
  printf("  {\"device\": \"%s\", \"max_MiB\": %zu, \"allocations\": %zu, \"operations\": %zu, \"cold_us\": "
         "%.4f, \"warm_us\": %.4f, "
         "\"device_calls\": [%zu, %zu], \"reserved_over_used\": %.4f}%s\n",
         device->name, max_mib, allocations, count, 1e6 * seconds[0] / (double)count,
         1e6 * seconds[1] / (double)count, calls[0], calls[1],
         (double)s.peak_reserved_bytes / (double)s.peak_used_bytes, last ? "" : ",");
  qds_stream_destroy(stream);
  qds_accelerator_destroy(accelerator);
  free(operations);
  free(blocks);
  return QDS_OK;
}

int main(int argc, char **argv) {
  const size_t sizes[] = {1, 64, 1024, 4096}, counts[] = {1000, 10000, 100000};
  const qds_backend *const devices[] = {&idle_pieces, &idle_segments};
  const size_t most = argc > 1 ? strtoul(argv[1], NULL, 10) : counts[2];
  qds_context *ctx;
  if (qds_context_create(NULL, &ctx) != QDS_OK) return 1;
  printf("{\"benchmark\": \"stream_pool\", \"unit\": \"us per operation\", \"rows\": [\n");
  qds_status status = QDS_OK;
  for (int d = 0; d < 2; d++)
    for (int i = 0; i < 4; i++)
      for (int j = 0; j < 3 && counts[j] <= most && status == QDS_OK; j++)
        status =
            measure(ctx, devices[d], counts[j], sizes[i], d && i == 3 && (j == 2 || counts[j + 1] > most));
  printf("]}\n");
  if (status != QDS_OK) fprintf(stderr, "%s\n", qds_last_error()->message);
  qds_context_destroy(ctx);
  return status != QDS_OK;
}

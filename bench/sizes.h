/* The frame of benchmarks that work on grids of NODES^3 unknowns on a device: their arguments and their JSON.
 *
 *   PROGRAM [DEVICE [NODES...]] */
#ifndef QDS_BENCH_SIZES_H
#define QDS_BENCH_SIZES_H

#include <stdio.h>
#include <stdlib.h>

#include "base/json.h"
#include "par/context.h"

typedef struct {
  const char *name;
  int64_t on_cpu; /* nodes without a device; with one they are 255 and 511 */
  /* Measures one size; what it opens in the JSON it closes. */
  qds_status (*run)(qds_context *ctx, qds_json *json, int64_t nodes);
} bench_sizes;

static inline qds_status bench_sizes_run(const bench_sizes *b, qds_context *ctx, int count, char **nodes) {
  static const int64_t on_device[] = {255, 511};
  const int device = qds_context_accelerator(ctx) != NULL, given = count > 0;
  QDS_AUTO(qds_json) *json = NULL;
  const char *text;
  if (!given) count = device ? 2 : 1;
  QDS_TRY(qds_json_create(qds_context_allocator(ctx), &json));
  qds_json_open_map(json, NULL);
  qds_json_string(json, "benchmark", b->name);
  qds_json_string(json, "device", qds_context_device(ctx));
  qds_json_int(json, "threads", qds_context_threads(ctx));
  qds_json_open_list(json, "results");
  for (int i = 0; i < count; i++)
    QDS_TRY(b->run(ctx, json, given ? atoll(nodes[i]) : device ? on_device[i] : b->on_cpu));
  qds_json_close_list(json);
  qds_json_close_map(json);
  QDS_TRY(qds_json_text(json, &text));
  fputs(text, stdout);
  return QDS_OK;
}

static inline int bench_sizes_main(const bench_sizes *b, int argc, char **argv) {
  qds_context_options options = QDS_CONTEXT_OPTIONS_INIT;
  qds_context *ctx = NULL;
  options.device = argc > 1 ? argv[1] : "auto";
  qds_status status = qds_context_create(&options, &ctx);
  if (status == QDS_OK) status = bench_sizes_run(b, ctx, argc > 2 ? argc - 2 : 0, argv + 2);
  if (status != QDS_OK) fprintf(stderr, "bench_%s: %s\n", b->name, qds_last_error()->message);
  qds_context_destroy(ctx);
  return qds_status_exit(status);
}

#endif

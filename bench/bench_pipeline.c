/* What a pipeline hides: its wall time against the sum and the longest of its stages, and against the same
 * stages with one item under way at a time.
 *
 *   bench_pipeline [DEVICE [ITEMS [MIB]]]    auto, cpu, sim, cuda, cuda:1; default auto, 32 items of 8 MiB
 *
 * Case "device": copy in, compute, copy out, with as much computation as takes as long as the slower copy.
 * Case "file": the same between two files in TMPDIR (default /tmp), which lie in the page cache. The output
 * is compared with what it must be. Prints JSON; a table goes to standard error. */
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/json.h"
#include "la/block_kernels.h"
#include "par/pipeline_file.h"

enum { READ, COPY_IN, COMPUTE, COPY_OUT, WRITE, STAGES, GROUPS = 64, DEPTH = 6 };

typedef struct {
  qds_context *ctx;
  qds_json *json;
  uint64_t items;
  size_t bytes;   /* of an item */
  int passes;     /* over the item, in the stage that computes */
  double *device; /* the factor, square, partial sums of the kernel */
  char in[512], out[512];
} bench;

/* The second half of the item's memory becomes the first times 1 + passes, which is exact. */
static qds_status compute(void *user, qds_pipeline_item *item, qds_stream *stream) {
  const bench *b = user;
  const int64_t rows = (int64_t)(item->bytes / sizeof(double));
  double *x = item->device, *y = x + rows;
  const qds_residual_arguments k = {.x = {x, rows, 1},
                                    .w = {y, rows, 1},
                                    .rows = rows,
                                    .eigenvalues = b->device,
                                    .groups = GROUPS,
                                    .partial = b->device + 2,
                                    .squares = b->device + 1};
  QDS_TRY(qds_stream_copy(stream, y, x, item->bytes));
  for (int i = 0; i < b->passes; i++) QDS_TRY(qds_stream_launch(stream, &qds_residual_kernel, &k));
  return QDS_OK;
}

static qds_status copy_out(void *user, qds_pipeline_item *item, qds_stream *stream) {
  (void)user;
  return qds_stream_copy(stream, item->host, (char *)item->device + item->bytes, item->bytes);
}

/* --- files ------------------------------------------------------------------------------------------------
 */

static double number(uint64_t i) {
  return (double)(i % 1000003);
}

static qds_status write_numbers(const bench *b) {
  FILE *file = fopen(b->in, "wb");
  if (!file) QDS_FAIL(QDS_ERROR_FILE, "%s: cannot be written", b->in);
  const uint64_t count = b->items * b->bytes / sizeof(double);
  size_t written = 0;
  for (uint64_t i = 0; i < count; i++) {
    const double x = number(i);
    written += fwrite(&x, sizeof x, 1, file);
  }
  if (fclose(file) != 0 || written != count) QDS_FAIL(QDS_ERROR_FILE, "%s: the disk is full", b->in);
  return QDS_OK;
}

static qds_status check_numbers(const bench *b) {
  FILE *file = fopen(b->out, "rb");
  if (!file) QDS_FAIL(QDS_ERROR_FILE, "%s: cannot be read", b->out);
  const uint64_t count = b->items * b->bytes / sizeof(double);
  uint64_t wrong = 0;
  for (uint64_t i = 0; i < count; i++) {
    double x = -1;
    wrong += fread(&x, sizeof x, 1, file) != 1 || x != number(i) * (1 + b->passes);
  }
  fclose(file);
  if (wrong)
    QDS_FAIL(QDS_ERROR_NUMERIC, "%llu of %llu numbers are wrong", (unsigned long long)wrong,
             (unsigned long long)count);
  return QDS_OK;
}

/* --- runs -------------------------------------------------------------------------------------------------
 */

/* Twice, of which the second counts: the first takes the memory. */
static qds_status run_stages(bench *b, const qds_stage *stages, int count, int depth,
                             qds_pipeline_statistics *out) {
  const qds_pipeline_options options = {.stages = stages,
                                        .stage_count = count,
                                        .item_bytes = b->bytes,
                                        .device_bytes = 2 * b->bytes,
                                        .depth = depth};
  QDS_AUTO(qds_pipeline) *pipeline = NULL;
  QDS_TRY(qds_pipeline_create(b->ctx, &options, &pipeline));
  QDS_TRY(qds_pipeline_run(pipeline, b->items, NULL));
  return qds_pipeline_run(pipeline, b->items, out);
}

static void report(bench *b, const char *name, const qds_pipeline_statistics *s, double one_by_one_s) {
  const double total = (double)b->items * (double)b->bytes;
  qds_json_open_map(b->json, NULL);
  qds_json_string(b->json, "case", name);
  qds_json_open_map(b->json, "busy_s");
  for (int i = 0; i < s->stage_count; i++) qds_json_double(b->json, s->stages[i].name, s->stages[i].busy_s);
  qds_json_close_map(b->json);
  qds_json_double(b->json, "sum_s", s->busy_s);
  qds_json_double(b->json, "longest_s", s->longest_s);
  qds_json_double(b->json, "wall_s", s->wall_s);
  qds_json_double(b->json, "overlap", s->overlap);
  qds_json_double(b->json, "one_item_at_a_time_s", one_by_one_s);
  qds_json_double(b->json, "GB_s", 1e-9 * total / s->wall_s);
  qds_json_close_map(b->json);
  fprintf(stderr, "%-7s wall %.4f s, stages %.4f, longest %.4f: overlap %.2f; one item at a time %.4f s;",
          name, s->wall_s, s->busy_s, s->longest_s, s->overlap, one_by_one_s);
  for (int i = 0; i < s->stage_count; i++)
    fprintf(stderr, " %s %.4f", s->stages[i].name, s->stages[i].busy_s);
  fputc('\n', stderr);
}

static qds_status measure(bench *b, const char *name, const qds_stage *stages, int count) {
  qds_pipeline_statistics together, alone;
  QDS_TRY(run_stages(b, stages, count, 1, &alone));
  QDS_TRY(run_stages(b, stages, count, DEPTH, &together));
  report(b, name, &together, alone.wall_s);
  return QDS_OK;
}

/* As many passes as take as long as the slower copy. */
static qds_status choose_passes(bench *b, const qds_stage *stages) {
  qds_pipeline_statistics s;
  double pass_s, copy_s;
  b->passes = 8;
  QDS_TRY(run_stages(b, stages, 3, 1, &s));
  pass_s = s.stages[1].busy_s / b->passes;
  copy_s = s.stages[0].busy_s > s.stages[2].busy_s ? s.stages[0].busy_s : s.stages[2].busy_s;
  b->passes = pass_s * 1000 < copy_s ? 1000 : (int)(copy_s / pass_s);
  if (b->passes < 1) b->passes = 1;
  return QDS_OK;
}

static qds_status run_cases(bench *b) {
  QDS_AUTO(qds_pipeline_file) *in = NULL;
  QDS_AUTO(qds_pipeline_file) *out = NULL;
  qds_allocator *allocator = qds_context_allocator(b->ctx);
  QDS_TRY(write_numbers(b));
  QDS_TRY(qds_pipeline_file_open(allocator, b->in, b->bytes, &in));
  QDS_TRY(qds_pipeline_file_create(allocator, b->out, b->bytes, &out));
  const qds_stage stages[STAGES] = {{QDS_STAGE_HOST, "read", qds_pipeline_read, in},
                                    {QDS_STAGE_COPY_IN, "copy in", NULL, NULL},
                                    {QDS_STAGE_COMPUTE, "compute", compute, b},
                                    {QDS_STAGE_COPY_OUT, "copy out", copy_out, b},
                                    {QDS_STAGE_HOST, "write", qds_pipeline_write, out}};
  QDS_TRY(choose_passes(b, stages + COPY_IN));
  qds_json_int(b->json, "passes", b->passes);
  qds_json_open_list(b->json, "cases");
  QDS_TRY(measure(b, "device", stages + COPY_IN, 3));
  QDS_TRY(measure(b, "file", stages, STAGES));
  qds_json_close_list(b->json);
  return check_numbers(b);
}

static qds_status run(qds_context *ctx, int items, int mib) {
  QDS_AUTO(qds_json) *json = NULL;
  const char *text, *folder = getenv("TMPDIR");
  const double factor = -1; /* y - factor x */
  bench b = {.ctx = ctx, .items = (uint64_t)items, .bytes = (size_t)mib << 20};
  qds_stream *stream = qds_context_stream(ctx);
  QDS_TRY(qds_json_create(qds_context_allocator(ctx), &json));
  b.json = json;
  snprintf(b.in, sizeof b.in, "%s/bench-pipeline-%ld-in", folder ? folder : "/tmp", (long)getpid());
  snprintf(b.out, sizeof b.out, "%s/bench-pipeline-%ld-out", folder ? folder : "/tmp", (long)getpid());
  qds_json_open_map(json, NULL);
  qds_json_string(json, "device", qds_context_device(ctx));
  qds_json_int(json, "items", items);
  qds_json_int(json, "item_bytes", (int64_t)b.bytes);
  qds_json_int(json, "under_way", DEPTH);
  QDS_TRY(QDS_STREAM_NEW(stream, 2 + GROUPS, "benchmark", &b.device));
  qds_status status = qds_stream_copy(stream, b.device, &factor, sizeof factor);
  if (status == QDS_OK) status = qds_stream_synchronise(stream);
  if (status == QDS_OK) status = run_cases(&b);
  qds_stream_release(stream, b.device);
  unlink(b.in);
  unlink(b.out);
  QDS_TRY(status);
  qds_json_close_map(json);
  QDS_TRY(qds_json_text(json, &text));
  fputs(text, stdout);
  return QDS_OK;
}

int main(int argc, char **argv) {
  qds_context_options options = QDS_CONTEXT_OPTIONS_INIT;
  options.device = argc > 1 ? argv[1] : "auto";
  const int items = argc > 2 ? atoi(argv[2]) : 32, mib = argc > 3 ? atoi(argv[3]) : 8;
  if (items < 1 || mib < 1 || mib > 1024) {
    fprintf(stderr, "usage: %s [DEVICE [ITEMS [MIB]]]: 1 item at least, of 1 to 1024 MiB\n", argv[0]);
    return 2;
  }
  qds_context *ctx = NULL;
  qds_status status = qds_context_create(&options, &ctx);
  if (status == QDS_OK) status = run(ctx, items, mib);
  if (status != QDS_OK) fprintf(stderr, "bench_pipeline: %s\n", qds_last_error()->message);
  qds_context_destroy(ctx);
  return qds_status_exit(status);
}

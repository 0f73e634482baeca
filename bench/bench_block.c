/* The passes over block vectors that LOBPCG makes, against the bandwidth of a copy of one vector on the same
 * device.
 *
 *   bench_block [DEVICE]    auto, cpu, cuda, cuda:1; default auto
 *
 * Bytes are those that must move: each column read or written once. Prints JSON; a table goes to standard
 * error. */
#include <stdio.h>
#include <stdlib.h>

#include "base/json.h"
#include "la/block.h"

/* A device slows down when a pass takes much power: what counts is what it does for a while. */
enum { LEAST_REPEATS = 9, MOST_REPEATS = 200 };
static const double least_seconds = 0.5;

typedef struct {
  qds_block x, p, w, aw;
  double *small;
} workload;

typedef qds_status (*pass)(qds_context *ctx, workload *k);

static qds_status copy(qds_context *ctx, workload *k) {
  (void)ctx;
  return qds_block_copy(&k->x, &k->w);
}
static qds_status gram(qds_context *ctx, workload *k) {
  const qds_block *const left[QDS_GRAM_LEFT] = {&k->w, &k->aw}, *const right[QDS_GRAM_RIGHT] = {&k->x, &k->p,
                                                                                                &k->w};
  return qds_blocks_gram(ctx, left, right, k->small);
}
static qds_status combine(qds_context *ctx, workload *k) {
  const qds_block *const from[QDS_COMBINE_FROM] = {&k->x, &k->p, &k->w}, *const to[QDS_COMBINE_TO] = {&k->x,
                                                                                                      &k->p};
  return qds_blocks_combine(ctx, from, k->small, to);
}
static qds_status residual(qds_context *ctx, workload *k) {
  return qds_block_residual(ctx, &k->x, k->small, &k->w, k->small + k->x.columns);
}
/* The residual of columns that start 64 bytes further than the others, as no block's do. */
static qds_status shifted(qds_context *ctx, workload *k) {
  qds_block x = k->x, w = k->w;
  x.rows = w.rows -= 8;
  w.data += 8;
  return qds_block_residual(ctx, &x, k->small, &w, k->small + x.columns);
}

static const struct {
  const char *name;
  pass run;
  int columns; /* read or written, in units of the block's */
} passes[] = {{"copy", copy, 2},
              {"gram", gram, 4},
              {"combine", combine, 5},
              {"residual", residual, 3},
              {"shifted", shifted, 3}};
enum { PASSES = sizeof passes / sizeof *passes };

static int ascending(const void *a, const void *b) {
  const double x = *(const double *)a, y = *(const double *)b;
  return x < y ? -1 : x > y;
}

static qds_status median_seconds(qds_context *ctx, workload *k, pass run, double *median) {
  double seconds[MOST_REPEATS], total = 0;
  qds_stream *stream = qds_context_stream(ctx);
  int count = -2;
  for (; count < LEAST_REPEATS || (count < MOST_REPEATS && total < least_seconds); count++) {
    QDS_TRY(qds_stream_synchronise(stream));
    const double start = qds_seconds();
    QDS_TRY(run(ctx, k));
    QDS_TRY(qds_stream_synchronise(stream));
    if (count < 0) continue;
    seconds[count] = qds_seconds() - start;
    total += seconds[count];
  }
  qsort(seconds, (size_t)count, sizeof *seconds, ascending);
  *median = seconds[count / 2];
  return QDS_OK;
}

static void workload_clear(workload *k) {
  qds_block *const blocks[] = {&k->x, &k->p, &k->w, &k->aw};
  for (int b = 0; b < 4; b++) qds_block_clear(blocks[b]);
  qds_release(k->small);
}

static qds_status workload_create(qds_context *ctx, int64_t rows, int m, workload *k) {
  qds_block *const blocks[] = {&k->x, &k->p, &k->w, &k->aw};
  for (int b = 0; b < 4; b++) {
    QDS_TRY(qds_block_create_on(ctx, qds_context_stream(ctx), rows, m, "benchmark", blocks[b]));
    QDS_TRY(qds_block_fill_random(ctx, blocks[b], (uint64_t)(b * m)));
  }
  QDS_TRY(QDS_NEW(qds_context_allocator(ctx), 6 * m * m, "benchmark", &k->small));
  for (int i = 0; i < 6 * m * m; i++) k->small[i] = i % (3 * m + 1) == 0 ? 1 : 1e-3 * (i % 7);
  return QDS_OK;
}

/* The copy of the first size is what `copy_bandwidth` becomes. */
static qds_status measure(qds_context *ctx, int64_t rows, int m, double *copy_bandwidth, qds_json *json) {
  __attribute__((cleanup(workload_clear))) workload k = {0};
  QDS_TRY(workload_create(ctx, rows, m, &k));
  for (int p = 0; p < PASSES; p++) {
    double seconds;
    QDS_TRY(median_seconds(ctx, &k, passes[p].run, &seconds));
    const double bandwidth = 8.0 * (double)rows * m * passes[p].columns / seconds;
    if (*copy_bandwidth == 0) *copy_bandwidth = bandwidth;
    qds_json_open_map(json, NULL);
    qds_json_string(json, "pass", passes[p].name);
    qds_json_int(json, "rows", rows);
    qds_json_int(json, "columns", m);
    qds_json_double(json, "seconds", seconds);
    qds_json_double(json, "bytes_per_s", bandwidth);
    qds_json_double(json, "of_copy", bandwidth / *copy_bandwidth);
    qds_json_close_map(json);
    fprintf(stderr, "%10lld rows %3d columns %-9s %9.3f ms %7.0f GB/s %5.2f of the copy\n", (long long)rows,
            m, passes[p].name, 1e3 * seconds, 1e-9 * bandwidth, bandwidth / *copy_bandwidth);
  }
  return QDS_OK;
}

static qds_status run(qds_context *ctx) {
  const int on_cpu = !qds_context_accelerator(ctx), columns[] = {1, 2, 3, 6, 12, 16, 30};
  const double numbers = on_cpu ? 3e7 : 6e8; /* per block: well beyond every cache */
  QDS_AUTO(qds_json) *json = NULL;
  const char *text;
  double copy_bandwidth = 0;
  QDS_TRY(qds_json_create(qds_context_allocator(ctx), &json));
  qds_json_open_map(json, NULL);
  qds_json_string(json, "device", qds_context_device(ctx));
  qds_json_open_list(json, "passes");
  for (size_t i = 0; i < sizeof columns / sizeof *columns; i++)
    QDS_TRY(measure(ctx, (int64_t)(numbers / columns[i]) / 1000 * 1000, columns[i], &copy_bandwidth, json));
  qds_json_close_list(json);
  qds_json_close_map(json);
  QDS_TRY(qds_json_text(json, &text));
  fputs(text, stdout);
  return QDS_OK;
}

int main(int argc, char **argv) {
  qds_context_options options = QDS_CONTEXT_OPTIONS_INIT;
  options.device = argc > 1 ? argv[1] : "auto";
  qds_context *ctx = NULL;
  qds_status status = qds_context_create(&options, &ctx);
  if (status == QDS_OK) status = run(ctx);
  if (status != QDS_OK) fprintf(stderr, "bench_block: %s\n", qds_last_error()->message);
  qds_context_destroy(ctx);
  return status != QDS_OK;
}

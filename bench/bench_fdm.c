/* Fast diagonalisation: time of one application per vector, its rate, and the rate of large matrix products
 * on the same threads in the same run, as JSON.
 *
 *   bench_fdm [threads [columns]] */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <omp.h>

#include "base/json.h"
#include "la/blas.h"
#include "la/fdm.h"

typedef struct {
  int64_t n[3];
  int symmetric;
} workload;

static const workload workloads[] = {
    {{39, 49, 1}, 1},     {{400, 400, 1}, 1}, {{1000, 1000, 1}, 1}, {{50, 50, 50}, 1},    {{99, 99, 99}, 1},
    {{100, 100, 100}, 1}, {{99, 99, 99}, 0},  {{200, 200, 200}, 1}, {{200, 200, 200}, 0}, {{63, 63, 250}, 1},
};
enum { WORKLOADS = sizeof workloads / sizeof *workloads, REPETITIONS = 5, GEMM_ORDER = 1536 };

/* The Dirichlet Laplacian; the asymmetric one has its first cell 1 percent wider. */
static void fill_laplacian(int64_t n, int symmetric, double *a) {
  memset(a, 0, (size_t)(n * n) * sizeof *a);
  for (int64_t i = 0; i < n; i++) {
    a[i * n + i] = 2;
    if (i > 0) a[i * n + i - 1] = a[(i - 1) * n + i] = -1;
  }
  if (!symmetric) a[0] = 1.98;
}

static qds_status create(qds_context *ctx, const workload *w, qds_precision precision, qds_fdm **out) {
  QDS_AUTO_RELEASE double *x = NULL;
  QDS_AUTO_RELEASE double *y = NULL;
  QDS_AUTO_RELEASE double *z = NULL;
  double **matrix[3] = {&x, &y, &z};
  for (int a = 0; a < 3; a++) {
    QDS_TRY(QDS_NEW(qds_context_allocator(ctx), w->n[a] * w->n[a], "matrix", matrix[a]));
    fill_laplacian(w->n[a], w->symmetric, *matrix[a]);
  }
  return qds_fdm_create(ctx, w->n, (const double *const[3]){x, y, z}, -0.001, precision, out);
}

/* Seconds of the fastest of some repetitions of `call`, after one to warm up. */
#define FASTEST(out, call)                                                                                   \
  do {                                                                                                       \
    *(out) = 1e300;                                                                                          \
    for (int repetition = 0; repetition <= REPETITIONS; repetition++) {                                      \
      const double began = qds_seconds();                                                                    \
      QDS_TRY(call);                                                                                         \
      const double time = qds_seconds() - began;                                                             \
      if (repetition > 0 && time < *(out)) *(out) = time;                                                    \
    }                                                                                                        \
  } while (0)

static qds_status products(qds_context *ctx, const qds_blas *blas, qds_precision precision, float *numbers) {
  const int order = GEMM_ORDER;
  const size_t size = (size_t)order * (size_t)order;
#pragma omp parallel num_threads(qds_context_threads(ctx))
  {
    float *a = numbers + (size_t)omp_get_thread_num() * 6 * size;
    if (precision == QDS_FLOAT32) {
      const float one = 1, zero = 0;
      blas->sgemm("N", "N", &order, &order, &order, &one, a, &order, a + size, &order, &zero, a + 2 * size,
                  &order);
    } else {
      const double one = 1, zero = 0, *b = (double *)a;
      blas->dgemm("N", "N", &order, &order, &order, &one, b, &order, b + size, &order, &zero,
                  (double *)a + 2 * size, &order);
    }
  }
  return QDS_OK;
}

static qds_status product_rate(qds_context *ctx, qds_precision precision, double *rate) {
  const qds_blas *blas = NULL;
  QDS_AUTO_RELEASE float *numbers = NULL;
  QDS_TRY(qds_blas_get(ctx, &blas));
  const double order = GEMM_ORDER, threads = qds_context_threads(ctx);
  QDS_TRY(QDS_NEW_ZERO(qds_context_allocator(ctx), 6 * order * order * threads, "matrices", &numbers));
  double seconds;
  FASTEST(&seconds, products(ctx, blas, precision, numbers));
  *rate = 2e-9 * order * order * order * threads / seconds;
  return QDS_OK;
}

static qds_status measure(qds_context *ctx, const workload *w, qds_precision precision, int columns,
                          double peak, qds_json *json) {
  QDS_AUTO(qds_fdm) *fdm = NULL;
  qds_block x __attribute__((cleanup(qds_block_clear))) = {0};
  const double start = qds_seconds();
  QDS_TRY(create(ctx, w, precision, &fdm));
  const double setup = qds_seconds() - start;
  QDS_TRY(qds_block_create(ctx, w->n[0] * w->n[1] * w->n[2], columns, "x", &x));
  qds_block y __attribute__((cleanup(qds_block_clear))) = {0};
  QDS_TRY(qds_block_create(ctx, x.rows, columns, "y", &y));
  qds_block_fill_random(ctx, &x, 0);
  const qds_operator inverse = qds_fdm_operator(fdm);
  double seconds;
  FASTEST(&seconds, inverse.apply(inverse.self, ctx, &x, &y));
  seconds /= columns;

  qds_json_open_map(json, NULL);
  qds_json_doubles(json, "n", 3, (const double[]){(double)w->n[0], (double)w->n[1], (double)w->n[2]});
  qds_json_string(json, "precision", precision == QDS_FLOAT32 ? "float32" : "float64");
  qds_json_bool(json, "symmetric", w->symmetric);
  qds_json_double(json, "setup_s", setup);
  qds_json_double(json, "seconds_per_vector", seconds);
  qds_json_double(json, "nanoseconds_per_unknown", 1e9 * seconds / (double)x.rows);
  qds_json_double(json, "gigaflops", 1e-9 * qds_fdm_flops(fdm) / seconds);
  qds_json_double(json, "fraction_of_matrix_product", 1e-9 * qds_fdm_flops(fdm) / seconds / peak);
  qds_json_close_map(json);
  return QDS_OK;
}

static qds_status bench(qds_context *ctx, int columns) {
  QDS_AUTO(qds_json) *json = NULL;
  const char *text = NULL;
  double peak[2];
  QDS_TRY(qds_json_create(qds_context_allocator(ctx), &json));
  QDS_TRY(product_rate(ctx, QDS_FLOAT32, &peak[QDS_FLOAT32]));
  QDS_TRY(product_rate(ctx, QDS_FLOAT64, &peak[QDS_FLOAT64]));
  qds_json_open_map(json, NULL);
  qds_json_int(json, "threads", qds_context_threads(ctx));
  qds_json_int(json, "columns", columns);
  qds_json_double(json, "sgemm_gigaflops", peak[QDS_FLOAT32]);
  qds_json_double(json, "dgemm_gigaflops", peak[QDS_FLOAT64]);
  qds_json_open_list(json, "cases");
  for (int i = 0; i < WORKLOADS; i++)
    for (int p = QDS_FLOAT32; p <= QDS_FLOAT64; p++)
      QDS_TRY(measure(ctx, &workloads[i], (qds_precision)p, columns, peak[p], json));
  qds_json_close_list(json);
  qds_json_close_map(json);
  QDS_TRY(qds_json_text(json, &text));
  fputs(text, stdout);
  return QDS_OK;
}

int main(int argc, char **argv) {
  qds_context_options options = QDS_CONTEXT_OPTIONS_INIT;
  qds_context *ctx = NULL;
  options.threads = argc > 1 ? atoi(argv[1]) : 0;
  const int columns = argc > 2 ? atoi(argv[2]) : 5;
  if (columns < 1) {
    fprintf(stderr, "usage: %s [threads [columns]]\n", argv[0]);
    return 2;
  }
  qds_status status = qds_context_create(&options, &ctx);
  if (status == QDS_OK) status = bench(ctx, columns);
  if (status != QDS_OK) fprintf(stderr, "%s\n", qds_last_error()->message);
  qds_context_destroy(ctx);
  return qds_status_exit(status);
}

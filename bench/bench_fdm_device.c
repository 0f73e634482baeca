/* Fast diagonalisation on a device in each precision: seconds of one application per vector, beside the time
 * that its matrix products and its memory traffic would take at the rates measured in the same run.
 *
 *   bench_fdm_device [DEVICE [NODES...]]    default auto, 255 511 (63 on the CPU)
 *
 * A box with NODES^3 unknowns, symmetric along each axis. Prints JSON; a table goes to standard error. */
#include <string.h>

#include "la/fdm.h"
#include "sizes.h"

enum { REPETITIONS = 7, PRODUCT_ORDER = 8192, SMALL_ORDER = 512 };
static const size_t LARGE_MEMORY = (size_t)8 << 30;
static const char *const precision_names[] = {
    [QDS_FLOAT32] = "float32", [QDS_FLOAT64] = "float64", [QDS_TF32] = "tf32"};

typedef struct {
  qds_context *ctx;
  qds_stream *stream;
  qds_json *json;
} bench;

/* Seconds of the fastest of some repetitions, after one to warm up. */
#define FASTEST(b, out, call)                                                                                \
  do {                                                                                                       \
    *(out) = 1e300;                                                                                          \
    for (int repetition = 0; repetition <= REPETITIONS; repetition++) {                                      \
      QDS_TRY(qds_stream_synchronise((b)->stream));                                                          \
      const double began = qds_seconds();                                                                    \
      QDS_TRY(call);                                                                                         \
      QDS_TRY(qds_stream_synchronise((b)->stream));                                                          \
      const double time = qds_seconds() - began;                                                             \
      if (repetition > 0 && time < *(out)) *(out) = time;                                                    \
    }                                                                                                        \
  } while (0)

/* Rates that bound the work: of a large product of random matrices, and of a copy, read plus written. */
static qds_status measure_ceilings(bench *b, qds_precision precision, double *flops_s, double *bytes_s) {
  size_t free_bytes = 0, total_bytes = 0;
  if (qds_context_accelerator(b->ctx))
    QDS_TRY(qds_accelerator_memory(qds_context_accelerator(b->ctx), &free_bytes, &total_bytes));
  const int order = free_bytes > LARGE_MEMORY ? PRODUCT_ORDER : SMALL_ORDER;
  const size_t bytes = sizeof(double) * (size_t)order * (size_t)order;
  __attribute__((cleanup(qds_block_clear))) qds_block m = {0};
  QDS_TRY(qds_block_create_on(b->ctx, b->stream, (int64_t)order * order, 3, "products", &m));
  QDS_TRY(qds_block_fill_random(b->ctx, &m, 1));
  const qds_matrix_product_arguments k = {.precision = precision,
                                          .m = order,
                                          .n = order,
                                          .k = order,
                                          .lda = order,
                                          .ldb = order,
                                          .ldc = order,
                                          .batches = 1,
                                          .a = qds_block_column(&m, 0),
                                          .b = qds_block_column(&m, 1),
                                          .c = qds_block_column(&m, 2)};
  double seconds;
  FASTEST(b, &seconds, qds_matrix_product(b->ctx, b->stream, &k));
  *flops_s = 2.0 * order * order * order / seconds;
  FASTEST(b, &seconds, qds_stream_copy(b->stream, qds_block_column(&m, 0), qds_block_column(&m, 1), bytes));
  *bytes_s = 2.0 * (double)bytes / seconds;
  return QDS_OK;
}

/* Each number read or written once: in for the peak and again, out, the division, six products. */
static double bytes_of(int64_t rows, qds_precision precision) {
  const double real = (double)qds_precision_bytes(precision);
  return (double)rows * ((precision == QDS_FLOAT64 ? 16 : 24) + 16 * real);
}

static qds_status create(bench *b, int64_t nodes, qds_precision precision, qds_fdm **out) {
  const int64_t n[3] = {nodes, nodes, nodes};
  QDS_AUTO_RELEASE double *a = NULL;
  QDS_TRY(QDS_NEW_ZERO(qds_context_allocator(b->ctx), nodes * nodes, "matrix", &a));
  for (int64_t i = 0; i < nodes; i++) {
    a[i * nodes + i] = 2;
    if (i > 0) a[i * nodes + i - 1] = a[(i - 1) * nodes + i] = -1;
  }
  return qds_fdm_create_on(b->ctx, b->stream, n, (const double *const[3]){a, a, a}, -0.001, precision, out);
}

static qds_status measure(bench *b, int64_t nodes, qds_precision precision) {
  QDS_AUTO(qds_fdm) *fdm = NULL;
  __attribute__((cleanup(qds_block_clear))) qds_block x = {0};
  double flops_s, bytes_s, seconds;
  QDS_TRY(measure_ceilings(b, precision, &flops_s, &bytes_s));
  QDS_TRY(create(b, nodes, precision, &fdm));
  QDS_TRY(qds_block_create_on(b->ctx, b->stream, nodes * nodes * nodes, 1, "x", &x));
  QDS_TRY(qds_block_fill_random(b->ctx, &x, 1));
  const qds_operator inverse = qds_fdm_operator(fdm);
  FASTEST(b, &seconds, inverse.apply(inverse.self, b->ctx, &x, &x));
  const double products = qds_fdm_flops(fdm) / flops_s, traffic = bytes_of(x.rows, precision) / bytes_s;
  fprintf(stderr, "%5lld^3 %-8s %9.3f ms; products %9.3f ms at %6.1f TF/s, traffic %8.3f ms at %5.0f GB/s\n",
          (long long)nodes, precision_names[precision], 1e3 * seconds, 1e3 * products, 1e-12 * flops_s,
          1e3 * traffic, 1e-9 * bytes_s);
  qds_json_open_map(b->json, NULL);
  qds_json_int(b->json, "nodes", nodes);
  qds_json_string(b->json, "precision", precision_names[precision]);
  qds_json_double(b->json, "seconds", seconds);
  qds_json_double(b->json, "products_at_ceiling_s", products);
  qds_json_double(b->json, "traffic_at_ceiling_s", traffic);
  qds_json_double(b->json, "product_flop_s", flops_s);
  qds_json_double(b->json, "copy_B_s", bytes_s);
  qds_json_close_map(b->json);
  return QDS_OK;
}

static qds_status run_size(qds_context *ctx, qds_json *json, int64_t nodes) {
  bench b = {ctx, qds_context_stream(ctx), json};
  for (int precision = QDS_FLOAT32; precision <= QDS_TF32; precision++)
    QDS_TRY(measure(&b, nodes, (qds_precision)precision));
  return QDS_OK;
}

int main(int argc, char **argv) {
  return bench_sizes_main(&(bench_sizes){"fdm_device", 63, run_size}, argc, argv);
}

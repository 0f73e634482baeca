/* Poisson's equation on a device and on the CPU, against the bandwidth of a copy.
 *
 *   bench_poisson [DEVICE [NODES...]]    default auto, 255 511 (31 on the CPU)
 *
 * A dielectric ball with a charge in it in a box of NODES^3 nodes, with contacts below and above. `solve`
 * finds the potential to rounding, from host arrays to host arrays, the second time with the operator at
 * hand; `newton` is a step with a slope on the diagonal, the second time with multigrid renewed. Bytes are
 * those of the vectors that an iteration must move: each number of a pass read or written once. Prints JSON;
 * a table goes to standard error. */
#include <math.h>
#include <string.h>

#include "dot/poisson.h"
#include "la/device_multigrid.h"
#include "sizes.h"

enum { REPEATS = 9 };
static const double permittivity[] = {12.9, 3.9};

/* The nodes' arrays on the host. */
typedef struct {
  double *charge, *potential, *other;
} arrays;

typedef struct {
  qds_json *json;
  qds_context *ctx;
  qds_stream *stream; /* NULL: the CPU */
  qds_device *device;
  qds_poisson *poisson;
  int64_t nodes;
  double copy_B_s;
} bench;

static qds_status create_device(qds_context *ctx, int64_t nodes, qds_device **out) {
  char text[1024];
  snprintf(text, sizeof text,
           "materials: {a: {mass: 1, band_edge_eV: 0}, b: {mass: 1, band_edge_eV: 0}}\n"
           "background: a\nstates: 1\n"
           "regions: [{shape: ellipsoid, center_nm: [0, 0, 0], radii_nm: [10, 10, 10], material: b}]\n"
           "grid:\n"
           "  x: {from_nm: -20, to_nm: 20, nodes: %lld}\n"
           "  y: {from_nm: -20, to_nm: 20, nodes: %lld}\n"
           "  z: {from_nm: -20, to_nm: 20, nodes: %lld}\n",
           (long long)nodes, (long long)nodes, (long long)nodes);
  return qds_device_parse(ctx, "bench_poisson", text, NULL, out);
}

static void fill_charge(const bench *b, double *charge) {
  const qds_axis *const *axis = (const qds_axis *const *)b->device->axis;
  const int64_t n = b->nodes;
#pragma omp parallel for num_threads(qds_context_threads(b->ctx)) schedule(static)
  for (int64_t line = 0; line < n * n; line++)
    for (int64_t k = 0; k < n; k++) {
      const double x = axis[0]->coordinates_nm[line / n], y = axis[1]->coordinates_nm[line % n],
                   z = axis[2]->coordinates_nm[k];
      charge[line * n + k] = 1e-3 * exp(-(x * x + y * y + z * z) / 50);
    }
}

/* --- the copy ------------------------------------------------------------------------------------------- */

static int ascending(const void *a, const void *b) {
  const double x = *(const double *)a, y = *(const double *)b;
  return x < y ? -1 : x > y;
}

static qds_status measure_copy(bench *b) {
  __attribute__((cleanup(qds_block_clear))) qds_block from = {0}, to = {0};
  qds_stream *stream = qds_context_stream(b->ctx);
  const int64_t rows = b->nodes * b->nodes * b->nodes;
  double seconds[REPEATS];
  QDS_TRY(qds_block_create_on(b->ctx, b->stream, rows, 1, "benchmark", &from));
  QDS_TRY(qds_block_create_on(b->ctx, b->stream, rows, 1, "benchmark", &to));
  QDS_TRY(qds_block_fill_random(b->ctx, &from, 1));
  for (int i = -2; i < REPEATS; i++) {
    QDS_TRY(qds_stream_synchronise(stream));
    const double start = qds_seconds();
    QDS_TRY(qds_block_copy(&from, &to));
    QDS_TRY(qds_stream_synchronise(stream));
    if (i >= 0) seconds[i] = qds_seconds() - start;
  }
  qsort(seconds, REPEATS, sizeof *seconds, ascending);
  b->copy_B_s = 16 * (double)rows / seconds[REPEATS / 2];
  return QDS_OK;
}

/* --- what is timed -------------------------------------------------------------------------------------- */

/* Of an iteration of conjugate gradients for an unknown: two dot products, direction, step and operator, and
 * the V-cycle with its coarser levels. */
static double bytes_of_iteration(void) {
  double cycle = 0;
  for (int s = 0; s < QDS_DEVICE_STEPS; s++) cycle += qds_device_steps[s].bytes;
  return 16 + 16 + 24 + 48 + 16 + 8.0 / 7 * cycle;
}

static void report(bench *b, const char *what, double seconds, int iterations) {
  const double rows = pow((double)b->nodes, 3), each = iterations > 0 ? seconds / iterations : 0,
               rate = iterations > 0 ? bytes_of_iteration() * rows / each : 0;
  qds_json_open_map(b->json, NULL);
  qds_json_string(b->json, "device", b->stream ? qds_context_device(b->ctx) : "cpu");
  qds_json_string(b->json, "what", what);
  qds_json_int(b->json, "nodes", b->nodes * b->nodes * b->nodes);
  qds_json_double(b->json, "seconds", seconds);
  if (iterations > 0) {
    qds_json_int(b->json, "iterations", iterations);
    qds_json_double(b->json, "bytes_per_s", rate);
    qds_json_double(b->json, "of_copy", rate / b->copy_B_s);
  }
  qds_json_close_map(b->json);
  fprintf(stderr, "%-6s %4lld^3 nodes %-14s %9.3f ms", b->stream ? qds_context_device(b->ctx) : "cpu",
          (long long)b->nodes, what, 1e3 * seconds);
  if (iterations > 0)
    fprintf(stderr, " %3d iterations of %8.3f ms, %6.0f GB/s, %5.2f of the copy", iterations, 1e3 * each,
            1e-9 * rate, rate / b->copy_B_s);
  fputc('\n', stderr);
}

static qds_status solve(bench *b, const char *what, const double *charge, double *potential) {
  qds_poisson_work work;
  const double start = qds_seconds();
  QDS_TRY(qds_poisson_solve(b->poisson, charge, potential, &work));
  report(b, what, qds_seconds() - start, work.iterations);
  return QDS_OK;
}

/* A number per node, where the equation is solved. */
static qds_status block_of(bench *b, const double *numbers, qds_block *out) {
  const int64_t rows = b->nodes * b->nodes * b->nodes;
  const qds_block home = {(double *)(uintptr_t)numbers, rows, rows, 1, NULL};
  QDS_TRY(qds_block_create_on(b->ctx, b->stream, rows, 1, "benchmark", out));
  return qds_block_copy(&home, out);
}

/* Steps of Newton's method; the charge serves as slope, too. */
static qds_status newton(bench *b, const double *numbers, const double *potential_V) {
  static const char *const what[] = {"newton, first", "newton, second", "newton, third"};
  __attribute__((cleanup(qds_block_clear))) qds_block charge = {0}, potential = {0}, step = {0};
  QDS_TRY(block_of(b, numbers, &charge));
  QDS_TRY(block_of(b, potential_V, &potential));
  QDS_TRY(block_of(b, numbers, &step));
  const qds_poisson_charge q = {&charge, &charge, 0, 1e-6};
  for (int i = 0; i < 3; i++) {
    double descent;
    int iterations = 0;
    const double start = qds_seconds();
    QDS_TRY(qds_poisson_correct(b->poisson, &q, &potential, &step, &descent, &iterations));
    report(b, what[i], qds_seconds() - start, iterations);
  }
  return QDS_OK;
}

static qds_status measure(bench *b, arrays *a, double *potential) {
  const qds_contacts contacts = {.is_contact = {{0, 0}, {0, 0}, {1, 1}},
                                 .potential_V = {{0, 0}, {0, 0}, {0, 0.5}}};
  QDS_TRY(measure_copy(b));
  const double start = qds_seconds();
  QDS_TRY(qds_poisson_create(b->device, permittivity, &contacts, b->stream, &b->poisson));
  report(b, "coefficients", qds_seconds() - start, 0);
  QDS_TRY(solve(b, "solve, first", a->charge, potential));
  QDS_TRY(solve(b, "solve, second", a->charge, potential));
  QDS_TRY(newton(b, a->charge, potential));
  qds_poisson_destroy(b->poisson);
  b->poisson = NULL;
  return QDS_OK;
}

/* --- all of it ------------------------------------------------------------------------------------------ */

static qds_status compare(bench *b, const arrays *a) {
  double size = 0, difference = 0;
  for (int64_t i = 0; i < b->nodes * b->nodes * b->nodes; i++) {
    size = fmax(size, fabs(a->potential[i]));
    difference = fmax(difference, fabs(a->potential[i] - a->other[i]));
  }
  fprintf(stderr, "the potentials differ by %.1e V of %.1e V\n", difference, size);
  qds_json_open_map(b->json, NULL);
  qds_json_string(b->json, "what", "difference");
  qds_json_double(b->json, "difference_V", difference);
  qds_json_close_map(b->json);
  if (!(difference <= 1e-10 * size)) QDS_FAIL(QDS_ERROR_NUMERIC, "device and CPU differ by %g V", difference);
  return QDS_OK;
}

static void arrays_clear(arrays *a) {
  qds_release(a->charge);
  qds_release(a->potential);
  qds_release(a->other);
}

static qds_status run(bench *b, int64_t nodes) {
  arrays a __attribute__((cleanup(arrays_clear))) = {0};
  qds_allocator *allocator = qds_context_allocator(b->ctx);
  const int64_t all = nodes * nodes * nodes;
  b->nodes = nodes;
  QDS_TRY(create_device(b->ctx, nodes, &b->device));
  QDS_TRY(QDS_NEW(allocator, all, "benchmark", &a.charge));
  QDS_TRY(QDS_NEW(allocator, all, "benchmark", &a.potential));
  QDS_TRY(QDS_NEW(allocator, all, "benchmark", &a.other));
  fill_charge(b, a.charge);
  QDS_TRY(measure(b, &a, a.potential));
  if (!qds_context_accelerator(b->ctx)) return QDS_OK;
  b->stream = qds_context_stream(b->ctx);
  QDS_TRY(measure(b, &a, a.other));
  return compare(b, &a);
}

static qds_status run_size(qds_context *ctx, qds_json *json, int64_t nodes) {
  bench b = {.ctx = ctx, .json = json};
  const qds_status status = run(&b, nodes);
  qds_poisson_destroy(b.poisson);
  qds_device_destroy(b.device);
  return status;
}

int main(int argc, char **argv) {
  return bench_sizes_main(&(bench_sizes){"poisson", 31, run_size}, argc, argv);
}

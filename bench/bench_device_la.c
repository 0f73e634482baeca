/* The tensor operator, that in a magnetic field, and the V-cycle on a device, against the bandwidth of a copy
 * there.
 *
 *   bench_device_la [DEVICE [NODES...]]    default auto, 255 511 (31 on the CPU)
 *
 * A dome on a wetting layer in a box with NODES^3 unknowns. Bytes are those of the vectors that must move:
 * each number of a pass read or written once. Prints JSON; a table goes to standard error. */
#include <math.h>

#include "la/device_multigrid.h"
#include "la/magnetic_operator.h"
#include "sizes.h"

enum { REPEATS = 9 };

typedef struct {
  qds_context *ctx;
  qds_json *json;
  double copy_B_s;
  qds_axis *axis;
  qds_tensor_operator *t;
  qds_device_operator *operator_;
  qds_multigrid *multigrid;
  qds_block x, y;
} bench;

/* --- the device ------------------------------------------------------------------------------------------
 */

static const double box_nm = 40;

/* The part of the dome's material around a point: a smooth step of the grid's width, so that the surface has
 * coefficients of its own. */
static double inside(double x, double y, double z, double spacing) {
  const double radius = 12.5, center = -7.5; /* base radius 10, height 5 */
  const double dome = radius - sqrt(x * x + y * y + (z - center) * (z - center));
  const double shape = fmin(dome, z), layer = fmin(0.6 + z, -z), distance = fmax(shape, layer);
  return fmin(1, fmax(0, 0.5 + distance / spacing));
}

static void fill(const qds_tensor_operator *t, int axis, int threads, double *to) {
  int64_t n[3] = {t->n[0], t->n[1], t->n[2]};
  if (axis < 3) n[axis] = t->axis[axis]->elements;
  const double spacing = box_nm / (double)t->axis[2]->elements, kinetic = 0.0381;
#pragma omp parallel for num_threads(threads) schedule(static)
  for (int64_t line = 0; line < n[0] * n[1]; line++)
    for (int64_t k = 0; k < n[2]; k++) {
      const int64_t at[3] = {line / n[1], line % n[1], k};
      double x[3];
      for (int a = 0; a < 3; a++) x[a] = spacing * ((double)at[a] + (a == axis ? 0.5 : 1)) - 0.5 * box_nm;
      const double part = inside(x[0], x[1], x[2], spacing);
      to[line * n[2] + k] = axis < 3 ? kinetic / (0.023 * part + 0.067 * (1 - part)) : -0.7 * part;
    }
}

static qds_status create(bench *b, int64_t nodes) {
  const qds_boundary ends[2] = {QDS_DIRICHLET, QDS_DIRICHLET};
  const int threads = qds_context_threads(b->ctx);
  QDS_TRY(qds_axis_create(qds_context_allocator(b->ctx), 0, box_nm, nodes + 2, 1, NULL, 0, ends, &b->axis));
  QDS_TRY(qds_tensor_operator_create(b->ctx, (const qds_axis *const[3]){b->axis, b->axis, b->axis},
                                     (const int[3]){0, 0, 0}, &b->t));
  for (int a = 0; a < 3; a++) fill(b->t, a, threads, b->t->c[a]);
  fill(b->t, 3, threads, b->t->v);
  return QDS_OK;
}

static void destroy(bench *b) {
  qds_block_clear(&b->x);
  qds_block_clear(&b->y);
  qds_multigrid_destroy(b->multigrid);
  qds_device_operator_destroy(b->operator_);
  qds_tensor_operator_destroy(b->t);
  qds_axis_destroy(b->axis);
  b->multigrid = NULL;
  b->copy_B_s = 0;
  b->operator_ = NULL;
  b->t = NULL;
  b->axis = NULL;
}

/* --- what is timed ---------------------------------------------------------------------------------------
 */

typedef struct {
  bench *b;
  qds_operator operator_;      /* a whole operator, or */
  const qds_device_step *step; /* a step on a level */
  qds_device_cycle cycle;
  int level;
} work;

static qds_status run_work(work *w) {
  if (w->step) return w->step->run(&w->cycle, w->level);
  if (w->operator_.apply) return w->operator_.apply(w->operator_.self, w->b->ctx, &w->b->x, &w->b->y);
  return qds_block_copy(&w->b->x, &w->b->y);
}

static int ascending(const void *a, const void *b) {
  const double x = *(const double *)a, y = *(const double *)b;
  return x < y ? -1 : x > y;
}

static qds_status median_seconds(work *w, double *median) {
  double seconds[REPEATS];
  qds_stream *stream = qds_context_stream(w->b->ctx);
  for (int i = -2; i < REPEATS; i++) {
    QDS_TRY(qds_stream_synchronise(stream));
    const double start = qds_seconds();
    QDS_TRY(run_work(w));
    QDS_TRY(qds_stream_synchronise(stream));
    if (i >= 0) seconds[i] = qds_seconds() - start;
  }
  qsort(seconds, REPEATS, sizeof *seconds, ascending);
  *median = seconds[REPEATS / 2];
  return QDS_OK;
}

static void report(bench *b, const char *what, int level, int64_t rows, double seconds, double bytes) {
  const double bandwidth = bytes * (double)rows * b->x.columns / seconds;
  qds_json_open_map(b->json, NULL);
  qds_json_string(b->json, "what", what);
  qds_json_int(b->json, "level", level);
  qds_json_int(b->json, "rows", rows);
  qds_json_int(b->json, "columns", b->x.columns);
  qds_json_double(b->json, "seconds", seconds);
  qds_json_double(b->json, "bytes_per_s", bandwidth);
  if (b->copy_B_s > 0) qds_json_double(b->json, "of_copy", bandwidth / b->copy_B_s);
  qds_json_close_map(b->json);
  fprintf(stderr, "%10lld rows %2d columns level %d %-16s %9.3f ms %6.0f GB/s", (long long)rows, b->x.columns,
          level, what, 1e3 * seconds, 1e-9 * bandwidth);
  if (b->copy_B_s > 0) fprintf(stderr, " %5.2f of the copy", bandwidth / b->copy_B_s);
  fputc('\n', stderr);
}

static qds_status measure(bench *b, const char *what, int level, double bytes, work w) {
  double seconds;
  w.b = b;
  QDS_TRY(median_seconds(&w, &seconds));
  if (!w.step && !w.operator_.apply) b->copy_B_s = bytes * (double)b->x.rows * b->x.columns / seconds;
  report(b, what, level, b->x.rows, seconds, bytes);
  return QDS_OK;
}

/* Blocks of a level. */
static qds_status take_blocks(bench *b, int64_t rows, int columns) {
  qds_block_clear(&b->x);
  qds_block_clear(&b->y);
  QDS_TRY(qds_block_create_on(b->ctx, qds_context_stream(b->ctx), rows, columns, "benchmark", &b->x));
  QDS_TRY(qds_block_create_on(b->ctx, qds_context_stream(b->ctx), rows, columns, "benchmark", &b->y));
  QDS_TRY(qds_block_fill_random(b->ctx, &b->x, 1));
  return qds_block_fill_random(b->ctx, &b->y, 100);
}

static double bytes_of_cycle(void) {
  double bytes = 0;
  for (int s = 0; s < QDS_DEVICE_STEPS; s++) bytes += qds_device_steps[s].bytes;
  return bytes;
}

static qds_status measure_columns(bench *b, int columns) {
  QDS_TRY(take_blocks(b, b->t->rows, columns));
  QDS_TRY(measure(b, "copy", 0, 16, (work){0}));
  QDS_TRY(measure(b, "operator", 0, 16, (work){.operator_ = qds_device_operator_apply(b->operator_)}));
  const qds_operator cycle = qds_multigrid_cycle(b->multigrid, 0);
  QDS_TRY(measure(b, "cycle", 0, bytes_of_cycle(), (work){.operator_ = cycle}));
  for (int s = 0; s < QDS_DEVICE_STEPS; s++) {
    const qds_device_step *step = &qds_device_steps[s];
    work w = {.step = step, .cycle = qds_device_cycle_of(b->multigrid, 0, &b->x, &b->y, 0)};
    if (w.cycle.columns < columns) continue; /* not all together */
    QDS_TRY(measure(b, step->name, 0, step->bytes, w));
  }
  return QDS_OK;
}

/* Complex vectors in a field along the last axis. */
static qds_status measure_in_field(bench *b) {
  QDS_AUTO(qds_magnetic_operator) *m = NULL;
  const double middle = 0.5 * box_nm, slope = 5e-3;
  const qds_vector_potential potential = {{{0, -slope, 0}, {slope, 0, 0}, {0, 0, 0}},
                                          {middle, middle, middle}};
  qds_operator a;
  QDS_TRY(qds_magnetic_operator_create(b->ctx, b->t, &potential, &m));
  QDS_TRY(qds_magnetic_operator_on_stream(m, b->ctx, qds_context_stream(b->ctx), &a));
  for (int columns = 1; columns <= 4; columns *= 2) {
    QDS_TRY(take_blocks(b, a.rows, columns));
    QDS_TRY(measure(b, "copy", 0, 16, (work){0}));
    QDS_TRY(measure(b, "in a field", 0, 16, (work){.operator_ = a}));
  }
  return QDS_OK;
}

/* What start vectors cost: operator and cycle of the coarser levels. */
static qds_status measure_levels(bench *b) {
  enum { COLUMNS = 6 };
  for (int l = 1; l < qds_multigrid_levels(b->multigrid); l++) {
    QDS_TRY(take_blocks(b, qds_multigrid_rows(b->multigrid, l), COLUMNS));
    QDS_TRY(
        measure(b, "operator", l, 16, (work){.operator_ = qds_multigrid_level_operator(b->multigrid, l)}));
    QDS_TRY(
        measure(b, "cycle", l, bytes_of_cycle(), (work){.operator_ = qds_multigrid_cycle(b->multigrid, l)}));
  }
  return QDS_OK;
}

static qds_status run(bench *b, int64_t nodes) {
  QDS_TRY(create(b, nodes));
  qds_stream *stream = qds_context_stream(b->ctx);
  b->x.columns = 1;
  double start = qds_seconds();
  QDS_TRY(qds_device_operator_create(b->ctx, stream, b->t, &b->operator_));
  QDS_TRY(qds_stream_synchronise(stream));
  report(b, "set up operator", 0, b->t->rows, qds_seconds() - start,
         (double)qds_device_operator_bytes(b->operator_) / (double)b->t->rows);
  start = qds_seconds();
  QDS_TRY(qds_multigrid_create(b->ctx, b->operator_, b->t, &b->multigrid));
  QDS_TRY(qds_stream_synchronise(stream));
  report(b, "set up cycle", 0, b->t->rows, qds_seconds() - start, 0);
  double used;
  QDS_TRY(qds_multigrid_set_shift(b->multigrid, b->ctx, -0.7, &used));
  for (int columns = 1; columns <= 4; columns *= 2) QDS_TRY(measure_columns(b, columns));
  QDS_TRY(measure_in_field(b));
  return measure_levels(b);
}

static qds_status run_size(qds_context *ctx, qds_json *json, int64_t nodes) {
  bench b = {.ctx = ctx, .json = json};
  const qds_status status = run(&b, nodes);
  destroy(&b);
  return status;
}

int main(int argc, char **argv) {
  return bench_sizes_main(&(bench_sizes){"device_la", 31, run_size}, argc, argv);
}

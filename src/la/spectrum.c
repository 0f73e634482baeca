#include "la/spectrum.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "la/blas.h"
#include "la/device_operator.h"
#include "la/inertia.h"
#include "la/spectrum_internal.h"

/* Up to this size the whole matrix is diagonalised; up to the second one when more than one state is wanted
 * for so many unknowns. */
enum { DENSE_ROWS = 400, MOST_DENSE_ROWS = 4000, UNKNOWNS_PER_STATE = 6 };
/* The coarsest grid for start vectors has this many unknowns per vector; a line resolves its levels with
 * fewer than a plane or a volume. */
enum { ROWS_PER_START_VECTOR = 60, ROWS_PER_START_VECTOR_1D = 15 };
/* Guard vectors on a finest grid beyond this size cost more memory than they save time. */
enum { FEW_GUARDS_ROWS = 3000000, MANY_ROWS = 20000 };
/* Start vectors need the accuracy of their grid, not more. */
static const double coarse_tolerance = 1e-4;
/* A V-cycle leaves about this part of an error. */
static const double cycle_error = 0.15;

/* Guards on the coarse grids, where they cost little and show where the next levels lie. */
static int guards_for(int states) {
  const int guards = (states + 1) / 2;
  return guards < 4 ? 4 : guards;
}

static int vectors_that_fit(int64_t rows, int states, int guards) {
  if (guards > rows / 3 - states) guards = (int)(rows / 3 - states);
  return states + (guards > 0 ? guards : 0);
}

static int64_t rows_on(const qds_search *s, int level) {
  return level > 0 ? qds_multigrid_rows(s->multigrid, level) : s->target.rows;
}

static int vectors_on(const qds_search *s, int level, int states) {
  return vectors_that_fit(rows_on(s, level), states, guards_for(states));
}

/* The vectors on the finest grid that make the least work, from the levels that the next coarser grid found:
 * with m vectors an iteration costs m and shrinks errors by (sqrt(c) - 1) / (sqrt(c) + 1), c = (l_m - shift)
 * / (l_m - l_wanted) with l_m the first level beyond them, as conjugate gradients do, but by no more than the
 * cycle's own error. */
static int vectors_on_finest(const qds_search *s, int states, const double *levels, int count) {
  const int64_t rows = rows_on(s, 0);
  if (s->options->target) return vectors_on(s, 0, states); /* these levels are not the target's */
  const int most = rows > FEW_GUARDS_ROWS ? states + 1 : count - 1;
  int best = states + 1 < count ? states + 1 : count;
  double least = INFINITY;
  for (int m = states + 1; m <= most && m < count; m++) {
    const double condition = (levels[m] - s->shift) / fmax(levels[m] - levels[states - 1], 1e-300),
                 root = sqrt(condition);
    const double work = m / -log(fmax((root - 1) / (root + 1), cycle_error));
    if (work >= least) continue;
    least = work;
    best = m;
  }
  return vectors_that_fit(rows, states, best - states);
}

/* On large coarse grids guards beyond those of the finest cost more than they show. */
static int vectors_on_coarse(const qds_search *s, int level, int states) {
  const int all = vectors_on(s, level, states);
  return qds_multigrid_rows(s->multigrid, level) > MANY_ROWS && s->finest_vectors < all ? s->finest_vectors
                                                                                        : all;
}

/* Rounding alone decides what residuals a diagonalisation leaves. One that is infinite, or no number, is for
 * the caller to refuse, who knows where extreme numbers come from. */
static qds_status accept_dense(const qds_search *s, const double *eigenvalues, const double *residuals) {
  const int states = s->options->states;
  for (int j = 0; j < states; j++)
    if (!isfinite(residuals[j])) return QDS_OK;
  qds_lobpcg_options options = qds_search_options(s, &s->target, NULL, states, "solve");
  options.relative_tolerance = s->options->relative_tolerance;
  return qds_lobpcg_accept(&options, eigenvalues, residuals);
}

/* Why the target is diagonalised as a whole, for which the CPU is the better place; "": it is not. */
static void why_dense(const qds_search *s, char *why, size_t size) {
  const int64_t rows = s->target.rows;
  *why = 0;
  if (rows <= DENSE_ROWS)
    snprintf(why, size, "%d unknowns or fewer are diagonalised as a whole, on the CPU", DENSE_ROWS);
  else if (s->options->states > rows / UNKNOWNS_PER_STATE && rows <= MOST_DENSE_ROWS)
    snprintf(why, size,
             "with more than one state for %d unknowns, up to %d are diagonalised as a whole, on the CPU",
             UNKNOWNS_PER_STATE, MOST_DENSE_ROWS);
}

/* Diagonalises a small operator as a dense matrix: nothing can be missed. */
static qds_status solve_dense(const qds_search *s, qds_block *x, double *eigenvalues, double *residuals) {
  const int64_t rows = s->target.rows;
  const qds_operator a = s->target;
  qds_block unit = {0}, matrix = {0};
  QDS_AUTO_RELEASE double *values = NULL, *dense = NULL, *image = NULL;
  qds_allocator *allocator = qds_context_allocator(s->ctx);
  QDS_TRY(qds_tensor_operator_fill(s->ctx, s->operator_));
  QDS_TRY(QDS_NEW(allocator, rows, "eigensolver", &values));
  QDS_TRY(QDS_NEW(allocator, rows * rows, "eigensolver", &dense));
  QDS_TRY(QDS_NEW_ZERO(allocator, rows, "eigensolver", &image));
  for (int64_t j = 0; j < rows; j++) {
    unit = (qds_block){image, rows, rows, 1, NULL};
    matrix = (qds_block){dense + j * rows, rows, rows, 1, NULL};
    image[j] = 1;
    QDS_TRY(a.apply(a.self, s->ctx, &unit, &matrix));
    image[j] = 0;
  }
  QDS_TRY(qds_symmetric_eigen(s->ctx, (int)rows, dense, values));
  QDS_TRY(qds_block_create(s->ctx, rows, s->options->states, "states", x));
  for (int j = 0; j < s->options->states; j++) {
    const qds_block column = qds_block_part(x, j, 1);
    memcpy(column.data, dense + j * rows, sizeof(double) * (size_t)rows);
    unit = (qds_block){image, rows, rows, 1, NULL};
    QDS_TRY(a.apply(a.self, s->ctx, &column, &unit));
    double sum = 0;
    for (int64_t i = 0; i < rows; i++) sum += pow(image[i] - values[j] * column.data[i], 2);
    eigenvalues[j] = values[j];
    residuals[j] = sqrt(sum);
  }
  s->statistics->finest.operator_applications = rows + s->options->states;
  s->statistics->preconditioner = "none";
  s->statistics->verification = "dense diagonalisation: complete";
  return accept_dense(s, eigenvalues, residuals);
}

qds_lobpcg_options qds_search_options(const qds_search *s, const qds_operator *a, const qds_operator *b,
                                      int wanted, const char *phase) {
  return (qds_lobpcg_options){.operator_ = a,
                              .preconditioner = b,
                              .wanted = wanted,
                              .tolerance = s->options->tolerance,
                              .relative_tolerance = coarse_tolerance,
                              .floor = s->options->floor,
                              .max_iterations = s->options->max_iterations,
                              .phase = phase};
}

/* A shift just below the wanted levels makes the cycle a better inverse where it matters. */
static qds_status aim_shift(qds_search *s, int level, const double *eigenvalues, int count) {
  const double width = eigenvalues[count - 1] - eigenvalues[0], above = eigenvalues[0] - s->options->floor;
  const double wanted = eigenvalues[0] - fmax(0.15 * width, 0.1 * fabs(above));
  QDS_TRY(qds_multigrid_set_shift_below(s->multigrid, s->ctx, level, wanted, &s->shift));
  qds_log(s->ctx, QDS_LOG_DEBUG, "shift %.6g eV wanted, %.6g used; lowest %.6g", wanted, s->shift,
          eigenvalues[0]);
  return QDS_OK;
}

/* Random vectors on the start level. */
static qds_status start_vectors(const qds_search *s, int states, uint64_t stream, qds_block *x) {
  const int columns = vectors_on(s, s->start_level, states);
  QDS_TRY(qds_block_create_on(s->ctx, s->stream, rows_on(s, s->start_level), columns, "eigensolver", x));
  return qds_block_fill_random(s->ctx, x, stream);
}

qds_status qds_search_carry_over(const qds_search *s, int level, int columns, uint64_t stream, qds_block *x) {
  __attribute__((cleanup(qds_block_clear))) qds_block fine = {0};
  const int in_parts = level == 0 && s->parts > 1, given = in_parts ? s->parts * x->columns : x->columns,
            shared = columns < given ? columns : given;
  QDS_TRY(qds_block_create_on(s->ctx, s->stream, rows_on(s, level), columns, "eigensolver", &fine));
  qds_block part = qds_block_part(&fine, 0, shared), rest = qds_block_part(&fine, shared, columns - shared);
  QDS_TRY(in_parts ? qds_search_lift(s, x, &part)
                   : qds_multigrid_prolong(s->multigrid, s->ctx, level + 1, x, &part));
  QDS_TRY(qds_block_fill_random(s->ctx, &rest, stream));
  qds_block_clear(x);
  *x = fine;
  fine = (qds_block){0};
  return QDS_OK;
}

qds_status qds_search_coarse(qds_search *s, int states, uint64_t stream, int main_search, qds_block *x) {
  QDS_AUTO_RELEASE double *values = NULL, *residuals = NULL;
  QDS_TRY(start_vectors(s, states, stream, x));
  const int most = states + guards_for(states);
  QDS_TRY(QDS_NEW(qds_context_allocator(s->ctx), most, "eigensolver", &values));
  QDS_TRY(QDS_NEW(qds_context_allocator(s->ctx), most, "eigensolver", &residuals));
  for (int level = s->start_level; level > 0; level--) {
    const qds_operator a = qds_multigrid_level_operator(s->multigrid, level),
                       b = qds_multigrid_cycle(s->multigrid, level);
    const qds_lobpcg_options options = qds_search_options(s, &a, &b, states, "start vectors");
    qds_lobpcg_statistics work;
    QDS_TRY(qds_lobpcg(s->ctx, &options, x, values, residuals, &work));
    qds_log(s->ctx, QDS_LOG_DEBUG, "level %d: %lld unknowns, %d vectors, %d iterations", level,
            (long long)x->rows, x->columns, work.iterations);
    if (main_search) {
      QDS_TRY(aim_shift(s, level - 1, values, states));
      if (x->columns == vectors_on(s, level, states))
        s->finest_vectors = vectors_on_finest(s, states, values, x->columns);
    }
    if (level > 1)
      QDS_TRY(qds_search_carry_over(s, level - 1, vectors_on_coarse(s, level - 1, states), stream + 1000, x));
  }
  return QDS_OK;
}

qds_status qds_search_finest(const qds_search *s, int states, qds_block *x, double *values,
                             double *residuals) {
  qds_lobpcg_options options = qds_search_options(s, &s->target, &s->preconditioner, states, "solve");
  options.relative_tolerance = s->options->relative_tolerance;
  qds_lobpcg_statistics work;
  QDS_TRY(qds_lobpcg(s->ctx, &options, x, values, residuals, &work));
  qds_log(s->ctx, QDS_LOG_DEBUG,
          "finest: %lld unknowns, %d vectors, %d iterations; operator %.3f s, cycle %.3f s, algebra %.3f s",
          (long long)x->rows, x->columns, work.iterations, work.operator_s, work.preconditioner_s,
          work.algebra_s);
  s->statistics->finest.iterations += work.iterations;
  s->statistics->finest.operator_applications += work.operator_applications;
  s->statistics->finest.preconditioner_applications += work.preconditioner_applications;
  s->statistics->finest.operator_s += work.operator_s;
  s->statistics->finest.preconditioner_s += work.preconditioner_s;
  s->statistics->finest.algebra_s += work.algebra_s;
  return QDS_OK;
}

static void choose_start_level(qds_search *s, int64_t vectors) {
  const int one_dimensional = qds_inertia_applies(s->operator_);
  const int64_t enough = vectors * (one_dimensional ? ROWS_PER_START_VECTOR_1D : ROWS_PER_START_VECTOR);
  s->start_level = qds_multigrid_levels(s->multigrid) - 1;
  while (s->start_level > 0 && qds_multigrid_rows(s->multigrid, s->start_level) < enough) s->start_level--;
}

/* The vectors that the finest grid begins with: the caller's, or those of the coarser grids. */
static qds_status begin(qds_search *s, qds_block *x) {
  const qds_block *given = s->options->start;
  if (!given) {
    QDS_TRY(qds_search_coarse(s, s->options->states, QDS_START_STREAM, 1, x));
    if (s->start_level == 0) return QDS_OK;
    return qds_search_carry_over(s, 0, s->finest_vectors, QDS_START_STREAM, x);
  }
  s->finest_vectors = vectors_that_fit(given->rows, s->options->states, 1);
  QDS_TRY(qds_block_create_on(s->ctx, s->stream, given->rows, given->columns, "eigensolver", x));
  return qds_block_copy(given, x);
}

/* Fast diagonalisation is fitted to the start vectors, of which a lifted one has one part that is not 0. */
static qds_status choose_preconditioner(qds_search *s, const qds_block *x) {
  const int fast = s->options->preconditioner == QDS_PRECONDITION_FAST_DIAGONALISATION;
  const qds_block where = {x->data, s->operator_->rows, s->parts * x->stride,
                           (s->options->states + s->parts - 1) / s->parts, x->stream};
  static const char *const names[] = {[QDS_FLOAT32] = "fast diagonalisation",
                                      [QDS_FLOAT64] = "fast diagonalisation in float64",
                                      [QDS_TF32] = "fast diagonalisation in TF32"};
  qds_precision precision = s->options->precision;
  if (fast && precision == QDS_TF32 && !s->stream) {
    qds_log(s->ctx, QDS_LOG_WARNING, "TF32 exists on GPUs only; fast diagonalisation takes float32");
    precision = QDS_FLOAT32;
  }
  s->statistics->preconditioner = fast ? names[precision] : "multigrid";
  if (fast)
    QDS_TRY(
        qds_separable_create(s->ctx, s->device_operator, s->operator_, &where, s->shift, precision, &s->fdm));
  s->part_preconditioner = fast ? qds_fdm_operator(s->fdm) : qds_multigrid_cycle(s->multigrid, 0);
  s->preconditioner = s->parts == 1 ? s->part_preconditioner : qds_search_precondition_parts(s);
  return QDS_OK;
}

/* The states alone, from the device to the host unless they are to stay. */
static qds_status bring_home(const qds_search *s, int states, qds_block *x) {
  x->columns = states;
  return s->options->leave_states ? QDS_OK : qds_block_to_host(s->ctx, "states", x);
}

static qds_status solve_iteratively(qds_search *s, qds_block *x, double *eigenvalues, double *residuals) {
  const int states = s->options->states;
  QDS_AUTO_RELEASE double *values = NULL, *norms = NULL;
  const int given = s->options->start ? s->options->start->columns : 0, own = states + guards_for(states),
            most = (given > own ? given : own) + 1;
  QDS_TRY(QDS_NEW(qds_context_allocator(s->ctx), most, "eigensolver", &values));
  QDS_TRY(QDS_NEW(qds_context_allocator(s->ctx), most, "eigensolver", &norms));
  double start = qds_seconds();
  choose_start_level(s, own);
  s->statistics->grids = given > 0 ? 1 : s->start_level + 1;
  QDS_TRY(begin(s, x));
  QDS_TRY(choose_preconditioner(s, x));
  QDS_TRY(qds_search_finest(s, states, x, values, norms));
  s->statistics->solve_s = qds_seconds() - start;
  start = qds_seconds();
  QDS_TRY(qds_search_verify(s, x, values, norms));
  s->statistics->verify_s = qds_seconds() - start;
  memcpy(eigenvalues, values, sizeof(double) * (size_t)states);
  memcpy(residuals, norms, sizeof(double) * (size_t)states);
  return bring_home(s, states, x);
}

/* On the stream: the tensor operator, and the target. */
static qds_status set_up_on_stream(qds_search *s, qds_device_operator **out) {
  const qds_spectrum_target *target = s->options->target;
  QDS_TRY(qds_device_operator_create(s->ctx, s->stream, s->operator_, out));
  s->device_operator = *out;
  if (target) return target->on_stream(target->on_host.self, s->ctx, s->stream, &s->target);
  s->target = qds_device_operator_apply(*out);
  return QDS_OK;
}

/* Sets up operator and multigrid where the problem is to be solved, and solves it there. */
static qds_status set_up_and_solve(qds_search *s, qds_block *x, double *eigenvalues, double *residuals) {
  QDS_AUTO(qds_device_operator) *device_operator = NULL;
  QDS_AUTO(qds_multigrid) *multigrid = NULL;
  const double start = qds_seconds();
  QDS_TRY(qds_search_choose_place(s));
  /* The check counts levels on the host. */
  if (!s->stream || qds_inertia_applies(s->operator_))
    QDS_TRY(qds_tensor_operator_fill(s->ctx, s->operator_));
  if (s->stream) QDS_TRY(set_up_on_stream(s, &device_operator));
  QDS_TRY(qds_multigrid_create(s->ctx, device_operator, s->operator_, &multigrid));
  s->statistics->setup_s = qds_seconds() - start;
  s->multigrid = multigrid;
  const qds_status status = solve_iteratively(s, x, eigenvalues, residuals);
  qds_fdm_destroy(s->fdm);
  /* Vectors of the device must go before what they were made with. */
  if (status != QDS_OK) qds_block_clear(x);
  return status;
}

qds_status qds_spectrum(qds_context *ctx, qds_tensor_operator *operator_, const qds_spectrum_options *options,
                        qds_block *x, double *eigenvalues, double *residuals,
                        qds_spectrum_statistics *statistics) {
  memset(statistics, 0, sizeof *statistics);
  *x = (qds_block){0};
  const qds_operator target =
      options->target ? options->target->on_host : qds_tensor_operator_apply(operator_);
  QDS_REQUIRE(target.rows % operator_->rows == 0, "an operator of %lld rows near one of %lld",
              (long long)target.rows, (long long)operator_->rows);
  QDS_REQUIRE(options->states >= 1 && options->states <= target.rows, "%d states wanted of %lld unknowns",
              options->states, (long long)target.rows);
  const qds_block *given = options->start;
  QDS_REQUIRE(!given || (given->rows == target.rows && given->columns >= options->states &&
                         given->columns <= target.rows),
              "%d start vectors of %lld rows for %d states of %lld unknowns", given->columns,
              (long long)given->rows, options->states, (long long)target.rows);
  qds_search s = {.ctx = ctx,
                  .operator_ = operator_,
                  .target = target,
                  .parts = (int)(target.rows / operator_->rows),
                  .options = options,
                  .statistics = statistics};
  const double start = qds_seconds();
  char dense[sizeof statistics->fallback];
  why_dense(&s, dense, sizeof dense);
  qds_status status;
  if (*dense) {
    qds_search_stay_on_cpu(&s, dense);
    status = solve_dense(&s, x, eigenvalues, residuals);
    statistics->solve_s = qds_seconds() - start;
  } else {
    status = set_up_and_solve(&s, x, eigenvalues, residuals);
  }
  if (status != QDS_OK) qds_block_clear(x);
  return status;
}

/* On the finest grid. */
static int expected_vectors(double rows, int parts, int states) {
  return states + (parts == 1 && rows > FEW_GUARDS_ROWS ? 1 : guards_for(states));
}

static double blocks_bytes(double rows, int parts, int states) {
  return (double)QDS_LOBPCG_BLOCKS * expected_vectors(rows, parts, states) * sizeof(double) * parts * rows;
}

size_t qds_spectrum_bytes(int64_t rows, int parts, int states, int dimensions) {
  const double levels = dimensions == 1 ? 2 : dimensions == 2 ? 4.0 / 3 : 8.0 / 7;
  const double cycle = levels * (5 + 1 + dimensions) * sizeof(float);
  return (size_t)((double)rows * cycle + blocks_bytes((double)rows, parts, states));
}

size_t qds_spectrum_device_bytes(const int64_t n[3], int parts, int states, qds_preconditioner preconditioner,
                                 qds_precision precision) {
  enum { BYTES_OF_OPERATOR = 4 };
  const int64_t rows = n[0] * n[1] * n[2], operators = parts > 1 ? 2 : 1;
  const size_t column = parts > 1 ? sizeof(double) * (size_t)rows : 0,
               fast = preconditioner == QDS_PRECONDITION_FAST_DIAGONALISATION
                          ? qds_fdm_bytes_on_stream(n, precision) + column
                          : 0;
  return (size_t)(blocks_bytes((double)rows, parts, states) +
                  (double)(operators * BYTES_OF_OPERATOR) * (double)rows) +
         qds_blocks_bytes_on_device(parts * rows, expected_vectors((double)rows, parts, states)) +
         qds_multigrid_bytes_on_stream(n) + fast;
}

/* Fitted to whole runs on two cores: 1.3 s for the pyramid (10^6 unknowns, 3 states), 2.0 s for the lens dot
 * (6 states), 1.3 s for the harmonic dot (10^6 unknowns, 5 states), 0.3 s for the quickstart device. */
double qds_spectrum_seconds(int64_t rows, int states, int threads) {
  const double bytes_per_step = 300, steps = 16, bandwidth_of_core = 12e9, cores_that_help = 16;
  const double bandwidth = bandwidth_of_core * fmin(threads, cores_that_help);
  return 0.05 + (double)rows * (states + guards_for(states)) * steps * bytes_per_step / bandwidth;
}

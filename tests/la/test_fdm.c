/* Fast diagonalisation against the separable operator written out, on symmetric and graded axes of every
 * boundary, in shapes that take each path: 1D to 3D, plane by plane and axis by axis, one vector per thread
 * and all threads in one vector. */
#include "device_support.h"

#include "base/philox.h"
#include "la/fdm.h"

typedef enum { DIRICHLET, NEUMANN, PERIODIC, GRADED, FULL, KINDS } kind;

typedef struct {
  int64_t n[3];
  kind kinds[3];
} problem;

static const problem problems[] = {
    {{1, 1, 1}, {DIRICHLET, DIRICHLET, DIRICHLET}}, {{1, 1, 2}, {FULL, FULL, GRADED}},
    {{9, 1, 1}, {DIRICHLET, FULL, FULL}},           {{1, 50, 1}, {FULL, FULL, FULL}},
    {{1, 12, 17}, {FULL, NEUMANN, GRADED}},         {{13, 1, 8}, {PERIODIC, FULL, DIRICHLET}},
    {{61, 71, 1}, {GRADED, DIRICHLET, FULL}},       {{1, 300, 230}, {FULL, DIRICHLET, GRADED}},
    {{5, 6, 7}, {DIRICHLET, PERIODIC, NEUMANN}},    {{6, 5, 4}, {GRADED, FULL, DIRICHLET}},
    {{33, 5, 7}, {NEUMANN, GRADED, PERIODIC}},      {{40, 2, 3}, {FULL, DIRICHLET, DIRICHLET}},
    {{41, 40, 42}, {DIRICHLET, GRADED, NEUMANN}},   {{20, 60, 58}, {GRADED, DIRICHLET, FULL}},
};
enum { PROBLEMS = sizeof problems / sizeof *problems };

static int64_t rows_of(const problem *p) {
  return p->n[0] * p->n[1] * p->n[2];
}

static double uniform(uint64_t stream, uint64_t index) {
  return qds_random_uniform(20261120, stream, index);
}

/* -d/dx c d/dx + v on n unit cells, c[i] between the unknowns i - 1 and i. */
static void fill_tridiagonal(kind what, int64_t n, double *a) {
  for (int64_t i = 0; i <= n; i++) {
    const double c = what == GRADED ? 0.5 + 3 * uniform(1, (uint64_t)i) : 1;
    const int64_t left = i > 0 ? i - 1 : what == PERIODIC ? n - 1 : -1;
    const int64_t right = i < n ? i : -1;
    const int outside = left < 0 || right < 0;
    if (outside && (what == NEUMANN || what == PERIODIC)) continue;
    if (left >= 0) a[left * n + left] += c;
    if (right >= 0) a[right * n + right] += c;
    if (!outside && left != right) a[left * n + right] -= c, a[right * n + left] -= c;
    if (left == right) a[left * n + left] -= 2 * c;
  }
}

static void fill_matrix(kind what, int64_t n, double *a) {
  memset(a, 0, (size_t)(n * n) * sizeof *a);
  if (what != FULL) {
    fill_tridiagonal(what, n, a);
    return;
  }
  for (int64_t i = 0; i < n; i++)
    for (int64_t j = 0; j <= i; j++) a[i * n + j] = a[j * n + i] = uniform(2, (uint64_t)(i * n + j)) - 0.5;
  for (int64_t i = 0; i < n; i++) a[i * n + i] += 0.6 * (double)n;
}

typedef struct {
  double *matrix[3];
} matrices;

static void matrices_clear(matrices *m) {
  for (int a = 0; a < 3; a++) qds_release(m->matrix[a]);
}
#define AUTO_MATRICES __attribute__((cleanup(matrices_clear))) matrices

static qds_status make_matrices(qds_context *ctx, const problem *p, matrices *m) {
  for (int a = 0; a < 3; a++) {
    m->matrix[a] = NULL;
    if (p->n[a] == 1) continue;
    QDS_TRY(QDS_NEW(qds_context_allocator(ctx), p->n[a] * p->n[a], "matrix", &m->matrix[a]));
    fill_matrix(p->kinds[a], p->n[a], m->matrix[a]);
  }
  return QDS_OK;
}

static qds_status create_with(qds_context *ctx, const problem *p, const matrices *m, double shift,
                              qds_precision precision, qds_fdm **out) {
  return qds_fdm_create(ctx, p->n, (const double *const *)m->matrix, shift, precision, out);
}

static void create(qds_context *ctx, const problem *p, double shift, qds_precision precision, qds_fdm **out) {
  AUTO_MATRICES m = {{NULL}};
  assert_ok(make_matrices(ctx, p, &m));
  assert_ok(create_with(ctx, p, &m, shift, precision, out));
}

/* result = (T - shift) y, from the definition. */
static void multiply(const problem *p, const matrices *m, double shift, const double *y, double *result) {
  const int64_t *n = p->n, stride[3] = {n[1] * n[2], n[2], 1};
  for (int64_t i = 0; i < n[0]; i++)
    for (int64_t j = 0; j < n[1]; j++)
      for (int64_t k = 0; k < n[2]; k++) {
        const int64_t at[3] = {i, j, k}, r = i * stride[0] + j * stride[1] + k;
        double sum = -shift * y[r];
        for (int a = 0; a < 3; a++)
          for (int64_t l = 0; m->matrix[a] && l < n[a]; l++)
            sum += m->matrix[a][at[a] * n[a] + l] * y[r + (l - at[a]) * stride[a]];
        result[r] = sum;
      }
}

static double norm(int64_t rows, const double *x) {
  double sum = 0;
  for (int64_t i = 0; i < rows; i++) sum += x[i] * x[i];
  return sqrt(sum);
}

static double distance(int64_t rows, const double *x, const double *y) {
  double sum = 0;
  for (int64_t i = 0; i < rows; i++) sum += (x[i] - y[i]) * (x[i] - y[i]);
  return sqrt(sum);
}

static void run(qds_context *ctx, qds_fdm *fdm, const qds_block *x, qds_block *y) {
  const qds_operator inverse = qds_fdm_operator(fdm);
  assert_int_equal(inverse.rows, x->rows);
  assert_ok(inverse.apply(inverse.self, ctx, x, y));
}

static void new_blocks(qds_context *ctx, int64_t rows, int columns, qds_block *x, qds_block *y) {
  assert_ok(qds_block_create(ctx, rows, columns, "x", x));
  assert_ok(qds_block_create(ctx, rows, columns, "y", y));
  qds_block_fill_random(ctx, x, 0);
}

static const double shift = -0.3;

static void check_inverse(qds_context *ctx, const problem *p, int columns) {
  const int64_t rows = rows_of(p);
  AUTO_MATRICES m = {{NULL}};
  QDS_AUTO(qds_fdm) *exact = NULL, *single = NULL;
  qds_block x, y, z;
  assert_ok(make_matrices(ctx, p, &m));
  assert_ok(create_with(ctx, p, &m, shift, QDS_FLOAT64, &exact));
  assert_ok(create_with(ctx, p, &m, shift, QDS_FLOAT32, &single));
  new_blocks(ctx, rows, columns, &x, &y);
  assert_ok(qds_block_create(ctx, rows, columns, "z", &z));
  run(ctx, exact, &x, &y);
  run(ctx, single, &x, &z);
  QDS_AUTO_RELEASE double *back = NULL;
  assert_ok(QDS_NEW(qds_context_allocator(ctx), rows, "back", &back));
  for (int j = 0; j < columns; j++) {
    const double *column = qds_block_column(&y, j);
    multiply(p, &m, shift, column, back);
    assert_close(distance(rows, back, qds_block_column(&x, j)), 0,
                 1e-12 * norm(rows, qds_block_column(&x, j)));
    assert_close(distance(rows, qds_block_column(&z, j), column), 0, 1e-5 * norm(rows, column));
    assert_true(norm(rows, column) > 0);
  }
  run(ctx, single, &x, &x);
  for (int j = 0; j < columns; j++)
    assert_memory_equal(qds_block_column(&x, j), qds_block_column(&z, j), (size_t)rows * sizeof(double));
  qds_block_clear(&x);
  qds_block_clear(&y);
  qds_block_clear(&z);
}

static void inverse_times_operator_is_one(qds_context *ctx) {
  for (int i = 0; i < PROBLEMS; i++) {
    check_inverse(ctx, &problems[i], 1);
    if (rows_of(&problems[i]) < 5000) check_inverse(ctx, &problems[i], 7);
  }
}

static void inverse_is_symmetric_positive(qds_context *ctx) {
  for (int i = 0; i < PROBLEMS; i++) {
    QDS_AUTO(qds_fdm) *fdm = NULL;
    qds_block x, y;
    double gram[4];
    create(ctx, &problems[i], shift, QDS_FLOAT32, &fdm);
    new_blocks(ctx, rows_of(&problems[i]), 2, &x, &y);
    run(ctx, fdm, &x, &y);
    assert_ok(qds_block_gram(ctx, &x, &y, gram));
    assert_close(gram[1], gram[2], 1e-5 * (gram[0] + gram[3]));
    assert_true(gram[0] > 0 && gram[3] > 0);
    qds_block_clear(&x);
    qds_block_clear(&y);
  }
}

/* A change just above the tolerance of the symmetry check sends the same problem through the plain path. */
static void splitting_changes_nothing(qds_context *ctx) {
  for (int i = 0; i < PROBLEMS; i++) {
    const problem *p = &problems[i];
    AUTO_MATRICES m = {{NULL}};
    QDS_AUTO(qds_fdm) *split = NULL, *plain = NULL;
    assert_ok(make_matrices(ctx, p, &m));
    assert_ok(create_with(ctx, p, &m, shift, QDS_FLOAT64, &split));
    double flops = 0;
    for (int a = 0; a < 3; a++)
      if (m.matrix[a]) {
        m.matrix[a][0] += 1e-11 * (double)p->n[a];
        flops += 4 * (double)p->n[a] * (double)rows_of(p);
      }
    assert_ok(create_with(ctx, p, &m, shift, QDS_FLOAT64, &plain));
    assert_close(qds_fdm_flops(plain), flops, 0);
    qds_block x, y, z;
    new_blocks(ctx, rows_of(p), 1, &x, &y);
    assert_ok(qds_block_create(ctx, rows_of(p), 1, "z", &z));
    run(ctx, split, &x, &y);
    run(ctx, plain, &x, &z);
    assert_close(distance(y.rows, y.data, z.data), 0, 1e-8 * norm(y.rows, y.data));
    qds_block_clear(&x);
    qds_block_clear(&y);
    qds_block_clear(&z);
  }
}

static void splitting_halves_the_work(qds_context *ctx) {
  const problem symmetric = {{40, 1, 30}, {DIRICHLET, FULL, PERIODIC}};
  QDS_AUTO(qds_fdm) *fdm = NULL;
  create(ctx, &symmetric, shift, QDS_FLOAT32, &fdm);
  assert_close(qds_fdm_flops(fdm), 2.0 * (40 + 30) * 1200, 0);
}

static void eigenvalues_are_those_of_the_axis(qds_context *ctx) {
  const problem p = {{21, 1, 16}, {DIRICHLET, FULL, NEUMANN}};
  QDS_AUTO(qds_fdm) *fdm = NULL;
  create(ctx, &p, shift, QDS_FLOAT32, &fdm);
  for (int k = 0; k < 21; k++)
    assert_close(qds_fdm_eigenvalues(fdm, 0)[k], 2 - 2 * cos(M_PI * (k + 1) / 22), 1e-13);
  for (int k = 0; k < 16; k++)
    assert_close(qds_fdm_eigenvalues(fdm, 2)[k], 2 - 2 * cos(M_PI * k / 16), 1e-13);
  assert_true(qds_fdm_eigenvalues(fdm, 1)[0] == 0);
}

/* Scaling by a power of two is exact, so the results must be the same numbers. */
static void any_magnitude_is_fine(qds_context *ctx) {
  const problem *p = &problems[10];
  const int64_t rows = rows_of(p);
  QDS_AUTO(qds_fdm) *fdm = NULL;
  qds_block x, y;
  create(ctx, p, shift, QDS_FLOAT32, &fdm);
  new_blocks(ctx, rows, 4, &x, &y);
  for (int64_t i = 0; i < rows; i++) {
    qds_block_column(&x, 1)[i] = ldexp(x.data[i], 900);
    qds_block_column(&x, 2)[i] = ldexp(x.data[i], -900);
    qds_block_column(&x, 3)[i] = 0;
  }
  run(ctx, fdm, &x, &y);
  for (int64_t i = 0; i < rows; i++) {
    assert_true(qds_block_column(&y, 1)[i] == ldexp(y.data[i], 900));
    assert_true(qds_block_column(&y, 2)[i] == ldexp(y.data[i], -900));
    assert_true(qds_block_column(&y, 3)[i] == 0);
  }
  qds_block_clear(&x);
  qds_block_clear(&y);
}

static void what_is_not_finite_gives_nan(qds_context *ctx) {
  const double bad[] = {NAN, INFINITY, -INFINITY};
  for (int b = 0; b < 3; b++)
    for (int i = 8; i < PROBLEMS; i++) {
      QDS_AUTO(qds_fdm) *fdm = NULL;
      qds_block x, y;
      create(ctx, &problems[i], shift, QDS_FLOAT32, &fdm);
      new_blocks(ctx, rows_of(&problems[i]), 1, &x, &y);
      x.data[x.rows / 3] = bad[b];
      run(ctx, fdm, &x, &y);
      for (int64_t r = 0; r < y.rows; r++) assert_true(isnan(y.data[r]));
      qds_block_clear(&x);
      qds_block_clear(&y);
    }
}

static void bad_input_is_refused(qds_context *ctx) {
  const problem p = {{8, 1, 9}, {NEUMANN, FULL, NEUMANN}};
  AUTO_MATRICES m = {{NULL}};
  qds_fdm *fdm = NULL;
  assert_ok(make_matrices(ctx, &p, &m));
  /* The lowest eigenvalue is 0 up to rounding, which must not decide. */
  assert_fails(create_with(ctx, &p, &m, 0, QDS_FLOAT64, &fdm), QDS_ERROR_ARGUMENT, "lower the shift");
  assert_fails(create_with(ctx, &p, &m, 0.25, QDS_FLOAT32, &fdm), QDS_ERROR_ARGUMENT, "the shift 0.25");
  assert_fails(create_with(ctx, &p, &m, NAN, QDS_FLOAT32, &fdm), QDS_ERROR_ARGUMENT, "the shift nan");
  assert_fails(create_with(ctx, &p, &m, -INFINITY, QDS_FLOAT32, &fdm), QDS_ERROR_ARGUMENT, "the shift -inf");
  m.matrix[0][1] += 0.1;
  assert_fails(create_with(ctx, &p, &m, shift, QDS_FLOAT32, &fdm), QDS_ERROR_ARGUMENT,
               "axis 0 is not symmetric");
  m.matrix[0][1] = NAN;
  assert_fails(create_with(ctx, &p, &m, shift, QDS_FLOAT32, &fdm), QDS_ERROR_NUMERIC,
               "axis 0 holds nan at row 1");
  const problem empty = {{8, 0, 9}, {NEUMANN, FULL, NEUMANN}}, huge = {{1, 40000, 1}, {FULL, FULL, FULL}};
  assert_fails(create_with(ctx, &empty, &m, shift, QDS_FLOAT32, &fdm), QDS_ERROR_ARGUMENT,
               "0 unknowns on axis 1");
  assert_fails(create_with(ctx, &huge, &m, shift, QDS_FLOAT32, &fdm), QDS_ERROR_ARGUMENT,
               "40000 unknowns on axis 1");
  assert_null(fdm);

  QDS_AUTO(qds_fdm) *good = NULL;
  create(ctx, &problems[8], shift, QDS_FLOAT32, &good);
  qds_block x, y;
  new_blocks(ctx, rows_of(&problems[8]) - 1, 1, &x, &y);
  const qds_operator inverse = qds_fdm_operator(good);
  assert_fails(inverse.apply(inverse.self, ctx, &x, &y), QDS_ERROR_ARGUMENT, "210 unknowns");
  qds_block_clear(&x);
  qds_block_clear(&y);
}

static const problem *measured;
static qds_precision measured_precision;

static void measure_bytes(qds_context *ctx) {
  AUTO_MATRICES m = {{NULL}};
  QDS_AUTO(qds_fdm) *fdm = NULL;
  qds_memory_row before, after;
  assert_ok(make_matrices(ctx, measured, &m));
  qds_context_memory(ctx, &before);
  assert_ok(create_with(ctx, measured, &m, shift, measured_precision, &fdm));
  qds_context_memory(ctx, &after);
  const size_t peak = after.peak_bytes - before.current_bytes;
  const size_t promised = qds_fdm_bytes(measured->n, measured_precision, qds_context_threads(ctx));
  enum { BLAS_TABLE = 8192 };
  assert_true(peak <= promised + BLAS_TABLE);
  assert_true(promised <= 3 * peak);
}

static void test_bytes_are_not_exceeded(void **state) {
  static const problem sizes[] = {{{90, 80, 70}, {GRADED, GRADED, GRADED}},
                                  {{90, 80, 70}, {DIRICHLET, DIRICHLET, DIRICHLET}},
                                  {{1, 300, 400}, {FULL, GRADED, GRADED}},
                                  {{12, 13, 14}, {GRADED, GRADED, GRADED}}};
  (void)state;
  for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
    for (int precision = QDS_FLOAT32; precision <= QDS_FLOAT64; precision++) {
      measured = &sizes[i];
      measured_precision = (qds_precision)precision;
      with_context(3, measure_bytes);
    }
}

static void collect(qds_context *ctx, double *results) {
  for (int i = 0; i < PROBLEMS; i++)
    for (int columns = 1; columns <= 8; columns += 7) {
      QDS_AUTO(qds_fdm) *fdm = NULL;
      qds_block x, y;
      create(ctx, &problems[i], shift, QDS_FLOAT32, &fdm);
      new_blocks(ctx, rows_of(&problems[i]), columns, &x, &y);
      run(ctx, fdm, &x, &y);
      uint64_t hash = 14695981039346656037U; /* FNV-1a over the bits */
      for (int j = 0; j < columns; j++)
        for (int64_t r = 0; r < y.rows; r++) {
          uint64_t bits;
          memcpy(&bits, qds_block_column(&y, j) + r, sizeof bits);
          hash = (hash ^ bits) * 1099511628211U;
        }
      memcpy(results++, &hash, sizeof hash);
      qds_block_clear(&x);
      qds_block_clear(&y);
    }
}

static double one_thread[2 * PROBLEMS], several_threads[2 * PROBLEMS];
static void collect_one(qds_context *ctx) {
  collect(ctx, one_thread);
}
static void collect_several(qds_context *ctx) {
  collect(ctx, several_threads);
}

static void test_threads_change_nothing(void **state) {
  (void)state;
  with_context(1, collect_one);
  for (int threads = 2; threads <= 5; threads += 3) {
    with_context(threads, collect_several);
    assert_memory_equal(one_thread, several_threads, sizeof one_thread);
  }
}

static qds_status create_and_destroy(qds_context *ctx, void *data) {
  QDS_AUTO(qds_fdm) *fdm = NULL;
  AUTO_MATRICES m = {{NULL}};
  QDS_TRY(make_matrices(ctx, data, &m));
  return create_with(ctx, data, &m, shift, QDS_FLOAT32, &fdm);
}

static void memory_runs_out(qds_context *ctx) {
  problem p = problems[10];
  assert_ok(create_and_destroy(ctx, &p)); /* loads BLAS, which the context keeps */
  assert_true(fail_each_allocation(ctx, create_and_destroy, &p) > 20);
}

/* --- on a stream --------------------------------------------------------------------------------------- */

/* What the working precision leaves of the inverse, relative to its norm. */
static double error_of(qds_precision precision) {
  return precision == QDS_FLOAT64 ? 1e-12 : precision == QDS_FLOAT32 ? 1e-5 : 1e-2;
}

static void new_device_block(qds_context *ctx, qds_stream *stream, const qds_block *host, qds_block *out) {
  assert_ok(qds_block_create_on(ctx, stream, host->rows, host->columns, "x", out));
  assert_ok(qds_block_copy(host, out));
}

/* y on the stream, from garbage and in place of x, against y of the host in float64. */
static void check_on_stream(qds_context *ctx, qds_stream *stream, const problem *p, qds_precision precision) {
  enum { COLUMNS = 3 };
  AUTO_MATRICES m = {{NULL}};
  QDS_AUTO(qds_fdm) *exact = NULL, *fdm = NULL;
  qds_block x, y, device_x, device_y;
  assert_ok(make_matrices(ctx, p, &m));
  assert_ok(create_with(ctx, p, &m, shift, QDS_FLOAT64, &exact));
  assert_ok(
      qds_fdm_create_on(ctx, stream, p->n, (const double *const *)m.matrix, shift - 1, precision, &fdm));
  assert_ok(qds_fdm_set_shift(fdm, shift));
  new_blocks(ctx, rows_of(p), COLUMNS, &x, &y);
  new_device_block(ctx, stream, &x, &device_x);
  memset(y.data, 0xff, sizeof(double) * (size_t)(y.stride * COLUMNS));
  new_device_block(ctx, stream, &y, &device_y);
  run(ctx, exact, &x, &y);
  run(ctx, fdm, &device_x, &device_y);
  run(ctx, fdm, &device_x, &device_x);
  const qds_block *found[2] = {&device_y, &device_x};
  for (int b = 0; b < 2; b++) {
    assert_ok(qds_block_copy(found[b], &x));
    for (int j = 0; j < COLUMNS; j++) {
      const double *expected = qds_block_column(&y, j);
      assert_close(distance(x.rows, qds_block_column(&x, j), expected), 0,
                   error_of(precision) * norm(x.rows, expected));
    }
  }
  qds_block_clear(&x);
  qds_block_clear(&y);
  qds_block_clear(&device_x);
  qds_block_clear(&device_y);
}

static void stream_agrees_with_host(qds_context *ctx, qds_stream *stream) {
  for (int i = 0; i < PROBLEMS; i++)
    for (int precision = QDS_FLOAT32; precision <= QDS_TF32; precision++)
      check_on_stream(ctx, stream, &problems[i], (qds_precision)precision);
}

static void run_on_stream(qds_context *ctx, qds_stream *stream, qds_fdm *fdm, qds_block *x) {
  qds_block device;
  new_device_block(ctx, stream, x, &device);
  run(ctx, fdm, &device, &device);
  assert_ok(qds_block_copy(&device, x));
  qds_block_clear(&device);
}

/* As on the host; and what is not finite leaves nothing behind. */
static void stream_takes_any_magnitude(qds_context *ctx, qds_stream *stream) {
  static const double bad[] = {NAN, INFINITY, -INFINITY};
  for (int i = 8; i < 11; i++) {
    const problem *p = &problems[i];
    const int64_t rows = rows_of(p);
    AUTO_MATRICES m = {{NULL}};
    QDS_AUTO(qds_fdm) *fdm = NULL;
    qds_block x, y;
    assert_ok(make_matrices(ctx, p, &m));
    assert_ok(
        qds_fdm_create_on(ctx, stream, p->n, (const double *const *)m.matrix, shift, QDS_FLOAT32, &fdm));
    new_blocks(ctx, rows, 5, &x, &y);
    for (int64_t r = 0; r < rows; r++) {
      qds_block_column(&x, 1)[r] = ldexp(x.data[r], 900);
      qds_block_column(&x, 2)[r] = x.data[r];
      qds_block_column(&x, 3)[r] = ldexp(x.data[r], -900);
      qds_block_column(&x, 4)[r] = 0;
    }
    qds_block_column(&x, 2)[rows / 3] = bad[i - 8];
    run_on_stream(ctx, stream, fdm, &x);
    for (int64_t r = 0; r < rows; r++) {
      assert_true(qds_block_column(&x, 1)[r] == ldexp(x.data[r], 900));
      assert_true(isnan(qds_block_column(&x, 2)[r]));
      assert_true(qds_block_column(&x, 3)[r] == ldexp(x.data[r], -900));
      assert_true(qds_block_column(&x, 4)[r] == 0);
    }
    qds_block_clear(&x);
    qds_block_clear(&y);
  }
}

/* A stream of the host takes its memory from the context, which counts it. */
static void bytes_on_a_stream_are_not_exceeded(qds_context *ctx) {
  qds_stream stream;
  assert_ok(qds_stream_open(NULL, qds_context_allocator(ctx), 2, &stream));
  for (int i = 0; i < PROBLEMS; i++)
    for (int precision = QDS_FLOAT32; precision <= QDS_FLOAT64; precision++) {
      AUTO_MATRICES m = {{NULL}};
      QDS_AUTO(qds_fdm) *fdm = NULL;
      qds_memory_row before, after;
      assert_ok(make_matrices(ctx, &problems[i], &m));
      qds_context_memory(ctx, &before);
      assert_ok(qds_fdm_create_on(ctx, &stream, problems[i].n, (const double *const *)m.matrix, shift,
                                  (qds_precision)precision, &fdm));
      qds_context_memory(ctx, &after);
      enum { RECORDS = 16384 };
      assert_true(after.current_bytes - before.current_bytes <=
                  qds_fdm_bytes_on_stream(problems[i].n, (qds_precision)precision) + RECORDS);
    }
  qds_stream_close(&stream);
}

static qds_status create_on_stream(qds_context *ctx, void *data) {
  QDS_AUTO(qds_fdm) *fdm = NULL;
  AUTO_MATRICES m = {{NULL}};
  QDS_TRY(make_matrices(ctx, &problems[10], &m));
  return qds_fdm_create_on(ctx, data, problems[10].n, (const double *const *)m.matrix, shift, QDS_FLOAT64,
                           &fdm);
}

static void memory_of_a_stream_runs_out(qds_context *ctx) {
  qds_stream stream;
  assert_ok(qds_stream_open(NULL, qds_context_allocator(ctx), 1, &stream));
  assert_ok(create_on_stream(ctx, &stream));
  assert_true(fail_each_allocation(ctx, create_on_stream, &stream) > 20);
  qds_stream_close(&stream);
}

DEVICE_TEST(stream_agrees_with_host)
DEVICE_TEST(stream_takes_any_magnitude)

#define TEST_IN_CONTEXT(name)                                                                                \
  static void test_##name(void **state) {                                                                    \
    (void)state;                                                                                             \
    with_context(3, name);                                                                                   \
  }
TEST_IN_CONTEXT(inverse_times_operator_is_one)
TEST_IN_CONTEXT(inverse_is_symmetric_positive)
TEST_IN_CONTEXT(splitting_changes_nothing)
TEST_IN_CONTEXT(splitting_halves_the_work)
TEST_IN_CONTEXT(eigenvalues_are_those_of_the_axis)
TEST_IN_CONTEXT(any_magnitude_is_fine)
TEST_IN_CONTEXT(what_is_not_finite_gives_nan)
TEST_IN_CONTEXT(bad_input_is_refused)
TEST_IN_CONTEXT(memory_runs_out)
TEST_IN_CONTEXT(bytes_on_a_stream_are_not_exceeded)
TEST_IN_CONTEXT(memory_of_a_stream_runs_out)

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_inverse_times_operator_is_one),
      cmocka_unit_test(test_inverse_is_symmetric_positive),
      cmocka_unit_test(test_splitting_changes_nothing),
      cmocka_unit_test(test_splitting_halves_the_work),
      cmocka_unit_test(test_eigenvalues_are_those_of_the_axis),
      cmocka_unit_test(test_any_magnitude_is_fine),
      cmocka_unit_test(test_what_is_not_finite_gives_nan),
      cmocka_unit_test(test_bad_input_is_refused),
      cmocka_unit_test(test_bytes_are_not_exceeded),
      cmocka_unit_test(test_threads_change_nothing),
      cmocka_unit_test(test_memory_runs_out),
      cmocka_unit_test(test_stream_agrees_with_host),
      cmocka_unit_test(test_stream_takes_any_magnitude),
      cmocka_unit_test(test_bytes_on_a_stream_are_not_exceeded),
      cmocka_unit_test(test_memory_of_a_stream_runs_out),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}

/* Compressed coefficients, and the tensor operator on blocks of a stream: against the dense array and the
 * operator on the host. */
#include "device_support.h"
#include "tensor_support.h"

#include "la/device_operator.h"
#include "la/tiled.h"

/* --- compressed arrays --------------------------------------------------------------------------------- */

/* Fills lines with what devices have: constants, layers, and numbers of their own. */
static void fill_lines(uint64_t seed, int64_t lines, int64_t length, double *dense) {
  for (int64_t line = 0; line < lines; line++) {
    const int kind = (int)(4 * problem_random(seed, 20, (uint64_t)line));
    for (int64_t k = 0; k < length; k++) {
      const double own = problem_random(seed, 21, (uint64_t)(line * length + k));
      dense[line * length + k] = kind == 0   ? 1
                                 : kind == 1 ? (3 * k > length ? 2 : -1)
                                 : kind == 2 ? own
                                             : (k == length / 2 ? own : (double)(line % 3));
    }
  }
}

static void every_number_comes_back(qds_context *ctx, qds_stream *stream) {
  static const int64_t lengths[] = {1, 2, 31, 32, 33, 64, 100};
  for (uint64_t seed = 1; seed <= 14; seed++) {
    const int64_t length = lengths[seed % 7], lines = 1 + (int64_t)(60 * problem_random(seed, 22, 0));
    QDS_AUTO_RELEASE double *dense = NULL, *numbers = NULL;
    QDS_AUTO_RELEASE uint32_t *code = NULL;
    qds_tiled tiled;
    qds_allocator *allocator = qds_context_allocator(ctx);
    assert_ok(QDS_NEW(allocator, lines * length, "test", &dense));
    fill_lines(seed, lines, length, dense);
    assert_ok(qds_tiled_create(ctx, stream, lines, length, dense, &tiled));
    assert_ok(QDS_NEW(allocator, tiled.count, "test", &numbers));
    assert_ok(QDS_NEW(allocator, lines * tiled.tiles, "test", &code));
    assert_ok(qds_stream_fetch(stream, numbers, tiled.numbers, sizeof *numbers * (size_t)tiled.count));
    assert_ok(qds_stream_fetch(stream, code, tiled.code, sizeof *code * (size_t)(lines * tiled.tiles)));
    const qds_tiled_view view = {code, numbers, {tiled.tiles, 0, 1}};
    for (int64_t i = 0; i < lines * length; i++)
      if (qds_tiled_at(&view, i / length, 0, (int)(i % length)) != dense[i])
        fail_msg("seed %d: number %d of %d lines of %d", (int)seed, (int)i, (int)lines, (int)length);
    qds_tiled_clear(&tiled);
  }
}

/* A layer structure is held once, however many lines show it. */
static void repeated_lines_are_held_once(qds_context *ctx, qds_stream *stream) {
  enum { LINES = 400, LENGTH = 200 };
  QDS_AUTO_RELEASE double *dense = NULL;
  qds_tiled tiled;
  assert_ok(QDS_NEW(qds_context_allocator(ctx), LINES * LENGTH, "test", &dense));
  for (int i = 0; i < LINES * LENGTH; i++) dense[i] = i % LENGTH % 47 < 5 ? sqrt(i % LENGTH) : 0.5;
  assert_ok(qds_tiled_create(ctx, stream, LINES, LENGTH, dense, &tiled));
  const int64_t most = qds_context_threads(ctx) * QDS_TILE * (LENGTH / QDS_TILE + 2);
  assert_true(tiled.count <= most);
  assert_true(qds_tiled_bytes(&tiled) <= sizeof(double) * (size_t)most + 4 * LINES * (LENGTH / QDS_TILE + 1));
  qds_tiled_clear(&tiled);
}

/* --- the operator -------------------------------------------------------------------------------------- */

static double largest(const qds_block *block) {
  double most = 0;
  for (int j = 0; j < block->columns; j++)
    for (int64_t i = 0; i < block->rows; i++) most = fmax(most, fabs(qds_block_column(block, j)[i]));
  return most;
}

/* x, on the host and on the stream; y the same, filled with NaN. */
typedef struct {
  qds_block x, y, device_x, device_y;
} blocks;

static blocks blocks_make(qds_context *ctx, qds_stream *stream, int64_t rows, int columns, uint64_t seed) {
  blocks b;
  assert_ok(qds_block_create(ctx, rows, columns, "test", &b.x));
  assert_ok(qds_block_create(ctx, rows, columns, "test", &b.y));
  assert_ok(qds_block_create_on(ctx, stream, rows, columns, "test", &b.device_x));
  assert_ok(qds_block_create_on(ctx, stream, rows, columns, "test", &b.device_y));
  assert_ok(qds_block_fill_random(ctx, &b.x, seed));
  memset(b.y.data, 0xff, sizeof(double) * (size_t)(b.y.stride * columns));
  assert_ok(qds_block_copy(&b.x, &b.device_x));
  assert_ok(qds_block_copy(&b.y, &b.device_y));
  return b;
}

static void blocks_clear(blocks *b) {
  qds_block_clear(&b->x);
  qds_block_clear(&b->y);
  qds_block_clear(&b->device_x);
  qds_block_clear(&b->device_y);
}

static void expect_same(qds_context *ctx, qds_stream *stream, const tensor_problem *p, int columns,
                        uint64_t seed) {
  QDS_AUTO(qds_device_operator) *d = NULL;
  blocks b = blocks_make(ctx, stream, p->t->rows, columns, seed);
  assert_ok(qds_device_operator_create(ctx, stream, p->t, &d));
  const qds_operator host = qds_tensor_operator_apply(p->t), device = qds_device_operator_apply(d);
  assert_int_equal(device.rows, p->t->rows);
  assert_ok(host.apply(host.self, ctx, &b.x, &b.y));
  assert_ok(device.apply(device.self, ctx, &b.device_x, &b.device_y));
  const double bound = 1e-14 * largest(&b.y);
  assert_ok(qds_block_copy(&b.device_y, &b.x));
  for (int j = 0; j < columns; j++)
    for (int64_t i = 0; i < p->t->rows; i++) {
      const double found = qds_block_column(&b.x, j)[i], expected = qds_block_column(&b.y, j)[i];
      if (!(fabs(found - expected) <= bound))
        fail_msg("seed %d, column %d, row %d of %d (%d x %d x %d): %g instead of %g", (int)seed, j, (int)i,
                 (int)p->t->rows, (int)p->t->n[0], (int)p->t->n[1], (int)p->t->n[2], found, expected);
    }
  blocks_clear(&b);
}

/* Pairs of unknowns anywhere, some several times. */
static void add_couplings(qds_context *ctx, tensor_problem *p, uint64_t seed) {
  enum { COUNT = 20 };
  qds_coupling list[COUNT];
  for (uint64_t i = 0; i < COUNT; i++) {
    const int64_t a = (int64_t)(problem_random(seed, 30, i) * (double)p->t->rows),
                  b = (int64_t)(problem_random(seed, 31, i) * (double)p->t->rows);
    list[i] = (qds_coupling){a, a == b || i % 5 == 0 ? -1 : b, 1, problem_random(seed, 32, i), 2};
  }
  assert_ok(qds_couplings_create(ctx, p->t->rows, COUNT, list, &p->t->couplings));
}

static void agrees_with_the_host_on_random_grids(qds_context *ctx, qds_stream *stream) {
  for (uint64_t seed = 1; seed <= 48; seed++) {
    axis_plan plan[3];
    int by_element[3];
    const int dimensions = 1 + (int)(seed % 3);
    plan_random(seed, dimensions, dimensions == 3 ? 24 : 90, plan, by_element);
    for (int a = 0; seed % 2 && a < 3; a++) plan[a].order = 1; /* the fast case */
    tensor_problem p = problem_make(ctx, plan, by_element);
    problem_fill_random(&p, seed, 10, 3);
    if (seed % 4 == 0) add_couplings(ctx, &p, seed);
    expect_same(ctx, stream, &p, 1 + (int)(seed % 7), seed);
    problem_clear(&p);
  }
}

/* Poisson's problem without the coefficients of an axis is the operator along the others. */
static void an_axis_without_coefficients_is_left_out(qds_context *ctx, qds_stream *stream) {
  const axis_plan side = {1, 12, {QDS_DIRICHLET, QDS_NEUMANN}, 1, 1};
  const axis_plan plan[3] = {side, side, side};
  for (int a = 0; a < 3; a++) {
    tensor_problem p = problem_make(ctx, plan, (const int[3]){0, 0, 0});
    problem_fill_random(&p, 5, 10, 3);
    qds_release(p.t->c[a]);
    p.t->c[a] = NULL;
    add_couplings(ctx, &p, 5);
    expect_same(ctx, stream, &p, 2, 5);
    problem_clear(&p);
  }
}

static void more_planes_than_a_march(qds_context *ctx, qds_stream *stream) {
  const axis_plan plan[3] = {{1, 150, {QDS_PERIODIC, QDS_PERIODIC}, 1, 1},
                             {1, 3, {QDS_DIRICHLET, QDS_NEUMANN}, 1, 1},
                             {1, 70, {QDS_PERIODIC, QDS_PERIODIC}, 1, 1}};
  tensor_problem p = problem_make(ctx, plan, (const int[3]){0, 0, 0});
  problem_fill_random(&p, 6, 10, 3);
  for (int columns = 0; columns <= 9; columns++) expect_same(ctx, stream, &p, columns, 6);
  problem_clear(&p);
}

/* --- failures ------------------------------------------------------------------------------------------ */

typedef struct {
  qds_stream *stream;
  const tensor_problem *p;
} creation;

static qds_status create_and_destroy(qds_context *ctx, void *data) {
  const creation *c = data;
  QDS_AUTO(qds_device_operator) *d = NULL;
  return qds_device_operator_create(ctx, c->stream, c->p->t, &d);
}

static void a_failed_allocation_leaves_nothing(qds_context *ctx, qds_stream *stream) {
  const axis_plan side = {2, 5, {QDS_DIRICHLET, QDS_NEUMANN}, 1, 1};
  const axis_plan plan[3] = {side, side, side};
  tensor_problem p = problem_make(ctx, plan, (const int[3]){0, 1, 0});
  problem_fill_random(&p, 7, 10, 3);
  add_couplings(ctx, &p, 7);
  creation c = {stream, &p};
  assert_true(fail_each_allocation(ctx, create_and_destroy, &c) > 5);
  problem_clear(&p);
}

DEVICE_TEST(every_number_comes_back)
DEVICE_TEST(repeated_lines_are_held_once)
DEVICE_TEST(agrees_with_the_host_on_random_grids)
DEVICE_TEST(an_axis_without_coefficients_is_left_out)
DEVICE_TEST(more_planes_than_a_march)
DEVICE_TEST(a_failed_allocation_leaves_nothing)

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_every_number_comes_back),
      cmocka_unit_test(test_repeated_lines_are_held_once),
      cmocka_unit_test(test_agrees_with_the_host_on_random_grids),
      cmocka_unit_test(test_an_axis_without_coefficients_is_left_out),
      cmocka_unit_test(test_more_planes_than_a_march),
      cmocka_unit_test(test_a_failed_allocation_leaves_nothing),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}

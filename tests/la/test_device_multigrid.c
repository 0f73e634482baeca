/* Multigrid on a stream: the same levels, transfers and cycles as on the host. */
#include "device_support.h"
#include "tensor_support.h"

#include "la/device_multigrid.h"

/* A problem on the host and on a stream. */
typedef struct {
  tensor_problem p;
  qds_device_operator *operator_;
  qds_multigrid *host, *device;
} pair;

static pair pair_make(qds_context *ctx, qds_stream *stream, uint64_t seed, int dimensions, int order) {
  pair b = {{{NULL}, NULL}, NULL, NULL, NULL};
  axis_plan plan[3];
  int by_element[3];
  plan_random(seed, dimensions, dimensions == 3 ? 30 : dimensions == 2 ? 90 : 1500, plan, by_element);
  for (int a = 0; a < 3; a++) {
    if (order > 0) plan[a].order = order;
    if (plan[a].elements > 0) plan[a].elements += (dimensions == 3 ? 8 : 20) / plan[a].order;
  }
  b.p = problem_make(ctx, plan, by_element);
  problem_fill_random(&b.p, seed, 10, 3);
  assert_ok(qds_device_operator_create(ctx, stream, b.p.t, &b.operator_));
  assert_ok(qds_multigrid_create(ctx, NULL, b.p.t, &b.host));
  assert_ok(qds_multigrid_create(ctx, b.operator_, b.p.t, &b.device));
  return b;
}

static void pair_clear(pair *b) {
  qds_multigrid_destroy(b->device);
  qds_multigrid_destroy(b->host);
  qds_device_operator_destroy(b->operator_);
  problem_clear(&b->p);
}

/* Every sixth seed in one dimension, and so on; a third of them order 1 alone. */
static pair pair_random(qds_context *ctx, qds_stream *stream, uint64_t seed) {
  return pair_make(ctx, stream, seed, 1 + (int)(seed % 3), seed % 9 < 3 ? 1 : 0);
}

/* Random columns on the host and on the stream. */
static void random_pair(qds_context *ctx, qds_stream *stream, int64_t rows, int columns, uint64_t seed,
                        qds_block *host, qds_block *device) {
  assert_ok(qds_block_create(ctx, rows, columns, "test", host));
  assert_ok(qds_block_create_on(ctx, stream, rows, columns, "test", device));
  assert_ok(qds_block_fill_random(ctx, host, seed));
  assert_ok(qds_block_copy(host, device));
}

/* Column by column, the difference of the device's numbers from the host's stays below tolerance times the
 * norm. Clears both. */
static void expect_near(qds_context *ctx, qds_block *host, qds_block *device, double tolerance,
                        const char *what, uint64_t seed, int level) {
  qds_block found = {0};
  assert_ok(qds_block_create(ctx, host->rows, host->columns, "test", &found));
  assert_ok(qds_block_copy(device, &found));
  for (int j = 0; j < host->columns; j++) {
    double difference = 0, norm = 0;
    for (int64_t i = 0; i < host->rows; i++) {
      const double expected = qds_block_column(host, j)[i], other = qds_block_column(&found, j)[i];
      difference += (expected - other) * (expected - other);
      norm += expected * expected;
    }
    if (!(sqrt(difference / norm) <= tolerance))
      fail_msg("seed %d: %s on level %d, column %d of %d rows: differs by %.3g of its norm", (int)seed, what,
               level, j, (int)host->rows, sqrt(difference / norm));
  }
  qds_block_clear(&found);
  qds_block_clear(host);
  qds_block_clear(device);
}

static void levels_are_the_hosts(qds_context *ctx, qds_stream *stream) {
  for (uint64_t seed = 1; seed <= 27; seed++) {
    pair b = pair_random(ctx, stream, seed);
    assert_int_equal(qds_multigrid_levels(b.device), qds_multigrid_levels(b.host));
    for (int l = 0; l < qds_multigrid_levels(b.host); l++) {
      const int64_t rows = qds_multigrid_rows(b.host, l);
      assert_int_equal(qds_multigrid_rows(b.device, l), rows);
      const qds_operator host = qds_multigrid_level_operator(b.host, l),
                         device = qds_multigrid_level_operator(b.device, l);
      qds_block x, device_x, y, device_y;
      random_pair(ctx, stream, rows, 3, seed, &x, &device_x);
      random_pair(ctx, stream, rows, 3, seed + 1, &y, &device_y);
      assert_ok(host.apply(host.self, ctx, &x, &y));
      assert_ok(device.apply(device.self, ctx, &device_x, &device_y));
      expect_near(ctx, &y, &device_y, 1e-6, "operator", seed, l);
      qds_block_clear(&x);
      qds_block_clear(&device_x);
    }
    pair_clear(&b);
  }
}

static void interpolation_is_the_hosts(qds_context *ctx, qds_stream *stream) {
  for (uint64_t seed = 1; seed <= 18; seed++) {
    pair b = pair_random(ctx, stream, seed);
    for (int l = 1; l < qds_multigrid_levels(b.host); l++) {
      qds_block x, device_x, y, device_y;
      random_pair(ctx, stream, qds_multigrid_rows(b.host, l), 2, seed, &x, &device_x);
      random_pair(ctx, stream, qds_multigrid_rows(b.host, l - 1), 2, seed + 1, &y, &device_y);
      assert_ok(qds_multigrid_prolong(b.host, ctx, l, &x, &y));
      assert_ok(qds_multigrid_prolong(b.device, ctx, l, &device_x, &device_y));
      expect_near(ctx, &y, &device_y, 1e-12, "interpolation", seed, l);
      qds_block_clear(&x);
      qds_block_clear(&device_x);
    }
    pair_clear(&b);
  }
}

static void shifts_are_the_hosts(qds_context *ctx, qds_stream *stream) {
  for (uint64_t seed = 1; seed <= 18; seed++) {
    pair b = pair_random(ctx, stream, seed);
    static const double wanted[] = {-1e5, -10, INFINITY};
    for (int i = 0; i < 3; i++) {
      double host, device;
      assert_ok(qds_multigrid_set_shift(b.host, ctx, wanted[i], &host));
      assert_ok(qds_multigrid_set_shift(b.device, ctx, wanted[i], &device));
      assert_close(device, host, 1e-5 * fmax(1, fabs(host)));
      for (int l = 0; l < qds_multigrid_levels(b.host) - 1; l++)
        assert_close(b.device->device->level[l].rate, b.host->level[l].rate, 1e-5);
    }
    pair_clear(&b);
  }
}

/* The cycles of all levels, also with more columns than one batch, and in place. */
static void cycles_are_the_hosts(qds_context *ctx, qds_stream *stream) {
  for (uint64_t seed = 1; seed <= 27; seed++) {
    pair b = pair_random(ctx, stream, seed);
    double used;
    const double shift = seed % 2 ? -5 : INFINITY;
    assert_ok(qds_multigrid_set_shift(b.host, ctx, shift, &used));
    assert_ok(qds_multigrid_set_shift(b.device, ctx, used, &used));
    for (int l = 0; l < qds_multigrid_levels(b.host); l++) {
      const qds_operator host = qds_multigrid_cycle(b.host, l), device = qds_multigrid_cycle(b.device, l);
      b.device->device->fewest_planes = 1 + (int)(seed / 2 + (uint64_t)l) % 7;
      const int columns = l == 0 ? 1 + (int)(seed % 6) : 19, in_place = (int)(seed + (uint64_t)l) % 2;
      qds_block x, device_x, y, device_y;
      random_pair(ctx, stream, qds_multigrid_rows(b.host, l), columns, seed, &x, &device_x);
      random_pair(ctx, stream, qds_multigrid_rows(b.host, l), columns, seed + 1, &y, &device_y);
      assert_ok(host.apply(host.self, ctx, &x, in_place ? &x : &y));
      assert_ok(device.apply(device.self, ctx, &device_x, in_place ? &device_x : &device_y));
      expect_near(ctx, in_place ? &x : &y, in_place ? &device_x : &device_y, 2e-4, "cycle", seed, l);
      qds_block_clear(in_place ? &y : &x);
      qds_block_clear(in_place ? &device_y : &device_x);
    }
    pair_clear(&b);
  }
}

/* A batch of one column at a time gives what a batch of all gives, to the last bit. */
static void batches_do_not_matter(qds_context *ctx, qds_stream *stream) {
  pair b = pair_make(ctx, stream, 3, 3, 1);
  const qds_operator cycle = qds_multigrid_cycle(b.device, 0);
  qds_block x, device_x, y, device_y;
  random_pair(ctx, stream, cycle.rows, 5, 1, &x, &device_x);
  random_pair(ctx, stream, cycle.rows, 5, 2, &y, &device_y);
  assert_ok(cycle.apply(cycle.self, ctx, &device_x, &device_y));
  assert_ok(qds_block_copy(&device_y, &x));
  b.device->device->level[0].batch = 2;
  assert_ok(cycle.apply(cycle.self, ctx, &device_x, &device_y));
  assert_ok(qds_block_copy(&device_y, &y));
  for (int j = 0; j < 5; j++)
    assert_memory_equal(qds_block_column(&x, j), qds_block_column(&y, j), sizeof(double) * (size_t)x.rows);
  qds_block_clear(&x);
  qds_block_clear(&y);
  qds_block_clear(&device_x);
  qds_block_clear(&device_y);
  pair_clear(&b);
}

static void numbers_too_large_are_refused(qds_context *ctx, qds_stream *stream) {
  const axis_plan side = {1, 10, {QDS_DIRICHLET, QDS_DIRICHLET}, 1, 1};
  const axis_plan plan[3] = {side, side, side};
  for (int which = 0; which < 2; which++) {
    QDS_AUTO(qds_device_operator) *d = NULL;
    qds_multigrid *multigrid = NULL;
    tensor_problem p = problem_make(ctx, plan, (const int[3]){0, 0, 0});
    if (which)
      p.t->v[5] = 1e300;
    else
      p.t->c[1][7] = 1e300;
    assert_ok(qds_device_operator_create(ctx, stream, p.t, &d));
    assert_fails(qds_multigrid_create(ctx, d, p.t, &multigrid), QDS_ERROR_NUMERIC,
                 which ? "a potential is not finite" : "a coefficient is not finite");
    assert_null(multigrid);
    problem_clear(&p);
  }
}

typedef struct {
  const qds_device_operator *operator_;
  const qds_tensor_operator *t;
} creation;

static qds_status create_and_destroy(qds_context *ctx, void *data) {
  const creation *c = data;
  QDS_AUTO(qds_multigrid) *multigrid = NULL;
  return qds_multigrid_create(ctx, c->operator_, c->t, &multigrid);
}

static void a_failed_allocation_leaves_nothing(qds_context *ctx, qds_stream *stream) {
  pair b = pair_make(ctx, stream, 5, 3, 1);
  creation c = {b.operator_, b.p.t};
  assert_true(fail_each_allocation(ctx, create_and_destroy, &c) > 20);
  pair_clear(&b);
}

/* Writes the host operator's potential into one of the stream that is open. */
static void write_potential(qds_context *ctx, qds_stream *stream, const qds_tensor_operator *t,
                            const qds_device_operator *open) {
  int64_t line;
  double *const to = qds_device_operator_potential(open, &line);
  QDS_AUTO_RELEASE double *padded = NULL;
  const int64_t lines = t->n[0] * t->n[1];
  assert_ok(QDS_NEW_ZERO(qds_context_allocator(ctx), lines * line, "test", &padded));
  for (int64_t i = 0; i < t->rows; i++) padded[i / t->n[2] * line + i % t->n[2]] = t->v[i];
  assert_ok(qds_stream_copy(stream, to, padded, sizeof *padded * (size_t)(lines * line)));
  assert_ok(qds_stream_synchronise(stream));
}

/* The operator and all cycles. */
static void expect_same_problem(qds_context *ctx, qds_stream *stream, pair *b, uint64_t seed) {
  qds_block x, device_x, y, device_y;
  double host, device;
  const qds_operator a = qds_tensor_operator_apply(b->p.t), d = qds_device_operator_apply(b->operator_);
  random_pair(ctx, stream, a.rows, 2, seed, &x, &device_x);
  random_pair(ctx, stream, a.rows, 2, seed + 1, &y, &device_y);
  assert_ok(a.apply(a.self, ctx, &x, &y));
  assert_ok(d.apply(d.self, ctx, &device_x, &device_y));
  expect_near(ctx, &y, &device_y, 1e-13, "open operator", seed, 0);
  qds_block_clear(&x);
  qds_block_clear(&device_x);
  assert_ok(qds_multigrid_set_shift(b->host, ctx, INFINITY, &host));
  assert_ok(qds_multigrid_set_shift(b->device, ctx, INFINITY, &device));
  assert_close(device, host, 1e-5 * fmax(1, fabs(host)));
  assert_ok(qds_multigrid_set_shift(b->host, ctx, device, &host));
  for (int l = 0; l < qds_multigrid_levels(b->host); l++) {
    const qds_operator cycle = qds_multigrid_cycle(b->host, l),
                       device_cycle = qds_multigrid_cycle(b->device, l);
    random_pair(ctx, stream, cycle.rows, 2, seed, &x, &device_x);
    assert_ok(cycle.apply(cycle.self, ctx, &x, &x));
    assert_ok(device_cycle.apply(device_cycle.self, ctx, &device_x, &device_x));
    expect_near(ctx, &x, &device_x, 2e-4, "renewed cycle", seed, l);
  }
}

/* One multigrid of an open operator goes through several potentials; one on the host is made anew for each,
 * and another is renewed too, to the last bit as the new one. */
static void potentials_change(qds_context *ctx, qds_stream *stream) {
  for (uint64_t seed = 1; seed <= 18; seed++) {
    pair b = pair_random(ctx, stream, seed);
    qds_multigrid *renewed = b.host;
    qds_multigrid_destroy(b.device);
    qds_device_operator_destroy(b.operator_);
    assert_ok(qds_device_operator_create_open(ctx, stream, b.p.t, &b.operator_));
    assert_ok(qds_multigrid_create(ctx, b.operator_, b.p.t, &b.device));
    for (int change = 0; change < 3; change++) {
      for (int64_t i = 0; i < b.p.t->rows; i++)
        b.p.t->v[i] = 5 * (change + 1) * problem_random(seed, 40 + (uint64_t)change, (uint64_t)i);
      write_potential(ctx, stream, b.p.t, b.operator_);
      assert_ok(qds_multigrid_renew(b.device, ctx, b.p.t));
      assert_ok(qds_multigrid_renew(renewed, ctx, b.p.t));
      assert_ok(qds_multigrid_create(ctx, NULL, b.p.t, &b.host));
      expect_same_problem(ctx, stream, &b, seed);
      qds_block x = {0}, y = {0};
      double used;
      const qds_operator first = qds_multigrid_cycle(b.host, 0), second = qds_multigrid_cycle(renewed, 0);
      assert_ok(qds_multigrid_set_shift(b.host, ctx, INFINITY, &used));
      assert_ok(qds_block_create(ctx, first.rows, 1, "test", &x));
      assert_ok(qds_block_create(ctx, first.rows, 1, "test", &y));
      assert_ok(qds_block_fill_random(ctx, &x, seed));
      assert_ok(qds_block_copy(&x, &y));
      assert_ok(first.apply(first.self, ctx, &x, &x));
      assert_ok(second.apply(second.self, ctx, &y, &y));
      assert_memory_equal(x.data, y.data, sizeof(double) * (size_t)x.rows);
      qds_block_clear(&x);
      qds_block_clear(&y);
      qds_multigrid_destroy(b.host);
    }
    b.host = renewed;
    pair_clear(&b);
  }
}

static qds_status create_open_and_renew(qds_context *ctx, void *data) {
  const creation *c = data;
  QDS_AUTO(qds_device_operator) *open = NULL;
  QDS_AUTO(qds_multigrid) *multigrid = NULL, *host = NULL;
  QDS_TRY(qds_device_operator_create_open(ctx, qds_device_operator_stream(c->operator_), c->t, &open));
  QDS_TRY(qds_multigrid_create(ctx, open, c->t, &multigrid));
  QDS_TRY(qds_multigrid_renew(multigrid, ctx, c->t));
  QDS_TRY(qds_multigrid_create(ctx, NULL, c->t, &host));
  return qds_multigrid_renew(host, ctx, c->t);
}

static void a_failed_change_leaves_nothing(qds_context *ctx, qds_stream *stream) {
  pair b = pair_make(ctx, stream, 5, 3, 1);
  creation c = {b.operator_, b.p.t};
  assert_true(fail_each_allocation(ctx, create_open_and_renew, &c) > 40);
  if (strncmp(qds_context_device(ctx), "sim", 3) == 0) {
    assert_int_equal(fail_each_on_device(ctx, QDS_INJECT_LAUNCH, 10, create_open_and_renew, &c), 10);
    assert_int_equal(fail_each_on_device(ctx, QDS_INJECT_COPY, 20, create_open_and_renew, &c), 20);
  }
  pair_clear(&b);
}

DEVICE_TEST(levels_are_the_hosts)
DEVICE_TEST(interpolation_is_the_hosts)
DEVICE_TEST(shifts_are_the_hosts)
DEVICE_TEST(cycles_are_the_hosts)
DEVICE_TEST(batches_do_not_matter)
DEVICE_TEST(numbers_too_large_are_refused)
DEVICE_TEST(a_failed_allocation_leaves_nothing)
DEVICE_TEST(potentials_change)
DEVICE_TEST(a_failed_change_leaves_nothing)

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_levels_are_the_hosts),
      cmocka_unit_test(test_interpolation_is_the_hosts),
      cmocka_unit_test(test_shifts_are_the_hosts),
      cmocka_unit_test(test_cycles_are_the_hosts),
      cmocka_unit_test(test_batches_do_not_matter),
      cmocka_unit_test(test_numbers_too_large_are_refused),
      cmocka_unit_test(test_a_failed_allocation_leaves_nothing),
      cmocka_unit_test(test_potentials_change),
      cmocka_unit_test(test_a_failed_change_leaves_nothing),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}

/* Sums over runs and largest values of lines, against the sums written out, with each kind of ends. */
#include "device_support.h"

#include "base/philox.h"
#include "la/axis.h"
#include "la/runs.h"

enum { SEED = 20261129, COLUMNS = 2 };

static double number(uint64_t stream, int64_t index) {
  return qds_random_uniform(SEED, stream, (uint64_t)index) - 0.4;
}

/* A grid with an axis of each kind of ends, and runs of random length on its nodes. */
typedef struct {
  qds_axis *axis[3];
  int64_t n[3], rows;
  double *vectors; /* COLUMNS x rows, on the host */
  qds_runs runs;
} problem;

static void make_runs(qds_context *ctx, qds_runs *r, int64_t lines, int64_t length) {
  qds_allocator *allocator = qds_context_allocator(ctx);
  *r = (qds_runs){.lines = lines, .length = length};
  assert_ok(QDS_NEW(allocator, lines + 1, "test", &r->start));
  assert_ok(QDS_NEW(allocator, lines * length, "test", &r->run));
  r->start[0] = 0;
  for (int64_t line = 0, count = 0; line < lines; line++) {
    for (int64_t k = 0; k < length;) {
      k += 1 + (int64_t)(40 * pow(number(9, line * length + k) + 0.4, 3));
      r->run[count++] = (qds_run){(int32_t)(k < length ? k : length), 0};
    }
    r->start[line + 1] = count;
  }
}

static problem make(qds_context *ctx, const int64_t nodes[3], const qds_boundary ends[3]) {
  qds_allocator *allocator = qds_context_allocator(ctx);
  problem p = {.rows = 1};
  for (int a = 0; a < 3; a++) {
    const qds_boundary boundary[2] = {ends[a], ends[a]};
    if (nodes[a] == 1)
      assert_ok(qds_axis_create_point(allocator, &p.axis[a]));
    else
      assert_ok(qds_axis_create(allocator, -1, 2, nodes[a], 1, NULL, 0, boundary, &p.axis[a]));
    p.rows *= p.n[a] = p.axis[a]->unknowns;
  }
  assert_ok(QDS_NEW(allocator, p.rows * COLUMNS, "test", &p.vectors));
  for (int64_t i = 0; i < p.rows * COLUMNS; i++) p.vectors[i] = number(1, i);
  make_runs(ctx, &p.runs, nodes[0] * nodes[1], nodes[2]);
  return p;
}

static void clear(problem *p) {
  for (int a = 0; a < 3; a++) qds_axis_destroy(p->axis[a]);
  qds_release(p->vectors);
  qds_runs_clear(&p->runs);
}

static void *upload(qds_stream *stream, size_t bytes, const void *from) {
  char *to = NULL;
  assert_ok(QDS_STREAM_NEW(stream, bytes, "test", &to));
  if (from) assert_ok(qds_stream_copy(stream, to, from, bytes));
  return to;
}

/* The sum of the squares of node (i, j, k)'s values times its shares, and times the scales. */
static double at_node(const problem *p, int columns, const int64_t node[3], double *value) {
  double share = 1, scale = 1, squares = 0;
  int64_t row = 0;
  *value = 0;
  for (int a = 0; a < 3; a++) {
    const int64_t unknown = qds_axis_unknown(p->axis[a], node[a]);
    if (unknown < 0) return 0;
    row = row * p->n[a] + unknown;
    share *= p->axis[a]->weights_nm[node[a]] / p->axis[a]->mass[unknown];
    scale *= p->axis[a]->scale[unknown];
  }
  for (int c = 0; c < columns; c++) squares += pow(p->vectors[c * p->rows + row], 2);
  *value = squares * scale * scale;
  return squares * share;
}

static void compare(const problem *p, int columns, const double *sum, const double *peak) {
  const qds_runs *r = &p->runs;
  for (int64_t line = 0; line < r->lines; line++) {
    int64_t k = 0;
    double largest = 0;
    for (int64_t run = r->start[line]; run < r->start[line + 1]; run++) {
      double expected = 0, value;
      for (; k < r->run[run].end; k++) {
        const int64_t node[3] = {line / p->axis[1]->nodes, line % p->axis[1]->nodes, k};
        expected += at_node(p, columns, node, &value);
        largest = fmax(largest, value);
      }
      assert_close(sum[run], expected, 1e-14);
    }
    assert_close(peak[line], largest, 1e-13 * largest);
  }
}

static void check(qds_context *ctx, qds_stream *stream, const int64_t nodes[3], const qds_boundary ends[3],
                  int columns) {
  problem p = make(ctx, nodes, ends);
  const size_t lines = (size_t)p.runs.lines, runs = (size_t)p.runs.start[p.runs.lines];
  double *share[3], *scale[3],
      *vectors = upload(stream, sizeof(double) * (size_t)p.rows * COLUMNS, p.vectors);
  qds_run_sums_arguments k = {.vectors = {vectors, p.rows, columns},
                              .start = upload(stream, sizeof(int64_t) * (lines + 1), p.runs.start),
                              .run = upload(stream, sizeof(qds_run) * runs, p.runs.run),
                              .sum = upload(stream, sizeof(double) * runs, NULL),
                              .peak = upload(stream, sizeof(double) * lines, NULL)};
  for (int a = 0; a < 3; a++) {
    const qds_axis *axis = p.axis[a];
    double on_host[200];
    for (int64_t i = 0; i < axis->nodes; i++) {
      const int64_t unknown = qds_axis_unknown(axis, i);
      on_host[i] = unknown < 0 ? 0 : axis->weights_nm[i] / axis->mass[unknown];
    }
    share[a] = upload(stream, sizeof(double) * (size_t)axis->nodes, on_host);
    scale[a] = upload(stream, sizeof(double) * (size_t)axis->unknowns, axis->scale);
    k.axis[a] = (qds_run_axis){(int)axis->nodes, (int)axis->unknowns,
                               (int)axis->first, ends[a] == QDS_PERIODIC && axis->nodes > 1,
                               share[a],         scale[a]};
  }
  assert_ok(qds_stream_launch(stream, &qds_run_sums_kernel, &k));
  double *sum = malloc(sizeof *sum * runs), *peak = malloc(sizeof *peak * lines);
  assert_ok(qds_stream_fetch(stream, sum, k.sum, sizeof *sum * runs));
  assert_ok(qds_stream_fetch(stream, peak, k.peak, sizeof *peak * lines));
  compare(&p, columns, sum, peak);
  const void *there[] = {k.start, k.run, k.sum, k.peak, vectors};
  for (size_t i = 0; i < sizeof there / sizeof *there; i++)
    qds_stream_release(stream, (void *)(uintptr_t)there[i]);
  for (int a = 0; a < 3; a++) {
    qds_stream_release(stream, share[a]);
    qds_stream_release(stream, scale[a]);
  }
  free(sum);
  free(peak);
  clear(&p);
}

static void sums_are_those_written_out(qds_context *ctx, qds_stream *stream) {
  static const int64_t sizes[][3] = {{1, 1, 130}, {1, 21, 70}, {6, 7, 40}, {9, 4, 5}};
  static const qds_boundary kinds[] = {QDS_DIRICHLET, QDS_NEUMANN, QDS_PERIODIC};
  for (size_t s = 0; s < sizeof sizes / sizeof *sizes; s++)
    for (int kind = 0; kind < 9; kind++) {
      const qds_boundary ends[3] = {kinds[kind % 3], kinds[(kind / 3 + 1) % 3], kinds[kind / 3]};
      for (int columns = 1; columns <= COLUMNS; columns++) check(ctx, stream, sizes[s], ends, columns);
    }
}
DEVICE_TEST(sums_are_those_written_out)

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_sums_are_those_written_out)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}

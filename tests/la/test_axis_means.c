/* Means across axes, of an array, of a compressed array and of squares, against the sums written out. */
#include "device_support.h"

#include "base/philox.h"
#include "la/axis_means.h"
#include "la/tiled.h"

enum { COLUMNS = 3, SEED = 20261120 };
static const int sizes[][3] = {{1, 1, 9}, {1, 33, 70}, {5, 7, 40}, {40, 3, 1}, {17, 64, 65}};

static double number(uint64_t stream, int64_t index) {
  return qds_random_uniform(SEED, stream, (uint64_t)index) - 0.3;
}

/* On the host: what goes in, and what comes out and should. */
typedef struct {
  double *numbers, *squares, *weight[3], *mean[3], *expected[3];
} host_arrays;

static void fill(qds_context *ctx, const int n[3], int weighted, host_arrays *h) {
  qds_allocator *allocator = qds_context_allocator(ctx);
  const int64_t rows = (int64_t)n[0] * n[1] * n[2];
  assert_ok(QDS_NEW(allocator, rows, "test", &h->numbers));
  assert_ok(QDS_NEW(allocator, rows * COLUMNS, "test", &h->squares));
  for (int64_t i = 0; i < rows; i++) h->numbers[i] = number(0, i);
  for (int64_t i = 0; i < rows * COLUMNS; i++) h->squares[i] = number(1, i);
  for (int a = 0; a < 3; a++) {
    assert_ok(QDS_NEW(allocator, n[a], "test", &h->weight[a]));
    assert_ok(QDS_NEW(allocator, n[a], "test", &h->mean[a]));
    assert_ok(QDS_NEW(allocator, n[a], "test", &h->expected[a]));
    for (int i = 0; i < n[a]; i++) h->weight[a][i] = weighted ? number((uint64_t)a + 2, i) : 1;
  }
}

static void clear(host_arrays *h) {
  qds_release(h->numbers);
  qds_release(h->squares);
  for (int a = 0; a < 3; a++) {
    qds_release(h->weight[a]);
    qds_release(h->mean[a]);
    qds_release(h->expected[a]);
  }
}

static void sum_up(const int n[3], qds_means_source source, const host_arrays *h) {
  const int64_t rows = (int64_t)n[0] * n[1] * n[2];
  for (int a = 0; a < 3; a++) memset(h->expected[a], 0, sizeof(double) * (size_t)n[a]);
  for (int64_t row = 0; row < rows; row++) {
    const int64_t at[3] = {row / n[2] / n[1], row / n[2] % n[1], row % n[2]};
    double value = source == QDS_MEANS_OF_SQUARES ? 0 : h->numbers[row];
    for (int c = 0; source == QDS_MEANS_OF_SQUARES && c < COLUMNS; c++)
      value += pow(h->squares[c * rows + row], 2);
    for (int a = 0; a < 3; a++)
      h->expected[a][at[a]] +=
          value * h->weight[(a + 1) % 3][at[(a + 1) % 3]] * h->weight[(a + 2) % 3][at[(a + 2) % 3]];
  }
}

static double *upload(qds_stream *stream, size_t count, const double *from) {
  double *to = NULL;
  assert_ok(QDS_STREAM_NEW(stream, count, "test", &to));
  if (from) assert_ok(qds_stream_copy(stream, to, from, sizeof *to * count));
  return to;
}

static void check(qds_context *ctx, qds_stream *stream, const int n[3], qds_means_source source,
                  int weighted) {
  const int64_t rows = (int64_t)n[0] * n[1] * n[2];
  host_arrays h = {0};
  qds_tiled tiled = {0};
  fill(ctx, n, weighted, &h);
  sum_up(n, source, &h);
  assert_ok(qds_tiled_create(ctx, stream, (int64_t)n[0] * n[1], n[2], h.numbers, &tiled));
  double *numbers = upload(stream, (size_t)rows, h.numbers),
         *squares = upload(stream, (size_t)rows * COLUMNS, h.squares),
         *lines = upload(stream, (size_t)n[0] * (size_t)(n[1] + n[2]), NULL), *weight[3], *mean[3];
  qds_axis_means_arguments k = {.source = source,
                                .numbers = numbers,
                                .tiles = qds_tiled_grid(&tiled, n[1]),
                                .vectors = {squares, rows, COLUMNS},
                                .n = {n[0], n[1], n[2]},
                                .along_last = lines,
                                .along_middle = lines + (int64_t)n[0] * n[1]};
  for (int a = 0; a < 3; a++) {
    weight[a] = upload(stream, (size_t)n[a], h.weight[a]);
    mean[a] = upload(stream, (size_t)n[a], NULL);
    k.weight[a] = weighted ? weight[a] : NULL;
    k.mean[a] = mean[a];
  }
  assert_ok(qds_stream_launch(stream, &qds_axis_means_kernel, &k));
  for (int a = 0; a < 3; a++) {
    assert_ok(qds_stream_fetch(stream, h.mean[a], mean[a], sizeof(double) * (size_t)n[a]));
    for (int i = 0; i < n[a]; i++) assert_close(h.mean[a][i], h.expected[a][i], 1e-14 * (double)rows);
    qds_stream_release(stream, weight[a]);
    qds_stream_release(stream, mean[a]);
  }
  qds_stream_release(stream, numbers);
  qds_stream_release(stream, squares);
  qds_stream_release(stream, lines);
  qds_tiled_clear(&tiled);
  clear(&h);
}

static void means_are_those_written_out(qds_context *ctx, qds_stream *stream) {
  for (size_t s = 0; s < sizeof sizes / sizeof *sizes; s++)
    for (int source = QDS_MEANS_OF_NUMBERS; source <= QDS_MEANS_OF_SQUARES; source++)
      for (int weighted = 0; weighted < 2; weighted++)
        check(ctx, stream, sizes[s], (qds_means_source)source, weighted);
}
DEVICE_TEST(means_are_those_written_out)

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_means_are_those_written_out)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}

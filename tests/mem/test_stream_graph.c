/* Graphs of back ends: captured, replayed, and captures that are spoilt. */
#include "streams.h"

#include "base/philox.h"

/* --- graphs -----------------------------------------------------------------------------------------------
 */

static void check_graphs(qds_context *ctx) {
  qds_stream *stream = open_stream(ctx);
  qds_graph *graph;
  double *back = numbers_from(0), *x;
  if (!qds_stream_can_capture(stream)) {
    assert_fails(qds_graph_begin(stream), QDS_ERROR_UNSUPPORTED, "no graphs");
    qds_stream_destroy(stream);
    qds_release(back);
    return;
  }
  assert_ok(QDS_STREAM_NEW(stream, NUMBERS, "x", &x));
  assert_ok(qds_stream_fill(stream, x, 0, NUMBERS * sizeof *x));
  assert_ok(qds_graph_begin(stream));
  qds_fill_normal_arguments k = normal_numbers(x, 3, 1, 1);
  assert_ok(qds_stream_launch(stream, &qds_fill_normal_kernel, &k));
  assert_ok(qds_graph_end(stream, &graph));
  assert_ok(qds_stream_fetch(stream, back, x, NUMBERS * sizeof *x));
  for (int i = 0; i < NUMBERS; i++) assert_true(back[i] == 0); /* captured, not done */
  for (int i = 0; i < 3; i++) assert_ok(qds_graph_launch(graph, stream));
  assert_ok(qds_stream_fetch(stream, back, x, NUMBERS * sizeof *x));
  for (uint64_t i = 0; i < NUMBERS; i++) assert_close(back[i], 3 * qds_random_normal(3, 7, i), 1e-13);
  assert_ok(qds_graph_launch(graph, stream));
  assert_ok(qds_stream_synchronise(stream));
  qds_graph_destroy(graph);
  qds_graph_destroy(NULL);
  qds_stream_release(stream, x);
  qds_stream_destroy(stream);
  qds_release(back);
}

/* Waiting while capturing spoils the capture; the stream is good again afterwards. */
static void check_spoilt_capture(qds_context *ctx) {
  qds_stream *stream = open_stream(ctx);
  qds_graph *graph;
  unsigned char *bytes, back[10];
  if (!qds_stream_can_capture(stream)) {
    qds_stream_destroy(stream);
    return;
  }
  assert_ok(QDS_STREAM_NEW(stream, 10, "bytes", &bytes));
  assert_ok(qds_graph_begin(stream));
  assert_ok(qds_stream_fill(stream, bytes, 1, 10));
  assert_int_not_equal(qds_stream_synchronise(stream), QDS_OK);
  assert_int_not_equal(qds_graph_end(stream, &graph), QDS_OK);
  assert_null(graph);
  assert_ok(qds_stream_fill(stream, bytes, 2, 10));
  assert_ok(qds_stream_fetch(stream, back, bytes, 10));
  assert_int_equal(back[9], 2);
  qds_stream_release(stream, bytes);
  qds_stream_destroy(stream);
}

ON_EACH(graphs)
ON_EACH(spoilt_capture)

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_graphs),
      cmocka_unit_test(test_spoilt_capture),
  };
  return cmocka_run_group_tests_name("stream_graph", tests, NULL, NULL);
}

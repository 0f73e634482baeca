#include "support.h"

#include "par/communicator.h"

static void serial_body(qds_context *ctx) {
  qds_communicator *c = qds_context_communicator(ctx);
  assert_int_equal(qds_communicator_rank(c), 0);
  assert_int_equal(qds_communicator_size(c), 1);
  assert_ok(qds_barrier(c));
  const qds_reduction reductions[] = {QDS_SUM, QDS_MIN, QDS_MAX};
  for (int r = 0; r < 3; r++) {
    double reals[] = {1.5, -2, INFINITY};
    int64_t integers[] = {INT64_MIN, 0, INT64_MAX};
    assert_ok(qds_all_reduce_double(c, reductions[r], 3, reals));
    assert_ok(qds_all_reduce_int64(c, reductions[r], 3, integers));
    assert_true(reals[0] == 1.5 && reals[1] == -2 && reals[2] == INFINITY);
    assert_true(integers[0] == INT64_MIN && integers[1] == 0 && integers[2] == INT64_MAX);
    assert_ok(qds_all_reduce_double(c, reductions[r], 0, NULL));
  }
  char text[] = "dot";
  assert_ok(qds_broadcast(c, 0, text, sizeof text));
  assert_string_equal(text, "dot");
}

static void all_to_all_body(qds_context *ctx) {
  qds_communicator *c = qds_context_communicator(ctx);
  char from[] = "0123456789", to[] = "..........";
  const size_t bytes = 4, none = 0, from_offset = 3, to_offset = 5;
  assert_ok(
      qds_all_to_all(c, &(qds_parcels){from, &bytes, &from_offset}, &(qds_parcels){to, &bytes, &to_offset}));
  assert_string_equal(to, ".....3456.");
  assert_ok(qds_all_to_all(c, &(qds_parcels){NULL, &none, &none}, &(qds_parcels){NULL, &none, &none}));
  assert_fails(qds_all_to_all(c, &(qds_parcels){from, &bytes, &none}, &(qds_parcels){to, &none, &none}),
               QDS_ERROR_ARGUMENT, "rank 0 sends 4 bytes to itself and wants to receive 0");
}

static void refusals_body(qds_context *ctx) {
  qds_communicator *c = qds_context_communicator(ctx);
  double x = 1;
  int64_t i = 1;
  assert_fails(qds_all_reduce_double(c, (qds_reduction)7, 1, &x), QDS_ERROR_ARGUMENT, "reduction 7");
  assert_fails(qds_all_reduce_int64(c, (qds_reduction)3, 1, &i), QDS_ERROR_ARGUMENT, "reduction 3");
  assert_fails(qds_all_reduce_double(c, QDS_SUM, 1, NULL), QDS_ERROR_ARGUMENT, "at NULL");
  assert_fails(qds_broadcast(c, 1, &x, sizeof x), QDS_ERROR_ARGUMENT, "rank 1 of 1");
  assert_fails(qds_broadcast(c, -1, &x, sizeof x), QDS_ERROR_ARGUMENT, "rank -1 of 1");
  assert_fails(qds_broadcast(c, 0, NULL, 8), QDS_ERROR_ARGUMENT, "at NULL");
}

/* A back end sees exactly the calls that pass the checks, and its failures come through. */
typedef struct {
  qds_communicator base;
  int calls;
} recorder;

static int recorder_rank(const qds_communicator *self) {
  return (void)self, 1;
}
static int recorder_size(const qds_communicator *self) {
  return (void)self, 2;
}
static qds_status recorder_barrier(qds_communicator *self) {
  ((recorder *)self)->calls++;
  QDS_FAIL(QDS_ERROR_INTERNAL, "rank 0 is gone");
}
static qds_status recorder_broadcast(qds_communicator *self, int root, void *data, size_t bytes) {
  ((recorder *)self)->calls += root;
  memset(data, 7, bytes);
  return QDS_OK;
}
static void recorder_destroy(qds_communicator *self) {
  ((recorder *)self)->calls = -1;
}

static void back_ends(void **state) {
  (void)state;
  const qds_communicator_operations operations = {.name = "recorder",
                                                  .rank = recorder_rank,
                                                  .size = recorder_size,
                                                  .barrier = recorder_barrier,
                                                  .broadcast = recorder_broadcast,
                                                  .destroy = recorder_destroy};
  recorder r = {{&operations}, 0};
  unsigned char byte = 0;
  assert_int_equal(qds_communicator_rank(&r.base), 1);
  assert_fails(qds_barrier(&r.base), QDS_ERROR_INTERNAL, "rank 0 is gone");
  assert_fails(qds_broadcast(&r.base, 2, &byte, 1), QDS_ERROR_ARGUMENT, "rank 2 of 2");
  assert_int_equal(r.calls, 1);
  assert_ok(qds_broadcast(&r.base, 1, &byte, 1));
  assert_true(r.calls == 2 && byte == 7);
  qds_communicator_destroy(&r.base);
  assert_int_equal(r.calls, -1);
  qds_communicator_destroy(NULL);
}

static void serial(void **state) {
  (void)state, with_context(1, serial_body);
}
static void all_to_all(void **state) {
  (void)state, with_context(1, all_to_all_body);
}
static void refusals(void **state) {
  (void)state, with_context(1, refusals_body);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(serial),
      cmocka_unit_test(all_to_all),
      cmocka_unit_test(refusals),
      cmocka_unit_test(back_ends),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}

/* Whether a device has room for a solve is decided before it begins, from its limit, what it has free, and
 * what the context's pool keeps unused. On the simulated device, whose memory can be chosen. */
#include "tensor_support.h"

#include "la/hermitian.h"
#include "la/magnetic_operator.h"
#include "mem/pool_stream.h"

enum { STATES = 4, MANY_STATES = 60, MOST_STATES = 86 };

static tensor_problem cube(qds_context *ctx, int64_t elements) {
  const axis_plan side = {1, elements, {QDS_DIRICHLET, QDS_DIRICHLET}, 1, 1};
  const axis_plan plan[3] = {side, side, side};
  return problem_make(ctx, plan, (const int[3]){1, 1, 1});
}

typedef struct {
  int states, complex_;
  qds_preconditioner preconditioner;
} variant;

static size_t announced_of(const tensor_problem *p, const variant *v) {
  const int parts = v->complex_ ? 2 : 1;
  return qds_spectrum_device_bytes(p->t->n, parts, parts * v->states, v->preconditioner, QDS_FLOAT32);
}

static qds_spectrum_statistics solve(qds_context *ctx, const tensor_problem *p, const variant *v) {
  const qds_vector_potential potential = {.slope = {{0, 0, 0}, {0, 0, -6}, {0, 6, 0}}};
  double values[MOST_STATES], residuals[MOST_STATES];
  qds_spectrum_options options = {.states = v->states,
                                  .preconditioner = v->preconditioner,
                                  .relative_tolerance = 1e-2,
                                  .max_iterations = 300};
  qds_spectrum_statistics statistics;
  QDS_AUTO(qds_magnetic_operator) *m = NULL;
  qds_block x;
  if (v->complex_) {
    assert_ok(qds_magnetic_operator_create(ctx, p->t, &potential, &m));
    const qds_spectrum_target target = {qds_magnetic_operator_apply(m), qds_magnetic_operator_on_stream};
    options.target = &target;
    assert_ok(qds_hermitian_spectrum(ctx, qds_magnetic_operator_real(m), &options, &x, values, residuals,
                                     &statistics));
  } else {
    assert_ok(qds_spectrum(ctx, p->t, &options, &x, values, residuals, &statistics));
  }
  qds_block_clear(&x);
  return statistics;
}

/* --- contexts with little memory ------------------------------------------------------------------------ */

static void with_memory(size_t memory, size_t limit, void (*body)(qds_context *ctx)) {
  char text[32];
  int leaks = 0;
  qds_context *ctx = NULL;
  qds_context_options options = QDS_CONTEXT_OPTIONS_INIT;
  options.device = "sim";
  options.threads = 1;
  options.device_memory_limit = limit;
  options.log = support_log;
  options.user = &leaks;
  snprintf(text, sizeof text, "%zu", memory);
  assert_int_equal(setenv("QDSIM_SIM_MEMORY", text, 1), 0);
  assert_ok(qds_context_create(&options, &ctx));
  assert_int_equal(unsetenv("QDSIM_SIM_MEMORY"), 0);
  body(ctx);
  qds_context_destroy(ctx);
  assert_int_equal(leaks, 0);
}

static const size_t plenty = (size_t)1 << 30;
static const variant plain = {STATES, 0, QDS_PRECONDITION_MULTIGRID};
static const variant *current = &plain;

/* --- what is announced ---------------------------------------------------------------------------------- */

static void takes_what_is_announced(qds_context *ctx) {
  tensor_problem p = cube(ctx, current->states == MANY_STATES ? 24 : 36);
  qds_stream_pool_statistics s;
  const size_t announced = announced_of(&p, current);
  assert_string_equal(solve(ctx, &p, current).device, "sim:0");
  qds_stream_pool_statistics_read(qds_context_accelerator(ctx)->pool, &s);
  print_message("announced %.1f MB, taken %.1f MB\n", 1e-6 * (double)announced,
                1e-6 * (double)s.peak_used_bytes);
  assert_true(s.peak_used_bytes <= announced);
  assert_true((double)s.peak_used_bytes >= 0.6 * (double)announced);
  assert_int_equal(s.used_bytes, 0);
  problem_clear(&p);
}

static void test_announced_memory_is_enough(void **state) {
  static const variant variants[] = {{STATES, 0, QDS_PRECONDITION_MULTIGRID},
                                     {STATES, 1, QDS_PRECONDITION_MULTIGRID},
                                     {STATES, 0, QDS_PRECONDITION_FAST_DIAGONALISATION},
                                     {MANY_STATES, 0, QDS_PRECONDITION_MULTIGRID}};
  (void)state;
  for (size_t i = 0; i < sizeof variants / sizeof *variants; i++) {
    current = &variants[i];
    with_memory(plenty, 0, takes_what_is_announced);
  }
}

/* --- the decision --------------------------------------------------------------------------------------- */

static void expect_on_device(const qds_spectrum_statistics *s) {
  if (strcmp(s->device, "sim:0") != 0) fail_msg("on %s: %s", s->device, s->fallback);
}

static void too_little(qds_context *ctx) {
  tensor_problem p = cube(ctx, 36);
  const qds_spectrum_statistics s = solve(ctx, &p, &plain);
  assert_string_equal(s.device, "cpu");
  print_message("%s\n", s.fallback);
  assert_non_null(strstr(s.fallback, "it has 8 MiB free and"));
  assert_int_equal(qds_context_fallbacks(ctx), 1);
  problem_clear(&p);
}

static void whole(qds_context *ctx) {
  tensor_problem tiny = cube(ctx, 8), small = cube(ctx, 9);
  const variant most = {MOST_STATES, 0, QDS_PRECONDITION_MULTIGRID};
  qds_spectrum_statistics s = solve(ctx, &tiny, &plain);
  assert_string_equal(s.device, "cpu");
  assert_string_equal(s.fallback, "400 unknowns or fewer are diagonalised as a whole, on the CPU");
  s = solve(ctx, &small, &most);
  assert_string_equal(s.device, "cpu");
  assert_string_equal(s.fallback, "with more than one state for 6 unknowns, up to 4000 are diagonalised as a "
                                  "whole, on the CPU");
  assert_int_equal(qds_context_fallbacks(ctx), 2);
  problem_clear(&tiny);
  problem_clear(&small);
}

static void test_what_is_diagonalised_as_a_whole_stays_on_the_cpu(void **state) {
  (void)state;
  with_memory(plenty, 0, whole);
}

static void test_too_small_a_limit_is_seen_at_the_start(void **state) {
  (void)state;
  with_memory(plenty, (size_t)8 << 20, too_little);
}

static void test_too_small_a_device_is_seen_at_the_start(void **state) {
  (void)state;
  with_memory((size_t)8 << 20, 0, too_little);
}

static void solves_twice(qds_context *ctx) {
  tensor_problem p = cube(ctx, 36);
  for (int i = 0; i < 2; i++) {
    const qds_spectrum_statistics s = solve(ctx, &p, current);
    expect_on_device(&s);
  }
  assert_int_equal(qds_context_fallbacks(ctx), 0);
  problem_clear(&p);
}

/* With what lies between blocks, what the library takes, and whole pieces of the pool. */
static size_t just_enough(const variant *v) {
  const int64_t n[3] = {35, 35, 35};
  const int parts = v->complex_ ? 2 : 1;
  const size_t bytes = qds_spectrum_device_bytes(n, parts, parts * v->states, v->preconditioner, QDS_FLOAT32);
  return (size_t)(1.35 * (double)bytes) + 2 * ((size_t)2 << 20);
}

/* What a solve has left in the pool serves the next one. */
static void test_a_second_solve_has_the_room_of_the_first(void **state) {
  static const variant variants[] = {{STATES, 0, QDS_PRECONDITION_MULTIGRID},
                                     {STATES, 1, QDS_PRECONDITION_MULTIGRID}};
  (void)state;
  for (int i = 0; i < 2; i++) {
    current = &variants[i];
    with_memory(plenty, just_enough(current), solves_twice);
    with_memory(just_enough(current), 0, solves_twice);
  }
}

/* What others hold of the context's device is not there. */
static void held_by_others(qds_context *ctx) {
  double *held;
  qds_stream *stream = qds_context_stream(ctx);
  assert_ok(QDS_STREAM_NEW(stream, (size_t)1 << 20, "test", &held));
  tensor_problem p = cube(ctx, 36);
  assert_string_equal(solve(ctx, &p, &plain).device, "cpu");
  qds_stream_release(stream, held);
  const qds_spectrum_statistics s = solve(ctx, &p, &plain);
  expect_on_device(&s);
  problem_clear(&p);
}

static void test_blocks_in_use_count(void **state) {
  (void)state;
  with_memory(plenty, just_enough(&plain), held_by_others);
  with_memory(just_enough(&plain), 0, held_by_others);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_announced_memory_is_enough),
      cmocka_unit_test(test_what_is_diagonalised_as_a_whole_stays_on_the_cpu),
      cmocka_unit_test(test_too_small_a_limit_is_seen_at_the_start),
      cmocka_unit_test(test_too_small_a_device_is_seen_at_the_start),
      cmocka_unit_test(test_a_second_solve_has_the_room_of_the_first),
      cmocka_unit_test(test_blocks_in_use_count),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}

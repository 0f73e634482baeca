#include "support.h"

#include "base/allocator.h"
#include "la/speed.h"
#include "par/machine.h"
#include "qdsim/info.h"

static void check_text(qds_context *ctx) {
  static const char *const words[] = {"QDSim ", "processor", "2 threads used", "caches",
                                      "triad",  "cpu: used", "cuda",           "sim:0: simulated device",
                                      "serial", "dgemm",     "hwloc"};
  char *text;
  assert_ok(qds_info(ctx, 0, &text));
  for (size_t i = 0; i < sizeof words / sizeof *words; i++)
    if (!strstr(text, words[i])) fail_msg("\"%s\" is missing in\n%s", words[i], text);
  qds_release(text);
}

static void check_json(qds_context *ctx) {
  static const char *const keys[] = {
      "\"processor\"",    "\"threads\": 1",   "\"caches\"", "\"triad_bytes_per_s\"",
      "\"dgemm_gflops\"", "\"sgemm_gflops\"", "\"core\"",   "\"muparser\""};
  char *text;
  assert_ok(qds_info(ctx, 1, &text));
  for (size_t i = 0; i < sizeof keys / sizeof *keys; i++)
    if (!strstr(text, keys[i])) fail_msg("%s is missing in\n%s", keys[i], text);
  qds_release(text);
}

static void check_missing_blas(qds_context *ctx) {
  char *text;
  setenv("QDSIM_BLAS", "/nonexistent", 1);
  assert_ok(qds_info(ctx, 0, &text));
  assert_non_null(strstr(text, "none: QDSIM_BLAS=/nonexistent"));
  qds_release(text);
  unsetenv("QDSIM_BLAS");
}

/* Single precision is faster than double on every processor with vector registers; a wrong count of
 * operations or threads would show here. */
static void check_speed(qds_context *ctx) {
  qds_gemm_speed gemm;
  qds_memory_speed memory;
  assert_ok(qds_measure_gemm(ctx, 0.02, &gemm));
  assert_true(gemm.dgemm_flops > 1e8 && gemm.dgemm_flops < 1e15);
  assert_true(gemm.sgemm_flops > 1e8 && gemm.sgemm_flops < 1e15);
  assert_ok(qds_measure_memory(ctx, 0.02, 0, &memory));
  assert_int_equal(memory.array_bytes, 32 << 20);
  assert_true(memory.bytes_per_s > 1e7 && memory.bytes_per_s < 1e13);
}

static void test_budget(void **state) {
  (void)state;
  qds_context *ctx;
  qds_memory_speed memory;
  qds_context_options options = QDS_CONTEXT_OPTIONS_INIT;
  options.memory_limit = 64 << 20;
  assert_ok(qds_context_create(&options, &ctx));
  assert_fails(qds_measure_memory(ctx, 0.02, 0, &memory), QDS_ERROR_BUDGET, "memory bandwidth");
  qds_context_destroy(ctx);
}

static void test_machine(void **state) {
  (void)state;
  qds_machine machine;
  assert_ok(qds_machine_describe(&machine));
  assert_true(machine.cores >= 1 && machine.hardware_threads >= machine.cores && machine.packages >= 1);
  assert_true(machine.memory_bytes > 64 << 20);
}

static qds_status report(qds_context *ctx, void *json) {
  char *text;
  const qds_status status = qds_info(ctx, *(int *)json, &text);
  if (status != QDS_OK) assert_null(text);
  qds_release(text);
  return status;
}

static void check_out_of_memory(qds_context *ctx) {
  int json = 0; /* as JSON it takes the same path to the writer, which has its own test */
  const qds_blas *blas;
  assert_ok(
      qds_blas_get(ctx, &blas)); /* stays in the context, which would look like a leak of the first report */
  assert_true(fail_each_allocation(ctx, report, &json) > 5);
}

static void test_text(void **state) {
  (void)state, with_context_on("cpu", 2, check_text);
}
static void test_json(void **state) {
  (void)state, with_context_on("cpu", 1, check_json);
}
static void test_missing_blas(void **state) {
  (void)state, with_context_on("cpu", 1, check_missing_blas);
}
static void test_speed(void **state) {
  (void)state, with_context_on("cpu", 2, check_speed);
}
static void test_out_of_memory(void **state) {
  (void)state, with_context_on("cpu", 1, check_out_of_memory);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_text),          cmocka_unit_test(test_json),
      cmocka_unit_test(test_missing_blas),  cmocka_unit_test(test_speed),
      cmocka_unit_test(test_budget),        cmocka_unit_test(test_machine),
      cmocka_unit_test(test_out_of_memory),
  };
  return cmocka_run_group_tests_name("info", tests, NULL, NULL);
}

/* A device without room for a solve: the CPU takes over, which is told once for each solve and counted each
 * time. */
#include "support.h"
#include "wire.h"

#include "qdsim/dot.h"

enum { MOST_WARNINGS = 8 };

typedef struct {
  int leaks, warnings;
  char text[MOST_WARNINGS][256];
} heard;

static void listen(void *user, qds_log_level level, const char *text) {
  heard *h = user;
  if (level == QDS_LOG_ERROR && strncmp(text, "leak", 4) == 0) h->leaks++;
  if (level == QDS_LOG_WARNING && h->warnings < MOST_WARNINGS)
    snprintf(h->text[h->warnings++], sizeof h->text[0], "%s", text);
}

static const char wire[] = WIRE_DEVICE "states: 4\n";

static void solve(qds_context *ctx) {
  qds_device *device = NULL;
  qds_result *result = NULL;
  assert_ok(qds_device_parse(ctx, "wire.yaml", wire, NULL, &device));
  assert_ok(qds_device_solve(device, &result));
  assert_string_equal(qds_result_device(result), "cpu");
  assert_non_null(strstr(qds_result_device_reason(result), "sim:0: it has"));
  qds_result_destroy(result);
  qds_device_destroy(device);
}

static void each_solve_warns_once(void **state) {
  heard h = {0};
  qds_context *ctx = NULL;
  qds_context_options options = QDS_CONTEXT_OPTIONS_INIT;
  (void)state;
  options.device = "sim";
  options.threads = 1;
  options.device_memory_limit = 64 << 10;
  options.log = listen;
  options.user = &h;
  assert_ok(qds_context_create(&options, &ctx));
  for (int solves = 1; solves <= 2; solves++) {
    const int before = qds_context_fallbacks(ctx);
    solve(ctx);
    for (int w = 0; w < h.warnings; w++) print_message("%s\n", h.text[w]);
    assert_int_equal(h.warnings, solves);
    assert_non_null(strstr(h.text[solves - 1], "the CPU solves instead"));
    assert_true(qds_context_fallbacks(ctx) > before + 1);
  }
  qds_context_destroy(ctx);
  assert_int_equal(h.leaks, 0);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(each_solve_warns_once)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}

/* What every C test uses: cmocka, a context that fails the test on a leak, and the out-of-memory loop. */
#ifndef QDS_TESTS_SUPPORT_H
#define QDS_TESTS_SUPPORT_H

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "par/context.h"
#include "par/plugin.h"

/* Asserts that a call succeeds, and prints the library's message when it does not. */
#define assert_ok(call)                                                                                      \
  do {                                                                                                       \
    const qds_status assert_status = (call);                                                                 \
    if (assert_status != QDS_OK)                                                                             \
      fail_msg("%s: %s: %s", #call, qds_status_name(assert_status), qds_last_error()->message);              \
  } while (0)

/* Asserts that a call fails with this status and that the message contains the text. */
#define assert_fails(call, expected_status, text)                                                            \
  do {                                                                                                       \
    const qds_status assert_status = (call);                                                                 \
    if (assert_status != (expected_status))                                                                  \
      fail_msg("%s: expected %s, got %s: %s", #call, qds_status_name(expected_status),                       \
               qds_status_name(assert_status), assert_status ? qds_last_error()->message : "");              \
    if (!strstr(qds_last_error()->message, (text)))                                                          \
      fail_msg("%s: the message \"%s\" lacks \"%s\"", #call, qds_last_error()->message, (text));             \
  } while (0)

/* Asserts that two numbers differ by at most `tolerance`; NaN is never close. */
#define assert_close(actual, expected, tolerance)                                                            \
  do {                                                                                                       \
    const double assert_actual = (actual), assert_expected = (expected), assert_tolerance = (tolerance);     \
    if (!(fabs(assert_actual - assert_expected) <= assert_tolerance))                                        \
      fail_msg("%s = %.17g differs from %s = %.17g by %.3g, more than %.3g", #actual, assert_actual,         \
               #expected, assert_expected, assert_actual - assert_expected, assert_tolerance);               \
  } while (0)

static inline void support_log(void *user, qds_log_level level, const char *text) {
  if (level == QDS_LOG_ERROR && strncmp(text, "leak", 4) == 0) ++*(int *)user;
  if (level == QDS_LOG_ERROR) fprintf(stderr, "%s\n", text);
}

/* Runs `body` in a context of its own on `device` with `threads` threads and fails the test when it leaks. */
static inline void with_context_on(const char *device, int threads, void (*body)(qds_context *ctx)) {
  int leaks = 0;
  qds_context *ctx = NULL;
  qds_context_options options = QDS_CONTEXT_OPTIONS_INIT;
  options.device = device;
  options.threads = threads;
  options.seed = 1;
  options.log = support_log;
  options.user = &leaks;
  assert_ok(qds_context_create(&options, &ctx));
  body(ctx);
  qds_context_destroy(ctx);
  assert_int_equal(leaks, 0);
}

/* On the CPU, or on the device that the environment names: QDSIM_TEST_DEVICE=sim build/release/test_block
 * runs any test program on another device. */
static inline void with_context(int threads, void (*body)(qds_context *ctx)) {
  const char *device = getenv("QDSIM_TEST_DEVICE");
  with_context_on(device && *device ? device : "cpu", threads, body);
}

enum { TEST_DEVICES = 3 };

/* The devices to test on: cpu, sim, and cuda where there is one; QDSIM_TEST_DEVICE names the only one. NULL
 * ends the list; *skipped says why a device is not in it, or is "". */
static inline const char *const *test_devices(const char **skipped) {
  static const char *devices[TEST_DEVICES + 1];
  static char reason[1200];
  const char *only = getenv("QDSIM_TEST_DEVICE");
  qds_plugin plugin;
  size_t count = 0;
  *reason = 0;
  *skipped = reason;
  memset(devices, 0, sizeof devices);
  if (only && *only) {
    devices[0] = only;
    return devices;
  }
  devices[count++] = "cpu";
  devices[count++] = "sim";
  qds_plugin_load("cuda", &plugin);
  if (plugin.devices > 0)
    devices[count++] = "cuda";
  else
    snprintf(reason, sizeof reason, "cuda: %s", plugin.reason);
  qds_plugin_unload(&plugin);
  return devices;
}

/* Runs `body` once on each device, in a context of its own. */
static inline void with_context_on_each(int threads, void (*body)(qds_context *ctx)) {
  const char *skipped;
  for (const char *const *device = test_devices(&skipped); *device; device++) {
    print_message("  on %s\n", *device);
    with_context_on(*device, threads, body);
  }
  static int told;
  if (*skipped && !told++) print_message("  skipped: %s\n", skipped);
}

/* The out-of-memory loop: runs `body` with its first, second, third ... allocation failing until it makes no
 * more. `body` may do without a block and succeed; each failure must be QDS_ERROR_MEMORY and must leave
 * nothing allocated. Returns how many allocations were failed. */
static inline uint64_t fail_each_allocation(qds_context *ctx,
                                            qds_status (*body)(qds_context *ctx, void *data), void *data) {
  qds_memory_row before, after;
  for (uint64_t n = 1;; n++) {
    qds_context_memory(ctx, &before);
    qds_context_fail_allocation(ctx, n);
    const qds_status status = body(ctx, data);
    if (qds_context_fail_allocation(ctx, 0) > 0) {
      assert_ok(status);
      return n - 1;
    }
    if (status == QDS_OK) continue;
    assert_int_equal(status, QDS_ERROR_MEMORY);
    qds_context_memory(ctx, &after);
    assert_int_equal(before.current_bytes, after.current_bytes);
  }
}

/* The same for what a device does: runs `body` `times` times, the n-th time with the n-th such operation
 * failing. Whether it fails (a pool may try again) or not, it must leave nothing allocated. Returns how often
 * it failed. */
static inline int fail_each_on_device(qds_context *ctx, qds_injection what, int times,
                                      qds_status (*body)(qds_context *ctx, void *data), void *data) {
  qds_accelerator *accelerator = qds_context_accelerator(ctx);
  qds_memory_row before, after;
  int failures = 0;
  for (int n = 1; n <= times; n++) {
    qds_context_memory(ctx, &before);
    assert_ok(qds_accelerator_inject(accelerator, what, (uint64_t)n));
    const qds_status status = body(ctx, data);
    assert_ok(qds_accelerator_inject(accelerator, what, 0));
    if (status != QDS_OK) failures++;
    if (status != QDS_OK && !strstr(qds_last_error()->message, "injected"))
      fail_msg("failure %d: %s: %s", n, qds_status_name(status), qds_last_error()->message);
    qds_context_memory(ctx, &after);
    assert_int_equal(before.current_bytes, after.current_bytes);
  }
  return failures;
}

#endif

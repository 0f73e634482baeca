#include "support.h"

#include <libgen.h>
#include <limits.h>
#include <sys/stat.h>
#include <unistd.h>

#include "folder.h"

/* Beside the program, in build trees and in bundles. */
static const char *fakes(void) {
  static char folder[PATH_MAX + 16];
  char program[PATH_MAX];
  const ssize_t length = readlink("/proc/self/exe", program, sizeof program - 1);
  assert_true(length > 0);
  program[length] = 0;
  snprintf(folder, sizeof folder, "%s/fake_plugins", dirname(program));
  return folder;
}

static void assert_reason(const char *name, const char *text) {
  qds_plugin plugin;
  qds_plugin_load(name, &plugin);
  assert_string_equal(plugin.name, name);
  assert_int_equal(plugin.devices, 0);
  if (!strstr(plugin.reason, text)) fail_msg("%s: the reason \"%s\" lacks \"%s\"", name, plugin.reason, text);
  qds_plugin_unload(&plugin);
  assert_null(plugin.library);
}

static void test_refusals(void **state) {
  static const char *const cases[][2] = {
      {"absent", "no qdsim_absent.so in QDSIM_PLUGIN_DIR=/"},
      {"without_symbol", "it does not export qds_plugin_backend"},
      {"without_table", "it offers no table"},
      {"wrong_abi", "made for interface 2; this library has 1"},
      {"small_table", "bytes; this library needs"},
      {"missing_slot", "its table lacks host_function"},
      {"without_kernels", "it must either launch kernels of its own or run the library's"},
      {"two_kinds_of_kernels", "it must either launch kernels of its own or run the library's"},
      {"half_graphs", "its table has some of the operations of graphs and lacks others"},
      {"without_devices", "nobody is at home"},
  };
  (void)state;
  setenv("QDSIM_PLUGIN_DIR", fakes(), 1);
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) assert_reason(cases[i][0], cases[i][1]);
  unsetenv("QDSIM_PLUGIN_DIR");
}

static void test_good_one(void **state) {
  (void)state;
  qds_plugin plugin;
  setenv("QDSIM_PLUGIN_DIR", fakes(), 1);
  qds_plugin_load("good", &plugin);
  assert_string_equal(plugin.reason, "");
  assert_int_equal(plugin.devices, 3);
  assert_non_null(strstr(plugin.path, "/fake_plugins/qdsim_good.so"));
  assert_string_equal(plugin.backend->name, "fake");
  qds_plugin_unload(&plugin);
  assert_null(plugin.backend);
  unsetenv("QDSIM_PLUGIN_DIR");
}

/* What is no library is refused with the loader's words. */
static void test_not_a_library(void **state) {
  const char *path = in_folder(*state, "qdsim_text.so");
  FILE *file = fopen(path, "w");
  assert_non_null(file);
  fputs("This is no library.\n", file);
  fclose(file);
  setenv("QDSIM_PLUGIN_DIR", *state, 1);
  assert_reason("text", path);
  unsetenv("QDSIM_PLUGIN_DIR");
}

/* The library's own plugins are found beside it wherever the process stands, and whatever stands there. */
static void test_never_the_current_directory(void **state) {
  (void)state;
  char before[PATH_MAX];
  qds_plugin plugin;
  assert_non_null(getcwd(before, sizeof before));
  assert_int_equal(chdir(fakes()), 0);
  assert_reason("good", "no qdsim/qdsim_good.so beside the library");
  setenv("QDSIM_PLUGIN_DIR", ".", 1);
  assert_reason("good", "QDSIM_PLUGIN_DIR=. is no absolute path");
  setenv("QDSIM_PLUGIN_DIR", "", 1); /* as if it were not set */
  assert_reason("good", "no qdsim/qdsim_good.so beside the library");
  unsetenv("QDSIM_PLUGIN_DIR");
  qds_plugin_load("sim", &plugin);
  assert_string_equal(plugin.reason, "");
  assert_int_equal(plugin.devices, 1);
  assert_true(*plugin.path == '/');
  qds_plugin_unload(&plugin);
  assert_int_equal(chdir(before), 0);
}

static void test_names(void **state) {
  (void)state;
  assert_string_equal(qds_plugin_name(0), "cuda");
  assert_string_equal(qds_plugin_name(1), "sim");
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_refusals),
      cmocka_unit_test(test_good_one),
      cmocka_unit_test_setup_teardown(test_not_a_library, folder_setup, folder_teardown),
      cmocka_unit_test(test_never_the_current_directory),
      cmocka_unit_test(test_names),
  };
  return cmocka_run_group_tests_name("plugin", tests, NULL, NULL);
}

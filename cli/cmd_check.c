#include <stdio.h>

#include "cli.h"
#include "qdsim/dot.h"

static const cli_syntax syntax = {
    .usage = "check FILE [options]",
    .purpose = "Reads and checks a device file without solving it. Prints the effective configuration, every "
               "default\n"
               "filled in, as YAML that qdsim can read, then as comments the unknowns, the memory and the "
               "time that\n"
               "qdsim run will take.\n",
    .ending = "examples:\n"
              "  qdsim check dot.yaml\n"
              "  qdsim check dot.yaml --set grid.z.nodes=401 --memory-limit 2GiB\n"
              "\n"
              "exit status: 0 good, 2 usage, 3 bad input, 5 it will not fit into memory limit and scratch\n",
    .least_operands = 1,
    .most_operands = 1,
};

static void print_cost(const cli_session *session, const qds_device_cost *cost, size_t file_bytes) {
  char memory[QDS_BYTES_TEXT], overflow[QDS_BYTES_TEXT], time[32];
  qds_memory_files files;
  qds_format_bytes(cost->memory_bytes, memory);
  cli_format_seconds(cost->seconds, time, sizeof time);
  printf("# nodes: %lld", (long long)cost->nodes[0]);
  for (int axis = 1; axis < cost->dimension; axis++) printf(" x %lld", (long long)cost->nodes[axis]);
  printf("\n# unknowns: %lld\n# memory: about %s", (long long)cost->unknowns, memory);
  qds_context_files(session->ctx, &files);
  qds_format_bytes(file_bytes, overflow);
  if (file_bytes > 0) printf(", of which at least %s in files in %s", overflow, files.folder);
  printf("\n# time: about %s%s\n", time, file_bytes > 0 ? ", and what the files cost" : "");
}

static int check_file(cli_session *session, const char *file, const char *const *assignments) {
  qds_device *device = NULL;
  qds_device_cost cost;
  qds_status status = qds_device_read(session->ctx, file, assignments, &device);
  if (status == QDS_OK) status = qds_device_check(device);
  if (status == QDS_OK) status = qds_device_estimate(device, &cost);
  size_t file_bytes = 0;
  if (status == QDS_OK) status = qds_device_reserve(device, &file_bytes);
  if (status == QDS_OK) {
    const char *configuration = qds_device_configuration(device);
    fputs(configuration, stdout);
    print_cost(session, &cost, file_bytes);
  }
  qds_device_destroy(device);
  return status == QDS_OK ? 0 : cli_fail(session, status);
}

int cmd_check(int argc, char **argv) {
  const char *assignments[argc + 1];
  cli_resources resources = {0};
  int operand;
  const cli_option options[] = {CLI_FILE_OPTIONS(assignments, &resources), {0}};
  cli_session session;
  assignments[0] = NULL;
  int code = cli_parse(&syntax, options, argc, argv, &operand);
  if (code != CLI_CONTINUE) return code;
  code = cli_session_open(&session, &resources);
  if (code != CLI_CONTINUE) return code;
  code = check_file(&session, argv[operand], assignments);
  cli_session_close(&session);
  return code;
}

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
              "exit status: 0 good, 2 usage, 3 bad input, 5 it will not fit into the memory limit\n",
    .least_operands = 1,
    .most_operands = 1,
};

static void print_cost(const qds_device_cost *cost) {
  char memory[QDS_BYTES_TEXT], time[32];
  qds_format_bytes(cost->memory_bytes, memory);
  cli_format_seconds(cost->seconds, time, sizeof time);
  printf("# nodes: %lld", (long long)cost->nodes[0]);
  for (int axis = 1; axis < cost->dimension; axis++) printf(" x %lld", (long long)cost->nodes[axis]);
  printf("\n# unknowns: %lld\n# memory: about %s\n# time: about %s\n", (long long)cost->unknowns, memory,
         time);
}

static int check_file(cli_session *session, const char *file, const char *const *assignments,
                      size_t memory_limit) {
  qds_device *device = NULL;
  qds_device_cost cost;
  qds_status status = qds_device_read(session->ctx, file, assignments, &device);
  if (status == QDS_OK) status = qds_device_check(device);
  if (status == QDS_OK) status = qds_device_estimate(device, &cost);
  if (status == QDS_OK) {
    const char *configuration = qds_device_configuration(device);
    fputs(configuration, stdout);
    print_cost(&cost);
  }
  qds_device_destroy(device);
  if (status != QDS_OK) return cli_fail(session, status);
  if (memory_limit == 0 || cost.memory_bytes <= memory_limit) return 0;
  char needed[QDS_BYTES_TEXT], limit[QDS_BYTES_TEXT];
  qds_format_bytes(cost.memory_bytes, needed);
  qds_format_bytes(memory_limit, limit);
  fprintf(
      stderr,
      "qdsim: memory budget exceeded: %s needs about %s, the limit is %s; raise --memory-limit, or use fewer "
      "nodes or states\n",
      file, needed, limit);
  return qds_status_exit(QDS_ERROR_BUDGET);
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
  code = check_file(&session, argv[operand], assignments, resources.memory_limit);
  cli_session_close(&session);
  return code;
}

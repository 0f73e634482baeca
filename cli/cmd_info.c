#include <stdio.h>

#include "cli.h"
#include "qdsim/info.h"
#include "qdsim/text.h"

static const cli_syntax syntax = {
    .usage = "info [options]",
    .purpose = "Tells what this machine and this build can do: processor, caches, memory bandwidth, devices "
               "and why one\n"
               "is missing, the BLAS library with its kernels and measured speed, and library versions. "
               "Takes about a\n"
               "second.\n",
    .ending =
        "environment:\n"
        "  QDSIM_BLAS          the BLAS library to load, instead of searching for one\n"
        "  OPENBLAS_CORETYPE   OpenBLAS's kernels, instead of those chosen from the processor's features\n"
        "  QDSIM_PLUGIN_DIR    the folder of the plugins for devices, instead of the one beside the "
        "library\n",
    .least_operands = 0,
    .most_operands = 0,
};

int cmd_info(int argc, char **argv) {
  cli_resources resources = {0};
  int json = 0, operand;
  const cli_option options[] = {
      {"json", 0, CLI_FLAG, NULL, "print JSON", &json},
      {"threads", 0, CLI_COUNT, "N", "threads to measure with; default: all cores this process may use",
       &resources.threads},
      CLI_DEVICE_OPTION(&resources),
      {0},
  };
  cli_session session;
  int code = cli_parse(&syntax, options, argc, argv, &operand);
  if (code != CLI_CONTINUE) return code;
  code = cli_session_open(&session, &resources);
  if (code != CLI_CONTINUE) return code;
  char *text = NULL;
  const qds_status status = qds_info(session.ctx, json, &text);
  code = status == QDS_OK ? 0 : cli_fail(&session, status);
  if (text) fputs(text, stdout);
  qds_text_destroy(text);
  cli_session_close(&session);
  return code;
}

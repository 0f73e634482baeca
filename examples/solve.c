/* Solves a device file and prints its levels.
 *
 *   solve [DEVICE [FILE]]        cpu (default), cuda, sim or auto; examples/well_1d.yaml */
#include <stdio.h>
#include <stdlib.h>

#include "qdsim/qdsim.h"

static void check(qds_status status) {
  if (status == QDS_OK) return;
  fprintf(stderr, "%s: %s\n", qds_status_name(status), qds_last_error()->message);
  exit(qds_status_exit(status));
}

int main(int count, char **arguments) {
  const char *const changes[] = {"states=2", NULL};
  qds_context *ctx;
  qds_device *device;
  qds_result *result;
  qds_context_options options = QDS_CONTEXT_OPTIONS_INIT;
  options.device = count > 1 ? arguments[1] : "cpu";
  check(qds_context_create(&options, &ctx));
  check(qds_device_read(ctx, count > 2 ? arguments[2] : "examples/well_1d.yaml", changes, &device));
  check(qds_device_solve(device, &result));
  qds_device_destroy(device);

  for (int state = 0; state < qds_result_states(result); state++)
    printf("%.6f eV, residual below 1e-6 eV: %s\n", qds_result_energies_eV(result)[state],
           qds_result_residuals_eV(result)[state] < 1e-6 ? "yes" : "no");

  qds_result_destroy(result);
  qds_context_destroy(ctx);
  return 0;
}

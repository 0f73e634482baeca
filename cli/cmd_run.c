#include <math.h>
#include <stdio.h>
#include <time.h>

#include "cli.h"
#include "qdsim/dot.h"
#include "qdsim/memory.h"
#include "qdsim/text.h"

typedef struct {
  const char *file, *folder;
  const char **assignments;
  cli_resources resources;
  int json, no_plot, memory_report, memory_profile;
} run_options;

static const cli_syntax syntax = {
    .usage = "run FILE [options]",
    .purpose = "Solves the device that FILE describes for its lowest states, prints them, and writes "
               "FOLDER/NAME.json,\n"
               "FOLDER/NAME.vtkhdf (the fields, for ParaView) and FOLDER/NAME.png (the picture).\n",
    .ending = "examples:\n"
              "  qdsim run examples/lens_dot.yaml\n"
              "  qdsim run dot.yaml --set regions.0.radius_nm=12 --set states=8 -o results/r12\n"
              "  qdsim run dot.yaml --json --no-plot | jq '.states[].energy_eV'\n"
              "  qdsim run dot.yaml --device cuda:1\n"
              "\n"
              "environment:\n"
              "  QDSIM_PYTHON   the Python that draws the pictures; default: python3\n"
              "\n"
              "exit status: 0 done, 2 usage, 3 bad input or file error, 4 not converged,\n"
              "5 out of memory or budget, 130 interrupted (Ctrl-C; a second one kills).\n"
              "What fails before the results are written leaves no output files behind; what fails later\n"
              "(a picture, the memory profile, standard output) leaves those that are complete. A memory\n"
              "trace is also written of a run that fails or is interrupted, unless it is refused before\n"
              "the solve begins.\n",
    .least_operands = 1,
    .most_operands = 1,
};

/* --- the table --- */

/* Rounding noise about a symmetric middle would print as -0.00. */
static double without_minus_zero(double value) {
  return fabs(value) < 0.005 ? 0 : value;
}

static void print_state(const qds_result *result, int state) {
  const double *energies = qds_result_energies_eV(result), *position = qds_result_position_nm(result, state);
  const int dimension = qds_result_dimension(result);
  char place[80];
  int main_material = 0, used = 0;
  for (int m = 1; qds_result_material_name(result, m); m++)
    if (qds_result_probability(result, state, m) > qds_result_probability(result, state, main_material))
      main_material = m;
  for (int axis = 0; axis < dimension; axis++)
    used += snprintf(place + used, sizeof place - (size_t)used, "%s%.2f", axis ? ", " : "",
                     without_minus_zero(position[axis]));
  printf("%5d  %13.6f  %14.3f  %12.3f  %11.1e  %5.1f %% %-14s (%s)\n", state, energies[state],
         1e3 * (energies[state] - qds_result_reference_eV(result)), 1e3 * (energies[state] - energies[0]),
         qds_result_residuals_eV(result)[state], 100 * qds_result_probability(result, state, main_material),
         qds_result_material_name(result, main_material), place);
}

static void print_table(const qds_device *device, const qds_result *result) {
  const int64_t *nodes = qds_result_nodes(result);
  printf("%s: %lld", qds_device_name(device), (long long)nodes[0]);
  for (int axis = 1; axis < qds_result_dimension(result); axis++) printf(" x %lld", (long long)nodes[axis]);
  printf(" nodes, background's band edge %.6g eV\n", qds_result_reference_eV(result));
  printf("%5s  %13s  %14s  %12s  %11s  %-22s %s\n", "state", "energy eV", "from edge meV", "from 0 meV",
         "residual eV", "most of it in", "position nm");
  for (int state = 0; state < qds_result_states(result); state++) print_state(result, state);
}

/* The states of a self-consistent device by their filling. */
static void print_electrons(const qds_result *result) {
  static const char *const units[] = {"", " per cm^2", " per cm", ""};
  const double *energies = qds_result_energies_eV(result), *electrons = qds_result_occupations(result);
  const double level = qds_result_fermi_level_eV(result);
  if (!electrons) return;
  printf("Fermi level %.6f eV\n%5s  %14s  electrons%s\n", level, "state", "from it meV",
         units[qds_result_dimension(result)]);
  for (int state = 0; state < qds_result_states(result); state++)
    printf("%5d  %14.3f  %.6g\n", state, 1e3 * (energies[state] - level), electrons[state]);
}

/* The states of an open device by how fast they decay. */
static void print_widths(const qds_result *result) {
  const double *widths = qds_result_widths_eV(result), *lifetimes = qds_result_lifetimes_s(result);
  if (!widths) return;
  printf("%5s  %13s  %14s  %s\n", "state", "width meV", "lifetime ps", "moved by the method, eV");
  for (int state = 0; state < qds_result_states(result); state++) {
    printf("%5d  %13.6g  ", state, 1e3 * widths[state]);
    if (isfinite(lifetimes[state]))
      printf("%14.6g", 1e12 * lifetimes[state]);
    else
      printf("%14s", "infinite");
    printf("  %.1e\n", qds_result_sensitivities_eV(result)[state]);
  }
}

static void print_place(const char *what, const char *device, const char *reason) {
  printf("%s %s%s%s\n", what, device, *reason ? ": " : "", reason);
}

/* Where it was solved, and why on the CPU when that was not asked for. */
static void print_device(const qds_result *result) {
  const char *potential = qds_result_electrostatics_device(result);
  if (potential) print_place("electrostatics on", potential, qds_result_electrostatics_device_reason(result));
  print_place("device", qds_result_device(result), qds_result_device_reason(result));
}

static void print_work(const cli_session *session, const qds_result *result, double output_s) {
  qds_memory_files files;
  qds_result_statistics statistics;
  char total[32], memory[QDS_BYTES_TEXT];
  qds_result_get_statistics(result, &statistics);
  cli_format_seconds(statistics.total_s + output_s, total, sizeof total);
  qds_format_bytes(qds_process_peak_bytes(), memory);
  if (statistics.iterations > 0)
    printf("%d iterations with %s; ", statistics.iterations, statistics.preconditioner);
  printf("no level missed: %s", statistics.verification);
  if (statistics.levels_found_by_verification)
    printf(", which found %d more", statistics.levels_found_by_verification);
  printf("\ntime %s (set-up %.2f, solve %.2f, check %.2f, measure %.2f, output %.2f s), memory %s", total,
         statistics.setup_s, statistics.solve_s, statistics.verify_s, statistics.measure_s, output_s, memory);
  qds_context_files(session->ctx, &files);
  qds_format_bytes(files.peak_bytes, memory);
  if (files.peak_bytes > 0) printf(", and %s in files in %s", memory, files.folder);
  printf("\n");
}

/* --- the command --- */

static double seconds_now(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

static qds_status print_json(const run_options *options, const qds_result *result, double output_s) {
  char *text = NULL;
  const qds_status status = options->memory_report ? qds_result_json_with_memory(result, output_s, &text)
                                                   : qds_result_json(result, output_s, &text);
  if (status == QDS_OK) fputs(text, stdout);
  qds_text_destroy(text);
  return status;
}

/* Where the timeline of the memory goes. */
static cli_output profile_output(const qds_device *device) {
  return qds_device_wants_fields(device) ? CLI_FIELDS : CLI_PROFILE;
}

/* The pictures are drawn last, from the files. */
static void draw(cli_session *session, const run_options *options, const qds_device *device,
                 const cli_outputs *files) {
  if (options->no_plot) return;
  if (qds_device_wants_plot(device)) cli_plot(session, files->paths[CLI_RESULT]);
  if (options->memory_profile && !cli_session_interrupted())
    cli_plot(session, files->paths[profile_output(device)]);
}

static void print_files(const run_options *options, const qds_device *device, const cli_outputs *files) {
  cli_outputs_print(files);
  if (options->memory_profile)
    printf("memory profile: group /memory_profile of %s\n", files->paths[profile_output(device)]);
}

/* Writes and prints. */
static qds_status deliver(cli_session *session, const run_options *options, const qds_device *device,
                          const qds_result *result, qds_memory_profile *profile, const cli_outputs *files) {
  const int print = !options->json && !options->resources.quiet;
  qds_status status;
  const double start = seconds_now();
  if ((status = qds_result_write_with_profile(result, options->folder, profile)) != QDS_OK) return status;
  const double output_s = seconds_now() - start;
  cli_progress_clear(&session->progress);
  if (options->json) {
    if ((status = print_json(options, result, output_s)) != QDS_OK) return status;
  } else if (print) {
    print_table(device, result);
    print_electrons(result);
    print_widths(result);
    print_work(session, result, output_s);
    print_device(result);
    fflush(stdout);
  }
  draw(session, options, device, files);
  if (print) print_files(options, device, files);
  return QDS_OK;
}

static qds_status print_memory(const cli_session *session) {
  char *text = NULL;
  const qds_status status = qds_memory_report(session->ctx, 0, &text);
  if (status == QDS_OK) printf("\n%s", text);
  qds_text_destroy(text);
  return status;
}

static qds_status solve_and_deliver(cli_session *session, const run_options *options, qds_device *device,
                                    const cli_outputs *files) {
  qds_result *result = NULL;
  qds_memory_profile *profile = NULL;
  qds_status status = QDS_OK;
  if (options->memory_profile) status = qds_memory_profile_start(session->ctx, 0, &profile);
  if (status == QDS_OK) status = qds_device_solve(device, &result);
  if (status == QDS_OK) status = deliver(session, options, device, result, profile, files);
  if (status == QDS_OK && options->memory_report && !options->json) status = print_memory(session);
  qds_memory_profile_destroy(profile);
  qds_result_destroy(result);
  return status;
}

/* Also of a run that failed: where the memory went is what one may want to know then. Called after the device
 * is gone, so that its blocks are given back in the trace. */
static int end_trace(cli_session *session, const run_options *options, int code) {
  const char *trace = options->resources.memory_trace;
  const qds_status status = qds_context_end_trace(session->ctx);
  if (status != QDS_OK) {
    const int failed = cli_fail(session, status);
    return code ? code : failed;
  }
  if (!trace || options->resources.quiet) return code;
  if (code != 0)
    fprintf(stderr, "qdsim: wrote the memory trace %s all the same\n", trace);
  else if (!options->json)
    printf("wrote %s\n", trace);
  return code;
}

static int check_outputs(const run_options *options, const qds_device *device, const cli_outputs *files) {
  const int fields = qds_device_wants_fields(device), profile = options->memory_profile;
  const int written[CLI_OUTPUTS] = {
      [CLI_RESULT] = 1, [CLI_FIELDS] = fields, [CLI_PROFILE] = profile && !fields};
  int code = CLI_CONTINUE;
  for (int i = 0; i < CLI_OUTPUTS && code == CLI_CONTINUE; i++)
    if (written[i]) code = cli_outputs_check(files, (cli_output)i);
  return code;
}

/* Reads the device and finds out what would be refused later. Returns CLI_CONTINUE or an exit status. */
static int prepare(cli_session *session, const run_options *options, qds_device **device,
                   cli_outputs *files) {
  const char *trace = options->resources.memory_trace;
  size_t file_bytes;
  qds_status status = qds_device_read(session->ctx, options->file, options->assignments, device);
  if (status == QDS_OK) status = qds_device_reserve(*device, &file_bytes);
  if (status == QDS_OK) status = cli_outputs_find(files, *device, options->folder);
  if (status != QDS_OK) return cli_fail(session, status);
  const int code = check_outputs(options, *device, files);
  return trace && code == CLI_CONTINUE ? cli_trace_check_outputs(trace, files) : code;
}

static int run_file(cli_session *session, const run_options *options) {
  qds_device *device = NULL;
  cli_outputs files = {0};
  int code = prepare(session, options, &device, &files);
  const int began = code == CLI_CONTINUE;
  if (began) {
    const qds_status status = solve_and_deliver(session, options, device, &files);
    code = status == QDS_OK ? 0 : cli_fail(session, status);
  }
  cli_outputs_clear(&files);
  qds_device_destroy(device);
  if (code == 0 && cli_session_interrupted()) code = qds_status_exit(QDS_ERROR_INTERRUPTED);
  if (began) return end_trace(session, options, code);
  qds_context_drop_trace(session->ctx);
  return code;
}

static int run(const run_options *options) {
  cli_session session;
  int code = cli_session_open(&session, &options->resources);
  if (code != CLI_CONTINUE) return code;
  code = run_file(&session, options);
  cli_session_close(&session);
  return code;
}

/* A trace, which is begun before the results, may lie in the folder. */
static int run_in_folder(const run_options *options) {
  const char *trace = options->resources.memory_trace;
  cli_folder folder;
  int code = cli_folder_check(options->folder, &folder);
  if (code != CLI_CONTINUE) return code;
  if (trace) code = cli_folder_make(&folder);
  if (trace && code == CLI_CONTINUE) code = cli_trace_check(trace, options->file);
  if (code == CLI_CONTINUE) code = run(options);
  if (code != 0) cli_folder_undo(&folder);
  return code;
}

int cmd_run(int argc, char **argv) {
  const char *assignments[argc + 1];
  run_options o = {.folder = "out", .assignments = assignments};
  const cli_option options[] = {
      {"output", 'o', CLI_TEXT, "FOLDER", "where the files go; made if needed; default: out", &o.folder},
      CLI_FILE_OPTIONS(assignments, &o.resources),
      {"json", 0, CLI_FLAG, NULL, "print the result as JSON instead of the table, and nothing else", &o.json},
      {"quiet", 0, CLI_FLAG, NULL, "print errors only", &o.resources.quiet},
      {"no-plot", 0, CLI_FLAG, NULL, "draw no picture", &o.no_plot},
      {"memory-report", 0, CLI_FLAG, NULL,
       "print what held memory, by place, tag and pool; with --json under its key memory_report",
       &o.memory_report},
      {"memory-profile", 0, CLI_FLAG, NULL,
       "look at the memory every 0.1 s: a group in FOLDER/NAME.vtkhdf, and FOLDER/NAME.memory.png",
       &o.memory_profile},
      {"memory-trace", 0, CLI_TEXT, "FILE", "write every block that is taken and given back to FILE",
       &o.resources.memory_trace},
      {0},
  };
  int operand;
  assignments[0] = NULL;
  const int code = cli_parse(&syntax, options, argc, argv, &operand);
  if (code != CLI_CONTINUE) return code;
  o.file = argv[operand];
  return run_in_folder(&o);
}

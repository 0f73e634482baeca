/* What the commands share: options, a context with progress and Ctrl-C, messages. */
#ifndef QDSIM_CLI_H
#define QDSIM_CLI_H

#include <limits.h>
#include <stddef.h>
#include <sys/types.h>
#include <time.h>

#include "qdsim/context.h"
#include "qdsim/dot.h"

/* The commands; argv[0] is the command's name. They return the exit status. */
int cmd_run(int argc, char **argv);
int cmd_check(int argc, char **argv);
int cmd_materials(int argc, char **argv);
int cmd_info(int argc, char **argv);

/* --- options.c --- */

typedef enum {
  CLI_FLAG,   /* int *: becomes 1 */
  CLI_TEXT,   /* const char ** */
  CLI_LIST,   /* const char *[argc + 1], filled from the start and NULL-terminated: the option may
               * be repeated */
  CLI_COUNT,  /* int *: at least 0 */
  CLI_NUMBER, /* double *: finite */
  CLI_BYTES   /* size_t *: "2GiB" */
} cli_kind;

typedef struct {
  const char *name; /* without dashes; NULL ends the table */
  char letter;      /* its short form, 0: none */
  cli_kind kind;
  const char *argument; /* its argument's name in the help text; NULL for flags */
  const char *help;
  void *value;
} cli_option;

typedef struct {
  const char *usage;   /* "run FILE [options]" */
  const char *purpose; /* what the command does, whole lines */
  const char *ending;  /* examples and remarks, whole lines */
  int least_operands, most_operands;
} cli_syntax;

enum { CLI_CONTINUE = -1 };

/* Reads options and operands; --help is known everywhere. argv is permuted so that the operands stand at its
 * end, the first at argv[*operand]. Returns CLI_CONTINUE, or the exit status when help was printed or a
 * message was. */
int cli_parse(const cli_syntax *syntax, const cli_option *options, int argc, char **argv, int *operand);
/* Prints what is wrong with the arguments, and where to look; returns the exit status for it. */
int cli_complain(const char *command, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* What the commands that compute have in common. `device` is what the context is to use; NULL: auto. */
typedef struct {
  const char *device;
  int threads;
  size_t memory_limit;
  const char *scratch;      /* NULL: the default */
  const char *memory_trace; /* NULL: none */
  int quiet;
} cli_resources;

#define CLI_DEVICE_OPTION(resources)                                                                         \
  {                                                                                                          \
    "device", 0, CLI_TEXT, "DEVICE", "auto (default: a GPU, else the CPU), cpu, cuda, cuda:N, sim or sim:N", \
        &(resources)->device                                                                                 \
  }

/* The options of the commands that read a device file. */
#define CLI_FILE_OPTIONS(assignments, resources)                                                             \
  {                                                                                                          \
      "set",                                                                                                 \
      0,                                                                                                     \
      CLI_LIST,                                                                                              \
      "KEY=VALUE",                                                                                           \
      "change a value of FILE: --set grid.x.nodes=201; may be repeated",                                     \
      (assignments)},                                                                                        \
      CLI_DEVICE_OPTION(resources),                                                                          \
      {"threads",                                                                                            \
       0,                                                                                                    \
       CLI_COUNT,                                                                                            \
       "N",                                                                                                  \
       "threads to use; default: all cores this process may use",                                            \
       &(resources)->threads},                                                                               \
      {"memory-limit",                                                                                       \
       0,                                                                                                    \
       CLI_BYTES,                                                                                            \
       "SIZE",                                                                                               \
       "hold at most, say, 2GiB in memory and the rest in files",                                            \
       &(resources)->memory_limit},                                                                          \
  {                                                                                                          \
    "scratch", 0, CLI_TEXT, "FOLDER", "folder for these files, on a disk; default: TMPDIR, or /var/tmp",     \
        &(resources)->scratch                                                                                \
  }

/* --- progress.c --- */

/* A bar on a terminal for work that takes longer than two seconds. */
typedef struct {
  int enabled, drawn;
  double start, phase_start; /* seconds of the monotonic clock */
  char phase[32];
} cli_progress;

/* Enabled where standard error is a terminal, unless `quiet`. */
void cli_progress_init(cli_progress *progress, int quiet);
/* Draws; the shape of a line is in progress.c. */
void cli_progress_show(cli_progress *progress, const char *phase, double fraction, const char *detail);
/* Takes the bar away, so that other text can be printed. */
void cli_progress_clear(cli_progress *progress);

/* --- session.c --- */

/* One run of a command: the context, and where its messages go. */
typedef struct {
  qds_context *ctx;
  int quiet;
  cli_progress progress;
} cli_session;

/* Creates the context (threads and memory_limit 0: the defaults) and lets Ctrl-C interrupt it: the first one
 * stops the work at the next safe point, a second one kills the process. Returns CLI_CONTINUE or, after a
 * message, an exit status. The session must stay where it is until it is closed. */
int cli_session_open(cli_session *session, const cli_resources *resources);
void cli_session_close(cli_session *session);
/* Whether Ctrl-C was pressed in this session. */
int cli_session_interrupted(void);

/* Prints "qdsim: " and the message of the library's last error; returns the exit status for it. */
int cli_fail(cli_session *session, qds_status status);

/* --- folder.c --- */

/* An output folder, and the nearest folder above it, or itself, that was there before. */
typedef struct {
  const char *path;
  char existing[PATH_MAX];
} cli_folder;

/* Finds out before a long solve whether files can be written into a folder (which need not exist) without
 * leaving anything there. Returns CLI_CONTINUE or, after a message, an exit status. */
int cli_folder_check(const char *path, cli_folder *folder);
/* Makes what is missing of it. Returns CLI_CONTINUE or, after a message, an exit status. */
int cli_folder_make(const cli_folder *folder);
/* Takes away what was made of the folder since, as far as it is empty. */
void cli_folder_undo(const cli_folder *folder);

/* --- outputs.c --- */

/* The files that a run may write into its folder, in the order in which it does. */
typedef enum {
  CLI_RESULT,
  CLI_FIELDS,
  CLI_PROFILE, /* of a device without fields; of others the timeline lies in CLI_FIELDS */
  CLI_PICTURE,
  CLI_PROFILE_PICTURE,
  CLI_OUTPUTS
} cli_output;

/* Which file stands under a name: a file that was written anew differs from the one before. */
typedef struct {
  int there;
  ino_t inode;
  struct timespec changed;
} cli_file_state;

typedef struct {
  char *paths[CLI_OUTPUTS];
  cli_file_state before[CLI_OUTPUTS];
} cli_outputs;

/* The files of a device, and what stands under their names; `files` is zero before. */
qds_status cli_outputs_find(cli_outputs *files, const qds_device *device, const char *folder);
/* Finds out before a long solve whether something stands under a file's name that is no file. Returns
 * CLI_CONTINUE or, after a message, an exit status. */
int cli_outputs_check(const cli_outputs *files, cli_output which);
/* Also after a cli_outputs_find that failed. */
void cli_outputs_clear(cli_outputs *files);
/* Tells which files were written since they were looked for. */
void cli_outputs_print(const cli_outputs *files);

/* --- trace.c --- */

/* Refuse a file for the trace that is a folder, that the run reads, or that it writes: the trace would take
 * its place. Return CLI_CONTINUE or, after a message, an exit status. */
int cli_trace_check(const char *trace, const char *device_file);
int cli_trace_check_outputs(const char *trace, const cli_outputs *files);

/* --- plot.c --- */

/* Draws the picture of a result file, or of a memory profile, with the Python package. Says in one line why
 * not if that fails, and what to install if that is the reason. */
void cli_plot(cli_session *session, const char *result_path);

/* --- text.c --- */

/* A time for people: "52 ms", "1.1 s", "3 min". */
void cli_format_seconds(double seconds, char *out, size_t room);

#endif

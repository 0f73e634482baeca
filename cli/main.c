/* qdsim: quantum-dot devices from the command line. */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "cli.h"
#include "qdsim/text.h"

enum { USAGE = 2 };

typedef struct {
  const char *name, *summary;
  int (*run)(int argc, char **argv);
} command;

static const command commands[] = {
    {"run", "solve a device file for its lowest states", cmd_run},
    {"check", "check a device file; print configuration, unknowns, memory and time", cmd_check},
    {"materials", "print the material database", cmd_materials},
    {"info", "print what this machine and this build can do", cmd_info},
};
enum { COMMANDS = sizeof commands / sizeof *commands };

static void print_overview(FILE *stream) {
  fprintf(stream, "usage: qdsim COMMAND [options]\n\n"
                  "Quantum-dot devices: bound states of electrons and holes from a YAML description.\n\n");
  for (int i = 0; i < COMMANDS; i++) fprintf(stream, "  %-18s %s\n", commands[i].name, commands[i].summary);
  fprintf(stream, "  %-18s %s\n  %-18s %s\n\n", "help [COMMAND]", "print this text, or a command's",
          "--version", "print the version");
  fprintf(stream, "A first try: qdsim run examples/lens_dot.yaml\n");
}

static const command *find_command(const char *name) {
  for (int i = 0; i < COMMANDS; i++)
    if (strcmp(commands[i].name, name) == 0) return &commands[i];
  return NULL;
}

static int refuse_command(const char *name) {
  const char *names[COMMANDS + 4] = {"help", "--help", "--version"};
  for (int i = 0; i < COMMANDS; i++) names[i + 3] = commands[i].name;
  const char *nearest = qds_nearest(name, names);
  if (nearest)
    fprintf(stderr, "qdsim: no command \"%s\"; did you mean %s? qdsim help lists all\n", name, nearest);
  else
    fprintf(stderr, "qdsim: no command \"%s\"; qdsim help lists all\n", name);
  return USAGE;
}

static int help(int argc, char **argv) {
  if (argc < 2) {
    print_overview(stdout);
    return 0;
  }
  const command *wanted = find_command(argv[1]);
  if (!wanted) return refuse_command(argv[1]);
  char ask[] = "--help", *arguments[] = {argv[1], ask, NULL};
  return wanted->run(2, arguments);
}

static int dispatch(int argc, char **argv) {
  if (argc < 2) {
    print_overview(stderr);
    return USAGE;
  }
  if (strcmp(argv[1], "--version") == 0) {
    printf("qdsim %s\n", qds_version());
    return 0;
  }
  if (strcmp(argv[1], "help") == 0 || strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0)
    return help(argc - 1, argv + 1);
  const command *wanted = find_command(argv[1]);
  return wanted ? wanted->run(argc - 1, argv + 1) : refuse_command(argv[1]);
}

int main(int argc, char **argv) {
  /* A file size limit then is an error of the write, with a message, and not a signal that kills. */
  signal(SIGXFSZ, SIG_IGN);
  const int code = dispatch(argc, argv);
  if ((fflush(stdout) != 0 || ferror(stdout)) && code == 0) {
    fprintf(stderr, "qdsim: standard output cannot be written: %s\n", strerror(errno));
    return qds_status_exit(QDS_ERROR_FILE);
  }
  return code;
}

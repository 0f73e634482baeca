#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cli.h"

enum { REASON_SIZE = 512, NO_INTERPRETER = 127 /* as shells say it */ };

/* The child: its messages go into the pipe, nothing to standard output, which may carry JSON. */
static void become_plotter(const char *python, const char *result_path, int messages) {
  const int null = open("/dev/null", O_RDWR);
  if (null >= 0) {
    dup2(null, STDIN_FILENO);
    dup2(null, STDOUT_FILENO);
  }
  dup2(messages, STDERR_FILENO);
  /* Or "-m" would find a module of the user's working folder before Python's own of that name. */
  setenv("PYTHONSAFEPATH", "1", 1);
  execlp(python, python, "-m", "qdsim.plot", "--", result_path, (char *)NULL);
  dprintf(STDERR_FILENO, "%s: %s\n", python, strerror(errno));
  _exit(NO_INTERPRETER);
}

/* Reads to the end and keeps the last line that is not empty: a Python traceback ends with its reason. Ctrl-C
 * in a terminal reaches the child anyway, a signal sent to this process alone is passed on. */
static void read_last_line(int messages, pid_t child, char reason[REASON_SIZE]) {
  char buffer[REASON_SIZE];
  size_t length = 0;
  int fresh = 1;
  ssize_t count;
  reason[0] = 0;
  while ((count = read(messages, buffer, sizeof buffer)) > 0 || (count < 0 && errno == EINTR)) {
    if (count < 0 && cli_session_interrupted()) kill(child, SIGTERM);
    for (ssize_t i = 0; i < count; i++) {
      if (buffer[i] == '\n') {
        fresh = 1;
        continue;
      }
      if (fresh) length = 0;
      fresh = 0;
      if (length < REASON_SIZE - 1) reason[length++] = buffer[i];
      reason[length] = 0;
    }
  }
}

static int wait_for(pid_t child) {
  int status = 0;
  while (waitpid(child, &status, 0) < 0)
    if (errno != EINTR) return -1;
  return status;
}

/* Whether the picture needs what is not there: an interpreter, or a package, of which Python speaks in these
 * words and qdsim.plot too. */
static int is_missing(int status, const char *reason) {
  return (WIFEXITED(status) && WEXITSTATUS(status) == NO_INTERPRETER) || strstr(reason, "No module named");
}

static void say_failure(const char *python, int status, const char *reason) {
  fprintf(stderr, "qdsim: no picture: %s -m qdsim.plot: ", python);
  if (WIFSIGNALED(status))
    fprintf(stderr, "it was ended by signal %d (%s)\n", WTERMSIG(status), strsignal(WTERMSIG(status)));
  else if (is_missing(status, reason))
    fprintf(stderr,
            "%s; install the Python package qdsim-native with matplotlib and name its interpreter in "
            "QDSIM_PYTHON, or use --no-plot\n",
            reason);
  else if (*reason)
    fprintf(stderr, "%s\n", reason);
  else
    fprintf(stderr, "it failed with status %d and without a message\n", WEXITSTATUS(status));
}

void cli_plot(cli_session *session, const char *result_path) {
  const char *chosen = getenv("QDSIM_PYTHON");
  const char *python = chosen && *chosen ? chosen : "python3";
  char reason[REASON_SIZE];
  int messages[2];
  cli_progress_show(&session->progress, "picture", -1, "");
  if (pipe2(messages, O_CLOEXEC) != 0) {
    fprintf(stderr, "qdsim: no picture: %s\n", strerror(errno));
    return;
  }
  const pid_t child = fork();
  if (child == 0) become_plotter(python, result_path, messages[1]);
  const int refused = errno;
  close(messages[1]);
  if (child > 0) read_last_line(messages[0], child, reason);
  close(messages[0]);
  const int status = child > 0 ? wait_for(child) : 0;
  cli_progress_clear(&session->progress);
  if (child < 0)
    fprintf(stderr, "qdsim: no picture: %s\n", strerror(refused));
  else if (status != 0 && cli_session_interrupted())
    fprintf(stderr, "qdsim: interrupted before the picture was drawn; the other files are complete\n");
  else if (status != 0)
    say_failure(python, status, reason);
}

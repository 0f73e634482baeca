#include <signal.h>
#include <stdio.h>

#include "cli.h"

/* A signal handler gets nothing but the signal's number, so the context it is to interrupt has to be
 * reachable from a static object. It lives here, in the command, which has one context at a time; the library
 * has none. */
static qds_context *volatile interruptible = NULL;
static volatile sig_atomic_t interrupted = 0;

/* The second signal finds the default action and kills. */
static void interrupt(int number) {
  (void)number;
  signal(SIGINT, SIG_DFL);
  signal(SIGTERM, SIG_DFL);
  interrupted = 1;
  qds_context *ctx = interruptible;
  if (ctx) qds_context_interrupt(ctx);
}

static void watch_signals(void) {
  struct sigaction action = {.sa_handler = interrupt};
  sigemptyset(&action.sa_mask);
  sigaction(SIGINT, &action, NULL);
  sigaction(SIGTERM, &action, NULL);
}

static void show_message(void *user, qds_log_level level, const char *text) {
  cli_session *session = user;
  const int wanted = session->quiet ? level == QDS_LOG_ERROR : level <= QDS_LOG_WARNING;
  if (!wanted) return;
  cli_progress_clear(&session->progress);
  fprintf(stderr, "qdsim: %s%s\n", level == QDS_LOG_WARNING ? "warning: " : "", text);
}

static int show_progress(void *user, const char *phase, double fraction, const char *detail) {
  cli_session *session = user;
  cli_progress_show(&session->progress, phase, fraction, detail);
  return 0;
}

int cli_session_open(cli_session *session, const cli_resources *resources) {
  *session = (cli_session){.quiet = resources->quiet};
  cli_progress_init(&session->progress, resources->quiet);
  qds_context_options options = QDS_CONTEXT_OPTIONS_INIT;
  options.device = resources->device ? resources->device : "auto";
  options.threads = resources->threads;
  options.memory_limit = resources->memory_limit;
  options.scratch = resources->scratch;
  options.memory_trace = resources->memory_trace;
  options.log = show_message;
  options.progress = show_progress;
  options.user = session;
  const qds_status status = qds_context_create(&options, &session->ctx);
  if (status != QDS_OK) return cli_fail(session, status);
  interruptible = session->ctx;
  watch_signals();
  return CLI_CONTINUE;
}

void cli_session_close(cli_session *session) {
  cli_progress_clear(&session->progress);
  interruptible = NULL;
  qds_context_destroy(session->ctx);
  session->ctx = NULL;
}

int cli_session_interrupted(void) {
  return interrupted;
}

int cli_fail(cli_session *session, qds_status status) {
  cli_progress_clear(&session->progress);
  fprintf(stderr, "qdsim: %s\n", qds_last_error()->message);
  return qds_status_exit(status);
}

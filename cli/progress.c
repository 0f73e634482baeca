#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

#include "cli.h"

/* solve         [##########----------]  52 %  0:03, 0:03 left  residual 3e-05 eV */

enum { BAR_WIDTH = 20, LINE_SIZE = 512 };

static const double patience_s = 2.0;

static double seconds_now(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

static int is_terminal(void) {
  const char *kind = getenv("TERM");
  return isatty(STDERR_FILENO) && kind && strcmp(kind, "dumb") != 0;
}

static int terminal_columns(void) {
  struct winsize size;
  return ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0 ? size.ws_col : 80;
}

void cli_progress_init(cli_progress *progress, int quiet) {
  *progress = (cli_progress){.enabled = !quiet && is_terminal(), .start = seconds_now()};
}

/* 3:07, or 1:02:30. */
static void format_clock(double seconds, char out[32]) {
  const long whole = lround(fmin(seconds, 1e6));
  if (whole < 3600)
    snprintf(out, 32, "%ld:%02ld", whole / 60, whole % 60);
  else
    snprintf(out, 32, "%ld:%02ld:%02ld", whole / 3600, whole / 60 % 60, whole % 60);
}

/* The bar of a known fraction, with an estimate of the rest once there is something to estimate from. */
static int format_bar(char *line, const char *phase, double fraction, double elapsed) {
  char bar[BAR_WIDTH + 1], spent[32], left[32], rest[48] = "";
  const int filled = (int)lround(fraction * BAR_WIDTH);
  memset(bar, '-', BAR_WIDTH);
  memset(bar, '#', (size_t)filled);
  bar[BAR_WIDTH] = 0;
  format_clock(elapsed, spent);
  if (fraction >= 0.05 && fraction < 1) {
    format_clock(elapsed * (1 - fraction) / fraction, left);
    snprintf(rest, sizeof rest, ", %s left", left);
  }
  return snprintf(line, LINE_SIZE, "%-13s [%s] %3.0f %%  %s%s", phase, bar, 100 * fraction, spent, rest);
}

void cli_progress_show(cli_progress *progress, const char *phase, double fraction, const char *detail) {
  if (!progress->enabled) return;
  const double now = seconds_now();
  if (strcmp(progress->phase, phase) != 0) {
    snprintf(progress->phase, sizeof progress->phase, "%s", phase);
    progress->phase_start = now;
  }
  if (now - progress->start < patience_s) return;
  char line[LINE_SIZE], spent[32];
  const double elapsed = now - progress->phase_start;
  int used;
  if (fraction >= 0) {
    used = format_bar(line, phase, fmin(fraction, 1), elapsed);
  } else {
    format_clock(elapsed, spent);
    used = snprintf(line, sizeof line, "%-13s %s", phase, spent);
  }
  if (*detail && used < LINE_SIZE) snprintf(line + used, sizeof line - (size_t)used, "  %s", detail);
  fprintf(stderr, "\r%.*s\033[K", terminal_columns() - 1, line);
  fflush(stderr);
  progress->drawn = 1;
}

void cli_progress_clear(cli_progress *progress) {
  if (!progress->drawn) return;
  fputs("\r\033[K", stderr);
  fflush(stderr);
  progress->drawn = 0;
}

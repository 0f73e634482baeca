#include <stdio.h>

#include "cli.h"

void cli_format_seconds(double seconds, char *out, size_t room) {
  if (seconds < 0.0995)
    snprintf(out, room, "%.0f ms", 1e3 * seconds);
  else if (seconds < 9.95)
    snprintf(out, room, "%.2g s", seconds);
  else if (seconds < 119.5)
    snprintf(out, room, "%.0f s", seconds);
  else if (seconds < 7170)
    snprintf(out, room, "%.0f min", seconds / 60);
  else
    snprintf(out, room, "%.1f h", seconds / 3600);
}

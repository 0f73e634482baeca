#include <stdio.h>

#include "cli.h"

void cli_format_bytes(size_t bytes, char *out, size_t room) {
  static const char *const units[] = {"bytes", "KiB", "MiB", "GiB", "TiB"};
  double value = (double)bytes;
  int unit = 0;
  while (value >= 1024 && unit < 4) {
    value /= 1024;
    unit++;
  }
  snprintf(out, room, unit > 0 && value < 10 ? "%.1f %s" : "%.0f %s", value, units[unit]);
}

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

#include "mem/limits.h"

#include <math.h>
#include <sched.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_PATH = 1024, MAX_CORES = 1 << 16 };

/* "max" (version 2) and negative numbers (version 1) stand for no limit. */
static double parse_limit(const char *word) {
  return strcmp(word, "max") == 0 || word[0] == '-' ? INFINITY : strtod(word, NULL);
}

/* One or two numbers from a small file. Returns how many. */
static int read_numbers(const char *folder, const char *name, double numbers[2]) {
  char path[MAX_PATH + 64], first[32], second[32];
  snprintf(path, sizeof path, "%s/%s", folder, name);
  FILE *file = fopen(path, "re");
  if (!file) return 0;
  const int words = fscanf(file, "%31s %31s", first, second);
  fclose(file);
  if (words >= 1) numbers[0] = parse_limit(first);
  if (words == 2) numbers[1] = parse_limit(second);
  return words;
}

static double read_number(const char *folder, const char *name, double otherwise) {
  double numbers[2];
  return read_numbers(folder, name, numbers) > 0 ? numbers[0] : otherwise;
}

/* The value of a key in a file of lines "key value". */
static double read_key(const char *folder, const char *name, const char *key) {
  char path[MAX_PATH + 64], word[64];
  double number, found = 0;
  snprintf(path, sizeof path, "%s/%s", folder, name);
  FILE *file = fopen(path, "re");
  if (!file) return 0;
  while (fscanf(file, "%63s %lf", word, &number) == 2)
    if (strcmp(word, key) == 0) found = number;
  fclose(file);
  return found;
}

/* What one group leaves: its limit less its use; cached files do not count, the kernel drops them first. */
static double group_memory(const char *folder, int version) {
  const char *const limit[] = {"memory.limit_in_bytes", "memory.max"};
  const char *const use[] = {"memory.usage_in_bytes", "memory.current"};
  const char *const cached[] = {"total_inactive_file", "inactive_file"};
  const double used =
      read_number(folder, use[version - 1], 0) - read_key(folder, "memory.stat", cached[version - 1]);
  return fmax(0, read_number(folder, limit[version - 1], INFINITY) - used);
}

/* Processor time granted per time passed. */
static double group_cores(const char *folder, int version) {
  double numbers[2] = {INFINITY, 1};
  if (version == 2) return read_numbers(folder, "cpu.max", numbers) == 2 ? numbers[0] / numbers[1] : INFINITY;
  return read_number(folder, "cpu.cfs_quota_us", INFINITY) / read_number(folder, "cpu.cfs_period_us", 1);
}

typedef double (*group_reader)(const char *folder, int version);

/* The smallest value of a group and all groups above it. Inside a container the upper ones may not
 * be there. */
static double smallest_upwards(const char *top, const char *group, int version, group_reader read) {
  char folder[MAX_PATH];
  const size_t shortest = (size_t)snprintf(folder, sizeof folder, "%s", top);
  double smallest = INFINITY;
  if ((size_t)snprintf(folder, sizeof folder, "%s%s", top, group) >= sizeof folder) return INFINITY;
  for (;;) {
    smallest = fmin(smallest, read(folder, version));
    char *slash = strrchr(folder, '/');
    if (!slash || (size_t)(slash - folder) < shortest) return smallest;
    *slash = 0;
  }
}

static int lists_controller(const char *list, const char *controller) {
  const size_t length = strlen(controller);
  for (const char *at = list; (at = strstr(at, controller)); at += length)
    if ((at == list || at[-1] == ',') && (at[length] == ',' || at[length] == 0)) return 1;
  return 0;
}

/* Lines of the membership are "number:controllers:path"; without controllers it is version 2, whose tree is
 * mounted at the root (where version 1 is in use as well it lies elsewhere, and sets no limits). */
static double smallest_of_groups(const char *membership, const char *root, const char *controller,
                                 group_reader read) {
  char line[MAX_PATH], top[MAX_PATH];
  double smallest = INFINITY;
  FILE *file = fopen(membership, "re");
  if (!file) return INFINITY;
  while (fgets(line, sizeof line, file)) {
    line[strcspn(line, "\n")] = 0;
    char *controllers = strchr(line, ':'), *path = controllers ? strchr(controllers + 1, ':') : NULL;
    if (!path) continue;
    *path++ = 0;
    const int version = controllers[1] ? 1 : 2;
    if (version == 1 && !lists_controller(controllers + 1, controller)) continue;
    snprintf(top, sizeof top, "%s%s%s", root, version == 1 ? "/" : "", version == 1 ? controller : "");
    smallest = fmin(smallest, smallest_upwards(top, path, version, read));
  }
  fclose(file);
  return smallest;
}

size_t qds_cgroup_memory(const char *membership, const char *root) {
  const double bytes = smallest_of_groups(membership, root, "memory", group_memory);
  /* Version 1 writes "no limit" as nearly 2^63. */
  return bytes < 0x1p62 ? (size_t)bytes : SIZE_MAX;
}

double qds_cgroup_cores(const char *membership, const char *root) {
  return smallest_of_groups(membership, root, "cpu", group_cores);
}

/* What the kernel would hand out without swapping. */
static size_t machine_memory(void) {
  size_t kib = 0;
  char line[128];
  FILE *file = fopen("/proc/meminfo", "re");
  if (!file) return SIZE_MAX;
  int found = 0;
  while (!found && fgets(line, sizeof line, file)) found = sscanf(line, "MemAvailable: %zu kB", &kib) == 1;
  fclose(file);
  return found ? kib * 1024 : SIZE_MAX;
}

size_t qds_available_memory(void) {
  const size_t machine = machine_memory(), groups = qds_cgroup_memory("/proc/self/cgroup", "/sys/fs/cgroup");
  return machine < groups ? machine : groups;
}

/* The kernel refuses a set smaller than its own, so larger ones are tried. */
static int affinity_cores(void) {
  for (int room = 1024; room <= MAX_CORES; room *= 2) {
    cpu_set_t *set = CPU_ALLOC((size_t)room);
    const size_t bytes = CPU_ALLOC_SIZE((size_t)room);
    if (!set) return 1;
    const int cores = sched_getaffinity(0, bytes, set) == 0 ? CPU_COUNT_S(bytes, set) : 0;
    CPU_FREE(set);
    if (cores > 0) return cores;
  }
  return 1;
}

int qds_available_cores(void) {
  const int cores = affinity_cores();
  const double share = floor(qds_cgroup_cores("/proc/self/cgroup", "/sys/fs/cgroup"));
  return share < cores ? (int)fmax(1, share) : cores;
}

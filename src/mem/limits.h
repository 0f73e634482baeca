/* What the kernel grants this process: memory and processor time, as containers and batch systems limit them
 * with control groups (cgroups(7), versions 1 and 2). */
#ifndef QDS_MEM_LIMITS_H
#define QDS_MEM_LIMITS_H

#include <stddef.h>

/* Bytes that may be taken before the machine swaps or a control group is full; SIZE_MAX where the kernel does
 * not say. */
size_t qds_available_memory(void);
/* The cores that the process may run on, or as many as its share of processor time fills; at least 1. */
int qds_available_cores(void);

/* The part that control groups play. `membership` is /proc/self/cgroup and `root` is /sys/fs/cgroup, or what
 * a test puts in their place. */
size_t qds_cgroup_memory(const char *membership, const char *root); /* SIZE_MAX: no limit */
double qds_cgroup_cores(const char *membership, const char *root);  /* INFINITY: no limit */

#endif

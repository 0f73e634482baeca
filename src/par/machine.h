/* The processor and memory of this machine, as hwloc sees them. */
#ifndef QDS_PAR_MACHINE_H
#define QDS_PAR_MACHINE_H

#include <stddef.h>

#include "base/check.h"

enum { QDS_CACHE_LEVELS = 3 };

/* What hwloc does not know is 0, or "" for the name. Counts are of what this process may use. */
typedef struct {
  char processor[128];
  int packages, cores, hardware_threads;
  struct {
    size_t bytes; /* of one cache */
    int count;
  } cache[QDS_CACHE_LEVELS]; /* data caches, from level 1 */
  size_t memory_bytes;
  int numa_nodes;
} qds_machine;

/* Errors: UNSUPPORTED (hwloc cannot read this machine). */
qds_status qds_machine_describe(qds_machine *out);

#endif

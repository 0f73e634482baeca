#include "par/machine.h"

#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <unistd.h>

#include <hwloc.h>

static void describe_cache(hwloc_topology_t topology, int level, qds_machine *out) {
  static const hwloc_obj_type_t types[QDS_CACHE_LEVELS] = {HWLOC_OBJ_L1CACHE, HWLOC_OBJ_L2CACHE,
                                                           HWLOC_OBJ_L3CACHE};
  const int count = hwloc_get_nbobjs_by_type(topology, types[level]);
  if (count <= 0) return;
  out->cache[level].count = count;
  out->cache[level].bytes = (size_t)hwloc_get_obj_by_type(topology, types[level], 0)->attr->cache.size;
}

static int count_of(hwloc_topology_t topology, hwloc_obj_type_t type) {
  const int count = hwloc_get_nbobjs_by_type(topology, type);
  return count > 0 ? count : 0;
}

qds_status qds_machine_describe(qds_machine *out) {
  *out = (qds_machine){0};
  hwloc_topology_t topology;
  if (hwloc_topology_init(&topology) != 0)
    QDS_FAIL_NATIVE(QDS_ERROR_UNSUPPORTED, errno, "hwloc cannot start");
  if (hwloc_topology_load(topology) != 0) {
    const int code = errno;
    hwloc_topology_destroy(topology);
    QDS_FAIL_NATIVE(QDS_ERROR_UNSUPPORTED, code, "hwloc cannot read this machine's topology");
  }
  hwloc_obj_t package = hwloc_get_obj_by_type(topology, HWLOC_OBJ_PACKAGE, 0);
  const char *name = package ? hwloc_obj_get_info_by_name(package, "CPUModel") : NULL;
  snprintf(out->processor, sizeof out->processor, "%s", name ? name : "");
  out->packages = count_of(topology, HWLOC_OBJ_PACKAGE);
  out->cores = count_of(topology, HWLOC_OBJ_CORE);
  out->hardware_threads = count_of(topology, HWLOC_OBJ_PU);
  out->numa_nodes = count_of(topology, HWLOC_OBJ_NUMANODE);
  /* Not the sum over the NUMA nodes, which some virtual machines give too small. */
  out->memory_bytes = (size_t)sysconf(_SC_PHYS_PAGES) * (size_t)sysconf(_SC_PAGESIZE);
  for (int level = 0; level < QDS_CACHE_LEVELS; level++) describe_cache(topology, level, out);
  hwloc_topology_destroy(topology);
  return QDS_OK;
}

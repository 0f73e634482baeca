#include "mem/provider_numa.h"

#include <errno.h>
#include <hwloc.h>
#include <linux/mempolicy.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

typedef struct {
  hwloc_topology_t topology;
  hwloc_const_nodeset_t nodes; /* the one node */
  int node;
  qds_host_pages pages;
} numa_memory;

enum { MOST_NODES = 1024, WORD_BITS = 8 * sizeof(long) };

/* --- what the kernel says ------------------------------------------------------------------------------ */

/* Whether the memory at the address is bound to the node and to no other. */
static qds_status verify_binding(const void *address, int node) {
  unsigned long mask[MOST_NODES / WORD_BITS] = {0}, wanted[MOST_NODES / WORD_BITS] = {0};
  int mode = -1;
  if (syscall(SYS_get_mempolicy, &mode, mask, (unsigned long)MOST_NODES, address, (unsigned long)MPOL_F_ADDR))
    QDS_FAIL_NATIVE(QDS_ERROR_UNSUPPORTED, errno, "NUMA: the kernel does not tell how memory is bound: %s",
                    strerror(errno));
  wanted[node / WORD_BITS] = 1ul << node % WORD_BITS;
  if (mode != MPOL_BIND || memcmp(mask, wanted, sizeof mask) != 0)
    QDS_FAIL(QDS_ERROR_MEMORY, "NUMA: memory for node %d was not bound to it: the kernel names policy %d",
             node, mode);
  return QDS_OK;
}

static void count_pages(const int *status, size_t count, int node, qds_numa_placement *p) {
  for (size_t i = 0; i < count; i++) {
    if (status[i] == node)
      p->placed++;
    else if (status[i] >= 0)
      p->astray++;
    else
      p->untouched++;
  }
}

qds_status qds_numa_verify(const void *range, size_t bytes, int node, qds_numa_placement *out) {
  enum { AT_ONCE = 512 };
  void *pages[AT_ONCE];
  int status[AT_ONCE];
  const uintptr_t first = (uintptr_t)range & ~(uintptr_t)(QDS_PAGE_BYTES - 1);
  const size_t count = ((uintptr_t)range + bytes - first + QDS_PAGE_BYTES - 1) / QDS_PAGE_BYTES;
  qds_numa_placement placement = {.pages = count};
  for (size_t done = 0, part; done < count; done += part) {
    part = count - done < AT_ONCE ? count - done : AT_ONCE;
    for (size_t i = 0; i < part; i++) pages[i] = (void *)(first + (done + i) * QDS_PAGE_BYTES);
    /* Without target nodes the call moves nothing and tells where each page lies. */
    if (syscall(SYS_move_pages, 0, part, pages, NULL, status, 0) < 0)
      QDS_FAIL_NATIVE(QDS_ERROR_UNSUPPORTED, errno, "NUMA: the kernel does not tell where memory lies: %s",
                      strerror(errno));
    count_pages(status, part, node, &placement);
  }
  if (out) *out = placement;
  if (placement.astray)
    QDS_FAIL(QDS_ERROR_MEMORY, "NUMA: %zu of %zu pages lie on another node than %d", placement.astray, count,
             node);
  return QDS_OK;
}

/* --- the provider -------------------------------------------------------------------------------------- */

static qds_status bind(const numa_memory *memory, void *range, size_t bytes) {
  if (hwloc_set_area_membind(memory->topology, range, bytes, memory->nodes, HWLOC_MEMBIND_BIND,
                             HWLOC_MEMBIND_BYNODESET | HWLOC_MEMBIND_STRICT) != 0)
    QDS_FAIL_NATIVE(QDS_ERROR_UNSUPPORTED, errno, "NUMA: cannot bind memory to node %d: %s", memory->node,
                    strerror(errno));
  *(volatile char *)range = 0;
  QDS_TRY(verify_binding(range, memory->node));
  QDS_TRY(verify_binding((char *)range + bytes - 1, memory->node));
  return qds_numa_verify(range, 1, memory->node, NULL);
}

static qds_status numa_allocate(void *state, size_t bytes, void **out) {
  const numa_memory *memory = state;
  QDS_TRY(qds_map_pages(memory->pages, bytes, out));
  const qds_status status = bind(memory, *out, bytes);
  if (status == QDS_OK) return QDS_OK;
  qds_unmap_pages(*out, bytes);
  *out = NULL;
  return status;
}

static void numa_release(void *state, void *range, size_t bytes) {
  (void)state;
  qds_unmap_pages(range, bytes);
}

static size_t numa_granularity(void *state, size_t bytes) {
  const qds_provider host = qds_provider_host(((const numa_memory *)state)->pages);
  return host.table->granularity(host.state, bytes);
}

static void numa_purge(void *state, void *part, size_t bytes) {
  (void)state;
  qds_purge_pages(part, bytes);
}

static void numa_destroy(void *state) {
  numa_memory *memory = state;
  if (memory->topology) hwloc_topology_destroy(memory->topology);
  qds_release(memory);
}

static const qds_provider_table numa_table = {
    .abi = QDS_PROVIDER_ABI,
    .size = sizeof numa_table,
    .name = "NUMA",
    .alignment = QDS_PAGE_BYTES,
    .allocate = numa_allocate,
    .release = numa_release,
    .granularity = numa_granularity,
    .purge = numa_purge,
    .destroy = numa_destroy,
};

static qds_status find_node(numa_memory *memory, int node) {
  if (hwloc_topology_init(&memory->topology) != 0 || hwloc_topology_load(memory->topology) != 0)
    QDS_FAIL(QDS_ERROR_UNSUPPORTED, "NUMA: hwloc cannot read this machine");
  const hwloc_obj_t object =
      node < 0 ? NULL : hwloc_get_numanode_obj_by_os_index(memory->topology, (unsigned)node);
  if (!object) {
    char there[256];
    hwloc_bitmap_list_snprintf(there, sizeof there, hwloc_topology_get_allowed_nodeset(memory->topology));
    QDS_FAIL(QDS_ERROR_ARGUMENT, "no NUMA node %d; this process may use %s", node, there);
  }
  memory->nodes = object->nodeset;
  return QDS_OK;
}

qds_status qds_provider_numa_open(qds_allocator *allocator, int node, qds_host_pages pages,
                                  qds_provider *out) {
  numa_memory *memory;
  void *page;
  *out = (qds_provider){0};
  QDS_TRY(QDS_NEW_ZERO(allocator, 1, "NUMA provider", &memory));
  *memory = (numa_memory){.node = node, .pages = pages};
  qds_status status = find_node(memory, node);
  /* What the kernel refuses shows here rather than in the first use. */
  if (status == QDS_OK) status = numa_allocate(memory, QDS_PAGE_BYTES, &page);
  if (status != QDS_OK) {
    numa_destroy(memory);
    return status;
  }
  numa_release(memory, page, QDS_PAGE_BYTES);
  *out = (qds_provider){&numa_table, memory};
  return QDS_OK;
}

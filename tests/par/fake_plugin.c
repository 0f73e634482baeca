/* Plugins that the loader must refuse, and one that it must take: built once for each FAKE_... of
 * cmake/tests.cmake. */
#include <stdio.h>

#include "mem/backend.h"

#define EXPORT __attribute__((visibility("default")))

#ifdef FAKE_without_symbol
EXPORT int qds_something_else(void);
int qds_something_else(void) {
  return 1;
}
#else

#ifdef FAKE_without_devices
static int probe(const qds_host_api *host, char *why, size_t why_bytes) {
  (void)host;
  snprintf(why, why_bytes, "nobody is at home");
  return 0;
}
#else
static int probe(const qds_host_api *host, char *why, size_t why_bytes) {
  (void)why, (void)why_bytes;
  return host->abi == QDS_BACKEND_ABI && host->size == sizeof *host && host->raise ? 3 : 0;
}
#endif

/* Nobody opens these; they only must be there. */
static void nothing(void) {}
#define FILL(slot) .slot = (void *)nothing,

static const qds_backend backend = {
#ifdef FAKE_wrong_abi
    .abi = QDS_BACKEND_ABI + 1,
#else
    .abi = QDS_BACKEND_ABI,
#endif
#ifdef FAKE_small_table
    .size = sizeof(qds_backend) - sizeof(void *),
#else
    .size = sizeof(qds_backend),
#endif
    .name = "fake",
    .probe = probe,
    /* clang-format off */
    FILL(open) FILL(close) FILL(allocate) FILL(release) FILL(memory) FILL(copy) FILL(fill) FILL(stream_create)
    FILL(stream_destroy) FILL(stream_synchronise) FILL(stream_idle) FILL(event_create) FILL(event_destroy)
    FILL(event_record) FILL(event_wait) FILL(event_synchronise) FILL(event_done) FILL(event_seconds)
#ifndef FAKE_missing_slot
    FILL(host_function)
#endif
#ifndef FAKE_without_kernels
    FILL(run)
#endif
#ifdef FAKE_two_kinds_of_kernels
    FILL(launch)
#endif
#ifdef FAKE_half_graphs
    FILL(capture_begin)
#endif
    /* clang-format on */
};

EXPORT const qds_backend *qds_plugin_backend(void);
const qds_backend *qds_plugin_backend(void) {
#ifdef FAKE_without_table
  return NULL;
#else
  return &backend;
#endif
}
#endif

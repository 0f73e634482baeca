/* A provider: where pools get memory from, and where they give it back.
 *
 * The table is versioned: it begins with the ABI number and its own size, and one of another ABI or of a
 * smaller size is refused with that reason. Slots marked optional may be NULL. Fallible slots have raised
 * their error. Everything is thread-safe: pools call providers without holding a lock. */
#ifndef QDS_MEM_PROVIDER_H
#define QDS_MEM_PROVIDER_H

#include "base/allocator.h"

enum { QDS_PROVIDER_ABI = 1 };

typedef struct {
  uint32_t abi;
  size_t size;
  const char *name; /* what reports call the memory: "host", "device" */
  size_t alignment; /* of every range: a power of two, at least 64 */

  /* A range of `bytes`, a multiple of granularity(state, bytes). The contents are undefined; whether the host
   * may touch them depends on the provider. Fails with QDS_ERROR_MEMORY when there is no room, and stays
   * usable. */
  qds_status (*allocate)(void *state, size_t bytes, void **out);
  /* Takes back a whole range of allocate. No operation that uses it may be under way. */
  void (*release)(void *state, void *range, size_t bytes);
  /* What sizes near `bytes` must be multiples of: a power of two, at least the alignment. */
  size_t (*granularity)(void *state, size_t bytes);

  /* Optional. Forgets the contents of a part of a range and lets the system have what lies behind it until
   * the part is touched again. Only whole pages inside the part are given up. */
  void (*purge)(void *state, void *part, size_t bytes);
  /* Optional. Ends the provider; every range has been given back before. */
  void (*destroy)(void *state);
} qds_provider_table;

typedef struct {
  const qds_provider_table *table;
  void *state;
} qds_provider;

/* Refuses a table that this library cannot use, with the reason. */
qds_status qds_provider_check(const qds_provider *provider);
/* `bytes` rounded up to what the provider gives; QDS_ERROR_MEMORY when that passes the address range. */
qds_status qds_provider_round(const qds_provider *provider, size_t bytes, size_t *out);
/* Calls destroy where there is one; safe on a zeroed provider. */
void qds_provider_close(qds_provider *provider);

#endif

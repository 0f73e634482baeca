#include "mem/provider_device.h"

#include "qdsim/text.h"

enum { ALIGNMENT = 256, PAGE = 4096, LARGE_PAGE = 2 << 20 };

/* Devices map large pages, and give no less to a request of that size. */
static size_t granularity_of(qds_memory_kind kind, size_t bytes) {
  const int host = kind == QDS_MEMORY_PINNED || kind == QDS_MEMORY_MAPPED;
  return host && bytes < LARGE_PAGE ? PAGE : LARGE_PAGE;
}

static qds_status refuse_beyond_free(qds_accelerator *accelerator, size_t bytes) {
  size_t free_bytes, total_bytes;
  QDS_TRY(qds_accelerator_memory(accelerator, &free_bytes, &total_bytes));
  if (bytes <= free_bytes) return QDS_OK;
  char wanted[QDS_BYTES_TEXT], there[QDS_BYTES_TEXT];
  qds_format_bytes(bytes, wanted);
  qds_format_bytes(free_bytes, there);
  QDS_FAIL(QDS_ERROR_MEMORY, "out of memory: %s of managed memory, of which the device \"%s\" has %s free",
           wanted, accelerator->properties.name, there);
}

#define PROVIDER(kind, lower)                                                                                \
  static qds_status allocate_##lower(void *state, size_t bytes, void **out) {                                \
    *out = NULL;                                                                                             \
    if ((kind) == QDS_MEMORY_MANAGED) QDS_TRY(refuse_beyond_free(state, bytes));                             \
    return qds_accelerator_allocate(state, (kind), bytes, out);                                              \
  }                                                                                                          \
  static void release_##lower(void *state, void *range, size_t bytes) {                                      \
    (void)bytes;                                                                                             \
    qds_accelerator_release(state, (kind), range);                                                           \
  }                                                                                                          \
  static size_t granularity_##lower(void *state, size_t bytes) {                                             \
    (void)state;                                                                                             \
    return granularity_of((kind), bytes);                                                                    \
  }                                                                                                          \
  static const qds_provider_table lower##_table = {                                                          \
      .abi = QDS_PROVIDER_ABI,                                                                               \
      .size = sizeof(qds_provider_table),                                                                    \
      .name = #lower,                                                                                        \
      .alignment = ALIGNMENT,                                                                                \
      .allocate = allocate_##lower,                                                                          \
      .release = release_##lower,                                                                            \
      .granularity = granularity_##lower,                                                                    \
  }

PROVIDER(QDS_MEMORY_DEVICE, device);
PROVIDER(QDS_MEMORY_PINNED, pinned);
PROVIDER(QDS_MEMORY_MAPPED, mapped);
PROVIDER(QDS_MEMORY_MANAGED, managed);

qds_provider qds_provider_device(qds_accelerator *accelerator, qds_memory_kind kind) {
  static const qds_provider_table *const tables[QDS_MEMORY_KINDS] = {
      [QDS_MEMORY_DEVICE] = &device_table,
      [QDS_MEMORY_PINNED] = &pinned_table,
      [QDS_MEMORY_MAPPED] = &mapped_table,
      [QDS_MEMORY_MANAGED] = &managed_table,
  };
  return (qds_provider){tables[kind], accelerator};
}

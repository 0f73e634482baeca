/* Providers of an accelerator's memory: on the device, on the host page-locked (for copies, or for kernels to
 * read in place), and managed. The host must not touch device memory. */
#ifndef QDS_MEM_PROVIDER_DEVICE_H
#define QDS_MEM_PROVIDER_DEVICE_H

#include "mem/accelerator.h"
#include "mem/provider.h"

/* The accelerator outlives the provider, which needs no end. Managed memory is refused with QDS_ERROR_MEMORY
 * when the device has less free: it would be moved to and fro for every access. */
qds_provider qds_provider_device(qds_accelerator *accelerator, qds_memory_kind kind);

#endif

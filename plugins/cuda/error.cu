/* Errors of the run-time library as the library's own. */
#include <string.h>

#include "plugin.h"

/* After these nothing works on the device any more in this process. */
static int is_lost(cudaError_t error) {
  switch (error) {
  case cudaErrorIllegalAddress:
  case cudaErrorLaunchTimeout:
  case cudaErrorHardwareStackError:
  case cudaErrorIllegalInstruction:
  case cudaErrorMisalignedAddress:
  case cudaErrorInvalidAddressSpace:
  case cudaErrorInvalidPc:
  case cudaErrorLaunchFailure:
  case cudaErrorAssert:
  case cudaErrorECCUncorrectable:
  case cudaErrorNvlinkUncorrectable:
  case cudaErrorContextIsDestroyed:
  case cudaErrorExternalDevice:
    return 1;
  default:
    return 0;
  }
}

static qds_status status_of(cudaError_t error) {
  switch (error) {
  case cudaErrorMemoryAllocation:
    return QDS_ERROR_MEMORY;
  case cudaErrorNotSupported:
  case cudaErrorDevicesUnavailable:
  case cudaErrorNoKernelImageForDevice:
  case cudaErrorInsufficientDriver:
    return QDS_ERROR_UNSUPPORTED;
  default:
    return QDS_ERROR_INTERNAL;
  }
}

qds_status qds_cuda_fail(const qds_cuda *device, cudaError_t error, const char *call, const char *file,
                         int line) {
  (void)cudaGetLastError(); /* it is told now, and must not show in a later call */
  return device->host->raise(
      status_of(error), file, line, error, "cuda:%d: %.*s: %s (%s)%s", device->index, (int)strcspn(call, "("),
      call, cudaGetErrorName(error), cudaGetErrorString(error),
      is_lost(error)
          ? "; the device is lost to this process, start it again (CUDA_LAUNCH_BLOCKING=1 finds the kernel)"
          : "");
}

void qds_cuda_keep(qds_cuda *device, cudaError_t error, const char *call) {
  int none = cudaSuccess;
  if (error == cudaSuccess) return;
  (void)cudaGetLastError();
  /* A reader may see the error before the name of its call, and then names none. */
  if (__atomic_compare_exchange_n(&device->kept_error, &none, (int)error, 0, __ATOMIC_ACQ_REL,
                                  __ATOMIC_ACQUIRE))
    __atomic_store_n(&device->kept_call, call, __ATOMIC_RELEASE);
}

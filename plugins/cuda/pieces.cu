/* Memory in pieces, through the driver's management of virtual memory. The plugin is not linked to the
 * driver; the run-time library, which has loaded it, tells its functions. */
#include <cuda.h>
#include <stdlib.h>

#include "plugin.h"

#define DRIVER_FUNCTIONS(X)                                                                                  \
  X(cuGetErrorName)                                                                                          \
  X(cuDeviceGetAttribute)                                                                                    \
  X(cuMemCreate)                                                                                             \
  X(cuMemRelease) X(cuMemAddressReserve) X(cuMemAddressFree) X(cuMemMap) X(cuMemUnmap) X(cuMemSetAccess)

struct qds_cuda_driver {
#define DRIVER_SLOT(name) decltype(&::name) name;
  DRIVER_FUNCTIONS(DRIVER_SLOT)
#undef DRIVER_SLOT
};

enum { DRIVER_WITH_PIECES = 10020 };

static cudaError_t find_function(const char *name, void **out) {
  cudaDriverEntryPointQueryResult found = cudaDriverEntryPointSymbolNotFound;
#if CUDART_VERSION >= 12050
  const cudaError_t error =
      cudaGetDriverEntryPointByVersion(name, out, DRIVER_WITH_PIECES, cudaEnableDefault, &found);
#else
  const cudaError_t error = cudaGetDriverEntryPoint(name, out, cudaEnableDefault, &found);
#endif
  if (error != cudaSuccess) return error;
  return found == cudaDriverEntryPointSuccess ? cudaSuccess : cudaErrorSymbolNotFound;
}

/* The device keeps them until it is closed. */
static qds_status find_driver(qds_cuda *device) {
  if (device->driver) return QDS_OK;
  qds_cuda_driver *driver = (qds_cuda_driver *)calloc(1, sizeof *driver);
  if (!driver)
    return CUDA_RAISE(device, QDS_ERROR_MEMORY, "out of memory: no room for the driver's functions");
#define FIND(name)                                                                                           \
  if (find_function(#name, (void **)&driver->name) != cudaSuccess) {                                         \
    (void)cudaGetLastError();                                                                                \
    free(driver);                                                                                            \
    return CUDA_RAISE(device, QDS_ERROR_UNSUPPORTED, "cuda:%d: the driver lacks " #name, device->index);     \
  }
  DRIVER_FUNCTIONS(FIND)
#undef FIND
  device->driver = driver;
  return QDS_OK;
}

static qds_status fail(const qds_cuda *device, CUresult result, const char *call) {
  const char *name = NULL;
  device->driver->cuGetErrorName(result, &name);
  return device->host->raise(result == CUDA_ERROR_OUT_OF_MEMORY ? QDS_ERROR_MEMORY : QDS_ERROR_INTERNAL,
                             __FILE__, __LINE__, result, "cuda:%d: %s failed: %s (%d)", device->index, call,
                             name ? name : "unknown", (int)result);
}

/* For calls that cannot report where they stand: told at the next synchronisation. */
static void keep(qds_cuda *device, CUresult result, const char *call) {
  if (result != CUDA_SUCCESS) qds_cuda_keep(device, cudaErrorUnknown, call);
}

qds_status qds_cuda_piece_create(void *state, size_t bytes, void **piece) {
  CUmemGenericAllocationHandle handle = 0;
  CUmemAllocationProp properties = {};
  *piece = NULL;
  CUDA_ENTER(device, state);
  properties.type = CU_MEM_ALLOCATION_TYPE_PINNED;
  properties.location.type = CU_MEM_LOCATION_TYPE_DEVICE;
  properties.location.id = device->index;
  const CUresult result = device->driver->cuMemCreate(&handle, bytes, &properties, 0);
  if (result != CUDA_SUCCESS) return fail(device, result, "cuMemCreate");
  static_assert(sizeof handle <= sizeof *piece, "a handle fits a pointer");
  *piece = (void *)handle;
  return QDS_OK;
}

void qds_cuda_piece_destroy(void *state, void *piece) {
  CUDA_ENTER_KEEPING(device, state);
  keep(device, device->driver->cuMemRelease((CUmemGenericAllocationHandle)piece), "cuMemRelease");
}

qds_status qds_cuda_addresses_reserve(void *state, size_t bytes, void **begin) {
  CUdeviceptr address = 0;
  int supported = 0;
  *begin = NULL;
  CUDA_ENTER(device, state);
  const qds_status status = find_driver(device);
  if (status != QDS_OK) return status;
  CUresult result = device->driver->cuDeviceGetAttribute(
      &supported, CU_DEVICE_ATTRIBUTE_VIRTUAL_MEMORY_MANAGEMENT_SUPPORTED, device->index);
  if (result != CUDA_SUCCESS) return fail(device, result, "cuDeviceGetAttribute");
  if (!supported)
    return CUDA_RAISE(device, QDS_ERROR_UNSUPPORTED, "cuda:%d has no memory in pieces", device->index);
  result = device->driver->cuMemAddressReserve(&address, bytes, 0, 0, 0);
  if (result != CUDA_SUCCESS) return fail(device, result, "cuMemAddressReserve");
  *begin = (void *)address;
  return QDS_OK;
}

void qds_cuda_addresses_release(void *state, void *begin, size_t bytes) {
  CUDA_ENTER_KEEPING(device, state);
  keep(device, device->driver->cuMemAddressFree((CUdeviceptr)begin, bytes), "cuMemAddressFree");
}

qds_status qds_cuda_piece_map(void *state, void *begin, void *piece, size_t bytes) {
  CUDA_ENTER(device, state);
  const qds_cuda_driver *driver = device->driver;
  const CUdeviceptr address = (CUdeviceptr)begin;
  CUmemAccessDesc access = {};
  access.location.type = CU_MEM_LOCATION_TYPE_DEVICE;
  access.location.id = device->index;
  access.flags = CU_MEM_ACCESS_FLAGS_PROT_READWRITE;
  CUresult result = driver->cuMemMap(address, bytes, 0, (CUmemGenericAllocationHandle)piece, 0);
  if (result != CUDA_SUCCESS) return fail(device, result, "cuMemMap");
  result = driver->cuMemSetAccess(address, bytes, &access, 1);
  if (result == CUDA_SUCCESS) return QDS_OK;
  keep(device, driver->cuMemUnmap(address, bytes), "cuMemUnmap");
  return fail(device, result, "cuMemSetAccess");
}

void qds_cuda_piece_unmap(void *state, void *begin, size_t bytes) {
  CUDA_ENTER_KEEPING(device, state);
  keep(device, device->driver->cuMemUnmap((CUdeviceptr)begin, bytes), "cuMemUnmap");
}

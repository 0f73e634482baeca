/* The table of the CUDA plugin; finding and opening devices. */
#include <stdio.h>
#include <stdlib.h>

#include "plugin.h"

/* The oldest devices that the machine code in this plugin runs on: 8.0, Ampere. */
enum { OLDEST_MAJOR = 8, VERSION_THOUSAND = 1000 };

static int version_major(int version) {
  return version / VERSION_THOUSAND;
}
static int version_minor(int version) {
  return version % VERSION_THOUSAND / 10;
}

static void say_why(cudaError_t error, int driver, int runtime, char *why, size_t why_bytes) {
  if (driver == 0)
    snprintf(why, why_bytes, "no NVIDIA driver: its library libcuda.so.1 is not there or does not load");
  else if (error == cudaErrorInsufficientDriver)
    snprintf(why, why_bytes, "the driver is for CUDA %d.%d, too old for this plugin's CUDA %d.%d; update it",
             version_major(driver), version_minor(driver), version_major(runtime), version_minor(runtime));
  else if (error == cudaErrorNoDevice)
    snprintf(why, why_bytes, "the driver (CUDA %d.%d) sees no device; CUDA_VISIBLE_DEVICES may hide them",
             version_major(driver), version_minor(driver));
  else
    snprintf(why, why_bytes, "the driver (CUDA %d.%d) fails: %s (%s)", version_major(driver),
             version_minor(driver), cudaGetErrorName(error), cudaGetErrorString(error));
}

static int capability(int index, int *minor) {
  int major = 0;
  if (cudaDeviceGetAttribute(&major, cudaDevAttrComputeCapabilityMajor, index) != cudaSuccess ||
      cudaDeviceGetAttribute(minor, cudaDevAttrComputeCapabilityMinor, index) != cudaSuccess)
    major = *minor = 0;
  return major;
}

int qds_cuda_probe(const qds_host_api *host, char *why, size_t why_bytes) {
  int driver = 0, runtime = 0, count = 0, newest = 0, newest_minor = 0;
  (void)host;
  cudaError_t error = cudaDriverGetVersion(&driver);
  if (error == cudaSuccess) error = cudaRuntimeGetVersion(&runtime);
  if (error == cudaSuccess && driver > 0) error = cudaGetDeviceCount(&count);
  (void)cudaGetLastError(); /* what was found is told in `why`, and must not show in a later call */
  if (error != cudaSuccess || driver == 0) {
    say_why(error, driver, runtime, why, why_bytes);
    return 0;
  }
  for (int i = 0; i < count; i++) {
    int minor = 0;
    const int major = capability(i, &minor);
    if (major > newest || (major == newest && minor > newest_minor)) newest = major, newest_minor = minor;
  }
  if (count > 0 && newest < OLDEST_MAJOR) {
    snprintf(why, why_bytes, "the newest device has compute capability %d.%d; %d.0 is the oldest that works",
             newest, newest_minor, OLDEST_MAJOR);
    return 0;
  }
  if (count == 0) say_why(cudaErrorNoDevice, driver, runtime, why, why_bytes);
  return count;
}

/* From the clock and the width of the memory bus, two transfers per clock. */
static qds_status read_bandwidth(const qds_cuda *device, double *bandwidth_B_s) {
  int clock_kHz = 0, width_bits = 0;
  CUDA_TRY(device, cudaDeviceGetAttribute(&clock_kHz, cudaDevAttrMemoryClockRate, device->index));
  CUDA_TRY(device, cudaDeviceGetAttribute(&width_bits, cudaDevAttrGlobalMemoryBusWidth, device->index));
  *bandwidth_B_s = 2e3 * clock_kHz * width_bits / 8;
  return QDS_OK;
}

static qds_status read_properties(const qds_cuda *device, qds_accelerator_properties *out) {
  cudaDeviceProp found;
  int driver = 0, runtime = 0;
  CUDA_TRY(device, cudaGetDeviceProperties(&found, device->index));
  CUDA_TRY(device, cudaDriverGetVersion(&driver));
  CUDA_TRY(device, cudaRuntimeGetVersion(&runtime));
  snprintf(out->name, sizeof out->name, "%.*s", (int)sizeof out->name - 1, found.name);
  snprintf(out->version, sizeof out->version, "driver for CUDA %d.%d, run-time library %d.%d",
           version_major(driver), version_minor(driver), version_major(runtime), version_minor(runtime));
  out->memory_bytes = found.totalGlobalMem;
  out->multiprocessors = found.multiProcessorCount;
  out->capability[0] = found.major;
  out->capability[1] = found.minor;
  if (found.major < OLDEST_MAJOR)
    return CUDA_RAISE(device, QDS_ERROR_UNSUPPORTED,
                      "cuda:%d, %s, has compute capability %d.%d; %d.0 is the oldest that works",
                      device->index, found.name, found.major, found.minor, OLDEST_MAJOR);
  return read_bandwidth(device, &out->bandwidth_B_s);
}

/* cudaFree(NULL) makes the context now, so that a device that is in use elsewhere is refused here. */
static qds_status start(qds_cuda *device, qds_accelerator_properties *properties) {
  CUDA_ENTER(entered, device);
  CUDA_TRY(entered, cudaFree(NULL));
  return read_properties(entered, properties);
}

qds_status qds_cuda_open(const qds_host_api *host, int index, void **state,
                         qds_accelerator_properties *properties) {
  *state = NULL;
  qds_cuda *device = (qds_cuda *)calloc(1, sizeof *device);
  if (!device)
    return host->raise(QDS_ERROR_MEMORY, __FILE__, __LINE__, 0, "out of memory: %zu bytes for a device",
                       sizeof *device);
  device->host = host;
  device->index = index;
  pthread_mutex_init(&device->lock, NULL);
  const qds_status status = start(device, properties);
  if (status == QDS_OK)
    *state = device;
  else
    qds_cuda_close(device);
  return status;
}

void qds_cuda_close(void *state) {
  qds_cuda *device = (qds_cuda *)state;
  qds_cuda_product_end(device);
  pthread_mutex_destroy(&device->lock);
  free(device->driver);
  free(device);
}

static const qds_backend backend = {
    .abi = QDS_BACKEND_ABI,
    .size = sizeof(qds_backend),
    .name = "cuda",
    .probe = qds_cuda_probe,
    .open = qds_cuda_open,
    .close = qds_cuda_close,
    .allocate = qds_cuda_allocate,
    .release = qds_cuda_release,
    .memory = qds_cuda_memory,
    .copy = qds_cuda_copy,
    .fill = qds_cuda_fill,
    .stream_create = qds_cuda_stream_create,
    .stream_destroy = qds_cuda_stream_destroy,
    .stream_synchronise = qds_cuda_stream_synchronise,
    .stream_idle = qds_cuda_stream_idle,
    .event_create = qds_cuda_event_create,
    .event_destroy = qds_cuda_event_destroy,
    .event_record = qds_cuda_event_record,
    .event_wait = qds_cuda_event_wait,
    .event_synchronise = qds_cuda_event_synchronise,
    .event_done = qds_cuda_event_done,
    .event_seconds = qds_cuda_event_seconds,
    .host_function = qds_cuda_host_function,
    .launch = qds_cuda_launch,
    .run = NULL,
    .capture_begin = qds_cuda_capture_begin,
    .capture_end = qds_cuda_capture_end,
    .graph_launch = qds_cuda_graph_launch,
    .graph_destroy = qds_cuda_graph_destroy,
    .inject = NULL,
    .piece_create = qds_cuda_piece_create,
    .piece_destroy = qds_cuda_piece_destroy,
    .addresses_reserve = qds_cuda_addresses_reserve,
    .addresses_release = qds_cuda_addresses_release,
    .piece_map = qds_cuda_piece_map,
    .piece_unmap = qds_cuda_piece_unmap,
};

extern "C" QDS_API const qds_backend *qds_plugin_backend(void) {
  return &backend;
}

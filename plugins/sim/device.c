#include "sim.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum { DEFAULT_SEED = 1, DEFAULT_DEVICES = 1, MOST_DEVICES = 16 };
static const uint64_t default_memory_bytes = (uint64_t)1 << 30, most_memory_bytes = (uint64_t)1 << 36;

/* --- the environment --------------------------------------------------------------------------------------
 */

/* A whole number from `least` to `most`, with a binary suffix where that makes sense; `fallback` when the
 * variable is not set. Returns NULL or what is wrong. */
static const char *read_number(const char *name, uint64_t least, uint64_t most, uint64_t fallback,
                               uint64_t *out) {
  static const char *const suffixes[] = {"", "KiB", "MiB", "GiB"};
  const char *text = getenv(name);
  char *end;
  *out = fallback;
  if (!text || !*text) return NULL;
  errno = 0;
  const unsigned long long number = strtoull(text, &end, 10);
  if (errno || end == text || *text < '0' || *text > '9') return "is no whole number";
  for (unsigned i = 0; i < sizeof suffixes / sizeof *suffixes; i++) {
    if (strcasecmp(end, suffixes[i]) != 0) continue;
    if (number > most >> 10 * i || number << 10 * i < least) return "is out of range";
    *out = number << 10 * i;
    return NULL;
  }
  return "is no whole number";
}

static const char *read_devices(uint64_t *count) {
  return read_number("QDSIM_SIM_DEVICES", 0, MOST_DEVICES, DEFAULT_DEVICES, count);
}

static int probe(const qds_host_api *host, char *why, size_t why_bytes) {
  uint64_t count;
  (void)host;
  const char *wrong = read_devices(&count);
  if (wrong)
    snprintf(why, why_bytes, "QDSIM_SIM_DEVICES=%s %s; 0 to %d are allowed", getenv("QDSIM_SIM_DEVICES"),
             wrong, MOST_DEVICES);
  else if (count == 0)
    snprintf(why, why_bytes, "QDSIM_SIM_DEVICES is 0");
  return wrong ? 0 : (int)count;
}

static qds_status read_environment(sim_device *device) {
  uint64_t bytes;
  const char *wrong = read_number("QDSIM_SIM_SEED", 0, UINT64_MAX, DEFAULT_SEED, &device->seed);
  if (wrong) SIM_FAIL(device, QDS_ERROR_INPUT, "QDSIM_SIM_SEED=%s %s", getenv("QDSIM_SIM_SEED"), wrong);
  wrong = read_number("QDSIM_SIM_MEMORY", 4096, most_memory_bytes, default_memory_bytes, &bytes);
  if (wrong)
    SIM_FAIL(device, QDS_ERROR_INPUT, "QDSIM_SIM_MEMORY=%s %s; 4KiB to 64GiB are allowed",
             getenv("QDSIM_SIM_MEMORY"), wrong);
  device->random = device->seed;
  device->memory_bytes = (size_t)bytes;
  return QDS_OK;
}

/* --- opening and closing ----------------------------------------------------------------------------------
 */

static qds_status open_device(const qds_host_api *host, int index, void **state,
                              qds_accelerator_properties *properties) {
  (void)index;
  sim_device *device = calloc(1, sizeof *device);
  if (!device)
    return host->raise(QDS_ERROR_MEMORY, __FILE__, __LINE__, 0,
                       "out of memory: no room for a simulated device");
  device->host = host;
  qds_status status = read_environment(device);
  if (status == QDS_OK) status = sim_space_open(device);
  if (status == QDS_OK) status = sim_worker_start(device);
  if (status == QDS_OK) {
    status = sim_stream_create(device, (void **)&device->standard);
    if (status != QDS_OK) sim_worker_stop(device);
  }
  if (status != QDS_OK) {
    sim_space_close(device);
    free(device);
    return status;
  }
  *properties = (qds_accelerator_properties){.memory_bytes = device->memory_bytes};
  snprintf(properties->name, sizeof properties->name, "simulated device for tests");
  snprintf(properties->version, sizeof properties->version, "seed %" PRIu64, device->seed);
  *state = device;
  return QDS_OK;
}

/* What was never given back, and wrong use that nobody was told of, must not go unseen, and there is nobody
 * left to tell. */
static void check_end(const sim_device *device) {
  if (device->block_count == 0 && device->live_streams == 0 && device->live_events == 0 &&
      device->live_graphs == 0 && !device->misused)
    return;
  fprintf(stderr,
          "qdsim: sim: closed with %zu blocks, %zu streams, %zu events and %zu graphs not given back%s%s "
          "(QDSIM_SIM_SEED=%" PRIu64 ")\n",
          device->block_count, device->live_streams, device->live_events, device->live_graphs,
          device->misused ? "; " : "", device->misuse, device->seed);
  abort();
}

static void close_device(void *state) {
  sim_device *device = state;
  sim_stream_destroy(device, device->standard);
  sim_worker_stop(device);
  check_end(device);
  sim_space_close(device);
  for (size_t i = 0; i < SIM_QUARANTINE; i++) free(device->quarantine[i]);
  free(device);
}

/* --- wrong use --------------------------------------------------------------------------------------------
 */

void sim_misuse(sim_device *device, const char *format, ...) {
  if (device->misused) return;
  va_list arguments;
  va_start(arguments, format);
  vsnprintf(device->misuse, sizeof device->misuse, format, arguments);
  va_end(arguments);
  device->misused = 1;
}

qds_status sim_report_misuse(sim_device *device) {
  if (!device->misused) return QDS_OK;
  device->misused = 0;
  SIM_FAIL(device, QDS_ERROR_INTERNAL, "%s", device->misuse);
}

qds_status sim_check(sim_device *device, int life, const void *object, const char *what) {
  if (pthread_equal(pthread_self(), device->worker))
    SIM_FAIL(device, QDS_ERROR_INTERNAL, "%s was called from a host function", what);
  if (object && *(const int *)object != life)
    SIM_FAIL(device, QDS_ERROR_INTERNAL, "%s was given a destroyed stream, event or graph", what);
  return QDS_OK;
}

void sim_bury(sim_device *device, void *object) {
  void **place = &device->quarantine[device->quarantined++ % SIM_QUARANTINE];
  free(*place);
  *place = object;
}

int sim_injected(sim_device *device, qds_injection what) {
  return device->inject[what] > 0 && --device->inject[what] == 0;
}

static qds_status inject(void *state, qds_injection what, uint64_t n) {
  sim_device *device = state;
  SIM_LOCK(device);
  device->inject[what] = n;
  return QDS_OK;
}

/* --- the table --------------------------------------------------------------------------------------------
 */

__attribute__((visibility("default"))) const qds_backend *qds_plugin_backend(void);
const qds_backend *qds_plugin_backend(void) {
  static const qds_backend backend = {
      .abi = QDS_BACKEND_ABI,
      .size = sizeof(qds_backend),
      .name = "sim",
      .probe = probe,
      .open = open_device,
      .close = close_device,
      .allocate = sim_allocate,
      .release = sim_release,
      .memory = sim_memory,
      .copy = sim_copy,
      .fill = sim_fill,
      .stream_create = sim_stream_create,
      .stream_destroy = sim_stream_destroy,
      .stream_synchronise = sim_stream_synchronise,
      .stream_idle = sim_stream_idle,
      .event_create = sim_event_create,
      .event_destroy = sim_event_destroy,
      .event_record = sim_event_record,
      .event_wait = sim_event_wait,
      .event_synchronise = sim_event_synchronise,
      .event_done = sim_event_done,
      .event_seconds = sim_event_seconds,
      .host_function = sim_host_function,
      .run = sim_run,
      .capture_begin = sim_capture_begin,
      .capture_end = sim_capture_end,
      .graph_launch = sim_graph_launch,
      .graph_destroy = sim_graph_destroy,
      .inject = inject,
  };
  return &backend;
}

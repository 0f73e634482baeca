/* A device that does nothing but keep account of its memory: its addresses lead nowhere, its streams are
 * always idle. It comes with memory in pieces and with whole segments only, and ends the program when it is
 * asked for what no device could do: memory behind addresses that have some, a piece in two places. */
#ifndef QDS_TESTS_IDLE_DEVICE_H
#define QDS_TESTS_IDLE_DEVICE_H

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#include "mem/accelerator.h"

enum { IDLE_PIECE = 2 << 20 };
#define IDLE_MEMORY ((size_t)141000 << 20)
#define IDLE_FIRST ((size_t)1 << 40)

typedef struct {
  size_t bytes;
  int mapped;
} idle_piece;

typedef struct idle_segment {
  struct idle_segment *next;
  size_t begin, bytes;
} idle_segment;

/* How often it was asked for what costs a driver time. */
typedef struct {
  size_t memory;                                                     /* blocks taken and given back */
  size_t creations, mappings, permissions, unmappings, destructions; /* of pieces */
  size_t records, waits, questions, synchronisations;                /* of events and streams */
} idle_counts;

typedef struct {
  const qds_host_api *host;
  pthread_mutex_t lock;
  idle_counts counts;
  size_t next, held, memory, objects; /* memory: what there is */
  int busy;                           /* no event is done */
  struct idle_segment *segments;
  idle_piece **table; /* what lies behind each IDLE_PIECE of the addresses */
} idle_device;

static inline void idle_unlock(pthread_mutex_t **lock) {
  pthread_mutex_unlock(*lock);
}
/* Until the end of the scope. */
#define IDLE_LOCK(device)                                                                                    \
  __attribute__((cleanup(idle_unlock), unused)) pthread_mutex_t *idle_lock = &(device)->lock;                \
  pthread_mutex_lock(idle_lock)

static inline void idle_assert(int condition, const char *what) {
  if (condition) return;
  fprintf(stderr, "idle device: %s\n", what);
  abort();
}

static inline int idle_probe(const qds_host_api *host, char *why, size_t why_bytes) {
  (void)host, (void)why, (void)why_bytes;
  return 1;
}

static inline qds_status idle_open(const qds_host_api *host, int index, void **state,
                                   qds_accelerator_properties *properties) {
  (void)index;
  idle_device *device = calloc(1, sizeof *device);
  idle_assert(device != NULL, "no room");
  *device = (idle_device){.host = host, .next = (size_t)1 << 30, .memory = IDLE_MEMORY};
  pthread_mutex_init(&device->lock, NULL);
  *properties = (qds_accelerator_properties){.name = "idle", .memory_bytes = IDLE_MEMORY};
  *state = device;
  return QDS_OK;
}

static inline void idle_close(void *state) {
  idle_device *device = state;
  idle_assert(device->held == 0, "memory was not given back");
  pthread_mutex_destroy(&device->lock);
  free(device);
}

static inline qds_status idle_take(idle_device *device, size_t bytes) {
  if (bytes > device->memory || device->held > device->memory - bytes)
    return device->host->raise(QDS_ERROR_MEMORY, __FILE__, __LINE__, 0, "idle: no room for %zu bytes", bytes);
  device->held += bytes;
  return QDS_OK;
}

static inline qds_status idle_allocate(void *state, qds_memory_kind kind, size_t bytes, void **out) {
  idle_device *device = state;
  IDLE_LOCK(device);
  (void)kind;
  *out = NULL;
  device->counts.memory++;
  const qds_status status = idle_take(device, bytes);
  if (status != QDS_OK) return status;
  idle_segment *segment = malloc(sizeof *segment);
  idle_assert(segment != NULL, "no room");
  *segment = (idle_segment){device->segments, device->next, bytes};
  device->segments = segment;
  device->next += bytes + IDLE_PIECE;
  *out = (void *)segment->begin;
  return QDS_OK;
}

static inline void idle_release(void *state, qds_memory_kind kind, void *block) {
  idle_device *device = state;
  IDLE_LOCK(device);
  (void)kind;
  device->counts.memory++;
  idle_segment **at = &device->segments;
  while (*at && (*at)->begin != (size_t)block) at = &(*at)->next;
  idle_assert(*at != NULL, "a release of what was not allocated");
  idle_segment *segment = *at;
  *at = segment->next;
  device->held -= segment->bytes;
  free(segment);
}

static inline qds_status idle_memory(void *state, size_t *free_bytes, size_t *total_bytes) {
  idle_device *device = state;
  IDLE_LOCK(device);
  *free_bytes = device->memory - device->held;
  *total_bytes = device->memory;
  return QDS_OK;
}

static inline qds_status idle_create(void *state, void **out) {
  idle_device *device = state;
  *out = (void *)__atomic_add_fetch(&device->objects, 1, __ATOMIC_RELAXED);
  return QDS_OK;
}
static inline void idle_destroy(void *state, void *object) {
  (void)state, (void)object;
}
static inline void idle_count(size_t *counter) {
  __atomic_add_fetch(counter, 1, __ATOMIC_RELAXED);
}
static inline qds_status idle_synchronise(void *state, void *object) {
  (void)object;
  idle_count(&((idle_device *)state)->counts.synchronisations);
  return QDS_OK;
}
static inline qds_status idle_ask(void *state, void *object, int *answer) {
  (void)object;
  idle_count(&((idle_device *)state)->counts.questions);
  *answer = !((idle_device *)state)->busy;
  return QDS_OK;
}
static inline qds_status idle_record(void *state, void *event, void *stream) {
  (void)event, (void)stream;
  idle_count(&((idle_device *)state)->counts.records);
  return QDS_OK;
}
static inline qds_status idle_wait(void *state, void *event, void *stream) {
  (void)event, (void)stream;
  idle_count(&((idle_device *)state)->counts.waits);
  return QDS_OK;
}
static inline qds_status idle_seconds(void *state, void *start, void *end, double *seconds) {
  (void)state, (void)start, (void)end;
  *seconds = 0;
  return QDS_OK;
}
static inline qds_status idle_copy(void *state, void *stream, void *to, const void *from, size_t bytes) {
  (void)state, (void)stream, (void)to, (void)from, (void)bytes;
  return QDS_OK;
}
static inline qds_status idle_fill(void *state, void *stream, void *to, int byte, size_t bytes) {
  (void)state, (void)stream, (void)to, (void)byte, (void)bytes;
  return QDS_OK;
}
static inline qds_status idle_call(void *state, void *stream, void (*function)(void *), void *data) {
  (void)state, (void)stream;
  function(data);
  return QDS_OK;
}
static inline qds_status idle_run(void *state, void *stream, void (*function)(const void *, int),
                                  const void *arguments, size_t bytes, int threads) {
  (void)state, (void)stream, (void)function, (void)arguments, (void)bytes, (void)threads;
  return QDS_OK;
}

/* --- pieces --------------------------------------------------------------------------------------------- */

static inline qds_status idle_piece_create(void *state, size_t bytes, void **out) {
  idle_device *device = state;
  IDLE_LOCK(device);
  *out = NULL;
  device->counts.creations++;
  const qds_status status = idle_take(device, bytes);
  if (status != QDS_OK) return status;
  idle_piece *piece = calloc(1, sizeof *piece);
  idle_assert(piece != NULL, "no room");
  piece->bytes = bytes;
  *out = piece;
  return QDS_OK;
}

static inline void idle_piece_destroy(void *state, void *object) {
  idle_device *device = state;
  IDLE_LOCK(device);
  idle_piece *piece = object;
  device->counts.destructions++;
  idle_assert(!piece->mapped, "a piece was destroyed where it lies");
  device->held -= piece->bytes;
  free(piece);
}

static inline qds_status idle_addresses_reserve(void *state, size_t bytes, void **begin) {
  idle_device *device = state;
  device->table = calloc(bytes / IDLE_PIECE, sizeof *device->table);
  idle_assert(device->table != NULL, "no room");
  *begin = (void *)IDLE_FIRST;
  return QDS_OK;
}

static inline void idle_addresses_release(void *state, void *begin, size_t bytes) {
  idle_device *device = state;
  (void)begin;
  for (size_t i = 0; i < bytes / IDLE_PIECE; i++)
    idle_assert(!device->table[i], "memory lies behind released addresses");
  free(device->table);
}

static inline qds_status idle_piece_map(void *state, void *begin, void *object, size_t bytes) {
  idle_device *device = state;
  idle_piece *piece = object;
  IDLE_LOCK(device);
  device->counts.mappings++;
  idle_assert(!piece->mapped++, "a piece lies in two places");
  idle_assert(piece->bytes == bytes, "a part of a piece");
  idle_piece **at = device->table + ((size_t)begin - IDLE_FIRST) / IDLE_PIECE;
  for (size_t i = 0; i < bytes / IDLE_PIECE; i++) {
    idle_assert(!at[i], "memory lies behind these addresses already");
    at[i] = piece;
  }
  return QDS_OK;
}

static inline void idle_piece_unmap(void *state, void *begin, size_t bytes) {
  idle_device *device = state;
  IDLE_LOCK(device);
  device->counts.unmappings++;
  idle_piece **at = device->table + ((size_t)begin - IDLE_FIRST) / IDLE_PIECE;
  idle_assert(at[0] && at[0]->bytes == bytes, "no whole piece lies behind these addresses");
  at[0]->mapped--;
  for (size_t i = 0; i < bytes / IDLE_PIECE; i++) at[i] = NULL;
}

#define IDLE_SLOTS                                                                                           \
  .abi = QDS_BACKEND_ABI, .size = sizeof(qds_backend), .probe = idle_probe, .open = idle_open,               \
  .close = idle_close, .allocate = idle_allocate, .release = idle_release, .memory = idle_memory,            \
  .copy = idle_copy, .fill = idle_fill, .stream_create = idle_create, .stream_destroy = idle_destroy,        \
  .stream_synchronise = idle_synchronise, .stream_idle = idle_ask, .event_create = idle_create,              \
  .event_destroy = idle_destroy, .event_record = idle_record, .event_wait = idle_wait,                       \
  .event_synchronise = idle_synchronise, .event_done = idle_ask, .event_seconds = idle_seconds,              \
  .host_function = idle_call, .run = idle_run

static const qds_backend idle_segments = {.name = "segments", IDLE_SLOTS};
static const qds_backend idle_pieces = {
    .name = "pieces",
    IDLE_SLOTS,
    .piece_create = idle_piece_create,
    .piece_destroy = idle_piece_destroy,
    .addresses_reserve = idle_addresses_reserve,
    .addresses_release = idle_addresses_release,
    .piece_map = idle_piece_map,
    .piece_unmap = idle_piece_unmap,
};

#endif

/* The pretended GPU: a back end whose only purpose is that wrong use of a device fails on machines without
 * one.
 *
 * Memory. The addresses that callers get are never accessible: the host that touches one dies by SIGSEGV, as
 * with a real device. Each stands for memory at the same distance `shift` above it, which operations use.
 * Pointers in the arguments of a kernel are found among their 8-byte words and shifted; `shift` is a multiple
 * of 4 GiB, so that a 32-bit number that shares its word with a piece of an old pointer keeps its value.
 *
 * Time. An operation waits in the queue of its stream until one worker thread runs it. The worker acts when
 * somebody waits, now and then when something is enqueued or asked, and after a while of silence; which of
 * the streams that can go on goes on is drawn from the seed. With one calling thread, no host functions and
 * no silence the order depends on the seed alone.
 *
 * Wrong use that a call can refuse is refused there; what shows in a call that returns nothing (release,
 * destroy) is reported by the next synchronise of any stream. All of it is QDS_ERROR_INTERNAL: it is the
 * library's fault, not the user's. */
#ifndef QDS_PLUGINS_SIM_H
#define QDS_PLUGINS_SIM_H

#include <inttypes.h>
#include <pthread.h>

#include "mem/backend.h"

typedef struct sim_device sim_device;
typedef struct sim_stream sim_stream;
typedef struct sim_graph sim_graph;
typedef struct sim_operation sim_operation;

/* --- memory.c ---------------------------------------------------------------------------------------------
 */

typedef struct {
  uint64_t id; /* never given twice */
  qds_memory_kind kind;
  char *address; /* what callers know */
  char *memory;  /* where operations find it */
  size_t bytes;
  size_t pending; /* enqueued operations that use it */
  int released;   /* by the caller, but kept for those */
} sim_block;

/* A block that an operation uses; blocks move in their table, so they are named by address. */
typedef struct {
  const char *address;
  uint64_t id;
} sim_use;

qds_status sim_space_open(sim_device *device);
void sim_space_close(sim_device *device);
/* The block that [address, address + bytes) begins in or ends at; NULL: no memory of this device. */
sim_block *sim_block_find(sim_device *device, const void *address);
/* Where the range lies for operations; *use names its block, id 0 for memory of the host that the device does
 * not know. Refuses ranges of which a part is not there. */
qds_status sim_range(sim_device *device, const char *what, const void *address, size_t bytes, char **memory,
                     sim_use *use);
/* Refuses a use of memory that was released since. */
qds_status sim_use_check(sim_device *device, const sim_use *use);
void sim_use_begin(sim_device *device, const sim_use *use);
void sim_use_end(sim_device *device, const sim_use *use);

qds_status sim_allocate(void *state, qds_memory_kind kind, size_t bytes, void **out);
void sim_release(void *state, qds_memory_kind kind, void *block);
qds_status sim_memory(void *state, size_t *free_bytes, size_t *total_bytes);

/* --- operation.c ------------------------------------------------------------------------------------------
 */

/* One record of an event. Waits refer to it and not to the event, which may be recorded again. */
typedef struct {
  int references, done;
  double seconds; /* when it was reached */
} sim_ticket;

typedef enum { SIM_COPY, SIM_FILL, SIM_RUN, SIM_CALL, SIM_RECORD, SIM_WAIT, SIM_GRAPH } sim_kind;

struct sim_operation {
  sim_operation *next;
  sim_kind kind;
  int fails;    /* injected */
  int on_stack; /* of the caller, who waits for it */
  char *to;
  const char *from;
  size_t bytes;
  int byte, threads;
  void (*run)(const void *arguments, int threads);
  void (*call)(void *data);
  void *data;         /* of call */
  void *payload;      /* arguments of run, staged bytes of a copy */
  sim_ticket *ticket; /* of record and wait */
  sim_graph *graph;
  size_t uses;
  sim_use *use; /* blocks; stands behind the operation */
};

qds_status sim_operation_create(sim_device *device, sim_kind kind, size_t uses, size_t payload,
                                sim_operation **out);
void sim_operation_destroy(sim_operation *operation);
void sim_operation_perform(const sim_operation *operation); /* without the lock */
void sim_ticket_release(sim_ticket *ticket);

qds_status sim_copy(void *state, void *stream, void *to, const void *from, size_t bytes);
qds_status sim_fill(void *state, void *stream, void *to, int byte, size_t bytes);
qds_status sim_host_function(void *state, void *stream, void (*function)(void *), void *data);
qds_status sim_run(void *state, void *stream, void (*function)(const void *arguments, int threads),
                   const void *arguments, size_t bytes, int threads);

/* --- stream.c ---------------------------------------------------------------------------------------------
 */

enum { SIM_STREAM_ALIVE = 0x51a0, SIM_EVENT_ALIVE, SIM_GRAPH_ALIVE, SIM_DEAD };

struct sim_stream {
  int life;
  sim_device *device;
  sim_stream *next;
  sim_operation *first, **last;
  sim_operation *running;
  sim_graph *capture; /* being recorded; NULL: none */
  pthread_t capturer;
  int failed; /* `failure` has not been reported */
  char failure[128];
};

/* Appends to the stream's queue, or to the graph that it is captured into; takes the operation. */
qds_status sim_enqueue(sim_stream *stream, sim_operation *operation);

qds_status sim_stream_create(void *state, void **stream);
void sim_stream_destroy(void *state, void *stream);
qds_status sim_stream_synchronise(void *state, void *stream);
qds_status sim_stream_idle(void *state, void *stream, int *idle);

/* --- event.c ----------------------------------------------------------------------------------------------
 */

qds_status sim_event_create(void *state, void **event);
void sim_event_destroy(void *state, void *event);
qds_status sim_event_record(void *state, void *event, void *stream);
qds_status sim_event_wait(void *state, void *event, void *stream);
qds_status sim_event_synchronise(void *state, void *event);
qds_status sim_event_done(void *state, void *event, int *done);
qds_status sim_event_seconds(void *state, void *start, void *end, double *seconds);

/* --- worker.c ---------------------------------------------------------------------------------------------
 */

typedef struct sim_waiter sim_waiter;
struct sim_waiter {
  sim_waiter *next;
  const sim_ticket *ticket; /* waits for it; NULL: for `steps` operations */
  size_t steps;
};

qds_status sim_worker_start(sim_device *device);
void sim_worker_stop(sim_device *device);
/* A number below `bound`, drawn from the seed. */
uint64_t sim_draw(sim_device *device, uint64_t bound);
/* Lets the worker run until the ticket is done. */
void sim_wait(sim_device *device, const sim_ticket *ticket);
/* Lets the worker run one operation, of whatever stream; comes back at once when that could wait for the
 * caller, because a host function is in some queue. */
void sim_advance(sim_device *device);

/* --- graph.c ----------------------------------------------------------------------------------------------
 */

struct sim_graph {
  int life;
  int references;
  int broken; /* by a call that must not be made while capturing */
  sim_operation *first, **last;
};

void sim_graph_release(sim_graph *graph);
/* Refuses what must not be done with a stream that is being captured, and spoils the capture. */
qds_status sim_refuse_capture(sim_stream *stream, const char *what);
/* As sim_refuse_capture, for calls without a stream by a thread that captures one. */
qds_status sim_refuse_while_capturing(sim_device *device, const char *what);

qds_status sim_capture_begin(void *state, void *stream);
qds_status sim_capture_end(void *state, void *stream, void **graph);
qds_status sim_graph_launch(void *state, void *graph, void *stream);
void sim_graph_destroy(void *state, void *graph);

/* --- device.c ---------------------------------------------------------------------------------------------
 */

enum { SIM_INJECTIONS = QDS_INJECT_LAUNCH + 1, SIM_QUARANTINE = 1024 };

struct sim_device {
  const qds_host_api *host;
  uint64_t seed, random;
  size_t memory_bytes;  /* how much there is */
  pthread_mutex_t lock; /* of all that follows, and of streams, events and graphs */

  char *space, *space_end; /* device addresses */
  ptrdiff_t shift;
  void *reserved;
  size_t reserved_bytes;
  char *next_address;
  sim_block *blocks; /* by address */
  size_t block_count, block_room;
  size_t used_bytes;
  uint64_t last_id;

  sim_stream *streams, *standard; /* all; the one that NULL names */
  size_t live_streams, live_events, live_graphs;
  void *quarantine[SIM_QUARANTINE]; /* destroyed streams and events, so that their use shows */
  size_t quarantined;

  pthread_t worker;
  pthread_cond_t work, done;
  sim_waiter *waiters;
  size_t pending, host_functions, staged_bytes; /* in all queues */
  size_t grants;                                /* operations that may run without a waiter */
  uint64_t calls;
  int stopping;

  uint64_t inject[SIM_INJECTIONS];
  int misused; /* `misuse` has not been reported */
  char misuse[512];
};

/* NULL names the default stream, as it does for CUDA. */
static inline sim_stream *sim_stream_of(sim_device *device, void *handle) {
  return handle ? handle : device->standard;
}
/* Keeps the first wrong use since the last report. */
void sim_misuse(sim_device *device, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* Reports a kept wrong use, once. */
qds_status sim_report_misuse(sim_device *device);
/* Whether an operation of this sort is the one that is to fail. */
int sim_injected(sim_device *device, qds_injection what);
/* Refuses handles that are dead and calls from host functions. */
qds_status sim_check(sim_device *device, int life, const void *object, const char *what);
/* Keeps a dead object for a while, then frees it. */
void sim_bury(sim_device *device, void *object);

#define SIM_FAIL(device, status, format, ...)                                                                \
  return (device)->host->raise((status), __FILE__, __LINE__, 0,                                              \
                               "sim: " format " (QDSIM_SIM_SEED=%" PRIu64 ")", ##__VA_ARGS__,                \
                               (device)->seed)
#define SIM_TRY(call)                                                                                        \
  do {                                                                                                       \
    const qds_status sim_try_status = (call);                                                                \
    if (sim_try_status != QDS_OK) return sim_try_status;                                                     \
  } while (0)

/* Holds the lock of the device until the end of the scope. */
#define SIM_LOCK(device)                                                                                     \
  __attribute__((cleanup(sim_unlock), unused)) pthread_mutex_t *sim_lock = &(device)->lock;                  \
  pthread_mutex_lock(sim_lock)
static inline void sim_unlock(pthread_mutex_t **lock) {
  pthread_mutex_unlock(*lock);
}

#endif

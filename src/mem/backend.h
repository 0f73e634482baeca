/* The table that a back end (plugin) offers, and what it gets from the library.
 *
 * A plugin is a shared library that exports qds_plugin_backend. It links back to nothing of libqdsim: what it
 * needs comes in the host table. Both tables begin with the ABI number and their size; a table of another ABI
 * or of a smaller size is refused with that reason. Slots marked optional may be NULL.
 *
 * Fallible slots return a status and have raised their error through host->raise. Fronts have checked the
 * arguments; back ends do not check again. */
#ifndef QDS_MEM_BACKEND_H
#define QDS_MEM_BACKEND_H

#include <stddef.h>
#include <stdint.h>

#include "qdsim/status.h"

enum { QDS_BACKEND_ABI = 1 };

typedef struct {
  uint32_t abi;
  size_t size;
  qds_status (*raise)(qds_status status, const char *file, int line, long native, const char *format, ...)
      __attribute__((format(printf, 5, 6)));
} qds_host_api;

typedef struct {
  char name[128];       /* "NVIDIA H200" */
  char version[128];    /* of driver and run-time library */
  size_t memory_bytes;  /* of the device */
  int multiprocessors;  /* 0 where that means nothing */
  int capability[2];    /* CUDA's compute capability; 0, 0 elsewhere */
  double bandwidth_B_s; /* the datasheet's, 0: unknown */
} qds_accelerator_properties;

/* Where memory of a back end lies. */
typedef enum {
  QDS_MEMORY_DEVICE,  /* on the device; the host must not touch it */
  QDS_MEMORY_PINNED,  /* on the host, page-locked, for copies */
  QDS_MEMORY_MAPPED,  /* on the host, page-locked, readable by the device at the same address */
  QDS_MEMORY_MANAGED, /* moves by itself on access from either side */
  QDS_MEMORY_KINDS
} qds_memory_kind;

/* What a test lets fail: the n-th such operation from now. */
typedef enum { QDS_INJECT_ALLOCATION, QDS_INJECT_COPY, QDS_INJECT_LAUNCH } qds_injection;

typedef struct qds_backend {
  uint32_t abi;
  size_t size;
  const char *name; /* "cuda" */

  /* How many devices there are. 0: none, and `why` says why in one line. Must not fail in another way, and
   * must be cheap: qdsim info and `auto` call it. */
  int (*probe)(const qds_host_api *host, char *why, size_t why_bytes);
  /* Opens device `index` (below probe's count) and tells its properties. */
  qds_status (*open)(const qds_host_api *host, int index, void **state,
                     qds_accelerator_properties *properties);
  /* Every allocation, stream, event and graph has been given back before. */
  void (*close)(void *state);

  /* --- memory. Thread-safe. ----------------------------------------------------------------------------- */
  /* Aligned to 256 bytes at least; QDS_ERROR_MEMORY when there is no room, and the device stays usable. */
  qds_status (*allocate)(void *state, qds_memory_kind kind, size_t bytes, void **out);
  /* No operation that uses the block may be under way. */
  void (*release)(void *state, qds_memory_kind kind, void *block);
  qds_status (*memory)(void *state, size_t *free_bytes, size_t *total_bytes);
  /* Enqueues; either side may be any memory of this back end or of the host. With pageable host memory it may
   * wait for the copy. The blocks do not overlap. */
  qds_status (*copy)(void *state, void *stream, void *to, const void *from, size_t bytes);
  qds_status (*fill)(void *state, void *stream, void *to, int byte, size_t bytes);

  /* --- streams and events. A stream is used by one thread at a time. ------------------------------------ */
  qds_status (*stream_create)(void *state, void **stream);
  void (*stream_destroy)(void *state, void *stream); /* waits for its work */
  /* Waits; reports a failure of any operation enqueued before, once. */
  qds_status (*stream_synchronise)(void *state, void *stream);
  qds_status (*stream_idle)(void *state, void *stream, int *idle);
  qds_status (*event_create)(void *state, void **event);
  void (*event_destroy)(void *state, void *event);
  qds_status (*event_record)(void *state, void *event, void *stream);
  qds_status (*event_wait)(void *state, void *event, void *stream); /* the stream waits, not the host */
  qds_status (*event_synchronise)(void *state, void *event);
  qds_status (*event_done)(void *state, void *event, int *done); /* an event never recorded is done */
  qds_status (*event_seconds)(void *state, void *start, void *end, double *seconds);
  /* Calls `function` on a thread of the back end's own, in stream order; it must not call the back end. */
  qds_status (*host_function)(void *state, void *stream, void (*function)(void *), void *data);

  /* --- kernels. A back end has exactly one of the two. -------------------------------------------------- */
  /* Enqueues its own kernel number `kernel` (kernel.h) with a copy of the argument structure. */
  qds_status (*launch)(void *state, void *stream, int kernel, const void *arguments, size_t bytes);
  /* Enqueues the library's own function for the CPU, with a copy of the argument structure. */
  qds_status (*run)(void *state, void *stream, void (*function)(const void *arguments, int threads),
                    const void *arguments, size_t bytes, int threads);

  /* --- graphs: optional, all four or none. -------------------------------------------------------------- */
  qds_status (*capture_begin)(void *state, void *stream);
  qds_status (*capture_end)(void *state, void *stream, void **graph);
  qds_status (*graph_launch)(void *state, void *graph, void *stream);
  void (*graph_destroy)(void *state, void *graph);

  /* --- for tests: optional. ----------------------------------------------------------------------------- */
  qds_status (*inject)(void *state, qds_injection what, uint64_t n); /* 0 switches it off */

  /* --- memory in pieces: optional, all or none. Thread-safe. ---------------------------------------------
   * Physical memory that is put behind any part of a range of addresses, so that free memory which lies
   * scattered serves a large block. Sizes are multiples of 2 MiB; pieces are memory of the device. */
  qds_status (*piece_create)(void *state, size_t bytes, void **piece); /* errors as allocate */
  void (*piece_destroy)(void *state, void *piece);                     /* lies behind no address */
  qds_status (*addresses_reserve)(void *state, size_t bytes, void **begin);
  void (*addresses_release)(void *state, void *begin, size_t bytes); /* nothing lies behind them */
  /* Puts a piece of `bytes` behind the addresses from `begin` on. */
  qds_status (*piece_map)(void *state, void *begin, void *piece, size_t bytes);
  /* Takes it away from there. No operation that uses the addresses may be under way. */
  void (*piece_unmap)(void *state, void *begin, size_t bytes);
} qds_backend;

/* The one function that a plugin exports, under this name. */
#define QDS_PLUGIN_SYMBOL "qds_plugin_backend"
typedef const qds_backend *(*qds_plugin_backend_fn)(void);

#endif

/* The context: threads, memory account, messages, progress and interruption of one user of the library.
 *
 * Two contexts in one process share nothing. A context may be used by one thread at a time, except
 * qds_context_interrupt, which any thread and any signal handler may call. */
#ifndef QDSIM_CONTEXT_H
#define QDSIM_CONTEXT_H

#include <stddef.h>
#include <stdint.h>

#include "qdsim/status.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct qds_context qds_context;

typedef enum { QDS_LOG_ERROR, QDS_LOG_WARNING, QDS_LOG_INFO, QDS_LOG_DEBUG } qds_log_level;

/* Receives every message of the library; `text` has no newline and is valid during the call only. */
typedef void (*qds_log_fn)(void *user, qds_log_level level, const char *text);

/* Receives the progress of long work: `phase` is a short name ("solve"), `fraction` rises from 0 to 1
 * (negative: unknown), `detail` is a short text such as "residual 3e-05 eV" or "". Called from the thread
 * that called the library, at most a few times a second. A return other than 0 interrupts the work. */
typedef int (*qds_progress_fn)(void *user, const char *phase, double fraction, const char *detail);

typedef struct {
  size_t struct_size;
  const char *device;         /* "cpu", "cuda", "cuda:1", "sim", "sim:1" or "auto"; NULL: "cpu" */
  int threads;                /* 0: all cores this process may use */
  size_t memory_limit;        /* bytes of the host, page-locked ones too, held at once; 0: no limit */
  uint64_t seed;              /* of every random number the context draws */
  qds_log_fn log;             /* NULL: silent */
  qds_progress_fn progress;   /* NULL: none */
  void *user;                 /* handed to log and progress */
  size_t device_memory_limit; /* bytes of the device, managed ones too; 0: what there is */
  /* A folder on a disk, for the files that take what passes memory_limit. NULL: $TMPDIR, else /var/tmp; "":
   * none, and work that passes the limit is refused. */
  const char *scratch;
  /* A file for a trace of every block that is taken and given back (docs/memory.md); NULL: none. A context
   * that cannot be created leaves no file. */
  const char *memory_trace;
  /* How much the device pool may hold of the device, over the most that was ever used at once: 1 or more,
   * 0: 1.15. Within little slack, scattered free memory is put behind new addresses or goes back to the
   * device before more is taken, which takes time; INFINITY: never, and the pool is as fast as it can be. */
  double device_pool_slack;
} qds_context_options;

#define QDS_CONTEXT_OPTIONS_INIT                                                                             \
  { sizeof(qds_context_options), 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0 }

/* options NULL: all defaults. A device that is asked for by name and cannot be used is an error that says
 * why; "auto" takes the GPU when there is one and else the CPU, and keeps the reason. Errors: ARGUMENT
 * (unknown device, negative threads, slack below 1), UNSUPPORTED (no such device here), MEMORY, FILE
 * (memory_trace). In the child of a fork work on a device is UNSUPPORTED, and what is destroyed there leaves
 * the device alone, which is the parent's. */
QDS_API qds_status qds_context_create(const qds_context_options *options, qds_context **out);

/* Destroys the context. Memory taken through it and still held is a leak: each block is reported through the
 * log function at level ERROR with tag, bytes and source line. NULL is allowed. */
QDS_API void qds_context_destroy(qds_context *ctx);

/* Makes the running and the next long call fail with QDS_ERROR_INTERRUPTED. Async-signal-safe. */
QDS_API void qds_context_interrupt(qds_context *ctx);
/* Forgets an interruption, so that the context can be used again. */
QDS_API void qds_context_resume(qds_context *ctx);

QDS_API int qds_context_threads(const qds_context *ctx);
/* The device in use: "cpu", "cuda:0" or "sim:0". */
QDS_API const char *qds_context_device(const qds_context *ctx);
/* Why "auto" took the CPU; "" when it was asked for or a GPU is in use. */
QDS_API const char *qds_context_device_reason(const qds_context *ctx);
/* How many solves the CPU has taken over because the device could not do them or the CPU is the better place,
 * which is decided before each begins and logged with its reason: as a warning, but the second kind only when
 * the device was asked for by name. */
QDS_API int qds_context_fallbacks(const qds_context *ctx);

/* The memory account, in bytes and blocks. The total first, then one row per tag in the order of
 * first use. */
typedef struct {
  const char *tag;
  size_t current_bytes, peak_bytes;
  size_t current_blocks, total_blocks;
} qds_memory_row;

/* The totals of the context. */
QDS_API void qds_context_memory(const qds_context *ctx, qds_memory_row *total);
/* The row of the tag number `index` (from 0); returns 0 past the last. */
QDS_API int qds_context_memory_tag(const qds_context *ctx, size_t index, qds_memory_row *row);

/* What has overflowed the memory limit into files, in bytes and blocks. The files have no names and vanish
 * with the process. */
typedef struct {
  const char *folder; /* where they lie; NULL: nothing may overflow */
  size_t current_bytes, peak_bytes;
  size_t current_blocks, total_blocks;
  size_t peak_mapped_bytes; /* the most that their pages took of the process's memory at any one look */
} qds_memory_files;
QDS_API void qds_context_files(const qds_context *ctx, qds_memory_files *out);

/* Completes the file of memory_trace; later events are not in it. Without this call the end of the context
 * does it and logs what fails. No context's work fails for its trace: what went wrong with the file, such as
 * a full disk, is told here, once. Nothing is done in a context without a trace. Errors: FILE, MEMORY. */
QDS_API qds_status qds_context_end_trace(qds_context *ctx);
/* Gives the trace up: unless it was completed, no file is left of it. Meanwhile no other thread uses the
 * context. Nothing is done in a context without a trace. */
QDS_API void qds_context_drop_trace(qds_context *ctx);

/* For tests: the n-th allocation from now (1 is the next) fails with QDS_ERROR_MEMORY; 0 switches it off.
 * Returns how many were still to come before the failure that was asked for last; 0 when it has happened. */
QDS_API uint64_t qds_context_fail_allocation(qds_context *ctx, uint64_t n);

/* The peak resident memory of the process in bytes, as the kernel reports it. */
QDS_API size_t qds_process_peak_bytes(void);

#ifdef __cplusplus
}
#endif
#endif

/* Buffers: memory that knows where its valid copies are.
 *
 * A buffer has one size, one strategy and one tag. Its contents may lie in several places at once: in host
 * memory, in page-locked host memory, on the device, in a file. Who wants to touch them brackets the access:
 *
 *   QDS_TRY(qds_buffer_create(ctx, bytes, QDS_MEM_ADAPTIVE, "psi", &b));
 *   QDS_TRY(qds_buffer_acquire(b, QDS_PLACE_HOST, QDS_ACCESS_DISCARD, NULL, &pointer));
 *   ... fill bytes at pointer ...
 *   QDS_TRY(qds_buffer_release(b, NULL));
 *
 * Acquiring brings the newest contents to the place; a write makes every other copy stale. A buffer has
 * several readers or one writer; what would give stale contents or two writers is an error that names the
 * buffer. A buffer that nobody holds may be moved: to a slower place when a budget is reached, least recently
 * used first, and within a pool. It comes back when it is acquired.
 *
 * Streams. With a stream, the pointer is for work enqueued on that stream from then on: acquire makes the
 * stream, not the caller, wait for what was enqueued elsewhere before. With NULL, acquire returns when the
 * contents are there, and release says that all use is over. The host may touch a pointer itself only after
 * an acquire with NULL, or when it has waited for the stream. Release takes the stream of the acquire. While
 * a stream is captured into a graph, no buffer is acquired on it.
 *
 * All functions may be called from any thread; a stream is used by one thread at a time. Destroying the
 * context gives its buffers back and reports them as leaks, except those that Python owns: with them, the
 * context itself lives on until the last of them is given up. */
#ifndef QDSIM_MEMORY_H
#define QDSIM_MEMORY_H

#include <stddef.h>
#include <stdint.h>

#include "qdsim/context.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct qds_buffer qds_buffer;
typedef struct qds_stream qds_stream;

typedef enum {
  QDS_MEM_CPU_ONLY, /* host memory; QDS_PLACE_DEVICE is refused */
  QDS_MEM_GPU_ONLY, /* device memory; QDS_PLACE_HOST is refused; UNSUPPORTED in a context without a device */
  QDS_MEM_UNIFIED,  /* one address for both sides: managed memory, or mapped where the device has none */
  QDS_MEM_ADAPTIVE, /* copies where the buffer is used; see docs/memory.md for the rule */
  QDS_MEM_STRATEGIES
} qds_mem_strategy;

/* In a context without a device, QDS_PLACE_DEVICE and QDS_PLACE_PINNED mean host memory. */
typedef enum {
  QDS_PLACE_HOST,
  QDS_PLACE_PINNED, /* page-locked host memory, which the device copies from and to without help */
  QDS_PLACE_DEVICE,
  QDS_PLACE_UNIFIED, /* managed or mapped memory; the place of QDS_MEM_UNIFIED, never asked for */
  QDS_PLACE_FILE,
  QDS_PLACES
} qds_place;

typedef enum {
  QDS_ACCESS_READ,
  QDS_ACCESS_WRITE,  /* read and write */
  QDS_ACCESS_DISCARD /* write; the old contents are not needed and the new ones undefined until written */
} qds_access;

/* "adaptive"; "device". NULL past the last. */
QDS_API const char *qds_mem_strategy_name(qds_mem_strategy strategy);
QDS_API const char *qds_place_name(qds_place place);

/* --- life ----------------------------------------------------------------------------------------------- */

/* A buffer with one reference, of the library. `bytes` may be 0. Memory is taken at the first access. `tag`
 * and `file` are copied. Errors: ARGUMENT, UNSUPPORTED (gpu_only without a device: the reason), MEMORY,
 * BUDGET. */
QDS_API qds_status qds_buffer_create_at(qds_context *ctx, size_t bytes, qds_mem_strategy strategy,
                                        const char *tag, const char *file, int line, qds_buffer **out);
#define qds_buffer_create(ctx, bytes, strategy, tag, out)                                                    \
  qds_buffer_create_at((ctx), (bytes), (strategy), (tag), __FILE__, __LINE__, (out))

/* Who holds a reference; what Python holds is counted apart. */
typedef enum { QDS_OWNER_LIBRARY, QDS_OWNER_PYTHON, QDS_OWNERS } qds_owner;

QDS_API void qds_buffer_retain_for(qds_buffer *buffer, qds_owner owner);
/* Gives up one reference of `owner`; with the last of all, the memory goes back when the work that uses it is
 * done. NULL is allowed. Errors, with the tag and with nothing changed: ARGUMENT (it would be the last and
 * the buffer is acquired; the owner holds no reference). */
QDS_API qds_status qds_buffer_drop_for(qds_buffer *buffer, qds_owner owner);
QDS_API void qds_buffer_retain(qds_buffer *buffer);        /* for QDS_OWNER_LIBRARY */
QDS_API qds_status qds_buffer_destroy(qds_buffer *buffer); /* qds_buffer_drop_for QDS_OWNER_LIBRARY */

/* --- access --------------------------------------------------------------------------------------------- */

/* place: HOST or DEVICE. Errors: ARGUMENT (held in a way that forbids it; never written, and the access wants
 * the contents; a stream of another device), UNSUPPORTED (the strategy refuses the place), MEMORY and BUDGET
 * (no room, also after spilling), FILE (its contents could not be read back). */
QDS_API qds_status qds_buffer_acquire(qds_buffer *buffer, qds_place place, qds_access access,
                                      qds_stream *stream, void **out);
/* Errors: ARGUMENT (not acquired on this stream). */
QDS_API qds_status qds_buffer_release(qds_buffer *buffer, qds_stream *stream);

/* Starts to bring a copy to HOST, PINNED or DEVICE on `stream`, or on the context's own for NULL, and
 * does not wait for it. Errors: those of acquire. */
QDS_API qds_status qds_buffer_prefetch(qds_buffer *buffer, qds_place place, qds_stream *stream);
/* Moves a buffer that nobody holds to `place`, slower than where it is, and gives back its other copies.
 * Waits. On failure the buffer is valid where it was. Errors: ARGUMENT, MEMORY, BUDGET, FILE. */
QDS_API qds_status qds_buffer_spill(qds_buffer *buffer, qds_place place);

/* Copies all of `from` to `to`, which nobody holds, asynchronously on the stream (NULL: waits). Strategies
 * may differ. Errors: ARGUMENT (sizes differ; the same buffer), those of acquire. When the copying itself
 * fails, the bytes that were to be written are undefined. */
QDS_API qds_status qds_buffer_copy(qds_buffer *to, qds_buffer *from, qds_stream *stream);
/* `bytes` bytes at `from_offset` to `to_offset`; what lies outside a buffer is ARGUMENT. */
QDS_API qds_status qds_buffer_copy_part(qds_buffer *to, size_t to_offset, qds_buffer *from,
                                        size_t from_offset, size_t bytes, qds_stream *stream);
/* Sets every byte, where the buffer is or, before its first use, in host memory if it may be there. */
QDS_API qds_status qds_buffer_fill(qds_buffer *buffer, int byte, qds_stream *stream);

typedef struct {
  size_t bytes;
  qds_mem_strategy strategy;
  const char *tag, *file; /* live as long as the buffer */
  int line;
  size_t references[QDS_OWNERS];
  int readers, writers;           /* brackets that are open */
  unsigned char held[QDS_PLACES]; /* memory is taken there */
  unsigned char valid[QDS_PLACES];
  qds_place home; /* where adaptive believes the buffer is used most: HOST or DEVICE */
} qds_buffer_info;
QDS_API void qds_buffer_get_info(qds_buffer *buffer, qds_buffer_info *out);

/* --- streams -------------------------------------------------------------------------------------------- */

/* A stream of the context's device, or of the host. */
QDS_API qds_status qds_context_stream_create(qds_context *ctx, qds_stream **out);
QDS_API qds_status qds_context_stream_wait(qds_stream *stream); /* until the work in it is done */
QDS_API void qds_context_stream_destroy(qds_stream *stream);    /* waits; NULL is allowed */

/* --- budgets, spilling, defragmentation ----------------------------------------------------------------- */

/* The budgets of host and device are memory_limit and device_memory_limit of the context. When one of them,
 * or the machine, has no room for a buffer, others are moved down the chain device, pinned, host, file. */
typedef struct {
  size_t struct_size;
  size_t pinned_limit; /* bytes of page-locked memory for buffers; 0: an eighth of the free memory */
  size_t file_limit;   /* bytes in files, 0: what the disk has */
  const char
      *spill_folder; /* NULL: $TMPDIR, else /var/tmp; the files have no name and vanish by themselves */
  int spill;         /* 0: never move a buffer to make room for another */
} qds_memory_options;
#define QDS_MEMORY_OPTIONS_INIT                                                                              \
  { sizeof(qds_memory_options), 0, 0, NULL, 1 }
/* Before the first spill to a file the folder may change, later it stays. Errors: ARGUMENT, MEMORY. */
QDS_API qds_status qds_memory_configure(qds_context *ctx, const qds_memory_options *options);

/* Moves buffers that nobody holds, least recently used first, out of `place` until `bytes` are given back or
 * none is left; tells how many were. Errors: FILE, MEMORY: none could be moved, and why. */
QDS_API qds_status qds_memory_spill(qds_context *ctx, qds_place place, size_t bytes, size_t *freed);

typedef struct {
  size_t used_bytes, reserved_bytes; /* held by callers; held of the device */
  size_t largest_free_bytes;
  double fragmentation; /* 1 - largest free range / free bytes; 0 when nothing is free */
} qds_pool_shape;
typedef struct {
  qds_pool_shape before, after;
  size_t moved_buffers, moved_bytes;
} qds_defragment_report;
/* Makes room for one block of `bytes` on the device: buffers that nobody holds move together within the pool
 * and, when that is not enough, to the host, from which they come back when they are acquired. Other threads
 * wait meanwhile. Errors: UNSUPPORTED (no device); MEMORY, BUDGET (what is held leaves no such room; the
 * report says how far it came); FILE. */
QDS_API qds_status qds_memory_defragment(qds_context *ctx, size_t bytes, qds_defragment_report *report);

/* --- statistics ----------------------------------------------------------------------------------------- */

typedef struct {
  size_t current_bytes, peak_bytes;
  size_t current_blocks, total_blocks;
} qds_memory_count;

/* What one tag holds, by place. */
typedef struct {
  const char *tag; /* lives as long as the context */
  qds_memory_count places[QDS_PLACES];
} qds_memory_tag_row;

typedef struct {
  const char *name; /* "device" */
  qds_place place;
  size_t used_bytes, peak_used_bytes;         /* held by callers */
  size_t reserved_bytes, peak_reserved_bytes; /* held of the system */
  size_t largest_free_bytes;
  double fragmentation;
} qds_memory_pool_row;

typedef struct {
  size_t buffers, total_buffers;        /* there now, ever made */
  size_t python_buffers, python_bytes;  /* of which Python holds a reference */
  qds_memory_count places[QDS_PLACES];  /* memory of buffers by place */
  size_t spills, spilled_bytes;         /* moves to a slower place to make room */
  size_t returns, returned_bytes;       /* of spilled contents to a faster place */
  size_t moves[QDS_PLACES][QDS_PLACES]; /* bytes copied from, to, for whatever reason */
  size_t refused_spills;                /* attempts to move a buffer that failed */
  size_t spill_waits;                   /* how often these moves were waited for: several together once */
} qds_memory_statistics;

QDS_API void qds_memory_get_statistics(qds_context *ctx, qds_memory_statistics *out);
/* One row per tag of a buffer, in the order of first use; returns 0 past the last. What is no buffer stands
 * in qds_context_memory_tag. */
QDS_API int qds_memory_tag(qds_context *ctx, size_t index, qds_memory_tag_row *row);
/* Every buffer that is there, the newest first, as a JSON list of tag, bytes, strategy, the file and line
 * that made it, and the references of the library and of Python. Free with qds_text_destroy. Errors: MEMORY,
 * BUDGET. */
QDS_API qds_status qds_memory_buffers(qds_context *ctx, char **out);
/* One row per pool; returns 0 past the last. */
QDS_API int qds_memory_pool(qds_context *ctx, size_t index, qds_memory_pool_row *row);

/* All of it as a table to read, or as JSON: what is held now and was at most, by tag, by place and by pool,
 * and how much of what the pools reserve is used. Free with qds_text_destroy. Errors: MEMORY. */
QDS_API qds_status qds_memory_report(qds_context *ctx, int json, char **out);

/* --- the timeline --------------------------------------------------------------------------------------- */

typedef struct qds_memory_profile qds_memory_profile;

/* Starts a thread that looks at the account every `interval_s` seconds (0: 0.1) until it is stopped. The
 * history is bounded: when it is full, every second sample is dropped and the interval doubled. The profile
 * must be destroyed before the context. The first sample is of the moment of this call. Errors: ARGUMENT (a
 * negative or endless interval), MEMORY, INTERNAL (no thread). */
QDS_API qds_status qds_memory_profile_start(qds_context *ctx, double interval_s, qds_memory_profile **out);
/* Looks at several contexts, of which the first holds the memory of the profile itself. */
QDS_API qds_status qds_memory_profile_start_on(qds_context *const *contexts, size_t count, double interval_s,
                                               qds_memory_profile **out);
/* Looks at another context too, from now until it leaves, which it must before it is destroyed. What several
 * contexts hold under one tag is added. Both may be called from any thread, also while the profile runs; to
 * join twice is to join once. Errors: MEMORY. */
QDS_API qds_status qds_memory_profile_join(qds_memory_profile *profile, qds_context *ctx);
QDS_API void qds_memory_profile_leave(qds_memory_profile *profile, const qds_context *ctx);
/* Takes a last sample and ends the thread; doing so twice is fine. */
QDS_API void qds_memory_profile_stop(qds_memory_profile *profile);
/* Stops it first. NULL is allowed. */
QDS_API void qds_memory_profile_destroy(qds_memory_profile *profile);

/* Of a profile that was stopped: how many samples, and their times in seconds since the start. */
QDS_API size_t qds_memory_profile_samples(const qds_memory_profile *profile, const double **seconds);
/* The series number `index`: "host/eigensolver", "device/states", "process/resident"; bytes, one number per
 * sample. The place ends at the first '/', the rest is the tag as it is. Buffers stand under their own tags.
 * The table has 96 series and 7 KiB for their names; tags beyond are added up as "further tags" of their
 * place. NULL past the last. Both live as long as the profile. */
QDS_API const char *qds_memory_profile_series(const qds_memory_profile *profile, size_t index,
                                              const double **bytes);
/* Writes an HDF5 file of its own, whole or not at all: in the group memory_profile the dataset time_s, and
 * one per series in the group of its place, called by its tag. In a tag, '/', '%' and bytes that are not
 * UTF-8 become %2F, %25 and so on, as in URLs, and so do the dots of one that has nothing else; the empty tag
 * becomes "%". Errors: FILE, MEMORY; ARGUMENT while it runs. */
QDS_API qds_status qds_memory_profile_write(const qds_memory_profile *profile, const char *path);

#ifdef __cplusplus
}
#endif
#endif

/* The stream-ordered pool of a device's memory.
 *
 * A block that was given back on a stream serves the next request on the same stream at once, without
 * waiting; a request on another stream gets it only after the work that stood before the release. Neither
 * lets the host wait. Where the pool may hold more, it grows rather than let a stream wait for another. The
 * host waits for the device only before memory is given back to it: in trim, and where the limit or the
 * device leaves no other room.
 *
 * Streams are told apart by their native handle, so a stream of another library that shares the device can be
 * named as well (qds_stream_wrap). A stream that is destroyed must be forgotten first; qds_stream_close does.
 */
#ifndef QDS_MEM_POOL_STREAM_H
#define QDS_MEM_POOL_STREAM_H

#include "mem/heap.h"
#include "mem/stream.h"

/* limit: bytes that the pool may hold of the device, 0: what there is. Errors: MEMORY. */
qds_status qds_stream_pool_create(qds_accelerator *accelerator, size_t limit, qds_stream_pool **out);
/* How much the pool may hold, over the most that was ever used at once: 1 or more; 0: QDS_POOL_SLACK, as at
 * first. Before it holds more, scattered free memory goes together or back to the device, which takes time;
 * only what a request then still lacks comes on top. INFINITY: the pool keeps what it has and takes more
 * wherever no free range serves. Thread-safe. Errors: ARGUMENT. */
#define QDS_POOL_SLACK 1.15
qds_status qds_stream_pool_check_slack(double slack);
qds_status qds_stream_pool_set_slack(qds_stream_pool *pool, double slack);
/* Waits for the work that uses blocks, reports the blocks that are still held through `leak` (may be NULL),
 * and gives everything back. NULL is allowed. */
void qds_stream_pool_destroy(qds_stream_pool *pool, qds_leak_fn leak, void *user);

/* A block for work enqueued on the stream from now on, aligned to 256 bytes. 0 bytes are allowed. `tag` and
 * `file` are string literals. Thread-safe. Errors: BUDGET (the limit), MEMORY (the device, or the host), each
 * after giving back what no block holds and trying again. */
qds_status qds_stream_pool_allocate(qds_stream_pool *pool, qds_stream *stream, size_t bytes, const char *tag,
                                    const char *file, int line, void **out);
/* Takes a block back when the work enqueued on the stream so far is done. Thread-safe. Errors: ARGUMENT when
 * no block begins there. */
qds_status qds_stream_pool_release(qds_stream_pool *pool, qds_stream *stream, void *block);

/* Waits for the work that uses what was given back, and gives memory that no block holds back to the device.
 * Errors: those of the work. */
qds_status qds_stream_pool_trim(qds_stream_pool *pool);
/* Before a stream is destroyed: what it gave back serves others once its work is done. */
void qds_stream_pool_forget(qds_stream_pool *pool, void *native_stream);
/* Before a stream is captured into a graph, when no event may be recorded on it from outside. */
qds_status qds_stream_pool_mark(qds_stream_pool *pool, qds_stream *stream);

typedef struct {
  size_t used_bytes, peak_used_bytes;         /* what callers asked for and hold */
  size_t reserved_bytes, peak_reserved_bytes; /* what the pool holds of the device */
  size_t blocks, total_blocks;                /* held now; ever */
  size_t free_bytes, largest_free_bytes;      /* in ranges that serve any size */
  size_t parked_bytes;                        /* in small blocks kept for their stream */
  size_t segments;                            /* pieces that the device gave at once */
  size_t least_bytes;                         /* the smallest piece that the device gives */
  size_t growths, trims;                      /* pieces taken and given back, ever */
  size_t moved;                               /* pieces put behind other addresses, ever */
  const char *whole;                          /* why pieces cannot be put elsewhere; "" when they can */
  size_t waits;                               /* how often a stream was made to wait for another, ever */
  double fragmentation; /* 1 - largest free range / free bytes; 0 when nothing is free */
} qds_stream_pool_statistics;
void qds_stream_pool_statistics_read(qds_stream_pool *pool, qds_stream_pool_statistics *out);
/* Counts `bytes` of the device that others take under the pool's limit: managed memory. What the pool keeps
 * for reuse goes back to the device when that makes room. Thread-safe. Errors: BUDGET; those of a trim. */
qds_status qds_stream_pool_hold(qds_stream_pool *pool, size_t bytes, const char *tag);
void qds_stream_pool_let_go(qds_stream_pool *pool, size_t bytes);
/* Bytes that may still be taken: what the limit leaves, and what the device has free or the pool holds and
 * nobody uses. Errors: those of the device. */
qds_status qds_stream_pool_available(qds_stream_pool *pool, size_t *bytes);
/* The row of the tag number `index` (from 0); returns 0 past the last. */
int qds_stream_pool_tag(qds_stream_pool *pool, size_t index, qds_memory_row *row);
/* For tests: compares all records with each other and with the counters. Errors: INTERNAL, which names the
 * fault. */
qds_status qds_stream_pool_check(qds_stream_pool *pool);

#endif

/* The stream-ordered pool of a device's memory.
 *
 * A block that was given back on a stream serves the next request on the same stream at once, without
 * waiting; a request on another stream gets it only after the work that stood before the release. */
#ifndef QDS_MEM_POOL_STREAM_H
#define QDS_MEM_POOL_STREAM_H

#include "mem/stream.h"

/* limit: bytes that the pool may take from the device, 0: what there is. */
qds_status qds_stream_pool_create(qds_accelerator *accelerator, size_t limit, qds_stream_pool **out);
/* Waits for the device and takes back every block. */
void qds_stream_pool_destroy(qds_stream_pool *pool);

/* Errors: MEMORY (no room, also after trimming), BUDGET (the limit). */
qds_status qds_stream_pool_allocate(qds_stream_pool *pool, qds_stream *stream, size_t bytes, const char *tag,
                                    const char *file, int line, void **out);
void qds_stream_pool_release(qds_stream_pool *pool, qds_stream *stream, void *block);
/* Gives memory that no block holds back to the device. */
qds_status qds_stream_pool_trim(qds_stream_pool *pool);

typedef struct {
  size_t used_bytes, peak_used_bytes;         /* what callers asked for and hold */
  size_t reserved_bytes, peak_reserved_bytes; /* what the pool holds of the device */
  size_t blocks, total_blocks;
} qds_stream_pool_statistics;
void qds_stream_pool_statistics_read(qds_stream_pool *pool, qds_stream_pool_statistics *out);

#endif

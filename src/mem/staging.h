/* Copies between a device and what it cannot reach by itself, pageable memory of the host and files, through
 * page-locked pieces: while the device copies one piece, the host reads or writes the other. The pieces are
 * lent to one copy at a time (lease.h). Where none can be had within a second, or no memory can be
 * page-locked, the copy goes without them, which is slower.
 *
 * A stream that is being captured cannot be used: the host waits for it. */
#ifndef QDS_MEM_STAGING_H
#define QDS_MEM_STAGING_H

#include "mem/stream.h"

/* Copies from the stream's place to memory of the host and waits until the numbers are there; as
 * qds_stream_fetch, and faster where there is much. With a stream of the host it copies with the stream's
 * threads. Errors: those of the work in the stream; the target is undefined then. */
qds_status qds_stream_download(qds_stream *stream, void *to, const void *from, size_t bytes);
/* Copies from memory of the host to the stream's place. The source may be used again when the call returns;
 * the last copies may still stand in the stream. */
qds_status qds_stream_upload(qds_stream *stream, void *to, const void *from, size_t bytes);

/* What the host does with a piece of a copy, which begins at byte `offset` of it. */
typedef qds_status (*qds_staging_fn)(void *user, size_t offset, void *piece, size_t bytes);
/* The two copies above for any host side: `take` is handed every piece in order, `give` fills it. A stream of
 * a device only. Failures of the copies show when the stream is next waited for. A failure on the host ends
 * the copy at once, with a part of it perhaps in the stream. Errors: those of `take` and `give`, and of
 * the device. */
qds_status qds_staging_download(qds_stream *stream, const void *from, size_t bytes, qds_staging_fn take,
                                void *user);
qds_status qds_staging_upload(qds_stream *stream, void *to, size_t bytes, qds_staging_fn give, void *user);

typedef struct {
  size_t piece_bytes;                /* two of them for each copy */
  size_t leases, peak_leases, limit; /* copies that have pieces: now, at most, allowed */
  size_t held_bytes;                 /* of page-locked memory */
  size_t staged_bytes, direct_bytes; /* copied through pieces, and without, ever */
} qds_staging_statistics;

/* For qds_accelerator. Page-locked memory is taken when it is first needed. Errors: MEMORY. */
qds_status qds_staging_create(qds_accelerator *accelerator, qds_staging **out);
void qds_staging_destroy(qds_staging *staging); /* no copy is under way; NULL is allowed */
void qds_staging_read(const qds_staging *staging, qds_staging_statistics *out);

#endif

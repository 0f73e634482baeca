/* Streams: work in order, on an accelerator or, with the same calls, on the host, where each operation is
 * done when the call returns.
 *
 * A stream is used by one thread at a time. An operation that fails on a device shows at the next
 * qds_stream_synchronise at the latest. */
#ifndef QDS_MEM_STREAM_H
#define QDS_MEM_STREAM_H

#include "mem/accelerator.h"
#include "mem/kernel.h"

typedef struct qds_stream {
  qds_accelerator *accelerator; /* NULL: the host */
  void *native;
  qds_allocator *allocator; /* of the host */
  int threads;              /* for kernels on the CPU */
} qds_stream;

typedef struct qds_event {
  qds_accelerator *accelerator; /* NULL: the host */
  void *native;
  double host_seconds; /* when it was recorded on a host stream */
} qds_event;

/* Makes a stream in place. accelerator NULL: a stream of the host. */
qds_status qds_stream_open(qds_accelerator *accelerator, qds_allocator *allocator, int threads,
                           qds_stream *out);
void qds_stream_close(qds_stream *stream); /* waits for the work in it; safe on a zeroed stream */
/* A stream of another library on the same device, which stays that library's: it is not closed here. */
qds_stream qds_stream_wrap(qds_accelerator *accelerator, void *native);
qds_status qds_stream_create(qds_accelerator *accelerator, qds_allocator *allocator, int threads,
                             qds_stream **out);
/* Waits for the work in it. NULL is allowed. */
void qds_stream_destroy(qds_stream *stream);
QDS_AUTO_DEFINE(qds_stream)

static inline int qds_stream_on_host(const qds_stream *stream) {
  return !stream->accelerator;
}

/* Memory of the stream's place, usable by work enqueued from now on: from the device's stream-ordered pool,
 * for which buffers that nobody holds make room, or from the host allocator. `count` elements of `size`
 * bytes; an overflowing product is QDS_ERROR_MEMORY.
 */
qds_status qds_stream_allocate(qds_stream *stream, size_t count, size_t size, const char *tag,
                               const char *file, int line, void **out);
/* Gives it back; work enqueued before may still use it. NULL is allowed. */
void qds_stream_release(qds_stream *stream, void *block);
/* double *x; QDS_TRY(QDS_STREAM_NEW(stream, n, "psi", &x)); */
#define QDS_STREAM_NEW(stream, count, tag, out)                                                              \
  qds_stream_allocate((stream), (size_t)(count), sizeof **(out), (tag), __FILE__, __LINE__, (void **)(out))

/* Enqueues a copy between any two places; the sizes are the caller's to compare. The source of a copy from
 * pageable memory may be used again when the call returns. */
qds_status qds_stream_copy(qds_stream *stream, void *to, const void *from, size_t bytes);
/* As qds_stream_copy from the stream's place to the host, and waits until the numbers are there. */
qds_status qds_stream_fetch(qds_stream *stream, void *to, const void *from, size_t bytes);
qds_status qds_stream_fill(qds_stream *stream, void *to, int byte, size_t bytes);
qds_status qds_stream_launch(qds_stream *stream, const qds_kernel *kernel, const void *arguments);
/* On a device the function runs on a thread of the back end's; it must not call the library. */
qds_status qds_stream_host_function(qds_stream *stream, void (*function)(void *), void *data);
qds_status qds_stream_synchronise(qds_stream *stream);
qds_status qds_stream_idle(qds_stream *stream, int *idle);

qds_status qds_event_create(qds_accelerator *accelerator, qds_allocator *allocator, qds_event **out);
void qds_event_destroy(qds_event *event);
QDS_AUTO_DEFINE(qds_event)
qds_status qds_event_record(qds_event *event, qds_stream *stream);
/* Work enqueued later waits for what stood before the event. */
qds_status qds_stream_wait(qds_stream *stream, qds_event *event);
qds_status qds_event_synchronise(qds_event *event);
qds_status qds_event_done(qds_event *event, int *done);
/* Seconds between two recorded events. */
qds_status qds_event_seconds(qds_event *start, qds_event *end, double *seconds);

/* A graph: work enqueued once and replayed with one call. UNSUPPORTED where the back end has none. While a
 * stream is captured, nothing may wait for it and no memory may be taken from it. */
typedef struct qds_graph qds_graph;
int qds_stream_can_capture(const qds_stream *stream);
qds_status qds_graph_begin(qds_stream *stream);
qds_status qds_graph_end(qds_stream *stream, qds_graph **out);
qds_status qds_graph_launch(qds_graph *graph, qds_stream *stream);
void qds_graph_destroy(qds_graph *graph);
QDS_AUTO_DEFINE(qds_graph)

#endif

#include "mem/stream.h"

#include <string.h>
#include <time.h>

#include "mem/pool_stream.h"
#include "mem/trace.h"

qds_status qds_stream_open(qds_accelerator *accelerator, qds_allocator *allocator, int threads,
                           qds_stream *out) {
  void *native = NULL;
  *out = (qds_stream){0};
  if (accelerator) QDS_TRY(qds_backend_of(accelerator)->stream_create(accelerator->state, &native));
  *out = (qds_stream){accelerator, native, allocator, threads};
  return QDS_OK;
}

void qds_stream_close(qds_stream *stream) {
  if (stream->accelerator) {
    qds_stream_pool_forget(stream->accelerator->pool, stream->native);
    qds_backend_of(stream->accelerator)->stream_destroy(stream->accelerator->state, stream->native);
  }
  *stream = (qds_stream){0};
}

qds_stream qds_stream_wrap(qds_accelerator *accelerator, void *native) {
  return (qds_stream){accelerator, native, accelerator->allocator, 1};
}

qds_status qds_stream_create(qds_accelerator *accelerator, qds_allocator *allocator, int threads,
                             qds_stream **out) {
  *out = NULL;
  QDS_AUTO_RELEASE qds_stream *stream = NULL;
  QDS_TRY(QDS_NEW(allocator, 1, "stream", &stream));
  QDS_TRY(qds_stream_open(accelerator, allocator, threads, stream));
  *out = stream;
  stream = NULL;
  return QDS_OK;
}

void qds_stream_destroy(qds_stream *stream) {
  if (!stream) return;
  qds_stream_close(stream);
  qds_release(stream);
}

qds_status qds_stream_allocate(qds_stream *stream, size_t count, size_t size, const char *tag,
                               const char *file, int line, void **out) {
  size_t bytes;
  *out = NULL;
  if (!stream->accelerator) return qds_allocate(stream->allocator, count, size, tag, file, line, out);
  if (__builtin_mul_overflow(count, size, &bytes))
    return qds_raise(QDS_ERROR_MEMORY, file, line, 0, "out of memory: %zu elements of %zu bytes for %s",
                     count, size, tag);
  const qds_accelerator *a = stream->accelerator;
  qds_status status;
  do status = qds_stream_pool_allocate(a->pool, stream, bytes, tag, file, line, out);
  while ((status == QDS_ERROR_MEMORY || status == QDS_ERROR_BUDGET) && a->reclaim &&
         a->reclaim(a->reclaim_user, bytes, status) == QDS_OK);
  return status;
}

void qds_stream_release(qds_stream *stream, void *block) {
  if (!block) return;
  if (!stream->accelerator) {
    qds_release(block);
    return;
  }
  qds_stream_pool_release(stream->accelerator->pool, stream, block);
}

qds_status qds_stream_copy(qds_stream *stream, void *to, const void *from, size_t bytes) {
  if (bytes == 0) return QDS_OK;
  const qds_accelerator *a = stream->accelerator;
  if (a) return qds_backend_of(a)->copy(a->state, stream->native, to, from, bytes);
  memcpy(to, from, bytes);
  return QDS_OK;
}

qds_status qds_stream_fetch(qds_stream *stream, void *to, const void *from, size_t bytes) {
  QDS_TRY(qds_stream_copy(stream, to, from, bytes));
  return qds_stream_synchronise(stream);
}

qds_status qds_stream_fill(qds_stream *stream, void *to, int byte, size_t bytes) {
  if (bytes == 0) return QDS_OK;
  const qds_accelerator *a = stream->accelerator;
  if (a) return qds_backend_of(a)->fill(a->state, stream->native, to, byte, bytes);
  memset(to, byte, bytes);
  return QDS_OK;
}

qds_status qds_stream_launch(qds_stream *stream, const qds_kernel *kernel, const void *arguments) {
  const qds_accelerator *a = stream->accelerator;
  if (!a) {
    kernel->run(arguments, stream->threads);
    return QDS_OK;
  }
  if (a->backend->launch)
    return qds_backend_of(a)->launch(a->state, stream->native, (int)kernel->id, arguments, kernel->bytes);
  return qds_backend_of(a)->run(a->state, stream->native, kernel->run, arguments, kernel->bytes,
                                stream->threads);
}

qds_status qds_stream_host_function(qds_stream *stream, void (*function)(void *), void *data) {
  const qds_accelerator *a = stream->accelerator;
  if (a) return qds_backend_of(a)->host_function(a->state, stream->native, function, data);
  function(data);
  return QDS_OK;
}

qds_status qds_stream_synchronise(qds_stream *stream) {
  const qds_accelerator *a = stream->accelerator;
  return a ? qds_backend_of(a)->stream_synchronise(a->state, stream->native) : QDS_OK;
}

qds_status qds_stream_idle(qds_stream *stream, int *idle) {
  const qds_accelerator *a = stream->accelerator;
  *idle = 1;
  return a ? qds_backend_of(a)->stream_idle(a->state, stream->native, idle) : QDS_OK;
}

/* --- events ------------------------------------------------------------------------------------------------
 */

qds_status qds_event_create(qds_accelerator *accelerator, qds_allocator *allocator, qds_event **out) {
  *out = NULL;
  qds_event *event = NULL;
  QDS_TRY(QDS_NEW_ZERO(allocator, 1, "event", &event));
  event->accelerator = accelerator;
  if (accelerator) {
    const qds_status status = qds_backend_of(accelerator)->event_create(accelerator->state, &event->native);
    if (status != QDS_OK) {
      qds_release(event);
      return status;
    }
  }
  *out = event;
  return QDS_OK;
}

void qds_event_destroy(qds_event *event) {
  if (!event) return;
  if (event->accelerator)
    qds_backend_of(event->accelerator)->event_destroy(event->accelerator->state, event->native);
  qds_release(event);
}

qds_status qds_event_record(qds_event *event, qds_stream *stream) {
  QDS_REQUIRE(event->accelerator == stream->accelerator, "an event and a stream of different devices");
  const qds_accelerator *a = event->accelerator;
  if (a) return qds_backend_of(a)->event_record(a->state, event->native, stream->native);
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  event->host_seconds = (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
  return QDS_OK;
}

/* What stood before an event of the host is done; only a device's event can keep a stream waiting. */
qds_status qds_stream_wait(qds_stream *stream, qds_event *event) {
  const qds_accelerator *a = event->accelerator;
  if (!a) return QDS_OK;
  if (a == stream->accelerator) return qds_backend_of(a)->event_wait(a->state, event->native, stream->native);
  return qds_backend_of(a)->event_synchronise(a->state, event->native);
}

qds_status qds_event_synchronise(qds_event *event) {
  const qds_accelerator *a = event->accelerator;
  return a ? qds_backend_of(a)->event_synchronise(a->state, event->native) : QDS_OK;
}

qds_status qds_event_done(qds_event *event, int *done) {
  const qds_accelerator *a = event->accelerator;
  *done = 1;
  return a ? qds_backend_of(a)->event_done(a->state, event->native, done) : QDS_OK;
}

qds_status qds_event_seconds(qds_event *start, qds_event *end, double *seconds) {
  *seconds = 0;
  QDS_REQUIRE(start->accelerator == end->accelerator, "events of different devices");
  const qds_accelerator *a = start->accelerator;
  if (a) return qds_backend_of(a)->event_seconds(a->state, start->native, end->native, seconds);
  *seconds = end->host_seconds - start->host_seconds;
  return QDS_OK;
}

/* --- graphs ------------------------------------------------------------------------------------------------
 */

struct qds_graph {
  const qds_accelerator *accelerator;
  void *native;
};

int qds_stream_can_capture(const qds_stream *stream) {
  return stream->accelerator && stream->accelerator->backend->capture_begin;
}

qds_status qds_graph_begin(qds_stream *stream) {
  if (!qds_stream_can_capture(stream)) QDS_FAIL(QDS_ERROR_UNSUPPORTED, "this device has no graphs");
  QDS_TRY(qds_stream_pool_mark(stream->accelerator->pool, stream));
  return qds_backend_of(stream->accelerator)->capture_begin(stream->accelerator->state, stream->native);
}

qds_status qds_graph_end(qds_stream *stream, qds_graph **out) {
  const qds_accelerator *a = stream->accelerator;
  *out = NULL;
  QDS_AUTO(qds_graph) *graph = NULL;
  void *native = NULL;
  QDS_TRY(qds_backend_of(a)->capture_end(a->state, stream->native, &native));
  const qds_status status = QDS_NEW_ZERO(stream->allocator, 1, "graph", &graph);
  if (status != QDS_OK) {
    qds_backend_of(a)->graph_destroy(a->state, native);
    return status;
  }
  *graph = (qds_graph){a, native};
  *out = graph;
  graph = NULL;
  return QDS_OK;
}

qds_status qds_graph_launch(qds_graph *graph, qds_stream *stream) {
  const qds_accelerator *a = graph->accelerator;
  return qds_backend_of(a)->graph_launch(a->state, graph->native, stream->native);
}

void qds_graph_destroy(qds_graph *graph) {
  if (!graph) return;
  qds_backend_of(graph->accelerator)->graph_destroy(graph->accelerator->state, graph->native);
  qds_release(graph);
}

#include "mem/buffer_internal.h"

/* Fences are made once and used again: an event costs a call of the driver. */
qds_status qds_fence_take(qds_buffer_manager *m, qds_fence **out) {
  *out = NULL;
  pthread_mutex_lock(&m->lock);
  qds_fence *fence = m->spare;
  if (fence) m->spare = fence->next;
  pthread_mutex_unlock(&m->lock);
  if (!fence) {
    QDS_TRY(qds_buffer_record(m, sizeof *fence, (void **)&fence));
    *fence = (qds_fence){0};
    if (m->accelerator) {
      const qds_status status = qds_event_create(m->accelerator, m->allocator, &fence->event);
      if (status != QDS_OK) {
        qds_release(fence);
        return status;
      }
    }
  }
  *out = fence;
  return QDS_OK;
}

void qds_fence_give(qds_buffer_manager *m, qds_fence *fence) {
  if (!fence) return;
  pthread_mutex_lock(&m->lock);
  fence->next = m->spare;
  m->spare = fence;
  pthread_mutex_unlock(&m->lock);
}

void qds_fences_clear(qds_buffer_manager *m, qds_copy *copy) {
  while (copy->fences) {
    qds_fence *fence = copy->fences;
    copy->fences = fence->next;
    qds_fence_give(m, fence);
  }
}

qds_status qds_fences_wait(const qds_copy *copy, int writes, qds_stream *stream) {
  for (const qds_fence *f = copy->fences; f; f = f->next) {
    if (!f->writes && !writes) continue;
    if (!stream)
      QDS_TRY(qds_event_synchronise(f->event));
    else if (f->stream != stream) /* the work of one stream is in order by itself */
      QDS_TRY(qds_stream_wait(stream, f->event));
  }
  return QDS_OK;
}

/* A writer has waited for everybody. A reader has waited for the writer only, and comes after earlier readers
 * on its own stream. */
void qds_fence_put(qds_buffer_manager *m, qds_copy *copy, qds_fence *fence, int writes) {
  qds_fence **at = &copy->fences;
  while (*at) {
    qds_fence *old = *at;
    if (writes || (!old->writes && old->stream == fence->stream)) {
      *at = old->next;
      qds_fence_give(m, old);
    } else {
      at = &old->next;
    }
  }
  fence->writes = writes;
  fence->next = copy->fences;
  copy->fences = fence;
}

int qds_fences_done(const qds_copy *copy) {
  for (const qds_fence *f = copy->fences; f; f = f->next) {
    int done = 0;
    if (qds_event_done(f->event, &done) != QDS_OK || !done) return 0;
  }
  return 1;
}

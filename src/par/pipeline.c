/* The run of a pipeline. The thread of the first stage leases a slot for each item, those of the others take
 * slots from the queue before them, and the caller of qds_pipeline_run takes them from the last queue and
 * gives them back. Slots always go the whole way, after a failure without being worked on; so a run ends by
 * closing the queues one after the other, and no thread has to be interrupted. */
#include "par/pipeline_internal.h"

#include <stdio.h>
#include <string.h>

static const double look_around_s = 0.1; /* for the user's wish to stop */

/* --- creation and destruction -----------------------------------------------------------------------------
 */

static qds_status check(const qds_pipeline_options *o) {
  QDS_REQUIRE(o->stages && o->stage_count >= 1 && o->stage_count <= QDS_PIPELINE_STAGES,
              "a pipeline of %d stages: 1 to %d are allowed", o->stage_count, QDS_PIPELINE_STAGES);
  QDS_REQUIRE(o->item_bytes > 0, "a pipeline for items of 0 bytes; item_bytes must be at least 1");
  QDS_REQUIRE(o->depth >= 0 && o->depth <= QDS_PIPELINE_DEPTH,
              "a pipeline with %d items under way: 1 to %d are allowed, or 0 for as many as fit the stages",
              o->depth, QDS_PIPELINE_DEPTH);
  for (int i = 0; i < o->stage_count; i++) {
    const qds_stage *s = &o->stages[i];
    const int copies = s->kind == QDS_STAGE_COPY_IN || s->kind == QDS_STAGE_COPY_OUT;
    QDS_REQUIRE(s->name, "stage %d of the pipeline has no name", i);
    QDS_REQUIRE(s->run || copies, "stage %d of the pipeline, \"%s\", has no function", i, s->name);
  }
  return QDS_OK;
}

static qds_status create_streams(qds_pipeline *p) {
  const int threads = qds_context_threads(p->ctx);
  QDS_TRY(qds_stream_create(p->accelerator, p->allocator, threads, &p->memory));
  for (int i = 0; i < p->stage_count; i++)
    if (qds_pipeline_on_device(&p->stages[i]))
      QDS_TRY(qds_stream_create(p->accelerator, p->allocator, threads, &p->stages[i].stream));
  return QDS_OK;
}

qds_status qds_pipeline_create(qds_context *ctx, const qds_pipeline_options *options, qds_pipeline **out) {
  *out = NULL;
  QDS_TRY(check(options));
  QDS_AUTO(qds_pipeline) *p = NULL;
  QDS_TRY(QDS_NEW_ZERO(qds_context_allocator(ctx), 1, "pipeline", &p));
  pthread_mutex_init(&p->lock, NULL);
  p->ctx = ctx;
  p->allocator = qds_context_allocator(ctx);
  p->accelerator = qds_context_accelerator(ctx);
  p->item_bytes = options->item_bytes;
  p->device_bytes = options->device_bytes ? options->device_bytes : options->item_bytes;
  p->depth = (size_t)(options->depth ? options->depth : options->stage_count + 1);
  p->stage_count = options->stage_count;
  for (int i = 0; i < p->stage_count; i++)
    p->stages[i] = (qds_pipeline_stage){.stage = options->stages[i], .number = i, .pipeline = p};
  QDS_TRY(create_streams(p));
  const qds_lease_factory factory = {.name = "pipeline items",
                                     .limit = p->depth,
                                     .create = qds_pipeline_slot_create,
                                     .destroy = qds_pipeline_slot_destroy,
                                     .user = p};
  QDS_TRY(qds_lease_pool_create(p->allocator, &factory, &p->slots));
  *out = p;
  p = NULL;
  return QDS_OK;
}

void qds_pipeline_destroy(qds_pipeline *p) {
  if (!p) return;
  qds_lease_pool_destroy(p->slots);
  for (int i = 0; i < p->stage_count; i++) qds_stream_destroy(p->stages[i].stream);
  qds_stream_destroy(p->memory);
  pthread_mutex_destroy(&p->lock);
  qds_release(p);
}

void qds_pipeline_cancel(qds_pipeline *p) {
  atomic_store(&p->cancelled, 1);
}

/* --- failure ----------------------------------------------------------------------------------------------
 */

static int stopping(qds_pipeline *p) {
  return atomic_load(&p->stopped) || atomic_load(&p->cancelled);
}

/* Keeps the calling thread's failure if it is the first; `where` stands before its message. */
static void fail(qds_pipeline *p, qds_status status, const char *where) {
  const qds_error *error = qds_last_error();
  if (error->status != status) { /* a stage returned it without raising it */
    (void)qds_raise(status, __FILE__, __LINE__, 0, "%s", qds_status_text(status));
    error = qds_last_error();
  }
  pthread_mutex_lock(&p->lock);
  if (p->status == QDS_OK) {
    p->status = status;
    snprintf(p->message, sizeof p->message, "%s%s", where, error->message);
    p->file = error->file;
    p->line = error->line;
    p->native = error->native;
  }
  pthread_mutex_unlock(&p->lock);
  atomic_store(&p->stopped, 1);
}

static void fail_in_stage(const qds_pipeline_stage *stage, uint64_t item, qds_status status) {
  char where[256];
  snprintf(where, sizeof where, "pipeline, stage \"%s\", item %llu: ", stage->stage.name,
           (unsigned long long)item);
  fail(stage->pipeline, status, where);
}

/* --- the threads of the stages ----------------------------------------------------------------------------
 */

static void advance(qds_pipeline_stage *stage, qds_pipeline_slot *slot) {
  const qds_status status = stopping(stage->pipeline) ? QDS_OK : qds_pipeline_slot_advance(slot, stage);
  if (status != QDS_OK) fail_in_stage(stage, slot->item.index, status);
  qds_queue_push(stage->next, slot, -1); /* has room for all slots */
}

/* The lease comes when an item before has left the last stage. */
static qds_status begin_item(qds_pipeline *p, uint64_t index, qds_pipeline_slot **out) {
  qds_lease *lease;
  QDS_TRY(QDS_LEASE_TAKE(p->slots, -1, &lease));
  *out = qds_lease_thing(lease);
  (*out)->lease = lease;
  (*out)->finished_stages = 0;
  (*out)->item.index = index;
  (*out)->item.bytes = p->item_bytes;
  return QDS_OK;
}

static void *run_first_stage(void *data) {
  qds_pipeline_stage *stage = data;
  qds_pipeline *p = stage->pipeline;
  for (uint64_t i = 0; i < p->items && !stopping(p); i++) {
    qds_pipeline_slot *slot;
    const qds_status status = begin_item(p, i, &slot);
    if (status == QDS_OK)
      advance(stage, slot);
    else
      fail_in_stage(stage, i, status);
  }
  qds_queue_close(stage->next);
  return NULL;
}

static void *run_later_stage(void *data) {
  qds_pipeline_stage *stage = data;
  void *slot;
  while (qds_queue_pop(stage[-1].next, -1, &slot) == QDS_QUEUE_DONE) advance(stage, slot);
  qds_queue_close(stage->next);
  return NULL;
}

/* From the last stage to the first, so that nothing moves unless all threads are there; returns how many
 * stages, counted from the last, have one. */
static int start_threads(qds_pipeline *p) {
  for (int i = p->stage_count - 1; i >= 0; i--) {
    qds_pipeline_stage *stage = &p->stages[i];
    const int error = pthread_create(&stage->thread, NULL, i ? run_later_stage : run_first_stage, stage);
    if (error == 0) continue;
    fail(p,
         qds_raise(QDS_ERROR_MEMORY, __FILE__, __LINE__, error, "no thread for stage \"%s\": %s",
                   stage->stage.name, strerror(error)),
         "pipeline: ");
    qds_queue_close(stage->next);
    return p->stage_count - 1 - i;
  }
  return p->stage_count;
}

/* --- the calling thread -----------------------------------------------------------------------------------
 */

static void finish_item(qds_pipeline *p, qds_pipeline_slot *slot) {
  if (slot->finished_stages == p->stage_count) {
    const qds_status status = qds_pipeline_slot_finish(slot);
    if (status == QDS_OK)
      p->finished++;
    else
      fail_in_stage(&p->stages[p->stage_count - 1], slot->item.index, status);
  }
  qds_lease_destroy(slot->lease);
}

static void finish_items(qds_pipeline *p) {
  for (;;) {
    void *slot;
    const qds_queue_result result = qds_queue_pop(p->stages[p->stage_count - 1].next, look_around_s, &slot);
    if (result == QDS_QUEUE_CLOSED) return;
    if (result == QDS_QUEUE_DONE) finish_item(p, slot);
    const qds_status status =
        qds_progress(p->ctx, "pipeline", (double)p->finished / (double)p->items, "%llu of %llu items",
                     (unsigned long long)p->finished, (unsigned long long)p->items);
    if (status != QDS_OK) fail(p, status, "");
  }
}

/* Nothing may be under way when slots are used again or destroyed; what failed on the device shows here at
 * the latest. */
static void wait_for_streams(qds_pipeline *p) {
  char where[256];
  for (int i = 0; i < p->stage_count; i++) {
    const qds_pipeline_stage *stage = &p->stages[i];
    const qds_status status = stage->stream ? qds_stream_synchronise(stage->stream) : QDS_OK;
    if (status == QDS_OK) continue;
    snprintf(where, sizeof where, "pipeline, stage \"%s\": ", stage->stage.name);
    fail(p, status, where);
  }
}

static qds_status create_queues(qds_pipeline *p) {
  for (int i = 0; i < p->stage_count; i++)
    QDS_TRY(qds_queue_create(p->allocator, p->depth, &p->stages[i].next));
  return QDS_OK;
}

static void destroy_queues(qds_pipeline *p) {
  for (int i = 0; i < p->stage_count; i++) {
    qds_queue_destroy(p->stages[i].next);
    p->stages[i].next = NULL;
  }
}

static void run_threads(qds_pipeline *p) {
  const int threads = start_threads(p);
  if (threads > 0) finish_items(p);
  for (int i = p->stage_count - threads; i < p->stage_count; i++) pthread_join(p->stages[i].thread, NULL);
  wait_for_streams(p);
}

static void fill_statistics(const qds_pipeline *p, double wall_s, qds_pipeline_statistics *out) {
  *out = (qds_pipeline_statistics){.items = p->items, .stage_count = p->stage_count, .wall_s = wall_s};
  for (int i = 0; i < p->stage_count; i++) {
    const double busy_s = p->stages[i].busy_s;
    out->stages[i] = (qds_stage_statistics){p->stages[i].stage.name, busy_s};
    out->busy_s += busy_s;
    if (busy_s > out->longest_s) out->longest_s = busy_s;
  }
  const double could_hide_s = out->busy_s - out->longest_s;
  if (could_hide_s > 0) out->overlap = (out->busy_s - wall_s) / could_hide_s;
}

qds_status qds_pipeline_run(qds_pipeline *p, uint64_t items, qds_pipeline_statistics *statistics) {
  if (statistics) *statistics = (qds_pipeline_statistics){0};
  p->items = items;
  p->finished = 0;
  p->status = QDS_OK;
  atomic_store(&p->stopped, 0);
  for (int i = 0; i < p->stage_count; i++) p->stages[i].busy_s = 0;
  const double began = qds_seconds();
  const qds_status status = items > 0 ? create_queues(p) : QDS_OK;
  if (status == QDS_OK && items > 0) run_threads(p);
  destroy_queues(p);
  QDS_TRY(status);
  if (p->status != QDS_OK) return qds_raise(p->status, p->file, p->line, p->native, "%s", p->message);
  if (p->finished < items)
    QDS_FAIL(QDS_ERROR_INTERRUPTED, "the pipeline was cancelled after %llu of %llu items",
             (unsigned long long)p->finished, (unsigned long long)items);
  if (statistics) fill_statistics(p, qds_seconds() - began, statistics);
  return QDS_OK;
}

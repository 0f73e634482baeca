/* The items of a pipeline: their memory, and their way through the stages by events. */
#include "par/pipeline_internal.h"

/* --- memory -----------------------------------------------------------------------------------------------
 */

static qds_status create_events(qds_pipeline *p, qds_pipeline_slot *slot) {
  for (int i = 0; i < p->stage_count; i++) {
    if (!qds_pipeline_on_device(&p->stages[i])) continue;
    QDS_TRY(qds_event_create(p->accelerator, p->allocator, &slot->start[i]));
    QDS_TRY(qds_event_create(p->accelerator, p->allocator, &slot->end[i]));
  }
  return QDS_OK;
}

static qds_status create_buffers(qds_pipeline *p, qds_pipeline_slot *slot) {
  if (p->accelerator)
    QDS_TRY(qds_accelerator_allocate(p->accelerator, QDS_MEMORY_PINNED, p->item_bytes, &slot->item.host));
  else
    QDS_TRY(qds_allocate(p->allocator, p->item_bytes, 1, "pipeline staging", __FILE__, __LINE__,
                         &slot->item.host));
  QDS_TRY(qds_stream_allocate(p->memory, p->device_bytes, 1, "pipeline item", __FILE__, __LINE__,
                              &slot->item.device));
  /* Other streams use it from now on. */
  return qds_stream_synchronise(p->memory);
}

void qds_pipeline_slot_destroy(void *user, void *pointer) {
  qds_pipeline *p = user;
  qds_pipeline_slot *slot = pointer;
  for (int i = 0; i < p->stage_count; i++) {
    qds_event_destroy(slot->start[i]);
    qds_event_destroy(slot->end[i]);
  }
  qds_stream_release(p->memory, slot->item.device);
  if (!p->accelerator)
    qds_release(slot->item.host);
  else if (slot->item.host)
    qds_accelerator_release(p->accelerator, QDS_MEMORY_PINNED, slot->item.host);
  qds_release(slot);
}

qds_status qds_pipeline_slot_create(void *user, void **out) {
  qds_pipeline *p = user;
  qds_pipeline_slot *slot = NULL;
  *out = NULL;
  QDS_TRY(QDS_NEW_ZERO(p->allocator, 1, "pipeline item", &slot));
  slot->pipeline = p;
  qds_status status = create_buffers(p, slot);
  if (status == QDS_OK) status = create_events(p, slot);
  if (status != QDS_OK) {
    qds_pipeline_slot_destroy(p, slot);
    return status;
  }
  *out = slot;
  return QDS_OK;
}

/* --- the way through the stages ---------------------------------------------------------------------------
 */

static qds_status work(qds_pipeline_slot *slot, qds_pipeline_stage *stage) {
  qds_pipeline_item *item = &slot->item;
  const qds_stage *s = &stage->stage;
  if (s->run) return s->run(s->user, item, stage->stream);
  if (s->kind == QDS_STAGE_COPY_IN)
    return qds_stream_copy(stage->stream, item->device, item->host, item->bytes);
  return qds_stream_copy(stage->stream, item->host, item->device, item->bytes);
}

static qds_status work_on_host(qds_pipeline_slot *slot, qds_pipeline_stage *stage) {
  qds_event *before = stage->number > 0 ? slot->end[stage->number - 1] : NULL;
  if (before) QDS_TRY(qds_event_synchronise(before));
  const double began = qds_seconds();
  QDS_TRY(work(slot, stage));
  stage->busy_s += qds_seconds() - began;
  QDS_REQUIRE(slot->item.bytes <= slot->pipeline->item_bytes,
              "the stage made the item %zu bytes long; its buffer has %zu", slot->item.bytes,
              slot->pipeline->item_bytes);
  return QDS_OK;
}

/* A stage of the host before this one has finished the item already. */
static qds_status work_on_device(qds_pipeline_slot *slot, qds_pipeline_stage *stage) {
  qds_event *before = stage->number > 0 ? slot->end[stage->number - 1] : NULL;
  if (before) QDS_TRY(qds_stream_wait(stage->stream, before));
  QDS_TRY(qds_event_record(slot->start[stage->number], stage->stream));
  QDS_TRY(work(slot, stage));
  return qds_event_record(slot->end[stage->number], stage->stream);
}

qds_status qds_pipeline_slot_advance(qds_pipeline_slot *slot, qds_pipeline_stage *stage) {
  QDS_TRY(qds_pipeline_on_device(stage) ? work_on_device(slot, stage) : work_on_host(slot, stage));
  slot->finished_stages++;
  return QDS_OK;
}

qds_status qds_pipeline_slot_finish(qds_pipeline_slot *slot) {
  qds_pipeline *p = slot->pipeline;
  qds_event *last = slot->end[p->stage_count - 1];
  if (last) QDS_TRY(qds_event_synchronise(last));
  for (int i = 0; i < p->stage_count; i++) {
    double seconds = 0;
    if (!slot->end[i]) continue;
    QDS_TRY(qds_event_seconds(slot->start[i], slot->end[i], &seconds));
    p->stages[i].busy_s += seconds;
  }
  return QDS_OK;
}

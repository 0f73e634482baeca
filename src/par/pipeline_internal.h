/* What pipeline.c (the run) and pipeline_item.c (items, their memory and events) share. */
#ifndef QDS_PAR_PIPELINE_INTERNAL_H
#define QDS_PAR_PIPELINE_INTERNAL_H

#include <pthread.h>
#include <stdatomic.h>

#include "mem/lease.h"
#include "mem/queue.h"
#include "par/pipeline.h"

typedef struct {
  qds_pipeline_item item;
  qds_pipeline *pipeline;
  qds_lease *lease;    /* by which it is given back */
  int finished_stages; /* of this round */
  /* Of this item alone, so that nobody else records them again while they are waited for. */
  qds_event *start[QDS_PIPELINE_STAGES], *end[QDS_PIPELINE_STAGES];
} qds_pipeline_slot;

typedef struct {
  qds_stage stage;
  int number;
  qds_pipeline *pipeline;
  qds_stream *stream; /* NULL: a stage of the host */
  pthread_t thread;
  qds_queue *next; /* where items go from here; the last one leads to the caller of qds_pipeline_run */
  double busy_s;
} qds_pipeline_stage;

struct qds_pipeline {
  qds_context *ctx;
  qds_allocator *allocator;
  qds_accelerator *accelerator;
  int stage_count;
  qds_pipeline_stage stages[QDS_PIPELINE_STAGES];
  size_t item_bytes, device_bytes;
  size_t depth;
  qds_stream *memory; /* in whose order device memory is taken and given back */
  qds_lease_pool *slots;
  uint64_t items; /* of this run */
  uint64_t finished;
  atomic_int cancelled, stopped;
  pthread_mutex_t lock; /* of the first failure */
  qds_status status;
  char message[1024];
  const char *file;
  int line;
  long native;
};

static inline int qds_pipeline_on_device(const qds_pipeline_stage *stage) {
  return stage->stage.kind != QDS_STAGE_HOST;
}

/* The factory of slots; user is the pipeline. */
qds_status qds_pipeline_slot_create(void *user, void **out);
void qds_pipeline_slot_destroy(void *user, void *slot);

/* Lets a stage work on an item; on a device the work is only enqueued. */
qds_status qds_pipeline_slot_advance(qds_pipeline_slot *slot, qds_pipeline_stage *stage);
/* Waits until the last stage has finished the item, and counts the time that stages spent on it on the
 * device. */
qds_status qds_pipeline_slot_finish(qds_pipeline_slot *slot);

#endif

/* A pipeline: items go through stages one after the other, and the stages work on different items at once.
 *
 *   read file -> copy in -> compute -> copy out -> write file
 *
 * Each stage has a thread of its own and, when it works on the device, a stream of its own. An item has a
 * staging buffer on the host (page-locked where there is a device) and one on the device; it keeps both until
 * it has left the last stage, and `depth` items are under way at most. A stage begins an item when its
 * previous stage has finished that same item: streams wait for the item's own events, stages of the host for
 * the same events. Items come to each stage in the order of their index, one at a time. On a context without
 * a device the same stages run on streams of the host.
 *
 * The first failure, of whichever stage, stops the pipeline: items under way go no further, and
 * qds_pipeline_run returns its status and message with the stage and the item before it. */
#ifndef QDS_PAR_PIPELINE_H
#define QDS_PAR_PIPELINE_H

#include "par/context.h"

typedef struct qds_pipeline qds_pipeline;

enum { QDS_PIPELINE_STAGES = 16, QDS_PIPELINE_DEPTH = 1024 }; /* at most */

typedef enum {
  QDS_STAGE_HOST,     /* a function of the host: file input and output, checks, compression */
  QDS_STAGE_COPY_IN,  /* to the device */
  QDS_STAGE_COMPUTE,  /* on the device */
  QDS_STAGE_COPY_OUT, /* from the device */
} qds_stage_kind;

typedef struct {
  uint64_t index; /* from 0 */
  size_t bytes;   /* of it; item_bytes at first, any stage of the host may make it smaller */
  void *host;     /* for stages of the host and copies: item_bytes */
  void *device;   /* for copies and compute: device_bytes, in memory of the streams' place */
} qds_pipeline_item;

typedef struct {
  qds_stage_kind kind;
  const char *name; /* for messages and statistics; kept by address */
  /* Runs on the stage's thread and must not use the context. A stage of the host gets no stream and has done
   * its work when it returns; the others enqueue theirs on `stream` and do not wait. NULL: a copy of
   * item->bytes between item->host and item->device; only copies may leave it out. */
  qds_status (*run)(void *user, qds_pipeline_item *item, qds_stream *stream);
  void *user;
} qds_stage;

typedef struct {
  const qds_stage *stages; /* copied */
  int stage_count;         /* 1 to QDS_PIPELINE_STAGES */
  size_t item_bytes;
  size_t device_bytes; /* 0: item_bytes */
  int depth;           /* 1 to QDS_PIPELINE_DEPTH; 0: one item for each stage and one more */
} qds_pipeline_options;

typedef struct {
  const char *name;
  double busy_s; /* doing its work, not waiting for it; on a device measured between events */
} qds_stage_statistics;

typedef struct {
  uint64_t items;
  int stage_count;
  qds_stage_statistics stages[QDS_PIPELINE_STAGES];
  double wall_s;
  double busy_s;    /* the sum over all stages: what it takes one after the other */
  double longest_s; /* the busiest stage: no overlap takes less */
  /* How much of busy_s - longest_s was hidden: 1 when wall_s is longest_s, 0 when wall_s is busy_s, negative
   * when it took longer than that; 0 where there is one stage. */
  double overlap;
} qds_pipeline_statistics;

/* Memory for items is taken when they are first needed and kept until the pipeline is destroyed, before its
 * context. Errors: ARGUMENT, MEMORY, those of the device. */
qds_status qds_pipeline_create(qds_context *ctx, const qds_pipeline_options *options, qds_pipeline **out);
/* Sends items 0 to `items` - 1 through all stages, reports progress, and returns when nothing is under way
 * any more, also on the device. May be called again. statistics may be NULL. Errors: those of the stages and
 * of taking memory; INTERRUPTED by qds_pipeline_cancel or the context's user. */
qds_status qds_pipeline_run(qds_pipeline *pipeline, uint64_t items, qds_pipeline_statistics *statistics);
/* Lets this run and every later one fail with INTERRUPTED as soon as the stages have returned from the items
 * that they are at. Any thread; async-signal-safe. */
void qds_pipeline_cancel(qds_pipeline *pipeline);
void qds_pipeline_destroy(qds_pipeline *pipeline);
QDS_AUTO_DEFINE(qds_pipeline)

#endif

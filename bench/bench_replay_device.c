/* The device's part of a trace of the memory (qdsim run --device D --memory-trace) replayed on pools of a
 * device, as JSON and a table.
 *
 *   bench_replay_device [DEVICE [TRACE]]     DEVICE: sim (default), sim:N, cuda, cuda:N
 *
 * Without TRACE it solves a small dot on the device and replays that. One thread takes and gives back the
 * blocks in their order on one stream and touches none of them. Times are medians of rounds, each on a fresh
 * pool that replays the trace twice, so that the second time it serves from what it kept. */
#include "mem/pool_stream.h"
#include "replay.h"

typedef enum { POOL, BACK_END, SUBJECTS } subject;
static const char *const names[SUBJECTS] = {"device_pool", "back_end"};
enum { ROUNDS = 5 };

typedef struct {
  qds_stream *stream;
  subject subject;
  qds_stream_pool *pool;
  size_t operations, used, peak_used;
} stand;

static qds_status take(void *self, const qds_trace_event *e, void **out) {
  stand *s = self;
  s->operations++;
  s->used += e->bytes;
  if (s->used > s->peak_used) s->peak_used = s->used;
  if (s->subject == POOL)
    return qds_stream_pool_allocate(s->pool, s->stream, e->bytes, "replay", __FILE__, __LINE__, out);
  return qds_accelerator_allocate(s->stream->accelerator, QDS_MEMORY_DEVICE, e->bytes ? e->bytes : 1, out);
}

static void give(void *self, const qds_trace_event *e, void *block) {
  stand *s = self;
  s->operations++;
  s->used -= e->bytes;
  if (s->subject == POOL)
    (void)qds_stream_pool_release(s->pool, s->stream, block);
  else
    qds_accelerator_release(s->stream->accelerator, QDS_MEMORY_DEVICE, block);
}

static qds_status run_round(stand *s, const qds_trace_log *log, replay_outcome *out) {
  qds_stream_pool_statistics figures;
  qds_status status = QDS_OK;
  if (s->subject == POOL) QDS_TRY(qds_stream_pool_create(s->stream->accelerator, 0, &s->pool));
  for (int again = 0; again < 2 && status == QDS_OK; again++) {
    s->operations = 0;
    const double start = qds_seconds();
    status = qds_trace_replay(log, QDS_TRACE_DEVICE, &(qds_trace_target){s, take, give});
    out->nanoseconds[again] = 1e9 * (qds_seconds() - start) / (double)(s->operations ? s->operations : 1);
  }
  out->operations = s->operations;
  out->peak_used = out->peak_reserved = s->peak_used;
  if (!s->pool) return status;
  qds_stream_pool_statistics_read(s->pool, &figures);
  out->peak_reserved = figures.peak_reserved_bytes;
  qds_stream_pool_destroy(s->pool, NULL, NULL);
  return status;
}

static qds_status replay(void *user, const qds_trace_log *log, qds_json *json) {
  qds_context *ctx = user;
  double times[SUBJECTS][2][ROUNDS];
  replay_outcome outcomes[SUBJECTS];
  for (int round = 0; round < ROUNDS; round++)
    for (int which = 0; which < SUBJECTS; which++) {
      stand s = {.stream = qds_context_stream(ctx), .subject = (subject)which};
      QDS_TRY(run_round(&s, log, &outcomes[which]));
      for (int again = 0; again < 2; again++) times[which][again][round] = outcomes[which].nanoseconds[again];
    }
  qds_json_string(json, "device", qds_context_device(ctx));
  replay_report_head(qds_context_device(ctx));
  for (int which = 0; which < SUBJECTS; which++) {
    for (int again = 0; again < 2; again++)
      outcomes[which].nanoseconds[again] = replay_median(times[which][again], ROUNDS);
    replay_report(json, names[which], &outcomes[which]);
  }
  return QDS_OK;
}

int main(int argc, char **argv) {
  qds_context_options options = QDS_CONTEXT_OPTIONS_INIT;
  qds_context *ctx = NULL;
  if (argc > 3) {
    fprintf(stderr, "usage: %s [DEVICE [TRACE]]\n", argv[0]);
    return 2;
  }
  options.device = argc > 1 ? argv[1] : "sim";
  qds_status status = qds_context_create(&options, &ctx);
  if (status == QDS_OK && !qds_context_accelerator(ctx))
    status = qds_raise(QDS_ERROR_ARGUMENT, __FILE__, __LINE__, 0,
                       "the device %s has no memory of its own; sim and cuda have", options.device);
  if (status == QDS_OK) status = replay_run(options.device, argc > 2 ? argv[2] : NULL, ctx, replay);
  if (status != QDS_OK) fprintf(stderr, "%s\n", qds_last_error()->message);
  qds_context_destroy(ctx);
  return qds_status_exit(status);
}

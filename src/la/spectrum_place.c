/* Where a spectrum is sought: decided before the work begins. */
#include <math.h>
#include <stdio.h>

#include "la/spectrum_internal.h"
#include "mem/pool_stream.h"
#include "qdsim/text.h"

/* The device's library takes some of its memory for itself. */
static const double share_of_memory = 0.97;
/* What the pool holds between blocks is up to a part of what is used: where pieces can be put elsewhere only
 * the ends of blocks, of a large problem not more than some of the largest pieces. Small problems fill whole
 * pieces only in part. */
static const double between_blocks = 0.15, most_between_blocks = 2147483648.0, between_segments = 0.3,
                    partly_filled = 2;

static double with_gaps(const qds_accelerator *device, size_t bytes) {
  qds_stream_pool_statistics s;
  qds_stream_pool_statistics_read(device->pool, &s);
  const double used = (double)bytes, pieces = partly_filled * (double)s.least_bytes;
  return used + pieces +
         (*s.whole ? between_segments * used : fmin(between_blocks * used, most_between_blocks));
}

qds_status qds_spectrum_obstacle(qds_context *ctx, size_t bytes, char *why, size_t size) {
  const qds_accelerator *device = qds_context_accelerator(ctx);
  size_t available;
  *why = 0;
  if (!device) {
    snprintf(why, size, "there is no device");
    return QDS_OK;
  }
  QDS_TRY(qds_stream_pool_available(device->pool, &available));
  const double held = with_gaps(device, bytes);
  if (held <= share_of_memory * (double)available) return QDS_OK;
  char need[QDS_BYTES_TEXT], have[QDS_BYTES_TEXT];
  qds_format_bytes((size_t)held, need);
  qds_format_bytes(available, have);
  snprintf(why, size, "it has %s free and %s are needed", have, need);
  return QDS_OK;
}

static qds_status find_obstacle(const qds_search *s, char *why, size_t size) {
  const qds_spectrum_options *o = s->options;
  if (o->target && !o->target->on_stream) {
    snprintf(why, size, "it has no kernels for the %s", o->target->on_host.name);
    return QDS_OK;
  }
  return qds_spectrum_obstacle(
      s->ctx,
      qds_spectrum_device_bytes(s->operator_->n, s->parts, o->states, o->preconditioner, o->precision), why,
      size);
}

qds_status qds_search_choose_place(qds_search *s) {
  qds_spectrum_statistics *statistics = s->statistics;
  statistics->device = "cpu";
  if (!qds_context_accelerator(s->ctx)) return QDS_OK;
  QDS_TRY(find_obstacle(s, statistics->fallback, sizeof statistics->fallback));
  if (*statistics->fallback) {
    qds_context_fall_back(s->ctx, statistics->fallback);
    return QDS_OK;
  }
  statistics->device = qds_context_device(s->ctx);
  s->stream = qds_context_stream(s->ctx);
  return QDS_OK;
}

void qds_search_stay_on_cpu(qds_search *s, const char *reason) {
  qds_spectrum_statistics *statistics = s->statistics;
  statistics->device = "cpu";
  if (!qds_context_accelerator(s->ctx)) return;
  snprintf(statistics->fallback, sizeof statistics->fallback, "%s", reason);
  qds_context_prefer_cpu(s->ctx, reason);
}

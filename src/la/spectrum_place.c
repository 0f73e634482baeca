/* Where a spectrum is sought: decided before the work begins. */
#include <stdio.h>

#include "la/spectrum_internal.h"
#include "mem/pool_stream.h"
#include "qdsim/text.h"

/* What a problem needs beside its vectors: a device's stream-ordered pool and its library take some. */
static const double share_of_memory = 0.97;

qds_status qds_spectrum_obstacle(qds_context *ctx, size_t bytes, char *why, size_t size) {
  const qds_accelerator *device = qds_context_accelerator(ctx);
  size_t available;
  *why = 0;
  if (!device) {
    snprintf(why, size, "there is no device");
    return QDS_OK;
  }
  QDS_TRY(qds_stream_pool_available(device->pool, &available));
  if ((double)bytes <= share_of_memory * (double)available) return QDS_OK;
  char need[QDS_BYTES_TEXT], have[QDS_BYTES_TEXT];
  qds_format_bytes(bytes, need);
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

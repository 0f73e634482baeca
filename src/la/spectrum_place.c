/* Where a spectrum is sought: decided before the work begins. */
#include <stdio.h>
#include <string.h>

#include "la/spectrum_internal.h"
#include "qdsim/text.h"

/* LOBPCG combines the columns of two blocks at once. */
enum { MOST_DEVICE_VECTORS = QDS_COMBINE_MOST_OUTPUTS / 2 };

/* What a problem needs beside its vectors: a device's stream-ordered pool and its library take some. */
static const double share_of_free_memory = 0.97;

qds_status qds_spectrum_obstacle(qds_context *ctx, int64_t rows, int states, int dimension,
                                 int other_operator, size_t preconditioner, char *why, size_t size) {
  qds_accelerator *device = qds_context_accelerator(ctx);
  *why = 0;
  if (!device) {
    snprintf(why, size, "there is no device");
  } else if (other_operator) {
    snprintf(why, size, "it has no kernels for a magnetic field");
  } else if (qds_search_most_vectors(states) > MOST_DEVICE_VECTORS) {
    snprintf(why, size, "%d states and their guards are more than its %d vectors", states,
             MOST_DEVICE_VECTORS);
  } else {
    size_t free_bytes, total_bytes;
    QDS_TRY(qds_accelerator_memory(device, &free_bytes, &total_bytes));
    const double needed = (double)qds_spectrum_device_bytes(rows, states, dimension) + (double)preconditioner;
    if (needed <= share_of_free_memory * (double)free_bytes) return QDS_OK;
    char need[QDS_BYTES_TEXT], have[QDS_BYTES_TEXT];
    qds_format_bytes((size_t)needed, need);
    qds_format_bytes(free_bytes, have);
    snprintf(why, size, "it has %s free and %s are needed", have, need);
  }
  return QDS_OK;
}

qds_status qds_search_choose_place(qds_search *s) {
  qds_spectrum_statistics *statistics = s->statistics;
  statistics->device = "cpu";
  if (!qds_context_accelerator(s->ctx)) return QDS_OK;
  const int fast = s->options->preconditioner == QDS_PRECONDITION_FAST_DIAGONALISATION;
  const size_t preconditioner = fast ? qds_fdm_bytes_on_stream(s->operator_->n, s->options->precision) : 0;
  QDS_TRY(qds_spectrum_obstacle(s->ctx, s->target.rows, s->options->states, qds_search_dimension(s),
                                s->options->operator_ != NULL, preconditioner, statistics->fallback,
                                sizeof statistics->fallback));
  if (*statistics->fallback) {
    qds_context_fall_back(s->ctx, statistics->fallback);
    return QDS_OK;
  }
  statistics->device = qds_context_device(s->ctx);
  s->stream = qds_context_stream(s->ctx);
  return QDS_OK;
}

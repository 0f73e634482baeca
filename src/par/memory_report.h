/* The memory account as part of a JSON text. */
#ifndef QDS_PAR_MEMORY_REPORT_H
#define QDS_PAR_MEMORY_REPORT_H

#include "base/json.h"
#include "par/context.h"
#include "qdsim/memory.h"

/* A map under `key`: host and device by tag, pools, buffers by place. */
void qds_memory_report_write(qds_json *json, const char *key, qds_context *ctx);

#endif

/* What this machine and this build can do. */
#ifndef QDSIM_INFO_H
#define QDSIM_INFO_H

#include "qdsim/context.h"

#ifdef __cplusplus
extern "C" {
#endif

/* A report of version, threads, devices (and why one is missing), BLAS library with core and measured GF/s,
 * memory bandwidth and library versions; as text, or as JSON. Free with qds_text_destroy. Takes about half a
 * second. */
QDS_API qds_status qds_info(qds_context *ctx, int json, char **out);

#ifdef __cplusplus
}
#endif
#endif

/* The devices that a report on this machine lists. */
#ifndef QDS_LA_INFO_DEVICES_H
#define QDS_LA_INFO_DEVICES_H

#include "base/json.h"
#include "base/text.h"
#include "par/context.h"

/* A device, or a back end without one. */
typedef struct {
  char name[64];     /* "cuda:0", or "cuda" */
  int used;          /* by this context */
  char reason[1024]; /* why it cannot be used; "" when it can */
  qds_accelerator_properties properties;
} qds_info_device;

typedef struct {
  int count;
  qds_info_device *rows; /* the CPU is not among them */
} qds_info_devices;

/* Loads every back end and opens each device that the context has not open. Release rows. */
qds_status qds_info_devices_gather(qds_context *ctx, qds_info_devices *out);
void qds_info_devices_text(const qds_context *ctx, const qds_info_devices *devices, qds_text *text);
void qds_info_devices_json(const qds_context *ctx, const qds_info_devices *devices, qds_json *json);

#endif

#include "dot/device.h"

#include <string.h>

#include "la/spectrum.h"

qds_status qds_device_new(qds_context *ctx, qds_device **out) {
  *out = NULL;
  QDS_TRY(QDS_NEW_ZERO(qds_context_allocator(ctx), 1, "device", out));
  (*out)->ctx = ctx;
  (*out)->max_iterations = 200;
  return QDS_OK;
}

static void term_clear(qds_potential_term *term) {
  qds_release(term->formula);
  for (size_t i = 0; term->names && term->names[i]; i++) qds_release(term->names[i]);
  qds_release(term->names);
  qds_release(term->values);
  qds_release(term->array);
  qds_release(term->place);
}

void qds_device_destroy(qds_device *d) {
  if (!d) return;
  char *texts[] = {d->name, d->stem, d->input, d->configuration, d->folder, d->open.place};
  for (int i = 0; i < 6; i++) qds_release(texts[i]);
  for (int a = 0; a < 3; a++) qds_axis_destroy(d->axis[a]);
  for (int i = 0; i < d->materials; i++) qds_release(d->material[i].name);
  for (size_t i = 0; d->shape && i < d->medium.count; i++) qds_shape_destroy(d->shape[i]);
  for (size_t i = 0; i < d->terms; i++) term_clear(&d->term[i]);
  for (size_t i = 0; i < d->electrostatics.dopings; i++) qds_shape_destroy(d->electrostatics.doping[i].shape);
  qds_release(d->electrostatics.doping);
  qds_release(d->material);
  qds_release(d->shape);
  qds_release(d->region);
  qds_release(d->term);
  qds_release(d->mass_map);
  qds_release(d);
}

const char *qds_device_name(const qds_device *device) {
  return device->name;
}
const char *qds_device_configuration(const qds_device *device) {
  return device->configuration;
}
int qds_device_wants_plot(const qds_device *device) {
  return device->plot;
}
int qds_device_wants_fields(const qds_device *device) {
  return device->fields != 0;
}

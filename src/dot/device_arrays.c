/* Devices from arrays. */
#include <math.h>
#include <string.h>

#include "base/text.h"
#include "dot/device.h"

static qds_status make_axis(qds_device *d, const qds_array_device *a, int user) {
  qds_allocator *allocator = qds_context_allocator(d->ctx);
  qds_axis **out = &d->axis[qds_device_axis(d, user)];
  const int order = a->order ? a->order : 1;
  if (a->coordinates_nm[user])
    return qds_axis_from_coordinates(allocator, a->coordinates_nm[user], a->nodes[user], order,
                                     a->boundary[user], out);
  const double spacing = a->spacing_nm[user], length = spacing * (double)(a->nodes[user] - 1);
  QDS_REQUIRE(isfinite(spacing) && spacing > 0, "spacing along axis %d is %g nm; it must be positive", user,
              spacing);
  if (order > 2) /* the nodes of order 2 are uniform too */
    QDS_FAIL(QDS_ERROR_INPUT,
             "uniform spacing is order 1 or 2; for order %d give the coordinates of the Gauss-Lobatto nodes",
             order);
  return qds_axis_create(allocator, 0, length, a->nodes[user], order, NULL, 0, a->boundary[user], out);
}

static qds_status create_axis(qds_device *d, const qds_array_device *a, int user) {
  QDS_TRY(make_axis(d, a, user));
  const qds_axis *axis = d->axis[qds_device_axis(d, user)];
  const double *coordinates = axis->coordinates_nm;
  char why[QDS_AXIS_TEXT];
  QDS_REQUIRE(qds_device_axis_fits(coordinates[0], coordinates[axis->nodes - 1], why), "%s along axis %d: %s",
              a->coordinates_nm[user] ? "coordinates" : "spacing_nm", user, why);
  return QDS_OK;
}

/* Copies one number per node; `low`: the least allowed. */
static qds_status copy_array(const qds_device *d, const char *what, const double *from, double low,
                             double **out) {
  const int64_t nodes = qds_device_nodes(d);
  for (int64_t i = 0; i < nodes; i++)
    if (!isfinite(from[i]) || from[i] < low)
      QDS_FAIL(QDS_ERROR_INPUT, "%s: number %lld (C order) is %g; %s", what, (long long)i, from[i],
               low > 0 ? "positive numbers are wanted" : "finite numbers are wanted");
  QDS_TRY(QDS_NEW(qds_context_allocator(d->ctx), nodes, "device", out));
  memcpy(*out, from, sizeof(double) * (size_t)nodes);
  return QDS_OK;
}

static qds_status check(const qds_array_device *a) {
  QDS_REQUIRE(a->struct_size == sizeof *a, "qds_array_device: struct_size %zu, this library expects %zu",
              a->struct_size, sizeof *a);
  QDS_REQUIRE(a->dimension >= 1 && a->dimension <= 3, "dimension %d: 1 to 3 are allowed", a->dimension);
  QDS_REQUIRE(a->potential_eV, "no potential");
  QDS_REQUIRE(a->mass_map || (isfinite(a->mass) && a->mass > 0), "mass %g: it must be positive", a->mass);
  QDS_REQUIRE(a->states >= 1, "%d states: at least 1 is wanted", a->states);
  QDS_REQUIRE(isfinite(a->tolerance_eV) && a->tolerance_eV >= 0,
              "tolerance %g eV: it must be positive, or 0 for the default", a->tolerance_eV);
  return QDS_OK;
}

/* The only material: the mass where no map gives it, and the band edge 0. */
static qds_status one_material(qds_device *d, double mass) {
  qds_allocator *allocator = qds_context_allocator(d->ctx);
  QDS_TRY(QDS_NEW_ZERO(allocator, 1, "device", &d->material));
  QDS_TRY(QDS_STRDUP(allocator, "everywhere", "device", &d->material[0].name));
  d->materials = d->medium.materials = 1;
  for (int a = 0; a < 3; a++) d->material[0].mass[a] = mass;
  return QDS_OK;
}

static qds_status potential_term(qds_device *d, const double *potential_eV) {
  QDS_TRY(QDS_NEW_ZERO(qds_context_allocator(d->ctx), 1, "device", &d->term));
  d->terms = 1;
  QDS_TRY(QDS_STRDUP(qds_context_allocator(d->ctx), "potential", "device", &d->term[0].place));
  return copy_array(d, "potential_eV", potential_eV, -INFINITY, &d->term[0].array);
}

static qds_status name_all(qds_device *d) {
  qds_allocator *allocator = qds_context_allocator(d->ctx);
  QDS_TRY(QDS_STRDUP(allocator, "arrays", "device", &d->name));
  QDS_TRY(QDS_STRDUP(allocator, "arrays", "device", &d->stem));
  QDS_TRY(QDS_STRDUP(allocator, "arrays", "device", &d->input));
  return QDS_STRDUP(allocator, "", "device", &d->configuration);
}

qds_status qds_device_from_arrays(qds_context *ctx, const qds_array_device *a, qds_device **out) {
  QDS_REQUIRE(ctx && a && out, "qds_device_from_arrays: a NULL argument");
  QDS_AUTO(qds_device) *d = NULL;
  *out = NULL;
  QDS_TRY(check(a));
  QDS_TRY(qds_device_new(ctx, &d));
  d->dimension = a->dimension;
  d->tolerance_eV = a->tolerance_eV;
  d->states = a->states;
  QDS_TRY(name_all(d));
  for (int axis = 0; axis < 3 - d->dimension; axis++)
    QDS_TRY(qds_axis_create_point(qds_context_allocator(ctx), &d->axis[axis]));
  for (int user = 0; user < d->dimension; user++) QDS_TRY(create_axis(d, a, user));
  if (d->states > qds_device_unknowns(d))
    QDS_FAIL(QDS_ERROR_INPUT, "%d states are wanted, the grid has %lld unknowns", d->states,
             (long long)qds_device_unknowns(d));
  QDS_TRY(one_material(d, a->mass));
  QDS_TRY(potential_term(d, a->potential_eV));
  if (a->mass_map) QDS_TRY(copy_array(d, "mass", a->mass_map, 1e-6, &d->mass_map));
  *out = d;
  d = NULL;
  return QDS_OK;
}

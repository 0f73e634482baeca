/* Poisson's operator and its multigrid, on the CPU or on a device. */
#include <math.h>
#include <string.h>

#include "base/units.h"
#include "dot/coefficient.h"
#include "dot/poisson_internal.h"

/* The boundaries of an axis of Poisson's equation. */
static void set_boundary(const qds_axis *axis, const qds_contacts *contacts, int user, qds_boundary out[2]) {
  for (int side = 0; side < 2; side++)
    out[side] = axis->boundary[side] == QDS_PERIODIC ? QDS_PERIODIC
                : contacts->is_contact[user][side]   ? QDS_DIRICHLET
                                                     : QDS_NEUMANN;
}

static qds_status create_axes(qds_poisson *p) {
  const qds_device *d = p->device;
  qds_allocator *allocator = qds_context_allocator(d->ctx);
  for (int a = 0; a < 3 - d->dimension; a++) QDS_TRY(qds_axis_create_point(allocator, &p->axis[a]));
  for (int user = 0; user < d->dimension; user++) {
    const int a = qds_device_axis(d, user);
    const qds_axis *axis = d->axis[a];
    qds_boundary boundary[2];
    set_boundary(axis, &p->contacts, user, boundary);
    for (int side = 0; side < 2; side++) {
      if (boundary[side] == QDS_PERIODIC && p->contacts.is_contact[user][side])
        QDS_FAIL(QDS_ERROR_INPUT, "axis %c is periodic: it has no face for a contact", "xyz"[user]);
      if (boundary[side] == QDS_DIRICHLET) p->closed = 0;
    }
    QDS_TRY(qds_axis_from_coordinates(allocator, axis->coordinates_nm, axis->nodes, axis->order, boundary,
                                      &p->axis[a]));
  }
  return QDS_OK;
}

static qds_status create_operator(qds_poisson *p, const double *permittivity) {
  const qds_device *d = p->device;
  const int by_element[3] = {0, 0, 0};
  const qds_axis *axis[3] = {p->axis[0], p->axis[1], p->axis[2]};
  QDS_AUTO_RELEASE double *values = NULL;
  QDS_TRY(QDS_NEW(qds_context_allocator(d->ctx), d->materials, "poisson", &values));
  for (int m = 0; m < d->materials; m++) {
    QDS_REQUIRE(permittivity[m] > 0 && isfinite(permittivity[m]), "permittivity %g of material %s",
                permittivity[m], d->material[m].name);
    values[m] = QDS_VACUUM_PERMITTIVITY * permittivity[m];
  }
  QDS_TRY(qds_tensor_operator_create(d->ctx, axis, by_element, &p->operator_));
  for (int a = 3 - d->dimension; a < 3; a++) QDS_TRY(qds_average_coefficients(d, values, p->operator_, a));
  return QDS_OK;
}

/* The square root of the volume that an unknown stands for: unknowns are potentials times it. */
static double line_root(const qds_tensor_operator *t, int64_t line) {
  return 1 / (t->axis[0]->scale[line / t->n[1]] * t->axis[1]->scale[line % t->n[1]]);
}

qds_status qds_poisson_need_root(qds_poisson *p) {
  const qds_tensor_operator *t = p->operator_;
  qds_context *ctx = p->device->ctx;
  __attribute__((cleanup(qds_block_clear))) qds_block host = {0};
  if (p->root.columns > 0) return QDS_OK;
  QDS_TRY(qds_block_create(ctx, t->rows, 1, "poisson", &host));
#pragma omp parallel for num_threads(qds_context_threads(ctx)) schedule(static)
  for (int64_t line = 0; line < t->n[0] * t->n[1]; line++)
    for (int64_t k = 0; k < t->n[2]; k++)
      host.data[line * t->n[2] + k] = line_root(t, line) / t->axis[2]->scale[k];
  QDS_TRY(qds_block_create_on(ctx, p->stream, t->rows, 1, "poisson", &p->root));
  return qds_block_copy(&host, &p->root);
}

static qds_status create_vectors(qds_poisson *p) {
  const qds_tensor_operator *t = p->operator_;
  qds_context *ctx = p->device->ctx;
  __attribute__((cleanup(qds_block_clear))) qds_block host = {0};
  qds_block *const vectors[] = {&p->lift, &p->residual, &p->update};
  for (int i = 0; i < 3; i++) QDS_TRY(qds_block_create_on(ctx, p->stream, t->rows, 1, "poisson", vectors[i]));
  QDS_TRY(qds_block_create(ctx, t->rows, 1, "poisson", &host));
  memset(host.data, 0, sizeof(double) * (size_t)t->rows);
  qds_poisson_add_lift(p, host.data);
  p->volume = 1;
  for (int a = 0; a < 3; a++) {
    double length = 0;
    for (int64_t i = 0; i < t->n[a]; i++) length += t->axis[a]->mass[i];
    p->volume *= length;
  }
  return qds_block_copy(&host, &p->lift);
}

/* eps (pi / L)^2 of the longest axis. */
static double lowest_wave(const qds_poisson *p, const double *permittivity) {
  double longest = 0, largest = 0;
  for (int user = 0; user < p->device->dimension; user++) {
    const qds_axis *axis = p->axis[qds_device_axis(p->device, user)];
    longest = fmax(longest, axis->coordinates_nm[axis->nodes - 1] - axis->coordinates_nm[0]);
  }
  for (int m = 0; m < p->device->materials; m++) largest = fmax(largest, permittivity[m]);
  return QDS_VACUUM_PERMITTIVITY * largest * pow(acos(-1) / longest, 2);
}

qds_status qds_poisson_create(const qds_device *device, const double *permittivity,
                              const qds_contacts *contacts, qds_stream *stream, qds_poisson **out) {
  qds_allocator *allocator = qds_context_allocator(device->ctx);
  QDS_AUTO(qds_poisson) *p = NULL;
  *out = NULL;
  QDS_TRY(QDS_NEW_ZERO(allocator, 1, "poisson", &p));
  p->device = device;
  p->contacts = *contacts;
  p->closed = 1;
  p->stream = stream;
  QDS_TRY(qds_stream_open(NULL, allocator, qds_context_threads(device->ctx), &p->host));
  QDS_TRY(create_axes(p));
  QDS_TRY(create_operator(p, permittivity));
  QDS_TRY(qds_grid_create(device->ctx, stream ? stream : &p->host,
                          (const qds_axis *const[3]){p->axis[0], p->axis[1], p->axis[2]}, &p->grid));
  QDS_TRY(create_vectors(p));
  p->level = lowest_wave(p, permittivity);
  QDS_TRY(qds_tensor_operator_norm(device->ctx, p->operator_, &p->norm));
  *out = p;
  p = NULL;
  return QDS_OK;
}

static void clear_operator(qds_poisson *p) {
  qds_multigrid_destroy(p->multigrid);
  qds_device_operator_destroy(p->device_operator);
  p->multigrid = NULL;
  p->device_operator = NULL;
}

void qds_poisson_destroy(qds_poisson *p) {
  if (!p) return;
  clear_operator(p);
  qds_block *const vectors[] = {&p->root, &p->lift, &p->residual, &p->update, &p->slope};
  for (size_t i = 0; i < sizeof vectors / sizeof *vectors; i++) qds_block_clear(vectors[i]);
  qds_grid_clear(&p->grid);
  qds_tensor_operator_destroy(p->operator_);
  for (int a = 0; a < 3; a++) qds_axis_destroy(p->axis[a]);
  qds_release(p);
}

qds_operator qds_poisson_operator(qds_poisson *p) {
  return p->stream ? qds_device_operator_apply(p->device_operator) : qds_tensor_operator_apply(p->operator_);
}

/* The operator on a device is made when it is first needed. One without slope is compressed to next to
 * nothing and faster; Newton's method gets one whose diagonal it can write to, once. */
static qds_status need_device_operator(qds_poisson *p, int open_diagonal) {
  qds_context *ctx = p->device->ctx;
  if (p->device_operator && (p->open_diagonal || !open_diagonal)) return QDS_OK;
  clear_operator(p);
  p->open_diagonal = open_diagonal;
  return open_diagonal ? qds_device_operator_create_open(ctx, p->stream, p->operator_, &p->device_operator)
                       : qds_device_operator_create(ctx, p->stream, p->operator_, &p->device_operator);
}

/* Where the operator has its diagonal, how many numbers there are, and where its lines begin. */
static double *diagonal_of(const qds_poisson *p, int64_t *count, int64_t *line) {
  const qds_tensor_operator *t = p->operator_;
  *line = t->n[2];
  double *const diagonal = p->stream ? qds_device_operator_potential(p->device_operator, line) : t->v;
  *count = t->n[0] * t->n[1] * *line;
  return diagonal;
}

static qds_status clear_diagonal(qds_poisson *p) {
  int64_t count, line;
  if (p->stream && !p->open_diagonal) return QDS_OK;
  double *diagonal = diagonal_of(p, &count, &line);
  return qds_stream_fill(p->grid.stream, diagonal, 0, sizeof *diagonal * (size_t)count);
}

qds_status qds_poisson_bare_operator(qds_poisson *p, qds_operator *out) {
  if (p->stream) QDS_TRY(need_device_operator(p, 0));
  QDS_TRY(clear_diagonal(p));
  *out = qds_poisson_operator(p);
  return QDS_OK;
}

static qds_status write_diagonal(qds_poisson *p, const qds_block *slope) {
  int64_t count, line;
  if (!slope) return clear_diagonal(p);
  double *diagonal = diagonal_of(p, &count, &line);
  return qds_grid_fold(&p->grid, (qds_folding){.factor = 1, .line = line}, slope->data, diagonal);
}

qds_status qds_poisson_set_slope(qds_poisson *p, const qds_block *slope) {
  qds_context *ctx = p->device->ctx;
  if (p->stream) QDS_TRY(need_device_operator(p, slope != NULL));
  QDS_TRY(write_diagonal(p, slope));
  const int had_slope = p->multigrid_has_slope;
  p->multigrid_has_slope = slope != NULL;
  /* One on a device begins with the operator's diagonal too, since it reads it there. */
  if (!p->multigrid) return qds_multigrid_create(ctx, p->device_operator, p->operator_, &p->multigrid);
  return slope || had_slope ? qds_multigrid_renew(p->multigrid, ctx, p->operator_) : QDS_OK;
}

size_t qds_poisson_device_bytes(const int64_t nodes[3], int with_slope) {
  const double all = (double)nodes[0] * (double)nodes[1] * (double)nodes[2],
               vectors = with_slope ? 10 : 9, /* of nodes and unknowns, the solver's three among them */
      coefficients = 4, diagonal = with_slope ? 9.25 : 0;
  return qds_multigrid_bytes_on_stream(nodes) +
         (size_t)(all * (vectors * sizeof(double) + coefficients + diagonal));
}

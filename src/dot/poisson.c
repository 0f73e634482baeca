#include "dot/poisson.h"

#include <math.h>
#include <string.h>

#include "base/units.h"
#include "dot/coefficient.h"
#include "la/multigrid.h"
#include "la/pcg.h"

enum { MAX_ITERATIONS = 500, MAX_PASSES = 12 };
/* Each pass of the linear solve shrinks the error by this; rounding ends the passes. */
static const double pass_tolerance = 1e-8;
/* What rounding may leave of the potential before the solve is said to have failed. */
static const double most_rounding = 1e-9;
/* A charge that adds up to this part of itself adds up to nothing. */
static const double neutral = 1e-9;

struct qds_poisson {
  const qds_device *device;
  qds_contacts contacts;
  int closed; /* no contact */
  qds_axis *axis[3];
  qds_tensor_operator *operator_;
  double *lift;     /* rows: what the contacts put into the right-hand side */
  double *constant; /* rows: a uniform potential, of norm 1 */
  double level;     /* with no contact: the eigenvalue that a uniform potential is given, that of a wave
                       through the device */
  double *residual, *update, *folded; /* rows */
  /* A total charge that is conserved: the slope as a vector, and its sum. */
  double *slope, slope_sum;
};

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

static void unknown_at(const qds_tensor_operator *t, int64_t row, int64_t u[3]) {
  u[0] = row / (t->n[1] * t->n[2]);
  u[1] = row / t->n[2] % t->n[1];
  u[2] = row % t->n[2];
}

/* The square root of the volume that an unknown stands for: unknowns are potentials times it. */
static double root_volume(const qds_tensor_operator *t, const int64_t u[3]) {
  return 1 / (t->axis[0]->scale[u[0]] * t->axis[1]->scale[u[1]] * t->axis[2]->scale[u[2]]);
}

/* The node of an unknown in arrays on all nodes. */
static int64_t node_of(const qds_tensor_operator *t, const int64_t u[3]) {
  int64_t node = 0;
  for (int a = 0; a < 3; a++) node = node * t->axis[a]->nodes + u[a] + t->axis[a]->first;
  return node;
}

/* What the potential of one contact puts into the equations of the unknowns in the element next to it. */
static void lift_face(qds_poisson *p, int a, int side, double potential_V) {
  const qds_tensor_operator *t = p->operator_;
  const qds_axis *axis = t->axis[a];
  const int count = axis->order + 1, end = side ? axis->order : 0;
  const int64_t e = side ? axis->elements - 1 : 0;
  for (int64_t row = 0; row < t->rows; row++) {
    int64_t u[3];
    unknown_at(t, row, u);
    const int64_t local = u[a] + axis->first - e * axis->order;
    if (local < 0 || local > axis->order) continue;
    const double coupling = qds_tensor_operator_coefficient(t, a, e, u[0], u[1], u[2]) *
                            axis->stiffness[(e * count + local) * count + end];
    p->lift[row] -= coupling * potential_V * root_volume(t, u) / axis->mass[u[a]];
  }
}

static qds_status create_vectors(qds_poisson *p) {
  const qds_tensor_operator *t = p->operator_;
  qds_allocator *allocator = qds_context_allocator(p->device->ctx);
  double **vectors[] = {&p->lift, &p->constant, &p->residual, &p->update, &p->folded, &p->slope};
  for (int i = 0; i < 6; i++) QDS_TRY(QDS_NEW_ZERO(allocator, t->rows, "poisson", vectors[i]));
  double volume = 0;
  for (int64_t row = 0; row < t->rows; row++) {
    int64_t u[3];
    unknown_at(t, row, u);
    p->constant[row] = root_volume(t, u);
    volume += p->constant[row] * p->constant[row];
  }
  for (int64_t row = 0; row < t->rows; row++) p->constant[row] /= sqrt(volume);
  for (int user = 0; user < p->device->dimension; user++)
    for (int side = 0; side < 2; side++)
      if (p->contacts.is_contact[user][side])
        lift_face(p, qds_device_axis(p->device, user), side, p->contacts.potential_V[user][side]);
  return QDS_OK;
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
                              const qds_contacts *contacts, qds_poisson **out) {
  QDS_AUTO(qds_poisson) *p = NULL;
  *out = NULL;
  QDS_TRY(QDS_NEW_ZERO(qds_context_allocator(device->ctx), 1, "poisson", &p));
  p->device = device;
  p->contacts = *contacts;
  p->closed = 1;
  QDS_TRY(create_axes(p));
  QDS_TRY(create_operator(p, permittivity));
  QDS_TRY(create_vectors(p));
  p->level = lowest_wave(p, permittivity);
  *out = p;
  p = NULL;
  return QDS_OK;
}

void qds_poisson_destroy(qds_poisson *p) {
  if (!p) return;
  qds_tensor_operator_destroy(p->operator_);
  for (int a = 0; a < 3; a++) qds_axis_destroy(p->axis[a]);
  double *vectors[] = {p->lift, p->constant, p->residual, p->update, p->folded, p->slope};
  for (int i = 0; i < 6; i++) qds_release(vectors[i]);
  qds_release(p);
}

int qds_poisson_is_closed(const qds_poisson *p) {
  return p->closed;
}

/* The operator of Newton's method: -div(eps grad) + slope on the diagonal, which the tensor operator holds;
 * less what conserves the total charge (the chemical potential follows a uniform shift); and without contacts
 * with an eigenvalue for the uniform potential, which is no part of any residual. */
static qds_status apply_newton(void *self, qds_context *ctx, const qds_block *x, qds_block *y) {
  const qds_poisson *p = self;
  const qds_operator a = qds_tensor_operator_apply(p->operator_);
  QDS_TRY(a.apply(a.self, ctx, x, y));
  for (int j = 0; j < x->columns; j++) {
    const double *from = qds_block_column(x, j);
    double *to = qds_block_column(y, j);
    if (p->slope_sum > 0) {
      const double part = qds_vector_dot(ctx, x->rows, p->slope, from) / p->slope_sum;
      for (int64_t i = 0; i < x->rows; i++) to[i] -= part * p->slope[i];
    }
    if (p->closed) {
      const double part = p->level * qds_vector_dot(ctx, x->rows, p->constant, from);
      for (int64_t i = 0; i < x->rows; i++) to[i] += part * p->constant[i];
    }
  }
  return QDS_OK;
}

/* residual = right-hand side - A potential, on the scaled unknowns. */
static qds_status find_residual(qds_poisson *p, const double *charge, const double *potential_V) {
  qds_context *ctx = p->device->ctx;
  qds_tensor_operator *t = p->operator_;
  const qds_operator a = qds_tensor_operator_apply(t);
  qds_block x = {p->update, t->rows, t->rows, 1, NULL}, y = {p->residual, t->rows, t->rows, 1, NULL};
  memset(t->v, 0, sizeof(double) * (size_t)t->rows);
  qds_fold_nodes(p->device->ctx, t, -1, charge, p->folded);
#pragma omp parallel for num_threads(qds_context_threads(ctx)) schedule(static)
  for (int64_t row = 0; row < t->rows; row++) {
    int64_t u[3];
    unknown_at(t, row, u);
    p->update[row] = potential_V[node_of(t, u)] * root_volume(t, u);
    p->folded[row] *= root_volume(t, u);
  }
  QDS_TRY(a.apply(a.self, ctx, &x, &y));
  for (int64_t i = 0; i < t->rows; i++) p->residual[i] = p->folded[i] + p->lift[i] - p->residual[i];
  if (!p->closed) return QDS_OK;
  const double part = qds_vector_dot(ctx, t->rows, p->constant, p->residual);
  for (int64_t i = 0; i < t->rows; i++) p->residual[i] -= part * p->constant[i];
  return QDS_OK;
}

/* Copies scaled unknowns to all nodes, 0 at contacts. */
static void unfold(const qds_poisson *p, const double *from, double *to) {
  const qds_tensor_operator *t = p->operator_;
  const int64_t n0 = t->axis[0]->nodes, n1 = t->axis[1]->nodes, n2 = t->axis[2]->nodes;
#pragma omp parallel for num_threads(qds_context_threads(p->device->ctx)) schedule(static)
  for (int64_t line = 0; line < n0 * n1; line++) {
    int64_t u[3] = {qds_axis_unknown(t->axis[0], line / n1), qds_axis_unknown(t->axis[1], line % n1), 0};
    for (int64_t node = 0; node < n2; node++) {
      u[2] = qds_axis_unknown(t->axis[2], node);
      to[line * n2 + node] = u[0] < 0 || u[1] < 0 || u[2] < 0
                                 ? 0
                                 : from[(u[0] * t->n[1] + u[1]) * t->n[2] + u[2]] / root_volume(t, u);
    }
  }
}

/* Puts the slope of the charge on the diagonal, and where the total is conserved also into the vector. */
static void set_slope(qds_poisson *p, const qds_poisson_charge *charge) {
  qds_tensor_operator *t = p->operator_;
  p->slope_sum = 0;
  if (!charge->slope) return;
  qds_fold_nodes(p->device->ctx, t, -1, charge->slope, t->v);
  for (int64_t row = 0; row < t->rows && charge->conserved; row++) {
    int64_t u[3];
    unknown_at(t, row, u);
    p->slope[row] = t->v[row] * root_volume(t, u);
    p->slope_sum += p->slope[row] * root_volume(t, u);
  }
}

qds_status qds_poisson_correct(qds_poisson *p, const qds_poisson_charge *charge, const double *potential_V,
                               double *step, double *descent) {
  qds_context *ctx = p->device->ctx;
  QDS_AUTO(qds_multigrid) *multigrid = NULL;
  qds_pcg_statistics statistics;
  double shift;
  QDS_TRY(find_residual(p, charge->charge, potential_V));
  set_slope(p, charge);
  QDS_TRY(qds_multigrid_create(ctx, NULL, p->operator_, &multigrid));
  QDS_TRY(qds_multigrid_set_shift(multigrid, ctx, p->closed ? -p->level : 0, &shift));
  const qds_operator a = {p, p->operator_->rows, "Poisson's equation", apply_newton},
                     b = qds_multigrid_cycle(multigrid, 0);
  const qds_pcg_options options = {.operator_ = &a,
                                   .preconditioner = &b,
                                   .relative_tolerance = charge->relative_tolerance,
                                   .max_iterations = MAX_ITERATIONS,
                                   .phase = "poisson"};
  memset(p->update, 0, sizeof(double) * (size_t)p->operator_->rows);
  QDS_TRY(qds_pcg(ctx, &options, p->residual, p->update, &statistics));
  *descent = qds_vector_dot(ctx, p->operator_->rows, p->residual, p->update);
  unfold(p, p->update, step);
  return QDS_OK;
}

qds_status qds_poisson_descent(qds_poisson *p, const double *charge, const double *potential_V,
                               const double *step, double *descent) {
  const qds_tensor_operator *t = p->operator_;
  QDS_TRY(find_residual(p, charge, potential_V));
  double sum = 0;
  for (int64_t row = 0; row < t->rows; row++) {
    int64_t u[3];
    unknown_at(t, row, u);
    sum += p->residual[row] * step[node_of(t, u)] * root_volume(t, u);
  }
  *descent = sum;
  return QDS_OK;
}

/* How many nodes a face perpendicular to axis a has. */
static int64_t face_nodes(const qds_poisson *p, int a) {
  const qds_axis *const *axis = p->operator_->axis;
  return axis[(a + 1) % 3]->nodes * axis[(a + 2) % 3]->nodes;
}

/* The node number `index` of a face perpendicular to axis a. */
static void face_node(const qds_poisson *p, int a, int side, int64_t index, int64_t node[3]) {
  const qds_axis *const *axis = p->operator_->axis;
  const int b = (a + 1) % 3, c = (a + 2) % 3;
  node[a] = side ? axis[a]->nodes - 1 : 0;
  node[b] = index / axis[c]->nodes;
  node[c] = index % axis[c]->nodes;
}

static int64_t node_index(const qds_poisson *p, const int64_t node[3]) {
  const qds_axis *const *axis = p->operator_->axis;
  return (node[0] * axis[1]->nodes + node[1]) * axis[2]->nodes + node[2];
}

void qds_poisson_set_contacts(const qds_poisson *p, double *potential_V) {
  for (int user = p->device->dimension - 1; user >= 0; user--)
    for (int side = 1; side >= 0; side--) {
      const int a = qds_device_axis(p->device, user);
      if (!p->contacts.is_contact[user][side]) continue;
      for (int64_t i = 0; i < face_nodes(p, a); i++) {
        int64_t node[3];
        face_node(p, a, side, i, node);
        potential_V[node_index(p, node)] = p->contacts.potential_V[user][side];
      }
    }
}

/* Total charge, and the total of its magnitude. */
static void total_charge(const qds_poisson *p, const double *charge, double *total, double *magnitude) {
  const qds_axis *const *axis = p->operator_->axis;
  const int64_t n1 = axis[1]->nodes, n2 = axis[2]->nodes;
  *total = *magnitude = 0;
  for (int64_t index = 0; index < axis[0]->nodes * n1 * n2; index++) {
    const double weight = axis[0]->weights_nm[index / (n1 * n2)] * axis[1]->weights_nm[index / n2 % n1] *
                          axis[2]->weights_nm[index % n2];
    *total += weight * charge[index];
    *magnitude += weight * fabs(charge[index]);
  }
}

static double largest(int64_t count, const double *values) {
  double most = 0;
  for (int64_t i = 0; i < count; i++) most = fmax(most, fabs(values[i]));
  return most;
}

static qds_status check_closed(const qds_poisson *p, const double *charge) {
  double total, magnitude;
  if (!p->closed) return QDS_OK;
  total_charge(p, charge, &total, &magnitude);
  if (fabs(total) > neutral * magnitude)
    QDS_FAIL(QDS_ERROR_INPUT,
             "no face is a contact, so that no field leaves the device, but its charge adds up to %.3g e%s; "
             "add a contact, or make the device neutral",
             total,
             p->device->dimension == 1   ? " per nm^2"
             : p->device->dimension == 2 ? " per nm"
                                         : "");
  return QDS_OK;
}

/* Corrections until rounding stops them. */
qds_status qds_poisson_solve(qds_poisson *p, const double *charge, double *potential_V) {
  const int64_t nodes = qds_device_nodes(p->device);
  const qds_poisson_charge fixed = {.charge = charge, .relative_tolerance = pass_tolerance};
  QDS_AUTO_RELEASE double *step = NULL;
  QDS_TRY(check_closed(p, charge));
  QDS_TRY(QDS_NEW(qds_context_allocator(p->device->ctx), nodes, "poisson", &step));
  memset(potential_V, 0, sizeof(double) * (size_t)nodes);
  qds_poisson_set_contacts(p, potential_V);
  double before = INFINITY, change = 0, size = 0;
  for (int pass = 0; pass < MAX_PASSES; pass++) {
    double descent;
    QDS_TRY(qds_poisson_correct(p, &fixed, potential_V, step, &descent));
    for (int64_t i = 0; i < nodes; i++) potential_V[i] += step[i];
    change = largest(nodes, step);
    size = largest(nodes, potential_V);
    if (change <= 1e-16 * size || (pass > 0 && change > 0.1 * before)) break;
    before = change;
  }
  if (!(change <= most_rounding * size))
    QDS_FAIL(QDS_ERROR_CONVERGENCE,
             "poisson: the potential is uncertain by %.1e V of %.1e V; the permittivities or the grid's "
             "spacings differ too much",
             change, size);
  return QDS_OK;
}

double qds_poisson_contact_charge(const qds_poisson *p, const double *charge, const double *potential_V,
                                  int user, int side) {
  const qds_tensor_operator *t = p->operator_;
  const int a = qds_device_axis(p->device, user), b = (a + 1) % 3, c = (a + 2) % 3;
  const qds_axis *axis = t->axis[a];
  const int count = axis->order + 1, end = side ? axis->order : 0;
  const int64_t e = side ? axis->elements - 1 : 0;
  double sum = 0;
  for (int64_t i = 0; i < face_nodes(p, a); i++) {
    int64_t node[3], u[3] = {0, 0, 0};
    face_node(p, a, side, i, node);
    u[b] = qds_axis_unknown(t->axis[b], node[b]);
    u[c] = qds_axis_unknown(t->axis[c], node[c]);
    if (u[b] < 0 || u[c] < 0) continue;
    const double across = t->axis[b]->weights_nm[node[b]] * t->axis[c]->weights_nm[node[c]];
    const double eps = qds_tensor_operator_coefficient(t, a, e, u[0], u[1], u[2]);
    double flux = -charge[node_index(p, node)] * axis->weights_nm[node[a]];
    for (int local = 0; local < count; local++) {
      node[a] = e * axis->order + local;
      flux += eps * axis->stiffness[(e * count + end) * count + local] * potential_V[node_index(p, node)];
    }
    sum += across * flux;
  }
  return sum;
}

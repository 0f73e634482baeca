/* The faces of Poisson's equation that lie on one potential. */
#include <math.h>

#include "dot/poisson_internal.h"

/* What the potential of one contact puts into the equations of the unknowns in the element next to it. */
static void lift_face(const qds_poisson *p, int a, int side, double potential_V, double *lift) {
  const qds_tensor_operator *t = p->operator_;
  const qds_axis *axis = t->axis[a];
  const int count = axis->order + 1, end = side ? axis->order : 0;
  const int64_t e = side ? axis->elements - 1 : 0, base = e * axis->order - axis->first;
  int64_t first[3] = {0, 0, 0}, last[3] = {t->n[0], t->n[1], t->n[2]};
  first[a] = base > 0 ? base : 0;
  last[a] = base + axis->order + 1 < t->n[a] ? base + axis->order + 1 : t->n[a];
#pragma omp parallel for num_threads(qds_context_threads(p->device->ctx)) schedule(static)
  for (int64_t i = first[0]; i < last[0]; i++)
    for (int64_t j = first[1]; j < last[1]; j++)
      for (int64_t k = first[2]; k < last[2]; k++) {
        const int64_t u[3] = {i, j, k}, local = u[a] - base;
        const double root_volume = 1 / (t->axis[0]->scale[i] * t->axis[1]->scale[j] * t->axis[2]->scale[k]),
                     coupling = qds_tensor_operator_coefficient(t, a, e, i, j, k) *
                                axis->stiffness[(e * count + local) * count + end];
        lift[(i * t->n[1] + j) * t->n[2] + k] -= coupling * potential_V * root_volume / axis->mass[u[a]];
      }
}

void qds_poisson_add_lift(const qds_poisson *p, double *lift) {
  for (int user = 0; user < p->device->dimension; user++)
    for (int side = 0; side < 2; side++)
      if (p->contacts.is_contact[user][side])
        lift_face(p, qds_device_axis(p->device, user), side, p->contacts.potential_V[user][side], lift);
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

#include "dot/hard_wall.h"

#include <math.h>

/* A wall nearer than this part of the spacing is taken to lie at it: the coupling stays finite. */
static const double nearest_wall = 1e-3;
enum { BISECTIONS = 40 };

static int is_wall(const qds_device *d, const double *p) {
  return d->material[qds_medium_at(&d->medium, p)].hard_wall;
}

/* User coordinates of the unknown (i, j, k). */
static void position(const qds_device *d, const qds_tensor_operator *t, const int64_t unknown[3], double *p) {
  for (int user = 0; user < d->dimension; user++) {
    const int a = qds_device_axis(d, user);
    p[user] = t->axis[a]->coordinates_nm[unknown[a] + t->axis[a]->first];
  }
}

/* The distance from p to the first wall along axis `user` towards `target`, as part of the way; 1: none
 * before it. */
static double way_to_wall(const qds_device *d, const double *p, int user, double target) {
  double q[3] = {p[0], d->dimension > 1 ? p[1] : 0, d->dimension > 2 ? p[2] : 0};
  q[user] = target;
  if (!is_wall(d, q)) return 1;
  double inside = 0, wall = 1;
  for (int i = 0; i < BISECTIONS; i++) {
    const double middle = 0.5 * (inside + wall);
    q[user] = p[user] + middle * (target - p[user]);
    if (is_wall(d, q))
      wall = middle;
    else
      inside = middle;
  }
  return fmax(wall, nearest_wall);
}

static double *coefficient_at(qds_tensor_operator *t, int a, int64_t e, const int64_t u[3]) {
  int64_t size[3] = {t->n[0], t->n[1], t->n[2]}, part[3] = {u[0], u[1], u[2]};
  size[a] = t->axis[a]->elements;
  part[a] = e;
  return &t->c[a][(part[0] * size[1] + part[1]) * size[2] + part[2]];
}

/* Replaces the couplings of one free node that cross a wall by a term on its diagonal. The coefficient of the
 * cut element is needed by the node on its other side too when both are free, so it is cleared in a second
 * pass. */
static void cut_node(const qds_device *d, qds_tensor_operator *t, const int64_t u[3], double *v) {
  double p[3];
  position(d, t, u, p);
  for (int user = 0; user < d->dimension; user++) {
    const int a = qds_device_axis(d, user);
    const qds_axis *axis = t->axis[a];
    const int64_t node = u[a] + axis->first;
    for (int side = 0; side < 2; side++) {
      const int64_t e = side                                ? node
                        : node > 0                          ? node - 1
                        : axis->boundary[0] == QDS_PERIODIC ? axis->elements - 1
                                                            : -1;
      if (e < 0 || e >= axis->elements) continue;
      const double spacing = axis->coordinates_nm[e + 1] - axis->coordinates_nm[e];
      const double way = way_to_wall(d, p, user, p[user] + (side ? spacing : -spacing));
      if (way < 1) *v += *coefficient_at(t, a, e, u) / (way * spacing) / axis->mass[u[a]];
    }
  }
}

static void unknown_at(const qds_tensor_operator *t, int64_t index, int64_t u[3]) {
  u[0] = index / (t->n[1] * t->n[2]);
  u[1] = index / t->n[2] % t->n[1];
  u[2] = index % t->n[2];
}

/* Clears the coefficient of every element with a wall at an end. */
static void uncouple(const qds_device *d, qds_tensor_operator *t) {
  for (int user = 0; user < d->dimension; user++) {
    const int a = qds_device_axis(d, user);
    const qds_axis *axis = t->axis[a];
    int64_t size[3] = {t->n[0], t->n[1], t->n[2]};
    size[a] = axis->elements;
#pragma omp parallel for num_threads(qds_context_threads(d->ctx)) schedule(static)
    for (int64_t index = 0; index < size[0] * size[1] * size[2]; index++) {
      int64_t part[3] = {index / (size[1] * size[2]), index / size[2] % size[1], index % size[2]};
      const int64_t e = part[a];
      double low[3], high[3];
      part[a] = 0;
      position(d, t, part, low);
      position(d, t, part, high);
      low[user] = axis->coordinates_nm[e];
      high[user] = axis->coordinates_nm[e + 1];
      if (is_wall(d, low) || is_wall(d, high)) t->c[a][index] = 0;
    }
  }
}

/* Marks the nodes in walls by INFINITY and cuts the others. Returns how many others there are, and the
 * highest energy of theirs. */
static int64_t cut_nodes(const qds_device *d, qds_tensor_operator *t, double *highest) {
  int64_t free_nodes = 0;
  double most = -INFINITY;
#pragma omp parallel for num_threads(qds_context_threads(d->ctx)) schedule(dynamic, 1024) reduction(+ : free_nodes) reduction(max : most)
  for (int64_t index = 0; index < t->rows; index++) {
    int64_t u[3];
    double p[3];
    unknown_at(t, index, u);
    position(d, t, u, p);
    if (is_wall(d, p)) {
      t->v[index] = INFINITY;
    } else {
      cut_node(d, t, u, &t->v[index]);
      most = fmax(most, t->v[index]);
      free_nodes++;
    }
  }
  *highest = most;
  return free_nodes;
}

/* Above the spectrum of the free nodes. */
static void lift_walls(const qds_device *d, qds_tensor_operator *t, double top) {
#pragma omp parallel for num_threads(qds_context_threads(d->ctx)) schedule(static)
  for (int64_t index = 0; index < t->rows; index++)
    if (isinf(t->v[index])) t->v[index] = top;
}

qds_status qds_hard_wall_apply(const qds_device *d, qds_tensor_operator *t) {
  int walls = 0;
  for (int m = 0; m < d->materials; m++) walls += d->material[m].hard_wall;
  if (!walls) return QDS_OK;
  double highest, kinetic;
  QDS_TRY(qds_tensor_operator_norm(d->ctx, t, &kinetic));
  const int64_t free_nodes = cut_nodes(d, t, &highest);
  if (free_nodes < d->states)
    QDS_FAIL(QDS_ERROR_INPUT,
             "%d states are wanted, but only %lld nodes lie outside the hard walls; use more nodes",
             d->states, (long long)free_nodes);
  lift_walls(d, t, highest + kinetic);
  uncouple(d, t);
  return QDS_OK;
}

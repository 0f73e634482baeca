#include "dot/open_system.h"

#include <math.h>

/* Potential and mass count as constant up to this part of their largest value. */
static const double constant_within = 1e-12;

static double kinetic(const qds_tensor_operator *t, int64_t element) {
  return qds_tensor_operator_coefficient(t, 2, element, 0, 0, 0);
}

/* The spread that counts as none: relative to the potential's range. */
static double potential_rounding(const qds_axis *axis, const double *potential_eV) {
  double low = INFINITY, high = -INFINITY;
  for (int64_t i = 0; i < axis->nodes; i++) {
    low = fmin(low, potential_eV[i]);
    high = fmax(high, potential_eV[i]);
  }
  return constant_within * fmax(high - low, fmax(fabs(high), fabs(low)) * 1e-3);
}

/* How many elements from one end (0 low, 1 high) have the potential and mass of the end on all
 * their nodes. */
static int64_t constant_elements(const qds_tensor_operator *t, const double *potential_eV, int end) {
  const qds_axis *axis = t->axis[2];
  const double rounding = potential_rounding(axis, potential_eV);
  const int64_t last_element = axis->elements - 1, last_node = axis->nodes - 1;
  const double v = potential_eV[end ? last_node : 0], c = kinetic(t, end ? last_element : 0);
  for (int64_t count = 0; count < axis->elements; count++) {
    const int64_t e = end ? last_element - count : count;
    if (fabs(kinetic(t, e) - c) > constant_within * c) return count;
    for (int a = 0; a <= axis->order; a++)
      if (fabs(potential_eV[e * axis->order + a] - v) > rounding) return count;
  }
  return axis->elements;
}

void qds_open_find_device(const qds_tensor_operator *t, const double *potential_eV, int64_t *low,
                          int64_t *high) {
  const qds_axis *axis = t->axis[2];
  *low = constant_elements(t, potential_eV, 0) * axis->order;
  *high = axis->nodes - 1 - constant_elements(t, potential_eV, 1) * axis->order;
}

/* The element end nearest to a coordinate, counted in elements. */
static int64_t nearest_end(const qds_axis *axis, double x) {
  int64_t best = 0;
  for (int64_t e = 1; e <= axis->elements; e++)
    if (fabs(axis->coordinates_nm[e * axis->order] - x) < fabs(axis->coordinates_nm[best * axis->order] - x))
      best = e;
  return best;
}

static qds_status refuse_varying(const qds_device *d, const qds_axis *axis, int face, int64_t constant,
                                 double x) {
  const char *name = face ? "x+" : "x-", *side = face ? "beyond" : "below";
  if (constant == 0)
    QDS_FAIL(QDS_ERROR_INPUT,
             "%s: the potential or mass varies up to the face %s, and complex scaling needs both constant %s "
             "x = %g nm; use method: absorbing_potential",
             d->open.place, name, side, x);
  const double from = axis->coordinates_nm[(face ? axis->elements - constant : constant) * axis->order];
  QDS_FAIL(
      QDS_ERROR_INPUT,
      "%s: the potential or mass varies %s x = %g nm, where the coordinate turns complex at the face %s; "
      "they are constant from x = %g nm on: set from_nm to at least %g, or use method: "
      "absorbing_potential",
      d->open.place, side, x, name, from, face ? from : -from);
}

static qds_status find_face(const qds_device *d, const qds_tensor_operator *t, const double *potential_eV,
                            int face, int64_t *element) {
  const qds_axis *axis = t->axis[2];
  const double wanted = face ? d->open.from_nm : -d->open.from_nm;
  const double low = axis->coordinates_nm[0], high = axis->coordinates_nm[axis->nodes - 1];
  *element = nearest_end(axis, wanted);
  const double x = axis->coordinates_nm[*element * axis->order];
  if (wanted <= low || wanted >= high || *element == 0 || *element == axis->elements)
    QDS_FAIL(QDS_ERROR_INPUT,
             "%s: at the face %s the coordinate is to turn complex at x = %g nm, which leaves no element of "
             "the grid (x = %g to %g nm) %s; from_nm counts from x = 0",
             d->open.place, face ? "x+" : "x-", wanted, low, high,
             wanted <= low || *element == 0 ? "below it" : "above it");
  if (fabs(x - wanted) > 1e-9 * (high - low))
    qds_log(d->ctx, QDS_LOG_INFO,
            "open: the coordinate turns complex at x = %g nm, the end of an element next to %g nm", x,
            wanted);
  const int64_t constant = constant_elements(t, potential_eV, face);
  if (constant < (face ? axis->elements - *element : *element))
    return refuse_varying(d, axis, face, constant, x);
  return QDS_OK;
}

qds_status qds_open_find_region(const qds_device *d, const qds_tensor_operator *t, const double *potential_eV,
                                qds_open_region *out) {
  *out = (qds_open_region){0, t->axis[2]->elements};
  if (d->open.method != QDS_OPEN_COMPLEX_SCALING) return QDS_OK;
  if (d->open.face[0]) QDS_TRY(find_face(d, t, potential_eV, 0, &out->first));
  if (d->open.face[1]) QDS_TRY(find_face(d, t, potential_eV, 1, &out->last));
  if (out->first >= out->last)
    QDS_FAIL(QDS_ERROR_INPUT, "%s: from_nm = %g leaves no region where the coordinate is real", d->open.place,
             d->open.from_nm);
  return QDS_OK;
}

/* The part of a node's weight that element e contributes. The weights of its inner nodes are theirs alone,
 * and its two ends share the rest of its length. */
static double weight_in(const qds_axis *axis, int64_t e, int a) {
  const int64_t first = e * axis->order, last = first + axis->order;
  if (a > 0 && a < axis->order) return axis->weights_nm[first + a];
  double rest = axis->coordinates_nm[last] - axis->coordinates_nm[first];
  for (int64_t node = first + 1; node < last; node++) rest -= axis->weights_nm[node];
  return rest / 2;
}

static double complex jacobian(const qds_open_region *region, int64_t e, double angle) {
  return e < region->first || e >= region->last ? cexp(I * angle) : 1;
}

static void add_mass(const qds_axis *axis, const qds_open_region *region, double angle, qds_open_system *s) {
  for (int64_t e = 0; e < axis->elements; e++)
    for (int a = 0; a <= axis->order; a++) {
      const int64_t i = qds_axis_unknown(axis, e * axis->order + a);
      if (i >= 0) s->mass[i] += weight_in(axis, e, a) * jacobian(region, e, angle);
    }
}

static void add_kinetic(const qds_tensor_operator *t, const qds_open_region *region, double angle,
                        qds_open_system *s) {
  const qds_axis *axis = t->axis[2];
  const int count = axis->order + 1;
  for (int64_t e = 0; e < axis->elements; e++)
    for (int a = 0; a < count; a++)
      for (int b = 0; b < count; b++) {
        const int64_t i = qds_axis_unknown(axis, e * axis->order + a),
                      j = qds_axis_unknown(axis, e * axis->order + b);
        if (i < 0 || j < 0) continue;
        const double stiffness = kinetic(t, e) * axis->stiffness[(e * count + a) * count + b];
        *qds_complex_band_at(s->hamiltonian, (int)i, (int)j) +=
            stiffness / jacobian(region, e, angle) / (csqrt(s->mass[i]) * csqrt(s->mass[j]));
      }
}

/* The part of a node's interval that lies in the absorber of a face. */
static double part_inside(const qds_device *d, const qds_axis *axis, int64_t node, int face) {
  const double from = axis->dual_nm[node], to = axis->dual_nm[node + 1], length = to - from;
  const double inside = face ? to - (axis->coordinates_nm[axis->nodes - 1] - d->open.width_nm)
                             : axis->coordinates_nm[0] + d->open.width_nm - from;
  return fmin(fmax(inside / length, 0), 1);
}

/* strength (depth / width)^power at a node, the depth measured from where the absorber begins; the step of
 * power 0 is averaged. */
static double absorber_at(const qds_device *d, const qds_axis *axis, int64_t node) {
  const double x = axis->coordinates_nm[node], width = d->open.width_nm;
  const double depth[2] = {axis->coordinates_nm[0] + width - x,
                           x - axis->coordinates_nm[axis->nodes - 1] + width};
  double part = 0;
  for (int face = 0; face < 2; face++)
    if (d->open.face[face])
      part += d->open.power > 0 ? pow(fmax(depth[face], 0) / width, d->open.power)
                                : part_inside(d, axis, node, face);
  return d->open.strength_eV * part;
}

qds_status qds_open_system_create(const qds_device *d, const qds_tensor_operator *t,
                                  const qds_open_region *region, double angle_degrees,
                                  qds_open_system **out) {
  QDS_AUTO(qds_open_system) *s = NULL;
  const qds_axis *axis = t->axis[2];
  const double angle = angle_degrees * M_PI / 180;
  qds_allocator *allocator = qds_context_allocator(d->ctx);
  *out = NULL;
  QDS_TRY(QDS_NEW_ZERO(allocator, 1, "open system", &s));
  QDS_TRY(QDS_NEW_ZERO(allocator, t->rows, "open system", &s->mass));
  QDS_TRY(QDS_NEW_ZERO(allocator, t->rows, "open system", &s->absorber_eV));
  QDS_TRY(qds_complex_band_create(d->ctx, (int)t->rows, axis->order, &s->hamiltonian));
  add_mass(axis, region, angle, s);
  add_kinetic(t, region, angle, s);
  for (int64_t i = 0; i < t->rows; i++) {
    if (d->open.method == QDS_OPEN_ABSORBING_POTENTIAL)
      s->absorber_eV[i] = absorber_at(d, axis, i + axis->first);
    *qds_complex_band_at(s->hamiltonian, (int)i, (int)i) += t->v[i] - I * s->absorber_eV[i];
  }
  *out = s;
  s = NULL;
  return QDS_OK;
}

void qds_open_system_destroy(qds_open_system *s) {
  if (!s) return;
  qds_complex_band_destroy(s->hamiltonian);
  qds_release(s->mass);
  qds_release(s->absorber_eV);
  qds_release(s);
}

#include "la/magnetic_phases.h"

#include <math.h>

static qds_status create_phases(qds_context *ctx, int64_t count, qds_phases *out) {
  QDS_TRY(QDS_NEW(qds_context_allocator(ctx), count, "operator", &out->re));
  return QDS_NEW(qds_context_allocator(ctx), count, "operator", &out->im);
}

static qds_status create_factor(qds_context *ctx, const qds_tensor_operator *t, const qds_vector_potential *p,
                                int a, int b, qds_phases *out) {
  const int low = a < b ? a : b, high = a < b ? b : a;
  if (p->slope[a][b] == 0 || t->axis[a]->elements == 0) return QDS_OK;
  QDS_TRY(create_phases(ctx, t->n[low] * t->n[high], out));
  for (int64_t i = 0; i < t->n[low]; i++)
    for (int64_t j = 0; j < t->n[high]; j++) {
      const double theta = p->slope[a][b] * qds_unknown_nm(t->axis[low], i, p->origin_nm[low]) *
                           qds_unknown_nm(t->axis[high], j, p->origin_nm[high]);
      out->re[i * t->n[high] + j] = cos(theta);
      out->im[i * t->n[high] + j] = -sin(theta);
    }
  return QDS_OK;
}

static void place_of(const qds_tensor_operator *t, int64_t row, const double origin[3], double r[3]) {
  const int64_t u[3] = {row / (t->n[1] * t->n[2]), row / t->n[2] % t->n[1], row % t->n[2]};
  for (int a = 0; a < 3; a++) r[a] = qds_unknown_nm(t->axis[a], u[a], origin[a]);
}

/* alpha is linear: its integral along a straight way is that of its value in the middle. */
static double phase_between(const qds_vector_potential *p, const double from[3], const double to[3]) {
  double phase = 0;
  for (int a = 0; a < 3; a++)
    for (int b = 0; b < 3; b++)
      if (a != b) phase += p->slope[a][b] * 0.5 * (from[b] + to[b]) * (to[a] - from[a]);
  return phase;
}

static qds_status create_bonds(qds_context *ctx, const qds_tensor_operator *t, const qds_vector_potential *p,
                               qds_phases *out) {
  const qds_couplings *c = &t->couplings;
  if (c->rows == 0) return QDS_OK;
  QDS_TRY(create_phases(ctx, c->start[c->rows], out));
  for (int64_t i = 0; i < c->rows; i++)
    for (int64_t e = c->start[i]; e < c->start[i + 1]; e++) {
      double from[3], to[3];
      place_of(t, c->row[i], p->origin_nm, from);
      place_of(t, c->column[e], p->origin_nm, to);
      const double phase = phase_between(p, from, to);
      out->re[e] = cos(phase);
      out->im[e] = -sin(phase);
    }
  return QDS_OK;
}

qds_status qds_magnetic_phases_create(qds_context *ctx, const qds_tensor_operator *t,
                                      const qds_vector_potential *potential, qds_magnetic_phases *out) {
  for (int a = 0; a < 3; a++)
    for (int b = 0; b < 3; b++)
      if (a != b) QDS_TRY(create_factor(ctx, t, potential, a, b, &out->factor[a][b]));
  return create_bonds(ctx, t, potential, &out->bond);
}

void qds_magnetic_phases_clear(qds_magnetic_phases *phases) {
  for (int a = 0; a < 3; a++)
    for (int b = 0; b < 3; b++) {
      qds_release(phases->factor[a][b].re);
      qds_release(phases->factor[a][b].im);
    }
  qds_release(phases->bond.re);
  qds_release(phases->bond.im);
  *phases = (qds_magnetic_phases){0};
}

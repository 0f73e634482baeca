#include "la/complex_band.h"

#include <math.h>

enum { ARCS = 64, DEEPEST = 40 };
/* An arc is short enough when the phase turns by less than this (in radians) on either half of it. */
static const double short_turn = 1;

typedef struct {
  qds_complex_band_factor *factor;
  double complex centre;
  double radius;
} circle;

static qds_status phase_at(const circle *c, double angle, double complex *phase) {
  QDS_TRY(qds_complex_band_factorise(c->factor, c->centre + c->radius * cexp(I * angle)));
  *phase = qds_complex_band_phase(c->factor);
  return QDS_OK;
}

static double turn_between(double complex from, double complex to) {
  return carg(to * conj(from));
}

/* Adds the turn of the phase along an arc, which is halved until it is short. */
static qds_status add_arc(const circle *c, double from, double to, double complex at_from,
                          double complex at_to, int deeper, double *turn) {
  const double middle = (from + to) / 2;
  double complex at_middle;
  QDS_TRY(phase_at(c, middle, &at_middle));
  const double first = turn_between(at_from, at_middle), second = turn_between(at_middle, at_to);
  if (fabs(first) < short_turn && fabs(second) < short_turn) {
    *turn += first + second;
    return QDS_OK;
  }
  if (deeper == 0)
    QDS_FAIL(QDS_ERROR_NUMERIC, "counting eigenvalues: one lies on the circle of radius %g about %g %+g i",
             c->radius, creal(c->centre), cimag(c->centre));
  QDS_TRY(add_arc(c, from, middle, at_from, at_middle, deeper - 1, turn));
  return add_arc(c, middle, to, at_middle, at_to, deeper - 1, turn);
}

qds_status qds_complex_band_count(qds_context *ctx, const qds_complex_band *a, double complex centre,
                                  double radius, int64_t *count) {
  QDS_AUTO(qds_complex_band_factor) *factor = NULL;
  *count = 0;
  QDS_TRY(qds_complex_band_factor_create(ctx, a, &factor));
  const circle c = {factor, centre, radius};
  double turn = 0;
  double complex start, from, to;
  QDS_TRY(phase_at(&c, 0, &start));
  from = start;
  for (int arc = 0; arc < ARCS; arc++) {
    const double begin = 2 * M_PI * arc / ARCS, end = 2 * M_PI * (arc + 1) / ARCS;
    QDS_TRY(qds_progress(ctx, "verify", (double)arc / ARCS, "%d arcs of %d", arc, ARCS));
    to = start;
    if (arc + 1 < ARCS) QDS_TRY(phase_at(&c, end, &to));
    QDS_TRY(add_arc(&c, begin, end, from, to, DEEPEST, &turn));
    from = to;
  }
  *count = llround(turn / (2 * M_PI));
  return QDS_OK;
}

#include "dot/open_states.h"

#include <float.h>
#include <math.h>
#include <string.h>

#include "base/units.h"
#include "dot/open_system.h"
#include "la/complex_nearest.h"

enum { FIRST_EXTRA = 12, MOST_CANDIDATES = 480, ITERATIONS = 3 };

static const double second_angle = 5;       /* degrees beyond the first */
static const double default_stable = 2e-8;  /* eV */
static const double turning_part = 1e-2;    /* of its distance to the edge; the continuum turns by 0.17 */
static const double determined_part = 0.15; /* of |Im E| */
static const double doubtful_part = 0.5;
static const double localised_ratio = 3; /* of the densities in the device and outside it */

typedef struct {
  const qds_device *d;
  const qds_tensor_operator *t;
  qds_open_system *system, *turned; /* turned: at the second angle, or NULL */
  qds_complex_band_factor *turned_factor;
  double edge[2];    /* the potential energy at the open faces, the carrier's sign */
  int64_t low, high; /* unknowns of the device between absorbers; low > high: none */
  double complex target;
  double near_eV;
  int candidates;
  qds_complex_pair *pair;
  double complex *vector; /* candidates x rows */
  double *sensitivity;    /* of the candidates */
  int *kept;              /* states: which candidates */
  double complex *work, *turned_vector;
  int64_t steps;
} search;

static void search_clear(search *s) {
  qds_complex_band_factor_destroy(s->turned_factor);
  qds_open_system_destroy(s->system);
  qds_open_system_destroy(s->turned);
  void *blocks[] = {s->pair, s->vector, s->kept, s->sensitivity, s->work, s->turned_vector};
  for (int i = 0; i < 6; i++) qds_release(blocks[i]);
}

static int is_scaled(const search *s) {
  return s->d->open.method == QDS_OPEN_COMPLEX_SCALING;
}

/* The device between the absorbers, in unknowns. */
static void find_device(search *s, const double *potential_eV) {
  const qds_axis *axis = s->t->axis[2];
  const qds_open *open = &s->d->open;
  int64_t low, high;
  qds_open_find_device(s->t, potential_eV, &low, &high);
  const double width = open->width_nm, first = axis->coordinates_nm[0] + open->face[0] * width,
               last = axis->coordinates_nm[axis->nodes - 1] - open->face[1] * width;
  while (low <= high && axis->coordinates_nm[low] < first) low++;
  while (low <= high && axis->coordinates_nm[high] > last) high--;
  s->low = low < axis->first ? 0 : low - axis->first;
  s->high = high - axis->first < s->t->rows ? high - axis->first : s->t->rows - 1;
}

static qds_status set_up(search *s, const double *potential_eV) {
  const qds_device *d = s->d;
  const qds_axis *axis = s->t->axis[2];
  qds_allocator *allocator = qds_context_allocator(d->ctx);
  const double angle = is_scaled(s) ? d->open.angle_degrees : 0, sign = d->carrier == QDS_ELECTRON ? 1 : -1;
  const double length = axis->coordinates_nm[axis->nodes - 1] - axis->coordinates_nm[0];
  qds_open_region region;
  QDS_TRY(qds_open_find_region(d, s->t, potential_eV, &region));
  QDS_TRY(qds_open_system_create(d, s->t, &region, angle, &s->system));
  if (is_scaled(s)) {
    QDS_TRY(qds_open_system_create(d, s->t, &region, angle + second_angle, &s->turned));
    QDS_TRY(qds_complex_band_factor_create(d->ctx, s->turned->hamiltonian, &s->turned_factor));
  }
  s->edge[0] = sign * potential_eV[0];
  s->edge[1] = sign * potential_eV[axis->nodes - 1];
  find_device(s, potential_eV);
  double lowest = INFINITY;
  for (int64_t i = 0; i < s->t->rows; i++) lowest = fmin(lowest, s->t->v[i]);
  s->near_eV = d->open.aimed ? sign * d->open.near_eV : lowest;
  /* Above the real axis, by the energy of half a wave in the grid, lies no eigenvalue. */
  s->target = s->near_eV + I * qds_tensor_operator_coefficient(s->t, 2, 0, 0, 0, 0) * pow(M_PI / length, 2);
  QDS_TRY(QDS_NEW(allocator, d->states, "open system", &s->kept));
  QDS_TRY(QDS_NEW(allocator, s->t->rows, "open system", &s->work));
  return QDS_NEW(allocator, s->t->rows, "open system", &s->turned_vector);
}

/* How far the eigenvalue moves at the second angle; the state is the same where the coordinate is real. */
static qds_status turn(search *s, const qds_complex_pair *pair, const double complex *x, double *change) {
  qds_complex_pair turned;
  memcpy(s->turned_vector, x, sizeof *x * (size_t)s->t->rows);
  QDS_TRY(qds_complex_inverse_iteration(s->turned_factor, s->turned->hamiltonian, pair->value, ITERATIONS,
                                        s->turned_vector, s->work, &turned));
  s->steps += ITERATIONS;
  *change = cabs(turned.value - pair->value);
  return QDS_OK;
}

/* |dE / d ln(strength)| = |u^T eta u|, by the theorem of Hellmann and Feynman with the bilinear form. */
static double damping(const search *s, const double complex *x) {
  double complex sum = 0;
  for (int64_t i = 0; i < s->t->rows; i++) sum += s->system->absorber_eV[i] * x[i] * x[i];
  return cabs(sum);
}

/* Whether the mean density in the device is larger than outside it, by the ratio above. */
static int is_localised(const search *s, const double complex *x) {
  const double *length = s->t->axis[2]->mass;
  double inside = 0, inside_nm = 0, outside = 0, outside_nm = 0;
  for (int64_t i = 0; i < s->t->rows; i++) {
    const double density = creal(x[i] * conj(x[i]));
    const int in_device = i >= s->low && i <= s->high;
    *(in_device ? &inside : &outside) += density;
    *(in_device ? &inside_nm : &outside_nm) += length[i];
  }
  return inside * outside_nm >= localised_ratio * outside * inside_nm && inside_nm > 0;
}

static double distance_to_edge(const search *s, double complex energy) {
  double distance = INFINITY;
  for (int face = 0; face < 2; face++)
    if (s->d->open.face[face]) distance = fmin(distance, cabs(energy - s->edge[face]));
  return distance;
}

static double stability(const search *s) {
  return s->d->open.stable_within_eV > 0 ? s->d->open.stable_within_eV : default_stable;
}

static qds_status judge(search *s, int candidate, int *is_state) {
  const qds_complex_pair *pair = &s->pair[candidate];
  const double complex *x = s->vector + (int64_t)candidate * s->t->rows;
  const double given = s->d->open.stable_within_eV, stable = stability(s);
  double *sensitivity = &s->sensitivity[candidate];
  if (is_scaled(s)) {
    QDS_TRY(turn(s, pair, x, sensitivity));
    *is_state = *sensitivity <= stable && *sensitivity <= turning_part * distance_to_edge(s, pair->value);
  } else {
    *sensitivity = damping(s, x);
    *is_state =
        *sensitivity <= stable ||
        (given == 0 && (*sensitivity < determined_part * fabs(cimag(pair->value)) || is_localised(s, x)));
  }
  *is_state = *is_state && cimag(pair->value) <= stable; /* a state does not grow */
  return QDS_OK;
}

/* The states among the candidates, nearest first, up to those wanted; `examined`: candidates looked at. */
static qds_status keep_states(search *s, int *kept, int *examined) {
  *kept = *examined = 0;
  for (; *examined < s->candidates && *kept < s->d->states; ++*examined) {
    int is_state;
    QDS_TRY(judge(s, *examined, &is_state));
    if (is_state) s->kept[(*kept)++] = *examined;
  }
  return QDS_OK;
}

static qds_status find_candidates(search *s) {
  qds_allocator *allocator = qds_context_allocator(s->d->ctx);
  QDS_TRY(QDS_RESIZE(allocator, s->candidates, "open system", &s->pair));
  QDS_TRY(QDS_RESIZE(allocator, s->candidates, "open system", &s->sensitivity));
  QDS_TRY(QDS_RESIZE(allocator, s->candidates * s->t->rows, "open system", &s->vector));
  return qds_complex_nearest(s->d->ctx, s->system->hamiltonian, s->target, s->candidates, s->pair, s->vector,
                             &s->steps);
}

static double distance_of(const search *s, int candidate) {
  return cabs(s->pair[candidate].value - s->target);
}

/* Whether the circle about the target through the widest gap behind the last state holds as many eigenvalues
 * as were found in it. */
static qds_status is_complete(search *s, int examined, int *complete) {
  int at = examined;
  int64_t count;
  *complete = 1;
  if (s->candidates == s->t->rows) return QDS_OK;
  for (int i = examined; i < s->candidates; i++)
    if (distance_of(s, i) / distance_of(s, i - 1) > distance_of(s, at) / distance_of(s, at - 1)) at = i;
  const double radius = sqrt(distance_of(s, at) * distance_of(s, at - 1));
  QDS_TRY(qds_complex_band_count(s->d->ctx, s->system->hamiltonian, s->target, radius, &count));
  *complete = count == at;
  return QDS_OK;
}

static qds_status refuse_few(const search *s, int kept) {
  const qds_open *open = &s->d->open;
  if (is_scaled(s))
    QDS_FAIL(
        QDS_ERROR_CONVERGENCE,
        "%s: %d states are wanted near %g eV; among the %d nearest eigenvalues %d stay within %g eV when the "
        "angle grows from %g to %g degrees. Refine the grid, raise its order, let it end further out, "
        "ask for fewer states, aim with near_eV, or allow more with stable_within_eV",
        open->place, s->d->states, s->d->carrier == QDS_ELECTRON ? s->near_eV : -s->near_eV, s->candidates,
        kept, stability(s), open->angle_degrees, open->angle_degrees + second_angle);
  QDS_FAIL(QDS_ERROR_CONVERGENCE,
           "%s: %d states are wanted near %g eV; among the %d nearest eigenvalues the device, not the "
           "absorber, determines %d. Make the absorber wider or stronger, ask for fewer states, aim with "
           "near_eV, or allow more with stable_within_eV",
           open->place, s->d->states, s->d->carrier == QDS_ELECTRON ? s->near_eV : -s->near_eV, s->candidates,
           kept);
}

/* An eigenvalue that moves more than a state may, but far less than the continuum does, is likely a state
 * that the grid does not hold well: leaving it out is said. */
static void warn_of_left_out(const search *s, int examined) {
  const double sign = s->d->carrier == QDS_ELECTRON ? 1 : -1;
  for (int i = 0; i < examined && is_scaled(s); i++) {
    const double complex value = s->pair[i].value;
    if (s->sensitivity[i] > stability(s) && s->sensitivity[i] <= turning_part * distance_to_edge(s, value))
      qds_log(
          s->d->ctx, QDS_LOG_WARNING,
          "%s: left out an eigenvalue at %.9g eV of width %.3g eV that moves by %.2g eV when the angle grows "
          "by %g degrees: to have it, refine the grid, let it end further out, or set stable_within_eV",
          s->d->open.place, sign * creal(value), -2 * cimag(value), s->sensitivity[i], second_angle);
  }
}

/* More and more candidates, until there are enough states among them and none is missing. */
static qds_status find_states(search *s) {
  const int rows = (int)s->t->rows,
            most = rows < MOST_CANDIDATES + s->d->states ? rows : MOST_CANDIDATES + s->d->states;
  int kept = 0, examined, complete = 0;
  for (int wanted = s->d->states + FIRST_EXTRA;; wanted *= 2) {
    s->candidates = wanted < most ? wanted : most;
    QDS_TRY(find_candidates(s));
    QDS_TRY(keep_states(s, &kept, &examined));
    if (kept == s->d->states && (examined < s->candidates || s->candidates == rows))
      QDS_TRY(is_complete(s, examined, &complete));
    if (complete) {
      warn_of_left_out(s, examined);
      return QDS_OK;
    }
    if (s->candidates == most) break;
  }
  if (kept < s->d->states) return refuse_few(s, kept);
  QDS_FAIL(QDS_ERROR_CONVERGENCE, "%s: the search missed eigenvalues near %g eV; use another seed or grid",
           s->d->open.place, creal(s->target));
}

/* Ascending energies (descending for holes, whose operator has the other sign). */
static void sort_states(search *s) {
  for (int i = 1; i < s->d->states; i++) {
    const int candidate = s->kept[i];
    int at = i;
    for (; at > 0 && creal(s->pair[s->kept[at - 1]].value) > creal(s->pair[candidate].value); at--)
      s->kept[at] = s->kept[at - 1];
    s->kept[at] = candidate;
  }
}

/* A width that residual and method cannot tell from 0 gives no lifetime. */
static double lifetime(const search *s, double width, double residual, double sensitivity) {
  const double unresolved = fmax(4 * residual, is_scaled(s) ? 2 * sensitivity : 0);
  return width > unresolved ? QDS_HBAR_EV_S / width : INFINITY;
}

/* Where an absorber gives the width, the number says little about the device. */
static void warn_of_absorber(const search *s, int state, double width, double sensitivity) {
  if (!is_scaled(s) && width > 0 && sensitivity > doubtful_part * width / 2)
    qds_log(s->d->ctx, QDS_LOG_WARNING,
            "%s: the width of state %d, %.3g eV, is the absorber's more than the device's: make the absorber "
            "wider or stronger, or use method: complex_scaling",
            s->d->open.place, state, width);
}

/* psi = u / sqrt(M), times the square root of the real weight; the sign that makes its largest value positive
 * in its real part. */
static void deliver_vector(const search *s, const double complex *u, double *column) {
  const double *mass = s->t->axis[2]->mass;
  const int64_t rows = s->t->rows;
  double largest = 0, sign = 1;
  for (int64_t i = 0; i < rows; i++) {
    const double complex psi = u[i] / csqrt(s->system->mass[i]);
    if (cabs(psi) > largest) {
      largest = cabs(psi);
      sign = creal(psi) < 0 ? -1 : 1;
    }
    column[i] = creal(psi) * sqrt(mass[i]);
    column[rows + i] = cimag(psi) * sqrt(mass[i]);
  }
  for (int64_t i = 0; i < 2 * rows; i++) column[i] *= sign;
}

static qds_status deliver(search *s, qds_result *r, qds_block *x) {
  qds_allocator *allocator = qds_context_allocator(s->d->ctx);
  const int states = s->d->states;
  QDS_TRY(QDS_NEW(allocator, states, "result", &r->widths_eV));
  QDS_TRY(QDS_NEW(allocator, states, "result", &r->lifetimes_s));
  QDS_TRY(QDS_NEW(allocator, states, "result", &r->sensitivities_eV));
  QDS_TRY(qds_block_create(s->d->ctx, 2 * s->t->rows, states, "open system", x));
  sort_states(s);
  for (int i = 0; i < states; i++) {
    const qds_complex_pair *pair = &s->pair[s->kept[i]];
    const double sensitivity = s->sensitivity[s->kept[i]];
    r->energies_eV[i] = creal(pair->value);
    r->residuals_eV[i] = pair->residual;
    r->widths_eV[i] = -2 * cimag(pair->value);
    r->sensitivities_eV[i] = sensitivity;
    r->lifetimes_s[i] = lifetime(s, r->widths_eV[i], pair->residual, sensitivity);
    warn_of_absorber(s, i, r->widths_eV[i], sensitivity);
    deliver_vector(s, s->vector + (int64_t)s->kept[i] * s->t->rows, qds_block_column(x, i));
  }
  return QDS_OK;
}

qds_status qds_open_states(const qds_device *d, const qds_tensor_operator *t, qds_result *r, qds_block *x) {
  __attribute__((cleanup(search_clear))) search s = {.d = d, .t = t};
  const double start = qds_seconds();
  double *band_edge_eV;
  QDS_TRY(qds_maps_band_edge(r->maps, &band_edge_eV));
  QDS_TRY(set_up(&s, band_edge_eV));
  QDS_TRY(find_states(&s));
  QDS_TRY(deliver(&s, r, x));
  r->statistics =
      (qds_result_statistics){.iterations = (int)s.steps,
                              .operator_applications = s.steps,
                              .preconditioner_applications = s.steps,
                              .solve_s = qds_seconds() - start,
                              .preconditioner = "band factorisation",
                              .verification = "argument principle on a circle about the energy aimed at"};
  return QDS_OK;
}

/* Vectors of Arnoldi's method after a second round of candidates. */
static double basis_size(const qds_device *d) {
  const double rows = (double)qds_device_unknowns(d);
  return fmin(3 * (4.0 * (d->states + FIRST_EXTRA) + 30) / 2, rows);
}

/* The basis, once more while it grows, the candidates, the matrices with their factors, and the projected
 * problem. */
size_t qds_open_bytes(const qds_device *d) {
  const double rows = (double)qds_device_unknowns(d), basis = basis_size(d);
  const double numbers = rows * (2 * basis + 12 * d->axis[2]->order + 12) + 5 * basis * basis;
  return (size_t)(sizeof(double complex) * numbers);
}

/* At 6e9 operations a second: orthogonalising, 150 factorisations for the count, one per state, the projected
 * problem. */
double qds_open_seconds(const qds_device *d) {
  const double rows = (double)qds_device_unknowns(d), basis = basis_size(d),
               width = 3 * d->axis[2]->order + 1;
  return (rows * (16 * basis * basis + (150 + basis) * 8 * width * width) + 100 * pow(basis, 3)) / 6e9;
}

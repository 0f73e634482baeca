#include <float.h>
#include <math.h>
#include <string.h>

#include "la/inertia.h"
#include "la/spectrum_internal.h"

/* Levels nearer to each other than this, relative to their height above the floor, count as equal in the
 * second search. */
static const double resolution_of_search = 1e-5;
/* So many more levels than states may turn up in the check before it is an error. */
enum { MAX_MISSED = 8 };
/* So often a level that the count says is missing is sought from another start. */
enum { MAX_VAIN_SEARCHES = 5 };

static const char by_count[] = "inertia count: no level below the highest state is missing";
static const char by_search[] = "second search from random vectors, orthogonal to the states";

/* A difference in energy that does not matter in the check. */
static double resolution(const qds_search *s, double highest) {
  return resolution_of_search * fabs(highest - s->options->floor);
}

/* --- the count, in one dimension ---------------------------------------------------------------------- */

/* The states below the uppermost group of states that lie within 2 * margin of each other. */
static int states_below_last_group(int states, const double *values, double margin) {
  int below = states - 1;
  while (below > 0 && values[below - 1] > values[below] - 2 * margin) below--;
  return below;
}

/* *missing: how many levels below the uppermost group of states the states do not contain, or -1 when
 * rounding does not let a count decide. States with residuals r stand for as many levels, each within the
 * root of the sum of r^2 (Kahan; Parlett, The Symmetric Eigenvalue Problem, 1998, sec. 11.5): the count is
 * taken further below the group than that and than its own rounding. */
static qds_status count_missing(const qds_search *s, const double *values, const double *residuals,
                                int64_t *missing) {
  const int states = s->options->states;
  const double highest = values[states - 1], coarsest = fmax(resolution(s, highest), DBL_MIN);
  double squares = 0;
  for (int j = 0; j < states; j++) squares += residuals[j] * residuals[j];
  *missing = -1;
  for (double margin = fmax(2 * sqrt(squares), 1e-6 * coarsest); margin <= coarsest; margin *= 2) {
    const int below = states_below_last_group(states, values, margin);
    int64_t counted;
    double uncertainty;
    QDS_TRY(qds_inertia_count(s->ctx, s->operator_, values[below] - margin, &counted, &uncertainty));
    if (uncertainty > 0.5 * margin) continue;
    qds_log(s->ctx, QDS_LOG_DEBUG, "count: %lld levels below %.9g eV, %d found", (long long)counted,
            values[below] - margin, below);
    if (counted < below)
      QDS_FAIL(QDS_ERROR_NUMERIC, "%d states were found below %.9g eV, where only %lld levels lie", below,
               values[below] - margin, (long long)counted);
    *missing = counted - below;
    return QDS_OK;
  }
  return QDS_OK;
}

/* --- the second search -------------------------------------------------------------------------------- */

typedef struct {
  double highest, resolution; /* the highest state found; differences below the resolution do not count */
} check_goal;

/* The lowest level outside the states found is known well enough to say that it lies above them, or at their
 * upper edge within the resolution. A residual bounds the distance to an eigenvalue, and Ritz values only
 * fall. */
static int check_is_decided(void *self, const double *values, const double *residuals) {
  const check_goal *goal = self;
  return residuals[0] < fmax(0.2 * (values[0] - goal->highest), goal->resolution);
}

/* One start vector for the second search: in each part a sum of vectors that another random start finds on
 * the coarse levels, of which deflation leaves what the states found do not contain, and some noise of the
 * finest grid. */
static qds_status check_start(qds_search *s, uint64_t stream, qds_block *y) {
  QDS_TRY(qds_search_coarse(s, s->options->states, stream, 0, y));
  for (int j = s->parts; j < y->columns; j++) {
    const double one = 1;
    const qds_block from = qds_block_part(y, j, 1);
    qds_block to = qds_block_part(y, j % s->parts, 1);
    QDS_TRY(qds_block_add_product(s->ctx, &from, &one, &to));
  }
  y->columns = s->start_level > 0 ? s->parts : 1;
  if (s->start_level == 0) return QDS_OK;
  QDS_TRY(qds_search_join_parts(s, y));
  return qds_block_add_random(s->ctx, 0.02 / sqrt((double)y->rows), y, stream + QDS_SEARCH_STREAMS - 1);
}

/* A search from another start, orthogonal to the states found. *missed: it found a level below the highest of
 * them, whose vector is *y. When a level is known to be missing, it goes on until it has one. */
static qds_status second_search(qds_search *s, const qds_block *found, double highest, int known_to_miss,
                                int attempt, qds_block *y, int *missed) {
  double value, residual;
  check_goal goal = {highest, resolution(s, highest)};
  qds_lobpcg_options options = qds_search_options(s, &s->target, &s->preconditioner, 1, "check");
  qds_lobpcg_statistics work;
  QDS_TRY(check_start(s, QDS_CHECK_STREAM + (uint64_t)attempt * QDS_SEARCH_STREAMS, y));
  options.deflate = found;
  options.relative_tolerance = resolution_of_search;
  options.stop = known_to_miss ? NULL : check_is_decided;
  options.stop_self = &goal;
  QDS_TRY(qds_lobpcg(s->ctx, &options, y, &value, &residual, &work));
  qds_log(s->ctx, QDS_LOG_DEBUG, "check: %d iterations; next level %.9g eV, highest found %.9g eV",
          work.iterations, value, highest);
  *missed = value < highest + (known_to_miss ? goal.resolution : -goal.resolution);
  return QDS_OK;
}

/* Appends vector y to the first `states` columns of x: start vectors for another solve. */
static qds_status append(const qds_search *s, int states, const qds_block *y, qds_block *x) {
  __attribute__((cleanup(qds_block_clear))) qds_block larger = {0};
  QDS_TRY(qds_block_create_on(s->ctx, s->stream, x->rows, states + 1, "eigensolver", &larger));
  const qds_block old = qds_block_part(x, 0, states);
  qds_block front = qds_block_part(&larger, 0, states), last = qds_block_part(&larger, states, 1);
  QDS_TRY(qds_block_copy(&old, &front));
  QDS_TRY(qds_block_copy(y, &last));
  qds_block_clear(x);
  *x = larger;
  larger = (qds_block){0};
  return QDS_OK;
}

/* Searches from another start; a level found joins the states. */
static qds_status search_and_join(qds_search *s, int known_to_miss, int attempt, qds_block *x, double *values,
                                  double *residuals, int *missed) {
  const int states = s->options->states;
  const qds_block found = qds_block_part(x, 0, states);
  __attribute__((cleanup(qds_block_clear))) qds_block y = {0};
  QDS_TRY(second_search(s, &found, values[states - 1], known_to_miss, attempt, &y, missed));
  if (!*missed) return QDS_OK;
  if (++s->statistics->found_by_verification > states + MAX_MISSED)
    QDS_FAIL(QDS_ERROR_CONVERGENCE,
             "the check keeps finding lower levels; ask for more states, or use more nodes");
  QDS_TRY(append(s, states, &y, x));
  return qds_search_finest(s, states, x, values, residuals);
}

qds_status qds_search_verify(qds_search *s, qds_block *x, double *values, double *residuals) {
  const int states = s->options->states;
  s->statistics->verification = by_search;
  if (states >= x->rows) return QDS_OK;
  for (int attempt = 0, vain = 0;; attempt++) {
    int64_t missing = -1;
    int missed;
    if (!s->options->target && qds_inertia_applies(s->operator_))
      QDS_TRY(count_missing(s, values, residuals, &missing));
    s->statistics->verification = missing >= 0 ? by_count : by_search;
    if (missing == 0) return QDS_OK;
    QDS_TRY(search_and_join(s, missing > 0, attempt, x, values, residuals, &missed));
    if (missed) continue;
    if (missing < 0) return QDS_OK;
    if (++vain == MAX_VAIN_SEARCHES)
      QDS_FAIL(QDS_ERROR_CONVERGENCE,
               "a count says that %lld levels below %.9g eV are missing, and no search finds them; ask for "
               "more states, or use more nodes",
               (long long)missing, values[states - 1]);
  }
}

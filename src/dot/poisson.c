#include "dot/poisson.h"

#include <math.h>
#include <string.h>

#include "dot/poisson_internal.h"
#include "la/pcg.h"

enum { MAX_ITERATIONS = 500, MAX_PASSES = 12 };
/* Each pass of the linear solve shrinks the error by this; rounding ends the passes. */
static const double pass_tolerance = 1e-8;
/* What rounding may leave of the potential before the solve is said to have failed. */
static const double most_rounding = 1e-9;
/* A charge that adds up to this part of itself adds up to nothing. */
static const double neutral = 1e-9;

int qds_poisson_is_closed(const qds_poisson *p) {
  return p->closed;
}

static qds_status dot(const qds_poisson *p, const qds_block *a, const qds_block *b, double *product) {
  return qds_block_gram(p->device->ctx, a, b, product);
}

/* A potential of zero mean raises no uniform one. */
static qds_status remove_uniform_part(qds_poisson *p, qds_block *residual) {
  double part;
  QDS_TRY(qds_poisson_need_root(p));
  QDS_TRY(dot(p, &p->root, residual, &part));
  part /= -p->volume;
  return qds_block_add_product(p->device->ctx, &p->root, &part, residual);
}

/* residual = right-hand side - A potential, on the scaled unknowns. */
static qds_status find_residual(qds_poisson *p, const qds_block *charge, const qds_block *potential_V) {
  qds_context *ctx = p->device->ctx;
  const qds_block *const from[QDS_COMBINE_FROM] = {&p->lift, &p->residual}, *const to[QDS_COMBINE_TO] = {
                                                                                &p->residual};
  qds_operator a;
  QDS_TRY(qds_poisson_bare_operator(p, &a));
  QDS_TRY(qds_grid_fold(&p->grid, (qds_folding){.pick = 1, .scaled = 1, .factor = 1}, potential_V->data,
                        p->update.data));
  QDS_TRY(a.apply(a.self, ctx, &p->update, &p->residual));
  QDS_TRY(qds_blocks_combine(ctx, from, (const double[]){1, -1}, to));
  QDS_TRY(qds_grid_fold(&p->grid, (qds_folding){.scaled = 1, .factor = 1, .add = p->residual.data},
                        charge->data, p->residual.data));
  return p->closed ? remove_uniform_part(p, &p->residual) : QDS_OK;
}

/* A total that is conserved: the slope as a vector, which the chemical potential takes out. */
static qds_status set_conserved(qds_poisson *p, const qds_poisson_charge *charge) {
  p->slope_sum = 0;
  if (!charge->slope || !charge->conserved) return QDS_OK;
  QDS_TRY(qds_poisson_need_root(p));
  if (p->slope.columns == 0)
    QDS_TRY(qds_block_create_on(p->device->ctx, p->stream, p->operator_->rows, 1, "poisson", &p->slope));
  QDS_TRY(
      qds_grid_fold(&p->grid, (qds_folding){.scaled = 1, .factor = 1}, charge->slope->data, p->slope.data));
  return dot(p, &p->slope, &p->root, &p->slope_sum);
}

/* The operator of Newton's method: -div(eps grad) + slope on the diagonal; less what conserves the total
 * charge (the chemical potential follows a uniform shift); and without contacts with an eigenvalue for the
 * uniform potential, which is no part of any residual. */
static void add_terms(const qds_poisson *p, qds_pcg_options *options) {
  if (p->slope_sum > 0) options->term[options->terms++] = (qds_pcg_term){p->slope.data, -1 / p->slope_sum};
  if (p->closed) options->term[options->terms++] = (qds_pcg_term){p->root.data, p->level / p->volume};
}

qds_status qds_poisson_correct(qds_poisson *p, const qds_poisson_charge *charge, const qds_block *potential_V,
                               qds_block *step, double *descent, int *iterations) {
  qds_context *ctx = p->device->ctx;
  qds_pcg_statistics statistics;
  double shift;
  QDS_TRY(find_residual(p, charge->charge, potential_V));
  QDS_TRY(qds_poisson_set_slope(p, charge->slope));
  QDS_TRY(set_conserved(p, charge));
  QDS_TRY(qds_multigrid_set_shift(p->multigrid, ctx, p->closed ? -p->level : 0, &shift));
  const qds_operator a = qds_poisson_operator(p), b = qds_multigrid_cycle(p->multigrid, 0);
  qds_pcg_options options = {.operator_ = &a,
                             .preconditioner = &b,
                             .relative_tolerance = charge->relative_tolerance,
                             .max_iterations = MAX_ITERATIONS,
                             .phase = "poisson",
                             .norm = p->norm};
  add_terms(p, &options);
  QDS_TRY(qds_stream_fill(p->grid.stream, p->update.data, 0, sizeof(double) * (size_t)p->update.rows));
  QDS_TRY(qds_pcg(ctx, &options, &p->residual, &p->update, &statistics));
  if (iterations) *iterations += statistics.iterations;
  QDS_TRY(dot(p, &p->residual, &p->update, descent));
  return qds_grid_unfold(&p->grid, 0, p->update.data, step->data);
}

qds_status qds_poisson_descent(qds_poisson *p, const qds_block *charge, const qds_block *potential_V,
                               const qds_block *step, double *descent) {
  QDS_TRY(find_residual(p, charge, potential_V));
  QDS_TRY(qds_grid_fold(&p->grid, (qds_folding){.pick = 1, .scaled = 1, .factor = 1}, step->data,
                        p->update.data));
  return dot(p, &p->residual, &p->update, descent);
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

/* The arrays of a solve at the nodes, where the equation is solved. */
typedef struct {
  qds_block charge, potential, step;
} arrays;

static void arrays_clear(arrays *a) {
  qds_block_clear(&a->charge);
  qds_block_clear(&a->potential);
  qds_block_clear(&a->step);
}

static qds_status arrays_create(const qds_poisson *p, const double *charge, const double *potential_V,
                                arrays *a) {
  const int64_t nodes = qds_device_nodes(p->device);
  const qds_block from[] = {{(double *)(uintptr_t)charge, nodes, nodes, 1, NULL},
                            {(double *)(uintptr_t)potential_V, nodes, nodes, 1, NULL}};
  qds_block *const blocks[] = {&a->charge, &a->potential, &a->step};
  for (int i = 0; i < 3; i++)
    QDS_TRY(qds_block_create_on(p->device->ctx, p->stream, nodes, 1, "poisson", blocks[i]));
  QDS_TRY(qds_block_copy(&from[0], &a->charge));
  return qds_block_copy(&from[1], &a->potential);
}

/* Corrections until rounding stops them. */
static qds_status improve(qds_poisson *p, arrays *a, double *change, double *size, qds_poisson_work *work) {
  const qds_poisson_charge fixed = {.charge = &a->charge, .relative_tolerance = pass_tolerance};
  const double one = 1;
  double before = INFINITY, descent;
  for (int pass = 0; pass < MAX_PASSES; pass++) {
    QDS_TRY(qds_poisson_correct(p, &fixed, &a->potential, &a->step, &descent, &work->iterations));
    QDS_TRY(qds_block_add_product(p->device->ctx, &a->step, &one, &a->potential));
    QDS_TRY(qds_grid_largest(&p->grid, &a->step, change));
    QDS_TRY(qds_grid_largest(&p->grid, &a->potential, size));
    work->passes++;
    if (*change <= 1e-16 * *size || (pass > 0 && *change > 0.1 * before)) break;
    before = *change;
  }
  return QDS_OK;
}

qds_status qds_poisson_solve(qds_poisson *p, const double *charge, double *potential_V,
                             qds_poisson_work *work) {
  const int64_t nodes = qds_device_nodes(p->device);
  arrays a __attribute__((cleanup(arrays_clear))) = {0};
  qds_block out = {potential_V, nodes, nodes, 1, NULL};
  qds_poisson_work unused;
  double change = 0, size = 0;
  if (!work) work = &unused;
  *work = (qds_poisson_work){0};
  QDS_TRY(check_closed(p, charge));
  memset(potential_V, 0, sizeof(double) * (size_t)nodes);
  qds_poisson_set_contacts(p, potential_V);
  QDS_TRY(arrays_create(p, charge, potential_V, &a));
  QDS_TRY(improve(p, &a, &change, &size, work));
  if (!(change <= most_rounding * size))
    QDS_FAIL(QDS_ERROR_CONVERGENCE,
             "poisson: the potential is uncertain by %.1e V of %.1e V; the permittivities or the grid's "
             "spacings differ too much, or an axis has too many nodes",
             change, size);
  return qds_block_copy(&a.potential, &out);
}

/* The operator  -div(c grad) + v  on a rectilinear tensor grid, applied without assembling it.
 *
 * Gauss-Lobatto elements on every axis (order 1 is the finite-volume five- or seven-point form), scaled by
 * the square root of the diagonal mass matrix, so that the eigenproblem is standard and the operator
 * symmetric. The coefficient is constant along its own axis inside an element and has a value per node across
 * it; v is a diagonal.
 *
 * Three axes always: those that a device does not have come first, as points. Index (i * n[1] + j) * n[2] +
 * k. */
#ifndef QDS_LA_TENSOR_OPERATOR_H
#define QDS_LA_TENSOR_OPERATOR_H

#include "la/axis.h"
#include "la/block.h"
#include "la/coupling.h"
#include "la/lines.h"

typedef struct {
  const qds_axis *axis[3]; /* borrowed */
  int64_t n[3], rows;      /* unknowns */
  /* c[a]: the unknown grid's shape with elements instead of unknowns along a; one number per element of axis
   * a where by_element[a] (the coefficient does not vary across the axis); NULL on a point axis. */
  double *c[3];
  int by_element[3];
  double *v; /* rows */
  /* Instead of c[a] (3: of v), which is NULL until it is filled: lines in the same order. Who computes on the
   * host fills the arrays; a device takes the lines. */
  qds_lines lines[4];
  double
      *element[3]; /* elements x (order+1)^2: stiffness scaled by both nodes, 0 where a node is no unknown */
  double *line;    /* the last axis at order 1: four numbers per unknown, see tensor_operator.c */
  double *zeros;   /* n[2] */
  /* Besides: couplings of unknowns that are no neighbours along an axis. They belong to the whole operator;
   * one that lacks the coefficients of an axis goes without. */
  qds_couplings couplings;
} qds_tensor_operator;

/* Without c and v, which may be given as lines or filled; by_element[a] as wanted. Releases nothing of the
 * axes. */
qds_status qds_tensor_operator_create_bare(qds_context *ctx, const qds_axis *const axis[3],
                                           const int by_element[3], qds_tensor_operator **out);
/* Allocates v and every c that the grid has and that is missing, and fills them from the lines, which it
 * destroys; where there are none, v = 0 and c is undefined. */
qds_status qds_tensor_operator_fill(qds_context *ctx, qds_tensor_operator *operator_);
/* Allocates c of one axis. */
qds_status qds_tensor_operator_allocate(qds_context *ctx, qds_tensor_operator *operator_, int axis);
/* Both: with v = 0 and c undefined. */
qds_status qds_tensor_operator_create(qds_context *ctx, const qds_axis *const axis[3],
                                      const int by_element[3], qds_tensor_operator **out);
void qds_tensor_operator_destroy(qds_tensor_operator *operator_);
QDS_AUTO_DEFINE(qds_tensor_operator)

/* How many numbers c[a] holds. */
int64_t qds_tensor_operator_coefficients(const qds_tensor_operator *operator_, int axis);
/* c[a] at element e of axis a and the unknowns i, j, k of the others (the index along a is ignored). */
double qds_tensor_operator_coefficient(const qds_tensor_operator *operator_, int axis, int64_t e, int64_t i,
                                       int64_t j, int64_t k);
static inline int qds_tensor_operator_has(const qds_tensor_operator *t, int axis) {
  return t->c[axis] != NULL || t->lines[axis].line != NULL;
}
/* The lines of c of an axis (3: of v), of which there are `count`, each of `length` numbers, whether they are
 * filled or not; `dense` is what they may refer to. One line where the coefficient does not vary across the
 * last axis. Borrows. */
qds_lines qds_tensor_operator_lines(const qds_tensor_operator *operator_, int axis, qds_dense_lines *dense,
                                    int64_t *count, int64_t *length);
/* The smallest and the largest number of c of an axis (3: of v); INFINITY and -INFINITY when there is none.
 */
qds_status qds_tensor_operator_range(qds_context *ctx, const qds_tensor_operator *operator_, int axis,
                                     double *low, double *high);
/* Of -div(c grad): Gershgorin's bound, from its largest coefficients and shortest nodes. */
qds_status qds_tensor_operator_norm(qds_context *ctx, const qds_tensor_operator *operator_, double *norm);

/* The operator on blocks, filled; borrows. */
qds_operator qds_tensor_operator_apply(qds_tensor_operator *operator_);

#endif

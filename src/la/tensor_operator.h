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

typedef struct {
  const qds_axis *axis[3]; /* borrowed */
  int64_t n[3], rows;      /* unknowns */
  /* c[a]: the unknown grid's shape with elements instead of unknowns along a; one number per element of axis
   * a where by_element[a] (the coefficient does not vary across the axis); NULL on a point axis. */
  double *c[3];
  int by_element[3];
  double *v; /* rows */
  double
      *element[3]; /* elements x (order+1)^2: stiffness scaled by both nodes, 0 where a node is no unknown */
  double *line;    /* the last axis at order 1: four numbers per unknown, see tensor_operator.c */
  double *zeros;   /* n[2] */
  /* Besides: couplings of unknowns that are no neighbours along an axis. They belong to the whole operator;
   * one that lacks the coefficients of an axis goes without. */
  qds_couplings couplings;
} qds_tensor_operator;

/* Allocates with v = 0 and c undefined; by_element[a] as wanted. Releases nothing of the axes. */
qds_status qds_tensor_operator_create(qds_context *ctx, const qds_axis *const axis[3],
                                      const int by_element[3], qds_tensor_operator **out);
void qds_tensor_operator_destroy(qds_tensor_operator *operator_);
QDS_AUTO_DEFINE(qds_tensor_operator)

/* How many numbers c[a] holds. */
int64_t qds_tensor_operator_coefficients(const qds_tensor_operator *operator_, int axis);
/* c[a] at element e of axis a and the unknowns i, j, k of the others (the index along a is ignored). */
double qds_tensor_operator_coefficient(const qds_tensor_operator *operator_, int axis, int64_t e, int64_t i,
                                       int64_t j, int64_t k);
/* The operator on blocks; borrows. */
qds_operator qds_tensor_operator_apply(qds_tensor_operator *operator_);

#endif

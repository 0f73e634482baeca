/* One axis of a rectilinear tensor grid with Gauss-Lobatto elements of order 1 to 4.
 *
 * nodes = order * elements + 1, both ends counted. Each node owns an interval of the length of its quadrature
 * weight; these dual intervals tile the axis, and a quantity is averaged over them.
 *
 * Unknowns are the nodes less those at Dirichlet ends; with periodic ends the last node is the first. Vectors
 * of unknowns are scaled by the square root of the weights (u = sqrt(w) psi), which makes the mass matrix the
 * identity. */
#ifndef QDS_LA_AXIS_H
#define QDS_LA_AXIS_H

#include "par/context.h"
#include "qdsim/grid.h"

typedef struct {
  int order;
  int64_t nodes, elements, unknowns;
  int64_t first; /* node of unknown 0: 1 behind a Dirichlet end, else 0 */
  qds_boundary boundary[2];
  double *coordinates_nm; /* nodes */
  double *weights_nm;     /* nodes: Gauss-Lobatto quadrature weights, which sum to the axis's length */
  double *dual_nm;        /* nodes + 1 bounds of the dual intervals; the first and last are the axis's ends */
  double *mass;           /* unknowns: the weight, at periodic ends the sum of both ends' weights */
  double *scale;          /* unknowns: 1 / sqrt(mass) */
  double *stiffness;      /* elements x (order+1) x (order+1): integral of l_a' l_b' over the element, 1/nm */
} qds_axis;

/* A smooth refinement: between from_nm and to_nm the nodes lie `factor` times denser than outside. */
typedef struct {
  double from_nm, to_nm, factor;
} qds_refinement;

/* The memory that an axis of so many nodes takes. */
static inline size_t qds_axis_bytes(int64_t nodes, int order) {
  return (size_t)(sizeof(double) * (double)nodes * (5 + (order + 1.0) * (order + 1.0) / order));
}

/* Nodes from from_nm to to_nm; the spacing varies smoothly through the refinements (count 0: uniform).
 * `nodes` must be order * elements + 1, else INPUT names the nearest that is. */
qds_status qds_axis_create(qds_allocator *allocator, double from_nm, double to_nm, int64_t nodes, int order,
                           const qds_refinement *refinements, size_t count, const qds_boundary boundary[2],
                           qds_axis **out);
/* From the coordinates of the element ends and nodes as given; for order > 1 the inner nodes must be the
 * Gauss-Lobatto points of each element to 1e-9 of its length. */
qds_status qds_axis_from_coordinates(qds_allocator *allocator, const double *coordinates_nm, int64_t nodes,
                                     int order, const qds_boundary boundary[2], qds_axis **out);
/* An axis with one node, one unknown, weight 1 and no element, for the dimensions that a device does not
 * have. */
qds_status qds_axis_create_point(qds_allocator *allocator, qds_axis **out);
void qds_axis_destroy(qds_axis *axis);
QDS_AUTO_DEFINE(qds_axis)

/* The unknown at a node, or -1 behind a Dirichlet end. */
static inline int64_t qds_axis_unknown(const qds_axis *axis, int64_t node) {
  if (node == axis->nodes - 1 && axis->boundary[1] == QDS_PERIODIC) return 0;
  const int64_t unknown = node - axis->first;
  return unknown >= 0 && unknown < axis->unknowns ? unknown : -1;
}

/* The symmetric matrix of  -d/dx c d/dx + v  on the scaled unknowns, dense, column-major, unknowns^2 doubles;
 * c: one per element, v: one per unknown. */
void qds_axis_matrix(const qds_axis *axis, const double *c, const double *v, double *matrix);

#endif

/* Poisson's equation as its files share it. */
#ifndef QDS_DOT_POISSON_INTERNAL_H
#define QDS_DOT_POISSON_INTERNAL_H

#include "dot/grid.h"
#include "dot/poisson.h"
#include "la/multigrid.h"

/* Blocks have one column, and lie where the equation is solved. */
struct qds_poisson {
  const qds_device *device;
  qds_contacts contacts;
  int closed; /* no contact */
  qds_axis *axis[3];
  qds_tensor_operator *operator_; /* -div(eps grad); on the CPU its diagonal holds the slope in force */
  qds_stream host, *stream;       /* of the device that solves; NULL: the CPU */
  qds_grid grid;
  /* On a device: the operator there, and whether its diagonal can hold a slope. */
  qds_device_operator *device_operator;
  int open_diagonal;
  qds_multigrid *multigrid; /* NULL: to be made */
  int multigrid_has_slope;
  double level;   /* with no contact: the eigenvalue that a uniform potential is given, that of a wave
                     through the device */
  double norm;    /* of the operator without slope */
  double volume;  /* of all unknowns */
  qds_block root; /* unknowns: root of the volume, a uniform potential; empty until it is needed */
  qds_block lift; /* unknowns: what the contacts put into the right-hand side */
  qds_block residual, update;
  qds_block slope; /* a total charge that is conserved: the slope as a vector; empty until it is needed */
  double slope_sum;
};

/* What the contacts put into the right-hand side of the scaled unknowns: added to lift, in host memory. */
void qds_poisson_add_lift(const qds_poisson *poisson, double *lift);
/* Fills the root of the volume. */
qds_status qds_poisson_need_root(qds_poisson *poisson);
/* The operator with a slope on its diagonal (NULL: none), at the nodes, and the multigrid that belongs to
 * it. */
qds_status qds_poisson_set_slope(qds_poisson *poisson, const qds_block *slope);
/* The operator without slope. */
qds_status qds_poisson_bare_operator(qds_poisson *poisson, qds_operator *out);
qds_operator qds_poisson_operator(qds_poisson *poisson);

#endif

/* Grids: what the ends of an axis do. */
#ifndef QDSIM_GRID_H
#define QDSIM_GRID_H

typedef enum { QDS_DIRICHLET, QDS_NEUMANN, QDS_PERIODIC } qds_boundary;

#endif

/* Fields on rectilinear tensor grids as VTKHDF files, which ParaView opens from version 5.12 (VTK 9.3) on;
 * the reader of 5.11 fails on image data with cell labels or with fewer than three dimensions.
 *
 * VTKHDF knows uniform grids as ImageData. A grid that is not uniform is written as an UnstructuredGrid of
 * lines, quadrilaterals or hexahedra. Beside the VTKHDF group, the group /qdsim holds what a picture cannot:
 * the axes' node coordinates as /qdsim/x, /qdsim/y, /qdsim/z in nm, and attributes of the run. */
#ifndef QDS_BASE_VTKHDF_H
#define QDS_BASE_VTKHDF_H

#include "base/allocator.h"
#include "base/hdf5_writer.h"

typedef struct qds_vtkhdf qds_vtkhdf;

/* dimension 1 to 3; nodes[a] coordinates in coordinates_nm[a], ascending. The file is written beside `path`
 * and takes its name in qds_vtkhdf_commit. A full disk or an HDF5 failure is QDS_ERROR_FILE. HDF5's own error
 * stack is kept silent, and quoted in the message. */
qds_status qds_vtkhdf_create(qds_allocator *allocator, const char *path, int dimension, const int64_t *nodes,
                             const double *const *coordinates_nm, qds_vtkhdf **out);
/* A field on the nodes: `values` in C order with the last axis contiguous (index (ix*ny+iy)*nz+iz), all
 * nodes, ends included. Stored as 32-bit floats unless `full_precision`. No / in names; a name taken twice is
 * QDS_ERROR_FILE. */
qds_status qds_vtkhdf_point_field(qds_vtkhdf *file, const char *name, const double *values,
                                  int full_precision);
/* A field on the cells (nodes-1 along each axis), same order, of small integers. */
qds_status qds_vtkhdf_cell_labels(qds_vtkhdf *file, const char *name, const unsigned char *labels);
/* Attributes of /qdsim. */
qds_status qds_vtkhdf_text(qds_vtkhdf *file, const char *name, const char *value);
qds_status qds_vtkhdf_doubles(qds_vtkhdf *file, const char *name, size_t count, const double *values);
/* The HDF5 file, for groups of others' beside /VTKHDF, which VTK passes over; open until the commit. */
qds_hdf5_file *qds_vtkhdf_hdf5(qds_vtkhdf *file);
qds_status qds_vtkhdf_commit(qds_vtkhdf *file);
/* Closes; removes the temporary file unless it was committed. */
void qds_vtkhdf_destroy(qds_vtkhdf *file);
QDS_AUTO_DEFINE(qds_vtkhdf)

#endif

/* What fills a device's grid, as runs, and the arrays of a result that are made of them when somebody asks:
 * the band edge on the nodes and the material of each cell. */
#ifndef QDS_DOT_MAPS_H
#define QDS_DOT_MAPS_H

#include "dot/device.h"
#include "la/runs.h"

typedef struct qds_maps qds_maps;

/* Keeps nothing of the device but its context, which outlives the maps. */
qds_status qds_maps_create(const qds_device *d, qds_maps **out);
void qds_maps_destroy(qds_maps *maps);
QDS_AUTO_DEFINE(qds_maps)

/* The parts of the nodes' volumes that the materials fill; borrows. */
const qds_runs *qds_maps_volumes(const qds_maps *maps);
/* The carrier's potential energy of each row of the volumes' table: the materials' band edges, averaged; for
 * holes the negative. Borrows. */
const double *qds_maps_row_energies(const qds_maps *maps);

/* The band edge on the nodes, on the electron's scale, which may be changed while nobody else looks; the
 * cells' materials. Made when first asked for, from any thread. Errors: MEMORY, BUDGET. */
qds_status qds_maps_band_edge(qds_maps *maps, double **band_edge_eV);
qds_status qds_maps_materials(qds_maps *maps, const unsigned char **materials);

#endif

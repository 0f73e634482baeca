/* The result of a solve. */
#ifndef QDS_DOT_RESULT_H
#define QDS_DOT_RESULT_H

#include "la/spectrum.h"
#include "qdsim/dot.h"

typedef struct {
  double position_nm[3], spread_nm[3];
} qds_moments;

struct qds_result {
  qds_context *ctx;
  char *name, *stem, *input, *configuration;
  int dimension, states, materials;
  unsigned fields;
  int64_t nodes[3]; /* by user axis; 1 past the dimension */
  double *coordinates_nm[3], *weights_nm[3];
  double *energies_eV, *residuals_eV;
  qds_moments *moments; /* states */
  double *probability;  /* states x materials */
  char **material_name; /* materials */
  double reference_eV;
  double *psi;             /* states x nodes */
  double *band_edge_eV;    /* nodes */
  unsigned char *material; /* cells */
  int64_t unknowns;
  qds_result_statistics statistics;
  double setup_s;
};

static inline int64_t qds_result_node_count(const qds_result *r) {
  return r->nodes[0] * r->nodes[1] * r->nodes[2];
}

QDS_AUTO_DEFINE(qds_result)

#endif

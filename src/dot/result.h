/* The result of a solve. */
#ifndef QDS_DOT_RESULT_H
#define QDS_DOT_RESULT_H

#include "base/json.h"
#include "dot/device.h"
#include "dot/maps.h"
#include "dot/measure.h"
#include "la/spectrum.h"
#include "qdsim/dot.h"

/* What Poisson's equation adds; numbers of charges per nm^2 in 1D, per nm in 2D. */
typedef struct {
  double *potential_V;          /* nodes; NULL: the device has no electrostatics */
  double *electron_density_cm3; /* nodes; NULL without self-consistency */
  double fermi_level_eV;        /* NaN without self-consistency */
  double *occupation;           /* states: electrons per cm^2 in 1D, per cm in 2D; NULL as above */
  double *history_V;            /* iterations: the largest change of the potential */
  int iterations, density_states;
  double dopants, electrons, contact_charge[3][2];
  char device[64], device_reason[512]; /* where potential and density were found, as of the result */
  double states_s, poisson_s, density_s, other_s;
  qds_contacts contacts;
} qds_result_electrostatics;

struct qds_result {
  qds_context *ctx;
  char *name, *stem, *input, *configuration;
  int dimension, states, materials, threads;
  int parts; /* numbers in a value of psi: 1, or real and imaginary part */
  unsigned fields;
  int64_t nodes[3]; /* by user axis; 1 past the dimension */
  double *coordinates_nm[3], *weights_nm[3];
  double *energies_eV, *residuals_eV;
  double *widths_eV, *lifetimes_s, *sensitivities_eV; /* of open devices, else NULL */
  qds_moments *moments;                               /* states */
  double *probability;                                /* states x materials */
  char **material_name;                               /* materials */
  double reference_eV;
  qds_waves *waves;
  qds_maps *maps;
  qds_result_electrostatics electrostatics;
  int64_t unknowns;
  qds_result_statistics statistics;
  char device[64], device_reason[1024]; /* where it was solved, and why there; "" when that was asked for */
};

/* From 1/nm^(3 - dimension) to 1/cm^(3 - dimension), and from 1/nm^3 to 1/cm^3. */
static inline double qds_per_cm(int dimension) {
  return dimension == 1 ? 1e14 : dimension == 2 ? 1e7 : 1;
}
#define QDS_PER_CM3 1e21

/* Writes the map "electrostatics" of a result's JSON, if there is one. */
void qds_result_write_electrostatics(qds_json *json, const qds_result *r);

static inline int64_t qds_result_node_count(const qds_result *r) {
  return r->nodes[0] * r->nodes[1] * r->nodes[2];
}

QDS_AUTO_DEFINE(qds_result)

#endif

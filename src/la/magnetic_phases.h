/* The phases of Peierls that a uniform magnetic field gives to the entries of a tensor operator. */
#ifndef QDS_LA_MAGNETIC_PHASES_H
#define QDS_LA_MAGNETIC_PHASES_H

#include "la/tensor_operator.h"

/* alpha_a = sum_b slope[a][b] (x_b - origin_b) in 1/nm; the diagonal of slope is not read (it is a gauge). */
typedef struct {
  double slope[3][3], origin_nm[3];
} qds_vector_potential;

/* Numbers of modulus 1. */
typedef struct {
  double *re, *im;
} qds_phases;

typedef struct {
  /* factor[a][b]: e^(-i slope x_a x_b) for each pair of unknowns of the axes a and b, that of the later axis
   * running fastest; empty where slope[a][b] is 0. G_a is the product of its two factors. */
  qds_phases factor[3][3];
  qds_phases bond; /* e^(-i phi) of each entry of the form's couplings, phi along the straight way to it */
} qds_magnetic_phases;

/* The caller clears *out, also after an error. */
qds_status qds_magnetic_phases_create(qds_context *ctx, const qds_tensor_operator *form,
                                      const qds_vector_potential *potential, qds_magnetic_phases *out);
void qds_magnetic_phases_clear(qds_magnetic_phases *phases); /* safe on a zeroed one */

/* Where an unknown of an axis lies. */
static inline double qds_unknown_nm(const qds_axis *axis, int64_t unknown, double origin_nm) {
  return axis->coordinates_nm[unknown + axis->first] - origin_nm;
}

#endif

/* The tensor operator in a uniform magnetic field:  sum_a (-i d_a - alpha_a) c_a (-i d_a - alpha_a) + v  with
 * alpha = q A / hbar linear in the position.
 *
 * Along a line of axis a, (-i d_a - alpha_a) psi = e^(i theta_a) (-i d_a) (e^(-i theta_a) psi) with theta_a
 * the integral of alpha_a along the line. So the part of axis a is G_a^* K_a G_a, with K_a that part of the
 * tensor operator and G_a = diag(e^(-i theta_a)): each entry of K_a times the phase of Peierls (Z. Phys. 80
 * (1933) 763) between its two nodes. At every order and on every grid the levels do not depend on the gauge,
 * since another one turns the phases of the unknowns and nothing else.
 *
 * A complex vector is a real one of twice the length, all real parts before all imaginary parts; the
 * Hermitian operator A + iB is then the symmetric [[A, -B], [B, A]], in which every level appears twice. */
#ifndef QDS_LA_MAGNETIC_OPERATOR_H
#define QDS_LA_MAGNETIC_OPERATOR_H

#include "la/magnetic_phases.h"

typedef struct qds_magnetic_operator qds_magnetic_operator;

/* Borrows `form`, whose coefficients and v must not change. */
qds_status qds_magnetic_operator_create(qds_context *ctx, const qds_tensor_operator *form,
                                        const qds_vector_potential *potential, qds_magnetic_operator **out);
void qds_magnetic_operator_destroy(qds_magnetic_operator *operator_);
QDS_AUTO_DEFINE(qds_magnetic_operator)

/* On blocks of 2 form->rows rows; borrows. */
qds_operator qds_magnetic_operator_apply(qds_magnetic_operator *operator_);
/* The same on blocks of a stream, as qds_spectrum_target has it: `self` is the operator. What it needs there
 * is made the first time, all calls name the same stream, and the operator goes before the stream. */
qds_status qds_magnetic_operator_on_stream(void *self, qds_context *ctx, qds_stream *stream,
                                           qds_operator *out);
/* The real operator nearest to it: the form with the diamagnetic term c alpha^2 in v. Borrows. */
qds_tensor_operator *qds_magnetic_operator_real(qds_magnetic_operator *operator_);

/* Multiplies complex vectors by e^(i chi), grad chi = alpha of `to` less alpha of `from`, which takes the
 * states of the one operator to those of the other. Both must have the same field and origin; x may lie on a
 * stream. */
qds_status qds_magnetic_change_gauge(qds_context *ctx, const qds_tensor_operator *form,
                                     const qds_vector_potential *from, const qds_vector_potential *to,
                                     qds_block *x);

/* Bytes of the host that the operator holds beside the form. on_stream: it is applied on a stream only. */
size_t qds_magnetic_operator_bytes(int64_t rows, int on_stream);

#endif

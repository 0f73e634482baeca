/* Geometric multigrid for  -div(c grad) + v - shift  on a rectilinear tensor grid: a V-cycle in single
 * precision that serves as preconditioner at a cost proportional to the number of unknowns.
 *
 * Every level is the order-1 form on its nodes (for finer orders on the Gauss-Lobatto nodes, which is
 * spectrally equivalent: Canuto, Hussaini, Quarteroni, Zang, Spectral Methods, 2006, sec. 4.4.2), with
 * coefficients averaged in series along their axis and in parallel across it. Axes with weak coupling are not
 * coarsened. The smoother is the Chebyshev polynomial of the fourth kind of degree 2 (Lottes, Numer. Linear
 * Algebra Appl. 30 (2023) e2518); the coarsest level is inverted exactly. The levels are also the grids on
 * which start vectors are found. */
#ifndef QDS_LA_MULTIGRID_H
#define QDS_LA_MULTIGRID_H

#include "la/device_operator.h"

typedef struct qds_multigrid qds_multigrid;

/* Level 0 has the unknowns of `fine`. Host: `device` is NULL, coefficients are read and not kept, and blocks
 * lie in host memory. Else `device` is the same operator on a stream, is borrowed, and blocks are those of
 * its stream. Errors: MEMORY, BUDGET, NUMERIC, those of the device. */
qds_status qds_multigrid_create(qds_context *ctx, const qds_device_operator *device,
                                const qds_tensor_operator *fine, qds_multigrid **out);
/* Takes over another potential, on the diagonal of the operator that the multigrid was made from, which has
 * to be as it was else; on the host it is `fine`'s. The shift becomes the largest that is allowed. Errors as
 * above; after one the multigrid can only be renewed again or destroyed. */
qds_status qds_multigrid_renew(qds_multigrid *multigrid, qds_context *ctx, const qds_tensor_operator *fine);
void qds_multigrid_destroy(qds_multigrid *multigrid);
QDS_AUTO_DEFINE(qds_multigrid)

/* Bytes of a stream's place for the unknowns n, where every axis is coarsened. */
size_t qds_multigrid_bytes_on_stream(const int64_t n[3]);

int qds_multigrid_levels(const qds_multigrid *multigrid);
int64_t qds_multigrid_rows(const qds_multigrid *multigrid, int level);

/* Sets the shift of the cycles: the wanted one, or the largest below it that leaves the diagonal of every
 * level positive and the coarsest level positive definite, each with a margin. That makes the cycle positive
 * definite even where the lowest level of a finer grid lies below the shift: the polynomial (1 - p(t)^2) / t
 * of the smoother, with p(t) its error, is positive for every t up to its bound, negative ones included.
 * Returns the shift in force through `used`. */
qds_status qds_multigrid_set_shift(qds_multigrid *multigrid, qds_context *ctx, double wanted, double *used);

/* The same for the level `finest` and those below it, at their cost alone; the cycles of finer levels must
 * not be used until their shift is set too. */
qds_status qds_multigrid_set_shift_below(qds_multigrid *multigrid, qds_context *ctx, int finest,
                                         double wanted, double *used);

/* The operator of a level, without shift, on vectors of doubles. Borrows. */
qds_operator qds_multigrid_level_operator(qds_multigrid *multigrid, int level);
/* One V-cycle from a level downwards: symmetric positive definite; y may be x. Borrows. */
qds_operator qds_multigrid_cycle(qds_multigrid *multigrid, int level);
/* Interpolates vectors of `level` to the next finer level - 1. */
qds_status qds_multigrid_prolong(qds_multigrid *multigrid, qds_context *ctx, int level,
                                 const qds_block *coarse, qds_block *fine);

#endif

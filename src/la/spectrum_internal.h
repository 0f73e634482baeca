/* The pieces of the search for a spectrum: the solves on the grids, and the check that no level
 * was missed. */
#ifndef QDS_LA_SPECTRUM_INTERNAL_H
#define QDS_LA_SPECTRUM_INTERNAL_H

#include "la/multigrid.h"
#include "la/separable.h"
#include "la/spectrum.h"

/* Streams of random numbers: each search draws on the next QDS_SEARCH_STREAMS. */
enum { QDS_START_STREAM = 1, QDS_CHECK_STREAM = 100000, QDS_SEARCH_STREAMS = 100000 };

typedef struct {
  qds_context *ctx;
  qds_tensor_operator *operator_;
  qds_operator target;                        /* what is diagonalised */
  int parts;                                  /* vectors of the tensor operator in one of the target's */
  qds_stream *stream;                         /* of the device that solves; NULL: the CPU */
  const qds_device_operator *device_operator; /* the tensor operator there */
  const qds_spectrum_options *options;
  qds_spectrum_statistics *statistics;
  qds_multigrid *multigrid;
  int start_level;                                  /* of the multigrid, where the first vectors are sought */
  double shift;                                     /* of the multigrid, in force */
  int finest_vectors;                               /* states and guards on the finest grid */
  qds_fdm *fdm;                                     /* instead of the multigrid on the finest grid, or NULL */
  qds_operator part_preconditioner, preconditioner; /* of a part and of the target, on the finest grid */
} qds_search;

/* Chooses the stream of the context's device when that can solve the problem, else NULL for the CPU, and
 * keeps both in the statistics. */
qds_status qds_search_choose_place(qds_search *s);
/* Keeps the CPU there, as the place where the target is diagonalised as a whole for `reason`. */
void qds_search_stay_on_cpu(qds_search *s, const char *reason);
qds_lobpcg_options qds_search_options(const qds_search *s, const qds_operator *a, const qds_operator *b,
                                      int wanted, const char *phase);
/* Solves on the levels from the start level to level 1, beginning with random vectors, and leaves the vectors
 * of level 1 in *x; with no coarser level than 0 they are the random vectors. The main search also aims the
 * shift and chooses how many vectors the finest grid gets. */
qds_status qds_search_coarse(qds_search *s, int states, uint64_t stream, int main_search, qds_block *x);
/* Replaces the vectors of level + 1 in *x by their interpolation on `level`; of `columns` columns the first
 * come from there, and those beyond are random. */
qds_status qds_search_carry_over(const qds_search *s, int level, int columns, uint64_t stream, qds_block *x);
/* The same from level 1 to the finest grid when the target's vectors have several parts: column j is
 * interpolated from column j / parts, as part j mod parts of a vector whose other parts are 0. */
qds_status qds_search_lift(const qds_search *s, const qds_block *coarse, qds_block *fine);
/* One vector of the finest grid whose parts are the interpolated columns of *y, which it replaces. */
qds_status qds_search_join_parts(const qds_search *s, qds_block *y);
/* The preconditioner of a part, on each. */
qds_operator qds_search_precondition_parts(qds_search *s);
/* Solves on the finest grid, beginning with *x. */
qds_status qds_search_finest(const qds_search *s, int states, qds_block *x, double *values,
                             double *residuals);

/* Checks that x, values and residuals, from a solve on the finest grid, are the lowest states. A level that
 * is missing is sought and joins them (values and residuals have room for one number more than states). */
qds_status qds_search_verify(qds_search *s, qds_block *x, double *values, double *residuals);

#endif

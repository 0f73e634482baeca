/* Fast diagonalisation: what its front (fdm.c) prepares and its CPU version (fdm_cpu.c) uses. */
#ifndef QDS_LA_FDM_INTERNAL_H
#define QDS_LA_FDM_INTERNAL_H

#include "la/blas.h"
#include "la/fdm.h"

/* The modes of one axis. On an axis that is symmetric about its middle the modes are even or odd: `even` of
 * the first and then `odd` of the second kind, each kind with a matrix of half the size that acts on
 *
 *   x[i] + x[n-1-i]  (i < odd), and the middle x[odd] when n is odd;     x[i] - x[n-1-i]  (i < odd).
 *
 * The rows that belong to such pairs carry the factor 1/sqrt(2) that makes the transform orthogonal. Without
 * the symmetry even = n and odd = 0, so that the same loops serve both. Numbers behind void * have the
 * working precision. */
typedef struct {
  int n, even, odd;
  void *modes[2];      /* of each kind, column-major, a mode per column */
  void *transposed[2]; /* last axis only */
  double *spectrum;    /* eigenvalues, evens first; NULL for a point */
  void *offsets;       /* (eigenvalue - lowest) / unit, in the order of the spectrum */
} qds_fdm_axis;

typedef struct qds_fdm_device qds_fdm_device;

struct qds_fdm {
  const qds_blas *blas;
  qds_precision precision;
  int threads;
  int64_t n[3], rows;
  double *eigenvalues[3]; /* of the caller's axes, ascending */
  qds_fdm_axis axis[3]; /* first, middle, last: the present axes in the caller's order, see qds_fdm_create */
  double unit;          /* the largest eigenvalue less the first shift: divisors are about 1 at most */
  double gap;           /* (sum of the lowest eigenvalues - shift) / unit */
  int width[3];         /* columns (first, middle) or rows (last) in a panel */
  int64_t
      planes;    /* planes of the first index that go through the other axes together; 0: all, axis by axis */
  size_t panel;  /* numbers in a panel */
  int vectors;   /* of workspace: 1, or one per thread when vectors are small */
  void *work;    /* the vectors */
  void *panels;  /* two per thread */
  double *peaks; /* threads */
  qds_fdm_device *device; /* on a stream, instead of modes, work, panels and peaks; NULL: on the host */
};

/* y = inverse x on blocks that have been checked. */
void qds_fdm_apply_cpu(const qds_fdm *fdm, const qds_block *x, qds_block *y);

/* Copies modes and divisors to the stream's place. */
qds_status qds_fdm_device_create(qds_context *ctx, qds_stream *stream, const qds_fdm *fdm,
                                 qds_fdm_device **out);
void qds_fdm_device_destroy(qds_fdm_device *device);
QDS_AUTO_DEFINE(qds_fdm_device)
/* Of its place, by sizes, splitting and precision. */
size_t qds_fdm_device_bytes(const qds_fdm *fdm);
qds_status qds_fdm_apply_device(qds_context *ctx, const qds_fdm *fdm, const qds_block *x, qds_block *y);

#endif

/* The lowest eigenpairs of a tensor operator, from coarse grids to fine ones, and the check that none was
 * missed. */
#ifndef QDS_LA_SPECTRUM_H
#define QDS_LA_SPECTRUM_H

#include "la/lobpcg.h"
#include "la/matrix_product.h"
#include "la/tensor_operator.h"

/* Of the finest grid; the coarser ones always use multigrid. docs/solver.md says where each wins. */
typedef enum { QDS_PRECONDITION_MULTIGRID, QDS_PRECONDITION_FAST_DIAGONALISATION } qds_preconditioner;

/* Another symmetric operator near to a tensor operator, on vectors that hold one or more of the tensor
 * operator's, one after the other. */
typedef struct {
  qds_operator on_host;
  /* The same, from on_host.self, on blocks of a stream; what it borrows lasts as long as on_host. NULL: it
   * has no kernels. */
  qds_status (*on_stream)(void *self, qds_context *ctx, qds_stream *stream, qds_operator *out);
} qds_spectrum_target;

typedef struct {
  /* NULL: the tensor operator itself. Else the tensor operator serves for the preconditioner and the start
   * vectors. */
  const qds_spectrum_target *target;
  int states;
  qds_preconditioner preconditioner;
  qds_precision precision; /* of fast diagonalisation */
  /* Converged when ||A x - lambda x|| <= tolerance + relative_tolerance * (lambda - floor). */
  double tolerance, relative_tolerance, floor;
  int max_iterations; /* on each grid */
  /* Vectors to begin with on the finest grid, at least `states` (those of a similar operator, say); borrowed.
   * NULL: they are found on coarser grids. A small operator, which is diagonalised, needs none. */
  const qds_block *start;
  /* The states stay in memory of the device that found them, as a block of the context's stream; where the
   * CPU found them it changes nothing. */
  int leave_states;
} qds_spectrum_options;

typedef struct {
  int grids;                    /* how many grids start vectors came from */
  qds_lobpcg_statistics finest; /* of the solve on the finest grid, the check not counted */
  double setup_s, solve_s, verify_s;
  const char *preconditioner, *verification;
  const char *device; /* where it was solved: "cpu", "cuda:0" */
  char fallback[256]; /* why not on the context's device; "" */
  int found_by_verification;
} qds_spectrum_statistics;

/* x receives `states` orthonormal columns, in host memory unless they are to be left; the caller clears it
 * before the context's device goes. eigenvalues, residuals: `states` numbers,
 * ascending. A level that only the check finds joins the result. In one dimension the check counts levels
 * (inertia.h) and proves that none is missing; else it is a second search from another start. Errors:
 * ARGUMENT (more states than unknowns), those of qds_lobpcg. */
qds_status qds_spectrum(qds_context *ctx, qds_tensor_operator *operator_, const qds_spectrum_options *options,
                        qds_block *x, double *eigenvalues, double *residuals,
                        qds_spectrum_statistics *statistics);

/* Why the context's device cannot hold `bytes`, so that the CPU solves; "" when it can. */
qds_status qds_spectrum_obstacle(qds_context *ctx, size_t bytes, char *why, size_t size);
/* Bytes that the solve holds at its peak beside the operator: for `states` of the target, whose vectors hold
 * `parts` of the tensor operator's. */
size_t qds_spectrum_bytes(int64_t rows, int parts, int states, int dimensions);
/* The same of a device's memory, the operator included where it does not vary from node to node. */
size_t qds_spectrum_device_bytes(const int64_t n[3], int parts, int states, qds_preconditioner preconditioner,
                                 qds_precision precision);
/* A rough time from the bytes that an iteration moves. */
double qds_spectrum_seconds(int64_t rows, int states, int threads);

#endif

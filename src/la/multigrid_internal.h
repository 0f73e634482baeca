/* The levels of multigrid and the work on them. */
#ifndef QDS_LA_MULTIGRID_INTERNAL_H
#define QDS_LA_MULTIGRID_INTERNAL_H

#include <math.h>

#include "la/device_multigrid_view.h"
#include "la/multigrid.h"
#include "par/barrier.h"

enum { QDS_MULTIGRID_MAX_LEVELS = 40 };

/* One axis of a level: nodes with both ends, and the masses of its unknowns. */
typedef struct {
  int64_t nodes, unknowns, first;
  int periodic;
  double *x;    /* nodes */
  double *mass; /* unknowns */
} qds_level_axis;

/* Linear interpolation along one axis from the next coarser level. Fine unknown i takes weight[0][i] of
 * coarse unknown at[0][i] and weight[1][i] of at[1][i]; a missing one has weight 0 and index 0. The adjoint
 * with respect to the masses: coarse unknown I takes gather_weight[g] of fine unknown gather_at[g] for g from
 * gather_start[I] to gather_start[I + 1]; these weights sum to 1. */
typedef struct {
  int identity;
  int64_t fine, coarse;
  int64_t *at[2], *gather_start, *gather_at;
  float *weight[2], *gather_weight;
} qds_transfer;

/* The operator of a level on values psi (not scaled by the masses), so that constants cancel exactly in
 * single precision: (A psi)_i = v_i psi_i + sum over axes of inverse_mass (edge_low (psi_i - psi_low) +
 * edge_high (psi_i - psi_high)). It is self-adjoint with respect to the masses. */
typedef struct {
  qds_level_axis axis[3];
  int64_t n[3], rows;
  /* Coefficient over length of each edge: the grid's shape with edges instead of unknowns along a, or one per
   * edge where it does not vary across the axis; NULL on a point axis. */
  float *edge[3];
  int by_element[3];
  double *root[3], *inverse_root[3]; /* n[a]: of the mass along the axis */
  float *inverse_mass[3];            /* n[a]: 1 / mass along the axis, 0 on a point axis */
  float *v;                          /* rows, without shift */
  float *inverse_diagonal;           /* rows, less `shift`; NULL on the coarsest */
  double shift, bound;               /* in force; the largest that leaves the smoother stable */
  float rate;                        /* 1 / bound of the largest eigenvalue of the Jacobi-scaled operator */
  qds_transfer transfer[3];          /* from the next coarser level; empty on the coarsest */
} qds_level;

/* Vectors of one thread or one team on one level. */
typedef struct {
  float *b, *x, *z, *y, *r;
} qds_level_vectors;

typedef struct {
  qds_level_vectors level[QDS_MULTIGRID_MAX_LEVELS];
  float *line; /* per member of the team: 2 n[2] of the finest level */
  qds_barrier barrier;
} qds_multigrid_workspace;

typedef struct {
  qds_multigrid *multigrid;
  int level;
} qds_multigrid_handle;

/* What is done on the host and on a stream in ways of their own. */
typedef struct {
  /* The levels with their vectors and bounds, less what the coarsest level's inverse needs. */
  qds_status (*create)(qds_context *ctx, const qds_tensor_operator *fine, qds_multigrid *multigrid);
  /* The potentials of the levels and their bounds anew. */
  qds_status (*renew)(qds_context *ctx, const qds_tensor_operator *fine, qds_multigrid *multigrid);
  void (*clear)(qds_multigrid *multigrid);
  /* The shift of the levels from `finest` on; the coarsest level's inverse has it already. */
  qds_status (*shift)(qds_context *ctx, qds_multigrid *multigrid, int finest, double shift);
  /* As in qds_operator; `self` is a handle. */
  qds_status (*apply)(void *self, qds_context *ctx, const qds_block *x, qds_block *y);
  qds_status (*cycle)(void *self, qds_context *ctx, const qds_block *x, qds_block *y);
  qds_status (*prolong)(qds_context *ctx, const qds_multigrid *multigrid, int level, const qds_block *coarse,
                        qds_block *fine);
} qds_multigrid_place;
extern const qds_multigrid_place qds_multigrid_on_host, qds_multigrid_on_stream;

typedef struct qds_device_levels qds_device_levels;

struct qds_multigrid {
  const qds_multigrid_place *place;
  /* On a stream: the finest level's operator, borrowed, and what lies there; the levels here then have no
   * coefficients. */
  const qds_device_operator *fine;
  qds_device_levels *device;
  int levels;
  qds_level level[QDS_MULTIGRID_MAX_LEVELS];
  qds_multigrid_handle handle[QDS_MULTIGRID_MAX_LEVELS];
  int teams, team_size;                   /* of threads that each work on a vector of their own */
  qds_multigrid_workspace *workspace;     /* teams */
  double *coarse_vectors, *coarse_values; /* eigenpairs of the coarsest level */
  float *coarse_inverse;                  /* with the shift in force */
};

/* Coefficients of a level before they are scaled: c[a] per edge of axis a and unknown across, or per
 * edge; v. */
typedef struct {
  double *c[3], *v;
} qds_level_coefficients;

/* The smoother: the Chebyshev polynomial of the fourth kind, degree 2. The second step mixes the first with
 * the new residual. */
static const float qds_first_step = 4.0f / 3, qds_second_step = 12.0f / 5, qds_second_memory = 1.0f / 5;
/* The shift leaves this part of the couplings on the diagonal, which bounds the smoother's spectrum by 1 +
 * 1/part. */
static const double qds_least_dominance = 0.5;

void qds_level_coefficients_clear(qds_level_coefficients *coefficients);
/* The axes of level 0 from the operator. */
qds_status qds_level_axes_from_operator(qds_context *ctx, const qds_tensor_operator *fine, qds_level *level);
/* The same and the coefficients. */
qds_status qds_level_from_operator(qds_context *ctx, const qds_tensor_operator *fine, qds_level *level,
                                   qds_level_coefficients *coefficients);
/* Fills edges, masses and v from the axes and coefficients. */
qds_status qds_level_assemble(qds_context *ctx, qds_level *level, const qds_level_coefficients *coefficients);
/* Its potential alone, and that of the next coarser level, which the caller releases. */
qds_status qds_level_set_potential(qds_context *ctx, qds_level *level, const double *v);
qds_status qds_level_coarsen_potential(qds_context *ctx, const qds_level *fine, const qds_level *coarse,
                                       const double *v, double **coarse_v);
/* Masses in single precision, and their roots: the level is self-adjoint with respect to the masses that it
 * uses, to the last bit. */
qds_status qds_level_round_masses(qds_context *ctx, qds_level *level, int axis, int is_point);
/* How strongly axis a couples, from the mean of its coefficient; 0 when it cannot be coarsened. */
double qds_level_coupling(const qds_level *level, int axis, double mean);
/* The next coarser level's axes and `fine`'s transfers to it. *coarsened is 0 when no axis can be. */
qds_status qds_level_coarsen_axes(qds_context *ctx, qds_level *fine, const double coupling[3],
                                  qds_level *coarse, int *coarsened);
/* The next coarser level's axes and coefficients, and `fine`'s transfers to it. *coarsened is 0 when no axis
 * can be. */
qds_status qds_level_coarsen(qds_context *ctx, qds_level *fine, const qds_level_coefficients *coefficients,
                             qds_level *coarse, qds_level_coefficients *coarse_coefficients, int *coarsened);
void qds_level_clear(qds_level *level);
/* The factor between a scaled unknown and psi, for the line (i, j) of a level but for the last
 * axis's root. */
static inline double qds_level_line_scale(const qds_level *level, int64_t i, int64_t j) {
  return level->root[0][i] * level->root[1][j];
}

/* As qds_multigrid_place's, on the host. */
qds_status qds_multigrid_host_cycle(void *self, qds_context *ctx, const qds_block *x, qds_block *y);

#endif

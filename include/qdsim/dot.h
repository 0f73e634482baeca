/* Quantum-dot devices: describe, check, solve, read the result.
 *
 * A device comes from a YAML file or from arrays. Units: nm, eV, electron masses. Axes are x, y, z; arrays
 * have the last axis contiguous, all nodes of the grid, ends included. */
#ifndef QDSIM_DOT_H
#define QDSIM_DOT_H

#include "qdsim/context.h"
#include "qdsim/grid.h"
#include "qdsim/material.h"
#include "qdsim/memory.h"
#include "qdsim/text.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct qds_device qds_device;
typedef struct qds_result qds_result;

/* Reads and checks a device file. `assignments` (NULL: none), NULL-terminated: "grid.x.nodes=201". Relative
 * paths in the file (.npy arrays) are relative to the file. Errors: FILE, INPUT (file, line, key, value, what
 * is allowed), MEMORY, BUDGET. The device belongs to the context and must be destroyed before it. */
QDS_API qds_status qds_device_read(qds_context *ctx, const char *path, const char *const *assignments,
                                   qds_device **out);
/* The same from text; `name` stands for the file in messages. */
QDS_API qds_status qds_device_parse(qds_context *ctx, const char *name, const char *text,
                                    const char *const *assignments, qds_device **out);
QDS_API void qds_device_destroy(qds_device *device);

/* A device given by arrays, for those who bring their own potential. */
typedef struct {
  size_t struct_size;
  int dimension;                   /* 1 to 3 */
  int64_t nodes[3];                /* per axis, both ends included */
  const double *coordinates_nm[3]; /* ascending; NULL: uniform with spacing_nm from 0 */
  double spacing_nm[3];
  const double *potential_eV;  /* one per node; copied */
  double mass;                 /* used where mass_map is NULL */
  const double *mass_map;      /* one per node, isotropic; copied; NULL: uniform */
  qds_boundary boundary[3][2]; /* per axis, low and high end */
  int order;                   /* 1 to 4; 0: 1 */
  int states;
  double tolerance_eV; /* 0: the default */
} qds_array_device;
#define QDS_ARRAY_DEVICE_INIT                                                                                \
  { .struct_size = sizeof(qds_array_device), .mass = 1.0, .order = 1, .states = 6 }
QDS_API qds_status qds_device_from_arrays(qds_context *ctx, const qds_array_device *arrays, qds_device **out);

/* What reading leaves to the solve: evaluates every formula and array at every node. INPUT: a value is no
 * finite number; the message says where. */
QDS_API qds_status qds_device_check(const qds_device *device);

/* What a device will cost. */
typedef struct {
  int dimension, order, states;
  int64_t nodes[3];
  int64_t unknowns;
  size_t memory_bytes; /* of the host at its peak, estimated: solving, then writing the fields */
  double seconds;      /* the time on this machine, estimated */
} qds_device_cost;
QDS_API qds_status qds_device_estimate(const qds_device *device, qds_device_cost *out);
/* Refuses, as qds_device_solve would, a solve whose memory does not fit. `file_bytes` is what passes the
 * memory limit and will lie in files. Errors: BUDGET. */
QDS_API qds_status qds_device_reserve(const qds_device *device, size_t *file_bytes);
QDS_API const char *qds_device_name(const qds_device *device);
/* The effective configuration, every default filled in, as YAML; owned by the device. */
QDS_API const char *qds_device_configuration(const qds_device *device);
/* Whether the file asks for a picture (output.plot, default true). */
QDS_API int qds_device_wants_plot(const qds_device *device);
/* Whether it asks for fields (output.fields, which has some by default). */
QDS_API int qds_device_wants_fields(const qds_device *device);

/* Solves for the lowest states. A solve that does not converge is QDS_ERROR_CONVERGENCE: no result. Reports
 * progress; stops on qds_context_interrupt. The result does not need the device any more. */
QDS_API qds_status qds_device_solve(qds_device *device, qds_result **out);
QDS_API void qds_result_destroy(qds_result *result);

QDS_API int qds_result_states(const qds_result *result);
QDS_API int qds_result_dimension(const qds_result *result);
/* Nodes per axis, ends included; 1 past the dimension. */
QDS_API const int64_t *qds_result_nodes(const qds_result *result);
/* The coordinates of an axis, nodes[axis] of them; owned by the result. */
QDS_API const double *qds_result_coordinates_nm(const qds_result *result, int axis);
/* The quadrature weight of each node of an axis, so that sum psi^2 wx wy wz = 1. */
QDS_API const double *qds_result_weights_nm(const qds_result *result, int axis);
/* Energies and residual norms ||H psi - E psi|| in eV, one per state, ascending for electrons and from the
 * band edge downwards for holes; owned by the result. */
QDS_API const double *qds_result_energies_eV(const qds_result *result);
QDS_API const double *qds_result_residuals_eV(const qds_result *result);
/* Of an open device, one per state, NULL for the others; owned by the result. The complex energy is
 * energy - i width/2 (for holes on their own scale), and the lifetime hbar / width: infinite where the width
 * cannot be told from 0, as for a bound state. The sensitivity is how far the complex energy moves when the
 * method's parameter does: 5 degrees more of complex scaling, or d E / d ln(strength) of an absorbing
 * potential. */
QDS_API const double *qds_result_widths_eV(const qds_result *result);
QDS_API const double *qds_result_lifetimes_s(const qds_result *result);
QDS_API const double *qds_result_sensitivities_eV(const qds_result *result);
QDS_API double qds_result_reference_eV(const qds_result *result);
/* Mean position and spread (standard deviation) of a state along each axis. */
QDS_API const double *qds_result_position_nm(const qds_result *result, int state);
QDS_API const double *qds_result_spread_nm(const qds_result *result, int state);
/* The probability of finding state `state` in material number `material`; names: NULL past the last. */
QDS_API const char *qds_result_material_name(const qds_result *result, int material);
QDS_API double qds_result_probability(const qds_result *result, int state, int material);
/* Whether wave functions are complex: in a magnetic field, and of open devices. Those of open devices are
 * normalised without a conjugate, psi^T M psi = 1 with the complex weights M of complex scaling; their
 * positions, spreads and probabilities belong to |psi|^2 on the grid. */
QDS_API int qds_result_is_complex(const qds_result *result);
/* The wave function on all nodes, in nm^(-dimension/2), real, normalised by the weights, its largest value
 * positive; owned by the result, in which the states follow each other. The first call for a state makes it,
 * and fetches it when it was found on a device, whose memory the result holds until its last state was asked
 * for or it is destroyed. NULL if the state does not exist or the wave functions are complex; or, with
 * qds_last_error, when there is no memory for it or the device fails, and another call may succeed. Any
 * thread. */
QDS_API const double *qds_result_psi(const qds_result *result, int state);
/* The same for complex wave functions: real and imaginary part of each node's value in turn. NULL if the
 * state does not exist or the wave functions are real, and as above. */
QDS_API const double *qds_result_psi_complex(const qds_result *result, int state);
/* The carrier's potential energy at the nodes on the scale of the band edges (for holes the valence edge);
 * owned by the result, made by the first call. NULL, with qds_last_error, when there is no memory for it. Any
 * thread. */
QDS_API const double *qds_result_band_edge_eV(const qds_result *result);
/* Of a device with electrostatics: the potential in V at the nodes, which the band edge and the energies
 * already contain as -phi; NULL for the others; owned by the result. */
QDS_API const double *qds_result_potential_V(const qds_result *result);
/* Of a self-consistent device: the density of electrons at the nodes; the electrons in each state, per cm^2
 * of a 1D device, per cm of a 2D device, as a number in 3D; NULL for the others; owned by the result. */
QDS_API const double *qds_result_electron_density_cm3(const qds_result *result);
QDS_API const double *qds_result_occupations(const qds_result *result);
/* The Fermi level on the scale of the energies; NaN when the device is not self-consistent. */
QDS_API double qds_result_fermi_level_eV(const qds_result *result);
/* The material's number per cell (nodes-1 along each axis, C order), by its middle; as the band edge. */
QDS_API const unsigned char *qds_result_materials(const qds_result *result);

/* Work and time of the solve. */
typedef struct {
  int iterations;                /* on the finest grid */
  int64_t operator_applications; /* vectors that H was applied to, on the finest grid */
  int64_t preconditioner_applications;
  /* One after the other: geometry, coefficients and coarse levels; the search; the check; what is measured on
   * the states, psi itself not included. total_s is theirs and what little lies between. */
  double setup_s, solve_s, verify_s, measure_s, total_s;
  double operator_s, preconditioner_s, algebra_s;
  const char *preconditioner;       /* "multigrid" or "fast diagonalisation" */
  const char *verification;         /* how it was checked that no level was missed */
  int levels_found_by_verification; /* states that only the check found; they are in the result */
} qds_result_statistics;
QDS_API void qds_result_get_statistics(const qds_result *result, qds_result_statistics *out);
/* Where it was solved, "cpu" or "cuda:0"; and why on the CPU when that was not asked for, else "". */
QDS_API const char *qds_result_device(const qds_result *result);
QDS_API const char *qds_result_device_reason(const qds_result *result);
/* The same for the electrostatics: Poisson's equation and the density. NULL where the device has none. */
QDS_API const char *qds_result_electrostatics_device(const qds_result *result);
QDS_API const char *qds_result_electrostatics_device_reason(const qds_result *result);

/* The result as JSON (the file format of docs/result.md); `output_s` is the time spent writing so far. Free
 * the text with qds_text_destroy. */
QDS_API qds_status qds_result_json(const qds_result *result, double output_s, char **out);
/* The same with what qds_memory_report tells of the context's memory, under the key "memory_report". */
QDS_API qds_status qds_result_json_with_memory(const qds_result *result, double output_s, char **out);
/* Writes FOLDER/NAME.json and, if the device asks for fields, FOLDER/NAME.vtkhdf, whole or not at all; makes
 * the folder. NAME is the device file's name without its suffix. */
QDS_API qds_status qds_result_write(const qds_result *result, const char *folder);
/* The same with the timeline of the memory: as the group /memory_profile of FOLDER/NAME.vtkhdf, or of
 * FOLDER/NAME.memory.h5 if the device asks for no fields; qds_memory_profile_write says how it is laid out.
 * The profile is stopped when all else is written, so that it shows the writing too; an error may leave it
 * running. Where a file cannot be written with the timeline, the results are written without it, and the
 * error, FILE, says so. NULL: no timeline. */
QDS_API qds_status qds_result_write_with_profile(const qds_result *result, const char *folder,
                                                 qds_memory_profile *profile);
/* The path qds_result_write gives to a suffix (".json", ".vtkhdf", ".png"); free with qds_text_destroy. */
QDS_API qds_status qds_result_path(const qds_result *result, const char *folder, const char *suffix,
                                   char **out);
/* The same before there is a result. */
QDS_API qds_status qds_device_result_path(const qds_device *device, const char *folder, const char *suffix,
                                          char **out);

#ifdef __cplusplus
}
#endif
#endif

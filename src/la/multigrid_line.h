/* One line of a level's operator: line = (diagonal - shift) u - the couplings to the neighbours. For float
 * vectors in the cycle and double vectors on the levels where start vectors are sought; the coefficients are
 * floats for both. */
#ifndef QDS_LA_MULTIGRID_LINE_H
#define QDS_LA_MULTIGRID_LINE_H

#include "la/multigrid_internal.h"

#define QDS_DEFINE_LEVEL_LINE(NAME, REAL)                                                                    \
  /* line -= edge * neighbour; edge is one number or one per entry */                                        \
  __attribute__((always_inline)) static inline void NAME##_couple(int64_t n, REAL *restrict line,            \
                                                                  const float *restrict edge, int is_number, \
                                                                  const REAL *restrict neighbour) {          \
    if (is_number) {                                                                                         \
      const float weight = *edge;                                                                            \
      for (int64_t k = 0; k < n; k++) line[k] -= weight * neighbour[k];                                      \
    } else {                                                                                                 \
      for (int64_t k = 0; k < n; k++) line[k] -= edge[k] * neighbour[k];                                     \
    }                                                                                                        \
  }                                                                                                          \
  /* both neighbours of the line along axis a = 0 or 1 */                                                    \
  __attribute__((always_inline)) static inline void NAME##_across(                                           \
      const qds_level *level, int a, int64_t own, int64_t at, const REAL *u, REAL *line) {                   \
    const int64_t n = level->n[2], size = level->n[a], stride = a == 0 ? level->n[1] * n : n;                \
    const int number = level->by_element[a], periodic = level->axis[a].periodic;                             \
    const float *edge = number ? level->edge[a] + own : level->edge[a] + at;                                 \
    const int64_t edge_stride = number ? 1 : stride;                                                         \
    const int64_t down = own > 0 ? -1 : size - 1, up = own < size - 1 ? 1 : 1 - size;                        \
    if (own > 0 || periodic)                                                                                 \
      NAME##_couple(n, line, edge + down * edge_stride, number, u + at + down * stride);                     \
    if (own < size - 1 || periodic) NAME##_couple(n, line, edge, number, u + at + up * stride);              \
  }                                                                                                          \
  __attribute__((always_inline)) static inline void NAME(const qds_level *level, float shift, int64_t i,     \
                                                         int64_t j, const REAL *u, REAL *restrict line) {    \
    const int64_t n = level->n[2], at = (i * level->n[1] + j) * n;                                           \
    const float *restrict d = level->diagonal + at;                                                          \
    const REAL *restrict v = u + at;                                                                         \
    for (int64_t k = 0; k < n; k++) line[k] = (d[k] - shift) * v[k];                                         \
    if (level->edge[2]) {                                                                                    \
      const float *restrict edge = level->edge[2] + (level->by_element[2] ? 0 : at);                         \
      for (int64_t k = 0; k < n - 1; k++) line[k] -= edge[k] * v[k + 1];                                     \
      for (int64_t k = 1; k < n; k++) line[k] -= edge[k - 1] * v[k - 1];                                     \
      if (level->axis[2].periodic) {                                                                         \
        line[0] -= edge[n - 1] * v[n - 1];                                                                   \
        line[n - 1] -= edge[n - 1] * v[0];                                                                   \
      }                                                                                                      \
    }                                                                                                        \
    if (level->edge[1]) NAME##_across(level, 1, j, at, u, line);                                             \
    if (level->edge[0]) NAME##_across(level, 0, i, at, u, line);                                             \
  }

#endif

/* One line of a level's operator, and its diagonal. For float vectors of values psi in the cycle, and double
 * vectors of scaled unknowns (SCALED) on the levels where start vectors are sought: a neighbour then counts
 * with the ratio of the roots of the masses. The coefficients are floats for both, and their products are not
 * rounded to floats in the second case, which would break the symmetry. */
#ifndef QDS_LA_MULTIGRID_LINE_H
#define QDS_LA_MULTIGRID_LINE_H

#include "la/multigrid_internal.h"

#define QDS_LEVEL_INLINE __attribute__((always_inline, unused)) static inline

#define QDS_DEFINE_LEVEL_LINE(NAME, REAL, SCALED)                                                            \
  /* line += factor * edge * (u - other), diagonal (may be NULL) += factor * edge; edge is one number or one \
   * per entry, other is NULL behind a Dirichlet end */                                                      \
  QDS_LEVEL_INLINE void NAME##_edge(int64_t n, float factor, const float *restrict edge, int is_number,      \
                                    const REAL *restrict u, const REAL *restrict other, REAL ratio,          \
                                    REAL *restrict line, REAL *restrict diagonal) {                          \
    const REAL number = is_number ? (REAL)factor * *edge : 0;                                                \
    for (int64_t k = 0; k < n; k++) {                                                                        \
      const REAL weight = is_number ? number : (REAL)factor * edge[k];                                       \
      line[k] += weight * (other ? u[k] - ratio * other[k] : u[k]);                                          \
      if (diagonal) diagonal[k] += weight;                                                                   \
    }                                                                                                        \
  }                                                                                                          \
  /* both edges of the line along axis a = 0 or 1; edge_at(e) is where the line's part of edge e starts */   \
  QDS_LEVEL_INLINE void NAME##_across(const qds_level *level, int a, int64_t i, int64_t j, const REAL *u,    \
                                      REAL *line, REAL *diagonal) {                                          \
    const qds_level_axis *axis = &level->axis[a];                                                            \
    const int64_t n = level->n[2], size = level->n[a], stride = a == 0 ? level->n[1] * n : n;                \
    const int64_t own = a == 0 ? i : j, edges = axis->nodes - 1, at = (i * level->n[1] + j) * n;             \
    for (int side = 0; side < 2; side++) {                                                                   \
      int64_t e = own + axis->first - 1 + side, next = own - 1 + 2 * side;                                   \
      if (axis->periodic) e = (e + edges) % edges, next = (next + size) % size;                              \
      if (e < 0 || e >= edges) continue;                                                                     \
      const REAL *other = next < 0 || next >= size ? NULL : u + at + (next - own) * stride;                  \
      const int64_t start = a == 0 ? (e * level->n[1] + j) * n : (i * edges + e) * n;                        \
      NAME##_edge(n, level->inverse_mass[a][own], level->edge[a] + (level->by_element[a] ? e : start),       \
                  level->by_element[a], u + at, other,                                                       \
                  SCALED && other ? (REAL)(level->root[a][own] * level->inverse_root[a][next]) : 1, line,    \
                  diagonal);                                                                                 \
    }                                                                                                        \
  }                                                                                                          \
  QDS_LEVEL_INLINE void NAME##_along(const qds_level *level, const float *restrict edge,                     \
                                     const REAL *restrict u, REAL *restrict line, REAL *restrict diagonal) { \
    const qds_level_axis *axis = &level->axis[2];                                                            \
    const float *restrict inverse = level->inverse_mass[2], *restrict high = edge + axis->first;             \
    const int64_t n = level->n[2], edges = axis->nodes - 1;                                                  \
    const double *restrict root = level->root[2], *restrict rest = level->inverse_root[2];                   \
    for (int64_t k = 1; k < n - 1; k++) {                                                                    \
      const REAL below = SCALED ? (REAL)(root[k] * rest[k - 1]) * u[k - 1] : u[k - 1];                       \
      const REAL above = SCALED ? (REAL)(root[k] * rest[k + 1]) * u[k + 1] : u[k + 1];                       \
      line[k] += inverse[k] * (high[k - 1] * (u[k] - below) + high[k] * (u[k] - above));                     \
      if (diagonal) diagonal[k] += inverse[k] * (high[k - 1] + high[k]);                                     \
    }                                                                                                        \
    for (int64_t k = 0; k<n; k += n> 1 ? n - 1 : 1)                                                          \
      for (int side = 0; side < 2; side++) {                                                                 \
        int64_t e = k + axis->first - 1 + side, next = k - 1 + 2 * side;                                     \
        if (axis->periodic) e = (e + edges) % edges, next = (next + n) % n;                                  \
        if (e < 0 || e >= edges) continue;                                                                   \
        const REAL other = next < 0 || next >= n ? 0                                                         \
                           : SCALED              ? (REAL)(root[k] * rest[next]) * u[next]                    \
                                                 : u[next];                                                               \
        line[k] += (REAL)inverse[k] * edge[e] * (u[k] - other);                                              \
        if (diagonal) diagonal[k] += inverse[k] * edge[e];                                                   \
      }                                                                                                      \
  }                                                                                                          \
  /* line = (A - shift) u for the line (i, j), and its diagonal unless that is NULL */                       \
  QDS_LEVEL_INLINE void NAME(const qds_level *level, float shift, int64_t i, int64_t j, const REAL *u,       \
                             REAL *restrict line, REAL *restrict diagonal) {                                 \
    const int64_t n = level->n[2], at = (i * level->n[1] + j) * n;                                           \
    const float *restrict v = level->v + at;                                                                 \
    for (int64_t k = 0; k < n; k++) {                                                                        \
      if (diagonal) diagonal[k] = v[k] - shift;                                                              \
      line[k] = (v[k] - shift) * u[at + k];                                                                  \
    }                                                                                                        \
    if (level->edge[2]) {                                                                                    \
      const int64_t edges = level->axis[2].nodes - 1;                                                        \
      NAME##_along(level, level->edge[2] + (level->by_element[2] ? 0 : (i * level->n[1] + j) * edges),       \
                   u + at, line, diagonal);                                                                  \
    }                                                                                                        \
    if (level->edge[1]) NAME##_across(level, 1, i, j, u, line, diagonal);                                    \
    if (level->edge[0]) NAME##_across(level, 0, i, j, u, line, diagonal);                                    \
  }

#endif

/* One box that surfaces cut: pieces between flat faces, lines through the pieces, changes of material on the
 * lines. */
#include "dot/average_parts.h"

#include <float.h>
#include <math.h>
#include <string.h>

/* Gauss-Legendre points and weights on 0 .. 1 (Abramowitz, Stegun, table 25.4). */
enum { POINTS = 4 };
static const double gauss_point[POINTS] = {0.06943184420297371, 0.33000947820757187, 0.6699905217924281,
                                           0.9305681557970263};
static const double gauss_weight[POINTS] = {0.17392742256872693, 0.32607257743127307, 0.32607257743127307,
                                            0.17392742256872693};

/* ---- lines ---- */

/* A segment of a line parallel to an axis; point[axis] is set by whoever looks. */
typedef struct {
  qds_walker *walker;
  int axis;
  double point[3];
} line_search;

static double level_at(line_search *search, int region, double x) {
  const qds_box_grid *grid = search->walker->grid;
  search->point[search->axis] = x;
  return qds_shape_level(grid->medium->regions[region].shape, search->point + grid->absent);
}

/* The zero of the level between two ends of different sign: false position with the Illinois rule (Dowell,
 * Jarratt, BIT 11 (1971) 168), and bisection should that be slow. */
static double find_surface(line_search *search, int region, double from, double to, double level_from,
                           double level_to) {
  enum { FALSE_POSITION = 30, MOST = 100 };
  const double tolerance = 2 * DBL_EPSILON * fmax(fabs(from), fabs(to));
  int kept = 0; /* the end that the last step kept: -1 from, 1 to */
  for (int i = 0; i < MOST && to - from > tolerance; i++) {
    const double secant = from - level_from * (to - from) / (level_to - level_from);
    const double x = i < FALSE_POSITION && secant > from && secant < to ? secant : 0.5 * (from + to);
    const double level = level_at(search, region, x);
    if (fabs(level) <= 0.5 * tolerance) return x;
    if ((level < 0) == (level_to < 0)) {
      to = x;
      level_to = level;
      if (kept == -1) level_from *= 0.5;
      kept = -1;
    } else {
      from = x;
      level_from = level;
      if (kept == 1) level_to *= 0.5;
      kept = 1;
    }
  }
  return 0.5 * (from + to);
}

/* The list with its entry number i decided: inside, its material hides the earlier ones; outside, it drops
 * out. */
static qds_candidates decide(const qds_box_grid *grid, const qds_candidates *list, size_t i, int inside) {
  qds_candidates decided = {list->base, i, list->regions + list->count};
  memcpy(decided.regions, list->regions, i * sizeof *list->regions);
  if (inside) {
    decided.base = grid->medium->regions[list->regions[i]].material;
  } else {
    decided.count = list->count - 1;
    memcpy(decided.regions + i, list->regions + i + 1, (list->count - 1 - i) * sizeof *list->regions);
  }
  return decided;
}

static int material_on_line(line_search *search, const qds_candidates *candidates, double x) {
  for (size_t i = 0; i < candidates->count; i++)
    if (level_at(search, candidates->regions[i], x) <= 0)
      return search->walker->grid->medium->regions[candidates->regions[i]].material;
  return candidates->base;
}

/* Adds the lengths of the materials between two points of the line. */
static void search_segment(line_search *search, const qds_candidates *outer, double from, double to,
                           int depth) {
  qds_walker *walker = search->walker;
  double low[3], high[3];
  memcpy(low, search->point, sizeof low);
  memcpy(high, search->point, sizeof high);
  low[search->axis] = from;
  high[search->axis] = to;
  const qds_candidates candidates = qds_candidates_within(walker->grid, outer, low, high);
  if (candidates.count == 0 || depth == QDS_LINE_DEPTH) {
    walker->line[material_on_line(search, &candidates, 0.5 * (from + to))] += to - from;
    return;
  }
  for (size_t i = 0; i < candidates.count; i++) {
    const int region = candidates.regions[i];
    const double level_from = level_at(search, region, from), level_to = level_at(search, region, to);
    if ((level_from < 0) == (level_to < 0)) continue;
    const double x = find_surface(search, region, from, to, level_from, level_to);
    const qds_candidates before = decide(walker->grid, &candidates, i, level_from < 0);
    search_segment(search, &before, from, x, depth + 1);
    const qds_candidates after = decide(walker->grid, &candidates, i, level_to < 0);
    search_segment(search, &after, x, to, depth + 1);
    return;
  }
  search_segment(search, &candidates, from, 0.5 * (from + to), depth + 1);
  search_segment(search, &candidates, 0.5 * (from + to), to, depth + 1);
}

/* ---- pieces ---- */

/* Sets the walker's cuts along an axis: the ends of the box and the flat faces between them, ascending. */
static void cut_axis(qds_walker *walker, const qds_candidates *candidates, int axis, double low,
                     double high) {
  const qds_box_grid *grid = walker->grid;
  const double apart = 16 * DBL_EPSILON * fmax(fabs(low), fabs(high));
  double *cuts = walker->cuts[axis];
  size_t found = 0, last = 0;
  for (size_t i = 0; axis >= grid->absent && i < candidates->count; i++)
    found += qds_shape_breaks(grid->medium->regions[candidates->regions[i]].shape, axis - grid->absent,
                              cuts + 1 + found, walker->room[axis] - 1 - found);
  cuts[0] = low;
  for (size_t i = 1; i <= found; i++) {
    const double cut = cuts[i];
    size_t place = last + 1;
    if (!(cut > low + apart && cut < high - apart)) continue;
    while (cuts[place - 1] > cut) place--;
    if (cut - cuts[place - 1] <= apart || (place <= last && cuts[place] - cut <= apart)) continue;
    memmove(cuts + place + 1, cuts + place, (last + 1 - place) * sizeof *cuts);
    cuts[place] = cut;
    last++;
  }
  cuts[last + 1] = high;
  walker->pieces[axis] = last + 1;
}

/* Whether no surface passes through any of the pieces of a column of the box. */
static int column_is_uniform(const qds_walker *walker, const qds_candidates *candidates, int axis,
                             double low[3], double high[3]) {
  for (size_t k = 0; k < walker->pieces[axis]; k++) {
    low[axis] = walker->cuts[axis][k];
    high[axis] = walker->cuts[axis][k + 1];
    if (qds_candidates_within(walker->grid, candidates, low, high).count) return 0;
  }
  return 1;
}

/* ---- lines through a box ---- */

/* Takes the lengths of a finished line into the box's fractions, and returns its part of the mean along lines
 * (0 without values). */
static double finish_line(qds_walker *walker, double length, double weight, const double *values) {
  double series = 0;
  for (int m = 0; m < walker->grid->medium->materials; m++) {
    const double part = walker->line[m] / length;
    if (part == 0) continue;
    walker->line[m] = 0;
    walker->fraction[m] += weight * part;
    if (values) series += part / values[m];
  }
  return values ? weight / series : 0;
}

/* The lines through one column: through its middle if nothing changes across it, else through Gauss points.
 */
static double column_lines(qds_walker *walker, const qds_candidates *candidates, int axis, double low[3],
                           double high[3], double weight, const double *values) {
  const int u = (axis + 1) % 3, v = (axis + 2) % 3;
  const int uniform = column_is_uniform(walker, candidates, axis, low, high);
  const int points_u = uniform || u < walker->grid->absent ? 1 : POINTS;
  const int points_v = uniform || v < walker->grid->absent ? 1 : POINTS;
  const double *cuts = walker->cuts[axis];
  const size_t pieces = walker->pieces[axis];
  line_search search = {.walker = walker, .axis = axis};
  double mean = 0;
  for (int i = 0; i < points_u; i++)
    for (int j = 0; j < points_v; j++) {
      const double weight_u = points_u > 1 ? gauss_weight[i] : 1,
                   weight_v = points_v > 1 ? gauss_weight[j] : 1;
      search.point[u] = low[u] + (points_u > 1 ? gauss_point[i] : 0.5) * (high[u] - low[u]);
      search.point[v] = low[v] + (points_v > 1 ? gauss_point[j] : 0.5) * (high[v] - low[v]);
      for (size_t k = 0; k < pieces; k++) search_segment(&search, candidates, cuts[k], cuts[k + 1], 0);
      mean += finish_line(walker, cuts[pieces] - cuts[0], weight * weight_u * weight_v, values);
    }
  return mean;
}

static double box_lines(qds_walker *walker, const qds_candidates *candidates, const double low[3],
                        const double high[3], int axis, const double *values) {
  const int u = (axis + 1) % 3, v = (axis + 2) % 3;
  const size_t materials = (size_t)walker->grid->medium->materials;
  double mean = 0, column_low[3], column_high[3];
  memset(walker->line, 0, materials * sizeof *walker->line);
  memset(walker->fraction, 0, materials * sizeof *walker->fraction);
  for (int a = 0; a < 3; a++) cut_axis(walker, candidates, a, low[a], high[a]);
  for (size_t i = 0; i < walker->pieces[u]; i++)
    for (size_t j = 0; j < walker->pieces[v]; j++) {
      column_low[u] = walker->cuts[u][i];
      column_high[u] = walker->cuts[u][i + 1];
      column_low[v] = walker->cuts[v][j];
      column_high[v] = walker->cuts[v][j + 1];
      const double weight = (column_high[u] - column_low[u]) / (high[u] - low[u]) *
                            ((column_high[v] - column_low[v]) / (high[v] - low[v]));
      mean += column_lines(walker, candidates, axis, column_low, column_high, weight, values);
    }
  return mean;
}

/* The axis along which the latest surface is met most squarely, so that lines meet it once and smoothly. */
static int steepest_axis(const qds_walker *walker, const qds_candidates *candidates, const double low[3],
                         const double high[3]) {
  const int absent = walker->grid->absent;
  const qds_shape *shape = walker->grid->medium->regions[candidates->regions[0]].shape;
  double p[3], steepest = -1;
  int axis = 2;
  for (int a = 0; a < 3; a++) p[a] = 0.5 * (low[a] + high[a]);
  for (int a = absent; a < 3; a++) {
    const double middle = p[a];
    p[a] = high[a];
    const double above = qds_shape_level(shape, p + absent);
    p[a] = low[a];
    const double slope = fabs(above - qds_shape_level(shape, p + absent)) / (high[a] - low[a]);
    p[a] = middle;
    if (slope > steepest) {
      steepest = slope;
      axis = a;
    }
  }
  return axis;
}

void qds_cut_box(qds_walker *walker, const qds_candidates *candidates, const double low[3],
                 const double high[3]) {
  box_lines(walker, candidates, low, high, steepest_axis(walker, candidates, low, high), NULL);
}

double qds_cut_box_along(qds_walker *walker, const qds_candidates *candidates, const double low[3],
                         const double high[3], int along, const double *values) {
  return box_lines(walker, candidates, low, high, along, values);
}

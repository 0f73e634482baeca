/* One box that surfaces cut.
 *
 * Flat faces cut it into columns along an axis. In a column the mean over lines is an integral over the two
 * axes across; its integrand is smooth but for kinks where a surface leaves the column through one of its
 * sides. As in the hierarchical quadrature of Saye (SIAM J. Sci. Comput. 37 (2015) A993), the outer integral
 * is cut where surfaces cross the column's edges, the inner one where they cross its faces, and each part has
 * Gauss points of its own: exact for the volume under a plane, and without steps for surfaces parallel to the
 * lines. */
#include "dot/average_parts.h"

#include <math.h>
#include <string.h>

/* Gauss-Legendre points and weights on 0 .. 1 (Abramowitz, Stegun, table 25.4). */
enum { POINTS = 3 };
static const double gauss_point[POINTS] = {0.1127016653792583, 0.5, 0.8872983346207417};
static const double gauss_weight[POINTS] = {5.0 / 18, 8.0 / 18, 5.0 / 18};
static const double middle_point[1] = {0.5}, middle_weight[1] = {1.0};

enum { MOST_PARTS = 64 }; /* of an integral across; more are not told apart */

/* Faces and edges are looked at from a little inside, for shapes whose own faces lie there. */
static const double inset = 1e-6;

/* One box and its lines: along axis[0], the inner integral along axis[1], the outer along axis[2]. */
typedef struct {
  qds_walker *walker;
  const qds_candidates *candidates;
  int axis[3];
  qds_cuts pieces;        /* along axis[0] */
  double low[3], high[3]; /* of the column at hand */
  const double *values;
} box_task;

typedef struct {
  const double *points, *weights;
  int count;
} quadrature;

static quadrature rule_of(const box_task *task, int axis, int uniform) {
  if (uniform || axis < task->walker->grid->absent) return (quadrature){middle_point, middle_weight, 1};
  return (quadrature){gauss_point, gauss_weight, POINTS};
}

/* ---- flat faces ---- */

qds_cuts qds_flat_pieces(qds_walker *walker, const qds_candidates *candidates, int axis, double low,
                         double high) {
  const qds_box_grid *grid = walker->grid;
  qds_cuts cuts;
  qds_cuts_start(&cuts, walker->faces[axis], walker->room[axis], low, high);
  for (size_t i = 0; axis >= grid->absent && i < candidates->count; i++) {
    const qds_shape *shape = grid->medium->regions[candidates->regions[i]].shape;
    const size_t count = qds_shape_breaks(shape, axis - grid->absent, walker->breaks, walker->breaks_room);
    for (size_t k = 0; k < count; k++) qds_cuts_add(&cuts, walker->breaks[k]);
  }
  return cuts;
}

/* Whether no surface passes through any piece of the column. */
static int column_is_uniform(const box_task *task) {
  double low[3], high[3];
  memcpy(low, task->low, sizeof low);
  memcpy(high, task->high, sizeof high);
  for (size_t k = 0; k < task->pieces.count; k++) {
    low[task->axis[0]] = task->pieces.nm[k];
    high[task->axis[0]] = task->pieces.nm[k + 1];
    if (qds_candidates_within(task->walker->grid, task->candidates, low, high).count) return 0;
  }
  return 1;
}

/* ---- lines ---- */

/* Cuts where surfaces cross the lines along task->axis[number] at both ends of each piece,
 * through `point`. */
static void cut_at_surfaces(const box_task *task, int number, const double point[3], qds_cuts *cuts) {
  const int along = task->axis[0], axis = task->axis[number];
  for (size_t k = 0; k < task->pieces.count; k++) {
    const double from = task->pieces.nm[k], to = task->pieces.nm[k + 1];
    for (int end = 0; end < 2; end++) {
      qds_line line = {.walker = task->walker, .axis = axis, .changes = cuts, .material = -1};
      memcpy(line.point, point, sizeof line.point);
      line.point[along] = from + (end ? 1 - inset : inset) * (to - from);
      qds_line_follow(&line, task->candidates, task->low[axis], task->high[axis]);
    }
  }
}

/* Takes the lengths of a finished line into the box's fractions, and returns its part of the mean along
 * lines. */
static double finish_line(const box_task *task, double length, double weight) {
  qds_walker *walker = task->walker;
  double series = 0;
  for (int m = 0; m < walker->grid->medium->materials; m++) {
    const double part = walker->line[m] / length;
    if (part == 0) continue;
    walker->line[m] = 0;
    walker->fraction[m] += weight * part;
    if (task->values) series += part / task->values[m];
  }
  return task->values ? weight / series : 0;
}

static double one_line(const box_task *task, const double point[3], double weight) {
  const double *cuts = task->pieces.nm;
  const size_t pieces = task->pieces.count;
  qds_line line = {
      .walker = task->walker, .axis = task->axis[0], .lengths = task->walker->line, .material = -1};
  memcpy(line.point, point, sizeof line.point);
  for (size_t k = 0; k < pieces; k++) qds_line_follow(&line, task->candidates, cuts[k], cuts[k + 1]);
  return finish_line(task, cuts[pieces] - cuts[0], weight);
}

/* The inner integral: point[axis[2]] is set. */
static double sheet_of_lines(const box_task *task, double point[3], int uniform, double weight) {
  const int axis = task->axis[1];
  const double low = task->low[axis], high = task->high[axis];
  const quadrature rule = rule_of(task, axis, uniform);
  double nm[MOST_PARTS + 1], mean = 0;
  qds_cuts parts;
  qds_cuts_start(&parts, nm, MOST_PARTS + 1, low, high);
  if (rule.count > 1) cut_at_surfaces(task, 1, point, &parts);
  for (size_t i = 0; i < parts.count; i++)
    for (int g = 0; g < rule.count; g++) {
      point[axis] = nm[i] + rule.points[g] * (nm[i + 1] - nm[i]);
      mean += one_line(task, point, weight * rule.weights[g] * (nm[i + 1] - nm[i]) / (high - low));
    }
  return mean;
}

/* The outer integral. */
static double column_of_lines(const box_task *task, double weight) {
  const int inner = task->axis[1], axis = task->axis[2], uniform = column_is_uniform(task);
  const double low = task->low[axis], high = task->high[axis];
  const quadrature rule = rule_of(task, axis, uniform);
  double nm[MOST_PARTS + 1], point[3] = {0}, mean = 0;
  qds_cuts parts;
  qds_cuts_start(&parts, nm, MOST_PARTS + 1, low, high);
  for (int end = 0; rule.count > 1 && end < 2; end++) {
    point[inner] = task->low[inner] + (end ? 1 - inset : inset) * (task->high[inner] - task->low[inner]);
    cut_at_surfaces(task, 2, point, &parts);
  }
  for (size_t i = 0; i < parts.count; i++)
    for (int g = 0; g < rule.count; g++) {
      point[axis] = nm[i] + rule.points[g] * (nm[i + 1] - nm[i]);
      mean +=
          sheet_of_lines(task, point, uniform, weight * rule.weights[g] * (nm[i + 1] - nm[i]) / (high - low));
    }
  return mean;
}

/* ---- the box ---- */

/* Orders the axes by how squarely they meet the latest surface, so that lines meet it once and smoothly;
 * `along` goes first when it is not -1, absent axes go last. */
static void choose_axes(const qds_walker *walker, const qds_candidates *candidates, const double low[3],
                        const double high[3], int along, int axis[3]) {
  const int absent = walker->grid->absent;
  const qds_shape *shape = walker->grid->medium->regions[candidates->regions[0]].shape;
  double p[3], slope[3] = {-1, -1, -1};
  for (int a = 0; a < 3; a++) p[a] = 0.5 * (low[a] + high[a]);
  for (int a = absent; a < 3; a++) {
    const double middle = p[a];
    p[a] = high[a];
    const double above = qds_shape_level(shape, p + absent);
    p[a] = low[a];
    slope[a] = fabs(above - qds_shape_level(shape, p + absent)) / (high[a] - low[a]);
    p[a] = middle;
  }
  if (along >= 0) slope[along] = (double)INFINITY;
  for (int a = 0; a < 3; a++) {
    int place = a;
    for (; place > 0 && slope[axis[place - 1]] < slope[a]; place--) axis[place] = axis[place - 1];
    axis[place] = a;
  }
}

double qds_cut_box(qds_walker *walker, const qds_candidates *candidates, const double low[3],
                   const double high[3], int along, const double *values) {
  const size_t materials = (size_t)walker->grid->medium->materials;
  box_task task = {.walker = walker, .candidates = candidates, .values = values};
  double mean = 0;
  memset(walker->line, 0, materials * sizeof *walker->line);
  memset(walker->fraction, 0, materials * sizeof *walker->fraction);
  choose_axes(walker, candidates, low, high, along, task.axis);
  const int u = task.axis[1], v = task.axis[2];
  task.pieces = qds_flat_pieces(walker, candidates, task.axis[0], low[task.axis[0]], high[task.axis[0]]);
  const qds_cuts inner = qds_flat_pieces(walker, candidates, u, low[u], high[u]);
  const qds_cuts outer = qds_flat_pieces(walker, candidates, v, low[v], high[v]);
  memcpy(task.low, low, sizeof task.low);
  memcpy(task.high, high, sizeof task.high);
  for (size_t i = 0; i < inner.count; i++)
    for (size_t j = 0; j < outer.count; j++) {
      task.low[u] = inner.nm[i];
      task.high[u] = inner.nm[i + 1];
      task.low[v] = outer.nm[j];
      task.high[v] = outer.nm[j + 1];
      mean += column_of_lines(&task, (task.high[u] - task.low[u]) / (high[u] - low[u]) *
                                         ((task.high[v] - task.low[v]) / (high[v] - low[v])));
    }
  return mean;
}

/* Following one line: where surfaces cross it, to rounding. */
#include "dot/average_parts.h"

#include <float.h>
#include <math.h>
#include <string.h>

void qds_cuts_start(qds_cuts *cuts, double *nm, size_t room, double low, double high) {
  *cuts = (qds_cuts){nm, room, 1};
  nm[0] = low;
  nm[1] = high;
}

void qds_cuts_add(qds_cuts *cuts, double nm) {
  double *bounds = cuts->nm;
  size_t place = cuts->count;
  const double apart = 16 * DBL_EPSILON * fmax(fabs(bounds[0]), fabs(bounds[cuts->count]));
  if (!(nm > bounds[0] && nm < bounds[cuts->count]) || cuts->count + 2 > cuts->room) return;
  while (bounds[place - 1] > nm) place--;
  if (nm - bounds[place - 1] <= apart || bounds[place] - nm <= apart) return;
  memmove(bounds + place + 1, bounds + place, (cuts->count + 1 - place) * sizeof *bounds);
  bounds[place] = nm;
  cuts->count++;
}

static double level_at(qds_line *line, int region, double x) {
  const qds_box_grid *grid = line->walker->grid;
  line->point[line->axis] = x;
  return qds_shape_level(grid->medium->regions[region].shape, line->point + grid->absent);
}

/* The zero of the level between two ends of different sign: false position with the Illinois rule (Dowell,
 * Jarratt, BIT 11 (1971) 168), and bisection should that be slow. */
static double find_surface(qds_line *line, int region, double from, double to, double level_from,
                           double level_to) {
  enum { FALSE_POSITION = 30, MOST = 100 };
  const double tolerance = 2 * DBL_EPSILON * fmax(fabs(from), fabs(to));
  int kept = 0; /* the end that the last step kept: -1 from, 1 to */
  for (int i = 0; i < MOST && to - from > tolerance; i++) {
    const double secant = from - level_from * (to - from) / (level_to - level_from);
    const double x = i < FALSE_POSITION && secant > from && secant < to ? secant : 0.5 * (from + to);
    const double level = level_at(line, region, x);
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

static int material_on_line(qds_line *line, const qds_candidates *candidates, double x) {
  for (size_t i = 0; i < candidates->count; i++)
    if (level_at(line, candidates->regions[i], x) <= 0)
      return line->walker->grid->medium->regions[candidates->regions[i]].material;
  return candidates->base;
}

static void found(qds_line *line, int material, double from, double to) {
  if (line->lengths) line->lengths[material] += to - from;
  if (line->changes && line->material >= 0 && material != line->material) qds_cuts_add(line->changes, from);
  line->material = material;
}

static void follow(qds_line *line, const qds_candidates *outer, double from, double to, int depth) {
  const qds_box_grid *grid = line->walker->grid;
  double low[3], high[3];
  if (outer->count == 0) {
    found(line, outer->base, from, to);
    return;
  }
  memcpy(low, line->point, sizeof low);
  memcpy(high, line->point, sizeof high);
  low[line->axis] = from;
  high[line->axis] = to;
  const qds_candidates candidates = qds_candidates_within(grid, outer, low, high);
  if (candidates.count == 0 || depth == QDS_LINE_DEPTH) {
    found(line, material_on_line(line, &candidates, 0.5 * (from + to)), from, to);
    return;
  }
  for (size_t i = 0; i < candidates.count; i++) {
    const int region = candidates.regions[i];
    const double level_from = level_at(line, region, from), level_to = level_at(line, region, to);
    if ((level_from < 0) == (level_to < 0)) continue;
    const double x = find_surface(line, region, from, to, level_from, level_to);
    const qds_candidates before = decide(grid, &candidates, i, level_from < 0);
    follow(line, &before, from, x, depth + 1);
    const qds_candidates after = decide(grid, &candidates, i, level_to < 0);
    follow(line, &after, x, to, depth + 1);
    return;
  }
  follow(line, &candidates, from, 0.5 * (from + to), depth + 1);
  follow(line, &candidates, 0.5 * (from + to), to, depth + 1);
}

void qds_line_follow(qds_line *line, const qds_candidates *candidates, double from, double to) {
  follow(line, candidates, from, to, 0);
}

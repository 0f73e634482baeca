/* The walk over a grid: blocks of boxes are halved until no surface passes through them, or one box
 * is left. */
#include "dot/average_parts.h"

#include <float.h>
#include <math.h>
#include <omp.h>

enum {
  TILES_PER_AXIS = 16,
  SMALLEST_TILE = 8,
  PARALLEL_BOXES = 16384, /* fewer boxes are not worth a second thread */
  DEPTH = 3 * 64          /* of halving blocks: the bits of their counts */
};

qds_candidates qds_candidates_within(const qds_box_grid *grid, const qds_candidates *outer,
                                     const double low[3], const double high[3]) {
  const qds_medium_region *regions = grid->medium->regions;
  qds_candidates inner = {outer->base, 0, outer->regions + outer->count};
  double centre[3], half[3], largest = 0;
  for (int a = grid->absent; a < 3; a++) {
    centre[a] = 0.5 * (low[a] + high[a]);
    half[a] = 0.5 * (high[a] - low[a]);
    largest = fmax(largest, fmax(fabs(low[a]), fabs(high[a])));
  }
  /* A face that touches the box comes out at a level of rounding errors. */
  const double slack = 8 * DBL_EPSILON * largest;
  for (size_t i = 0; i < outer->count; i++) {
    const qds_medium_region *region = &regions[outer->regions[i]];
    const qds_range range = qds_shape_range(region->shape, centre + grid->absent, half + grid->absent);
    if (range.low >= -slack) continue;
    if (range.high <= slack) {
      inner.base = region->material;
      break;
    }
    inner.regions[inner.count++] = outer->regions[i];
  }
  while (inner.count && regions[inner.regions[inner.count - 1]].material == inner.base) inner.count--;
  return inner;
}

static void walk(qds_walker *walker, const qds_box_sink *sink, int64_t tile, const qds_candidates *outer,
                 const qds_box_range *range) {
  double low[3], high[3];
  int longest = -1;
  qds_box_corners(walker->grid, range, low, high);
  const qds_candidates candidates = qds_candidates_within(walker->grid, outer, low, high);
  if (candidates.count == 0) {
    sink->uniform(sink->self, tile, range, candidates.base);
    return;
  }
  for (int a = 0; a < 3; a++)
    if (range->count[a] > 1 && (longest < 0 || high[a] - low[a] > high[longest] - low[longest])) longest = a;
  if (longest < 0) {
    sink->cut(sink->self, tile, walker, &candidates, range);
    return;
  }
  qds_box_range part = *range;
  part.count[longest] = range->count[longest] / 2;
  walk(walker, sink, tile, &candidates, &part);
  part.first[longest] += part.count[longest];
  part.count[longest] = range->count[longest] - part.count[longest];
  walk(walker, sink, tile, &candidates, &part);
}

/* ---- tiles ---- */

static int64_t tile_length(const qds_box_grid *grid, int axis) {
  const int64_t length = (grid->axis[axis].count + TILES_PER_AXIS - 1) / TILES_PER_AXIS;
  return length < SMALLEST_TILE ? SMALLEST_TILE : length;
}

static int64_t tiles_along(const qds_box_grid *grid, int axis) {
  const int64_t length = tile_length(grid, axis);
  return (grid->axis[axis].count + length - 1) / length;
}

int64_t qds_box_tiles(const qds_box_grid *grid) {
  return tiles_along(grid, 0) * tiles_along(grid, 1) * tiles_along(grid, 2);
}

static void walk_tile(qds_walker *walker, const qds_box_sink *sink, int64_t tile) {
  const qds_box_grid *grid = walker->grid;
  const size_t regions = grid->medium->count;
  qds_box_range range;
  int64_t rest = tile;
  for (int a = 2; a >= 0; a--) {
    const int64_t length = tile_length(grid, a),
                  left = grid->axis[a].count - rest % tiles_along(grid, a) * length;
    range.first[a] = grid->axis[a].count - left;
    range.count[a] = left < length ? left : length;
    rest /= tiles_along(grid, a);
  }
  const qds_candidates all = {grid->medium->background, regions, walker->regions};
  for (size_t i = 0; i < regions; i++) all.regions[i] = (int)(regions - 1 - i);
  walk(walker, sink, tile, &all, &range);
}

/* ---- the workplaces of the threads, in one block each of integers and doubles ---- */

static size_t most_breaks(const qds_box_grid *grid, int axis) {
  size_t breaks = 0;
  for (size_t i = 0; axis >= grid->absent && i < grid->medium->count; i++)
    breaks += qds_shape_breaks(grid->medium->regions[i].shape, axis - grid->absent, NULL, 0);
  return breaks;
}

static size_t largest(const size_t numbers[3]) {
  const size_t first = numbers[0] > numbers[1] ? numbers[0] : numbers[1];
  return first > numbers[2] ? first : numbers[2];
}

/* Room for the faces of any shape along any axis is room for those of the axis that has most. */
static void place_walker(const qds_box_grid *grid, const size_t room[3], int *regions, double *doubles,
                         qds_walker *walker) {
  const size_t materials = (size_t)grid->medium->materials;
  *walker = (qds_walker){.grid = grid, .regions = regions, .line = doubles, .fraction = doubles + materials};
  double *next = doubles + 2 * materials;
  walker->breaks = next;
  walker->breaks_room = largest(room);
  next += walker->breaks_room;
  for (int a = 0; a < 3; a++) {
    walker->faces[a] = next;
    walker->room[a] = room[a];
    next += room[a];
  }
}

qds_status qds_walk_boxes(qds_context *ctx, const qds_box_grid *grid, const qds_box_sink *sink) {
  qds_allocator *allocator = qds_context_allocator(ctx);
  const int64_t tiles = qds_box_tiles(grid),
                boxes = grid->axis[0].count * grid->axis[1].count * grid->axis[2].count;
  const int threads = boxes < PARALLEL_BOXES ? 1 : qds_context_threads(ctx);
  const size_t materials = (size_t)grid->medium->materials;
  const size_t lists = (DEPTH + 2 * QDS_LINE_DEPTH + 4) * grid->medium->count;
  size_t room[3], doubles = 2 * materials;
  for (int a = 0; a < 3; a++) doubles += room[a] = most_breaks(grid, a) + 2;
  doubles += largest(room);
  QDS_AUTO_RELEASE int *regions = NULL;
  QDS_AUTO_RELEASE double *numbers = NULL;
  QDS_TRY(QDS_NEW(allocator, (size_t)threads * lists, "average", &regions));
  QDS_TRY(QDS_NEW(allocator, (size_t)threads * doubles, "average", &numbers));
#pragma omp parallel num_threads(threads)
  {
    const size_t thread = (size_t)omp_get_thread_num();
    qds_walker walker;
    place_walker(grid, room, regions + thread * lists, numbers + thread * doubles, &walker);
#pragma omp for schedule(dynamic)
    for (int64_t tile = 0; tile < tiles; tile++) walk_tile(&walker, sink, tile);
  }
  return QDS_OK;
}

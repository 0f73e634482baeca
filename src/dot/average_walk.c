/* The walk over a grid: blocks of boxes are halved until no surface passes through them, or one box
 * is left. */
#include "dot/average_parts.h"

#include <float.h>
#include <math.h>
#include <omp.h>

enum {
  BUNDLE = 8,                       /* lines of a tile along each of the first two axes */
  PARALLEL_BOXES = 16384,           /* fewer boxes are not worth a second thread */
  MOST_FACE_SPLITS = 64,            /* on the way to a box; beyond, blocks are only halved */
  DEPTH = MOST_FACE_SPLITS + 3 * 64 /* of splitting blocks: the bits of their counts */
};

qds_candidates qds_candidates_within(const qds_box_grid *grid, const qds_candidates *outer,
                                     const double low[3], const double high[3]) {
  const qds_medium_region *regions = grid->medium->regions;
  qds_candidates inner = {outer->base, 0, outer->regions + outer->count};
  double centre[3], half[3], largest = 0;
  for (int a = grid->absent; a < 3; a++) {
    centre[a] = 0.5 * (low[a] + high[a]);
    half[a] = 0.5 * (high[a] - low[a]);
    const double reach = fabs(low[a]) > fabs(high[a]) ? fabs(low[a]) : fabs(high[a]);
    if (reach > largest) largest = reach;
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

/* ---- blocks that are cut alike ---- */

/* Whether only flat faces across `axis` cut the block, which is one box thick along it, so that all its boxes
 * are cut alike. */
static int cut_across(qds_walker *walker, const qds_candidates *candidates, int axis, double low[3],
                      double high[3]) {
  const qds_cuts pieces = qds_flat_pieces(walker, candidates, axis, low[axis], high[axis]);
  const double ends[2] = {low[axis], high[axis]};
  int uniform = pieces.count > 1;
  for (size_t k = 0; uniform && k < pieces.count; k++) {
    low[axis] = pieces.nm[k];
    high[axis] = pieces.nm[k + 1];
    uniform = qds_candidates_within(walker->grid, candidates, low, high).count == 0;
  }
  low[axis] = ends[0];
  high[axis] = ends[1];
  return uniform;
}

static int is_cut_alike(qds_walker *walker, const qds_candidates *candidates, const qds_box_range *range,
                        double low[3], double high[3]) {
  for (int a = walker->grid->absent; a < 3; a++)
    if (range->count[a] == 1 && cut_across(walker, candidates, a, low, high)) return 1;
  return 0;
}

/* The interval of the range that holds the coordinate. */
static int64_t interval_at(const double *bounds, int64_t first, int64_t count, double nm) {
  while (count > 1) {
    const int64_t half = count / 2;
    if (bounds[first + half] <= nm) {
      first += half;
      count -= half;
    } else {
      count = half;
    }
  }
  return first;
}

/* ---- the walk ---- */

/* Where a block is cut in two: `count` boxes along `axis` go to the first part. */
typedef struct {
  int axis;
  int64_t count;
} split;

/* At a flat face, so that the boxes along it become a block of their own. */
static int split_at_face(qds_walker *walker, const qds_candidates *candidates, const qds_box_range *range,
                         const double low[3], const double high[3], split *at) {
  for (int a = walker->grid->absent; a < 3; a++) {
    if (range->count[a] == 1) continue;
    const qds_cuts pieces = qds_flat_pieces(walker, candidates, a, low[a], high[a]);
    if (pieces.count == 1) continue;
    const double face = pieces.nm[pieces.count / 2], *bounds = walker->grid->axis[a].bounds_nm;
    const int64_t box = interval_at(bounds, range->first[a], range->count[a], face) - range->first[a];
    const int on_bound = bounds[range->first[a] + box] == face;
    *at = (split){a, on_bound || box > 0 ? box : 1};
    return 1;
  }
  return 0;
}

/* Across the longest side; 0: the block is one box. */
static int split_in_middle(const qds_box_range *range, const double low[3], const double high[3], split *at) {
  int longest = -1;
  for (int a = 0; a < 3; a++)
    if (range->count[a] > 1 && (longest < 0 || high[a] - low[a] > high[longest] - low[longest])) longest = a;
  if (longest < 0) return 0;
  *at = (split){longest, range->count[longest] / 2};
  return 1;
}

static void walk(qds_walker *walker, const qds_box_sink *sink, int64_t tile, const qds_candidates *outer,
                 const qds_box_range *range, int face_splits) {
  double low[3], high[3];
  split at;
  qds_box_corners(walker->grid, range, low, high);
  const qds_candidates candidates = qds_candidates_within(walker->grid, outer, low, high);
  if (candidates.count == 0) {
    sink->uniform(sink->self, tile, range, candidates.base);
    return;
  }
  const int at_face =
      face_splits < MOST_FACE_SPLITS && split_at_face(walker, &candidates, range, low, high, &at);
  if (!at_face &&
      (is_cut_alike(walker, &candidates, range, low, high) || !split_in_middle(range, low, high, &at))) {
    sink->cut(sink->self, tile, walker, &candidates, range);
    return;
  }
  qds_box_range part = *range;
  part.count[at.axis] = at.count;
  walk(walker, sink, tile, &candidates, &part, face_splits + at_face);
  part.first[at.axis] += at.count;
  part.count[at.axis] = range->count[at.axis] - at.count;
  walk(walker, sink, tile, &candidates, &part, face_splits + at_face);
}

/* ---- tiles: bundles of lines along the last axis ---- */

static int64_t tile_length(const qds_box_grid *grid, int axis) {
  return axis == 2 || grid->axis[axis].count < BUNDLE ? grid->axis[axis].count : BUNDLE;
}

static int64_t tiles_along(const qds_box_grid *grid, int axis) {
  const int64_t length = tile_length(grid, axis);
  return (grid->axis[axis].count + length - 1) / length;
}

int64_t qds_box_tiles(const qds_box_grid *grid) {
  return tiles_along(grid, 0) * tiles_along(grid, 1);
}

qds_box_range qds_box_tile(const qds_box_grid *grid, int64_t tile) {
  qds_box_range range = {{0, 0, 0}, {0, 0, grid->axis[2].count}};
  const int64_t place[2] = {tile / tiles_along(grid, 1), tile % tiles_along(grid, 1)};
  for (int a = 0; a < 2; a++) {
    const int64_t length = tile_length(grid, a);
    range.first[a] = place[a] * length;
    const int64_t left = grid->axis[a].count - range.first[a];
    range.count[a] = left < length ? left : length;
  }
  return range;
}

static void walk_tile(qds_walker *walker, const qds_box_sink *sink, int64_t tile) {
  const qds_box_grid *grid = walker->grid;
  const size_t regions = grid->medium->count;
  const qds_box_range range = qds_box_tile(grid, tile);
  const qds_candidates all = {grid->medium->background, regions, walker->regions};
  for (size_t i = 0; i < regions; i++) all.regions[i] = (int)(regions - 1 - i);
  walk(walker, sink, tile, &all, &range, 0);
  if (sink->done) sink->done(sink->self, tile);
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
  walker->alike = doubles + 2 * materials;
  double *next = doubles + 3 * materials;
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
  const size_t lists = (DEPTH + 2 * QDS_LINE_DEPTH + 5) * grid->medium->count;
  size_t room[3], doubles = 3 * materials;
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

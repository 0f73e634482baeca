/* Averages over boxes: checks, and what becomes of uniform and of cut boxes. */
#include "dot/average_parts.h"

#include <math.h>
#include <string.h>

int qds_medium_at(const qds_medium *medium, const double *p) {
  for (size_t i = medium->count; i-- > 0;)
    if (qds_shape_level(medium->regions[i].shape, p) <= 0) return medium->regions[i].material;
  return medium->background;
}

/* ---- checks ---- */

static qds_status check_medium(const qds_medium *medium) {
  QDS_REQUIRE(medium->materials >= 1, "a medium needs at least one material");
  QDS_REQUIRE(medium->background >= 0 && medium->background < medium->materials,
              "background material %d is not one of %d", medium->background, medium->materials);
  for (size_t i = 0; i < medium->count; i++)
    QDS_REQUIRE(medium->regions[i].material >= 0 && medium->regions[i].material < medium->materials,
                "material %d of region %zu is not one of %d", medium->regions[i].material, i,
                medium->materials);
  return QDS_OK;
}

qds_status qds_box_grid_make(const qds_medium *medium, int dimension, const qds_intervals intervals[3],
                             qds_box_grid *out) {
  static const double unit[2] = {0, 1};
  QDS_REQUIRE(dimension >= 1 && dimension <= 3, "dimension must be 1, 2 or 3; got %d", dimension);
  QDS_TRY(check_medium(medium));
  *out = (qds_box_grid){.medium = medium, .absent = 3 - dimension};
  for (int a = 0; a < 3; a++) {
    const qds_intervals *axis = &intervals[a];
    out->axis[a] = a < out->absent ? (qds_intervals){1, unit} : *axis;
    if (a < out->absent) {
      QDS_REQUIRE(axis->count == 1, "axis %d is absent in %dD and must have one interval, not %lld", a,
                  dimension, (long long)axis->count);
      continue;
    }
    QDS_REQUIRE(axis->count >= 1, "axis %d has no interval", a);
    for (int64_t i = 0; i < axis->count; i++)
      QDS_REQUIRE(axis->bounds_nm[i] < axis->bounds_nm[i + 1] && isfinite(axis->bounds_nm[i]) &&
                      isfinite(axis->bounds_nm[i + 1]),
                  "bounds %lld and %lld of axis %d do not ascend: %g, %g", (long long)i, (long long)(i + 1),
                  a, axis->bounds_nm[i], axis->bounds_nm[i + 1]);
  }
  return QDS_OK;
}

/* ---- averages ---- */

typedef struct {
  const qds_box_grid *grid;
  const double *values;
  int along; /* -1: arithmetic */
  double *out;
} average_task;

static void fill(const average_task *task, const qds_box_range *range, double value) {
  for (int64_t i = 0; i < range->count[0]; i++)
    for (int64_t j = 0; j < range->count[1]; j++) {
      double *row =
          task->out + qds_box_index(task->grid, range->first[0] + i, range->first[1] + j, range->first[2]);
      for (int64_t k = 0; k < range->count[2]; k++) row[k] = value;
    }
}

static void average_uniform(void *self, int64_t tile, const qds_box_range *range, int material) {
  (void)tile;
  const average_task *task = self;
  fill(task, range, task->values[material]);
}

static void average_cut(void *self, int64_t tile, qds_walker *walker, const qds_candidates *candidates,
                        const qds_box_range *range) {
  (void)tile;
  const average_task *task = self;
  double low[3], high[3], mean = 0;
  qds_first_box_corners(task->grid, range, low, high);
  if (task->along >= 0) {
    mean = qds_cut_box(walker, candidates, low, high, task->along, task->values);
  } else {
    qds_cut_box(walker, candidates, low, high, -1, NULL);
    for (int m = 0; m < task->grid->medium->materials; m++) mean += walker->fraction[m] * task->values[m];
  }
  fill(task, range, mean);
}

qds_status qds_average_box_grid(qds_context *ctx, const qds_medium *medium, int dimension,
                                const qds_intervals intervals[3], int along, const double *values,
                                qds_average_kind kind, double *out) {
  qds_box_grid grid;
  QDS_TRY(qds_box_grid_make(medium, dimension, intervals, &grid));
  const int harmonic = kind == QDS_AVERAGE_ALONG;
  QDS_REQUIRE(!harmonic || (along >= grid.absent && along < 3),
              "%dD has no internal axis %d to average along", dimension, along);
  for (int m = 0; m < medium->materials; m++)
    QDS_REQUIRE(isfinite(values[m]) && (!harmonic || values[m] > 0), "the value %g of material %d is not %s",
                values[m], m, harmonic ? "positive" : "finite");
  average_task task = {&grid, values, harmonic ? along : -1, out};
  const qds_box_sink sink = {&task, average_uniform, average_cut, NULL};
  return qds_walk_boxes(ctx, &grid, &sink);
}

/* ---- visits ---- */

const double *qds_cut_fractions(qds_cut *cut) {
  qds_walker *walker = cut->walker;
  if (!cut->known) {
    qds_cut_box(walker, cut->candidates, cut->low, cut->high, -1, NULL);
    memcpy(walker->alike, walker->fraction, sizeof *walker->alike * (size_t)walker->grid->medium->materials);
    cut->known = 1;
  }
  return walker->alike;
}

double qds_cut_along(const qds_cut *cut, int along, const double *values) {
  return qds_cut_box(cut->walker, cut->candidates, cut->low, cut->high, along, values);
}

typedef struct {
  const qds_box_grid *grid;
  const qds_box_visitor *visitor;
} visit_task;

static void visit_uniform(void *self, int64_t tile, const qds_box_range *range, int material) {
  (void)tile;
  const qds_box_visitor *visitor = ((const visit_task *)self)->visitor;
  visitor->uniform(visitor->self, range->first, range->count, material);
}

static void visit_cut(void *self, int64_t tile, qds_walker *walker, const qds_candidates *candidates,
                      const qds_box_range *range) {
  (void)tile;
  const visit_task *task = self;
  qds_cut cut = {.walker = walker, .candidates = candidates};
  qds_first_box_corners(task->grid, range, cut.low, cut.high);
  for (int64_t i = 0; i < range->count[0]; i++)
    for (int64_t j = 0; j < range->count[1]; j++)
      for (int64_t k = 0; k < range->count[2]; k++) {
        const int64_t index[3] = {range->first[0] + i, range->first[1] + j, range->first[2] + k};
        task->visitor->cut(task->visitor->self, index, &cut);
      }
}

qds_status qds_visit_boxes(qds_context *ctx, const qds_medium *medium, int dimension,
                           const qds_intervals intervals[3], const qds_box_visitor *visitor) {
  qds_box_grid grid;
  QDS_TRY(qds_box_grid_make(medium, dimension, intervals, &grid));
  visit_task task = {&grid, visitor};
  const qds_box_sink sink = {&task, visit_uniform, visit_cut, NULL};
  return qds_walk_boxes(ctx, &grid, &sink);
}

/* ---- probability per material ---- */

typedef struct {
  const qds_box_grid *grid;
  size_t count;
  const double *const *vectors;
  double *tile_sums; /* tiles x count x materials */
} fractions_task;

static double *sums_of_tile(const fractions_task *task, int64_t tile) {
  return task->tile_sums + (size_t)tile * task->count * (size_t)task->grid->medium->materials;
}

static double sum_of_squares(const fractions_task *task, size_t s, const qds_box_range *range) {
  double sum = 0;
  for (int64_t i = 0; i < range->count[0]; i++)
    for (int64_t j = 0; j < range->count[1]; j++) {
      const double *row = task->vectors[s] + qds_box_index(task->grid, range->first[0] + i,
                                                           range->first[1] + j, range->first[2]);
      for (int64_t k = 0; k < range->count[2]; k++) sum += row[k] * row[k];
    }
  return sum;
}

static void fractions_uniform(void *self, int64_t tile, const qds_box_range *range, int material) {
  const fractions_task *task = self;
  double *sums = sums_of_tile(task, tile) + material;
  for (size_t s = 0; s < task->count; s++)
    sums[s * (size_t)task->grid->medium->materials] += sum_of_squares(task, s, range);
}

static void fractions_cut(void *self, int64_t tile, qds_walker *walker, const qds_candidates *candidates,
                          const qds_box_range *range) {
  const fractions_task *task = self;
  const size_t materials = (size_t)task->grid->medium->materials;
  double *sums = sums_of_tile(task, tile), low[3], high[3];
  qds_first_box_corners(task->grid, range, low, high);
  qds_cut_box(walker, candidates, low, high, -1, NULL);
  for (size_t s = 0; s < task->count; s++) {
    const double weight = sum_of_squares(task, s, range);
    for (size_t m = 0; m < materials; m++) sums[s * materials + m] += weight * walker->fraction[m];
  }
}

qds_status qds_volume_fractions(qds_context *ctx, const qds_medium *medium, int dimension,
                                const qds_intervals intervals[3], size_t count, const double *const *vectors,
                                double *sums) {
  qds_box_grid grid;
  QDS_AUTO_RELEASE double *tile_sums = NULL;
  QDS_TRY(qds_box_grid_make(medium, dimension, intervals, &grid));
  const size_t tiles = (size_t)qds_box_tiles(&grid), size = count * (size_t)medium->materials;
  QDS_TRY(QDS_NEW_ZERO(qds_context_allocator(ctx), tiles * size, "average", &tile_sums));
  fractions_task task = {&grid, count, vectors, tile_sums};
  const qds_box_sink sink = {&task, fractions_uniform, fractions_cut, NULL};
  QDS_TRY(qds_walk_boxes(ctx, &grid, &sink));
  memset(sums, 0, size * sizeof *sums);
  for (size_t tile = 0; tile < tiles; tile++)
    for (size_t i = 0; i < size; i++) sums[i] += tile_sums[tile * size + i];
  return QDS_OK;
}

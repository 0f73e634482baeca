/* Media, graded grids and random numbers for the tests of averages. */
#ifndef QDS_TESTS_MEDIUM_SUPPORT_H
#define QDS_TESTS_MEDIUM_SUPPORT_H

#include "base/philox.h"
#include "dot/average.h"
#include "support.h"

static const uint64_t seed = 20260219;

static inline double random_between(uint64_t stream, uint64_t index, double low, double high) {
  return low + (high - low) * qds_random_uniform(seed, stream, index);
}

enum { MOST_REGIONS = 16 };

/* A medium with the shapes it borrows. */
typedef struct {
  int dimension;
  qds_shape *shapes[MOST_REGIONS];
  qds_medium_region regions[MOST_REGIONS];
  qds_medium medium;
} owned_medium;

static inline void medium_clear(owned_medium *medium) {
  for (size_t i = 0; i < medium->medium.count; i++) qds_shape_destroy(medium->shapes[i]);
  medium->medium.count = 0;
}

static inline void medium_start(owned_medium *medium, int dimension, int materials) {
  *medium = (owned_medium){.dimension = dimension};
  medium->medium = (qds_medium){.materials = materials, .background = 0, .regions = medium->regions};
}

__attribute__((format(printf, 4, 5))) static inline void medium_add(qds_context *ctx, owned_medium *medium,
                                                                    int material, const char *format, ...) {
  char text[1024];
  va_list arguments;
  va_start(arguments, format);
  vsnprintf(text, sizeof text, format, arguments);
  va_end(arguments);
  const size_t i = medium->medium.count;
  assert_true(i < MOST_REGIONS);
  QDS_AUTO(qds_yaml) *yaml = NULL;
  assert_ok(qds_yaml_parse(qds_context_allocator(ctx), "dot.yaml", text, strlen(text), &yaml));
  assert_ok(qds_shape_read(ctx, qds_yaml_root(yaml), medium->dimension, &medium->shapes[i]));
  medium->regions[i] = (qds_medium_region){medium->shapes[i], material};
  medium->medium.count++;
}

enum { MOST_BOXES = 64 };

/* A graded grid from -10 to 10 nm along each axis that the device has. */
typedef struct {
  double bounds[3][MOST_BOXES + 1];
  qds_intervals intervals[3];
  int64_t boxes;
} test_grid;

static inline void grid_make(test_grid *grid, int dimension, int count, uint64_t stream, double jitter) {
  grid->boxes = 1;
  for (int a = 0; a < 3; a++) {
    const int n = a < 3 - dimension ? 1 : count;
    for (int i = 0; i <= n; i++) {
      const double shift = random_between(stream, (uint64_t)(100 * a + i), -jitter, jitter);
      grid->bounds[a][i] = -10 + 20 * (i + (i > 0 && i < n ? shift : 0)) / n;
    }
    grid->intervals[a] = (qds_intervals){n, a < 3 - dimension ? NULL : grid->bounds[a]};
    grid->boxes *= n;
  }
}

static inline void box_corners(const test_grid *grid, int64_t box, double low[3], double high[3]) {
  int64_t rest = box;
  for (int a = 2; a >= 0; a--) {
    const int64_t i = rest % grid->intervals[a].count;
    rest /= grid->intervals[a].count;
    low[a] = grid->intervals[a].bounds_nm ? grid->intervals[a].bounds_nm[i] : 0;
    high[a] = grid->intervals[a].bounds_nm ? grid->intervals[a].bounds_nm[i + 1] : 1;
  }
}

static inline double box_volume(const test_grid *grid, int64_t box) {
  double low[3], high[3];
  box_corners(grid, box, low, high);
  return (high[0] - low[0]) * (high[1] - low[1]) * (high[2] - low[2]);
}

static inline void assert_near(double value, double expected, double tolerance) {
  if (!(fabs(value - expected) <= tolerance)) fail_msg("%.17g, expected %.17g", value, expected);
}

/* A random medium of curved shapes, three materials over a background. */
static inline void random_medium(qds_context *ctx, uint64_t trial, owned_medium *medium) {
  medium_start(medium, 3, 4);
  const size_t count = 2 + trial % 4;
  for (uint64_t i = 0; i < count; i++) {
    double r[8];
    for (uint64_t k = 0; k < 8; k++) r[k] = random_between(2000 + trial, 10 * i + k, 0, 1);
    const int material = 1 + (int)(3 * r[7]);
    const double x = 12 * r[0] - 6, y = 12 * r[1] - 6, z = 12 * r[2] - 6, size = 1 + 5 * r[3],
                 tall = 1 + 6 * r[4];
    switch ((trial + i) % 5) {
    case 0:
      medium_add(ctx, medium, material, "{shape: ellipsoid, center_nm: [%g, %g, %g], radii_nm: [%g, %g, 3]}",
                 x, y, z, size, tall);
      break;
    case 1:
      medium_add(ctx, medium, material,
                 "{shape: dome, base_center_nm: [%g, %g, %g], radius_nm: %g, height_nm: %g}", x, y, z, size,
                 tall);
      break;
    case 2:
      medium_add(ctx, medium, material,
                 "{shape: pyramid, base_center_nm: [%g, %g, %g], base_nm: [%g, 6], height_nm: %g,"
                 " rotate: {axis: y, degrees: %g, center_nm: [0, 0, 0]}}",
                 x, y, z, size, tall, 90 * r[5]);
      break;
    case 3:
      medium_add(ctx, medium, material,
                 "{shape: difference, of: [{shape: ellipsoid, center_nm: [%g, %g, %g], radii_nm: [5, 5, 5]},"
                 " {shape: cylinder, base_center_nm: [%g, %g, -10], radius_nm: %g, height_nm: 20}]}",
                 x, y, z, x, y, 0.7 * size);
      break;
    default:
      medium_add(ctx, medium, material,
                 "{shape: prism, points_nm: [[%g, %g], [%g, %g], [0, 0]], from_nm: -%g, to_nm: 3, axis: x}",
                 x, y, x + size, y - 1, size);
    }
  }
}

#endif

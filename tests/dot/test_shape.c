/* Shapes: level functions against independent inside tests and closed volumes, and the refusal of
 * bad input. */
#include "base/philox.h"
#include "dot/shape.h"
#include "support.h"

static const double pi = 3.14159265358979323846;
static const uint64_t seed = 20260117;

/* ---- helpers ---- */

static qds_status parse(qds_context *ctx, int dimension, const char *text, qds_shape **out) {
  static const char *const others[] = {"material", NULL};
  QDS_AUTO(qds_yaml) *yaml = NULL;
  *out = NULL;
  QDS_TRY(qds_yaml_parse(qds_context_allocator(ctx), "dot.yaml", text, strlen(text), &yaml));
  QDS_TRY(qds_shape_check_keys(qds_yaml_root(yaml), others));
  return qds_shape_read(ctx, qds_yaml_root(yaml), dimension, out);
}

static qds_shape *shape_of(qds_context *ctx, int dimension, const char *text) {
  qds_shape *shape = NULL;
  assert_ok(parse(ctx, dimension, text, &shape));
  return shape;
}

static double random_between(uint64_t stream, uint64_t index, double low, double high) {
  return low + (high - low) * qds_random_uniform(seed, stream, index);
}

/* The bounds with infinite sides cut at +-20 nm, grown by 20 %. */
static void window_of(const qds_shape *shape, int dimension, double low[3], double high[3]) {
  qds_shape_bounds(shape, low, high);
  for (int a = 0; a < dimension; a++) {
    low[a] = fmax(low[a], -20);
    high[a] = fmin(high[a], 20);
    const double margin = 0.1 * (high[a] - low[a]);
    low[a] -= margin;
    high[a] += margin;
  }
}

static void random_point(uint64_t stream, uint64_t index, int dimension, const double *low,
                         const double *high, double *p) {
  for (int a = 0; a < dimension; a++) p[a] = random_between(stream, 3 * index + (uint64_t)a, low[a], high[a]);
}

/* ---- inside tests that share nothing with the level functions ---- */

static double square(double x) {
  return x * x;
}

static int in_box(const double *p) {
  return p[0] > -1 && p[0] < 4 && p[1] > 0 && p[1] < 2 && p[2] > -3 && p[2] < -1;
}
static int in_layer(const double *p) {
  return p[1] > -2 && p[1] < 3;
}
static int in_ellipsoid(const double *p) {
  return square((p[0] - 1) / 3) + square(p[1] / 2) + square((p[2] + 1) / 1.5) < 1;
}
static int in_cylinder(const double *p) {
  return square(p[1]) + square(p[2] - 1) < 4 && p[0] > 1 && p[0] < 5;
}
static int in_cone(const double *p) {
  return p[2] > -1 && p[2] < 3 && sqrt(square(p[0] - 1) + square(p[1] - 2)) < 3 * (1 - (p[2] + 1) / 4);
}
static int in_truncated_cone(const double *p) {
  return p[2] > 0 && p[2] < 2 && sqrt(square(p[0]) + square(p[1])) < 2 + (3.0 - 2.0) * p[2] / 2;
}
static int in_pyramid(const double *p) {
  const double part = 1 - (p[2] + 3.1) / 6.2;
  return part > 0 && part < 1 && fabs(p[0]) < 6.2 * part && fabs(p[1]) < 4 * part;
}
static int in_truncated_pyramid(const double *p) {
  const double part = p[2] / 3;
  return part > 0 && part < 1 && fabs(p[0]) < 3 - 2 * part && fabs(p[1]) < 2 && p[2] > 0;
}
static int in_lens(const double *p) { /* base radius 4, height 2: ball of radius 5 */
  return p[2] > 0 && square(p[0]) + square(p[1]) + square(p[2] + 3) < 25;
}
static int in_tall_lens(const double *p) { /* base radius 2, height 4: ball of radius 2.5 */
  return p[2] > 1 && square(p[0]) + square(p[1]) + square(p[2] - 2.5) < 6.25;
}
static int in_dome(const double *p) {
  return p[2] > 0 && square(p[0] / 10) + square(p[1] / 10) + square(p[2] / 5) < 1;
}
static int in_oval_dome(const double *p) {
  return p[2] > 1 && square((p[0] - 1) / 4) + square(p[1] / 2) + square((p[2] - 1) / 3) < 1;
}
static int in_l_shape(const double *p) {
  return p[0] > 0 && p[1] > 0 && p[0] < 4 && p[1] < 3 && !(p[0] > 1 && p[1] > 1);
}
static int in_triangle(const double *p) {
  return p[0] > 0 && p[1] > 0 && p[0] / 4 + p[1] / 3 < 1;
}
static int in_prism(const double *p) { /* the L in the x-z plane */
  const double plane[2] = {p[0], p[2]};
  return in_l_shape(plane) && p[1] > -1 && p[1] < 1;
}
static int in_disc(const double *p) {
  return square(p[0] / 3) + square((p[1] - 1) / 2) < 1;
}
static int in_interval(const double *p) {
  return p[0] > 3 && p[0] < 7;
}
static int in_two_discs(const double *p) {
  return square(p[0]) + square(p[1]) < 4 || square(p[0] - 3) + square(p[1]) < 1;
}
static int in_ring(const double *p) {
  const double r = sqrt(square(p[0]) + square(p[1]));
  return r < 3 && r > 2 && !(p[0] > 0 && p[0] < 1);
}
static int in_half_disc(const double *p) {
  return square(p[0]) + square(p[1]) < 9 && p[1] > 0;
}
static int in_turned_square(const double *p) { /* |x| + |y| < sqrt 2 about (5, 0) */
  return fabs(p[0] - 5) + fabs(p[1]) < sqrt(2);
}

typedef struct {
  int dimension;
  const char *text;
  int (*inside)(const double *p);
  double volume; /* NAN: infinite */
} sample;

#define DISC "{shape: ellipsoid, center_nm: [0, 0], radii_nm: [3, 3]}"
static const sample samples[] = {
    {3, "{shape: box, min_nm: [-1, 0, -3], max_nm: [4, 2, -1]}", in_box, 20},
    {3, "{shape: layer, axis: y, from_nm: -2, to_nm: 3}", in_layer, (double)NAN},
    {3, "{shape: ellipsoid, center_nm: [1, 0, -1], radii_nm: [3, 2, 1.5]}", in_ellipsoid,
     12 * 3.141592653589793},
    {3, "{shape: cylinder, base_center_nm: [1, 0, 1], radius_nm: 2, height_nm: 4, axis: x}", in_cylinder,
     16 * 3.141592653589793},
    {3, "{shape: cone, base_center_nm: [1, 2, -1], radius_nm: 3, height_nm: 4}", in_cone,
     12 * 3.141592653589793},
    {3, "{shape: truncated_cone, base_center_nm: [0, 0, 0], radius_nm: 2, top_radius_nm: 3, height_nm: 2}",
     in_truncated_cone, 38 * 3.141592653589793 / 3},
    {3, "{shape: pyramid, base_center_nm: [0, 0, -3.1], base_nm: [12.4, 8], height_nm: 6.2}", in_pyramid,
     12.4 * 8 * 6.2 / 3},
    {3,
     "{shape: truncated_pyramid, base_center_nm: [0, 0, 0], base_nm: [6, 4], top_nm: [2, 4], height_nm: 3}",
     in_truncated_pyramid, 48},
    {3, "{shape: lens, base_center_nm: [0, 0, 0], radius_nm: 4, height_nm: 2}", in_lens,
     3.141592653589793 * 2 * (3 * 16 + 4) / 6},
    {3, "{shape: lens, base_center_nm: [0, 0, 1], radius_nm: 2, height_nm: 4}", in_tall_lens,
     3.141592653589793 * 4 * (3 * 4 + 16) / 6},
    {3, "{shape: dome, base_center_nm: [0, 0, 0], radius_nm: 10, height_nm: 5}", in_dome,
     2 * 3.141592653589793 * 500 / 3},
    {3, "{shape: dome, base_center_nm: [1, 0, 1], radius_nm: [4, 2], height_nm: 3}", in_oval_dome,
     16 * 3.141592653589793},
    {2, "{shape: polygon, points_nm: [[0, 0], [4, 0], [4, 1], [1, 1], [1, 3], [0, 3]]}", in_l_shape, 6},
    {2, "{shape: polygon, points_nm: [[0, 0], [0, 3], [4, 0]]}", in_triangle, 6},
    {3,
     "{shape: prism, points_nm: [[0, 0], [4, 0], [4, 1], [1, 1], [1, 3], [0, 3]], from_nm: -1, to_nm: 1, "
     "axis: y}",
     in_prism, 12},
    {2, "{shape: ellipsoid, center_nm: [0, 1], radii_nm: [3, 2]}", in_disc, 6 * 3.141592653589793},
    {1, "{shape: ellipsoid, center_nm: [5], radii_nm: [2]}", in_interval, 4},
    {1, "{shape: layer, axis: x, from_nm: 3, to_nm: 7}", in_interval, 4},
    {1, "{shape: box, min_nm: [3], max_nm: [7]}", in_interval, 4},
    {2,
     "{shape: union, of: [{shape: ellipsoid, center_nm: [0, 0], radii_nm: [2, 2]},"
     " {shape: ellipsoid, center_nm: [3, 0], radii_nm: [1, 1]}]}",
     in_two_discs, 5 * 3.141592653589793},
    {2,
     "{shape: difference, of: [" DISC ", {shape: ellipsoid, center_nm: [0, 0], radii_nm: [2, 2]},"
     " {shape: layer, axis: x, from_nm: 0, to_nm: 1}]}",
     in_ring, 13.647449868}, /* 5 pi - 2 integral from 0 to 1 of sqrt(9 - x^2) - sqrt(4 - x^2) */
    {2, "{shape: intersection, of: [" DISC ", {shape: box, min_nm: [-9, 0], max_nm: [9, 9]}]}", in_half_disc,
     4.5 * 3.141592653589793},
    {2, "{shape: box, min_nm: [4, -1], max_nm: [6, 1], rotate: {degrees: 45, center_nm: [5, 0]}}",
     in_turned_square, 4},
};
enum { SAMPLES = sizeof samples / sizeof *samples, POINTS = 20000 };

/* Calls `check` with every sample. */
static void for_each_sample(qds_context *ctx,
                            void (*check)(const sample *s, const qds_shape *shape, uint64_t stream)) {
  printf("seed %llu\n", (unsigned long long)seed);
  for (int i = 0; i < SAMPLES; i++) {
    QDS_AUTO(qds_shape) *shape = shape_of(ctx, samples[i].dimension, samples[i].text);
    check(&samples[i], shape, (uint64_t)i);
  }
}

/* ---- properties ---- */

static void check_sign(const sample *s, const qds_shape *shape, uint64_t stream) {
  double low[3], high[3], p[3];
  int counts[2] = {0, 0};
  window_of(shape, s->dimension, low, high);
  for (uint64_t i = 0; i < POINTS; i++) {
    random_point(stream, i, s->dimension, low, high, p);
    const double level = qds_shape_level(shape, p);
    if ((level < 0) != s->inside(p))
      fail_msg("%s: wrong sign of %g at %g %g %g", s->text, level, p[0], p[1], p[2]);
    counts[level < 0]++;
  }
  assert_true(counts[0] > POINTS / 20 && counts[1] > POINTS / 20);
}

static void check_slope(const sample *s, const qds_shape *shape, uint64_t stream) {
  double low[3], high[3], p[3], q[3];
  window_of(shape, s->dimension, low, high);
  for (uint64_t i = 0; i < POINTS; i++) {
    const double step = pow(10, random_between(100 + stream, i, -6, 1.5));
    double distance = 0;
    random_point(stream, i, s->dimension, low, high, p);
    for (int a = 0; a < s->dimension; a++) {
      q[a] = p[a] + random_between(200 + stream, 3 * i + (uint64_t)a, -step, step);
      distance += square(p[a] - q[a]);
    }
    distance = sqrt(distance);
    const double change = fabs(qds_shape_level(shape, p) - qds_shape_level(shape, q));
    if (!(change <= distance + 1e-13))
      fail_msg("%s: the level changes by %g over %g nm", s->text, change, distance);
  }
}

static void check_range(const sample *s, const qds_shape *shape, uint64_t stream) {
  double low[3], high[3], centre[3], half[3], p[3], part_low[3], part_high[3];
  int decided = 0;
  window_of(shape, s->dimension, low, high);
  for (uint64_t i = 0; i < POINTS / 10; i++) {
    random_point(stream, i, s->dimension, low, high, centre);
    for (int a = 0; a < s->dimension; a++) {
      const double u = random_between(300 + stream, 3 * i + (uint64_t)a, -1, 2);
      half[a] = u < 0 ? 0 : u; /* boxes, plates and lines */
      part_low[a] = centre[a] - half[a];
      part_high[a] = centre[a] + half[a];
    }
    const qds_range range = qds_shape_range(shape, centre, half);
    decided += range.low > 0 || range.high < 0;
    for (uint64_t k = 0; k < 20; k++) {
      random_point(400 + stream, 20 * i + k, s->dimension, part_low, part_high, p);
      const double level = qds_shape_level(shape, p);
      if (!(level >= range.low - 1e-13 && level <= range.high + 1e-13))
        fail_msg("%s: level %g outside its range %g .. %g", s->text, level, range.low, range.high);
    }
  }
  assert_true(decided > POINTS / 100);
}

/* The bounds cut into `fine` cells along each axis, one random point in each. */
static void check_volume(const sample *s, const qds_shape *shape, uint64_t stream) {
  static const int fine_of[4] = {0, 100000, 600, 80};
  double low[3] = {0}, high[3] = {1, 1, 1}, p[3];
  if (isnan(s->volume)) return;
  qds_shape_bounds(shape, low, high);
  for (int a = s->dimension; a < 3; a++) {
    low[a] = 0;
    high[a] = 1;
  }
  const int fine = fine_of[s->dimension], n1 = s->dimension > 1 ? fine : 1, n2 = s->dimension > 2 ? fine : 1;
  const double cell = (high[0] - low[0]) / fine * (high[1] - low[1]) / n1 * (high[2] - low[2]) / n2;
  int64_t inside = 0;
  const int counts[3] = {fine, n1, n2};
  for (int index = 0; index < fine * n1 * n2; index++) {
    const int cell_index[3] = {index / (n1 * n2), index / n2 % n1, index % n2};
    for (int a = 0; a < 3; a++) {
      const double part = random_between(900 + stream, 3 * (uint64_t)index + (uint64_t)a, 0, 1);
      p[a] = low[a] + (cell_index[a] + part) / counts[a] * (high[a] - low[a]);
    }
    inside += qds_shape_level(shape, p) < 0;
  }
  const double volume = (double)inside * cell;
  if (fabs(volume - s->volume) > 0.002 * s->volume)
    fail_msg("%s: volume %g, expected %g", s->text, volume, s->volume);
}

static void check_bounds(const sample *s, const qds_shape *shape, uint64_t stream) {
  double low[3], high[3], window_low[3], window_high[3], p[3];
  qds_shape_bounds(shape, low, high);
  window_of(shape, s->dimension, window_low, window_high);
  for (uint64_t i = 0; i < POINTS; i++) {
    random_point(500 + stream, i, s->dimension, window_low, window_high, p);
    if (qds_shape_level(shape, p) > 0) continue;
    for (int a = 0; a < s->dimension; a++) assert_true(p[a] >= low[a] && p[a] <= high[a]);
  }
}

static void sign_body(qds_context *ctx) {
  for_each_sample(ctx, check_sign);
}
static void slope_body(qds_context *ctx) {
  for_each_sample(ctx, check_slope);
}
static void range_body(qds_context *ctx) {
  for_each_sample(ctx, check_range);
}
static void volume_body(qds_context *ctx) {
  for_each_sample(ctx, check_volume);
}
static void bounds_body(qds_context *ctx) {
  for_each_sample(ctx, check_bounds);
}

static void the_sign_agrees_with_an_inside_test(void **state) {
  (void)state, with_context(1, sign_body);
}
static void the_slope_is_one_at_most(void **state) {
  (void)state, with_context(1, slope_body);
}
static void ranges_hold_the_levels(void **state) {
  (void)state, with_context(1, range_body);
}
static void volumes_are_the_closed_formulas(void **state) {
  (void)state, with_context(1, volume_body);
}
static void bounds_hold_the_shape(void **state) {
  (void)state, with_context(1, bounds_body);
}

/* ---- rotation ---- */

/* Every 3D sample turned by a random angle about a random point has the same level at the turned point. */
static void rotation_body(qds_context *ctx) {
  printf("seed %llu\n", (unsigned long long)seed);
  for (uint64_t i = 0; i < SAMPLES; i++) {
    if (samples[i].dimension != 3) continue;
    const uint64_t axis = i % 3, u = (axis + 1) % 3, v = (axis + 2) % 3;
    const double degrees = random_between(600, i, -400, 400), c = cos(degrees * pi / 180),
                 s = sin(degrees * pi / 180);
    double about[3], low[3], high[3], p[3], q[3];
    char text[512];
    for (uint64_t a = 0; a < 3; a++) about[a] = random_between(700, 3 * i + a, -5, 5);
    snprintf(text, sizeof text, "%.*s, rotate: {axis: %c, degrees: %.17g, center_nm: [%.17g, %.17g, %.17g]}}",
             (int)strlen(samples[i].text) - 1, samples[i].text, "xyz"[axis], degrees, about[0], about[1],
             about[2]);
    QDS_AUTO(qds_shape) *plain = shape_of(ctx, 3, samples[i].text);
    QDS_AUTO(qds_shape) *turned = shape_of(ctx, 3, text);
    window_of(plain, 3, low, high);
    for (uint64_t k = 0; k < 2000; k++) {
      random_point(800 + i, k, 3, low, high, p);
      q[axis] = p[axis];
      q[u] = about[u] + c * (p[u] - about[u]) - s * (p[v] - about[v]);
      q[v] = about[v] + s * (p[u] - about[u]) + c * (p[v] - about[v]);
      const double expected = qds_shape_level(plain, p), level = qds_shape_level(turned, q);
      if (!(fabs(level - expected) < 1e-12)) fail_msg("%s: level %g, expected %g", text, level, expected);
      double turned_low[3], turned_high[3];
      qds_shape_bounds(turned, turned_low, turned_high);
      for (int a = 0; a < 3 && expected < 0; a++)
        assert_true(q[a] >= turned_low[a] && q[a] <= turned_high[a]);
    }
  }
}
static void a_turned_shape_has_the_turned_levels(void **state) {
  (void)state, with_context(1, rotation_body);
}

/* ---- breaks ---- */

static void assert_breaks(qds_context *ctx, int dimension, const char *text, int axis, size_t count,
                          const double *expected) {
  double breaks[16];
  QDS_AUTO(qds_shape) *shape = shape_of(ctx, dimension, text);
  assert_int_equal(qds_shape_breaks(shape, axis, NULL, 0), count);
  assert_int_equal(qds_shape_breaks(shape, axis, breaks, 16), count);
  for (size_t i = 0; i < count; i++) {
    int found = 0;
    for (size_t k = 0; k < count; k++) found = found || fabs(breaks[k] - expected[i]) < 1e-14;
    if (!found) fail_msg("%s: no break at %g", text, expected[i]);
  }
}
#define ASSERT_BREAKS(ctx, dimension, text, axis, ...)                                                       \
  assert_breaks(ctx, dimension, text, axis, sizeof((double[]){__VA_ARGS__}) / sizeof(double),                \
                (double[]){__VA_ARGS__})

static void breaks_body(qds_context *ctx) {
  ASSERT_BREAKS(ctx, 3, samples[0].text, 0, -1, 4);
  ASSERT_BREAKS(ctx, 3, samples[1].text, 1, -2, 3);
  assert_breaks(ctx, 3, samples[1].text, 0, 0, NULL);
  assert_breaks(ctx, 3, samples[2].text, 0, 0, NULL);
  ASSERT_BREAKS(ctx, 1, "{shape: ellipsoid, center_nm: [5], radii_nm: [2]}", 0, 3, 7);
  ASSERT_BREAKS(ctx, 3, samples[3].text, 0, 1, 5);
  ASSERT_BREAKS(ctx, 3, samples[4].text, 2, -1);
  ASSERT_BREAKS(ctx, 3, samples[5].text, 2, 0, 2);
  ASSERT_BREAKS(ctx, 3, samples[6].text, 2, -3.1);
  ASSERT_BREAKS(ctx, 3, samples[7].text, 2, 0, 3);
  ASSERT_BREAKS(ctx, 3, samples[7].text, 1, -2, 2);
  assert_breaks(ctx, 3, samples[7].text, 0, 0, NULL);
  ASSERT_BREAKS(ctx, 3, samples[9].text, 2, 1);
  ASSERT_BREAKS(ctx, 3, samples[11].text, 2, 1);
  ASSERT_BREAKS(ctx, 2, samples[12].text, 0, 0, 1, 4);
  ASSERT_BREAKS(ctx, 3, samples[14].text, 1, -1, 1);
  ASSERT_BREAKS(ctx, 3, samples[14].text, 2, 0, 1, 3);
  ASSERT_BREAKS(ctx, 2, samples[20].text, 0, 0, 1);
  /* A quarter turn keeps the faces, others lose them; those across the axis of the turn stay. */
  ASSERT_BREAKS(ctx, 2,
                "{shape: box, min_nm: [1, 2], max_nm: [4, 3], rotate: {degrees: 90, center_nm: [0, 0]}}", 0,
                -3, -2);
  ASSERT_BREAKS(ctx, 2,
                "{shape: box, min_nm: [1, 2], max_nm: [4, 3], rotate: {degrees: -90, center_nm: [0, 0]}}", 1,
                -4, -1);
  assert_breaks(ctx, 2, samples[22].text, 0, 0, NULL);
  ASSERT_BREAKS(ctx, 3,
                "{shape: box, min_nm: [1, 2, 3], max_nm: [4, 3, 5],"
                " rotate: {axis: z, degrees: 30, center_nm: [0, 0, 0]}}",
                2, 3, 5);
}
static void breaks_are_the_flat_faces(void **state) {
  (void)state, with_context(1, breaks_body);
}

static void keys_body(qds_context *ctx) {
  (void)ctx;
  assert_null(qds_shape_keys("blob"));
  assert_string_equal(qds_shape_keys("box")[1], "min_nm");
}
static void keys_are_listed(void **state) {
  (void)state, with_context(1, keys_body);
}

/* ---- bad input ---- */

typedef struct {
  int dimension;
  const char *text;
  const char *expected[3]; /* all of these in the message */
} refusal;

#define CYLINDER(radius, height)                                                                             \
  "{shape: cylinder, base_center_nm: [0, 0, 0], radius_nm: " radius ", height_nm: " height "}"
#define POLYGON(points) "{shape: polygon, points_nm: [" points "]}"
#define BOX "{shape: box, min_nm: [0, 0], max_nm: [1, 1]"

static const refusal refusals[] = {
    {3, "[1, 2]", {"dot.yaml:1", "a shape is a map"}},
    {3, "{min_nm: [0, 0, 0]}", {"dot.yaml:1", "shape"}},
    {3, "{shape: elipsoid}", {"dot.yaml:1", "elipsoid", "ellipsoid"}},
    {3, "shape: box\nmin_nm: [0, 0, 0]\nmax_mn: [1, 1, 1]", {"dot.yaml:3", "max_mn", "max_nm"}},
    {3, "{shape: box, min_nm: [0, 0, 0]}", {"max_nm"}},
    {3, "{shape: box, min_nm: [0, 0], max_nm: [1, 1, 1]}", {"min_nm", "3"}},
    {2, "shape: box\nmin_nm: [0, 3]\nmax_nm: [1, 2]", {"dot.yaml:2", "along y", "min 3, max 2"}},
    {3,
     "shape: layer\naxis: z\nfrom_nm: 15\nto_nm: 5",
     {"dot.yaml:3", "from_nm must be below to_nm", "from_nm = 15, to_nm = 5"}},
    {3, "{shape: layer, axis: z, from_nm: 5, to_nm: 5}", {"from_nm must be below to_nm"}},
    {3, "{shape: layer, from_nm: 0, to_nm: 5}", {"axis"}},
    {2, "{shape: layer, axis: z, from_nm: 0, to_nm: 5}", {"axis", "z"}},
    {3, "{shape: layer, axis: z, from_nm: 1e12, to_nm: 5e12}", {"from_nm", "1e+12 nm lies beyond"}},
    {3, CYLINDER("0", "1"), {"radius_nm", "must be positive"}},
    {3, CYLINDER("1", "-2"), {"height_nm", "must be positive", "got -2"}},
    {3, CYLINDER("1e-300", "1"), {"radius_nm", "1e-06"}},
    {3, CYLINDER("nan", "1"), {"radius_nm"}},
    {2, CYLINDER("1", "1"), {"there is no cylinder in 2D", "ellipsoid"}},
    {1, CYLINDER("1", "1"), {"there is no cylinder in 1D", "layer"}},
    {3, POLYGON("[0, 0], [1, 0], [0, 1]"), {"there is no polygon in 3D", "prism"}},
    {2, "{shape: ellipsoid, center_nm: [0, 0], radii_nm: [1, 0]}", {"radii_nm", "must be positive"}},
    {3,
     "{shape: dome, base_center_nm: [0, 0, 0], radius_nm: [1, -1], height_nm: 1}",
     {"radius_nm", "got -1"}},
    {3,
     "{shape: truncated_cone, base_center_nm: [0, 0, 0], radius_nm: 1, top_radius_nm: -1, height_nm: 1}",
     {"top_radius_nm", "must be 0 or"}},
    {3,
     "{shape: truncated_pyramid, base_center_nm: [0, 0, 0], base_nm: [1, 1], top_nm: [0, -1], height_nm: 1}",
     {"top_nm", "must be 0 or"}},
    {2, POLYGON("[0, 0], [1, 0]"), {"points_nm", "at least 3 points"}},
    {2, "{shape: polygon, points_nm: 7}", {"points_nm", "at least 3 points"}},
    {2, POLYGON("[0, 0], [1, 0, 2], [1, 1]"), {"points_nm[1]"}},
    {2, POLYGON("[0, 0], [1, 1], [1, 0], [0, 1]"), {"intersects itself", "edge 0-1 meets edge 2-3"}},
    {2, POLYGON("[0, 0], [2, 0], [2, 2], [1, 0], [0, 2]"), {"intersects itself"}},
    {2, POLYGON("[0, 0], [2, -1], [2, 1], [3, 2], [4, 0]"), {"edge 1-2 meets edge 4-0"}},
    {2, POLYGON("[0, 0], [1, 0], [1, 1], [0, 0]"), {"coincide"}},
    {2, POLYGON("[0, 0], [2, 0], [1, 0]"), {"folds back"}},
    {3,
     "{shape: prism, points_nm: [[0, 0], [1, 0], [0, 1]], from_nm: 2, to_nm: 1}",
     {"from_nm must be below to_nm"}},
    {2, "{shape: union, of: [" BOX "}]}", {"of", "at least 2 shapes"}},
    {2, "{shape: union, of: [" BOX "}, {shape: bax}]}", {"of[1]", "bax", "box"}},
    {2, "{shape: union, of: [" BOX "}, " BOX ", material: a}]}", {"of[1]", "material"}},
    {2, "{shape: difference, of: [" BOX "}]}", {"of", "at least 2 shapes"}},
    {2,
     "{shape: intersection, of: [" BOX "}, {shape: box, min_nm: [0, 2], max_nm: [1, 3]}]}",
     {"nothing in common along y"}},
    {2, BOX ", rotate: {axis: z, degrees: 30, center_nm: [0, 0]}}", {"rotate.axis", "remove axis"}},
    {2, BOX ", rotate: {center_nm: [0, 0]}}", {"rotate", "degrees"}},
    {2, BOX ", rotate: {degrees: 30}}", {"rotate", "center_nm"}},
    {2, BOX ", rotate: {degres: 30, center_nm: [0, 0]}}", {"degres", "degrees"}},
    {3,
     "{shape: layer, axis: z, from_nm: 0, to_nm: 1, rotate: {degrees: 30, center_nm: [0, 0, 0]}}",
     {"axis"}},
    {1,
     "{shape: layer, axis: x, from_nm: 0, to_nm: 1, rotate: {degrees: 30, center_nm: [0]}}",
     {"cannot turn"}},
};

static void refusal_body(qds_context *ctx) {
  for (size_t i = 0; i < sizeof refusals / sizeof *refusals; i++)
    for (int k = 0; k < 3 && refusals[i].expected[k]; k++) {
      qds_shape *shape = NULL;
      assert_fails(parse(ctx, refusals[i].dimension, refusals[i].text, &shape), QDS_ERROR_INPUT,
                   refusals[i].expected[k]);
      assert_null(shape);
    }
}
static void bad_shapes_are_refused(void **state) {
  (void)state, with_context(1, refusal_body);
}

static void nesting_body(qds_context *ctx) {
  char text[4096] = "";
  for (int i = 0; i < 20; i++) strcat(text, "{shape: union, of: [" BOX "}, ");
  strcat(text, BOX "}");
  for (int i = 0; i < 20; i++) strcat(text, "]}");
  qds_shape *shape = NULL;
  assert_fails(parse(ctx, 2, text, &shape), QDS_ERROR_INPUT, "nested at most");
}
static void deep_nesting_is_refused(void **state) {
  (void)state, with_context(1, nesting_body);
}

static qds_status read_once(qds_context *ctx, void *text) {
  QDS_AUTO(qds_shape) *shape = NULL;
  return parse(ctx, 2, text, &shape);
}

static void memory_body(qds_context *ctx) {
  char text[] = "{shape: difference, of: [" BOX ", rotate: {degrees: 5, center_nm: [0, 0]}},"
                " {shape: polygon, points_nm: [[0, 0], [1, 0], [0, 1]]}]}";
  assert_true(fail_each_allocation(ctx, read_once, text) > 6);
}
static void reading_survives_lack_of_memory(void **state) {
  (void)state, with_context(1, memory_body);
}

/* Every line of the documentation runs: those under "In 3D" and "Turning" in 3D, the others in 2D. */
static void documentation_body(qds_context *ctx) {
  char line[512];
  int dimension = 2, count = 0;
  FILE *file = fopen("docs/shapes.md", "r");
  assert_non_null(file);
  while (fgets(line, sizeof line, file)) {
    if (strncmp(line, "## In 3D", 8) == 0) dimension = 3;
    char *map = strstr(line, "    - {");
    if (map != line) continue;
    qds_shape_destroy(shape_of(ctx, dimension, line + strlen("    - ")));
    count++;
  }
  fclose(file);
  assert_true(count >= 16);
}
static void documented_lines_run(void **state) {
  (void)state, with_context(1, documentation_body);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(the_sign_agrees_with_an_inside_test),
      cmocka_unit_test(the_slope_is_one_at_most),
      cmocka_unit_test(ranges_hold_the_levels),
      cmocka_unit_test(volumes_are_the_closed_formulas),
      cmocka_unit_test(bounds_hold_the_shape),
      cmocka_unit_test(a_turned_shape_has_the_turned_levels),
      cmocka_unit_test(breaks_are_the_flat_faces),
      cmocka_unit_test(keys_are_listed),
      cmocka_unit_test(bad_shapes_are_refused),
      cmocka_unit_test(deep_nesting_is_refused),
      cmocka_unit_test(documented_lines_run),
      cmocka_unit_test(reading_survives_lack_of_memory),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}

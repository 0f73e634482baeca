#include "folder.h"

#include <errno.h>
#include <hdf5.h>
#include <pthread.h>
#include <signal.h>
#include <sys/resource.h>

#include "base/vtkhdf.h"

/* A grid with a field and labels that tell where they are from. */
typedef struct {
  int dimension;
  int64_t nodes[3];
  double *x[3], *field;
  unsigned char *labels;
} grid;

static size_t count_of(const grid *g, int less) {
  size_t count = 1;
  for (int a = 0; a < g->dimension; a++) count *= (size_t)(g->nodes[a] - less);
  return count;
}

static double value_at(int64_t ix, int64_t iy, int64_t iz) {
  return 1e-3 * (double)ix + (double)iy + 1e3 * (double)iz + 0.1;
}

static unsigned char label_at(int64_t ix, int64_t iy, int64_t iz) {
  return (unsigned char)((5 * ix + 11 * iy + 17 * iz) % 251);
}

static void grid_make(grid *g, int dimension, const int64_t *nodes, int uniform) {
  *g = (grid){.dimension = dimension, .nodes = {1, 1, 1}};
  for (int a = 0; a < dimension; a++) {
    g->nodes[a] = nodes[a];
    g->x[a] = malloc((size_t)nodes[a] * sizeof(double));
    for (int64_t i = 0; i < nodes[a]; i++)
      g->x[a][i] = -3.5 + a + 0.3 * (a + 1) * (double)i + (uniform ? 0 : 0.01 * (double)(i * i));
  }
  g->field = malloc(count_of(g, 0) * sizeof(double));
  g->labels = malloc(count_of(g, 1));
  double *f = g->field;
  unsigned char *l = g->labels;
  for (int64_t ix = 0; ix < g->nodes[0]; ix++)
    for (int64_t iy = 0; iy < g->nodes[1]; iy++)
      for (int64_t iz = 0; iz < g->nodes[2]; iz++) {
        *f++ = value_at(ix, iy, iz);
        if (ix + 1 < g->nodes[0] && (dimension < 2 || iy + 1 < g->nodes[1]) &&
            (dimension < 3 || iz + 1 < g->nodes[2]))
          *l++ = label_at(ix, iy, iz);
      }
}

static void grid_free(grid *g) {
  for (int a = 0; a < 3; a++) free(g->x[a]);
  free(g->field);
  free(g->labels);
}

static qds_status write_grid(qds_allocator *allocator, const grid *g, const char *path) {
  QDS_AUTO(qds_vtkhdf) *file = NULL;
  const double numbers[] = {1.5, -2.25};
  QDS_TRY(qds_vtkhdf_create(allocator, path, g->dimension, g->nodes, (const double *const *)g->x, &file));
  QDS_TRY(qds_vtkhdf_point_field(file, "psi_0", g->field, 1));
  QDS_TRY(qds_vtkhdf_point_field(file, "density", g->field, 0));
  QDS_TRY(qds_vtkhdf_cell_labels(file, "material", g->labels));
  QDS_TRY(qds_vtkhdf_text(file, "input", "name: Würfel\n"));
  QDS_TRY(qds_vtkhdf_doubles(file, "energies_eV", 2, numbers));
  return qds_vtkhdf_commit(file);
}

/* Reads a whole dataset as doubles and its sizes, the slowest first. */
static double *read_dataset(hid_t file, const char *path, int rank, hsize_t *sizes) {
  const hid_t set = H5Dopen2(file, path, H5P_DEFAULT);
  assert_true(set >= 0);
  const hid_t space = H5Dget_space(set);
  assert_int_equal(H5Sget_simple_extent_ndims(space), rank);
  H5Sget_simple_extent_dims(space, sizes, NULL);
  double *values = malloc(((size_t)H5Sget_simple_extent_npoints(space) + 1) * sizeof(double));
  assert_true(H5Dread(set, H5T_NATIVE_DOUBLE, H5S_ALL, H5S_ALL, H5P_DEFAULT, values) >= 0);
  H5Sclose(space);
  H5Dclose(set);
  return values;
}

static size_t stored_bytes(hid_t file, const char *path) {
  const hid_t set = H5Dopen2(file, path, H5P_DEFAULT), type = H5Dget_type(set);
  const size_t bytes = H5Tget_size(type);
  H5Tclose(type);
  H5Dclose(set);
  return bytes;
}

static void read_attribute(hid_t file, const char *object, const char *name, int count, double *values) {
  const hid_t attribute = H5Aopen_by_name(file, object, name, H5P_DEFAULT, H5P_DEFAULT);
  assert_true(attribute >= 0);
  const hid_t space = H5Aget_space(attribute);
  assert_int_equal(H5Sget_simple_extent_npoints(space), count);
  assert_true(H5Aread(attribute, H5T_NATIVE_DOUBLE, values) >= 0);
  H5Sclose(space);
  H5Aclose(attribute);
}

static void assert_type(hid_t file, const char *expected) {
  char text[64] = "";
  const hid_t attribute = H5Aopen_by_name(file, "/VTKHDF", "Type", H5P_DEFAULT, H5P_DEFAULT);
  const hid_t type = H5Aget_type(attribute);
  assert_true(H5Tget_size(type) == strlen(expected) && !H5Tis_variable_str(type));
  assert_int_equal(H5Tget_cset(type), H5T_CSET_ASCII);
  assert_true(H5Aread(attribute, type, text) >= 0);
  assert_string_equal(text, expected);
  H5Tclose(type);
  H5Aclose(attribute);
}

/* What does not depend on the layout. */
static void check_common(hid_t file, const grid *g) {
  double numbers[2];
  char *text = NULL;
  read_attribute(file, "/VTKHDF", "Version", 2, numbers);
  assert_true(numbers[0] == 1 && numbers[1] == 0);
  read_attribute(file, "/qdsim", "energies_eV", 2, numbers);
  assert_true(numbers[0] == 1.5 && numbers[1] == -2.25);
  const hid_t attribute = H5Aopen_by_name(file, "/qdsim", "input", H5P_DEFAULT, H5P_DEFAULT);
  const hid_t type = H5Aget_type(attribute);
  assert_true(H5Aread(attribute, type, &text) >= 0);
  assert_string_equal(text, "name: Würfel\n");
  H5free_memory(text);
  H5Tclose(type);
  H5Aclose(attribute);
  for (int a = 0; a < g->dimension; a++) {
    hsize_t size;
    double *x = read_dataset(file, (const char *[]){"/qdsim/x", "/qdsim/y", "/qdsim/z"}[a], 1, &size);
    assert_int_equal(size, g->nodes[a]);
    assert_memory_equal(x, g->x[a], (size_t)size * sizeof(double));
    free(x);
  }
  assert_true(g->dimension == 3 || H5Lexists(file, "/qdsim/z", H5P_DEFAULT) == 0);
}

static void check_image(hid_t file, const grid *g) {
  double origin[3], spacing[3], extent[6], direction[9];
  assert_type(file, "ImageData");
  read_attribute(file, "/VTKHDF", "Origin", 3, origin);
  read_attribute(file, "/VTKHDF", "Spacing", 3, spacing);
  read_attribute(file, "/VTKHDF", "WholeExtent", 6, extent);
  read_attribute(file, "/VTKHDF", "Direction", 9, direction);
  for (int i = 0; i < 9; i++) assert_true(direction[i] == (i % 4 == 0));
  for (int a = 0; a < 3; a++) {
    assert_true(extent[2 * a] == 0 && extent[2 * a + 1] == (double)(g->nodes[a] - 1));
    assert_close(origin[a], a < g->dimension ? g->x[a][0] : 0, 1e-12);
    assert_close(spacing[a], a < g->dimension ? g->x[a][1] - g->x[a][0] : 1, 1e-12);
  }
  hsize_t n[3], m[3];
  const int rank = g->dimension;
  double *psi = read_dataset(file, "/VTKHDF/PointData/psi_0", rank, n);
  double *density = read_dataset(file, "/VTKHDF/PointData/density", rank, n);
  double *labels = read_dataset(file, "/VTKHDF/CellData/material", rank, m);
  assert_int_equal(stored_bytes(file, "/VTKHDF/PointData/psi_0"), 8);
  assert_int_equal(stored_bytes(file, "/VTKHDF/PointData/density"), 4);
  assert_int_equal(stored_bytes(file, "/VTKHDF/CellData/material"), 1);
  for (int a = 0; a < rank; a++) {
    assert_int_equal(n[rank - 1 - a], g->nodes[a]);
    assert_int_equal(m[rank - 1 - a], g->nodes[a] - 1);
  }
  const double *p = psi, *d = density, *l = labels;
  for (int64_t iz = 0; iz < g->nodes[2]; iz++)
    for (int64_t iy = 0; iy < g->nodes[1]; iy++)
      for (int64_t ix = 0; ix < g->nodes[0]; ix++) {
        assert_true(*p++ == value_at(ix, iy, iz));
        assert_true(*d++ == (double)(float)value_at(ix, iy, iz));
        if (ix + 1 < g->nodes[0] && (rank < 2 || iy + 1 < g->nodes[1]) && (rank < 3 || iz + 1 < g->nodes[2]))
          assert_true(*l++ == label_at(ix, iy, iz));
      }
  free(psi);
  free(density);
  free(labels);
}

/* Every cell must be the box between neighbouring nodes, its corners in VTK's order, with the label of that
 * box. */
static void check_cell(const grid *g, const double *points, const double *corners, double label,
                       int64_t cell) {
  static const int order[8][3] = {{0, 0, 0}, {1, 0, 0}, {1, 1, 0}, {0, 1, 0},
                                  {0, 0, 1}, {1, 0, 1}, {1, 1, 1}, {0, 1, 1}};
  int64_t position[3] = {0, 0, 0};
  for (int a = g->dimension - 1; a >= 0; a--) {
    position[a] = cell % (g->nodes[a] - 1);
    cell /= g->nodes[a] - 1;
  }
  assert_true(label == label_at(position[0], position[1], position[2]));
  for (int c = 0; c < 1 << g->dimension; c++)
    for (int a = 0; a < 3; a++) {
      const double expected = a < g->dimension ? g->x[a][position[a] + order[c][a]] : 0;
      assert_true(points[3 * (size_t)corners[c] + (size_t)a] == (double)(float)expected);
    }
}

static void check_unstructured(hid_t file, const grid *g) {
  hsize_t n[2], cells, ids, one;
  const int corners = 1 << g->dimension;
  assert_type(file, "UnstructuredGrid");
  double *points = read_dataset(file, "/VTKHDF/Points", 2, n);
  assert_true(n[0] == count_of(g, 0) && n[1] == 3);
  double *connectivity = read_dataset(file, "/VTKHDF/Connectivity", 1, &ids);
  double *types = read_dataset(file, "/VTKHDF/Types", 1, &cells);
  double *labels = read_dataset(file, "/VTKHDF/CellData/material", 1, &cells);
  double *psi = read_dataset(file, "/VTKHDF/PointData/psi_0", 1, &n[1]);
  double *offsets = read_dataset(file, "/VTKHDF/Offsets", 1, &n[1]);
  assert_int_equal(cells, count_of(g, 1));
  assert_int_equal(ids, cells * (hsize_t)corners);
  assert_int_equal(n[1], cells + 1);
  const char *const counts[] = {"/VTKHDF/NumberOfPoints", "/VTKHDF/NumberOfCells",
                                "/VTKHDF/NumberOfConnectivityIds"};
  const hsize_t expected[] = {n[0], cells, ids};
  for (int i = 0; i < 3; i++) {
    double *count = read_dataset(file, counts[i], 1, &one);
    assert_true(one == 1 && *count == (double)expected[i]);
    free(count);
  }
  for (hsize_t c = 0; c < cells; c++) {
    assert_true(types[c] == (g->dimension == 1 ? 3 : g->dimension == 2 ? 9 : 12));
    assert_true(offsets[c] == (double)(c * (hsize_t)corners));
    check_cell(g, points, connectivity + c * (hsize_t)corners, labels[c], (int64_t)c);
  }
  assert_true(offsets[cells] == (double)ids);
  assert_memory_equal(psi, g->field, count_of(g, 0) * sizeof(double));
  free(points), free(connectivity), free(types), free(labels), free(psi), free(offsets);
}

static void round_trip(const char *folder, int dimension, const int64_t *nodes, int uniform) {
  qds_context *ctx;
  grid g;
  grid_make(&g, dimension, nodes, uniform);
  assert_ok(qds_context_create(NULL, &ctx));
  assert_ok(write_grid(qds_context_allocator(ctx), &g, in_folder(folder, "grid.vtkhdf")));
  qds_memory_row total;
  qds_context_memory(ctx, &total);
  assert_int_equal(total.current_bytes, 0);
  assert_true(total.peak_bytes < 5 << 20);
  qds_context_destroy(ctx);
  assert_int_equal(folder_entries(folder), 1);
  const hid_t file = H5Fopen(in_folder(folder, "grid.vtkhdf"), H5F_ACC_RDONLY, H5P_DEFAULT);
  assert_true(file >= 0);
  check_common(file, &g);
  if (uniform)
    check_image(file, &g);
  else
    check_unstructured(file, &g);
  H5Fclose(file);
  grid_free(&g);
}

/* The large ones need several tiles, the last of them cut off along every axis. */
static void images(void **state) {
  round_trip(*state, 1, (int64_t[]){2}, 1);
  round_trip(*state, 1, (int64_t[]){1200001}, 1);
  round_trip(*state, 2, (int64_t[]){7, 5}, 1);
  round_trip(*state, 2, (int64_t[]){1001, 701}, 1);
  round_trip(*state, 3, (int64_t[]){3, 4, 5}, 1);
  round_trip(*state, 3, (int64_t[]){211, 173, 35}, 1);
}

static void unstructured_grids(void **state) {
  round_trip(*state, 1, (int64_t[]){3}, 0);
  round_trip(*state, 2, (int64_t[]){4, 3}, 0);
  round_trip(*state, 3, (int64_t[]){3, 4, 5}, 0);
  round_trip(*state, 3, (int64_t[]){61, 43, 37}, 0);
}

static void equal_results_make_equal_files(void **state) {
  char command[1200], first[512];
  qds_context *ctx;
  grid g;
  assert_ok(qds_context_create(NULL, &ctx));
  grid_make(&g, 2, (int64_t[]){5, 6}, 1);
  snprintf(first, sizeof first, "%s", in_folder(*state, "a"));
  assert_ok(write_grid(qds_context_allocator(ctx), &g, first));
  sleep(1);
  assert_ok(write_grid(qds_context_allocator(ctx), &g, in_folder(*state, "b")));
  snprintf(command, sizeof command, "cmp '%s' '%s'", first, in_folder(*state, "b"));
  assert_int_equal(system(command), 0);
  grid_free(&g);
  qds_context_destroy(ctx);
}

static void refusals(void **state) {
  qds_context *ctx;
  qds_vtkhdf *file;
  grid g;
  H5E_auto2_t before, after;
  void *data;
  assert_ok(qds_context_create(NULL, &ctx));
  qds_allocator *allocator = qds_context_allocator(ctx);
  grid_make(&g, 2, (int64_t[]){5, 6}, 1);
  const double *const *x = (const double *const *)g.x;
  const char *path = in_folder(*state, "grid.vtkhdf");
  H5Eget_auto2(H5E_DEFAULT, &before, &data);
  assert_fails(qds_vtkhdf_create(allocator, path, 4, g.nodes, x, &file), QDS_ERROR_ARGUMENT, "dimension 4");
  assert_null(file);
  assert_fails(qds_vtkhdf_create(allocator, path, 2, (int64_t[]){5, 1}, x, &file), QDS_ERROR_ARGUMENT,
               "axis y: 1 nodes, at least 2");
  assert_fails(qds_vtkhdf_create(allocator, "/nowhere/grid.vtkhdf", 2, g.nodes, x, &file), QDS_ERROR_FILE,
               "/nowhere");
  g.x[0][3] = g.x[0][2];
  assert_fails(qds_vtkhdf_create(allocator, path, 2, g.nodes, x, &file), QDS_ERROR_ARGUMENT,
               "axis x: node 3");
  g.x[0][3] = NAN;
  assert_fails(qds_vtkhdf_create(allocator, path, 2, g.nodes, x, &file), QDS_ERROR_ARGUMENT,
               "axis x: node 3");
  g.x[0][3] = (g.x[0][2] + g.x[0][4]) / 2;

  assert_ok(qds_vtkhdf_create(allocator, path, 2, g.nodes, x, &file));
  assert_ok(qds_vtkhdf_point_field(file, "psi", g.field, 0));
  assert_fails(qds_vtkhdf_point_field(file, "psi", g.field, 0), QDS_ERROR_FILE, "name already exists");
  assert_fails(qds_vtkhdf_point_field(file, "a/b", g.field, 0), QDS_ERROR_ARGUMENT, "without /");
  assert_fails(qds_vtkhdf_point_field(file, "", g.field, 0), QDS_ERROR_ARGUMENT, "1 to 200 bytes");
  assert_ok(qds_vtkhdf_commit(file));
  assert_fails(qds_vtkhdf_commit(file), QDS_ERROR_ARGUMENT, "committed before");
  assert_fails(qds_vtkhdf_text(file, "a", "b"), QDS_ERROR_ARGUMENT, "committed before");
  assert_fails(qds_vtkhdf_doubles(file, "a", 1, g.field), QDS_ERROR_ARGUMENT, "committed before");
  assert_fails(qds_vtkhdf_point_field(file, "b", g.field, 0), QDS_ERROR_ARGUMENT, "committed before");
  qds_vtkhdf_destroy(file);
  H5Eget_auto2(H5E_DEFAULT, &after, &data);
  assert_ptr_equal(before, after);
  grid_free(&g);
  qds_context_destroy(ctx);
}

static void uncommitted_file_vanishes(void **state) {
  qds_context *ctx;
  qds_vtkhdf *file;
  grid g;
  assert_ok(qds_context_create(NULL, &ctx));
  grid_make(&g, 2, (int64_t[]){5, 6}, 1);
  assert_ok(qds_vtkhdf_create(qds_context_allocator(ctx), in_folder(*state, "grid.vtkhdf"), 2, g.nodes,
                              (const double *const *)g.x, &file));
  assert_ok(qds_vtkhdf_point_field(file, "psi", g.field, 0));
  assert_int_equal(folder_entries(*state), 1);
  qds_vtkhdf_destroy(file);
  assert_int_equal(folder_entries(*state), 0);
  grid_free(&g);
  qds_context_destroy(ctx);
}

/* A text of any length fits: it is no part of the object header. */
static void long_text(void **state) {
  enum { LENGTH = 1 << 20 };
  qds_context *ctx;
  qds_vtkhdf *file;
  char *text = malloc(LENGTH + 1), *read = NULL;
  memset(text, 'q', LENGTH);
  text[LENGTH] = 0;
  assert_ok(qds_context_create(NULL, &ctx));
  assert_ok(qds_vtkhdf_create(qds_context_allocator(ctx), in_folder(*state, "a.vtkhdf"), 1, (int64_t[]){2},
                              (const double *const[]){(double[]){0, 1}}, &file));
  assert_ok(qds_vtkhdf_text(file, "input", text));
  assert_ok(qds_vtkhdf_commit(file));
  qds_vtkhdf_destroy(file);
  const hid_t id = H5Fopen(in_folder(*state, "a.vtkhdf"), H5F_ACC_RDONLY, H5P_DEFAULT);
  const hid_t attribute = H5Aopen_by_name(id, "/qdsim", "input", H5P_DEFAULT, H5P_DEFAULT);
  const hid_t type = H5Aget_type(attribute);
  assert_true(H5Aread(attribute, type, &read) >= 0);
  assert_string_equal(read, text);
  H5free_memory(read);
  H5Tclose(type), H5Aclose(attribute), H5Fclose(id);
  free(text);
  qds_context_destroy(ctx);
}

static void limit_file_size(rlim_t bytes) {
  struct rlimit limit;
  getrlimit(RLIMIT_FSIZE, &limit);
  limit.rlim_cur = bytes;
  assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
}

/* The disk is full after any number of bytes: a clear error, nothing left behind, everything closed. */
static void full_disk(void **state) {
  qds_context *ctx;
  int failures = 0;
  signal(SIGXFSZ, SIG_IGN);
  assert_ok(qds_context_create(NULL, &ctx));
  for (int uniform = 0; uniform < 2; uniform++) {
    grid g;
    grid_make(&g, 3, (int64_t[]){17, 12, 9}, uniform);
    const int descriptors = open_descriptors();
    rlim_t room = 0;
    for (;; room += 97) {
      limit_file_size(room);
      const qds_status status = write_grid(qds_context_allocator(ctx), &g, in_folder(*state, "grid.vtkhdf"));
      limit_file_size(RLIM_INFINITY);
      if (status == QDS_OK) break;
      failures++;
      assert_int_equal(status, QDS_ERROR_FILE);
      assert_non_null(strstr(qds_last_error()->message, "grid.vtkhdf\": File too large"));
      assert_int_equal(qds_last_error()->native, EFBIG);
      assert_int_equal(folder_entries(*state), 0);
      assert_int_equal(open_descriptors(), descriptors);
    }
    assert_int_equal(folder_entries(*state), 1);
    unlink(in_folder(*state, "grid.vtkhdf"));
    grid_free(&g);
  }
  assert_true(failures > 200);
  assert_int_equal(H5Fget_obj_count(H5F_OBJ_ALL, H5F_OBJ_ALL), 0);
  qds_context_destroy(ctx);
}

typedef struct {
  grid g;
  const char *path;
} job;

static qds_status write_job(qds_context *ctx, void *data) {
  const job *j = data;
  return write_grid(qds_context_allocator(ctx), &j->g, j->path);
}

static void out_of_memory(void **state) {
  qds_context *ctx;
  assert_ok(qds_context_create(NULL, &ctx));
  for (int uniform = 0; uniform < 2; uniform++) {
    job j = {.path = in_folder(*state, "grid.vtkhdf")};
    grid_make(&j.g, 3, (int64_t[]){3, 4, 5}, uniform);
    assert_true(fail_each_allocation(ctx, write_job, &j) > 5);
    assert_int_equal(folder_entries(*state), 1);
    grid_free(&j.g);
  }
  assert_int_equal(H5Fget_obj_count(H5F_OBJ_ALL, H5F_OBJ_ALL), 0);
  qds_context_destroy(ctx);
}

static void *write_in_a_thread(void *data) {
  qds_context *ctx;
  if (qds_context_create(NULL, &ctx) != QDS_OK) return data;
  int wrong = 0;
  for (int i = 0; i < 10; i++) wrong += write_job(ctx, data) != QDS_OK;
  qds_context_destroy(ctx);
  return wrong ? data : NULL;
}

/* Two contexts may write at the same time. */
static void two_threads(void **state) {
  pthread_t threads[2];
  job jobs[2];
  char paths[2][512];
  for (int i = 0; i < 2; i++) {
    snprintf(paths[i], sizeof paths[i], "%s/%d.vtkhdf", (char *)*state, i);
    jobs[i].path = paths[i];
    grid_make(&jobs[i].g, 3, (int64_t[]){21, 22, 23}, i);
    assert_int_equal(pthread_create(&threads[i], NULL, write_in_a_thread, &jobs[i]), 0);
  }
  for (int i = 0; i < 2; i++) {
    void *wrong;
    pthread_join(threads[i], &wrong);
    assert_null(wrong);
    const hid_t file = H5Fopen(paths[i], H5F_ACC_RDONLY, H5P_DEFAULT);
    if (i)
      check_image(file, &jobs[i].g);
    else
      check_unstructured(file, &jobs[i].g);
    H5Fclose(file);
    grid_free(&jobs[i].g);
  }
}

#define IN_FOLDER(test) cmocka_unit_test_setup_teardown(test, folder_setup, folder_teardown)

int main(void) {
  const struct CMUnitTest tests[] = {
      IN_FOLDER(images),
      IN_FOLDER(unstructured_grids),
      IN_FOLDER(equal_results_make_equal_files),
      IN_FOLDER(refusals),
      IN_FOLDER(uncommitted_file_vanishes),
      IN_FOLDER(long_text),
      IN_FOLDER(full_disk),
      IN_FOLDER(out_of_memory),
      IN_FOLDER(two_threads),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}

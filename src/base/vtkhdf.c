#include "base/vtkhdf.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/file.h"

/* The layout follows the VTKHDF specification in its version 1.0, which every reader knows:
 * https://docs.vtk.org/en/latest/vtk_file_formats/vtkhdf_file_format/vtkhdf_specifications.html
 * An image stores its fields with x fastest, so ours are turned round. The unstructured grid numbers its
 * nodes and cells as our arrays do, with the last axis fastest. */

struct qds_vtkhdf {
  qds_allocator *allocator;
  char *path;
  qds_pending_file *pending;
  qds_hdf5_file hdf5;
  int dimension, uniform;
  int64_t nodes[3], cells[3];      /* 1 past the dimension */
  const double *coordinates_nm[3]; /* the caller's, while the grid is written; one zero past the dimension */
};

static const char *const axis_names[] = {"x", "y", "z"};
static const double uniform_tolerance = 1e-6; /* of a spacing: far below what a picture shows */
enum { TILE_BYTES = 4 << 20, TILE_DEPTH = 16, ROWS = 1 << 15, MAX_NAME = 200 };

static int64_t smaller(int64_t a, int64_t b) {
  return a < b ? a : b;
}

/* A box of the grid, directions x, y, z. */
typedef struct {
  int64_t from[3], size[3];
} tile;

/* Copies a tile out of an array with z contiguous into one with x contiguous. */
static inline __attribute__((always_inline)) void turn(const char *from, const int64_t n[3], const tile *t,
                                                       size_t size, char *to) {
  const size_t stride = (size_t)(n[1] * n[2]) * size;
  for (int64_t y = 0; y < t->size[1]; y++)
    for (int64_t z = 0; z < t->size[2]; z++) {
      const char *source =
          from + (size_t)((t->from[0] * n[1] + t->from[1] + y) * n[2] + t->from[2] + z) * size;
      char *target = to + (size_t)((z * t->size[1] + y) * t->size[0]) * size;
      for (size_t x = 0; x < (size_t)t->size[0]; x++) memcpy(target + x * size, source + x * stride, size);
    }
}

static qds_status write_tile(qds_hdf5_dataset *set, const int64_t n[3], const tile *t, size_t size,
                             const void *values, void *buffer) {
  hsize_t start[3], count[3];
  for (int i = 0; i < set->rank; i++) {
    start[i] = (hsize_t)t->from[set->rank - 1 - i];
    count[i] = (hsize_t)t->size[set->rank - 1 - i];
  }
  if (size == sizeof(double))
    turn(values, n, t, sizeof(double), buffer);
  else
    turn(values, n, t, 1, buffer);
  return qds_hdf5_dataset_write(set, start, count, buffer);
}

/* Writes a field of n[0] x n[1] x n[2] elements, z contiguous, of one or eight bytes, through a buffer of
 * bounded size. Tiles are sixteen planes deep so that they use whole cache lines of the field. */
static qds_status write_tiles(qds_allocator *allocator, qds_hdf5_dataset *set, const int64_t n[3],
                              size_t size, const void *values) {
  QDS_AUTO_RELEASE char *buffer = NULL;
  const int64_t room = TILE_BYTES / (int64_t)size;
  int64_t step[3];
  step[2] = smaller(n[2], TILE_DEPTH);
  step[0] = smaller(n[0], room / step[2]);
  step[1] = smaller(n[1], room / (step[0] * step[2]));
  QDS_TRY(QDS_NEW(allocator, (size_t)(step[0] * step[1] * step[2]) * size, "vtkhdf", &buffer));
  tile t;
  for (t.from[2] = 0; t.from[2] < n[2]; t.from[2] += step[2])
    for (t.from[1] = 0; t.from[1] < n[1]; t.from[1] += step[1])
      for (t.from[0] = 0; t.from[0] < n[0]; t.from[0] += step[0]) {
        for (int a = 0; a < 3; a++) t.size[a] = smaller(step[a], n[a] - t.from[a]);
        QDS_TRY(write_tile(set, n, &t, size, values, buffer));
      }
  return QDS_OK;
}

static qds_status put_field(qds_vtkhdf *file, const char *group, const char *name, hid_t stored, hid_t native,
                            size_t size, const int64_t n[3], const void *values) {
  char path[MAX_NAME + 32];
  hsize_t sizes[3];
  QDS_HDF5_DATASET set = {.id = -1};
  QDS_REQUIRE(file->hdf5.id >= 0, "\"%s\" was committed before the field \"%s\"", file->path, name);
  QDS_REQUIRE(name[0] && strlen(name) <= MAX_NAME && !strchr(name, '/'),
              "\"%.*s\" cannot name a field: 1 to %d bytes without / are allowed", MAX_NAME, name, MAX_NAME);
  snprintf(path, sizeof path, "/VTKHDF/%s/%s", group, name);
  const int64_t list[3] = {n[0] * n[1] * n[2], 1, 1};
  const int64_t *extent = file->uniform ? n : list;
  const int rank = file->uniform ? file->dimension : 1;
  for (int i = 0; i < rank; i++) sizes[i] = (hsize_t)extent[rank - 1 - i];
  QDS_TRY(qds_hdf5_dataset_create(&file->hdf5, path, stored, native, rank, sizes, &set));
  QDS_TRY(write_tiles(file->allocator, &set, extent, size, values));
  return qds_hdf5_dataset_finish(&set);
}

qds_status qds_vtkhdf_point_field(qds_vtkhdf *file, const char *name, const double *values,
                                  int full_precision) {
  return put_field(file, "PointData", name, full_precision ? H5T_IEEE_F64LE : H5T_IEEE_F32LE,
                   H5T_NATIVE_DOUBLE, sizeof *values, file->nodes, values);
}

qds_status qds_vtkhdf_cell_labels(qds_vtkhdf *file, const char *name, const unsigned char *labels) {
  return put_field(file, "CellData", name, H5T_STD_U8LE, H5T_NATIVE_UCHAR, sizeof *labels, file->cells,
                   labels);
}

/* The rows first .. first+count-1 of a list that follows from the grid. */
typedef void (*row_filler)(const qds_vtkhdf *file, int64_t first, int64_t count, void *rows);

static void split_index(int64_t index, const int64_t n[3], int64_t position[3]) {
  position[2] = index % n[2];
  position[1] = index / n[2] % n[1];
  position[0] = index / n[2] / n[1];
}

static void fill_points(const qds_vtkhdf *file, int64_t first, int64_t count, void *rows) {
  double *point = rows;
  for (int64_t i = 0; i < count; i++, point += 3) {
    int64_t position[3];
    split_index(first + i, file->nodes, position);
    for (int a = 0; a < 3; a++) point[a] = file->coordinates_nm[a][position[a]];
  }
}

/* The corners of a VTK_LINE, VTK_QUAD or VTK_HEXAHEDRON (vtkCellType.h) are the first 2, 4 or 8. */
static const int corner_offsets[8][3] = {{0, 0, 0}, {1, 0, 0}, {1, 1, 0}, {0, 1, 0},
                                         {0, 0, 1}, {1, 0, 1}, {1, 1, 1}, {0, 1, 1}};
static const unsigned char cell_types[] = {3, 9, 12};

static void fill_connectivity(const qds_vtkhdf *file, int64_t first, int64_t count, void *rows) {
  int64_t *id = rows;
  for (int64_t i = 0; i < count; i++) {
    int64_t p[3];
    split_index(first + i, file->cells, p);
    for (int c = 0; c < 1 << file->dimension; c++) {
      const int *offset = corner_offsets[c];
      *id++ = ((p[0] + offset[0]) * file->nodes[1] + p[1] + offset[1]) * file->nodes[2] + p[2] + offset[2];
    }
  }
}

static void fill_offsets(const qds_vtkhdf *file, int64_t first, int64_t count, void *rows) {
  int64_t *offset = rows;
  for (int64_t i = 0; i < count; i++) offset[i] = (first + i) << file->dimension;
}

static void fill_types(const qds_vtkhdf *file, int64_t first, int64_t count, void *rows) {
  (void)first;
  memset(rows, cell_types[file->dimension - 1], (size_t)count);
}

/* rank 1: the rows are strung together; rank 2: one row of `columns` per line. */
static qds_status put_rows(qds_vtkhdf *file, const char *path, hid_t stored, hid_t native, size_t size,
                           int rank, int64_t rows, int64_t columns, row_filler fill) {
  QDS_AUTO_RELEASE char *buffer = NULL;
  QDS_HDF5_DATASET set = {.id = -1};
  const int64_t per_row = rank == 1 ? columns : 1;
  const hsize_t sizes[2] = {(hsize_t)(rows * per_row), (hsize_t)columns};
  QDS_TRY(qds_hdf5_dataset_create(&file->hdf5, path, stored, native, rank, sizes, &set));
  QDS_TRY(QDS_NEW(file->allocator, (size_t)(smaller(rows, ROWS) * columns) * size, "vtkhdf", &buffer));
  for (int64_t first = 0; first < rows; first += ROWS) {
    const int64_t count = smaller(ROWS, rows - first);
    const hsize_t start[2] = {(hsize_t)(first * per_row), 0};
    const hsize_t counts[2] = {(hsize_t)(count * per_row), (hsize_t)columns};
    fill(file, first, count, buffer);
    QDS_TRY(qds_hdf5_dataset_write(&set, start, counts, buffer));
  }
  return qds_hdf5_dataset_finish(&set);
}

static qds_status put_list(qds_vtkhdf *file, const char *path, hid_t stored, hid_t native, int64_t size,
                           const void *values) {
  QDS_HDF5_DATASET set = {.id = -1};
  const hsize_t start = 0, count = (hsize_t)size;
  QDS_TRY(qds_hdf5_dataset_create(&file->hdf5, path, stored, native, 1, &count, &set));
  QDS_TRY(qds_hdf5_dataset_write(&set, &start, &count, values));
  return qds_hdf5_dataset_finish(&set);
}

static qds_status put_unstructured_grid(qds_vtkhdf *file) {
  const int64_t *n = file->nodes, *c = file->cells, corners = (int64_t)1 << file->dimension;
  const int64_t points = n[0] * n[1] * n[2], cells = c[0] * c[1] * c[2], ids = cells * corners;
  const hid_t id = H5T_NATIVE_INT64;
  /* VTK wants offsets and connectivity of one type, and reads half as much where 32 bits do. */
  const hid_t stored = ids < INT32_MAX ? H5T_STD_I32LE : H5T_STD_I64LE;
  QDS_TRY(qds_hdf5_string(&file->hdf5, "/VTKHDF", "Type", QDS_HDF5_FIXED_ASCII, "UnstructuredGrid"));
  QDS_TRY(put_list(file, "/VTKHDF/NumberOfPoints", H5T_STD_I64LE, id, 1, &points));
  QDS_TRY(put_list(file, "/VTKHDF/NumberOfCells", H5T_STD_I64LE, id, 1, &cells));
  QDS_TRY(put_list(file, "/VTKHDF/NumberOfConnectivityIds", H5T_STD_I64LE, id, 1, &ids));
  QDS_TRY(put_rows(file, "/VTKHDF/Points", H5T_IEEE_F32LE, H5T_NATIVE_DOUBLE, sizeof(double), 2, points, 3,
                   fill_points));
  QDS_TRY(put_rows(file, "/VTKHDF/Connectivity", stored, id, sizeof(int64_t), 1, cells, corners,
                   fill_connectivity));
  QDS_TRY(put_rows(file, "/VTKHDF/Offsets", stored, id, sizeof(int64_t), 1, cells + 1, 1, fill_offsets));
  return put_rows(file, "/VTKHDF/Types", H5T_STD_U8LE, H5T_NATIVE_UCHAR, 1, 1, cells, 1, fill_types);
}

static qds_status put_image_data(qds_vtkhdf *file) {
  const double direction[9] = {1, 0, 0, 0, 1, 0, 0, 0, 1};
  double origin[3], spacing[3] = {1, 1, 1}; /* VTK wants some spacing along axes of one node too */
  int64_t extent[6];
  for (int a = 0; a < 3; a++) {
    const double *x = file->coordinates_nm[a];
    const int64_t last = file->nodes[a] - 1;
    origin[a] = x[0];
    if (last > 0) spacing[a] = (x[last] - x[0]) / (double)last;
    extent[2 * a] = 0;
    extent[2 * a + 1] = last;
  }
  qds_hdf5_file *hdf5 = &file->hdf5;
  const hid_t real = H5T_NATIVE_DOUBLE;
  QDS_TRY(qds_hdf5_string(hdf5, "/VTKHDF", "Type", QDS_HDF5_FIXED_ASCII, "ImageData"));
  QDS_TRY(qds_hdf5_numbers(hdf5, "/VTKHDF", "WholeExtent", H5T_STD_I64LE, H5T_NATIVE_INT64, 6, extent));
  QDS_TRY(qds_hdf5_numbers(hdf5, "/VTKHDF", "Origin", H5T_IEEE_F64LE, real, 3, origin));
  QDS_TRY(qds_hdf5_numbers(hdf5, "/VTKHDF", "Spacing", H5T_IEEE_F64LE, real, 3, spacing));
  return qds_hdf5_numbers(hdf5, "/VTKHDF", "Direction", H5T_IEEE_F64LE, real, 9, direction);
}

static qds_status put_grid(qds_vtkhdf *file) {
  const int64_t version[2] = {1, 0};
  QDS_TRY(qds_hdf5_group(&file->hdf5, "/VTKHDF"));
  QDS_TRY(qds_hdf5_numbers(&file->hdf5, "/VTKHDF", "Version", H5T_STD_I64LE, H5T_NATIVE_INT64, 2, version));
  QDS_TRY(file->uniform ? put_image_data(file) : put_unstructured_grid(file));
  QDS_TRY(qds_hdf5_group(&file->hdf5, "/VTKHDF/PointData"));
  QDS_TRY(qds_hdf5_group(&file->hdf5, "/VTKHDF/CellData"));
  QDS_TRY(qds_hdf5_group(&file->hdf5, "/qdsim"));
  for (int a = 0; a < file->dimension; a++) {
    char path[16];
    snprintf(path, sizeof path, "/qdsim/%s", axis_names[a]);
    QDS_TRY(put_list(file, path, H5T_IEEE_F64LE, H5T_NATIVE_DOUBLE, file->nodes[a], file->coordinates_nm[a]));
  }
  return QDS_OK;
}

static qds_status check_axes(int dimension, const int64_t *nodes, const double *const *coordinates_nm) {
  int64_t total = sizeof(double) << 3; /* the connectivity's bytes must be countable too */
  QDS_REQUIRE(dimension >= 1 && dimension <= 3, "dimension %d: 1, 2 and 3 are allowed", dimension);
  for (int a = 0; a < dimension; a++) {
    const double *x = coordinates_nm[a];
    QDS_REQUIRE(nodes[a] >= 2, "axis %s: %lld nodes, at least 2 are needed", axis_names[a],
                (long long)nodes[a]);
    QDS_REQUIRE(!__builtin_mul_overflow(total, nodes[a], &total),
                "axis %s: %lld nodes make the grid too large", axis_names[a], (long long)nodes[a]);
    for (int64_t i = 0; i < nodes[a]; i++)
      QDS_REQUIRE(isfinite(x[i]) && (i == 0 || x[i] > x[i - 1]),
                  "axis %s: node %lld at %g nm: coordinates must be finite and ascending", axis_names[a],
                  (long long)i, x[i]);
  }
  return QDS_OK;
}

static int is_uniform(const double *x, int64_t nodes) {
  const double spacing = (x[nodes - 1] - x[0]) / (double)(nodes - 1);
  for (int64_t i = 0; i < nodes; i++)
    if (fabs(x[i] - (x[0] + spacing * (double)i)) > uniform_tolerance * spacing) return 0;
  return 1;
}

static void take_axes(qds_vtkhdf *file, int dimension, const int64_t *nodes,
                      const double *const *coordinates_nm) {
  static const double zero = 0;
  file->dimension = dimension;
  file->uniform = 1;
  for (int a = 0; a < 3; a++) {
    const int used = a < dimension;
    file->nodes[a] = used ? nodes[a] : 1;
    file->cells[a] = used ? nodes[a] - 1 : 1;
    file->coordinates_nm[a] = used ? coordinates_nm[a] : &zero;
    if (used && !is_uniform(coordinates_nm[a], nodes[a])) file->uniform = 0;
  }
}

qds_status qds_vtkhdf_create(qds_allocator *allocator, const char *path, int dimension, const int64_t *nodes,
                             const double *const *coordinates_nm, qds_vtkhdf **out) {
  QDS_AUTO(qds_vtkhdf) *file = NULL;
  *out = NULL;
  QDS_TRY(check_axes(dimension, nodes, coordinates_nm));
  QDS_TRY(QDS_NEW_ZERO(allocator, 1, "vtkhdf", &file));
  file->allocator = allocator;
  file->hdf5.id = -1;
  take_axes(file, dimension, nodes, coordinates_nm);
  QDS_TRY(QDS_STRDUP(allocator, path, "vtkhdf", &file->path));
  QDS_TRY(qds_pending_create(allocator, path, &file->pending));
  QDS_TRY(qds_hdf5_create(&file->hdf5, qds_pending_path(file->pending), file->path));
  QDS_TRY(put_grid(file));
  memset(file->coordinates_nm, 0, sizeof file->coordinates_nm);
  *out = file;
  file = NULL;
  return QDS_OK;
}

qds_status qds_vtkhdf_text(qds_vtkhdf *file, const char *name, const char *value) {
  QDS_REQUIRE(file->hdf5.id >= 0, "\"%s\" was committed before the attribute \"%s\"", file->path, name);
  return qds_hdf5_string(&file->hdf5, "/qdsim", name, QDS_HDF5_UTF8, value);
}

qds_status qds_vtkhdf_doubles(qds_vtkhdf *file, const char *name, size_t count, const double *values) {
  QDS_REQUIRE(file->hdf5.id >= 0, "\"%s\" was committed before the attribute \"%s\"", file->path, name);
  return qds_hdf5_numbers(&file->hdf5, "/qdsim", name, H5T_IEEE_F64LE, H5T_NATIVE_DOUBLE, count, values);
}

qds_hdf5_file *qds_vtkhdf_hdf5(qds_vtkhdf *file) {
  return &file->hdf5;
}

qds_status qds_vtkhdf_commit(qds_vtkhdf *file) {
  QDS_REQUIRE(file->hdf5.id >= 0, "\"%s\" was committed before", file->path);
  QDS_TRY(qds_hdf5_close(&file->hdf5));
  return qds_pending_commit(file->pending);
}

void qds_vtkhdf_destroy(qds_vtkhdf *file) {
  if (!file) return;
  qds_hdf5_abandon(&file->hdf5);
  qds_pending_file_destroy(file->pending);
  qds_release(file->path);
  qds_release(file);
}

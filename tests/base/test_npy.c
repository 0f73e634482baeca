#include "folder.h"

#include <errno.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include "base/npy.h"
#include "base/philox.h"

static void put(const char *path, const void *data, size_t bytes) {
  FILE *file = fopen(path, "wb");
  assert_non_null(file);
  assert_int_equal(fwrite(data, 1, bytes, file), bytes);
  fclose(file);
}

/* A .npy file of the version given, with this dictionary and data. */
static void put_npy(const char *path, int version, const char *dictionary, const void *data, size_t bytes) {
  char text[4096];
  const size_t length = strlen(dictionary);
  size_t used = 0;
  memcpy(text, "\x93NUMPY", 6);
  text[6] = (char)version;
  text[7] = 0;
  for (used = 8; used < (version == 1 ? 10 : 12); used++) text[used] = (char)(length >> 8 * (used - 8) & 255);
  memcpy(text + used, dictionary, length);
  used += length;
  memcpy(text + used, data, bytes);
  put(path, text, used + bytes);
}

static void types_body(qds_context *ctx, const char *path) {
  const struct {
    const char *descr;
    unsigned char bytes[16];
    size_t size;
    double expected[2];
  } cases[] = {
      {"<f8", {0, 0, 0, 0, 0, 0, 0xf8, 0x3f, 0, 0, 0, 0, 0, 0, 0, 0xc0}, 8, {1.5, -2}},
      {">f8", {0x3f, 0xf8, 0, 0, 0, 0, 0, 0, 0xc0, 0, 0, 0, 0, 0, 0, 0}, 8, {1.5, -2}},
      {"<f4", {0, 0, 0xc0, 0x3f, 0, 0, 0, 0xc0}, 4, {1.5, -2}},
      {">f4", {0x3f, 0xc0, 0, 0, 0xc0, 0, 0, 0}, 4, {1.5, -2}},
      {"<f2", {0x00, 0x3e, 0x00, 0xc0}, 2, {1.5, -2}},
      {"<f2", {0x01, 0x00, 0xff, 0x7b}, 2, {0x1p-24, 65504}},
      {">f2", {0x7c, 0x00, 0x84, 0x00}, 2, {INFINITY, -0x1p-14}},
      {"|i1", {0xff, 0x7f}, 1, {-1, 127}},
      {"|u1", {0xff, 0x7f}, 1, {255, 127}},
      {"|b1", {0, 1}, 1, {0, 1}},
      {"<i2", {0xfe, 0xff, 0x01, 0x02}, 2, {-2, 513}},
      {">u2", {0xfe, 0xff, 0x01, 0x02}, 2, {65279, 258}},
      {"<i4", {0, 0, 0, 0x80, 1, 0, 0, 0}, 4, {-2147483648., 1}},
      {">u4", {0x80, 0, 0, 0, 0, 0, 0, 1}, 4, {2147483648., 1}},
      {"<i8", {0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0, 1, 0, 0, 0}, 8, {-1, 4294967296.}},
      {"<u8", {0, 0, 0, 0, 0, 0, 0, 0x80, 5, 0, 0, 0, 0, 0, 0, 0}, 8, {0x1p63, 5}},
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
    for (int version = 1; version <= 3; version++) {
      char dictionary[128];
      qds_npy array;
      snprintf(dictionary, sizeof dictionary, "{'descr': '%s', 'fortran_order': False, 'shape': (2,), }  \n",
               cases[i].descr);
      put_npy(path, version, dictionary, cases[i].bytes, 2 * cases[i].size);
      assert_ok(qds_npy_read(qds_context_allocator(ctx), path, &array));
      assert_true(array.dimensions == 1 && array.shape[0] == 2);
      assert_true(array.values[0] == cases[i].expected[0] && array.values[1] == cases[i].expected[1]);
      qds_npy_clear(&array);
      assert_null(array.values);
    }
}

static void shapes_body(qds_context *ctx, const char *path) {
  const double data[6] = {1, 2, 3, 4, 5, 6};
  qds_npy array;
  qds_allocator *allocator = qds_context_allocator(ctx);
  put_npy(path, 1, "{\"shape\":(2,3),\"fortran_order\":True,\"descr\":\"<f8\"}", data, sizeof data);
  assert_ok(qds_npy_read(allocator, path, &array));
  assert_true(array.dimensions == 2 && array.shape[0] == 2 && array.shape[1] == 3);
  assert_memory_equal(array.values, ((const double[]){1, 3, 5, 2, 4, 6}), sizeof data);
  qds_npy_clear(&array);
  put_npy(path, 1, "{'descr': '<f8', 'fortran_order': False, 'shape': ()}", data, 8);
  assert_ok(qds_npy_read(allocator, path, &array));
  assert_true(array.dimensions == 0 && array.values[0] == 1);
  qds_npy_clear(&array);
  put_npy(path, 1, "{'descr': '<f8', 'fortran_order': True, 'shape': (3, 0, 2)}", data, 0);
  assert_ok(qds_npy_read(allocator, path, &array));
  assert_true(array.dimensions == 3 && array.shape[1] == 0);
  qds_npy_clear(&array);
}

/* Larger than one chunk, in Fortran order, of a type that is converted. */
static void large_fortran_body(qds_context *ctx, const char *path) {
  enum { NX = 40, NY = 90, NZ = 170 };
  FILE *file = fopen(path, "wb");
  const char *dictionary = "{'descr': '<i4', 'fortran_order': True, 'shape': (40, 90, 170)}\n";
  fprintf(file, "%cNUMPY%c%c%c%c%s", 0x93, 1, 0, (int)strlen(dictionary), 0, dictionary);
  for (int z = 0; z < NZ; z++)
    for (int y = 0; y < NY; y++)
      for (int x = 0; x < NX; x++) {
        const int32_t value = x * 1000000 + y * 1000 + z;
        fwrite(&value, sizeof value, 1, file);
      }
  fclose(file);
  qds_npy array;
  assert_ok(qds_npy_read(qds_context_allocator(ctx), path, &array));
  const double *value = array.values;
  for (int x = 0; x < NX; x++)
    for (int y = 0; y < NY; y++)
      for (int z = 0; z < NZ; z++) assert_true(*value++ == x * 1000000 + y * 1000 + z);
  qds_npy_clear(&array);
}

static void refusals_body(qds_context *ctx, const char *path) {
  const struct {
    const char *dictionary, *message;
    size_t bytes;
  } cases[] = {
      {"{'descr': '<c16', 'fortran_order': False, 'shape': (2,)}", "complex numbers (<c16)", 32},
      {"{'descr': '|O', 'fortran_order': False, 'shape': (2,)}", "type \"|O\"", 16},
      {"{'descr': '<f16', 'fortran_order': False, 'shape': (2,)}", "type \"<f16\"", 32},
      {"{'descr': '<i3', 'fortran_order': False, 'shape': (2,)}", "type \"<i3\"", 6},
      {"{'descr': '', 'fortran_order': False, 'shape': (2,)}", "type \"\"", 16},
      {"{'descr': '<f', 'fortran_order': False, 'shape': (2,)}", "type \"<f\"", 16},
      {"{'descr': [('x', '<f8')], 'fortran_order': False, 'shape': (2,)}", "records", 16},
      {"{'descr': '<f8', 'fortran_order': False, 'shape': (3,)}", "the file is cut off", 16},
      {"{'descr': '<f8', 'fortran_order': False, 'shape': (1,)}", "something follows the array", 16},
      {"{'descr': '<f8', 'fortran_order': False, 'shape': (99999999, 99999999999999)}", "too large", 16},
      {"{'descr': '|u1', 'fortran_order': False, 'shape': (9223372036854775807,)}", "too large", 16},
      {"{'descr': '<f8', 'fortran_order': False, 'shape': (0, 99999999999999999999999)}",
       "the size 99999999999999999999999 is too large", 0},
      {"{'descr': '<f8', 'fortran_order': False, 'shape': (1,1,1,1,1,1,1,1,1)}", "more than 8 dimensions", 8},
      {"{'descr': '<f8', 'fortran_order': False, 'shape': (-2,)}", "a size expected before \"-2", 16},
      {"{'descr': '<f8', 'fortran_order': False, 'shape': (2 3)}", "a comma or )", 16},
      {"{'descr': '<f8', 'fortran_order': False, 'shape': 2}", "a tuple", 16},
      {"{'descr': '<f8', 'fortran_order': Maybe, 'shape': (2,)}", "True or False expected", 16},
      {"{'descr': '<f8', 'fortran_order': False}", "the keys descr, fortran_order and shape", 16},
      {"{'descr': '<f8', 'descr': '<f8'}", "second key \"descr\"", 16},
      {"{'descr': '<f8', 'colour': 'red'}", "unknown key \"colour\"", 16},
      {"{'descr': '<f8' 'fortran_order'", "a comma or }", 16},
      {"{'descr", "a short text in quotes", 16},
      {"{'descr': '<f8', 'fortran_order': False, 'shape': (2,)} x", "the end expected", 16},
      {"", "{ expected", 16},
  };
  const char data[64] = "";
  qds_npy array;
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    put_npy(path, 1, cases[i].dictionary, data, cases[i].bytes);
    assert_fails(qds_npy_read(qds_context_allocator(ctx), path, &array), QDS_ERROR_INPUT, cases[i].message);
    assert_fails(qds_npy_read(qds_context_allocator(ctx), path, &array), QDS_ERROR_INPUT, path);
    assert_null(array.values);
  }
}

static void not_npy_body(qds_context *ctx, const char *path) {
  qds_allocator *allocator = qds_context_allocator(ctx);
  qds_npy array;
  const int descriptors = open_descriptors();
  assert_fails(qds_npy_read(allocator, path, &array), QDS_ERROR_FILE, "No such file");
  assert_fails(qds_npy_read(allocator, "/tmp", &array), QDS_ERROR_FILE, "no plain file");
  assert_fails(qds_npy_read(allocator, "/dev/zero", &array), QDS_ERROR_FILE, "no plain file");
  put(path, "", 0);
  assert_fails(qds_npy_read(allocator, path, &array), QDS_ERROR_INPUT, "it has 0 bytes");
  put(path, "name: lens\nversion: 1\n", 22);
  assert_fails(qds_npy_read(allocator, path, &array), QDS_ERROR_INPUT, "does not start with");
  put(path, "\x93NUMPY\x04\x00\x01\x00 ", 11);
  assert_fails(qds_npy_read(allocator, path, &array), QDS_ERROR_INPUT, "version 4.0");
  put(path, "\x93NUMPY\x01\x00\x70\x00 ", 11);
  assert_fails(qds_npy_read(allocator, path, &array), QDS_ERROR_INPUT, "ends too early");
  put(path, "\x93NUMPY\x02\x00\xff\xff\xff\xff ", 13);
  assert_fails(qds_npy_read(allocator, path, &array), QDS_ERROR_INPUT, "a header of 4294967295 bytes");
  put(path, "\x93NUMPY\x01\x00\x02\x00{\x00", 12);
  assert_fails(qds_npy_read(allocator, path, &array), QDS_ERROR_INPUT, "a zero byte in the header");
  unlink(path);
  assert_int_equal(mkfifo(path, 0600), 0);
  assert_fails(qds_npy_read(allocator, path, &array), QDS_ERROR_FILE, "no plain file");
  assert_int_equal(open_descriptors(), descriptors);
}

/* A good file with some bytes changed is read or refused, never more. */
static void damaged_body(qds_context *ctx, const char *path) {
  char good[256] = "\x93NUMPY\x01\x00\x46\x00{'descr': '<f8', 'fortran_order': False, 'shape': (2, 3), }";
  memset(good + strlen(good + 8) + 8, ' ', 80);
  good[79] = '\n';
  int refused = 0;
  for (uint64_t seed = 0; seed < 3000; seed++) {
    char bad[128];
    qds_npy array;
    memcpy(bad, good, sizeof bad);
    for (uint64_t i = 0; i < 3; i++)
      bad[(size_t)(80 * qds_random_uniform(seed, 0, i))] = (char)(256 * qds_random_uniform(seed, 1, i));
    put(path, bad, sizeof bad);
    const qds_status status = qds_npy_read(qds_context_allocator(ctx), path, &array);
    if (status != QDS_OK && status != QDS_ERROR_INPUT)
      fail_msg("seed %d: %s: %s", (int)seed, qds_status_name(status), qds_last_error()->message);
    refused += status != QDS_OK;
    qds_npy_clear(&array);
  }
  assert_true(refused > 2000);
}

static void round_trip_body(qds_context *ctx, const char *path) {
  enum { COUNT = 2 * 3 * 4 };
  qds_allocator *allocator = qds_context_allocator(ctx);
  double values[COUNT];
  for (uint64_t i = 0; i < COUNT; i++) values[i] = qds_random_normal(3, 0, i);
  values[5] = NAN;
  const struct {
    int dimensions;
    int64_t shape[QDS_NPY_MAX_DIMENSIONS];
  } cases[] = {{0, {0}}, {1, {24}}, {2, {4, 6}}, {3, {2, 3, 4}}, {8, {1, 2, 1, 3, 1, 4, 1, 1}}, {2, {3, 0}}};
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    qds_npy array;
    size_t count = 1;
    struct stat status;
    for (int a = 0; a < cases[i].dimensions; a++) count *= (size_t)cases[i].shape[a];
    assert_ok(qds_npy_write(allocator, path, cases[i].dimensions, cases[i].shape, values));
    assert_int_equal(stat(path, &status), 0);
    assert_int_equal(((size_t)status.st_size - 8 * count) % 64, 0);
    assert_ok(qds_npy_read(allocator, path, &array));
    assert_int_equal(array.dimensions, cases[i].dimensions);
    assert_memory_equal(array.shape, cases[i].shape, (size_t)array.dimensions * sizeof(int64_t));
    assert_memory_equal(array.values, values, count * sizeof(double));
    qds_npy_clear(&array);
  }
  assert_fails(qds_npy_write(allocator, path, 9, cases[0].shape, values), QDS_ERROR_ARGUMENT, "9 dimensions");
  assert_fails(qds_npy_write(allocator, path, 2, (int64_t[]){3, -1}, values), QDS_ERROR_ARGUMENT,
               "dimension 1");
  assert_fails(qds_npy_write(allocator, path, 2, (int64_t[]){INT64_MAX, 4}, values), QDS_ERROR_ARGUMENT,
               "many");
  assert_fails(qds_npy_write(allocator, "/nowhere/a.npy", 0, NULL, values), QDS_ERROR_FILE, "/nowhere");
}

/* The bytes that NumPy itself writes for np.save(path, np.array([[0., 1.]])). */
static void written_as_numpy_does_body(qds_context *ctx, const char *path) {
  static const char header[] =
      "\x93NUMPY\x01\x00v\x00{'descr': '<f8', 'fortran_order': False, 'shape': (1, 2), }";
  const double values[] = {0, 1};
  char expected[144], actual[145];
  memset(expected, ' ', 128);
  memcpy(expected, header, sizeof header - 1);
  expected[127] = '\n';
  memcpy(expected + 128, values, sizeof values);
  assert_ok(qds_npy_write(qds_context_allocator(ctx), path, 2, (int64_t[]){1, 2}, values));
  FILE *file = fopen(path, "rb");
  assert_int_equal(fread(actual, 1, sizeof actual, file), sizeof expected);
  fclose(file);
  assert_memory_equal(actual, expected, sizeof expected);
}

static void full_disk_body(qds_context *ctx, const char *path) {
  const double values[40] = {0};
  struct rlimit limit;
  signal(SIGXFSZ, SIG_IGN);
  getrlimit(RLIMIT_FSIZE, &limit);
  for (rlim_t room = 0; room < 128 + sizeof values; room += 8) {
    limit.rlim_cur = room;
    setrlimit(RLIMIT_FSIZE, &limit);
    const qds_status status = qds_npy_write(qds_context_allocator(ctx), path, 1, (int64_t[]){40}, values);
    limit.rlim_cur = RLIM_INFINITY;
    setrlimit(RLIMIT_FSIZE, &limit);
    assert_int_equal(status, QDS_ERROR_FILE);
    assert_non_null(strstr(qds_last_error()->message, "File too large"));
  }
}

static qds_status write_and_read(qds_context *ctx, void *path) {
  const double values[6] = {1, 2, 3, 4, 5, 6};
  qds_npy array;
  QDS_TRY(qds_npy_write(qds_context_allocator(ctx), path, 2, (int64_t[]){2, 3}, values));
  QDS_TRY(qds_npy_read(qds_context_allocator(ctx), path, &array));
  qds_npy_clear(&array);
  return QDS_OK;
}

static void out_of_memory_body(qds_context *ctx, const char *path) {
  assert_true(fail_each_allocation(ctx, write_and_read, (char *)path) > 4);
}

/* Runs a body in a context that must not leak and in a folder where nothing but `left` files may remain. */
static void run(void (*body)(qds_context *ctx, const char *path), const char *folder, int left) {
  int leaks = 0;
  qds_context *ctx = NULL;
  qds_context_options options = QDS_CONTEXT_OPTIONS_INIT;
  options.log = support_log;
  options.user = &leaks;
  assert_ok(qds_context_create(&options, &ctx));
  body(ctx, in_folder(folder, "array.npy"));
  qds_context_destroy(ctx);
  assert_int_equal(leaks, 0);
  assert_int_equal(folder_entries(folder), left);
}

static void types(void **state) {
  run(types_body, *state, 1);
}
static void shapes(void **state) {
  run(shapes_body, *state, 1);
}
static void large_fortran(void **state) {
  run(large_fortran_body, *state, 1);
}
static void refusals(void **state) {
  run(refusals_body, *state, 1);
}
static void not_npy(void **state) {
  run(not_npy_body, *state, 1);
}
static void damaged(void **state) {
  run(damaged_body, *state, 1);
}
static void round_trip(void **state) {
  run(round_trip_body, *state, 1);
}
static void written_as_numpy_does(void **state) {
  run(written_as_numpy_does_body, *state, 1);
}
static void full_disk(void **state) {
  run(full_disk_body, *state, 0);
}
static void out_of_memory(void **state) {
  run(out_of_memory_body, *state, 1);
}

#define IN_FOLDER(test) cmocka_unit_test_setup_teardown(test, folder_setup, folder_teardown)

int main(void) {
  const struct CMUnitTest tests[] = {
      IN_FOLDER(types),         IN_FOLDER(shapes),
      IN_FOLDER(large_fortran), IN_FOLDER(refusals),
      IN_FOLDER(not_npy),       IN_FOLDER(damaged),
      IN_FOLDER(round_trip),    IN_FOLDER(written_as_numpy_does),
      IN_FOLDER(full_disk),     IN_FOLDER(out_of_memory),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}

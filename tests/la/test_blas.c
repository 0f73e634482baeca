#include "support.h"

#include "la/blas.h"

#include <dlfcn.h>

/* Numbers in [-1, 1) that depend on the seed only (a linear congruential generator, Knuth's
 * MMIX constants). */
static void fill(uint64_t seed, size_t count, double *out) {
  for (size_t i = 0; i < count; i++) {
    seed = seed * 6364136223846793005u + 1442695040888963407u;
    out[i] = (double)(int64_t)seed / 9223372036854775808.0;
  }
}

/* c = a^T b by the definition: a is k x m, b is k x n, column-major. */
static void product_by_definition(int m, int n, int k, const double *a, const double *b, double *c) {
  for (int j = 0; j < n; j++)
    for (int i = 0; i < m; i++) {
      c[i + j * m] = 0;
      for (int l = 0; l < k; l++) c[i + j * m] += a[l + i * k] * b[l + j * k];
    }
}

enum { M = 37, N = 23, K = 51 };

static void check_gemm(qds_context *ctx) {
  static double a[K * M], b[K * N], c[M * N], expected[M * N];
  static float a32[K * M], b32[K * N], c32[M * N];
  const int m = M, n = N, k = K;
  const double one = 1, zero = 0;
  const float one32 = 1, zero32 = 0;
  const qds_blas *blas;
  assert_ok(qds_blas_get(ctx, &blas));
  fill(1, K * M, a);
  fill(2, K * N, b);
  for (int i = 0; i < K * M; i++) a32[i] = (float)a[i];
  for (int i = 0; i < K * N; i++) b32[i] = (float)b[i];
  product_by_definition(M, N, K, a, b, expected);
  blas->dgemm("T", "N", &m, &n, &k, &one, a, &k, b, &k, &zero, c, &m);
  blas->sgemm("T", "N", &m, &n, &k, &one32, a32, &k, b32, &k, &zero32, c32, &m);
  for (int i = 0; i < M * N; i++) {
    assert_true(fabs(c[i] - expected[i]) < 1e-13);
    assert_true(fabs((double)c32[i] - expected[i]) < 2e-5);
  }
}

/* ||A V - V diag(w)|| and ||V^T V - 1||, largest entries. */
static void eigen_errors(int n, const double *a, const double *v, const double *w, double *residual,
                         double *orthogonality) {
  *residual = *orthogonality = 0;
  for (int j = 0; j < n; j++)
    for (int i = 0; i < n; i++) {
      double r = -w[j] * v[i + j * n], o = i == j ? -1 : 0;
      for (int l = 0; l < n; l++) {
        r += a[i + l * n] * v[l + j * n];
        o += v[l + i * n] * v[l + j * n];
      }
      *residual = fmax(*residual, fabs(r));
      *orthogonality = fmax(*orthogonality, fabs(o));
    }
}

enum { LARGEST = 70 };

static void check_eigen(qds_context *ctx) {
  static double a[LARGEST * LARGEST], v[LARGEST * LARGEST], w[LARGEST];
  const int orders[] = {1, 2, 7, 30, LARGEST};
  for (size_t t = 0; t < sizeof orders / sizeof *orders; t++) {
    const int n = orders[t];
    double residual, orthogonality;
    fill(100 + t, (size_t)(n * n), a);
    for (int j = 0; j < n; j++)
      for (int i = 0; i < j; i++) a[i + j * n] = a[j + i * n];
    memcpy(v, a, sizeof *a * (size_t)(n * n));
    assert_ok(qds_symmetric_eigen(ctx, n, v, w));
    for (int i = 1; i < n; i++) assert_true(w[i - 1] <= w[i]);
    eigen_errors(n, a, v, w, &residual, &orthogonality);
    if (residual > 1e-12 || orthogonality > 1e-12)
      fail_msg("order %d, seed %zu: residual %g, orthogonality %g", n, 100 + t, residual, orthogonality);
  }
}

/* The second difference matrix has the eigenvalues 2 - 2 cos(j pi / (n+1)). */
static void check_known_eigenvalues(qds_context *ctx) {
  enum { n = 40 };
  static double a[n * n], w[n];
  memset(a, 0, sizeof a);
  for (int i = 0; i < n; i++) a[i + i * n] = 2;
  for (int i = 1; i < n; i++) a[i + (i - 1) * n] = a[i - 1 + i * n] = -1;
  assert_ok(qds_symmetric_eigen(ctx, n, a, w));
  for (int j = 1; j <= n; j++) assert_true(fabs(w[j - 1] - (2 - 2 * cos(j * M_PI / (n + 1)))) < 1e-13);
}

static void check_refusals(qds_context *ctx) {
  double w[3], with_nan[9] = {1, 0, 0, 0, 2, 0, 0, NAN, 3}, with_infinity[4] = {1, 0, 0, INFINITY};
  assert_fails(qds_symmetric_eigen(ctx, 3, with_nan, w), QDS_ERROR_NUMERIC, "row 1, column 2");
  assert_fails(qds_symmetric_eigen(ctx, 2, with_infinity, w), QDS_ERROR_NUMERIC, "row 1, column 1");
  assert_fails(qds_symmetric_eigen(ctx, -1, with_nan, w), QDS_ERROR_ARGUMENT, "order -1");
  assert_fails(qds_symmetric_eigen(ctx, 40000, with_nan, w), QDS_ERROR_ARGUMENT, "order 40000");
  assert_ok(qds_symmetric_eigen(ctx, 0, NULL, NULL));
}

static void check_environment(qds_context *ctx) {
  const qds_blas *blas, *again;
  unsetenv("OPENBLAS_CORETYPE");
  setenv("OPENBLAS_NUM_THREADS", "7", 1);
  assert_ok(qds_blas_get(ctx, &blas));
  assert_ok(qds_blas_get(ctx, &again));
  assert_ptr_equal(blas, again);
  assert_null(getenv("OPENBLAS_CORETYPE"));
  assert_string_equal(getenv("OPENBLAS_NUM_THREADS"), "7");
  assert_true(strlen(blas->library) > 0 && strlen(blas->version) > 0 && strlen(blas->core) > 0);
  print_message("%s, %s, %s\n", blas->library, blas->version, blas->core);
  if (strncmp(blas->version, "OpenBLAS", 8) == 0 && __builtin_cpu_supports("avx2")) {
    assert_string_not_equal(blas->core, "Prescott");
    assert_string_not_equal(blas->core, "unknown");
  }
}

static void check_missing_library(qds_context *ctx) {
  const qds_blas *blas;
  setenv("QDSIM_BLAS", "/nonexistent", 1);
  assert_fails(qds_blas_get(ctx, &blas), QDS_ERROR_UNSUPPORTED, "QDSIM_BLAS=/nonexistent");
  assert_null(blas);
  setenv("QDSIM_BLAS", "libm.so.6", 1);
  assert_fails(qds_blas_get(ctx, &blas), QDS_ERROR_UNSUPPORTED, "has no dgemm_");
  unsetenv("QDSIM_BLAS");
  assert_ok(qds_blas_get(ctx, &blas));
}

/* A BLAS without LAPACK takes it from liblapack.so.3. */
static void check_separate_lapack(qds_context *ctx) {
  void *present = dlopen("libblas.so.3", RTLD_NOW | RTLD_LOCAL);
  void *lapack = dlopen("liblapack.so.3", RTLD_NOW | RTLD_LOCAL);
  const int testable = present && lapack;
  if (present) dlclose(present);
  if (lapack) dlclose(lapack);
  if (!testable) {
    print_message("skipped: no libblas.so.3 with liblapack.so.3 on this machine\n");
    return;
  }
  setenv("QDSIM_BLAS", "libblas.so.3", 1);
  check_gemm(ctx);
  check_eigen(ctx);
  unsetenv("QDSIM_BLAS");
}

static qds_status load_and_solve(qds_context *ctx, void *data) {
  double a[4] = {2, 1, 1, 2}, w[2];
  (void)data;
  return qds_symmetric_eigen(ctx, 2, a, w);
}

static void check_out_of_memory(qds_context *ctx) {
  const qds_blas *blas;
  setenv("OPENBLAS_NUM_THREADS", "7", 1);
  setenv("BLIS_NUM_THREADS", "7", 1);
  for (uint64_t n = 1; n <= 3; n++) {
    qds_memory_row memory;
    qds_context_fail_allocation(ctx, n);
    assert_fails(qds_blas_get(ctx, &blas), QDS_ERROR_MEMORY, "");
    qds_context_fail_allocation(ctx, 0);
    qds_context_memory(ctx, &memory);
    assert_int_equal(memory.current_bytes, 0);
    assert_string_equal(getenv("OPENBLAS_NUM_THREADS"), "7");
  }
  assert_ok(qds_blas_get(ctx, &blas));
  assert_int_equal(fail_each_allocation(ctx, load_and_solve, NULL), 2);
}

static void test_gemm(void **state) {
  (void)state, with_context_on("cpu", 1, check_gemm);
}
static void test_eigen(void **state) {
  (void)state, with_context_on("cpu", 1, check_eigen);
}
static void test_known_eigenvalues(void **state) {
  (void)state, with_context_on("cpu", 1, check_known_eigenvalues);
}
static void test_refusals(void **state) {
  (void)state, with_context_on("cpu", 1, check_refusals);
}
static void test_environment(void **state) {
  (void)state, with_context_on("cpu", 1, check_environment);
}
static void test_missing_library(void **state) {
  (void)state, with_context_on("cpu", 1, check_missing_library);
}
static void test_separate_lapack(void **state) {
  (void)state, with_context_on("cpu", 1, check_separate_lapack);
}
static void test_out_of_memory(void **state) {
  (void)state, with_context_on("cpu", 1, check_out_of_memory);
}

static char loaded_name[4096];

static void check_and_keep_name(qds_context *ctx) {
  const qds_blas *blas;
  assert_ok(qds_blas_get(ctx, &blas));
  snprintf(loaded_name, sizeof loaded_name, "%s", blas->library);
}

/* The library goes with its context. */
static void test_unloading(void **state) {
  (void)state;
  with_context_on("cpu", 1, check_and_keep_name);
  assert_null(dlopen(loaded_name, RTLD_LAZY | RTLD_NOLOAD));
}

/* Freed blocks that the sanitizer keeps for a while would look like mappings that were left behind. */
__attribute__((visibility("default"))) const char *__asan_default_options(void) {
  return "quarantine_size_mb=1";
}

static size_t mapped_kib(void) {
  char line[256];
  size_t kib = 0;
  FILE *file = fopen("/proc/self/status", "re");
  assert_non_null(file);
  while (fgets(line, sizeof line, file) && sscanf(line, "VmSize: %zu kB", &kib) != 1) continue;
  fclose(file);
  return kib;
}

/* Loading and unloading again and again must leave no mappings behind. The C library's heap comes to rest
 * only after some rounds: it fits aligned slabs of new contexts between what the rounds before left. */
static void test_reloading(void **state) {
  (void)state;
#ifdef QDSIM_THREAD_SANITIZER /* its shadow of what was unloaded stays mapped */
  skip();
#endif
  for (int i = 0; i < 20; i++) with_context_on("cpu", 1, check_gemm);
  const size_t before = mapped_kib();
  for (int i = 0; i < 20; i++) with_context_on("cpu", 1, check_gemm);
  const size_t after = mapped_kib();
  if (after > before + 1024) fail_msg("%zu KiB mapped before, %zu after", before, after);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_gemm),
      cmocka_unit_test(test_eigen),
      cmocka_unit_test(test_known_eigenvalues),
      cmocka_unit_test(test_refusals),
      cmocka_unit_test(test_environment),
      cmocka_unit_test(test_missing_library),
      cmocka_unit_test(test_separate_lapack),
      cmocka_unit_test(test_out_of_memory),
      cmocka_unit_test(test_unloading),
      cmocka_unit_test(test_reloading),
  };
  return cmocka_run_group_tests_name("blas", tests, NULL, NULL);
}

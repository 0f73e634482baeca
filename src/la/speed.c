#include "la/speed.h"

#include <omp.h>

/* Large enough for full speed, small enough for the second-level cache of a core to hold a good part. */
enum { GEMM_ORDER = 384 };

/* Values that neither overflow nor become denormal however often they are multiplied and overwritten. */
static void fill_matrices(size_t count, double *a, float *a32) {
  for (size_t i = 0; i < count; i++) {
    a[i] = 0.5 + (double)(i % 17) / 17;
    a32[i] = (float)a[i];
  }
}

typedef void (*product_fn)(const qds_blas *blas, const void *a, void *c);

static void product_f64(const qds_blas *blas, const void *a, void *c) {
  const int n = GEMM_ORDER;
  const double one = 1, zero = 0;
  blas->dgemm("N", "N", &n, &n, &n, &one, a, &n, a, &n, &zero, c, &n);
}

static void product_f32(const qds_blas *blas, const void *a, void *c) {
  const int n = GEMM_ORDER;
  const float one = 1, zero = 0;
  blas->sgemm("N", "N", &n, &n, &n, &one, a, &n, a, &n, &zero, c, &n);
}

/* One thread's products c = a a until the time is over, in flops per second. */
static double repeat(const qds_blas *blas, product_fn product, double seconds, const void *a, void *c) {
  const double start = qds_seconds();
  double elapsed = 0;
  int products = 0;
  while (elapsed < seconds) {
    product(blas, a, c);
    products++;
    elapsed = qds_seconds() - start;
  }
  return 2.0 * GEMM_ORDER * GEMM_ORDER * GEMM_ORDER * products / elapsed;
}

qds_status qds_measure_gemm(qds_context *ctx, double seconds, qds_gemm_speed *out) {
  *out = (qds_gemm_speed){.order = GEMM_ORDER};
  const qds_blas *blas;
  QDS_TRY(qds_blas_get(ctx, &blas));
  const int threads = qds_context_threads(ctx);
  const size_t entries = (size_t)GEMM_ORDER * GEMM_ORDER, room = entries * (size_t)threads;
  qds_allocator *allocator = qds_context_allocator(ctx);
  QDS_AUTO_RELEASE double *a = NULL, *c = NULL;
  QDS_AUTO_RELEASE float *a32 = NULL, *c32 = NULL;
  QDS_TRY(QDS_NEW(allocator, room, "speed", &a));
  QDS_TRY(QDS_NEW(allocator, room, "speed", &c));
  QDS_TRY(QDS_NEW(allocator, room, "speed", &a32));
  QDS_TRY(QDS_NEW(allocator, room, "speed", &c32));
  double f64 = 0, f32 = 0;
  /* The first products warm up caches and clock and are not counted. */
#pragma omp parallel num_threads(threads) reduction(+ : f64, f32)
  {
    const size_t own = entries * (size_t)omp_get_thread_num();
    fill_matrices(entries, a + own, a32 + own);
    repeat(blas, product_f64, 0.1 * seconds, a + own, c + own);
#pragma omp barrier
    f64 += repeat(blas, product_f64, seconds, a + own, c + own);
#pragma omp barrier
    repeat(blas, product_f32, 0.1 * seconds, a32 + own, c32 + own);
#pragma omp barrier
    f32 += repeat(blas, product_f32, seconds, a32 + own, c32 + own);
  }
  out->dgemm_flops = f64;
  out->sgemm_flops = f32;
  return QDS_OK;
}

static double triad_pass(int threads, int64_t count, double *a, const double *b, const double *c) {
  const double start = qds_seconds();
#pragma omp parallel for num_threads(threads) schedule(static)
  for (int64_t i = 0; i < count; i++) a[i] = b[i] + 3.0 * c[i];
  return qds_seconds() - start;
}

qds_status qds_measure_memory(qds_context *ctx, double seconds, size_t cache_bytes, qds_memory_speed *out) {
  /* STREAM asks for four times the cache in each array. All three together are kept below 384 MiB, so that
   * the measurement neither takes long nor drives a small machine into its swap. */
  const size_t least = (size_t)32 << 20, most = (size_t)128 << 20, wanted = 4 * cache_bytes;
  const size_t bytes = wanted < least ? least : wanted > most ? most : wanted;
  const int64_t count = (int64_t)(bytes / sizeof(double));
  const int threads = qds_context_threads(ctx);
  *out = (qds_memory_speed){.array_bytes = bytes};
  qds_allocator *allocator = qds_context_allocator(ctx);
  QDS_AUTO_RELEASE double *a = NULL, *b = NULL, *c = NULL;
  QDS_TRY(qds_context_reserve_check(ctx, 3 * bytes, "the measurement of the memory bandwidth"));
  QDS_TRY(QDS_NEW(allocator, count, "speed", &a));
  QDS_TRY(QDS_NEW(allocator, count, "speed", &b));
  QDS_TRY(QDS_NEW(allocator, count, "speed", &c));
  /* First touch by the threads that will use the pages. */
#pragma omp parallel for num_threads(threads) schedule(static)
  for (int64_t i = 0; i < count; i++) a[i] = b[i] = c[i] = (double)(i & 1);
  double best = triad_pass(threads, count, a, b, c);
  const double start = qds_seconds();
  while (qds_seconds() - start < seconds) {
    const double elapsed = triad_pass(threads, count, a, b, c);
    if (elapsed < best) best = elapsed;
  }
  out->bytes_per_s = 24.0 * (double)count / best;
  return QDS_OK;
}

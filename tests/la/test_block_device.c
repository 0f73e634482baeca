/* The passes over blocks on every device against the same in host memory. */
#include "device_support.h"

#include <pthread.h>

#include "base/philox.h"
#include "la/block.h"

#define AUTO_BLOCK __attribute__((cleanup(qds_block_clear))) qds_block

/* The last case has more columns than a device combines at once. */
enum { MOST_COLUMNS = 150, CASES = 18 };

typedef struct {
  qds_block host, device;
} twin;

static void twin_create(qds_context *ctx, qds_stream *stream, int64_t rows, int columns, uint64_t numbers,
                        twin *t) {
  assert_ok(qds_block_create(ctx, rows, columns, "host", &t->host));
  assert_ok(qds_block_create_on(ctx, stream, rows, columns, "device", &t->device));
  assert_ok(qds_block_fill_random(ctx, &t->host, numbers));
  assert_ok(qds_block_copy(&t->host, &t->device));
}

static void twin_clear(twin *t) {
  qds_block_clear(&t->host);
  qds_block_clear(&t->device);
}

static void twin_part(const twin *t, int first, int count, twin *out) {
  *out = (twin){qds_block_part(&t->host, first, count), qds_block_part(&t->device, first, count)};
}

/* The device's block holds the same numbers as the host's, but for rounding. */
static void assert_twins_agree(qds_context *ctx, const twin *t) {
  qds_block back;
  assert_ok(qds_block_create(ctx, t->host.rows, t->host.columns, "back", &back));
  assert_ok(qds_block_copy(&t->device, &back));
  for (int j = 0; j < back.columns; j++)
    for (int64_t i = 0; i < back.rows; i++)
      assert_close(qds_block_column(&back, j)[i], qds_block_column(&t->host, j)[i], 1e-11);
  qds_block_clear(&back);
}

static double uniform(uint64_t seed, uint64_t index) {
  return qds_random_uniform(seed, 7, index);
}

/* Some rows, and m columns of each of x, p, w, aw, with p and w not always whole. */
typedef struct {
  int64_t rows;
  int m, np, nw;
  twin x, p, w, aw;
} problem;

static void problem_fill(qds_context *ctx, qds_stream *stream, uint64_t seed, problem *q) {
  twin *const blocks[] = {&q->x, &q->p, &q->w, &q->aw};
  for (uint64_t b = 0; b < 4; b++) twin_create(ctx, stream, q->rows, q->m, 100 * b + 1000 * seed, blocks[b]);
}

static void problem_create(qds_context *ctx, qds_stream *stream, uint64_t seed, problem *q) {
  static const int columns[CASES] = {1,  2,  3,  4,  5,  6,  8,  9,  10,
                                     12, 16, 17, 20, 24, 30, 33, 40, MOST_COLUMNS};
  *q = (problem){.rows = 1 + (int64_t)(uniform(seed, 0) * 5000), .m = columns[seed % CASES]};
  if (q->m == MOST_COLUMNS) q->rows += 5000; /* in more than one piece */
  /* More than a device works on at once. */
  if (q->m == 1 || q->m == 6 || q->m == 20) q->rows += 70000;
  q->np = (int)(uniform(seed, 1) * (q->m + 1));
  q->nw = 1 + (int)(uniform(seed, 2) * q->m);
  print_message("seed %llu: %lld rows, %d + %d + %d columns\n", (unsigned long long)seed, (long long)q->rows,
                q->m, q->np, q->nw);
  problem_fill(ctx, stream, seed, q);
}

static void problem_clear(problem *q) {
  twin *const blocks[] = {&q->x, &q->p, &q->w, &q->aw};
  for (int b = 0; b < 4; b++) twin_clear(blocks[b]);
}

static void assert_gram_agrees(qds_context *ctx, const problem *q) {
  static double host[6 * MOST_COLUMNS * MOST_COLUMNS], device[6 * MOST_COLUMNS * MOST_COLUMNS];
  twin p, w, aw;
  twin_part(&q->p, 0, q->np, &p);
  twin_part(&q->w, 0, q->nw, &w);
  twin_part(&q->aw, 0, q->nw, &aw);
  assert_ok(qds_blocks_gram(ctx, (const qds_block *[]){&w.host, &aw.host},
                            (const qds_block *[]){&q->x.host, &p.host, &w.host}, host));
  assert_ok(qds_blocks_gram(ctx, (const qds_block *[]){&w.device, &aw.device},
                            (const qds_block *[]){&q->x.device, &p.device, &w.device}, device));
  for (int i = 0; i < 2 * q->nw * (q->m + q->np + q->nw); i++)
    assert_close(device[i], host[i], 1e-11 * (double)q->rows);
}

static void gram_agrees(qds_context *ctx, qds_stream *stream) {
  for (uint64_t seed = 0; seed < CASES; seed++) {
    problem q;
    problem_create(ctx, stream, seed, &q);
    assert_gram_agrees(ctx, &q);
    problem_clear(&q);
  }
}

/* From 25 columns on a device may work in another way, through stages of 64 rows: none of them full, the last
 * one full or not, and more than are on their way at once. */
static void gram_of_many_columns_agrees(qds_context *ctx, qds_stream *stream) {
  static const int64_t rows[] = {1, 2, 63, 64, 65, 128, 191, 513, 5003, 70016};
  enum { ROWS = sizeof rows / sizeof *rows };
  for (int m = 25; m <= 33; m++)
    for (int r = 0; r < ROWS; r++) {
      if (rows[r] > 10000 && m != 30) continue; /* takes long */
      problem q = {.rows = rows[r], .m = m};
      problem_fill(ctx, stream, (uint64_t)(100 * m + r), &q);
      const int used[][2] = {{0, m}, {7, m}, {m, m}, {m, 25}}; /* of p and of w */
      for (size_t i = 0; i < sizeof used / sizeof *used; i++) {
        q.np = used[i][0];
        q.nw = used[i][1];
        assert_gram_agrees(ctx, &q);
      }
      problem_clear(&q);
    }
}

/* [x p] = [x p w] c, in place. */
static void assert_combination_agrees(qds_context *ctx, const problem *q, const double *c) {
  twin p, w, to;
  twin_part(&q->p, 0, q->np, &p);
  twin_part(&q->w, 0, q->nw, &w);
  twin_part(&q->p, 0, q->nw, &to);
  assert_ok(qds_blocks_combine(ctx, (const qds_block *[]){&q->x.host, &p.host, &w.host}, c,
                               (const qds_block *[]){&q->x.host, &to.host}));
  assert_ok(qds_blocks_combine(ctx, (const qds_block *[]){&q->x.device, &p.device, &w.device}, c,
                               (const qds_block *[]){&q->x.device, &to.device}));
  assert_twins_agree(ctx, &q->x);
  assert_twins_agree(ctx, &q->p);
}

static void assert_added_product_agrees(qds_context *ctx, const twin *x, const double *c, twin *y) {
  assert_ok(qds_block_add_product(ctx, &x->host, c, &y->host));
  assert_ok(qds_block_add_product(ctx, &x->device, c, &y->device));
  assert_twins_agree(ctx, y);
}

static void fill_coefficients(uint64_t seed, int count, double *c) {
  for (int i = 0; i < count; i++) c[i] = uniform(seed, 10 + (uint64_t)i) - 0.5;
}

static void combinations_agree(qds_context *ctx, qds_stream *stream) {
  static double c[6 * MOST_COLUMNS * MOST_COLUMNS];
  for (uint64_t seed = 0; seed < CASES; seed++) {
    problem q;
    problem_create(ctx, stream, seed, &q);
    fill_coefficients(seed, (q.m + q.np + q.nw) * (q.m + q.nw), c);
    assert_combination_agrees(ctx, &q, c);
    assert_added_product_agrees(ctx, &q.x, c, &q.aw);
    problem_clear(&q);
  }
}

/* Through stages of 128 rows: none of them full, the last one full or not, and more than one for a part of
 * the device. */
static void combinations_of_many_columns_agree(qds_context *ctx, qds_stream *stream) {
  static const int64_t rows[] = {1, 2, 63, 64, 65, 127, 128, 129, 513, 5003, 70016};
  enum { ROWS = sizeof rows / sizeof *rows, MOST = 33 };
  static double c[6 * MOST * MOST];
  for (int m = 25; m <= MOST; m++)
    for (int r = 0; r < ROWS; r++) {
      if (rows[r] > 10000 && m != 30) continue; /* takes long */
      const uint64_t seed = (uint64_t)(100 * m + r);
      problem q = {.rows = rows[r], .m = m};
      problem_fill(ctx, stream, seed, &q);
      fill_coefficients(seed, 6 * m * m, c);
      const int used[][2] = {{0, m}, {7, m}, {m, m}, {m, 25}}; /* of p and of w */
      for (size_t i = 0; i < sizeof used / sizeof *used; i++) {
        q.np = used[i][0];
        q.nw = used[i][1];
        assert_combination_agrees(ctx, &q, c);
      }
      problem_clear(&q);
    }
}

/* With more than 32 outputs of many rows, on an H200 from 135168 on, a device may read them in pieces of 256
 * rows: the last one whole, or short and of an odd number of rows. */
static void combinations_of_many_rows_agree(qds_context *ctx, qds_stream *stream) {
  static const struct {
    int64_t rows;
    int m;
  } sizes[] = {{135423, 17}, {135169, 24}, {135681, 30}, {135168, 32}};
  static double c[6 * 32 * 32];
  for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
    const int m = sizes[i].m;
    problem q = {.rows = sizes[i].rows, .m = m, .np = m, .nw = m};
    problem_fill(ctx, stream, i, &q);
    fill_coefficients(i, 6 * m * m, c);
    assert_combination_agrees(ctx, &q, c);
    assert_added_product_agrees(ctx, &q.x, c, &q.aw);
    problem_clear(&q);
  }
}

static void added_products_of_many_columns_agree(qds_context *ctx, qds_stream *stream) {
  static const int64_t rows[] = {1, 2, 63, 64, 65, 127, 128, 129, 513, 5003};
  static double c[6 * 33 * 33];
  fill_coefficients(1, sizeof c / sizeof *c, c);
  for (int m = 25; m <= 33; m++)
    for (size_t r = 0; r < sizeof rows / sizeof *rows; r++) {
      twin x, y;
      twin_create(ctx, stream, rows[r], 3 * m, 1, &x);
      twin_create(ctx, stream, rows[r], 2 * m, 200, &y);
      assert_added_product_agrees(ctx, &x, c, &y);
      twin_clear(&x);
      twin_clear(&y);
    }
}

static void residuals_agree(qds_context *ctx, qds_stream *stream) {
  for (uint64_t seed = 0; seed < CASES; seed++) {
    problem q;
    double values[MOST_COLUMNS], host[MOST_COLUMNS], device[MOST_COLUMNS];
    problem_create(ctx, stream, seed, &q);
    for (int j = 0; j < q.m; j++) values[j] = uniform(seed, 20 + (uint64_t)j);
    assert_ok(qds_block_residual(ctx, &q.x.host, values, &q.w.host, host));
    assert_ok(qds_block_residual(ctx, &q.x.device, values, &q.w.device, device));
    for (int j = 0; j < q.m; j++) assert_close(device[j], host[j], 1e-12 * host[j]);
    assert_twins_agree(ctx, &q.w);
    problem_clear(&q);
  }
}

static void random_numbers_agree(qds_context *ctx, qds_stream *stream) {
  twin t;
  twin_create(ctx, stream, 1001, 3, 1, &t);
  assert_ok(qds_block_fill_random(ctx, &t.host, 5));
  assert_ok(qds_block_fill_random(ctx, &t.device, 5));
  assert_twins_agree(ctx, &t);
  assert_ok(qds_block_add_random(ctx, 0.25, &t.host, 9));
  assert_ok(qds_block_add_random(ctx, 0.25, &t.device, 9));
  assert_twins_agree(ctx, &t);
  twin_clear(&t);
}

/* A thread with a context of its own. Kernels want another amount of shared memory for each of the numbers of
 * columns. */
typedef struct {
  const char *device;
  int m;
  qds_status status;
  double worst;
} asker;

static qds_status ask(qds_context *ctx, asker *a) {
  enum { ROWS = 3001, ROUNDS = 60, MOST = 40 };
  double host[MOST * MOST], device[MOST * MOST];
  AUTO_BLOCK x = {0}, y = {0}, z = {0};
  QDS_TRY(qds_block_create(ctx, ROWS, a->m, "host", &x));
  QDS_TRY(qds_block_create_on(ctx, qds_context_stream(ctx), ROWS, a->m, "device", &y));
  QDS_TRY(qds_block_create_on(ctx, qds_context_stream(ctx), ROWS, a->m, "device", &z));
  QDS_TRY(qds_block_fill_random(ctx, &x, (uint64_t)a->m));
  QDS_TRY(qds_block_gram(ctx, &x, &x, host));
  QDS_TRY(qds_block_copy(&x, &y));
  QDS_TRY(qds_block_copy(&x, &z));
  for (int round = 0; round < ROUNDS; round++) {
    QDS_TRY(qds_block_gram(ctx, &y, &y, device));
    for (int i = 0; i < a->m * a->m; i++) a->worst = fmax(a->worst, fabs(device[i] - host[i]));
    QDS_TRY(qds_block_add_product(ctx, &y, host, &z));
  }
  return QDS_OK;
}

static void *ask_in_own_context(void *argument) {
  asker *a = argument;
  qds_context_options options = QDS_CONTEXT_OPTIONS_INIT;
  options.device = a->device;
  options.threads = 1;
  qds_context *ctx = NULL;
  a->status = qds_context_create(&options, &ctx);
  if (a->status == QDS_OK) a->status = ask(ctx, a);
  if (a->status != QDS_OK) print_message("%d columns: %s\n", a->m, qds_last_error()->message);
  qds_context_destroy(ctx);
  return NULL;
}

static void threads_do_not_disturb_each_other(qds_context *ctx, qds_stream *stream) {
  (void)stream;
  static const int columns[] = {12, 17, 25, 40};
  enum { THREADS = sizeof columns / sizeof *columns };
  pthread_t threads[THREADS];
  asker askers[THREADS];
  for (int t = 0; t < THREADS; t++) {
    askers[t] = (asker){.device = qds_context_device(ctx), .m = columns[t]};
    assert_int_equal(pthread_create(&threads[t], NULL, ask_in_own_context, &askers[t]), 0);
  }
  for (int t = 0; t < THREADS; t++) pthread_join(threads[t], NULL);
  for (int t = 0; t < THREADS; t++) {
    assert_int_equal(askers[t].status, QDS_OK);
    assert_close(askers[t].worst, 0, 1e-8);
  }
}

static void places_are_not_mixed(qds_context *ctx, qds_stream *stream) {
  twin t;
  double gram[4];
  twin_create(ctx, stream, 10, 1, 1, &t);
  assert_fails(qds_block_gram(ctx, &t.host, &t.device, gram), QDS_ERROR_ARGUMENT, "different places");
  assert_fails(qds_block_add_product(ctx, &t.host, gram, &t.device), QDS_ERROR_ARGUMENT, "different places");
  twin_clear(&t);
}

DEVICE_TEST(gram_agrees)
DEVICE_TEST(gram_of_many_columns_agrees)
DEVICE_TEST(combinations_agree)
DEVICE_TEST(combinations_of_many_columns_agree)
DEVICE_TEST(combinations_of_many_rows_agree)
DEVICE_TEST(added_products_of_many_columns_agree)
DEVICE_TEST(residuals_agree)
DEVICE_TEST(random_numbers_agree)
DEVICE_TEST(threads_do_not_disturb_each_other)
DEVICE_TEST(places_are_not_mixed)

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_gram_agrees),
      cmocka_unit_test(test_gram_of_many_columns_agrees),
      cmocka_unit_test(test_combinations_agree),
      cmocka_unit_test(test_combinations_of_many_columns_agree),
      cmocka_unit_test(test_combinations_of_many_rows_agree),
      cmocka_unit_test(test_added_products_of_many_columns_agree),
      cmocka_unit_test(test_residuals_agree),
      cmocka_unit_test(test_random_numbers_agree),
      cmocka_unit_test(test_threads_do_not_disturb_each_other),
      cmocka_unit_test(test_places_are_not_mixed),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}

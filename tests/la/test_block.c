/* Blocks against sums written out, for shapes around the tile size and for several thread counts. */
#include "support.h"

#include "la/block.h"

typedef struct {
  int64_t rows;
  int a, b;
} shape;

static const shape shapes[] = {{1, 1, 1},    {7, 3, 2},     {1023, 2, 5},   {1024, 4, 4},
                               {1025, 1, 6}, {5000, 11, 3}, {140000, 2, 3}, {4096, 3, 3}};
enum { SHAPES = sizeof shapes / sizeof *shapes };

static void make_pair(qds_context *ctx, shape s, qds_block *a, qds_block *b) {
  assert_ok(qds_block_create(ctx, s.rows, s.a, "a", a));
  assert_ok(qds_block_create(ctx, s.rows, s.b, "b", b));
  qds_block_fill_random(ctx, a, 0);
  qds_block_fill_random(ctx, b, 100);
}

static void columns_are_aligned(qds_context *ctx) {
  for (int64_t rows = 1; rows < 2000; rows += 37) {
    qds_block block;
    assert_ok(qds_block_create(ctx, rows, 3, "block", &block));
    assert_true(block.stride >= rows);
    for (int j = 0; j < 3; j++) assert_int_equal((uintptr_t)qds_block_column(&block, j) % QDS_ALIGNMENT, 0);
    const qds_block part = qds_block_part(&block, 1, 2);
    assert_ptr_equal(part.data, qds_block_column(&block, 1));
    qds_block_clear(&block);
    assert_null(block.data);
    qds_block_clear(&block);
  }
  qds_block block;
  assert_fails(qds_block_create(ctx, -1, 1, "block", &block), QDS_ERROR_ARGUMENT, "-1 rows");
  assert_fails(qds_block_create(ctx, INT64_MAX / 32, 1 << 20, "block", &block), QDS_ERROR_MEMORY, "block");
  assert_null(block.data);
}

static void gram_is_the_table_of_dot_products(qds_context *ctx) {
  for (int s = 0; s < SHAPES; s++) {
    qds_block a, b;
    make_pair(ctx, shapes[s], &a, &b);
    double gram[64];
    for (int i = 0; i < 64; i++) gram[i] = NAN;
    assert_ok(qds_block_gram(ctx, &a, &b, gram));
    for (int j = 0; j < b.columns; j++)
      for (int i = 0; i < a.columns; i++) {
        double sum = 0, size = 0;
        for (int64_t r = 0; r < a.rows; r++) {
          const double term = qds_block_column(&a, i)[r] * qds_block_column(&b, j)[r];
          sum += term;
          size += fabs(term);
        }
        assert_close(gram[i + j * a.columns], sum, 1e-14 * size);
        assert_close(qds_vector_dot(ctx, a.rows, qds_block_column(&a, i), qds_block_column(&b, j)), sum,
                     1e-14 * size);
      }
    qds_block_clear(&a);
    qds_block_clear(&b);
  }
}

static void product_is_added(qds_context *ctx) {
  for (int s = 0; s < SHAPES; s++) {
    qds_block x, y;
    make_pair(ctx, shapes[s], &x, &y);
    double c[64];
    for (int i = 0; i < 64; i++) c[i] = 0.25 * i - 1;
    QDS_AUTO_RELEASE double *expected = NULL;
    assert_ok(QDS_NEW(qds_context_allocator(ctx), y.rows * y.columns, "expected", &expected));
    for (int j = 0; j < y.columns; j++)
      for (int64_t r = 0; r < y.rows; r++) {
        double sum = qds_block_column(&y, j)[r];
        for (int i = 0; i < x.columns; i++) sum += qds_block_column(&x, i)[r] * c[i + j * x.columns];
        expected[j * y.rows + r] = sum;
      }
    assert_ok(qds_block_add_product(ctx, &x, c, &y));
    for (int j = 0; j < y.columns; j++)
      for (int64_t r = 0; r < y.rows; r++)
        assert_close(qds_block_column(&y, j)[r], expected[j * y.rows + r], 1e-12);
    qds_block_clear(&x);
    qds_block_clear(&y);
  }
}

static void empty_blocks_are_allowed(qds_context *ctx) {
  qds_block none, some;
  assert_ok(qds_block_create(ctx, 10, 0, "none", &none));
  assert_ok(qds_block_create(ctx, 10, 2, "some", &some));
  qds_block_fill_random(ctx, &some, 0);
  const double before = some.data[0];
  double unused = 5;
  assert_ok(qds_block_gram(ctx, &none, &some, &unused));
  assert_ok(qds_block_add_product(ctx, &none, &unused, &some));
  assert_true(some.data[0] == before && unused == 5);
  qds_block_clear(&none);
  qds_block_clear(&some);

  qds_block a, b;
  assert_ok(qds_block_create(ctx, 0, 1, "a", &a));
  assert_ok(qds_block_create(ctx, 0, 1, "b", &b));
  assert_ok(qds_block_gram(ctx, &a, &b, &unused));
  assert_true(unused == 0);
  qds_block_clear(&a);
  qds_block_clear(&b);
}

static void unequal_rows_are_refused(qds_context *ctx) {
  qds_block a, b;
  double c = 0;
  assert_ok(qds_block_create(ctx, 10, 1, "a", &a));
  assert_ok(qds_block_create(ctx, 11, 1, "b", &b));
  assert_fails(qds_block_gram(ctx, &a, &b, &c), QDS_ERROR_ARGUMENT, "10 and 11 rows");
  assert_fails(qds_block_add_product(ctx, &a, &c, &b), QDS_ERROR_ARGUMENT, "10 and 11 rows");
  qds_block_clear(&a);
  qds_block_clear(&b);
}

static void random_columns_are_standard_normal(qds_context *ctx) {
  qds_block x;
  assert_ok(qds_block_create(ctx, 200000, 2, "x", &x));
  qds_block_fill_random(ctx, &x, 3);
  double gram[4], ones_sum = 0;
  assert_ok(qds_block_gram(ctx, &x, &x, gram));
  for (int64_t i = 0; i < x.rows; i++) ones_sum += x.data[i];
  const double n = (double)x.rows;
  /* Five standard deviations of the mean, of the variance and of the correlation. */
  assert_close(ones_sum / n, 0, 5 / sqrt(n));
  assert_close(gram[0] / n, 1, 5 * sqrt(2 / n));
  assert_close(gram[1] / n, 0, 5 / sqrt(n));
  assert_true(gram[1] == gram[2]);
  /* A part takes the same numbers: column j belongs to stream + j. */
  const double first = qds_block_column(&x, 1)[1234];
  qds_block part = qds_block_part(&x, 1, 1);
  qds_block_fill_random(ctx, &part, 4);
  assert_true(part.data[1234] == first);
  qds_block_clear(&x);
}

enum { RESULTS = SHAPES * 130 };

static void collect(qds_context *ctx, double *results) {
  memset(results, 0, RESULTS * sizeof *results);
  for (int s = 0; s < SHAPES; s++) {
    qds_block a, b;
    make_pair(ctx, shapes[s], &a, &b);
    double *gram = results + s * 130;
    assert_ok(qds_block_gram(ctx, &a, &b, gram));
    gram[64] = qds_vector_dot(ctx, a.rows, a.data, b.data);
    assert_ok(qds_block_add_product(ctx, &a, gram, &b));
    assert_ok(qds_block_gram(ctx, &b, &b, gram + 65));
    qds_block_clear(&a);
    qds_block_clear(&b);
  }
}

static double one_thread[RESULTS], several_threads[RESULTS];
static void collect_one(qds_context *ctx) {
  collect(ctx, one_thread);
}
static void collect_several(qds_context *ctx) {
  collect(ctx, several_threads);
}

static void test_threads(void **state) {
  (void)state;
  with_context(1, collect_one);
  for (int threads = 2; threads <= 7; threads += 5) {
    with_context(threads, collect_several);
    assert_memory_equal(one_thread, several_threads, sizeof one_thread);
  }
}

static qds_status all_calls(qds_context *ctx, void *data) {
  qds_block a __attribute__((cleanup(qds_block_clear))) = {0};
  double gram[9];
  (void)data;
  QDS_TRY(qds_block_create(ctx, 3000, 3, "a", &a));
  qds_block_fill_random(ctx, &a, 0);
  QDS_TRY(qds_block_gram(ctx, &a, &a, gram));
  return qds_block_add_product(ctx, &a, gram, &a);
}

static void memory_runs_out(qds_context *ctx) {
  assert_ok(all_calls(ctx, NULL)); /* loads BLAS, which the context keeps */
  assert_int_equal(fail_each_allocation(ctx, all_calls, NULL), 3);
}

#define TEST_IN_CONTEXT(name)                                                                                \
  static void test_##name(void **state) {                                                                    \
    (void)state;                                                                                             \
    with_context(3, name);                                                                                   \
  }
TEST_IN_CONTEXT(columns_are_aligned)
TEST_IN_CONTEXT(gram_is_the_table_of_dot_products)
TEST_IN_CONTEXT(product_is_added)
TEST_IN_CONTEXT(empty_blocks_are_allowed)
TEST_IN_CONTEXT(unequal_rows_are_refused)
TEST_IN_CONTEXT(random_columns_are_standard_normal)
TEST_IN_CONTEXT(memory_runs_out)

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_columns_are_aligned),
      cmocka_unit_test(test_gram_is_the_table_of_dot_products),
      cmocka_unit_test(test_product_is_added),
      cmocka_unit_test(test_empty_blocks_are_allowed),
      cmocka_unit_test(test_unequal_rows_are_refused),
      cmocka_unit_test(test_random_columns_are_standard_normal),
      cmocka_unit_test(test_threads),
      cmocka_unit_test(test_memory_runs_out),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}

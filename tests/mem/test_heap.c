#include "support.h"

#include "mem/heap.h"

/* The sanitizers' own allocator must refuse absurd sizes as the system's does, instead of stopping the
 * program. */
__attribute__((visibility("default"))) const char *__asan_default_options(void) {
  return "allocator_may_return_null=1";
}
__attribute__((visibility("default"))) const char *__tsan_default_options(void) {
  return "allocator_may_return_null=1";
}

static int heap_setup(void **state) {
  return qds_heap_create(0, (qds_heap **)state) == QDS_OK ? 0 : -1;
}

static int heap_teardown(void **state) {
  qds_heap_destroy(*state, NULL, NULL);
  return 0;
}

static qds_memory_row total_of(qds_heap *heap) {
  qds_memory_row total;
  qds_heap_total(heap, &total);
  return total;
}

static void blocks_are_aligned_and_apart(void **state) {
  qds_allocator *allocator = qds_heap_allocator(*state);
  enum { COUNT = 400 };
  unsigned char *blocks[COUNT];
  for (size_t i = 0; i < COUNT; i++) {
    assert_ok(QDS_NEW(allocator, i, "a", &blocks[i]));
    assert_int_equal((uintptr_t)blocks[i] % QDS_ALIGNMENT, 0);
    memset(blocks[i], (int)(i % 251), i);
  }
  for (size_t i = 0; i < COUNT; i++) {
    for (size_t j = 0; j < i; j++) assert_int_equal(blocks[i][j], i % 251);
    for (size_t j = 0; j < i; j++) assert_ptr_not_equal(blocks[i], blocks[j]);
    assert_int_equal(qds_bytes_of(blocks[i]), i);
  }
  assert_int_equal(total_of(*state).current_bytes, COUNT * (COUNT - 1) / 2);
  for (size_t i = 0; i < COUNT; i++) qds_release(blocks[i]);
  assert_int_equal(total_of(*state).current_bytes, 0);
  qds_release(NULL);
}

static void tags_count_current_and_peak(void **state) {
  qds_heap *heap = *state;
  qds_allocator *allocator = qds_heap_allocator(heap);
  char *a, *b, *c;
  qds_memory_row row;
  assert_ok(QDS_NEW(allocator, 100, "grid", &a));
  assert_ok(QDS_NEW(allocator, 1000, "psi", &b));
  qds_release(a);
  assert_ok(QDS_NEW(allocator, 30, "grid", &c));
  assert_int_equal(qds_heap_tag(heap, 0, &row), 1);
  assert_string_equal(row.tag, "grid");
  assert_true(row.current_bytes == 30 && row.peak_bytes == 100 && row.current_blocks == 1 &&
              row.total_blocks == 2);
  assert_int_equal(qds_heap_tag(heap, 1, &row), 1);
  assert_string_equal(row.tag, "psi");
  assert_true(row.current_bytes == 1000 && row.peak_bytes == 1000 && row.current_blocks == 1);
  assert_int_equal(qds_heap_tag(heap, 2, &row), 0);
  row = total_of(heap);
  assert_true(row.current_bytes == 1030 && row.peak_bytes == 1100 && row.current_blocks == 2 &&
              row.total_blocks == 3);
  qds_release(b);
  qds_release(c);
}

/* However many tags there are, their rows add up to the total. */
static void tags_without_a_row_share_one(void **state) {
  qds_heap *heap = *state;
  enum { COUNT = 300 };
  static char tags[COUNT][16];
  char *blocks[COUNT];
  qds_memory_row row;
  for (int i = 0; i < COUNT; i++) {
    snprintf(tags[i], sizeof tags[i], "t%d", i);
    assert_ok(QDS_NEW(qds_heap_allocator(heap), i, tags[i], &blocks[i]));
  }
  size_t bytes = 0, rows = 0;
  for (; qds_heap_tag(heap, rows, &row); rows++) {
    bytes += row.current_bytes;
    if (row.current_blocks != 1) assert_string_equal(row.tag, "others");
  }
  assert_string_equal(row.tag, "others");
  assert_int_equal(row.current_blocks, COUNT - (int)rows + 1);
  assert_int_equal(bytes, total_of(heap).current_bytes);
  for (int i = 0; i < COUNT; i++) qds_release(blocks[i]);
  for (size_t i = 0; qds_heap_tag(heap, i, &row); i++)
    assert_true(row.current_bytes == 0 && row.current_blocks == 0);
}

static void budget_is_exact(void **state) {
  (void)state;
  qds_heap *heap;
  char *a, *b;
  assert_ok(qds_heap_create(1000, &heap));
  qds_allocator *allocator = qds_heap_allocator(heap);
  assert_ok(QDS_NEW(allocator, 400, "a", &a));
  assert_fails(QDS_NEW(allocator, 601, "psi", &b), QDS_ERROR_BUDGET, "for psi");
  assert_null(b);
  assert_true(total_of(heap).current_bytes == 400 && total_of(heap).total_blocks == 1);
  assert_ok(QDS_NEW(allocator, 600, "psi", &b));
  assert_ok(qds_heap_reserve_check(heap, 0, "nothing"));
  assert_fails(qds_heap_reserve_check(heap, 1, "the solver"), QDS_ERROR_BUDGET, "the solver needs");
  qds_release(a);
  assert_ok(qds_heap_reserve_check(heap, 400, "the solver"));
  assert_fails(qds_heap_reserve_check(heap, 401, "the solver"), QDS_ERROR_BUDGET, "raise the memory limit");
  assert_fails(QDS_NEW(allocator, SIZE_MAX / 4, "a", &a), QDS_ERROR_BUDGET, "limit");
  qds_release(b);
  qds_heap_destroy(heap, NULL, NULL);
}

static void absurd_sizes_are_refused(void **state) {
  qds_heap *heap = *state;
  qds_allocator *allocator = qds_heap_allocator(heap);
  double *x = NULL;
  assert_fails(QDS_NEW(allocator, SIZE_MAX / 4, "x", &x), QDS_ERROR_MEMORY, "overflow");
  assert_null(x);
  assert_fails(QDS_NEW(allocator, SIZE_MAX / 8, "x", &x), QDS_ERROR_MEMORY, "address range");
  assert_fails(QDS_NEW(allocator, (size_t)1 << 57, "x", &x), QDS_ERROR_MEMORY, "the system refused");
  for (size_t less = 0; less < 300; less++) {
    char *c;
    assert_fails(QDS_NEW(allocator, SIZE_MAX - less, "x", &c), QDS_ERROR_MEMORY, "address range");
  }
  assert_true(total_of(heap).current_bytes == 0 && total_of(heap).peak_bytes == 0);
  assert_fails(qds_heap_reserve_check(heap, (size_t)1 << 60, "the solver"), QDS_ERROR_BUDGET, "are free");
}

typedef struct {
  int count, line;
  size_t bytes;
  const char *tag, *file;
} leak_list;

static void note_leak(void *user, const char *tag, size_t bytes, const char *file, int line) {
  leak_list *leaks = user;
  *leaks = (leak_list){leaks->count + 1, line, leaks->bytes + bytes, tag, file};
}

static void leaks_are_reported_with_their_source(void **state) {
  (void)state;
  qds_heap *heap;
  char *a, *b;
  leak_list leaks = {0};
  assert_ok(qds_heap_create(0, &heap));
  assert_ok(QDS_NEW(qds_heap_allocator(heap), 10, "first", &a));
  assert_ok(QDS_NEW(qds_heap_allocator(heap), 7, "second", &b));
  qds_release(b);
  assert_ok(QDS_NEW(qds_heap_allocator(heap), 5, "third", &b));
  const int line = __LINE__ - 1;
  qds_release(a);
  qds_heap_destroy(heap, note_leak, &leaks);
  assert_true(leaks.count == 1 && leaks.bytes == 5 && leaks.line == line);
  assert_string_equal(leaks.tag, "third");
  assert_non_null(strstr(leaks.file, "test_heap.c"));
  qds_heap_destroy(NULL, note_leak, &leaks);
}

typedef struct {
  size_t odd, even, with_line, wrong;
} line_list;

/* In the test below block i comes from line i + 1, with a tag that tells whether i is odd, and has i % 100
 * bytes. */
static void note_line(void *user, const char *tag, size_t bytes, const char *file, int line) {
  line_list *list = user;
  const int odd = !strcmp(tag, "odd");
  list->odd += odd;
  list->even += !odd;
  if (strcmp(file, "generated.c") != 0) return;
  list->with_line++;
  list->wrong += bytes != (size_t)(line - 1) % 100 || odd != (line - 1) % 2;
}

/* More lines than can be told apart: each block keeps its tag and its size all the same. */
static void lines_beyond_the_most_keep_their_tags(void **state) {
  (void)state;
  enum { COUNT = 20000 };
  qds_heap *heap;
  qds_memory_row row;
  line_list list = {0};
  static char *blocks[COUNT];
  assert_ok(qds_heap_create(0, &heap));
  qds_allocator *allocator = qds_heap_allocator(heap);
  for (int i = 0; i < COUNT; i++)
    assert_ok(allocator->allocate(allocator, (size_t)i % 100, i % 2 ? "odd" : "even", "generated.c", i + 1,
                                  (void **)&blocks[i]));
  for (size_t i = 0; i < COUNT; i++) assert_int_equal(qds_bytes_of(blocks[i]), i % 100);
  for (size_t i = 0; qds_heap_tag(heap, i, &row); i++) {
    assert_int_equal(row.current_blocks, COUNT / 2);
    assert_int_equal(row.current_bytes, COUNT / 100 * (!strcmp(row.tag, "odd") ? 2500 : 2450));
  }
  for (int i = 0; i < COUNT; i += 5) qds_release(blocks[i]);
  qds_heap_destroy(heap, note_line, &list);
  assert_true(list.odd == COUNT / 2 - COUNT / 10 && list.even == COUNT / 2 - COUNT / 10);
  assert_int_equal(list.wrong, 0);
  assert_true(list.with_line > 12000 && list.with_line < list.odd + list.even);
}

static void the_nth_allocation_fails(void **state) {
  qds_heap *heap = *state;
  char *blocks[5];
  for (uint64_t n = 1; n <= 5; n++) {
    qds_heap_fail(heap, n);
    for (uint64_t i = 1; i <= 5; i++)
      assert_int_equal(QDS_NEW(qds_heap_allocator(heap), 8, "a", &blocks[i - 1]),
                       i == n ? QDS_ERROR_MEMORY : QDS_OK);
    assert_null(blocks[n - 1]);
    assert_int_equal(total_of(heap).current_blocks, 4);
    for (int i = 0; i < 5; i++) qds_release(blocks[i]);
  }
  qds_heap_fail(heap, 1);
  qds_heap_fail(heap, 0);
  assert_ok(QDS_NEW(qds_heap_allocator(heap), 8, "a", &blocks[0]));
  qds_release(blocks[0]);
}

static void reallocation_keeps_contents(void **state) {
  qds_heap *heap = *state;
  qds_allocator *allocator = qds_heap_allocator(heap);
  int *numbers = NULL;
  assert_ok(QDS_RESIZE(allocator, 100, "a", &numbers));
  for (int i = 0; i < 100; i++) numbers[i] = i;
  assert_ok(QDS_RESIZE(allocator, 1000, "a", &numbers));
  for (int i = 0; i < 100; i++) assert_int_equal(numbers[i], i);
  int *before = numbers;
  qds_heap_fail(heap, 1);
  assert_fails(QDS_RESIZE(allocator, 2000, "a", &numbers), QDS_ERROR_MEMORY, "injected");
  assert_ptr_equal(numbers, before);
  assert_ok(QDS_RESIZE(allocator, 10, "a", &numbers));
  for (int i = 0; i < 10; i++) assert_int_equal(numbers[i], i);
  assert_int_equal(total_of(heap).current_bytes, 10 * sizeof(int));
  qds_release(numbers);
  char *copy;
  assert_ok(QDS_STRDUP(allocator, "dot", "a", &copy));
  assert_string_equal(copy, "dot");
  qds_release(copy);
  double *zeros;
  assert_ok(QDS_NEW_ZERO(allocator, 77, "a", &zeros));
  for (int i = 0; i < 77; i++) assert_true(zeros[i] == 0);
  qds_release(zeros);
}

#define WITH_HEAP(test) cmocka_unit_test_setup_teardown(test, heap_setup, heap_teardown)

int main(void) {
  const struct CMUnitTest tests[] = {
      WITH_HEAP(blocks_are_aligned_and_apart),
      WITH_HEAP(tags_count_current_and_peak),
      WITH_HEAP(tags_without_a_row_share_one),
      cmocka_unit_test(budget_is_exact),
      WITH_HEAP(absurd_sizes_are_refused),
      cmocka_unit_test(leaks_are_reported_with_their_source),
      cmocka_unit_test(lines_beyond_the_most_keep_their_tags),
      WITH_HEAP(the_nth_allocation_fails),
      WITH_HEAP(reallocation_keeps_contents),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}

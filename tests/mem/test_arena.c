#include "support.h"

#include "base/philox.h"
#include "mem/arena.h"

/* Every reset compares the contents of all that lives, which the thread sanitizer makes 50 times as slow. */
#ifdef QDSIM_THREAD_SANITIZER
enum { RANDOM_ROUNDS = 2000 };
#else
enum { RANDOM_ROUNDS = 20000 };
#endif

static size_t chunks(qds_context *ctx) {
  qds_memory_row total;
  qds_context_memory(ctx, &total);
  return total.current_blocks - 1; /* the arena itself */
}

static void blocks_body(qds_context *ctx) {
  QDS_AUTO(qds_arena) *arena = NULL;
  enum { COUNT = 300 };
  unsigned char *blocks[COUNT];
  assert_ok(qds_arena_create(qds_context_allocator(ctx), 4096, "arena", &arena));
  assert_int_equal(qds_arena_used(arena), 0);
  for (size_t i = 0; i < COUNT; i++) {
    assert_ok(QDS_ARENA_NEW(arena, i, &blocks[i]));
    assert_int_equal((uintptr_t)blocks[i] % QDS_ALIGNMENT, 0);
    memset(blocks[i], (int)(i % 251), i);
  }
  for (size_t i = 0; i < COUNT; i++) {
    for (size_t j = 0; j < i; j++) assert_int_equal(blocks[i][j], i % 251);
    for (size_t j = 0; j < i; j++) assert_ptr_not_equal(blocks[i], blocks[j]);
  }
  unsigned char *large;
  assert_ok(QDS_ARENA_NEW(arena, 100000, &large));
  memset(large, 1, 100000);
}

static void marks_body(qds_context *ctx) {
  QDS_AUTO(qds_arena) *arena = NULL;
  double *a, *b, *c, *again;
  assert_ok(qds_arena_create(qds_context_allocator(ctx), 4096, "arena", &arena));
  const qds_arena_position empty = qds_arena_mark(arena);
  assert_ok(QDS_ARENA_NEW(arena, 10, &a));
  a[9] = 9;
  const qds_arena_position one = qds_arena_mark(arena);
  assert_int_equal(qds_arena_used(arena), 128);
  assert_ok(QDS_ARENA_NEW(arena, 100, &b));
  const qds_arena_position two = qds_arena_mark(arena);
  assert_ok(QDS_ARENA_NEW(arena, 1000, &c));
  assert_int_equal(chunks(ctx), 2);
  qds_arena_reset_to(arena, two);
  assert_int_equal(qds_arena_used(arena), 128 + 832);
  assert_ok(QDS_ARENA_NEW(arena, 1000, &again));
  assert_ptr_equal(again, c);
  qds_arena_reset_to(arena, one);
  assert_ok(QDS_ARENA_NEW(arena, 1, &again));
  assert_ptr_equal(again, b);
  assert_true(a[9] == 9);
  qds_arena_reset_to(arena, empty);
  assert_int_equal(qds_arena_used(arena), 0);
  assert_ok(QDS_ARENA_NEW(arena, 10, &again));
  assert_ptr_equal(again, a);
  assert_int_equal(chunks(ctx), 2);
}

/* Work that repeats allocates nothing after its first round. */
static void repetition_body(qds_context *ctx) {
  QDS_AUTO(qds_arena) *arena = NULL;
  char *block;
  size_t after_first = 0;
  assert_ok(qds_arena_create(qds_context_allocator(ctx), 1000, "arena", &arena));
  for (int round = 0; round < 5; round++) {
    const qds_arena_position mark = qds_arena_mark(arena);
    for (size_t i = 0; i < 50; i++) assert_ok(QDS_ARENA_NEW(arena, 37 * i, &block));
    qds_arena_reset_to(arena, mark);
    if (round == 0) after_first = chunks(ctx);
    assert_int_equal(chunks(ctx), after_first);
  }
}

/* Random blocks and nested marks: whatever is live keeps its contents, and a reset gives back the rest. */
static void random_body(qds_context *ctx) {
  enum { ROUNDS = RANDOM_ROUNDS, DEPTH = 20, MAX_BLOCKS = 20000, SEED = 5 };
  static unsigned char *blocks[MAX_BLOCKS];
  static size_t sizes[MAX_BLOCKS];
  qds_arena_position marks[DEPTH];
  size_t counts[DEPTH], used[DEPTH], count = 0;
  int depth = 0;
  QDS_AUTO(qds_arena) *arena = NULL;
  print_message("seed %d\n", SEED);
  assert_ok(qds_arena_create(qds_context_allocator(ctx), 3000, "arena", &arena));
  for (uint64_t i = 0; i < ROUNDS; i++) {
    const double action = qds_random_uniform(SEED, 0, i), size = qds_random_uniform(SEED, 1, i);
    if (action < 0.1 && depth < DEPTH) {
      used[depth] = qds_arena_used(arena);
      counts[depth] = count;
      marks[depth++] = qds_arena_mark(arena);
    } else if (action < 0.2 && depth > 0) {
      depth = (int)(depth * size);
      qds_arena_reset_to(arena, marks[depth]);
      count = counts[depth];
      assert_int_equal(qds_arena_used(arena), used[depth]);
      for (size_t b = 0; b < count; b++)
        for (size_t j = 0; j < sizes[b]; j++) assert_int_equal(blocks[b][j], (b + sizes[b]) % 256);
    } else if (count < MAX_BLOCKS) {
      sizes[count] = (size_t)(5000 * size * size * size * size);
      assert_ok(QDS_ARENA_NEW(arena, sizes[count], &blocks[count]));
      memset(blocks[count], (int)((count + sizes[count]) % 256), sizes[count]);
      count++;
    }
  }
}

static qds_status fill_arena(qds_context *ctx, void *data) {
  (void)data;
  QDS_AUTO(qds_arena) *arena = NULL;
  double *x;
  QDS_TRY(qds_arena_create(qds_context_allocator(ctx), 1000, "arena", &arena));
  for (size_t i = 0; i < 10; i++) QDS_TRY(QDS_ARENA_NEW(arena, 100, &x));
  return QDS_OK;
}

/* A failed allocation leaves the arena as it was. */
static void failures_body(qds_context *ctx) {
  QDS_AUTO(qds_arena) *arena = NULL;
  double *x;
  assert_int_equal(fail_each_allocation(ctx, fill_arena, NULL), 11);
  assert_ok(qds_arena_create(qds_context_allocator(ctx), 1000, "arena", &arena));
  assert_ok(QDS_ARENA_NEW(arena, 10, &x));
  x[0] = 1;
  qds_context_fail_allocation(ctx, 1);
  double *y;
  assert_fails(QDS_ARENA_NEW(arena, 1000, &y), QDS_ERROR_MEMORY, "injected");
  assert_null(y);
  assert_fails(QDS_ARENA_NEW(arena, SIZE_MAX / 2, &y), QDS_ERROR_MEMORY, "address range");
  assert_fails(QDS_ARENA_NEW(arena, SIZE_MAX / 8, &y), QDS_ERROR_MEMORY, "address range");
  assert_int_equal(qds_arena_used(arena), 128);
  assert_ok(QDS_ARENA_NEW(arena, 10, &y));
  assert_true(x[0] == 1 && (char *)y == (char *)x + 128);
}

static void blocks(void **state) {
  (void)state, with_context_on("cpu", 1, blocks_body);
}
static void marks(void **state) {
  (void)state, with_context_on("cpu", 1, marks_body);
}
static void repetition(void **state) {
  (void)state, with_context_on("cpu", 1, repetition_body);
}
static void random_use(void **state) {
  (void)state, with_context_on("cpu", 1, random_body);
}
static void failures(void **state) {
  (void)state, with_context_on("cpu", 1, failures_body);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(blocks),     cmocka_unit_test(marks),    cmocka_unit_test(repetition),
      cmocka_unit_test(random_use), cmocka_unit_test(failures),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}

#include "support.h"

#include <pthread.h>
#include <stdatomic.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/philox.h"
#include "mem/heap.h"
#include "mem/sanitizer.h"

static qds_memory_row total_of(qds_heap *heap) {
  qds_memory_row total;
  qds_heap_total(heap, &total);
  return total;
}

/* Generations of threads take blocks of all sizes, small ones mostly, fill them, hand them over and give back
 * what others took; at the end of each the account agrees with what is alive and every pool is in order. */
enum { THREADS = 4, GENERATIONS = 8, ROUNDS = 1500, SLOTS = 200, SEED = 77 };
typedef struct {
  qds_heap *heap;
  _Atomic(unsigned char *) slots[SLOTS];
  atomic_size_t granted, refused, damaged;
} stress;
typedef struct {
  stress *shared;
  uint64_t number;
} stress_thread;

static void release_checked(stress *s, unsigned char *block) {
  if (!block) return;
  const size_t bytes = qds_bytes_of(block);
  for (size_t i = 0; i < bytes; i += i < 64 || bytes - i < 64 ? 1 : 61) s->damaged += block[i] != bytes % 253;
  qds_release(block);
}

static void *stress_run(void *data) {
  static const char *const tags[] = {"red", "green", "blue"};
  const stress_thread *self = data;
  stress *s = self->shared;
  for (uint64_t i = 0; i < ROUNDS; i++) {
    const double size = qds_random_uniform(SEED, 2 * self->number, i);
    const size_t choice = (size_t)(1e6 * qds_random_uniform(SEED, 2 * self->number + 1, i));
    const size_t bytes = (size_t)(choice % 50 == 0 ? 3e6 * size : 60000 * size * size * size * size);
    unsigned char *block;
    const qds_status status = QDS_NEW(qds_heap_allocator(s->heap), bytes, tags[choice % 3], &block);
    if (status == QDS_OK) {
      s->granted++;
      memset(block, (int)(bytes % 253), bytes);
    } else {
      s->refused++;
      s->damaged += status != QDS_ERROR_BUDGET;
    }
    release_checked(s, atomic_exchange(&s->slots[choice % SLOTS], block));
    if (choice % 499 == 0) qds_heap_trim(s->heap);
  }
  return NULL;
}

static void check_account(const stress *s, uint64_t generations) {
  size_t bytes = 0, blocks = 0, counted = 0, ever = 0;
  qds_memory_row row;
  for (int i = 0; i < SLOTS; i++) {
    if (!s->slots[i]) continue;
    bytes += qds_bytes_of(s->slots[i]);
    blocks++;
  }
  for (size_t i = 0; qds_heap_tag(s->heap, i, &row); i++) {
    counted += row.current_bytes;
    ever += row.total_blocks;
    assert_true(row.peak_bytes >= row.current_bytes);
  }
  row = total_of(s->heap);
  assert_true(row.current_bytes == bytes && row.current_blocks == blocks && counted == bytes);
  assert_true(row.total_blocks == ever && ever == s->granted);
  assert_int_equal(s->granted + s->refused, generations * THREADS * ROUNDS);
  assert_ok(qds_heap_check(s->heap));
}

/* Returns how many requests were refused. */
static size_t run_generations(qds_heap_detail detail, size_t limit) {
  static stress s;
  print_message("seed %d\n", SEED);
  memset(&s, 0, sizeof s);
  assert_ok(qds_heap_create_with(limit, detail, &s.heap));
  for (uint64_t g = 0; g < GENERATIONS; g++) {
    pthread_t threads[THREADS];
    stress_thread selves[THREADS];
    for (uint64_t i = 0; i < THREADS; i++) {
      selves[i] = (stress_thread){&s, g * THREADS + i};
      assert_int_equal(pthread_create(&threads[i], NULL, stress_run, &selves[i]), 0);
    }
    for (int i = 0; i < THREADS; i++) pthread_join(threads[i], NULL);
    check_account(&s, g + 1);
  }
  assert_true(!limit || total_of(s.heap).peak_bytes <= limit);
  for (int i = 0; i < SLOTS; i++) release_checked(&s, s.slots[i]);
  assert_int_equal(s.damaged, 0);
  assert_true(total_of(s.heap).current_bytes == 0 && total_of(s.heap).current_blocks == 0);
  qds_heap_trim(s.heap);
  for (int pool = 0; pool < QDS_HEAP_POOLS; pool++) {
    qds_best_fit_statistics figures;
    qds_heap_read_pool(s.heap, (qds_heap_pool)pool, &figures);
    assert_true(figures.used_bytes == 0 && figures.reserved_bytes == 0);
  }
  qds_heap_destroy(s.heap, NULL, NULL);
  return s.refused;
}

static void threads_exchange_blocks_and_die(void **state) {
  (void)state;
  assert_int_equal(run_generations(QDS_HEAP_TRACKING, 0), 0);
}

static void threads_share_a_limit(void **state) {
  (void)state;
  assert_int_equal(run_generations(QDS_HEAP_STATISTICS, (size_t)1 << 40), 0);
}

static void threads_meet_a_limit(void **state) {
  (void)state;
  const size_t refused = run_generations(QDS_HEAP_TRACKING, 2000000);
  assert_true(refused > 0 && refused < GENERATIONS * THREADS * ROUNDS / 2);
}

typedef struct {
  int count;
  size_t bytes;
} leak_sum;

static void note_leak(void *user, const char *tag, size_t bytes, const char *file, int line) {
  leak_sum *sum = user;
  sum->count++;
  sum->bytes += bytes;
  assert_string_equal(tag, "left");
  assert_non_null(strstr(file, "test_heap_threads.c"));
  assert_true(line > 0);
}

static void *leave_blocks(void *heap) {
  char *block;
  for (size_t i = 0; i < 100; i++)
    if (QDS_NEW(qds_heap_allocator(heap), i * i * i, "left", &block) != QDS_OK) return heap;
  return NULL;
}

/* Small, medium and large blocks of a dead thread are found. */
static void leaks_of_dead_threads_are_reported(void **state) {
  (void)state;
  qds_heap *heap;
  leak_sum sum = {0};
  pthread_t thread;
  void *failed;
  assert_ok(qds_heap_create(0, &heap));
  assert_int_equal(pthread_create(&thread, NULL, leave_blocks, heap), 0);
  pthread_join(thread, &failed);
  assert_null(failed);
  char *large;
  assert_ok(QDS_NEW(qds_heap_allocator(heap), 5 << 20, "left", &large));
  qds_heap_destroy(heap, note_leak, &sum);
  assert_int_equal(sum.count, 101);
  assert_int_equal(sum.bytes, (99 * 100 / 2) * (99 * 100 / 2) + (5 << 20));
}

/* Many heaps in one thread, some of them gone: each knows its own blocks only. */
static void heaps_share_nothing(void **state) {
  (void)state;
  enum { HEAPS = 20, BLOCKS = 200 };
  qds_heap *heaps[HEAPS];
  char *blocks[HEAPS][BLOCKS];
  for (size_t round = 0; round < 3; round++) {
    for (size_t h = 0; h < HEAPS; h++) assert_ok(qds_heap_create(0, &heaps[h]));
    for (size_t b = 0; b < BLOCKS; b++)
      for (size_t h = 0; h < HEAPS; h++) {
        assert_ok(QDS_NEW(qds_heap_allocator(heaps[h]), b * h, "mine", &blocks[h][b]));
        memset(blocks[h][b], (int)h, b * h);
      }
    for (size_t h = 0; h < HEAPS; h++) {
      assert_int_equal(total_of(heaps[h]).current_bytes, h * BLOCKS * (BLOCKS - 1) / 2);
      for (size_t b = 0; b < BLOCKS; b++) {
        for (size_t i = 0; i < b * h; i++) assert_int_equal(blocks[h][b][i], h);
        qds_release(blocks[h][b]);
      }
      leak_sum sum = {0};
      qds_heap_destroy(heaps[h], note_leak, &sum);
      assert_int_equal(sum.count, 0);
    }
  }
}

static void free_memory_stays_within_bounds(void **state) {
  (void)state;
  qds_heap *heap;
  qds_best_fit_statistics s;
  char *block;
  assert_ok(qds_heap_create(0, &heap));
  for (int i = 1; i < 40; i++) {
    assert_ok(QDS_NEW(qds_heap_allocator(heap), (size_t)i * 50 << 20, "large", &block));
    qds_heap_read_pool(heap, QDS_HEAP_LARGE, &s);
    assert_true((double)s.reserved_bytes <= 1.15 * (double)s.peak_used_bytes);
    qds_release(block);
    qds_heap_read_pool(heap, QDS_HEAP_LARGE, &s);
    assert_true(s.idle_bytes <= QDS_HEAP_IDLE_BYTES);
  }
  assert_true(s.idle_bytes == 0 && qds_heap_trim(heap) == 0);
  assert_ok(QDS_NEW(qds_heap_allocator(heap), 400 << 20, "large", &block));
  qds_release(block);
  qds_heap_read_pool(heap, QDS_HEAP_LARGE, &s);
  assert_true(s.idle_bytes >= 400 << 20 && s.growths == 40);
  assert_ok(QDS_NEW(qds_heap_allocator(heap), 400 << 20, "large", &block));
  qds_heap_read_pool(heap, QDS_HEAP_LARGE, &s);
  assert_int_equal(s.growths, 40);
  qds_release(block);
  qds_heap_destroy(heap, NULL, NULL);
}

/* What is kept for later counts too: with a limit the process holds no more than that, but for what is
 * rounded up. */
static void kept_memory_respects_the_limit(void **state) {
  (void)state;
  enum { LIMIT = 200 << 20, ROUNDING = 6 << 20, MEDIUM = 180, MEDIUM_BYTES = 1000000 };
  qds_heap *heap;
  char *medium[MEDIUM], *large;
  assert_ok(qds_heap_create(LIMIT, &heap));
  for (size_t round = 0; round < 3; round++) {
    for (int i = 0; i < MEDIUM; i++)
      assert_ok(QDS_NEW(qds_heap_allocator(heap), MEDIUM_BYTES, "medium", &medium[i]));
    for (int i = 0; i < MEDIUM; i++) qds_release(medium[i]);
    assert_ok(QDS_NEW(qds_heap_allocator(heap), (100 + 40 * round) << 20, "large", &large));
    size_t reserved = 0;
    for (int pool = 0; pool < QDS_HEAP_POOLS; pool++) {
      qds_best_fit_statistics s;
      qds_heap_read_pool(heap, (qds_heap_pool)pool, &s);
      reserved += s.reserved_bytes;
    }
    assert_true(reserved <= LIMIT + ROUNDING);
    qds_release(large);
  }
  qds_heap_destroy(heap, NULL, NULL);
}

/* --- what the address sanitizer sees ------------------------------------------------------------------- */

#ifdef QDS_ADDRESS_SANITIZER
static void read_after_release(volatile char *block, size_t bytes) {
  qds_release((void *)block);
  (void)block[bytes / 2];
}
static void read_behind(volatile char *block, size_t bytes) {
  (void)block[bytes];
}
static void write_before(volatile char *block, size_t bytes) {
  (void)bytes;
  block[-20] = 0;
}
static void release_twice(volatile char *block, size_t bytes) {
  (void)bytes;
  qds_release((void *)block);
  qds_release((void *)block);
}

/* Whether the sanitizer ends a child that does this to a block. */
static int ends(void (*misuse)(volatile char *block, size_t bytes), qds_heap *heap, size_t bytes) {
  char *block;
  int status = 0;
  assert_ok(QDS_NEW(qds_heap_allocator(heap), bytes, "misused", &block));
  fflush(NULL);
  const pid_t child = fork();
  if (child == 0) {
    (void)!freopen("/dev/null", "w", stderr);
    misuse(block, bytes);
    _exit(0);
  }
  waitpid(child, &status, 0);
  qds_release(block);
  return status != 0;
}

static void misuse_of_blocks_is_found(void **state) {
  (void)state;
  static const size_t sizes[] = {1, 32, 96, 100, 1000, 16000, 16200, 70000, 1 << 20, 5 << 20};
  qds_heap *heap;
  assert_ok(qds_heap_create(0, &heap));
  for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
    assert_true(ends(read_after_release, heap, sizes[i]));
    assert_true(ends(read_behind, heap, sizes[i]));
    assert_true(ends(write_before, heap, sizes[i]));
    assert_true(ends(release_twice, heap, sizes[i]));
  }
  qds_heap_destroy(heap, NULL, NULL);
}
#endif

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(threads_exchange_blocks_and_die),
      cmocka_unit_test(threads_share_a_limit),
      cmocka_unit_test(threads_meet_a_limit),
      cmocka_unit_test(leaks_of_dead_threads_are_reported),
      cmocka_unit_test(heaps_share_nothing),
      cmocka_unit_test(free_memory_stays_within_bounds),
      cmocka_unit_test(kept_memory_respects_the_limit),
#ifdef QDS_ADDRESS_SANITIZER
      cmocka_unit_test(misuse_of_blocks_is_found),
#endif
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}

/* The stream-ordered pool on memory in pieces: what it maps where, on a device that keeps account of that. */
#include "support.h"

#include <pthread.h>
#include <stdatomic.h>

#include "random_source.h"
#include "mem/idle_device.h"
#include "mem/pool_stream_parts.h"

enum { STREAMS = 3 };
#define MIB ((size_t)1 << 20)

typedef struct {
  qds_accelerator *accelerator;
  idle_device *device;
  qds_stream *streams[STREAMS];
} setting;

static setting begin(qds_context *ctx, size_t limit) {
  setting s;
  assert_ok(qds_accelerator_create(&idle_pieces, 0, limit, qds_context_allocator(ctx), &s.accelerator));
  s.device = s.accelerator->state;
  for (int i = 0; i < STREAMS; i++)
    assert_ok(qds_stream_create(s.accelerator, qds_context_allocator(ctx), 1, &s.streams[i]));
  return s;
}

static void end(setting *s) {
  for (int i = 0; i < STREAMS; i++) qds_stream_destroy(s->streams[i]);
  qds_accelerator_destroy(
      s->accelerator); /* the device ends the program when it does not get everything back */
}

static qds_stream_pool_statistics statistics_of(const setting *s) {
  qds_stream_pool_statistics statistics;
  qds_stream_pool_statistics_read(s->accelerator->pool, &statistics);
  return statistics;
}

static idle_piece **pieces_behind(const setting *s, const void *address) {
  return s->device->table + ((size_t)address - IDLE_FIRST) / IDLE_PIECE;
}

/* --- a random trace ------------------------------------------------------------------------------------- */

enum { LIVE = 400, OPERATIONS = 6000 };

typedef struct {
  char *block;
  size_t bytes, parts;
  idle_piece **behind; /* when it was taken */
} live_block;

/* What lay behind a block when it was taken still does, and nothing else is there. */
static void assert_untouched(const setting *s, const live_block *l) {
  for (size_t i = 0; i < l->parts; i++)
    if (!l->behind[i] || pieces_behind(s, l->block)[i] != l->behind[i])
      fail_msg("part %zu of a block of %zu bytes lies elsewhere", i, l->bytes);
}

static void remember(const setting *s, live_block *l) {
  l->parts = ((size_t)l->block % IDLE_PIECE + l->bytes + IDLE_PIECE - 1) / IDLE_PIECE;
  l->behind = malloc(l->parts * sizeof *l->behind);
  memcpy(l->behind, pieces_behind(s, l->block), l->parts * sizeof *l->behind);
}

static qds_status take(const setting *s, random_source *random, size_t most, live_block *l) {
  void *block;
  l->bytes = 1 + below(random, most);
  QDS_TRY(qds_stream_allocate(s->streams[below(random, STREAMS)], l->bytes, 1, "trace", __FILE__, __LINE__,
                              &block));
  l->block = block;
  remember(s, l);
  assert_untouched(s, l);
  return QDS_OK;
}

static void give_back(const setting *s, random_source *random, live_block *l) {
  assert_untouched(s, l);
  assert_ok(qds_stream_pool_release(s->accelerator->pool, s->streams[below(random, STREAMS)], l->block));
  free(l->behind);
}

/* Sizes up to `most` with at most `cap` bytes live. */
static void trace(setting *s, size_t most, size_t cap, uint64_t seed) {
  print_message("seed %llu\n", (unsigned long long)seed);
  random_source random = {seed, 0};
  live_block live[LIVE];
  size_t count = 0, used = 0;
  for (int i = 0; i < OPERATIONS; i++) {
    if (count < LIVE && used + most < cap && below(&random, 100) < 73) {
      assert_ok(take(s, &random, most, &live[count]));
      used += live[count++].bytes;
    } else if (count) {
      const size_t at = below(&random, count);
      used -= live[at].bytes;
      give_back(s, &random, &live[at]);
      live[at] = live[--count];
    }
    if (i % 16 == 0) assert_ok(qds_stream_pool_check(s->accelerator->pool));
  }
  while (count) give_back(s, &random, &live[--count]);
  assert_ok(qds_stream_pool_check(s->accelerator->pool));
}

static void check_trace(qds_context *ctx) {
  const size_t most[] = {MIB, 64 * MIB, 1024 * MIB, 4096 * MIB};
  for (int i = 0; i < 4; i++) {
    setting s = begin(ctx, 0);
    trace(&s, most[i], 16000 * MIB, (uint64_t)i + 1);
    const qds_stream_pool_statistics statistics = statistics_of(&s);
    assert_true((double)statistics.peak_reserved_bytes <= 1.2 * (double)statistics.peak_used_bytes + 64e6);
    if (most[i] >= 1024 * MIB) assert_true(s.accelerator->pool->space.moved > 0);
    assert_ok(qds_stream_pool_trim(s.accelerator->pool));
    assert_int_equal(s.device->held, 0);
    assert_int_equal(statistics_of(&s).reserved_bytes, 0);
    end(&s);
  }
}

static void test_trace(void **state) {
  (void)state;
  with_context_on("cpu", 1, check_trace);
}

/* --- the least memory ----------------------------------------------------------------------------------- */

/* Every second block of a full pool is given back; what is left of it serves one block of half the size,
 * which no hole holds. */
static void fill_and_merge(setting *s, size_t total) {
  enum { BLOCKS = 200 };
  qds_stream *stream = s->streams[0], *other = s->streams[1];
  void *blocks[BLOCKS], *half, *more;
  const size_t bytes = total / BLOCKS / (32 * MIB) * (32 * MIB);
  for (int i = 0; i < BLOCKS; i++)
    assert_ok(qds_stream_allocate(stream, bytes, 1, "small", __FILE__, __LINE__, &blocks[i]));
  for (int i = 0; i < BLOCKS; i += 2) qds_stream_release(stream, blocks[i]);
  assert_ok(qds_stream_allocate(other, bytes * BLOCKS / 2, 1, "half", __FILE__, __LINE__, &half));
  assert_ok(qds_stream_pool_check(s->accelerator->pool));
  assert_int_not_equal(qds_stream_allocate(other, total / 2, 1, "more", __FILE__, __LINE__, &more), QDS_OK);
  assert_null(more);
  assert_ok(qds_stream_pool_check(s->accelerator->pool));
  qds_stream_release(other, half);
  for (int i = 1; i < BLOCKS; i += 2) qds_stream_release(stream, blocks[i]);
}

static void check_limit(qds_context *ctx) {
  setting s = begin(ctx, 12800 * MIB);
  void *block;
  fill_and_merge(&s, 12800 * MIB);
  assert_fails(qds_stream_allocate(s.streams[0], 12801 * MIB, 1, "all", __FILE__, __LINE__, &block),
               QDS_ERROR_BUDGET, "the limit is 12 GiB");
  assert_true(statistics_of(&s).peak_reserved_bytes <= 12800 * MIB);
  end(&s);
}

static void check_device(qds_context *ctx) {
  setting s = begin(ctx, 0);
  void *block;
  s.device->memory = 12800 * MIB;
  fill_and_merge(&s, 12800 * MIB);
  assert_fails(qds_stream_allocate(s.streams[0], 12801 * MIB, 1, "all", __FILE__, __LINE__, &block),
               QDS_ERROR_MEMORY, "out of device memory: 13 GiB for all");
  end(&s);
}

static void test_least_memory(void **state) {
  (void)state;
  with_context_on("cpu", 1, check_limit);
  with_context_on("cpu", 1, check_device);
}

/* --- failures ------------------------------------------------------------------------------------------- */

static qds_status merge_two(setting *s) {
  void *blocks[4] = {0};
  qds_status status = QDS_OK;
  for (int i = 0; i < 3 && status == QDS_OK; i++)
    status = qds_stream_allocate(s->streams[0], 320 * MIB, 1, "test", __FILE__, __LINE__, &blocks[i]);
  qds_stream_release(s->streams[0], blocks[0]);
  qds_stream_release(s->streams[0], blocks[2]);
  if (status == QDS_OK)
    status = qds_stream_allocate(s->streams[1], 640 * MIB, 1, "test", __FILE__, __LINE__, &blocks[3]);
  qds_stream_release(s->streams[0], blocks[1]);
  qds_stream_release(s->streams[1], blocks[3]);
  return status;
}

/* The n-th record that cannot be made, for every n; then a device that runs out in the middle. */
static void check_failures(qds_context *ctx) {
  for (uint64_t n = 1;; n++) {
    setting s = begin(ctx, 960 * MIB);
    qds_heap_fail(s.accelerator->pool->records, n);
    const qds_status status = merge_two(&s);
    qds_heap_fail(s.accelerator->pool->records, 0);
    assert_ok(qds_stream_pool_check(s.accelerator->pool));
    assert_int_equal(statistics_of(&s).blocks, 0);
    assert_ok(merge_two(&s));
    end(&s);
    if (status == QDS_OK) break;
    assert_int_equal(status, QDS_ERROR_MEMORY);
    assert_true(n < 100);
  }
  for (size_t there = 0; there < 1000; there += 50) {
    setting s = begin(ctx, 0);
    s.device->memory = there * MIB;
    const qds_status status = merge_two(&s);
    assert_int_equal(status, there < 960 ? QDS_ERROR_MEMORY : QDS_OK);
    assert_ok(qds_stream_pool_check(s.accelerator->pool));
    end(&s);
  }
}

static void test_failures(void **state) {
  (void)state;
  with_context_on("cpu", 1, check_failures);
}

/* The record of an accelerator, its pool and its staging, each of which may find no room. */
static qds_status open_and_close(qds_context *ctx, void *data) {
  QDS_AUTO(qds_accelerator) *accelerator = NULL;
  QDS_AUTO(qds_stream) *stream = NULL;
  (void)data;
  QDS_TRY(qds_accelerator_create(&idle_pieces, 0, 0, qds_context_allocator(ctx), &accelerator));
  return qds_stream_create(accelerator, qds_context_allocator(ctx), 1, &stream);
}

static void check_opening(qds_context *ctx) {
  assert_true(fail_each_allocation(ctx, open_and_close, NULL) >= 6);
}

static void test_opening_fails_whole(void **state) {
  (void)state;
  with_context_on("cpu", 1, check_opening);
}

/* --- threads -------------------------------------------------------------------------------------------- */

typedef struct {
  setting *s;
  uint64_t seed;
  atomic_int *faults;
} worker;

static void *run_worker(void *data) {
  const worker *w = data;
  random_source random = {w->seed, 0};
  qds_stream *stream = w->s->streams[w->seed % STREAMS];
  live_block live[20] = {0};
  for (int i = 0; i < 600; i++) {
    live_block *l = &live[below(&random, 20)];
    if (l->block) {
      for (size_t j = 0; j < l->parts; j++)
        if (pieces_behind(w->s, l->block)[j] != l->behind[j]) atomic_fetch_add(w->faults, 1);
      qds_stream_release(stream, l->block);
      free(l->behind);
      l->block = NULL;
    } else {
      l->bytes = 1 + below(&random, 700 * MIB);
      if (qds_stream_allocate(stream, l->bytes, 1, "thread", __FILE__, __LINE__, (void **)&l->block) ==
          QDS_OK)
        remember(w->s, l);
    }
    if (i % 100 == 99 && qds_stream_pool_trim(w->s->accelerator->pool) != QDS_OK)
      atomic_fetch_add(w->faults, 1);
    if (i % 20 == 0 && qds_stream_pool_check(w->s->accelerator->pool) != QDS_OK)
      atomic_fetch_add(w->faults, 1);
  }
  for (int i = 0; i < 20; i++)
    if (live[i].block) {
      qds_stream_release(stream, live[i].block);
      free(live[i].behind);
    }
  return NULL;
}

static void check_threads(qds_context *ctx) {
  setting s = begin(ctx, 8000 * MIB);
  pthread_t threads[STREAMS];
  worker workers[STREAMS];
  atomic_int faults = 0;
  for (int i = 0; i < STREAMS; i++) {
    workers[i] = (worker){&s, (uint64_t)i, &faults};
    assert_int_equal(pthread_create(&threads[i], NULL, run_worker, &workers[i]), 0);
  }
  for (int i = 0; i < STREAMS; i++) pthread_join(threads[i], NULL);
  assert_int_equal(atomic_load(&faults), 0);
  assert_ok(qds_stream_pool_check(s.accelerator->pool));
  assert_true(s.accelerator->pool->space.moved > 0);
  end(&s);
}

static void test_threads(void **state) {
  (void)state;
  with_context_on("cpu", 1, check_threads);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_trace),    cmocka_unit_test(test_least_memory),
      cmocka_unit_test(test_failures), cmocka_unit_test(test_opening_fails_whole),
      cmocka_unit_test(test_threads),
  };
  return cmocka_run_group_tests_name("pool_pieces", tests, NULL, NULL);
}

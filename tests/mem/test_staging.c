/* Copies through page-locked pieces: contents on every device whatever the size, order in the stream, what
 * happens where no memory can be page-locked, where a copy or the host's side of it fails, and with more
 * copies at a time than there are pieces for. */
#include "buffers.h"

#include <pthread.h>

#include "mem/staging.h"

#define MIB ((size_t)1 << 20)

static qds_staging_statistics statistics(qds_context *ctx) {
  qds_staging_statistics s = {0};
  if (has_device(ctx)) qds_staging_read(qds_context_accelerator(ctx)->staging, &s);
  return s;
}

static char *host_block(qds_context *ctx, size_t bytes) {
  char *block;
  assert_ok(QDS_NEW(qds_context_allocator(ctx), bytes ? bytes : 1, "test", &block));
  return block;
}

static char *device_block(qds_context *ctx, size_t bytes) {
  char *block;
  assert_ok(QDS_STREAM_NEW(qds_context_stream(ctx), bytes, "test", &block));
  return block;
}

/* --- contents ------------------------------------------------------------------------------------------- */

static void there_and_back(qds_context *ctx, size_t bytes) {
  qds_stream *stream = qds_context_stream(ctx);
  char *from = host_block(ctx, bytes), *back = host_block(ctx, bytes), *x = device_block(ctx, bytes);
  pattern_put(from, bytes, bytes);
  assert_ok(qds_stream_upload(stream, x, from, bytes));
  memset(from, 0, bytes); /* it has been read */
  memset(back, 1, bytes);
  assert_ok(qds_stream_download(stream, back, x, bytes));
  pattern_check(back, bytes, bytes);
  qds_stream_release(stream, x);
  qds_release(from);
  qds_release(back);
}

static void check_sizes(qds_context *ctx) {
  const size_t piece = 8 * MIB;
  const size_t sizes[] = {0, 1, 1000, MIB - 1, MIB, piece - 1, piece, piece + 1, 3 * piece + 12345};
  for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) there_and_back(ctx, sizes[i]);
  if (!has_device(ctx)) return;
  assert_int_equal(statistics(ctx).piece_bytes, piece);
  assert_true(statistics(ctx).staged_bytes >= 2 * 6 * MIB && statistics(ctx).direct_bytes > 0);
  assert_int_equal(statistics(ctx).leases, 0);
  assert_int_equal(statistics(ctx).held_bytes, 2 * piece); /* one copy at a time */
}

static void test_whatever_the_size_the_contents_arrive(void **state) {
  (void)state;
  with_context_on_each(2, check_sizes);
}

/* A download follows the work before it, and work after an upload follows it. */
static void check_order(qds_context *ctx) {
  enum { BYTES = 9 << 20 };
  qds_stream *stream = qds_context_stream(ctx);
  char *host = host_block(ctx, BYTES), *x = device_block(ctx, BYTES), *y = device_block(ctx, BYTES);
  pattern_put(host, BYTES, 1);
  for (int round = 0; round < 3; round++) {
    assert_ok(qds_stream_fill(stream, x, round, BYTES));
    assert_ok(qds_stream_upload(stream, x, host, BYTES));
    assert_ok(qds_stream_copy(stream, y, x, BYTES));
    assert_ok(qds_stream_fill(stream, x, 0, BYTES));
    pattern_put(host, BYTES, (uint64_t)round);
    assert_ok(qds_stream_download(stream, host, y, BYTES));
    pattern_check(host, BYTES, round ? (uint64_t)round - 1 : 1);
    pattern_put(host, BYTES, (uint64_t)round);
  }
  qds_stream_release(stream, x);
  qds_stream_release(stream, y);
  qds_release(host);
}

static void test_copies_keep_their_place_in_the_stream(void **state) {
  (void)state;
  with_context_on_each(2, check_order);
}

/* Pieces go from one stream to the next while the first may still read them. */
static void check_two_streams(qds_context *ctx) {
  qds_stream *one = qds_context_stream(ctx), *other;
  const size_t bytes = 9 * MIB;
  char *host = host_block(ctx, bytes), *back = host_block(ctx, bytes), *x = device_block(ctx, bytes), *y;
  assert_ok(qds_context_stream_create(ctx, &other));
  assert_ok(QDS_STREAM_NEW(other, bytes, "test", &y));
  pattern_put(host, bytes, 3);
  assert_ok(qds_stream_upload(other, y, host, bytes));
  assert_ok(qds_stream_synchronise(other));
  for (uint64_t round = 10; round < 14; round++) {
    pattern_put(host, bytes, round);
    assert_ok(qds_stream_upload(one, x, host, bytes));
    assert_ok(qds_stream_download(other, back, y, bytes));
    pattern_check(back, bytes, 3);
    assert_ok(qds_stream_fetch(one, back, x, bytes));
    pattern_check(back, bytes, round);
  }
  qds_stream_release(other, y);
  qds_stream_destroy(other);
  qds_stream_release(one, x);
  qds_release(host);
  qds_release(back);
}

static void test_pieces_go_to_another_stream_when_the_first_is_through(void **state) {
  (void)state;
  with_context_on_each(1, check_two_streams);
}

/* --- failures ------------------------------------------------------------------------------------------- */

/* Without page-locked memory the copy is direct, and the next one tries again. */
static void check_no_pinned(qds_context *ctx) {
  qds_accelerator *a = qds_context_accelerator(ctx);
  qds_stream *stream = qds_context_stream(ctx);
  const size_t bytes = 9 * MIB;
  char *from = host_block(ctx, bytes), *back = host_block(ctx, bytes), *x = device_block(ctx, bytes);
  pattern_put(from, bytes, 7);
  assert_ok(qds_accelerator_inject(a, QDS_INJECT_ALLOCATION, 1));
  assert_ok(qds_stream_upload(stream, x, from, bytes));
  assert_ok(qds_accelerator_inject(a, QDS_INJECT_ALLOCATION, 1));
  assert_ok(qds_stream_download(stream, back, x, bytes));
  pattern_check(back, bytes, 7);
  assert_int_equal(statistics(ctx).direct_bytes, 2 * bytes);
  assert_int_equal(statistics(ctx).held_bytes, 0);
  assert_ok(qds_stream_download(stream, back, x, bytes));
  assert_int_equal(statistics(ctx).staged_bytes, bytes);
  qds_stream_release(stream, x);
  qds_release(from);
  qds_release(back);
}

static void test_without_page_locked_memory_copies_are_direct(void **state) {
  (void)state;
  with_context_on("sim", 1, check_no_pinned);
}

/* Every copy of a device fails once: an error each time, and the next copy is whole. */
static void check_failed_copies(qds_context *ctx) {
  qds_accelerator *a = qds_context_accelerator(ctx);
  qds_stream *stream = qds_context_stream(ctx);
  const size_t bytes = 25 * MIB;
  char *host = host_block(ctx, bytes), *x = device_block(ctx, bytes);
  for (uint64_t n = 1; n <= 8; n++) { /* 4 pieces there, 4 back */
    pattern_put(host, bytes, n);
    assert_ok(qds_accelerator_inject(a, QDS_INJECT_COPY, n));
    qds_status status = qds_stream_upload(stream, x, host, bytes);
    if (status == QDS_OK) status = qds_stream_download(stream, host, x, bytes);
    if (status != QDS_ERROR_INTERNAL || !strstr(qds_last_error()->message, "injected"))
      fail_msg("copy %d: %s", (int)n, status ? qds_last_error()->message : "no error");
    assert_ok(qds_accelerator_inject(a, QDS_INJECT_COPY, 0));
    assert_int_equal(statistics(ctx).leases, 0);
    there_and_back(ctx, 9 * MIB);
  }
  qds_stream_release(stream, x);
  qds_release(host);
}

static void test_a_failed_copy_shows_and_spoils_no_other(void **state) {
  (void)state;
  with_context_on("sim", 1, check_failed_copies);
}

/* --- other host sides ----------------------------------------------------------------------------------- */

typedef struct {
  char *memory;
  size_t next, fail_at; /* the offset where it fails; SIZE_MAX: nowhere */
  int pieces;
} side;

static qds_status step(side *s, size_t offset) {
  assert_int_equal(offset, s->next);
  s->pieces++;
  if (offset >= s->fail_at) QDS_FAIL(QDS_ERROR_FILE, "the other side is full");
  return QDS_OK;
}

static qds_status take(void *user, size_t offset, void *piece, size_t bytes) {
  side *s = user;
  QDS_TRY(step(s, offset));
  memcpy(s->memory + offset, piece, bytes);
  s->next += bytes;
  return QDS_OK;
}

static qds_status give(void *user, size_t offset, void *piece, size_t bytes) {
  side *s = user;
  QDS_TRY(step(s, offset));
  memcpy(piece, s->memory + offset, bytes);
  memset(s->memory + offset, 0, bytes);
  s->next += bytes;
  return QDS_OK;
}

/* With pieces and, where `pinned` is 0, without. */
static void exchange(qds_context *ctx, int pinned) {
  qds_accelerator *a = qds_context_accelerator(ctx);
  qds_stream *stream = qds_context_stream(ctx);
  const size_t bytes = 20 * MIB + 8;
  char *host = host_block(ctx, bytes), *x = device_block(ctx, bytes);
  pattern_put(host, bytes, 5);
  side s = {host, 0, SIZE_MAX, 0};
  if (!pinned) assert_ok(qds_accelerator_inject(a, QDS_INJECT_ALLOCATION, 1));
  assert_ok(qds_staging_upload(stream, x, bytes, give, &s));
  s.next = 0;
  if (!pinned) assert_ok(qds_accelerator_inject(a, QDS_INJECT_ALLOCATION, 1));
  assert_ok(qds_staging_download(stream, x, bytes, take, &s));
  assert_ok(qds_stream_synchronise(stream));
  pattern_check(host, bytes, 5);
  assert_int_equal(s.pieces, pinned ? 6 : 2 * 321);
  /* The side that fails ends the copy, and what is under way may go on. */
  s = (side){host, 0, 8 * MIB, 0};
  assert_fails(qds_staging_download(stream, x, bytes, take, &s), QDS_ERROR_FILE, "full");
  s = (side){host, 0, 8 * MIB, 0};
  assert_fails(qds_staging_upload(stream, x, bytes, give, &s), QDS_ERROR_FILE, "full");
  assert_int_equal(statistics(ctx).leases, 0);
  qds_stream_release(stream, x);
  qds_release(host);
  there_and_back(ctx, bytes);
}

static void check_sides(qds_context *ctx) {
  exchange(ctx, 0);
  exchange(ctx, 1);
}

static void test_any_host_side_gets_the_pieces_in_order(void **state) {
  (void)state;
  with_context_on("sim", 1, check_sides);
}

/* --- threads -------------------------------------------------------------------------------------------- */

typedef struct {
  pthread_t thread;
  qds_context *ctx;
  qds_stream *stream;
  char *host, *x;
  uint64_t seed;
} worker;

enum { WORKERS = 6, WORKER_BYTES = 9 << 20, ROUNDS = 2 };

static void *copy_to_and_fro(void *data) {
  worker *w = data;
  for (int round = 0; round < ROUNDS; round++) {
    const uint64_t seed = w->seed + (uint64_t)round;
    pattern_put(w->host, WORKER_BYTES, seed);
    assert_ok(qds_stream_upload(w->stream, w->x, w->host, WORKER_BYTES));
    memset(w->host, 0, WORKER_BYTES);
    assert_ok(qds_stream_download(w->stream, w->host, w->x, WORKER_BYTES));
    pattern_check(w->host, WORKER_BYTES, seed);
  }
  return NULL;
}

static void check_threads(qds_context *ctx) {
  worker workers[WORKERS];
  for (int i = 0; i < WORKERS; i++) {
    worker *w = &workers[i];
    *w = (worker){.ctx = ctx, .seed = 100 * (uint64_t)(i + 1), .host = host_block(ctx, WORKER_BYTES)};
    assert_ok(qds_context_stream_create(ctx, &w->stream));
    assert_ok(QDS_STREAM_NEW(w->stream, WORKER_BYTES, "test", &w->x));
  }
  for (int i = 0; i < WORKERS; i++)
    assert_int_equal(pthread_create(&workers[i].thread, NULL, copy_to_and_fro, &workers[i]), 0);
  for (int i = 0; i < WORKERS; i++) pthread_join(workers[i].thread, NULL);
  const qds_staging_statistics s = statistics(ctx);
  assert_true(s.peak_leases <= s.limit && s.leases == 0);
  for (int i = 0; i < WORKERS; i++) {
    qds_stream_release(workers[i].stream, workers[i].x);
    qds_stream_destroy(workers[i].stream);
    qds_release(workers[i].host);
  }
}

static void test_more_copies_than_pieces_wait_their_turn(void **state) {
  (void)state;
  with_context_on_each(1, check_threads);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_whatever_the_size_the_contents_arrive),
      cmocka_unit_test(test_copies_keep_their_place_in_the_stream),
      cmocka_unit_test(test_pieces_go_to_another_stream_when_the_first_is_through),
      cmocka_unit_test(test_without_page_locked_memory_copies_are_direct),
      cmocka_unit_test(test_a_failed_copy_shows_and_spoils_no_other),
      cmocka_unit_test(test_any_host_side_gets_the_pieces_in_order),
      cmocka_unit_test(test_more_copies_than_pieces_wait_their_turn),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}

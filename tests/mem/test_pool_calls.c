/* What the device pool asks of the driver, which costs more than all its own work: on a device that counts.
 */
#include "support.h"

#include "base/philox.h"
#include "mem/idle_device.h"
#include "mem/pool_stream_parts.h"

enum { STREAMS = 4 };
#define MIB ((size_t)1 << 20)

typedef struct {
  qds_accelerator *accelerator;
  qds_stream *streams[STREAMS];
} setting;

static setting begin(qds_context *ctx, const qds_backend *device) {
  setting s;
  assert_ok(qds_accelerator_create(device, 0, 0, qds_context_allocator(ctx), &s.accelerator));
  for (int i = 0; i < STREAMS; i++)
    assert_ok(qds_stream_create(s.accelerator, qds_context_allocator(ctx), 1, &s.streams[i]));
  return s;
}

static void end(setting *s) {
  for (int i = 0; i < STREAMS; i++) qds_stream_destroy(s->streams[i]);
  qds_accelerator_destroy(s->accelerator);
}

static idle_counts counts_of(const setting *s) {
  return ((const idle_device *)s->accelerator->state)->counts;
}

static void *take(const setting *s, int stream, size_t bytes) {
  char *block;
  assert_ok(QDS_STREAM_NEW(s->streams[stream], bytes, "test", &block));
  return block;
}

/* From now on no event is done. Each stream is known to the pool then: this device says the same of events
 * that were never recorded. */
static void keep_busy(const setting *s) {
  for (int i = 0; i < STREAMS; i++) qds_stream_release(s->streams[i], take(s, i, 8));
  ((idle_device *)s->accelerator->state)->busy = 1;
}

/* --- events --------------------------------------------------------------------------------------------- */

static void take_turns(const setting *s, size_t bytes, int rounds) {
  for (int round = 0; round < rounds; round++)
    for (int i = 0; i < STREAMS; i++) qds_stream_release(s->streams[i], take(s, i, bytes));
}

/* Streams that keep to their own memory need no events, whatever the size. There must be room for that: one
 * large block at a time leaves no slack for four. The streams are at work when the others ask first. */
static void check_turns(qds_context *ctx) {
  const size_t sizes[] = {8, 4 * MIB, 300 * MIB};
  for (int i = 0; i < 3; i++) {
    setting s = begin(ctx, &idle_pieces);
    keep_busy(&s);
    if (sizes[i] > 64 * MIB) assert_ok(qds_stream_pool_set_slack(s.accelerator->pool, INFINITY));
    take_turns(&s, sizes[i], 20);
    const idle_counts before = counts_of(&s);
    take_turns(&s, sizes[i], 100);
    const idle_counts after = counts_of(&s);
    assert_memory_equal(&before, &after, sizeof before);
    end(&s);
  }
}

static void test_streams_with_memory_of_their_own_ask_for_nothing(void **state) {
  (void)state;
  with_context_on("cpu", 1, check_turns);
}

/* From the first block that goes to another stream on, releases record their event at once, for a while. */
static void check_handing_over(qds_context *ctx) {
  setting s = begin(ctx, &idle_segments);
  keep_busy(&s);
  void *all = take(&s, 0, 48 * MIB);
  qds_stream_release(s.streams[0], all);
  assert_int_equal(counts_of(&s).records, 0);
  void *other = take(&s, 1, 48 * MIB); /* the same: it is there */
  assert_ptr_equal(other, all);
  assert_int_equal(counts_of(&s).records, 1);
  assert_int_equal(counts_of(&s).waits, 1);
  void *mine = take(&s, 0, 48 * MIB);
  size_t before = counts_of(&s).records;
  qds_stream_release(s.streams[0], mine);
  assert_int_equal(counts_of(&s).records, before + 1);
  for (int i = 0; i < 100; i++) qds_stream_release(s.streams[0], take(&s, 0, 48 * MIB));
  assert_true(counts_of(&s).records < before + 20);
  qds_stream_release(s.streams[1], other);
  end(&s);
}

static void test_events_are_recorded_as_long_as_others_take(void **state) {
  (void)state;
  with_context_on("cpu", 1, check_handing_over);
}

/* --- the slack ------------------------------------------------------------------------------------------ */

enum { LIVE = 200, OPERATIONS = 3000 };

/* Blocks of up to 4 GiB, at most 16 GiB of them, on one stream. The same each time. */
static void trace(const setting *s) {
  void *blocks[LIVE];
  size_t bytes[LIVE], used = 0;
  uint64_t drawn = 0;
  int count = 0;
  for (int i = 0; i < OPERATIONS; i++) {
    const size_t size = 1 + (size_t)(qds_random_uniform(1, 0, drawn++) * 4096e6);
    if (used + size < 16000 * MIB && count < LIVE && qds_random_uniform(1, 0, drawn++) < 0.73) {
      blocks[count] = take(s, 0, size);
      bytes[count++] = size;
      used += size;
    } else if (count) {
      const int at = (int)(qds_random_uniform(1, 0, drawn++) * count);
      qds_stream_release(s->streams[0], blocks[at]);
      used -= bytes[at];
      blocks[at] = blocks[--count];
      bytes[at] = bytes[count];
    }
    if (i % 16 == 0) assert_ok(qds_stream_pool_check(s->accelerator->pool));
  }
  while (count) qds_stream_release(s->streams[0], blocks[--count]);
}

static qds_stream_pool_statistics run_with(setting *s, double slack) {
  qds_stream_pool_statistics statistics;
  assert_ok(qds_stream_pool_set_slack(s->accelerator->pool, slack));
  trace(s);
  qds_stream_pool_statistics_read(s->accelerator->pool, &statistics);
  return statistics;
}

static double ratio(const qds_stream_pool_statistics *s) {
  return (double)s->peak_reserved_bytes / (double)s->peak_used_bytes;
}

static void check_slack(qds_context *ctx) {
  const double slacks[] = {QDS_POOL_SLACK, 1.3, 4, INFINITY};
  for (int i = 0; i < 4; i++) {
    setting s = begin(ctx, &idle_pieces);
    const qds_stream_pool_statistics first = run_with(&s, slacks[i]);
    assert_true(ratio(&first) <= slacks[i]);
    assert_true(slacks[i] > 2 ? first.moved == 0 : first.moved > 0);
    const idle_counts before = counts_of(&s);
    const qds_stream_pool_statistics second = run_with(&s, slacks[i]);
    const idle_counts after = counts_of(&s);
    if (slacks[i] > 2) assert_memory_equal(&before, &after, sizeof before); /* it all lies ready */
    assert_true(ratio(&second) <= (slacks[i] > 2 ? 2.5 : slacks[i]));
    end(&s);
  }
}

static void test_with_more_slack_the_pool_moves_nothing(void **state) {
  (void)state;
  with_context_on("cpu", 1, check_slack);
}

/* Whole segments cannot be moved, but with little slack idle ones go back to the device. */
static void check_segments(qds_context *ctx) {
  setting s = begin(ctx, &idle_segments);
  const qds_stream_pool_statistics little = run_with(&s, QDS_POOL_SLACK);
  end(&s);
  s = begin(ctx, &idle_segments);
  const qds_stream_pool_statistics much = run_with(&s, INFINITY);
  assert_true(little.trims > 0);
  assert_int_equal(much.trims, 0);
  assert_true(ratio(&little) < ratio(&much));
  end(&s);
}

static void test_with_more_slack_segments_stay(void **state) {
  (void)state;
  with_context_on("cpu", 1, check_segments);
}

/* The limit holds whatever the slack. */
static void check_limit(qds_context *ctx) {
  setting s = {0};
  void *blocks[3], *block;
  assert_ok(qds_accelerator_create(&idle_pieces, 0, 1000 * MIB, qds_context_allocator(ctx), &s.accelerator));
  assert_ok(qds_stream_create(s.accelerator, qds_context_allocator(ctx), 1, &s.streams[0]));
  assert_ok(qds_stream_pool_set_slack(s.accelerator->pool, INFINITY));
  for (int i = 0; i < 3; i++) blocks[i] = take(&s, 0, 320 * MIB);
  qds_stream_release(s.streams[0], blocks[0]);
  qds_stream_release(s.streams[0], blocks[2]);
  block = take(&s, 0, 640 * MIB); /* of the two */
  assert_ok(qds_stream_pool_check(s.accelerator->pool));
  assert_fails(QDS_STREAM_NEW(s.streams[0], 320 * MIB, "more", (char **)&blocks[0]), QDS_ERROR_BUDGET,
               "more");
  qds_stream_release(s.streams[0], block);
  qds_stream_release(s.streams[0], blocks[1]);
  qds_stream_destroy(s.streams[0]);
  qds_accelerator_destroy(s.accelerator);
}

static void test_the_limit_holds_whatever_the_slack(void **state) {
  (void)state;
  with_context_on("cpu", 1, check_limit);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_streams_with_memory_of_their_own_ask_for_nothing),
      cmocka_unit_test(test_events_are_recorded_as_long_as_others_take),
      cmocka_unit_test(test_with_more_slack_the_pool_moves_nothing),
      cmocka_unit_test(test_with_more_slack_segments_stay),
      cmocka_unit_test(test_the_limit_holds_whatever_the_slack),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}

/* The limits of host and device hold whatever kind of memory buffers have: pageable, page-locked, managed. */
#include "buffers.h"

#include <pthread.h>

enum { MIB = 1 << 20, MANY = 48 };

static size_t current_at(const qds_memory_statistics *s, qds_place place) {
  return s->places[place].current_bytes;
}

static void check_host(qds_context *ctx, size_t limit) {
  const qds_memory_statistics s = statistics_of(ctx);
  qds_memory_row total;
  qds_context_memory(ctx, &total);
  assert_true(current_at(&s, QDS_PLACE_HOST) + current_at(&s, QDS_PLACE_PINNED) <= limit);
  assert_true(total.current_bytes >= current_at(&s, QDS_PLACE_HOST) + current_at(&s, QDS_PLACE_PINNED));
  assert_true(total.peak_bytes <= limit);
}

/* What is acquired cannot leave, so it must be refused when the limit is reached. Returns how many were. */
static int acquire_until_refused(qds_buffer **b, int count, qds_place place) {
  void *data;
  for (int i = 0; i < count; i++) {
    const qds_status status = qds_buffer_acquire(b[i], place, QDS_ACCESS_READ, NULL, &data);
    if (status == QDS_OK) continue;
    assert_int_equal(status, QDS_ERROR_BUDGET);
    for (int j = 0; j < i; j++) assert_ok(qds_buffer_release(b[j], NULL));
    return i;
  }
  fail_msg("nothing was refused");
  return count;
}

enum { HOST_LIMIT = 4 * MIB + 300000 };

static void host_limit_holds(qds_context *ctx) {
  qds_buffer *b[MANY];
  for (int i = 0; i < MANY; i++) {
    assert_ok(qds_buffer_create(ctx, MIB, i % 3 ? QDS_MEM_ADAPTIVE : QDS_MEM_CPU_ONLY, "many", &b[i]));
    buffer_put(b[i], MIB, (uint64_t)i);
    check_host(ctx, HOST_LIMIT);
  }
  for (int i = 0; i < MANY; i++) {
    buffer_check(b[i], MIB, (uint64_t)i);
    check_host(ctx, HOST_LIMIT);
  }
  assert_int_equal(acquire_until_refused(b, MANY, QDS_PLACE_HOST), 4);
  check_host(ctx, HOST_LIMIT);
  for (int i = 0; i < MANY; i++) assert_ok(qds_buffer_destroy(b[i]));
}

static void test_host_limit_holds(void **state) {
  (void)state;
  with_limits(HOST_LIMIT, 0, 0, host_limit_holds);
}

static void check_device(qds_context *ctx, size_t limit) {
  const qds_memory_statistics s = statistics_of(ctx);
  qds_memory_pool_row pool = {.reserved_bytes = 0};
  for (size_t i = 0; qds_memory_pool(ctx, i, &pool) && pool.place != QDS_PLACE_DEVICE; i++) continue;
  assert_true(current_at(&s, QDS_PLACE_UNIFIED) + pool.reserved_bytes <= limit);
}

/* Memory that host and device address, beside the device's own. */
static void device_limit_holds(qds_context *ctx) {
  if (!has_device(ctx)) return;
  const size_t limit = 4 * buffers_unit, bytes = buffers_unit / 2;
  qds_buffer *b[MANY];
  for (int i = 0; i < MANY; i++) {
    assert_ok(qds_buffer_create(ctx, bytes, i % 4 ? QDS_MEM_UNIFIED : QDS_MEM_ADAPTIVE, "many", &b[i]));
    buffer_put(b[i], bytes, (uint64_t)i);
    buffer_use(b[i], QDS_PLACE_DEVICE, QDS_ACCESS_READ);
    check_device(ctx, limit);
  }
  for (int i = 0; i < MANY; i++) {
    buffer_check(b[i], bytes, (uint64_t)i);
    check_device(ctx, limit);
  }
  assert_true(acquire_until_refused(b, MANY, QDS_PLACE_DEVICE) <= 8);
  check_device(ctx, limit);
  for (int i = 0; i < MANY; i++) assert_ok(qds_buffer_destroy(b[i]));
  check_device(ctx, limit);
}

static void test_device_limit_holds(void **state) {
  (void)state;
  with_limits(0, 0, 4, device_limit_holds);
}

/* Page-locked memory leaves for the sake of pageable memory, which it shares the limit with. */
static void page_locked_memory_makes_room(qds_context *ctx) {
  qds_buffer *b[MANY], *large;
  for (int i = 0; i < MANY; i++) {
    assert_ok(qds_buffer_create(ctx, MIB, QDS_MEM_ADAPTIVE, "many", &b[i]));
    buffer_put(b[i], MIB, (uint64_t)i);
  }
  assert_ok(qds_buffer_create(ctx, 3 * MIB, QDS_MEM_CPU_ONLY, "large", &large));
  buffer_put(large, 3 * MIB, MANY);
  check_host(ctx, HOST_LIMIT);
  for (int i = 0; i < MANY; i++) buffer_check(b[i], MIB, (uint64_t)i);
  buffer_check(large, 3 * MIB, MANY);
  check_host(ctx, HOST_LIMIT);
  assert_ok(qds_buffer_destroy(large));
  for (int i = 0; i < MANY; i++) assert_ok(qds_buffer_destroy(b[i]));
}

static void test_page_locked_memory_makes_room(void **state) {
  (void)state;
  with_limits(HOST_LIMIT, 0, 0, page_locked_memory_makes_room);
}

/* Several threads push each other's buffers to files: no more are counted in memory than have room there. */
enum { THREADS = 3, ROUNDS = 1000, BYTES = 300000, OWN = 24, ROOM = 3 * MIB };

static void *push_each_other(void *context) {
  qds_buffer *b[OWN];
  void *data;
  for (int i = 0; i < OWN; i++)
    assert_ok(qds_buffer_create(context, BYTES, QDS_MEM_CPU_ONLY, "pushed", &b[i]));
  for (int i = 0; i < ROUNDS; i++) {
    qds_buffer *chosen = b[i * 7 % OWN];
    const qds_access access = i < OWN ? QDS_ACCESS_DISCARD : QDS_ACCESS_READ;
    assert_ok(qds_buffer_acquire(chosen, QDS_PLACE_HOST, access, NULL, &data));
    assert_ok(qds_buffer_release(chosen, NULL));
  }
  for (int i = 0; i < OWN; i++) assert_ok(qds_buffer_destroy(b[i]));
  return NULL;
}

static void peaks_are_not_above_what_there_was(qds_context *ctx) {
  pthread_t threads[THREADS];
  for (int i = 0; i < THREADS; i++)
    assert_int_equal(pthread_create(&threads[i], NULL, push_each_other, ctx), 0);
  for (int i = 0; i < THREADS; i++) pthread_join(threads[i], NULL);
  const qds_memory_statistics s = statistics_of(ctx);
  const size_t peak = s.places[QDS_PLACE_HOST].peak_bytes;
  if (peak < BYTES || peak > ROOM) fail_msg("%zu bytes at most, of %d", peak, ROOM);
  assert_int_equal(current_at(&s, QDS_PLACE_HOST), 0);
}

static void test_peaks_are_not_above_what_there_was(void **state) {
  (void)state;
  with_limits(ROOM, 0, 0, peaks_are_not_above_what_there_was);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_host_limit_holds),
      cmocka_unit_test(test_page_locked_memory_makes_room),
      cmocka_unit_test(test_device_limit_holds),
      cmocka_unit_test(test_peaks_are_not_above_what_there_was),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}

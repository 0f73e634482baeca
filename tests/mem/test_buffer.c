/* Buffers: strategies, brackets, copies and their errors, on every device of this machine. Their life is in
 * test_buffer_life.c, coherence in test_buffer_model.c, budgets and files in test_buffer_spill.c. */
#include "buffers.h"

enum { BYTES = 1000 };

static qds_buffer *make(qds_context *ctx, qds_mem_strategy strategy) {
  qds_buffer *b;
  assert_ok(qds_buffer_create(ctx, BYTES, strategy, "psi", &b));
  return b;
}

/* --- strategies ----------------------------------------------------------------------------------------- */

/* Fault 72: strategies that are ignored. Each has its own places, and refuses the others'. */
static void strategies_differ(qds_context *ctx) {
  const int device = has_device(ctx);
  static const qds_place slots[] = {QDS_PLACE_HOST, QDS_PLACE_DEVICE, QDS_PLACE_UNIFIED, QDS_PLACE_PINNED};
  for (int s = 0; s < QDS_MEM_STRATEGIES; s++) {
    if (s == QDS_MEM_GPU_ONLY && !device) continue;
    qds_buffer *b = make(ctx, (qds_mem_strategy)s);
    void *p;
    const qds_place place = s == QDS_MEM_GPU_ONLY ? QDS_PLACE_DEVICE : QDS_PLACE_HOST;
    assert_ok(qds_buffer_acquire(b, place, QDS_ACCESS_DISCARD, NULL, &p));
    const qds_buffer_info info = info_of(b);
    for (int i = 0; i < QDS_PLACES; i++) {
      const int here = i == (int)(device ? slots[s] : QDS_PLACE_HOST);
      assert_int_equal(info.valid[i], here);
      assert_int_equal(info.held[i], here);
    }
    assert_ok(qds_buffer_release(b, NULL));
    assert_ok(qds_buffer_destroy(b));
  }
}

static void sides_are_refused(qds_context *ctx) {
  qds_buffer *b = make(ctx, QDS_MEM_CPU_ONLY);
  void *p = b;
  assert_fails(qds_buffer_acquire(b, QDS_PLACE_DEVICE, QDS_ACCESS_DISCARD, NULL, &p), QDS_ERROR_UNSUPPORTED,
               "cpu_only memory is not accessed on the device");
  assert_null(p);
  assert_fails(qds_buffer_prefetch(b, QDS_PLACE_DEVICE, NULL), QDS_ERROR_UNSUPPORTED,
               "\"psi\" (test_buffer.c");
  assert_ok(qds_buffer_destroy(b));
  if (!has_device(ctx)) {
    assert_fails(qds_buffer_create(ctx, 1, QDS_MEM_GPU_ONLY, "psi", &b), QDS_ERROR_UNSUPPORTED,
                 "gpu_only needs a device, and there is none: the context uses the CPU");
    assert_null(b);
    return;
  }
  b = make(ctx, QDS_MEM_GPU_ONLY);
  assert_fails(qds_buffer_acquire(b, QDS_PLACE_HOST, QDS_ACCESS_DISCARD, NULL, &p), QDS_ERROR_UNSUPPORTED,
               "gpu_only memory is not accessed on the host");
  assert_fails(qds_buffer_prefetch(b, QDS_PLACE_PINNED, NULL), QDS_ERROR_UNSUPPORTED, "on the host");
  assert_ok(qds_buffer_destroy(b));
}

/* Without a device the device's place is the host's memory. */
static void cpu_serves_as_device(qds_context *ctx) {
  if (has_device(ctx)) return;
  static const qds_mem_strategy strategies[] = {QDS_MEM_UNIFIED, QDS_MEM_ADAPTIVE};
  for (int s = 0; s < 2; s++) {
    qds_buffer *b = make(ctx, strategies[s]);
    void *device, *host;
    assert_ok(qds_buffer_acquire(b, QDS_PLACE_DEVICE, QDS_ACCESS_DISCARD, NULL, &device));
    pattern_put(device, BYTES, 3);
    assert_ok(qds_buffer_release(b, NULL));
    assert_ok(qds_buffer_acquire(b, QDS_PLACE_HOST, QDS_ACCESS_READ, NULL, &host));
    assert_ptr_equal(device, host);
    pattern_check(host, BYTES, 3);
    assert_ok(qds_buffer_release(b, NULL));
    assert_ok(qds_buffer_prefetch(b, QDS_PLACE_PINNED, NULL));
    assert_ok(qds_buffer_destroy(b));
  }
}

/* Unified memory has one address, and the host's numbers are the device's. Fault 51: it is not bound to the
 * host; more than the device has free is refused. */
static void unified_has_one_address(qds_context *ctx) {
  qds_buffer *b = make(ctx, QDS_MEM_UNIFIED);
  void *host, *device;
  assert_ok(qds_buffer_acquire(b, QDS_PLACE_HOST, QDS_ACCESS_DISCARD, NULL, &host));
  assert_ok(qds_buffer_release(b, NULL));
  assert_ok(qds_buffer_acquire(b, QDS_PLACE_DEVICE, QDS_ACCESS_READ, NULL, &device));
  assert_ok(qds_buffer_release(b, NULL));
  assert_ptr_equal(host, device);
  assert_ok(qds_buffer_destroy(b));
  if (!has_device(ctx)) return;
  size_t free_bytes, total;
  assert_ok(qds_accelerator_memory(qds_context_accelerator(ctx), &free_bytes, &total));
  assert_ok(qds_buffer_create(ctx, total + 1, QDS_MEM_UNIFIED, "huge", &b));
  assert_fails(qds_buffer_acquire(b, QDS_PLACE_HOST, QDS_ACCESS_DISCARD, NULL, &host), QDS_ERROR_MEMORY,
               "the device has");
  assert_ok(qds_buffer_destroy(b));
}

/* The rule of adaptive: home is the place of the first use, changes after uses elsewhere outweigh it by two,
 * and a write elsewhere is followed by a copy home. */
static void adaptive_remembers(qds_context *ctx) {
  if (!has_device(ctx)) return;
  qds_buffer *b = make(ctx, QDS_MEM_ADAPTIVE);
  buffer_use(b, QDS_PLACE_DEVICE, QDS_ACCESS_DISCARD); /* 1 */
  assert_int_equal(info_of(b).home, QDS_PLACE_DEVICE);
  buffer_use(b, QDS_PLACE_HOST, QDS_ACCESS_READ); /* 0 */
  buffer_use(b, QDS_PLACE_HOST, QDS_ACCESS_READ); /* -1 */
  assert_int_equal(info_of(b).home, QDS_PLACE_DEVICE);
  buffer_use(b, QDS_PLACE_HOST, QDS_ACCESS_WRITE); /* -2 */
  assert_int_equal(info_of(b).home, QDS_PLACE_HOST);
  assert_int_equal(info_of(b).held[QDS_PLACE_DEVICE], 0); /* stale and away from home */
  buffer_use(b, QDS_PLACE_DEVICE, QDS_ACCESS_WRITE);      /* -1 */
  assert_int_equal(info_of(b).home, QDS_PLACE_HOST);
  assert_int_equal(info_of(b).valid[QDS_PLACE_PINNED], 1); /* sent home */
  for (int i = 0; i < 10; i++) buffer_use(b, QDS_PLACE_DEVICE, QDS_ACCESS_WRITE);
  assert_int_equal(info_of(b).home, QDS_PLACE_DEVICE);
  for (int i = 0; i < 5; i++) {
    buffer_use(b, QDS_PLACE_HOST, QDS_ACCESS_WRITE); /* 3, 2, 1, 0, -1: the memory of ten uses is four long */
    assert_int_equal(info_of(b).home, QDS_PLACE_DEVICE);
    assert_int_equal(info_of(b).valid[QDS_PLACE_DEVICE], 1);
  }
  buffer_use(b, QDS_PLACE_HOST, QDS_ACCESS_WRITE);
  assert_int_equal(info_of(b).home, QDS_PLACE_HOST);
  assert_ok(qds_buffer_destroy(b));
}

/* --- brackets ------------------------------------------------------------------------------------------- */

static void many_readers_or_one_writer(qds_context *ctx) {
  qds_buffer *b = make(ctx, QDS_MEM_ADAPTIVE);
  void *p, *q;
  buffer_put(b, BYTES, 1);
  assert_ok(qds_buffer_acquire(b, QDS_PLACE_HOST, QDS_ACCESS_READ, NULL, &p));
  assert_ok(qds_buffer_acquire(b, QDS_PLACE_HOST, QDS_ACCESS_READ, NULL, &q));
  assert_ok(qds_buffer_acquire(b, QDS_PLACE_DEVICE, QDS_ACCESS_READ, NULL, &q));
  assert_fails(qds_buffer_acquire(b, QDS_PLACE_HOST, QDS_ACCESS_WRITE, NULL, &q), QDS_ERROR_ARGUMENT,
               "cannot be written while it is acquired (readers: 3, writers: 0)");
  assert_null(q);
  assert_fails(qds_buffer_acquire(b, QDS_PLACE_HOST, QDS_ACCESS_DISCARD, NULL, &q), QDS_ERROR_ARGUMENT,
               "\"psi\" (test_buffer.c");
  assert_fails(qds_buffer_fill(b, 0, NULL), QDS_ERROR_ARGUMENT, "cannot be written");
  assert_fails(qds_buffer_spill(b, QDS_PLACE_FILE), QDS_ERROR_ARGUMENT, "while it is acquired");
  for (int i = 0; i < 3; i++) assert_ok(qds_buffer_release(b, NULL));
  assert_ok(qds_buffer_acquire(b, QDS_PLACE_HOST, QDS_ACCESS_WRITE, NULL, &p));
  assert_fails(qds_buffer_acquire(b, QDS_PLACE_HOST, QDS_ACCESS_READ, NULL, &q), QDS_ERROR_ARGUMENT,
               "cannot be read while it is acquired (readers: 0, writers: 1)");
  assert_fails(qds_buffer_acquire(b, QDS_PLACE_DEVICE, QDS_ACCESS_WRITE, NULL, &q), QDS_ERROR_ARGUMENT,
               "writers: 1");
  assert_fails(qds_buffer_prefetch(b, QDS_PLACE_DEVICE, NULL), QDS_ERROR_ARGUMENT, "writers: 1");
  assert_ok(qds_buffer_release(b, NULL));
  buffer_check(b, BYTES, 1);
  assert_ok(qds_buffer_destroy(b));
}

static void release_needs_its_acquire(qds_context *ctx) {
  qds_buffer *b = make(ctx, QDS_MEM_ADAPTIVE);
  qds_stream *stream;
  void *p;
  assert_ok(qds_context_stream_create(ctx, &stream));
  assert_fails(qds_buffer_release(b, NULL), QDS_ERROR_ARGUMENT, "released without an acquire before");
  assert_ok(qds_buffer_acquire(b, QDS_PLACE_HOST, QDS_ACCESS_DISCARD, stream, &p));
  assert_fails(qds_buffer_release(b, NULL), QDS_ERROR_ARGUMENT, "on this stream");
  assert_ok(qds_buffer_release(b, stream));
  assert_fails(qds_buffer_release(b, stream), QDS_ERROR_ARGUMENT, "released without an acquire before");
  assert_ok(qds_buffer_destroy(b));
  qds_context_stream_destroy(stream);
}

/* Contents that were never written are nothing to read. */
static void unwritten_is_not_read(qds_context *ctx) {
  qds_buffer *b = make(ctx, QDS_MEM_ADAPTIVE), *other = make(ctx, QDS_MEM_CPU_ONLY);
  void *p;
  assert_fails(qds_buffer_acquire(b, QDS_PLACE_HOST, QDS_ACCESS_READ, NULL, &p), QDS_ERROR_ARGUMENT,
               "nothing was ever written to it; write to it first");
  assert_fails(qds_buffer_acquire(b, QDS_PLACE_DEVICE, QDS_ACCESS_WRITE, NULL, &p), QDS_ERROR_ARGUMENT,
               "QDS_ACCESS_DISCARD");
  assert_fails(qds_buffer_prefetch(b, QDS_PLACE_DEVICE, NULL), QDS_ERROR_ARGUMENT,
               "nothing was ever written");
  assert_fails(qds_buffer_copy(other, b, NULL), QDS_ERROR_ARGUMENT, "nothing was ever written");
  buffer_put(other, BYTES, 1);
  assert_fails(qds_buffer_copy_part(b, 0, other, 0, 1, NULL), QDS_ERROR_ARGUMENT, "nothing was ever written");
  assert_ok(qds_buffer_spill(b, QDS_PLACE_FILE));
  assert_int_equal(statistics_of(ctx).places[QDS_PLACE_FILE].total_blocks, 0);
  assert_ok(qds_buffer_destroy(b));
  assert_ok(qds_buffer_destroy(other));
}

static void wrong_arguments_are_named(qds_context *ctx) {
  qds_buffer *b = make(ctx, QDS_MEM_ADAPTIVE), *none;
  void *p;
  assert_fails(qds_buffer_acquire(b, QDS_PLACE_FILE, QDS_ACCESS_READ, NULL, &p), QDS_ERROR_ARGUMENT,
               "on the host or on the device");
  assert_fails(qds_buffer_acquire(b, QDS_PLACE_HOST, (qds_access)7, NULL, &p), QDS_ERROR_ARGUMENT,
               "access 7");
  assert_fails(qds_buffer_acquire(NULL, QDS_PLACE_HOST, QDS_ACCESS_READ, NULL, &p), QDS_ERROR_ARGUMENT,
               "no buffer");
  assert_fails(qds_buffer_prefetch(b, QDS_PLACE_FILE, NULL), QDS_ERROR_ARGUMENT, "qds_buffer_spill");
  assert_fails(qds_buffer_spill(b, QDS_PLACE_DEVICE), QDS_ERROR_ARGUMENT, "pinned, host or file");
  assert_fails(qds_buffer_create(ctx, 1, (qds_mem_strategy)9, "psi", &none), QDS_ERROR_ARGUMENT,
               "no strategy 9; allowed are cpu_only, gpu_only, unified and adaptive");
  assert_fails(qds_buffer_create(ctx, 1, QDS_MEM_ADAPTIVE, "", &none), QDS_ERROR_ARGUMENT, "a tag");
  assert_fails(qds_buffer_create(ctx, SIZE_MAX, QDS_MEM_ADAPTIVE, "psi", &none), QDS_ERROR_ARGUMENT,
               "address range");
  assert_fails(qds_buffer_create(NULL, 1, QDS_MEM_ADAPTIVE, "psi", &none), QDS_ERROR_ARGUMENT, "no context");
  assert_ok(qds_buffer_destroy(b));
  assert_ok(qds_buffer_destroy(NULL));
}

static void empty_buffers_work(qds_context *ctx) {
  qds_buffer *b, *c;
  void *p;
  assert_ok(qds_buffer_create(ctx, 0, QDS_MEM_ADAPTIVE, "empty", &b));
  assert_ok(qds_buffer_create(ctx, 0, QDS_MEM_ADAPTIVE, "empty", &c));
  assert_ok(qds_buffer_acquire(b, QDS_PLACE_HOST, QDS_ACCESS_DISCARD, NULL, &p));
  assert_non_null(p);
  assert_ok(qds_buffer_release(b, NULL));
  assert_ok(qds_buffer_acquire(b, QDS_PLACE_DEVICE, QDS_ACCESS_READ, NULL, &p));
  assert_non_null(p);
  assert_ok(qds_buffer_release(b, NULL));
  assert_ok(qds_buffer_fill(c, 0, NULL));
  assert_ok(qds_buffer_copy(c, b, NULL));
  assert_ok(qds_buffer_spill(c, QDS_PLACE_FILE));
  buffer_use(c, QDS_PLACE_DEVICE, QDS_ACCESS_WRITE);
  assert_ok(qds_buffer_destroy(b));
  assert_ok(qds_buffer_destroy(c));
}

/* --- copies --------------------------------------------------------------------------------------------- */

/* Fault 54: a copy that truncates to the smaller size; NULL that means some stream or other. */
static void sizes_must_agree(qds_context *ctx) {
  qds_buffer *b = make(ctx, QDS_MEM_ADAPTIVE), *small;
  assert_ok(qds_buffer_create(ctx, BYTES - 1, QDS_MEM_ADAPTIVE, "small", &small));
  buffer_put(b, BYTES, 1);
  buffer_put(small, BYTES - 1, 2);
  assert_fails(qds_buffer_copy(small, b, NULL), QDS_ERROR_ARGUMENT,
               "has 999 bytes and cannot take the 1000 of \"psi\"");
  assert_fails(qds_buffer_copy(b, small, NULL), QDS_ERROR_ARGUMENT, "has 1000 bytes and cannot take the 999");
  assert_fails(qds_buffer_copy(b, b, NULL), QDS_ERROR_ARGUMENT, "copied to itself");
  assert_fails(qds_buffer_copy_part(b, 2, small, 0, BYTES - 1, NULL), QDS_ERROR_ARGUMENT,
               "\"psi\" (test_buffer.c");
  assert_fails(qds_buffer_copy_part(b, 0, small, 0, BYTES, NULL), QDS_ERROR_ARGUMENT,
               "1000 bytes from offset 0 on do not lie within its 999");
  assert_fails(qds_buffer_copy_part(b, SIZE_MAX, small, 0, 2, NULL), QDS_ERROR_ARGUMENT, "do not lie within");
  assert_fails(qds_buffer_copy_part(b, 2, small, SIZE_MAX - 1, 2, NULL), QDS_ERROR_ARGUMENT,
               "do not lie within");
  buffer_check(b, BYTES, 1);
  buffer_check(small, BYTES - 1, 2);
  assert_ok(qds_buffer_copy_part(b, 8, small, 8, 80, NULL));
  unsigned char *p;
  assert_ok(qds_buffer_acquire(b, QDS_PLACE_HOST, QDS_ACCESS_READ, NULL, (void **)&p));
  for (int i = 0; i < BYTES; i++)
    assert_int_equal(p[i],
                     (unsigned char)(pattern_word(i >= 8 && i < 88 ? 2 : 1, (size_t)i / 8) >> (i % 8 * 8)));
  assert_ok(qds_buffer_release(b, NULL));
  assert_ok(qds_buffer_destroy(b));
  assert_ok(qds_buffer_destroy(small));
}

/* Between any two strategies, from every place that the contents can be in. */
static void copies_cross_strategies(qds_context *ctx) {
  qds_buffer *source = make(ctx, QDS_MEM_ADAPTIVE), *back = make(ctx, QDS_MEM_CPU_ONLY);
  for (int a = 0; a < QDS_MEM_STRATEGIES; a++)
    for (int b = 0; b < QDS_MEM_STRATEGIES; b++) {
      if (!has_device(ctx) && (a == QDS_MEM_GPU_ONLY || b == QDS_MEM_GPU_ONLY)) continue;
      for (int spilled = 0; spilled < 2; spilled++) {
        qds_buffer *from = make(ctx, (qds_mem_strategy)a), *to = make(ctx, (qds_mem_strategy)b);
        const uint64_t seed = (uint64_t)(8 * a + 2 * b + spilled);
        buffer_put(source, BYTES, seed);
        assert_ok(qds_buffer_copy(from, source, NULL));
        if (spilled) assert_ok(qds_buffer_spill(from, QDS_PLACE_FILE));
        assert_ok(qds_buffer_copy(to, from, NULL));
        assert_ok(qds_buffer_copy(back, to, NULL));
        buffer_check(back, BYTES, seed);
        assert_ok(qds_buffer_destroy(from));
        assert_ok(qds_buffer_destroy(to));
      }
    }
  assert_ok(qds_buffer_destroy(source));
  assert_ok(qds_buffer_destroy(back));
}

static void fills_every_byte(qds_context *ctx) {
  for (int s = 0; s < QDS_MEM_STRATEGIES; s++) {
    if (s == QDS_MEM_GPU_ONLY && !has_device(ctx)) continue;
    qds_buffer *b = make(ctx, (qds_mem_strategy)s), *back = make(ctx, QDS_MEM_CPU_ONLY);
    unsigned char *p;
    assert_ok(qds_buffer_fill(b, 0x5a, NULL));
    assert_ok(qds_buffer_copy(back, b, NULL));
    assert_ok(qds_buffer_acquire(back, QDS_PLACE_HOST, QDS_ACCESS_READ, NULL, (void **)&p));
    for (int i = 0; i < BYTES; i++) assert_int_equal(p[i], 0x5a);
    assert_ok(qds_buffer_release(back, NULL));
    assert_ok(qds_buffer_destroy(b));
    assert_ok(qds_buffer_destroy(back));
  }
}

BUFFER_TEST(strategies_differ)
BUFFER_TEST(sides_are_refused)
BUFFER_TEST(cpu_serves_as_device)
BUFFER_TEST(unified_has_one_address)
BUFFER_TEST(adaptive_remembers)
BUFFER_TEST(many_readers_or_one_writer)
BUFFER_TEST(release_needs_its_acquire)
BUFFER_TEST(unwritten_is_not_read)
BUFFER_TEST(wrong_arguments_are_named)
BUFFER_TEST(empty_buffers_work)
BUFFER_TEST(sizes_must_agree)
BUFFER_TEST(copies_cross_strategies)
BUFFER_TEST(fills_every_byte)

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_strategies_differ),         cmocka_unit_test(test_sides_are_refused),
      cmocka_unit_test(test_cpu_serves_as_device),      cmocka_unit_test(test_unified_has_one_address),
      cmocka_unit_test(test_adaptive_remembers),        cmocka_unit_test(test_many_readers_or_one_writer),
      cmocka_unit_test(test_release_needs_its_acquire), cmocka_unit_test(test_unwritten_is_not_read),
      cmocka_unit_test(test_wrong_arguments_are_named), cmocka_unit_test(test_empty_buffers_work),
      cmocka_unit_test(test_sizes_must_agree),          cmocka_unit_test(test_copies_cross_strategies),
      cmocka_unit_test(test_fills_every_byte),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}

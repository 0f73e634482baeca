/* Buffers: strategies, brackets, references, copies and their errors, on every device of this machine.
 * Coherence is in test_buffer_model.c, budgets and files are in test_buffer_spill.c. */
#include "buffers.h"

#include <pthread.h>
#include <stdatomic.h>

enum { BYTES = 1000 };

static qds_buffer *make(qds_context *ctx, qds_mem_strategy strategy) {
  qds_buffer *b;
  assert_ok(qds_buffer_create(ctx, BYTES, strategy, "psi", &b));
  return b;
}

static qds_buffer_info info_of(qds_buffer *b) {
  qds_buffer_info info;
  qds_buffer_get_info(b, &info);
  return info;
}

static qds_memory_statistics statistics_of(qds_context *ctx) {
  qds_memory_statistics s;
  qds_memory_get_statistics(ctx, &s);
  return s;
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

static void use(qds_buffer *b, qds_place place, qds_access access) {
  void *p;
  assert_ok(qds_buffer_acquire(b, place, access, NULL, &p));
  assert_ok(qds_buffer_release(b, NULL));
}

/* The rule of adaptive: home is the place of the first use, changes after uses elsewhere outweigh it by two,
 * and a write elsewhere is followed by a copy home. */
static void adaptive_remembers(qds_context *ctx) {
  if (!has_device(ctx)) return;
  qds_buffer *b = make(ctx, QDS_MEM_ADAPTIVE);
  use(b, QDS_PLACE_DEVICE, QDS_ACCESS_DISCARD); /* 1 */
  assert_int_equal(info_of(b).home, QDS_PLACE_DEVICE);
  use(b, QDS_PLACE_HOST, QDS_ACCESS_READ); /* 0 */
  use(b, QDS_PLACE_HOST, QDS_ACCESS_READ); /* -1 */
  assert_int_equal(info_of(b).home, QDS_PLACE_DEVICE);
  use(b, QDS_PLACE_HOST, QDS_ACCESS_WRITE); /* -2 */
  assert_int_equal(info_of(b).home, QDS_PLACE_HOST);
  assert_int_equal(info_of(b).held[QDS_PLACE_DEVICE], 0); /* stale and away from home */
  use(b, QDS_PLACE_DEVICE, QDS_ACCESS_WRITE);             /* -1 */
  assert_int_equal(info_of(b).home, QDS_PLACE_HOST);
  assert_int_equal(info_of(b).valid[QDS_PLACE_PINNED], 1); /* sent home */
  for (int i = 0; i < 10; i++) use(b, QDS_PLACE_DEVICE, QDS_ACCESS_WRITE);
  assert_int_equal(info_of(b).home, QDS_PLACE_DEVICE);
  for (int i = 0; i < 5; i++) {
    use(b, QDS_PLACE_HOST, QDS_ACCESS_WRITE); /* 3, 2, 1, 0, -1: the memory of ten uses is four long */
    assert_int_equal(info_of(b).home, QDS_PLACE_DEVICE);
    assert_int_equal(info_of(b).valid[QDS_PLACE_DEVICE], 1);
  }
  use(b, QDS_PLACE_HOST, QDS_ACCESS_WRITE);
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
               "nothing was ever written to it");
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
  use(c, QDS_PLACE_DEVICE, QDS_ACCESS_WRITE);
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

/* --- references ----------------------------------------------------------------------------------------- */

static void destroy_while_acquired_is_refused(qds_context *ctx) {
  qds_buffer *b = make(ctx, QDS_MEM_ADAPTIVE);
  void *p;
  assert_ok(qds_buffer_acquire(b, QDS_PLACE_HOST, QDS_ACCESS_DISCARD, NULL, &p));
  assert_fails(qds_buffer_destroy(b), QDS_ERROR_ARGUMENT, "\"psi\" (test_buffer.c");
  assert_fails(qds_buffer_destroy(b), QDS_ERROR_ARGUMENT,
               "destroyed while it is acquired (readers: 0, writers: 1)");
  qds_buffer_retain(b);
  assert_ok(qds_buffer_destroy(b)); /* it was not the last reference */
  assert_ok(qds_buffer_release(b, NULL));
  assert_ok(qds_buffer_destroy(b));
}

/* Faults 50, 52 and 53: counts that never fall, and Python's references mixed with the library's. */
static void owners_are_counted_apart(qds_context *ctx) {
  qds_buffer *b = make(ctx, QDS_MEM_ADAPTIVE);
  buffer_put(b, BYTES, 1);
  qds_buffer_retain_for(b, QDS_OWNER_PYTHON);
  qds_buffer_retain_for(b, QDS_OWNER_PYTHON);
  assert_int_equal(info_of(b).references[QDS_OWNER_LIBRARY], 1);
  assert_int_equal(info_of(b).references[QDS_OWNER_PYTHON], 2);
  assert_int_equal(statistics_of(ctx).python_buffers, 1);
  assert_int_equal(statistics_of(ctx).python_bytes, BYTES);
  assert_ok(qds_buffer_destroy(b));
  assert_fails(qds_buffer_destroy(b), QDS_ERROR_ARGUMENT,
               "destroyed more often than it was retained for the library");
  buffer_check(b, BYTES, 1);
  assert_ok(qds_buffer_drop_for(b, QDS_OWNER_PYTHON));
  assert_int_equal(statistics_of(ctx).python_buffers, 1);
  assert_ok(qds_buffer_drop_for(b, QDS_OWNER_PYTHON));
  assert_int_equal(statistics_of(ctx).python_buffers, 0);
  assert_int_equal(statistics_of(ctx).python_bytes, 0);
  assert_int_equal(statistics_of(ctx).buffers, 0);
}

/* Faults 49 and 63: nothing is given back, and counters that only rise. */
static void memory_goes_back(qds_context *ctx) {
  for (int round = 0; round < 3; round++) {
    qds_buffer *b = make(ctx, QDS_MEM_ADAPTIVE);
    use(b, QDS_PLACE_HOST, QDS_ACCESS_DISCARD);
    use(b, QDS_PLACE_DEVICE, QDS_ACCESS_READ);
    assert_ok(qds_buffer_destroy(b));
  }
  const qds_memory_statistics s = statistics_of(ctx);
  assert_int_equal(s.buffers, 0);
  assert_int_equal(s.total_buffers, 3);
  const qds_place host = has_device(ctx) ? QDS_PLACE_PINNED : QDS_PLACE_HOST;
  for (int i = 0; i < QDS_PLACES; i++) {
    const int used = i == (int)host || (has_device(ctx) && i == QDS_PLACE_DEVICE);
    assert_int_equal(s.places[i].current_bytes, 0);
    assert_int_equal(s.places[i].current_blocks, 0);
    assert_int_equal(s.places[i].peak_bytes, used ? BYTES : 0);
    assert_int_equal(s.places[i].total_blocks, used ? 3 : 0);
  }
  qds_memory_tag_row row;
  assert_int_equal(qds_memory_tag(ctx, 0, &row), 1);
  assert_string_equal(row.tag, "psi");
  assert_int_equal(row.places[host].peak_bytes, BYTES);
  assert_int_equal(row.places[host].current_bytes, 0);
  assert_int_equal(qds_memory_tag(ctx, 1, &row), 0);
}

/* A buffer that is given up while a stream still copies from it: its memory goes when the copy is done. */
static void memory_waits_for_work(qds_context *ctx) {
  qds_buffer *b = make(ctx, QDS_MEM_ADAPTIVE), *to = make(ctx, QDS_MEM_ADAPTIVE);
  qds_stream *stream;
  void *p;
  assert_ok(qds_context_stream_create(ctx, &stream));
  buffer_put(b, BYTES, 5);
  assert_ok(qds_buffer_acquire(to, QDS_PLACE_DEVICE, QDS_ACCESS_DISCARD, NULL, &p));
  assert_ok(qds_buffer_release(to, NULL));
  assert_ok(qds_buffer_copy(to, b, stream));
  assert_ok(qds_buffer_prefetch(b, QDS_PLACE_DEVICE, stream));
  assert_ok(qds_buffer_destroy(b));
  assert_ok(qds_context_stream_wait(stream));
  assert_int_equal(statistics_of(ctx).buffers, 1);
  buffer_check(to, BYTES, 5);
  assert_ok(qds_buffer_spill(to, QDS_PLACE_FILE));
  const qds_memory_statistics s = statistics_of(ctx);
  for (int i = 0; i < QDS_PLACES; i++)
    assert_int_equal(s.places[i].current_bytes, i == QDS_PLACE_FILE ? BYTES : 0);
  assert_ok(qds_buffer_destroy(to));
  qds_context_stream_destroy(stream);
}

enum { THREADS = 4, TURNS = 2000 };
typedef struct {
  qds_buffer *buffer;
  qds_owner owner;
} turn;

static void *retain_and_drop(void *data) {
  const turn *t = data;
  for (int i = 0; i < TURNS; i++) {
    qds_buffer_retain_for(t->buffer, t->owner);
    void *p;
    if (i % 16 == 0) {
      if (qds_buffer_acquire(t->buffer, QDS_PLACE_HOST, QDS_ACCESS_READ, NULL, &p) != QDS_OK) return data;
      pattern_check(p, BYTES, 4);
      if (qds_buffer_release(t->buffer, NULL) != QDS_OK) return data;
    }
    if (qds_buffer_drop_for(t->buffer, t->owner) != QDS_OK) return data;
  }
  return qds_buffer_drop_for(t->buffer, t->owner) == QDS_OK ? NULL : data;
}

/* The last reference goes in some thread; fault 73: a release that waits for itself. */
static void threads_share_a_buffer(qds_context *ctx) {
  qds_buffer *b = make(ctx, QDS_MEM_ADAPTIVE);
  turn turns[THREADS];
  pthread_t threads[THREADS];
  buffer_put(b, BYTES, 4);
  for (int i = 0; i < THREADS; i++) {
    turns[i] = (turn){b, i % 2 ? QDS_OWNER_PYTHON : QDS_OWNER_LIBRARY};
    qds_buffer_retain_for(b, turns[i].owner);
  }
  for (int i = 0; i < THREADS; i++)
    assert_int_equal(pthread_create(&threads[i], NULL, retain_and_drop, &turns[i]), 0);
  assert_ok(qds_buffer_destroy(b));
  for (int i = 0; i < THREADS; i++) {
    void *failed;
    pthread_join(threads[i], &failed);
    assert_null(failed);
  }
  assert_int_equal(statistics_of(ctx).buffers, 0);
  assert_int_equal(statistics_of(ctx).python_buffers, 0);
}

/* --- contexts ------------------------------------------------------------------------------------------- */

typedef struct {
  int count;
  char text[256];
} messages;

static void keep_message(void *user, qds_log_level level, const char *text) {
  messages *m = user;
  if (level != QDS_LOG_ERROR) return;
  m->count++;
  snprintf(m->text, sizeof m->text, "%s", text);
}

static qds_context *make_context(const char *device, messages *m) {
  qds_context *ctx = NULL;
  qds_context_options options = QDS_CONTEXT_OPTIONS_INIT;
  options.device = device;
  options.threads = 1;
  options.log = keep_message;
  options.user = m;
  assert_ok(qds_context_create(&options, &ctx));
  return ctx;
}

static void leaks_are_reported_on(const char *device) {
  messages m = {0};
  qds_context *ctx = make_context(device, &m);
  qds_buffer *b;
  assert_ok(qds_buffer_create_at(ctx, BYTES, QDS_MEM_ADAPTIVE, "forgotten", "somewhere.py", 12, &b));
  buffer_put(b, BYTES, 1);
  qds_context_destroy(ctx);
  assert_int_equal(m.count, 1);
  assert_string_equal(m.text, "leak: 1000 bytes of \"forgotten\" from somewhere.py:12");
}

/* What Python holds outlives the context's own handle, whichever goes first. */
static void python_keeps_the_context_on(const char *device) {
  messages m = {0};
  qds_context *ctx = make_context(device, &m);
  qds_buffer *b[2];
  for (int i = 0; i < 2; i++) {
    b[i] = make(ctx, QDS_MEM_ADAPTIVE);
    qds_buffer_retain_for(b[i], QDS_OWNER_PYTHON);
    assert_ok(qds_buffer_destroy(b[i]));
    buffer_put(b[i], BYTES, (uint64_t)i);
  }
  qds_context_destroy(ctx);
  for (int i = 0; i < 2; i++) {
    buffer_check(b[i], BYTES, (uint64_t)i);
    assert_ok(qds_buffer_drop_for(b[i], QDS_OWNER_PYTHON));
  }
  assert_int_equal(m.count, 0);
}

static void contexts_share_nothing_on(const char *device) {
  messages m = {0};
  qds_context *one = make_context(device, &m), *two = make_context(device, &m);
  qds_buffer *a = make(one, QDS_MEM_ADAPTIVE), *b = make(two, QDS_MEM_ADAPTIVE);
  qds_stream *stream;
  void *p;
  buffer_put(a, BYTES, 1);
  assert_int_equal(statistics_of(two).places[QDS_PLACE_HOST].total_blocks, 0);
  assert_int_equal(statistics_of(two).places[QDS_PLACE_PINNED].total_blocks, 0);
  assert_int_equal(statistics_of(two).buffers, 1);
  assert_fails(qds_buffer_copy(b, a, NULL), QDS_ERROR_ARGUMENT, "belong to different contexts");
  assert_ok(qds_context_stream_create(two, &stream));
  if (has_device(one))
    assert_fails(qds_buffer_acquire(a, QDS_PLACE_DEVICE, QDS_ACCESS_READ, stream, &p), QDS_ERROR_ARGUMENT,
                 "the stream belongs to another device");
  qds_context_stream_destroy(stream);
  assert_ok(qds_buffer_destroy(b));
  qds_context_destroy(two);
  buffer_check(a, BYTES, 1);
  assert_ok(qds_buffer_destroy(a));
  qds_context_destroy(one);
  assert_int_equal(m.count, 0);
}

static void on_each_name(void (*body)(const char *device)) {
  const char *skipped;
  for (const char *const *device = test_devices(&skipped); *device; device++) body(*device);
}

#define BUFFER_TEST(name)                                                                                    \
  static void test_##name(void **state) {                                                                    \
    (void)state;                                                                                             \
    with_limits(0, 0, 0, name);                                                                              \
  }
#define CONTEXT_TEST(name)                                                                                   \
  static void test_##name(void **state) {                                                                    \
    (void)state;                                                                                             \
    on_each_name(name##_on);                                                                                 \
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
BUFFER_TEST(destroy_while_acquired_is_refused)
BUFFER_TEST(owners_are_counted_apart)
BUFFER_TEST(memory_goes_back)
BUFFER_TEST(memory_waits_for_work)
BUFFER_TEST(threads_share_a_buffer)
CONTEXT_TEST(leaks_are_reported)
CONTEXT_TEST(python_keeps_the_context)
CONTEXT_TEST(contexts_share_nothing)

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_strategies_differ),
      cmocka_unit_test(test_sides_are_refused),
      cmocka_unit_test(test_cpu_serves_as_device),
      cmocka_unit_test(test_unified_has_one_address),
      cmocka_unit_test(test_adaptive_remembers),
      cmocka_unit_test(test_many_readers_or_one_writer),
      cmocka_unit_test(test_release_needs_its_acquire),
      cmocka_unit_test(test_unwritten_is_not_read),
      cmocka_unit_test(test_wrong_arguments_are_named),
      cmocka_unit_test(test_empty_buffers_work),
      cmocka_unit_test(test_sizes_must_agree),
      cmocka_unit_test(test_copies_cross_strategies),
      cmocka_unit_test(test_fills_every_byte),
      cmocka_unit_test(test_destroy_while_acquired_is_refused),
      cmocka_unit_test(test_owners_are_counted_apart),
      cmocka_unit_test(test_memory_goes_back),
      cmocka_unit_test(test_memory_waits_for_work),
      cmocka_unit_test(test_threads_share_a_buffer),
      cmocka_unit_test(test_leaks_are_reported),
      cmocka_unit_test(test_python_keeps_the_context),
      cmocka_unit_test(test_contexts_share_nothing),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}

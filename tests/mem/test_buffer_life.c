/* The life of buffers: references, owners, threads, and contexts that end before or after them. */
#include "buffers.h"

#include <pthread.h>
#include <stdatomic.h>

enum { BYTES = 1000 };

static qds_buffer *make(qds_context *ctx, qds_mem_strategy strategy) {
  qds_buffer *b;
  assert_ok(qds_buffer_create(ctx, BYTES, strategy, "psi", &b));
  return b;
}

/* --- references ----------------------------------------------------------------------------------------- */

static void destroy_while_acquired_is_refused(qds_context *ctx) {
  qds_buffer *b = make(ctx, QDS_MEM_ADAPTIVE);
  void *p;
  assert_ok(qds_buffer_acquire(b, QDS_PLACE_HOST, QDS_ACCESS_DISCARD, NULL, &p));
  assert_fails(qds_buffer_destroy(b), QDS_ERROR_ARGUMENT, "\"psi\" (test_buffer_life.c");
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
    buffer_use(b, QDS_PLACE_HOST, QDS_ACCESS_DISCARD);
    buffer_use(b, QDS_PLACE_DEVICE, QDS_ACCESS_READ);
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

#define CONTEXT_TEST(name)                                                                                   \
  static void test_##name(void **state) {                                                                    \
    (void)state;                                                                                             \
    on_each_name(name##_on);                                                                                 \
  }
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

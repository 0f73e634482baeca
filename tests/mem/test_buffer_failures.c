/* Buffers when memory, the device or a copy fails: the out-of-memory loop over every function, and random
 * sequences in which some step fails and nothing may be lost.
 *
 * The seed is printed; QDSIM_TEST_SEED repeats a run. */
#include "buffers.h"

#include <time.h>

#include "base/philox.h"

enum { BYTES = 3000 };

/* --- the n-th failure of every function ----------------------------------------------------------------- */

/* What each function works with; made anew for each failure, so that nothing is at hand from before. */
typedef struct {
  qds_buffer_manager *manager;
  qds_stream *stream;
  int device;
} bench;

typedef qds_status (*action)(bench *at);

static qds_status make(bench *at, qds_mem_strategy strategy, qds_buffer **out) {
  return qds_buffer_new(at->manager, BYTES, strategy, "tried", __FILE__, __LINE__, out);
}

static qds_status make_filled(bench *at, qds_mem_strategy strategy, qds_buffer **out) {
  QDS_TRY(make(at, strategy, out));
  return qds_buffer_fill(*out, 1, NULL);
}

static qds_status try_create(bench *at) {
  qds_buffer *b;
  return make(at, QDS_MEM_ADAPTIVE, &b);
}

static qds_status try_bracket(bench *at, qds_place place, qds_access access, qds_stream *stream) {
  qds_buffer *b;
  void *p;
  QDS_TRY(make_filled(at, QDS_MEM_ADAPTIVE, &b));
  QDS_TRY(qds_buffer_acquire(b, place, access, stream, &p));
  return qds_buffer_release(b, stream);
}

static qds_status try_host(bench *at) {
  return try_bracket(at, QDS_PLACE_HOST, QDS_ACCESS_WRITE, NULL);
}
static qds_status try_host_on_stream(bench *at) {
  return try_bracket(at, QDS_PLACE_HOST, QDS_ACCESS_READ, at->stream);
}
static qds_status try_device(bench *at) {
  return try_bracket(at, QDS_PLACE_DEVICE, QDS_ACCESS_WRITE, NULL);
}
static qds_status try_device_on_stream(bench *at) {
  return try_bracket(at, QDS_PLACE_DEVICE, QDS_ACCESS_READ, at->stream);
}
static qds_status try_discard(bench *at) {
  return try_bracket(at, QDS_PLACE_DEVICE, QDS_ACCESS_DISCARD, at->stream);
}

static qds_status try_gpu_only(bench *at) {
  qds_buffer *b;
  return at->device ? make_filled(at, QDS_MEM_GPU_ONLY, &b) : QDS_OK;
}
static qds_status try_unified(bench *at) {
  qds_buffer *b;
  return make_filled(at, QDS_MEM_UNIFIED, &b);
}

static qds_status try_prefetch(bench *at) {
  qds_buffer *b;
  QDS_TRY(make_filled(at, QDS_MEM_ADAPTIVE, &b));
  QDS_TRY(qds_buffer_prefetch(b, QDS_PLACE_DEVICE, at->stream));
  QDS_TRY(qds_buffer_prefetch(b, QDS_PLACE_PINNED, NULL));
  return qds_stream_synchronise(at->stream);
}

static qds_status try_spill(bench *at) {
  qds_buffer *b;
  void *p;
  QDS_TRY(make_filled(at, QDS_MEM_ADAPTIVE, &b));
  QDS_TRY(qds_buffer_acquire(b, QDS_PLACE_DEVICE, QDS_ACCESS_WRITE, NULL, &p));
  QDS_TRY(qds_buffer_release(b, NULL));
  QDS_TRY(qds_buffer_spill(b, QDS_PLACE_PINNED));
  QDS_TRY(qds_buffer_spill(b, QDS_PLACE_HOST));
  QDS_TRY(qds_buffer_spill(b, QDS_PLACE_FILE));
  QDS_TRY(qds_buffer_acquire(b, QDS_PLACE_DEVICE, QDS_ACCESS_READ, at->stream, &p));
  return qds_buffer_release(b, at->stream);
}

static qds_status try_copy(bench *at) {
  qds_buffer *to, *from;
  QDS_TRY(make_filled(at, QDS_MEM_ADAPTIVE, &from));
  QDS_TRY(make_filled(at, QDS_MEM_CPU_ONLY, &to));
  QDS_TRY(qds_buffer_copy(to, from, at->stream));
  QDS_TRY(qds_buffer_copy_part(from, 8, to, 16, 24, NULL));
  return qds_stream_synchronise(at->stream);
}

static qds_status try_fill(bench *at) {
  qds_buffer *b;
  QDS_TRY(make(at, at->device ? QDS_MEM_GPU_ONLY : QDS_MEM_ADAPTIVE, &b));
  QDS_TRY(qds_buffer_fill(b, 7, at->stream));
  return qds_stream_synchronise(at->stream);
}

static qds_status attempt(qds_context *ctx, void *data) {
  QDS_AUTO(qds_stream) *stream = NULL;
  QDS_AUTO(qds_buffer_manager) *manager = NULL;
  qds_accelerator *accelerator = qds_context_accelerator(ctx);
  QDS_TRY(qds_stream_create(accelerator, qds_context_allocator(ctx), 1, &stream));
  QDS_TRY(
      qds_buffer_manager_create(qds_context_allocator(ctx), accelerator, 1, "none", "/var/tmp", &manager));
  return (*(const action *)data)(&(bench){manager, stream, accelerator != NULL});
}

static void each_failure_is_survived(qds_context *ctx) {
  const action actions[] = {
      try_create,           try_host,    try_host_on_stream, try_device,
      try_device_on_stream, try_discard, try_gpu_only,       try_unified,
      try_prefetch,         try_spill,   try_copy,           try_fill,
  };
  for (size_t i = 0; i < sizeof actions / sizeof *actions; i++) {
    action a = actions[i];
    if (a != try_gpu_only || has_device(ctx)) assert_true(fail_each_allocation(ctx, attempt, &a) >= 2);
    if (strncmp(qds_context_device(ctx), "sim", 3) != 0) continue;
    (void)fail_each_on_device(ctx, QDS_INJECT_ALLOCATION, 6, attempt, &a);
    (void)fail_each_on_device(ctx, QDS_INJECT_COPY, 8, attempt, &a);
  }
}

static void test_each_failure_is_survived(void **state) {
  (void)state;
  with_limits(0, 0, 0, each_failure_is_survived);
}

/* --- random failures lose nothing ----------------------------------------------------------------------- */

enum { COUNT = 4, STEPS = 3000 };

typedef struct {
  qds_context *ctx;
  uint64_t seed;
  uint32_t draws;
  int failures;
  qds_buffer *buffers[COUNT];
  qds_mem_strategy strategies[COUNT];
  unsigned char model[COUNT][BYTES];
} walker;

static uint32_t draw(walker *w, uint32_t below) {
  const uint32_t counter[4] = {w->draws++, 0, 0, 0}, key[2] = {(uint32_t)w->seed, (uint32_t)(w->seed >> 32)};
  uint32_t out[4];
  qds_philox4x32(counter, key, out);
  return out[0] % below;
}

static void arm(walker *w) {
  const uint64_t n = 1 + draw(w, 2);
  const uint32_t what = draw(w, 3);
  if (what == 2) qds_context_fail_allocation(w->ctx, n);
  if (what < 2 && has_device(w->ctx))
    assert_ok(qds_accelerator_inject(qds_context_accelerator(w->ctx),
                                     what ? QDS_INJECT_COPY : QDS_INJECT_ALLOCATION, n));
}

static void disarm(walker *w) {
  qds_context_fail_allocation(w->ctx, 0);
  if (!has_device(w->ctx)) return;
  assert_ok(qds_accelerator_inject(qds_context_accelerator(w->ctx), QDS_INJECT_COPY, 0));
  assert_ok(qds_accelerator_inject(qds_context_accelerator(w->ctx), QDS_INJECT_ALLOCATION, 0));
}

static void check(walker *w, int i, const void *data) {
  for (int k = 0; k < BYTES; k++)
    if (((const unsigned char *)data)[k] != w->model[i][k])
      fail_msg("seed %llu, draw %u: byte %d of buffer %d", (unsigned long long)w->seed, w->draws, k, i);
}

static void check_all(walker *w) {
  qds_buffer *back;
  void *p;
  assert_ok(qds_buffer_create(w->ctx, BYTES, QDS_MEM_CPU_ONLY, "back", &back));
  for (int i = 0; i < COUNT; i++) {
    assert_ok(qds_buffer_copy(back, w->buffers[i], NULL));
    assert_ok(qds_buffer_acquire(back, QDS_PLACE_HOST, QDS_ACCESS_READ, NULL, &p));
    check(w, i, p);
    assert_ok(qds_buffer_release(back, NULL));
  }
  assert_ok(qds_buffer_destroy(back));
}

static qds_status change(walker *w, int i, qds_place place) {
  void *p;
  QDS_TRY(qds_buffer_acquire(w->buffers[i], place, QDS_ACCESS_WRITE, NULL, &p));
  disarm(w);
  const int byte = (int)draw(w, 256);
  if (place == QDS_PLACE_HOST || !has_device(w->ctx)) {
    check(w, i, p);
    memset((char *)p + 100, byte, 100);
  } else {
    qds_stream *stream = qds_context_stream(w->ctx);
    assert_ok(qds_stream_fill(stream, (char *)p + 100, byte, 100));
    assert_ok(qds_stream_synchronise(stream));
  }
  memset(w->model[i] + 100, byte, 100);
  arm(w); /* sending it home may fail */
  const qds_status status = qds_buffer_release(w->buffers[i], NULL);
  disarm(w);
  assert_int_equal(status, QDS_OK);
  return QDS_OK;
}

/* A copy or a filling that failed leaves bytes undefined, so they are written again. */
static qds_status overwrite(walker *w, int i, int from) {
  const qds_status status = from == i ? qds_buffer_fill(w->buffers[i], 9, NULL)
                                      : qds_buffer_copy(w->buffers[i], w->buffers[from], NULL);
  disarm(w);
  if (status != QDS_OK) {
    const qds_error error = *qds_last_error();
    assert_ok(qds_buffer_fill(w->buffers[i], 9, NULL));
    memset(w->model[i], 9, BYTES);
    return qds_raise(status, error.file, error.line, 0, "injected");
  }
  if (from == i)
    memset(w->model[i], 9, BYTES);
  else
    memcpy(w->model[i], w->model[from], BYTES);
  return QDS_OK;
}

static qds_status step(walker *w, int i) {
  static const qds_place below[] = {QDS_PLACE_PINNED, QDS_PLACE_HOST, QDS_PLACE_FILE};
  const qds_mem_strategy s = w->strategies[i];
  const qds_place place = s == QDS_MEM_CPU_ONLY   ? QDS_PLACE_HOST
                          : s == QDS_MEM_GPU_ONLY ? QDS_PLACE_DEVICE
                          : draw(w, 2)            ? QDS_PLACE_DEVICE
                                                  : QDS_PLACE_HOST;
  size_t freed;
  switch (draw(w, 6)) {
  case 0:
  case 1:
    return change(w, i, place);
  case 2:
    return qds_buffer_prefetch(w->buffers[i], place, NULL);
  case 3:
    return qds_buffer_spill(w->buffers[i], below[draw(w, 3)]);
  case 4:
    return overwrite(w, i, (int)draw(w, COUNT));
  default:
    return qds_memory_spill(w->ctx, (qds_place)draw(w, QDS_PLACE_FILE), BYTES, &freed);
  }
}

static void failures_lose_nothing(qds_context *ctx) {
  if (has_device(ctx) && strncmp(qds_context_device(ctx), "sim", 3) != 0) return; /* it injects nothing */
  const char *given = getenv("QDSIM_TEST_SEED");
  walker *w = calloc(1, sizeof *w);
  assert_non_null(w);
  w->ctx = ctx;
  w->seed = given ? strtoull(given, NULL, 10) : (uint64_t)time(NULL);
  print_message("  QDSIM_TEST_SEED=%llu\n", (unsigned long long)w->seed);
  for (int i = 0; i < COUNT; i++) {
    w->strategies[i] = (qds_mem_strategy)i;
    if (i == QDS_MEM_GPU_ONLY && !has_device(ctx)) w->strategies[i] = QDS_MEM_ADAPTIVE;
    assert_ok(qds_buffer_create(ctx, BYTES, w->strategies[i], "walked", &w->buffers[i]));
    assert_ok(qds_buffer_fill(w->buffers[i], i, NULL));
    memset(w->model[i], i, BYTES);
  }
  for (int k = 0; k < STEPS; k++) {
    arm(w);
    const qds_status status = step(w, (int)draw(w, COUNT));
    disarm(w);
    if (status != QDS_OK && !strstr(qds_last_error()->message, "injected"))
      fail_msg("seed %llu, draw %u: %s", (unsigned long long)w->seed, w->draws, qds_last_error()->message);
    w->failures += status != QDS_OK;
    if (k % 4 == 0) check_all(w);
  }
  check_all(w);
  print_message("  %d of %d steps failed\n", w->failures, STEPS);
  if (has_device(ctx)) assert_true(w->failures > STEPS / 100); /* the host makes room instead */
  for (int i = 0; i < COUNT; i++) assert_ok(qds_buffer_destroy(w->buffers[i]));
  free(w);
}

static void test_failures_lose_nothing(void **state) {
  (void)state;
  with_limits(0, 0, 0, failures_lose_nothing);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_each_failure_is_survived),
      cmocka_unit_test(test_failures_lose_nothing),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}

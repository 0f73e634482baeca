#include "par/context.h"

#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "mem/heap.h"
#include "mem/limits.h"
#include "mem/overflow.h"
#include "mem/pool_stream.h"
#include "mem/trace.h"
#include "par/communicator.h"
#include "par/plugin.h"
#include "qdsim/text.h"

typedef struct {
  void *object;
  void (*destroy)(void *);
} slot;

struct qds_context {
  qds_heap *heap;
  qds_overflow *overflow; /* NULL: nothing overflows into files */
  qds_trace *trace;       /* NULL: none */
  qds_allocator *allocator, *buffer_allocator;
  int threads;
  uint64_t seed;
  qds_log_fn log;
  qds_progress_fn progress;
  void *user;
  double last_progress;
  atomic_int interrupted;
  qds_communicator communicator;
  slot slots[QDS_SLOT_COUNT];
  qds_plugin plugin;
  qds_accelerator *accelerator;
  qds_stream stream;
  qds_buffer_manager *buffers;
  char device[64], device_reason[1024];
  int device_is_named, fallbacks;
  char told[256]; /* why the CPU has taken over */
};

static const double progress_interval_s = 0.1;

double qds_seconds(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

static qds_status check_options(const qds_context_options *options) {
  QDS_REQUIRE(options->struct_size == sizeof *options,
              "qds_context_options: struct_size %zu, this library expects %zu; initialise it with "
              "QDS_CONTEXT_OPTIONS_INIT",
              options->struct_size, sizeof *options);
  QDS_REQUIRE(options->threads >= 0 && options->threads <= 4096,
              "threads %d: 0 (all cores) to 4096 are allowed", options->threads);
  QDS_TRY(qds_stream_pool_check_slack(options->device_pool_slack));
  return QDS_OK;
}

static qds_status refuse_device(const char *text, size_t length) {
  const char *words[QDS_PLUGINS + 3] = {"auto", "cpu"};
  char word[32], hint[64] = "";
  for (int i = 0; i < QDS_PLUGINS; i++) words[2 + i] = qds_plugin_name(i);
  snprintf(word, sizeof word, "%.*s", (int)(length < sizeof word ? length : sizeof word - 1), text);
  const char *nearest = *word ? qds_nearest(word, words) : NULL;
  if (nearest && strcmp(nearest, text) != 0) snprintf(hint, sizeof hint, " (did you mean \"%s\"?)", nearest);
  QDS_FAIL(QDS_ERROR_ARGUMENT,
           "no device \"%s\"%s; allowed are auto, cpu, cuda, cuda:N (the N-th GPU, from 0), sim and sim:N",
           text, hint);
}

/* Reads "NAME" or "NAME:N" where NAME is one of the plugins. */
static qds_status read_device(const char *text, char name[32], int *index) {
  const char *colon = strchr(text, ':');
  const size_t length = colon ? (size_t)(colon - text) : strlen(text);
  int known = 0;
  for (int i = 0; i < QDS_PLUGINS; i++)
    known |= length == strlen(qds_plugin_name(i)) && !strncmp(text, qds_plugin_name(i), length);
  *index = 0;
  int end = -1;
  if (known && colon &&
      (sscanf(colon, ":%5d%n", index, &end) != 1 || colon[end] || colon[1] < '0' || colon[1] > '9'))
    known = 0;
  if (!known) return refuse_device(text, length);
  memcpy(name, text, length);
  name[length] = 0;
  return QDS_OK;
}

static void report_leak(void *user, const char *tag, size_t bytes, const char *file, int line) {
  qds_log(user, QDS_LOG_ERROR, "leak: %zu bytes of \"%s\" from %s:%d", bytes, tag, file, line);
}

static qds_status open_device(qds_context *ctx, const char *name, int index,
                              const qds_context_options *options) {
  qds_plugin_load(name, &ctx->plugin);
  if (ctx->plugin.devices == 0)
    QDS_FAIL(QDS_ERROR_UNSUPPORTED, "no device \"%s\": %s", name, ctx->plugin.reason);
  QDS_TRY(qds_accelerator_create(ctx->plugin.backend, index, options->device_memory_limit,
                                 qds_context_allocator(ctx), &ctx->accelerator));
  QDS_TRY(qds_stream_pool_set_slack(ctx->accelerator->pool, options->device_pool_slack));
  ctx->accelerator->heap = ctx->heap;
  ctx->accelerator->trace = ctx->trace;
  ctx->accelerator->leak = report_leak;
  ctx->accelerator->leak_user = ctx;
  snprintf(ctx->device, sizeof ctx->device, "%s:%d", name, index);
  return QDS_OK;
}

static const char *scratch_folder(const qds_context_options *options) {
  if (options->scratch) return options->scratch;
  const char *folder = getenv("TMPDIR");
  return folder && *folder ? folder : "/var/tmp";
}

/* A device that is asked for by name must be there; `auto` takes the CPU when the GPU cannot be used. */
static qds_status choose_device(qds_context *ctx, const qds_context_options *options) {
  const char *wanted = options->device ? options->device : "cpu";
  const int automatic = !strcmp(wanted, "auto");
  ctx->device_is_named = !automatic;
  snprintf(ctx->device, sizeof ctx->device, "cpu");
  if (strcmp(wanted, "cpu") != 0) {
    char name[32] = "cuda";
    int index = 0;
    if (!automatic) QDS_TRY(read_device(wanted, name, &index));
    const qds_status status = open_device(ctx, name, index, options);
    if (status != QDS_OK && !automatic) return status;
    if (status != QDS_OK)
      snprintf(ctx->device_reason, sizeof ctx->device_reason, "%s", qds_last_error()->message);
  }
  QDS_TRY(qds_stream_open(ctx->accelerator, qds_context_allocator(ctx), ctx->threads, &ctx->stream));
  QDS_TRY(qds_buffer_manager_create(ctx->buffer_allocator, ctx->accelerator, ctx->threads,
                                    *ctx->device_reason ? ctx->device_reason : "the context uses the CPU",
                                    scratch_folder(options), &ctx->buffers));
  if (ctx->accelerator) {
    ctx->accelerator->reclaim = qds_buffer_manager_reclaim;
    ctx->accelerator->reclaim_user = ctx->buffers;
  }
  return QDS_OK;
}

/* Only what has a limit can overflow it. Buffers go to files by themselves, so they take the heap's memory
 * only. */
static qds_status create_memory(const qds_context_options *options, qds_context *ctx) {
  const char *folder = scratch_folder(options);
  QDS_TRY(qds_heap_create(options->memory_limit, &ctx->heap));
  ctx->allocator = ctx->buffer_allocator = qds_heap_allocator(ctx->heap);
  if (options->memory_limit && *folder) {
    QDS_TRY(qds_overflow_create(ctx->heap, options->memory_limit, folder, &ctx->overflow));
    ctx->allocator = qds_overflow_allocator(ctx->overflow);
  }
  if (!options->memory_trace) return QDS_OK;
  QDS_TRY(qds_trace_create(options->memory_trace, &ctx->trace));
  qds_trace_watch(ctx->trace, ctx->buffer_allocator);
  if (ctx->allocator != ctx->buffer_allocator) qds_trace_watch(ctx->trace, ctx->allocator);
  return QDS_OK;
}

void qds_context_drop_trace(qds_context *ctx) {
  if (ctx->accelerator) ctx->accelerator->trace = NULL;
  qds_trace_destroy(ctx->trace);
  ctx->trace = NULL;
}

static void destroy_memory(qds_context *ctx) {
  if (qds_context_end_trace(ctx) != QDS_OK) qds_log(ctx, QDS_LOG_ERROR, "%s", qds_last_error()->message);
  qds_trace_destroy(ctx->trace);
  qds_overflow_destroy(ctx->overflow);
  qds_heap_destroy(ctx->heap, report_leak, ctx);
}

qds_status qds_context_create(const qds_context_options *options, qds_context **out) {
  const qds_context_options defaults = QDS_CONTEXT_OPTIONS_INIT;
  QDS_REQUIRE(out, "qds_context_create: out is NULL");
  *out = NULL;
  if (!options) options = &defaults;
  QDS_TRY(check_options(options));
  qds_context *ctx = calloc(1, sizeof *ctx);
  if (!ctx) QDS_FAIL(QDS_ERROR_MEMORY, "out of memory: no room for a context");
  qds_status status = create_memory(options, ctx);
  if (status != QDS_OK) {
    destroy_memory(ctx);
    free(ctx);
    return status;
  }
  ctx->threads = options->threads ? options->threads : qds_available_cores();
  ctx->seed = options->seed;
  ctx->log = options->log;
  ctx->progress = options->progress;
  ctx->user = options->user;
  qds_communicator_make_serial(&ctx->communicator);
  status = choose_device(ctx, options);
  if (status != QDS_OK) {
    qds_context_drop_trace(ctx);
    qds_context_destroy(ctx);
    return status;
  }
  *out = ctx;
  return QDS_OK;
}

static void finish(void *user) {
  qds_context *ctx = user;
  /* After an error work may be under way that uses what the slots hold; what it says no longer matters. */
  (void)qds_stream_synchronise(&ctx->stream);
  for (int i = 0; i < QDS_SLOT_COUNT; i++)
    if (ctx->slots[i].destroy) ctx->slots[i].destroy(ctx->slots[i].object);
  qds_communicator_destroy(&ctx->communicator);
  if (ctx->accelerator) ctx->accelerator->reclaim = NULL;
  qds_buffer_manager_destroy(ctx->buffers);
  qds_stream_close(&ctx->stream);
  qds_accelerator_destroy(ctx->accelerator);
  qds_plugin_unload(&ctx->plugin);
  destroy_memory(ctx);
  free(ctx);
}

/* What the user gave for messages ends here, even if buffers of Python keep the rest alive. */
void qds_context_destroy(qds_context *ctx) {
  if (!ctx) return;
  if (ctx->buffers) qds_buffer_manager_leaks(ctx->buffers, report_leak, ctx);
  const qds_log_fn log = ctx->log;
  ctx->log = NULL;
  ctx->progress = NULL;
  if (ctx->buffers && qds_buffer_manager_retire(ctx->buffers, finish, ctx)) return;
  ctx->log = log;
  finish(ctx);
}

void qds_context_interrupt(qds_context *ctx) {
  atomic_store(&ctx->interrupted, 1);
}
void qds_context_resume(qds_context *ctx) {
  atomic_store(&ctx->interrupted, 0);
}
int qds_context_threads(const qds_context *ctx) {
  return ctx->threads;
}

const char *qds_context_device(const qds_context *ctx) {
  return ctx->device;
}
const char *qds_context_device_reason(const qds_context *ctx) {
  return ctx->device_reason;
}
int qds_context_fallbacks(const qds_context *ctx) {
  return ctx->fallbacks;
}

/* They differ in their numbers only. */
static int same_reason(const char *a, const char *b) {
  const size_t length = strcspn(a, "0123456789");
  return *a && length == strcspn(b, "0123456789") && strncmp(a, b, length) == 0;
}

static void leave_to_cpu(qds_context *ctx, const char *reason, qds_log_level level) {
  const int known = same_reason(ctx->told, reason);
  ctx->fallbacks++;
  snprintf(ctx->told, sizeof ctx->told, "%s", reason);
  qds_log(ctx, known ? QDS_LOG_DEBUG : level, "%s: %s; the CPU solves instead", ctx->device, reason);
}

void qds_context_fall_back(qds_context *ctx, const char *reason) {
  leave_to_cpu(ctx, reason, QDS_LOG_WARNING);
}

void qds_context_prefer_cpu(qds_context *ctx, const char *reason) {
  leave_to_cpu(ctx, reason, ctx->device_is_named ? QDS_LOG_WARNING : QDS_LOG_DEBUG);
}

void qds_context_forget_fall_back(qds_context *ctx) {
  *ctx->told = 0;
}

qds_heap *qds_context_heap(const qds_context *ctx) {
  return ctx->heap;
}
qds_accelerator *qds_context_accelerator(const qds_context *ctx) {
  return ctx->accelerator;
}
qds_stream *qds_context_stream(qds_context *ctx) {
  return &ctx->stream;
}
qds_buffer_manager *qds_context_buffers(qds_context *ctx) {
  return ctx->buffers;
}

int qds_context_use_threads(qds_context *ctx, int threads) {
  const int before = ctx->threads;
  ctx->threads = ctx->stream.threads = threads;
  return before;
}

uint64_t qds_context_seed(const qds_context *ctx) {
  return ctx->seed;
}
qds_communicator *qds_context_communicator(qds_context *ctx) {
  return &ctx->communicator;
}
qds_allocator *qds_context_allocator(qds_context *ctx) {
  return ctx->allocator;
}
qds_status qds_context_end_trace(qds_context *ctx) {
  return ctx->trace ? qds_trace_end(ctx->trace) : QDS_OK;
}
void qds_context_memory(const qds_context *ctx, qds_memory_row *total) {
  qds_heap_total(ctx->heap, total);
}
uint64_t qds_context_fail_allocation(qds_context *ctx, uint64_t n) {
  return qds_heap_fail(ctx->heap, n);
}

int qds_context_memory_tag(const qds_context *ctx, size_t index, qds_memory_row *row) {
  return qds_heap_tag(ctx->heap, index, row);
}

qds_status qds_context_reserve_check(qds_context *ctx, size_t bytes, const char *purpose) {
  return qds_heap_reserve_check(ctx->heap, bytes, purpose);
}

qds_status qds_context_plan(qds_context *ctx, size_t bytes, const char *purpose,
                            const char *const *often_used, size_t *file_bytes) {
  *file_bytes = 0;
  if (!ctx->overflow) return qds_heap_reserve_check(ctx->heap, bytes, purpose);
  return qds_overflow_reserve_check(ctx->overflow, bytes, purpose, often_used, file_bytes);
}

void qds_context_files(const qds_context *ctx, qds_memory_files *out) {
  *out = (qds_memory_files){0};
  if (ctx->overflow) qds_overflow_usage(ctx->overflow, out);
}

/* VmHWM and not ru_maxrss: the latter is inherited from the program that started this one. */
size_t qds_process_peak_bytes(void) {
  size_t kib = 0;
  char line[256];
  FILE *file = fopen("/proc/self/status", "re");
  if (!file) return 0;
  while (fgets(line, sizeof line, file) && sscanf(line, "VmHWM: %zu kB", &kib) != 1) continue;
  fclose(file);
  return kib * 1024;
}

void qds_log(qds_context *ctx, qds_log_level level, const char *format, ...) {
  if (!ctx->log) return;
  char text[2048];
  va_list arguments;
  va_start(arguments, format);
  vsnprintf(text, sizeof text, format, arguments);
  va_end(arguments);
  ctx->log(ctx->user, level, text);
}

qds_status qds_progress(qds_context *ctx, const char *phase, double fraction, const char *format, ...) {
  if (atomic_load(&ctx->interrupted)) QDS_FAIL(QDS_ERROR_INTERRUPTED, "interrupted during %s", phase);
  const double now = qds_seconds();
  if (!ctx->progress || now - ctx->last_progress < progress_interval_s) return QDS_OK;
  ctx->last_progress = now;
  char detail[256];
  va_list arguments;
  va_start(arguments, format);
  vsnprintf(detail, sizeof detail, format, arguments);
  va_end(arguments);
  if (ctx->progress(ctx->user, phase, fraction, detail)) {
    atomic_store(&ctx->interrupted, 1);
    QDS_FAIL(QDS_ERROR_INTERRUPTED, "interrupted during %s", phase);
  }
  return QDS_OK;
}

void *qds_context_get(const qds_context *ctx, qds_context_slot index) {
  return ctx->slots[index].object;
}

void qds_context_put(qds_context *ctx, qds_context_slot index, void *object, void (*destroy)(void *)) {
  ctx->slots[index] = (slot){object, destroy};
}

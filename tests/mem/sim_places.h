/* What the tests of the simulated device share: a context on it, with what it offers, once or with many
 * seeds. */
#ifndef QDS_TESTS_MEM_SIM_PLACES_H
#define QDS_TESTS_MEM_SIM_PLACES_H

#include "support.h"

#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include "mem/stream.h"

enum { SEEDS = 24, SIZE = 64 };

/* One case: a context on the device, and what it offers. */
typedef struct {
  qds_context *ctx;
  qds_accelerator *accelerator;
  const qds_backend *backend;
  void *state;
  qds_stream *stream;
} place;

static inline void open_place(qds_context *ctx, place *p) {
  p->ctx = ctx;
  p->accelerator = qds_context_accelerator(ctx);
  p->backend = p->accelerator->backend;
  p->state = p->accelerator->state;
  p->stream = qds_context_stream(ctx);
}

static inline void on_sim(void (*body)(qds_context *ctx)) {
  with_context_on("sim", 1, body);
}

/* Runs `body` with each seed; adds what it returns. */
static inline int with_seeds(int (*body)(place *p)) {
  int sum = 0;
  for (int seed = 1; seed <= SEEDS; seed++) {
    qds_context_options options = QDS_CONTEXT_OPTIONS_INIT;
    qds_context *ctx;
    char text[16];
    place p;
    snprintf(text, sizeof text, "%d", seed);
    setenv("QDSIM_SIM_SEED", text, 1);
    options.device = "sim";
    options.threads = 1;
    assert_ok(qds_context_create(&options, &ctx));
    open_place(ctx, &p);
    sum += body(&p);
    qds_context_destroy(ctx);
    unsetenv("QDSIM_SIM_SEED");
  }
  return sum;
}

static unsigned char *take(place *p, qds_memory_kind kind, size_t bytes) {
  void *memory;
  assert_ok(qds_accelerator_allocate(p->accelerator, kind, bytes, &memory));
  return memory;
}

static inline void give(place *p, qds_memory_kind kind, void *memory) {
  qds_accelerator_release(p->accelerator, kind, memory);
}

/* A child process cannot have threads under ThreadSanitizer. */
#ifdef QDSIM_THREAD_SANITIZER
static const int children_have_threads = 0;
#else
static const int children_have_threads = 1;
#endif

/* The signal that ends a child process that does this. */
static inline int signal_of(void (*deed)(void)) {
  const pid_t child = fork();
  int status;
  if (child == 0) {
    signal(SIGSEGV, SIG_DFL); /* a sanitizer's handler would turn it into an exit status */
    signal(SIGABRT, SIG_DFL);
    deed();
    _exit(0);
  }
  assert_int_equal(waitpid(child, &status, 0), child);
  return WIFSIGNALED(status) ? WTERMSIG(status) : 0;
}

typedef struct {
  unsigned char *memory;
  int64_t first, count;
} overrun_arguments;

static inline void overrun(const void *data, int threads) {
  const overrun_arguments *a = data;
  (void)threads;
  for (int64_t i = 0; i < a->count; i++) ((volatile unsigned char *)a->memory)[a->first + i] = 7;
}

/* Its number is that of no kernel: only back ends that run the library's own functions run it. */
static const qds_kernel overrun_kernel = {QDS_KERNEL_COUNT, "overrun", sizeof(overrun_arguments), overrun};

#define ON_SIM(name)                                                                                         \
  static void test_##name(void **state) {                                                                    \
    (void)state;                                                                                             \
    on_sim(check_##name);                                                                                    \
  }

#endif

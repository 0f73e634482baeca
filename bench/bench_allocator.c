/* The heap against malloc of glibc, mimalloc and jemalloc (Debian: libmimalloc2.0, libjemalloc2), as JSON and
 * a table.
 *
 *   bench_allocator [batches]
 *
 * The program starts itself once per peer with the peer's library preloaded. Each of these processes measures
 * the peer and the heap in turn, in short batches, so that both see the same machine. Times are medians of
 * batches; ratios are medians of the ratios of each batch. All contain what the loop without allocation
 * costs, which is measured beside them. */
#include <dlfcn.h>
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/json.h"
#include "base/philox.h"
#include "mem/heap.h"
#include "mem/provider_host.h"
#include "mem/system_allocator.h"
#include "par/context.h"

typedef enum { LOOP, MALLOC, ALIGNED_ALLOC, PLAIN, STATISTICS, TRACKING, LIMITED, SUBJECTS } subject;
static const char *const subject_names[SUBJECTS] = {
    "loop", "malloc", "aligned_alloc", "heap_plain", "heap_statistics", "heap_tracking", "heap_with_limit"};

typedef struct {
  const char *name, *heading;
  subject above, below;
} ratio;
static const ratio ratios[] = {
    {"plain_over_malloc", "plain/malloc", PLAIN, MALLOC},
    {"tracking_over_malloc", "tracking/malloc", TRACKING, MALLOC},
    {"tracking_over_aligned_alloc", "tracking/aligned", TRACKING, ALIGNED_ALLOC},
    {"statistics_over_plain", "statistics/plain", STATISTICS, PLAIN},
    {"tracking_over_plain", "tracking/plain", TRACKING, PLAIN},
};
enum { RATIOS = sizeof ratios / sizeof *ratios };

typedef struct {
  const char *name, *library;
} peer;
static const peer peers[] = {
    {"glibc", ""}, {"mimalloc", "libmimalloc.so.2.0"}, {"jemalloc", "libjemalloc.so.2"}};
enum { PEERS = sizeof peers / sizeof *peers };

/* Each thread replaces blocks of 16 to 1039 bytes in random slots: in slots of its own, or in slots that the
 * threads share, so that half of the blocks are given back by another thread than took them. Either the first
 * and the last byte of each block are written, or all. All blocks have one tag, or each one of several.
 */
typedef struct {
  const char *name;
  int threads, shared, fill;
  size_t slots;
  int mixed; /* tags */
} scenario;
static const char *const tags[8] = {"benchmark", "vectors", "states", "grid",
                                    "levels",    "axes",    "forms",  "text"};
static const scenario scenarios[] = {
    {"1 thread, 1000 blocks", 1, 0, 0, 1000, 0},         {"1 thread, 10000 blocks", 1, 0, 0, 10000, 0},
    {"1 thread, 1000 blocks, filled", 1, 0, 1, 1000, 0}, {"2 threads, 1000 blocks each", 2, 0, 0, 1000, 0},
    {"2 threads, 10000 blocks each", 2, 0, 0, 10000, 0}, {"2 threads exchange 1000 blocks", 2, 1, 0, 1000, 0},
    {"1 thread, 1000 blocks, 8 tags", 1, 0, 0, 1000, 1},
};
enum {
  SCENARIOS = sizeof scenarios / sizeof *scenarios,
  MOST_SLOTS = 10000,
  MOST_THREADS = 2,
  PAIRS_PER_SLOT = 20 /* in a batch, so that it finds most of what it touches where itself has put it */
};
enum { MOST_BATCHES = 1000 };

static int by_value(const void *a, const void *b) {
  const double x = *(const double *)a, y = *(const double *)b;
  return (x > y) - (x < y);
}

static double median(double *values, int count) {
  qsort(values, (size_t)count, sizeof *values, by_value);
  return values[count / 2];
}

/* --- small blocks, in the child ------------------------------------------------------------------------ */

typedef struct {
  qds_heap *heaps[SUBJECTS];
  _Atomic(void *) slots[SUBJECTS][MOST_THREADS][MOST_SLOTS];
  double seconds[SUBJECTS][MOST_BATCHES]; /* per pair */
  char scratch[2048];
  pthread_barrier_t barrier;
  const scenario *scenario;
  int batches;
} contest;

typedef struct {
  contest *contest;
  int number;
} contestant;

static inline void *take(contest *c, subject s, size_t bytes, const char *tag) {
  void *block = NULL;
  if (s == LOOP) return c->scratch;
  if (s == MALLOC) return malloc(bytes);
  if (s == ALIGNED_ALLOC) return aligned_alloc(QDS_ALIGNMENT, (bytes + 63) & ~(size_t)63);
  if (qds_allocate(qds_heap_allocator(c->heaps[s]), bytes, 1, tag, __FILE__, __LINE__, &block) != QDS_OK)
    abort();
  return block;
}

static inline void give(subject s, void *block) {
  if (s >= PLAIN)
    qds_release(block);
  else if (s != LOOP)
    free(block);
}

static void replace_blocks(contest *c, subject s, int thread, uint64_t *random) {
  const scenario *how = c->scenario;
  const size_t pairs = PAIRS_PER_SLOT * how->slots;
  uint64_t x = *random;
  for (size_t i = 0; i < pairs; i++) {
    x ^= x << 13, x ^= x >> 7, x ^= x << 17; /* xorshift64, Marsaglia 2003 */
    const size_t bytes = 16 + (x & 1023);
    char *old, *block = how->mixed ? take(c, s, bytes, tags[x >> 10 & 7]) : take(c, s, bytes, tags[0]);
    if (how->fill)
      memset(block, 1, bytes);
    else
      block[0] = block[bytes - 1] = 1;
    _Atomic(void *) *slot = &c->slots[s][how->shared ? 0 : thread][(x >> 20) % how->slots];
    if (how->shared) {
      old = atomic_exchange_explicit(slot, block, memory_order_acq_rel);
    } else {
      old = atomic_load_explicit(slot, memory_order_relaxed);
      atomic_store_explicit(slot, block, memory_order_relaxed);
    }
    give(s, old);
  }
  *random = x;
}

static void *compete(void *data) {
  const contestant *self = data;
  contest *c = self->contest;
  uint64_t random = 88172645463325252u + (uint64_t)self->number;
  for (int batch = -1; batch < c->batches; batch++) /* the first one fills the slots */
    for (int turn = 0; turn < SUBJECTS; turn++) {
      const subject s = (subject)((turn + batch + 1) % SUBJECTS);
      pthread_barrier_wait(&c->barrier);
      const double start = qds_seconds();
      replace_blocks(c, s, self->number, &random);
      pthread_barrier_wait(&c->barrier);
      if (self->number == 0 && batch >= 0)
        c->seconds[s][batch] = (qds_seconds() - start) / (double)(PAIRS_PER_SLOT * c->scenario->slots);
    }
  return NULL;
}

static void empty_slots(contest *c) {
  for (int s = 0; s < SUBJECTS; s++)
    for (int t = 0; t < MOST_THREADS; t++)
      for (int i = 0; i < MOST_SLOTS; i++) give((subject)s, atomic_exchange(&c->slots[s][t][i], NULL));
}

static qds_status run_scenario(contest *c, const scenario *how) {
  pthread_t threads[MOST_THREADS];
  contestant selves[MOST_THREADS];
  c->scenario = how;
  pthread_barrier_init(&c->barrier, NULL, (unsigned)how->threads);
  for (int t = 0; t < how->threads; t++) selves[t] = (contestant){c, t};
  for (int t = 1; t < how->threads; t++)
    if (pthread_create(&threads[t], NULL, compete, &selves[t])) QDS_FAIL(QDS_ERROR_MEMORY, "no thread");
  compete(&selves[0]);
  for (int t = 1; t < how->threads; t++) pthread_join(threads[t], NULL);
  pthread_barrier_destroy(&c->barrier);
  empty_slots(c);
  return QDS_OK;
}

/* One line: nanoseconds per pair of each subject, then the ratios. */
static void print_scenario(contest *c) {
  double quotients[MOST_BATCHES];
  double result[RATIOS];
  for (int r = 0; r < RATIOS; r++) {
    for (int b = 0; b < c->batches; b++)
      quotients[b] = c->seconds[ratios[r].above][b] / c->seconds[ratios[r].below][b];
    result[r] = median(quotients, c->batches);
  }
  for (int s = 0; s < SUBJECTS; s++) printf("%.17g ", 1e9 * median(c->seconds[s], c->batches));
  for (int r = 0; r < RATIOS; r++) printf("%.17g ", result[r]);
  printf("\n");
}

static qds_status measure_small(int batches) {
  QDS_AUTO_RELEASE contest *c = NULL;
  QDS_TRY(QDS_NEW_ZERO(qds_system_allocator(), 1, "contest", &c));
  c->batches = batches;
  for (int s = PLAIN; s < SUBJECTS; s++)
    QDS_TRY(qds_heap_create_with(s == LIMITED ? (size_t)1 << 40 : 0,
                                 s == LIMITED ? QDS_HEAP_TRACKING : (qds_heap_detail)(s - PLAIN),
                                 &c->heaps[s]));
  for (int i = 0; i < SCENARIOS; i++) {
    QDS_TRY(run_scenario(c, &scenarios[i]));
    print_scenario(c);
  }
  for (int s = PLAIN; s < SUBJECTS; s++) qds_heap_destroy(c->heaps[s], NULL, NULL);
  return QDS_OK;
}

/* --- a large matrix ------------------------------------------------------------------------------------ */

enum { MATRIX_ORDER = 5000, MATRIX_ROUNDS = 9, TIMES = 6 };
static const size_t matrix_bytes = (size_t)MATRIX_ORDER * MATRIX_ORDER * 16;

static void touch(char *memory) {
  for (size_t i = 0; i < matrix_bytes; i += QDS_PAGE_BYTES) memory[i] = 1;
}

/* The times of the peer's malloc: allocate, first touch, free. One line: their medians. */
static void measure_matrix_malloc(void) {
  double times[3][MATRIX_ROUNDS];
  for (int round = 0; round < MATRIX_ROUNDS; round++) {
    const double t0 = qds_seconds();
    char *volatile matrix = malloc(matrix_bytes);
    const double t1 = qds_seconds();
    touch(matrix);
    const double t2 = qds_seconds();
    free(matrix);
    times[0][round] = t1 - t0;
    times[1][round] = t2 - t1;
    times[2][round] = qds_seconds() - t2;
  }
  for (int i = 0; i < 3; i++) printf("%.17g ", median(times[i], MATRIX_ROUNDS));
  printf("\n");
}

/* A fresh heap each round: allocate from the system, first touch, release, allocate from the pool, touch
 * again, release. */
static qds_status measure_matrix_heap(qds_json *json) {
  static const char *const names[TIMES] = {"allocate_s",           "first_touch_s", "release_s",
                                           "allocate_from_pool_s", "touch_again_s", "release_again_s"};
  double times[TIMES][MATRIX_ROUNDS];
  for (int round = 0; round < MATRIX_ROUNDS; round++) {
    qds_heap *heap;
    char *matrix;
    QDS_TRY(qds_heap_create(0, &heap));
    for (int pass = 0; pass < 2; pass++) {
      const double t0 = qds_seconds();
      QDS_TRY(QDS_NEW(qds_heap_allocator(heap), matrix_bytes, "matrix", &matrix));
      const double t1 = qds_seconds();
      touch(matrix);
      const double t2 = qds_seconds();
      qds_release(matrix);
      times[3 * pass][round] = t1 - t0;
      times[3 * pass + 1][round] = t2 - t1;
      times[3 * pass + 2][round] = qds_seconds() - t2;
    }
    qds_heap_destroy(heap, NULL, NULL);
  }
  for (int i = 0; i < TIMES; i++) qds_json_double(json, names[i], median(times[i], MATRIX_ROUNDS));
  return QDS_OK;
}

/* What each kind of page costs, over sizes: map, touch every page, unmap. */
static qds_status measure_pages(qds_json *json) {
  static const char *const names[] = {"plain", "transparent", "explicit"};
  static const size_t sizes[] = {1 << 20, 2 << 20, 8 << 20, 32 << 20, 400 << 20};
  for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
    double times[3][3][MATRIX_ROUNDS];
    for (int round = 0; round < MATRIX_ROUNDS; round++)
      for (int kind = 0; kind < 3; kind++) {
        char *range;
        const double t0 = qds_seconds();
        QDS_TRY(qds_map_pages((qds_host_pages)kind, sizes[i], (void **)&range));
        const double t1 = qds_seconds();
        for (size_t at = 0; at < sizes[i]; at += QDS_PAGE_BYTES) range[at] = 1;
        const double t2 = qds_seconds();
        qds_unmap_pages(range, sizes[i]);
        times[kind][0][round] = t1 - t0;
        times[kind][1][round] = t2 - t1;
        times[kind][2][round] = qds_seconds() - t2;
      }
    for (int kind = 0; kind < 3; kind++) {
      qds_json_open_map(json, NULL);
      qds_json_string(json, "pages", names[kind]);
      qds_json_int(json, "bytes", (int64_t)sizes[i]);
      qds_json_double(json, "map_s", median(times[kind][0], MATRIX_ROUNDS));
      qds_json_double(json, "first_touch_s", median(times[kind][1], MATRIX_ROUNDS));
      qds_json_double(json, "unmap_s", median(times[kind][2], MATRIX_ROUNDS));
      qds_json_close_map(json);
    }
  }
  return QDS_OK;
}

/* --- a random trace of large blocks -------------------------------------------------------------------- */

/* 73 % of the operations take a block, of 1 MiB to `most`; before the cap is passed, random blocks are given
 * back. */
static qds_status measure_trace(size_t operations, size_t most, size_t cap, uint64_t seed, qds_json *json) {
  enum { MOST_BLOCKS = 20000 };
  QDS_AUTO_RELEASE char **blocks = NULL;
  QDS_AUTO_RELEASE size_t *sizes = NULL;
  qds_heap *heap;
  qds_best_fit_statistics figures;
  size_t live = 0, held = 0;
  QDS_TRY(QDS_NEW(qds_system_allocator(), MOST_BLOCKS, "trace", &blocks));
  QDS_TRY(QDS_NEW(qds_system_allocator(), MOST_BLOCKS, "trace", &sizes));
  QDS_TRY(qds_heap_create(0, &heap));
  double seconds = 0;
  for (uint64_t i = 0; i < operations; i++) {
    const size_t bytes = (1 << 20) + (size_t)(qds_random_uniform(seed, 0, i) * (double)(most - (1 << 20)));
    const int taking = qds_random_uniform(seed, 1, i) < 0.73 || live == 0;
    for (uint64_t n = 0; live && (taking ? held + bytes > cap || live == MOST_BLOCKS : n == 0); n++) {
      const size_t chosen = (size_t)(qds_random_uniform(seed, 2, i * 4096 + n) * (double)live);
      held -= sizes[chosen];
      const double start = qds_seconds();
      qds_release(blocks[chosen]);
      seconds += qds_seconds() - start;
      blocks[chosen] = blocks[--live];
      sizes[chosen] = sizes[live];
    }
    if (!taking) continue;
    const double start = qds_seconds();
    QDS_TRY(QDS_NEW(qds_heap_allocator(heap), bytes, "trace", &blocks[live]));
    seconds += qds_seconds() - start;
    sizes[live++] = bytes;
    held += bytes;
  }
  qds_heap_read_pool(heap, QDS_HEAP_LARGE, &figures);
  qds_json_open_map(json, NULL);
  qds_json_int(json, "operations", (int64_t)operations);
  qds_json_int(json, "largest_bytes", (int64_t)most);
  qds_json_int(json, "live_cap_bytes", (int64_t)cap);
  qds_json_int(json, "peak_used_bytes", (int64_t)figures.peak_used_bytes);
  qds_json_int(json, "peak_reserved_bytes", (int64_t)figures.peak_reserved_bytes);
  qds_json_double(json, "peak_reserved_over_peak_used",
                  (double)figures.peak_reserved_bytes / (double)figures.peak_used_bytes);
  qds_json_double(json, "microseconds_per_operation", 1e6 * seconds / (double)operations);
  qds_json_int(json, "growths", (int64_t)figures.growths);
  qds_json_close_map(json);
  qds_heap_destroy(heap, NULL, NULL);
  return QDS_OK;
}

/* --- the parent ---------------------------------------------------------------------------------------- */

static void report_scenario(qds_json *json, const peer *p, const scenario *how, const double *numbers) {
  qds_json_open_map(json, NULL);
  qds_json_string(json, "peer", p->name);
  qds_json_string(json, "case", how->name);
  for (int s = 0; s < SUBJECTS; s++) qds_json_double(json, subject_names[s], numbers[s]);
  for (int r = 0; r < RATIOS; r++) qds_json_double(json, ratios[r].name, numbers[SUBJECTS + r]);
  qds_json_close_map(json);
  fprintf(stderr, "%-9s %-32s", p->name, how->name);
  for (int s = 0; s < SUBJECTS; s++) fprintf(stderr, " %15.1f", numbers[s]);
  fprintf(stderr, "\n%42s", "");
  for (int r = 0; r < RATIOS; r++) fprintf(stderr, "  %s %.2f", ratios[r].heading, numbers[SUBJECTS + r]);
  fprintf(stderr, "\n");
}

/* A child of this program with the peer's library; its lines of numbers are on the pipe. */
static qds_status start_child(const char *self, const peer *p, const char *what, int batches, FILE **out) {
  char command[4096];
  snprintf(command, sizeof command, "LD_PRELOAD='%s' '%s' %d %s '%s'", p->library, self, batches, what,
           p->library);
  *out = popen(command, "r");
  if (!*out) QDS_FAIL_NATIVE(QDS_ERROR_FILE, errno, "cannot start %s", command);
  return QDS_OK;
}

static qds_status read_numbers(FILE *pipe, const peer *p, int count, double *numbers) {
  for (int i = 0; i < count; i++)
    if (fscanf(pipe, "%lf", &numbers[i]) != 1)
      QDS_FAIL(QDS_ERROR_FILE, "the measurement of %s broke off", p->name);
  return QDS_OK;
}

/* The loader goes on without a library that it does not find; then nothing must be measured in its name. */
static int is_loaded(const char *library) {
  return dlopen(library, RTLD_LAZY | RTLD_NOLOAD) != NULL;
}

static qds_status compare_small(const char *self, const peer *p, int batches, qds_json *json) {
  FILE *pipe;
  double numbers[SUBJECTS + RATIOS];
  QDS_TRY(start_child(self, p, "small", batches, &pipe));
  qds_status status = QDS_OK;
  for (int i = 0; i < SCENARIOS && status == QDS_OK; i++) {
    status = read_numbers(pipe, p, SUBJECTS + RATIOS, numbers);
    if (status == QDS_OK) report_scenario(json, p, &scenarios[i], numbers);
  }
  pclose(pipe);
  return status;
}

static qds_status compare_matrix(const char *self, const peer *p, qds_json *json) {
  FILE *pipe;
  double numbers[3];
  QDS_TRY(start_child(self, p, "matrix", 1, &pipe));
  const qds_status status = read_numbers(pipe, p, 3, numbers);
  pclose(pipe);
  QDS_TRY(status);
  qds_json_open_map(json, p->name);
  qds_json_double(json, "allocate_s", numbers[0]);
  qds_json_double(json, "first_touch_s", numbers[1]);
  qds_json_double(json, "free_s", numbers[2]);
  qds_json_close_map(json);
  return QDS_OK;
}

static qds_status compare(const char *self, int batches, qds_json *json) {
  qds_json_open_map(json, NULL);
  qds_json_string(json, "unit", "nanoseconds per pair of taking and giving back, median of batches");
  fprintf(stderr, "%-42s", "nanoseconds per pair");
  for (int i = 0; i < SUBJECTS; i++) fprintf(stderr, " %15s", subject_names[i]);
  fprintf(stderr, "\n");
  qds_json_open_list(json, "small_blocks");
  for (int i = 0; i < PEERS; i++) QDS_TRY(compare_small(self, &peers[i], batches, json));
  qds_json_close_list(json);
  qds_json_open_map(json, "matrix_400_MB");
  for (int i = 0; i < PEERS; i++) QDS_TRY(compare_matrix(self, &peers[i], json));
  qds_json_open_map(json, "heap");
  QDS_TRY(measure_matrix_heap(json));
  qds_json_close_map(json);
  qds_json_close_map(json);
  qds_json_open_list(json, "pages");
  QDS_TRY(measure_pages(json));
  qds_json_close_list(json);
  qds_json_open_list(json, "traces");
  for (uint64_t seed = 1; seed <= 3; seed++) {
    QDS_TRY(measure_trace(10000, (size_t)400 << 20, (size_t)4 << 30, seed, json));
    QDS_TRY(measure_trace(10000, (size_t)4096 << 20, (size_t)16 << 30, seed, json));
  }
  qds_json_close_list(json);
  qds_json_close_map(json);
  return QDS_OK;
}

static qds_status compare_and_print(int batches) {
  QDS_AUTO(qds_json) *json = NULL;
  const char *text = NULL;
  char self[4096];
  const ssize_t length = readlink("/proc/self/exe", self, sizeof self - 1);
  if (length < 0) QDS_FAIL_NATIVE(QDS_ERROR_FILE, errno, "cannot find this program");
  self[length] = 0;
  QDS_TRY(qds_json_create(qds_system_allocator(), &json));
  QDS_TRY(compare(self, batches, json));
  QDS_TRY(qds_json_text(json, &text));
  fputs(text, stdout);
  return QDS_OK;
}

static qds_status measure_peer(int batches, const char *what, const char *library) {
  if (!is_loaded(library)) QDS_FAIL(QDS_ERROR_UNSUPPORTED, "%s is not installed", library);
  if (strcmp(what, "small") == 0) return measure_small(batches);
  measure_matrix_malloc();
  return QDS_OK;
}

int main(int argc, char **argv) {
  const int batches = argc > 1 ? atoi(argv[1]) : 101;
  if (batches < 1 || batches > MOST_BATCHES || argc == 3 || argc > 4) {
    fprintf(stderr, "usage: %s [batches]; 1 to %d are allowed\n", argv[0], MOST_BATCHES);
    return 2;
  }
  const qds_status status = argc == 4 ? measure_peer(batches, argv[2], argv[3]) : compare_and_print(batches);
  if (status != QDS_OK) fprintf(stderr, "%s\n", qds_last_error()->message);
  return qds_status_exit(status);
}

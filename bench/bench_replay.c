/* A trace of the memory (qdsim run --memory-trace) replayed on the host's allocators, as JSON and a table.
 *
 *   bench_replay [TRACE]
 *
 * Without TRACE it solves a small device and replays that. Blocks are taken and given back in the order of
 * the trace by one thread and are not touched. The arenas, one per tag, take part for the tags whose blocks
 * come and go as a stack. Times are medians of rounds, each on a fresh allocator that replays the trace
 * four times: the first time, in which fresh memory is touched (the record in front of a large block touches
 * a huge page, which the kernel clears), and the last. What is reserved is the sum of the pools' peaks; for
 * malloc what it holds of the system (mallinfo2), looked at after each block. */
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "mem/arena.h"
#include "mem/heap.h"
#include "mem/provider_host.h"
#include "mem/tag_table.h"
#include "replay.h"

typedef enum { MALLOC, TRACKING, STATISTICS, PLAIN, BEST_FIT, ARENAS, SUBJECTS } subject;
static const char *const names[SUBJECTS] = {"malloc",     "heap_tracking", "heap_statistics",
                                            "heap_plain", "best_fit",      "arenas_of_stacks"};
enum { ROUNDS = 11, REPLAYS = 4, ARENA_CHUNK = 1 << 20 };

typedef struct {
  const qds_trace_log *log;
  subject subject;
  int watch; /* look at what malloc holds */
  qds_heap *heap;
  qds_best_fit *pool;
  qds_arena *arenas[QDS_TAGS];
  qds_arena_position *marks; /* by block: what the arena held before it */
  const char *stacks;        /* by tag: its blocks come and go as a stack */
  size_t operations, reserved, base;
} stand;

static int is_heap(subject s) {
  return s >= TRACKING && s <= PLAIN;
}

static size_t held_by_malloc(void) {
  const struct mallinfo2 info = mallinfo2();
  return info.arena + info.hblkhd;
}

static qds_status take(void *self, const qds_trace_event *e, void **out) {
  stand *s = self;
  if (s->subject == ARENAS && !s->stacks[e->tag]) return QDS_OK;
  s->operations++;
  if (is_heap(s->subject))
    return qds_allocate(qds_heap_allocator(s->heap), e->bytes, 1, s->log->tags[e->tag], __FILE__, __LINE__,
                        out);
  if (s->subject == BEST_FIT) return qds_best_fit_allocate(s->pool, e->bytes, 0, out);
  if (s->subject == ARENAS) {
    s->marks[e->block] = qds_arena_mark(s->arenas[e->tag]);
    return qds_arena_allocate(s->arenas[e->tag], e->bytes, 1, out);
  }
  if (!(*out = malloc(e->bytes ? e->bytes : 1)))
    QDS_FAIL(QDS_ERROR_MEMORY, "malloc refused %zu bytes", (size_t)e->bytes);
  if (s->watch) {
    const size_t held = held_by_malloc();
    if (held > s->base && held - s->base > s->reserved) s->reserved = held - s->base;
  }
  return QDS_OK;
}

static void give(void *self, const qds_trace_event *e, void *block) {
  stand *s = self;
  if (s->subject == ARENAS && !s->stacks[e->tag]) return;
  s->operations++;
  if (is_heap(s->subject))
    qds_release(block);
  else if (s->subject == BEST_FIT)
    (void)qds_best_fit_release(s->pool, block);
  else if (s->subject == ARENAS)
    qds_arena_reset_to(s->arenas[e->tag], s->marks[e->block]);
  else
    free(block);
}

/* --- what the trace tells by itself ----------------------------------------------------------------------
 */

/* By tag: every block that is given back is the youngest of its tag. */
static qds_status find_stacks(const qds_trace_log *log, char *stacks) {
  QDS_AUTO_RELEASE uint64_t *below = NULL; /* by block: the one before it in its tag's stack, plus 1 */
  uint64_t top[QDS_TAGS] = {0};
  QDS_TRY(QDS_NEW_ZERO(log->allocator, log->blocks, "replay", &below));
  memset(stacks, 1, log->tag_count);
  for (size_t i = 0; i < log->count; i++) {
    const qds_trace_event *e = &log->events[i];
    if (e->place != QDS_TRACE_HOST || !stacks[e->tag]) continue;
    if (e->kind == QDS_TRACE_TAKE) {
      below[e->block] = top[e->tag];
      top[e->tag] = e->block + 1;
    } else if (top[e->tag] == e->block + 1) {
      top[e->tag] = below[e->block];
    } else {
      stacks[e->tag] = 0;
    }
  }
  return QDS_OK;
}

/* --- one round -------------------------------------------------------------------------------------------
 */

static qds_status open_stand(stand *s) {
  if (is_heap(s->subject)) {
    static const qds_heap_detail details[] = {QDS_HEAP_TRACKING, QDS_HEAP_STATISTICS, QDS_HEAP_PLAIN};
    return qds_heap_create_with(0, details[s->subject - TRACKING], &s->heap);
  }
  if (s->subject == BEST_FIT) {
    qds_best_fit_options options = QDS_BEST_FIT_OPTIONS_INIT;
    options.provider = qds_provider_host(QDS_PAGES_TRANSPARENT);
    options.allocator = qds_system_allocator();
    options.unit = QDS_ALIGNMENT;
    options.segment_bytes = 4 << 20;
    return qds_best_fit_create(&options, &s->pool);
  }
  if (s->subject == MALLOC) {
    malloc_trim(0);
    s->base = held_by_malloc();
    return QDS_OK;
  }
  QDS_TRY(qds_heap_create(0, &s->heap));
  for (size_t tag = 0; tag < s->log->tag_count; tag++)
    if (s->stacks[tag])
      QDS_TRY(qds_arena_create(qds_heap_allocator(s->heap), ARENA_CHUNK, "arena", &s->arenas[tag]));
  return QDS_OK;
}

/* What was reserved of the system at most. */
static size_t close_stand(stand *s) {
  size_t reserved = s->reserved;
  qds_best_fit_statistics figures;
  for (size_t tag = 0; tag < s->log->tag_count; tag++) qds_arena_destroy(s->arenas[tag]);
  for (int pool = 0; s->heap && pool < QDS_HEAP_POOLS; pool++) {
    qds_heap_read_pool(s->heap, (qds_heap_pool)pool, &figures);
    reserved += figures.peak_reserved_bytes;
  }
  qds_heap_destroy(s->heap, NULL, NULL);
  if (s->pool) {
    qds_best_fit_read(s->pool, &figures);
    reserved += figures.peak_reserved_bytes;
  }
  qds_best_fit_destroy(s->pool);
  return reserved;
}

/* Replays on the fresh allocator, and again until what it keeps has been touched; the last time counts. */
static qds_status run_round(stand *s, replay_outcome *out) {
  qds_status status = open_stand(s);
  for (int again = 0; again < REPLAYS && status == QDS_OK; again++) {
    s->operations = 0;
    const double start = qds_seconds();
    status = qds_trace_replay(s->log, QDS_TRACE_HOST, &(qds_trace_target){s, take, give});
    out->nanoseconds[again > 0] = 1e9 * (qds_seconds() - start) / (double)(s->operations ? s->operations : 1);
  }
  out->peak_reserved = close_stand(s);
  out->operations = s->operations;
  return status;
}

/* The subjects take turns, so that all see the same machine. The first turn, in which malloc is watched,
 * gives the peaks; the others give the times. */
static qds_status measure(const qds_trace_log *log, const char *stacks, qds_arena_position *marks,
                          replay_outcome outcomes[SUBJECTS]) {
  double times[SUBJECTS][2][ROUNDS];
  for (int round = -1; round < ROUNDS; round++)
    for (int which = 0; which < SUBJECTS; which++) {
      replay_outcome now;
      stand s = {.log = log, .subject = (subject)which, .watch = round < 0, .marks = marks, .stacks = stacks};
      QDS_TRY(run_round(&s, &now));
      if (round < 0) outcomes[which] = now;
      for (int again = 0; again < 2 && round >= 0; again++)
        times[which][again][round] = now.nanoseconds[again];
    }
  for (int which = 0; which < SUBJECTS; which++) {
    outcomes[which].peak_used = replay_peak_used(log, QDS_TRACE_HOST, which == ARENAS ? stacks : NULL);
    for (int again = 0; again < 2; again++)
      outcomes[which].nanoseconds[again] = replay_median(times[which][again], ROUNDS);
  }
  return QDS_OK;
}

static qds_status replay(void *user, const qds_trace_log *log, qds_json *json) {
  QDS_AUTO_RELEASE char *stacks = NULL;
  QDS_AUTO_RELEASE qds_arena_position *marks = NULL;
  qds_allocator *system = qds_system_allocator();
  (void)user;
  QDS_TRY(QDS_NEW_ZERO(system, QDS_TAGS, "replay", &stacks));
  QDS_TRY(QDS_NEW(system, log->blocks, "replay", &marks));
  QDS_REQUIRE(log->tag_count <= QDS_TAGS, "%zu tags; at most %d are replayed", log->tag_count, QDS_TAGS);
  QDS_TRY(find_stacks(log, stacks));
  replay_report_head("");
  replay_outcome outcomes[SUBJECTS];
  QDS_TRY(measure(log, stacks, marks, outcomes));
  for (int which = 0; which < SUBJECTS; which++) replay_report(json, names[which], &outcomes[which]);
  return QDS_OK;
}

int main(int argc, char **argv) {
  if (argc > 2) {
    fprintf(stderr, "usage: %s [TRACE]\n", argv[0]);
    return 2;
  }
  const qds_status status = replay_run("cpu", argc > 1 ? argv[1] : NULL, NULL, replay);
  if (status != QDS_OK) fprintf(stderr, "%s\n", qds_last_error()->message);
  return qds_status_exit(status);
}

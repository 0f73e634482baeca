/* Concurrency Kit's ring with an exact capacity, closing and waiting around it.
 *
 * The ring (ck_ring.h) holds the items. `claimed` counts them, with the highest bit for "closed": a producer
 * claims a place by compare-and-swap before it touches the ring, and a consumer gives the place back after it
 * has taken the item out. So the ring always has room for who holds a place, a closed queue accepts nothing,
 * and `claimed` equal to the closed bit says that no item is left or under way: that is when pop reports
 * CLOSED, not when the ring merely looks empty.
 *
 * Waiting: a thread that finds the queue full or empty counts itself as a waiter, tries again, and sleeps on
 * the sequence number that it read before trying. Who changes the queue bumps the number and wakes, but only
 * when a waiter is counted. The change and the look at the count, and on the other side the counting and the
 * second try, are ordered by full barriers, so one of the two sees the other. */
#include "mem/queue.h"

#include <errno.h>
#include <limits.h>
#include <linux/futex.h>
#include <math.h>
#include <sched.h>
#include <stdatomic.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include <ck_ring.h>

enum { LINE = 64, SPINS = 64 };
#define CLOSED (1u << 31)

/* Threads that sleep until something changes. */
typedef struct {
  _Alignas(LINE) atomic_uint sequence;
  atomic_uint waiters;
} waiting_room;

struct qds_queue {
  ck_ring_t ring;
  ck_ring_buffer_t *slots;
  unsigned capacity;
  _Alignas(LINE) atomic_uint claimed;
  waiting_room producers, consumers;
};

/* ThreadSanitizer does not see the ring's barriers, which are written in assembly. It is told what they
 * order: the push of an item comes before the pop of that item, and nothing more. */
#if defined(__SANITIZE_THREAD__)
#define THREAD_SANITIZER
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define THREAD_SANITIZER
#endif
#endif
#ifdef THREAD_SANITIZER
void __tsan_acquire(void *address);
void __tsan_release(void *address);
#define PUSHES(item) __tsan_release(item)
#define POPPED(item) __tsan_acquire(item)
#define UNCHECKED __attribute__((no_sanitize("thread"), noinline))
#else
#define PUSHES(item) ((void)(item))
#define POPPED(item) ((void)(item))
#define UNCHECKED
#endif

/* --- waiting ----------------------------------------------------------------------------------------------
 */

static void wake(waiting_room *room, int how_many) {
  if (atomic_load(&room->waiters) == 0) return;
  atomic_fetch_add(&room->sequence, 1);
  syscall(SYS_futex, &room->sequence, FUTEX_WAKE_PRIVATE, how_many, NULL, NULL, 0);
}

/* The time of the monotonic clock at which a wait ends. */
static struct timespec deadline_after(double seconds) {
  struct timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  const double whole = floor(seconds);
  time.tv_sec += (time_t)whole;
  time.tv_nsec += (long)((seconds - whole) * 1e9);
  if (time.tv_nsec >= 1000000000) {
    time.tv_nsec -= 1000000000;
    time.tv_sec++;
  }
  return time;
}

/* Sleeps unless the sequence number has moved on; returns 0 when the deadline (NULL: none) has passed. */
static int sleep_until(waiting_room *room, unsigned sequence, const struct timespec *deadline) {
  /* The bit set form takes an absolute time of the monotonic clock. */
  const long answer = syscall(SYS_futex, &room->sequence, FUTEX_WAIT_BITSET_PRIVATE, sequence, deadline, NULL,
                              FUTEX_BITSET_MATCH_ANY);
  return answer == 0 || errno != ETIMEDOUT;
}

typedef qds_queue_result (*attempt_fn)(qds_queue *queue, void **item);

/* Repeats an attempt until it succeeds, the queue is closed or the time is over. */
static qds_queue_result attempt_until(qds_queue *queue, waiting_room *room, attempt_fn attempt, void **item,
                                      double timeout_s) {
  qds_queue_result result = attempt(queue, item);
  if (result != QDS_QUEUE_NOT_YET || timeout_s == 0) return result;
  enum { LONGEST_S = 1 << 30 }; /* 34 years; more would overflow the clock */
  const int forever = !(timeout_s >= 0 && timeout_s < LONGEST_S);
  const struct timespec deadline = deadline_after(forever ? 0 : timeout_s);
  int in_time = 1;
  atomic_fetch_add(&room->waiters, 1);
  for (;;) {
    const unsigned sequence = atomic_load(&room->sequence);
    result = attempt(queue, item); /* also after the time: a wake-up may have been meant for this thread */
    if (result != QDS_QUEUE_NOT_YET || !in_time) break;
    in_time = sleep_until(room, sequence, forever ? NULL : &deadline);
  }
  atomic_fetch_sub(&room->waiters, 1);
  return result;
}

/* --- the ring ---------------------------------------------------------------------------------------------
 */

/* For who has claimed a place. The ring's own enqueue spins until the producers before it have committed; on
 * a machine with more threads than cores these may be waiting for this very core. */
UNCHECKED static void put(qds_queue *queue, void *item) {
  unsigned ticket;
  void **slot;
  while (!(slot = ck_ring_enqueue_reserve_mpmc(&queue->ring, queue->slots, &ticket))) ck_pr_stall();
  *slot = item;
  for (int spin = 0; ck_pr_load_uint(&queue->ring.p_tail) != ticket; spin++) {
    if (spin < SPINS)
      ck_pr_stall();
    else
      sched_yield();
  }
  ck_ring_enqueue_commit_mpmc(&queue->ring, ticket);
  ck_pr_fence_memory();
}

UNCHECKED static int get(qds_queue *queue, void **item) {
  return ck_ring_dequeue_mpmc(&queue->ring, queue->slots, item);
}

static qds_queue_result attempt_push(qds_queue *queue, void **item) {
  unsigned claimed = atomic_load(&queue->claimed);
  do {
    if (claimed & CLOSED) return QDS_QUEUE_CLOSED;
    if (claimed == queue->capacity) return QDS_QUEUE_NOT_YET;
  } while (!atomic_compare_exchange_weak(&queue->claimed, &claimed, claimed + 1));
  PUSHES(*item);
  put(queue, *item);
  wake(&queue->consumers, 1);
  return QDS_QUEUE_DONE;
}

static qds_queue_result attempt_pop(qds_queue *queue, void **item) {
  /* Read first: when it says that nothing is left, the ring has been empty since. */
  const unsigned before = atomic_load(&queue->claimed);
  if (before == CLOSED) return QDS_QUEUE_CLOSED;
  void *taken; /* the ring writes it also when it loses the item to another consumer */
  if (!get(queue, &taken)) return QDS_QUEUE_NOT_YET;
  POPPED(taken);
  *item = taken;
  const unsigned left = atomic_fetch_sub(&queue->claimed, 1) - 1;
  wake(&queue->producers, 1);
  if (left == CLOSED) wake(&queue->consumers, INT_MAX); /* the others have nothing to wait for */
  return QDS_QUEUE_DONE;
}

/* --- the face ---------------------------------------------------------------------------------------------
 */

qds_status qds_queue_create(qds_allocator *allocator, size_t capacity, qds_queue **out) {
  *out = NULL;
  QDS_REQUIRE(capacity >= 1 && capacity <= QDS_QUEUE_CAPACITY, "a queue for %zu items: 1 to %d are allowed",
              capacity, QDS_QUEUE_CAPACITY);
  unsigned size = 2; /* a power of two; one slot of the ring stays empty */
  while (size <= capacity) size *= 2;
  QDS_AUTO_RELEASE qds_queue *queue = NULL;
  QDS_TRY(QDS_NEW_ZERO(allocator, 1, "queue", &queue));
  QDS_TRY(QDS_NEW_ZERO(allocator, size, "queue", &queue->slots));
  ck_ring_init(&queue->ring, size);
  queue->capacity = (unsigned)capacity;
  *out = queue;
  queue = NULL;
  return QDS_OK;
}

void qds_queue_drain_and_destroy(qds_queue *queue, qds_queue_release_fn release, void *user) {
  if (!queue) return;
  void *item;
  while (qds_queue_try_pop(queue, &item) == QDS_QUEUE_DONE)
    if (release) release(user, item);
  qds_release(queue->slots);
  qds_release(queue);
}

void qds_queue_destroy(qds_queue *queue) {
  qds_queue_drain_and_destroy(queue, NULL, NULL);
}

qds_queue_result qds_queue_try_push(qds_queue *queue, void *item) {
  return attempt_push(queue, &item);
}

qds_queue_result qds_queue_try_pop(qds_queue *queue, void **item) {
  *item = NULL;
  return attempt_pop(queue, item);
}

qds_queue_result qds_queue_push(qds_queue *queue, void *item, double timeout_s) {
  return attempt_until(queue, &queue->producers, attempt_push, &item, timeout_s);
}

qds_queue_result qds_queue_pop(qds_queue *queue, double timeout_s, void **item) {
  *item = NULL;
  return attempt_until(queue, &queue->consumers, attempt_pop, item, timeout_s);
}

void qds_queue_close(qds_queue *queue) {
  atomic_fetch_or(&queue->claimed, CLOSED);
  wake(&queue->producers, INT_MAX);
  wake(&queue->consumers, INT_MAX);
}

size_t qds_queue_count(const qds_queue *queue) {
  return atomic_load(&queue->claimed) & ~CLOSED;
}

size_t qds_queue_capacity(const qds_queue *queue) {
  return queue->capacity;
}

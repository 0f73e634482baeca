#include "mem/pager.h"

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

struct qds_pager {
  qds_file_provider *provider;
  qds_pager_room room;
  void *user;
  int statm;
  size_t page;
  size_t others;         /* bytes of mapped files that are none of the provider's */
  double others_counted; /* when */
  size_t left;           /* pages at the end of the last look */
  double growth;         /* of the pages between two looks, at most, lately */
  pthread_t thread;
  pthread_mutex_t lock;
  pthread_cond_t wake;
  int stop;
  atomic_size_t peak, swept;
};

/* Pages are dropped when what threads have lately touched between two looks would no longer fit into the
 * room, but at these parts of it at the earliest and the latest, until `kept` of that is left. */
static const double earliest = 0.3, latest = 0.8, kept = 0.6;
/* The growth between two looks is forgotten by this part at each. */
static const double forgotten = 0.002;
/* As fast as threads can touch pages, which bounds how long the thread may sleep. */
static const double touched_per_s = 10e9;
static const double shortest_s = 0.5e-3, longest_s = 20e-3, count_others_each_s = 0.5;
static const size_t sweep_bytes = (size_t)64 << 20;

/* The process's resident pages of files: the third number of /proc/self/statm (proc(5)). */
static size_t mapped_files(const qds_pager *p) {
  char text[128];
  size_t files = 0;
  const ssize_t bytes = pread(p->statm, text, sizeof text - 1, 0);
  if (bytes <= 0) return 0;
  text[bytes] = 0;
  return sscanf(text, "%*u %*u %zu", &files) == 1 ? files * p->page : 0;
}

static double seconds_now(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

/* Libraries come and grow while the program runs. */
static void count_others(qds_pager *p) {
  const size_t before = mapped_files(p), ours = qds_file_provider_mapped(p->provider);
  const size_t files = (before + mapped_files(p)) / 2;
  p->others = files > ours ? files - ours : 0;
  p->others_counted = seconds_now();
}

static size_t pages_of_regions(qds_pager *p) {
  const size_t files = mapped_files(p), pages = files > p->others ? files - p->others : 0;
  if (pages > atomic_load(&p->peak)) atomic_store(&p->peak, pages);
  return pages;
}

/* Once round all regions at the most: pages that were touched meanwhile are for the next time. */
static size_t sweep(qds_pager *p, size_t pages, size_t goal) {
  qds_file_usage usage;
  qds_file_provider_usage(p->provider, &usage);
  for (size_t passed = 0; pages > goal && passed < usage.current_bytes;) {
    const size_t bytes = qds_file_provider_sweep(p->provider, sweep_bytes);
    if (bytes == 0) break;
    passed += bytes;
    atomic_fetch_add(&p->swept, bytes);
    pages = pages_of_regions(p);
  }
  return pages;
}

static double look(qds_pager *p) {
  const double room = (double)p->room(p->user);
  size_t pages = pages_of_regions(p);
  p->growth = fmax((1 - forgotten) * p->growth, (double)pages - (double)p->left);
  const double bound = fmax(earliest * room, fmin(latest * room, room - p->growth));
  if ((double)pages > bound) pages = sweep(p, pages, (size_t)(kept * bound));
  if (seconds_now() - p->others_counted > count_others_each_s) count_others(p);
  p->left = pages;
  const double until_full = (bound - (double)pages) / touched_per_s;
  return until_full < shortest_s ? shortest_s : until_full > longest_s ? longest_s : until_full;
}

/* As sched_setattr(2), for which there is no header that goes with those of the C library. */
typedef struct {
  uint32_t size, policy;
  uint64_t flags;
  int32_t nice;
  uint32_t priority;
  uint64_t runtime, deadline, period;
} scheduling;

/* The thread works little and often; when it comes late, pages pile up. What a system does not know or does
 * not allow changes nothing. */
static void ask_for_short_waits(void) {
  const uint64_t shortest_slice_ns = 100000;
  scheduling wanted = {.size = sizeof wanted, .nice = -10, .runtime = shortest_slice_ns};
  if (syscall(SYS_sched_setattr, 0, &wanted, 0) == 0) return;
  wanted.nice = 0;
  syscall(SYS_sched_setattr, 0, &wanted, 0);
}

static void *run(void *self) {
  qds_pager *p = self;
  ask_for_short_waits();
  pthread_mutex_lock(&p->lock);
  while (!p->stop) {
    pthread_mutex_unlock(&p->lock);
    const double seconds = look(p);
    struct timespec until;
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_nsec += (long)(seconds * 1e9);
    if (until.tv_nsec >= 1000000000) until.tv_sec++, until.tv_nsec -= 1000000000;
    pthread_mutex_lock(&p->lock);
    if (!p->stop) pthread_cond_timedwait(&p->wake, &p->lock, &until);
  }
  pthread_mutex_unlock(&p->lock);
  return NULL;
}

static void make_condition(pthread_cond_t *condition) {
  pthread_condattr_t attributes;
  pthread_condattr_init(&attributes);
  pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
  pthread_cond_init(condition, &attributes);
  pthread_condattr_destroy(&attributes);
}

/* Signals are for the threads of the program. */
static int start(qds_pager *p) {
  sigset_t all, before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  const int error = pthread_create(&p->thread, NULL, run, p);
  pthread_sigmask(SIG_SETMASK, &before, NULL);
  return error;
}

static void release(qds_pager *p) {
  pthread_cond_destroy(&p->wake);
  pthread_mutex_destroy(&p->lock);
  if (p->statm >= 0) close(p->statm);
  free(p);
}

qds_status qds_pager_create(qds_file_provider *provider, qds_pager_room room, void *user, qds_pager **out) {
  *out = NULL;
  qds_pager *p = calloc(1, sizeof *p);
  if (!p) QDS_FAIL(QDS_ERROR_MEMORY, "out of memory: no room to watch mapped files");
  p->provider = provider;
  p->room = room;
  p->user = user;
  p->page = (size_t)sysconf(_SC_PAGESIZE);
  p->statm = open("/proc/self/statm", O_RDONLY | O_CLOEXEC);
  pthread_mutex_init(&p->lock, NULL);
  make_condition(&p->wake);
  const int error = p->statm < 0 ? errno : 0;
  if (error) {
    release(p);
    QDS_FAIL_NATIVE(QDS_ERROR_FILE, error,
                    "cannot read /proc/self/statm, which tells what mapped files take: %m");
  }
  count_others(p);
  const int refused = start(p);
  if (refused) {
    release(p);
    QDS_FAIL_NATIVE(QDS_ERROR_MEMORY, refused, "out of memory: no thread to watch mapped files");
  }
  *out = p;
  return QDS_OK;
}

void qds_pager_destroy(qds_pager *p) {
  if (!p) return;
  pthread_mutex_lock(&p->lock);
  p->stop = 1;
  pthread_cond_signal(&p->wake);
  pthread_mutex_unlock(&p->lock);
  pthread_join(p->thread, NULL);
  release(p);
}

void qds_pager_seen(const qds_pager *p, size_t *peak_bytes, size_t *swept_bytes) {
  *peak_bytes = atomic_load(&p->peak);
  *swept_bytes = atomic_load(&p->swept);
}

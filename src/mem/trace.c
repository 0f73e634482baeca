#include "mem/trace.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/file.h"
#include "mem/system_allocator.h"
#include "mem/tag_table.h"

enum { BUFFER_BYTES = 2048 * QDS_TRACE_RECORD_BYTES, LEAST_ROOM = 1024 };

/* An allocator that is watched, and its own functions. */
typedef struct {
  qds_trace *trace;
  qds_allocator *allocator, functions;
} watched;

/* A block that is held. */
typedef struct {
  const void *address; /* NULL: the entry is free */
  uint64_t number, bytes;
  uint16_t tag;
  uint8_t place;
} held;

struct qds_trace {
  watched watched[QDS_TRACE_ALLOCATORS];
  int watched_count;
  pthread_mutex_t lock; /* of what follows */
  qds_pending_file *file;
  int descriptor; /* -1: nothing is recorded any more */
  int ended;
  struct timespec start;
  uint64_t blocks, records;
  held *table; /* open addressing with linear probing; room is a power of two */
  size_t room, count;
  uintptr_t *threads;
  uint32_t thread_count;
  qds_tag_table tags;
  size_t used; /* of the buffer */
  qds_status status;
  char
      failure[256]; /* why the trace broke off; never raised while others work, whose message it would take */
  unsigned char buffer[BUFFER_BYTES];
};

/* --- the file: call with the lock ------------------------------------------------------------------------
 */

static void close_file(qds_trace *t) {
  if (t->descriptor >= 0) close(t->descriptor);
  t->descriptor = -1;
}

static void break_off(qds_trace *t, qds_status status, const char *reason) {
  if (t->status == QDS_OK) snprintf(t->failure, sizeof t->failure, "%s", reason);
  if (t->status == QDS_OK) t->status = status;
  close_file(t);
}

static void flush(qds_trace *t) {
  size_t done = 0;
  while (done < t->used && t->descriptor >= 0) {
    const ssize_t written = write(t->descriptor, t->buffer + done, t->used - done);
    if (written > 0)
      done += (size_t)written;
    else if (written == 0 || errno != EINTR)
      break_off(t, QDS_ERROR_FILE, written ? strerror(errno) : "nothing more can be written");
  }
  t->used = 0;
}

static void append(qds_trace *t, const void *bytes, size_t count) {
  for (size_t done = 0; done < count;) {
    const size_t left = BUFFER_BYTES - t->used, part = count - done < left ? count - done : left;
    memcpy(t->buffer + t->used, (const char *)bytes + done, part);
    t->used += part;
    done += part;
    if (t->used == BUFFER_BYTES) flush(t);
  }
}

static void put(unsigned char *to, uint64_t value, int bytes) {
  for (int i = 0; i < bytes; i++) to[i] = (unsigned char)(value >> 8 * i);
}

static uint64_t nanoseconds(const qds_trace *t) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (uint64_t)(now.tv_sec - t->start.tv_sec) * 1000000000u + (uint64_t)now.tv_nsec -
         (uint64_t)t->start.tv_nsec;
}

static void record(qds_trace *t, qds_trace_kind kind, const held *h, uint32_t thread) {
  unsigned char r[QDS_TRACE_RECORD_BYTES];
  put(r, (uint64_t)kind, 1);
  put(r + 1, h->place, 1);
  put(r + 2, h->tag, 2);
  put(r + 4, thread, 4);
  put(r + 8, h->number, 8);
  put(r + 16, h->bytes, 8);
  put(r + 24, nanoseconds(t), 8);
  append(t, r, sizeof r);
}

/* Threads that follow each other with the same descriptor share a number. */
static uint32_t thread_number(qds_trace *t) {
  const uintptr_t self = (uintptr_t)__builtin_thread_pointer();
  for (uint32_t i = 0; i < t->thread_count; i++)
    if (t->threads[i] == self) return i;
  uintptr_t *grown = realloc(t->threads, (t->thread_count + 1) * sizeof *grown);
  if (!grown) {
    break_off(t, QDS_ERROR_MEMORY, "no memory to tell threads apart");
    return 0;
  }
  t->threads = grown;
  grown[t->thread_count] = self;
  return t->thread_count++;
}

static uint16_t tag_number(qds_trace *t, const char *tag) {
  static const char zeros[QDS_TRACE_RECORD_BYTES];
  const size_t known = t->tags.count;
  const uint16_t number = (uint16_t)qds_tag_table_find(&t->tags, tag);
  if (t->tags.count == known) return number;
  const char *name = t->tags.rows[number].tag;
  const size_t length = strlen(name), over = length % QDS_TRACE_RECORD_BYTES;
  record(t, QDS_TRACE_TAG, &(held){.bytes = length, .tag = number}, 0);
  append(t, name, length);
  if (over) append(t, zeros, QDS_TRACE_RECORD_BYTES - over);
  return number;
}

/* --- the blocks that are held: call with the lock --------------------------------------------------------
 */

/* Fibonacci hashing. */
static size_t place_of(const qds_trace *t, const void *address) {
  return (size_t)((uint64_t)(uintptr_t)address * 0x9e3779b97f4a7c15u >> 20) & (t->room - 1);
}

static held *find(const qds_trace *t, const void *address) {
  size_t i = place_of(t, address);
  while (t->table[i].address && t->table[i].address != address) i = (i + 1) & (t->room - 1);
  return &t->table[i];
}

static int grow(qds_trace *t) {
  held *old = t->table;
  const size_t old_room = t->room;
  held *fresh = calloc(2 * old_room, sizeof *fresh);
  if (!fresh) return 0;
  t->table = fresh;
  t->room = 2 * old_room;
  for (size_t i = 0; i < old_room; i++)
    if (old[i].address) *find(t, old[i].address) = old[i];
  free(old);
  return 1;
}

/* Closes the gap: later entries of the same run move up unless they would stand before their place. */
static void forget(qds_trace *t, held *entry) {
  const size_t mask = t->room - 1;
  size_t gap = (size_t)(entry - t->table);
  for (size_t i = (gap + 1) & mask; t->table[i].address; i = (i + 1) & mask) {
    const size_t home = place_of(t, t->table[i].address);
    if (((i - home) & mask) < ((i - gap) & mask)) continue;
    t->table[gap] = t->table[i];
    gap = i;
  }
  t->table[gap] = (held){0};
  t->count--;
}

/* What a watched allocator has from another one is known already. */
static void take(qds_trace *t, const void *block, size_t bytes, const char *tag, qds_trace_place place) {
  pthread_mutex_lock(&t->lock);
  if (t->descriptor >= 0 && 2 * t->count >= t->room && !grow(t))
    break_off(t, QDS_ERROR_MEMORY, "no memory to remember more blocks");
  held *h = find(t, block);
  if (t->descriptor >= 0 && !h->address) {
    *h = (held){block, t->blocks++, bytes, tag_number(t, tag), (uint8_t)place};
    t->count++;
    t->records++;
    record(t, QDS_TRACE_TAKE, h, thread_number(t));
  }
  pthread_mutex_unlock(&t->lock);
}

static void give(qds_trace *t, const void *block) {
  pthread_mutex_lock(&t->lock);
  held *h = find(t, block);
  if (h->address) {
    if (t->descriptor >= 0) {
      t->records++;
      record(t, QDS_TRACE_GIVE, h, thread_number(t));
    }
    forget(t, h);
  }
  pthread_mutex_unlock(&t->lock);
}

/* --- in the place of an allocator's functions ------------------------------------------------------------
 */

static qds_status watch_allocate(qds_allocator *self, size_t bytes, const char *tag, const char *file,
                                 int line, void **out) {
  const watched *w = self->observer;
  QDS_TRY(w->functions.allocate(self, bytes, tag, file, line, out));
  take(w->trace, *out, bytes, tag, QDS_TRACE_HOST);
  return QDS_OK;
}

/* The record comes first: once the block is back, another thread may have the address. */
static void watch_release(qds_allocator *self, void *block) {
  const watched *w = self->observer;
  give(w->trace, block);
  w->functions.release(self, block);
}

static void watch_release_small(qds_slab_header *slab, void *block) {
  const watched *w = slab->owner->observer;
  give(w->trace, block);
  w->functions.release_small(slab, block);
}

void qds_trace_watch(qds_trace *t, qds_allocator *allocator) {
  watched *w = &t->watched[t->watched_count++];
  *w = (watched){t, allocator, *allocator};
  allocator->allocate = watch_allocate;
  allocator->release = watch_release;
  allocator->release_small = watch_release_small;
  allocator->observer = w;
}

void qds_trace_take(qds_trace *t, const void *block, size_t bytes, const char *tag, qds_trace_place place) {
  if (t) take(t, block, bytes, tag, place);
}

void qds_trace_give(qds_trace *t, const void *block) {
  if (t) give(t, block);
}

/* --- begin and end ---------------------------------------------------------------------------------------
 */

qds_status qds_trace_create(const char *path, qds_trace **out) {
  *out = NULL;
  qds_trace *t = calloc(1, sizeof *t);
  if (!t) QDS_FAIL(QDS_ERROR_MEMORY, "out of memory: no room for a memory trace");
  pthread_mutex_init(&t->lock, NULL);
  t->descriptor = -1;
  t->room = LEAST_ROOM;
  t->table = calloc(t->room, sizeof *t->table);
  clock_gettime(CLOCK_MONOTONIC, &t->start);
  qds_status status = t->table ? qds_pending_create(qds_system_allocator(), path, &t->file)
                               : qds_raise(QDS_ERROR_MEMORY, __FILE__, __LINE__, 0,
                                           "out of memory: no room for a memory trace");
  if (status == QDS_OK) {
    t->descriptor = open(qds_pending_path(t->file), O_WRONLY | O_CLOEXEC);
    if (t->descriptor < 0)
      status = qds_raise(QDS_ERROR_FILE, __FILE__, __LINE__, errno,
                         "cannot write the memory trace \"%s\": %m", qds_pending_path(t->file));
  }
  if (status != QDS_OK) {
    qds_trace_destroy(t);
    return status;
  }
  append(t, QDS_TRACE_HEADER, strlen(QDS_TRACE_HEADER));
  *out = t;
  return QDS_OK;
}

qds_status qds_trace_end(qds_trace *t) {
  char path[sizeof t->failure] = "";
  pthread_mutex_lock(&t->lock);
  const int ended = t->ended;
  t->ended = 1;
  if (t->descriptor >= 0) {
    record(t, QDS_TRACE_END, &(held){.number = t->blocks, .bytes = t->records}, 0);
    flush(t);
  }
  close_file(t);
  pthread_mutex_unlock(&t->lock);
  if (ended) return QDS_OK;
  if (t->status == QDS_OK) return qds_pending_commit(t->file);
  snprintf(path, sizeof path, "%s", qds_pending_path(t->file));
  QDS_FAIL(t->status, "the memory trace \"%s\" broke off and is removed: %s", path, t->failure);
}

void qds_trace_destroy(qds_trace *t) {
  if (!t) return;
  for (int i = 0; i < t->watched_count; i++) *t->watched[i].allocator = t->watched[i].functions;
  close_file(t);
  qds_pending_file_destroy(t->file);
  pthread_mutex_destroy(&t->lock);
  free(t->threads);
  free(t->table);
  free(t);
}

/* The records behind buffer.h, shared by its parts.
 *
 * Concurrency. The manager's lock guards the list of buffers, the counts and every buffer's `claimed`.
 * Whoever works on a buffer claims it first; a claimed buffer belongs to one thread, which may then copy,
 * wait and take memory without the lock. A thread that holds a claim waits for no other one, except for two
 * in the order of their addresses (qds_buffer_copy), and moves only unclaimed buffers out of its way; so
 * claims cannot deadlock. `lane` is the manager's own stream, for one thread at a time: `lane_lock` guards
 * it, and nothing else is locked under it.
 *
 * Order of work. Each copy carries fences: events of work that uses it. A reader waits for the fences that
 * write, a writer for all; then its own fence takes their place.
 *
 * Moving a buffer out of the way takes no memory of the host, because that may be what is missing: the
 * records of a buffer's copies are part of the buffer, and whoever waits on the host needs no fence. */
#ifndef QDS_MEM_BUFFER_INTERNAL_H
#define QDS_MEM_BUFFER_INTERNAL_H

#include <pthread.h>
#include <stdatomic.h>

#include "mem/buffer.h"
#include "mem/pool_best_fit.h"
#include "mem/heap.h"
#include "mem/spill_file.h"

/* An open bracket, and after its release the fence of its work. */
typedef struct qds_fence qds_fence;
struct qds_fence {
  qds_fence *next;
  qds_event *event;         /* NULL without a device */
  const qds_stream *stream; /* compared, never followed; NULL: the host */
  qds_place slot;
  int writes;
};

/* Memory of a buffer in one place. */
typedef struct {
  int held;             /* memory is taken */
  int valid;            /* and has the contents */
  int leaving;          /* it goes back as soon as its fences are done */
  qds_memory_kind kind; /* of unified memory */
  uint64_t used;        /* when it was last wanted; 0: not since it became stale */
  uint64_t batch;       /* of copies in the background that it belongs to; 0: it is known to be whole */
  void *block;
  qds_spill_file file;
  qds_fence *fences;
} qds_copy;

typedef struct {
  qds_stream stream;
  pthread_mutex_t lock;
} qds_lane;

typedef struct qds_tag_entry qds_tag_entry;
struct qds_tag_entry {
  qds_tag_entry *next;
  qds_memory_tag_row row;
  char tag[];
};

struct qds_buffer {
  qds_buffer_manager *manager;
  qds_buffer *newer, *older; /* ring */
  size_t bytes;
  qds_mem_strategy strategy;
  qds_tag_entry *tag;
  const char *file; /* behind the record */
  int line;
  _Atomic uint64_t references; /* 32 bits per owner */
  int claimed;
  int dead; /* destroyed; waits for its memory to leave */
  qds_fence *brackets;
  int readers, writers;
  int affinity;     /* uses on the device less uses on the host, at most QDS_AFFINITY_MOST */
  qds_place home;   /* HOST or DEVICE; QDS_PLACES before the first use */
  int spilled;      /* its contents went down the chain and have not come back */
  uint64_t refused; /* the search for room that could not move it */
  qds_copy copies[QDS_PLACES];
};

static inline uint32_t qds_references_of(uint64_t packed, qds_owner owner) {
  return (uint32_t)(packed >> (32 * (int)owner));
}

enum { QDS_AFFINITY_MOST = 4, QDS_AFFINITY_MOVES = 2 };

struct qds_buffer_manager {
  qds_allocator *allocator;
  qds_accelerator *accelerator;
  int threads; /* for copies by the host */
  char device_reason[1024];
  pthread_mutex_t lock;
  pthread_cond_t changed; /* a claim was given up, or an operation ended */
  qds_buffer ring;
  qds_fence *spare;
  size_t leaving; /* copies that wait for their fences */
  qds_tag_entry *tags;
  qds_memory_statistics statistics;
  size_t pinned_limit, file_limit;
  size_t granted[QDS_PLACES]; /* held, or being taken */
  char *folder;
  int spill;
  uint64_t search;
  _Atomic uint64_t clock;   /* of uses */
  int operations, alone;    /* under way; one of them wants to be the only one */
  uint64_t finished;        /* operations, ever */
  int disposing;            /* threads that give up the last reference of a buffer */
  void (*last)(void *user); /* when the manager is retired */
  void *last_user;
  qds_lane copying;     /* copies that a thread waits for, so that a failure is its own */
  qds_lane background;  /* copies that nobody waits for */
  qds_lane returning;   /* memory on its way back, which waits for the work of others */
  uint64_t batch;       /* of the background copies made now */
  uint64_t failures;    /* bit i: batch - 1 - i failed */
  qds_heap *records;    /* of the pinned pool; it keeps them, so they lie below the account */
  qds_best_fit *pinned; /* NULL without a device */
};

/* --- buffer_claim.c ------------------------------------------------------------------------------------- */
void qds_buffer_claim(qds_buffer *b);
void qds_buffer_unclaim(qds_buffer *b);
void qds_buffer_unclaim_locked(qds_buffer *b); /* with the lock held */
/* What may need room: runs with its buffers (or NULL) claimed and counts as a use of them. It must leave all
 * as it was when it fails with MEMORY or BUDGET, because it may then be run again. */
typedef struct {
  qds_buffer *buffers[2];
  qds_status (*run)(void *data);
  void *data;
  int alone; /* from the beginning */
} qds_buffer_work;
qds_status qds_buffer_work_run(qds_buffer_manager *m, const qds_buffer_work *work);

/* --- buffer.c ------------------------------------------------------------------------------------------- */
/* "psi" (dot.c:12), for messages. */
typedef struct {
  char text[320];
} qds_buffer_title;
qds_buffer_title qds_buffer_name(const qds_buffer *b);
/* Takes a buffer out of the ring and of memory. Call with the lock held. */
void qds_buffer_unlink(qds_buffer *b);

/* --- buffer_lane.c -------------------------------------------------------------------------------------- */
qds_status qds_lanes_open(qds_buffer_manager *m);
void qds_lanes_close(qds_buffer_manager *m);
/* The stream to enqueue on, for this thread alone when it is a lane; NULL: the copying lane. */
qds_stream *qds_lane_enter(qds_buffer_manager *m, qds_stream *stream);
void qds_lane_leave(qds_buffer_manager *m, qds_stream *stream);
/* Waits for an entered lane, or for a stream of the caller's. */
qds_status qds_lane_synchronise(qds_buffer_manager *m, qds_stream *stream);
/* Waits for a copy made in the background, if the copy is one, and finds out whether it is whole. Until then
 * it serves as no source, and what it was made from stays valid. */
int qds_copy_is_whole(qds_buffer_manager *m, qds_copy *copy);

/* --- buffer_fence.c ------------------------------------------------------------------------------------- */
qds_status qds_fence_take(qds_buffer_manager *m, qds_fence **out);
void qds_fence_give(qds_buffer_manager *m, qds_fence *fence);
void qds_fences_clear(qds_buffer_manager *m, qds_copy *copy);
/* Lets `stream` (NULL: the calling thread) wait for the work that an access must follow. */
qds_status qds_fences_wait(const qds_copy *copy, int writes, qds_stream *stream);
/* Puts a recorded fence on a copy in place of those that it covers. */
void qds_fence_put(qds_buffer_manager *m, qds_copy *copy, qds_fence *fence, int writes);
int qds_fences_done(const qds_copy *copy);

/* --- buffer_place.c: memory by place -------------------------------------------------------------------- */
/* Takes memory without moving anything. Device memory comes in the order of `stream` (NULL: of the copying
 * lane). */
qds_status qds_copy_take(qds_buffer *b, qds_place slot, qds_stream *stream);
/* Gives memory back, at once or when its fences are done. */
void qds_copy_give(qds_buffer *b, qds_place slot);
/* Gives back what waited and is done; wait: all of it that is not claimed. Returns how many copies. */
size_t qds_copies_reap(qds_buffer_manager *m, int wait);

/* --- buffer_transfer.c ---------------------------------------------------------------------------------- */
typedef struct {
  qds_copy *to, *from;
  qds_place to_slot, from_slot;
  size_t to_offset, from_offset, bytes;
} qds_transfer;
/* stream NULL: done at return. */
qds_status qds_transfer_run(qds_buffer_manager *m, const qds_transfer *t, qds_stream *stream);
/* Several between memory, done at return: enqueued one after the other and waited for once. After a failure
 * none of the targets is believed. */
qds_status qds_transfers_run(qds_buffer_manager *m, const qds_transfer *transfers, int count);

/* --- buffer_coherence.c --------------------------------------------------------------------------------- */
/* Where an access at `place` finds its memory. */
qds_place qds_buffer_slot(const qds_buffer *b, qds_place place);
/* The valid copy that is read fastest, other than the one at `except`; QDS_PLACES: none. */
qds_place qds_buffer_source(const qds_buffer *b, qds_place except);
/* Gives the buffer a copy at `slot`, with its contents unless the access discards them, ordered before
 * `stream`. make_room: other buffers may be moved for it. */
qds_status qds_buffer_bring(qds_buffer *b, qds_place slot, qds_access access, qds_stream *stream,
                            int make_room);
/* As bring, for an access from outside: page-locked memory is wanted, not needed, so *slot may become HOST.
 */
qds_status qds_buffer_fetch(qds_buffer *b, qds_place *slot, qds_access access, qds_stream *stream);
/* Makes a copy the one used last at its place. */
void qds_copy_touch(qds_buffer *b, qds_place slot);
/* After a success of bring or fetch: what is valid from now on. */
void qds_buffer_settle(qds_buffer *b, qds_place slot, qds_access access);

/* --- buffer_access.c ------------------------------------------------------------------------------------ */
/* Whether the brackets and the history of a claimed buffer allow an access. */
qds_status qds_buffer_check_use(const qds_buffer *b, qds_access access);
qds_status qds_buffer_check_stream(const qds_buffer *b, const qds_stream *stream);
/* The stream whose work has to be put in order; NULL for one of the host, where work is done when it is
 * called. */
qds_stream *qds_buffer_queue(qds_stream *stream);

/* --- buffer_spill.c ------------------------------------------------------------------------------------- */
/* Whether room was made at `slot` for a request that failed with `status`, so that it is worth another try.
 * When not, the last error says why nothing could be moved. */
int qds_buffer_make_room(qds_buffer_manager *m, qds_place slot, size_t bytes, qds_status status);
/* Gives the memory of a claimed buffer at `slot` back and moves what lies only there down the chain. */
qds_status qds_buffer_vacate(qds_buffer *b, qds_place slot);
/* A block of the host for records, for which buffers may be moved. */
qds_status qds_buffer_record(qds_buffer_manager *m, size_t bytes, void **out);

#endif

/* The account of a heap: bytes and blocks by tag, counted without a lock.
 *
 * Structure. Each thread has a share: per tag the bytes by which it has changed the account and not told yet,
 * and how many blocks it ever took and gave back. Only the thread writes to its share, with plain stores;
 * whoever reads the account adds the shares up. That is exact when no thread is at work.
 *
 * Peaks need a common time. A thread tells its change as soon as it reaches QDS_ACCOUNT_QUANTUM bytes in
 * either direction, with the highest value that it went through, and the common row keeps the highest sum.
 * With one thread at work peaks are therefore exact; with several they may be wrong by one quantum per
 * thread. */
#ifndef QDS_MEM_ACCOUNT_H
#define QDS_MEM_ACCOUNT_H

#include <pthread.h>
#include <stdalign.h>
#include <stdatomic.h>

#include "base/allocator.h"
#include "qdsim/context.h"

enum { QDS_ACCOUNT_TAGS = 256, QDS_ACCOUNT_QUANTUM = 1 << 16, QDS_ACCOUNT_MEMO = 64 };

typedef struct {
  atomic_size_t bytes, high;     /* not told yet: modulo 2^64, and the highest it was */
  atomic_size_t taken, returned; /* blocks, ever */
} qds_account_count;

/* A thread's share; all zero at first. */
typedef struct {
  qds_account_count total; /* its blocks are not counted: they are the sum of the tags' */
  qds_account_count tags[QDS_ACCOUNT_TAGS];
  struct {
    const char *tag;
    uint32_t index;
  } memo[QDS_ACCOUNT_MEMO]; /* of addresses of tags, for the owner only */
} qds_account_share;

typedef struct {
  const char *tag;
  atomic_size_t bytes, peak;
  atomic_size_t returned; /* by threads without a share */
} qds_account_row;

typedef struct {
  pthread_mutex_t lock; /* for new tags */
  atomic_size_t tags;
  qds_account_row total;
  qds_account_row rows[QDS_ACCOUNT_TAGS];
} qds_account;

/* Where the shares are: the one with this number from 0, NULL past the last. */
typedef void *(*qds_account_share_fn)(void *shares, size_t number);

void qds_account_open(qds_account *account);
void qds_account_close(qds_account *account);

/* The row of a tag, which is then known. The last row is shared by all tags that found no other. */
uint32_t qds_account_find(qds_account *account, qds_account_share *share, const char *tag);
/* Notes new heights and tells large changes of a tag and the total; to be called when a function below says
 * so. */
void qds_account_settle(qds_account *account, qds_account_share *share, uint32_t tag);
/* A block is given back by a thread that has no share. */
void qds_account_return(qds_account *account, uint32_t tag, size_t bytes);

void qds_account_total(qds_account *account, qds_account_share_fn share_of, void *shares,
                       qds_memory_row *out);
int qds_account_tag(qds_account *account, qds_account_share_fn share_of, void *shares, size_t index,
                    qds_memory_row *out);

/* --- the fast path ------------------------------------------------------------------------------------- */

static inline size_t qds_account_get(const atomic_size_t *number) {
  return atomic_load_explicit(number, memory_order_relaxed);
}
static inline void qds_account_set(atomic_size_t *number, size_t value) {
  atomic_store_explicit(number, value, memory_order_relaxed);
}

static inline size_t qds_account_memo_of(const char *tag) {
  return ((uintptr_t)tag ^ (uintptr_t)tag >> 6) % QDS_ACCOUNT_MEMO;
}

/* Whether the row of a tag is known to the share. */
static inline int qds_account_knows(const qds_account_share *share, const char *tag, uint32_t *out) {
  const size_t at = qds_account_memo_of(tag);
  *out = share->memo[at].index;
  return share->memo[at].tag == tag;
}

static inline int qds_account_up(qds_account_count *count, size_t bytes) {
  const size_t now = qds_account_get(&count->bytes) + bytes;
  qds_account_set(&count->bytes, now);
  return (ptrdiff_t)now > (ptrdiff_t)qds_account_get(&count->high);
}

static inline int qds_account_down(qds_account_count *count, size_t bytes) {
  const size_t now = qds_account_get(&count->bytes) - bytes;
  qds_account_set(&count->bytes, now);
  return (ptrdiff_t)now <= -(ptrdiff_t)QDS_ACCOUNT_QUANTUM;
}

/* Count a block; a return other than 0 asks for qds_account_settle. */
static inline int qds_account_take(qds_account_share *share, uint32_t tag, size_t bytes) {
  qds_account_count *count = &share->tags[tag];
  qds_account_set(&count->taken, qds_account_get(&count->taken) + 1);
  return qds_account_up(count, bytes) | qds_account_up(&share->total, bytes);
}
static inline int qds_account_give(qds_account_share *share, uint32_t tag, size_t bytes) {
  qds_account_count *count = &share->tags[tag];
  qds_account_set(&count->returned, qds_account_get(&count->returned) + 1);
  return qds_account_down(count, bytes) | qds_account_down(&share->total, bytes);
}

#endif

/* The account of a heap: bytes and blocks by tag, counted without a lock.
 *
 * Structure. Each thread has a share: per tag the bytes by which it has changed the account and not told yet,
 * and how many blocks it ever took and gave back. Only the thread writes to its share, with plain stores;
 * whoever reads the account adds the shares up. That is exact when no thread is at work.
 *
 * Peaks need a common time. A thread tells its change, with the highest value that it went through, as soon
 * as it has risen by QDS_ACCOUNT_QUANTUM bytes or fallen as far below its highest value, and the common row
 * keeps the highest sum. With one thread at work peaks are therefore exact. With several the total's may be
 * wrong by one quantum per thread. That a tag falls is only looked at when the total has fallen, so that a
 * tag's peak may be wrong by one quantum for each thread and tag. */
#ifndef QDS_MEM_ACCOUNT_H
#define QDS_MEM_ACCOUNT_H

#include <pthread.h>
#include <stdalign.h>
#include <stdatomic.h>

#include "base/allocator.h"
#include "qdsim/context.h"

enum { QDS_ACCOUNT_TAGS = 256, QDS_ACCOUNT_QUANTUM = 1 << 16 };

/* What a thread has changed and not told yet: `bytes` modulo 2^64, of which `high` is the highest that they
 * were. They are kept as what is left to it, high - bytes, which needs one subtraction and no comparison. */
typedef struct {
  atomic_size_t left, high;
  atomic_size_t taken, returned; /* blocks, ever */
} qds_account_count;

/* A tag's number times the size of its count: where the count is. Fits in 16 bits. */
typedef uint32_t qds_account_key;

/* A thread's share; all zero at first. */
typedef struct {
  qds_account_count total; /* its blocks are not counted: they are the sum of the tags' */
  qds_account_count tags[QDS_ACCOUNT_TAGS];
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

/* The row of a tag. The last row is shared by all tags that found no other. */
qds_account_key qds_account_find(qds_account *account, const char *tag);
const char *qds_account_name(const qds_account *account, qds_account_key key);
/* Notes new heights and tells large changes of a tag and the total; to be called when a function below says
 * so. */
void qds_account_settle(qds_account *account, qds_account_share *share, qds_account_key key);
/* A block is given back by a thread that has no share. */
void qds_account_return(qds_account *account, qds_account_key key, size_t bytes);

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

/* Change a number that only this thread writes. */
static inline void qds_account_raise(atomic_size_t *number, size_t by) {
  qds_account_set(number, qds_account_get(number) + by);
}
static inline int qds_account_falls_below_zero(atomic_size_t *number, size_t by) {
  const size_t now = qds_account_get(number) - by;
  qds_account_set(number, now);
  return (ptrdiff_t)now < 0;
}

static inline qds_account_count *qds_account_of(qds_account_share *share, qds_account_key key) {
  return (qds_account_count *)((char *)share->tags + key);
}

/* Count a block; a return other than 0 asks for qds_account_settle. */
static inline int qds_account_take(qds_account_share *share, qds_account_key key, size_t bytes) {
  qds_account_count *count = qds_account_of(share, key);
  qds_account_raise(&count->taken, 1);
  if (__builtin_expect(qds_account_falls_below_zero(&count->left, bytes), 0)) {
    (void)qds_account_falls_below_zero(&share->total.left, bytes);
    return 1;
  }
  return qds_account_falls_below_zero(&share->total.left, bytes);
}
static inline int qds_account_give(qds_account_share *share, qds_account_key key, size_t bytes) {
  qds_account_count *count = qds_account_of(share, key);
  qds_account_raise(&count->returned, 1);
  qds_account_raise(&count->left, bytes);
  const size_t left = qds_account_get(&share->total.left) + bytes;
  qds_account_set(&share->total.left, left);
  return (ptrdiff_t)left >= QDS_ACCOUNT_QUANTUM;
}

#endif

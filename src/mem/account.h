/* The account of a heap: bytes and blocks by tag, counted without a lock.
 *
 * Structure. Each thread has a share: per tag the bytes by which it has changed the account and not told yet,
 * and how many blocks it ever took and gave back. Only the thread writes to its share, with plain stores;
 * whoever reads the account adds the shares up. That is exact when no thread is at work.
 *
 * What counting a block costs is the time from each store to the load that needs it next. So all that a share
 * counts of a tag is in one word, whose fields have a guard each: a bit that is set when the field leaves its
 * range. The word is put in order then, before it changes again.
 *
 * Peaks need a common time. A thread tells its change, with the highest value that it went through, as soon
 * as it has risen by QDS_ACCOUNT_QUANTUM bytes or fallen as far below its highest value, and the common row
 * keeps the highest sum. With one thread at work peaks are therefore exact. With several each may be wrong by
 * one quantum per thread. */
#ifndef QDS_MEM_ACCOUNT_H
#define QDS_MEM_ACCOUNT_H

#include <pthread.h>
#include <stdalign.h>
#include <stdatomic.h>

#include "base/allocator.h"
#include "qdsim/context.h"

enum { QDS_ACCOUNT_TAGS = 256, QDS_ACCOUNT_QUANTUM = 1 << 16 };

/* What a thread has changed and not told yet: `bytes` modulo 2^64, of which `high` is the highest that they
 * were. They are kept as what is left to it, high - bytes, which needs one subtraction and no comparison.
 *
 * The word holds the bytes left in bits 0 to 31, blocks returned in the 16 bits above and blocks taken in the
 * 16 above these. Of a field of blocks the lowest 14 bits count. Bit 14 is the guard: when it is set,
 * QDS_ACCOUNT_FOLD blocks move to the wide counter. Bit 15 changes with that, so that who finds one moved and
 * the other not yet can tell. Of the bytes left bits 16 to 31 are the guards: in a word in order less than a
 * quantum is left, so one of them is set from a quantum on, and all are below zero, which borrows from the
 * fields above. */
typedef struct {
  atomic_size_t word, high;
  atomic_size_t taken, returned; /* blocks, multiples of QDS_ACCOUNT_FOLD */
} qds_account_count;

enum { QDS_ACCOUNT_FOLD = 1 << 14, QDS_ACCOUNT_RETURNED_AT = 32, QDS_ACCOUNT_TAKEN_AT = 48 };
#define QDS_ACCOUNT_RETURNED ((size_t)1 << QDS_ACCOUNT_RETURNED_AT) /* one block */
#define QDS_ACCOUNT_TAKEN ((size_t)1 << QDS_ACCOUNT_TAKEN_AT)
#define QDS_ACCOUNT_BLOCK_GUARDS (QDS_ACCOUNT_FOLD * (QDS_ACCOUNT_TAKEN + QDS_ACCOUNT_RETURNED))
#define QDS_ACCOUNT_GUARDS (QDS_ACCOUNT_BLOCK_GUARDS | (UINT32_MAX - (QDS_ACCOUNT_QUANTUM - 1)))

/* A tag's number times the size of its count: where the count is. Fits in 16 bits. */
typedef uint32_t qds_account_key;

/* A thread's share; all zero at first. */
typedef struct {
  qds_account_count total; /* bytes only: its blocks are the sum of the tags' */
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
/* Puts the words of a tag and of the total in order and tells large changes; to be called when a function
 * below says so. */
void qds_account_settle(qds_account *account, qds_account_share *share, qds_account_key key);
/* Count a block of any size, and settle. */
void qds_account_take_any(qds_account *account, qds_account_share *share, qds_account_key key, size_t bytes);
void qds_account_give_any(qds_account *account, qds_account_share *share, qds_account_key key, size_t bytes);
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

static inline qds_account_count *qds_account_of(qds_account_share *share, qds_account_key key) {
  return (qds_account_count *)((char *)share->tags + key);
}

/* Counts what is added to a tag's word, and to the bytes that are left to the total. */
static inline int qds_account_add(qds_account_share *share, qds_account_key key, size_t to_word,
                                  size_t to_left) {
  qds_account_count *count = qds_account_of(share, key);
  const size_t word = qds_account_get(&count->word) + to_word,
               left = qds_account_get(&share->total.word) + to_left;
  qds_account_set(&count->word, word);
  qds_account_set(&share->total.word, left);
  return (word & QDS_ACCOUNT_GUARDS) != 0 || left >= QDS_ACCOUNT_QUANTUM; /* or below zero */
}

/* Count a block of less than QDS_ACCOUNT_QUANTUM bytes; a return other than 0 asks for qds_account_settle. */
static inline int qds_account_take(qds_account_share *share, qds_account_key key, size_t bytes) {
  return qds_account_add(share, key, QDS_ACCOUNT_TAKEN - bytes, -bytes);
}
static inline int qds_account_give(qds_account_share *share, qds_account_key key, size_t bytes) {
  return qds_account_add(share, key, QDS_ACCOUNT_RETURNED + bytes, bytes);
}

#endif

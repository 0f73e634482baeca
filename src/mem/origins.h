/* Where blocks come from: the tags and source lines that take memory, numbered, so that a number of
 * QDS_ORIGIN_BITS stands for both in what is kept of a small block.
 *
 * A thread finds the number in a memo of its own; only what the memo does not know takes the lock. Numbers
 * are never given up: a program has as many lines as were compiled. Lines beyond QDS_ORIGINS are not told
 * apart, but for their tags. */
#ifndef QDS_MEM_ORIGINS_H
#define QDS_MEM_ORIGINS_H

#include <pthread.h>

#include "mem/account.h"

enum { QDS_ORIGIN_BITS = 14, QDS_ORIGINS = 1 << QDS_ORIGIN_BITS, QDS_ORIGIN_MEMOS = 512 };

typedef struct {
  const char *file; /* a string literal; NULL: any line */
  int line;
  qds_account_key tag;
} qds_origin;

typedef struct {
  pthread_mutex_t lock; /* of what follows; origins with a number stay as they are */
  size_t count;
  qds_origin *origins;             /* [QDS_ORIGINS], by number; 0 is nobody's */
  uint16_t table[2 * QDS_ORIGINS]; /* numbers, open addressing with linear probing; 0: free */
} qds_origins;

/* What a thread knows of blocks with a tag from a line. */
typedef struct {
  const char *tag, *file;
  int line;
  uint32_t number_above_slack; /* the caller shifts it */
  qds_account_key key;
} qds_origin_memo;

/* `allocator` outlives the origins, which are all zero before. Errors: MEMORY. */
qds_status qds_origins_open(qds_origins *origins, qds_allocator *allocator);
void qds_origins_close(qds_origins *origins);
/* The number of blocks with this tag from this line (`file` NULL: any), never 0. Thread-safe. */
uint32_t qds_origins_find(qds_origins *origins, qds_account_key tag, const char *file, int line);

/* The memo where a tag and a line are, if they are known. */
static inline qds_origin_memo *qds_origin_memo_of(qds_origin_memo memos[QDS_ORIGIN_MEMOS], const char *tag,
                                                  int line) {
  return &memos[((uintptr_t)tag + (size_t)line * 8) % QDS_ORIGIN_MEMOS];
}

#endif

/* A bounded queue through which threads hand work on: any number of producers and consumers.
 *
 * Items are pointers, never NULL; the queue does not look at what they point to. What a producer wrote before
 * the push is seen by the consumer after the pop. The items of one producer come out in their order. Nothing
 * locks, allocates or calls the kernel unless a thread has to wait. */
#ifndef QDS_MEM_QUEUE_H
#define QDS_MEM_QUEUE_H

#include "base/allocator.h"

typedef struct qds_queue qds_queue;

typedef enum {
  QDS_QUEUE_DONE,
  QDS_QUEUE_NOT_YET, /* full or empty, still so when the time was over */
  QDS_QUEUE_CLOSED   /* push: takes no more; pop: and every item has been taken */
} qds_queue_result;

/* Takes back an item that nobody popped. */
typedef void (*qds_queue_release_fn)(void *user, void *item);

enum { QDS_QUEUE_CAPACITY = 1 << 24 }; /* at most */

/* capacity: how many items it holds, exactly; 1 to QDS_QUEUE_CAPACITY. */
qds_status qds_queue_create(qds_allocator *allocator, size_t capacity, qds_queue **out);
/* Hands every item left to `release` (NULL: items need none), in order, and frees the queue. No other thread
 * uses it any more. NULL is allowed. */
void qds_queue_drain_and_destroy(qds_queue *queue, qds_queue_release_fn release, void *user);
void qds_queue_destroy(qds_queue *queue); /* the same for items that need no release */
QDS_AUTO_DEFINE(qds_queue)

qds_queue_result qds_queue_try_push(qds_queue *queue, void *item);
/* *item is NULL unless DONE. */
qds_queue_result qds_queue_try_pop(qds_queue *queue, void **item);
/* Waits at most `timeout_s` seconds; negative: as long as it takes. */
qds_queue_result qds_queue_push(qds_queue *queue, void *item, double timeout_s);
qds_queue_result qds_queue_pop(qds_queue *queue, double timeout_s, void **item);

/* No push that begins later is accepted; what is in the queue can still be popped. Wakes every waiting
 * thread. Any thread, any number of times. */
void qds_queue_close(qds_queue *queue);

/* How many items are in it or on their way into it; at once out of date when others use the queue. */
size_t qds_queue_count(const qds_queue *queue);
size_t qds_queue_capacity(const qds_queue *queue);

#endif

/* Leases: scarce things of one kind (streams, library handles, pinned staging buffers) that are made on
 * demand up to a limit, lent to one user at a time and used again.
 *
 *   QDS_AUTO(qds_lease) *lease = NULL;                // given back at the end of the scope
 *   QDS_TRY(QDS_LEASE_TAKE(pool, 0.5, &lease));       // waits half a second at most
 *   qds_stream *stream = qds_lease_thing(lease);
 *
 * Every function may be called from any thread. The factory's functions run in the thread that takes or gives
 * back, several at a time, with no lock held; they may take leases of other pools. */
#ifndef QDS_MEM_LEASE_H
#define QDS_MEM_LEASE_H

#include "base/allocator.h"

typedef struct qds_lease_pool qds_lease_pool;
typedef struct qds_lease qds_lease;

typedef struct {
  const char *name; /* of the things, for messages: "pinned staging buffers"; kept by address */
  size_t limit;     /* so many exist at once at most; 1 to QDS_LEASE_LIMIT */
  qds_status (*create)(void *user, void **thing); /* a thing that is not NULL, or an error */
  void (*destroy)(void *user, void *thing);
  /* NULL: none needed. Makes a thing that comes back as good as new; one that it fails for is destroyed, and
   * another is made when it is needed. */
  qds_status (*reset)(void *user, void *thing);
  /* NULL: none. Told of each lease that is still out when the pool is destroyed, and where it was taken. Must
   * not use the pool. */
  void (*report)(void *user, const char *name, const char *file, int line);
  void *user;
} qds_lease_factory;

enum { QDS_LEASE_LIMIT = 1 << 16 };

qds_status qds_lease_pool_create(qds_allocator *allocator, const qds_lease_factory *factory,
                                 qds_lease_pool **out);
/* Destroys every thing that is not out and reports the others; each of these is destroyed when it is given
 * back, and the pool's own memory with the last of them. Nobody takes from the pool any more. NULL is
 * allowed. */
void qds_lease_pool_destroy(qds_lease_pool *pool);
QDS_AUTO_DEFINE(qds_lease_pool)

/* Lends a thing: one that came back before, the last first, or a new one, or waits for one at most
 * `timeout_s` seconds (negative: as long as it takes). Errors: BUDGET (all are out; the message names pool,
 * limit, time waited and the place that has held one for longest), those of the factory. A failure leaves the
 * pool as it was. */
qds_status qds_lease_take(qds_lease_pool *pool, double timeout_s, const char *file, int line,
                          qds_lease **out);
#define QDS_LEASE_TAKE(pool, timeout_s, out) qds_lease_take((pool), (timeout_s), __FILE__, __LINE__, (out))
void *qds_lease_thing(const qds_lease *lease);
/* Gives it back. NULL is allowed. */
void qds_lease_destroy(qds_lease *lease);
QDS_AUTO_DEFINE(qds_lease)

typedef struct {
  size_t limit, existing, out, peak_out;
  uint64_t takes, creations, waits, time_outs; /* takes: those that succeeded */
  uint64_t failed_creations, failed_resets;
  double waited_s; /* of all threads together */
} qds_lease_statistics;
void qds_lease_statistics_read(qds_lease_pool *pool, qds_lease_statistics *out);

#endif

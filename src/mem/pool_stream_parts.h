/* What the parts of the stream-ordered pool share.
 *
 * Structure. Memory that the device gives at once is a segment, tiled by ranges (range_map.h), used or free.
 * The owner of a free range says who may have it:
 *   - a lane, which stands for a stream: work enqueued on that stream before the release may still use it.
 * Work that is enqueued on the same stream later comes after it, so the stream itself may have it at once.
 *   - COMMON: nothing uses it.
 *   - PENDING: a trim is waiting for the work that uses it; nobody may have it.
 *   - VOID: there is no memory behind these addresses (pool_stream_pieces.c).
 * A small block that is given back stays a used range, parked in its lane by size; parked blocks become free
 * ranges before the pool grows.
 *
 * Order between streams. Each lane has one event; a lane is dirty when something was given back since it was
 * recorded. Another stream that needs a range of the lane first waits for the event, which is recorded then
 * if the lane is dirty: that is later than the release, and so never too early. To record it at the release
 * lets others wait for less, but costs a call of the driver that streams which keep to their own memory need
 * not pay; so that is done only as long as others take from the lane.
 *
 * Concurrency. `lock` guards everything. It is not held while the device is asked for memory or waited for.
 */
#ifndef QDS_MEM_POOL_STREAM_PARTS_H
#define QDS_MEM_POOL_STREAM_PARTS_H

#include <pthread.h>

#include "mem/pool_stream.h"
#include "mem/provider.h"
#include "mem/range_map.h"
#include "mem/tag_table.h"

enum {
  POOL_UNIT = 256,      /* sizes and addresses are multiples of it */
  POOL_SMALL = 1 << 20, /* blocks up to this size are parked */
  POOL_BINS = 144,      /* one per size of small blocks: 16 steps from one power of two to the next */
  POOL_COMMON = 0,      /* owners of free ranges */
  POOL_PENDING = 1,
  POOL_FIRST_LANE = 2,
  POOL_VOID = INT32_MAX, /* addresses without memory */
};

typedef struct pool_block pool_block;
struct pool_block {
  pool_block *next; /* spare, or parked in the same bin */
  qds_range *range;
  const char *tag, *file; /* NULL: parked */
  int line, row;
  size_t bytes; /* asked for */
};

typedef struct pool_lane pool_lane;
struct pool_lane {
  pool_lane *next;
  void *native; /* the stream */
  void *event;
  uint32_t owner;
  int alive; /* the stream has not been forgotten */
  int dirty; /* something was given back since the event was recorded */
  int eager; /* so many releases of large blocks record the event at once */
  pool_block *bins[POOL_BINS];
};

typedef struct pool_slab pool_slab;

/* Addresses behind which pieces of memory are put; without bytes where the device gives whole segments only.
 */
typedef struct {
  uintptr_t begin;
  size_t bytes, unit; /* in all; what pieces are multiples of */
  void **table;       /* the piece behind each unit of the addresses, or NULL */
  uint8_t *units;     /* of the piece that begins there, else 0 */
  size_t pieces;      /* behind addresses */
  size_t void_bytes;  /* in free ranges of VOID */
  size_t moves;       /* under way */
  size_t moved;       /* pieces put elsewhere, ever */
  char refused[256];  /* why the device's memory comes in segments */
} pool_space;

struct qds_stream_pool {
  qds_accelerator *accelerator;
  qds_provider provider;
  /* Of the records. They stay with the pool as its memory does, so they lie below the account of its users,
   * whose blocks come and go. */
  qds_heap *records;
  size_t limit;
  double slack;             /* pool_stream.h */
  pthread_mutex_t trimming; /* one thread trims at a time; taken before `lock` */
  pthread_mutex_t lock;
  qds_range_map map;
  pool_lane *lanes;
  uint32_t lane_count, alive_lanes;
  pool_block *spare_blocks;
  pool_slab *slabs;
  pool_space space;
  size_t growing; /* bytes that the device is being asked for */
  size_t outside; /* bytes that others hold of the device, under the limit */
  qds_stream_pool_statistics statistics;
  qds_tag_table tags;
};

/* What a caller wants. */
typedef struct {
  size_t bytes, size; /* asked for; rounded up */
  const char *tag, *file;
  int line;
} pool_request;

/* --- pool_stream_lane.c --------------------------------------------------------------------------------- */

/* Takes the lock with the lane of the stream, and with spare records for one block; fails without the lock.
 */
qds_status qds_pool_enter(qds_stream_pool *pool, void *native, pool_lane **lane);
qds_status qds_pool_enter_with_records(qds_stream_pool *pool, void *native, pool_lane **lane);
void qds_pool_destroy_lanes(qds_stream_pool *pool);
/* The functions below are called with the lock held. */
/* The lane of a stream, or NULL. */
pool_lane *qds_pool_lane(qds_stream_pool *pool, const void *native);
pool_block *qds_pool_take_record(qds_stream_pool *pool);
void qds_pool_put_record(qds_stream_pool *pool, pool_block *block);
size_t qds_pool_bin(size_t size, size_t *rounded);
void qds_pool_park(qds_stream_pool *pool, pool_lane *lane, pool_block *block);
pool_block *qds_pool_unpark(qds_stream_pool *pool, pool_lane *lane, size_t size);
/* Makes what is parked in the lane free ranges of it. */
void qds_pool_flush(qds_stream_pool *pool, pool_lane *lane);
/* Records the lane's event if it is dirty. */
qds_status qds_pool_record(qds_stream_pool *pool, pool_lane *lane);
/* Gives all free ranges of one owner to another. */
void qds_pool_assign_all(qds_stream_pool *pool, uint32_t from, uint32_t to);
/* A free range of at least `size` bytes that the stream of `own` may use from now on, or NULL. Streams that
 * wait for each other do not work side by side, so where the pool may take `room` new bytes it rather does.
 */
qds_range *qds_pool_find(qds_stream_pool *pool, pool_lane *own, size_t size, size_t room);
/* Gives the lane everything that is free, and lets its stream wait for those that gave it back. */
void qds_pool_gather(qds_stream_pool *pool, pool_lane *own);
/* Makes records until there are `count` spare ranges; the lock may be given up meanwhile. */
qds_status qds_pool_stock(qds_stream_pool *pool, size_t count);

/* --- pool_stream_grow.c --------------------------------------------------------------------------------- */

/* A used range for the request out of memory that is new to the pool or given back to it. Called with the
 * lock, which is given up meanwhile and held again on return. */
qds_status qds_pool_grow(qds_stream_pool *pool, pool_lane *own, const pool_request *request, qds_range **out);
/* How many bytes the pool may hold besides what it holds: under its limit, and, unless `beyond`, without
 * holding much more than was ever used at once. */
size_t qds_pool_room(const qds_stream_pool *pool, const pool_request *request, int beyond);
/* What the pool takes of the device at once when it may. */
size_t qds_pool_step(const qds_stream_pool *pool);
/* The limit leaves no room for the request. */
qds_status qds_pool_refuse(const qds_stream_pool *pool, const pool_request *request);
/* Puts the pool's sums before the device's own words. Called without the lock. */
qds_status qds_pool_explain(qds_stream_pool *pool, const pool_request *request, qds_status status);
/* As qds_stream_pool_trim, until `wanted` bytes went. Called without the lock. */
qds_status qds_pool_trim(qds_stream_pool *pool, size_t wanted, size_t *went);

/* --- pool_stream_pieces.c ------------------------------------------------------------------------------- */

/* Reserves addresses where the device has memory in pieces. */
qds_status qds_pieces_open(qds_stream_pool *pool);
/* Gives everything back to the device. Not thread-safe. */
void qds_pieces_close(qds_stream_pool *pool);
/* As qds_pool_grow. */
qds_status qds_pieces_grow(qds_stream_pool *pool, pool_lane *own, const pool_request *request,
                           qds_range **out);
/* Gives pieces that nothing uses back to the device until `wanted` bytes went, and returns how many. Called
 * with the lock, which is given up meanwhile. */
size_t qds_pieces_release(qds_stream_pool *pool, size_t wanted);
/* What is wrong with the records, or NULL. Called with the lock. */
const char *qds_pieces_fault(const qds_stream_pool *pool);

#endif

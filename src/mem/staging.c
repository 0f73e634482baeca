#include "mem/staging.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "mem/lease.h"
#include "mem/trace.h"

enum { PIECES = 2 /* of a copy */, LEASES = 4, ROOM = 8 /* times what is taken must be there */ };
#define PIECE_BYTES ((size_t)8 << 20)
#define BOUNCE_BYTES ((size_t)64 << 10)              /* on the stack, when no memory can be page-locked */
static const size_t least_bytes = (size_t)1 << 20;   /* below it there is little to overlap */
static const size_t share_bytes = (size_t)512 << 10; /* what one thread copies at a time */
static const double patience_s = 1;
static const char tag[] = "staging memory";

struct qds_staging {
  qds_accelerator *accelerator;
  qds_lease_pool *pool;
  _Atomic size_t staged_bytes, direct_bytes;
};

/* What is lent. An event is done when the device is through with the piece; a copy to the device ends before
 * its last pieces are, so the next one waits for them. */
typedef struct {
  char *pieces[PIECES];
  qds_event events[PIECES];
} pair;

/* --- the pool ------------------------------------------------------------------------------------------- */

/* They stay until the end, so where the host's limit leaves little room, copies do without. */
static qds_status take_pieces(qds_accelerator *a, void **out) {
  *out = NULL;
  if (a->heap && !qds_heap_has_room(a->heap, ROOM * PIECES * PIECE_BYTES))
    QDS_FAIL(QDS_ERROR_BUDGET, "the memory limit leaves no room for page-locked staging memory");
  QDS_TRY(qds_accelerator_hold(a, QDS_MEMORY_PINNED, PIECES * PIECE_BYTES, tag));
  const qds_status status = qds_accelerator_allocate(a, QDS_MEMORY_PINNED, PIECES * PIECE_BYTES, out);
  if (status == QDS_OK)
    qds_trace_take(a->trace, *out, PIECES * PIECE_BYTES, tag, QDS_TRACE_PINNED);
  else
    qds_accelerator_let_go(a, QDS_MEMORY_PINNED, PIECES * PIECE_BYTES, tag);
  return status;
}

static void give_pieces(qds_accelerator *a, void *memory) {
  if (!memory) return;
  qds_trace_give(a->trace, memory);
  qds_accelerator_release(a, QDS_MEMORY_PINNED, memory);
  qds_accelerator_let_go(a, QDS_MEMORY_PINNED, PIECES * PIECE_BYTES, tag);
}

static void destroy_pair(void *user, void *thing) {
  qds_accelerator *a = user;
  pair *p = thing;
  for (int i = 0; i < PIECES && p->events[i].accelerator; i++) {
    (void)qds_event_synchronise(&p->events[i]);
    qds_backend_of(a)->event_destroy(a->state, p->events[i].native);
  }
  give_pieces(a, p->pieces[0]);
  free(p);
}

static qds_status fill_pair(qds_accelerator *a, pair *p) {
  void *memory;
  QDS_TRY(take_pieces(a, &memory));
  for (int i = 0; i < PIECES; i++) p->pieces[i] = (char *)memory + (size_t)i * PIECE_BYTES;
  for (int i = 0; i < PIECES; i++) {
    QDS_TRY(qds_backend_of(a)->event_create(a->state, &p->events[i].native));
    p->events[i].accelerator = a;
  }
  return QDS_OK;
}

/* Its record lies outside the account: buffers are moved out of memory when the account is full. */
static qds_status create_pair(void *user, void **thing) {
  pair *p = calloc(1, sizeof *p);
  if (!p) QDS_FAIL(QDS_ERROR_MEMORY, "out of memory: no room for the record of staging memory");
  const qds_status status = fill_pair(user, p);
  if (status == QDS_OK)
    *thing = p;
  else
    destroy_pair(user, p);
  return status;
}

qds_status qds_staging_create(qds_accelerator *accelerator, qds_staging **out) {
  *out = NULL;
  const qds_lease_factory factory = {.name = "page-locked staging memory",
                                     .limit = LEASES,
                                     .create = create_pair,
                                     .destroy = destroy_pair,
                                     .user = accelerator};
  QDS_AUTO_RELEASE qds_staging *staging = NULL;
  QDS_TRY(QDS_NEW_ZERO(accelerator->allocator, 1, "staging", &staging));
  QDS_TRY(qds_lease_pool_create(accelerator->allocator, &factory, &staging->pool));
  staging->accelerator = accelerator;
  *out = staging;
  staging = NULL;
  return QDS_OK;
}

void qds_staging_destroy(qds_staging *staging) {
  if (!staging) return;
  qds_lease_pool_destroy(staging->pool);
  qds_release(staging);
}

void qds_staging_read(const qds_staging *staging, qds_staging_statistics *out) {
  qds_lease_statistics s;
  qds_lease_statistics_read(staging->pool, &s);
  *out = (qds_staging_statistics){.piece_bytes = PIECE_BYTES,
                                  .leases = s.out,
                                  .peak_leases = s.peak_out,
                                  .limit = s.limit,
                                  .held_bytes = s.existing * PIECES * PIECE_BYTES,
                                  .staged_bytes = atomic_load(&staging->staged_bytes),
                                  .direct_bytes = atomic_load(&staging->direct_bytes)};
}

/* --- copies --------------------------------------------------------------------------------------------- */

/* Pieces for a copy of `bytes`; NULL where it has to do without. */
static qds_lease *take_pair(qds_staging *staging, size_t bytes) {
  qds_lease *lease = NULL;
  if (bytes >= least_bytes) (void)!QDS_LEASE_TAKE(staging->pool, patience_s, &lease);
  atomic_fetch_add_explicit(lease ? &staging->staged_bytes : &staging->direct_bytes, bytes,
                            memory_order_relaxed);
  return lease;
}

static size_t piece_at(size_t bytes, size_t offset, size_t most) {
  return bytes - offset < most ? bytes - offset : most;
}

/* The piece is the device's until its event. */
static qds_status enqueue(qds_stream *stream, void *to, const void *from, size_t bytes, qds_event *event) {
  QDS_TRY(qds_stream_copy(stream, to, from, bytes));
  const qds_status status = qds_event_record(event, stream);
  if (status != QDS_OK) (void)!qds_stream_synchronise(stream);
  return status;
}

static qds_status request(qds_stream *stream, pair *p, const char *from, size_t bytes, size_t offset) {
  if (offset >= bytes) return QDS_OK;
  const size_t i = offset / PIECE_BYTES % PIECES;
  QDS_TRY(qds_event_synchronise(&p->events[i]));
  return enqueue(stream, p->pieces[i], from + offset, piece_at(bytes, offset, PIECE_BYTES), &p->events[i]);
}

static qds_status download_staged(qds_stream *stream, pair *p, const char *from, size_t bytes,
                                  qds_staging_fn take, void *user) {
  QDS_TRY(request(stream, p, from, bytes, 0));
  for (size_t offset = 0; offset < bytes; offset += PIECE_BYTES) {
    const size_t i = offset / PIECE_BYTES % PIECES;
    QDS_TRY(request(stream, p, from, bytes, offset + PIECE_BYTES));
    QDS_TRY(qds_event_synchronise(&p->events[i]));
    QDS_TRY(take(user, offset, p->pieces[i], piece_at(bytes, offset, PIECE_BYTES)));
  }
  return QDS_OK;
}

static qds_status upload_staged(qds_stream *stream, pair *p, char *to, size_t bytes, qds_staging_fn give,
                                void *user) {
  for (size_t offset = 0; offset < bytes; offset += PIECE_BYTES) {
    const size_t i = offset / PIECE_BYTES % PIECES, part = piece_at(bytes, offset, PIECE_BYTES);
    QDS_TRY(qds_event_synchronise(&p->events[i]));
    QDS_TRY(give(user, offset, p->pieces[i], part));
    QDS_TRY(enqueue(stream, to + offset, p->pieces[i], part, &p->events[i]));
  }
  return QDS_OK;
}

/* One piece after the other through pageable memory. */
static qds_status download_bounced(qds_stream *stream, const char *from, size_t bytes, qds_staging_fn take,
                                   void *user) {
  char bounce[BOUNCE_BYTES];
  for (size_t offset = 0; offset < bytes; offset += BOUNCE_BYTES) {
    const size_t part = piece_at(bytes, offset, BOUNCE_BYTES);
    QDS_TRY(qds_stream_fetch(stream, bounce, from + offset, part));
    QDS_TRY(take(user, offset, bounce, part));
  }
  return QDS_OK;
}

static qds_status upload_bounced(qds_stream *stream, char *to, size_t bytes, qds_staging_fn give,
                                 void *user) {
  char bounce[BOUNCE_BYTES];
  for (size_t offset = 0; offset < bytes; offset += BOUNCE_BYTES) {
    const size_t part = piece_at(bytes, offset, BOUNCE_BYTES);
    QDS_TRY(give(user, offset, bounce, part));
    QDS_TRY(qds_stream_copy(stream, to + offset, bounce, part));
  }
  return QDS_OK;
}

qds_status qds_staging_download(qds_stream *stream, const void *from, size_t bytes, qds_staging_fn take,
                                void *user) {
  QDS_AUTO(qds_lease) *lease = take_pair(stream->accelerator->staging, bytes);
  return lease ? download_staged(stream, qds_lease_thing(lease), from, bytes, take, user)
               : download_bounced(stream, from, bytes, take, user);
}

qds_status qds_staging_upload(qds_stream *stream, void *to, size_t bytes, qds_staging_fn give, void *user) {
  QDS_AUTO(qds_lease) *lease = take_pair(stream->accelerator->staging, bytes);
  return lease ? upload_staged(stream, qds_lease_thing(lease), to, bytes, give, user)
               : upload_bounced(stream, to, bytes, give, user);
}

/* --- memory of the host --------------------------------------------------------------------------------- */

/* One thread neither fills a bus nor touches new pages fast enough. */
static void copy_with(int threads, char *to, const char *from, size_t bytes) {
#pragma omp parallel for num_threads(threads) if (bytes > share_bytes)
  for (size_t at = 0; at < bytes; at += share_bytes)
    memcpy(to + at, from + at, piece_at(bytes, at, share_bytes));
}

typedef struct {
  int threads;
  char *memory;
} host_side;

static qds_status put(void *user, size_t offset, void *piece, size_t bytes) {
  const host_side *side = user;
  copy_with(side->threads, side->memory + offset, piece, bytes);
  return QDS_OK;
}

static qds_status get(void *user, size_t offset, void *piece, size_t bytes) {
  const host_side *side = user;
  copy_with(side->threads, piece, side->memory + offset, bytes);
  return QDS_OK;
}

qds_status qds_stream_download(qds_stream *stream, void *to, const void *from, size_t bytes) {
  if (qds_stream_on_host(stream)) {
    copy_with(stream->threads, to, from, bytes);
    return QDS_OK;
  }
  QDS_AUTO(qds_lease) *lease = take_pair(stream->accelerator->staging, bytes);
  if (!lease) return qds_stream_fetch(stream, to, from, bytes);
  host_side side = {stream->threads, to};
  const qds_status status = download_staged(stream, qds_lease_thing(lease), from, bytes, put, &side);
  const qds_status work = qds_stream_synchronise(stream);
  return status != QDS_OK ? status : work;
}

qds_status qds_stream_upload(qds_stream *stream, void *to, const void *from, size_t bytes) {
  if (qds_stream_on_host(stream)) {
    copy_with(stream->threads, to, from, bytes);
    return QDS_OK;
  }
  QDS_AUTO(qds_lease) *lease = take_pair(stream->accelerator->staging, bytes);
  if (!lease) return qds_stream_copy(stream, to, from, bytes);
  host_side side = {stream->threads, (char *)(uintptr_t)from};
  return upload_staged(stream, qds_lease_thing(lease), to, bytes, get, &side);
}

/* A trace of the memory: a file of every block that is taken and given back, in order.
 *
 * A trace watches allocators: it puts its own functions in the place of theirs, writes down what they are
 * called with and calls them. It adds nothing to their blocks, so that accounts and budgets are those of a
 * run without it. What one watched allocator takes from another is written down once. One lock makes the
 * order of the records that of the events.
 *
 * The file: QDS_TRACE_HEADER, then records of QDS_TRACE_RECORD_BYTES as the header describes them. Blocks are
 * numbered from 0 as they are taken, threads and tags as they are first seen. The name of a tag follows its
 * record, in whole records filled up with zero bytes. The last record counts those of blocks; the file has
 * its name only once that is written. */
#ifndef QDS_MEM_TRACE_H
#define QDS_MEM_TRACE_H

#include "base/allocator.h"

typedef struct qds_trace qds_trace;

#define QDS_TRACE_NAME "qdsim memory trace "
#define QDS_TRACE_VERSION "2"
#define QDS_TRACE_HEADER                                                                                     \
  QDS_TRACE_NAME QDS_TRACE_VERSION                                                                           \
      "\n"                                                                                                   \
      "record, little-endian: u8 kind (1 take, 2 give back, 3 tag, 4 end), u8 place (0 host, 1 device,\n"    \
      "2 pinned, 3 unified), u16 tag, u32 thread, u64 block (end: blocks), u64 bytes (tag: length,\n"        \
      "end: records), u64 nanoseconds\n\n"
enum { QDS_TRACE_RECORD_BYTES = 32 };

typedef enum { QDS_TRACE_TAKE = 1, QDS_TRACE_GIVE, QDS_TRACE_TAG, QDS_TRACE_END } qds_trace_kind;
typedef enum {
  QDS_TRACE_HOST,
  QDS_TRACE_DEVICE,
  QDS_TRACE_PINNED,
  QDS_TRACE_UNIFIED,
  QDS_TRACE_PLACES
} qds_trace_place;
enum { QDS_TRACE_ALLOCATORS = 2 };

/* Errors: FILE (cannot be written, with the reason), MEMORY. */
qds_status qds_trace_create(const char *path, qds_trace **out);
/* Watches the allocator, at most QDS_TRACE_ALLOCATORS of them, which outlives the trace. No other thread uses
 * it meanwhile. */
void qds_trace_watch(qds_trace *trace, qds_allocator *allocator);
/* Blocks of a device's back end and pools: after one was taken, and before it is given back. `trace` may be
 * NULL. */
void qds_trace_take(qds_trace *trace, const void *block, size_t bytes, const char *tag,
                    qds_trace_place place);
void qds_trace_give(qds_trace *trace, const void *block);

/* Completes the file; what happens to the memory later is not recorded. A trace that could not be written to
 * the end (disk full) has no file; that is told here, once, and disturbs nobody else. Errors: FILE, MEMORY.
 */
qds_status qds_trace_end(qds_trace *trace);
/* Watches no more; no other thread uses the allocators meanwhile. Without qds_trace_end there is no file.
 * NULL is allowed. */
void qds_trace_destroy(qds_trace *trace);

/* --- reading -------------------------------------------------------------------------------------------- */

typedef struct {
  uint64_t block, bytes, nanoseconds; /* since the trace began */
  uint32_t thread;
  uint16_t tag;
  uint8_t kind, place; /* TAKE or GIVE; a qds_trace_place */
} qds_trace_event;

typedef struct {
  qds_allocator *allocator;
  qds_trace_event *events;
  size_t count, blocks, tag_count;
  char **tags;
} qds_trace_log;

/* Errors: FILE (no trace, another version, unfinished, or damaged: named with the record), MEMORY. */
qds_status qds_trace_read(qds_allocator *allocator, const char *path, qds_trace_log **out);
void qds_trace_log_destroy(qds_trace_log *log);
QDS_AUTO_DEFINE(qds_trace_log)

/* What a trace is replayed on. */
typedef struct {
  void *self;
  qds_status (*take)(void *self, const qds_trace_event *event, void **out);
  void (*give)(void *self, const qds_trace_event *event, void *block);
} qds_trace_target;

/* Repeats the events of one place in their order, on the calling thread, and gives back at last what the
 * trace still held, the youngest first. Errors: MEMORY, those of the target, after all was given back. */
qds_status qds_trace_replay(const qds_trace_log *log, qds_trace_place place, const qds_trace_target *target);

#endif

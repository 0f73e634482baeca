#include <string.h>

#include "base/file.h"
#include "mem/trace.h"

static const size_t most_bytes = (size_t)64 << 30;

/* Where the reading stands in the file. */
typedef struct {
  qds_trace_log *log;
  const char *path;
  const unsigned char *bytes;
  size_t at, end;
  uint64_t *sizes; /* of each block taken, plus 1; 0: not held */
} reader;

static uint64_t get(const unsigned char *from, int bytes) {
  uint64_t value = 0;
  for (int i = 0; i < bytes; i++) value |= (uint64_t)from[i] << 8 * i;
  return value;
}

static qds_status check_header(const reader *r) {
  static const char header[] = QDS_TRACE_HEADER;
  const size_t length = sizeof header - 1, name = strlen(QDS_TRACE_NAME);
  if (r->end < length || memcmp(r->bytes, header, name) != 0)
    QDS_FAIL(QDS_ERROR_FILE, "\"%s\" is no memory trace, or an unfinished one", r->path);
  if (memcmp(r->bytes, header, length) != 0)
    QDS_FAIL(QDS_ERROR_FILE,
             "\"%s\" is a memory trace of another version; this library reads version " QDS_TRACE_VERSION,
             r->path);
  return QDS_OK;
}

static qds_status damaged(const reader *r, const char *what) {
  QDS_FAIL(QDS_ERROR_FILE, "the memory trace \"%s\" is damaged at byte %zu: %s", r->path, r->at, what);
}

static qds_status read_tag(reader *r, const qds_trace_event *e) {
  qds_trace_log *log = r->log;
  const size_t start = r->at + QDS_TRACE_RECORD_BYTES;
  if (e->tag != log->tag_count) return damaged(r, "a tag out of order");
  if (e->bytes > r->end - start) return damaged(r, "the name of a tag is cut off");
  QDS_TRY(QDS_RESIZE(log->allocator, log->tag_count + 1, "trace", &log->tags));
  QDS_TRY(QDS_NEW_ZERO(log->allocator, e->bytes + 1, "trace", &log->tags[log->tag_count]));
  memcpy(log->tags[log->tag_count++], r->bytes + start, e->bytes);
  r->at += (e->bytes + QDS_TRACE_RECORD_BYTES - 1) / QDS_TRACE_RECORD_BYTES * QDS_TRACE_RECORD_BYTES;
  return QDS_OK;
}

static qds_status read_event(reader *r, const qds_trace_event *e) {
  qds_trace_log *log = r->log;
  if (e->place >= QDS_TRACE_PLACES || e->tag >= log->tag_count || e->bytes >= PTRDIFF_MAX)
    return damaged(r, "an unknown place or tag, or an impossible size");
  if (e->kind == QDS_TRACE_TAKE) {
    if (e->block != log->blocks) return damaged(r, "a block out of order");
    r->sizes[log->blocks++] = e->bytes + 1;
  } else {
    if (e->block >= log->blocks || r->sizes[e->block] != e->bytes + 1)
      return damaged(r, "a block is given back that is not held");
    r->sizes[e->block] = 0;
  }
  log->events[log->count++] = *e;
  return QDS_OK;
}

static qds_status read_records(reader *r) {
  qds_trace_log *log = r->log;
  for (; r->at < r->end && r->end - r->at >= QDS_TRACE_RECORD_BYTES; r->at += QDS_TRACE_RECORD_BYTES) {
    const unsigned char *b = r->bytes + r->at;
    const qds_trace_event e = {.kind = b[0],
                               .place = b[1],
                               .tag = (uint16_t)get(b + 2, 2),
                               .thread = (uint32_t)get(b + 4, 4),
                               .block = get(b + 8, 8),
                               .bytes = get(b + 16, 8),
                               .nanoseconds = get(b + 24, 8)};
    if (e.kind == QDS_TRACE_END) {
      const int whole = e.bytes == log->count && e.block == log->blocks;
      return whole && r->at + QDS_TRACE_RECORD_BYTES == r->end ? QDS_OK : damaged(r, "records are missing");
    }
    if (e.kind == QDS_TRACE_TAG)
      QDS_TRY(read_tag(r, &e));
    else if (e.kind == QDS_TRACE_TAKE || e.kind == QDS_TRACE_GIVE)
      QDS_TRY(read_event(r, &e));
    else
      return damaged(r, "an unknown kind of record");
  }
  QDS_FAIL(QDS_ERROR_FILE,
           "the memory trace \"%s\" is unfinished: %zu records and no end; use one of a run that ended",
           r->path, log->count);
}

qds_status qds_trace_read(qds_allocator *allocator, const char *path, qds_trace_log **out) {
  QDS_AUTO(qds_trace_log) *log = NULL;
  QDS_AUTO_RELEASE char *bytes = NULL;
  QDS_AUTO_RELEASE uint64_t *sizes = NULL;
  size_t length;
  *out = NULL;
  QDS_TRY(qds_file_read(allocator, path, most_bytes, &bytes, &length));
  QDS_TRY(QDS_NEW_ZERO(allocator, 1, "trace", &log));
  log->allocator = allocator;
  reader r = {.log = log, .path = path, .bytes = (unsigned char *)bytes, .end = length};
  QDS_TRY(check_header(&r));
  r.at = strlen(QDS_TRACE_HEADER);
  const size_t most = (length - r.at) / QDS_TRACE_RECORD_BYTES;
  QDS_TRY(QDS_NEW(allocator, most, "trace", &log->events));
  QDS_TRY(QDS_NEW(allocator, most, "trace", &sizes));
  r.sizes = sizes;
  QDS_TRY(read_records(&r));
  *out = log;
  log = NULL;
  return QDS_OK;
}

void qds_trace_log_destroy(qds_trace_log *log) {
  if (!log) return;
  for (size_t i = 0; i < log->tag_count; i++) qds_release(log->tags[i]);
  qds_release(log->tags);
  qds_release(log->events);
  qds_release(log);
}

/* --- replaying -------------------------------------------------------------------------------------------
 */

typedef struct {
  const qds_trace_event *event; /* NULL: not held */
  void *memory;
} replayed;

qds_status qds_trace_replay(const qds_trace_log *log, qds_trace_place place, const qds_trace_target *target) {
  QDS_AUTO_RELEASE replayed *blocks = NULL;
  qds_status status = QDS_OK;
  QDS_TRY(QDS_NEW_ZERO(log->allocator, log->blocks, "trace", &blocks));
  for (size_t i = 0; i < log->count && status == QDS_OK; i++) {
    const qds_trace_event *e = &log->events[i];
    replayed *b = &blocks[e->block];
    if (e->place != place) continue;
    if (e->kind == QDS_TRACE_TAKE) {
      status = target->take(target->self, e, &b->memory);
      if (status == QDS_OK) b->event = e;
    } else {
      target->give(target->self, e, b->memory);
      b->event = NULL;
    }
  }
  for (size_t i = log->blocks; i-- > 0;)
    if (blocks[i].event) target->give(target->self, blocks[i].event, blocks[i].memory);
  return status;
}

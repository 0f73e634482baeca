#include "mem/heap.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "mem/limits.h"
#include "qdsim/text.h"

/* A block is a record, padded to one alignment unit, followed by the user's bytes; the base header is the
 * record's tail, so that it stands directly before them. */
typedef struct record record;
struct record {
  record *next, *previous;
  const char *tag, *file;
  int line, tag_index;
  qds_block_header header;
};

enum { RECORD_BYTES = (sizeof(record) + QDS_ALIGNMENT - 1) / QDS_ALIGNMENT * QDS_ALIGNMENT };
enum { MAX_TAGS = 256 };

struct qds_heap {
  qds_allocator interface; /* first, so that a qds_allocator * is a qds_heap * */
  pthread_mutex_t lock;
  record live; /* ring of live blocks */
  size_t limit;
  size_t reserved;  /* bytes granted to allocations that the system has yet to serve */
  uint64_t fail_in; /* 0: never */
  qds_memory_row total;
  size_t tags;
  qds_memory_row rows[MAX_TAGS];
};

static record *record_of(void *block) {
  return (record *)((char *)block - sizeof(qds_block_header) - offsetof(record, header));
}

static void *block_of(record *r) {
  return (char *)r + offsetof(record, header) + sizeof(qds_block_header);
}

static void count_up(qds_memory_row *row, size_t bytes) {
  row->current_bytes += bytes;
  row->current_blocks++;
  row->total_blocks++;
  if (row->current_bytes > row->peak_bytes) row->peak_bytes = row->current_bytes;
}

static void count_down(qds_memory_row *row, size_t bytes) {
  row->current_bytes -= bytes;
  row->current_blocks--;
}

/* The last row is shared by all tags that have none of their own. */
static int find_tag(qds_heap *heap, const char *tag) {
  size_t i = 0;
  while (i < heap->tags && strcmp(heap->rows[i].tag, tag) != 0) i++;
  if (i == MAX_TAGS) return MAX_TAGS - 1;
  if (i == heap->tags) heap->rows[heap->tags++] = (qds_memory_row){.tag = i < MAX_TAGS - 1 ? tag : "others"};
  return (int)i;
}

/* Call with the lock held. */
static void enlist(qds_heap *heap, record *r) {
  r->tag_index = find_tag(heap, r->tag);
  r->next = heap->live.next;
  r->previous = &heap->live;
  r->next->previous = r;
  heap->live.next = r;
  count_up(&heap->total, r->header.bytes);
  count_up(&heap->rows[r->tag_index], r->header.bytes);
}

/* Call with the lock held. */
static int fits(const qds_heap *heap, size_t bytes) {
  const size_t taken = heap->total.current_bytes + heap->reserved;
  return !heap->limit || (bytes <= heap->limit && taken <= heap->limit - bytes);
}

/* Grants the bytes, so that threads cannot pass the limit together. Call with the lock held. */
static qds_status reserve(qds_heap *heap, size_t bytes, const char *tag, const char *file, int line) {
  if (heap->fail_in && --heap->fail_in == 0)
    return qds_raise(QDS_ERROR_MEMORY, file, line, 0, "out of memory: %zu bytes for %s (failure injected)",
                     bytes, tag);
  if (!fits(heap, bytes)) {
    char more[QDS_BYTES_TEXT], held[QDS_BYTES_TEXT], limit[QDS_BYTES_TEXT];
    qds_format_bytes(bytes, more);
    qds_format_bytes(heap->total.current_bytes, held);
    qds_format_bytes(heap->limit, limit);
    return qds_raise(QDS_ERROR_BUDGET, file, line, 0,
                     "memory budget exceeded: %s for %s on top of %s pass the limit of %s; raise "
                     "--memory-limit, or use fewer nodes or states",
                     more, tag, held, limit);
  }
  heap->reserved += bytes;
  return QDS_OK;
}

static qds_status reserve_locked(qds_heap *heap, size_t bytes, const char *tag, const char *file, int line) {
  if (bytes > PTRDIFF_MAX - (size_t)RECORD_BYTES)
    return qds_raise(QDS_ERROR_MEMORY, file, line, 0,
                     "out of memory: %zu bytes for %s pass the address range", bytes, tag);
  pthread_mutex_lock(&heap->lock);
  const qds_status status = reserve(heap, bytes, tag, file, line);
  pthread_mutex_unlock(&heap->lock);
  return status;
}

static qds_status heap_allocate(qds_allocator *self, size_t bytes, const char *tag, const char *file,
                                int line, void **out) {
  qds_heap *heap = (qds_heap *)self;
  *out = NULL;
  QDS_TRY(reserve_locked(heap, bytes, tag, file, line));
  void *memory = NULL;
  const int refused = posix_memalign(&memory, QDS_ALIGNMENT, bytes + RECORD_BYTES);
  record *r = refused ? NULL : (record *)((char *)memory + RECORD_BYTES - sizeof(record));
  if (r) *r = (record){.tag = tag, .file = file, .line = line, .header = {self, bytes}};

  pthread_mutex_lock(&heap->lock);
  heap->reserved -= bytes;
  if (r) enlist(heap, r);
  pthread_mutex_unlock(&heap->lock);
  if (refused) {
    char size[QDS_BYTES_TEXT];
    qds_format_bytes(bytes, size);
    return qds_raise(QDS_ERROR_MEMORY, file, line, refused, "out of memory: the system refused %s for %s",
                     size, tag);
  }
  *out = block_of(r);
  return QDS_OK;
}

static void heap_release(qds_allocator *self, void *block) {
  qds_heap *heap = (qds_heap *)self;
  record *r = record_of(block);
  pthread_mutex_lock(&heap->lock);
  r->next->previous = r->previous;
  r->previous->next = r->next;
  count_down(&heap->total, r->header.bytes);
  count_down(&heap->rows[r->tag_index], r->header.bytes);
  pthread_mutex_unlock(&heap->lock);
  free((char *)r - (RECORD_BYTES - sizeof(record)));
}

qds_status qds_heap_create(size_t limit, qds_heap **out) {
  *out = NULL;
  qds_heap *heap = calloc(1, sizeof *heap);
  if (!heap) QDS_FAIL(QDS_ERROR_MEMORY, "out of memory: no room for the memory account");
  heap->interface = (qds_allocator){heap_allocate, heap_release};
  pthread_mutex_init(&heap->lock, NULL);
  heap->live.next = heap->live.previous = &heap->live;
  heap->limit = limit;
  heap->total.tag = "total";
  *out = heap;
  return QDS_OK;
}

void qds_heap_destroy(qds_heap *heap, qds_leak_fn leak, void *user) {
  if (!heap) return;
  while (heap->live.next != &heap->live) {
    record *r = heap->live.next;
    if (leak) leak(user, r->tag, r->header.bytes, r->file, r->line);
    heap_release(&heap->interface, block_of(r));
  }
  pthread_mutex_destroy(&heap->lock);
  free(heap);
}

qds_allocator *qds_heap_allocator(qds_heap *heap) {
  return &heap->interface;
}

void qds_heap_total(qds_heap *heap, qds_memory_row *total) {
  pthread_mutex_lock(&heap->lock);
  *total = heap->total;
  pthread_mutex_unlock(&heap->lock);
}

int qds_heap_tag(qds_heap *heap, size_t index, qds_memory_row *row) {
  pthread_mutex_lock(&heap->lock);
  const int found = index < heap->tags;
  if (found) *row = heap->rows[index];
  pthread_mutex_unlock(&heap->lock);
  return found;
}

void qds_heap_fail(qds_heap *heap, uint64_t n) {
  pthread_mutex_lock(&heap->lock);
  heap->fail_in = n;
  pthread_mutex_unlock(&heap->lock);
}

qds_status qds_heap_reserve_check(qds_heap *heap, size_t bytes, const char *purpose) {
  pthread_mutex_lock(&heap->lock);
  const int fitting = fits(heap, bytes);
  const size_t held = heap->total.current_bytes;
  pthread_mutex_unlock(&heap->lock);
  char needed[QDS_BYTES_TEXT], there[QDS_BYTES_TEXT], limit[QDS_BYTES_TEXT];
  qds_format_bytes(bytes, needed);
  if (!fitting) {
    qds_format_bytes(held, there);
    qds_format_bytes(heap->limit, limit);
    QDS_FAIL(QDS_ERROR_BUDGET,
             "memory budget exceeded: %s needs %s on top of %s, the limit is %s; raise "
             "--memory-limit, or use fewer nodes or states",
             purpose, needed, there, limit);
  }
  const size_t available = qds_available_memory();
  if (bytes > available) {
    qds_format_bytes(available, there);
    QDS_FAIL(QDS_ERROR_BUDGET,
             "memory budget exceeded: %s needs %s, %s are free on this machine for this process; use "
             "fewer nodes or states",
             purpose, needed, there);
  }
  return QDS_OK;
}

#include "mem/arena.h"

#include <stdint.h>

/* Chunks form a list. Those before the current one are closed, those behind it are empty. A block that does
 * not fit into the current chunk goes to the next one, or to a new chunk that is put in between. */
struct qds_arena_chunk {
  qds_arena_chunk *next;
  size_t room, used; /* bytes behind the chunk's header */
};

struct qds_arena {
  qds_allocator *allocator;
  const char *tag;
  size_t chunk_bytes;
  qds_arena_chunk *first, *current; /* NULL before the first block */
};

enum { HEADER_BYTES = (sizeof(qds_arena_chunk) + QDS_ALIGNMENT - 1) / QDS_ALIGNMENT * QDS_ALIGNMENT };

#if defined(__SANITIZE_ADDRESS__)
#define SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define SANITIZED 1
#endif
#endif
#ifdef SANITIZED
#include <sanitizer/asan_interface.h>
static void forbid(void *block, size_t bytes) {
  ASAN_POISON_MEMORY_REGION(block, bytes);
}
static void permit(void *block, size_t bytes) {
  ASAN_UNPOISON_MEMORY_REGION(block, bytes);
}
#else
static void forbid(void *block, size_t bytes) {
  (void)block, (void)bytes;
}
static void permit(void *block, size_t bytes) {
  (void)block, (void)bytes;
}
#endif

static char *bytes_of(qds_arena_chunk *chunk) {
  return (char *)chunk + HEADER_BYTES;
}

qds_status qds_arena_create(qds_allocator *allocator, size_t chunk_bytes, const char *tag, qds_arena **out) {
  QDS_TRY(QDS_NEW_ZERO(allocator, 1, tag, out));
  (*out)->allocator = allocator;
  (*out)->tag = tag;
  (*out)->chunk_bytes = chunk_bytes;
  return QDS_OK;
}

void qds_arena_destroy(qds_arena *arena) {
  if (!arena) return;
  for (qds_arena_chunk *chunk = arena->first, *next; chunk; chunk = next) {
    next = chunk->next;
    permit(bytes_of(chunk), chunk->room);
    qds_release(chunk);
  }
  qds_release(arena);
}

/* The room is a multiple of the alignment, so that the chunk is aligned. */
static qds_status insert_chunk(qds_arena *arena, size_t least) {
  const size_t room = (least + QDS_ALIGNMENT - 1) / QDS_ALIGNMENT * QDS_ALIGNMENT;
  char *memory;
  QDS_TRY(QDS_NEW(arena->allocator, HEADER_BYTES + room, arena->tag, &memory));
  qds_arena_chunk *chunk = (qds_arena_chunk *)memory;
  qds_arena_chunk **link = arena->current ? &arena->current->next : &arena->first;
  *chunk = (qds_arena_chunk){*link, room, 0};
  *link = chunk;
  forbid(bytes_of(chunk), room);
  return QDS_OK;
}

/* Makes a chunk current that has room for `bytes`. */
static qds_status make_room(qds_arena *arena, size_t bytes) {
  if (arena->current && bytes <= arena->current->room - arena->current->used) return QDS_OK;
  const qds_arena_chunk *next = arena->current ? arena->current->next : arena->first;
  if (!next || bytes > next->room)
    QDS_TRY(insert_chunk(arena, bytes > arena->chunk_bytes ? bytes : arena->chunk_bytes));
  arena->current = arena->current ? arena->current->next : arena->first;
  return QDS_OK;
}

qds_status qds_arena_allocate(qds_arena *arena, size_t count, size_t size, void **out) {
  size_t bytes;
  *out = NULL;
  if (__builtin_mul_overflow(count, size, &bytes) || bytes > PTRDIFF_MAX - HEADER_BYTES - QDS_ALIGNMENT)
    QDS_FAIL(QDS_ERROR_MEMORY, "%s: %zu elements of %zu bytes pass the address range", arena->tag, count,
             size);
  /* At least one unit, so that no two blocks have one address. */
  const size_t rounded = bytes ? (bytes + QDS_ALIGNMENT - 1) / QDS_ALIGNMENT * QDS_ALIGNMENT : QDS_ALIGNMENT;
  QDS_TRY(make_room(arena, rounded));
  *out = bytes_of(arena->current) + arena->current->used;
  arena->current->used += rounded;
  permit(*out, bytes);
  return QDS_OK;
}

qds_arena_position qds_arena_mark(const qds_arena *arena) {
  return (qds_arena_position){arena->current, arena->current ? arena->current->used : 0};
}

void qds_arena_reset_to(qds_arena *arena, qds_arena_position mark) {
  qds_arena_chunk *chunk = mark.chunk ? mark.chunk : arena->first;
  for (qds_arena_chunk *c = chunk; c; c = c->next) {
    const size_t kept = c == mark.chunk ? mark.used : 0;
    forbid(bytes_of(c) + kept, c->room - kept);
    c->used = kept;
  }
  arena->current = mark.chunk;
}

size_t qds_arena_used(const qds_arena *arena) {
  size_t used = 0;
  for (const qds_arena_chunk *c = arena->first; c; c = c->next) used += c->used;
  return used;
}

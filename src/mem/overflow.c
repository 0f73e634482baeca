#include "mem/overflow.h"

#include <math.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "mem/pager.h"
#include "mem/provider_file.h"
#include "qdsim/text.h"

/* Smaller blocks are not worth a file. */
static const size_t least_in_file = (size_t)64 << 10;
/* Small blocks and the pages in use at one time need that much. */
static const size_t least_limit = (size_t)16 << 20;
/* Whatever the plan, large blocks leave this part of the budget, or so much, to the small ones, which cannot
 * go to files: work may take more than was planned. */
static const double part_for_small = 1.0 / 16;
static const size_t most_for_small = (size_t)16 << 20;
/* What large blocks may fill of the budget in memory. When work is known to fit, all of the rest. When it is
 * known to overflow, the pages in use need some room. Before anything is known: what is made first, such as
 * the axes of a grid, is seldom what is used most. */
typedef enum { UNPLANNED, FITS, OVERFLOWS } plan;
static const double part_for_blocks[] = {[UNPLANNED] = 0.25, [FITS] = 1, [OVERFLOWS] = 0.75};

struct qds_overflow {
  qds_allocator interface; /* first, so that a qds_allocator * is a qds_overflow * */
  qds_heap *heap;
  size_t limit;
  pthread_mutex_t lock;        /* of what follows */
  qds_file_provider *provider; /* NULL: nothing has overflowed yet */
  qds_pager *pager;
  size_t current_blocks, total_blocks, current_bytes, peak_bytes;
  plan plan;
  const char *often_used[QDS_OVERFLOW_MOST_TAGS];
  char folder[];
};

/* What stands in a region before the block. A record in the heap's account stands for the block. */
typedef struct {
  void *region, *record;
  char padding[QDS_HEADED_ALIGNMENT - 2 * sizeof(void *) - sizeof(qds_block_header)];
  qds_block_header header;
} prefix;
_Static_assert(sizeof(prefix) == QDS_HEADED_ALIGNMENT, "blocks lie where those with a header do");

static size_t held_in_memory(const qds_overflow *s) {
  qds_memory_row total;
  qds_heap_total(s->heap, &total);
  return total.current_bytes;
}

/* What mapped pages may fill; never nothing, or no page could be used. */
static size_t room_for_pages(void *self) {
  const qds_overflow *s = self;
  const size_t held = held_in_memory(s), least = s->limit / 16;
  return held + least < s->limit ? s->limit - held : least;
}

/* Call with the lock held. */
static qds_status open_provider(qds_overflow *s) {
  if (s->pager) return QDS_OK;
  if (!s->provider) QDS_TRY(qds_file_provider_create(s->folder, &s->provider));
  return qds_pager_create(s->provider, room_for_pages, s, &s->pager);
}

/* Call with the lock held. */
static size_t room_for_blocks(const qds_overflow *s) {
  const double limit = (double)s->limit, rest = limit - fmin(part_for_small * limit, (double)most_for_small);
  return (size_t)fmin(part_for_blocks[s->plan] * limit, rest);
}

static int goes_to_memory(qds_overflow *s, size_t bytes, const char *tag) {
  if (bytes < least_in_file) return 1;
  pthread_mutex_lock(&s->lock);
  int wanted = s->plan != OVERFLOWS;
  for (int i = 0; i < QDS_OVERFLOW_MOST_TAGS && s->often_used[i]; i++)
    wanted |= !strcmp(tag, s->often_used[i]);
  const size_t most = room_for_blocks(s);
  pthread_mutex_unlock(&s->lock);
  const size_t held = held_in_memory(s);
  return wanted && bytes <= most && held <= most - bytes;
}

static void count(qds_overflow *s, size_t bytes, int more) {
  pthread_mutex_lock(&s->lock);
  if (more) {
    s->current_blocks++;
    s->total_blocks++;
    s->current_bytes += bytes;
    if (s->current_bytes > s->peak_bytes) s->peak_bytes = s->current_bytes;
  } else {
    s->current_blocks--;
    s->current_bytes -= bytes;
  }
  pthread_mutex_unlock(&s->lock);
}

static qds_status allocate_in_file(qds_overflow *s, size_t bytes, const char *tag, const char *file, int line,
                                   void **out) {
  void *record = NULL, *region = NULL;
  qds_allocator *heap = qds_heap_allocator(s->heap);
  if (bytes > PTRDIFF_MAX - sizeof(prefix))
    return qds_raise(QDS_ERROR_MEMORY, file, line, 0,
                     "out of memory: %zu bytes for %s pass the address range", bytes, tag);
  pthread_mutex_lock(&s->lock);
  const qds_status opened = open_provider(s);
  pthread_mutex_unlock(&s->lock);
  QDS_TRY(opened);
  QDS_TRY(heap->allocate(heap, sizeof bytes, tag, file, line, &record));
  const qds_status status = qds_file_provider_take(s->provider, bytes + sizeof(prefix), tag, &region);
  if (status != QDS_OK) {
    qds_release(record);
    return status;
  }
  prefix *p = region;
  *p = (prefix){.region = region, .record = record, .header = {&s->interface, bytes}};
  count(s, bytes, 1);
  *out = p + 1;
  return QDS_OK;
}

static qds_status overflow_allocate(qds_allocator *self, size_t bytes, const char *tag, const char *file,
                                    int line, void **out) {
  qds_overflow *s = (qds_overflow *)self;
  qds_allocator *heap = qds_heap_allocator(s->heap);
  *out = NULL;
  if (goes_to_memory(s, bytes, tag)) {
    const qds_status status = heap->allocate(heap, bytes, tag, file, line, out);
    /* another thread may have taken what was left */
    if (status != QDS_ERROR_BUDGET || bytes < least_in_file) return status;
  }
  const qds_status status = allocate_in_file(s, bytes, tag, file, line, out);
  const size_t held = held_in_memory(s);
  if (status != QDS_ERROR_FILE || held > s->limit || bytes > s->limit - held) return status;
  /* where there can be no files, what was to be left to others is there all the same */
  return heap->allocate(heap, bytes, tag, file, line, out);
}

static void overflow_release(qds_allocator *self, void *block) {
  qds_overflow *s = (qds_overflow *)self;
  const prefix p = *((prefix *)block - 1);
  qds_file_provider_give_back(s->provider, p.region);
  count(s, p.header.bytes, 0);
  qds_release(p.record);
}

static size_t overflow_bytes_of(const qds_allocator *self, const void *block) {
  (void)self;
  return qds_header_of(block)->bytes;
}

qds_status qds_overflow_create(qds_heap *heap, size_t limit, const char *folder, qds_overflow **out) {
  *out = NULL;
  qds_overflow *s = calloc(1, sizeof *s + strlen(folder) + 1);
  if (!s) QDS_FAIL(QDS_ERROR_MEMORY, "out of memory: no room to manage what overflows");
  s->interface = (qds_allocator){overflow_allocate, overflow_release, NULL, overflow_bytes_of, NULL};
  s->heap = heap;
  s->limit = limit;
  strcpy(s->folder, folder);
  pthread_mutex_init(&s->lock, NULL);
  *out = s;
  return QDS_OK;
}

void qds_overflow_destroy(qds_overflow *s) {
  if (!s) return;
  qds_pager_destroy(s->pager);
  qds_file_provider_destroy(s->provider);
  pthread_mutex_destroy(&s->lock);
  free(s);
}

qds_allocator *qds_overflow_allocator(qds_overflow *s) {
  return &s->interface;
}

/* --- before the work --- */

static qds_status check_files(qds_overflow *s, size_t bytes, const char *purpose) {
  char needed[QDS_BYTES_TEXT], there[QDS_BYTES_TEXT], limit[QDS_BYTES_TEXT];
  qds_format_bytes(bytes, needed);
  qds_format_bytes(s->limit, limit);
  if (s->limit < least_limit) {
    qds_format_bytes(least_limit, there);
    QDS_FAIL(QDS_ERROR_BUDGET,
             "memory budget exceeded: %s needs %s, the limit is %s, and what overflows can only go to files "
             "from a limit of %s on; raise the memory limit",
             purpose, needed, limit, there);
  }
  pthread_mutex_lock(&s->lock);
  const qds_status opened = open_provider(s);
  pthread_mutex_unlock(&s->lock);
  if (opened != QDS_OK) {
    char reason[512];
    strncpy(reason, qds_last_error()->message, sizeof reason - 1);
    reason[sizeof reason - 1] = 0;
    QDS_FAIL(
        QDS_ERROR_BUDGET,
        "memory budget exceeded: %s needs %s, the limit is %s, and what overflows has no place: %s; name "
        "another scratch folder, or raise the memory limit",
        purpose, needed, limit, reason);
  }
  const size_t room = qds_file_provider_room(s->provider);
  if (bytes <= room) return QDS_OK;
  qds_format_bytes(room, there);
  QDS_FAIL(
      QDS_ERROR_BUDGET,
      "memory budget exceeded: %s needs %s, the limit is %s, and the scratch folder \"%s\" has %s free for "
      "what overflows; name another, raise the memory limit, or use fewer nodes or states",
      purpose, needed, limit, s->folder, there);
}

qds_status qds_overflow_reserve_check(qds_overflow *s, size_t bytes, const char *purpose,
                                      const char *const *often_used, size_t *file_bytes) {
  const size_t held = held_in_memory(s), left = held < s->limit ? s->limit - held : 0;
  *file_bytes = bytes > left ? bytes - left : 0;
  if (bytes > left) QDS_TRY(check_files(s, bytes, purpose));
  /* What the budget allows must be there all the same. */
  QDS_TRY(qds_heap_reserve_check(s->heap, bytes < left ? bytes : left, purpose));
  if (!often_used) return QDS_OK;
  pthread_mutex_lock(&s->lock);
  s->plan = bytes > left ? OVERFLOWS : FITS;
  memset(s->often_used, 0, sizeof s->often_used);
  for (int i = 0; i < QDS_OVERFLOW_MOST_TAGS && often_used[i]; i++) s->often_used[i] = often_used[i];
  pthread_mutex_unlock(&s->lock);
  return QDS_OK;
}

void qds_overflow_usage(qds_overflow *s, qds_memory_files *out) {
  pthread_mutex_lock(&s->lock);
  *out = (qds_memory_files){.folder = s->folder,
                            .current_bytes = s->current_bytes,
                            .peak_bytes = s->peak_bytes,
                            .current_blocks = s->current_blocks,
                            .total_blocks = s->total_blocks};
  size_t swept;
  if (s->pager) qds_pager_seen(s->pager, &out->peak_mapped_bytes, &swept);
  pthread_mutex_unlock(&s->lock);
}

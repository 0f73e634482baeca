#include "mem/buffer.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "mem/buffer_internal.h"
#include "mem/limits.h"
#include "mem/pool_stream.h"
#include "mem/provider_device.h"

static const char *const strategy_names[] = {"cpu_only", "gpu_only", "unified", "adaptive"};
static const char *const place_names[] = {"host", "pinned", "device", "unified", "file"};

const char *qds_mem_strategy_name(qds_mem_strategy strategy) {
  return strategy >= 0 && strategy < QDS_MEM_STRATEGIES ? strategy_names[strategy] : NULL;
}

const char *qds_place_name(qds_place place) {
  return place >= 0 && place < QDS_PLACES ? place_names[place] : NULL;
}

/* --- the manager ---------------------------------------------------------------------------------------- */

/* Page-locking costs milliseconds, so it is done for many buffers at once. */
static qds_status create_pinned_pool(qds_buffer_manager *m) {
  if (!m->accelerator) return QDS_OK;
  QDS_TRY(qds_heap_create(0, &m->records));
  qds_best_fit_options options = QDS_BEST_FIT_OPTIONS_INIT;
  options.name = "pinned pool";
  options.provider = qds_provider_device(m->accelerator, QDS_MEMORY_PINNED);
  options.allocator = qds_heap_allocator(m->records);
  options.segment_bytes = (size_t)16 << 20;
  options.reserve_ratio = 1.25;
  return qds_best_fit_create(&options, &m->pinned);
}

static void free_manager(qds_buffer_manager *m) {
  qds_best_fit_destroy(m->pinned);
  if (m->records) qds_heap_destroy(m->records, NULL, NULL);
  qds_lanes_close(m);
  pthread_cond_destroy(&m->changed);
  pthread_mutex_destroy(&m->lock);
  free(m->folder);
  free(m);
}

qds_status qds_buffer_manager_create(qds_allocator *allocator, qds_accelerator *accelerator, int threads,
                                     const char *device_reason, const char *folder,
                                     qds_buffer_manager **out) {
  qds_memory_options defaults = QDS_MEMORY_OPTIONS_INIT;
  defaults.spill_folder = folder;
  *out = NULL;
  qds_buffer_manager *m = calloc(1, sizeof *m);
  if (!m) QDS_FAIL(QDS_ERROR_MEMORY, "out of memory: no room for the manager of the buffers");
  m->allocator = allocator;
  m->accelerator = accelerator;
  m->threads = threads;
  snprintf(m->device_reason, sizeof m->device_reason, "%s", device_reason);
  m->ring.newer = m->ring.older = &m->ring;
  pthread_mutex_init(&m->lock, NULL);
  pthread_cond_init(&m->changed, NULL);
  qds_status status = qds_lanes_open(m);
  if (status == QDS_OK) status = create_pinned_pool(m);
  if (status == QDS_OK) status = qds_buffer_manager_configure(m, &defaults);
  if (status != QDS_OK) {
    free_manager(m);
    return status;
  }
  *out = m;
  return QDS_OK;
}

qds_status qds_buffer_manager_configure(qds_buffer_manager *m, const qds_memory_options *options) {
  QDS_REQUIRE(options->struct_size == sizeof *options,
              "qds_memory_options: struct_size %zu, this library expects %zu; initialise it with "
              "QDS_MEMORY_OPTIONS_INIT",
              options->struct_size, sizeof *options);
  const char *folder = options->spill_folder ? options->spill_folder : m->folder;
  const size_t available = m->accelerator ? qds_available_memory() : 0; /* it reads files */
  pthread_mutex_lock(&m->lock);
  const int same = m->folder && !strcmp(m->folder, folder);
  const int in_use = !same && m->statistics.places[QDS_PLACE_FILE].total_blocks > 0;
  char *copy = same || in_use ? NULL : strdup(folder);
  const int missing = !same && !in_use && !copy;
  if (copy) {
    free(m->folder);
    m->folder = copy;
  }
  if (!in_use && !missing) {
    m->pinned_limit = options->pinned_limit ? options->pinned_limit : available / 8;
    m->file_limit = options->file_limit;
    m->spill = options->spill;
  }
  pthread_mutex_unlock(&m->lock);
  QDS_REQUIRE(!in_use, "spill_folder \"%s\": buffers lie in files already; choose the folder earlier",
              folder);
  if (missing) QDS_FAIL(QDS_ERROR_MEMORY, "out of memory: no room for the name of the spill folder");
  return QDS_OK;
}

void qds_buffer_unlink(qds_buffer *b) {
  b->newer->older = b->older;
  b->older->newer = b->newer;
  qds_release(b);
}

static void free_fences(qds_fence *list) {
  while (list) {
    qds_fence *fence = list;
    list = fence->next;
    qds_event_destroy(fence->event);
    qds_release(fence);
  }
}

void qds_buffer_manager_destroy(qds_buffer_manager *m) {
  if (!m) return;
  for (qds_buffer *b = m->ring.older; b != &m->ring; b = b->older) {
    while (b->brackets) {
      qds_fence *fence = b->brackets;
      b->brackets = fence->next;
      qds_fence_give(m, fence);
    }
    for (int i = 0; i < QDS_PLACES; i++) qds_copy_give(b, (qds_place)i);
  }
  (void)qds_copies_reap(m, 1);
  while (m->ring.older != &m->ring) qds_buffer_unlink(m->ring.older);
  free_fences(m->spare);
  while (m->tags) {
    qds_tag_entry *entry = m->tags;
    m->tags = entry->next;
    qds_release(entry);
  }
  free_manager(m);
}

/* --- references ----------------------------------------------------------------------------------------- */

static uint64_t one_reference(qds_owner owner) {
  return (uint64_t)1 << (32 * (int)owner);
}

void qds_buffer_manager_leaks(qds_buffer_manager *m, qds_buffer_leak_fn leak, void *user) {
  pthread_mutex_lock(&m->lock);
  for (qds_buffer *b = m->ring.older; b != &m->ring; b = b->older)
    if (!b->dead && qds_references_of(atomic_load(&b->references), QDS_OWNER_LIBRARY) > 0)
      leak(user, b->tag->tag, b->bytes, b->file, b->line);
  pthread_mutex_unlock(&m->lock);
}

int qds_buffer_manager_retire(qds_buffer_manager *m, void (*last)(void *user), void *user) {
  pthread_mutex_lock(&m->lock);
  const int owned = m->statistics.python_buffers > 0 || m->disposing > 0;
  if (owned) {
    m->last = last;
    m->last_user = user;
  }
  pthread_mutex_unlock(&m->lock);
  return owned;
}

qds_buffer_title qds_buffer_name(const qds_buffer *b) {
  qds_buffer_title title;
  const char *slash = strrchr(b->file, '/');
  snprintf(title.text, sizeof title.text, "\"%.128s\" (%.128s:%d)", b->tag->tag, slash ? slash + 1 : b->file,
           b->line);
  return title;
}

typedef void (*last_fn)(void *user);

/* Python's references change with the lock held, so that the count of its buffers is never off. */
static void count_python(qds_buffer *b, int more) {
  qds_memory_statistics *s = &b->manager->statistics;
  s->python_buffers += more ? 1 : (size_t)-1;
  s->python_bytes += more ? b->bytes : (size_t)0 - b->bytes;
}

void qds_buffer_retain_for(qds_buffer *b, qds_owner owner) {
  qds_buffer_manager *m = b->manager;
  if (owner == QDS_OWNER_LIBRARY) {
    atomic_fetch_add(&b->references, one_reference(owner));
    return;
  }
  pthread_mutex_lock(&m->lock);
  if (qds_references_of(atomic_fetch_add(&b->references, one_reference(owner)), owner) == 0)
    count_python(b, 1);
  pthread_mutex_unlock(&m->lock);
}

void qds_buffer_retain(qds_buffer *b) {
  qds_buffer_retain_for(b, QDS_OWNER_LIBRARY);
}

/* Replaces `before` by one reference less; 0 when they have changed meanwhile. Call with the lock held. */
static int exchange(qds_buffer *b, uint64_t before, qds_owner owner) {
  if (!atomic_compare_exchange_strong(&b->references, &before, before - one_reference(owner))) return 0;
  if (owner == QDS_OWNER_PYTHON && qds_references_of(before, owner) == 1) count_python(b, 0);
  return 1;
}

/* What a retired manager waits for, if this is the moment; else NULL. Call with the lock held. */
static last_fn take_last(qds_buffer_manager *m) {
  const int now = m->statistics.python_buffers == 0 && m->disposing == 0;
  const last_fn last = now ? m->last : NULL;
  if (now) m->last = NULL;
  return last;
}

/* Gives up the last reference of a claimed buffer. */
static int dispose(qds_buffer *b, uint64_t before, qds_owner owner, last_fn *last) {
  qds_buffer_manager *m = b->manager;
  pthread_mutex_lock(&m->lock);
  const int gone = exchange(b, before, owner);
  if (gone) {
    b->dead = 1;
    m->statistics.buffers--;
    m->disposing++;
  }
  pthread_mutex_unlock(&m->lock);
  if (!gone) return 0;
  for (int i = 0; i < QDS_PLACES; i++) qds_copy_give(b, (qds_place)i);
  int waits = 0;
  for (int i = 0; i < QDS_PLACES; i++) waits |= b->copies[i].leaving;
  pthread_mutex_lock(&m->lock);
  qds_buffer_unclaim_locked(b);
  if (!waits) qds_buffer_unlink(b);
  m->disposing--;
  *last = take_last(m);
  pthread_mutex_unlock(&m->lock);
  return 1;
}

static qds_status drop(qds_buffer *b, qds_owner owner, int *done, last_fn *last) {
  qds_buffer_manager *m = b->manager;
  const uint64_t before = atomic_load(&b->references);
  QDS_REQUIRE(qds_references_of(before, owner) > 0, "%s: destroyed more often than it was retained for %s",
              qds_buffer_name(b).text, owner == QDS_OWNER_PYTHON ? "Python" : "the library");
  if (before != one_reference(owner)) {
    pthread_mutex_lock(&m->lock);
    *done = exchange(b, before, owner);
    *last = take_last(m);
    pthread_mutex_unlock(&m->lock);
    return QDS_OK;
  }
  qds_buffer_claim(b);
  if (b->brackets) {
    const qds_buffer_title name = qds_buffer_name(b);
    const int readers = b->readers, writers = b->writers;
    qds_buffer_unclaim(b);
    QDS_FAIL(QDS_ERROR_ARGUMENT,
             "%s: destroyed while it is acquired (readers: %d, writers: %d); release it first", name.text,
             readers, writers);
  }
  *done = dispose(b, before, owner, last);
  if (!*done) qds_buffer_unclaim(b);
  return QDS_OK;
}

qds_status qds_buffer_drop_for(qds_buffer *b, qds_owner owner) {
  if (!b) return QDS_OK;
  qds_buffer_manager *m = b->manager;
  last_fn last = NULL;
  for (int done = 0; !done;) QDS_TRY(drop(b, owner, &done, &last));
  if (last) last(m->last_user);
  return QDS_OK;
}

qds_status qds_buffer_destroy(qds_buffer *b) {
  return qds_buffer_drop_for(b, QDS_OWNER_LIBRARY);
}

/* --- creation ------------------------------------------------------------------------------------------- */

static qds_tag_entry *find_tag(qds_buffer_manager *m, const char *tag) {
  pthread_mutex_lock(&m->lock);
  qds_tag_entry *entry = m->tags;
  while (entry && strcmp(entry->tag, tag) != 0) entry = entry->next;
  pthread_mutex_unlock(&m->lock);
  return entry;
}

static qds_status tag_entry(qds_buffer_manager *m, const char *tag, qds_tag_entry **out) {
  *out = find_tag(m, tag);
  if (*out) return QDS_OK;
  qds_tag_entry *entry = NULL;
  QDS_TRY(qds_buffer_record(m, sizeof *entry + strlen(tag) + 1, (void **)&entry));
  *entry = (qds_tag_entry){.row.tag = entry->tag};
  strcpy(entry->tag, tag);
  pthread_mutex_lock(&m->lock);
  qds_tag_entry **at = &m->tags;
  while (*at && strcmp((*at)->tag, tag) != 0) at = &(*at)->next;
  qds_tag_entry *other = *at; /* of another thread, made meanwhile */
  if (!other) *at = entry;
  pthread_mutex_unlock(&m->lock);
  if (other) qds_release(entry);
  *out = other ? other : entry;
  return QDS_OK;
}

typedef struct {
  qds_buffer_manager *manager;
  const char *tag;
  size_t bytes;
  qds_tag_entry *entry;
  qds_buffer *buffer;
} records;

static qds_status take_records(void *data) {
  records *r = data;
  QDS_TRY(tag_entry(r->manager, r->tag, &r->entry));
  return qds_buffer_record(r->manager, r->bytes, (void **)&r->buffer);
}

qds_status qds_buffer_new(qds_buffer_manager *m, size_t bytes, qds_mem_strategy strategy, const char *tag,
                          const char *file, int line, qds_buffer **out) {
  QDS_REQUIRE(out, "qds_buffer_create: out is NULL");
  *out = NULL;
  QDS_REQUIRE(tag && *tag && file, "qds_buffer_create: a buffer needs a tag and a source file");
  QDS_REQUIRE(qds_mem_strategy_name(strategy),
              "\"%s\" (%s:%d): no strategy %d; allowed are cpu_only, gpu_only, unified and adaptive", tag,
              file, line, (int)strategy);
  QDS_REQUIRE(bytes <= PTRDIFF_MAX, "\"%s\" (%s:%d): %zu bytes pass the address range", tag, file, line,
              bytes);
  if (strategy == QDS_MEM_GPU_ONLY && !m->accelerator)
    QDS_FAIL(QDS_ERROR_UNSUPPORTED, "\"%s\" (%s:%d): gpu_only needs a device, and there is none: %s", tag,
             file, line, m->device_reason);
  records r = {.manager = m, .tag = tag, .bytes = sizeof(qds_buffer) + strlen(file) + 1};
  QDS_TRY(qds_buffer_work_run(m, &(qds_buffer_work){.run = take_records, .data = &r}));
  qds_buffer *b = r.buffer;
  *b = (qds_buffer){.manager = m,
                    .bytes = bytes,
                    .strategy = strategy,
                    .tag = r.entry,
                    .file = strcpy((char *)(b + 1), file),
                    .line = line,
                    .references = one_reference(QDS_OWNER_LIBRARY),
                    .home = QDS_PLACES};
  pthread_mutex_lock(&m->lock);
  b->newer = &m->ring;
  b->older = m->ring.older;
  b->older->newer = b;
  m->ring.older = b;
  m->statistics.buffers++;
  m->statistics.total_buffers++;
  pthread_mutex_unlock(&m->lock);
  *out = b;
  return QDS_OK;
}

/* --- what there is -------------------------------------------------------------------------------------- */

void qds_buffer_get_info(qds_buffer *b, qds_buffer_info *out) {
  qds_buffer_claim(b);
  const uint64_t references = atomic_load(&b->references);
  *out = (qds_buffer_info){.bytes = b->bytes,
                           .strategy = b->strategy,
                           .tag = b->tag->tag,
                           .file = b->file,
                           .line = b->line,
                           .readers = b->readers,
                           .writers = b->writers,
                           .home = b->home == QDS_PLACES ? QDS_PLACE_HOST : b->home};
  for (int i = 0; i < QDS_OWNERS; i++) out->references[i] = qds_references_of(references, (qds_owner)i);
  for (int i = 0; i < QDS_PLACES; i++) {
    out->held[i] = (unsigned char)(b->copies[i].held && !b->copies[i].leaving);
    out->valid[i] = (unsigned char)b->copies[i].valid;
  }
  qds_buffer_unclaim(b);
}

static qds_status reap(void *data) {
  (void)qds_copies_reap(data, 0);
  return QDS_OK;
}

void qds_buffer_manager_statistics(qds_buffer_manager *m, qds_memory_statistics *out) {
  (void)qds_buffer_work_run(m, &(qds_buffer_work){.run = reap, .data = m});
  pthread_mutex_lock(&m->lock);
  *out = m->statistics;
  pthread_mutex_unlock(&m->lock);
}

int qds_buffer_manager_tag(qds_buffer_manager *m, size_t index, qds_memory_tag_row *row) {
  pthread_mutex_lock(&m->lock);
  const qds_tag_entry *entry = m->tags;
  while (entry && index-- > 0) entry = entry->next;
  if (entry) *row = entry->row;
  pthread_mutex_unlock(&m->lock);
  return entry != NULL;
}

static void read_device_pool(const qds_buffer_manager *m, qds_memory_pool_row *row) {
  qds_stream_pool_statistics s;
  qds_stream_pool_statistics_read(m->accelerator->pool, &s);
  *row = (qds_memory_pool_row){.name = "device",
                               .place = QDS_PLACE_DEVICE,
                               .used_bytes = s.used_bytes,
                               .peak_used_bytes = s.peak_used_bytes,
                               .reserved_bytes = s.reserved_bytes,
                               .peak_reserved_bytes = s.peak_reserved_bytes,
                               .largest_free_bytes = s.largest_free_bytes,
                               .fragmentation = s.fragmentation};
}

qds_memory_pool_row qds_best_fit_row(const char *name, qds_place place, const qds_best_fit_statistics *s) {
  return (qds_memory_pool_row){.name = name,
                               .place = place,
                               .used_bytes = s->used_bytes,
                               .peak_used_bytes = s->peak_used_bytes,
                               .reserved_bytes = s->reserved_bytes,
                               .peak_reserved_bytes = s->peak_reserved_bytes,
                               .largest_free_bytes = s->largest_free_bytes,
                               .fragmentation = s->fragmentation};
}

static void read_pinned_pool(const qds_buffer_manager *m, qds_memory_pool_row *row) {
  qds_best_fit_statistics s;
  qds_best_fit_read(m->pinned, &s);
  *row = qds_best_fit_row("pinned", QDS_PLACE_PINNED, &s);
}

int qds_buffer_manager_pool(qds_buffer_manager *m, size_t index, qds_memory_pool_row *row) {
  if (!m->accelerator || index > 1) return 0;
  if (index == 0)
    read_device_pool(m, row);
  else
    read_pinned_pool(m, row);
  return 1;
}

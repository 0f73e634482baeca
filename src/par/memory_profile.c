/* The timeline of the memory account: a thread that samples it.
 *
 * Samples lie in one table, a row per sample and a column per series, taken when the profile starts and never
 * grown, so that sampling allocates nothing. Only the sampling thread writes it; readers come after the
 * thread has ended. */
#include <errno.h>
#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/text.h"
#include "mem/pool_stream.h"
#include "par/context.h"
#include "par/memory_profile.h"

/* At a tenth of a second, seven minutes before the first halving. */
enum { MOST_SAMPLES = 4096, MOST_SERIES = 96, NAMES_SIZE = 80 * MOST_SERIES };
static const double default_interval_s = 0.1, longest_interval_s = 3600;
/* What finds no room of its own in the table, or for its name; at most one such series per place. */
static const char further_tags[] = "further tags";
enum { FURTHER_SERIES = 1 + QDS_PLACES, FURTHER_SIZE = 32 * FURTHER_SERIES };

struct qds_memory_profile {
  qds_context *ctx; /* which holds the profile's own memory */
  pthread_t thread;
  pthread_mutex_t lock;
  pthread_cond_t wake;
  int running, stopping; /* under the lock, as are the contexts */
  qds_context **contexts;
  size_t watched, room; /* contexts, of those that find place */
  double start_s, interval_s;
  size_t samples, series, names_used;
  double seconds[MOST_SAMPLES];
  char names[NAMES_SIZE];
  const char *name[MOST_SERIES]; /* "host/eigensolver", in `names` */
  double bytes[MOST_SERIES][MOST_SAMPLES];
};

static int is_named(const char *name, const char *place, const char *tag) {
  const size_t length = strlen(place);
  return strncmp(name, place, length) == 0 && name[length] == '/' && strcmp(name + length + 1, tag) == 0;
}

/* The series of a tag, from `guess` on: samples bring them in the same order. MOST_SERIES when there is none.
 */
static size_t find(const qds_memory_profile *p, const char *place, const char *tag, size_t guess) {
  for (size_t tried = 0; tried < p->series; tried++) {
    const size_t i = (guess + tried) % p->series;
    if (is_named(p->name[i], place, tag)) return i;
  }
  return MOST_SERIES;
}

/* Beside what the further tags may need. */
static int has_room(const qds_memory_profile *p, const char *place, const char *tag) {
  const size_t name = strlen(place) + strlen(tag) + 2;
  return p->series < MOST_SERIES - FURTHER_SERIES && p->names_used + name + FURTHER_SIZE <= NAMES_SIZE;
}

static size_t append(qds_memory_profile *p, const char *place, const char *tag) {
  char *name = p->names + p->names_used;
  p->names_used += (size_t)snprintf(name, NAMES_SIZE - p->names_used, "%s/%s", place, tag) + 1;
  p->name[p->series] = name;
  return p->series++;
}

/* Series appear when their tag does: before, they are 0. Contexts add to each other's. */
static void put(qds_memory_profile *p, size_t *next, const char *place, const char *tag, size_t bytes) {
  size_t i = find(p, place, tag, *next);
  if (i == MOST_SERIES && !has_room(p, place, tag)) {
    tag = further_tags;
    i = find(p, place, tag, *next);
  }
  if (i == MOST_SERIES) i = append(p, place, tag);
  p->bytes[i][p->samples] += (double)bytes;
  *next = i + 1;
}

static size_t resident_bytes(void) {
  size_t pages = 0;
  FILE *file = fopen("/proc/self/statm", "re");
  if (!file) return 0;
  if (fscanf(file, "%*s %zu", &pages) != 1) pages = 0;
  fclose(file);
  return pages * (size_t)sysconf(_SC_PAGESIZE);
}

/* Every second sample goes, and from now on half as many come. */
static void thin_out(qds_memory_profile *p) {
  p->samples /= 2;
  for (size_t i = 0; i < p->samples; i++) {
    p->seconds[i] = p->seconds[2 * i];
    for (size_t s = 0; s < p->series; s++) p->bytes[s][i] = p->bytes[s][2 * i];
  }
  for (size_t s = 0; s < p->series; s++)
    memset(p->bytes[s] + p->samples, 0, sizeof(double) * (MOST_SAMPLES - p->samples));
  p->interval_s *= 2;
}

/* Heap and device pool know memory of buffers under one tag; the buffers know the tags that callers gave. */
static void put_row(qds_memory_profile *p, size_t *next, const char *place, const qds_memory_row *row) {
  if (strcmp(row->tag, QDS_BUFFER_TAG) != 0) put(p, next, place, row->tag, row->current_bytes);
}

static void put_buffers(qds_memory_profile *p, size_t *next, const qds_memory_tag_row *row) {
  for (int i = 0; i < QDS_PLACES; i++) {
    const char *place = i == QDS_PLACE_FILE ? "files" : qds_place_name((qds_place)i);
    if (row->places[i].total_blocks) put(p, next, place, row->tag, row->places[i].current_bytes);
  }
}

static void sample_context(qds_memory_profile *p, size_t *next, qds_context *ctx) {
  qds_memory_row row;
  qds_memory_tag_row buffers;
  qds_memory_files files;
  const qds_accelerator *device = qds_context_accelerator(ctx);
  qds_context_files(ctx, &files);
  put(p, next, "files", "overflow", files.current_bytes);
  for (size_t i = 0; qds_context_memory_tag(ctx, i, &row); i++) put_row(p, next, "host", &row);
  for (size_t i = 0; device && qds_stream_pool_tag(device->pool, i, &row); i++)
    put_row(p, next, "device", &row);
  for (size_t i = 0; qds_memory_tag(ctx, i, &buffers); i++) put_buffers(p, next, &buffers);
}

static void sample(qds_memory_profile *p) {
  size_t next = 0;
  if (p->samples == MOST_SAMPLES) thin_out(p);
  p->seconds[p->samples] = qds_seconds() - p->start_s;
  put(p, &next, "process", "resident", resident_bytes());
  for (size_t i = 0; i < p->watched; i++) sample_context(p, &next, p->contexts[i]);
  p->samples++;
}

static struct timespec after(double seconds) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  const double whole = floor(seconds);
  now.tv_sec += (time_t)whole;
  now.tv_nsec += (long)(1e9 * (seconds - whole));
  if (now.tv_nsec >= 1000000000L) now.tv_sec++, now.tv_nsec -= 1000000000L;
  return now;
}

static void *run(void *self) {
  qds_memory_profile *p = self;
  pthread_mutex_lock(&p->lock);
  do {
    const struct timespec until = after(p->interval_s);
    while (!p->stopping && pthread_cond_timedwait(&p->wake, &p->lock, &until) != ETIMEDOUT) continue;
    sample(p);
  } while (!p->stopping);
  pthread_mutex_unlock(&p->lock);
  return NULL;
}

/* --- contexts ------------------------------------------------------------------------------------------- */

static size_t place_of(const qds_memory_profile *p, const qds_context *ctx) {
  size_t i = 0;
  while (i < p->watched && p->contexts[i] != ctx) i++;
  return i;
}

/* Call with the lock held. */
static qds_status watch(qds_memory_profile *p, qds_context *ctx) {
  if (place_of(p, ctx) < p->watched) return QDS_OK;
  if (p->watched == p->room) {
    const size_t room = p->room ? 2 * p->room : 8;
    QDS_TRY(QDS_RESIZE(qds_context_allocator(p->ctx), room, "memory profile", &p->contexts));
    p->room = room;
  }
  p->contexts[p->watched++] = ctx;
  return QDS_OK;
}

qds_status qds_memory_profile_join(qds_memory_profile *p, qds_context *ctx) {
  QDS_REQUIRE(p && ctx, "qds_memory_profile_join: no profile, or no context");
  pthread_mutex_lock(&p->lock);
  const qds_status status = watch(p, ctx);
  pthread_mutex_unlock(&p->lock);
  return status;
}

void qds_memory_profile_leave(qds_memory_profile *p, const qds_context *ctx) {
  if (!p) return;
  pthread_mutex_lock(&p->lock);
  const size_t i = place_of(p, ctx);
  if (i < p->watched) p->contexts[i] = p->contexts[--p->watched];
  pthread_mutex_unlock(&p->lock);
}

/* --- begin and end ------------------------------------------------------------------------------------- */

static void open_lock(qds_memory_profile *p) {
  pthread_condattr_t monotonic;
  pthread_condattr_init(&monotonic);
  pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
  pthread_mutex_init(&p->lock, NULL);
  pthread_cond_init(&p->wake, &monotonic);
  pthread_condattr_destroy(&monotonic);
}

/* The first sample is taken here: there is one of the moment before the caller's work, and one of that after.
 */
static qds_status start(qds_memory_profile *p, qds_context *const *contexts, size_t count) {
  for (size_t i = 0; i < count; i++) QDS_TRY(watch(p, contexts[i]));
  sample(p);
  const int refused = pthread_create(&p->thread, NULL, run, p);
  p->running = !refused;
  if (refused)
    QDS_FAIL_NATIVE(QDS_ERROR_INTERNAL, refused, "memory profile: no thread: %s", strerror(refused));
  return QDS_OK;
}

qds_status qds_memory_profile_start_on(qds_context *const *contexts, size_t count, double interval_s,
                                       qds_memory_profile **out) {
  QDS_REQUIRE(out, "qds_memory_profile_start: out is NULL");
  *out = NULL;
  QDS_REQUIRE(contexts && count > 0 && contexts[0], "qds_memory_profile_start: no context");
  QDS_REQUIRE(interval_s >= 0 && interval_s <= longest_interval_s,
              "memory profile: an interval of %g s; 0 (for %g) to %g are allowed", interval_s,
              default_interval_s, longest_interval_s);
  qds_memory_profile *p = NULL;
  QDS_TRY(QDS_NEW_ZERO(qds_context_allocator(contexts[0]), 1, "memory profile", &p));
  p->ctx = contexts[0];
  p->interval_s = interval_s > 0 ? interval_s : default_interval_s;
  p->start_s = qds_seconds();
  open_lock(p);
  const qds_status status = start(p, contexts, count);
  if (status == QDS_OK)
    *out = p;
  else
    qds_memory_profile_destroy(p);
  return status;
}

qds_status qds_memory_profile_start(qds_context *ctx, double interval_s, qds_memory_profile **out) {
  return qds_memory_profile_start_on(&ctx, 1, interval_s, out);
}

void qds_memory_profile_stop(qds_memory_profile *p) {
  if (!p || !p->running) return;
  pthread_mutex_lock(&p->lock);
  p->stopping = 1;
  pthread_cond_signal(&p->wake);
  pthread_mutex_unlock(&p->lock);
  pthread_join(p->thread, NULL);
  p->running = 0;
}

void qds_memory_profile_destroy(qds_memory_profile *p) {
  if (!p) return;
  qds_memory_profile_stop(p);
  pthread_cond_destroy(&p->wake);
  pthread_mutex_destroy(&p->lock);
  qds_release(p->contexts);
  qds_release(p);
}

size_t qds_memory_profile_samples(const qds_memory_profile *p, const double **seconds) {
  *seconds = p->seconds;
  return p->running ? 0 : p->samples;
}

const char *qds_memory_profile_series(const qds_memory_profile *p, size_t index, const double **bytes) {
  *bytes = NULL;
  if (p->running || index >= p->series) return NULL;
  *bytes = p->bytes[index];
  return p->name[index];
}

/* --- the file ------------------------------------------------------------------------------------------- */

static qds_status put_numbers(qds_hdf5_file *file, const char *path, size_t count, const double *values) {
  QDS_HDF5_DATASET set = {0};
  const hsize_t start = 0, size = count;
  QDS_TRY(qds_hdf5_dataset_create(file, path, H5T_IEEE_F64LE, H5T_NATIVE_DOUBLE, 1, &size, &set));
  QDS_TRY(qds_hdf5_dataset_write(&set, &start, &size, values));
  return qds_hdf5_dataset_finish(&set);
}

/* The name of a tag's dataset: a link of HDF5 has no '/', and is not "." or empty. What a link cannot be,
 * '%', and bytes that are not UTF-8, which readers trip over, are written as in URLs; no tag is written as
 * "%". */
static void add_link(qds_text *path, const char *tag) {
  const int dots = strspn(tag, ".") == strlen(tag);
  if (!*tag) qds_text_add(path, "%");
  while (*tag) {
    const char *start = tag;
    const uint32_t code = qds_utf8_next(&tag);
    const int stray = code == 0xfffd && tag - start == 1;
    if (code == '/' || code == '%' || (code == '.' && dots) || stray)
      qds_text_print(path, "%%%02X", (unsigned char)*start);
    else
      qds_text_append(path, start, (size_t)(tag - start));
  }
}

static qds_status put_series(const qds_memory_profile *p, size_t i, qds_hdf5_file *file) {
  qds_text path = {.allocator = qds_context_allocator(p->ctx)};
  const char *tag = strchr(p->name[i], '/') + 1;
  qds_text_add(&path, "/memory_profile/");
  qds_text_append(&path, p->name[i], (size_t)(tag - p->name[i]));
  add_link(&path, tag);
  qds_status status = path.status;
  if (status == QDS_OK) status = put_numbers(file, path.bytes, p->samples, p->bytes[i]);
  qds_release(path.bytes);
  return status;
}

qds_status qds_memory_profile_put(const qds_memory_profile *p, qds_hdf5_file *file) {
  static const char *const groups[] = {
      "/memory_profile",        "/memory_profile/process", "/memory_profile/files",  "/memory_profile/host",
      "/memory_profile/pinned", "/memory_profile/device",  "/memory_profile/unified"};
  for (size_t i = 0; i < sizeof groups / sizeof *groups; i++) QDS_TRY(qds_hdf5_group(file, groups[i]));
  QDS_TRY(qds_hdf5_string(file, "/memory_profile", "qdsim", QDS_HDF5_UTF8, qds_version()));
  QDS_TRY(qds_hdf5_numbers(file, "/memory_profile", "interval_s", H5T_IEEE_F64LE, H5T_NATIVE_DOUBLE, 1,
                           &p->interval_s));
  QDS_TRY(put_numbers(file, "/memory_profile/time_s", p->samples, p->seconds));
  for (size_t i = 0; i < p->series; i++) QDS_TRY(put_series(p, i, file));
  return QDS_OK;
}

qds_status qds_memory_profile_prepare(const qds_memory_profile *p, const char *path, qds_pending_file **out) {
  QDS_AUTO(qds_pending_file) *pending = NULL;
  qds_hdf5_file file;
  *out = NULL;
  QDS_TRY(qds_pending_create(qds_context_allocator(p->ctx), path, &pending));
  QDS_TRY(qds_hdf5_create(&file, qds_pending_path(pending), path));
  const qds_status status = qds_memory_profile_put(p, &file);
  if (status != QDS_OK) {
    qds_hdf5_abandon(&file);
    return status;
  }
  QDS_TRY(qds_hdf5_close(&file));
  *out = pending;
  pending = NULL;
  return QDS_OK;
}

qds_status qds_memory_profile_write(const qds_memory_profile *p, const char *path) {
  QDS_REQUIRE(p && path, "qds_memory_profile_write: no profile, or no path");
  QDS_REQUIRE(!p->running, "qds_memory_profile_write: stop the profile first");
  QDS_AUTO(qds_pending_file) *pending = NULL;
  QDS_TRY(qds_memory_profile_prepare(p, path, &pending));
  return qds_pending_commit(pending);
}

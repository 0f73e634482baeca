#include "mem/provider_file.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/magic.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "mem/spill_file.h"
#include "qdsim/text.h"

/* Regions form a ring; the sweep's hand points into it. */
typedef struct region region;
struct region {
  region *next, *previous;
  char *memory;
  size_t bytes;
  int descriptor;
};

struct qds_file_provider {
  pthread_mutex_t lock;
  region ring; /* its own `bytes` are 0 */
  region *hand;
  size_t hand_at; /* bytes of the hand's region that the sweep has passed */
  qds_file_usage usage;
  size_t page;
  char folder[];
};

/* A page that is dropped while it is held only comes back at the next touch; a step bounds how long the lock
 * is held. */
static const size_t sweep_step = (size_t)4 << 20;

static qds_status check_folder(const char *folder) {
  struct stat status;
  struct statfs system;
  if (stat(folder, &status) || statfs(folder, &system))
    QDS_FAIL_NATIVE(QDS_ERROR_FILE, errno, "cannot use the scratch folder \"%s\": %m", folder);
  if (!S_ISDIR(status.st_mode))
    QDS_FAIL_NATIVE(QDS_ERROR_FILE, ENOTDIR, "cannot use the scratch folder \"%s\": it is no folder", folder);
  if (faccessat(AT_FDCWD, folder, W_OK | X_OK, AT_EACCESS))
    QDS_FAIL_NATIVE(QDS_ERROR_FILE, errno, "cannot write into the scratch folder \"%s\": %m", folder);
  if (system.f_type == TMPFS_MAGIC || system.f_type == RAMFS_MAGIC)
    QDS_FAIL(QDS_ERROR_FILE, "the scratch folder \"%s\" lies in memory (tmpfs), where files save none",
             folder);
  return QDS_OK;
}

qds_status qds_file_provider_create(const char *folder, qds_file_provider **out) {
  *out = NULL;
  QDS_TRY(check_folder(folder));
  qds_file_provider *p = calloc(1, sizeof *p + strlen(folder) + 1);
  if (!p) QDS_FAIL(QDS_ERROR_MEMORY, "out of memory: no room to manage files");
  pthread_mutex_init(&p->lock, NULL);
  strcpy(p->folder, folder);
  p->page = (size_t)sysconf(_SC_PAGESIZE);
  p->ring.next = p->ring.previous = p->hand = &p->ring;
  *out = p;
  return QDS_OK;
}

static void close_region(region *r) {
  munmap(r->memory, r->bytes);
  close(r->descriptor);
  free(r);
}

void qds_file_provider_destroy(qds_file_provider *p) {
  if (!p) return;
  while (p->ring.next != &p->ring) {
    region *r = p->ring.next;
    p->ring.next = r->next;
    close_region(r);
  }
  pthread_mutex_destroy(&p->lock);
  free(p);
}

const char *qds_file_provider_folder(const qds_file_provider *p) {
  return p->folder;
}

size_t qds_file_provider_room(const qds_file_provider *p) {
  struct statvfs system;
  size_t bytes;
  if (statvfs(p->folder, &system)) return 0;
  return __builtin_mul_overflow(system.f_bavail, system.f_frsize, &bytes) ? SIZE_MAX : bytes;
}

/* --- regions ------------------------------------------------------------------------------------------- */

/* A file without a name, of `bytes` bytes that the disk has reserved. Returns an errno. */
static int open_nameless(const qds_file_provider *p, size_t bytes, int *descriptor) {
  int file, error = qds_open_unnamed(p->folder, &file);
  if (error) return error;
  while ((error = posix_fallocate(file, 0, (off_t)bytes)) == EINTR) continue;
  if (error) {
    close(file);
    return error;
  }
  *descriptor = file;
  return 0;
}

static qds_status refuse(const qds_file_provider *p, size_t bytes, const char *purpose, int error) {
  char size[QDS_BYTES_TEXT];
  qds_format_bytes(bytes, size);
  errno = error;
  QDS_FAIL_NATIVE(QDS_ERROR_FILE, error,
                  "cannot put %s of %s into a file in the scratch folder \"%s\": %m; name another", size,
                  purpose, p->folder);
}

/* Runs once through a new region. The kernel's cache then holds it in large pieces, each of which one fault
 * maps: with the small pieces that scattered first touches would leave, faults take ten times as long.
 * Kernels before 5.14 know no such advice. */
static void read_once(const region *r) {
#ifdef MADV_POPULATE_READ
  for (size_t at = 0; at < r->bytes; at += sweep_step) {
    const size_t bytes = r->bytes - at < sweep_step ? r->bytes - at : sweep_step;
    if (madvise(r->memory + at, bytes, MADV_POPULATE_READ)) return;
    madvise(r->memory + at, bytes, MADV_DONTNEED);
  }
#else
  (void)r;
#endif
}

static void enlist(qds_file_provider *p, region *r) {
  pthread_mutex_lock(&p->lock);
  r->next = &p->ring;
  r->previous = p->ring.previous;
  r->previous->next = r->next->previous = r;
  p->usage.current_bytes += r->bytes;
  p->usage.total_bytes += r->bytes;
  p->usage.current_regions++;
  p->usage.total_regions++;
  if (p->usage.current_bytes > p->usage.peak_bytes) p->usage.peak_bytes = p->usage.current_bytes;
  pthread_mutex_unlock(&p->lock);
}

qds_status qds_file_provider_take(qds_file_provider *p, size_t bytes, const char *purpose, void **out) {
  *out = NULL;
  size_t whole;
  if (__builtin_add_overflow(bytes, p->page - 1, &whole) || whole > INT64_MAX)
    return refuse(p, bytes, purpose, EFBIG);
  whole -= whole % p->page;
  if (whole == 0) whole = p->page;
  region *r = calloc(1, sizeof *r);
  if (!r) QDS_FAIL(QDS_ERROR_MEMORY, "out of memory: no room to manage a file for %s", purpose);
  r->bytes = whole;
  const int error = open_nameless(p, whole, &r->descriptor);
  if (error) {
    free(r);
    return refuse(p, bytes, purpose, error);
  }
  r->memory = mmap(NULL, whole, PROT_READ | PROT_WRITE, MAP_SHARED, r->descriptor, 0);
  if (r->memory == MAP_FAILED) {
    const int reason = errno;
    close(r->descriptor);
    free(r);
    QDS_FAIL_NATIVE(QDS_ERROR_MEMORY, reason, "out of memory: no address range for %zu bytes of %s in a file",
                    whole, purpose);
  }
  read_once(r);
  enlist(p, r);
  *out = r->memory;
  return QDS_OK;
}

/* The region that holds an address; call with the lock held. */
static region *find(qds_file_provider *p, const void *memory) {
  const char *at = memory;
  for (region *r = p->ring.next; r != &p->ring; r = r->next)
    if (at >= r->memory && at < r->memory + r->bytes) return r;
  return NULL;
}

void qds_file_provider_give_back(qds_file_provider *p, void *memory) {
  pthread_mutex_lock(&p->lock);
  region *r = find(p, memory);
  if (r) {
    if (p->hand == r) p->hand = r->next, p->hand_at = 0;
    r->previous->next = r->next;
    r->next->previous = r->previous;
    p->usage.current_bytes -= r->bytes;
    p->usage.current_regions--;
  }
  pthread_mutex_unlock(&p->lock);
  if (r) close_region(r);
}

static qds_status table_allocate(void *state, size_t bytes, void **out) {
  const qds_status status = qds_file_provider_take(state, bytes, "a pool", out);
  if (status != QDS_ERROR_FILE) return status;
  char reason[1024];
  snprintf(reason, sizeof reason, "%s", qds_last_error()->message);
  QDS_FAIL_NATIVE(QDS_ERROR_MEMORY, qds_last_error()->native, "out of memory: %s", reason);
}

static void table_release(void *state, void *range, size_t bytes) {
  (void)bytes;
  qds_file_provider_give_back(state, range);
}

static size_t table_granularity(void *state, size_t bytes) {
  (void)bytes;
  return ((const qds_file_provider *)state)->page;
}

qds_provider qds_provider_files(qds_file_provider *p) {
  static const qds_provider_table table = {.abi = QDS_PROVIDER_ABI,
                                           .size = sizeof table,
                                           .name = "file",
                                           .alignment = 4096, /* of every page there is */
                                           .allocate = table_allocate,
                                           .release = table_release,
                                           .granularity = table_granularity};
  return (qds_provider){&table, p};
}

/* --- pages --------------------------------------------------------------------------------------------- */

/* The whole pages that a range touches, and where they lie in the file. */
typedef struct {
  char *from;
  size_t bytes;
  off_t offset;
} pages;

static pages pages_of(const qds_file_provider *p, const region *r, const void *memory, size_t bytes) {
  const size_t inside = (size_t)((const char *)memory - r->memory), first = inside - inside % p->page;
  const size_t left = r->bytes - first, wanted = bytes + inside - first;
  return (pages){r->memory + first, wanted < left ? wanted : left, (off_t)first};
}

void qds_file_provider_drop(qds_file_provider *p, void *memory, size_t bytes) {
  pthread_mutex_lock(&p->lock);
  const region *r = find(p, memory);
  if (r) {
    const pages dropped = pages_of(p, r, memory, bytes);
    madvise(dropped.from, dropped.bytes, MADV_DONTNEED);
  }
  pthread_mutex_unlock(&p->lock);
}

qds_status qds_file_provider_write_back(qds_file_provider *p, void *memory, size_t bytes) {
  int error = 0;
  pthread_mutex_lock(&p->lock);
  const region *r = find(p, memory);
  if (r) {
    const pages written = pages_of(p, r, memory, bytes);
    if (msync(written.from, written.bytes, MS_SYNC)) error = errno;
    madvise(written.from, written.bytes, MADV_DONTNEED);
    posix_fadvise(r->descriptor, written.offset, (off_t)written.bytes, POSIX_FADV_DONTNEED);
  }
  pthread_mutex_unlock(&p->lock);
  errno = error;
  if (error) QDS_FAIL_NATIVE(QDS_ERROR_FILE, error, "cannot write to a file in \"%s\": %m", p->folder);
  return QDS_OK;
}

void qds_file_provider_prefetch(qds_file_provider *p, void *memory, size_t bytes) {
  pthread_mutex_lock(&p->lock);
  const region *r = find(p, memory);
  if (r) {
    const pages wanted = pages_of(p, r, memory, bytes);
    posix_fadvise(r->descriptor, wanted.offset, (off_t)wanted.bytes, POSIX_FADV_WILLNEED);
  }
  pthread_mutex_unlock(&p->lock);
}

/* One step of the sweep; returns the bytes that it passed, 0 at the end of a region. Call with the lock held.
 */
static size_t step(qds_file_provider *p, size_t most) {
  region *r = p->hand;
  const size_t left = r->bytes - p->hand_at;
  size_t bytes = left < sweep_step ? left : sweep_step;
  if (bytes > most) bytes = most - most % p->page + (most < p->page ? p->page : 0);
  if (bytes > 0) madvise(r->memory + p->hand_at, bytes, MADV_DONTNEED);
  p->hand_at += bytes;
  if (p->hand_at == r->bytes) p->hand = r->next, p->hand_at = 0;
  return bytes;
}

size_t qds_file_provider_sweep(qds_file_provider *p, size_t bytes) {
  size_t passed = 0, whole;
  do {
    pthread_mutex_lock(&p->lock);
    whole = p->usage.current_bytes;
    if (whole > 0) passed += step(p, bytes - passed);
    pthread_mutex_unlock(&p->lock);
  } while (passed < bytes && passed < whole);
  return passed;
}

void qds_file_provider_usage(qds_file_provider *p, qds_file_usage *out) {
  pthread_mutex_lock(&p->lock);
  *out = p->usage;
  pthread_mutex_unlock(&p->lock);
}

/* A mapping begins with a line that has its addresses and goes on with lines "Rss:  4 kB" (proc(5)). */
size_t qds_file_provider_mapped(qds_file_provider *p) {
  char line[4400];
  size_t kib, total = 0;
  uintptr_t start;
  int ours = 0;
  FILE *file = fopen("/proc/self/smaps", "re");
  if (!file) return 0;
  while (fgets(line, sizeof line, file)) {
    if (sscanf(line, "%" SCNxPTR "-", &start) == 1 && (line[0] < 'A' || line[0] > 'Z')) {
      pthread_mutex_lock(&p->lock);
      ours = find(p, (const void *)start) != NULL;
      pthread_mutex_unlock(&p->lock);
    } else if (ours && sscanf(line, "Rss: %zu kB", &kib) == 1) {
      total += kib * 1024;
    }
  }
  fclose(file);
  return total;
}

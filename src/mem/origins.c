#include "mem/origins.h"

/* So many of the numbers wait for tags whose lines find none. */
enum { WITH_LINES = QDS_ORIGINS - QDS_ACCOUNT_TAGS };

qds_status qds_origins_open(qds_origins *origins, qds_allocator *allocator) {
  pthread_mutex_init(&origins->lock, NULL);
  QDS_TRY(QDS_NEW(allocator, QDS_ORIGINS, "source lines", &origins->origins));
  origins->origins[origins->count++] = (qds_origin){NULL, 0, 0};
  return QDS_OK;
}

void qds_origins_close(qds_origins *origins) {
  qds_release(origins->origins);
  pthread_mutex_destroy(&origins->lock);
}

/* Where the number of an origin stands in the table, or is to stand. Fibonacci hashing. */
static uint16_t *entry_of(qds_origins *o, const qds_origin *wanted) {
  const uint64_t key = ((uint64_t)(uintptr_t)wanted->file << 16) + (unsigned)wanted->line + wanted->tag;
  for (size_t i = (size_t)(key * 0x9e3779b97f4a7c15u >> 32);; i++) {
    uint16_t *entry = &o->table[i % (2 * QDS_ORIGINS)];
    if (!*entry) return entry;
    const qds_origin *there = &o->origins[*entry];
    if (there->file == wanted->file && there->line == wanted->line && there->tag == wanted->tag) return entry;
  }
}

uint32_t qds_origins_find(qds_origins *o, qds_account_key tag, const char *file, int line) {
  qds_origin wanted = {file, file ? line : 0, tag};
  pthread_mutex_lock(&o->lock);
  uint16_t *entry = entry_of(o, &wanted);
  if (!*entry && file && o->count >= WITH_LINES) {
    wanted = (qds_origin){NULL, 0, tag};
    entry = entry_of(o, &wanted);
  }
  if (!*entry) {
    *entry = (uint16_t)o->count++;
    o->origins[*entry] = wanted;
  }
  const uint32_t number = *entry;
  pthread_mutex_unlock(&o->lock);
  return number;
}

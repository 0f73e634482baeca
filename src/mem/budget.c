#include "mem/budget.h"

#include "base/check.h"
#include "qdsim/text.h"

static void set_unasked(qds_budget *b) {
  atomic_store(&b->unasked_below, b->limit || b->fail_in ? 0 : b->small);
}

void qds_budget_open(qds_budget *b, size_t limit, size_t small) {
  pthread_mutex_init(&b->lock, NULL);
  b->limit = limit;
  b->small = small;
  set_unasked(b);
}

void qds_budget_close(qds_budget *b) {
  pthread_mutex_destroy(&b->lock);
}

uint64_t qds_budget_fail(qds_budget *b, uint64_t n) {
  pthread_mutex_lock(&b->lock);
  const uint64_t left = b->fail_in;
  b->fail_in = n;
  set_unasked(b);
  pthread_mutex_unlock(&b->lock);
  return left;
}

static qds_status inject(qds_budget *b, size_t bytes, const char *tag, const char *file, int line) {
  if (!atomic_load(&b->fail_in)) return QDS_OK;
  pthread_mutex_lock(&b->lock);
  const int fails = b->fail_in && --b->fail_in == 0;
  if (!b->fail_in) set_unasked(b);
  pthread_mutex_unlock(&b->lock);
  if (!fails) return QDS_OK;
  return qds_raise(QDS_ERROR_MEMORY, file, line, 0, "out of memory: %zu bytes for %s (failure injected)",
                   bytes, tag);
}

static int fits(const qds_budget *b, size_t held, size_t bytes) {
  return !b->limit || (bytes <= b->limit && held <= b->limit - bytes);
}

static qds_status grant(qds_budget *b, size_t bytes, const char *tag, const char *file, int line) {
  size_t held = atomic_load_explicit(&b->taken, memory_order_relaxed);
  do {
    if (!fits(b, held, bytes)) {
      char more[QDS_BYTES_TEXT], there[QDS_BYTES_TEXT], limit[QDS_BYTES_TEXT];
      qds_format_bytes(bytes, more);
      qds_format_bytes(held, there);
      qds_format_bytes(b->limit, limit);
      return qds_raise(QDS_ERROR_BUDGET, file, line, 0,
                       "memory budget exceeded: %s for %s on top of %s pass the limit of %s; raise "
                       "the memory limit, or use fewer nodes or states",
                       more, tag, there, limit);
    }
  } while (!atomic_compare_exchange_weak_explicit(&b->taken, &held, held + bytes, memory_order_relaxed,
                                                  memory_order_relaxed));
  return QDS_OK;
}

qds_status qds_budget_admit(qds_budget *b, size_t bytes, const char *tag, const char *file, int line) {
  QDS_TRY(inject(b, bytes, tag, file, line));
  return b->limit ? grant(b, bytes, tag, file, line) : QDS_OK;
}

void qds_budget_withdraw(qds_budget *b, size_t bytes) {
  if (b->limit) atomic_fetch_sub_explicit(&b->taken, bytes, memory_order_relaxed);
}

void qds_budget_note_peak(qds_budget *b) {
  if (!b->limit) return;
  const size_t taken = atomic_load_explicit(&b->taken, memory_order_relaxed);
  size_t peak = atomic_load_explicit(&b->peak, memory_order_relaxed);
  while (peak < taken && !atomic_compare_exchange_weak(&b->peak, &peak, taken)) continue;
}

int qds_budget_has_room(const qds_budget *b, size_t bytes) {
  return fits(b, atomic_load(&b->taken), bytes);
}

qds_status qds_budget_check(const qds_budget *b, size_t bytes, const char *purpose) {
  const size_t held = atomic_load(&b->taken);
  if (fits(b, held, bytes)) return QDS_OK;
  char needed[QDS_BYTES_TEXT], there[QDS_BYTES_TEXT], limit[QDS_BYTES_TEXT];
  qds_format_bytes(bytes, needed);
  qds_format_bytes(held, there);
  qds_format_bytes(b->limit, limit);
  QDS_FAIL(QDS_ERROR_BUDGET,
           "memory budget exceeded: %s needs %s on top of %s, the limit is %s; raise "
           "the memory limit, or use fewer nodes or states",
           purpose, needed, there, limit);
}

/* How many bytes may be taken at once, and the failures that tests inject.
 *
 * Concurrency. Bytes are granted by a compare-and-exchange, so that the limit is exact however many threads
 * share it. The lock guards the countdown to an injected failure. Where there is neither a limit nor a
 * failure to come, callers need not ask: they look at `unasked_below`. */
#ifndef QDS_MEM_BUDGET_H
#define QDS_MEM_BUDGET_H

#include <pthread.h>
#include <stdalign.h>
#include <stdatomic.h>
#include <stdint.h>

#include "qdsim/status.h"

typedef struct {
  size_t limit; /* bytes; 0: none, then nothing below is counted */
  size_t small; /* what `unasked_below` is when nobody need ask */
  /* Smaller requests need not be admitted; 0 while a limit holds or a failure is due. */
  atomic_size_t unasked_below;
  alignas(64) atomic_size_t taken; /* bytes granted */
  atomic_size_t peak;
  pthread_mutex_t lock;
  atomic_uint_least64_t fail_in; /* requests until one fails; 0: never */
} qds_budget;

/* `small`: callers spare themselves the question only for fewer bytes. */
void qds_budget_open(qds_budget *budget, size_t limit, size_t small);
void qds_budget_close(qds_budget *budget);

/* Grants `bytes` for `tag` at a source line. Errors: BUDGET past the limit; MEMORY when a failure was
 * injected. */
qds_status qds_budget_admit(qds_budget *budget, size_t bytes, const char *tag, const char *file, int line);
/* What was granted comes back. */
void qds_budget_withdraw(qds_budget *budget, size_t bytes);
/* What was granted is in use: the peak is the most at one time. */
void qds_budget_note_peak(qds_budget *budget);
/* Whether the limit leaves room for `bytes` more just now. */
int qds_budget_has_room(const qds_budget *budget, size_t bytes);
/* Fails with BUDGET when `bytes` more would pass the limit; grants nothing. */
qds_status qds_budget_check(const qds_budget *budget, size_t bytes, const char *purpose);
/* The n-th request from now on fails; 0: none does. Returns how many requests were still to come before the
 * failure that was asked for last; 0 when it has happened. */
uint64_t qds_budget_fail(qds_budget *budget, uint64_t n);

#endif

/* Who may work on a buffer, and when a lack of memory is real.
 *
 * A thread that needs room cannot move a buffer that another thread has claimed for a moment. So an operation
 * that finds no room while others are under way is undone and made again alone, when nobody else has a
 * claim; what then does not fit does not fit. */
#include "mem/buffer_internal.h"

/* The functions in this part are called with the lock held. */

static void begin(qds_buffer_manager *m) {
  while (m->alone) pthread_cond_wait(&m->changed, &m->lock);
  m->operations++;
}

static void begin_alone(qds_buffer_manager *m) {
  while (m->alone) pthread_cond_wait(&m->changed, &m->lock);
  m->alone = 1;
  while (m->operations > 0) pthread_cond_wait(&m->changed, &m->lock);
  m->operations++;
}

static void end(qds_buffer_manager *m) {
  m->operations--;
  m->finished++;
  pthread_cond_broadcast(&m->changed);
}

static void take(qds_buffer *b) {
  while (b->claimed) pthread_cond_wait(&b->manager->changed, &b->manager->lock);
  b->claimed = 1;
}

/* Two buffers are claimed in the order of their addresses, so that threads cannot wait for each other. */
static void take_both(qds_buffer *const buffers[2]) {
  const int swapped = buffers[0] > buffers[1];
  for (int i = 0; i < 2; i++)
    if (buffers[i ^ swapped]) take(buffers[i ^ swapped]);
}

/* --- without the lock ----------------------------------------------------------------------------------- */

void qds_buffer_claim(qds_buffer *b) {
  qds_buffer_manager *m = b->manager;
  pthread_mutex_lock(&m->lock);
  begin(m);
  take(b);
  pthread_mutex_unlock(&m->lock);
}

void qds_buffer_unclaim(qds_buffer *b) {
  qds_buffer_manager *m = b->manager;
  pthread_mutex_lock(&m->lock);
  qds_buffer_unclaim_locked(b);
  pthread_mutex_unlock(&m->lock);
}

void qds_buffer_unclaim_locked(qds_buffer *b) {
  b->claimed = 0;
  end(b->manager);
}

/* Whether others were under way meanwhile is left in *crowded. */
static qds_status work_once(qds_buffer_manager *m, const qds_buffer_work *w, int alone, int *crowded) {
  pthread_mutex_lock(&m->lock);
  if (alone)
    begin_alone(m);
  else
    begin(m);
  take_both(w->buffers);
  const uint64_t finished = m->finished;
  pthread_mutex_unlock(&m->lock);
  const qds_status status = w->run(w->data);
  pthread_mutex_lock(&m->lock);
  for (int i = 0; i < 2; i++)
    if (w->buffers[i]) w->buffers[i]->claimed = 0;
  *crowded = m->operations > 1 || m->finished != finished;
  if (alone) m->alone = 0;
  end(m);
  pthread_mutex_unlock(&m->lock);
  return status;
}

qds_status qds_buffer_work_run(qds_buffer_manager *m, const qds_buffer_work *work) {
  int crowded;
  const qds_status status = work_once(m, work, work->alone, &crowded);
  const int lacking = status == QDS_ERROR_MEMORY || status == QDS_ERROR_BUDGET;
  return lacking && crowded && !work->alone ? work_once(m, work, 1, &crowded) : status;
}

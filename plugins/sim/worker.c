#include "sim.h"

#include <errno.h>
#include <stdio.h>
#include <time.h>

/* After so long without a call the worker goes on by itself: a host function may be what the callers wait
 * for. */
static const long patience_ns = 2000000;
/* How far unused permissions to run pile up. */
enum { MOST_GRANTS = 16 };

/* Vigna, "splitmix64": every seed gives a full period. */
uint64_t sim_draw(sim_device *device, uint64_t bound) {
  uint64_t z = device->random += 0x9e3779b97f4a7c15u;
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
  z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
  return (z ^ (z >> 31)) % bound;
}

static struct timespec now(void) {
  struct timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return time;
}

/* --- the callers' side ------------------------------------------------------------------------------------
 */

static int satisfied(const sim_device *device, const sim_waiter *waiter) {
  return waiter->ticket ? waiter->ticket->done : waiter->steps == 0 || device->pending == 0;
}

static void wait_in_list(sim_device *device, sim_waiter *waiter) {
  waiter->next = device->waiters;
  device->waiters = waiter;
  pthread_cond_signal(&device->work);
  while (!satisfied(device, waiter)) pthread_cond_wait(&device->done, &device->lock);
  sim_waiter **at = &device->waiters;
  while (*at != waiter) at = &(*at)->next;
  *at = waiter->next;
}

void sim_wait(sim_device *device, const sim_ticket *ticket) {
  sim_waiter waiter = {.ticket = ticket};
  device->calls++;
  if (!ticket->done) wait_in_list(device, &waiter);
}

void sim_advance(sim_device *device) {
  if (device->pending == 0) return;
  device->calls++;
  if (device->host_functions == 0) {
    sim_waiter waiter = {.steps = 1};
    wait_in_list(device, &waiter);
    return;
  }
  if (device->grants < MOST_GRANTS) device->grants++;
  pthread_cond_signal(&device->work);
}

/* --- the worker's side ------------------------------------------------------------------------------------
 */

static int is_wanted(const sim_device *device) {
  if (device->grants > 0) return 1;
  for (const sim_waiter *w = device->waiters; w; w = w->next)
    if (!satisfied(device, w)) return 1;
  return 0;
}

static int is_ready(const sim_stream *stream) {
  return stream->first && (stream->first->kind != SIM_WAIT || stream->first->ticket->done);
}

/* Any of the streams that can go on. There is one: a wait stands behind its record, which was enqueued before
 * it. */
static sim_stream *pick(sim_device *device) {
  uint64_t ready = 0;
  for (const sim_stream *s = device->streams; s; s = s->next) ready += (uint64_t)is_ready(s);
  uint64_t chosen = sim_draw(device, ready);
  sim_stream *stream = device->streams;
  while (!is_ready(stream) || chosen-- > 0) stream = stream->next;
  return stream;
}

static void finish(sim_stream *stream, sim_operation *operation) {
  sim_device *device = stream->device;
  stream->running = NULL;
  for (size_t i = 0; i < operation->uses; i++) sim_use_end(device, &operation->use[i]);
  if (operation->kind == SIM_RECORD) {
    const struct timespec time = now();
    operation->ticket->seconds = (double)time.tv_sec + 1e-9 * (double)time.tv_nsec;
    operation->ticket->done = 1;
  }
  device->pending--;
  device->host_functions -= operation->kind == SIM_CALL;
  if (operation->kind == SIM_COPY && operation->payload) device->staged_bytes -= operation->bytes;
  if (device->grants > 0) device->grants--;
  if (device->pending == 0) device->grants = 0;
  for (sim_waiter *w = device->waiters; w; w = w->next)
    if (w->steps > 0) w->steps--;
}

static void step(sim_device *device) {
  sim_stream *stream = pick(device);
  sim_operation *operation = stream->first;
  stream->first = operation->next;
  if (!stream->first) stream->last = &stream->first;
  stream->running = operation;
  if (operation->fails) {
    stream->failed = 1;
    snprintf(stream->failure, sizeof stream->failure, "a %s failed (injected)",
             operation->kind == SIM_RUN || operation->kind == SIM_CALL ? "launch" : "copy");
  } else if (!stream->failed || operation->kind == SIM_CALL) {
    /* As on a real device nothing works on what a failed copy did not bring. */
    pthread_mutex_unlock(&device->lock);
    sim_operation_perform(operation);
    pthread_mutex_lock(&device->lock);
  }
  finish(stream, operation);
  if (!operation->on_stack) sim_operation_destroy(operation);
  pthread_cond_broadcast(&device->done);
}

static int waits_in_vain(sim_device *device) {
  struct timespec until = now();
  until.tv_nsec += patience_ns;
  if (until.tv_nsec >= 1000000000) {
    until.tv_nsec -= 1000000000;
    until.tv_sec++;
  }
  return pthread_cond_timedwait(&device->work, &device->lock, &until) == ETIMEDOUT;
}

static void *work(void *data) {
  sim_device *device = data;
  SIM_LOCK(device);
  uint64_t seen = 0;
  int silence = 0;
  while (!device->stopping) {
    if (device->calls != seen) silence = 0;
    seen = device->calls;
    if (device->pending == 0)
      pthread_cond_wait(&device->work, &device->lock);
    else if (silence || is_wanted(device))
      step(device);
    else
      silence = waits_in_vain(device);
  }
  return NULL;
}

qds_status sim_worker_start(sim_device *device) {
  pthread_condattr_t attributes;
  pthread_condattr_init(&attributes);
  pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
  pthread_mutex_init(&device->lock, NULL);
  pthread_cond_init(&device->work, &attributes);
  pthread_cond_init(&device->done, NULL);
  pthread_condattr_destroy(&attributes);
  const int error = pthread_create(&device->worker, NULL, work, device);
  if (error != 0) SIM_FAIL(device, QDS_ERROR_MEMORY, "no thread for the worker: error %d", error);
  return QDS_OK;
}

void sim_worker_stop(sim_device *device) {
  pthread_mutex_lock(&device->lock);
  device->stopping = 1;
  pthread_cond_signal(&device->work);
  pthread_mutex_unlock(&device->lock);
  pthread_join(device->worker, NULL);
  pthread_cond_destroy(&device->done);
  pthread_cond_destroy(&device->work);
  pthread_mutex_destroy(&device->lock);
}

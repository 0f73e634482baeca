#include "sim.h"

#include <stdlib.h>

typedef struct {
  int life;
  sim_ticket *ticket; /* of the last record; NULL: never recorded */
} sim_event;

qds_status sim_event_create(void *state, void **out) {
  sim_device *device = state;
  SIM_LOCK(device);
  SIM_TRY(sim_check(device, 0, NULL, "event_create"));
  sim_event *event = calloc(1, sizeof *event);
  if (!event) SIM_FAIL(device, QDS_ERROR_MEMORY, "no room for an event");
  event->life = SIM_EVENT_ALIVE;
  device->live_events++;
  *out = event;
  return QDS_OK;
}

/* Work that waits for the event goes on waiting for its ticket. */
void sim_event_destroy(void *state, void *handle) {
  sim_device *device = state;
  sim_event *event = handle;
  SIM_LOCK(device);
  if (sim_check(device, SIM_EVENT_ALIVE, &event->life, "event_destroy") != QDS_OK) {
    sim_misuse(device, "an event was destroyed twice, or from a host function");
    return;
  }
  sim_ticket_release(event->ticket);
  event->ticket = NULL;
  event->life = SIM_DEAD;
  device->live_events--;
  sim_bury(device, event);
}

/* Checks both handles and that the stream is not captured: this device captures single streams. */
static qds_status check_pair(sim_device *device, const sim_event *event, sim_stream *stream, const char *call,
                             const char *what) {
  SIM_TRY(sim_check(device, SIM_EVENT_ALIVE, &event->life, call));
  SIM_TRY(sim_check(device, SIM_STREAM_ALIVE, &stream->life, call));
  return sim_refuse_capture(stream, what);
}

static qds_status enqueue_ticket(sim_stream *stream, sim_kind kind, sim_ticket *ticket) {
  sim_operation *operation;
  SIM_TRY(sim_operation_create(stream->device, kind, 0, 0, &operation));
  operation->ticket = ticket;
  ticket->references++;
  return sim_enqueue(stream, operation);
}

qds_status sim_event_record(void *state, void *event_handle, void *stream_handle) {
  sim_device *device = state;
  sim_event *event = event_handle;
  sim_stream *stream = sim_stream_of(state, stream_handle);
  SIM_LOCK(device);
  SIM_TRY(check_pair(device, event, stream, "event_record", "given an event"));
  sim_ticket *ticket = calloc(1, sizeof *ticket);
  if (!ticket) SIM_FAIL(device, QDS_ERROR_MEMORY, "no room for the record of an event");
  ticket->references = 1;
  const qds_status status = enqueue_ticket(stream, SIM_RECORD, ticket);
  if (status == QDS_OK) {
    sim_ticket_release(event->ticket);
    event->ticket = ticket;
  } else {
    sim_ticket_release(ticket);
  }
  return status;
}

qds_status sim_event_wait(void *state, void *event_handle, void *stream_handle) {
  sim_device *device = state;
  sim_event *event = event_handle;
  sim_stream *stream = sim_stream_of(state, stream_handle);
  SIM_LOCK(device);
  SIM_TRY(check_pair(device, event, stream, "event_wait", "made to wait"));
  return event->ticket ? enqueue_ticket(stream, SIM_WAIT, event->ticket) : QDS_OK;
}

qds_status sim_event_synchronise(void *state, void *handle) {
  sim_device *device = state;
  sim_event *event = handle;
  SIM_LOCK(device);
  SIM_TRY(sim_check(device, SIM_EVENT_ALIVE, &event->life, "event_synchronise"));
  SIM_TRY(sim_refuse_while_capturing(device, "an event is waited for"));
  sim_ticket *ticket = event->ticket;
  if (ticket && !ticket->done) {
    ticket->references++;
    sim_wait(device, ticket);
    sim_ticket_release(ticket);
  }
  return sim_report_misuse(device);
}

qds_status sim_event_done(void *state, void *handle, int *done) {
  sim_device *device = state;
  sim_event *event = handle;
  SIM_LOCK(device);
  SIM_TRY(sim_check(device, SIM_EVENT_ALIVE, &event->life, "event_done"));
  if (event->ticket && !event->ticket->done) sim_advance(device);
  *done = !event->ticket || event->ticket->done;
  return QDS_OK;
}

qds_status sim_event_seconds(void *state, void *start_handle, void *end_handle, double *seconds) {
  sim_device *device = state;
  const sim_event *start = start_handle, *end = end_handle;
  SIM_LOCK(device);
  SIM_TRY(sim_check(device, SIM_EVENT_ALIVE, &start->life, "event_seconds"));
  SIM_TRY(sim_check(device, SIM_EVENT_ALIVE, &end->life, "event_seconds"));
  if (!start->ticket || !end->ticket || !start->ticket->done || !end->ticket->done)
    SIM_FAIL(device, QDS_ERROR_INTERNAL,
             "the time between events that have not both been reached was asked for");
  *seconds = end->ticket->seconds - start->ticket->seconds;
  return QDS_OK;
}

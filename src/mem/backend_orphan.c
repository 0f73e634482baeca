/* What stands in for a back end in a process that fork made. Threads and handles behind the device are with
 * the process that opened it: work is refused, and what was taken there is not given back here. */
#include "mem/accelerator.h"

#pragma GCC diagnostic ignored "-Wunused-parameter"

static qds_status refuse(void) {
  QDS_FAIL(QDS_ERROR_UNSUPPORTED,
           "the device belongs to the process that opened it; a process made by fork cannot use it: open it "
           "there only, or start processes by spawn");
}

static qds_status orphan_allocate(void *state, qds_memory_kind kind, size_t bytes, void **out) {
  return refuse();
}
static void orphan_release(void *state, qds_memory_kind kind, void *block) {}
static qds_status orphan_memory(void *state, size_t *free_bytes, size_t *total_bytes) {
  return refuse();
}
static qds_status orphan_copy(void *state, void *stream, void *to, const void *from, size_t bytes) {
  return refuse();
}
static qds_status orphan_fill(void *state, void *stream, void *to, int byte, size_t bytes) {
  return refuse();
}
static qds_status create(void *state, void **out) {
  return refuse();
}
static void destroy(void *state, void *thing) {}
static qds_status use(void *state, void *thing) {
  return refuse();
}
static qds_status use_two(void *state, void *one, void *other) {
  return refuse();
}
static qds_status ask(void *state, void *thing, int *answer) {
  return refuse();
}
static qds_status orphan_event_seconds(void *state, void *start, void *end, double *seconds) {
  return refuse();
}
static qds_status orphan_host_function(void *state, void *stream, void (*function)(void *), void *data) {
  return refuse();
}
static qds_status orphan_launch(void *state, void *stream, int kernel, const void *arguments, size_t bytes) {
  return refuse();
}
static qds_status orphan_run(void *state, void *stream, void (*function)(const void *arguments, int threads),
                             const void *arguments, size_t bytes, int threads) {
  return refuse();
}
static qds_status orphan_capture_end(void *state, void *stream, void **graph) {
  return refuse();
}
static qds_status orphan_inject(void *state, qds_injection what, uint64_t n) {
  return refuse();
}
static qds_status take(void *state, size_t bytes, void **out) {
  return refuse();
}
static void give(void *state, void *begin, size_t bytes) {}
static qds_status orphan_piece_map(void *state, void *begin, void *piece, size_t bytes) {
  return refuse();
}
static void orphan_close(void *state) {}

const qds_backend qds_orphan_backend = {
    .abi = QDS_BACKEND_ABI,
    .size = sizeof(qds_backend),
    .name = "orphan",
    .close = orphan_close,
    .allocate = orphan_allocate,
    .release = orphan_release,
    .memory = orphan_memory,
    .copy = orphan_copy,
    .fill = orphan_fill,
    .stream_create = create,
    .stream_destroy = destroy,
    .stream_synchronise = use,
    .stream_idle = ask,
    .event_create = create,
    .event_destroy = destroy,
    .event_record = use_two,
    .event_wait = use_two,
    .event_synchronise = use,
    .event_done = ask,
    .event_seconds = orphan_event_seconds,
    .host_function = orphan_host_function,
    .launch = orphan_launch,
    .run = orphan_run,
    .capture_begin = use,
    .capture_end = orphan_capture_end,
    .graph_launch = use_two,
    .graph_destroy = destroy,
    .inject = orphan_inject,
    .piece_create = take,
    .piece_destroy = destroy,
    .addresses_reserve = take,
    .addresses_release = give,
    .piece_map = orphan_piece_map,
    .piece_unmap = give,
};

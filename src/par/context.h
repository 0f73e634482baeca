/* The context as the library's own layers see it. */
#ifndef QDS_PAR_CONTEXT_H
#define QDS_PAR_CONTEXT_H

#include "base/allocator.h"
#include "mem/buffer.h"
#include "mem/heap.h"
#include "mem/stream.h"
#include "qdsim/context.h"

qds_allocator *qds_context_allocator(qds_context *ctx);
/* The device of the context; NULL: the CPU. */
qds_accelerator *qds_context_accelerator(const qds_context *ctx);
/* Tells and counts that the CPU takes over what the device cannot do, before it begins. A reason that was the
 * last to be told, numbers apart, is only counted. */
void qds_context_fall_back(qds_context *ctx, const char *reason);
/* The same where the CPU is the better place, which is told only to those who asked for the device by name.
 */
void qds_context_prefer_cpu(qds_context *ctx, const char *reason);
/* A new task begins: the next reason is told in any case. */
void qds_context_forget_fall_back(qds_context *ctx);
/* The heap behind the allocator, for its pools' figures. */
qds_heap *qds_context_heap(const qds_context *ctx);
/* The stream on which the context's own work runs: of the accelerator, or of the host. */
qds_stream *qds_context_stream(qds_context *ctx);
qds_buffer_manager *qds_context_buffers(qds_context *ctx);
uint64_t qds_context_seed(const qds_context *ctx);
/* Lets the context use `threads` threads from now on; returns how many it used. */
int qds_context_use_threads(qds_context *ctx, int threads);

/* Refuses `bytes` more, before the work starts, when the budget or the machine's free memory cannot hold
 * them. */
qds_status qds_context_reserve_check(qds_context *ctx, size_t bytes, const char *purpose);

/* As qds_context_reserve_check for work whose large blocks may lie in files: with a memory limit and a
 * scratch folder, what passes the limit, *file_bytes, goes there. From then on only large blocks with a tag
 * of `often_used` (NULL-terminated, literals) stay in memory, as far as they fit. NULL: a check alone. */
qds_status qds_context_plan(qds_context *ctx, size_t bytes, const char *purpose,
                            const char *const *often_used, size_t *file_bytes);

void qds_log(qds_context *ctx, qds_log_level level, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* Passes progress on to the user, at most ten times a second, and returns QDS_ERROR_INTERRUPTED when the user
 * asked to stop. Long loops call it once a pass, from the calling thread only. */
qds_status qds_progress(qds_context *ctx, const char *phase, double fraction, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

/* Seconds of a monotonic clock. */
double qds_seconds(void);

/* A slot for something that a higher layer loads once and keeps in the context (the BLAS library). `destroy`
 * runs with the context. */
typedef enum { QDS_SLOT_BLAS, QDS_SLOT_MATERIALS, QDS_SLOT_COUNT } qds_context_slot;
void *qds_context_get(const qds_context *ctx, qds_context_slot slot);
void qds_context_put(qds_context *ctx, qds_context_slot slot, void *object, void (*destroy)(void *));

#endif

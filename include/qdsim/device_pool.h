/* The device pool for other libraries in the same process: CuPy, PyTorch, or a program's own kernels.
 *
 * They share the memory that a context holds of its GPU: its limit, its statistics and its leak reports. A
 * block that is given back on a stream serves the next request on the same stream at once; another stream
 * gets it after the work that stood before the release. Streams are the native handles (cudaStream_t); NULL
 * is the default stream. A stream that has used the pool is told to it before it is destroyed
 * (qds_device_pool_forget_stream). */
#ifndef QDSIM_DEVICE_POOL_H
#define QDSIM_DEVICE_POOL_H

#include <stddef.h>
#include <sys/types.h>

#include "qdsim/context.h"

#ifdef __cplusplus
extern "C" {
#endif

/* One user of a context's device pool, with the stream that it works on where it names none. */
typedef struct qds_device_pool qds_device_pool;

/* `tag` is a string literal, under which the blocks appear in statistics and leak reports. The pool ends
 * before the context. Errors: UNSUPPORTED (the context uses the CPU), MEMORY. */
QDS_API qds_status qds_device_pool_create(qds_context *ctx, void *stream, const char *tag,
                                          qds_device_pool **out);
/* The stream on which the context's own work runs; NULL: its work runs on the CPU. */
QDS_API void *qds_context_native_stream(qds_context *ctx);
/* Blocks that are still held stay valid until the context ends. NULL is allowed. */
QDS_API void qds_device_pool_destroy(qds_device_pool *pool);

/* A block aligned to 256 bytes for work enqueued on `stream` from now on. Thread-safe. Errors: BUDGET,
 * MEMORY. */
QDS_API qds_status qds_device_pool_allocate(qds_device_pool *pool, size_t bytes, void *stream, void **out);
/* Takes it back when the work enqueued on `stream` so far is done. Thread-safe. Errors: ARGUMENT (no such
 * block). */
QDS_API qds_status qds_device_pool_release(qds_device_pool *pool, void *block, void *stream);
/* Gives memory that no block holds back to the device; waits for the work that may still use it. */
QDS_API qds_status qds_device_pool_trim(qds_device_pool *pool);
/* How much the pool may hold over the most that was ever used at once, as device_pool_slack of the context's
 * options; for all users of the context's pool. Thread-safe. Errors: ARGUMENT (neither 0 nor at least 1). */
QDS_API qds_status qds_device_pool_set_slack(qds_device_pool *pool, double slack);
/* Before the stream is destroyed. */
QDS_API void qds_device_pool_forget_stream(qds_device_pool *pool, void *stream);

typedef struct {
  size_t used_bytes, peak_used_bytes;         /* what all users of the context's pool asked for and hold */
  size_t reserved_bytes, peak_reserved_bytes; /* what the pool holds of the device */
} qds_device_pool_statistics;
QDS_API void qds_device_pool_read(qds_device_pool *pool, qds_device_pool_statistics *out);

/* For CuPy: cupy.cuda.memory.CFunctionAllocator takes these two, with a qds_device_pool as their first
 * argument; the blocks are ordered by its stream. NULL, after a message of the context at level ERROR, where
 * there is no room or `device` is not the context's. */
QDS_API void *qds_device_pool_malloc(void *pool, size_t bytes, int device);
QDS_API void qds_device_pool_free(void *pool, void *block, int device);

/* For PyTorch: torch.cuda.memory.CUDAPluggableAllocator finds these two in libqdsim by name. Its functions
 * have no argument that could name a pool, so one pool at a time is installed for the whole process, as
 * PyTorch itself has one allocator for the whole process. This registration is the only state of libqdsim
 * that belongs to no context: it refers to the pool that was installed, and contexts that did not install
 * theirs know nothing of it. Where there is no room, qds_torch_malloc throws C++'s std::runtime_error with
 * the message, which PyTorch passes on as RuntimeError: it does not look for NULL. */
QDS_API void *qds_torch_malloc(ssize_t bytes, int device, void *stream);
QDS_API void qds_torch_free(void *block, ssize_t bytes, int device, void *stream);
/* Makes the two functions use this pool until it is destroyed. Errors: ARGUMENT when another one is
 * installed. */
QDS_API qds_status qds_device_pool_install(qds_device_pool *pool);

#ifdef __cplusplus
}
#endif
#endif

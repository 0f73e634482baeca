#include "qdsim/device_pool.h"

#include <dlfcn.h>
#include <stdatomic.h>

#include "mem/pool_stream.h"
#include "par/context.h"

struct qds_device_pool {
  qds_context *ctx;
  qds_accelerator *accelerator;
  void *stream;
  const char *tag;
};

/* PyTorch's functions have no argument for it; the header says more. */
static _Atomic(qds_device_pool *) installed;

qds_status qds_device_pool_create(qds_context *ctx, void *stream, const char *tag, qds_device_pool **out) {
  QDS_REQUIRE(out, "qds_device_pool_create: out is NULL");
  *out = NULL;
  QDS_REQUIRE(ctx && tag, "qds_device_pool_create: the context or the tag is NULL");
  qds_accelerator *accelerator = qds_context_accelerator(ctx);
  if (!accelerator)
    QDS_FAIL(QDS_ERROR_UNSUPPORTED,
             "no device pool: the context uses the CPU; create it with device=\"cuda\"");
  QDS_TRY(QDS_NEW(qds_context_allocator(ctx), 1, "device pool", out));
  **out = (qds_device_pool){ctx, accelerator, stream, tag};
  return QDS_OK;
}

void *qds_context_native_stream(qds_context *ctx) {
  return qds_context_stream(ctx)->native;
}

void qds_device_pool_destroy(qds_device_pool *pool) {
  qds_device_pool *self = pool;
  if (pool) atomic_compare_exchange_strong(&installed, &self, NULL);
  qds_release(pool);
}

qds_status qds_device_pool_allocate(qds_device_pool *pool, size_t bytes, void *stream, void **out) {
  qds_stream foreign = qds_stream_wrap(pool->accelerator, stream);
  return qds_stream_pool_allocate(pool->accelerator->pool, &foreign, bytes, pool->tag, __FILE__, __LINE__,
                                  out);
}

qds_status qds_device_pool_release(qds_device_pool *pool, void *block, void *stream) {
  qds_stream foreign = qds_stream_wrap(pool->accelerator, stream);
  return block ? qds_stream_pool_release(pool->accelerator->pool, &foreign, block) : QDS_OK;
}

qds_status qds_device_pool_trim(qds_device_pool *pool) {
  return qds_stream_pool_trim(pool->accelerator->pool);
}

qds_status qds_device_pool_set_slack(qds_device_pool *pool, double slack) {
  return qds_stream_pool_set_slack(pool->accelerator->pool, slack);
}

void qds_device_pool_forget_stream(qds_device_pool *pool, void *stream) {
  qds_stream_pool_forget(pool->accelerator->pool, stream);
}

void qds_device_pool_read(qds_device_pool *pool, qds_device_pool_statistics *out) {
  qds_stream_pool_statistics s;
  qds_stream_pool_statistics_read(pool->accelerator->pool, &s);
  *out =
      (qds_device_pool_statistics){s.used_bytes, s.peak_used_bytes, s.reserved_bytes, s.peak_reserved_bytes};
}

/* --- for callers that know no status -------------------------------------------------------------------- */

static qds_status allocate_on(qds_device_pool *pool, size_t bytes, int device, void *stream, void **out) {
  QDS_REQUIRE(device == pool->accelerator->index,
              "%s asks for memory of device %d, but its pool is that of device %d", pool->tag, device,
              pool->accelerator->index);
  return qds_device_pool_allocate(pool, bytes, stream, out);
}

static void release_or_tell(qds_device_pool *pool, void *block, void *stream) {
  if (qds_device_pool_release(pool, block, stream) != QDS_OK)
    qds_log(pool->ctx, QDS_LOG_ERROR, "%s: %s", pool->tag, qds_last_error()->message);
}

void *qds_device_pool_malloc(void *pool, size_t bytes, int device) {
  qds_device_pool *self = pool;
  void *block = NULL;
  if (allocate_on(self, bytes, device, self->stream, &block) != QDS_OK)
    qds_log(self->ctx, QDS_LOG_ERROR, "%s", qds_last_error()->message);
  return block;
}

void qds_device_pool_free(void *pool, void *block, int device) {
  (void)device;
  release_or_tell(pool, block, ((qds_device_pool *)pool)->stream);
}

qds_status qds_device_pool_install(qds_device_pool *pool) {
  qds_device_pool *none = NULL;
  QDS_REQUIRE(pool, "qds_device_pool_install: the pool is NULL");
  const int done = atomic_compare_exchange_strong(&installed, &none, pool);
  QDS_REQUIRE(done || none == pool,
              "another device pool is installed for PyTorch in this process; destroy it first");
  return QDS_OK;
}

/* PyTorch takes what its allocator returns for memory, and a kernel that writes to NULL ruins the process's
 * work on the GPU. What it does understand is an exception of C++, here std::runtime_error(message), which
 * the C++ library throws for us: PyTorch's own, or the one that muParser brought. */
static void throw_to_torch(const char *message) {
  void (*throw_error)(const char *) = NULL;
  void *library = dlopen("libstdc++.so.6", RTLD_LAZY | RTLD_NOLOAD);
  *(void **)&throw_error = dlsym(library ? library : RTLD_DEFAULT, "_ZSt21__throw_runtime_errorPKc");
  if (library) dlclose(library); /* it was there before, and stays */
  if (throw_error) throw_error(message);
}

void *qds_torch_malloc(ssize_t bytes, int device, void *stream) {
  qds_device_pool *pool = atomic_load_explicit(&installed, memory_order_acquire);
  void *block = NULL;
  if (!pool)
    throw_to_torch("qdsim: the device pool that PyTorch was given is gone");
  else if (allocate_on(pool, bytes < 0 ? SIZE_MAX : (size_t)bytes, device, stream, &block) != QDS_OK)
    throw_to_torch(qds_last_error()->message);
  return block;
}

void qds_torch_free(void *block, ssize_t bytes, int device, void *stream) {
  (void)bytes;
  (void)device;
  qds_device_pool *pool = atomic_load_explicit(&installed, memory_order_acquire);
  if (pool) release_or_tell(pool, block, stream);
}

#include "mem/array.h"

#include <string.h>

#include "mem/buffer_internal.h"

/* --- forms ------------------------------------------------------------------------------------------------
 */

static int is_known(qds_element element, int bits) {
  switch (element) {
  case QDS_ELEMENT_INT:
  case QDS_ELEMENT_UINT:
    return bits == 8 || bits == 16 || bits == 32 || bits == 64;
  case QDS_ELEMENT_FLOAT:
    return bits == 16 || bits == 32 || bits == 64;
  case QDS_ELEMENT_COMPLEX:
    return bits == 64 || bits == 128;
  case QDS_ELEMENT_BOOL:
    return bits == 8;
  }
  return 0;
}

qds_status qds_array_measure(const qds_array_form *form, size_t *bytes) {
  *bytes = 0;
  QDS_REQUIRE(is_known(form->element, form->bits),
              "an array: no elements of type code %d with %d bits; allowed are bool, int8 to int64, uint8 to "
              "uint64, float16 to float64, complex64 and complex128",
              (int)form->element, form->bits);
  QDS_REQUIRE(form->axes >= 0 && form->axes <= QDS_ARRAY_AXES, "an array: %d axes; 0 to %d are allowed",
              form->axes, QDS_ARRAY_AXES);
  size_t product = (size_t)form->bits / 8;
  int empty = 0, overflow = 0;
  for (int i = 0; i < form->axes; i++) {
    const int64_t extent = form->shape[i];
    QDS_REQUIRE(extent >= 0, "an array: axis %d has the negative extent %lld", i, (long long)extent);
    empty |= extent == 0;
    if (extent > 0) overflow |= __builtin_mul_overflow(product, (size_t)extent, &product);
  }
  QDS_REQUIRE(empty || (!overflow && product <= PTRDIFF_MAX),
              "an array: its elements pass the address range");
  *bytes = empty ? 0 : product;
  return QDS_OK;
}

/* --- life -------------------------------------------------------------------------------------------------
 */

typedef struct {
  qds_buffer_manager *manager;
  size_t bytes;
  void *block;
} record_request;

static qds_status take_record(void *data) {
  record_request *r = data;
  return qds_buffer_record(r->manager, r->bytes, &r->block);
}

qds_status qds_array_record(qds_buffer_manager *m, size_t bytes, void **out) {
  record_request r = {m, bytes, NULL};
  const qds_status status = qds_buffer_work_run(m, &(qds_buffer_work){.run = take_record, .data = &r});
  *out = r.block;
  return status;
}

qds_status qds_array_new(qds_buffer_manager *m, const qds_array_form *form, qds_mem_strategy strategy,
                         const char *tag, const char *file, int line, qds_array **out) {
  QDS_REQUIRE(out, "qds_array_create: out is NULL");
  *out = NULL;
  QDS_REQUIRE(form, "qds_array_create: no form");
  size_t bytes;
  QDS_TRY(qds_array_measure(form, &bytes));
  QDS_AUTO(qds_buffer) *buffer = NULL;
  QDS_TRY(qds_buffer_new(m, bytes, strategy, tag, file, line, &buffer));
  qds_array *array;
  QDS_TRY(qds_array_record(m, sizeof *array, (void **)&array));
  *array = (qds_array){.references = 1, .manager = m, .buffer = buffer, .form = *form, .bytes = bytes};
  pthread_mutex_init(&array->lock, NULL);
  qds_buffer_retain_for(buffer, QDS_OWNER_PYTHON);
  *out = array;
  return QDS_OK;
}

void qds_array_retain(qds_array *array) {
  atomic_fetch_add(&array->references, 1);
}

/* The buffer goes last, because the context may end with it. */
void qds_array_drop(qds_array *array) {
  if (!array || atomic_fetch_sub(&array->references, 1) != 1) return;
  qds_buffer *buffer = array->buffer;
  if (array->foreign) qds_dlpack_dispose(array->foreign, array->versioned);
  pthread_mutex_destroy(&array->lock);
  qds_release(array);
  (void)qds_buffer_drop_for(buffer,
                            QDS_OWNER_PYTHON); /* each who borrowed had a reference, so none is left */
}

static qds_place home_of(const qds_array *array) {
  if (array->foreign) return array->tensor.device.type == QDS_DL_CUDA ? QDS_PLACE_DEVICE : QDS_PLACE_HOST;
  qds_buffer_info info;
  qds_buffer_get_info(array->buffer, &info);
  switch (info.strategy) {
  case QDS_MEM_GPU_ONLY:
    return QDS_PLACE_DEVICE;
  case QDS_MEM_UNIFIED:
    return array->manager->accelerator ? QDS_PLACE_DEVICE : QDS_PLACE_HOST;
  case QDS_MEM_ADAPTIVE:
    return array->manager->accelerator ? info.home : QDS_PLACE_HOST;
  default:
    return QDS_PLACE_HOST;
  }
}

void qds_array_get_info(const qds_array *array, qds_array_info *out) {
  *out = (qds_array_info){.form = array->form,
                          .bytes = array->bytes,
                          .buffer = array->foreign ? NULL : array->buffer,
                          .readonly = array->readonly,
                          .home = home_of(array)};
}

/* --- lending ----------------------------------------------------------------------------------------------
 */

static qds_status lend_foreign(const qds_array *array, qds_place place, int writes, void **out) {
  const int type = array->tensor.device.type;
  const int device = place == QDS_PLACE_DEVICE;
  QDS_REQUIRE(!writes || !array->readonly, "the array is another library's, which allows no writing");
  if (type != QDS_DL_CUDA_MANAGED && device != (type == QDS_DL_CUDA))
    QDS_FAIL(QDS_ERROR_UNSUPPORTED, "the array is another library's and lies on the %s; copy it",
             device ? "host" : "device");
  *out = array->tensor.data ? (char *)array->tensor.data + array->tensor.byte_offset : NULL;
  return QDS_OK;
}

static int was_written(qds_buffer *buffer) {
  qds_buffer_info info;
  qds_buffer_get_info(buffer, &info);
  for (int i = 0; i < QDS_PLACES; i++)
    if (info.valid[i]) return 1;
  return 0;
}

static qds_status open_side(qds_array *array, qds_place place, int writes, qds_array_side *side) {
  if (array->foreign)
    QDS_TRY(lend_foreign(array, place, writes, &side->pointer));
  else
    QDS_TRY(qds_buffer_acquire(array->buffer, place,
                               !writes                      ? QDS_ACCESS_READ
                               : was_written(array->buffer) ? QDS_ACCESS_WRITE
                                                            : QDS_ACCESS_DISCARD,
                               NULL, &side->pointer));
  side->writes = writes;
  return QDS_OK;
}

/* Call with the lock held. */
static qds_status borrow(qds_array *array, qds_place place, int writes, void **out) {
  qds_array_side *side = &array->sides[place];
  QDS_REQUIRE(!writes || !side->borrowers || side->writes || array->foreign,
              "%s: it is being read (%zu borrowers), so nobody may write to it; give it back first",
              qds_buffer_name(array->buffer).text, side->borrowers);
  if (!side->borrowers || (array->foreign && writes)) QDS_TRY(open_side(array, place, writes, side));
  side->borrowers++;
  *out = side->pointer;
  return QDS_OK;
}

qds_status qds_array_borrow(qds_array *array, qds_place place, int writes, void **out) {
  QDS_REQUIRE(out, "qds_array_borrow: out is NULL");
  *out = NULL;
  QDS_REQUIRE(array, "qds_array_borrow: no array");
  QDS_REQUIRE(place == QDS_PLACE_HOST || place == QDS_PLACE_DEVICE,
              "%s: an array is borrowed on the host or on the device", qds_buffer_name(array->buffer).text);
  pthread_mutex_lock(&array->lock);
  const qds_status status = borrow(array, place, writes, out);
  pthread_mutex_unlock(&array->lock);
  return status;
}

static int is_cuda(const qds_buffer_manager *m) {
  return m->accelerator && !strcmp(m->accelerator->backend->name, "cuda");
}

qds_status qds_array_wait(qds_buffer_manager *m) {
  if (!is_cuda(m)) return QDS_OK;
  qds_stream stream = qds_stream_wrap(m->accelerator, NULL);
  return qds_stream_synchronise(&stream);
}

/* A failure of work that others enqueued is theirs to notice. */
void qds_array_return(qds_array *array, qds_place place) {
  pthread_mutex_lock(&array->lock);
  qds_array_side *side = &array->sides[place];
  if (--side->borrowers == 0 && !array->foreign) {
    if (place == QDS_PLACE_DEVICE) (void)!qds_array_wait(array->manager);
    (void)qds_buffer_release(array->buffer, NULL);
  }
  pthread_mutex_unlock(&array->lock);
}

/* --- copies -----------------------------------------------------------------------------------------------
 */

static qds_status copy_bytes(qds_buffer_manager *m, void *to, const void *from, size_t bytes) {
  if (bytes == 0) return QDS_OK;
  qds_stream *lane = qds_lane_enter(m, NULL);
  qds_status status = qds_stream_copy(lane, to, from, bytes);
  const qds_status done = qds_lane_synchronise(m, lane);
  if (status == QDS_OK) status = done;
  qds_lane_leave(m, lane);
  return status;
}

/* Where it is lent already, or else at home. */
static qds_place reading_place(qds_array *array) {
  pthread_mutex_lock(&array->lock);
  const int host = array->sides[QDS_PLACE_HOST].borrowers > 0;
  const int device = array->sides[QDS_PLACE_DEVICE].borrowers > 0;
  pthread_mutex_unlock(&array->lock);
  return host ? QDS_PLACE_HOST : device ? QDS_PLACE_DEVICE : home_of(array);
}

qds_status qds_array_copy(qds_array *to, qds_array *from) {
  QDS_REQUIRE(to && from, "qds_array_copy: no array");
  QDS_REQUIRE(to->bytes == from->bytes, "qds_array_copy: %zu bytes do not fill %zu bytes", from->bytes,
              to->bytes);
  /* Two contexts meet in host memory. */
  const qds_place from_place = from->manager == to->manager ? reading_place(from) : QDS_PLACE_HOST;
  const qds_place to_place = home_of(to);
  void *source, *target;
  QDS_TRY(qds_array_borrow(from, from_place, 0, &source));
  qds_status status = qds_array_borrow(to, to_place, 1, &target);
  if (status == QDS_OK) {
    status = copy_bytes(to->manager, target, source, to->bytes);
    qds_array_return(to, to_place);
  }
  qds_array_return(from, from_place);
  return status;
}
